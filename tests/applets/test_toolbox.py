# SPDX-License-Identifier: Apache-2.0
"""The toolbox of a workspace: each call good, with something missing, and wrong; sessions; what is hostile."""
import json
import os
import socket
import stat
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
from gitserver import GitServer, git, make_repo  # noqa: E402
from toolboxcase import ToolCase, form  # noqa: E402

ODD = ["with space", "ünïcode", "plus+and%41", "quote\"'", "-dash", "new\nline", "#hash?&=", "\udcff\udcfe"]


class Routes(ToolCase):
    def test_where_the_workspace_is(self):
        for path in ("/workspace-dir", "/project-dir", "/workspace-dir/"):
            self.assertEqual(self.toolbox.ok("GET", path, shape="WorkspaceDirResponse"), {"dir": self.work})

    def test_what_is_no_route(self):
        for method, path in (("GET", "/"), ("GET", "/nothing"), ("PUT", "/files"), ("POST", "/files/info"),
                             ("GET", "/process/execute"), ("GET", "/git"), ("GET", "/files/info/more"),
                             ("PUT", "/process/session"), ("GET", "/process/session/a/b/c/d/e"),
                             ("GET", "/process/sessions")):
            answer = self.toolbox.call(method, path)
            self.assertIn(answer.status, (404,), (method, path, answer.body))

    def test_language_servers_are_refused_in_plain_words(self):
        for method, path in (("POST", "/lsp/start"), ("GET", "/lsp/document-symbols"),
                             ("GET", "/lsp/workspacesymbols"), ("POST", "/lsp/completions")):
            answer = self.toolbox.call(method, path, {} if method == "POST" else None)
            self.assertEqual(answer.status, 501)
            self.assertEqual(answer.headers["Content-Type"], "text/plain; charset=utf-8")
            self.assertIn("no language servers", answer.text)

    def test_one_connection_carries_many_requests(self):
        connection = self.toolbox.connect()
        self.addCleanup(connection.close)
        first = None
        for number in range(20):
            kind, body = form(b"x" * number)
            answer = self.toolbox.send(connection, "POST", "/files/upload", body,
                                       {"Content-Type": kind}, path=f"f{number}")
            self.assertEqual(answer.status, 200)
            first = first or connection.sock
            self.assertEqual(self.toolbox.send(connection, "GET", "/files/info", path="none").status, 404)
            self.assertEqual(self.toolbox.send(connection, "GET", "/process/session").json, [])
            self.assertIs(connection.sock, first)


