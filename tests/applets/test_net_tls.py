# SPDX-License-Identifier: Apache-2.0
"""TLS client against servers of every kind: versions, keys, ciphers, certificates that must be refused and
why, resumption, tiny records, truncation (field cases 84 to 94)."""
import base64
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common
import netcase
from httppeer import Gone, raw, reply
from netcase import CLOSED, CONFIG, HTTP, TIMEOUT, TLS
from tlscase import TlsCase, context, openssl


class Shared:
    """The certificates of TlsCase under a short name."""

    def __getattr__(self, name):
        return getattr(TlsCase.certs, name)


certs = Shared()


class Versions(TlsCase):
    def test_versions_and_keys(self):
        kinds = {kind: certs.leaf("leaf-" + kind, kind=kind)
                 for kind in ("rsa2048", "rsa4096", "ec", "secp384r1", "secp521r1")}
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3, None:
            for kind, cert in kinds.items():
                with self.subTest(version=version, kind=kind):
                    made = context(cert)
                    if version:
                        made.minimum_version = made.maximum_version = version
                    self.accepted(self.secure(made))

    def test_server_that_insists_on_its_signature_order(self):
        """An RSA server of TLS 1.2 alone that prefers PSS when it is offered."""
        made = context(certs.leaf("pss", kind="rsa2048"))
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        peer = self.secure(made)
        lines = self.get(peer.url, "/", "/", options=("-a", "-c", certs.ca[0]))
        self.assertEqual([line.get("body") for line in lines], ["secure"] * 2, lines)
        self.assertEqual(peer.accepted, 2)    # the first try is good; a second one could be provoked

    def test_old_versions_are_refused(self):
        made = context(certs.leaf("old"))
        try:
            made.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                made.minimum_version = ssl.TLSVersion.TLSv1
                made.maximum_version = ssl.TLSVersion.TLSv1_1
        except (ValueError, ssl.SSLError):
            self.skipTest("the system's OpenSSL has no TLS 1.1")
        self.refused(self.secure(made), "TLS version")

    def test_ciphers_of_tls_1_2(self):
        ec, rsa = certs.leaf("c-ec"), certs.leaf("c-rsa", kind="rsa2048")
        for cert, names in ((ec, ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                  "ECDHE-ECDSA-CHACHA20-POLY1305")),
                            (rsa, ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
                                   "ECDHE-RSA-CHACHA20-POLY1305"))):
            for name in names:
                with self.subTest(cipher=name):
                    made = context(cert)
                    made.maximum_version = ssl.TLSVersion.TLSv1_2
                    made.set_ciphers(name)
                    self.accepted(self.secure(made))

    def test_ciphers_of_tls_1_3(self):
        for name in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            with self.subTest(cipher=name):
                self.accepted_by_openssl(certs.leaf("c13"), "-tls1_3", "-ciphersuites", name)

    def test_key_exchange_groups(self):
        """Not every Python has a name for X25519."""
        for group in "P-256", "P-384", "X25519":
            with self.subTest(group=group):
                self.accepted_by_openssl(certs.leaf("groups"), "-groups", group)

    def accepted_by_openssl(self, pair, *args):
        cert, key = pair
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key, *args,
                                   "-www"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.PIPE,
                                  text=True, cwd=self.tmp)
        try:
            line = ""
            for line in server.stdout:
                if line.startswith("ACCEPT"):
                    break
            port = line.split(":")[-1].strip()
            got = self.one(f"https://127.0.0.1:{port}", options=("-c", certs.ca[0]))
            self.assertEqual(got.get("status"), 200, got)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
            server.stdin.close()

    def test_no_cipher_in_common(self):
        made = context(certs.leaf("nocipher", kind="rsa2048"))
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers("AES256-SHA")
        self.refused(self.secure(made), "in common")


