# SPDX-License-Identifier: Apache-2.0
"""A scripted container engine on a Unix socket: enough state for every call the docker provider makes,
a record of the requests, and faults by pattern. It runs no programs: an exec prints what it is told to."""
import base64
import hashlib
import io
import json
import os
import re
import socket
import struct
import tarfile
import threading
import time
import urllib.parse
from datetime import datetime, timezone

from common import PATIENCE, accept_each


class Request:
    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        parts = urllib.parse.urlsplit(target)
        version = re.match(r"/v(1\.\d+)(/.*)", parts.path)
        self.version, self.path = version.groups() if version else ("", parts.path)
        self.path = urllib.parse.unquote(self.path)
        self.query = {k: v[0] for k, v in urllib.parse.parse_qs(parts.query, keep_blank_values=True).items()}

    def json(self):
        return json.loads(self.body or b"null")

    def __repr__(self):
        return f"{self.method} {self.path}"


class Stop(Exception):
    """The connection is over."""


class Fault:
    """What happens instead of (or before) the answer to calls that match."""

    def __init__(self, pattern, action, times):
        self.pattern, self.action, self.times, self.hits = re.compile(pattern), action, times, 0


def frame(data, stream=1):
    return struct.pack(">BxxxI", stream, len(data)) + data


class Container:
    def __init__(self, engine, name, body):
        self.engine, self.name, self.body = engine, name, body
        self.id = os.urandom(32).hex()
        self.status, self.exit_code, self.files, self.execs = "created", 0, {}, []
        self.out_of_memory, self.contents = False, {}
        self.processes = ["/.daytona/daytona-runner container-init"]

    def inspect(self):
        host = self.body.get("HostConfig", {})
        return {"Id": self.id, "Name": "/" + self.name, "Image": "sha256:" + "1" * 64,
                "State": {"Status": self.status, "Running": self.status == "running",
                          "OOMKilled": self.out_of_memory, "ExitCode": self.exit_code, "StartedAt": "2026-01-02T03:04:05.1Z"},
                "Config": {"Image": self.body.get("Image", ""), "User": self.body.get("User", ""),
                           "Labels": self.body.get("Labels"), "Env": self.body.get("Env"),
                           "Tty": self.body.get("Tty", False),
                           "Entrypoint": self.body.get("Entrypoint")},
                "Mounts": [{"Type": m["Type"], "Source": m.get("Source", ""), "Destination": m["Target"]}
                           for m in host.get("Mounts") or []],
                "ExecIDs": [x for x in self.execs if self.engine.execs[x]["Running"]] or None}

    def summary(self):
        return {"Id": self.id, "Names": ["/" + self.name], "State": self.status, "Created": 1,
                "ImageID": "sha256:" + "1" * 64,
                "Labels": self.body.get("Labels") or {}}


