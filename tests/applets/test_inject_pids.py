# SPDX-License-Identifier: Apache-2.0
"""Process numbers come round again: what has the number, or the session's number, of a job of an earlier life is
a stranger and is left alone, while what really is left of that job is ended."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, alive, descendants, main, run, wait_for  # noqa: E402
from servecase import ServeCase  # noqa: E402

LAST_PID = "/proc/sys/kernel/ns_last_pid"


def process_with(number, leader_stays):
    """The number of a process of the session number; its leader has that number and may end. None: not this time."""
    with open(LAST_PID, "w", encoding="ascii") as file:
        file.write(str(number - 1))
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            if os.getpid() != number or (not leader_stays and os.fork() != 0):
                os._exit(0)
            os.write(told, str(os.getpid()).encode() + b"\n")
            os.close(told)
            time.sleep(600)
        finally:
            os._exit(0)
    os.close(told)
    text = os.read(ready, 32)
    os.close(ready)
    if not text or not leader_stays:
        os.waitpid(pid, 0)
    return int(text) if text else None


class PidTest(ServeCase):
    def setUp(self):
        super().setUp()
        try:
            with open(LAST_PID, "r+", encoding="ascii") as file:
                file.write(file.read().strip())
        except OSError:
            self.skipTest("process numbers cannot be chosen here")

    def stranger(self, number, leader_stays):
        for _ in range(200):
            if not os.path.exists(f"/proc/{number}"):
                found = process_with(number, leader_stays)
                if found:
                    self.addCleanup(self.end, found)
                    return found
        self.skipTest("the number is always taken")

    @staticmethod
    def end(pid):
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except OSError:
            pass

    def crash(self):
        """A runner killed in the middle of a job: (it, the job, the number of its process, what is left)."""
        runner = self.runner(self.srv).start()
        self.git.hold.clear()
        job = self.srv.add_job("workspace", "create", self.srv.add_workspace(self.repo_url))
        self.assertTrue(self.git.arrived.wait(30 * PATIENCE))
        numbers = runner.job_pids()
        left = descendants(runner.pid)
        runner.kill()
        wait_for(lambda: not alive(numbers[0]), 20 * PATIENCE, "the job's process dies with it")
        return runner, job, numbers[0], left

    def check(self, leader_stays, long_ago):
        runner, job, number, left = self.crash()
        self.git.hold.set()
        wait_for(lambda: not [pid for pid in left if os.path.exists(f"/proc/{pid}")], 60 * PATIENCE,
                 "what is left ends by itself and is reaped")
        if long_ago:
            status = os.path.join(runner.state, "status.json")
            os.utime(status, (time.time() - 3600, time.time() - 3600))
        stranger = self.stranger(number, leader_stays)
        self.assertEqual(os.getsid(stranger), number)
        runner.start()
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "error")
        self.assertTrue(alive(stranger), "a stranger was killed")
        self.assertEqual(runner.stop(), 0)
        self.assertTrue(alive(stranger), "a stranger was killed")

    def test_the_number_is_another_process(self):
        self.check(leader_stays=True, long_ago=False)

    def test_the_number_is_a_later_session_without_its_leader(self):
        self.check(leader_stays=False, long_ago=True)

    def test_what_is_left_of_the_job_is_ended(self):
        """git's helper still waits for the network."""
        runner, job, number, left = self.crash()
        self.assertTrue([pid for pid in left if alive(pid)], "nothing is left that could be ended")
        self.assertEqual({os.getsid(pid) for pid in left if alive(pid)}, {number})
        runner.start()
        wait_for(lambda: not [pid for pid in left if alive(pid)], 20 * PATIENCE, "it is ended")
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "error")
        self.assertIn("left over", runner.log())
        self.git.hold.set()


if __name__ == "__main__":
    # In a space of process numbers of its own, where nobody else takes them; its process 1 reaps.
    own = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exit $?', "sh"]
    if os.geteuid() == 0 and "DR_TEST_OWN_PIDS" not in os.environ and run([*own, "true"]).returncode == 0:
        os.environ["DR_TEST_OWN_PIDS"] = "1"
        os.execvp(own[0], [*own, sys.executable, "-B", *sys.argv])
    main()
