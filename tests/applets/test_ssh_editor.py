#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an editor with a remote half does with a host of ssh-config: a script through standard input of a shell there, which
installs a server, leaves it in the background and says its port; then connections to that port, by a SOCKS proxy and by
forwards. Script and server are ours, of the pattern that such editors share."""
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.upcase import UpCase  # noqa: E402
from httppeer import Peer, reply  # noqa: E402

HOST = "app.daytona"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
BULK = 3_000_000

SERVER = r'''
import http.server, os, sys, threading

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = {"/version": b"COMMIT", "/pid": b"%d" % os.getpid(), "/bulk": bytes(range(256)) * (BULK // 256)}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass

assert sys.argv[1:4] == ["--start-server", "--host", "127.0.0.1"], sys.argv
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[5])), Handler)
print("Far editor's server, of", os.getcwd(), flush=True)
threading.Timer(0.3, lambda: print("Agent of the far half listening on", server.server_port, flush=True)).start()
server.serve_forever()
'''.replace("COMMIT", COMMIT).replace("BULK", str(BULK))

# $1 of a shell that reads it is none: what it has to know is put in by the client, as editors do.
SCRIPT = r'''
uuid=@UUID@ commit=@COMMIT@ url=@URL@
set -u
umask 077
die() { echo "$uuid: start"; echo "exitCode==$1=="; echo "why==$2=="; echo "$uuid: end"; exit "$1"; }
case $(uname -s) in Linux) ;; *) die 10 "no Linux" ;; esac
case $(uname -m) in x86_64 | amd64) arch=x64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
[ -n "${HOME:-}" ] && [ -d "$HOME" ] && [ -w "$HOME" ] || die 11 "no home"
data=$HOME/.far-editor
place=$data/bin/$commit
mkdir -p "$data/bin" || die 12 "mkdir"
cd "$data" || die 12 "cd"
log=$data/.$commit.log pidfile=$data/.$commit.pid
if command -v flock >/dev/null 2>&1; then
	exec 9>"$data/.$commit.lock"
	flock -w 60 9 || die 13 "another one installs it"
else
	n=0
	until ln -s "$$" "$data/.$commit.ln" 2>/dev/null; do
		n=$((n + 1)); [ $n -lt 300 ] || die 13 "another one installs it"; sleep 0.2
	done
	trap 'rm -f "$data/.$commit.ln"' EXIT
fi
if [ ! -x "$place/bin/far-server" ]; then
	archive=$data/$commit.tar.gz
	if [ -n "$url" ]; then
		if command -v @FETCH@ >/dev/null 2>&1; then
			case @FETCH@ in
			wget) wget --tries=1 --timeout=20 -q -O "$archive" "$url" || die 20 "wget" ;;
			*) curl --fail --location --silent --retry 2 --connect-timeout 7 -o "$archive" "$url" || die 21 "curl" ;;
			esac
		else
			die 22 "no @FETCH@"
		fi
	elif [ ! -e "$archive" ]; then
		echo "$uuid: start"; echo "copyTo==$archive=="; echo "$uuid: end"; exit 0
	fi
	mkdir -p "$place.part" && tar -xzf "$archive" -C "$place.part" --strip-components 1 || die 23 "tar"
	mv "$place.part" "$place" || die 24 "mv"
	rm -f "$archive"
fi
found=no
if [ -s "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; then
	found=yes
else
	: >"$log"
	nohup "$place/bin/far-server" --start-server --host 127.0.0.1 --port 0 >"$log" 2>&1 </dev/null 9>&- &
	echo $! >"$pidfile"
	disown 2>/dev/null || true
fi
port= n=0
while [ -z "$port" ]; do
	port=$(sed -n 's/.*listening on \([0-9][0-9]*\).*/\1/p' "$log" | head -n 1)
	n=$((n + 1)); [ $n -lt 600 ] || die 30 "$(tail -n 5 "$log")"
	[ -n "$port" ] || sleep 0.1
done
exec 9>&-
rm -f "$data/.$commit.ln"
[ -n "${SSH_AUTH_SOCK:-}" ] && agent=yes || agent=no
echo "$uuid: start"
echo "exitCode==0=="
echo "listeningOn==$port=="
echo "pid==$(cat "$pidfile")=="
echo "found==$found=="
echo "arch==$arch=="
echo "tmpDir==${XDG_RUNTIME_DIR:-/tmp}=="
echo "agent==$agent=="
echo "$uuid: end"
'''


def tarball():
    data = io.BytesIO()
    start = f'#!/bin/sh\nexec {sys.executable} "$(dirname "$0")/../server.py" "$@"\n'
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text, mode in (("bin/far-server", start, 0o755), ("server.py", SERVER, 0o644)):
            info = tarfile.TarInfo("far-server-linux/" + name)
            info.size, info.mode = len(text), mode
            tar.addfile(info, io.BytesIO(text.encode()))
    return data.getvalue()


def socks(proxy_port, port, name=b""):
    """A connection through ssh's SOCKS 5 proxy; by name where one is given."""
    s = socket.create_connection(("127.0.0.1", proxy_port), timeout=30 * common.PATIENCE)
    address = b"\3" + bytes([len(name)]) + name if name else b"\1\x7f\0\0\1"
    s.sendall(b"\5\1\0")
    assert take(s, 2) == b"\5\0"
    s.sendall(b"\5\1\0" + address + port.to_bytes(2, "big"))
    answer = take(s, 10)
    if answer[1]:
        s.close()
        raise ConnectionRefusedError(answer[1])
    return s


