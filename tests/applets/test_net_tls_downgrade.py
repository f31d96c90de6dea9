# SPDX-License-Identifier: Apache-2.0
"""Nobody on the way who has no key of the server's gets the client to offer less than TLS 1.3, now or later: not by
an alert, a cut connection, a forged answer of TLS 1.2 or a changed ClientHello (RFC 8446 4.1.3 and D)."""
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netcase
from httppeer import reply
from tlscase import TlsCase, context

TLS_1_2, TLS_1_3 = 0x0303, 0x0304
SUPPORTED_VERSIONS, GREASE = 43, 0x0A0A
RSA_PSS_SHA256 = 0x0804


def record(kind, body):
    return struct.pack("!BHH", kind, TLS_1_2, len(body)) + body


def handshake(kind, body):
    return record(22, bytes([kind]) + len(body).to_bytes(3, "big") + body)


def read_record(sock):
    head = b""
    while len(head) < 5:
        more = sock.recv(5 - len(head))
        if not more:
            raise OSError("closed")
        head += more
    size, body = struct.unpack("!H", head[3:])[0], b""
    while len(body) < size:
        more = sock.recv(size - len(body))
        if not more:
            raise OSError("closed")
        body += more
    return head + body


class Hello:
    """A ClientHello: the versions on offer and where its extensions lie."""

    def __init__(self, data):
        self.data, at = data, 5 + 4 + 2 + 32
        at += 1 + data[at]
        at += 2 + struct.unpack("!H", data[at:at + 2])[0]
        at += 1 + data[at]
        end = at + 2 + struct.unpack("!H", data[at:at + 2])[0]
        self.extensions, at = {}, at + 2
        while at < end:
            kind, size = struct.unpack("!HH", data[at:at + 4])
            self.extensions[kind] = at
            at += 4 + size

    def versions(self):
        at = self.extensions.get(SUPPORTED_VERSIONS)
        if at is None:
            return [TLS_1_2]
        count = self.data[at + 4] // 2
        return list(struct.unpack(f"!{count}H", self.data[at + 5:at + 5 + 2 * count]))

    def without_1_3(self):
        at = self.extensions[SUPPORTED_VERSIONS]
        return self.data[:at] + struct.pack("!H", GREASE) + self.data[at + 2:]


class OnTheWay:
    """Has the port that the client knows. Each connection is met by the next of the acts, and what is left of them
    goes through to the real server. An act gets the client's socket and its Hello."""

    def __init__(self, case, server_port, acts):
        self.hellos, self.acts, self.server_port = [], list(acts), server_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        case.addCleanup(self.listener.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._meet, args=(sock,), daemon=True).start()

    def _meet(self, sock):
        with sock:
            try:
                hello = Hello(read_record(sock))
                self.hellos.append(hello)
                if self.acts:
                    self.acts.pop(0)(sock, hello)
                else:
                    self.relay(sock, hello.data)
            except OSError:
                pass

    def relay(self, sock, first):
        with socket.create_connection(("127.0.0.1", self.server_port)) as far:
            far.sendall(first)

            def back():
                try:
                    while True:
                        data = far.recv(65536)
                        if not data:
                            break
                        sock.sendall(data)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            thread = threading.Thread(target=back, daemon=True)
            thread.start()
            try:
                while True:
                    data = sock.recv(65536)
                    if not data:
                        break
                    far.sendall(data)
                far.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            thread.join(30)


def alert(code):
    def act(sock, _hello):
        sock.sendall(record(21, bytes([2, code])))
    return act


def cut(sock, _hello):
    sock.shutdown(socket.SHUT_RDWR)


def reset(sock, _hello):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def plain(sock, _hello):
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def older(version):
    """A ServerHello of another version."""
    def act(sock, hello):
        sock.sendall(handshake(2, struct.pack("!H", version) + b"r" * 32 + b"\0" + struct.pack("!HB", 0xC02F, 0)))
        sock.recv(100)
    return act


