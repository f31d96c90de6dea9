#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the Server does costs the same however much it stores: processor time of the same requests in a small and in a
large store, what a resource's history costs, what is forgotten. Never the clock."""
import http.client
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"
SMALL, LARGE = 60, 600
TIMES = 24


def processor_ns(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


class Growth(common.Case):
    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"))
        self.key = serverproc.make_runner(self.server)
        self.config = serverproc.make_config(self.server)
        self.client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60 * common.PATIENCE)
        self.addCleanup(self.client.close)
        self.made = 0

    def call(self, method, path, body=None, key=None):
        self.client.request(method, path, None if body is None else json.dumps(body),
                            {"Authorization": "Bearer " + (key or self.server.key)})
        reply = self.client.getresponse()
        data = reply.read()
        self.assertLess(reply.status, 300, (method, path, data))
        return json.loads(data) if data[:1] in (b"[", b"{") else None

    def finish(self):
        for job in self.call("GET", f"/runner/{ID}/jobs", key=self.key):
            for state in ("running", "success"):
                self.call("POST", f"/runner/{ID}/jobs/{job['id']}/state", {"state": state}, self.key)

    def target(self, name):
        self.call("POST", "/target", {"id": name, "name": name, "targetConfigId": self.config})
        self.finish()

    def workspace(self, name, target):
        self.call("POST", "/workspace", serverproc.workspace_body(name, name, target, labels={"for": target}))

    def grow(self, total):
        while self.made < total:
            if self.made % 30 == 0:
                self.target(f"t{self.made // 30}")
            self.workspace(f"w{self.made}", f"t{self.made // 30}")
            self.made += 1
            if self.made % 30 == 0:
                self.finish()

    def cost(self, what):
        """Processor time of TIMES of them, the least of three."""
        costs = []
        for turn in range(3):
            before = processor_ns(self.server.pid)
            for i in range(TIMES):
                what(turn * TIMES + i)
            costs.append(processor_ns(self.server.pid) - before)
        return min(costs)

    def test_the_same_request_costs_the_same(self):
        def poll(_):
            self.call("POST", "/workspace/busy/start")
            self.finish()

        def create(i):
            self.workspace(f"x{self.made}-{i}", "lonely")

        requests = {
            "a workspace": lambda i: self.call("GET", "/workspace/lone"),
            "its state": lambda i: self.call("GET", "/workspace/lone/state"),
            "a target": lambda i: self.call("GET", "/target/apart"),
            "its jobs": lambda i: self.call("GET", "/job?resourceId=lone"),
            "open jobs": lambda i: self.call("GET", "/job?states=pending&states=running"),
            "a job, from its creation to its end": poll,
            "a heartbeat": lambda i: self.call("POST", f"/runner/{ID}/metadata", {"uptime": i + 1, "providers": []}, self.key),
            "labels": lambda i: self.call("POST", "/workspace/lone/labels", {"n": str(i)}),
        }
        self.target("apart")
        self.target("lonely")
        self.workspace("lone", "apart")
        self.workspace("busy", "lonely")
        self.finish()
        costs = []
        for total in (SMALL, LARGE):
            self.grow(total)
            costs.append({name: self.cost(what) for name, what in requests.items()})
            costs[-1]["a create"] = self.cost(create)
            self.finish()
        for name, small in costs[0].items():
            self.assertLess(costs[1][name], 3 * small, f"{name}: {small} ns at {SMALL}, {costs[1][name]} ns at {LARGE}")

    def test_a_long_history_costs_nothing_and_is_cut(self):
        self.target("apart")
        self.workspace("lone", "apart")
        self.finish()
        costs = []

        def act(i):
            self.call("POST", f"/workspace/lone/{('stop', 'start')[i % 2]}")
            self.finish()

        for _ in range(3):
            costs.append(self.cost(act))
        self.assertLess(costs[2], 2 * costs[0])
        jobs = self.call("GET", "/job?resourceId=lone")
        self.assertEqual(len(jobs), 21, "20 of the past and the last one")
        self.assertEqual([j["action"] for j in jobs[-2:]], ["stop", "start"])
        # Nobody tells of it here, so on a slow machine it is old news.
        self.assertIn(self.call("GET", "/workspace/lone/state")["name"], ("started", "unresponsive"))

    def test_old_jobs_expire_with_their_deleted_resource(self):
        self.target("apart")
        for name in ("gone", "stays"):
            self.workspace(name, "apart")
            self.finish()
            self.call("POST", f"/workspace/{name}/stop")
            self.finish()
        log = serverproc.WebSocket(self.server, "/log/workspace/gone/write")
        self.call("DELETE", "/workspace/gone")
        self.finish()
        folder = os.path.join(self.server.data, "logs", "workspaces", "gone")
        self.assertEqual((log.status, os.path.isdir(folder)), (101, True))
        self.assertEqual(self.server.stop(), 0)
        stored = serverproc.records(self.server.data)
        self.assertEqual(set(stored["workspaces"]), {"gone", "stays"})
        for job in stored["jobs"].values():
            serverproc.put_record(self.server.data, "jobs", dict(job, updatedAt="2020-01-01T00:00:00Z"))
        server = serverproc.Server(self, self.server.data)
        left = common.wait_for(lambda: (jobs := server.ok("GET", "/job").json) and len(jobs) == 2 and jobs, 20 * common.PATIENCE, "they expired")
        self.assertEqual({(j["resourceId"], j["action"]) for j in left}, {("apart", "create"), ("stays", "stop")},
                         "the last job of what is there stays, however old")
        self.assertEqual(server.ok("GET", "/workspace/stays/state").json["name"], "stopped")
        self.assertFalse(os.path.exists(folder), "a forgotten workspace's log goes with it")
        self.assertEqual(server.stop(), 0)
        self.assertEqual(set(serverproc.records(server.data)["workspaces"]), {"stays"})

    def test_there_are_never_more_than_so_many(self):
        self.target("apart")
        self.assertEqual(self.server.stop(), 0)
        job, = serverproc.records(self.server.data)["jobs"].values()
        serverproc.add_to_log(self.server.data, *(
            {"put": "jobs", "rec": dict(job, id=f"j{i}", resourceId=f"r{i}", resourceType="runner", seq=1000 + i)}
            for i in range(5100)))
        server = serverproc.Server(self, self.server.data)
        common.wait_for(lambda: len(server.ok("GET", "/job").json) == 5001, 20 * common.PATIENCE, "the surplus was forgotten")
        self.assertEqual([j["id"] for j in server.ok("GET", "/job").json[:2]], [job["id"], "j100"])
        self.assertEqual(server.stop(), 0)

    def test_the_log_stays_short(self):
        """Changes of a few records over and over do not add up on the disk."""
        self.target("apart")
        self.workspace("lone", "apart")
        self.finish()
        for i in range(500):
            self.call("POST", "/workspace/lone/provider-metadata", {"metadata": f"{i} " + "m" * 20000}, self.key)
        folder = os.path.join(self.server.data, "records")
        self.assertLess(sum(common.look_at(folder, lambda _, st: st.st_size).values()), 7 << 20)
        self.server.kill()
        server = serverproc.Server(self, self.server.data)
        self.assertTrue(server.ok("GET", "/workspace/lone").json["providerMetadata"].startswith("499 "))
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    common.main()
