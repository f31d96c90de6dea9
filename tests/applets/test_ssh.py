# SPDX-License-Identifier: Apache-2.0
"""Logins into a workspace with the real OpenSSH client: what people, scp, rsync, git and editors do."""
import hashlib
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
from sshclient import SshCase  # noqa: E402

SERVE = os.path.join(os.environ.get("DR_TOOLS_DIR", ""), "ssh_serve")
SIZE = 20_000_000
SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server",
                "/usr/libexec/sftp-server")


class Ssh(SshCase):
    def setUp(self):
        super().setUp()
        self.proxy = [SERVE, self.public(self.key), self.checkout]

    def big(self, name="big"):
        path = self.path(name)
        with open(path, "wb") as file:
            file.write(os.urandom(SIZE))
        return path

    def same(self, one, other):
        with open(one, "rb") as a, open(other, "rb") as b:
            self.assertEqual(hashlib.sha256(a.read()).digest(), hashlib.sha256(b.read()).digest())


class Commands(Ssh):
    def test_command_and_status(self):
        done = self.ssh("pwd; echo $HOME; echo wrong >&2; exit 7")
        self.assertEqual(done.returncode, 7)
        self.assertEqual(done.stdout.decode().split(), [self.checkout, self.home])
        self.assertIn(b"wrong", done.stderr)

    def test_killed_by_a_signal(self):
        self.assertEqual(self.ssh("kill -9 $$").returncode, 255)

    def test_environment_is_the_workspaces(self):
        self.env["OF_THE_WORKSPACE"] = "a b"
        self.env["PATH"] = self.path("bin") + ":" + self.env["PATH"]
        out = self.ok(self.ssh('echo "$OF_THE_WORKSPACE"; echo "$PATH"; echo "$SSH_CONNECTION"')).decode().splitlines()
        self.assertEqual(out, ["a b", self.env["PATH"], "127.0.0.1 22 127.0.0.1 22"])

    def test_limit_of_files_is_the_workspaces(self):
        """The server keeps to what it can wait for, its commands have what they had."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < 4000:
            self.skipTest(f"only {hard} files may be open here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (4000, hard))
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        out = self.ok(self.ssh("ulimit -n; grep 'open files' /proc/$PPID/limits")).decode().split()
        self.assertEqual((out[0], out[4]), ("4000", "1024"), out)

    def test_any_name_is_our_user(self):
        for name in ("root", "vscode", "nobody-there"):
            out = self.ok(self.ssh("id -u", options=("-l", name)))
            self.assertEqual(int(out), os.getuid(), name)

    def test_one_id_and_no_account(self):
        """As root of a name space of one id, and as a number that no file knows."""
        common.need_unshare(self, "-U", "-r")
        plain = self.proxy
        self.proxy = ["unshare", "-U", "-r", *plain]
        self.assertEqual(self.ok(self.ssh("id -u")), b"0\n")
        done = self.ssh("tty", options=("-tt",))
        self.assertIn(done.returncode, (0, 1), done)
        if os.getuid() == 0 and shutil.which("setpriv"):
            for path in (self.tmp, self.home, self.checkout, os.path.join(self.home, ".daytona-agent")):
                os.chown(path, 54321, 54321)
            os.remove(os.path.join(self.home, ".daytona-agent", "ssh_host_key"))
            os.remove(self.path("known"))
            self.proxy = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", *plain]
            if subprocess.run([*self.proxy[:6], "test", "-x", SERVE], check=False).returncode:
                self.skipTest("another user cannot run the program where it is built")
            self.assertEqual(self.ok(self.ssh("id -u; id -G; pwd")).decode().split(), ["54321", "54321", self.checkout])

    def test_login_shell_reads_a_script(self):
        done = self.ssh(input=b"echo shell $0; exit 4\n")
        self.assertEqual(done.returncode, 4)
        self.assertIn(b"shell -", done.stdout)

    def test_terminal(self):
        done = self.ssh("stty size; tty; test -t 0 && test -t 1; exit $((3 + $?))", options=("-tt",))
        if b"not a tty" in done.stdout:
            self.skipTest("no terminals here")
        self.assertEqual(done.returncode, 3, done)
        self.assertIn(b"/dev/pts/", done.stdout)

    def test_terminal_outlives_input(self):
        """The end of the client's input does not hang up the terminal."""
        done = self.ssh("sleep 0.3; test -t 0 && tty >/dev/tty && exit 5", options=("-tt",), input=b"")
        if b"not a tty" in done.stdout:
            self.skipTest("no terminals here")
        self.assertEqual(done.returncode, 5, done)

    def test_long_output_and_input(self):
        with open(self.big(), "rb") as file:
            self.ok(self.ssh("cat >up", stdin=file))
        self.same(self.path("big"), os.path.join(self.checkout, "up"))
        self.assertEqual(hashlib.sha256(self.ok(self.ssh("cat up"))).digest(),
                         hashlib.sha256(open(self.path("big"), "rb").read()).digest())

    def test_editor_starts_its_server(self):
        """As remote editors do: a script by standard input of a shell, which leaves a server behind and says its port; the
        next connection forwards to it. The server is still there then."""
        script = f"""set -e
mkdir -p "$HOME/.editor" && cd "$HOME/.editor"
cat >server.py <<'X'
import socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
open("port.new", "w").write(str(s.getsockname()[1]))
__import__("os").rename("port.new", "port")
c, _ = s.accept(); c.sendall(b"editor " + c.recv(10)); c.close()
X
nohup {sys.executable} server.py >log 2>&1 </dev/null &
echo $! >pid
while ! test -e port; do sleep 0.05; done
echo "listeningOn==$(cat port)=="
"""
        shell = "bash" if shutil.which("bash") else "sh"
        out = self.ok(self.ssh(shell, "-s", input=script.encode()))
        with open(os.path.join(self.home, ".editor", "pid"), encoding="ascii") as file:
            pid = int(file.read())
        self.addCleanup(lambda: common.alive(pid) and os.kill(pid, 9))
        port = int(out.split(b"==")[1])
        self.assertTrue(common.alive(pid))
        self.assertEqual(self.ok(self.ssh(options=("-W", f"127.0.0.1:{port}"), input=b"hello")),
                         b"editor hello")

    def test_git(self):
        if not shutil.which("git"):
            self.skipTest("no git here")
        env = {**self.env, "GIT_SSH_COMMAND": f"ssh -F {self.config()}", "GIT_CONFIG_GLOBAL": "/dev/null"}
        for args in (("init", "-q", self.path("local")),
                     ("-C", self.path("local"), "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty",
                      "-m", "first"),
                     ("init", "-q", "--bare", os.path.join(self.checkout, "repo")),
                     ("-C", self.path("local"), "push", "-q", "ws:repo", "HEAD:main"),
                     ("clone", "-q", "-b", "main", "ws:repo", self.path("copy"))):
            common.run(["git", *args], env=env, check=True, timeout=60 * common.PATIENCE)
        self.assertEqual(common.run(["git", "-C", self.path("copy"), "log", "--format=%s"], env=env).stdout, "first\n")


