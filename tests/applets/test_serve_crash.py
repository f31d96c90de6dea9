# SPDX-License-Identifier: Apache-2.0
"""serve and sudden ends: jobs killed, the runner killed, signals, limits, full disks, many jobs. What
the Server finally shows is true, and each claimed job ends exactly once."""
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import (BIN, PATIENCE, alive, all_pids, contents, cpu_seconds, descendants, look_at, main, read_proc, run,  # noqa: E402
                    wait_for)
from httppeer import error, hang  # noqa: E402
from servecase import ServeCase  # noqa: E402

STATE = "/runner/[^/]+/jobs/[^/]+/state"


class CrashCase(ServeCase):
    def slow_job(self):
        """A create whose clone hangs until self.git.hold is set: (workspace, job)."""
        self.git.hold.clear()
        self.git.arrived.clear()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace)
        if not self.git.arrived.wait(30 * PATIENCE):
            raise AssertionError(f"the clone did not begin: {self.srv.jobs[job]}\n{self.runners[-1].log()[-2000:]}")
        return workspace, job

    def one_end(self, job, state=None, timeout=60):
        found, text = self.srv.wait_final(job, timeout * PATIENCE)
        if state:
            self.assertEqual(found, state, text)
        self.assertEqual(self.srv.job_faults(), [])
        return text


class JobProcessTest(CrashCase):
    def test_job_process_is_killed(self):
        runner = self.runner(self.srv).start()
        for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT):
            _, job = self.slow_job()
            jobs = runner.job_pids()
            self.assertEqual(len(jobs), 1)
            tree = descendants(jobs[0])
            os.kill(jobs[0], number)
            text = self.one_end(job, "error")
            self.assertRegex(text, r"(?i)signal|kill")
            wait_for(lambda tree=tree: not [p for p in tree if alive(p)], 30 * PATIENCE, "its processes are gone too")
            self.git.hold.set()
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)

    def test_job_timeout(self):
        runner = self.runner(self.srv, runner__job_timeout=2).start()
        workspace, job = self.slow_job()
        text = self.one_end(job, "error")
        self.assertRegex(text, r"(?i)time|limit|long")
        wait_for(lambda: runner.job_pids() == [], 30 * PATIENCE, "no process is left")
        self.git.hold.set()

    def test_job_that_is_stopped_by_a_signal_is_ended_by_the_limit(self):
        """A job process that does not even react to SIGTERM."""
        runner = self.runner(self.srv, runner__job_timeout=2).start()
        _, job = self.slow_job()
        os.kill(runner.job_pids()[0], signal.SIGSTOP)
        self.one_end(job, "error")
        wait_for(lambda: runner.job_pids() == [], 40 * PATIENCE, "no process is left")
        self.git.hold.set()

    def test_limit_of_jobs_at_once(self):
        runner = self.runner(self.srv, runner__max_jobs=2).start()
        self.git.hold.clear()
        jobs = [self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url)) for _ in range(5)]
        self.srv.wait(lambda: len(self.srv.updates) >= 2, 30 * PATIENCE, "two claims")
        before = self.srv.polls
        beats = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(beats + 4, 30 * PATIENCE)
        self.assertEqual([u.state for u in self.srv.updates], ["running", "running"])
        self.assertEqual(self.srv.heartbeats[-1][1]["runningJobs"], 2)
        self.assertLess(self.srv.polls - before, 40, "a full runner must not spin on the poll")
        self.assertEqual(len(runner.job_pids()), 2)
        self.git.hold.set()
        for job in jobs:
            self.assertEqual(self.srv.wait_final(job, 120 * PATIENCE), ("success", ""))
        self.assertEqual(self.srv.job_faults(), [])

    def test_hundred_quick_jobs_every_seventh_crashes(self):
        runner = self.runner(self.srv, runner__max_jobs=4).start()
        killed, jobs = set(), []
        for index in range(100):
            if index % 7 == 6:
                _, job = self.slow_job()
                os.kill(runner.job_pids()[0], signal.SIGKILL)
                killed.add(job)
                self.srv.wait_final(job, 40 * PATIENCE)
                self.git.hold.set()
            else:
                job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
                if index % 7 == 5:      # the only process is the next one's
                    for one in [*jobs[-5:], job]:
                        self.srv.wait_final(one, 40 * PATIENCE)
                    wait_for(lambda: runner.job_pids() == [], 40 * PATIENCE, "the end of the quick ones")
            jobs.append(job)
        for job in jobs:
            state, text = self.srv.wait_final(job, 60 * PATIENCE)
            self.assertEqual(state, "error" if job in killed else "success", text)
        self.assertEqual(self.srv.job_faults(), [])
        self.assertEqual(runner.job_pids(), [])

    def test_two_hundred_jobs_at_once(self):
        runner = self.runner(self.srv, runner__max_jobs=0).start()
        with self.srv.lock:
            jobs = [self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url)) for _ in range(200)]
        for job in jobs:
            self.assertEqual(self.srv.wait_final(job, 120 * PATIENCE), ("success", ""))
        self.assertEqual(self.srv.job_faults(), [])
        self.assertEqual(len(self.srv.updates), 400)
        wait_for(lambda: runner.job_pids() == [], 10 * PATIENCE, "all processes reaped")
        self.assertEqual([p for p in all_pids() if b"Z" in read_proc(p, "stat").rpartition(b")")[2].split()[:1] and
                          read_proc(p, "stat").rpartition(b")")[2].split()[1] == str(runner.pid).encode()], [])


