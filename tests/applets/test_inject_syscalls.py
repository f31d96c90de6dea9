# SPDX-License-Identifier: Apache-2.0
"""Every system call that can fail is made to fail in turn (strace's injection) while serve starts and runs
jobs: it never crashes, each job ends in exactly one true state, and no result is lost.

A sample of the places by default; DR_INJECT_ALL=1 takes every one."""
import collections
import concurrent.futures
import os
import random
import re
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, SANITIZER, Case, Runner, children, main, run, skip_all  # noqa: E402
from fakeserver import FINAL, FakeServer  # noqa: E402

ALL = bool(os.environ.get("DR_INJECT_ALL"))
PER_KIND = 12       # places of one kind in a sample
BUDGET = 60.0       # seconds for the sample
AT_ONCE = 4

# What fails and how. The name is what strace calls it; unknown ones on this machine are left out (?).
KINDS = [
    ("?write", ("EIO", "ENOSPC")), ("?pwrite64", ("EIO", "ENOSPC")), ("?fsync", ("EIO",)), ("?fdatasync", ("EIO",)),
    ("?rename,?renameat,?renameat2", ("EIO", "ENOSPC")), ("?open,?openat", ("EMFILE", "EIO")),
    ("?fork,?vfork,?clone,?clone3", ("EAGAIN", "ENOMEM")), ("?connect", ("ECONNREFUSED", "ENETUNREACH")),
    ("?socket", ("EMFILE",)), ("?pipe2", ("EMFILE",)), ("?sendto,?sendmsg", ("EPIPE", "ECONNRESET")),
    ("?recvfrom,?recvmsg", ("ECONNRESET",)), ("?read", ("EIO", "EINTR")), ("?poll,?ppoll", ("EINTR", "ENOMEM")),
    ("?ftruncate", ("EIO",)), ("?mkdir,?mkdirat", ("ENOSPC", "EACCES")), ("?chmod,?fchmod,?fchmodat", ("EPERM",)),
    ("?utimensat", ("EIO",)), ("?unlink,?unlinkat", ("EIO",)), ("?wait4", ("EINTR",)), ("?setsockopt", ("EINVAL",)),
    ("?getrandom", ("ENOSYS",)), ("?flock", ("EINTR", "ENOLCK")), ("?signalfd4", ("EMFILE",)), ("?fcntl", ("EINVAL",)),
    ("?prctl", ("EINVAL",)), ("?setsid", ("EPERM",)), ("?close", ("EIO",)), ("?pread64", ("EIO",)),
    ("?mmap,?brk", ("ENOMEM",)), ("?getdents64", ("EIO",)), ("?newfstatat,?stat,?fstat,?lstat", ("EIO",)),
]


def sanitized():
    with open(BIN, "rb") as file:
        return b"__asan_init" in file.read()


class Place:
    """Its own directory, which common.Runner asks for."""

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, mode=0o700)

    def path(self, *names):
        return os.path.join(self.directory, *names)


class Trial:
    """serve with one failing call, then without; both with the same jobs."""

    def __init__(self, directory, calls, error, when):
        self.calls, self.error, self.when = calls, error, when
        self.place = Place(directory)
        self.server = FakeServer().start()
        self.runner = Runner(self.place, self.server, runner__drain_timeout=5)
        self.wrong = []
        self.hit = False

    def add_jobs(self):
        server = self.server
        self.expect = {
            server.add_job("runner", "install-provider", server.runner_id,
                           metadata='{"name":"native-provider","version":"v1.0.0"}'): "success",
            server.add_job("target", "create", server.add_target()): "success",
            server.add_job("target", "create", server.add_target(provider="none-provider")): "error"}

    def unsettled(self):
        return [job for job in self.expect if self.server.jobs[job]["state"] not in FINAL]

    def settle(self, seconds):
        end = time.monotonic() + seconds
        while self.unsettled() and self.runner.process.poll() is None and time.monotonic() < end:
            with self.server.lock:
                self.server.lock.wait(0.02)

    def serve_pid(self):
        found = children(self.runner.process.pid)
        return found[0] if found else None

    def go(self):
        trace = self.place.path("trace")
        env = self.runner.env(DR_TRIAL="1")
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        self.add_jobs()
        prefix = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", trace, "-e", "trace=" + self.calls,
                  "-e", f"inject={self.calls}:error={self.error}:when={self.when}"]
        self.runner.start(wait=False, env=env, prefix=prefix)
        self.settle(12 * PATIENCE)
        self.end_first()
        with open(trace, encoding="latin-1") as file:
            self.hit = "(INJECTED)" in file.read()
        # Whatever is open is settled by a start in good health.
        self.runner.start(wait=False)
        self.settle(20 * PATIENCE)
        self.runner.stop(30)
        self.check()

    def end_first(self):
        pid = self.serve_pid()
        if self.runner.process.poll() is None and pid:
            os.kill(pid, signal.SIGTERM)
        try:
            status = self.runner.process.wait(20 * PATIENCE)
        except Exception:
            self.wrong.append("it does not end after SIGTERM")
            if pid:
                os.kill(pid, signal.SIGKILL)
            self.runner.process.kill()
            self.runner.process.wait(10)
            return
        if status < 0:
            self.wrong.append(f"ended by signal {-status}")
        elif status and not self.runner.log().strip() and "write" not in self.calls:
            self.wrong.append(f"ended with {status} and said nothing")

    def check(self):
        log = self.runner.log()
        match = SANITIZER.search(log)
        if match and "LeakSanitizer" not in match.group(0):
            self.wrong.append(match.group(0))
        runs = collections.Counter(re.findall(r"job running +(\S+)", log))
        for job, expected in self.expect.items():
            states = self.server.states(job)
            finals = [state for state in states if state in FINAL]
            text = self.server.jobs[job]["error"] or ""
            what = f"{self.server.jobs[job]['action']} ended {states} ({text})"
            if len(finals) != 1 or states[-1] not in FINAL:
                self.wrong.append("not one final state: " + what)
            elif runs[job] > 1:
                self.wrong.append(f"run {runs[job]} times: {what}")
            elif finals[0] == "success" and expected == "error":
                self.wrong.append("an untrue success: " + what)
            elif finals[0] == "error" and not text:
                self.wrong.append("no reason: " + what)

    def close(self, keep):
        self.runner.kill()
        self.server.stop()
        if not keep:
            shutil.rmtree(self.place.directory, ignore_errors=True)

    def __str__(self):
        return f"{self.calls.replace('?', '')} {self.error} number {self.when}"


