# SPDX-License-Identifier: Apache-2.0
"""Sandboxes without a provider: tests/tools/sandbox_run, as root and as an ordinary user."""
import os
import pwd
import re
import shutil
import subprocess

import common

TOOL = os.path.join(os.environ.get("DR_TOOLS_DIR", ""), "sandbox_run")
ORDINARY = 64321  # nobody has it
BASE = 0x7ff00000  # of a range for root; providers begin lower
ROOT, USER, RANGED = "root", "user", "ranged"


def people():
    """Whom this machine lets us be."""
    return [ROOT, USER] if os.geteuid() == 0 else [USER]


def with_ranges():
    """Ordinary users of this machine who have ids of their own in /etc/subuid and /etc/subgid, as in passwd."""
    names = []
    for path in ("/etc/subuid", "/etc/subgid"):
        try:
            with open(path, encoding="utf-8") as file:
                names.append({line.split(":")[0] for line in file if line.count(":") == 2})
        except OSError:
            return []
    if not shutil.which("newuidmap"):
        return []
    return sorted(user for user in pwd.getpwall() if user.pw_uid >= 1000 and user.pw_name in names[0] & names[1])


def ranged(case):
    """An ordinary user with ids of his own, or the test is skipped."""
    if not (with_ranges() if os.geteuid() == 0 else has_ids(USER)):
        case.skipTest("no ordinary user has a range in /etc/subuid (or no package uidmap)")
    return RANGED if os.geteuid() == 0 else USER


def ids(who):
    """(uid, gid) of that one, where we are root."""
    if who == RANGED:
        return with_ranges()[0].pw_uid, with_ranges()[0].pw_gid
    return {ROOT: (0, 0), USER: (ORDINARY, ORDINARY)}[who]


def has_ids(who):
    """Whether workspaces of that one have users beside root."""
    return who in (ROOT, RANGED) or (os.geteuid() != 0 and any(user.pw_uid == os.geteuid() for user in with_ranges()))


def busybox():
    path = shutil.which("busybox")
    return path if path and common.is_static(path) else None


def private_network(prefix=()):
    """Why no helper can give this user's programs a network of their own; "" where one can."""
    if common.run([*prefix, "test", "-r", "/dev/net/tun", "-a", "-w", "/dev/net/tun"]).returncode:
        return "/dev/net/tun is not there for this user"
    with open("/proc/net/route", encoding="ascii") as file:
        if not any(line.split()[1] == "00000000" for line in file):
            return "this host has no route that a private network could take"
    return "" if shutil.which("pasta") or shutil.which("slirp4netns") else "neither pasta nor slirp4netns is installed"


