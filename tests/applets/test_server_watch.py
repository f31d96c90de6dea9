#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watches the embedded Server: health, readiness, figures, access and audit log, a new certificate."""
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"


def figures(server, key=""):
    """The values of /metrics by name and label; each name has its help and type before."""
    known, values = set(), {}
    answer = server.call("GET", "/metrics", key=key)
    assert answer.status == 200, answer.body
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    for line in answer.body.decode().splitlines():
        if line.startswith("# "):
            _, word, name, *_ = line.split()
            known.add((word, name))
            continue
        match = re.fullmatch(r'daytona_server_([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.]+)', line)
        assert match, line
        name = "daytona_server_" + match[1]
        assert ("HELP", name) in known and ("TYPE", name) in known, line
        values[match[1] + (match[2] or "")] = float(match[3])
    return values


class Figures(common.Case):
    def test_each_follows_what_happens(self):
        s = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "60")
        first = figures(s)
        self.assertEqual(first['records{kind="keys"}'], 1)
        self.assertEqual(first["runners_responsive"], 0)
        self.assertGreater(first["resident_bytes"], 100000)
        self.assertGreater(first["open_descriptors"], 3)
        self.assertGreaterEqual(first["cpu_seconds_total"], 0)
        info, = [name for name in first if name.startswith("build_info")]
        _, version, _, build, *_ = re.split(r"[ ()\n]+", common.run([common.BIN, "--version"]).stdout)
        self.assertEqual(info, f'build_info{{version="{version}",build="{build}"}}')
        key = serverproc.make_runner(s, ID)
        config = serverproc.make_config(s, ID)
        s.ok("POST", "/target", {"id": "t1", "name": "t1", "targetConfigId": config})
        self.assertEqual(s.call("GET", "/nothing").status, 404)
        second = figures(s)
        self.assertEqual(second["runners_responsive"], 1)
        self.assertEqual(second['records{kind="runners"}'], 1)
        self.assertEqual(second['records{kind="targets"}'], 1)
        self.assertEqual(second['jobs_open{state="pending"}'], 1)
        self.assertEqual(second['requests_total{class="4xx"}'] - first['requests_total{class="4xx"}'], 1)
        # The first answer counted itself after it was made: four requests and that one.
        self.assertEqual(second['requests_total{class="2xx"}'] - first['requests_total{class="2xx"}'], 5)
        self.assertGreater(second["store_bytes"], first["store_bytes"])
        serverproc.finish_job(s, key, ID)
        poll = s.socket()
        poll.sendall(f"GET /runner/{ID}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        silent = s.socket()
        silent.sendall(b"GET / HTTP/1.1\r\n")
        log = serverproc.WebSocket(s, f"/log/runner/{ID}/write", key)
        common.wait_for(lambda: figures(s)["polls_waiting"] == 1, 20 * common.PATIENCE, "the poll waits")
        third = figures(s)
        self.assertEqual(third['jobs_open{state="pending"}'], 0)
        self.assertEqual((third["websockets"], third['requests_total{class="1xx"}']), (1, 1))
        self.assertEqual(third['connections{kind="without_key"}'], 1)
        self.assertEqual(third['connections{kind="with_key"}'], 3, "the poll, the log, and who asks")
        log.close()

    def test_runners_and_workspaces_are_not_told(self):
        s = serverproc.Server(self, os.path.join(self.tmp, "data"))
        key = serverproc.make_runner(s, ID)
        self.assertEqual(s.call("GET", "/metrics", key=key).status, 403)
        self.assertEqual(s.call("GET", "/metrics", key=None).status, 401)
        for path, text in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            answer = s.call("GET", path, key=None)
            self.assertEqual((answer.status, answer.body), (200, text))


class AccessLog(common.Case):
    LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (127\.0\.0\.1:\d+|unix) (\S+) (\S+) (\d+) (\d+) (\d+) (\S+)"

    def lines(self, path):
        with open(path, encoding="ascii") as file:
            found = [(line, re.fullmatch(self.LINE, line)) for line in file.read().splitlines()]
        for line, match in found:
            self.assertTrue(match, line)
        return [match.groups()[1:] for _, match in found]

    def test_each_request_once(self):
        path, unix = os.path.join(self.tmp, "access"), os.path.join(self.tmp, "sock")
        s = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "1", "--access-log", path,
                              "--listen-unix", unix)
        key = serverproc.make_runner(s, ID)
        s.ok("POST", "/apikey/a%20b%0Ac")
        s.call("GET", "/env?secret=geheim")
        s.call("GET", "/gitprovider/for-url/https%253A%252F%252Fada%253Ageheim%2540x%2540git.test%252Fa", key=key)
        s.call("GET", "/workspace-template/default/https:%2F%2Fada:geheim@git.test%2Fa")
        self.assertEqual(s.call("GET", "/env", key="geheim").status, 401)
        self.assertEqual(s.call("HEAD", "/env").status, 200)
        self.assertEqual(s.call("GET", f"/runner/{ID}/jobs", key=key).status, 204)
        broken = s.socket()
        broken.sendall(b"geheim\r\n\r\n")
        self.assertEqual(broken.recv(4096).split()[1], b"400")
        twice = s.socket()
        ask = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
        twice.sendall(b"GET /env HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + s.key.encode() + b"\r\n\r\n" + ask)
        common.wait_for(lambda: any(line[1] == "/health" for line in self.lines(path)), 20 * common.PATIENCE, "both")
        log = serverproc.WebSocket(s, f"/log/runner/{ID}/write", key)
        log.close()
        log.rest()
        local = socket.socket(socket.AF_UNIX)
        self.addCleanup(local.close)
        local.connect(unix)
        local.sendall(ask.replace(b"/health", b"/healthz"))
        want = [("POST", "/runner", "200", "client/default"), ("POST", f"/runner/{ID}/metadata", "200", "runner/" + ID),
                ("POST", "/apikey/a%20b%0Ac", "200", "client/default"), ("GET", "/env", "200", "client/default"),
                ("GET", "/gitprovider/for-url/***@git.test%252Fa", "403", "runner/" + ID),
                ("GET", "/workspace-template/default/***@git.test%2Fa", "404", "-"),
                ("GET", "/env", "401", "-"), ("HEAD", "/env", "200", "client/default"),
                ("GET", f"/runner/{ID}/jobs", "204", "runner/" + ID), ("-", "-", "400", "-"),
                ("GET", "/env", "200", "client/default"), ("GET", "/health", "200", "-"),
                ("GET", f"/log/runner/{ID}/write", "101", "runner/" + ID), ("GET", "/healthz", "200", "-")]
        common.wait_for(lambda: len(self.lines(path)) >= len(want), 20 * common.PATIENCE, "all lines")
        found = self.lines(path)
        self.assertEqual([(m, p, status, who) for m, p, status, _, _, who in found], want)
        self.assertEqual([int(f[3]) for f in found if f[1] == "/health"], [len('{"status":"ok"}')])
        self.assertEqual(int(found[7][3]), 0, "HEAD has no body")
        self.assertGreaterEqual(int(found[8][4]), 900, "the poll took a second")
        with open(path, encoding="ascii") as file:
            text = file.read()
        for secret in ("geheim", key, s.key):
            self.assertNotIn(secret, text)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        os.truncate(path, 33 << 20)
        s.ok("GET", "/env")
        # Between its two steps there is none of that name.
        common.wait_for(lambda: os.path.exists(path + ".1") and os.path.exists(path), 20 * common.PATIENCE, "a long one is set aside")
        self.assertLess(os.path.getsize(path), 1000)
        self.assertEqual(os.path.getsize(path + ".1"), 33 << 20)

    def test_standard_error_that_nobody_reads_holds_nothing_up(self):
        pipe = os.path.join(self.tmp, "pipe")
        os.mkfifo(pipe)
        room = 2 * os.sysconf("SC_PAGE_SIZE")
        for args, prefix in ((("--access-log", "-"), ("sh", "-c", 'exec "$@" 2>"$0"', pipe)), (("--access-log", pipe), ())):
            reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, room)
            s = serverproc.Server(self, os.path.join(self.tmp, f"data{len(prefix)}"), *args, prefix=prefix)
            for _ in range(room // 50):
                s.ok("GET", "/server/config")
            self.assertGreater(figures(s)["log_lines_lost_total"], 0)
            got = os.read(reader, room).decode().splitlines()
            self.assertTrue(any(re.fullmatch(self.LINE, line) for line in got), got)
            self.assertEqual([line for line in got if "/server/config" in line and not re.fullmatch(self.LINE, line)], [])
            s.ok("GET", "/env")
            common.wait_for(lambda: b"/env" in os.read(reader, 65536) if select.select([reader], [], [], 0)[0] else False,
                            20 * common.PATIENCE, "it goes on when there is room")
            s.stop()
            os.close(reader)

    def test_a_file_that_cannot_be_is_said_at_the_start(self):
        answer = common.run([common.BIN, "server", "--listen", "127.0.0.1:0", "--data", os.path.join(self.tmp, "data"),
                             "--access-log", os.path.join(self.tmp, "none", "x")])
        self.assertEqual(answer.returncode, 1)
        self.assertIn("none/x: No such file", answer.stderr)


class AuditLog(common.Case):
    def setUp(self):
        super().setUp()
        self.data = os.path.join(self.tmp, "data")
        self.path = os.path.join(self.data, "audit.log")

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        return [(line["who"], line.get("request"), [re.sub(r"(?<=jobs |figs )\S+", "*", d) for d in line["did"]])
                for line in lines]

    def test_who_changed_what(self):
        s = serverproc.Server(self, self.data)
        key = serverproc.make_runner(s, ID)
        config = serverproc.make_config(s, ID)
        s.ok("POST", "/target", {"id": "t1", "name": "t1", "targetConfigId": config})
        serverproc.finish_job(s, key, ID)
        provider = dict(serverproc.PROVIDER, runnerId=ID, runnerName="one")
        for _ in range(3):
            s.ok("POST", f"/runner/{ID}/metadata", {"uptime": 2, "providers": [provider]}, key)  # says nothing new
        s.ok("GET", "/target")
        self.assertEqual(s.call("POST", "/apikey/evil", key=key).status, 403)
        self.assertEqual(s.call("DELETE", "/env/x", key="wrong").status, 401)
        s.ok("PUT", "/env", {"key": "TOKEN", "value": "geheim"}, status=201)
        s.ok("PUT", "/server/config", s.ok("GET", "/server/config").json)
        s.ok("DELETE", f"/runner/{ID}", key=key)
        self.assertEqual(self.read()[0], ("server", None, ["add keys client/default"]))
        want = [
            ("client/default", "POST /runner", {"add runners " + ID, "add keys runner/" + ID}),
            ("runner/" + ID, f"POST /runner/{ID}/metadata", {"change runners " + ID}),
            ("client/default", "POST /target-config", {"add target-configs *"}),
            ("client/default", "POST /target", {"add targets t1", "add keys target/t1", "add jobs *"}),
            ("runner/" + ID, f"POST /runner/{ID}/jobs/*/state", {"change jobs *"}),
            ("runner/" + ID, f"POST /runner/{ID}/jobs/*/state", {"change jobs *"}),
            ("client/default", "PUT /env", {"add env TOKEN"}),
            ("client/default", "PUT /server/config", {"change server.json"}),
            ("runner/" + ID, f"DELETE /runner/{ID}", None),
        ]
        found = [(who, re.sub(r"(?<=/jobs/)[^/]+", "*", request), set(did)) for who, request, did in self.read()[1:]]
        self.assertEqual([f[:2] for f in found], [w[:2] for w in want])
        for (who, request, did), (_, _, expected) in zip(found, want):
            if expected:
                self.assertEqual(did, expected, request)
        self.assertLessEqual({"remove runners " + ID, "remove keys runner/" + ID}, found[-1][2])
        s.stop()
        common.run([common.BIN, "server", "key", "--data", self.data, "create", "ada"], check=True)
        self.assertEqual(self.read()[-1], ("owner", None, ["add keys client/ada"]))
        with open(self.path, encoding="utf-8") as file:
            text = file.read()
        for secret in ("geheim", key, s.key):
            self.assertNotIn(secret, text)
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)

    def test_it_is_bounded_and_its_loss_stops_nothing(self):
        s = serverproc.Server(self, self.data)
        os.truncate(self.path, 33 << 20)
        s.ok("POST", "/apikey/one")
        self.assertEqual(os.path.getsize(self.path + ".1"), 33 << 20)
        self.assertEqual([did for _, _, did in self.read()], [["add keys client/one"]])
        os.unlink(self.path)
        os.mkdir(self.path)
        for name in ("two", "three"):
            s.ok("POST", "/apikey/" + name)
        self.assertEqual(s.log().count("the audit log misses changes"), 1, "once, not for each")
        self.assertEqual(figures(s)["log_lines_lost_total"], 2)
        os.rmdir(self.path)
        s.ok("POST", "/apikey/four")
        self.assertEqual([did for _, _, did in self.read()], [["add keys client/four"]])


