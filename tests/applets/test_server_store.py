#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's store: what was answered survives kill -9, half-written things do not, bad files harm
nobody else; and the directory's own rules."""
import http.client
import json
import os
import random
import stat
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"


class Store(common.Case):
    def start(self, *args):
        return serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "1", *args)

    def run_server(self, *args):
        return common.run([common.BIN, "server", *args], env=common.clean_env(self.tmp))

    def test_everything_survives_a_restart(self):
        server = self.start()
        client = server.key
        key = serverproc.make_runner(server)
        config = serverproc.make_config(server)
        server.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
        serverproc.finish_job(server, key)
        server.ok("POST", "/target/t1/handle-successful-creation", key=key)
        server.ok("POST", "/workspace", serverproc.workspace_body("w1", "work", "t1", envVars={"A": "b=c"}))
        serverproc.finish_job(server, key)
        server.ok("POST", "/workspace/w1/provider-metadata", {"metadata": '{"a":"b"}'}, key)
        server.ok("PUT", "/env", {"key": "K", "value": "v"}, status=201)
        server.ok("PUT", "/gitprovider", {"providerId": "github", "token": "tok", "username": "u", "id": "g1"})
        server.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://git.test/a/b", "envVars": {}},
                  status=201)
        server.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "main", "envVars": {}}, status=201)
        paths = ["/runner", "/target-config?showOptions=true", "/target", "/workspace/w1", "/env", "/gitprovider",
                 "/workspace-template", "/build", "/job", "/apikey"]

        def picture(s):
            state = {path: s.ok("GET", path, key=client).json for path in paths}
            for runner in state["/runner"]:
                runner["state"].pop("updatedAt")  # now, for a live one
            for build in state["/build"]:
                build["state"].pop("updatedAt")
            return state

        before = picture(server)
        self.assertEqual(server.stop(), 0)
        server = self.start()
        self.assertEqual(picture(server), before)
        self.assertEqual(server.call("GET", f"/runner/{ID}", key=key).status, 200)
        server.kill()

    def test_kill_during_writes_loses_nothing_that_was_answered(self):
        for turn in range(4):
            server = self.start()
            answered, stop = [], threading.Event()
            try:
                serverproc.make_runner(server, f"{turn:012x}", f"r{turn}")
            except AssertionError:
                self.fail("a store after kill -9 must take new things")
            config = serverproc.make_config(server, f"{turn:012x}", f"c{turn}")

            def work(n, server=server, config=config, answered=answered, stop=stop, turn=turn):
                for i in range(10000):
                    name = f"t{turn}-{n}-{i}"
                    try:
                        reply = server.call("POST", "/target", {"id": name, "name": name, "targetConfigId": config},
                                            timeout=20)
                    except (OSError, http.client.HTTPException):
                        return
                    if reply.status == 200:
                        answered.append(name)
                    if stop.is_set():
                        return

            threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
            for t in threads:
                t.start()
            common.wait_for(lambda a=answered, t=turn: len(a) > 20 + 7 * t + random.randrange(8),
                            60 * common.PATIENCE, "targets were made")
            server.process.kill()
            stop.set()
            for t in threads:
                t.join()
            server.kill()
            server = self.start()
            targets = {t["id"]: t for t in server.ok("GET", "/target").json}
            jobs = {j["resourceId"] for j in server.ok("GET", "/job").json}
            self.assertLessEqual(set(answered), set(targets))
            self.assertLessEqual(set(targets), jobs, "no target without its job")
            keys = []
            for name in os.listdir(os.path.join(server.data, "keys")):
                with open(os.path.join(server.data, "keys", name), encoding="utf-8") as file:
                    keys.append(json.load(file))
            self.assertEqual({k["name"] for k in keys if k["type"] == "target"}, set(targets))
            for root, _, files in os.walk(server.data):
                self.assertEqual([f for f in files if ".tmp-" in f or ".bad" in f], [], root)
            self.assertEqual(server.stop(), 0)

    def test_bad_file_is_set_aside_and_the_rest_loads(self):
        server = self.start()
        serverproc.make_runner(server)
        serverproc.make_runner(server, "bbbbbbbbbbb2", "two")
        server.stop()
        folder = os.path.join(server.data, "runners")
        with open(os.path.join(folder, f"{ID}.json"), encoding="utf-8") as file:
            good = file.read()
        for name, text in {"cut": good[:len(good) // 2], "empty": "", "list": "[]", "other": "{}", "deep": "[" * 9999,
                           "nul": "\0" * 100}.items():
            with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
                file.write(text)
        open(os.path.join(folder, f"{ID}.json.tmp-1"), "w").close()
        server = self.start()
        self.assertEqual([r["name"] for r in server.ok("GET", "/runner").json], ["one", "two"])
        self.assertEqual(sorted(f for f in os.listdir(folder) if not f.endswith(".json")),
                         [f"{n}.json.bad-1" for n in ("cut", "deep", "empty", "list", "nul", "other")])
        self.assertIn("cut.json", server.log())
        server.stop()

    def test_modes_and_secrets(self):
        server = self.start()
        client = server.key
        key = serverproc.make_runner(server)
        config = serverproc.make_config(server)
        server.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
        self.assertEqual(stat.S_IMODE(os.stat(server.data).st_mode), 0o700)
        for root, _, files in os.walk(server.data):
            for name in files:
                path = os.path.join(root, name)
                self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600, path)
                with open(path, encoding="utf-8") as file:
                    text = file.read()
                self.assertNotIn(key, text, path)
                if name != "client.key":
                    self.assertNotIn(client, text, path)
        self.assertRegex(client, "^[A-Za-z0-9+/]{48}$")
        server.stop()
        self.assertNotIn(client, server.log())
        again = self.start()
        self.assertEqual(again.key, client, "the key stays")
        again.stop()

    def test_whose_directory(self):
        server = self.start()
        second = self.run_server("--listen", "127.0.0.1:0", "--data", server.data)
        self.assertEqual((second.returncode, second.stdout), (1, ""))
        self.assertIn("another server uses", second.stderr)
        self.assertEqual(second.stderr.count("\n"), 1)
        foreign = os.path.join(self.tmp, "foreign")
        os.mkdir(foreign)
        open(os.path.join(foreign, "precious"), "w").close()
        refused = self.run_server("--listen", "127.0.0.1:0", "--data", foreign)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("is not empty", refused.stderr)
        self.assertEqual(os.listdir(foreign), ["precious"])
        server.stop()

    def test_client_keys_by_command(self):
        server = self.start()
        made = self.run_server("key", "--data", server.data, "second key")
        self.assertEqual(made.returncode, 0, made.stderr)
        key = made.stdout.strip()
        self.assertEqual(server.call("GET", "/runner", key=key).status, 200)
        names = {k["name"]: k["current"] for k in server.ok("GET", "/apikey", key=key).json}
        self.assertEqual(names, {"default": False, "second key": True})
        server.stop()
        offline = self.run_server("key", "--data", server.data, "third")
        self.assertEqual(offline.returncode, 0, offline.stderr)
        again = self.run_server("key", "--data", server.data, "third")
        self.assertEqual((again.returncode, again.stdout), (1, ""))
        self.assertIn("exists already", again.stderr)
        server = self.start()
        self.assertEqual(server.call("GET", "/runner", key=offline.stdout.strip()).status, 200)
        server.stop()

    def test_disk_that_is_full(self):
        server = self.start()
        serverproc.make_runner(server)
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=0:"], check=True)
        answer = server.call("POST", "/runner", {"id": "bbbbbbbbbbb2", "name": "two"})
        self.assertEqual(answer.status, 500)
        self.assertIn("failed to create runner: ", answer.json["error"])
        self.assertEqual([r["name"] for r in server.ok("GET", "/runner").json], ["one"])
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=unlimited:"], check=True)
        server.ok("POST", "/runner", {"id": "bbbbbbbbbbb2", "name": "two"})
        self.assertEqual(server.stop(), 0)

    def with_workspace(self):
        """A server with a target and a workspace whose create jobs are done: it, and the runner's key."""
        server = self.start()
        key = serverproc.make_runner(server)
        config = serverproc.make_config(server)
        server.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
        server.ok("POST", "/workspace", serverproc.workspace_body("w1", "work", "t1"))
        serverproc.finish_job(server, key)
        return server, key

    def test_no_descriptor_left(self):
        server, key = self.with_workspace()
        server.ok("POST", "/workspace/w1/stop")
        job = server.ok("GET", f"/runner/{ID}/jobs", key=key).json[0]["id"]
        alive = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.addCleanup(alive.close)
        alive.request("GET", "/health")
        alive.getresponse().read()  # now the server has its descriptor
        subprocess.run(["prlimit", f"--pid={server.pid}", f"--nofile={common.open_fds(server.pid)}:"], check=True)

        def call(path, body, bearer):
            alive.request("POST", path, json.dumps(body), {"Authorization": "Bearer " + bearer})
            reply = alive.getresponse()
            reply.read()
            return reply.status

        self.assertEqual(call("/workspace/w1/labels", {"a": "b"}, server.key), 200)
        self.assertEqual(call(f"/runner/{ID}/jobs/{job}/state", {"state": "running"}, key), 200)
        self.assertEqual(call(f"/runner/{ID}/jobs/{job}/state", {"state": "success"}, key), 200)
        for _ in range(400):  # more than one checkpoint's worth
            self.assertEqual(call("/workspace/w1/provider-metadata", {"metadata": "m" * 1000}, key), 200)
        subprocess.run(["prlimit", f"--pid={server.pid}", "--nofile=1024:"], check=True)
        for turn in range(2):
            seen = server.ok("GET", "/workspace").json
            self.assertEqual([(w["id"], w["labels"], w["state"]["name"]) for w in seen], [("w1", {"a": "b"}, "stopped")])
            if turn == 0:
                server.kill()
                server = self.start()
        server.stop()

    def test_disk_without_room(self):
        server, key = self.with_workspace()
        server.ok("POST", "/workspace/w1/stop")
        job = server.ok("GET", f"/runner/{ID}/jobs", key=key).json[0]["id"]
        before = {path: server.ok("GET", path).json for path in ("/workspace", "/target", "/job", "/runner")}
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=0:"], check=True)
        calls = [("POST", "/workspace/w1/labels", {"a": "b"}, ""),
                 ("POST", "/workspace", serverproc.workspace_body("w2", "two", "t1"), ""),
                 ("POST", f"/runner/{ID}/jobs/{job}/state", {"state": "running"}, key),
                 ("DELETE", f"/runner/{ID}", None, ""), ("PATCH", "/target/t1/set-default", None, ""),
                 ("PUT", "/env", {"key": "K", "value": "v"}, ""), ("POST", "/apikey/other", None, "")]
        for method, path, body, bearer in calls:
            answer = server.call(method, path, body, bearer)
            self.assertEqual(answer.status, 500, (method, path, answer.body))
            self.assertIn("not saved", answer.json["error"], path)
        subprocess.run(["prlimit", f"--pid={server.pid}", "--fsize=unlimited:"], check=True)
        for turn in range(2):
            for path, was in before.items():
                now = server.ok("GET", path).json
                for item in was + now:
                    item.pop("state", None) if path == "/runner" else None
                self.assertEqual(now, was, path)
            self.assertEqual(server.ok("GET", "/env").json, [])
            self.assertEqual([k["name"] for k in server.ok("GET", "/apikey").json], ["default"])
            if turn == 0:
                server.kill()
                server = self.start()
        server.ok("POST", f"/runner/{ID}/jobs/{job}/state", {"state": "running"}, key)
        server.stop()

    def test_a_damaged_file_deletes_nothing_else(self):
        """One file of each kind, one after the other: all the others stay, keys included."""
        for folder in ("jobs", "keys", "workspaces", "targets", "target-configs", "runners"):
            with self.subTest(folder=folder):
                server = serverproc.Server(self, os.path.join(self.tmp, folder), "--poll-seconds", "1")
                key = serverproc.make_runner(server)
                config = serverproc.make_config(server)
                server.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
                server.ok("POST", "/workspace", serverproc.workspace_body("w1", "work", "t1"))
                serverproc.finish_job(server, key)
                server.stop()
                files = {f: sorted(os.listdir(os.path.join(server.data, f)))
                         for f in ("jobs", "keys", "workspaces", "targets", "target-configs", "runners")}
                # Of the keys, not the client's: this test needs it.
                hurt = files[folder][0]
                if folder == "keys":
                    for name in files[folder]:
                        with open(os.path.join(server.data, folder, name), encoding="utf-8") as file:
                            if json.load(file)["type"] == "workspace":
                                hurt = name
                os.truncate(os.path.join(server.data, folder, hurt), 20)
                server = serverproc.Server(self, server.data, "--poll-seconds", "1")
                with open(os.path.join(server.data, "server.log"), encoding="utf-8") as file:
                    self.assertIn(hurt + ".bad-1", file.read())
                for kind in ("workspaces", "targets", "runners"):
                    want = [] if kind == folder else [files[kind][0][:-5]]
                    self.assertEqual([r["id"] for r in server.ok("GET", "/" + kind[:-1]).json], want, kind)
                self.assertEqual(server.call("GET", "/target", key=key).status, 401 if folder == "runners" else 200)
                server.stop()
                for kind, names in files.items():
                    want = sorted(n + ".bad-1" if (kind, n) == (folder, hurt) else n for n in names)
                    self.assertEqual(sorted(os.listdir(os.path.join(server.data, kind))), want, kind)

    def test_options(self):
        for args, text, code in (
                (["--listen", "nowhere:1"], "an IP address", 2), (["--listen", "127.0.0.1:99999"], "an IP address and a port", 2),
                (["--listen", "0.0.0.0:0"], "--allow-http", 2), (["--tls-cert", "x"], "go together", 2),
                (["--tls-cert", "/none", "--tls-key", "/none"], "/none", 1), (["--bogus"], "bogus", 2),
                (["--public-url", "ftp://x"], "--public-url", 1), (["surplus"], "surplus", 2)):
            result = self.run_server("--data", os.path.join(self.tmp, "unused"), *args)
            self.assertIn(text, result.stderr)
            self.assertEqual(result.returncode, code, result.stderr)
        port_file, key_file = os.path.join(self.tmp, "port"), os.path.join(self.tmp, "key")
        server = serverproc.Server(self, os.path.join(self.tmp, "d2"), "--port-file", port_file, "--key-file", key_file,
                                   "--version-text", "v0.52.0")
        with open(port_file, encoding="ascii") as file:
            self.assertEqual(int(file.read()), server.port)
        with open(key_file, encoding="ascii") as file:
            answer = server.call("GET", "/runner", key=file.read().strip())
        self.assertEqual((answer.status, answer.header("X-Server-Version")), (200, "v0.52.0"))
        self.assertEqual(stat.S_IMODE(os.stat(key_file).st_mode), 0o600)
        taken = self.run_server("--data", os.path.join(self.tmp, "d3"), "--listen", f"127.0.0.1:{server.port}")
        self.assertEqual(taken.returncode, 1)
        self.assertIn("in use", taken.stderr)
        server.process.send_signal(1)  # SIGHUP does not end it
        server.ok("GET", "/health", key=None)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    common.main()
