#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The session recording in its order of time: what the reference runner, its agent and the administrator
asked a real Server, asked of the embedded one. Answers must be the same, times and made-up ids aside.
Requests that the recording left out (it keeps one of each kind) are added."""
import json
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

RECORDING = os.path.join(os.path.dirname(__file__), "..", "recordings", "daytona-0.53-session.jsonl")
RUNNER, TARGET, FIRST, SECOND = "c06076b18f00", "0a1b2c3d4e5f", "77aa10bc9d2e", "88bb10bc9d2f"
URL = "http://registry.test/bin/docker-provider-linux-amd64"
MANIFEST = {"docker-provider": {"default": True, "label": "Docker", "versions": {
    "latest": {"downloadUrls": {"linux-amd64": URL}}, "v0.13.0": {"downloadUrls": {"linux-amd64": URL}}}}}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
CLIENT_ID = re.compile(r'("DAYTONA_CLIENT_ID":")[0-9a-f-]{36}"')
KEY = re.compile(r"KEY\d{3}x+|[A-Za-z0-9]{48}(?=[\"\\])")
UNCOMPARED = {"date", "content-length", "transfer-encoding", "connection",
              "x-daytona-runner-tunnel"}  # an addition of ours


class Session(common.Case):
    args = ("--reference-keys",)

    def setUp(self):
        super().setUp()
        with open(RECORDING, encoding="utf-8") as file:
            self.exchanges = [json.loads(line) for line in file]
        self.assertEqual(len(self.exchanges), 52)
        self.left = set(range(52))
        data = os.path.join(self.tmp, "data")
        os.makedirs(os.path.join(data, "providers"), mode=0o700)
        open(os.path.join(data, "lock"), "w").close()
        with open(os.path.join(data, "providers", "manifest.json"), "w", encoding="utf-8") as file:
            json.dump(MANIFEST, file)
        self.server = serverproc.Server(self, data, "--poll-seconds", "1", *self.args)
        self.keys = {"KEY000" + "x" * 42: self.server.key}
        self.ids = {}

    def request(self, i):
        """Method, path, headers, body of exchange i with our ids and keys."""
        request = self.exchanges[i]["request"]
        method, path, _ = request["line"].split(" ")
        headers = [(k, v) for k, v in request["headers"] if k not in ("Host", "Content-Length")]
        body = request.get("body", "")
        for recorded, ours in list(self.ids.items()) + list(self.keys.items()):
            path, body = path.replace(recorded, ours), body.replace(recorded, ours)
            headers = [(k, v.replace(recorded, ours)) for k, v in headers]
        return method, path, headers, body

    def norm(self, text):
        for recorded, ours in self.ids.items():
            text = text.replace(ours, recorded)
        return KEY.sub("KEY", CLIENT_ID.sub(r'\1ID"', TIME.sub("TIME", text)))

    def shown(self, i, body):
        """What the answer to exchange i is compared by."""
        del i
        return body

    def learn(self, i, answer):
        recorded = self.exchanges[i]["response"].get("body", "")
        if answer.status != 200 or not recorded.startswith(("{", "[{")):
            return
        theirs, ours = json.loads(recorded), json.loads(answer.body)
        if isinstance(theirs, list):
            self.assertTrue(ours)
            theirs, ours = theirs[0], ours[0]
        for member in ("id", "key"):
            if member in theirs and theirs[member] != ours[member]:
                self.ids[theirs[member]] = ours[member]
        if theirs.get("apiKey"):
            self.keys[theirs["apiKey"]] = ours["apiKey"]

    def play(self, *numbers):
        for i in numbers:
            with self.subTest(f"{i}: {self.exchanges[i]['request']['line']}"):
                self.left.discard(i)
                want = self.exchanges[i]["response"]
                method, path, headers, body = self.request(i)
                answer = self.server.call(method, path, body or None, key=None, headers=headers)
                self.learn(i, answer)
                self.assertEqual(f"HTTP/1.1 {answer.status} {answer.reason}", want["line"])
                self.assertEqual(sorted((k.lower(), v) for k, v in answer.headers if k.lower() not in UNCOMPARED),
                                 sorted((k.lower(), v) for k, v in want["headers"] if k.lower() not in UNCOMPARED))
                if want["body"].startswith("(bash installer"):
                    self.assertTrue(answer.body.startswith(b"#!"))
                else:
                    self.assertEqual(self.norm(self.shown(i, answer.body.decode())),
                                     self.norm(self.shown(i, want["body"])))

    def play_left(self, i):
        """A poll whose caller goes away: half closed, so that the answer can be seen."""
        self.left.discard(i)
        method, path, headers, _ = self.request(i)
        s = self.server.socket()
        lines = [f"{method} {path} HTTP/1.1", "Host: x"] + [f"{k}: {v}" for k, v in headers]
        s.sendall("\r\n".join(lines + ["", ""]).encode())
        s.shutdown(socket.SHUT_WR)
        data = b""
        while chunk := s.recv(4096):
            data += chunk
        self.assertTrue(data.startswith(b"HTTP/1.1 408 Request Timeout\r\n"), data)
        self.assertTrue(data.endswith(b"\r\n\r\n"), data)

    def play_log(self, *numbers):
        for i in numbers:
            with self.subTest(f"{i}: {self.exchanges[i]['request']['line']}"):
                self.left.discard(i)
                _, path, headers, _ = self.request(i)
                key = dict(headers)["Authorization"].split()[1]
                ws = serverproc.WebSocket(self.server, path, key)
                self.assertEqual(ws.status, 101)
                names = [line.split(b":")[0] for line in ws.head.split(b"\r\n")[1:]]
                self.assertEqual(names, [k.encode() for k, _ in self.exchanges[i]["response"]["headers"]])
                frames = [f["payload"] for f in self.exchanges[i]["request"]["frames"] if f["opcode"] == 1]
                for frame in frames:
                    ws.send(frame)
                ws.sock.shutdown(socket.SHUT_WR)
                messages, code = ws.rest()
                self.assertEqual((messages, code), ([], int(self.exchanges[i]["response"]["frames"][-1]["payload"], 16)))
                _, _, kind, name, _ = path.split("/")
                with open(os.path.join(self.server.data, "logs", kind + "s", name, "log"), encoding="utf-8") as file:
                    self.assertTrue(file.read().endswith("".join(frames)))

    def state(self, job, state):
        self.server.ok("POST", f"/runner/{RUNNER}/jobs/{self.ids[job]}/state", {"state": state},
                       self.keys["KEY001" + "x" * 42])

    def job(self, poll, job, *between):
        self.play(poll)
        self.state(job, "running")
        self.play(*between)
        self.state(job, "success")

    def test_whole_session(self):
        body = self.exchanges[0]["response"]["body"]
        self.server.ok("PUT", "/server/config", body)
        self.play(50, 0, 42, 43)
        self.play_log(1)
        self.play(3, 6, 8, 10)
        self.play_left(11)
        self.play_log(2)
        self.play(7, 5)
        # A target.
        self.play(49, 12, 22, 28)
        self.play_log(25)
        self.play(29, 23)
        self.play_log(26)
        # A workspace that fails to start and is force-deleted.
        self.play(51, 13)
        self.state("28e8d2d85ee4", "running")
        self.play(24, 39)
        self.job(14, "450cd5b30935", 37)
        # Another one, through its life.
        create = json.loads(self.exchanges[51]["request"]["body"])
        self.server.ok("POST", "/workspace", dict(create, id=SECOND))
        key1 = self.keys["KEY001" + "x" * 42]
        self.ids["7930378ab586"] = self.server.ok("GET", f"/runner/{RUNNER}/jobs", key=key1).json[0]["id"]
        self.state("7930378ab586", "running")
        self.play(38)
        self.state("7930378ab586", "success")
        self.keys["KEY002" + "x" * 42] = self.server.ok("GET", f"/workspace/{SECOND}", key=key1).json["apiKey"]
        self.play(30, 15)
        self.state("62f7a1e7db73", "running")
        self.play(48)
        self.play_log(31, 32)
        self.state("62f7a1e7db73", "success")
        self.play(33)
        self.job(16, "d7a2cdd583f2", 34, 4, 40, 41)
        self.play(35)
        self.job(17, "9b82831e4728")
        self.play(36)
        self.job(18, "13ae6b54b073")
        self.play(27)
        self.job(19, "ffdece64796f")
        # Provider jobs.
        self.play(47, 46)
        self.job(20, "2bce8ea13ba3")
        self.play(9, 44)
        self.job(21, "3de4e198e591")
        self.play(45)
        self.assertEqual(self.left, set())
        self.assertEqual(self.server.stop(), 0)


class OwnThingsOnly(Session):
    """The same with the keys' rights as they are without --reference-keys: all of the session's calls are still
    allowed; but the workspace's agent (exchange 34) is not shown the target's options and variables."""
    args = ()

    def shown(self, i, body):
        if i != 34:
            return body
        value = json.loads(body)
        value["target"]["targetConfig"]["options"] = value["target"]["envVars"] = None
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


if __name__ == "__main__":
    common.main()
