# SPDX-License-Identifier: Apache-2.0
"""Images made for a test: layers as lists of entries, an OCI layout or Docker's archive of them, and what an unpacked
tree is like, file by file."""
import gzip
import hashlib
import io
import json
import os
import re
import stat
import subprocess
import tarfile

import common

LAYER = "application/vnd.oci.image.layer.v1.tar"
MTIME = 1600000000
ARCH = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64"}.get(os.uname().machine, "amd64")


def may_give():
    """Whether files can be given away and trusted attributes set here: root cannot in every container."""
    with open("/proc/self/status", encoding="ascii") as file:
        caps = int(re.search(r"CapEff:\s*(\w+)", file.read()).group(1), 16)
    return os.geteuid() == 0 and caps & (1 << 0) and caps & (1 << 21)


def entry(name, kind=tarfile.REGTYPE, data=b"", mode=None, uid=0, gid=0, link="", mtime=MTIME, pax=None):
    """One entry of a layer: (TarInfo, content)."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.uid, info.gid, info.mtime = kind, link, uid, gid, mtime
    info.mode = mode if mode is not None else 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.size = len(data)
    info.pax_headers = pax or {}
    return info, data


def directory(name, **kwargs):
    return entry(name, tarfile.DIRTYPE, **kwargs)


def symlink(name, to, **kwargs):
    return entry(name, tarfile.SYMTYPE, link=to, mode=0o777, **kwargs)


def hardlink(name, to, **kwargs):
    return entry(name, tarfile.LNKTYPE, link=to, **kwargs)


def layer(entries, form=tarfile.PAX_FORMAT):
    """The tar archive of entries."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def zstd(data):
    return subprocess.run(["zstd", "-q", "-3", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


WAYS = {"tar": ("", lambda data: data), "gzip": ("+gzip", lambda data: gzip.compress(data, 6, mtime=0)),
        "zstd": ("+zstd", zstd)}


class Image:
    """An image of these tar archives: blobs by digest, and its manifest."""

    def __init__(self, layers, way="gzip", config=None, arch=ARCH, diff_ids=None):
        suffix, pack = WAYS[way]
        self.layers, self.blobs = layers, {}
        packed = [pack(data) for data in layers]
        self.config = {"os": "linux", "architecture": arch, "created": "2020-09-13T12:26:40Z", "config": config or {},
                       "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(data) for data in layers]}}
        text = json.dumps(self.config).encode()
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.add(text, "application/vnd.oci.image.config.v1+json"),
                    "layers": [self.add(data, LAYER + suffix) for data in packed]}
        self.config_digest = digest(text)
        self.packed = packed
        self.manifest = json.dumps(manifest).encode()
        self.manifest_ref = self.add(self.manifest, manifest["mediaType"])

    def add(self, data, media_type):
        self.blobs[digest(data)] = data
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def layout(self, path, tag="latest"):
        """An OCI layout in the directory path."""
        os.makedirs(os.path.join(path, "blobs/sha256"))
        for name, data in self.blobs.items():
            with open(os.path.join(path, "blobs/sha256", name.split(":")[1]), "wb") as file:
                file.write(data)
        index = {"schemaVersion": 2, "manifests": [
            dict(self.manifest_ref, annotations={"org.opencontainers.image.ref.name": tag})]}
        for name, value in (("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
            with open(os.path.join(path, name), "w", encoding="utf-8") as file:
                json.dump(value, file)
        return path

    def docker_archive(self, path, names, links=False):
        """What `docker save` wrote before it wrote layouts; with links a layer is there once more as a link."""
        config = self.config_digest.split(":")[1] + ".json"
        with tarfile.open(path, "w") as tar:
            def put(name, data):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            paths = []
            for i, data in enumerate(self.layers):
                paths.append(f"layer{i}/layer.tar")
                put(f"layer{i}/VERSION", b"1.0")
                put(f"layer{i}/json", b"{}")
                put(paths[-1], data)
            if links:
                info = tarfile.TarInfo("again/layer.tar")
                info.type, info.linkname = tarfile.SYMTYPE, "../layer0/layer.tar"
                tar.addfile(info)
                paths[0] = "again/layer.tar"
            put(config, self.blobs[self.config_digest])
            put("repositories", b"{}")
            put("manifest.json", json.dumps([{"Config": config, "RepoTags": names, "Layers": paths}]).encode())
        return path


def look(root):
    """{path: (type and mode, owner, size, time, target or content, attributes, which others are the same file)}."""
    found, inodes = {}, {}
    for top, dirs, files in os.walk(root):
        for name in [""] * (top == root) + dirs + files:
            path = os.path.join(top, name) if name else top
            st = os.lstat(path)
            what = ""
            if stat.S_ISLNK(st.st_mode):
                what = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    what = hashlib.sha256(file.read()).hexdigest()
            attributes = {key: os.getxattr(path, key, follow_symlinks=False)
                          for key in os.listxattr(path, follow_symlinks=False) if not key.startswith("trusted.overlay.")}
            relative = os.path.relpath(path, root)
            same = inodes.setdefault((st.st_dev, st.st_ino), relative) if not stat.S_ISDIR(st.st_mode) else relative
            found[relative] = (oct(st.st_mode), st.st_uid, st.st_gid, 0 if stat.S_ISDIR(st.st_mode) else st.st_size,
                               st.st_mtime_ns, what, attributes, same if st.st_nlink > 1 and not stat.S_ISDIR(st.st_mode) else "")
    return found


class ImageCase(common.Case):
    def setUp(self):
        super().setUp()
        self.home = self.path("home")
        os.makedirs(self.home)
        self.images = self.path("conf", "state", "images")

    def env(self):
        return common.clean_env(self.home, DAYTONA_RUNNER_CONFIG_DIR=self.path("conf"))

    def image(self, *args, ok=True, **kwargs):
        done = common.run([common.BIN, "image", *args], env=self.env(), **kwargs)
        if ok:
            self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotRegex(done.stderr, "Sanitizer|runtime error")
        return done

    def names(self):
        return [image["name"] for image in json.loads(self.image("list", "-f", "json").stdout)]

    def lowers(self, image):
        """The unpacked layers, the uppermost first."""
        suffix = "" if may_give() else "-ru"
        return [os.path.join(self.images, "layers", name.split(":")[1] + suffix, "fs")
                for name in reversed(image.config["rootfs"]["diff_ids"])]

    def left(self):
        """What there is in the store beside its directories."""
        found = []
        for top, dirs, files in os.walk(self.images):
            if top.endswith("/layers"):
                found += dirs
                dirs.clear()
            found += [name for name in files if name != "lock"]
        return found

    def merged(self, image):
        """The layers as overlayfs shows them."""
        if not may_give():
            self.skipTest("only root mounts")
        mount = self.path("merged")
        os.makedirs(mount)
        lower = self.lowers(image)
        if len(lower) == 1:
            os.makedirs(self.path("empty"))
            lower.append(self.path("empty"))
        done = common.run(["mount", "-t", "overlay", "overlay", "-o", "ro,lowerdir=" + ":".join(lower), mount])
        if done.returncode != 0:
            self.skipTest("no overlayfs here: " + done.stderr.strip())
        self.addCleanup(common.run, ["umount", mount])
        return mount


def base():
    return [directory("./"), directory("bin"), entry("bin/sh", data=b"#!", mode=0o755), directory("etc"),
            entry("etc/passwd", data=b"root:x:0:0:root:/root:/bin/sh\n"), directory("tmp", mode=0o1777)]