def mounts(case):
    """Those that have to do with the test's directory, as everybody on this machine sees them."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return sorted(line.split()[4] for line in file if case.tmp in line)


class Sandbox:
    """One that was started."""

    def __init__(self, case, who, box, pid, start, said):
        self.case, self.who, self.box, self.pid, self.start, self.said = case, who, box, pid, start, said

    def log(self):
        with open(self.box + "/out", encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_log(self, text):
        return common.wait_for(lambda: text in self.log(), 20 * common.PATIENCE,
                               lambda: f"{text!r} in {self.log()!r}")

    def enter(self, *command, options=(), **kwargs):
        return self.case.tool(self.who, "enter", *self.case.map(self.who), *options, "-e",
                              "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", self.pid, self.start, "--",
                              *command, **kwargs)

    def python(self, code, options=()):
        """A script inside; its output."""
        done = self.enter("python3", "-c", code, options=options)
        self.case.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def alive(self):
        return self.case.tool(self.who, "alive", self.pid, self.start).returncode == 0

    def stop(self, grace=0):
        self.case.good(self.case.tool(self.who, "stop", self.pid, self.start, grace))


class SandboxCase(common.Case):
    def setUp(self):
        super().setUp()
        # They may lie where an ordinary user does not come.
        self.files = self.path("bin")
        os.mkdir(self.files)
        for name, path in (("sandbox_run", TOOL), ("daytona-runner", common.BIN)):
            shutil.copy(path, os.path.join(self.files, name))
        self.count = 0

    def as_user(self, who):
        if who == USER and os.geteuid() == 0:
            return ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
        return []

    def tool(self, who, *args, **kwargs):
        kwargs.setdefault("env", common.clean_env("/"))
        done = common.run([*self.as_user(who), os.path.join(self.files, "sandbox_run"), *map(str, args)], **kwargs)
        self.assertNotRegex(done.stdout + done.stderr, common.SANITIZER)
        return done

    def good(self, done):
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def give(self, who, *paths):
        """Files made by us become that user's."""
        for path in paths:
            for top, dirs, files in os.walk(path):
                for name in [top, *dirs, *files]:
                    if who == USER and os.geteuid() == 0:
                        os.chown(os.path.join(top, name), ORDINARY, ORDINARY, follow_symlinks=False)

    def map(self, who):
        return ["-m", BASE + 65536 * (os.getpid() % 8) if who == ROOT else "single"]

    def box(self, who):
        """The directories of a sandbox."""
        self.count += 1
        box = self.path(f"box{self.count}")
        for name in ("", "upper", "work", "point", "tmp", "checkout"):
            os.mkdir(os.path.join(box, name))
        self.give(who, box)
        return box

    def need(self, who):
        """Skips where this user cannot have sandboxes at all."""
        box = self.box(who)
        done = self.tool(who, "start", *self.options(who, box, net="none"), "-x", "/bin/true", "--", "true")
        if done.returncode != 0:
            self.skipTest("no sandboxes here: " + done.stdout.strip())

    def options(self, who, box, lower=(), net="private"):
        options = [*self.map(who), "-P", box + "/point", "-t", box + "/tmp", "-b", box + "/checkout:/workspaces/app",
                   "-o", "/workspaces/app", "-c", "/workspaces/app", "-n", net, "-O", box + "/out",
                   "-e", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"]
        if lower:
            options += ["-u", box + "/upper", "-w", box + "/work"]
            options += ["-s"] if who == ROOT else []
            for one in lower:
                options += ["-l", one]
        return options

    def start(self, who, *argv, lower=(), net="private", options=(), program=None, ok=True):
        """With the host's root and our agent unless lower directories and a program are given."""
        box = self.box(who)
        done = self.tool(who, "start", *self.options(who, box, lower, net), *options,
                         "-x", program or os.path.join(self.files, "daytona-runner"), "--",
                         *(argv or ("daytona-runner", "agent", "--", "sleep", "100000")))
        if not ok:
            self.assertEqual(done.returncode, 1, done.stdout)
            return done.stdout
        match = re.search(r"^init (\d+) (\d+)$", self.good(done), re.M)
        self.assertTrue(match, done.stdout)
        s = Sandbox(self, who, box, int(match.group(1)), int(match.group(2)), done.stdout)
        self.addCleanup(self.tool, who, "stop", s.pid, s.start, 0)
        return s

    def image(self, who, name="image", passwd="root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/var/node:/bin/sh\n"
              "app:x:1001:1001::/srv:/bin/ash\n", group="root:x:0:\nstaff:x:50:node,app\nnode:x:1000:\n"):
        """A lower directory with busybox."""
        program = busybox()
        if not program:
            self.skipTest("no static busybox")
        root = self.path(name)
        for path in ("bin", "etc", "root", "var/node", "srv"):
            os.makedirs(os.path.join(root, path))
        shutil.copy(program, root + "/bin/busybox")
        for applet in subprocess.run([program, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout.split():
            if applet != "busybox":
                os.symlink("busybox", f"{root}/bin/{applet}")
        for file, text in (("passwd", passwd), ("group", group)):
            with open(f"{root}/etc/{file}", "w", encoding="utf-8") as out:
                out.write(text)
        self.give(who, root)
        return root

    def run_image(self, who, script, root=None, **kwargs):
        """What a script in an image says, which then waits."""
        root = root or self.image(who, name=f"image{self.count}")
        s = self.start(who, "sh", "-c", f"{{ {script}\n}} 2>&1; echo; echo END; exec sleep 100000", lower=[root],
                       program=busybox(), **kwargs)
        s.wait_log("\nEND\n")
        return s


def main():
    if not os.access(TOOL, os.X_OK):
        common.skip_all("DR_TOOLS_DIR has no sandbox_run")
    common.main()
