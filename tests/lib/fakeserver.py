# SPDX-License-Identifier: Apache-2.0
"""A scriptable Daytona Server: by default enough of it to run jobs, with each state change kept in
order; every path can be made to fail in any way (see httppeer)."""
import base64
import datetime
import json
import re
import time
import urllib.parse
import uuid
from collections import defaultdict

from common import PATIENCE
from httppeer import (JSON_TYPE, TEXT_TYPE, Gone, Peer, error, reply, ws_accept, ws_frame, ws_read)

DELIMITER = b"!-#_^*|\n"
FINAL = ("success", "error")


def new_id():
    while True:
        text = uuid.uuid4().hex[:12]
        if not text.isdigit():
            return text


def new_key():
    return base64.b64encode(str(uuid.uuid4()).encode()).decode().rstrip("=")


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


class Update:
    """One POST …/state as it arrived and as it was answered."""

    def __init__(self, job_id, state, message, status):
        self.job_id, self.state, self.message, self.status = job_id, state, message, status
        self.at = time.monotonic()

    def __repr__(self):
        return f"<{self.job_id} {self.state} {self.message!r} -> {self.status}>"


class FakeServer(Peer):
    def __init__(self, tls=None, host="127.0.0.1", poll_seconds=60.0):
        super().__init__(tls, host)
        self.extra_headers = [("X-Server-Version", "v0.53.0")]
        self.poll_seconds = poll_seconds
        self.runner_id, self.runner_name, self.key = new_id(), "edge", new_key()
        self.keys = {self.key: "runner"}
        self.jobs = {}                  # id -> job, in order of creation
        self.updates = []               # Update, accepted or not
        self.heartbeats = []            # (time, body) of accepted ones
        self.workspaces, self.targets, self.builds = {}, {}, {}
        self.target_configs, self.env, self.git_providers = [], [], {}
        self.git_for_url = []
        self.git_user, self.registries = None, {}   # of a git provider; server -> login
        self.provider_metadata, self.agent_posts = defaultdict(list), defaultdict(list)
        self.created_targets = []
        self.log_frames = defaultdict(list)     # (kind, id) -> [(opcode, masked, payload)]
        self.log_open = defaultdict(int)
        self.log_away = False           # refuse log sockets with 500
        self.default_image = "workspace:1"
        self.polls = 0
        self.malformed = []             # requests whose body is no JSON

    # Resources and jobs.
    def add_target(self, provider="native-provider", options="{}", name="local", agentless=True):
        target_id = new_id()
        config_id = uuid.uuid4().hex * 2
        self.targets[target_id] = {
            "id": target_id, "name": name, "targetConfigId": config_id,
            "targetConfig": {"id": config_id, "name": f"local-runner-{self.runner_id}",
                             "providerInfo": {"runnerId": self.runner_id,
                                              "runnerName": self.runner_name, "name": provider,
                                              "version": "v1.0.0", "agentlessTarget": agentless,
                                              "label": None, "targetConfigManifest": {}},
                             "options": options, "deleted": False},
            "envVars": {"DAYTONA_TARGET_ID": target_id}, "default": True, "workspaces": None,
            "metadata": None, "lastJobId": None, "lastJob": None}
        return target_id

    def add_workspace(self, url, target=None, branch="main", name="app", env=None, sha="",
                      commit=False, git_provider=None, workspace_id=None, image="none",
                      user="daytona", repo_name=None, **target_args):
        target = target or self.add_target(**target_args)
        workspace_id = workspace_id or new_id()
        key = new_key()
        self.keys[key] = "workspace"
        repo_name = repo_name or url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git")
        variables = {"DAYTONA_TARGET_ID": target, "DAYTONA_WORKSPACE_ID": workspace_id,
                     "DAYTONA_WORKSPACE_REPOSITORY_URL": url, "DAYTONA_SERVER_API_KEY": key,
                     "DAYTONA_SERVER_VERSION": "v0.53.0", "DAYTONA_SERVER_URL": self.url,
                     "DAYTONA_SERVER_API_URL": self.url, "DAYTONA_CLIENT_ID": str(uuid.uuid4()),
                     "DAYTONA_AGENT_LOG_FILE_PATH": "(HOME)/.daytona-agent.log",
                     "DAYTONA_TELEMETRY_ENABLED": "true"}
        variables.update(env or {})
        repository = {"id": repo_name, "url": url, "name": repo_name, "branch": branch, "sha": sha,
                      "owner": "acme", "source": "git.test"}
        if commit:
            repository["cloneTarget"] = "commit"
        document = {"id": workspace_id, "name": name, "image": image, "user": user,
                    "repository": repository, "envVars": variables, "labels": {},
                    "targetId": target, "apiKey": key,
                    "metadata": {"workspaceId": workspace_id, "updatedAt": now(), "uptime": 0,
                                 "gitStatus": None},
                    "lastJobId": None, "lastJob": None,
                    "state": {"name": "unresponsive", "error": None, "updatedAt": now()}}
        if git_provider:
            document["gitProviderConfigId"] = git_provider
        self.workspaces[workspace_id] = document
        return workspace_id

    def add_job(self, resource_type, action, resource_id, job_id=None, metadata=None,
                runner_id="", **extra):
        job_id = job_id or new_id()
        job = {"id": job_id, "resourceId": resource_id,
               "runnerId": self.runner_id if runner_id == "" else runner_id,
               "resourceType": resource_type, "state": "pending", "action": action,
               "metadata": metadata, "error": None, "createdAt": now(), "updatedAt": now()}
        job.update(extra)
        with self.lock:
            self.jobs[job_id] = job
            self.lock.notify_all()
        return job_id

    # What happened.
    def states(self, job_id):
        """Accepted states of a job, in order."""
        with self.lock:
            return [u.state for u in self.updates if u.job_id == job_id and u.status == 200]

    def wait_state(self, job_id, states, timeout=30 * PATIENCE):
        states = (states,) if isinstance(states, str) else states
        return self.wait(lambda: self.jobs[job_id]["state"] in states and self.jobs[job_id],
                         timeout, f"job {job_id} in {states}, it is {self.jobs[job_id]['state']}")

    def wait_final(self, job_id, timeout=30 * PATIENCE):
        job = self.wait_state(job_id, FINAL, timeout)
        return job["state"], job["error"] or ""

    def job_faults(self):
        """What breaks the rule that each claimed job ends in exactly one final state, once run."""
        faults = []
        with self.lock:
            for job_id in self.jobs:
                states = self.states(job_id)
                if not states:
                    continue
                finals = [s for s in states if s in FINAL]
                if states.count("running") > 1:
                    faults.append(f"{job_id} claimed {states.count('running')} times: {states}")
                if len(finals) != 1 or states[-1] not in FINAL:
                    faults.append(f"{job_id} ended {len(finals)} times: {states}")
                elif "running" in states and states.index("running") > states.index(finals[0]):
                    faults.append(f"{job_id} ended before it ran: {states}")
        return faults

    def log_entries(self, kind, resource_id):
        """Entries that arrived on a log socket, parsed; checks one text frame an entry."""
        entries = []
        with self.lock:
            frames = list(self.log_frames[(kind, resource_id)])
        for opcode, masked, payload in frames:
            assert opcode == 1 and masked, "log frames are masked text frames"
            assert payload.endswith(DELIMITER), payload
            assert payload.count(DELIMITER) == 1, payload
            entries.append(json.loads(payload[:-len(DELIMITER)].decode("utf-8")))
        return entries

    def log_text(self, kind, resource_id):
        return "".join(entry["msg"] for entry in self.log_entries(kind, resource_id))

    def wait_heartbeat(self, count=1, timeout=15 * PATIENCE):
        return self.wait(lambda: len(self.heartbeats) >= count and self.heartbeats, timeout,
                         f"{count} heartbeats")

    # The API.
    def handle(self, conn, request):
        if request.path == "/health":
            return reply(200, {"status": "ok"})(conn, request)
        authorization = request.header("Authorization") or ""
        kind = self.keys.get(authorization[7:]) if authorization.startswith("Bearer ") else None
        if not kind:
            return error(401, "unauthorized")(conn, request)
        for method, pattern, name in ROUTES:
            match = pattern.match(request.path)
            if match and method == request.method:
                return getattr(self, name)(conn, request, *match.groups())
        return reply(404, "404 page not found", TEXT_TYPE)(conn, request)

    def do_config(self, conn, request):
        return reply(200, {
            "registryUrl": "http://registry.test", "id": "3a2f6f0e-6d0b-4b0e-9d0b-7a0c4f6f1b55",
            "serverDownloadUrl": "http://registry.test/install.sh", "apiPort": self.port,
            "headscalePort": 3987, "binariesPath": "/var/lib/daytona/binaries",
            "logFile": {"path": "/var/log/daytona.log", "maxSize": 100, "maxBackups": 7,
                        "maxAge": 15, "localTime": True, "compress": True},
            "builderImage": "workspace:1", "defaultWorkspaceImage": self.default_image,
            "defaultWorkspaceUser": "daytona", "localBuilderRegistryPort": 3988,
            "localBuilderRegistryImage": "registry:2.8.3", "builderRegistryServer": "local",
            "buildImageNamespace": "", "localRunnerDisabled": True,
            "samplesIndexUrl": "http://registry.test/samples.json"})(conn, request)

    def do_network_key(self, conn, request):
        return reply(200, {"key": uuid.uuid4().hex})(conn, request)

    def do_poll(self, conn, request, runner_id):
        """Ends with nothing when there is a new answer for polls: none that comes after Peer.on() misses it."""
        with self.lock:
            self.polls += 1
        end = time.monotonic() + self.poll_seconds
        stopping = self.stopping
        while True:
            with self.lock:
                overtaken = self.overtaken(request)
                pending = [job for job in self.jobs.values() if job["state"] == "pending" and
                           job["runnerId"] in (runner_id, None, "")]
                if not pending and not overtaken:
                    self.lock.wait(0.02)
            if pending and not overtaken:
                return reply(200, pending)(conn, request)
            if stopping.is_set() or conn.client_left():
                raise Gone("poll ended")
            if overtaken or time.monotonic() >= end:
                return reply(204, headers=[("Content-Type", JSON_TYPE)])(conn, request)

    def do_state(self, conn, request, runner_id, job_id):
        try:
            body = request.json()
            state, message = body["state"], body.get("errorMessage")
        except (ValueError, KeyError, TypeError):
            return error(400, "EOF")(conn, request)
        with self.lock:
            job = self.jobs.get(job_id)
            if not job:
                status, text = 500, "failed to get job: job not found"
            elif job["runnerId"] not in (runner_id, None, ""):
                status, text = 401, "job does not belong to runner"
            elif job["state"] == state:
                status, text = 500, ("failed to update job state: "
                                     "job is already in the specified state")
            else:
                status, text = 200, None
                job.update(state=state, error=message, updatedAt=now())
            self.updates.append(Update(job_id, state, message, status))
            self.lock.notify_all()
        return (error(status, text) if text else reply(200))(conn, request)

    def do_job_list(self, conn, request):
        query = request.query
        with self.lock:
            found = [dict(job) for job in self.jobs.values()
                     if job["resourceId"] in query.get("resourceId", [job["resourceId"]]) and
                     job["resourceType"] in query.get("resourceType", [job["resourceType"]]) and
                     job["state"] in query.get("states", [job["state"]])]
        return reply(200, found)(conn, request)

    def do_heartbeat(self, conn, request, runner_id):
        try:
            body = request.json()
        except ValueError:
            self.malformed.append(request)
            return error(400, "invalid character")(conn, request)
        if not body.get("uptime") or not isinstance(body.get("providers"), list):
            return error(400, "Key: 'UpdateRunnerMetadataDTO.Providers' Error:Field validation "
                              "for 'Providers' failed on the 'required' tag")(conn, request)
        with self.lock:
            self.heartbeats.append((time.monotonic(), body))
            self.lock.notify_all()
        return reply(200)(conn, request)

    def do_runner(self, conn, request, runner_id):
        if runner_id not in (self.runner_id, self.runner_name):
            return error(404, "failed to get runner: runner not found")(conn, request)
        with self.lock:
            alive = bool(self.heartbeats) and time.monotonic() - self.heartbeats[-1][0] < 30
            body = self.heartbeats[-1][1] if self.heartbeats else {"uptime": 0, "providers": None}
        return reply(200, {
            "id": self.runner_id, "name": self.runner_name,
            "metadata": {"runnerId": self.runner_id, "updatedAt": now(), "runningJobs": 0, **body},
            "state": {"name": "started" if alive else "unresponsive",
                      "error": "Runner is unresponsive", "updatedAt": now()}})(conn, request)

    def do_workspace(self, conn, request, workspace_id):
        document = self.workspaces.get(workspace_id)
        if not document:
            return error(404, "failed to find workspace: workspace not found")(conn, request)
        target = self.targets.get(document["targetId"])
        return reply(200, {**document, "target": target})(conn, request)

    def do_target(self, conn, request, target_id):
        target = self.targets.get(target_id)
        if not target:
            return error(404, "failed to find target: target not found")(conn, request)
        if request.query.get("showOptions") != ["true"]:
            target = {**target, "targetConfig": {**target["targetConfig"], "options": ""}}
        state = {"name": "undefined", "error": None, "updatedAt": now()}
        return reply(200, {**target, "state": state})(conn, request)

    def do_build(self, conn, request, build_id):
        if build_id not in self.builds:
            return error(404, "failed to find build: build not found")(conn, request)
        return reply(200, self.builds[build_id])(conn, request)

    def do_builds_found(self, conn, request, url):
        return reply(200, "null", JSON_TYPE)(conn, request)

    def do_provider_metadata(self, conn, request, kind, resource_id):
        text = request.json().get("metadata")
        if not text:
            return error(400, "Key: 'UpdateWorkspaceProviderMetadataDTO.Metadata' Error:Field "
                              "validation for 'Metadata' failed on the 'required' tag")(
                                  conn, request)
        with self.lock:
            self.provider_metadata[resource_id].append(text)
            self.lock.notify_all()
        return reply(200)(conn, request)

    def do_agent(self, conn, request, kind, resource_id):
        try:
            body = request.json()
        except ValueError:
            self.malformed.append(request)
            return error(400, "invalid character")(conn, request)
        status = body.get("gitStatus")
        if not body.get("uptime") or status and not status["currentBranch"]:
            return error(400, "Field validation failed on the 'required' tag")(conn, request)
        with self.lock:
            self.agent_posts[resource_id].append((time.monotonic(), body))
            self.lock.notify_all()
        return reply(200)(conn, request)

    def do_target_created(self, conn, request, target_id):
        with self.lock:
            self.created_targets.append(target_id)
        return reply(200)(conn, request)

    def do_git_provider(self, conn, request, provider_id):
        if provider_id not in self.git_providers:
            return error(500, "git provider config not found")(conn, request)
        return reply(200, self.git_providers[provider_id])(conn, request)

    def do_git_user(self, conn, request, provider_id):
        if not self.git_user:
            return error(404, "no user")(conn, request)
        return reply(200, self.git_user)(conn, request)

    def do_registry(self, conn, request, server):
        server = urllib.parse.unquote(server)
        if server not in self.registries:
            return error(404, f"failed to find container registry for server: {server}")(conn, request)
        return reply(200, dict(self.registries[server], server=server))(conn, request)

    def do_git_for_url(self, conn, request, url):
        return reply(200, self.git_for_url or None)(conn, request)

    def do_env(self, conn, request):
        return reply(200, self.env)(conn, request)

    def do_configs(self, conn, request):
        return reply(200, self.target_configs)(conn, request)

    def do_config_add(self, conn, request):
        body = request.json()
        with self.lock:
            if any(c["name"] == body["name"] for c in self.target_configs):
                return error(500, "failed to set target config: target config with the same name "
                                  "already exists")(conn, request)
            self.target_configs.append({"id": uuid.uuid4().hex * 2, "deleted": False, **body})
        return reply(200, self.target_configs[-1])(conn, request)

    def do_log(self, conn, request, kind, resource_id):
        if self.log_away:
            return error(500, "log is away")(conn, request)
        if (request.header("Upgrade") or "").lower() != "websocket":
            return reply(400, "Bad Request\n", TEXT_TYPE)(conn, request)
        ws_accept(conn, request)
        with self.lock:
            self.log_open[(kind, resource_id)] += 1
        message, first = b"", 0
        while True:
            fin, opcode, masked, payload = ws_read(conn)
            if opcode == 8:
                conn.send(ws_frame(8, payload[:2] or b"\x03\xe8"))
                return False
            if opcode == 9:
                conn.send(ws_frame(10, payload))
                continue
            if opcode == 10:
                continue
            first = opcode or first
            message += payload
            if fin:
                with self.lock:
                    self.log_frames[(kind, resource_id)].append((first, masked, message))
                    self.lock.notify_all()
                message = b""


