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
