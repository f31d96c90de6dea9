#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a program that writes code does with the toolbox, in workspaces that a real runner made of a real repository."""
import os
import re
import shutil
import subprocess
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import common  # noqa: E402
import dockercase  # noqa: E402
import toolboxcase  # noqa: E402
from gitserver import git  # noqa: E402
from lib import fakeserver, serverproc  # noqa: E402
from test_up import UpCase  # noqa: E402

RUNNER, TARGET, WORKSPACE = (fakeserver.new_id() for _ in range(3))  # other runners use this engine as well


class Native(UpCase):
    def found(self, name):
        """The file of that name below the home."""
        return next(os.path.join(folder, name) for folder, _, names in os.walk(self.path("home")) if name in names)

    def test_in_a_workspace_without_an_engine(self):
        bare = self.path("git", "app.git")
        git(bare, "config", "http.receivepack", "true")
        self.applet("up", self.repo, "--detach")
        [w] = self.js("workspace", "list")
        with open(self.found("client.key"), encoding="ascii") as file:
            key = file.read().strip()
        with open(self.found("runner.ini"), encoding="utf-8") as file:
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)", file.read()).group(1))
        toolbox = toolboxcase.Toolbox(self, port, f"/workspace/{w['id']}/toolbox", key)
        made = toolboxcase.days_work(self, toolbox)
        toolbox.ok("POST", "/git/push", {"path": self.checkout()})
        self.assertEqual(git(bare, "rev-parse", "feature"), made)
        self.applet("down", "--purge", "--yes")
        self.nothing_left()


def git_with_libraries():
    """(path in an image, file here) of git and what it loads."""
    program = os.path.realpath(shutil.which("git") or "/nonexistent")
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True, check=False).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    return [("bin/git", program)] + [(path.lstrip("/"), os.path.realpath(path)) for path in libraries]


class Docker(dockercase.DockerCase):
    def setUp(self):
        if not common.is_static(common.BIN):
            self.skipTest("only a static executable can be put into containers; the release binary is tested")
        if not shutil.which("docker") or subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL,
                                                        stderr=subprocess.DEVNULL, check=False).returncode:
            self.skipTest("there is no container engine")
        super().setUp()

    def test_in_a_container(self):
        image = f"dr-test/git-{os.getpid()}:1"
        if not dockercase.shell_image(image, git_with_libraries()):
            self.skipTest("there is no static busybox to make an image of")
        self.addCleanup(dockercase.docker, "rmi", "-f", image, check=False)
        srv = serverproc.Server(self, self.path("data"))
        key = srv.ok("POST", "/runner", {"id": RUNNER, "name": "edge"}).json["apiKey"]
        runner = self.docker_runner(types.SimpleNamespace(runner_id=RUNNER, runner_name="edge", url=srv.url, key=key,
                                                          heartbeats=[]))
        runner.start(wait=False)

        def local():
            configs = srv.ok("GET", "/target-config?showOptions=true").json or []
            return next((c for c in configs if c["name"] == f"local-runner-{RUNNER}"), None)
        provider = common.wait_for(local, 20 * common.PATIENCE, runner.log)["providerInfo"]
        config = srv.ok("POST", "/target-config", {"name": "host", "options": dockercase.HOST_NETWORK,
                                                   "providerInfo": provider}).json["id"]
        srv.ok("POST", "/target", {"id": TARGET, "name": "one", "targetConfigId": config})
        self.mine.append(WORKSPACE)
        repository = dict(serverproc.REPOSITORY, url=f"file://{self.repo}", sha=self.sha)
        srv.ok("POST", "/workspace", serverproc.workspace_body(
            WORKSPACE, "work", TARGET, image=image, user="dev", source={"repository": repository}))

        def state():
            return srv.ok("GET", f"/workspace/{WORKSPACE}").json["state"]
        common.wait_for(lambda: state()["name"] in ("started", "error"), 40 * common.PATIENCE, runner.log)
        self.assertEqual(state()["name"], "started", state())
        toolbox = toolboxcase.Toolbox(self, srv.port, f"/workspace/{WORKSPACE}/toolbox", srv.key)
        toolboxcase.days_work(self, toolbox)
        container, = self.containers(WORKSPACE)
        owner = dockercase.docker("exec", container, "stat", "-c", "%U",
                                  toolbox.ok("GET", "/workspace-dir", shape="WorkspaceDirResponse")["dir"] + "/bin/greet.sh")
        self.assertEqual(owner.strip(), "dev")


if __name__ == "__main__":
    common.main()
