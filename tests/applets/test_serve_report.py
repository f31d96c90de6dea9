# SPDX-License-Identifier: Apache-2.0
"""Claims and reports whose way or whose answer is broken: nothing is lost, nothing runs twice."""
import json
import os
import re
import sys
import time
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from httppeer import after_effect, close, error, normal, raw, reply, reset  # noqa: E402
from servecase import HTML, STATE, FaultCase  # noqa: E402


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

    def refused_report(self, words="failed to get job: job not found"):
        def forgotten(conn, request):
            if b'"running"' in request.body:
                return normal()(conn, request)
            return error(500, words)(conn, request)
        return self.srv.on("POST", STATE, forgotten, forever=True)

    def test_report_refused_is_sent_again_with_growing_pauses(self):
        """The Server's own refusal today may be a restored backup tomorrow: the result is not dropped."""
        runner = self.runner(self.srv).start()
        rule = self.refused_report()
        job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
        self.srv.wait_requests("POST", STATE, 4, 60 * PATIENCE)
        self.assertLessEqual(runner.log().count("job not found"), 3)
        self.srv.drop(rule)
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))

    def test_report_refused_for_hours_is_kept_aside(self):
        runner = self.runner(self.srv).start()
        rule = self.refused_report()
        job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
        self.srv.wait_requests("POST", STATE, 3, 60 * PATIENCE)
        runner.kill()
        self.age_refusal(os.path.join(runner.state, "journal"), job)
        runner.start()
        runner.wait_log("is kept in .*journal.refused", 90)
        with open(os.path.join(runner.state, "journal.refused"), encoding="utf-8") as file:
            kept = json.loads(file.read())
        self.assertEqual((kept["job"]["id"], kept["result"]), (job, "success"))
        self.assertIn("job not found", kept["refused"])
        count = len(self.srv.seen("POST", STATE))
        self.srv.drop(rule)
        self.quick_job()
        self.assertEqual(len(self.srv.seen("POST", STATE)) - count, 2, "it is not sent again")

    @staticmethod
    def age_refusal(path, job):
        """As if runners had been refused for seven hours: a record as they write them."""
        with open(path, "rb") as file:
            content = file.read()
        end = content.index(b"\0")
        record = json.dumps({"t": "refused", "id": job, "ms": 7 * 3600 * 1000}).encode()
        line = b"%08x %08x %s\n" % (zlib.crc32(record), len(record), record)
        with open(path, "wb") as file:
            file.write(content[:end] + line + content[end + len(line):])

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


if __name__ == "__main__":
    main()
