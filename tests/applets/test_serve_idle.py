# SPDX-License-Identifier: Apache-2.0
# Static: a sanitizer makes system calls of its own
"""What an idle runner costs: bytes, and system calls counted by strace, for each heartbeat, so that no clock is judged."""
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main, wait_for  # noqa: E402
from servecase import BEAT, ServeCase  # noqa: E402

BEATS = 8
BYTES = 2970  # with heads, answers, a poll and TLS six a minute stay below 20 KB
CALLS = 6  # two more with TLS: twelve heartbeats a minute leave it below a hundred


class IdleTest(ServeCase):
    def test_bytes_of_a_heartbeat(self):
        """It names all providers with all their options, since the Server keeps what the last one said."""
        self.runner(self.srv, **{'provider "docker-provider"__enabled': "true"}).start()
        beat = self.srv.seen("POST", BEAT)[-1]
        self.assertEqual(len(beat.json()["providers"]), 2)
        self.assertLessEqual(len(beat.body), BYTES)

    def test_system_calls_of_a_heartbeat(self):
        if not shutil.which("strace"):
            self.skipTest("no strace")
        self.srv.poll_seconds = 60
        # With large manifests; a check of a provider now and then is not what is counted.
        runner = self.runner(self.srv, **{'provider "docker-provider"__enabled': "true"}).start()
        self.srv.wait(lambda: len(self.srv.heartbeats) > 4 and self.srv.polls > 0, 30 * PATIENCE, "it is idle")
        trace = self.path("trace")
        tracer = subprocess.Popen(["strace", "-o", trace, "-p", str(runner.pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.addCleanup(tracer.wait)
        self.addCleanup(tracer.kill)

        def beats():
            if tracer.poll() is not None:
                self.skipTest("it cannot be traced here: " + tracer.stderr.read().decode(errors="replace")[:200])
            try:
                with open(trace, encoding="utf-8", errors="replace") as file:
                    return file.read().count("sendto(")
            except FileNotFoundError:
                return 0

        wait_for(lambda: beats() > BEATS, 40 * PATIENCE, "heartbeats")
        with open(trace, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
        sent = [i for i, line in enumerate(lines) if line.startswith("sendto(")]
        calls = statistics.median(b - a for a, b in zip(sent, sent[1:]))
        tracer.kill()
        tracer.wait()
        tracer.stderr.close()
        self.assertLessEqual(calls, CALLS, "\n".join(lines[sent[0]:sent[2]]))


if __name__ == "__main__":
    main()
