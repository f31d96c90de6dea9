#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may do what on the embedded Server: each kind of key on each route, for its own things and for another's,
against the statuses written down here. A route that this table does not know fails the test."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

ROUTES_C = os.path.join(os.path.dirname(__file__), "..", "..", "src", "server", "route.c")
URL = "https%253A%252F%252F{}%252Facme%252Fapp"
KEYS = ("none", "client", "runner", "target", "workspace", "join")
# Statuses: no key | client | runner: own, another's | target: own, another's | workspace: own, another's.
# 401 and 403 are refusals; anything else was admitted, and is what the handler says of this request.
TABLE = """
GET    /                                      200 200  200 200  200 200  200 200
POST   /                                      401 200  200 200  401 401  401 401
GET    /health                                200 200  200 200  200 200  200 200
GET    /healthz                               200 200  200 200  200 200  200 200
GET    /readyz                                200 200  200 200  200 200  200 200
GET    /metrics                               401 200  403 403  403 403  403 403
GET    /install.sh                            200 200  200 200  200 200  200 200
GET    /download/SHA256SUMS                   200 200  200 200  200 200  200 200
GET    /download/v0/x                         404 404  404 404  404 404  404 404
GET    /registry/providers/manifest.json      200 200  200 200  200 200  200 200

GET    /server/config                         401 200  200 200  200 200  200 200
PUT    /server/config                         401 400  403 403  403 403  403 403
POST   /server/restart                        401 200  403 403  403 403  403 403
POST   /server/network-key                    401 501  200 200  200 200  200 200
GET    /server/logs                           401 200  403 403  403 403  403 403
GET    /binary/script                         401 200  200 200  200 200  200 200
GET    /binary/v1/a-b-c                       401 500  500 500  500 500  500 500

GET    /apikey                                401 200  403 403  403 403  403 403
POST   /apikey/new                            401 200  403 403  403 403  403 403
DELETE /apikey/new                            401 200  403 403  403 403  403 403

GET    /runner                                401 200  200 200  403 403  403 403
POST   /runner                                401 400  403 403  403 403  403 403
GET    /runner/provider                       401 200  200 200  403 403  403 403
GET    /runner/provider/for-install           401 200  403 403  403 403  403 403
GET    /runner/{r}                            401 200  200 403  403 403  403 403
GET    /runner/{r}/provider                   401 200  200 403  403 403  403 403
POST   /runner/{r}/provider/x/install         401 200  403 403  403 403  403 403
POST   /runner/{r}/provider/x/uninstall       401 500  403 403  403 403  403 403
POST   /runner/{r}/provider/x/update          401 500  403 403  403 403  403 403
GET    /runner/{r}/jobs                       401 403  200 403  403 403  403 403
POST   /runner/{r}/jobs/{j}/state             401 403  500 403  403 403  403 403
POST   /runner/{r}/key                        401 403  200 403  403 403  403 403
POST   /runner/{r}/metadata                   401 403  200 403  403 403  403 403
GET    /job                                   401 200  200 200  403 403  403 403
POST   /job/none/cancel                       401 404  403 403  403 403  403 403

GET    /target-config                         401 200  200 200  403 403  403 403
POST   /target-config                         401 200  200 403  403 403  403 403
DELETE /target-config/{c}                     401 500  403 403  403 403  403 403
GET    /target                                401 200  200 200  403 403  403 403
POST   /target                                401 400  403 403  403 403  403 403
GET    /target/{t}                            401 200  200 403  200 403  200 403
DELETE /target/{t}                            401 500  403 403  403 403  403 403
GET    /target/{t}/state                      401 200  200 403  200 403  200 403
POST   /target/{t}/start                      401 500  403 403  403 403  403 403
POST   /target/{t}/stop                       401 500  403 403  403 403  403 403
POST   /target/{t}/restart                    401 500  403 403  403 403  403 403
PATCH  /target/{t}/set-default                401 200  403 403  403 403  403 403
POST   /target/{t}/handle-successful-creation 401 200  200 403  403 403  403 403
POST   /target/{t}/provider-metadata          401 200  200 403  403 403  403 403
POST   /target/{t}/metadata                   401 403  403 403  200 403  403 403

GET    /workspace                             401 200  200 200  403 403  403 403
POST   /workspace                             401 400  403 403  403 403  403 403
GET    /workspace/{w}                         401 200  200 403  200 403  200 403
DELETE /workspace/{w}                         401 500  403 403  403 403  403 403
GET    /workspace/{w}/state                   401 200  200 403  200 403  200 403
POST   /workspace/{w}/start                   401 500  403 403  403 403  403 403
POST   /workspace/{w}/stop                    401 500  403 403  403 403  403 403
POST   /workspace/{w}/restart                 401 500  403 403  403 403  403 403
POST   /workspace/{w}/labels                  401 200  403 403  403 403  403 403
POST   /workspace/{w}/provider-metadata       401 200  200 403  403 403  403 403
POST   /workspace/{w}/metadata                401 403  403 403  403 403  200 403
GET    /workspace/{w}/tunnel                  401 400  403 403  403 403  403 403
GET    /workspace/{w}/tunnel/poll             401 403  403 403  403 403  204 403
GET    /workspace/{w}/tunnel/{j}              401 403  403 403  403 403  404 403
ANY    /workspace/{w}/toolbox/files           401 500  403 403  403 403  403 403

GET    /workspace-template                    401 200  403 403  403 403  403 403
PUT    /workspace-template                    401 400  403 403  403 403  403 403
GET    /workspace-template/default/x          401 404  403 403  403 403  403 403
GET    /workspace-template/prebuild           401 200  403 403  403 403  403 403
GET    /workspace-template/x                  401 404  403 403  403 403  403 403
DELETE /workspace-template/x                  401 404  403 403  403 403  403 403
PATCH  /workspace-template/x/set-default      401 500  403 403  403 403  403 403
GET    /workspace-template/x/prebuild         401 404  403 403  403 403  403 403
PUT    /workspace-template/x/prebuild         401 400  403 403  403 403  403 403
GET    /workspace-template/x/prebuild/y       401 404  403 403  403 403  403 403
DELETE /workspace-template/x/prebuild/y       401 404  403 403  403 403  403 403
POST   /workspace-template/prebuild/process-git-event 401 400 403 403 403 403 403 403
POST   /prebuild/webhook-event                401 401  401 401  401 401  401 401
GET    /build                                 401 200  403 403  403 403  403 403
POST   /build                                 401 400  403 403  403 403  403 403
DELETE /build                                 401 204  403 403  403 403  403 403
GET    /build/successful/x                    401 200  200 200  403 403  403 403
GET    /build/x                               401 404  404 404  403 403  403 403
DELETE /build/prebuild/x                      401 204  403 403  403 403  403 403
DELETE /build/x                               401 500  403 403  403 403  403 403

GET    /env                                   401 200  200 200  403 403  403 403
PUT    /env                                   401 400  403 403  403 403  403 403
DELETE /env/none                              401 204  403 403  403 403  403 403
GET    /container-registry/reg?workspaceId={w} 401 200 200 403  200 403  200 403
GET    /gitprovider                           401 200  403 403  403 403  403 403
PUT    /gitprovider                           401 400  403 403  403 403  403 403
POST   /gitprovider/context                   401 400  403 403  403 403  403 403
POST   /gitprovider/context/url               401 400  403 403  403 403  403 403
GET    /gitprovider/for-url/{u}               401 200  200 403  403 403  200 403
GET    /gitprovider/id-for-url/{u}            401 200  403 403  403 403  403 403
GET    /gitprovider/{g}                       401 200  200 403  403 403  200 403
GET    /gitprovider/none/user                 401 500  403 403  403 403  403 403
GET    /gitprovider/none/namespaces           401 500  403 403  403 403  403 403
GET    /gitprovider/none/n/repositories       401 500  403 403  403 403  403 403
GET    /gitprovider/none/n/r/branches         401 500  403 403  403 403  403 403
GET    /gitprovider/none/n/r/pull-requests    401 500  403 403  403 403  403 403
DELETE /gitprovider/{g}                       401 500  403 403  403 403  403 403
GET    /sample                                401 200  403 403  403 403  403 403

GET    /log/server                            401 400  403 403  403 403  403 403
GET    /log/runner/{r}                        401 400  400 403  403 403  403 403
GET    /log/workspace/{w}                     401 400  400 403  403 403  400 403
GET    /log/target/{t}                        401 400  400 403  400 403  403 403
GET    /log/build/{b}                         401 404  404 404  403 403  403 403
GET    /log/runner/{r}/write                  401 400  400 403  403 403  403 403
GET    /log/workspace/{w}/write               401 400  400 403  403 403  403 403
GET    /log/target/{t}/write                  401 400  400 403  403 403  403 403
GET    /log/build/{b}/write                   401 404  404 404  403 403  403 403

DELETE /runner/{r}                            401 500  200 403  403 403  403 403
"""
# A join token: this, what needs no key, and nothing else.
JOIN = {"POST /runner": 400, "POST /": 401, "POST /prebuild/webhook-event": 401}
BODIES = {
    "POST /runner/{r}/jobs/{j}/state": {"state": "running"},
    "POST /runner/{r}/metadata": {"uptime": 7, "providers": []},
    "POST /target/{t}/provider-metadata": {"metadata": "{}"},
    "POST /workspace/{w}/provider-metadata": {"metadata": "{}"},
    "POST /target/{t}/metadata": {"uptime": 7},
    "POST /workspace/{w}/metadata": {"uptime": 7, "gitStatus": {"currentBranch": "x", "fileStatus": []}},
    "POST /workspace/{w}/labels": {"a": "b"},
}


