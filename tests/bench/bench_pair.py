#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two runners on one Server, row by row: target create, 50 of them at once, claim; workspace create, stop, start, delete.
Medians in seconds by the Server's clock, round by round in turn, and how many times as long the second one takes.
Numbers only: it fails when a job does, never because it is slow.

    tests/bench/bench_pair.py --server URL --key KEY CONFIG CONFIG [options]
    tests/bench/bench_pair.py [PROGRAM][,PROVIDER[,OPTIONS]] [PROGRAM][,PROVIDER[,OPTIONS]] [options]

CONFIG: name or id of a target config, which belongs to a runner that is up. Without --server the Server is the embedded one of
DAYTONA_RUNNER_BIN (default build/release/daytona-runner), and each side a runner of PROGRAM (default the same) with
PROVIDER (default docker-provider) and OPTIONS of its target, as JSON.
"""
import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import time
import types
import urllib.parse
from datetime import datetime
from http import client

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(1, os.path.join(HERE, ".."))
os.environ.setdefault("DAYTONA_RUNNER_BIN", os.path.join(HERE, "..", "..", "build", "release", "daytona-runner"))
import common  # noqa: E402
from gitserver import make_repo  # noqa: E402
from lib import serverproc  # noqa: E402

ROWS = ("target create", "claim", "workspace create", "workspace stop", "workspace start", "workspace delete")
IMAGE = "dr-bench/pair:1"
OURS = {"docker-provider": '{"Agent":"builtin","Network":"host"}'}


class Server:
    def __init__(self, url, key):
        parts = urllib.parse.urlsplit(url)
        kind = client.HTTPSConnection if parts.scheme == "https" else client.HTTPConnection
        self.conn, self.base, self.key = kind(parts.netloc, timeout=120), parts.path.rstrip("/"), key

    def call(self, method, path, body=None):
        self.conn.request(method, self.base + path, None if body is None else json.dumps(body),
                          {"Authorization": "Bearer " + self.key, "Content-Type": "application/json"})
        reply = self.conn.getresponse()
        text = reply.read()
        if reply.status >= 300:
            sys.exit(f"{method} {path}: {reply.status} {text.decode(errors='replace')[:300]}")
        return json.loads(text) if text[:1] in (b"{", b"[") else None

    def last_job(self, resource):
        jobs = self.call("GET", f"/job?resourceId={resource}") or []
        return max(jobs, key=lambda job: stamp(job["createdAt"]), default=None)

    def seconds(self, resource, before=None, claims=None):
        """Of the resource's newest job, which is not the one before."""
        while True:
            job = self.last_job(resource)
            if job and job["id"] != before:
                took = stamp(job["updatedAt"]) - stamp(job["createdAt"])
                if job["state"] == "running" and claims is not None:
                    claims.setdefault(job["id"], took)
                elif job["state"] == "error":
                    sys.exit(f"{job['action']} of {job['resourceType']} {resource}: {job['error']}")
                elif job["state"] == "success":
                    return took, job["id"]
            time.sleep(0.001)


def stamp(text):
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + float("0." + (rest or "0"))


class Side:
    def __init__(self, server, config, options):
        found = [c for c in server.call("GET", "/target-config") or [] if config in (c["id"], c["name"])]
        if not found:
            sys.exit(f"the Server has no target config {config}")
        self.server, self.config, self.options = server, found[0]["id"], options
        self.seen = {name: [] for name in ROWS}

    def new_target(self):
        target = secrets.token_hex(6)
        self.server.call("POST", "/target", {"id": target, "name": "bench-" + target, "targetConfigId": self.config})
        return target

    def drop_target(self, target):
        before = self.server.last_job(target)["id"]
        self.server.call("DELETE", f"/target/{target}")
        self.server.seconds(target, before)

    def round(self):
        claims = {}
        target = self.new_target()
        self.seen["target create"].append(self.server.seconds(target, None, claims)[0])
        if not self.options.only_targets:
            self.life(target, claims)
        self.drop_target(target)
        self.seen["claim"] += claims.values()

    def life(self, target, claims):
        workspace, before = secrets.token_hex(6), None
        body = {"id": workspace, "name": "bench-" + workspace, "targetId": target, "envVars": {}, "labels": {},
                "source": {"repository": dict(serverproc.REPOSITORY, url=self.options.repo, sha=self.options.sha)}}
        if self.options.image:
            body.update(image=self.options.image, user=self.options.user)
        for action, call in (("create", ("POST", "/workspace", body)), ("stop", ("POST", f"/workspace/{workspace}/stop")),
                             ("start", ("POST", f"/workspace/{workspace}/start")),
                             ("delete", ("DELETE", f"/workspace/{workspace}"))):
            self.server.call(*call)
            took, before = self.server.seconds(workspace, before, claims)
            self.seen["workspace " + action].append(took)

    def at_once(self, n):
        began = time.monotonic()
        targets = [self.new_target() for _ in range(n)]
        for target in targets:
            self.server.seconds(target)
        took = time.monotonic() - began
        for target in targets:
            self.drop_target(target)
        return took


