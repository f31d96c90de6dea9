# SPDX-License-Identifier: Apache-2.0
"""scripts/bootstrap and scripts/test from outside: what they say, with stand-ins for Debian's programs."""
import os
import shutil
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import run, run_tests  # noqa: E402

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")


class BootstrapTest(unittest.TestCase):
    def bootstrap(self, *args, system="ID=debian\nVERSION_ID=12\n", only=False, **programs):
        """With these in place of the system's; each is the body of a shell script. system: what os-release says; only: with
        no other programs than these and the plainest."""
        with tempfile.TemporaryDirectory() as tmp:
            for name, body in programs.items():
                path = os.path.join(tmp, name.replace("_", "-"))
                with open(path, "w", encoding="utf-8") as file:
                    file.write(f"#!/bin/sh\n{body}\n")
                os.chmod(path, 0o755)
            with open(os.path.join(tmp, "os-release"), "w", encoding="utf-8") as file:
                file.write(system)
            env = {"PATH": f"{tmp}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
                   "DAYTONA_RUNNER_OS_RELEASE": os.path.join(tmp, "os-release")}
            if only:
                for name in ("sh", "sed", "cat", "id", "mktemp", "rm", "grep"):
                    if name not in programs:
                        os.symlink(shutil.which(name), os.path.join(tmp, name))
                env["PATH"] = tmp
            return run([os.path.join(SCRIPTS, "bootstrap"), *args], env=env)

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

    MIRROR = "DAYTONA_RUNNER_MIRROR=http://HOST/debian"

    def test_each_distribution_by_its_names(self):
        """What is asked for, of which package manager, and what the person is told about the sources."""
        cases = (
            ("ID=debian\nVERSION_ID=12", "apt_get", "dpkg_query", ["ninja-build", "linux-libc-dev"], False),
            ('ID=debian\nVERSION_ID="13"', "apt_get", "dpkg_query", ["ninja-build", "linux-libc-dev"], False),
            ("ID=raspbian\nID_LIKE=debian", "apt_get", "dpkg_query", ["ninja-build"], True),
            ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"', "apt_get", "dpkg_query", ["ninja-build"], True),
            ("ID=fedora\nVERSION_ID=42", "dnf", "rpm", ["ninja-build", "kernel-headers", "glibc-devel"], True),
            ('ID="rocky"\nID_LIKE="rhel centos fedora"', "dnf", "rpm", ["kernel-headers"], True),
            ("ID=alpine\nVERSION_ID=3.21.0", "apk", "rpm", ["samurai", "linux-headers", "musl-dev"], True))
        for system, manager, query, names, told in cases:
            with self.subTest(system):
                programs = {manager: 'case $1 in info) exit 1;; esac\necho "asked $*"', query: "exit 1", "id": "echo 0",
                            "env": 'shift\nexec "$@"', "cmake": "echo 'cmake version 3.25.1'", "update_rc.d": "exit 0"}
                result = self.bootstrap(system=system, only=True, **programs)
                self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
                for name in ["cmake", "gcc", "python3", *names]:
                    self.assertRegex(result.stdout, rf"asked .*(install|add).* {name}\b")
                self.assertEqual(self.MIRROR in result.stdout, told, result.stdout)
                self.assertNotIn("older than", result.stdout)
                # The same without its package manager: the line to go by.
                del programs[manager]
                result = self.bootstrap(system=system, only=True, **programs)
                self.assertEqual(result.returncode, 1)
                self.assertRegex(result.stderr, r"there is no \S+ here. Install by hand: cmake gcc .*" + names[0])

    def test_all_there_elsewhere(self):
        result = self.bootstrap(system="ID=fedora", only=True, rpm="exit 0", dnf="exit 9", cmake="echo 'cmake version 3.22.1'")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("everything is there", result.stdout)
        self.assertIn("its CMake is older than 3.25", result.stdout)

    def test_an_unknown_distribution(self):
        result = self.bootstrap(system="ID=plan9")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, "none of the distributions that are known(.|\n)*cmake gcc")

    def test_programs_of_the_tests(self):
        """What a distribution does not have is said and left out; of those that have no names for them, the build's are taken."""
        policy = 'case $2 in umoci) echo "  Candidate: (none)";; nginx-light) ;; *) echo "  Candidate: 1.2";; esac'
        result = self.bootstrap("--tests", dpkg_query="exit 1", id="echo 0", apt_cache=policy, env='shift\nexec "$@"',
                                apt_get='echo "asked $*"', policy_rc="", update_rc="")
        self.assertIn("there is no umoci here", result.stderr)
        self.assertIn("there is no nginx-light here", result.stderr)
        self.assertRegex(result.stdout, "asked .*install.* valgrind")
        self.assertNotRegex(result.stdout, "asked .*install.* umoci")
        result = self.bootstrap("--tests", system="ID=fedora", only=True, rpm="exit 0", dnf="exit 9")
        self.assertEqual(result.returncode, 0)
        self.assertIn("known for Debian and Ubuntu alone", result.stdout)
        ubuntu = self.bootstrap("--tests", system="ID=ubuntu", dpkg_query="exit 1", id="echo 1000", sudo="exit 1")
        self.assertNotIn("chromium", ubuntu.stdout + ubuntu.stderr)


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
