#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Byte streams into workspaces through the embedded Server: ports, programs, terminals; who may, what is bounded, and
what is left when somebody is killed."""
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc, tunnelcase  # noqa: E402
from lib.tunnelcase import END, ERR, GRANT, IN, NOTE, OUT, SIGNAL, SIZE, WINDOW, echo  # noqa: E402

BIG = 20 << 20


class Ports(tunnelcase.TunnelCase):
    def setUp(self):
        super().setUp()
        self.key, self.other_key = self.make("w1", "w2")
        self.agent("w1", self.key)

    def port(self, each=echo):
        return f"kind=port&port={self.listener(each)}"

    def test_twenty_mebibytes_each_way(self):
        piece = os.urandom(1 << 16)
        want = hashlib.sha256(piece * (BIG >> 16)).hexdigest()
        s = self.stream("name-w1", self.port())  # by name as well as by id
        allowed, room = threading.Semaphore(0), [WINDOW]

        def send():
            left = BIG
            while left:
                while not room[0]:
                    allowed.acquire()
                n = min(room[0], left, 32768)
                at = (BIG - left) % len(piece)
                n = min(n, len(piece) - at)
                s.say(IN, piece[at:at + n])
                room[0] -= n
                left -= n
            s.end()
        thread = threading.Thread(target=send, daemon=True)
        lock, say = threading.Lock(), s.say

        def locked(*args):
            with lock:
                say(*args)
        s.say = locked
        thread.start()
        got = hashlib.sha256()
        while (m := s.next()) is not None:
            if m[0] == OUT:
                got.update(m[1])
            elif m[0] == GRANT:
                room[0] += struct.unpack(">I", m[1])[0]
                allowed.release()
        thread.join()
        self.assertEqual((got.hexdigest(), s.code), (want, 1000))
        self.assertGreaterEqual(self.figure("stream_bytes_total"), 2 * BIG)

    def test_each_side_ends_its_own_direction(self):
        seen = []

        def count(conn):
            with conn:
                conn.sendall(b"first")
                data = b""
                while chunk := conn.recv(65536):
                    data += chunk
                seen.append(data)
                conn.sendall(b"got %d" % len(data))
        s = self.stream("w1", self.port(count))
        self.assertEqual(s.until(b"first"), b"first")
        s.say(IN, b"x" * 1000)
        s.end()
        self.assertEqual(s.all(), b"got 1000")
        self.assertEqual((s.code, s.ended, seen), (1000, {OUT}, [b"x" * 1000]))

        def quiet(conn):
            with conn:
                conn.shutdown(socket.SHUT_WR)
                while chunk := conn.recv(65536):
                    seen.append(chunk)
        s = self.stream("w1", self.port(quiet))
        self.assertEqual(s.next(), (END, bytes([OUT])))
        s.say(IN, b"late")
        s.end()
        self.assertIsNone(s.next())
        self.assertEqual((s.code, seen[1:]), (1000, [b"late"]))

    def test_two_hundred_at_once(self):
        port = self.port()
        streams = [self.stream("w1", port) for _ in range(200)]
        for i, s in enumerate(streams):
            s.say(IN, b"%d" % i)
        for i, s in enumerate(streams):
            self.assertEqual(s.until(b"%d" % i), b"%d" % i)
        self.assertIn('state="open"} 200', self.server.ok("GET", "/metrics").body.decode())
        for s in streams:
            s.end()
        for s in streams:
            s.all()
            self.assertEqual(s.code, 1000)
            s.sock.close()
        self.wait_nothing_left()
        common.wait_for(lambda: 'state="open"} 0' in self.server.ok("GET", "/metrics").body.decode(), 20, "no streams")

    def test_a_slow_reader_holds_the_writer_up_and_no_memory(self):
        sent = []

        def pour(conn):
            with conn:
                try:
                    while True:
                        conn.sendall(bytes(65536))
                        sent.append(65536)
                except OSError:
                    pass
        before = self.figure("resident_bytes")
        s = self.stream("w1", self.port(pour))
        got = 0
        while got < WINDOW:  # frames are read here, but nothing is granted
            opcode, payload = s.frame()
            got += len(payload) - 1 if opcode == 2 else 0
            if opcode == 9:
                s.send(payload, opcode=10)
        self.assertEqual(got, WINDOW)
        # Longer than what a silent side is given: it answers pings, so it lives.
        for _ in range(5):
            opcode, payload = s.frame()
            self.assertEqual(opcode, 9)
            s.send(payload, opcode=10)
        self.assertLess(sum(sent), 16 << 20)  # what sockets of the kernel hold
        self.assertLess(self.figure("resident_bytes") - before, 16 << 20)
        s.say(GRANT, struct.pack(">I", 1000))
        opcode, payload = s.frame()
        while opcode == 9:
            s.send(payload, opcode=10)
            opcode, payload = s.frame()
        self.assertEqual((opcode, len(payload)), (2, 1001))

    def test_refusals_say_why(self):
        def why(query, workspace="w1"):
            s = self.stream(workspace, query)
            self.assertIsNone(s.next())
            return s.code, s.reason
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        self.assertEqual(why(f"kind=port&port={port}"), (4005, f"nothing listens on port {port} in the workspace"))
        for bad in ("", "&port=", "&port=0", "&port=65536", "&port=x"):
            self.assertEqual(why("kind=port" + bad), (4005, "the request names no port from 1 to 65535"))
        self.assertEqual(why("kind=teleport"), (4005, "the workspace's agent knows no streams of kind teleport"))
        code, reason = why("kind=port&port=1", "w2")  # its agent does not run
        self.assertEqual(code, 4001)
        self.assertIn("no agent of the workspace is connected", reason)
        for query in ("", "port=1", "kind=", "kind=A", "kind=a%00", "kind=port&x=" + "y" * 4096):
            s = tunnelcase.Stream(self.server, "w1", query)
            self.assertEqual(s.status, 400, query)
        self.assertEqual(tunnelcase.Stream(self.server, "nothing", "kind=port&port=1").status, 404)

    def test_a_stopped_or_deleted_workspace_ends_its_streams(self):
        s, server = self.stream("w1", self.port()), self.server
        s.say(IN, b"x")
        s.until(b"x")
        server.ok("POST", "/workspace/w1/stop")
        serverproc.finish_job(server, self.runner)
        self.assertIsNone(s.next())
        self.assertEqual((s.code, s.reason), (4003, "the workspace is stopped; start it first"))
        s = self.stream("w1", "kind=port&port=1")
        self.assertIsNone(s.next())
        self.assertEqual(s.code, 4003)
        server.ok("POST", "/workspace/w1/start")
        serverproc.finish_job(server, self.runner)
        s = self.stream("w1", self.port())
        s.say(IN, b"x")
        s.until(b"x")
        server.ok("DELETE", "/workspace/w1")
        serverproc.finish_job(server, self.runner)
        self.assertIsNone(s.next())
        self.assertEqual(s.code, 4003)
        self.wait_nothing_left()

    def test_a_deleted_key_ends_what_it_opened(self):
        key = self.server.ok("POST", "/apikey/ada").body.decode()
        s = self.stream("w1", self.port(), key)
        s.say(IN, b"x")
        s.until(b"x")
        self.server.ok("DELETE", "/apikey/ada")
        self.assertIsNone(s.next())
        self.assertEqual(s.code, 4004)
        with open(os.path.join(self.server.data, "audit.log"), encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        opened = [x for x in lines if "open port stream into workspace w1" in x["did"]]
        self.assertEqual([x["who"] for x in opened], ["client/ada"])

    def test_who_breaks_the_rules_is_let_go(self):
        def close_of(*steps):
            s = self.stream("w1", self.port())
            for step in steps:
                step(s)
            while s.next() is not None:
                pass
            return s.code
        s = self.stream("w1", "kind=exec").run("sleep", "1000")
        for _ in range(WINDOW // 32768 + 4):  # a pipe holds two of these
            s.say(IN, bytes(32768))
        s.all()
        self.assertEqual((s.code, s.reason), (1008, "more bytes came than were allowed"))
        self.assertEqual(close_of(lambda s: s.send("text")), 1008)
        self.assertEqual(close_of(lambda s: s.send(bytes(70000), opcode=2)), 1009)
        self.assertEqual(close_of(lambda s: s.send(b"x", opcode=2, masked=False)), 1002)
        self.assertEqual(close_of(lambda s: s.say(GRANT, b"\xff\xff\xff\xff")), 1008)
        self.assertEqual(close_of(lambda s: s.say(GRANT, b"1")), 1008)
        self.assertEqual(close_of(lambda s: s.say(END, b"\x07")), 1008)
        self.assertEqual(close_of(lambda s: s.say(END)), 1008)
        # What nobody listens to is dropped.
        s = self.stream("w1", self.port())
        for channel in (NOTE, SIZE, SIGNAL, 99):
            s.say(channel, b"\x00" * 100)
        s.send(b"", opcode=2)
        while (m := s.next()) is not None:
            pass
        self.assertEqual(s.code, 1008, "a message without a channel")
        # Before the agent has come the Server keeps no more than it may.
        s = self.stream("w2", "kind=port&port=1")
        try:
            for _ in range(40):
                s.say(IN, bytes(60000))
        except OSError:
            pass
        while s.next() is not None:
            pass
        self.assertEqual(s.code, 1008)


class AnAgentOfOurs(tunnelcase.TunnelCase):
    """The agent's side by hand."""

    def setUp(self):
        super().setUp()
        self.key, self.other = self.make("w1", "w2")

    def told(self, workspace="w1", key=None):
        return self.server.call("GET", f"/workspace/{workspace}/tunnel/poll", key=key or self.key)

    def open(self):
        client = self.stream("w1", "kind=port&port=80&x=%20y")
        (one,) = self.told().json
        self.assertEqual((one["kind"], one["query"]), ("port", "kind=port&port=80&x=%20y"))
        return client, one["id"]

    def join(self, stream, key=None, workspace="w1"):
        return serverproc.WebSocket(self.server, f"/workspace/{workspace}/tunnel/{stream}", key or self.key)

    def test_an_id_is_good_for_one_joining_by_its_workspace(self):
        client, one = self.open()
        _, two = self.open()
        self.assertRegex(one, "^[0-9a-f]{64}$")
        self.assertNotEqual(one, two)
        self.assertEqual(self.join(one, self.other, "w1").status, 403)
        self.assertEqual(self.join(one, self.other, "w2").status, 404)
        self.assertEqual(self.join(one, self.server.key).status, 403)
        self.assertEqual(self.join("0" * 64).status, 404)
        self.assertEqual(self.told(key=self.other).status, 403)
        client.say(IN, b"early")
        agent = self.join(one)
        self.assertEqual(agent.status, 101)
        self.assertEqual(agent.frame(), (2, b"\x00early"))
        self.assertEqual(self.join(one).status, 404)
        agent.send(b"\x01hello", opcode=2)
        self.assertEqual(client.next(), (OUT, b"hello"))
        agent.send(struct.pack(">H", 4321) + b"because", opcode=8)
        self.assertIsNone(client.next())
        self.assertEqual((client.code, client.reason), (4321, "because"))

    def test_a_client_that_left_is_no_more(self):
        client, one = self.open()
        client.close()
        common.wait_for(lambda: self.join(one).status == 404, 20, "the stream is forgotten")

    def test_an_agent_that_does_not_come(self):
        client, one = self.open()
        self.assertIsNone(client.next())
        self.assertEqual(client.code, 4002)
        self.assertEqual(self.join(one).status, 404)

    def test_an_agent_that_goes_silent(self):
        """It answers no ping: both sides are told within the time, though the connection stands."""
        client, one = self.open()
        agent = self.join(one)
        client.say(IN, b"x")
        self.assertIsNone(client.next())
        self.assertEqual((client.code, client.reason), (1001, "the workspace's agent has gone"))
        del agent

    def test_polls_of_one_workspace_are_few(self):
        socks = []
        for i in range(6):
            s = self.server.socket()
            self.wait_agents(min(i, 4))
            s.sendall(f"GET /workspace/w1/tunnel/poll HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode())
            socks.append(s)
        self.wait_agents(4)
        for s in socks[:2]:
            self.assertIn(b" 204 ", s.recv(4096))
        self.assertEqual(self.figure("agents_polling"), 4)
        client = self.stream("w1", "kind=port&port=80")
        self.assertIn(b'"kind":"port"', socks[5].recv(4096))
        del client


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
                        20, "sleep runs")
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
        common.wait_for(lambda: not self.conns, 20, "the port's connection ends")

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