ROUTES = [(method, re.compile(pattern + r"\Z"), name) for method, pattern, name in (
    ("GET", "/server/config", "do_config"),
    ("POST", "/server/network-key", "do_network_key"),
    ("GET", "/runner/([^/]+)/jobs", "do_poll"),
    ("POST", "/runner/([^/]+)/jobs/([^/]+)/state", "do_state"),
    ("GET", "/job", "do_job_list"),
    ("POST", "/runner/([^/]+)/metadata", "do_heartbeat"),
    ("GET", "/runner/([^/]+)", "do_runner"),
    ("GET", "/workspace/([^/]+)", "do_workspace"),
    ("GET", "/target/([^/]+)", "do_target"),
    ("GET", "/build/successful/(.+)", "do_builds_found"),
    ("GET", "/build/([^/]+)", "do_build"),
    ("POST", "/(workspace|target)/([^/]+)/provider-metadata", "do_provider_metadata"),
    ("POST", "/(workspace|target)/([^/]+)/metadata", "do_agent"),
    ("POST", "/target/([^/]+)/handle-successful-creation", "do_target_created"),
    ("GET", "/gitprovider/([^/]+)/user", "do_git_user"),
    ("GET", "/container-registry/([^/?]+)", "do_registry"),
    ("GET", "/gitprovider/for-url/(.+)", "do_git_for_url"),
    ("GET", "/gitprovider/([^/]+)", "do_git_provider"),
    ("GET", "/env", "do_env"),
    ("GET", "/target-config", "do_configs"),
    ("POST", "/target-config", "do_config_add"),
    ("GET", "/log/(runner|workspace|target|build)/([^/]+)/write", "do_log"),
)]
