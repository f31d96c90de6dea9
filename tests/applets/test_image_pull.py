#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""image pull: against Debian's docker-registry, and against one that logs in, redirects, refuses and breaks off."""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import ocicase  # noqa: E402
from fakeregistry import FakeRegistry, push, real_registry  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402
from ocicase import ARCH, Image, ImageCase, base, entry, layer, look  # noqa: E402


class PullCase(ImageCase):
    settings = {}

    def env(self):
        return {**super().env(), **{f"DAYTONA_RUNNER_RUNNER_{key.upper()}": value for key, value in self.settings.items()}}

    def pull(self, registry, name="app:1", *args, **kwargs):
        host = registry if isinstance(registry, str) else registry.host
        return self.image("pull", "--plain-http", host, f"{host}/{name}", *args, **kwargs)

    def write_auth(self, **config):
        os.makedirs(os.path.join(self.home, ".docker"), exist_ok=True)
        with open(os.path.join(self.home, ".docker", "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)

    @staticmethod
    def b64(text):
        return base64.b64encode(text.encode()).decode()


def some_image(way="gzip", **kwargs):
    return Image([layer(base()), layer([entry("data", data=os.urandom(300000)), entry(".wh.tmp")])], way,
                 {"Env": ["A=B"]}, **kwargs)


class Real(PullCase):
    def registry(self, login=None):
        return real_registry(self, login)

    def check(self, login=None):
        host = self.registry(login)
        for way in ("gzip", "zstd", "tar"):
            if way == "zstd" and not shutil.which("zstd"):
                continue
            image = some_image(way)
            push(self, host, image, f"team/{way}", "1", login)
            done = self.pull(host, f"team/{way}:1")
            self.assertEqual(done.stdout, f"Pulled: {host}/team/{way}:1\n")
            self.assertEqual(self.pull(host, f"team/{way}:1").stdout, f"Up to date: {host}/team/{way}:1\n")
            self.assertEqual(look(self.lowers(image)[0])["data"][3], 300000)
            by_digest = f"team/{way}@{image.manifest_ref['digest']}"
            self.assertIn("Pulled", self.pull(host, by_digest).stdout)
        return host

    def test_without_login(self):
        host = self.check()
        done = self.pull(host, "team/absent:1", ok=False)
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))
        self.assertIn("has no team/absent:1 (HTTP 404: manifest unknown)", done.stderr)

    def test_mirrors_as_settings(self):
        """One that has the image, one that has not, one that is away: in their order, and then the registry itself."""
        host, image = self.registry(), some_image()
        push(self, host, image, "team/app", "1")
        origin, empty = FakeRegistry(self), FakeRegistry(self)
        origin.add("team/app", "1", image)
        away = f"127.0.0.1:{common.free_port()}"
        self.settings = {"plain_http": f"{host}, {origin.host},{empty.host},{away}",
                         "registry_mirrors": f"other.test={away}, {origin.host}={away}, {origin.host}={empty.host},{origin.host}={host}"}
        done = self.image("pull", f"{origin.host}/team/app:1")
        self.assertEqual(done.stdout, f"Pulled: {origin.host}/team/app:1\n")
        self.assertLess(done.stderr.index(f"mirror {away}: "), done.stderr.index(f"mirror {empty.host}: "))
        self.assertEqual((origin.requests, self.names()), ([], [f"{origin.host}/team/app:1"]))
        self.assertEqual(look(self.lowers(image)[0])["data"][3], 300000)
        self.image("rm", f"{origin.host}/team/app:1")
        self.settings["registry_mirrors"] = f"{origin.host}={away}"
        done = self.image("pull", f"{origin.host}/team/app:1")
        self.assertIn(f"mirror {away}: ", done.stderr)
        self.assertGreater(len(origin.requests), 2)
        self.settings["registry_mirrors"] = "docker.io=http://x"
        self.assertIn('"docker.io=http://x" is not HOST=MIRROR[:PORT]', self.image("list", ok=False).stderr)

    def test_with_login(self):
        """The login of Docker's command line, and what is said without one."""
        login = ("alice", 'pw:~\u00e4"\\')
        host_auth = {}
        original = self.registry

        def registry(given=None):
            host = original(given)
            host_auth["host"] = host
            done = self.pull(host, "team/gzip:1", ok=False)
            self.assertIn("wants a user and a password", done.stderr)
            self.write_auth(auths={host: {"auth": self.b64(f"alice:{login[1]}x")}})
            self.assertIn("does not give team/gzip:1 to alice (HTTP 401", self.pull(host, "team/gzip:1", ok=False).stderr)
            self.write_auth(auths={f"https://{host}/v1/": {"auth": self.b64(":".join(login))}})
            return host
        self.registry = registry
        self.check(login)


