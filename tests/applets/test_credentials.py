# SPDX-License-Identifier: Apache-2.0
"""Where the runner's key comes from besides its file: systemd's credentials, a program; and another one without a restart."""
import json
import os
import socket
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, contents, main, pids_with, wait_for  # noqa: E402
from servecase import ServeCase  # noqa: E402

OTHER = "k" * 20 + "other"


class CredentialCase(ServeCase):
    def write(self, name, text, mode=0o600):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def command(self, text, name="key-program"):
        return self.write(name, "#!/bin/sh\n" + text, 0o755)

    def replace_key(self):
        """The Server takes another key from now on, and no more the one that it had."""
        del self.srv.keys[self.srv.key]
        self.srv.keys[OTHER] = "runner"

    def quick(self):
        job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
        self.assertEqual(self.srv.wait_final(job, 90 * PATIENCE), ("success", ""), self.runners[-1].log()[-2000:])

    def no_secret(self, runner, *keys):
        for path, content in contents(runner.state).items():
            for key in keys:
                self.assertNotIn(key.encode(), content, path)
        for key in keys:
            self.assertNotIn(key, runner.log())


class CredentialsDirectoryTest(CredentialCase):
    def test_it_counts_as_the_environment_does(self):
        self.write("creds/server.key", self.srv.key + "\n", 0o400)
        runner = self.runner(self.srv, server__key=None)
        env = runner.env(CREDENTIALS_DIRECTORY=self.path("creds"))
        runner.start(env=env)
        self.quick()
        self.assertEqual(runner.stop(), 0)
        runner.write_ini(server__key="wrong" * 8)
        runner.start(env=env)
        self.quick()
        self.assertEqual(runner.stop(), 0)
        shown = runner.applet("config", "-f", "json")
        self.assertNotIn(self.srv.key, shown.stdout)

    def test_one_that_others_can_read_is_refused(self):
        self.write("creds/server.key", self.srv.key, 0o644)
        runner = self.runner(self.srv, server__key=None)
        runner.start(env=runner.env(CREDENTIALS_DIRECTORY=self.path("creds")), wait=False)
        self.assertEqual(runner.wait(), 78)

    def test_a_directory_without_it_is_nothing(self):
        os.mkdir(self.path("creds"))
        runner = self.runner(self.srv)
        runner.start(env=runner.env(CREDENTIALS_DIRECTORY=self.path("creds")))
        self.quick()


class CommandTest(CredentialCase):
    def start(self, text, **kwargs):
        runner = self.runner(self.srv, server__key=None, server__key_command=self.command(text) + " some words")
        return runner.start(**kwargs)

    def test_its_output_is_the_key(self):
        self.write("secret", self.srv.key)
        runner = self.start(f'[ "$*" = "some words" ] && [ -z "$OPERATORS" ] && cat {self.path("secret")}; echo; '
                            f'echo not the key >&2', wait=False, env=None)
        runner.wait()   # what it says on standard error is output as well: more than one line
        self.assertIn("line break", runner.log())
        self.command(f'[ "$*" = "some words" ] && [ -z "$OPERATORS" ] && cat {self.path("secret")} && echo')
        runner.start(env=runner.env(OPERATORS="x"))
        self.quick()
        self.no_secret(runner, self.srv.key)

    def test_one_that_gives_none(self):
        for text, why in (("exit 3", "exit status 3"), ("", "empty"), ("printf 'a\\tb'", "control character"),
                          ("head -c 100000 /dev/zero | tr '\\0' x", ""), ("kill -9 $$", "signal 9")):
            runner = self.runner(self.srv, server__key=None, server__key_command=self.command(text))
            runner.start(wait=False)
            if why:
                self.assertNotEqual(runner.wait(), 0)
                self.assertRegex(runner.log(), "key_command.*" + why)
            else:
                runner.wait_log("refuses our API key", 30)
                self.assertEqual(runner.stop(), 0)

    def test_rotation(self):
        """The old key is refused: the program is asked again, aside, and jobs that wait are done."""
        self.write("secret", self.srv.key)
        runner = self.start(f'echo run >> {self.path("runs")}; cat {self.path("secret")}')
        self.quick()
        self.replace_key()
        self.write("secret", OTHER)
        runner.wait_log("there is another key", 40)
        self.quick()
        with open(self.path("runs"), encoding="utf-8") as file:
            self.assertLess(len(file.read().split()), 5)
        self.no_secret(runner, self.srv.key, OTHER)

    def test_one_that_hangs_holds_up_nothing(self):
        self.write("secret", self.srv.key)
        runner = self.start(f'[ -e {self.path("hang")} ] && sleep 1000; cat {self.path("secret")}')
        self.write("hang", "")
        self.replace_key()
        wait_for(lambda: pids_with(self.path("key-program")), 40 * PATIENCE, "it is asked again")
        self.assertTrue(runner.status()["key_refused"])
        self.assertEqual(runner.stop(), 0)
        wait_for(lambda: not pids_with(self.path("key-program")), 20 * PATIENCE, "no process of it is left")


