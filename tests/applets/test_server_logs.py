#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's log sockets: writing, reading, following, the end marker, close codes, hostile frames."""
import json
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

END = {"source": "", "label": "", "msg": "", "level": "", "time": ""}
DELIMITER = "!-#_^*|\n"


def entry(msg, **more):
    value = {"source": "provider", "label": "app", "msg": msg, "level": "", "time": "2026-02-10T10:00:04+01:00"}
    value.update(more)
    return value


def frame(msg, **more):
    return json.dumps(entry(msg, **more)) + DELIMITER


class Logs(common.Case):
    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"))

    def read(self, path):
        """Entries and close code of a log that is not followed."""
        messages, code = serverproc.WebSocket(self.server, path).rest()
        for message in messages:
            self.assertTrue(message.endswith(b"\n"), message)
            self.assertEqual(list(json.loads(message)), list(END), "members in the reference's order")
        return [json.loads(m) for m in messages], code

    def write(self, path, *frames):
        ws = serverproc.WebSocket(self.server, path)
        for text in frames:
            ws.send(text)
        ws.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(ws.rest(), ([], 1011))

    def test_written_entries_are_read(self):
        for kind in ("runner", "workspace", "target", "build"):
            self.write(f"/log/{kind}/x-1/write", frame("one\n"), frame("zwei \u00fc\t\x1b[1mb\x1b[0m\r\n"))
            entries, code = self.read(f"/log/{kind}/x-1")
            self.assertEqual(entries, [entry("one\n"), entry("zwei \u00fc\t\x1b[1mb\x1b[0m\r\n"), END])
            self.assertEqual(code, 1000)
            with open(os.path.join(self.server.data, "logs", kind + "s", "x-1", "log"), encoding="utf-8") as file:
                self.assertEqual(file.read(), frame("one\n") + frame("zwei \u00fc\t\x1b[1mb\x1b[0m\r\n"))

    def test_log_that_nobody_wrote(self):
        self.assertEqual(self.read("/log/workspace/none"), ([END], 1000))

    def test_lines_that_are_no_entries(self):
        self.write("/log/target/t/write", "plain\n", frame("good"), json.dumps(entry("no delimiter")) + "\n",
                   '{"msg":"half', '","label":"l"}' + DELIMITER, "tail without end")
        entries, _ = self.read("/log/target/t")
        self.assertEqual(entries, [END, entry("good"), entry("no delimiter"),
                                   dict(END, msg="half", label="l"), END, END])

    def test_follow(self):
        self.write("/log/workspace/f/write", frame("before"))
        reader = serverproc.WebSocket(self.server, "/log/workspace/f?follow=true")
        self.assertEqual(json.loads(reader.frame()[1]), entry("before"))
        writer = serverproc.WebSocket(self.server, "/log/workspace/f/write")
        text = frame("later")
        writer.send(text[:20])  # half an entry must wait for its other half
        cpu = common.cpu_seconds(self.server.pid)
        reader.sock.settimeout(0.7)
        with self.assertRaises(TimeoutError):
            reader.frame()
        self.assertLess(common.cpu_seconds(self.server.pid) - cpu, 0.1, "it must not spin at the end")
        reader.sock.settimeout(30)
        writer.send(text[20:])
        self.assertEqual(json.loads(reader.frame()[1]), entry("later"))
        # Pings are answered, and other logs stay apart.
        reader.send(b"hey", opcode=9)
        self.assertEqual(reader.frame(), (10, b"hey"))
        self.write("/log/workspace/other/write", frame("elsewhere"))
        writer.send(frame("last"))
        self.assertEqual(json.loads(reader.frame()[1]), entry("last"))
        reader.close(1000)
        self.assertEqual(reader.rest(), ([], 1000))

    def test_reader_that_leaves_is_told(self):
        reader = serverproc.WebSocket(self.server, "/log/runner/r?follow=true")
        reader.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(reader.rest(), ([], 1011))

    def test_follow_is_only_that_word(self):
        self.assertEqual(self.read("/log/runner/r?follow=1"), ([END], 1000))

    def test_ten_followers_and_much_text(self):
        readers = [serverproc.WebSocket(self.server, "/log/workspace/m?follow=true") for _ in range(10)]
        writer = serverproc.WebSocket(self.server, "/log/workspace/m/write")
        count = 300
        feed = threading.Thread(target=lambda: [writer.send(frame(f"{i} " + "x" * 2000)) for i in range(count)])
        feed.start()
        for reader in readers:
            for i in range(count):
                self.assertTrue(json.loads(reader.frame()[1])["msg"].startswith(f"{i} "))
        feed.join()

    def test_slow_follower_does_not_hold_the_server(self):
        reader = serverproc.WebSocket(self.server, "/log/workspace/s?follow=true")
        writer = serverproc.WebSocket(self.server, "/log/workspace/s/write")
        for i in range(600):
            writer.send(frame(f"{i} " + "y" * 20000))
        self.server.ok("GET", "/health")
        self.assertLess(common.rss_kb(self.server.pid), 400000)
        for i in range(600):  # and yet it misses nothing
            self.assertTrue(json.loads(reader.frame()[1])["msg"].startswith(f"{i} "))

    def test_ids_are_checked(self):
        for bad in ("..", ".hidden", "a%20b", "a%0ab"):
            answer = self.server.call("GET", f"/log/workspace/{bad}/write", headers=[
                ("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])
            self.assertEqual(answer.status, 400, bad)
        self.assertEqual(sorted(os.listdir(os.path.join(self.server.data, "logs"))
                                if os.path.exists(os.path.join(self.server.data, "logs")) else []), [])

    def test_keys_are_checked(self):
        for path in ("/log/workspace/x", "/log/workspace/x/write", "/log/server"):
            ws = serverproc.WebSocket(self.server, path, "nokey")
            self.assertEqual(ws.status, 401)
            self.assertIn(b'{"error":"unauthorized"}', ws.buffer)

    def test_bad_frames(self):
        def one(send, code):
            ws = serverproc.WebSocket(self.server, "/log/workspace/b/write")
            send(ws)
            self.assertEqual(ws.rest()[1], code)

        one(lambda ws: ws.send("x", masked=False), 1002)
        one(lambda ws: ws.send("x", opcode=3), 1002)
        one(lambda ws: ws.send("x" * 126, opcode=9), 1002)
        one(lambda ws: ws.sock.sendall(b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" + b"mask"), 1009)
        one(lambda ws: ws.sock.sendall(b"\xc1\x80mask"), 1002)
        # Fragments are one message; a frame cut off by the end of the connection is none.
        ws = serverproc.WebSocket(self.server, "/log/workspace/g/write")
        ws.send("a", fin=False)
        ws.send("b", opcode=0)
        ws.sock.sendall(b"\x81\x85mask1")
        ws.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(ws.rest(), ([], 1011))
        with open(os.path.join(self.server.data, "logs", "workspaces", "g", "log"), encoding="ascii") as file:
            self.assertEqual(file.read(), "ab")

    def test_server_log_is_plain_text(self):
        messages, code = serverproc.WebSocket(self.server, "/log/server").rest()
        self.assertEqual(code, 1000)
        self.assertIn(b"client API key is in", messages[0])
        self.assertNotIn(self.server.key.encode(), b"".join(messages))
        self.assertEqual(self.server.ok("GET", "/server/logs").json, ["server.log"])
        self.assertEqual(serverproc.WebSocket(self.server, "/log/server?file=other").status, 404)

    def test_large_log_is_rotated_under_a_follower(self):
        folder = os.path.join(self.server.data, "logs", "workspaces", "big")
        os.makedirs(folder)
        line = frame("z" * 60000).encode()
        with open(os.path.join(folder, "log"), "wb") as file:
            for _ in range((32 << 20) // len(line) + 1):
                file.write(line)
        reader = serverproc.WebSocket(self.server, "/log/workspace/big?follow=true")
        seen = 0
        while seen < (32 << 20) // len(line) + 1:
            seen += json.loads(reader.frame()[1])["msg"].startswith("z")
        self.write("/log/workspace/big/write", frame("new"))
        self.assertEqual(json.loads(reader.frame()[1]), entry("new"))
        self.assertEqual(sorted(os.listdir(folder)), ["log", "log.1"])
        self.assertEqual(os.path.getsize(os.path.join(folder, "log")), len(frame("new")))


if __name__ == "__main__":
    common.main()
