# SPDX-License-Identifier: Apache-2.0
"""Many runners and one Server that was away: they must not come back in step."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import Case, PATIENCE, main  # noqa: E402

RUNNERS = 50
AWAY = 45


class HerdTest(Case):
    def test_no_second_sees_a_third(self):
        server = self.server()
        runners = [self.runner(server, name=f"runner{i}", runner__id=f"{i:012x}a"[-12:], server__heartbeat_s=5)
                   for i in range(RUNNERS)]
        for runner in runners:
            runner.start(wait=False)
        server.wait(lambda: len({r.path for r in server.seen("POST", "/runner/.*/metadata")}) == RUNNERS,
                    60 * PATIENCE, "all runners are there")
        server.stop()
        start = time.monotonic()
        server.wait(lambda: time.monotonic() - start >= AWAY, AWAY + 5, "away")
        with server.lock:
            server.requests.clear()
        server.start()
        back = time.monotonic()
        server.wait(lambda: len({r.path for r in server.seen("POST", "/runner/.*/metadata")}) == RUNNERS,
                    60 * PATIENCE, "all runners are back")
        # The first request of each runner after the outage, by second.
        first = {}
        for request in server.seen("*", "/runner/.*"):
            first.setdefault(request.path.split("/")[2], request.at - back)
        buckets = [0] * 300
        for at in first.values():
            buckets[int(at)] += 1
        self.assertEqual(len(first), RUNNERS)
        # About 7 of 50 are to be expected in the first seconds; chance alone brings more than a fifth now and then.
        self.assertLessEqual(max(buckets), RUNNERS * 0.32, buckets)
        for runner in runners:
            self.assertIsNone(runner.process.poll())


if __name__ == "__main__":
    main()
