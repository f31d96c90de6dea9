#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's store: what was answered survives kill -9, half-written things do not, bad files harm
nobody else; and the directory's own rules."""
import http.client
import json
import os
import random
import shutil
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
        """Creates, states of jobs and heartbeats, from several clients at once; kill -9; all over again."""
        rank = {"pending": 0, "running": 1, "success": 2}
        for turn in range(4):
            server = self.start()
            runner = f"{turn:012x}"
            try:
                key = serverproc.make_runner(server, runner, f"r{turn}")
            except AssertionError:
                self.fail("a store after kill -9 must take new things")
            config = serverproc.make_config(server, runner, f"c{turn}")
            made, states, beats, stop = [], {}, [0], threading.Event()

            def call(*args, server=server, stop=stop):
                """None: there was no answer."""
                try:
                    return None if stop.is_set() else server.call(*args, timeout=20)
                except (OSError, http.client.HTTPException):
                    return None

            def make(n, call=call, config=config, made=made, turn=turn):
                for i in range(10000):
                    name = f"t{turn}-{n}-{i}"
                    reply = call("POST", "/target", {"id": name, "name": name, "targetConfigId": config})
                    if not reply:
                        return
                    self.assertEqual(reply.status, 200, reply.body)
                    made.append(name)

            def work(_, call=call, states=states, runner=runner, key=key):
                while reply := call("GET", f"/runner/{runner}/jobs", None, key):
                    for job in reply.json if reply.status == 200 else []:
                        for state in ("running", "success"):
                            answer = call("POST", f"/runner/{runner}/jobs/{job['id']}/state", {"state": state}, key)
                            if not answer:
                                return
                            self.assertEqual(answer.status, 200, answer.body)
                            states[job["id"]] = state

            def beat(_, call=call, beats=beats, runner=runner, key=key, turn=turn):
                for i in range(1, 10000):
                    provider = dict(serverproc.PROVIDER, runnerId=runner, runnerName=f"r{turn}", version=f"v{i}")
                    reply = call("POST", f"/runner/{runner}/metadata", {"uptime": i, "providers": [provider]}, key)
                    if not reply:
                        return
                    beats[0] = i

            threads = [threading.Thread(target=f, args=(n,)) for n, f in enumerate((make, make, work, beat))]
            for t in threads:
                t.start()
            common.wait_for(lambda a=made, s=states, b=beats, t=turn: len(a) > 20 + 7 * t + random.randrange(8)
                            and len(s) > 10 and b[0] > 10, 60 * common.PATIENCE, "targets, states and heartbeats")
            server.process.kill()
            stop.set()
            for t in threads:
                t.join()
            server.kill()
            server = self.start()
            targets = {t["id"]: t for t in server.ok("GET", "/target").json}
            jobs = {j["id"]: j for j in server.ok("GET", "/job").json}
            self.assertLessEqual(set(made), set(targets))
            self.assertLessEqual(set(targets), {j["resourceId"] for j in jobs.values()}, "no target without its job")
            for job, state in states.items():
                self.assertGreaterEqual(rank[jobs[job]["state"]], rank[state])
            version = server.ok("GET", f"/runner/{runner}/provider").json[0]["version"]
            self.assertGreaterEqual(int(version[1:]), beats[0])
            self.assertEqual(server.stop(), 0)
            stored = serverproc.records(server.data)
            self.assertEqual({k["name"] for k in stored["keys"].values() if k["type"] == "target"}, set(targets))
            for root, _, files in os.walk(server.data):
                self.assertEqual([f for f in files if ".tmp-" in f or ".bad" in f], [], root)

    def test_files_of_single_records_are_taken_in(self):
        """A record that was repaired, or that an earlier version wrote; a bad one is set aside."""
        server = self.start()
        serverproc.make_runner(server)
        serverproc.make_runner(server, "bbbbbbbbbbb2", "two")
        server.stop()
        folder = os.path.join(server.data, "runners")
        os.mkdir(folder)
        third = dict(serverproc.records(server.data)["runners"][ID], id="ccccccccccc3", name="three", seq=99)
        good = json.dumps(third)
        for name, text in {"cut": good[:len(good) // 2], "empty": "", "list": "[]", "other": "{}", "deep": "[" * 9999,
                           "nul": "\0" * 100, "good": good}.items():
            with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
                file.write(text)
        open(os.path.join(folder, f"{ID}.json.tmp-1"), "w").close()
        for turn in range(2):
            server = self.start()
            self.assertEqual([r["name"] for r in server.ok("GET", "/runner").json], ["one", "two", "three"])
            self.assertEqual(sorted(os.listdir(folder)),
                             [f"{n}.json.bad-1" for n in ("cut", "deep", "empty", "list", "nul", "other")])
            if turn == 0:
                self.assertIn("cut.json", server.log())
                server.kill()
        server.stop()

    def test_a_record_that_is_repaired(self):
        """A runner that was lost: its key is kept, opens nothing, and works again when it is there again."""
        server = self.start()
        key = serverproc.make_runner(server)
        server.stop()
        runner = serverproc.records(server.data)["runners"][ID]
        serverproc.add_to_log(server.data, {"remove": "runners", "id": ID})
        server = self.start()
        self.assertEqual(server.call("GET", "/target", key=key).status, 401)
        server.stop()
        os.mkdir(os.path.join(server.data, "runners"))
        with open(os.path.join(server.data, "runners", f"{ID}.json"), "w", encoding="utf-8") as file:
            json.dump(runner, file)
        server = self.start()
        self.assertEqual(server.call("GET", "/target", key=key).status, 200)
        self.assertFalse(os.path.exists(os.path.join(server.data, "runners")))
        server.stop()

    def test_modes_and_secrets(self):
        server = self.start()
        client = server.key
        key = serverproc.make_runner(server)
        config = serverproc.make_config(server)
        server.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
        self.assertEqual(stat.S_IMODE(os.stat(server.data).st_mode), 0o700)
        modes = common.look_at(server.data, lambda _, st: st.st_mode)
        self.assertEqual({stat.S_IMODE(mode) for mode in modes.values() if not stat.S_ISDIR(mode)}, {0o600}, modes)
        for path, data in common.contents(server.data).items():
            self.assertNotIn(key.encode(), data, path)
            if os.path.basename(path) != "client.key":
                self.assertNotIn(client.encode(), data, path)
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
        alive = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60 * common.PATIENCE)
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
        for _ in range(1200):  # more than the store has at once
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

    def test_disk_that_has_no_room_left(self):
        """A file system that is really full: 507 says so to each, nothing has changed, and it works on when there is room."""
        common.need_unshare(self, "-rm")
        mount, key_file = os.path.join(self.tmp, "mount"), os.path.join(self.tmp, "key")
        os.mkdir(mount)
        script = ('mount -t tmpfs -o size=1m,mode=700 none "$0" || exit 77; head -c 400000 /dev/zero >"$0/ballast"; exec "$@"')
        server = serverproc.Server(self, os.path.join(mount, "data"), "--key-file", key_file,
                                   prefix=("unshare", "-rm", "sh", "-c", script, mount))
        with open(key_file, encoding="ascii") as file:
            client = file.read().strip()

        def call(method, path, body=None, key=client):
            return server.call(method, path, body, key)

        key = call("POST", "/runner", {"id": ID, "name": "one"}).json["apiKey"]
        config = call("POST", "/target-config", {"name": "c", "options": "{}", "providerInfo": dict(
            serverproc.PROVIDER, runnerId=ID, runnerName="one")}).json["id"]
        self.assertEqual(call("POST", "/target", {"id": "t1", "name": "t1", "targetConfigId": config}).status, 200)
        job = call("GET", f"/runner/{ID}/jobs", key=key).json[0]["id"]
        self.assertEqual(call("POST", "/workspace", serverproc.workspace_body("w1", "one", "t1")).status, 200)
        last = None
        for size in (30000, 1000, 1):
            for i in range(1, 400):
                answer = call("POST", "/workspace/w1/provider-metadata", {"metadata": f"{i} " + "m" * size}, key)
                if answer.status != 200:
                    break
                last = f"{i} " + "m" * size
            self.assertEqual(answer.status, 507, answer.body)
            self.assertIn("not saved", answer.json["error"])
            self.assertIn("No space left", answer.json["error"])
        common.wait_for(lambda: call("PUT", "/env", {"key": "K", "value": "v"}).status == 507, 60 * common.PATIENCE, "not a line fits any more")
        before = {path: call("GET", path).json for path in ("/workspace", "/target", "/job", "/apikey", "/env")}
        self.assertEqual(before["/workspace"][0]["providerMetadata"], last)
        settings = call("GET", "/server/config").json
        refused = [("POST", "/workspace/w1/labels", {"a": "b"}, client), ("DELETE", "/workspace/w1?force=true", None, client),
                   ("POST", "/workspace", serverproc.workspace_body("w2", "two", "t1"), client),
                   ("POST", f"/runner/{ID}/jobs/{job}/state", {"state": "running"}, key),
                   ("POST", f"/job/{job}/cancel", None, client), ("DELETE", f"/runner/{ID}", None, client),
                   ("PATCH", "/target/t1/set-default", None, client), ("PUT", "/env", {"key": "K", "value": "v"}, client),
                   ("POST", "/apikey/other", None, client), ("DELETE", f"/target-config/{config}", None, client),
                   ("PUT", "/gitprovider", {"providerId": "github", "token": "t", "username": "u", "id": "g"}, client),
                   ("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://x.test/a/b", "envVars": {}}, client),
                   ("POST", f"/runner/{ID}/metadata", {"uptime": 1, "providers": [serverproc.PROVIDER]}, key),
                   ("PUT", "/server/config", dict(settings, defaultWorkspaceUser="x"), client)]
        for method, path, body, bearer in refused:
            answer = call(method, path, body, bearer)
            self.assertEqual(answer.status, 507, (method, path, answer.body))
            self.assertIn("not saved", answer.json["error"], path)
        for path, was in before.items():
            for now, then in zip(call("GET", path).json, was, strict=True):
                for item in (now, then) if path in ("/workspace", "/target") else ():
                    item["state"].pop("updatedAt")  # now, while no job has begun
                self.assertEqual(now, then)
        self.assertEqual(call("GET", "/server/config").json, settings)
        os.unlink(f"/proc/{server.pid}/root{mount}/ballast")
        for method, path, body, bearer in (refused[0], refused[3]):
            self.assertEqual(call(method, path, body, bearer).status, 200, path)
        self.assertEqual(server.stop(), 0)

    def test_a_damaged_line_deletes_nothing_else(self):
        """Each line of the log, one after the other: all that other lines say stays."""
        server, _ = self.with_workspace()
        client = server.key
        server.stop()
        lines = list(serverproc.log_lines(server.data))
        self.assertGreater(len(lines), 8)
        for n, (path, at, line) in enumerate(lines):
            with self.subTest(line=n):
                copy = os.path.join(self.tmp, f"copy-{n}")
                shutil.copytree(server.data, copy)
                hurt = os.path.join(copy, os.path.relpath(path, server.data))
                with open(hurt, "r+b") as file:
                    file.seek(at + len(line) // 2)
                    file.write(bytes([line[len(line) // 2] ^ 1]))
                ops = json.loads(line[17:])
                touched = {op["rec"].get("id", op["rec"].get("hash")) if "rec" in op else op["id"] for op in ops}
                again = serverproc.Server(self, copy, "--poll-seconds", "1", "--key-file", os.path.join(copy, "other.key"))
                self.assertIn("damaged lines", again.log())
                self.assertEqual(again.stop(), 0)
                with open(hurt + ".bad-1", "rb") as file:
                    self.assertIn(line[:len(line) // 2], file.read())
                before, after = serverproc.records(server.data), serverproc.records(copy)
                for kind, stored in before.items():
                    for name, rec in stored.items():
                        if name not in touched:
                            self.assertEqual(after[kind][name], rec, (kind, name))
                third = serverproc.Server(self, copy, "--poll-seconds", "1")
                self.assertEqual(third.stop(), 0)
                self.assertEqual(os.listdir(os.path.dirname(hurt)).count(os.path.basename(hurt) + ".bad-2"), 0)
        self.assertTrue(client)

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
