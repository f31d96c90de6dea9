# SPDX-License-Identifier: Apache-2.0
"""Isolated workspaces of a runner that serves: by jobs, across its stop, crash and upgrade, by people and by kill -9."""
import json
import os
import random
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import ocicase  # noqa: E402
import sandboxcase  # noqa: E402
import servecase  # noqa: E402
from fakeregistry import FakeRegistry  # noqa: E402


class Served(servecase.ServeCase):
    def setUp(self):
        super().setUp()
        check = common.run([common.BIN, "provider", "check", "native-provider"], env=common.clean_env(self.tmp))
        if "(Image, Root)" not in check.stdout + check.stderr:
            self.skipTest("no isolation here: " + check.stdout + check.stderr)

    def add(self, **options):
        options.setdefault("Root", "/")
        options.setdefault("Grace Seconds", 2)
        return self.srv.add_workspace(self.repo_url, options=json.dumps(options))

    def record(self, workspace):
        try:
            with open(os.path.join(self.workspace_dir(workspace), ".runner/agent.json"), encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def agent(self, workspace):
        return self.record(workspace).get("pid", 0)

    def nothing_left(self, workspace):
        self.assertFalse(os.path.exists(self.workspace_dir(workspace)))
        ids = os.path.join(self.runners[-1].state, "ids")
        self.assertEqual(os.listdir(ids) if os.path.isdir(ids) else [], [])
        self.assertEqual(sandboxcase.mounts(self), [])
        uses = os.path.join(self.runners[-1].state, "images/uses")
        self.assertEqual(os.listdir(uses) if os.path.isdir(uses) else [], [])

    def test_it_outlives_the_runner(self):
        runner = self.runner(self.srv).start()
        workspace = self.add(Command="sleep 1000")
        self.job("create", workspace)
        metadata = json.loads(self.srv.provider_metadata[workspace][-1])
        self.assertEqual(metadata["isolation"], "best-effort")
        pid = self.agent(workspace)
        self.assertNotEqual(os.readlink(f"/proc/{pid}/ns/pid"), os.readlink("/proc/self/ns/pid"))
        for how in (signal.SIGKILL, signal.SIGTERM):
            runner.signal(how)
            runner.wait()
            self.assertTrue(common.alive(pid))
            runner.start()
            self.job("start", workspace)
            self.assertEqual(self.agent(workspace), pid)
        self.srv.wait(lambda: len(self.srv.agent_posts[workspace]) > 2, 30, "posts of metadata")
        self.job("restart", workspace)
        self.assertFalse(common.alive(pid))
        self.assertTrue(common.alive(self.agent(workspace)))
        self.job("stop", workspace)
        self.job("start", workspace)
        self.job("delete", workspace)
        self.nothing_left(workspace)

    def test_images_of_the_runners_mirrors(self):
        if not common.is_static(common.BIN):
            self.skipTest("the executable needs shared libraries, which an image does not have")
        registry = FakeRegistry(self)
        with open(sandboxcase.busybox() or self.skipTest("no static busybox"), "rb") as file:
            layer = ocicase.layer([ocicase.directory("bin"), ocicase.entry("bin/busybox", data=file.read(), mode=0o755),
                                   ocicase.symlink("bin/sh", "busybox"), ocicase.symlink("bin/sleep", "busybox")])
        registry.add("team/app", "1", ocicase.Image([layer], config={"Env": ["PATH=/bin"]}))
        self.runner(self.srv, runner__registry_mirrors="images.test=" + registry.host, runner__plain_http=registry.host).start()
        workspace = self.srv.add_workspace(self.repo_url, options=json.dumps(
            {"Image": "images.test/team/app:1", "Command": "sleep 1000", "Grace Seconds": 2}))
        self.job("create", workspace)
        self.assertEqual(json.loads(self.srv.provider_metadata[workspace][-1])["image"], "images.test/team/app:1")
        self.assertTrue(common.alive(self.agent(workspace)))
        self.assertTrue(any("/v2/team/app/blobs/" in path for _, path, _, _ in registry.requests))
        self.job("delete", workspace)
        self.nothing_left(workspace)

    def test_a_private_network(self):
        """Its helper may look at the namespaces of a process that is a runner's child, which nobody else may."""
        why = sandboxcase.private_network()
        if why:
            self.skipTest(why)
        self.runner(self.srv).start()
        workspace = self.add(Network="private", Command="sleep 1000")
        self.job("create", workspace)
        agent = self.record(workspace)
        helper = agent["network"]["pid"]
        self.assertTrue(common.alive(helper))
        self.assertNotEqual(os.readlink(f"/proc/{agent['pid']}/ns/net"), os.readlink("/proc/self/ns/net"))
        self.assertIn("10.0.2.100", common.read_proc(agent["pid"], "net/fib_trie").decode())
        self.job("restart", workspace)
        common.wait_for(lambda: not common.alive(helper), 20 * common.PATIENCE, "the helper's end")
        helper = self.record(workspace)["network"]["pid"]
        self.assertTrue(common.alive(helper))
        self.job("delete", workspace)
        common.wait_for(lambda: not common.alive(helper), 20 * common.PATIENCE, "the helper's end")
        self.nothing_left(workspace)

    def test_an_upgrade_of_the_executable(self):
        """The file that process 1 is bound to may be replaced and removed."""
        old = self.path("old-runner")
        shutil.copy(common.BIN, old)
        runner = self.runner(self.srv)
        start, common.BIN = common.BIN, old
        try:
            runner.start()
        finally:
            common.BIN = start
        workspace = self.add()
        self.job("create", workspace)
        pid = self.agent(workspace)
        runner.signal(signal.SIGTERM)
        runner.wait()
        os.unlink(old)
        runner.start()
        self.job("start", workspace)
        self.assertEqual(self.agent(workspace), pid)
        self.job("stop", workspace)
        self.job("delete", workspace)
        self.nothing_left(workspace)

    def test_the_image_that_a_workspace_was_made_with(self):
        if not common.is_static(common.BIN):
            self.skipTest("the executable needs shared libraries, which an image does not have")
        runner = self.runner(self.srv, **{'provider "native-provider"__image': "workspace"})
        archive = self.path("image.tar")
        with open(sandboxcase.busybox() or self.skipTest("no static busybox"), "rb") as file:
            entries = [ocicase.directory("bin"), ocicase.entry("bin/busybox", data=file.read(), mode=0o755),
                       ocicase.symlink("bin/sh", "busybox"), ocicase.directory("etc"), ocicase.entry("etc/mark")]
        ocicase.Image([ocicase.layer(entries)]).docker_archive(archive, ["made/with:1"])
        common.run([common.BIN, "image", "load", archive], env=runner.env(), check=True)
        runner.start()
        for image, isolation in (("made/with:1", "best-effort"), ("workspace:1", "none")):  # the latter: the Server's default
            workspace = self.srv.add_workspace(self.repo_url, image=image, user="root", options="{}")
            self.job("create", workspace)
            metadata = json.loads(self.srv.provider_metadata[workspace][-1])
            self.assertEqual(metadata["isolation"], isolation)
            if isolation != "none":
                self.assertTrue(os.path.exists(f"/proc/{self.agent(workspace)}/root/etc/mark"))
            self.job("restart", workspace)
            self.job("delete", workspace)
            self.nothing_left(workspace)

    def load(self, runner, *names, prefix=()):
        """Images, each of its own layers."""
        if not common.is_static(common.BIN):
            self.skipTest("the executable needs shared libraries, which an image does not have")
        with open(sandboxcase.busybox() or self.skipTest("no static busybox"), "rb") as file:
            program = file.read()
        for name in names:
            archive = self.path(name.replace("/", "-") + ".tar")
            entries = [ocicase.directory("bin"), ocicase.entry("bin/busybox", data=program, mode=0o755), ocicase.symlink("bin/sh", "busybox"),
                       ocicase.directory("etc"), ocicase.entry("etc/mark", data=name.encode()),
                       ocicase.directory("var/node", uid=1000, gid=1000, mode=0o700), ocicase.entry("var/gone", uid=5),
                       ocicase.entry("var/node/tool", data=b"tool", uid=1000, gid=7, mode=0o6755),
                       ocicase.entry("var/beyond", uid=3000000000),
                       ocicase.entry("etc/passwd", data=b"root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/:/bin/sh\n")]
            above = [ocicase.entry("var/.wh.gone")]
            ocicase.Image([ocicase.layer(entries), ocicase.layer(above)]).docker_archive(archive, [name])
            done = common.run([*prefix, common.BIN, "image", "load", archive], env=runner.env(), cwd="/")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def names(self, runner):
        done = common.run([common.BIN, "image", "list", "-f", "json"], env=runner.env())
        return sorted(image["name"].split("/")[-1] for image in json.loads(done.stdout))

    def test_old_images_go_and_no_workspace_loses_its_own(self):
        """By age, and while the disk has less room than is wanted; never while a workspace has them."""
        for settings, gone in (({}, ()), ({"runner__image_keep": 3}, ("old:1",)), ({"runner__image_keep_free": 1}, ()),
                               ({"runner__image_keep_free": 1000000000}, ("old:1", "young:1"))):
            with self.subTest(settings):
                runner = self.runner(self.srv, name=f"runner-{len(self.runners)}", **settings)
                self.load(runner, "used:1", "old:1", "young:1")
                refs = os.path.join(runner.state, "images/refs")
                for name in os.listdir(refs):
                    with open(os.path.join(refs, name), encoding="utf-8") as file:
                        if "young" not in file.read():
                            os.utime(os.path.join(refs, name), (time.time() - 4 * 86400,) * 2)
                runner.start()
                workspace = self.srv.add_workspace(self.repo_url, options=json.dumps({"Image": "used:1", "Grace Seconds": 1}))
                self.job("create", workspace)
                left = sorted({"used:1", "old:1", "young:1"} - set(gone))
                self.assertEqual(self.names(runner), left)
                self.assertEqual(bool(gone), "that nobody used (image_keep)" in runner.log())
                self.job("restart", workspace)
                self.assertTrue(os.path.exists(f"/proc/{self.agent(workspace)}/root/etc/mark"))
                self.assertEqual(self.names(runner), left)
                self.job("delete", workspace)
                # What it had was used just now; where room is wanted it goes as well.
                self.assertEqual(self.names(runner), [] if len(gone) == 2 else left)
                self.nothing_left(workspace)
                runner.stop()

    def test_an_ordinary_user_has_his_range(self):
        """By newuidmap, though a job gains no privileges; what it starts does not either."""
        if os.geteuid() != 0 or not shutil.which("newuidmap") or not shutil.which("setpriv"):
            self.skipTest("needs root, newuidmap (package uidmap) and setpriv")
        people = sandboxcase.with_ranges()
        if not people:
            self.skipTest("no ordinary user has a range in /etc/subuid")
        person = people[0]
        with open("/etc/subuid", encoding="utf-8") as file:
            first = next(int(line.split(":")[1]) for line in file if line.split(":")[0] == person.pw_name)
        prefix = ["setpriv", f"--reuid={person.pw_uid}", f"--regid={person.pw_gid}", "--clear-groups"]
        runner = self.runner(self.srv)
        before, common.BIN = common.BIN, self.path("daytona-runner")
        shutil.copy(before, common.BIN)
        try:
            for top, dirs, files in os.walk(runner.dir):
                for one in [top, *(os.path.join(top, entry) for entry in dirs + files)]:
                    os.chown(one, person.pw_uid, person.pw_gid)
            self.load(runner, "range:1", prefix=prefix)
            runner.start(prefix=prefix)
            workspace = self.srv.add_workspace(self.repo_url, image="range:1", user="node",
                                               options=json.dumps({"Image": "workspace", "Grace Seconds": 1}))
            self.job("create", workspace)
            pid = self.agent(workspace)
            self.assertEqual(os.stat(f"/proc/{pid}").st_uid, first + 999)
            for what in ("uid_map", "gid_map"):
                with open(f"/proc/{pid}/{what}", encoding="utf-8") as file:
                    self.assertEqual(file.read().split()[:5], ["0", str(person.pw_uid if what == "uid_map" else person.pw_gid), "1",
                                                               "1", str(first)])
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                self.assertIn("NoNewPrivs:\t1", file.read())
            self.assertEqual(os.stat(os.path.join(self.workspace_dir(workspace), "app")).st_uid, first + 999)
            whose = {"node": (first + 999, first + 999, 0o40700), "node/tool": (first + 999, first + 6, 0o106755),
                     "beyond": (person.pw_uid, person.pw_gid, 0o100644)}
            for _ in range(2):
                var = f"/proc/{self.agent(workspace)}/root/var/"
                for name, want in whose.items():
                    st = os.lstat(var + name)
                    self.assertEqual((st.st_uid, st.st_gid, st.st_mode), want, name)
                # What is changed later stays as it is.
                os.chown(var + "node/tool", first + 4, first + 4)
                whose["node/tool"] = (first + 4, first + 4, 0o100755)
                self.job("restart", workspace)
            self.assertEqual(os.stat(f"/proc/{self.agent(workspace)}").st_uid, first + 999)
            self.assertNotIn("only one user id", runner.log())
            self.job("delete", workspace)
            self.nothing_left(workspace)
            common.wait_for(lambda: not common.children(runner.pid), 20 * common.PATIENCE, lambda: common.children(runner.pid))
        finally:
            common.BIN = before

    def test_an_end_from_inside_is_no_secret(self):
        self.runner(self.srv).start()
        workspace = self.add()
        self.job("create", workspace)
        os.kill(self.agent(workspace), signal.SIGKILL)
        self.job("start", workspace)
        self.job("force-delete", workspace)
        self.nothing_left(workspace)

    def test_jobs_killed_at_any_moment(self):
        """Whoever is killed, job or process 1 or what is in between: a second try works, and a delete leaves nothing."""
        runner = self.runner(self.srv).start()
        rng = random.Random(3)
        for i in range(12):
            workspace = self.add(Command="sleep 1000")
            for action in ("create", "stop", "start"):
                job = self.srv.add_job("workspace", action, workspace)
                until = time.monotonic() + rng.uniform(0, 0.5)
                while time.monotonic() < until and self.srv.jobs[job]["state"] not in ("success", "error"):
                    time.sleep(0.002)
                victims = common.descendants(runner.pid)
                if victims and i % 3:
                    try:
                        os.kill(rng.choice(victims), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.srv.wait_final(job, 60 * common.PATIENCE)
            self.job("create", workspace)
            self.assertTrue(common.alive(self.agent(workspace)))
            pid = self.agent(workspace)
            self.job("delete", workspace)
            self.assertFalse(common.alive(pid))
            self.nothing_left(workspace)


if __name__ == "__main__":
    common.main()
