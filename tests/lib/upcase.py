# SPDX-License-Identifier: Apache-2.0
"""A machine for the tests of up and down: a directory for all of it, and a real repository over HTTP."""
import json
import os
import re
import signal

from lib import common
from lib.gitserver import GitServer, git, make_repo


class UpCase(common.Case):
    user = None     # to run as

    def setUp(self):
        super().setUp()
        os.mkdir(self.path("git"))
        make_repo(self.path("git"))
        # Its branch is not the one that a server guesses.
        git(self.path("git", "app.git"), "branch", "-m", "main", "trunk")
        self.git = GitServer(self.path("git"))
        self.addCleanup(self.git.stop)
        self.repo = self.git.url + "/app.git"
        self.cfg = self.path("home", "cfg")
        os.makedirs(self.path("home"))
        self.addCleanup(self.ended)

    def ended(self):
        """Whatever a failed test left running."""
        for pid in common.pids_with(self.tmp):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def env(self, **extra):
        return common.clean_env(self.path("home"), **{"DAYTONA_RUNNER_CONFIG_DIR": self.cfg, "TERM": "dumb", "DR_TEST": self.tmp,
                                                      **extra})

    def applet(self, *args, rc=0, env=None, **kwargs):
        if self.user is not None:
            kwargs.update(user=self.user, group=self.user, extra_groups=[])
        said = common.run([common.BIN, *args], env=env or self.env(), cwd=kwargs.pop("cwd", self.path("home")), **kwargs)
        match = common.SANITIZER.search(said.stderr)
        self.assertIsNone(match, said.stderr[-3000:])
        if rc is not None:
            self.assertEqual(said.returncode, rc, f"{args}\n{said.stdout}{said.stderr}")
        return said

    def js(self, *args):
        return json.loads(self.applet(*args, "-f", "json").stdout)

    def names(self, noun):
        return [x["name"] for x in (self.js("list") if noun == "runner" else self.js(noun, "list"))]

    def steps(self, text):
        """{"Server": "is started", …}"""
        return {line.split()[0]: re.sub(r"^\S+ +\S+ ", "", line) for line in text.splitlines() if not line.startswith("Next")}

    def one_of_each(self):
        self.assertEqual((len(self.names("runner")), self.names("target"), self.names("workspace")), (1, ["native"], ["app"]))

    def nothing_left(self):
        self.assertEqual(common.pids_with(self.cfg), [])
        self.assertFalse(os.path.exists(self.cfg), os.path.exists(self.cfg) and os.listdir(self.cfg))

    def checkout(self):
        [w] = self.js("workspace", "list")
        return os.path.join(self.cfg, "state", "workspaces", w["id"], "app")


class OfAnImage(UpCase):
    def test_a_workspace_of_an_image(self):
        """Without any engine: its own root file system, found again; beside it one of the host's root."""
        if not common.is_static(common.BIN):
            self.skipTest("an image without a C library needs the static executable")
        busybox = next((p for p in ("/bin/busybox", "/usr/bin/busybox") if common.is_static(p)), None)
        if not busybox:
            self.skipTest("no static busybox to make an image of")
        with open(busybox, "rb") as file:
            program = file.read()
        entries = [ocicase.directory("bin"), ocicase.entry("bin/busybox", data=program, mode=0o755), ocicase.directory("etc"),
                   ocicase.entry("etc/passwd", data=b"root:x:0:0::/root:/bin/sh\n"), ocicase.directory("root")]
        entries += [ocicase.symlink("bin/" + name, "busybox") for name in ("sh", "ls", "cat", "id")]
        image = ocicase.Image([ocicase.layer(entries)], config={"Env": ["PATH=/bin", "HELLO=of the image"]})
        image.docker_archive(self.path("box.tar"), ["box:1"])
        self.applet("up", "-d", self.repo, "--name", "plain")
        self.applet("image", "load", self.path("box.tar"))
        said = self.applet("up", "-d", "--image", "box:1", self.repo, rc=None)
        if said.returncode and re.search("namespace|overlay|not permitted|Linux 5", said.stderr):
            self.skipTest("this machine has no sandbox: " + said.stderr.strip().splitlines()[-1])
        self.assertEqual(said.returncode, 0, said.stderr)
        inside = self.applet("exec", "app", "--", "sh", "-c", 'echo "$HELLO $PWD"; ls; ls -d /usr /home; cat /proc/1/comm')
        self.assertEqual(inside.stdout.split("\n")[:2], ["of the image /workspaces/app", "README.md"])
        self.assertNotIn("/usr", inside.stdout)
        self.assertEqual(self.steps(self.applet("up", "-d", "--image", "box:1", self.repo).stdout)["Target"], "is there")
        self.assertEqual(sorted(self.names("target")), ["image-box-1", "native"])
        self.assertIn("plain", self.names("workspace"))
        self.applet("down", "--purge", "-y")
        self.nothing_left()
