# SPDX-License-Identifier: Apache-2.0
"""serve with a key that is refused, a Server that is away, slow, or asks for patience."""
import email.utils
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, cpu_seconds, main, open_fds, run, wait_for  # noqa: E402
from httppeer import TEXT_TYPE, close, error, hang, normal, raw, reply, reset  # noqa: E402
from servecase import BEAT, HTML, JOBS, FaultCase  # noqa: E402


class KeyTest(FaultCase):
    def refused(self, status, text):
        rule = self.srv.on("*", ".*", error(status, text), forever=True)
        runner = self.runner(self.srv).start(wait=False)
        runner.wait_log(r"refuses our API key")
        self.assertIn("configure", runner.log())
        self.assertIn(self.srv.url, runner.log())
        self.assertNotIn(self.srv.key, runner.log())
        count, start = len(self.srv.requests), time.monotonic()
        lines = len(runner.log().splitlines())
        self.srv.wait(lambda: time.monotonic() - start > 6, 10, "six seconds")
        self.assertLessEqual(len(self.srv.requests) - count, 4)
        self.assertLessEqual(len(runner.log().splitlines()) - lines, 4)
        self.srv.drop(rule)
        runner.signal(signal.SIGHUP)
        self.srv.wait_heartbeat(1, 10 * PATIENCE)
        self.quick_job()
        self.assertEqual(runner.stop(), 0)

    def test_unknown_key(self):
        self.refused(401, "unauthorized")

    def test_forbidden_key(self):
        self.refused(403, "forbidden")

    def test_not_found_that_speaks_of_the_key(self):
        self.refused(404, "API key not found")

    def test_key_that_is_revoked_while_running(self):
        runner = self.runner(self.srv).start()
        beats = len(self.srv.seen("POST", BEAT))
        del self.srv.keys[self.srv.key]
        self.srv.cut()
        runner.wait_log(r"refuses our API key", 20)
        # Poll and heartbeat both meet it, in either order; the one that comes second says nothing more.
        self.srv.wait_requests("POST", BEAT, beats + 1)
        self.assertEqual(runner.log().count("WARN  the Server at"), 1, runner.log())
        self.srv.keys[self.srv.key] = "runner"
        runner.signal(signal.SIGHUP)
        self.quick_job()


class HeartbeatTest(FaultCase):
    def test_retry_after(self):
        for value in ("3", None):
            with self.subTest(value=value):
                asked = []

                def slow_down(conn, request, value=value, asked=asked):
                    asked.append(request)
                    text = value or email.utils.formatdate(time.time() + 4, usegmt=True)
                    return reply(429, "slow down", headers=[("Retry-After", text)])(conn, request)
                rule = self.srv.on("GET", JOBS, slow_down)
                if not self.runners:
                    self.runner(self.srv).start()
                self.srv.used(rule)
                polls = self.srv.wait(lambda asked=asked: asked and self.srv.seen("GET", JOBS)[-1] is not asked[0] and
                                      self.srv.seen("GET", JOBS), 30 * PATIENCE, "the next poll")
                self.assertGreaterEqual(polls[polls.index(asked[0]) + 1].at - asked[0].at, 2.9)
        self.quick_job()

    def test_heartbeat_does_not_wait_for_poll_or_job(self):
        runner = self.runner(self.srv).start()
        self.git.hold.clear()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace)
        self.srv.wait_state(job, "running")
        self.srv.used(self.srv.on("GET", JOBS, hang(), forever=True))
        self.srv.wait(lambda: self.srv.heartbeats[-1][1]["runningJobs"] == 1, 20 * PATIENCE, "one running job")
        count = len(self.srv.heartbeats)
        beats = self.srv.wait_heartbeat(count + 5, 30 * PATIENCE)
        gaps = [b[0] - a[0] for a, b in zip(beats[count:], beats[count + 1:])]
        self.assertLess(max(gaps), 1 + 2 * PATIENCE)
        self.git.hold.set()
        self.srv.wait(lambda: self.srv.heartbeats[-1][1]["runningJobs"] == 0, 40 * PATIENCE, "no running job")
        self.assertIsNone(runner.process.poll())

    def test_a_reason_that_takes_anothers_place_is_told(self):
        """The connection breaks, then an answer says more: with its remedy, and not when the first may be told again."""
        runner = self.runner(self.srv).start()
        for step, told in ((error(500, "failed to set runner metadata for x: runner metadata not found"),
                            "the Server has no runner .*; create one and configure this host for it"),
                           (reply(404, "404 page not found", TEXT_TYPE), "no such call; is the path in the URL .* right"),
                           (reply(405, "not here", TEXT_TYPE), "something answers in the Server's place; .* and its proxy right")):
            with self.subTest(told=told):
                cut = self.srv.on("POST", BEAT, *[raw(b"", then="close")] * 2)
                self.srv.used(cut)
                rule = self.srv.on("POST", BEAT, step, forever=True)
                runner.wait_log(told)
                said = run([BIN, "status"], env=runner.env())
                self.assertIn("answers, but does not accept the runner", said.stdout)
                self.srv.drop(rule)
                self.srv.wait_heartbeat(len(self.srv.heartbeats) + 1, 60 * PATIENCE)

    def test_a_poll_that_finds_out_first_has_the_remedy_as_well(self):
        runner = self.runner(self.srv).start()
        self.srv.on("GET", JOBS, error(500, "failed to find runner: runner not found"), forever=True)
        runner.wait_log("the Server has no runner .*; create one and configure this host for it: GET ")

    def test_an_idle_runner_beats_half_as_often(self):
        runner = self.runner(self.srv, server__heartbeat_s=1).start()

        def rare():
            up = [body["uptime"] for _, body in self.srv.heartbeats[-4:]]
            return len(up) == 4 and all(b - a >= 2 for a, b in zip(up, up[1:]))
        self.srv.wait(rare, 40 * PATIENCE, "three in a row that are two seconds apart")
        self.assertEqual(runner.stop(), 0)

    def test_heartbeat_that_hangs_is_given_up(self):
        self.runner(self.srv).start()
        self.srv.used(self.srv.on("POST", BEAT, hang(), hang()), 60 * PATIENCE)
        count = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(count + 2, 30 * PATIENCE)
        self.quick_job()


