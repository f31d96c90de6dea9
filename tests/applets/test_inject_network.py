# SPDX-License-Identifier: Apache-2.0
"""The network goes without a word: packets are dropped both ways, the interface vanishes. In a network
namespace of the test's own; skipped where that is not allowed."""
import os
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, Case, main, run  # noqa: E402


class NetworkTest(Case):
    def setUp(self):
        super().setUp()
        tag = str(os.getpid() % 100000)
        self.space, self.link, self.peer = f"dr{tag}", f"drh{tag}", f"drn{tag}"
        number = os.getpid() % 250
        self.host, self.inside = f"10.213.{number}.1", f"10.213.{number}.2"
        if not shutil.which("ip"):
            self.skipTest("no ip command here")
        if run(["ip", "netns", "add", self.space]).returncode != 0:
            self.skipTest("no network namespace can be made here")
        self.addCleanup(run, ["ip", "netns", "del", self.space])
        self.addCleanup(run, ["ip", "link", "del", self.link])
        if not self.plug():
            self.skipTest("no pair of interfaces can be made here")
        self.srv = self.server(host=self.host)

    def plug(self):
        for line in (f"ip link add {self.link} type veth peer name {self.peer} netns {self.space}",
                     f"ip addr add {self.host}/24 dev {self.link}", f"ip link set {self.link} up",
                     f"ip -n {self.space} addr add {self.inside}/24 dev {self.peer}",
                     f"ip -n {self.space} link set {self.peer} up", f"ip -n {self.space} link set lo up"):
            if run(line.split()).returncode != 0:
                return False
        return True

    def start(self):
        runner = self.runner(self.srv, server__allow_http="true", server__poll_timeout_s=4)
        return runner.start(prefix=["ip", "netns", "exec", self.space])

    def quick_job(self):
        job = self.srv.add_job("target", "create", self.srv.add_target())
        self.assertEqual(self.srv.wait_final(job, 90 * PATIENCE), ("success", ""), self.runners[-1].log()[-2000:])
        self.assertEqual(self.srv.job_faults(), [])

    def drop(self, on):
        """Either side sends to a hardware address that nobody has; no one is told."""
        sides = ((["ip"], self.inside, self.link), (["ip", "-n", self.space], self.host, self.peer))
        for command, address, device in sides:
            how = (["replace", address, "lladdr", "02:00:00:00:00:99", "nud", "permanent"] if on else ["del", address])
            if run([*command, "neigh", *how, "dev", device]).returncode != 0:
                return False
        return True

    def down(self, on):
        run(["ip", "link", "set", self.link, "down" if on else "up"])
        return True

    def silence(self, cut):
        runner = self.start()
        self.quick_job()
        self.srv.wait_requests("GET", "/runner/[^/]+/jobs", 2, 30 * PATIENCE)
        if not cut(True):
            self.skipTest("packets cannot be dropped here")
        start = time.monotonic()
        # No FIN, no RST: only deadlines tell. The heartbeat has 2 s, the poll 4.
        runner.wait_log(r"(?i)tim(ed|e) ?out|no (route|answer|reply)|unreachable|within|too long", 30)
        self.assertLess(time.monotonic() - start, 20 * PATIENCE)
        accepted = self.srv.accepted
        cut(False)
        self.srv.wait(lambda: self.srv.accepted > accepted, 60 * PATIENCE, "a new connection")
        self.quick_job()
        self.assertEqual(runner.stop(), 0)

    def test_packets_are_dropped(self):
        self.silence(self.drop)

    def test_link_goes_down(self):
        self.silence(self.down)

    def test_interface_vanishes_and_comes_back(self):
        runner = self.start()
        self.quick_job()
        run(["ip", "link", "del", self.link])
        runner.wait_log(r"(?i)tim(ed|e) ?out|unreachable|no route|within", 30)
        self.assertTrue(self.plug())
        self.quick_job()
        self.assertEqual(runner.stop(), 0)


if __name__ == "__main__":
    main()
