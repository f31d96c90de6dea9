# SPDX-License-Identifier: Apache-2.0
"""The embedded server as a process of a test, and a client that shows answers as they are."""
import base64
import hashlib
import http.client
import json
import os
import select
import socket
import struct
import subprocess

from lib import common


class Answer:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """server --listen 127.0.0.1:0 --data DIR …; ready when it is constructed. context: of ssl, when it has a certificate."""

    def __init__(self, case, data, *args, env=None, prefix=(), program=None, context=None):
        self.case, self.data, self.context = case, data, context
        self.errors = open(os.path.join(case.tmp, "server.err"), "ab")
        self.process = subprocess.Popen(
            [*prefix, program or common.BIN, "server", "--listen", "127.0.0.1:0", "--data", data, *args],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.errors,
            env=env or common.clean_env(case.tmp, DR_TEST=case.tmp))
        case.addCleanup(self.kill)
        line = self._first_line(20 * common.PATIENCE)
        assert line.startswith("listening on "), (line, self.log())
        self.url = line.split()[-1]
        self.tls = self.url.startswith("https")
        self.port = int(self.url.rsplit(":", 1)[1])

    def _first_line(self, timeout):
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        return self.process.stdout.readline().decode() if ready else ""

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        with open(self.errors.name, encoding="utf-8", errors="replace") as file:
            return file.read()

    @property
    def key(self):
        with open(os.path.join(self.data, "client.key"), encoding="ascii") as file:
            return file.read().strip()

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.terminate()
        status = self.process.wait(20 * common.PATIENCE)
        self._closed()
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._closed()

    def _closed(self):
        self.process.stdout.close()
        self.errors.close()
        match = common.SANITIZER.search(self.log())
        self.case.assertIsNone(match, match and match.group(0))

    def connection(self, timeout=90):
        if self.context:
            return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.context)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def call(self, method, path, body=None, key="", headers=(), timeout=90):
        """One request on a connection of its own. key: "" the client key, None none at all."""
        connection = self.connection(timeout * common.PATIENCE)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            if key is not None:
                connection.putheader("Authorization", "Bearer " + (key or self.key))
            for name, value in headers:
                connection.putheader(name, value)
            data = body
            if isinstance(body, (dict, list)):
                data = json.dumps(body)
            if isinstance(data, str):
                data = data.encode()
            if data is not None:
                connection.putheader("Content-Length", str(len(data)))
            connection.endheaders(data)
            reply = connection.getresponse()
            return Answer(reply.status, reply.reason, reply.getheaders(), reply.read())
        finally:
            connection.close()

    def ok(self, method, path, body=None, key="", status=200):
        answer = self.call(method, path, body, key)
        self.case.assertEqual(answer.status, status, (method, path, answer.body))
        return answer

    def socket(self, timeout=60):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout * common.PATIENCE)
        if self.context:
            s = self.context.wrap_socket(s, server_hostname="127.0.0.1")
        self.case.addCleanup(s.close)
        return s


def token(text):
    """What a token (api/token.h) says."""
    text = text.decode() if isinstance(text, bytes) else text
    assert text.startswith("dr1_"), text
    raw = text.strip()[4:]
    return json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))


PROVIDER = {"name": "docker-provider", "version": "v1.0.0", "agentlessTarget": False, "label": "Docker",
            "targetConfigManifest": {"Sock Path": {"type": "string", "inputMasked": False,
                                                   "disabledPredicate": "", "description": "",
                                                   "defaultValue": "/var/run/docker.sock"}}}


def make_runner(server, runner_id="aaaaaaaaaaa1", name="one"):
    """Registers a runner and sends its first heartbeat: the key."""
    key = server.ok("POST", "/runner", {"id": runner_id, "name": name}).json["apiKey"]
    provider = dict(PROVIDER, runnerId=runner_id, runnerName=name)
    server.ok("POST", f"/runner/{runner_id}/metadata", {"uptime": 1, "providers": [provider]}, key)
    return key


def make_config(server, runner_id="aaaaaaaaaaa1", name="cfg", agentless=False):
    provider = dict(PROVIDER, runnerId=runner_id, runnerName="one", agentlessTarget=agentless)
    body = {"name": name, "options": "{}", "providerInfo": provider}
    return server.ok("POST", "/target-config", body).json["id"]


