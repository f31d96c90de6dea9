# SPDX-License-Identifier: Apache-2.0
"""native-provider: the life of a workspace, with real processes."""
import json
import os
import shlex
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import drivecase  # noqa: E402
from gitserver import make_repo  # noqa: E402


class Native(drivecase.DriveCase):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("srv"))
        os.makedirs(self.path("home"))
        self.bare, _ = make_repo(self.path("srv"))
        self.fake = self.server()

    def workspace(self, options=None, **kwargs):
        self.id = self.fake.add_workspace(self.bare, options=json.dumps(options or {}), **kwargs)
        return self.document(self.fake, self.id)

    def go(self, document, *actions, **extra):
        extra.setdefault("DRIVE_API_URL", self.fake.url)
        return self.drive(document, *actions, **extra)

    def agent_pid(self):
        with open(self.root(self.id, ".runner", "agent.json"), encoding="utf-8") as file:
            return json.load(file)["pid"]

    def members(self):
        return common.pids_with(self.root(self.id))

    def wait_posts(self, count=1):
        return self.fake.wait(lambda: len(self.fake.agent_posts[self.id]) >= count, 30,
                              f"{count} posts of metadata")

    def wait_file(self, path):
        common.wait_for(lambda: os.path.exists(path), 20 * common.PATIENCE, path)

    def environ(self, pid):
        return common.read_proc(pid, "environ").split(b"\0")

    def test_the_whole_life(self):
        document = self.workspace()
        self.assertIn("missing", self.go(document, "condition")["condition"])
        result = self.go(document, "target-create", "create", "condition", "start", "condition",
                         "info", "target-info").ok(self)
        self.assertEqual([text for name, text in result.actions if name == "condition"],
                         ["stopped", "running"])
        self.assertIn("Daytona Agent started", result.output)
        self.assertIn("isolation: none", result.output)
        self.assertEqual(result["target-info"], "ok")
        self.wait_posts(2)
        first, second = (post for _, post in self.fake.agent_posts[self.id][:2])
        self.assertGreaterEqual(first["uptime"], 1)
        self.assertGreaterEqual(second["uptime"], first["uptime"])
        self.assertEqual(second["gitStatus"]["currentBranch"], "main")
        pid = self.agent_pid()
        info = json.loads(result["info"])
        self.assertTrue(all(isinstance(value, str) for value in info.values()), info)
        self.assertEqual(info["daytona.workspace.id"], self.id)
        self.assertEqual(info["daytona.target.id"], self.fake.workspaces[self.id]["targetId"])
        self.assertEqual(info["daytona.workspace.repository.url"], self.bare)
        self.assertEqual(info["isolation"], "none")
        self.assertEqual(info["agent.pid"], str(pid))
        self.assertEqual(os.getsid(pid), pid)

        result = self.go(document, "start").ok(self)
        self.assertIn("runs already", result.output)
        self.assertEqual(self.agent_pid(), pid)
        # Its git status may run at the moment of a look.
        common.wait_for(lambda: self.members() == [pid], 20 * common.PATIENCE, "the agent alone")

        result = self.go(document, "stop", "condition", "stop").ok(self)
        self.assertEqual(result["condition"], "stopped")
        self.assertFalse(common.alive(pid))
        self.go(document, "restart", "restart").ok(self)
        common.wait_for(lambda: len(self.members()) == 1, 20 * common.PATIENCE, "the agent alone")
        self.go(document, "delete", "delete", "stop", "target-delete", "target-delete").ok(self)
        self.assertEqual(self.members(), [])
        self.assertFalse(os.path.exists(self.root(self.id)))
        self.assertEqual(os.listdir(os.path.join(self.state, "targets")), [])

    def test_private_files_under_any_umask(self):
        old = os.umask(0)
        try:
            document = self.workspace()
            self.go(document, "target-create", "create", "start").ok(self)
        finally:
            os.umask(old)
        for path in (self.root(self.id), self.root(self.id, ".runner"),
                     os.path.dirname(self.root(self.id)), os.path.join(self.state, "targets")):
            self.assertEqual(os.stat(path).st_mode & 0o077, 0, path)
        for name in ("workspace.json", "agent.json", "agent.log"):
            self.assertEqual(os.stat(self.root(self.id, ".runner", name)).st_mode & 0o077, 0, name)

    def test_the_environment_is_the_jobs_alone(self):
        dump = self.path("env.txt")
        document = self.workspace({"Command": f"env -0 > {dump}.new; mv {dump}.new {dump}; pwd -P"},
                                  env={"FOO": "bar=baz\nsecond", "HOME": "/evil",
                                       "DAYTONA_WORKSPACE_ROOT": "/evil"})
        self.go(document, "create", "start", HTTP_PROXY="http://127.0.0.1:1", RUNNER_SECRET="x",
                https_proxy="http://127.0.0.1:1", DAYTONA_RUNNER_SERVER_KEY="k",
                DRIVE_GIT_TOKEN="gittoken").ok(self)
        self.wait_file(dump)
        with open(dump, "rb") as file:
            names = dict(item.split(b"=", 1) for item in file.read().split(b"\0") if item)
        for variables in (names, dict(v.split(b"=", 1) for v in self.environ(self.agent_pid()) if v)):
            for name in (b"HTTP_PROXY", b"https_proxy", b"RUNNER_SECRET", b"DRIVE_GIT_TOKEN",
                         b"DAYTONA_RUNNER_SERVER_KEY", b"DRIVE_API_URL"):
                self.assertNotIn(name, variables)
            self.assertNotIn(b"gittoken", b"".join(variables.values()))
            self.assertEqual(variables[b"FOO"], b"bar=baz\nsecond")
            self.assertEqual(variables[b"DAYTONA_WORKSPACE_ID"], self.id.encode())
            self.assertEqual(variables[b"DAYTONA_WORKSPACE_DIR"], self.root(self.id, "app").encode())
            self.assertEqual(variables[b"HOME"], self.root(self.id, ".runner", "home").encode())
            self.assertEqual(variables[b"DAYTONA_WORKSPACE_ROOT"], self.root(self.id).encode())
        self.assertNotIn(b"(HOME)", names[b"DAYTONA_AGENT_LOG_FILE_PATH"])
        self.assertTrue(os.path.exists(names[b"DAYTONA_AGENT_LOG_FILE_PATH"].decode()))
        key = self.fake.workspaces[self.id]["apiKey"].encode()
        for pid in common.all_pids():
            self.assertNotIn(key, common.read_proc(pid, "cmdline"))

    FAMILY = ("setsid sleep 1000 & (sleep 1000 &) ; nohup sleep 1000 >/dev/null 2>&1 & "
              "(setsid sh -c 'setsid sleep 1000 & sleep 1000' &) ; touch {mark}; exec sleep 1000")

    def test_stop_ends_every_descendant_and_nobody_else(self):
        mark = self.path("mark")
        bystander = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        document = self.workspace({"Command": self.FAMILY.format(mark=mark)})
        self.go(document, "create", "start").ok(self)
        self.wait_file(mark)
        common.wait_for(lambda: len(self.members()) >= 7, 10 * common.PATIENCE, "the family")
        before = time.monotonic()
        self.go(document, "stop").ok(self)
        self.assertLess(time.monotonic() - before, 10 * common.PATIENCE)
        self.assertEqual(self.members(), [])
        self.assertIsNone(bystander.poll())

    def test_five_hundred_processes_end_as_well(self):
        mark = self.path("mark")
        document = self.workspace({"Command": "i=0; while [ $i -lt 250 ]; do setsid sleep 1000 & "
                                              f"sleep 1000 & i=$((i+1)); done; touch {mark}; wait"})
        self.go(document, "create", "start").ok(self)
        self.wait_file(mark)
        self.go(document, "stop").ok(self)
        self.assertEqual(self.members(), [])

    def test_what_a_killed_agent_leaves_is_ended_too(self):
        mark = self.path("mark")
        document = self.workspace({"Command": self.FAMILY.format(mark=mark)})
        for action in ("stop", "start", "delete"):
            with self.subTest(action=action):
                self.go(document, "create", "start").ok(self)
                self.wait_file(mark)
                common.wait_for(lambda: len(self.members()) >= 7, 10 * common.PATIENCE, "the family")
                family = self.members()
                agent = self.agent_pid()
                os.kill(agent, signal.SIGKILL)
                common.wait_for(lambda: not common.alive(agent), 10 * common.PATIENCE, "the agent's end")
                self.assertEqual(self.go(document, "condition")["condition"], "stopped")
                os.unlink(mark)
                self.go(document, action).ok(self)
                self.assertEqual([pid for pid in family if common.alive(pid)], [])
                self.go(document, "stop").ok(self)
                self.assertEqual(self.members(), [])

    def test_a_program_may_save_and_a_deaf_one_is_killed(self):
        saved, mark = self.path("saved"), self.path("mark")
        document = self.workspace({"Command": f"trap 'sleep 0.2; touch {saved}; exit' TERM; "
                                              f"touch {mark}; while :; do sleep 0.1; done"})
        self.go(document, "create", "start").ok(self)
        self.wait_file(mark)
        self.go(document, "stop").ok(self)
        self.assertTrue(os.path.exists(saved))
        os.unlink(mark)
        document = self.workspace({"Grace Seconds": 1, "Command":
                                   f"trap '' TERM; touch {mark}; while :; do sleep 1000; done"})
        self.go(document, "create", "start").ok(self)
        self.wait_file(mark)
        before = time.monotonic()
        self.go(document, "stop").ok(self)
        self.assertGreaterEqual(time.monotonic() - before + common.CLOCKS, 1)
        self.assertLess(time.monotonic() - before, 5 * common.PATIENCE)
        self.assertEqual(self.members(), [])

    def test_the_workspace_outlives_its_command(self):
        document = self.workspace({"Command": "echo from the command; exit 3"})
        self.go(document, "create", "start").ok(self)
        log = self.root(self.id, ".runner", "agent.log")

        def ended():
            with open(log, encoding="utf-8") as file:
                return "exit status 3" in file.read()

        common.wait_for(ended, 10 * common.PATIENCE, "the command's end in the log")
        count = len(self.fake.agent_posts[self.id])
        self.wait_posts(count + 2)
        self.assertEqual(self.go(document, "condition")["condition"], "running")
        with open(log, encoding="utf-8") as file:
            self.assertIn("from the command", file.read())

    def test_agent_none(self):
        document = self.workspace({"Agent": "none"})
        self.go(document, "create", "start").ok(self)
        self.assertEqual(self.members(), [])
        mark = self.path("mark")
        document = self.workspace({"Agent": "none", "Command": f"touch {mark}; exec sleep 1000"})
        self.go(document, "create", "start", "condition").ok(self)
        self.wait_file(mark)
        self.assertEqual(self.fake.agent_posts[self.id], [])
        self.go(document, "stop").ok(self)
        self.assertEqual(self.members(), [])

    def test_output_of_a_command_without_an_agent_is_cut(self):
        document = self.workspace({"Agent": "none", "Command": "yes line | head -c 6000000; exec sleep 1000"})
        self.go(document, "create", "start").ok(self)
        log = self.root(self.id, ".runner", "agent.log")

        def cut():
            with open(log, "rb") as file:
                return b"was cut" in file.read(1 << 16)
        common.wait_for(cut, 20 * common.PATIENCE, "the log is cut")
        self.assertLess(os.path.getsize(log), 5 << 20)
        self.go(document, "stop").ok(self)

    def test_an_agent_that_cannot_work_fails_the_start(self):
        document = self.workspace()
        self.go(document, "create").ok(self)
        self.go(document, "start", DRIVE_API_URL="ftp://x").error(
            self, "ended before it was ready .exit status 1.*ftp")
        self.assertEqual(self.members(), [])
        self.assertEqual(self.go(document, "condition")["condition"], "stopped")
        self.go(document, "start").ok(self)

    def test_the_server_need_not_be_there_for_a_start(self):
        document = self.workspace()
        self.go(document, "create", "start", DRIVE_API_URL="http://127.0.0.1:1").ok(self)
        self.go(document, "stop").ok(self)

    def test_start_and_stop_without_a_workspace(self):
        document = self.workspace()
        self.go(document, "start").error(self, "does not exist on this runner")
        self.go(document, "stop", "delete").ok(self)
        self.go(document, "create").ok(self)
        os.rename(self.root(self.id, "app"), self.root(self.id, "elsewhere"))
        self.assertEqual(self.go(document, "condition")["condition"], "incomplete")
        self.go(document, "start").error(self, "is gone")

    def test_a_damaged_state_file_is_no_dead_end(self):
        document = self.workspace()
        self.go(document, "create").ok(self)
        for content in ("", "{", '{"directory":"../../x","complete":true}', "\0" * 100):
            with open(self.root(self.id, ".runner", "workspace.json"), "w",
                      encoding="utf-8") as file:
                file.write(content)
            with open(self.root(self.id, ".runner", "agent.json"), "w", encoding="utf-8") as file:
                file.write(content)
            self.assertEqual(self.go(document, "condition")["condition"], "incomplete")
            self.go(document, "start").error(self, "does not exist")
            self.go(document, "stop").ok(self)
        self.go(document, "create", "start", "stop", "delete").ok(self)

    def test_a_reused_pid_is_left_alone(self):
        document = self.workspace()
        self.go(document, "create", "start").ok(self)
        with open(self.root(self.id, ".runner", "agent.json"), encoding="utf-8") as file:
            record = json.load(file)
        self.go(document, "stop").ok(self)
        bystander = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        started = int(common.read_proc(bystander.pid, "stat").rpartition(b")")[2].split()[19])
        # The workspace can write the record: a stranger that it names in full is no agent either.
        for changed in ({"pid": bystander.pid}, {"pid": bystander.pid, "boot": "another"},
                        {"pid": bystander.pid, "start": started},
                        {"pid": 1}, {"pid": -1}, {"pid": 0}):
            with open(self.root(self.id, ".runner", "agent.json"), "w", encoding="utf-8") as file:
                json.dump({**record, **changed}, file)
            self.assertEqual(self.go(document, "condition")["condition"], "stopped")
            self.go(document, "stop").ok(self)
        self.assertIsNone(bystander.poll())

    def test_options(self):
        refused = [({"Isolation": "none", "Image": "debian"}, "best-effort or strict"), ({"Isolation": "x"}, "best-effort"),
                   ({"Root": "/srv"}, "operator"), ({"Network": "x"}, "private"),
                   ({"Agent": "daytona"}, "auto, builtin or none"), ({"Agent": "x"}, "auto"),
                   ({"Grace Seconds": -1}, "whole number"), ({"Grace Seconds": "1.5"}, "whole"),
                   ({"Grace Seconds": True}, "whole")]
        for options, text in refused:
            with self.subTest(**options):
                document = self.workspace(options)
                self.go(document, "create").error(self, text)
                self.go(document, "target-create").error(self, text)
                self.go(document, "stop", "delete").ok(self)
        for options in ({"Agent": None, "Isolation": "", "Grace Seconds": "5", "Command": "",
                         "Unknown": [1]}, {"Grace Seconds": 0, "Isolation": "none"}):
            self.go(self.workspace(options), "create", "start", "stop").ok(self)
        for text in ("", "{}"):
            target = self.fake.add_target(options=text)
            document = self.workspace(target=target)
            self.go(document, "create", "delete").ok(self)
        self.go(self.workspace(target=self.fake.add_target(options="{")), "create").error(self, "")

    def test_ids_cannot_leave_the_state_directory(self):
        os.makedirs(self.path("precious"))
        good = self.workspace()
        for bad in ("../../precious", "..", ".", "a/b", "", "x" * 200):
            with self.subTest(id=bad):
                document = self.document(self.fake, self.id, id=bad)
                for action in ("create", "start", "stop", "delete", "force-delete", "condition"):
                    result = self.go(document, action)
                    self.assertNotEqual(result.status, 0, result.output)
                target = dict(self.fake.targets[self.fake.workspaces[self.id]["targetId"]], id=bad)
                document = self.document(self.fake, self.id, target=target)
                for action in ("target-create", "target-delete", "target-force-delete"):
                    self.assertNotEqual(self.go(document, action).status, 0)
        self.assertTrue(os.path.isdir(self.path("precious")))
        self.assertEqual(good, self.document(self.fake, self.id))
        self.assertEqual(os.listdir(self.state), [])

    def test_delete_removes_read_only_trees(self):
        document = self.workspace()
        self.go(document, "create").ok(self)
        deep = self.root(self.id, "app", "mod", "cache")
        os.makedirs(deep)
        with open(os.path.join(deep, "file"), "w", encoding="utf-8"):
            pass
        os.chmod(deep, 0o500)
        os.chmod(os.path.dirname(deep), 0o500)
        self.go(document, "delete").ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))

    def test_a_removal_that_fails_is_an_error_unless_forced(self):
        document = self.workspace()
        self.go(document, "create").ok(self)
        mount = self.root(self.id, "app", "mounted")
        os.makedirs(mount)
        if common.run(["mount", "-t", "tmpfs", "none", mount]).returncode != 0:
            self.skipTest("mounting is not allowed here")
        self.addCleanup(common.run, ["umount", mount])
        self.go(document, "delete").error(self, "mount")
        result = self.go(document, "force-delete").ok(self)
        self.assertRegex(result.output, "warning: left behind: .*mount")

    def test_told_to_stop_while_the_agent_starts(self):
        """The agent's program hangs before it is ready: here, a stopped stand-in."""
        document = self.workspace()
        self.go(document, "create").ok(self)
        stand_in = self.path("stand-in")
        with open(stand_in, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {shlex.quote(self.path('up'))}\nexec sleep 1000\n")
        os.chmod(stand_in, 0o755)
        real, common.BIN = common.BIN, stand_in
        try:
            process = self.drive_background(document, "start", DRIVE_API_URL=self.fake.url)
        finally:
            common.BIN = real
        self.wait_file(self.path("up"))
        process.send_signal(signal.SIGTERM)
        process.finish(20).error(self, "stopped because the runner was told to end")
        self.assertEqual(self.members(), [])

    def test_check_names_what_is_missing(self):
        document = self.workspace()
        result = self.go(document, "check").ok(self)
        self.assertRegex(result.output, "ok: git version")
        self.assertRegex(result.output, "ok: isolation none")
        strict = "isolation strict and" in result.output
        result = self.go(document, "check", options=["isolation=strict"])
        self.assertEqual(result.status == 0, strict, result.output)
        if not strict:
            result.error(self, "isolation")


if __name__ == "__main__":
    drivecase.main()
