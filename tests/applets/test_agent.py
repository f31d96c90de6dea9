# SPDX-License-Identifier: Apache-2.0
"""The agent applet by itself: heartbeats, git status, signals, reaping, cloning, PID 1."""
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
from gitserver import GitServer, git, make_repo  # noqa: E402
from httppeer import close, error, hang, reply  # noqa: E402

READY = "Daytona Agent started"
NONE = {"currentBranch": "", "branchPublished": False, "fileStatus": [], "ahead": 0}


class Agent(common.Case):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("srv"))
        os.makedirs(self.path("home"))
        self.fake = self.server()
        self.id = self.fake.add_workspace("http://git.test/app.git")
        self.key = self.fake.workspaces[self.id]["apiKey"]
        self.count = 0

    def env(self, **extra):
        variables = {"DAYTONA_SERVER_API_URL": self.fake.url, "DAYTONA_SERVER_API_KEY": self.key,
                     "DAYTONA_WORKSPACE_ID": self.id, "DAYTONA_AGENT_INTERVAL_MS": "100",
                     "DAYTONA_TEST": self.tmp}
        variables.update(extra)
        return {name: value for name, value in
                common.clean_env(self.path("home"), **variables).items() if value is not None}

    def start(self, *command, ready=True, prefix=(), close_fds=True, **extra):
        self.count += 1
        path = self.path(f"agent-{self.count}.log")
        with open(path, "wb") as log:
            process = subprocess.Popen([*prefix, common.BIN, "agent", *command],
                                       env=self.env(**extra), stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, cwd=self.tmp, close_fds=close_fds)

        def text():
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()

        process.text = text
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        if ready:
            common.wait_for(lambda: READY in text() or process.poll() is not None,
                            20 * common.PATIENCE, text)
            self.assertIsNone(process.poll(), text())
        return process

    def end(self, process, status=0, timeout=15):
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(timeout * common.PATIENCE), status, process.text())
        self.assertIsNone(common.SANITIZER.search(process.text()), process.text())

    def posts(self, resource=None):
        return [post for _, post in self.fake.agent_posts[resource or self.id]]

    def wait_posts(self, count, condition=lambda post: True):
        return self.fake.wait(lambda: len([p for p in self.posts() if condition(p)]) >= count,
                              30 * common.PATIENCE, f"{count} posts, have {self.posts()[-1:]}")

    def wait_text(self, process, text, count=1):
        common.wait_for(lambda: process.text().count(text) >= count, 20 * common.PATIENCE,
                        lambda: f"{text!r} in {process.text()}")

    def test_the_body_is_what_the_server_expects(self):
        agent = self.start()
        self.wait_posts(3)
        for post in self.posts():
            self.assertEqual(set(post), {"uptime"}, "the Server refuses a status without a branch")
            self.assertGreaterEqual(post["uptime"], 1)
        # A Server that does not offer streams is not asked for any (protocol 15.1).
        self.assertEqual(self.fake.seen("GET", "/workspace/.*/tunnel.*"), [])
        request = self.fake.seen("POST", "/workspace/.*/metadata")[0]
        self.assertEqual(request.header("Authorization"), "Bearer " + self.key)
        self.assertIn("application/json", request.header("Content-Type"))
        self.assertEqual(len({r.conn_id for r in self.fake.seen("POST", ".*metadata")}), 1)
        self.assertNotIn(self.key.encode(), common.read_proc(agent.pid, "cmdline"))
        self.assertNotIn(self.key, agent.text())
        self.end(agent)

    def test_who_waits_for_it_is_told_by_the_end_of_a_pipe(self):
        near, far = os.pipe()
        self.addCleanup(os.close, near)
        os.set_inheritable(far, True)
        agent = self.start("sh", "-c", "env; ls -l /proc/self/fd; echo ended; sleep 1000", close_fds=False,
                           DAYTONA_AGENT_READY_FD=str(far), DAYTONA_AGENT_KEEP="1")
        os.close(far)
        self.assertTrue(select.select([near], [], [], 20 * common.PATIENCE)[0], "the agent has not closed it")
        self.assertEqual(os.read(near, 1), b"")
        self.assertIn(READY, agent.text(), "it was said before")
        self.wait_text(agent, "ended")
        self.assertNotIn("READY_FD", agent.text())
        self.assertNotIn("pipe:", agent.text(), "a program has it")
        self.end(agent)

    def test_what_is_no_pipe_is_left_open(self):
        for number in ("1", "2", "x", "-1", "999999", "99999999999"):
            agent = self.start("sh", "-c", "echo here; sleep 1000", DAYTONA_AGENT_READY_FD=number, DAYTONA_AGENT_KEEP="1")
            self.wait_text(agent, "here")
            self.end(agent)

    def test_a_target_has_no_checkout(self):
        target = self.fake.add_target()
        agent = self.start(DAYTONA_WORKSPACE_ID=None, DAYTONA_TARGET_ID=target)
        self.fake.wait(lambda: self.posts(target), 20, "post of the target")
        self.assertEqual(set(self.posts(target)[0]), {"uptime"})
        self.end(agent)

    def test_git_status_follows_the_checkout(self):
        bare, _ = make_repo(self.path("srv"))
        work = self.path("work dir")
        git(self.tmp, "clone", "-q", bare, work)
        agent = self.start(DAYTONA_AGENT_DIR=work)
        self.wait_posts(1, lambda p: p.get("gitStatus", NONE)["currentBranch"] == "main" and
                        p.get("gitStatus", NONE)["branchPublished"])
        with open(os.path.join(work, "new"), "w", encoding="utf-8"):
            pass
        self.wait_posts(1, lambda p: {"name": "new", "extra": "", "staging": "Untracked",
                                      "worktree": "Untracked"} in p.get("gitStatus", NONE)["fileStatus"])
        git(work, "add", "new")
        self.wait_posts(1, lambda p: [f["staging"] for f in p.get("gitStatus", NONE)["fileStatus"]] == ["Added"])
        git(work, "commit", "-q", "-m", "second")
        self.wait_posts(1, lambda p: p.get("gitStatus", NONE)["ahead"] == 1 and
                        not p.get("gitStatus", NONE)["fileStatus"])
        git(work, "checkout", "-q", "-b", "side")
        self.wait_posts(1, lambda p: p.get("gitStatus", NONE)["currentBranch"] == "side" and
                        not p.get("gitStatus", NONE)["branchPublished"])
        self.end(agent)

    def test_the_status_does_not_lock_the_repository(self):
        bare, _ = make_repo(self.path("srv"))
        work = self.path("work")
        git(self.tmp, "clone", "-q", bare, work)
        agent = self.start(DAYTONA_AGENT_DIR=work)
        for number in range(20):
            with open(os.path.join(work, f"f{number}"), "w", encoding="utf-8"):
                pass
            git(work, "add", "-A")
            git(work, "commit", "-q", "-m", "x")
        self.end(agent)

    def test_a_repository_around_or_a_hostile_one_is_harmless(self):
        work, mark = self.path("work"), self.path("pwned")
        os.makedirs(os.path.join(work, "inner"))
        git(work, "init", "-q")
        git(work, "config", "core.fsmonitor", f"touch {mark}")
        agent = self.start(DAYTONA_AGENT_DIR=os.path.join(work, "inner"))
        self.wait_posts(2)
        self.assertTrue(all("gitStatus" not in p for p in self.posts()))
        self.end(agent)
        agent = self.start(DAYTONA_AGENT_DIR=work)
        self.wait_posts(1, lambda p: p.get("gitStatus", NONE)["currentBranch"] == "main")
        self.end(agent)
        self.assertFalse(os.path.exists(mark))

    def test_without_git_the_heartbeats_go_on(self):
        agent = self.start(DAYTONA_AGENT_DIR=self.tmp, PATH=self.path("home"))
        self.wait_posts(3)
        self.assertEqual(agent.text().count("git is not installed"), 1)
        self.end(agent)

    def test_a_server_that_is_away_or_refuses_ends_nothing(self):
        faults = [error(500, "x"), reply(200, "<html>x", "text/html"), close(), error(429, "x"),
                  reply(503), hang(0.3)]
        self.fake.on("POST", "/workspace/.*/metadata", *faults)
        agent = self.start(DAYTONA_AGENT_INTERVAL_MS="50")
        self.wait_posts(3)
        self.assertIn("going on trying", agent.text())
        self.assertIn("takes the metadata again", agent.text())
        self.assertIsNone(agent.poll())
        self.end(agent)

    def test_a_server_that_was_never_there_is_found_later(self):
        self.fake.cut()
        url = self.fake.url
        self.fake.stop()
        agent = self.start(DAYTONA_AGENT_INTERVAL_MS="50")
        self.wait_text(agent, "going on trying")
        self.assertEqual(self.fake.url, url)
        self.fake.start()
        self.wait_posts(2)
        self.end(agent)

    def test_a_refused_key_is_said_once_and_not_hammered(self):
        rule = self.fake.on("POST", "/workspace/.*/metadata", error(401, "unauthorized"),
                            forever=True)
        agent = self.start(DAYTONA_AGENT_INTERVAL_MS="20")
        self.wait_text(agent, "going on trying")
        time.sleep(0.5)  # nothing must happen meanwhile
        self.assertLessEqual(len(self.fake.seen("POST", "/workspace/.*/metadata")), 2)
        self.assertEqual(agent.text().count("going on trying"), 1)
        self.fake.drop(rule)
        self.end(agent)

    def test_told_to_stop_while_the_server_hangs(self):
        self.fake.on("POST", "/workspace/.*/metadata", hang(), forever=True)
        agent = self.start()
        self.fake.wait_requests("POST", "/workspace/.*/metadata")
        before = time.monotonic()
        self.end(agent)
        self.assertLess(time.monotonic() - before, 3 * common.PATIENCE)

    def test_without_its_environment_it_says_what_is_missing(self):
        for name in ("DAYTONA_SERVER_API_URL", "DAYTONA_SERVER_API_KEY", "DAYTONA_WORKSPACE_ID"):
            agent = self.start(ready=False, **{name: None})
            self.assertEqual(agent.wait(20 * common.PATIENCE), 1)
            self.assertIn(name + " is not set", agent.text())
        for extra in ({"DAYTONA_AGENT_INTERVAL_MS": "x"}, {"DAYTONA_WORKSPACE_ID": "../x"},
                      {"DAYTONA_SERVER_API_URL": "ftp://x"}, {"DAYTONA_AGENT_CLONE": "1"}):
            agent = self.start(ready=False, **extra)
            self.assertEqual(agent.wait(20 * common.PATIENCE), 1, extra)
            self.assertNotIn(READY, agent.text())
            self.assertEqual(len(agent.text().strip().splitlines()), 1, agent.text())

    def test_the_commands_status_is_the_agents(self):
        for command, status in ((["true"], 0), (["sh", "-c", "exit 7"], 7),
                                (["--", "sh", "-c", "kill -9 $$"], 137)):
            agent = self.start(*command, ready=False)
            self.assertEqual(agent.wait(20 * common.PATIENCE), status, agent.text())
            self.assertIn(READY, agent.text())
        agent = self.start("no-such-program", ready=False)
        self.assertEqual(agent.wait(20 * common.PATIENCE), 1)
        self.assertIn("no-such-program", agent.text())
        self.assertNotIn(READY, agent.text())

    def test_just_an_init_needs_no_server(self):
        agent = self.start("sh", "-c", "exit 5", ready=False, DAYTONA_SERVER_API_URL=None)
        self.assertEqual(agent.wait(20 * common.PATIENCE), 5, agent.text())

    def test_signals_are_passed_on_and_all_is_ended(self):
        script = ("trap 'echo got-hup' HUP; trap 'echo got-usr1' USR1; "
                  "trap 'echo got-term; exit 0' TERM; setsid sleep 1000 & (sleep 1000 &); echo up; "
                  "while :; do sleep 0.05; done")
        agent = self.start("sh", "-c", script)
        self.wait_text(agent, "up\n")
        for number, text in ((signal.SIGHUP, "got-hup"), (signal.SIGUSR1, "got-usr1")):
            agent.send_signal(number)
            self.wait_text(agent, text)
        # They come and go while they are counted.
        common.wait_for(lambda: len(common.descendants(agent.pid)) >= 2, 20 * common.PATIENCE, "its family")
        self.end(agent)
        self.assertIn("got-term", agent.text())
        self.assertEqual(common.pids_with(self.tmp), [])

    def test_a_deaf_family_is_killed_after_the_grace(self):
        agent = self.start("sh", "-c", "trap '' TERM INT; setsid sh -c \"trap '' TERM; sleep 1000\" & "
                           "echo up; while :; do sleep 1000; done", DAYTONA_AGENT_GRACE_MS="300")
        self.wait_text(agent, "up\n")
        self.end(agent)
        self.assertEqual(common.pids_with(self.tmp), [])

    def zombies(self, pid):
        found = []
        for other in common.all_pids():
            stat = common.read_proc(other, "stat").rpartition(b")")[2].split()
            if len(stat) > 1 and int(stat[1]) == pid and stat[0] == b"Z":
                found.append(other)
        return found

    ORPHANS = ("i=0; while [ $i -lt 200 ]; do (true & (sleep 0.01 &) ); i=$((i+1)); done; echo done; "
               "exec sleep 1000")

    def test_orphans_are_adopted_and_reaped(self):
        agent = self.start("sh", "-c", self.ORPHANS)
        self.wait_text(agent, "done\n")
        common.wait_for(lambda: len(common.children(agent.pid)) <= 2 and not self.zombies(agent.pid),
                        20 * common.PATIENCE, lambda: f"zombies {self.zombies(agent.pid)}")
        self.end(agent)

    def test_as_pid_1(self):
        prefix = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        if common.run([*prefix, "true"]).returncode != 0:
            self.skipTest("no pid namespaces here")
        outer = self.start("sh", "-c", self.ORPHANS, prefix=prefix)
        self.wait_text(outer, "done\n")
        [agent] = common.children(outer.pid)
        common.wait_for(lambda: not self.zombies(agent), 20 * common.PATIENCE, "no zombies")
        self.wait_posts(1)
        os.kill(agent, signal.SIGTERM)
        self.assertEqual(outer.wait(15 * common.PATIENCE), 0, outer.text())

    def clone_env(self, server, **extra):
        return {"DAYTONA_AGENT_CLONE": "1", "DAYTONA_AGENT_DIR": self.path("ws", "deep", "app"),
                "DAYTONA_WORKSPACE_REPOSITORY_URL": server.url + "/app.git", **extra}

    def git_server(self, *credentials):
        server = GitServer(self.path("srv"), *credentials)
        self.addCleanup(server.stop)
        return server

    def test_it_clones_with_the_servers_credentials(self):
        make_repo(self.path("srv"), branches=("side",))
        server = self.git_server("bo b", "t%k+n/&=")
        self.fake.git_for_url = [{"id": "1", "providerId": "gitea", "username": "bo%20b",
                                  "token": "t%25k%2Bn%2F%26%3D", "alias": "a"}]
        extra = self.clone_env(server, DAYTONA_AGENT_BRANCH="side")
        agent = self.start(**extra)
        self.wait_posts(1, lambda p: p.get("gitStatus", NONE)["currentBranch"] == "side")
        self.assertNotIn("t%k+n/&=", agent.text())
        self.end(agent)
        asked = self.fake.seen("GET", "/gitprovider/for-url/.*")
        self.assertGreaterEqual(len(asked), 1)
        agent = self.start(**extra)  # the checkout is there: nothing is cloned again
        self.end(agent)

    def config(self, key):
        return common.run(["git", "config", "--file", self.path("home", ".gitconfig"), "--get-all", key],
                          cwd=self.tmp).stdout.strip()

    def test_git_knows_its_user(self):
        """Name, address, signing and who has credentials, as the Server says, but for what the user has set."""
        self.fake.git_for_url = [{"id": "1", "providerId": "gitea", "username": "bo%20b", "token": "t%25k", "alias": "a",
                                  "signingMethod": "ssh", "signingKey": "ssh-ed25519 AAAA x"}]
        self.fake.git_user = {"id": "7", "username": "bo b", "name": "Bo Bee", "email": "bo@example.org"}
        with open(self.path("home", ".gitconfig"), "w", encoding="utf-8") as file:
            file.write("[user]\n\tname = Mine\n")
        extra = {"DAYTONA_WORKSPACE_REPOSITORY_URL": "http://git.test/app.git"}
        agent = self.start(**extra)
        common.wait_for(lambda: self.config("commit.gpgsign"), 20 * common.PATIENCE, agent.text)
        self.assertEqual([self.config(key) for key in ("user.name", "user.email", "gpg.format", "user.signingkey", "commit.gpgsign")],
                         ["Mine", "bo@example.org", "ssh", "ssh-ed25519 AAAA x", "true"])
        with open(self.path("home", ".ssh", "allowed_signers"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "bo@example.org ssh-ed25519 AAAA x\n")
        self.assertNotIn("t%k", agent.text())
        said = subprocess.run(["git", "credential", "fill"], input="protocol=http\nhost=git.test\npath=app.git\n\n", text=True,
                              env=self.env(**extra), stdout=subprocess.PIPE, check=True, cwd=self.tmp).stdout
        self.assertIn("username=bo b\npassword=t%k\n", said)
        self.end(agent)
        before = self.config("credential.helper")
        agent = self.start(**extra)
        common.wait_for(lambda: len(self.fake.seen("GET", "/gitprovider/1/user")) == 2, 20 * common.PATIENCE, agent.text)
        self.end(agent)
        self.assertEqual(self.config("credential.helper"), before, "once")

    def test_git_is_left_as_it_is_where_the_server_knows_nothing(self):
        agent = self.start(DAYTONA_WORKSPACE_REPOSITORY_URL="http://git.test/app.git")
        common.wait_for(lambda: self.config("credential.helper"), 20 * common.PATIENCE, agent.text)
        self.assertIn("git-credential", self.config("credential.helper"))
        self.wait_posts(3)
        self.end(agent)
        self.assertEqual([self.config(key) for key in ("user.name", "user.signingkey")], ["", ""])
        self.assertNotIn("not set up", agent.text())

    def test_docker_is_set_up_where_its_helper_is(self):
        """Outside of a container of ours nothing is put beside the machine's programs."""
        os.mkdir(self.path("bin"))
        for helper in (False, True):
            for name in ("docker", "docker-credential-daytona")[:1 + helper]:
                if not os.path.exists(self.path("bin", name)):
                    os.symlink("/bin/true", self.path("bin", name))
            before = len(self.fake.seen("GET", "/gitprovider/for-url/.*"))
            agent = self.start(DAYTONA_WORKSPACE_REPOSITORY_URL="http://git.test/app.git", PATH=self.path("bin") + ":/usr/bin:/bin")
            common.wait_for(lambda: len(self.fake.seen("GET", "/gitprovider/for-url/.*")) > before, 20 * common.PATIENCE, agent.text)
            if helper:
                common.wait_for(lambda: os.path.exists(self.path("home", ".docker", "config.json")), 20 * common.PATIENCE, agent.text)
            self.wait_posts(3)
            self.end(agent)
            self.assertEqual(os.path.exists(self.path("home", ".docker", "config.json")), helper)
        self.assertNotEqual(os.path.realpath("/usr/local/bin/docker-credential-daytona"), os.path.realpath(common.BIN))

    def test_docker_gets_the_logins_of_registries(self):
        self.fake.registries = {"docker.io": {"username": "u", "password": "p\"q"}, "r.test:5000": {"username": "v", "password": "w"}}
        os.symlink(common.BIN, self.path("docker-credential-daytona"))

        def ask(verb, text="", rc=0):
            result = subprocess.run([self.path("docker-credential-daytona"), verb], input=text, text=True, env=self.env(),
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertEqual(result.returncode, rc, result)
            return result.stdout
        hub = "https://index.docker.io/v1/"
        self.assertEqual(json.loads(ask("get", hub + "\n")), {"ServerURL": hub, "Username": "u", "Secret": 'p"q'})
        self.assertEqual(json.loads(ask("get", "r.test:5000"))["Username"], "v")
        self.assertEqual(ask("get", "none.test", rc=1), "credentials not found in native keychain\n")
        self.assertEqual(ask("list"), "{}\n")
        self.assertEqual(ask("store", "{}") + ask("erase", "x"), "")
        self.assertEqual(ask("other", rc=2), "")
        self.assertIn(f"workspaceId={self.id}", self.fake.seen("GET", "/container-registry/docker.io.*")[0].target)

    def test_a_clone_that_fails_is_the_end(self):
        make_repo(self.path("srv"))
        server = self.git_server("bob", "x")
        agent = self.start(ready=False, **self.clone_env(server))
        self.assertEqual(agent.wait(30 * common.PATIENCE), 1)
        self.assertIn("add a git provider", agent.text())
        self.assertNotIn(READY, agent.text())

    def test_told_to_stop_while_it_clones(self):
        make_repo(self.path("srv"))
        server = self.git_server()
        server.hold.clear()
        agent = self.start(ready=False, **self.clone_env(server))
        common.wait_for(server.arrived.is_set, 20 * common.PATIENCE, "request of git")
        self.end(agent)
        self.assertEqual(common.pids_with(self.tmp), [])

    def test_a_checkout_that_comes_late_and_goes_again(self):
        work = self.path("late")
        agent = self.start("sh", "-c", "sleep 1000", DAYTONA_AGENT_DIR=work)
        self.wait_posts(2)
        self.assertNotIn("git status", agent.text())
        os.makedirs(work)
        git(work, "init", "-q")
        self.wait_posts(1, lambda p: p.get("gitStatus", NONE)["currentBranch"] == "main")
        shutil.rmtree(work)
        count = len(self.posts())
        self.fake.wait(lambda: any("gitStatus" not in p for p in self.posts()[count:]),
                       30 * common.PATIENCE, "no status")
        self.end(agent)

    def test_over_tls(self):
        context, ca = common.server_tls(self.tmp)
        server = self.server(tls=context)
        workspace = server.add_workspace("http://git.test/app.git")
        extra = {"DAYTONA_SERVER_API_URL": server.url, "DAYTONA_WORKSPACE_ID": workspace,
                 "DAYTONA_SERVER_API_KEY": server.workspaces[workspace]["apiKey"]}
        agent = self.start(DAYTONA_AGENT_CA_FILE=ca, **extra)
        server.wait(lambda: len(server.agent_posts[workspace]) >= 3, 30, "posts over TLS")
        self.end(agent)
        count = len(server.agent_posts[workspace])
        agent = self.start(**extra)  # an unknown CA is never accepted
        self.wait_text(agent, "going on trying")
        self.end(agent)
        self.assertEqual(len(server.agent_posts[workspace]), count)

    def test_the_log_file(self):
        path = self.path("home", "agent.log")
        agent = self.start(DAYTONA_AGENT_LOG_FILE_PATH="(HOME)/agent.log")
        self.wait_text(agent, "takes the metadata")
        with open(path, encoding="utf-8") as file:
            self.assertRegex(file.read(), r"^\d{4}-\d\d-\d\dT\S+ the Server takes the metadata")
        self.assertEqual(os.stat(path).st_mode & 0o077, 0)
        self.end(agent)

    def test_the_log_is_cut(self):
        """What a workspace's programs say goes there for months; whoever appends goes on."""
        path, out = self.path("home", "agent.log"), self.path("out")
        with open(out, "ab") as file:
            agent = subprocess.Popen([common.BIN, "agent"], stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                     env=self.env(DAYTONA_AGENT_LOG_FILE_PATH="(HOME)/agent.log"))
        self.addCleanup(agent.kill)
        self.wait_posts(1)
        for name in path, out:
            with self.subTest(name), open(name, "ab", buffering=0) as file:
                file.write(b"line\n" * (1 << 20))
                common.wait_for(lambda name=name: os.path.getsize(name) < 1 << 20, 20 * common.PATIENCE, "it is cut")
                with open(name, "rb") as left:
                    self.assertIn(b"the log was over 4 MiB and was cut", left.read())
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(20 * common.PATIENCE), 0)

    def test_a_reader_that_has_gone_ends_nothing(self):
        read, write = os.pipe()
        agent = subprocess.Popen([common.BIN, "agent"], env=self.env(), stdin=subprocess.DEVNULL,
                                 stdout=write, stderr=write)
        self.addCleanup(agent.kill)
        os.close(write)
        os.close(read)
        self.wait_posts(3)
        agent.send_signal(signal.SIGTERM)
        self.assertEqual(agent.wait(20 * common.PATIENCE), 0)


if __name__ == "__main__":
    common.main()
