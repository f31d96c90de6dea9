# SPDX-License-Identifier: Apache-2.0
"""Checkouts of real repositories by native-provider: complete or not there, idempotent, and nothing that a
repository, a branch or a URL holds is executed, leaked or followed."""
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import drivecase  # noqa: E402
from gitserver import GIT_ENV, GitServer, git, make_repo  # noqa: E402

TOKEN = "s3cr3t-T0ken-9x"


class Redirect:
    """Sends every request to another place."""

    def __init__(self, to):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(302)
                self.send_header("Location", to + self.path)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *args):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"

    def stop(self):
        self.httpd.shutdown()
        self.httpd.server_close()


class GitClone(drivecase.DriveCase):
    def setUp(self):
        super().setUp()
        self.srv = self.path("srv")
        os.makedirs(self.srv)
        os.makedirs(self.path("home"))
        self.fake = self.server()

    def workspace(self, url, **kwargs):
        kwargs.setdefault("options", '{"Agent":"none"}')
        self.id = self.fake.add_workspace(url, **kwargs)
        return self.document(self.fake, self.id)

    def git_server(self, user=None, password=None):
        server = GitServer(self.srv, user, password)
        self.addCleanup(server.stop)
        return server

    def checkout(self, *names):
        return self.root(self.id, "app", *names)

    def left(self):
        """What is in the workspace besides the checkout and our own files."""
        try:
            return sorted(set(os.listdir(self.root(self.id))) - {"app", ".runner"})
        except FileNotFoundError:
            return []

    def grep(self, text):
        result = common.run(["grep", "-rlaF", text, self.state])
        return result.stdout.split()

    def test_a_branch_over_a_local_path_and_file_url(self):
        bare, _ = make_repo(self.srv, branches=("feature/x",))
        for url in (bare, "file://" + bare):
            document = self.workspace(url, branch="feature/x")
            self.drive(document, "create").ok(self)
            self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/feature/x")
            self.assertEqual(os.listdir(self.checkout(".git", "refs", "heads")), ["feature"])
            self.assertEqual(self.left(), [])

    def test_an_empty_branch_is_the_default_one(self):
        bare, _ = make_repo(self.srv, branches=("other",))
        self.drive(self.workspace(bare, branch=""), "create").ok(self)
        self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/main")

    def test_a_commit_on_the_branch_and_one_beside_it(self):
        bare, sha = make_repo(self.srv, branches=("feature",))
        git(bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        beside = git(bare, "rev-parse", "feature")
        for commit in (sha, beside):
            self.drive(self.workspace(bare, sha=commit, commit=True), "create").ok(self)
            self.assertEqual(git(self.checkout(), "rev-parse", "HEAD"), commit)
        self.drive(self.workspace(bare, sha="0" * 40, commit=True), "create").error(self, "0000000")
        self.assertFalse(os.path.exists(self.checkout()))
        self.assertEqual(self.left(), [])

    def test_a_sha_without_clone_target_commit_is_ignored(self):
        bare, _ = make_repo(self.srv)
        self.drive(self.workspace(bare, sha="f" * 40), "create").ok(self)
        self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/main")

    def test_a_complete_checkout_is_kept_and_a_half_one_redone(self):
        bare, _ = make_repo(self.srv)
        document = self.workspace(bare)
        for name in ("app.part", "app.aux"):
            os.makedirs(self.root(self.id, name, "x"))
        self.drive(document, "create").ok(self)
        self.assertEqual(self.left(), [])
        with open(self.checkout("mine"), "w", encoding="utf-8") as file:
            file.write("keep")
        self.drive(document, "create", "create").ok(self)
        self.assertTrue(os.path.exists(self.checkout("mine")))

    def test_a_directory_that_is_no_checkout_is_not_removed(self):
        bare, _ = make_repo(self.srv)
        document = self.workspace(bare)
        os.makedirs(self.checkout("precious"))
        self.drive(document, "create").error(self, "is no git repository")
        self.assertTrue(os.path.isdir(self.checkout("precious")))
        os.rmdir(self.checkout("precious"))
        self.drive(document, "create").ok(self)

    def test_http_with_credentials_that_show_nowhere(self):
        make_repo(self.srv)
        server = self.git_server("bob", TOKEN)
        document = self.workspace(server.url + "/app.git")
        server.hold.clear()
        process = self.drive_background(document, "create", DRIVE_GIT_USER="bob",
                                        DRIVE_GIT_TOKEN=TOKEN)
        common.wait_for(server.arrived.is_set, 20 * common.PATIENCE, "request of git")
        lines = [common.read_proc(pid, "cmdline") for pid in common.pids_with(self.tmp)]
        self.assertTrue(any(b"git" in line and b"clone" in line for line in lines))
        self.assertFalse([line for line in lines if TOKEN.encode() in line])
        server.hold.set()
        result = process.finish().ok(self)
        self.assertNotIn(TOKEN, result.output)
        self.assertEqual(self.grep(TOKEN), [])
        self.assertEqual(git(self.checkout(), "remote", "get-url", "origin"),
                         server.url + "/app.git")
        self.assertEqual(self.left(), [])

    def test_a_user_part_in_the_url_becomes_credentials(self):
        make_repo(self.srv)
        server = self.git_server("bob", "p@ss:w/rd")
        url = server.url.replace("://", "://bob:p%40ss%3Aw%2Frd@") + "/app.git"
        result = self.drive(self.workspace(url), "create", "info").ok(self)
        self.assertEqual(git(self.checkout(), "remote", "get-url", "origin"),
                         server.url + "/app.git")
        self.assertEqual(self.grep("p%40ss"), [])
        self.assertNotIn("p%40ss", result.output)
        self.assertIn(server.url + "/app.git", result["info"])

    def test_credentials_with_shell_characters(self):
        make_repo(self.srv)
        secret = "a'b\"c$(touch pwned)`id`;&|<>\\ %41"
        server = self.git_server("u ser", secret)
        self.drive(self.workspace(server.url + "/app.git"), "create", DRIVE_GIT_USER="u ser",
                   DRIVE_GIT_TOKEN=secret).ok(self)
        self.assertFalse(os.path.exists(self.path("pwned")))

    def test_wrong_and_missing_credentials_say_what_to_do(self):
        make_repo(self.srv)
        server = self.git_server("bob", TOKEN)
        document = self.workspace(server.url + "/app.git")
        self.drive(document, "create").error(self, "add a git provider")
        result = self.drive(document, "create", DRIVE_GIT_USER="bob", DRIVE_GIT_TOKEN="wrong-one")
        result.error(self, "renew the git provider")
        self.assertNotIn("wrong-one", result.output)
        self.assertFalse(os.path.exists(self.checkout()))

    def test_a_redirect_to_another_host_gets_no_credentials(self):
        make_repo(self.srv)
        other = self.git_server("bob", TOKEN)
        redirect = Redirect(other.url)
        self.addCleanup(redirect.stop)
        document = self.workspace(redirect.url + "/app.git")
        self.drive(document, "create", DRIVE_GIT_USER="bob", DRIVE_GIT_TOKEN=TOKEN).error(self, "")
        self.assertTrue(other.requests)
        self.assertEqual([r for r in other.requests if r[2]], [])

    def test_hostile_urls_branches_and_commits(self):
        bare, _ = make_repo(self.srv)
        mark = self.path("pwned")
        tries = [
            {"url": f"ext::sh -c touch% {mark}"},
            {"url": f"--upload-pack=touch {mark}"},
            {"url": f"-c core.sshCommand=touch {mark} {bare}"},
            {"url": f"ssh://-oProxyCommand=touch%20{mark}/x"},
            {"url": f"ssh://git@-oProxyCommand=touch {mark}/x"},
            {"url": "fd::0"},
            {"url": "../srv/app.git"},
            {"url": bare + "\n--upload-pack=x"},
            {"url": bare, "branch": f"--upload-pack=touch {mark}"},
            {"url": bare, "branch": "-b"},
            {"url": bare, "branch": "a b"},
            {"url": bare, "branch": "main\nx"},
            {"url": bare, "sha": f"--exec=touch {mark}", "commit": True},
            {"url": bare, "sha": "HEAD;id", "commit": True},
        ]
        for arguments in tries:
            with self.subTest(**arguments):
                document = self.workspace(repo_name="app", **arguments)
                self.drive(document, "create").error(self, "")
                self.assertFalse(os.path.exists(mark))
                self.assertFalse(os.path.exists(self.checkout()))

    def test_a_branch_with_shell_characters_is_just_a_name(self):
        name = 'we"ird$(touch${IFS}pwned);x'
        bare, _ = make_repo(self.srv, branches=(name,))
        self.drive(self.workspace(bare, branch=name), "create").ok(self)
        self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/" + name)
        self.assertFalse(os.path.exists(self.path("pwned")))

    def test_local_repositories_can_be_forbidden(self):
        bare, _ = make_repo(self.srv)
        for url in (bare, "file://" + bare):
            self.drive(self.workspace(url), "create", options=["allow_file=no"]).error(
                self, "not allowed")

    def test_no_hook_and_no_configuration_of_the_user_is_used(self):
        bare, _ = make_repo(self.srv)
        mark, template = self.path("pwned"), self.path("template")
        os.makedirs(os.path.join(template, "hooks"))
        hook = os.path.join(template, "hooks", "post-checkout")
        with open(hook, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\ntouch {mark}\n")
        os.chmod(hook, 0o755)
        with open(self.path("home", ".gitconfig"), "w", encoding="utf-8") as file:
            file.write(f"[init]\n\ttemplateDir = {template}\n")
        # The hook works: git alone would run it.
        subprocess.run(["git", "clone", "-q", bare, self.path("plain")], check=True,
                       env={**GIT_ENV, "HOME": self.path("home")})
        self.assertTrue(os.path.exists(mark))
        os.unlink(mark)
        self.drive(self.workspace(bare), "create", GIT_TEMPLATE_DIR=template).ok(self)
        self.assertFalse(os.path.exists(mark))

    def test_submodules_are_not_fetched(self):
        secret, _ = make_repo(self.srv, "secret")
        bare, _ = make_repo(self.srv, files={
            ".gitmodules": f'[submodule "s"]\n\tpath = s\n\turl = file://{secret}\n'})
        self.drive(self.workspace(bare), "create").ok(self)
        self.assertFalse(os.path.exists(self.checkout("s")))

    def test_links_that_leave_the_checkout_are_never_followed(self):
        outside = self.path("outside")
        os.makedirs(os.path.join(outside, "dir"))
        with open(os.path.join(outside, "dir", "file"), "w", encoding="utf-8") as file:
            file.write("mine")
        work = self.path("work")
        os.makedirs(work)
        git(work, "init", "-q")
        os.symlink(outside, os.path.join(work, "out"))
        os.symlink("../../../../..", os.path.join(work, "up"))
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", "links")
        document = self.workspace(work, repo_name="app")
        self.drive(document, "create", "delete").ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))
        with open(os.path.join(outside, "dir", "file"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_repository_names_cannot_leave_the_workspace(self):
        bare, _ = make_repo(self.srv)
        for name in ("../../../escape", "..", ".runner", "/tmp/x", "-rf", "a\nb", ""):
            with self.subTest(name=name):
                document = self.workspace(bare, repo_name=name)
                self.document(self.fake, self.id, repository={
                    **self.fake.workspaces[self.id]["repository"], "name": name})
                self.drive(document, "create").ok(self)
                self.assertEqual(sorted(os.listdir(self.root(self.id))), [".runner", "app"])

    def test_killed_in_the_middle_and_repeated(self):
        make_repo(self.srv)
        server = self.git_server()
        document = self.workspace(server.url + "/app.git")
        server.hold.clear()
        process = self.drive_background(document, "create")
        common.wait_for(server.arrived.is_set, 20 * common.PATIENCE, "request of git")
        process.send_signal(signal.SIGKILL)
        process.wait(10 * common.PATIENCE)
        server.hold.set()
        self.assertIn("incomplete", self.drive(document, "condition").ok(self)["condition"])
        self.drive(document, "start").error(self, "not complete")
        self.drive(document, "create").ok(self)
        self.assertTrue(os.path.exists(self.checkout("README.md")))
        self.assertEqual(self.left(), [])

    def test_told_to_stop_in_the_middle(self):
        make_repo(self.srv)
        server = self.git_server()
        document = self.workspace(server.url + "/app.git")
        server.hold.clear()
        process = self.drive_background(document, "create")
        common.wait_for(server.arrived.is_set, 20 * common.PATIENCE, "request of git")
        process.send_signal(signal.SIGTERM)
        process.finish(20).error(self, "stopped")
        self.assertEqual(common.pids_with(self.root(self.id)), [])
        self.assertEqual(self.left(), [])

    def test_a_server_that_hangs_runs_into_the_deadline(self):
        make_repo(self.srv)
        server = self.git_server()
        document = self.workspace(server.url + "/app.git")
        server.hold.clear()
        self.drive(document, "create", DRIVE_SECONDS="1").error(self, "took too long")
        self.assertEqual(common.pids_with(self.root(self.id)), [])
        self.assertEqual(self.left(), [])

    def test_without_git_there_is_one_clear_sentence(self):
        bare, _ = make_repo(self.srv)
        result = self.drive(self.workspace(bare), "check", "create", PATH=self.path("home"))
        result.error(self, "git is not installed here; install")
        self.assertIn("missing: git is not installed", result.output)

    def test_an_empty_repository_gives_an_empty_checkout(self):
        bare = os.path.join(self.srv, "app.git")
        git(self.srv, "init", "-q", "--bare", bare)
        for branch in ("trunk", ""):
            document = self.workspace(bare, branch=branch)
            self.drive(document, "create").ok(self)
            self.assertEqual(os.listdir(self.checkout()), [".git"])
            if branch:
                self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/" + branch)
            git(self.checkout(), "commit", "-q", "--allow-empty", "-m", "first")
            self.assertEqual(self.left(), [])

    def test_master_is_found_without_being_told(self):
        bare, sha = make_repo(self.srv)
        git(bare, "branch", "-m", "main", "master")
        self.drive(self.workspace(bare, branch=""), "create").ok(self)
        self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/master")
        self.assertEqual(git(self.checkout(), "rev-parse", "HEAD"), sha)

    def test_a_branch_that_a_server_guessed(self):
        """A Server that asks no git host says "main" of a repository of which it knows nothing; whoever named a branch, by
        cloneTarget or a commit, gets that one or an error."""
        bare, sha = make_repo(self.srv)
        git(bare, "branch", "-m", "main", "trunk")
        document = self.workspace(bare)
        said = self.drive(document, "create")
        said.ok(self)
        self.assertIn("the repository's own is taken", said.output)
        self.assertEqual(git(self.checkout(), "symbolic-ref", "HEAD"), "refs/heads/trunk")
        self.assertEqual(self.left(), [])
        for branch, commit, target in (("main", sha, None), ("main", "", "branch"), ("dev", "", None)):
            self.workspace(bare, branch=branch, sha=commit)
            if target:
                self.fake.workspaces[self.id]["repository"]["cloneTarget"] = target
            self.drive(self.document(self.fake, self.id), "create").error(self, f"Remote branch {branch} not found")
            self.assertFalse(os.path.exists(self.checkout()))

    def test_other_branches_can_be_fetched_later(self):
        bare, _ = make_repo(self.srv, branches=("other",))
        for branch in ("main", ""):
            document = self.workspace(bare, branch=branch)
            self.drive(document, "create").ok(self)
            git(self.checkout(), "fetch", "-q")
            git(self.checkout(), "checkout", "-q", "other")
            self.assertEqual(git(self.checkout(), "rev-parse", "HEAD"), git(bare, "rev-parse", "other"))
            self.assertEqual(git(self.checkout(), "rev-parse", "--abbrev-ref", "@{u}"), "origin/other")

    def test_one_git_makes_a_checkout_whose_settings_are_as_git_writes_them(self):
        odd = 'a"b#c'
        bare, _ = make_repo(self.srv, branches=(odd,))
        os.makedirs(self.path("bin"))
        with open(self.path("bin", "git"), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\necho run >>{self.path('runs')}\nexec {shutil.which('git')} \"$@\"\n")
        os.chmod(self.path("bin", "git"), 0o755)
        for branch in ("main", odd, ""):
            with open(self.path("runs"), "w", encoding="utf-8"):
                pass
            self.drive(self.workspace(bare, branch=branch), "create", PATH=self.path("bin") + ":" + os.environ["PATH"]).ok(self)
            with open(self.path("runs"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "run\n")
            self.assertEqual(git(self.checkout(), "config", "--get-all", "remote.origin.fetch"), "+refs/heads/*:refs/remotes/origin/*")
            self.assertEqual(git(self.checkout(), "config", "--get-all", "remote.origin.url"), "file://" + bare)
            self.assertEqual(git(self.checkout(), "config", "--get-all", f"branch.{branch or 'main'}.merge"),
                             f"refs/heads/{branch or 'main'}")

    def test_a_missing_repository_and_a_missing_branch(self):
        bare, _ = make_repo(self.srv)
        self.drive(self.workspace(bare, branch="nope"), "create").error(self, "nope not found")
        server = self.git_server()
        self.drive(self.workspace(server.url + "/none.git"), "create").error(self, "none.git")
        self.drive(self.workspace("http://127.0.0.1:1/x"), "create").error(self, "127.0.0.1")


if __name__ == "__main__":
    drivecase.main()
