# SPDX-License-Identifier: Apache-2.0
"""Names and addresses: dead and lying name servers, search lists, several addresses, black holes (field cases
82, 105, 106). Runs in its own network and mount namespace, with name servers of its own."""
import os
import socket
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common
import netcase
from httppeer import reply
from netcase import CONNECT, RESOLVE, TIMEOUT, NetCase

INSIDE = "DR_TEST_NAMESPACE"
GOOD, DEAD, REFUSING, FAILING = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"


class NameServer:
    """Answers A questions out of a table; its manner is chosen."""

    def __init__(self, address):
        self.names, self.manner = {"srv.example.test": ["127.0.0.1"]}, "answer"
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                data, who = self.sock.recvfrom(2048)
            except OSError:
                return
            labels, at = [], 12
            while data[at]:
                labels.append(data[at + 1:at + 1 + data[at]].decode())
                at += data[at] + 1
            name, kind = ".".join(labels), struct.unpack("!H", data[at + 1:at + 3])[0]
            question = data[12:at + 5]
            rcode, answers = 3, []
            if self.manner == "dead":
                continue
            if self.manner == "refuse":
                rcode = 5
            elif name.endswith("evil.test"):
                rcode = 2
            elif name in self.names:
                rcode = 0
                answers = [a for a in self.names[name] if kind == 1]
            reply_ = data[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, len(answers), 0, 0) + question
            for a in answers:
                reply_ += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(a)
            self.sock.sendto(reply_, who)


class Dns(NetCase):
    running = {}    # one a address for the whole file

    def name_server(self, address, manner):
        server = self.running.setdefault(address, None) or NameServer(address)
        self.running[address] = server
        server.manner = manner

    def setUp(self):
        super().setUp()
        self.web = self.peer()
        self.web.on("GET", "/.*", reply(200, b"found", headers=[("Connection", "close")]), forever=True)

    def name_servers(self, *rows, options=""):
        for address, manner in rows:
            self.name_server(address, manner)
        self.resolv("".join(f"nameserver {address}\n" for address, _ in rows) + options)

    @staticmethod
    def resolv(text):
        with open("/etc/resolv.conf", "w", encoding="utf-8") as file:
            file.write(text)

    def ask(self, name="srv.example.test", **kwargs):
        return self.one(f"http://{name}:{self.web.port}", **kwargs)

    def test_good_and_dead(self):
        self.name_servers((GOOD, "answer"), (DEAD, "dead"))
        line = self.ask()
        self.assertEqual(line.get("body"), "found", line)
        self.assertLess(line["ms"], 6000)

    def test_dead_and_good(self):
        self.name_servers((DEAD, "dead"), (GOOD, "answer"), options="options timeout:1\n")
        line = self.ask()
        self.assertEqual(line.get("body"), "found", line)
        self.assertLess(line["ms"], 6000)

    def test_good_and_refusing(self):
        self.name_servers((REFUSING, "refuse"), (GOOD, "answer"))
        line = self.ask()
        self.assertEqual(line.get("body"), "found", line)
        self.assertLess(line["ms"], 6000)

    def test_only_dead(self):
        self.name_servers((DEAD, "dead"), options="options timeout:30\n")
        line = self.ask(options=("-t", "1500"), fails=TIMEOUT)
        self.assertIn("srv.example.test", line["error"])
        self.assertLess(line["ms"], 5000)

    def test_no_such_name_names_the_servers(self):
        self.name_servers((GOOD, "answer"))
        line = self.ask("absent.example.test", fails=RESOLVE)
        self.assertIn("absent.example.test", line["error"])
        self.assertIn("name servers: 127.0.0.1", line["error"])
        self.resolv("")
        self.assertIn("no name server", self.ask("absent.example.test", options=("-t", "3000"))["error"])

    def test_last_good_address_stands_in(self):
        self.name_servers((GOOD, "answer"), options="options timeout:30\n")
        steps = self.step_by_step(f"http://srv.example.test:{self.web.port}", "/", "/", "/")
        self.assertEqual(steps.next().get("body"), "found")
        self.name_server(DEAD, "dead")
        self.resolv(f"nameserver {DEAD}\noptions timeout:30\n")
        for _ in range(2):
            line = steps.next()
            self.assertEqual(line.get("body"), "found", line)
            self.assertLess(line["ms"], 6000)

    def test_search_list_that_fails(self):
        self.name_servers((GOOD, "answer"), options="search evil.test\noptions ndots:5 timeout:1 attempts:1\n")
        line = self.ask(options=("-t", "19000"))
        self.assertEqual(line.get("body"), "found", line)

    def test_name_with_two_addresses(self):
        self.resolv("")
        for order in ("::1 srv\n127.0.0.1 srv\n", "127.0.0.1 srv\n::1 srv\n"):
            with open("/etc/hosts", "w", encoding="utf-8") as file:
                file.write(order)
            line = self.ask("srv")
            self.assertEqual(line.get("body"), "found", line)
            self.assertLess(line["ms"], 1000)
        port = self.web.port
        self.web.stop()
        line = self.one(f"http://srv:{port}", fails=CONNECT)
        self.assertIn("127.0.0.1", line["error"])
        self.assertIn("::1", line["error"])

    def black_hole(self, address):
        """A listener whose queue is full: the kernel drops what asks to connect."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, self.web.port))
        listener.listen(0)
        self.addCleanup(listener.close)
        for _ in range(3):
            filler = socket.socket(family)
            filler.setblocking(False)
            filler.connect_ex((address, self.web.port))
            self.addCleanup(filler.close)

    def test_black_hole_and_open(self):
        for hole in "::1", "127.9.9.9":
            self.black_hole(hole)
            with open("/etc/hosts", "w", encoding="utf-8") as file:
                file.write(f"{hole} half\n127.0.0.1 half\n{hole} hole\n")
            self.resolv("")
            line = self.ask("half")
            self.assertEqual(line.get("body"), "found", line)
            self.assertLess(line["ms"], 3000)
            line = self.ask("hole", options=("-t", "700"), fails=TIMEOUT)
            self.assertIn(hole, line["error"])
            self.assertLess(line["ms"], 5000)


def inside():
    """Private copies of what the resolver reads, and a loopback that is up."""
    for path, text in (("/etc/resolv.conf", ""), ("/etc/hosts", "127.0.0.1 localhost\n"),
                       ("/etc/nsswitch.conf", "hosts: files dns\n")):
        copy = f"/tmp/dr-dns-{os.getpid()}-{os.path.basename(path)}"
        with open(copy, "w", encoding="utf-8") as file:
            file.write(text)
        if os.path.exists(path):
            subprocess.run(["mount", "--bind", copy, path], check=True)
        os.unlink(copy)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


if __name__ == "__main__":
    if INSIDE not in os.environ:
        probe = subprocess.run(["unshare", "-rmn", "sh", "-c", "ip link set lo up && mount --bind /etc/hosts /etc/hosts"],
                               check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if probe.returncode != 0:
            common.skip_all("no namespaces here")
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "-rmn", sys.executable, "-B", *sys.argv])
    inside()
    netcase.main()