class Files(ToolCase):
    def test_list_and_info(self):
        self.write("b", b"12345")
        os.chmod(self.file("b"), 0o4750)
        os.mkdir(self.file("a"), 0o755)
        os.symlink("b", self.file("c"))
        os.symlink("nowhere", self.file("d"))
        for query in ({}, {"path": "."}, {"path": self.work}, {"path": self.work + "/"}):
            entries = self.toolbox.ok("GET", "/files", shape=["FileInfo"], **query)
            self.assertEqual([e["name"] for e in entries], ["a", "b", "c", "d"])
        a, b, c, d = entries
        self.assertEqual((a["isDir"], a["mode"], a["permissions"]), (True, "drwxr-xr-x", "0755"))
        self.assertEqual((b["isDir"], b["size"], b["mode"], b["permissions"]),
                         (False, 5, "urwxr-x---", "0750"))
        self.assertEqual((b["owner"], b["group"]), (str(os.getuid()), str(os.stat(self.file("b")).st_gid)))
        self.assertEqual((c["mode"], c["size"]), (b["mode"], 5))
        self.assertTrue(d["mode"].startswith("L"), d)
        os.utime(self.file("b"), ns=(0, 1_735_787_045_120_000_000))
        info = self.toolbox.ok("GET", "/files/info", shape="FileInfo", path="b")
        self.assertEqual((info["name"], info["modTime"]), ("b", "2025-01-02 03:04:05.12 +0000 UTC"))
        self.assertEqual(self.toolbox.ok("GET", "/files/info", shape="FileInfo", path="/")["name"], "/")

    def test_what_is_missing(self):
        self.toolbox.fails(404, "GET", "/files", path="none")
        self.toolbox.fails(404, "GET", "/files/info", path="none")
        self.toolbox.fails(404, "GET", "/files/download", path="none")
        self.toolbox.fails(404, "DELETE", "/files", path="none")
        self.toolbox.fails(404, "POST", "/files/move", source="none", destination="x")
        self.toolbox.fails(404, "POST", "/files/permissions", path="none", mode="600")
        self.toolbox.fails(404, "GET", "/files/find", path="none", pattern="x")
        self.toolbox.fails(404, "GET", "/files/search", path="none", pattern="x")
        for method, path in (("GET", "/files/info"), ("GET", "/files/download"), ("DELETE", "/files"),
                             ("POST", "/files/folder"), ("POST", "/files/permissions"),
                             ("GET", "/files/find"), ("GET", "/files/search"), ("POST", "/files/upload")):
            self.toolbox.fails(400, method, path, text="path is required")
            self.toolbox.fails(400, method, path, text="required", path="")
        self.toolbox.fails(400, "GET", "/files/info", text="required", path="a\0b")
        self.toolbox.fails(400, "GET", "/files/info", text="too long", path="x" * 5000)
        self.toolbox.fails(400, "POST", "/files/move", text="source is required")
        self.toolbox.fails(400, "POST", "/files/move", text="destination is required", source="a")

    def test_folders(self):
        self.toolbox.ok("POST", "/files/folder", status=201, path="a/b/c", mode="0700")
        self.assertEqual(stat.S_IMODE(os.stat(self.file("a/b/c")).st_mode), 0o700)
        self.toolbox.ok("POST", "/files/folder", status=201, path="a/b/c", mode="0755")
        self.toolbox.ok("POST", "/files/folder", status=201, path="d")
        self.toolbox.fails(400, "POST", "/files/folder", text="octal", path="e", mode="rwx")
        self.toolbox.fails(400, "POST", "/files/folder", text="octal", path="e", mode="77777")
        self.write("file", b"")
        self.toolbox.fails(400, "POST", "/files/folder", path="file/x")
        self.toolbox.fails(400, "DELETE", "/files", text="recursive=true", path="a")
        self.toolbox.ok("DELETE", "/files", status=204, path="a", recursive="true")
        self.assertFalse(os.path.exists(self.file("a")))

    def test_delete_takes_the_link_and_not_what_it_points_to(self):
        self.write("there/x", b"x")
        os.symlink("there", self.file("link"))
        self.toolbox.ok("DELETE", "/files", status=204, path="link", recursive="true")
        self.assertEqual(self.read("there/x"), b"x")

    def test_move(self):
        self.write("a", b"1")
        self.write("b", b"2")
        self.toolbox.fails(400, "POST", "/files/move", text="already", source="a", destination="b")
        self.toolbox.fails(400, "POST", "/files/move", text="folder", source="a", destination="no/b")
        self.toolbox.ok("POST", "/files/move", source="a", destination="c")
        self.assertEqual((self.read("c"), self.read("b")), (b"1", b"2"))
        if os.stat("/dev/shm").st_dev != os.stat(self.work).st_dev and os.access("/dev/shm", os.W_OK):
            other = "/dev/shm/" + os.path.basename(self.tmp)
            self.toolbox.ok("POST", "/files/move", source="c", destination=other)
            self.toolbox.ok("POST", "/files/move", source=other, destination="d")
            self.assertEqual(self.read("d"), b"1")

    def test_permissions(self):
        self.write("a", b"1")
        self.toolbox.ok("POST", "/files/permissions", path="a", mode="640", owner=str(os.getuid()),
                        group=str(os.getgid()))
        self.assertEqual(stat.S_IMODE(os.stat(self.file("a")).st_mode), 0o640)
        self.toolbox.ok("POST", "/files/permissions", path="a")
        self.toolbox.fails(400, "POST", "/files/permissions", text="octal", path="a", mode="9")
        self.toolbox.fails(400, "POST", "/files/permissions", text="no user", path="a", owner="no-such-one")
        self.toolbox.fails(400, "POST", "/files/permissions", text="no group", path="a", group="no-such-one")
        if os.getuid() == 0:
            self.toolbox.ok("POST", "/files/permissions", path="a", owner="nobody")
            owner = os.stat(self.file("a")).st_uid
            self.assertNotEqual(owner, 0)
            self.assertEqual(self.toolbox.upload("a", b"new").status, 200)
            self.toolbox.ok("POST", "/files/replace", {"files": ["a"], "pattern": "new", "newValue": "newer"},
                            ["ReplaceResult"])
            self.assertEqual((os.stat(self.file("a")).st_uid, self.read("a")), (owner, b"newer"))

    def test_up_and_down(self):
        every = bytes(range(256)) * 300
        for name in ODD:
            answer = self.toolbox.upload("deep/er/" + name, every, filename="x")
            self.assertEqual((answer.status, answer.body), (200, b""), name)
            self.assertEqual(self.read("deep/er/" + name), every)
            self.assertEqual(self.toolbox.download("deep/er/" + name), every)
        self.assertEqual(sorted(os.listdir(self.file("deep/er"))), sorted(ODD))
        entries = self.toolbox.ok("GET", "/files", shape=["FileInfo"], path="deep/er")
        self.assertEqual(len(entries), len(ODD))
        answer = self.toolbox.call("GET", "/files/download", path="deep/er/quote\"'")
        self.assertEqual(answer.headers["Content-Type"], "application/octet-stream")
        self.assertIn("filename*=UTF-8''quote%22%27", answer.headers["Content-Disposition"])
        self.assertEqual(self.toolbox.upload("empty", b"").status, 200)
        self.assertEqual(self.toolbox.download("empty"), b"")
        self.assertIn(b"Name:", self.toolbox.download("/proc/self/status"))

    def test_an_upload_replaces_the_whole_or_nothing(self):
        path = self.write("a", b"old")
        os.chmod(path, 0o750)
        os.symlink("a", self.file("link"))
        self.assertEqual(self.toolbox.upload("link", b"new").status, 200)
        self.assertEqual((self.read("a"), os.path.islink(self.file("link"))), (b"new", True))
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o750)
        kind, body = form(b"x" * 200_000)
        for broken, text in ((body[:-8], "broke off"), (body.replace(b'"file"', b'"other"'), "file is required"),
                             (body[:100_000], "broke off"), (b"", "broke off"), (body[2:], "file is required")):
            answer = self.toolbox.call("POST", "/files/upload", broken, {"Content-Type": kind}, path="a")
            self.assertEqual(answer.status, 400, text)
            self.assertIn(text, answer.json["error"])
        for kind in ("application/json", "multipart/form-data", "multipart/form-data; boundary=" + "b" * 71):
            answer = self.toolbox.call("POST", "/files/upload", body, {"Content-Type": kind}, path="a")
            self.assertEqual(answer.status, 400)
        for path in (self.work, "sub/", "/dev/null"):
            self.assertEqual(self.toolbox.upload(path, b"x").status, 400)
        self.assertEqual(self.read("a"), b"new")
        self.assertEqual(sorted(os.listdir(self.work)), ["a", "link", "sub"] if
                         os.path.exists(self.file("sub")) else ["a", "link"])

    def test_an_upload_whose_peer_leaves_changes_nothing(self):
        self.write("a", b"old")
        kind, body = form(b"x" * 1_000_000)
        with socket.create_connection(("127.0.0.1", self.toolbox.port)) as sock:
            sock.sendall((f"POST /files/upload?path=a HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
                          f"Content-Length: {len(body)}\r\n\r\n").encode() + body[:500_000])
        common.wait_for(lambda: len(common.children(self.process.pid)) == 0, 30 * common.PATIENCE,
                        "the connection's end")
        self.assertEqual((self.read("a"), os.listdir(self.work)), (b"old", ["a"]))

    def test_fifty_megabytes_pass_through_little_memory(self):
        block, blocks = os.urandom(1 << 20), 50
        boundary = "b" * 40
        head = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n").encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        size = len(head) + blocks * len(block) + len(tail)
        sock = socket.create_connection(("127.0.0.1", self.toolbox.port), timeout=60 * common.PATIENCE)
        self.addCleanup(sock.close)
        sock.sendall((f"POST /files/upload?path=big HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
                      f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n").encode() + head)
        sock.sendall(block)
        pid = common.wait_for(lambda: next(iter(common.children(self.process.pid)), None),
                              30 * common.PATIENCE, "the connection's process")
        before, most = common.rss_kb(pid), 0
        for _ in range(blocks - 1):
            sock.sendall(block)
            most = max(most, common.rss_kb(pid))
        sock.sendall(tail)
        self.assertTrue(sock.recv(1000).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(os.path.getsize(self.file("big")), blocks << 20)
        self.assertLess(most - before, 6000, "kilobytes")
        sock.sendall(b"GET /files/download?path=big HTTP/1.1\r\nHost: x\r\n\r\n")
        got, same = bytearray(), True
        while b"\r\n\r\n" not in got:
            got += sock.recv(4096)
        got = got[got.index(b"\r\n\r\n") + 4:]
        for _ in range(blocks):
            while len(got) < len(block):
                data = sock.recv(1 << 18)
                self.assertTrue(data)
                got += data
            same = same and got[:len(block)] == block
            del got[:len(block)]
            most = max(most, common.rss_kb(pid))
        self.assertTrue(same)
        self.assertLess(most - before, 6000, "kilobytes")

    def test_find(self):
        self.write("a.txt", b"one\ntwo needle\r\nthree\nneedle")
        self.write("sub/b.txt", "grüße needle \xff".encode("latin-1"))
        self.write("bin", b"\0needle\n")
        self.write("long", b"x" * 70_000 + b"needle\n")
        os.symlink("a.txt", self.file("link"))
        os.symlink(".", self.file("loop"))
        os.mkfifo(self.file("fifo"))
        found = self.toolbox.ok("GET", "/files/find", shape=["Match"], path=".", pattern="needle")
        self.assertEqual([(m["file"], m["line"]) for m in found],
                         [("a.txt", 2), ("a.txt", 4), ("sub/b.txt", 1)])
        self.assertEqual(found[0]["content"], "two needle")
        found = self.toolbox.ok("GET", "/files/find", shape=["Match"], path=self.work + "/", pattern="needle")
        self.assertEqual(found[0]["file"], self.file("a.txt"))
        self.assertEqual(self.toolbox.ok("GET", "/files/find", shape=["Match"], path="a.txt", pattern="zzz"), [])
        self.toolbox.fails(400, "GET", "/files/find", text="pattern is required", path=".")

    def test_results_are_bounded_and_say_so(self):
        self.write("many", b"needle\n" * 20_000)
        answer = self.toolbox.call("GET", "/files/find", path=".", pattern="needle")
        self.assertEqual((len(answer.json), answer.headers.get("X-Toolbox-Cut")), (10_000, "true"))
        answer = self.toolbox.call("GET", "/files/find", path=".", pattern="other")
        self.assertEqual((answer.json, answer.headers.get("X-Toolbox-Cut")), ([], None))

    def test_search(self):
        for name in ("a.py", "sub/b.py", "sub/c.txt", "sub/.hidden.py"):
            self.write(name, b"")
        found = self.toolbox.ok("GET", "/files/search", shape="SearchFilesResponse", path=".", pattern="*.py")
        self.assertEqual(found["files"], ["a.py", "sub/.hidden.py", "sub/b.py"])
        found = self.toolbox.ok("GET", "/files/search", shape="SearchFilesResponse", path="sub", pattern="[bc].*")
        self.assertEqual(found["files"], ["sub/b.py", "sub/c.txt"])
        found = self.toolbox.ok("GET", "/files/search", shape="SearchFilesResponse", path=".", pattern="none")
        self.assertEqual(found["files"], [])

    def test_replace(self):
        path = self.write("a", b"x.y x.y\0\xff")
        os.chmod(path, 0o755)
        self.write("b", b"nothing")
        inode = os.stat(self.file("b")).st_ino
        body = {"files": ["a", "b", "none", ".", ""], "pattern": "x.y", "newValue": "ü"}
        results = self.toolbox.ok("POST", "/files/replace", body, ["ReplaceResult"])
        self.assertEqual([r["success"] for r in results], [True, True, False, False, False])
        self.assertEqual(self.read("a"), "ü ü".encode() + b"\0\xff")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o755)
        self.assertEqual(os.stat(self.file("b")).st_ino, inode, "what has no match is not written")
        self.toolbox.ok("POST", "/files/replace", {"files": ["a"], "pattern": "ü", "newValue": ""},
                        ["ReplaceResult"])
        self.assertEqual(self.read("a"), b" \0\xff")
        if os.geteuid() == 0:   # whose it is, it stays, and what a change of the owner takes away
            os.chown(path, 54321, 54322)
            os.chmod(path, 0o6755)
            self.toolbox.ok("POST", "/files/replace", {"files": ["a"], "pattern": " ", "newValue": "x"}, ["ReplaceResult"])
            st = os.stat(path)
            self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777), (54321, 54322, 0o6755))
        for wrong, text in (({}, "files"), ({"files": []}, "files"), ({"files": "a"}, "files"),
                            ({"files": ["a"]}, "pattern"), ({"files": ["a"], "pattern": ""}, "pattern"),
                            ({"files": ["a"], "pattern": "x"}, "newValue")):
            self.toolbox.fails(400, "POST", "/files/replace", wrong, text=text)
        for body in (b"", b"[]", b"{", b"nonsense", b'{"files":["a"]} x'):
            self.toolbox.fails(400, "POST", "/files/replace", body, text="JSON")
        self.toolbox.fails(413, "POST", "/files/replace", b"x" * (1 << 20 | 1), text="larger")


