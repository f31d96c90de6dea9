# SPDX-License-Identifier: Apache-2.0
"""serve while the container engine is away: what was not begun waits for it, before and after a crash, and is done once."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from enginecase import IMAGE  # noqa: E402
from fakeengine import FakeEngine, fake_program  # noqa: E402
from servecase import ServeCase  # noqa: E402


class AwayTest(ServeCase):
    def setUp(self):
        """A call that is not answered ends where a test has a silent engine; elsewhere a slow machine is no fault."""
        super().setUp()
        self.socket = self.path("engine.sock")
        self.engine = None
        self.come()
        program = fake_program(self.path("program"))
        self.srv.targets.clear()
        self.run_by = self.runner(self.srv, **{
            'provider "docker-provider"__enabled': "true",
            'provider "docker-provider"__sock_path': self.socket,
            'provider "docker-provider"__agent_binary': program,
            'provider "docker-provider"__call_timeout': 60})
        self.target = self.srv.add_target(provider="docker-provider")
        self.workspace = self.srv.add_workspace(self.repo_url, target=self.target, image=IMAGE, user="dev")
        self.srv.workspaces[self.workspace]["targetId"] = self.target

    def come(self):
        """The engine is there, with what it had."""
        before = self.engine
        self.engine = FakeEngine(self.socket)
        self.engine.add_image(IMAGE)
        if before:
            self.engine.containers, self.engine.execs = before.containers, before.execs
        self.addCleanup(self.engine.stop)

    def go(self):
        self.engine.stop()
        os.unlink(self.socket)

    def held(self, job):
        """Claimed, and told of as waiting."""
        self.srv.wait_state(job, ("running", "error", "success"), 20 * PATIENCE)
        self.run_by.wait_log(f"job held +{job}")
        self.assertEqual(self.srv.jobs[job]["state"], "running", self.run_by.log())

    def done(self, *jobs):
        for job in jobs:
            self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""), self.run_by.log()[-3000:])
        self.assertEqual(self.srv.job_faults(), [])

    def test_nothing_begun_waits(self):
        """Each action, met by the engine's absence first: nobody has looked since it went."""
        self.run_by.start()
        self.run_by.wait_log("docker-provider: ok|provider docker-provider")
        for action in ("create", "stop", "start", "restart", "delete"):
            with self.subTest(action=action):
                self.go()
                first = self.srv.add_job("workspace", action, self.workspace)
                self.srv.wait_state(first, ("running", "error", "success"), 20 * PATIENCE)
                self.held(first)
                second = self.srv.add_job("target", "create", self.target)
                self.come()
                self.done(first, second)
        self.assertEqual(self.engine.containers, {})

    def test_an_engine_that_does_not_answer(self):
        """A dead socket, one that is taken and never answers."""
        self.run_by.write_ini(**{'provider "docker-provider"__call_timeout': 2})
        self.run_by.start()
        self.run_by.wait_log("provider docker-provider")
        self.engine.stop()
        for fault in ("dead", "silent"):
            with self.subTest(fault=fault):
                if fault == "silent":
                    self.come()
                    self.engine.fault(".", "hang")
                job = self.srv.add_job("workspace", "create" if fault == "dead" else "stop", self.workspace)
                self.held(job)
                if fault == "dead":
                    os.unlink(self.socket)
                    self.come()
                del self.engine.faults[:]
                self.done(job)
                self.go()

    def crash(self, action, point):
        """The runner dies in a job, and the engine is away when the runner comes back."""
        fault = self.engine.fault(point, "hang")
        job = self.srv.add_job("workspace", action, self.workspace)
        self.srv.wait(lambda: fault.hits, 30 * PATIENCE, point)
        self.run_by.kill()
        self.go()
        self.run_by.start()
        self.run_by.wait_log(f"job {job}: .*looking again")
        self.assertEqual(self.srv.jobs[job]["state"], "running")
        return job

    def test_looked_for_after_a_crash(self):
        self.run_by.start()
        self.job("create", self.workspace)
        self.job("stop", self.workspace)
        started = self.crash("start", "POST .*/start$")
        for container in self.engine.containers.values():
            container.status, container.processes = "running", ["/usr/local/bin/daytona agent"]
        self.come()
        state, text = self.srv.wait_final(started, 60 * PATIENCE)
        self.assertEqual((state, "no such socket" in text), ("success", False), text)
        self.srv.wait_final(self.srv.add_job("workspace", "delete", self.workspace), 60 * PATIENCE)
        created = self.crash("create", "POST /containers/create")
        self.come()
        state, text = self.srv.wait_final(created, 60 * PATIENCE)
        self.assertEqual(state, "error")
        self.assertIn("the workspace is not there; delete it and create it again", text)
        self.assertEqual(self.srv.job_faults(), [])

    def test_deleted_behind_its_back(self):
        """The container is gone, by the call that the crash cut off or by a person: what lies beside it goes as well."""
        self.run_by.start()
        for action in ("delete", "force-delete"):
            with self.subTest(action=action):
                self.job("create", self.workspace)
                mine = os.path.join(self.run_by.state, "workspaces", self.workspace)
                os.makedirs(os.path.join(mine, "app", ".git"))
                self.assertIn(".docker-notes", os.listdir(mine))
                fault = self.engine.fault("DELETE /containers/.*", "hang")
                job = self.srv.add_job("workspace", action, self.workspace)
                self.srv.wait(lambda fault=fault: fault.hits, 30 * PATIENCE, "the container is being removed")
                self.run_by.kill()
                self.engine.containers.clear()
                del self.engine.faults[:]
                self.run_by.start()
                self.done(job)
                self.assertFalse(os.path.exists(mine))
                self.assertFalse(os.path.exists(os.path.join(self.run_by.state, "logs", "workspaces", self.workspace)))

    def test_a_build_that_was_not_begun_waits(self):
        self.run_by.start()
        self.run_by.wait_log("provider docker-provider")
        self.srv.builds["b01dfacade12"] = {
            "id": "b01dfacade12", "containerConfig": {"image": IMAGE, "user": "dev"}, "buildConfig": None, "envVars": {},
            "repository": {"id": "app", "url": self.repo_url, "name": "app", "branch": "main", "sha": self.sha,
                           "owner": "acme", "source": "git.test"}}
        self.go()
        job = self.srv.add_job("build", "delete", "b01dfacade12")
        self.held(job)
        self.come()
        self.done(job)


if __name__ == "__main__":
    main()
