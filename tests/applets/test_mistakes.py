#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a newcomer gets wrong and what is answered: the exit status, one line on standard error, and in it the remedy."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common  # noqa: E402
from lib.lifecase import LifeCase, one_line  # noqa: E402

# (arguments, environment of it, exit status, what the line says: a regular expression but for "?").
# {url} {key} {id} {dir}: of this machine.
ANYWHERE = (
    (["strat"], {}, 2, "did you mean start?; see daytona-runner help"),
    (["frobnicate"], {}, 2, 'no applet is named "frobnicate".*see daytona-runner help'),
    (["help", "stats"], {}, 2, "did you mean status?"),
    (["--versoin"], {}, 2, "did you mean --version?"),
    (["status", "--qiet"], {}, 2, "did you mean --quiet?"),
    (["status", "now"], {}, 2, 'unexpected operand "now"; see daytona-runner status --help'),
    (["start", "-timeout=3"], {}, 2, "write --timeout=3"),
    (["start", "--timeout", "soon"], {}, 2, "needs a number from 1 to .*, not \"soon\""),
    (["start", "--timeout"], {}, 2, "--timeout needs "),
    (["list", "-f", "xml"], {}, 2, "json or yaml, not \"xml\""),
    (["completion", "csh"], {}, 2, "bash, zsh or fish"),
    (["provider", "enable"], {}, 2, "enable which provider?"),
    (["provider", "install"], {}, 2, "list, check, enable or disable"),
    (["provider", "enable", "docker"], {}, 1, "did you mean docker-provider?"),
    (["configure", "--no-check", "--providers", "podman"], {}, 1, "this program has docker-provider, native-provider"),
    (["service"], {}, 2, "see daytona-runner service --help"),
    (["create"], {}, 2, "--name"),
    (["create", "--name", "  "], {}, 2, "give --name NAME"),
    (["list"], {"DAYTONA_API_URL": None, "DAYTONA_API_KEY": None}, 2, "which Server? Give --api-url .* DAYTONA_API_URL"),
    (["list"], {"DAYTONA_API_KEY": None}, 2, "no API key for {url}"),
    (["list"], {"DAYTONA_API_KEY": "wrong"}, 1, "the API key from environment"),
    (["list"], {"DAYTONA_API_URL": "http://127.0.0.1:1"}, 1, "127.0.0.1:1: Connection refused; is the URL right"),
    (["list"], {"DAYTONA_API_URL": "htp://127.0.0.1"}, 1, "unknown scheme.*http, https"),
    (["list"], {"DAYTONA_API_URL": "http://daytona.example"}, 1, "--allow-http"),
    (["start"], {}, 1, "not configured .*missing API URL.*daytona-runner configure"),
    (["serve"], {}, 78, "not configured .*missing API URL"),
    (["config", "-q"], {}, 78, "run: daytona-runner configure"),
    (["service", "install"], {}, 1, "run: daytona-runner configure"),
    (["configure"], {}, 1, "--api-url, --api-key-file, --id and --name"),
    (["configure", "hello"], {}, 2, 'unexpected operand "hello"; see daytona-runner configure --help'),
    (["configure", "daytona-runner configure --name 'x"], {}, 2, "give it whole, in quotes"),
    (["configure", "--import", "{dir}/nothing.json"], {}, 1, "nothing.json: No such file"),
    (["configure", "--port", "99999"], {}, 2, "port.*0 to 65535"),
    (["configure", "--heartbeat", "60"], {}, 2, "heartbeat.*10ms to 25 seconds"),
    (["logs"], {}, 1, "no runner is configured here.*daytona-runner configure"),
    (["workspace", "crate"], {}, 2, "did you mean create?; see daytona-runner workspace --help"),
    (["worksapce"], {}, 2, "did you mean workspace?"),
    (["workspace", "create"], {}, 2, "which repository? Give its address"),
    (["workspace", "create", "http://git.test/a/b", "--lable", "a=b"], {}, 2, "did you mean --label?"),
    (["workspace", "create", "http://git.test/a/b"], {}, 1, "no runner has registered a target configuration: register and start"),
    (["workspace", "stop", "x"], {}, 1, "Make one with: daytona-runner workspace create"),
    (["target", "delete", "x"], {}, 1, "Make one with: daytona-runner target create"),
    (["env", "set", "A", "-x"], {}, 2, "unknown option -x"),
    (["key", "revoke", "-y", "nobody"], {}, 1, 'no key "nobody"; it has default'),
    (["down", "--purge"], {}, 2, "confirm with --yes"),
    (["delete", "-y", "nobody"], {}, 1, 'no runner "nobody"; see: daytona-runner list'),
)
# The same on a host that is configured.
CONFIGURED = (
    (["configure", "--api-key", "wrong"], {}, 1, "refuses our API key.*daytona-runner create"),
    (["configure", "--api-key", "{key}"], {}, 1, "not the key of runner {id}; use the one"),
    (["configure", "--id", "edge"], {}, 1, "not of the runner.*take id and key from one line of .daytona-runner create"),
    (["configure", "--id", "edge", "--api-key", "{key}"], {}, 1, "use --id {id}"),
    (["configure", "--id", "abcdef123456", "--api-key", "{key}"], {}, 1, "no runner with id abcdef123456.*daytona-runner create"),
    (["configure", "--api-url", "http://127.0.0.1:1"], {}, 1, "Connection refused; is the URL right"),
    (["serve"], {"DAYTONA_RUNNER_RUNNER_MAX_JOBS": "many"}, 78, "DAYTONA_RUNNER_RUNNER_MAX_JOBS.*many"),
    (["serve"], {"DAYTONA_RUNNER_SERVER_KEY_FILE": "{dir}/nothing"}, 1, "nothing: No such file.*run: daytona-runner configure"),
    (["start"], {"DAYTONA_RUNNER_RUNNER_STATE_DIR": "{dir}/full"}, 1, "full is not empty and not ours.*set .runner. state_dir"),
    (["logs", "--job", "nothing"], {}, 1, "neither the runner nor the Server knows"),
)


