# SPDX-License-Identifier: Apache-2.0
"""What black-box tests share: the executable, private directories, a runner under test, waiting for
conditions, certificates. A test never sleeps to synchronise: it waits for a condition with a limit."""
import fcntl
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

BIN = os.environ.get("DAYTONA_RUNNER_BIN", "")
SKIP = 77
# Sanitized builds on a busy machine are slow; limits are about hanging, not about speed: nothing waits for their end
# unless it fails.
PATIENCE = float(os.environ.get("DAYTONA_RUNNER_TEST_PATIENCE", "10"))
CLOCKS = 0.01       # seconds by which ours and one that counts whole milliseconds may differ about the same time
SANITIZER = re.compile(r"(ERROR: (Address|Leak)Sanitizer|runtime error:|AddressSanitizer:).*")


class Result(unittest.TextTestResult):
    """Says of each skipped test why, in the form that scripts/test lists."""

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        # Some cases have an id of their own, which hides unittest's.
        name = unittest.TestCase.id(test) if isinstance(test, Case) else test.id()
        # On a line of its own: the runner writes its dots in between.
        print(f"\nskipped: {name.removeprefix('__main__.')}: {reason}", flush=True)


def main():
    """Runs the file's tests; without an executable they are skipped as a whole."""
    if not BIN or not os.access(BIN, os.X_OK):
        skip_all("DAYTONA_RUNNER_BIN names no executable")
    run_tests()


def run_tests():
    """unittest.main, with the reasons of what is skipped."""
    unittest.main(testRunner=unittest.TextTestRunner(verbosity=1, resultclass=Result))


def skip_all(why):
    """Ends the file as skipped; scripts/test shows the last line."""
    print(why, flush=True)
    sys.exit(SKIP)


def is_static(path):
    """Whether the executable needs no loader."""
    with open(path, "rb") as file:
        return b"ld-linux" not in file.read(4096)


def accept_each(listener, each):
    """Calls each(connection) in a thread for whoever connects. Returns what ends that: nothing accepts any more then, also
    not for the next socket that gets the same number."""
    def loop():
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=each, args=(conn,), daemon=True).start()

    def stop():
        if listener.fileno() < 0:
            return
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    return stop


def wait_for(condition, timeout, what):
    """Returns condition()'s first true value; fails after timeout seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.01)


def wait_listens(port, what, timeout=20 * PATIENCE):
    """Until somebody takes connections at 127.0.0.1:port."""
    def up():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        except OSError:
            return False
    wait_for(up, timeout, f"{what} listens")


def run(args, timeout=60 * PATIENCE, env=None, check=False, **kwargs):
    """Runs a command to its end: CompletedProcess with text output."""
    result = subprocess.run(args, timeout=timeout, env=env, stdin=kwargs.pop("stdin", subprocess.DEVNULL),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            errors="replace", **kwargs)
    if check and result.returncode != 0:
        raise AssertionError(f"{args}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def clean_env(home, **extra):
    """An environment that holds nothing of the caller's but what programs need to run."""
    env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home,
           "XDG_CONFIG_HOME": os.path.join(home, ".config"),  # root's default is not in its home
           "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    env.update(extra)
    return env


# Files of a program that lives.
def look_at(top, look):
    """{path: look(path, its lstat)} of all that is below a directory while a living program renames and removes there. What
    is gone between being listed and being looked at may have another name now, so then all of it is looked at again."""
    def failed(error):
        if isinstance(error, PermissionError) and os.geteuid():
            return  # of another id of this user's range
        if not isinstance(error, FileNotFoundError):
            raise error
        gone.append(error)
    for _ in range(1000):
        found, gone = {}, []
        if not os.path.lexists(top):
            return found
        for folder, names, files in os.walk(top, onerror=failed):
            for path in (os.path.join(folder, name) for name in names + files):
                try:
                    found[path] = look(path, os.lstat(path))
                except FileNotFoundError as error:
                    failed(error)
        if not gone:
            return found
    raise AssertionError(f"{top} never comes to rest: {gone}")


def contents(top):
    """{path: bytes} of the regular files below a directory, which a living program may change meanwhile."""
    def look(path, st):
        if not stat.S_ISREG(st.st_mode):
            return None
        with open(path, "rb") as file:
            return file.read()
    return {path: data for path, data in look_at(top, look).items() if data is not None}


# What all tests on this machine share.
_ports = []


