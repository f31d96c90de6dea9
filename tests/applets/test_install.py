# SPDX-License-Identifier: Apache-2.0
"""share/install.sh in dash, bash and busybox sh: downloads, truncation, upgrade, removal."""
import hashlib
import io
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, Case, PATIENCE, run, run_tests, wait_for  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402
from httppeer import Peer, close, hang, normal, raw, reply  # noqa: E402

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "share", "install.sh")
SHELLS = [name for name in (["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(name[0])]
ARCH = {"x86_64": "x86_64", "aarch64": "aarch64", "armv7l": "armv7", "riscv64": "riscv64"}.get(os.uname().machine)
NAME = f"daytona-runner-linux-{ARCH}"


def program(version, extra=""):
    """A stand-in for the executable: knows --version and keeps a record of its calls."""
    return (f"#!/bin/sh\ncase $1 in\n--version) echo 'daytona-runner {version} (test)' ;;\n"
            f"{extra}\n--install) ln -s daytona-runner \"$3/daytona-runner-serve\" ;;\n"
            "*) exit 1 ;;\nesac\n").encode()


def running(jobs):
    return ("status) echo '{ \"running\": true, \"running_jobs\": %d, \"x\": 1 }' ;;\n"
            "restart | stop) echo $1 >>\"$0.calls\" ;;" % jobs)


def tarball(content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        member = tarfile.TarInfo("daytona-runner-1.1.0/daytona-runner")
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


class Downloads(Peer):
    """Serves one version of the file and its hash."""

    def __init__(self):
        super().__init__()
        self.files = {}

    def put(self, path, content, sums=True):
        self.files[path + "/" + NAME] = content
        if sums:
            text = f"{'0' * 64}  other\n{hashlib.sha256(content).hexdigest()}  {NAME}\n"
            self.files[path + "/SHA256SUMS"] = text.encode()

    def handle(self, conn, request):
        if request.path in self.files:
            return reply(200, self.files[request.path], "application/octet-stream")(conn, request)
        return reply(404, "<html>not here</html>", "text/html")(conn, request)


class InstallTest(Case):
    def setUp(self):
        super().setUp()
        self.home = self.path("home")
        self.bin = self.path("my bin")
        os.mkdir(self.home)
        os.mkdir(self.bin)
        self.target = os.path.join(self.bin, "daytona-runner")
        self.peer = Downloads().start()
        self.addCleanup(self.peer.stop)
        self.peer.put("/download", program("1.0.0"))

    def env(self, **extra):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": self.home, "LC_ALL": "C"}
        env.update(extra)
        return {k: v for k, v in env.items() if v is not None}

    def install(self, *args, shell=("dash",), env=None, timeout=60 * PATIENCE, where=True, **kwargs):
        args = [*(["--bin-dir", self.bin] if where else []), *args]
        return run([*shell, SCRIPT, *args], env=env or self.env(), timeout=timeout, **kwargs)

    def url(self, path="/download"):
        return self.peer.url + path

    def everything(self, top=None):
        found = []
        for base, dirs, files in os.walk(top or self.tmp):
            found += [os.path.join(base, name) for name in dirs + files]
        return sorted(found)

    def version(self):
        return run([self.target, "--version"]).stdout.split()[1]

    def test_piped_into_every_shell(self):
        with open(SCRIPT, "rb") as file:
            text = file.read()
        for shell in SHELLS:
            with self.subTest(shell=shell):
                result = subprocess.run([*shell, "-s", "--", "--base-url", self.url()], input=text,
                                        env=self.env(DAYTONA_RUNNER_BIN_DIR=self.bin),
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * PATIENCE)
                self.assertEqual(result.returncode, 0, result.stdout)
                self.assertEqual(os.listdir(self.bin), ["daytona-runner"])
                self.assertEqual(stat.S_IMODE(os.stat(self.target).st_mode), 0o755)
                self.assertIn(self.target.encode(), result.stdout)
                self.assertIn(b"is not in PATH", result.stdout)
                os.unlink(self.target)

    def test_address_put_in_by_a_server(self):
        with open(SCRIPT, encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(text.count("@BASE_URL@"), 1)
        script = self.path("served.sh")
        with open(script, "w", encoding="utf-8") as file:
            file.write(text.replace("@BASE_URL@", self.url()))
        result = run(["dash", script, "--bin-dir", self.bin], env=self.env())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.version(), "1.0.0")

    def test_cut_at_every_byte_does_nothing(self):
        with open(SCRIPT, "rb") as file:
            text = file.read()
        env = self.env(DAYTONA_RUNNER_BIN_DIR=self.bin, DAYTONA_RUNNER_BASE_URL=self.url())
        before = self.everything()
        steps = (1, 1, 1) if os.environ.get("DAYTONA_RUNNER_LONG") else (5, 23, 23)
        for shell, step in zip(SHELLS, steps):
            edges = set(range(400)) | set(range(len(text) - 400, len(text))) if shell == ["dash"] else \
                set(range(len(text) - 40, len(text)))
            for size in sorted(set(range(0, len(text), step)) | edges):
                process = subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL, env=env, cwd=self.tmp)
                try:
                    process.stdin.write(text[:size])
                    process.stdin.close()
                except BrokenPipeError:
                    pass
                self.assertEqual(process.wait(20 * PATIENCE) == 0, size <= text.index(b"{\n"), size)
        self.assertEqual(self.everything(), before)
        self.assertEqual(self.peer.accepted, 0)

    def test_curl_only_wget_only_busybox_only_neither(self):
        tools = "cat chmod cp dash head id kill ln mkdir mv readlink rm sha256sum sleep sync tr uname grep tar".split()
        for kind in ("curl", "wget", "busybox", "neither"):
            with self.subTest(kind=kind):
                path = self.path("tools-" + kind)
                os.mkdir(path)
                if kind == "busybox":
                    shutil.copy(shutil.which("busybox"), path)
                    run([path + "/busybox", "--install", "-s", path], check=True)
                    shell = [path + "/busybox", "sh"]
                else:
                    for name in tools + ([kind] if kind != "neither" else []):
                        os.symlink(shutil.which(name), os.path.join(path, name))
                    shell = [path + "/dash"]
                result = self.install("--base-url", self.url(), shell=shell, env=self.env(PATH=path))
                if kind == "neither":
                    self.assertEqual(result.returncode, 1)
                    self.assertIn("--offline FILE", result.stderr)
                    self.assertEqual(os.listdir(self.bin), [])
                    continue
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertEqual(self.version(), "1.0.0")
                os.unlink(self.target)

    def test_a_helper_that_holds_the_file_open_for_a_moment(self):
        path = self.path("tools")
        os.mkdir(path)
        with open(path + "/curl", "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{shutil.which('curl')} \"$@\" || exit\n{{ sleep 0.5; }} &\n")
        os.chmod(path + "/curl", 0o755)
        result = self.install("--base-url", self.url(), env=self.env(PATH=path + ":/usr/bin:/bin"))
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_offline_executable_and_tarball(self):
        file = self.path("daytona-runner-1.0.0")
        with open(file, "wb") as out:
            out.write(program("1.0.0"))
        packed = self.path("daytona-runner-1.1.0.tar.gz")
        with open(packed, "wb") as out:
            out.write(tarball(program("1.1.0")))
        with open(self.path("SHA256SUMS"), "w", encoding="utf-8") as sums:
            for name in (file, packed):
                with open(name, "rb") as data:
                    sums.write(f"{hashlib.sha256(data.read()).hexdigest()} *{os.path.basename(name)}\n")
        for shell in SHELLS:
            for name, version in ((file, "1.0.0"), (packed, "1.1.0")):
                with self.subTest(shell=shell, name=name):
                    result = self.install("--offline", name, shell=shell)
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(self.version(), version)
        with open(file, "ab") as out:
            out.write(b"#\n")
        result = self.install("--offline", file)
        self.assertEqual(result.returncode, 1)
        self.assertIn("wrong SHA-256", result.stderr)
        self.assertEqual(self.version(), "1.1.0")
        self.assertEqual(self.peer.accepted, 0)

    def test_wrong_hash_changes_nothing(self):
        self.install("--base-url", self.url())
        self.peer.put("/new", program("2.0.0"))
        cases = (("/download", ["--sha256", "ab" * 32]), ("/bad", []), ("/gone", []), ("/html", []))
        self.peer.files["/bad/" + NAME] = program("6.6.6")
        self.peer.files["/bad/SHA256SUMS"] = self.peer.files["/new/SHA256SUMS"]
        self.peer.files["/html/SHA256SUMS"] = b"<html>sign in</html>"
        for path, args in cases:
            with self.subTest(path=path):
                result = self.install("--base-url", self.url(path), *args)
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertTrue(result.stderr.startswith(("install: ", "curl: ")), result.stderr)
                self.assertEqual(os.listdir(self.bin), ["daytona-runner"])
                self.assertEqual(self.version(), "1.0.0")

    def test_what_is_checked_is_what_is_installed(self):
        """Somebody who can write to the file puts the right one there when it is about to be checked."""
        tools, right = self.path("tools"), program("2.0.0")
        os.mkdir(tools)
        for name, pack in (("file", bytes), ("file.tar.gz", tarball)):
            given, good = self.path(name), self.path("good-" + name)
            for path, content in ((given, b"#!/bin/sh\necho daytona-runner 6.6.6\n"), (good, right)):
                with open(path, "wb") as file:
                    file.write(pack(content))
            with open(good, "rb") as file:
                wanted = hashlib.sha256(file.read()).hexdigest()
            with open(os.path.join(tools, "sha256sum"), "w", encoding="ascii") as file:
                file.write(f"#!/bin/sh\ncat '{good}' >'{given}'\nexec /usr/bin/sha256sum\n")
            os.chmod(os.path.join(tools, "sha256sum"), 0o755)
            for shell in SHELLS:
                result = self.install("--offline", given, "--sha256", wanted, shell=shell,
                                      env=self.env(PATH=tools + ":/usr/bin:/bin"))
                self.assertEqual((result.returncode, "wrong SHA-256" in result.stderr), (1, True), result)
                self.assertEqual(os.listdir(self.bin), [])
                with open(given, "wb") as file:
                    file.write(pack(b"#!/bin/sh\necho daytona-runner 6.6.6\n"))

    def test_download_that_breaks_off_is_repeated(self):
        body = self.peer.files["/download/" + NAME]
        half = raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:40], then="close")
        self.peer.on("GET", "/download/" + NAME, half, close(), normal())
        result = self.install("--base-url", self.url())
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.version(), "1.0.0")
        self.assertEqual(len(self.peer.seen("GET", "/download/" + NAME)), 3)

    def test_signal_in_the_middle_leaves_nothing(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for shell in SHELLS:
                rule = self.peer.on("GET", "/download/" + NAME, hang(), forever=True)
                before = len(self.peer.seen("GET", "/download/" + NAME))
                process = subprocess.Popen([*shell, SCRIPT, "--bin-dir", self.bin, "--base-url", self.url()],
                                           env=self.env(), stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                self.peer.wait_requests("GET", "/download/" + NAME, before + 1)
                process.send_signal(number)
                self.assertNotEqual(process.wait(15 * PATIENCE), 0)
                wait_for(lambda: os.listdir(self.bin) == [], 5 * PATIENCE, lambda: os.listdir(self.bin))
                self.peer.drop(rule)

    def test_left_over_of_a_killed_run_is_removed(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        stale = os.path.join(self.bin, f".daytona-runner.new.{gone.pid}")
        mine = os.path.join(self.bin, f".daytona-runner.new.{os.getpid()}")
        for name in (stale, stale + ".sums", mine):
            with open(name, "w", encoding="utf-8") as file:
                file.write("x")
        self.assertEqual(self.install("--base-url", self.url()).returncode, 0)
        self.assertEqual(sorted(os.listdir(self.bin)), sorted([os.path.basename(mine), "daytona-runner"]))

    def test_upgrade_keeps_one_old_copy(self):
        for version in ("1.0.0", "2.0.0", "3.0.0"):
            self.peer.put("/download", program(version))
            self.assertEqual(self.install("--base-url", self.url()).returncode, 0)
        self.assertEqual(sorted(os.listdir(self.bin)), ["daytona-runner", "daytona-runner.old"])
        self.assertEqual(self.version(), "3.0.0")
        self.assertIn("2.0.0", run([self.target + ".old", "--version"]).stdout)

    def test_a_second_time_changes_nothing(self):
        self.bin = self.path("made", "of", "two parts")
        self.target = os.path.join(self.bin, "daytona-runner")
        self.peer.put("/download", program("1.0.0", running(0)))
        first = self.install("--base-url", self.url())
        self.assertEqual(first.returncode, 0, first.stderr)
        self.assertIn(f"remove it with: sh '{SCRIPT}' --uninstall --bin-dir '{self.bin}'", first.stdout)
        os.unlink(self.target + ".calls")
        before = [(x, os.stat(x).st_ino, os.stat(x).st_mtime_ns) for x in self.everything(self.bin)]
        file = self.path("copy")
        with open(file, "wb") as out:
            out.write(self.peer.files["/download/" + NAME])
        fetched = len(self.peer.seen("GET", "/download/" + NAME))
        for shell in SHELLS:
            for args in (["--base-url", self.url()], ["--offline", file]):
                again = self.install(*args, shell=shell)
                self.assertEqual(again.returncode, 0, again.stderr)
                self.assertIn("is version 1.0.0 already, nothing is changed", again.stdout)
                self.assertEqual([(x, os.stat(x).st_ino, os.stat(x).st_mtime_ns) for x in self.everything(self.bin)], before)
        self.assertEqual(len(self.peer.seen("GET", "/download/" + NAME)), fetched)
        os.chmod(self.target, 0o600)  # not one that can be used
        self.assertEqual(self.install("--base-url", self.url()).returncode, 1)
        self.assertEqual(self.install("--base-url", self.url(), "--force").returncode, 0)
        self.assertEqual(self.version(), "1.0.0")
        line = first.stdout.split("remove it with: ")[1].splitlines()[0]
        self.assertEqual(run(["dash", "-c", line], env=self.env()).returncode, 0)
        self.assertEqual(os.listdir(self.bin), ["daytona-runner.calls"])

    def test_how_to_remove_what_came_by_a_pipe(self):
        with open(SCRIPT, encoding="utf-8") as file:
            text = file.read()
        for base in (self.url(), self.url("/")[:-1]):
            result = subprocess.run(["dash"], input=text.replace("@BASE_URL@", base).encode(), timeout=60 * PATIENCE,
                                    env=self.env(DAYTONA_RUNNER_BIN_DIR=self.bin, DAYTONA_RUNNER_BASE_URL=self.url()),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertIn(f"curl -fsS {self.peer.url}/install.sh | sh -s -- --uninstall --bin-dir '{self.bin}'",
                          result.stdout.decode())

    def test_it_offers_to_start(self):
        more = ("config) echo '{ \"fileExists\": true }' ;;\nservice | start) echo $* >>\"$0.calls\" ;;")
        self.peer.put("/download", program("1.0.0", more))
        began = re.compile(r"\A(service install --start|start)\n\Z")
        log = self.target + ".calls"
        for answer, starts in (("", False), ("n", False), ("y", True), ("Yes", True)):
            term = Terminal(self, ["/bin/sh", SCRIPT, "--bin-dir", self.bin, "--base-url", self.url()],
                            self.env(TERM="dumb"))
            term.expect(r"start the runner now.*\[y/N\] ")
            term.send(answer + "\n")
            self.assertEqual(term.wait(), 0, term.text())
            self.assertEqual(os.path.exists(log), starts, answer)
            if starts:
                with open(log, encoding="utf-8") as file:
                    self.assertRegex(file.read(), began)
                os.unlink(log)
        self.assertEqual(self.install("--base-url", self.url()).returncode, 0)  # no terminal: no question
        self.assertFalse(os.path.exists(log))
        self.assertEqual(self.install("--base-url", self.url(), "--start").returncode, 0)
        with open(log, encoding="utf-8") as file:
            self.assertRegex(file.read(), began)

    def test_version_has_its_own_folder(self):
        self.peer.put("/download/0.9.0", program("0.9.0"))
        self.assertEqual(self.install("--base-url", self.url() + "/", "--version", "0.9.0").returncode, 0)
        self.assertEqual(self.version(), "0.9.0")

    def test_idle_runner_is_restarted_busy_one_is_not(self):
        for jobs, args, calls, text in ((0, [], ["restart"], "was restarted"), (3, [], [], "busy"),
                                        (10, [], [], "busy"), (0, ["--no-restart"], [], "old version")):
            with self.subTest(jobs=jobs, args=args):
                self.peer.put("/download", program("1.0.0", running(jobs)))
                result = self.install("--base-url", self.url(), *args)
                self.assertEqual(result.returncode, 0, result.stderr)
                self.assertIn(text, result.stdout)
                log = self.target + ".calls"
                made = []
                if os.path.exists(log):
                    with open(log, encoding="utf-8") as file:
                        made = file.read().split()
                self.assertEqual(made, calls)
                for name in os.listdir(self.bin):
                    os.unlink(os.path.join(self.bin, name))

    def test_links_and_uninstall(self):
        self.assertEqual(self.install("--base-url", self.url(), "--links").returncode, 0)
        self.assertTrue(os.path.islink(os.path.join(self.bin, "daytona-runner-serve")))
        os.symlink("/bin/true", os.path.join(self.bin, "neighbour-link"))
        with open(os.path.join(self.bin, "neighbour"), "w", encoding="utf-8") as file:
            file.write("mine")
        for shell in SHELLS:
            result = self.install("--uninstall", shell=shell)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(sorted(os.listdir(self.bin)), ["neighbour", "neighbour-link"])
        self.assertIn("nothing more to do", result.stdout)

    def test_foreign_file_is_left_alone(self):
        with open(self.target, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho something else\n")
        os.chmod(self.target, 0o755)
        for args in (["--base-url", self.url()], ["--uninstall"]):
            result = self.install(*args)
            self.assertEqual(result.returncode, 1)
            self.assertIn("not daytona-runner", result.stderr)
            self.assertIn("something else", run([self.target]).stdout)
            self.assertEqual(os.listdir(self.bin), ["daytona-runner"])
        self.assertEqual(self.install("--base-url", self.url(), "--force").returncode, 0)
        self.assertEqual(self.version(), "1.0.0")

    def test_targets_that_cannot_work_are_named_before_any_download(self):
        file = self.path("file")
        open(file, "w", encoding="utf-8").close()
        os.mkdir(self.path("holder"))
        os.mkdir(self.path("holder", "daytona-runner"))
        cases = [["--bin-dir", file], ["--bin-dir", os.path.join(file, "below")],
                 ["--bin-dir", self.path("holder")], ["--prefix", self.path("missing")],
                 ["--base-url", "ftp://x/y"], ["--base-url", ""], ["--bin-dir"], ["--bin-dir="]]
        if os.path.isdir("/proc/1"):
            cases.append(["--bin-dir", "/proc/self"])
        for args in cases:
            with self.subTest(args=args):
                result = self.install("--base-url", self.url(), *args)
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertTrue(result.stderr.startswith("install: "), result.stderr)
        self.assertEqual(self.install("--nonsense").returncode, 2)
        self.assertEqual(self.install(where=False, env=self.env(HOME=None, DAYTONA_RUNNER_BASE_URL=self.url()))
                         .returncode if os.getuid() else 1, 1)
        self.assertEqual(self.peer.accepted, 0)

    def test_defaults_for_an_ordinary_user(self):
        if os.getuid() != 0:
            self.skipTest("needs root to become another user")
        for path in (self.home, self.tmp):
            os.chown(path, 1001, 1001)
        result = self.install("--base-url", self.url(), where=False, user=1001, group=1001)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.target = os.path.join(self.home, ".local", "bin", "daytona-runner")
        self.assertEqual(self.version(), "1.0.0")
        os.chmod(self.bin, 0o755)
        result = self.install("--base-url", self.url(), user=1001, group=1001)
        self.assertEqual(result.returncode, 1)
        self.assertIn("cannot write to", result.stderr)
        self.assertEqual(os.listdir(self.bin), [])

    def test_tmp_is_not_needed(self):
        """Nothing is staged in or run from /tmp: TMPDIR points at nothing, and a full run in a mount
        namespace with /tmp read-only and noexec works."""
        result = self.install("--base-url", self.url(), env=self.env(TMPDIR="/no/such dir"))
        self.assertEqual(result.returncode, 0, result.stderr)
        script = ('mount -t tmpfs -o ro,noexec tmpfs /tmp 2>/dev/null || exit 77; '
                  'exec dash "$0" --bin-dir "$1" --base-url "$2"')
        outside = f"/var/tmp/dr-install-{os.getpid()}"
        os.mkdir(outside)
        self.addCleanup(shutil.rmtree, outside)
        copy = os.path.join(outside, "install.sh")
        shutil.copy(SCRIPT, copy)
        result = run(["unshare", "-m", "dash", "-c", script, copy, outside, self.url()], env=self.env())
        if result.returncode == 77 or "unshare" in result.stderr:
            self.skipTest("no mount namespace here")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(sorted(os.listdir(outside)), ["daytona-runner", "install.sh"])

    def test_program_that_cannot_run_here_is_not_put_in_place(self):
        self.install("--base-url", self.url())
        self.peer.put("/download", b"\x7fELF not for this machine")
        result = self.install("--base-url", self.url())
        self.assertEqual(result.returncode, 1)
        self.assertIn("does not run on this machine", result.stderr)
        self.assertEqual(self.version(), "1.0.0")

    def test_signature(self):
        key, public = self.path("key.pem"), self.path("public.pem")
        run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key], check=True)
        run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
        content, name = self.peer.files["/download/" + NAME], self.path("content")
        with open(name, "wb") as file:
            file.write(content)
        run(["openssl", "dgst", "-sha256", "-sign", key, "-out", name + ".sig", name], check=True)
        with open(name + ".sig", "rb") as file:
            self.peer.files[f"/download/{NAME}.sig"] = file.read()
        for args in (["--base-url", self.url()], ["--offline", name]):
            self.assertEqual(self.install("--public-key", public, *args).returncode, 0)
        self.peer.put("/download", content + b"# changed\n")
        result = self.install("--public-key", public, "--base-url", self.url())
        self.assertEqual(result.returncode, 1)
        self.assertIn("signature", result.stderr)

    @unittest.skipUnless(BIN, "no executable")
    def test_the_real_executable_over_its_running_self(self):
        with open(BIN, "rb") as file:
            self.peer.put("/download", file.read())
        env = self.env(DAYTONA_RUNNER_CONFIG_DIR=self.path("conf"))
        result = self.install("--base-url", self.url(), "--links", timeout=120 * PATIENCE, env=env)
        self.assertEqual(result.returncode, 0, result.stderr)
        copy = subprocess.Popen([self.target, "server", "--listen", "127.0.0.1:0", "--data", self.path("data")],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.env(), text=True)
        self.addCleanup(copy.stdout.close)
        self.addCleanup(copy.wait)
        self.addCleanup(copy.kill)
        served = copy.stdout.readline().split()[-1]
        # It hands out this script and itself, and that goes over the running file.
        with urllib.request.urlopen(served + "/install.sh", timeout=20 * PATIENCE) as answer:
            script = answer.read()
        for shell in SHELLS:
            result = subprocess.run([*shell, "-s", "--", "--links"], input=script, timeout=120 * PATIENCE,
                                    env={**env, "DAYTONA_RUNNER_BIN_DIR": self.bin}, stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT)
            self.assertEqual(result.returncode, 0, result.stdout)
            self.assertIn(served.encode(), result.stdout)
            self.assertIsNone(copy.poll())
        with open(self.target, "rb") as mine, open(BIN, "rb") as theirs:
            self.assertEqual(mine.read(), theirs.read())
        self.assertTrue(os.path.islink(os.path.join(self.bin, "daytona-runner-serve")) or
                        os.path.islink(os.path.join(self.bin, "serve")), os.listdir(self.bin))
        result = self.install("--uninstall")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(os.listdir(self.bin), [])


if __name__ == "__main__":
    run_tests()