class Execute(ToolCase):
    def run_one(self, command, **more):
        return self.toolbox.ok("POST", "/process/execute", {"command": command, **more}, "ExecuteResponse")

    def test_words_not_a_shell(self):
        self.assertEqual(self.run_one("echo a  'b  c' \"d'e\" 'f\"g' x''y ''"),
                         {"code": 0, "result": "a b  c d'e f\"g xy \n"})
        self.assertEqual(self.run_one("echo $HOME * | ; > x")["result"], "$HOME * | ; > x\n")
        self.assertEqual(self.run_one("sh -c 'echo out; echo err >&2; exit 7'"),
                         {"code": 7, "result": "out\nerr\n"})
        self.assertEqual(self.run_one("pwd")["result"], self.work + "\n")
        self.assertEqual(self.run_one("sh -c 'kill -9 $$'")["code"], 137)
        self.assertEqual(self.run_one("cat")["result"], "", "its input is empty")
        self.assertEqual(self.run_one("printf '\\377'")["result"], "\ufffd")

    def test_what_is_wrong(self):
        for command, text in (("", "required"), ("   ", "empty"), ("echo 'x", "quote"),
                              ("no-such-program-here", "no-such-program-here"), ("a " * 5000, "words")):
            self.toolbox.fails(400, "POST", "/process/execute", {"command": command}, text=text)
        self.toolbox.fails(400, "POST", "/process/execute", {}, text="command is required")
        self.toolbox.fails(400, "POST", "/process/execute", {"command": 7}, text="command is no text")
        self.toolbox.fails(400, "POST", "/process/execute", {"command": "true", "timeout": "x"}, text="timeout")
        self.assertEqual(self.run_one("true", timeout=None)["code"], 0)
        self.assertEqual(self.run_one("true", timeout=0)["code"], 0)

    def test_what_takes_too_long_is_ended_with_all_it_started(self):
        self.toolbox.fails(408, "POST", "/process/execute", text="too long", body={
            "command": "sh -c 'echo $$ > leader; sh -c \"echo \\$\\$ > child; exec sleep 600\" & sleep 600'",
            "timeout": 1})
        for name in ("leader", "child"):
            pid = int(self.read(name))
            common.wait_for(lambda pid=pid: not common.alive(pid), 20 * common.PATIENCE, name)

    def test_output_is_bounded(self):
        result = self.run_one("sh -c 'head -c 6000000 /dev/zero | tr \"\\0\" x'", timeout=60)["result"]
        self.assertEqual(result[:4 << 20], "x" * (4 << 20))
        self.assertIn("left out", result[4 << 20:])
        self.assertLess(len(result), (4 << 20) + 100)


