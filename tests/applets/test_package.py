# SPDX-License-Identifier: Apache-2.0
# Static: release executables are packaged, sanitized ones are not.
"""scripts/package: the same bytes twice, the names that install.sh wants, a Debian package that says what it is."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common  # noqa: E402

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "scripts")
ARCH = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7", "riscv64": "riscv64"}.get(os.uname().machine)


class Package(common.Case):
    def package(self, name, *args):
        env = dict(os.environ, SOURCE_DATE_EPOCH="1700000000", TMPDIR=self.path(name + ".tmp"))
        os.mkdir(env["TMPDIR"])
        common.run([SCRIPTS + "/package", "-o", self.path(name), *args], env=env, check=True,
                   timeout=60 * common.PATIENCE)
        self.assertEqual(os.listdir(env["TMPDIR"]), [])
        made = {}
        for file in os.listdir(self.path(name)):
            with open(os.path.join(self.path(name), file), "rb") as content:
                made[file] = content.read()
        return made

    def setUp(self):
        super().setUp()
        for tool in ("dpkg-deb", "openssl"):
            if not shutil.which(tool):
                self.skipTest("no " + tool)
        self.program = self.path("program")
        shutil.copy(common.BIN, self.program)

    def test_reproducible_and_installable(self):
        foreign = self.path("foreign")
        with open(self.program, "rb") as file:
            text = bytearray(file.read())
        text[18:20] = bytes([243, 0])
        with open(foreign, "wb") as file:
            file.write(text)
        key, public = self.path("key.pem"), self.path("public.pem")
        common.run(["openssl", "genrsa", "-out", key, "2048"], check=True)
        common.run(["openssl", "rsa", "-in", key, "-pubout", "-out", public], check=True)
        first = self.package("first", "-k", key, foreign, self.program)
        self.assertEqual(first, self.package("second", "-k", key, foreign, self.program))
        names = {name.split()[1] for name in first["SHA256SUMS"].decode().splitlines()}
        self.assertEqual({n for n in first if not n.endswith(".sig")} - {"SHA256SUMS"}, names)
        for wanted in (f"daytona-runner-linux-{ARCH}", "daytona-runner-linux-riscv64"):
            self.assertIn(wanted, names)
        common.run(["sha256sum", "-c", "SHA256SUMS"], cwd=self.path("first"), check=True)
        for name in (f"daytona-runner-linux-{ARCH}", next(n for n in names if n.endswith(f"-{ARCH}.tar.gz"))):
            target = self.path("bin-" + name)
            os.mkdir(target)
            common.run(["sh", os.path.join(SCRIPTS, "..", "share", "install.sh"), "--bin-dir", target, "--public-key", public, "--offline",
                        os.path.join(self.path("first"), name)], check=True, env=common.clean_env(self.tmp))
            self.assertTrue(common.run([target + "/daytona-runner", "--version"], check=True).stdout)

    def test_debian_package(self):
        made = self.package("out", self.program)
        deb = next(os.path.join(self.path("out"), n) for n in made if n.endswith(".deb"))
        self.assertEqual(common.run(["dpkg-deb", "-f", deb, "Package"], check=True).stdout, "daytona-runner\n")
        common.run(["dpkg-deb", "-R", deb, self.path("root")], check=True)
        subprocess.run(["md5sum", "-c", "--quiet", "DEBIAN/md5sums"], cwd=self.path("root"), check=True)
        for line in common.run(["dpkg-deb", "-c", deb], check=True).stdout.splitlines():
            self.assertIn("root/root", line)
        for file in ("bin/daytona-runner", "share/man/man1/daytona-runner.1.gz", "share/doc/daytona-runner/copyright",
                     "share/zsh/vendor-completions/_daytona-runner"):
            self.assertGreater(os.path.getsize(os.path.join(self.path("root"), "usr", file)), 100)
        # What is to run at a removal, with a program that says how it was called; an upgrade stops nothing.
        called, folder = self.path("called"), self.path("stand-in")
        os.mkdir(folder)
        with open(os.path.join(folder, "daytona-runner"), "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho \"$*\" >>'{called}'\nexit 1\n")
        os.chmod(file.name, 0o755)
        script = os.path.join(self.path("root"), "DEBIAN", "prerm")
        for why, calls in (("upgrade", ""), ("remove", "service uninstall\nstop\n")):
            common.run([script, why, "2.0"], env={"PATH": folder + ":" + os.environ["PATH"]}, check=True)
            with open(called, "a+", encoding="ascii") as file:
                file.seek(0)
                self.assertEqual(file.read(), calls, why)


if __name__ == "__main__":
    common.main()