class Downgrade(TlsCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.cert = cls.certs.leaf("downgrade", kind="rsa2048")

    def forged(self, scheme, cut_before=None, sentinel=b""):
        """A whole answer of TLS 1.2 by somebody who has the certificate, which is public, and not the key."""
        with open(self.cert[0], encoding="ascii") as file:
            text = file.read()
        der = ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN"):])

        def act(sock, _hello):
            random = b"r" * (32 - len(sentinel)) + sentinel
            hello = struct.pack("!H", TLS_1_2) + random + b"\0" + struct.pack("!HB", 0xC02F, 0)
            # Renegotiation information (RFC 5746) and point formats, as servers send them.
            more = b"\xff\x01\x00\x01\x00" + b"\x00\x0b\x00\x02\x01\x00"
            one = len(der).to_bytes(3, "big") + der
            point = bytes.fromhex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4"
                                  "a7c0f9e162bce33576b315ececbb6406837bf51f5")
            key = b"\x03\x00\x17" + bytes([len(point)]) + point + struct.pack("!HH", scheme, 256) + b"s" * 256
            parts = [handshake(2, hello + struct.pack("!H", len(more)) + more),
                     handshake(11, len(one).to_bytes(3, "big") + one), handshake(12, key), handshake(14, b"")]
            sock.sendall(b"".join(parts[:cut_before]))
            if cut_before is None:
                while sock.recv(4096):
                    pass
        return act

    def acts(self):
        rows = {f"alert {code}": alert(code) for code in (10, 20, 40, 42, 47, 50, 51, 70, 71, 80, 86, 109, 112)}
        rows.update({"cut": cut, "reset": reset, "plain text": plain, "TLS 1.1": older(0x0302), "SSL 3": older(0x0300),
                     "bare 1.2": older(TLS_1_2)})
        for scheme in 0x0401, RSA_PSS_SHA256, 0x0805, 0x0806, 0x0201, 0x0403, 0x0809, 0x0807:
            rows[f"forged {scheme:#06x}"] = self.forged(scheme)
        for stage in 1, 2, 3:
            rows[f"forged, cut after {stage}"] = self.forged(RSA_PSS_SHA256, cut_before=stage)
        rows["forged, with sentinel"] = self.forged(RSA_PSS_SHA256, sentinel=b"DOWNGRD\x01")
        return rows

    def test_no_act_on_the_way_makes_the_client_offer_less(self):
        """Twice in a row, then the real server: the same process, the same offer, and 1.3 in the end."""
        versions = []

        def say(conn, request):
            versions.append(conn.sock.version())
            return reply(200, b"secure", headers=[("Connection", "close")])(conn, request)
        for name, act in self.acts().items():
            with self.subTest(act=name):
                peer = self.peer(tls=context(self.cert))
                peer.on("GET", "/.*", say, forever=True)
                way = OnTheWay(self, peer.port, [act, act])
                lines = self.get(f"https://127.0.0.1:{way.port}", "/", "/", "/", options=("-c", self.certs.ca[0]))
                self.assertEqual(["error" in line for line in lines], [True, True, False], lines)
                self.assertEqual([hello.versions() for hello in way.hellos], [[TLS_1_3, TLS_1_2]] * 3)
                self.assertEqual(versions.pop(), "TLSv1.3")
                peer.stop()

    def test_a_changed_hello_is_noticed(self):
        """The real server answers with 1.2 and the mark that it could have done better."""
        peer = self.secure(self.cert)
        way = OnTheWay(self, peer.port, [])
        way.acts = [lambda sock, hello: way.relay(sock, hello.without_1_3())] * 2
        lines = self.get(f"https://127.0.0.1:{way.port}", "/", "/", "/", options=("-c", self.certs.ca[0]))
        self.assertEqual(["error" in line for line in lines], [True, True, False], lines)
        self.assertEqual([hello.versions() for hello in way.hellos], [[TLS_1_3, TLS_1_2]] * 3)
        self.assertEqual(len(peer.requests), 1)

    def test_servers_of_1_2_alone_need_no_second_try(self):
        for kind in "rsa2048", "ec":
            for schemes in ("RSA-PSS+SHA256", "RSA-PSS+SHA512", "RSA+SHA256") if kind == "rsa2048" else ("ECDSA+SHA256",):
                with self.subTest(kind=kind, schemes=schemes):
                    self.one_try(kind, schemes)

    def one_try(self, kind, schemes):
        """openssl's own server, which can be told what it signs with."""
        cert, key = self.certs.leaf(f"only12-{kind}-{schemes.replace('+', '')}", kind=kind)
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, "-tls1_2",
                                   "-sigalgs", schemes, "-www"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  stdin=subprocess.PIPE, text=True, cwd=self.tmp)
        try:
            for line in server.stdout:
                if line.startswith("ACCEPT"):
                    break
            way = OnTheWay(self, int(line.split(":")[-1]), [])
            got = self.one(f"https://127.0.0.1:{way.port}", options=("-c", self.certs.ca[0]))
            self.assertEqual(got.get("status"), 200, got)
            self.assertEqual([hello.versions() for hello in way.hellos], [[TLS_1_3, TLS_1_2]])
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
            server.stdin.close()


if __name__ == "__main__":
    netcase.main()
