# SPDX-License-Identifier: Apache-2.0
"""A Daytona Server of v0.53 as people's clients see it, and what its API file says of each route: every request that a
test makes of it is held against that, and every answer that it gives."""
import copy
import json
import re
import urllib.parse

import common
from fakeserver import FakeServer, now
from httppeer import JSON_TYPE, TEXT_TYPE, error, head, reply, ws_accept, ws_frame, ws_read

SHA = "863f0f8480bb6029871af55b296d7667220d0629"

# "name! other:type" as the API file has them: ! is required, no type is a string, [x] an array, {x} a map.
SHAPES = {
    "ApiKeyViewDTO": "current!:bool name! type!:client|workspace|target|runner",
    "EnvironmentVariable": "key! value!",
    "GetRepositoryContext": "branch id name owner path prNumber:int sha source url!",
    "GitRepository": "branch! cloneTarget:branch|commit id! name! owner! path prNumber:int sha! source! url!",
    "Job":
        "action!:JobAction createdAt! error id! metadata resourceId! resourceType!:workspace|target|build|runner "
        "runnerId state!:pending|running|error|success updatedAt!",
    "TargetDTO":
        "default!:bool envVars!:{str} id! lastJob:Job lastJobId metadata:TargetMetadata name! providerMetadata "
        "state!:ResourceState targetConfig!:TargetConfig targetConfigId! workspaces!:[Workspace]",
    "Target":
        "default!:bool envVars!:{str} id! lastJob:Job lastJobId metadata:TargetMetadata name! providerMetadata "
        "targetConfig!:TargetConfig targetConfigId! workspaces!:[Workspace]",
    "TargetConfig": "deleted!:bool id! name! options! providerInfo!:ProviderInfo",
    "CreateTargetDTO": "id! name! targetConfigId!",
    "CreateTargetConfigDTO": "name! options! providerInfo!:ProviderInfo",
    "WorkspaceDTO":
        "apiKey! buildConfig:BuildConfig envVars!:{str} gitProviderConfigId id! image! labels!:{str} lastJob:Job "
        "lastJobId metadata:WorkspaceMetadata name! providerMetadata repository!:GitRepository state!:ResourceState "
        "target!:Target targetId! user!",
    "CreateWorkspaceDTO":
        "buildConfig:BuildConfig envVars!:{str} gitProviderConfigId id! image labels!:{str} name! "
        "source!:CreateWorkspaceSourceDTO targetId! user",
    "WorkspaceTemplate":
        "buildConfig:BuildConfig default!:bool envVars!:{str} gitProviderConfigId image! labels!:{str} name! "
        "prebuilds:[PrebuildConfig] repositoryUrl! user!",
    "GitProvider": "alias! baseApiUrl id! providerId! signingKey signingMethod:ssh|gpg token! username!",
    "TargetMetadata": "targetId! updatedAt! uptime!:int",
    "ResourceState": "error name!:ResourceStateName updatedAt!",
    "Workspace":
        "apiKey! buildConfig:BuildConfig envVars!:{str} gitProviderConfigId id! image! labels!:{str} lastJob:Job "
        "lastJobId metadata:WorkspaceMetadata name! providerMetadata repository!:GitRepository target!:Target targetId! "
        "user!",
    "ProviderInfo":
        "agentlessTarget:bool label name! runnerId! runnerName! targetConfigManifest!:TargetConfigManifest version!",
    "BuildConfig": "cachedBuild:CachedBuild devcontainer:DevcontainerConfig",
    "WorkspaceMetadata": "gitStatus:GitStatus updatedAt! uptime!:int workspaceId!",
    "CreateWorkspaceSourceDTO": "repository!:GitRepository",
    "PrebuildConfig": "branch! commitInterval:int id! retention!:int triggerFiles!:[str]",
    "TargetConfigManifest": "{TargetConfigProperty}",
    "CachedBuild": "image! user!",
    "DevcontainerConfig": "filePath!",
    "GitStatus": "ahead:int behind:int branchPublished:bool currentBranch! fileStatus!:[FileStatus]",
    "TargetConfigProperty":
        "defaultValue description disabledPredicate inputMasked:bool options:[str] suggestions:[str] "
        "type:string|option|boolean|int|float|file-path",
    "FileStatus":
        "extra! name! staging!:Unmodified|Untracked|Modified|Added|Deleted|Renamed|Copied|Updated_but_unmerged "
        "worktree!:Unmodified|Untracked|Modified|Added|Deleted|Renamed|Copied|Updated_but_unmerged",
    "JobAction": "=create|start|stop|restart|delete|force-delete|run|install-provider|uninstall-provider|update-provider",
    "ResourceStateName": "=undefined|pending-run|running|run-successful|pending-create|creating|pending-start|starting|started|"
                         "pending-stop|stopping|stopped|pending-restart|error|unresponsive|pending-delete|"
                         "pending-forced-delete|deleting|deleted",
}

