#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Join tokens of the embedded Server, and tokens in place of a line: each registers one runner, once, whatever dies
meanwhile, and nothing of a token's is believed that a token may not say. rotate-key: whatever dies, a saved key is good."""
import base64
import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(1, os.path.join(os.path.dirname(__file__), "..", "lib"))
from lib import common, serverproc  # noqa: E402


def make_token(**settings):
    raw = json.dumps(settings).encode()
    return "dr1_" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


class Join(common.Case):
    args = ()

    def setUp(self):
        super().setUp()
        self.data = self.path("data")
        self.server = serverproc.Server(self, self.data, *self.args)

    def applet(self, *args, rc=0, config="host", text=None):
        env = common.clean_env(self.tmp, DAYTONA_RUNNER_CONFIG_DIR=self.path(config), DAYTONA_RUNNER_PORT="0")
        with open(self.path("input"), "w+", encoding="utf-8") as file:
            file.write(text or "")
            file.seek(0)
            done = common.run([common.BIN, *args], env=env, stdin=file)
        self.assertEqual(done.returncode, rc, (args, done.stdout, done.stderr))
        return done

    def join(self, *args, rc=0):
        return self.applet("server", "join", "--data", self.data, *args, rc=rc)

    def token(self, *args):
        return self.join(*args).stdout.strip()

    def secret(self, query=""):
        self.count = getattr(self, "count", 0) + 1
        return serverproc.token(self.server.ok("POST", f"/apikey/j{self.count}?type=join{query}").body)["join"]

    def names(self):
        return sorted(r["name"] for r in self.server.ok("GET", "/runner").json)

    def ini(self, config="host"):
        with open(self.path(config, "runner.ini"), encoding="utf-8") as file:
            return file.read()

    def restart(self):
        self.server = serverproc.Server(self, self.data, *self.args)


