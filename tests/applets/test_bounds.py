# SPDX-License-Identifier: Apache-2.0
"""What a native workspace may use: fork bombs, memory bombs, processors and the disk, in namespaces of its own and in none."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import drivecase  # noqa: E402
from gitserver import make_repo  # noqa: E402

FORKS = "i=0; while [ $i -lt 300 ]; do sleep 100 >/dev/null 2>&1 </dev/null & i=$((i+1)); done 2>/dev/null; echo through"
MIB = 1 << 20


def groups_of(workspace):
    found = []
    for folder, names, _ in os.walk("/sys/fs/cgroup"):
        if os.path.basename(folder) == "daytona-runner":
            found += [os.path.join(folder, name) for name in names if name.endswith("-" + workspace)]
    return found


class Bounds(drivecase.DriveCase):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("srv"))
        os.makedirs(self.path("home"))
        self.bare, _ = make_repo(self.path("srv"))
        self.fake = self.server()

    def begin(self, **options):
        workspace = self.fake.add_workspace(self.bare, options=json.dumps(options))
        doc = self.document(self.fake, workspace)
        result = self.drive(doc, "create", DRIVE_API_URL=self.fake.url)
        if result.status and "isolation is not possible" in result["create"]:
            self.skipTest(result["create"])
        result.ok(self)

        def end():
            self.drive(doc, "stop", "delete").ok(self)
            self.assertEqual(groups_of(workspace), [])
            self.assertEqual(common.pids_with(self.root(workspace)), [])

        self.addCleanup(end)
        result = self.drive(doc, "start", DRIVE_API_URL=self.fake.url)
        if result.status and "isolation" in result["start"]:
            self.skipTest(result["start"])
        result.ok(self)
        return workspace, doc, result.output

    def limited(self, what, output):
        line, = re.findall(f"^limit {what} .*$", output, re.M)
        if "control group of version" not in line:
            self.skipTest(line)

    def fork_bomb(self, **options):
        workspace, doc, output = self.begin(Pids="40", **options)
        self.limited("Pids", output)
        # The bomb's own shell may be what cannot fork any more; that the others live is what counts.
        self.drive(doc, "exec=" + FORKS)
        processes = int(self.drive(doc, "usage").ok(self)["usage"].split()[-1])
        self.assertTrue(2 <= processes <= 40, processes)
        self.assertIn("running", self.drive(doc, "condition")["condition"])
        result = self.drive(doc, "stop").ok(self)
        self.assertRegex(result.output, "too many processes|ended")
        self.assertEqual(groups_of(workspace), [])

    def test_fork_bomb(self):
        self.fork_bomb()

    def test_fork_bomb_boxed(self):
        self.fork_bomb(Root="/", Network="host")

    def memory_bomb(self, **options):
        if os.geteuid() != 0 and not common.is_static(common.BIN):
            self.skipTest("without a control group no sanitized program lives with a limit of its data")
        _, doc, output = self.begin(Memory="200m", **options)
        self.limited("Memory", output)
        result = self.drive(doc, "exec=exec python3 -c 'b=[]\nwhile 1: b.append(bytearray(1<<24))'").ok(self)
        self.assertEqual(result["exec"], "status 137")
        self.assertIn("running", self.drive(doc, "condition")["condition"])
        self.assertEqual(json.loads(self.drive(doc, "info")["info"])["outOfMemory"], "true")
        self.assertRegex(self.drive(doc, "stop").ok(self).output, r"out of memory: [0-9]+ processes were ended \(option Memory\)")

    def test_memory_bomb(self):
        self.memory_bomb()

    def test_memory_bomb_boxed(self):
        self.memory_bomb(Root="/", Network="host")

    def test_processors(self):
        """Half of one: what a second's work takes is as much as what it waits."""
        _, doc, output = self.begin(CPUs="0.5")
        self.limited("CPUs", output)
        busy = "import time\nw=time.monotonic(); c=time.process_time()\nwhile time.process_time()-c<1: pass\nprint('waited', time.monotonic()-w)"
        result = self.drive(doc, f"exec=exec python3 -c \"{busy}\"").ok(self)
        waited = float(re.search("waited ([0-9.]+)", result.output)[1])
        self.assertGreater(waited, 1.5)

    def test_disk(self):
        workspace, doc, _ = self.begin(Disk="20m", **{"Grace Seconds": "1"})
        log = self.root(workspace, ".runner", "agent.log")
        # One file is bounded at once, and the whole soon after. A quota says no to both.
        result = self.drive(doc, "exec=head -c 40000000 /dev/zero > one; wc -c < one; rm one; "
                                 "for i in 1 2 3; do head -c 10000000 /dev/zero > $i; done; echo")
        self.assertLessEqual(int(re.search("^[0-9]+$", result.output, re.M)[0]), 20 * MIB)
        if "No space" not in result.output and "quota" not in result.output:
            common.wait_for(lambda: "stopped" in self.drive(doc, "condition")["condition"], 60 * common.PATIENCE, "the end")
            with open(log, encoding="utf-8") as file:
                self.assertIn("option Disk", file.read())

    def test_strict_needs_what_it_is_asked_for(self):
        workspace = self.fake.add_workspace(self.bare, options=json.dumps({"Isolation": "strict", "Disk": "1g", "Network": "none"}))
        doc = self.document(self.fake, workspace)
        result = self.drive(doc, "create", DRIVE_API_URL=self.fake.url)
        self.addCleanup(lambda: self.drive(doc, "delete"))
        if result.status == 0:
            self.skipTest("this file system has project quotas")
        self.assertRegex(result["create"], "error .*")

    def test_options(self):
        for options, why in (({"CPUs": "many"}, "CPUs"), ({"CPUs": "0.001"}, "CPUs"), ({"Memory": "-1"}, "Memory"),
                             ({"Pids": "0"}, "Pids"), ({"Disk": "big"}, "Disk")):
            workspace = self.fake.add_workspace(self.bare, options=json.dumps(options))
            self.drive(self.document(self.fake, workspace), "create").error(self, f'option "{why}"')


if __name__ == "__main__":
    drivecase.main()
