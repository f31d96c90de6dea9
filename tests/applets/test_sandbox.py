# SPDX-License-Identifier: Apache-2.0
"""Sandboxes by themselves: namespaces, root file systems, users, their end, and that nothing is left."""
import os
import random
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import sandboxcase  # noqa: E402
from sandboxcase import ORDINARY, ROOT, USER  # noqa: E402


class Sandboxes(sandboxcase.SandboxCase):
    def each(self, people=None):
        for who in sandboxcase.people() if people is None else people:
            self.need(who)
            yield who

    def test_life_with_the_hosts_root(self):
        before = sandboxcase.mounts(self)
        for who in self.each():
            for net in ("private", "none", "host"):
                with self.subTest(net=net):
                    s = self.start(who, net=net)
                    s.wait_log("Daytona Agent started")
                    self.assertTrue(s.alive())
                    own = os.stat(f"/proc/{s.pid}").st_uid
                    self.assertNotEqual(own, 0)
                    seen = s.python("import os,socket\nprint(os.getpid(), os.getuid(), socket.gethostname(), os.getcwd())\n"
                                    "print(len([n for n in os.listdir('/proc') if n.isdigit()]))\n"
                                    "print(sorted(os.listdir('/sys/class/net')))\n",
                                    options=["-c", "/workspaces/app"]).splitlines()
                    self.assertRegex(seen[0], r"^\d+ 0 sandbox /workspaces/app$")
                    self.assertLess(int(seen[1]), 6)
                    if net != "host":
                        self.assertEqual(seen[2], "['lo']")
                    for name in ("user", "mnt", "pid", "ipc", "uts", "cgroup") + (() if net == "host" else ("net",)):
                        self.assertNotEqual(os.readlink(f"/proc/{s.pid}/ns/{name}"), os.readlink(f"/proc/self/ns/{name}"))
                    s.stop(5000)
                    self.assertFalse(s.alive())
                    self.assertIn("told to stop", s.log())
                    s.stop()
        self.assertEqual(sandboxcase.mounts(self), before)

    def test_life_with_an_image(self):
        before = sandboxcase.mounts(self)
        for who in self.each():
            image = self.image(who, f"image-{who}")
            listed = sorted(os.listdir(image))
            s = self.run_image(who, "id -u; pwd; cat /proc/1/comm; hostname; cat /etc/hosts; rm /bin/vi; echo new >/srv/new; "
                                    "touch /tmp/t; ls -ld /tmp; cat /proc/self/setgroups", root=image)
            log = s.log()
            self.assertRegex(log, r"^0\n/workspaces/app\n")
            self.assertIn("127.0.1.1\tsandbox", log)
            self.assertIn("drwxrwxrwt", log)
            self.assertEqual(sorted(os.listdir(image)), listed)
            self.assertTrue(os.path.lexists(image + "/bin/vi"))
            self.assertTrue(os.path.exists(s.box + "/upper/srv/new"))
            s.stop()
            self.good(self.tool(who, "remove", *self.map(who), s.box + "/upper"))
            self.good(self.tool(who, "remove", *self.map(who), s.box + "/work"))
            self.good(self.tool(who, "remove", *self.map(who), s.box + "/work"))
            self.assertFalse(os.path.exists(s.box + "/upper"))
        self.assertEqual(sandboxcase.mounts(self), before)

    def test_layers_lie_above_one_another(self):
        for who in self.each():
            lower = [self.image(who, f"below-{who}")]
            for i in range(60):
                path = self.path(f"layer-{who}-{i}-" + "x" * 150)
                os.makedirs(path + "/etc")
                with open(path + "/etc/which", "w", encoding="utf-8") as file:
                    file.write(str(i))
                self.give(who, path)
                lower.insert(0, path)
            s = self.start(who, "sh", "-c", "cat /etc/which; echo; id; exec sleep 100000", lower=lower,
                           program=sandboxcase.busybox())
            s.wait_log("uid=0")
            self.assertEqual(s.log().splitlines()[0], "59")

    def test_one_tree_that_is_written_to(self):
        for who in self.each():
            image = self.image(who, f"plain-{who}")
            if who == ROOT:
                for top, dirs, files in os.walk(image):
                    for name in [top, *dirs, *files]:
                        base = int(self.map(who)[1])
                        os.chown(os.path.join(top, name), base, base, follow_symlinks=False)
            s = self.start(who, "sh", "-c", "echo x >/srv/x; id; exec sleep 100000", options=["-p", image],
                           program=sandboxcase.busybox())
            s.wait_log("uid=0")
            self.assertTrue(os.path.exists(image + "/srv/x"))

    def test_users_are_those_of_the_image(self):
        image = self.image(ROOT) if os.geteuid() == 0 else None
        table = [("", "0:0 /root root", []), ("root", "0:0 /root root", []), ("node", "1000:1000 /var/node node", ["50"]),
                 ("1000", "1000:1000 /var/node node", ["50"]), ("app:staff", "1001:50 /srv app", []),
                 ("1234", "1234:0 / 1234", []), ("1234:99", "1234:99 / 1234", []), ("node:0", "1000:0 /var/node node", [])]
        for _ in self.each([ROOT] if image else []):
            for user, wanted, groups in table:
                with self.subTest(user=user):
                    s = self.run_image(ROOT, "echo $(id -u):$(id -g) $HOME $USER; id -G; ls -nd . /root", root=image,
                                       options=["-U", user])
                    lines = s.log().splitlines()
                    self.assertEqual(lines[0], wanted)
                    self.assertEqual(lines[1].split()[1:], groups)
                    uid, gid = wanted.split()[0].split(":")
                    self.assertRegex(lines[2], rf"\s{uid}\s+{gid}\s.*\.$")
                    s.stop()
            for user, text in (("nobody-here", 'user "nobody-here"'), ("node:nope", 'group "nope"')):
                self.assertIn(text, self.start(ROOT, "true", lower=[image], options=["-U", user],
                                               program=sandboxcase.busybox(), ok=False))

    def test_a_user_without_a_range_is_said_or_refused(self):
        for who in self.each([USER]):
            image = self.image(who)
            s = self.run_image(who, "id -u", root=image, options=["-U", "node"])
            self.assertIn("say the user node (1000:1000) is not possible", s.said)
            self.assertEqual(s.log().splitlines()[0], "0")
            self.assertIn("is not possible", self.start(who, "true", lower=[image], options=["-U", "node", "-S"],
                                                        program=sandboxcase.busybox(), ok=False))

    def test_a_mount_that_is_asked_for_follows_no_link(self):
        """Whoever put one there since it was looked at: what cannot be mounted is said and left out."""
        for who in self.each():
            image, asked = self.image(who, f"asked-image-{who}"), self.path(f"asked-{who}")
            os.makedirs(asked + "/dir/deep")
            with open(asked + "/file", "w", encoding="utf-8") as file:
                file.write("asked for")
            for link, to in (("dir/up", "../.."), ("abs", "/etc"), ("to-file", "file"), ("to-dir", "dir")):
                os.symlink(to, f"{asked}/{link}")
            os.mkfifo(asked + "/pipe")
            os.symlink("/etc", image + "/link")
            os.symlink("bin", image + "/to-bin")
            self.give(who, image, asked)
            rows = [("dir", "/m/dir", True), ("file", "/m/file", True), ("", "/m/all", True), ("dir", "/workspaces/app/in", True),
                    *((below, "/no", False) for below in ("abs", "to-file", "to-dir", "to-dir/deep", "dir/up", "dir/up/x", "dir/../file", "pipe", "none")),
                    *(("dir", to, False) for to in ("/link", "/link/x", "/to-bin/x", "/bin/busybox", "/m/file/x")), ("file", "/m/dir", False)]
            options = [option for below, to, _ in rows for option in ("-B", f"{asked}:{below}:{to}")]
            s = self.start(who, "sh", "-c", "cat /m/file; cat /proc/mounts; ls /m; echo END; sleep 1000", lower=[image], program=sandboxcase.busybox(),
                           options=options)
            s.wait_log("END")
            mounted = [line.split()[1] for line in s.log().splitlines() if len(line.split()) == 6]
            self.assertEqual([to for _, to, good in rows if good and to not in mounted], [], s.log())
            self.assertEqual([to for to in mounted if to in ("/no", "/etc/x", "/bin/x", "/etc")], [])
            self.assertEqual(s.said.count("is left out: "), len([row for row in rows if not row[2]]), s.said)
            self.assertIn("asked for", s.log())
            s.stop()

    def test_what_an_image_is_made_of_leads_nowhere(self):
        secret = self.path("secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("root:x:0:0::/stolen:/bin/sh\n")
        os.chmod(secret, 0o644)
        for who in self.each():
            # Links in place of what is mounted or written.
            for name, link, answer in (("proc", "/etc", "/proc of the workspace's root is no directory"),
                                       ("sys", "bin", "/sys of the workspace's root is no directory"),
                                       ("dev", "/root", "/dev of the workspace's root is no directory"),
                                       ("etc/passwd", secret, None), ("etc/hosts", secret, None),
                                       ("etc/resolv.conf", "/proc/self/fd/1", None), ("workspaces", "/root", None),
                                       ("tmp", "/run/daytona", "to /tmp: No such file"), ("workspaces", "/run", None),
                                       ("run", "/workspaces", "/run of the workspace's root is no directory")):
                with self.subTest(name=name):
                    image = self.image(who, f"hostile-{who}-{(name + link).replace('/', '-')}")
                    if os.path.lexists(f"{image}/{name}"):
                        os.unlink(f"{image}/{name}")
                    os.symlink(link, f"{image}/{name}")
                    self.give(who, image)
                    if answer:
                        self.assertIn(answer, self.start(who, "true", lower=[image], program=sandboxcase.busybox(), ok=False))
                        continue
                    s = self.run_image(who, "echo HOME=$HOME; pwd", root=image)
                    self.assertNotIn("stolen", s.log())
                    s.stop()
            with open(secret, encoding="utf-8") as file:
                self.assertIn("stolen", file.read())
            # A checkout that ends up where our program is lies below it.
            image = self.image(who, f"cover-{who}")
            os.symlink("/run", image + "/workspaces")
            self.give(who, image)
            box = self.box(who)
            with open(box + "/checkout/daytona-runner", "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho cover\n")
            os.chmod(box + "/checkout/daytona-runner", 0o755)
            options = [option.replace("/workspaces/app", "/workspaces/daytona") if isinstance(option, str) else option
                       for option in self.options(who, box, [image])]
            done = self.tool(who, "start", *options, "-x", sandboxcase.busybox(), "--", "sh", "-c", "echo ours; sleep 1000")
            match = re.search(r"^init (\d+) (\d+)$", done.stdout, re.M)
            if match:
                s = sandboxcase.Sandbox(self, who, box, int(match.group(1)), int(match.group(2)), done.stdout)
                s.wait_log("ours")
                self.assertNotIn("cover", s.log())
                s.stop()
            else:
                self.assertIn("Read-only file system", done.stdout)
            # A pipe would be waited for.
            image = self.image(who, f"pipe-{who}")
            os.unlink(image + "/etc/passwd")
            os.mkfifo(image + "/etc/passwd")
            self.give(who, image)
            self.assertIn("/etc/passwd of the workspace is no file",
                          self.start(who, "true", lower=[image], program=sandboxcase.busybox(), ok=False))

    def test_what_is_hidden_is_not_seen(self):
        for who in self.each():
            hidden = self.path(f"hidden-{who}")
            os.mkdir(hidden)
            with open(hidden + "/key", "w", encoding="utf-8") as file:
                file.write("secret")
            self.give(who, hidden)
            # Directories of the host's root that are ours to hide something in are rare: /tmp never shows.
            s = self.start(who)
            self.assertEqual(s.python(f"import os\nprint(os.path.exists({hidden!r}), os.listdir('/home') if "
                                      "os.path.exists('/home') else [], os.path.exists('/run/docker.sock'))"),
                             "False [] False\n")
            s.stop()
            file = next(path for path in ("/etc/services", "/etc/protocols", "/etc/bash.bashrc", "/etc/profile", "/etc/shells")
                        if os.path.isfile(path) and not os.path.islink(path))
            s = self.start(who, options=["-H", "/usr/share/doc", "-H", file, "-H", "/no/such"])
            self.assertEqual(s.enter("sh", "-c", "ls /usr/share/doc 2>/dev/null").stdout, "")
            self.assertEqual(s.enter("cat", file).stdout, "")

    def test_status_of_a_command(self):
        for who in self.each():
            s = self.start(who)
            self.assertEqual(s.enter("sh", "-c", "exit 7").returncode, 7)
            self.assertEqual(s.enter("sh", "-c", "kill -9 $$").returncode, 137)
            self.assertEqual(s.enter("no-such-program").returncode, 127)
            self.assertEqual(s.enter("/etc/hostname").returncode, 126)
            os.kill(s.pid, signal.SIGKILL)
            common.wait_for(lambda: not common.alive(s.pid), 20 * common.PATIENCE, "its end")
            self.assertIn("error", s.enter("true").stdout)

    def test_the_end_of_process_1_is_that_of_all(self):
        for who in self.each():
            s = self.start(who, "daytona-runner", "agent", "--", "sh", "-c",
                           "trap '' TERM; for i in 1 2 3 4 5; do setsid sleep 100000 & done; "
                           "(setsid sh -c 'trap \"\" TERM; sleep 100000' &); echo there; wait")
            s.wait_log("there")
            inside = [pid for pid in common.all_pids() if common.alive(pid) and s.box in
                      common.read_proc(pid, "mountinfo").decode(errors="replace") and
                      f"NSpid:\t{pid}\t".encode() in common.read_proc(pid, "status")]
            self.assertGreater(len(inside), 6)
            s.stop(200)
            self.assertEqual([pid for pid in inside if common.alive(pid)], [])

    def test_killed_at_any_moment_nothing_is_left(self):
        for who in self.each():
            before = sandboxcase.mounts(self)
            rng = random.Random(12)
            for _ in range(25):
                box = self.box(who)
                process = subprocess.Popen(
                    [*self.as_user(who), os.path.join(self.files, "sandbox_run"), "start",
                     *map(str, self.options(who, box)), "-x", os.path.join(self.files, "daytona-runner"),
                     "--", "daytona-runner", "agent", "--", "sleep", "100000"],
                    env=common.clean_env("/"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                try:
                    process.wait(rng.uniform(0.001, 0.06))
                except subprocess.TimeoutExpired:
                    pass
                process.kill()
                out = process.communicate()[0].decode()

                def left(box=box):
                    return [pid for pid in common.all_pids() if common.alive(pid) and
                            box in common.read_proc(pid, "cmdline").decode(errors="replace")]
                match = re.search(r"^init (\d+) (\d+)$", out, re.M)
                if match:
                    self.good(self.tool(who, "stop", match.group(1), match.group(2), 0))
                else:
                    # What had been told to go is found by whoever wrote it down: here by its directory.
                    for pid in common.all_pids():
                        if f" {box}/checkout /workspaces/app ".encode() in common.read_proc(pid, "mountinfo") and \
                                re.search(rb"NSpid:\t\d+\t1\n", common.read_proc(pid, "status")):
                            os.kill(pid, signal.SIGKILL)
                common.wait_for(lambda: not left(), 20 * common.PATIENCE, "the end of all of it")
            self.assertEqual(sandboxcase.mounts(self), before)

    def test_nothing_runs_that_a_dead_caller_did_not_see(self):
        """The launcher dies with its caller, and process 1 waits for its word."""
        for who in self.each():
            box = self.box(who)
            done = self.tool(who, "start", *self.options(who, box), "-x", "/no/such/program", "--", "x")
            self.assertIn("error", done.stdout)
            self.assertIn("/no/such/program", done.stdout)

    def test_process_1_can_be_looked_at_as_soon_as_it_is_told_of(self):
        """Else the helper of its network, which looks at its namespaces, is refused now and then."""
        self.need(sandboxcase.USER)
        for _ in range(40):
            self.start(sandboxcase.USER, options=["-A"]).stop()

    def test_numbers_that_are_none_of_ours_are_left_alone(self):
        for who in self.each():
            sleeper = subprocess.Popen(["sleep", "1000"])
            self.addCleanup(sleeper.wait)
            self.addCleanup(sleeper.kill)
            start = common.read_proc(sleeper.pid, "stat").rpartition(b")")[2].split()[19].decode()
            self.good(self.tool(who, "stop", sleeper.pid, start, 0))
            self.assertIsNone(sleeper.poll())
            s = self.start(who)
            self.good(self.tool(who, "stop", s.pid, s.start + 1, 0))
            self.assertTrue(s.alive())


class Owner(sandboxcase.SandboxCase):
    def test_the_checkout_becomes_the_users(self):
        if os.geteuid() != 0:
            self.skipTest("needs a range of ids")
        self.need(ROOT)
        image = self.image(ROOT)
        base = int(self.map(ROOT)[1])
        for user, uid in (("", base), ("node", base + 1000)):
            box = self.box(ROOT)
            os.makedirs(box + "/checkout/a/b")
            os.symlink("/etc/passwd", box + "/checkout/a/link")
            os.mkfifo(box + "/checkout/a/pipe")
            done = self.tool(ROOT, "start", *self.options(ROOT, box, [image]), "-U", user, "-x", sandboxcase.busybox(), "--",
                             "sleep", "100000")
            match = re.search(r"^init (\d+) (\d+)$", self.good(done), re.M)
            self.addCleanup(self.tool, ROOT, "stop", match.group(1), match.group(2), 0)
            for name in ("", "/a", "/a/b", "/a/link", "/a/pipe"):
                self.assertEqual(os.lstat(box + "/checkout" + name).st_uid, uid, name)
        self.assertEqual(os.stat("/etc/passwd").st_uid, 0)
        self.assertNotEqual(ORDINARY, 0)


if __name__ == "__main__":
    sandboxcase.main()
