#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One long life of serve: many heartbeats and jobs, with descriptors, processes, memory and the state
directory measured after a warm-up and at the end. Environment: DAYTONA_RUNNER_BIN, DR_SOAK_HEARTBEATS,
DR_SOAK_JOBS, DR_SOAK_INTERVAL_MS."""
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, Runner, children, cpu_seconds, descendants, look_at, open_fds, read_proc, rss_kb  # noqa: E402
from fakeserver import FINAL, FakeServer  # noqa: E402
from gitserver import GitServer, make_repo  # noqa: E402
from statemachine import Place  # noqa: E402

HEARTBEATS = int(os.environ.get("DR_SOAK_HEARTBEATS", "100000"))
JOBS = int(os.environ.get("DR_SOAK_JOBS", "5000"))
INTERVAL = int(os.environ.get("DR_SOAK_INTERVAL_MS", "10"))
WARM_JOBS = 300
AT_ONCE = 8
RSS_SLACK_KB = 256      # what allocators differ by between two looks


class SoakServer(FakeServer):
    """Counts instead of keeping, so that it is not the one that grows."""

    def __init__(self):
        super().__init__()
        self.beats = self.ended = 0
        self.wrong = []
        self.expect = {}

    def do_heartbeat(self, conn, request, runner_id):
        result = super().do_heartbeat(conn, request, runner_id)
        with self.lock:
            self.beats += 1
            del self.heartbeats[:-4]
            del self.requests[:-1000]
        return result

    def do_state(self, conn, request, runner_id, job_id):
        result = super().do_state(conn, request, runner_id, job_id)
        with self.lock:
            job = self.jobs.get(job_id)
            if job and job["state"] in FINAL:
                states = self.states(job_id)
                if states != ["running", self.expect[job_id]]:
                    self.wrong.append(f"{job['resourceType']} {job['action']}: {states} {job['error']}")
                if job["action"] == "delete" and job["state"] == "success":
                    getattr(self, job["resourceType"] + "s").pop(job["resourceId"], None)
                self.ended += 1
                del self.jobs[job_id], self.expect[job_id]
                self.updates[:] = [u for u in self.updates if u.job_id != job_id]
            self.log_frames.clear()
        return result

    def put(self, kind, action, resource, expect="success", metadata=None):
        """One resource does one thing at a time, as on the real Server: the caller sees to it."""
        with self.lock:
            job = self.add_job(kind, action, resource, metadata=metadata)
            self.expect[job] = expect
            return job


def jobs(server, repo_url, stream):
    """Endless, one after the other; what a job makes, a later one removes."""
    install = json.dumps({"name": "native-provider", "version": "v1.0.0"})
    for number in range(1 << 30):
        target = server.add_target()
        yield "target", "create", target, "success", None
        if stream == 0:
            yield "runner", "install-provider", server.runner_id, "success", install
            yield "runner", "update-provider", server.runner_id, "error", '{"name":"none-provider"}'
        yield "target", "start", target, "success", None
        yield "target", "dance", target, "error", None
        if stream == 1 and number % 10 == 0:
            workspace = server.add_workspace(repo_url)
            yield "workspace", "create", workspace, "success", None
            yield "workspace", "restart", workspace, "success", None
            yield "workspace", "delete", workspace, "success", None
        yield "target", "delete", target, "success", None


def state_size(path):
    """(files, bytes) without the rotated log of the runner, and that log's bytes."""
    sizes = look_at(path, lambda _, st: None if stat.S_ISDIR(st.st_mode) else st.st_size)
    logs = [one or 0 for name, one in sizes.items() if "/logs/runners/" in name]
    files = [one for name, one in sizes.items() if one is not None and "/logs/runners/" not in name]
    return len(files), sum(files), sum(logs)


def look(runner, server):
    files, size, log = state_size(runner.state)
    rollup = read_proc(runner.pid, "smaps_rollup").decode()
    private = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private_"))
    return {"heartbeats": server.beats, "jobs": server.ended, "RSS kB": rss_kb(runner.pid), "private kB": private,
            "descriptors": open_fds(runner.pid), "processes below it": len(descendants(runner.pid)),
            "files": files, "bytes in them": size, "bytes of its own log": log,
            "CPU s": round(cpu_seconds(runner.pid), 1)}


def quiet(runner, server):
    """Waits until no job is under way."""
    end = time.monotonic() + 60
    while (server.jobs or children(runner.pid)) and time.monotonic() < end:
        threading.Event().wait(0.05)
    threading.Event().wait(0.5)


def main():
    directory = tempfile.mkdtemp(prefix="dr-soak-")
    os.mkdir(os.path.join(directory, "git"))
    make_repo(os.path.join(directory, "git"))
    git = GitServer(os.path.join(directory, "git"))
    server = SoakServer()
    server.start()
    runner = Runner(Place(directory), server, server__heartbeat_s=f"{INTERVAL}ms", runner__log_max_size=1,
                    runner__log_max_backups=1, runner__log_compress="false")
    start = time.monotonic()
    before = None
    try:
        runner.start(wait=False)
        streams = [[jobs(server, git.url + "/app.git", number), None] for number in range(AT_ONCE)]
        added = 0
        while server.beats < HEARTBEATS or server.ended < JOBS or server.jobs:
            if runner.process.poll() is not None:
                server.wrong.append(f"serve ended with {runner.process.returncode}: {runner.log()[-2000:]}")
                break
            if before is None and server.ended >= WARM_JOBS:
                quiet(runner, server)
                before = look(runner, server)
            # The jobs are spread over the heartbeats.
            due = WARM_JOBS if before is None else max(WARM_JOBS, JOBS * server.beats // max(HEARTBEATS, 1))
            with server.lock:
                for stream in streams:
                    if added < min(JOBS, due + AT_ONCE) and stream[1] not in server.jobs:
                        stream[1] = server.put(*next(stream[0]))
                        added += 1
                server.lock.wait(0.05)
        # Odd ends: what the last round made is removed.
        for kind in ("target", "workspace"):
            for resource in list(getattr(server, kind + "s")):
                server.put(kind, "delete", resource)
        quiet(runner, server)
        after = look(runner, server)
        status = runner.stop()
        if status != 0:
            server.wrong.append(f"serve ended with {status}")
    finally:
        runner.kill()
        server.stop()
        git.stop()
        shutil.rmtree(directory, ignore_errors=True)
    before = before or after
    print(f"{'':22}{'before':>12}{'after':>12}")
    for name, value in after.items():
        print(f"{name:22}{before[name]:>12}{value:>12}")
    wrong = list(server.wrong)
    for name, slack in (("RSS kB", RSS_SLACK_KB), ("private kB", RSS_SLACK_KB), ("descriptors", 0),
                        ("processes below it", 0), ("files", 0), ("bytes in them", 70000),
                        ("bytes of its own log", 2200000)):
        if after[name] > before[name] + slack:
            wrong.append(f"{name} grew from {before[name]} to {after[name]}")
    print(f"{server.beats} heartbeats and {server.ended} jobs in one life of {time.monotonic() - start:.0f} s: "
          f"{len(wrong)} faults")
    print("\n".join(wrong[:20]))
    return 1 if wrong else 0


if __name__ == "__main__":
    if not BIN:
        sys.exit("DAYTONA_RUNNER_BIN names no executable")
    sys.exit(main())
