# SPDX-License-Identifier: Apache-2.0
"""scripts/quickstart without its build: twice in a row, and what it leaves behind (nothing)."""
import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, Case, PATIENCE, clean_env, main, pids_with, run  # noqa: E402

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts", "quickstart")


class QuickstartTest(Case):
    def test_whole_way_twice(self):
        env = clean_env(self.tmp, DAYTONA_RUNNER_BIN=os.path.abspath(BIN), TMPDIR=self.tmp)
        for _ in range(2):
            result = run([SCRIPT], env=env, timeout=60 * PATIENCE)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            lines = result.stdout.strip().splitlines()
            self.assertTrue(lines[-1].startswith("quickstart: done"), lines[-1])
            self.assertRegex(result.stdout, r"(?m)^Runner +\S+ is started$")
            self.assertIn("Workspace hello is deleted.", lines)
            self.assertIn("Hello from a workspace.", lines)
            self.assertEqual(glob.glob(self.path("daytona-quickstart-*")), [])
            self.assertEqual(pids_with(self.tmp), [])

    def test_help(self):
        for word in ("-h", "--help"):
            result = run([SCRIPT, word])
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("loopback", result.stdout)
        self.assertEqual(run([SCRIPT, "--nonsense"]).returncode, 2)

    def left(self):
        return glob.glob(self.path("daytona-quickstart-*")) + pids_with(self.tmp)

    def test_reader_that_leaves(self):
        """As with `| head -n 1`."""
        env = clean_env(self.tmp, DAYTONA_RUNNER_BIN=os.path.abspath(BIN), TMPDIR=self.tmp)
        with subprocess.Popen([SCRIPT], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            self.assertIn(b"quickstart:", process.stdout.readline())
            process.stdout.close()
            self.assertNotEqual(process.wait(60 * PATIENCE), 0)
        self.assertEqual(self.left(), [])

    def test_interrupted(self):
        env = clean_env(self.tmp, DAYTONA_RUNNER_BIN=os.path.abspath(BIN), TMPDIR=self.tmp)
        for number, line in ((signal.SIGINT, b"is started"), (signal.SIGTERM, b"Target ")):
            with subprocess.Popen([SCRIPT], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  start_new_session=True) as process:
                while line not in process.stdout.readline():
                    self.assertIsNone(process.poll())
                os.killpg(process.pid, number)
                process.stdout.read()
                self.assertEqual(process.wait(60 * PATIENCE), 130)
            self.assertEqual(self.left(), [])

    def test_failure_says_where(self):
        broken = self.path("broken")
        with open(broken, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\n[ "$1" = up ] && exit 1\nexec "$REAL" "$@"\n')
        os.chmod(broken, 0o755)
        env = clean_env(self.tmp, DAYTONA_RUNNER_BIN=broken, REAL=os.path.abspath(BIN), TMPDIR=self.tmp)
        result = run([SCRIPT], env=env, timeout=60 * PATIENCE)
        self.assertEqual(result.returncode, 1)
        self.assertIn("the system did not come up", result.stderr)
        self.assertEqual(glob.glob(self.path("daytona-quickstart-*")), [])
        self.assertEqual(pids_with(self.tmp), [])


if __name__ == "__main__":
    main()
