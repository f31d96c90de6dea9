#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's log sockets: writing, reading, following, the end marker, close codes, hostile frames."""
import json
import os
import signal
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
        self.server = s = serverproc.Server(self, os.path.join(self.tmp, "data"))
        self.runner = serverproc.make_runner(s, "x-r", "one")
        serverproc.make_runner(s, "r", "two")
        config = serverproc.make_config(s, "x-r")
        for target in ("x-t", "t"):
            s.ok("POST", "/target", {"id": target, "name": "t-" + target, "targetConfigId": config})
        for workspace in ("x-w", "quiet", "f", "other", "m", "s", "b", "g", "big"):
            s.ok("POST", "/workspace", serverproc.workspace_body(workspace, "w-" + workspace, "t"))
        s.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://git.test/a/b", "envVars": {}}, status=201)
        self.build = s.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "main", "envVars": {}},
                          status=201).body.decode()

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
        for kind, name in (("runner", "x-r"), ("workspace", "x-w"), ("target", "x-t"), ("build", self.build)):
            self.write(f"/log/{kind}/{name}/write", frame("one\n"), frame("zwei \u00fc\t\x1b[1mb\x1b[0m\r\n"))
            entries, code = self.read(f"/log/{kind}/{name}")
            self.assertEqual(entries, [entry("one\n"), entry("zwei \u00fc\t\x1b[1mb\x1b[0m\r\n"), END])
            self.assertEqual(code, 1000)
            with open(os.path.join(self.server.data, "logs", kind + "s", name, "log"), encoding="utf-8") as file:
                self.assertEqual(file.read(), frame("one\n") + frame("zwei \u00fc\t\x1b[1mb\x1b[0m\r\n"))

    def test_log_that_nobody_wrote(self):
        self.assertEqual(self.read("/log/workspace/quiet"), ([END], 1000))

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

    def test_logs_of_what_never_was(self):
        """Nobody would ever remove them: 404, and no directory, whoever asks."""
        runner = self.server.ok("POST", "/runner", {"id": "r3", "name": "three"}).json["apiKey"]
        for key in (self.server.key, runner):
            for kind in ("runner", "workspace", "target", "build"):
                if (key, kind) == (runner, "runner"):
                    continue  # a runner's key opens its own log alone
                for path in (f"/log/{kind}/nobody", f"/log/{kind}/nobody/write", f"/log/{kind}/nobody?follow=true"):
                    ws = serverproc.WebSocket(self.server, path, key)
                    self.assertEqual((ws.status, b"not found" in ws.buffer), (404, True), path)
        # A name is no id.
        self.assertEqual(serverproc.WebSocket(self.server, "/log/workspace/w-f").status, 404)
        self.assertFalse(os.path.exists(os.path.join(self.server.data, "logs")))

    def test_one_key_has_so_many_sockets(self):
        """A workspace's key, which all in it can read, cannot take every place."""
        key = self.server.ok("GET", "/workspace/f", key=self.runner).json["apiKey"]
        held = [serverproc.WebSocket(self.server, "/log/workspace/f?follow=true", key) for _ in range(16)]
        self.assertEqual({ws.status for ws in held}, {101})
        late = serverproc.WebSocket(self.server, "/log/workspace/f?follow=true", key)
        self.assertEqual((late.status, b"its limit" in late.buffer), (503, True))
        self.assertEqual(self.read("/log/workspace/f"), ([END], 1000), "another key has places of its own")
        held[0].close()
        held[0].rest()
        held[0].sock.close()
        common.wait_for(lambda: serverproc.WebSocket(self.server, "/log/workspace/f", key).status == 101, 20 * common.PATIENCE,
                        "a place that was given back")

    def test_a_deleted_key_reads_and_writes_no_more(self):
        """Another key of its name is another key. A runner that has a newer key goes on."""
        key = self.server.ok("POST", "/apikey/ada").body.decode()
        reader = serverproc.WebSocket(self.server, "/log/workspace/quiet?follow=true", key)
        writer = serverproc.WebSocket(self.server, "/log/workspace/quiet/write", key)
        runner = serverproc.WebSocket(self.server, "/log/workspace/quiet/write", self.runner)
        writer.send(frame("before"))
        self.assertEqual(json.loads(reader.frame()[1])["msg"], "before")
        self.server.ok("DELETE", "/apikey/ada")
        self.server.ok("POST", "/apikey/ada")
        newer = self.server.ok("POST", "/runner/x-r/key", key=self.runner).json["apiKey"]
        self.server.ok("GET", "/runner/x-r", key=newer)
        writer.send(frame("forged"))
        self.assertEqual(writer.rest(), ([], 4004))
        runner.send(frame("after"))
        self.assertEqual(reader.rest(), ([], 4004))
        runner.sock.close()
        self.assertEqual([m["msg"] for m in self.read("/log/workspace/quiet")[0]], ["before", "after", ""])

    def test_a_log_without_line_breaks_is_read_in_pieces(self):
        """Gigabytes without one: who asks at the same moment is answered long before the reader is at the end."""
        folder = os.path.join(self.server.data, "logs", "workspaces", "big")
        os.makedirs(folder)
        with open(os.path.join(folder, "log"), "wb") as file:
            file.truncate(16 << 30)
        other = self.server.socket()
        other.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", other.recv(4096))
        raw = self.server.socket()
        os.kill(self.server.pid, signal.SIGSTOP)
        raw.sendall((f"GET /log/workspace/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.server.key}\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").encode())
        other.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        os.kill(self.server.pid, signal.SIGCONT)
        self.assertIn(b"200 OK", other.recv(4096))
        raw.setblocking(False)
        try:
            head = raw.recv(65536)
        except BlockingIOError:
            head = b""
        self.assertNotIn(b"source", head, "the reader was served to the end first")

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
        one(lambda ws: ws.send(b"\xff\xfe"), 1007)
        for code, answer in ((1005, 1002), (1006, 1002), (1015, 1002), (999, 1002), (2999, 1002), (3000, 3000)):
            one(lambda ws, code=code: ws.close(code), answer)
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