class Names(TlsCase):
    def test_names_and_addresses(self):
        rows = [("DNS:localhost", "localhost", True), ("DNS:localhost", "127.0.0.1", False),
                ("IP:127.0.0.1", "127.0.0.1", True), ("IP:127.0.0.1", "localhost", False),
                ("DNS:127.0.0.1", "127.0.0.1", False), ("IP:127.0.0.2", "127.0.0.1", False),
                ("DNS:LOCALHOST", "localhost", True), ("DNS:*.localhost", "a.localhost", True),
                ("DNS:*.localhost", "a.b.localhost", False), ("DNS:*.localhost", "localhost", False),
                ("DNS:other,DNS:localhost", "localhost", True), ("DNS:localhost", "localhost.", True),
                # The address whose four bytes spell the name.
                ("IP:97.46.108.111", "a.lo.localhost", False)]
        for index, (san, host, good) in enumerate(rows):
            with self.subTest(san=san, host=host):
                peer = self.secure(certs.leaf(f"name{index}", san=san))
                url = f"https://{host}:{peer.port}"
                if good:
                    self.accepted(peer, url)
                else:
                    self.refused(peer, ["not for " + host.rstrip("."), san.split(":")[-1].split(",")[0]], url)

    def test_ipv6_address(self):
        try:
            peer = self.peer(tls=context(certs.leaf("six", san="IP:::1")), host="::1")
        except OSError:
            self.skipTest("no ::1")
        peer.on("GET", "/", reply(200, b"secure"), forever=True)
        self.accepted(peer, f"https://[::1]:{peer.port}")
        self.accepted(peer, f"https://[0:0:0:0:0:0:0:1]:{peer.port}")

    def test_sni(self):
        cert = certs.leaf("sni")
        names = []
        made = context(cert)
        made.sni_callback = lambda sock, name, ctx: names.append(name)
        peer = self.secure(made)
        self.accepted(peer, f"https://localhost:{peer.port}")
        self.accepted(peer)
        self.assertEqual(names, ["localhost", None])

    def test_common_name_is_not_an_address(self):
        cert = certs.sign("cn-ip", certs.ca, certs.key("cn-ip"), "/CN=127.0.0.1", ["basicConstraints=CA:FALSE"])
        self.refused(self.secure(cert), "not for 127.0.0.1")


class Refusals(TlsCase):
    def test_expired_and_future(self):
        expired = certs.leaf("expired", start="20200101000000Z", end="20210304000000Z")
        self.refused(self.secure(expired), "expired on 2021-03-04")
        future = certs.leaf("future", start="20980101000000Z", end="20990101000000Z")
        line = self.refused(self.secure(future), "not valid before 2098-01-01")
        self.assertNotIn("clock", line["error"])

    def test_unknown_ca_is_named(self):
        other = certs.root("stranger")
        self.refused(self.secure(certs.leaf("of-stranger", ca=other)), ["unknown CA \"stranger\"", "1 loaded"])

    def test_several_faults_are_all_told(self):
        other = certs.root("stranger2")
        cert = certs.leaf("many", ca=other, san="DNS:elsewhere", start="20200101000000Z", end="20210304000000Z")
        self.refused(self.secure(cert), ["expired on", "unknown CA", "elsewhere"])

    def test_self_signed(self):
        cert = certs.sign("self", None, certs.key("self"), "/CN=self", ["subjectAltName=IP:127.0.0.1"])
        peer = self.secure(cert)
        self.refused(peer, "self-signed")
        self.accepted(peer, options=("-c", cert[0]))

    def test_leaf_trusted_by_itself(self):
        other = certs.root("stranger3")
        cert = certs.leaf("pinned-leaf", ca=other)
        self.accepted(self.secure(cert), options=("-c", cert[0]))

    def test_weak_keys(self):
        self.refused(self.secure(context_weak(certs.leaf("rsa1024", kind="rsa1024"))), "weak")
        self.refused(self.secure(context_weak(certs.leaf("sha1", digest="sha1"))), "weak")

    def test_not_for_servers(self):
        cert = certs.leaf("client-only", extra=["extendedKeyUsage=clientAuth"])
        self.refused(self.secure(cert), "key usage")

    def test_unreadable_certificate(self):
        cert = certs.leaf("critical", extra=["1.2.3.4=critical,DER:0500"])
        self.refused(self.secure(cert), "certificate cannot be read")

    def test_insecure_takes_any(self):
        peer = self.secure(certs.leaf("any", san="DNS:elsewhere", start="20200101000000Z", end="20210304000000Z"))
        self.accepted(peer, options=("-i",))

    def test_system_roots_do_not_know_ours(self):
        self.refused(self.secure(certs.leaf("plain")), "unknown CA \"ca\"", options=("-t", "5000"))

    def test_clock_before_the_build(self):
        """A board without a clock: a preloaded library says it is 1970."""
        if common.is_static(netcase.TOOL):
            self.skipTest("nothing can be preloaded into a static executable")
        source, library = self.path("clock.c"), self.path("clock.so")
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <time.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n"
                       "time_t time(time_t *t) { if (t) *t = 86400; return 86400; }\n"
                       "int clock_gettime(clockid_t id, struct timespec *t)\n"
                       "{ int rc = (int)syscall(SYS_clock_gettime, id, t);\n"
                       "  if (id == CLOCK_REALTIME) t->tv_sec = 86400; return rc; }\n")
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if not compiler or subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=False).returncode:
            self.skipTest("no compiler for the false clock")
        env = common.clean_env(self.tmp, LD_PRELOAD=library)
        env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        peer = self.secure(certs.leaf("clock"))
        line = self.refused(peer, "clock is wrong (1970-01-02)", env=env)
        self.assertIn("not valid before", line["error"])
        self.refused(peer, ["clock is wrong", "unknown CA"], options=("-c", certs.root("no-clock")[0]), env=env)
        self.accepted(peer, options=("-i",), env=env)