class Files(Ssh):
    def test_scp(self):
        for option in ("-s", "-O"):
            big = self.big()
            self.ok(self.other("scp", option, "-q", big, "ws:copied"))
            self.same(big, os.path.join(self.checkout, "copied"))
            self.ok(self.other("scp", option, "-q", "ws:copied", self.path("back")))
            self.same(big, self.path("back"))

    def test_rsync(self):
        if not shutil.which("rsync"):
            self.skipTest("no rsync here")
        os.makedirs(self.path("tree", "deep"))
        self.big(os.path.join("tree", "deep", "file"))
        common.run(["rsync", "-a", "-e", f"ssh -F {self.config()}", self.path("tree"), "ws:"], env=self.env, check=True,
                   timeout=60 * common.PATIENCE)
        self.same(self.path("tree", "deep", "file"), os.path.join(self.checkout, "tree", "deep", "file"))

    def sftp(self, *commands, ours=False):
        batch = "\n".join(commands).encode() + b"\n"
        if ours:
            return subprocess.run(["sftp", "-q", "-b", "-", "-D", f"{SERVE} sftp"], input=batch, env=self.env,
                                  cwd=self.checkout, timeout=60 * common.PATIENCE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE)
        return self.other("sftp", "-q", "-b", "-", "ws", input=batch)

    def test_sftp(self):
        """Both servers: the image's, where there is one, and ours."""
        big = self.big()
        for ours in (False, True):
            out = self.ok(self.sftp("mkdir d", f"put {big} d/a", "chmod 640 d/a", "rename d/a d/b", "ln -s b d/link",
                                    "ln d/b d/hard", "ls -l d", f"get d/link {self.path('got')}", "rm d/hard", "rm d/link",
                                    "df", "pwd", f"put -p {big} d/kept", ours=ours)).decode()
            self.assertIn(self.checkout, out)
            self.assertRegex(out, r"lrwxrwxrwx .*link")
            self.assertRegex(out, r"-rw-r----- .*20000000")
            self.same(big, self.path("got"))
            kept = os.stat(os.path.join(self.checkout, "d", "kept"))
            self.assertEqual(int(kept.st_mtime), int(os.stat(big).st_mtime))
            self.assertEqual(sorted(os.listdir(os.path.join(self.checkout, "d"))), ["b", "kept"])
            self.assertNotEqual(self.sftp("rename d/b d/nowhere/x", ours=ours).returncode, 0)
            self.assertNotEqual(self.sftp("get d/nothing", ours=ours).returncode, 0)
            self.assertNotEqual(self.sftp("rmdir d", ours=ours).returncode, 0)
            shutil.rmtree(os.path.join(self.checkout, "d"))

    def test_ours_where_there_is_none(self):
        if any(os.access(path, os.X_OK) for path in SFTP_SERVERS):
            self.skipTest("this machine has an sftp-server")
        self.ok(self.sftp("pwd"))


