# SPDX-License-Identifier: Apache-2.0
"""What a certificate authority may sign: name constraints, extended key usage, names of the leaf. Each row is a
chain made with openssl, and what openssl itself says of the chain is compared where it checks the same."""
import base64
import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import netcase
from tlscase import TlsCase

CA = "basicConstraints=critical,CA:TRUE"


class ChainCase(TlsCase):
    made = 0

    def chain(self, root=(), middle=None, leaf_san="DNS:localhost", leaf=(), subject=None):
        """root, middle, leaf: extensions beside the usual ones; middle None: the root signs the leaf. Returns the
        trusted file, the chain to send and its key, and the name that errors give to the constrained one."""
        ChainCase.made += 1
        name = f"ch{ChainCase.made}"
        top = self.certs.sign(name + "-root", None, self.certs.key(name + "-root"), f"/CN={name}-root", [CA, *root])
        signer, between = top, []
        if middle is not None:
            signer = self.certs.sign(name + "-mid", top, self.certs.key(name + "-mid"), f"/CN={name}-mid", [CA, *middle])
            between = [signer[0]]
        extensions = ([f"subjectAltName={leaf_san}"] if leaf_san else []) + list(leaf)
        end = self.certs.sign(name, signer, self.certs.key(name), subject or f"/CN={name}", extensions)
        return top[0], (self.certs.join(name + ".chain", end[0], *between), end[1]), name, end[0], between

    def openssl_says(self, top, leaf, between, host):
        kind = "-verify_ip" if host[0].isdigit() else "-verify_hostname"
        args = ["openssl", "verify", "-purpose", "sslserver", kind, host, "-CAfile", top]
        for path in between:
            args += ["-untrusted", path]
        return subprocess.run([*args, leaf], check=False, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0


class Constraints(ChainCase):
    # Constraint, the leaf's names, host asked for, allowed.
    CONSTRAINTS = [
        ("permitted;DNS:localhost", "DNS:localhost", "localhost", True),
        ("permitted;DNS:LOCALHOST", "DNS:localhost", "localhost", True),
        ("permitted;DNS:localhost", "DNS:a.localhost", "a.localhost", True),
        ("permitted;DNS:.localhost", "DNS:a.localhost", "a.localhost", True),
        ("permitted;DNS:.localhost", "DNS:localhost", "localhost", False),
        ("permitted;DNS:example.com", "DNS:localhost", "localhost", False),
        ("permitted;DNS:alhost", "DNS:localhost", "localhost", False),
        ("permitted;DNS:a.localhost", "DNS:localhost", "localhost", False),
        ("permitted;DNS:a.w.localhost", "DNS:*.w.localhost", "a.w.localhost", False),
        ("permitted;DNS:localhost", "DNS:*.w.localhost", "a.w.localhost", True),
        ("permitted;DNS:example.com,permitted;DNS:localhost", "DNS:localhost", "localhost", True),
        ("permitted;DNS:localhost", "DNS:localhost,DNS:example.com", "localhost", False),
        ("permitted;DNS:localhost", "DNS:localhost,IP:127.0.0.1", "localhost", True),
        ("permitted;DNS:localhost", "IP:127.0.0.1", "127.0.0.1", True),    # addresses are not limited by that
        ("excluded;DNS:localhost", "DNS:localhost", "localhost", False),
        ("excluded;DNS:localhost", "DNS:a.localhost", "a.localhost", False),
        ("excluded;DNS:example.com", "DNS:localhost", "localhost", True),
        ("excluded;DNS:b.w.localhost", "DNS:*.w.localhost", "a.w.localhost", True),
        ("permitted;DNS:localhost,excluded;DNS:a.localhost", "DNS:a.localhost", "a.localhost", False),
        ("permitted;IP:127.0.0.0/255.0.0.0", "IP:127.0.0.1", "127.0.0.1", True),
        ("permitted;IP:10.0.0.0/255.0.0.0", "IP:127.0.0.1", "127.0.0.1", False),
        ("permitted;IP:10.0.0.0/255.0.0.0", "DNS:localhost", "localhost", True),
        ("excluded;IP:127.0.0.1/255.255.255.255", "IP:127.0.0.1", "127.0.0.1", False),
        ("excluded;IP:0.0.0.0/0.0.0.0", "IP:127.0.0.1", "127.0.0.1", False),
        ("excluded;IP:0.0.0.0/0.0.0.0", "DNS:localhost,IP:127.0.0.1", "localhost", False),
        ("excluded;IP:::/0:0:0:0:0:0:0:0", "IP:127.0.0.1", "127.0.0.1", True),
        ("permitted;email:example.com", "DNS:localhost", "localhost", True),
        ("permitted;URI:.example.com", "DNS:localhost", "localhost", True),
    ]

    def one_row(self, where, critical, constraint, san, host, good):
        extension = f"nameConstraints={'critical,' if critical else ''}{constraint}"
        if where == "root":
            top, chain, name, leaf, between = self.chain(root=[extension], leaf_san=san)
        elif where == "root above another":
            top, chain, name, leaf, between = self.chain(root=[extension], middle=[], leaf_san=san)
        else:
            top, chain, name, leaf, between = self.chain(middle=[extension], leaf_san=san)
        self.assertEqual(self.openssl_says(top, leaf, between, host), good, "openssl")
        peer = self.secure(chain)
        url = f"https://{host}:{peer.port}"
        if good:
            self.accepted(peer, url, options=("-c", top))
        else:
            constrained = f"{name}-{'mid' if where == 'intermediate' else 'root'}"
            self.refused(peer, [f'the CA "{constrained}" may not sign for', "name constraints"], url, options=("-c", top))

    def test_name_constraints(self):
        for row in self.CONSTRAINTS:
            with self.subTest(row=row):
                self.one_row("intermediate", True, *row)

    def test_name_constraints_wherever_they_are(self):
        for where in "root", "root above another", "intermediate":
            for critical in True, False:
                for row in self.CONSTRAINTS[0], self.CONSTRAINTS[5], self.CONSTRAINTS[14]:
                    with self.subTest(where=where, critical=critical, row=row):
                        self.one_row(where, critical, *row)

    def test_excluded_name_below_a_wildcard(self):
        """The certificate is good for other names, not for this one."""
        top, chain, name, _, _ = self.chain(middle=["nameConstraints=critical,excluded;DNS:b.localhost"],
                                            leaf_san="DNS:*.localhost")
        peer = self.secure(chain)
        self.refused(peer, [f'"{name}-mid" may not sign for b.localhost'], f"https://b.localhost:{peer.port}",
                     options=("-c", top))

    def test_constraints_of_an_unsupported_kind_are_refused_by_name(self):
        rows = ["nameConstraints=critical,permitted;dirName:dn\n[dn]\nC=DE",
                # minimum 1; a base of no known kind; not the sequence that it should be; an address of 5 bytes
                "2.5.29.30=critical,DER:30:10:a0:0e:30:0c:82:07:65:78:61:6d:70:6c:65:80:01:01",
                "2.5.29.30=critical,DER:30:08:a0:06:30:04:8a:02:61:62", "2.5.29.30=critical,DER:04:00",
                "2.5.29.30=critical,DER:30:0b:a0:09:30:07:87:05:7f:00:00:01:ff",
                "2.5.29.30=DER:30:0b:a0:09:30:07:87:05:7f:00:00:01:ff",
                "2.5.29.30=critical,DER:30:0f:a2:0d:30:0b:82:09:6c:6f:63:61:6c:68:6f:73:74"]
        for row in rows:
            with self.subTest(row=row):
                top, chain, name, _, _ = self.chain(middle=[row])
                peer = self.secure(chain)
                self.refused(peer, f'the CA "{name}-mid" has name constraints of a kind',
                             f"https://localhost:{peer.port}", options=("-c", top))


class OtherLimits(ChainCase):
    def test_other_critical_extensions_stay_refused(self):
        for where in "middle", "root":
            with self.subTest(where=where):
                top, chain, _, _, _ = self.chain(**{where: ["1.2.3.4=critical,DER:0500"],
                                                    **({} if where == "middle" else {"middle": []})})
                peer = self.secure(chain)
                self.one(f"https://localhost:{peer.port}", options=("-c", top),
                         fails=netcase.TLS if where == "middle" else netcase.CONFIG)
                self.assertEqual(peer.requests, [])

    def test_extended_key_usage_of_authorities(self):
        rows = [("serverAuth", True), ("clientAuth,serverAuth", True), ("anyExtendedKeyUsage", True), (None, True),
                ("clientAuth", False), ("emailProtection,codeSigning", False), ("1.3.6.1.5.5.7.3.99", False)]
        for where in "intermediate", "root":
            for usage, good in rows:
                with self.subTest(where=where, usage=usage):
                    extension = [f"extendedKeyUsage={usage}"] if usage else []
                    top, chain, name, leaf, between = self.chain(root=extension if where == "root" else [],
                                                                 middle=extension if where == "intermediate" else [])
                    peer = self.secure(chain)
                    url = f"https://localhost:{peer.port}"
                    if where == "intermediate" and usage != "anyExtendedKeyUsage":
                        self.assertEqual(self.openssl_says(top, leaf, between, "localhost"), good, "openssl")
                    if good:
                        self.accepted(peer, url, options=("-c", top))
                    else:
                        self.refused(peer, [f'the CA "{name}-{"mid" if where == "intermediate" else "root"}" may not sign',
                                            "extended key usage"], url, options=("-c", top))

    def test_no_alternative_name_no_connection(self):
        """A common name does not stand in, whatever it says."""
        for subject, host in (("/CN=localhost", "localhost"), ("/CN=*.localhost", "a.localhost"),
                              ("/CN=127.0.0.1", "127.0.0.1"), ("/O=nobody", "localhost")):
            for middle in None, []:
                with self.subTest(subject=subject, middle=middle):
                    top, chain, _, _, _ = self.chain(middle=middle, leaf_san=None, subject=subject)
                    peer = self.secure(chain)
                    url = f"https://{host}:{peer.port}"
                    self.refused(peer, "no subject alternative name", url, options=("-c", top))
        cert = self.certs.sign("cn-self", None, self.certs.key("cn-self"), "/CN=localhost", ["basicConstraints=CA:FALSE"])
        peer = self.secure(cert)
        self.refused(peer, "no subject alternative name", f"https://localhost:{peer.port}", options=("-c", cert[0]))

    def test_common_name_beside_alternative_names(self):
        top, chain, _, _, _ = self.chain(leaf_san="DNS:other.example", subject="/CN=localhost")
        peer = self.secure(chain)
        self.refused(peer, "not for localhost", f"https://localhost:{peer.port}", options=("-c", top))


class Pins(ChainCase):
    """insecure with a pin, and how much of a chain is sent."""

    def pin(self, path):
        der = subprocess.run(f"openssl x509 -in {path} -pubkey -noout | openssl pkey -pubin -outform DER", shell=True,
                             stdout=subprocess.PIPE, check=True).stdout
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def test_pin_of_the_leaf_alone_counts(self):
        top, chain, _, leaf, between = self.chain(middle=[], leaf_san="DNS:elsewhere.example")
        sent = {"leaf alone": leaf, "with intermediate": chain[0],
                "with root": self.certs.join("whole.chain", chain[0], top)}
        good = self.pin(leaf)
        for length, path in sent.items():
            with self.subTest(sent=length):
                peer = self.secure((path, chain[1]))
                self.accepted(peer, options=("-i", "-p", good))
                self.accepted(peer, options=("-i",))
                for other in self.pin(between[0]), self.pin(top):
                    self.refused(peer, ["pinned", good], options=("-i", "-p", other))

    def test_pin_with_verification(self):
        top, chain, _, leaf, between = self.chain(middle=[], leaf_san="IP:127.0.0.1")
        peer = self.secure(chain)
        self.accepted(peer, options=("-c", top, "-p", self.pin(leaf)))
        self.refused(peer, "pinned", options=("-c", top, "-p", self.pin(between[0])))


if __name__ == "__main__":
    netcase.main()
