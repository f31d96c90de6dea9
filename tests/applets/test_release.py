#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Static: release executables are packaged, sanitized ones are not.
"""scripts/release: the folder for a web server; the same bytes twice, whole, signed, and what an installer makes of it."""
import functools
import hashlib
import http.server
import json
import os
import shutil
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common  # noqa: E402

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
ARCH = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7", "riscv64": "riscv64"}.get(os.uname().machine)
IMAGE_ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7": "arm", "riscv64": "riscv64"}.get(ARCH)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


class Release(common.Case):
    def setUp(self):
        super().setUp()
        for tool in ("dpkg-deb", "openssl"):
            if not shutil.which(tool):
                self.skipTest("no " + tool)
        self.key, self.public = self.path("key.pem"), self.path("public.pem")
        common.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True)
        common.run(["openssl", "rsa", "-in", self.key, "-pubout", "-out", self.public], check=True)
        self.program, self.foreign = self.path("program"), self.path("foreign")
        shutil.copy(common.BIN, self.program)
        with open(self.program, "rb") as file:
            text = bytearray(file.read())
        text[18:20] = bytes([243, 0])
        with open(self.foreign, "wb") as file:
            file.write(text)

    def release(self, out, *args):
        env = dict(os.environ, SOURCE_DATE_EPOCH="1700000000")
        return common.run([TOP + "/scripts/release", "-o", self.path(out), *args], env=env, timeout=60 * common.PATIENCE)

    def made(self, out):
        found = {}
        for folder, _, files in os.walk(self.path(out)):
            for name in files:
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, self.path(out))] = file.read()
        return found

    def test_a_folder_for_a_web_server(self):
        for out in ("first", "second"):
            result = self.release(out, "-k", self.key, "-b", self.foreign, self.program)
            self.assertEqual(result.returncode, 0, result.stderr)
        made = self.made("first")
        self.assertEqual(made, self.made("second"))
        version = made["VERSION"].decode().strip()
        page = os.path.join(self.path("first"), version)
        common.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=page, check=True)
        summed = {line.split()[1] for line in made[version + "/SHA256SUMS"].decode().splitlines()}
        self.assertEqual(summed | {"SHA256SUMS"}, {n for n in os.listdir(page) if not n.endswith(".sig")})
        for name in summed | {"SHA256SUMS"}:
            common.run(["openssl", "dgst", "-sha256", "-verify", self.public, "-signature", os.path.join(page, name + ".sig"),
                        os.path.join(page, name)], check=True)
            self.assertIn(f'href="{version}/{name}"'.encode(), made["index.html"])
        for kind in (ARCH, "riscv64"):
            self.assertIn(f"daytona-runner-{version}-image-{kind}.tar", summed)
        self.assertIn(f"# daytona-runner {version}\n", made[version + "/RELEASE.md"].decode())
        self.assertIn("First release.", made[version + "/RELEASE.md"].decode())
        self.list_of_parts(made, version)
        self.install(version)
        self.image(os.path.join(page, f"daytona-runner-{version}-image-{ARCH}.tar"), version)

    def list_of_parts(self, made, version):
        parts = json.loads(made[version + "/sbom.spdx.json"])
        self.assertEqual(parts["spdxVersion"], "SPDX-2.3")
        names = {p["name"]: p for p in parts["packages"]}
        third_party = os.path.join(TOP, "third_party")
        wanted = {n for n in os.listdir(third_party) if os.path.isdir(os.path.join(third_party, n))}
        self.assertEqual(set(names), wanted | {"daytona-runner", "ca-certificates"})
        for p in parts["packages"]:
            self.assertNotEqual(p["licenseDeclared"], "NOASSERTION", p["name"])
        ids = {x["SPDXID"] for x in parts["packages"] + parts["files"]} | {"SPDXRef-DOCUMENT"}
        self.assertEqual(len(ids), len(parts["packages"] + parts["files"]) + 1)
        for relation in parts["relationships"]:
            self.assertLessEqual({relation["spdxElementId"], relation["relatedSpdxElement"]}, ids)
        for file in parts["files"]:
            sums = {c["algorithm"]: c["checksumValue"] for c in file["checksums"]}
            self.assertEqual(sums["SHA256"], hashlib.sha256(made[f"{version}/{file['fileName'][2:]}"]).hexdigest())

    def install(self, version):
        """From a plain web server, the current version and that one by its number; a changed file is refused."""
        root = self.path("first")
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        url = f"http://127.0.0.1:{server.server_port}"

        def run(target, *args):
            os.makedirs(self.path(target))
            return common.run(["sh", root + "/install.sh", "--base-url", url, "--bin-dir", self.path(target), "--public-key", self.public,
                               *args], env=common.clean_env(self.tmp))
        for target, args in (("current", ()), ("numbered", ("--version", version))):
            result = run(target, *args)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(common.run([self.path(target) + "/daytona-runner", "--version"], check=True).stdout)
        with open(f"{root}/daytona-runner-linux-{ARCH}", "ab") as file:
            file.write(b"x")
        self.assertIn("wrong SHA-256", run("changed").stderr)
        self.assertEqual(os.listdir(self.path("changed")), [])

    def image(self, archive, version):
        env = common.clean_env(self.tmp, DAYTONA_RUNNER_CONFIG_DIR=self.path("c"), DAYTONA_RUNNER_RUNNER_STATE_DIR=self.path("state"))
        common.run([common.BIN, "image", "load", archive], env=env, check=True)
        listed = common.run([common.BIN, "image", "list"], env=env, check=True).stdout
        self.assertRegex(listed, rf"daytona-runner\s*:?\s*{version}")
        if shutil.which("docker") and common.run(["docker", "version"]).returncode == 0:
            name = f"daytona-runner:{version}"
            had = common.run(["docker", "image", "inspect", name]).returncode == 0
            result = common.run(["docker", "load", "-i", archive])
            self.assertEqual(result.returncode, 0, result.stderr)
            result = common.run(["docker", "run", "--rm", "--network", "none", name, "--version"])
            if not had:
                common.run(["docker", "rmi", name])
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_refusals(self):
        for args, text in ((["-b"], "needs the executables"), (["-k", "/nonexistent", "-b", self.program], "cannot be read"),
                           (["-u", "ftp://x", "-b", self.program], "no http or https"),
                           (["-u", "http://x/$(id)", "-b", self.program], "characters"), (["-b", "/nonexistent"], "")):
            result = self.release("refused", *args)
            self.assertNotEqual(result.returncode, 0, args)
            self.assertIn(text, result.stderr)

    def test_an_address_of_its_own(self):
        url = "https://files.example/daytona-runner"
        self.assertEqual(self.release("own", "-u", url, "-b", self.program).returncode, 0)
        made = self.made("own")
        self.assertIn(f"served_from='{url}'".encode(), made["install.sh"])
        self.assertFalse([n for n in made if n.endswith(".sig")])


if __name__ == "__main__":
    common.main()
