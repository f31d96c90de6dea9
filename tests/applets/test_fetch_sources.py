#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cmake/fetch-sources refuses archives that are absent or not the pinned ones, and finds them in the mirror that it is told of or
that a stand-in for apt knows. No network."""
import hashlib
import http.server
import os
import subprocess
import tempfile
import threading
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def pins():
    third_party = os.path.join(ROOT, "third_party")
    for package in sorted(n for n in os.listdir(third_party) if os.path.isdir(os.path.join(third_party, n))):
        with open(os.path.join(ROOT, "third_party", package, "SHA256"), encoding="ascii") as f:
            yield f.read().split()


def fetch(*args, **env):
    return subprocess.run([os.path.join(ROOT, "cmake", "fetch-sources"), *args], capture_output=True,
                          text=True, timeout=600, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env})


class Mirror(http.server.BaseHTTPRequestHandler):
    """A folder's archives below pool/main, as Debian lays them."""
    files = {}

    def do_GET(self):
        data = self.files.get(self.path)
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_):
        pass


class FetchSources(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.given = os.path.join(self.dir.name, "given")
        self.dest = os.path.join(self.dir.name, "dest")
        os.mkdir(self.given)

    def fill(self, folder, content):
        os.makedirs(folder, exist_ok=True)
        for _, name in pins():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)

    def test_wrong_archive_in_given_folder(self):
        self.fill(self.given, b"not the archive")
        done = fetch("-s", self.given, self.dest)
        wanted, name = next(pins())
        self.assertEqual(done.returncode, 1)
        self.assertIn(os.path.join(self.given, name), done.stderr)
        self.assertIn(wanted, done.stderr)
        self.assertIn(hashlib.sha256(b"not the archive").hexdigest(), done.stderr)
        self.assertEqual(os.listdir(self.dest), [])

    def test_missing_archive_in_given_folder(self):
        done = fetch("-s", self.given, self.dest)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such archive", done.stderr)

    def test_damaged_cache(self):
        self.fill(self.dest, b"half a file")
        done = fetch(self.dest)
        self.assertEqual(done.returncode, 1)
        self.assertIn("wrong SHA-256", done.stderr)


