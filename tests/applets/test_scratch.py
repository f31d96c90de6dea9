# SPDX-License-Identifier: Apache-2.0
# Static: only that runs FROM scratch.
"""The image FROM scratch on the real Engine: the binary and nothing else, configured by environment
alone, PID 1, read-only root, an arbitrary user id, health check, quick and clean `docker stop`."""
import json
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def docker(*args, check=True, timeout=120 * common.PATIENCE):
    result = common.run(["docker", *args], timeout=timeout)
    if check and result.returncode != 0:
        raise AssertionError(f"docker {args}: {result.stdout}{result.stderr}")
    return result.stdout.strip()


class ScratchTest(common.Case):
    def setUp(self):
        super().setUp()
        self.tag = f"daytona-runner-test:{os.getpid()}"
        self.name = f"daytona-runner-test-{os.getpid()}"
        common.run([os.path.join(ROOT, "scripts", "image"), "-t", self.tag, common.BIN], timeout=120 * common.PATIENCE, check=True)
        self.addCleanup(docker, "image", "rm", "-f", self.tag, check=False)
        self.addCleanup(docker, "rm", "-f", self.name, check=False)

    def start(self, server, *options):
        docker("run", "-d", "--name", self.name, "--network", "host", *options,
               "-e", f"DAYTONA_RUNNER_RUNNER_ID={server.runner_id}",
               "-e", f"DAYTONA_RUNNER_RUNNER_NAME={server.runner_name}",
               "-e", f"DAYTONA_RUNNER_SERVER_URL={server.url}",
               "-e", f"DAYTONA_RUNNER_SERVER_KEY={server.key}",
               "-e", "DAYTONA_RUNNER_RUNNER_PORT=0", "-e", "DAYTONA_RUNNER_SERVER_HEARTBEAT_S=1", self.tag)
        server.wait(lambda: server.heartbeats, 20 * common.PATIENCE, lambda: docker("logs", self.name))

    def engine(self):
        """Options that let it use the engine: without any provider it would not be healthy."""
        path = "/var/run/docker.sock"
        if not os.path.exists(path):
            self.skipTest(f"the engine has no socket at {path}")
        return ["-v", f"{path}:{path}", "--group-add", str(os.stat(path).st_gid)]

    def inspect(self):
        return json.loads(docker("inspect", self.name))[0]

    def test_holds_one_file(self):
        server = self.server()
        self.start(server)
        listing = docker("export", "-o", self.path("fs.tar"), self.name)
        self.assertEqual(listing, "")
        names = common.run(["tar", "tf", self.path("fs.tar")], check=True).stdout.split()
        own = [name for name in names if not name.startswith(("dev/", "proc/", "sys/", "etc/", "state/"))
               and name != ".dockerenv"]
        self.assertEqual(own, ["daytona-runner"])

    def test_read_only_root_and_odd_user(self):
        server = self.server()
        self.start(server, *self.engine(), "--read-only", "--user", "54321:54321", "--tmpfs", "/state:uid=54321,gid=54321,mode=0700")
        common.wait_for(lambda: self.inspect()["State"]["Health"]["Status"] == "healthy", 60 * common.PATIENCE, "health check")
        job = server.add_job("runner", "uninstall-provider", server.runner_id, metadata="docker-provider")
        self.assertEqual(server.wait_final(job, 20 * common.PATIENCE)[0], "success")
        docker("stop", "-t", "10", self.name)
        self.assertEqual(self.inspect()["State"]["ExitCode"], 0)
        self.assertNotIn("crash", docker("logs", self.name))

    def test_volume_of_root_open_to_all(self):
        server = self.server()
        self.start(server, *self.engine(), "--read-only", "--user", "54321:54321", "--tmpfs", "/state")
        common.wait_for(lambda: self.inspect()["State"]["Health"]["Status"] == "healthy", 60 * common.PATIENCE, "health check")
        docker("stop", "-t", "10", self.name)
        self.assertEqual(self.inspect()["State"]["ExitCode"], 0)
        self.assertNotIn("crash", docker("logs", self.name))

    def test_nothing_writable_at_all(self):
        server = self.server()
        self.start(server, *self.engine(), "--read-only", "--user", "54321:54321")
        log = common.run(["docker", "logs", self.name]).stderr
        self.assertIn("not safe against a crash", log)
        self.assertEqual(log.count("not safe against a crash"), 1)
        beats = len(server.heartbeats)
        server.wait(lambda: len(server.heartbeats) > beats + 1, 20 * common.PATIENCE, "heartbeats go on")

    def test_reaps_as_pid_1(self):
        server = self.server()
        self.start(server, "--tmpfs", "/state:mode=0700")
        for _ in range(20):
            job = server.add_job("runner", "update-provider", server.runner_id, metadata='{"name":"nope","version":"v1"}')
            self.assertEqual(server.wait_final(job, 20 * common.PATIENCE)[0], "error")
        states = [line.split()[0] for line in docker("top", self.name, "-eo", "stat,pid").splitlines()[1:]]
        self.assertTrue(states)
        self.assertFalse([state for state in states if state.startswith("Z")], states)


if __name__ == "__main__":
    if not common.BIN or not common.is_static(common.BIN):
        common.skip_all("only a static executable runs FROM scratch")
    if not shutil.which("docker") or subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
        common.skip_all("no Docker Engine can be reached here")
    common.run_tests()