class KeyFileTest(CredentialCase):
    def test_rotation(self):
        path = self.write("key", self.srv.key)
        runner = self.runner(self.srv, server__key=None, server__key_file=path).start()
        self.replace_key()
        self.write("key", OTHER)
        runner.wait_log("there is another key", 40)
        self.quick()
        self.no_secret(runner, self.srv.key, OTHER)

    def test_settings_that_exclude_each_other(self):
        runner = self.runner(self.srv, server__key_command="/bin/true")
        runner.start(wait=False)
        self.assertEqual(runner.wait(), 78)
        self.assertIn("key_command and key are both set", runner.log())


class LogTest(CredentialCase):
    def test_json(self):
        self.srv.extra_headers.append(("traceparent", "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01"))
        runner = self.runner(self.srv, runner__log_format="json").start()
        self.quick()
        self.assertEqual(runner.applet("pause", "--note", 'a "note"\\').returncode, 0)
        self.assertEqual(runner.stop(), 0)
        lines = [json.loads(line) for line in runner.log().splitlines()]
        self.assertGreater(len(lines), 5)
        for line in lines:
            self.assertEqual(list(line), ["time", "level", "msg"])
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("error", "warn", "info", "debug"))
        self.assertTrue([line for line in lines if 'a "note"\\' in line["msg"]])

    def test_the_trace_of_a_job_is_in_its_log(self):
        trace = "00-" + "a1" * 16 + "-" + "b2" * 8 + "-01"
        for sent, want in ((trace, True), (trace[:-1], False), (trace.replace("a", "z"), False)):
            self.srv.extra_headers[:] = [("X-Server-Version", "v0.53.0"), ("traceparent", sent)]
            if not self.runners:
                self.runner(self.srv).start()
            workspace = self.srv.add_workspace(self.repo_url)
            self.job("create", workspace)
            self.srv.wait(lambda workspace=workspace: "created" in self.srv.log_text("workspace", workspace), 20, "log")
            self.assertEqual("traceparent " in self.srv.log_text("workspace", workspace), want, sent)

    def test_journal(self):
        runner = self.runner(self.srv, runner__log_target="journal").start()
        self.assertEqual(runner.stop(), 0)
        for line in runner.log().splitlines():
            self.assertRegex(line, "^<[3-7]>[^ ]")

    def test_syslog(self):
        """/dev/log of a mount name space of its own."""
        made = os.system("unshare -Urm true 2>/dev/null")
        if made != 0 or not os.path.isdir("/dev"):
            self.skipTest("no mount name spaces here")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            daemon = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            daemon.bind(os.path.join(directory, "log"))
            daemon.settimeout(20 * PATIENCE)
            script = (f'mount -t tmpfs none /dev && ln -s {directory}/log /dev/log && : > /dev/null && exec "$@"')
            runner = self.runner(self.srv, runner__log_target="syslog", runner__log_format="text")
            runner.start(prefix=("unshare", "-Urm", "sh", "-c", script, "sh"), wait=False)
            try:
                first = daemon.recv(8192).decode()
            except TimeoutError:
                self.skipTest("no other /dev can be mounted here: " + runner.log()[-300:])
            self.assertRegex(first, r"^<30>daytona-runner\[\d+\]: starting runner ")
            self.assertNotIn("starting runner", runner.log())
            runner.signal(15)
            runner.wait()
            daemon.close()

    def test_wrong_values(self):
        for key, value in (("log_format", "xml"), ("log_target", "printer")):
            runner = self.runner(self.srv, **{"runner__" + key: value})
            self.assertEqual(runner.applet("config", "-q").returncode, 78)


if __name__ == "__main__":
    main()