class Certificate(common.Case):
    def setUp(self):
        super().setUp()
        self.ca = common.make_ca(self.tmp)
        self.pairs = [common.make_cert(self.tmp, self.ca, name=name) for name in ("one", "two", "three")]
        self.cert, self.key = os.path.join(self.tmp, "cert.pem"), os.path.join(self.tmp, "key.pem")
        self.context = ssl.create_default_context(cafile=self.ca)
        self.install(*self.pairs[0])
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--tls-cert", self.cert, "--tls-key", self.key)

    def install(self, cert, key):
        shutil.copyfile(cert, self.cert)
        shutil.copyfile(key, self.key)

    def connect(self, session=None):
        return self.context.wrap_socket(self.server.socket(), server_hostname="localhost", session=session)

    def name(self, connection=None):
        with connection or self.connect() as s:
            return dict(part[0] for part in s.getpeercert()["subject"])["commonName"]

    def ask(self, s):
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        data = b""
        while not data.endswith(b"ok\n"):
            more = s.recv(4096)
            self.assertTrue(more, data)
            data += more

    def hup(self, want):
        before = self.server.log().count(want)
        os.kill(self.server.pid, signal.SIGHUP)
        common.wait_for(lambda: self.server.log().count(want) > before, 20 * common.PATIENCE, want)

    def test_new_connections_get_the_new_one(self):
        open_one = self.connect()
        self.ask(open_one)
        session = open_one.session
        waits = self.server.socket()  # accepted, no handshake yet
        self.assertEqual(self.name(), "one")
        self.install(*self.pairs[1])
        self.assertEqual(self.name(), "one", "not before it is told to")
        self.hup("new connections get the certificate")
        self.assertEqual(self.name(), "two")
        self.ask(open_one)
        again = self.connect(session)
        self.assertFalse(again.session_reused, "no old session goes on either")
        self.assertEqual(self.name(again), "two")
        self.install(*self.pairs[2])
        self.hup("new connections get the certificate")
        self.assertEqual(self.name(), "three")
        self.ask(open_one)
        early = self.context.wrap_socket(waits, server_hostname="localhost")
        self.assertIn(self.name(early), ("one", "three"))
        open_one.close()
        self.assertEqual(self.server.stop(), 0)

    def test_files_of_no_use_change_nothing(self):
        def nothing(path):
            os.unlink(path)

        def half(path):
            os.truncate(path, 100)

        def anothers(path):
            shutil.copyfile(self.pairs[1][0 if path == self.cert else 1], path)

        stays = "; the certificate that was loaded before stays in use"
        for path in (self.cert, self.key):
            for harm in (nothing, half, anothers):
                harm(path)
                self.hup(stays)
                self.assertEqual(self.name(), "one", (path, harm.__name__))
                self.assertIn(path, [line for line in self.server.log().splitlines() if stays in line][-1])
                self.install(*self.pairs[0])
        self.install(*self.pairs[1])
        self.hup("new connections get the certificate")
        self.assertEqual(self.name(), "two")


