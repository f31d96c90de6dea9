#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is behind a git provider config, listed through the embedded Server: each host's API as a scripted peer."""
import base64
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, httppeer, serverproc  # noqa: E402
from lib.httppeer import raw, reply  # noqa: E402

TOKEN = "t0k/en=+secret"
LONG = 20 * common.PATIENCE
SHA = ["%040x" % n for n in range(1, 5)]
MINE = {"id": "<PERSONAL>", "name": "ada"}


def repo(i, url, name, branch, owner, source):
    return {"id": i, "url": url, "name": name, "branch": branch, "sha": "", "owner": owner, "source": source}


def pull(name, branch, sha, i, url, owner, source_name):
    return {"name": name, "branch": branch, "sha": sha, "sourceRepoId": i, "sourceRepoUrl": url, "sourceRepoOwner": owner,
            "sourceRepoName": source_name}


def github_repo(name, owner="acme"):
    return {"id": 7, "name": name, "html_url": f"https://git.test/{owner}/{name}", "default_branch": "trunk",
            "owner": {"login": owner}}


def github_pull(head):
    return {"title": "A \"change\"", "head": {"ref": "topic", "sha": SHA[2], "repo": head}}


class Host:
    """provider: its id; user: of the config; api: what follows the base; answers by target; and for each route of ours what it
    asks in order and what it says."""


class GitHub(Host):
    provider, api, auth = "github-enterprise-server", "/api/v3", "Bearer " + TOKEN
    page, first = "per_page=50&page=1", "per_page=2&page=3"
    answers = {
        "/user": {"id": 42, "login": "ada", "name": "Ada L", "email": None},
        "/user/orgs": [{"login": "acme", "id": 1}, {"login": "b c"}],
        "/orgs/acme/repos": [github_repo("app"), github_repo("lib")],
        "/user/repos?affiliation=owner": [github_repo("dots", "ada")],
        "/repos/acme/app/branches": [{"name": "a/b", "commit": {"sha": SHA[0]}}, {"name": "main", "commit": {"sha": SHA[1]}}],
        "/repos/ada/dots/branches": [],
        "/repos/acme/app/pulls?state=open": [github_pull(github_repo("fork", "bob")), github_pull(None)],
    }
    user = {"id": "42", "username": "ada", "name": "Ada L", "email": ""}
    namespaces = [MINE, {"id": "acme", "name": "acme"}, {"id": "b c", "name": "b c"}]
    repositories = [repo("app", "https://git.test/acme/app", "app", "trunk", "acme", "git.test"),
                    repo("lib", "https://git.test/acme/lib", "lib", "trunk", "acme", "git.test")]
    own = [repo("dots", "https://git.test/ada/dots", "dots", "trunk", "ada", "git.test")]
    branches = [{"name": "a/b", "sha": SHA[0]}, {"name": "main", "sha": SHA[1]}]
    pulls = [pull("A \"change\"", "topic", SHA[2], "fork", "https://git.test/bob/fork", "bob", "fork"),
             pull("A \"change\"", "topic", SHA[2], "", "", "", "")]
    names = ("acme", "app")


class Gitea(GitHub):
    provider, api, auth = "gitea", "/api/v1", "token " + TOKEN
    page, first = "limit=50&page=1", "limit=2&page=3"
    answers = dict(GitHub.answers)
    answers.update({
        "/user": {"id": 42, "login": "ada", "full_name": "Ada L", "email": "ada@git.test"},
        "/user/orgs": [{"username": "acme"}, {"username": "b c"}],
        "/user/repos": GitHub.answers["/user/repos?affiliation=owner"],
        "/repos/acme/app/branches": [{"name": "a/b", "commit": {"id": SHA[0]}}, {"name": "main", "commit": {"id": SHA[1]}}],
    })
    user = {"id": "42", "username": "ada", "name": "Ada L", "email": "ada@git.test"}


