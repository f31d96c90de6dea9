#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's rules: states, deletion, who may do what and see what, validation texts, and the endpoints
that the recordings do not show."""
import base64
import hashlib
import http.client
import json
import os
import random
import ssl
import subprocess
import sys
import urllib.parse
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ID = "aaaaaaaaaaa1"
DAYTONA_VARS = {"DAYTONA_TARGET_ID", "DAYTONA_WORKSPACE_ID", "DAYTONA_WORKSPACE_REPOSITORY_URL",
                "DAYTONA_SERVER_API_KEY", "DAYTONA_SERVER_VERSION", "DAYTONA_SERVER_URL", "DAYTONA_SERVER_API_URL",
                "DAYTONA_CLIENT_ID", "DAYTONA_AGENT_LOG_FILE_PATH", "DAYTONA_TELEMETRY_ENABLED"}


class Base(common.Case):
    args = ()

    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "1", *self.args)
        self.key = serverproc.make_runner(self.server)

    def tearDown(self):
        self.server.kill()
        super().tearDown()

    def error(self, method, path, status, text, body=None, key=""):
        answer = self.server.call(method, path, body, key)
        self.assertEqual((answer.status, answer.body.decode()), (status, json.dumps({"error": text}, separators=(",", ":"))))
        self.assertEqual(answer.header("Content-Type"), "text/plain; charset=utf-8")

    def target(self, target="t1", name="target", agentless=False):
        config = serverproc.make_config(self.server, name="cfg-" + target, agentless=agentless)
        self.server.ok("POST", "/target", {"id": target, "name": name, "targetConfigId": config})
        serverproc.finish_job(self.server, self.key)
        return config

    def workspace(self, workspace="w1", name="work", **more):
        self.server.ok("POST", "/workspace", serverproc.workspace_body(workspace, name, "t1", **more))

    def state(self, path):
        state = self.server.ok("GET", path).json["state"]
        alone = self.server.ok("GET", path + "/state").json
        self.assertEqual((alone["name"], alone["error"]), (state["name"], state["error"]))
        return state["name"]

    def claim(self):
        jobs = self.server.ok("GET", f"/runner/{ID}/jobs", key=self.key).json
        self.assertEqual(len(jobs), 1)
        self.post_state(jobs[0]["id"], {"state": "running"})
        return jobs[0]

    def post_state(self, job, body):
        self.server.ok("POST", f"/runner/{ID}/jobs/{job}/state", body, self.key)


class Api(Base):
    def test_states_of_a_workspace(self):
        self.target()
        self.workspace()
        self.assertEqual(self.state("/workspace/w1"), "unresponsive", "queued only")
        job = self.claim()
        self.assertEqual((job["action"], job["resourceType"], job["resourceId"], job["runnerId"]),
                         ("create", "workspace", "w1", ID))
        self.assertEqual(self.state("/workspace/w1"), "creating")
        self.post_state(job["id"], {"state": "success"})
        self.assertEqual(self.state("/workspace/w1"), "started")
        for action, during, after in (("stop", "stopping", "stopped"), ("start", "starting", "started"),
                                      ("restart", "starting", "started")):
            before = self.state("/workspace/work")
            self.server.ok("POST", f"/workspace/work/{action}")
            self.assertEqual(self.state("/workspace/work"), before, "a queued job shows nothing yet")
            self.error("POST", "/workspace/w1/start", 500,
                       "failed to start workspace w1: another job is in progress")
            job = self.claim()
            self.assertEqual(self.state("/workspace/w1"), during)
            self.post_state(job["id"], {"state": "success"})
            self.assertEqual(self.state("/workspace/w1"), after)
        self.server.ok("POST", "/workspace/w1/stop")
        job = self.claim()
        self.post_state(job["id"], {"state": "error", "errorMessage": "disk full"})
        self.assertEqual(self.server.ok("GET", "/workspace/w1").json["state"]["error"], "disk full")
        self.post_state(job["id"], {"state": "success"})
        shown = self.server.ok("GET", "/workspace/w1").json
        self.assertEqual((shown["state"]["name"], shown["state"]["error"], shown["lastJob"]["error"]),
                         ("stopped", None, None))

    def test_deletion(self):
        self.target()
        self.workspace()
        serverproc.finish_job(self.server, self.key)
        agent = self.server.ok("GET", "/workspace/w1", key=self.key).json["apiKey"]
        self.server.ok("DELETE", "/workspace/w1")
        shown = self.server.ok("GET", "/workspace/w1", key=self.key).json
        self.assertEqual((shown["name"], shown["metadata"], shown["apiKey"]), ("_DELETED_work_DELETED_", None, agent))
        self.error("GET", "/workspace/work", 404, "failed to find workspace: workspace not found")
        self.error("GET", "/runner", 401, "unauthorized", key=agent)
        job = self.claim()
        self.assertEqual((job["action"], self.state("/workspace/w1")), ("delete", "deleting"))
        # Failed: it is there again, in error; forced then.
        self.post_state(job["id"], {"state": "error", "errorMessage": "busy"})
        self.assertEqual(self.state("/workspace/w1"), "error")
        self.server.ok("DELETE", "/workspace/w1?force=1")
        self.assertEqual(serverproc.finish_job(self.server, self.key)[0]["action"], "force-delete")
        self.error("GET", "/workspace/w1", 404, "failed to find workspace: workspace is deleted")
        self.assertEqual(self.server.ok("GET", "/workspace").json, [])
        self.assertIsNone(self.server.ok("GET", "/target/t1").json["workspaces"])
        self.error("DELETE", "/workspace/w1", 500, "failed to delete workspace: workspace not found")
        # Name and id are free again.
        self.workspace()
        self.assertEqual(self.state("/workspace/w1"), "unresponsive")
        self.error("DELETE", "/workspace/w1?force=maybe", 400, "invalid value for force flag")

    def test_targets(self):
        self.target()
        self.assertEqual(self.state("/target/t1"), "started")
        self.target("t2", "less", agentless=True)
        self.assertEqual(self.state("/target/less"), "undefined")
        self.error("POST", "/target/less/start", 500,
                   "failed to start target less: provider uses an agentless target")
        self.error("POST", "/target/none/stop", 500, "failed to stop target none: target not found")
        for name in ("t1", "less"):
            self.server.ok("POST", f"/target/{name}/handle-successful-creation", key=self.key)
            self.assertEqual({t["name"]: t["default"] for t in self.server.ok("GET", "/target").json},
                             {"target": name == "t1", "less": name == "less"})
        self.server.ok("PATCH", "/target/target/set-default")
        self.assertTrue(self.server.ok("GET", "/target/t1").json["default"])
        self.server.ok("DELETE", "/target/t1")
        shown = self.server.ok("GET", "/target/t1").json
        self.assertEqual((shown["name"], shown["default"], shown["metadata"]), ("_DELETED_target_DELETED_", False, None))
        self.error("POST", "/target", 500, "failed to create target: target config not found",
                   {"id": "x", "name": "x", "targetConfigId": "none"})
        config = self.server.ok("GET", "/target-config").json[0]["id"]
        self.error("POST", "/target", 500, "failed to create target: name is not a valid alphanumeric string",
                   {"id": "x", "name": "a b", "targetConfigId": config})
        self.error("POST", "/target", 500, "failed to create target: target already exists",
                   {"id": "t2", "name": "y", "targetConfigId": config})
        self.server.ok("DELETE", f"/target-config/{config}", status=204)
        self.error("DELETE", f"/target-config/{config}", 500, "failed to delete target config: target config not found")
        self.assertEqual(len(self.server.ok("GET", "/target-config").json), 1)

    def test_heartbeats_of_agents(self):
        self.target()
        self.workspace()
        serverproc.finish_job(self.server, self.key)
        agent = self.server.ok("GET", "/workspace/w1", key=self.key).json["apiKey"]
        status = {"currentBranch": "main", "ahead": 2, "behind": 1, "branchPublished": True,
                  "fileStatus": [{"name": "a", "extra": "", "staging": "Added", "worktree": "Unmodified", "more": 1}]}
        self.server.ok("POST", "/workspace/w1/metadata", {"uptime": 7, "gitStatus": status}, agent)
        shown = self.server.ok("GET", "/workspace/w1").json["metadata"]
        self.assertEqual((shown["uptime"], shown["gitStatus"]["ahead"], shown["gitStatus"]["fileStatus"]),
                         (7, 2, [{"name": "a", "extra": "", "staging": "Added", "worktree": "Unmodified"}]))
        self.error("POST", "/workspace/w1/metadata", 403, "forbidden: a client key may not do this", {"uptime": 1})
        self.error("POST", "/workspace/w1/metadata", 403, "forbidden: a runner key may not do this", {"uptime": 1},
                   self.key)
        self.error("POST", "/workspace/w1/metadata", 400,
                   "Key: 'UpdateWorkspaceMetadataDTO.Uptime' Error:Field validation for 'Uptime' failed on the "
                   "'required' tag\nKey: 'UpdateWorkspaceMetadataDTO.GitStatus.Files' Error:Field validation for "
                   "'Files' failed on the 'required' tag",
                   {"gitStatus": {"currentBranch": "x"}}, agent)
        agent = self.server.ok("GET", "/target/t1", key=self.key).json["envVars"]["DAYTONA_SERVER_API_KEY"]
        self.server.ok("POST", "/target/t1/metadata", {"uptime": 3}, agent)
        self.assertEqual(self.server.ok("GET", "/target/t1").json["metadata"]["uptime"], 3)

    def test_silence_of_30_seconds(self):
        self.target()
        self.workspace()
        serverproc.finish_job(self.server, self.key)
        data = self.server.data
        self.server.stop()
        stored = serverproc.records(data)
        for kind, name in (("workspaces", "w1"), ("targets", "t1"), ("runners", ID)):
            serverproc.put_record(data, kind, dict(stored[kind][name], mdUpdated="2025-01-01T00:00:00.5Z"))
        self.server = serverproc.Server(self, data, "--poll-seconds", "1")
        for path, error in (("/workspace/w1", "Workspace is unresponsive"), ("/target/t1", "Target is unresponsive"),
                            ("/runner/one", "Runner is unresponsive")):
            state = self.server.ok("GET", path).json["state"]
            self.assertEqual(state, {"name": "unresponsive", "error": error, "updatedAt": "2025-01-01T00:00:00.5Z"})
        self.server.ok("POST", f"/runner/{ID}/metadata", {"uptime": 9, "providers": []}, self.key)
        state = self.server.ok("GET", "/runner/one").json["state"]
        self.assertEqual((state["name"], state["error"]), ("started", "Runner is unresponsive"))

    def test_what_each_key_sees(self):
        self.target()
        self.workspace(envVars={"FOO": "b=c", "DAYTONA_MINE": "x"})
        full = self.server.ok("GET", "/workspace/w1", key=self.key).json
        self.assertEqual(set(full["envVars"]), DAYTONA_VARS | {"FOO", "DAYTONA_MINE"})
        self.assertEqual(list(full["envVars"]), sorted(full["envVars"]))
        self.assertEqual(set(full["target"]["envVars"]),
                         DAYTONA_VARS - {"DAYTONA_WORKSPACE_ID", "DAYTONA_WORKSPACE_REPOSITORY_URL"})
        self.assertEqual(full["apiKey"], full["envVars"]["DAYTONA_SERVER_API_KEY"])
        self.assertEqual(uuid.UUID(base64.b64decode(full["apiKey"]).decode()).version, 4)
        self.assertEqual(full["envVars"]["DAYTONA_SERVER_API_URL"], self.server.url)
        self.assertEqual(full["envVars"]["DAYTONA_AGENT_LOG_FILE_PATH"], "(HOME)/.daytona-agent.log")
        less = self.server.ok("GET", "/workspace/w1").json
        self.assertEqual((less["envVars"], less["target"]["envVars"], less["apiKey"]),
                         ({"FOO": "b=c", "DAYTONA_MINE": "x"}, {}, ""))
        self.assertEqual(less["target"]["targetConfig"]["options"], "{}", "options are shown to all here")
        for key, options in (("", "{}"), (self.key, "{}")):
            self.assertEqual(self.server.ok("GET", "/target/t1", key=key).json["targetConfig"]["options"], "")
            self.assertEqual(self.server.ok("GET", "/target/t1?showOptions=1", key=key).json["targetConfig"]["options"], "")
            self.assertEqual(self.server.ok("GET", "/target/t1?showOptions=true", key=key).json["targetConfig"]["options"],
                             options)
        inside = self.server.ok("GET", "/target/t1").json["workspaces"][0]
        self.assertEqual((inside["apiKey"], inside["envVars"], inside["lastJob"], inside["target"]["id"]),
                         ("", {"FOO": "b=c", "DAYTONA_MINE": "x"}, None, ""))
        self.assertNotIn("state", inside)
        self.server.ok("PUT", "/gitprovider", {"id": "g", "providerId": "github", "token": "t/k=", "username": "a b"})
        self.assertEqual(self.server.ok("GET", "/gitprovider/g").json["token"], "")
        repository = dict(serverproc.REPOSITORY, url="https://github.com/acme/app")
        self.workspace("w2", "uses-it", source={"repository": repository})
        self.assertEqual(self.server.ok("GET", "/gitprovider/g", key=self.key).json,
                         {"id": "g", "providerId": "github", "username": "a b", "token": "t/k=", "alias": "a b"})
        url = "/gitprovider/for-url/https%253A%252F%252Fgithub.com%252Facme%252Fapp"
        found = self.server.ok("GET", url, key=self.key).json[0]
        self.assertEqual((found["username"], found["token"]), ("a+b", "t%2Fk%3D"))

    def test_runner_key_is_good_for_its_own_runner(self):
        other = self.server.ok("POST", "/runner", {"id": "bbbbbbbbbbb2", "name": "two"}).json["apiKey"]
        beat = {"uptime": 5, "providers": []}
        for method, path, body in (("GET", f"/runner/{ID}/jobs", None), ("POST", f"/runner/{ID}/metadata", beat),
                                   ("POST", f"/runner/{ID}/jobs/x/state", {"state": "running"}),
                                   ("DELETE", f"/runner/{ID}", None), ("GET", f"/log/runner/{ID}/write", None),
                                   ("POST", f"/runner/{ID}/provider/x/install", None)):
            self.assertEqual(self.server.call(method, path, body, other).status, 403, (method, path))
        self.server.ok("GET", "/runner/bbbbbbbbbbb2", key=other)
        self.server.ok("POST", "/runner/bbbbbbbbbbb2/metadata", beat, other)
        self.error("GET", f"/runner/{ID}/jobs", 403, "forbidden: a client key may not do this")
        self.server.ok("DELETE", "/runner/two")
        self.error("GET", "/runner", 401, "unauthorized", key=other)

    def test_api_keys(self):
        answer = self.server.ok("POST", "/apikey/my%20key")
        self.assertEqual(answer.header("Content-Type"), "text/plain; charset=utf-8")
        key = answer.body.decode()
        self.assertRegex(key, "^[A-Za-z0-9+/]{48}$")
        listed = self.server.ok("GET", "/apikey", key=key).json
        self.assertEqual(listed, [{"type": "client", "name": "default", "current": False},
                                  {"type": "client", "name": "my key", "current": True}])
        self.assertEqual(self.server.call("POST", "/apikey/my%20key").status, 500)
        self.error("DELETE", "/apikey/my%20key", 403, "cannot delete current api key", key=key)
        self.server.ok("DELETE", "/apikey/my%20key")
        self.error("GET", "/apikey", 401, "unauthorized", key=key)
        self.error("DELETE", "/apikey/my%20key", 500, "failed to delete api key: api key not found")

    def test_bodies(self):
        rows = (
            ("", "EOF"), ("  \n", "EOF"), ("{", "unexpected EOF"), ('{"state"', "unexpected EOF"),
            ('{"state":"run', "unexpected EOF"), ("nul", "unexpected EOF"),
            ("x", "invalid character 'x' looking for beginning of value"),
            ("{x", "invalid character 'x' looking for beginning of object key string"),
            ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
            ('{"a" 1}', "invalid character '1' after object key"),
            ('{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
            ("[1 2]", "invalid character '2' after array element"),
            ("[1,]", "invalid character ']' looking for beginning of value"),
            ('"\x01"', "invalid character '\\x01' in string literal"),
            ('"a\nb"', "invalid character '\\n' in string literal"),
            ('"\\q"', "invalid character 'q' in string escape code"),
            ('"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
            ("-x", "invalid character 'x' in numeric literal"),
            ("1.x", "invalid character 'x' after decimal point in numeric literal"),
            ("1ex", "invalid character 'x' in exponent of numeric literal"),
            ("trux", "invalid character 'x' in literal true (expecting 'e')"),
            ("'", "invalid character '\\'' looking for beginning of value"),
            ("[" * 100, "exceeded max depth"),
            ("[]", "json: cannot unmarshal array into Go value of type services.UpdateJobStateDTO"),
            ('"s"', "json: cannot unmarshal string into Go value of type services.UpdateJobStateDTO"),
            ('{"state":5}', "json: cannot unmarshal number into Go struct field UpdateJobStateDTO.state of type models.JobState"),
            ('{"errorMessage":{}}', "json: cannot unmarshal object into Go struct field UpdateJobStateDTO.errorMessage of type string"),
            ('{"errorMessage":true,"state":[]}', "json: cannot unmarshal bool into Go struct field UpdateJobStateDTO.errorMessage of type string"),
            ("null", "Key: 'UpdateJobStateDTO.State' Error:Field validation for 'State' failed on the 'required' tag"),
            ('{"state":null}', "Key: 'UpdateJobStateDTO.State' Error:Field validation for 'State' failed on the 'required' tag"),
        )
        for body, text in rows:
            with self.subTest(body[:30]):
                self.error("POST", f"/runner/{ID}/jobs/x/state", 400, text, body, self.key)
        # Taken: other spelling of keys, what follows the value, unknown members, invalid UTF-8.
        for body in (b'{"STATE":"running"} trailing', b'{"state":"running","x":[{}]}', b'{"state":"\xff"}'):
            self.error("POST", f"/runner/{ID}/jobs/x/state", 500, "failed to get job: job not found", body, self.key)
        for body, text in (
                ({"uptime": -1, "providers": []}, "json: cannot unmarshal number -1 into Go struct field UpdateRunnerMetadataDTO.uptime of type uint64"),
                ({"uptime": 1.5, "providers": []}, "json: cannot unmarshal number 1.5 into Go struct field UpdateRunnerMetadataDTO.uptime of type uint64"),
                ({"uptime": 1, "providers": {}}, "json: cannot unmarshal object into Go struct field UpdateRunnerMetadataDTO.providers of type []models.ProviderInfo"),
                ({"uptime": 1, "providers": [{"name": 1}]}, "json: cannot unmarshal number into Go struct field ProviderInfo.providers.name of type string")):
            self.error("POST", f"/runner/{ID}/metadata", 400, text, body, self.key)
        self.server.ok("POST", f"/runner/{ID}/metadata", {"uptime": 1, "providers": [{}]}, self.key)

    def test_workspace_requests(self):
        self.target()
        text = "Key: '%s' Error:Field validation for '%s' failed on the 'required' tag"
        self.error("POST", "/workspace", 400, "\n".join(text % (f"CreateWorkspaceDTO.{f}", f.split(".")[-1]) for f in (
            "Id", "Name", "Source.Repository", "EnvVars", "Labels", "TargetId")), {})
        self.error("POST", "/workspace", 500, "failed to create workspace: target not found",
                   serverproc.workspace_body("x", "x", "none"))
        self.error("POST", "/workspace", 500,
                   "failed to create workspace: workspace name is not valid. Only [a-zA-Z0-9-_.] are allowed",
                   serverproc.workspace_body("x", "a/b", "t1"))
        self.workspace(buildConfig={"devcontainer": {"filePath": "a"}, "x": 1}, image="i", user="u", labels={"b": "2", "a": "1"})
        for twin in (("w1", "other"), ("w2", "work"), ("w3", "w1"), ("work", "new")):
            self.error("POST", "/workspace", 500, "failed to create workspace: workspace already exists",
                       serverproc.workspace_body(*twin, "t1"))
        shown = self.server.ok("GET", "/workspace/work").json
        self.assertEqual((shown["buildConfig"], shown["image"], shown["user"], list(shown["labels"])),
                         ({"devcontainer": {"filePath": "a"}}, "i", "u", ["a", "b"]))
        repository = dict(serverproc.REPOSITORY, url="  HTTP://Git.Test/Acme/App/ ", cloneTarget="commit", prNumber=3)
        self.workspace("w2", "two", source={"repository": repository})
        shown = self.server.ok("GET", "/workspace/w2", key=self.key).json
        self.assertEqual((shown["repository"]["url"], shown["repository"]["cloneTarget"], shown["repository"]["prNumber"]),
                         ("http://git.test/acme/app", "commit", 3))
        self.assertEqual(shown["envVars"]["DAYTONA_WORKSPACE_REPOSITORY_URL"], "http://git.test/acme/app")
        self.assertNotIn("buildConfig", shown)
        self.assertEqual([w["id"] for w in self.server.ok("GET", "/workspace?labels=%7B%22a%22%3A%221%22%7D").json], ["w1"])
        self.server.ok("POST", "/workspace/two/labels", {"k": "v"})
        self.assertEqual(self.server.ok("GET", "/workspace/w2").json["labels"], {"k": "v"})
        # A git provider that fits is adopted; two that fit are one too many.
        for n in ("g1", "g2"):
            self.server.ok("PUT", "/gitprovider", {"id": n, "providerId": "gitea", "token": "t", "username": n,
                                                    "baseApiUrl": "https://git.test/api"})
            if n == "g1":
                self.workspace("w3", "three")
                self.assertEqual(self.server.ok("GET", "/workspace/w3").json["gitProviderConfigId"], "g1")
        self.error("POST", "/workspace", 500,
                   "failed to create workspace: multiple git provider configs found for the repository url",
                   serverproc.workspace_body("w4", "four", "t1"))
        self.workspace("w5", "five", gitProviderConfigId="g2")

    def test_lists_by_labels(self):
        """Whatever labels there are, the list is what a look at each would find; also after changes and another start."""
        self.target()
        keys, values = ["a", "b", 'q"', "\u00fc", "x=y", "e\\n"], ["1", "2", "", "\u00e9", '"v"', "a b/c", "\t"]
        rng, labels = random.Random(5), {}
        for n in range(40):
            labels[f"w{n}"] = {key: rng.choice(values) for key in rng.sample(keys, rng.randrange(len(keys)))}
            self.workspace(f"w{n}", f"n{n}", labels=labels[f"w{n}"])
        for again in range(3):
            for wanted in [{}] + [{key: rng.choice(values) for key in rng.sample(keys, rng.randrange(1, 3))} for _ in range(40)]:
                query = urllib.parse.quote(json.dumps(wanted, ensure_ascii=False))
                if any("=" in key for key in wanted):
                    continue        # the first = of the one text that the filter is ends the name
                found = self.server.ok("GET", "/workspace" + ("?labels=" + query if wanted else "")).json
                self.assertEqual([w["id"] for w in found],
                                 [name for name, have in labels.items() if wanted.items() <= have.items()], wanted)
            for n in range(0, 40, 3):
                labels[f"w{n}"] = {rng.choice(keys): rng.choice(values)}
                self.server.ok("POST", f"/workspace/w{n}/labels", labels[f"w{n}"])
            if again == 1:
                self.server.stop()
                self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "1", *self.args)

    def test_env_and_registries(self):
        for key, value in (("A_CONTAINER_REGISTRY_SERVER", "reg.test"), ("A_CONTAINER_REGISTRY_USERNAME", "bot"),
                           ("A_CONTAINER_REGISTRY_PASSWORD", "pw"), ("X", "1")):
            self.server.ok("PUT", "/env", {"key": key, "value": value}, status=201)
        self.server.ok("PUT", "/env", {"key": "X", "value": "2"}, status=201)
        self.assertEqual(self.server.ok("GET", "/env").json[-1], {"key": "X", "value": "2"})
        self.assertEqual(self.server.ok("GET", "/container-registry/reg.test").json,
                         {"server": "reg.test", "username": "bot", "password": "pw"})
        self.assertEqual(self.server.ok("DELETE", "/env/X", status=204).body, b"")
        self.server.ok("DELETE", "/env/X", status=204)
        self.assertEqual(len(self.server.ok("GET", "/env").json), 3)
        self.target()
        self.workspace(envVars={"B_CONTAINER_REGISTRY_SERVER": "own.test", "B_CONTAINER_REGISTRY_USERNAME": "me"})
        self.assertEqual(self.server.ok("GET", "/container-registry/own.test?workspaceId=w1").json,
                         {"server": "own.test", "username": "me", "password": ""})
        self.error("GET", "/container-registry/own.test", 404,
                   "failed to find container registry for server: own.test")

    def test_builds(self):
        self.error("POST", "/build", 500, "failed to create build: workspace template not found",
                   {"workspaceTemplateName": "t", "branch": "main", "envVars": {}})
        self.server.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "https://github.com/Acme/App",
                                                       "buildConfig": {}, "envVars": {"A": "1"}}, status=201)
        answer = self.server.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "dev", "envVars": {"B": "2"}},
                                status=201)
        self.assertEqual(answer.header("Content-Type"), "text/plain; charset=utf-8")
        build = answer.body.decode()
        self.assertRegex(build, "^(?=.*[a-f])[0-9a-f]{12}$")
        shown = self.server.ok("GET", f"/build/{build}").json
        self.assertEqual(list(shown), ["id", "image", "user", "containerConfig", "buildConfig", "repository", "envVars",
                                       "lastJobId", "lastJob", "prebuildId", "createdAt", "updatedAt", "state"])
        self.assertEqual((shown["repository"]["owner"], shown["repository"]["name"], shown["repository"]["branch"],
                          shown["repository"]["source"], shown["envVars"], shown["buildConfig"]),
                         ("acme", "app", "dev", "github.com", {"B": "2"}, {}))
        job = self.claim()
        self.assertEqual(self.server.ok("GET", f"/build/{build}").json["state"]["name"], "running")
        self.error("DELETE", f"/build/{build}", 500, "another job is in progress")
        self.post_state(job["id"], {"state": "success"})
        self.assertEqual(self.server.ok("GET", f"/build/{build}").json["state"]["name"], "run-successful")
        self.server.ok("DELETE", f"/build/{build}?force=true", status=204)
        self.assertEqual(serverproc.finish_job(self.server, self.key)[0]["action"], "force-delete")
        self.error("GET", f"/build/{build}", 404, "failed to find build: build is deleted")
        self.assertEqual(self.server.ok("GET", "/build").json, [])
        self.server.ok("GET", "/workspace-template/default/https%253A%252F%252Fgithub.com%252Facme%252Fapp")
        self.server.ok("DELETE", "/workspace-template/t", status=204)

    def test_jobs_are_filtered(self):
        self.target()
        self.workspace()
        serverproc.finish_job(self.server, self.key)
        self.server.ok("POST", "/workspace/w1/stop")

        def actions(query):
            return [(j["resourceType"], j["action"]) for j in self.server.ok("GET", "/job" + query).json]

        self.assertEqual(actions(""), [("target", "create"), ("workspace", "create"), ("workspace", "stop")])
        self.assertEqual(actions("?states=pending"), [("workspace", "stop")])
        self.assertEqual(actions("?states=pending&states=success&actions=create"),
                         [("target", "create"), ("workspace", "create")])
        self.assertEqual(actions("?resourceType=target"), [("target", "create")])
        self.assertEqual(actions("?resourceId=w1&actions=stop"), [("workspace", "stop")])
        self.assertEqual(actions("?resourceId=none"), [])

    def test_finished_jobs_do_not_pile_up(self):
        self.target()
        self.workspace()
        serverproc.finish_job(self.server, self.key)
        self.server.ok("POST", "/workspace/w1/stop")
        serverproc.finish_job(self.server, self.key)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60 * common.PATIENCE)

        def post(path, body, key):
            connection.request("POST", path, body=json.dumps(body) if body else None,
                               headers={"Authorization": "Bearer " + key})
            reply = connection.getresponse()
            self.assertEqual(reply.status, 200, reply.read())
            reply.read()

        for _ in range(30):
            post(f"/runner/{ID}/provider/x/update", None, self.server.key)
            connection.request("GET", f"/runner/{ID}/jobs", headers={"Authorization": "Bearer " + self.key})
            job = json.loads(connection.getresponse().read())[0]["id"]
            post(f"/runner/{ID}/jobs/{job}/state", {"state": "success"}, self.key)
        connection.close()
        self.assertEqual(len(self.server.ok("GET", f"/job?resourceId={ID}").json), 20)
        self.assertEqual(self.state("/workspace/w1"), "stopped", "the job that tells a state is never forgotten")

    def test_binaries_and_installer(self):
        folder = os.path.join(self.server.data, "binaries", "v0.53.0")
        os.makedirs(folder)
        with open(os.path.join(folder, "daytona-linux-amd64"), "wb") as file:
            file.write(os.urandom(300000))
        with open(file.name, "rb") as file:
            content = file.read()
        answer = self.server.ok("GET", "/binary/v0.53.0/daytona-linux-amd64")
        self.assertEqual((answer.body, answer.header("Content-Type")), (content, "application/octet-stream"))
        for name in ("daytona", "a-b-c-d", "--", "daytona-linux-"):
            self.error("GET", f"/binary/v0.53.0/{name}", 500, f"failed to get binary path: invalid binary name: {name}")
        self.assertEqual(self.server.call("GET", "/binary/v9/daytona-linux-amd64").status, 500)
        for evil in ("/binary/../daytona-linux-amd64", "/binary/%2e%2e/x-y-z", "/binary/v0.53.0/..-..-.."):
            self.assertGreaterEqual(self.server.call("GET", evil).status, 400)
        script = self.server.ok("GET", "/binary/script", key=self.key).body.decode()
        self.assertIn(f"{{DAYTONA_SERVER_DOWNLOAD_URL:-{self.server.url}/binary}}", script)
        target = os.path.join(self.tmp, "bin")
        machine = os.uname().machine
        if machine == "x86_64":
            env = {"PATH": "/usr/bin:/bin", "DAYTONA_PATH": target, "DAYTONA_SERVER_VERSION": "v0.53.0",
                   "DAYTONA_SERVER_API_KEY": self.key}
            done = subprocess.run(["sh"], input=script, env=env, text=True, capture_output=True, check=False, timeout=60 * common.PATIENCE)
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(os.path.join(target, "daytona"), "rb") as file:
                self.assertEqual(file.read(), content)
        # Our own installer and executable: without a key.
        script = self.server.call("GET", "/install.sh", key=None).body.decode()
        self.assertIn(f"served_from='{self.server.url}/download'", script)
        name = f"daytona-runner-linux-{machine}"
        own = self.server.call("GET", f"/download/{name}", key=None).body
        sums = dict(reversed(line.split("  ")) for line in
                    self.server.call("GET", "/download/SHA256SUMS", key=None).body.decode().splitlines())
        self.assertEqual(hashlib.sha256(own).hexdigest(), sums[name])
        with open(common.BIN, "rb") as file:
            self.assertEqual(own, file.read())
        self.assertEqual(self.server.call("GET", "/download/nothing", key=None).status, 404)
        # A Host header with shell characters never reaches the script.
        s = self.server.socket()
        s.sendall(b"GET /install.sh HTTP/1.1\r\nHost: x';touch /tmp/evil;'\r\nConnection: close\r\n\r\n")
        data = b""
        while chunk := s.recv(65536):
            data += chunk
        self.assertIn(b"served_from='@BASE_URL@'", data)
        self.assertNotIn(b"touch", data)

    def test_names_of_any_kind(self):
        odd = "r / \u00fc \"'$&<>;\\\n" + "x" * 300
        key = self.server.ok("POST", "/runner", {"id": odd, "name": odd + "n"}).json["apiKey"]
        path = "/runner/" + "".join(f"%{b:02x}" for b in odd.encode() if b != ord("/"))
        self.assertEqual(self.server.call("GET", path).status, 404, "another id")
        # Paths are cut after decoding, so an id with a slash cannot be addressed, as in the reference.
        self.assertIn(odd, [r["id"] for r in self.server.ok("GET", "/runner", key=key).json])
        data = self.server.data
        self.server.stop()
        self.server = serverproc.Server(self, data)
        self.assertIn(odd, [r["id"] for r in self.server.ok("GET", "/runner", key=key).json])
        for path in ("/runner/%zz", "/runner/%00", "//runner", "/runner//jobs", "/RUNNER", "/runner/a/b/c/d/e/f/g/h/i"):
            answer = self.server.call("GET", path)
            self.assertEqual((answer.status, answer.body), (404, b"404 page not found"), path)
        answer = self.server.call("GET", "/target/?showOptions=true&a=%3C")
        self.assertEqual((answer.status, answer.header("Location")), (301, "/target?showOptions=true&a=%3C"))


class PublicUrl(Base):
    args = ("--public-url", "https://runners.test/api/", "--frps-domain", "frps.test")

    def test_urls_that_are_handed_out(self):
        config = self.server.ok("GET", "/server/config").json
        self.assertEqual((config["registryUrl"], config["serverDownloadUrl"], config["frps"]),
                         ("https://runners.test/api/registry", "https://runners.test/api/install.sh",
                          {"domain": "frps.test", "port": 7000, "protocol": "http"}))
        self.target()
        self.workspace()
        env = self.server.ok("GET", "/workspace/w1", key=self.key).json["envVars"]
        # How we are reached was said outright: that wins over the domain.
        self.assertEqual(env["DAYTONA_SERVER_API_URL"], "https://runners.test/api")
        self.assertEqual(env["DAYTONA_SERVER_URL"], "https://runners.test/api")
        script = self.server.call("GET", "/install.sh", key=None).body.decode()
        self.assertIn("served_from='https://runners.test/api/download'", script)
        self.assertIn("docker-provider", self.server.call("GET", "/registry/providers/manifest.json", key=None).json)


class FrpsDomain(Base):
    args = ("--frps-domain", "frps.test")

    def test_urls_that_are_handed_out(self):
        config = self.server.ok("GET", "/server/config").json
        self.assertEqual(config["frps"], {"domain": "frps.test", "port": 7000, "protocol": "http"})
        self.target()
        self.workspace()
        env = self.server.ok("GET", "/workspace/w1", key=self.key).json["envVars"]
        self.assertEqual(env["DAYTONA_SERVER_API_URL"], f"http://api-{config['id']}.frps.test")
        self.assertEqual(env["DAYTONA_SERVER_URL"], f"http://{config['id']}.frps.test")


class NoFrps(Base):
    def test_reference_programs_get_an_answer(self):
        """They end in a panic when there is none; port 0 says to ours that there is no frps."""
        want = {"domain": f"localhost:{self.server.port}", "port": 0, "protocol": "http"}
        config = self.server.ok("GET", "/server/config").json
        self.assertEqual(config["frps"], want)
        far = self.server.socket()
        far.sendall((f"GET /server/config HTTP/1.1\r\nHost: srv.test:8443\r\nX-Forwarded-Proto: https\r\n"
                     f"Authorization: Bearer {self.server.key}\r\nConnection: close\r\n\r\n").encode())
        body = b"".join(iter(lambda: far.recv(65536), b"")).split(b"\r\n\r\n")[1]
        self.assertEqual(json.loads(body)["frps"], {"domain": "srv.test:8443", "port": 0, "protocol": "https"})
        # Also when a configuration was stored, whether it had one or not.
        for sent in (config, {k: v for k, v in config.items() if k != "frps"}):
            self.server.ok("PUT", "/server/config", sent)
            self.assertEqual(self.server.ok("GET", "/server/config").json["frps"], want)
        self.target()
        self.workspace()
        env = self.server.ok("GET", "/workspace/w1", key=self.key).json["envVars"]
        self.assertEqual(env["DAYTONA_SERVER_API_URL"], self.server.url)
        self.server.ok("PUT", "/server/config", dict(config, frps={"domain": "d.test", "port": 7000, "protocol": "https"}))
        self.assertEqual(self.server.ok("GET", "/server/config").json["frps"]["domain"], "d.test")


class GitContext(Base):
    """What an address tells: of a browser's address bar, or as git is given it."""
    SHA = "863f0f8480bb6029871af55b296d7667220d0629"
    ROWS = (
        ("https://github.com/acme/app", "https://github.com/acme/app", "acme", "app", {}),
        ("https://github.com/acme/app/", "https://github.com/acme/app", "acme", "app", {}),
        ("https://github.com/acme/app.git", "https://github.com/acme/app.git", "acme", "app", {}),
        ("github.com/acme/app", "https://github.com/acme/app", "acme", "app", {}),
        ("https://github.com/acme/app/tree/dev", "https://github.com/acme/app", "acme", "app", {"branch": "dev"}),
        ("https://github.com/acme/app/tree/feature/a%23b", "https://github.com/acme/app", "acme", "app", {"branch": "feature/a#b"}),
        ("https://github.com/acme/app/tree/" + SHA, "https://github.com/acme/app", "acme", "app",
         {"sha": SHA, "cloneTarget": "commit"}),
        ("https://github.com/acme/app/blob/dev/src/a.c#L3", "https://github.com/acme/app", "acme", "app",
         {"branch": "dev", "path": "src/a.c"}),
        ("https://github.com/acme/app/commits/dev", "https://github.com/acme/app", "acme", "app", {"branch": "dev"}),
        ("https://github.com/acme/app/commit/" + SHA, "https://github.com/acme/app", "acme", "app",
         {"sha": SHA, "cloneTarget": "commit"}),
        ("https://github.com/acme/app/pull/42", "https://github.com/acme/app", "acme", "app", {"prNumber": 42}),
        ("https://github.com/acme/app/pull/42/files?w=1", "https://github.com/acme/app", "acme", "app", {"prNumber": 42}),
        ("https://github.com/tree/tree", "https://github.com/tree/tree", "tree", "tree", {}),
        ("git@github.com:acme/app.git", "https://github.com/acme/app.git", "acme", "app", {}),
        ("ssh://git@github.com/acme/app.git", "https://github.com/acme/app.git", "acme", "app", {}),
        ("git@git.test:acme/app.git", "git@git.test:acme/app.git", "acme", "app", {"source": "git.test"}),
        ("ssh://git@git.test:2222/acme/app.git", "ssh://git@git.test:2222/acme/app.git", "acme", "app", {"source": "git.test"}),
        ("https://gitlab.com/a/b/app/-/tree/dev", "https://gitlab.com/a/b/app", "a/b", "app", {"branch": "dev"}),
        ("https://gitlab.com/a/tree/app", "https://gitlab.com/a/tree/app", "a/tree", "app", {}),
        ("https://gitlab.com/a/app/-/blob/dev/x/y", "https://gitlab.com/a/app", "a", "app", {"branch": "dev", "path": "x/y"}),
        ("https://gitlab.com/a/app/-/merge_requests/7", "https://gitlab.com/a/app", "a", "app", {"prNumber": 7}),
        ("https://gitlab.com/a/app/-/commit/" + SHA, "https://gitlab.com/a/app", "a", "app",
         {"sha": SHA, "cloneTarget": "commit"}),
        ("https://bitbucket.org/acme/app/src/dev/a/b", "https://bitbucket.org/acme/app", "acme", "app",
         {"branch": "dev", "path": "a/b"}),
        ("https://bitbucket.org/acme/app/branch/feature/x", "https://bitbucket.org/acme/app", "acme", "app",
         {"branch": "feature/x"}),
        ("https://bitbucket.org/acme/app/pull-requests/9", "https://bitbucket.org/acme/app", "acme", "app", {"prNumber": 9}),
        ("https://bitbucket.org/acme/app/commits/" + SHA, "https://bitbucket.org/acme/app", "acme", "app",
         {"sha": SHA, "cloneTarget": "commit"}),
        ("https://bb.test/projects/KEY/repos/app/browse?at=refs%2Fheads%2Fdev", "https://bb.test/scm/KEY/app.git", "KEY", "app",
         {"branch": "dev"}),
        ("https://bb.test/users/ada/repos/app/browse/src/a.c?at=dev", "https://bb.test/scm/~ada/app.git", "ada", "app",
         {"branch": "dev", "path": "src/a.c"}),
        ("https://bb.test/projects/KEY/repos/app/browse?at=" + SHA, "https://bb.test/scm/KEY/app.git", "KEY", "app",
         {"sha": SHA, "cloneTarget": "commit"}),
        ("https://bb.test/projects/KEY/repos/app/browse?at=refs%2Ftags%2Fv1", "https://bb.test/scm/KEY/app.git", "KEY", "app",
         {"branch": "v1"}),
        ("https://bb.test/scm/KEY/app.git", "https://bb.test/scm/KEY/app.git", "KEY", "app", {}),
        ("https://bitbucket.org/acme/app/commits/branch/feature/x", "https://bitbucket.org/acme/app", "acme", "app",
         {"branch": "feature/x"}),
        # Pages that are of no branch are still of the repository.
        ("https://github.com/acme/app/issues/3", "https://github.com/acme/app", "acme", "app", {}),
        ("https://github.com/acme/app/compare/main...dev", "https://github.com/acme/app", "acme", "app", {}),
        ("https://github.com/acme/app/wiki", "https://github.com/acme/app", "acme", "app", {}),
        ("https://github.com/acme/app/releases/tag/v1.0", "https://github.com/acme/app", "acme", "app", {"branch": "v1.0"}),
        ("https://www.github.com/acme/app/blame/dev/a.c", "https://www.github.com/acme/app", "acme", "app",
         {"branch": "dev", "path": "a.c"}),
        ("https://git.test/acme/app/raw/branch/dev/a.c", "https://git.test/acme/app", "acme", "app",
         {"branch": "dev", "path": "a.c"}),
        ("https://git.test/acme/app/issues/3", "https://git.test/acme/app", "acme", "app", {}),
        ("https://gitlab.com/a/app/-/issues/4", "https://gitlab.com/a/app", "a", "app", {}),
        ("https://gitlab.com/a/app/-/tags/v1", "https://gitlab.com/a/app", "a", "app", {"branch": "v1"}),
        ("https://gitlab.com/a/app/-/pipelines/4", "https://gitlab.com/a/app", "a", "app", {}),
        ("git+ssh://git@github.com/acme/app.git", "https://github.com/acme/app.git", "acme", "app", {}),
        ("[git@git.test:2222]:acme/app.git", "[git@git.test:2222]:acme/app.git", "acme", "app", {"source": "git.test"}),
        ("git@[git.test:2222]:acme/app.git", "git@[git.test:2222]:acme/app.git", "acme", "app", {"source": "git.test"}),
        ("git@[::1]:acme/app.git", "git@[::1]:acme/app.git", "acme", "app", {"source": "::1"}),
        ("git@ssh.dev.azure.com:v3/org/proj/app", "git@ssh.dev.azure.com:v3/org/proj/app", "org/proj", "app",
         {"source": "ssh.dev.azure.com"}),
        ("https://dev.azure.com/org/proj/_git/app?path=/a&version=GC" + SHA, "https://dev.azure.com/org/proj/_git/app", "org/proj",
         "app", {"sha": SHA, "cloneTarget": "commit"}),
        ("https://codeberg.org/acme/app/src/branch/dev/a", "https://codeberg.org/acme/app", "acme", "app",
         {"branch": "dev", "path": "a"}),
        ("https://codeberg.org/acme/app/pulls/3", "https://codeberg.org/acme/app", "acme", "app", {"prNumber": 3}),
        ("https://dev.azure.com/org/proj/_git/app?version=GBdev", "https://dev.azure.com/org/proj/_git/app", "org/proj", "app",
         {"branch": "dev"}),
        ("http://git.test:8080/app/.git", "http://git.test:8080/app/.git", "git.test", "app", {}),
        ("http://git.test/acme/app/.git/", "http://git.test/acme/app/.git", "acme", "app", {}),
        ("http://git.test/.git", "http://git.test/.git", "git.test", "git.test", {}),
        ("http://git.test/app.git", "http://git.test/app.git", "git.test", "app", {}),
        ("http://git.test/app", "http://git.test/app", "git.test", "app", {}),
        ("git@git.test:app.git", "git@git.test:app.git", "git.test", "app", {"source": "git.test"}),
        ("ssh://git@git.test/app.git", "ssh://git@git.test/app.git", "git.test", "app", {"source": "git.test"}),
        ("https://dev.azure.com/_git/app", "https://dev.azure.com/_git/app", "dev.azure.com", "app", {}),
        ("file:///srv/git/app.git", "file:///srv/git/app.git", "srv/git", "app", {"source": "local"}),
        ("file:///data/ada/app/.git", "file:///data/ada/app/.git", "data/ada", "app", {"source": "local"}),
        ("file:///app", "file:///app", "local", "app", {"source": "local"}),
        ("https://git.test:8443/acme/app/tree/dev", "https://git.test:8443/acme/app", "acme", "app", {"branch": "dev"}),
    )

    def test_addresses(self):
        wrong = []
        for given, url, owner, name, more in self.ROWS:
            have = self.server.ok("POST", "/gitprovider/context", {"url": given}).json
            want = {"id": name, "url": url, "name": name, "branch": "main", "sha": "", "owner": owner,
                    "source": url.split("//")[-1].split("/")[0].split(":")[0]}
            want.update(more)
            if have != want:
                wrong.append((given, have, want))
        self.assertEqual(wrong, [])

    def test_each_is_good_for_a_workspace(self):
        serverproc.make_runner(self.server, "bbbbbbbbbbb1", "two")
        config = serverproc.make_config(self.server, "bbbbbbbbbbb1", "cfg two")
        self.server.ok("POST", "/target", {"id": "t9", "name": "t9", "targetConfigId": config})
        for i, (given, *_) in enumerate(self.ROWS):
            repository = self.server.ok("POST", "/gitprovider/context", {"url": given}).json
            self.server.ok("POST", "/workspace", serverproc.workspace_body(f"c{i}", f"c{i}", "t9",
                                                                           source={"repository": repository}))

    def test_what_is_said_beside_it_counts_more(self):
        have = self.server.ok("POST", "/gitprovider/context", {"url": "https://github.com/acme/app/tree/dev", "branch": "x",
                                                               "sha": self.SHA}).json
        self.assertEqual((have["branch"], have["sha"], have.get("cloneTarget")), ("x", self.SHA, None))

    def test_odd_ones_are_answered(self):
        for given in ("x", "/", "://", "git@", "git@:", "https://", "https:///a/b", "a" * 5000, "https://h/" + "a/" * 100, "@:/",
                      "h:a@b/c", "https://github.com/acme/app/pull/99999999999999999999", "https://github.com/a/b/tree/%zz", "-", "?x#y"):
            self.assertIn("url", self.server.ok("POST", "/gitprovider/context", {"url": given}).json)

    def test_any_sequence_of_their_pieces_is_answered(self):
        pieces = ("https://", "ssh://", "git@", "github.com", "h", ":", "/", "//", "?", "#", "@", "tree", "src", "-", ".git",
                  "_git", "repos", "projects", "%2F", "%", "a", "at=refs/heads/", "version=GB", self.SHA, "pull", "commit",
                  "[", "]", "::1", "gitlab")
        dice = random.Random(5)
        for _ in range(1500):
            url = "".join(dice.choice(pieces) for _ in range(dice.randint(1, 10)))
            self.server.ok("POST", "/gitprovider/context", {"url": url})

    def test_configs_of_a_host_fit_its_ssh_addresses(self):
        self.server.ok("PUT", "/gitprovider", {"id": "g", "providerId": "github", "token": "t", "username": "u"})
        for url in ("git%2540github.com%253Aacme%252Fapp.git", "ssh%253A%252F%252Fgit%2540github.com%252Facme%252Fapp"):
            self.assertEqual(self.server.ok("GET", "/gitprovider/id-for-url/" + url).body, b"github")


