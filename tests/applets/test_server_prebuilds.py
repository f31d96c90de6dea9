#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prebuilds of workspace templates: their routes, the builds that pushes make, who may tell of a push, what is kept."""
import hashlib
import hmac
import json
import os
import shutil
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, httppeer, serverproc  # noqa: E402
from lib.httppeer import reply  # noqa: E402

URL = "https://git.test/Acme/App"
SHA = [str(n) * 40 for n in range(1, 10)]
EVENT = "/workspace-template/prebuild/process-git-event"
HOOK = "/prebuild/webhook-event"


def commits(*files):
    return [{"added": [], "modified": list(files), "removed": []}]


def common_push(sha, branch="main", of=None, files=(), n=1):
    return {"ref": "refs/heads/" + branch, "after": sha, **(of or {"repository": {"html_url": URL}}),
            "commits": commits(*files) * n}


def gitlab_push(sha, n):
    body = common_push(sha, of={"project": {"git_http_url": URL + ".git"}})
    return dict(body, total_commits_count=n)


def bitbucket_push(sha, n):
    return {"push": {"changes": [{"new": None}, {"new": {"type": "branch", "name": "main", "target": {"hash": sha}},
                                                "commits": [{}] * n}]},
            "repository": {"links": {"html": {"href": URL}}}}


def server_push(sha, branch="main", kind="UPDATE"):
    """Bitbucket Server's: no address, no number of commits."""
    ref = "refs/heads/" + branch
    return {"eventKey": "repo:refs_changed", "date": "2025-02-10T10:00:04+0100",
            "repository": {"slug": "App", "name": "App", "project": {"key": "ACME"}},
            "changes": [{"ref": {"id": ref, "displayId": branch, "type": "BRANCH"}, "refId": ref, "fromHash": "0" * 40,
                         "toHash": sha, "type": kind}]}


