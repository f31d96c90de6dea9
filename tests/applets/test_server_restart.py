#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`server restart`: a new process of the executable takes over, with the same process id, sockets and options."""
import os
import shutil
import signal
import socket
import ssl
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc, tunnelcase  # noqa: E402

LONG = 20 * common.PATIENCE


class Restart(tunnelcase.TunnelCase):
    context, for_agents = None, {}

    def start_server(self):
        self.program = os.path.join(self.tmp, "daytona-runner")
        shutil.copy2(common.BIN, self.program)
        self.unix = os.path.join(self.tmp, "server.sock")
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "60", "--listen-unix", self.unix,
                                        *self.args, program=self.program, context=self.context)

    def restart(self, status=0):
        result = common.run([common.BIN, "server", "restart", "--data", self.server.data], timeout=LONG,
                            env=common.clean_env(self.tmp))
        self.assertEqual(result.returncode, status, (result.stdout, result.stderr, self.server.log()))
        return result.stdout + result.stderr

    def replace(self, write):
        """Another file under the program's name, as an upgrade does it."""
        write(self.program + ".new")
        os.chmod(self.program + ".new", 0o755)
        os.rename(self.program + ".new", self.program)

    def upgrade(self):
        self.replace(lambda path: shutil.copy2(common.BIN, path))

    def runs_the_file(self):
        return os.stat(f"/proc/{self.server.pid}/exe").st_ino == os.stat(self.program).st_ino

    def test_ten_refuse_nobody(self):
        stop, wrong, counts = threading.Event(), [], {}

        def client(name, connect):
            while not stop.is_set():
                try:
                    with connect() as s:
                        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                        data = b"".join(iter(lambda: s.recv(4096), b""))
                    if not data.startswith(b"HTTP/1.1 200 "):
                        wrong.append((name, data))
                except OSError as error:
                    wrong.append((name, error))
                counts[name] = counts.get(name, 0) + 1

        def local():
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(LONG)
            s.connect(self.unix)
            return s

        def tcp():
            return self.server.socket(LONG)

        threads = [threading.Thread(target=client, args=a) for a in (("tcp", tcp), ("other", tcp), ("unix", local))]
        for t in threads:
            t.start()
        try:
            for _ in range(10):
                before = dict(counts)
                self.upgrade()
                self.assertEqual(self.restart(), "Restarted\n")
                self.assertTrue(self.runs_the_file())
                self.server.ok("POST", "/apikey/key" + str(len(self.server.ok("GET", "/apikey").json)))
                common.wait_for(lambda: all(counts.get(n, 0) > before.get(n, 0) for n in ("tcp", "other", "unix")), LONG,
                                "answers after the restart")
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(self.server.ok("GET", "/apikey").json), 11)
        self.assertEqual(self.server.stop(), 0)
        self.assertFalse(os.path.exists(self.unix))

    def test_a_new_executable_that_does_not_start(self):
        def garbage(path):
            with open(path, "wb") as file:
                file.write(b"no program at all")

        def broken(path):
            with open(path, "w", encoding="ascii") as file:
                file.write("#!/bin/sh\necho cannot find my library >&2\nexit 4\n")
        first = f"/proc/{self.server.pid}/exe"
        inode = os.stat(first).st_ino
        for write, word in ((garbage, "Exec format error"), (broken, "cannot find my library")):
            self.replace(write)
            said = self.restart(status=1)
            self.assertIn(word, said)
            self.assertIn("the old process goes on", said)
            self.assertEqual(os.stat(first).st_ino, inode)
            self.server.ok("POST", "/apikey/" + word.split()[0])
        self.assertIn("not restarted", self.server.log())
        self.upgrade()
        self.restart()
        self.assertTrue(self.runs_the_file())
        self.assertEqual(len(self.server.ok("GET", "/apikey").json), 3)
        # The lock has gone on with it.
        other = common.run([common.BIN, "server", "--listen", "127.0.0.1:0", "--data", self.server.data],
                           env=common.clean_env(self.tmp))
        self.assertEqual(other.returncode, 1)
        self.assertIn("another server uses", other.stderr)

    def test_what_is_under_way(self):
        (key,) = self.make("w1")
        self.agent("w1", key, **self.for_agents)
        stream = self.stream("w1", "kind=exec").run("cat")
        stream.say(tunnelcase.IN, "ready")
        stream.until(b"ready")
        writer = serverproc.WebSocket(self.server, "/log/workspace/w1/write")
        reader = serverproc.WebSocket(self.server, "/log/workspace/w1?follow=true")
        poll = self.server.socket(LONG)
        poll.sendall(f"GET /runner/aaaaaaaaaaa1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.runner}\r\n\r\n".encode())
        idle = self.server.connection(LONG)
        idle.request("GET", "/health")
        self.assertEqual(idle.getresponse().read(), b'{"status":"ok"}')
        slow = self.server.socket(LONG)
        body = b'{"key":"A","value":"B"}'
        slow.sendall(b"PUT /env HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + self.server.key.encode() +
                     b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:5])
        common.wait_for(lambda: 'polls_waiting 1' in self.server.ok("GET", "/metrics").body.decode(), LONG, "the poll waits")
        lines = ["line %d\n" % i for i in range(300)]
        for line in lines:
            writer.send(line)
        result = []
        thread = threading.Thread(target=lambda: result.append(self.restart()))
        thread.start()
        # Told to come again, while the request that has begun is awaited.
        self.assertIsNone(stream.next())
        self.assertEqual((stream.code, stream.reason), (1012, "the Server restarts; connect again"))
        self.assertEqual(writer.rest(), ([], 1012))
        writer.close(1012)
        self.assertEqual(reader.rest()[1], 1012)
        self.assertTrue(poll.recv(4096).startswith(b"HTTP/1.1 204 "))
        self.assertEqual(idle.sock.recv(1), b"")
        self.assertEqual(result, [])
        slow.sendall(body[5:])
        data = b"".join(iter(lambda: slow.recv(4096), b""))
        self.assertTrue(data.startswith(b"HTTP/1.1 201 "), data)
        self.assertIn(b"\r\nConnection: close\r\n", data)
        thread.join()
        self.assertEqual(result, ["Restarted\n"])
        self.assertEqual(self.server.ok("GET", "/env").json, [{"key": "A", "value": "B"}])
        with open(os.path.join(self.server.data, "logs", "workspaces", "w1", "log"), encoding="ascii") as file:
            self.assertEqual(file.read(), "".join(lines), "what was on its way is not lost")
        # The agent has come back by itself.
        self.wait_agents(1)
        again = self.stream("w1", "kind=exec").run("echo", "again")
        self.assertEqual(again.all(), b"again\n")

    def test_a_request_that_never_ends_is_not_awaited_for_ever(self):
        slow = self.server.socket(LONG)
        slow.sendall(b"GET /health HTTP/1.1\r\n")
        self.server.ok("GET", "/health")
        self.restart()
        with self.assertRaises((EOFError, ConnectionError)):
            if not slow.recv(1):
                raise EOFError
        self.server.ok("GET", "/health")