class Ready(common.Case):
    def test_a_full_disk_is_said_and_so_is_its_end(self):
        common.need_unshare(self, "-rm")
        mount, key_file = os.path.join(self.tmp, "mount"), os.path.join(self.tmp, "key")
        os.mkdir(mount)
        script = 'mount -t tmpfs -o size=1m,mode=700 none "$0" || exit 77; exec "$@"'
        s = serverproc.Server(self, os.path.join(mount, "data"), "--key-file", key_file,
                              prefix=("unshare", "-rm", "sh", "-c", script, mount))
        self.assertEqual(s.call("GET", "/readyz", key=None).status, 200)
        ballast = f"/proc/{s.pid}/root{mount}/ballast"
        with open(ballast, "wb", buffering=0) as file:
            with self.assertRaises(OSError):
                for _ in range(1000):
                    file.write(b"x" * 4096)
        common.wait_for(lambda: s.call("GET", "/readyz", key=None).status == 503, 20 * common.PATIENCE, "full is said")
        text = s.call("GET", "/readyz", key=None).body.decode()
        self.assertEqual(text, "not ready: the store cannot be written: No space left on device\n")
        self.assertEqual(s.call("GET", "/healthz", key=None).status, 200, "alive it is")
        os.unlink(ballast)
        common.wait_for(lambda: s.call("GET", "/readyz", key=None).status == 200, 20 * common.PATIENCE, "ready again")
        self.assertEqual([n for n in os.listdir(f"/proc/{s.pid}/root{mount}/data") if "probe" in n], [])


if __name__ == "__main__":
    common.main()
