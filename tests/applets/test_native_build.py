# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into images.
"""Images out of Dockerfiles by native-provider's own builder: as root and as an ordinary user, and what a Dockerfile must not
reach."""
import base64
import gzip
import json
import os
import re
import signal
import sys
import tarfile
import threading
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import boxcase  # noqa: E402
import common  # noqa: E402
import ocicase  # noqa: E402
import sandboxcase  # noqa: E402
from fakeregistry import FakeRegistry, real_registry  # noqa: E402
from gitserver import make_repo  # noqa: E402
from sandboxcase import has_ids  # noqa: E402

CANARY = "of-the-host"
BEFORE = " (as before)"


def archive(entries):
    return gzip.compress(ocicase.layer(entries), mtime=0)


class BuildCase(boxcase.BoxCase):
    def setUp(self):
        super().setUp()
        self.need_static()
        self.count = 0

    def each(self, people=()):
        for who in people or sandboxcase.people():
            self.be(who)
            self.need()
            self.load_image(config={"Env": ["PATH=/bin", "BASE=yes"], "Cmd": ["base"], "Labels": {"of": "base"}})
            yield who

    def dev(self, dockerfile, files=None, build=None, options=None, **config):
        """A workspace of a repository with this Dockerfile."""
        self.count += 1
        config = {"build": {"dockerfile": "Dockerfile", **(build or {})}, **config}
        made = {".devcontainer.json": json.dumps(config), **(files or {})}
        if dockerfile:
            made["Dockerfile"] = dockerfile.replace("BASE_IMAGE", boxcase.BASE)
        bare, _ = make_repo(self.path("srv"), f"b{self.count}", files=made)
        self.id = self.fake.add_workspace(bare, options=json.dumps(
            {"Image": "devcontainer", "Grace Seconds": 1, "Agent": "none", "Command": "sleep 1000", "Network": "none", **(options or {})}))
        return self.document(self.fake, self.id)

    def config(self):
        """The configuration of the workspace's image, and how many layers it has."""
        def blob(digest):
            with open(os.path.join(self.state, "images/blobs/sha256", digest.split(":")[1]), encoding="utf-8") as file:
                return json.load(file)
        with open(self.root(self.id, ".runner", "workspace.json"), encoding="utf-8") as file:
            manifest = blob(json.load(file)["sandbox"]["manifest"])
        return blob(manifest["config"]["digest"])

    def build(self, document, **extra):
        return self.go(document, "create", **extra).ok(self).output

    def ask(self, document, *commands, user=""):
        """Started, asked and deleted."""
        said = self.go(document, "start", *(f"exec={command}" for command in commands), DRIVE_USER=user).output
        self.gone(document)
        return said

    def gone(self, document):
        self.go(document, "delete").ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))
        self.assertEqual(os.listdir(os.path.join(self.state, "images", "uses")), [])