def free_port():
    """A port for one listener of this test. None of those that the kernel gives away, and no other test's."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        low, high = map(int, file.read().split())
    wanted = [port for port in range(10000, 65000) if not low <= port <= high] or range(10000, 65000)
    while True:
        port = random.choice(wanted)
        try:
            # Whoever locks the file has the port as long as it runs.
            lock = open(os.path.join(tempfile.gettempdir(), f"dr-test-port-{port}"), "wb")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("", port))
        except OSError:
            continue
        _ports.append(lock)
        return port


# Processes, by /proc.
def read_proc(pid, name):
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def alive(pid):
    state = read_proc(pid, "stat").rpartition(b")")[2].split()
    return bool(state) and state[0] not in (b"Z", b"X")


def children(pid):
    """Direct children, zombies left out."""
    found = []
    for other in all_pids():
        words = read_proc(other, "stat").rpartition(b")")[2].split()
        if len(words) > 1 and int(words[1]) == pid and words[0] not in (b"Z", b"X"):
            found.append(other)
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child] + descendants(child)
    return found


def pids_with(marker):
    """Living processes that have marker in their command line or environment."""
    marker = marker.encode()
    return [pid for pid in all_pids() if pid != os.getpid() and alive(pid) and
            (marker in read_proc(pid, "environ") or marker in read_proc(pid, "cmdline"))]


def session(pid):
    """0 where there is no such process."""
    words = read_proc(pid, "stat").rpartition(b")")[2].split()
    return int(words[3]) if len(words) > 3 else 0


def tops_with(marker):
    """Less what they have started: it looks the same until its exec, and may have ended before it is looked at again."""
    found = pids_with(marker)
    below = {child for pid in found for child in children(pid)}
    again = pids_with(marker)
    return [pid for pid in found if pid in again and pid not in below]


def need_proc(case, pid):
    """Skips where the environment and descriptors of a process that is not dumpable cannot be looked at."""
    try:
        with open(f"/proc/{pid}/environ", "rb"):
            os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        case.skipTest("other processes cannot be looked at here (no CAP_SYS_PTRACE)")


def need_unshare(case, *flags):
    """Skips where unshare(1) with these flags is refused."""
    result = run(["unshare", *flags, "true"])
    if result.returncode != 0:
        case.skipTest("no namespaces here: " + result.stderr.strip())


def need_descriptors(case, n):
    """This process may open that many; else the test is skipped aloud."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n and hard != resource.RLIM_INFINITY and hard < n:
        case.skipTest(f"needs {n} open files, the limit is {hard}")
    if soft < n:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))


def rss_kb(pid):
    match = re.search(rb"VmRSS:\s+(\d+)", read_proc(pid, "status"))
    return int(match.group(1)) if match else 0


