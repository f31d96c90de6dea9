# SPDX-License-Identifier: Apache-2.0
"""Daytona's own agent from the Server: fetched once, whole, checked, and again only when it is damaged."""
import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
from httppeer import close, error, reply  # noqa: E402

FETCH = os.path.join(os.environ.get("DR_TOOLS_DIR", ""), "fetch_agent")
MACHINES = {"amd64": (2, 62), "arm64": (2, 183), "arm": (1, 40), "riscv64": (2, 243)}


def binary(arch, size=200_000):
    bits, machine = MACHINES[arch]
    head = b"\x7fELF" + bytes([bits, 1, 1]) + b"\0" * 9 + b"\x02\0" + machine.to_bytes(2, "little")
    return head + os.urandom(size - len(head))


class Fetch(common.Case):
    def setUp(self):
        super().setUp()
        self.fake = self.server()
        self.state = self.path("state")
        os.makedirs(self.state)

    def command(self, version="v0.53.0", arch="amd64", url=None):
        return [FETCH, url or self.fake.url, self.fake.key, self.state, version, arch]

    def fetch(self, status=0, **kwargs):
        result = common.run(self.command(**kwargs))
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout.strip()

    def serve(self, *steps, name="daytona-linux-amd64", forever=False):
        return self.fake.on("GET", f"/binary/v0.53.0/{name}", *steps, forever=forever)

    def left(self):
        return sorted(os.listdir(os.path.join(self.state, "agents", "v0.53.0")))

    def test_once_and_from_the_cache(self):
        data = binary("amd64")
        self.serve(reply(200, data, "application/octet-stream"))
        path = self.fetch()
        with open(path, "rb") as file:
            self.assertEqual(file.read(), data)
        self.assertTrue(os.access(path, os.X_OK))
        with open(path + ".sha256", encoding="utf-8") as file:
            self.assertEqual(file.read().strip(), hashlib.sha256(data).hexdigest())
        self.assertEqual(self.fetch(), path)
        self.assertEqual(self.fetch(url="-"), path)
        self.assertEqual(len(self.fake.seen("GET", "/binary/.*")), 1)
        self.assertEqual(self.left(), ["daytona-linux-amd64", "daytona-linux-amd64.sha256", "lock"])

    def test_one_that_is_not_allowed(self):
        """Neither a download nor what the cache has from before."""
        data, other = binary("amd64"), binary("amd64")
        self.serve(reply(200, data, "application/octet-stream"), forever=True)
        for allowed, status in ((hashlib.sha256(other).hexdigest(), 1), ("", 0), (hashlib.sha256(other).hexdigest(), 1),
                                (hashlib.sha256(data).hexdigest()[:-1] + "?x", 1),
                                ("0" * 64 + ", " + hashlib.sha256(data).hexdigest(), 0)):
            made = common.run(self.command(), env=dict(os.environ, FETCH_ALLOW=allowed))
            self.assertEqual(made.returncode, status, made.stdout + made.stderr)
            if status:
                self.assertIn(hashlib.sha256(data).hexdigest() + " is not allowed on this runner ([runner] agent_sha256)",
                              made.stdout + made.stderr)
                self.assertNotIn("daytona-linux-amd64.part", self.left())

    def test_every_architecture(self):
        for arch in MACHINES:
            self.serve(reply(200, binary(arch), "application/octet-stream"),
                       name=f"daytona-linux-{arch}")
            self.assertTrue(self.fetch(arch=arch).endswith("daytona-linux-" + arch))

    def test_a_damaged_cache_is_fetched_again(self):
        for damage in ("flip", "cut", "no hash", "bad hash"):
            with self.subTest(damage=damage):
                data = binary("amd64")
                self.serve(reply(200, data, "application/octet-stream"), forever=True)
                path = self.fetch()
                if damage == "flip":
                    with open(path, "r+b") as file:
                        file.seek(1000)
                        file.write(b"damaged")
                elif damage == "cut":
                    os.truncate(path, 5000)
                elif damage == "no hash":
                    os.unlink(path + ".sha256")
                else:
                    with open(path + ".sha256", "w", encoding="utf-8") as file:
                        file.write("0" * 64)
                self.assertEqual(self.fetch(), path)
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), data)

    def test_what_is_no_agent_is_refused_and_not_kept(self):
        tries = [reply(200, b"<html>not found</html>" * 1000, "text/html"),
                 reply(200, b"", "application/octet-stream"), reply(200, b"\x7fELF"),
                 reply(200, binary("arm64"), "application/octet-stream"),
                 error(404, "no"), error(500, "failed"), close()]
        for step in tries:
            self.serve(step)
            text = self.fetch(status=1)
            self.assertIn("get Daytona's agent v0.53.0 for linux-amd64", text)
            self.assertEqual(self.left(), ["lock"])
        self.serve(reply(200, binary("amd64"), "application/octet-stream"))
        self.fetch()

    def test_no_status_but_success_gives_an_agent(self):
        """Each from 300 to 511, in turn empty, a page, somebody's words, and with a good program behind it."""
        bodies = ((b"", "text/plain"), (b"<html>sign in</html>", "text/html"), ({"error": "upstream failed"}, None),
                  (binary("amd64", 5000), "application/octet-stream"))
        for status in [*range(300, 309), *range(400, 512)]:
            body, kind = bodies[status % 4]
            self.serve(reply(status, body, kind) if kind else reply(status, body))
            text = self.fetch(status=1)
            self.assertIn("get Daytona's agent v0.53.0 for linux-amd64", text)
            self.assertEqual(self.left(), ["lock"], status)
        self.serve(reply(200, binary("amd64"), "application/octet-stream"))
        self.fetch()

    def test_versions_and_architectures_are_checked(self):
        for version in ("../x", "", "..", "a/b", "v1\n"):
            self.assertIn("not usable", self.fetch(status=1, version=version))
        self.assertIn("no Daytona agent", self.fetch(status=1, arch="mips"))
        self.assertEqual(os.listdir(self.state), [])
        self.assertIn("not in the cache", self.fetch(status=1, url="-"))

    def test_many_at_once_fetch_once(self):
        data = binary("amd64", 3_000_000)
        self.serve(reply(200, data, "application/octet-stream", delay=0.3), forever=True)
        running = [subprocess.Popen(self.command(), stdout=subprocess.PIPE, text=True)
                   for _ in range(5)]
        paths = {process.communicate(timeout=60 * common.PATIENCE)[0] for process in running}
        self.assertEqual({process.returncode for process in running}, {0})
        self.assertEqual(len(paths), 1)
        self.assertEqual(len(self.fake.seen("GET", "/binary/.*")), 1)


if __name__ == "__main__":
    if not os.access(FETCH, os.X_OK):
        common.skip_all("DR_TOOLS_DIR has no fetch_agent")
    common.main()