class Builds(BuildCase):
    def test_what_instructions_do(self):
        dockerfile = r"""# syntax=docker/dockerfile:1
ARG TAG=1 UNUSED
FROM workspace/base:$TAG AS zero
FROM BASE_IMAGE AS other
RUN mkdir /theirs; echo theirs >/theirs/t; chown 1000:1000 /theirs/t || true
FROM zero as first
ARG GREETING=hello
ARG TARGETOS
ENV A=1 B="two words" \
    C=$A${BASE:+y}${NONE:-d}
ENV D of old
LABEL a=b "c"="d $A"
RUN echo $GREETING $A $B $C $D $TARGETOS >/out && \
    # a comment between
    echo $PATH >>/out; rm /etc/which; mkdir -p /made/deep; ln -s deep /made/link; echo h >/hard; ln /hard /hard2; chmod 4750 /made/deep; mkfifo /made/pipe
RUN ["sh", "-c", "echo json >>/out; rm -r /var; mkdir /var; echo new >/var/new"]
SHELL ["sh", "-ec"]
RUN set -o | grep errexit >/shell
WORKDIR /place
WORKDIR sub
RUN pwd >/pwd; touch here; echo tmp >/tmp/kept
COPY one dir/ *.txt ./
COPY --chmod=0751 --chown=1000:1000 one /made/link/
COPY ["one", "/with space"]
ADD archive.tar.gz /unpacked/
COPY archive.tar.gz /made/
ADD one /added
COPY --from=other --link /theirs /got/
COPY --from=1 /theirs/t /other
COPY --from=BASE_IMAGE /etc/passwd /again
COPY one /tmp/
RUN --mount=type=cache,target=/var/cache cat /tmp/kept /tmp/one >/of-tmp
VOLUME /data ["/x"]
VOLUME ["/json"]
EXPOSE 80 53/udp
STOPSIGNAL SIGINT
HEALTHCHECK NONE
MAINTAINER nobody
ENTRYPOINT ["/entry"]
CMD run it
USER node
"""
        files = {"one": "1\n", "dir/a": "a", "dir/b/c": "c", "dir/c/x": "x", "dir/b/d": "d", "dir/b/l": "-> ../a", "x.txt": "x", "y.txt": "y", "z.md": "z",
                 ".dockerignore": "**/c\n*.txt\n!x.txt\n",
                 "archive.tar.gz": archive([ocicase.directory("d"), ocicase.entry("d/f", data=b"of the archive", mode=0o600),
                                            ocicase.symlink("d/s", "f"), ocicase.hardlink("d/h", "d/f")])}
        for who in self.each():
            document = self.dev(dockerfile, files, build={"args": {"GREETING": "hi"}, "options": ["--label=x=y"]})
            output = self.build(document)
            self.assertIn("type=cache has no effect", output)
            self.assertEqual(output.count("this has no effect here"), 2)
            config = self.config()
            said = self.ask(
                document, "cat /out /pwd /shell /of-tmp", "ls /etc/which; cat /var/*; ls /var", "stat -c '%n %a %u %F' /made/* "
                "/made/deep/one /place/sub/here /added /other", "find /place /unpacked /got | sort",
                "cat '/with space' /got/t /other /again /unpacked/d/s", "stat -c 'links %h' /hard /unpacked/d/h",
                "tar tzf /made/archive.tar.gz", "readlink /made/link; readlink /place/sub/b/l; pwd", "echo $A-$B-$C-$BASE", user="0")
            for text in ("hi 1 two words yd of old linux\n/bin\njson\n/place/sub\n", "errexit", "tmp\n1\n", "new\nnew\n", "No such file",
                         "/made/deep 4750 0 directory", "/made/pipe 644 0 fifo", "\ndeep\n../a\n", "1-two words-yd-yes",
                         "1\ntheirs\ntheirs\nroot:", "of the archive", "links 2\nlinks 2\n", "d/f\n"):
                self.assertIn(text, said)
            found = said[said.index("\n/got"):said.index("= exec", said.index("\n/got"))].split()
            self.assertEqual(found, sorted([
                "/got", "/got/t", "/unpacked", "/unpacked/d", "/unpacked/d/f", "/unpacked/d/h", "/unpacked/d/s", "/place", "/place/sub",
                "/place/sub/a", "/place/sub/b", "/place/sub/b/d", "/place/sub/b/l", "/place/sub/here", "/place/sub/one", "/place/sub/x.txt"]))
            uid = 1000 if has_ids(who) else 0
            self.assertIn(f"/made/deep/one 751 {uid} regular file", said)
            self.assertIn("/added 644 0 regular file", said)
            self.assertIn(f"/other 644 {uid} regular file", said)
            self.assertEqual(config["config"], {
                "User": "node", "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
                "Env": ["PATH=/bin", "BASE=yes", "A=1", "B=two words", "C=yd", "D=of old"], "Entrypoint": ["/entry"],
                "Cmd": ["sh", "-ec", "run it"], "Shell": ["sh", "-ec"], "Volumes": {"/data": {}, "[/x]": {}, "/json": {}},
                "WorkingDir": "/place/sub", "Labels": {"of": "base", "a": "b", "c": "d 1", "x": "y"}, "StopSignal": "SIGINT"})

    def test_layers_are_known_again(self):
        # Each time it runs it makes another layer, however soon.
        dockerfile = "FROM BASE_IMAGE\nARG X=1\nRUN echo ran >>/ran; cat /proc/sys/kernel/random/uuid >/unique\nCOPY a b /c/\nRUN cat /c/* /ran; echo X is $X\n"
        for _ in self.each():
            def again(known, files, **build):
                document = self.dev(dockerfile, files, build=build)
                output = self.build(document)
                self.assertEqual(output.count(BEFORE), known, output)
                return output, self.ask(document, "cat /ran /c/*").split("= start: ok\n")[1]
            output, said = again(0, {"a": "1\n", "b": "2\n"})
            self.assertIn("\n1\n2\nran\nX is 1\n", output)
            self.assertIn("ran\n1\n2\n", said)
            self.assertEqual(again(3, {"a": "1\n", "b": "2\n", "other": "o"})[1], said)
            self.assertIn("\n1\n3\nran\n", again(1, {"a": "1\n", "b": "3\n"})[0])
            self.assertIn("X is 2", again(0, {"a": "1\n", "b": "2\n"}, args={"X": "2"})[0])
            again(3, {"a": "1\n", "b": "3\n"})
            again(0, {"a": "1\n", "b": "3\n"}, options=["--no-cache"])
            # What is not there any more is made again.
            for name in os.listdir(os.path.join(self.state, "images/blobs/sha256")):
                os.unlink(os.path.join(self.state, "images/blobs/sha256", name))
            self.load_image()
            again(0, {"a": "1\n", "b": "2\n"})

    def test_stages(self):
        dockerfile = ("FROM BASE_IMAGE AS one\nRUN echo 1 >/one\nFROM scratch AS two\nCOPY --from=one /bin /bin\nCOPY --from=one /one /etc/\n"
                      "ENV PATH=/bin\nFROM two\nRUN echo 3 >/three\nFROM one AS bad\nRUN exit 9\n")
        for _ in self.each():
            document = self.dev(dockerfile, build={"target": "two"})
            output = self.build(document)
            self.assertNotIn("echo 3", output)
            self.assertIn("= exec: status 0", self.ask(document, "[ $(cat /etc/one) = 1 ] && [ ! -e /srv ] && [ ! -e /one ]"))
            document = self.dev(dockerfile, build={"target": "2"})
            self.build(document)
            self.assertIn("= exec: status 0", self.ask(document, "[ $(cat /three) = 3 ]"))
            for target, answer in (("none", 'RUN failed: exit status 9'), (None, "RUN failed: exit status 9")):
                document = self.dev(dockerfile, build={"target": target} if target else None)
                self.go(document, "create").error(self, f"Dockerfile, line 10: RUN: {answer}")
                self.gone(document)
            document = self.dev("FROM BASE_IMAGE AS one\n", build={"target": "none"})
            self.go(document, "create").error(self, 'has no stage "none"')
            self.gone(document)

    def test_what_cannot_be_is_said_with_its_line(self):
        rows = (("FROM BASE_IMAGE\nONBUILD RUN x", 'Dockerfile: line 2: "ONBUILD" is not done by this builder'),
                ("FROM BASE_IMAGE\n\nRUN <<E\nx\nE", "Dockerfile: line 3: .* here-document"),
                ("FROM BASE_IMAGE\nRUN --mount=type=secret,id=x y", "line 2: RUN: .--mount=type=secret,id=x. is not done"),
                ("FROM BASE_IMAGE\nRUN --network=host y", "line 2: RUN: .--network=host. is not done"),
                ("FROM --platform=plan9/mips BASE_IMAGE", "line 1: FROM: .--platform=plan9/mips. is not done"),
                ("FROM BASE_IMAGE\nCOPY none /x", 'line 2: COPY: there is no "none" in the build.s context'),
                ("FROM BASE_IMAGE\nCOPY n* /x", 'line 2: COPY: nothing is there that matches "n\\*"'),
                ("FROM BASE_IMAGE\nCOPY hidden /x", 'there is no "hidden" in the build.s context'),
                ("FROM BASE_IMAGE\nFROM BASE_IMAGE\nCOPY --from=0 /none /x", 'line 3: COPY: there is no "none" there'),
                ("FROM BASE_IMAGE\nCOPY --chown=nobody-here one /x", "line 2: COPY: .*nobody-here"),
                ("FROM BASE_IMAGE\nCOPY --exclude=x one /x", "line 2: COPY: .--exclude=x. is not done"),
                ("FROM BASE_IMAGE\nCOPY one", "line 2: COPY: it needs sources"),
                ("FROM BASE_IMAGE\nADD http://x.test/y /x", "line 2: ADD: what is not in the context is not fetched"),
                ("FROM BASE_IMAGE\nADD a.xz /x", "line 2: ADD: .*xz and bzip2"),
                ("FROM BASE_IMAGE\nENV A=1 B", 'line 2: ENV: "B" is not NAME=VALUE'),
                ("FROM BASE_IMAGE\nSHELL sh", "line 2: SHELL: it is no list"),
                ("FROM BASE_IMAGE\nRUN []", "line 2: RUN: there is nothing to run"),
                ("FROM BASE_IMAGE\nRUN no-such-program", "line 2: RUN: RUN failed: exit status 127"),
                ("FROM BASE_IMAGE\nUSER ${X", "line 2: USER: what .* cannot be told"),
                ("FROM BASE_IMAGE\nUSER nobody-here\nRUN id", "line 3: RUN: .*nobody-here"),
                ("FROM BASE_IMAGE AS", "line 1: FROM"), ("FROM BASE_IMAGE FOR x", "line 1: FROM: .FOR. is not"),
                ("FROM $NONE", "line 1: FROM: it names no image|line 1: FROM: the image name is empty"),
                ("FROM workspace/missing:1", "line 1: FROM: image .*workspace/missing:1"),
                ("ARG X=1", "there is no FROM"), ("# nothing", "holds no instruction"),
                ("RUN x\nFROM y", 'line 1: "RUN" comes before FROM'))
        for _ in self.each():
            for text, answer in rows:
                document = self.dev(text, {"one": "1", "hidden": "h", ".dockerignore": "hidden\n", "a.xz": b"\xfd7zXZ\0"})
                result = self.go(document, "create", "condition", http_proxy="http://127.0.0.1:9", https_proxy="http://127.0.0.1:9",
                                 DRIVE_SECONDS="20")
                self.assertRegex(result["create"], "^error .*(" + answer + ")", text)
                self.assertEqual(result["condition"], "incomplete")
                self.assertFalse(os.path.exists(self.root(self.id, ".runner/box/build")))
                self.gone(document)

    def test_users_need_ids(self):
        for who in self.each():
            document = self.dev("FROM BASE_IMAGE\nUSER node\nRUN (id -u; echo $HOME) >/tmp/who\nRUN cat /tmp/who\nUSER root\nRUN chown 1000 /srv\n")
            result = self.go(document, "create")
            if has_ids(who):
                result.ok(self)
                self.assertIn("1000\n/var/node\n", result.output)
                self.gone(document)
                continue
            # One id alone: that is said, and what needs another fails as itself.
            self.assertIn("the user node (1000:1000) is not possible", result.output)
            self.gone(document)

    def layers(self):
        """Of the workspace's image: {name: "uid:gid mode"} of each."""
        with open(self.root(self.id, ".runner", "workspace.json"), encoding="utf-8") as file:
            manifest = json.load(file)["sandbox"]["manifest"]
        blobs = os.path.join(self.state, "images/blobs/sha256")
        with open(os.path.join(blobs, manifest.split(":")[1]), encoding="utf-8") as file:
            digests = [layer["digest"].split(":")[1] for layer in json.load(file)["layers"]]
        found = []
        for digest in digests:
            with tarfile.open(os.path.join(blobs, digest)) as tar:
                found.append({one.name: f"{one.uid}:{one.gid} {one.mode:o}" for one in tar})
        return found

    def test_a_run_finds_files_of_their_owners(self):
        """And what it makes of them is in its layer, which has no others."""
        rows = [("etc/shadow", 0, 42, 0o640), ("var/node/own", 1000, 1000, 0o600), ("var/node/gone", 1000, 1000, 0o600),
                ("var/node/tool", 1000, 7, 0o6755), ("srv/a/b", 33, 34, 0o644), ("srv/old/x", 5, 5, 0o644)]
        extra = [ocicase.directory("var/node", uid=1000, gid=1000), ocicase.directory("srv/a", uid=33, gid=33, mode=0o2770), ocicase.directory("srv/old", uid=5, gid=5)]
        extra += [ocicase.entry(name, data=b"x\n", uid=uid, gid=gid, mode=mode) for name, uid, gid, mode in rows]
        extra += [ocicase.hardlink("var/node/same", "var/node/own")]
        look = "stat -c '%n %u:%g %a' /etc/shadow /var/node /var/node/* /srv/* /srv/*/* /seven 2>/dev/null"
        dockerfile = (f"FROM BASE_IMAGE AS first\nRUN {look}; echo FIRST\nUSER node\n"
                      "RUN id -u >>/var/node/own && echo >/var/node/new && rm /var/node/gone && ! cat /etc/shadow /srv/a/b\nUSER root\n"
                      "RUN chown 0:0 /var/node/tool; touch /srv/a/c && chown 33:35 /srv/a/c && chmod 4711 /srv/a/c; rm -r /srv/old\n"
                      "COPY --chown=7:8 one /seven\n"
                      f"RUN {look}; echo SECOND\nRUN chown 9 /seven\nFROM first\nRUN {look}; echo THIRD\n")
        for who in self.each([sandboxcase.ranged(self)] + [sandboxcase.ROOT] * (os.geteuid() == 0)):
            name = boxcase.BASE.replace("base", "owned")
            self.load_image(self.busybox_layers(extra), name=name, config={"Env": ["PATH=/bin"]})
            document = self.dev(dockerfile.replace("BASE_IMAGE", name), {"one": "1"})
            output = self.build(document)
            self.assertNotIn("only one user id", output)
            seen = [sorted(re.findall(r"^/.* \d+:\d+ \d+$", part, re.M))
                    for part in re.split("^(?:FIRST|SECOND|THIRD)$", output, flags=re.M)[:3]]
            first = sorted([f"/{name} {uid}:{gid} {mode:o}" for name, uid, gid, mode in rows] + [
                "/var/node 1000:1000 755", "/var/node/same 1000:1000 600", "/srv/a 33:33 2770", "/srv/old 5:5 755"])
            self.assertEqual(seen[0], first)
            gone = ("/var/node/gone", "/var/node/tool", "/srv/old")
            second = sorted([line for line in first if not line.startswith(gone)] + [
                "/var/node/new 1000:1000 644", "/var/node/tool 0:0 755", "/srv/a/c 33:35 4711", "/seven 7:8 644"])
            self.assertEqual(seen[1], second)
            third = sorted(line.replace("/seven 7:8", "/seven 9:8") for line in second)
            self.assertEqual(seen[2], third)
            etc = {"etc": "0:0 755"}    # where the sandbox has put files of its own, which are in no layer
            self.assertEqual(self.layers()[3:], [
                {**etc, "tmp": "0:0 1777"},
                {**etc, "var": "0:0 755", "var/node": "1000:1000 755", "var/node/.wh.gone": "0:0 0", "var/node/new": "1000:1000 644",
                 "var/node/own": "1000:1000 600"},
                {**etc, "srv": "0:0 755", "srv/.wh.old": "0:0 0", "srv/a": "33:33 2770", "srv/a/c": "33:35 4711", "var": "0:0 755",
                 "var/node": "1000:1000 755", "var/node/tool": "0:0 755"},
                {"seven": "7:8 644"}, etc, {**etc, "seven": "9:8 644"}, etc])
            said = self.ask(document, look, "echo own $(tail -n 1 /var/node/own)", user="0")
            self.assertEqual(sorted(re.findall(r"^/.* \d+:\d+ \d+$", said, re.M)), third)
            self.assertIn("\nown 1000\n", said)

    def test_a_run_is_bounded_and_ends_with_its_job(self):
        for _ in self.each():
            document = self.dev("FROM BASE_IMAGE\nRUN ls /sys/class/net; echo of $(hostname); (while :; do sleep 1; done) & sleep 1000\n")
            process = self.drive_background(document, "create", DRIVE_API_URL=self.fake.url)
            common.wait_for(lambda: self.agent().get("pid"), 30 * common.PATIENCE, "RUN begins")
            family = self.inside(self.agent()["pid"])
            process.send_signal(signal.SIGTERM)
            process.finish().error(self, "line 2: RUN: stopped because the runner was told to end")
            common.wait_for(lambda: not any(common.alive(pid) for pid in family), 30 * common.PATIENCE, "its end")
            result = self.go(document, "create", DRIVE_SECONDS="8")
            self.assertRegex(result["create"], "^error .*line 2: RUN: .*time")
            self.assertIn("\nlo\n", result.output)
            self.assertNotIn("eth", result.output)
            self.assertEqual(self.agent(), {})
            # A job that is killed leaves its sandbox; the next one ends it.
            process = self.drive_background(document, "create", DRIVE_API_URL=self.fake.url)
            pid = common.wait_for(lambda: self.agent().get("pid"), 30 * common.PATIENCE, "RUN begins")
            family = self.inside(pid)
            process.kill()
            process.wait()
            self.gone(document)
            self.assertEqual([other for other in family if common.alive(other)], [])


