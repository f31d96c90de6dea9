# SPDX-License-Identifier: Apache-2.0
"""A client of the toolbox, and the shapes that its answers have by the reference's API file."""
import http.client
import json
import os
import subprocess
import uuid
from urllib.parse import urlencode

import common

TOOL = os.path.join(os.environ.get("DR_TOOLS_DIR", ""), "toolbox_serve")

# Name: (required members, optional ones). A list's item stands in brackets.
STATUS = {"Unmodified", "Untracked", "Modified", "Added", "Deleted", "Renamed", "Copied",
          "Updated but unmerged"}
SHAPES = {
    "WorkspaceDirResponse": ({}, {"dir": str}),
    "FileInfo": ({"group": str, "isDir": bool, "modTime": str, "mode": str, "name": str, "owner": str,
                  "permissions": str, "size": int}, {}),
    "Match": ({"content": str, "file": str, "line": int}, {}),
    "SearchFilesResponse": ({"files": [str]}, {}),
    "ReplaceResult": ({}, {"error": str, "file": str, "success": bool}),
    "ExecuteResponse": ({"code": int, "result": str}, {}),
    "Session": ({"commands": ["Command"], "sessionId": str}, {}),
    "Command": ({"command": str, "id": str}, {"exitCode": int}),
    "SessionExecuteResponse": ({}, {"cmdId": str, "exitCode": int, "output": str}),
    "GitStatus": ({"currentBranch": str, "fileStatus": ["FileStatus"]},
                  {"ahead": int, "behind": int, "branchPublished": bool}),
    "FileStatus": ({"extra": str, "name": str, "staging": STATUS, "worktree": STATUS}, {}),
    "ListBranchResponse": ({"branches": [str]}, {}),
    "GitCommitResponse": ({"hash": str}, {}),
    "GitCommitInfo": ({"author": str, "email": str, "hash": str, "message": str, "timestamp": str}, {}),
    "Error": ({"error": str}, {}),
}


def shape_fault(value, shape, where="answer"):
    """Why the value is not of that shape; None: it is."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where} is no array: {value!r}"
        faults = (shape_fault(item, shape[0], f"{where}[{i}]") for i, item in enumerate(value))
        return next(filter(None, faults), None)
    if isinstance(shape, set):
        return None if value in shape else f"{where} is {value!r}"
    if isinstance(shape, type):
        return None if type(value) is shape else f"{where} is no {shape.__name__}: {value!r}"
    required, optional = SHAPES[shape]
    if not isinstance(value, dict):
        return f"{where} is no object: {value!r}"
    for name in required:
        if name not in value:
            return f"{where} lacks {name}"
    for name, item in value.items():
        expected = required.get(name, optional.get(name))
        if expected is None:
            return f"{where} has {name}, which no {shape} has"
        fault = shape_fault(item, expected, f"{where}.{name}")
        if fault:
            return fault
    return None


class Answer:
    def __init__(self, reply):
        self.status, self.headers = reply.status, dict(reply.getheaders())
        self.body = reply.read()

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


def form(data, name="file", filename="x"):
    """(content type, body) of a form with one part."""
    boundary = uuid.uuid4().hex
    head = (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n").encode()
    return f"multipart/form-data; boundary={boundary}", head + data + f"\r\n--{boundary}--\r\n".encode()


class Toolbox:
    """Calls on one toolbox, wherever it is: prefix is of the Server's route, key the client's."""

    def __init__(self, case, port, prefix="", key=None):
        self.case, self.port, self.prefix, self.key = case, port, prefix, key

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60 * common.PATIENCE)

    def send(self, connection, method, route, body=None, headers=None, **query):
        headers = dict(headers or {})
        if self.key:
            headers["Authorization"] = "Bearer " + self.key
        if query:
            route += "?" + urlencode(query, errors="surrogateescape")
        connection.request(method, self.prefix + route, body, headers)
        return Answer(connection.getresponse())

    def call(self, method, route, body=None, headers=None, **query):
        connection = self.connect()
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            return self.send(connection, method, route, body, headers, **query)
        finally:
            connection.close()

    def ok(self, method, route, body=None, shape=None, status=200, **query):
        """The answer's JSON, of that shape; without one there is no body."""
        answer = self.call(method, route, body, **query)
        self.case.assertEqual(answer.status, status, (method, route, answer.body[:2000]))
        if not shape:
            self.case.assertEqual(answer.body, b"", (method, route))
            return None
        self.case.assertEqual(answer.headers["Content-Type"], "application/json; charset=utf-8")
        self.case.assertIsNone(shape_fault(answer.json, shape), (method, route))
        return answer.json

    def fails(self, status, method, route, body=None, text="", **query):
        """The text of the error."""
        answer = self.call(method, route, body, **query)
        self.case.assertEqual(answer.status, status, (method, route, answer.body[:2000]))
        self.case.assertIsNone(shape_fault(answer.json, "Error"), (method, route))
        self.case.assertIn(text, answer.json["error"])
        return answer.json["error"]

    def upload(self, path, data, **more):
        kind, body = form(data, **more)
        return self.call("POST", "/files/upload", body, {"Content-Type": kind}, path=path)

    def download(self, path):
        answer = self.call("GET", "/files/download", path=path)
        self.case.assertEqual(answer.status, 200, answer.body[:2000])
        return answer.body

    def session(self, name):
        self.ok("POST", "/process/session", {"sessionId": name}, status=201)
        return name

    def exec(self, session, command, **more):
        return self.ok("POST", f"/process/session/{session}/exec", {"command": command, **more},
                       "SessionExecuteResponse")

    def start(self, session, command):
        return self.ok("POST", f"/process/session/{session}/exec", {"command": command, "async": True},
                       "SessionExecuteResponse", status=202)["cmdId"]

    def logs(self, session, command):
        answer = self.call("GET", f"/process/session/{session}/command/{command}/logs")
        self.case.assertEqual(answer.status, 200, answer.body)
        return answer.text


