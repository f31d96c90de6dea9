# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into images.
"""Features of dev containers without a container engine: fetched, ordered, installed in sandboxes, known again, and given no more
than a dev container may have."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import boxcase  # noqa: E402
import sandboxcase  # noqa: E402
from fakeregistry import FakeRegistry, feature_files  # noqa: E402
from gitserver import make_repo  # noqa: E402
from sandboxcase import ROOT  # noqa: E402

BEFORE = " (as before)"


class Features(boxcase.BoxCase):
    def setUp(self):
        super().setUp()
        self.need_static()
        self.count = 0

    def each(self):
        for who in sandboxcase.people():
            self.be(who)
            self.need()
            self.load_image(config={"Env": ["PATH=/bin"], "User": "0", "Labels": {
                "devcontainer.metadata": json.dumps([{"onCreateCommand": "echo of the base"}])}})
            self.registry = FakeRegistry(self)
            self.registry.basic = ("u", "registry-secret")
            yield who

    def dev(self, features, files=None, login=True, **config):
        self.count += 1
        config = {"features": features, **({} if "build" in config else {"image": boxcase.BASE}), **config}
        bare, _ = make_repo(self.path("srv"), f"f{self.count}", files={".devcontainer/devcontainer.json": json.dumps(config), **(files or {})})
        self.id = self.fake.add_workspace(bare, options=json.dumps(
            {"Image": "devcontainer", "Grace Seconds": 1, "Agent": "none", "Command": "sleep 1000", "Network": "none"}))
        env = {"A_CONTAINER_REGISTRY_SERVER": self.registry.host if login is True else login, "A_CONTAINER_REGISTRY_USERNAME": "u",
               "A_CONTAINER_REGISTRY_PASSWORD": "registry-secret"} if login else {}
        return self.document(self.fake, self.id, envVars=env)

    def local(self, name, **document):
        return {f".devcontainer/{name}/{path}": text for path, text in feature_files(name, **document).items()}

    def ask(self, document, *commands):
        return self.go(document, "start", *(f"exec={command}" for command in commands), DRIVE_USER="0").output

    def gone(self, document):
        self.go(document, "delete").ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))
        self.assertEqual(os.listdir(os.path.join(self.state, "images", "uses")), [])

    def test_installed_in_their_order_and_known_again(self):
        for who in self.each():
            host = self.registry.host
            self.registry.add_feature("acme/late", "1", feature_files("late", installsAfter=["./early"], containerEnv={
                "FROM_ENV": "of ${PATH}", "PATH": "/late:${PATH}"}, postStartCommand="echo late hook $FROM_ENV"))
            self.registry.add_feature("acme/needed", "2", feature_files(
                "needed", privileged=True, capAdd=["SYS_PTRACE"], securityOpt=["seccomp=unconfined"], init=True, entrypoint="/bin/enter",
                mounts=["source=/,target=/host,type=bind", "source=cache,target=/cache,type=volume"]))
            features = {f"{host}/acme/late:1": {"greeting": "it's $late"}, "./early": {}}
            files = {**self.local("early", dependsOn={f"{host}/Acme/needed:2": {"greeting": "deep"}}),
                     ".devcontainer/Dockerfile": f"FROM {boxcase.BASE}\nRUN echo made >/made\nUSER 0\n"}
            for config in ({}, {"build": {"dockerfile": "Dockerfile"}}):
                document = self.dev(features, files, remoteUser="node", **config)
                output = self.go(document, "create").ok(self).output
                self.assertNotIn("registry-secret", output)
                self.assertNotIn(BEFORE, output)
                self.assertIn("./install.sh /tmp/dev-container-features/0 it's $late node /var/node 0 0", output)
                said = self.ask(document, "cat /installed", "ls /tmp /made; touch /cache/x && echo VOLUME; ls /host", "echo $PATH")
                self.assertIn("needed deep\nearly hello\nlate it's $late of /bin\n", said.replace(" \n", "\n"))
                for named in ("privileged", "capability SYS_PTRACE", "security option seccomp=unconfined", "mount of /", "entrypoint /bin/enter"):
                    self.assertIn(f"dev container: {named} is not taken over", said)
                for text in ("of the base", "late hook of /bin", "VOLUME", "/host: No such", "/late:/bin"):
                    self.assertIn(text, said)
                self.assertNotIn("dev-container-features", said)
                self.assertEqual("/made\n" in said, "build" in config)
                self.assertFalse(os.path.exists(self.root(self.id, ".runner/box/features")))
                # The same again: each layer is known, and no other option's.
                self.gone(document)
            document = self.dev(features, files, remoteUser="node")
            output = self.go(document, "create").ok(self).output
            self.assertEqual(output.count(BEFORE), 9, output)
            self.gone(document)
            document = self.dev({**features, f"{host}/acme/late:1": {"greeting": "other"}}, files, remoteUser="node")
            output = self.go(document, "create").ok(self).output
            self.assertEqual(output.count(BEFORE), 7, output)
            self.assertIn("late other of", self.ask(document, "cat /installed"))
            self.gone(document)
            self.registry.add_feature("acme/needed", "2", feature_files("needed", install="echo new >/installed"))
            document = self.dev(features, files, remoteUser="node")
            self.assertIn("new\nearly hello", (self.go(document, "create").ok(self), self.ask(document, "cat /installed"))[1].replace(" \n", "\n"))
            self.gone(document)

    def test_what_cannot_be_had(self):
        for who in self.each():
            host = self.registry.host
            self.registry.add_feature("acme/fails", "1", feature_files("fails", install="echo no luck; exit 7"))
            self.registry.add_feature("acme/circle", "1", feature_files("circle", dependsOn={f"{host}/acme/back:1": {}}))
            self.registry.add_feature("acme/back", "1", feature_files("back", dependsOn={f"{host}/acme/circle:1": {}}))
            for feature, why, login in ((f"{host}/acme/none:1", "MANIFEST_UNKNOWN|manifest", True), ("node", "names no registry", True),
                                        (f"{host}/acme/fails:1", "RUN failed: exit status 7", True), (f"{host}/acme/circle:1", "circle", True),
                                        ("./missing", "has no folder", True), ("./../..", "has no folder", True), ("./link", "has no folder", True),
                                        (f"{host}/acme/fails:1", "TLS|tls|certificate", False),
                                        (f"http://{host}/devcontainer-feature-x.tgz", "only fetched by https", False),
                                        # A name, though it begins as this machine's addresses do.
                                        ("http://127.evil.test/devcontainer-feature-x.tgz", "only fetched by https", "127.evil.test")):
                with self.subTest(feature=feature):
                    document = self.dev({feature: {}}, {".devcontainer/link": "-> /etc"}, login=login)
                    self.go(document, "create").error(self, why)
                    self.gone(document)
            self.assertEqual([who for who in os.listdir(os.path.join(self.state, "workspaces"))], [])

    def test_mirrors_of_their_registry(self):
        for who in self.each():
            self.registry.basic = None
            self.registry.add_feature("acme/f", "1", feature_files("f"))
            document = self.dev({"features.test/acme/f:1": {}}, login=False)
            where = {"DRIVE_MIRRORS": "features.test=127.0.0.1:1,features.test=" + self.registry.host,
                     "DRIVE_PLAIN_HTTP": "127.0.0.1:1," + self.registry.host}
            output = self.go(document, "create", **where).ok(self).output
            self.assertIn("mirror 127.0.0.1:1: ", output)
            self.assertIn("f hello", self.ask(document, "cat /installed"))
            self.gone(document)

    def test_a_feature_is_code_in_a_sandbox(self):
        """install.sh is root inside, and nothing outside; what its archive names ends inside."""
        for who in self.each():
            secret = self.path(f"secret-{who}")
            with open(secret, "w", encoding="utf-8") as file:
                file.write("of-the-host")
            os.chmod(secret, 0o644)
            install = f"cat {secret}; cat /proc/1/root{secret}; cat ../../../..{secret}; mknod /d c 1 1; mount -t tmpfs x /tmp; id -u; ls -l link; cat link/*; true"
            files = {f".devcontainer/x/{path}": text for path, text in feature_files("x", install=install).items()}
            document = self.dev({"./x": {}}, {**files, ".devcontainer/x/link": "-> " + self.tmp})
            output = self.go(document, "create").ok(self).output
            self.assertNotIn("of-the-host", output)
            self.assertIn("\n0\n", output)
            self.assertEqual(output.count("mount: "), 1, output)
            self.gone(document)


if __name__ == "__main__":
    boxcase.main()
