#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""target, workspace, job, key, env and git-credential: each verb against each thing that can be there or not, on the
embedded Server with a runner that works; questions on a terminal; tables at 40 and 80 columns; and what a v0.53 Server
says otherwise, from a scripted one."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.gitserver import GitServer, make_repo  # noqa: E402
from lib.lifecase import LifeCase, one_line  # noqa: E402
from lib.serverproc import workspace_body  # noqa: E402
from httppeer import error, reply  # noqa: E402
from v53server import SHA, ReferenceCase  # noqa: E402


class VerbsCase(LifeCase):
    def setUp(self):
        super().setUp()
        self.made = self.configured()
        os.mkdir(self.path("git"))
        make_repo(self.path("git"), branches=["dev"])
        self.git = GitServer(self.path("git"))
        self.addCleanup(self.git.stop)
        self.repo = self.git.url + "/app.git"

    def started(self):
        self.applet("start", env=self.env(admin=False))
        common.wait_for(lambda: self.srv.ok("GET", "/target-config").json, 20 * common.PATIENCE, "a target config")

    def verb(self, *args, rc=0, **kwargs):
        return self.applet(*args, rc=rc, **kwargs)

    def js(self, *args):
        return json.loads(self.verb(*args, "-f", "json").stdout)

    def states(self):
        return {w["name"]: w["state"] for w in self.js("workspace", "list")}


