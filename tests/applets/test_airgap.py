# SPDX-License-Identifier: Apache-2.0
"""Air gap: in a network namespace that has loopback only, one copied file walks the whole life: Server,
registration, start, target, workspace of a git repository, log, stop, delete, purge."""
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
# Loopback is down in a new namespace; what follows runs with it up.
LO_UP = """
import fcntl, os, socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def namespace():
    """The command that enters a namespace without network, None if the kernel refuses."""
    for flags in (["-n"], ["-r", "-n"]):
        enter = ["unshare", *flags, sys.executable, "-c", LO_UP]
        if subprocess.run([*enter, "true"], capture_output=True).returncode == 0:
            return enter
    return None


class AirGapTest(common.Case):
    def test_one_file_walks_the_whole_life(self):
        copy = self.path("daytona-runner")
        shutil.copy(common.BIN, copy)
        env = common.clean_env(self.tmp, DAYTONA_RUNNER_BIN=copy, TMPDIR=self.tmp)
        no_route = common.run([*namespace(), sys.executable, "-c",
                               "import socket; socket.create_connection(('192.0.2.1', 9), 2)"], env=env)
        self.assertIn("unreachable", no_route.stderr)
        result = common.run([*namespace(), os.path.join(ROOT, "scripts", "quickstart")], env=env, timeout=150 * common.PATIENCE)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("quickstart: done", result.stdout.splitlines()[-1])


if __name__ == "__main__":
    if common.BIN and os.access(common.BIN, os.X_OK) and not namespace():
        common.skip_all("the kernel allows no network namespace here")
    common.main()
