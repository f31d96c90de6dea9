#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every applet that prints a table or facts, on terminals of 40 and 80 columns, into a pipe, and where no colours are wanted: what
is too wide is cut or broken on a terminal alone, a verdict has a colour there alone, and what others named cannot steer it."""
import os
import re
import sys
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.lifecase import LifeCase  # noqa: E402
from lib.serverproc import workspace_body  # noqa: E402
from fakeserver import FakeServer  # noqa: E402
from httppeer import reply  # noqa: E402

LONG = "a-workspace-with-a-name-that-is-much-longer-than-forty-columns"
EVIL = "\x1b[31mred\x07\x9b2J\ttab\r\x7f"
COLOUR = re.compile(r"\x1b\[(?:3[123]|0)m")
TABLES = (["list"], ["workspaces"], ["workspace"], ["target"], ["job"], ["key"], ["env"], ["image", "list"])
FACTS = (["status"], ["check"], ["provider", "list"], ["provider", "check"], ["config"], ["help"], ["workspace", "info", LONG])


def columns(line):
    """How many a terminal needs for it."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


class Tables(LifeCase):
    def setUp(self):
        super().setUp()
        self.made = self.configured()
        srv = self.srv
        provider = {"runnerId": self.made["id"], "runnerName": "edge", "name": "native-provider", "version": "v1",
                    "agentlessTarget": True, "targetConfigManifest": {}}
        config = srv.ok("POST", "/target-config", {"name": "cfg", "options": "{}", "providerInfo": provider}).json["id"]
        srv.ok("POST", "/target", {"id": "aaaaaaaaaaa0", "name": "t0", "targetConfigId": config})
        srv.ok("POST", "/workspace", workspace_body("bbbbbbbbbbb0", LONG, "aaaaaaaaaaa0"))
        self.applet("env", "set", "A=" + "x" * 100, "B=" + "日本語の名前" * 10)

    def show(self, args, width, rc=None, **extra):
        term = self.terminal(*args, columns=width, env=self.env(**{"TERM": "xterm", **extra}))
        status = term.wait()
        if rc is not None:
            self.assertEqual(status, rc)
        return term.text()

    def check(self, args, cut=False):
        piped = self.applet(*args, rc=None).stdout
        self.assertNotRegex(piped, r"[\x00-\x08\x0b-\x1f\x7f…]")
        for width in (40, 80):
            for extra in ({}, {"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": None}):
                with self.subTest(args=args, width=width, **extra):
                    text = self.show(args, width, **extra)
                    plain = COLOUR.sub("", text)
                    self.assertNotIn("\x1b", plain)
                    if extra:
                        self.assertEqual(text, plain)
                    for line in plain.splitlines():
                        self.assertLessEqual(columns(line), width, plain)
                    self.assertGreaterEqual(len(plain.splitlines()), 1)
                    if not cut:
                        # All of it is there, but for what passing time changes.
                        self.assertEqual(plain.split()[0], piped.split()[0])
                        self.assertAlmostEqual(len("".join(plain.split())), len("".join(piped.split())), delta=20)
        return piped

    def test_tables(self):
        for args in TABLES:
            self.check(args, True)
        whole = self.applet("workspace").stdout
        self.assertIn(LONG, whole)
        self.assertIn("http://git.test/acme/app", whole)
        self.assertIn(LONG, self.applet("workspace", "-f", "json").stdout)
        narrow = self.show(["workspace"], 40)
        self.assertRegex(narrow, r"(?m)^a-workspace\S*… +\S")
        self.assertRegex(self.show(["env"], 40), r"(?m)^B +日本\S+…$")
        # Where no … can be shown.
        self.assertRegex(self.show(["workspace"], 40, LC_ALL="C", LANG="C"), r"(?m)^a-workspace\S*~ ")
        # What the environment says goes before the terminal's word; nonsense does not.
        self.assertLessEqual(max(map(columns, COLOUR.sub("", self.show(["workspace"], 120, COLUMNS="40")).splitlines())), 40)
        self.assertGreater(max(map(columns, self.show(["workspace"], 120, COLUMNS="x").splitlines())), 60)
        # No narrower than that, whatever the terminal says.
        self.assertTrue(self.show(["workspace"], 3))

    def test_help(self):
        """Of every applet: broken between words alone; examples stay whole, to be pasted."""
        for name in self.applet("--list").stdout.split():
            wide = self.applet(name, "--help").stdout
            text, _, examples = self.show([name, "--help"], 40, rc=0).replace("\r", "").partition("\nExamples:\n")
            self.assertEqual(text.split(), wide.partition("\nExamples:\n")[0].split(), name)
            for line in text.splitlines():
                self.assertTrue(columns(line) <= 40 or len(re.sub(r"\[.*\]", "x", line).split()) <= 2, (name, line))
            self.assertEqual(examples, wide.partition("\nExamples:\n")[2], name)
            self.assertIn(wide.splitlines()[-1], self.show([name, "--help"], 200, rc=0))

    def test_facts(self):
        for args in FACTS:
            self.check(args)

    def test_facts_of_a_running_one(self):
        self.applet("start", env=self.env(admin=False))
        for args in (["status"], ["check"], ["list"]):
            self.check(args, cut=True)  # jobs come and go
        self.assertTrue(self.show(["status"], 80).startswith("\x1b[32mRunning\x1b[0m\n"))
        self.assertIn("\x1b[32mSTARTED\x1b[0m", self.show(["list"], 80))
        self.assertIn("\x1b[32mok\x1b[0m       configuration: ", self.show(["check"], 80))

    def test_verdicts(self):
        self.assertTrue(self.show(["status"], 80, rc=1).startswith("\x1b[31mNot running\x1b[0m\n"))
        self.assertIn("\x1b[31mUNRESPONSIVE\x1b[0m", self.show(["list"], 80, rc=0))
        self.assertIn("\x1b[31mwrong\x1b[0m", self.show(["check"], 80, rc=1, DAYTONA_RUNNER_SERVER_URL="http://127.0.0.1:1"))
        self.assertNotIn("\x1b", self.show(["key"], 80, rc=0))

    def test_broken_lines_go_on_under_their_text(self):
        text = COLOUR.sub("", self.show(["status"], 40))
        self.assertRegex(text, r"(?m)^Next:           daytona-runner start$")
        self.assertRegex(text, r"Configuration:  \S+(\n {16}\S+)+\n")

    def test_no_terminal_is_steered(self):
        """By names that a Server of others gives out, in every form."""
        srv = FakeServer().start()
        self.addCleanup(srv.stop)
        env = {"DAYTONA_API_URL": srv.url, "DAYTONA_API_KEY": srv.key}
        things = {"list": ("/runner", [{"id": EVIL, "name": EVIL, "metadata": None, "state": {"name": EVIL}}]),
                  "workspace": ("/workspace", [{"id": EVIL, "name": EVIL, "state": {"name": EVIL}, "repository": {"url": EVIL}}]),
                  "env": ("/env", [{"key": EVIL, "value": EVIL}])}
        for applet, (path, answer) in things.items():
            srv.on("GET", path, reply(200, answer), forever=True)
            for extra in ([], ["-f", "json"], ["-f", "yaml"]):
                for where in ("pipe", "terminal"):
                    with self.subTest(applet=applet, extra=extra, where=where):
                        text = (self.show([applet, *extra], 80, **env) if where == "terminal"
                                else self.applet(applet, *extra, env=self.env(**env), rc=None).stdout)
                        self.assertIn("red", text)
                        self.assertNotRegex(COLOUR.sub("", text), r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


if __name__ == "__main__":
    common.main()
