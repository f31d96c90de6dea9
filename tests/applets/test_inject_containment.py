# SPDX-License-Identifier: Apache-2.0
"""A git that was taken over by what it reads: it looks for the secrets of other jobs, signals the runner,
leaves processes behind. It finds nothing and changes nothing."""
import ctypes
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, alive, main, read_proc, wait_for  # noqa: E402
from gitserver import GitServer  # noqa: E402
from servecase import ServeCase  # noqa: E402

SPY = r'''#!/usr/bin/env python3
import json, os, resource, subprocess, sys
def parents():
    found, pid = set(), os.getpid()
    while pid > 1:
        found.add(pid)
        pid = int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
    return found
def look():
    secrets, memory = [], []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            if b"gitpassword" in open(f"/proc/{name}/environ", "rb").read():
                secrets.append(int(name))
        except OSError:
            pass
        try:
            os.close(os.open(f"/proc/{name}/mem", os.O_RDONLY))
            memory.append(int(name))
        except OSError:
            pass
    return secrets, memory
if "clone" in sys.argv or "fetch" in sys.argv:
    out = os.environ["HOME"].split("/state/")[0] + f"/spy-{os.getpid()}"
    secrets, memory = look()
    try:
        os.kill(os.getppid(), 0)
        signalled = True
    except OSError:
        signalled = False
    status = open("/proc/self/status").read()
    daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    told = {"secrets": secrets, "memory": memory, "signalled": signalled, "status": status, "daemon": daemon.pid,
            "core": resource.getrlimit(resource.RLIMIT_CORE), "fds": sorted(map(int, os.listdir("/proc/self/fd"))),
            "env": sorted(os.environ), "pids": sorted(parents())}
    with open(out + ".tmp", "w") as file:
        json.dump(told, file)
    os.rename(out + ".tmp", out)
os.execv("/usr/bin/git", ["git"] + sys.argv[1:])
'''


def landlock():
    """The kernel's version of Landlock, 0 without."""
    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


class ContainmentTest(ServeCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))
        with open(self.path("bin", "git"), "w", encoding="utf-8") as file:
            file.write(SPY)
        os.chmod(self.path("bin", "git"), 0o755)
        self.secret_git = GitServer(self.path("git"), "bot", "gitpassword1")
        self.addCleanup(self.secret_git.stop)
        self.srv.git_providers["aabbccddee01"] = {"id": "aabbccddee01", "providerId": "gitlab", "username": "bot",
                                                  "token": "gitpassword1", "alias": "a", "baseApiUrl": None,
                                                  "signingKey": None, "signingMethod": None}

    def reports(self, runner):
        found = []
        for name in os.listdir(runner.dir):
            if name.startswith("spy-") and not name.endswith(".tmp"):
                with open(os.path.join(runner.dir, name), encoding="utf-8") as file:
                    found.append(json.load(file))
        return found

    def test_a_hostile_git(self):
        runner = self.runner(self.srv)
        env = runner.env(RUNNER_SECRET="hidden")
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        runner.start(env=env)
        # The first one waits with its secret in its environment while the second one looks around.
        self.secret_git.hold.clear()
        first = self.srv.add_workspace(self.secret_git.url + "/app.git", git_provider="aabbccddee01")
        held = self.srv.add_job("workspace", "create", first)
        self.assertTrue(self.secret_git.arrived.wait(60 * PATIENCE), runner.log())
        holder = [pid for pid in self.agents_or_git() if b"gitpassword1" in read_proc(pid, "environ")]
        self.assertTrue(holder, "the test looks for what is not there")
        second = self.srv.add_workspace(self.repo_url)
        self.assertEqual(self.srv.wait_final(self.srv.add_job("workspace", "create", second), 60 * PATIENCE),
                         ("success", ""))
        reports = self.reports(runner)
        self.assertTrue(reports)
        for told in reports:
            self.assertRegex(told["status"], r"NoNewPrivs:\s+1")
            self.assertEqual(told["core"][0], 0)
            self.assertLessEqual(max(told["fds"]), 4, "descriptors of the runner were passed on")
            self.assertNotIn("RUNNER_SECRET", told["env"])
            self.assertFalse([name for name in told["env"] if name.startswith("DAYTONA_RUNNER_")
                              and "ASKPASS" not in name], told["env"])
        if landlock() >= 2:
            for told in reports:
                self.assertEqual(told["secrets"], [], "another job's token was read")
                self.assertEqual(set(told["memory"]) - {told["daemon"]}, set(), "another process's memory was opened")
        if landlock() >= 6:
            self.assertEqual([told["signalled"] for told in reports], [False] * len(reports))
        self.secret_git.hold.set()
        self.assertEqual(self.srv.wait_final(held, 60 * PATIENCE), ("success", ""))
        wait_for(lambda: not any(alive(told["daemon"]) for told in self.reports(runner)), 10 * PATIENCE,
                 "the daemons that it left are ended")
        self.assertEqual(runner.stop(), 0)

    def agents_or_git(self):
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and
                re.search(rb"git", read_proc(int(name), "cmdline"))]


if __name__ == "__main__":
    main()