class FakeEngine:
    """socket: path to listen on. Attributes may be changed while it runs."""

    def __init__(self, path, version="1.41", minimum="1.24"):
        self.path, self.version, self.minimum = path, version, minimum
        self.server_name = "Docker/20.10.0-fake (linux)"
        self.images = {}              # reference -> inspect
        self.pullable = set()         # references that a pull brings
        self.pull_stream = None       # bytes of a pull's answer
        self.containers, self.execs = {}, {}
        self.requests, self.faults = [], []
        self.exec_output = lambda spec: [b"Daytona Agent started\n"]
        self.exec_stays = lambda spec: "agent" in spec["Cmd"]
        self.exec_status = 0           # or what says it of a spec
        self.exec_leaves_open = False  # the stream stays open after the program's end
        self.one_packet = False        # head and output of an exec in one write
        self.log_frames = []
        self.has_git = True            # in every image
        self.runtimes = ["runc"]
        self.lock = threading.RLock()
        self.open = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.stopping = False
        self.end_accepting = accept_each(self.listener, self.serve)

    def stop(self):
        self.stopping = True
        self.end_accepting()

    # Faults: action is an int (status), bytes (raw reply), "hang", "close", or a function(conn, request) -> bool.
    def fault(self, pattern, action, times=1 << 30):
        fault = Fault(pattern, action, times)
        self.faults.append(fault)
        return fault

    def calls(self, pattern=""):
        with self.lock:
            return [r for r in self.requests if re.search(pattern, repr(r))]

    def add_image(self, ref, arch="amd64", user="", labels=None):
        self.images[ref] = {"Id": "sha256:" + "1" * 64, "Architecture": arch, "RepoTags": [ref],
                            "Config": {"User": user, "Labels": labels, "Entrypoint": None, "Cmd": ["sh"]}}

    def add_container(self, name, labels, status="running", **body):
        container = Container(self, name, dict(body, Labels=labels))
        container.status = status
        self.containers[container.id] = container
        return container

    def find(self, ref):
        for container in self.containers.values():
            if container.id == ref or container.name == ref or (len(ref) > 11 and container.id.startswith(ref)):
                return container
        return None

    # One connection.
    def serve(self, conn):
        with self.lock:
            self.open += 1
        file = conn.makefile("rb")
        try:
            while True:
                request = self.read(file)
                with self.lock:
                    self.requests.append(request)
                if self.faulty(conn, request):
                    continue
                self.answer(conn, request)
        except (Stop, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open -= 1
            file.close()
            conn.close()

    @staticmethod
    def read(file):
        line = file.readline()
        if not line:
            raise Stop
        method, target, _ = line.decode().split()
        headers = {}
        while (line := file.readline().strip()):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while (size := int(file.readline(), 16)):
                body += file.read(size)
                file.readline()
            file.readline()
        elif "content-length" in headers:
            body = file.read(int(headers["content-length"]))
        return Request(method, target, headers, body)

    def faulty(self, conn, request):
        with self.lock:
            fault = next((f for f in self.faults if f.times > f.hits and f.pattern.search(repr(request))), None)
            if fault is None:
                return False
            fault.hits += 1
        action = fault.action
        if callable(action):
            return action(conn, request)
        if isinstance(action, int):
            self.reply(conn, request, action, {"message": f"injected {action}"})
            return True
        if action == "hang":
            while not self.stopping and conn.recv(1024):
                pass
        elif isinstance(action, bytes):
            conn.sendall(action)
        raise Stop

    def reply(self, conn, request, status, value=None, headers=()):
        body = value if isinstance(value, bytes) else b"" if value is None else json.dumps(value).encode()
        head = f"HTTP/1.1 {status} X\r\nApi-Version: {self.version}\r\n"
        for name, text in headers:
            head += f"{name}: {text}\r\n"
        if status in (204, 304):
            conn.sendall(head.encode() + b"\r\n")
            return
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        conn.sendall(head.encode() + (b"" if request.method == "HEAD" else body))

    def stream(self, conn, pieces, kind="application/json"):
        """A chunked answer, one chunk a piece."""
        conn.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for piece in pieces:
            if piece:
                conn.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        conn.sendall(b"0\r\n\r\n")

    def answer(self, conn, request):
        number = int(request.version[2:] or 0)
        if request.version and not int(self.minimum[2:]) <= number <= int(self.version[2:]):
            word = "new. Maximum" if number > int(self.version[2:]) else "old. Minimum"
            self.reply(conn, request, 400, {"message": f"client version {request.version} is too {word} "
                                                       "supported API version is another"})
            return
        for pattern, method in ROUTES:
            match = re.fullmatch(pattern, repr(request))
            if match:
                getattr(self, method)(conn, request, *match.groups())
                return
        self.reply(conn, request, 404, {"message": "page not found"})

    def missing(self, conn, request, what):
        self.reply(conn, request, 404, {"message": f"No such {what}"})

    def do_ping(self, conn, request):
        name = f"Server: {self.server_name}\r\n" if self.server_name else ""
        conn.sendall(f"HTTP/1.1 200 OK\r\nApi-Version: {self.version}\r\n{name}Content-Length: 2\r\n\r\nOK".encode())

    def do_version(self, conn, request):
        self.reply(conn, request, 200, {"ApiVersion": self.version, "MinAPIVersion": self.minimum,
                                        "Version": "20.10.0-fake", "Arch": "amd64", "Os": "linux"})

    def do_info(self, conn, request):
        self.reply(conn, request, 200, {"Runtimes": {name: {"path": name} for name in self.runtimes}})

    def do_image(self, conn, request, ref):
        with self.lock:
            image = self.images.get(ref)
            if image is None and ref == "sha256:" + "1" * 64:       # every container's
                image = {"Id": ref, "Config": {"Labels": None}}
        if image is None:
            self.missing(conn, request, f"image: {ref}")
        else:
            self.reply(conn, request, 200, image)

    def do_pull(self, conn, request):
        ref = request.query["fromImage"] + ("@" if request.query["tag"].startswith("sha256:") else ":") + \
            request.query["tag"]
        if ref in self.pullable:
            self.add_image(ref)
        self.stream(conn, [self.pull_stream or b'{"status":"Pulling from x","id":"1"}\r\n{"status":"Done"}\r\n'])

    def do_load(self, conn, request):
        """As docker does it: the name from the manifest, the digest from the bytes."""
        archive = tarfile.open(fileobj=io.BytesIO(request.body))
        manifest, = json.load(archive.extractfile("manifest.json"))
        config = archive.extractfile(manifest["Config"]).read()
        layers = [hashlib.sha256(archive.extractfile(name).read()).hexdigest() for name in manifest["Layers"]]
        for name in manifest["RepoTags"]:
            with self.lock:
                self.images[name] = {"Id": "sha256:" + hashlib.sha256(config).hexdigest(), "RepoTags": [name],
                                     "Architecture": json.loads(config)["architecture"],
                                     "Config": dict({"Env": None, "Labels": None}, **json.loads(config)["config"]),
                                     "RootFS": {"Type": "layers", "Layers": ["sha256:" + x for x in layers]}}
        self.stream(conn, [b'{"stream":"Loaded image: x\\n"}\r\n'])

    def do_image_delete(self, conn, request, ref):
        if self.images.pop(ref, None) is None:
            self.missing(conn, request, "image")
        else:
            self.reply(conn, request, 200, [{"Untagged": ref}])

    def do_tag(self, conn, request, ref):
        self.images[request.query["repo"] + ":" + request.query["tag"]] = self.images.get(ref)
        self.reply(conn, request, 201)

    def do_push(self, conn, request, ref):
        self.stream(conn, [b'{"status":"Pushed"}'])

    def do_build(self, conn, request):
        self.context = tarfile.open(fileobj=io.BytesIO(request.body)).getnames()
        self.add_image(request.query["t"])
        self.stream(conn, [b'{"stream":"Step 1\\n"}', b'{"aux":{"ID":"sha256:2"}}'])

    def do_commit(self, conn, request):
        self.add_image(request.query["repo"] + ":" + request.query["tag"])
        self.reply(conn, request, 201, {"Id": "sha256:3"})

    def do_list(self, conn, request):
        wanted = json.loads(request.query.get("filters", "{}")).get("label", [])
        with self.lock:
            found = [c.summary() for c in self.containers.values()
                     if all((c.body.get("Labels") or {}).get(w.partition("=")[0]) == w.partition("=")[2]
                            for w in wanted)]
        self.reply(conn, request, 200, found)

    def do_top(self, conn, request, ref):
        container = self.find(ref)
        if not container or container.status != "running":
            self.missing(conn, request, "running container: " + ref)
            return
        self.reply(conn, request, 200, {"Titles": ["UID", "PID", "CMD"],
                                        "Processes": [["dev", "7", line] for line in container.processes]})

    def do_create(self, conn, request):
        with self.lock:
            holder = self.find(request.query["name"])
            if holder:
                self.reply(conn, request, 409, {"message": f'Conflict. The name is in use by "{holder.id}"'})
                return
            container = Container(self, request.query["name"], request.json())
            self.containers[container.id] = container
        self.reply(conn, request, 201, {"Id": container.id, "Warnings": []})

    def with_container(self, conn, request, ref):
        container = self.find(ref)
        if container is None:
            self.missing(conn, request, f"container: {ref}")
        return container

    def do_inspect(self, conn, request, ref):
        container = self.with_container(conn, request, ref)
        if container:
            self.reply(conn, request, 200, container.inspect())

    def do_start(self, conn, request, ref):
        container = self.with_container(conn, request, ref)
        if container:
            running, container.status = container.status == "running", "running"
            self.reply(conn, request, 304 if running else 204)

    def do_stop(self, conn, request, ref):
        container = self.with_container(conn, request, ref)
        if container:
            running, container.status = container.status == "running", "exited"
            for x in container.execs:
                self.execs[x]["Running"] = False
            self.reply(conn, request, 204 if running else 304)

    def do_remove(self, conn, request, ref):
        container = self.with_container(conn, request, ref)
        if container:
            with self.lock:
                del self.containers[container.id]
            self.reply(conn, request, 204)

    def do_logs(self, conn, request, ref):
        if self.with_container(conn, request, ref):
            self.stream(conn, self.log_frames, "application/octet-stream")

    def do_put(self, conn, request, ref):
        container = self.with_container(conn, request, ref)
        if container:
            archive = tarfile.open(fileobj=io.BytesIO(request.body))
            for member in archive:
                container.files["/" + member.name] = member
                container.contents["/" + member.name] = archive.extractfile(member).read() if member.isreg() else b""
            self.reply(conn, request, 200)

    def do_get(self, conn, request, ref):
        path, container = request.query["path"], self.find(ref)
        if self.has_git and request.method == "HEAD" and path == "/usr/bin/git":
            self.reply(conn, request, 200)
        elif request.method == "HEAD" and container and path in container.files:
            member = container.files[path]
            stat = {"name": os.path.basename(path), "size": member.size, "mode": member.mode, "linkTarget": "",
                    "mtime": datetime.fromtimestamp(member.mtime, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}
            self.reply(conn, request, 200, headers=[("X-Docker-Container-Path-Stat",
                                                     base64.b64encode(json.dumps(stat).encode()).decode())])
        elif request.method == "GET" and container and path in container.files:
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w") as archive:
                archive.addfile(container.files[path], io.BytesIO(container.contents[path]))
            self.reply(conn, request, 200, out.getvalue())
        else:
            self.missing(conn, request, "file")

    def do_exec(self, conn, request, ref):
        container = self.with_container(conn, request, ref)
        if container:
            key = os.urandom(32).hex()
            self.execs[key] = {"Running": False, "ExitCode": None, "spec": request.json()}
            container.execs.append(key)
            self.reply(conn, request, 201, {"Id": key})

    def do_exec_start(self, conn, request, key):
        record = self.execs[key]
        record["Running"] = True
        if request.json().get("Detach"):
            record["Running"] = False
            self.reply(conn, request, 200)
            return
        head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n" \
               b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
        if not self.one_packet:
            conn.sendall(head)
            head = b""
        pieces = (frame(piece) for piece in self.exec_output(record["spec"]))
        if self.one_packet:
            pieces = [b"".join(pieces)]
        for piece in pieces:
            conn.sendall(head + piece)
        if self.exec_stays(record["spec"]):
            while not self.stopping and conn.recv(1024):
                pass
            raise Stop
        status = self.exec_status(record["spec"]) if callable(self.exec_status) else self.exec_status
        record.update(Running=False, ExitCode=status)
        while self.exec_leaves_open and not self.stopping and conn.recv(1024):
            pass
        raise Stop

    def do_exec_inspect(self, conn, request, key):
        if key not in self.execs:
            self.missing(conn, request, "exec")
            return
        record = self.execs[key]
        command = record["spec"]["Cmd"]
        self.reply(conn, request, 200, {"ID": key, "Running": record["Running"], "ExitCode": record["ExitCode"],
                                        "ProcessConfig": {"entrypoint": command[0], "arguments": command[1:]}})

    def do_volumes(self, conn, request):
        self.reply(conn, request, 200, {"Volumes": None, "Warnings": None})

    def do_volume(self, conn, request, name):
        self.missing(conn, request, "volume")

    def do_networks(self, conn, request):
        self.reply(conn, request, 200, [])

    def wait_open(self, count, timeout=10 * PATIENCE):
        end = time.monotonic() + timeout
        while self.open != count and time.monotonic() < end:
            time.sleep(0.01)
        return self.open


ROUTES = [
    (r"(?:GET|HEAD) /_ping", "do_ping"),
    (r"GET /version", "do_version"),
    (r"GET /info", "do_info"),
    (r"POST /images/create", "do_pull"),
    (r"POST /images/load", "do_load"),
    (r"GET /images/(.+)/json", "do_image"),
    (r"DELETE /images/(.+)", "do_image_delete"),
    (r"POST /images/(.+)/tag", "do_tag"),
    (r"POST /images/(.+)/push", "do_push"),
    (r"POST /build", "do_build"),
    (r"POST /commit", "do_commit"),
    (r"GET /containers/json", "do_list"),
    (r"POST /containers/create", "do_create"),
    (r"GET /containers/([^/]+)/json", "do_inspect"),
    (r"GET /containers/([^/]+)/top", "do_top"),
    (r"POST /containers/([^/]+)/start", "do_start"),
    (r"POST /containers/([^/]+)/stop", "do_stop"),
    (r"GET /containers/([^/]+)/logs", "do_logs"),
    (r"PUT /containers/([^/]+)/archive", "do_put"),
    (r"(?:GET|HEAD) /containers/([^/]+)/archive", "do_get"),
    (r"POST /containers/([^/]+)/exec", "do_exec"),
    (r"DELETE /containers/([^/]+)", "do_remove"),
    (r"POST /exec/([^/]+)/start", "do_exec_start"),
    (r"GET /exec/([^/]+)/json", "do_exec_inspect"),
    (r"GET /volumes", "do_volumes"),
    (r"DELETE /volumes/(.+)", "do_volume"),
    (r"GET /networks", "do_networks"),
]


def fake_program(path):
    """An ELF file that looks like a static program for amd64."""
    head = bytearray(64)
    head[0:7] = b"\x7fELF\x02\x01\x01"
    struct.pack_into("<HHI", head, 16, 2, 62, 1)
    struct.pack_into("<HHHHHH", head, 52, 64, 56, 0, 64, 0, 0)
    with open(path, "wb") as file:
        file.write(bytes(head) + b"\0" * 4096)
    return path
