#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The user documentation from its first to its last sentence: create, paste the line, configure by
prompts, serve, start, logs, restart, stop, purge with the picker. Once under the program's own
name, once by links in a directory with spaces, as root and as an ordinary user, without HOME."""
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common  # noqa: E402
from lib.lifecase import LifeCase  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402

USER = 12345


class UserDocument(LifeCase):
    def walk(self, command, env, admin):
        """command(applet) gives argv; env of the runner's host; admin of the administrator."""
        # Create a Runner: a code snippet with API URL and API key.
        t = Terminal(self, command("create"), admin)
        t.answer("Name of the new runner: ", "my runner")
        self.assertEqual(t.wait(), 0, t.text())
        line = self.line_of(t.text())
        for word in ("--api-url", self.srv.url, "--api-key"):
            self.assertIn(word, line)

        # Paste the snippet into the target system's terminal.
        os.mkdir(self.path("path"))
        with open(self.path("path", "daytona-runner"), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nshift\nexec {self.quoted(command('configure'))} \"$@\"\n")
        os.chmod(file.name, 0o755)
        shell = Terminal(self, ["/bin/sh"], dict(env, PS1="$ ", PATH=self.path("path") + ":" + env["PATH"]))
        shell.send(line + "; echo done $?\n")
        shell.expect("was saved to")
        self.assertEqual(shell.expect(r"done (\d+)\n").group(1), "0")
        shell.send("exit\n")
        shell.wait()
        runner = [r for r in self.listed() if r["name"] == "my runner"][0]
        self.assertEqual(runner["state"], "unresponsive")

        # Configure a Runner: shows the current settings, prompts for each, says what was done.
        t = Terminal(self, command("configure"), env)
        t.expect("Current settings")
        t.expect(self.srv.url)
        t.expect(runner["id"])
        for prompt, answer in (("Server API URL", ""), ("Server API key", ""), ("Runner ID", ""),
                               ("Runner name", ""), ("Health port", "0"), ("State directory", ""),
                               ("Jobs at once", "5"), ("Providers", "native-provider")):
            t.answer(prompt + r".*\[.*: ", answer)
        t.expect("The configuration of runner my runner was saved to")
        self.assertEqual(t.wait(), 0, t.text())

        # Serve in the foreground: the status is Running.
        with open(self.path("serve.log"), "wb") as log:
            serve = subprocess.Popen(command("serve"), env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                     user=self.user, group=self.user)
        self.addCleanup(serve.wait)
        self.addCleanup(serve.kill)
        common.wait_for(lambda: self.state_of(runner["id"]) == "started", 20 * common.PATIENCE, "started")
        serve.send_signal(signal.SIGTERM)
        self.assertEqual(serve.wait(20 * common.PATIENCE), 0)

        # Start as a daemon.
        result = self.go(command("start"), env)
        self.assertTrue(result.stdout.startswith("Running\n"), result.stdout)
        self.assertEqual(self.state_of(runner["id"]), "started")

        # Logs, restart, stop.
        self.assertIn("starting runner my runner", self.go(command("logs"), env).stdout)
        self.assertIn("Running", self.go(command("restart"), env).stdout)
        self.assertIn("Runner:         my runner", self.go(command("status"), env).stdout)
        self.assertEqual(self.go(command("stop"), env).stdout, "Stopped\n")

        # Purge: a list of runners, a selection, Yes.
        both = dict(env, DAYTONA_API_URL=self.srv.url, DAYTONA_API_KEY=self.srv.key)
        t = Terminal(self, command("purge"), both)
        t.expect("my runner")
        t.answer("Number, name or id.*: ", runner["id"])
        t.answer("Purge runner my runner.*: ", "Yes")
        t.answer("Delete its files.*: ", "Yes")
        self.assertEqual(t.wait(), 0, t.text())
        self.assertNotIn(runner["id"], [r["id"] for r in self.listed()])

    user = None

    def quoted(self, argv):
        return " ".join("'" + word + "'" for word in argv)

    def go(self, argv, env):
        result = common.run(argv, env=env, user=self.user, group=self.user)
        self.no_sanitizer(result.stderr)
        self.assertEqual(result.returncode, 0, f"{argv}\n{result.stdout}{result.stderr}")
        return result

    def test_as_it_is_written(self):
        self.walk(lambda applet: [common.BIN, applet], self.env(admin=False), self.env())
        self.assertFalse(os.path.exists(self.cfg))

    def test_written_for_the_reference(self):
        program = self.path("daytona")
        os.symlink(common.BIN, program)
        self.walk(lambda applet: [program, "server", "runner", applet] if applet == "create" else
                  [program, "runner", applet], self.env(admin=False), self.env())

    def test_by_links_in_a_directory_with_spaces(self):
        links = self.path("a directory with spaces")
        os.mkdir(links)
        self.applet("--install", "-s", links)
        env = self.env(admin=False, HOME=None, DAYTONA_RUNNER_CONFIG_DIR=self.path("configuration dir"))
        self.walk(lambda applet: [os.path.join(links, "daytona-runner-" + applet)], env, self.env())

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_as_an_ordinary_user_without_home(self):
        binary = shutil.copy(common.BIN, self.path("daytona-runner"))
        setpriv = shutil.which("setpriv")
        self.assertTrue(setpriv, "setpriv(1) belongs to the base system")
        place = self.path("theirs")
        os.mkdir(place, 0o700)
        os.chown(place, USER, USER)
        env = self.env(admin=False, HOME=None, DAYTONA_RUNNER_CONFIG_DIR=os.path.join(place, "cfg"))
        self.walk(lambda applet: [setpriv, "--reuid", str(USER), "--regid", str(USER), "--clear-groups", binary,
                                  applet], env, self.env())
        self.assertEqual(os.listdir(place), [])


if __name__ == "__main__":
    common.main()
