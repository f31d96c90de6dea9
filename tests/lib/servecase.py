# SPDX-License-Identifier: Apache-2.0
"""What the tests of serve share: a scripted Server, a real repository behind HTTP, helpers for jobs."""
import os

from common import PATIENCE, Case, tops_with
from gitserver import GitServer, make_repo


class ServeCase(Case):
    def setUp(self):
        super().setUp()
        self.srv = self.server()
        os.mkdir(self.path("git"))
        self.repo, self.sha = make_repo(self.path("git"), branches=["dev"])
        self.git = GitServer(self.path("git"))
        self.addCleanup(self.git.stop)
        self.repo_url = self.git.url + "/app.git"

    def job(self, action, workspace, expect="success", timeout=40):
        job = self.srv.add_job("workspace", action, workspace)
        state, text = self.srv.wait_final(job, timeout * PATIENCE)
        self.assertEqual(state, expect, f"{action}: {text}\n{self.runners[-1].log()[-3000:]}")
        return text

    def workspace_dir(self, workspace):
        return os.path.join(self.runners[-1].state, "workspaces", workspace)

    def agents(self, workspace):
        return tops_with(f"DAYTONA_WORKSPACE_ID={workspace}")


JOBS = "/runner/[^/]+/jobs"
STATE = "/runner/[^/]+/jobs/[^/]+/state"
BEAT = "/runner/[^/]+/metadata"
HTML = "<html><body>Please sign in token=abcsecret</body></html>"


class FaultCase(ServeCase):
    def gaps(self, method, pattern):
        times = [r.at for r in self.srv.seen(method, pattern)]
        return [b - a for a, b in zip(times, times[1:])]

    def quick_job(self, timeout=60):
        """A job that needs no provider work: deleting what is not there."""
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "delete", workspace)
        self.assertEqual(self.srv.wait_final(job, timeout * PATIENCE), ("success", ""))
        return job

    def no_error_lines(self, runner):
        self.assertNotRegex(runner.log(), r"(?i)\bERROR\b")