# Method, path, what may be in the query, the body, and the answer: its status and what is in it ("text": no JSON).
ROUTES = [(method, re.compile(path.replace("*", "([^/]+)") + r"\Z"), set(query.split()), body, status, answer)
          for method, path, query, body, status, answer in (
    ("GET", "/apikey", "", None, 200, "[ApiKeyViewDTO]"),
    ("POST", "/apikey/*", "", None, 200, "text"),
    ("DELETE", "/apikey/*", "", None, 200, None),
    ("GET", "/env", "", None, 200, "[EnvironmentVariable]"),
    ("PUT", "/env", "", "EnvironmentVariable", 201, None),
    ("DELETE", "/env/*", "", None, 204, None),
    ("POST", "/gitprovider/context", "", "GetRepositoryContext", 200, "GitRepository"),
    ("GET", "/gitprovider/for-url/*", "", None, 200, "[GitProvider]"),
    ("GET", "/job", "states* actions* resourceId resourceType", None, 200, "[Job]"),
    ("GET", "/target", "showOptions:bool", None, 200, "[TargetDTO]"),
    ("POST", "/target", "", "CreateTargetDTO", 200, "Target"),
    ("GET", "/target/*", "showOptions:bool", None, 200, "TargetDTO"),
    ("DELETE", "/target/*", "force:bool", None, 200, None),
    ("POST", "/target/*/(?:start|stop|restart)", "", None, 200, None),
    ("PATCH", "/target/*/set-default", "", None, 200, None),
    ("GET", "/target-config", "showOptions:bool", None, 200, "[TargetConfig]"),
    ("POST", "/target-config", "showOptions:bool", "CreateTargetConfigDTO", 200, "TargetConfig"),
    ("GET", "/workspace", "labels", None, 200, "[WorkspaceDTO]"),
    ("POST", "/workspace", "", "CreateWorkspaceDTO", 200, "WorkspaceDTO"),
    ("GET", "/workspace/*", "", None, 200, "WorkspaceDTO"),
    ("DELETE", "/workspace/*", "force:bool", None, 200, None),
    ("POST", "/workspace/*/(?:start|stop|restart)", "", None, 200, None),
    ("GET", "/workspace/*/state", "", None, 200, "ResourceState"),
    ("GET", "/workspace-template/*", "", None, 200, "WorkspaceTemplate"),
    ("GET", "/log/(?:workspace|target)/*", "retry:bool follow:bool", None, 101, None))]


def route_of(request):
    return next((r for r in ROUTES if r[0] == request.method and r[1].match(request.path)), None)


def fits(value, kind, where, answer=False):
    """What of value is not as the API file says. In answers, lists, maps and what need not be there may be null."""
    kind = kind.replace("_", " ")
    if kind in SHAPES and SHAPES[kind][0] in "={[":
        kind = SHAPES[kind].lstrip("=")
    if kind in ("str", "int", "bool"):
        good = type(value) is {"str": str, "int": int, "bool": bool}[kind]
    elif kind[0] in "[{":
        if value is None and answer:
            return []
        good = isinstance(value, list if kind[0] == "[" else dict)
        if good:
            return [fault for i, x in (enumerate(value) if kind[0] == "[" else value.items())
                    for fault in fits(x, kind[1:-1], f"{where}[{i}]", answer)]
    elif kind in SHAPES:
        if isinstance(value, dict):
            return members(value, kind, where, answer)
        good = False
    else:
        good = value in kind.split("|")
    return [] if good else [f"{where}: {value!r} is no {kind}"]


