#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""From a queued create to `started` (image present, built-in agent, real engine), split by step.
Needs DAYTONA_RUNNER_BIN (static) and an engine; ROUNDS (default 20). Prints medians; exit 1 above one second."""
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dockercase  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "20"))
# What the job's log says when a step is over.
STEPS = (("claim", "Creating workspace"), ("image looked up", "is present"), ("container created", "Workspace app created"),
         ("container started", " started"), ("agent ready", "Daytona Agent started"))


class Bench(dockercase.DockerCase):
    def runTest(self):
        server = self.server()
        runner = self.docker_runner(server)
        runner.start()
        options = json.dumps({"Network": "host", "Agent": "builtin"})
        times, totals = {name: [] for name, _ in STEPS}, []
        for _ in range(ROUNDS):
            workspace = server.add_workspace("", image=self.image, user="root", repo_name="app", name="app",
                                             provider="docker-provider", options=options)
            self.mine.append(workspace)
            began = time.monotonic()
            job = server.add_job("workspace", "create", workspace)
            seen = {}
            while server.jobs[job]["state"] not in ("success", "error"):
                text = server.log_text("workspace", workspace)
                for name, mark in STEPS:
                    if name not in seen and mark in text:
                        seen[name] = time.monotonic()
                time.sleep(0.001)
            totals.append(time.monotonic() - began)
            self.assertEqual(server.jobs[job]["state"], "success", server.jobs[job]["error"])
            last = began
            for name, _ in STEPS:
                if name in seen:
                    times[name].append(seen[name] - last)
                    last = seen[name]
            job = server.add_job("workspace", "delete", workspace)
            server.wait_final(job, 60)
        for name, values in times.items():
            if values:
                print(f"{name:20} {1000 * statistics.median(values):7.1f} ms")
        total = statistics.median(totals)
        print(f"{'create to started':20} {1000 * total:7.1f} ms (median of {ROUNDS}, worst {1000 * max(totals):.1f} ms)")
        self.assertLessEqual(total, 1.0)


if __name__ == "__main__":
    import unittest
    dockercase.need_engine()
    sys.exit(not unittest.TextTestRunner(verbosity=0).run(Bench()).wasSuccessful())
