# SPDX-License-Identifier: Apache-2.0
"""Random schedules of faults against the real serve (statemachine.py). Short by default; scripts/soak runs
the long forms. Environment: DR_STATE_JOBS (schedules), DR_STATE_KILLS, DR_STATE_MACHINES, DR_STATE_SEED."""
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import statemachine  # noqa: E402  (puts tests/lib on the path)
from common import main  # noqa: E402

JOBS = int(os.environ.get("DR_STATE_JOBS", "300"))
KILLS = int(os.environ.get("DR_STATE_KILLS", "32"))
MACHINES = int(os.environ.get("DR_STATE_MACHINES", "6"))
SEED = os.environ.get("DR_STATE_SEED") or str(int(time.time()))


class StateTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Both kinds run at the same time: most of it is waiting."""
        schedules = statemachine.share(JOBS, MACHINES) if JOBS else []
        kills = statemachine.share(KILLS, MACHINES) if KILLS else []
        start = time.monotonic()
        found = statemachine.run(SEED, [(jobs, 0) for jobs in schedules] + [(2 * count, count) for count in kills])
        seconds = time.monotonic() - start
        cls.found = {"schedules": found[:len(schedules)], "kills": found[len(schedules):]}
        for kind, machines in cls.found.items():
            if machines:
                print("\n".join(statemachine.summary(machines, kind, SEED, seconds)), flush=True)

    def check(self, kind):
        if not self.found[kind]:
            self.skipTest("none are asked for")
        wrong = [f"machine {one['number']} ({one['directory']}): {text}"
                 for one in self.found[kind] for text in one["wrong"]]
        self.assertEqual(wrong, [], f"DR_STATE_SEED={SEED} repeats the draws:\n" + "\n".join(wrong[:100]))

    def test_random_schedules(self):
        self.check("schedules")

    def test_killed_at_random_moments(self):
        """Twice as many jobs as kills, each at a random moment."""
        self.check("kills")


if __name__ == "__main__":
    main()