class Forwards(Ssh):
    def echo(self):
        listener = socket.create_server(("127.0.0.1", 0))

        def each(conn):
            with conn:
                while data := conn.recv(65536):
                    conn.sendall(data)
        self.addCleanup(common.accept_each(listener, each))
        return listener.getsockname()[1]

    def talk(self, port):
        with socket.create_connection(("127.0.0.1", port), 20 * common.PATIENCE) as conn:
            data, got = os.urandom(1_000_000), b""
            threading.Thread(target=lambda: (conn.sendall(data), conn.shutdown(socket.SHUT_WR)), daemon=True).start()
            while piece := conn.recv(65536):
                got += piece
        self.assertEqual(hashlib.sha256(data).digest(), hashlib.sha256(got).digest())

    def test_local_and_remote(self):
        there = self.echo()
        for flag in ("-L", "-R"):
            port = common.free_port()
            process = self.ssh_start(options=("-N", "-o", "ExitOnForwardFailure=yes", flag, f"{port}:127.0.0.1:{there}"))
            common.wait_listens(port, "ssh", 20 * common.PATIENCE)
            self.talk(port)
            process.terminate()
            process.wait()

    def test_dynamic(self):
        """As editors do: a proxy (SOCKS 5) on the client's side."""
        there, port = self.echo(), common.free_port()
        self.ssh_start(options=("-N", "-D", str(port)))
        common.wait_listens(port, "ssh", 20 * common.PATIENCE)
        with socket.create_connection(("127.0.0.1", port), 20 * common.PATIENCE) as conn:
            conn.sendall(b"\x05\x01\0" + b"\x05\x01\0\x01\x7f\0\0\x01" + there.to_bytes(2, "big"))
            got = b""
            while len(got) < 12:
                got += conn.recv(12 - len(got))
            self.assertEqual(got[:4], b"\x05\0\x05\0")
            conn.sendall(b"through it")
            self.assertEqual(conn.recv(100), b"through it")

    def test_socket_of_a_file(self):
        path, port = os.path.join(self.checkout, "s"), common.free_port()
        listener = socket.socket(socket.AF_UNIX)
        os.chdir(self.checkout)  # its name may be longer than an address
        self.addCleanup(os.chdir, "/")
        listener.bind("s")
        listener.listen()
        self.addCleanup(common.accept_each(listener, lambda conn: (conn.sendall(b"from a file"), conn.close())))
        if len(path) > 100:
            self.skipTest("the path is too long for a socket")
        self.ssh_start(options=("-N", "-L", f"{port}:{path}"))
        common.wait_listens(port, "ssh", 20 * common.PATIENCE)
        with socket.create_connection(("127.0.0.1", port)) as conn:
            self.assertEqual(conn.recv(100), b"from a file")

    def test_agent_is_refused_unless_allowed(self):
        if not shutil.which("ssh-agent"):
            self.skipTest("no ssh-agent here")
        path = self.path("agent")
        agent = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
        self.addCleanup(agent.wait)
        self.addCleanup(agent.kill)
        common.wait_for(lambda: os.path.exists(path), 20 * common.PATIENCE, "ssh-agent")
        self.env["SSH_AUTH_SOCK"] = path
        self.proxy = ["env", "-u", "SSH_AUTH_SOCK", *self.proxy]
        options = ("-A", "-o", f"IdentityAgent={path}")
        self.assertEqual(self.ok(self.ssh("echo [$SSH_AUTH_SOCK]", options=options)), b"[]\n")
        self.env["DAYTONA_AGENT_SSH_FORWARD"] = "1"
        out = self.ok(self.ssh("test -S \"$SSH_AUTH_SOCK\" && echo $SSH_AUTH_SOCK", options=options)).decode().strip()
        self.assertTrue(out)
        self.assertFalse(os.path.exists(out), "left behind")


