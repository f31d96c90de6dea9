#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the embedded Server as what it stores grows, and prints a table: start, lists, single answers, creates and
memory at two sizes, then many runners that only send heartbeats and wait. Numbers only: it never fails by the clock.
--before PATH measures another executable in the same run, for a second column.

    tests/bench/bench_server.py [--workspaces N] [--jobs N] [--runners N] [--idle SECONDS] [--before PATH]
"""
import argparse
import json
import os
import select
import socket
import stat
import statistics
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
os.environ.setdefault("DAYTONA_RUNNER_BIN", os.path.join(HERE, "..", "..", "build", "release", "daytona-runner"))
from lib import common, serverproc  # noqa: E402

RUNNER = "aaaaaaaaaaa1"
PER_TARGET = 100


class Bench(common.Case):
    def runTest(self):
        pass


class Pipe:
    """One connection that sends many requests at once and takes the answers in order."""

    def __init__(self, server, key):
        self.sock = socket.create_connection(("127.0.0.1", server.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.key, self.buffer = key, b""

    def request(self, method, path, body=None, key=None):
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key or self.key}\r\n"
        if body is not None:
            head += f"Content-Length: {len(data)}\r\n"
        return head.encode() + b"\r\n" + data

    def answer(self):
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        n = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                n = int(line.split(b":")[1])
        parts, have = [self.buffer], len(self.buffer)
        while have < n:
            data = self.sock.recv(1 << 20)
            assert data
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buffer = whole[n:]
        return int(head.split()[1]), whole[:n]

    def more(self):
        data = self.sock.recv(1 << 20)
        assert data
        self.buffer += data

    def all(self, requests, at_once=20):
        answers = []
        for i in range(0, len(requests), at_once):
            part = requests[i:i + at_once]
            self.sock.sendall(b"".join(part))
            answers += [self.answer() for _ in part]
        for (status, body), request in zip(answers, requests):
            assert status in (200, 201, 202, 204), (status, body[:300], request[:300])
        return answers

    def one(self, method, path, body=None, key=None):
        return self.all([self.request(method, path, body, key)])[0]


def finish(pipe, key, at_least):
    """Claims what is pending and ends it, until there were at least so many."""
    done = 0
    while done < at_least:
        jobs = json.loads(pipe.one("GET", f"/runner/{RUNNER}/jobs", key=key)[1])
        for state in ("running", "success"):
            pipe.all([pipe.request("POST", f"/runner/{RUNNER}/jobs/{j['id']}/state", {"state": state}, key)
                      for j in jobs])
        done += len(jobs)


def milliseconds(pipe, turns, *request, **more):
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        pipe.one(*request, **more)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def peak_rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def cpu(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def directory(path):
    sizes = common.look_at(path, lambda _, st: None if stat.S_ISDIR(st.st_mode) else st.st_size)
    files = [size for size in sizes.values() if size is not None]
    return len(files), sum(files)


class Growth:
    """A server that gets more and more workspaces and jobs."""

    def __init__(self, bench, say):
        self.bench, self.say, self.count = bench, say, 0
        self.data = os.path.join(bench.tmp, "data")
        self.server = serverproc.Server(bench, self.data)
        self.key = serverproc.make_runner(self.server)
        self.config = serverproc.make_config(self.server)
        self.pipe = Pipe(self.server, self.server.key)

    def workspaces(self, total):
        start, begin = time.monotonic(), self.count
        while self.count < total:
            n = min(PER_TARGET, total - self.count)
            target = f"t{self.count // PER_TARGET}"
            self.pipe.one("POST", "/target", {"id": target, "name": target, "targetConfigId": self.config})
            self.pipe.all([self.pipe.request("POST", "/workspace", serverproc.workspace_body(
                f"w{i}", f"work-{i}", target, labels={"team": f"team-{i // PER_TARGET}", "n": str(i)},
                envVars={"EDITOR": "vi", "PROJECT": f"project number {i}"})) for i in range(self.count, self.count + n)])
            finish(self.pipe, self.key, n + 1)
            self.count += n
        self.say(f"create and finish one, of {self.count - begin} up to {total}",
                 (time.monotonic() - start) * 1000 / max(1, self.count - begin), "ms")

    def jobs(self, total):
        """Jobs of workspaces that stop and start, until so many have ended."""
        start = time.monotonic()
        for done in range(0, total, PER_TARGET):
            action = ("stop", "start")[done // self.count % 2]
            self.pipe.all([self.pipe.request("POST", f"/workspace/w{(done + i) % self.count}/{action}")
                           for i in range(PER_TARGET)])
            finish(self.pipe, self.key, PER_TARGET)
        self.say(f"action and end of one, of {total}", (time.monotonic() - start) * 1000 / max(1, total), "ms")

    def measure(self):
        pipe, n, at = self.pipe, self.count, f"{self.count:,} workspaces: "
        rss = common.rss_kb(self.server.pid)
        middle = n // 2
        self.say(at + "GET of a workspace", milliseconds(pipe, 50, "GET", f"/workspace/w{middle}"), "ms", "<= 1")
        self.say(at + "its state", milliseconds(pipe, 50, "GET", f"/workspace/w{middle}/state"), "ms", "<= 1")
        self.say(at + "GET of a target of 1", self.small_target(), "ms", "<= 1")
        self.say(at + "GET of a target of 100", milliseconds(pipe, 20, "GET", "/target/t0"), "ms", "<= 5")
        self.say(at + "list of 100 by label", milliseconds(pipe, 20, "GET", "/workspace?labels=team%3Dteam-0"), "ms",
                 "<= 5")
        self.say(at + "jobs of a workspace", milliseconds(pipe, 50, "GET", f"/job?resourceId=w{middle}"), "ms", "<= 1")
        self.say(at + "open jobs", milliseconds(pipe, 20, "GET", "/job?states=pending&states=running"), "ms", "<= 1")
        self.say(at + "create", self.create(), "ms")
        self.say(at + "poll answer", self.poll(), "ms", "<= 1")
        self.say(at + "memory before lists", rss / 1024, "MiB", "<= 64")
        start = time.perf_counter()
        body = pipe.one("GET", "/workspace")[1]
        self.say(at + f"list of all, {len(body) / 1e6:.1f} MB", (time.perf_counter() - start) * 1000, "ms")
        files, size = directory(self.data)
        self.say(at + "on disk", size / 1e6, f"MB/{files}")

    def small_target(self):
        if self.pipe_status("/target/lone") == 404:
            self.pipe.one("POST", "/target", {"id": "lone", "name": "lone", "targetConfigId": self.config})
            self.pipe.one("POST", "/workspace", serverproc.workspace_body("lonely", "lonely", "lone"))
            finish(self.pipe, self.key, 2)
        return milliseconds(self.pipe, 50, "GET", "/target/lone")

    def pipe_status(self, path):
        self.pipe.sock.sendall(self.pipe.request("GET", path))
        return self.pipe.answer()[0]

    def create(self):
        times = []
        for i in range(30):
            start = time.perf_counter()
            self.pipe.one("POST", "/workspace", serverproc.workspace_body(f"x{self.count}-{i}", f"x{self.count}-{i}", "t0"))
            times.append((time.perf_counter() - start) * 1000)
        finish(self.pipe, self.key, 30)
        for i in range(30):
            self.pipe.one("DELETE", f"/workspace/x{self.count}-{i}")
        finish(self.pipe, self.key, 30)
        return statistics.median(times)

    def poll(self):
        """From the action of a client to the answer of the poll that waits for it."""
        waiting, times = Pipe(self.server, self.key), []
        for i in range(30):
            waiting.sock.sendall(waiting.request("GET", f"/runner/{RUNNER}/jobs"))
            time.sleep(0.005)
            start = time.perf_counter()
            self.pipe.sock.sendall(self.pipe.request("POST", f"/workspace/w{i}/start"))
            waiting.answer()
            times.append((time.perf_counter() - start) * 1000)
            self.pipe.answer()
            finish(self.pipe, self.key, 1)
        return statistics.median(times)

    def restart(self, kill):
        at = f"{self.count:,} workspaces: "
        self.pipe.sock.close()
        start = time.monotonic()
        if kill:
            self.server.kill()
        else:
            self.server.stop()
            self.say(at + "orderly end", time.monotonic() - start, "s")
        start = time.monotonic()
        self.server = serverproc.Server(self.bench, self.data)
        self.say(at + ("start after kill -9" if kill else "start"), time.monotonic() - start, "s", "<= 1")
        self.pipe = Pipe(self.server, self.server.key)
        self.say(at + "memory after the start", common.rss_kb(self.server.pid) / 1024, "MiB", "<= 64")
        self.say(at + "peak of it", peak_rss_kb(self.server.pid) / 1024, "MiB")


def bench_growth(bench, say, args):
    growth = Growth(bench, say)
    for total in (args.workspaces // 10, args.workspaces):
        growth.workspaces(total)
        if total == args.workspaces:
            growth.jobs(args.jobs)
        growth.restart(kill=False)
        growth.measure()
    growth.restart(kill=True)
    growth.server.stop()


PROVIDERS = [dict(serverproc.PROVIDER, runnerId="", runnerName="")] * 2


def bench_runners(bench, say, args):
    """Each runner: one connection that waits for jobs, one that sends a heartbeat every 2 s."""
    server = serverproc.Server(bench, os.path.join(bench.tmp, "runners"))
    pipe, runners = Pipe(server, server.key), []
    for i in range(args.runners):
        name = f"{i:012x}"
        key = json.loads(pipe.one("POST", "/runner", {"id": name, "name": f"r{i}"})[1])["apiKey"]
        runners.append((name, key))
    try:
        polls, beats = [], []
        for name, key in runners:
            poll, beat = Pipe(server, key), Pipe(server, key)
            poll.sock.sendall(poll.request("GET", f"/runner/{name}/jobs"))
            beat.message = beat.request("POST", f"/runner/{name}/metadata",
                                        {"uptime": 1, "runningJobs": 0, "providers": PROVIDERS})
            beat.all([beat.message])
            polls.append(poll)
            beats.append(beat)
        answered, stop = [0], threading.Event()

        def answers():
            poller, by_fd = select.epoll(), {b.sock.fileno(): b for b in beats}
            for fd in by_fd:
                poller.register(fd, select.EPOLLIN)
            while not stop.is_set():
                for fd, _ in poller.poll(0.2):
                    status, body = by_fd[fd].answer()
                    assert status == 200, body
                    answered[0] += 1

        thread = threading.Thread(target=answers, daemon=True)
        thread.start()
        gap = 2 / len(beats)

        def turn(seconds):
            begin = next_at = time.monotonic()
            sent = 0
            while time.monotonic() - begin < seconds:
                beats[sent % len(beats)].sock.sendall(beats[sent % len(beats)].message)
                sent += 1
                next_at += gap
                time.sleep(max(0, next_at - time.monotonic()))
            return time.monotonic() - begin, sent

        turn(3)
        before = cpu(server.pid)
        took, sent = turn(args.idle)
        say(f"{args.runners:,} runners: processor, heartbeats each 2 s", 100 * (cpu(server.pid) - before) / took, "%", "<= 20")
        say(f"{args.runners:,} runners: heartbeats in {took:.0f} s", sent, "")
        say(f"{args.runners:,} runners: memory", common.rss_kb(server.pid) / 1024, "MiB", "<= 32")
        common.wait_for(lambda: answered[0] >= sent, 30, "all were answered")
        stop.set()
        thread.join()
    except (OSError, AssertionError) as error:
        say(f"{args.runners:,} runners: {error or type(error).__name__}", 0, "failed")
    server.stop()


class Table:
    def __init__(self, columns):
        self.columns, self.rows = columns, {}

    def column(self, name):
        def say(what, value, unit, aim=""):
            self.rows.setdefault(what.split(", ")[0] if " MB" in what else what, ({}, unit, aim))[0][name] = value
            print(f"  {name:<8} {what:<58} {value:>10.2f} {unit}", flush=True)
        return say

    def show(self):
        print("\n" + f"{'':<58}" + "".join(f"{c:>12}" for c in self.columns))
        for what, (values, unit, aim) in self.rows.items():
            cells = "".join(f"{values[c]:>12.2f}" if c in values else f"{'-':>12}" for c in self.columns)
            print(f"{what:<58}{cells} {unit:<8} {('aim ' + aim) if aim else ''}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspaces", type=int, default=10000)
    parser.add_argument("--jobs", type=int, default=100000)
    parser.add_argument("--runners", type=int, default=1000)
    parser.add_argument("--idle", type=int, default=20, help="seconds of the runners' measurement")
    parser.add_argument("--before", help="another executable, measured first")
    parser.add_argument("--only", default="", help="run measurements whose name has this word")
    args = parser.parse_args()
    programs = ([("before", args.before)] if args.before else []) + [("now", common.BIN)]
    table = Table([name for name, _ in programs])
    for name, program in programs:
        common.BIN = os.path.abspath(program)
        for measure in (bench_growth, bench_runners):
            if args.only in measure.__name__:
                bench = Bench()
                bench.setUp()
                try:
                    measure(bench, table.column(name), args)
                finally:
                    bench.doCleanups()
    table.show()


if __name__ == "__main__":
    main()
