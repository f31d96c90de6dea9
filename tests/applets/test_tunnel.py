#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Byte streams into workspaces through the embedded Server: ports, who may, and what is bounded."""
import hashlib
import json
import os
import resource
import socket
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc, tunnelcase  # noqa: E402
from lib.tunnelcase import END, GRANT, IN, NOTE, OUT, SIGNAL, SIZE, WINDOW, echo  # noqa: E402

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
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 2048:
            self.skipTest("the hard limit of open files is too low")
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
        common.wait_for(lambda: 'state="open"} 0' in self.server.ok("GET", "/metrics").body.decode(), 20 * common.PATIENCE, "no streams")

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
        self.server.ok("POST", "/apikey/ada")  # another one, of the same name
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
        common.wait_for(lambda: self.join(one).status == 404, 20 * common.PATIENCE, "the stream is forgotten")

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


if __name__ == "__main__":
    common.main()
