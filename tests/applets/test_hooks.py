# SPDX-License-Identifier: Apache-2.0
"""hook_before_job and hook_after_job: what they are told, what they are not, and what their end means."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main, pids_with, wait_for  # noqa: E402
from servecase import ServeCase  # noqa: E402


class HookTest(ServeCase):
    def program(self, name, text):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, 0o755)
        return path

    def record(self, name):
        """A program that writes its environment to a file, once for each run."""
        return self.program(name, f'env -0 > {self.path("env")}.$DAYTONA_HOOK.$DAYTONA_JOB_ID; echo said by $DAYTONA_HOOK')

    def env(self, hook, job):
        with open(self.path(f"env.{hook}.{job}"), encoding="utf-8") as file:
            return dict(pair.split("=", 1) for pair in file.read().split("\0") if pair)

    def quick(self, action="delete", **workspace):
        return self.srv.add_job("workspace", action, self.srv.add_workspace(self.repo_url, **workspace))

    def log_of(self, job):
        return self.srv.log_text("workspace", self.srv.jobs[job]["resourceId"])

    def test_what_they_are_told(self):
        secret = "hunter2secret"
        self.srv.env = [{"key": "SERVER_TOKEN", "value": secret}]
        self.runner(self.srv, runner__hook_before_job=self.record("b"), runner__hook_after_job=self.record("a")).start(
            env=self.runners[-1].env(OPERATORS_SECRET=secret, LD_PRELOAD=""))
        job = self.quick("create", env={"PASSWORD": secret})
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        for hook in ("before", "after"):
            env = self.env(hook, job)
            env.pop("PWD", None)
            env.pop("_", None)
            env.pop("SHLVL", None)
            env.pop("OLDPWD", None)
            want = {"DAYTONA_HOOK": hook, "DAYTONA_RUNNER_ID": self.srv.runner_id,
                    "DAYTONA_RUNNER_NAME": self.srv.runner_name, "DAYTONA_JOB_ID": job, "DAYTONA_JOB_ACTION": "create",
                    "DAYTONA_JOB_RESOURCE": "workspace", "DAYTONA_JOB_RESOURCE_ID": self.srv.jobs[job]["resourceId"],
                    "DAYTONA_JOB_RESOURCE_NAME": self.srv.workspaces[self.srv.jobs[job]["resourceId"]]["name"]}
            if hook == "after":
                want.update(DAYTONA_JOB_RESULT="success", DAYTONA_JOB_ERROR="")
            self.assertEqual({k: v for k, v in env.items() if k not in ("PATH", "HOME")}, want)
            self.assertNotIn(secret, str(env))
            self.assertNotIn(self.srv.key, str(env))
            self.srv.wait(lambda hook=hook: f"said by {hook}" in self.log_of(job), 20 * PATIENCE, "its output in the log")

    def test_one_that_fails_before_is_the_jobs_failure(self):
        self.runner(self.srv, runner__hook_before_job=self.program("b", "echo no room here; exit 7"),
                    runner__hook_after_job=self.record("a")).start()
        for action in ("create", "start", "delete", "force-delete"):
            workspace = self.srv.add_workspace(self.repo_url)
            job = self.srv.add_job("workspace", action, workspace)
            state, text = self.srv.wait_final(job, 60 * PATIENCE)
            self.assertEqual(state, "error")
            self.assertRegex(text, "^hook_before_job: .*/b: exit status 7$")
            self.assertFalse(os.path.exists(self.workspace_dir(workspace)))
            self.assertEqual(self.env("after", job)["DAYTONA_JOB_RESULT"], "error")
            self.assertEqual(self.env("after", job)["DAYTONA_JOB_ERROR"], text)
            self.srv.wait(lambda job=job: "no room here" in self.log_of(job), 20 * PATIENCE, "its output in the log")

    def test_of_targets_too(self):
        self.runner(self.srv, runner__hook_before_job=self.program("b", "exit 1")).start()
        job = self.srv.add_job("target", "create", self.srv.add_target())
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "error")

    def test_one_that_fails_after_changes_nothing(self):
        self.runner(self.srv, runner__hook_after_job=self.program("a", "exit 3")).start()
        job = self.quick("create")
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        self.srv.wait(lambda: "hook_after_job: " in self.log_of(job), 20 * PATIENCE, "it is said in the log")

    def test_one_that_hangs_or_talks_without_end_or_is_not_there(self):
        runner = self.runner(self.srv, runner__hook_timeout=1)
        for text, why in (("sleep 1000 & sleep 1000", "took too long"), ("while :; do echo yes; done", "took too long"),
                          ("kill -9 $$", "signal 9"), (None, "(?i)not exist|no such|not there|not found")):
            program = self.program("b", text) if text else self.path("missing")
            runner.write_ini(runner__hook_before_job=program)
            runner.start()
            job = self.quick()
            state, said = self.srv.wait_final(job, 60 * PATIENCE)
            self.assertEqual(state, "error")
            self.assertRegex(said, why)
            self.assertLess(len(said), 1000)
            wait_for(lambda: not pids_with(self.path("b")), 20 * PATIENCE, "no process of it is left")
            self.assertEqual(runner.stop(), 0)


if __name__ == "__main__":
    main()
