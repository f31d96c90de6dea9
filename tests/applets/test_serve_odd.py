# SPDX-License-Identifier: Apache-2.0
"""serve against a Server, or something before it, that keeps to the letter of the protocol and yet is
odd: lists that never change, claims refused for good, log sockets that answer anything, jobs in
unusual spelling."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from httppeer import JSON_TYPE, TEXT_TYPE, close, error, head, normal, reply, reset, ws_accept, ws_read  # noqa: E402
from servecase import BEAT, HTML, JOBS, STATE, FaultCase  # noqa: E402


class ListTest(FaultCase):
    def setUp(self):
        super().setUp()
        self.run_by = self.runner(self.srv).start()

    def listed(self, **changes):
        """A pending job that every poll shows at once, whatever becomes of it."""
        with self.srv.lock:
            job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
            shown = {**self.srv.jobs[job], **changes}
            rule = self.srv.on("GET", JOBS, reply(200, [shown]), forever=True)
        self.srv.used(rule)
        return shown["id"]

    def beats(self, count=3):
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + count)

    def test_claims_refused_for_good_do_not_spin(self):
        for status, text in ((500, "failed to get job: job not found"),
                             (401, "job does not belong to runner"),
                             (500, "failed to update job state: job is already in the specified state")):
            with self.subTest(text=text):
                rule = self.srv.on("POST", STATE, error(status, text), forever=True)
                before = len(self.srv.seen("POST", STATE))
                self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
                self.srv.wait_requests("POST", STATE, before + 2)
                self.beats(1)
                self.assertLessEqual(len(self.srv.seen("POST", STATE)) - before, 4)
                self.assertEqual(self.run_by.log().count(text), 1)
                self.srv.drop(rule)
                self.srv.wait(lambda: all(j["state"] == "success" for j in self.srv.jobs.values()),
                              20 * PATIENCE, "it is run when the Server allows it")

    def test_claims_refused_for_good_hold_up_no_others(self):
        """More of them than max_jobs, and the first in each list."""
        self.run_by.stop()
        self.run_by = self.runner(self.srv, name="second", runner__max_jobs=2)
        later = reply(429, "not now", headers=[("Retry-After", "3")])
        for step in (error(500, "failed to get job: job not found"), error(500, "failed to update job: database is locked"),
                     reply(403, HTML, "text/html"), later):
            with self.subTest(text=step):
                before = len(self.srv.seen("POST", STATE))
                ids = [self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url)) for _ in range(4)]
                rules = [self.srv.on("POST", STATE.replace("[^/]+/state", job + "/state"), step, forever=True)
                         for job in ids]
                good = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
                if self.run_by.process is None:
                    self.run_by.start()
                self.assertEqual(self.srv.wait_final(good, 60 * PATIENCE), ("success", ""))
                self.assertEqual({self.srv.jobs[job]["state"] for job in ids}, {"pending"})
                self.assertLess(len(self.srv.seen("POST", STATE)) - before, 40, "they had their turns first")
                for rule in rules:
                    self.srv.drop(rule)

    def test_many_claims_refused_for_good(self):
        """Each is asked for once, then those behind it; and again after pauses that grow."""
        self.run_by.stop()
        self.run_by = self.runner(self.srv, name="second", runner__max_jobs=2)
        self.srv.on("POST", STATE, error(500, "failed to get job: job not found"), forever=True)
        ids = [self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url)) for _ in range(150)]
        self.run_by.start()
        first = self.srv.wait_requests("POST", STATE.replace("[^/]+/state", ids[0] + "/state"), 3, 60 * PATIENCE)
        last = self.srv.seen("POST", STATE.replace("[^/]+/state", ids[-1] + "/state"))
        self.assertTrue(last and last[0].at < first[1].at, "the first came again before the last had its turn")
        self.assertGreater(first[1].at - first[0].at, 2.9)
        self.assertGreater(first[2].at - first[1].at, 5.9)

    def test_job_of_another_runner_is_left_alone(self):
        job = self.listed(id="aabbccddee01", runnerId="ffffffffff00")
        polls = len(self.srv.seen("GET", JOBS))
        self.beats()
        self.assertNotIn(job, "".join(r.path for r in self.srv.seen("POST", STATE)))
        self.assertLessEqual(len(self.srv.seen("GET", JOBS)) - polls, 6)

    def test_list_that_never_changes(self):
        job = self.listed()
        self.srv.wait_final(job, 20 * PATIENCE)
        polls = len(self.srv.seen("GET", JOBS))
        self.beats()
        self.assertLessEqual(len(self.srv.seen("GET", JOBS)) - polls, 4)
        self.assertEqual(self.srv.states(job), ["running", "success"])

    def test_unreadable_jobs_are_told_of_once(self):
        self.srv.on("GET", JOBS, *[reply(200, [{"id": "a b", "state": "pending"}])] * 3)
        self.quick_job()
        self.assertEqual(len(re.findall("cannot be read", self.run_by.log())), 1)

    def test_same_id_twice_in_one_list(self):
        with self.srv.lock:
            job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
            twice = [dict(self.srv.jobs[job])] * 2
            self.srv.on("GET", JOBS, reply(200, twice))
        self.srv.wait_final(job, 20 * PATIENCE)
        self.assertEqual(self.srv.states(job), ["running", "success"])

    def test_answers_to_the_poll_that_hold_no_job(self):
        for body, kind in (("", JSON_TYPE), (" \r\n", JSON_TYPE), ("null\n", TEXT_TYPE), ("[]", None)):
            rule = self.srv.on("GET", JOBS, reply(200, body, kind))
            self.quick_job()
            self.assertEqual(rule.hits, 1)
        self.assertNotIn("WARN", self.run_by.log())


class PageTest(FaultCase):
    def test_pages_in_any_dress(self):
        """With status 200 they are no yes, to nobody; what may be asked again is."""
        runner = self.runner(self.srv).start()
        xml = '\n<?xml version="1.0"?><html xmlns="x">token=abcsecret</html>'
        for kind, page in (("Text/HTML", HTML), (TEXT_TYPE, HTML), ("application/xhtml+xml", xml), (None, xml)):
            with self.subTest(kind=kind):
                rules = [self.srv.on(method, path, reply(200, page, kind))
                         for method, path in (("POST", BEAT), ("POST", STATE), ("GET", "/workspace/[^/]+"))]
                job = self.quick_job()
                self.assertEqual(self.srv.states(job).count("running"), 1)
                for rule in rules:
                    self.srv.used(rule)
        self.assertNotIn("abcsecret", runner.log())

    def test_waits_of_a_jobs_calls(self):
        """429 with Retry-After, and 500 once, during a job: waited for, then all is well."""
        self.runner(self.srv).start()
        self.srv.on("GET", "/workspace/[^/]+", reply(429, headers=[("Retry-After", "2")]), error(500, "database is locked"))
        self.quick_job()
        first, second, _ = self.srv.seen("GET", "/workspace/[^/]+")
        self.assertGreaterEqual(second.at - first.at, 1.9)
        # The same for its claim and its report.
        self.srv.on("POST", STATE, *[reply(429, headers=[("Retry-After", "2")]), normal()] * 2)
        before = len(self.srv.seen("POST", STATE))
        self.quick_job()
        self.assertTrue(all(gap > 1.9 for gap in self.gaps("POST", STATE)[before:][::2]))

    def test_404_is_about_the_key_only_if_it_says_so(self):
        """A path that has "key" in it says nothing."""
        base = "/monkey"
        handle = self.srv.handle

        def below(conn, request):
            request.target, request.path = request.target[len(base):], request.path[len(base):]
            return handle(conn, request)
        self.srv.handle = below
        runner = self.runner(self.srv, server__url=self.srv.url + base).start()
        self.srv.on("POST", base + BEAT, reply(404, "404 page not found", TEXT_TYPE), normal())
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + 2, 20)
        self.assertNotIn("refuses", runner.log())


class ElsewhereTest(FaultCase):
    def test_target_on_another_host(self):
        """What this host has not is no reason to refuse a target that is elsewhere, nor to let it wait."""
        runner = self.runner(self.srv)
        with open(runner.ini, encoding="utf-8") as file:
            text = file.read().replace("enabled = false", "enabled = true")
        with open(runner.ini, "w", encoding="utf-8") as file:
            file.write(text + '[provider "native-provider"]\nenabled = false\n')
        runner.start(env=runner.env(DOCKER_HOST="unix:///nonexistent/docker.sock"))
        runner.wait_log("docker-provider: requirements not met")
        there = json.dumps({"Remote Hostname": "build1.invalid", "Remote Port": 22, "Remote User": "ci"})
        here = self.srv.add_job("target", "create", self.srv.add_target(provider="docker-provider"))
        job = self.srv.add_job("target", "create", self.srv.add_target(provider="docker-provider", options=there))
        state, text = self.srv.wait_final(job, 20 * PATIENCE)
        self.assertEqual(state, "error")
        self.assertIn("build1.invalid", text)
        self.assertEqual(self.srv.jobs[here]["state"], "pending")


class OutageTest(FaultCase):
    def test_server_away_while_a_job_runs(self):
        """A Server that is away for a while, or a proxy's page in its place, fails no job, at its beginning or end."""
        runner = self.runner(self.srv).start()
        page = reply(404, HTML, "text/html")
        self.srv.on("GET", "/workspace/[^/]+", page, page)
        self.quick_job()
        workspace = self.srv.add_workspace(self.repo_url)
        self.srv.on("POST", "/workspace/[^/]+/provider-metadata", *[page] * 3)
        self.job("create", workspace)
        self.assertIn("Waiting for the Server", self.srv.log_text("workspace", workspace))
        self.assertNotIn("abcsecret", runner.log() + self.srv.log_text("workspace", workspace))

    def test_each_question_of_a_job_is_asked_again(self):
        """A restart of the Server fails no job, whichever call it meets, and none is done with less than it was to have."""
        self.runner(self.srv, **{'provider "native-provider"__enabled': "true"}).start()
        target, workspace = self.srv.add_target(), self.srv.add_workspace(self.repo_url)
        self.srv.builds["b01dfacade12"] = {
            "id": "b01dfacade12", "containerConfig": {"image": "none", "user": "daytona"}, "buildConfig": None,
            "repository": {"id": "app", "url": self.repo_url, "name": "app", "branch": "main", "sha": self.sha,
                           "owner": "acme", "source": "git.test"}, "envVars": {}}
        for kind, action, of, calls in (
                ("target", "delete", target, ("/target/[^/]+",)),
                ("workspace", "create", workspace, ("/workspace/[^/]+", "/env", "/server/config")),
                ("workspace", "restart", workspace, ("/workspace/[^/]+", "/env")),
                ("workspace", "stop", workspace, ("/workspace/[^/]+",)),
                ("build", "delete", "b01dfacade12", ("/build/[^/]+", "/env", "/gitprovider/for-url/.*"))):
            with self.subTest(kind=kind, action=action):
                rules = [self.srv.on("GET", call, reset(), close()) for call in calls]
                job = self.srv.add_job(kind, action, of)
                self.srv.wait_final(job, 60 * PATIENCE)
                for rule in rules:
                    self.assertEqual(rule.hits, 2, rule)
                self.assertNotIn("going on without", self.srv.log_text(kind, of))
                self.assertEqual(self.srv.jobs[job]["error"], None)


