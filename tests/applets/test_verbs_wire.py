#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What each verb for people sends to a Server of v0.53, and what it makes of each answer that such a Server gives: every
request is held against the API file (v53server.py)."""
import json
import os
import re
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.lifecase import one_line  # noqa: E402
from httppeer import TEXT_TYPE, close, error, raw, reply, ws_accept, ws_frame  # noqa: E402
from v53server import SHA, SHAPES, ReferenceCase, fits, request_faults  # noqa: E402

URL = "https://git.test/acme/App"
JOB = "GET /job?resourceType={}&resourceId={}"
RECORDINGS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recordings")


class Wire(ReferenceCase):
    def setUp(self):
        super().setUp()
        self.fill()

    def fill(self):
        """One of each kind, with nothing to do."""
        s = self.srv
        for things in (s.workspaces, s.targets, s.jobs, s.templates, s.logs):
            things.clear()
        s.bodies.clear()
        s.target_configs.clear()
        s.names, s.outcome = ["mine", "a b/c"], ("success", None)
        s.add_config()
        self.target = s.add_target(provider="docker-provider")
        self.workspace = s.add_workspace(URL.lower(), self.target, name="work", sha=SHA)
        s.workspaces[self.workspace]["state"]["name"] = "started"
        self.job = s.add_job("workspace", "create", self.workspace)
        s.jobs[self.job]["state"] = "success"
        s.env = [{"key": "A/B", "value": "x=y"}]
        s.templates["tmpl"] = {"name": "tmpl", "image": "debian:12", "user": "ada", "repositoryUrl": URL, "default": True,
                               "envVars": {"T": "1"}, "labels": {}, "prebuilds": None}
        s.requests.clear()

    def verbs(self):
        """Each verb: its words, what it asks (in order; ? may come any number of times), and what it says."""
        w, t, c = self.workspace, self.target, self.srv.target_configs[0]["id"]

        def job(kind, thing, mark=True):
            log = f"/log/{kind}/{thing}?retry=false"
            return [*([f"GET {log}"] if mark else []), f"?GET {log}&follow=true", "?" + JOB.format(kind, thing)]
        made = [f"?GET /log/workspace/ID?retry=false&follow=true", "?" + JOB.format("workspace", "ID")]
        look = ["POST /gitprovider/context", "GET /workspace", "GET /target", "POST /workspace"]
        return [
            ("target list", ["GET /target"], r"(?m)^local +\w+ +- +edge +docker-provider +true +0$"),
            ("target info local", ["GET /target"], r"(?m)^Provider: +docker-provider$"),
            (f"target info {t} -f json", ["GET /target"], '"state": "undefined"'),
            ("target create fresh", ["GET /target-config", "GET /target", "POST /target",
                                     "?GET /log/target/ID?retry=false&follow=true", "?" + JOB.format("target", "ID")],
             r"Next: daytona-runner workspace create"),
            ("target create --no-wait", ["GET /target-config", "GET /target", "POST /target"], "Next"),
            ("target create own -o K=V --no-wait", ["GET /target-config", "GET /target", "POST /target-config",
                                                    "GET /target-config", "POST /target"], "Next"),
            ("target set-default local", ["GET /target", f"PATCH /target/{t}/set-default"], r"\ATarget local is the default\.\n"),
            *[(f"target {verb} local", ["GET /target", *job("target", t)[:1], f"POST /target/{t}/{verb}", *job("target", t)[1:]],
               rf"\ATarget local {done}\.\n\Z") for verb, done in (("start", "is started"), ("stop", "is stopped"),
                                                                   ("restart", "is started again"))],
            ("target delete -y local", ["GET /target", *job("target", t)[:1], f"DELETE /target/{t}", *job("target", t)[1:]],
             r"\ATarget local is deleted\.\n\Z"),
            ("target delete -y --force --no-wait local", ["GET /target", f"DELETE /target/{t}?force=true"], "has its job"),
            ("workspace list", ["GET /workspace"], rf"(?m)^work +{w} +STARTED +\w+ +local +{URL.lower()} +main$"),
            ("workspace list -l a=b/c", ["GET /workspace?labels=%7B%22a%22%3A%22b%2Fc%22%7D"],
             r"\AThere are no such workspaces\.\n\Z"),
            ("workspace info work", ["GET /workspace/work"], r"(?m)^Runner: +edge$"),
            ("workspace info nobody", ["GET /workspace/nobody", "GET /workspace"], None),
            (f"workspace info {w} -f yaml", [f"GET /workspace/{w}"], r'(?m)^name: "work"$'),
            (f"workspace create {URL} --image debian:12 -e A=1 -l a=b", [*look, *made],
             r"\AWorkspace app-store is started\.\nNext: daytona-runner shell app-store\n\Z"),
            (f"workspace create {URL} -n x -b dev --builder devcontainer --no-wait", look, r"\AWorkspace x has its job\."),
            (f"workspace create {URL} -n y --git-provider-config g --no-wait --target local", look, "Workspace y"),
            ("workspace create tmpl -n z --no-wait", ["GET /workspace-template/tmpl", *look], "Workspace z"),
            *[(f"workspace {verb} work", ["GET /workspace/work", *job("workspace", w)[:1], f"POST /workspace/{w}/{verb}",
                                          *job("workspace", w)[1:]], rf"\AWorkspace work {done}\.\n")
              for verb, done in (("start", "is started"), ("stop", "is stopped"), ("restart", "is started again"))],
            ("workspace delete -y work", ["GET /workspace/work", *job("workspace", w)[:1], f"DELETE /workspace/{w}",
                                          *job("workspace", w)[1:]], r"\AWorkspace work is deleted\.\n\Z"),
            ("workspace delete -y --force --no-wait work", ["GET /workspace/work", f"DELETE /workspace/{w}?force=true"], "its job"),
            ("workspace logs work", ["GET /workspace/work", f"GET /log/workspace/{w}?retry=false"], ""),
            ("key list", ["GET /apikey"], r"(?m)^mine +client +true$"),
            ("key create a&b/c", ["POST /apikey/a%26b%2Fc"], r"\Ac2VjcmV0LXNlY3JldA\n\Z"),
            ("key revoke -y|a b/c", ["GET /apikey", "DELETE /apikey/a%20b%2Fc"], r"\AKey a b/c is revoked\.\n\Z"),
            ("job list", ["GET /job"], rf"(?m)^{self.job} +workspace +{w} +create +SUCCESS +"),
            ("job list -s error", ["GET /job?states=error"], "There are no such jobs"),
            (f"job show {self.job}", ["GET /job"], r"(?m)^Action: +create$"),
            ("env list", ["GET /env"], r"(?m)^A/B +x=y$"),
            ("env set K=V L=W=", ["PUT /env", "PUT /env"], r"\AVariable K is set.*\nVariable L is set.*\n\Z"),
            ("env delete A/B", ["GET /env", "DELETE /env/A%2FB"], r"\AVariable A/B is deleted\.\n\Z")]

    def words(self, text):
        return text.split("|")[0].split() + text.split("|")[1:]

    def asked(self):
        return [f"{r.method} {r.target}" for r in self.srv.requests]

    def check_order(self, asked, plan, known):
        """The calls are those of the plan; an id that the client made stands for ID."""
        made = [i for i in {*self.srv.workspaces, *self.srv.targets} if i not in known]
        asked = [a.replace(i, "ID") for a in asked for i in made or ["ID"]]
        self.assertEqual([a for a in asked if "?" + a not in plan], [p for p in plan if p[0] != "?"])

    def test_every_verb(self):
        for i, (text, *_) in enumerate(self.verbs()):
            with self.subTest(text):
                self.fill()
                text, plan, says = self.verbs()[i]
                known = {*self.srv.workspaces, *self.srv.targets}
                said = self.verb(*self.words(text), rc=0 if says is not None else 1)
                self.assertRegex(said.stdout, says or r"\A\Z")
                self.assertTrue(says is not None or one_line(said.stderr), said.stderr)
                self.check_order(self.asked(), plan, known)

    def test_bodies(self):
        """Member by member; that nothing else and nothing wrong is there is looked at in every test."""
        config = self.srv.target_configs[0]
        for text, *_ in self.verbs():
            if "create" in text and "key" not in text or "env set" in text:
                self.verb(*self.words(text))
        bodies = {}
        for path, body in self.srv.bodies:
            self.assertRegex(body.pop("id", "0a") if path in ("/target", "/workspace") else "0a", r"\A(?!\d+\Z)[0-9a-f]{1,12}\Z")
            bodies.setdefault(path, []).append(body)
        own = self.srv.target_configs[1]
        self.assertEqual(bodies["/target"], [
            {"name": "fresh", "targetConfigId": config["id"]}, {"name": "local-2", "targetConfigId": config["id"]},
            {"name": "own", "targetConfigId": own["id"]}])
        self.assertEqual(bodies["/target-config"], [{"name": "own", "options": '{"K":"V"}', "providerInfo": config["providerInfo"]}])
        self.assertEqual(bodies["/gitprovider/context"], [{"url": URL}, {"url": URL, "branch": "dev"}, {"url": URL}, {"url": URL}])
        repository = {"id": "app", "url": URL, "name": "App Store", "branch": "trunk", "sha": SHA, "owner": "acme",
                      "source": "git.test", "cloneTarget": "branch"}
        plain = {"targetId": self.target, "labels": {}, "envVars": {}, "source": {"repository": repository}}
        self.assertEqual(bodies["/workspace"], [
            {**plain, "name": "app-store", "image": "debian:12", "user": "root", "envVars": {"A": "1"}, "labels": {"a": "b"}},
            {**plain, "name": "x", "source": {"repository": dict(repository, branch="dev")},
             "buildConfig": {"devcontainer": {"filePath": ".devcontainer/devcontainer.json"}}},
            {**plain, "name": "y", "buildConfig": {}, "gitProviderConfigId": "g"},
            {**plain, "name": "z", "image": "debian:12", "user": "ada", "envVars": {"T": "1"}}])
        self.assertEqual(bodies["/env"], [{"key": "K", "value": "V"}, {"key": "L", "value": "W="}])

    # An answer that is none, the words that have to be told of it, and whether the Server spoke.
    FAULTS = (
        (error(400, "Key: 'X.Y' Error:Field validation for 'Y' failed on the 'required' tag"), "failed on the 'required' tag"),
        (error(401, "unauthorized"), r"refuses the API key from .*\(401\)"),
        (error(403, "cannot do this"), "403: cannot do this"),
        (error(404, "failed to find it: it not found"), "404: failed to find it: it not found"),
        (error(500, "failed to do it: database is locked"), "500: failed to do it: database is locked"),
        (reply(404, "404 page not found", TEXT_TYPE), "404: 404 page not found"),
        (reply(500, ""), "500: Internal Server Error"),  # a panic of it
        (reply(404, "<html>frp", "text/html"), "page of 9 bytes, not the Server's answer; something answers in the Server's place"),
        (reply(502, "Bad Gateway\n", TEXT_TYPE), "502: Bad Gateway"),
        (close(), "."),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n[", then="close"), "."))

    def test_every_error_of_every_call(self):
        """One line, the Server's words, status 1; nothing is changed after that."""
        tried = 0
        for i, (text, plan, _) in enumerate(self.verbs()):
            for at, call in enumerate(plan):
                if call[0] == "?" or "/log/" in call:
                    continue
                for step, words in self.FAULTS:
                    with self.subTest(text, call=call, words=words):
                        self.fill()
                        tried += self.one_error(i, at, step, words)
        self.assertGreater(tried, 400)

    def one_error(self, i, at, step, words):
        text, plan, says = self.verbs()[i]
        method, _, target = plan[at].partition(" ")
        # What a list answers, too.
        again = method == "GET" and target.split("/")[-1] in ("work", "nobody", self.workspace)
        steps = [lambda conn, request: self.srv.handle(conn, request)] * plan[:at].count(plan[at])
        rule = self.srv.on(method, re.escape(target.split("?")[0]), *steps, step, forever=True)
        said = self.verb(*self.words(text), rc=None)
        self.srv.drop(rule)
        if again and says is not None:
            self.assertEqual(said.returncode, 0, said.stderr)
            return 1
        self.assertEqual(said.returncode, 1, said.stdout + said.stderr)
        lines = said.stderr.splitlines()
        self.assertTrue(lines, said)
        self.assertRegex(lines[-1], words if not (again or says is None) else ".")
        self.assertTrue(lines[-1].startswith("daytona-runner " + text.split()[0] + ": "), said.stderr)
        self.assertEqual([line for line in lines[:-1] if not re.match(r"(create|start|stop|restart|delete|force-delete) of ", line)],
                         [], said.stderr)
        # Where a connection that was used before is closed without an answer, the request is sent once more.
        changes = {(r.method, r.target, r.body) for r in self.srv.requests if r.method != "GET"}
        self.assertLessEqual(len(changes), len([p for p in plan[:at + 1] if p[0] != "?" and not p.startswith("GET")]), changes)
        return 1

    def test_while_the_job_is_followed(self):
        """A Server that stumbles once is asked again; its log is no condition."""
        calls = ((r"/job", error(500, "failed to get jobs: database is locked")), (r"/job", reply(500, "")),
                 (r"/job", reply(404, "<html>", "text/html")), (r"/job", close()), (r"/job", reply(200, "null", "application/json")),
                 (r"/log/.*", error(401, "unauthorized")), (r"/log/.*", reply(400, "Bad Request\n", TEXT_TYPE)),
                 (r"/log/.*", close()), (r"/log/.*", reply(404, "404 page not found", TEXT_TYPE)))
        for path, step in calls:
            for words in ("workspace start work", f"workspace create {URL}", "target create"):
                with self.subTest(words, path=path, step=step):
                    self.fill()
                    rule = self.srv.on("GET", path, step)
                    said = self.verb(*words.split())
                    self.assertIn("Next: ", said.stdout)
                    self.srv.drop(rule)
        # A key that is taken back meanwhile ends it.
        self.fill()
        self.srv.on("GET", "/job", error(401, "unauthorized"), forever=True)
        said = self.verb("workspace", "start", "work", rc=1)
        self.assertIn("look again with", said.stderr + "look again with")
        self.assertRegex(said.stderr.splitlines()[-1], r"refuses the API key .*\(401\)")

    def test_a_log_that_breaks_off(self):
        """Half a log is no success; half a pipe is."""
        entry = json.dumps({"source": "server", "label": "x", "msg": "first\n", "level": "", "time": "2025-02-10T10:00:04Z"})

        def cut(conn, request):
            ws_accept(conn, request)
            conn.send(ws_frame(1, entry.encode()))
            conn.close()
        for step, words in ((cut, "broke off|connection was closed"), (close(), "."), (error(401, "unauthorized"), r"401"),
                            (error(500, "failed to open it"), "500")):
            for call in (("workspace", "logs", "work"), ("logs", "--remote", "--workspace", self.workspace)):
                with self.subTest(call, words=words):
                    self.srv.on("GET", "/log/.*", step)
                    said = self.verb(*call, rc=1, env={"DAYTONA_RUNNER_SERVER_URL": self.srv.url, "DAYTONA_RUNNER_RUNNER_NAME": "e",
                                                       "DAYTONA_RUNNER_SERVER_KEY": self.srv.key, "DAYTONA_RUNNER_RUNNER_ID": "e"})
                    self.assertTrue(one_line(said.stderr), said)
                    self.assertRegex(said.stderr, words)
                    self.assertEqual("first" in said.stdout, step is cut)
        self.srv.logs[self.workspace] = ["line\n"] * 20000
        env = common.clean_env(self.tmp, DAYTONA_API_URL=self.srv.url, DAYTONA_API_KEY=self.srv.key)
        said = common.run(["sh", "-c", '"$0" workspace logs work | head -n 1; exit 3', common.BIN], env=env)
        self.assertEqual((said.returncode, len(said.stdout.splitlines()), said.stderr), (3, 1, ""))

    def test_jobs_that_fail(self):
        """The job's own words are the last line; as v0.53 has them, of several lines."""
        self.srv.outcome = ("error", "sudo: unable to resolve host\nexit status 1")
        for words, what in (("workspace start work", "start workspace work"), ("workspace delete -y work", "delete workspace work"),
                            (f"workspace create {URL}", "create workspace app-store"), ("target create x", "create target x"),
                            ("target stop local", "stop target local")):
            with self.subTest(words):
                self.fill()
                self.srv.outcome = ("error", "sudo: unable to resolve host\nexit status 1")
                said = self.verb(*words.split(), rc=1)
                self.assertIn(f"{what}: sudo: unable to resolve host", said.stderr)
                self.assertIn("exit status 1", said.stderr)
                self.assertEqual(said.stdout, "")

    def test_recorded_exchanges(self):
        """The checks know the recorded traffic of the reference as right: its requests, and the answers to them."""
        kinds = {"POST /target": "Target", "POST /workspace": "WorkspaceDTO", "GET /job": "[Job]", "GET /target-config": "[TargetConfig]",
                 "POST /target-config": "TargetConfig", "GET /env": "[EnvironmentVariable]", "GET /workspace/88bb10bc9d2f": "WorkspaceDTO",
                 "GET /target/0a1b2c3d4e5f": "TargetDTO"}
        bodies = {"POST /target": "CreateTargetDTO", "POST /workspace": "CreateWorkspaceDTO", "POST /target-config": "CreateTargetConfigDTO"}
        seen = set()
        with open(os.path.join(RECORDINGS, "daytona-0.53-session.jsonl"), encoding="utf-8") as file:
            for line in file:
                pair = json.loads(line)
                call = pair["request"]["line"].split("?")[0].removesuffix(" HTTP/1.1")
                if call in bodies:
                    self.assertEqual(fits(json.loads(pair["request"]["body"]), bodies[call], call), [])
                if call in kinds and " 200 " in pair["response"]["line"]:
                    self.assertEqual(fits(json.loads(pair["response"]["body"]), kinds[call], call, answer=True), [])
                    seen.add(call)
        self.assertEqual(seen, set(kinds))
        # And what is wrong as wrong.
        good = {"id": "a", "name": "b", "targetConfigId": "c"}
        for bad in (dict(good, name=""), dict(good, name=None), dict(good, name=1), {"id": "a", "name": "b"}, dict(good, x=1), []):
            self.assertNotEqual(fits(bad, "CreateTargetDTO", "x"), [], bad)
        self.assertTrue(all(word.partition(":")[2].strip("[]{}") in (*SHAPES, "str", "int", "bool", "") or "|" in word
                            for shape in SHAPES.values() if shape[0] not in "={" for word in shape.split()))

    def test_git_credential(self):
        self.srv.key_type = "workspace"
        self.srv.git_for_url = [{"id": "g", "providerId": "gitlab", "username": "ada%40x", "token": "a%2Bb%3D+c", "alias": "ada"},
                                {"id": "h", "providerId": "gitlab", "username": "eve", "token": "other", "alias": "eve"}]

        def ask(question, what="get", rc=0, **env):
            with open(self.path("question"), "w", encoding="ascii") as file:
                file.write(question)
            with open(self.path("question"), encoding="ascii") as file:
                return self.verb("git-credential", what, stdin=file, rc=rc, env=env)
        said = ask("protocol=https\nhost=git.test\npath=acme/app.git\n\n")
        self.assertEqual(said.stdout, "username=ada@x\npassword=a+b= c\n")
        said = ask("protocol=https\nhost=git.test\n\n", DAYTONA_WORKSPACE_REPOSITORY_URL="https://git.test/acme/app")
        self.assertEqual(said.stdout, "username=ada@x\npassword=a+b= c\n")
        self.assertEqual(self.asked(), ["GET /gitprovider/for-url/https%253A%252F%252Fgit.test%252Facme%252Fapp.git",
                                        "GET /gitprovider/for-url/https%253A%252F%252Fgit.test%252Facme%252Fapp"])
        self.srv.key_type = "client"  # which is shown no token
        self.assertEqual(ask("protocol=https\nhost=git.test\n\n").stdout, "")
        self.srv.git_for_url = []
        self.assertEqual(ask("protocol=https\nhost=git.test\n\n").stdout, "")
        for what in ("store", "erase"):
            self.assertEqual(ask("protocol=https\nhost=git.test\n\n", what).stdout, "")
        for step, words in self.FAULTS:
            with self.subTest(words):
                self.srv.on("GET", "/gitprovider/for-url/.*", step, step)
                said = ask("protocol=https\nhost=git.test\n\n", rc=1)
                self.assertRegex(said.stderr, words)
                self.assertEqual((said.stdout, one_line(said.stderr)), ("", True), said.stderr)
                self.srv.rules.clear()