class Life(VerbsCase):
    def test_a_workspace_from_nothing_to_nothing(self):
        self.started()
        said = self.verb("workspace", "create", self.repo, "-e", "A=b=c", "--env", "HOME", "-l", "team=x")
        self.assertEqual(said.stdout, "Workspace app is started.\nNext: daytona-runner shell app\n")
        # What the jobs said as it came, and each line once.
        self.assertEqual(said.stderr.count("Target native is there."), 1)
        self.assertEqual(len(re.findall(r"(?m)^Workspace app started$", said.stderr)), 1, said.stderr)
        self.assertIn("cloning " + self.repo, said.stderr)
        self.assertEqual([(t["name"], t["provider"], t["runner"], t["workspaces"]) for t in self.js("target", "list")],
                         [("native", "native-provider", "edge", 1)])
        [w] = self.js("workspace", "list")
        self.assertEqual((w["name"], w["state"], w["target"], w["branch"], w["repository"], w["labels"]),
                         ("app", "started", "native", "main", self.repo, {"team": "x"}))
        stored = self.srv.ok("GET", "/workspace/app").json
        self.assertEqual((stored["envVars"]["A"], stored["envVars"]["HOME"]), ("b=c", self.path("home")))
        self.assertTrue(os.path.exists(os.path.join(self.state, "workspaces", w["id"], "app", "README.md")))

        # Only what the new job says: the log has the old ones, too.
        for verb, state, done in (("stop", "stopped", "is stopped"), ("start", "started", "is started"),
                                  ("restart", "started", "is started again")):
            with self.subTest(verb):
                said = self.verb("workspace", verb, "app" if verb != "stop" else w["id"])
                self.assertTrue(said.stdout.startswith(f"Workspace app {done}.\n"), said.stdout)
                self.assertNotIn("cloning", said.stderr)
                self.assertEqual(self.states(), {"app": state})
        log = self.verb("workspace", "logs", "app").stdout
        self.assertEqual((log.count("cloning "), log.count("Workspace app stopped")), (1, 2))
        self.assertEqual(len(self.verb("workspace", "logs", "app", "-n", "2").stdout.splitlines()), 2)

        # A second one of the repository has a name of its own, and the only target.
        said = self.verb("ws", "new", self.repo, "--branch", "dev")
        self.assertIn("Workspace app-2 is started.", said.stdout)
        self.assertNotIn("Target", said.stderr)
        self.assertEqual([x["branch"] for x in self.js("workspace", "list") if x["name"] == "app-2"], ["dev"])
        self.assertEqual([x["name"] for x in json.loads(self.verb("workspace", "list", "-l", "team=x", "-f", "json").stdout)],
                         ["app"])
        said = self.verb("workspace", "delete", "-y", "app", "nobody", "app-2", rc=1)
        self.assertEqual(said.stdout, "Workspace app is deleted.\nWorkspace app-2 is deleted.\n")
        self.assertIn('no workspace "nobody"', said.stderr)
        self.assertEqual(self.js("workspace", "list"), [])
        self.assertIn("workspace create REPOSITORY", self.verb("workspace", "list").stdout)
        self.assertEqual(os.listdir(os.path.join(self.state, "workspaces")), [])
        self.assertEqual(self.verb("target", "delete", "-y", "native").stdout, "Target native is deleted.\n")
        self.assertIn("target create", self.verb("target").stdout)

    def test_a_target_with_options_of_its_own(self):
        self.started()
        self.verb("target", "create", "box", "-o", "Image=debian:12", "--option", "Isolation=strict")
        configs = {c["name"]: c for c in self.srv.ok("GET", "/target-config?showOptions=true").json}
        [registered] = [c for name, c in configs.items() if "-runner-" in name]
        self.assertEqual(json.loads(configs["box"]["options"]), {"Image": "debian:12", "Isolation": "strict"})
        self.assertEqual(configs["box"]["providerInfo"], registered["providerInfo"])
        self.assertEqual(self.srv.ok("GET", "/target/box").json["targetConfigId"], configs["box"]["id"])
        # What a runner registered is still what is meant when nothing is said.
        self.verb("target", "create")
        self.assertEqual([t["name"] for t in self.js("target", "list")], ["box", "native"])
        self.assertEqual(self.srv.ok("GET", "/target/native").json["targetConfigId"], registered["id"])
        # A second one of that name has a configuration of its own.
        self.verb("target", "create", "other", "--target-config", "native-provider", "-o", "Isolation=none")
        self.verb("target", "delete", "box", "-y")
        self.verb("target", "create", "box", "-o", "Image=alpine")
        options = [json.loads(c["options"] or "{}") for c in self.srv.ok("GET", "/target-config?showOptions=true").json
                   if c["id"] == self.srv.ok("GET", "/target/box").json["targetConfigId"]]
        self.assertEqual(options, [{"Image": "alpine"}])
        for wrong in ("Image", "=x", ""):
            self.assertIn("is no K=V", self.verb("target", "create", "-o", wrong, rc=2).stderr)

    def test_a_job_that_fails(self):
        self.started()
        said = self.verb("workspace", "create", self.git.url + "/nothing.git", rc=1)
        self.assertRegex(said.stderr.splitlines()[-1], r"\Adaytona-runner workspace: create workspace nothing: .*nothing\.git")
        self.assertEqual(self.states(), {"nothing": "error"})
        self.assertIn("ERROR", self.verb("workspace", "info", "nothing").stdout)
        [job] = [j for j in self.js("job", "list", "-s", "error")]
        self.assertEqual((job["action"], job["resourceType"]), ("create", "workspace"))
        self.assertIn(job["error"], self.verb("job", "show", job["id"]).stdout)
        self.assertIn("already exists", self.verb("workspace", "create", self.repo, "--name", "nothing", rc=1).stderr)

    def test_interrupted_while_it_follows(self):
        self.started()
        self.git.hold.clear()
        term = self.terminal("workspace", "create", self.repo)
        term.expect("cloning", 30)
        term.send("\x03")
        job = term.expect(r"the job goes on; look again with: daytona-runner job show (\S+), daytona-runner workspace logs -f app")
        self.assertEqual(term.wait(), 130)
        self.git.hold.set()
        common.wait_for(lambda: self.js("job", "show", job.group(1))["state"] == "success", 20 * common.PATIENCE,
                        "the job ends without us")
        self.assertEqual(self.states(), {"app": "started"})


