#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Values that completion offers, in bash, zsh and fish alike: what options take, and what the Server has by name; a name of
others is never run. (How each shell loads it: test_configure.)"""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.lifecase import LifeCase  # noqa: E402
from lib.serverproc import workspace_body  # noqa: E402
from fakeserver import FakeServer  # noqa: E402
from httppeer import reply  # noqa: E402

PROVIDERS = {"native-provider", "docker-provider", "exec-provider"}
# What is typed (a space at the end: the next word), and all that is offered.
CASES = (
    ("serve --log-level ", {"error", "warn", "info", "debug"}),
    ("serve --log-level d", {"debug"}),
    ("configure --log-format ", {"text", "json"}),
    ("configure --log-target ", {"stderr", "journal", "syslog"}),
    ("status --format ", {"json", "yaml"}),
    ("logs --color ", {"always", "never", "auto"}),
    ("service install --type ", {"systemd", "openrc", "sysv"}),
    ("up --provider ", PROVIDERS),
    ("configure --providers d", {"docker-provider"}),
    ("target create --target-config ", PROVIDERS),
    ("provider ", {"list", "check", "enable", "disable"}),
    ("provider enable ", PROVIDERS),
    ("help pur", {"purge"}),
    ("delete ", {"edge", "my runner"}),
    ("purge e", {"edge"}),
    ("logs my", {"my runner"}),
    ("workspace st", {"start", "stop"}),
    ("workspace stop ", {"work-0", "work-1"}),
    ("ws info work-1", {"work-1"}),
    ("workspace create --target ", {"t0"}),
    ("target delete ", {"t0"}),
    ("logs --workspace work-0", {"work-0"}),
    ("key revoke de", {"default"}),
    ("env delete ", {"A"}),
    ("exec ", {"work-0", "work-1"}),
    ("ssh work-1", {"work-1"}),
    ("server ", {"key", "backup", "restore", "restart"}),
    ("server key cr", {"create"}),
    ("image pr", {"prune"}),
    ("service un", {"uninstall"}),
    ("completion ", {"bash", "zsh", "fish"}),
    ("status --q", {"--quiet"}),
    ("workspace create --custom-image-", {"--custom-image-user"}),
    ("workspace create -", None),   # options, the short ones too
    ("statu", {"status"}),
)
# The next word is a file, a number or a text: nothing is offered.
NOTHING = ("serve --ca-file ", "serve --port ", "create --name ", "workspace create --branch ", "exec work-0 ", "image load ")


class Values(LifeCase):
    def setUp(self):
        super().setUp()
        os.symlink(common.BIN, self.path("daytona-runner"))
        self.made = self.create("edge")
        self.create("my runner")
        provider = {"runnerId": self.made["id"], "runnerName": "edge", "name": "native-provider", "version": "v1",
                    "agentlessTarget": True, "targetConfigManifest": {}}
        config = self.srv.ok("POST", "/target-config", {"name": "cfg", "options": "{}", "providerInfo": provider}).json["id"]
        self.srv.ok("POST", "/target", {"id": "aaaaaaaaaaa0", "name": "t0", "targetConfigId": config})
        for i in range(2):
            self.srv.ok("POST", "/workspace", workspace_body(f"bbbbbbbbbbb{i}", f"work-{i}", "aaaaaaaaaaa0"))
        self.applet("env", "set", "A=1")

    def environment(self, **more):
        env = self.env(**more)
        return dict(env, PATH=f"{self.tmp}:{env['PATH']}")

    def shell(self, argv, script, **more):
        out = subprocess.run(argv, input=script, text=True, env=self.environment(**more), cwd=self.path("home"), capture_output=True,
                             timeout=60 * common.PATIENCE, check=False)
        self.assertEqual((out.returncode, out.stderr), (0, ""))
        return [text.split("\n")[:-1] for text in out.stdout.split("==\n")[:-1]]

    def bash(self, lines, **more):
        script = ('eval "$(daytona-runner completion bash)"\n'
                  'c() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _daytona_runner; '
                  'for w in "${COMPREPLY[@]}"; do printf "%s\\n" "$w"; done; echo ==; }\n')
        for line in lines:
            words = line.split() + ([""] if line.endswith(" ") else [])
            script += "c daytona-runner " + " ".join(f"'{w}'" for w in words) + "\n"
        # As it is typed; a person's shell takes the backslash away again.
        return [[w.replace("\\ ", " ") for w in found] for found in self.shell(["bash"], script, **more)]

    def zsh(self, lines, **more):
        """The functions in zsh, with what it would match and show."""
        script = ("compdef() { :; }\neval \"$(daytona-runner completion zsh)\"\n_files() { :; }\n"
                  "compadd() { for w in $found; do [[ $w == ${words[CURRENT]}* ]] && print -r -- $w; done }\n"
                  "c() { words=(\"$@\"); CURRENT=$#; _daytona_runner; echo '=='; }\n")
        for line in lines:
            words = line.split() + ([""] if line.endswith(" ") else [])
            script += "c daytona-runner " + " ".join(f"'{w}'" for w in words) + "\n"
        return self.shell(["zsh", "-f"], script, **more)

    def fish(self, lines, **more):
        script = "daytona-runner completion fish | source\n"
        for line in lines:
            script += f"complete -C 'daytona-runner {line}'; echo ==\n"
        return [[w.split("\t")[0] for w in found] for found in self.shell(["fish", "--no-config"], script, **more)]

    def offered(self, name):
        if not shutil.which(name):
            self.skipTest(f"no {name}")
        lines = [typed for typed, _ in CASES]
        for (typed, wanted), found in zip(CASES, getattr(self, name)(lines)):
            with self.subTest(shell=name, typed=typed):
                if wanted is None:
                    self.assertLessEqual({"-n", "--name", "--branch", "--help"}, set(found))
                else:
                    self.assertEqual(set(found), wanted)
        if name != "fish":  # which offers the files itself
            for typed, found in zip(NOTHING, getattr(self, name)(NOTHING)):
                with self.subTest(shell=name, typed=typed):
                    self.assertEqual(found, [])

    def test_bash(self):
        self.offered("bash")

    def test_zsh(self):
        self.offered("zsh")

    def test_fish(self):
        self.offered("fish")

    def test_names_are_not_run(self):
        evil = ["$(touch owned)", "`touch owned`", "*", "a;touch owned", "-rf"]
        srv = FakeServer().start()
        self.addCleanup(srv.stop)
        srv.on("GET", "/runner", reply(200, [{"id": f"r{i}", "name": name, "metadata": None} for i, name in enumerate(evil)]),
               forever=True)
        for name in ("bash", "zsh", "fish"):
            if shutil.which(name):
                with self.subTest(name):
                    found, = getattr(self, name)(["delete "], DAYTONA_API_URL=srv.url, DAYTONA_API_KEY=srv.key)
                    self.assertIn("touch", " ".join(found))
                    self.assertFalse(os.path.exists(self.path("home", "owned")))
                    if name == "bash":  # what would be on the command line is one word, and no more
                        said = common.run(["bash", "-c", "printf '%s\\n' " + " ".join(f.replace(" ", "\\ ") for f in found)],
                                          cwd=self.path("home"), env=self.environment()).stdout
                        self.assertEqual(said.splitlines(), evil)


if __name__ == "__main__":
    common.main()