def context_weak(cert):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("DEFAULT:@SECLEVEL=0")
    made.load_cert_chain(*cert)
    return made


class Roots(TlsCase):
    def test_bundle_with_odd_certificates(self):
        odd = certs.sign("odd", None, certs.key("odd"), "/CN=odd",
                         ["basicConstraints=critical,CA:TRUE", "1.2.3.4=critical,DER:0500"])
        more = [certs.root(f"more{i}")[0] for i in range(2)]
        bundle = certs.path("bundle.pem")
        with open(bundle, "w", encoding="utf-8", newline="") as out:
            out.write("# a comment\r\n\r\nBundle of roots\r\n")
            for path in (more[0], odd[0], certs.ca[0], more[1]):
                with open(path, encoding="utf-8") as file:
                    out.write("Subject: x\r\n" + file.read().replace("\n", "\r\n") + "\r\n\r\n")
        peer = self.secure(certs.leaf("bundled"))
        self.accepted(peer, options=("-c", bundle))
        stranger = self.secure(certs.leaf("unbundled", ca=certs.root("stranger4")))
        self.refused(stranger, "3 loaded, 1 skipped", options=("-c", bundle))
        only_bad = certs.path("bad.pem")
        shutil.copy(odd[0], only_bad)
        line = self.one(peer.url, options=("-c", only_bad), fails=CONFIG)
        self.assertIn("no CA certificates found in: " + only_bad, line["error"])

    def test_large_bundle_is_read_again(self):
        system = "/etc/ssl/certs/ca-certificates.crt"
        if not os.path.exists(system):
            self.skipTest("no system bundle")
        bundle = certs.join("large.pem", system, certs.ca[0])
        self.accepted(self.secure(certs.leaf("large")), options=("-c", bundle))

    def test_broken_bundles(self):
        peer = self.secure(certs.leaf("broken"))
        with open(certs.ca[0], encoding="utf-8") as file:
            good = file.read()
        body = good.replace("-----END CERTIFICATE-----\n", "")
        rows = {"empty": "", "text": "hello\n", "cut": body, "no-end": body[:100], "bad64": good.replace("MI", "M!", 1),
                "nul": "\0" * 5000, "begins": "-----BEGIN CERTIFICATE-----\n" * 500}
        for name, text in rows.items():
            with self.subTest(name=name):
                path = self.path(name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.one(peer.url, options=("-c", path), fails=CONFIG)
                with open(path, "a", encoding="utf-8") as file:
                    file.write("\n" + good)
                if name != "nul":
                    self.accepted(peer, options=("-c", path))
        line = self.one(peer.url, options=("-c", self.path("missing")), fails=netcase.NOT_FOUND)
        self.assertIn(self.path("missing"), line["error"])
        self.one(peer.url, options=("-c", self.tmp), fails=CONFIG)

    def test_der_and_directories(self):
        peer = self.secure(certs.leaf("dirs"))
        der = self.path("ca.der")
        openssl("x509", "-in", certs.ca[0], "-outform", "DER", "-out", der)
        self.accepted(peer, options=("-c", der))
        links, empty = self.path("links"), self.path("empty")
        os.mkdir(links)
        os.mkdir(empty)
        os.symlink(certs.ca[0], os.path.join(links, "0a1b2c3d.0"))
        os.symlink("/nowhere", os.path.join(links, "dangling"))
        self.accepted(peer, options=("-C", links))
        line = self.one(peer.url, options=("-C", empty), fails=CONFIG)
        self.assertIn("no CA certificates found in: " + empty, line["error"])

    def test_environment_of_openssl_is_honoured(self):
        peer = self.secure(certs.leaf("env"))
        env = common.clean_env(self.tmp, SSL_CERT_FILE=certs.ca[0])
        self.accepted(peer, options=("-t", "5000"), env=env)
        env = common.clean_env(self.tmp, SSL_CERT_FILE=self.path("missing"))
        self.refused(peer, self.path("missing"), options=("-t", "5000"), env=env)

    def test_cross_signed_chains(self):
        past = {"start": "20200101000000Z", "end": "20210101000000Z"}
        old = certs.root("old-root", **past)
        key = certs.key("x1")
        x1 = certs.root("x1-root", subject="/CN=x1", key=key)
        cross = certs.sign("x1-cross", old, key, "/CN=x1", ["basicConstraints=critical,CA:TRUE"])
        middle = certs.sign("middle", x1, certs.key("middle"), "/CN=middle", ["basicConstraints=critical,CA:TRUE"])
        leaf = certs.leaf("crossed", ca=middle)
        chain = certs.join("chain.pem", leaf[0], middle[0], cross[0])
        peer = self.secure((chain, leaf[1]))
        self.accepted(peer, options=("-c", x1[0]))
        self.refused(peer, ["expired on 2021-01-01", "old-root"], options=("-c", old[0]))
        self.accepted(peer, options=("-c", certs.join("both.pem", old[0], x1[0])))
        # The other way round: our copy of x1 is expired, the sent one is signed by a root that lives.
        stale = certs.root("x1-stale", subject="/CN=x1", key=key, **past)
        young = certs.root("young")
        cross2 = certs.sign("x1-cross2", young, key, "/CN=x1", ["basicConstraints=critical,CA:TRUE"])
        peer = self.secure((certs.join("chain2.pem", leaf[0], middle[0], cross2[0]), leaf[1]))
        self.accepted(peer, options=("-c", certs.join("both2.pem", stale[0], young[0])))
        self.refused(peer, "expired on 2021-01-01", options=("-c", stale[0]))

    def test_missing_and_shuffled_intermediates(self):
        middle = certs.sign("mid2", certs.ca, certs.key("mid2"), "/CN=mid2", ["basicConstraints=critical,CA:TRUE"])
        lower = certs.sign("low2", middle, certs.key("low2"), "/CN=low2", ["basicConstraints=critical,CA:TRUE"])
        leaf = certs.leaf("deep", ca=lower)
        self.refused(self.secure(leaf), "unknown CA \"low2\"")
        full = certs.join("full.pem", leaf[0], lower[0], middle[0])
        self.accepted(self.secure((full, leaf[1])))
        self.accepted(self.secure((full, leaf[1])), options=("-c", middle[0]))
        shuffled = certs.join("shuffled.pem", leaf[0], middle[0], lower[0], certs.ca[0])
        self.accepted(self.secure((shuffled, leaf[1])))


class Pins(TlsCase):
    def pin(self, cert):
        der = subprocess.run(f"openssl x509 -in {cert[0]} -pubkey -noout | openssl pkey -pubin -outform DER",
                             shell=True, stdout=subprocess.PIPE, check=True).stdout
        return hashlib.sha256(der).digest()

    def test_pins(self):
        cert = certs.leaf("pin")
        peer = self.secure(cert)
        digest = self.pin(cert)
        b64 = base64.b64encode(digest).decode()
        other = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
        for pin in (b64, digest.hex(), "sha256//" + b64, f"{other}, {b64}", digest.hex().upper()):
            with self.subTest(pin=pin):
                self.accepted(peer, options=("-c", certs.ca[0], "-p", pin))
        fresh = self.secure(cert)
        for options in (("-c", certs.ca[0], "-p", other), ("-i", "-p", other)):
            self.refused(fresh, ["pinned", b64], options=options)
        self.accepted(fresh, options=("-i", "-p", b64))
        for bad in "abc", "zz" * 32, b64[:-4]:
            self.one(fresh.url, options=("-c", certs.ca[0], "-p", bad), fails=CONFIG)

    def test_a_pin_does_not_replace_the_ca(self):
        cert = certs.leaf("pin2")
        b64 = base64.b64encode(self.pin(cert)).decode()
        self.refused(self.secure(cert), "unknown CA", options=("-p", b64, "-c", certs.root("nobody2")[0]))


class ClientCertificates(TlsCase):
    def test_client_certificate(self):
        mine = certs.leaf("me", extra=["extendedKeyUsage=clientAuth"])
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            with self.subTest(version=version):
                made = context(certs.leaf("mutual"))
                made.minimum_version = made.maximum_version = version
                made.verify_mode = ssl.CERT_REQUIRED
                made.load_verify_locations(certs.ca[0])
                peer = self.secure(made)
                line = self.one(peer.url, options=("-c", certs.ca[0]))
                self.assertIn(line["kind"], (TLS, CLOSED), line)
                self.accepted(peer, options=("-c", certs.ca[0], "-K", mine[0], "-e", mine[1]))

    def test_settings_that_do_not_fit(self):
        mine, other = certs.leaf("me2"), certs.leaf("me3")
        peer = self.secure(certs.leaf("plain2"))
        locked = self.path("locked.key")
        openssl("ec", "-in", mine[1], "-aes128", "-passout", "pass:x", "-out", locked)
        locked8 = self.path("locked8.key")
        openssl("pkcs8", "-topk8", "-in", mine[1], "-passout", "pass:x", "-out", locked8)
        for options, words in ((("-K", mine[0], "-e", other[1]), "does not belong"), (("-K", mine[0]), "without"),
                               (("-e", mine[1]), "without"), (("-K", mine[1], "-e", mine[1]), "no certificate"),
                               (("-K", mine[0], "-e", mine[0]), "no private key"),
                               (("-K", mine[0], "-e", locked), "encrypted"),
                               (("-K", mine[0], "-e", locked8), "encrypted")):
            with self.subTest(options=options):
                line = self.one(peer.url, options=("-c", certs.ca[0], *options), fails=CONFIG)
                self.assertIn(words, line["error"])

    def test_key_formats(self):
        cert = certs.leaf("formats", kind="rsa2048", extra=["extendedKeyUsage=clientAuth"])
        pkcs8, pkcs1, der = self.path("8"), self.path("1"), self.path("d")
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", cert[1], "-out", pkcs8)
        openssl("rsa", "-in", cert[1], "-traditional", "-out", pkcs1)
        openssl("rsa", "-in", cert[1], "-outform", "DER", "-out", der)
        peer = self.secure(certs.leaf("formats-server"))
        for key in pkcs8, pkcs1, der:
            self.accepted(peer, options=("-c", certs.ca[0], "-K", cert[0], "-e", key))


class Sessions(TlsCase):
    def test_resumption(self):
        cert = certs.leaf("resume")
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            with self.subTest(version=version):
                made = context(cert)
                made.minimum_version = made.maximum_version = version
                peer = self.peer(tls=made)
                reused = []

                def step(conn, request, reused=reused):
                    reused.append(conn.sock.session_reused)
                    reply(200, b"x", headers=[("Connection", "close")])(conn, request)
                    conn.sock.unwrap()
                    return False
                peer.on("GET", "/.*", step, forever=True)
                for url in peer.url, f"https://localhost:{peer.port}":
                    reused.clear()
                    lines = self.get(url, "/", "/", "/", options=("-c", certs.ca[0]))
                    self.assertEqual([line.get("body") for line in lines], ["x"] * 3, lines)
                    self.assertEqual(reused, [False, True, True])

    def test_server_that_forgot_its_sessions(self):
        cert = certs.leaf("forget")
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            peer = self.peer(tls=context(cert))
            peer.on("GET", "/.*", reply(200, b"x", headers=[("Connection", "close")]), forever=True)
            steps = self.step_by_step(peer.url, "/", "/", "/", options=("-c", certs.ca[0]))
            for _ in range(3):
                line = steps.next()
                self.assertEqual(line.get("body"), "x", line)
                made = context(cert)
                made.minimum_version = made.maximum_version = version
                peer.tls = made

    def test_idle_connection_with_tickets_is_kept(self):
        made = context(certs.leaf("tickets"))
        made.num_tickets = 4
        peer = self.secure(made)
        lines = self.get(peer.url, "/", "/", "/", options=("-c", certs.ca[0]))
        self.assertEqual([line["connects"] for line in lines], [1, 1, 1])

    def test_closed_idle_connection_is_replaced(self):
        for graceful in True, False:
            peer = self.peer(tls=context(certs.leaf("idle")))

            def step(conn, request, graceful=graceful):
                reply(200, b"first")(conn, request)
                if graceful:
                    try:
                        conn.sock.settimeout(0.2)
                        conn.sock.unwrap()
                    except OSError:
                        pass
                return False
            peer.on("POST", "/a", step)
            peer.on("POST", "/b", reply(200, b"second"))
            steps = self.step_by_step(peer.url, "/a", "/b",
                                      options=("-c", certs.ca[0], "-X", "POST", "-d", "body"))
            self.assertEqual(steps.next()["body"], "first")
            peer.wait(lambda: not peer.conns, 10, "connection closed")
            self.assertEqual(steps.next().get("body"), "second")
            self.assertEqual([r.body for r in peer.seen("POST", "/b")], [b"body"])


class Records(TlsCase):
    def test_records_of_one_byte(self):
        for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
            made = context(certs.leaf("tiny"))
            made.minimum_version = made.maximum_version = version
            peer = self.peer(tls=made)
            text = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"y" * 300
            peer.on("GET", "/", raw(*[text[i:i + 1] for i in range(len(text))]))
            self.assertEqual(self.one(peer.url, options=("-c", certs.ca[0])).get("length"), 300)

    def test_large_records_and_bodies(self):
        peer = self.secure(certs.leaf("big"), body=b"z" * 3000000)
        line = self.one(peer.url, options=("-c", certs.ca[0]))
        self.assertEqual(line["sha256"], hashlib.sha256(b"z" * 3000000).hexdigest())

    def test_upload_to_a_slow_reader(self):
        made = context(certs.leaf("slow"))
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        want = hashlib.sha256(bytes(ord("a") + i * 7 % 26 for i in range(1 << 20))).hexdigest()
        digests = []

        def serve():
            for _ in range(3):
                conn, _ = listener.accept()
                with made.wrap_socket(conn, server_side=True) as tls:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += tls.recv(1024)
                    data = data.split(b"\r\n\r\n", 1)[1]
                    digest, size = hashlib.sha256(data), len(data)
                    while size < 1 << 20:
                        piece = tls.recv(1024)
                        digest.update(piece)
                        size += len(piece)
                    digests.append(digest.hexdigest())
                    tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(3):
            line = self.one(url, options=("-c", certs.ca[0], "-X", "POST", "-G", str(1 << 20), "-t", "30000"))
            self.assertEqual(line.get("status"), 200, line)
        thread.join(10)
        listener.close()
        self.assertEqual(digests, [want] * 3)

    def ending(self, text, notify):
        """A reply after which the connection ends with or without close_notify."""
        peer = self.peer(tls=context(certs.leaf("ending")))

        def step(conn, request):
            conn.send(text)
            if notify:
                conn.sock.settimeout(0.5)
                try:
                    conn.sock.unwrap()
                except OSError:
                    pass
            return False
        peer.on("GET", "/", step)
        return self.one(peer.url, options=("-c", certs.ca[0]))

    def test_end_with_and_without_close_notify(self):
        length = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
        chunked = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                   b"4\r\nbody\r\n0\r\n\r\n")
        close = b"HTTP/1.1 200 OK\r\n\r\nbody"
        for text in length, chunked, close:
            self.assertEqual(self.ending(text, True).get("body"), "body")
        for text in length, chunked:
            self.assertEqual(self.ending(text, False).get("body"), "body")
        line = self.ending(close, False)
        self.assertEqual(line.get("kind"), CLOSED, line)

    def test_key_update_is_survived_or_reported(self):
        cert, key = certs.leaf("update")
        server = subprocess.Popen(["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert, "-key", key,
                                   "-tls1_3"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  stdin=subprocess.PIPE, text=True, cwd=self.tmp)
        try:
            for line in server.stdout:
                if line.startswith("ACCEPT"):
                    break
            port = line.split(":")[-1].strip()
            server.stdin.write("k\n")
            server.stdin.flush()
            got = self.one(f"https://127.0.0.1:{port}", options=("-c", certs.ca[0], "-t", "1500"))
            self.assertIn(got["kind"], (TLS, TIMEOUT, CLOSED))
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
            server.stdin.close()


class NotTls(TlsCase):
    def test_plain_http_behind_https(self):
        peer = self.peer()
        peer.dead_on_accept = lambda conn, request: conn.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.refused(peer, "http:// instead of https://", url=peer.url.replace("http:", "https:"))

    def test_garbage_and_silence(self):
        peer = self.peer()
        peer.dead_on_accept = lambda conn, request: conn.send(b"220 smtp ready\r\n" * 10)
        self.refused(peer, "does not speak TLS", url=peer.url.replace("http:", "https:"))
        peer.dead_on_accept = lambda conn, request: conn.close()
        self.refused(peer, "closed", kind=CLOSED, url=peer.url.replace("http:", "https:"))
        peer.dead_on_accept = lambda conn, request: conn.reset()
        line = self.one(peer.url.replace("http:", "https:"), options=("-c", certs.ca[0]))
        self.assertIn(line["kind"], (CLOSED, netcase.CONNECT), line)
        peer.dead_on_accept = lambda conn, request: conn.pause(3600)
        self.refused(peer, "TLS handshake", kind=TIMEOUT, url=peer.url.replace("http:", "https:"),
                     options=("-c", certs.ca[0], "-t", "400"))
        # A record cut in its middle, and one that promises more than is allowed.
        peer.dead_on_accept = lambda conn, request: (conn.recv(), conn.send(b"\x16\x03\x03\x40\x00" + b"\x02" * 9))
        self.refused(peer, "closed", kind=CLOSED, url=peer.url.replace("http:", "https:"))
        peer.dead_on_accept = lambda conn, request: (conn.recv(), conn.send(b"\x16\x03\x03\xff\xff" + b"\x02" * 99))
        self.refused(peer, "TLS error", url=peer.url.replace("http:", "https:"))

    def test_damaged_record(self):
        """A relay that flips one bit of application data."""
        peer = self.secure(certs.leaf("damage"))
        relay = socket.create_server(("127.0.0.1", 0))

        def serve():
            near, _ = relay.accept()
            far = socket.create_connection(("127.0.0.1", peer.port))
            self.addCleanup(near.close)
            self.addCleanup(far.close)
            threading.Thread(target=lambda: pump(near, far, False), daemon=True).start()
            pump(far, near, True)

        def pump(source, to, damage):
            seen = 0
            try:
                while True:
                    data = source.recv(65536)
                    if not data:
                        break
                    if damage and seen > 0 and len(data) > 40:
                        data = data[:-3] + bytes([data[-3] ^ 1]) + data[-2:]
                    seen += 1
                    to.sendall(data)
                to.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(relay.close)
        line = self.one(f"https://127.0.0.1:{relay.getsockname()[1]}", options=("-c", certs.ca[0], "-t", "5000"),
                        fails=TLS)
        self.assertIn("damaged", line["error"])


class Proxies(TlsCase):
    """CONNECT, absolute targets, basic auth."""

    def proxy(self, answer=None):
        peer = self.peer()

        def connect(conn, request):
            if answer:
                return raw(answer, then="close")(conn, request)
            host, _, port = request.target.rpartition(":")
            far = socket.create_connection((host.strip("[]"), int(port)))
            self.addCleanup(far.close)
            conn.send(b"HTTP/1.1 200 Connection established\r\n\r\n")

            def up():
                try:
                    while True:
                        far.sendall(conn.recv())
                except (Gone, OSError):
                    far.close()
            threading.Thread(target=up, daemon=True).start()
            try:
                while True:
                    data = far.recv(65536)
                    if not data:
                        return False
                    conn.send(data)
            except (OSError, Gone):
                return False
        peer.on("CONNECT", ".*", connect, forever=True)
        peer.on("GET", ".*", reply(200, b"by proxy"), forever=True)
        return peer

    def test_connect(self):
        peer = self.secure(certs.leaf("proxied"))
        proxy = self.proxy()
        for text in f"http://127.0.0.1:{proxy.port}", f"127.0.0.1:{proxy.port}", f"http://u:p%20w@127.0.0.1:{proxy.port}/":
            self.accepted(peer, options=("-c", certs.ca[0], "-x", text))
        self.assertEqual({r.target for r in proxy.requests}, {f"127.0.0.1:{peer.port}"})
        self.assertEqual([r.header("Proxy-Authorization") for r in proxy.requests],
                         [None, None, "Basic " + base64.b64encode(b"u:p w").decode()])
        self.assertIsNone(peer.requests[-1].header("Proxy-Authorization"))

    def test_plain_http_is_asked_of_the_proxy(self):
        proxy = self.proxy()
        line = self.one("http://server.example:1234", "/a?b", options=("-x", f"http://u:p@127.0.0.1:{proxy.port}"))
        self.assertEqual(line["body"], "by proxy")
        self.assertEqual(proxy.requests[0].target, "http://server.example:1234/a?b")
        self.assertEqual(proxy.requests[0].header("Host"), "server.example:1234")
        self.assertTrue(proxy.requests[0].header("Proxy-Authorization"))

    def test_refusals(self):
        peer = self.secure(certs.leaf("proxied2"))
        rows = ((b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", HTTP, "user:password@"),
                (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nbad", HTTP, "403 Forbidden"),
                (b"HTTP/1.0 502 Bad Gateway\r\n\r\n", HTTP, "502"), (b"garbage\r\n\r\n", netcase.PARSE, "proxy"),
                (b"HTTP/1.1 200 OK\r\n", CLOSED, "proxy"))
        for answer, kind, words in rows:
            with self.subTest(answer=answer):
                proxy = self.proxy(answer)
                line = self.one(peer.url, options=("-c", certs.ca[0], "-x", f"http://u:hunter2@127.0.0.1:{proxy.port}"),
                                fails=kind)
                self.assertIn(words, line["error"])
                self.assertNotIn("hunter2", line["error"])
        self.assertEqual(peer.requests, [])


if __name__ == "__main__":
    netcase.main()
