#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Workspaces of native-provider in namespaces of their own: from a queued create to `started` with a cached image, memory,
100 lives with nothing left, 100 workspaces at once; against docker-provider with the same image and repository where an engine is
there. Needs DAYTONA_RUNNER_BIN (static); ROUNDS (default 15), LIVES and AT_ONCE (default 100). Prints, never fails by the clock."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import ocicase  # noqa: E402
import sandboxcase  # noqa: E402
from gitserver import make_repo  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "15"))
LIVES = int(os.environ.get("LIVES", "100"))
AT_ONCE = int(os.environ.get("AT_ONCE", "100"))
IMAGE = "dr-bench/base:1"
HAS_DOCKER = bool(shutil.which("docker")) and not subprocess.run(
    ["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def rollup(pid, *names):
    """Kilobytes of a process, the sum of these lines of smaps_rollup."""
    text = common.read_proc(pid, "smaps_rollup").decode()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.split(":")[0] in names)


class Bench(common.Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("git"))
        make_repo(self.path("git"))
        self.repo = f"file://{self.path('git')}/app.git"
        self.srv = self.server()

    def load(self, runner):
        """The same image for both: files of busybox and our executable, in five layers."""
        with open(sandboxcase.busybox() or sys.exit("no static busybox"), "rb") as file:
            data = file.read()
        layers = [ocicase.layer([ocicase.directory("bin"), ocicase.entry("bin/busybox", data=data, mode=0o755),
                                 ocicase.symlink("bin/sh", "busybox"), ocicase.symlink("bin/sleep", "busybox"),
                                 ocicase.directory("etc"),
                                 ocicase.entry("etc/passwd", data=b"root:x:0:0::/:/bin/sh\n")])]
        layers += [ocicase.layer([ocicase.entry(f"etc/layer{i}", data=b"x" * 100000)]) for i in range(4)]
        archive = self.path("image.tar")
        ocicase.Image(layers, config={"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]}).docker_archive(archive, [IMAGE])
        common.run([common.BIN, "image", "load", archive], env=runner.env(), check=True)
        if HAS_DOCKER:
            subprocess.run(["docker", "load", "-i", archive], check=True, stdout=subprocess.DEVNULL)

    def all_at_once(self, action, workspaces):
        """Seconds until the last one is done."""
        began = time.monotonic()
        jobs = [self.srv.add_job("workspace", action, workspace) for workspace in workspaces]
        for job in jobs:
            self.assertEqual(self.srv.wait_final(job, 100 * common.PATIENCE), ("success", ""))
        return time.monotonic() - began

    def at_once(self, runner, what, options):
        """That many run side by side. What each takes beside its program: process 1, and what is outside for it."""
        before, there = self.count(runner), self.files(runner)
        family = {runner.pid, os.getpid(), *common.pids_with(self.tmp)}
        load = os.getloadavg()[0]
        workspaces = [self.add("native-provider", dict(options, Command="sleep 100000")) for _ in range(AT_ONCE)]
        took = self.all_at_once("create", workspaces)
        inits = [self.agent(runner, workspace) for workspace in workspaces]
        self.assertTrue(all(common.alive(pid) for pid in inits))
        programs = {child for pid in inits for child in common.descendants(pid)}
        self.assertGreaterEqual(len(programs), AT_ONCE)
        others = {pid for pid in [*common.pids_with(self.tmp), *common.descendants(runner.pid)]} - family - programs - set(inits)
        pss = [rollup(pid, "Pss") for pid in inits]
        own = [rollup(pid, "Private_Clean", "Private_Dirty") for pid in inits]
        beside = sum(rollup(pid, "Pss") for pid in others)
        print(f"{AT_ONCE} at once, {what}: created in {took:.1f} s, each {(sum(pss) + beside) / AT_ONCE / 1024:.2f} MiB beside its program "
              f"(process 1: {statistics.median(pss)} KiB proportional, {statistics.median(own)} KiB of its own; {len(others)} processes "
              f"outside), load before {load:.1f}", flush=True)
        print(f"{'':<34} stopped in {self.all_at_once('stop', workspaces):.1f} s, started in "
              f"{self.all_at_once('start', workspaces):.1f} s, deleted in {self.all_at_once('delete', workspaces):.1f} s", flush=True)
        common.wait_for(lambda: self.count(runner) == before, 20, lambda: f"{self.count(runner)}, before {before}")
        self.assertEqual(self.files(runner) - there, set())

    @staticmethod
    def agent(runner, workspace):
        with open(os.path.join(runner.state, "workspaces", workspace, ".runner/agent.json"), encoding="utf-8") as file:
            return json.load(file)["pid"]

    def one(self, action, workspace):
        began = time.monotonic()
        job = self.srv.add_job("workspace", action, workspace)
        while self.srv.jobs[job]["state"] not in ("success", "error"):
            time.sleep(0.0005)
        self.assertEqual(self.srv.jobs[job]["state"], "success", self.srv.jobs[job]["error"])
        return time.monotonic() - began

    def add(self, provider, options):
        extra = {"image": IMAGE, "user": "root"} if provider == "docker-provider" else {}
        return self.srv.add_workspace(self.repo, provider=provider, options=json.dumps(options), **extra)

    def lives(self, provider, options, rounds):
        times = {action: [] for action in ("create", "stop", "start", "delete")}
        for _ in range(rounds):
            workspace = self.add(provider, options)
            for action, seen in times.items():
                seen.append(self.one(action, workspace))
        return {action: 1000 * statistics.median(seen) for action, seen in times.items()}

    def print(self, what, times, than=None):
        for action, ms in times.items():
            ratio = f"   {than[action] / ms:5.1f} times as fast" if than else ""
            print(f"{what:<34} {action:<8} {ms:8.1f} ms{ratio}", flush=True)

    def runTest(self):
        runner = self.runner(self.srv, **{'provider "docker-provider"__enabled': "true" if HAS_DOCKER else "false"})
        self.load(runner)
        runner.start()
        docker = None
        native = {"Image": IMAGE, "Network": "host", "Grace Seconds": 1}
        print(f"load {os.getloadavg()[0]:.1f}", flush=True)
        if HAS_DOCKER:
            docker = self.lives("docker-provider", {"Network": "host", "Agent": "builtin"}, ROUNDS)
            self.print("docker-provider", docker)
        self.print("native-provider, image", self.lives("native-provider", native, ROUNDS), docker)
        self.print("native-provider, host's root", self.lives("native-provider", {"Root": "/", "Network": "host"}, ROUNDS))
        self.print("native-provider, no isolation", self.lives("native-provider", {}, ROUNDS))

        workspace = self.add("native-provider", native)
        self.one("create", workspace)
        pid = self.agent(runner, workspace)
        print(f"{'memory of a running workspace':<34} {rollup(pid, 'Private_Clean', 'Private_Dirty'):>17} KiB of its own, "
              f"{rollup(pid, 'Pss')} KiB proportional, {rollup(pid, 'Rss')} KiB resident")
        self.one("delete", workspace)

        before, there = self.count(runner), self.files(runner)
        began = time.monotonic()
        self.lives("native-provider", native, LIVES)
        print(f"{LIVES} lives in {time.monotonic() - began:.1f} s; before and after: {before} {self.count(runner)}")
        self.assertEqual(self.count(runner), before)
        self.assertEqual(self.files(runner) - there, set())
        self.at_once(runner, "image", native)
        self.at_once(runner, "host's root", {"Root": "/", "Network": "host", "Grace Seconds": 1})

    def count(self, runner):
        """Mounts, processes of the runner and its descriptors."""
        return {"mounts": len(sandboxcase.mounts(self)), "children": len(common.descendants(runner.pid)),
                "descriptors": common.open_fds(runner.pid)}

    @staticmethod
    def files(runner):
        return {os.path.join(top, name) for top, dirs, files in os.walk(runner.state) for name in dirs + files}


if __name__ == "__main__":
    import unittest
    if not common.BIN or not common.is_static(common.BIN):
        sys.exit("DAYTONA_RUNNER_BIN has to name a static executable")
    ok = unittest.TextTestRunner(verbosity=0).run(Bench()).wasSuccessful()
    if HAS_DOCKER:
        subprocess.run(["docker", "rmi", "-f", IMAGE], stdout=subprocess.DEVNULL, check=False)
    sys.exit(not ok)
