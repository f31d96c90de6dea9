# SPDX-License-Identifier: Apache-2.0
"""Real git repositories for tests, and a small HTTP server for them over git's own smart protocol,
which can demand a password, hang, or break off."""
import base64
import http.server
import os
import subprocess
import threading
from urllib.parse import urlsplit

GIT_ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1",
           "GIT_AUTHOR_NAME": "Test", "GIT_AUTHOR_EMAIL": "test@git.test",
           "GIT_COMMITTER_NAME": "Test", "GIT_COMMITTER_EMAIL": "test@git.test",
           "GIT_AUTHOR_DATE": "2025-02-10T09:00:00Z", "GIT_COMMITTER_DATE": "2025-02-10T09:00:00Z"}


def git(directory, *args):
    result = subprocess.run(["git", "-c", "init.defaultBranch=main", *args], cwd=directory,
                            env={**GIT_ENV, "HOME": directory}, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
    if result.returncode != 0:
        raise AssertionError(f"git {args}: {result.stderr}")
    return result.stdout.strip()


def make_repo(root, name="app", files=None, branches=()):
    """A bare repository root/name.git with one commit a branch; returns (path, sha of main). A file may be bytes, or "-> " and
    where a link leads."""
    work = os.path.join(root, name + "-work")
    os.makedirs(work)
    git(work, "init", "-q")
    for path, text in (files or {"README.md": "hello\n"}).items():
        full = os.path.join(work, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        if isinstance(text, str) and text.startswith("-> "):
            os.symlink(text[3:], full)
            continue
        with open(full, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "first")
    sha = git(work, "rev-parse", "HEAD")
    for branch in branches:
        git(work, "checkout", "-q", "-b", branch, "main")
        git(work, "commit", "-q", "--allow-empty", "-m", branch)
    git(work, "checkout", "-q", "main")
    bare = os.path.join(root, name + ".git")
    git(root, "clone", "-q", "--bare", work, bare)
    return bare, sha


class GitServer:
    """http://127.0.0.1:port/<name>.git for the repositories below root."""

    def __init__(self, root, user=None, password=None):
        self.root = root
        self.wanted = None
        if user is not None:
            self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.requests = []
        self.hold = threading.Event()       # cleared: requests wait here
        self.hold.set()
        self.waiting = threading.Semaphore(0)
        self.arrived = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                outer.answer(self)

            do_POST = do_GET

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 512

            def handle_error(self, request, client_address):
                pass

        self.httpd = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.httpd.server_address[1]}"

    def stop(self):
        self.hold.set()
        self.httpd.shutdown()
        self.httpd.server_close()

    def answer(self, handler):
        self.requests.append((handler.command, handler.path, handler.headers.get("Authorization")))
        self.arrived.set()
        self.hold.wait(120)
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while True:
                size = int(handler.rfile.readline().split(b";")[0], 16)
                body += handler.rfile.read(size)
                handler.rfile.readline()
                if size == 0:
                    break
        if self.wanted and handler.headers.get("Authorization") != self.wanted:
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="git"')
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        parts = urlsplit(handler.path)
        env = {**GIT_ENV, "GIT_PROJECT_ROOT": self.root, "GIT_HTTP_EXPORT_ALL": "1",
               "PATH_INFO": parts.path, "QUERY_STRING": parts.query,
               "REQUEST_METHOD": handler.command, "HOME": self.root,
               "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
               "CONTENT_LENGTH": str(len(body)), "REMOTE_ADDR": "127.0.0.1",
               "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
               "GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
               "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory",
               "GIT_CONFIG_VALUE_0": "*"}
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, timeout=600).stdout
        head, _, content = out.partition(b"\r\n\r\n")
        status = 200
        fields = []
        for line in head.decode("latin-1").split("\r\n"):
            key, _, value = line.partition(": ")
            if key == "Status":
                status = int(value.split()[0])
            elif key:
                fields.append((key, value))
        handler.send_response(status)
        for key, value in fields:
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
