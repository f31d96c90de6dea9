# SPDX-License-Identifier: Apache-2.0
"""serve and answers to its poll: cut, late, malformed, hostile, or an error. Nothing incomplete is acted
on, nothing is hammered, and the runner comes back by itself."""
import json
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, main, rss_kb, run  # noqa: E402
from httppeer import Fallthrough, close, error, hang, head, raw, reply  # noqa: E402
from servecase import BEAT, HTML, JOBS, STATE, FaultCase  # noqa: E402


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
            rule = self.srv.on("GET", JOBS, step)
            runner = self.runners[-1] if self.runners else self.runner(self.srv).start()
            self.quick_job()
            self.assertIsNone(runner.process.poll())
            self.assertEqual(rule.hits, 1)
        self.assertNotIn("abcsecret", runner.log())
        self.assertEqual(self.srv.job_faults(), [])

    def test_many_jobs_are_claimed_and_reported_side_by_side(self):
        """A claim is answered when three are under way, a result too. The connections that it takes do not stay."""
        together = {state: threading.Barrier(3) for state in ("running", "success")}

        def meet(conn, request):
            together[json.loads(request.body)["state"]].wait(30 * PATIENCE)
            raise Fallthrough
        rule = self.srv.on("POST", STATE, meet, forever=True)
        self.runner(self.srv, runner__max_jobs=0).start()
        self.srv.wait_heartbeat(1)
        with self.srv.lock:
            jobs = [self.srv.add_job("target", "create", self.srv.add_target()) for _ in range(12)]
        for job in jobs:
            self.assertEqual(self.srv.wait_final(job), ("success", ""))
        self.srv.drop(rule)

        def used(method, path):
            return {request.conn_id for request in self.srv.seen(method, path)}
        more = used("POST", STATE) - used("GET", JOBS) - used("POST", BEAT)
        self.assertEqual(len(more), 2)
        self.srv.wait(lambda: not any(conn.id in more for conn in self.srv.conns), 30 * PATIENCE, "they are closed")
        self.assertEqual(self.srv.job_faults(), [])

    def test_a_changed_list_of_providers_is_there_before_the_result_of_the_change(self):
        """Also while another result is under way, beside which others may go."""
        held = threading.Event()

        def state_of(request):
            return json.loads(request.body)["state"]

        def hold(conn, request):
            if state_of(request) == "success":
                held.wait(60 * PATIENCE)
            raise Fallthrough
        runner = self.runner(self.srv, runner__max_jobs=0).start()
        self.srv.wait_heartbeat(1)
        rule = self.srv.on("POST", STATE, hold, forever=True)
        other = self.srv.add_job("target", "create", self.srv.add_target())
        self.srv.wait(lambda: "success" in map(state_of, self.srv.seen("POST", STATE)), 30 * PATIENCE, "its result")
        job = self.srv.add_job("runner", "uninstall-provider", self.srv.runner_id, metadata="native-provider")
        runner.wait_log(f"job succeeded {job}")
        for _ in range(2):      # it has been through its loop since
            run([BIN, "status"], env=runner.env())
        held.set()
        for one in (other, job):
            self.assertEqual(self.srv.wait_final(one), ("success", ""))
        self.srv.drop(rule)
        listed = None
        for request in self.srv.seen("POST", ".*"):
            if request.path.endswith("/metadata") and request.path.startswith("/runner/"):
                listed = json.loads(request.body)["providers"]
            elif f"/{job}/state" in request.path and state_of(request) == "success":
                break
        self.assertEqual(listed, [])

    def test_cut_polls_are_no_errors(self):
        """A proxy that ends idle polls: empty close, 502, 503, 504 in any dress (30 to 60 s, here 3.5)."""
        wait = 3.5
        steps = (close(wait), reply(504, "<html>gateway time-out</html>", "text/html", delay=wait),
                 reply(502, "bad gateway", "text/plain", delay=wait), reply(503, "", delay=wait), close(wait))
        self.srv.on("GET", JOBS, *steps)
        runner = self.runner(self.srv).start()
        self.srv.wait_requests("GET", JOBS, len(steps) + 1, 30 * PATIENCE)
        gaps = self.gaps("GET", JOBS)
        self.assertLess(max(gaps[:len(steps)]), wait + 2 * PATIENCE, gaps)
        self.quick_job()
        self.no_error_lines(runner)

    def test_html_with_status_200(self):
        page = reply(200, HTML, "text/html")
        runner = self.runner(self.srv).start()
        rules = [self.srv.on(method, path, page, page) for method, path in
                 (("GET", JOBS), ("POST", BEAT), ("POST", STATE))]
        self.quick_job()
        for rule in rules:
            self.srv.used(rule)
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
        self.srv.used(self.srv.on("GET", JOBS, longer, unfinished, in_chunk, no_end), 40 * PATIENCE)
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
            self.quick_job()
            self.assertEqual(rule.hits, 1, text[:60])
        self.assertEqual(self.srv.job_faults(), [])

    def test_answer_in_single_bytes(self):
        self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "delete", workspace, job_id="drip00000001", state="hidden")
        shown = {**self.srv.jobs[job], "state": "pending"}
        text = json.dumps([shown]).encode()
        whole = head(200, [("Content-Length", str(len(text)))]) + text
        self.srv.on("GET", JOBS, raw(*[whole[i:i + 1] for i in range(len(whole))]))
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
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "success")
        self.assertEqual({u.job_id for u in self.srv.updates}, {job})

    def test_half_open_poll_is_given_up(self):
        """No FIN, no RST, no byte: the poll's own limit ends it."""
        runner = self.runner(self.srv, server__poll_timeout_s=2).start()
        self.srv.used(self.srv.on("GET", JOBS, hang(), hang()))
        self.quick_job()
        self.assertIsNone(runner.process.poll())

    def test_pending_job_is_not_claimed_twice_by_repeated_lists(self):
        self.runner(self.srv).start()
        job = self.quick_job()
        old = {**self.srv.jobs[job], "state": "pending"}
        self.srv.used(self.srv.on("GET", JOBS, reply(200, [old, old]), reply(200, [old])))
        self.quick_job()
        # It may be told its final state again; it must not be claimed or executed again.
        claims = [u for u in self.srv.updates if u.job_id == job and u.state == "running"]
        self.assertEqual(len(claims), 1)
        self.assertEqual(self.srv.states(job), ["running", "success"])


if __name__ == "__main__":
    main()