class Mirrors(unittest.TestCase):
    """One archive of our own, wanted by a pin of our own."""

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)
        self.dest = os.path.join(self.dir.name, "dest")
        self.pins = {}
        for name, folder in (("libthing_1.2.orig.tar.gz", "libt/libthing"), ("jsmn_1.orig.tar.gz", "j/jsmn")):
            data = name.encode()
            pin = os.path.join(self.dir.name, name + ".sum")
            with open(pin, "w", encoding="ascii") as f:
                f.write(f"{hashlib.sha256(data).hexdigest()}  {name}\n")
            self.pins[pin] = (f"/debian/pool/main/{folder}/{name}", data)
        self.files = {path: data for path, data in self.pins.values()}
        handler = type("Handler", (Mirror,), {"files": self.files})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.url = f"http://127.0.0.1:{self.server.server_port}/debian"

    def stand_in(self, **programs):
        """These in PATH before the system's: each the body of a shell script."""
        for name, body in programs.items():
            path = os.path.join(self.dir.name, name.replace("_", "-"))
            with open(path, "w", encoding="utf-8") as f:
                f.write(f"#!/bin/sh\n{body}\n")
            os.chmod(path, 0o755)
        return {"PATH": f"{self.dir.name}:/usr/sbin:/usr/bin:/sbin:/bin"}

    def system(self, text):
        path = os.path.join(self.dir.name, "os-release")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return {"DAYTONA_RUNNER_OS_RELEASE": path}

    def fetched(self, **env):
        done = fetch(self.dest, *self.pins, **env)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sorted(os.listdir(self.dest)), ["jsmn_1.orig.tar.gz", "libthing_1.2.orig.tar.gz"])

    def test_a_mirror_that_was_named(self):
        self.fetched(DAYTONA_RUNNER_MIRROR=self.url + "/")
        self.files.clear()
        self.fetched(DAYTONA_RUNNER_MIRROR=self.url)  # from the cache

    def test_what_apt_knows(self):
        """Debian 12 and 13 alike, whatever suites they have; security's archive has another shape."""
        for suite in ("bookworm", "trixie"):
            said = f"echo 'Debian {self.url}/'; echo 'Other http://127.0.0.1:1/x'; echo 'Debian http://127.0.0.1:1/debian-security/'"
            with self.subTest(suite):
                self.fetched(**self.stand_in(apt_get=said), **self.system(f"ID=debian\nVERSION_CODENAME={suite}\n"))
                for name in os.listdir(self.dest):
                    os.unlink(os.path.join(self.dest, name))

    def test_a_damaged_one_is_not_taken(self):
        path = self.pins[next(iter(self.pins))][0]
        good, self.files[path] = self.files[path], b"another"
        done = fetch(self.dest, *self.pins, DAYTONA_RUNNER_MIRROR=self.url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("wrong SHA-256", done.stderr)
        self.assertIn(f"{hashlib.sha256(good).hexdigest()}  libthing_1.2.orig.tar.gz", done.stderr)
        self.assertEqual(os.listdir(self.dest), ["jsmn_1.orig.tar.gz"])
        # The next mirror has it.
        self.files["/next" + path] = good
        self.fetched(**self.stand_in(apt_get=f"echo 'Debian {self.url}'; echo 'Debian {self.url.replace('/debian', '/next/debian')}'"))

    def test_no_mirror(self):
        """Another distribution, and a Debian whose mirror has moved on: what is wanted, and both ways to give it."""
        for system, env, said in (
                ('ID=ubuntu\nPRETTY_NAME="Ubuntu 24.04"', self.stand_in(apt_get="echo 'Ubuntu http://127.0.0.1:1/u'"), "Ubuntu 24.04 has other versions"),
                ('ID=fedora\nPRETTY_NAME="Fedora 42"', self.stand_in(apt_get="exit 1"), "Fedora 42 has other versions"),
                ("ID=debian", {"DAYTONA_RUNNER_MIRROR": self.url.replace("//", "//user:secret@") + "/none"}, "no mirror has all of the archives")):
            with self.subTest(said):
                done = fetch(self.dest, *self.pins, **self.system(system), **env)
                self.assertEqual(done.returncode, 1)
                self.assertIn(said, done.stderr)
                for pin in self.pins:
                    with open(pin, encoding="ascii") as f:
                        self.assertIn(f.read().strip(), done.stderr)
                self.assertIn("DAYTONA_RUNNER_MIRROR=http://HOST/debian", done.stderr)
                self.assertIn("-DDR_SOURCES_DIR=FOLDER", done.stderr)
                self.assertNotIn("secret@", done.stderr.split("(asked:")[-1])


class Roots(unittest.TestCase):
    def test_a_bundle_is_as_good_as_a_folder(self):
        folder = "/usr/share/ca-certificates/mozilla"
        names = sorted(n for n in os.listdir(folder) if n.endswith(".crt")) if os.path.isdir(folder) else []
        if len(names) < 3:
            self.skipTest("no " + folder)
        with tempfile.TemporaryDirectory() as tmp:
            bundle = os.path.join(tmp, "bundle.pem")
            with open(bundle, "w", encoding="utf-8") as f:
                for name in names:
                    with open(os.path.join(folder, name), encoding="utf-8") as pem:
                        f.write(f"# {name}, « ó »\n{pem.read()}\n")
            made = []
            for source in (folder, bundle):
                out = os.path.join(tmp, "out.c")
                subprocess.run([os.path.join(ROOT, "cmake", "gen-ca-roots"), source, out], check=True, timeout=600)
                with open(out, encoding="ascii") as f:
                    made.append(f.read())
            self.assertEqual(*made)
            with open(bundle, "w", encoding="utf-8") as f:
                f.write("# nothing\n")
            done = subprocess.run([os.path.join(ROOT, "cmake", "gen-ca-roots"), bundle, out], check=False, timeout=600,
                                  capture_output=True, text=True)
            self.assertIn("no certificate", done.stderr)
            self.assertEqual(done.returncode, 1)


if __name__ == "__main__":
    unittest.main()
