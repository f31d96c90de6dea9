# SPDX-License-Identifier: Apache-2.0
"""native-provider with namespaces of their own for workspaces: driven as root and as an ordinary user, images included."""
import contextlib
import json
import os
import shutil
import subprocess

import common
import drivecase
import ocicase
import sandboxcase
from gitserver import make_repo
from sandboxcase import RANGED, ROOT, USER

BASE = "workspace/base:1"


def pid_space(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


class BoxCase(drivecase.DriveCase):
    def setUp(self):
        super().setUp()
        os.makedirs(self.path("srv"))
        self.bare, _ = make_repo(self.path("srv"))
        self.fake = self.server()
        self.bin = self.path("bin")
        os.mkdir(self.bin)
        for name, path in (("provider_drive", drivecase.DRIVE), ("daytona-runner", common.BIN)):
            shutil.copy(path, os.path.join(self.bin, name))
        self.who = ROOT if os.geteuid() == 0 else USER
        self.addCleanup(self.end_all)

    def be(self, who):
        """From now on as that user, with a state directory of his."""
        self.who = who
        self.state = self.path(f"state-{who}")
        self.home = self.path(f"home-{who}")
        for path in (self.state, self.home):
            if not os.path.isdir(path):
                os.mkdir(path, 0o700)
                if os.geteuid() == 0:
                    os.chown(path, *sandboxcase.ids(who))

    def prefix(self):
        if self.who == ROOT or os.geteuid() != 0:
            return []
        uid, gid = sandboxcase.ids(self.who)
        return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]

    def env(self, **extra):
        return common.clean_env(self.home, GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory",
                                GIT_CONFIG_VALUE_0="*", **extra)

    def command(self, document, *actions, options=()):
        args = [*self.prefix(), os.path.join(self.bin, "provider_drive")]
        for option in options:
            args += ["-o", option]
        return [*args, self.provider, self.state, os.path.join(self.bin, "daytona-runner"), document, *actions]

    def workspace(self, options, **kwargs):
        """Its id and document."""
        self.id = self.fake.add_workspace(self.bare, options=json.dumps(options), **kwargs)
        return self.document(self.fake, self.id)

    def go(self, document, *actions, **extra):
        extra.setdefault("DRIVE_API_URL", self.fake.url)
        return self.drive(document, *actions, **extra)

    def agent(self, workspace=None):
        try:
            with open(self.root(workspace or self.id, ".runner", "agent.json"), encoding="utf-8") as file:
                return json.load(file)
        except OSError:
            return {}

    def log(self):
        with open(self.root(self.id, ".runner", "agent.log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text):
        return common.wait_for(lambda: text in self.log(), 20 * common.PATIENCE, lambda: f"{text!r} in {self.log()!r}")

    def inside(self, pid):
        """Living processes of the PID namespace that pid is in."""
        own = pid_space(pid)
        return [other for other in common.all_pids() if own and common.alive(other) and pid_space(other) == own]

    def end_all(self):
        for who in (ROOT, USER, RANGED):
            top = self.path(f"state-{who}", "workspaces")
            for name in os.listdir(top) if os.path.isdir(top) else []:
                self.state = self.path(f"state-{who}")
                pid = self.agent(name).get("pid")
                if pid and pid_space(pid) not in (None, pid_space("self")):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, 9)

    def need(self):
        """Skips where this user cannot have namespaces."""
        document = self.workspace({"Root": "/"})
        result = self.go(document, "check")
        if "best-effort (Image, Root)" not in result.output.replace("strict and ", ""):
            self.skipTest("no isolation here: " + result.output)
        return "isolation strict and" in result.output

    def need_static(self):
        if not common.is_static(common.BIN):
            self.skipTest("the executable needs shared libraries, which an image does not have")

    def busybox_layers(self, extra=(), whiteout=True, passwd="root:x:0:0:root:/srv:/bin/sh\nnode:x:1000:1000::/var/node:/bin/sh\n"):
        """Layers of an image with busybox: one of files, one of links and users."""
        program = sandboxcase.busybox()
        if not program:
            self.skipTest("no static busybox")
        with open(program, "rb") as file:
            data = file.read()
        applets = subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        first = [ocicase.directory("bin"), ocicase.entry("bin/busybox", data=data, mode=0o755), ocicase.directory("etc"),
                 ocicase.entry("etc/which", data=b"first"), ocicase.entry("etc/gone", data=b"x"),
                 ocicase.directory("srv"), ocicase.directory("var"),
                 ocicase.directory("var/node", uid=1000, gid=1000),
                 ocicase.entry("etc/passwd", data=passwd.encode()), ocicase.entry("etc/group", data=b"root:x:0:\n")]
        second = [ocicase.symlink(f"bin/{name}", "busybox") for name in applets if name != "busybox"]
        second += [ocicase.entry("etc/which", data=b"second")] + [ocicase.entry("etc/.wh.gone")] * whiteout
        return [ocicase.layer(first), ocicase.layer(second), *([ocicase.layer(list(extra))] if extra else [])]

    def load_image(self, layers=None, name=BASE, config=None):
        """Into the store of the user, as `image load` does."""
        archive = self.path(f"image-{len(os.listdir(self.tmp))}.tar")
        image = ocicase.Image(layers or self.busybox_layers(), config=config)
        image.docker_archive(archive, [name])
        conf = self.path(f"conf-{self.who}")
        if not os.path.isdir(conf):
            os.mkdir(conf)
            with open(conf + "/runner.ini", "w", encoding="utf-8") as file:
                file.write(f"[runner]\nid = c06076b18f00\nname = drive\nstate_dir = {self.state}\n")
            os.chmod(conf + "/runner.ini", 0o644)
        done = common.run([*self.prefix(), os.path.join(self.bin, "daytona-runner"), "image", "load", archive],
                          env=self.env(DAYTONA_RUNNER_CONFIG_DIR=conf))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return image


def main():
    if not os.access(drivecase.DRIVE, os.X_OK):
        common.skip_all("DR_TOOLS_DIR has no provider_drive")
    common.main()