class Git(ToolCase):
    def repo(self):
        bare, sha = make_repo(self.path("home"))
        return bare, sha

    def test_a_days_work(self):
        bare, sha = self.repo()
        self.toolbox.ok("POST", "/git/clone", {"url": bare, "path": "deep/app"})
        self.assertEqual(git(self.file("deep/app"), "rev-parse", "HEAD"), sha)
        state = self.toolbox.ok("GET", "/git/status", shape="GitStatus", path="deep/app")
        self.assertEqual(state, {"currentBranch": "main", "fileStatus": [], "branchPublished": True,
                                 "ahead": 0, "behind": 0})
        self.toolbox.ok("POST", "/git/branches", {"path": "deep/app", "name": "work/one"}, status=201)
        self.toolbox.fails(400, "POST", "/git/branches", {"path": "deep/app", "name": "work/one"}, text="exists")
        branches = self.toolbox.ok("GET", "/git/branches", shape="ListBranchResponse", path="deep/app")
        self.assertEqual(branches["branches"], ["main", "work/one"])
        self.write("deep/app/new*", b"1")
        self.write("deep/app/newer", b"2")
        self.toolbox.ok("POST", "/git/add", {"path": "deep/app", "files": ["new*"]})
        state = self.toolbox.ok("GET", "/git/status", shape="GitStatus", path="deep/app")
        self.assertEqual({f["name"]: f["staging"] for f in state["fileStatus"]},
                         {"new*": "Added", "newer": "Untracked"})
        mark = self.path("hook-ran")
        with open(self.file("deep/app/.git/hooks/pre-commit"), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {mark}\n")
        os.chmod(file.name, 0o755)
        message = "# grüße\n\n'quoted' \"text\"\n"
        made = self.toolbox.ok("POST", "/git/commit", shape="GitCommitResponse", body={
            "path": "deep/app", "message": message, "author": "Ann O'Nym", "email": "a@x.test"})
        self.assertEqual(made["hash"], git(self.file("deep/app"), "rev-parse", "HEAD"))
        self.assertFalse(os.path.exists(mark), "hooks do not run")
        history = self.toolbox.ok("GET", "/git/history", shape=["GitCommitInfo"], path="deep/app")
        self.assertEqual([c["hash"] for c in history], [made["hash"], sha])
        self.assertEqual({k: history[0][k] for k in ("author", "email")},
                         {"author": "Ann O'Nym", "email": "a@x.test"})
        self.assertEqual((history[0]["message"].rstrip("\n"), history[1]["message"]), (message.rstrip("\n"), "first\n"))
        self.assertRegex(history[1]["timestamp"], r"^2025-02-10T09:00:00(Z|\+00:00)$")
        self.toolbox.fails(400, "POST", "/git/commit", text="git", body={
            "path": "deep/app", "message": "empty", "author": "a", "email": "b"})
        self.toolbox.ok("POST", "/git/push", {"path": "deep/app"})
        self.assertEqual(git(bare, "rev-parse", "work/one"), made["hash"])
        self.toolbox.ok("POST", "/git/push", {"path": "deep/app"})
        self.toolbox.ok("POST", "/git/add", {"path": "deep/app", "files": ["."]})
        state = self.toolbox.ok("GET", "/git/status", shape="GitStatus", path="deep/app")
        self.assertEqual([f["staging"] for f in state["fileStatus"]], ["Added"])
        self.assertTrue(state["branchPublished"])

    def test_pull(self):
        bare, _ = self.repo()
        self.toolbox.ok("POST", "/git/clone", {"url": bare, "path": "app"})
        other = self.path("home", "other")
        git(self.path("home"), "clone", "-q", bare, other)
        git(other, "commit", "-q", "--allow-empty", "-m", "second")
        git(other, "push", "-q")
        self.toolbox.ok("POST", "/git/pull", {"path": "app"})
        self.assertEqual(git(self.file("app"), "log", "-1", "--format=%s"), "second")
        self.toolbox.ok("POST", "/git/pull", {"path": "app"})
        git(self.file("app"), "commit", "-q", "--allow-empty", "-m", "mine")
        git(other, "commit", "-q", "--allow-empty", "-m", "third")
        git(other, "push", "-q")
        self.toolbox.fails(400, "POST", "/git/pull", {"path": "app"}, text="git")
        mark = self.path("pwned")
        git(self.file("app"), "symbolic-ref", "HEAD", f"refs/heads/--upload-pack=touch {mark};git-upload-pack".replace(" ", "${IFS}"))
        for call in ("pull", "push"):
            self.toolbox.fails(400, "POST", "/git/" + call, {"path": "app"})
        self.assertFalse(os.path.exists(mark))
        git(self.file("app"), "checkout", "-q", "--detach", "main")
        self.toolbox.fails(400, "POST", "/git/pull", {"path": "app"}, text="no branch")

    def test_clone_of_a_branch_and_a_commit(self):
        bare, sha = make_repo(self.path("home"), branches=("side",))
        self.toolbox.ok("POST", "/git/clone", {"url": bare, "path": "a", "branch": "side"})
        self.assertEqual(git(self.file("a"), "symbolic-ref", "--short", "HEAD"), "side")
        self.toolbox.ok("POST", "/git/clone", {"url": bare, "path": "b", "branch": "side", "commit_id": sha})
        self.assertEqual(git(self.file("b"), "rev-parse", "HEAD"), sha)
        self.toolbox.fails(400, "POST", "/git/clone", {"url": bare, "path": "a"}, text="already")
        self.write("full/x", b"")
        self.toolbox.fails(400, "POST", "/git/clone", {"url": bare, "path": "full"}, text="not empty")
        for wrong, text in (({"url": "ext::sh -c x"}, "ext"), ({"url": bare, "branch": "-x"}, "branch"),
                            ({"url": bare, "branch": "none"}, "none"), ({"url": bare, "commit_id": "xyz"}, "xyz"),
                            ({"url": self.path("nothing")}, "clone"), ({}, "url is required")):
            self.toolbox.fails(400, "POST", "/git/clone", {"path": "c", **wrong}, text=text)
        self.toolbox.fails(400, "POST", "/git/clone", {"url": bare}, text="path is required")
        self.assertEqual(sorted(os.listdir(self.work)), ["a", "b", "full"])

    def test_credentials_are_the_requests_own(self):
        bare, _ = self.repo()
        git(bare, "config", "http.receivepack", "true")
        server = GitServer(self.path("home"), "ann", "s3cret-word")
        self.addCleanup(server.stop)
        url = server.url + "/app.git"
        for extra in ({}, {"username": "ann", "password": "wrong-word"}):
            text = self.toolbox.fails(400, "POST", "/git/clone", {"url": url, "path": "app", **extra})
            self.assertNotIn("wrong-word", text)
        good = {"username": "ann", "password": "s3cret-word"}
        self.toolbox.ok("POST", "/git/clone", {"url": url, "path": "app", **good})
        self.assertNotIn(b"s3cret-word", self.read("app/.git/config"))
        self.toolbox.fails(400, "POST", "/git/pull", {"path": "app"}, text="git")
        self.toolbox.ok("POST", "/git/pull", {"path": "app", **good})
        git(self.file("app"), "commit", "-q", "--allow-empty", "-m", "second")
        text = self.toolbox.fails(400, "POST", "/git/push", {"path": "app", "username": "ann",
                                                             "password": "wrong-word"}, text="git")
        self.assertNotIn("wrong-word", text)
        self.toolbox.ok("POST", "/git/push", {"path": "app", **good})
        self.assertEqual(git(bare, "log", "-1", "--format=%s", "main"), "second")
        self.assertNotIn(b"s3cret-word", self.read("app/.git/config"))

    def test_what_is_wrong(self):
        git(self.work, "init", "-q")
        os.makedirs(self.file("plain"))
        for path, text in (("plain", "git"), ("none", "none")):
            for call in ("status", "branches", "history"):
                self.toolbox.fails(400, "GET", "/git/" + call, text=text, path=path)
            self.toolbox.fails(400, "POST", "/git/add", {"path": path, "files": ["."]}, text=text)
            self.toolbox.fails(400, "POST", "/git/branches", {"path": path, "name": "x"}, text=text)
            for call in ("push", "pull"):
                self.toolbox.fails(400, "POST", "/git/" + call, {"path": path}, text=text)
        for call in ("status", "branches", "history"):
            self.toolbox.fails(400, "GET", "/git/" + call, text="path is required")
        for call, members in (("add", ("path", "files")), ("branches", ("path", "name")), ("push", ("path",)),
                              ("pull", ("path",)), ("commit", ("path", "message", "author", "email"))):
            whole = {name: ["x"] if name == "files" else "." for name in members}
            for name in members:
                part = {key: value for key, value in whole.items() if key != name}
                self.toolbox.fails(400, "POST", "/git/" + call, part, text=name + " is required")
        for name in ("-f", "a..b", "a b", "HEAD~", "x.lock"):
            self.toolbox.fails(400, "POST", "/git/branches", {"path": ".", "name": name}, text="branch")
        self.toolbox.fails(400, "POST", "/git/add", {"path": ".", "files": ["none"]}, text="none")
        self.toolbox.fails(400, "POST", "/git/add", {"path": ".", "files": ["a", ""]}, text="no path")
        self.toolbox.fails(400, "GET", "/git/history", text="git", path=".")


class Sessions(ToolCase):
    def test_a_session_remembers(self):
        name = self.toolbox.session("one")
        self.toolbox.fails(409, "POST", "/process/session", {"sessionId": name}, text="exists")
        os.mkdir(self.file("sub"))
        first = self.toolbox.exec(name, "cd sub; export A='x y'; B=$(echo 3); f() { echo \"f$1\"; }")
        self.assertEqual((first["exitCode"], first["output"]), (0, ""))
        self.assertEqual(self.toolbox.exec(name, "pwd; echo \"$A\" $B; f 1; (exit 3)")["output"],
                         self.file("sub") + "\nx y 3\nf1\n")
        last = self.toolbox.exec(name, "echo out; echo err >&2; false\n# a comment\n")
        self.assertEqual((last["exitCode"], last["output"]), (1, "out\nerr\n"))
        self.assertEqual(self.toolbox.exec(name, "cat; read x; echo ended")["output"], "ended\n")
        listed = self.toolbox.ok("GET", "/process/session", shape=["Session"])
        self.assertEqual([s["sessionId"] for s in listed], [name])
        self.assertEqual(len(listed[0]["commands"]), 4)
        one = self.toolbox.ok("GET", "/process/session/one", shape="Session")
        self.assertEqual(one, listed[0])
        self.assertEqual(one["commands"][2]["id"], last["cmdId"])
        command = self.toolbox.ok("GET", f"/process/session/one/command/{last['cmdId']}", shape="Command")
        self.assertEqual(command["exitCode"], 1)
        self.assertEqual(self.toolbox.logs(name, last["cmdId"]), "out\nerr\n")
        self.toolbox.ok("DELETE", "/process/session/one", status=204)
        self.toolbox.fails(404, "DELETE", "/process/session/one", text="not found")
        self.assertEqual(self.toolbox.ok("GET", "/process/session", shape=["Session"]), [])

    def test_what_is_missing_or_wrong(self):
        for body, text in (({}, "required"), ({"sessionId": ""}, "required"), ({"sessionId": 7}, "required"),
                           ({"sessionId": "a/b"}, "slash"), ({"sessionId": "x" * 129}, "128")):
            self.toolbox.fails(400, "POST", "/process/session", body, text=text)
        self.toolbox.fails(400, "POST", "/process/session", b"[]", text="JSON")
        self.toolbox.session("s")
        self.toolbox.fails(400, "POST", "/process/session/s/exec", {}, text="command is required")
        self.toolbox.fails(404, "POST", "/process/session/t/exec", {"command": "true"}, text="session")
        self.toolbox.fails(404, "GET", "/process/session/s/command/none", text="command")
        self.toolbox.fails(404, "GET", "/process/session/s/command/none/logs", text="command")
        self.toolbox.fails(404, "GET", "/process/session/t/command/none/logs", text="session")
        odd = "grüße und \"mehr\" 100%"
        self.toolbox.session(odd)
        from urllib.parse import quote
        self.assertEqual(self.toolbox.exec(quote(odd), "echo hi")["output"], "hi\n")

    def test_text_that_is_no_command_harms_nobody(self):
        name = self.toolbox.session("s")
        for text in ("echo 'open", "}", "if", "(", "$(", "`", "cat <<END", ")))", "\\", "{"):
            answer = self.toolbox.exec(name, text)
            if text not in ("cat <<END", "\\"):
                self.assertNotEqual(answer["exitCode"], 0, text)
        self.assertEqual(self.toolbox.exec(name, "echo still here")["output"], "still here\n")

    def test_the_end_of_a_shell_is_told(self):
        name = self.toolbox.session("s")
        self.assertEqual(self.toolbox.exec(name, "echo bye; exit 4"),
                         {"cmdId": self.toolbox.ok("GET", "/process/session/s", shape="Session")
                          ["commands"][0]["id"], "exitCode": 4, "output": "bye\n"})
        self.toolbox.fails(400, "POST", "/process/session/s/exec", {"command": "true"}, text="exit status 4")
        self.toolbox.ok("DELETE", "/process/session/s", status=204)
        self.toolbox.session("s")
        self.assertEqual(self.toolbox.exec(name, "kill -9 $$")["exitCode"], 137)

    def test_commands_wait_for_one_another(self):
        name = self.toolbox.session("s")
        os.mkfifo(self.file("gate"))
        ids = [self.toolbox.start(name, "cat gate; echo first"), self.toolbox.start(name, "echo second; exit 3"),
               self.toolbox.start(name, "echo never")]
        states = self.toolbox.ok("GET", "/process/session/s", shape="Session")["commands"]
        self.assertEqual([c["id"] for c in states], ids)
        self.assertTrue(all("exitCode" not in c for c in states))
        with open(self.file("gate"), "w", encoding="utf-8") as file:
            file.write("open\n")

        def ended():
            commands = self.toolbox.ok("GET", "/process/session/s", shape="Session")["commands"]
            return all("exitCode" in c for c in commands) and [c["exitCode"] for c in commands]
        self.assertEqual(common.wait_for(ended, 20 * common.PATIENCE, "the ends"), [0, 3, -1])
        self.assertEqual([self.toolbox.logs(name, i) for i in ids], ["open\nfirst\n", "second\n", ""])

    def test_what_runs_in_the_background_has_its_own_log(self):
        name = self.toolbox.session("s")
        os.mkfifo(self.file("gate"))
        first = self.toolbox.exec(name, "(cat gate; echo late) &")
        self.assertEqual(self.toolbox.exec(name, "echo other")["output"], "other\n")
        with open(self.file("gate"), "w", encoding="utf-8") as file:
            file.write("open\n")
        common.wait_for(lambda: self.toolbox.logs(name, first["cmdId"]) == "open\nlate\n", 20 * common.PATIENCE,
                        "the log")

    def test_a_log_is_followed(self):
        name = self.toolbox.session("s")
        os.mkfifo(self.file("gate"))
        command = self.toolbox.start(name, "printf 'gr\\303'; cat gate; printf '\\237e \\377'; echo; echo end")
        sock = socket.create_connection(("127.0.0.1", self.toolbox.port), timeout=60 * common.PATIENCE)
        self.addCleanup(sock.close)
        follow = Follow(sock, f"/process/session/s/command/{command}/logs")
        self.assertEqual(follow.text(), "gr")
        with open(self.file("gate"), "wb") as file:
            file.write(b"")
        rest, code = follow.rest()
        self.assertEqual((rest, code), ("\u00dfe \ufffd\nend\n", 1000))

    def test_deleting_ends_all_that_runs(self):
        name = self.toolbox.session("s")
        self.toolbox.exec(name, "setsid sh -c 'echo $$ > left; exec sleep 600' & sh -c 'echo $$ > bg; exec sleep 600' & "
                          "while [ ! -s left ] || [ ! -s bg ]; do sleep 0.01; done")
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(self.toolbox.call(
            "POST", "/process/session/s/exec", {"command": "echo $$ > shell; sleep 600"})))
        thread.start()
        common.wait_for(lambda: os.path.exists(self.file("shell")) and self.read("shell"), 20 * common.PATIENCE,
                        "the command")
        pids = [int(self.read(n)) for n in ("left", "bg", "shell")]
        self.assertTrue(all(common.alive(p) for p in pids))
        self.toolbox.ok("DELETE", "/process/session/s", status=204)
        thread.join()
        self.assertEqual(waiting[0].status, 400)
        common.wait_for(lambda: not any(common.alive(p) for p in pids), 20 * common.PATIENCE, "their ends")
        self.assertEqual([n for n in os.listdir(self.run_dir) if n.isdigit()], [])

    def test_logs_and_answers_are_bounded(self):
        name = self.toolbox.session("s")
        answer = self.toolbox.exec(name, "head -c 10000000 /dev/zero | tr '\\0' x")
        self.assertEqual(answer["exitCode"], 0)
        self.assertEqual(answer["output"][:1 << 20], "x" * (1 << 20))
        self.assertLess(len(answer["output"]), (1 << 20) + 200)
        log = self.toolbox.logs(name, answer["cmdId"])
        self.assertLess(len(log), (8 << 20) + 200)
        self.assertIn("left out", log[-100:])

    def test_many_at_once(self):
        names = [self.toolbox.session(f"s{i}") for i in range(32)]
        self.toolbox.fails(400, "POST", "/process/session", {"sessionId": "more"}, text="32 sessions")
        outputs = {}

        def work(name):
            outputs[name] = [self.toolbox.exec(name, f"X=${{X}}{i}; echo {name} $X")["output"] for i in range(5)]
        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name in names:
            self.assertEqual(outputs[name][-1], f"{name} 01234\n")
        self.assertLess(common.open_fds(self.keeper()), 300)

    def test_old_commands_are_forgotten(self):
        name = self.toolbox.session("s")
        first = self.toolbox.exec(name, "echo 1")["cmdId"]
        ids = [self.toolbox.exec(name, "echo x")["cmdId"] for _ in range(200)]
        listed = [c["id"] for c in self.toolbox.ok("GET", "/process/session/s", shape="Session")["commands"]]
        self.assertEqual(listed, ids)
        self.toolbox.fails(404, "GET", f"/process/session/s/command/{first}/logs", text="command")
        self.assertEqual(len([n for n in os.listdir(os.path.join(self.run_dir, "1")) if n.endswith(".log")]), 200)

    def test_nobody_else_may_come_in(self):
        self.toolbox.session("s")
        self.assertEqual(stat.S_IMODE(os.stat(self.run_dir).st_mode), 0o700)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(self.run_dir, "socket")).st_mode), 0o600)

    def test_a_folder_of_somebody_else_is_refused(self):
        os.mkdir(self.run_dir, 0o777)
        os.chmod(self.run_dir, 0o777)
        self.toolbox.fails(500, "POST", "/process/session", {"sessionId": "s"}, text="not ours alone")

    def test_kill_9_of_the_sessions_leaves_nothing_and_the_next_begin_anew(self):
        self.toolbox.session("s")
        self.toolbox.exec("s", "setsid sh -c 'echo $$ > left; exec sleep 600' & "
                          "while [ ! -s left ]; do sleep 0.01; done; echo $$ > shell")
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(self.toolbox.call(
            "POST", "/process/session/s/exec", {"command": "touch runs; sleep 600"})))
        thread.start()
        common.wait_for(lambda: os.path.exists(self.file("runs")), 20 * common.PATIENCE, "the command")
        pids = [int(self.read("left")), int(self.read("shell"))]
        os.kill(self.keeper(), 9)
        thread.join()
        self.assertEqual((waiting[0].status, "ended" in waiting[0].text), (500, True))
        self.assertEqual(self.toolbox.ok("GET", "/process/session", shape=["Session"]), [])
        common.wait_for(lambda: not any(common.alive(p) for p in pids), 20 * common.PATIENCE, "their ends")
        self.toolbox.session("s")
        self.assertEqual(self.toolbox.exec("s", "echo again")["output"], "again\n")

    def test_they_end_with_their_owner(self):
        self.toolbox.session("s")
        self.toolbox.exec("s", "setsid sh -c 'echo $$ > left; exec sleep 600' & while [ ! -s left ]; do sleep 0.01; done")
        keeper = self.keeper()
        self.process.kill()
        self.process.wait()
        common.wait_for(lambda: not common.alive(keeper) and not os.path.exists(self.run_dir) and
                        not common.alive(int(self.read("left"))), 20 * common.PATIENCE, "their end")


