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
MACHINES = int(os.environ.get("DR_STATE_MACHINES", "8"))
SEED = os.environ.get("DR_STATE_SEED") or str(int(time.time()))


class StateTest(unittest.TestCase):
    def go(self, jobs, kills=0):
        wrong, summary = statemachine.run(SEED, jobs, MACHINES, kills)
        print("\n".join(summary), flush=True)
        self.assertEqual(wrong, [], f"DR_STATE_SEED={SEED} repeats the draws:\n" + "\n".join(wrong[:100]))

    @unittest.skipIf(JOBS == 0, "DR_STATE_JOBS is 0")
    def test_random_schedules(self):
        self.go(JOBS)

    @unittest.skipIf(KILLS == 0, "DR_STATE_KILLS is 0")
    def test_killed_at_random_moments(self):
        """Twice as many jobs as kills, each at a random moment."""
        self.go(2 * KILLS, KILLS)


if __name__ == "__main__":
    main()