def take(s, n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        if not more:
            raise ConnectionResetError(data)
        data += more
    return data


def ask(s, path, body=None):
    """One HTTP exchange on a connection that stays."""
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\n"
    s.sendall((head + (f"Content-Length: {len(body)}\r\n" if body is not None else "") + "\r\n").encode())
    sender = threading.Thread(target=s.sendall, args=(body or b"",))
    sender.start()
    text = b""
    while b"\r\n\r\n" not in text:
        text += take(s, 1)
    sizes = [line.split(b":")[1] for line in text.split(b"\r\n") if line.lower().startswith(b"content-length")]
    got = take(s, int(sizes[0]))
    sender.join()
    return got


class Editor(UpCase):
    def setUp(self):
        super().setUp()
        if not shutil.which("ssh") or not shutil.which("tar"):
            self.skipTest("no OpenSSH client or no tar here")
        self.applet("up", "-d", self.repo)
        self.applet("ssh-config")
        self.config = os.path.join(self.cfg, "ssh", "config")
        self.addCleanup(self.end_servers)
        self.pids = set()

    def end_servers(self):
        for pid in self.pids:
            if common.alive(pid):
                os.kill(pid, signal.SIGKILL)

    def words(self, *args):
        return ["ssh", "-F", self.config, "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ExitOnForwardFailure=yes",
                "-o", "ConnectTimeout=15", *args]

    def start(self, *args):
        process = subprocess.Popen(self.words(*args), env=self.env(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def script(self, url="", fetch="curl", nohup=True):
        text = SCRIPT if nohup else SCRIPT.replace("nohup ", "")
        for name, value in (("UUID", "5e1f-a"), ("COMMIT", COMMIT), ("URL", f"'{url}'"), ("FETCH", fetch)):
            text = text.replace(f"@{name}@", value)
        return text.encode()

    def read_answer(self, stream):
        """{"listeningOn": "4711", …}, of what is between the marks."""
        found, inside = {}, False
        for line in stream:
            line = line.decode().strip()
            if line == "5e1f-a: end":
                break
            inside = inside or line == "5e1f-a: start"
            if inside and line.endswith("=="):
                key, value, _ = line.split("==")
                found[key] = value
        if "pid" in found:
            self.pids.add(int(found["pid"]))
        return found

    def session(self, *args, shell="sh", **script):
        """A session that has run the script and stays, as editors keep it; its standard input is still open."""
        process = self.start("-T", *args, HOST, shell)
        process.stdin.write(self.script(**script))
        process.stdin.flush()
        return process, self.read_answer(process.stdout)

    def end(self, process, rc=0):
        out, err = process.communicate(timeout=60 * common.PATIENCE)
        self.assertEqual(process.returncode, rc, err.decode())
        return out

    def serve(self):
        peer = Peer().start()
        self.addCleanup(peer.stop)
        peer.on("GET", "/far.tar.gz", reply(200, tarball(), "application/gzip"), forever=True)
        return peer.url + "/far.tar.gz"

    def free_port(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            return s.getsockname()[1]

    def shells(self):
        return [s for s in ("bash", "sh") if shutil.which(s)]

    def wait_socks(self, port):
        def there():
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                return True
            except OSError:
                return False
        common.wait_for(there, 30 * common.PATIENCE, "ssh's proxy listens")

    def use(self, connect, pid):
        """Several connections at once, each used more than once; bytes both ways."""
        first, second = connect(), connect()
        with first, second:
            self.assertEqual(ask(first, "/version"), COMMIT.encode())
            self.assertEqual(ask(second, "/pid"), b"%d" % pid)
            self.assertEqual(ask(first, "/bulk"), bytes(range(256)) * (BULK // 256))
            body = os.urandom(BULK)
            self.assertEqual(ask(second, "/echo", body), body)
            self.assertEqual(ask(first, "/version"), COMMIT.encode())

    def test_install_and_connect(self):
        url, proxy = self.serve(), self.free_port()
        for i, shell in enumerate(self.shells()):
            fetch = next((f for f in (("wget", "curl") if i else ("curl", "wget")) if shutil.which(f)), None)
            if not fetch:
                self.skipTest("neither curl nor wget here")
            with self.subTest(shell=shell, fetch=fetch):
                process, said = self.session("-D", str(proxy), shell=shell, url=url, fetch=fetch)
                self.assertEqual((said.get("exitCode"), said.get("found")), ("0", "yes" if i else "no"), said)
                port, pid = int(said["listeningOn"]), int(said["pid"])
                self.wait_socks(proxy)
                self.use(lambda: socks(proxy, port), pid)
                self.use(lambda: socks(proxy, port, b"localhost"), pid)
                with self.assertRaises((ConnectionRefusedError, ConnectionResetError)):
                    socks(proxy, self.free_port())
                # It stays when this session ends, and is found again.
                self.end(process)
                self.assertTrue(common.alive(pid))
        process, again = self.session(shell=self.shells()[0], url="http://127.0.0.1:1/none")
        self.assertEqual((again["found"], int(again["listeningOn"]), int(again["pid"])), ("yes", port, pid))
        self.end(process)
        # The other ways to it: a forward of its own, one connection by standard input and output.
        local = self.free_port()
        process = self.start("-N", "-L", f"{local}:127.0.0.1:{port}", HOST)
        self.wait_socks(local)
        self.use(lambda: socket.create_connection(("127.0.0.1", local), timeout=30 * common.PATIENCE), pid)
        process.terminate()
        process.communicate()
        done = subprocess.run(self.words("-W", f"127.0.0.1:{port}", HOST), env=self.env(), timeout=60 * common.PATIENCE, check=False,
                              input=b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", stdout=subprocess.PIPE)
        self.assertTrue(done.stdout.endswith(b"\r\n\r\n%d" % pid), done)

    def test_copied_by_the_client(self):
        """Where the workspace may fetch nothing, the client copies the archive."""
        if not shutil.which("scp"):
            self.skipTest("no scp here")
        process, said = self.session()
        self.assertEqual(sorted(said), ["copyTo"])
        self.end(process)
        with open(self.path("far.tar.gz"), "wb") as file:
            file.write(tarball())
        done = subprocess.run(["scp", "-q", "-F", self.config, "-o", "BatchMode=yes", self.path("far.tar.gz"),
                               f"{HOST}:{said['copyTo']}"], env=self.env(), timeout=60 * common.PATIENCE, check=False,
                              stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)
        process, said = self.session()
        self.assertEqual((said["exitCode"], said["found"]), ("0", "no"))
        proxy = self.free_port()
        self.end(process)
        process = self.start("-N", "-D", str(proxy), HOST)
        self.wait_socks(proxy)
        self.use(lambda: socks(proxy, int(said["listeningOn"])), int(said["pid"]))

    def test_without_nohup(self):
        """A server that is in the background when its session ends by itself stays as well."""
        process, said = self.session(url=self.serve(), fetch="curl" if shutil.which("curl") else "wget", nohup=False)
        self.end(process)
        process, again = self.session(url="http://127.0.0.1:1/none")
        self.assertEqual((again["found"], again["pid"]), ("yes", said["pid"]))
        self.end(process)

    def test_two_windows_at_once(self):
        """Both run the script; one installs, and both get the same server."""
        url = self.serve()
        both = [self.start("-T", HOST, self.shells()[0]) for _ in range(2)]
        for process in both:
            process.stdin.write(self.script(url=url, fetch="curl" if shutil.which("curl") else "wget"))
            process.stdin.flush()
        first, second = [self.read_answer(p.stdout) for p in both]
        self.assertEqual((first["exitCode"], second["exitCode"]), ("0", "0"), (first, second))
        self.assertEqual(first["pid"], second["pid"])
        self.assertEqual(sorted((first["found"], second["found"])), ["no", "yes"])
        for process in both:
            self.end(process)

    def test_a_client_that_is_killed(self):
        self.killed_client(True)

    def test_a_client_that_is_killed_without_nohup(self):
        self.killed_client(False)

    def killed_client(self, nohup):
        """A laptop that closes: the server, which has streams of its own, stays; the session's shell and what shares its
        streams do not."""
        process, said = self.session(shell=self.shells()[0], url=self.serve(),
                                     fetch="curl" if shutil.which("curl") else "wget", nohup=nohup)
        process.stdin.write(b"sleep 1000 & echo shell==$$==$!==; exec sleep 1000\n")
        process.stdin.flush()
        both = [int(n) for n in process.stdout.readline().split(b"==")[1:3]]
        self.assertTrue(all(map(common.alive, both)))
        process.kill()
        process.communicate()
        common.wait_for(lambda: not any(map(common.alive, both)), 30 * common.PATIENCE, "the end of the session")
        self.assertTrue(common.alive(int(said["pid"])))
        process, again = self.session(url="http://127.0.0.1:1/none")
        self.assertEqual((again["found"], again["pid"]), ("yes", said["pid"]))
        self.end(process)
        # A workspace that is stopped takes it with it.
        self.applet("workspace", "stop", "app")
        common.wait_for(lambda: not common.alive(int(said["pid"])), 30 * common.PATIENCE, "the server's end")


if __name__ == "__main__":
    if common.BIN and "dropbear" not in common.run([common.BIN, "--version"]).stdout:
        common.skip_all("built without ssh")
    common.main()
