# SPDX-License-Identifier: Apache-2.0
"""serve against a Server, proxies and networks that misbehave: nothing is lost, nothing runs twice,
nothing is hammered, and the runner comes back by itself."""
import email.utils
import json
import os
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, cpu_seconds, main, open_fds, rss_kb, wait_for  # noqa: E402
from httppeer import (after_effect, close, error, hang, head, normal, raw, reply, reset)  # noqa: E402
from servecase import ServeCase  # noqa: E402

JOBS = "/runner/[^/]+/jobs"
STATE = "/runner/[^/]+/jobs/[^/]+/state"
BEAT = "/runner/[^/]+/metadata"
HTML = "<html><body>Please sign in token=abcsecret</body></html>"


class FaultCase(ServeCase):
    def gaps(self, method, pattern):
        times = [r.at for r in self.srv.seen(method, pattern)]
        return [b - a for a, b in zip(times, times[1:])]

    def quick_job(self, timeout=60):
        """A job that needs no provider work: deleting what is not there."""
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "delete", workspace)
        self.assertEqual(self.srv.wait_final(job, timeout * PATIENCE), ("success", ""))
        return job

    def no_error_lines(self, runner):
        self.assertNotRegex(runner.log(), r"(?i)\bERROR\b")


class PollTest(FaultCase):
    def test_storm_of_500_backs_off_and_recovers(self):
        rule = self.srv.on("GET", JOBS, error(500, "failed to get runner jobs: database is locked"), forever=True)
        runner = self.runner(self.srv).start()
        self.srv.wait_requests("GET", JOBS, 5, 60)
        self.srv.wait_heartbeat(2)
        start = self.srv.seen("GET", JOBS)[0].at
        polls = self.srv.seen("GET", JOBS)
        self.assertLess(len(polls), 3 + (polls[-1].at - start) * 4, "polls while the Server fails")
        runner.wait_log("database is locked")
        self.srv.drop(rule)
        self.quick_job()
        self.assertIsNone(runner.process.poll())

    def test_every_status_is_survived(self):
        steps = [error(status, "x") for status in (400, 404, 408, 409, 429, 500, 502, 503, 504)]
        steps += [reply(204), reply(200, "null"), reply(200, "[]"), reply(200), reply(200, "{}"),
                  reply(200, "[1, null, \"x\", {}]"), reply(200, "nonsense"), reply(302, headers=[("Location", "/x")]),
                  reply(200, HTML, "text/html"), reply(201, "[]"), reply(299, "[]"), reply(599)]
        for step in steps:
            self.srv.on("GET", JOBS, step)
            runner = self.runners[-1] if self.runners else self.runner(self.srv).start()
            self.quick_job()
            self.assertIsNone(runner.process.poll())
            # The step must have been used.
            self.assertFalse(self.srv.rules[0].steps)
            self.srv.drop(self.srv.rules[0])
        self.assertNotIn("abcsecret", runner.log())
        self.assertEqual(self.srv.job_faults(), [])

    def test_cut_polls_are_no_errors(self):
        """A proxy that ends idle polls: empty close, 502, 503, 504 in any dress (30 to 60 s, here 3.5)."""
        wait = 3.5
        steps = (close(wait), reply(504, "<html>gateway time-out</html>", "text/html", delay=wait),
                 reply(502, "bad gateway", "text/plain", delay=wait), reply(503, "", delay=wait), close(wait))
        self.srv.on("GET", JOBS, *steps)
        runner = self.runner(self.srv).start()
        self.srv.wait_requests("GET", JOBS, len(steps) + 1, 30 * PATIENCE)
        gaps = self.gaps("GET", JOBS)
        self.assertLess(max(gaps[:len(steps)]), wait + 2, gaps)
        self.quick_job()
        self.no_error_lines(runner)

    def test_html_with_status_200(self):
        page = reply(200, HTML, "text/html")
        runner = self.runner(self.srv).start()
        rules = [self.srv.on(method, path, page, page) for method, path in
                 (("GET", JOBS), ("POST", BEAT), ("POST", STATE))]
        self.srv.cut()
        self.quick_job()
        self.srv.wait(lambda: not rules[0].steps and not rules[1].steps, 30 * PATIENCE, "pages were served")
        runner.wait_log("text/html")
        self.assertNotIn("abcsecret", runner.log())
        self.assertEqual(self.srv.job_faults(), [])

    def test_truncated_job_list_is_not_executed(self):
        """Bytes that happen to be valid JSON are no answer before the answer is complete."""
        runner = self.runner(self.srv).start()
        self.srv.wait_requests("GET", JOBS)
        workspace = self.srv.add_workspace(self.repo_url)
        fake = [{"id": "cut000000001", "resourceId": workspace, "runnerId": self.srv.runner_id,
                 "resourceType": "workspace", "state": "pending", "action": "delete", "metadata": None,
                 "error": None, "createdAt": "2025-02-10T09:00:00Z", "updatedAt": "2025-02-10T09:00:00Z"}]
        text = json.dumps(fake).encode()
        fields = [("Content-Type", "application/json")]
        longer = raw(head(200, fields + [("Content-Length", str(len(text) + 60))]) + text, then="close")
        chunk = b"%x\r\n" % len(text) + text
        chunked = fields + [("Transfer-Encoding", "chunked")]
        unfinished = raw(head(200, chunked) + chunk + b"\r\n", then="close")
        in_chunk = raw(head(200, chunked) + b"%x\r\n" % (len(text) + 5) + text, then="close")
        no_end = raw(head(200, chunked) + chunk + b"\r\n0\r\n", then="close")
        rule = self.srv.on("GET", JOBS, longer, unfinished, in_chunk, no_end)
        self.srv.cut()
        self.srv.wait(lambda: not rule.steps, 40 * PATIENCE, "all truncated answers served")
        self.quick_job()
        self.assertEqual([u for u in self.srv.updates if u.job_id == "cut000000001"], [])
        self.assertIsNone(runner.process.poll())

    def test_framing_that_must_be_refused_or_understood(self):
        runner = self.runner(self.srv).start()
        self.srv.wait_requests("GET", JOBS)
        ok = b"[]"
        good = [b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + ok,
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\nEtag: x\r\n\r\n",
                b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"]
        bad = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n[]x",
               b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n[]",
               b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n[]",
               b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
               b"HTTP/1.1 200 OK\r\nX : y\r\nContent-Length: 2\r\n\r\n[]",
               b"HTTP/1.1 200 OK\nContent-Length: 2\n\n[]",
               b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
               b"SSH-2.0-OpenSSH_9.2\r\n", b"\x15\x03\x01\x00\x02\x02\x50", b"HTTP/1.1 101 Switching\r\n\r\n",
               b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 200000]
        for text in good + bad:
            rule = self.srv.on("GET", JOBS, raw(text, then="close"))
            runner.signal(signal.SIGHUP)    # new connections, no back-off
            self.srv.wait(lambda rule=rule: not rule.steps, 40 * PATIENCE, f"served {text[:60]!r}")
        self.quick_job()
        self.assertEqual(self.srv.job_faults(), [])

    def test_answer_in_single_bytes(self):
        self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "delete", workspace, job_id="drip00000001", state="hidden")
        shown = {**self.srv.jobs[job], "state": "pending"}
        text = json.dumps([shown]).encode()
        whole = head(200, [("Content-Length", str(len(text)))]) + text
        self.srv.on("GET", JOBS, raw(*[whole[i:i + 1] for i in range(len(whole))]))
        self.srv.cut()
        self.assertEqual(self.srv.wait_final(job, 30 * PATIENCE), ("success", ""))

    def test_endless_header_is_bounded(self):
        def flood(conn, request):
            conn.send(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(1600):
                conn.send(b"x" * 65536)
            return False
        runner = self.runner(self.srv).start()
        before = rss_kb(runner.pid)
        self.srv.on("GET", JOBS, flood, flood)
        self.srv.cut()
        self.quick_job()
        self.assertLess(rss_kb(runner.pid) - before, 20000)

    def test_large_list_of_jobs(self):
        """5000 jobs of another runner's making in one answer: parsed, answered, nothing lost."""
        self.srv.poll_seconds = 1
        self.runner(self.srv).start()
        self.srv.wait_requests("GET", JOBS)
        filler = [{"id": f"done{i:08d}", "resourceId": "x", "runnerId": self.srv.runner_id,
                   "resourceType": "workspace", "state": "success", "action": "create", "metadata": "m" * 50,
                   "error": None, "createdAt": "2025-02-10T09:00:00Z", "updatedAt": "2025-02-10T09:00:00Z"}
                  for i in range(5000)]
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "delete", workspace, state="hidden")
        self.srv.on("GET", JOBS, reply(200, filler + [{**self.srv.jobs[job], "state": "pending"}]))
        self.srv.cut()
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "success")
        self.assertEqual({u.job_id for u in self.srv.updates}, {job})

    def test_half_open_poll_is_given_up(self):
        """No FIN, no RST, no byte: the poll's own limit ends it."""
        runner = self.runner(self.srv, server__poll_timeout_s=2).start()
        rule = self.srv.on("GET", JOBS, hang(), hang())
        self.srv.cut()
        self.srv.wait(lambda: not rule.steps, 30 * PATIENCE, "both polls hung")
        self.quick_job()
        self.assertIsNone(runner.process.poll())

    def test_pending_job_is_not_claimed_twice_by_repeated_lists(self):
        self.runner(self.srv).start()
        job = self.quick_job()
        old = {**self.srv.jobs[job], "state": "pending"}
        self.srv.on("GET", JOBS, reply(200, [old, old]), reply(200, [old]))
        self.srv.cut()
        self.srv.wait_requests("GET", JOBS, len(self.srv.seen("GET", JOBS)) + 3, 30 * PATIENCE)
        self.quick_job()
        # It may be told its final state again; it must not be claimed or executed again.
        claims = [u for u in self.srv.updates if u.job_id == job and u.state == "running"]
        self.assertEqual(len(claims), 1)
        self.assertEqual(self.srv.states(job), ["running", "success"])


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
        del self.srv.keys[self.srv.key]
        self.srv.cut()
        runner.wait_log(r"refuses our API key", 20)
        self.srv.keys[self.srv.key] = "runner"
        runner.signal(signal.SIGHUP)
        self.quick_job()


