# SPDX-License-Identifier: Apache-2.0
"""The operator's commands on the runner's host: cancel, pause, resume, status by the control socket, and who may give them."""
import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, Case, alive, children, descendants, free_port, main, need_unshare, read_proc, wait_for  # noqa: E402
from httppeer import normal  # noqa: E402
from servecase import STATE, ServeCase  # noqa: E402


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20 * PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class ControlCase(ServeCase):
    def start(self, **settings):
        runner = self.runner(self.srv, **settings)
        runner.state = settings.get("runner__state_dir", runner.state)
        self.control = os.path.join(runner.state, "control")
        runner.start()
        return runner

    def slow_job(self):
        self.git.hold.clear()
        self.git.arrived.clear()
        self.addCleanup(self.git.hold.set)
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        self.assertTrue(self.git.arrived.wait(30 * PATIENCE), self.runners[-1].log()[-2000:])
        return job

    def said(self, runner, *args, rc=0):
        done = runner.applet(*args)
        self.assertEqual(done.returncode, rc, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def ask(self, method, path, body=None):
        conn = Unix(self.control)
        try:
            conn.request(method, path, body)
            answer = conn.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            conn.close()

    def quick(self):
        return self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))


class CancelTest(ControlCase):
    def test_a_running_job_ends_with_all_its_processes(self):
        runner = self.start()
        job = self.slow_job()
        tree = descendants(runner.job_pids()[0])
        self.assertTrue(tree)
        self.assertIn("canceled by ", self.said(runner, "cancel", job))
        state, text = self.srv.wait_final(job, 30 * PATIENCE)
        self.assertEqual(state, "error")
        self.assertRegex(text, r"^canceled by \S+( \d+)? on the runner's host")
        wait_for(lambda: not [p for p in tree if alive(p)], 20 * PATIENCE, "its processes are gone")
        self.assertEqual(self.srv.job_faults(), [])
        self.srv.wait_final(self.quick(), 30 * PATIENCE)
        wait_for(lambda: not runner.status()["jobs"], 20 * PATIENCE, "it is reported")
        self.assertIn("over already", self.said(runner, "cancel", job, rc=1))

    def test_one_that_does_not_end_is_killed(self):
        runner = self.start()
        job = self.slow_job()
        worker = runner.job_pids()[0]
        os.kill(worker, 19)
        self.said(runner, "cancel", "-t", "0", job)
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "error")
        self.assertFalse(alive(worker))

    def test_while_its_claim_is_under_way(self):
        runner = self.start()
        self.srv.on("POST", STATE, normal(delay=2))
        job = self.quick()
        self.srv.wait(lambda: self.srv.seen("POST", STATE), 20 * PATIENCE, "the claim")
        self.said(runner, "cancel", "--timeout", "0", job)
        state, text = self.srv.wait_final(job, 60 * PATIENCE)
        self.assertEqual(state, "error")
        self.assertTrue(text.startswith("canceled by "), text)
        self.assertEqual(self.srv.job_faults(), [])

    def test_what_is_not_there(self):
        runner = self.start()
        self.assertIn("no such job", self.said(runner, "cancel", "abcdef012345", rc=1))
        self.assertIn("no job's id", self.said(runner, "cancel", "../status", rc=2))
        self.assertEqual(runner.stop(), 0)
        for words in (("cancel", "abcdef012345"), ("pause",), ("resume",)):
            self.assertIn("no runner runs with state directory", self.said(runner, *words, rc=1))
        self.assertFalse(os.path.exists(self.control))