class Fake(PullCase):
    def setUp(self):
        super().setUp()
        self.fake = FakeRegistry(self)
        self.app = some_image()
        self.fake.add("app", "1", self.app)

    def test_tokens(self):
        """Fetched for the scope that is asked for, refreshed when it has run out, with password or identity token."""
        realm = f"http://{self.fake.host}/token?x=y"
        for config, token in (
                ({}, {}),
                ({"auths": {self.fake.host: {"auth": self.b64("bob:secret password")}}},
                 {"user": "bob", "password": "secret password"}),
                ({"auths": {self.fake.host: {"auth": self.b64("bob:"), "identitytoken": "the&refresh token"}}},
                 {"refresh": "the&refresh token"}),
                ({"auths": {self.fake.host: {"auth": self.b64("bob:secret password")}}},
                 {"user": "bob", "password": "secret password", "uses": 1})):
            with self.subTest(token):
                self.write_auth(**config)
                self.fake.token = {"realm": realm, **token}
                self.fake.tokens.clear()
                self.pull(self.fake)
                self.assertGreaterEqual(len(self.fake.tokens), 4 if "uses" in token else 1)
                self.image("rm", f"{self.fake.host}/app:1")
                self.assertEqual(self.left(), [])
        self.write_auth(auths={self.fake.host: {"auth": self.b64("bob:wrong password")}})
        self.fake.token = {"realm": realm, "user": "bob", "password": "secret password"}
        done = self.pull(self.fake, ok=False)
        self.assertRegex(done.stderr, r"token for .*: .* does not give token to bob \(HTTP 401: denied\)\n$")
        self.assertNotIn("wrong password", done.stderr)

    def test_public_registries(self):
        """As they ask and answer: the place of tokens learns who we are, the registry has the token, the storage nothing."""
        bearer = 'Bearer realm="{{realm}}",service="{}",scope="repository:{{name}}:pull"'
        both = {"names": ["token", "access_token"], "more": {"expires_in": 300, "issued_at": "2026-01-01T00:00:00.123456789Z"}}
        key = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nx:y\n"}, indent=1)
        for name, path, service, challenge, login, token in (
                ("Docker Hub", "/token", "registry.docker.io", bearer, None, both),
                ("Docker Hub, personal token", "/token", "registry.docker.io", bearer, "bob:dckr_pat_a-b_c", both),
                ("GitHub", "/token", "ghcr.io", bearer, None, {}),
                ("GitHub, personal token", "/token", "ghcr.io", bearer, "bob:ghp_x", {}),
                ("Quay", "/v2/auth", "quay.io", bearer, None, {}),
                ("Quay, robot", "/v2/auth", "quay.io", bearer, "team+robot:ROBOT", {}),
                ("Google, key", "/v2/token", "gcr.io", bearer, "_json_key:" + key, {"names": ["token"], "more": {"expires_in": 3600}}),
                ("Google, access token", "/v2/token", "europe-docker.pkg.dev", bearer, "oauth2accesstoken:ya29.x", {}),
                ("GitLab", "/jwt/auth?x=y", "container_registry", bearer, "gitlab-ci-token:jwt", {}),
                ("Azure", "/oauth2/token", "r.azurecr.io", bearer, "bob:pw", {"names": ["access_token"]}),
                ("other order, no scope", "/t", "s", 'bearer  service="{}" , realm="{{realm}}"', None, {}),
                ("Amazon", None, "ecr.amazonaws.com", 'Basic realm="https://1.dkr.ecr.eu.amazonaws.com/",service="{}"', "AWS:" + "ey=" * 900, {})):
            with self.subTest(name):
                registry, tokens, storage = FakeRegistry(self), FakeRegistry(self), FakeRegistry(self)
                registry.add("team/app", "1", self.app)
                registry.blobs_at, registry.challenge = storage, challenge.format(service)
                user, _, password = (login or "").partition(":")
                self.write_auth(auths={registry.host: {"auth": self.b64(login)}} if login else {})
                if path:
                    registry.token = {"realm": f"http://{tokens.host}{path}", "service": service, **token,
                                      **({"user": user, "password": password} if login else {})}
                    tokens.token, tokens.tokens = registry.token, registry.tokens
                    # Busy, as a rate limit says it.
                    tokens.fail_at = {path.split("?")[0]: [(429, {"Retry_After": "0"})]}
                else:
                    registry.basic = (user, password)
                registry.fail_at = {"manifests": [(429, {"Retry_After": "0"})]}
                self.pull(registry, "team/app:1")
                basic = "Basic " + self.b64(login) if login else ""
                self.assertEqual(set(tokens.authorizations("/")), {basic} if path else set())
                self.assertEqual([where for _, where, _, _ in tokens.requests if "scope=repository%3Ateam%2Fapp%3Apull" not in where], [])
                self.assertEqual({sent.split(" ")[0] for sent in registry.authorizations("/")} - {""}, {"Bearer" if path else "Basic"})
                self.assertEqual(set(storage.authorizations("/")), {""})
                self.image("rm", f"{registry.host}/team/app:1")
                self.assertEqual(self.left(), [])
        # A limit that does not end is said in the registry's words.
        self.write_auth()
        self.fake.fail_at = {"manifests": [(429, {"Retry_After": "0"})] * 10}
        self.assertRegex(self.pull(self.fake, ok=False).stderr, r"answers HTTP 429 to app:1: toomanyrequests")

    def test_tokens_only_from_where_it_is_safe(self):
        other = FakeRegistry(self)
        self.write_auth(auths={self.fake.host: {"auth": self.b64("bob:pw")}})
        self.fake.token = {"realm": f"http://localhost:{other.server.server_port}/token", "user": "bob", "password": "pw"}
        self.assertIn("which is not encrypted", self.pull(self.fake, ok=False).stderr)
        self.assertEqual(other.requests, [])

    def test_logins_of_others(self):
        """Those of another host, and of another port of this one, are not sent."""
        self.write_auth(auths={"127.0.0.1": {"auth": self.b64("a:b")}, "example.test": {"auth": self.b64("c:d")}})
        self.fake.basic = ("a", "b")
        self.assertIn("wants a user and a password", self.pull(self.fake, ok=False).stderr)
        self.assertEqual(set(self.fake.authorizations("/")), {""})

    def test_helpers(self):
        """A credential helper is asked for the host, by its standard input."""
        bin_dir = self.path("bin")
        os.mkdir(bin_dir)
        helper = os.path.join(bin_dir, "docker-credential-test")
        with open(helper, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n[ \"$1\" = get ] || exit 9\nread -r host\necho \"$host\" >>{self.tmp}/asked\n"
                       f"[ \"$host\" = {self.fake.host} ] || {{ echo 'credentials not found in native keychain'; exit 1; }}\n"
                       "echo '{\"Username\":\"carol\",\"Secret\":\"helper secret\"}'\n")
        os.chmod(helper, 0o755)
        env = {**self.env(), "PATH": bin_dir + ":/usr/bin:/bin"}
        self.env = lambda: env
        self.fake.basic = ("carol", "helper secret")
        for config in ({"credsStore": "test"}, {"credHelpers": {self.fake.host: "test"}, "credsStore": "absent"}):
            self.write_auth(**config)
            self.pull(self.fake)
        with open(self.path("asked"), encoding="ascii") as file:
            self.assertEqual(file.read().split(), [self.fake.host] * 2)
        self.write_auth(credsStore="absent")
        self.assertIn("docker-credential-absent", self.pull(self.fake, ok=False).stderr)
        self.write_auth(credsStore="../bin/docker-credential-test")
        self.assertIn("no name of a credential helper", self.pull(self.fake, ok=False).stderr)

    def test_redirects(self):
        """Blobs may lie elsewhere; nobody there learns who we are."""
        other = FakeRegistry(self)
        self.fake.basic, self.fake.blobs_at = ("a", "b"), other
        self.write_auth(auths={self.fake.host: {"auth": self.b64("a:b")}, other.host: {"auth": self.b64("x:y")}})
        self.pull(self.fake)
        self.assertEqual(len(other.requests), 3)
        self.assertEqual(other.authorizations("/"), [""] * 3)
        self.assertIn("signature=abc", other.requests[0][1])

        loop = FakeRegistry(self)
        loop.add("app", "1", self.app)
        loop.blobs_at = loop
        self.image("rm", f"{self.fake.host}/app:1")
        self.assertIn("redirects", self.pull(loop, ok=False).stderr)

    def test_busy(self):
        """429 is waited for as it asks."""
        self.fake.fail = [(429, {"Retry_After": "0"}), (503, {"Retry_After": "0"})]
        done = self.pull(self.fake)
        self.assertRegex(done.stderr, r"HTTP 429; trying again in 0 s\n(.*\n)*.*HTTP 503; trying again in 0 s\n")
        self.fake.add("app", "2", some_image())
        self.fake.fail = [(429, {"Retry_After": "0"})] * 10
        self.assertIn("answers HTTP 429 to sha256:", self.pull(self.fake, "app:2", ok=False).stderr)

    def test_resumes(self):
        """A connection that breaks is gone on with, from where it broke; also when the other side only does all."""
        self.fake.cut_after = [100000, 50000]
        self.pull(self.fake)
        self.assertIn(100000, self.fake.seen)
        self.assertIn(150000, self.fake.seen)
        self.fake.add("app", "2", some_image())
        self.fake.cut_after, self.fake.ranges = [100000], False
        self.pull(self.fake, "app:2")
        self.assertEqual(self.left_in("tmp"), [])

    def left_in(self, name):
        return os.listdir(os.path.join(self.images, name))

    def test_wrong_bytes(self):
        """Other bytes, more, fewer, and other manifests than the digest says: nothing is kept."""
        for change, text in ((lambda data: b"x" + data[1:], "is not what it should be"),
                             (lambda data: data + b"x", "more than the"),
                             (lambda data: data[:-1], "ended after")):
            self.fake.change = change
            done = self.pull(self.fake, ok=False)
            self.assertIn(text, done.stderr)
            self.assertEqual(self.names(), [])
            self.assertEqual(self.left_in("layers"), [])
        self.fake.change = lambda data: data
        self.pull(self.fake)
        other = some_image()
        self.fake.images["app"]["blobs"][self.app.manifest_ref["digest"]] = other.manifest
        done = self.pull(self.fake, f"app@{self.app.manifest_ref['digest']}", ok=False)
        self.assertIn("its digest is", done.stderr)

    def test_platforms(self):
        """Of an index, the image of this machine, or of the one that is asked for."""
        other = some_image(arch="s390x")
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
            dict(other.manifest_ref, platform={"os": "linux", "architecture": "s390x"}),
            dict(self.app.manifest_ref, platform={"os": "linux", "architecture": ARCH})]}
        whole = some_image()
        whole.blobs.update(self.app.blobs)
        whole.blobs.update(other.blobs)
        whole.manifest_ref = whole.add(json.dumps(index).encode(), index["mediaType"])
        self.fake.add("multi", "1", whole)
        self.pull(self.fake, "multi:1")
        self.assertIn(self.app.config_digest, self.image("list", "-f", "json").stdout)
        self.pull(self.fake, "multi:1", "--platform", "linux/s390x")
        self.assertIn(other.config_digest, self.image("list", "-f", "json").stdout)
        done = self.pull(self.fake, "multi:1", "--platform", "linux/mips", ok=False)
        self.assertIn(f"there is no image for linux/mips, only for linux/s390x, linux/{ARCH}", done.stderr)

    def test_types_of_docker(self):
        """What Docker pushes: a registry gives each type to those alone who say that they take it."""
        docker = "application/vnd.docker."
        text = self.app.manifest.decode()
        for oci, its in (("application/vnd.oci.image.manifest.v1+json", docker + "distribution.manifest.v2+json"),
                         ("application/vnd.oci.image.config.v1+json", docker + "container.image.v1+json"),
                         ("application/vnd.oci.image.layer.v1.tar+gzip", docker + "image.rootfs.diff.tar.gzip")):
            self.assertIn(oci, text)
            text = text.replace(oci, its)
        self.app.manifest_ref = self.app.add(text.encode(), docker + "distribution.manifest.v2+json")
        self.fake.add("app", "docker", self.app)
        self.pull(self.fake, "app:docker")
        listed = {"schemaVersion": 2, "mediaType": docker + "distribution.manifest.list.v2+json", "manifests": [
            dict(self.app.manifest_ref, platform={"os": "linux", "architecture": ARCH})]}
        self.app.manifest_ref = self.app.add(json.dumps(listed).encode(), listed["mediaType"])
        self.fake.add("app", "list", self.app)
        self.pull(self.fake, "app:list")
        self.assertEqual(self.names(), [f"{self.fake.host}/app:docker", f"{self.fake.host}/app:list"])

    def test_progress(self):
        """A bar on a terminal, lines elsewhere, nothing with -q."""
        args = ("pull", "--plain-http", self.fake.host, f"{self.fake.host}/app:1")
        self.assertRegex(self.image(*args).stderr, r"(?m)^100 % of \d+[kM]?B$")
        self.image("rm", args[-1])
        terminal = Terminal(self, [common.BIN, "image", *args], self.env())
        self.assertEqual(terminal.wait(), 0)
        self.assertRegex(terminal.text(), r"\r\[#+\]  (\d+[kM]?B) of \1 *\nPulled: ")
        self.assertNotIn("%", terminal.text())
        self.image("rm", args[-1])
        self.assertEqual(self.image(*args, "-q").stderr, "")

    def rootfs(self, when, ref=None, ok=True):
        done = common.run([os.path.join(os.environ["DR_TOOLS_DIR"], "rootfs"), self.images, ref or f"{self.fake.host}/app:1",
                           "workspace-1", when, self.fake.host], env=self.env())
        self.assertEqual(done.returncode, 0 if ok else 1, done.stderr)
        return done

    def test_one_call(self):
        """A root file system and what begins in it, pulled when it must be; held until it is released."""
        self.image("list")
        self.assertIn("is not here", self.rootfs("never", ok=False).stderr)
        lines = self.rootfs("missing").stdout.splitlines()
        self.assertEqual(lines, self.lowers(self.app) + ["env A=B", "user "])
        asked = len(self.fake.requests)
        self.rootfs("missing")
        self.assertEqual(len(self.fake.requests), asked)
        newer = some_image()
        self.fake.add("app", "1", newer)
        self.assertEqual(self.rootfs("always").stdout.splitlines()[:2], self.lowers(newer))
        self.image("rm", f"{self.fake.host}/app:1")
        self.assertIn(newer.config["rootfs"]["diff_ids"][1][7:], " ".join(self.left()))  # held
        self.assertIn("is not here", self.rootfs("never", newer.config_digest[:20], ok=False).stderr)

    def test_registry_is_away(self):
        """What is here serves; what is not is an error."""
        self.rootfs("missing")
        self.fake.fail_all = 503
        done = self.rootfs("always")
        self.assertEqual(done.stdout.splitlines()[:2], self.lowers(self.app))
        self.assertIn("answers HTTP 503", done.stderr)
        self.rootfs("always", f"{self.fake.host}/other:1", ok=False)

    def test_mirrors(self):
        """Asked first, in its own name; what it does not have comes from the registry itself."""
        self.write_auth(auths={"example.test": {"auth": self.b64("secret:login")}})
        done = self.image("pull", "--plain-http", self.fake.host, "--mirror", self.fake.host, "example.test/app:1")
        self.assertEqual(done.stdout, "Pulled: example.test/app:1\n")
        self.assertEqual(set(self.fake.authorizations("/")), {""})
        empty = FakeRegistry(self)
        done = self.image("pull", "--plain-http", self.fake.host, "--mirror", empty.host, f"{self.fake.host}/app:1", ok=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"mirror {empty.host}: ", done.stderr)
        self.assertEqual(self.names(), [f"{self.fake.host}/app:1", "example.test/app:1"])

    def test_a_mirror_gets_its_own_login_alone(self):
        origin, mirror = FakeRegistry(self), self.fake
        self.settings = {"plain_http": f"{origin.host},{mirror.host}", "registry_mirrors": f"{origin.host}={mirror.host}"}
        logins = {origin.host: {"auth": self.b64("of:origin")}}
        mirror.basic = ("of", "mirror")
        origin.basic = ("of", "origin")
        origin.add("app", "1", self.app)
        self.write_auth(auths=logins)
        self.image("pull", f"{origin.host}/app:1")
        self.assertEqual(set(mirror.authorizations("/")), {""})
        self.assertIn("Basic " + self.b64("of:origin"), origin.authorizations("/"))
        origin.requests.clear()
        mirror.requests.clear()
        self.image("rm", f"{origin.host}/app:1")
        self.write_auth(auths={**logins, mirror.host: {"auth": self.b64("of:mirror")}})
        self.image("pull", f"{origin.host}/app:1")
        self.assertEqual(set(mirror.authorizations("/")), {"", "Basic " + self.b64("of:mirror")})
        self.assertEqual(origin.requests, [])

    def test_plain_http_only_where_configured(self):
        done = self.image("pull", f"{self.fake.host}/app:1", ok=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(self.fake.requests, [])

    def test_killed(self):
        """Killed while a blob arrives, at several places: the second try goes on, and nothing is left over."""
        for after in (0, 1, 1000, 200000):
            with self.subTest(after):
                self.fake.hold_after = after
                self.fake.held.clear()
                self.fake.go.clear()
                process = subprocess.Popen([common.BIN, "image", "pull", "--plain-http", self.fake.host,
                                            f"{self.fake.host}/app:1"], env=self.env(), stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                self.assertTrue(self.fake.held.wait(60 * common.PATIENCE))
                process.send_signal(signal.SIGKILL)
                process.wait()
                self.fake.hold_after = None
                self.fake.go.set()
                self.pull(self.fake)
                self.assertEqual(self.left_in("tmp"), [])
                self.image("rm", f"{self.fake.host}/app:1")
                self.assertEqual(self.left(), [])

    def test_large_windows(self):
        """Layers of zstd at its highest levels, of small ones, and one that grows only behind its first frame."""
        if not shutil.which("zstd"):
            self.skipTest("zstd is not installed")

        def pack(data, level):
            return subprocess.run(["zstd", "-q", "--ultra", f"-{level}", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
        bytes_of = [ocicase.layer([ocicase.entry(f"file{i}", data=bytes([i]) * (9 << 20))]) for i in range(8)]
        levels = iter((19, 22, 3, 1, 19, (1, 22), (3, 16), 20))

        def way(data):
            level = next(levels)
            return pack(data, level) if isinstance(level, int) else pack(data[:5000], level[0]) + pack(data[5000:], level[1])
        ocicase.WAYS["mixed"] = ("+zstd", way)
        self.addCleanup(ocicase.WAYS.pop, "mixed")
        self.fake.add("app", "large", ocicase.Image(bytes_of, "mixed"))
        self.pull(self.fake, "app:large")
        self.assertEqual(self.left_in("tmp"), [])
        self.assertEqual(len(self.left_in("layers")), len(bytes_of))

    def test_two_at_once(self):
        """Two pulls of one image bring each blob once."""
        args = [common.BIN, "image", "pull", "-q", "--plain-http", self.fake.host, f"{self.fake.host}/app:1"]
        both = [subprocess.Popen(args, env=self.env(), stderr=subprocess.PIPE, text=True) for _ in range(2)]
        for process in both:
            self.assertEqual(process.communicate(timeout=60 * common.PATIENCE)[1], "")
            self.assertEqual(process.returncode, 0)
        asked = [path for _, path, _, _ in self.fake.requests if "/blobs/" in path]
        self.assertEqual(len(asked), len(set(asked)))
        self.assertEqual(self.left_in("tmp"), [])


if __name__ == "__main__":
    common.main()
