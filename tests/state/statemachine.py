# SPDX-License-Identifier: Apache-2.0
"""A Server that misbehaves at random, a runner that is killed at random, and what must hold in the end.

A schedule is one job with its draw of faults: what happens to its claim, its report, its process. The draws
come from a seed alone; the moments of kills, stops and restarts are as random as the machine's timing."""
import collections
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, SANITIZER, Runner, all_pids, children, look_at, open_fds, pids_with, read_proc, rss_kb  # noqa: E402
from fakeserver import FINAL, FakeServer  # noqa: E402
from gitserver import GitServer, make_repo  # noqa: E402
from httppeer import Sink, close, error, raw, reply, reset  # noqa: E402

STATE = re.compile(r"/runner/[^/]+/jobs/([^/]+)/state\Z")
POLL = re.compile(r"/runner/[^/]+/jobs\Z")
BEAT = re.compile(r"/runner/[^/]+/metadata\Z")
HTML = b"<html><body>sign in token=abcsecret</body></html>"
OUTSTANDING = 24        # jobs that wait or run at once
SETTLE = 45             # seconds until second sendings (30 s after a doubtful claim) are over
# A job's process that is told to end while it tries to reach a Server that is away names the latter.
DISTURBED = re.compile(r"(?i)runner was (restarted|stopped)|signal|stopped|restart|connection (lost|refused)")


# What may happen to a state update; "after" means that it has had its effect.
def drop_before(server, conn, request):
    return reset()(conn, request)


def drop_after(server, conn, request):
    server.effect(request, conn)
    return reset()(conn, request)


def close_before(server, conn, request):
    return close()(conn, request)


def close_after(server, conn, request):
    server.effect(request, conn)
    return close()(conn, request)


def cut_after(server, conn, request):
    server.effect(request, conn)
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n{\"half\"", then="close")(conn, request)


def status(code, text, after=False, **kwargs):
    def fault(server, conn, request):
        if after:
            server.effect(request, conn)
        return error(code, text, **kwargs)(conn, request)
    return fault


def page(code, after=False):
    def fault(server, conn, request):
        if after:
            server.effect(request, conn)
        return reply(code, HTML, "text/html")(conn, request)
    return fault


def slow(server, conn, request):
    conn.pause(server.random.uniform(0.05, 0.5))
    return FakeServer.handle(server, conn, request)


def late(server, conn, request):
    """Held up on its way: the runner sees a dead connection, the effect comes up to seconds later."""
    server.later(server.random.uniform(0.1, 4.0), request, conn)
    return reset()(conn, request)