class HeartbeatTest(FaultCase):
    def test_retry_after(self):
        for value in ("3", None):
            with self.subTest(value=value):
                now = time.time()
                text = value or email.utils.formatdate(now + 4, usegmt=True)
                self.srv.on("GET", JOBS, reply(429, "slow down", headers=[("Retry-After", text)]))
                if not self.runners:
                    self.runner(self.srv).start()
                else:
                    self.srv.cut()
                rule = self.srv.rules[0]
                self.srv.wait(lambda rule=rule: not rule.steps, 30 * PATIENCE, "429 sent")
                count = len(self.srv.seen("GET", JOBS))
                self.srv.wait_requests("GET", JOBS, count + 1, 30 * PATIENCE)
                polls = self.srv.seen("GET", JOBS)
                self.assertGreaterEqual(polls[count].at - polls[count - 1].at, 2.9)
        self.quick_job()

    def test_heartbeat_does_not_wait_for_poll_or_job(self):
        runner = self.runner(self.srv).start()
        self.git.hold.clear()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace)
        self.srv.wait_state(job, "running")
        self.srv.on("GET", JOBS, hang(), forever=True)
        self.srv.cut()
        self.srv.wait(lambda: self.srv.heartbeats[-1][1]["runningJobs"] == 1, 20 * PATIENCE, "one running job")
        count = len(self.srv.heartbeats)
        beats = self.srv.wait_heartbeat(count + 5, 30 * PATIENCE)
        gaps = [b[0] - a[0] for a, b in zip(beats[count:], beats[count + 1:])]
        self.assertLess(max(gaps), 1 + 2 * PATIENCE)
        self.git.hold.set()
        self.srv.wait(lambda: self.srv.heartbeats[-1][1]["runningJobs"] == 0, 40 * PATIENCE, "no running job")
        self.assertIsNone(runner.process.poll())

    def test_heartbeat_that_hangs_is_given_up(self):
        self.runner(self.srv).start()
        rule = self.srv.on("POST", BEAT, hang(), hang())
        self.srv.wait(lambda: not rule.steps, 60 * PATIENCE, "two heartbeats hung")
        count = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(count + 2, 30 * PATIENCE)
        self.quick_job()


