# SPDX-License-Identifier: Apache-2.0
"""Too few descriptors, too little memory: what cannot be done fails with its reason, the rest goes on."""
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, cpu_seconds, free_port, main, wait_for  # noqa: E402
from servecase import ServeCase  # noqa: E402


def sanitized():
    with open(BIN, "rb") as file:
        return b"__asan_init" in file.read()


class LimitsTest(ServeCase):
    def test_descriptors_run_out(self):
        """Jobs take what there is; those that get none say so, and all is well when they are back."""
        port = free_port()
        runner = self.runner(self.srv, runner__max_jobs=0, runner__port=port)
        runner.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
        held = []
        for _ in range(60):         # each one that it accepts costs it a descriptor
            sock = socket.socket()
            sock.setblocking(False)
            try:
                sock.connect(("127.0.0.1", port))
            except BlockingIOError:
                pass
            held.append(sock)
        self.git.hold.clear()
        jobs = [self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url)) for _ in range(30)]
        self.srv.wait(lambda: len([u for u in self.srv.updates if u.state == "error"]) >= 3, 60 * PATIENCE,
                      "jobs that could not be started")
        cpu, beats, began = cpu_seconds(runner.pid), len(self.srv.heartbeats), time.monotonic()
        self.srv.wait_heartbeat(beats + 3, 30 * PATIENCE)
        self.assertLess(cpu_seconds(runner.pid) - cpu, 0.5 + (time.monotonic() - began) / 2,
                        "it spins without descriptors")
        self.git.hold.set()
        for sock in held:
            sock.close()
        for job in jobs:
            state, text = self.srv.wait_final(job, 90 * PATIENCE)
            if state == "error":
                self.assertRegex(text, r"(?i)too many open files|no file descriptors")
        self.assertEqual(self.srv.job_faults(), [])
        self.job("delete", self.srv.add_workspace(self.repo_url))
        self.assertEqual(runner.stop(), 0)

    def test_memory_runs_out_in_a_job(self):
        """A job list and a job that need more than there is: one process ends, with one line, and the next
        start finds its way."""
        if sanitized():
            self.skipTest("the sanitizer reserves more than any limit")
        runner = self.runner(self.srv)
        runner.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (24 << 20, 24 << 20)))
        # The repository's name is read by the job's process alone.
        big = self.srv.add_workspace(self.repo_url, env={"BIG": "x" * (20 << 20)})
        job = self.srv.add_job("workspace", "create", big)
        state, text = self.srv.wait_final(job, 60 * PATIENCE)
        self.assertEqual(state, "error")
        self.assertTrue(text)
        self.assertIsNone(runner.process.poll(), "the supervisor went with it")
        self.job("delete", self.srv.add_workspace(self.repo_url))
        # A job list of that size ends the supervisor at worst: with its reason, and nothing is lost.
        huge = self.srv.add_job("target", "start", self.srv.add_target(), metadata="y" * (30 << 20))
        wait_for(lambda: runner.process.poll() is not None or
                 "larger than" in runner.log() or self.srv.jobs[huge]["state"] != "pending", 60 * PATIENCE, runner.log)
        if runner.process.poll() is not None:
            self.assertEqual(runner.process.returncode, 1)
            self.assertIn("out of memory", runner.log())
        else:
            self.srv.jobs.pop(huge)
            self.job("delete", self.srv.add_workspace(self.repo_url))
            self.assertEqual(runner.stop(), 0)


if __name__ == "__main__":
    main()