class Keys(Base):
    """`server key`, with the server running and without."""

    def applet(self, *args, rc=0):
        done = common.run([common.BIN, "server", "key", "--data", self.server.data, *args], env=common.clean_env(self.tmp))
        self.assertEqual(done.returncode, rc, (args, done.stdout, done.stderr))
        return done.stdout if rc == 0 else done.stderr

    def test_make_list_delete(self):
        made = self.applet("create", "one").strip()
        other = self.applet("two").strip()  # a name alone, as ever
        for key in (made, other):
            self.server.ok("GET", "/runner", key=key)
        self.assertEqual(self.applet("list").split("\n"), ["default", "one", "two", ""])
        self.assertEqual(self.applet("delete", "one"), "")
        self.assertEqual(self.server.call("GET", "/runner", key=made).status, 401)
        self.assertIn("cannot delete current", self.applet("delete", "default", rc=1))
        # A runner's key goes with the runner.
        self.assertIn("not found", self.applet("delete", ID, rc=1))
        self.server.ok("GET", f"/runner/{ID}", key=self.key)
        self.assertEqual(self.server.stop(), 0)
        self.assertEqual(self.applet("list").split(), ["default", "two"])
        self.assertIn("server key list", self.applet("delete", ID, rc=1))
        self.assertIn("server key list", self.applet("delete", "one", rc=1))
        self.applet("create", "three")
        self.applet("delete", "two")
        self.applet("delete", "default")
        self.assertIn("the only client key", self.applet("delete", "three", rc=1))
        self.assertEqual(self.applet("list").split(), ["three"])

    def test_words_are_no_names(self):
        for args in (("create",), ("delete",), ("list", "x"), ("remove", "x"), ("create", "x", "y"), (), ("help",), ("ls",), ("List",),
                     ("revoke",)):
            self.applet(*args, rc=2)
        self.assertEqual(self.applet("list").split(), ["default"])


