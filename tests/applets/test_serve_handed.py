# SPDX-License-Identifier: Apache-2.0
"""What the supervisor knows of the Server is handed down to jobs: its configuration is asked once, with an age limit."""
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from httppeer import error, hang, raw, reply  # noqa: E402
from servecase import ServeCase  # noqa: E402

CONFIG = "/server/config"
AGE = 60    # SERVCONF_AGE_MS
DEFAULT = "workspace:1"     # image of the scripted Server's configuration


class HandedTest(ServeCase):
    def start(self, **settings):
        # Heartbeats have the same connection, and one under way lets the job ask for itself.
        return self.runner(self.srv, server__heartbeat_s=25, **settings).start()

    def asks(self):
        return len(self.srv.seen("GET", CONFIG))

    def add(self, image=DEFAULT, url=None, action="create"):
        return self.srv.add_job("workspace", action, self.srv.add_workspace(url or self.repo_url, image=image))

    def create(self, expect="success", **workspace):
        state, text = self.srv.wait_final(self.add(**workspace), 60 * PATIENCE)
        self.assertEqual(state, expect, text + self.runners[-1].log()[-2000:])

    def test_ten_jobs_ask_once(self):
        began = time.monotonic()
        self.start()
        self.assertEqual(self.asks(), 0, "nobody needs it yet")
        for _ in range(10):
            self.create()
        self.assertLessEqual(self.asks(), 1 + (time.monotonic() - began) // AGE)
        self.assertGreater(self.asks(), 0)

    def test_ten_at_once_ask_once(self):
        began = time.monotonic()
        self.start()
        with self.srv.lock:     # one list has them all
            jobs = [self.add() for _ in range(10)]
        for job in jobs:
            self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE)[0], "success")
        self.assertLessEqual(self.asks(), 1 + (time.monotonic() - began) // AGE)

    def test_jobs_that_do_not_look_at_it_do_not_ask(self):
        self.start()
        for kind, action, resource in (("target", "create", self.srv.add_target()),
                                       ("workspace", "stop", self.srv.add_workspace(self.repo_url)),
                                       ("workspace", "delete", self.srv.add_workspace(self.repo_url))):
            self.srv.wait_final(self.srv.add_job(kind, action, resource), 60 * PATIENCE)
        self.assertEqual(self.asks(), 0)

    def test_a_job_that_fails_makes_it_doubtful(self):
        self.start()
        self.create()
        before = self.asks()
        self.create("error", url=self.git.url + "/nosuch.git")
        self.create()
        self.assertGreater(self.asks(), before)

    def test_another_configuration_of_ours_makes_it_doubtful(self):
        runner = self.start()
        self.create()
        before = self.asks()
        runner.signal(signal.SIGHUP)
        runner.wait_log("reading the configuration again")
        self.create()
        self.assertGreater(self.asks(), before)

    def test_an_image_that_is_not_the_default_may_be_it_by_now(self):
        """The native provider compares; for it an old answer is none."""
        self.start()
        self.create()
        before = self.asks()
        self.create(image="other:1")
        self.assertEqual(self.asks(), before + 1)

    def test_what_cannot_be_had_is_asked_by_the_job(self):
        """Refused, broken, silent: the job's own question follows, and the runner works on."""
        for step in (error(503, "away"), reply(200, "[]"), reply(200, "{"), reply(200, '{"id": "a", "id": "b"}'),
                     raw(b"", then="close"), hang()):
            with self.subTest(step=step):
                self.srv.on("GET", CONFIG, step)
                before = self.asks()
                runner = self.start()
                self.create()
                self.assertEqual(self.asks(), before + 2)
                self.assertEqual(runner.stop(), 0)
        self.assertEqual(self.srv.job_faults(), [])

    def test_silence_holds_up_no_heartbeat(self):
        rule = self.srv.on("GET", CONFIG, hang(), forever=True)
        self.runner(self.srv, server__heartbeat_s=1).start()
        self.srv.wait_final(self.srv.add_job("target", "create", self.srv.add_target()), 60 * PATIENCE)
        job = self.add()
        self.srv.wait(lambda: self.asks() >= 2, 60 * PATIENCE, "the job asks itself")
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + 3, 60 * PATIENCE)
        self.assertEqual(self.srv.jobs[job]["state"], "running")
        self.srv.drop(rule)


if __name__ == "__main__":
    main()