class PauseTest(ControlCase):
    def readyz(self, runner):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{runner.port}/readyz", timeout=10 * PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def test_running_jobs_end_and_none_are_taken_also_after_a_restart(self):
        runner = self.start()
        job = self.slow_job()
        self.assertIn("to their end: 1", self.said(runner, "pause", "--note", "new disk"))
        later = self.quick()
        polls = self.srv.polls
        self.git.hold.set()
        self.assertEqual(self.srv.wait_final(job, 40 * PATIENCE), ("success", ""))
        beats = len(self.srv.seen("POST", "/runner/[^/]+/metadata"))
        self.srv.wait(lambda: len(self.srv.seen("POST", "/runner/[^/]+/metadata")) > beats + 1, 30 * PATIENCE, "heartbeats")
        self.assertEqual(self.srv.jobs[later]["state"], "pending")
        self.assertLessEqual(self.srv.polls, polls + 1, "one may have been on its way")
        said = self.said(runner, "status")
        self.assertEqual(said.splitlines()[0], "Running, but paused: no jobs are taken")
        self.assertIn("new disk", said)
        self.assertIn("Next:           daytona-runner resume", said)
        self.assertEqual(json.loads(self.said(runner, "status", "-f", "json"))["paused"]["note"], "new disk")
        runner.kill()
        runner.start()
        runner.wait_log("paused, new disk")
        self.srv.wait(lambda: len(self.srv.seen("POST", "/runner/[^/]+/metadata")) > beats + 4, 30 * PATIENCE, "heartbeats")
        self.assertEqual(self.srv.jobs[later]["state"], "pending")
        self.assertEqual(self.said(runner, "resume").strip(), "Resumed")
        self.assertEqual(self.srv.wait_final(later, 40 * PATIENCE), ("success", ""))
        self.assertIn("not paused", self.said(runner, "resume"))
        self.assertEqual(runner.stop(), 0)
        runner.start()
        self.assertEqual(self.srv.wait_final(self.quick(), 40 * PATIENCE), ("success", ""))

    def test_it_ends_by_itself(self):
        runner = self.start()
        self.said(runner, "pause", "--for", "1")
        self.assertEqual(self.srv.wait_final(self.quick(), 40 * PATIENCE), ("success", ""))
        runner.wait_log("its time is over")
        self.assertFalse(os.path.exists(os.path.join(runner.state, "paused.json")))

    def test_readiness(self):
        port = free_port()
        runner = self.start(runner__port=port)
        runner.port = port
        wait_for(lambda: self.readyz(runner)[0] == 200, 30 * PATIENCE, "ready")
        self.said(runner, "pause")
        self.assertEqual(self.readyz(runner), (503, b"paused\n"))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10 * PATIENCE) as answer:
            self.assertIn(b"\ndaytona_runner_paused 1\n", answer.read())
        self.said(runner, "resume")
        wait_for(lambda: self.readyz(runner)[0] == 200, 30 * PATIENCE, "ready again")

    def test_a_damaged_record_is_a_pause(self):
        runner = self.start()
        self.assertEqual(runner.stop(), 0)
        for content in (b"", b"{", b"\0" * 100, b"x" * 10000, b"[]"):
            with open(os.path.join(runner.state, "paused.json"), "wb") as file:
                file.write(content)
            runner.start()
            self.assertTrue(runner.status()["paused"], content)
            self.said(runner, "resume")
            self.assertEqual(runner.stop(), 0)

    def test_wrong_words(self):
        runner = self.start()
        for words in (("--for", "soon"), ("--for", "0"), ("--for", "-1"), ("--note", "x" * 300), ("now",)):
            self.said(runner, "pause", *words, rc=2)
        self.assertIsNone(runner.status()["paused"])