def rows():
    """(method, path, statuses): statuses by kind of key, each (own, another's)."""
    for line in TABLE.splitlines():
        if line.strip():
            method, path, *numbers = line.split()
            n = [int(x) for x in numbers]
            assert len(n) == 8, line
            join = JOIN.get(f"{method} {path}", 403 if n[0] == 401 else n[0])
            yield method, path, dict(zip(KEYS, ((n[0],) * 2, (n[1],) * 2, n[2:4], n[4:6], n[6:8], (join,) * 2)))


class Roles(common.Case):
    args = ()

    def setUp(self):
        super().setUp()
        data = os.path.join(self.tmp, "data")
        os.makedirs(os.path.join(data, "providers"), mode=0o700)
        open(os.path.join(data, "lock"), "w").close()
        with open(os.path.join(data, "providers", "manifest.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.server = s = serverproc.Server(self, data, "--poll-seconds", "1", *self.args)
        self.own, self.other, self.keys = {}, {}, {"none": None, "client": s.key}
        s.ok("PUT", "/env", {"key": "A_CONTAINER_REGISTRY_SERVER", "value": "reg"}, status=201)
        s.ok("PUT", "/gitprovider", {"id": "g1", "providerId": "github", "token": "t1", "username": "u1"})
        s.ok("PUT", "/gitprovider", {"id": "g2", "providerId": "gitlab", "token": "t2", "username": "u2"})
        for n, ids, host in (("1", self.own, "github.com"), ("2", self.other, "gitlab.com")):
            ids.update(r="aaaaaaaaaaa" + n, t="t" + n, w="w" + n, g="g" + n, b="x", j="none", u=URL.format(host))
            runner = serverproc.make_runner(s, ids["r"], "runner" + n)
            ids["c"] = serverproc.make_config(s, ids["r"], "cfg" + n)
            s.ok("POST", "/target", {"id": ids["t"], "name": "target" + n, "targetConfigId": ids["c"]})
            repository = dict(serverproc.REPOSITORY, url=f"https://{host}/acme/app", source=host)
            s.ok("POST", "/workspace", serverproc.workspace_body(ids["w"], "work" + n, ids["t"],
                                                                 source={"repository": repository}))
            if n == "1":
                self.keys["runner"] = runner
        kept = {k: s.ok("GET", f"/{k}/{i}", key=self.keys["runner"]).json for k, i in (("target", "t1"), ("workspace", "w1"))}
        self.keys["target"] = kept["target"]["envVars"]["DAYTONA_SERVER_API_KEY"]
        self.keys["workspace"] = kept["workspace"]["apiKey"]
        self.keys["join"] = serverproc.token(s.ok("POST", "/apikey/j?type=join").body)["join"]
        os.makedirs(os.path.join(data, "logs", "builds", "x"), exist_ok=True)

    def ask(self, kind, method, path, ids):
        if kind == "client" and method == "DELETE":
            ids = dict.fromkeys(ids, "none")  # things are still needed
        body = None
        if method in ("POST", "PUT"):
            body = BODIES.get(f"{method} {path}", {})
        if path == "/target-config" and method == "POST":
            body = {"name": f"made by {kind} for {ids['r']}", "options": "{}",
                    "providerInfo": dict(serverproc.PROVIDER, runnerId=ids["r"], runnerName="x")}
        return self.server.call("GET" if method == "ANY" else method, path.format(**ids), body, key=self.keys[kind])

    def dump(self):
        """All that requests could have changed. Who is not heard of becomes unresponsive by itself."""
        paths = ("/server/config", "/apikey", "/runner", "/target-config", "/target", "/workspace", "/job", "/env",
                 "/gitprovider", "/workspace-template", "/build")
        text = json.dumps([self.server.ok("GET", p).json for p in paths])
        text = re.sub(r'"name": "(started|unresponsive)"(, "error": ("[^"]*"|null))?', "", text)
        return re.sub(r'"updatedAt": "[^"]*"', "", text)

    def test_every_route_is_in_the_table(self):
        with open(ROUTES_C, encoding="utf-8") as file:
            declared = re.findall(r'\{\s*"([A-Z]+)",[^"{}]*"(/[^"]*)",\s*\w+\s*\}', file.read())
        self.assertGreater(len(declared), 80)
        known = [(method, path.split("?")[0]) for method, path, _ in rows()]
        left = list(declared)
        for method, path in known:
            for m, pattern in left:
                parts = pattern.split("/")
                mine = path.split("/")
                if parts[-1] == "*":
                    parts[-1:] = mine[len(parts) - 1:]
                if m == method and len(parts) == len(mine) and all(p in (":", q) for p, q in zip(parts, mine)):
                    left.remove((m, pattern))
                    break
            else:
                self.fail(f"{method} {path} is no route")
        self.assertEqual(left, [], "routes that the table does not know")

    def test_matrix(self):
        cells = [(kind, method, path, want, ids) for method, path, statuses in rows() for kind, both in statuses.items()
                 for want, ids in zip(both, (self.own, self.other))]
        cells = [c for c in cells if not (c[4] is self.other and c[0] in ("none", "client"))]
        before, wrong = self.dump(), []

        def check(kind, method, path, want, ids):
            answer = self.ask(kind, method, path, ids)
            if answer.status != want:
                whose = "own" if ids is self.own else "other"
                wrong.append(f"{method} {path} {kind} {whose}: {answer.status}, not {want}: {answer.body[:80]}")
            elif want in (401, 403):
                # The page answers a person.
                self.assertIn("error", answer.json if path != "/" else answer.body.decode().replace("does not know", "error"))

        refused = [c for c in cells if c[3] in (401, 403)]
        self.assertGreater(len(refused), 250)
        for cell in refused:
            check(*cell)
        self.assertEqual(wrong, [])
        self.assertEqual(self.dump(), before, "what was refused changed something")
        for cell in cells:
            if cell[3] not in (401, 403):
                check(*cell)
        self.assertEqual(wrong, [])

    def test_the_key_is_looked_at_before_the_body(self):
        """Each route that takes one: its head alone, a body announced and not sent, is refused at once. The page's form has
        its key in the body, of which little is taken."""
        for kind in ("none", "workspace", "join"):
            for method, path, statuses in rows():
                want = statuses[kind][1]
                if method not in ("POST", "PUT") or want not in (401, 403):
                    continue
                key = self.keys[kind]
                s = self.server.socket(20 * common.PATIENCE)
                s.sendall(f"{method} {path.format(**self.other)} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n".encode()
                          + (f"Authorization: Bearer {key}\r\n" if key else "").encode() + b"\r\n")
                data = s.recv(4096)
                self.assertEqual(data.split()[1], b"413" if path == "/" else str(want).encode(), (method, path))
                self.assertIn(b"\r\nConnection: close\r\n", data)
                s.close()

    def test_two_keys_are_none(self):
        s = self.server.socket()
        line = f"Authorization: Bearer {self.server.key}\r\n"
        s.sendall(f"GET /env HTTP/1.1\r\nHost: x\r\n{line}{line}\r\n".encode())
        self.assertEqual(s.recv(4096).split()[1], b"401")

    def test_head_is_get_without_a_body(self):
        for path, key in (("/health", None), ("/env", ""), ("/env", None), ("/nothing", ""), ("/env/", "")):
            get, head = (self.server.call(m, path, key=key) for m in ("GET", "HEAD"))
            self.assertEqual((head.status, head.body), (get.status, b""), path)
            self.assertEqual(head.header("Content-Length"), get.header("Content-Length"), path)
            self.assertEqual(head.header("Location"), get.header("Location"), path)

    def test_lists_show_ones_own(self):
        s, key = self.server, self.keys["runner"]
        for path, member in (("/runner", "id"), ("/target", "id"), ("/workspace", "id")):
            mine = {"/runner": "r", "/target": "t", "/workspace": "w"}[path]
            self.assertEqual([x[member] for x in s.ok("GET", path, key=key).json], [self.own[mine]], path)
            self.assertEqual(len(s.ok("GET", path).json), 2)
        self.assertEqual([c["id"] for c in s.ok("GET", "/target-config", key=key).json], [self.own["c"]])
        self.assertEqual({p["runnerId"] for p in s.ok("GET", "/runner/provider", key=key).json}, {self.own["r"]})
        self.assertEqual({j["runnerId"] for j in s.ok("GET", "/job", key=key).json}, {self.own["r"]})
        self.assertEqual({j["runnerId"] for j in s.ok("GET", "/job").json}, {self.own["r"], self.other["r"]})

    def test_a_workspace_sees_no_secret_but_its_own(self):
        """Its target's options and key, and those of its siblings, are for the runner."""
        s = self.server
        body = serverproc.workspace_body("w1b", "sibling", "t1")
        body["source"]["repository"]["url"] = "https://u:hush@git.example/sibling"
        s.ok("POST", "/workspace", body)
        sibling = s.ok("GET", "/workspace/w1b", key=self.keys["runner"]).json["apiKey"]
        for path in ("/workspace/w1", "/target/t1?showOptions=true"):
            for kind in ("workspace", "target"):
                text = s.ok("GET", path, key=self.keys[kind]).body.decode()
                for secret in {sibling, self.keys["target"], self.keys["workspace"]} - {self.keys[kind]}:
                    self.assertNotIn(secret, text, (path, kind))
                shown = json.loads(text)
                siblings = kind == "target" and path.startswith("/target")
                self.assertEqual(("hush" in text, "w1b" in text), (siblings, siblings), (path, kind))
                self.assertEqual(shown.get("target", shown)["targetConfig"]["options"], "", path)
        own = s.ok("GET", "/workspace/w1", key=self.keys["workspace"]).json
        self.assertEqual(own["envVars"]["DAYTONA_SERVER_API_KEY"], self.keys["workspace"])
        self.assertEqual(s.call("GET", "/workspace/w1b", key=self.keys["workspace"]).status, 403)
        self.assertEqual(s.call("GET", "/workspace/nothing", key=self.keys["workspace"]).status, 403)
        self.assertEqual(s.call("GET", "/workspace/nothing", key=self.keys["runner"]).status, 404)
        self.assertEqual(s.ok("GET", "/workspace/w1b", key=self.keys["target"]).json["name"], "sibling")

    def test_git_tokens_of_others_on_the_same_host(self):
        s = self.server
        s.ok("PUT", "/gitprovider", {"id": "g3", "providerId": "github", "token": "not-yours", "username": "u3"})
        url = "/gitprovider/for-url/" + URL.format("github.com")
        found = s.ok("GET", url, key=self.keys["workspace"]).json
        self.assertEqual([g["id"] for g in found], ["g1"])
        self.assertEqual(s.call("GET", "/gitprovider/g3", key=self.keys["workspace"]).status, 403)
        self.assertEqual(s.call("GET", "/gitprovider/g3", key=self.keys["runner"]).status, 403)
        self.assertEqual(s.call("GET", "/gitprovider/nope", key=self.keys["runner"]).status, 500)

    def test_a_build_is_its_claimants(self):
        s, one, two = self.server, self.keys["runner"], self.own["r"].replace("1", "3")
        other = s.ok("POST", "/runner", {"id": two, "name": "three"}).json["apiKey"]
        s.ok("PUT", "/workspace-template", {"name": "t", "repositoryUrl": "http://git.test/a/b", "envVars": {}}, status=201)
        build = s.ok("POST", "/build", {"workspaceTemplateName": "t", "branch": "main", "envVars": {}},
                     status=201).body.decode()
        job, = [j["id"] for j in s.ok("GET", f"/runner/{two}/jobs", key=other).json if j["resourceId"] == build]

        def state(runner, key, name):
            answer = s.call("POST", f"/runner/{runner}/jobs/{job}/state", {"state": name}, key)
            return answer.status, answer.body.decode()
        self.assertEqual(state(two, other, "running")[0], 200)
        lost = state(self.own["r"], one, "running")
        self.assertEqual((lost[0], "already in the specified state" in lost[1]), (500, True))
        for name in ("success", "error", "pending"):
            status, text = state(self.own["r"], one, name)
            self.assertEqual((status, "another runner" in text), (500, True), text)
        self.assertEqual(state(two, other, "success")[0], 200)

    def test_key_of_what_is_gone(self):
        s = self.server
        serverproc.finish_job(s, self.keys["runner"], self.own["r"])
        s.ok("DELETE", "/workspace/w1")
        self.assertEqual(s.call("GET", "/workspace/w1", key=self.keys["workspace"]).status, 401)
        s.ok("DELETE", "/runner/" + self.own["r"])
        self.assertEqual(s.call("GET", "/env", key=self.keys["runner"]).status, 401)


class ReferenceKeys(Roles):
    """The old laxity, for those who ask for it: any key does nearly everything, and the log says so."""
    args = ("--reference-keys",)
    test_lists_show_ones_own = test_a_workspace_sees_no_secret_but_its_own = None
    test_the_key_is_looked_at_before_the_body = None
    test_git_tokens_of_others_on_the_same_host = test_every_route_is_in_the_table = test_key_of_what_is_gone = None
    test_a_build_is_its_claimants = None

    def test_matrix(self):
        self.assertIn("--reference-keys", self.server.log())
        for method, path, statuses in rows():
            for kind in KEYS:
                answer = self.ask(kind, method, path, {k: "none" for k in self.own} if method == "DELETE" else self.other)
                # Ours alone: nothing to be lax about.
                if re.search("/tunnel|/toolbox|^/server/restart|^/prebuild/|/key$", path) or kind == "join":
                    self.assertEqual(answer.status, statuses[kind][1], (method, path, kind))
                    continue
                if statuses["none"][0] != 401:
                    want = True
                elif re.search(r"/jobs|/runner/\{r\}/metadata", path):
                    want = kind == "runner"
                elif path.endswith("}/metadata"):
                    want = kind in ("target", "workspace")
                else:
                    want = kind != "none"
                self.assertEqual(answer.status != 401, want, (method, path, kind, answer.status))
                self.assertNotIn(b"forbidden", answer.body)


if __name__ == "__main__":
    common.main()