class Tokens(Join):
    def test_one_word_configures_a_host(self):
        made = self.join()
        self.assertIn("daytona-runner configure TOKEN", made.stderr)
        self.assertIn("only good on this host", made.stderr)
        token = made.stdout.strip()
        said = self.applet("configure", token, "--name", "edge").stdout
        self.assertIn("Next: daytona-runner start", said)
        self.assertEqual(self.names(), ["edge"])
        self.assertNotIn(serverproc.token(token)["join"], self.ini())
        self.assertIn("The Server " + self.server.url + " accepts", self.applet("configure", "--max-jobs", "3").stdout)
        # Used: refused in a line that says what to do, and nothing is saved.
        text = self.applet("configure", token, "--name", "two", rc=1, config="other").stderr
        self.assertIn("used already", text)
        self.assertIn("server join", text)
        self.assertEqual(text.count("\n"), 1)
        self.assertFalse(os.path.exists(self.path("other", "runner.ini")))
        self.assertEqual(self.names(), ["edge"])

    def test_from_standard_input_and_within_a_line(self):
        self.applet("configure", "-", "--name", "one", text=self.token() + "\n", config="one")
        self.applet("configure", "-", "--name", "two", config="two",
                    text="daytona-runner configure " + self.token() + "\n")
        self.applet("configure", "daytona-runner configure " + self.token(), "--name", "three", config="three")
        self.assertEqual(self.names(), ["one", "three", "two"])

    def test_a_configured_host_keeps_its_runner_and_the_token(self):
        self.applet("configure", self.token(), "--name", "one")
        before, token = self.ini(), self.token()
        self.assertIn("purge it first", self.applet("configure", token, "--name", "two", rc=1).stderr)
        self.assertEqual(self.ini(), before)
        open(self.path("file"), "w", encoding="utf-8").close()
        self.applet("configure", token, "--name", "two", rc=1, config="file/below")
        self.assertIn("no provider", self.applet("configure", token, "--providers", "nope", rc=1, config="two").stderr)
        self.applet("configure", token, "--name", "one", rc=1, config="two")  # that name is taken
        self.assertEqual(self.names(), ["one"])
        self.applet("configure", token, "--name", "two", config="two")
        self.assertEqual(self.names(), ["one", "two"])

    def test_create_takes_it(self):
        token = self.token()
        made = json.loads(self.applet("create", "--join", token, "-n", "one", "-f", "json").stdout)
        self.server.ok("GET", "/runner/" + made["id"], key=made["apiKey"])
        self.assertIn("used already", self.applet("create", "--join", token, "-n", "two", rc=1).stderr)
        said = self.applet("create", "--join", "-", "--apply", "-n", "two", text=self.token() + "\n").stdout
        self.assertIn("Runner two", said)
        self.assertIn("name = two", self.ini())
        self.assertIn("already", self.applet("create", "--join", self.token(), "--apply", "-n", "three", rc=1).stderr)
        self.applet("create", "--join", self.token(), "--api-key", "x", rc=2)
        self.assertIn("cut or damaged", self.applet("create", "--join", "dr1_AAAA", "-n", "x", rc=2).stderr)
        self.assertEqual(self.names(), ["one", "two"])

    def test_a_token_of_a_registered_runner(self):
        key = ("--api-url", self.server.url, "--api-key", self.server.key)
        token = self.applet("create", *key, "-n", "one", "--token").stdout.strip()
        self.applet("create", "--join", token, rc=2)
        self.applet("configure", token)
        self.assertIn("name = one", self.ini())
        made = json.loads(self.applet("create", *key, "-n", "two", "-f", "json").stdout)
        said = serverproc.token(made["token"])
        self.assertEqual(said, {"server.url": made["apiUrl"], "server.key": made["apiKey"], "runner.id": made["id"],
                                "runner.name": "two"})
        self.applet("create", *key, "-n", "x", "--token", "--env", rc=2)
        self.applet("create", *key, "-n", "x", "--token", "-f", "json", rc=2)
        self.assertEqual(self.names(), ["one", "two"])

    def test_what_no_token_may_say(self):
        good = serverproc.token(self.token())
        for extra in ({"server.key_command": "/bin/true"}, {"runner.hook_before_job": "/bin/true"},
                      {"server.insecure": "true"}, {"server.ca_file": "/etc/passwd"}, {"server.proxy": "http://x"}):
            text = self.applet("configure", make_token(**good, **extra), "--name", "x", rc=2).stderr
            self.assertIn("cut or damaged", text)
        whole = make_token(**good)
        for bad in (whole[:-1], whole[:-9], "dr1_", "dr1_e30", "dr1_W10", "dr1_*", whole + "A" * 70000):
            self.applet("configure", bad, "--name", "x", rc=2)
        for url in ("ftp://x", "nonsense", "http://user:pw@127.0.0.1:1"):
            self.applet("configure", make_token(**dict(good, **{"server.url": url})), "--name", "x", rc=1)
        self.assertFalse(os.path.exists(self.path("host", "runner.ini")))
        self.assertEqual(self.names(), [])

    def test_list_and_revoke_with_and_without_the_server(self):
        first = self.token("create", "one")
        self.join("create", "one", rc=1)
        self.assertRegex(self.join("list").stdout, r"\Aone until \d{4}-\S+Z\n\Z")
        self.join("delete", "default", rc=1)  # the administrator's key is none
        self.assertEqual(self.server.stop(), 0)
        second = self.join("create", "two")
        self.assertIn("no URL", second.stderr)
        self.assertEqual([x.split()[0] for x in self.join("list").stdout.splitlines()], ["one", "two"])
        self.join("delete", "default", rc=1)
        self.join("delete", "one")
        self.restart()
        at = ("--api-url", self.server.url)
        self.assertIn("used already", self.applet("create", "--join", first, *at, "-n", "a", rc=1).stderr)
        second = second.stdout.strip()
        self.assertIn("--api-url", self.applet("create", "--join", second, "-n", "a", rc=2).stderr)
        self.applet("create", "--join", second, *at, "-n", "a")  # it outlived the server
        third = self.token("create", "three")
        self.join("delete", "three")
        self.assertIn("used already", self.applet("create", "--join", third, "-n", "b", rc=1).stderr)
        self.assertEqual((self.names(), self.join("list").stdout), (["a"], ""))
        for args in (("remove", "x"), ("list", "x"), ("delete",), ("x",), ("--for", "0"), ("--for", "x")):
            self.join(*args, rc=2)

    def test_time_is_up(self):
        token = self.server.ok("POST", "/apikey/short?type=join&for=1").body.decode()
        common.wait_for(lambda: not self.server.ok("GET", "/apikey?type=join").json, 20 * common.PATIENCE, "the end of a token")
        self.assertIn("its time is up", self.applet("create", "--join", token, "-n", "a", rc=1).stderr)
        self.assertEqual(self.server.call("POST", "/apikey/x?type=join&for=0").status, 400)
        self.server.ok("POST", "/apikey/short?type=join")  # the name is free again
        self.assertEqual(self.server.ok("GET", "/apikey").json, [{"type": "client", "name": "default", "current": True}])

    def test_a_name_whose_time_is_up_is_no_ones(self):
        """Another key of that name can be listed, used and revoked, and goes with its runner."""
        ok, call = self.server.ok, self.server.call
        for name in ("c", "a" * 12):
            ok("POST", f"/apikey/{name}?type=join&for=300")
        common.wait_for(lambda: not ok("GET", "/apikey?type=join").json, 20 * common.PATIENCE, "the end of the tokens")
        key = ok("POST", "/apikey/c").body.decode()
        self.assertEqual(call("POST", "/apikey/c?type=join").status, 500)
        self.assertEqual(call("POST", "/apikey/c").status, 500)
        ok("GET", "/apikey", key=key)
        ok("DELETE", "/apikey/c")
        self.assertEqual(call("GET", "/apikey", key=key).status, 401)
        body = {"id": "a" * 12, "name": "r"}
        key = ok("POST", "/runner", body).json["apiKey"]
        ok("DELETE", "/runner/" + body["id"])
        ok("POST", "/runner", body)
        self.assertEqual(call("GET", "/runner/" + body["id"], key=key).status, 401)

    def test_it_is_stored_as_a_hash(self):
        secret = self.secret()
        for base, _, files in os.walk(self.data):
            for name in files:
                with open(os.path.join(base, name), "rb") as file:
                    self.assertNotIn(secret.encode(), file.read(), name)
        with open(self.path("data", "audit.log"), encoding="utf-8") as file:
            self.assertIn("add keys join/", file.read())

    def test_the_printed_line_works(self):
        line = self.server.process.stdout.readline().decode()
        self.assertTrue(line.startswith("A runner on this host: "), line)
        line = line.split(": ", 1)[1]
        with open(self.path("script"), "w", encoding="utf-8") as file:
            file.write(line)
        self.assertNotIn("client.key", line)
        os.mkdir(self.path("bin"))
        os.symlink(common.BIN, self.path("bin", "daytona-runner"))
        env = common.clean_env(self.tmp, DAYTONA_RUNNER_CONFIG_DIR=self.path("host"))
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        common.run(["/bin/sh", file.name], env=env, check=True)
        self.assertEqual(self.names(), [os.uname().nodename])