class RunnerKilledTest(CrashCase):
    def test_killed_in_the_middle_of_a_job(self):
        runner = self.runner(self.srv).start()
        workspace, job = self.slow_job()
        left = descendants(runner.pid)
        runner.kill()
        runner.start()
        text = self.one_end(job, "error")
        self.assertRegex(text, r"(?i)runner")
        wait_for(lambda: not [p for p in left if alive(p)], 30 * PATIENCE, "nothing of the old job works on")
        self.git.hold.set()
        self.job("create", workspace)
        self.assertEqual(self.srv.job_faults(), [])
        self.assertEqual(runner.stop(), 0)
        count = len(self.srv.updates)
        runner.start()
        self.job("delete", workspace)
        self.assertEqual([u.job_id for u in self.srv.updates[count:] if u.job_id == job and u.status == 200], [])

    def test_killed_with_the_job_finished_behind_its_back(self):
        """The work was done, only the report is missing: the truth is success."""
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        rule = self.srv.on("POST", f"/workspace/{workspace}/provider-metadata", error(503, "away"), forever=True)
        job = self.srv.add_job("workspace", "create", workspace)
        self.srv.wait(lambda: self.srv.agent_posts[workspace], 60 * PATIENCE, "agent runs")
        runner.kill()
        self.srv.drop(rule)
        runner.start()
        state, text = self.srv.wait_final(job, 60 * PATIENCE)
        self.assertEqual(self.srv.job_faults(), [])
        running = bool(self.agents(workspace))
        if state == "success":
            self.assertTrue(running, "success was said of a workspace that does not run")
        else:
            self.assertTrue(text)
        self.job("delete", workspace)

    def test_killed_in_a_delete_that_is_done_again(self):
        """Stops and deletes may be repeated, so they are: what is left of a half one is nobody's else."""
        runner = self.runner(self.srv).start()
        for action, gone in (("stop", ()), ("delete", ()), ("delete", ("checkout",)), ("force-delete", ())):
            with self.subTest(action=action, gone=gone):
                workspace = self.srv.add_workspace(self.repo_url)
                self.job("create", workspace)
                rule = self.srv.on("GET", f"/workspace/{workspace}", hang())
                job = self.srv.add_job("workspace", action, workspace)
                self.srv.wait(lambda rule=rule: rule.hits, 60 * PATIENCE, "the job has begun")
                runner.kill()
                if gone:
                    shutil.rmtree(self.workspace_dir(workspace))
                runner.start()
                self.one_end(job, "success")
                if action == "stop":
                    self.assertEqual(self.agents(workspace), [])
                    self.job("delete", workspace)
                self.assertFalse(os.path.exists(self.workspace_dir(workspace)))
                self.assertFalse(os.path.exists(os.path.join(runner.state, "logs", "workspaces", workspace)))

    def test_killed_at_many_moments(self):
        runner = self.runner(self.srv, runner__max_jobs=3).start()
        for round_ in range(15):
            with self.srv.lock:
                for _ in range(3):
                    self.srv.add_job("workspace", "create" if round_ % 3 else "delete",
                                     self.srv.add_workspace(self.repo_url))
                seen = len(self.srv.requests)
            # The moment: after the n-th request that follows.
            self.srv.wait(lambda seen=seen, n=1 + round_: len(self.srv.requests) >= seen + n, 60 * PATIENCE, "moment")
            runner.kill()
            runner.start()
        for job in list(self.srv.jobs):
            self.srv.wait_final(job, 120 * PATIENCE)
        self.assertEqual(self.srv.job_faults(), [])
        self.assertEqual(runner.stop(60), 0)

    def test_server_and_runner_both_die(self):
        runner = self.runner(self.srv).start()
        workspace, job = self.slow_job()
        runner.kill()
        self.srv.stop()
        self.git.hold.set()
        runner.start(wait=False)
        runner.wait_log(r"(?i)refused")
        runner.kill()
        self.srv.start()
        runner.start()
        self.one_end(job)
        self.job("delete", workspace)

    def test_damaged_journal_is_no_reason_not_to_start(self):
        runner = self.runner(self.srv).start()
        workspace, job = self.slow_job()
        runner.kill()
        self.git.hold.set()
        path = os.path.join(runner.state, "journal")
        with open(path, "rb") as file:
            good = file.read()
        self.assertTrue(good.strip(b"\0"))
        for index, text in enumerate((b"", b"\0" * len(good), good[:len(good) // 3], b"nonsense\n" + good,
                                      bytes(255 - b for b in good[:200]))):
            with open(path, "wb") as file:
                file.write(text)
            runner.start()
            self.assertEqual(runner.stop(), 0, index)
        with open(path, "wb") as file:
            file.write(good)
        runner.start()
        self.srv.wait_final(job, 60 * PATIENCE)
        self.assertEqual(self.srv.job_faults(), [])
        self.job("delete", workspace)

    def test_state_directory_is_lost(self):
        import shutil
        runner = self.runner(self.srv).start()
        runner.stop()
        shutil.rmtree(runner.state)
        runner.start()
        runner.stop()
        ids = {r.path.split("/")[2] for r in self.srv.seen("*", "/runner/.*")}
        self.assertEqual(ids, {self.srv.runner_id})
        os.unlink(runner.ini)
        self.srv.settled()
        count = len(self.srv.requests)
        runner.start(wait=False)
        self.assertEqual(runner.wait(), 78)
        self.assertIn("configure", runner.log())
        self.srv.settled()
        self.assertEqual(len(self.srv.requests), count)


class StopTest(CrashCase):
    def test_idle(self):
        runner = self.runner(self.srv).start()
        start = time.monotonic()
        self.assertEqual(runner.stop(), 0)
        self.assertLess(time.monotonic() - start, 2 * PATIENCE)
        for number in (signal.SIGINT,):
            runner.start()
            runner.signal(number)
            self.assertEqual(runner.wait(), 0)

    def test_drain_lets_the_job_end(self):
        runner = self.runner(self.srv, runner__drain_timeout=60).start()
        _, job = self.slow_job()
        polls = self.srv.polls
        other = self.srv.add_workspace(self.repo_url)
        runner.signal(signal.SIGTERM)
        runner.wait_log(r"(?i)stop|drain|wait")
        later = self.srv.add_job("workspace", "delete", other)
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + 2, 20 * PATIENCE)
        self.assertIsNone(runner.process.poll())
        self.assertLessEqual(self.srv.polls, polls + 1)
        self.git.hold.set()
        self.one_end(job, "success")
        self.assertEqual(runner.wait(), 0)
        self.assertEqual(self.srv.jobs[later]["state"], "pending")

    def test_drain_limit_ends_the_job(self):
        runner = self.runner(self.srv, runner__drain_timeout=1).start()
        _, job = self.slow_job()
        tree = descendants(runner.pid)
        runner.signal(signal.SIGTERM)
        self.assertEqual(runner.wait(15), 0)
        text = self.one_end(job, "error")
        self.assertRegex(text, r"(?i)runner.*stop|stop.*runner")
        self.assertEqual([p for p in tree if alive(p)], [])
        self.git.hold.set()

    def test_second_signal_hurries(self):
        runner = self.runner(self.srv, runner__drain_timeout=600).start()
        _, job = self.slow_job()
        runner.signal(signal.SIGTERM)
        runner.wait_log(r"(?i)stop|drain|wait")
        start = time.monotonic()
        runner.signal(signal.SIGTERM)
        self.assertEqual(runner.wait(20), 0)
        self.assertLess(time.monotonic() - start, 5 * PATIENCE)
        self.one_end(job, "error")
        self.git.hold.set()

    def test_stop_with_the_server_away(self):
        runner = self.runner(self.srv, runner__drain_timeout=1).start()
        _, job = self.slow_job()
        self.srv.stop()
        runner.signal(signal.SIGTERM)
        self.assertEqual(runner.wait(40), 0)
        self.git.hold.set()
        self.srv.start()
        runner.start()
        text = self.one_end(job, "error")
        self.assertRegex(text, r"(?i)stop|runner")

    def test_started_with_odd_signal_dispositions(self):
        def odd():
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGINT})
        runner = self.runner(self.srv).start(preexec_fn=odd)
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)
        for _ in range(200):
            runner.signal(signal.SIGWINCH)
        self.job("delete", workspace)
        self.assertEqual(runner.stop(), 0)

    def test_second_instance(self):
        runner = self.runner(self.srv).start()
        link = self.path("link")
        os.symlink(runner.state, link)
        for state in (runner.state, link):
            result = runner.applet("serve", "--state-dir", state)
            self.assertEqual(result.returncode, 1)
            self.assertIn(str(runner.pid), result.stderr)
        _, job = self.slow_job()
        runner.kill()
        runner.start()
        self.one_end(job)
        self.git.hold.set()