class Matrix(VerbsCase):
    """No runner works here: what does not need one, and what says that one is missing."""

    def test_nothing_there(self):
        for args, rc, text in (
                (["workspace"], 0, "workspace create REPOSITORY"),
                (["workspace", "list"], 0, "workspace create REPOSITORY"),
                (["workspace", "info"], 1, "There are no workspaces"),
                (["workspace", "info", "x"], 1, "There are no workspaces"),
                (["workspace", "start"], 1, "There are no workspaces"),
                (["workspace", "stop", "x"], 1, "There are no workspaces"),
                (["workspace", "delete", "-y"], 1, "There are no workspaces"),
                (["workspace", "logs"], 1, "There are no workspaces"),
                (["workspace", "create"], 2, "which repository"),
                (["workspace", "create", "/"], 2, "/ is a directory here.*file:///"),
                (["workspace", "create", self.repo], 1, "no runner has registered a target configuration"),
                (["workspace", "create", self.repo, "-e", "NOTHING_HERE"], 2, "no K=V, and no variable here"),
                (["workspace", "create", self.repo, "--builder", "x"], 2, "auto, devcontainer or none"),
                (["workspace", "create", self.repo, "--image", "a", "--builder", "auto"], 2, "takes the place"),
                (["workspace", "create", self.repo, "--target", "x"], 1, "there is no target"),
                (["workspace", "list", "x"], 2, 'unexpected operand "x"; see daytona-runner workspace list --help'),
                (["workspace", "crate"], 2, "did you mean create?; see daytona-runner workspace --help"),
                (["target"], 0, "target create"),
                (["target", "create"], 1, "no runner has registered a target configuration"),
                (["target", "info", "x"], 1, "There are no targets"),
                (["target", "delete", "-y", "x"], 1, "There are no targets"),
                (["job", "list"], 0, "There are no jobs."),
                (["job", "list", "-s", "done"], 2, "pending, running, success or error"),
                (["job", "show", "x"], 1, "There are no jobs."),
                (["job", "cancel"], 1, "There are no jobs."),
                (["key", "create"], 2, "operand is missing"),
                (["key", "revoke", "-y", "x"], 1, 'no key "x"; it has default'),
                (["env"], 0, "env set KEY=VALUE"),
                (["env", "set"], 2, "operand is missing"),
                (["env", "set", "=x"], 2, "no KEY=VALUE"),
                (["env", "delete", "x"], 1, "There are no variables"),
                (["git-credential"], 2, "operand is missing"),
                (["git-credential", "take"], 2, "get, store or erase"),
                (["git-credential", "get"], 2, "no protocol and host")):
            with self.subTest(args):
                said = self.verb(*args, rc=rc)
                self.assertRegex(said.stdout if rc == 0 else said.stderr, text.replace("?", r"\?"))
                self.assertTrue(rc == 0 or one_line(said.stderr), said.stderr)
                self.assertEqual(said.stderr if rc == 0 else said.stdout, "")

    def put(self, n=2):
        """Targets and workspaces whose runner is away."""
        provider = {"runnerId": self.made["id"], "runnerName": "edge", "name": "native-provider", "version": "v1",
                    "agentlessTarget": True, "targetConfigManifest": {}}
        config = self.srv.ok("POST", "/target-config", {"name": "cfg", "options": "{}", "providerInfo": provider}).json["id"]
        for i in range(n):
            self.srv.ok("POST", "/target", {"id": f"aaaaaaaaaaa{i}", "name": f"t{i}", "targetConfigId": config})
            self.srv.ok("POST", "/workspace", workspace_body(f"bbbbbbbbbbb{i}", f"work-{i}", f"aaaaaaaaaaa{i}"))

    def test_of_a_template(self):
        self.put(1)
        build = {"devcontainer": {"filePath": "x/devcontainer.json"}}
        for name, more in (("plain", {"image": "debian:12", "user": "ada"}), ("auto", {"buildConfig": {}}),
                           ("file", {"buildConfig": build})):
            self.srv.ok("PUT", "/workspace-template", {"name": name, "repositoryUrl": self.repo, "envVars": {"A": "1", "B": "2"},
                                                       **more}, status=201)

        def made(*args):
            self.verb("workspace", "create", "--no-wait", "--name", "made", *args)
            stored = self.srv.ok("GET", "/workspace/made").json
            self.srv.ok("DELETE", "/workspace/made?force=true")
            self.assertEqual(stored["repository"]["url"], self.repo)
            return stored
        w = made("plain", "-e", "B=3", "-e", "C=4")
        self.assertEqual((w["image"], w["user"], w.get("buildConfig"), w["repository"]["branch"]), ("debian:12", "ada", None, "main"))
        self.assertEqual({k: w["envVars"].get(k) for k in "ABC"}, {"A": "1", "B": "3", "C": "4"})
        self.assertEqual(made("auto", "--branch", "dev")["repository"]["branch"], "dev")
        self.assertEqual(made("auto")["buildConfig"], {})
        self.assertEqual(made("file")["buildConfig"], build)
        w = made("file", "--image", "alpine")
        self.assertEqual((w["image"], w["user"], w.get("buildConfig")), ("alpine", "root", None))
        self.assertEqual(made("plain", "--user", "bob")["user"], "bob")
        said = self.verb("workspace", "create", "--no-wait", "none", rc=2).stderr
        self.assertIn("none is no address of a repository, and no workspace template of the Server", said)

    def test_who_is_meant(self):
        self.put()
        for args, rc, text in (
                (["workspace", "info"], 2, "which workspace? There is work-0, work-1"),
                (["workspace", "info", "work-2"], 1, 'no workspace "work-2"; did you mean work-0?'),
                (["workspace", "info", "other"], 1, 'no workspace "other"; it has work-0, work-1'),
                (["workspace", "info", ""], 1, 'no workspace ""'),
                (["workspace", "info", ".."], 1, 'no workspace ".."'),
                (["workspace", "delete", "work-0"], 2, "confirm with --yes"),
                (["target", "delete"], 2, "which target? There is t0, t1"),
                (["workspace", "create", self.repo], 2, "which target? There is t0, t1; name one with --target"),
                (["target", "start", "t0", "--no-wait"], 1, "start target t0"),
                (["workspace", "start", "work-0", "--no-wait"], 1, "another job is in progress")):
            with self.subTest(args):
                self.assertIn(text, self.verb(*args, rc=rc).stderr)
        self.assertEqual(self.js("workspace", "info", "bbbbbbbbbbb1")["name"], "work-1")
        # Two of one name: no guessing.
        config = self.srv.ok("GET", "/target-config").json[0]["id"]
        self.srv.ok("POST", "/target", {"id": "aaaaaaaaaaa9", "name": "t1", "targetConfigId": config})
        self.assertIn("2 targets are called t1: give the id", self.verb("target", "info", "t1", rc=2).stderr)
        self.assertEqual(self.js("target", "info", "aaaaaaaaaaa9")["name"], "t1")

    def test_questions_on_a_terminal(self):
        self.put()
        term = self.terminal("workspace", "info")
        term.expect(r"1\) work-0  bbbbbbbbbbb0")
        term.answer("Number, name or id", "2\n")
        term.expect(r"Name: +work-1")
        self.assertEqual(term.wait(), 0)
        term = self.terminal("workspace", "delete", "work-0")
        term.answer("Delete workspace work-0 and all that is in it\\?", "no\n")
        term.expect("not confirmed: nothing was changed")
        self.assertEqual(term.wait(), 1)
        term = self.terminal("workspace", "stop")
        term.answer("Number, name or id", "\x03")
        self.assertEqual(term.wait(), 1)
        term = self.terminal("workspace", "create", self.repo, "--no-wait")
        term.answer("(?s)Which target\\?.*Number", "t1\n")
        term.expect("Workspace app has its job")
        self.assertEqual(term.wait(), 0)
        self.assertEqual({w["name"]: w["target"] for w in self.js("ws", "list")}["app"], "t1")

    def test_nobody_takes_the_job(self):
        self.put()
        term = self.terminal("workspace", "create", self.repo, "--target", "t0")
        term.expect("The job waits until runner edge takes it")
        term.send("\x03")
        job = term.expect(r"job show (\S+),").group(1)
        self.assertEqual(term.wait(), 130)
        self.assertEqual(self.verb("job", "cancel", job).stdout, f"Job {job} is canceled.\n")
        self.assertIn("it has ended already", self.verb("job", "cancel", job, rc=1).stderr)
        self.assertEqual(self.js("job", "show", job)["state"], "error")

    def test_tables_fit(self):
        self.put(3)
        for columns in (20, 40, 80, 120):
            for args in (["workspace"], ["target"], ["job"], ["key"]):
                with self.subTest(args=args, columns=columns):
                    term = self.terminal(*args, columns=columns)
                    self.assertEqual(term.wait(), 0)
                    lines = term.text().splitlines()
                    self.assertLessEqual(max(len(line) for line in lines), columns, lines)
                    self.assertGreaterEqual(len(lines), 2)
                    if columns >= 40 and args == ["workspace"]:
                        self.assertRegex(lines[0], r"\ANAME +.*STATE")
                        self.assertIn("work-2", lines[3])
        whole = self.verb("workspace").stdout.splitlines()
        self.assertIn("http://git.test/acme/app", whole[1])
        self.assertEqual(len({len(line.split()) for line in whole}), 1)

    def test_keys(self):
        key = self.verb("key", "create", "ada").stdout.strip()
        self.assertEqual(self.srv.call("GET", "/runner", key=key).status, 200)
        self.assertEqual({k["name"] for k in self.js("key", "list")}, {"default", "ada"})
        self.assertIn("confirm with --yes", self.verb("key", "revoke", "ada", rc=2).stderr)
        self.assertIn("403", self.verb("key", "revoke", "-y", "default", rc=1).stderr)
        self.assertEqual(self.verb("key", "revoke", "-y", "ada").stdout, "Key ada is revoked.\n")
        self.assertEqual(self.srv.call("GET", "/runner", key=key).status, 401)
        for secret in (self.srv.key, self.made["apiKey"]):
            self.assertNotIn(secret, self.verb("key", "list", "-f", "json").stdout)

    def test_variables(self):
        self.verb("env", "set", "A=1", "B=x=y")
        with open(self.path("value"), "w", encoding="ascii") as file:
            file.write("unseen\n")
        with open(self.path("value"), encoding="ascii") as file:
            self.verb("env", "set", "TOKEN", stdin=file)
        self.assertEqual({v["key"]: v["value"] for v in self.js("env")}, {"A": "1", "B": "x=y", "TOKEN": "unseen"})
        term = self.terminal("env", "set", "PASS")
        term.expect("Value of PASS")
        self.assertTrue(term.echo_is_off())
        term.send("secret\n")
        self.assertEqual(term.wait(), 0)
        self.assertNotIn("secret", term.text())
        self.assertEqual(self.verb("env", "delete", "A", "B").stdout.count("is deleted"), 2)
        self.assertEqual({v["key"] for v in self.js("env", "list")}, {"TOKEN", "PASS"})

    def test_the_server_of_this_user_needs_no_flags(self):
        """A client key file that only this user may read, beside the address of the server that runs."""
        home = self.path("home")
        data = os.path.join(home, ".local", "state", "daytona-runner-server")
        os.makedirs(os.path.dirname(data))
        from lib.serverproc import Server
        os.makedirs(self.path("other"), exist_ok=True)
        server = Server(self, data)
        env = self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=self.path("empty"))
        self.assertIn("There are no workspaces", self.verb("workspace", env=env).stdout)
        self.assertEqual(json.loads(self.verb("key", "-f", "json", env=env).stdout)[0]["current"], True)
        # The runner's own Server is another one: that is meant, and the local key is not sent there.
        said = self.verb("key", "list", env=self.env(admin=False), rc=1)
        self.assertNotIn(server.key, said.stderr)
        self.assertEqual(server.stop(), 0)
        self.assertIn("is the URL right", self.verb("workspace", env=env, rc=1).stderr)

    def test_completion_asks(self):
        self.put()
        self.assertEqual(self.verb("workspace", "--print-verbs").stdout.split()[:3], ["create", "list", "info"])
        self.assertEqual(self.verb("workspace", "--print-names").stdout.split(), ["work-0", "work-1"])
        self.assertIn("--branch", "--" + self.verb("workspace", "create", "--print-options").stdout.replace("\t", " --"))
        said = self.verb("workspace", "--print-names", env=self.env(DAYTONA_API_KEY="wrong"))
        self.assertEqual(said.stdout + said.stderr, "")


