# SPDX-License-Identifier: Apache-2.0
"""serve against a well-behaved Server: start, heartbeat, claim, the jobs of targets, workspaces,
builds and providers, logs, health."""
import json
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import PATIENCE, alive, free_port, main, server_tls, wait_for  # noqa: E402
from servecase import ServeCase  # noqa: E402


class BasicTest(ServeCase):
    def test_start_heartbeat_and_registration(self):
        runner = self.runner(self.srv).start()
        poll = self.srv.wait_requests("GET", f"/runner/{self.srv.runner_id}/jobs")[0]
        self.assertEqual(poll.target, f"/runner/{self.srv.runner_id}/jobs")
        beats = self.srv.wait_heartbeat(3)
        uptimes = [body["uptime"] for _, body in beats]
        self.assertGreaterEqual(uptimes[0], 1)
        self.assertEqual(uptimes, sorted(uptimes))
        for _, body in beats:
            self.assertEqual(body["runningJobs"], 0)
            self.assertEqual([p["name"] for p in body["providers"]], ["native-provider"])
            self.assertEqual(body["providers"][0]["runnerId"], self.srv.runner_id)
            self.assertEqual(body["providers"][0]["runnerName"], self.srv.runner_name)
        self.srv.wait(lambda: self.srv.target_configs, 10, "preset registered")
        config = self.srv.target_configs[0]
        self.assertTrue(config["name"].endswith(f"-runner-{self.srv.runner_id}"))
        self.assertIsInstance(json.loads(config["options"]), dict)
        for key in ("runnerId", "runnerName", "name", "version", "targetConfigManifest"):
            self.assertTrue(config["providerInfo"].get(key) not in (None, ""), key)
        self.srv.wait(lambda: self.srv.log_frames[("runner", self.srv.runner_id)], 10, "runner log")
        entry = self.srv.log_entries("runner", self.srv.runner_id)[0]
        self.assertEqual(list(entry), ["source", "label", "msg", "level", "time"])
        self.assertEqual((entry["source"], entry["label"], entry["level"]), ("runner", "edge", ""))
        self.assertEqual(runner.stop(), 0)
        # A second start must not register the preset again.
        polls = self.srv.polls
        runner.start()
        self.srv.wait(lambda: self.srv.polls > polls, 20 * PATIENCE, "a poll")
        self.assertEqual(len(self.srv.target_configs), 1)
        for request in self.srv.requests:
            self.assertEqual(request.header("Authorization"), f"Bearer {self.srv.key}")
            self.assertTrue(request.header("Host"))
            self.assertNotIn("Expect", [name for name, _ in request.headers])

    def test_its_directory_may_be_removed(self):
        """git refuses to run where there is no directory any more."""
        self.runner(self.srv).start(prefix=("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh"))
        self.job("create", self.srv.add_workspace(self.repo_url, self.srv.add_target()))

    def test_connections_are_kept(self):
        """One connection for the poll and one for the rest, kept alive."""
        self.srv.poll_seconds = 1.1
        self.runner(self.srv).start()
        self.srv.wait_heartbeat(4)
        self.srv.wait(lambda: self.srv.polls > 4, 30 * PATIENCE, "polls")
        posts = {r.conn_id for r in self.srv.seen("POST", ".*/metadata")}
        polls = {r.conn_id for r in self.srv.seen("GET", ".*/jobs")}
        self.assertEqual(len(polls), 1)
        self.assertEqual(len(posts), 1)

    def test_whole_life_of_a_workspace(self):
        self.srv.env = [{"key": "FROM_SERVER", "value": "server"}, {"key": "BOTH", "value": "server"}]
        runner = self.runner(self.srv).start()
        target = self.srv.add_target()
        job = self.srv.add_job("target", "create", target)
        self.assertEqual(self.srv.wait_final(job), ("success", ""))
        self.assertEqual(self.srv.created_targets, [target])
        self.assertNotIn(target, self.srv.provider_metadata)
        calls = [r for r in self.srv.seen("*", f"/target/{target}.*")]
        self.assertEqual(({"GET", "POST"}, 1), ({r.method for r in calls}, len({r.conn_id for r in calls})),
                         "a job's calls go on one connection")
        workspace = self.srv.add_workspace(self.repo_url, target, env={"BOTH": "workspace", "FOO": "bar"})

        self.job("create", workspace)
        checkout = os.path.join(self.workspace_dir(workspace), "app")
        with open(os.path.join(checkout, "README.md"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "hello\n")
        metadata = json.loads(self.srv.provider_metadata[workspace][-1])
        self.assertTrue(metadata and all(isinstance(v, str) for v in metadata.values()), metadata)
        self.assertEqual(metadata["daytona.workspace.id"], workspace)
        self.assertEqual(metadata["daytona.target.id"], target)
        posts = self.srv.wait(lambda: self.srv.agent_posts[workspace], 20 * PATIENCE, "agent's post")
        status = posts[-1][1]["gitStatus"]
        self.assertEqual(status["currentBranch"], "main")
        self.assertFalse(status["fileStatus"])
        with open(os.path.join(checkout, "new file"), "w", encoding="utf-8") as file:
            file.write("x")
        self.srv.wait(lambda: self.srv.agent_posts[workspace][-1][1]["gitStatus"]["fileStatus"],
                      20 * PATIENCE, "new file in the git status")
        first = self.agents(workspace)
        self.assertTrue(first)

        self.job("start", workspace)
        self.assertEqual(self.agents(workspace), first, "start of a running workspace starts nothing")
        self.job("stop", workspace)
        self.assertEqual(self.agents(workspace), [])
        self.job("stop", workspace)
        self.job("start", workspace)
        self.assertTrue(self.agents(workspace))
        with open(os.path.join(checkout, "new file"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "x")
        self.job("restart", workspace)
        self.assertTrue(self.agents(workspace))
        text = self.srv.wait(lambda: self.srv.log_text("workspace", workspace), 10, "workspace log")
        self.assertIn(workspace, text)
        self.assertEqual({e["label"] for e in self.srv.log_entries("workspace", workspace)}, {"app"})
        self.assertLessEqual({e["source"] for e in self.srv.log_entries("workspace", workspace)},
                             {"server", "provider"})
        self.job("delete", workspace)
        self.assertFalse(os.path.exists(self.workspace_dir(workspace)))
        self.assertEqual(self.agents(workspace), [])
        self.job("delete", workspace)
        self.job("force-delete", workspace)
        for action in ("delete", "force-delete"):
            job = self.srv.add_job("target", action, target)
            self.assertEqual(self.srv.wait_final(job)[0], "success")
        self.assertEqual(self.srv.job_faults(), [])
        self.assertEqual(runner.stop(), 0)

    def test_environment_of_a_workspace(self):
        """Merged as the Server means it, nothing of the runner's own, nothing read from its secrets."""
        self.srv.env = [{"key": "FROM_SERVER", "value": "server"}, {"key": "BOTH", "value": "server"},
                        {"key": "R_CONTAINER_REGISTRY_SERVER", "value": "reg.test"},
                        {"key": "R_CONTAINER_REGISTRY_PASSWORD", "value": "regpassword1"}]
        runner = self.runner(self.srv, runner__env_allow="ALLOWED")
        runner.start(env=runner.env(RUNNER_SECRET="topsecret", HTTP_PROXY="http://127.0.0.1:1",
                                    NO_PROXY="127.0.0.1", ALLOWED="given"))
        workspace = self.srv.add_workspace(self.repo_url, env={
            "BOTH": "workspace", "STEAL": "$RUNNER_SECRET", "TAKE": "$ALLOWED", "EQ": "a=b=c"})
        self.job("create", workspace)
        with open(f"/proc/{self.agents(workspace)[0]}/environ", "rb") as file:
            env = dict(pair.split("=", 1) for pair in file.read().decode().split("\0") if pair)
        self.assertEqual(env["FROM_SERVER"], "server")
        self.assertEqual(env["BOTH"], "workspace")
        self.assertEqual(env["EQ"], "a=b=c")
        self.assertEqual(env["STEAL"], "$RUNNER_SECRET")
        self.assertEqual(env["TAKE"], "given")
        for name in ("RUNNER_SECRET", "HTTP_PROXY", "NO_PROXY", "ALLOWED", "DAYTONA_RUNNER_CONFIG_DIR",
                     "R_CONTAINER_REGISTRY_SERVER", "R_CONTAINER_REGISTRY_PASSWORD"):
            self.assertNotIn(name, env)
        self.assertNotIn("topsecret", "".join(env.values()))

    def test_branch_and_commit(self):
        self.runner(self.srv).start()
        for args, branch in (({"branch": "dev"}, "dev"), ({"commit": True, "sha": self.sha}, None)):
            workspace = self.srv.add_workspace(self.repo_url, **args)
            self.job("create", workspace)
            with open(os.path.join(self.workspace_dir(workspace), "app", ".git", "HEAD"), encoding="utf-8") as file:
                head = file.read().strip()
            self.assertEqual(head, f"ref: refs/heads/{branch}" if branch else self.sha)

    def test_clone_that_fails_says_why(self):
        self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.git.url + "/nothere.git")
        text = self.job("create", workspace, "error")
        self.assertIn("nothere.git", text)
        workspace = self.srv.add_workspace(self.repo_url, branch="nobranch")
        self.assertIn("nobranch", self.job("create", workspace, "error"))
        self.job("delete", workspace)

    def test_missing_git_configuration_goes_on_without(self):
        self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url, git_provider="aabbccddeeff")
        self.job("create", workspace)
        self.assertTrue(self.srv.seen("GET", "/gitprovider/aabbccddeeff"))

    def test_errors_of_jobs_name_the_thing(self):
        self.runner(self.srv).start()
        target = self.srv.add_target(provider="nope")
        workspace = self.srv.add_workspace(self.repo_url, target)
        cases = [("workspace", "create", workspace, None, "nope"),
                 ("workspace", "delete", workspace, None, "nope"),
                 ("workspace", "create", "ffffffffffff", None, "failed to find workspace"),
                 ("target", "create", target, None, "nope"),
                 ("target", "start", "ffffffffffff", None, "failed to find target"),
                 ("workspace", "explode", workspace, None, "explode"),
                 ("spaceship", "create", workspace, None, "spaceship"),
                 ("runner", "install-provider", self.srv.runner_id, None, "metadata"),
                 ("runner", "install-provider", self.srv.runner_id, "{", "metadata"),
                 ("runner", "install-provider", self.srv.runner_id,
                  json.dumps({"name": "aws-provider", "version": "v1", "downloadUrls": None}), "native-provider"),
                 ("runner", "uninstall-provider", self.srv.runner_id, "aws-provider", "aws-provider")]
        for kind, action, resource, metadata, part in cases:
            with self.subTest(kind=kind, action=action, part=part):
                job = self.srv.add_job(kind, action, resource, metadata=metadata)
                state, text = self.srv.wait_final(job, 20 * PATIENCE)
                self.assertEqual(state, "error")
                self.assertIn(part, text)
                self.assertNotIn("\n", text.strip())
        job = self.srv.add_job("workspace", "force-delete", workspace)
        self.assertEqual(self.srv.wait_final(job, 20 * PATIENCE)[0], "success")
        self.assertEqual(self.srv.job_faults(), [])

    def test_build_job_ends_in_a_clear_error(self):
        self.runner(self.srv).start()
        self.srv.builds["b01dfacade12"] = {
            "id": "b01dfacade12", "image": None, "user": None,
            "containerConfig": {"image": "none", "user": "daytona"}, "buildConfig": None,
            "repository": {"id": "app", "url": self.repo_url, "name": "app", "branch": "main",
                           "sha": self.sha, "owner": "acme", "source": "git.test"},
            "envVars": {}, "lastJobId": None, "lastJob": None, "prebuildId": None,
            "createdAt": "2025-02-10T08:00:00Z", "updatedAt": "2025-02-10T08:00:00Z"}
        start = time.monotonic()
        job = self.srv.add_job("build", "run", "b01dfacade12", runner_id=None)
        state, text = self.srv.wait_final(job, 20 * PATIENCE)
        self.assertGreater(time.monotonic() - start, 9, "runners that can build had the time to claim it")
        self.assertEqual(state, "error")
        self.assertIn("build", text)
        job = self.srv.add_job("build", "delete", "b01dfacade12", runner_id=None)
        self.srv.wait_final(job, 20 * PATIENCE)
        self.assertEqual(self.srv.job_faults(), [])

    def test_provider_jobs_switch_a_compiled_in_provider(self):
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)
        install = json.dumps({"name": "native-provider", "version": "v9.9.9", "downloadUrls": None})

        def providers():
            return [(p["name"], p["version"]) for p in self.srv.heartbeats[-1][1]["providers"]]

        job = self.srv.add_job("runner", "uninstall-provider", self.srv.runner_id, metadata="native-provider")
        self.assertEqual(self.srv.wait_final(job)[0], "success")
        self.srv.wait(lambda: providers() == [], 20, "an empty list of providers")
        self.assertTrue(os.path.isdir(os.path.join(self.workspace_dir(workspace), "app")))
        other = self.srv.add_workspace(self.repo_url)
        waiting = self.srv.add_job("workspace", "create", other)
        runner.stop()
        runner.start()
        self.assertEqual(providers(), [], "it stays off after a restart")
        beats, polls = len(self.srv.heartbeats), self.srv.polls
        self.srv.wait_heartbeat(beats + 3)
        self.assertEqual(self.srv.jobs[waiting]["state"], "pending", "no provider can take it")
        self.assertLess(self.srv.polls - polls, 20)
        for action, expect in (("install-provider", "success"), ("update-provider", "success")):
            job = self.srv.add_job("runner", action, self.srv.runner_id, metadata=install)
            self.assertEqual(self.srv.wait_final(job)[0], expect)
            self.srv.wait(lambda: [name for name, _ in providers()] == ["native-provider"], 20, "provider")
        self.assertEqual(self.srv.wait_final(waiting, 40 * PATIENCE), ("success", ""))

    def test_undecodable_job_fails_alone(self):
        self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        with self.srv.lock:
            self.srv.add_job("workspace", "create", workspace, job_id="bad1", resourceId=None)
            self.srv.add_job("workspace", "create", 17, job_id="bad2", metadata={"x": [1, 2]}, extra=[{}])
            self.srv.add_job(None, None, workspace, job_id="bad3")
            good = self.srv.add_job("workspace", "create", workspace, unknown={"deep": [1, None]})
        self.assertEqual(self.srv.wait_final(good, 40 * PATIENCE)[0], "success")
        for bad in ("bad1", "bad2", "bad3"):
            self.assertEqual(self.srv.wait_final(bad, 20 * PATIENCE)[0], "error")
            self.assertTrue(self.srv.jobs[bad]["error"])
        self.assertEqual(self.srv.job_faults(), [])

    def test_strange_ids(self):
        """Ids that are no path component never reach the file system or a URL unescaped; the good
        jobs beside them run."""
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        with self.srv.lock:
            for index, text in enumerate(["../../escape", "..", "a/b", "", "x\u0000y", "-rf", "a b", "ü", "x" * 5000]):
                self.srv.add_job("workspace", "create", text, job_id=f"strange{index}")
                self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url), job_id=text or "empty")
            good = self.srv.add_job("workspace", "create", workspace)
        self.assertEqual(self.srv.wait_final(good, 60 * PATIENCE)[0], "success")
        for index in range(9):
            self.srv.wait_final(f"strange{index}", 30 * PATIENCE)
            self.assertEqual(self.srv.jobs[f"strange{index}"]["state"], "error")
        self.assertFalse(os.path.exists(self.path("escape")))
        # Jobs that nobody can answer come back at once with each poll: that must not spin.
        before = self.srv.polls
        self.srv.wait_heartbeat(len(self.srv.heartbeats) + 3)
        self.assertLess(self.srv.polls - before, 30)
        found = [name for _, dirs, files in os.walk(runner.state) for name in dirs + files]
        self.assertNotIn("escape", found)
        self.assertIsNone(runner.process.poll())

    def test_build_jobs_taken_by_another_runner(self):
        """A claim that says "already in the specified state" on the first try is someone else's."""
        self.runner(self.srv).start()
        job = self.srv.add_job("build", "run", "b01dfacade12", runner_id=None)
        self.srv.wait_state(job, ("running", "success", "error"))
        self.assertLessEqual(self.srv.states(job).count("running"), 1)

    def test_tls(self):
        context, ca = server_tls(self.tmp)
        secure = self.server(tls=context)
        workspace = secure.add_workspace(self.repo_url)
        runner = self.runner(secure, name="secure", server__ca_file=ca).start()
        job = secure.add_job("workspace", "create", workspace)
        self.assertEqual(secure.wait_final(job, 40 * PATIENCE), ("success", ""))
        secure.wait(lambda: secure.agent_posts[workspace], 20 * PATIENCE, "agent over TLS")
        for _ in range(2):      # the log socket goes with the TLS settings that it uses
            secure.wait(lambda: secure.log_open[("runner", secure.runner_id)], 20 * PATIENCE, "log socket")
            secure.log_open.clear()
            runner.signal(signal.SIGHUP)
            secure.wait_heartbeat(len(secure.heartbeats) + 2)
        self.assertEqual(runner.stop(), 0)

    def test_certificates_that_must_be_refused(self):
        context, ca = server_tls(self.tmp, san="DNS:other.test")
        wrong = self.server(tls=context)
        runner = self.runner(wrong, name="wrong", server__ca_file=ca).start(wait=False)
        runner.wait_log(r"certificate|other\.test")
        self.assertEqual(wrong.requests, [])
        runner.stop()
        os.mkdir(self.path("b"))
        context, _ = server_tls(self.path("b"))
        unknown = self.server(tls=context)
        runner = self.runner(unknown, name="unknown", server__ca_file=ca).start(wait=False)
        runner.wait_log(r"certificate")
        self.assertEqual(unknown.requests, [])
        self.assertEqual(runner.stop(), 0)

    def test_health_listener(self):
        port = free_port()
        runner = self.runner(self.srv, runner__port=port).start()

        def get(path):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10 * PATIENCE) as answer:
                    return answer.status, answer.headers.get("Content-Type"), answer.read().decode()
            except urllib.error.HTTPError as failure:
                return failure.code, failure.headers.get("Content-Type"), failure.read().decode()

        status, kind, body = get("/health")
        self.assertEqual((status, json.loads(body)), (200, {"status": "ok"}))
        self.assertEqual(kind, "application/json; charset=utf-8")
        self.assertEqual(get("/healthz")[0], 200)
        wait_for(lambda: get("/readyz")[0] == 200, 10 * PATIENCE, "readyz")
        status, kind, body = get("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(kind.startswith("text/plain"))
        for line in body.strip().splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                float(value)
                self.assertTrue(name.startswith("daytona_runner_"), line)
        self.assertEqual(get("/nothing")[0], 404)
        mute = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
        self.assertEqual(get("/health")[0], 200, "not held up by callers that say nothing")
        for connection in mute:
            connection.close()
        self.srv.stop()
        wait_for(lambda: get("/readyz")[0] == 503, 60 * PATIENCE, "readyz tells that the Server is away")
        self.assertEqual(get("/health")[0], 200)
        self.srv.start()
        wait_for(lambda: get("/readyz")[0] == 200, 60 * PATIENCE, "readyz is back")
        self.assertEqual(runner.stop(), 0)

    def test_reload(self):
        """SIGHUP takes a new key and interval without losing a job."""
        runner = self.runner(self.srv).start()
        self.git.hold.clear()
        workspace = self.srv.add_workspace(self.repo_url)
        job = self.srv.add_job("workspace", "create", workspace)
        self.git.arrived.wait(20 * PATIENCE)
        self.srv.keys["N" * 48] = "runner"
        runner.write_ini(server__key="N" * 48)
        runner.signal(signal.SIGHUP)
        self.srv.wait(lambda: self.srv.requests[-1].header("Authorization") == "Bearer " + "N" * 48,
                      20 * PATIENCE, "requests with the new key")
        self.git.hold.set()
        self.assertEqual(self.srv.wait_final(job, 40 * PATIENCE)[0], "success")
        self.assertEqual(self.srv.job_faults(), [])
        with open(runner.ini, "a", encoding="utf-8") as file:
            file.write("[runner]\nnonsense = 1\n")
        runner.signal(signal.SIGHUP)
        runner.wait_log("nonsense")
        beats = len(self.srv.heartbeats)
        self.srv.wait_heartbeat(beats + 2)
        runner.signal(signal.SIGUSR1)
        runner.signal(signal.SIGPIPE)
        self.srv.wait_heartbeat(beats + 4)
        self.assertTrue(alive(runner.pid))


class AgentTest(ServeCase):
    def test_an_agent_that_ends_by_itself_is_told_of(self):
        """Ready, then gone: the job succeeded, and a line says what became of it. One that a job ends is none."""
        runner = self.runner(self.srv).start()
        workspace = self.srv.add_workspace(self.repo_url)
        self.job("create", workspace)
        agent, = self.agents(workspace)
        os.kill(agent, signal.SIGKILL)
        runner.wait_log(f"WARN .*the agent of workspace {workspace} ended by itself .killed by signal 9")
        self.job("start", workspace)
        self.job("restart", workspace)
        self.job("stop", workspace)
        self.job("start", workspace)
        self.job("delete", workspace)
        self.assertEqual(runner.log().count("ended by itself"), 1)


if __name__ == "__main__":
    main()
