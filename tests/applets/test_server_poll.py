#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's long poll: waits without work, is woken at once, survives callers that leave."""
import json
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"


class Poll(common.Case):
    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "5")
        self.key = serverproc.make_runner(self.server)

    def poller(self):
        s = self.server.socket()
        s.sendall(f"GET /runner/{ID}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode())
        return s

    def answer(self, s):
        """Status and body of the answer on a kept connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = s.recv(65536)
            self.assertTrue(chunk, "closed without an answer")
            data += chunk
        head, body = data.split(b"\r\n\r\n", 1)
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if
                       line.lower().startswith(b"content-length")), 0)
        while len(body) < length:
            body += s.recv(65536)
        return int(head.split()[1]), body

    def job(self):
        self.server.ok("POST", f"/runner/{ID}/provider/other/install")

    def quiet(self, connections):
        """All pollers are known to the server when an ordinary request after them has been answered."""
        self.server.ok("GET", "/health")
        self.assertGreaterEqual(common.open_fds(self.server.pid), connections)

    def test_twenty_pollers_cost_nothing_and_wake_together(self):
        pollers = [self.poller() for _ in range(20)]
        self.quiet(20)
        cpu = common.cpu_seconds(self.server.pid)
        pollers[0].settimeout(2)
        with self.assertRaises(TimeoutError):
            pollers[0].recv(1)
        self.assertLessEqual(common.cpu_seconds(self.server.pid) - cpu, 0.2)
        pollers[0].settimeout(60)
        begin = time.monotonic()
        self.job()
        ids = set()
        for s in pollers:
            status, body = self.answer(s)
            self.assertEqual(status, 200)
            ids.add(json.loads(body)[0]["id"])
        self.assertEqual(len(ids), 1)
        self.assertLess(time.monotonic() - begin, 1 * common.PATIENCE)

    def test_empty_poll_ends_in_time_and_the_connection_lives(self):
        s = self.poller()
        begin = time.monotonic()
        self.assertEqual(self.answer(s), (204, b""))
        self.assertGreaterEqual(time.monotonic() - begin + common.CLOCKS, 5)
        self.job()
        s.sendall(f"GET /runner/{ID}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.key}\r\n\r\n".encode())
        self.assertEqual(self.answer(s)[0], 200)

    def test_callers_that_leave_are_forgotten(self):
        fds = common.open_fds(self.server.pid)
        pollers = [self.poller() for _ in range(30)]
        self.quiet(30)
        for s in pollers[:15]:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # with a reset
        for s in pollers:
            s.close()
        common.wait_for(lambda: common.open_fds(self.server.pid) <= fds, 10 * common.PATIENCE, "descriptors closed")
        self.job()
        self.assertEqual(self.answer(self.poller())[0], 200)

    def test_same_job_until_it_is_claimed(self):
        self.job()
        first = json.loads(self.answer(self.poller())[1])
        self.assertEqual(json.loads(self.answer(self.poller())[1]), first)
        self.server.ok("POST", f"/runner/{ID}/jobs/{first[0]['id']}/state", {"state": "running"}, self.key)
        self.assertEqual(self.answer(self.poller())[0], 204)

    def test_job_set_back_to_pending_wakes(self):
        self.job()
        job = json.loads(self.answer(self.poller())[1])[0]["id"]
        self.server.ok("POST", f"/runner/{ID}/jobs/{job}/state", {"state": "running"}, self.key)
        s = self.poller()
        self.quiet(1)
        self.server.ok("POST", f"/runner/{ID}/jobs/{job}/state", {"state": "pending"}, self.key)
        self.assertEqual(self.answer(s)[0], 200)

    def test_build_jobs_go_to_every_runner_others_to_their_own(self):
        other = self.server.ok("POST", "/runner", {"id": "bbbbbbbbbbb2", "name": "two"}).json["apiKey"]
        self.server.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://git.test/a/b",
                                                       "envVars": {}}, status=201)
        self.job()
        build = self.server.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "main", "envVars": {}},
                               status=201).body.decode()
        mine = json.loads(self.answer(self.poller())[1])
        self.assertEqual([j["resourceType"] for j in mine], ["runner", "build"])
        self.assertEqual((mine[1]["resourceId"], mine[1]["runnerId"]), (build, None))
        theirs = self.server.ok("GET", "/runner/bbbbbbbbbbb2/jobs", key=other).json
        self.assertEqual([j["id"] for j in theirs], [mine[1]["id"]])

    def test_server_ends_while_pollers_wait(self):
        pollers = [self.poller() for _ in range(5)]
        self.quiet(5)
        self.assertEqual(self.server.stop(), 0)
        for s in pollers:
            self.assertEqual(s.recv(10), b"")


if __name__ == "__main__":
    common.main()
