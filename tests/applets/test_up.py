#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""up and down: from nothing to a workspace and back, again and again, in a shell, as an ordinary user."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.gitserver import git  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402
from lib.upcase import UpCase  # noqa: E402
import ocicase  # noqa: E402


class OfAnImage(UpCase):
    def test_a_workspace_of_an_image(self):
        """Without any engine: its own root file system, found again; beside it one of the host's root."""
        if not common.is_static(common.BIN):
            self.skipTest("an image without a C library needs the static executable")
        busybox = next((p for p in ("/bin/busybox", "/usr/bin/busybox") if common.is_static(p)), None)
        if not busybox:
            self.skipTest("no static busybox to make an image of")
        if os.geteuid() == 0 and not ocicase.may_give():
            self.skipTest("files cannot be given away here, as images need it")
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
        self.applet("pause", "--note", "a file of its own")
        self.applet("down", "--purge", "-y")
        self.nothing_left()


class Life(UpCase):
    def test_up_again_down_up_purge(self):
        said = self.applet("up", self.repo)
        self.assertEqual(self.steps(said.stdout), {"Server": "is started", "Runner": "is started", "Target": "is made",
                                                   "Workspace": "is started"})
        self.assertRegex(said.stdout.splitlines()[-1], r"\ANext: daytona-runner \S.* app\Z")
        self.assertIn("cloning " + self.repo, said.stderr)
        self.one_of_each()
        self.assertEqual(self.js("workspace", "list")[0]["branch"], "trunk")
        checkout = self.checkout()
        self.assertTrue(os.path.exists(os.path.join(checkout, "README.md")))

        said = self.applet("up", self.repo.upper().replace("HTTP", "http") + "/")
        self.assertEqual(self.steps(said.stdout), dict.fromkeys(("Server", "Runner", "Target", "Workspace"), "is there"))
        self.assertEqual(said.stderr, "")
        # Into it, and what it does there is there.
        self.assertEqual(self.applet("exec", "app", "--", "cat", "README.md").stdout, "hello\n")
        self.applet("exec", "app", "--", "sh", "-c", "echo mine >mine")
        self.assertIn("cloning", self.applet("workspace", "logs", "app").stdout)

        # What runs is stopped all the same with a setting that is wrong meanwhile.
        with open(os.path.join(self.cfg, "runner.ini"), encoding="utf-8") as file:
            text = file.read()
        with open(file.name, "a", encoding="utf-8") as file:
            file.write("[runner]\ncolour = blue\n")
        said = self.applet("down")
        self.assertRegex(said.stderr, '"colour".*goes on without it')
        self.assertEqual(self.steps(said.stdout), dict.fromkeys(("Workspace", "Runner", "Server"), "is stopped"))
        with open(file.name, "w", encoding="utf-8") as file:
            file.write(text)
        self.assertEqual(common.pids_with(self.cfg), [])
        self.assertEqual(self.applet("down").stdout.count("not running"), 2)

        said = self.applet("up")
        self.assertEqual(self.steps(said.stdout), {"Server": "is started", "Runner": "is started", "Target": "is there",
                                                   "Workspace": "is started"})
        self.one_of_each()
        self.assertEqual(self.checkout(), checkout)
        self.assertTrue(os.path.exists(os.path.join(checkout, "mine")))

        self.assertIn("confirm with --yes", self.applet("down", "--purge", rc=2).stderr)
        self.one_of_each()
        self.applet("down", "--purge", "--yes")
        self.nothing_left()
        self.assertIn("All of it is removed.", self.applet("down", "--purge", "--yes").stdout)
        self.nothing_left()
        # And from the beginning.
        self.applet("up", self.repo, "--name", "other", "-e", "A=b", "--detach")
        self.assertEqual(self.names("workspace"), ["other"])

    def test_provider_that_cannot_be_used(self):
        self.assertIn("did you mean docker-provider?", self.applet("up", "--provider", "docker-privder", rc=1).stderr)
        self.assertFalse(os.path.exists(self.cfg))
        env = self.env(DOCKER_HOST="unix:///nonexistent/docker.sock", PATH="/nonexistent")
        said = self.applet("up", "--provider", "docker-provider", env=env, rc=1)
        self.assertRegex(said.stderr, "docker-provider cannot be used here: .")
        self.assertEqual(self.names("target"), [])

    def test_down_of_nothing(self):
        self.assertEqual(self.applet("down").stdout.count("not running"), 1)
        self.nothing_left()

    def test_purge_of_what_is_stopped(self):
        self.applet("up", self.repo)
        self.applet("down")
        self.applet("down", "--purge", "-y")
        self.nothing_left()

    def test_checkout_of_the_current_directory(self):
        git(self.path("home"), "clone", "-q", self.repo.replace("http://", "http://ada:secret@"), "mine")
        said = self.applet("up", cwd=self.path("home", "mine"))
        self.assertEqual(self.steps(said.stdout)["Workspace"], "is started")
        [w] = self.js("workspace", "list")
        self.assertEqual(w["repository"], self.repo)    # without the password
        self.assertIn("is there", self.steps(self.applet("up", cwd=self.path("home", "mine")).stdout)["Workspace"])
        self.assertIn("is there", self.steps(self.applet("up", "mine").stdout)["Workspace"])
        self.assertIn("/ is no checkout", self.applet("up", "/", rc=2).stderr)

    def test_without_a_repository(self):
        said = self.applet("up")
        self.assertEqual(list(self.steps(said.stdout)), ["Server", "Runner", "Target"])
        self.assertIn("workspace create REPOSITORY", said.stdout.splitlines()[-1])
        # A directory of another Server's key is not asked.
        said = self.applet("up", env=self.env(DAYTONA_API_URL="http://127.0.0.1:1", DAYTONA_API_KEY="wrong"))
        self.assertEqual(self.steps(said.stdout), dict.fromkeys(("Server", "Runner", "Target"), "is there"))

    def test_repository_that_is_not_there(self):
        said = self.applet("up", self.git.url + "/nothing.git", rc=1)
        self.assertIn("create workspace nothing", said.stderr.splitlines()[-1])
        said = self.applet("up", self.git.url + "/nothing.git", rc=1)
        self.assertRegex(said.stderr.splitlines()[-1], "start workspace nothing.*daytona-runner workspace delete")
        self.assertEqual(self.steps(self.applet("up", self.repo).stdout)["Workspace"], "is started")
        # What cannot be stopped keeps nothing else.
        said = self.applet("down", rc=None)
        self.assertIn("Server", said.stdout)
        self.assertEqual(common.pids_with(self.cfg), [])

    def test_ends_in_a_shell(self):
        term = Terminal(self, [common.BIN, "up", self.repo], self.env(PS1="ready> "), cwd=self.path("home"))
        term.expect("Workspace app is started")
        term.expect(r"[#$>] ")
        term.send("echo in-$((1+1)); ls; exit 3\n")
        term.expect(r"in-2\n(?s:.*)README\.md")
        term.expect("Left workspace app, which goes on")
        self.assertEqual(term.wait(), 3)
        self.assertEqual(self.js("workspace", "list")[0]["state"], "started")
        term = Terminal(self, [common.BIN, "workspace", "open", "app"], self.env(), cwd=self.path("home"))
        term.expect(r"[#$>] ")
        term.send("exit 4\n")
        self.assertEqual(term.wait(), 4)

    def test_confirmed_on_a_terminal(self):
        self.applet("up")
        term = Terminal(self, [common.BIN, "down", "--purge"], self.env())
        term.answer("Remove server, runner and workspaces", "no\n")
        term.expect("nothing was changed")
        self.assertEqual(term.wait(), 1)
        self.assertEqual(len(self.names("runner")), 1)


class OrdinaryUser(UpCase):
    def test_up_and_down(self):
        if os.geteuid() != 0:
            self.skipTest("is run as an ordinary user anyway")
        self.user = 65534
        os.chown(self.path("home"), self.user, self.user)
        try:
            self.applet("version")
        except (PermissionError, FileNotFoundError):
            self.skipTest("the executable is not readable by others")
        home = self.path("home")
        env = {k: v for k, v in self.env().items() if k != "DAYTONA_RUNNER_CONFIG_DIR"}
        said = self.applet("up", self.repo, env=env)
        self.assertEqual(self.steps(said.stdout)["Workspace"], "is started")
        self.assertTrue(os.path.exists(os.path.join(home, ".local/state/daytona-runner-server/client.key")))
        self.assertEqual(len(json.loads(self.applet("workspace", "-f", "json", env=env).stdout)), 1)
        self.applet("down", "--purge", "-y", env=env)
        left = [os.path.join(d, f) for d, _, files in os.walk(home) for f in files]
        self.assertEqual(left, [])


if __name__ == "__main__":
    common.main()
