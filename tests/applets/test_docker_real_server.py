# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""docker-provider end to end: the embedded Server, its long poll, a runner, the real engine. After each job the resource
as the Server shows it and the container as the engine shows it must agree."""
import json
import os
import shutil
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402
import dockercase  # noqa: E402
from lib import fakeserver, serverproc  # noqa: E402

ROUNDS = int(os.environ.get("DAYTONA_RUNNER_TEST_ROUNDS", "2"))
RUNNER, TARGET = fakeserver.new_id(), fakeserver.new_id()  # other runners use this engine as well
PROGRAM = "/.daytona/daytona-runner"  # where the agent is put


class EmbeddedServer(dockercase.DockerCase):
    def wait_state(self, workspace, want):
        def look():
            answer = self.srv.call("GET", f"/workspace/{workspace}")
            state = answer.json["state"] if answer.status == 200 else {"name": answer.status, "error": None}
            self.seen = state
            if state["name"] == "error":
                raise AssertionError(state["error"])
            return state["name"] == want
        common.wait_for(look, 40 * common.PATIENCE, lambda: f"{want}, it is {self.seen}")

    def go_in(self, name):
        """Through the Server, into a container that has neither shell nor tar."""
        env = common.clean_env(self.tmp, DAYTONA_API_URL=self.srv.url, DAYTONA_API_KEY=self.srv.key)

        def applet(*args):
            return common.run([common.BIN, *args], env=env, check=True, timeout=40 * common.PATIENCE).stdout
        self.assertEqual(applet("exec", name, "--", PROGRAM, "version"), applet("version"))
        os.makedirs(self.path("copied"), exist_ok=True)
        with open(self.path("copied", "file"), "w", encoding="ascii") as file:
            file.write("text")
        applet("cp", self.path("copied"), name + ":")
        applet("cp", name + ":copied", self.path("back"))
        with open(self.path("back", "file"), encoding="ascii") as file:
            self.assertEqual(file.read(), "text")
        shutil.rmtree(self.path("back"))

    def test_whole_life(self):
        self.srv = serverproc.Server(self, self.path("data"))
        key = self.srv.ok("POST", "/runner", {"id": RUNNER, "name": "edge"}).json["apiKey"]
        peer = types.SimpleNamespace(runner_id=RUNNER, runner_name="edge", url=self.srv.url, key=key, heartbeats=[])
        runner = self.docker_runner(peer)
        runner.start(wait=False)
        common.wait_for(lambda: self.srv.call("GET", f"/runner/{RUNNER}").json["state"]["name"] == "started",
                        20 * common.PATIENCE, runner.log)

        def preset():
            configs = self.srv.ok("GET", "/target-config?showOptions=true").json or []
            return next((c for c in configs if c["name"] == f"local-runner-{RUNNER}"), None)
        local = common.wait_for(preset, 20 * common.PATIENCE, runner.log)
        self.assertEqual(json.loads(local["options"]), {"Sock Path": "/var/run/docker.sock"})
        config = self.srv.ok("POST", "/target-config", {"name": "host", "options": dockercase.HOST_NETWORK,
                                                        "providerInfo": local["providerInfo"]}).json["id"]
        self.srv.ok("POST", "/target", {"id": TARGET, "name": "one", "targetConfigId": config})
        common.wait_for(lambda: '"state":"success"' in
                        self.srv.ok("GET", "/job?resourceId=" + TARGET).body.decode().replace(" ", ""),
                        20 * common.PATIENCE, runner.log)
        for i in range(ROUNDS):
            workspace = fakeserver.new_id()
            self.mine.append(workspace)
            repository = dict(serverproc.REPOSITORY, url=f"file://{self.repo}", sha=self.sha)
            self.srv.ok("POST", "/workspace", serverproc.workspace_body(
                workspace, f"w{i}", TARGET, image=self.image, user="dev", source={"repository": repository}))
            self.wait_state(workspace, "started")
            self.assertEqual((self.state(workspace), self.agents(workspace)), ("running", 1))
            common.wait_for(lambda: self.srv.ok("GET", f"/workspace/{workspace}").json["metadata"]["uptime"],
                            20 * common.PATIENCE, "the agent's heartbeats")
            self.go_in(f"w{i}")
            metadata = json.loads(self.srv.ok("GET", f"/workspace/{workspace}").json["providerMetadata"])
            self.assertEqual(metadata["daytona.workspace.id"], workspace)
            for action, want, container in (("stop", "stopped", "exited"), ("start", "started", "running"),
                                            ("restart", "started", "running"), ("stop", "stopped", "exited")):
                before = self.srv.ok("GET", f"/workspace/{workspace}").json["lastJobId"]
                self.srv.ok("POST", f"/workspace/{workspace}/{action}")
                common.wait_for(lambda: self.srv.ok("GET", f"/workspace/{workspace}").json["lastJobId"] != before,
                                20 * common.PATIENCE, runner.log)
                self.wait_state(workspace, want)
                self.assertEqual(self.state(workspace), container)
            self.srv.ok("DELETE", f"/workspace/{workspace}" + ("?force=true" if i % 2 else ""))
            self.wait_state(workspace, 404)
            common.wait_for(lambda: self.state(workspace) is None, 20 * common.PATIENCE, "the container is gone")
        self.srv.ok("DELETE", "/target/" + TARGET)
        common.wait_for(lambda: self.srv.call("GET", "/target/" + TARGET).status == 404, 20 * common.PATIENCE,
                        runner.log)


if __name__ == "__main__":
    dockercase.need_engine()
    common.main()
