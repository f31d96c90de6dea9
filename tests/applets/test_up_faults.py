#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""up and down: cut off at each step, twice at once, with processes and data lost, on a host that is somebody else's."""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common  # noqa: E402
from lib.upcase import UpCase  # noqa: E402


class Faults(UpCase):
    def up_until(self, pattern, number=signal.SIGKILL):
        """Starts it and ends it when it says that: what it has started goes on."""
        with subprocess.Popen([common.BIN, "up", self.repo], env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, cwd=self.path("home")) as process:
            for line in process.stdout:
                if re.search(pattern, line):
                    process.send_signal(number)
                    break
            process.stdout.read()
        return process.returncode

    def test_cut_off_at_each_step(self):
        for pattern, number in (("^Server", signal.SIGKILL), ("^Runner", signal.SIGKILL),
                                ("^Creating workspace", signal.SIGKILL), ("^cloning", signal.SIGINT)):
            with self.subTest(pattern):
                self.up_until(pattern, number)
                self.applet("up", self.repo)
                self.one_of_each()
                self.assertEqual(self.js("workspace", "list")[0]["state"], "started")
                self.applet("down", "--purge", "-y")
                self.nothing_left()

    def test_cut_off_before_the_key_was_saved(self):
        self.applet("up", self.repo)
        self.applet("down")
        ini = os.path.join(self.cfg, "runner.ini")
        with open(ini, encoding="utf-8") as file:
            text = file.read()
        with open(ini, "w", encoding="utf-8") as file:
            file.write(re.sub(r"(?m)^key = .*\n", "", text))
        said = self.applet("up", self.repo)
        self.assertEqual(self.steps(said.stdout), {"Server": "is started", "Runner": "is started", "Target": "is there",
                                                   "Workspace": "is started"})
        self.one_of_each()

    def test_a_runner_that_is_paused(self):
        self.applet("up", self.repo)
        self.applet("pause")
        self.assertEqual(self.steps(self.applet("down").stdout), dict.fromkeys(("Workspace", "Runner", "Server"), "is stopped"))
        self.applet("up", self.repo)
        self.applet("pause")
        self.assertEqual(self.steps(self.applet("up", self.repo).stdout)["Runner"], "is started")
        self.applet("pause")
        self.applet("down", "--purge", "-y")
        self.nothing_left()

    def test_purge_cut_off_while_it_removes(self):
        self.applet("up", self.repo)
        self.applet("down")
        data = os.path.join(self.cfg, "server")
        os.rename(data, data + ".removed")
        os.unlink(os.path.join(data + ".removed", "lock"))
        self.applet("down", "--purge", "-y")
        self.nothing_left()

    def test_data_of_the_server_is_gone(self):
        self.applet("up", self.repo)
        self.applet("down")
        shutil.rmtree(os.path.join(self.cfg, "server"))
        self.applet("up", self.repo)
        self.one_of_each()

    def test_the_port_is_somebody_elses(self):
        with socket.socket() as mine:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                mine.bind(("127.0.0.1", 3986))
                mine.listen()
            except OSError:
                self.skipTest("another program listens on the port")
            said = self.applet("up", self.repo)
            [url] = re.findall(r"(?m)^Server +(\S+) is started", said.stdout)
            self.assertNotEqual(url, "http://127.0.0.1:3986")
        # From then on it stays the same, so that what was told the address goes on.
        self.applet("down")
        self.assertIn(f" {url} is started", self.applet("up", self.repo).stdout)
        self.one_of_each()

    def test_two_at_once(self):
        both = [subprocess.Popen([common.BIN, "up", self.repo], env=self.env(), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=self.path("home"))
                for _ in range(2)]
        said = [p.communicate(timeout=60 * common.PATIENCE) for p in both]
        self.assertEqual([p.returncode for p in both], [0, 0], said)
        self.one_of_each()
        self.assertEqual(sorted(self.steps(out)["Workspace"] for out, _ in said), ["is started", "is there"])

    def test_server_and_runner_killed(self):
        self.applet("up", self.repo)
        for pid in common.pids_with(self.cfg):
            if b"serve" in common.read_proc(pid, "cmdline"):
                os.kill(pid, signal.SIGKILL)
                common.wait_for(lambda pid=pid: not common.alive(pid), 20 * common.PATIENCE, "the end of a killed process")
        said = self.applet("up", self.repo)
        self.assertEqual((self.steps(said.stdout)["Server"], self.steps(said.stdout)["Runner"]), ("is started", "is started"))
        self.one_of_each()
        # Only a runner can stop what runs in a workspace.
        for pid in common.pids_with(self.cfg):
            if b"serve\0" in common.read_proc(pid, "cmdline"):
                os.kill(pid, signal.SIGKILL)
                common.wait_for(lambda pid=pid: not common.alive(pid), 20 * common.PATIENCE, "the end of a killed process")
        self.assertEqual(self.steps(self.applet("down").stdout), dict.fromkeys(("Workspace", "Runner", "Server"), "is stopped"))
        self.assertEqual(common.pids_with(self.cfg), [])

    def test_a_host_of_another_server(self):
        os.makedirs(self.cfg)
        ini = os.path.join(self.cfg, "runner.ini")
        with open(os.open(ini, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write("[runner]\nid = abcdef123456\nname = x\n[server]\nurl = https://daytona.example\nkey = secret\n")
        with open(ini, encoding="utf-8") as file:
            before = file.read()
        for args in (["up", self.repo], ["down"], ["down", "--purge", "-y"]):
            with self.subTest(args):
                said = self.applet(*args, rc=1)
                self.assertIn("a runner of https://daytona.example", said.stderr)
                self.assertIn("--config-dir", said.stderr)
        with open(ini, encoding="utf-8") as file:
            self.assertEqual(file.read(), before)
        self.applet("up", self.repo, "-C", self.path("home", "other"))
        self.applet("down", "--purge", "-y", "-C", self.path("home", "other"))
        self.assertFalse(os.path.exists(self.path("home", "other")))


if __name__ == "__main__":
    common.main()