class Bench(common.Case):
    """Borrows the tests' directory, runner and clean-up."""

    def runTest(self):
        pass

    def runner_of(self, server, text, number):
        """A runner as a side's text says it; the name of its target config."""
        program, provider, options = (text.split(",", 2) + ["", ""])[:3]
        provider = provider or "docker-provider"
        made = server.ok("POST", "/runner", {"id": secrets.token_hex(6), "name": f"side-{number}"}).json
        peer = types.SimpleNamespace(runner_id=made["id"], runner_name=made["name"], url=server.url, key=made["apiKey"],
                                     heartbeats=[])
        runner = self.runner(peer, name=f"side-{number}", runner__max_jobs=0, server__heartbeat_s=5,
                             **{'provider "docker-provider"__enabled': str(provider == "docker-provider").lower()})
        with open(runner.log_file, "ab") as log:
            runner.process = subprocess.Popen([program or common.BIN, "serve"], env=runner.env(), cwd=runner.dir,
                                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def info():
            found = server.ok("GET", f"/runner/{made['id']}").json["metadata"]
            return next((p for p in (found or {}).get("providers") or [] if p["name"] == provider), None)
        self.ok_config(server, f"side-{number}", options or OURS.get(provider, "{}"), common.wait_for(info, 30, runner.log))
        runner.wait_log(f"{provider}: requirements met")
        return f"side-{number}"

    @staticmethod
    def ok_config(server, name, options, provider):
        server.ok("POST", "/target-config", {"name": name, "options": options, "providerInfo": provider})

    def local(self, options):
        root = self.path("git")
        os.mkdir(root)
        options.sha = make_repo(root)[1]
        options.repo = f"file://{root}/app.git"
        if any("docker-provider" in (text.split(",") + [""])[1] or "," not in text for text in options.sides):
            image = self.path("image")
            os.mkdir(image)
            shutil.copy(common.BIN, os.path.join(image, "daytona-runner"))
            tar = subprocess.run(["tar", "-C", image, "-c", "."], stdout=subprocess.PIPE, check=True)
            subprocess.run(["docker", "import", "-", IMAGE], input=tar.stdout, check=True, stdout=subprocess.DEVNULL)
            self.addCleanup(subprocess.run, ["docker", "rmi", "-f", IMAGE], stdout=subprocess.DEVNULL, check=False)
            options.image = IMAGE
        server = serverproc.Server(self, self.path("data"))
        options.sides = [self.runner_of(server, text, i + 1) for i, text in enumerate(options.sides)]
        return Server(server.url, server.key)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sides", nargs=2, metavar="SIDE")
    parser.add_argument("--server")
    parser.add_argument("--key", help="of a client")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--only-targets", action="store_true")
    parser.add_argument("--image", default="", help="of the workspaces; default: the Server's")
    parser.add_argument("--user", default="root", help="in the image")
    parser.add_argument("--repo", default=serverproc.REPOSITORY["url"], help="URL that the workspaces clone")
    parser.add_argument("--sha", default="")
    options = parser.parse_args()
    bench = Bench()
    bench.setUp()
    try:
        names = list(options.sides)
        server = Server(options.server, options.key) if options.server else bench.local(options)
        sides = [Side(server, config, options) for config in options.sides]
        for i in range(options.rounds + 1):
            for side in sides if i % 2 else reversed(sides):
                side.round()
            if i == 0:      # the first one warms caches
                for side in sides:
                    side.seen = {name: [] for name in ROWS}
        rows = [(name, *(statistics.median(s.seen[name]) if s.seen[name] else None for s in sides)) for name in ROWS]
        rows.append((f"{options.at_once} targets at once", *(s.at_once(options.at_once) for s in sides)))
        print(f"{'seconds':<24} {names[0][-24:]:>24} {names[1][-24:]:>24}   second to first")
        for name, first, second in rows:
            if first and second:
                print(f"{name:<24} {first:>24.4f} {second:>24.4f} {second / first:>12.2f}")
    finally:
        bench.doCleanups()


if __name__ == "__main__":
    main()