class AwayTest(FaultCase):
    def test_server_restarts_in_the_middle(self):
        runner = self.runner(self.srv).start()
        self.git.hold.clear()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace)
        self.srv.wait_state(job, "running")
        self.assertTrue(self.git.arrived.wait(20 * PATIENCE))
        self.srv.stop()
        self.git.hold.set()
        runner.wait_log(r"(?i)refused|reset|closed")
        self.srv.start()
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        self.quick_job()
        self.assertEqual(self.srv.job_faults(), [])
        paths = {r.path.split("/")[2] for r in self.srv.seen("POST", "/runner/.*")}
        self.assertEqual(paths, {self.srv.runner_id})

    def test_server_is_away_at_the_start(self):
        self.srv.stop()
        runner = self.runner(self.srv).start(wait=False)
        runner.wait_log(r"(?i)refused")
        self.assertIn(self.srv.url.split("//")[1], runner.log())
        self.assertIsNone(runner.process.poll())
        self.srv.start()
        self.srv.wait_heartbeat(1, 60 * PATIENCE)
        self.quick_job()
        self.assertLess(cpu_seconds(runner.pid), 5)

    def test_log_sockets_are_away(self):
        self.srv.log_away = True
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace)
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        local = os.path.join(runner.state, "logs", "workspaces", workspace, "log")
        with open(local, encoding="utf-8") as file:
            self.assertIn(workspace, file.read())
        self.srv.log_away = False
        self.srv.wait(lambda: self.srv.log_frames[("runner", self.srv.runner_id)], 90 * PATIENCE,
                      "the runner's log is back by itself")

    def test_log_sockets_that_hang_or_break(self):
        runner = self.runner(self.srv).start()
        for step in (hang(), reset(), raw(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
                     raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         b"Sec-WebSocket-Accept: wrong\r\n\r\n"), reply(200, HTML, "text/html")):
            rule = self.srv.on("GET", "/log/workspace/.*", step, step, step, forever=True)
            workspace = self.srv.add_workspace(self.repo_url)
            job = self.srv.add_job("workspace", "create", workspace)
            start = time.monotonic()
            self.assertEqual(self.srv.wait_final(job, 90 * PATIENCE), ("success", ""))
            self.assertLess(time.monotonic() - start, 25 * PATIENCE)
            self.srv.drop(rule)
        self.assertNotIn("abcsecret", runner.log())
        self.assertIsNone(runner.process.poll())

    def test_nothing_leaks_over_many_faults(self):
        self.srv.poll_seconds = 0.02
        runner = self.runner(self.srv).start()
        self.quick_job()
        before = open_fds(runner.pid)
        steps = [reset(), close(), error(500, "x"), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", then="close"),
                 raw(b"nonsense\r\n\r\n", then="close"), reply(204)]
        for rule in (self.srv.on("GET", JOBS, *(normal(), *steps, normal(), normal()) * 2),
                     self.srv.on("POST", BEAT, reset(), close(), normal())):
            self.srv.used(rule, 120 * PATIENCE)
        self.quick_job()
        wait_for(lambda: open_fds(runner.pid) <= before, 20 * PATIENCE,
                 lambda: f"{open_fds(runner.pid)} descriptors, {before} before")


if __name__ == "__main__":
    main()
