#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cmake/fetch-sources refuses archives that are absent or not the pinned ones. No network."""
import hashlib
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pins():
    third_party = os.path.join(ROOT, "third_party")
    for package in sorted(n for n in os.listdir(third_party) if os.path.isdir(os.path.join(third_party, n))):
        with open(os.path.join(ROOT, "third_party", package, "SHA256"), encoding="ascii") as f:
            yield f.read().split()


def fetch(*args):
    return subprocess.run([os.path.join(ROOT, "cmake", "fetch-sources"), *args], capture_output=True,
                          text=True, timeout=60, check=False)


class FetchSources(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.given = os.path.join(self.dir.name, "given")
        self.dest = os.path.join(self.dir.name, "dest")
        os.mkdir(self.given)

    def fill(self, folder, content):
        os.makedirs(folder, exist_ok=True)
        for _, name in pins():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)

    def test_wrong_archive_in_given_folder(self):
        self.fill(self.given, b"not the archive")
        done = fetch("-s", self.given, self.dest)
        wanted, name = next(pins())
        self.assertEqual(done.returncode, 1)
        self.assertIn(os.path.join(self.given, name), done.stderr)
        self.assertIn(wanted, done.stderr)
        self.assertIn(hashlib.sha256(b"not the archive").hexdigest(), done.stderr)
        self.assertEqual(os.listdir(self.dest), [])

    def test_missing_archive_in_given_folder(self):
        done = fetch("-s", self.given, self.dest)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such archive", done.stderr)

    def test_damaged_cache(self):
        self.fill(self.dest, b"half a file")
        done = fetch(self.dest)
        self.assertEqual(done.returncode, 1)
        self.assertIn("wrong SHA-256", done.stderr)


if __name__ == "__main__":
    unittest.main()
