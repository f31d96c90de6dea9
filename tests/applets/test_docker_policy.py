# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""What a container may be, on a real engine: all that is forbidden, asked for by a file, an image's label, an image's own
metadata and a feature, in a workspace, in its next start and in a build. The table of each thing alone is unit docker_policy."""
import contextlib
import json
import os
import socket
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import devcase  # noqa: E402
import dockercase  # noqa: E402
import drivecase  # noqa: E402
from dockercase import docker  # noqa: E402

CANARY = "of-another-tenant"
HEALTH = "echo health-ran"
NO_NETWORK = '{"Network":"none"}'
# Reads and writes all that was asked for, then waits until it has been looked at from outside.
PROBE = ("cat /m*/canary /m* /v*/secret 2>/dev/null; for m in /m* /v*; do echo caught > $m/caught; echo caught > $m; done 2>/dev/null; "
         "busybox grep CapEff /proc/self/status; echo interfaces $(ls /sys/class/net); echo pids $(ls -d /proc/[0-9]*); "
         "echo probed; until [ -e /workspaces/app/go ]; do sleep 0.1; done")
# What Docker gives a container that asks for nothing (it is more than the short list of what may be added).
PLAIN_CAPS = 0x00000000a80425fb


@contextlib.contextmanager
def at_home(folder):
    """A socket's name is short whatever its directory's."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


