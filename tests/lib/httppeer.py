# SPDX-License-Identifier: Apache-2.0
"""A scriptable HTTP/1.1 peer on raw sockets: every byte it sends can be chosen, every request it got
is kept with its time. Threads; port 0 on loopback; TLS when given a context."""
import base64
import hashlib
import json
import os
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time
from urllib.parse import parse_qs, urlsplit

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # for those who say lib.httppeer
from common import PATIENCE  # noqa: E402

REASONS = {200: "OK", 201: "Created", 204: "No Content", 301: "Moved Permanently", 302: "Found",
           307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
           401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 408: "Request Timeout",
           409: "Conflict", 413: "Payload Too Large", 429: "Too Many Requests",
           500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
           504: "Gateway Timeout"}
JSON_TYPE = "application/json; charset=utf-8"
TEXT_TYPE = "text/plain; charset=utf-8"


class Gone(Exception):
    """The client left, or the peer is being stopped."""


class Request:
    def __init__(self, line, headers, body, conn_id):
        self.line = line
        self.method, self.target, self.version = line.split(" ", 2)
        parts = urlsplit(self.target)
        self.path, self.query = parts.path, parse_qs(parts.query)
        self.headers, self.body, self.conn_id = headers, body, conn_id
        self.at = time.monotonic()
        self.status = None      # what was answered, where known
        self.rules_made = 0     # when it was looked for one that is for it

    def header(self, name):
        for key, value in self.headers:
            if key.lower() == name.lower():
                return value
        return None

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.method} {self.target} {self.body[:120]!r}>"


class Conn:
    """One accepted connection."""

    def __init__(self, sock, number, peer):
        self.sock, self.id, self.peer = sock, number, peer
        self.rest = b""
        self.closed = False

    def recv(self, size=65536):
        try:
            data = self.sock.recv(size)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise Gone(str(error)) from error
        if not data:
            raise Gone("closed by the client")
        return data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise Gone(str(error)) from error

    def take(self, size):
        while len(self.rest) < size:
            self.rest += self.recv()
        data, self.rest = self.rest[:size], self.rest[size:]
        return data

    def take_line(self, limit=1 << 20):
        while b"\r\n" not in self.rest:
            if len(self.rest) > limit:
                raise Gone("line too long")
            self.rest += self.recv()
        line, self.rest = self.rest.split(b"\r\n", 1)
        return line

    def client_left(self):
        """True once the client closed. Never blocks."""
        if self.rest:
            return False
        try:
            readable, _, _ = select.select([self.sock], [], [], 0)
            if not readable:
                return False
            if isinstance(self.sock, ssl.SSLSocket):
                self.sock.settimeout(0.05)
                try:
                    data = self.sock.recv(65536)
                except socket.timeout:
                    return False
                finally:
                    self.sock.settimeout(None)
                if not data:
                    return True
                self.rest += data
                return False
            return self.sock.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True

    def pause(self, seconds):
        """Waits, but no longer than the client or the peer lives."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return
            if self.peer.stopping.wait(min(left, 0.05)):
                raise Gone("peer stopped")
            if self.client_left():
                raise Gone("client left")

    def close(self):
        if not self.closed:
            self.closed = True
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            try:
                self.sock.close()
            except OSError:
                pass

    def hang_up(self, abrupt):
        """From another thread than the one that serves it. What TLS has of it is closed by that one: it may be about to write,
        and the number may be another file's by then."""
        if self.peer.tls:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        elif abrupt:
            self.reset()
        else:
            self.close()

    def reset(self):
        """Ends the connection with RST."""
        if not self.closed:
            self.closed = True
            try:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.sock.close()
            except OSError:
                pass


def read_request(conn):
    line = conn.take_line().decode("latin-1")
    headers = []
    while True:
        field = conn.take_line()
        if not field:
            break
        key, _, value = field.partition(b":")
        headers.append((key.decode("latin-1"), value.strip().decode("latin-1")))
    request = Request(line, headers, b"", conn.id)
    if (request.header("Transfer-Encoding") or "").lower() == "chunked":
        while True:
            size = int(conn.take_line().split(b";")[0], 16)
            if size == 0:
                while conn.take_line():
                    pass
                break
            request.body += conn.take(size)
            conn.take(2)
    else:
        request.body = conn.take(int(request.header("Content-Length") or 0))
    return request