class Policy(BuildCase):
    """What a Dockerfile asks for that it must not have."""

    def setUp(self):
        super().setUp()
        self.outside = self.path("outside")
        os.mkdir(self.outside, 0o755)
        with open(os.path.join(self.outside, "canary"), "w", encoding="ascii") as file:
            file.write(CANARY)

    def test_images(self):
        """Each way to name one, with a list of those that are allowed."""
        for _ in self.each():
            for name in ("evil/image:1", "library/bad:1"):
                self.load_image(self.busybox_layers(extra=[ocicase.entry("etc/evil", data=CANARY.encode())]), name=name)
            listed = common.run([*self.prefix(), os.path.join(self.bin, "daytona-runner"), "image", "list", "-f", "json"],
                                env=self.env(DAYTONA_RUNNER_CONFIG_DIR=self.path(f"conf-{self.who}"))).stdout
            ident = next(image for image in json.loads(listed) if image["name"].endswith("evil/image:1"))["id"].split(":")[-1]
            ways = ("FROM {}", "ARG I={}\nFROM $I", "ARG I={}\nFROM ${{N:-$I}}", "FROM BASE_IMAGE AS a\nFROM {}",
                    "FROM BASE_IMAGE\nCOPY --from={} /etc/evil /e", "FROM BASE_IMAGE\nARG I={}\nCOPY --from=$I /etc/evil /e",
                    "FROM BASE_IMAGE\nENV I={}\nCOPY --from=${{I}} /etc/evil /e", "FRO\\\nM {}")
            names = ("evil/image:1", ident[:12], "docker.io/evil/image:1", "bad:1", "other.test/x", "sha256:" + "0" * 64, ident)
            for i, way in enumerate(ways):
                for name in names if i == 0 else names[:2]:
                    document = self.dev(way.format(name))
                    result = self.go(document, "create", DRIVE_ALLOW_IMAGES="workspace/*", DRIVE_SECONDS="20")
                    self.assertRegex(result["create"], "^error .*(not allowed|no name|is not here|does not allow|may not)", (way, name))
                    self.assertNotIn(CANARY, result.output)
                    self.gone(document)
            for name in (ident[:12], ident, "evil/image:1"):
                document = self.workspace({"Image": name})
                result = self.go(document, "create", DRIVE_ALLOW_IMAGES="workspace/*,library/*", DRIVE_SECONDS="20")
                self.assertRegex(result["create"], "^error .*not allowed", name)
                self.gone(document)
            document = self.dev("FROM BASE_IMAGE AS evil\nFROM evil\nCOPY --from=evil /etc/passwd /p\n")
            self.go(document, "create", DRIVE_ALLOW_IMAGES="workspace/*").ok(self)
            self.gone(document)

    def links(self):
        out = self.outside
        return {"abs": "-> " + out + "/canary", "absdir": "-> " + out, "up": "-> ../../../../../../../.." + out + "/canary",
                "chain": "-> absdir/canary", ".dockerignore": ".git", "root": "-> /", "d/inner": "-> " + out + "/canary", "one": "1"}

    def test_the_context(self):
        """Links and ".." of what is copied end at the context's top, or are copied as links."""
        rows = [f"{word} {source} /x/" for word in ("COPY", "ADD") for source in (
            "abs", "absdir/canary", "absdir", "up", "chain", "root" + self.outside + "/canary", "root/etc/shadow", "../" * 12 + self.outside[1:],
            self.outside + "/canary", "/etc/shadow", "absdir/*", "root/e*/shadow", "/proc/self/environ")]
        for _ in self.each():
            for row in rows:
                document = self.dev(f"FROM BASE_IMAGE\n{row}\n", self.links())
                result = self.go(document, "create")
                self.assertRegex(result["create"], "^error .*line 2: (COPY|ADD): (there is no|nothing is there)", row)
                self.gone(document)
            document = self.dev("FROM BASE_IMAGE\nCOPY . /all/\nCOPY d /d\nCOPY root /rooted/\n", self.links())
            self.go(document, "create").ok(self)
            said = self.ask(document, "find /all /d /rooted -type f | xargs cat 2>&1", "readlink /all/abs; readlink /d/inner",
                            "cat /all/* /d/* /rooted/* 2>&1; ls -R /rooted")
            self.assertNotIn(CANARY, said)
            self.assertIn(self.outside + "/canary", said)
            for build, answer in (({"context": "../.."}, "leads out"), ({"context": "absdir"}, "is not a directory of the repository"),
                                  ({"dockerfile": "abs"}, "is not a file of the repository"),
                                  ({"dockerfile": "../../x"}, "leads out"), ({"dockerfile": self.outside + "/canary"}, "leads out"),
                                  ({"dockerfile": "none"}, "is not a file")):
                document = self.dev("FROM BASE_IMAGE\n", self.links(), build=build)
                result = self.go(document, "create").error(self, answer)
                self.assertNotIn(CANARY, result.output)
                self.gone(document)

    def test_a_context_that_is_exchanged(self):
        """While the base is pulled its directory becomes a link: what the build found at first is what it copies."""
        layers = self.busybox_layers()
        for _ in self.each():
            registry = FakeRegistry(self)
            registry.add("team/base", "1", ocicase.Image(layers, way="gzip", config={"Env": ["PATH=/bin"]}))
            registry.hold_after = 10
            document = self.dev(f"FROM {registry.host}/team/base:1\nCOPY . /x/\n", {"ctx/mine": "of-the-checkout"}, build={"context": "ctx"})

            def exchange():
                registry.held.wait(120)
                at = next(os.path.join(path, "ctx") for path, names, _ in os.walk(self.root(self.id)) if "ctx" in names)
                os.rename(at, at + ".away")
                os.symlink(self.outside, at)
                registry.go.set()

            thread = threading.Thread(target=exchange)
            thread.start()
            result = self.go(document, "create", options=["plain_http=" + registry.host])
            thread.join()
            result.ok(self)
            said = self.ask(document, "cat /x/*")
            self.assertIn("of-the-checkout", said)
            self.assertNotIn(CANARY, said)

    def test_the_other_end(self):
        """What is in the image leads nowhere outside when it is written over, and a RUN sees nothing of the host."""
        out = self.outside
        hostile = archive([ocicase.symlink("esc", out), ocicase.entry("esc/caught", data=b"caught")])
        above = archive([ocicase.entry("../../../../../../../.." + out + "/caught", data=b"caught")])
        linked = archive([ocicase.hardlink("h", "../../../../../.." + out + "/canary")])
        texts = [f"RUN ln -s {out} /esc\nCOPY one /esc/caught\nRUN cat /esc/*",
                 f"RUN ln -s ../../../../../../../..{out} /esc\nCOPY one /esc/\nADD one /esc/x/",
                 f"COPY one {out}/caught", f"WORKDIR /../../../{out}\nRUN echo x >caught",
                 f"RUN ln -s {out} /esc\nWORKDIR /esc/deep\nRUN echo x >caught", f"COPY one /../../..{out}/caught",
                 f"RUN ln -s {out}/caught /esc\nCOPY one /esc",
                 "ADD hostile.tgz /y/", "ADD above.tgz /y/", "ADD linked.tgz /y/",
                 f"RUN cat {out}/canary {self.state}/workspaces/*/*/Dockerfile; ls {out} {self.path()}; echo x >{out}/caught; true",
                 "RUN mount -t tmpfs x /mnt; mknod /sda b 8 0; cat /sda; chroot / mount; cat /proc/1/environ; true",
                 "RUN ls /proc | grep -c '^[0-9]'; cat /workspaces/*; env; true"]
        for who in self.each():
            os.chmod(out, 0o777)
            for text in texts:
                document = self.dev(f"FROM BASE_IMAGE\n{text}\n", {"one": "1", "hostile.tgz": hostile, "above.tgz": above,
                                                                  "linked.tgz": linked})
                result = self.go(document, "create", SECRET_OF_THE_JOB=CANARY)
                if result.status == 0:
                    said = self.ask(document, "cat /y/h /esc /esc/* /x/* 2>&1; env")
                    self.assertNotIn(CANARY, said)
                else:
                    self.gone(document)
                self.assertNotIn(CANARY, result.output, (who, text))
                self.assertEqual(os.listdir(out), ["canary"], (who, text))


