# SPDX-License-Identifier: Apache-2.0
"""Containers that no resource accounts for (field case 41): told at the start, removed by purge, and only ours. The
embedded Server, a runner, a scripted engine."""
import os
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402
from fakeengine import FakeEngine, fake_program  # noqa: E402
from lib import serverproc  # noqa: E402

RUNNER, TARGET, IMAGE = "feedc0ffee01", "feed00000001", "acme/app:1"
SECTION = 'provider "docker-provider"'


class Orphans(common.Case):
    def setUp(self):
        super().setUp()
        self.engine = FakeEngine(self.path("engine.sock"))
        self.addCleanup(self.engine.stop)
        self.engine.add_image(IMAGE)
        self.srv = serverproc.Server(self, self.path("data"))
        self.key = self.srv.ok("POST", "/runner", {"id": RUNNER, "name": "edge"}).json["apiKey"]
        peer = types.SimpleNamespace(runner_id=RUNNER, runner_name="edge", url=self.srv.url, key=self.key,
                                     heartbeats=[])
        self.one = self.runner(peer, **{
            f"{SECTION}__enabled": "true", f"{SECTION}__sock_path": self.engine.path,
            f"{SECTION}__agent": "builtin", f"{SECTION}__agent_binary": fake_program(self.path("program")),
            'provider "native-provider"__enabled': "false"})

    def mine(self, name, workspace, status="running", runner=RUNNER):
        return self.engine.add_container(name, {"daytona.runner.id": runner, "daytona.workspace.id": workspace}, status)

    def add_workspace(self, workspace):
        self.srv.ok("POST", "/workspace", serverproc.workspace_body(workspace, workspace, TARGET, image=IMAGE,
                                                                    user="dev"))

    def wait_state(self, workspace, want):
        common.wait_for(lambda: self.srv.ok("GET", f"/workspace/{workspace}").json["state"]["name"] == want,
                        20 * common.PATIENCE, self.one.log)

    def purge(self, *args):
        result = self.one.applet("purge", *args, "--api-url", self.srv.url, "--api-key", self.srv.key, "edge")
        return result.returncode, result.stdout + result.stderr

    def test_told_settled_and_purged(self):
        self.one.start(wait=False)
        config = common.wait_for(lambda: self.srv.ok("GET", "/target-config").json, 20 * common.PATIENCE, self.one.log)
        self.srv.ok("POST", "/target", {"id": TARGET, "name": "t", "targetConfigId": config[0]["id"]})
        self.add_workspace("used")
        self.wait_state("used", "started")
        used = self.engine.find(f"{TARGET}-used")
        self.one.stop()
        # What an earlier life has left: a job that nobody remembers, things of a workspace that is gone.
        self.add_workspace("lost")
        job = self.srv.ok("GET", "/job?resourceId=lost").json[0]["id"]
        self.srv.ok("POST", f"/runner/{RUNNER}/jobs/{job}/state", {"state": "running"}, self.key)
        lost = self.mine(f"{TARGET}-lost", "lost", "created")
        stray = self.mine("stray", "gone")
        theirs = [self.mine("theirs", "gone", runner="another"),
                  self.engine.add_container("reference", {"daytona.workspace.id": "gone"})]
        self.one.start(wait=False)
        self.one.wait_log("job failed +" + job)
        self.one.wait_log("orphan: ", count=2)
        text = self.one.log()
        self.assertRegex(text, f"orphan: container stray \\({stray.id[:12]}, running\\) of gone, which the Server")
        self.assertRegex(text, f"orphan: container {TARGET}-lost .* of lost, whose job")
        for one in (used, *theirs):
            self.assertNotIn(one.id[:12], text[text.index("orphan"):])
        self.assertEqual(self.engine.calls("DELETE"), [], "told, not touched")
        self.wait_state("lost", "error")
        self.assertEqual(self.srv.ok("GET", "/job?states=running").json or [], [])

        status, text = self.purge("--dry-run")
        self.assertEqual(status, 0, text)
        self.assertIn("2 of its containers: are removed", text)
        self.assertIn("1 containers of workspaces: are kept", text)
        self.assertIn("3 of its containers", self.purge("--dry-run", "--purge-data")[1])
        self.assertEqual(self.engine.calls("DELETE"), [])
        status, text = self.purge("-y")
        self.assertEqual(status, 0, text)
        self.assertRegex(text, f"{TARGET}-used .* was kept; to remove it: docker rm")
        self.assertEqual(sorted(self.engine.containers), sorted([used.id, *(c.id for c in theirs)]))
        self.assertNotIn(lost.id, self.engine.containers)

    def test_without_engine_or_without_answer(self):
        """A Server that cannot be asked confirms nothing; an engine that is away is told."""
        stray = self.mine("stray", "gone")
        status = common.run([common.BIN, "purge", "--local-only", "--dry-run"], env=self.one.env())
        text = status.stdout + status.stderr
        self.assertIn("1 containers of workspaces: are kept", text)
        self.engine.stop()
        os.unlink(self.engine.path)
        text = self.purge("--dry-run")[1]
        self.assertIn("containers were not looked for: ", text)
        self.assertIn(stray.id, self.engine.containers)


class Unmet(common.Case):
    def test_jobs_wait_for_their_own_provider(self):
        """One provider works, the other's engine is away: its jobs stay pending, nobody else's."""
        srv = self.server()
        one = self.runner(srv, **{f"{SECTION}__enabled": "true", f"{SECTION}__agent": "none",
                                  f"{SECTION}__sock_path": self.path("engine.sock"),
                                  f"{SECTION}__agent_binary": fake_program(self.path("program"))})
        one.start()
        one.wait_log("docker-provider: requirements not met")
        one.wait_log("native-provider: requirements met")
        preset = {"provider": "docker-provider", "options": '{"Sock Path":"/var/run/docker.sock"}'}
        waiting = srv.add_job("workspace", "create", srv.add_workspace("http://127.0.0.1:1/a", image=IMAGE, **preset))
        one.wait_log(f"job {waiting} stays pending until provider docker-provider")
        # Others go on: another provider's, and a removal that is forced.
        broken = srv.add_job("workspace", "create", srv.add_workspace("http://127.0.0.1:1/a"))
        forced = srv.add_job("workspace", "force-delete", srv.add_workspace("http://127.0.0.1:1/a", **preset))
        self.assertEqual(srv.wait_final(forced, 20 * common.PATIENCE)[0], "success")
        self.assertEqual(srv.wait_final(broken, 20 * common.PATIENCE)[0], "error")
        self.assertEqual(srv.states(waiting), [])
        engine = FakeEngine(self.path("engine.sock"))
        self.addCleanup(engine.stop)
        engine.add_image(IMAGE)
        again = srv.add_job("workspace", "create", srv.add_workspace("http://127.0.0.1:1/a"))  # fails: a new check
        self.assertEqual(srv.wait_final(again, 20 * common.PATIENCE)[0], "error")
        self.assertEqual(srv.wait_final(waiting, 30 * common.PATIENCE)[0], "success", one.log())
        self.assertEqual(srv.job_faults(), [])


if __name__ == "__main__":
    common.main()