class GitLab(Host):
    provider, api, auth = "gitlab-self-managed", "/api/v4", "Bearer " + TOKEN
    page, first = "per_page=50&page=1", "per_page=2&page=3"
    project = {"id": 9, "name": "App", "web_url": "https://git.test/acme/sub/app", "default_branch": "main",
               "namespace": {"path": "sub"}}
    answers = {
        "/user": {"id": 5, "username": "ada", "name": "Ada L", "email": "ada@git.test"},
        "/groups": [{"id": 3, "name": "Acme"}],
        "/groups/3/projects": [project, dict(project, id=10, default_branch=None)],
        "/users/ada/projects": [dict(project, namespace={"path": "ada"})],
        "/projects/9/repository/branches": [{"name": "main", "commit": {"id": SHA[0]}}],
        "/projects/9/merge_requests?state=opened": [
            {"title": "One", "source_branch": "x", "sha": SHA[1], "source_project_id": 9},
            {"title": "Two", "source_branch": "y", "sha": SHA[2], "source_project_id": 77},
            {"title": "Gone", "source_branch": "z", "sha": None, "source_project_id": None}],
        "/projects/9": project,
        "/projects/77": {"id": 77, "name": "Fork", "web_url": "https://git.test/bob/fork", "namespace": {"path": "bob"}},
    }
    user = {"id": "5", "username": "ada", "name": "Ada L", "email": "ada@git.test"}
    namespaces = [MINE, {"id": "3", "name": "Acme"}]
    repositories = [repo("9", "https://git.test/acme/sub/app", "App", "main", "sub", "git.test"),
                    repo("10", "https://git.test/acme/sub/app", "App", "", "sub", "git.test")]
    own = [repo("9", "https://git.test/acme/sub/app", "App", "main", "ada", "git.test")]
    branches = [{"name": "main", "sha": SHA[0]}]
    pulls = [pull("One", "x", SHA[1], "9", "https://git.test/acme/sub/app", "sub", "App"),
             pull("Two", "y", SHA[2], "77", "https://git.test/bob/fork", "bob", "Fork"),
             pull("Gone", "z", "", "", "", "", "")]
    names = ("3", "9")


class Bitbucket(Host):
    provider, api = "bitbucket", "/2.0"
    auth = "Basic " + base64.b64encode(("ada:" + TOKEN).encode()).decode()
    page, first = "pagelen=50&page=1", "pagelen=2&page=3"
    source = {"full_name": "bob/fork", "name": "Fork", "links": {"html": {"href": "https://git.test/bob/fork"}}}
    answers = {
        "/user": {"account_id": "a:1", "username": "ada", "display_name": "Ada L"},
        "/workspaces": {"values": [{"slug": "acme", "name": "Acme"}], "pagelen": 50},
        "/repositories/acme": {"values": [{"slug": "app", "name": "App", "links": {"html": {"href": "https://git.test/acme/app"}},
                                           "mainbranch": {"name": "main"}, "workspace": {"slug": "acme"}},
                                          {"slug": "new", "name": "New", "links": {"html": {"href": "https://git.test/acme/new"}},
                                           "mainbranch": None, "workspace": {"slug": "acme"}}]},
        "/repositories/acme/app/refs/branches": {"values": [{"name": "main", "target": {"hash": SHA[0]}}]},
        "/repositories/acme/app/pullrequests?state=OPEN": {"values": [
            {"title": "One", "source": {"branch": {"name": "x"}, "commit": {"hash": SHA[1]}, "repository": source}}]},
    }
    user = {"id": "a:1", "username": "ada", "name": "Ada L", "email": ""}
    namespaces = [{"id": "acme", "name": "Acme"}]
    repositories = [repo("app", "https://git.test/acme/app", "App", "main", "acme", "git.test"),
                    repo("new", "https://git.test/acme/new", "New", "", "acme", "git.test")]
    own = None
    branches = [{"name": "main", "sha": SHA[0]}]
    pulls = [pull("One", "x", SHA[1], "bob/fork", "https://git.test/bob/fork", "bob", "Fork")]
    names = ("acme", "app")


