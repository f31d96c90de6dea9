#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""server backup and restore: one moment of a server that works on, whole or refused, never over what is there."""
import http.client
import io
import os
import stat
import subprocess
import sys
import tarfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"


class Backup(common.Case):
    def setUp(self):
        super().setUp()
        self.file = os.path.join(self.tmp, "store.tar")
        self.turns = 0

    def start(self, data=None):
        return serverproc.Server(self, data or os.path.join(self.tmp, "data"), "--poll-seconds", "1")

    def server(self, *args, **more):
        return subprocess.run([common.BIN, "server", *args], env=common.clean_env(self.tmp), capture_output=True,
                              timeout=60 * common.PATIENCE, check=False, **more)

    def backup(self, data):
        made = self.server("backup", "--data", data, self.file)
        self.assertEqual((made.returncode, made.stdout), (0, b""), made.stderr)
        self.assertIn(b"backed up", made.stderr)

    def restored(self):
        self.turns += 1
        data = os.path.join(self.tmp, f"restored-{self.turns}")
        made = self.server("restore", "--data", data, self.file)
        self.assertEqual(made.returncode, 0, made.stderr)
        return data

    def refused(self, archive, text=b"", data=None, **more):
        """The directory is as it was: not there."""
        data = data or os.path.join(self.tmp, "refused")
        made = self.server("restore", "--data", data, "-", input=archive, **more)
        self.assertEqual(made.returncode, 1, made.stderr)
        self.assertIn(text, made.stderr)
        self.assertEqual(made.stderr.strip().count(b"\n"), 0, made.stderr)
        self.assertFalse(os.path.exists(data))

    def fill(self, server):
        key = serverproc.make_runner(server)
        config = serverproc.make_config(server)
        server.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
        server.ok("POST", "/workspace", serverproc.workspace_body("w1", "work", "t1", envVars={"A": "b=c"}))
        serverproc.finish_job(server, key)
        server.ok("PUT", "/gitprovider", {"providerId": "github", "token": "tok", "username": "u", "id": "g1"})
        server.ok("PUT", "/env", {"key": "K", "value": "v"}, status=201)
        config = server.ok("GET", "/server/config").json
        server.ok("PUT", "/server/config", dict(config, defaultWorkspaceUser="somebody"))
        return key

    def picture(self, server, client):
        paths = ("/target", "/workspace", "/job", "/env", "/gitprovider", "/apikey", "/server/config", "/target-config")
        state = {path: server.ok("GET", path, key=client).json for path in paths}
        state["/server/config"].pop("frps", None)  # has the port, which is another one each time
        return state

    def test_all_comes_back(self):
        server = self.start()
        key, client = self.fill(server), server.key
        before = self.picture(server, client)
        self.backup(server.data)
        self.assertEqual(stat.S_IMODE(os.stat(self.file).st_mode), 0o600)
        piped = self.server("backup", "--data", server.data, "-")
        self.assertEqual(piped.returncode, 0, piped.stderr)
        with tarfile.open(fileobj=io.BytesIO(piped.stdout)) as tar:
            self.assertEqual([m.name for m in tar], ["records/00000001", "server.json", "client.key", "SHA256SUMS"])
            self.assertEqual({m.mode for m in tar}, {0o600})
        server.ok("DELETE", "/env/K", status=204)  # it works on, and later changes are not in the backup
        self.assertEqual(server.stop(), 0)
        data = self.restored()
        self.assertEqual(stat.S_IMODE(os.stat(data).st_mode), 0o700)
        self.assertEqual(sorted(os.listdir(data)), ["client.key", "lock", "records", "server.json"])
        again = self.start(data)
        self.assertEqual(self.picture(again, client), before)
        self.assertEqual(again.call("GET", "/target", key=key).status, 200)
        again.stop()
        self.backup(data)  # of a server that is down
        third = self.start(self.restored())
        self.assertEqual(self.picture(third, client), before)
        third.stop()

    def test_one_moment_of_a_server_that_is_busy(self):
        """Targets are made one after the other while the log turns over: what is there is the first ones, each with
        its key and its job."""
        server = self.start()
        key, stop, made = self.fill(server), threading.Event(), [0]
        config = server.ok("GET", "/target-config").json[0]["id"]

        def make():
            while not stop.is_set():
                name = f"n{made[0]}"
                server.ok("POST", "/target", {"id": name, "name": name, "targetConfigId": config})
                made[0] += 1

        def turn():
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60 * common.PATIENCE)
            body, headers = '{"metadata":"' + "m" * 60000 + '"}', {"Authorization": "Bearer " + key}
            while not stop.is_set():
                connection.request("POST", "/workspace/w1/provider-metadata", body, headers)
                reply = connection.getresponse()
                self.assertEqual((reply.status, reply.read()), (200, b""))
            connection.close()

        threads = [threading.Thread(target=f) for f in (make, turn)]
        for t in threads:
            t.start()
        try:
            for i in range(6):
                common.wait_for(lambda n=made[0]: made[0] > n + 3, 60 * common.PATIENCE, "targets are made")
                least = made[0]
                self.backup(server.data)
                most = made[0] + 1
                stored = serverproc.records(self.restored())
                targets = set(stored["targets"]) - {"t1"}
                self.assertEqual(targets, {f"n{n}" for n in range(len(targets))})
                self.assertLessEqual(least, len(targets), i)
                self.assertLessEqual(len(targets), most, i)
                for kind, field in (("keys", "name"), ("jobs", "resourceId")):
                    self.assertLessEqual(targets, {r[field] for r in stored[kind].values()}, kind)
        finally:
            stop.set()
            for t in threads:
                t.join()
        self.assertEqual(server.stop(), 0)

    def test_what_is_not_whole_is_refused(self):
        server = self.start()
        self.fill(server)
        server.stop()
        self.backup(server.data)
        with open(self.file, "rb") as file:
            archive = file.read()
        self.assertGreater(len(archive), 6000)
        for n in list(range(0, 1100, 100)) + list(range(1100, len(archive) - 1025, len(archive) // 20)):
            with self.subTest(cut=n):
                self.refused(archive[:n])
        for n in range(0, len(archive) - 1024, len(archive) // 40):
            changed = bytearray(archive)
            changed[n] ^= 1
            with self.subTest(changed=n):
                data = os.path.join(self.tmp, "changed")
                made = self.server("restore", "--data", data, "-", input=bytes(changed))
                if made.returncode == 0:  # a byte between the files, or an owner: no content
                    self.assertEqual(serverproc.records(data), serverproc.records(server.data))
                    subprocess.run(["rm", "-rf", data], check=True)
                self.assertFalse(os.path.exists(data))
        self.refused(b"", b"no whole backup")
        self.refused(b"\x1f\x8b" + b"x" * 2000)

    def test_other_archives_are_refused(self):
        def archive(*members):
            out = io.BytesIO()
            with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
                for name, kind in members:
                    info = tarfile.TarInfo(name)
                    info.type, info.linkname = kind, "/etc/passwd"
                    info.size = 5 if kind == tarfile.REGTYPE else 0
                    tar.addfile(info, io.BytesIO(b"hello"))
            return out.getvalue()

        for name, kind in (("../evil", b"0"), ("/tmp/evil", b"0"), ("records/../../evil", b"0"), ("records/0000000x", b"0"),
                           ("records/00000001", b"2"), ("records/00000001", b"1"), ("server.json", b"2"), ("records/", b"5"),
                           ("lock", b"0"), ("records/1", b"0"), ("client.key/x", b"0")):
            with self.subTest(name=name, kind=kind):
                self.refused(archive((name, kind)), b"this is no backup")
        self.refused(archive(("server.json", b"0"), ("server.json", b"0")), b"File exists")
        self.refused(archive(("records/00000001", b"0"), ("SHA256SUMS", b"0")), b"content is not that of its sums")
        self.refused(archive(("SHA256SUMS", b"0"), ("server.json", b"0")), b"something follows")
        self.assertFalse(os.path.exists(os.path.join(self.tmp, "evil")))

    def test_whose_directory(self):
        server = self.start()
        self.fill(server)
        self.backup(server.data)
        made = self.server("restore", "--data", server.data, self.file)
        self.assertEqual(made.returncode, 1)
        self.assertIn(b"a server uses", made.stderr)
        server.ok("GET", "/target")
        server.stop()
        made = self.server("restore", "--data", server.data, self.file)
        self.assertEqual(made.returncode, 1)
        self.assertIn(b"is not empty", made.stderr)
        empty = os.path.join(self.tmp, "empty")
        os.mkdir(empty)
        self.assertEqual(self.server("restore", "--data", empty, self.file).returncode, 0)
        none = self.server("backup", "--data", os.path.join(self.tmp, "none"), os.path.join(self.tmp, "x.tar"))
        self.assertEqual(none.returncode, 1)
        self.assertIn(b"holds no server's store", none.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.tmp, "x.tar")))

    def test_a_restore_that_was_cut_off(self):
        """What it left is no store, and the next restore goes over it."""
        server = self.start()
        self.fill(server)
        self.backup(server.data)
        server.stop()
        data = os.path.join(self.tmp, "half")
        os.makedirs(os.path.join(data, "restore.tmp", "records"))
        with open(os.path.join(data, "restore.tmp", "records", "00000001"), "w", encoding="ascii") as file:
            file.write("half")
        refused = self.server("--listen", "127.0.0.1:0", "--data", data)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"holds no server's data", refused.stderr)
        self.assertEqual(self.server("restore", "--data", data, self.file).returncode, 0)
        self.assertEqual([t["id"] for t in self.start(data).ok("GET", "/target").json], ["t1"])

    def test_disk_without_room(self):
        server = self.start()
        self.fill(server)
        self.backup(server.data)
        server.stop()
        with open(self.file, "rb") as file:
            archive = file.read()
        limit = ["prlimit", "--fsize=2000", common.BIN, "server"]
        env = common.clean_env(self.tmp)
        data, other = os.path.join(self.tmp, "small"), os.path.join(self.tmp, "other.tar")
        for args in (["restore", "--data", data, self.file], ["backup", "--data", server.data, other]):
            made = subprocess.run(limit + args, env=env, capture_output=True, timeout=60 * common.PATIENCE, check=False)
            self.assertEqual(made.returncode, 1, made.stderr)
            self.assertIn(b"File too large", made.stderr)
        self.assertFalse(os.path.exists(data))
        self.assertEqual([n for n in os.listdir(self.tmp) if "other" in n or ".tmp-" in n], [])
        with open("/dev/full", "wb") as full:
            made = subprocess.run([common.BIN, "server", "backup", "--data", server.data, "-"], env=env, stdout=full,
                                  stderr=subprocess.PIPE, timeout=60 * common.PATIENCE, check=False)
        self.assertEqual(made.returncode, 1)
        self.assertIn(b"No space left", made.stderr)
        self.assertTrue(archive)


if __name__ == "__main__":
    common.main()
