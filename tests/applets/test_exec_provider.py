# SPDX-License-Identifier: Apache-2.0
"""exec-provider: the contract of docs/exec-provider.md with scripted programs, hostile ones too, and the example for ssh with an
ssh that leads to another directory of this host."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, alive, main, pids_with, read_proc, wait_for  # noqa: E402
from httppeer import close, reply, reset, ws_accept, ws_frame  # noqa: E402
from servecase import ServeCase  # noqa: E402

EXAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples", "exec-provider-ssh.sh")
RECORD = 'cat > "$HERE/in.$1"; env -0 > "$HERE/env.$1"; echo "$#:$PWD" > "$HERE/args.$1"; '


class ExecCase(ServeCase):
    def program(self, text, name="provider"):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'#!/bin/sh\nHERE={self.tmp}\n{text}')
        os.chmod(path, 0o755)
        return path

    def start(self, text, **settings):
        runner = self.runner(self.srv, **settings)
        self.write(runner, self.program(text))
        return runner.start()

    def write(self, runner, program, *lines):
        runner.write_ini()
        with open(runner.ini, "a", encoding="utf-8") as file:
            file.write("\n".join(['[provider "exec-provider"]', f"program = {program}", "region = north-1", *lines, ""]))

    def workspace(self, **kwargs):
        return self.srv.add_workspace(self.repo_url, provider="exec-provider", **kwargs)

    def facts(self, verb):
        with open(self.path("in." + verb), encoding="utf-8") as file:
            return json.load(file)


class ContractTest(ExecCase):
    def test_what_the_program_is_told(self):
        runner = self.start(RECORD + 'echo "log of $1"; echo "also this" >&2; [ $1 = workspace-info ] && '
                            'echo \'{"info": {"host": "10.0.0.7", "number": 5}}\'; [ $1 != workspace-start ] || '
                            'echo \'{"x": "not in the log"}\'')
        target = self.srv.add_target(provider="exec-provider", options='{"Size": "large"}')
        workspace = self.srv.add_workspace(self.repo_url, target, env={"A": "b\n'c"}, image="acme/app:1")
        job = self.srv.add_job("target", "create", target)
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))
        for action in ("create", "stop", "delete"):
            self.job(action, workspace)
            if action == "create":
                self.srv.wait(lambda: "log of workspace-info" in self.srv.log_text("workspace", workspace), 20, "the log")
                said = self.srv.log_text("workspace", workspace)
                self.assertIn("log of workspace-start", said)
                self.assertIn("also this", said)
                self.assertNotIn("not in the log", said)
                self.assertNotIn('"info"', said)
        self.assertEqual(json.loads(self.srv.provider_metadata[workspace][-1]),
                         {"host": "10.0.0.7", "daytona.workspace.id": workspace, "daytona.target.id": target})
        facts = self.facts("workspace-start")
        self.assertEqual({k: facts[k] for k in ("version", "verb", "force")},
                         {"version": 1, "verb": "workspace-start", "force": False})
        self.assertEqual(facts["runner"], {"id": self.srv.runner_id, "name": self.srv.runner_name,
                                           "program": os.path.realpath(BIN)})
        self.assertEqual(facts["options"], {"program": self.path("provider"), "region": "north-1"})
        self.assertEqual((facts["target"]["id"], facts["target"]["options"]), (target, {"Size": "large"}))
        self.assertEqual((facts["workspace"]["id"], facts["workspace"]["image"]), (workspace, "acme/app:1"))
        self.assertEqual(facts["workspace"]["env"]["A"], "b\n'c")
        self.assertEqual(facts["workspace"]["env"]["DAYTONA_SERVER_API_URL"], self.srv.url)
        self.assertEqual(facts["workspace"]["repository"]["url"], self.repo_url)
        self.assertEqual(self.facts("target-create")["target"]["id"], target)
        self.assertNotIn("workspace", self.facts("target-create"))
        for verb in ("workspace-create", "workspace-start", "workspace-info"):
            with open(self.path("env." + verb), encoding="utf-8") as file:
                names = {pair.partition("=")[0] for pair in file.read().split("\0") if pair}
            self.assertLessEqual(names, {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"})
            with open(self.path("args." + verb), encoding="utf-8") as file:
                self.assertEqual(file.read().strip(), "1:/")
        self.assertEqual(runner.stop(), 0)

    def test_log_socket_that_nobody_keeps_open(self):
        """A job that prints for long: growing pauses, and one line that says it, also of one that is cut or closed."""
        def opened(conn, request):
            ws_accept(conn, request)
            conn.send(ws_frame(8, b"\x03\xf0no"))
            return False
        steps = {"cut": reset(), "closed": close(), "refused": reply(403, b"no"), "opened": opened}
        runner = self.start('[ $1 != workspace-create ] || until [ -e "$HERE/stop" ]; do echo line; sleep 0.1; done')
        works = {name: self.workspace() for name in steps}
        for name, step in steps.items():
            self.srv.on("GET", f"/log/workspace/{works[name]}/write", step, forever=True)
        jobs = [self.srv.add_job("workspace", "create", workspace) for workspace in works.values()]
        for name, workspace in works.items():
            with self.subTest(name):
                asked = self.srv.wait_requests("GET", f"/log/workspace/{workspace}/write", 3, 60 * PATIENCE)
                self.assertGreater(asked[2].at - asked[1].at, 1.5 * (asked[1].at - asked[0].at))
                runner.wait_log(f"WARN .*GET /log/workspace/{workspace}/write: .*local file alone")
        with open(self.path("stop"), "w", encoding="ascii"):
            pass
        for job in jobs:
            self.srv.wait_final(job, 60 * PATIENCE)
        for workspace in works.values():
            self.assertEqual(runner.log().count(f"GET /log/workspace/{workspace}/write"), 1, runner.log())

    def test_it_is_off_without_its_section(self):
        runner = self.runner(self.srv).start()
        self.assertNotIn("exec-provider", [p["name"] for _, body in self.srv.heartbeats[-1:] for p in body["providers"]])
        self.assertFalse([p for p in runner.status()["providers"] if p["name"] == "exec-provider" and p["enabled"]])
        self.assertIn("exec-provider", self.job("create", self.workspace(), "error"))

    def test_requirements(self):
        for program, why in (("relative/path", "whole path"), (self.path("missing"), "no executable file"),
                             (self.program("echo because; exit 1"), "exit status 1"),
                             (self.program('echo \'{"error": "no key for the cloud"}\'; exit 1', "other"), "no key for the cloud")):
            runner = self.runner(self.srv, name=f"r{len(self.runners)}")
            self.write(runner, program)
            made = runner.applet("provider", "check", "exec-provider")
            self.assertEqual(made.returncode, 1, made.stdout)
            self.assertIn(why, made.stdout)

    def test_no_target_names_another_program(self):
        self.start("exit 0")
        evil = self.program(f"touch {self.path('evil')}", "evil-program")
        for options in (json.dumps({"program": evil}), '{"program": 1}', "[]", "{", ""):
            self.job("create", self.workspace(options=options))
        self.assertFalse(os.path.exists(self.path("evil")))

    def test_what_an_end_means(self):
        for text, action, want in (
                ("exit 7", "create", "exit status 7"),
                ("kill -9 $$", "create", "signal 9"),
                ('echo \'{"error": "no room left"}\'; exit 1', "create", "no room"),
                ('echo \'{"error": 5}\'; exit 1', "create", "exit status 1"),
                ('printf \'{"error": "no line end"}\'; exit 1', "create", "no line end"),
                ("exit 3", "create", "does not know workspace-create"),
                ("exit 3", "delete", "does not know workspace-delete")):
            with self.subTest(text):
                for runner in self.runners:
                    runner.stop()
                self.runners.clear()
                shutil.rmtree(self.path("runner"), ignore_errors=True)
                self.start('[ "$1" = check ] && exit 0; cat >/dev/null; ' + text)
                self.assertIn(want, self.job(action, self.workspace(), "error"))

    def test_output_without_end_and_without_lines(self):
        """It is taken as it comes, and none of it is kept."""
        runner = self.start('[ "$1" = check ] && exit 0; cat >/dev/null; head -c 3000000 /dev/zero | tr "\\0" x; echo; '
                            'head -c 300000 /dev/zero | tr "\\0" "{"; echo; yes | head -n 10000; [ "$1" = workspace-info ] '
                            '&& printf \'{"info": {"a": "%070000d"}}\\n\' 0; exit 0')
        workspace = self.workspace()
        self.job("create", workspace, timeout=60)
        self.assertEqual(set(json.loads(self.srv.provider_metadata[workspace][-1])),
                         {"daytona.workspace.id", "daytona.target.id"})
        self.assertEqual(runner.stop(), 0)

    def test_one_that_hangs(self):
        runner = self.start('[ "$1" = check ] && exit 0; trap "" TERM; echo hangs; sleep 1000 & sleep 1000',
                            runner__job_timeout=2)
        workspace = self.workspace()
        text = self.job("create", workspace, "error", timeout=60)
        self.assertRegex(text, "job_timeout|took too long")
        wait_for(lambda: not pids_with(self.path("provider")), 30 * PATIENCE, "no process of it is left")
        runner.write_ini(runner__job_timeout=100)
        self.write(runner, self.path("provider"))
        self.assertEqual(runner.stop(), 0)
        runner.start()
        job = self.srv.add_job("workspace", "create", workspace)
        wait_for(lambda: [p for p in pids_with(self.path("provider")) if b"workspace-create" in read_proc(p, "cmdline")],
                 40 * PATIENCE, "it runs")
        found = pids_with(self.path("provider"))
        self.assertEqual(runner.applet("cancel", job).returncode, 0)
        self.assertIn("canceled by", self.srv.wait_final(job, 40 * PATIENCE)[1])
        wait_for(lambda: not [p for p in found if alive(p)], 30 * PATIENCE, "no process of it is left")

    def test_killed_runner(self):
        """A stop that was cut off is done again; a creation is looked at."""
        runner = self.start('case $1 in check) exit 0 ;; workspace-condition) echo \'{"condition": "running"}\'; exit 0 ;; esac; '
                            f'cat >/dev/null; echo run >> {self.path("runs")}; [ -e {self.path("go")} ] || sleep 1000')
        job = self.srv.add_job("workspace", "stop", self.workspace())
        wait_for(lambda: os.path.exists(self.path("runs")), 30 * PATIENCE, "it runs")
        runner.kill()
        with open(self.path("go"), "w", encoding="utf-8"):
            pass
        runner.start()
        self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))

    def test_lists_of_what_is_allowed(self):
        self.start(f"touch {self.path('called')}.$1", runner__allow_images="debian:*")
        self.assertIn("allow_images", self.job("create", self.workspace(image="evil/x:1"), "error"))
        self.assertFalse(os.path.exists(self.path("called.workspace-create")))
        self.job("create", self.workspace(image="debian:12"))


class SshTest(ExecCase):
    def test_the_example(self):
        if not shutil.which("jq") or not shutil.which("git"):
            self.skipTest("no jq or no git")
        os.makedirs(self.path("bin"))
        os.makedirs(self.path("host"))
        self.program(f'for last; do :; done; echo "$@" >> {self.path("ssh-arguments")}; cd {self.path("host")}; '
                     f'HOME={self.path("host")} exec sh -c "$last"', "bin/ssh")
        wrapper = self.program(f'PATH={self.path("bin")}:$PATH exec sh {os.path.realpath(EXAMPLE)} "$@"', "wrapper")
        runner = self.runner(self.srv)
        self.write(runner, wrapper, "host = builder@10.0.0.7")
        runner.start()
        workspace = self.workspace(env={"QUOTED": "a 'b' $c"})
        self.job("create", workspace, timeout=90)
        home = self.path("host", ".daytona", "workspaces", workspace)
        self.assertTrue(os.path.exists(os.path.join(home, "app", "README.md")))
        self.assertFalse(os.path.exists(os.path.join(home, "env")))
        self.srv.wait(lambda: self.srv.agent_posts[workspace], 30 * PATIENCE, "the agent's post")
        with open(self.path("ssh-arguments"), encoding="utf-8") as file:
            said = file.read()
        for key, kind in self.srv.keys.items():
            self.assertNotIn(key, said, kind)
        with open(os.path.join(home, "pid"), encoding="ascii") as file:
            agent = int(file.read())
        with open(f"/proc/{agent}/environ", "rb") as file:
            self.assertIn(b"QUOTED=a 'b' $c\0", file.read())
        self.job("start", workspace, timeout=90)
        self.assertTrue(alive(agent), "one that runs is left as it is")
        self.job("stop", workspace, timeout=90)
        self.assertFalse(alive(agent))
        self.job("start", workspace, timeout=90)
        self.job("delete", workspace, timeout=90)
        self.assertFalse(os.path.exists(home))
        self.assertEqual(pids_with(f"DAYTONA_WORKSPACE_ID={workspace}"), [])
        self.job("delete", workspace, timeout=90)

    def test_hosts_and_ids_that_are_none(self):
        if not shutil.which("jq"):
            self.skipTest("no jq")
        for facts in ({"options": {}}, {"options": {"host": "-oProxyCommand=x"}, "workspace": {"id": "a"}},
                      {"options": {"host": "h"}, "workspace": {"id": "a;b"}}, {"options": {"host": "h"}, "workspace": {"id": ".."}},
                      {"options": {"host": "h"}}):
            made = subprocess.run(["sh", EXAMPLE, "workspace-delete"], input=json.dumps(facts), capture_output=True,
                                  text=True, timeout=60 * PATIENCE, check=False)
            self.assertEqual(made.returncode, 1, facts)
            self.assertIn("error", json.loads(made.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
