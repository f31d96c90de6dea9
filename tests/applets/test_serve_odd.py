# SPDX-License-Identifier: Apache-2.0
"""serve against a Server, or something before it, that keeps to the letter of the protocol and yet is
odd: lists that never change, claims refused for good, log sockets that answer anything, jobs in
unusual spelling."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from httppeer import TEXT_TYPE, error, reply  # noqa: E402
from servecase import FaultCase  # noqa: E402


class LogSocketTest(FaultCase):
    def test_answers_that_are_no_socket(self):
        """Redirects, errors with large bodies, closed and hanging connections: the jobs do not notice."""
        runner = self.runner(self.srv).start()
        big = error(500, "x" * 70000)
        self.srv.on("GET", "/log/.*", *[reply(status, headers=[("Location", "/log/workspace/other/write")])
                                        for status in (301, 302, 307, 308)], big, big, reply(200, "ok", TEXT_TYPE),
                    reply(401, {"error": "unauthorized"}), big, reply(204), reply(101))
        for _ in range(5):
            self.quick_job()
        self.assertEqual(len(self.srv.seen("GET", "/log/workspace/other/write")), 0)
        self.assertIsNone(runner.process.poll())
        self.assertEqual(runner.stop(), 0)


class SpellingTest(FaultCase):
    def provider_job(self, action, metadata):
        job = self.srv.add_job("runner", action, self.srv.runner_id, metadata=metadata)
        state, text = self.srv.wait_final(job, 30 * PATIENCE)
        self.assertEqual(state, "success", text)

    def providers(self):
        return {p["name"]: p["version"] for p in self.srv.heartbeats[-1][1]["providers"]}

    def test_metadata_of_provider_jobs(self):
        self.runner(self.srv).start()
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
                self.srv.wait(lambda: self.providers().get("native-provider") == version, 20 * PATIENCE,
                              f"{version} in the heartbeats")

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
