# SPDX-License-Identifier: Apache-2.0
"""Isolated workspaces of a runner that serves, as root and as an ordinary user: what their root file systems
come from, whole lives of them, and what is left on the machine."""
import io
import json
import os
import shutil
import signal
import stat
import statistics
import subprocess
import tarfile
import time

import common
import ocicase
import sandboxcase
from fakeregistry import push, real_registry
from gitserver import GitServer, make_repo

STEPS = ("create", "exec", "stop", "start", "delete")
LOGIN = ("alice", "registry-password")


class Person:
    def __init__(self, name, uid, gid):
        self.name, self.uid, self.gid = name, uid, gid
        self.prefix = [] if uid == os.geteuid() else \
            ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]


def with_ranges():
    """One who has ids of his own in /etc/subuid and /etc/subgid, or None."""
    found = sandboxcase.with_ranges()
    return Person("a user with ranges", found[0].pw_uid, found[0].pw_gid) if found else None


def people():
    """Whom this machine lets us be."""
    if os.geteuid() != 0:
        return [Person("a user", os.geteuid(), os.getegid())]
    other = with_ranges()
    found = [Person("root", 0, 0), Person("a user", sandboxcase.ORDINARY, sandboxcase.ORDINARY)] + [other] * bool(other)
    wanted = os.environ.get("DR_NATIVE_PEOPLE", "")     # "root, a user with ranges"
    return [one for one in found if not wanted or one.name in map(str.strip, wanted.split(","))]


class Kind:
    """Where root file systems come from. before: what is done before each life; inside: a line of a shell that is true at the
    first start."""

    def __init__(self, name, options, inside="true", env=None, before=None):
        self.name, self.options, self.inside, self.env, self.before = name, options, inside, env, before


