# SPDX-License-Identifier: Apache-2.0
"""Our runner is given the answers that a real v0.53.0 Server gave, and what it sends is compared with
what the reference runner sent: method, path, query, headers, names and types of the body's fields,
frames of the log sockets."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, main  # noqa: E402
from fakeserver import DELIMITER  # noqa: E402
from httppeer import reply  # noqa: E402
from servecase import ServeCase  # noqa: E402

RECORDING = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recordings", "daytona-0.53-session.jsonl")
RUNNER = "c06076b18f00"
ID = re.compile(r"/[0-9a-f]{12}(?=/|$|\?)")

# Of the recording, what another program sent: the command line, curl, the agent's installer.
NOT_RUNNER = ("/binary/script", "/health", "/job?")
# What the reference sends and an independent runner need not: section 3.2 and 3.12 of the protocol.
OPTIONAL = {("POST", "/server/network-key"), ("GET", "/gitprovider/for-url/*")}
# What the recording has from another program, the built-in agent's heartbeat, and the search for lost jobs.
EXTRA = {("GET", "/server/config"), ("GET", "/job?states=running"), ("GET", "/target-config"), ("GET", "/runner/*"),
         ("POST", "/workspace/*/metadata"), ("GET", "/gitprovider/for-url/*")}  # the last two are the agent's


def shape(value):
    """Names and types, without the values; a list is the shape of its first element."""
    if isinstance(value, dict):
        return {key: shape(value[key]) for key in sorted(value)}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def kind(method, target):
    path, _, query = target.partition("?")
    if path.startswith("/gitprovider/for-url/"):
        path = "/gitprovider/for-url/*"
    return method, ID.sub("/*", path) + ("?" + query if query else "")


class Exchange:
    def __init__(self, record):
        request, response = record["request"], record["response"]
        self.method, self.target, _ = request["line"].split(" ", 2)
        self.headers = {key: value for key, value in request["headers"]}
        self.body, self.frames = request.get("body") or "", request.get("frames")
        self.status = int(response["line"].split()[1])
        self.answer = response.get("body") or ""
        self.kind = kind(self.method, self.target)
        agent = self.headers.get("User-Agent", "")
        self.by_runner = not agent.startswith("curl") and self.headers.get("X-Daytona-Source") in (None, "runner") \
            and not self.target.startswith(NOT_RUNNER) and self.target != "/runner"


class ReplayTest(ServeCase):
    def setUp(self):
        super().setUp()
        with open(RECORDING, encoding="utf-8") as file:
            self.all = [Exchange(json.loads(line)) for line in file]
        self.srv.runner_id = RUNNER

    def answer(self, method, target):
        """A recorded answer, for our provider and with addresses that exist here."""
        for exchange in self.all:
            if (exchange.method, exchange.target) == (method, target) and exchange.status == 200:
                text = exchange.answer.replace("docker-provider", "native-provider")
                text = text.replace("http://git.test/acme/app", self.repo_url)
                text = re.sub(r"http://(api-)?3a2f6f0e[^\"]*", self.srv.url, text)
                return text.replace("863f0f8480bb6029871af55b296d7667220d0629", self.sha)
        raise AssertionError(f"{method} {target} is not in the recording")

    def run_recorded_session(self):
        for method, target in (("GET", "/server/config"), ("GET", "/env"), ("GET", "/workspace/77aa10bc9d2e"),
                               ("GET", "/workspace/88bb10bc9d2f"), ("GET", "/target/0a1b2c3d4e5f?showOptions=true")):
            self.srv.on(method, target.partition("?")[0],
                        reply(200, self.answer(method, target), "application/json; charset=utf-8"), forever=True)
        for workspace in ("77aa10bc9d2e", "88bb10bc9d2f"):
            document = json.loads(self.answer("GET", f"/workspace/{workspace}"))
            self.srv.keys[document["apiKey"]] = "workspace"
            self.srv.keys[document["envVars"]["DAYTONA_SERVER_API_KEY"]] = "workspace"
        recorded = []
        for exchange in self.all:
            if exchange.kind == ("GET", "/runner/*/jobs") and exchange.status == 200:
                recorded += json.loads(exchange.answer.replace("docker-provider", "native-provider"))
        self.assertEqual(len(recorded), 10)
        create = dict(recorded[1], id="c0c0c0c0c0c1", resourceId="88bb10bc9d2f")
        runner = self.runner(self.srv).start()
        self.srv.wait(lambda: self.srv.target_configs, 20 * PATIENCE, "preset registered")
        for job in recorded[:3] + [create] + recorded[3:]:
            if job["id"] == "28e8d2d85ee4":     # the create that failed in the recording, too
                self.srv.on("GET", "/workspace/77aa10bc9d2e", reply(200, self.answer(
                    "GET", "/workspace/77aa10bc9d2e").replace("app.git", "none.git")))
            with self.srv.lock:
                self.srv.jobs[job["id"]] = dict(job)
                self.srv.lock.notify_all()
            state, text = self.srv.wait_final(job["id"], 60 * PATIENCE)
            self.assertEqual(state, "error" if job["id"] == "28e8d2d85ee4" else "success",
                             f"{job}: {text}\n{runner.log()[-2000:]}")
            if job is create:
                self.srv.wait(lambda: self.srv.agent_posts["88bb10bc9d2f"], 30 * PATIENCE, "agent's post")
        self.srv.wait(lambda: self.srv.log_frames[("workspace", "88bb10bc9d2f")], 20 * PATIENCE, "log")
        self.assertEqual(runner.stop(), 0)
        self.assertEqual(self.srv.job_faults(), [])

    def test_requests_match_the_reference(self):
        self.run_recorded_session()
        theirs = {}
        for exchange in self.all:
            if exchange.by_runner:
                theirs.setdefault(exchange.kind, []).append(exchange)
        ours = {}
        for request in self.srv.requests:
            ours.setdefault(kind(request.method, request.target), []).append(request)
        self.assertEqual(set(ours) - set(theirs) - EXTRA, set())
        self.assertEqual(set(theirs) - set(ours) - OPTIONAL, set())
        for key in set(ours) & set(theirs):
            for request in ours[key]:
                with self.subTest(request=request):
                    self.compare_headers(request, theirs[key])
                    if key[0] == "POST":
                        self.compare_body(key, request, theirs[key])

    def compare_headers(self, request, recorded):
        example = recorded[0].headers
        self.assertRegex(request.header("Authorization"), r"^Bearer \S{48}$")
        self.assertTrue(request.header("X-Client-Version") or request.header("Upgrade"))
        names = [name.lower() for name, _ in request.headers]
        self.assertEqual(len(names), len(set(names)), "no header twice")
        if request.header("Upgrade"):
            for name in ("Connection", "Upgrade", "Sec-WebSocket-Version"):
                self.assertEqual(request.header(name).lower(), example[name].lower())
            self.assertEqual(len(request.header("Sec-WebSocket-Key")), 24)
            return
        self.assertEqual(request.header("Accept") or "*/*", example.get("Accept", "*/*"), "Accept")
        if request.body:
            self.assertEqual(request.header("Content-Type"), example.get("Content-Type"))
        if request.method == "POST":
            self.assertEqual(int(request.header("Content-Length")), len(request.body))
        for name in ("X-Daytona-Telemetry-Enabled", "X-Daytona-Session-Id", "X-Daytona-Client-Id"):
            self.assertIsNone(request.header(name), "no telemetry")

    def compare_body(self, key, request, recorded):
        if not any(exchange.body for exchange in recorded):
            self.assertEqual(request.body, b"")
            return
        mine = shape(json.loads(request.body))
        wanted = [shape(json.loads(exchange.body)) for exchange in recorded if exchange.body]
        if key[1].endswith(("/metadata", "/target-config")):
            # The options of a provider are its own: only the form of each must be the same. What is empty or
            # false may be left out: the Server reads that as the same.
            mine, wanted = self.without_manifest(mine), [self.without_manifest(w) for w in wanted]
            if mine.get("providers") == []:     # the reference sends null here, and gets 400
                wanted = [dict(w, providers=[]) for w in wanted]
        self.assertIn(mine, wanted)

    def without_manifest(self, body):
        form = {"type": "str", "inputMasked": "bool", "disabledPredicate": "str", "defaultValue": "str",
                "description": "str", "options": ["str"], "suggestions": ["str"]}
        body = json.loads(json.dumps(body))
        infos = body.get("providers") if "providers" in body else [body.get("providerInfo")]
        for info in infos if isinstance(infos, list) else []:
            for name, option in info.pop("targetConfigManifest").items():
                self.assertIn("type", option, name)
                for key, kind in option.items():
                    self.assertEqual(kind, form[key], f"{name}: {key}")
        return body

    def test_log_frames_match_the_reference(self):
        self.run_recorded_session()
        examples = [frame for exchange in self.all for frame in exchange.frames or []
                    if exchange.target.endswith("/write") and frame["opcode"] == 1]
        self.assertTrue(examples)
        for frame in examples:
            text = frame["payload"].encode()
            self.assertTrue(text.endswith(DELIMITER))
        fields = list(json.loads(examples[0]["payload"].encode()[:-len(DELIMITER)]))
        pattern = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)\Z")
        count = 0
        for (what, resource), frames in list(self.srv.log_frames.items()):
            for entry in self.srv.log_entries(what, resource):
                count += 1
                self.assertEqual(list(entry), fields)
                self.assertRegex(entry["time"], pattern)
                self.assertTrue(entry["msg"].endswith("\n") or entry["source"] == "provider", entry)
                label = {"runner": "edge", "target": "t1"}.get(what)
                self.assertIn(entry["label"], (label,) if label else ("app", "_DELETED_app_DELETED_"))
                self.assertIn(entry["source"], {"runner": ("runner",)}.get(what, ("server", "provider")))
        self.assertGreater(count, 10)


if __name__ == "__main__":
    main()
