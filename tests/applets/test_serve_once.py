# SPDX-License-Identifier: Apache-2.0
"""serve for a while: --jobs, --once, --idle-exit, --max-uptime end it by itself, with every result at the Server."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main, run, BIN  # noqa: E402
from httppeer import error  # noqa: E402
from servecase import STATE, ServeCase  # noqa: E402


class OnceTest(ServeCase):
    def jobs(self, count):
        return [self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url)) for _ in range(count)]

    def ended(self, runner, why, timeout=60):
        self.assertEqual(runner.wait(timeout), 0, runner.log()[-2000:])
        self.assertIn(why, runner.log())
        self.assertEqual(self.srv.job_faults(), [])

    def states(self, jobs):
        return sorted(self.srv.jobs[job]["state"] for job in jobs)

    def test_so_many_jobs_and_no_more(self):
        """All are in the first list already."""
        jobs = self.jobs(5)
        self.ended(self.runner(self.srv).start("--jobs", "3", wait=False), "has done its jobs")
        self.assertEqual(self.states(jobs), ["pending"] * 2 + ["success"] * 3)
        self.ended(self.runner(self.srv).start("--once", wait=False), "has done its jobs")
        self.assertEqual(self.states(jobs), ["pending"] + ["success"] * 4)

    def test_claims_that_are_refused_do_not_count(self):
        self.srv.on("POST", STATE, error(500, "job is already in the specified state"))
        jobs = self.jobs(2)
        self.ended(self.runner(self.srv).start("--once", wait=False), "has done its jobs")
        self.assertEqual(self.states(jobs), ["pending", "success"])

    def test_a_job_that_fails_counts_and_the_status_is_0(self):
        job = self.srv.add_job("workspace", "create", "nosuchworkspace")
        self.ended(self.runner(self.srv).start("--once", wait=False), "has done its jobs")
        self.assertEqual(self.srv.jobs[job]["state"], "error")

    def test_the_end_waits_until_the_server_has_the_result(self):
        job = self.jobs(1)[0]
        runner = self.runner(self.srv).start("--once", wait=False)
        self.srv.wait(lambda: self.srv.jobs[job]["state"] == "running" or self.srv.seen("POST", STATE), 30 * PATIENCE, "claim")
        rule = self.srv.on("POST", STATE, error(503, "away"), forever=True)
        self.srv.wait(lambda: len(self.srv.seen("POST", STATE)) > 3, 40 * PATIENCE, "reports that fail")
        self.assertIsNone(runner.process.poll())
        self.srv.drop(rule)
        self.ended(runner, "has done its jobs", 90)
        self.assertEqual(self.srv.jobs[job]["state"], "success")

    def test_idle(self):
        runner = self.runner(self.srv)
        self.git.hold.clear()
        self.git.arrived.clear()
        self.addCleanup(self.git.hold.set)
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        runner.start("--idle-exit", "2", wait=False)
        self.assertTrue(self.git.arrived.wait(30 * PATIENCE))
        beats = len(self.srv.heartbeats)
        self.srv.wait(lambda: len(self.srv.heartbeats) > beats + 3, 40 * PATIENCE, "time that a job takes is not idle")
        self.assertIsNone(runner.process.poll())
        self.git.hold.set()
        self.ended(runner, "no job for long enough")
        self.assertEqual(self.srv.jobs[job]["state"], "success")

    def test_uptime(self):
        """What runs goes on; what comes later stays pending."""
        runner = self.runner(self.srv)
        self.git.hold.clear()
        self.git.arrived.clear()
        self.addCleanup(self.git.hold.set)
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        runner.start("--max-uptime", "3", wait=False)
        self.assertTrue(self.git.arrived.wait(30 * PATIENCE))
        beats = len(self.srv.heartbeats)
        self.srv.wait(lambda: len(self.srv.heartbeats) > beats + 5, 40 * PATIENCE, "its time is over")
        later = self.jobs(1)[0]
        self.srv.wait(lambda: len(self.srv.heartbeats) > beats + 7, 40 * PATIENCE, "nothing happens")
        self.assertEqual(self.srv.jobs[later]["state"], "pending")
        self.git.hold.set()
        self.ended(runner, "its time is over")
        self.assertEqual((self.srv.jobs[job]["state"], self.srv.jobs[later]["state"]), ("success", "pending"))

    def test_a_pause_is_not_idle(self):
        runner = self.runner(self.srv).start("--idle-exit", "2", wait=False)
        self.srv.wait_heartbeat(1)
        self.assertEqual(runner.applet("pause").returncode, 0)
        beats = len(self.srv.heartbeats)
        self.srv.wait(lambda: len(self.srv.heartbeats) > beats + 4, 40 * PATIENCE, "heartbeats")
        self.assertIsNone(runner.process.poll())
        self.assertEqual(runner.applet("resume").returncode, 0)
        self.ended(runner, "no job for long enough")

    def test_wrong_values(self):
        for words in (("--jobs", "0"), ("--jobs", "x"), ("--idle-exit", "soon"), ("--max-uptime", "0"), ("--idle-exit", "")):
            self.assertEqual(run([BIN, "serve", *words]).returncode, 2, words)


if __name__ == "__main__":
    main()
