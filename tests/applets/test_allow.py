# SPDX-License-Identifier: Apache-2.0
"""allow_repositories and allow_images on a runner: what is not allowed is refused by name, before anything is made. How names are
matched is in tests/unit/test_allow.c, what a Dockerfile may take in tests/unit/test_docker_devcontainer.c."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from servecase import ServeCase  # noqa: E402


class RepositoryTest(ServeCase):
    def host(self):
        return self.git.url.partition("//")[2]

    def test_each_action(self):
        runner = self.runner(self.srv, runner__allow_repositories=f"{self.host()}/app github.com/acme/**").start()
        good, bad = self.srv.add_workspace(self.repo_url), self.srv.add_workspace(self.git.url + "/other.git")
        self.job("create", good)
        requests = len(self.git.requests) if hasattr(self.git, "requests") else None
        for action in ("create", "start", "restart"):
            text = self.job(action, bad, "error")
            self.assertIn("/other.git is not allowed on this runner ([runner] allow_repositories)", text)
        if requests is not None:
            self.assertEqual(len(self.git.requests), requests)
        self.assertFalse(os.path.exists(self.workspace_dir(bad)))
        self.job("delete", bad)
        # What is there when the list comes can be ended, and no more.
        self.assertEqual(runner.stop(), 0)
        runner.write_ini(runner__allow_repositories="github.com/acme/**")
        runner.start()
        for action in ("start", "restart"):
            self.assertIn("is not allowed", self.job(action, good, "error"))
        self.job("stop", good)
        self.job("delete", good)

    def test_it_comes_with_a_reload(self):
        runner = self.runner(self.srv).start()
        self.job("create", self.srv.add_workspace(self.repo_url))
        runner.write_ini(runner__allow_repositories="github.com/**")
        runner.signal(1)
        runner.wait_log("reading the configuration again")
        self.assertIn("is not allowed", self.job("create", self.srv.add_workspace(self.repo_url), "error"))


if __name__ == "__main__":
    main()
