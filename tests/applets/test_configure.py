#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""create, configure, config, provider, list, delete without a terminal: exit codes, one-line errors,
what is checked against the Server, what is saved, and where secrets are not."""
import base64
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402
from lib.lifecase import LifeCase, one_line  # noqa: E402

REFERENCE = {"id": "9f1c2b3a4d5e", "name": "edge", "apiPort": 3999, "serverApiKey": "K" * 48,
             "serverApiUrl": "https://api.test", "providersDir": "/p", "ClientId": "x", "telemetryEnabled": True,
             "logFile": {"path": "/l", "maxSize": 5, "maxBackups": 2, "maxAge": 3, "localTime": True,
                         "compress": False}}


class Create(LifeCase):
    def test_prints_a_line_that_a_shell_can_run(self):
        os.mkdir(self.path("bin"))
        with open(self.path("bin", "daytona-runner"), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{self.path('argv')}\nexec {common.BIN} \"$@\"\n")
        os.chmod(file.name, 0o755)
        for name in ("edge", "two words", "it's $HOME `id` \"q\" ; # & |", "-dash", "\u00e4\u20ac"):
            result = self.applet("create", "--name=" + name)
            line = self.line_of(result.stdout)
            words = self.words_of(line)
            self.assertTrue(name in words or "--name=" + name in words, words)
            made = [r for r in self.listed() if r["name"] == name][0]
            self.assertRegex(made["id"], r"\A(?=.*[a-f])[0-9a-f]{12}\Z")
            self.assertIn(made["id"], words)
            self.assertRegex(words[words.index("--api-key") + 1], r"\A[A-Za-z0-9+/]{48}\Z")
            self.assertIn("# with the reference runner instead: daytona runner configure ", result.stdout)
            # The whole output is a script: the reference's form is a comment in it.
            env = self.env(admin=False)
            env["PATH"] = self.path("bin") + ":" + env["PATH"]
            common.run(["/bin/sh", "-c", result.stdout], env=env, check=True)
            self.assertIn("name = " + name, self.ini_text())
            self.assertIn("key = " + words[words.index("--api-key") + 1], self.ini_text())
            with open(self.path("argv"), encoding="utf-8") as file: # every user may read that of a process
                self.assertNotIn(words[words.index("--api-key") + 1], file.read())

    def test_formats(self):
        made = self.create("edge")
        self.assertEqual(set(made), {"id", "name", "apiUrl", "apiKey", "command", "referenceCommand", "token"})
        self.assertTrue(made["referenceCommand"].startswith("daytona runner configure --api-url "))
        env = self.applet("create", "--name", "two words", "--env").stdout
        variables = dict(line.split("=", 1) for line in env.splitlines())
        self.assertEqual(variables["DAYTONA_RUNNER_RUNNER_NAME"], "two words")
        config = json.loads(self.applet("config", "-f", "json",
                                        env=self.env(admin=False, **variables)).stdout)
        self.assertEqual(config["runner"]["id"], variables["DAYTONA_RUNNER_RUNNER_ID"])
        self.assertIn("apiKey: \"", self.applet("create", "--name", "y", "-f", "yaml").stdout)
        self.applet("create", "--name", "z", "--env", "-f", "json", rc=2)
        self.applet("create", "--name", "z", "-f", "xml", rc=2)
        self.assertNotIn("z", [r["name"] for r in self.listed()])

    def test_names_are_checked(self):
        made = self.create("edge")
        for name in ("edge", made["id"]):
            result = self.applet("create", "--name", name, rc=1)
            self.assertIn("already", result.stderr)
        for name in ("", "  ", " x", "a\nb", "n" * 300):
            self.applet("create", "--name", name, rc=2)
        result = self.applet("create", rc=2)
        self.assertIn("--name", result.stderr)
        self.assertEqual(len(self.listed()), 1)

    def test_url_for_the_runner(self):
        made = self.create("a", "--runner-api-url", "https://public.test/base/")
        self.assertEqual(made["apiUrl"], "https://public.test/base")
        made = self.create("b", "--api-url-for-runner", "http://10.0.0.1:3986")
        self.assertEqual(made["apiUrl"], "http://10.0.0.1:3986")
        self.applet("create", "--name", "c", "--runner-api-url", "nonsense", rc=1)
        self.assertEqual(len(self.listed()), 2)

    def test_apply_configures_this_host(self):
        result = self.applet("create", "--name", "edge", "--apply")
        self.assertIn("saved to", result.stdout)
        self.applet("configure", "--port", "0", "--providers", "native-provider", env=self.env(admin=False))
        before = self.ini_text()
        result = self.applet("create", "--name", "next", "--apply", rc=1)
        self.assertIn("configured as runner", result.stderr)
        self.assertEqual(self.ini_text(), before)
        self.assertEqual(len(self.listed()), 1)
        self.applet("create", "--name", "next", "--apply", "--yes")
        self.assertIn("name = next", self.ini_text())

    def test_credentials_come_from_everywhere(self):
        key_file = self.path("key")
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(self.srv.key + "\n")
        none = self.env(admin=False)
        result = self.applet("list", env=none, rc=2)
        self.assertIn("DAYTONA_API_URL", result.stderr)
        self.applet("list", "--api-url", self.srv.url, "--api-key-file", key_file, env=none)
        self.applet("list", "--api-url", self.srv.url, "--api-key", self.srv.key, env=none)
        self.applet("list", env=self.env(admin=False, DAYTONA_SERVER_API_URL=self.srv.url,
                                         DAYTONA_SERVER_API_KEY=self.srv.key))
        os.chmod(key_file, 0o644)
        result = self.applet("list", "--api-url", self.srv.url, "--api-key-file", key_file, env=none, rc=1)
        self.assertIn("chmod 600", result.stderr)
        result = self.applet("list", "--api-url", self.srv.url, env=none, rc=2)
        self.assertIn("no API key for " + self.srv.url, result.stderr)

    def profile(self, url):
        directory = os.path.join(self.path("home"), ".config", "daytona")
        os.makedirs(directory, exist_ok=True)
        path = os.path.join(directory, "config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"activeProfile": "p2", "telemetryEnabled": True, "profiles": [
                {"id": "p1", "name": "one", "api": {"url": "http://127.0.0.1:1", "key": "wrong"}},
                {"id": "p2", "name": "two", "api": {"url": url, "key": self.srv.key}}]}, file)
        return path

    def test_the_active_profile_is_read_and_left_alone(self):
        path = self.profile(self.srv.url)
        with open(path, "rb") as file:
            before = file.read()
        self.applet("create", "--name", "edge", env=self.env(admin=False))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    def test_a_key_does_not_go_to_another_server(self):
        self.profile("http://127.0.0.1:1")
        result = self.applet("list", "--api-url", self.srv.url, env=self.env(admin=False), rc=2)
        self.assertIn("no API key for", result.stderr)

    def test_server_that_is_not_there(self):
        result = self.applet("create", "--name", "x", env=self.env(DAYTONA_API_URL="http://127.0.0.1:1"), rc=1)
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.assertIn("127.0.0.1:1", result.stderr)
        result = self.applet("create", "--name", "x", env=self.env(DAYTONA_API_KEY="wrong"), rc=1)
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.assertIn("the API key from environment", result.stderr)
        self.assertNotIn("wrong", result.stderr)


class Configure(LifeCase):
    def test_the_reference_line_is_taken_as_it_is(self):
        made = self.create("edge")
        words = made["referenceCommand"].split()[1:]
        for prefix in ([], ["server"]):
            result = self.applet(*prefix, *words, "--client-id", "3a2f6f0e-6d0b-4b0e-9d0b-7a0c4f6f1b55",
                                 "--disable-telemetry", "--port", "0", "--providers", "native-provider",
                                 env=self.env(admin=False))
            self.assertIn("was saved to", result.stdout)

    def input(self, text):
        with open(self.path("input"), "w", encoding="utf-8") as file:
            file.write(text or "")
        file = open(self.path("input"), "rb")
        self.addCleanup(file.close)
        return file

    def test_the_line_as_one_argument_or_from_standard_input(self):
        os.mkdir(self.path("bin"))
        for n, name in enumerate(("edge", "two words", "it's $HOME `id` \"q\" | x", "\u00e4\u20ac")):
            said = self.applet("create", "--name=" + name).stdout
            line, made = self.line_of(said), [r for r in self.listed() if r["name"] == name][0]
            key = self.words_of(line)[self.words_of(line).index("--api-key") + 1]
            reference = [text.partition("instead: ")[2] for text in said.splitlines() if "instead: " in text][0]
            for words, given in (([line], None), (["-"], said), (["-"], line), ([reference], None),
                                 (["daytona-runner " + line.partition("daytona-runner ")[2].replace(
                                     "--api-key-file -", "--api-key " + key)], None),
                                 ([line.replace("--api-key-file -", "--api-key-fd 0")], None)):
                with self.subTest(name=name, words=words):
                    self.applet("configure", *words, "--port", str(4000 + n), "--providers", "native-provider",
                                env=self.env(admin=False), stdin=self.input(given))
                    text = self.ini_text()
                    for setting in (f"name = {name}\n", f"key = {key}\n", f"id = {made['id']}\n", f"port = {4000 + n}\n"):
                        self.assertIn(setting, text)
                    os.unlink(self.ini)

    def test_what_is_no_such_line(self):
        self.configured()
        before = self.tree(self.cfg)
        for words, given in ((["-"], ""), (["-"], "hello\n"), (["-"], "x" * 70000), (["-"], "\0\0configure \0"),
                             (["printf 'a' | daytona-runner configure --name 'x"], None),
                             (["daytona-runner configure --name x | sh"], None), (["configure -- " + "x " * 200], None),
                             (["xconfigure --id y"], None), (["daytona-runner configure --no-such z"], None)):
            said = self.applet("configure", *words, env=self.env(admin=False), stdin=self.input(given), rc=None)
            self.assertIn(said.returncode, (1, 2), words)
            self.assertTrue(one_line(said.stderr), said.stderr)
            self.assertEqual(self.tree(self.cfg), before)

    def test_a_name_that_the_reference_did_not_quote(self):
        made = self.create("edge of town")
        self.applet("runner", "configure", "--api-url", made["apiUrl"], "--api-key", made["apiKey"], "--id", made["id"],
                    "--name", "edge", "of", "town", "--client-id", "1", "--port", "0", "--providers",
                    "native-provider", env=self.env(admin=False))
        self.assertIn("name = edge of town\n", self.ini_text())
        self.assertIn("unexpected operand", self.applet("configure", "--id", "1", "stray", rc=2).stderr)

    def test_missing_values_are_named_in_one_error(self):
        result = self.applet("configure", env=self.env(admin=False), rc=1)
        self.assertTrue(one_line(result.stderr), result.stderr)
        for word in ("API URL", "API key", "--id", "DAYTONA_RUNNER_RUNNER_NAME"):
            self.assertIn(word, result.stderr)
        self.assertFalse(os.path.exists(self.cfg))

    def test_values_from_the_environment_are_saved(self):
        made = self.create("edge")
        env = self.env(admin=False, DAYTONA_RUNNER_SERVER_URL=made["apiUrl"],
                       DAYTONA_RUNNER_SERVER_KEY=made["apiKey"], DAYTONA_RUNNER_RUNNER_ID=made["id"],
                       DAYTONA_RUNNER_RUNNER_NAME="edge", DAYTONA_RUNNER_RUNNER_PORT="0")
        self.applet("configure", "--providers", "native-provider", env=env)
        config = json.loads(self.applet("config", "-k", "-f", "json", env=self.env(admin=False)).stdout)
        self.assertEqual(config["server"]["key"], made["apiKey"])
        self.assertEqual(config["runner"]["port"], 0)

    def test_key_by_file_and_pipe(self):
        made = self.create("edge")
        base = ["--api-url", made["apiUrl"], "--id", made["id"], "--name", "edge", "--port", "0",
                "--providers", "native-provider"]
        with open(os.open(self.path("key"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write("  " + made["apiKey"] + "\r\n")
        self.applet("configure", *base, "--api-key-file", self.path("key"), env=self.env(admin=False))
        self.assertIn("key = " + made["apiKey"] + "\n", self.ini_text())
        os.unlink(self.ini)
        for data in (made["apiKey"], made["apiKey"] + "\nmore"):
            r, w = os.pipe()  # that stays open
            os.write(w, data.encode() + b"\n")
            self.applet("configure", *base, "--api-key-file", "-", env=self.env(admin=False), stdin=r)
            os.close(r)
            os.close(w)
            self.assertIn("key = " + made["apiKey"] + "\n", self.ini_text())
        self.applet("configure", env=self.env(admin=False, DAYTONA_RUNNER_SERVER_KEY_FILE=self.path("key")))
        self.assertIn("key_file = " + self.path("key"), self.ini_text())
        self.assertNotIn(made["apiKey"], self.ini_text())
        self.applet("configure", "--api-key", "x", "--api-key-file", "-", env=self.env(admin=False), rc=2)
        os.chmod(self.path("key"), 0o604)
        result = self.applet("serve", env=self.env(admin=False), rc=78)
        self.assertIn("mode 0604", result.stderr)

    def refused(self, made, *args, why, **changes):
        before = self.tree(self.cfg)
        result = self.configure(dict(made, **changes), *args, rc=None)
        self.assertIn(result.returncode, (1, 2), result.stdout)
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.assertRegex(result.stderr, why)
        self.assertIn("nothing was saved", result.stderr)
        self.assertNotIn(made["apiKey"], result.stderr)
        self.assertEqual(self.tree(self.cfg), before)

    def test_the_check_finds_what_is_wrong(self):
        made, other = self.create("edge"), self.create("other")
        self.refused(made, apiUrl="http://127.0.0.1:1", why="127.0.0.1:1")
        self.refused(made, apiUrl="http://nothing.invalid", why="in clear")
        self.refused(made, "--allow-http", apiUrl="http://nothing.invalid", why="nothing.invalid")
        self.refused(made, apiKey="wrong", why="key")
        self.refused(made, apiKey=self.srv.key, why="not the key of runner")
        self.refused(made, apiKey=other["apiKey"], why="key")
        self.refused(made, id="0123456789ab", why="0123456789ab|key")
        self.refused(made, id="edge", why="edge")
        self.refused(made, id="../x", why="id has letters")
        self.refused(made, "--state-dir", "/x\ny", why="control character")
        self.configure(dict(made, apiKey="wrong"), "--no-check")
        self.assertIn("key = wrong", self.ini_text())
        result = self.configure(made)
        self.assertIn("accepts the key of runner", result.stdout)
        result = self.configure(dict(made, name="else"))
        self.assertIn("knows runner", result.stdout)

    def test_the_check_leaves_no_trace(self):
        made = self.configured()
        self.assertEqual(self.state_of(made["id"]), "unresponsive")

    def test_answers_of_something_else(self):
        class Page(BaseHTTPRequestHandler):
            def do_GET(self):
                body = b"<html>proxy</html>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        web = HTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        self.addCleanup(web.server_close)
        self.addCleanup(web.shutdown)
        made = self.create("edge")
        self.refused(made, apiUrl=f"http://127.0.0.1:{web.server_port}", why="127.0.0.1")

    def test_some_settings_change_the_others_stay(self):
        self.configured()
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write("# mine\n")
        self.applet("configure", "--max-jobs", "7", "--no-log-compress", env=self.env(admin=False))
        text = self.ini_text()
        self.assertIn("max_jobs = 7\n", text)
        self.assertIn("log_compress = false\n", text)
        self.assertIn("# mine\n", text)
        self.applet("configure", "--log-compress", env=self.env(admin=False))
        self.assertIn("log_compress = true\n", self.ini_text())

    def test_next_step_fits_the_state(self):
        self.configured()
        self.applet("start", env=self.env(admin=False))
        result = self.applet("configure", "--max-jobs", "2", env=self.env(admin=False))
        self.assertIn("Next: daytona-runner restart", result.stdout)

    def test_the_state_directory_of_a_running_runner_stays(self):
        self.configured()
        self.applet("start", env=self.env(admin=False))
        before = self.ini_text()
        result = self.applet("configure", "--state-dir", self.path("new"), env=self.env(admin=False), rc=1)
        self.assertIn("stop it before", result.stderr)
        self.assertEqual(self.ini_text(), before)
        self.applet("stop", env=self.env(admin=False))
        self.applet("configure", "--state-dir", self.path("new"), env=self.env(admin=False))

    def test_import_of_the_reference(self):
        path = self.path("config.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(REFERENCE, file)
        self.applet("configure", "--import", path, "--no-check", "--name", "mine", env=self.env(admin=False))
        config = json.loads(self.applet("config", "-k", "-f", "json", env=self.env(admin=False)).stdout)
        self.assertEqual(config["server"]["key"], "K" * 48)
        self.assertEqual(config["runner"]["name"], "mine")
        self.assertEqual(config["runner"]["port"], 3999)
        self.assertEqual(config["runner"]["log_max_size"], 5)
        self.assertFalse(config["runner"]["log_compress"])
        for text in ("", "{", "[]", "{}", "null"):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            result = self.applet("configure", "--import", path, env=self.env(admin=False), rc=1)
            self.assertTrue(one_line(result.stderr), result.stderr)
        self.applet("configure", "--import", self.path("none"), env=self.env(admin=False), rc=1)

    def test_directory_that_cannot_be_written(self):
        made = self.create("edge")
        with open(self.path("file"), "w", encoding="ascii"):
            pass
        env = self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=self.path("file", "below"))
        result = self.configure(made, rc=1, env=env)
        self.assertIn(self.path("file"), result.stderr)
        self.assertTrue(one_line(result.stderr), result.stderr)

    def test_modes_under_any_umask(self):
        made = self.create("edge")
        old = os.umask(0)
        try:
            self.configure(made)
            self.applet("start", env=self.env(admin=False))
        finally:
            os.umask(old)
        modes = common.look_at(self.cfg, lambda _, st: oct(st.st_mode & 0o077) if not stat.S_ISLNK(st.st_mode) else "0o0")
        self.assertEqual({path: mode for path, mode in modes.items() if mode != "0o0"}, {})
        self.assertEqual(os.stat(self.cfg).st_mode & 0o077, 0)

    def test_broken_files_name_file_and_line(self):
        os.mkdir(self.cfg, 0o700)
        for text, where in (("[server]\nurl\n", ":2: "), ("[nope]\n", ":1: "), ("[runner]\nport = x\n", ":2: "),
                            ("[server]\nbogus = 1\n", ":2: ")):
            with open(self.ini, "w", encoding="ascii") as file:
                file.write(text)
            for applet, rc in (("serve", 78), ("start", 1), ("status", 1), ("config", 1), ("stop", 0), ("logs", 1)):
                result = self.applet(applet, env=self.env(admin=False), rc=rc)
                self.assertIn("runner.ini" + where, result.stderr.splitlines()[0])
                if applet in ("serve", "start"):
                    self.assertTrue(one_line(result.stderr), result.stderr)


    def test_remedies_fit_what_was_typed(self):
        made = self.configured()
        own = self.env(admin=False)
        other = self.create("other")
        # A runner's key is good; it is not the one for this.
        for args in (("delete", "-y", "other"), ("purge", "-y", "other"), ("create", "-n", "third")):
            said = self.applet(*args, env=own, rc=1).stderr
            self.assertNotIn("configure", said)
            self.assertIn("an administrator's by --api-key-file", said)
        self.assertIn(other["id"], [r["id"] for r in self.listed()])
        said = self.applet("list", "--api-url", made["apiUrl"].partition("://")[2], rc=1).stderr
        self.assertIn("no scheme", said)
        self.assertNotIn("API key", said)
        os.unlink(self.ini)
        said = self.applet("configure", "--max-jobs", "3", env=own, rc=1).stderr
        self.assertIn("give --api-url, --api-key-file, --id and --name", said)
        self.assertNotIn("run: daytona-runner configure", said)
        said = self.applet("start", env=own, rc=1).stderr
        self.assertNotIn("--api-key", said)
        self.assertIn("run: daytona-runner configure", said)

    def test_line_of_create_has_what_configure_needs(self):
        far = "http://daytona.test:3986"
        self.assertIn("--allow-http", self.applet("create", "-n", "clear", "--runner-api-url", far).stderr)
        made = self.create("far", "--runner-api-url", far, "--allow-http")
        self.assertTrue(made["command"].endswith(" --allow-http"), made["command"])
        self.assertNotIn("--allow-http", made["referenceCommand"])
        words = self.words_of(made["command"])
        self.applet(*words, "--no-check", env=self.env(admin=False))
        said = self.applet("create", "-n", "e", "--env", "--runner-api-url", far, "--allow-http").stdout
        self.assertIn("DAYTONA_RUNNER_SERVER_ALLOW_HTTP=true\n", said)
        made = self.create("tls", "--runner-api-url", "https://daytona.test", "--ca-file", "/some where/ca.pem")
        self.assertTrue(made["command"].endswith(" --ca-file '/some where/ca.pem'"), made["command"])
        self.assertNotIn("--ca-file", self.create("near", "--ca-file", "/ca.pem")["command"])
        # What the settings of this host have for the Server is as good as an option.
        pin = "ab" * 32
        env = self.env(DAYTONA_RUNNER_CONFIG_DIR=self.path("none"), DAYTONA_RUNNER_SERVER_CA_DIR="/ca dir",
                       DAYTONA_RUNNER_SERVER_PIN_SHA256=pin)
        made = json.loads(self.applet("create", "-n", "pinned", "-f", "json", "--runner-api-url", "https://daytona.test",
                                      env=env).stdout)
        self.assertTrue(made["command"].endswith(f" --ca-dir '/ca dir' --pin-sha256 {pin}"), made["command"])
        made = self.create("blind", "--runner-api-url", "https://daytona.test", "--insecure", "--ca-file", "/ca.pem")
        self.assertTrue(made["command"].endswith(" --insecure"), made["command"])

    def test_what_was_meant_is_said(self):
        for args, meant in ((("strat",), "did you mean start?"), (("confgure",), "did you mean configure?"),
                            (("start", "--timout", "3"), "did you mean --timeout?"),
                            (("create", "--nmae=x"), "did you mean --name?"),
                            (("configure", "--api-ulr", "x"), "did you mean --api-url?"),
                            (("help", "strat"), "did you mean start?"), (("--help", "strat"), "did you mean start?")):
            self.assertIn(meant, self.applet(*args, rc=2).stderr, args)
        for typed, meant in (("dockr-provider", "docker"), ("docker", "docker"), ("nativ-provider", "native")):
            for args in (("provider", "enable", typed), ("provider", "check", typed),
                         ("configure", "--no-check", "--providers", typed)):
                self.assertIn(f"did you mean {meant}-provider?", self.applet(*args, rc=1).stderr, args)
        self.assertNotIn("did you mean", self.applet("provider", "check", "podman-provider", rc=1).stderr)
        for args in (("frobnicate",), ("start", "--frobnicate"), ("xy",)):
            self.assertNotIn("did you mean", self.applet(*args, rc=2).stderr, args)

    def test_one_dash_before_a_long_name_is_refused(self):
        self.assertIn("write --name=x", self.applet("create", "-name=x", rc=2).stderr)
        self.assertIn("write --name", self.applet("create", "-name", "x", rc=2).stderr)
        self.assertEqual(self.listed(), [])
        self.applet("create", "-nx")
        self.assertEqual([r["name"] for r in self.listed()], ["x"])


class Config(LifeCase):
    def test_example_has_every_key_with_its_default(self):
        text = self.applet("config", "--example", env=self.env(admin=False)).stdout
        before = json.loads(self.applet("config", "-f", "json", env=self.env(admin=False)).stdout)
        for section in ("server", "runner"):
            part = text.partition(f"[{section}]\n")[2].partition("\n[")[0]
            keys = [line[1:].split(" = ")[0] for line in part.splitlines() if line.startswith("#") and line[1] != " "]
            self.assertEqual(sorted(keys), sorted(before[section]))
        os.mkdir(self.cfg, 0o700)
        for on in (False, True):
            # As it is nothing is set; with all defaults taken in nothing is different.
            lines = [line[1:] if on and line.startswith("#") and line[1] != " " and not line.split(" = ")[1].isupper()
                     else line for line in text.splitlines()]
            with open(os.open(self.ini, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write("\n".join(lines) + "\n")
            after = json.loads(self.applet("config", "-f", "json", env=self.env(admin=False)).stdout)
            for section in ("server", "runner"):
                self.assertEqual(after[section], before[section])
            self.assertEqual("file:" in str(after["sources"]), on)
            self.assertIn("missing API URL", self.applet("config", "-q", env=self.env(admin=False), rc=78).stderr)

    def test_shows_values_and_sources_without_the_key(self):
        made = self.configured()
        env = self.env(admin=False, DAYTONA_RUNNER_RUNNER_MAX_JOBS="5")
        text = self.applet("config", env=env).stdout
        self.assertNotIn(made["apiKey"], text)
        self.assertRegex(text, r"runner.max_jobs +=? ?5 +\(environment DAYTONA_RUNNER_RUNNER_MAX_JOBS\)")
        self.assertRegex(text, r"runner.id +=? ?" + made["id"] + r" +\(file:\d+\)")
        self.assertRegex(text, r"server.heartbeat_s +=? ?5s +\(default\)")
        for args in (("-k",), ("--show-key",), ("--key",)):
            self.assertIn(made["apiKey"], self.applet("config", *args, env=env).stdout)
        for form in ("json", "yaml"):
            self.assertNotIn(made["apiKey"], self.applet("config", "-f", form, env=env).stdout)
        config = json.loads(self.applet("config", "-f", "json", env=env).stdout)
        self.assertEqual((config["runner"]["max_jobs"], config["server"]["heartbeat_s"]), (5, 5))
        self.assertEqual(config["sources"]["runner.max_jobs"], "environment DAYTONA_RUNNER_RUNNER_MAX_JOBS")

    def test_reading_changes_nothing(self):
        self.configured()
        before = self.tree(self.tmp)
        for args in (("config",), ("status",), ("stop",), ("logs",), ("provider", "list")):
            self.applet(*args, env=self.env(admin=False), rc=None)
        after = self.tree(self.tmp)
        self.assertEqual({k for k in after if k.startswith(self.cfg)},
                         {k for k in before if k.startswith(self.cfg)})


class Provider(LifeCase):
    def test_list_check_enable_disable(self):
        self.configured()
        env = self.env(admin=False)
        text = self.applet("provider", "list", env=env).stdout
        self.assertRegex(text, r"docker-provider +disabled")
        self.assertRegex(text, r"native-provider +enabled +usable")
        self.assertIn("native-provider (enabled): usable",
                      self.applet("provider", "check", "native-provider", env=env).stdout)
        self.applet("provider", "enable", "docker-provider", env=env)
        self.assertRegex(self.applet("provider", env=env).stdout, r"docker-provider +enabled")
        self.applet("provider", "disable", "native-provider", env=env)
        listed = json.loads(self.applet("provider", "list", "-f", "json", env=env).stdout)
        self.assertEqual({p["name"]: p["enabled"] for p in listed},
                         {"docker-provider": True, "native-provider": False, "exec-provider": False})
        result = self.applet("provider", "enable", "nope", env=env, rc=1)
        self.assertIn("docker-provider, native-provider", result.stderr)
        for args in (("enable",), ("explode",), ("list", "x", "y")):
            self.applet("provider", *args, env=env, rc=2)

    def test_check_says_what_is_missing(self):
        self.configured()
        env = self.env(admin=False, PATH="/nonexistent")
        result = self.applet("provider", "check", env=env, rc=1)
        self.assertRegex(result.stdout, r"native-provider \(enabled\): not usable")
        self.assertIn("git", result.stdout)


class ListAndDelete(LifeCase):
    def test_list(self):
        self.assertIn("No runners found", self.applet("list").stdout)
        self.assertEqual(self.listed(), [])
        made = self.create("edge")
        text = self.applet("ls").stdout
        self.assertEqual(text, f"Name:  edge\nID:    {made['id']}\nState: UNRESPONSIVE\n")
        t = self.terminal("list")
        t.expect(rf"NAME +ID +STATE\nedge +{made['id']} +UNRESPONSIVE\n")
        t.wait()
        t = self.terminal("list", columns=40)
        t.expect(rf"NAME +ID +STATE\nedge +{made['id']} +UNRESPONSIVE\n")
        t.wait()
        self.assertIn("- id: \"", self.applet("list", "-f", "yaml").stdout)

    def test_delete(self):
        made = self.create("edge")
        result = self.applet("delete", "edge", rc=2)
        self.assertIn("--yes", result.stderr)
        self.applet("delete", rc=2)
        self.applet("delete", "-y", "nope", rc=1)
        self.assertEqual(len(self.listed()), 1)
        self.applet("rm", "-y", made["id"])
        self.assertEqual(self.listed(), [])
        self.create("edge")
        self.applet("remove", "--yes", "edge")
        self.assertEqual(self.listed(), [])

    def test_the_servers_own_runner_is_refused(self):
        self.srv.ok("POST", "/runner", {"id": "local", "name": "local"})
        for applet in ("delete", "purge"):
            result = self.applet(applet, "-y", "local", rc=1)
            self.assertIn("part of the Server", result.stderr)
        self.assertEqual(len(self.listed()), 1)


class Top(LifeCase):
    def test_help_fits_eighty_columns(self):
        applets = self.applet("--list").stdout.split()
        self.assertIn("configure", applets)
        for args in [("help",), ("--help",)] + [(a, "--help") for a in applets] + [("help", a) for a in applets]:
            result = self.applet(*args)
            self.assertTrue(result.stdout.startswith("Usage: daytona-runner"), args)
            for line in result.stdout.splitlines():
                self.assertLessEqual(len(line), 80, (args, line))

    def test_version_names_build_and_libraries(self):
        for option in ("--version", "-v", "-V"):
            text = self.applet(option).stdout
            self.assertRegex(text, r"\Adaytona-runner \d+\.\d+\.\d+ \(build [0-9a-f]+|unknown\)\n")
            self.assertRegex(text, r"mbedtls \d+\.\d+\.\d+, jsmn \d+\.\d+\.\d+, inih \d+, zlib \d+\.\d+\.\d+, zstd \d+\.\d+\.\d+")

    def test_what_others_have_as_options_are_words_too(self):
        same = ((("version",), ("--version",)), (("help", "start"), ("--help", "start")), (("help",), ("--help",)),
                (("help", "start"), ("start", "--help")))
        for one, other in same + tuple((("completion", shell), ("--completion", shell)) for shell in ("bash", "zsh", "fish")):
            said = self.applet(*one).stdout
            self.assertTrue(said)
            self.assertEqual(said, self.applet(*other).stdout, one)
        self.assertIn("(or: ls)", self.applet("help").stdout)

    def test_misuse_is_two_with_one_line(self):
        for args in (("nope",), ("--nope",), ("status", "--nope"), ("status", "x"), ("stop", "-t", "x"),
                     ("start", "--timeout", "0"), ("serve", "--port", "x"), ("serve", "--port"), ("logs", "a", "b"),
                     ("purge", "--keep-data", "--purge-data"), ("service",), ("service", "x"), ("create", "x"),
                     ("--install",), ("--completion", "csh"), ("completion", "csh"),
                     ("completion",), ("version", "x"), ("config", "-f", "toml"), ("help", "nope")):
            result = self.applet(*args, rc=2)
            self.assertTrue(one_line(result.stderr), (args, result.stderr))
            self.assertEqual(result.stdout, "", args)

    def test_install_makes_links_and_refuses_foreign_files(self):
        applets = self.applet("--list").stdout.split()
        for symbolic in (False, True):
            target = self.path("bin dir" + str(symbolic))
            os.mkdir(target)
            args = ["-s"] if symbolic else []
            if not symbolic:  # a hard link needs the same file system, and a program that is ours
                own = self.path("daytona-runner")
                shutil.copy(common.BIN, own)
                self.bin = own
            for _ in range(2):
                self.applet("--install", *args, target)
                self.assertEqual(sorted(os.listdir(target)),
                                 sorted(["daytona-runner"] + ["daytona-runner-" + a for a in applets]))
            link = os.path.join(target, "daytona-runner-stop")
            self.assertEqual(os.path.islink(link), symbolic)
            result = common.run([link], env=self.env(admin=False))
            self.assertIn("not running", result.stdout)
            os.unlink(link)
            with open(link, "w", encoding="ascii") as file:
                file.write("mine")
            before = self.tree(target)
            os.unlink(os.path.join(target, "daytona-runner-start"))
            before.pop(os.path.join(target, "daytona-runner-start"))
            result = self.applet("--install", *args, target, rc=1)
            self.assertIn("not ours", result.stderr)
            self.assertEqual(self.tree(target).keys(), before.keys())
        self.applet("--install", self.path("nothing"), rc=1)

    def test_links_are_made_where_there_is_no_proc(self):
        with open(common.BIN, "rb") as file:
            if os.geteuid() != 0 or b"libasan" in file.read():
                self.skipTest("needs root and a static executable")
        common.need_unshare(self, "-m")
        shutil.copy(common.BIN, self.path("daytona-runner"))
        script = f"mount -t tmpfs none /proc; '{self.tmp}/daytona-runner' --install -s '{self.tmp}'"
        common.run(["unshare", "-m", "sh", "-c", script], check=True)
        self.assertEqual(os.readlink(self.path("daytona-runner-stop")), self.path("daytona-runner"))

    def test_names_of_links(self):
        for name, word in (("stop", "not running"), ("daytona-runner-stop", "not running"),
                           ("daytona-runner-stop-1.2.3", "not running"), ("stop.exe", "not running"),
                           ("daytona-runner-stop-1.2.3.exe", "not running"), ("daytona-runner", "Usage"),
                           ("daytona-runner-1.0", "Usage"), ("daytona", "Usage")):
            link = self.path(name)
            os.symlink(common.BIN, link)
            result = common.run([link], env=self.env(admin=False), check=True)
            self.assertIn(word, result.stdout, name)
            os.unlink(link)

    def test_completion(self):
        for shell, check in (("bash", ["bash", "-n"]), ("zsh", None), ("fish", None)):
            text = self.applet("--completion", shell).stdout
            self.assertIn("daytona-runner", text)
            if check:
                subprocess.run(check, input=text, text=True, check=True)
        script = self.applet("--completion", "bash").stdout + (
            f"daytona-runner() {{ '{common.BIN}' \"$@\"; }}\n"
            "c() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _daytona_runner; printf '%s\\n' \"${COMPREPLY[@]}\"; }\n"
            "c daytona-runner conf; echo --; c daytona-runner configure --api-; echo --; c daytona-runner provider en; "
            "echo --; c daytona-runner config --q; echo --; c daytona-runner status --format ''; "
            "echo --; c daytona-runner serve --log-level w; echo --; c daytona-runner provider check dock; "
            "echo --; c daytona-runner workspace sta; echo --; c daytona-runner workspace create --custom-image-; "
            "echo --; c daytona-runner ws info ''\n")
        out = subprocess.run(["bash"], input=script, text=True, env=self.env(), stdout=subprocess.PIPE, check=True)
        first, second, third, *values = out.stdout.split("\n--\n")
        self.assertEqual(set(first.split()), {"config", "configure"})
        self.assertEqual(set(second.split()), {"--api-url", "--api-key", "--api-key-file"})
        self.assertEqual(third.split(), ["enable"])
        self.assertEqual([v.split() for v in values], [["--quiet"], ["json", "yaml"], ["warn"], ["docker-provider"], ["start"],
                                                        ["--custom-image-user"], []])

    def program_in_path(self):
        """A folder with the executable under its name, and the environment that has it in PATH."""
        os.symlink(common.BIN, self.path("daytona-runner"))
        env = self.env()
        return dict(env, PATH=f"{self.tmp}:{env['PATH']}")

    def test_completion_in_zsh(self):
        if not shutil.which("zsh"):
            self.skipTest("no zsh")
        env = self.program_in_path()
        folder = self.path("functions")
        os.mkdir(folder)
        with open(folder + "/_daytona-runner", "w", encoding="ascii") as file:
            file.write(self.applet("--completion", "zsh").stdout)
        for load in ('eval "$(daytona-runner --completion zsh)"', ":"):
            with self.subTest(load=load):
                path = "" if load != ":" else f"fpath=('{folder}' $fpath); "
                t = Terminal(self, [shutil.which("zsh"), "-f", "-i"], env)
                t.send(f"unsetopt beep; {path}autoload -U compinit; compinit -u -D; {load}; PS1=read''y\n")
                t.expect("ready")
                for typed, found in (("conf", "config +configure"), ("configure --api-", "--api-key +--api-key-file"),
                                     ("provider en", "enable"), ("service uni", "uninstall"), ("help purg", "purge "),
                                     ("workspace sta", "start"), ("target create --target-c", "--target-config")):
                    t.send(f"daytona-runner {typed}\t\t")
                    t.expect(found)
                    t.send("\x15")
                t.send("exit\n")
                t.wait()

    def test_completion_in_fish(self):
        if not shutil.which("fish"):
            self.skipTest("no fish")
        env = self.program_in_path()
        script = "daytona-runner --completion fish | source\n"
        wanted = (("conf", {"config", "configure"}), ("configure --api-key-f", {"--api-key-file"}),
                  ("start -", {"-C"}), ("provider en", {"enable"}), ("service uni", {"uninstall"}),
                  ("help purg", {"purge"}), ("status --format ", {"json", "yaml"}), ("completion z", {"zsh"}),
                  ("workspace st", {"start", "stop"}), ("target create --target-", {"--target-config"}))
        for typed, _ in wanted:
            script += f"complete -C 'daytona-runner {typed}'; echo ==\n"
        out = common.run(["fish", "--no-config", "-c", script], env=env)
        self.assertEqual(out.stderr, "")
        for (typed, words), text in zip(wanted, out.stdout.split("==\n")):
            found = {line.split("\t")[0] for line in text.splitlines()}
            self.assertLessEqual(words, found, typed)
            self.assertFalse([word for word in found if word.startswith("---")], typed)

    def test_full_disk_is_a_failure(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for args in (["help"], ["--version"], ["config"], ["list"], ["create", "--name", "full"]):
            with open("/dev/full", "w", encoding="ascii") as full:
                result = subprocess.run([common.BIN, *args], env=self.env(), stdout=full, stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, timeout=60 * common.PATIENCE, check=False)
            self.assertEqual(result.returncode, 1, args)
            self.assertIn(b"No space", result.stderr, args)
        self.assertEqual(self.listed(), [])  # what nobody has the key of is not kept


class Secrets(LifeCase):
    def forms(self, key):
        return [key.encode(), base64.b64encode(key.encode())[:40]]

    def test_the_key_is_nowhere(self):
        made = self.create("edge")
        self.configure(made)
        self.applet("start", env=self.env(admin=False))
        pid = self.runner_pid()
        self.assertGreater(pid, 0)
        common.need_proc(self, pid)
        for place in ("cmdline", "environ"):
            for form in self.forms(made["apiKey"]):
                self.assertNotIn(form, common.read_proc(pid, place))
        outputs = [self.applet(*args, env=self.env(admin=False), rc=None) for args in (
            ("status",), ("status", "-f", "json"), ("config",), ("config", "-f", "yaml"), ("logs",),
            ("service", "print", "--type", "systemd"), ("service", "print", "--type", "openrc"),
            ("service", "print", "--type", "sysv"))]
        for result in outputs:
            for form in self.forms(made["apiKey"]):
                self.assertNotIn(form, (result.stdout + result.stderr).encode())
        for path, content in self.tree(self.cfg).items():
            if path != self.ini and isinstance(content, bytes):
                for form in self.forms(made["apiKey"]):
                    self.assertNotIn(form, content, path)

    def test_a_key_from_the_environment_leaves_the_environment(self):
        made = self.create("edge")
        env = self.env(admin=False, DAYTONA_RUNNER_SERVER_URL=made["apiUrl"],
                       DAYTONA_RUNNER_SERVER_KEY=made["apiKey"], DAYTONA_RUNNER_RUNNER_ID=made["id"],
                       DAYTONA_RUNNER_RUNNER_NAME="edge", DAYTONA_RUNNER_RUNNER_PORT="0",
                       DAYTONA_RUNNER_PROVIDER_DOCKER_PROVIDER_ENABLED="false")
        self.applet("start", env=env)
        pid = self.runner_pid()
        common.need_proc(self, pid)
        self.assertIn(b"DAYTONA_RUNNER_RUNNER_ID", common.read_proc(pid, "environ"))
        self.assertNotIn(made["apiKey"].encode(), common.read_proc(pid, "environ"))
        os.kill(pid, 1)
        common.wait_for(lambda: "configuration again" in self.applet("logs", env=env).stdout,
                        10 * common.PATIENCE, "reload")
        common.wait_for(lambda: self.state_of(made["id"]) == "started", 10 * common.PATIENCE, "started")
        self.assertEqual(self.applet("status", env=env).returncode, 0)

    def test_the_key_leaves_the_command_line(self):
        made = self.create("edge")
        r, w = os.pipe()
        process = subprocess.Popen(
            [common.BIN, "configure", "--api-url", made["apiUrl"], "--api-key=" + made["apiKey"], "--import",
             f"/dev/fd/{r}"], env=self.env(admin=False), pass_fds=[r], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        os.close(r)
        try:
            common.wait_for(lambda: b"configure" in common.read_proc(process.pid, "cmdline") and
                            made["apiKey"].encode() not in common.read_proc(process.pid, "cmdline"),
                            10 * common.PATIENCE, "key gone from the command line")
        finally:
            os.close(w)
            process.communicate()


class Tls(LifeCase):
    def test_certificates_are_checked(self):
        ca = common.make_ca(self.tmp)
        cert, key = common.make_cert(self.tmp, ca)
        srv = serverproc.Server(self, self.path("tls"), "--tls-cert", cert, "--tls-key", key)
        env = self.env(DAYTONA_API_URL=srv.url, DAYTONA_API_KEY=srv.key)
        result = self.applet("list", env=env, rc=1)
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.assertRegex(result.stderr, "(?i)certificate|CA")
        made = json.loads(self.applet("create", "-n", "edge", "-f", "json", "--ca-file", ca, env=env).stdout)
        result = self.configure(made, rc=1)
        self.assertIn("nothing was saved", result.stderr)
        self.applet("configure", "--api-url", made["apiUrl"], "--api-key", made["apiKey"], "--id", made["id"],
                    "--name", "edge", "--ca-file", os.path.basename(ca), env=self.env(admin=False), cwd=self.tmp)
        self.assertIn("ca_file = " + ca, self.ini_text())
        self.applet("list", "--insecure", env=dict(env, DAYTONA_RUNNER_CONFIG_DIR=self.path("none")))


class Root(LifeCase):
    """Root's place, with an /etc of the test's own."""
    NEW = "/etc/daytona-runner/runner.ini"

    def setUp(self):
        super().setUp()
        common.need_unshare(self, "-rm")
        os.makedirs(self.path("etc"))
        self.old = self.path("home", ".config", "daytona-runner", "runner.ini")
        self.new = self.path("etc", "daytona-runner", "runner.ini")

    def root(self, *args, rc=0, **extra):
        env = self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=None, **{"XDG_CONFIG_HOME": None, **extra})
        return self.applet("-rm", "sh", "-c", 'mount --bind "$0" /etc && exec "$@"', self.path("etc"), common.BIN, *args,
                           env=env, rc=rc)

    def applet(self, *args, **kwargs):
        if args[0] != "-rm":
            return super().applet(*args, **kwargs)
        self.bin = "unshare"
        try:
            return super().applet(*args, **kwargs)
        finally:
            self.bin = common.BIN

    def set(self, *args, **extra):
        return self.root("configure", "--no-check", "--id", "0a1b2c3d4e5f", "--name", "edge", "--api-url", self.srv.url,
                         "--api-key", "K" * 48, "--port", "0", "--state-dir", self.path("state"), *args, **extra).stdout

    def shown(self, **extra):
        return self.root("config", **extra).stdout.splitlines()[0]

    def test_a_new_one(self):
        self.assertIn("# " + self.NEW + " (not there)", self.shown())
        said = self.set()
        self.assertIn(f"was saved to {self.NEW}.", said)
        self.assertFalse(os.path.exists(self.old))
        self.assertEqual([os.stat(x).st_mode & 0o777 for x in (self.new, os.path.dirname(self.new))], [0o600, 0o700])
        self.assertEqual(self.shown(), "# " + self.NEW)
        self.root("purge", "-y", "--local-only")
        self.assertEqual(os.listdir(self.path("etc")), [])

    def test_the_old_place(self):
        self.set(XDG_CONFIG_HOME=self.path("home", ".config"))  # who sets the variable means it
        self.assertFalse(os.path.exists(self.new))
        self.assertEqual(self.shown(XDG_CONFIG_HOME=self.path("home", ".config")), "# " + self.old)
        note = self.old + " (an old place; root's is /etc/daytona-runner"
        self.assertIn(note, self.shown())
        self.assertIn(note, self.root("check", rc=1).stdout.replace("\n", " ").replace("  ", ""))
        self.assertIn(note, self.root("status", rc=None).stdout)
        self.assertIn(note, self.root("configure", "--no-check", "--max-jobs", "3").stdout)
        with open(self.old, encoding="utf-8") as file:
            self.assertIn("max_jobs = 3", file.read())
        self.assertFalse(os.path.exists(self.new))
        # As soon as the other is there, that one counts, and is what purge removes.
        os.mkdir(os.path.dirname(self.new), 0o700)
        shutil.copy(self.old, self.new)
        self.assertEqual(self.shown(), "# " + self.NEW)
        self.root("purge", "-y", "--local-only")
        self.assertFalse(os.path.exists(self.new))
        self.assertIn(note, self.shown())
        self.root("purge", "-y", "--local-only")
        self.assertFalse(os.path.exists(self.old))
        self.assertEqual(self.shown(), f"# {self.NEW} (not there)")


if __name__ == "__main__":
    common.main()
