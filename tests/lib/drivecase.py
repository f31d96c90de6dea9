# SPDX-License-Identifier: Apache-2.0
"""A provider driven without a runner: tests/tools/provider_drive, with workspaces of the fake Server."""
import json
import os
import re
import subprocess

import common

DRIVE = os.path.join(os.environ.get("DR_TOOLS_DIR", ""), "provider_drive")


class Result:
    """What one run of provider_drive said: a text for each action, and everything else."""

    def __init__(self, status, output):
        self.status, self.output = status, output
        self.actions = re.findall(r"^= (\S+): (.*)$", output, re.M)

    def __getitem__(self, action):
        return [text for name, text in self.actions if name == action][-1]

    def ok(self, case):
        case.assertEqual(self.status, 0, self.output)
        return self

    def error(self, case, pattern):
        case.assertEqual(self.status, 1, self.output)
        case.assertRegex(self.actions[-1][1], "^error .*" + pattern)
        return self


class DriveCase(common.Case):
    provider = "native-provider"

    def setUp(self):
        super().setUp()
        self.state = self.path("state")
        os.makedirs(self.state, mode=0o700)
        self.drives = 0

    def tearDown(self):
        super().tearDown()
        for path, data in common.contents(self.state).items():
            if os.path.basename(path).startswith("agent.log"):
                self.no_sanitizer(data.decode(errors="replace"))

    def document(self, server, workspace_id, **changes):
        """Writes the workspace as the Server shows it; the path of the file."""
        workspace = dict(server.workspaces[workspace_id])
        workspace["target"] = server.targets[workspace["targetId"]]
        workspace.update(changes)
        path = self.path(f"workspace-{workspace_id}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(workspace, file)
        return path

    def root(self, workspace_id, *names):
        return os.path.join(self.state, "workspaces", workspace_id, *names)

    def command(self, document, *actions, options=()):
        args = [DRIVE]
        for option in options:
            args += ["-o", option]
        return [*args, self.provider, self.state, common.BIN, document, *actions]

    def env(self, **extra):
        return common.clean_env(self.path("home"), **{"DRIVE_SECONDS": f"{60 * common.PATIENCE:.0f}", **extra})

    def drive(self, document, *actions, options=(), timeout=100 * common.PATIENCE, **extra):
        result = subprocess.run(self.command(document, *actions, options=options),
                                env=self.env(**extra), stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace", timeout=timeout, cwd=self.tmp)
        self.no_sanitizer(result.stdout)
        return Result(result.returncode, result.stdout)

    def drive_background(self, document, *actions, options=(), **extra):
        self.drives += 1
        out = self.path(f"drive-{self.drives}.log")
        with open(out, "wb") as log:
            process = subprocess.Popen(self.command(document, *actions, options=options),
                                       env=self.env(**extra), stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, cwd=self.tmp)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def finish(timeout=60):
            process.wait(timeout * common.PATIENCE)
            with open(out, encoding="utf-8", errors="replace") as file:
                text = file.read()
            self.no_sanitizer(text)
            return Result(process.returncode, text)

        process.finish = finish
        return process

    def no_sanitizer(self, text):
        match = common.SANITIZER.search(text)
        if match:
            self.fail(f"sanitizer: {match.group(0)}\n{text[-4000:]}")


def main():
    if not os.access(DRIVE, os.X_OK):
        common.skip_all("DR_TOOLS_DIR has no provider_drive")
    common.main()
