# SPDX-License-Identifier: Apache-2.0
"""Programs of a job that were taken over by what they read: a git that looks for the secrets of other jobs, signals the
runner, leaves processes behind, reads and changes the runner's files; an ssh that does the same beside an engine; a
command in a native workspace. They find nothing and change nothing."""
import ctypes
import errno
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, alive, main, pids_with, read_proc, wait_for  # noqa: E402
from fakeengine import FakeEngine  # noqa: E402
from gitserver import GitServer  # noqa: E402
from servecase import ServeCase  # noqa: E402

# What each spy tries. The names in "look-at" are relative to the runner's directory.
TRIES = r'''
import ctypes, json, os, resource, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def possible(try_it, *args):
    try:
        try_it(*args)
        return True
    except OSError:
        return False
def reads(path):
    open(path, "rb").close()
def changes(path):
    open(path, "ab").close()
def refused(*call):
    return libc.syscall(*call) == -1 and ctypes.get_errno() in (1, 38)
def tell(base, **told):
    files = [line.rstrip("\n") for line in open(base + "/spies/look-at")]
    told.update(who=WHO, reads=[name for name in files if possible(reads, os.path.join(base, name))],
                changes=[name for name in files if possible(changes, os.path.join(base, name))],
                replaced=possible(os.rename, base + "/runner.ini", base + "/spies/ini") or
                possible(os.symlink, "/dev/null", base + "/runner.ini.new"),
                trace=not refused(TRACE, 0, 0, 0, 0), namespace=not refused(435, 0, 0), uring=not refused(425, 1, 0),
                socket=possible(socket.socket, socket.AF_PACKET, socket.SOCK_RAW),
                status=open("/proc/self/status").read(), core=resource.getrlimit(resource.RLIMIT_CORE),
                fds=sorted(map(int, os.listdir("/proc/self/fd"))), env=sorted(os.environ))
    out = base + f"/spies/spy-{os.getpid()}"
    with open(out + ".tmp", "w") as file:
        json.dump(told, file)
    os.rename(out + ".tmp", out)
'''.replace("TRACE", {"x86_64": "101", "armv7l": "26"}.get(os.uname().machine, "117"))
GIT = r'''
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
    secrets, memory = look()
    try:
        os.kill(os.getppid(), 0)
        signalled = True
    except OSError:
        signalled = False
    daemon = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    tell(os.environ["HOME"].split("/state/")[0], secrets=secrets, memory=memory, signalled=signalled, daemon=daemon.pid,
         pids=sorted(parents()))
os.execv("/usr/bin/git", ["git"] + sys.argv[1:])
'''
SSH = '''
open(os.path.join(os.environ["HOME"], ".ssh", "known_hosts"), "a").close()
tell(os.environ["HOME"])
sys.exit("nothing to be found")
'''


def landlock():
    """The kernel's version of Landlock, 0 without."""
    return max(0, ctypes.CDLL(None).syscall(444, None, 0, 1))


