# SPDX-License-Identifier: Apache-2.0
"""What stands between a runner and its Server in the field, as Debian ships it: nginx and haproxy in front, with TLS,
idle limits shorter than a long poll and a Server that is away; squid as the way out, with and without a password."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
from common import PATIENCE  # noqa: E402
from httppeer import reply  # noqa: E402
from servecase import BEAT, JOBS, FaultCase  # noqa: E402
from tlscase import Certs, context  # noqa: E402

PATHS = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")
NAME = "server.example.test"

NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log;{user}
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u;
  scgi_temp_path {dir}/s;
  map $http_upgrade $wanted {{ default upgrade; '' close; }}
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_read_timeout {idle}s;
      proxy_http_version 1.1;
      {upgrade}
    }}
  }}
}}
"""
UPGRADE = "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $wanted;"

HAPROXY = """
global
  maxconn 64
defaults
  mode http
  retries 0
  timeout connect 1s
  timeout client {idle}s
  timeout server {idle}s
  timeout tunnel {idle}s
frontend f
  bind 127.0.0.1:{port} ssl crt {pem}
  default_backend b
backend b
  server s 127.0.0.1:{upstream}
"""

SQUID = """
http_port 127.0.0.1:{port}
pid_filename {dir}/squid.pid
cache_log {dir}/cache.log
access_log none
cache deny all
coredump_dir {dir}
hosts_file {dir}/hosts
shutdown_lifetime 0 seconds
acl all_ports port 1-65535
{access}
"""
WITH_PASSWORD = """
auth_param basic program /usr/lib/squid/basic_ncsa_auth {dir}/passwd
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""


class Real(FaultCase):
    certs = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not shutil.which("openssl"):
            raise unittest.SkipTest("no openssl")
        if Real.certs is None:
            Real.certs = Certs(tempfile.mkdtemp(prefix="dr-certs-"))
            unittest.addModuleCleanup(shutil.rmtree, Real.certs.dir, ignore_errors=True)
            Real.leaf = Real.certs.leaf("real", san=f"DNS:localhost,IP:127.0.0.1,DNS:{NAME}")

    def program(self, name):
        path = shutil.which(name, path=PATHS)
        if not path:
            self.skipTest("no " + name)
        return path

    def start(self, name, args, port):
        """A program in the foreground that listens on port; its output goes to a file."""
        with open(self.path(name + ".out"), "ab") as out:
            process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.tmp,
                                       start_new_session=True)

        def end():
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        self.addCleanup(end)
        self.listening(port, process, name)
        return process

    def listening(self, port, process, name):
        def ready():
            with socket.socket() as probe:
                return process.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0
        common.wait_for(ready, 20 * PATIENCE, name + " listens")
        with open(self.path(name + ".out"), encoding="utf-8", errors="replace") as out:
            self.assertIsNone(process.poll(), out.read())

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def life(self, runner):
        """A workspace from create to delete; its log has come through."""
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)
        self.srv.wait(lambda: "Cloning" in self.srv.log_text("workspace", workspace) or
                      self.srv.log_text("workspace", workspace), 20 * PATIENCE, "log of the workspace")
        self.job("delete", workspace)
        self.assertNotIn(self.srv.key, runner.log())

    def through(self, port, **settings):
        return self.runner(self.srv, server__url=f"https://localhost:{port}", server__ca_file=self.certs.ca[0],
                           **settings)


class Front:
    """What each reverse proxy has to let pass; `front` starts one, `turn` gives it another Server and idle limit."""

    def test_a_whole_life(self):
        port, _ = self.front(self.srv.port, 60)
        runner = self.through(port).start()
        self.life(runner)
        self.assertEqual(runner.stop(), 0)
        self.no_error_lines(runner)

    def test_idle_limit_shorter_than_a_poll(self):
        port, _ = self.front(self.srv.port, 2)
        runner = self.through(port).start()
        self.srv.wait_requests("GET", JOBS, 3, 30 * PATIENCE)   # so two were cut
        self.quick_job()
        self.life(runner)
        self.assertNotIn("refuses", runner.log())

    def test_server_away_behind_it(self):
        port, turn = self.front(common.free_port(), 60)
        runner = self.through(port).start(wait=False)
        runner.wait_log(r"HTTP 50[23]|502|503", 15)
        self.assertIsNone(runner.process.poll())
        turn(self.srv.port, 60)
        self.srv.wait_heartbeat(1, 40 * PATIENCE)
        self.life(runner)


class Nginx(Front, Real):
    def config(self, port, upstream, idle, upgrade=UPGRADE):
        return self.write("nginx.conf", NGINX.format(
            dir=self.tmp, port=port, upstream=upstream, idle=idle, cert=self.leaf[0], key=self.leaf[1],
            upgrade=upgrade, user=" user root;" if os.getuid() == 0 else ""))

    def front(self, upstream, idle, **kwargs):
        port = common.free_port()
        args = [self.program("nginx"), "-p", self.tmp, "-c", self.config(port, upstream, idle, **kwargs)]
        process = self.start("nginx", args, port)

        def turn(upstream, idle):
            self.config(port, upstream, idle)
            process.send_signal(1)
        return port, turn

    def test_without_upgrade_the_log_is_told_of_once(self):
        port, _ = self.front(self.srv.port, 60, upgrade="")
        runner = self.through(port).start()
        runner.wait_log(r"WARN .*GET /log/runner/.*local file alone: .*WebSockets", 20)
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)
        self.assertEqual(runner.log().count(f"GET /log/runner/{self.srv.runner_id}/write"), 1, runner.log())
        self.assertEqual(runner.log().count(f"GET /log/workspace/{workspace}/write"), 1, runner.log())
        self.job("delete", workspace)


class Haproxy(Front, Real):
    def front(self, upstream, idle):
        port = common.free_port()
        program = self.program("haproxy")
        pem = self.certs.join("haproxy.pem", *self.leaf)

        def start(upstream, idle):
            config = self.write("haproxy.cfg", HAPROXY.format(port=port, upstream=upstream, idle=idle, pem=pem))
            return self.start("haproxy", [program, "-db", "-f", config], port)
        running = [start(upstream, idle)]

        def turn(upstream, idle):
            running[0].kill()
            running[0].wait(10)
            running[0] = start(upstream, idle)
        return port, turn


class Squid(Real):
    def squid(self, access):
        program = self.program("squid")
        if "basic_ncsa_auth" in access and not os.access("/usr/lib/squid/basic_ncsa_auth", os.X_OK):
            self.skipTest("no basic_ncsa_auth")
        os.chmod(self.tmp, 0o777)   # squid gives up root
        port = common.free_port()
        self.write("hosts", f"127.0.0.1 localhost {NAME}\n")
        digest = common.run(["openssl", "passwd", "-apr1", "secret"], check=True).stdout.strip()
        self.write("passwd", f"runner:{digest}\n")
        config = self.write("squid.conf", SQUID.format(dir=self.tmp, port=port, access=access.format(dir=self.tmp)))
        self.start("squid", [program, "-N", "-f", config], port)
        return port

    def setUp(self):
        super().setUp()
        self.srv.stop()
        self.srv = self.server(tls=context(self.leaf))

    def out(self, proxy):
        return self.runner(self.srv, server__url=f"https://{NAME}:{self.srv.port}", server__proxy=proxy,
                           server__ca_file=self.certs.ca[0])

    def test_connect(self):
        port = self.squid("http_access allow all")
        runner = self.out(f"http://127.0.0.1:{port}").start()
        self.life(runner)
        self.no_error_lines(runner)

    def test_connect_with_a_password(self):
        port = self.squid(WITH_PASSWORD)
        runner = self.out(f"http://runner:secret@127.0.0.1:{port}").start()
        self.life(runner)
        self.assertNotIn("secret", runner.log())

    def test_wrong_password(self):
        port = self.squid(WITH_PASSWORD)
        for user in "", "runner:wrong@":
            runner = self.runner(self.srv, name="r" + user[:6], server__url=f"https://{NAME}:{self.srv.port}",
                                 server__proxy=f"http://{user}127.0.0.1:{port}", server__ca_file=self.certs.ca[0])
            runner.start(wait=False).wait_log(r"proxy.*407", 20)
            self.assertNotIn("wrong@", runner.log())
            self.assertEqual(runner.stop(), 0)
        self.assertEqual(self.srv.seen("POST", BEAT), [])

    def test_refused_destination(self):
        port = self.squid("http_access deny all")
        runner = self.out(f"http://127.0.0.1:{port}").start(wait=False)
        runner.wait_log(r"proxy.*403", 20)
        self.assertNotIn("refuses our API key", runner.log())


class LogRefused(FaultCase):
    """A log socket that is refused is told of once for each log, with the status and what to do."""

    def refused(self, answer, words):
        self.srv = self.server()
        self.srv.on("GET", "/log/.*", answer, forever=True)
        runner = self.runner(self.srv, name=f"r{len(self.runners)}").start()
        runner.wait_log(rf"WARN .*GET /log/runner/\S+: .*{words}", 20)
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)
        self.job("stop", workspace)
        self.assertRegex(runner.log(), rf"WARN .*GET /log/workspace/{workspace}/write: .*{words}")
        self.assertEqual(runner.log().count(f"GET /log/runner/{self.srv.runner_id}/write"), 1, runner.log())
        self.job("delete", workspace)
        tries = len(self.srv.seen("GET", "/log/runner/.*"))
        self.assertLess(tries, 6, "no back-off")
        self.assertEqual(runner.stop(), 0)

    def test_each_refusal(self):
        rows = ((400, "HTTP 400.*WebSockets"), (401, "HTTP 401.*Authorization"), (403, "HTTP 403.*allow"),
                (404, "HTTP 404.*path"), (200, "HTTP 200.*WebSockets"), (302, "HTTP 302.*WebSockets"))
        for status, words in rows:
            with self.subTest(status):
                self.refused(reply(status, b"no"), words)


if __name__ == "__main__":
    common.main()