def cpu_seconds(pid):
    """Processor time used; exact where the scheduler tells, else in clock ticks."""
    exact = read_proc(pid, "schedstat").split()
    if exact:
        return int(exact[0]) / 1e9
    fields = read_proc(pid, "stat").rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def open_fds(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


class Case(unittest.TestCase):
    """A private directory; at the end every process of the test is gone and no sanitizer spoke."""

    def setUp(self):
        self.tmp = tempfile.mkdtemp(prefix="dr-test-")
        os.chmod(self.tmp, 0o755)
        self.addCleanup(self._clean)
        self.runners, self.servers = [], []

    def _clean(self):
        for runner in self.runners:
            runner.kill()
        # A process that is just becoming another one shows no environment: so twice nothing.
        nothing = 0
        for _ in range(40):
            left = pids_with(self.tmp)
            nothing = 0 if left else nothing + 1
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
            if nothing == 2:
                break
            time.sleep(0.02)
        if not os.environ.get("DAYTONA_RUNNER_KEEP"):
            shutil.rmtree(self.tmp, ignore_errors=True)

    def tearDown(self):
        for server in self.servers:
            self.assertEqual(server.malformed, [], "bodies that are no JSON")
        for runner in self.runners:
            match = SANITIZER.search(runner.log())
            if match:
                self.fail(f"sanitizer: {match.group(0)}\n{runner.log()[-4000:]}")

    def path(self, *names):
        return os.path.join(self.tmp, *names)

    def runner(self, server, **kwargs):
        runner = Runner(self, server, **kwargs)
        self.runners.append(runner)
        return runner

    def server(self, **kwargs):
        from fakeserver import FakeServer
        server = FakeServer(**kwargs).start()
        self.addCleanup(server.stop)
        self.addCleanup(self.all_used, server)
        self.servers.append(server)
        return server

    def all_used(self, peer):
        """A test that passed although an answer it scripted was never asked for shows nothing."""
        if self._outcome.success:
            self.assertEqual(peer.unused(), [], "scripted, and not used")


class Runner:
    """A configured runner and its `serve` process."""

    def __init__(self, case, server, name="runner", **settings):
        self.case, self.server, self.settings = case, server, settings
        self.dir = case.path(name)
        self.state = os.path.join(self.dir, "state")
        self.ini = os.path.join(self.dir, "runner.ini")
        self.log_file = os.path.join(self.dir, "stderr.log")
        self.process = None
        self.starts = 0
        os.makedirs(self.dir, mode=0o700, exist_ok=True)
        self.write_ini()

    def env(self, **extra):
        return clean_env(self.dir, DAYTONA_RUNNER_CONFIG_DIR=self.dir, **extra)

    def write_ini(self, **settings):
        """settings: section__key=value, a value None leaves the key out."""
        values = {"runner__id": self.server.runner_id, "runner__name": self.server.runner_name,
                  "runner__port": 0, "runner__state_dir": self.state,
                  "server__url": self.server.url, "server__key": self.server.key,
                  "server__heartbeat_s": 1}
        self.settings.update(settings)
        values.update(self.settings)
        sections = {}
        for key, value in values.items():
            if value is not None:
                section, _, key = key.partition("__")
                sections.setdefault(section, []).append(f"{key} = {value}")
        sections.setdefault('provider "docker-provider"', ["enabled = false"])
        text = "".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())
        with open(os.open(self.ini, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(text)

    def start(self, *args, wait=True, env=None, prefix=(), **popen):
        """Starts `serve`; with wait returns after the first heartbeat of this start."""
        before = len(self.server.heartbeats)
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*prefix, BIN, "serve", *args], env=env or self.env(),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            cwd=self.dir, **popen)
        self.starts += 1
        if wait:
            self.server.wait(lambda: len(self.server.heartbeats) > before or
                             self.process.poll() is not None, 15 * PATIENCE, "first heartbeat")
            if self.process.poll() is not None:
                raise AssertionError(f"serve ended with {self.process.returncode}:\n{self.log()}")
        return self

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        try:
            with open(self.log_file, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def wait_log(self, pattern, timeout=10.0, count=1):
        compiled = re.compile(pattern)
        return wait_for(lambda: len(compiled.findall(self.log())) >= count, timeout * PATIENCE,
                        lambda: f"log line {pattern!r} in:\n{self.log()[-3000:]}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=20.0):
        """Exit status of serve."""
        try:
            return self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"serve did not end within {timeout * PATIENCE} s:\n"
                                 f"{self.log()[-3000:]}") from None

    def stop(self, timeout=20.0):
        """SIGTERM and wait."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self):
        """kill -9 of the supervisor alone; its jobs live on as after a crash."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(10 * PATIENCE)

    def job_pids(self):
        """Processes of jobs: forked by the supervisor, which adopts agents as well."""
        mine = read_proc(self.pid, "cmdline")
        return [pid for pid in children(self.pid) if read_proc(pid, "cmdline") == mine]

    def applet(self, *args, timeout=60 * PATIENCE, **kwargs):
        return run([BIN, *args], timeout=timeout, env=self.env(), **kwargs)

    def status(self):
        """What `status --format json` says."""
        return json.loads(self.applet("status", "--format", "json").stdout)


# Certificates, made with the system's openssl.
def _openssl(*args):
    run(["openssl", *args], check=True)


def make_ca(directory, name="ca"):
    key, cert = os.path.join(directory, name + ".key"), os.path.join(directory, name + ".pem")
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", key, "-out", cert, "-days", "3650", "-subj", f"/CN=test {name}",
             "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
             "keyUsage=critical,keyCertSign,cRLSign")
    return cert


def make_cert(directory, ca, san="IP:127.0.0.1,DNS:localhost", name="server", days=30):
    """A certificate for san, signed by the CA at path ca: (certificate, key)."""
    key, cert = os.path.join(directory, name + ".key"), os.path.join(directory, name + ".pem")
    request, extensions = cert + ".csr", cert + ".ext"
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
             "-out", request, "-subj", f"/CN={name}")
    with open(extensions, "w", encoding="utf-8") as file:
        file.write(f"subjectAltName={san}\nbasicConstraints=CA:FALSE\n"
                   "extendedKeyUsage=serverAuth\n")
    _openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca[:-4] + ".key", "-CAcreateserial",
             "-out", cert, "-days", str(days), "-extfile", extensions)
    return cert, key


def server_tls(directory, san="IP:127.0.0.1,DNS:localhost"):
    """(SSLContext for a peer, path of the CA that a client must trust)."""
    ca = make_ca(directory)
    cert, key = make_cert(directory, ca, san)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context, ca
