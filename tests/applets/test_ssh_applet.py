# SPDX-License-Identifier: Apache-2.0
"""ssh and ssh-config: the real OpenSSH client through Server and agent."""
import hashlib
import os
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common  # noqa: E402
from lib.tunnelcase import TunnelCase  # noqa: E402

SIZE = 20_000_000


class SshApplet(TunnelCase):
    def setUp(self):
        super().setUp()
        if not shutil.which("ssh"):
            self.skipTest("no OpenSSH client here")
        self.user = self.path("user")
        os.mkdir(self.user)
        key = self.make("w1")[0]
        self.agent("w1", key, SHELL="/bin/sh")
        self.checkout = self.path("home-w1", "app")
        self.env = common.clean_env(self.user, DAYTONA_API_URL=self.server.url, DAYTONA_API_KEY=self.server.key)
        self.folder = os.path.join(self.user, ".config", "daytona-runner", "ssh")

    def call(self, *args, env=None, **kwargs):
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([str(a) for a in args], env=env or self.env, timeout=60 * common.PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def ssh(self, *args, **kwargs):
        return self.call(common.BIN, "ssh", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", *args, **kwargs)

    def ok(self, done):
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout

    def config(self):
        self.ok(self.call(common.BIN, "ssh-config"))
        return os.path.join(self.folder, "config")

    def test_command(self):
        for name in ("name-w1", "w1"):
            done = self.ssh(name, "pwd; exit 7")
            self.assertEqual((done.returncode, done.stdout.decode().strip()), (7, self.checkout), done.stderr)
        # What follows the name is the command's, whatever it looks like.
        self.assertEqual(self.ok(self.ssh("name-w1", "printf", "%s", "-f", "--help", "--")), b"-f--help--")
        self.assertEqual(self.ok(self.ssh("--", "name-w1", "echo", "-n", "a")), b"a")
        self.assertEqual(self.ok(self.ssh("name-w1", "cat", input=b"typed")), b"typed")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.folder, "id_ed25519")).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(self.folder).st_mode), 0o700)

    def test_names_that_are_none(self):
        done = self.ssh("name-w2", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"name-w2", done.stderr)
        done = self.ssh()
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"name-w1", done.stderr)

    def test_wrong_api_key(self):
        self.assertEqual(self.ok(self.ssh("w1", "echo", "in")), b"in\n")
        done = self.ssh("w1", "true", env={**self.env, "DAYTONA_API_KEY": "wrong"})
        self.assertEqual(done.returncode, 1)
        done = self.call(common.BIN, "ssh", "--connect", "w1", env={**self.env, "DAYTONA_API_KEY": "wrong"})
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"401", done.stderr)

    def test_agent_that_is_gone(self):
        self.agents["w1"].kill()
        self.agents["w1"].wait()
        done = self.ssh("w1", "true")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"daytona-runner ssh:", done.stderr)

    def test_key_as_an_option_is_in_no_process(self):
        env = {k: v for k, v in self.env.items() if not k.startswith("DAYTONA_API")}
        path = self.path("key")
        with open(path, "w", encoding="ascii", opener=lambda p, f: os.open(p, f, 0o600)) as file:
            file.write(self.server.key)
        for args in (("--api-key", self.server.key), ("--api-key-file", path)):
            out = self.ok(self.ssh("--api-url", self.server.url, *args, "w1",
                                   f"cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c {self.server.key[:-3]}[{self.server.key[-3]}] || true",
                                   env=env))
            self.assertEqual(int(out), 0)

    def test_config_for_everybody(self):
        config = self.config()
        with open(config, encoding="utf-8") as file:
            text = file.read()
        self.assertNotIn(self.server.key, text)
        self.assertEqual(stat.S_IMODE(os.stat(config).st_mode), 0o600)
        out = self.ok(self.call(common.BIN, "ssh-config"))
        self.assertIn(f'Include "{config}"'.encode(), out)
        self.assertEqual(self.ok(self.call(common.BIN, "ssh-config", "--print")).decode(), text)
        os.mkdir(os.path.join(self.user, ".ssh"), 0o700)
        own = os.path.join(self.user, ".ssh", "config")  # not found by ssh, which goes by the account's home
        with open(own, "w", encoding="utf-8") as file:
            file.write(f'Include "{config}"\n')
        big = self.path("big")
        with open(big, "wb") as file:
            file.write(os.urandom(SIZE))
        digest = hashlib.sha256(open(big, "rb").read()).digest()
        flags = ("-F", own, "-o", "BatchMode=yes")
        for host in ("name-w1.daytona", "w1.daytona"):
            self.assertEqual(self.ok(self.call("ssh", *flags, host, "echo in")), b"in\n")
        self.ok(self.call("scp", *flags, "-q", big, "name-w1.daytona:up"))
        self.ok(self.call("scp", *flags, "-q", "name-w1.daytona:up", self.path("back")))
        for path in (os.path.join(self.checkout, "up"), self.path("back")):
            self.assertEqual(hashlib.sha256(open(path, "rb").read()).digest(), digest)
        if shutil.which("rsync"):
            self.ok(self.call("rsync", "-a", "-e", f"ssh -F {own}", big, "name-w1.daytona:synced"))
        self.assertIn(b"/app", self.ok(self.call("sftp", *flags, "-q", "-b", "-", "name-w1.daytona", input=b"pwd\n")))

    def test_names_that_ssh_would_misread(self):
        """A name of the Server stands in no line of the file that it could add to."""
        path = self.path("odd %h \"'$(x)")
        os.mkdir(path)
        env = {**self.env, "DAYTONA_RUNNER_CONFIG_DIR": self.path("with space %h")}
        os.mkdir(self.path("with space %h"))
        self.ok(self.call(common.BIN, "ssh-config", env=env))
        self.assertEqual(self.ok(self.ssh("w1", "echo", "in", env=env)), b"in\n")
        # The file goes with its directory, whoever uses it.
        flags = ("-F", os.path.join(env["DAYTONA_RUNNER_CONFIG_DIR"], "ssh", "config"), "-o", "BatchMode=yes")
        self.assertEqual(self.ok(self.call("ssh", *flags, "w1.daytona", "echo in")), b"in\n")
        done = self.call(common.BIN, "ssh-config", env={**self.env, "DAYTONA_RUNNER_CONFIG_DIR": path})
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"no such name", done.stderr)

    def test_killed_client_leaves_nothing(self):
        process = subprocess.Popen([common.BIN, "ssh", "w1", "echo $$ >p; mv p pid; sleep 1000"], env=self.env,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        common.wait_for(lambda: os.path.exists(os.path.join(self.checkout, "pid")), 20 * common.PATIENCE, "the command")
        process.kill()
        process.wait()
        self.wait_nothing_left()


if __name__ == "__main__":
    if common.BIN and "dropbear" not in common.run([common.BIN, "--version"]).stdout:
        common.skip_all("built without ssh")
    common.main()