class Hostile(BuildCase):
    def test_what_grows(self):
        """Little text that asks for much: it ends with its line, and with the job's time at the latest."""
        long = "ARG A=" + "x" * 100000 + "\nFROM BASE_IMAGE\nARG A\n"
        rows = [(long + "ENV " + " ".join(f"V{i}=$A" for i in range(500)), "line 4: ENV: its words are more than 8 MiB"),
                (long + "COPY " + "$A " * 500 + "/", "line 4: COPY: its words are more than"),
                (long + "\n".join(f"ENV V{i}=$A" for i in range(500)), "line [0-9]+: ENV: its words are more than"),
                ("FROM BASE_IMAGE\nLABEL " + " ".join(f"l{i}=" for i in range(50000)), "line 2: LABEL: its words are more than"),
                ("FROM BASE_IMAGE\nCOPY " + "*/" * 100 + "none /x/", "line 2: COPY: .*(time|long)"),
                ("FROM BASE_IMAGE\nRUN truncate -s 100G /hole", "line 2: RUN: hole: too large for a layer"),
                ("FROM BASE_IMAGE\nRUN truncate -s 6M /a\nRUN truncate -s 6M /b", "line 3: RUN: b: too large for a layer")]
        for _ in self.each():
            for dockerfile, answer in rows:
                document = self.dev(dockerfile, {**{f"l{i}": "-> ." for i in range(10)}, "one": "1"},
                                    options={"Disk": "10m"} if "6M" in dockerfile else None)
                self.go(document, "create", DRIVE_SECONDS="10").error(self, answer)
                self.gone(document)

    def test_a_layer_is_known_by_each_of_its_parts(self):
        """What one workspace made is no other's that asks for something else, whatever its arguments hold."""
        dockerfile = "FROM BASE_IMAGE\nARG X\nARG Y\nRUN echo \"$X,$Y.\"\n"
        for _ in self.each():
            for i, (args, net, said, limits) in enumerate((
                    ({"X": "1\nY=2"}, "none", "1\nY=2,.", {}), ({"X": "1", "Y": "2"}, "none", "\n1,2.", {}),
                    ({"X": "1", "Y": "2"}, "host", "\n1,2.", {}), ({"X": "1", "Y": "2"}, "none", BEFORE, {}),
                    ({"X": "1", "Y": "2"}, "none", "\n1,2.", {"Pids": "100"}),
                    ({"X": "1", "Y": "2"}, "none", "\n1,2.", {"Memory": "200m"}))):
                document = self.dev(dockerfile, build={"args": args, "target": ""}, options={"Network": net, **limits})
                output = self.build(document)
                self.assertIn(said, output)
                self.assertEqual(BEFORE in output, i == 3)
                self.gone(document)

    def test_a_layer_says_nothing_of_who_asked_for_it(self):
        """It would be the name of one workspace in another's image, or what that name made of it."""
        for _ in self.each():
            output = self.build(self.dev("FROM BASE_IMAGE\nRUN echo $(cat /etc/hostname /proc/sys/kernel/hostname; grep build /etc/hosts).\n",
                                         build={"target": ""}))
            self.assertIn("\nbuild build 127.0.1.1 build.", output)