UPDATE_FAULTS = {
    "reset before effect": drop_before, "reset after effect": drop_after, "close before effect": close_before,
    "close after effect": close_after, "cut answer": cut_after, "500": status(500, "database is locked"),
    "500 after effect": status(500, "context canceled", after=True), "502 page": page(502),
    "504 page after effect": page(504, after=True), "409": status(409, "conflict"),
    "429": status(429, "slow down", headers=[("Retry-After", "1")]), "408": status(408, "timeout"),
    "200 page": page(200), "slow": slow, "late": late,
}
POLL_FAULTS = {
    "reset": lambda s, c, r: reset()(c, r), "close": lambda s, c, r: close()(c, r),
    "500": status(500, "failed to get runner jobs: database is locked"), "502 page": page(502),
    "200 page": page(200), "empty": lambda s, c, r: reply(204)(c, r),
    "cut list": lambda s, c, r: raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n[{\"id\":\"", then="close")(c, r),
    "no list": lambda s, c, r: reply(200, {"jobs": 1})(c, r),
    "old list": lambda s, c, r: s.old_list(c, r),
    "slow": slow,
}


def sanitized():
    """Its memory grows by design: freed blocks are kept for a while."""
    with open(BIN, "rb") as file:
        return b"__asan_init" in file.read()


class Plan:
    """One schedule: the job, what its end must be, and its faults."""

    def __init__(self, job, kind, expect, text, claim, report, kill):
        self.job, self.kind, self.expect, self.text = job, kind, expect, re.compile(text)
        self.claim, self.report, self.kill = claim, report, kill
        self.disturbed = False
        self.late = "late" in claim or "late" in report


class StateServer(FakeServer):
    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.plans = {}
        self.faults = collections.Counter()
        self.poll_faults = self.beat_faults = 0.0
        self.timers = []

    def effect(self, request, conn):
        FakeServer.handle(self, Sink(conn), request)

    def later(self, seconds, request, conn):
        timer = threading.Timer(seconds, self.effect, (request, conn))
        timer.daemon = True
        timer.start()
        self.timers.append(timer)

    def old_list(self, conn, request):
        """Jobs that are long over, listed as pending once more."""
        with self.lock:
            over = [dict(job, state="pending", error=None) for job in self.jobs.values()
                    if job["state"] in FINAL and not self.plans[job["id"]].late][-3:]
        return reply(200, over)(conn, request)

    def _draw(self, table, share):
        with self.lock:
            if self.random.random() >= share:
                return None
            name = self.random.choice(sorted(table))
            return name

    def handle(self, conn, request):
        match = STATE.match(request.path)
        if match and match.group(1) in self.plans:
            plan = self.plans[match.group(1)]
            left = plan.claim if b'"running"' in request.body else plan.report
            with self.lock:
                name = left.pop(0) if left else None
            if name:
                self.faults["update: " + name] += 1
                return UPDATE_FAULTS[name](self, conn, request)
        elif request.method == "GET" and POLL.match(request.path):
            name = self._draw(POLL_FAULTS, self.poll_faults)
            if name:
                self.faults["poll: " + name] += 1
                return POLL_FAULTS[name](self, conn, request)
        elif request.method == "POST" and BEAT.match(request.path):
            name = self._draw(UPDATE_FAULTS, self.beat_faults)
            if name and name not in ("late", "429"):
                self.faults["heartbeat: " + name] += 1
                return UPDATE_FAULTS[name](self, conn, request)
        return super().handle(conn, request)


class Place:
    """What common.Runner asks of a test case."""

    def __init__(self, directory):
        self.directory = directory

    def path(self, *names):
        return os.path.join(self.directory, *names)


class Machine:
    """One runner with its Server and its share of the schedules."""

    def __init__(self, seed, number, kills=0, workspaces=True):
        self.random = random.Random(f"{seed}/{number}")
        self.directory = tempfile.mkdtemp(prefix="dr-state-")
        os.chmod(self.directory, 0o755)
        self.server = StateServer(f"{seed}/{number}/server").start()
        self.git = None
        if workspaces:
            os.mkdir(os.path.join(self.directory, "git"))
            make_repo(os.path.join(self.directory, "git"))
            self.git = GitServer(os.path.join(self.directory, "git"))
        self.runner = Runner(Place(self.directory), self.server, runner__drain_timeout=20)
        self.kills_wanted, self.events = kills, collections.Counter()
        self.workspace = None           # (id, what its next job is)
        self.broken = []

    # Schedules.
    def _faults(self):
        """Up to three faults for one request, most often none or one."""
        count = self.random.choices((0, 1, 2, 3), (40, 45, 12, 3))[0]
        return [self.random.choice(sorted(UPDATE_FAULTS)) for _ in range(count)]

    def add(self):
        claim, report = self._faults(), self._faults()
        if not claim and not report:
            (claim if self.random.random() < 0.5 else report).append(self.random.choice(sorted(UPDATE_FAULTS)))
        kill = self.random.random() < 0.02
        kind, resource, action, expect, text, metadata = self._work()
        with self.server.lock:
            job = self.server.add_job(kind, action, resource, metadata=metadata)
            self.server.plans[job] = Plan(job, kind + " " + action, expect, text, claim, report, kill)
        return job

    def _work(self):
        """(resource type, id, action, expected end, its text, metadata)."""
        draw = self.random.random()
        server = self.server
        if self.git and draw < 0.02:
            return self._workspace_work()
        if draw < 0.10:
            return ("runner", server.runner_id, "install-provider", "success", "",
                    json.dumps({"name": "native-provider", "version": "v1.0.0"}))
        if draw < 0.16:
            return "runner", server.runner_id, "update-provider", "error", "provider not found", '{"name":"none-provider"}'
        if draw < 0.20:
            return "runner", server.runner_id, "uninstall-provider", "error", "provider not found", "none-provider"
        if draw < 0.26:
            return "target", server.add_target(provider="none-provider"), "create", "error", "none-provider", None
        if draw < 0.30:
            return "target", server.add_target(provider="none-provider"), "force-delete", "success", "", None
        if draw < 0.34:
            return "target", "0123456789ab", "start", "error", "target not found", None
        if draw < 0.38:
            return "target", "../../etc", "start", "error", "id is not usable", None
        if draw < 0.42:
            return "workspace", "0123456789ab", "start", "error", "workspace not found", None
        if draw < 0.46:
            return "target", server.add_target(), "dance", "error", "invalid job action", None
        if draw < 0.72:
            return "target", server.add_target(), "create", "success", "", None
        if draw < 0.86:
            return "target", server.add_target(), "start", "success", "", None
        return "target", server.add_target(), "delete", "success", "", None

    def _workspace_work(self):
        """One workspace at a time is created, restarted and deleted."""
        server = self.server
        if self.workspace and self._unfinished(self.workspace[0]):
            return "target", server.add_target(), "create", "success", "", None
        if not self.workspace:
            self.workspace = (server.add_workspace(self.git.url + "/app.git"), "create")
        identity, action = self.workspace
        follows = {"create": "restart", "restart": "delete", "delete": None}[action]
        # What was disturbed may have left any state behind, and then only its deletion is sure.
        spoilt = any(job["resourceId"] == identity and job["state"] == "error" for job in server.jobs.values())
        if spoilt and action == "restart":
            action, follows = "delete", None
        self.workspace = (identity, follows) if follows else None
        return "workspace", identity, action, "success", "", None

    def _unfinished(self, resource):
        return any(job["resourceId"] == resource and job["state"] not in FINAL for job in self.server.jobs.values())

    # Events.
    def unsettled(self):
        with self.server.lock:
            return [job_id for job_id, job in self.server.jobs.items() if job["state"] not in FINAL]

    def disturb(self, *states):
        for job_id in self.unsettled():
            if not states or self.server.jobs[job_id]["state"] in states:
                self.server.plans[job_id].disturbed = True

    def start(self):
        # The first heartbeats may be among those that fail; that the runner comes is seen in the end.
        self.runner.start(wait=False)
        self.events["start"] += 1

    def kill(self):
        self.disturb()
        self.runner.kill()
        # Between the look at the Server and the kill more may have been claimed.
        self.disturb()
        self.events["kill -9"] += 1
        self.start()

    def term(self):
        self.disturb()
        self.runner.signal(signal.SIGTERM)
        if self.random.random() < 0.3:
            self.runner.signal(signal.SIGTERM)
        try:
            status = self.runner.wait(60)
            early = not self.up()
            if status != 0 and not (early and status == -signal.SIGTERM):
                self.broken.append(f"serve ended with {status} after SIGTERM")
        except AssertionError as failure:
            self.broken.append(str(failure))
            self.runner.kill()
        self.disturb()
        self.events["SIGTERM"] += 1
        self.start()

    def server_restart(self):
        self.server.stop()
        self.events["Server restart"] += 1
        threading.Event().wait(self.random.uniform(0.0, 0.3))
        self.server.start()

    def kill_job(self):
        """A job's process, whichever there is."""
        running = children(self.runner.pid)
        if not running:
            return
        self.disturb("running")
        try:
            os.kill(self.random.choice(running), self.random.choice((signal.SIGKILL, signal.SIGABRT, signal.SIGTERM)))
            self.events["job process killed"] += 1
        except OSError:
            pass
        self.disturb("running")

    def up(self):
        """This start has come so far that its signals are its own."""
        return len(re.findall("starting runner", self.runner.log())) >= self.events["start"]

    def reload(self):
        if not self.up():
            return
        self.runner.signal(signal.SIGHUP)
        self.events["SIGHUP"] += 1

    def event(self):
        draw = self.random.random()
        if draw < 0.012:
            self.kill()
        elif draw < 0.018:
            self.term()
        elif draw < 0.028:
            self.server_restart()
        elif draw < 0.05:
            self.kill_job()
        elif draw < 0.054:
            self.reload()
        elif draw < 0.064:
            self.server.log_away = not self.server.log_away
            self.events["log sockets refused or back"] += 1

    # The run.
    def go(self, jobs):
        self.server.poll_faults, self.server.beat_faults = 0.05, 0.05
        self.start()
        self.server.wait(lambda: self.server.heartbeats, 30 * PATIENCE, "first heartbeat")
        threading.Event().wait(1.0)     # connections made, providers checked
        self.before = self.usage()
        added, limit = 0, time.monotonic() + 60 * PATIENCE
        while added < jobs:
            if len(self.unsettled()) < OUTSTANDING:
                self.add()
                added += 1
                limit = time.monotonic() + 60 * PATIENCE
                self.event()
            else:
                self.wait_change()
            if time.monotonic() > limit:
                self.broken.append(f"no job ended for {60 * PATIENCE} s: {self.unsettled()}")
                return
        self.finish()

    def go_with_kills(self, jobs, kills):
        """kill -9 at random moments while the jobs go through; each life is as long as a draw says."""
        self.start()
        self.server.wait(lambda: self.server.heartbeats, 30 * PATIENCE, "first heartbeat")
        threading.Event().wait(1.0)
        self.before = self.usage()
        added = 0
        for number in range(kills):
            while added < jobs * (number + 1) // kills:
                self.add()
                added += 1
            if self.random.random() < 0.5:
                threading.Event().wait(self.random.uniform(0.0, 0.5))
            else:   # after so many requests more
                wanted = len(self.server.requests) + self.random.randrange(1, 12)
                try:
                    self.server.wait(lambda wanted=wanted: len(self.server.requests) >= wanted, 5, "requests")
                except AssertionError:
                    pass
            self.kill()
        self.finish()

    def wait_change(self):
        with self.server.lock:
            self.server.lock.wait(0.05)

    def finish(self):
        """The faults are over: everything must come to its end."""
        self.server.poll_faults = self.server.beat_faults = 0.0
        self.server.log_away = False
        for timer in list(self.server.timers):
            timer.join()
        with self.server.lock:
            for plan in self.server.plans.values():
                plan.claim.clear()
                plan.report.clear()
        end = time.monotonic() + 90 * PATIENCE
        while self.unsettled() and time.monotonic() < end:
            self.wait_change()
        # Until nothing waits for a second sending any more.
        end = time.monotonic() + SETTLE * PATIENCE
        while self.known_jobs() and time.monotonic() < end:
            threading.Event().wait(0.1)

    def known_jobs(self):
        try:
            with open(os.path.join(self.runner.state, "status.json"), encoding="utf-8") as file:
                status_ = json.load(file)
        except (OSError, ValueError):
            return True
        return status_["jobs"] or status_["pid"] != self.runner.pid

    def usage(self):
        """(descriptors, processes, resident kB, files, bytes) of the runner now."""
        sizes = look_at(self.runner.state, lambda _, st: None if stat.S_ISDIR(st.st_mode) else st.st_size).values()
        files, size = sum(one is not None for one in sizes), sum(one or 0 for one in sizes)
        return (open_fds(self.runner.pid), len(children(self.runner.pid)), rss_kb(self.runner.pid), files, size)

    def strays(self):
        """(name, inode) of files that are no one's."""
        return {(path, inode) for path, inode in look_at(self.runner.state, lambda _, st: st.st_ino).items()
                if os.path.dirname(path) == self.runner.state and re.search(r"\.(tmp|bad)", path)}

    # What must hold.
    def check(self):
        log = self.runner.log()
        wrong = list(self.broken)
        match = SANITIZER.search(log)
        if match:
            wrong.append(match.group(0))
        if "abcsecret" in log:
            wrong.append("a page's content is in the log")
        if self.runner.process.poll() is not None:
            wrong.append(f"serve ended with {self.runner.process.returncode}")
        runs = collections.Counter(re.findall(r"job running +(\S+)", log))
        for plan in self.server.plans.values():
            wrong += [f"{plan.job} ({plan.kind}): {text}" for text in self.check_job(plan, runs[plan.job])]
        wrong += self.check_leftovers()
        return wrong

    def check_job(self, plan, runs):
        job = self.server.jobs[plan.job]
        states = self.server.states(plan.job)
        finals = [state for state in states if state in FINAL]
        if job["state"] not in FINAL:
            return [f"it is {job['state']} for ever: {states}"]
        again = plan.disturbed and plan.kind.split()[-1] in ("stop", "delete", "force-delete")  # harmless, so done again
        if runs > 1 and not again:
            return [f"it was run {runs} times: {states}"]
        if len(set(finals)) != 1 or (len(finals) > 1 and not plan.late):
            return [f"it ended {len(finals)} times: {states}"]
        if states.count("running") > 1 and not plan.late:
            return [f"it was claimed {states.count('running')} times: {states}"]
        text = job["error"] or ""
        if job["state"] == plan.expect:
            if plan.expect == "error" and not plan.text.search(text) and not (plan.disturbed and
                                                                              DISTURBED.search(text)):
                return [f"its error does not say why: {text!r}"]
            return [] if runs or plan.expect == "error" else ["it succeeded without having been run"]
        if plan.disturbed and job["state"] == "error" and DISTURBED.search(text):
            return []
        return [f"it ended in {job['state']} ({text!r}), expected was {plan.expect}"]

    def check_leftovers(self):
        wrong = []
        if self.known_jobs():
            wrong.append("the runner still knows jobs")
        pids = [pid for pid in children(self.runner.pid) if b"\0agent\0" not in read_proc(pid, "cmdline")]
        if len(pids) > 0:   # a check of a provider is short
            threading.Event().wait(2.0)
            pids = [pid for pid in pids if pid in children(self.runner.pid)]
        if pids:
            wrong.append(f"processes are left: {[read_proc(p, 'cmdline') for p in pids]}")
        zombies = [pid for pid in all_pids()
                   if read_proc(pid, "stat").rpartition(b")")[2].split()[:2] == [b"Z", str(self.runner.pid).encode()]]
        if zombies:
            wrong.append(f"{len(zombies)} zombies")
        self.after = self.usage()
        if self.after[0] > self.before[0] + 4:      # connections come and go
            wrong.append(f"descriptors: {self.before[0]} at the start, {self.after[0]} at the end")
        if self.after[2] > self.before[2] + 1024 and not sanitized():
            wrong.append(f"resident memory: {self.before[2]} kB at the start, {self.after[2]} kB at the end")
        for path in ("journal",):
            size = os.path.getsize(os.path.join(self.runner.state, path))
            if size > 1 << 20:
                wrong.append(f"{path} has {size} bytes")
        strays = self.strays()
        end = time.monotonic() + PATIENCE
        while strays and time.monotonic() < end:    # what is just being written goes
            time.sleep(0.01)
            strays &= self.strays()
        if strays:
            wrong.append(f"files are left: {strays}")
        deleted = {job["resourceId"] for job in self.server.jobs.values()
                   if job["action"] == "delete" and job["state"] == "success"}
        for kind in ("targets", "workspaces"):
            left = deleted & set(self._listdir(os.path.join(self.runner.state, "logs", kind)))
            left |= deleted & set(self._listdir(os.path.join(self.runner.state, kind)))
            if left:
                wrong.append(f"{len(left)} deleted {kind} are not gone: {sorted(left)[:3]}")
        # The journal holds nothing: a new start has nothing to say.
        if self.runner.stop(60) != 0:
            wrong.append("serve did not end well")
        count, beats = len(self.server.updates), len(self.server.heartbeats)
        self.runner.start()
        self.server.wait(lambda: len(self.server.heartbeats) > beats, 30 * PATIENCE, "heartbeat")
        self.runner.stop(60)
        if len(self.server.updates) != count:
            wrong.append(f"after a restart it still reports {self.server.updates[count:]}")
        return wrong

    @staticmethod
    def _listdir(path):
        try:
            return os.listdir(path)
        except OSError:
            return []

    def close(self, keep):
        self.runner.kill()
        self.server.stop()
        if self.git:
            self.git.stop()
        for pid in pids_with(self.directory):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)