class Prebuilds(common.Case):
    def setUp(self):
        super().setUp()
        self.server = s = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "1")
        self.template("app")
        self.runner = serverproc.make_runner(s)

    def template(self, name, url=URL):
        self.server.ok("PUT", "/workspace-template", {"name": name, "repositoryUrl": url, "envVars": {"A": "1"}}, status=201)

    def prebuild(self, template="app", status=201, **body):
        return self.server.ok("PUT", f"/workspace-template/{template}/prebuild",
                              {"branch": "main", "retention": 2, **body}, status=status).body.decode()

    def tell(self, body, event=("X-GitHub-Event", "push"), status=200, path=EVENT, key="", headers=()):
        answer = self.server.call("POST", path, body, key, headers=(event, *headers))
        self.assertEqual(answer.status, status, answer.body)
        return answer

    def builds(self):
        return self.server.ok("GET", "/build").json

    def finish(self, state="success"):
        return [(j["action"], j["resourceId"]) for j in serverproc.finish_job(self.server, self.runner, state=state)]

    def test_routes(self):
        s = self.server
        self.assertEqual(s.ok("GET", "/workspace-template/prebuild").json, [])
        self.assertEqual(s.ok("GET", "/workspace-template/app/prebuild").json, [])
        self.assertIsNone(s.ok("GET", "/workspace-template/app").json["prebuilds"])
        one = self.prebuild(commitInterval=3)
        two = self.prebuild(id="mine", branch="dev", triggerFiles=["Dockerfile", "a/b"])
        self.assertEqual((len(one), two), (12, "mine"))
        first = {"id": one, "branch": "main", "commitInterval": 3, "triggerFiles": None, "retention": 2}
        second = {"id": "mine", "branch": "dev", "commitInterval": None, "triggerFiles": ["Dockerfile", "a/b"], "retention": 2}
        self.assertEqual(s.ok("GET", "/workspace-template/app").json["prebuilds"], [first, second])
        first["workspaceTemplateName"] = second["workspaceTemplateName"] = "app"
        for path in ("/workspace-template/prebuild", "/workspace-template/app/prebuild"):
            self.assertEqual(s.ok("GET", path).json, [first, second])
        self.assertEqual(s.ok("GET", "/workspace-template/app/prebuild/mine").json, second)
        self.assertEqual(self.prebuild(id="mine", branch="dev", commitInterval=9), "mine")
        self.assertEqual(s.ok("GET", "/workspace-template/app/prebuild/mine").json["commitInterval"], 9)
        # Each of these changes nothing.
        self.template("other")
        for status, word, template, body in (
                (400, "CreatePrebuildDTO.Retention", "app", {"retention": 0, "commitInterval": 1}),
                (500, "either the commit interval or trigger files", "app", {"branch": "x"}),
                (500, "either the commit interval or trigger files", "app", {"branch": "x", "triggerFiles": []}),
                (500, "greater than 0", "app", {"branch": "x", "commitInterval": 0}),
                (500, "greater than 0", "app", {"branch": "x", "commitInterval": 1, "retention": -1}),
                (500, "already exists", "app", {"commitInterval": 1}),
                (500, "already exists", "app", {"commitInterval": 1, "id": "mine"}),
                (500, "another workspace template", "other", {"commitInterval": 1, "id": "mine"}),
                (404, "workspace template not found", "none", {"commitInterval": 1})):
            self.assertIn(word, self.prebuild(template, status, **body))
        self.assertEqual(len(s.ok("GET", "/workspace-template/prebuild").json), 2)
        for method in ("GET", "DELETE"):
            for path in ("other/prebuild/mine", "app/prebuild/none"):
                self.assertIn("prebuild not found", s.ok(method, "/workspace-template/" + path, status=404).json["error"])
        self.server.stop()
        self.server = s = serverproc.Server(self, os.path.join(self.tmp, "data"))
        self.assertEqual(len(s.ok("GET", "/workspace-template/prebuild").json), 2, "they are kept")
        s.ok("DELETE", f"/workspace-template/app/prebuild/{one}", status=204)
        s.ok("DELETE", "/workspace-template/app", status=204)
        self.assertEqual(s.ok("GET", "/workspace-template/prebuild").json, [])

    def test_each_host_by_interval(self):
        hosts = ((("X-GitHub-Event", "push"), lambda sha, n: common_push(sha, n=n)),
                 (("X-Gitea-Event", "push"), lambda sha, n: common_push(sha, n=n, of={"repository": {"clone_url": URL + ".git"}})),
                 (("X-Gitlab-Event", "Push Hook"), gitlab_push),
                 (("X-Event-Key", "repo:push"), bitbucket_push))
        for event, push in hosts:
            with self.subTest(event=event):
                prebuild = self.prebuild(id="p" + event[0], commitInterval=3)
                self.tell(push(SHA[0], 1), event)  # the first push always
                build, = self.builds()
                self.assertEqual((build["prebuildId"], build["envVars"]), (prebuild, {"A": "1"}))
                repository = build["repository"]
                self.assertEqual((repository["branch"], repository["sha"], repository["url"]), ("main", SHA[0], URL.lower()))
                self.assertEqual(self.finish(), [("run", build["id"])])
                self.tell(push(SHA[1], 2), event)
                self.tell(push(SHA[1], 2), event)  # delivered twice
                self.assertEqual(len(self.builds()), 1, "two of three")
                self.tell(push(SHA[2], 1), event)
                self.assertEqual([b["repository"]["sha"] for b in self.builds()], [SHA[0], SHA[2]])
                self.tell(push(SHA[3], 2), event)
                self.assertEqual(len(self.builds()), 2, "counted from the last build")
                self.finish()
                self.server.ok("DELETE", f"/workspace-template/app/prebuild/{prebuild}", status=204)
                self.assertEqual([a for a, _ in self.finish()], ["delete", "delete"])
                self.assertEqual(self.builds(), [])

    def test_bitbucket_server(self):
        """Each push counts as one commit; which files it changed is not said."""
        for i, url in enumerate(("https://bb.test/scm/acme/app.git", "https://bb.test/ctx/projects/ACME/repos/app",
                                 "https://bb.test/scm/acme/app2.git", "https://bb.test/acme/app.git")):
            self.template(f"bb{i}", url)
            self.prebuild(f"bb{i}", id=f"p{i}", commitInterval=2)
        event = ("X-Event-Key", "repo:refs_changed")
        self.tell(server_push(SHA[0]), event)
        self.assertEqual([(b["prebuildId"], b["repository"]["sha"]) for b in self.builds()], [("p0", SHA[0]), ("p1", SHA[0])])
        self.finish()
        for body in (server_push(SHA[1], "other"), server_push("0" * 40, kind="DELETE"),
                     dict(server_push(SHA[1]), repository={"slug": "app", "project": {}}),
                     dict(server_push(SHA[1]), repository={"slug": "", "project": {"key": ""}}),
                     dict(server_push(SHA[1]), changes=[{"refId": "refs/tags/main", "toHash": SHA[1]}]),
                     dict(server_push(SHA[1]), changes=None), dict(server_push(SHA[1]), changes=[3, None])):
            self.tell(body, event)
        self.tell({"test": True}, ("X-Event-Key", "diagnostics:ping"))
        self.tell(server_push(SHA[1]), event)
        self.assertEqual(len(self.builds()), 2, "one of two")
        self.tell(server_push(SHA[2]), event)
        self.assertEqual([b["repository"]["sha"] for b in self.builds()], [SHA[0], SHA[0], SHA[2], SHA[2]])

    def test_one_build_waits(self):
        """A later push takes the place of one that no runner has begun; one that is begun stays."""
        prebuild = self.prebuild(commitInterval=1, retention=9)
        self.prebuild(id="dev", branch="dev", commitInterval=1)
        for i in range(5):
            self.tell(common_push(SHA[i]))
        waiting, = self.builds()
        self.assertEqual((waiting["repository"]["sha"], waiting["repository"]["branch"]), (SHA[4], "main"))
        self.tell(common_push(SHA[0], "dev"))
        self.assertEqual(len(self.builds()), 2)
        job = next(j for j in self.server.ok("GET", "/job?states=pending").json if j["resourceId"] == waiting["id"])
        s, runner = self.server, self.runner
        rid = s.ok("GET", "/runner").json[0]["id"]
        s.ok("POST", f"/runner/{rid}/jobs/{job['id']}/state", {"state": "running"}, key=runner)
        for i in (5, 6):
            self.tell(common_push(SHA[i]))
        mine = [b for b in self.builds() if b["prebuildId"] == prebuild]
        self.assertEqual([b["repository"]["sha"] for b in mine], [SHA[4], SHA[6]])
        self.assertEqual(mine[0], dict(waiting, state=mine[0]["state"], lastJob=mine[0]["lastJob"], lastJobId=job["id"],
                                       updatedAt=mine[0]["updatedAt"]))
        s.ok("POST", f"/runner/{rid}/jobs/{job['id']}/state", {"state": "success"}, key=runner)
        self.server.stop()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"))
        self.tell(common_push(SHA[7]))
        self.assertEqual([b["repository"]["sha"] for b in self.builds() if b["prebuildId"] == prebuild], [SHA[4], SHA[7]])
        self.assertEqual(len(self.server.ok("GET", "/job?states=pending").json), 2)

    def test_builds_that_wait_are_bounded(self):
        self.prebuild(commitInterval=1)
        self.prebuild(id="dev", branch="dev", commitInterval=1)
        self.tell(common_push(SHA[0]))
        for _ in range(999):
            self.server.ok("POST", "/build", {"workspaceTemplateName": "app", "branch": "x", "envVars": {}}, status=201)
        said = self.tell(common_push(SHA[0], "dev"), status=500).json["error"]
        self.assertIn("1000 builds wait for a runner already", said)
        self.tell(common_push(SHA[1]))  # which takes the place of another
        self.assertEqual(self.builds()[0]["repository"]["sha"], SHA[1])
        self.server.ok("DELETE", f"/build/{self.builds()[-1]['id']}?force=true", status=204)
        self.finish()
        self.tell(common_push(SHA[0], "dev"))  # it was not told of it yet
        self.assertEqual([b["repository"]["sha"] for b in self.builds() if b["prebuildId"] == "dev"], [SHA[0]])

    def test_what_is_no_reason(self):
        self.prebuild(triggerFiles=["Dockerfile", "x/y"])
        self.template("elsewhere", "https://git.test/acme/other")
        self.tell(common_push(SHA[0]))
        self.assertEqual(len(self.builds()), 1)
        self.finish()
        for body in (common_push(SHA[1], "other", files=["Dockerfile"]), common_push(SHA[1], files=["Dockerfile2", "y"]),
                     common_push("0" * 40, files=["Dockerfile"]), {"ref": "refs/tags/main", "after": SHA[1]}, {},
                     common_push(SHA[1], of={"repository": {"html_url": URL + "2"}}, files=["Dockerfile"])):
            self.tell(body)
        self.tell({"zen": "no push"}, ("X-GitHub-Event", "ping"))
        self.tell("no JSON at all", ("X-GitHub-Event", "ping"))
        self.assertEqual(len(self.builds()), 1)
        self.tell(common_push(SHA[2], files=["a", "x/y"]))
        self.assertEqual([b["repository"]["sha"] for b in self.builds()], [SHA[0], SHA[2]])
        for body in ("no JSON", "[]", ""):
            self.tell(body, status=400)
        self.assertIn("no header names", self.tell({}, ("X-Other", "push"), status=400).json["error"])

    def test_what_is_kept(self):
        prebuild = self.prebuild(commitInterval=1)
        for i, state in enumerate(("success", "error", "success", "success")):
            self.tell(common_push(SHA[i]))
            (action, _), = self.finish(state)
            self.assertEqual(action, "run")
        # Two are kept; the one that failed counts for none.
        first = self.builds()[0]
        self.assertEqual(self.finish(), [("delete", first["id"])])
        self.assertEqual([b["repository"]["sha"] for b in self.builds()], SHA[1:4])
        self.prebuild(id=prebuild, commitInterval=1, retention=1)
        self.assertEqual([a for a, _ in self.finish()], ["delete"])
        self.server.ok("POST", "/build", {"workspaceTemplateName": "app", "branch": "x", "envVars": {}}, status=201)
        self.server.ok("DELETE", f"/build/prebuild/{prebuild}", status=204)
        self.assertEqual(sorted(a for a, _ in self.finish()), ["delete", "delete", "run"])
        self.assertEqual([b["prebuildId"] for b in self.builds()], [None])
        # A build that is being made holds its prebuild, unless it is forced away.
        self.tell(common_push(SHA[5]))
        path = f"/workspace-template/app/prebuild/{prebuild}"
        self.assertIn("another job is in progress", self.server.ok("DELETE", path, status=500).json["error"])
        self.server.ok("GET", path)
        self.server.ok("DELETE", path + "?force=true", status=204)
        self.assertEqual(self.server.ok("GET", "/workspace-template/prebuild").json, [])

    def test_failures_are_kept_no_longer(self):
        """As many as of the successful ones; what could not be deleted is tried again."""
        self.prebuild(commitInterval=1)
        for i in range(4):
            self.tell(common_push(SHA[i]))
            self.finish("error")
            if i >= 2:
                self.assertEqual([a for a, _ in self.finish("error" if i == 3 else "success")], ["delete"])
        self.assertEqual([b["repository"]["sha"] for b in self.builds()], SHA[1:4])
        self.tell(common_push(SHA[4]))
        self.finish()
        self.assertEqual(len(self.finish()), 1, "the one that could not be deleted")
        self.assertEqual([b["repository"]["sha"] for b in self.builds()], SHA[2:5])

    def hook_secret(self):
        key = self.server.ok("POST", "/apikey/webhook").body.decode()
        return hashlib.sha256(key.encode()).hexdigest()

    def test_a_replay_starts_nothing(self):
        secret = self.hook_secret()
        deliveries = iter(range(10 ** 6))

        def deliver(body):
            body = json.dumps(body)
            self.tell(body, path=HOOK, key=None, headers=(
                ("X-Hub-Signature-256", "sha256=" + hmac.new(secret.encode(), body.encode(), "sha256").hexdigest()),
                ("X-GitHub-Delivery", str(next(deliveries)))))
            return len(self.builds())

        def push(sha, **repository):
            return common_push(sha, of={"repository": {"html_url": URL, **repository}})
        self.prebuild(commitInterval=1, retention=100)
        bodies = [push(SHA[i]) for i in range(3)]
        for i, body in enumerate(bodies):
            self.assertEqual(deliver(body), i + 1)
            self.finish()
        for _ in range(2):
            for body in bodies:
                self.assertEqual(deliver(body), 3)
            self.server.stop()  # it is remembered
            self.server = serverproc.Server(self, os.path.join(self.tmp, "data"))
        # One that was never told, but is older by what the host says.
        self.assertEqual(deliver(push(SHA[3], pushed_at=2000)), 4)
        self.finish()
        self.assertEqual(deliver(push(SHA[4], pushed_at=1999)), 4)
        self.assertEqual(deliver(push(SHA[4], updated_at="1970-01-01T00:33:19Z")), 4)
        self.assertEqual(deliver(push(SHA[5], updated_at="1970-01-01T00:33:20Z")), 5)
        self.finish()
        self.assertEqual(deliver(push(SHA[6], pushed_at=2 ** 31 - 1)), 6)  # a clock far ahead
        self.finish()
        self.assertEqual(deliver(push(SHA[7], pushed_at=2 ** 31 - 2)), 7)
        self.finish()
        # As before, a branch may be set back to a commit that was built.
        self.assertEqual(deliver(dict(push(SHA[0]), before=SHA[7])), 8)

    def test_what_is_remembered_is_bounded(self):
        self.prebuild(commitInterval=130)
        for i in range(130):
            self.tell(common_push(f"{i + 1:040x}", n=1 if i else 0))
        self.finish()
        self.tell(common_push(f"{100:040x}"))
        self.assertEqual(len(self.builds()), 1, "129 commits")
        self.tell(common_push(f"{2:040x}"))
        self.assertEqual(len(self.builds()), 2, "the oldest is not remembered any more")

    def test_bodies_of_strangers_are_bounded(self):
        """A signature can be anything until the body is there. What none could be is refused at the head."""
        secret = self.hook_secret()
        head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nContent-Length: %d\r\n%s\r\n\r\n"
        for name, value in (("X-Hub-Signature-256", "sha256=abc"), ("X-Gitlab-Token", "0" * 64), ("X-Gitea-Signature", "")):
            s = self.server.socket()
            s.sendall((head % (1 << 20, f"{name}: {value}")).encode())
            self.assertIn(b" 401 ", s.recv(4096).split(b"\r\n")[0], name)
        before = common.rss_kb(self.server.pid)
        socks = [self.server.socket() for _ in range(24)]
        for s in socks:
            s.settimeout(5)
            try:
                s.sendall((head % (1 << 20, "X-Hub-Signature-256: sha256=" + "0" * 64)).encode() + b"x" * ((1 << 20) - 1))
            except OSError:
                pass  # it was dropped for another one
        self.prebuild(commitInterval=1)
        body = json.dumps(dict(common_push(SHA[0]), filler="x" * (200 << 10)))
        self.tell(body, path=HOOK, key=None, headers=(
            ("X-Hub-Signature-256", "sha256=" + hmac.new(secret.encode(), body.encode(), "sha256").hexdigest()),))
        self.assertEqual(len(self.builds()), 1)
        if common.is_static(common.BIN):
            self.assertLess(common.rss_kb(self.server.pid) - before, 16 << 10, "KiB; 4 MiB and what growing takes")
        for s in socks:
            s.close()

    def test_a_hook_is_signed(self):
        self.prebuild(commitInterval=1, retention=9)
        body = json.dumps(common_push(SHA[0]))

        def signature(secret, text=body):
            return hmac.new(secret.encode(), text.encode(), "sha256").hexdigest()
        key = "x" * 48
        secret = hashlib.sha256(key.encode()).hexdigest()
        for name in ("X-Hub-Signature-256", "X-Gitea-Signature", "X-Gitlab-Token"):
            self.tell(body, status=401, path=HOOK, key=None, headers=((name, signature(secret)),))
            self.tell(body, status=401, path=HOOK, key=None, headers=((name, ""),))
        key = self.server.ok("POST", "/apikey/webhook").body.decode()
        secret = hashlib.sha256(key.encode()).hexdigest()
        right = signature(secret)
        wrong = (right[:-1] + ("0" if right[-1] != "0" else "1"), right[:-1], right + "0", signature(secret, body + " "),
                 signature(key), secret, "")
        for name in ("X-Hub-Signature-256", "X-Gitea-Signature", "X-Hub-Signature"):
            for value in wrong:
                self.tell(body, status=401, path=HOOK, key=None, headers=((name, value),))
        self.tell(body, status=401, path=HOOK, key=None, headers=(("X-Gitlab-Token", right),))
        self.tell(body, status=401, path=HOOK)  # a key alone says nothing of who sent it
        self.assertEqual(self.builds(), [])
        good = (("X-Hub-Signature-256", "sha256="), ("X-Gitea-Signature", ""), ("X-Hub-Signature", "sha256="))
        for i, (name, prefix) in enumerate(good):
            body = json.dumps(common_push(SHA[i]))
            self.tell(body, path=HOOK, key=None, headers=((name, prefix + signature(secret, body)),))
            self.assertEqual(len(self.builds()), i + 1)
            self.finish()
        self.tell(gitlab_push(SHA[7], 1), ("X-Gitlab-Event", "Push Hook"), path=HOOK, key=None,
                  headers=(("X-Gitlab-Token", secret),))
        self.assertEqual(len(self.builds()), 4)
        self.finish()
        # A host's own secret is good for what is there, whatever it says; the URL of its hook says which host that is.
        host = urllib.parse.urlsplit(URL).hostname
        self.server.ok("PUT", "/workspace-template", {"name": "other", "repositoryUrl": "https://evil.test/a/b", "envVars": {}},
                       status=201)
        self.server.ok("PUT", "/workspace-template/other/prebuild",
                       {"id": "p", "branch": "main", "retention": 1, "commitInterval": 1}, status=201)
        for at, n in (("evil.test", 4), ("nobody.test", 4), (host, 5)):
            own = hmac.new(secret.encode(), at.encode(), "sha256").hexdigest()
            body = json.dumps(common_push(SHA[6]))
            for name, value in (("X-Hub-Signature-256", "sha256=" + signature(own, body)), ("X-Gitlab-Token", own)):
                status = 401 if at == "nobody.test" else 200
                self.tell(body, status=status, path=f"{HOOK}?host={at}", key=None, headers=((name, value),))
                for other in ("", "?host=", "?host=evil.test" if at == host else f"?host={host}"):
                    self.tell(body, status=401, path=HOOK + other, key=None, headers=((name, value),))
            self.assertEqual(len(self.builds()), n, at)
        general = signature(secret)
        for at in (host, "evil.test"):  # which is no host's
            self.tell(body, status=401, path=f"{HOOK}?host={at}", key=None, headers=(("X-Hub-Signature-256", general),))
        with open(os.path.join(self.server.data, "audit.log"), encoding="utf-8") as file:
            self.assertEqual(json.loads(file.read().splitlines()[-1])["who"], "client/webhook")
        self.server.ok("DELETE", "/apikey/webhook")
        self.tell(body, status=401, path=HOOK, key=None, headers=(("X-Gitlab-Token", secret),))