class SocketTest(ControlCase):
    def test_its_mode_and_what_it_answers(self):
        runner = self.start()
        info = os.stat(self.control)
        self.assertTrue(stat.S_ISSOCK(info.st_mode))
        self.assertEqual(stat.S_IMODE(info.st_mode), 0o600)
        status, said = self.ask("GET", "/status")
        self.assertEqual((status, said["pid"]), (200, runner.pid))
        for method, path, body, want in (
                ("GET", "/", None, 404), ("GET", "/pause", None, 404), ("POST", "/status", None, 404),
                ("POST", "/pause", "[", 400), ("POST", "/pause", "[]", 400), ("POST", "/pause", '{"for_ms":-1}', 400),
                ("POST", "/pause", '{"for_ms":1e99}', 400), ("POST", "/pause", '{"for_ms":99999999999999999}', 400),
                ("POST", "/pause", "x" * 5000, 413), ("POST", "/jobs//cancel", None, 404),
                ("POST", "/jobs/a/b/cancel", None, 404), ("POST", "/jobs/..%2f/cancel", None, 404),
                ("POST", "/jobs/abc/cancel", None, 404), ("GET", "/jobs/abc", None, 404), ("DELETE", "/jobs/abc", None, 404)):
            conn = Unix(self.control)
            conn.request(method, path, body)
            self.assertEqual(conn.getresponse().status, want, (method, path, body))
            conn.close()
        self.assertIsNone(self.ask("GET", "/status")[1]["paused"])

    def test_a_note_cannot_write_other_lines(self):
        runner = self.start()
        self.said(runner, "pause", "--note", "a\nPaused: \x1b[31mred")
        said = self.said(runner, "status")
        self.assertNotIn("\x1b", said)
        self.assertEqual(len(re.findall("(?m)^Paused:", said)), 1)
        self.assertNotRegex(runner.log(), r"(?m)^Paused:")

    def test_mute_callers_hold_up_nobody(self):
        self.start()
        callers = []
        for _ in range(20):
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            try:
                caller.connect(self.control)
            except BlockingIOError:
                pass
            callers.append(caller)
        self.assertEqual(self.ask("GET", "/status")[0], 200)
        for caller in callers:
            caller.close()

    def test_processes_of_jobs_command_nothing(self):
        runner = self.start()
        command = [BIN, "pause", "--state-dir", runner.state, "-C", runner.dir]
        try:
            made = subprocess.run(["setpriv", "--no-new-privs", *command], env=runner.env(), capture_output=True,
                                  text=True, timeout=60 * PATIENCE, check=False)
        except FileNotFoundError:
            raise unittest.SkipTest("no setpriv") from None
        if "NoNewPrivs:\t1" in open("/proc/self/status", encoding="ascii").read():
            raise unittest.SkipTest("all processes here have no_new_privs")
        self.assertEqual(made.returncode, 1, made.stdout)
        self.assertIn("may not gain privileges", made.stderr)
        self.assertIsNone(runner.status()["paused"])

    def test_a_pid_that_is_anothers_by_now(self):
        """Who connected, handed the connection on and ended: his pid may be one that may gain privileges."""
        self.start()
        last = "/proc/sys/kernel/ns_last_pid"
        try:
            with open(last, "r+", encoding="ascii") as file:
                file.write(file.read())
        except OSError:
            raise unittest.SkipTest("pids cannot be chosen here") from None
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:  # Linux 6.5: a peer is more than a number
            sock.connect(self.control)
            try:
                os.close(sock.getsockopt(socket.SOL_SOCKET, 77))
                known = True
            except OSError:
                known = False
        for _ in range(50):
            ours, theirs = socket.socketpair()
            child = os.fork()
            if child == 0:
                conn = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                conn.connect(self.control)
                # An answer says that the runner has taken the connection.
                conn.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
                socket.send_fds(theirs, [b"x"], [conn.fileno()])
                os.kill(os.getpid(), signal.SIGKILL)
            with ours, theirs:
                ours.settimeout(20 * PATIENCE)
                conn = socket.socket(fileno=socket.recv_fds(ours, 1, 1)[1][0])
            with conn:
                os.waitpid(child, 0)
                conn.settimeout(20 * PATIENCE)
                conn.recv(65536)
                if not known:  # then it is told from another by when it began, in hundredths of a second
                    time.sleep(0.05)
                with open(last, "w", encoding="ascii") as file:
                    file.write(str(child - 1))
                with subprocess.Popen(["sleep", "1000"]) as other:
                    try:
                        if other.pid != child:
                            continue
                        conn.sendall(b"POST /resume HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
                        self.assertIn(b" 403 ", conn.recv(65536))
                        return
                    finally:
                        other.kill()
        raise unittest.SkipTest("others took the pid each time")

    def test_a_state_directory_with_a_long_name(self):
        runner = self.start(runner__state_dir=self.path("long" * 20, "long" * 20))
        self.said(runner, "pause")
        self.said(runner, "resume")

    def test_a_socket_that_a_crash_left(self):
        runner = self.start()
        runner.kill()
        self.assertTrue(os.path.exists(self.control))
        self.assertIn("no runner runs", self.said(runner, "pause", rc=1))
        runner.start()
        self.said(runner, "pause")


class OldNameTest(Case):
    def test_first_process_of_a_container_of_an_earlier_version(self):
        """Such a container is started with the words that it was made with, and with this program."""
        need_unshare(self, "-Urpf", "--mount-proc")
        started = subprocess.Popen(["unshare", "-Urpf", "--mount-proc", "--kill-child", BIN, "pause"],
                                   stdin=subprocess.DEVNULL)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)

        def ended():    # a signal that comes before process 1 waits for it is lost
            for pid in children(started.pid):
                if b"pause" in read_proc(pid, "cmdline"):
                    os.kill(pid, signal.SIGTERM)
            return started.poll() is not None

        wait_for(ended, 30 * PATIENCE, "its end")
        self.assertEqual(started.returncode, 0)


if __name__ == "__main__":
    main()
