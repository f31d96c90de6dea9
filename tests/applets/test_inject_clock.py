# SPDX-License-Identifier: Apache-2.0
"""The clock jumps, the machine sleeps: intervals go by the monotonic clock, a suspend makes the connections
anew. A preloaded library shifts what the process sees, so this needs the dynamic build."""
import os
import shutil
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, Case, children, cpu_seconds, main  # noqa: E402
from fakeengine import FakeEngine  # noqa: E402
from gitserver import GitServer, make_repo  # noqa: E402

SOURCE = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static const volatile long long *shift(void)
{
	static const volatile long long *at;
	if (!at) {
		const char *name = getenv("CLOCK_SHIFT");
		int fd = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
		void *p = fd >= 0 ? mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
		static const long long none[3];
		at = p == MAP_FAILED ? none : p;
		if (fd >= 0)
			close(fd);
	}
	return at;
}
int clock_gettime(clockid_t id, struct timespec *t)
{
	int rc = (int)syscall(SYS_clock_gettime, id, t);
	if (id == CLOCK_REALTIME)
		t->tv_sec += shift()[0];
	if (id == CLOCK_BOOTTIME)
		t->tv_sec += shift()[1] + shift()[2];
	if (id == CLOCK_MONOTONIC)
		t->tv_sec += shift()[2];
	return rc;
}
time_t time(time_t *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
"""
HOUR, DAY = 3600, 86400


class ClockTest(Case):
    def setUp(self):
        super().setUp()
        with open(BIN, "rb") as file:
            if b"/lib64/ld-linux" not in file.read(1 << 16):
                self.skipTest("a static executable takes no preloaded clock")
        library, source = self.path("shift.so"), self.path("shift.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(SOURCE)
        compiler = shutil.which("cc") or shutil.which("gcc")
        if not compiler or subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source],
                                          check=False).returncode:
            self.skipTest("no compiler for the false clock")
        self.shift(0, 0, create=True)
        self.library = library

    def shift(self, wall, boot, monotonic=0, create=False):
        """Seconds; what the monotonic clock shows is shown by the boot clock too."""
        shown = struct.pack("qqq", wall, boot, monotonic)
        with open(self.path("shift"), "wb" if create else "r+b") as file:
            file.write(shown.ljust(4096, b"\0") if create else shown)

    def start(self, server, **settings):
        runner = self.runner(server, **settings)
        env = runner.env(LD_PRELOAD=self.library, CLOCK_SHIFT=self.path("shift"))
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        return runner.start(env=env)

    def spacing(self, server, count=4):
        """Seconds between the next heartbeats."""
        start = len(server.heartbeats)
        beats = server.wait_heartbeat(start + count + 1, 30 * PATIENCE)[start:]
        return [after[0] - before[0] for before, after in zip(beats, beats[1:])], beats

    def test_wall_clock_jumps(self):
        server = self.server()
        runner = self.start(server)
        job = server.add_job("target", "create", server.add_target())
        self.assertEqual(server.wait_final(job, 40 * PATIENCE), ("success", ""))
        accepted, uptime = server.accepted, 0
        for wall in (HOUR, -2 * DAY, 0, 30 * 365 * DAY):
            self.shift(wall, 0)
            cpu = cpu_seconds(runner.pid)
            gaps, beats = self.spacing(server)
            spent, passed = cpu_seconds(runner.pid) - cpu, beats[-1][0] - beats[0][0]
            self.assertGreater(min(gaps), 0.5, f"{wall}: heartbeats in a hurry: {gaps}")
            self.assertLess(max(gaps), 1 + 2 * PATIENCE, f"{wall}: {gaps}")
            self.assertLess(spent, 0.2 + passed / 3, "it spins")
            for _, body in beats:
                self.assertGreaterEqual(body["uptime"], uptime)
                uptime = body["uptime"]
        self.assertEqual(server.accepted, accepted, "a jump of the wall clock is no reason to connect anew")
        self.shift(HOUR, 0)
        job = server.add_job("target", "create", server.add_target())
        self.assertEqual(server.wait_final(job, 40 * PATIENCE), ("success", ""))
        self.assertNotRegex(runner.log(), r"(?i)timed? ?out|did not end")
        self.assertEqual(runner.stop(), 0)

    def test_the_servers_configuration_ages(self):
        """A minute later it is asked again, and what it says then counts."""
        server = self.server()
        os.mkdir(self.path("git"))
        make_repo(self.path("git"))
        git = GitServer(self.path("git"))
        self.addCleanup(git.stop)
        runner = self.start(server, server__heartbeat_s=25)

        def create(image):
            job = server.add_job("workspace", "create", server.add_workspace(git.url + "/app.git", image=image))
            self.assertEqual(server.wait_final(job, 60 * PATIENCE), ("success", ""))
            return len(server.seen("GET", "/server/config"))
        asked = create("workspace:1")
        server.default_image = "other:1"
        # By the old answer somebody chose that image, and so the job asks itself.
        self.assertEqual(create("other:1"), asked + 1)
        beats = len(server.heartbeats)
        self.shift(0, 0, 61)
        runner.signal(signal.SIGUSR1)       # whatever wakes it up first
        server.wait_heartbeat(beats + 1, 30 * PATIENCE)
        self.assertEqual(create("other:1"), asked + 2)
        self.assertEqual(create("other:1"), asked + 2)
        self.assertEqual(runner.stop(), 0)

    def test_an_unusable_provider_is_tried_less_often(self):
        """Six times every 10 s, then every 60 s while no job is known; at once when a job waits for it; 300 s once it works."""
        server = self.server()
        engine = FakeEngine(self.path("engine.sock"))
        self.addCleanup(engine.stop)
        fault = engine.fault("GET /_ping", 500)
        docker = 'provider "docker-provider"__'
        runner = self.start(server, **{docker + "enabled": "true", docker + "sock_path": engine.path})
        now = 0

        def checks():
            return len(engine.calls("GET /_ping"))

        def looked():
            """It goes round: what was due by then is begun before the heartbeat after the next."""
            server.wait_heartbeat(len(server.heartbeats) + 2, 30 * PATIENCE)

        def pass_by(seconds):
            """So many later."""
            nonlocal now
            now += seconds
            self.shift(0, 0, now)
            looked()

        def is_over(count):
            server.wait(lambda: checks() >= count, 30 * PATIENCE, f"check {count}")
            # What it found is taken in when its process has ended.
            server.wait(lambda: not children(runner.pid), 30 * PATIENCE, "its process ends")
            looked()
            self.assertEqual(checks(), count)
        is_over(1)
        for count in range(2, 8):
            now += 11
            self.shift(0, 0, now)
            is_over(count)
        pass_by(30)
        self.assertEqual(checks(), 7, "after so many it is left alone for a minute")
        now += 31
        self.shift(0, 0, now)
        is_over(8)
        job = server.add_job("target", "create", server.add_target(provider="docker-provider"))
        server.wait(lambda: checks() > 8, 30 * PATIENCE, "a job waits for it")
        self.assertEqual(server.jobs[job]["state"], "pending")
        fault.times = 0
        pass_by(11)
        self.assertEqual(server.wait_final(job, 40 * PATIENCE), ("success", ""))
        self.assertEqual(runner.stop(), 0)

    def test_suspend(self):
        server = self.server()
        runner = self.start(server)
        job = server.add_job("target", "create", server.add_target())
        server.wait_final(job, 40 * PATIENCE)
        before = server.accepted
        self.shift(2 * HOUR, 2 * HOUR)
        runner.signal(signal.SIGUSR1)       # whatever wakes it up first
        runner.wait_log(r"slept for 7\d\d\d s")
        server.wait(lambda: server.accepted >= before + 2, 20 * PATIENCE, "both connections anew")
        job = server.add_job("target", "create", server.add_target())
        self.assertEqual(server.wait_final(job, 40 * PATIENCE), ("success", ""))
        self.assertEqual(server.job_faults(), [])
        self.assertEqual(runner.stop(), 0)


if __name__ == "__main__":
    main()