PUBLIC = "https://server.test/base"
TOKEN = "git-token-of-ada"


def in_config(url, secret):
    return {"active": True, "events": ["push"], "config": {"content_type": "json", "url": url, "secret": secret}}


# Provider; API; list of hooks of Acme/Sub/App (Acme/App where there are no groups in groups); Authorization; what lists
# hold; what is sent; method of a change; id of ours; event and header of a push.
HOSTS = {
    "github-enterprise-server": ("/api/v3/repos/acme/app/hooks", "Bearer " + TOKEN, "{}",
                                 lambda u, s: {"name": "web", **in_config(u, s)}, "PATCH", 77),
    "gitea": ("/api/v1/repos/acme/app/hooks", "token " + TOKEN, "{}",
              lambda u, s: {"type": "gitea", **in_config(u, s)}, "PATCH", 78),
    "gitlab-self-managed": ("/api/v4/projects/acme%2Fsub%2Fapp/hooks", "Bearer " + TOKEN, "{}",
                            lambda u, s: {"push_events": True, "url": u, "token": s}, "PUT", 79),
    "bitbucket-server": ("/rest/api/1.0/projects/acme/repos/app/webhooks", "Bearer " + TOKEN, '{"values":{}}',
                         lambda u, s: {"name": "daytona-runner", "active": True, "events": ["repo:refs_changed"], "url": u,
                                       "configuration": {"secret": s}}, "PUT", 80),
    "bitbucket": ("/2.0/repositories/acme/app/hooks", "Bearer " + TOKEN, '{"values":{}}',
                  lambda u, s: {"description": "daytona-runner", "active": True, "events": ["repo:push"], "url": u,
                                "secret": s}, "PUT", "{ab-cd}"),
}


