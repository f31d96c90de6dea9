# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""Whose container is it: what images, containers and compose files say of themselves is not believed (real engine)."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import dockercase  # noqa: E402
import drivecase  # noqa: E402
from dockercase import docker  # noqa: E402
from gitserver import make_repo  # noqa: E402

TARGET = "feed1d000001"
KEY = "a2V5LW9mLXRoZS12aWN0aW0tMTIzNDU2"
RUNNER = "c06076b18f00"  # provider_drive's
HOST_NETWORK = dockercase.HOST_NETWORK


class IdentityCase(drivecase.DriveCase, dockercase.DockerCase):
    """provider_drive on the real engine; a Server that only takes the agents' posts."""
    provider = "docker-provider"

    def setUp(self):
        super().setUp()
        self.srv = self.server()
        self.prefix = f"dr-identity-{os.getpid()}"
        self.made = []  # names of containers, images that the test makes by itself
        self.addCleanup(self.drop_made)

    def drop_made(self):
        for kind, name in reversed(self.made):
            docker(kind, "-f", name, check=False)

    def labelled_image(self, tag, labels, *changes):
        """The scratch image with labels (a dictionary), as a Dockerfile's LABEL would give them."""
        words = [word for key, value in labels.items() for word in ("-c", f"LABEL {key}={value}")]
        words += [word for change in changes for word in ("-c", change)]
        tar = subprocess.run(["tar", "-C", self.path("image"), "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        ref = f"{self.prefix}/{tag}:1"
        docker("import", *words, "-", ref, data=tar)
        self.made.append(("rmi", ref))
        return ref

    def workspace(self, name, image=None, **changes):
        """A workspace's id and the path of its document."""
        workspace = f"{self.prefix}-{name}"
        self.mine.append(workspace)
        document = {
            "id": workspace, "name": workspace, "image": image or self.image, "user": "0", "targetId": TARGET,
            "labels": None, "repository": {"id": "app", "url": "", "name": "app", "branch": "main", "sha": ""},
            "envVars": {"DAYTONA_WORKSPACE_ID": workspace, "DAYTONA_SERVER_API_KEY": KEY,
                        "DAYTONA_SERVER_API_URL": self.srv.url},
            "apiKey": KEY, "metadata": None,
            "target": {"id": TARGET, "name": "local", "targetConfigId": "c", "envVars": {}, "default": True,
                       "targetConfig": {"id": "c", "name": "local", "options": HOST_NETWORK, "deleted": False,
                                        "providerInfo": {"name": "docker-provider", "agentlessTarget": True}}}}
        document.update(changes)
        path = self.path(f"workspace-{name}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return workspace, path

    def drive(self, document, *actions, options=(), **kwargs):
        return super().drive(document, *actions, options=["agent=builtin", *options], **kwargs)

    def run_container(self, name, image, *args):
        docker("run", "-d", "--name", name, "--network", "none", *args, image)
        self.made.append(("rm", name))
        return docker("inspect", "-f", "{{.Id}}", name)

    def notes(self, workspace):
        with open(self.root(workspace, ".docker-notes"), encoding="utf-8") as file:
            return json.load(file)


ENTRY = 'ENTRYPOINT ["/daytona-runner","container-init"]'


class Labels(IdentityCase):
    def claim(self, workspace):
        return {"daytona.workspace.id": workspace, "daytona.target.id": TARGET, "daytona.runner.id": RUNNER}

    def test_image_that_says_it_is_the_victims(self):
        """Run anywhere on the engine (a build's container is one), it is not chosen for the victim's start, nor for its
        end, with a record of the victim and without."""
        victim, document = self.workspace("victim")
        self.drive(document, "create").ok(self)
        real, = self.containers(victim)
        image = self.labelled_image("hostile", self.claim(victim), ENTRY)
        hostile = self.run_container(f"{self.prefix}-hostile", image, "--label", f"daytona.build.id={self.prefix}")
        plain = self.run_container(f"{self.prefix}-plain", image)
        result = self.drive(document, "start").ok(self)
        self.assertEqual(self.inspect(real)["State"]["Status"], "running")
        for stranger in (hostile, plain):
            self.assertEqual(docker("top", stranger, "-o", "pid,args").count("agent"), 0, result.output)
        # The runner's state is lost: labels must do, but not those.
        os.unlink(self.root(victim, ".docker-notes"))
        result = self.drive(document, "stop").ok(self)
        self.assertIn(f"Taking over container {TARGET}-{victim}", result.output)
        self.assertRegex(result.output, f"{self.prefix}-plain .*left alone: the label comes from its image")
        self.assertRegex(result.output, f"{self.prefix}-hostile .*left alone")
        self.assertEqual(self.inspect(real)["State"]["Status"], "exited")
        os.unlink(self.root(victim, ".docker-notes"))
        self.drive(document, "delete").ok(self)
        self.assertEqual(sorted(self.containers(victim)), sorted([hostile, plain]))
        # Without the victim's own they still are not it.
        result = self.drive(document, "condition", "delete").ok(self)
        self.assertEqual(result["condition"], "missing")
        self.assertEqual(self.inspect(hostile)["State"]["Status"], "running")

    def test_record_beats_labels(self):
        """Another that really carries the labels changes nothing for a workspace with a record."""
        victim, document = self.workspace("recorded")
        self.drive(document, "create").ok(self)
        real, = self.containers(victim)
        notes = self.notes(victim)
        self.assertEqual(notes["container"], real)
        self.assertEqual(self.inspect(real)["Config"]["Labels"]["daytona.runner.nonce"], notes["nonce"])
        words = [word for pair in self.claim(victim).items() for word in ("--label", "=".join(pair))]
        other = self.run_container(f"{self.prefix}-other", self.image, *words, "--entrypoint", "/daytona-runner",
                                   "--label", "daytona.runner.nonce=" + "0" * 32)
        self.drive(document, "start", "stop", "delete").ok(self)
        self.assertEqual(self.containers(victim), [other])

    def test_nonce_stays_with_the_runner(self):
        """The Server shows a workspace's provider metadata to everybody: the nonce is not in it."""
        workspace, document = self.workspace("info")
        result = self.drive(document, "create", "start", "info", "delete").ok(self)
        labels = json.loads(result["info"])
        self.assertEqual(labels["daytona.workspace.id"], workspace)
        self.assertNotIn("daytona.runner.nonce", labels)
        self.assertNotIn("nonce", result.output)

    def reference_container(self, workspace, image):
        docker("create", "--name", f"{TARGET}-{workspace}", "--label", f"daytona.target.id={TARGET}",
               "--label", f"daytona.workspace.id={workspace}", "--label", "daytona.workspace.repository.url=x",
               "--network", "host", "--entrypoint", "/daytona-runner", image, "container-init")
        return self.containers(workspace)[0]

    def test_takeover_of_the_reference(self):
        """As the reference makes it; also from an image that carries a label of another workspace."""
        other = self.labelled_image("other", {"daytona.workspace.id": "another"})
        for number, image in enumerate((self.image, other)):
            workspace, document = self.workspace(f"reference{number}")
            found = self.reference_container(workspace, image)
            self.assertIn("Taking over container", self.drive(document, "start").ok(self).output)
            self.assertEqual(self.agents(workspace), 1)
            self.assertEqual(self.notes(workspace)["container"], found)
            self.assertNotIn("Taking over", self.drive(document, "stop", "start", "delete").ok(self).output)
            self.assertEqual(self.containers(workspace), [])

    def test_takeover_that_nobody_can_vouch_for(self):
        """The image has the very label of the container, or is gone."""
        workspace, document = self.workspace("odd")
        found = self.reference_container(workspace, self.labelled_image("odd", {"daytona.target.id": TARGET}))
        result = self.drive(document, "start").error(self, "no container")
        self.assertIn("left alone", result.output)
        self.assertEqual(self.inspect(found)["State"]["Status"], "created")

    def test_committed_images_say_nothing(self):
        """An image that a build commits does not hand its labels on."""
        labels = self.labels_of_commit()
        self.assertEqual({key: value for key, value in labels.items() if key.startswith("daytona.") and value}, {})

    def labels_of_commit(self):
        os.mkdir(self.path("built"))
        make_repo(self.path("built"), files={".devcontainer.json": json.dumps({"image": self.image})})
        build = {"id": self.prefix, "buildConfig": {}, "envVars": {}, "repository": {
            "id": "app", "url": "file://" + self.path("built", "app.git"), "name": "app", "branch": "main", "sha": ""}}
        with open(self.path("build.json"), "w", encoding="utf-8") as file:
            json.dump(build, file)
        _, document = self.workspace("for-build")
        hostile = self.labelled_image("shared", {"daytona.build.id": self.prefix}, ENTRY)
        victim = self.run_container(f"{self.prefix}-uses", hostile)
        result = self.drive(document, "build-run", options=["allow_file=true", "network=host"],
                            DRIVE_BUILD=self.path("build.json"), DRIVE_REGISTRY="127.0.0.1:1")
        result.error(self, "push image")        # there is none, and the image is made by then
        # Nor does a build remove who only uses an image that says so.
        self.assertEqual(self.inspect(victim)["State"]["Status"], "running")
        image = result.output.split("Committing the container as ")[1].split()[0]
        self.made.append(("rmi", image))
        return self.inspect(image)["Config"]["Labels"] or {}


class Siblings(IdentityCase):
    PROJECT = "com.docker.compose.project"

    def test_project_of_the_same_name(self):
        """A compose file names its project as it likes: another workspace's of that name is not touched."""
        victim, document = self.workspace("composed")
        project = f"{self.prefix}-p"

        def labels(folder, **more):
            pairs = {self.PROJECT: project, self.PROJECT + ".working_dir": folder, **more}
            return [word for pair in pairs.items() for word in ("--label", "=".join(pair))]
        mine = ["--label", f"daytona.target.id={TARGET}", "--label", f"daytona.workspace.id={victim}"]
        run = ["--entrypoint", "/daytona-runner"]

        def start(name, *args, image=self.image):
            docker("run", "-d", "--name", name, "--network", "none", *run, *args, image, "container-init")
            self.made.append(("rm", name))
            return docker("inspect", "-f", "{{.Id}}", name)
        start(f"{TARGET}-{victim}", *labels("/a"), *mine)
        start(f"{self.prefix}-db", *labels("/a"))
        other = start(f"{self.prefix}-other", *labels("/b"))
        inherited = start(f"{self.prefix}-inherited", image=self.labelled_image(
            "compose", {self.PROJECT: project, self.PROJECT + ".working_dir": "/a"}))
        claimed = start(f"{self.prefix}-claimed", *labels("/a"), "--label", "daytona.workspace.id=another")
        result = self.drive(document, "stop").ok(self)
        for name, status in ((f"{self.prefix}-db", "exited"), (other, "running"), (inherited, "running"),
                             (claimed, "running")):
            self.assertEqual(self.inspect(name)["State"]["Status"], status, result.output)
        self.assertRegex(result.output, f"{self.prefix}-other .*left alone")
        self.drive(document, "delete").ok(self)
        left = docker("ps", "-aq", "--no-trunc", "--filter", f"label={self.PROJECT}={project}").split()
        self.assertEqual(sorted(left), sorted([other, inherited, claimed]))


if __name__ == "__main__":
    dockercase.need_engine()
    drivecase.main()
