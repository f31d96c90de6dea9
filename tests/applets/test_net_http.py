# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 client against peers that send every kind of reply (field cases 68, 73 to 82, 20, 29)."""
import contextlib
import hashlib
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netcase
from httppeer import Gone, close, hang, raw, reply, reset
from netcase import CLOSED, CONNECT, HTTP, LIMIT, PARSE, RESOLVE, TIMEOUT, USAGE, NetCase

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# What hangs takes an hour here.
HANG_MS = 600000


class Framing(NetCase):
    def both(self, *chunks, then="keep", pause=0.0):
        """The reply, then a plain one: (first, second, connections)."""
        peer = self.peer()
        peer.on("GET", "/a", raw(*chunks, then=then, pause=pause))
        peer.on("GET", "/b", reply(200, b"second"))
        first, second = self.get(peer.url, "/a", "/b")
        self.assertEqual(second.get("body"), "second", second)
        return first, second, peer.accepted

    def test_bodies_of_every_framing(self):
        for text, body, conns in [
                (OK, "ok", 1),
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "ok", 1),
                (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;e=f\r\nk\r\n0\r\nEtag: x\r\n\r\n",
                 "ok", 1),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 1),
                (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", 2),
                (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok", "ok", 1),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", "ok", 2),
                (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                 "ok", 2)]:
            with self.subTest(text=text):
                first, _, accepted = self.both(text)
                self.assertEqual(first.get("body"), body, first)
                self.assertEqual(accepted, conns)

    def test_until_close(self):
        for version in b"HTTP/1.1", b"HTTP/1.0":
            first, _, accepted = self.both(version + b" 200 OK\r\n\r\nbody", then="close")
            self.assertEqual(first["body"], "body")
            self.assertEqual(accepted, 2)

    def test_any_split_gives_the_same(self):
        text = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                b"".join(b"%x\r\n%s\r\n" % (n, b"x" * n) for n in (1, 7, 100, 3000)) + b"0\r\nA: b\r\n\r\n")
        digests = set()
        for chunks in ([text], [text[i:i + 1] for i in range(len(text))],
                       [text[:40], text[40:50], text[50:]], [text[:-1], text[-1:]]):
            first, _, accepted = self.both(*chunks, pause=0.02 if len(chunks) < 5 else 0)
            self.assertEqual(first["length"], 3108)
            self.assertEqual(accepted, 1)
            digests.add(first["sha256"])
        self.assertEqual(len(digests), 1)

    def test_statuses_without_a_body(self):
        for text in (b"HTTP/1.1 204 No Content\r\n\r\n",
                     b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
                     b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
                     b"HTTP/1.1 304 Not Modified\r\n\r\n"):
            with self.subTest(text=text):
                first, _, accepted = self.both(text)
                self.assertLess(first["ms"], HANG_MS)
                self.assertEqual(accepted, 1)

    def test_head_has_no_body(self):
        peer = self.peer()
        peer.on("HEAD", "/.*", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"), forever=True)
        lines = self.get(peer.url, "/a", "/b", options=("-X", "HEAD"))
        self.assertEqual([line["status"] for line in lines], [200, 200])
        self.assertEqual(peer.accepted, 1)

    def test_stray_bytes_drop_the_connection(self):
        for text in (b"HTTP/1.1 204 No Content\r\n\r\nstray", OK + b"stray", OK + OK,
                     b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\nhello"):
            with self.subTest(text=text):
                self.assertEqual(self.both(text)[2], 2)

    def test_interim_replies_are_skipped(self):
        peer = self.peer()
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
        peer.on("GET", "/1", raw(interim + OK))
        peer.on("GET", "/2", raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 5, OK, pause=0.02))
        peer.on("GET", "/3", raw(interim * 6 + OK))
        peer.on("GET", "/4", raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"))
        lines = self.get(peer.url, "/1", "/2", "/3", "/4", fails=PARSE)
        self.assertEqual([line.get("body") for line in lines[:2]], ["ok", "ok"])
        self.assertEqual(lines[2]["kind"], PARSE)

    def test_malformed_heads_are_refused(self):
        for text in (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
                     b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
                     b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
                     b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
                     b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nok",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                     b"HTTP/2.0 200 OK\r\n\r\n", b"220 smtp.example ready\r\n", b"\x15\x03\x01\r\n"):
            with self.subTest(text=text):
                peer = self.peer()
                peer.on("GET", "/", raw(text))
                self.one(peer.url, fails=PARSE)

    def test_limits(self):
        peer = self.peer()
        peer.on("GET", "/head", raw(b"HTTP/1.1 200 OK\r\n" + b"A: %s\r\n" % (b"x" * 1000) * 70 + b"\r\n"))
        peer.on("GET", "/line", raw(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200000))
        peer.on("GET", "/count", raw(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n"))
        peer.on("GET", "/body", reply(200, b"x" * 5001))
        peer.on("GET", "/chunks", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                      b"3e8\r\n%s\r\n" % (b"x" * 1000) * 6))
        peer.on("GET", "/trailers", raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" +
                                        b"A: bbbbbbbbbb\r\n" * 80000))
        for target in "/head", "/line", "/count", "/body", "/chunks", "/trailers":
            with self.subTest(target=target):
                self.one(peer.url, target, options=("-m", "5000"), fails=LIMIT)

    def test_an_endless_head_is_refused_soon(self):
        peer = self.peer()

        def endless(conn, request):
            try:
                conn.send(b"HTTP/1.1 200 OK\r\nA: ")
                for _ in range(100000):
                    conn.send(b"x" * 1000)
            except Gone:
                pass
            return False
        peer.on("GET", "/", endless)
        self.assertLess(self.one(peer.url, fails=LIMIT)["ms"], HANG_MS)

    def test_cut_replies_are_errors(self):
        for text in (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40,
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
                     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                     b"HTTP/1.1 200 OK\r\nContent-Le", b""):
            for then in "close", "reset":
                with self.subTest(text=text, then=then):
                    peer = self.peer()
                    peer.on("GET", "/", raw(text, then=then), forever=True)
                    self.one(peer.url, fails=CLOSED)
                    self.assertEqual(len(peer.requests), 1)


class Keeping(NetCase):
    def test_closed_idle_connection_is_replaced(self):
        for end in close(), reset():
            peer = self.peer()

            def then_close(conn, request, end=end):
                reply(200, b"first")(conn, request)
                return end(conn, request)
            peer.on("POST", "/a", then_close)
            peer.on("POST", "/b", reply(200, b"second"))
            steps = self.step_by_step(peer.url, "/a", "/b", options=("-X", "POST", "-d", "whole"))
            self.assertEqual(steps.next()["body"], "first")
            peer.wait(lambda: not peer.conns, 10, "connection closed")
            self.assertEqual(steps.next()["body"], "second")
            self.assertEqual([r.body for r in peer.seen("POST", "/b")], [b"whole"])
            self.assertEqual(peer.accepted, 2)

    def test_reset_after_reading_is_repeated_once_whole(self):
        peer = self.peer()
        peer.on("POST", "/a", reply(200, b"first"))
        peer.on("POST", "/b", reset(), reply(200, b"again"))
        lines = self.get(peer.url, "/a", "/b", options=("-I", "-X", "POST", "-G", "200000"))
        self.assertEqual(lines[1]["body"], "again")
        bodies = [r.body for r in peer.seen("POST", "/b")]
        self.assertEqual(len(bodies), 2)
        self.assertEqual(bodies[0], bodies[1])
        self.assertEqual(len(bodies[0]), 200000)

    def test_fresh_failure_is_not_repeated(self):
        peer = self.peer()
        peer.on("POST", "/", reset(), forever=True)
        self.one(peer.url, options=("-X", "POST", "-d", "x"), fails=CLOSED)
        self.assertEqual(len(peer.requests), 1)

    def test_repeated_failure_is_not_repeated_twice(self):
        peer = self.peer()
        peer.on("PUT", "/a", reply(200, b"first"))
        peer.on("PUT", "/b", close(), forever=True)
        self.get(peer.url, "/a", "/b", options=("-X", "PUT", "-d", "x"), fails=CLOSED)
        self.assertEqual(len(peer.seen("PUT", "/b")), 2)

    def test_what_may_not_be_done_twice_is_sent_once(self):
        """Each method, by itself and where the protocol says that twice is as good, on a client that has a connection: the
        peer reads the request whole and ends the connection without a word. It may have been done."""
        for method, said, times in [("GET", False, 2), ("HEAD", False, 2), ("OPTIONS", False, 2), ("PUT", False, 2),
                                    ("DELETE", False, 2), ("POST", False, 1), ("PATCH", False, 1), ("COPY", False, 1),
                                    ("POST", True, 2), ("PATCH", True, 2), ("COPY", True, 2), ("PUT", True, 2)]:
            for end in close(), reset():
                with self.subTest(method=method, said=said, end=end):
                    peer = self.peer()
                    peer.on(method, "/a", reply(200, b"" if method == "HEAD" else b"first"))
                    again = reply(200, b"" if method == "HEAD" else b"again")
                    peer.on(method, "/b", *[end, again][:times])
                    self.get(peer.url, "/a", "/b", options=(*(("-I",) if said else ()), "-X", method),
                             fails=CLOSED if times == 1 else None)
                    self.assertEqual(len(peer.seen(method, "/a")), 1)
                    self.assertEqual(len(peer.seen(method, "/b")), times)
                    self.assertEqual(peer.accepted, 2)

    def test_after_a_byte_of_the_reply_nothing_is_repeated(self):
        peer = self.peer()
        peer.on("GET", "/a", reply(200, b"first"))
        peer.on("GET", "/b", raw(b"H", then="close"), forever=True)
        self.get(peer.url, "/a", "/b", fails=CLOSED)
        self.assertEqual(len(peer.seen("GET", "/b")), 1)

    def test_no_keep_alive(self):
        peer = self.peer()
        peer.on("GET", "/.*", reply(200, b"x"), forever=True)
        self.get(peer.url, "/a", "/b", options=("-a",))
        self.assertEqual(peer.accepted, 2)
        self.assertEqual(peer.requests[0].header("Connection"), "close")

    def test_failed_exchange_leaves_a_usable_client(self):
        peer = self.peer()
        peer.on("GET", "/a", raw(b"garbage\r\n"))
        peer.on("GET", "/b", hang())
        peer.on("GET", "/c", reply(200, b"fine"))
        lines = self.get(peer.url, "/a", "/b", "/c", options=("-t", "400"))
        self.assertEqual([line.get("kind") for line in lines], [PARSE, TIMEOUT, None])

    def test_many_exchanges_keep_descriptors_and_connection(self):
        peer = self.peer()
        peer.on("GET", "/.*", reply(200, b"x" * 300), forever=True)
        lines = self.get(peer.url, *["/x"] * 2000)
        self.assertEqual({line["status"] for line in lines}, {200})
        self.assertEqual(peer.accepted, 1)


class Sending(NetCase):
    def test_large_body_to_a_slow_reader(self):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        got = hashlib.sha256()

        def serve():
            conn, _ = listener.accept()
            with conn:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += conn.recv(1024)
                body = data.split(b"\r\n\r\n", 1)[1]
                size = len(body)
                got.update(body)
                while size < 1 << 20:
                    piece = conn.recv(1024 if size < 65536 else 16384)
                    got.update(piece)
                    size += len(piece)
                    if size < 65536:
                        time.sleep(0.002)
                conn.sendall(OK)
        thread = threading.Thread(target=serve)
        thread.start()
        line = self.one(f"http://127.0.0.1:{listener.getsockname()[1]}",
                        options=("-X", "POST", "-G", str(1 << 20), "-t", "30000"))
        thread.join()
        listener.close()
        self.assertEqual(line["status"], 200)
        want = bytes(ord("a") + i * 7 % 26 for i in range(1 << 20))
        self.assertEqual(got.hexdigest(), hashlib.sha256(want).hexdigest())

    def test_streamed_body_is_chunked(self):
        peer = self.peer()
        peer.on("POST", "/.*", reply(200, b"ok"), forever=True)
        lines = self.get(peer.url, "/a", "/b", options=("-X", "POST", "-F", "-G", "100000"))
        self.assertEqual([line["status"] for line in lines], [200, 200])
        self.assertEqual([len(r.body) for r in peer.requests], [100000, 100000])
        self.assertEqual(peer.requests[0].header("Transfer-Encoding"), "chunked")
        self.assertIsNone(peer.requests[0].header("Content-Length"))
        self.assertEqual(peer.accepted, 2)

    def test_early_refusal_of_a_large_body(self):
        listener = socket.create_server(("127.0.0.1", 0))

        def serve():
            conn, _ = listener.accept()
            with conn:
                conn.recv(1000)
                conn.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
                listener.settimeout(10)
                done.wait(10)
        done = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        line = self.one(f"http://127.0.0.1:{listener.getsockname()[1]}",
                        options=("-X", "POST", "-G", str(16 << 20), "-t", "10000"))
        done.set()
        thread.join()
        listener.close()
        self.assertEqual((line["status"], line["body"], line["sent"]), (413, "big", 0))

    def test_empty_post_has_a_length(self):
        peer = self.peer()
        peer.on("*", "/", reply(200, b""), forever=True)
        self.one(peer.url, options=("-X", "POST"))
        self.one(peer.url, options=("-X", "DELETE"))
        self.assertEqual([r.header("Content-Length") for r in peer.requests], ["0", None])

    def test_head_and_body_leave_in_one_piece(self):
        listener = socket.create_server(("127.0.0.1", 0))
        pieces = []

        def serve():
            conn, _ = listener.accept()
            with conn:
                pieces.append(conn.recv(65536))
                conn.sendall(OK)
        thread = threading.Thread(target=serve)
        thread.start()
        self.one(f"http://127.0.0.1:{listener.getsockname()[1]}", options=("-X", "POST", "-G", "1500"))
        thread.join()
        listener.close()
        self.assertEqual(len(pieces[0].split(b"\r\n\r\n", 1)[1]), 1500)

    def test_header_injection_is_refused_before_sending(self):
        peer = self.peer()
        self.one(peer.url, options=("-H", "Authorization: a\r\nX-Evil: 1"), fails=USAGE)
        self.assertEqual(peer.accepted, 0)


class Waiting(NetCase):
    def test_silence_after_each_step(self):
        peer = self.peer()
        peer.on("GET", "/none", hang(), forever=True)
        peer.on("GET", "/line", raw(b"HTTP/1.1 200 OK\r\n", b"", pause=3600), forever=True)
        peer.on("GET", "/body", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"", pause=3600),
                forever=True)
        for target in "/none", "/line", "/body":
            with self.subTest(target=target):
                line = self.one(peer.url, target, options=("-t", "300"), fails=TIMEOUT)
                self.assertGreaterEqual(line["ms"], 299)
                self.assertLess(line["ms"], HANG_MS)

    def test_drip_does_not_move_the_deadline(self):
        peer = self.peer()

        def drip(conn, request):
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while True:
                conn.send(b"x")
                conn.pause(0.02)
        peer.on("GET", "/", drip)
        self.assertLess(self.one(peer.url, options=("-t", "500"), fails=TIMEOUT)["ms"], HANG_MS)

    def test_stall_limit_counts_while_connecting(self):
        """A peer that takes the connection and then says nothing, not even for the handshake."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            for scheme in ("http", "https"):
                line = self.one(f"{scheme}://127.0.0.1:{port}", "/", options=("-S", "-s", "300", "-t", "60000"), fails=TIMEOUT)
                self.assertIn("stalled", line["error"])

    def test_stall_limit_counts_from_the_last_byte(self):
        peer = self.peer()

        def progress(conn, request):
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(8):
                conn.pause(0.15)
                conn.send(b"2\r\nx\n\r\n")
            if request.path == "/stall":
                conn.pause(3600)
            conn.send(b"0\r\n\r\n")
            return True
        peer.on("GET", "/.*", progress, forever=True)
        options = ("-S", "-s", "700", "-t", "20000")
        self.assertEqual(self.one(peer.url, "/fine", options=options)["length"], 16)
        line = self.one(peer.url, "/stall", options=options, fails=TIMEOUT)
        self.assertIn("stalled", line["error"])

    def test_listener_that_never_accepts(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        fill = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            fill.append(sock)
        line = self.one(f"http://127.0.0.1:{listener.getsockname()[1]}", options=("-t", "400"),
                        fails=TIMEOUT)
        self.assertLess(line["ms"], HANG_MS)
        for sock in fill:
            sock.close()
        listener.close()

    def test_retry_after(self):
        peer = self.peer()
        peer.on("GET", "/", reply(429, b"slow", headers=[("Retry-After", "7")]))
        self.assertEqual(self.one(peer.url)["retry_after_ms"], 7000)


class Redirects(NetCase):
    def test_where_the_key_goes(self):
        other = self.peer()
        other.on("*", "/.*", reply(200, b"leak"), forever=True)
        for status in 301, 302, 303, 307, 308:
            for location in (other.url + "/x", other.url.replace("http:", "https:") + "/x",
                             other.url.replace("127.0.0.1", "localhost") + "/x"):
                with self.subTest(status=status, location=location):
                    peer = self.peer()
                    peer.on("GET", "/", reply(status, b"", headers=[("Location", location)]))
                    line = self.one(peer.url, options=("-f", "-H", "Authorization: Bearer k"), fails=HTTP)
                    self.assertIn("/x", line["error"])
        self.assertEqual(other.accepted, 0)

    def test_same_origin(self):
        peer = self.peer()
        peer.on("GET", "/a", reply(302, b"moved", headers=[("Location", "b?c=d")]))
        peer.on("GET", "/b", reply(307, b"", headers=[("Location", peer.url + "/c")]))
        peer.on("GET", "/c", reply(200, b"here"))
        line = self.one(peer.url, "/a", options=("-f", "-H", "Authorization: Bearer k"))
        self.assertEqual(line["body"], "here")
        self.assertEqual([r.header("Authorization") for r in peer.requests], ["Bearer k"] * 3)
        self.assertEqual(peer.requests[1].target, "/b?c=d")
        self.assertEqual(peer.accepted, 1)

    def test_method_and_body_are_never_changed(self):
        peer = self.peer()
        for status in 301, 302, 303:
            peer.on("POST", "/a", reply(status, b"", headers=[("Location", "/b")]))
            line = self.one(peer.url, "/a", options=("-f", "-X", "POST", "-d", "x"), fails=HTTP)
            self.assertIn("/b", line["error"])
            self.assertEqual(line["code"], status)
        peer.on("POST", "/a", reply(308, b"", headers=[("Location", "/b")]))
        peer.on("POST", "/b", reply(200, b"done"))
        self.assertEqual(self.one(peer.url, "/a", options=("-f", "-X", "POST", "-d", "x"))["body"], "done")
        self.assertEqual([(r.method, r.body) for r in peer.seen("*", "/b")], [("POST", b"x")])

    def test_loop_ends(self):
        peer = self.peer()
        peer.on("GET", "/", reply(302, b"", headers=[("Location", "/")]), forever=True)
        self.one(peer.url, options=("-f",), fails=HTTP)
        self.assertEqual(len(peer.requests), 4)

    def test_without_follow_the_reply_is_the_answer(self):
        peer = self.peer()
        peer.on("GET", "/", reply(302, b"x", headers=[("Location", "/y")]))
        self.assertEqual(self.one(peer.url)["status"], 302)


class Reaching(NetCase):
    def test_refused_names_the_address(self):
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        sock.close()
        line = self.one(f"http://localhost:{port}", fails=CONNECT)
        self.assertIn(f"127.0.0.1:{port}: Connection refused", line["error"])
        self.assertIn(f"[::1]:{port}", line["error"])

    def test_second_family_is_tried(self):
        if not socket.has_ipv6:
            self.skipTest("no IPv6")
        with socket.socket() as other:  # nobody else may listen at that port of the first family
            for _ in range(50):
                try:
                    peer = self.peer(host="::1")
                except OSError:
                    self.skipTest("no ::1")
                with contextlib.suppress(OSError):
                    other.bind(("127.0.0.1", peer.port))
                    break
            self.second_family(peer)

    def second_family(self, peer):
        peer.on("GET", "/", reply(200, b"six"), forever=True)
        line = self.one(f"http://localhost:{peer.port}")
        self.assertEqual(line.get("body"), "six", line)
        self.assertLess(line["ms"], HANG_MS)
        self.assertEqual(self.one(f"http://[::1]:{peer.port}")["body"], "six")
        self.assertEqual(peer.requests[-1].header("Host"), f"[::1]:{peer.port}")

    def test_unknown_name(self):
        line = self.one("http://no-such-host.invalid", options=("-t", "20000"), timeout=90)
        self.assertIn(line["kind"], (RESOLVE, TIMEOUT))
        self.assertIn("no-such-host.invalid", line["error"])
        self.assertIn("/etc/resolv.conf" if "name servers" not in line["error"] else "name servers",
                      line["error"])

    def test_unix_socket(self):
        path = self.path("x.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(4)
        requests = []

        def serve():
            conn, _ = listener.accept()
            with conn:
                requests.append(conn.recv(65536))
                conn.sendall(OK)
        thread = threading.Thread(target=serve)
        thread.start()
        self.assertEqual(self.one(f"unix://{path}", "/v1/x")["body"], "ok")
        thread.join()
        listener.close()
        self.assertTrue(requests[0].startswith(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\n"))

    def test_unix_socket_troubles_differ(self):
        open(self.path("file"), "w", encoding="utf-8").close()
        os.mkdir(self.path("dir"))
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(self.path("dead"))
        dead.close()
        texts = []
        for name, words in (("missing", "no such socket"), ("file", "no socket"), ("dir", "directory"),
                            ("dead", "nobody listens"), ("x" * 120, "at most")):
            with self.subTest(name=name):
                line = self.one(f"unix://{self.path(name)}", fails=CONNECT)
                self.assertIn(words, line["error"])
                texts.append(line["error"].replace(name, ""))
        self.assertEqual(len(set(texts)), 5)

    @staticmethod
    def fake_ssh(script):
        return ("-r", script)

    def test_command_as_transport(self):
        peer = self.peer()
        peer.on("GET", "/.*", reply(200, b"through"), forever=True)
        script = (f"exec python3 -c \"import socket,sys,threading,os; s=socket.create_connection"
                  f"(('127.0.0.1',{peer.port}));\n"
                  "def up():\n"
                  "    while True:\n"
                  "        d=os.read(0,65536)\n"
                  "        if not d: break\n"
                  "        s.sendall(d)\n"
                  "threading.Thread(target=up,daemon=True).start()\n"
                  "while True:\n"
                  "    d=s.recv(65536)\n"
                  "    if not d: break\n"
                  "    os.write(1,d)\n\"")
        lines = self.get("http://engine", "/a", "/b", options=self.fake_ssh(script))
        self.assertEqual([line["body"] for line in lines], ["through", "through"])
        self.assertEqual(peer.accepted, 1)

    def test_failed_command_says_its_own_words(self):
        line = self.one("http://engine", options=self.fake_ssh("echo 'Permission denied (publickey).' >&2; exit 255"),
                        fails=CLOSED)
        self.assertIn("Permission denied (publickey).", line["error"])


if __name__ == "__main__":
    netcase.main()
