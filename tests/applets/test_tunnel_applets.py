#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exec, shell, tunnel, forward and cp: a person's ways into a workspace, through the embedded Server."""
import filecmp
import fcntl
import io
import os
import pty
import signal
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import termios
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from lib import common, ptydrive, serverproc, tunnelcase  # noqa: E402
from lib.tunnelcase import echo  # noqa: E402


class Applets(tunnelcase.TunnelCase):
    def setUp(self):
        super().setUp()
        (self.key,) = self.make("w1")
        self.agent("w1", self.key)
        self.app = os.path.join(self.tmp, "home-w1", "app")

    def env(self, **more):
        return common.clean_env(self.tmp, **{"DAYTONA_API_URL": self.server.url, "DAYTONA_API_KEY": self.server.key, **more})

    def go(self, *args, stdin=None, **more):
        return subprocess.run([common.BIN, *args], env=self.env(**more), input=stdin, stdin=None if stdin is not None else
                              subprocess.DEVNULL, capture_output=True, timeout=60 * common.PATIENCE, cwd=self.tmp)

    def said(self, *args, status=0, **more):
        result = self.go(*args, **more)
        self.assertEqual(result.returncode, status, (result.stdout[-500:], result.stderr))
        self.assertIsNone(common.SANITIZER.search(result.stderr.decode(errors="replace")), result.stderr)
        return result.stdout.decode(errors="replace") if not status else result.stderr.decode()


