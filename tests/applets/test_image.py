#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""image: load, save, list and remove; what is unpacked agrees with umoci file by file; hostile archives."""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tarfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
from ocicase import Image, ImageCase, base, digest, directory, entry, hardlink, layer, look, may_give, symlink  # noqa: E402

CAPABILITY = b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"  # cap_net_raw+ep


# Images whose unpacked trees must be those of umoci: (name, layers).
CASES = [
    ("plain", [layer(base())]),
    ("owners and modes", [layer(base() + [
        entry("setuid", mode=0o4755, uid=12, gid=34), entry("setgid", mode=0o2755, gid=7),
        directory("private", mode=0o700, uid=1000, gid=1000), entry("big-id", uid=3000000, gid=2097152),
        entry("none", mode=0), directory("closed", mode=0o555), entry("closed/in", data=b"x")])]),
    ("links", [layer(base() + [
        symlink("lib", "usr/lib"), symlink("absolute", "/etc/passwd"), symlink("dangling", "nowhere"),
        symlink("up", "../../../../etc"), hardlink("hard", "etc/passwd"), symlink("again", "lib"),
        hardlink("hard-soft", "lib"), symlink("owned", "etc", uid=5, gid=6)])]),
    ("long names", [layer(base() + [
        directory("d" * 200), entry("d" * 200 + "/" + "f" * 200, data=b"long"), symlink("l", "t" * 300)], form)
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]),
    ("whiteouts", [
        layer(base() + [directory("a"), entry("a/1", data=b"1"), entry("a/2", data=b"2"), entry("gone"),
                        directory("dir"), entry("dir/x"), entry("becomes-dir"), directory("becomes-file"),
                        entry("becomes-file/x")]),
        layer([directory("./"), directory("a"), entry("a/.wh.1"), entry("a/3", data=b"3"), entry(".wh.gone"), entry(".wh.dir"),
               entry(".wh.becomes-dir"), directory("becomes-dir"), entry("becomes-dir/new"),
               entry("becomes-file", data=b"now")])]),
    ("opaque", [
        layer(base() + [directory("o"), entry("o/old"), directory("o/sub"), entry("o/sub/old")]),
        layer([directory("./"), directory("o"), entry("o/.wh..wh..opq"), entry("o/new", data=b"n")]),
        layer([directory("./"), directory("o"), entry("o/newer", data=b"nn")])]),
    ("whiteouts of nothing", [
        layer(base() + [directory("o"), entry("o/old")]),
        layer([directory("./"), directory("o"), entry("o/.wh..wh..opq"), entry("o/.wh.old"), entry("o/new"), directory("alone"),
               entry("alone/.wh.x"), entry(".wh.absent")])]),
    ("whiteouts of directories that are there again", [
        layer(base() + [directory("a"), entry("a/old"), directory("b"), directory("b/c"), entry("b/c/old")]),
        layer([entry(".wh.a"), entry("a/new"), entry(".wh.b"), entry("b/c/new"),
               # What no entry describes has the time of its making.
               directory("b/c"), directory("b"), directory("a"), directory("./")])]),
    ("times", [layer([*base(), entry("odd", pax={"mtime": "1234567890.123456789"}), entry("old", mtime=1),
                      directory("late", mtime=2000000000), entry("late/file", mtime=5)])]),
    ("attributes", [layer([*base(), entry("ping", mode=0o755, pax={
        "SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}),
        entry("user", pax={"SCHILY.xattr.user.note": "hello\nworld"}),
        directory("dir", pax={"SCHILY.xattr.user.note": "d"})])]),
    ("replaced in one layer", [layer([*base(), entry("f", data=b"first"), entry("f", data=b"second, longer"),
                                      symlink("s", "etc"), entry("s", data=b"file"), directory("e"), entry("e/x"),
                                      symlink("e", "etc")])]),
    ("odd names", [layer([*base(), entry("./dot/../inside", data=b"i"), entry("/absolute", data=b"a"), entry("spa ce\n\u00e4"),
                          directory("dir"), directory("dir//double"), directory("./"), entry(".hidden"), entry(".whx")])]),
    ("pipes", [layer([*base(), entry("pipe", tarfile.FIFOTYPE, mode=0o622, uid=3)])]),
]


class Unpack(ImageCase):
    def check(self, name, layers):
        image = Image(layers, "gzip")
        self.image("load", image.layout(self.path("layout")))
        mine = look(self.merged(image))
        done = common.run(["umoci", "raw", "unpack", "--image", self.path("layout") + ":latest", self.path("theirs")])
        self.assertEqual(done.returncode, 0, done.stderr)
        theirs = look(self.path("theirs"))
        self.assertEqual(sorted(mine), sorted(theirs), name)
        differ = {path: (what, theirs[path]) for path, what in mine.items() if what != theirs[path]}
        self.assertEqual(differ, {}, name)

    def test_agrees_with_umoci(self):
        if not may_give():
            self.skipTest("only root gives files away")
        if not shutil.which("umoci"):
            self.skipTest("umoci is not installed")
        for name, layers in CASES:
            with self.subTest(name):
                try:
                    self.check(name, layers)
                finally:
                    self.doCleanups()
                    self.setUp()

    def test_ways_to_pack(self):
        """gzip, zstd and plain give one layer: it is there once."""
        layers = [layer(base()), layer([entry("x", data=os.urandom(200000))])]
        for way in ("tar", "gzip", "zstd"):
            if way == "zstd" and not shutil.which("zstd"):
                self.skipTest("zstd is not installed")
            self.image("load", Image(layers, way).layout(self.path(way)))
        self.assertEqual(len(os.listdir(os.path.join(self.images, "layers"))), 2)
        self.assertEqual(len(self.names()), 3)


class Archives(ImageCase):
    def test_forms(self):
        """Docker's old archive, also with links and compressed, and a layout as directory and by standard input."""
        image = Image([layer(base()), layer([entry("x", data=b"x")])], "tar", {"Env": ["A=B"]})
        image.docker_archive(self.path("d.tar"), ["example.test/a/b:1", "plain"], links=True)
        with open(self.path("d.tar"), "rb") as file, gzip.open(self.path("d.tgz"), "wb") as packed:
            packed.write(file.read())
        done = self.image("load", self.path("d.tar"))
        self.assertEqual(done.stdout, "Loaded image: example.test/a/b:1\nLoaded image: plain:latest\n")
        self.image("load", "-i", self.path("d.tgz"))
        image.layout(self.path("app"), "v3")
        self.image("load", self.path("app"))
        with tarfile.open(self.path("layout.tar"), "w") as tar:
            tar.add(self.path("app"), ".")
        with open(self.path("layout.tar"), "rb") as file:
            done = self.image("load", "-", stdin=file)
        self.assertIn("Loaded image ID: sha256:", done.stdout)
        self.assertEqual(self.names(), ["docker.io/library/app:v3", "docker.io/library/plain:latest",
                                        "example.test/a/b:1", image.config_digest])
        table = self.image("list").stdout
        self.assertRegex(table, r"(?m)^REPOSITORY +TAG +IMAGE ID +ADDED +SIZE$")
        self.assertRegex(table, rf"(?m)^app +v3 +{image.config_digest[7:19]} ")
        self.assertRegex(table, r"(?m)^<none> +<none> ")

    def test_save_and_remove(self):
        one = Image([layer(base()), layer([entry("one")])])
        two = Image([layer(base()), layer([entry("two")])])
        self.image("load", one.layout(self.path("one")))
        self.image("load", two.layout(self.path("two")))
        self.image("save", "-o", self.path("both.tar"), "one", "two:latest")
        piped = subprocess.run([common.BIN, "image", "save", "one", "two"], env=self.env(), stdout=subprocess.PIPE,
                               check=True, timeout=60 * common.PATIENCE).stdout
        with open(self.path("both.tar"), "rb") as file:
            self.assertEqual(file.read(), piped)
        self.image("rm", "one", "two")
        self.assertEqual(self.left(), [])
        self.image("load", self.path("both.tar"))
        self.assertEqual(self.names(), ["docker.io/library/one:latest", "docker.io/library/two:latest"])
        self.image("rm", "one")
        self.assertEqual(len(os.listdir(os.path.join(self.images, "layers"))), 2)  # the shared one stays
        done = self.image("remove", "one", ok=False)
        self.assertEqual((done.returncode, done.stderr),
                         (1, "daytona-runner image: image docker.io/library/one:latest is not here\n"))
        self.image("remove", two.config_digest[7:15])
        self.assertEqual(self.left(), [])

    def test_docker_reads_what_is_saved(self):
        if not shutil.which("docker") or common.run(["docker", "info"]).returncode != 0:
            self.skipTest("no Docker here")
        name = f"dr-image-test-{os.getpid()}"
        image = Image([layer(base()), layer([entry("x", data=b"x")])], "gzip", {"Cmd": ["/bin/sh"]})
        self.image("load", image.layout(self.path(name)))
        self.image("save", "-o", self.path("s.tar"), name)
        self.addCleanup(common.run, ["docker", "image", "rm", "-f", name])
        common.run(["docker", "load", "-i", self.path("s.tar")], check=True)
        common.run(["docker", "save", "-o", self.path("d.tar"), name], check=True)
        self.image("rm", name)
        self.image("load", self.path("d.tar"))
        self.assertEqual(self.names(), [f"docker.io/library/{name}:latest"])

    def test_prune(self):
        """By age and for room, and never what is held."""
        images = {name: Image([layer([entry(name)])]) for name in ("young", "old", "held")}
        for name, image in images.items():
            self.image("load", image.layout(self.path(name)))
        for record in os.listdir(os.path.join(self.images, "refs")):
            path = os.path.join(self.images, "refs", record)
            with open(path, encoding="utf-8") as file:
                name = json.load(file)["name"]
            if "young" not in name:
                os.utime(path, (1000000000, 1000000000))
            if "held" in name:
                shutil.copy(path, os.path.join(self.images, "uses", "workspace-1"))
        self.assertEqual(self.image("prune").stdout, "Removed 0 names, 0 blobs, 0 unpacked layers\n")
        self.assertEqual(self.image("prune", "--unused-for", "720h").stdout, "Removed 1 names, 3 blobs, 1 unpacked layers\n")
        self.assertEqual(self.names(), ["docker.io/library/held:latest", "docker.io/library/young:latest"])
        self.image("prune", "--free", "2000000000")  # no disk has so much
        self.assertEqual(self.names(), ["docker.io/library/held:latest"])
        self.assertEqual(self.image("prune", "--unused-for", "soon", ok=False).returncode, 2)

    def test_misuse(self):
        for args, text in ((["load"], "load takes one FILE"), (["list", "x"], "list takes no names"), (["save"], "save takes at least one name"),
                           (["eat"], 'not "eat"')):
            done = self.image(*args, ok=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(text, done.stderr)


class Hostile(ImageCase):
    """Each is refused in one line, and the store is as empty as before."""

    def refused(self, path, text):
        done = self.image("load", path, ok=False)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(text, done.stderr)
        self.assertEqual(self.left(), [])

    def broken(self, name, change):
        """A layout with one blob changed."""
        image = Image([layer(base())])
        path = image.layout(self.path(name))
        change(image, path)
        return path

    def test_layouts(self):
        def flip(image, path):
            blob = os.path.join(path, "blobs/sha256", digest(image.packed[0])[7:])
            with open(blob, "r+b") as file:
                file.write(b"\0")

        def cut(image, path):
            os.truncate(os.path.join(path, "blobs/sha256", digest(image.packed[0])[7:]), 100)

        def without(image, path):
            os.unlink(os.path.join(path, "blobs/sha256", digest(image.packed[0])[7:]))

        self.refused(self.broken("flip", flip), "is not what it should be")
        self.refused(self.broken("cut", cut), "is not what it should be")
        self.refused(self.broken("without", without), "sha256")
        wrong = Image([layer(base())], diff_ids=[digest(b"something else")])
        self.refused(wrong.layout(self.path("wrong")), "it unpacks to sha256:")
        many = Image([layer(base())], diff_ids=[digest(b"a"), digest(b"b")])
        self.refused(many.layout(self.path("many")), "the manifest has 1 layers and the configuration 2")
        other = Image([layer(base())], arch="nonesuch")
        index = json.dumps({"schemaVersion": 2, "manifests": [
            dict(other.manifest_ref, platform={"os": "linux", "architecture": "nonesuch"})]}).encode()
        other.manifest_ref = other.add(index, "application/vnd.oci.image.index.v1+json")
        self.refused(other.layout(self.path("other")), "only for linux/nonesuch")

    def test_layers(self):
        rows = (([entry("../../../etc/evil")], "leads out of the image"),
                ([hardlink("h", "/etc/passwd")], "hard link"),
                ([symlink("etc", "/etc"), entry("etc/evil")], "directory above it"),
                ([entry("x", pax={"size": "-1"})], "bad size"))
        for i, (entries, text) in enumerate(rows):
            with self.subTest(text):
                self.refused(Image([layer(entries)]).layout(self.path(str(i))), text)
        self.assertFalse(os.path.exists("/etc/evil"))

    def test_archives(self):
        with open(self.path("empty.tar"), "wb") as file:
            file.write(bytes(10240))
        with open(self.path("text"), "w", encoding="ascii") as file:
            file.write("no archive at all\n" * 100)
        with open(self.path("cut.tar"), "wb") as file:
            file.write(layer([entry("manifest.json", data=b"[]" + b" " * 5000)])[:2000])
        with open(self.path("long.tar"), "wb") as file:
            file.write(layer([entry("n" * 600)]))
        with open(self.path("many.tar"), "wb") as file:
            file.write(layer([symlink(str(i), "x") for i in range(4001)]))
        with open(self.path("none.tar"), "wb") as file:
            file.write(layer([entry("manifest.json", data=b"[]")]))
        with open(self.path("dir.tar"), "wb") as file:  # `dir:` of skopeo, docker-dir of podman
            file.write(layer([entry("manifest.json", data=b'{"schemaVersion":2,"config":{},"layers":[]}')]))
        with open(self.path("absent.tar"), "wb") as file:
            file.write(layer([entry("manifest.json", data=b'[{"Config":"x","Layers":[]}]')]))
        for name, text in (("empty.tar", "no images in it"), ("text", "no tar archive"), ("cut.tar", "cut"),
                           ("long.tar", "more than 512 bytes"), ("many.tar", "more than 4000 files"),
                           ("none.tar", "lists no images"), ("dir.tar", "no list of images"),
                           ("absent.tar", "is not in the archive"), ("missing", "missing")):
            with self.subTest(name):
                self.refused(self.path(name), text)


if __name__ == "__main__":
    common.main()
