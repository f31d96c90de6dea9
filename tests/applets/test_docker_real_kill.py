# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""docker-provider on the real engine: the runner and its job killed at many moments of create and delete."""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import dockercase  # noqa: E402


class Kill(dockercase.LifeCase):
    def test_killed_at_many_moments(self):
        """kill -9 of runner and job, then the job again: it ends well, with one container or none."""
        rand = random.Random(5)
        for action in ("create", "delete"):
            for i in range(10):
                workspace = self.workspace()
                self.run_ner.start()
                if action == "delete":
                    self.job("create", workspace)
                job = self.srv.add_job("workspace", action, workspace)
                self.srv.wait_state(job, ("running", "success", "error"), 20 * common.PATIENCE)
                time.sleep(0.04 * i + rand.random() * 0.04)  # the moment is the point
                for pid in common.descendants(self.run_ner.pid) + [self.run_ner.pid]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except OSError:
                        pass
                self.run_ner.kill()
                self.run_ner.start()
                state, text = self.srv.wait_final(job, 60 * common.PATIENCE)
                if action == "create" and state == "success":
                    self.assertEqual(self.state(workspace), "running", text)
                self.job(action, workspace)
                if action == "create":
                    self.assertEqual((self.state(workspace), self.agents(workspace)), ("running", 1))
                    self.job("delete", workspace)
                self.assertIsNone(self.state(workspace))
                self.assertEqual(os.listdir(os.path.join(self.run_ner.state, "workspaces")), [])
                self.run_ner.stop()
        self.assertEqual(self.srv.job_faults(), [])


if __name__ == "__main__":
    dockercase.need_engine()
    common.main()