class Pulled(BuildCase):
    def test_bases_come_from_their_registry(self):
        layers = self.busybox_layers()
        for _ in self.each():
            registry = FakeRegistry(self)
            registry.basic = ("alice", "registry-password")
            registry.add("team/dev", "1", ocicase.Image(layers, way="gzip", config={"Env": ["PATH=/bin"]}))
            login = {"A_CONTAINER_REGISTRY_SERVER": registry.host, "A_CONTAINER_REGISTRY_USERNAME": "alice",
                     "A_CONTAINER_REGISTRY_PASSWORD": "registry-password"}
            document = self.dev(f"FROM {registry.host}/team/dev:1\nRUN echo $(cat /etc/which) and >/new\n")
            document = self.document(self.fake, self.id, envVars=login)
            result = self.go(document, "create", options=["plain_http=" + registry.host]).ok(self)
            self.assertNotIn("registry-password", result.output)
            self.assertIn("second and", self.ask(document, "cat /new"))

    def test_what_a_login_brought_is_for_that_login(self):
        """By who asks, and each way to name an image: all others ask the registry, in their own name."""
        layers = self.busybox_layers()
        for _ in self.each():
            registry = FakeRegistry(self)
            registry.add("team/own", "1", ocicase.Image(layers, way="gzip", config={"Env": ["PATH=/bin"]}))
            name = registry.host + "/team/own:1"
            ways = {"Image": lambda: self.workspace({"Image": name, "Agent": "none", "Command": "sleep 1000", "Network": "none"}),
                    "FROM": lambda: self.dev(f"FROM {name}\n"),
                    "COPY": lambda: self.dev(f"FROM BASE_IMAGE\nCOPY --from={name} /etc/which /w\n")}

            def ask(way, password=None):
                ways[way]()
                login = {"A_CONTAINER_REGISTRY_SERVER": registry.host, "A_CONTAINER_REGISTRY_USERNAME": "alice",
                         "A_CONTAINER_REGISTRY_PASSWORD": password} if password else {}
                document = self.document(self.fake, self.id, envVars=login)
                before = len(registry.requests)
                result = self.go(document, "create", options=["plain_http=" + registry.host], DRIVE_SECONDS="60")
                self.gone(document)
                return result, len(registry.requests) - before

            registry.basic = ("alice", "of-alice")
            result, asked = ask("Image", "of-alice")
            result.ok(self)
            self.assertGreater(asked, 0)
            for way in ways:
                for password in (None, "of-nobody"):
                    result, asked = ask(way, password)
                    result.error(self, "a login brought it that is not given now")
                    self.assertGreater(asked, 0, (way, password))
                result, asked = ask(way, "of-alice")
                result.ok(self)
                self.assertEqual(asked, 0, way)
            registry.fail_all = 404     # as good as away
            ask("FROM", "of-alice")[0].ok(self)
            ask("FROM")[0].error(self, "a login brought it")
            # What the registry gives to everybody is everybody's; that it does is shown by each layer once more.
            registry.fail_all, registry.basic = None, None
            result, asked = ask("COPY")
            result.ok(self)
            self.assertEqual(len([path for _, path, _, _ in registry.requests[-asked:] if "blobs" in path]), len(layers) + 1)
            self.assertEqual(ask("FROM", "of-nobody")[1], 0)


    def test_a_digest_gets_nobody_what_another_brought(self):
        """Whatever there is of it, whole or in part, with a name or none: by who asks, and each way to name an image."""
        layers = self.busybox_layers()
        for who in self.each():
            owner, thief = FakeRegistry(self), FakeRegistry(self)
            owner.basic = ("alice", "of-alice")
            options = [f"plain_http={owner.host},{thief.host}"]
            images = os.path.join(self.state, "images")
            refs = os.path.join(images, "refs")
            kept = set(os.listdir(refs))
            ways = {"Image": lambda name: self.workspace({"Image": name, "Agent": "none", "Command": "sleep 1000", "Network": "none"}),
                    "FROM": lambda name: self.dev(f"FROM {name}\n"),
                    "COPY": lambda name: self.dev(f"FROM BASE_IMAGE\nCOPY --from={name} /etc/which /w\n")}

            def login(host, name):
                return {"A_CONTAINER_REGISTRY_SERVER": host, "A_CONTAINER_REGISTRY_USERNAME": name,
                        "A_CONTAINER_REGISTRY_PASSWORD": f"of-{name}"}

            def ask(way, name, env):
                ways[way](name)
                result = self.go(self.document(self.fake, self.id, envVars=env), "create", options=options, DRIVE_SECONDS="60")
                self.gone(self.document(self.fake, self.id))
                return result

            def parts():
                return [os.path.join(images, "tmp", name) for name in os.listdir(os.path.join(images, "tmp")) if name.endswith(".part")]

            for state in ("named", "nameless", "part", "all but its end"):
                # An image of its own for each: what of it is here, only this has brought.
                own = [ocicase.layer([ocicase.entry("big", data=os.urandom(200000))]),
                       ocicase.layer([ocicase.entry("of", data=f"{who} {state}".encode())])]
                image = ocicase.Image(layers + own, way="gzip", config={"Env": ["PATH=/bin"]})
                big = image.packed[len(layers)]
                what = "team/" + state.replace(" ", "-")
                owner.add(what, "1", image)
                name = f"{owner.host}/{what}:1"
                if "na" in state:
                    ask("Image", name, login(owner.host, "alice")).ok(self)
                else:
                    owner.hold_after = len(big) - 30
                    owner.held.clear()
                    owner.go.clear()
                    ways["Image"](name)
                    process = self.drive_background(self.document(self.fake, self.id, envVars=login(owner.host, "alice")), "create",
                                                    options=options, DRIVE_API_URL=self.fake.url)
                    self.assertTrue(owner.held.wait(60 * common.PATIENCE))
                    common.wait_for(lambda: any(os.path.getsize(path) == len(big) - 30 for path in parts()), 60 * common.PATIENCE, "a part")
                    process.kill()
                    process.wait()
                    owner.hold_after = None
                    owner.go.set()
                    self.gone(self.document(self.fake, self.id))
                    if state == "all but its end":
                        for path in parts():
                            with open(path, "ab") as file:
                                file.write(big[-30:])
                for file in () if state == "named" else set(os.listdir(refs)) - kept:
                    os.unlink(os.path.join(refs, file))
                # What names the digests and has at most the end of that blob.
                thief.add("x/own", "1", image)
                thief.only_ends = True
                thief.add("x/layers", "1", ocicase.Image(
                    [ocicase.layer([ocicase.entry(f"other{i}")]) for i in range(len(layers) + 2)], way="gzip", diff_ids=image.config["rootfs"]["diff_ids"]))
                for way in ways:
                    ask(way, thief.host + "/x/own:1", login(thief.host, "bob") if way == "FROM" else {}).error(self, "404")
                    ask(way, name, login(owner.host, "bob") if way == "COPY" else {}).error(self, "401|wants a user and a password")
                thief.only_ends = False
                if state in ("named", "nameless"):
                    ask("Image" if state == "named" else "FROM", thief.host + "/x/layers:1", {}).error(self, "it unpacks to")
                # He himself goes on where he was, and asks for no more than is missing.
                asked = len(owner.requests)
                for way in ways:
                    ask(way, name, login(owner.host, "alice")).ok(self)
                new = [image.config_digest, *map(ocicase.digest, image.packed[len(layers):])]
                blobs = [path for _, path, _, _ in owner.requests[asked:] if path.rsplit("/")[-1] in new]
                wanted = {"named": 0, "nameless": 0, "part": 2, "all but its end": 1}[state]
                self.assertEqual(len(blobs), wanted, (state, blobs))
                self.assertEqual(parts(), [])

    def test_mirrors_of_their_registry(self):
        """A registry that is nowhere, and its mirrors in their order: for a workspace's image, FROM and --from."""
        layers = self.busybox_layers()
        for who in self.each():
            registry, empty = FakeRegistry(self), FakeRegistry(self)
            for way in ("Image", "FROM", "COPY"):
                mirrors = ["127.0.0.1:1"] * (way == "Image") + [empty.host, registry.host]
                where = {"DRIVE_MIRRORS": ",".join("images.test=" + host for host in mirrors), "DRIVE_PLAIN_HTTP": ",".join(mirrors)}
                name = f"images.test/team/{way.lower()}:1"
                registry.add(f"team/{way.lower()}", "1", ocicase.Image(layers, way="zstd", config={"Env": ["PATH=/bin", f"OF={way}{who}"]}))
                document = (self.workspace({"Image": name, "Agent": "none", "Command": "sleep 1000", "Network": "none"}) if way == "Image" else
                            self.dev(f"FROM {name}\nRUN cat /etc/which >/w\n" if way == "FROM" else
                                     f"FROM BASE_IMAGE\nCOPY --from={name} /etc/which /w\n"))
                output = self.go(document, "create", DRIVE_SECONDS="60", **where).ok(self).output
                said = [output.index(f"mirror {host}: ") for host in mirrors[:-1]]
                self.assertEqual(said, sorted(said), output)
                self.assertIn("second", self.ask(document, f"cat {'/etc/which' if way == 'Image' else '/w'}"))
                self.gone(document)
            self.assertTrue(all(path.startswith("/v2/") for _, path, _, _ in registry.requests))

    def test_what_is_made_of_it_is_for_that_login_too(self):
        """FROM, a stage that only files were taken of, and again when all layers are known: by name and by id."""
        layers = self.busybox_layers()
        for who in self.each():
            registry = FakeRegistry(self)
            registry.basic = ("alice", "of-alice")
            registry.add("team/own", "1", ocicase.Image(layers, way="gzip", config={"Env": ["PATH=/bin"]}))
            name = registry.host + "/team/own:1"
            login = {"A_CONTAINER_REGISTRY_SERVER": registry.host, "A_CONTAINER_REGISTRY_USERNAME": "alice",
                     "A_CONTAINER_REGISTRY_PASSWORD": "of-alice"}
            refs = os.path.join(self.state, "images/refs")
            seen = set()
            for again in (False, True):
                for i, text in enumerate((f"FROM {name}\nLABEL of={who}\n",
                                          f"FROM {name} AS first\nFROM BASE_IMAGE\nLABEL b={who}\nCOPY --from=first /etc/which /w\n",
                                          f"FROM BASE_IMAGE\nLABEL c={who}\nCOPY --from={name} /etc/which /w\n",
                                          f"FROM BASE_IMAGE AS first\nCOPY --from={name} /etc/which /w\nFROM first\nLABEL d={who}\n")):
                    before = set(os.listdir(refs)) if os.path.isdir(refs) else set()
                    self.dev(text)
                    document = self.document(self.fake, self.id, envVars=login)
                    self.go(document, "create", options=["plain_http=" + registry.host]).ok(self)
                    if not again:
                        seen |= set(os.listdir(refs)) - before
                    self.gone(document)
            made = []
            for file in seen:
                with open(os.path.join(refs, file), encoding="utf-8") as record:
                    record = json.load(record)
                if record["name"].startswith("sha256:"):
                    made.append((record["name"], record.get("logins", {})))
            self.assertGreaterEqual(len(made), 4)
            for number, logins in made:
                document = self.workspace({"Image": number, "Agent": "none", "Command": "sleep 1000", "Network": "none"})
                result = self.go(document, "create", DRIVE_SECONDS="60")
                self.assertEqual(bool(logins), bool(result.status), (number, logins, result.output))
                if logins:
                    self.assertEqual(list(logins), [name])
                    result.error(self, "a login brought it that is not given now")
                    document = self.document(self.fake, self.id, envVars=login)
                    self.go(document, "create").ok(self)
                self.gone(document)
            self.assertGreaterEqual(sum(bool(logins) for _, logins in made), 4)


