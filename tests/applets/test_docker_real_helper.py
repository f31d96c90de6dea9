# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""What the runner does as root on an engine runs nothing of a workspace's image and sees nothing of another's (real engine)."""
import json
import os
import re
import shutil
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import dockercase  # noqa: E402
import drivecase  # noqa: E402
from common import PATIENCE, wait_for  # noqa: E402
from dockercase import docker  # noqa: E402
from sshcase import install_ssh  # noqa: E402
from test_docker_identity import IdentityCase  # noqa: E402

PROGRAM = "/.daytona/daytona-runner"


class Delivery(IdentityCase):
    def file_in(self, container, path):
        # An engine that mounts its files once more for this has once not seen what was put just before.
        def copy():
            docker("cp", "-a", f"{container}:{path}", self.path("copy"), check=False)
            return os.path.exists(self.path("copy"))

        wait_for(copy, 10 * PATIENCE, f"{path} is in the container")
        with open(self.path("copy"), "rb") as file:
            data = file.read()
        info = os.stat(self.path("copy"))
        os.unlink(self.path("copy"))
        return data, info

    def test_swapped_program_of_the_same_size_and_time(self):
        """Whoever is root in a container can set both; the next start brings the runner's own again."""
        workspace, document = self.workspace("swap")
        self.drive(document, "create", "start", "stop").ok(self)
        container, = self.containers(workspace)
        honest, info = self.file_in(container, PROGRAM)
        other = bytearray(honest)
        other[-64:] = b"\xff" * 64
        with open(self.path("daytona-runner"), "wb") as file:
            file.write(other)
        os.chmod(self.path("daytona-runner"), 0o755)
        os.utime(self.path("daytona-runner"), ns=(info.st_mtime_ns, info.st_mtime_ns))
        docker("cp", "-a", self.path("daytona-runner"), f"{container}:{PROGRAM}")
        swapped, now = self.file_in(container, PROGRAM)
        self.assertEqual((swapped, now.st_size, now.st_mtime_ns), (bytes(other), info.st_size, info.st_mtime_ns))
        self.drive(document, "start").ok(self)
        self.assertEqual(self.agents(workspace), 1)
        self.assertTrue(self.file_in(container, PROGRAM)[0] == honest, "the swapped program is still there")

    def test_place_of_the_program(self):
        """A link, or a directory that the workspace's user owns, makes way for one of root's."""
        for name, prepare in (("link", lambda root: (os.mkdir(root + "/elsewhere"), os.chmod(root + "/elsewhere", 0o777),
                                                     os.symlink("/elsewhere", root + "/.daytona"))),
                              ("owned", lambda root: (os.mkdir(root + "/.daytona"), os.chmod(root + "/.daytona", 0o777)))):
            root = self.path("image-" + name)
            shutil.copytree(self.path("image"), root)
            prepare(root)
            tar = subprocess.run(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
            ref = f"{self.prefix}/{name}:1"
            docker("import", "-", ref, data=tar)
            self.made.append(("rmi", ref))
            workspace, document = self.workspace(name, ref)
            self.drive(document, "create", "start").ok(self)
            container, = self.containers(workspace)
            docker("cp", "-a", f"{container}:/.daytona", self.path("dir-" + name))
            info = os.lstat(self.path("dir-" + name))
            self.assertTrue(stat.S_ISDIR(info.st_mode), name)
            self.assertEqual((stat.S_IMODE(info.st_mode), info.st_uid), (0o755, 0), name)


class Removal(IdentityCase):
    """The engine is reached through a stand-in for ssh, whose user may not remove what belongs to somebody else."""

    def setUp(self):
        super().setUp()
        install_ssh(self.tmp, self.path("bin"))

    def env(self, **extra):
        env = super().env(**extra)
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        return env

    def remote(self, name, image):
        options = json.dumps({"Remote Hostname": "build1.test", "Remote User": "ci", "Network": "host",
                              "Target Data Dir": self.path("data")})
        workspace, path = self.workspace(name, image, buildConfig={})
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        document["target"]["targetConfig"]["options"] = options
        document["repository"]["url"] = f"file://{self.path('git')}/app.git"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return workspace, path

    def helpers(self):
        """Bodies of the create calls for helpers, as the engine got them."""
        with open(self.path("sent"), "rb") as file:
            sent = file.read()
        os.unlink(self.path("sent"))
        found = []
        for call in re.finditer(rb"POST /v1\.\d+/containers/create\?name=(daytona-helper-[0-9a-f]{32}) HTTP", sent):
            start = sent.index(b"\r\n\r\n", call.start()) + 4
            found.append(json.JSONDecoder().raw_decode(sent[start:start + 20000].decode("utf-8", "replace"))[0])
            self.made.append(("rmi", found[-1]["Image"]))
        return found

    def held(self, workspace):
        """From now on ssh's user may not remove the workspace's directory as long as something is in it."""
        mine = self.path("data", workspace)
        self.assertTrue(os.path.isdir(os.path.join(mine, "app", ".git")))
        with open(self.path("norm"), "w", encoding="utf-8") as file:
            file.write(mine)
        return mine

    def test_image_that_wants_to_be_run_as_root(self):
        """Its health check would write into the other tenant's checkout; its entrypoint, environment and labels pose
        as the helper's. None of it runs, and the other's directory is not there to be seen."""
        victim = self.path("data", "victim")
        os.makedirs(victim)
        with open(os.path.join(victim, "file"), "w", encoding="ascii") as file:
            file.write("theirs")
        health = f'HEALTHCHECK --interval=1s CMD ["{PROGRAM}","container-init","--empty","/remove/victim"]'
        image = self.labelled_image("evil", {"daytona.runner.helper": "victim", "daytona.runner.id": "x"}, health,
                                    'ENTRYPOINT ["/daytona-runner","container-init"]', "ENV LD_PRELOAD=/x", "VOLUME /work")
        workspace, document = self.remote("evil", image)
        self.drive(document, "create").ok(self)
        mine = self.held(workspace)
        self.drive(document, "delete").ok(self)
        self.assertEqual(os.listdir(self.path("data")), ["victim"])
        self.assertEqual(os.listdir(victim), ["file"])
        body, = self.helpers()
        self.assertEqual(body["HostConfig"]["Mounts"], [{"Type": "bind", "Source": mine, "Target": "/work"}])
        self.assertEqual(body["Healthcheck"], {"Test": ["NONE"]})
        self.assertEqual((body["Env"], body["Entrypoint"][0]), ([], PROGRAM))
        self.assertEqual([tag.partition(":")[0] for tag in self.inspect(body["Image"])["RepoTags"]],
                         ["daytona-runner/helper"])
        self.assertEqual(docker("ps", "-aq", "--filter", f"label=daytona.runner.helper={workspace}"), "")

    def test_image_that_only_has_the_name(self):
        """Another image under the name of ours is not run, whatever it holds and says."""
        evil = self.labelled_image("posing", {"a": "b"}, 'ENTRYPOINT ["/daytona-runner","container-init"]')
        bodies, outputs = [], []
        for name in ("first", "second"):
            workspace, document = self.remote(name, self.image)
            self.drive(document, "create").ok(self)
            mine = self.held(workspace)
            outputs.append(self.drive(document, "delete").ok(self).output)
            self.assertFalse(os.path.exists(mine))
            bodies += self.helpers()
            ours, = self.inspect(bodies[0]["Image"])["RepoTags"]
            docker("tag", evil, ours)
        docker("rmi", ours)
        self.assertIn("is not what its name says", outputs[1])
        self.assertEqual(bodies[0]["Image"], bodies[1]["Image"])


if __name__ == "__main__":
    dockercase.need_engine()
    drivecase.main()