def seccomp():
    """Whether the kernel has filters: a filter at NULL is another error than a mode that is not known."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.prctl(22, 2, None, 0, 0) == -1 and ctypes.get_errno() == errno.EFAULT


class ContainmentTest(ServeCase):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("bin"))

    def spy(self, name, text, who):
        path = self.path("bin", name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!{sys.executable}\nWHO = '{who}'\n{TRIES}{text}")
        os.chmod(path, 0o755)
        return path

    def start(self, crowd=0, **settings):
        runner = self.runner(self.srv, **settings)
        for i in range(crowd):
            with open(os.path.join(runner.dir, f"beside-{i}"), "w", encoding="utf-8"):
                pass
        os.mkdir(os.path.join(runner.dir, "spies"))
        with open(os.path.join(runner.dir, "key.pem"), "w", encoding="utf-8") as file:
            file.write(self.srv.key + "\n")
        os.chmod(file.name, 0o600)
        runner.write_ini(server__key=None, server__key_file=file.name)
        env = runner.env(RUNNER_SECRET="hidden")
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        return runner.start(env=env)

    def look_at(self, runner, *more):
        names = ["runner.ini", "key.pem", "state/journal", *more]
        for name in names:
            self.assertTrue(os.path.exists(os.path.join(runner.dir, name)), name)
        with open(os.path.join(runner.dir, "spies", "look-at"), "w", encoding="utf-8") as file:
            file.write("\n".join(names))

    def reports(self, runner, who):
        found = []
        for name in os.listdir(os.path.join(runner.dir, "spies")):
            if name.startswith("spy-") and not name.endswith(".tmp"):
                with open(os.path.join(runner.dir, "spies", name), encoding="utf-8") as file:
                    found.append(json.load(file))
        return [told for told in found if told["who"] == who]

    def found_nothing(self, told, seen=()):
        self.assertRegex(told["status"], r"NoNewPrivs:\s+1")
        self.assertEqual(told["core"][0], 0)
        self.assertLessEqual(max(told["fds"]), 4, "descriptors of the runner were passed on")
        self.assertNotIn("RUNNER_SECRET", told["env"])
        self.assertFalse([name for name in told["env"] if name.startswith("DAYTONA_RUNNER_")
                          and "ASKPASS" not in name], told["env"])
        if landlock() >= 2:
            self.assertEqual(told["reads"], list(seen))
            self.assertEqual(told["changes"], list(seen))
            self.assertFalse(told["replaced"])
        else:
            print("this kernel has no Landlock: files are not looked at", file=sys.stderr)
        if seccomp():
            self.assertRegex(told["status"], r"(?m)^Seccomp:\s+2")
            self.assertEqual([told[name] for name in ("trace", "namespace", "uring", "socket")], [False] * 4)
        else:
            print("this kernel has no seccomp: calls are not looked at", file=sys.stderr)

    def test_a_hostile_git(self):
        secret_git = GitServer(self.path("git"), "bot", "gitpassword1")
        self.addCleanup(secret_git.stop)
        self.srv.git_providers["aabbccddee01"] = {"id": "aabbccddee01", "providerId": "gitlab", "username": "bot",
                                                  "token": "gitpassword1", "alias": "a", "baseApiUrl": None,
                                                  "signingKey": None, "signingMethod": None}
        self.spy("git", GIT, "git")
        runner = self.start()
        self.look_at(runner)
        # The first one waits with its secret in its environment while the second one looks around.
        secret_git.hold.clear()
        first = self.srv.add_workspace(secret_git.url + "/app.git", git_provider="aabbccddee01")
        held = self.srv.add_job("workspace", "create", first)
        self.assertTrue(secret_git.arrived.wait(60 * PATIENCE), runner.log())
        holder = [pid for pid in pids_with(self.tmp) if b"gitpassword1" in read_proc(pid, "environ") and
                  re.search(rb"git", read_proc(pid, "cmdline"))]
        self.assertTrue(holder, "the test looks for what is not there")
        self.look_at(runner, f"state/workspaces/{first}/.runner/workspace.json", f"state/logs/workspaces/{first}/log")
        second = self.srv.add_workspace(self.repo_url)
        self.assertEqual(self.srv.wait_final(self.srv.add_job("workspace", "create", second), 60 * PATIENCE),
                         ("success", ""))
        reports = self.reports(runner, "git")
        self.assertTrue(reports)
        for told in reports:
            self.found_nothing(told)
        if landlock() >= 2:
            for told in reports:
                self.assertEqual(told["secrets"], [], "another job's token was read")
                self.assertEqual(set(told["memory"]) - {told["daemon"]}, set(), "another process's memory was opened")
        if landlock() >= 6:
            self.assertEqual([told["signalled"] for told in reports], [False] * len(reports))
        secret_git.hold.set()
        self.assertEqual(self.srv.wait_final(held, 60 * PATIENCE), ("success", ""))
        wait_for(lambda: not any(alive(told["daemon"]) for told in self.reports(runner, "git")), 10 * PATIENCE,
                 "the daemons that it left are ended")
        self.assertEqual(runner.stop(), 0)

    def test_a_hostile_ssh_beside_an_engine(self):
        engine = FakeEngine(self.path("engine.sock"))
        self.addCleanup(engine.stop)
        self.spy("ssh", SSH, "ssh")
        runner = self.start(crowd=600, **{'provider "docker-provider"__sock_path': engine.path})
        self.assertRegex(runner.log(), rf"{runner.dir}/ has more than 512 entries")
        runner.wait_log("docker-provider: requirements met")
        remote = {"Remote Hostname": "build.test", "Remote Port": 22, "Remote User": "ci"}
        workspace = self.srv.add_workspace(self.repo_url, provider="docker-provider", options=json.dumps(remote))
        own = f"state/workspaces/{workspace}"
        os.makedirs(os.path.join(runner.dir, own))
        with open(os.path.join(runner.dir, own, "file"), "w", encoding="utf-8"):
            self.look_at(runner, own + "/file")
        self.job("create", workspace, expect="error")
        reports = self.reports(runner, "ssh")
        self.assertTrue(reports, runner.log())
        for told in reports:
            self.found_nothing(told, seen=[own + "/file"])
        self.assertEqual(runner.stop(), 0)

    def test_a_command_in_a_native_workspace(self):
        """It is the user's own: debuggers and files are theirs; what only widens the kernel's surface is refused."""
        runner = self.start()
        self.look_at(runner)
        for isolation, filters in (("best-effort", True), ("none", False)):
            command = f"{self.spy('look', 'tell(sys.argv[1])', isolation)} {runner.dir}"
            workspace = self.srv.add_workspace(self.repo_url, options=json.dumps({"Isolation": isolation,
                                                                                  "Command": command}))
            self.job("create", workspace)
            told = wait_for(lambda who=isolation: self.reports(runner, who), 20 * PATIENCE, "its report")
            self.job("delete", workspace)
            if seccomp():
                self.assertEqual([(one["trace"], one["uring"]) for one in told], [(True, not filters)])
        self.assertEqual(runner.stop(), 0)


if __name__ == "__main__":
    main()
