#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Streams into workspaces that a runner made: plain native ones, and isolated ones where the machine can have them."""
import glob
import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common  # noqa: E402
from lib.gitserver import GitServer, make_repo  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402


class Native(common.Case):
    def setUp(self):
        super().setUp()
        for name in ("git", "home"):
            os.mkdir(self.path(name))
        make_repo(self.path("git"))
        self.git = GitServer(self.path("git"))
        self.addCleanup(self.git.stop)
        self.repo = self.git.url + "/app.git"
        self.cfg = self.path("home", "cfg")
        self.addCleanup(self.ended)
        said = self.applet("up", "-d", self.repo, server=False).stdout
        key, = glob.glob(os.path.join(self.cfg, "**", "client.key"), recursive=True)
        # Named, so that the Server is gone through although the workspace is here.
        self.server = ("--api-url", re.search(r"http://\S+", said).group(0), "--api-key-file", key)

    def ended(self):
        for pid in common.pids_with(self.tmp):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def env(self):
        return common.clean_env(self.path("home"), DAYTONA_RUNNER_CONFIG_DIR=self.cfg, DR_TEST=self.tmp, TERM="xterm")

    def applet(self, *args, server=True, rc=0):
        words, dashes, program = " ".join(args), [], args
        if "--" in args:
            at = args.index("--")
            program, dashes = args[:at], args[at:]
        said = common.run([common.BIN, *program, *(self.server if server else ()), *dashes], env=self.env(),
                          cwd=self.path("home"), timeout=60 * common.PATIENCE)
        self.assertIsNone(common.SANITIZER.search(said.stderr), said.stderr[-3000:])
        self.assertEqual(said.returncode, rc, f"{words}\n{said.stdout}{said.stderr}")
        return said

    def walk(self, name):
        said = self.applet("exec", name, "--", "sh", "-c", "cat README.md >/dev/null && echo in the checkout; exit 7", rc=7)
        self.assertEqual(said.stdout, "in the checkout\n")
        terminal = Terminal(self, [common.BIN, "exec", name, *self.server, "-t", "--", "sh", "-c", "tty; stty size; read x; echo $x"],
                            self.env())
        terminal.expect("/dev/pts/\\d+\n24 80\n")
        terminal.send("typed\n")
        terminal.expect("typed\ntyped\n")
        self.applet("cp", "/etc/hostname" if os.path.exists("/etc/hostname") else "/etc/passwd", name + ":copied")
        self.applet("cp", f"{name}:copied", "back")
        said = self.applet("exec", name, "--", "cat", "copied")
        with open(self.path("home", "back"), encoding="utf-8") as file:
            self.assertEqual(file.read(), said.stdout)
        self.assertIn("nothing listens", self.applet("tunnel", name, "1", rc=1).stderr)

    def test_plain(self):
        self.walk("app")
        self.applet("workspace", "stop", "app")
        self.assertIn("is stopped; start it first", self.applet("exec", "app", "--", "true", rc=255).stderr)
        self.applet("workspace", "start", "app")
        self.applet("exec", "app", "--", "true")

    def killed_runner(self, name):
        """The agent and the Server serve a stream: it goes on without the runner, both ways."""
        words = [common.BIN, "exec", name, *self.server, "-i", "--", "cat"]
        stream = subprocess.Popen(words, env=self.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(stream.stdout.close)
        self.addCleanup(stream.wait)
        self.addCleanup(stream.kill)
        for line in (b"before\n", b"after\n"):
            stream.stdin.write(line)
            stream.stdin.flush()
            self.assertEqual(stream.stdout.readline(), line)
            if line == b"before\n":
                runners = [p for p in common.pids_with(self.tmp) if common.read_proc(p, "cmdline").split(b"\0")[1:2] == [b"serve"]]
                self.assertTrue(runners)
                for pid in runners:
                    os.kill(pid, signal.SIGKILL)
                common.wait_for(lambda: not any(map(common.alive, runners)), 20 * common.PATIENCE, "the runner's end")
        stream.stdin.close()
        self.assertEqual(stream.wait(60 * common.PATIENCE), 0)

    def test_a_killed_runner_ends_no_stream(self):
        self.killed_runner("app")

    def test_isolated(self):
        check = common.run([common.BIN, "provider", "check", "native-provider"], env=common.clean_env(self.tmp))
        if "(Image, Root)" not in check.stdout + check.stderr:
            self.skipTest("no isolation here: " + check.stdout + check.stderr)
        config, = [c for c in json.loads(self.applet("call", "GET", "/target-config").stdout)
                   if c["providerInfo"]["name"] == "native-provider"]
        self.applet("call", "POST", "/target-config",
                    json.dumps({"name": "box", "options": json.dumps({"Root": "/"}), "providerInfo": config["providerInfo"]}))
        self.applet("target", "create", "boxes", "--target-config", "box")
        self.applet("workspace", "create", self.repo, "--name", "boxed", "--target", "boxes")
        self.walk("boxed")
        said = self.applet("exec", "boxed", "--", "readlink", "/proc/self/ns/pid")
        self.assertNotEqual(said.stdout.strip(), os.readlink("/proc/self/ns/pid"))
        self.killed_runner("boxed")
        self.applet("start", server=False)
        self.applet("workspace", "delete", "-y", "boxed")


if __name__ == "__main__":
    common.main()
