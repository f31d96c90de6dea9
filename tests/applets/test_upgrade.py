# SPDX-License-Identifier: Apache-2.0
"""upgrade: another version in the place of this one by the installer inside, checked before, and the way back."""
import hashlib
import os
import shutil
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, Case, clean_env, main, run  # noqa: E402
from httppeer import Peer, reply  # noqa: E402

ARCH = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7", "riscv64": "riscv64"}.get(os.uname().machine)


class UpgradeTest(Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("bin"))
        self.program = self.path("bin", "daytona-runner")
        shutil.copy2(BIN, self.program)
        self.ours = self.content(self.program)
        self.new = self.path("new version")
        with open(self.new, "wb") as file:
            file.write(b"#!/bin/sh\n[ \"$1\" = --version ] && echo 'daytona-runner 9.9.9 (test)'\n")
        os.chmod(self.new, 0o755)

    def content(self, path):
        with open(path, "rb") as file:
            return file.read()

    def upgrade(self, *args, rc=0, program=None):
        made = run([program or self.program, "upgrade", *args], env=clean_env(self.tmp, PATH=os.environ["PATH"]))
        self.assertEqual(made.returncode, rc, made.stdout + made.stderr)
        return made.stdout + made.stderr

    def test_there_and_back(self):
        digest = hashlib.sha256(self.content(self.new)).hexdigest()
        self.upgrade(self.new, "--sha256", digest)
        self.assertEqual(self.content(self.program), self.content(self.new))
        self.assertEqual(self.content(self.program + ".old"), self.ours)
        self.assertTrue(os.stat(self.program).st_mode & stat.S_IXUSR)

    def test_under_another_name(self):
        shutil.copy2(BIN, self.path("bin", "kept"))
        self.assertIn("not a file daytona-runner", self.upgrade("--rollback", rc=1, program=self.path("bin", "kept")))

    def test_rollback(self):
        self.assertIn("no version before", self.upgrade("--rollback", rc=1))
        shutil.copy2(self.new, self.program + ".old")
        self.upgrade("--rollback")
        self.assertEqual(self.content(self.program), self.content(self.new))
        self.assertEqual(self.content(self.program + ".old"), self.ours)

    def test_what_is_refused_changes_nothing(self):
        with open(self.path("text"), "w", encoding="utf-8") as file:
            file.write("no program\n")
        for args, rc in (((self.new, "--sha256", "0" * 64), 1), ((self.path("missing"),), 1), ((self.path("text"),), 1),
                         (("http://127.0.0.1:1/nothing",), 1), ((), 2), ((self.new, "--rollback"), 2), ((self.new, self.new), 2),
                         ((self.new, "--public-key", self.path("missing")), 1)):
            self.upgrade(*args, rc=rc)
            self.assertEqual(self.content(self.program), self.ours, args)
            self.assertEqual([name for name in os.listdir(self.path("bin")) if name != "daytona-runner"], [], args)

    def test_from_a_web_server(self):
        if not shutil.which("curl") and not shutil.which("wget"):
            self.skipTest("neither curl nor wget")
        peer = Peer()
        peer.start()
        self.addCleanup(peer.stop)
        content = self.content(self.new)
        name = f"daytona-runner-linux-{ARCH}"
        peer.on("GET", f"/v2/{name}", reply(200, content, "application/octet-stream"), forever=True)
        peer.on("GET", "/v2/SHA256SUMS", reply(200, f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode(), "text/plain"),
                forever=True)
        self.upgrade(peer.url + "/v2")
        self.assertEqual(self.content(self.program), content)


if __name__ == "__main__":
    main()
