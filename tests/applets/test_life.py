#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""start, stop, restart, status, service, purge without a terminal (field cases 1, 2, 4, 5, 10, 13,
112, 113, 129): wished states, stale and foreign pids, disks that are full, directories not ours."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402
from lib.lifecase import LifeCase, one_line  # noqa: E402


needs_root = unittest.skipUnless(os.geteuid() == 0, "needs root")


def proc_start(pid):
    return common.read_proc(pid, "stat").rpartition(b")")[2].split()[19].decode()


def boot_id():
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


class Life(LifeCase):
    def setUp(self):
        super().setUp()
        self.host = self.env(admin=False)
        self.lock = os.path.join(self.state, "lock")

    def on_host(self, *args, rc=0, **kwargs):
        return self.applet(*args, env=kwargs.pop("env", self.host), rc=rc, **kwargs)

    def serving(self):
        return [pid for pid in common.pids_with(self.tmp)
                if common.read_proc(pid, "cmdline").startswith(b"daytona-runner\0serve\0")]

    def test_start_again_is_success_with_one_process(self):
        made = self.configured()
        pids = set()
        for _ in range(3):
            result = self.on_host("start")
            self.assertTrue(result.stdout.startswith("Running\n"), result.stdout)
            self.assertEqual(result.stderr, "")
            pids.add(self.runner_pid())
            self.assertEqual(self.state_of(made["id"]), "started")
        self.assertEqual(len(pids), 1)
        self.assertEqual(self.serving(), list(pids))
        os.kill(self.runner_pid(), signal.SIGKILL)
        common.wait_for(lambda: not self.serving(), 10 * common.PATIENCE, "killed")
        self.on_host("start")
        self.assertNotIn(self.runner_pid(), pids)

    def test_started_by_several_at_once(self):
        self.configured()
        starts = [subprocess.Popen([common.BIN, "start"], env=self.env(admin=False), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(5)]
        for process in starts:
            out, errors = process.communicate(timeout=60 * common.PATIENCE)
            self.assertEqual((process.returncode, errors), (0, ""))
            self.assertIn(f"process {self.runner_pid()}.", out)

    def test_stop_and_stop_again(self):
        made = self.configured()
        before = self.tree(self.cfg)
        result = self.on_host("stop")
        self.assertEqual((result.stdout, result.stderr), ("The runner is not running\n", ""))
        self.assertEqual(self.tree(self.cfg), before)
        self.on_host("start")
        pid = self.runner_pid()
        self.assertEqual(self.on_host("stop").stdout, "Stopped\n")
        self.assertFalse(common.alive(pid))
        self.on_host("stop")
        said = self.on_host("status", rc=1).stdout
        self.assertEqual(said.splitlines()[0], "Not running")
        self.assertIn(f"Configuration:  {self.ini}\nNext:           daytona-runner start\n", said)
        self.assertTrue(made)

    def test_restart_from_every_state(self):
        self.configured()
        self.on_host("restart")
        first = self.runner_pid()
        self.on_host("restart")
        second = self.runner_pid()
        self.assertNotEqual(first, second)
        os.kill(second, signal.SIGKILL)
        common.wait_for(lambda: not self.serving(), 10 * common.PATIENCE, "killed")
        self.on_host("restart")
        third = self.runner_pid()
        self.assertNotIn(third, (0, second))

    def test_restart_of_a_deaf_process(self):
        self.configured()
        self.on_host("configure", "--drain-timeout", "0")
        self.on_host("start")
        pid = self.runner_pid()
        os.kill(pid, signal.SIGSTOP)
        result = self.on_host("restart", timeout=120)
        self.assertIn("Running", result.stdout)
        self.assertFalse(common.alive(pid))
        self.assertNotEqual(self.runner_pid(), pid)

    def break_config(self, line, after):
        """A line that is wrong, behind another one."""
        text = self.ini_text()
        self.assertIn(after, text)
        with open(self.ini, "w", encoding="utf-8") as file:
            file.write(text.replace(after, after + "\n" + line, 1))
        return text

    def test_commands_that_work_with_a_wrong_configuration(self):
        made = self.configured()
        self.on_host("configure", "--state-dir", self.path("elsewhere"))
        self.on_host("start")
        pid = self.runner_pid()
        for line, after in (("colour = blue", "[runner]"), ("max_jobs = many", "[runner]"), ("what is this", "[server]"),
                            ("[sever]\nkey = x", "[server]"), ("enabled = perhaps", '[provider "native-provider"]')):
            with self.subTest(line):
                good = self.break_config(line, after)
                bad = line.partition("\n")[0]
                quiet = self.on_host("status", "-q", rc=None)
                # What stands in a section whose head is wrong is lost; where the runner is, is not.
                self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, "", ""), bad)
                said = self.on_host("status")
                self.assertIn(f"Process:        {pid}", said.stdout)
                self.assertRegex(said.stderr, r"runner\.ini:\d+: .*; goes on without it")
                self.assertIn("runner", self.on_host("logs").stdout)
                self.assertEqual(self.on_host("config", "-q", rc=78).stdout, "")
                self.assertIn(self.path("elsewhere"), self.on_host("config", rc=1).stdout)
                self.assertIn(made["id"], self.applet("list").stdout)
                for args in (("provider", "list"), ("provider", "check", "native-provider"), ("image", "list", "-f", "json"),
                             ("service", "print", "--type", "systemd")):
                    self.assertIn("goes on without it", self.on_host(*args, rc=None).stderr, args)
                    self.assertNotEqual(self.on_host(*args, rc=None).stdout, "", args)
                with open(self.ini, "w", encoding="utf-8") as file:
                    file.write(good)
        self.on_host("config", "-q")
        self.break_config("colour = blue", "[runner]")
        # What cannot start afterwards is not stopped.
        self.assertIn("colour", self.on_host("restart", rc=1).stderr)
        self.assertEqual(self.runner_pid(), pid)
        self.assertEqual(self.on_host("stop").stdout, "Stopped\n")
        self.assertFalse(common.alive(pid))

    def test_no_server_is_asked_with_half_of_its_settings(self):
        self.configured()
        self.break_config("pin_sha265 = abc", "[server]")
        self.assertIn("did you mean pin_sha256", self.on_host("list", rc=1).stderr)
        self.assertIn("is not asked before", self.on_host("list", rc=1).stderr)

    def test_a_configuration_fault_has_an_exit_status_of_its_own(self):
        self.configured()
        self.assertEqual(self.on_host("serve", "--max-jobs", "many", rc=2).stdout, "")
        good = self.break_config("colour = blue", "[runner]")
        self.on_host("serve", rc=78)
        with open(self.ini, "w", encoding="utf-8") as file:
            file.write(good.replace("key =", "# key ="))
        self.assertIn("API key", self.on_host("serve", rc=78).stderr)
        # A key that is not there yet may come.
        self.on_host("serve", "--api-key-file", self.path("no-such"), rc=1)

    def test_unknown_variables_are_named(self):
        self.configured()
        env = self.env(admin=False, DAYTONA_RUNNER_SERVER_KYE="x", DAYTONA_RUNNER_COLOUR="blue", DAYTONA_RUNNER_NAME="x",
                       DAYTONA_RUNNER_PORT="tcp://10.0.0.1:1", DAYTONA_RUNNER_PORT_3983_TCP="x",
                       DAYTONA_RUNNER_SERVICE_HOST="x", DAYTONA_RUNNER_PROVIDER_NATIVE_PROVIDER_ISOLATION="none",
                       DAYTONA_RUNNER_SERVER_KEY_FILE="", DAYTONA_RUNNER_SERVER_PROXY_FILE="")
        said = self.on_host("config", "-q", env=env).stderr
        self.assertIn("DAYTONA_RUNNER_SERVER_KYE is no setting; did you mean DAYTONA_RUNNER_SERVER_KEY?", said)
        self.assertIn("DAYTONA_RUNNER_COLOUR is no setting", said)
        self.assertEqual(len(said.splitlines()), 2, said)

    def gone(self):
        self.assertEqual(self.serving(), [])
        self.assertFalse(os.path.exists(self.ini))
        self.assertFalse(os.path.exists(self.state))

    def test_purge_again(self):
        for operand in ((), ("edge",)):
            made = self.configured()
            self.on_host("start")
            self.applet("purge", "-y", *operand)
            self.gone()
            self.applet("purge", "-y", *operand)
            self.on_host("purge", "-y")
            self.on_host("purge", "-y", "--local-only")
            self.gone()
            self.assertNotIn(made["id"], [r["id"] for r in self.listed()])
        self.assertIn("no-such", self.applet("purge", "no-such", rc=1).stderr)

    def test_purge_after_one_that_was_cut_off(self):
        for env, operand in ((self.env(), ()), (self.env(), ("edge",)), (self.host, ())):
            made = self.configured()
            self.on_host("start")
            self.applet("delete", "-y", made["id"])  # as far as the first one came
            self.applet("purge", "-y", *operand, env=env)
            self.gone()

    def test_purge_without_a_server_does_not_guess(self):
        self.configured()
        self.on_host("configure", "--no-check", "--api-url", "http://127.0.0.1:9")
        self.assertIn("--local-only", self.on_host("purge", "-y", rc=1).stderr)
        self.assertTrue(os.path.exists(self.ini))

    def test_a_deaf_process_without_jobs_is_not_drained(self):
        self.configured()
        self.on_host("configure", "--drain-timeout", "1h")
        self.on_host("start")
        pid = self.runner_pid()
        os.kill(pid, signal.SIGSTOP)
        self.assertIn("Running", self.on_host("restart", timeout=60 * common.PATIENCE).stdout)
        self.assertFalse(common.alive(pid))

    def test_a_taken_port_is_told(self):
        self.configured()
        with socket.socket() as taken:
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            self.on_host("configure", "--port", port)
            said = self.on_host("start")
            self.assertIn(port, said.stderr)
            self.assertIn("set [runner] port", said.stderr)
            self.assertIn(port, self.on_host("status").stdout)
            self.assertIn(port, json.loads(self.on_host("status", "-f", "json").stdout)["port_error"])

    def test_without_a_usable_provider_it_is_not_healthy(self):
        self.configured()
        self.on_host("configure", "--no-check", "--providers", "none")
        self.assertIn("no provider can be used", self.on_host("start").stdout.splitlines()[0])
        said = self.on_host("status", rc=1)
        self.assertEqual(said.stdout.splitlines()[0], "Running, but no provider can be used")
        self.assertIn("Next:           daytona-runner provider check\n", said.stdout)
        self.assertFalse(json.loads(self.on_host("status", "-f", "json", rc=1).stdout)["healthy"])

    def test_a_provider_that_cannot_be_used_blocks_no_configure(self):
        self.configured()
        env = self.env(admin=False, DOCKER_HOST="unix:///nonexistent")
        said = self.on_host("provider", "enable", "docker-provider", env=env)
        self.assertIn("It cannot be used yet", said.stdout)
        self.assertIn("cannot be used yet", self.on_host("configure", "--max-jobs", "3", env=env).stdout)
        self.on_host("configure", "--providers", "docker-provider", env=env, rc=1)

    def test_container_init_is_not_for_people(self):
        self.assertIn("started by the runner", self.on_host("container-init", rc=2).stderr)

    def test_pids_that_are_not_ours(self):
        self.configured()
        self.on_host("start")
        self.on_host("stop")
        stranger = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        me = os.getpid()
        for text in (f"{stranger.pid}", f"{stranger.pid} 1 {boot_id()}", f"{stranger.pid} {proc_start(stranger.pid)} x",
                     f"{stranger.pid} {proc_start(stranger.pid)} {boot_id()}", f"{me}", "1", "999999", "abc", "",
                     "-1", "0", "\0" * 64, "9" * 300):
            with open(self.lock, "w", encoding="ascii") as file:
                file.write(text)
            self.assertEqual(self.on_host("stop").stdout, "The runner is not running\n", text)
            self.assertIsNone(stranger.poll(), text)
            self.on_host("status", rc=1)
        with open(self.lock, "w", encoding="ascii") as file:
            file.write(f"{stranger.pid} {proc_start(stranger.pid)} {boot_id()}")
        self.on_host("start")
        self.on_host("stop")
        self.assertIsNone(stranger.poll())

    def test_second_instance_ends_at_once_naming_the_first(self):
        self.configured()
        self.on_host("start")
        pid = self.runner_pid()
        os.symlink(self.state, self.path("alias"))
        for extra in ((), ("--state-dir", self.path("alias"))):
            result = self.on_host("serve", *extra, rc=1)
            self.assertIn(str(pid), result.stderr)

    def test_key_refused_says_why_and_how(self):
        made = self.configured()
        self.applet("delete", "-y", made["id"])
        # Said at once: 300 seconds would pass the limit of a command here.
        result = self.on_host("start", "--timeout", "300", rc=1)
        self.assertIn("The last lines of the log", result.stderr)
        self.assertIn("refuses our API key", result.stderr.splitlines()[-1])
        said = self.on_host("status", rc=1).stdout
        self.assertIn("refuses the API key", said)
        self.assertIn("Next:           daytona-runner create", said)
        self.assertTrue(json.loads(self.on_host("status", "-f", "json", rc=1).stdout)["key_refused"])
        self.on_host("stop")

    def test_server_away_says_so(self):
        self.configured()
        self.srv.stop()
        result = self.on_host("start", "--timeout", "3", rc=1)
        self.assertIn("127.0.0.1", result.stderr)
        # It goes on trying in the background.
        status = json.loads(self.on_host("status", "-f", "json", rc=1).stdout)
        self.assertTrue(status["running"])
        self.assertFalse(status["healthy"])
        said = self.on_host("status", rc=1).stdout
        self.assertIn("not reachable", said)
        self.assertIn("Next:           daytona-runner check\n", said)
        self.on_host("stop")

    def test_a_start_says_what_it_waits_for(self):
        """To a person, and once for each thing."""
        self.configured()
        self.srv.stop()
        term = self.terminal("start", "--timeout", "5", env=self.env(admin=False))
        self.assertEqual(term.wait(), 1)
        self.assertEqual(term.text().count("daytona-runner start: waiting: "), 1, term.text())
        self.assertRegex(term.text(), "waiting: .*Connection refused")
        self.on_host("stop")

    def test_broken_settings_are_found_before_anything_is_stopped(self):
        self.configured()
        self.on_host("start")
        pid = self.runner_pid()
        with open(self.ini, "a", encoding="ascii") as file:
            file.write("[server]\nurl = ftp://x\n")
        self.on_host("restart", rc=1)
        self.assertTrue(common.alive(pid))

    def test_port_in_use_is_no_reason_to_stop(self):
        self.configured()
        other = socket.socket()
        self.addCleanup(other.close)
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        self.on_host("start", "--port", str(port))
        self.assertIn(f"{port}", self.on_host("logs").stdout)

    def test_status(self):
        made = self.configured()
        self.on_host("status", "-q", rc=1)
        self.on_host("start")
        result = self.on_host("status")
        for word in ("Running", made["id"], "reachable", "Uptime:", "Last heartbeat:", "Running jobs:   0",
                     "native-provider: usable", "docker-provider: disabled", "\nSince:          20", "Health port:    none",
                     f"Configuration:  {self.ini}\nNext:           daytona-runner logs -f\n"):
            self.assertIn(word, result.stdout)
        status = json.loads(self.on_host("status", "--format", "json").stdout)
        self.assertIn(f"Version:        {status['version']}\n", result.stdout)
        self.assertEqual((status["file"], status["port"], status["next"]), (self.ini, 0, "daytona-runner logs -f"))
        self.assertEqual((status["running"], status["healthy"], status["running_jobs"]), (True, True, 0))
        self.assertEqual(self.on_host("status", "--quiet").stdout, "")
        # A process that hangs is not healthy although its last words were good.
        os.kill(status["pid"], signal.SIGSTOP)
        old = os.stat(os.path.join(self.state, "status.json")).st_mtime - 120
        os.utime(os.path.join(self.state, "status.json"), (old, old))
        self.on_host("status", "-q", rc=1)
        os.kill(status["pid"], signal.SIGKILL)
        for text in ("", "{", "[]", "\0" * 100, "{\"pid\":1}"):
            with open(os.path.join(self.state, "status.json"), "w", encoding="ascii") as file:
                file.write(text)
            self.on_host("status", rc=1)
            self.on_host("status", "-f", "json", rc=1)

    def test_state_directory_problems_are_named(self):
        made = self.create()
        for what in ("file", "foreign", "link"):
            state = self.path(what)
            if what == "file":
                with open(state, "w", encoding="ascii"):
                    pass
            elif what == "foreign":
                os.mkdir(state)
                with open(os.path.join(state, "mine"), "w", encoding="ascii"):
                    pass
            else:
                os.symlink("/etc", state)
            before = self.tree(self.path("foreign")) if what == "foreign" else None
            self.configure(made, "--state-dir", state)
            result = self.on_host("start", "--timeout", "5", rc=1)
            self.assertIn(state, result.stderr)
            if before:
                self.assertEqual(self.tree(state), before)

    @needs_root
    def test_a_directory_of_another_user(self):
        made = self.create()
        state = self.path("theirs")
        os.mkdir(state, 0o777)
        os.chmod(state, 0o777)
        self.configure(made, "--state-dir", state)
        os.chown(state, 12345, 12345)
        result = self.on_host("start", "--timeout", "5", rc=1)
        self.assertIn("12345", result.stderr)

    @needs_root
    def test_a_fresh_volume_open_to_all(self):
        mount, cfg = self.path("volume"), self.path("cfg-of-user")
        for path in (mount, cfg):
            os.mkdir(path)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=777", "none", mount], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        os.mkdir(mount + "/lost+found", 0o700)
        os.chmod(self.tmp, 0o755)
        os.chown(cfg, 12345, 12345)
        env = self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=cfg, DAYTONA_RUNNER_STATE_DIR=mount)
        user = dict(env=env, user=12345, group=12345)
        made = self.create()
        self.applet("configure", *self.words_of(made["command"])[1:], "--port", "0", "--providers", "none", **user)
        self.assertIn("Running", self.applet("start", **user).stdout)
        self.applet("stop", **user)
        # Another user's files there are not taken over.
        result = self.applet("start", env=env, user=12346, group=12346, rc=1)
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.applet("purge", "-y", **user)
        self.assertLessEqual(set(os.listdir(mount)), {"lost+found", ".daytona-runner"})

    @needs_root
    def test_full_disk_and_read_only_state(self):
        made = self.create()
        mount = self.path("disk")
        os.mkdir(mount, 0o700)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", mount], check=False,
                          stderr=subprocess.DEVNULL).returncode:
            self.skipTest("cannot mount")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=False)
        state = os.path.join(mount, "state")
        self.configure(made, "--state-dir", state)
        os.mkdir(state, 0o700)
        with open(os.path.join(state, ".daytona-runner"), "w", encoding="ascii"):
            pass
        fd = os.open(os.path.join(state, "fill"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            while os.write(fd, b"x" * 4096):
                pass
        except OSError:
            pass
        os.close(fd)
        result = self.on_host("start", rc=None)
        self.assertIn(result.returncode, (0, 1))
        self.assertTrue(result.returncode == 0 or one_line(result.stderr), result.stderr)
        self.on_host("status", rc=None)
        self.on_host("stop", rc=None)
        common.wait_for(lambda: not self.serving(), 20 * common.PATIENCE, "stopped")
        subprocess.run(["mount", "-o", "remount,ro", mount], check=True)
        result = self.on_host("start", "--timeout", "5", rc=None)
        self.assertIn("state", result.stdout + result.stderr)
        # In the foreground it serves all the same, and says what that costs.
        with open(self.path("err"), "wb") as err:
            process = subprocess.Popen([common.BIN, "serve"], env=self.host, stderr=err, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def said(*texts):
            with open(self.path("err"), encoding="utf-8") as file:
                log = file.read()
            return all(text in log for text in texts)

        common.wait_for(lambda: said("not safe against a crash", "accepts our heartbeats"), 20 * common.PATIENCE,
                        lambda: open(self.path("err"), encoding="utf-8").read())
        process.terminate()
        self.assertEqual(process.wait(20 * common.PATIENCE), 0)

    def test_without_home(self):
        made = self.create()
        env = self.env(admin=False, HOME=None, XDG_CONFIG_HOME=None, DAYTONA_RUNNER_CONFIG_DIR=None)
        for args in (("config",), ("status",), ("stop",), ("help",), ("provider", "list")):
            self.applet(*args, env=env, rc=None)
        text = self.applet("config", env=env).stdout
        self.assertIn("/etc/daytona-runner/runner.ini" if os.geteuid() == 0 else "runner.ini", text)
        env["DAYTONA_RUNNER_CONFIG_DIR"] = self.cfg
        self.configure(made, env=env)
        for args in (("start",), ("status",), ("logs", "-n", "1"), ("restart",), ("stop",)):
            self.applet(*args, env=env)

    def test_two_directories_on_one_host(self):
        first, second = self.create("one"), self.create("two")
        envs = []
        for made in (first, second):
            env = self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=self.path(made["name"]))
            self.configure(made, env=env)
            self.applet("start", env=env)
            envs.append(env)
        self.assertEqual({r["state"] for r in self.listed()}, {"started"})
        self.applet("stop", env=envs[0])
        self.assertEqual(self.applet("status", env=envs[1]).returncode, 0)


class Purge(LifeCase):
    def test_removes_and_stops_this_hosts_runner(self):
        other, made = self.create("other"), self.configured()
        with open(os.path.join(self.cfg, "neighbour"), "w", encoding="ascii") as file:
            file.write("mine")
        self.applet("start", env=self.env(admin=False))
        pid = self.runner_pid()
        dry = self.applet("purge", "--dry-run", "edge")
        self.assertIn("nothing was changed", dry.stdout)
        self.assertTrue(common.alive(pid))
        self.assertEqual(len(self.listed()), 2)
        result = self.applet("purge", "edge", rc=2)
        self.assertIn("--yes", result.stderr)
        result = self.applet("purge", rc=2)
        self.assertTrue(common.alive(pid))
        result = self.applet("purge", "-y", made["id"])
        self.assertIn("was removed from the Server", result.stdout)
        self.assertFalse(common.alive(pid))
        self.assertEqual([r["id"] for r in self.listed()], [other["id"]])
        self.assertEqual(os.listdir(self.cfg), ["neighbour"])

    def test_another_hosts_runner_leaves_this_host_alone(self):
        self.create("other")
        self.configured()
        self.applet("start", env=self.env(admin=False))
        pid, before = self.runner_pid(), self.ini_text()
        self.applet("purge", "-y", "other")
        self.assertTrue(common.alive(pid))
        self.assertEqual(self.ini_text(), before)

    def test_a_name_that_is_nearly_anothers_is_a_mistake(self):
        self.create("builder-west")
        result = self.applet("purge", "-y", "bilder-west", rc=1)
        self.assertIn("did you mean builder-west?", result.stderr)
        self.assertIn("nothing to do", self.applet("purge", "-y", "long-gone").stdout)
        self.assertEqual([r["name"] for r in self.listed()], ["builder-west"])

    def test_a_script_means_the_runner_of_this_host(self):
        self.create("other")
        self.configured()
        self.applet("purge", "-y", env=self.env(admin=False))
        self.assertEqual([r["name"] for r in self.listed()], ["other"])
        self.assertIn("No runner is configured here", self.applet("purge", "-y").stdout)
        self.assertEqual([r["name"] for r in self.listed()], ["other"])

    def test_works_with_the_runners_own_key(self):
        self.srv.stop()
        self.srv = serverproc.Server(self, self.path("srv"), "--reference-keys")
        self.configured()
        self.applet("purge", "-y", "edge", env=self.env(admin=False))
        self.assertEqual(self.listed(), [])
        self.assertFalse(os.path.exists(self.ini))

    def test_dependants_are_shown(self):
        made = self.configured()
        config = serverproc.make_config(self.srv, made["id"], "its-config")
        self.srv.ok("POST", "/target", {"id": "aabbccddeeff", "name": "its-target", "targetConfigId": config})
        self.srv.ok("POST", "/workspace", serverproc.workspace_body("ffeeddccbbaa", "its-workspace", "aabbccddeeff"))
        text = self.applet("purge", "--dry-run", "edge").stdout
        for name in ("its-config", "its-target", "its-workspace"):
            self.assertIn(name, text)

    def test_server_away_or_key_refused_changes_nothing(self):
        self.configured()
        self.applet("start", env=self.env(admin=False))
        pid, before = self.runner_pid(), self.ini_text()
        result = self.applet("purge", "-y", "edge", env=self.env(DAYTONA_API_KEY="wrong"), rc=1)
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.srv.stop()
        result = self.applet("purge", "-y", "edge", rc=1, env=self.env(admin=False))
        self.assertTrue(one_line(result.stderr), result.stderr)
        self.assertIn("--local-only", result.stderr)
        self.assertTrue(common.alive(pid))
        self.assertEqual(self.ini_text(), before)
        self.applet("purge", "-y", "--local-only", env=self.env(admin=False))
        self.assertFalse(common.alive(pid))
        self.assertFalse(os.path.exists(self.cfg))

    def fill(self, state):
        work = os.path.join(state, "workspaces", "w1", "app")
        os.makedirs(work)
        for directory in (state, os.path.dirname(work), work):
            os.chmod(directory, 0o700)
        with open(os.path.join(state, ".daytona-runner"), "w", encoding="ascii"):
            pass
        with open(os.path.join(work, "file"), "w", encoding="ascii") as file:
            file.write("mine")
        os.symlink(self.path("outside"), os.path.join(work, "link"))
        os.symlink(self.path("outside"), os.path.join(state, "logs"))

    def test_workspaces_end_before_their_data_goes(self):
        self.configured()
        self.fill(self.state)
        root = os.path.join(self.state, "workspaces", "w1")
        process = subprocess.Popen(["sleep", "300"], start_new_session=True,
                                   env={"PATH": os.environ["PATH"], "DAYTONA_WORKSPACE_ROOT": root})
        self.addCleanup(process.kill)
        common.wait_for(lambda: b"sleep" in common.read_proc(process.pid, "cmdline"), 10 * common.PATIENCE, "sleep runs")
        result = self.applet("purge", "-y", "--keep-data", "edge")
        self.assertIsNone(process.poll())
        result = self.applet("purge", "-y", "--local-only", "--purge-data")
        self.assertIn("1 processes of workspaces were ended", result.stdout)
        self.assertEqual(process.wait(10 * common.PATIENCE), -signal.SIGTERM)
        self.assertFalse(os.path.exists(root))

    def test_data_needs_a_flag_and_links_are_not_followed(self):
        os.mkdir(self.path("outside"))
        with open(self.path("outside", "kept"), "w", encoding="ascii"):
            pass
        self.configured()
        self.fill(self.state)
        result = self.applet("purge", "-y", "edge")
        self.assertIn("kept in", result.stdout)
        self.assertTrue(os.path.exists(os.path.join(self.state, "workspaces", "w1", "app", "file")))
        self.assertFalse(os.path.exists(self.ini))
        self.applet("purge", "-y", "--local-only", "--purge-data")
        self.assertFalse(os.path.exists(self.cfg))
        self.assertTrue(os.path.exists(self.path("outside", "kept")))

    def test_keep_data_keeps_all(self):
        self.configured()
        before = self.tree(self.cfg)
        self.applet("purge", "-y", "--keep-data", "edge")
        self.assertEqual(self.tree(self.cfg), before)
        self.assertEqual(self.listed(), [])

    def test_refuses_directories_that_are_not_ours(self):
        os.mkdir(self.path("plain"))
        os.mkdir(self.path("target"))
        for place in ("target", "plain"):
            with open(self.path(place, "precious"), "w", encoding="ascii"):
                pass
        os.symlink(self.path("target"), self.path("link"))
        home = self.path("home")
        os.makedirs(home, exist_ok=True)
        marked = self.path("marked")
        os.mkdir(marked)
        for place in (home, self.tmp):
            with open(os.path.join(place, ".daytona-runner"), "w", encoding="ascii"):
                pass
        for state in ("/", "/usr/local", "/etc", home, self.tmp, self.path("plain"), self.path("link"),
                      self.path("target", ".."), self.path("marked", "..", "..")):
            before = self.tree(self.tmp)
            result = self.applet("purge", "-y", "--local-only", "--purge-data", "--state-dir", state,
                                 env=self.env(admin=False), rc=1)
            self.assertIn("refuse", result.stderr, state)
            self.assertEqual(self.tree(self.tmp), before, state)

    @needs_root
    def test_goes_on_past_what_cannot_be_removed(self):
        user = 12345
        state = self.path("state")
        self.fill(state)
        os.unlink(os.path.join(state, "logs"))
        os.makedirs(os.path.join(state, "workspaces", "w2"))
        for directory, dirs, files in os.walk(state):
            for name in [directory] + [os.path.join(directory, n) for n in files + dirs]:
                os.lchown(name, user, user)
        rooted = os.path.join(state, "workspaces", "w1", "rooted")
        os.mkdir(rooted, 0o700)
        with open(os.path.join(rooted, "file"), "w", encoding="ascii"):
            pass
        os.mkdir(self.cfg, 0o700)
        os.chown(self.cfg, user, user)
        args = ["purge", "-y", "--local-only", "--purge-data", "--state-dir", state]
        result = self.applet(*args, env=self.env(admin=False), rc=1, user=user, group=user)
        self.assertIn("rooted", result.stderr)
        self.assertTrue(os.path.exists(rooted))
        self.assertFalse(os.path.exists(os.path.join(state, "workspaces", "w2")))
        self.assertFalse(os.path.exists(os.path.join(state, "workspaces", "w1", "app")))
        self.applet(*args, env=self.env(admin=False))
        self.assertFalse(os.path.exists(state))


class Service(LifeCase):
    def test_texts(self):
        self.configured()
        env = self.env(admin=False, SECRET_OF_THE_CALLER="hidden")
        unit = self.applet("service", "print", "--type", "systemd", "--system", env=env).stdout
        for line in ("Type=notify", "WatchdogSec=", "NoNewPrivileges=yes", "WantedBy=multi-user.target",
                     "Restart=on-failure"):
            self.assertIn(line, unit)
        self.assertIn(f' daytona-runner serve --config-dir "{self.cfg}"', unit)
        self.assertNotIn("Environment", unit)
        user = self.applet("service", "print", "--type", "systemd", "--user", env=env).stdout
        self.assertIn("WantedBy=default.target", user)
        for kind in ("openrc", "sysv"):
            script = self.applet("service", "print", "--type", kind, env=env).stdout
            subprocess.run(["sh", "-n"], input=script, text=True, check=True)
            self.assertNotIn("hidden", script)
        self.assertNotIn("hidden", unit)
        self.applet("service", "print", "--type", "launchd", env=env, rc=2)
        self.applet("service", "print", "--type", "openrc", "--user", env=env, rc=2)

    def test_unit_is_what_systemd_understands(self):
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze")
        self.configured()
        path = self.path("daytona-runner.service")
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.applet("service", "print", "--type", "systemd", "--system").stdout)
        result = common.run(["systemd-analyze", "verify", path])
        self.assertNotIn("daytona-runner.service:", result.stderr)

    def test_what_the_service_will_not_have(self):
        made = self.create()
        env = self.env(admin=False, DAYTONA_RUNNER_SERVER_KEY=made["apiKey"], DAYTONA_RUNNER_STATE_DIR=self.path("st"))
        self.applet("configure", "--api-url", made["apiUrl"], "--id", made["id"], "--name", "edge", "--no-check",
                    env=self.env(admin=False, DAYTONA_RUNNER_SERVER_KEY="x"))
        unit = self.applet("service", "print", "--type", "systemd", env=env).stdout
        self.assertIn(f' --state-dir "{self.path("st")}"', unit)
        unit = self.applet("service", "print", "--type", "systemd", "--state-dir", "/s").stdout
        self.assertIn(' --state-dir "/s"', unit)
        script = self.applet("service", "print", "--type", "openrc").stdout
        self.assertNotIn("need net", script)  # containers, and hosts whose network is not OpenRC's, have no such service
        os.unlink(self.ini)
        env.update(DAYTONA_RUNNER_SERVER_URL=made["apiUrl"], DAYTONA_RUNNER_ID=made["id"], DAYTONA_RUNNER_NAME="edge")
        self.assertIn("missing API URL", self.applet("service", "install", "--type", "sysv", env=env, rc=1).stderr)

    def test_odd_paths_are_quoted(self):
        made = self.create()
        odd = self.path("a b'c\"d%e$f")
        env = self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=odd)
        self.configure(made, env=env)
        unit = self.applet("service", "print", "--type", "systemd", env=env).stdout
        self.assertIn(r'''a b'c\"d%%e$$f"''', unit)
        script = self.applet("service", "print", "--type", "sysv", env=env).stdout
        path = self.path("script")
        with open(path, "w", encoding="utf-8") as file:
            file.write(script)
        run = lambda verb: common.run(["sh", path, verb], env=common.clean_env("/", DR_TEST=self.tmp))
        self.assertIn("Running", run("start").stdout)
        self.assertEqual(run("status").returncode, 0)
        self.assertIn("Running", run("restart").stdout)
        self.assertIn("Stopped", run("stop").stdout)
        self.assertEqual(run("dance").returncode, 2)

    def test_install_into_an_image(self):
        self.configured()
        root = self.path("root")
        for kind, place in (("systemd", "etc/systemd/system/daytona-runner.service"),
                            ("openrc", "etc/init.d/daytona-runner")):
            path = os.path.join(root, place)
            for _ in range(2):
                self.applet("service", "install", "--type", kind, "--root", root)
            self.assertTrue(os.path.exists(path))
            self.assertIn("Removed", self.applet("service", "uninstall", "--type", kind, "--root", root).stdout)
            self.assertFalse(os.path.exists(path))
            self.assertIn("No service", self.applet("service", "uninstall", "--type", kind, "--root", root).stdout)
            with open(path, "w", encoding="ascii") as file:
                file.write("[Unit]\n")
            for verb in ("install", "uninstall"):
                result = self.applet("service", verb, "--type", kind, "--root", root, rc=1)
                self.assertIn("not ours", result.stderr)
            with open(path, encoding="ascii") as file:
                self.assertEqual(file.read(), "[Unit]\n")

    def test_readiness_and_watchdog_reach_the_socket(self):
        self.configured()
        path = self.path("notify")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(path)
        sock.settimeout(20 * common.PATIENCE)
        process = subprocess.Popen([common.BIN, "serve"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=self.env(admin=False, NOTIFY_SOCKET=path, WATCHDOG_USEC="200000"))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        seen = b""
        while b"READY=1" not in seen or seen.count(b"WATCHDOG=1") < 3:
            seen += sock.recv(4096) + b"\n"
        process.terminate()
        while b"STOPPING=1" not in seen:
            seen += sock.recv(4096) + b"\n"
        self.assertEqual(process.wait(20 * common.PATIENCE), 0)


if __name__ == "__main__":
    common.main()