class ToolCase(common.Case):
    """The toolbox by itself, served by tests/tools/toolbox_serve."""

    def setUp(self):
        super().setUp()
        if not os.access(TOOL, os.X_OK):
            self.skipTest("DR_TOOLS_DIR has no toolbox_serve")
        self.work, self.run_dir = self.path("work"), self.path("daytona-agent-x")
        os.makedirs(self.work)
        os.makedirs(self.path("home"))
        self.errors = open(self.path("tool.log"), "w+b")
        self.addCleanup(self.errors.close)
        env = common.clean_env(self.path("home"), DAYTONA_TEST=self.tmp, SHELL="/bin/sh")
        self.process = subprocess.Popen([TOOL, self.work, self.run_dir, common.BIN], env=env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=self.errors, cwd=self.tmp)
        self.addCleanup(self.end)
        self.toolbox = Toolbox(self, int(self.process.stdout.readline()))

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def tearDown(self):
        with open(self.path("tool.log"), encoding="utf-8", errors="replace") as file:
            match = common.SANITIZER.search(file.read())
        self.assertIsNone(match, match and match.group(0))
        super().tearDown()

    def file(self, *names):
        return os.path.join(self.work, *names)

    def write(self, name, data):
        path = self.file(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def read(self, name):
        with open(self.file(name), "rb") as file:
            return file.read()

    def keeper(self):
        """The process that has the sessions: it holds the lock."""
        lock = os.path.join(self.run_dir, "lock")

        def find():
            for pid in common.all_pids():
                try:
                    for fd in os.listdir(f"/proc/{pid}/fd"):
                        if os.readlink(f"/proc/{pid}/fd/{fd}") == lock:
                            return pid
                except OSError:
                    pass
            return None
        return common.wait_for(find, 20 * common.PATIENCE, "the process of the sessions")


def days_work(case, toolbox, greeting="hello"):
    """What a program that writes code does in a checkout: looks around, writes, runs, corrects, commits. The commit's hash."""
    where = toolbox.ok("GET", "/workspace-dir", shape="WorkspaceDirResponse")["dir"]
    names = [f["name"] for f in toolbox.ok("GET", "/files", shape=["FileInfo"], path=where)]
    case.assertIn("README.md", names)
    case.assertEqual(toolbox.download(where + "/README.md"), b"hello\n")
    toolbox.ok("POST", "/git/branches", {"path": where, "name": "feature"}, status=201)
    case.assertEqual(toolbox.upload("bin/greet.sh", f"echo {greeting} wrld\n".encode()).status, 200)
    toolbox.ok("POST", "/files/permissions", path="bin/greet.sh", mode="755")
    ran = toolbox.ok("POST", "/process/execute", {"command": "sh bin/greet.sh"}, "ExecuteResponse")
    case.assertEqual(ran, {"code": 0, "result": f"{greeting} wrld\n"})
    found = toolbox.ok("GET", "/files/find", shape=["Match"], path=".", pattern="wrld")
    case.assertEqual([(m["file"], m["line"]) for m in found], [("bin/greet.sh", 1)])
    done = toolbox.ok("POST", "/files/replace", {"files": [m["file"] for m in found], "pattern": "wrld",
                                                 "newValue": "world"}, ["ReplaceResult"])
    case.assertTrue(done[0]["success"])
    toolbox.session("work")
    toolbox.exec("work", "cd bin")
    case.assertEqual(toolbox.exec("work", ". ./greet.sh")["output"], f"{greeting} world\n")
    toolbox.ok("DELETE", "/process/session/work", status=204)
    toolbox.ok("POST", "/git/add", {"path": where, "files": ["bin/greet.sh"]})
    made = toolbox.ok("POST", "/git/commit", shape="GitCommitResponse", body={
        "path": where, "message": "add a greeting", "author": "Ann", "email": "ann@x.test"})
    state = toolbox.ok("GET", "/git/status", shape="GitStatus", path=where)
    case.assertEqual((state["currentBranch"], state["fileStatus"]), ("feature", []))
    history = toolbox.ok("GET", "/git/history", shape=["GitCommitInfo"], path=where)
    case.assertEqual([(c["author"], c["message"]) for c in history], [("Ann", "add a greeting"), ("Test", "first\n")])
    case.assertEqual(history[0]["hash"], made["hash"])
    return made["hash"]