class Once(Join):
    def post(self, secret, n):
        return self.server.call("POST", "/runner", {"id": f"aaaaaaaaaa{n:02}", "name": f"r{n}"}, key=secret)

    def test_of_many_at_once_one_wins(self):
        for _ in range(3):
            secret, before, answers = self.secret(), len(self.names()), []
            first = len(self.names()) * 10
            threads = [threading.Thread(target=lambda n=n: answers.append(self.post(secret, n).status))
                       for n in range(first, first + 8)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(answers), [200] + [401] * 7)
            self.assertEqual(len(self.names()), before + 1)

    def test_what_is_refused_spends_nothing(self):
        secret = self.secret()
        self.server.ok("POST", "/runner", {"id": "a" * 12, "name": "taken"})
        for body in ({"id": "../x", "name": "x"}, {"id": "b" * 12, "name": "taken"},
                     {"id": "taken", "name": "x"}, {"id": "a" * 12, "name": "x"}, {"id": "default", "name": "x"}):
            self.assertEqual(self.server.call("POST", "/runner", body, key=secret).status, 500, body)
        self.assertEqual(self.server.call("POST", "/runner", "{", key=secret).status, 400)
        self.assertEqual(self.names(), ["taken"])
        self.assertEqual(self.post(secret, 1).status, 200)

    def test_killed_between(self):
        """Spent and registered are one change: after a crash both are so or neither is."""
        both = neither = 0
        for n in range(1, 7):
            secret = self.secret()
            body = json.dumps({"id": f"aaaaaaaaaa{n:02}", "name": f"r{n}"}).encode()
            s = self.server.socket()
            s.sendall(b"POST /runner HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret.encode() +
                      b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body[:-1])
            records = os.path.join(self.data, "records")
            size = sum(os.path.getsize(os.path.join(records, x)) for x in os.listdir(records))
            if n % 3:
                s.sendall(body[-1:])
            if n % 3 == 1:  # as soon as something is written
                common.wait_for(lambda: sum(os.path.getsize(os.path.join(records, x)) for x in os.listdir(records)) != size,
                                20 * common.PATIENCE, "a write")
            self.server.kill()
            self.restart()
            there = f"r{n}" in self.names()
            again = self.server.call("POST", "/runner", {"id": f"bbbbbbbbbb{n:02}", "name": f"again{n}"}, key=secret).status
            self.assertEqual(again, 401 if there else 200, n)
            both, neither = both + there, neither + (not there)
        self.assertGreaterEqual(both, 2)
        self.assertGreaterEqual(neither, 2)