class BitbucketServer(Host):
    provider, api, auth = "bitbucket-server", "/rest/api/1.0", "Bearer " + TOKEN
    page, first = "limit=50&start=0", "limit=2&start=4"
    app = {"slug": "app", "name": "App", "links": {"self": [{"href": "https://git.test/projects/AC/repos/app/browse"}]},
           "project": {"key": "AC"}}
    answers = {
        "/users/ada": {"id": 12, "slug": "ada", "displayName": "Ada L", "emailAddress": "ada@git.test"},
        "/projects": {"values": [{"key": "AC", "name": "Acme"}]},
        "/projects/AC/repos": {"values": [app]},
        "/projects/AC/repos/app/branches": {"values": [{"displayId": "main", "latestCommit": SHA[0]}]},
        "/projects/AC/repos/app/pull-requests?state=OPEN": {"values": [
            {"title": "One", "fromRef": {"displayId": "x", "latestCommit": SHA[1], "repository": app}}]},
    }
    user = {"id": "12", "username": "ada", "name": "Ada L", "email": "ada@git.test"}
    namespaces = [{"id": "AC", "name": "Acme"}]
    repositories = [repo("app", "https://git.test/projects/AC/repos/app/browse", "App", "", "AC", "git.test")]
    own = None
    branches = [{"name": "main", "sha": SHA[0]}]
    pulls = [pull("One", "x", SHA[1], "app", "https://git.test/projects/AC/repos/app/browse", "AC", "App")]
    names = ("AC", "app")


HOSTS = (GitHub, GitLab, Gitea, Bitbucket, BitbucketServer)

# Of each host: a repository's address; what follows it for a branch "a/b", and for a pull request; what the host answers for it, its
# own branch "trunk", that one's commit, the commit of a/b, the pull request, and where that comes from; and who has that.
BY_HUB = ("/acme/app", "/tree/a/b", "/pull/7", {
    "/repos/acme/app": {"default_branch": "trunk"},
    "/repos/acme/app/branches/trunk": {"commit": {"sha": SHA[0], "id": SHA[0]}},
    "/repos/acme/app/branches/a%2Fb": {"commit": {"sha": SHA[1], "id": SHA[1]}},
    "/repos/acme/app/pulls/7": github_pull(github_repo("fork", "bob"))}, ("https://git.test/bob/fork", "bob", "fork"))
CONTEXTS = {
    GitHub: BY_HUB, Gitea: BY_HUB,
    GitLab: ("/acme/sub/app", "/-/tree/a/b", "/-/merge_requests/7", {
        "/projects/acme%2Fsub%2Fapp": {"default_branch": "trunk"},
        "/projects/acme%2Fsub%2Fapp/repository/branches/trunk": {"commit": {"id": SHA[0]}},
        "/projects/acme%2Fsub%2Fapp/repository/branches/a%2Fb": {"commit": {"id": SHA[1]}},
        "/projects/acme%2Fsub%2Fapp/merge_requests/7": {"source_branch": "topic", "sha": SHA[2], "source_project_id": 77},
        "/projects/77": GitLab.answers["/projects/77"]}, ("https://git.test/bob/fork", "bob", "Fork")),
    Bitbucket: ("https://bitbucket.org/acme/app", "/branch/a/b", "/pull-requests/7", {
        "/repositories/acme/app": {"mainbranch": {"name": "trunk"}},
        "/repositories/acme/app/refs/branches/trunk": {"target": {"hash": SHA[0]}},
        "/repositories/acme/app/refs/branches/a%2Fb": {"target": {"hash": SHA[1]}},
        "/repositories/acme/app/pullrequests/7": {"source": {"branch": {"name": "topic"}, "commit": {"hash": SHA[2]},
                                                             "repository": Bitbucket.source}}},
                ("https://git.test/bob/fork", "bob", "Fork")),
    # It is not asked for the commit of a branch.
    BitbucketServer: ("/projects/AC/repos/app", "/browse?at=refs/heads/a/b", "/pull-requests/7", {
        "/projects/AC/repos/app/branches/default": {"displayId": "trunk"},
        "/projects/AC/repos/app/pull-requests/7": {"fromRef": {"displayId": "topic", "latestCommit": SHA[2],
                                                               "repository": BitbucketServer.app}}},
                      ("https://git.test/projects/AC/repos/app/browse", "AC", "App")),
}


