# SPDX-License-Identifier: Apache-2.0
"""Containers that the docker provider makes for itself: what they are made of and what they see (scripted engine)."""
import hashlib
import io
import json
import os
import shutil
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import drivecase  # noqa: E402
from enginecase import TARGET, WORKSPACE, EngineCase  # noqa: E402
from sshcase import SshCase  # noqa: E402


class Helper(SshCase):
    """What the user of ssh may not remove, since it belongs to the workspace's user, the engine's root does: in a
    container of the runner's own image that has that directory alone."""
    IDENTITY = ("daytona.target.id", "daytona.workspace.id", "daytona.workspace.repository.url", "daytona.build.id",
                "daytona.runner.nonce")

    def setUp(self):
        super().setUp()
        self.dir = self.path("data", WORKSPACE)
        self.notes = os.path.join(self.state, "workspaces", WORKSPACE)
        self.fill()
        with open(self.path("norm"), "w", encoding="utf-8") as file:
            file.write(self.dir)
        self.engine.fault("POST /containers/.*/start", self.run_helper)
        self.ran = []

    def fill(self):
        os.makedirs(os.path.join(self.dir, "app", "deep"))

    def run_helper(self, conn, request):
        """Does what the real one would, and is gone at once."""
        container = self.engine.find(request.path.split("/")[2])
        for mount in container.body["HostConfig"]["Mounts"]:
            for name in os.listdir(mount["Source"]):
                shutil.rmtree(os.path.join(mount["Source"], name))
        self.ran.append(container)
        del self.engine.containers[container.id]
        self.engine.reply(conn, request, 204)
        return True

    def document(self):
        path = self.remote()
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        value.update(buildConfig={})
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file)
        return path

    def test_sees_one_directory_and_has_nothing_of_an_image(self):
        poser = self.engine.add_container("daytona-remove-" + WORKSPACE, {"daytona.runner.helper": WORKSPACE})
        other = self.engine.add_container("git-clone-" + WORKSPACE, {"daytona.runner.helper": WORKSPACE})
        self.drive(self.document(), "delete").ok(self)
        self.assertFalse(os.path.exists(self.dir))
        self.assertFalse(os.path.exists(self.notes))
        self.assertEqual(sorted(self.engine.containers), sorted([poser.id, other.id]))
        container, = self.ran
        body, host = container.body, container.body["HostConfig"]
        self.assertRegex(container.name, "^daytona-helper-[0-9a-f]{32}$")
        (name, image), = [x for x in self.engine.images.items() if "helper" in x[0]]
        layer = hashlib.sha256(self.layer()).hexdigest()
        self.assertEqual((name, image["RootFS"]["Layers"]), ("daytona-runner/helper:" + layer, ["sha256:" + layer]))
        self.assertEqual(body["Image"], image["Id"])
        self.assertEqual(host["Mounts"], [{"Type": "bind", "Source": self.dir, "Target": "/work"}])
        self.assertEqual(body["Entrypoint"], ["/.daytona/daytona-runner", "container-init", "--empty", "/work"])
        self.assertEqual((body["User"], body["WorkingDir"], body["Env"]), ("0:0", "/", []))
        self.assertEqual(body["Healthcheck"], {"Test": ["NONE"]})
        wanted = {"NetworkMode": "none", "ReadonlyRootfs": True, "AutoRemove": True, "Privileged": False,
                  "CapDrop": ["ALL"], "CapAdd": ["DAC_OVERRIDE", "FOWNER"], "SecurityOpt": ["no-new-privileges"]}
        self.assertEqual({key: host[key] for key in wanted}, wanted)
        self.assertEqual(set(host) - set(wanted), {"Mounts"})
        self.assertEqual({key: body["Labels"][key] for key in self.IDENTITY}, dict.fromkeys(self.IDENTITY, ""))
        # The next one is another, of the same image, which is there by now.
        self.fill()
        self.drive(self.document(), "delete").ok(self)
        self.assertNotEqual(self.ran[0].name, self.ran[1].name)
        self.assertEqual(len(self.engine.calls("POST /images/load")), 1)

    def layer(self):
        request, = self.engine.calls("POST /images/load")
        data = tarfile.open(fileobj=io.BytesIO(request.body)).extractfile("layer.tar").read()
        files = tarfile.open(fileobj=io.BytesIO(data))
        self.assertEqual(files.getnames(), [".daytona", "work", ".daytona/daytona-runner"])
        with open(self.program, "rb") as file:
            self.assertEqual(files.extractfile(".daytona/daytona-runner").read(), file.read())
        return data

    def test_image_that_only_has_the_name(self):
        self.drive(self.document(), "delete").ok(self)
        (name, honest), = [x for x in self.engine.images.items() if "helper" in x[0]]
        layers, other = honest["RootFS"], {"Type": "layers", "Layers": ["sha256:" + "2" * 64]}
        posing = [dict(honest, RootFS=other), dict(honest, RootFS=None),
                  dict(honest, RootFS=dict(layers, Layers=layers["Layers"] * 2)),
                  dict(honest, Config={"Env": ["LD_PRELOAD=/x"]}), dict(honest, Config={"Labels": {"a": "b"}}),
                  dict(honest, Config={"Volumes": {"/work": {}}})]
        for image in posing:
            self.fill()
            self.engine.images[name] = dict(image, Id="sha256:" + "3" * 64)
            self.assertIn("is not what its name says", self.drive(self.document(), "delete").ok(self).output)
            self.assertEqual(self.ran[-1].body["Image"], honest["Id"])
        # An engine that shows something else even after the load gets nothing to run.
        self.fill()
        self.engine.images[name] = dict(posing[0], Id="sha256:" + "3" * 64)
        self.engine.fault("POST /images/load", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        count = len(self.ran)
        result = self.drive(self.document(), "delete").error(self, "rm on build1.test")
        self.assertIn("nothing is run as root from it", result.output)
        self.assertEqual(len(self.ran), count)

    def test_engine_that_takes_no_images(self):
        self.engine.fault("POST /images/load", 403)
        result = self.drive(self.document(), "delete").error(self, "rm on build1.test: rm: cannot remove 'a'")
        self.assertRegex(result.output, "injected 403.*allow the runner POST /images/load")
        self.assertNotIn("'b'", result.actions[-1][1])
        self.assertEqual((self.ran, self.engine.containers), ([], {}))

    def test_engine_on_another_architecture(self):
        with open(self.program, "r+b") as file:
            file.seek(18)
            file.write(b"\xb7")
        result = self.drive(self.document(), "delete").error(self, "rm on build1.test")
        self.assertRegex(result.output, "no helper container can run there: .* is for arm64.*set agent_binary")
        self.assertEqual((self.ran, self.engine.calls("POST /images/load")), ([], []))

    def test_one_that_was_left(self):
        """Known by the name that was recorded for it, and by nothing else."""
        mine = self.engine.add_container("daytona-helper-" + "a" * 32, {})
        other = self.engine.add_container("b" * 47, {"daytona.runner.helper": WORKSPACE})
        for name, left in ((mine.name, [other.id]), (other.name, [other.id]), ("../" + "b" * 44, [other.id]), ("", [other.id])):
            os.makedirs(self.notes, exist_ok=True)
            with open(os.path.join(self.notes, ".docker-helper"), "w", encoding="ascii") as file:
                file.write(name)
            self.drive(self.document(), "delete").ok(self)
            self.assertEqual(list(self.engine.containers), left)
            self.fill()

    def test_start_that_fails(self):
        self.engine.faults.clear()
        self.engine.fault("POST /containers/.*/start", 500)
        result = self.drive(self.document(), "delete").error(self, "rm on build1.test: rm: cannot remove 'a'")
        self.assertIn("injected 500", result.output)
        self.assertEqual(self.engine.containers, {})


class Clone(EngineCase):
    """Without a git on the runner, the Server's builder image clones, into the one directory that it sees."""

    def env(self, **extra):
        return dict(super().env(**extra), PATH=self.path("empty"))

    def test_sees_the_clone_alone(self):
        self.engine.add_image("builder:1")
        self.engine.exec_status = 0
        path = self.workspace(buildConfig={})
        self.engine.add_container("git-clone-" + WORKSPACE, {"daytona.runner.helper": WORKSPACE})
        seen = []

        def on_start(conn, request):
            container = self.engine.find(request.path.split("/")[2])
            seen.append((container, {m["Source"]: os.listdir(m["Source"]) for m in container.body["HostConfig"]["Mounts"]}))
            return False
        self.engine.fault("POST /containers/.*/start", on_start)
        self.drive(path, "create", DRIVE_BUILDER="builder:1").ok(self)
        (container, mounted), = seen
        part = os.path.join(self.state, "workspaces", WORKSPACE, "app.part")
        self.assertEqual(mounted, {part: []})
        body, host = container.body, container.body["HostConfig"]
        self.assertEqual((body["Image"], body["Healthcheck"]), ("builder:1", {"Test": ["NONE"]}))
        self.assertEqual(body["User"], f"{os.geteuid()}:{os.getegid()}")
        self.assertEqual((host["AutoRemove"], host["ReadonlyRootfs"], host["CapDrop"], host["SecurityOpt"]),
                         (True, True, ["ALL"], ["no-new-privileges"]))
        self.assertNotIn("CapAdd", host)
        self.assertEqual(body["Entrypoint"][0], "sleep")
        self.assertLess(int(body["Entrypoint"][1]), 86401)
        self.assertEqual(sorted(c.name for c in self.engine.containers.values()),
                         sorted(["git-clone-" + WORKSPACE, f"{TARGET}-{WORKSPACE}"]))
        clone = self.engine.calls("POST /containers/.*/exec")[0].json()["Cmd"]
        self.assertEqual(clone[-2:], ["https://example.test/acme/app", "/work"])

    def test_a_branch_that_a_server_guessed(self):
        """The repository's own is taken only where it says that it has no main, not after any failure."""
        self.engine.add_image("builder:1")
        own = ["git", "clone", "--single-branch", "--", "https://example.test/acme/app", "/work"]
        for listed in (2, 0, 128):
            with self.subTest(listed=listed):
                path = self.workspace(buildConfig={})
                before = len(self.engine.calls("POST /containers/.*/exec"))
                self.engine.exec_status = lambda spec: listed if "ls-remote" in spec["Cmd"] else 128 if "main" in spec["Cmd"] else 0
                result = self.drive(path, "create", DRIVE_BUILDER="builder:1")
                ran = [call.json()["Cmd"] for call in self.engine.calls("POST /containers/.*/exec")[before:]]
                self.assertEqual(own in ran, listed == 2, ran)
                if listed == 2:
                    self.assertIn("the repository's own is taken", result.ok(self).output)
                    self.drive(path, "delete").ok(self)
                else:
                    result.error(self, "git clone failed with exit code 128")


if __name__ == "__main__":
    drivecase.main()
