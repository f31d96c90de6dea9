#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logs: local files without a running runner or a Server, following across rotation, truncation and
removal without spinning, damage, terminals, JSON, the Server's copy (field cases 5, 39, 48, 49, 116)."""
import gzip
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402
from lib.lifecase import LifeCase  # noqa: E402

DELIMITER = "!-#_^*|\n"


def entry(msg, at="2025-02-10T10:00:04+01:00", source="runner"):
    return json.dumps({"source": source, "label": "edge", "msg": msg, "level": "", "time": at},
                      ensure_ascii=False) + DELIMITER


class Logs(LifeCase):
    def setUp(self):
        super().setUp()
        self.made = self.configured()
        self.host = self.env(admin=False)
        self.log = self.place("runners", self.made["id"])

    def place(self, kind, name):
        directory = os.path.join(self.state, "logs", kind, name)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with open(os.path.join(self.state, ".daytona-runner"), "w", encoding="ascii"):
            pass
        return os.path.join(directory, "log")

    def write(self, text, path=None, mode="a"):
        with open(path or self.log, mode, encoding="utf-8") as file:
            file.write(text)

    def show(self, *args, rc=0, env=None):
        return self.applet("logs", *args, env=env or self.host, rc=rc).stdout

    def follow(self, *args):
        process = subprocess.Popen([common.BIN, "logs", "-f", "--no-times", *args], env=self.host,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.set_blocking(process.stdout.fileno(), False)
        process.seen = ""

        def until(word):
            def more():
                process.seen += (process.stdout.read() or b"").decode()
                return word in process.seen
            common.wait_for(more, 10 * common.PATIENCE, lambda: f"{word!r} in {process.seen!r}")
        process.until = until
        return process

    def lines(self, first, last):
        return "".join(entry(f"line {n}\n") for n in range(first, last + 1))

    def test_lines_times_and_the_last_ones(self):
        self.write(self.lines(1, 50))
        text = self.show()
        self.assertEqual(text.splitlines()[0], "2025-02-10T10:00:04+01:00 line 1")
        self.assertEqual(len(text.splitlines()), 50)
        self.assertEqual(self.show("--no-times", "-n", "2"), "line 49\nline 50\n")
        self.assertEqual(self.show("--no-times", "--tail=1"), "line 50\n")
        self.assertEqual(self.show("-n", "0"), "")
        self.assertEqual(len(self.show("-n", "1000").splitlines()), 50)
        entries = [json.loads(line) for line in self.show("--format", "json", "-n", "3").splitlines()]
        self.assertEqual([e["msg"] for e in entries], ["line 48\n", "line 49\n", "line 50\n"])
        self.assertEqual(set(entries[0]), {"time", "source", "label", "msg"})

    def test_since(self):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.write(entry("old\n") + entry("new\n", now))
        self.assertEqual(self.show("--no-times", "--since", "10m"), "new\n")
        self.assertEqual(self.show("--no-times", "--since", "2025-02-10T09:00:05Z"), "new\n")
        self.assertEqual(self.show("--no-times", "--since", "2025-02-10T09:00:04Z"), "old\nnew\n")
        self.applet("logs", "--since", "yesterday", env=self.host, rc=2)

    def test_no_log_yet(self):
        result = self.applet("logs", env=self.host, rc=1)
        self.assertIn("no log of runner", result.stderr)
        for bad in ("../../x", "a/b", "..", ""):
            self.applet("logs", "--workspace=" + bad, env=self.host, rc=2)

    def test_one_block_of_nuls_hides_nothing_else(self):
        text = self.lines(1, 50)
        parts = text.split("\n")
        for with_newline in (False, True):
            damaged = list(parts)
            damaged[16] = "\0" * len(parts[16])
            data = "\n".join(damaged)
            if with_newline:
                at = data.index("\0") + len(parts[16])
                data = data[:at] + "\0" + data[at + 1:]
            self.write(data, mode="w")
            shown = self.show("--no-times").splitlines()
            self.assertEqual(len(shown), 50)
            self.assertEqual([line for line in shown if line.startswith("line ")],
                             [f"line {n}" for n in range(1, 51) if n != 17])
            self.assertRegex(shown[16], "damaged")
            self.assertEqual(self.show("--no-times", "-n", "1"), "line 50\n")
            self.assertIn("damagedBytes", self.show("--format", "json"))

    def test_what_is_no_entry(self):
        self.write("plain text\n" + '{"source":"x","msg":"ha\n' + "{}" + DELIMITER +
                   '{"source":"","label":"","msg":"","level":"","time":""}' + DELIMITER + "\n" + entry("good\n"))
        self.assertEqual(self.show("--no-times").splitlines(), ["plain text", "good"])

    def test_workspaces_targets_builds(self):
        for kind, option in (("workspaces", "--workspace"), ("targets", "--target"), ("builds", "--build")):
            self.write(entry("pulling\r", source="provider") + entry("done\n", source="provider"),
                       self.place(kind, "aabb"))
            raw = subprocess.run([common.BIN, "logs", option, "aabb"], env=self.host, stdout=subprocess.PIPE,
                                 stdin=subprocess.DEVNULL, check=True, timeout=60 * common.PATIENCE)
            self.assertEqual(raw.stdout, b"pulling\rdone\n")

    def test_job(self):
        self.write(entry("INFO[0001] job running   5d2c90ab17ef workspace create\n") +
                   entry("INFO[0001] job running   ffffffffffff workspace create\n"))
        self.write(entry("cloning\n", source="provider"), self.place("workspaces", "aabb"))
        with open(os.path.join(self.state, "status.json"), "w", encoding="ascii") as file:
            json.dump({"jobs": [{"id": "5d2c90ab17ef", "resource": "workspace", "resource_id": "aabb"}]}, file)
        text = self.show("--job", "5d2c90ab17ef")
        self.assertIn("job running   5d2c90ab17ef", text)
        self.assertIn("cloning", text)
        self.assertNotIn("ffffffffffff", text)
        result = self.applet("logs", "--job", "ffffffffffff", env=self.host, rc=1)
        self.assertIn("job running   ffffffffffff", result.stdout)

    def test_a_terminal_is_not_harmed(self):
        self.write(entry("\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J\x1b[Hbell\x07 back\x08\n"
                         "one\rtwo\r\nthree\x9b2J\n"))
        t = self.terminal("logs", "--no-times", env=dict(self.host, TERM="xterm"))
        t.wait()
        self.assertIn("\x1b[31mred\x1b[0m", t.text())
        self.assertNotRegex(t.text().replace("\x1b[31m", "").replace("\x1b[0m", ""), r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("one\ntwo\nthree", t.text())
        for env in (dict(self.host, TERM="dumb"), dict(self.host, TERM="xterm", NO_COLOR="1")):
            t = self.terminal("logs", env=env)
            t.wait()
            self.assertNotIn("\x1b", t.text())
            self.assertIn("red", t.text())
        # Not a terminal: no colours, everything else as it is.
        text = self.show("--no-times")
        self.assertNotIn("\x1b[31m", text)
        self.assertIn("\x1b]0;title\x07", text)
        self.assertIn("\x1b[31m", self.show("--color", "always"))

    def test_follow(self):
        self.write(self.lines(1, 3))
        process = self.follow("-n", "1")
        process.until("line 3\n")
        self.assertNotIn("line 2", process.seen)
        text = entry("line 4 whole\n")
        self.write(text[:20])
        self.write(entry("x\n"), self.place("workspaces", "other"))
        self.write(text[20:])
        process.until("line 4 whole\n")
        os.rename(self.log, self.log + "-2025-02-10T10-00-00.000")
        self.write(entry("line 5\n"), self.log + "-2025-02-10T10-00-00.000")
        self.write(entry("line 6\n"))
        process.until("line 6\n")
        self.write(entry("line 7\n"), mode="w")
        process.until("line 7\n")
        os.unlink(self.log)
        self.write(entry("line 8\n"))
        process.until("line 8\n")
        directory = os.path.dirname(self.log)
        os.rename(directory, directory + ".away")
        self.place("runners", self.made["id"])
        self.write(entry("line 9\n"))
        process.until("line 9\n")
        self.assertEqual([n for n in process.seen.split() if n.isdigit()], list("3456789"))
        self.assertIsNone(process.poll())

    def test_follow_before_there_is_a_log(self):
        os.rmdir(os.path.dirname(self.log))
        process = self.follow()
        self.place("runners", self.made["id"])
        self.write(entry("first\n"))
        process.until("first\n")

    def test_following_does_not_spin(self):
        self.write(self.lines(1, 3))
        process = self.follow()
        process.until("line 3")
        before, began = common.cpu_seconds(process.pid), time.monotonic()
        for n in range(4, 24):
            self.write(entry(f"line {n}\n"))
            process.until(f"line {n}\n")
        elapsed = time.monotonic() - began
        self.assertLess(common.cpu_seconds(process.pid) - before, 0.2 + elapsed / 2)
        syscalls = common.read_proc(process.pid, "status")
        switches = int(syscalls.split(b"voluntary_ctxt_switches:")[1].split()[0])
        self.assertLess(switches, 2000)

    def test_a_reader_that_leaves(self):
        self.write(self.lines(1, 20000))
        result = subprocess.run(f"'{common.BIN}' logs | head -n 1", shell=True, env=self.host, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=60 * common.PATIENCE, check=False)
        self.assertEqual(result.stdout.count(b"\n"), 1)
        self.assertEqual(result.stderr, b"")
        process = self.follow("-n", "1")
        process.until("line 20000")
        process.stdout.close()
        self.assertIn(process.wait(10 * common.PATIENCE), (0, 141))

    def test_rotated_files(self):
        self.write(self.lines(1, 3), self.log + "-2025-02-10T10-00-00.000")
        with gzip.open(self.log + "-2025-02-09T10-00-00.000.gz", "wt") as file:
            file.write(entry("oldest\n"))
        self.write(entry("not ours\n"), self.log + "-old")
        self.write(self.lines(4, 5))
        self.assertEqual(self.show("--no-times"), "line 4\nline 5\n")
        self.assertEqual(self.show("--no-times", "-n", "4"), "line 2\nline 3\nline 4\nline 5\n")
        self.assertEqual(self.show("--no-times", "--all"), "oldest\n" + "".join(f"line {n}\n" for n in range(1, 6)))

    def test_readable_when_runner_and_server_are_dead(self):
        self.applet("start", env=self.host)
        os.kill(self.runner_pid(), 9)
        self.srv.stop()
        self.assertIn("starting runner edge", self.show())

    def test_the_servers_copy(self):
        self.applet("start", env=self.host)
        common.wait_for(lambda: "starting runner" in self.show("--remote"), 10 * common.PATIENCE, "remote log")
        self.assertEqual(len(self.show("--remote", "-n", "1").splitlines()), 1)
        self.assertIn("starting runner", self.applet("logs", "edge").stdout)
        self.assertIn("starting runner", self.applet("logs", self.made["id"]).stdout)
        self.assertIn("starting runner", self.applet("logs", "edge", env=self.host).stdout)
        admin = self.env(DAYTONA_RUNNER_CONFIG_DIR=self.path("nothing"))
        self.assertIn("configure", self.applet("logs", env=admin, rc=1).stderr)
        self.assertIn("starting runner", self.applet("logs", "--remote", "edge", env=admin).stdout)
        terminal = self.terminal("server", "runner", "logs", env=admin)
        terminal.answer("Whose log", "edge")
        terminal.expect("starting runner")
        self.assertEqual(terminal.wait(), 0)
        self.applet("logs", "nope", rc=1)
        process = self.follow("--remote", "-n", "1")
        process.until("\n")
        ws = serverproc.WebSocket(self.srv, f"/log/runner/{self.made['id']}/write")
        ws.send(entry("from afar\n"))
        process.until("from afar\n")
        self.assertIsNone(process.poll())
        self.applet("logs", "--remote", "--workspace", "aabb", env=self.host, rc=None)

    def test_rotation_by_the_runner(self):
        self.applet("configure", "--log-max-size", "1", "--log-max-backups", "2", "--no-log-compress", env=self.host)
        # As if a megabyte had been written before.
        self.write(self.lines(1, 9000))
        self.assertGreater(os.path.getsize(self.log), 1 << 20)
        for stamp in ("2025-01-01T00-00-00.000", "2025-01-02T00-00-00.000", "2025-01-03T00-00-00.000"):
            self.write(entry("old\n"), f"{self.log}-{stamp}")
        self.applet("start", env=self.host)
        names = sorted(os.listdir(os.path.dirname(self.log)))
        self.assertEqual(len(names), 3, names)
        self.assertLess(os.path.getsize(self.log), 1 << 20)
        self.assertNotIn("log-2025-01-01T00-00-00.000", names)
        self.assertEqual(self.show("--all").count("line 9000"), 1)

    def test_external_rotation(self):
        self.applet("start", env=self.host)
        pid = self.runner_pid()
        os.rename(self.log, self.log + ".1")
        os.kill(pid, 1)
        common.wait_for(lambda: os.path.exists(self.log), 10 * common.PATIENCE, "new log")
        common.need_proc(self, pid)
        targets = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        self.assertEqual([t for t in targets if t.endswith(".1") or "deleted" in t], [])


if __name__ == "__main__":
    common.main()
