# SPDX-License-Identifier: Apache-2.0
"""WebSocket client: handshake and its refusals, messages of all shapes, pings, closing (protocol 5)."""
import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common
import netcase
from httppeer import Gone, error, head, raw, reply, ws_accept, ws_frame, ws_read
from netcase import CLOSED, HTTP, LIMIT, PARSE, TIMEOUT, NetCase


class WebSockets(NetCase):
    def open(self, *frames, options=(), then=None, split=0, **kwargs):
        """A server that sends frames and answers a close: (messages, last line, frames received)."""
        got = []

        def step(conn, request):
            ws_accept(conn, request)
            data = b"".join(frames)
            for at in range(0, len(data), split or len(data) or 1):
                conn.send(data[at:at + (split or len(data))])
            if then:
                return then(conn, got)
            try:
                while True:
                    frame = ws_read(conn)
                    got.append(frame)
                    if frame[1] == 8:
                        return False
            except Gone:
                return False
        self.web = self.peer(**kwargs)
        self.web.on("GET", "/log/.*", step, forever=True)
        lines = self.get(self.web.url.replace("http", "ws"), "/log/x?follow=true", options=("-W", "-t", "5000", *options))
        self.web.wait(lambda: not self.web.conns, 10, "the server's side ends")
        return [line["message"] for line in lines[:-1]], lines[-1], got

    def close(self, code, reason=b""):
        return ws_frame(8, code.to_bytes(2, "big") + reason)

    def test_handshake_headers(self):
        self.open(self.close(1000), options=("-H", "Authorization: Bearer k"))
        request = self.web.requests[0]
        self.assertEqual(request.target, "/log/x?follow=true")
        self.assertEqual(request.header("Authorization"), "Bearer k")
        self.assertEqual(request.header("Upgrade"), "websocket")
        self.assertEqual(request.header("Connection"), "Upgrade")
        self.assertEqual(request.header("Sec-WebSocket-Version"), "13")
        self.assertEqual(len(base64.b64decode(request.header("Sec-WebSocket-Key"))), 16)
        self.assertIsNone(request.header("Sec-WebSocket-Extensions"))

    def test_messages_of_all_shapes(self):
        frames = [ws_frame(1, b"one"), ws_frame(2, b"two"), ws_frame(1, b""), ws_frame(1, b"x" * 200),
                  ws_frame(1, b"y" * 70000), ws_frame(1, b"fra", fin=False), ws_frame(9, b"in the middle"),
                  ws_frame(0, b"gm", fin=False), ws_frame(0, b"ent"), ws_frame(10, b"unasked pong"), self.close(1000)]
        for split in 0, 1000, 7:
            messages, last, got = self.open(*frames, split=split)
            self.assertEqual(messages, ["one", "two", "", "x" * 200, "y" * 70000, "fragment"])
            self.assertEqual(last["close_code"], 1000)
            self.assertEqual([(f[1], f[3]) for f in got], [(10, b"in the middle"), (8, b"\x03\xe8")])
            self.assertTrue(all(f[2] for f in got), "every frame of a client is masked")

    def test_frames_right_behind_the_handshake(self):
        def step(conn, request):
            sent = []
            real, conn.send = conn.send, sent.append
            ws_accept(conn, request)
            conn.send = real
            conn.send(sent[0] + ws_frame(1, b"early") + self.close(1011, b"bye"))
            conn.pause(5)
        peer = self.peer()
        peer.on("GET", "/", step)
        lines = self.get(peer.url, options=("-W",))
        self.assertEqual([line.get("message") for line in lines[:-1]], ["early"])
        self.assertEqual((lines[-1]["close_code"], lines[-1]["kind"]), (1011, CLOSED))
        self.assertIn("1011 bye", lines[-1]["error"])

    def test_sending(self):
        for size in 1, 125, 126, 65535, 65536, 400000:
            def answer(conn, got, size=size):
                frame = ws_read(conn)
                got.append(frame)
                conn.send(ws_frame(1, b"%d" % len(frame[3])) + self.close(1000))
                conn.pause(0.5)
                return False
            # An argument has at most 128 KiB.
            text = "z" * min(size, 100000)
            messages, last, got = self.open(then=answer, options=("-M", text))
            self.assertEqual(messages, [str(len(text))])
            self.assertEqual((got[0][1], got[0][3]), (1, text.encode()))

    def test_closing_by_us(self):
        messages, last, got = self.open(ws_frame(1, b"a"), options=("-t", "300"))
        self.assertEqual(messages, ["a"])
        self.assertEqual([(f[1], f[3]) for f in got], [(8, b"\x03\xe8")])
        self.assertEqual(last["kind"], CLOSED)

    def test_closing_by_us_with_a_peer_that_is_deaf(self):
        messages, last, _ = self.open(ws_frame(1, b"a"), options=("-t", "300"), then=lambda conn, got: conn.pause(5))
        self.assertEqual((messages, last["kind"]), (["a"], CLOSED))

    def test_peer_that_just_goes(self):
        for end in "close", "reset":
            messages, last, _ = self.open(ws_frame(1, b"a"), ws_frame(1, b"cut")[:3],
                                          then=lambda conn, got, end=end: (conn.pause(0.1), getattr(conn, end)()))
            self.assertEqual((messages, last["kind"], last["close_code"]), (["a"], CLOSED, 0))

    def test_refused_handshakes(self):
        rows = [(error(401, "unauthorized"), HTTP, "HTTP 401: unauthorized"), (reply(404, "404 page not found"), HTTP, "404"),
                (reply(200, b"{}"), HTTP, "200"), (reply(500, b"\x00\xff{"), HTTP, "500"),
                (reply(301, b"", headers=[("Location", "http://127.0.0.9/x")]), HTTP, "127.0.0.9"),
                (raw(head(101, [("Upgrade", "websocket"), ("Connection", "Upgrade")])), PARSE, "key"),
                (raw(head(101, [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                                ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")])), PARSE, "key"),
                (raw(head(101, [("Upgrade", "h2c"), ("Connection", "Upgrade")])), PARSE, "key"),
                (raw(b"", then="close"), CLOSED, "closed"), (raw(b"nonsense\r\n"), PARSE, "not HTTP")]
        for step, kind, words in rows:
            peer = self.peer()
            peer.on("GET", "/", step)
            line = self.get(peer.url, options=("-W",), fails=kind)[-1]
            self.assertIn(words, line["error"])

    def test_handshake_that_hangs(self):
        peer = self.peer()
        peer.on("GET", "/", lambda conn, request: conn.pause(60))
        self.get(peer.url, options=("-W", "-t", "300"), fails=TIMEOUT)

    def test_protocol_errors(self):
        for frame, kind in ((b"\x81\x85maskHello", PARSE), (b"\xc1\x01x", PARSE), (b"\x83\x00", PARSE), (b"\x80\x01x", PARSE),
                            (b"\x09\x00", PARSE), (b"\x89\x7e\x00\x7e" + b"x" * 126, PARSE),
                            (b"\x81\x7f\x00\x00\x00\x00\x40\x00\x00\x00", LIMIT),
                            (b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", LIMIT)):
            messages, last, _ = self.open(ws_frame(1, b"fine"), frame)
            self.assertEqual((messages, last["kind"]), (["fine"], kind))

    def test_flood_of_pings(self):
        def flood(conn, got):
            try:
                for _ in range(3000):
                    conn.send(ws_frame(9, b"p" * 100))
                conn.send(ws_frame(1, b"end") + self.close(1000))
                while True:
                    got.append(ws_read(conn))
            except Gone:
                pass
            return False
        messages, last, got = self.open(then=flood)
        self.assertEqual(messages, ["end"])
        self.assertTrue({f[1] for f in got} <= {8, 10})

    def test_over_tls(self):
        context, ca = common.server_tls(self.tmp)
        messages, last, _ = self.open(ws_frame(1, b"secret"), self.close(1000), options=("-c", ca), tls=context)
        self.assertEqual((messages, last["close_code"]), (["secret"], 1000))


if __name__ == "__main__":
    netcase.main()