class GitHost(httppeer.Peer):
    """One that knows the hooks of one repository."""

    def __init__(self, provider):
        super().__init__()
        self.provider, self.path, self.pages, self.most = provider, HOSTS[provider][0], [], 50
        self.hooks = [self.hook("https://other.test/hook", "x", 1)]
        self.hold = threading.Event()
        self.hold.set()

    def hook(self, url, secret, number):
        _, _, _, body, _, _ = HOSTS[self.provider]
        return {("uuid" if self.provider == "bitbucket" else "id"): number, **body(url, secret)}

    def changes(self):
        return [(r.method, r.target) for r in self.requests if r.method != "GET"]

    def listed(self, request):
        """A page as each host has them; no more than most in one."""
        first, size = [next(int(v[0]) for k, v in request.query.items() if k in names)
                       for names in (("page", "start"), ("per_page", "limit", "pagelen"))]
        self.pages.append(first)
        size = min(size, self.most)
        at = first if "start" in request.query else (first - 1) * size
        hooks, more = self.hooks[at:at + size], at + size < len(self.hooks)
        if self.provider == "bitbucket-server":
            return reply(200, {"values": hooks, "isLastPage": not more, "nextPageStart": at + size if more else None})
        if self.provider == "bitbucket":
            return reply(200, {"values": hooks, **({"next": "https://x.test/?page=2"} if more else {})})
        link = [("Link", '<https://x.test/?page=9>; rel="next", <https://x.test/>; rel="last"')]
        return reply(200, hooks, headers=link if more else ())

    def handle(self, conn, request):
        number = HOSTS[self.provider][5]
        own = self.path + "/" + urllib.parse.quote(str(number), safe="")
        if request.method == "GET" and request.target.split("?")[0] == self.path:
            self.hold.wait(20 * common.PATIENCE)
            return self.listed(request)(conn, request)
        if request.method == "POST" and request.target == self.path:
            self.hooks.append({("uuid" if self.provider == "bitbucket" else "id"): number, **json.loads(request.body)})
            return reply(201, self.hooks[-1])(conn, request)
        if request.method == HOSTS[self.provider][4] and request.target == own:
            self.hooks[1].update(json.loads(request.body))
            return reply(200, self.hooks[1])(conn, request)
        if request.method == "DELETE" and request.target == own:
            del self.hooks[1]
            return reply(204, "")(conn, request)
        return reply(404, {"message": "Not Found"})(conn, request)


