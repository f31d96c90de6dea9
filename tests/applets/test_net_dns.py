# SPDX-License-Identifier: Apache-2.0
"""Names and addresses: dead and lying name servers, search lists, several addresses, black holes (field cases
82, 105, 106). Runs in its own network and mount namespace, with name servers of its own."""
import os
import shutil
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
GOOD, DEAD, REFUSING, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
SIX = "fd00:5::1"   # ours too; ::1 is special to C libraries
A, AAAA = 1, 28
RCODES = {"FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5, "NOTAUTH": 9}


class NameServer:
    """Answers questions out of tables. Its manner: answer; dead; refuse; cut (over UDP no record, only "ask me over
    TCP"), or cut some (it has a part of the records); for one family alone, `failing`: one of RCODES, or "silent"."""

    def __init__(self, address):
        self.names = {"srv.example.test": ["127.0.0.1"], "both.example.test": ["127.0.0.1", SIX],
                      "six.example.test": [SIX], "hole.example.test": ["127.9.9.9"]}
        self.manner, self.failing, self.asked = "answer", AAAA, []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 53))
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind((address, 53))
        self.tcp.listen()
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def _serve_udp(self):
        while True:
            data, who = self.udp.recvfrom(2048)
            answer = self._answer(data, "udp")
            if answer:
                self.udp.sendto(answer, who)

    def _serve_tcp(self):
        while True:
            stream, _ = self.tcp.accept()
            with stream, stream.makefile("rb") as file:
                head = file.read(2)
                answer = self._answer(file.read(struct.unpack("!H", head)[0]), "tcp") if len(head) == 2 else None
                if answer:
                    stream.sendall(struct.pack("!H", len(answer)) + answer)

    def _answer(self, data, how):
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1:at + 1 + data[at]].decode())
            at += data[at] + 1
        name, kind = ".".join(labels), struct.unpack("!H", data[at + 1:at + 3])[0]
        self.asked.append((how, name, kind))
        fails = self.manner in (*RCODES, "silent") and kind == self.failing
        if self.manner == "dead" or (self.manner == "silent" and fails):
            return None
        rcode, flags, answers = 3, 0x8180, []
        if self.manner == "refuse" or name.endswith("evil.test"):
            rcode = 5 if self.manner == "refuse" else 2
        elif fails:
            rcode = RCODES[self.manner]
        elif name in self.names:
            rcode, answers = 0, [a for a in self.names[name] if (":" in a) == (kind == AAAA)]
        if self.manner.startswith("cut") and how == "udp" and rcode == 0:
            flags, answers = flags | 0x200, answers[:1] if self.manner == "cut some" else []
        text = data[:2] + struct.pack("!HHHHH", flags | rcode, 1, len(answers), 0, 0) + data[12:at + 5]
        for a in answers:
            packed = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, a)
            text += b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(packed)) + packed
        return text


