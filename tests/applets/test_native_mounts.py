# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into images.
"""What a dev container mounts without a container engine: what is its own, and nothing else, at a place that nobody else has."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import boxcase  # noqa: E402
import common  # noqa: E402
import ocicase  # noqa: E402
import sandboxcase  # noqa: E402
from gitserver import make_repo  # noqa: E402
from sandboxcase import has_ids  # noqa: E402

HERE = "${localWorkspaceFolder}"
THERE = "${containerWorkspaceFolder}"
REFUSED = "mount of {} is not taken over"


class Mounts(boxcase.BoxCase):
    def setUp(self):
        super().setUp()
        self.need_static()
        self.count = 0

    def each(self, metadata=None):
        # An image in which links stand where something may be mounted.
        extra = [ocicase.directory("in-image"), ocicase.entry("in-image/a", data=b"of the image"), ocicase.symlink("to-proc", "/proc"),
                 ocicase.symlink("to-etc", "etc"), ocicase.symlink("to-nowhere", "/nowhere"), ocicase.symlink("to-run", "../../run"),
                 ocicase.entry("a-file", data=b"of the image")]
        for who in sandboxcase.people():
            self.be(who)
            self.need()
            labels = {"devcontainer.metadata": json.dumps(metadata)} if metadata else {}
            self.load_image(self.busybox_layers(extra=extra), config={"Env": ["PATH=/bin"], "Labels": labels})
            yield who

    def dev(self, files=None, **config):
        self.count += 1
        self.repo = f"m{self.count}"
        bare, _ = make_repo(self.path("srv"), self.repo,
                            files={".devcontainer.json": json.dumps({"image": boxcase.BASE, **config}), **(files or {})})
        self.id = self.fake.add_workspace(bare, options=json.dumps(
            {"Image": "devcontainer", "Grace Seconds": 1, "Agent": "none", "Command": "sleep 1000", "Network": "none"}))
        return self.document(self.fake, self.id)

    def ask(self, document, *commands, user=""):
        return self.go(document, "start", *(f"exec={command}" for command in commands), DRIVE_USER=user).output

    def gone(self, document):
        self.go(document, "delete").ok(self)
        self.assertFalse(os.path.exists(self.root(self.id)))

    def test_each_kind_of_source(self):
        outside = self.path("outside")
        os.mkdir(outside)
        files = {"src/f": "of the checkout\n", "one": "a file\n", "in": "-> src", "abs": "-> " + outside, "out": "-> ../..",
                 "deep/in/x": "deep\n", "deep/link": "-> in", "deep/out": "-> ../../.."}
        taken = [(f"type=bind,source={HERE}/src,target=/m/src", "/m/src"), (f"source={HERE}/one,target=/m/one,type=bind,readonly", "/m/one"),
                 ({"type": "bind", "source": HERE + "/deep/in", "target": THERE + "/again"}, "/workspaces/{}/again"),
                 (f"type=bind,src={HERE},dst=/m/all,ro", "/m/all"), ({"source": "cache", "target": "/m/cache", "type": "volume"}, "/m/cache"),
                 ("source=plain,target=/m/volume", "/m/volume"), ("target=/m/nameless", "/m/nameless"), ("type=tmpfs,target=/m/memory", "/m/memory"),
                 ({"type": "volume", "source": "ro", "target": "/m/ro", "readonly": True}, "/m/ro"), (f"type=volume,source=mods,target={THERE}/mods", "/workspaces/{}/mods"),
                 ("type=tmpfs,target=/run/own", "/run/own"), ("type=volume,source=t,target=/tmp/t/./u/../v", "/tmp/t/v")]
        refused = [(f"type=bind,source={source},target=/no", source) for source in
                   (outside, "/", "/etc/passwd", "relative", HERE + "/..", HERE + "/src/../..", HERE + "-other", HERE + "/in", HERE + "/in/f",
                    HERE + "/abs", HERE + "/out", HERE + "/deep/link/x", HERE + "/deep/out", "/proc/self/root", "/workspaces")]
        refused += [(f"type=volume,source={source},target=/no", source) for source in ("..", "a/b", "/abs", outside)]
        refused += [("type=npipe,source=x,target=/no", "x"), ("type=bind,target=/no", "/no"), ("source=x", "x"), ("type=volume,source=y,target=relative", "y")]
        for who in self.each(metadata=[{"mounts": ["source=of-image,target=/m/of-image", "type=bind,source=/etc,target=/no"]}]):
            document = self.dev(files, mounts=[mount for mount, _ in taken] + [mount for mount, _ in refused])
            self.go(document, "create").ok(self)
            said = self.ask(document, "cat /proc/mounts", "cat /m/src/f /m/one /m/all/deep/in/x", f"cat /workspaces/{self.repo}/again/x",
                            "ls -d /no", "touch /m/src/new", "touch /m/one || echo FIXED; touch /m/all/x || echo FIXED; touch /m/ro/x || echo FIXED",
                            "cd /m; touch cache/a volume/a nameless/a memory/a of-image/a /tmp/t/v/a /run/own/a && echo WRITTEN; ls -ld cache",
                            f"touch /workspaces/{self.repo}/mods/a", user="0")
            where = os.path.join(self.state, "workspaces", self.id, self.repo)
            mounts = {line.split()[1]: line for line in said.splitlines() if len(line.split()) == 6}
            for _, place in taken:
                self.assertIn(place.format(self.repo), mounts, said)
                self.assertIn("nosuid,nodev", mounts[place.format(self.repo)])
            for text in ("of the checkout\na file\ndeep\n", "deep\n", "WRITTEN"):
                self.assertIn(text, said)
            self.assertEqual(said.count("FIXED"), 3, said)
            self.assertIn("No such file", said)  # /no
            self.assertIn("m/of-image", said)
            for _, source in [*refused, (0, "/etc")]:
                self.assertIn(REFUSED.format(source.replace(HERE, where)), said)
            self.assertEqual(said.count("is not taken over"), len(refused) + 1, said)
            self.assertTrue(os.path.exists(where + "/src/new"))
            self.assertEqual(os.listdir(where + "/mods"), [])
            self.assertEqual(os.listdir(outside), [])
            # Volumes stay, what is in memory does not; and all goes with the delete.
            said = self.go(document, "stop", "start", "exec=ls /m/cache /m/nameless /m/volume", "exec=echo memory $(ls /m/memory)",
                           DRIVE_USER="0").output
            self.assertEqual(said.count("\na\n"), 3, said)
            self.assertIn("\nmemory\n", said)
            self.gone(document)

    def test_each_place(self):
        never = ["/", "/proc", "/proc/x", "/sys", "/sys/fs/cgroup", "/dev", "/dev/shm", "/dev/null", "/run", "/run/lock", "/run/daytona",
                 "/run/daytona/daytona-runner", "/.daytona", "/.daytona/x", "/tmp", "/etc", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
                 "/workspaces", THERE, "/x/../proc", "//proc/./x", "/..", "/x/../../etc"]
        links = ["/to-proc", "/to-proc/x", "/to-etc", "/to-nowhere/x", "/to-run/daytona", f"{THERE}/link/x", "/a-file/x", "/a-file", "/in-image/a"]
        for who in self.each():
            for kind in ("type=tmpfs,", "type=volume,source=v,", f"type=bind,source={HERE}/src,"):
                document = self.dev({"src/f": "x", "link": "-> /etc"}, mounts=[f"{kind}target={to}" for to in never + links] + [
                    f"type=bind,source={HERE}/src/f,target=/in-image", f"type=bind,source={HERE}/src/missing,target=/there",
                    "target=/" + "x" * 300])
                self.go(document, "create").ok(self)
                said = self.ask(document, "cat /proc/mounts; cat /etc/hosts; cat /in-image/a", "ls /nowhere /etc/f", user="0")
                self.assertEqual(said.count("is not taken over"), len(never), said)
                for to in links:
                    self.assertIn(f"the mount at {to.replace(THERE, '/workspaces/' + self.repo)} is left out: ", said)
                self.assertIn("the mount at /in-image is left out: there is a directory", said)
                self.assertIn("the mount at /there is left out: missing: No such", said.replace("src/", ""))
                self.assertIn("xxx is left out: ", said)
                self.assertEqual(said.count("left out"), len(links) + 3, said)
                self.assertIn("localhost", said)
                self.assertIn("of the image", said)
                self.assertEqual(said.count("No such file"), 3, said)  # ls twice, and the one that is missing
                self.assertEqual(len([line for line in said.splitlines() if " /to-" in line and len(line.split()) == 6]), 0)
                self.gone(document)

    def test_a_volume_belongs_to_the_user(self):
        for who in self.each():
            document = self.dev(mounts=["source=v,target=/v", f"source=w,target={THERE}/node_modules"], remoteUser="node",
                                onCreateCommand="touch /v/mine node_modules/mine && echo MINE $(id -u)")
            result = self.go(document, "create", "start").ok(self)
            self.assertIn(f"MINE {1000 if has_ids(who) else 0}", result.output)
            # Put in its place by the workspace, a link is not followed when it starts again.
            self.go(document, "exec=rm -r /workspaces/*/node_modules; ln -s /etc /workspaces/*/other", DRIVE_USER="0")
            self.go(document, "stop").ok(self)
            where = self.root(self.id, self.repo)
            script = 'cd "$0" && rmdir node_modules && ln -s /etc node_modules'
            ids = ["unshare", "--user", "--map-root-user", "--map-auto"] if os.geteuid() and has_ids(who) else []
            done = common.run([*ids, "sh", "-c", script, where])
            if done.returncode and ids:
                self.skipTest("the checkout is another id's: " + done.stderr.strip())
            self.assertEqual(done.returncode, 0, done.stderr)
            said = self.ask(document, "cat /v/mine /etc/passwd && echo THERE", user="0")
            self.assertIn("node_modules is left out: ", said)
            self.assertIn("THERE", said)
            self.gone(document)

    def test_rights_are_named_and_not_given(self):
        config = {"privileged": True, "capAdd": ["SYS_ADMIN", "SYS_PTRACE"], "securityOpt": ["seccomp=unconfined"], "init": True,
                  "runArgs": ["--cap-drop=NET_RAW", "--network=host", "--hostname", "other", "--add-host=a:1.2.3.4", "--dns", "1.1.1.1", "-m", "1g",
                              "--cpus=2", "--pids-limit=7", "--shm-size=1g", "-w", "/", "--device=/dev/kvm", "--tmpfs", "/of-args:size=1m",
                              "--tmpfs=/proc/x", "-e", "GIVEN=by runArgs", "-v", "/etc:/host"],
                  "workspaceFolder": "/elsewhere", "initializeCommand": "touch /x", "workspaceMount": f"type=bind,source={HERE},target=/mounted",
                  "hostRequirements": {"gpu": "optional"}}
        for who in self.each(metadata=[{"entrypoint": "/bin/touch /entered", "privileged": True}]):
            document = self.dev(**config)
            self.go(document, "create").ok(self)
            said = self.ask(document, "grep of-args /proc/mounts; ls /entered; hostname", user="0")
            for text in ("privileged", "capability SYS_ADMIN", "capability SYS_PTRACE", "security option seccomp=unconfined", "capability to drop NET_RAW",
                         "network host", "runArgs --hostname other", "runArgs --add-host a:1.2.3.4", "runArgs --dns 1.1.1.1", "runArgs --memory", "runArgs --cpus",
                         "runArgs --pids-limit", "runArgs --shm-size",
                         "runArgs --workdir /", "runArgs --device /dev/kvm", "mount of /proc/x", "entrypoint /bin/touch /entered", "runArgs -v /etc:/host",
                         "workspaceFolder /elsewhere", "workspaceMount at /mounted", "initializeCommand"):
                self.assertIn(f"dev container: {text} is not taken over", said)
            self.assertIn("no GPU is given here; a target of docker-provider with the option GPUs has them", said)
            self.assertIn(" /of-args tmpfs", said)
            self.assertIn("/entered: No such file", said)
            with open(f"/proc/{self.agent()['pid']}/environ", "rb") as file:
                self.assertIn(b"GIVEN=by runArgs", file.read())
            self.gone(document)


if __name__ == "__main__":
    boxcase.main()
