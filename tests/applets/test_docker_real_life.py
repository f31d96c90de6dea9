# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""docker-provider on the real engine: the whole life of workspaces, again and again; containers of
the reference taken over."""
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402
import dockercase  # noqa: E402
from dockercase import docker  # noqa: E402
from httppeer import reply  # noqa: E402

ROUNDS = int(os.environ.get("DAYTONA_RUNNER_TEST_ROUNDS", "3"))


class Life(dockercase.LifeCase):
    def test_every_job_type(self):
        self.run_ner.start()
        for _ in range(ROUNDS):
            workspace = self.workspace()
            target = self.srv.workspaces[workspace]["targetId"]
            self.job("create", target, kind="target")
            self.job("create", workspace)
            self.assertEqual((self.state(workspace), self.agents(workspace)), ("running", 1))
            posts = len(self.srv.agent_posts[workspace])
            self.srv.wait(lambda: len(self.srv.agent_posts[workspace]) > posts, 20, "the agent's heartbeats")
            labels = json.loads(self.srv.provider_metadata[workspace][-1])
            self.assertEqual(labels["daytona.workspace.id"], workspace)
            self.job("start", workspace)
            self.assertEqual(self.agents(workspace), 1, "a second agent")
            began = time.monotonic()
            self.job("stop", workspace)
            self.assertLess(time.monotonic() - began, 8, "the stop was no clean one")
            self.assertEqual(self.state(workspace), "exited")
            self.assertEqual(self.inspect(self.containers(workspace)[0])["State"]["ExitCode"], 0)
            self.job("stop", workspace)
            self.job("start", workspace)
            self.assertEqual((self.state(workspace), self.agents(workspace)), ("running", 1))
            self.job("restart", workspace)
            self.assertEqual((self.state(workspace), self.agents(workspace)), ("running", 1))
            self.job("delete", workspace)
            self.assertIsNone(self.state(workspace))
            self.assertFalse(os.path.exists(os.path.join(self.run_ner.state, "workspaces", workspace)))
            self.job("force-delete", workspace)
            self.job("delete", target, kind="target")
        self.assertEqual(self.srv.job_faults(), [])
        key = self.srv.workspaces[workspace]["apiKey"]
        self.assertNotIn(key, self.srv.log_text("workspace", workspace))

    def test_key_is_not_in_the_container(self):
        self.run_ner.start()
        workspace = self.workspace()
        self.job("create", workspace)
        key = self.srv.workspaces[workspace]["apiKey"]
        container = self.containers(workspace)[0]
        self.assertNotIn(key, json.dumps(self.inspect(container)))
        for pid in common.all_pids():
            self.assertNotIn(key.encode(), common.read_proc(pid, "cmdline"))
        self.job("delete", workspace)

    def test_container_of_the_reference(self):
        """Labels, name, sleep infinity as the reference leaves them; its checkout is removed with it."""
        self.run_ner.start()
        workspace = self.workspace()
        target = self.srv.workspaces[workspace]["targetId"]
        checkout = self.path("providers", "docker-provider", workspace, "app")
        os.makedirs(checkout)
        os.makedirs(self.path("providers", "docker-provider", workspace, "app-data"))
        docker("create", "--name", f"{target}-{workspace}", "--label", f"daytona.target.id={target}",
               "--label", f"daytona.workspace.id={workspace}", "--label", "daytona.workspace.repository.url=x",
               "--network", "host", "-v", f"{checkout}:{dockercase.HOMES}/dev/app", "--stop-timeout", "1",
               "--entrypoint", "/daytona-runner", self.image, "container-init")
        container = self.containers(workspace)[0]
        self.job("start", workspace)
        self.assertEqual((self.state(workspace), self.agents(workspace)), ("running", 1))
        self.job("stop", workspace)
        self.assertEqual(self.state(workspace), "exited")
        self.job("restart", workspace)
        self.assertEqual(self.containers(workspace), [container])
        self.job("delete", workspace)
        self.assertIsNone(self.state(workspace))
        self.assertFalse(os.path.exists(os.path.dirname(checkout)))

    def agent_file(self, workspace):
        """Which file it is, where this user may look below the engine's directory."""
        changes = docker("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", self.containers(workspace)[0]).strip()
        return os.stat(changes + "/usr/local/bin/daytona").st_ino if os.access(changes, os.R_OK | os.X_OK) else None

    def test_agent_of_the_server(self):
        """Fetched once with the runner's key, put into each container, run by path; our own binary stands in for it."""
        with open(common.BIN, "rb") as file:
            data = file.read()
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
        path = f"/binary/v0.53.0/daytona-linux-{arch}"
        self.srv.on("GET", path, reply(200, data, "application/octet-stream"), forever=True)
        self.run_ner.start()
        for _ in range(2):
            workspace = self.workspace(url="", repo_name="app")
            self.job("create", workspace)
            top = docker("top", self.containers(workspace)[0], "-o", "pid,args")
            self.assertIn("/usr/local/bin/daytona agent", top)
            self.job("start", workspace)
            self.assertEqual(docker("top", self.containers(workspace)[0], "-o", "pid,args").count("daytona agent"), 1)
            before = self.agent_file(workspace)
            self.job("stop", workspace)
            self.job("start", workspace)
            self.assertEqual(self.agent_file(workspace), before, "it was there")
            self.job("delete", workspace)
        self.assertEqual(len(self.srv.seen("GET", path)), 1)

    def test_runner_without_its_state(self):
        """Containers are found by label, not by memory (field case 40)."""
        self.run_ner.start()
        workspace = self.workspace()
        self.job("create", workspace)
        container = self.containers(workspace)
        self.run_ner.kill()
        self.run_ner.settings["runner__state_dir"] = self.path("other-state")
        self.run_ner.write_ini()
        self.run_ner.start()
        self.job("start", workspace)
        self.assertEqual(self.containers(workspace), container)
        self.assertEqual(self.agents(workspace), 1)
        self.job("stop", workspace)
        self.assertEqual(self.state(workspace), "exited")
        self.job("delete", workspace)


if __name__ == "__main__":
    dockercase.need_engine()
    common.main()
