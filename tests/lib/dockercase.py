# SPDX-License-Identifier: Apache-2.0
"""The docker provider on the machine's real engine: images made on the spot, whole runners, cleaning up."""
import json
import os
import shutil
import subprocess
import tempfile

import common
from gitserver import make_repo

SECTION = 'provider "docker-provider"'
HOMES = "/" + "home"
HOST_NETWORK = json.dumps({"Sock Path": "/var/run/docker.sock", "Network": "host"})


def docker(*args, check=True, timeout=120, data=None):
    result = subprocess.run(["docker", *args], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            timeout=timeout * common.PATIENCE)
    if check and result.returncode != 0:
        raise AssertionError(f"docker {args}: {result.stdout}{result.stderr}")
    return result.stdout.decode(errors="replace").strip()


def need_engine():
    """Skips the file, and says why, where there is nothing to test with."""
    why = None
    if not common.BIN or not os.access(common.BIN, os.X_OK):
        why = "DAYTONA_RUNNER_BIN names no executable"
    elif not common.is_static(common.BIN):
        why = "only a static executable can be put into containers; the release binary is tested"
    elif not shutil.which("docker") or subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL,
                                                      stderr=subprocess.DEVNULL, check=False).returncode:
        why = "there is no container engine"
    if why:
        common.skip_all(why)


class DockerCase(common.Case):
    """One private scratch image a test; containers with its labels are gone at the end."""

    def setUp(self):
        super().setUp()
        self.image = f"dr-test/scratch-{os.getpid()}:1"
        root = self.path("image")
        os.mkdir(root)
        shutil.copy(common.BIN, os.path.join(root, "daytona-runner"))
        tar = subprocess.run(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        docker("import", "-", self.image, data=tar)
        self.mine = []  # ids of workspaces
        self.addCleanup(self.drop)
        os.mkdir(self.path("git"))
        self.repo, self.sha = make_repo(self.path("git"))

    def drop(self):
        for workspace in self.mine:
            for container in self.containers(workspace):
                docker("rm", "-f", "-v", container, check=False)
        docker("rmi", "-f", self.image, check=False)

    @staticmethod
    def containers(workspace, label="daytona.workspace.id"):
        return docker("ps", "-aq", "--no-trunc", "--filter", f"label={label}={workspace}").split()

    @staticmethod
    def inspect(container):
        return json.loads(docker("inspect", container))[0]

    def state(self, workspace):
        """State of the workspace's only container; None if there is none."""
        found = self.containers(workspace)
        self.assertLessEqual(len(found), 1, "more than one container")
        return self.inspect(found[0])["State"]["Status"] if found else None

    def agents(self, workspace):
        found = self.containers(workspace)
        top = [line.split(None, 2) for line in docker("top", found[0], "-o", "pid,ppid,args").splitlines()[1:]] if found else []
        agents = {pid: parent for pid, parent, args in top if args.endswith("daytona-runner agent")}
        return sum(parent not in agents for parent in agents.values())     # less what one is about to start

    def docker_runner(self, server, **settings):
        values = {f"{SECTION}__enabled": "true", "runner__drain_timeout": "2s"}
        values.update(settings)
        return self.runner(server, **values)


class LifeCase(DockerCase):
    """A whole runner and a scripted Server; jobs for workspaces on the real engine."""

    def setUp(self):
        super().setUp()
        self.srv = self.server()
        self.run_ner = self.docker_runner(self.srv)

    def workspace(self, **kwargs):
        workspace = self.srv.add_workspace(f"file://{self.path('git')}/app.git" if "url" not in kwargs else
                                           kwargs.pop("url"), image=kwargs.pop("image", self.image), user="dev",
                                           provider="docker-provider", options=HOST_NETWORK, **kwargs)
        self.mine.append(workspace)
        return workspace

    def job(self, action, workspace, expect="success", timeout=60, kind="workspace"):
        job = self.srv.add_job(kind, action, workspace)
        state, text = self.srv.wait_final(job, timeout * common.PATIENCE)
        self.assertEqual(state, expect, f"{action}: {text}\n{self.run_ner.log()[-3000:]}\n"
                                        f"{self.srv.log_text(kind, workspace)[-3000:]}")
        return text


def shell_image(tag, extra=(), changes=()):
    """An image with a shell and small tools from the host's static busybox; extra: (path, source) of more files; changes:
    lines of a Dockerfile."""
    busybox = shutil.which("busybox")
    if not busybox or not common.is_static(busybox):
        return False
    work = tempfile.mkdtemp(prefix="dr-test-")
    try:
        os.makedirs(os.path.join(work, "bin"))
        os.makedirs(os.path.join(work, "etc"))
        os.makedirs(os.path.join(work, "home", "dev"))
        shutil.copy(busybox, os.path.join(work, "bin", "busybox"))
        for name in ("sh", "sleep", "cat", "id", "env", "ls", "echo", "pwd", "chown", "touch", "false", "stat", "chmod", "rm"):
            os.symlink("busybox", os.path.join(work, "bin", name))
        with open(os.path.join(work, "etc", "passwd"), "w", encoding="ascii") as file:
            file.write(f"root:x:0:0:root:/root:/bin/sh\ndev:x:1234:1234::{HOMES}/dev:/bin/sh\n")
        with open(os.path.join(work, "etc", "group"), "w", encoding="ascii") as file:
            file.write("root:x:0:\ndev:x:1234:\n")
        os.chown(os.path.join(work, "home", "dev"), 1234, 1234)
        for path, source in extra:
            os.makedirs(os.path.dirname(os.path.join(work, path)), exist_ok=True)
            shutil.copy(source, os.path.join(work, path))
        tar = subprocess.run(["tar", "-C", work, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        docker("import", *[word for change in changes for word in ("-c", change)], "-", tag, data=tar)
    finally:
        shutil.rmtree(work)
    return True
