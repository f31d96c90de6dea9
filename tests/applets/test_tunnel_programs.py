#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Programs and terminals in workspaces as streams; and what is left when somebody is killed."""
import os
import signal
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc, tunnelcase  # noqa: E402
from lib.tunnelcase import ERR, IN, NOTE, OUT, SIGNAL, SIZE  # noqa: E402


class Programs(tunnelcase.TunnelCase):
    def setUp(self):
        super().setUp()
        (self.key,) = self.make("w1")
        self.agent("w1", self.key)

    def exec(self, *args, kind="exec", **more):
        return self.stream("w1", "kind=" + kind).run(*args, **more)

    def test_streams_status_environment_and_directory(self):
        s = self.exec("sh", "-c", "echo out; echo err >&2; cat; exit 7")
        s.say(IN, b"from the client")
        s.end()
        got = {OUT: b"", ERR: b""}
        while (m := s.next()) is not None:
            if m[0] in got:
                got[m[0]] += m[1]
        self.assertEqual((got, s.notes, s.code), ({OUT: b"out\nfrom the client", ERR: b"err\n"}, [{"exit": 7}], 1000))
        s = self.exec("sh", "-c", 'echo "$A|$TUNNEL_TEST|$(pwd -P)|$(test -t 0 || echo no tty)"', env={"A": "b c"}, cwd="/")
        self.assertEqual(s.all().decode(), f"b c|{self.tmp}|/|no tty\n")
        s = self.exec("pwd")
        self.assertEqual(s.all().decode(), os.path.join(os.path.realpath(self.tmp), "home-w1/app\n"))
        s = self.exec("sh", "-c", "kill -9 $$")
        s.all()
        self.assertEqual(s.notes, [{"signal": 9}])

    def test_what_cannot_be_run(self):
        for program, more, text in ((["no-such-program"], {}, "no such program"), (["/etc/passwd"], {}, "ermission denied"),
                                    ([""], {}, "no text"), (["a\0b"], {}, "no text"), ([5], {}, "no text"),
                                    (["true"], {"cwd": "/nowhere"}, "/nowhere")):
            s = self.exec(*program, **more)
            self.assertIsNone(s.next())
            self.assertEqual(s.code, 4005)
            self.assertIn(text, s.reason)
        for note in ("", "{", "[]", '{"args":"ls"}', '{"args":[["ls"]]}'):
            s = self.stream("w1", "kind=exec")
            s.say(NOTE, note)
            self.assertIsNone(s.next())
            self.assertEqual(s.code, 4005, note)

    def test_signals(self):
        s = self.exec("sh", "-c", "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.05; done")
        s.until(b"ready")
        s.say(SIGNAL, b"\x00")
        s.say(SIGNAL, b"\xff")
        s.say(SIGNAL, b"\x0a")
        self.assertIn(b"caught", s.all())
        self.assertEqual(s.notes, [{"exit": 5}])

    def test_terminal(self):
        s = self.exec("sh", kind="pty", columns=132, rows=50, env={"TERM": "vt100", "PS1": "> "})
        s.until(b"> ")
        s.say(IN, b"stty size; echo $TERM; ls -l /proc/self/fd/0; echo end-\"\"1\n")
        said = s.until(b"end-1")
        self.assertIn(b"50 132\r\n", said)
        self.assertIn(b"vt100\r\n", said)
        self.assertIn(b"/dev/pts/", said)
        s.say(SIZE, struct.pack(">HH", 81, 25))
        s.say(IN, b"stty size; echo end-\"\"2\n")
        self.assertIn(b"25 81\r\n", s.until(b"end-2"))
        s.say(IN, b"sleep 1000\n")
        common.wait_for(lambda: any(common.read_proc(p, "cmdline") == b"sleep\x001000\x00" for p in self.leftovers()),
                        20 * common.PATIENCE, "sleep runs")
        s.say(IN, b"\x03")
        s.say(IN, b"exit 4\n")
        s.all()
        self.assertEqual((s.notes, s.code), ([{"exit": 4}], 1000))
        self.wait_nothing_left()

    def test_no_program_is_the_users_shell(self):
        s = self.exec(kind="pty", env={"PS1": "> "})
        s.say(IN, b"echo \"zero=$0\"; exit\n")
        self.assertRegex(s.all(), rb"zero=-\w*sh\r")

    def test_output_that_a_background_process_holds_open(self):
        s = self.exec("sh", "-c", "sleep 1000 & echo $!")
        pid = int(s.all())
        self.assertEqual((s.notes, s.code), ([{"exit": 0}], 1000))
        self.assertTrue(common.alive(pid), "what was put in the background goes on")
        os.kill(pid, signal.SIGKILL)