class Tls(Join):
    def setUp(self):
        common.Case.setUp(self)
        self.data = self.path("data")
        cert, key = common.make_cert(self.tmp, common.make_ca(self.tmp))
        self.server = serverproc.Server(self, self.data, "--tls-cert", cert, "--tls-key", key)

    def test_a_token_carries_the_ca(self):
        ca = self.path("ca.pem")
        self.assertIn("certificate", self.applet("configure", self.token(), "--name", "x", rc=1).stderr)
        token = self.token("--ca-file", ca)
        self.applet("configure", token, "--name", "one")
        kept, = [x for x in os.listdir(self.path("host")) if x.startswith("ca-")]
        with open(ca, "rb") as a, open(self.path("host", kept), "rb") as b:
            self.assertEqual(a.read(), b.read())
        self.assertIn("ca_file = " + self.path("host", kept), self.ini())
        self.assertIn("accepts", self.applet("configure", "--max-jobs", "3").stdout)
        made = self.applet("create", "--api-url", self.server.url, "--api-key", self.server.key, "--ca-file", ca, "-n",
                           "two", "--token")
        self.applet("configure", made.stdout.strip(), config="two")
        self.applet("purge", "-y")
        self.assertFalse(os.path.exists(self.path("host", kept)))


class Holding:
    """Between a program and the Server: what is sent goes through at once, and the answer to a request whose first line
    matches is kept back."""

    def __init__(self, case, port):
        self.port, self.hold, self.answered = port, None, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()
        case.addCleanup(self.listener.close)

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        server = socket.create_connection(("127.0.0.1", self.port))
        held = threading.Event()

        def up():
            while data := client.recv(65536):
                if self.hold and self.hold in data.split(b"\r\n")[0]:
                    held.set()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        threading.Thread(target=lambda: self.quiet(up), daemon=True).start()

        def down():
            while data := server.recv(65536):
                if held.is_set():
                    self.answered.set()
                else:
                    client.sendall(data)
        self.quiet(down)
        client.close()
        server.close()

    @staticmethod
    def quiet(step):
        try:
            step()
        except OSError:
            pass


