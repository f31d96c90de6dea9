#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man page is the one that this program's help and option tables give; run cmake/gen-man if not."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Man(common.Case):
    def test_is_up_to_date(self):
        fresh = self.path("page")
        common.run([os.path.join(TOP, "cmake", "gen-man"), common.BIN, fresh], check=True)
        with open(fresh, encoding="utf-8") as file:
            made = file.read()
        with open(os.path.join(TOP, "docs", "daytona-runner.1"), encoding="utf-8") as file:
            self.assertEqual(file.read(), made, "docs/daytona-runner.1 is old: cmake/gen-man BINARY")
        for applet in common.run([common.BIN, "--list"], check=True).stdout.split():
            self.assertIn(".SS " + applet.replace("-", "\\-") + " ", made)
        self.assertIn("\\fB\\-\\-api\\-key\\fR \\fIKEY\\fR", made)


if __name__ == "__main__":
    common.main()
