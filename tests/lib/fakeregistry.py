# SPDX-License-Identifier: Apache-2.0
"""A registry that does what a test wants: tokens, redirects, refusals, connections that break. It notes each request."""
import base64
import crypt
import hashlib
import http.client
import http.server
import io
import json
import os
import re
import shutil
import socket
import subprocess
import tarfile
import threading
import urllib.parse

import common


def real_registry(case, login=None):
    """Debian's docker-registry for the length of a test, with (user, password) if given: its host."""
    if not shutil.which("docker-registry"):
        case.skipTest("Debian's docker-registry is not installed")
    folder = case.path("registry-" + (login[0] if login else "open"))
    os.mkdir(folder)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = (f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n")
    if login:
        with open(os.path.join(folder, "htpasswd"), "w", encoding="utf-8") as file:  # bcrypt, as it wants it
            file.write(f"{login[0]}:{crypt.crypt(login[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))}\n")
        text += f"auth: {{htpasswd: {{realm: r, path: {folder}/htpasswd}}}}\n"
    with open(os.path.join(folder, "config.yml"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(folder, "log"), "wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", os.path.join(folder, "config.yml")],
                                   env=common.clean_env(case.tmp), stdout=log, stderr=log)
    case.addCleanup(process.wait)
    case.addCleanup(process.kill)
    common.wait_listens(port, "the registry")
    return f"127.0.0.1:{port}"


def feature_files(name, install=None, **document):
    """Files of a dev container's feature, which says what it finds and leaves a line in /installed."""
    text = """#!/bin/sh
echo "$0 $PWD $GREETING $_REMOTE_USER $_REMOTE_USER_HOME $_CONTAINER_USER $(id -u)"
echo "NAME $GREETING $FROM_ENV" >>/installed
"""
    return {"devcontainer-feature.json": json.dumps({"id": name, "version": "1.0.0", "options": {
        "greeting": {"type": "string", "default": "hello"}}, **document}), "install.sh": install or text.replace("NAME", name)}


def push(case, host, image, name, tag, login=None):
    """An ocicase.Image into a registry, with (user, password) if given."""
    headers = {"Authorization": "Basic " + base64.b64encode(":".join(login).encode()).decode()} if login else {}
    peer = http.client.HTTPConnection(host, timeout=30 * common.PATIENCE)

    def call(method, path, body=b"", **more):
        peer.request(method, path, body, {**headers, **more})
        reply = peer.getresponse()
        text = reply.read()
        case.assertIn(reply.status, (201, 202), text)
        return reply
    for what, data in image.blobs.items():
        if data is not image.manifest:
            where = call("POST", f"/v2/{name}/blobs/uploads/").getheader("Location")
            path = where[where.index("/v2/"):]
            call("PUT", path + ("&" if "?" in path else "?") + "digest=" + what, data,
                 **{"Content-Type": "application/octet-stream"})
    call("PUT", f"/v2/{name}/manifests/{tag}", image.manifest,
         **{"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
    peer.close()


class FakeRegistry:
    """Serves images (ocicase.Image) by name and tag. Behaviour is set by attributes, before or between requests."""

    def __init__(self, case):
        self.images, self.requests, self.seen = {}, [], []
        self.basic = None      # (user, password) for all of it
        self.token = None      # dict: user, password, refresh, uses (requests a token is good for)
        self.challenge = None  # instead of the usual one; {realm} and {name} in it
        self.tokens = {}       # token -> uses left
        self.blobs_at = None   # another FakeRegistry that blobs are redirected to
        self.uploads_at = None  # where blobs are to be sent
        self.fail = []         # (status, headers) for the next requests of blobs
        self.fail_at = {}      # "token", "manifests" -> the same for these
        self.cut_after = None  # bytes of a blob after which the connection ends, once for each entry
        self.hold_after = None  # bytes of a blob after which it waits for `go`
        self.held, self.go = threading.Event(), threading.Event()
        self.fail_all = None   # a status for everything
        self.ranges = True
        self.only_ends = False  # of blobs: what is asked for from its beginning is not here
        self.change = lambda data: data  # what is sent instead of a blob
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.handle(self)

            def do_POST(self):
                outer.handle(self)

            def do_HEAD(self):
                outer.handle(self)

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass  # a client that was killed

        self.server = Quiet(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self.server.server_port}"
        thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        case.addCleanup(thread.join)
        case.addCleanup(self.server.server_close)
        case.addCleanup(self.server.shutdown)
        case.addCleanup(self.go.set)

    def add(self, name, tag, image):
        self.images.setdefault(name, {"tags": {}, "blobs": {}})
        self.images[name]["tags"][tag] = image.manifest_ref["digest"]
        self.images[name]["blobs"].update(image.blobs)

    def add_feature(self, name, tag, files):
        """As the dev container CLI publishes one: one layer, a tar archive."""
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            for path, text in files.items():
                info = tarfile.TarInfo("./" + path)
                info.size, info.mode = len(text), 0o644
                tar.addfile(info, io.BytesIO(text.encode()))

        def ref(blob, kind):
            digest = "sha256:" + hashlib.sha256(blob).hexdigest()
            image["blobs"][digest] = blob
            return {"mediaType": kind, "digest": digest, "size": len(blob)}
        image = self.images.setdefault(name, {"tags": {}, "blobs": {}})
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": ref(b"{}", "application/vnd.devcontainers"),
                    "layers": [ref(data.getvalue(), "application/vnd.devcontainers.layer.v1+tar")]}
        image["tags"][tag] = ref(json.dumps(manifest).encode(), manifest["mediaType"])["digest"]

    def reply(self, h, status, body=b"", **headers):
        h.send_response(status)
        for key, value in headers.items():
            h.send_header(key.replace("_", "-"), value)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD":
            h.wfile.write(body)

    def error(self, h, status, code, **headers):
        self.reply(h, status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode(), **headers)

    def handle(self, h):
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        self.requests.append((h.command, h.path, dict(h.headers), body.decode()))
        if self.fail_all:
            return self.error(h, self.fail_all, "UNAVAILABLE", Retry_After="0")
        for where, answers in self.fail_at.items():
            if where in h.path and answers:
                status, headers = answers.pop(0)
                return self.error(h, status, "TOOMANYREQUESTS", **headers)
        if h.path.startswith("/token") or self.token and urllib.parse.urlsplit(self.token["realm"]).path == h.path.split("?")[0]:
            return self.give_token(h, body)
        if self.uploads_at and h.path.endswith("/blobs/uploads/"):
            return self.reply(h, 202, Location=self.uploads_at)
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/?]+)(\?.*)?", h.path)
        if not match:
            return self.error(h, 404, "UNSUPPORTED")
        name, kind, what, _ = match.groups()
        if not self.allowed(h, name):
            return None
        image = self.images.get(name)
        digest = image and (image["tags"].get(what, what) if kind == "manifests" else what)
        if not image or digest not in image["blobs"]:
            return self.error(h, 404, "MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN")
        data = image["blobs"][digest]
        if kind == "manifests":
            media_type = json.loads(data).get("mediaType", "text/plain")
            if media_type != "text/plain" and media_type not in re.split(r",\s*", h.headers.get("Accept", "")):
                return self.error(h, 404, "MANIFEST_UNKNOWN")  # as registries do
            return self.reply(h, 200, data, Content_Type=media_type + "; charset=utf-8", Docker_Content_Digest=digest)
        if self.only_ends and "Range" not in h.headers:
            return self.error(h, 404, "BLOB_UNKNOWN")
        return self.send_blob(h, name, digest, data)

    def allowed(self, h, name):
        given = h.headers.get("Authorization", "")
        if self.basic:
            if given == "Basic " + base64.b64encode(":".join(self.basic).encode()).decode():
                return True
            self.error(h, 401, "UNAUTHORIZED", WWW_Authenticate=self.challenge or 'Basic realm="the, \\"registry\\""')
            return False
        if not self.token:
            return True
        left = self.tokens.get(given.removeprefix("Bearer "), 0)
        if left > 0:
            self.tokens[given.removeprefix("Bearer ")] -= 1
            return True
        challenge = self.challenge or 'Negotiate, Bearer realm="{realm}",service="the service",scope="repository:{name}:pull"'
        self.error(h, 401, "UNAUTHORIZED", WWW_Authenticate=challenge.format(realm=self.token["realm"], name=name))
        return False

    def give_token(self, h, body):
        t = self.token
        query = dict(urllib.parse.parse_qsl(body.decode() if h.command == "POST" else urllib.parse.urlsplit(h.path).query))
        want = "Basic " + base64.b64encode(f"{t.get('user')}:{t.get('password')}".encode()).decode()
        good = (query.get("refresh_token") == t["refresh"] if t.get("refresh")
                else h.headers.get("Authorization") == want if t.get("user") else True)
        if not good or query.get("service") != t.get("service", "the service") or not query.get("scope", "").startswith("repository:"):
            return self.error(h, 401, "DENIED")
        token = f"token-{len(self.tokens)}-secret"
        self.tokens[token] = t.get("uses", 1000)
        names = t.get("names", ["access_token" if t.get("refresh") else "token"])
        return self.reply(h, 200, json.dumps({**t.get("more", {}), **{name: token for name in names}}).encode())

    def send_blob(self, h, name, digest, data):
        if self.blobs_at:
            other = self.blobs_at
            other.images.setdefault(name, {"tags": {}, "blobs": {}})["blobs"][digest] = data
            return self.reply(h, 307, Location=f"http://{other.host}/v2/{name}/blobs/{digest}?signature=abc")
        if self.fail:
            status, headers = self.fail.pop(0)
            return self.error(h, status, "TOOMANYREQUESTS", **headers)
        data = self.change(data)
        match = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
        start = int(match.group(1)) if match and self.ranges else 0
        self.seen.append(start)
        h.send_response(206 if match and self.ranges else 200)
        if match and self.ranges:
            h.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        h.send_header("Content-Length", str(len(data) - start))
        h.end_headers()
        part = data[start:]
        if self.cut_after and len(part) > self.cut_after[0]:
            h.wfile.write(part[:self.cut_after.pop(0)])
            h.close_connection = True
            return None
        if self.hold_after is not None and len(part) > self.hold_after:
            h.wfile.write(part[:self.hold_after])
            h.wfile.flush()
            part = part[self.hold_after:]
            self.held.set()
            self.go.wait(60)
        h.wfile.write(part)
        return None

    def authorizations(self, path):
        """The field of each request whose path has that in it."""
        return [headers.get("Authorization", "") for _, where, headers, _ in self.requests if path in where]