class Mistakes(LifeCase):
    def answered(self, rows, **facts):
        facts.update(url=self.srv.url, key=self.srv.key, dir=self.tmp)
        self.assertGreaterEqual(len(ANYWHERE) + len(CONFIGURED), 25)
        for args, env, rc, pattern in rows:
            with self.subTest(args=args, env=env):
                args = [arg.format(**facts) for arg in args]
                env = {k: v and v.format(**facts) for k, v in env.items()}
                said = self.applet(*args, env=self.env(**env), rc=rc)
                self.assertTrue(one_line(said.stderr), said.stderr)
                self.assertRegex(said.stderr, r"\Adaytona-runner( [a-z]+)*: ")
                self.assertRegex(said.stderr, pattern.replace("?", r"\?").format(**facts))
                self.assertNotIn(self.srv.key, said.stderr)

    def test_on_a_machine_that_is_not_configured(self):
        self.answered(ANYWHERE)
        self.assertFalse(os.path.exists(self.ini))
        self.assertEqual(self.listed(), [])

    def test_on_one_that_is(self):
        made = self.configured()
        os.mkdir(self.path("full"))
        with open(self.path("full", "mine"), "w", encoding="ascii"):
            pass
        before = self.ini_text()
        self.answered(CONFIGURED, id=made["id"])
        self.assertEqual(self.ini_text(), before)

    def test_lines_of_the_file(self):
        self.configured()
        good = self.ini_text()
        for line, pattern in (("urll = https://x", 'unknown key "urll" in .server.; did you mean url'),
                              ("[sever]", r"unknown section \[sever\]; known: \[runner\], \[server\]"),
                              ("what is this", r"runner\.ini:\d+: "),
                              ("heartbeat_s = 1h", r"runner\.ini:\d+: .*heartbeat_s"),
                              ("allow_http = maybe", r"runner\.ini:\d+: .*true.*false")):
            with self.subTest(line):
                with open(self.ini, "w", encoding="utf-8") as file:
                    file.write(good + "\n[server]\n" + line + "\n")
                said = self.applet("config", "-q", env=self.env(admin=False), rc=78)
                self.assertTrue(one_line(said.stderr), said.stderr)
                self.assertRegex(said.stderr, pattern)

    def test_a_second_start_and_a_stop_of_nothing_are_none(self):
        self.configured()
        env = self.env(admin=False)
        self.assertIn("not running", self.applet("stop", env=env).stdout)
        self.applet("start", env=env)
        self.assertIn("already", self.applet("start", env=env).stdout.lower())


if __name__ == "__main__":
    common.main()