class ReportTest(FaultCase):
    def test_result_is_reported_until_the_server_has_it_across_a_restart(self):
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        refused = []

        def cut_final(conn, request):
            if b'"success"' in request.body or b'"error"' in request.body:
                refused.append(request.body)
                return reset()(conn, request)
            return normal()(conn, request)
        rule = self.srv.on("POST", STATE, cut_final, forever=True)
        job = self.srv.add_job("workspace", "create", workspace)
        self.srv.wait(lambda: len(refused) >= 2, 60 * PATIENCE, "two lost reports")
        created = self.srv.seen("GET", f"/workspace/{workspace}")
        runner.kill()
        runner.start()
        self.srv.wait(lambda: len(refused) >= 3, 60 * PATIENCE, "a third lost report")
        self.srv.drop(rule)
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        self.assertEqual(len(set(refused)), 1, "the same report each time")
        self.assertEqual(self.srv.states(job), ["running", "success"])
        self.assertEqual(len(self.srv.seen("GET", f"/workspace/{workspace}")), len(created), "executed once")
        self.quick_job()
        self.assertEqual(runner.stop(), 0)
        # A result that is in doubt may be told once more, but never anything else.
        for _ in range(2):
            runner.start()
            self.quick_job()
            self.assertEqual(runner.stop(), 0)
        self.assertEqual(self.srv.states(job), ["running", "success"])
        self.assertEqual({(u.state, u.message) for u in self.srv.updates if u.job_id == job},
                         {("running", None), ("success", None)})

    def test_final_report_with_faulty_answers(self):
        steps = {"reset before effect": [reset()], "lost answer": [after_effect(reset())],
                 "lost answer, empty close": [after_effect(close())], "500": [error(500, "database is locked")] * 3,
                 "503 page": [reply(503, HTML, "text/html")], "html": [reply(200, HTML, "text/html")],
                 "half an answer": [after_effect(raw(b"HTTP/1.1 200 OK\r\nContent-Le", then="close"))],
                 "429": [reply(429, "", headers=[("Retry-After", "1")])],
                 "408": [reply(408)]}
        self.runner(self.srv).start()
        for name, faults in steps.items():
            with self.subTest(name=name):
                left = list(faults)

                def step(conn, request, left=left):
                    if b'"running"' not in request.body and left:
                        return left.pop(0)(conn, request)
                    return normal()(conn, request)
                rule = self.srv.on("POST", STATE, step, forever=True)
                job = self.quick_job(120)
                self.assertEqual(left, [])
                self.assertEqual(self.srv.states(job), ["running", "success"])
                self.srv.drop(rule)
        self.assertEqual(self.srv.job_faults(), [])

    def test_claim_with_faulty_answers(self):
        """Whatever happens to a claim, the job ends in exactly one final state and runs at most once."""
        steps = {"reset before effect": reset(), "lost answer": after_effect(reset()),
                 "closed after effect": after_effect(close()), "500": error(500, "database is locked"),
                 "504 page after effect": after_effect(reply(504, HTML, "text/html")),
                 "html": reply(200, HTML, "text/html")}
        self.runner(self.srv).start()
        for name, fault in steps.items():
            with self.subTest(name=name):
                left = [fault]

                def step(conn, request, left=left):
                    if b'"running"' in request.body and left:
                        return left.pop(0)(conn, request)
                    return normal()(conn, request)
                rule = self.srv.on("POST", STATE, step, forever=True)
                workspace = self.srv.add_workspace(self.repo_url)
                job = self.srv.add_job("workspace", "delete", workspace)
                self.srv.wait_final(job, 60 * PATIENCE)
                self.assertEqual(left, [])
                self.srv.drop(rule)
        self.assertEqual(self.srv.job_faults(), [])

    def test_failing_claims_are_not_hammered(self):
        workspace = self.srv.add_workspace(self.repo_url)
        self.runner(self.srv).start()
        rule = self.srv.on("POST", STATE, error(500, "database is locked"), forever=True)
        job = self.srv.add_job("workspace", "delete", workspace)
        self.srv.wait_requests("POST", STATE, 2, 60 * PATIENCE)
        start, count = time.monotonic(), len(self.srv.requests)
        self.srv.wait(lambda: time.monotonic() - start > 5, 10, "five seconds")
        self.assertLess(len(self.srv.requests) - count, 40)
        self.srv.drop(rule)
        self.assertEqual(self.srv.wait_final(job, 90 * PATIENCE)[0], "success")

    def test_report_refused_for_good_is_given_up(self):
        """The Server forgot the job, or it belongs to another: said once, then dropped."""
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)

        def forgotten(conn, request):
            if b'"running"' in request.body:
                return normal()(conn, request)
            return error(500, "failed to get job: job not found")(conn, request)
        self.srv.on("POST", STATE, forgotten, forever=True)
        self.srv.add_job("workspace", "delete", workspace)
        runner.wait_log("job not found", 30)
        count = len(self.srv.seen("POST", STATE))
        beats = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(beats + 5, 30 * PATIENCE)
        self.assertLessEqual(len(self.srv.seen("POST", STATE)) - count, 3)

    def test_redirects_of_a_post(self):
        self.runner(self.srv).start()
        left = [reply(308, headers=[("Location", "{same}")])]
        seen = []

        def same_host(conn, request):
            if b'"running"' not in request.body and left:
                left.pop()
                seen.append(request.target)
                return reply(308, headers=[("Location", request.target + "?again=1")])(conn, request)
            return normal()(conn, request)
        rule = self.srv.on("POST", STATE, same_host, forever=True)
        job = self.quick_job(60)
        self.srv.drop(rule)
        posts = [r for r in self.srv.seen("POST", STATE) if b'"running"' not in r.body and job in r.path]
        self.assertEqual(posts[0].body, posts[1].body)
        # 301 never turns the POST into a GET, and the key goes to no other host.
        other = self.server()
        left = [1]

        def elsewhere(conn, request):
            if b'"running"' not in request.body and left:
                left.pop()
                return reply(301, headers=[("Location", other.url + request.target)])(conn, request)
            return normal()(conn, request)
        self.srv.on("POST", STATE, elsewhere, forever=True)
        job = self.quick_job(60)
        self.assertEqual(self.srv.seen("GET", STATE), [])
        self.assertEqual(other.requests, [])
        self.runners[-1].wait_log(re.escape(other.url))


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
        self.assertLess(cpu_seconds(runner.pid), 2)

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
        self.srv.on("GET", JOBS, *(normal(), *steps, normal(), normal()) * 2)
        self.srv.on("POST", BEAT, reset(), close(), normal())
        self.srv.wait(lambda: not self.srv.rules[1].steps, 120 * PATIENCE, "all faults served")
        self.quick_job()
        wait_for(lambda: open_fds(runner.pid) <= before, 20 * PATIENCE,
                 lambda: f"{open_fds(runner.pid)} descriptors, {before} before")


if __name__ == "__main__":
    main()
