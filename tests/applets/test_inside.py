# SPDX-License-Identifier: Apache-2.0
"""Programs run in native workspaces by who is on their host, and the list of what is there."""
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(1, os.path.join(HERE, ".."))
import common  # noqa: E402
import drivecase  # noqa: E402
from gitserver import make_repo  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402


class Inside(drivecase.DriveCase):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("srv"))
        os.makedirs(self.path("home"))
        self.bare, _ = make_repo(self.path("srv"))
        self.fake = self.server()
        self.id = self.fake.add_workspace(self.bare, options="{}", env={"FLAVOUR": "sour"})
        self.doc = self.document(self.fake, self.id)
        self.drive(self.doc, "create", DRIVE_API_URL=self.fake.url).ok(self)

    def start(self):
        self.drive(self.doc, "start", DRIVE_API_URL=self.fake.url).ok(self)
        self.addCleanup(lambda: self.drive(self.doc, "stop"))

    def inside(self, command, data=None, **extra):
        result = subprocess.run(self.command(self.doc, "exec=" + command), env=self.env(**extra), input=data,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=100 * common.PATIENCE, check=False)
        text = result.stdout.decode(errors="replace")
        self.no_sanitizer(text + result.stderr.decode(errors="replace"))
        said, _, last = text.rstrip("\n").rpartition("= exec: ")
        return said, result.stderr.decode(errors="replace"), last

    def test_streams_status_and_place(self):
        self.start()
        self.assertEqual(self.inside("echo out; echo err >&2; exit 7"), ("out\n", "err\n", "status 7"))
        self.assertEqual(self.inside("kill -9 $$")[2], "status 137")
        self.assertEqual(self.inside("cat; echo done", b"x" * 300000 + b"\n")[0], "x" * 300000 + "\ndone\n")
        where = self.root(self.id, "app")
        self.assertEqual(self.inside("pwd")[0], where + "\n")
        self.assertEqual(self.inside("pwd", DRIVE_CWD=".git")[0], where + "/.git\n")
        self.assertEqual(self.inside("pwd", DRIVE_CWD="/")[0], "/\n")
        self.assertIn("error", self.inside("pwd", DRIVE_CWD="/nowhere")[2])
        said = self.inside("env")[0]
        self.assertIn("FLAVOUR=sour\n", said)
        self.assertNotIn("DAYTONA_AGENT_", said)
        self.assertIn(f"DAYTONA_WORKSPACE_ROOT={self.root(self.id)}\n", said)
        self.assertRegex(self.inside("true", DRIVE_USER="nobody")[2], "no other users")

    def test_terminal(self):
        self.start()
        self.assertEqual(self.inside("test -t 0 && test -t 2 || echo none")[0], "none\n")
        said, _, last = self.inside("test -t 0 && test -t 1 && stty size; read x; echo got:$x; exit 3", b"hello\n",
                                    DRIVE_TTY="1")
        self.assertIn("33 101\r\n", said)
        self.assertIn("got:hello\r\n", said)
        self.assertEqual(last, "status 3")
        # An interrupt from the terminal, and the end of input.
        process = subprocess.Popen(self.command(self.doc, "exec=echo ready; exec sleep 60"), env=self.env(DRIVE_TTY="1"),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\r\n")
        self.assertIn(b"status 130", process.communicate(b"\x03", 100)[0])
        self.assertIn("over", self.inside("cat; echo over", b"", DRIVE_TTY="1")[0])

    def test_our_terminal_is_not_handed_over(self):
        """Without a terminal of its own a program has none, though who asks sits at one."""
        self.start()
        ours, theirs = pty.openpty()
        process = subprocess.Popen(self.command(self.doc, "exec=test -t 0 || test -t 1 || test -t 2 || echo none; cat"),
                                   env=self.env(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        said = b""
        os.write(ours, b"line\n\x04")
        while b"status" not in said:
            self.assertTrue(select.select([ours], [], [], 60 * common.PATIENCE)[0], said)
            said += os.read(ours, 4096)
        self.assertIn(b"none\r\n", said)
        self.assertEqual(said.count(b"line"), 2)  # our echo, and cat's
        os.close(ours)

    def test_it_belongs_to_the_workspace(self):
        self.start()
        process = self.drive_background(self.doc, "exec=echo ready; exec sleep 1000")
        common.wait_for(lambda: any(b"sleep" in common.read_proc(pid, "cmdline")
                                    for pid in common.pids_with(self.root(self.id))), 20 * common.PATIENCE, "sleep")
        self.drive(self.doc, "stop").ok(self)
        self.assertIn("status", process.finish()["exec"])
        self.assertEqual(common.pids_with(self.root(self.id)), [])
        self.assertRegex(self.inside("true")[2], "does not run")

    def test_use(self):
        self.start()
        isolation, memory, cpu, disk, processes = self.drive(self.doc, "usage").ok(self)["usage"].split()
        self.assertEqual(isolation, "none")
        self.assertGreater(int(memory), 100000)
        self.assertGreaterEqual(int(cpu), 0)
        self.assertGreater(int(disk), 10000)
        self.assertGreaterEqual(int(processes), 1)


class Boxed(drivecase.DriveCase):
    """The same in namespaces of the workspace's own."""

    def test_inside(self):
        os.makedirs(self.path("srv"))
        os.makedirs(self.path("home"))
        bare, _ = make_repo(self.path("srv"))
        fake = self.server()
        workspace = fake.add_workspace(bare, options=json.dumps({"Root": "/", "Network": "host"}), env={"FLAVOUR": "sour"})
        doc = self.document(fake, workspace)
        self.addCleanup(lambda: self.drive(doc, "stop", "delete"))
        for action in ("create", "start"):
            result = self.drive(doc, action, DRIVE_API_URL=fake.url)
            if result.status and "isolation" in result[action]:
                self.skipTest(result[action])
            result.ok(self)
        result = self.drive(doc, "exec=pwd; id -u; ls /proc | grep -c '^[0-9]'; env; exit 5").ok(self)
        self.assertEqual(result["exec"], "status 5")
        self.assertRegex(result.output, r"^/workspaces/app\n0\n[0-9]\n")
        self.assertIn("DAYTONA_WORKSPACE_ROOT=/workspaces/app\n", result.output)
        self.assertIn("PATH=", result.output)
        self.assertNotIn("DAYTONA_AGENT_", result.output)
        result = self.drive(doc, "exec=stty size; cat < /dev/tty & wait; echo over", DRIVE_TTY="1").ok(self)
        self.assertIn("33 101", result.output)
        # Programs look for their terminal by its name, and it is theirs.
        result = self.drive(doc, "exec=tty; test -O \"$(tty)\" && echo own", DRIVE_TTY="1").ok(self)
        self.assertRegex(result.output, r"/dev/pts/\d+\s+own\s")
        result = self.drive(doc, "exec=pwd", DRIVE_CWD="/tmp").ok(self)
        self.assertRegex(result.output, r"^/tmp\n")
        self.assertRegex(self.drive(doc, "exec=pwd", DRIVE_USER="nosuchuser")["exec"], "nosuchuser")
        self.assertRegex(self.drive(doc, "usage").ok(self)["usage"], r"^(best-effort|strict) [0-9]+ [0-9]+ [0-9]+ [1-9]")


class Workspaces(common.Case):
    """What the host knows, without the Server."""

    def listed(self, runner, *args):
        result = subprocess.run([common.BIN, "workspaces", *args], env=runner.env(), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=60 * common.PATIENCE, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout.decode()

    def test_list(self):
        server = self.server()
        bare, _ = make_repo(self.path("."))
        runner = self.runner(server)
        self.assertEqual(self.listed(runner), "No workspaces on this host.\n")
        self.assertEqual(json.loads(self.listed(runner, "-f", "json")), [])
        runner.start()
        options = json.dumps({"Remote Password": "hunter2", "Grace Seconds": "2"})
        workspace = server.add_workspace(bare, options=options)
        self.assertEqual(server.wait_final(server.add_job("workspace", "create", workspace))[0], "success")
        self.addCleanup(lambda: server.wait_final(server.add_job("workspace", "delete", workspace)))
        row, = json.loads(self.listed(runner, "-f", "json"))
        self.assertEqual((row["id"], row["name"], row["state"], row["provider"], row["isolation"]),
                         (workspace, server.workspaces[workspace]["name"], "running", "native-provider", "none"))
        self.assertGreater(row["memoryBytes"], 0)
        self.assertGreater(row["diskBytes"], 0)
        head, row = self.listed(runner).splitlines()
        self.assertEqual(head.split(), ["NAME", "ID", "STATE", "PROVIDER", "ISOLATION", "CPU", "MEMORY", "DISK"])
        self.assertEqual(row.split()[1:5], [workspace, "running", "native-provider", "none"])
        about = os.path.join(runner.state, "logs", "workspaces", workspace, "about")
        self.assertEqual(os.stat(about).st_mode & 0o777, 0o600)
        with open(about, encoding="utf-8") as file:
            record = file.read()
        self.assertNotIn("hunter2", record)
        self.assertNotIn(server.workspaces[workspace]["apiKey"], record)
        self.assertIn("Grace Seconds", record)
        self.assertEqual(server.wait_final(server.add_job("workspace", "stop", workspace))[0], "success")
        self.assertEqual(json.loads(self.listed(runner, "-f", "json"))[0]["state"], "stopped")
        # A record that somebody damaged is left out.
        with open(about, "a", encoding="utf-8") as file:
            file.write("}")
        self.assertEqual(json.loads(self.listed(runner, "-f", "json")), [])
        self.assertEqual(server.wait_final(server.add_job("workspace", "delete", workspace))[0], "success")
        self.assertFalse(os.path.exists(about))


class WithoutTheServer(common.Case):
    """exec and shell reach what runs here, though the Server is away."""

    def signalled(self, runner, name):
        """A program may end as it likes when it is told to."""
        for sent in (signal.SIGTERM, signal.SIGINT):
            process = subprocess.Popen([common.BIN, "exec", name, "--", "sh", "-c", "trap 'echo saved; exit 9' INT TERM\n"
                                        "echo ready; while :; do sleep 0.1; done"], env=runner.env(), stdout=subprocess.PIPE)
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.assertEqual(process.stdout.readline(), b"ready\n")
            process.send_signal(sent)
            self.assertEqual(process.stdout.read(), b"saved\n")
            self.assertEqual(process.wait(60 * common.PATIENCE), 9)

    def left(self, runner, name):
        """What does not end by itself: with a terminal a signal means who asked, without one so does its third."""
        ignores = "trap '' HUP TERM; echo ready; while :; do sleep 0.1; done"
        for options, least in (["-t"], 1), ([], 3):
            with self.subTest(options=options):
                t = Terminal(self, [common.BIN, "exec", *options, name, "--", "sh", "-c", ignores], runner.env())
                t.expect("ready", 60 * common.PATIENCE)
                sent = 0
                while sent < 100 and os.waitid(os.P_PID, t.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    os.kill(t.pid, signal.SIGTERM)
                    sent += 1
                    time.sleep(0.3)     # two that wait at the same time are one
                self.assertGreaterEqual(sent, least)
                self.assertEqual(t.wait(60 * common.PATIENCE), 128 + signal.SIGTERM)
        # These are no wish to end.
        process = subprocess.Popen([common.BIN, "exec", name, "--", "sh", "-c", "trap 'n=$((n + 1)); echo $n' USR1; n=0; "
                                    "echo 0; while [ $n -lt 5 ]; do sleep 0.1; done; exit 5"], env=runner.env(),
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for i in range(5):
            self.assertEqual(process.stdout.readline(), b"%d\n" % i)
            process.send_signal(signal.SIGUSR1)
        self.assertEqual(process.wait(60 * common.PATIENCE), 5)

    def no_terminal(self, runner, name):
        """Of who asks, /dev/tty is not the program's: it could take what is typed there for as long as it lives."""
        t = Terminal(self, [common.BIN, "exec", name, "--", "sh", "-c",
                            "(exec 3</dev/tty) 2>/dev/null && echo got one || echo got none"], runner.env())
        t.expect("got (one|none)", 60 * common.PATIENCE)
        self.assertEqual(t.wait(60 * common.PATIENCE), 0)
        self.assertIn("got none", t.text())

    def test_signals_in_namespaces(self):
        server = self.server()
        bare, _ = make_repo(self.path("."))
        runner = self.runner(server)
        runner.start()
        workspace = server.add_workspace(bare, options=json.dumps({"Root": "/", "Network": "host"}))
        status, message = server.wait_final(server.add_job("workspace", "create", workspace))[:2]
        if status != "success" and "isolation" in str(message):
            self.skipTest(message)
        self.assertEqual(status, "success")
        self.addCleanup(lambda: server.wait_final(server.add_job("workspace", "delete", workspace)))
        for check in (self.signalled, self.left, self.no_terminal):
            check(runner, server.workspaces[workspace]["name"])

    def test_exec_and_shell(self):
        server = self.server()
        bare, _ = make_repo(self.path("."))
        runner = self.runner(server)
        runner.start()
        workspace = server.add_workspace(bare, options="{}", env={"FLAVOUR": "sour"})
        self.assertEqual(server.wait_final(server.add_job("workspace", "create", workspace))[0], "success")
        root = os.path.join(runner.state, "workspaces", workspace)

        def end():
            for pid in common.pids_with(root):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

        self.addCleanup(end)
        server.stop()

        def call(*args, data=b"unread"):
            result = subprocess.run([common.BIN, *args], env=runner.env(ONE="1"), input=data, stdout=subprocess.PIPE,
                                    stderr=subprocess.PIPE, timeout=60 * common.PATIENCE, check=False)
            return result.returncode, result.stdout.decode(), result.stderr.decode()

        name = server.workspaces[workspace]["name"]
        for which in (name, workspace):
            self.assertEqual(call("exec", which, "--", "sh", "-c", "echo $FLAVOUR; cat; exit 9"), (9, "sour\n", ""))
        self.assertEqual(call("exec", name, "-i", "--", "cat", data=b"read")[:2], (0, "read"))
        self.assertEqual(call("exec", name, "-e", "ONE", "-e", "TWO=2", "--", "sh", "-c", "echo $ONE$TWO")[1], "12\n")
        self.assertEqual(call("exec", name, "-w", ".git", "--", "pwd")[1], f"{root}/app/.git\n")
        status, _, said = call("exec", name, "--", "no-such-program")
        self.assertEqual(status, 127)
        self.assertIn("no-such-program", said)
        self.assertEqual(call("exec", name, "-u", "nobody", "--", "true")[0], 255)
        self.assertEqual(call("exec", "another", "-u", "nobody", "--", "true")[0], 2)
        self.assertEqual(call("exec", "another", "--", "true")[0], 255)
        self.assertEqual(call("exec", name, "--api-url", server.url, "--api-key", "k", "--", "true")[0], 255)

        for check in (self.signalled, self.left, self.no_terminal):
            check(runner, name)

        ours, theirs = pty.openpty()
        process = subprocess.Popen([common.BIN, "shell", name], env=runner.env(TERM="dumb"), stdin=theirs, stdout=theirs,
                                   stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.write(ours, b"tty; echo in:$FLAVOUR; exit 6\n")
        said = b""
        while b"in:sour" not in said:
            self.assertTrue(select.select([ours], [], [], 60 * common.PATIENCE)[0], said)
            said += os.read(ours, 4096)
        self.assertIn(b"/dev/pts/", said)
        self.assertEqual(process.wait(60 * common.PATIENCE), 6)
        os.close(ours)


if __name__ == "__main__":
    drivecase.main()
