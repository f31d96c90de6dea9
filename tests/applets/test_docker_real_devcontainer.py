# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""docker-provider on the real engine: checkouts mounted into images, dev containers, their commands, builds with two
registries, and the helper for what only the dev container CLI can do. Images are made from the host's busybox."""
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import devcase  # noqa: E402
import dockercase  # noqa: E402
import drivecase  # noqa: E402
import fakeregistry  # noqa: E402
import httppeer  # noqa: E402
from dockercase import HOMES, docker  # noqa: E402

DEV = HOMES + "/dev"


class DevContainer(devcase.DevCase):
    def test_checkout_is_mounted_and_belongs_to_the_user(self):
        document = self.workspace(self.repository({"hello": "hi\n"}))
        self.drive(document, "create", "start").ok(self)
        place = f"{dockercase.HOMES}/dev/app"
        self.assertEqual(self.inside("cat", place + "/hello"), "hi")
        if os.geteuid() == 0:
            self.assertEqual(self.inside("stat", "-c", "%u:%g", place, place + "/hello"), "1234:1234\n1234:1234")
        self.inside("touch", place + "/new")
        self.drive(document, "stop", "start", "delete").ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))

    def test_runner_that_is_not_root(self):
        """The user takes the runner's uid; what root leaves in the checkout is removed all the same (field case 10)."""
        if os.geteuid() != 0 or not shutil.which("setpriv"):
            self.skipTest("needs root and setpriv")
        url = self.repository({"hello": "hi"})
        document = self.workspace(url)
        group = os.stat("/var/run/docker.sock").st_gid
        os.mkdir(self.path("tool"))
        tool = shutil.copy(drivecase.DRIVE, self.path("tool"))
        binary = shutil.copy(common.BIN, self.path("tool"))
        for folder, _, files in os.walk(self.tmp):
            for name in [".", *files]:
                os.chown(os.path.join(folder, name), 54321, group, follow_symlinks=False)

        def drive(*actions):
            args = ["setpriv", "--reuid", "54321", "--regid", str(group), "--clear-groups", tool, "docker-provider",
                    self.state, binary, document, *actions]
            result = common.run(args, env=self.env(), cwd=self.tmp)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        drive("create", "start")
        place = f"{dockercase.HOMES}/dev"
        for path in (place, place + "/app", place + "/app/hello"):
            self.assertEqual(self.inside("stat", "-c", "%u", path), "54321")
        self.assertIn("uid=54321(dev)", self.inside("id"))
        docker("exec", "-u", "0", self.container(), "sh", "-c", f"cd {place}/app && busybox mkdir -m 700 d && echo x > d/x")
        drive("stop", "delete")
        self.assertFalse(os.path.exists(self.root(self.id)))

    def test_link_in_place_of_a_mount_is_not_followed(self):
        config = '{"image":"%s","mounts":["source=${localWorkspaceFolder}/data,target=/data,type=bind"]}' % self.tag
        document = self.workspace(self.repository({".devcontainer.json": config, "data/x": "x"}))
        self.drive(document, "create", "start", "stop").ok(self)
        self.assertEqual(sorted(os.listdir(self.root(self.id, "app", "data"))), ["x"])
        shutil.rmtree(self.root(self.id, "app", "data"))
        os.symlink("/etc", self.root(self.id, "app", "data"))
        self.drive(document, "start").error(self, "has become a link")
        self.drive(document, "delete").ok(self)

    def test_link_of_the_repository_is_not_mounted(self):
        """In a build as in a workspace: what it points to is neither read nor written."""
        outside = self.path("outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "canary"), "w", encoding="ascii") as file:
            file.write("of-another-tenant")
        probe = "cat /h /h/canary 2>/dev/null; echo caught > /h/caught; echo caught > /h; echo probed"
        mounts = [f"source=${{localWorkspaceFolder}}/{source},target=/h,type=bind" for source in
                  ("host", "host/canary", "a/host")]
        for mount in mounts:
            config = {"image": self.tag, "mounts": [mount], "onCreateCommand": probe}
            common.run(["rm", "-rf", self.path("git")], check=True)
            os.mkdir(self.path("git"))
            url = self.repository({".devcontainer.json": json.dumps(config), "host": "-> " + outside,
                                   "a/host": "-> ../host"})
            document = self.workspace(url)
            # Nothing listens there: the build's last step fails, after all that is looked at here.
            build = {"DRIVE_BUILD": self.build_document(url), "DRIVE_REGISTRY": "127.0.0.1:1"}
            for actions, more in ((("create", "start", "delete"), {}), (("build-run",), build)):
                with self.subTest(mount=mount, actions=actions):
                    result = self.drive(document, *actions, **more)
                    self.assertIn("probed", result.output)
                    self.assertNotIn("of-another-tenant", result.output)
                    self.assertRegex(result.output, "mount of .*host.* is not taken over")
                    self.assertEqual(os.listdir(outside), ["canary"])
            self.drive(document, "build-delete", **build).ok(self)

    def test_commands_run_once_each_and_in_order(self):
        config = json.dumps({
            "image": self.tag, "remoteUser": "dev", "workspaceFolder": "/ws/${localWorkspaceFolderBasename}",
            "containerEnv": {"CE": "c"}, "remoteEnv": {"RE": "${containerEnv:CE}-r"},
            "onCreateCommand": "echo on-create $(id -un) $(pwd) $RE $FOO",
            "updateContentCommand": ["echo", "update content"],
            # One ends only after the other has begun: they run at the same time, in whatever order they are read.
            "postCreateCommand": {"a": "until [ -e /ws/app/b ]; do sleep 0.05; done; echo A",
                                  "b": ["sh", "-c", "echo B; touch /ws/app/b"]},
            "postStartCommand": "echo post-start", "postAttachCommand": "false"})
        document = self.workspace(self.repository({".devcontainer/devcontainer.json": "// x\n" + config[:-1] + ",}"}))
        output = self.drive(document, "create", "start").ok(self).output
        self.assertRegex(output, r"(?s)on-create dev /ws/app c-r bar\n.*update content\n.*(B\nA|A\nB)\n.*post-start\n.*"
                                 r"Warning: postAttachCommand failed: exit status 1")
        output = self.drive(document, "start", "stop", "start").ok(self).output
        self.assertNotIn("on-create", output)
        self.assertNotIn("update content", output)
        self.assertEqual(output.count("post-start\n"), 1)
        self.assertEqual(self.inside("env").count("DAYTONA_WORKSPACE_DIR=/ws/app"), 1)
        self.drive(document, "delete").ok(self)

    def test_a_command_that_fails(self):
        """As with native-provider: of the content it is the start's error, tried again; later a warning, and those behind it wait."""
        config = json.dumps({
            "image": self.tag, "onCreateCommand": "echo ran on-create", "postCreateCommand": "echo ran post-create; exit 3",
            "updateContentCommand": "echo ran update; echo x >>tries; [ $(wc -l <tries) = 2 ]",
            "postStartCommand": "echo ran post-start", "postAttachCommand": "echo ran post-attach"})
        document = self.workspace(self.repository({".devcontainer/devcontainer.json": config}))
        self.drive(document, "create").ok(self)

        def start(wanted, *actions):
            result = self.drive(document, *actions)
            self.assertEqual(re.findall("^ran (.*)$", result.output, re.M), wanted)
            return result
        start(["on-create", "update"], "start").error(self, "updateContentCommand failed: exit status 1")
        self.assertIn("Warning: postCreateCommand failed: exit status 3", start(["update", "post-create"], "start").ok(self).output)
        start(["post-start", "post-attach"], "stop", "start").ok(self)
        self.drive(document, "delete").ok(self)

    def test_initialize_command_only_where_it_is_allowed(self):
        config = json.dumps({"image": self.tag, "initializeCommand": {"a": "pwd; env > env", "b": ["touch", "b"]}})
        document = self.workspace(self.repository({".devcontainer.json": config}))
        self.assertIn("initializeCommand is not run", self.drive(document, "create").ok(self).output)
        self.assertFalse(os.path.exists(self.root(self.id, "app", "env")))
        self.drive(document, "delete").ok(self)
        self.drive(document, "create", options=["allow_initialize_command=yes"], RUNNER_SECRET="xyzzy").ok(self)
        self.assertTrue(os.path.exists(self.root(self.id, "app", "b")))
        with open(self.root(self.id, "app", "env"), encoding="utf-8") as file:
            self.assertNotIn("xyzzy", file.read())

    def test_command_of_creation_that_fails(self):
        config = '{"image":"%s","onCreateCommand":"echo because; exit 7"}' % self.tag
        document = self.workspace(self.repository({".devcontainer.json": config}))
        self.drive(document, "create", "start").error(self, "onCreateCommand failed: exit status 7: because")
        self.drive(document, "start").error(self, "onCreateCommand failed")

    def test_dockerfile_with_ignored_files(self):
        files = {".devcontainer/devcontainer.json":
                 '{"build":{"dockerfile":"D","context":"..","args":{"WHO":"world"}}}',
                 ".devcontainer/D": f"FROM {self.tag}\nARG WHO\nCOPY . /ctx\nRUN echo hello $WHO > /who\n",
                 ".dockerignore": "*.log\nsecret/**\n!secret/keep\nleft\n", "left/deep/x": "l", "x.log": "l",
                 "secret/a": "a", "secret/keep": "k"}
        document = self.workspace(self.repository(files))
        # What is built here is asked of no registry, which might have something of that name.
        self.drive(document, "create", "start", options=["pull=always"]).ok(self)
        self.assertEqual(self.inside("cat", "/who"), "hello world")
        self.assertEqual(self.inside("ls", "/ctx/secret"), "keep")
        self.assertNotIn("x.log", self.inside("ls", "/ctx"))
        self.assertNotIn("left", self.inside("ls", "/ctx"))
        self.drive(document, "delete").ok(self)
        self.assertEqual(docker("images", "-q", f"daytona-workspace-{self.id}"), "")

    def test_dockerfile_for_buildkit(self):
        files = {".devcontainer.json": '{"build":{"dockerfile":"D","args":{"WHO":"world"}}}',
                 "D": f"FROM {self.tag}\nARG WHO\nRUN --mount=type=cache,target=/c echo hello $WHO > /who && echo from-the-run\n"
                      "RUN --mount=type=cache,target=/c exit $(test -e /fail && echo 3)\n"}
        document = self.workspace(self.repository(files))
        output = self.drive(document, "create", "start").ok(self).output
        self.assertRegex(output, r"(?m)^\[.*RUN --mount=type=cache,target=/c echo hello")
        self.assertRegex(output, r"(?m)^from-the-run$")
        self.assertEqual(self.inside("cat", "/who"), "hello world")
        self.drive(document, "delete").ok(self)
        self.assertEqual(docker("images", "-q", f"daytona-workspace-{self.id}"), "")

    def test_dockerfile_for_a_platform(self):
        """What it is built for is said by BuildKit alone."""
        document = self.workspace(self.repository({".devcontainer.json": '{"build":{"dockerfile":"D"}}', "D":
                                                   f"FROM {self.tag}\nARG TARGETOS TARGETARCH\nRUN echo $TARGETOS-$TARGETARCH > /for\n"}))
        self.drive(document, "create", "start").ok(self)
        self.assertRegex(self.inside("cat", "/for"), "^linux-[a-z0-9]+$")
        self.drive(document, "delete").ok(self)

    def test_dockerfile_that_fails_in_buildkit(self):
        files = {".devcontainer.json": '{"build":{"dockerfile":"D"}}',
                 "D": f"FROM {self.tag}\nRUN --mount=type=cache,target=/c echo because; exit 3\n"}
        result = self.drive(self.workspace(self.repository(files)), "create")
        result.error(self, "exit code: 3")
        self.assertIn("because", result.output)

    def test_hostile_repositories(self):
        outside = self.path("outside")
        os.mkdir(outside)
        with open(os.path.join(outside, "devcontainer.json"), "w", encoding="ascii") as file:
            file.write('{"image":"x"}')
        for files, changes, pattern in (
                ({".devcontainer": "-> " + outside}, {"buildConfig": {"devcontainer": {
                    "filePath": ".devcontainer/devcontainer.json"}}}, "no dev container file"),
                ({"x": "x"}, {"buildConfig": {"devcontainer": {"filePath": "../../../etc/passwd"}}},
                 "no dev container file"),
                ({".devcontainer.json": '{"build":{"dockerfile":"D","context":"c"}}', "D": "FROM scratch",
                  "c": "-> /etc"}, {}, "not a directory of the repository"),
                ({".devcontainer.json": '{"build":{"dockerfile":"D"}}', "D": "-> /etc/hosts"}, {},
                 "not a file of the repository"),
                ({".devcontainer.json": '{"build":{"dockerfile":"../D"}}'}, {}, "leads out of the repository"),
                ({".devcontainer.json": "{"}, {}, "devcontainer.json"),
                ({".devcontainer.json": "{}"}, {}, "neither"),
                ({".devcontainer.json": '{"image":"bad image"}'}, {}, "no valid reference")):
            shutil.rmtree(self.path("git"))
            os.mkdir(self.path("git"))
            with self.subTest(files=files):
                document = self.workspace(self.repository(files), **changes)
                self.drive(document, "create").error(self, pattern)
                self.drive(document, "delete").ok(self)

    def test_build_is_pushed_pulled_and_deleted(self):
        one, two = (fakeregistry.real_registry(self, login) for login in (("alice", 'pw~~~???"\\A'), ("bob", "pwB")))
        env = {"A_CONTAINER_REGISTRY_SERVER": one, "A_CONTAINER_REGISTRY_USERNAME": "alice",
               "A_CONTAINER_REGISTRY_PASSWORD": 'pw~~~???"\\A', "B_CONTAINER_REGISTRY_SERVER": two,
               "B_CONTAINER_REGISTRY_USERNAME": "bob", "B_CONTAINER_REGISTRY_PASSWORD": "pwB"}
        docker("login", "-u", "alice", "--password-stdin", one, data=b'pw~~~???"\\A')
        self.addCleanup(docker, "logout", one, check=False)
        base = f"{one}/base:1"
        self.addCleanup(docker, "rmi", "-f", base, check=False)
        docker("tag", self.tag, base)
        docker("push", base)
        docker("rmi", base)
        files = {".devcontainer.json": '{"build":{"dockerfile":"D"},"onCreateCommand":"echo made > /made"}',
                 "D": f"FROM {base}\n"}
        url = self.repository(files)
        document = self.workspace(url, env=env)
        more = {"DRIVE_BUILD": self.build_document(url), "DRIVE_REGISTRY": two}
        output = self.drive(document, "build-run", **more).ok(self).output
        self.assertNotIn("pwB", output)
        name = [line.split()[-1] for line in output.splitlines() if line.startswith("Pushing image")][0]
        self.assertTrue(name.startswith(two + "/w-"))
        self.assertIn("is there already", self.drive(document, "build-run", **more).ok(self).output)
        self.assertEqual(docker("ps", "-aq", "--filter", f"label=daytona.build.id={self.id}"), "")
        self.assertEqual(os.listdir(os.path.join(self.state, "builds")), ["images"])
        self.drive(document, "build-delete", **more).ok(self)
        self.assertEqual(docker("images", "-q", name), "")
        # The workspace pulls it with the other registry's credentials at hand; by tag, then by digest.
        self.addCleanup(docker, "rmi", "-f", name, check=False)
        self.drive(self.workspace(url, image=name, env=env, buildConfig=None), "create", "start").ok(self)
        self.assertEqual(self.inside("cat", "/made"), "made")
        self.drive(document, "delete").ok(self)
        digest = json.loads(docker("inspect", name))[0]["RepoDigests"][0]
        docker("rmi", "-f", name)
        self.drive(self.workspace(url, image=digest, env=env, buildConfig=None), "create", "delete").ok(self)
        docker("rmi", "-f", digest)
        env["B_CONTAINER_REGISTRY_PASSWORD"] = "wrong"
        self.drive(self.workspace(url, image=name, env=env, buildConfig=None), "create").error(self, "unauthorized")

    def test_commands_have_what_the_users_shell_sets(self):
        """By default what its start-up files say, below remoteEnv; a shell that fails costs a warning."""
        for probe, want in ((None, "probed /mine:{PATH} remote"), ("loginShell", "probed /mine:{PATH} remote"),
                            ("none", " {PATH} remote"), ("interactiveShell", " {PATH} remote")):
            for shell in ("/bin/sh", "/bin/false")[:2 if probe is None else 1]:
                with self.subTest(probe=probe, shell=shell):
                    shutil.rmtree(self.path("git"))
                    os.mkdir(self.path("git"))
                    config = {"build": {"dockerfile": "D"}, "remoteUser": "dev", "remoteEnv": {"BOTH": "remote"},
                              "onCreateCommand": f'echo "$PROBED $PATH $BOTH" >{DEV}/said'}
                    if probe:
                        config["userEnvProbe"] = probe
                    url = self.repository({".devcontainer.json": json.dumps(config), "D": f"""FROM {self.tag}
RUN echo 'export PROBED=probed BOTH=shell PATH=/mine:$PATH' >{DEV}/.profile && echo root:x:0:0:::/bin/sh >/etc/passwd && echo dev:x:1234:1234::{DEV}:{shell} >>/etc/passwd
"""})
                    document = self.workspace(url)
                    output = self.drive(document, "create", "start").ok(self).output
                    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                    said = (want if shell == "/bin/sh" else " {PATH} remote").replace("{PATH}", path).strip()
                    self.assertEqual(self.inside("cat", f"{DEV}/said").strip(), said)
                    self.assertEqual("did not say its environment" in output, shell == "/bin/false")
                    self.drive(document, "delete").ok(self)

    def test_features(self):
        """From a registry and from the repository, in their order, with options, variables, commands and what they may ask."""
        registry = fakeregistry.FakeRegistry(self)
        registry.basic = ("u", "registry-secret")
        env = {"A_CONTAINER_REGISTRY_SERVER": registry.host, "A_CONTAINER_REGISTRY_USERNAME": "u",
               "A_CONTAINER_REGISTRY_PASSWORD": "registry-secret"}
        registry.add_feature("acme/late", "1", fakeregistry.feature_files("late", installsAfter=["./early"], containerEnv={
            "FROM_ENV": "of ${PATH}", "PATH": "/late:${PATH}"}, postStartCommand=f"echo late >{DEV}/started"))
        registry.add_feature("acme/needed", "2", fakeregistry.feature_files("needed", privileged=True, capAdd=["SYS_ADMIN", "SYS_PTRACE"],
                     mounts=["source=/,target=/host,type=bind", "source=cache,target=/cache,type=volume"],
                     entrypoint=f"echo entered >{DEV}/entered"))
        base_label = json.dumps(json.dumps({"onCreateCommand": f"echo base >{DEV}/base"}))
        url = self.repository({
            ".devcontainer/devcontainer.json": json.dumps({
                "build": {"dockerfile": "Dockerfile"}, "remoteUser": "dev",
                "features": {f"{registry.host}/acme/late:1": {"greeting": "it's $late"}, "./early": {}}}),
            ".devcontainer/Dockerfile": f"FROM {self.tag}\nLABEL devcontainer.metadata={base_label}\nUSER 1234\n",
            **{f".devcontainer/early/{name}": text for name, text in fakeregistry.feature_files(
                "early", dependsOn={f"{registry.host}/Acme/needed:2": {"greeting": "deep"}}).items()}})
        document = self.workspace(url, env=env)
        output = self.drive(document, "create", "start", "condition").ok(self).output
        self.assertNotIn("registry-secret", output)
        self.assertEqual([line.strip() for line in self.inside("cat", "/installed").splitlines()],
                         ["needed deep", "early hello", "late it's $late of /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
        self.assertIn(f"./install.sh /tmp/dev-container-features/0 it's $late dev {DEV} 1234 0", output)
        self.assertEqual(self.inside("cat", f"{DEV}/base", f"{DEV}/started").split(), ["base", "late"])
        self.assertNotIn("dev-container-features", self.inside("ls", "/tmp"))
        self.assertEqual(self.inside("id", "-u"), "1234")
        common.wait_for(lambda: "entered" in self.inside("ls", DEV), 20 * common.PATIENCE, "the entry point")
        found = json.loads(docker("inspect", self.container()))[0]
        host = found["HostConfig"]
        self.assertEqual((host["Privileged"], host["CapAdd"]), (False, ["SYS_PTRACE"]))
        self.assertEqual(sorted(m["Target"] for m in host["Mounts"]), ["/cache", "/workspaces/app"])
        self.assertIn("PATH=/late:/usr", " ".join(found["Config"]["Env"]))
        for named in ("privileged", "capability SYS_ADMIN", "mount of /"):
            self.assertIn(f"dev container: {named} is not taken over", output)
        self.assertEqual(os.listdir(self.root(self.id)).count(".features"), 0)
        self.drive(document, "stop", "delete").ok(self)
        self.assertEqual(docker("images", "-q", f"daytona-workspace-{self.id}"), "")

    ARCHIVE = "devcontainer-feature-x.tgz"

    def test_a_feature_by_url(self):
        """An archive as releases have them, where a redirect leads; the login that makes the place known is not sent."""
        data, peer = io.BytesIO(), httppeer.Peer().start()
        self.addCleanup(peer.stop)
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for path, text in fakeregistry.feature_files("x", capAdd=["SYS_ADMIN"]).items():
                info = tarfile.TarInfo("./" + path)
                info.size, info.mode = len(text), 0o644
                tar.addfile(info, io.BytesIO(text.encode()))
        host = f"127.0.0.1:{peer.port}"
        env = {"A_CONTAINER_REGISTRY_SERVER": host, "A_CONTAINER_REGISTRY_USERNAME": "u",
               "A_CONTAINER_REGISTRY_PASSWORD": "registry-secret"}
        peer.on("GET", f"/Releases/{self.ARCHIVE}", httppeer.reply(302, headers=[("Location", "/storage?sig=1%2F2")]),
                forever=True)
        peer.on("GET", "/storage.*", httppeer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nhalf", then="close"))
        peer.on("GET", "/storage.*", httppeer.reply(200, data.getvalue()))
        peer.on("GET", f"/Large/{self.ARCHIVE}", httppeer.reply(200, bytes((64 << 20) + 1)))
        peer.on("GET", f"/Kept/{self.ARCHIVE}", httppeer.reply(401))
        url = self.repository({".devcontainer.json": json.dumps({
            "image": self.tag, "features": {f"http://{host}/Releases/{self.ARCHIVE}": {"greeting": "by URL"}}})})
        document = self.workspace(url, env=env)
        output = self.drive(document, "create", "start").ok(self).output
        self.assertEqual(self.inside("cat", "/installed").strip(), "x by URL")
        self.assertIn("dev container: capability SYS_ADMIN is not taken over", output)
        self.drive(document, "delete").ok(self)
        for place, why in (("Large", "larger than 64 MiB"), ("Kept", "does not give")):
            shutil.rmtree(self.path("git"))
            os.mkdir(self.path("git"))
            url = self.repository({".devcontainer.json": json.dumps({
                "image": self.tag, "features": {f"http://{host}/{place}/{self.ARCHIVE}": {}}})})
            self.drive(self.workspace(url, env=env), "create").error(self, why)
            self.drive(self.workspace(url, env=env), "delete").ok(self)
        self.assertFalse([r for r in peer.requests if r.header("Authorization")])

    def test_features_that_cannot_be_had(self):
        registry = fakeregistry.FakeRegistry(self)
        registry.images["acme/image"] = {"tags": {"1": "sha256:" + "a" * 64}, "blobs": {"sha256:" + "a" * 64: b'{"layers":[]}'}}
        registry.add_feature("acme/empty", "1", {"install.sh": "true"})
        registry.add_feature("acme/broken", "1", fakeregistry.feature_files("broken"))
        registry.add_feature("acme/fails", "1", dict(fakeregistry.feature_files("fails"), **{"install.sh": "echo no luck; exit 7"}))
        env = {"A_CONTAINER_REGISTRY_SERVER": registry.host}
        for name, data in registry.images["acme/broken"]["blobs"].items():
            if data.startswith(b"./"):
                registry.images["acme/broken"]["blobs"][name] = data[:700]
        for feature, why in ((f"{registry.host}/acme/none:1", "MANIFEST_UNKNOWN|manifest"), (f"{registry.host}/acme/image:1", "digest|no feature"),
                             (f"{registry.host}/acme/empty:1", "has no devcontainer-feature.json"),
                             (f"{registry.host}/acme/broken:1", "broken"), (f"{registry.host}/acme/fails:1", "exit|code: 7|status 7"),
                             ("./missing", "no folder"), ("../../..", "no folder"), ("./link", "no folder"), ("go", "names no registry"),
                             ("https://127.0.0.1/x.tgz", "is named devcontainer-feature-NAME.tgz"),
                             # A repository does not reach what listens here, unless the job has a login for it.
                             (f"http://127.0.0.1:9/{self.ARCHIVE}", "only fetched by https"),
                             (f"http://{registry.host}/{self.ARCHIVE}", "has no /devcontainer-feature-x.tgz|HTTP 404")):
            with self.subTest(feature=feature):
                shutil.rmtree(self.path("git"))
                shutil.rmtree(self.root(self.id), ignore_errors=True)
                os.mkdir(self.path("git"))
                url = self.repository({".devcontainer.json": json.dumps({"image": self.tag, "features": {feature: {}}}), "link": "-> /etc"})
                self.drive(self.workspace(url, env=env), "create").error(self, f"(?i:{why})")
                self.drive(self.workspace(url, env=env), "delete").ok(self)

    def test_compose_is_for_privileged_targets(self):
        url = self.repository({".devcontainer.json": json.dumps({"dockerComposeFile": "c.yml", "service": "x"}),
                               "c.yml": "services: {x: {image: x}}\n"})
        document = self.workspace(url)
        builder = self.cli_image()
        self.drive(document, "create", DRIVE_BUILDER=builder).error(self, '"dockerComposeFile" .* Privileged')
        document = self.workspace(url, options='{"Network":"host","Privileged":true}')
        output = self.drive(document, "create", "start", "condition", DRIVE_BUILDER=builder).ok(self).output
        self.assertIn("the CLI was asked to up", output)
        self.assertNotIn("containerId", output)
        self.drive(document, "stop", "delete", DRIVE_BUILDER=builder).ok(self)
        self.assertEqual(docker("ps", "-aq", "--filter", f"label=daytona.runner.helper={self.id}"), "")


class Inside(devcase.DevCase):
    """The runner in a container itself, with this machine's programs, the engine outside: it does not have our paths."""

    def setUp(self):
        super().setUp()
        self.house = f"dr-test/house-{os.getpid()}:1"
        with tempfile.TemporaryDirectory() as root:
            for name in ("bin", "lib", "lib64"):
                if os.path.islink("/" + name):
                    os.symlink("usr/" + name, os.path.join(root, name))
            for name in ("usr", "tmp", "etc"):
                os.mkdir(os.path.join(root, name))
            tar = subprocess.run(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        if not os.path.islink("/bin") or not shutil.which("git").startswith("/usr/"):
            self.skipTest("programs are not below /usr alone")
        docker("import", "-", self.house, data=tar)
        self.addCleanup(docker, "rmi", "-f", self.house, check=False)

    def from_inside(self, state, *actions, options=()):
        """state: what is mounted at /inside, or None."""
        mounts = ["/usr:/usr:ro", "/var/run/docker.sock:/var/run/docker.sock", f"{self.tmp}:{self.tmp}",
                  f"{common.BIN}:/runner:ro", f"{drivecase.DRIVE}:/drive:ro"] + ([f"{state}:/inside"] if state else [])
        words = [word for mount in mounts for word in ("-v", mount)] + [self.house, "/drive"]
        for option in options:
            words += ["-o", option]
        return subprocess.run(["docker", "run", "--rm", "--network", "host", *words, "docker-provider", "/inside/state", "/runner",
                               self.document, *actions], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=100 * common.PATIENCE, check=False).stdout

    def test_its_checkouts_are_mounted(self):
        config = json.dumps({"build": {"dockerfile": "D"}, "mounts": [
            "source=${localWorkspaceFolder}/part,target=/part,type=bind", "source=/etc,target=/caught,type=bind"]})
        url = self.repository({".devcontainer.json": config, "part/file": "part", "D": f"FROM {self.tag}\n"})
        self.document = self.workspace(url)
        volume = f"dr-test-{os.getpid()}"
        self.addCleanup(docker, "volume", "rm", "-f", volume, check=False)
        outside = self.path("outside")
        for state, options in ((outside, ()), (volume, ()), (outside, (f"host_state_dir={outside}/state",))):
            with self.subTest(state=state, options=options):
                said = self.from_inside(state, "create", "start", "stop", "start", "condition", options=options)
                self.assertIn("= condition: running", said)
                self.assertEqual(self.inside("cat", "/part/file", "/workspaces/app/part/file"), "partpart")
                self.assertIn("mount of /etc is not taken over", said)
                self.assertIn("= delete: ok", self.from_inside(state, "delete", options=options))
        self.assertEqual(os.listdir(os.path.join(outside, "state", "workspaces")), [])

    def test_nothing_is_mounted_for_it(self):
        self.document = self.workspace(self.repository({"x": "x"}))
        said = self.from_inside(None, "create")
        self.assertIn("no volume or directory of the engine's host is mounted at its state directory /inside/state", said)
        self.assertIn("= create: error", said)


if __name__ == "__main__":
    dockercase.need_engine()
    if not dockercase.shell_image("dr-test/probe:1"):
        common.skip_all("there is no static busybox to make images of")
    docker("rmi", "dr-test/probe:1")
    drivecase.main()