def head(status, headers, reason=None):
    lines = [f"HTTP/1.1 {status} {reason or REASONS.get(status, 'Status')}"]
    lines += [f"{key}: {value}" for key, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


# Steps: each is called as step(conn, request) and returns True to keep the connection open. Raising
# Fallthrough lets the peer's own handler answer.
class Fallthrough(Exception):
    pass


def reply(status, body=b"", content_type=None, headers=(), delay=0.0):
    if not isinstance(body, (bytes, str)):
        body, content_type = json.dumps(body), content_type or JSON_TYPE
    if isinstance(body, str):
        body = body.encode()

    def step(conn, request):
        if delay:
            conn.pause(delay)
        fields = list(conn.peer.extra_headers) + list(headers)
        if content_type:
            fields.append(("Content-Type", content_type))
        if status != 204 and status >= 200:
            fields.append(("Content-Length", str(len(body))))
        request.status = status
        conn.send(head(status, fields) + (b"" if status == 204 else body))
        return True
    return step


def error(status, text, **kwargs):
    """An error as the Server writes it: JSON under text/plain."""
    return reply(status, json.dumps({"error": text}), TEXT_TYPE, **kwargs)


def raw(*chunks, pause=0.0, then="keep"):
    """Exact bytes, one write a chunk; then: keep, close or reset."""
    def step(conn, request):
        request.status = -1
        for index, chunk in enumerate(chunks):
            if index and pause:
                conn.pause(pause)
            conn.send(chunk)
        if then == "reset":
            conn.reset()
        elif then == "close":
            conn.close()
        return then == "keep"
    return step


def close(delay=0.0):
    def step(conn, request):
        if delay:
            conn.pause(delay)
        conn.close()
        return False
    return step


def reset(delay=0.0):
    def step(conn, request):
        if delay:
            conn.pause(delay)
        conn.reset()
        return False
    return step


def hang(seconds=3600.0):
    """Says nothing until the client gives up."""
    def step(conn, request):
        conn.pause(seconds)
        conn.close()
        return False
    return step


def normal(delay=0.0):
    """Hands over to the peer's own handler."""
    def step(conn, request):
        if delay:
            conn.pause(delay)
        raise Fallthrough
    return step


def after_effect(step):
    """Lets the own handler do its work, but answers with step: the answer that got lost."""
    def run(conn, request):
        try:
            conn.peer.handle(Sink(conn), request)
        except Gone:
            pass
        return step(conn, request)
    return run


class Sink:
    """Stands in for a connection whose answer nobody will see."""

    def __init__(self, conn):
        self.peer, self.id, self.sock = conn.peer, conn.id, conn.sock

    def send(self, data):
        pass

    def pause(self, seconds):
        pass

    def client_left(self):
        return False

    def close(self):
        pass


class Rule:
    def __init__(self, method, pattern, steps, forever):
        self.method, self.pattern = method, re.compile(pattern + r"\Z")
        self.steps, self.forever = list(steps), forever
        self.hits = 0
        self.number = 0         # of all that its peer was given

    def __repr__(self):
        return f"<{self.method} {self.pattern.pattern[:-2]}: {self.hits} used, {len(self.steps)} left>"

    def matches(self, request):
        return self.method in ("*", request.method) and self.pattern.match(request.path)

    def next(self):
        if not self.steps:
            return None
        self.hits += 1
        return self.steps[0] if self.forever and len(self.steps) == 1 else self.steps.pop(0)


class Peer:
    """Accepts, reads requests, runs scripted steps or the default handler."""

    def __init__(self, tls=None, host="127.0.0.1"):
        self.tls, self.host, self.port = tls, host, 0
        self.lock = threading.Condition(threading.RLock())
        self.requests, self.rules, self.conns = [], [], set()
        self.rules_made = 0
        self.accepted = 0
        self.tls_failures = []
        self.extra_headers = []
        self.stopping = threading.Event()
        self.listener = None
        self.dead_on_accept = None      # a step run instead of reading a request

    @property
    def url(self):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(512)
        self.port = listener.getsockname()[1]
        self.stopping = threading.Event()
        self.listener = listener
        threading.Thread(target=self._accept, args=(listener, self.stopping), daemon=True).start()
        return self

    def stop(self, abrupt=True):
        """Closes the listener and every connection; start() comes back on the same port."""
        self.stopping.set()
        if self.listener:
            try:
                self.listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listener.close()
            self.listener = None
        with self.lock:
            conns = list(self.conns)
            self.lock.notify_all()
        for conn in conns:
            conn.hang_up(abrupt)

    def cut(self, abrupt=True):
        """Ends every connection there is; the listener stays."""
        with self.lock:
            conns = list(self.conns)
        for conn in conns:
            conn.hang_up(abrupt)

    def settled(self, timeout=30 * PATIENCE):
        """Waits until all is read that clients sent which have ended: the last connection comes after theirs. Nobody else
        may be connected. Not with TLS."""
        with socket.create_connection((self.host, self.port)) as last:
            name = last.getsockname()
            self.wait(lambda: any(conn.address[:2] == name[:2] for conn in self.conns), timeout, "the last one is taken")
        self.wait(lambda: not self.conns, timeout, "all are read to their end")

    def _accept(self, listener, stopping):
        while not stopping.is_set():
            try:
                sock, address = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.accepted += 1
                conn = Conn(sock, self.accepted, self)
                conn.address = address
                self.conns.add(conn)
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        try:
            if self.tls:
                conn.sock.settimeout(20)
                try:
                    conn.sock = self.tls.wrap_socket(conn.sock, server_side=True)
                except (OSError, ssl.SSLError) as failure:
                    self.tls_failures.append(str(failure))
                    return
                conn.sock.settimeout(None)
            if self.dead_on_accept:
                self.dead_on_accept(conn, None)
                return
            while not self.stopping.is_set() and not conn.closed:
                request = read_request(conn)
                with self.lock:
                    self.requests.append(request)
                    self.lock.notify_all()
                if not self._answer(conn, request):
                    break
        except Gone:
            pass
        finally:
            conn.close()
            with self.lock:
                self.conns.discard(conn)
                self.lock.notify_all()

    def _answer(self, conn, request):
        step = None
        with self.lock:
            request.rules_made = self.rules_made
            for rule in self.rules:
                if rule.matches(request):
                    step = rule.next()
                    if step:
                        break
        if step:
            try:
                return step(conn, request)
            except Fallthrough:
                pass
        return self.handle(conn, request)

    def handle(self, conn, request):
        return reply(404, "404 page not found", TEXT_TYPE)(conn, request)

    def on(self, method, pattern, *steps, forever=False):
        """Steps for requests that match, one a request, then the default again; with forever the
        last step stays. Newer rules win. Returns the rule, so that it can be dropped. A request that
        is being answered already goes on as before (but see overtaken)."""
        rule = Rule(method, pattern, steps, forever)
        with self.lock:
            self.rules_made += 1
            rule.number = self.rules_made
            self.rules.insert(0, rule)
            self.lock.notify_all()
        return rule

    def overtaken(self, request):
        """Is there a rule for it that came too late? A handler that waits then lets the next one come."""
        with self.lock:
            return any(rule.number > request.rules_made and rule.steps and rule.matches(request)
                       for rule in self.rules)

    def used(self, rule, timeout=30 * PATIENCE):
        """Waits until all steps of a rule were taken, of one that stays the last one once."""
        self.wait(lambda: rule.hits and (rule.forever or not rule.steps), timeout, f"all used: {rule}")

    def unused(self):
        """Rules that were not dropped and have steps that no request came for. One that stays may be there for none."""
        with self.lock:
            return [rule for rule in self.rules if rule.steps and not rule.forever]

    def drop(self, rule):
        with self.lock:
            if rule in self.rules:
                self.rules.remove(rule)

    def seen(self, method, pattern):
        compiled = re.compile(pattern + r"\Z")
        with self.lock:
            return [r for r in self.requests
                    if method in ("*", r.method) and compiled.match(r.path)]

    def wait(self, condition, timeout, what):
        """Waits until condition() is true; it is checked at every event."""
        end = time.monotonic() + timeout
        with self.lock:
            while True:
                value = condition()
                if value:
                    return value
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {timeout} s: {what}")
                self.lock.wait(min(left, 0.1))

    def wait_requests(self, method, pattern, count=1, timeout=15 * PATIENCE):
        return self.wait(lambda: len(self.seen(method, pattern)) >= count and
                         self.seen(method, pattern), timeout, f"{count} x {method} {pattern}")


# WebSocket, server side (RFC 6455).
def ws_accept(conn, request):
    key = request.header("Sec-WebSocket-Key") or ""
    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    request.status = 101
    conn.send(head(101, [("Upgrade", "websocket"), ("Connection", "Upgrade"),
                         ("Sec-WebSocket-Accept", base64.b64encode(digest).decode())],
                   "Switching Protocols"))


def ws_read(conn):
    """One frame: (fin, opcode, masked, payload)."""
    first, second = conn.take(2)
    size = second & 0x7F
    if size == 126:
        size = struct.unpack("!H", conn.take(2))[0]
    elif size == 127:
        size = struct.unpack("!Q", conn.take(8))[0]
    mask = conn.take(4) if second & 0x80 else b""
    payload = conn.take(size)
    if mask:
        payload = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
    return bool(first & 0x80), first & 0x0F, bool(mask), payload


def ws_frame(opcode, payload, fin=True):
    first = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return first + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return first + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return first + b"\x7f" + struct.pack("!Q", len(payload)) + payload