class Peer(httppeer.Peer):
    """A git host's API. bare: answers as if no page was asked for."""

    def __init__(self, host):
        super().__init__()
        self.git = host

    def handle(self, conn, request):
        target = request.target
        assert target.startswith(self.git.api), target
        target = target[len(self.git.api):]
        size = self.git.page.split("=")[0]
        for mark in ("?" + size, "&" + size):
            target = target.split(mark)[0]
        answer = self.git.answers.get(target)
        return reply(200, answer)(conn, request) if answer is not None else reply(404, {"message": "Not Found"})(conn, request)


class Browse(common.Case):
    def setUp(self):
        super().setUp()
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--access-log", os.path.join(self.tmp, "access"))

    def host(self, kind, base=None, provider=None, username="ada"):
        peer = Peer(kind)
        peer.start()
        self.addCleanup(peer.stop)
        self.server.ok("PUT", "/gitprovider", {"id": "g", "providerId": provider or kind.provider, "token": TOKEN,
                                               "username": username, "alias": "mine",
                                               "baseApiUrl": (base or "{}").format(peer.url)})
        return peer

    def ask(self, path, status=200):
        answer = self.server.call("GET", "/gitprovider/g/" + path)
        self.assertEqual(answer.status, status, (path, answer.body))
        self.assertNotIn(TOKEN, answer.body.decode())
        return answer.json if status == 200 else answer.json["error"]

    def paths(self, kind):
        n, r = kind.names
        return (("user", kind.user), ("namespaces", kind.namespaces), (f"{n}/repositories", kind.repositories),
                (f"{n}/{r}/branches", kind.branches), (f"{n}/{r}/pull-requests", kind.pulls))

    def test_each_host(self):
        for kind in HOSTS:
            with self.subTest(host=kind.provider):
                peer = self.host(kind)
                for path, want in self.paths(kind):
                    before = len(peer.requests)
                    self.assertEqual(self.ask(path), want, path)
                    listed = [r for r in peer.requests[before:] if "page" in r.target or "limit" in r.target]
                    if path != "user":
                        self.assertTrue(listed[0].target.endswith(kind.page), listed)
                    listed = len(peer.requests)
                    self.ask(path + "?page=3&per_page=2")
                    if path != "user":
                        self.assertIn(kind.first, [r.target.split("?")[-1].replace("state=open&", "").replace("state=OPEN&", "")
                                                   .replace("state=opened&", "") for r in peer.requests[listed:]])
                if kind.own is not None:
                    self.assertEqual(self.ask("%253CPERSONAL%253E/repositories"), kind.own)
                    self.assertNotIn(MINE, self.ask("namespaces?page=2"), "on the first page alone")
                self.assertEqual({r.header("Authorization") for r in peer.requests}, {kind.auth})

    def test_the_base_is_completed(self):
        for kind in HOSTS:
            whole = kind.api.split("/")[1:]
            for n in range(len(whole) + 1):
                self.host(kind, "{}" + "".join("/" + part for part in whole[:n]))
                self.assertEqual(self.ask("user"), kind.user, (kind, n))

    def test_personal_branches_and_odd_names(self):
        peer = self.host(GitHub)
        self.assertEqual(self.ask("%253CPERSONAL%253E/dots/branches"), [])
        self.ask("b%2520c%252F%253Fx/a%252Fb%2523/branches", 404)
        self.assertIn("/api/v3/repos/b%20c%2F%3Fx/a%2Fb%23/branches?per_page=50&page=1", [r.target for r in peer.requests])
        n = len(peer.requests)
        for path in ("../repositories", "%252E%252E/repositories", "a/./branches", "%25/repositories", "acme/repositories?page=0",
                     "acme/repositories?page=x", "acme/repositories?per_page=-1"):
            self.ask(path, 400)
        self.ask("acme/repositories?per_page=100000")
        self.assertEqual([r.target for r in peer.requests[n:]], ["/api/v3/orgs/acme/repos?per_page=100&page=1"])

    def test_bitbucket_by_a_token_alone(self):
        peer = self.host(Bitbucket, username="")
        self.ask("user")
        self.assertEqual(peer.requests[-1].header("Authorization"), "Bearer " + TOKEN)

    def test_what_goes_wrong(self):
        other = httppeer.Peer()
        other.start()
        self.addCleanup(other.stop)
        for kind in HOSTS:
            peer = self.host(kind)
            for step, status, word in ((reply(401, {"message": "Bad credentials " + TOKEN}), 401, "is its token right?"),
                                       (reply(403, {}), 403, "HTTP 403"), (reply(404, {}), 404, "HTTP 404"),
                                       (reply(429, {}), 429, "try again later"), (reply(503, "busy"), 500, "HTTP 503"),
                                       (reply(302, "", headers=[("Location", other.url + "/x")]), 500, "correct its API URL"),
                                       (reply(200, "<html>"), 500, "no JSON"), (reply(200, ""), 500, "no JSON"),
                                       (reply(200, {"message": "x"}), 500, "no list"), (reply(200, "7"), 500, "no list"),
                                       (reply(200, "[" + "0," * (3 << 20) + "0]"), 500, "mine"),
                                       (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[", then="close"), 500, "mine"),
                                       (raw(b"nonsense\r\n\r\n", then="close"), 500, "mine")):
                n, r = kind.names
                peer.on("GET", ".*", step)
                said = self.ask(f"{n}/{r}/branches", status)
                self.assertIn(word, said)
                self.assertIn("git provider mine (127.0.0.1)", said)
                peer.rules.clear()
        self.assertEqual(other.accepted, 0, "no redirect is followed")
        peer.stop()
        self.assertIn("refused", self.ask("user", 500))
        self.assertNotIn(TOKEN, self.server.log())
        with open(os.path.join(self.tmp, "access"), encoding="utf-8") as file:
            self.assertNotIn(TOKEN, file.read())

    def test_things_that_are_none(self):
        peer = self.host(GitHub)
        peer.on("GET", ".*", reply(200, [None, 7, "x", [], {}, {"name": ["a"], "commit": "b"}, {"name": 5}]))
        empty = {"name": "", "sha": ""}
        self.assertEqual(self.ask("acme/app/branches"), [empty] * 6 + [{"name": "5", "sha": ""}])

    def test_others_are_served_meanwhile(self):
        peer = self.host(GitHub)
        held = threading.Event()

        def hold(conn, request):
            held.wait(LONG)
            return reply(200, [])(conn, request)
        peer.on("GET", ".*/repos", *[hold] * 4)
        results = []
        threads = [threading.Thread(target=lambda: results.append(self.ask("acme/repositories"))) for _ in range(4)]
        for t in threads:
            t.start()
        common.wait_for(lambda: len(peer.requests) == 4, LONG, "four questions")
        self.server.ok("GET", "/runner")
        self.assertIn("too many", self.ask("user", 503))
        held.set()
        for t in threads:
            t.join()
        self.assertEqual(results, [[]] * 4)
        # One whose client leaves makes room.
        held.clear()
        peer.on("GET", ".*/repos", *[hold] * 4)
        socks = [self.server.socket() for _ in range(4)]
        for s in socks:
            s.sendall(b"GET /gitprovider/g/acme/repositories HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
                      + self.server.key.encode() + b"\r\n\r\n")
        common.wait_for(lambda: len(peer.requests) == 8, LONG, "four more")
        for s in socks:
            s.close()
        common.wait_for(lambda: self.server.call("GET", "/gitprovider/g/user").status == 200, LONG, "there is room again")
        held.set()

    def context(self, url, **more):
        answer = self.server.ok("POST", "/gitprovider/context", {"url": url, **more})
        self.assertNotIn(TOKEN, answer.body.decode())
        return answer.json

    def test_what_an_address_leads_to(self):
        """With a config of its host, the host says what an address alone does not."""
        for kind, (path, branch, number, answers, (url, owner, name)) in CONTEXTS.items():
            with self.subTest(host=kind.provider):
                at, sha = path if "://" in path else "http://127.0.0.1" + path, kind is not BitbucketServer
                rows = (at, at + branch, at + number)
                alone = [self.context(row) for row in rows]
                self.assertEqual([a["branch"] for a in alone], ["main", "a/b", "main"])
                peer = self.host(type("With", (kind,), {"answers": answers}))
                have = [self.context(row) for row in rows]
                self.assertEqual(have[0], dict(alone[0], branch="trunk", sha=SHA[0] if sha else ""))
                self.assertEqual(have[1], dict(alone[1], sha=SHA[1] if sha else ""))
                self.assertEqual(have[2], dict(alone[2], branch="topic", sha=SHA[2], url=url, owner=owner, name=name, id=name,
                                               source="git.test", prNumber=7))
                self.assertEqual({r.header("Authorization") for r in peer.requests}, {kind.auth})
                # Who says what, asks nothing more; another host's repository is not asked for.
                n = len(peer.requests)
                self.assertEqual(self.context(at, branch="x", sha=SHA[3])["sha"], SHA[3])
                self.assertEqual(self.context("https://other.test/a/b")["branch"], "main")
                self.assertEqual(len(peer.requests), n)
                self.server.ok("DELETE", "/gitprovider/g")

    def test_an_address_whose_host_does_not_say(self):
        """The address alone has to do, and says the same as without a config."""
        at = "http://127.0.0.1/acme/app"
        rows = (at, at + "/tree/a/b", at + "/pull/7")
        alone = [self.context(row) for row in rows]
        for step in (reply(404, {}), reply(401, {}), reply(200, "<html>"), reply(200, "[]"), reply(200, {"default_branch": None}),
                     raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[", then="close")):
            peer = self.host(GitHub)
            peer.on("GET", ".*/app", step, forever=True)
            peer.on("GET", ".*/app/.*", reply(404, {}), forever=True)
            for row, want in zip(rows, alone):
                self.assertEqual(self.context(row), want)
        # A pull request whose repository is gone.
        peer = self.host(type("Gone", (GitHub,), {"answers": {"/repos/acme/app/pulls/7": github_pull(None)}}))
        self.assertEqual(self.context(rows[2]), alone[2])
        # One that does not answer holds up nobody, and not this for long.
        held = threading.Event()
        peer.on("GET", ".*", lambda conn, request: (held.wait(LONG), reply(200, {})(conn, request))[1], forever=True)
        results = []
        thread = threading.Thread(target=lambda: results.append(self.context(at)))
        thread.start()
        common.wait_for(lambda: peer.seen("GET", "/api/v3/repos/acme/app"), LONG, "it is asked")
        self.server.ok("GET", "/runner")
        thread.join()
        held.set()
        self.assertEqual(results, [alone[0]])

    def test_where_the_token_may_go(self):
        self.host(GitHub, "http://git.test/api/v3")
        self.assertIn("not https", self.ask("user", 500))
        self.host(GitHub, "ftp://git.test/")
        self.ask("user", 500)
        self.host(GitHub, "unix:///run/x.sock")
        self.ask("user", 500)
        self.host(GitHub, provider="azure-devops")
        self.assertIn("azure-devops cannot be listed", self.ask("user", 501))
        self.server.ok("PUT", "/gitprovider", {"id": "b", "providerId": "bitbucket-server", "token": TOKEN, "username": "u"})
        self.assertEqual(self.server.call("GET", "/gitprovider/b/user").status, 500)
        self.assertIn("not found", self.server.ok("GET", "/gitprovider/none/user", status=500).json["error"])


if __name__ == "__main__":
    common.main()