class Hostile(ToolCase):
    def raw(self, data):
        with socket.create_connection(("127.0.0.1", self.toolbox.port), timeout=60 * common.PATIENCE) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            got = b""
            while True:
                data = sock.recv(65536)
                if not data:
                    return got
                got += data

    def test_bytes_that_are_no_request(self):
        for data, status in ((b"x\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\nA: " + b"x" * 70_000, b"431"),
                             (b"GET relative HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
                             (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
                             (b"GET /files%00 HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
                             (b"POST /process/execute HTTP/1.1\r\nContent-Length: 9\r\n\r\n{}", b"400"),
                             (b"POST /process/execute HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
                             (b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400")):
            self.assertIn(b" " + status + b" ", self.raw(data).split(b"\r\n")[0], data[:60])
        self.assertEqual(self.raw(b""), b"")
        self.toolbox.ok("GET", "/workspace-dir", shape="WorkspaceDirResponse")

    def test_a_body_in_chunks_and_one_that_waits(self):
        body = json.dumps({"command": "echo hi"}).encode()
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[i:i + 1]) for i in range(len(body))) + b"0\r\n\r\n"
        answer = self.raw(b"POST /process/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                          b"Expect: 100-continue\r\n\r\n" + chunks +
                          b"GET /workspace-dir HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b'"result":"hi\\n"', answer)
        self.assertEqual(answer.count(b"HTTP/1.1 200 OK"), 2, answer)

    def test_what_is_not_read_of_a_body_is_no_request(self):
        inner = b"DELETE /files?path=a HTTP/1.1\r\nHost: x\r\n\r\n"
        self.write("a", b"")
        answer = self.raw(b"POST /files/move HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1)
        self.assertTrue(os.path.exists(self.file("a")))


class Follow:
    """A WebSocket on a log: text messages, and the close code."""

    def __init__(self, sock, path):
        self.sock, self.buffer = sock, b""
        sock.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += sock.recv(65536)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert b" 101 " in head, head

    def take(self, n):
        while len(self.buffer) < n:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def frame(self):
        first, n = self.take(2)
        if n == 126:
            n = int.from_bytes(self.take(2), "big")
        elif n == 127:
            n = int.from_bytes(self.take(8), "big")
        return first & 15, self.take(n)

    def text(self):
        opcode, payload = self.frame()
        assert opcode == 1, (opcode, payload)
        return payload.decode()

    def rest(self):
        text = ""
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                return text, int.from_bytes(payload[:2], "big")
            text += payload.decode()


if __name__ == "__main__":
    common.main()
