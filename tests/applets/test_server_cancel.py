#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs that no runner ends: canceled, swept aside by a forced deletion, left by a runner that is gone. No workspace
stays locked for ever, and what such a runner says later counts no more."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ALIVE, SILENT = "aaaaaaaaaaa1", "bbbbbbbbbbb2"


class Cancel(common.Case):
    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "1")
        self.keys = {ALIVE: serverproc.make_runner(self.server)}
        # One that is registered and claims, but was never heard of: unresponsive from the start.
        self.keys[SILENT] = self.server.ok("POST", "/runner", {"id": SILENT, "name": "silent"}).json["apiKey"]
        for runner, target in ((ALIVE, "ta"), (SILENT, "ts")):
            config = serverproc.make_config(self.server, runner, "config " + runner)
            self.server.ok("POST", "/target", {"id": target, "name": target, "targetConfigId": config})
            serverproc.finish_job(self.server, self.keys[runner], runner)

    def workspace(self, runner, name="w1", claimed=True):
        """A workspace whose create job is running, or pending: the job's id."""
        target = "ta" if runner == ALIVE else "ts"
        self.server.ok("POST", "/workspace", serverproc.workspace_body(name, name, target))
        job = self.server.ok("GET", f"/job?resourceId={name}").json[0]["id"]
        if claimed:
            self.report(runner, job, "running")
        return job

    def report(self, runner, job, state, status=200):
        return self.server.ok("POST", f"/runner/{runner}/jobs/{job}/state", {"state": state}, self.keys[runner], status)

    def cancel(self, job, status=200, key=""):
        return self.server.ok("POST", f"/job/{job}/cancel", None, key, status).json

    def state(self, name="w1"):
        return self.server.ok("GET", f"/workspace/{name}/state").json

    def restart(self):
        self.server.kill()
        self.server = serverproc.Server(self, self.server.data, "--poll-seconds", "1")

    def test_a_pending_job(self):
        job = self.workspace(ALIVE, claimed=False)
        answer = self.cancel(job)
        self.assertEqual((answer["state"], answer["error"]), ("error", "canceled by default"))
        for turn in range(2):
            self.assertEqual((self.state()["name"], self.state()["error"]), ("error", "canceled by default"))
            self.assertEqual(self.server.call("GET", f"/runner/{ALIVE}/jobs", key=self.keys[ALIVE]).status, 204)
            refused = self.report(ALIVE, job, "running", 500).json["error"]
            self.assertEqual(refused, "failed to update job state: job was canceled")
            if turn == 0:
                self.restart()
        self.cancel(job, 409)
        self.server.ok("POST", "/workspace/w1/start")
        self.assertEqual([j["action"] for j in serverproc.finish_job(self.server, self.keys[ALIVE])], ["start"])
        self.assertEqual(self.state()["name"], "started")

    def test_a_job_that_a_living_runner_has(self):
        job = self.workspace(ALIVE)
        self.assertIn("runner one works on it and cannot be told to stop", self.cancel(job, 409)["error"])
        answer = self.server.ok("DELETE", "/workspace/w1?force=true", status=500).json["error"]
        self.assertIn("another job is in progress", answer)
        self.assertEqual(self.state()["name"], "creating")
        self.report(ALIVE, job, "success")
        self.assertIn("it has ended already: success", self.cancel(job, 409)["error"])

    def test_a_job_of_a_runner_that_is_away(self):
        job = self.workspace(SILENT)
        self.server.ok("POST", "/workspace/w1/stop", status=500)  # locked
        self.assertIn("canceled by default; its runner is away", self.cancel(job)["error"])
        self.report(SILENT, job, "success")  # it may say so, and is content
        self.assertEqual(self.state()["name"], "error")
        self.server.ok("POST", "/workspace/w1/stop")
        self.assertEqual([j["action"] for j in serverproc.finish_job(self.server, self.keys[SILENT], SILENT)], ["stop"])
        self.assertEqual(self.state()["name"], "stopped")

    def test_forced_deletion_while_a_runner_is_away(self):
        for claimed in (True, False):
            with self.subTest(claimed=claimed):
                name = f"w{claimed}"
                job = self.workspace(SILENT, name, claimed)
                self.server.ok("DELETE", f"/workspace/{name}", status=500)
                self.server.ok("DELETE", f"/workspace/{name}?force=true")
                jobs = {j["action"]: j for j in self.server.ok("GET", f"/job?resourceId={name}").json}
                self.assertEqual((jobs["create"]["state"], jobs["create"]["error"]),
                                 ("error", "canceled by a forced deletion"))
                self.assertEqual(jobs["force-delete"]["state"], "pending")
                # It comes back: what it did is not counted, and it is to delete.
                self.server.call("POST", f"/runner/{SILENT}/jobs/{job}/state", {"state": "success"}, self.keys[SILENT])
                serverproc.finish_job(self.server, self.keys[SILENT], SILENT)
                self.assertEqual(self.server.call("GET", f"/workspace/{name}").status, 404)
        self.assertEqual(self.server.ok("GET", "/workspace").json, [])

    def test_a_runner_that_is_deleted(self):
        jobs = [self.workspace(ALIVE, "w1"), self.workspace(ALIVE, "w2", claimed=False)]
        self.workspace(SILENT, "w3", claimed=False)
        self.server.ok("DELETE", f"/runner/{ALIVE}")
        for turn in range(2):
            for name in ("w1", "w2"):
                self.assertEqual((self.state(name)["name"], self.state(name)["error"]), ("error", "runner one was deleted"))
            self.assertEqual(len(self.server.ok("GET", "/job?states=pending").json), 1, "the other runner's")
            if turn == 0:
                self.restart()
        for job in jobs:
            self.server.ok("POST", f"/runner/{ALIVE}/jobs/{job}/state", {"state": "success"}, self.keys[ALIVE], 401)
        # A job that nobody will take does not lock it either.
        self.server.ok("POST", "/workspace/w1/stop")
        self.server.ok("DELETE", "/workspace/w1?force=true")
        self.server.ok("DELETE", "/workspace/w2?force=true")
        self.server.ok("DELETE", "/target/ta?force=true")
        self.restart()
        self.assertEqual([w["id"] for w in self.server.ok("GET", "/workspace").json], ["w3"])
        self.assertEqual([t["id"] for t in self.server.ok("GET", "/target").json], ["ts"])
        self.assertEqual(self.server.call("GET", "/workspace/w1").status, 404)

    def test_a_deletion_that_was_under_way_when_its_runner_went(self):
        job = self.workspace(SILENT)
        self.report(SILENT, job, "success")
        self.server.ok("DELETE", "/workspace/w1?force=true")
        self.server.ok("DELETE", f"/runner/{SILENT}")
        self.assertEqual(self.server.ok("GET", "/workspace").json, [])

    def test_whose_runner_is_not_known_any_more(self):
        """The record of the target's configuration was damaged: nobody is named who could delete."""
        job = self.workspace(ALIVE)
        self.report(ALIVE, job, "success")
        self.assertEqual(self.server.stop(), 0)
        for config in serverproc.records(self.server.data)["target-configs"]:
            serverproc.add_to_log(self.server.data, {"remove": "target-configs", "id": config})
        self.restart()
        self.server.ok("DELETE", "/workspace/w1?force=true")
        self.server.ok("DELETE", "/target/ta?force=true")
        self.assertEqual(self.server.ok("GET", "/workspace").json, [])
        self.assertEqual(self.server.ok("GET", "/job?states=pending").json, [], "it is offered to nobody")

    def test_a_build_without_any_runner(self):
        self.server.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://git.test/a/b", "envVars": {}},
                       status=201)
        for _ in range(3):
            self.server.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "main", "envVars": {}}, status=201)
        for runner in (ALIVE, SILENT):
            self.server.ok("DELETE", f"/runner/{runner}")
        first = self.server.ok("GET", "/build").json[0]["id"]
        self.server.ok("DELETE", f"/build/{first}", status=500)  # its run is pending
        self.server.ok("DELETE", f"/build/{first}?force=true", status=204)
        self.assertEqual(len(self.server.ok("GET", "/build").json), 2)
        self.server.ok("DELETE", "/build?force=true", status=204)
        self.assertEqual(self.server.ok("GET", "/build").json, [])

    def test_who_may_and_what_is_unknown(self):
        job = self.workspace(ALIVE, claimed=False)
        self.cancel(job, 403, self.keys[ALIVE])
        own = self.server.ok("GET", "/workspace/w1", key=self.keys[ALIVE]).json["apiKey"]
        self.cancel(job, 403, own)
        self.cancel(job, 401, "nobody's")
        self.cancel("none", 404)
        self.assertEqual(self.server.ok("GET", "/job?states=pending").json[0]["id"], job)

    def test_a_build_that_its_runner_left(self):
        self.server.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://git.test/a/b", "envVars": {}},
                       status=201)
        self.server.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "main", "envVars": {}}, status=201)
        job = self.server.ok("GET", "/job?resourceType=build").json[0]["id"]
        self.report(ALIVE, job, "running")
        self.cancel(job, 409)
        self.server.ok("DELETE", f"/runner/{ALIVE}")
        self.cancel(job)
        self.assertEqual(self.server.ok("GET", "/build").json[0]["state"]["name"], "error")


if __name__ == "__main__":
    common.main()