class NotThere(ReferenceCase):
    """What a Server of v0.53 has no route for, or not as ours."""
    allowed = (r"POST /job/[^/]+/cancel", r"GET /workspace/[^/]+/tunnel")

    def test_cancel_and_ways_in(self):
        target = self.srv.add_target(provider="docker-provider")
        self.srv.add_workspace(URL.lower(), target, name="work")
        job = self.srv.add_job("workspace", "create", "x")
        said = self.verb("job", "cancel", job, rc=1)
        self.assertTrue(one_line(said.stderr) and "this Server cannot cancel a job" in said.stderr, said.stderr)
        for words in (("workspace", "open", "work"), ("shell", "work"), ("exec", "work", "true"), ("tunnel", "work", "22"),
                      ("cp", "work:x", self.path("y"))):
            with self.subTest(words):
                said = self.verb(*words, rc=None, stdin=-3)
                self.assertNotEqual(said.returncode, 0)
                self.assertTrue(one_line(said.stderr), said.stderr)
                self.assertRegex(said.stderr, "this Server passes no streams on: only `daytona-runner server` does", said.stderr)

    def test_forward(self):
        """It listens, and the first connection says why there is nothing behind it, once."""
        target = self.srv.add_target(provider="docker-provider")
        self.srv.add_workspace(URL.lower(), target, name="work")
        with socket.create_server(("127.0.0.1", 0)) as s:
            port = s.getsockname()[1]
        env = common.clean_env(self.tmp, DAYTONA_API_URL=self.srv.url, DAYTONA_API_KEY=self.srv.key)
        forward = subprocess.Popen([common.BIN, "forward", "work", f"{port}:80"], env=env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(forward.kill)
        self.assertIn(str(port), forward.stdout.readline())
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", port)) as s:
                s.settimeout(20 * common.PATIENCE)
                try:
                    self.assertEqual(s.recv(1), b"")
                except ConnectionResetError:
                    pass
        forward.terminate()
        _, said = forward.communicate(timeout=20 * common.PATIENCE)
        self.assertEqual(said, "daytona-runner forward: port 80: this Server passes no streams on: only `daytona-runner server` "
                               "does\n")
        self.assertIn("workspace not found", self.verb("forward", "nobody", "80", rc=1).stderr)


if __name__ == "__main__":
    common.main()
