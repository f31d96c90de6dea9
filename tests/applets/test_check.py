#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check: each fault between this host and a job is named in its own row, with the remedy; the exit status; the report."""
import json
import os
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

sys.path[:0] = [os.path.join(os.path.dirname(__file__), ".."), os.path.join(os.path.dirname(__file__), "..", "lib")]
from fakeserver import FakeServer  # noqa: E402
from lib import common  # noqa: E402
from lib.lifecase import LifeCase, one_line  # noqa: E402

ROWS = ["configuration", "name", "route", "tls", "server", "clock", "key", "id", "disk", "providers", "runner", "service",
        "port"]


class OtherServer:
    """Says it is well; what time it has, is up to the test."""

    def __init__(self, case, body, date=None):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def date_time_string(self, timestamp=None):
                return date or super().date_time_string(timestamp)

            def log_message(self, *args):
                pass

        http = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        case.addCleanup(http.server_close)
        case.addCleanup(http.shutdown)
        self.url = f"http://127.0.0.1:{http.server_port}"


class Check(LifeCase):
    def rows(self, rc, **env):
        said = self.applet("check", "-f", "json", env=self.env(admin=False, **env), rc=rc)
        said = json.loads(said.stdout)
        self.assertEqual([row["name"] for row in said["checks"]], ROWS)
        self.assertEqual(said["ok"], rc == 0)
        self.assertEqual(said["ok"], "wrong" not in {row["state"] for row in said["checks"]})
        return {row["name"]: row for row in said["checks"]}

    def test_all_is_well(self):
        self.configured()
        for running in (False, True):
            if running:
                self.applet("start", env=self.env(admin=False))
            rows = self.rows(0)
            self.assertLessEqual({row["state"] for row in rows.values()}, {"ok", "note"})
            for name in ("configuration", "name", "route", "tls", "server", "clock", "key", "id", "providers", "port"):
                self.assertEqual(rows[name]["state"], "ok", rows[name])
            self.assertIn("process" if running else "daytona-runner start", rows["runner"]["text"])
        for word in ("check", "doctor"):
            lines = self.applet(word, env=self.env(admin=False)).stdout.splitlines()
            self.assertEqual([line.split()[1] for line in lines[:-1]], [row + ":" for row in ROWS])
            self.assertEqual(lines[-1], "All that is needed is in order.")

    def fault(self, row, pattern, **env):
        """That row alone is wrong; what needs it is left out, the rest is looked at."""
        rows = self.rows(1, **env)
        self.assertEqual([n for n in ROWS if rows[n]["state"] == "wrong"], [row], rows)
        self.assertRegex(rows[row]["text"], pattern)
        self.assertNotIn("\n", rows[row]["text"])
        return rows

    def test_each_fault_is_named_where_it_is(self):
        made, other = self.create("edge"), self.create("other")
        self.configure(made)
        far = {"DAYTONA_RUNNER_SERVER_ALLOW_HTTP": "true"}
        with socket.socket() as taken, open(self.path("file"), "wb"):
            taken.bind(("0.0.0.0", 0))
            taken.listen()
            port = str(taken.getsockname()[1])
            cases = (
                ("configuration", "unknown scheme.*daytona-runner configure", {"DAYTONA_RUNNER_SERVER_URL": "ftp://x"}),
                ("configuration", "--allow-http", {"DAYTONA_RUNNER_SERVER_URL": "http://nothing.invalid"}),
                ("name", "nothing.invalid.*/etc/hosts", dict(far, DAYTONA_RUNNER_SERVER_URL="http://nothing.invalid")),
                ("route", "127.0.0.1:1: Connection refused.*firewall", {"DAYTONA_RUNNER_SERVER_URL": "http://127.0.0.1:1"}),
                ("server", "Daytona Server's API", {"DAYTONA_RUNNER_SERVER_URL": OtherServer(self, b"{}").url}),
                ("key", "refuses our API key", {"DAYTONA_RUNNER_SERVER_KEY": "wrong-wrong"}),
                ("key", "create", {"DAYTONA_RUNNER_SERVER_KEY": other["apiKey"]}),
                ("key", "not the key of runner", {"DAYTONA_RUNNER_SERVER_KEY": self.srv.key}),
                ("id", "no runner with id", {"DAYTONA_RUNNER_SERVER_KEY": self.srv.key,
                                             "DAYTONA_RUNNER_RUNNER_ID": "abcdef123456"}),
                ("id", "--id " + made["id"], {"DAYTONA_RUNNER_SERVER_KEY": self.srv.key,
                                              "DAYTONA_RUNNER_RUNNER_ID": "edge"}),
                ("disk", "--state-dir DIR", {"DAYTONA_RUNNER_RUNNER_STATE_DIR": self.path("file") + "/below"}),
                ("port", port + ".*configure --port", {"DAYTONA_RUNNER_RUNNER_PORT": port}),
            )
            for row, pattern, env in cases:
                with self.subTest(row=row, pattern=pattern):
                    rows = self.fault(row, pattern, **env)
                    if row in ROWS[:4]:
                        self.assertEqual(rows[ROWS[ROWS.index(row) + 1]]["state"], "skipped")
                    self.assertNotEqual(rows["providers"]["state"], "skipped")
        self.applet("configure", "--no-check", "--providers", "none", env=self.env(admin=False))
        self.fault("providers", "provider enable NAME")

    def test_docker_is_not_here(self):
        """One short sentence everywhere; the long form in provider check, once."""
        self.configured()
        sock = self.path("none.sock")
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write(f'[provider "docker-provider"]\nenabled = true\nsock_path = {sock}\n')
        env = self.env(admin=False)
        short = (f"Docker is not here ({sock}: no such socket). Not needed? daytona-runner provider disable docker-provider")
        self.assertRegex(self.applet("provider", "list", env=env).stdout, r"(?m)^docker-provider +enabled +" + re.escape(short) + "$")
        self.assertTrue(self.rows(0)["providers"]["text"].endswith("; not docker-provider: " + short))
        text = self.applet("provider", "check", "docker-provider", env=env, rc=1).stdout
        self.assertEqual((text.count(short), text.count("is the service running")), (1, 1), text)
        self.applet("start", env=env)
        common.wait_for(lambda: short in self.applet("status", env=env).stdout, 20 * common.PATIENCE, "the provider's state")

    def test_nothing_is_configured(self):
        # Whoever else runs here may have the port that a runner takes unless told otherwise.
        rows = self.fault("configuration", "missing API URL.*run: daytona-runner configure", DAYTONA_RUNNER_RUNNER_PORT="0")
        self.assertEqual(rows["key"]["state"], "skipped")

    def test_a_wrong_line_of_the_file(self):
        self.configured()
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write("\n[runner]\nmax_jbos = 3\n")
        self.fault("configuration", r"runner\.ini:\d+: .*max_jobs")

    def test_certificate_that_nobody_signed(self):
        tls, _ = common.server_tls(self.tmp)
        server = FakeServer(tls=tls).start()
        self.addCleanup(server.stop)
        rows = self.fault("tls", "certificate|issuer|CA", DAYTONA_RUNNER_SERVER_URL=server.url,
                          DAYTONA_RUNNER_SERVER_KEY=server.key, DAYTONA_RUNNER_RUNNER_ID=server.runner_id,
                          DAYTONA_RUNNER_RUNNER_NAME=server.runner_name, DAYTONA_RUNNER_RUNNER_PORT="0")
        self.assertEqual(rows["route"]["state"], "ok")

    def test_a_clock_that_is_wrong(self):
        self.configured()
        for date, word in (("Sat, 01 Jan 2000 00:00:00 GMT", "ahead of"), ("Sun, 01 Jan 2090 00:00:00 GMT", "behind")):
            url = OtherServer(self, b'{"status":"ok"}', date).url
            rows = self.rows(1, DAYTONA_RUNNER_SERVER_URL=url)
            self.assertEqual(rows["clock"]["state"], "wrong")
            self.assertRegex(rows["clock"]["text"], f"clock is [0-9]+ s {word} the Server's; .*timedatectl")

    def test_the_server_has_gone_while_it_runs(self):
        self.configured()
        self.applet("start", env=self.env(admin=False))
        self.srv.stop()
        common.wait_for(lambda: self.rows(1)["runner"]["state"] == "wrong", 30 * common.PATIENCE, "the runner's word for it")
        rows = self.rows(1)
        self.assertEqual(rows["route"]["state"], "wrong")
        self.assertIn("daytona-runner logs", rows["runner"]["text"])

    def test_report_without_secrets(self):
        made = self.configured()
        self.applet("start", env=self.env(admin=False))
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write('\n[provider "docker-provider"]\nRemote Password = hunter2hunter2\nRemote User = builder\n')
        secrets = {"DAYTONA_RUNNER_SERVER_PROXY": "http://me:proxypass77@127.0.0.1:1"}
        file = self.path("report")
        said = self.applet("check", "--report", file, env=self.env(admin=False, **secrets))
        self.assertIn(f"The report is in {file}; read it", said.stdout)
        self.assertEqual(os.stat(file).st_mode & 0o777, 0o600)
        with open(file, encoding="utf-8") as report:
            text = report.read()
        for secret in (made["apiKey"], "hunter2", "proxypass77"):
            self.assertNotIn(secret, text + said.stdout)
        for part in ("build", "== system ==", "== configuration ==", f"runner.id               = {made['id']}",
                     "== checks ==", "ok       server: ", "== status ==", '"running_jobs"', "== log ==", "== start ==",
                     "Remote Password = ****", "Remote User = builder"):
            self.assertIn(part, text)
        self.assertRegex(text, "(?s)== log ==.*the Server accepts our heartbeats")
        said = self.applet("check", "--report", self.path("no", "where"), env=self.env(admin=False), rc=1)
        self.assertTrue(one_line(said.stderr), said.stderr)

    def test_config_shows_no_password_of_a_provider(self):
        self.configured()
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write('\n[provider "docker-provider"]\nRemote Password = hunter2hunter2\n')
        for args in ((), ("-f", "json")):
            self.assertNotIn("hunter2", self.applet("config", *args).stdout)
            self.assertIn("hunter2hunter2", self.applet("config", "-k", *args).stdout)


if __name__ == "__main__":
    common.main()