class Dns(NetCase):
    """A name is found whatever its name servers do, in time."""
    running = {}    # one a address for the whole file

    def name_server(self, address, manner):
        server = self.running.setdefault(address, None) or NameServer(address)
        self.running[address] = server
        server.manner, server.failing = manner, AAAA
        server.asked.clear()
        return server

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

    def test_two_dead_and_good_without_patience(self):
        wanted = ["timeout:0", "timeout:0 attempts:1"]
        if "musl" in common.run([common.BIN, "--version"], check=True).stdout:
            wanted += ["attempts:0", "timeout:0 attempts:0"]    # glibc takes it at its word and asks nobody
        for options in wanted:
            with self.subTest(options):
                self.name_servers((DEAD, "dead"), (OTHER, "dead"), (GOOD, "answer"), options=f"options {options}\n")
                line = self.ask()
                self.assertEqual(line.get("body"), "found", line)
                self.assertLess(line["ms"], 12000)

    def test_answer_that_was_cut_is_asked_for_over_tcp(self):
        for manner in "cut", "cut some":
            with self.subTest(manner):
                server = self.name_server(GOOD, manner)
                self.resolv(f"nameserver {GOOD}\n")
                line = self.ask()
                self.assertEqual(line.get("body"), "found", line)
                self.assertIn(("tcp", "srv.example.test", A), server.asked)
                self.assertLess(line["ms"], 4000)

    def test_failing_a_costs_the_good_aaaa_nothing(self):
        six = self.peer(host=SIX)
        six.on("GET", "/.*", reply(200, b"six", headers=[("Connection", "close")]), forever=True)
        for manner in (*RCODES, "silent"):
            with self.subTest(manner):
                self.name_servers((GOOD, manner))
                self.running[GOOD].failing = A
                line = self.one(f"http://six.example.test:{six.port}")
                self.assertEqual(line.get("body"), "six", line)
                self.assertLess(line["ms"], 3000)

    def test_failing_aaaa_costs_the_good_a_nothing(self):
        for manner in (*RCODES, "silent"):
            with self.subTest(manner):
                self.name_servers((GOOD, manner))
                line = self.ask()
                self.assertEqual(line.get("body"), "found", line)
                self.assertLess(line["ms"], 3000)

    def test_address_of_the_other_family_comes_beside(self):
        """IPv4 leads into a black hole, IPv6 is open, and the other way round."""
        self.name_servers((GOOD, "answer"))
        six = self.peer(host=SIX)
        six.on("GET", "/.*", reply(200, b"six", headers=[("Connection", "close")]), forever=True)
        line = self.one(f"http://six.example.test:{six.port}")
        self.assertEqual(line.get("body"), "six", line)
        line = self.one(f"http://both.example.test:{six.port}")
        self.assertEqual(line.get("body"), "six", line)
        line = self.ask("both.example.test")
        self.assertEqual(line.get("body"), "found", line)

    def test_reason_of_each_family(self):
        self.name_servers((GOOD, "SERVFAIL"), options="options timeout:1 attempts:1\n")
        line = self.ask("absent.example.test", fails=RESOLVE)
        self.assertRegex(line["error"], r"resolve absent\.example\.test: IPv4: .+; IPv6: .+ \(name servers: 127\.0\.0\.1\)")

    def test_comment_is_no_part_of_a_name_server(self):
        self.name_server(GOOD, "answer")
        self.resolv(f"nameserver {GOOD} # office\n# nameserver 192.0.2.9\n")
        line = self.ask("absent.example.test", fails=RESOLVE)
        self.assertTrue(line["error"].endswith(f"(name servers: {GOOD})"), line["error"])

    def dnsmasq(self, *options):
        if not shutil.which("dnsmasq", path=os.environ.get("PATH", "") + ":/usr/sbin"):
            self.skipTest("no dnsmasq")
        args = ["/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                "--bind-interfaces", "--listen-address=127.0.0.53", "--log-queries=extra", *options]
        with open(self.path("dnsmasq.out"), "w", encoding="utf-8") as out:
            process = subprocess.Popen(args, stdout=out, stderr=out)
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.kill)
        self.resolv("nameserver 127.0.0.53\n")
        common.wait_for(lambda: self.listening("127.0.0.53") or process.poll() is not None, 10 * common.PATIENCE,
                        "dnsmasq listens")
        with open(self.path("dnsmasq.out"), encoding="utf-8") as out:
            self.assertIsNone(process.poll(), out.read())
        return process

    @staticmethod
    def listening(address):
        with socket.socket() as probe:
            return probe.connect_ex((address, 53)) == 0

    def test_dnsmasq_answers(self):
        self.dnsmasq("--address=/srv.example.test/127.0.0.1", f"--address=/six.example.test/{SIX}",
                     "--cname=alias.example.test,srv.example.test", "--local=/example.test/",
                     "--host-record=srv.example.test,127.0.0.1")
        for name in "srv.example.test", "SRV.example.test.", "alias.example.test":
            line = self.ask(name)
            self.assertEqual(line.get("body"), "found", (name, line))
            self.assertLess(line["ms"], 3000)
        line = self.ask("absent.example.test", fails=RESOLVE)
        self.assertLess(line["ms"], 3000)

    def test_dnsmasq_many_records_do_not_fit_a_datagram(self):
        records = [f"--host-record=many.example.test,127.0.{i}.1" for i in range(60)]
        self.dnsmasq("--local=/example.test/", "--edns-packet-max=512", *records)
        line = self.ask("many.example.test")
        self.assertEqual(line.get("body"), "found", line)

    def test_dnsmasq_refuses_what_is_not_its_own(self):
        """Without a server to ask in turn, every other name is REFUSED, and so is the AAAA of one it has."""
        self.dnsmasq("--host-record=srv.example.test,127.0.0.1")
        line = self.ask()
        self.assertEqual(line.get("body"), "found", line)
        self.assertLess(line["ms"], 3000)

    def test_dnsmasq_before_one_that_fails(self):
        """The usual home router: a forwarder in front of a name server that refuses AAAA or cuts its answers."""
        for manner in "cut", "REFUSED", "SERVFAIL", "answer":
            with self.subTest(manner):
                self.name_server(OTHER, manner)
                process = self.dnsmasq(f"--server={OTHER}")
                line = self.ask()
                self.assertEqual(line.get("body"), "found", line)
                process.kill()
                process.wait(10 * common.PATIENCE)

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
        for hole in SIX, "127.9.9.9":
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
    subprocess.run(["ip", "addr", "add", SIX + "/128", "dev", "lo", "nodad"], check=True)


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