REPOSITORY = {"id": "app", "url": "http://git.test/acme/app", "name": "app", "branch": "main",
              "sha": "863f0f8480bb6029871af55b296d7667220d0629", "owner": "acme", "source": "git.test"}


def workspace_body(workspace_id, name, target, **more):
    body = {"id": workspace_id, "name": name, "source": {"repository": REPOSITORY}, "envVars": {},
            "labels": {}, "targetId": target}
    body.update(more)
    return body


def finish_job(server, key, runner_id="aaaaaaaaaaa1", state="success", error=None):
    """Claims what is pending and ends it: the jobs."""
    jobs = server.ok("GET", f"/runner/{runner_id}/jobs", key=key).json
    for job in jobs:
        path = f"/runner/{runner_id}/jobs/{job['id']}/state"
        server.ok("POST", path, {"state": "running"}, key)
        server.ok("POST", path, {"state": state, **({"errorMessage": error} if error else {})}, key)
    return jobs


def log_lines(data):
    """The lines of the store's log: (file, offset, bytes without the line's end)."""
    folder = os.path.join(data, "records")
    for name in sorted(n for n in os.listdir(folder) if n.isdigit()):
        path = os.path.join(folder, name)
        with open(path, "rb") as file:
            at = 0
            for line in file.read().split(b"\n")[:-1]:
                yield path, at, line
                at += len(line) + 1


def records(data):
    """What the log of a server that is down says: {kind: {id: record}}."""
    key_of = {"keys": "hash", "templates": "name", "env": "key"}
    stored = {}
    for _, _, line in log_lines(data):
        for op in json.loads(line[17:]):
            if "put" in op:
                stored.setdefault(op["put"], {})[op["rec"][key_of.get(op["put"], "id")]] = op["rec"]
            elif "beat" in op:
                stored[op["beat"]][op["id"]].update(op["rec"])
            else:
                del stored[op["remove"]][op["id"]]
    return stored


def put_record(data, kind, rec):
    """Adds a change to the log of a server that is down."""
    add_to_log(data, {"put": kind, "rec": rec})


def add_to_log(data, *operations):
    *_, (path, _, _) = log_lines(data)
    line = json.dumps(operations).encode()
    with open(path, "ab") as file:
        file.write(hashlib.sha256(line).hexdigest()[:16].encode() + b" " + line + b"\n")


class WebSocket:
    """A client for the log sockets: text messages and the close code."""

    def __init__(self, server, path, key=""):
        self.sock = server.socket()
        nonce = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key or server.key}\r\n"
                           "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           f"Sec-WebSocket-Key: {nonce}\r\n\r\n").encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        self.head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(self.head.split()[1])

    def _more(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.buffer += data

    def _take(self, n):
        while len(self.buffer) < n:
            self._more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def frame(self):
        """(opcode, payload)"""
        first, second = self._take(2)
        assert not second & 0x80, "a server must not mask"
        n = second & 127
        if n == 126:
            n, = struct.unpack(">H", self._take(2))
        elif n == 127:
            n, = struct.unpack(">Q", self._take(8))
        return first & 15, self._take(n)

    def send(self, payload, opcode=1, fin=True, masked=True):
        if isinstance(payload, str):
            payload = payload.encode()
        n = len(payload)
        head = bytes([(0x80 if fin else 0) | opcode])
        bit = 0x80 if masked else 0
        if n < 126:
            head += bytes([bit | n])
        elif n < 65536:
            head += bytes([bit | 126]) + struct.pack(">H", n)
        else:
            head += bytes([bit | 127]) + struct.pack(">Q", n)
        mask = os.urandom(4) if masked else b""
        if masked:
            payload = bytes(c ^ mask[i & 3] for i, c in enumerate(payload))
        self.sock.sendall(head + mask + payload)

    def close(self, code=1000):
        self.send(struct.pack(">H", code), opcode=8)

    def rest(self):
        """All messages up to the close frame, and its code."""
        messages = []
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                return messages, struct.unpack(">H", payload[:2])[0] if payload else 1005
            messages.append(payload)