class DiskTest(CrashCase):
    def test_full_disk(self):
        """On a full disk a job is not started, its error says why, and heartbeats go on."""
        mount = self.path("small")
        os.mkdir(mount)
        if run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", mount]).returncode != 0:
            self.skipTest("cannot mount a small file system here")
        self.addCleanup(run, ["umount", "-l", mount])
        filler = os.path.join(mount, "filler")
        runner = self.runner(self.srv, runner__state_dir=os.path.join(mount, "state")).start()
        runner.state = os.path.join(mount, "state")
        with open(filler, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        text = self.one_end(job, "error")
        self.assertRegex(text, r"(?i)no space")
        count, cpu = len(self.srv.heartbeats), cpu_seconds(runner.pid)
        self.srv.wait_heartbeat(count + 3, 30 * PATIENCE)
        self.assertLess(cpu_seconds(runner.pid) - cpu, 1)
        os.unlink(filler)
        self.job("delete", self.srv.add_workspace(self.repo_url))
        self.assertEqual(runner.stop(), 0)

    def test_file_size_limit(self):
        """No byte can be written at all (RLIMIT_FSIZE 0, which must not end anything by SIGXFSZ)."""
        runner = self.runner(self.srv).start()
        runner.stop()
        log = self.path("pipe")
        os.mkfifo(log)
        reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        writer = os.open(log, os.O_WRONLY)
        process = subprocess.Popen([BIN, "serve"], env=runner.env(), stdin=subprocess.DEVNULL, stdout=writer,
                                   stderr=writer, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)))
        runner.process = process
        os.close(writer)
        count = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(count + 1, 30 * PATIENCE)
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        self.srv.wait_final(job, 60 * PATIENCE)
        self.assertEqual(self.srv.jobs[job]["state"], "error")
        self.assertEqual(self.srv.job_faults(), [])
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + 2, 30 * PATIENCE)
        self.assertEqual(runner.stop(), 0)

    def test_read_only_state(self):
        mount = self.path("ro")
        os.mkdir(mount)
        if run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", mount]).returncode != 0:
            self.skipTest("cannot mount here")
        self.addCleanup(run, ["umount", "-l", mount])
        runner = self.runner(self.srv, runner__state_dir=os.path.join(mount, "state")).start()
        self.srv.wait_heartbeat(3, 20 * PATIENCE)
        runner.wait_log(r"(?i)read-only")
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "error")
        self.assertEqual(self.srv.job_faults(), [])
        self.assertEqual(runner.stop(), 0)


