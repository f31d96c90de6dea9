# SPDX-License-Identifier: Apache-2.0
"""A person's machine for the tests of the applets: an embedded Server, an administrator's environment, a
host with a configuration directory."""
import json
import os
import re
import shlex
import signal
import stat

from lib import common, serverproc
from lib.ptydrive import Terminal


class LifeCase(common.Case):
    def setUp(self):
        super().setUp()
        self.srv = serverproc.Server(self, self.path("srv"), "--poll-seconds", "2")
        self.cfg = self.path("cfg")
        self.ini = os.path.join(self.cfg, "runner.ini")
        self.state = os.path.join(self.cfg, "state")
        self.bin = common.BIN
        self.addCleanup(self.stop_all)

    def stop_all(self):
        """Runners that `start` put into the background."""
        for pid in common.pids_with(self.tmp):
            if pid != self.srv.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def env(self, admin=True, **extra):
        env = common.clean_env(self.path("home"), DAYTONA_RUNNER_CONFIG_DIR=self.cfg, DR_TEST=self.tmp,
                               TERM="dumb")
        os.makedirs(env["HOME"], exist_ok=True)
        if admin:
            env.update(DAYTONA_API_URL=self.srv.url, DAYTONA_API_KEY=self.srv.key)
        env.update(extra)
        return {k: v for k, v in env.items() if v is not None}

    def applet(self, *args, env=None, rc=0, **kwargs):
        result = common.run([self.bin, *args], env=env or self.env(), **kwargs)
        self.no_sanitizer(result.stderr)
        if rc is not None:
            self.assertEqual(result.returncode, rc, f"{args}\n{result.stdout}{result.stderr}")
        return result

    def no_sanitizer(self, text):
        match = common.SANITIZER.search(text)
        self.assertIsNone(match, match and text[-4000:])

    def terminal(self, *args, env=None, **kwargs):
        return Terminal(self, [self.bin, *args], env or self.env(), **kwargs)

    def create(self, name="edge", *args):
        """Registers a runner: what `create --format json` says."""
        return json.loads(self.applet("create", "--name", name, "--format", "json", *args).stdout)

    def configure(self, made, *args, rc=0, env=None):
        return self.applet("configure", "--api-url", made["apiUrl"], "--api-key", made["apiKey"], "--id",
                           made["id"], "--name", made["name"], "--port", "0", "--providers",
                           "native-provider", *args, rc=rc, env=env or self.env(admin=False))

    def configured(self, name="edge"):
        made = self.create(name)
        self.configure(made)
        return made

    def listed(self):
        return json.loads(self.applet("list", "-f", "json").stdout)

    def state_of(self, runner_id):
        return {r["id"]: r["state"] for r in self.listed()}.get(runner_id)

    def runner_pid(self):
        """The running runner's process by `status`; 0 if there is none."""
        return json.loads(self.applet("status", "-f", "json", rc=None).stdout).get("pid", 0)

    def line_of(self, output):
        """The line that create prints for the runner's host."""
        lines = [line for line in output.splitlines() if line.startswith("printf ")]
        self.assertEqual(len(lines), 1, output)
        return lines[0]

    def words_of(self, line):
        """The arguments of configure in that line, with the key as one of them."""
        words = shlex.split(line)
        self.assertEqual(words[:2] + words[3:5], ["printf", "%s\\n", "|", "daytona-runner"])
        at = words.index("--api-key-file")
        self.assertEqual(words[at + 1], "-")
        return words[5:at] + ["--api-key", words[2]] + words[at + 2:]

    def ini_text(self):
        with open(self.ini, encoding="utf-8") as file:
            return file.read()

    def tree(self, top):
        """Every path below top with its kind and content."""
        def look(path, st):
            if stat.S_ISLNK(st.st_mode):
                return "-> " + os.readlink(path)
            return "dir" if stat.S_ISDIR(st.st_mode) else None
        found = {path: what for path, what in common.look_at(top, look).items() if what}
        return {**found, **common.contents(top)}  # the control socket is neither


def one_line(text):
    return re.fullmatch(r"[^\n]+\n", text) is not None
