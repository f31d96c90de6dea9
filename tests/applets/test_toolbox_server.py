#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The toolbox through the embedded Server: what an agent of another kind does with it, large bodies, who may, and what
happens when somebody goes."""
import hashlib
import http.client
import os
import signal
import socket
import ssl
import struct
import sys
import threading
from unittest import mock

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common, serverproc, tunnelcase  # noqa: E402
import toolboxcase  # noqa: E402

BIG = 40


class Through(tunnelcase.TunnelCase):
    def setUp(self):
        super().setUp()
        self.key, self.other_key = self.make("w1", "w2")
        self.agent("w1", self.key)
        self.app = os.path.join(self.tmp, "home-w1", "app")
        self.toolbox = self.of("w1")

    def of(self, workspace, key=None):
        return toolboxcase.Toolbox(self, self.server.port, f"/workspace/{workspace}/toolbox", key or self.server.key)

    def head(self, method, path, *fields):
        return (f"{method} /workspace/w1/toolbox{path} HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {self.server.key}\r\n" + "".join(f"{f}\r\n" for f in fields) + "\r\n").encode()

    def test_a_program_works_in_the_workspace(self):
        t = self.toolbox
        self.assertEqual(t.ok("GET", "/workspace-dir", shape="WorkspaceDirResponse"), {"dir": self.app})
        self.assertEqual(t.ok("POST", "/process/execute", {"command": "git init -q -b main"}, "ExecuteResponse")["code"], 0)
        source = b"print('gr\xc3\xbc\xc3\x9fe', 6 * 7)\n"
        self.assertEqual(t.upload("src/a b.py", source).status, 200)
        self.assertEqual(t.download("src/a b.py"), source)
        self.assertEqual([f["name"] for f in t.ok("GET", "/files", shape=["FileInfo"], path="src")], ["a b.py"])
        found = t.ok("GET", "/files/find", shape=["Match"], path=".", pattern="gr\u00fc\u00dfe")
        self.assertEqual([(m["file"], m["line"]) for m in found], [("src/a b.py", 1)])
        ran = t.ok("POST", "/process/execute", {"command": f"'{sys.executable}' 'src/a b.py'"}, "ExecuteResponse")
        self.assertEqual(ran, {"code": 0, "result": "gr\u00fc\u00dfe 42\n"})
        t.session("one")
        t.exec("one", "cd src; export WHO=me")
        self.assertEqual(t.exec("one", "echo $WHO in $(basename $PWD)")["output"], "me in src\n")
        t.ok("POST", "/git/add", {"path": ".", "files": ["."]})
        made = t.ok("POST", "/git/commit", {"path": ".", "message": "first", "author": "A", "email": "a@x"},
                    "GitCommitResponse")
        history = t.ok("GET", "/git/history", shape=["GitCommitInfo"], path=".")
        self.assertEqual([(c["hash"], c["message"]) for c in history], [(made["hash"], "first")])
        self.assertEqual(t.ok("GET", "/git/status", shape="GitStatus", path=".")["fileStatus"], [])
        t.ok("DELETE", "/process/session/one", status=204)
        t.ok("DELETE", "/files", status=204, path="src", recursive="true")
        t.fails(404, "GET", "/files/info", path="src/a b.py")
        self.assertEqual(t.call("POST", "/lsp/start", {}).status, 501)
        self.assertEqual(t.call("GET", "/nothing/there").status, 404)
        named = self.of("name-w1")
        self.assertEqual(named.ok("GET", "/workspace-dir", shape="WorkspaceDirResponse"), {"dir": self.app})

    def test_who_may(self):
        for key in (self.key, self.other_key, self.runner):
            answer = self.of("w1", key).call("GET", "/workspace-dir")
            self.assertEqual((answer.status, "forbidden" in answer.text), (403, True))
            self.assertEqual(self.of("w1", key).upload("x", b"x").status, 403)
        self.assertEqual(self.of("w1", "nobody").call("GET", "/workspace-dir").status, 401)
        self.of("none").fails(404, "GET", "/workspace-dir", text="not found")
        self.assertEqual(os.listdir(self.app), [])

    def be_agent(self, answer):
        """Plays w2's agent for one stream: answer(its end, bytes that came) once they hold "body"."""
        seen = []

        def run():
            order, = self.server.ok("GET", "/workspace/w2/tunnel/poll", key=self.other_key).json
            end = serverproc.WebSocket(self.server, f"/workspace/w2/tunnel/{order['id']}", self.other_key)
            got = b""
            while b"body" not in got:
                opcode, payload = end.frame()
                if opcode == 2:
                    got += payload[1:]
            seen.append(got)
            answer(end)
        thread = threading.Thread(target=run)
        thread.start()
        return seen, thread

    def ask(self, head):
        with self.server.socket() as sock:
            sock.sendall(head.replace("\n", "\r\n").format(key=self.server.key).encode() + b"Content-Length: 4\r\n\r\nbody")
            answer = b""
            while data := sock.recv(65536):
                answer += data
            return answer

    def test_the_key_stays_here(self):
        def answer(end):
            end.send(b"\x01HTTP/1.1 299 X\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", opcode=2)
            end.close()
        seen, thread = self.be_agent(answer)
        got = self.ask("POST /workspace/w2/toolbox/a%2Fb/c%20d?x=%2F HTTP/1.1\nHost: h\nCookie: c\nX-Mine: 1\n"
                       "Connection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nAuthorization: Bearer {key}\n")
        thread.join()
        self.assertTrue(got.startswith(b"HTTP/1.1 299 ") and got.endswith(b"ok"), got)
        self.assertEqual(seen, [b"POST /a/b/c%20d?x=%2F HTTP/1.1\r\nHost: h\r\nX-Mine: 1\r\n"
                                b"Content-Length: 4\r\nConnection: close\r\n\r\nbody"])
        with open(os.path.join(self.tmp, "data", "audit.log"), encoding="utf-8") as file:
            self.assertIn("POST a/b/c d in the toolbox of workspace w2", file.read())

    def test_an_agent_that_is_none(self):
        def close(*frames, code=1000, reason=b""):
            def answer(end):
                for frame in frames:
                    end.send(frame, opcode=2)
                end.send(struct.pack(">H", code) + reason, opcode=8)
            return answer
        part = b"\x01HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"
        for answer, status, text in (
                (close(), b"500", b"gave no answer"),
                (close(code=4005, reason=b"no toolbox here"), b"500", b"no toolbox here"),
                (close(b"\x06\x00\x00\xff\xff\xff"), b"500", b"broke the protocol"),
                (close(b"\x06\xff\xff\xff\xff"), b"500", b"broke the protocol"),
                (close(*[b"\x01" + b"x" * 60000] * 6), b"500", b"broke the protocol"),
                (close(b"\x01HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
                 b"500", b"broke the protocol"),
                (close(*[b"\x01" + part[i:i + 1] for i in range(1, len(part))]), b"200", b"part"),
                (close(b"\x00ignored", b"\x02ignored", b"\xff\x01", b"\x09", part), b"200", b"part")):
            _, thread = self.be_agent(answer)
            got = self.ask("POST /workspace/w2/toolbox/x HTTP/1.1\nHost: h\nAuthorization: Bearer {key}\n")
            thread.join()
            self.assertEqual((got[9:12], text in got), (status, True), got[:300])
            self.assertNotIn(b"ignored", got)

    def test_a_connection_is_for_one_request(self):
        """Whoever keeps connections open, as a proxy does, hands no agent the next request, which has somebody's key."""
        next_one = f"GET /runner HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {self.server.key}\r\n\r\n".encode()
        upgrade = ("Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n")
        for fields, body in (("Content-Length: 4\n", b"body"), ("Transfer-Encoding: chunked\n", b"4\r\nbody\r\n0\r\n\r\n"),
                             ("", b""), (upgrade, b"")):
            with self.subTest(fields=fields):
                def answer(end):
                    end.send(b"\x01HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n"
                             b"Content-Length: 2\r\nSet-Cookie: a=b\r\n\r\nok", opcode=2)
                    while True:  # until the Server has heard of the client's end
                        opcode, payload = end.frame()
                        if opcode == 8:
                            break
                        if opcode == 2 and payload[:1] == b"\0":
                            seen.append(payload[1:])
                seen, thread = self.be_agent(answer)
                head = f"POST /workspace/w2/toolbox/body HTTP/1.1\nHost: h\n{fields}Authorization: Bearer {{key}}\n\n"
                with self.server.socket() as sock:
                    sock.sendall(head.replace("\n", "\r\n").format(key=self.server.key).encode() + body + next_one)
                    got = b""
                    while not got.endswith(b"ok"):
                        data = sock.recv(65536)
                        self.assertTrue(data, got)
                        got += data
                    sock.sendall(next_one)
                thread.join()
                sent = b"".join(seen)
                self.assertNotIn(b"Bearer", sent)
                self.assertTrue(sent.endswith(body or b"\r\n\r\n"), sent)
                self.assertIn(b"\r\nConnection: close\r\n", got)
                for field in (b"Keep-Alive", b"keep-alive", b"Set-Cookie"):
                    self.assertNotIn(field, got)

    def test_a_key_that_is_deleted_ends_its_calls(self):
        key = self.server.ok("POST", "/apikey/short").body.decode().strip('"')
        answers = []

        def call():
            try:
                answers.append(self.of("w1", key).call("POST", "/process/execute", {"command": "sleep 600", "timeout": 600}))
            except OSError as error:
                answers.append(error)
        thread = threading.Thread(target=call)
        thread.start()
        common.wait_for(lambda: self.figure('streams{state="open"}') == 1, 20 * common.PATIENCE, "the call")
        self.server.ok("DELETE", "/apikey/short")
        thread.join()
        self.assertEqual((answers[0].status, "was deleted" in answers[0].text), (500, True), answers)

    def test_without_an_agent(self):
        text = self.of("w2").fails(500, "GET", "/workspace-dir", text="no agent of the workspace is connected")
        self.assertIn("running?", text)

    def test_large_bodies_pass_through_little_memory(self):
        block = os.urandom(1 << 20)
        boundary = "b" * 40
        head = f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n".encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        before = common.rss_kb(self.server.process.pid)
        with self.server.socket() as sock:
            sock.sendall(self.head("POST", "/files/upload?path=big", f"Content-Length: {len(head) + (BIG << 20) + len(tail)}",
                                   f"Content-Type: multipart/form-data; boundary={boundary}") + head)
            most = before
            for _ in range(BIG):
                sock.sendall(block)
                most = max(most, common.rss_kb(self.server.process.pid))
            sock.sendall(tail)
            self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 200 "))
        with open(os.path.join(self.app, "big"), "rb") as file:
            self.assertEqual(hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(block * BIG).hexdigest())
        got, size = hashlib.sha256(), 0
        with self.server.socket() as sock:
            sock.sendall(self.head("GET", "/files/download?path=big"))
            data = b""
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            data = data.split(b"\r\n\r\n", 1)[1]
            while size < BIG << 20:
                data = data or sock.recv(65536)
                self.assertTrue(data)
                got.update(data)
                size += len(data)
                data = b""
                most = max(most, common.rss_kb(self.server.process.pid))
        self.assertEqual((size, got.hexdigest()), (BIG << 20, hashlib.sha256(block * BIG).hexdigest()))
        if common.is_static(common.BIN):  # a sanitizer keeps what was given back
            self.assertLess(most - before, 8000, "kilobytes")

    def test_a_client_that_does_not_read_holds_the_agent_back(self):
        with open(os.path.join(self.app, "big"), "wb") as file:
            file.truncate(64 << 20)
        sent = self.figure("stream_bytes_total")
        with self.server.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            sock.sendall(self.head("GET", "/files/download?path=big"))
            self.assertTrue(sock.recv(10))
            # Others are served meanwhile, and what is under way is bounded: sockets' buffers and a window.
            for _ in range(20):
                self.assertEqual(self.toolbox.call("GET", "/workspace-dir").status, 200)
            self.assertLess(self.figure("stream_bytes_total") - sent, 12 << 20)
        common.wait_for(lambda: self.figure('streams{state="open"}') == 0, 20 * common.PATIENCE, "the stream's end")

    def test_a_log_is_followed(self):
        self.toolbox.session("s")
        os.mkfifo(os.path.join(self.app, "gate"))
        command = self.toolbox.start("s", "echo one; cat gate; echo two")
        path = f"/workspace/w1/toolbox/process/session/s/command/{command}/logs"
        ws = serverproc.WebSocket(self.server, path)
        self.assertEqual(ws.status, 101)
        self.assertEqual(ws.frame(), (1, b"one\n"))
        with open(os.path.join(self.app, "gate"), "w", encoding="utf-8"):
            pass
        self.assertEqual(ws.rest(), ([b"two\n"], 1000))

    def test_a_client_that_leaves_ends_its_program_and_no_session(self):
        self.toolbox.session("s")
        self.toolbox.exec("s", "A=1")
        with self.server.socket() as sock:
            body = b'{"command": "sh -c \'echo $$ > pid; sleep 600\'", "timeout": 600}'
            sock.sendall(self.head("POST", "/process/execute", f"Content-Length: {len(body)}") + body)
            path = os.path.join(self.app, "pid")
            common.wait_for(lambda: os.path.exists(path) and os.path.getsize(path), 20 * common.PATIENCE, "the program")
        with open(path, encoding="utf-8") as file:
            pid = int(file.read())
        common.wait_for(lambda: not common.alive(pid), 20 * common.PATIENCE, "the program's end")
        self.assertEqual(self.toolbox.exec("s", "echo $A")["output"], "1\n")

    def test_kill_9_of_the_agent(self):
        self.toolbox.session("s")
        answers = []
        threads = [threading.Thread(target=lambda p=p, b=b: answers.append(self.toolbox.call("POST", p, b))) for p, b in (
            ("/process/session/s/exec", {"command": "touch runs; sleep 600"}),
            ("/process/execute", {"command": "sh -c 'touch runs2; sleep 600'", "timeout": 600}))]
        for thread in threads:
            thread.start()
        common.wait_for(lambda: {"runs", "runs2"} <= set(os.listdir(self.app)), 20 * common.PATIENCE, "the commands")
        os.kill(self.agents["w1"].pid, signal.SIGKILL)
        for thread in threads:
            thread.join()
        self.assertEqual([a.status for a in answers], [500, 500], [a.body for a in answers])
        self.wait_nothing_left()
        self.agents["w1"].wait()
        del self.agents["w1"]
        self.agent("w1", self.key)
        self.assertEqual(self.toolbox.ok("GET", "/process/session", shape=["Session"]), [])
        self.toolbox.session("s")
        self.assertEqual(self.toolbox.exec("s", "echo again")["output"], "again\n")

    def test_when_the_agent_ends_so_do_its_sessions(self):
        self.toolbox.session("s")
        self.toolbox.exec("s", "setsid sleep 600 &")
        self.agents["w1"].send_signal(signal.SIGTERM)
        self.agents["w1"].wait()
        self.wait_nothing_left()

    def test_many_at_once(self):
        wrong = []

        def work(i):
            data = os.urandom(100_000)
            for k in range(3):
                up = self.toolbox.upload(f"f{i}", data)
                if up.status != 200 or self.toolbox.download(f"f{i}") != data:
                    wrong.append((i, k, up.status, up.body))
        threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        common.wait_for(lambda: self.figure('streams{state="open"}') == 0, 20 * common.PATIENCE, "the streams' end")


class OverTls(tunnelcase.TunnelCase):
    def start_server(self):
        self.ca = common.make_ca(self.tmp)
        cert, key = common.make_cert(self.tmp, self.ca)
        context, https = ssl.create_default_context(cafile=self.ca), http.client.HTTPSConnection
        patch = mock.patch.object(http.client, "HTTPConnection", lambda *a, **k: https(*a, context=context, **k))
        patch.start()
        self.addCleanup(patch.stop)
        self.args = ("--tls-cert", cert, "--tls-key", key)
        super().start_server()

    def test_large_bodies(self):
        key, = self.make("w1")
        self.agent("w1", key, DAYTONA_AGENT_CA_FILE=self.ca)
        toolbox = toolboxcase.Toolbox(self, self.server.port, "/workspace/w1/toolbox", self.server.key)
        data = os.urandom(12 << 20)
        self.assertEqual(toolbox.upload("big", data).status, 200)
        self.assertTrue(toolbox.download("big") == data)
        toolbox.session("s")
        self.assertEqual(toolbox.exec("s", "echo hi")["output"], "hi\n")


if __name__ == "__main__":
    common.main()