class OverTls(Restart):
    """The same with a certificate, and what becomes of that."""

    def start_server(self):
        ca = common.make_ca(self.tmp)
        self.pairs = [common.make_cert(self.tmp, ca, name=name) for name in ("one", "two")]
        self.cert, self.key = os.path.join(self.tmp, "cert.pem"), os.path.join(self.tmp, "key.pem")
        self.install(*self.pairs[0])
        self.args = ("--tls-cert", self.cert, "--tls-key", self.key)
        self.context = ssl.create_default_context(cafile=ca)
        self.for_agents = {"DAYTONA_AGENT_CA_FILE": ca}
        super().start_server()

    def install(self, cert, key):
        shutil.copyfile(cert, self.cert)
        shutil.copyfile(key, self.key)

    def name(self, s):
        return dict(part[0] for part in s.getpeercert()["subject"])["commonName"]

    def get(self, s):
        s.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        return s.recv(4096).split(b"\r\n")[0]

    def test_certificates(self):
        """It has what the files hold then; files that are of no use let the old process go on."""
        self.install(*self.pairs[1])
        self.restart()
        self.assertEqual(self.name(self.server.socket()), "two")
        os.truncate(self.cert, 100)
        self.assertIn("the old process goes on", self.restart(status=1))
        self.assertEqual(self.name(self.server.socket()), "two")
        self.install(*self.pairs[0])
        os.kill(self.server.pid, signal.SIGHUP)
        common.wait_for(lambda: self.name(self.server.socket()) == "one", LONG, "the other certificate")
        self.restart()
        self.assertEqual(self.name(self.server.socket()), "one")

    def test_handshakes_meanwhile(self):
        """Connected before, spoken to during or after: who has begun is served, by the old one or the new."""
        def connected():
            s = socket.create_connection(("127.0.0.1", self.server.port), LONG)
            self.addCleanup(s.close)
            return s
        kept = self.server.socket(LONG)
        self.assertEqual(self.get(kept), b"HTTP/1.1 200 OK")
        slow = self.server.socket(LONG)
        slow.sendall(b"GET /health HTTP/1.1\r\n")  # the old process waits for its end
        self.server.ok("GET", "/health")
        begun = connected()
        self.server.ok("GET", "/health")  # it is accepted
        result = []
        thread = threading.Thread(target=lambda: result.append(self.restart()))
        thread.start()
        self.assertEqual(kept.recv(1), b"", "one without a request is let go")
        shaken = self.context.wrap_socket(begun, server_hostname="127.0.0.1")
        self.assertEqual(self.get(shaken), b"HTTP/1.1 200 OK")
        waits = connected()  # nobody accepts now
        slow.sendall(b"Host: x\r\n\r\n")
        self.assertTrue(slow.recv(4096).startswith(b"HTTP/1.1 200 OK"))
        late = self.context.wrap_socket(waits, server_hostname="127.0.0.1")
        self.assertEqual(self.get(late), b"HTTP/1.1 200 OK")
        thread.join()
        self.assertEqual(result, ["Restarted\n"])


if __name__ == "__main__":
    common.main()