def members(value, shape, where, answer):
    faults, known = [], {}
    for word in SHAPES[shape].split():
        name, _, kind = word.partition(":")
        known[name.rstrip("!")] = kind or "str"
        if name[-1] == "!" and name[:-1] not in value:
            faults.append(f"{where}: no {name[:-1]}")
        # The Server's check of what is required; it refuses what is empty, too (protocol 2).
        elif name[-1] == "!" and not answer and value[name[:-1]] in ("", None, 0) and value[name[:-1]] is not False:
            faults.append(f"{where}.{name[:-1]}: empty")
    for name, x in value.items():
        # It spells these in its own way (protocol 9.1).
        own = name[0].lower() + name[1:] if shape == "TargetConfigProperty" else name
        if own not in known:
            faults.append(f"{where}: {shape} has no {name}")
        elif x is not None or not answer and shape not in ("ProviderInfo", "TargetConfigProperty"):
            faults += fits(x, known[own], f"{where}.{name}", answer)
    return faults


def request_faults(request, key):
    """What a v0.53 Server would not understand in it, or only by its leniency."""
    route = route_of(request)
    where = f"{request.method} {request.target}"
    if not route:
        return [f"{where}: no such route"]
    _, _, query, body, status, answer = route
    faults = []
    for name, values in request.query.items():
        if name + "*" in query:
            continue
        if len(values) != 1 or not (name in query or name + ":bool" in query and values[0] in ("true", "false")):
            faults.append(f"{where}: {name}={values}")
    if re.search("[^!-~]", request.target) or "#" in request.target:
        faults.append(f"{where}: not encoded")
    if request.header("Authorization") != "Bearer " + key:
        faults.append(f"{where}: Authorization")
    if not re.fullmatch(r"v\d+\.\d+\.\d+\S*", request.header("X-Client-Version") or ""):
        faults.append(f"{where}: X-Client-Version")
    if status == 101:
        if [request.header(n) for n in ("Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol")] != [
                "websocket", "Upgrade", "13", None]:
            faults.append(f"{where}: no WebSocket")
        return faults
    if answer and answer != "text" and request.header("Accept") not in ("application/json", None):
        faults.append(f"{where}: Accept {request.header('Accept')}")
    if not body:
        return faults + ([f"{where}: a body"] if request.body else [])
    if (request.header("Content-Type") or "").split(";")[0] != "application/json":
        faults.append(f"{where}: Content-Type {request.header('Content-Type')}")
    return faults + fits(request.json(), body, where)


def chunked(body):
    """A long answer, as Go sends it."""
    def step(conn, request):
        request.status = 200
        conn.send(head(200, [*conn.peer.extra_headers, ("Content-Type", JSON_TYPE), ("Transfer-Encoding", "chunked")]))
        for at in range(0, len(body), 2048):
            part = body[at:at + 2048]
            conn.send(b"%x\r\n%s\r\n" % (len(part), part))
        conn.send(b"0\r\n\r\n")
        return True
    return step


