# SPDX-License-Identifier: Apache-2.0
"""Certificates made with openssl, and TLS servers that carry them: for the tests of the TLS client."""
import datetime
import os
import shutil
import ssl
import tempfile
import unittest

import common
from httppeer import reply
from netcase import TLS, NetCase


def openssl(*args):
    return common.run(["openssl", *args], check=True)


class Certs:
    """Certificates made once for the whole file; all keys but the named ones are P-256."""

    def __init__(self, directory):
        self.dir = directory
        self.ca = self.root("ca")

    def path(self, name):
        return os.path.join(self.dir, name)

    def key(self, name, kind="ec"):
        path = self.path(name + ".key")
        if kind.startswith("rsa"):
            openssl("genrsa", "-out", path, kind[3:])
        else:
            openssl("ecparam", "-genkey", "-name", kind if kind != "ec" else "prime256v1", "-noout", "-out", path)
        return path

    def root(self, name, subject=None, key=None, start=None, end=None):
        key = key or self.key(name)
        return self.sign(name, None, key, subject or f"/CN={name}", ["basicConstraints=critical,CA:TRUE"], start, end)

    def sign(self, name, ca, key, subject, extensions, start=None, end=None, digest="sha256"):
        """ca: (certificate, key) or None for self-signed. Dates as YYYYMMDDHHMMSSZ."""
        cert, request, ext = (self.path(name + s) for s in (".pem", ".csr", ".ext"))
        openssl("req", "-new", "-key", key, "-subj", subject, "-out", request)
        with open(ext, "w", encoding="utf-8") as file:
            file.write("\n".join(["[e]", *extensions]) + "\n")
        folder = self.path(name + ".ca")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "index.txt"), "w", encoding="utf-8"):
            pass
        config = os.path.join(folder, "conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\n"
                       "rand_serial=yes\npolicy=p\nunique_subject=no\n[p]\ncommonName=optional\n")
        now = datetime.datetime.now(datetime.timezone.utc)
        start = start or (now - datetime.timedelta(days=2)).strftime("%Y%m%d%H%M%SZ")
        end = end or (now + datetime.timedelta(days=30)).strftime("%Y%m%d%H%M%SZ")
        signer = ["-selfsign", "-keyfile", key] if ca is None else ["-cert", ca[0], "-keyfile", ca[1]]
        openssl("ca", "-batch", "-notext", "-config", config, "-in", request, "-out", cert, "-startdate", start,
                "-enddate", end, "-md", digest, "-extfile", ext, "-extensions", "e", *signer)
        return cert, key

    def leaf(self, name, san="DNS:localhost,IP:127.0.0.1", ca=None, kind="ec", extra=(), **kwargs):
        extensions = [f"subjectAltName={san}"] if san else []
        return self.sign(name, ca or self.ca, self.key(name, kind), f"/CN={name}", extensions + list(extra), **kwargs)

    def join(self, name, *paths):
        with open(self.path(name), "w", encoding="utf-8") as out:
            for path in paths:
                with open(path, encoding="utf-8") as file:
                    out.write(file.read())
        return self.path(name)


def context(cert, **settings):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*cert)
    for name, value in settings.items():
        setattr(made, name, value)
    return made


class TlsCase(NetCase):
    """The certificates are made once a process and shared by the classes of a file."""
    certs = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if TlsCase.certs is None:
            TlsCase.certs = Certs(tempfile.mkdtemp(prefix="dr-certs-"))
            unittest.addModuleCleanup(TlsCase._forget)

    @staticmethod
    def _forget():
        shutil.rmtree(TlsCase.certs.dir, ignore_errors=True)
        TlsCase.certs = None

    def secure(self, cert, body=b"secure", **settings):
        peer = self.peer(tls=cert if isinstance(cert, ssl.SSLContext) else context(cert, **settings))
        peer.on("*", "/.*", reply(200, body), forever=True)
        return peer

    def accepted(self, peer, url=None, options=None, **kwargs):
        line = self.one(url or peer.url, options=options or ("-c", self.certs.ca[0]), **kwargs)
        self.assertEqual(line.get("body"), "secure", line)
        return line

    def refused(self, peer, words, url=None, options=None, kind=TLS, **kwargs):
        before = len(peer.requests)
        line = self.one(url or peer.url, options=options or ("-c", self.certs.ca[0]), fails=kind, **kwargs)
        for word in [words] if isinstance(words, str) else words:
            self.assertIn(word, line["error"])
        self.assertEqual(len(peer.requests), before)
        return line