class InjectTest(Case):
    def trial(self, calls, error, when):
        trial = Trial(self.path(f"{abs(hash((calls, error)))}-{when}"), calls, error, when)
        try:
            trial.go()
        except Exception as failure:     # told with the place that it belongs to
            trial.wrong.append(repr(failure))
        if trial.wrong:
            trial.wrong.append(trial.runner.log()[-1500:])
        trial.close(False)
        return trial

    def places(self):
        """Numbers of the calls to fail: every one, or a sample that is denser at the start."""
        when = step = 1
        for done in range(sys.maxsize if ALL else PER_KIND):
            yield when
            if not ALL and done + 1 >= PER_KIND // 2:
                step *= 2
            when += step

    def test_every_call_fails_in_turn(self):
        """One place of each kind, then a second of each and so on, until the time is up."""
        kinds = [(calls, error) for calls, errors in KINDS for error in errors
                 if not (calls.startswith("?mmap") and sanitized())]
        random.shuffle(kinds)   # a slow machine does not come to all
        end = time.monotonic() + (sys.maxsize if ALL else BUDGET)
        wrong, failed, tried, seen, left = [], 0, set(), set(), kinds
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for when in self.places():
                trials = list(pool.map(lambda kind: self.trial(*kind, when) if time.monotonic() < end else None, left))
                trials = [trial for trial in trials if trial]
                wrong += [f"{trial}: {text}" for trial in trials for text in trial.wrong]
                tried |= {(trial.calls, trial.error) for trial in trials}
                left = [(trial.calls, trial.error) for trial in trials if trial.hit]    # the others have no more
                failed += len(left)
                seen |= set(left)
                if not left:
                    break
        print(f"{failed} failing calls of {len(seen)} kinds, {len(wrong)} faults")
        self.assertEqual(wrong, [], "\n".join(wrong[:30]))
        self.assertGreater(len(seen), len(tried) // 2, "strace injects nothing")

    def test_the_claims_of_one_list_share_a_sync(self):
        """Counted, not timed: each job's result is a sync of its own at most, all claims together are one."""
        server, trace = self.server(), self.path("trace")
        with server.lock:
            jobs = [server.add_job("target", "create", server.add_target()) for _ in range(40)]
        runner = self.runner(server, runner__max_jobs=0)
        env = runner.env()
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
        runner.start(wait=False, env=env, prefix=["strace", "-qq", "--seccomp-bpf", "-f", "-o", trace, "-e", "trace=fdatasync"])
        for job in jobs:
            self.assertEqual(server.wait_final(job, 60 * PATIENCE)[0], "success")
        os.kill(children(runner.pid)[0], signal.SIGTERM)
        runner.wait()
        with open(trace, encoding="latin-1") as file:
            syncs = file.read().count("fdatasync(")
        self.assertTrue(1 <= syncs <= len(jobs) + 10, f"{syncs} for {len(jobs)} jobs")


def usable():
    try:
        result = run(["strace", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO", "true"])
    except OSError:
        return "no strace here"
    return "" if result.returncode == 0 else "strace cannot trace here: " + result.stderr.strip()


if __name__ == "__main__":
    WHY = usable()
    if WHY:
        skip_all(WHY)
    main()