class V53(FakeServer):
    """Where it is not as ours: null for empty lists, errors and keys as plain text, no cancel, logs that end with an empty
    entry or, followed, never; a target's state that is no state. Its runner is a script, which goes on when it is asked."""

    def __init__(self):
        super().__init__()
        self.keys[self.key] = "client"
        self.bodies, self.logs, self.outcome, self.names = [], {}, ("success", None), ["mine"]
        self.templates, self.faults, self.key_type = {}, [], "client"

    def answer(self, kind, doc):
        """200 with what the API file calls so; null for an empty list."""
        self.faults += fits(doc, kind, "answer " + kind, answer=True)
        body = json.dumps(doc if doc or kind[0] != "[" else None).encode()
        return chunked(body) if len(body) > 2048 else reply(200, body, JSON_TYPE)

    def add_config(self, name="docker-provider", runner="edge"):
        properties = {"Sock Path": {"Type": "string", "InputMasked": False, "DisabledPredicate": "", "DefaultValue": "/x",
                                    "Description": "", "Options": None, "Suggestions": None}}
        self.target_configs.append({
            "id": f"{len(self.target_configs) + 1:064x}", "name": f"local-runner-{self.runner_id}", "options": "",
            "deleted": False, "providerInfo": {
                "runnerId": self.runner_id, "runnerName": runner, "name": name, "version": "v0.13.0", "agentlessTarget": True,
                "label": "Docker", "targetConfigManifest": properties}})
        return self.target_configs[-1]

    def work(self, kind, thing, action):
        """A job, and what the runner will say of it."""
        self.add_job(kind, action, thing)
        self.logs.setdefault(thing, []).append(f"{action} of {thing}\r\n")

    def go_on(self):
        """pending, running, and the outcome."""
        for job in self.jobs.values():
            if job["state"] == "pending":
                job["state"] = "running"
            elif job["state"] == "running":
                job.update(state=self.outcome[0], error=self.outcome[1])
                known = self.workspaces.get(job["resourceId"])
                name = {"stop": "stopped", "delete": "deleted", "force-delete": "deleted"}.get(job["action"], "started")
                if known:
                    known["state"] = {"name": "error" if self.outcome[1] else name, "error": self.outcome[1],
                                      "updatedAt": now()}

    def handle(self, conn, request):
        path, method = request.path, request.method
        if (request.header("Authorization") or "") != f"Bearer {self.key}":
            return error(401, "unauthorized")(conn, request)
        if path.startswith("/log/"):
            return self.log(conn, request, path.split("/")[3])
        if method in ("POST", "PUT") and request.body:
            self.bodies.append((path, request.json()))
        step = self.client_route(method, path, request)
        return (step or reply(404, "404 page not found", TEXT_TYPE))(conn, request)

    def seen_by_client(self, thing, **more):
        """Variables of the system and keys are no client's (protocol 3.6)."""
        thing = copy.deepcopy(dict(thing, **more))
        for x in (thing, *([thing["target"]] if "target" in thing else [])):
            x["envVars"] = {k: v for k, v in x["envVars"].items() if not k.startswith("DAYTONA_")}
        if "apiKey" in thing:
            thing["apiKey"] = ""
        return thing

    def workspace_view(self, w):
        return self.seen_by_client(w, target=self.targets[w["targetId"]])

    def client_route(self, method, path, request):
        parts = [urllib.parse.unquote(p) for p in request.target.split("?")[0].strip("/").split("/")]
        kind = parts[0]
        if path == "/target-config":
            return self.config_route(method, request)
        if path == "/gitprovider/context":
            body = request.json()
            return self.answer("GitRepository", {
                "id": "app", "url": body["url"], "name": "App Store", "branch": body.get("branch", "trunk"), "sha": SHA,
                "owner": "acme", "source": "git.test", "cloneTarget": "branch"})
        if path.startswith("/gitprovider/for-url/"):
            return self.answer("[GitProvider]", [dict(p, token=p["token"] if self.key_type != "client" else "")
                                                 for p in self.git_for_url])
        if kind == "workspace-template":
            found = self.templates.get(parts[1])
            return (self.answer("WorkspaceTemplate", found) if found else
                    error(404, "failed to find workspace template: workspace template not found"))
        if path == "/job":
            self.go_on()
            return lambda conn, req: self.do_job_list(conn, req)
        if kind in ("workspace", "target"):
            return self.thing_route(method, kind, parts[1:], request)
        if kind == "apikey":
            return self.key_route(method, parts)
        return self.env_route(method, parts, request) if kind == "env" else None

    def config_route(self, method, request):
        if method == "GET":
            return self.answer("[TargetConfig]", self.target_configs)
        body = request.json()
        if body["name"] in [c["name"] for c in self.target_configs]:
            return error(500, "failed to set target config: target config with the same name already exists")
        made = dict(body, id=f"{len(self.target_configs) + 1:064x}", deleted=False)
        self.target_configs.append(dict(made, options=""))
        return self.answer("TargetConfig", self.target_configs[-1])

    def thing_route(self, method, kind, rest, request):
        things = self.workspaces if kind == "workspace" else self.targets
        if not rest:
            return self.things_route(method, kind, request)
        found = [t for t in things.values() if rest[0] in (t["id"], t["name"])]
        if not found:
            return error(404, f"failed to find {kind}: {kind} not found")
        [thing] = found
        if method == "GET" and rest[1:] == ["state"] and kind == "workspace":
            return self.answer("ResourceState", thing["state"])
        if method == "GET" and rest[1:]:
            return None
        if method == "GET":
            state = {"name": "undefined", "error": None, "updatedAt": now()}
            return (self.answer("WorkspaceDTO", self.workspace_view(thing)) if kind == "workspace" else
                    self.answer("TargetDTO", self.seen_by_client(thing, state=state)))
        if rest[1:] == ["set-default"]:
            for t in self.targets.values():
                t["default"] = t is thing
            return reply(200)
        if any(j["state"] in ("pending", "running") for j in self.jobs.values() if j["resourceId"] == thing["id"]):
            return error(500, f"failed to {rest[1] if rest[1:] else 'delete'} {kind}: another job is in progress")
        if method == "DELETE":
            self.work(kind, thing["id"], "force-delete" if request.query.get("force") else "delete")
            del things[thing["id"]]
        else:
            self.work(kind, thing["id"], rest[1])
        return reply(200)

    def things_route(self, method, kind, request):
        if method == "POST":
            return self.make(request.json()) if kind == "workspace" else self.make_target(request.json())
        if kind == "target":
            return self.answer("[TargetDTO]", [
                self.seen_by_client(t, state={"name": "undefined", "error": None, "updatedAt": now()})
                for t in self.targets.values()])
        labels = json.loads(request.query.get("labels", ["{}"])[0])
        return self.answer("[WorkspaceDTO]", [self.workspace_view(w) for w in self.workspaces.values()
                                              if labels.items() <= w["labels"].items()])

    def make_target(self, body):
        config = next((c for c in self.target_configs if c["id"] == body["targetConfigId"]), None)
        if not config:
            return error(500, "failed to create target: target config not found")
        target = {"id": body["id"], "name": body["name"], "targetConfigId": config["id"], "targetConfig": config, "envVars": {},
                  "default": False, "workspaces": None, "metadata": None, "lastJobId": None, "lastJob": None}
        self.targets[body["id"]] = target
        self.work("target", body["id"], "create")
        return self.answer("Target", target)

    def make(self, body):
        repository = body["source"]["repository"]
        if body["name"] in [w["name"] for w in self.workspaces.values()]:
            return error(500, "failed to create workspace: workspace already exists")
        if body["targetId"] not in self.targets:
            return error(500, "failed to create workspace: target not found")
        self.add_workspace(repository["url"].lower(), body["targetId"], repository["branch"], body["name"],
                           workspace_id=body["id"], sha=repository["sha"])
        self.workspaces[body["id"]]["labels"] = body["labels"]
        self.work("workspace", body["id"], "create")
        return self.answer("WorkspaceDTO", self.workspace_view(self.workspaces[body["id"]]))

    def key_route(self, method, parts):
        if method == "GET":
            return self.answer("[ApiKeyViewDTO]", [{"type": "client", "name": n, "current": n == "mine"} for n in self.names])
        if method == "POST":
            self.names.append(parts[1])
            return reply(200, "c2VjcmV0LXNlY3JldA", TEXT_TYPE)
        if parts[1] == "mine":
            return error(403, "cannot delete current api key")
        if parts[1] not in self.names:
            return error(500, "failed to delete api key: api key not found")
        self.names.remove(parts[1])
        return reply(200)

    def env_route(self, method, parts, request):
        if method == "GET":
            return self.answer("[EnvironmentVariable]", self.env)
        if method == "PUT":
            body = request.json()
            self.env = [v for v in self.env if v["key"] != body["key"]] + [body]
            return reply(201)
        self.env = [v for v in self.env if v["key"] != parts[1]]
        return reply(204)

    def log(self, conn, request, thing):
        ws_accept(conn, request)
        for line in self.logs.get(thing, []):
            entry = {"source": "server", "label": "x", "msg": line, "level": "", "time": "2025-02-10T10:00:04+01:00"}
            conn.send(ws_frame(1, json.dumps(entry).encode() + b"\n"))
        if request.query.get("follow") == ["true"]:
            while ws_read(conn)[1] != 8:
                pass
            return False
        conn.send(ws_frame(1, b'{"source":"","label":"","msg":"","level":"","time":""}\n'))
        conn.send(ws_frame(8, b"\x03\xe8"))
        return False


class ReferenceCase(common.Case):
    """At the end every request and every answer was as the API file says; routes that it does not have are in allowed."""
    allowed = ()

    def setUp(self):
        super().setUp()
        self.srv = V53().start()
        self.addCleanup(self.srv.stop)

    def tearDown(self):
        super().tearDown()
        faults = [f for r in self.srv.requests for f in request_faults(r, self.srv.key)
                  if not any(f"{r.method} {r.path}" == a or re.fullmatch(a, f"{r.method} {r.path}") for a in self.allowed)]
        self.assertEqual(faults, [])
        self.assertEqual(self.srv.faults, [])

    def verb(self, *args, rc=0, env=(), **kwargs):
        env = common.clean_env(self.tmp, DAYTONA_API_URL=self.srv.url, DAYTONA_API_KEY=self.srv.key, TERM="dumb", **dict(env))
        said = common.run([common.BIN, *args], env=env, **kwargs)
        self.assertIsNone(common.SANITIZER.search(said.stderr), said.stderr)
        if rc is not None:
            self.assertEqual(said.returncode, rc, said.stdout + said.stderr)
        return said