class Tls(common.Case):
    def test_https(self):
        cert, key = os.path.join(self.tmp, "cert.pem"), os.path.join(self.tmp, "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--tls-cert", cert, "--tls-key", key)
        self.assertTrue(server.url.startswith("https://127.0.0.1:"))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=60 * common.PATIENCE,
                                                 context=ssl.create_default_context(cafile=cert))
        for _ in range(3):
            connection.request("GET", "/server/config", headers={"Authorization": "Bearer " + server.key})
            reply = connection.getresponse()
            self.assertEqual(reply.status, 200)
            self.assertEqual(json.loads(reply.read())["registryUrl"], server.url + "/registry")
        # A large file through TLS, and a large body to it.
        connection.request("GET", f"/download/daytona-runner-linux-{os.uname().machine}")
        with open(common.BIN, "rb") as file:
            self.assertEqual(connection.getresponse().read(), file.read())
        body = json.dumps({"key": "K", "value": "v" * 900000})
        connection.request("PUT", "/env", body=body, headers={"Authorization": "Bearer " + server.key})
        reply = connection.getresponse()
        self.assertEqual((reply.status, reply.read()), (201, b""))
        connection.close()
        plain = server.socket()
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            self.assertNotIn(b"HTTP/1.1 200", plain.recv(1000))
        except ConnectionResetError:
            pass
        made = common.run([common.BIN, "server", "key", "--data", server.data, "--ca-file", cert, "two"],
                          env=common.clean_env(self.tmp))
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    common.main()