class Reference(ReferenceCase):
    allowed = (r"POST /job/[^/]+/cancel",)  # which it says that it does not know

    def test_life(self):
        for noun in ("workspace", "target", "env"):
            self.assertIn("There are no", self.verb(noun).stdout)
            self.assertEqual(self.verb(noun, "list", "-f", "json").stdout, "[]\n")
        target = self.srv.add_target(provider="docker-provider")
        said = self.verb("workspace", "create", "https://git.test/acme/App", "-e", "A=1", "-l", "a=b", "--image", "debian:12")
        self.assertIn("Workspace app-store is started.", said.stdout)
        self.assertRegex(said.stderr, r"\Acreate of [0-9a-f]{12}\n\Z")
        [body] = [b for path, b in self.srv.bodies if path == "/workspace"]
        self.assertRegex(body.pop("id"), r"\A(?![0-9]{12})[0-9a-f]{12}\Z")
        repository = {"id": "app", "url": "https://git.test/acme/App", "name": "App Store", "branch": "trunk", "sha": SHA,
                      "owner": "acme", "source": "git.test", "cloneTarget": "branch"}
        self.assertEqual(body, {"name": "app-store", "targetId": target, "image": "debian:12", "user": "root",
                                "source": {"repository": repository}, "envVars": {"A": "1"}, "labels": {"a": "b"}})
        self.assertEqual(json.loads(self.verb("target", "-f", "json").stdout)[0]["state"], "undefined")
        self.assertRegex(self.verb("target").stdout, r"(?m)^local +\w+ +- ")
        # Only what is new of the log.
        for action in ("stop", "start", "restart"):
            self.assertRegex(self.verb("workspace", action, "app-store").stderr, rf"\A{action} of [0-9a-f]+\n\Z")
        self.assertEqual(len(self.verb("workspace", "logs", "app-store").stdout.splitlines()), 4)
        self.verb("workspace", "create", "https://git.test/acme/App", "--builder", "devcontainer", "--branch", "dev", "--no-wait")
        body = [b for path, b in self.srv.bodies if path == "/workspace"][-1]
        self.assertEqual((body["name"], body["buildConfig"], body["source"]["repository"]["branch"]),
                         ("app-store-2", {"devcontainer": {"filePath": ".devcontainer/devcontainer.json"}}, "dev"))
        self.assertNotIn("image", body)
        self.srv.outcome = ("error", "no space left on device")
        said = self.verb("workspace", "start", "app-store", rc=1)
        self.assertIn("start workspace app-store: no space left on device", said.stderr)
        self.srv.outcome = ("success", None)
        self.assertIn("is deleted", self.verb("workspace", "delete", "-y", "--force", "app-store").stdout)
        job = json.loads(self.verb("job", "list", "-a", "-f", "json").stdout)[-1]
        self.assertEqual(job["action"], "force-delete")
        self.assertIn("this Server cannot cancel a job", self.verb("job", "cancel", job["id"], rc=1).stderr)

    def test_recorded_answers(self):
        """What a v0.53 Server really said of each kind: everything that is shown is found in it."""
        said = {}
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recordings")
        for name in ("session", "edges"):
            with open(os.path.join(folder, f"daytona-0.53-{name}.jsonl"), encoding="utf-8") as file:
                for line in file:
                    pair = json.loads(line)
                    if " 200 " in pair["response"]["line"]:
                        said[" ".join(pair["request"]["line"].split(" ")[:2])] = pair["response"]["body"]
        workspace = json.loads(said["GET /workspace/88bb10bc9d2f"])
        target = json.loads(said["GET /target/0a1b2c3d4e5f?showOptions=true"])
        jobs = json.loads(said["GET /job?resourceId=88bb10bc9d2f"])
        configs = json.loads(said["GET /target-config"])
        for path, things in (("/workspace", [workspace]), ("/target", [target]), ("/job", jobs), ("/target-config", configs)):
            self.srv.on("GET", path, reply(200, things), forever=True)
        may_be_null = {"error", "labels", "commit", "workspaces", "image", "user"}
        for noun, things in (("workspace", [workspace]), ("target", [target]), ("job", jobs)):
            listed = json.loads(self.verb(noun, "list", "-a", "-f", "json").stdout if noun == "job" else
                                self.verb(noun, "list", "-f", "json").stdout)
            self.assertEqual([x["id"] for x in listed], [x["id"] for x in things])
            for one in listed:
                self.assertEqual({k for k, v in one.items() if v is None} - may_be_null, set(), one)
            self.assertIn(listed[-1]["id"], self.verb(noun).stdout)
        w = json.loads(self.verb("workspace", "info", workspace["name"], "-f", "json").stdout)
        self.assertEqual((w["target"], w["state"], w["repository"], w["runner"]),
                         (workspace["target"]["name"], workspace["state"]["name"], workspace["repository"]["url"],
                          workspace["target"]["targetConfig"]["providerInfo"]["runnerName"]))
        # The only configuration is taken, and the target is called as the provider's preset.
        self.srv.on("GET", "/target", reply(200, []), forever=True)
        self.srv.on("POST", "/target", reply(200, target))
        self.verb("target", "create", "--no-wait")
        [body] = [request.json() for request in self.srv.seen("POST", "/target")]
        self.assertRegex(body.pop("id"), r"\A[0-9a-f]{12}\Z")
        self.assertEqual(body, {"name": "local", "targetConfigId": configs[0]["id"]})

    def test_keys_and_variables(self):
        self.assertEqual(self.verb("key", "create", "ada").stdout, "c2VjcmV0LXNlY3JldA\n")
        self.assertIn("Key ada is revoked.", self.verb("key", "revoke", "-y", "ada").stdout)
        self.assertIn("a key does not revoke itself: give another by --api-key-file",
                      self.verb("key", "revoke", "-y", "mine", rc=1).stderr)
        # Somebody else was faster: nothing is wrong with the key that asks.
        self.verb("key", "create", "bob")
        self.srv.on("DELETE", "/apikey/bob", reply(500, {"error": "failed to delete api key: api key not found"}))
        said = self.verb("key", "revoke", "-y", "bob", rc=1).stderr
        self.assertIn("there is no key bob any more; key list shows those that are there", said)
        self.assertNotIn("refuses", said)
        self.verb("env", "set", "A=1")
        self.assertIn(("/env", {"key": "A", "value": "1"}), self.srv.bodies)
        self.srv.env = [{"key": "A", "value": "1"}]
        self.assertIn("Variable A is deleted.", self.verb("env", "delete", "A").stdout)

    def test_what_a_server_may_not_do(self):
        """Answers that are no answers: told in one line, nothing hangs."""
        self.srv.add_workspace("https://git.test/a/b")
        for method, path, step, args in (
                ("GET", "/workspace", reply(200, "[1,", "application/json"), ["workspace"]),
                ("GET", "/workspace", reply(200, {"a": 1}), ["workspace"]),
                ("GET", "/workspace", reply(200, "<html>", "text/html"), ["workspace"]),
                ("GET", "/workspace.*", reply(500, ""), ["workspace", "info", "app"]),
                ("GET", "/workspace/.*", reply(200, {"id": "other", "name": "x"}), ["workspace", "info", "xyz"]),
                ("GET", "/target", reply(200, [3, None, "x"]), ["workspace", "create", "https://git.test/a/b", "--target", "x"]),
                ("POST", "/gitprovider/context", reply(200, "[]"), ["workspace", "create", "https://git.test/a/b"]),
                ("POST", "/apikey/x", reply(200, ""), ["key", "create", "x"]),
                ("POST", "/workspace/.*", error(500, "another job is in progress"), ["workspace", "start", "app"])):
            with self.subTest(path=path, args=args):
                rule = self.srv.on(method, path, step, forever=True)
                said = self.verb(*args, rc=1)
                self.assertTrue(one_line(said.stderr), said.stderr)
                self.srv.drop(rule)
        # A host that the reference's Server was not told of.
        self.srv.on("POST", "/gitprovider/context", error(500, "can not get public client for the URL http://h/a/b"))
        self.assertRegex(self.verb("workspace", "create", "http://h/a/b", rc=1).stderr,
                         "public client for the URL http://h/a/b; give the Server a git provider for that host\n")
        # After a delete whose job failed.
        rule = self.srv.on("DELETE", "/workspace/.*", error(500, "failed to delete workspace: api key not found"), forever=True)
        self.assertRegex(self.verb("workspace", "delete", "-y", "app", rc=1).stderr,
                         "api key not found; one that failed can only be repeated with --force\n")
        self.assertNotIn("--force", self.verb("workspace", "delete", "-y", "--force", "app", rc=1).stderr)
        self.srv.drop(rule)
        # Names of a Server are not a terminal's commands.
        [w] = self.srv.workspaces.values()
        w["name"] = "a\x1b[2Jb"
        self.assertIn("a\\x1b[2Jb", self.verb("workspace").stdout)
        self.assertNotIn("\x1b", self.verb("workspace", "info", "nobody", rc=1).stderr)