class Policy(devcase.DevCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.victim = f"dr-policy-{os.getpid()}"
        cls.foreign = (cls.victim, f"daytona-6-victim.{cls.victim}")    # an engine's volume; another workspace's
        tag = f"dr-test/victim-{os.getpid()}:1"
        dockercase.shell_image(tag)
        cls.addClassCleanup(docker, "rmi", "-f", tag, check=False)
        for volume in cls.foreign:
            cls.addClassCleanup(docker, "volume", "rm", "-f", volume, check=False)
        cls.addClassCleanup(docker, "network", "rm", cls.victim, check=False)
        docker("network", "create", "--internal", cls.victim)
        docker("run", "--rm", "--network", "none", "-v", f"{cls.foreign[0]}:/a", "-v", f"{cls.foreign[1]}:/b", tag, "sh", "-c",
               f"echo {CANARY} > /a/secret; echo {CANARY} > /b/secret")
        # What is there is listed: a container that wrote into one would be seen.
        cls.listing = ("run", "--rm", "--network", "none", "-v", f"{cls.foreign[0]}:/a:ro", "-v", f"{cls.foreign[1]}:/b:ro", tag,
                       "sh", "-c", "ls /a /b; cat /a/* /b/*")
        cls.before = docker(*cls.listing)

    def setUp(self):
        super().setUp()
        self.outside = self.path("outside")
        os.mkdir(self.outside)
        with open(os.path.join(self.outside, "canary"), "w", encoding="ascii") as file:
            file.write(CANARY)

    def mounts(self):
        folder = "${localWorkspaceFolder}"
        sources = [self.outside, os.path.join(self.outside, "canary"), "/", "/etc", "/var/run/docker.sock", folder + "/..",
                   folder + "/host", folder + "/host/canary", folder + "/hostfile", folder + "/a/host", folder + "/../../..",
                   self.state]
        return [f"type=bind,source={source},target=/m{at}" for at, source in enumerate(sources)] + [
            f"type=volume,source={name},target=/v{at}" for at, name in enumerate(self.foreign)] + [
            f"type=bind,source={folder}/data,target=/x/../.daytona", "type=volume,source=own,target=//.daytona/",
            "type=tmpfs,target=/.daytona", {"type": "bind", "source": "/", "target": "/m90"},
            {"type": "volume", "source": "/", "target": "/m91"}]

    def wishes(self):
        """What a label may ask for."""
        return {"privileged": True, "capAdd": ["ALL", "SYS_ADMIN", "cap_sys_rawio"],
                "securityOpt": ["seccomp=unconfined", "apparmor=unconfined", "no-new-privileges=false"],
                "mounts": self.mounts()}

    def run_args(self):
        return ["--privileged", "--network=" + self.victim, "--network=container:" + self.victim, "--network=host", "--pid=host",
                "--ipc=host", "--uts=host", "--userns=host", "--cgroupns=host", "--device=/dev/null:/dev/d", "-v", "/:/m92",
                "--mount=type=bind,source=/,target=/m93", "--volumes-from=" + self.victim, "--tmpfs=/.daytona:exec",
                "--label=daytona.workspace.id=victim", "--label", "com.docker.compose.project=victim",
                "--env-file=/etc/passwd", "--label-file=/etc/passwd", "--cap-add=ALL", "--security-opt=label=disable"]

    SAID = ("privileged", "capability ALL", "capability SYS_ADMIN", "capability cap_sys_rawio", "security option seccomp=unconfined",
            "security option apparmor=unconfined", "security option no-new-privileges=false")
    SAID_ARGS = ("network host", "runArgs --pid", "runArgs --ipc", "runArgs --uts", "runArgs --userns", "runArgs --cgroupns",
                 "runArgs --device", "runArgs -v", "runArgs --mount", "runArgs --volumes-from", "tmpfs at /.daytona:exec",
                 "label daytona.workspace.id", "label com.docker.compose.project", "runArgs --env-file", "runArgs --label-file",
                 "security option label=disable")

    FILES = {"a/host": "-> ../host", "data/x": "x"}

    def case(self, source):
        """Repository, what the log names, variables of the drive."""
        config = {"image": self.tag, "onCreateCommand": PROBE, "overrideCommand": True}
        env, said = {}, list(self.SAID)
        changes = [f"HEALTHCHECK --interval=50ms CMD {HEALTH}", "VOLUME /.daytona", "VOLUME /workspaces/app", "VOLUME /own",
                   'ENTRYPOINT ["/bin/sh","-c","echo entrypoint-ran"]', "LABEL daytona.workspace.id=victim",
                   "LABEL daytona.runner.helper=victim", "LABEL com.docker.compose.project=victim", "USER dev"]
        files = {}
        if source == "file":
            config.update(self.wishes(), runArgs=self.run_args())
            said += self.SAID_ARGS
        elif source == "label":
            changes.append("LABEL devcontainer.metadata=" + json.dumps(json.dumps([self.wishes()])).replace("$", "\\$"))
        else:
            config["features"] = {"./f": {}}
            files = {"f/devcontainer-feature.json": json.dumps(dict(self.wishes(), id="f")),
                     "f/install.sh": "#!/bin/sh\ncat /m*/canary /v*/secret || true\n"}
        docker("rmi", "-f", self.tag)
        dockercase.shell_image(self.tag, changes=changes)
        return self.repository({".devcontainer.json": json.dumps(config), "host": "-> " + self.outside,
                                "hostfile": "-> " + self.outside + "/canary", **self.FILES, **files}), said, env

    def look(self, label):
        """The container while its first command runs, as the engine sees it."""
        found = []

        def there():
            found[:] = docker("ps", "-q", "--filter", f"label={label}={self.id}").split()
            return found
        common.wait_for(there, 60 * common.PATIENCE, "the container runs")
        return json.loads(docker("inspect", found[0]))[0]

    def check(self, container, label):
        host, config = container["HostConfig"], container["Config"]
        self.assertEqual((host["Privileged"], host["NetworkMode"]), (False, "none"))
        for key in ("CapAdd", "SecurityOpt", "PidMode", "UTSMode", "UsernsMode", "Binds", "VolumesFrom", "Tmpfs", "Devices"):
            self.assertFalse(host.get(key), key)
        self.assertIn(host["IpcMode"], ("private", "shareable"))
        self.assertEqual(list(container["NetworkSettings"]["Networks"]), ["none"])
        prefix = f"daytona-{len(self.id)}-{self.id}."
        mounts = {m["Target"]: m.get("Source") for m in host["Mounts"]}
        self.assertEqual({target: source for target, source in mounts.items() if target != "/workspaces/app"},
                         {f"/v{at}": prefix + name for at, name in enumerate(self.foreign)})
        mine = {key: value for key, value in config["Labels"].items() if key.startswith("daytona.") and value}
        self.assertEqual(mine.get(label), self.id)
        self.assertNotIn("victim", mine.values())
        self.assertEqual(config["Entrypoint"], ["/.daytona/daytona-runner", "container-init"])
        if label == "daytona.build.id":
            self.assertEqual(config["Healthcheck"]["Test"], ["NONE"])
            self.assertNotIn("Health", container["State"])
        return prefix

    def harmless(self, output, said):
        self.assertIn("probed", output)
        self.assertNotIn(CANARY, output)
        self.assertNotIn("entrypoint-ran", output)
        self.assertIn("interfaces lo\n", output)
        caps = int(output.split("CapEff:", 1)[1].split()[0], 16)
        self.assertEqual(caps & ~PLAIN_CAPS, 0, hex(caps))
        self.assertIn("pids /proc/1 ", output)
        for named in said:
            self.assertIn(f"dev container: {named}", output)
        for mount in self.mounts():
            source = mount["source"] if isinstance(mount, dict) else dict(
                part.split("=") for part in mount.split(",")).get("source", "/.daytona")
            source = source.replace("${localWorkspaceFolder}", "")
            if source not in self.foreign:
                self.assertRegex(output, f"dev container: mount of [^\n]*{source} is not taken over\n")
        self.assertEqual(os.listdir(self.outside), ["canary"])
        with open(os.path.join(self.outside, "canary"), encoding="ascii") as file:
            self.assertEqual(file.read(), CANARY)

    def volumes(self, prefix):
        return docker("volume", "ls", "-q", "--filter", "name=" + prefix).split()

    def workspace_is_harmless(self, source, delete):
        url, said, env = self.case(source)
        document = self.workspace(url, options=NO_NETWORK)
        process = self.drive_background(document, "create", "start", "stop", "start", delete, options=["agent=none", "network=none"], **env)
        prefix = self.check(self.look("daytona.workspace.id"), "daytona.workspace.id")
        self.assertEqual(len(self.volumes(prefix)), 2)
        with open(self.root(self.id, "app", "go"), "w", encoding="ascii"):
            pass
        output = process.finish().ok(self).output
        self.harmless(output, said)
        self.assertEqual(self.volumes(prefix), [], "volumes go with the workspace")

    def build_is_harmless(self, source):
        url, said, env = self.case(source)
        document = self.workspace(url, options=NO_NETWORK)
        # Nothing listens there: the last step fails, after all that is looked at here.
        env.update({"DRIVE_BUILD": self.build_document(url), "DRIVE_REGISTRY": "127.0.0.1:1"})
        process = self.drive_background(document, "build-run", "build-delete", options=["agent=none", "network=none"], **env)
        prefix = self.check(self.look("daytona.build.id"), "daytona.build.id")
        with open(os.path.join(self.state, "builds", self.id, "app", "go"), "w", encoding="ascii"):
            pass
        result = process.finish()
        self.harmless(result.output, said)
        self.assertEqual(result["build-delete"], "ok")
        self.assertEqual(self.volumes(prefix), [], "volumes go with the build")

    def test_workspace_by_file(self):
        self.workspace_is_harmless("file", "delete")

    def test_workspace_by_label(self):
        self.workspace_is_harmless("label", "force-delete")

    def test_workspace_by_feature(self):
        self.workspace_is_harmless("feature", "delete")

    def test_build_by_file(self):
        self.build_is_harmless("file")

    def test_build_by_label(self):
        self.build_is_harmless("label")

    def test_build_by_feature(self):
        self.build_is_harmless("feature")

    def swap(self, kind, path):
        """Puts something else in the place of path."""
        common.run(["rm", "-rf", path], check=True)
        if kind == "link":
            os.symlink(os.path.join(self.outside, "canary") if path.endswith("json") else self.outside, path)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as sock, at_home(os.path.dirname(path)):
                sock.bind(os.path.basename(path))
        elif kind == "device":
            os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))      # /dev/zero, which does not end

    KINDS = ["link", "fifo", "socket", *(["device"] if os.geteuid() == 0 else [])]

    def test_start_of_one_that_has_run(self):
        """Its checkout is the workspace's to change: what it mounts and what is read of it are looked at again."""
        config = {"image": self.tag, "mounts": ["type=bind,source=${localWorkspaceFolder}/data,target=/data"],
                  "postStartCommand": "cat /data/canary; echo caught > /data/caught; echo post-start"}
        document = self.workspace(self.repository({".devcontainer.json": json.dumps(config), "data/x": "x"}), options=NO_NETWORK)
        self.assertIn("post-start\n", self.drive(document, "create", "start", options=["agent=none"]).ok(self).output)
        data, file = self.root(self.id, "app", "data"), self.root(self.id, "app", ".devcontainer.json")
        os.rename(data, data + ".kept")
        # An engine mounts all anew for each file that it is asked for, also while the container runs.
        self.swap("link", data)
        self.drive(document, "start", options=["agent=none"]).error(self, "data has become a link")
        self.drive(document, "stop").ok(self)
        for kind in self.KINDS:
            with self.subTest(data=kind):
                self.swap(kind, data)
                result = self.drive(document, "start", options=["agent=none"])
                result.error(self, "data has become a link, or .* it is not mounted")
        common.run(["rm", "-f", data], check=True)
        os.rename(data + ".kept", data)
        for kind in self.KINDS:
            with self.subTest(file=kind):
                self.swap(kind, file)
                output = self.drive(document, "start", "stop", options=["agent=none"]).ok(self).output
                self.assertNotIn("post-start\n", output)
                if kind != "link":      # one that leads out counts as none
                    self.assertRegex(output, "Warning: .*devcontainer.json is no regular file; starting without it")
        self.drive(document, "delete", options=["agent=none"]).ok(self)
        self.assertEqual(os.listdir(self.outside), ["canary"])

    def test_files_of_a_build_that_are_none(self):
        """Exchanged after the checkout was made, which initializeCommand can do where the operator allows it."""
        config = {"build": {"dockerfile": "D", "context": "c"}, "initializeCommand": ""}
        rows = [("c/.dockerignore", "mkfifo PATH", "no regular file"), ("D.dockerignore", "mkfifo PATH", "no regular file"),
                ("c/.dockerignore", f"ln -s {self.outside}/canary PATH", "a link that leads nowhere in the repository"),
                ("c/.dockerignore", "ln -s nowhere PATH", "a link that leads nowhere in the repository"),
                ("D", "mkfifo PATH", "no regular file"), ("D", f"ln -s {self.outside}/canary PATH", "not a file of the repository"),
                ("c", "mkfifo PATH", "ot a directory"), ("c", f"ln -s {self.outside} PATH", "not a directory of the repository")]
        for inside in (False, True):        # the Dockerfile lies in its context or outside
            for path, command, want in rows:
                if inside and path != "D":
                    continue
                name = "c/D" if inside and path == "D" else path
                if inside:
                    config["build"]["dockerfile"] = "c/D"
                config["initializeCommand"] = "rm -rf PATH; {}".format(command).replace("PATH", name)
                common.run(["rm", "-rf", self.path("git")], check=True)
                os.mkdir(self.path("git"))
                url = self.repository({".devcontainer.json": json.dumps(config), "c/x": "x",
                                       "c/D" if inside else "D": f"FROM {self.tag}\nCOPY . /ctx\n"})
                document = self.workspace(url, options=NO_NETWORK)
                with self.subTest(path=name, command=command):
                    result = self.drive(document, "create", options=["allow_initialize_command=yes"])
                    result.error(self, want)
                    self.assertNotIn(CANARY, result.output)
                    self.drive(document, "delete").ok(self)

    def tearDown(self):
        self.assertEqual(docker(*self.listing), self.before, "another tenant's volumes are as they were")
        super().tearDown()


if __name__ == "__main__":
    dockercase.need_engine()
    if not dockercase.shell_image("dr-test/probe:1"):
        common.skip_all("there is no static busybox to make images of")
    docker("rmi", "dr-test/probe:1")
    drivecase.main()
