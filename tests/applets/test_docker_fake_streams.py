# SPDX-License-Identifier: Apache-2.0
"""docker-provider against a scripted engine: progress streams, frames of execs and logs, API versions,
and where the engine is looked for."""
import os
import shutil
import socket
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import common  # noqa: E402
import drivecase  # noqa: E402
from enginecase import IMAGE, TARGET, WORKSPACE, EngineCase  # noqa: E402
from fakeengine import frame  # noqa: E402

NEW = "acme/new:2"
LABELS = {"daytona.target.id": TARGET, "daytona.workspace.id": WORKSPACE}


class Pulls(EngineCase):
    def setUp(self):
        super().setUp()
        self.engine.pullable.add(NEW)
        self.document = self.workspace(image=NEW)

    def pull(self, stream, *options):
        self.engine.pull_stream = stream
        return self.drive(self.document, "create", options=options)

    def no_create(self):
        self.assertEqual(self.engine.calls("POST /containers/create"), [])

    def test_error_in_a_200(self):
        self.engine.pullable.clear()
        for stream in (b'{"status":"Pulling"}\r\n{"errorDetail":{"message":"denied"},"error":"denied"}\r\n',
                       b'{"status":"Pulling"}\r\n{"errorDetail":{"message":"denied"},"error":"denied"}',
                       b'{"errorDetail":{"message":"denied"}}'):
            self.pull(stream).error(self, "pull image docker.io/acme/new:2: denied")
        self.no_create()

    def test_any_closing_phrase(self):
        for stream in (b'{"status":"Exists"}', b'{"status":"Image digest: sha256:1"}\n', b" \n"):
            self.engine.images.pop(NEW, None)
            self.engine.containers.clear()
            self.pull(stream).ok(self)

    def test_no_image_after_all(self):
        self.engine.pullable.clear()
        self.pull(b'{"status":"Done"}').error(self, "docker.io/acme/new:2: .*not there")
        self.no_create()

    def test_objects_across_chunks(self):
        text = b'{"status":"a\\u00e9}"}\n{"status":"b","id":"1"}{"error":"split \xc3\xa9 }"}'

        def answer(conn, request):
            self.engine.stream(conn, [text[i:i + 1] for i in range(len(text))])
            return True
        self.engine.fault("POST /images/create", answer)
        self.pull(b"").error(self, "split é }")

    def test_cut_stream_is_tried_again(self):
        def cut(conn, request):
            conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"status\":\"Pulling\"}\r\n")
            conn.shutdown(2)
            return True
        fault = self.engine.fault("POST /images/create", cut, times=2)
        result = self.pull(b'{"status":"Done"}').ok(self)
        self.assertEqual(fault.hits, 2)
        self.assertIn("trying again", result.output)

    def test_refusals_are_not_tried_again(self):
        fault = self.engine.fault("POST /images/create", 404)
        self.pull(b"").error(self, "injected 404")
        self.assertEqual(fault.hits, 1)

    def test_stall(self):
        def stall(conn, request):
            conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n{\"status\":\"Pulling\"}\r\n")
            while conn.recv(100):
                pass
            return True
        self.engine.fault("POST /images/create", stall)
        self.pull(b"", "pull_stall=1").error(self, "stalled: no byte from the engine for 1 s")

    def test_slow_progress_is_no_stall(self):
        """All of it takes longer than a stall may, no part of it does; on a machine that is late itself, with longer times."""
        for limit in (1, 5, 25):
            def slow(conn, request, limit=limit):
                conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(8):
                    time.sleep(0.2 * limit)
                    conn.sendall(b'9\r\n{"a":"b"}\r\n')
                conn.sendall(b"0\r\n\r\n")
                self.engine.add_image(NEW)
                return True
            self.engine.faults.clear()
            self.engine.fault("POST /images/create", slow)
            result = self.pull(b"", f"pull_stall={limit}")
            if result.status == 0:
                break
        result.ok(self)

    def test_policies(self):
        never = self.drive(self.document, "create", options=["pull=never"])
        never.error(self, "image docker.io/acme/new:2 .*pull = never")
        self.assertEqual(self.engine.calls("POST /images/create"), [])
        self.engine.fault("POST /images/create", 500)
        self.drive(self.workspace(), "create").ok(self)
        self.assertEqual(self.engine.calls("POST /images/create"), [])
        self.engine.containers.clear()
        self.drive(self.workspace(), "create", options=["pull=always"]).error(self, "injected 500")

    def test_progress_is_lines(self):
        flow = b"".join(b'{"status":"Downloading","id":"abc","progressDetail":{"current":%d,"total":9000}}\n' % i
                        for i in range(5000))
        result = self.pull(flow + b'{"status":"Pull complete","id":"abc"}').ok(self)
        self.assertIn("abc: Pull complete", result.output)
        self.assertLess(result.output.count("\n"), 20)

    def test_memory_while_much_flows(self):
        line = b'{"status":"Downloading","id":"abc","progressDetail":{"current":1,"total":9000},"progress":"' + \
               b"=" * 900 + b'"}\n'
        block = line * 1000

        def much(conn, request):
            conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(200 if common.is_static(common.BIN) else 20):
                conn.sendall(b"%x\r\n%s\r\n" % (len(block), block))
            conn.sendall(b"0\r\n\r\n")
            self.engine.add_image(NEW)
            return True
        self.engine.fault("POST /images/create", much)
        process = self.drive_background(self.document, "create", ASAN_OPTIONS="quarantine_size_mb=1")
        peak = []
        done = threading.Event()

        def watch():
            while not done.is_set():
                with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                    peak.extend(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
                done.wait(0.02)
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            process.finish().ok(self)
        finally:
            done.set()
            thread.join()
        if not common.is_static(common.BIN):
            self.skipTest("memory under a sanitizer says nothing; the release build is measured")
        middle = peak[len(peak) // 2:len(peak) - 1] or peak
        self.assertLess(max(middle) - min(middle), 4096, "kB grown while 200 MB flowed")


class Execs(EngineCase):
    def start(self, *options):
        return self.drive(self.workspace(), "create", "start", options=options)

    def test_output_in_any_form(self):
        for pieces in ([b"x" * 1000000 + b"\n", b"Daytona Agent started\n"],
                       [b"\xff\x80\x00\xc3", b"\xa9 Daytona Agent sta", b"rted\n"],
                       [b"", b"Daytona Agent started"]):
            for packet in (False, True):
                self.engine.containers.clear()
                self.engine.one_packet = packet
                self.engine.exec_output = lambda spec, pieces=pieces: pieces
                self.start().ok(self)

    def test_marker_on_stderr_and_split_frames(self):
        data = frame(b"one\n", 2) + frame(b"", 1) + frame(b"Daytona Agent started\n", 2)

        def send(conn, request):
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n")
            self.engine.execs[request.path.split("/")[2]]["Running"] = True
            for i in range(len(data)):
                conn.sendall(data[i:i + 1])
            while conn.recv(100):
                pass
            return True
        self.engine.fault("POST /exec/.*/start", send)
        self.start().ok(self)

    def test_stream_cut_at_every_byte_of_a_header(self):
        data = frame(b"hello\n")
        for cut in range(1, len(data)):
            self.engine.containers.clear()
            self.engine.faults.clear()

            def send(conn, request, cut=cut):
                conn.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + data[:cut])
                conn.shutdown(2)
                return True
            self.engine.fault("POST /exec/.*/start", send)
            self.start().error(self, "cut inside a frame")

    def test_bad_frames(self):
        for data, text in ((b"\x09\0\0\0\0\0\0\1x", "unknown type 9"),
                           (b"\1\0\0\0\xff\xff\xff\xffx", "cut inside a frame"),
                           (frame(b"no space", 3), "no space")):
            self.engine.containers.clear()
            self.engine.faults.clear()

            def send(conn, request, data=data):
                conn.sendall(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n" + data)
                conn.shutdown(2)
                return True
            self.engine.fault("POST /exec/.*/start", send)
            self.start().error(self, text)

    def test_agent_ends_before_it_is_ready(self):
        self.engine.exec_stays = lambda spec: False
        self.engine.exec_status = 3
        self.engine.exec_output = lambda spec: [b"line one\n", b"cannot reach the Server\n"]
        for leaves_open in (False, True):
            self.engine.containers.clear()
            self.engine.exec_leaves_open = leaves_open
            began = time.monotonic()
            self.start("agent_timeout=3600").error(self, "before it was ready: exit status 3: .*cannot reach the Server")
            self.assertLess(time.monotonic() - began, 3000)

    def test_clean_exit_without_marker_fails_too(self):
        self.engine.exec_stays = lambda spec: False
        self.engine.exec_output = lambda spec: [b"bye\n"]
        self.start().error(self, "before it was ready: exit status 0: bye")

    def test_agent_that_ends_just_after_it_was_ready(self):
        """Between the start and the description of the workspace, which a job asks for at once."""
        for status, ends in ((5, "ended just after it was ready: exit status 5: .*port is taken"), (0, None)):
            with self.subTest(status=status):
                over = threading.Event()
                self.engine.containers.clear()
                self.engine.exec_status = status
                self.engine.exec_output = lambda spec: [b"Daytona Agent started\n", b"port is taken\n"]
                self.engine.exec_stays = lambda spec: not over.wait(60 * common.PATIENCE)

                def end(conn, request):
                    before = self.engine.open
                    if not over.is_set() and self.engine.execs:
                        over.set()
                        common.wait_for(lambda: self.engine.open < before, 30 * common.PATIENCE, "the exec's stream is over")
                    return False
                document = self.workspace(options={"Agent": "builtin"})
                self.drive(document, "create").ok(self)
                self.engine.execs.clear()
                fault = self.engine.fault("GET /containers/[^/]*/json", end)
                result = self.drive(document, "start", "info")
                self.engine.faults.remove(fault)
                result.error(self, ends) if ends else result.ok(self)
                self.assertTrue(over.is_set())

    def test_agent_that_never_starts(self):
        self.engine.exec_output = lambda spec: [b"hm\n"]
        self.start("agent_timeout=2").error(self, "not ready after 2 s: .*hm")

    def ready_when_read(self, logs):
        """The agent says that it is ready when that many log streams were read: each is asked for after the last."""
        def late(spec):
            common.wait_for(lambda: len(self.engine.calls("GET .*/logs")) > logs, 30 * common.PATIENCE, "the log was read")
            return [b"Daytona Agent started\n"]
        self.engine.exec_output = late

    def test_output_of_the_container_is_followed(self):
        self.engine.log_frames = [frame(b"2026-01-02T03:04:05.200000000Z hello from main\n")]

        self.ready_when_read(1)
        self.assertIn("hello from main\n", self.start().ok(self).output)

    def test_log_is_resumed_without_doubles(self):
        """Field case 50."""
        def line(i):
            return frame(b"2026-01-02T03:04:0%d.000000000Z line %d\n" % (i, i))
        streams = iter([[line(i) for i in (1, 2, 3)], [line(i) for i in (3, 4, 5, 6)]])

        def logs(conn, request):
            self.engine.stream(conn, next(streams, []), "application/octet-stream")
            return True
        self.engine.fault("GET .*/logs", logs)

        self.ready_when_read(2)
        output = self.start("agent_timeout=20").ok(self).output
        self.assertEqual([output.count(f"line {i}\n") for i in range(1, 7)], [1] * 6)
        since = [r.query["since"] for r in self.engine.calls("GET .*/logs")]
        self.assertEqual(since[1], "1767323043.000000000")

    def test_terminal_output_is_raw(self):
        self.engine.add_container(f"{TARGET}-{WORKSPACE}", LABELS, "exited", Tty=True, Entrypoint=["sleep"])
        self.engine.log_frames = [b"2026-01-02T03:04:06.000000000Z \x1b[34mINFO\x1b[0m ready\r\n"]

        self.ready_when_read(1)
        self.assertIn("\x1b[34mINFO\x1b[0m ready", self.drive(self.workspace(), "start").ok(self).output)


class Versions(EngineCase):
    # Of engines whose ping says all, and of those that have to be asked.
    NAMES = ("Docker/20.10.0-fake (linux)", "Libpod/5.0.0 (linux)", "proxy", None)

    def test_windows(self):
        for self.engine.server_name in self.NAMES:
            for minimum, maximum, want in (("1.44", "1.52", "1.47"), ("1.24", "1.41", "1.41"), ("1.24", "1.47", "1.47"),
                                           ("1.12", "1.30", "1.30")):
                self.engine.minimum, self.engine.version = minimum, maximum
                self.engine.requests.clear()
                self.engine.containers.clear()
                self.drive(self.workspace(), "create", "start", "stop", "delete").ok(self)
                self.assertEqual({r.version for r in self.engine.requests} - {""}, {want})

    def test_outside_of_the_window(self):
        for self.engine.server_name in self.NAMES:
            for minimum, maximum, word in (("1.60", "1.70", "too new"), ("1.10", "1.24", "too old")):
                self.engine.minimum, self.engine.version = minimum, maximum
                self.drive(self.workspace(), "create").error(self, word)
                self.drive(self.workspace(), "check", options=[f"sock_path={self.engine.path}"]).error(self, word)

    def test_a_job_asks_for_no_more_than_the_ping_says(self):
        """An engine runs programs to answer /version."""
        for self.engine.server_name in self.NAMES:
            self.engine.requests.clear()
            result = self.drive(self.workspace(), "target-create").ok(self)
            named = self.engine.server_name and "/" in self.engine.server_name
            # A machine of 32 bits may have an engine of 64.
            self.assertEqual(len(self.engine.calls("GET /version")), 0 if named and sys.maxsize > 2 ** 32 else 1)
            self.assertRegex(result.output, "Using Podman 5.0.0" if named and "Libpod" in self.engine.server_name
                             else "Using Docker 20.10.0-fake")
            self.drive(self.workspace(), "check", options=[f"sock_path={self.engine.path}"]).ok(self)
            self.assertTrue(self.engine.calls("GET /version"))

    def test_engine_is_replaced_under_a_job(self):
        def replace(conn, request):
            if not self.engine.calls("POST /containers/create"):
                return False
            self.engine.minimum, self.engine.version = "1.44", "1.50"
            return False
        self.engine.fault("GET /containers/[0-9a-f]+/json", replace)
        self.drive(self.workspace(), "create", "condition", "start", "stop", "delete").ok(self)
        self.assertIn("1.47", {r.version for r in self.engine.requests})

    def test_environment_override_only_with_a_warning(self):
        result = self.drive(self.workspace(), "create", DOCKER_API_VERSION="1.40").ok(self)
        self.assertIn("DOCKER_API_VERSION=1.40 overrides", result.output)
        self.engine.containers.clear()
        result = self.drive(self.workspace(), "create", DOCKER_API_VERSION="1.99").ok(self)
        self.assertIn("not used", result.output)


class Places(EngineCase):
    def check(self, pattern, ok, options=(), **env):
        result = self.drive(self.workspace(), "check", options=options, **env)
        if ok:
            self.assertRegex(result.ok(self).output, pattern)
        else:
            result.error(self, pattern)

    def test_order(self):
        a, b = self.start_engine("a.sock"), self.start_engine("b.sock")
        run = self.path("run")
        os.mkdir(run)
        self.start_engine("run/docker.sock")
        self.check("at " + a.path, True, [f"sock_path={a.path}"], DOCKER_HOST=f"unix://{b.path}")
        self.check("at " + b.path, True, DOCKER_HOST=f"unix://{b.path}", XDG_RUNTIME_DIR=run)
        if not os.path.exists("/var/run/docker.sock"):
            self.check("at " + run, True, XDG_RUNTIME_DIR=run)
        # The preset's own "Sock Path" is the default and leaves it to the configuration; another one wins.
        # In a container each check above has asked for that one as well.
        def asked():
            return len(a.calls("GET /containers")), len(b.calls("GET /containers"))
        before, preset = asked(), self.workspace(socket="/var/run/docker.sock")
        self.drive(preset, "condition", options=[f"sock_path={a.path}"], DOCKER_HOST=f"unix://{b.path}").ok(self)
        now = asked()
        self.assertEqual((now[0] > before[0], now[1]), (True, before[1]))
        self.drive(self.workspace(socket=b.path), "condition", options=[f"sock_path={a.path}"]).ok(self)
        self.assertEqual((asked()[0], asked()[1] > now[1]), (now[0], True))

    def test_over_tcp(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(common.accept_each(listener, self.engine.serve))
        port = listener.getsockname()[1]
        env = {"DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
        self.check(f"127.0.0.1:{port}", True, **env)
        document = self.workspace(socket="/var/run/docker.sock")
        self.drive(document, "create", "start", "stop", "delete", **env).ok(self)

    def test_over_tls(self):
        certs = self.path("certs")
        os.mkdir(certs)
        ca = common.make_ca(certs)
        cert, key = common.make_cert(certs, ca)
        own = {name: os.path.join(certs, name) for name in ("cert.pem", "key.pem", "csr")}
        common.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                    own["key.pem"], "-out", own["csr"], "-subj", "/CN=client"], check=True)
        common.run(["openssl", "x509", "-req", "-in", own["csr"], "-CA", ca, "-CAkey", ca[:-4] + ".key",
                    "-CAcreateserial", "-out", own["cert.pem"], "-days", "30"], check=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
        listener = socket.create_server(("127.0.0.1", 0))

        def one(conn):
            try:
                self.engine.serve(context.wrap_socket(conn, server_side=True))
            except (OSError, ssl.SSLError):
                conn.close()
        self.addCleanup(common.accept_each(listener, one))
        env = {"DOCKER_HOST": f"tcp://127.0.0.1:{listener.getsockname()[1]}", "DOCKER_TLS_VERIFY": "1",
               "DOCKER_CERT_PATH": certs}
        document = self.workspace(socket="/var/run/docker.sock")
        self.drive(document, "check", "create", "start", "stop", "delete", **env).ok(self)
        other = self.path("other")
        os.mkdir(other)
        common.make_ca(other)
        self.drive(document, "create", **dict(env, DOCKER_CERT_PATH=other)).error(self, "(certificate|CA|issuer)")
        os.rename(os.path.join(certs, "cert.pem"), os.path.join(certs, "gone.pem"))
        self.drive(document, "create", **env).error(self, "127.0.0.1")

    def test_four_ways_to_have_no_socket(self):
        texts = set()
        os.mkdir(self.path("dir.sock"))
        with open(self.path("file.sock"), "w", encoding="ascii"):
            pass
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(self.path("dead.sock"))
        dead.close()
        for name, pattern in (("none.sock", "no such socket"), ("dir.sock", "is a directory"),
                              ("file.sock", "no socket"), ("dead.sock", "nobody listens")):
            result = self.drive(self.workspace(), "check", options=[f"sock_path={self.path(name)}"])
            result.error(self, pattern)
            texts.add(result["check"])
        self.assertEqual(len(texts), 4)

    def test_socket_that_is_not_ours(self):
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs root and setpriv")
        os.chmod(self.engine.path, 0o600)
        tool = shutil.copy(drivecase.DRIVE, self.tmp)
        os.chmod(self.state, 0o777)
        document = self.workspace()
        os.chmod(document, 0o644)
        result = common.run(["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", tool, "-o",
                             f"sock_path={self.engine.path}", "docker-provider", self.state, "/bin/true", document,
                             "check"], env=self.env(), cwd="/")
        self.assertRegex(result.stdout, "error .*permission denied to uid 54321: .*uid 0")

    def test_unsupported_scheme(self):
        self.check("DOCKER_HOST=ssh://x is not supported", False, DOCKER_HOST="ssh://x")


if __name__ == "__main__":
    drivecase.main()
