#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Of all applets and their verbs: an option means the same everywhere, and each help ends with examples that the program
takes, which are in the man page, too."""
import collections
import os
import re
import shlex
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NOUNS = ("target", "workspace", "job", "key", "env")
SERVER = ("key", "join", "backup", "restore", "restart")
# What a letter stands for; and where it stands for something else, for this reason.
LETTERS = {"n": "name", "t": "timeout", "f": "format", "C": "config-dir", "y": "yes", "d": "data", "u": "user", "e": "env"}
OTHER_LETTERS = {
    ("logs", "n"): "lines",            # as in tail
    ("workspace logs", "n"): "lines",
    ("logs", "f"): "follow",
    ("workspace logs", "f"): "follow",
    ("exec", "t"): "tty",              # as in docker
    ("workspace create", "t"): "target",  # as in the reference
    ("up", "d"): "detach",             # as in docker
}
# What an option's value is called, or "" for none; and where it is something else.
OTHER_VALUES = {
    ("create", "env"): "", ("service", "user"): "", ("workspace create", "target"): "TARGET", ("logs", "format"): "json",
    ("ssh", "option"): "SETTING",
}


class Help(common.Case):
    def setUp(self):
        super().setUp()
        self.heads = []
        for name in self.run_it("--list").stdout.split():
            self.heads.append((name,))
            verbs = self.run_it(name, "--print-verbs").stdout.split() if name in NOUNS else SERVER if name == "server" else ()
            self.heads += [(name, verb) for verb in verbs]
        self.assertGreater(len(self.heads), 60)

    def run_it(self, *args):
        return common.run([common.BIN, *args], env=common.clean_env(self.tmp))

    def options(self):
        """(head, letter, name, value)"""
        for head in self.heads:
            if head != ("help",) and not (head[0] in NOUNS and len(head) == 1):
                for line in self.run_it(*head, "--print-options").stdout.splitlines():
                    letter, name, value, _ = line.split("\t")
                    yield " ".join(head), letter, name, value

    def test_options_mean_the_same(self):
        values, wrong = collections.defaultdict(collections.Counter), []
        used = set()
        for head, letter, name, value in self.options():
            if letter in LETTERS:
                want = OTHER_LETTERS.get((head, letter), LETTERS[letter])
                used.add((head, letter))
                if name != want:
                    wrong.append(f"{head} -{letter}: --{name}, not --{want}")
            if name in LETTERS.values() and letter != [x for x, y in LETTERS.items() if y == name][0] and \
                    (name, head) not in (("name", "configure"), ("name", "serve"), ("name", "start"), ("name", "restart"),
                                         ("env", "create"), ("format", "logs"), ("user", "service"), ("user", "up"),
                                         ("user", "workspace create")):
                wrong.append(f"{head} --{name} has no -{[x for x, y in LETTERS.items() if y == name][0]}")
            if (head, name) not in OTHER_VALUES:
                values[name][value] += 1
            elif value != OTHER_VALUES[head, name]:
                wrong.append(f"{head} --{name}: {value}")
        wrong += [f"--{name}: {dict(found)}" for name, found in values.items() if len(found) > 1]
        self.assertEqual(wrong, [])
        self.assertEqual(set(OTHER_LETTERS) - used, set(), "no longer so")

    def test_key_file_is_the_servers(self):
        self.assertEqual({head.split()[0] for head, _, name, _ in self.options() if name == "key-file"}, {"server"})
        self.assertEqual({name for _, _, name, _ in self.options() if name.startswith("api-key")}, {"api-key", "api-key-file"})

    def examples(self, head):
        text = self.run_it(*head, "--help").stdout
        self.assertEqual(text.count("\nExamples:\n"), 1, head)
        return [line.strip() for line in text.partition("\nExamples:\n")[2].splitlines()]

    def test_examples(self):
        with open(os.path.join(TOP, "docs", "daytona-runner.1"), encoding="utf-8") as file:
            page = file.read().replace("\\-", "-").replace("\\e", "\\").replace("\\&", "")
        with open(os.path.join(TOP, "share", "examples.txt"), encoding="utf-8") as file:
            known = {line.strip() for line in file if line[0] not in " #"}
        heads = [h for h in self.heads if h != ("help",)]
        self.assertEqual(known, {" ".join(h) for h in heads})
        for head in heads:
            lines = self.examples(head)
            self.assertGreaterEqual(len(lines), 2, head)
            self.assertEqual(len(set(lines)), len(lines), head)
            about = 0
            for line in lines:
                self.assertLess(len(line), 110, line)
                with self.subTest(line):
                    self.assertIn(line, page if len(head) == 1 or head[0] != "server" else line)
                with self.subTest(line):
                    about += self.check(head, line)
            with self.subTest(head):
                self.assertGreaterEqual(about, 1)

    def check(self, head, line):
        """The program's own parser takes it. How many commands of that head there are."""
        found = 0
        for piece in re.findall(r"(?:^|[ (!'])daytona-runner ((?:[^|&>()']|'[^']*')*)", line):
            words = [w for w in shlex.split(piece) if w not in ("<", ">")]
            mine = tuple(words[:len(head)]) == head
            found += mine or words[0].startswith("-")
            depth = 2 if words[0] in NOUNS or words[0] == "server" and words[1:2] and words[1] in SERVER else 1
            rest = words[depth:]
            if "--" in rest:
                rest = rest[:rest.index("--")]
            if words[0] in ("exec", "ssh") and rest:  # their first operand ends the options
                rest = rest[:2] if rest[0].startswith("-") else []
            if words[0].startswith("-"):
                continue
            rest = [w for w in rest if w != "-"]  # it would be read
            said = self.run_it(*words[:depth], *rest, "--help")
            self.assertEqual((said.returncode, said.stdout[:7]), (0, "Usage: "), f"{line}\n{said.stderr}")
        return found + line.count("docker-credential-daytona")


if __name__ == "__main__":
    common.main()
