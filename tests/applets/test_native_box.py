# SPDX-License-Identifier: Apache-2.0
"""native-provider: workspaces with namespaces of their own, from images, trees, archives and the host's root."""
import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tarfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import boxcase  # noqa: E402
import common  # noqa: E402
import ocicase  # noqa: E402
import sandboxcase  # noqa: E402
from fakeregistry import FakeRegistry  # noqa: E402
from gitserver import make_repo  # noqa: E402
from sandboxcase import ROOT, USER, has_ids  # noqa: E402


class Boxes(boxcase.BoxCase):
    def each(self):
        for who in sandboxcase.people():
            self.be(who)
            self.need()
            yield who

    def left(self):
        """What is in the state directory beside the store of images."""
        found = []
        for top, dirs, files in os.walk(self.state):
            if os.path.basename(top) == "images":
                found += os.listdir(os.path.join(top, "uses")) if os.path.isdir(os.path.join(top, "uses")) else []
                dirs.clear()
            else:
                found += [os.path.join(top, name) for name in files if name != ".daytona-runner"] + \
                    [os.path.join(top, name) for name in dirs if os.path.islink(os.path.join(top, name))]
        return found

    def life(self, config, check, **extra):
        """Create to delete, with what check looks at in between, and nothing left."""
        before = sandboxcase.mounts(self)
        document = self.workspace(config)
        result = self.go(document, "create", "condition", "start", "condition", "info", **extra).ok(self)
        self.assertEqual([text for name, text in result.actions if name == "condition"], ["stopped", "running"])
        info = json.loads(result["info"])
        agent = self.agent()
        self.assertEqual(str(agent["pid"]), info["agent.pid"])
        family = self.inside(agent["pid"])
        self.assertNotIn(os.getpid(), family)
        check(result.output, info)
        self.assertIn("runs already", self.go(document, "start", **extra).ok(self).output)
        result = self.go(document, "stop", "condition", "stop", **extra).ok(self)
        self.assertEqual(result["condition"], "stopped")
        self.assertEqual([pid for pid in family if common.alive(pid)], [])
        result = self.go(document, "start", "condition", **extra).ok(self)
        self.assertEqual(result["condition"], "running")
        self.assertNotEqual(self.agent()["pid"], agent["pid"])
        self.go(document, "delete", "delete", **extra).ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))
        self.assertEqual(self.left(), [])
        self.assertEqual(sandboxcase.mounts(self), before)

    def test_the_hosts_root(self):
        for who in self.each():
            for extra in ({}, {"options": ["network=none"]}):
                def check(output, info):
                    self.assertIn("isolation: best-effort (namespaces", output)
                    self.assertEqual(info["isolation"], "best-effort")
                    self.wait_log("END")
                    self.assertIn("\nREADME.md\n", self.log())
                    self.assertIn("state 0", self.log())
                    self.assertIn("Read-only file system", self.log())
                self.life({"Root": "/", "Command": f"echo checkout; ls; ls {self.state} 2>/dev/null | wc -l | sed 's/^/state /'; "
                                                   "touch /usr/x; cat /proc/self/status | grep NoNewPrivs; echo END; sleep 1000"},
                          check, **extra)

    def test_an_image(self):
        self.need_static()
        for who in self.each():
            self.load_image(config={"Env": ["FROM_IMAGE=yes", "PATH=/bin"], "User": "node"})

            def check(output, info, who=who):
                self.wait_log("END")
                lines = self.log().splitlines()
                self.assertIn("second no-gone yes here", lines)
                self.assertEqual(info["image"], "docker.io/" + boxcase.BASE)
                if has_ids(who):
                    self.assertIn("1000 /var/node", lines)
                    self.assertIn("home is ours", lines)
                else:
                    self.assertIn("is not possible", output)
                self.assertIn("/workspaces/app", lines)
            self.life({"Image": boxcase.BASE, "Command":
                       "cat /etc/gone 2>/dev/null || echo $(cat /etc/which) no-gone $FROM_IMAGE here; echo $(id -u) $HOME; pwd; "
                       "touch $HOME/new && echo home is ours; "
                       "touch mine; echo END; sleep 1000"}, check)

    def test_what_another_runner_could_do_is_tried_again(self):
        """It may have been in another container of the same boot, with other rights."""
        self.need_static()
        for who in self.each():
            self.load_image()
            path = os.path.join(self.state, "images", "proven")
            self.go(self.workspace({"Image": boxcase.BASE}), "create").ok(self)
            if not os.path.exists(path):
                self.skipTest("overlays are not possible here")
            with open(path, encoding="utf-8") as file:
                said = file.read()
            boot, pid, start, *what = said.split()
            self.assertEqual(int(pid), os.getpid())
            for other in ((boot, pid, str(int(start) + 1), *what), (boot, str(int(pid) + 1), start, *what)):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(" ".join(other))
                self.go(self.workspace({"Image": boxcase.BASE}), "create").ok(self)
                with open(path, encoding="utf-8") as file:
                    self.assertEqual(file.read(), said)

    def forget_the_making(self):
        """As if it had been cut short."""
        path = self.root(self.id, ".runner", "workspace.json")
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        del state["sandbox"]
        state["complete"] = False
        with open(path, "w", encoding="utf-8") as file:
            json.dump(state, file)

    def test_the_making_was_cut_short(self):
        """Files of other ids are there before the record says whose ids they are: a delete removes them all the same."""
        self.need_static()
        for who in self.each():
            self.load_image()
            document = self.workspace({"Image": boxcase.BASE, "Command": "touch /var/node/new; echo END; sleep 1000"})
            self.go(document, "create", "start").ok(self)
            self.wait_log("END")
            self.go(document, "stop").ok(self)
            self.forget_the_making()
            self.go(document, "delete").ok(self)
            self.assertFalse(os.path.exists(self.root(self.id)))
            self.assertEqual(self.left(), [])

    def test_owners_are_given_once_and_as_a_whole(self):
        """Wherever that was cut off: the second try does what is missing, and nothing of what is done."""
        self.need_static()
        self.be(sandboxcase.ranged(self))
        if os.geteuid() != 0:
            self.skipTest("needs root, to cut it off")
        self.need()
        self.load_image(layers=self.busybox_layers([ocicase.entry("var/node/tool", data=b"tool", uid=1000, gid=7, mode=0o6755)]))
        record, noted = "user.containers.override_stat", b"1000:7:06755"
        document = self.workspace({"Image": boxcase.BASE, "Command": "stat -c '%u:%g %a' /var/node/tool; echo END; sleep 1000"})
        self.go(document, "create").ok(self)
        path = self.root(self.id, ".runner/box/upper/var/node/tool")
        whole = os.stat(path)
        self.assertEqual(whole.st_mode & 0o7777, 0o6755)
        self.assertNotIn(record, os.listxattr(path))
        uid, gid = sandboxcase.ids(self.who)
        whose = whole.st_uid, whole.st_gid
        for owner, mode, said in (((uid, gid), 0o6755, True), (whose, 0o755, True), (whose, 0o6755, True), ((uid, whole.st_gid), 0o700, False)):
            os.chown(path, *owner)
            os.chmod(path, mode)
            if said:
                os.setxattr(path, record, noted)
            self.forget_the_making()
            self.go(document, "create").ok(self)
            now = os.stat(path)
            self.assertEqual((now.st_uid, now.st_gid, now.st_mode & 0o7777), (*whose, 0o6755) if said else (*owner, mode))
            self.assertNotIn(record, os.listxattr(path))
        self.go(document, "start").ok(self)
        self.wait_log("END")
        self.assertIn("0:7 700\n", self.log())
        self.go(document, "delete").ok(self)
        self.assertEqual(self.left(), [])

    def test_what_was_written_stays_until_the_delete(self):
        self.need_static()
        for who in self.each():
            self.load_image()
            document = self.workspace({"Image": boxcase.BASE, "Command":
                                       "cat /etc/which; echo; echo mine >/etc/which; rm -f /bin/vi; ls /bin/vi; echo END; sleep 1000"})
            self.go(document, "create", "start").ok(self)
            self.wait_log("END")
            self.assertIn("second", self.log())
            # As after a reboot: nothing runs, no mount is there, and the tag may be another image meanwhile.
            os.kill(self.agent()["pid"], signal.SIGKILL)
            common.wait_for(lambda: self.go(document, "condition")["condition"] == "stopped", 20 * common.PATIENCE, "its end")
            self.load_image(layers=[ocicase.layer(ocicase.base())])
            self.go(document, "start").ok(self)
            self.wait_log("END")
            self.assertIn("mine", self.log())
            self.go(document, "delete").ok(self)
            self.assertEqual(self.left(), [])

    def test_a_tree_and_an_archive(self):
        self.need_static()
        for who in self.each():
            tree = self.path(f"roots-{who}", "tree")
            archive = self.path(f"roots-{who}", "tree.tar.gz")
            case = sandboxcase.SandboxCase.image(self, who, f"roots-{who}/tree")
            self.assertEqual(case, tree)
            with tarfile.open(archive, "w:gz") as tar:
                for name in sorted(os.listdir(tree)):
                    tar.add(os.path.join(tree, name), name)
            listed = sorted(os.listdir(tree + "/etc"))
            allowed = ["roots=" + self.path(f"roots-{who}")]

            def check(output, info):
                self.wait_log("END")
                self.assertIn("uid=0", self.log())
            for root in (tree, archive):
                self.life({"Root": root, "Command": "id; echo x >/etc/new; rm /bin/vi; echo END; sleep 1000"}, check,
                          options=allowed)
            self.assertEqual(sorted(os.listdir(tree + "/etc")), listed)
            document = self.workspace({"Root": tree})
            self.go(document, "create").error(self, "the operator of this runner has to allow it")
            os.symlink("/etc", self.path(f"roots-{who}", "link"))
            document = self.workspace({"Root": self.path(f"roots-{who}", "link")})
            self.go(document, "create", options=allowed).error(self, "is /etc, which the operator has not allowed")
            if who != ROOT and os.geteuid() == 0:  # as root's debootstrap leaves it
                os.chown(tree, 0, 0)
                document = self.workspace({"Root": tree})
                self.go(document, "create", options=allowed).error(self, f"{tree} belongs to user 0, who is nobody inside")

    def test_an_image_is_pulled_with_the_jobs_login(self):
        self.need_static()
        layers = self.busybox_layers()
        for who in self.each():
            registry = FakeRegistry(self)
            registry.basic = ("alice", "registry-password")
            registry.add("team/dev", "1", ocicase.Image(layers, way="gzip"))
            name = f"{registry.host}/team/dev:1"
            options = ["plain_http=other.test," + registry.host]
            document = self.workspace({"Image": name, "Command": "cat /etc/which; echo END; sleep 1000"})
            self.go(document, "create", options=options).error(self, "401|denied|login|unauthorized|authenticat")
            self.assertEqual(self.go(document, "condition")["condition"], "incomplete")
            login = {"A_CONTAINER_REGISTRY_SERVER": registry.host, "A_CONTAINER_REGISTRY_USERNAME": "alice",
                     "A_CONTAINER_REGISTRY_PASSWORD": "registry-password"}
            document = self.document(self.fake, self.id, envVars=login)
            result = self.go(document, "create", "start", options=options).ok(self)
            self.assertIn(f"pulling image {name}", result.output)
            self.assertRegex(result.output, r"100 % of \d+\.\d MiB")
            self.assertNotIn("registry-password", result.output)
            self.wait_log("END")
            self.assertIn("second", self.log())
            # It is here now: another workspace asks nobody.
            first = self.id
            asked = len(registry.requests)
            other = self.workspace({"Image": name}, env=login)
            self.go(other, "create", "start", options=options).ok(self)
            self.assertEqual(len(registry.requests), asked)
            self.go(other, "delete").ok(self)
            self.id = first
            self.go(document, "delete").ok(self)
            self.assertEqual(self.left(), [])

    def test_what_a_login_brought_is_not_had_by_its_digest(self):
        """Somebody's own registry names blobs and layers that another's login has brought: it has to have them."""
        self.need_static()
        layers = self.busybox_layers()
        for who in self.each():
            owner, thief = FakeRegistry(self), FakeRegistry(self)
            owner.basic = ("alice", "of-alice")
            options = [f"plain_http={owner.host},{thief.host}"]
            login = {"A_CONTAINER_REGISTRY_SERVER": owner.host, "A_CONTAINER_REGISTRY_USERNAME": "alice",
                     "A_CONTAINER_REGISTRY_PASSWORD": "of-alice"}

            def ask(tag, image, without=()):
                for digest in without:
                    del image.blobs[digest]
                thief.add(tag, "1", image)
                document = self.workspace({"Image": f"{thief.host}/{tag}:1"})
                result = self.go(document, "create", options=options, DRIVE_SECONDS="60")
                self.go(document, "delete").ok(self)
                return result

            other = [ocicase.layer([ocicase.entry(f"other{i}", data=b"x")]) for i in range(len(layers))]
            refs = os.path.join(self.state, "images", "refs")
            for named in ("named", "held"):     # and by nobody's name, since its workspace alone has it still
                def image(config={"Env": ["PATH=/bin", f"STATE={named}"]}):
                    return ocicase.Image(layers, way="gzip", config=config)
                owner.add(f"team/own-{named}", "1", image())
                self.workspace({"Image": f"{owner.host}/team/own-{named}:1"})
                held, holder = self.document(self.fake, self.id, envVars=login), self.id
                self.go(held, "create", options=options).ok(self)
                for name in os.listdir(refs) if named == "held" else ():
                    os.unlink(os.path.join(refs, name))
                # What he has had to show he has shown: so the configuration comes first.
                where = f"x-{named}/"
                ask(where + "config", image(), [image().config_digest]).error(self, "404|not found|unknown")
                ask(where + "blob", image(), [ocicase.digest(image().packed[-1])]).error(self, "404|not found|unknown")
                ask(where + "layer", ocicase.Image(other, way="gzip", diff_ids=image().config["rootfs"]["diff_ids"])).error(self, "it unpacks to")
                if named == "held":
                    ask(where + "all", image()).ok(self)
                    asked = len(thief.requests)
                    ask(where + "again", image()).ok(self)
                    self.assertEqual([path for _, path, _, _ in thief.requests[asked:] if "blobs" in path], [], "by now it is everybody's")
                self.id = holder
                self.go(held, "delete").ok(self)

    def dev_workspace(self, text, name):
        bare, _ = make_repo(self.path("srv"), name, files={".devcontainer/devcontainer.json": text, "README.md": "hello\n"})
        self.id = self.fake.add_workspace(bare, options=json.dumps({"Image": "devcontainer", "Grace Seconds": 1}))
        return self.document(self.fake, self.id)

    def test_a_dev_container_of_an_image(self):
        self.need_static()
        for who in self.each():
            self.load_image(config={"Env": ["PATH=/bin"], "Labels":
                                    {"devcontainer.metadata": json.dumps([{"onCreateCommand": "echo of the image $(id -u)"}])}})
            document = self.dev_workspace("""{ // with comments
                "image": "%s", "remoteUser": "node",
                "containerEnv": { "WHERE": "${containerWorkspaceFolder}" }, "remoteEnv": { "EXTRA": "$x ${containerEnv:WHERE}" },
                "onCreateCommand": "echo create $WHERE; echo once >>once; echo \\"$EXTRA\\"",
                "postCreateCommand": { "first": ["sh", "-c", "echo first $PWD"], "second": "seq 30000 | tail -n 20000; echo second" },
                "postStartCommand": "echo start >>starts", "postAttachCommand": "echo attached; exit 4" }""" % boxcase.BASE, f"dev-{who}")
            result = self.go(document, "create", "start").ok(self)
            uid = 1000 if has_ids(who) else 0
            for text in (f"of the image {uid}", f"create /workspaces/dev-{who}", f"$x /workspaces/dev-{who}",
                         f"first /workspaces/dev-{who}", "\n30000\nsecond", "\nattached\n",
                         "Warning: postAttachCommand failed: exit status 4"):
                self.assertIn(text, result.output)
            again = self.go(document, "stop", "start", "condition").ok(self)
            self.assertIn("\nattached\n", again.output)
            self.assertEqual(again["condition"], "running")
            with open(self.root(self.id, f"dev-{who}", "once"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "once\n")
            with open(self.root(self.id, f"dev-{who}", "starts"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "start\n" * 2)
            self.go(document, "delete").ok(self)
            self.assertEqual(self.left(), [])

    def test_a_command_of_a_dev_container_that_fails(self):
        """Of the content: the start fails and is tried again from there. Later: a warning, and those behind it wait for the next start."""
        self.need_static()
        for who in self.each():
            self.load_image(config={"Env": ["PATH=/bin"]})
            commands = {"onCreateCommand": "echo ran on-create", "updateContentCommand": "echo ran update; echo x >>tries; [ $(wc -l <tries) = 2 ]",
                        "postCreateCommand": "echo ran post-create; exit 3", "postStartCommand": "echo ran post-start",
                        "postAttachCommand": "echo ran post-attach"}
            document = self.dev_workspace(json.dumps({"image": boxcase.BASE, **commands}), f"fails-{who}")
            self.go(document, "create").ok(self)

            def start(wanted, *actions):
                result = self.go(document, *actions)
                self.assertEqual(re.findall("^ran (.*)$", result.output, re.M), wanted)
                return result
            start(["on-create", "update"], "start").error(self, "updateContentCommand failed: exit status 1")
            self.assertEqual(self.go(document, "condition")["condition"], "stopped")
            result = start(["update", "post-create"], "start", "condition").ok(self)
            self.assertIn("Warning: postCreateCommand failed: exit status 3", result.output)
            self.assertEqual(result["condition"], "running")
            start([], "start").ok(self)
            start(["post-start", "post-attach"], "stop", "start").ok(self)
            # As it was written before.
            with open(self.root(self.id, ".runner/box/created"), "w", encoding="utf-8") as file:
                file.write("1\n")
            start(["post-start", "post-attach"], "stop", "start").ok(self)
            self.go(document, "delete").ok(self)
            self.assertEqual(self.left(), [])

    def test_a_dev_container_that_cannot_be(self):
        self.need_static()
        for who in self.each():
            self.load_image()
            for i, (text, answer) in enumerate((
                    ('{"build": {"dockerfile": "Dockerfile"}}', "is not a file of the repository"),
                    ('{"dockerComposeFile": "x.yml"}', '"dockerComposeFile" needs a container engine'),
                    ('{}', "names no image"), ('{"image": 5}', "names no image"), ("{", "devcontainer.json"))):
                document = self.dev_workspace(text, f"no-{who}-{i}")
                self.go(document, "create").error(self, answer)
                self.go(document, "delete").ok(self)
            document = self.workspace({"Image": "devcontainer"})
            self.go(document, "create").error(self, "no .devcontainer/devcontainer.json")
            self.go(document, "delete").ok(self)
            document = self.dev_workspace('{"image": "%s", "onCreateCommand": "echo oh; exit 3"}' % boxcase.BASE, f"bad-{who}")
            self.go(document, "create").ok(self)
            result = self.go(document, "start", "condition")
            self.assertRegex(result["start"], "onCreateCommand failed: exit status 3")
            self.assertEqual(result["condition"], "stopped")
            self.go(document, "delete").ok(self)
            self.assertEqual(self.left(), [])

    def test_where_overlays_are_not_possible_all_is_copied(self):
        self.need_static()
        if os.geteuid() != 0:
            self.skipTest("only root mounts")
        for name in ("lower", "upper", "work"):
            os.mkdir(self.path(name))
        where = self.path("mounted")
        os.mkdir(where)
        done = common.run(["mount", "-t", "overlay", "overlay", "-o",
                           f"lowerdir={self.path('lower')},upperdir={self.path('upper')},workdir={self.path('work')}", where])
        if done.returncode != 0:
            self.skipTest("no overlayfs here: " + done.stderr.strip())
        self.addCleanup(common.run, ["umount", "-l", where])
        for who in self.each():
            self.state = os.path.join(where, who)
            os.mkdir(self.state, 0o700)
            if who == USER:
                os.chown(self.state, sandboxcase.ORDINARY, sandboxcase.ORDINARY)
            # Nor are whiteouts there, so this image has none.
            self.load_image(self.busybox_layers(whiteout=False), config={"User": "node"})
            document = self.workspace({"Image": boxcase.BASE, "Command":
                                       "cat /etc/which; echo; echo x >/var/node/x; id -u; ls -ldn /var/node; "
                                       "echo END; sleep 1000"})
            result = self.go(document, "create", "start").ok(self)
            self.assertIn("the image is copied", result.output)
            self.wait_log("END")
            self.assertIn("second", self.log())
            if has_ids(who):
                self.assertRegex(self.log(), r"\n1000\n(.*\n)*.* 1000 +1000 ")  # with lines of the agent's between
            self.go(document, "delete").ok(self)
            self.assertEqual(self.left(), [])

    give = sandboxcase.SandboxCase.give

    def test_strict_is_strict(self):
        for who in self.each():
            document = self.workspace({"Isolation": "strict", "Network": "none"})
            strict = "isolation strict and" in self.go(document, "check").output
            result = self.go(document, "create", "start", "info")
            if strict:
                result.ok(self)
                self.assertEqual(json.loads(result["info"])["isolation"], "strict")
            else:
                self.assertRegex(result["create"], "^error .*Isolation=strict: only one user id")
            self.go(document, "delete").ok(self)

    def test_the_isolation_of_a_workspace_does_not_change(self):
        for who in self.each():
            document = self.workspace({})
            self.go(document, "create", "start").ok(self)
            self.go(document, "stop").ok(self)
            with open(document, encoding="utf-8") as file:
                text = json.load(file)
            text["target"]["targetConfig"]["options"] = json.dumps({"Root": "/"})
            with open(document, "w", encoding="utf-8") as file:
                json.dump(text, file)
            self.go(document, "start").error(self, "isolation has changed")
            self.go(document, "delete").ok(self)

    def test_ranges_are_not_shared(self):
        if os.geteuid() != 0:
            self.skipTest("only root has ranges")
        self.be(ROOT)
        self.need()
        documents = []
        for _ in range(4):
            documents.append(self.workspace({"Root": "/", "Network": "host"}))
            self.go(documents[-1], "create").ok(self)
            documents[-1] = (documents[-1], self.id)
        ids = os.path.join(self.state, "ids")
        self.assertEqual(sorted(os.readlink(os.path.join(ids, name)) for name in os.listdir(ids)),
                         sorted(workspace for _, workspace in documents))
        bases = set()
        for document, workspace in documents:
            with open(self.root(workspace, ".runner", "workspace.json"), encoding="utf-8") as file:
                bases.add(json.load(file)["sandbox"]["uids"])
            self.go(document, "create").ok(self)
        self.assertEqual(len(bases), 4)
        for document, _ in documents:
            self.go(document, "delete").ok(self)
        self.assertEqual(os.listdir(ids), [])

    def test_a_hidden_state(self):
        """Nothing of .runner is seen or written to from inside."""
        for who in self.each():
            document = self.workspace({"Root": "/", "Command":
                                       "ls -a; ls -a ..; find / -xdev -name agent.json 2>/dev/null | wc -l; "
                                       "find / -name workspace.json 2>/dev/null | head -3; echo END; sleep 1000"})
            self.go(document, "create", "start").ok(self)
            self.wait_log("END")
            self.assertNotIn(".runner", self.log())
            self.assertNotIn("workspace.json", self.log())
            self.go(document, "delete").ok(self)

    def test_killed_at_any_moment_all_can_be_deleted(self):
        for who in self.each():
            before = sandboxcase.mounts(self)
            rng = random.Random(7)
            for i in range(16):
                document = self.workspace({"Root": "/", "Grace Seconds": 1, "Command": "sleep 1000 & sleep 1000"})
                drive = subprocess.Popen(self.command(document, "create", "start", "stop", "start"),
                                         env=self.env(DRIVE_API_URL=self.fake.url), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.tmp,
                                         start_new_session=True)
                time.sleep(rng.uniform(0.005, 0.6) if i % 4 else 0.001)  # a moment, not a wait for anything
                pid = self.agent().get("pid")
                if i % 2 and pid:
                    family = self.inside(pid)
                    os.kill(rng.choice(family or [drive.pid]), signal.SIGKILL)
                drive.kill()
                drive.wait()
                # As a runner does with what a killed job leaves in its session: git's programs would go on.
                session = [pid for pid in common.all_pids() if common.session(pid) == drive.pid]
                for one in session:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one, signal.SIGKILL)
                common.wait_for(lambda session=session: not [one for one in session if common.alive(one)], 20 * common.PATIENCE, "its end")
                self.assertIn(self.go(document, "condition")["condition"], ("missing", "incomplete", "stopped", "running"))
                if i % 3 == 0:
                    self.go(document, "create", "start").ok(self)
                self.go(document, "delete").ok(self)
                pid = self.agent().get("pid")
                self.assertEqual(self.left(), [])
            self.assertEqual(sandboxcase.mounts(self), before)
            marked = [pid for pid in common.all_pids() if common.alive(pid) and
                      self.state.encode() in common.read_proc(pid, "mountinfo")]
            common.wait_for(lambda: not [pid for pid in marked if common.alive(pid)], 20 * common.PATIENCE, "the end of all")


if __name__ == "__main__":
    boxcase.main()
