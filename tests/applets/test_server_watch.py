#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What watches the embedded Server: health, readiness, figures."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"


def figures(server, key=""):
    """The values of /metrics by name and label; each name has its help and type before."""
    known, values = set(), {}
    answer = server.call("GET", "/metrics", key=key)
    assert answer.status == 200, answer.body
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    for line in answer.body.decode().splitlines():
        if line.startswith("# "):
            _, word, name, *_ = line.split()
            known.add((word, name))
            continue
        match = re.fullmatch(r'daytona_server_([a-z_]+)(\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\})? (-?[0-9.]+)', line)
        assert match, line
        name = "daytona_server_" + match[1]
        assert ("HELP", name) in known and ("TYPE", name) in known, line
        values[match[1] + (match[2] or "")] = float(match[3])
    return values


class Figures(common.Case):
    def test_each_follows_what_happens(self):
        s = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "60")
        first = figures(s)
        self.assertEqual(first['records{kind="keys"}'], 1)
        self.assertEqual(first["runners_responsive"], 0)
        self.assertGreater(first["resident_bytes"], 100000)
        self.assertGreater(first["open_descriptors"], 3)
        self.assertGreaterEqual(first["cpu_seconds_total"], 0)
        info, = [name for name in first if name.startswith("build_info")]
        _, version, _, build, *_ = re.split(r"[ ()\n]+", common.run([common.BIN, "--version"]).stdout)
        self.assertEqual(info, f'build_info{{version="{version}",build="{build}"}}')
        key = serverproc.make_runner(s, ID)
        config = serverproc.make_config(s, ID)
        s.ok("POST", "/target", {"id": "t1", "name": "t1", "targetConfigId": config})
        self.assertEqual(s.call("GET", "/nothing").status, 404)
        second = figures(s)
        self.assertEqual(second["runners_responsive"], 1)
        self.assertEqual(second['records{kind="runners"}'], 1)
        self.assertEqual(second['records{kind="targets"}'], 1)
        self.assertEqual(second['jobs_open{state="pending"}'], 1)
        self.assertEqual(second['requests_total{class="4xx"}'] - first['requests_total{class="4xx"}'], 1)
        # The first answer counted itself after it was made: four requests and that one.
        self.assertEqual(second['requests_total{class="2xx"}'] - first['requests_total{class="2xx"}'], 5)
        self.assertGreater(second["store_bytes"], first["store_bytes"])
        serverproc.finish_job(s, key, ID)
        poll = s.socket()
        poll.sendall(f"GET /runner/{ID}/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        silent = s.socket()
        silent.sendall(b"GET / HTTP/1.1\r\n")
        log = serverproc.WebSocket(s, f"/log/runner/{ID}/write", key)
        common.wait_for(lambda: figures(s)["polls_waiting"] == 1, 20 * common.PATIENCE, "the poll waits")
        third = figures(s)
        self.assertEqual(third['jobs_open{state="pending"}'], 0)
        self.assertEqual((third["websockets"], third['requests_total{class="1xx"}']), (1, 1))
        self.assertEqual(third['connections{kind="without_key"}'], 1)
        self.assertEqual(third['connections{kind="with_key"}'], 3, "the poll, the log, and who asks")
        log.close()

    def test_runners_and_workspaces_are_not_told(self):
        s = serverproc.Server(self, os.path.join(self.tmp, "data"))
        key = serverproc.make_runner(s, ID)
        self.assertEqual(s.call("GET", "/metrics", key=key).status, 403)
        self.assertEqual(s.call("GET", "/metrics", key=None).status, 401)
        for path, text in (("/healthz", b"ok\n"), ("/readyz", b"ready\n")):
            answer = s.call("GET", path, key=None)
            self.assertEqual((answer.status, answer.body), (200, text))


class Ready(common.Case):
    def test_a_full_disk_is_said_and_so_is_its_end(self):
        common.need_unshare(self, "-rm")
        mount, key_file = os.path.join(self.tmp, "mount"), os.path.join(self.tmp, "key")
        os.mkdir(mount)
        script = 'mount -t tmpfs -o size=1m,mode=700 none "$0" || exit 77; exec "$@"'
        s = serverproc.Server(self, os.path.join(mount, "data"), "--key-file", key_file,
                              prefix=("unshare", "-rm", "sh", "-c", script, mount))
        self.assertEqual(s.call("GET", "/readyz", key=None).status, 200)
        ballast = f"/proc/{s.pid}/root{mount}/ballast"
        with open(ballast, "wb", buffering=0) as file:
            with self.assertRaises(OSError):
                for _ in range(1000):
                    file.write(b"x" * 4096)
        common.wait_for(lambda: s.call("GET", "/readyz", key=None).status == 503, 20 * common.PATIENCE, "full is said")
        text = s.call("GET", "/readyz", key=None).body.decode()
        self.assertEqual(text, "not ready: the store cannot be written: No space left on device\n")
        self.assertEqual(s.call("GET", "/healthz", key=None).status, 200, "alive it is")
        os.unlink(ballast)
        common.wait_for(lambda: s.call("GET", "/readyz", key=None).status == 200, 20 * common.PATIENCE, "ready again")
        self.assertEqual([n for n in os.listdir(f"/proc/{s.pid}/root{mount}/data") if "probe" in n], [])


if __name__ == "__main__":
    common.main()