class Keys(Ssh):
    def test_another_key_is_refused(self):
        done = self.ssh("true", key=self.make_key("other"))
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"Permission denied (publickey)", done.stderr)

    def test_request_without_a_good_key(self):
        blob = self.public(self.key).split()[1]
        for key in ("", "ssh-ed25519", "ssh-ed25519 AAAA", f"command=\"id\" ssh-ed25519 {blob}", f"ssh-rsa {blob}",
                    f"ssh-ed25519 {blob}\nssh-ed25519 {blob}", f"ssh-ed25519 {blob[:-4]}", "ssh-ed25519 " + "A" * 5000,
                    f"ssh-ed25519 {blob} no-pty"):
            done = subprocess.run([SERVE, key, self.checkout], env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, timeout=20 * common.PATIENCE)
            self.assertEqual(done.stdout, b"", key)
            self.assertIn(b"the public key is none", done.stderr, key)

    def test_client_key(self):
        """Made once, as OpenSSH wants it, also by two at once."""
        path = self.path("made")
        runs = [subprocess.Popen([SERVE, "key", path], env=self.env, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        lines = {run.communicate()[0] for run in runs}
        self.assertEqual(len(lines), 1)
        line = lines.pop().strip()
        self.assertEqual(common.run(["ssh-keygen", "-y", "-f", path], check=True).stdout.split()[:2], line.split())
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(len([name for name in os.listdir(self.tmp) if name.startswith("made")]), 1)
        self.proxy = [SERVE, line, self.checkout]
        self.ok(self.ssh("true", key=path))
        for text in ("", "x" * 20000, "-----BEGIN\n" + "A" * 400):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            self.assertEqual(common.run([SERVE, "key", path], env=self.env).returncode, 1)
        common.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", self.path("closed")], check=True)
        self.assertIn("without a pass phrase", common.run([SERVE, "key", self.path("closed")], env=self.env).stdout)

    def test_host_key_is_made_once_and_kept(self):
        path = os.path.join(self.home, ".daytona-agent", "ssh_host_key")
        runs = [self.ssh_start("true") for _ in range(3)]  # at once
        self.assertEqual([run.wait() for run in runs].count(0), 3)
        with open(path, "rb") as file:
            first = file.read()
        self.assertEqual((len(first), stat.S_IMODE(os.stat(path).st_mode)), (64, 0o600))
        self.ok(self.ssh("true"))
        with open(path, "rb") as file:
            self.assertEqual(file.read(), first)
        os.truncate(path, 10)  # as a crash would leave it
        self.assertEqual(self.ssh("true").returncode, 255)  # another key
        os.remove(self.path("known"))
        self.ok(self.ssh("true"))

    def test_host_key_that_others_read(self):
        path = os.path.join(self.home, ".daytona-agent", "ssh_host_key")
        self.ok(self.ssh("true"))
        os.chmod(path, 0o644)
        done = self.ssh("true")
        self.assertEqual(done.returncode, 255)
        self.assertIn(b"others may read it", done.stderr)

    def test_algorithms(self):
        """Nothing older than what docs/security.md names."""
        done = self.ssh("true", options=("-vv",))
        text = done.stderr.decode()
        offers = text[text.index("peer server KEXINIT proposal"):]

        def offered(name):
            line = next(line for line in offers.splitlines() if f"debug2: {name}:" in line)
            return set(line.strip().rsplit(": ", 1)[1].split(","))
        self.assertLessEqual(offered("KEX algorithms"),
                             {"sntrup761x25519-sha512", "sntrup761x25519-sha512@openssh.com", "curve25519-sha256",
                              "curve25519-sha256@libssh.org", "kexguess2@matt.ucc.asn.au", "kex-strict-s-v00@openssh.com"})
        self.assertEqual(offered("host key algorithms"), {"ssh-ed25519"})
        self.assertEqual(offered("ciphers ctos"), {"chacha20-poly1305@openssh.com", "aes128-ctr", "aes256-ctr"})
        self.assertEqual(offered("MACs ctos"), {"hmac-sha2-256"})
        self.assertEqual(offered("compression ctos"), {"none"})
        for option in ("Ciphers=aes256-ctr", "Ciphers=aes128-ctr", "KexAlgorithms=curve25519-sha256"):
            self.ok(self.ssh("true", options=("-o", option)))
        for option in ("Ciphers=aes128-cbc", "Ciphers=aes128-gcm@openssh.com", "MACs=hmac-sha1",
                       "KexAlgorithms=diffie-hellman-group14-sha256"):
            extra = ("-o", "Ciphers=aes256-ctr") if option.startswith("MACs") else ()
            self.assertEqual(self.ssh("true", options=("-o", option, *extra)).returncode, 255, option)


class Ends(Ssh):
    def gone(self, pid):
        common.wait_for(lambda: not common.alive(pid), 20 * common.PATIENCE, f"process {pid}")

    def started(self):
        path = os.path.join(self.checkout, "pids")
        common.wait_for(lambda: os.path.exists(path), 20 * common.PATIENCE, "the command")
        with open(path, encoding="ascii") as file:
            return [int(word) for word in file.read().split()]

    def test_client_that_is_killed(self):
        """Its command ends, with or without a terminal, and what the command started."""
        for options in ((), ("-tt",)):
            process = self.ssh_start("sleep 1000 & echo $$ $! >p; mv p pids; cat >/dev/null; sleep 1000", options=options,
                                     stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            pids = self.started()
            process.kill()
            process.wait()
            for pid in pids:
                self.gone(pid)
            os.remove(os.path.join(self.checkout, "pids"))

    def test_server_that_is_killed(self):
        process = self.ssh_start("echo $$ $PPID >p; mv p pids; exec sleep 1000", stderr=subprocess.DEVNULL)
        command, server = self.started()
        os.kill(server, 9)
        self.assertEqual(process.wait(20 * common.PATIENCE), 255)
        self.gone(command)

    def test_hostile_client(self):
        """What is no ssh, ends without a word, or never ends its line."""
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" + b"\xff" * 5000, b"SSH-2.0-" + b"x" * 100_000,
                     b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x0a\x14" + bytes(1000), b"SSH-2.0-x\n" + os.urandom(60_000)):
            done = subprocess.run(self.proxy, env=self.env, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=30 * common.PATIENCE)
            self.assertIsNone(common.SANITIZER.search(done.stderr.decode(errors="replace")), done.stderr)

    def test_a_new_owner_takes_no_mode_away(self):
        """Both are in one message, and a change of the owner takes set-id bits away."""
        if os.getuid() != 0:
            self.skipTest("needs root")
        path = os.path.join(self.checkout, "tool")
        with open(path, "wb"):
            pass
        name = path.encode()
        body = b"\x09\0\0\0\x01" + len(name).to_bytes(4, "big") + name + b"".join(n.to_bytes(4, "big") for n in (2 | 4, 54321, 54322, 0o106751))
        subprocess.run([SERVE, "sftp"], input=b"\0\0\0\x05\x01\0\0\0\x03" + len(body).to_bytes(4, "big") + body, env=self.env,
                       stdout=subprocess.DEVNULL, check=True, timeout=20 * common.PATIENCE)
        st = os.stat(path)
        self.assertEqual((st.st_uid, st.st_gid, st.st_mode & 0o7777), (54321, 54322, 0o6751))

    def test_hostile_sftp(self):
        """Lengths that lie, types that are none, handles that nobody gave."""
        init = b"\0\0\0\x05\x01\0\0\0\x03"
        for packet, answers in ((b"\0\0\0\0", 2), (b"\0\0\0\x01\x63", 2), (b"\0\0\0\x05\x63abcd", 2),
                                (b"\0\0\0\x0d\x04\0\0\0\x01\0\0\0\x04\0\0\0\x63", 2), (b"\xff\xff\xff\xff", 1),
                                (b"\0\0\0\x0b\x11\0\0\0\x01\0\0\xff\xffab", 2), (b"\0\0\x10\0\x11", 1),
                                (b"\0\0\0\x0c\x11\0\0\0\x01\0\0\0\x03a\0b", 2)):
            done = subprocess.run([SERVE, "sftp"], input=init + packet, env=self.env, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, cwd=self.checkout, timeout=20 * common.PATIENCE)
            self.assertIsNone(common.SANITIZER.search(done.stderr.decode(errors="replace")), done.stderr)
            count, rest = 0, done.stdout
            while len(rest) >= 4:
                rest = rest[4 + int.from_bytes(rest[:4], "big"):]
                count += 1
            self.assertEqual((count, rest), (answers, b""), packet)


if __name__ == "__main__":
    if not os.access(SERVE, os.X_OK):
        common.skip_all("DR_TOOLS_DIR has no ssh_serve")
    if "built without ssh" in common.run([SERVE, "ssh-ed25519 x", "/"]).stderr:
        common.skip_all("built without ssh")
    common.main()
