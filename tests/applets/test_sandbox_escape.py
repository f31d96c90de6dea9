# SPDX-License-Identifier: Apache-2.0
"""The table of docs/isolation.md: each line is one test of the same name, tried by root inside, who has all that there is."""
import os
import re
import shutil
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import sandboxcase  # noqa: E402
from sandboxcase import ORDINARY, ROOT, USER  # noqa: E402

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "isolation.md")
# Numbers of calls are asked of the C library's wrappers where there are some; these are the same on every architecture.
PRELUDE = r"""
import ctypes, errno, os, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *args):
    ctypes.set_errno(0)
    rc = getattr(libc, name)(*args)
    return 'done' if rc >= 0 else errno.errorcode[ctypes.get_errno()]
def number(nr, *args):
    ctypes.set_errno(0)
    libc.syscall.restype = ctypes.c_long
    rc = libc.syscall(ctypes.c_long(nr), *[a if isinstance(a, (bytes, ctypes.Array)) else ctypes.c_long(a) for a in args])
    return 'done' if rc >= 0 else errno.errorcode[ctypes.get_errno()]
def tell(what, how):
    print(what, how)
def attempt(f):
    try:
        f()
        return 'done'
    except OSError as e:
        return errno.errorcode[e.errno]
"""


class Escape(sandboxcase.SandboxCase):
    def each(self, **kwargs):
        """A sandbox with the host's root for each user."""
        for who in sandboxcase.people():
            self.need(who)
            s = self.start(who, **kwargs)
            yield s
            s.stop()

    def tries(self, s, code, options=()):
        """{what: how it ended} of a script inside."""
        return dict(line.split(" ", 1) for line in s.python(PRELUDE + code, options).splitlines())

    def all_are(self, found, *wanted):
        self.assertTrue(found)
        for what, how in found.items():
            self.assertIn(how, wanted, f"{what}: {how}")

    def test_other_workspaces_files(self):
        for s in self.each():
            with open(s.box + "/checkout/mine", "w", encoding="utf-8") as file:
                file.write("secret")
            other = self.start(s.who)
            self.all_are(self.tries(other, f"tell('path', attempt(lambda: open({s.box + '/checkout/mine'!r})))\n"
                                           f"tell('root', attempt(lambda: open('/proc/{s.pid}/root/workspaces/app/mine')))\n"
                                           "tell('up', attempt(lambda: open('/workspaces/../../../../..' + "
                                           f"{s.box + '/checkout/mine'!r})))\n"), "ENOENT")

    def test_the_runners_key_and_journal(self):
        for who in sandboxcase.people():
            self.need(who)
            # Of the host's root only what is hidden by name can be in the way: any directory that is not left out.
            kept = "/var/tmp/dr-test-key-" + f"{who}-{os.getpid()}"
            os.makedirs(kept)
            self.addCleanup(shutil.rmtree, kept, True)
            for name in ("runner.ini", "journal"):
                with open(f"{kept}/{name}", "w", encoding="utf-8") as file:
                    file.write("key = secret\n")
            self.give(who, kept)
            s = self.start(who, options=["-H", kept])
            found = self.tries(s, f"tell('listed', 'names' if attempt(lambda: os.listdir({kept!r})) == 'done' and os.listdir({kept!r}) else 'empty')\n"
                                  f"tell('key', attempt(lambda: open('{kept}/runner.ini')))\n"
                                  f"tell('journal', attempt(lambda: open('{kept}/journal', 'a')))\n"
                                  f"tell('new', attempt(lambda: open('{kept}/new', 'w')))\n"
                                  f"tell('away', call('umount2', {kept.encode()!r}, 2))\n")
            self.assertEqual(found.pop("listed"), "empty")
            self.all_are(found, "ENOENT", "EACCES", "EROFS", "EPERM")
            s.stop()

    def test_host_processes(self):
        victim = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(victim.wait)
        self.addCleanup(victim.kill)
        for s in self.each():
            for pid in (victim.pid, os.getpid(), s.pid):
                self.all_are(self.tries(s, f"tell('kill', attempt(lambda: os.kill({pid}, 9)))\n"
                                           f"tell('see', attempt(lambda: os.listdir('/proc/{pid}')))\n"
                                           f"tell('affinity', attempt(lambda: os.sched_getaffinity({pid})))\n"),
                             "ESRCH", "ENOENT")
            found = s.python("import os\nprint(sorted(int(n) for n in os.listdir('/proc') if n.isdigit()))\n")
            self.assertLess(len(found.split(",")), 8)
            self.assertTrue(s.alive())
        self.assertIsNone(victim.poll())

    def test_raw_devices(self):
        for s in self.each():
            found = self.tries(s, r"""
for name in ('mem', 'kmem', 'port', 'kmsg', 'vda', 'sda', 'loop0', 'loop-control', 'fuse', 'kvm', 'net/tun', 'vhost-net'):
    tell(name, attempt(lambda: open('/dev/' + name, 'rb')))
import stat
for kind in (stat.S_IFBLK, stat.S_IFCHR):
    tell('mknod%x' % kind, attempt(lambda: os.mknod('/tmp/dev%x' % kind, kind | 0o666, os.makedev(1, 1))))
""")
            self.all_are(found, "ENOENT", "EPERM")

    def test_devices_in_an_image(self):
        if os.geteuid() != 0:
            self.skipTest("only root makes devices")
        self.need(ROOT)
        image = self.image(ROOT)
        os.mknod(image + "/bin/zero", 0o20666, os.makedev(1, 5))
        s = self.run_image(ROOT, "cat /bin/zero | head -c 1", root=image)
        self.assertRegex(s.log(), "Permission denied|Operation not permitted")

    def test_mounts(self):
        for s in self.each():
            found = self.tries(s, r"""
tell('tmpfs', call('mount', b'x', b'/mnt', b'tmpfs', 0, None))
tell('bind', call('mount', b'/workspaces/app', b'/tmp', None, 4096, None))
tell('remount', call('mount', None, b'/proc/sys', None, 32 | 4096, None))
tell('program', call('mount', None, b'/run/daytona/daytona-runner', None, 32 | 4096, None))
tell('umount', call('umount2', b'/proc/sys', 2))
tell('private', call('mount', None, b'/', None, 16384 | (1 << 18), None))
for name, nr in (('open_tree', 428), ('move_mount', 429), ('fsopen', 430), ('fsmount', 432), ('fspick', 433),
                 ('mount_setattr', 442)):
    tell(name, number(nr, -100, b'/', 1, 0, 0))
""")
            self.all_are(found, "EPERM")

    def test_ptrace(self):
        victim = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(victim.wait)
        self.addCleanup(victim.kill)
        for s in self.each():
            found = self.tries(s, f"""
for pid in ({victim.pid}, {s.pid}):
    tell('attach%d' % pid, call('ptrace', 16, pid, None, None))
    tell('memory%d' % pid, attempt(lambda: open('/proc/%d/mem' % pid, 'rb')))
    tell('environ%d' % pid, attempt(lambda: open('/proc/%d/environ' % pid, 'rb')))
    tell('pidfd%d' % pid, number(434, pid, 0))
""")
            self.all_are(found, "ESRCH", "ENOENT")

    def test_settings_of_the_kernel(self):
        for s in self.each():
            found = self.tries(s, r"""
for path in ('/proc/sys/kernel/core_pattern', '/proc/sys/kernel/hostname', '/proc/sys/vm/overcommit_memory',
             '/proc/sys/net/ipv4/ip_forward', '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity',
             '/proc/sys/kernel/modprobe', '/proc/sys/fs/binfmt_misc/register', '/sys/kernel/uevent_helper',
             '/sys/power/state', '/sys/class/net/lo/mtu', '/sys/fs/cgroup/cgroup.procs', '/sys/kernel/mm/ksm/run'):
    tell(path, attempt(lambda: os.write(os.open(path, os.O_WRONLY), b'1')))
tell('hostname', call('sethostname', b'x', 1))
tell('time', call('settimeofday', struct.pack('qq', 1, 1), None))
""")
            self.all_are(found, "EROFS", "EPERM", "EACCES", "ENOENT")

    def test_what_the_kernel_tells(self):
        for s in self.each():
            found = self.tries(s, r"""
for path in ('/proc/kcore', '/proc/keys', '/proc/kallsyms', '/proc/timer_list', '/proc/interrupts', '/proc/vmallocinfo'):
    try:
        tell(path, 'empty' if not open(path, 'rb').read(16) else 'told')
    except OSError as e:
        tell(path, errno.errorcode[e.errno])
tell('dmesg', call('klogctl', 3, ctypes.create_string_buffer(64), 64))
""")
            self.all_are(found, "empty", "ENOENT", "EPERM", "EACCES")

    def test_setns_and_unshare(self):
        for s in self.each():
            found = self.tries(s, r"""
for name in ('mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup', 'user'):
    fd = os.open('/proc/1/ns/' + name, os.O_RDONLY) if os.access('/proc/1/ns/' + name, os.R_OK) else os.open('/proc/self/ns/' + name, os.O_RDONLY)
    tell('setns-' + name, call('setns', fd, 0))
for name, flag in (('mnt', 0x20000), ('pid', 0x20000000), ('net', 0x40000000), ('ipc', 0x8000000), ('uts', 0x4000000),
                   ('cgroup', 0x2000000), ('time', 0x80)):
    tell('unshare-' + name, call('unshare', flag))
""")
            self.all_are(found, "EPERM")

    def test_user_namespaces_inside(self):
        for s in self.each():
            found = self.tries(s, r"""
import platform
tell('unshare', call('unshare', 0x10000000))
clone = {'x86_64': 56, 'aarch64': 220, 'riscv64': 220}.get(platform.machine())
if clone:
    tell('clone', number(clone, 0x10000000 | 17, 0, 0, 0, 0))
tell('clone3', number(435, struct.pack('8Q', 0x10000000, 0, 0, 0, 17, 0, 0, 0), 64))
""")
            self.all_are(found, "EPERM", "ENOSYS")

    def test_our_executable(self):
        """/proc/PID/exe leads to the file of the host: on a mount that is read-only, for process 1 and for who entered."""
        before = os.stat(os.path.join(self.files, "daytona-runner"))
        for s in self.each():
            found = self.tries(s, r"""
for path in ('/proc/1/exe', '/run/daytona/daytona-runner'):
    tell('write' + path, attempt(lambda: os.open(path, os.O_WRONLY)))
    tell('truncate' + path, attempt(lambda: os.truncate(path, 0)))
    fd = os.open(path, os.O_PATH)
    tell('again' + path, attempt(lambda: os.open('/proc/self/fd/%d' % fd, os.O_RDWR)))
tell('unlink', attempt(lambda: os.unlink('/run/daytona/daytona-runner')))
tell('chmod', attempt(lambda: os.chmod('/run/daytona/daytona-runner', 0o777)))
""")
            self.all_are(found, "EROFS", "ETXTBSY", "EBUSY", "EACCES", "EPERM")
            # Nor does another file come to its place, for those who enter later.
            found = self.tries(s, r"""
for path in ('/run/daytona', '/run'):
    tell('rename' + path, attempt(lambda: os.rename(path, path + '.old')))
    tell('rmdir' + path, attempt(lambda: os.rmdir(path)))
tell('new', attempt(lambda: open('/run/daytona/new', 'w')))
tell('over', attempt(lambda: os.rename('/workspaces/app/evil', '/run/daytona/daytona-runner')))
""")
            self.all_are(found, "EBUSY", "EROFS", "EXDEV", "ENOENT", "EACCES")
            # A program that says that its interpreter is whoever runs it.
            s.python("import os\nopen('/workspaces/app/evil', 'w').write('#!/proc/self/exe\\n')\n"
                     "os.chmod('/workspaces/app/evil', 0o755)\n")
            done = s.enter("/workspaces/app/evil")
            self.assertNotEqual(done.returncode, 0)
        after = os.stat(os.path.join(self.files, "daytona-runner"))
        self.assertEqual((before.st_size, before.st_mtime_ns), (after.st_size, after.st_mtime_ns))

    def test_core_pattern(self):
        with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
            before = file.read()
        for s in self.each():
            self.assertNotEqual(s.enter("sh", "-c", "echo '|/tmp/evil' >/proc/sys/kernel/core_pattern").returncode, 0)
        with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as file:
            self.assertEqual(file.read(), before)

    def test_links_in_a_checkout(self):
        secret = self.path("secret")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("secret")
        for who in sandboxcase.people():
            self.need(who)
            box = self.box(who)
            for name, to in (("file", secret), ("up", "../../../../../../../.." + secret), ("proc", "/proc/1/root" + secret),
                             ("dir", self.tmp)):
                os.symlink(to, f"{box}/checkout/{name}")
            done = self.tool(who, "start", *self.options(who, box), "-x", os.path.join(self.files, "daytona-runner"), "--",
                             "daytona-runner", "agent", "--", "sleep", "100000")
            pid, start = re.search(r"^init (\d+) (\d+)$", self.good(done), re.M).groups()
            self.addCleanup(self.tool, who, "stop", pid, start, 0)
            s = sandboxcase.Sandbox(self, who, box, int(pid), int(start), done.stdout)
            self.all_are(self.tries(s, "for name in ('file', 'up', 'proc', 'dir/secret'):\n"
                                       "    tell(name, attempt(lambda: open('/workspaces/app/' + name)))\n"), "ENOENT")
            s.stop()
            self.good(self.tool(who, "remove", *self.map(who), box + "/checkout"))
            self.assertTrue(os.path.exists(secret))

    def test_setuid_in_an_image(self):
        if os.geteuid() != 0:
            self.skipTest("needs ids beside root's")
        self.need(ROOT)
        image = self.image(ROOT)
        os.mkdir(image + "/srv/suid")
        shutil.copy(image + "/bin/busybox", image + "/srv/suid/su")
        os.chmod(image + "/srv/suid/su", 0o4755)
        s = self.run_image(ROOT, "grep -h Cap[EP] /proc/self/status; id -u; /srv/suid/su root -c id", root=image,
                           options=["-U", "node"])
        lines = s.log().splitlines()
        self.assertEqual([line.split()[1] for line in lines[:2]], ["0" * 16] * 2)
        self.assertEqual(lines[2], "1000")
        self.assertIn("must be suid", lines[3])

    def test_files_made_inside_are_nobodys_outside(self):
        for s in self.each():
            s.python("import os\nopen('/workspaces/app/x', 'w').close()\nos.chmod('/workspaces/app/x', 0o6777)\n")
            owner = os.stat(s.box + "/checkout/x").st_uid
            self.assertNotEqual(owner, 0)
            if s.who == ROOT:
                self.assertGreaterEqual(owner, sandboxcase.BASE)
            elif os.geteuid() == 0:
                self.assertEqual(owner, ORDINARY)

    def test_keys(self):
        for s in self.each():
            # By the numbers of generic headers and of x86-64.
            found = self.tries(s, r"""
import platform
base = {'x86_64': (248, 249, 250), 'aarch64': (217, 218, 219), 'riscv64': (217, 218, 219)}.get(platform.machine(), ())
for nr in base:
    tell('key%d' % nr, number(nr, 0, 0, 0, 0, 0))
""")
            self.all_are(found or {"keys": "EPERM"}, "EPERM")

    def test_surfaces_of_the_kernel(self):
        for s in self.each():
            found = self.tries(s, r"""
import platform
for name, nr in (('io_uring_setup', 425), ('io_uring_enter', 426), ('io_uring_register', 427)):
    tell(name, number(nr, 1, 0, 0, 0, 0, 0))
more = {'x86_64': (('bpf', 321), ('perf', 298), ('userfaultfd', 323), ('handle', 304), ('kexec', 246), ('module', 175),
                   ('finit', 313), ('reboot', 169), ('swapon', 167), ('acct', 163), ('iopl', 172)),
        'aarch64': (('bpf', 280), ('perf', 241), ('userfaultfd', 282), ('handle', 265), ('kexec', 104), ('module', 105),
                    ('finit', 273), ('reboot', 142), ('swapon', 224), ('acct', 89))}.get(platform.machine(), ())
for name, nr in more:
    tell(name, number(nr, 0, 0, 0, 0, 0, 0))
for family in (17, 38, 40, 44):
    tell('socket%d' % family, attempt(lambda: socket.socket(family, socket.SOCK_DGRAM)))
""")
            self.all_are(found, "EPERM", "ENOSYS", "EAFNOSUPPORT")

    def test_sockets_of_the_host(self):
        abstract = socket.socket(socket.AF_UNIX)
        abstract.bind(f"\0dr-test-{os.getpid()}")
        abstract.listen(5)
        self.addCleanup(abstract.close)
        tcp = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(tcp.close)
        code = f"""
def connect(family, where):
    with socket.socket(family) as s:
        s.connect(where)
tell('abstract', attempt(lambda: connect(socket.AF_UNIX, chr(0) + 'dr-test-{os.getpid()}')))
tell('loopback', attempt(lambda: connect(socket.AF_INET, ('127.0.0.1', {tcp.getsockname()[1]}))))
"""
        for s in self.each():
            self.all_are(self.tries(s, code), "ECONNREFUSED")
        described = common.run([common.BIN, "provider", "check", "native-provider"], env=common.clean_env(self.tmp))
        landlock = re.search(r"Landlock (\d+)", described.stdout + described.stderr)
        for s in self.each(net="host"):
            found = self.tries(s, code)
            self.assertEqual(found["loopback"], "done")  # it is the host's network that was asked for
            if landlock and int(landlock.group(1)) >= 6:
                self.assertEqual(found["abstract"], "EPERM")

    def test_memory_and_queues_of_the_host(self):
        made = common.run(["ipcmk", "-M", "4096", "-p", "0666"])
        number = re.search(r"(\d+)", made.stdout)
        if not number:
            self.skipTest("no ipcmk")
        self.addCleanup(common.run, ["ipcrm", "-m", number.group(1)])
        for s in self.each():
            self.assertNotIn("0x", s.enter("ipcs", "-m").stdout)
            self.assertEqual(s.enter("ls", "/dev/shm", "/dev/mqueue").stdout.split(), ["/dev/mqueue:", "/dev/shm:"])

    def test_descriptors_of_the_host(self):
        for s in self.each():
            found = s.python("import os\nfor pid in ('1', 'self'):\n"
                             "    for fd in os.listdir('/proc/%s/fd' % pid):\n"
                             "        try:\n            print(pid, fd, os.readlink('/proc/%s/fd/%s' % (pid, fd)))\n"
                             "        except OSError:\n            pass\n")
            for line in found.splitlines():
                pid, fd, to = line.split(" ", 2)
                self.assertTrue(int(fd) < 3 or re.match(r"anon_inode:|pipe:|socket:|/proc/", to), line)
                self.assertFalse(pid == "1" and int(fd) > 2 and to.startswith("/") and not to.startswith("/proc"), line)

    def test_the_terminal(self):
        for s in self.each():
            found = self.tries(s, r"""
import fcntl, pty, termios
master, slave = pty.openpty()
tell('type', attempt(lambda: fcntl.ioctl(slave, termios.TIOCSTI, b'x')))
""")
            self.all_are(found, "EPERM", "EIO")

    def test_new_privileges(self):
        for s in self.each():
            self.assertEqual(s.enter("sh", "-c", "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status /proc/1/status | "
                                                 "sed 's/.*://;s/\\s//g' | sort | uniq -c | tr -s ' '").stdout.split(),
                             ["2", "1", "2", "2"])
            bounding = int(s.enter("sh", "-c", "grep CapBnd /proc/self/status").stdout.split()[1], 16)
            for capability in (12, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36, 37, 38,
                               39, 40, 2, 9, 11):
                self.assertFalse(bounding >> capability & 1, capability)


class Table(common.Case):
    def test_each_line_has_its_test(self):
        with open(TABLE, encoding="utf-8") as file:
            named = re.findall(r"`sandbox_escape\.(test_[a-z0-9_]+)`", file.read())
        tests = [name for name in dir(Escape) if name.startswith("test_")]
        self.assertEqual(sorted(named), sorted(tests))


if __name__ == "__main__":
    sandboxcase.main()