class Exec(Applets):
    def test_output_status_and_surroundings(self):
        result = self.go("exec", "name-w1", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((result.returncode, result.stdout, result.stderr), (3, b"out\n", b"err\n"))
        self.assertEqual(self.said("exec", "w1", "pwd"), os.path.realpath(self.app) + "\n")
        self.assertEqual(self.said("exec", "w1", "-w", "/", "-e", "A=b c", "-e", "MINE", "-e", "NOT_SET", "--", "sh", "-c",
                                   'echo "$(pwd) $A $MINE ${NOT_SET-unset}"', MINE="own"), "/ b c own unset\n")
        self.assertEqual(self.said("exec", "w1", "--", "printf", "%s|", "", "a b", "-x", "ü", "'\"\n"), "|a b|-x|ü|'\"\n|")
        self.assertEqual(self.go("exec", "w1", "--", "sh", "-c", "kill -TERM $$").returncode, 128 + 15)

    def test_input(self):
        blob = os.urandom(3 << 20)
        result = self.go("exec", "w1", "-i", "--", "cat", stdin=blob)
        self.assertEqual((result.returncode, result.stdout == blob), (0, True))
        self.assertEqual(self.go("exec", "w1", "--", "cat", stdin=b"not asked for").stdout, b"")
        self.assertEqual(self.go("exec", "w1", "-i", "--", "head", "-c", "3", stdin=blob).stdout, blob[:3])
        # Not a terminal: -t alone changes nothing.
        self.assertEqual(self.go("exec", "w1", "-it", "--", "sh", "-c", "test -t 0 || cat", stdin=b"piped").stdout, b"piped")
        self.assertEqual(self.go("shell", "w1", stdin=b"echo $((6 * 7)); exit 5\n").stdout, b"42\n")

    def test_what_does_not_work_says_why(self):
        self.assertIn("no such program", self.said("exec", "w1", "--", "no-such-program", status=127))
        self.assertIn("workspace nowhere not found", self.said("exec", "nowhere", "--", "true", status=255))
        self.assertIn("refuses", self.said("exec", "w1", "--", "true", status=255, DAYTONA_API_KEY="x" * 48))
        self.said("exec", "w1", status=2)
        self.said("exec", status=2)
        self.server.ok("POST", "/workspace/w1/stop")
        serverproc.finish_job(self.server, self.runner)
        self.assertIn("the workspace is stopped; start it first", self.said("exec", "w1", "--", "true", status=255))

    def test_signals_are_the_programs(self):
        process = subprocess.Popen(
            [common.BIN, "exec", "w1", "--", "sh", "-c",
             "trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.05; done"],
            env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual((process.stdout.read(), process.wait(20 * common.PATIENCE)), (b"got it\n", 9))
        process.stdout.close()

    def test_nobody_reads_any_more(self):
        process = subprocess.Popen([common.BIN, "exec", "w1", "--", "yes"], env=self.env(), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        self.assertEqual(process.wait(20 * common.PATIENCE), 128 + 13)
        self.wait_nothing_left()

    def test_output_that_nobody_takes_holds_nobody(self):
        """The program has ended, its output waits for a reader who has stopped: a signal still ends it."""
        process = subprocess.Popen([common.BIN, "exec", "w1", "--", "head", "-c", "200000", "/dev/zero"], env=self.env(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(len(process.stdout.read(1)), 1)
        common.wait_for(lambda: 'state="open"} 0' in self.server.ok("GET", "/metrics").body.decode(), 20 * common.PATIENCE,
                        "the stream's end")
        self.assertIsNone(process.poll())
        while process.poll() is None:  # before it was told of the program's end, the signal is the program's
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(2)
            except subprocess.TimeoutExpired:
                pass
        self.assertEqual(process.returncode, 0, "the program's own status")
        process.stdout.close()

    def test_killed(self):
        process = subprocess.Popen([common.BIN, "exec", "w1", "--", "sh", "-c", "echo ready; exec sleep 1000"],
                                   env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        process.stdout.readline()
        process.kill()
        process.wait()
        process.stdout.close()
        self.wait_nothing_left()

    def test_a_server_that_is_killed(self):
        process = subprocess.Popen([common.BIN, "exec", "w1", "--", "sh", "-c", "echo ready; exec sleep 1000"],
                                   env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        self.server.process.kill()
        _, errors = process.communicate(timeout=20 * common.PATIENCE)
        self.assertEqual(process.returncode, 255)
        self.assertIn(b"broke off", errors)
        self.wait_nothing_left()

    def test_a_terminal(self):
        shell = ptydrive.Terminal(self, [common.BIN, "shell", "w1"],
                                  self.env(TERM="vt100", PS1="> "), columns=101)
        shell.send("stty size; echo $TERM; tty; echo end-\"\"1\n")
        shell.expect("24 101\n")
        shell.expect("vt100\n")
        shell.expect("/dev/pts/")
        shell.expect("end-1")
        fcntl.ioctl(shell.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
        shell.send("until [ \"$(stty size)\" = '33 77' ]; do sleep 0.05; done; echo end-\"\"2\n")
        shell.expect("end-2")
        shell.send("sleep 1000\n")
        common.wait_for(lambda: any(common.read_proc(p, "cmdline") == b"sleep\x001000\x00" for p in self.leftovers()), 20 * common.PATIENCE, "sleep")
        shell.send("\x03")
        shell.send("exit 6\n")
        common.wait_for(lambda: not shell._read(1), 20 * common.PATIENCE, "its end")
        _, status = os.waitpid(shell.pid, 0)
        shell.status = os.waitstatus_to_exitcode(status)
        self.assertEqual(shell.status, 6)

    def test_the_terminal_is_given_back(self):
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        flags = fcntl.fcntl(slave, fcntl.F_GETFL)
        process = subprocess.Popen([common.BIN, "exec", "w1", "-t", "--", "sh", "-c", "echo ready; exec sleep 1000"],
                                   env=self.env(), stdin=slave, stdout=slave, start_new_session=True)
        got = b""
        while b"ready" not in got:
            got += os.read(master, 1000)
        self.assertNotEqual(termios.tcgetattr(slave), before)
        process.terminate()
        self.assertEqual(process.wait(20 * common.PATIENCE), 128 + 15)
        self.assertEqual(termios.tcgetattr(slave), before)
        self.assertEqual(fcntl.fcntl(slave, fcntl.F_GETFL), flags)
        os.close(master)
        os.close(slave)
        self.wait_nothing_left()


class Hostile(Applets):
    """A workspace whose agent is whoever took over: what it may do to the client."""

    def setUp(self):
        tunnelcase.TunnelCase.setUp(self)
        (self.key,) = self.make("w1")

    def against(self, args, *frames):
        """The applet's result, when an agent answers with these binary messages."""
        process = subprocess.Popen([common.BIN, *args], env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, cwd=self.tmp)
        (one,) = self.server.call("GET", "/workspace/w1/tunnel/poll", key=self.key).json
        agent = serverproc.WebSocket(self.server, f"/workspace/w1/tunnel/{one['id']}", self.key)
        try:
            for f in frames:
                agent.send(f, opcode=2)
            agent.close()
        except OSError:
            pass
        out, errors = process.communicate(timeout=30 * common.PATIENCE)
        agent.sock.close()
        self.assertIsNone(common.SANITIZER.search(errors.decode(errors="replace")), errors)
        return process.returncode, out, errors.decode()

    def test_messages_that_break_the_rules(self):
        run = ("exec", "w1", "--", "true")
        for frames in ([b"\xff\x07"], [b"\xff"], [b""], [b"\x06\xff\xff\xff\xff"], [b"\x06"], [b"\x01" + bytes(60000)] * 8):
            status, _, errors = self.against(run, *frames)
            self.assertEqual(status, 255, (frames[0][:5], errors))
            self.assertIn("broke off", errors)
        for note in (b"", b"{", b"[]", b'{"exit":"x"}', b'{"exit":256}', b'{"exit":-1}', b'{"signal":999}', b"\x00" * 60000):
            status, _, errors = self.against(run, b"\x03" + note)
            self.assertEqual((status, "before the program" in errors), (255, True), (note[:20], errors))
        self.assertEqual(self.against(run, b"\x01a", b"\x63zzz", b"\x04", b"\x05", b'\x03{"exit":3}'), (3, b"a", ""))

    def test_reasons_are_shown_without_control_bytes(self):
        process = subprocess.Popen([common.BIN, "exec", "w1", "--", "true"], env=self.env(), stdin=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE)
        (one,) = self.server.call("GET", "/workspace/w1/tunnel/poll", key=self.key).json
        agent = serverproc.WebSocket(self.server, f"/workspace/w1/tunnel/{one['id']}", self.key)
        agent.send(struct.pack(">H", 4005) + b"\x1b[2Jgone\x07", opcode=8)
        _, errors = process.communicate(timeout=30 * common.PATIENCE)
        self.assertEqual(process.returncode, 127)
        self.assertIn(b"gone", errors)
        self.assertNotIn(b"\x1b", errors)
        self.assertNotIn(b"\x07", errors)

    def test_archives_that_want_elsewhere(self):
        def archive(*members):
            data = io.BytesIO()
            with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as tar:
                for name, link in members:
                    info = tarfile.TarInfo(name)
                    if link:
                        info.type, info.linkname = tarfile.SYMTYPE, link
                    tar.addfile(info)
            return data.getvalue()
        os.makedirs(os.path.join(self.tmp, "into"))
        for members in ([("../evil", None)], [("a", self.tmp), ("a/evil", None)], [("a", None), ("evil", None)]):
            blob = archive(*members)
            status, _, errors = self.against(("cp", "w1:x", "into"), *(b"\x01" + blob[i:i + 4096] for i in range(0, len(blob), 4096)))
            self.assertEqual(status, 1, errors)
            self.assertFalse(os.path.exists(os.path.join(self.tmp, "evil")))
            self.assertNotIn("evil", os.listdir(os.path.join(self.tmp, "into")))


class Ports(Applets):
    def twenty_come_back(self, port):
        """What twenty connections at once send to an echo behind that port."""
        results = []

        def talk(i):
            with socket.create_connection(("127.0.0.1", port), timeout=60 * common.PATIENCE) as s:
                blob = os.urandom(100000 + i)
                threading.Thread(target=lambda: (s.sendall(blob), s.shutdown(socket.SHUT_WR)), daemon=True).start()
                got = b""
                while data := s.recv(65536):
                    got += data
                results.append(got == blob)
        threads = [threading.Thread(target=talk, args=(i,)) for i in range(20)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual(results, [True] * 20)

    def test_tunnel_joins_the_standard_streams(self):
        port = str(self.listener(echo))
        blob = os.urandom(2 << 20)
        result = self.go("tunnel", "w1", port, stdin=blob)
        self.assertEqual((result.returncode, result.stdout == blob, result.stderr), (0, True, b""))
        self.assertIn("nothing listens on port 1 in", self.said("tunnel", "w1", "1", status=1))
        self.said("tunnel", "w1", "0", status=2)
        self.said("tunnel", "w1", status=2)
        self.assertIn("no streams of kind nothing", self.said("tunnel", "w1", "--kind", "nothing", status=1))

    def test_tunnel_passes_the_end_on(self):
        """The consumer of standard output learns of the end while standard input is open."""
        def speak(conn):
            with conn:
                conn.sendall(b"all")
                conn.shutdown(socket.SHUT_WR)
                while conn.recv(100):
                    pass
        process = subprocess.Popen([common.BIN, "tunnel", "w1", str(self.listener(speak))], env=self.env(),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.read(), b"all")
        self.assertIsNone(process.poll())
        process.stdin.close()
        self.assertEqual(process.wait(20 * common.PATIENCE), 0)
        process.stdout.close()

    def test_forward(self):
        port = self.listener(echo)
        free = socket.create_server(("127.0.0.1", 0))
        closed = free.getsockname()[1]
        free.close()
        process = subprocess.Popen([common.BIN, "forward", "w1", f"0:{port}", f"0:{closed}"], env=self.env(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = [process.stdout.readline().decode() for _ in range(2)]
        self.assertRegex(lines[0], rf"^127\.0\.0\.1:\d+ leads to port {port} of w1\n$")
        local, dead = (int(line.split()[0].rsplit(":", 1)[1]) for line in lines)
        self.twenty_come_back(local)
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", dead), timeout=60 * common.PATIENCE) as s, \
                    self.assertRaises(ConnectionError):
                s.recv(1)
                raise AssertionError("a clean end")
        process.terminate()
        self.assertEqual(process.wait(20 * common.PATIENCE), 0)
        errors = process.stderr.read().decode()
        self.assertEqual(errors, f"daytona-runner forward: port {closed}: nothing listens on port {closed} in the "
                                 "workspace\n", "it is said once")
        process.stdout.close()
        process.stderr.close()
        self.assertIn("not found", self.said("forward", "nowhere", "0:1", status=1))
        for bad in ("x", "1:2:3", "1:", ":1", "65536", "0"):
            self.said("forward", "w1", bad, status=2)

    def test_forward_the_other_way(self):
        port = self.listener(echo)
        free = socket.create_server(("127.0.0.1", 0))
        closed = free.getsockname()[1]
        free.close()
        process = subprocess.Popen([common.BIN, "forward", "w1", "-R", f"0:{port}", "-R", f"0:{closed}"], env=self.env(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        lines = sorted((process.stdout.readline().decode() for _ in range(2)), key=lambda x: not x.endswith(f":{port}\n"))
        self.assertRegex(lines[0], rf"^port \d+ of w1 leads to 127\.0\.0\.1:{port}\n$")
        there, dead = (int(line.split()[1]) for line in lines)
        self.twenty_come_back(there)
        with socket.create_connection(("127.0.0.1", dead), timeout=60 * common.PATIENCE) as s:
            self.assertEqual(s.recv(1), b"")
        self.assertRegex(self.said("forward", "w1", "-R", f"{there}:1", status=1),
                         f"port {there}: port {there} in the workspace: Address (already )?in use")
        process.terminate()
        self.assertEqual(process.wait(20 * common.PATIENCE), 0)
        self.assertEqual(process.stderr.read(), b"")
        process.stdout.close()
        process.stderr.close()
        self.wait_nothing_left()
        with self.assertRaises(ConnectionError):
            socket.create_connection(("127.0.0.1", there)).close()

    def test_a_connection_is_fetched_by_who_was_told(self):
        s = self.stream("w1", "kind=listen&port=0")
        port, name = s.until(b"\n").decode().split()
        conn = socket.create_connection(("127.0.0.1", int(port)))
        one = s.until(b"\n").decode().strip()
        for query in (f"name={name}&id=99", f"name={'0' * 32}&id={one}", f"name={name}&id=-1", f"name=../x&id={one}", "id=1",
                      f"name={name}&id={one}%00"):
            other = self.stream("w1", "kind=accepted&" + query)
            self.assertIsNone(other.next())
            self.assertEqual(other.code, 4005, query)
        got = self.stream("w1", f"kind=accepted&name={name}&id={one}")
        conn.sendall(b"hello")
        self.assertEqual(got.until(b"hello"), b"hello")
        again = self.stream("w1", f"kind=accepted&name={name}&id={one}")
        self.assertIsNone(again.next())
        self.assertEqual(again.code, 4005)
        conn.close()


class Copies(Applets):
    def tree(self, name):
        """A directory of odd things."""
        top = os.path.join(self.tmp, name)
        os.makedirs(os.path.join(top, "empty"))
        os.makedirs(os.path.join(top, "deep", *["d"] * 20))
        for odd in ("plain", " blank ", "new\nline", "ünïcode", "-dash", "a:b", "*", "x" * 255, "\\", b"\xff\xfe".decode(
                errors="surrogateescape")):
            with open(os.path.join(top, odd), "wb") as file:
                file.write(os.urandom(len(odd) * 100))
        with open(os.path.join(top, "big"), "wb") as file:
            file.write(os.urandom(3 << 20))
        for mode in (0o600, 0o755, 0o444, 0o4755):
            path = os.path.join(top, f"mode-{mode:o}")
            open(path, "w", encoding="ascii").close()
            os.chmod(path, mode)
        os.symlink("plain", os.path.join(top, "link"))
        os.symlink("/etc/passwd", os.path.join(top, "absolute"))
        os.symlink("nowhere", os.path.join(top, "dangling"))
        os.symlink("deep", os.path.join(top, "dirlink"))
        os.mkfifo(os.path.join(top, "pipe"))
        os.utime(os.path.join(top, "plain"), (1, 1000000000))
        os.chmod(os.path.join(top, "empty"), 0o500)
        return top

    def assert_same(self, a, b):
        def look(top):
            found = {}
            for root, dirs, files in os.walk(os.fsencode(top)):
                for name in dirs + files:
                    path = os.path.join(root, name)
                    st = os.lstat(path)
                    if stat.S_ISFIFO(st.st_mode):
                        continue
                    kind = stat.S_IFMT(st.st_mode)
                    link = os.readlink(path) if stat.S_ISLNK(kind) else None
                    mode = None if link is not None else st.st_mode & 0o777
                    found[os.path.relpath(path, os.fsencode(top))] = (kind, mode, link, st.st_size if stat.S_ISREG(kind) else 0)
            return found
        self.assertEqual(look(a), look(b))
        for name in look(a):
            path = os.path.join(os.fsencode(a), name)
            if os.path.isfile(path) and not os.path.islink(path):
                self.assertTrue(filecmp.cmp(path, os.path.join(os.fsencode(b), name), shallow=False), name)

    def test_trees_both_ways(self):
        top = self.tree("tree")
        self.said("cp", top, "w1:")
        self.assert_same(top, os.path.join(self.app, "tree"))
        self.assertEqual(int(os.stat(os.path.join(self.app, "tree", "plain")).st_mtime), 1000000000)
        self.assertFalse(os.stat(os.path.join(self.app, "tree", "mode-4755")).st_mode & stat.S_ISUID)
        self.said("cp", "name-w1:tree", "back")
        self.assert_same(top, os.path.join(self.tmp, "back"))
        self.said("cp", "-r", "w1:tree", "back")  # into it now
        self.assert_same(top, os.path.join(self.tmp, "back", "tree"))
        self.said("cp", top, f"w1:{self.tmp}/absolute")
        self.assert_same(top, os.path.join(self.tmp, "absolute"))
        self.said("cp", top, "w1:")  # once more, over what is there
        self.assert_same(top, os.path.join(self.app, "tree"))
        for root, dirs, _ in os.walk(self.tmp):
            for d in dirs:
                os.chmod(os.path.join(root, d), 0o700)

    def test_files(self):
        with open(os.path.join(self.tmp, "one"), "w", encoding="ascii") as file:
            file.write("first")
        self.said("cp", "one", "w1:two")
        self.said("cp", "w1:two", "three")
        self.said("cp", "w1:two", ".")
        for path in (os.path.join(self.app, "two"), os.path.join(self.tmp, "three"), os.path.join(self.tmp, "two")):
            with open(path, encoding="ascii") as file:
                self.assertEqual(file.read(), "first")
        os.symlink(self.tmp, os.path.join(self.app, "elsewhere"))
        self.said("cp", "one", "w1:elsewhere")  # a link that a person names is followed
        with open(os.path.join(self.tmp, "one"), "w", encoding="ascii") as file:
            file.write("x" * 1000)
        self.said("cp", "one", "w1:two")
        self.assertEqual(os.path.getsize(os.path.join(self.app, "two")), 1000)

    def test_failures_say_why(self):
        self.assertIn("nothing: No such file", self.said("cp", "w1:nothing", ".", status=1))
        self.assertIn("nothing: No such file", self.said("cp", "nothing", "w1:", status=1))
        open(os.path.join(self.tmp, "one"), "w", encoding="ascii").close()
        self.assertIn("no/such: No such file", self.said("cp", "one", "w1:no/such/dir", status=1))
        self.assertIn("no/such: No such file", self.said("cp", "w1:.", "no/such/dir", status=1))
        os.makedirs(os.path.join(self.tmp, "dir"))
        self.assertIn("is there and no directory", self.said("cp", "dir", f"w1:{self.tmp}/one", status=1))
        for bad in (("one", "two"), ("w1:a", "w1:b"), ("one",)):
            self.said("cp", *bad, status=2)
        self.assertIn("workspace w9 not found", self.said("cp", "one", "w9:", status=1))
        if os.geteuid():
            os.chmod(os.path.join(self.tmp, "one"), 0)
            self.assertIn("one: Permission denied", self.said("cp", "one", "w1:", status=1))


class Encrypted(Applets):
    def setUp(self):
        tunnelcase.TunnelCase.setUp(self)
        (self.key,) = self.make("w1")
        self.assertEqual(self.server.stop(), 0)
        self.ca = common.make_ca(self.tmp)
        cert, key = common.make_cert(self.tmp, self.ca)
        self.server = serverproc.Server(self, self.server.data, "--tls-cert", cert, "--tls-key", key)
        self.app = os.path.join(self.tmp, "home-w1", "app")

    def test_all_of_it_over_tls(self):
        self.agent("w1", self.key, wait=False, DAYTONA_AGENT_CA_FILE=self.ca)
        blob = os.urandom(2 << 20)
        result = self.go("exec", "w1", "--ca-file", self.ca, "-i", "--", "cat", stdin=blob)
        self.assertEqual((result.returncode, result.stdout == blob, result.stderr), (0, True, b""))
        self.assertIn("certificate", self.said("exec", "w1", "--", "true", status=255).lower())


if __name__ == "__main__":
    common.main()
