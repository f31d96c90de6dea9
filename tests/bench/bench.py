#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the executable in DAYTONA_RUNNER_BIN (default build/release/daytona-runner) against a scripted
Server on loopback and prints a table: size, start, memory, processor time, bytes on the wire, claims,
many jobs. Numbers only: it fails when something does not work, never because it is slow.

    tests/bench/bench.py [--idle SECONDS] [--jobs N] [--only WORD] [--json FILE]
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
os.environ.setdefault("DAYTONA_RUNNER_BIN", os.path.join(HERE, "..", "..", "build", "release", "daytona-runner"))
import common  # noqa: E402
from fakeserver import FakeServer  # noqa: E402


class Meter:
    """A TCP relay that counts the bytes of both directions, as they are on the wire above TCP."""

    def __init__(self, port):
        self.target, self.bytes, self.connections = port, 0, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self.target))
            for a, b in ((client, server), (server, client)):
                a.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self.copy, args=(a, b), daemon=True).start()

    def copy(self, source, sink):
        try:
            while data := source.recv(65536):
                with self.lock:
                    self.bytes += len(data)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Bench(common.Case):
    """Borrows the tests' directory, runner and clean-up."""

    def runTest(self):
        pass


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, value, unit, aim=""):
        self.rows.append((what, value, unit, aim))
        text = f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
        print(f"{what:<52} {text:>12} {unit:<8} {('aim ' + aim) if aim else ''}", flush=True)


def everyone(pid):
    return [pid] + common.descendants(pid)


def bench_size(bench, table, args):
    table.add("size of the executable", os.path.getsize(common.BIN), "bytes", "<= 1,048,576")


def bench_start(bench, table, args):
    """exec to the arrival of the first heartbeat, without and with TLS."""
    for name, tls in (("plain http", None), ("TLS 1.3", common.server_tls(bench.tmp))):
        server = FakeServer(tls=tls[0] if tls else None).start()
        settings = {"server__ca_file": tls[1]} if tls else {}
        runner = bench.runner(server, name="start-" + name.split()[0], **settings)
        times = []
        for _ in range(15):
            # Python's own work to start a process is left out: the child reports its exec by a pipe that closes on it.
            read, write = os.pipe()
            os.set_inheritable(write, False)
            before = len(server.seen("POST", "/runner/.*/metadata"))
            with open(runner.log_file, "ab") as log:
                runner.process = subprocess.Popen([common.BIN, "serve"], env=runner.env(), stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log)
            os.close(write)
            os.read(read, 1)
            start = time.monotonic()
            os.close(read)
            posts = server.wait_requests("POST", "/runner/.*/metadata", before + 1, 60)
            times.append((posts[before].at - start) * 1000)
            runner.stop()
        table.add(f"exec to first heartbeat, {name}, median of 15", statistics.median(times), "ms", "<= 10")
        server.stop()


def bench_idle(bench, table, args):
    """Memory, processor time and bytes of idle runners with the default heartbeat, over TLS: one with the Docker
    provider alone, one with all providers."""
    context, ca = common.server_tls(bench.tmp)
    runs = []
    for name in ("docker-provider", "all providers"):
        server = FakeServer(tls=context).start()
        meter = Meter(server.port)
        settings = {'provider "docker-provider"__enabled': "true"}
        if name != "all providers":
            settings['provider "native-provider"__enabled'] = "false"
        runner = bench.runner(server, name="idle-" + name.split()[0], server__ca_file=ca, server__heartbeat_s=5,
                              server__url=f"https://127.0.0.1:{meter.port}", **settings).start()
        server.wait_heartbeat(9, 120)       # from there on it is idle, and beats half as often
        runs.append((name, server, meter, runner, sum(common.rss_kb(pid) for pid in everyone(runner.pid)),
                     common.cpu_seconds(runner.pid), meter.bytes, meter.connections, voluntary(runner.pid),
                     len(server.heartbeats)))
    for name, server, meter, runner, first, cpu, count, connections, switches, beats in runs:
        # From one heartbeat to another, so that no part of a period is counted.
        wanted = beats + max(1, round(args.idle / 10))
        server.wait_heartbeat(wanted, args.idle + 60)
        minutes = (server.heartbeats[wanted - 1][0] - server.heartbeats[beats - 1][0]) / 60
        pids = everyone(runner.pid)
        print(f"  idle with {name}: {len(pids)} process(es), heartbeat of "
              f"{len(json.dumps(server.heartbeats[-1][1], separators=(',', ':')))} bytes")
        table.add("memory with TLS at the start", first, "KB RSS", "<= 1,536")
        table.add(f"memory after {args.idle} s", sum(common.rss_kb(pid) for pid in pids), "KB RSS")
        table.add("of it private (not the file's own pages)", private_kb(runner.pid), "KB")
        table.add("processor time per idle minute", (common.cpu_seconds(runner.pid) - cpu) / minutes * 1000, "ms", "<= 5")
        table.add("wake-ups per idle minute", (voluntary(runner.pid) - switches) / minutes, "")
        table.add("bytes on the wire per idle minute (TLS records)", (meter.bytes - count) / minutes, "bytes", "<= 20,480")
        table.add("new connections while idle", meter.connections - connections, "")
        runner.stop()
        server.stop()


