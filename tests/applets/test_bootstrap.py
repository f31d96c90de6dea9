# SPDX-License-Identifier: Apache-2.0
"""scripts/bootstrap and scripts/test from outside: what they say, with stand-ins for Debian's programs."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import run, run_tests  # noqa: E402

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")


class BootstrapTest(unittest.TestCase):
    def bootstrap(self, **programs):
        """With these in place of the system's; each is the body of a shell script."""
        with tempfile.TemporaryDirectory() as tmp:
            for name, body in programs.items():
                path = os.path.join(tmp, name.replace("_", "-"))
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"#!/bin/sh\n{body}\n")
                os.chmod(path, 0o755)
            env = {"PATH": f"{tmp}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
            return run([os.path.join(SCRIPTS, "bootstrap")], env=env)

    def test_everything_is_there(self):
        result = self.bootstrap(dpkg_query="echo ii", apt_get="exit 9", id="echo 1000", sudo="exit 9")
        self.assertEqual((result.returncode, result.stdout), (0, "bootstrap: everything is there\n"), result.stderr)

    def test_no_dns_is_called_dns(self):
        result = self.bootstrap(dpkg_query="exit 1", id="echo 0",
                                apt_get="echo \"Err: Temporary failure resolving 'mirror.example'\"; exit 100")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "DNS does not work here: .*install by hand: .*cmake")

    def test_broken_lists_are_said(self):
        result = self.bootstrap(dpkg_query="exit 1", id="echo 0", apt_get="echo 'E: 404 Not Found'; exit 100")
        self.assertEqual(result.returncode, 1)
        self.assertIn("404", result.stdout)
        self.assertRegex(result.stderr, "package lists cannot be read.* cmake")

    def test_without_root(self):
        result = self.bootstrap(dpkg_query="exit 1", id="echo 1000", sudo="echo 'no sudo for you' >&2; exit 1")
        self.assertEqual(result.returncode, 1)
        self.assertIn("Install by hand: cmake", result.stderr)


class TestTest(unittest.TestCase):
    def test_help_and_misuse(self):
        result = run([os.path.join(SCRIPTS, "test"), "--help"])
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertIn("scripts/test unit", result.stdout)
        self.assertEqual(run([os.path.join(SCRIPTS, "test"), "--nonsense"]).returncode, 2)

    def summary(self, files):
        with tempfile.TemporaryDirectory() as tmp:
            for name, text in files.items():
                with open(os.path.join(tmp, name), "w", encoding="utf-8") as file:
                    file.write(text)
            return run([os.path.join(SCRIPTS, "lib", "summary"), tmp])

    def test_summary_counts_and_lists(self):
        result = self.summary({
            "steps.failed": "release build\n",
            "dev.xml": '<testsuite><testcase name="a" status="run"><system-out>skipped: T.x: no engine\x01\n1 passed'
                       '</system-out></testcase><testcase name="b" status="fail"><failure message=""/></testcase>'
                       '<testcase name="c" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/><system-out>no strace'
                       '</system-out></testcase><testcase name="d" status="notrun"/></testsuite>'})
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stdout.splitlines(), [
            "skipped, no engine:", "    dev/a: T.x", "skipped, no strace:", "    dev/c",
            "failed: release build", "failed: dev/b", "failed: dev/d", "1 passed, 3 failed, 2 skipped"])

    def test_nothing_run_is_a_failure(self):
        result = self.summary({})
        self.assertEqual((result.returncode, result.stdout), (1, "0 passed, 0 failed, 0 skipped\n"))


if __name__ == "__main__":
    run_tests()
