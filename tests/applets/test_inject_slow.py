# SPDX-License-Identifier: Apache-2.0
"""Parts that are slow or half broken: an engine that takes its time, a poll that fails while heartbeats pass,
heartbeats that fail while jobs pass, heartbeats slower than their interval."""
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, accept_each, free_port, main, run, wait_for  # noqa: E402
from httppeer import error, hang, normal  # noqa: E402
from servecase import ServeCase  # noqa: E402

JOBS, BEAT = "/runner/[^/]+/jobs", "/runner/[^/]+/metadata"


class SlowTest(ServeCase):
    def quick_job(self):
        job = self.srv.add_job("target", "create", self.srv.add_target())
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""), self.runners[-1].log()[-2000:])
        self.assertEqual(self.srv.job_faults(), [])

    def slow_engine(self, answers):
        """A Unix socket that accepts and says nothing until answers is set, then hangs up."""
        path = self.path("engine.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(8)

        def serve(conn):
            answers.wait(60 * PATIENCE)
            conn.close()
        self.addCleanup(accept_each(listener, serve))
        return path

    def test_start_waits_for_the_providers_and_heartbeats_do_not(self):
        answers = threading.Event()
        engine = self.slow_engine(answers)
        self.addCleanup(answers.set)
        runner = self.runner(self.srv)
        with open(runner.ini, encoding="utf-8") as file:
            text = file.read().replace("enabled = false", "enabled = true")
        with open(runner.ini, "w", encoding="utf-8") as file:
            file.write(text)
        env = runner.env(DOCKER_HOST="unix://" + engine)
        with subprocess.Popen([BIN, "start"], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            self.addCleanup(run, [BIN, "stop"], env=env)
            # The heartbeat comes while the engine says nothing, and start is still waiting for it.
            self.srv.wait_heartbeat(3, 30 * PATIENCE)
            self.assertIsNone(process.poll(), "it did not wait for the engine's answer")
            answers.set()
            output = process.communicate(timeout=60 * PATIENCE)[0]
        self.assertEqual(process.returncode, 0, output)
        first = self.srv.heartbeats[0]
        self.assertEqual({p["name"] for p in first[1]["providers"]}, {"docker-provider", "native-provider"})
        self.assertEqual(run([BIN, "stop"], env=env).returncode, 0)

    def test_poll_fails_while_heartbeats_pass(self):
        port = free_port()
        self.runner(self.srv, runner__port=port).start()
        rule = self.srv.on("GET", JOBS, error(500, "failed to get runner jobs: database is locked"), forever=True)

        def health():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10 * PATIENCE) as answer:
                return answer.read().decode().strip()
        wait_for(lambda: health() == "degraded", 90 * PATIENCE, "health tells of the polls")
        beats = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(beats + 2, 30 * PATIENCE)
        self.srv.drop(rule)
        self.quick_job()
        wait_for(lambda: health() == "ok", 60 * PATIENCE, "health is well again")

    def test_heartbeats_fail_while_jobs_pass(self):
        """A broken heartbeat endpoint holds up no result (the Server would show the runner unresponsive, no more)."""
        self.runner(self.srv).start()
        rule = self.srv.on("POST", BEAT, error(500, "failed to set runner metadata: database is locked"), forever=True)
        self.srv.wait(lambda: rule.hits > 2, 60 * PATIENCE, "heartbeats that fail")
        start = time.monotonic()
        for _ in range(5):
            self.quick_job()
        self.assertLess(time.monotonic() - start, 20 * PATIENCE)

    def test_heartbeats_slower_than_their_interval(self):
        runner = self.runner(self.srv, server__heartbeat_s="100ms").start()
        rule = self.srv.on("POST", BEAT, normal(0.5), forever=True)
        self.srv.wait(lambda: rule.hits > 2, 30 * PATIENCE, "heartbeats that are slow")
        for _ in range(3):
            self.quick_job()
        self.assertEqual(runner.stop(), 0)

    def test_claims_that_always_fail_hold_up_nobody(self):
        """The Server rolls these claims back for ever: they take no place from the jobs that can run."""
        runner = self.runner(self.srv, runner__max_jobs=2).start()
        poison = [self.srv.add_job("target", "create", self.srv.add_target()) for _ in range(4)]

        def rolled_back(conn, request):
            if any(job in request.path for job in poison):
                return error(500, "failed to update job state: workspace not found")(conn, request)
            return normal()(conn, request)
        self.srv.on("POST", "/runner/[^/]+/jobs/[^/]+/state", rolled_back, forever=True)
        for _ in range(3):
            self.quick_job()
        self.assertTrue(all(self.srv.jobs[job]["state"] == "pending" for job in poison))
        self.assertEqual(runner.stop(), 0)
        self.assertEqual([u for u in self.srv.updates if u.job_id in poison and u.status == 200], [])

    def test_killed_when_a_provider_job_was_as_good_as_done(self):
        """Its effect is there, the result is not: the truth is success. Without the effect it is an error."""
        runner = self.runner(self.srv).start()
        self.srv.wait(lambda: self.srv.target_configs, 30 * PATIENCE, "the presets of the start")
        metadata = '{"name":"native-provider","version":"v1.2.3"}'
        rule = self.srv.on("GET", "/target-config", hang(), forever=True)
        job = self.srv.add_job("runner", "install-provider", self.srv.runner_id, metadata=metadata)
        effect = os.path.join(runner.state, "providers.json")
        self.srv.wait(lambda: rule.hits > 0 and os.path.exists(effect), 30 * PATIENCE, "the job's last step")
        runner.kill()
        self.srv.drop(rule)
        runner.start()
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        self.assertEqual(self.srv.job_faults(), [])
        runner.stop()
        os.unlink(effect)
        looked = len(self.srv.seen("GET", "/target-config"))
        runner.start()
        self.srv.wait_requests("GET", "/target-config", looked + 1, 30 * PATIENCE)
        rule = self.srv.on("GET", "/target-config", hang(), forever=True)
        job = self.srv.add_job("runner", "install-provider", self.srv.runner_id, metadata=metadata)
        # The start itself may look, too: the job's look comes after its effect.
        self.srv.wait(lambda: rule.hits > 0 and os.path.exists(effect), 30 * PATIENCE, "the job's last step")
        runner.kill()
        os.unlink(effect)
        self.srv.drop(rule)
        runner.start()
        state, text = self.srv.wait_final(job, 60 * PATIENCE)
        self.assertEqual(state, "error")
        self.assertIn("restarted", text)


if __name__ == "__main__":
    main()
