#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Load on the Server without a key: it keeps its memory, those who have a key are served, and first."""
import hashlib
import http.client
import os
import select
import signal
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

UNKNOWN = 256  # connections without a key, as in applets/server.c
LIMIT_KB = 32 << 10
GENEROUS = 20 * common.PATIENCE  # seconds: what hangs, not what is slow


class Flood(common.Case):
    def server_args(self):
        return ()

    def setUp(self):
        super().setUp()
        common.need_descriptors(self, 4096)
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), *self.server_args(),
                                        env=common.clean_env(self.tmp, DR_TEST=self.tmp,
                                                             ASAN_OPTIONS="quarantine_size_mb=1"))
        self.rss = common.rss_kb(self.server.pid)
        self.slowest = 0.0

    def tearDown(self):
        print(f"{self.id().split('.')[-1]}: {self.rss} KB before, {self.peak} KB at most; "
              f"slowest honest answer {self.slowest * 1000:.0f} ms", file=sys.stderr)
        super().tearDown()

    peak = 0

    def look(self):
        """Memory stays where it should. A sanitizer has much of its own, so there it is the growth."""
        now = common.rss_kb(self.server.pid)
        self.peak = max(self.peak, now)
        if common.is_static(common.BIN):
            self.assertLess(now, LIMIT_KB)
        else:
            self.assertLess(now - self.rss, LIMIT_KB)

    def honest(self, path="/runner"):
        begun = time.monotonic()
        answer = self.server.call("GET", path, timeout=GENEROUS)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.assertEqual(answer.status, 200)
        self.look()

    def flood(self, n, first=b""):
        """n connections that say so much and no more."""
        made = []
        for i in range(n):
            s = socket.create_connection(("127.0.0.1", self.server.port), timeout=GENEROUS)
            self.addCleanup(s.close)
            if first:
                s.setblocking(False)
                try:
                    s.send(first)
                except OSError:
                    pass
            made.append(s)
            if i % 100 == 99:
                self.honest()
        return made

    def kept(self, n):
        """Connections of somebody with a key, kept open."""
        made = [http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=GENEROUS) for _ in range(n)]
        for c in made:
            self.addCleanup(c.close)
        self.ask(made)
        return made

    def ask(self, connections):
        for c in connections:
            c.request("GET", "/runner", headers={"Authorization": "Bearer " + self.server.key})
            reply = c.getresponse()
            self.assertEqual((reply.status, reply.read()), (200, b"[]"))
            self.assertFalse(reply.will_close)

    def open_of(self, sockets):
        """How many the server has not ended."""
        poll = select.poll()
        for s in sockets:
            poll.register(s, select.POLLIN)
        return len(sockets) - len(poll.poll(0))

    def test_bodies_without_a_key(self):
        """Each is refused at its head: nothing of what follows is kept."""
        head = b"PUT /env HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
        kept = self.kept(20)
        flood = self.flood(950, head + b"x" * 400000)
        self.honest()
        self.ask(kept)
        answered = 0
        for s in flood:
            s.settimeout(GENEROUS)
            try:
                data = s.recv(4096)
            except OSError:
                continue  # dropped while it was still sending
            answered += data.startswith(b"HTTP/1.1 401 ")
            self.assertTrue(data.startswith(b"HTTP/1.1 401 ") or not data, data)
        self.assertGreater(answered, 100)

    def test_heads_that_do_not_end(self):
        kept = self.kept(20)
        self.flood(950, b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20 + b"Z: " + b"z" * 60000)
        self.honest()
        self.ask(kept)

    def test_silent_connections(self):
        """Kept connections of those with a key stay, however old; the silent ones make room for each other."""
        kept = self.kept(50)
        silent = self.flood(1500)
        self.honest()
        self.ask(kept)
        self.assertLessEqual(self.open_of(silent), UNKNOWN)
        self.assertLessEqual(common.open_fds(self.server.pid), UNKNOWN + 50 + 64)

    def test_sums_of_a_large_file(self):
        """It is hashed between other things, once, and never again until it changes."""
        folder = os.path.join(self.server.data, "downloads")
        os.makedirs(folder)
        small = os.path.join(folder, "small")
        with open(small, "wb") as file:
            file.write(b"abc")
        with open(os.path.join(folder, "large"), "wb") as file:
            file.truncate((512 << 20) if common.is_static(common.BIN) else (128 << 20))
        other = self.server.socket(GENEROUS)
        waiting = [self.server.socket(GENEROUS) for _ in range(10)]
        os.kill(self.server.pid, signal.SIGSTOP)
        for s in waiting:
            s.sendall(b"GET /download/SHA256SUMS HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        other.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        os.kill(self.server.pid, signal.SIGCONT)
        self.assertIn(b"200 OK", other.recv(4096))
        self.assertEqual(self.open_of(waiting), len(waiting), "the file was hashed first")
        self.honest()
        waiting[0].close()  # one that leaves takes nobody along
        texts = set()
        for s in waiting[1:]:
            data = b"".join(iter(lambda s=s: s.recv(65536), b""))
            self.assertIn(b" 200 OK\r\n", data)
            texts.add(data.split(b"\r\n\r\n", 1)[1].decode())
        self.assertEqual(len(texts), 1)
        lines = dict(reversed(line.split("  ")) for line in texts.pop().splitlines())
        self.assertEqual(lines["small"], hashlib.sha256(b"abc").hexdigest())
        self.assertEqual(sorted(lines)[1:], ["large", "small"])
        cpu = common.cpu_seconds(self.server.pid)
        for _ in range(20):
            self.server.call("GET", "/download/SHA256SUMS", key=None)
        again = common.cpu_seconds(self.server.pid) - cpu
        self.assertLess(again, cpu / 2, "known digests are not made again")
        # Of the same size and time: its change time tells.
        before = os.stat(small)
        with open(small, "wb") as file:
            file.write(b"xyz")
        os.utime(small, ns=(before.st_atime_ns, before.st_mtime_ns))
        self.assertIn(hashlib.sha256(b"xyz").hexdigest(),
                      self.server.call("GET", "/download/SHA256SUMS", key=None).body.decode())

    def test_many_who_ask_for_sums(self):
        """A budget of its own: who comes beyond it is told so, and others are served."""
        folder = os.path.join(self.server.data, "downloads")
        os.makedirs(folder)
        with open(os.path.join(folder, "large"), "wb") as file:
            file.truncate(64 << 30)
        flood = self.flood(100, b"GET /download/SHA256SUMS HTTP/1.1\r\nHost: x\r\n\r\n")
        self.honest()
        told = [s.recv(4096) for s in flood if self.open_of([s]) == 0]
        self.assertEqual({data.split()[1] for data in told}, {b"503"})
        self.assertEqual(len(told), 100 - 64)


class Tls(Flood):
    """A handshake that does not go on costs more memory, and is as quickly given up."""
    test_bodies_without_a_key = test_heads_that_do_not_end = test_silent_connections = None
    test_sums_of_a_large_file = test_many_who_ask_for_sums = None

    def server_args(self):
        ca = common.make_ca(self.tmp)
        cert, key = common.make_cert(self.tmp, ca)
        self.context = ssl.create_default_context(cafile=ca)
        return "--tls-cert", cert, "--tls-key", key

    def honest(self, path="/runner"):
        begun = time.monotonic()
        connection = http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=GENEROUS, context=self.context)
        connection.request("GET", path, headers={"Authorization": "Bearer " + self.server.key})
        self.assertEqual(connection.getresponse().status, 200)
        connection.close()
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.look()

    def test_handshakes_that_stop(self):
        for first in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"):
            self.assertLessEqual(self.open_of(self.flood(700, first)), UNKNOWN)


if __name__ == "__main__":
    common.main()