class Git(VerbsCase):
    def test_credentials(self):
        body = {"id": "p", "providerId": "gitlab-self-managed", "username": "ada", "token": "s3cr3t", "alias": "x",
                "baseApiUrl": self.git.url}
        self.srv.ok("PUT", "/gitprovider", body)
        question = f"protocol=http\nhost={self.git.url[7:]}\n\n"

        def ask(env, what="get"):
            with open(self.path("question"), "w", encoding="ascii") as file:
                file.write(question)
            with open(self.path("question"), encoding="ascii") as file:
                return self.verb("git-credential", what, env=env, stdin=file)
        provider = {"runnerId": self.made["id"], "runnerName": "edge", "name": "native-provider", "version": "v1",
                    "agentlessTarget": True, "targetConfigManifest": {}}
        config = self.srv.ok("POST", "/target-config", {"name": "cfg", "options": "{}", "providerInfo": provider}).json["id"]
        self.srv.ok("POST", "/target", {"id": "aaaaaaaaaaa1", "name": "t", "targetConfigId": config})
        body = workspace_body("bbbbbbbbbbb1", "work", "aaaaaaaaaaa1")
        body["source"]["repository"] = dict(body["source"]["repository"], url=self.repo)
        self.srv.ok("POST", "/workspace", body)
        inside = {k: v for k, v in self.srv.ok("GET", "/workspace/work", key=self.made["apiKey"]).json["envVars"].items()
                  if k in ("DAYTONA_SERVER_API_KEY", "DAYTONA_SERVER_API_URL", "DAYTONA_WORKSPACE_REPOSITORY_URL")}
        inside["DAYTONA_RUNNER_CONFIG_DIR"] = self.path("empty")
        # A client is shown no tokens; a workspace is, that of its own repository.
        self.assertEqual(ask(self.env()).stdout, "")
        self.assertEqual(ask(self.env(admin=False, **inside)).stdout, "username=ada\npassword=s3cr3t\n")
        self.assertEqual(ask(self.env(admin=False, **inside), "store").stdout, "")
        # A submodule may name the same host in the clear, or at a port where somebody else listens.
        was = question
        for question, given in (("protocol=http\nhost=127.0.0.1\n\n", ""), ("protocol=http\nhost=127.0.0.1:4\npath=x\n\n", ""),
                                ("protocol=https\nhost=127.0.0.1:4\n\n", ""), (was.replace("http", "https"), ""),
                                ("protocol=ftp\nhost=127.0.0.1\n\n", ""),
                                ("protocol=https\nhost=127.0.0.1\n\n", "username=ada\npassword=s3cr3t\n")):
            self.assertEqual(ask(self.env(admin=False, **inside)).stdout, given, question)
        question = was
        question = "protocol=https\nhost=127.0.0.2\n\n"
        with open(self.path("question"), "w", encoding="ascii") as file:
            file.write(question)
        with open(self.path("question"), encoding="ascii") as file:
            said = self.verb("git-credential", "get", env=self.env(admin=False, **inside), stdin=file, rc=1)
        self.assertNotIn("s3cr3t", said.stdout + said.stderr)


if __name__ == "__main__":
    common.main()
