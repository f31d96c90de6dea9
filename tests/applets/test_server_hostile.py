#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a peer should not send to the Server: it answers or drops the connection, keeps its memory, and goes
on serving the others."""
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"


class Hostile(common.Case):
    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "2")
        self.key = serverproc.make_runner(self.server)
        self.rss = common.rss_kb(self.server.pid)

    def tearDown(self):
        self.server.ok("GET", "/runner")
        self.assertLess(common.rss_kb(self.server.pid), self.rss + 100000)
        self.assertEqual(self.server.stop(), 0)
        super().tearDown()

    def talk(self, *pieces, timeout=60):
        """Sends as long as the server takes it: everything that comes back."""
        s = self.server.socket(timeout)
        try:
            for piece in pieces:
                s.sendall(piece)
        except OSError:
            pass
        data = b""
        try:
            while chunk := s.recv(65536):
                data += chunk
        except ConnectionResetError:
            pass
        s.close()
        return data

    def status(self, data):
        return int(data.split()[1]) if data else 0

    def test_hundred_megabyte_head(self):
        lump = b"x" * (1 << 20)
        self.assertIn(self.status(self.talk(b"GET / HTTP/1.1\r\nX: ", *([lump] * 100))), (431, 0))
        self.assertIn(self.status(self.talk(*([lump] * 100))), (431, 400, 0))
        self.assertIn(self.status(self.talk(b"GET / HTTP/1.1\r\n", *([b"X: y\r\n" * 200000] * 100))), (431, 0))

    def test_large_bodies(self):
        head = f"POST /env HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.server.key}\r\n"
        head = head.replace("POST", "PUT")
        self.assertEqual(self.status(self.talk(f"{head}Content-Length: 99999999999\r\n\r\n".encode())), 413)
        # What needs no key takes next to none.
        self.assertEqual(self.status(self.talk(b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n")), 413)
        self.assertEqual(self.status(self.talk(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                                               b"Content-Length: 2\r\n\r\n{}")), 200)
        self.assertIn(self.status(self.talk(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(),
                                            *([b"100000\r\n" + b"y" * 0x100000 + b"\r\n"] * 50))), (413, 0))

    def test_malformed_requests(self):
        for text in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\n", b"GET / HTTP/1.1\n\n",
                     b"GET / HTTP/2.0\r\n\r\n", b"GET /\r\n\r\n", b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                     b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
                     b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
                     b"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
                     b"GET * HTTP/1.1\r\nHost: x\r\n\r\n"):
            with self.subTest(text[:30]):
                data = self.talk(text)
                self.assertIn(self.status(data), (400, 431), data)
                self.assertIn(b"\r\nConnection: close\r\n", data)

    def test_bodies_cut_in_the_middle(self):
        body = b'{"uptime":5,"providers":[{"name":"a","targetConfigManifest":{"x":{"type":"string"}}}]}'
        for n in range(len(body)):
            answer = self.server.call("POST", f"/runner/{ID}/metadata", body[:n], self.key)
            self.assertEqual((answer.status, answer.json["error"]), (400, "EOF" if n == 0 else "unexpected EOF"))
        self.server.ok("POST", f"/runner/{ID}/metadata", body.decode(), self.key)
        # And cut off by the end of the connection: no answer, no change.
        s = self.server.socket()
        s.sendall(f"POST /runner/{ID}/metadata HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n"
                  f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
        s.shutdown(socket.SHUT_WR)
        self.assertEqual(s.recv(100), b"")

    def test_deep_and_dense_json(self):
        for body in ("[" * 500000, '{"a":' * 150000, '{"state":' + "[" * 60 + "]" * 60 + "}", '{"x":[' + "{}," * 300000 + "{}]}",
                     "{" + ",".join(f'"k{i}":0' for i in range(60000)) + "}", '"' + "\\u0041" * 150000 + '"',
                     "1" * 900000, "-" * 1000, "\ufeff{}"):
            answer = self.server.call("POST", f"/runner/{ID}/jobs/x/state", body, self.key)
            self.assertEqual(answer.status, 400, body[:20])
            self.assertLess(len(answer.body), 1000)
        labels = {f"k{i}": "v" for i in range(30000)}
        answer = self.server.call("POST", "/workspace/none/labels", labels)
        self.assertEqual(answer.status, 500)

    def test_many_connections(self):
        """More than it takes: idle ones make room, so that a new client is served at once."""
        common.need_descriptors(self, 1300)
        lazy = []
        for _ in range(1100):
            s = self.server.socket()
            s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            lazy.append(s)
        for s in lazy[-50:]:
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 200 OK"))
        self.assertLess(common.open_fds(self.server.pid), 1050)
        self.server.ok("GET", "/health")
        for s in lazy:
            s.close()

    def test_half_requests_end_in_time(self):
        holders = [self.server.socket() for _ in range(20)]
        for i, s in enumerate(holders):
            s.sendall(b"GET /runner HTTP/1.1\r\nHost: x\r\n"[:i + 5])
        self.server.ok("GET", "/runner")
        for s in holders:
            s.settimeout(30 * common.PATIENCE)
            try:
                self.assertEqual(s.recv(10), b"")
            except ConnectionResetError:
                pass

    def test_pipelined_polls(self):
        """A caller that asks again and again without reading holds no more than its one place."""
        one = f"GET /runner/{ID}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode()
        s = self.server.socket(2)
        try:
            for _ in range(20000):
                s.sendall(one)
        except (TimeoutError, OSError):
            pass
        self.server.ok("GET", "/health")
        self.assertLess(common.rss_kb(self.server.pid), self.rss + 50000)
        s.close()


if __name__ == "__main__":
    common.main()