class LivesCase(common.Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("bin"))
        own = self.path("bin", "daytona-runner")     # the other may lie where an ordinary user does not come
        shutil.copy(common.BIN, own)
        self.addCleanup(setattr, common, "BIN", common.BIN)
        common.BIN = own
        os.mkdir(self.path("git"))
        make_repo(self.path("git"))
        self.git = GitServer(self.path("git"))
        self.addCleanup(self.git.stop)
        self.made, self.registries = {}, None

    # Whose.
    def be(self, person):
        """From now on with a runner of his, which is up."""
        self.person = person
        self.srv = self.server()
        name = "runner-" + person.name.replace(" ", "-")
        os.makedirs(self.path(name + "-roots"))
        self.roots = self.path(name + "-roots")
        self.run_ner = self.runner(self.srv, name=name, **{
            'provider "native-provider"__roots': self.roots, 'provider "native-provider"__plain_http': ",".join(self.hosts())})
        self.give(self.run_ner.dir)
        check = self.applet("provider", "check", "native-provider")
        if "(Image, Root)" not in check.stdout + check.stderr:
            self.skipTest("no isolation here: " + check.stdout + check.stderr)
        self.start()

    def give(self, top):
        for folder, dirs, files in os.walk(top):
            for path in (os.path.join(folder, name) for name in ["", *dirs, *files]):
                os.chown(path.rstrip("/"), self.person.uid, self.person.gid, follow_symlinks=False)

    def start(self):
        self.run_ner.start(prefix=self.person.prefix)

    def applet(self, *args, check=False):
        return common.run([*self.person.prefix, common.BIN, *args], env=self.run_ner.env(), check=check, cwd=self.run_ner.dir)

    # Root file systems.
    def hosts(self):
        """Of Debian's docker-registry without and with a login, which have the image as gzip and as zstd."""
        if self.registries is None:
            self.registries = []
            if shutil.which("docker-registry"):
                self.registries = [real_registry(self), real_registry(self, LOGIN)]
                for host, login in zip(self.registries, (None, LOGIN)):
                    for way in ("gzip", "zstd") if shutil.which("zstd") else ("gzip",):
                        push(self, host, ocicase.Image(self.layers(), way, {"Env": ["PATH=/bin"]}), way, "1", login)
        return self.registries

    def layers(self, name="pulled"):
        """With whiteouts, a directory that hides, a file in two of them, and one that takes a moment. None is in an image of
        another name."""
        if name in self.made:
            return self.made[name]
        with open(sandboxcase.busybox() or self.skipTest("no static busybox"), "rb") as file:
            data = file.read()
        self.made[name] = [ocicase.layer(one + [ocicase.entry(name)]) for one in (
            [ocicase.directory("bin"), ocicase.entry("bin/busybox", data=data, mode=0o755)] +
            [ocicase.symlink("bin/" + name, "busybox") for name in ("sh", "cat", "sleep", "ls", "test", "id", "touch")] +
            [ocicase.directory("etc"), ocicase.entry("etc/which", data=b"first"), ocicase.entry("etc/gone", data=b"x"),
             ocicase.entry("etc/passwd", data=b"root:x:0:0::/root:/bin/sh\n"), ocicase.directory("root"),
             ocicase.directory("old"), ocicase.entry("old/file", data=b"x")],
            [ocicase.entry("etc/.wh.gone"), ocicase.entry("etc/which", data=b"second"),
             ocicase.directory("old"), ocicase.entry("old/.wh..wh..opq"), ocicase.entry("old/new", data=b"x")],
            [ocicase.directory("usr"), ocicase.entry("usr/random", data=os.urandom(1 << 20) * 8)])]
        return self.made[name]

    INSIDE = "test $(cat /etc/which) = second && ! test -e /etc/gone && test -e /old/new && ! test -e /old/file && >/etc/mine"

    def kinds(self):
        """All of this person's, as groups of variants of one."""
        self.need_static()
        what, archive = self.saved()
        self.applet("image", "load", archive, check=True)
        tree, archive, called = self.tree()
        inside = "test -d /etc && >/etc/mine"
        pulled = []
        for host, login in zip(self.hosts(), (None, LOGIN)):
            env = {"A_CONTAINER_REGISTRY_SERVER": host, "A_CONTAINER_REGISTRY_USERNAME": LOGIN[0],
                   "A_CONTAINER_REGISTRY_PASSWORD": LOGIN[1]} if login else None
            pulled += [Kind(f"registry, {way}" + ", login" * bool(login), {"Image": f"{host}/{way}:1"}, self.INSIDE, env,
                            self.forget) for way in ("gzip", "zstd") if way == "gzip" or shutil.which("zstd")]
        return [group for group in (
            [Kind("host's root", {"Root": "/"})],
            [Kind(called, {"Root": tree}, inside), Kind(called + ", tar", {"Root": archive}, inside)],
            pulled,
            [Kind(what, {"Image": "dr-lives/saved:1"}, self.INSIDE)]) if group]

    def forget(self):
        """The next one has to pull."""
        self.applet("image", "remove", *(f"{host}/{way}:1" for host in self.hosts() for way in ("gzip", "zstd")))

    def need_static(self):
        if not common.is_static(common.BIN):
            self.skipTest("the executable needs shared libraries, which an image does not have")

    def tree(self):
        """What DR_LIVES_TREE names, such as debootstrap made, or busybox: a directory that this person's runner may use,
        and a tar archive with the owners that its maker gave."""
        given = os.environ.get("DR_LIVES_TREE")
        where = os.path.join(self.roots, "tree")
        if given:
            subprocess.run(["cp", "-a", "--reflink=auto", given, where], check=True)
            shutil.rmtree(os.path.join(where, "dev"))    # not given to anybody
            os.mkdir(os.path.join(where, "dev"))
        else:
            os.makedirs(where)
            with tarfile.open(fileobj=io.BytesIO(self.layers()[0])) as tar:
                tar.extractall(where)
        archive = os.path.join(self.roots, "tree.tar")
        subprocess.run(["tar", "-C", where, "--numeric-owner", "-cf", archive, "."], check=True)
        if self.person.uid:
            self.give(where)
        return where, archive, "debootstrap" if given else "tree"

    def saved(self):
        """(what it is, archive): by the real engine where there is one."""
        path, name = self.path("saved.tar"), "dr-lives/saved:1"
        if not os.path.exists(path):
            ocicase.Image(self.layers("saved"), config={"Env": ["PATH=/bin"]}).docker_archive(path, [name])
            self.saved_by = "archive"
            if shutil.which("docker") and not common.run(["docker", "info"]).returncode:
                common.run(["docker", "load", "-i", path], check=True)
                self.addCleanup(common.run, ["docker", "rmi", "-f", name])
                common.run(["docker", "save", "-o", path, name], check=True)
                self.saved_by = "docker save"
            os.chmod(path, 0o644)
        return self.saved_by, path

    # Lives.
    def add(self, kind, **more):
        options = {"Grace Seconds": 1, "Memory": "256m", "Pids": 200, "Command": "sleep 100000", **kind.options, **more}
        return self.srv.add_workspace(self.git.url + "/app.git", options=json.dumps(options), env=kind.env)

    def job(self, action, workspace, expect="success"):
        job = self.srv.add_job("workspace", action, workspace)
        state, text = self.srv.wait_final(job, 100 * common.PATIENCE)
        self.assertEqual(state, expect, f"{action}: {text}\n{self.run_ner.log()[-3000:]}")
        return text

    def root(self, workspace):
        return os.path.join(self.run_ner.state, "workspaces", workspace)

    def agent(self, workspace):
        """The record of process 1; {} without one."""
        try:
            with open(os.path.join(self.root(workspace), ".runner/agent.json"), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def lives_on(self, workspace):
        pid = self.agent(workspace).get("pid")
        return bool(pid) and common.alive(pid)

    def shows(self, workspace):
        """What the host says of it."""
        for row in json.loads(self.applet("workspaces", "-f", "json", check=True).stdout):
            if row["id"] == workspace:
                return row["state"]
        return "missing"

    def inside(self, workspace, line):
        done = self.applet("exec", workspace, "--", "sh", "-c", line)
        self.assertEqual((done.returncode, done.stdout), (0, "well\n"), done.stderr)

    def life(self, kind, network=None):
        """Seconds of each step."""
        took = {step: 0.0 for step in STEPS}

        def timed(step, what, *args):
            began = time.monotonic()
            what(*args)
            took[step] += time.monotonic() - began
        if kind.before:
            kind.before()
        workspace = self.add(kind, **({"Network": network} if network else {}))
        timed("create", self.job, "create", workspace)
        agent = self.agent(workspace)
        timed("exec", self.inside, workspace, f"{kind.inside} && >mark && test $(id -u) = 0 && echo well")
        timed("stop", self.job, "stop", workspace)
        self.assertFalse(common.alive(agent["pid"]))
        if "network" in agent:  # it was killed, which takes its moment
            common.wait_for(lambda: not common.alive(agent["network"]["pid"]), 20 * common.PATIENCE, "the helper's end")
        timed("start", self.job, "start", workspace)
        self.inside(workspace, "test -e mark" + " && test -e /etc/mine" * ("/etc/mine" in kind.inside) + " && echo well")
        agent = self.agent(workspace)
        timed("delete", self.job, "delete", workspace)
        self.assertFalse(common.alive(agent["pid"]))
        return took

    def processes(self):
        """All that have to do with this test's directory, by what they were started with or what is mounted for them."""
        marker = self.tmp.encode()
        return {pid for pid in common.all_pids() if pid not in (os.getpid(), self.run_ner.pid) and common.alive(pid) and
                any(marker in common.read_proc(pid, name) for name in ("environ", "cmdline", "mountinfo"))}

    def groups(self):
        """Control groups of the workspaces that this Server has had."""
        found = []
        for top, dirs, _ in os.walk("/sys/fs/cgroup"):
            found += [os.path.join(top, name) for name in dirs if any(one in name for one in self.srv.workspaces)]
        return found

    def files(self):
        """Below the state directory, without logs; of the store of images all."""
        return {path for path in common.look_at(self.run_ner.state, lambda _, st: stat.S_IFMT(st.st_mode))
                if "/logs" not in path.removeprefix(self.run_ner.state)}

    def census(self):
        ids = os.path.join(self.run_ner.state, "ids")
        return {"mounts": set(sandboxcase.mounts(self)), "processes": self.processes(), "cgroups": set(self.groups()),
                "descriptors": set(range(common.open_fds(self.run_ner.pid))), "files": self.files(),
                "id ranges": set(os.listdir(ids) if os.path.isdir(ids) else [])}

    def same(self, before, what):
        """Nothing more than there was. What is just ending gets its moment."""
        def more():
            return {name: now - before[name] for name, now in self.census().items() if now - before[name]}
        try:
            common.wait_for(lambda: not more(), 10 * common.PATIENCE, "nothing left")
        except AssertionError:
            left = more()
            told = {pid: common.read_proc(pid, "cmdline") for pid in left.get("processes", ())}
            self.fail(f"left of {what}: {left} {told}")
        return {name: (len(before[name]), len(now)) for name, now in self.census().items()}


def children(pid):
    """As the kernel lists them: at once, which a look at all of /proc is not."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(child) for child in file.read().split()]
    except OSError:     # a kernel without such lists, or nobody there
        return common.children(pid)


def family(pid):
    return [pid] + [other for child in children(pid) for other in family(child)]


def medians(lives):
    return {step: statistics.median(one[step] for one in lives) for step in STEPS}


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