class Rotate(Join):
    def setUp(self):
        super().setUp()
        self.between = Holding(self, self.server.port)
        self.applet("configure", self.token("--runner-api-url", self.between.url), "--name", "edge")
        self.id = re.search(r"id = (\w+)", self.ini()).group(1)

    def key(self):
        return re.search(r"key = (\S+)", self.ini()).group(1)

    def works(self, key, method="GET", path=""):
        return self.server.call(method, f"/runner/{self.id}{path}", key=key).status == 200

    def another(self, key):
        return self.server.ok("POST", f"/runner/{self.id}/key", key=key).json["apiKey"]

    def settled(self, key):
        """Those before it are not good for long any more."""
        with open(self.path("data", "audit.log"), encoding="utf-8") as file:
            return file.read().count(f"change keys runner/{self.id}")

    def log(self):
        return self.applet("logs").stdout

    def test_a_replaced_key_makes_no_other(self):
        old = self.key()
        new = self.another(old)
        self.assertTrue(self.works(new))
        self.assertTrue(self.works(old))
        answer = self.server.call("POST", f"/runner/{self.id}/key", key=old)
        self.assertEqual((answer.status, b"replaced" in answer.body), (403, True))
        self.assertEqual(self.server.call("POST", f"/runner/{self.id}/key", key=self.server.key).status, 403)
        self.another(new)

    def test_without_a_restart(self):
        self.applet("start")
        status = json.loads(self.applet("status", "-f", "json").stdout)
        old = self.key()
        said = self.applet("rotate-key").stdout
        self.assertIn("edge has another key, in " + self.path("host", "runner.ini"), said)
        self.assertIn("takes it now", said)
        new = self.key()
        self.assertNotEqual(new, old)
        common.wait_for(lambda: self.settled(new), 40 * common.PATIENCE, "the runner's use of the new key")
        self.assertTrue(self.works(old))  # for a while: of jobs that were begun with it
        self.assertEqual(json.loads(self.applet("status", "-f", "json").stdout)["pid"], status["pid"])
        # At the second one the first is gone.
        self.applet("rotate-key")
        common.wait_for(lambda: not self.works(old), 40 * common.PATIENCE, "the end of the first key")
        self.assertTrue(self.works(new))
        self.assertTrue(self.works(self.key()))
        self.assertEqual(os.stat(self.path("host", "runner.ini")).st_mode & 0o777, 0o600)
        self.applet("stop")
        for text in (said, self.log()):
            for key in (old, new, self.key()):
                self.assertNotIn(key, text)

    def test_a_runner_that_was_not_told(self):
        """Killed between the file and the signal, and the runner finds only later that its key is refused."""
        self.applet("start")
        old = self.key()
        new = self.another(self.another(old))
        with open(self.path("host", "runner.ini"), encoding="utf-8") as file:
            text = file.read()
        with open(self.path("host", "runner.ini"), "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
        self.assertTrue(self.works(new))
        common.wait_for(lambda: not self.works(old) or "there is another key" in self.log(), 60 * common.PATIENCE, "the end of the old key")
        common.wait_for(lambda: "there is another key" in self.log(), 60 * common.PATIENCE, "the runner's look at the file")
        common.wait_for(lambda: self.server.ok("GET", "/runner/" + self.id).json["state"]["name"] == "started", 40 * common.PATIENCE, "a heartbeat")
        self.applet("stop")

    def test_killed_at_any_point(self):
        keys = [self.key()]
        for n in range(4):
            self.between.hold, self.between.answered = (b"/key " if n % 2 == 0 else None), threading.Event()
            env = common.clean_env(self.tmp, DAYTONA_RUNNER_CONFIG_DIR=self.path("host"))
            before = self.ini()
            p = subprocess.Popen([common.BIN, "rotate-key"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if n % 2 == 0:  # the Server has the new key, nobody else has
                common.wait_for(lambda p=p: self.between.answered.is_set() or p.poll() is not None, 60 * common.PATIENCE, "a key")
                self.assertTrue(self.between.answered.is_set(), p.returncode)
            else:           # as soon as the file is another one
                common.wait_for(lambda before=before: self.ini() != before, 20 * common.PATIENCE, "another file")
            p.kill()
            p.wait()
            self.between.hold = None
            self.assertEqual(self.ini() == before, n % 2 == 0)
            self.assertTrue(self.works(self.key()), n)
            keys.append(self.key())
        self.applet("rotate-key")
        self.assertTrue(self.works(self.key()))
        self.assertFalse(self.works(keys[0]))

    def test_the_server_is_killed(self):
        old = self.key()
        for n in range(3):
            new = self.another(old)
            self.server.kill()
            self.restart()
            self.assertTrue(self.works(old), n)
        self.assertTrue(self.works(new))
        self.server.kill()
        self.restart()
        self.assertTrue(self.works(old))
        self.assertTrue(self.works(new))

    def test_a_new_key_that_nobody_used_is_replaced(self):
        old = self.key()
        first = self.another(old)
        second = self.another(old)
        self.assertFalse(self.works(first))
        self.assertTrue(self.works(old))
        self.assertTrue(self.works(second))
        self.server.ok("DELETE", "/runner/" + self.id)
        for key in (old, second):
            self.assertFalse(self.works(key))

    def test_key_file(self):
        path = self.path("key")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(self.key() + "\n")
        with open(self.path("host", "runner.ini"), encoding="utf-8") as file:
            text = file.read()
        text = text.replace("key = " + self.key(), "key_file = " + path)
        with open(self.path("host", "runner.ini"), "w", encoding="utf-8") as file:
            file.write(text)
        before = self.ini()
        self.assertIn("in " + path, self.applet("rotate-key").stdout)
        self.assertEqual(self.ini(), before)
        with open(path, encoding="utf-8") as file:
            self.assertTrue(self.works(file.read().strip()))

    def test_two_at_once(self):
        lock = os.open(self.path("host"), os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = self.ini()
        self.assertIn("at work", self.applet("rotate-key", rc=1).stderr)
        os.close(lock)
        self.assertEqual(self.ini(), before)

    def test_where_it_cannot_be(self):
        before, key = self.ini(), self.key()
        env = common.clean_env(self.tmp, DAYTONA_RUNNER_CONFIG_DIR=self.path("host"), DAYTONA_RUNNER_SERVER_KEY=key)
        done = common.run([common.BIN, "rotate-key"], env=env)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("environment DAYTONA_RUNNER_SERVER_KEY", done.stderr)
        self.assertIn("configure", self.applet("rotate-key", rc=1, config="nobody").stderr)
        self.assertEqual(self.ini(), before)
        self.assertNotIn("add keys runner", open(self.path("data", "audit.log"), encoding="utf-8").read().split(
            f"add runners {self.id}")[1])

    def test_a_server_that_has_no_such_call(self):
        fake = self.runner(common.Case.server(self))
        text = fake.applet("rotate-key")
        self.assertEqual(text.returncode, 1)
        self.assertIn("keeps a runner's key as long as the runner", text.stderr)
        self.assertIn("purge", text.stderr)


if __name__ == "__main__":
    common.main()