def _one(seed, number, jobs, kills, results):
    machine = Machine(seed, number)
    try:
        if kills:
            machine.go_with_kills(jobs, kills)
        else:
            machine.go(jobs)
        wrong = machine.check()
    except Exception:
        wrong = [traceback.format_exc()]
    keep = bool(wrong)
    results.put({"number": number, "wrong": wrong, "jobs": len(machine.server.plans),
                 "faults": dict(machine.server.faults), "events": dict(machine.events),
                 "states": dict(collections.Counter(j["state"] for j in machine.server.jobs.values())),
                 "disturbed": sum(plan.disturbed for plan in machine.server.plans.values()),
                 "before": getattr(machine, "before", None), "after": getattr(machine, "after", None),
                 "directory": machine.directory if keep else None})
    results.close()
    results.join_thread()
    machine.close(keep)
    os._exit(0)


def share(total, machines):
    """total in as many parts, as equal as can be."""
    return [total // machines + (number < total % machines) for number in range(machines)]


def summary(found, kind, seed, seconds):
    """What happened on the machines of one kind, a line each."""
    lines = []
    for key in ("states", "events", "faults"):
        total = collections.Counter()
        for one in found:
            total.update(one[key])
        lines.append(f"{key}: " + ", ".join(f"{name} {count}" for name, count in sorted(total.items())))
    lines.append(f"disturbed by kills and stops: {sum(one['disturbed'] for one in found)} jobs")
    lines.append(f"{kind}, seed {seed}: {sum(one['jobs'] for one in found)} schedules on {len(found)} runners in "
                 f"{seconds:.0f} s, {sum(len(one['wrong']) for one in found)} violations")
    return lines


def run(seed, work):
    """One machine for each (jobs, kills) in work, all at once: what each found, in order."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=_one, args=(seed, number, jobs, kills, results))
               for number, (jobs, kills) in enumerate(work)]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sorted(found, key=lambda one: one["number"])
