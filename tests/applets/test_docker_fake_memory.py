# SPDX-License-Identifier: Apache-2.0
# Static: memory of a sanitized executable says nothing.
"""Memory of a job's process while a quarter of a gigabyte of pull progress, of agent output and of container log flows, in the
real runner against a scripted engine. Sanitized builds count differently, so they are left out."""
import json
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import dockercase  # noqa: E402
from fakeengine import FakeEngine, fake_program, frame  # noqa: E402

LIMIT_KB = 4096
BLOCK = 1 << 20
BLOCKS = int(os.environ.get("DAYTONA_RUNNER_TEST_MEGABYTES", "256"))


class Memory(common.Case):
    def setUp(self):
        super().setUp()
        self.engine = FakeEngine(self.path("engine.sock"))
        self.addCleanup(self.engine.stop)
        self.srv = self.server()
        self.run_ner = self.runner(self.srv, **{
            f"{dockercase.SECTION}__enabled": "true", f"{dockercase.SECTION}__agent_binary": fake_program(self.path("p")),
            f"{dockercase.SECTION}__agent_timeout": int(120 * common.PATIENCE),
            f"{dockercase.SECTION}__sock_path": self.engine.path})
        self.run_ner.start()

    def peak(self, action):
        """Largest memory of a job's process while the job runs."""
        options = json.dumps({"Sock Path": self.engine.path})
        workspace = self.srv.add_workspace("https://example.test/a/b", image="acme/new:1", provider="docker-provider",
                                           options=options)
        job = self.srv.add_job("workspace", action, workspace)
        peak, done = [0], threading.Event()

        def watch():
            while not done.is_set():
                peak.append(max([common.rss_kb(pid) for pid in self.run_ner.job_pids()] or [0]))
                done.wait(0.005)
        thread = threading.Thread(target=watch)
        thread.start()
        try:
            state, text = self.srv.wait_final(job, 100 * common.PATIENCE)
        finally:
            done.set()
            thread.join()
        self.assertEqual(state, "success", text)
        self.assertGreater(max(peak), 100)
        self.assertLess(max(peak), LIMIT_KB)
        print(f"peak {max(peak)} kB", file=sys.stderr)

    def test_pull(self):
        line = b'{"status":"Downloading","id":"abc","progressDetail":{"current":1,"total":9},"progress":"%s"}\n' % \
               (b"=" * 4000)
        block = line * (BLOCK // len(line))

        def much(conn, request):
            conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(BLOCKS):
                conn.sendall(b"%x\r\n%s\r\n" % (len(block), block))
            conn.sendall(b"0\r\n\r\n")
            self.engine.add_image("acme/new:1")
            return True
        self.engine.fault("POST /images/create", much, times=1)
        self.peak("create")

    def test_agent_output(self):
        self.engine.add_image("acme/new:1")
        block = b"".join(b"%060d\n" % i for i in range(BLOCK // 61 // 8))
        self.engine.exec_output = lambda spec: (block if i < BLOCKS else b"Daytona Agent started\n"
                                                for i in range(BLOCKS + 1))
        self.peak("create")

    def test_one_endless_line(self):
        self.engine.add_image("acme/new:1")
        block = b"\xff" * (BLOCK // 8)
        self.engine.exec_output = lambda spec: (block if i < BLOCKS else b"\nDaytona Agent started\n"
                                                for i in range(BLOCKS + 1))
        self.peak("create")

    def test_container_log(self):
        self.engine.add_image("acme/new:1")
        over = threading.Event()
        line = frame(b"2026-01-02T03:04:06.000000000Z " + b"x" * 8000 + b"\n")

        def logs(conn, request):
            self.engine.stream(conn, (line * 16 for _ in range(BLOCKS)), "application/octet-stream")
            over.set()
            return True
        self.engine.fault("GET .*/logs", logs, times=1)

        def late(spec):
            over.wait(100 * common.PATIENCE)
            yield b"Daytona Agent started\n"
        self.engine.exec_output = late
        self.peak("create")


if __name__ == "__main__":
    if common.BIN and not common.is_static(common.BIN):
        common.skip_all("memory of a sanitized executable says nothing; the release binary is tested")
    common.main()