class Hooks(common.Case):
    """The hook of a prebuild at its git host."""

    def start(self, provider, *options, port=None):
        self.peer = peer = GitHost(provider)
        peer.start()
        self.addCleanup(peer.stop)
        self.server = s = serverproc.Server(self, os.path.join(self.tmp, provider), *options)
        s.ok("PUT", "/gitprovider", {"id": "g", "providerId": provider, "token": TOKEN, "username": "",
                                     "baseApiUrl": peer.url})
        path = {"gitlab-self-managed": "Acme/Sub/App", "bitbucket-server": "scm/Acme/App"}.get(provider, "Acme/App")
        self.template("app", f"http://127.0.0.1/{path}.git")

    def template(self, name, url, config="g"):
        self.server.ok("PUT", "/workspace-template", {"name": name, "repositoryUrl": url, "envVars": {},
                                                      "gitProviderConfigId": config}, status=201)

    def prebuild(self, name, template="app", branch="main"):
        self.server.ok("PUT", f"/workspace-template/{template}/prebuild",
                       {"id": name, "branch": branch, "retention": 1, "commitInterval": 1}, status=201)

    def changed(self, n):
        common.wait_for(lambda: len(self.peer.changes()) >= n, 20 * common.PATIENCE, f"{n} changes at the host")
        changes = self.peer.changes()
        self.assertEqual(len(changes), n, changes)
        return changes[-1]

    def said(self, word):
        common.wait_for(lambda: word in self.server.log(), 20 * common.PATIENCE, word)

    def test_each_host(self):
        for provider, (path, auth, _, body, change, number) in HOSTS.items():
            with self.subTest(provider=provider):
                self.start(provider, "--public-url", PUBLIC + "/")
                own = path + "/" + urllib.parse.quote(str(number), safe="")
                self.prebuild("a")
                self.assertEqual(self.changed(1), ("POST", path))
                self.said("knows the hook for prebuilds")
                mine = self.peer.hooks[1]
                sent = {k: v for k, v in mine.items() if k not in ("id", "uuid")}
                inner = sent.get("config") or sent.get("configuration") or sent
                secret = inner.get("token") or inner["secret"]
                self.assertEqual(sent, body(PUBLIC + HOOK + "?host=127.0.0.1", secret))
                # What the host signs with it is believed, and what it was not told is not.
                here = "http://127.0.0.1/" + ("acme/sub/app" if provider == "gitlab-self-managed" else "acme/app")
                push, event = json.dumps(common_push(SHA[0], of={"repository": {"html_url": here}})), ("X-GitHub-Event", "push")
                if provider == "bitbucket":
                    push = json.dumps(dict(bitbucket_push(SHA[0], 1), repository={"links": {"html": {"href": here}}}))
                if provider == "bitbucket-server":
                    push, event = json.dumps(server_push(SHA[0])), ("X-Event-Key", "repo:refs_changed")
                for key, status in ((secret, 200), ("0" * 64, 401)):
                    header = (("X-Gitlab-Token", key) if "token" in sent else
                              ("X-Hub-Signature-256", "sha256=" + hmac.new(key.encode(), push.encode(), "sha256").hexdigest()))
                    answer = self.server.call("POST", HOOK + "?host=127.0.0.1", push, None, headers=(event, header))
                    self.assertEqual(answer.status, status)
                self.assertEqual([b["repository"]["sha"] for b in self.server.ok("GET", "/build").json], [SHA[0]])
                self.server.ok("DELETE", "/build?force=true", status=204)
                # Each host has another, which is good for what is there alone.
                self.assertEqual(secret, hmac.new(self.by_hand().encode(), b"127.0.0.1", "sha256").hexdigest())
                self.prebuild("b", branch="dev")
                self.assertEqual(self.changed(2), (change, own))
                self.server.ok("DELETE", "/workspace-template/app/prebuild/a", status=204)
                self.assertEqual(self.changed(3), (change, own), "another one needs it")
                self.server.ok("DELETE", "/workspace-template/app/prebuild/b", status=204)
                self.assertEqual(self.changed(4), ("DELETE", own))
                self.prebuild("c")
                self.assertEqual(self.changed(5), ("POST", path))
                self.server.ok("DELETE", "/workspace-template/app", status=204)
                self.assertEqual(self.changed(6), ("DELETE", own))
                self.assertEqual(len(self.peer.hooks), 1, "the other one stays")
                self.assertEqual({r.header("Authorization") for r in self.peer.requests}, {auth})
                log = self.server.log()
                for word in (secret, TOKEN):
                    self.assertNotIn(word, log)
                with open(os.path.join(self.server.data, "audit.log"), encoding="utf-8") as file:
                    self.assertNotIn(secret, file.read())
                self.assertEqual(self.server.stop(), 0)

    def many(self, number, ours=None):
        """So many hooks of others, and ours among them."""
        self.peer.hooks = [self.peer.hook(f"https://other.test/{i}", "x", 1000 + i) for i in range(number)]
        if ours is not None:
            self.peer.hooks[ours] = self.peer.hook(PUBLIC + HOOK, "x", HOSTS[self.peer.provider][5])
        self.peer.pages.clear()

    def test_pages_of_hooks(self):
        """Ours is found wherever it is, and not entered twice; hosts may give less than a page at a time."""
        for provider, (path, _, _, _, change, number) in HOSTS.items():
            for most in (50, 20):
                with self.subTest(provider=provider, most=most):
                    self.start(provider, "--public-url", PUBLIC)
                    self.peer.most = most
                    self.many(120, 107)
                    self.prebuild("a")
                    own = path + "/" + urllib.parse.quote(str(number), safe="")
                    self.assertEqual(self.changed(1), (change, own))
                    # It says where its next page starts, by things.
                    self.assertEqual(self.peer.pages, list(range(0, 108, most)) if provider == "bitbucket-server" else
                                     list(range(1, -(-108 // most) + 1)))
                    self.assertEqual(self.server.stop(), 0)
                    shutil.rmtree(os.path.join(self.tmp, provider))
        # None of ours: the last page is the end.
        self.start("gitea", "--public-url", PUBLIC)
        self.many(100)
        self.prebuild("a")
        self.assertEqual(self.changed(1), ("POST", self.peer.path))
        self.assertEqual(self.peer.pages, [1, 2, 3])
        # It ends, and enters no second one where it did not see all.
        self.many(2000)
        self.prebuild("b", branch="dev")
        self.said("it has more hooks than are looked at")
        self.assertEqual(self.peer.pages, list(range(1, 21)))
        self.assertEqual(len(self.peer.changes()), 1)

    def test_a_host_that_is_away(self):
        """It is asked again, with pauses that grow; also by another process, and at once when the login was corrected."""
        self.start("gitea", "--public-url", PUBLIC)
        port = self.peer.port
        self.peer.stop()
        self.prebuild("a")
        self.said("It is tried again in 2 s.")
        self.assertEqual([int(w.split()[0]) for w in self.server.log().split("It is tried again in ")[1:]][:2], [1, 2])
        self.server.kill()
        self.peer.start()
        self.assertEqual(self.peer.port, port)
        self.server = serverproc.Server(self, os.path.join(self.tmp, "gitea"), "--public-url", PUBLIC)
        self.assertEqual(self.changed(1)[0], "POST")
        self.said("knows the hook for prebuilds of acme/app")
        # It is known to be there now: another process does not ask.
        self.assertEqual(self.server.stop(), 0)
        n = len(self.peer.requests)
        self.server = s = serverproc.Server(self, os.path.join(self.tmp, "gitea"), "--public-url", PUBLIC)
        s.ok("GET", "/health")
        self.template("two", "http://127.0.0.1/acme/two")
        self.peer.on("GET", self.peer.path.replace("app", "two") + ".*", reply(401, {}), reply(401, {}), reply(401, {}),
                     reply(200, []))
        self.peer.on("POST", self.peer.path.replace("app", "two"), reply(201, {}), forever=True)
        self.prebuild("b", "two")
        self.said("acme/two could not be set: HTTP 401; is its token right?. It is tried again in 4 s.")
        s.ok("PUT", "/gitprovider", {"id": "g", "providerId": "gitea", "token": TOKEN, "username": "", "baseApiUrl": self.peer.url})
        self.said("knows the hook for prebuilds of acme/two")
        self.assertEqual([r.target.split("?")[0] for r in self.peer.requests[n:] if "two" not in r.target], [])
        # One that is only to be removed is tried again by this process.
        self.peer.on("DELETE", ".*", reply(503, {}))
        s.ok("DELETE", "/workspace-template/app/prebuild/a", status=204)
        common.wait_for(lambda: len(self.peer.hooks) == 1, 20 * common.PATIENCE, "the hook is gone")

    def again(self):
        self.server = serverproc.Server(self, os.path.join(self.tmp, "gitea"), "--public-url", PUBLIC)

    def test_a_removal_outlives_the_process(self):
        self.start("gitea", "--public-url", PUBLIC)
        url = "/workspace-template/app"
        for path in url + "/prebuild/a", url + "?force=true":
            self.template("app", "http://127.0.0.1/Acme/App.git")
            self.prebuild("a")
            common.wait_for(lambda: len(self.peer.hooks) == 2, 20 * common.PATIENCE, "the hook is there")
            self.said("knows the hook")
            self.peer.on("DELETE", ".*", reply(503, {}), forever=True)
            self.server.ok("DELETE", path, status=204)
            common.wait_for(lambda: ("DELETE", self.peer.path + "/78") in self.peer.changes(), 20 * common.PATIENCE, "tried")
            self.server.kill()
            self.peer.rules.clear()
            self.again()
            common.wait_for(lambda: len(self.peer.hooks) == 1, 20 * common.PATIENCE, "the hook is gone")
            # It is known to be gone: another process does not ask.
            common.wait_for(lambda: not serverproc.records(self.server.data).get("hooks"), 20 * common.PATIENCE, "settled")
            self.assertEqual(self.server.stop(), 0)
            self.peer.requests.clear()
            self.again()
            self.server.ok("GET", "/health")
            self.assertEqual(self.peer.requests, [])

    def test_a_provider_that_comes_later(self):
        """Nobody could be asked, till it is set; also by another process."""
        self.start("gitea", "--public-url", PUBLIC)
        self.server.ok("DELETE", "/gitprovider/g")
        self.template("lone", "http://127.0.0.1/Acme/App.git", None)
        self.prebuild("a", "lone")
        for _ in range(2):
            self.said("no git provider config fits it. It is tried again when a git provider is set.")
            self.server.kill()
            self.again()
        self.server.ok("PUT", "/gitprovider", {"id": "h", "providerId": "gitea", "token": TOKEN, "username": "",
                                               "baseApiUrl": self.peer.url})
        self.assertEqual(self.changed(1), ("POST", self.peer.path))

    def test_a_server_that_learns_its_address(self):
        self.start("gitea")
        self.prebuild("a")
        self.said("the server has no --public-url")
        self.assertNotIn("tried again", self.server.log())
        self.assertEqual(self.server.stop(), 0)
        self.server = serverproc.Server(self, os.path.join(self.tmp, "gitea"), "--public-url", PUBLIC)
        self.assertEqual(self.changed(1)[0], "POST")

    def by_hand(self):
        """The secret of hooks that somebody enters."""
        return next(hash for hash, key in serverproc.records(self.server.data)["keys"].items() if key["name"] == "webhook")

    def test_a_template_that_moves(self):
        self.start("gitea", "--public-url", PUBLIC)
        self.template("app", "http://127.0.0.1/acme/other")
        self.template("app", "http://127.0.0.1/acme/app")
        self.prebuild("a")
        self.changed(1)
        self.template("app", "http://127.0.0.1/acme/app")
        self.template("app", "http://127.0.0.1/acme/other")
        self.assertEqual(self.changed(2), ("DELETE", self.peer.path + "/78"))
        self.said("prebuilds of acme/other could not be set: HTTP 404")

    def test_changes_meanwhile(self):
        """One question is under way for a repository; what is wanted is looked at when it has its answer, and again."""
        self.start("gitea", "--public-url", PUBLIC)
        self.peer.hold.clear()
        self.prebuild("a")
        common.wait_for(lambda: len(self.peer.requests) == 1, 20 * common.PATIENCE, "the list is asked for")
        for _ in range(6):
            self.prebuild("a")
        self.server.ok("DELETE", "/workspace-template/app/prebuild/a", status=204)
        self.peer.hold.set()
        common.wait_for(lambda: len(self.peer.requests) == 2, 20 * common.PATIENCE, "it is asked for again")
        self.prebuild("a")
        self.assertEqual(self.changed(1)[0], "POST")
        self.peer.hold.clear()  # the end does not wait for a host
        self.prebuild("a")
        self.server.ok("GET", "/health")
        self.assertEqual(self.server.stop(), 0)
        self.peer.hold.set()

    def test_what_came_meanwhile_is_not_settled(self):
        """A hook that is set says nothing of what was wanted since it was asked for: another process asks, too."""
        self.start("gitea", "--public-url", PUBLIC)
        self.peer.hold.clear()
        self.prebuild("a")
        common.wait_for(lambda: len(self.peer.requests) == 1, 20 * common.PATIENCE, "the list is asked for")
        self.prebuild("b", branch="dev")
        self.peer.on("GET", self.peer.path + ".*", reply(503, {}), forever=True)
        self.peer.hold.set()
        self.said("It is tried again")
        self.server.kill()
        n = len(self.peer.requests)
        self.server = serverproc.Server(self, os.path.join(self.tmp, "gitea"), "--public-url", PUBLIC)
        common.wait_for(lambda: len(self.peer.requests) > n, 20 * common.PATIENCE, "it is asked for again")

    def test_what_goes_wrong(self):
        self.start("gitea", "--public-url", PUBLIC)
        for method, status, word in (("GET", 401, "is its token right?"), ("GET", 403, "HTTP 403"), ("POST", 422, "HTTP 422"),
                                     ("GET", 200, None)):
            self.peer.on(method, ".*", reply(status, [] if status == 200 else {"message": TOKEN}))
            self.prebuild("a")
            self.said(word or "knows the hook for prebuilds of acme/app")
            self.peer.rules.clear()
        log = self.server.log()
        self.assertIn(f"Enter or remove it there: URL {PUBLIC}/prebuild/webhook-event, JSON, pushes; its secret:", log)
        self.assertNotIn(TOKEN, log)

    def test_what_cannot_be_asked(self):
        self.start("gitea")
        self.prebuild("a")
        self.said("prebuilds of acme/app could not be set: the server has no --public-url")
        self.server.stop()
        self.server = s = serverproc.Server(self, os.path.join(self.tmp, "gitea"), "--public-url", PUBLIC)
        self.template("lone", "http://elsewhere:pass@git.test/acme/lone", None)
        self.prebuild("b", "lone")
        self.said("prebuilds of acme/lone could not be set: no git provider config fits it")
        s.ok("PUT", "/gitprovider", {"id": "h", "providerId": "gitness", "token": TOKEN, "username": "",
                                     "baseApiUrl": self.peer.url})
        self.template("server", "http://127.0.0.1/ac/app", "h")
        self.prebuild("c", "server")
        self.said("gitness is not asked for hooks")
        self.template("two", "http://127.0.0.1/acme/two", None)
        self.prebuild("d", "two")
        self.said("multiple git provider configs")
        self.assertNotIn("elsewhere", s.log())
        # But for the first one, since the server knows where it is.
        self.assertEqual({r.target.split("?")[0] for r in self.peer.requests} - {self.peer.path}, set())


if __name__ == "__main__":
    common.main()