TRAP = "trap '' HUP TERM; echo ready; while :; do sleep 1000; done"


class Ends(tunnelcase.TunnelCase):
    """kill -9 of each, in the middle: the others learn it, and nothing is left."""

    def setUp(self):
        super().setUp()
        (self.key,) = self.make("w1")
        self.process = self.agent("w1", self.key)
        self.conns = []
        self.port = self.listener(self.hold)

    def hold(self, conn):
        self.conns.append(conn)
        with conn:
            conn.sendall(b"ready")
            while conn.recv(4096):
                pass
        self.conns.remove(conn)

    def open_all(self):
        streams = [self.stream("w1", "kind=exec").run("sh", "-c", TRAP),
                   self.stream("w1", "kind=pty").run("sh", "-c", TRAP),
                   self.stream("w1", f"kind=port&port={self.port}")]
        for s in streams:
            s.until(b"ready")
        self.assertTrue(self.conns)
        return streams

    def wait_ended(self):
        self.wait_nothing_left()
        common.wait_for(lambda: not self.conns, 20 * common.PATIENCE, "the port's connection ends")

    def test_of_the_server(self):
        streams = self.open_all()
        self.server.process.kill()
        for s in streams:
            with self.assertRaises((EOFError, ConnectionError)):
                while s.next() is not None:
                    pass
        self.wait_ended()
        self.assertIsNone(self.process.poll(), "the agent lives on")

    def test_of_the_agent(self):
        streams = self.open_all()
        self.process.kill()
        self.process.wait()
        for s in streams:
            self.assertIsNone(s.next())
            self.assertEqual(s.code, 1001)
            self.assertIn("the workspace's agent", s.reason)
        self.wait_ended()

    def test_of_the_client(self):
        for s in self.open_all():
            s.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.sock.close()
        self.wait_ended()

    def test_of_the_streams_process(self):
        streams = self.open_all()
        for pid in common.children(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        for s in streams:
            self.assertIsNone(s.next())
            self.assertEqual((s.code, s.reason), (1001, "the workspace's agent has gone"))
        for pid in self.leftovers():
            if b"trap" in common.read_proc(pid, "cmdline") or b"sleep" in common.read_proc(pid, "cmdline"):
                os.kill(pid, signal.SIGKILL)  # this one refuses the signal of its parent's death
        self.wait_ended()

    def test_an_agent_that_is_told_to_stop(self):
        streams = self.open_all()
        self.process.terminate()
        self.assertEqual(self.process.wait(20 * common.PATIENCE), 0)
        for s in streams:
            self.assertIsNone(s.next())
            self.assertEqual(s.code, 1001)
        self.wait_ended()

    def test_a_server_that_comes_back(self):
        self.open_all()
        data = self.server.data
        self.assertEqual(self.server.stop(), 0)
        self.wait_ended()
        port = self.server.port
        self.server = serverproc.Server(self, data, "--listen", f"127.0.0.1:{port}")
        self.wait_agents(1)
        s = self.stream("w1", "kind=exec").run("echo", "again")
        self.assertEqual(s.all(), b"again\n")


if __name__ == "__main__":
    common.main()
