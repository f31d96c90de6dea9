#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every applet that asks, through a pseudo-terminal: prompts, pickers, secrets without echo, a narrow
dumb terminal, and that "no", Ctrl-C and Ctrl-D change nothing and say so."""
import os
import re
import socket
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common  # noqa: E402
from lib.lifecase import LifeCase  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402


class Create(LifeCase):
    def test_asks_for_a_name_until_it_is_free(self):
        self.create("taken")
        t = self.terminal("create")
        t.answer("Name of the new runner: ", "taken")
        t.expect("has a runner \"taken\" already")
        t.answer("Name of the new runner: ", "   ")
        t.expect("blank")
        t.answer("Name of the new runner: ", "it's mine")
        self.assertEqual(t.wait(), 0)
        line = self.line_of(t.text())
        self.assertEqual(self.words_of(line)[-1], "it's mine")
        self.assertIn("it's mine", [r["name"] for r in self.listed()])

    def test_leaving_changes_nothing(self):
        for key in ("\x03", "\x04"):
            t = self.terminal("create")
            t.expect("Name of the new runner: ")
            t.send(key)
            self.assertEqual(t.wait(), 1)
            self.assertIn("nothing was changed", t.text())
        self.assertEqual(self.listed(), [])

    def test_questions_are_seen_when_the_output_goes_to_a_file(self):
        with open(self.path("line"), "wb") as out:
            t = self.terminal("create", stdout=out.fileno())
            t.answer("Name of the new runner: ", "edge")
            self.assertEqual(t.wait(), 0)
        with open(self.path("line"), encoding="utf-8") as file:
            self.line_of(file.read())


class Configure(LifeCase):
    def ask_all(self, t, made, key=True):
        t.expect("Current settings")
        t.answer(r"Server API URL( \[.*\])?: ", made["apiUrl"])
        t.secret(r"Server API key.*: ", made["apiKey"] if key else "")
        t.answer(r"Runner ID( \[.*\])?: ", made["id"])
        t.answer(r"Runner name( \[.*\])?: ", made["name"])
        t.answer(r"Health port .*\[\d+\]: ", "0")
        t.answer(r"State directory \[.*\]: ", "")
        t.answer(r"Jobs at once .*\[16\]: ", "3")
        t.answer(r"Providers, by comma \[.*\]: ", "native-provider")

    def test_prompts_and_saves(self):
        made = self.create("edge")
        t = self.terminal("configure", env=self.env(admin=False))
        self.ask_all(t, made)
        self.assertEqual(t.wait(), 0, t.text())
        self.assertNotIn(made["apiKey"], t.text())
        self.assertRegex(t.text(), "The configuration of runner edge was saved to .*runner.ini")
        self.assertIn("Next: daytona-runner start", t.text())
        self.assertIn("max_jobs = 3", self.ini_text())
        self.assertIn(made["apiKey"], self.ini_text())
        self.assertEqual(os.stat(self.ini).st_mode & 0o7777, 0o600)
        self.assertEqual(os.stat(self.cfg).st_mode & 0o7777, 0o700)

    def test_empty_answers_keep_what_is_there(self):
        made = self.configured()
        before = self.ini_text()
        t = self.terminal("configure", env=self.env(admin=False))
        t.expect("Current settings")
        shown = t.expect(r"(?s)Server API URL.*\nAn empty answer").group(0)
        self.assertNotIn(made["apiKey"], shown)
        for prompt in (r"Server API URL \[", r"Server API key \[unchanged\]", r"Runner ID \[" + made["id"],
                       r"Runner name \[edge\]", r"Health port .*\[0\]", r"State directory \[",
                       r"Jobs at once", r"Providers"):
            t.answer(prompt + r".*: ", "")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertEqual(self.ini_text(), before)

    def test_a_bad_answer_is_asked_again_with_the_reason(self):
        made = self.create("edge")
        t = self.terminal("configure", env=self.env(admin=False))
        for bad, why in (("", "needed"), ("ftp://x", "scheme|https?://"), ("http://far.test:3986", "in clear"),
                         ("https://u:p@far.test", "user part"), ("https://", "URL|host")):
            t.answer("Server API URL: ", bad)
            t.expect(why)
        t.answer("Server API URL: ", made["apiUrl"])
        t.secret("Server API key.*: ", "")
        t.expect("needed")
        t.secret("Server API key.*: ", made["apiKey"])
        t.answer("Runner ID: ", "../x")
        t.expect("id has letters")
        t.answer("Runner ID: ", made["id"])
        t.answer("Runner name: ", "edge")
        t.answer("Health port", "65536")
        t.expect("from 0 to 65535")
        t.answer("Health port", "0")
        t.answer("State directory", "")
        t.answer("Jobs at once", "\x1b[A")
        t.expect("control character")
        t.answer("Jobs at once", "2")
        t.answer("Providers, by comma", "nope")
        t.expect("no provider \"nope\"")
        t.answer("Providers, by comma", "native-provider")
        self.assertEqual(t.wait(), 0, t.text())

    def test_leaving_anywhere_changes_nothing(self):
        made = self.configured()
        before = self.tree(self.cfg)
        for step in range(8):
            for key in ("\x03", "\x04"):
                t = self.terminal("configure", env=self.env(admin=False))
                prompts = ["Server API URL.*: ", "Server API key.*: ", "Runner ID.*: ", "Runner name.*: ",
                           "Health port.*: ", "State directory.*: ", "Jobs at once.*: ", "Providers.*: "]
                for prompt in prompts[:step]:
                    t.answer(prompt, "7" if "port" in prompt else "")
                t.expect(prompts[step])
                t.send(key)
                self.assertEqual(t.wait(), 1, t.text())
                self.assertIn("nothing was changed", t.text())
                self.assertEqual(self.tree(self.cfg), before)
        self.assertEqual(self.state_of(made["id"]), "unresponsive")

    def test_the_terminal_echoes_again_afterwards(self):
        t = Terminal(self, ["/bin/sh"], self.env(admin=False, PS1="$ "))
        t.send(f"'{common.BIN}' configure; stty -a | tr ' ' '\\n' | grep -x -e echo -e -echo\n")
        t.answer("Server API URL.*: ", self.srv.url)
        t.expect("Server API key.*: ")
        common.wait_for(t.echo_is_off, 10 * common.PATIENCE, "echo off")
        t.send("\x03")
        t.expect("nothing was changed")
        self.assertEqual(t.expect(r"\n(-?echo)\n").group(1), "echo")
        t.send("exit\n")
        t.wait()

    def test_only_what_is_missing_is_asked_when_some_is_given(self):
        made = self.create("edge")
        t = self.terminal("configure", "--api-url", made["apiUrl"], "--id", made["id"], "--port", "0",
                          "--providers", "native-provider", env=self.env(admin=False))
        t.secret("Server API key.*: ", made["apiKey"])
        t.answer("Runner name: ", "edge")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertNotIn("Runner ID", t.text())

    def test_the_whole_line_asks_nothing_on_a_terminal(self):
        made = self.create("edge")
        t = self.terminal(*self.words_of(made["command"]), "--port", "0", "--providers", "native-provider",
                          env=self.env(admin=False))
        self.assertEqual(t.wait(), 0, t.text())

    def test_url_and_key_are_tried_as_they_are_typed(self):
        made = self.create("edge")
        with socket.create_server(("127.0.0.1", 0)) as free:
            nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        t = self.terminal("configure", "--providers", "native-provider", "--port", "0", env=self.env(admin=False))
        t.answer("Server API URL: ", nobody)
        t.expect("cannot be used.* Enter keeps it all the same")
        t.answer(f"Server API URL .{re.escape(nobody)}.: ", made["apiUrl"])
        t.secret("Server API key.*: ", "wrong")
        t.expect("refuses this key")
        t.secret("Server API key.*: ", made["apiKey"])
        t.answer("Runner ID: ", made["id"])
        t.answer("Runner name: ", "edge")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertIn(made["apiKey"], self.ini_text())
        # Without a Server nothing is tried but the URL, once; and with --no-check nothing at all.
        os.unlink(self.ini)
        t = self.terminal("configure", "--port", "0", env=self.env(admin=False))
        t.answer("Server API URL: ", nobody)
        t.expect("cannot be used")
        t.answer("Server API URL.*: ", "")
        t.secret("Server API key.*: ", "x")
        t.expect("Runner ID: ")
        t.send("\x03")
        t.wait()
        self.assertEqual(t.text().count("cannot be used"), 1)
        t = self.terminal("configure", "--no-check", "--port", "0", env=self.env(admin=False))
        t.answer("Server API URL: ", nobody)
        t.secret("Server API key.*: ", "x")
        t.answer("Runner ID: ", made["id"])
        t.answer("Runner name: ", "edge")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertNotIn("cannot be used", t.text().split("Runner name")[0])

    def test_after_a_wrong_key_it_asks_again(self):
        made = self.create("edge")
        for key in (made["apiKey"], None):
            with self.subTest(key=key):
                t = self.terminal("configure", env=self.env(admin=False))
                t.answer("Server API URL: ", made["apiUrl"])
                t.secret("Server API key.*: ", "wrong")
                t.expect("refuses this key.* Enter keeps it all the same")
                t.secret("Server API key.*: ", "")  # said twice
                for prompt, text in (("Runner ID: ", made["id"]), ("Runner name: ", "edge"), ("Health port", "0"),
                                     ("State directory", ""), ("Jobs at once", "3"), ("Providers, by comma", "native-provider")):
                    t.answer(prompt, text)
                t.expect("refuses our API key")
                t.expect("nothing is saved yet")
                t.answer(f"Server API URL .{re.escape(made['apiUrl'])}.: ", "")
                t.expect("Server API key.*: ")
                self.assertFalse(os.path.exists(self.ini))
                if key:
                    common.wait_for(t.echo_is_off, 10 * common.PATIENCE, "echo off")
                t.send(key + "\n" if key else "\x04")
                for prompt in ("Runner ID .{made}.: ", "Runner name .edge.: ", "Health port.* .0.: ", "State directory.*: ",
                               "Jobs at once.* .3.: ", "Providers, by comma .native-provider.: ") if key else ():
                    t.answer(prompt.replace("{made}", made["id"]), "")
                self.assertEqual(t.wait(), 0 if key else 1, t.text())
                self.assertEqual(os.path.exists(self.ini), bool(key))
                if key:
                    os.unlink(self.ini)
                else:
                    self.assertIn("nothing was changed", t.text())


class Purge(LifeCase):
    def test_names_are_whole_on_a_narrow_terminal(self):
        names = [f"a-runner-with-a-long-name-number-{n}" for n in (1, 2)]
        for name in names:
            self.create(name)
        t = self.terminal("purge", columns=40)
        listing = t.expect(r"(?s)Which runner.*?Number, name or id").group(0)
        lines = [line.rstrip() for line in listing.splitlines()]
        for n, name in enumerate(names, 1):
            self.assertTrue(any(line.endswith(") " + name) for line in lines), listing)
        self.assertTrue(all(len(line) <= 40 for line in lines[1:]), listing)
        t.send("\n")
        self.assertEqual(t.wait(), 1, t.text())

    def test_lists_selects_confirms_removes(self):
        self.create("other")
        made = self.configured()
        self.applet("start", env=self.env(admin=False))
        t = self.terminal("purge")
        listing = t.expect(r"(?s)Which runner.*?Number, name or id").group(0)
        self.assertIn("other", listing)
        self.assertIn(made["id"], listing)
        number = [line.split(")")[0].strip() for line in listing.splitlines() if made["id"] in line][0]
        t.send("99\n")
        t.expect("no such entry")
        t.answer("Number, name or id", number)
        t.expect("What depends on it")
        t.expect("On this host")
        t.answer("Purge runner edge.*Yes/No", "perhaps")
        t.expect("answer Yes or No")
        t.answer("Purge runner edge.*Yes/No", "Yes")
        t.answer("Delete its files on this host.*Yes/No", "yes")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertEqual([r["name"] for r in self.listed()], ["other"])
        self.assertFalse(os.path.exists(self.cfg))

    def test_no_and_leaving_change_nothing(self):
        self.configured()
        self.applet("start", env=self.env(admin=False))
        pid = self.runner_pid()
        before, ids = self.tree(self.cfg), [r["id"] for r in self.listed()]
        for answers in (["\n"], ["q\n"], ["\x03"], ["\x04"], ["1\n", "No\n"], ["1\n", "\n"], ["1\n", "\x03"],
                        ["1\n", "\x04"], ["edge\n", "Yes\n", "\x03"]):
            t = self.terminal("purge")
            for prompt, answer in zip(("Number, name or id.*: ", "Purge runner.*: ", "Delete its files.*: "),
                                      answers):
                t.expect(prompt)
                t.send(answer)
            self.assertEqual(t.wait(), 1, t.text())
            self.assertIn("nothing was changed", t.text())
            self.assertEqual([r["id"] for r in self.listed()], ids)
            after = self.tree(self.cfg)
            self.assertEqual(after.keys(), before.keys())
            self.assertEqual(self.runner_pid(), pid)

    def test_files_and_data_are_kept_on_no(self):
        self.configured()
        os.makedirs(os.path.join(self.state, "workspaces", "w1"))
        with open(os.path.join(self.state, ".daytona-runner"), "w"):
            pass
        with open(os.path.join(self.state, "workspaces", "w1", "work"), "w") as file:
            file.write("mine")
        t = self.terminal("purge", "edge")
        t.answer("Purge runner.*: ", "y")
        t.answer("Delete its files.*: ", "y")
        t.answer("workspaces' data as well.*: ", "")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertFalse(os.path.exists(self.ini))
        self.assertTrue(os.path.exists(os.path.join(self.state, "workspaces", "w1", "work")))


class Delete(LifeCase):
    def test_no_means_no(self):
        self.create("one")
        for answer in ("No\n", "\n", "\x03", "\x04"):
            t = self.terminal("delete", "one")
            t.expect("Delete runner one.*: ")
            t.send(answer)
            self.assertEqual(t.wait(), 1)
            self.assertIn("nothing was changed", t.text())
            self.assertEqual(len(self.listed()), 1)
        t = self.terminal("delete")
        t.answer("Number, name or id.*: ", "one")
        t.answer("Delete runner one.*: ", "yes")
        self.assertEqual(t.wait(), 0)
        self.assertEqual(self.listed(), [])


class Terminals(LifeCase):
    def test_forty_columns_and_no_utf8(self):
        self.create("a name that is much longer than forty columns can show")
        self.create("n\u00e4me")
        t = self.terminal("purge", columns=40, env=self.env(LC_ALL="C", LANG="C"))
        listing = t.expect(r"(?s)Which.*?Number").group(0)
        for line in listing.splitlines():
            self.assertLessEqual(len(line), 40, line)
        self.assertIn("a name that is much longer than forty columns can show",
                      re.sub(r"\r?\n {5}(?=\S)", "", listing))
        self.assertIn("n?me", listing)
        self.assertNotIn("\x1b", listing)
        t.send("\x04")
        t.wait()
        t = self.terminal("purge", env=self.env(LC_ALL="C.UTF-8"))
        t.expect("n\u00e4me")
        t.send("\x04")
        t.wait()

    def test_names_with_escapes_are_harmless(self):
        self.srv.ok("POST", "/runner", {"id": "abcdefabcdef", "name": "evil\x1b]0;x\x07\x1b[2Jname"})
        for args in (("purge",), ("list",), ("delete",)):
            t = self.terminal(*args)
            t.expect("name")
            if args != ("list",):
                t.expect("Number")
                t.send("\x04")
            t.wait()
            self.assertNotIn("\x1b", t.text())

    def test_inside_script(self):
        script = shutil.which("script")
        if not script:
            self.skipTest("there is no script(1)")
        made = self.create("edge")
        t = Terminal(self, [script, "-qec", f"'{common.BIN}' configure --no-check --providers native-provider",
                            "/dev/null"], self.env(admin=False))
        t.answer("Server API URL.*: ", made["apiUrl"])
        t.secret("Server API key.*: ", made["apiKey"])
        t.answer("Runner ID.*: ", made["id"])
        t.answer("Runner name.*: ", "edge")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertNotIn(made["apiKey"], t.text())

    def test_inside_tmux(self):
        tmux = shutil.which("tmux")
        if not tmux:
            self.skipTest("there is no tmux")
        made = self.create("edge")
        socket, done = self.path("tmux.sock"), self.path("done")
        env = self.env(admin=False, TERM="screen")

        def do(*args):
            return common.run([tmux, "-S", socket, "-f", "/dev/null", *args], env=env)

        def screen():
            return do("capture-pane", "-p", "-J").stdout

        do("new-session", "-d", "-x", "40", "-y", "20",
           f"'{common.BIN}' configure --no-check --providers native-provider; echo $? > '{done}'")
        self.addCleanup(do, "kill-server")
        for prompt, text in (("Server API URL", made["apiUrl"]), ("Server API key", made["apiKey"]),
                             ("Runner ID", made["id"]), ("Runner name", "edge")):
            common.wait_for(lambda p=prompt: p in screen(), 20 * common.PATIENCE, lambda: screen())
            do("send-keys", "-l", text)
            do("send-keys", "Enter")
        common.wait_for(lambda: os.path.exists(done) and os.path.getsize(done), 20 * common.PATIENCE, screen)
        with open(done, encoding="ascii") as file:
            self.assertEqual(file.read().strip(), "0")
        self.assertIn(made["apiKey"], self.ini_text())


if __name__ == "__main__":
    common.main()