def voluntary(pid):
    for line in common.read_proc(pid, "status").decode().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    return 0


def private_kb(pid):
    total = 0
    for line in common.read_proc(pid, "smaps_rollup").decode().splitlines():
        if line.startswith(("Private_Clean", "Private_Dirty")):
            total += int(line.split()[1])
    return total


def bench_claim(bench, table, args):
    """From the poll's answer leaving the Server to the claim arriving; and a whole small job."""
    server = FakeServer().start()
    runner = bench.runner(server, name="claim").start()
    claims, whole = [], []
    for _ in range(50):
        answered = []

        def answer(conn, request, answered=answered):
            job = server.add_job("workspace", "delete", workspace, state="hidden")
            shown = dict(server.jobs[job], state="pending")
            result = common_reply(200, [shown])(conn, request)
            answered.append((time.monotonic(), job))
            return result
        workspace = server.add_workspace("http://git.test/acme/app")
        server.on("GET", "/runner/[^/]+/jobs", answer)
        server.wait(lambda answered=answered: answered, 30, "poll answered")
        at, job = answered[0]
        server.wait_final(job, 60)
        updates = [u for u in server.updates if u.job_id == job]
        claims.append((updates[0].at - at) * 1000)
        whole.append((updates[-1].at - at) * 1000)
    table.add("poll's answer to claim, median of 50", statistics.median(claims), "ms", "<= 1")
    table.add("poll's answer to final report of a trivial job", statistics.median(whole), "ms")
    runner.stop()
    server.stop()


def common_reply(status, body):
    from httppeer import reply
    return reply(status, body)


def bench_jobs(bench, table, args):
    """Many jobs at once and in a row: nothing lost, nothing doubled."""
    server = FakeServer().start()
    runner = bench.runner(server, name="jobs", runner__max_jobs=0).start()
    peak = [0]
    with server.lock:
        jobs = [server.add_job("workspace", "delete", server.add_workspace("http://git.test/acme/app"))
                for _ in range(args.jobs)]
    start = time.monotonic()
    for job in jobs:
        peak[0] = max(peak[0], len(common.children(runner.pid)))
        assert server.wait_final(job, 300)[0] == "success"
    table.add(f"{args.jobs} jobs at once", time.monotonic() - start, "s")
    faults = server.job_faults()
    assert not faults, faults
    table.add("reports for them (2 each)", len(server.updates), "", f"{2 * args.jobs}")
    table.add("memory of the runner afterwards", common.rss_kb(runner.pid), "KB RSS")
    runner.stop()
    server.stop()


def bench_git(bench, table, args):
    """Create to started of a workspace with the native provider and the built-in agent."""
    from gitserver import GitServer, make_repo
    root = bench.path("git")
    os.mkdir(root)
    make_repo(root)
    git, server = GitServer(root), FakeServer().start()
    runner = bench.runner(server, name="native").start()
    times = []
    for _ in range(5):
        workspace = server.add_workspace(git.url + "/app.git")
        start = time.monotonic()
        job = server.add_job("workspace", "create", workspace)
        assert server.wait_final(job, 60)[0] == "success", server.jobs[job]
        times.append((time.monotonic() - start) * 1000)
    table.add("native workspace, create to started, median of 5", statistics.median(times), "ms")
    agents = common.tops_with(f"DAYTONA_WORKSPACE_ID={workspace}")
    if agents:
        table.add("memory of one built-in agent", sum(common.rss_kb(pid) for pid in agents), "KB RSS")
    runner.stop()
    git.stop()
    server.stop()


BENCHES = (bench_size, bench_start, bench_idle, bench_claim, bench_jobs, bench_git)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--idle", type=int, default=60, help="seconds of the idle measurement")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--only", default="", help="run measurements whose name has this word")
    parser.add_argument("--json", help="write the numbers to this file as well")
    args = parser.parse_args()
    tempfile.tempdir = None
    table = Table()
    for measure in BENCHES:
        if args.only in measure.__name__:
            bench = Bench()
            bench.setUp()
            try:
                measure(bench, table, args)
            finally:
                bench.doCleanups()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump([dict(zip(("what", "value", "unit", "aim"), row)) for row in table.rows], file, indent=1)


if __name__ == "__main__":
    main()
