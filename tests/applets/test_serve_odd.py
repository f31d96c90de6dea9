# SPDX-License-Identifier: Apache-2.0
"""serve against a Server, or something before it, that keeps to the letter of the protocol and yet is
odd: lists that never change, claims refused for good, log sockets that answer anything, jobs in
unusual spelling."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import main  # noqa: E402
from httppeer import TEXT_TYPE, error, reply  # noqa: E402
from servecase import FaultCase  # noqa: E402


class LogSocketTest(FaultCase):
    def test_answers_that_are_no_socket(self):
        """Redirects, errors with large bodies, closed and hanging connections: the jobs do not notice."""
        runner = self.runner(self.srv).start()
        big = error(500, "x" * 70000)
        self.srv.on("GET", "/log/.*", *[reply(status, headers=[("Location", "/log/workspace/other/write")])
                                        for status in (301, 302, 307, 308)], big, big, reply(200, "ok", TEXT_TYPE),
                    reply(401, {"error": "unauthorized"}), big, reply(204), reply(101))
        for _ in range(5):
            self.quick_job()
        self.assertEqual(len(self.srv.seen("GET", "/log/workspace/other/write")), 0)
        self.assertIsNone(runner.process.poll())
        self.assertEqual(runner.stop(), 0)


if __name__ == "__main__":
    main()