class SecretTest(CrashCase):
    def test_keys_and_passwords_are_nowhere(self):
        from gitserver import GitServer
        secret_git = GitServer(self.path("git"), "bot", "gitpassword1")
        self.addCleanup(secret_git.stop)
        self.srv.git_providers["aabbccddee01"] = {"id": "aabbccddee01", "providerId": "gitea", "username": "bot",
                                                  "token": "gitpassword1", "alias": "a", "baseApiUrl": secret_git.url}
        self.srv.env = [{"key": "R_CONTAINER_REGISTRY_SERVER", "value": "reg.test"},
                        {"key": "R_CONTAINER_REGISTRY_PASSWORD", "value": "regpassword1"}]
        old = os.umask(0)
        try:
            runner = self.runner(self.srv).start()
        finally:
            os.umask(old)
        workspace = self.srv.add_workspace(secret_git.url + "/app.git", git_provider="aabbccddee01")
        workspace_key = self.srv.workspaces[workspace]["apiKey"]
        secret_git.hold.clear()
        job = self.srv.add_job("workspace", "create", workspace)
        self.assertTrue(secret_git.arrived.wait(30 * PATIENCE))
        secrets = {"runner key": self.srv.key, "workspace key": workspace_key, "git password": "gitpassword1",
                   "registry password": "regpassword1"}

        def scan(where):
            for pid in [runner.pid] + descendants(runner.pid) + self.agents(workspace):
                command, env = read_proc(pid, "cmdline").decode("latin-1"), read_proc(pid, "environ").decode("latin-1")
                for name, value in secrets.items():
                    self.assertNotIn(value, command, f"{name} in the arguments of {command!r} {where}")
                for name in ("runner key", "registry password"):
                    self.assertNotIn(secrets[name], env, f"{name} in the environment of {command!r} {where}")
        scan("while cloning")
        secret_git.hold.set()
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""), runner.log()[-2000:])
        self.srv.wait(lambda: self.srv.agent_posts[workspace], 30 * PATIENCE, "agent")
        scan("with the agent running")
        # A failing clone with credentials in its URL must not quote them.
        bad = self.srv.add_workspace(secret_git.url.replace("http://", "http://bot:urlpassword1@") + "/none.git")
        job = self.srv.add_job("workspace", "create", bad)
        self.srv.wait_final(job, 60 * PATIENCE)
        secrets["password in a URL"] = "urlpassword1"
        runner.signal(signal.SIGUSR1)
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + 2)
        self.assertEqual(runner.stop(), 0)
        for path, content in contents(runner.dir).items():
            for what, value in secrets.items():
                if path != runner.ini and what != "workspace key":
                    self.assertNotIn(value.encode(), content, f"{what} in {path}")
        for update in self.srv.updates:
            for what, value in secrets.items():
                self.assertNotIn(value, update.message or "", what)
        for frames in self.srv.log_frames.values():
            for _, _, payload in frames:
                for what, value in secrets.items():
                    self.assertNotIn(value.encode(), payload, what)
        loose = look_at(runner.state, lambda path, st: "/workspaces/" not in path and not stat.S_ISLNK(st.st_mode) and
                        st.st_mode & 0o077 and oct(st.st_mode))
        self.assertEqual({path: mode for path, mode in loose.items() if mode}, {})

    def test_key_file_that_others_can_read_is_refused(self):
        key = self.path("key")
        with open(key, "w", encoding="utf-8") as file:
            file.write(self.srv.key + "\r\n")
        os.chmod(key, 0o644)
        runner = self.runner(self.srv, server__key=None, server__key_file=key).start(wait=False)
        self.assertEqual(runner.wait(), 78)
        self.assertRegex(runner.log(), re.escape(key))
        self.assertEqual(self.srv.requests, [])
        os.chmod(key, 0o600)
        runner.start()
        self.assertEqual(self.srv.requests[0].header("Authorization"), f"Bearer {self.srv.key}")
        runner.stop()
        with open(key, "w", encoding="utf-8") as file:
            file.write(self.srv.key + "\r\nX-Evil: 1\n")
        self.srv.settled()
        count = len(self.srv.requests)
        runner.start(wait=False)
        self.assertEqual(runner.wait(), 78)
        self.srv.settled()
        self.assertEqual(len(self.srv.requests), count)

    def test_plain_http_to_another_host_is_refused(self):
        runner = self.runner(self.srv, server__url="http://daytona.test:3986").start(wait=False)
        self.assertEqual(runner.wait(), 78)
        self.assertIn("allow_http", runner.log())


if __name__ == "__main__":
    main()