class Jobs(BuildCase):
    """Build jobs: the image is here, and in the builder registry as it is here."""

    def job(self, files, **config):
        """A build of a repository: what the drive needs of it."""
        self.count += 1
        bare, _ = make_repo(self.path("srv"), f"j{self.count}", files={".devcontainer.json": json.dumps(config), **files})
        path = self.path(f"build-{self.count}.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"id": f"build-{self.count}", "state": "pending-run", "image": None, "user": None, "containerConfig": {}, "buildConfig": {},
                       "repository": {"id": "j", "url": f"file://{bare}", "name": f"j{self.count}", "branch": "main", "sha": "", "owner": "a",
                                      "source": "b"}, "envVars": {"OF_BUILD": "yes"}, "prebuildId": None}, file)
        self.workspace({})
        return path

    def login(self, host, password="pw-of-bob"):
        return self.document(self.fake, self.id, envVars={
            "A_CONTAINER_REGISTRY_SERVER": host, "A_CONTAINER_REGISTRY_USERNAME": "bob", "A_CONTAINER_REGISTRY_PASSWORD": password})

    def get(self, host, path, kind="*/*"):
        request = urllib.request.Request(f"http://{host}/v2/{path}", headers={
            "Accept": kind, "Authorization": "Basic " + base64.b64encode(b"bob:pw-of-bob").decode()})
        with urllib.request.urlopen(request, timeout=60 * common.PATIENCE) as reply:
            return reply.read()

    def test_an_image_is_made_and_pushed(self):
        host = real_registry(self, ("bob", "pw-of-bob"))
        for _ in self.each():
            build = self.job({"Dockerfile": f"FROM {boxcase.BASE}\nRUN echo run >/run-made\nCOPY one /one\n", "one": "1"},
                             build={"dockerfile": "Dockerfile"}, remoteUser="root", containerEnv={"C": "c"},
                             onCreateCommand="echo $OF_BUILD $C $PWD >/created; ls >>/created", updateContentCommand={"a": "echo more >>/created"},
                             postCreateCommand="echo never >>/created")
            more = {"DRIVE_BUILD": build, "DRIVE_REGISTRY": host, "options": ["plain_http=" + host, "network=none"]}
            self.go(self.login(host, "wrong"), "build-run", **more).error(self, "push .*(401|does not give)")
            output = self.go(self.login(host), "build-run", **more).ok(self).output
            self.assertNotIn("pw-of-bob", output)
            self.assertEqual(os.listdir(os.path.join(self.state, "builds")), ["images"])
            self.assertEqual(os.listdir(os.path.join(self.state, "images/uses")), [])
            name = re.search(r"pushing image (\S+)", output).group(1)
            self.assertTrue(name.startswith(host + "/w-"), name)
            path, tag = name[len(host) + 1:].split(":")
            manifest = self.get(host, f"{path}/manifests/{tag}", "application/vnd.oci.image.manifest.v1+json")
            with open(os.path.join(self.state, "images/blobs/sha256", ocicase.digest(manifest).split(":")[1]), "rb") as file:
                self.assertEqual(file.read(), manifest)
            for ref in [json.loads(manifest)["config"], *json.loads(manifest)["layers"]]:
                data = self.get(host, f"{path}/blobs/{ref['digest']}")
                self.assertEqual((ocicase.digest(data), len(data)), (ref["digest"], ref["size"]))
            # Another machine has it from there.
            before, self.state = self.state, self.path(f"other-{self.who}")
            os.mkdir(self.state, 0o700)
            if self.prefix():
                os.chown(self.state, sandboxcase.ORDINARY, sandboxcase.ORDINARY)
            self.workspace({"Image": name, "Agent": "none", "Command": "sleep 1000", "Network": "none"})
            document = self.login(host)
            self.go(document, "create", options=more["options"]).ok(self)
            self.assertIn(f"yes c /workspaces/j{self.count}\nDockerfile\none\nmore\nrun\n1= exec",
                          self.ask(document, "cat /created /run-made /one"))
            self.state = before
            # Again nothing is sent that is there; a delete takes the name.
            self.go(self.login(host), "build-run", **more).ok(self)
            self.go(self.login(host), "build-delete", "build-delete", **more).ok(self)
            self.assertEqual(os.listdir(os.path.join(self.state, "builds/images")), [])
            self.go(self.workspace({"Image": name}), "create", options=more["options"], DRIVE_SECONDS="20").error(self, "401|denied|login|does not give")

    def test_what_a_checkout_made_is_no_layer_of_others(self):
        """A Dockerfile's RUN of the same words is not the command that ran beside a checkout."""
        for _ in self.each():
            dockerfile = f"FROM {boxcase.BASE}\nENV OF_BUILD=yes\nUSER root\nWORKDIR /workspaces/j{self.count + 1}\n"
            command = "cat one >/made; true"
            build = self.job({"Dockerfile": dockerfile, "one": CANARY}, build={"dockerfile": "Dockerfile"}, remoteUser="root", onCreateCommand=command)
            self.go(self.workspace({}), "build-run", DRIVE_BUILD=build, options=["network=none"]).ok(self)
            document = self.dev(dockerfile + f"RUN {command}\n")
            self.assertEqual(self.build(document).count(BEFORE), 1)  # WORKDIR
            self.assertNotIn(CANARY, self.ask(document, "cat /made"))

    def test_an_upload_goes_nowhere_else(self):
        for _ in self.each():
            registry, other = FakeRegistry(self), FakeRegistry(self)
            registry.basic = ("bob", "pw-of-bob")
            registry.uploads_at = f"http://{other.host}/v2/x/blobs/uploads/1"
            build = self.job({}, image=boxcase.BASE)
            self.go(self.login(registry.host), "build-run", DRIVE_BUILD=build, DRIVE_REGISTRY=registry.host,
                    options=["plain_http=" + registry.host]).error(self, "wants uploads sent to 127.0.0.1")
            self.assertEqual(other.requests, [])


if __name__ == "__main__":
    boxcase.main()
