# SPDX-License-Identifier: Apache-2.0
"""The HTTP and WebSocket clients driven alone: tests/tools/httpget against a peer of the test."""
import json
import os
import subprocess

import common
from httppeer import Peer

TOOL = os.path.join(os.environ.get("DR_TOOLS_DIR", ""), "httpget")

# As in base/err.h.
(NONE, SYS, USAGE, CONFIG, PARSE, LIMIT, TIMEOUT, RESOLVE, CONNECT, TLS, CLOSED, HTTP, NOT_FOUND, EXISTS,
 BUSY, UNSUPPORTED) = range(16)


def main():
    if not os.access(TOOL, os.X_OK):
        common.skip_all("DR_TOOLS_DIR has no httpget")
    common.run_tests()


class NetCase(common.Case):
    def peer(self, **kwargs):
        peer = Peer(**kwargs).start()
        self.addCleanup(peer.stop)
        self.addCleanup(self.all_used, peer)
        return peer

    def get(self, url, *targets, options=(), env=None, timeout=60 * common.PATIENCE, prefix=(), fails=None):
        """One dict a target (or a message). fails: a kind expected of the last one."""
        done = common.run([*prefix, TOOL, *options, url, *(targets or ("/",))], timeout=timeout,
                          env=env or common.clean_env(self.tmp))
        self.assertIsNone(common.SANITIZER.search(done.stderr), done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertTrue(lines, done.stderr)
        if fails is not None:
            self.assertIn("error", lines[-1])
            self.assertEqual(lines[-1]["kind"], fails, lines[-1])
        return lines

    def one(self, url, target="/", **kwargs):
        return self.get(url, target, **kwargs)[-1]

    def step_by_step(self, url, *targets, options=()):
        """The tool waiting on stdin between targets: use next() for each."""
        return Steps(self, [TOOL, "-w", *options, url, *targets])


class Steps:
    def __init__(self, case, args):
        self.process = subprocess.Popen(args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=common.clean_env(case.tmp))
        case.addCleanup(self._end)
        self.begun = False

    def next(self):
        if self.begun:
            self.process.stdin.write("\n")
            self.process.stdin.flush()
        self.begun = True
        return json.loads(self.process.stdout.readline())

    def _end(self):
        self.process.kill()
        self.process.wait(10)
        self.process.stdin.close()
        self.process.stdout.close()