class LogSocketTest(FaultCase):
    def test_answers_that_are_no_socket(self):
        """Redirects, errors with large bodies, closed and hanging connections: the jobs do not notice."""
        runner = self.runner(self.srv).start()
        big = error(500, "x" * 70000)
        rule = self.srv.on("GET", "/log/.*", *[reply(status, headers=[("Location", "/log/workspace/other/write")])
                                               for status in (301, 302, 307, 308)], big, big,
                           reply(200, "ok", TEXT_TYPE), reply(401, {"error": "unauthorized"}), big, reply(204), reply(101))
        for _ in range(11):     # each asks once at least
            self.quick_job()
        self.srv.used(rule)
        self.assertEqual(len(self.srv.seen("GET", "/log/workspace/other/write")), 0)
        self.assertIsNone(runner.process.poll())
        self.assertEqual(runner.stop(), 0)


    def test_an_open_socket_is_used_at_once(self):
        """A handshake that is answered at once, at the very end of a job, is not waited upon for 3 s."""
        waits = []

        def one_entry(conn, request):
            ws_accept(conn, request)
            opened = time.monotonic()
            ws_read(conn)
            waits.append(time.monotonic() - opened)
            conn.reset()
            return False
        self.runner(self.srv).start()
        self.srv.on("GET", "/log/workspace/.*", one_entry, forever=True)
        for _ in range(12):
            self.quick_job()
        self.assertLess(sorted(waits)[len(waits) // 2], 2.5, "a busy machine holds up one or the other, not most")


    def test_through_a_proxy(self):
        """Requests are asked of it, the log sockets by CONNECT, as the reference does; each key goes where it belongs."""
        self.srv.on("CONNECT", ".*", lambda conn, request: conn.send(head(200, [])) or True, forever=True)
        proxy = self.srv.url.replace("//", "//us%40er:p%3Aw@")
        self.runner(self.srv, server__url="http://daytona.test:8080/base/", server__allow_http="true",
                    server__proxy=proxy).start(wait=False)
        handle = self.srv.handle

        def below(conn, request):
            request.target, request.path = request.target.replace("/base", ""), request.path.replace("/base", "")
            return handle(conn, request)
        self.srv.handle = below
        self.srv.wait_heartbeat(1, 15 * PATIENCE)
        job = self.quick_job()
        workspace = self.srv.jobs[job]["resourceId"]
        self.srv.wait(lambda: "deleted" in self.srv.log_text("workspace", workspace), 10 * PATIENCE, "log")
        basic = "Basic dXNAZXI6cDp3"
        for request in self.srv.requests:
            if request.method == "CONNECT":
                self.assertEqual((request.target, request.header("Proxy-Authorization")), ("daytona.test:8080", basic))
                self.assertIsNone(request.header("Authorization"))
            elif "/log/" in request.path:
                self.assertIsNone(request.header("Proxy-Authorization"))
                self.assertEqual(request.header("Host"), "daytona.test:8080")
            else:
                self.assertTrue(request.line.split()[1].startswith("http://daytona.test:8080/base/"), request.line)
                self.assertEqual(request.header("Proxy-Authorization"), basic)


class SpellingTest(FaultCase):
    def provider_job(self, action, metadata):
        job = self.srv.add_job("runner", action, self.srv.runner_id, metadata=metadata)
        state, text = self.srv.wait_final(job, 30 * PATIENCE)
        self.assertEqual(state, "success", text)

    def providers(self):
        return {p["name"]: p["version"] for p in self.srv.heartbeats[-1][1]["providers"]}

    def test_metadata_of_provider_jobs(self):
        self.runner(self.srv, server__heartbeat_s=20).start()
        own = self.providers()["native-provider"]
        for action, metadata, version in (
                ("uninstall-provider", '"native-provider"', None),
                ("install-provider", '{"Name":"native-provider","Version":"","DownloadUrls":null}', own),
                ("uninstall-provider", " native-provider\n", None),
                ("install-provider", {"name": "native-provider", "version": "latest"}, own),
                ("uninstall-provider", json.dumps({"name": "native-provider"}), None),
                ("update-provider", json.dumps({"name": "native-provider", "version": "v3.1.4"}), "v3.1.4")):
            with self.subTest(metadata=metadata):
                self.provider_job(action, metadata)
                # Told before the job's end: the Server refuses to install what it still believes to be there.
                self.assertEqual(self.providers().get("native-provider"), version)

    def test_provider_jobs_at_the_same_time(self):
        """Each of two that run side by side leaves its mark."""
        runner = self.runner(self.srv).start()
        for action in ("uninstall-provider", "install-provider") * 3:
            with self.srv.lock:
                jobs = [self.srv.add_job("runner", action, self.srv.runner_id, metadata=json.dumps({"name": name}))
                        for name in ("native-provider", "docker-provider")]
            for job in jobs:
                self.assertEqual(self.srv.wait_final(job, 40 * PATIENCE), ("success", ""))
            with open(os.path.join(runner.state, "providers.json"), encoding="utf-8") as file:
                kept = json.load(file)
            self.assertEqual({name: kept[name]["enabled"] for name in kept},
                             dict.fromkeys(("native-provider", "docker-provider"), action[0] == "i"))

    def test_registry_variables_never_reach_a_workspace(self):
        """Even when a workspace has no others."""
        self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        self.srv.workspaces[workspace]["envVars"] = {"R_CONTAINER_REGISTRY_SERVER": "reg.test",
                                                     "R_CONTAINER_REGISTRY_PASSWORD": "regpassword1"}
        self.job("create", workspace)
        found = self.srv.wait(lambda: self.agents(workspace), 20 * PATIENCE, "agent")
        with open(f"/proc/{found[0]}/environ", "rb") as file:
            self.assertNotIn(b"CONTAINER_REGISTRY", file.read())

    def test_numeric_id_after_a_crash(self):
        """An id that is a number is found again on the Server after a restart."""
        runner = self.runner(self.srv).start()
        self.git.hold.clear()
        number = 9007199254740993
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace, job_id=str(number), id=number)
        self.git.arrived.wait(20 * PATIENCE)
        runner.kill()
        self.git.hold.set()
        runner.start()
        self.assertEqual(self.srv.wait_final(job, 40 * PATIENCE)[0], "error")
        self.assertEqual(self.srv.job_faults(), [])


if __name__ == "__main__":
    main()
