# SPDX-License-Identifier: Apache-2.0
"""The real OpenSSH client, through a program that gives it the connection."""
import os
import shlex
import shutil
import subprocess

import common


class SshCase(common.Case):
    """self.proxy is the ProxyCommand: a test sets it before it connects."""

    def setUp(self):
        super().setUp()
        if not shutil.which("ssh") or not shutil.which("ssh-keygen"):
            self.skipTest("no OpenSSH client here")
        self.home, self.checkout = self.path("home"), self.path("checkout")
        os.mkdir(self.home)
        os.mkdir(self.checkout)
        self.key = self.make_key("key")
        self.env = common.clean_env(self.home, SHELL="/bin/sh")
        self.proxy = []

    def make_key(self, name):
        common.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.path(name)], check=True)
        return self.path(name)

    @staticmethod
    def public(key):
        with open(key + ".pub", encoding="ascii") as file:
            return " ".join(file.read().split()[:2])

    def config(self, key=None, proxy=None):
        path = self.path(f"config-{len(os.listdir(self.tmp))}")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""Host ws
ProxyCommand {shlex.join(proxy or self.proxy)}
IdentityFile {key or self.key}
IdentitiesOnly yes
UserKnownHostsFile {self.path("known")}
GlobalKnownHostsFile none
StrictHostKeyChecking accept-new
PasswordAuthentication no
KbdInteractiveAuthentication no
BatchMode yes
LogLevel ERROR
""")
        return path

    def ssh(self, *args, key=None, options=(), timeout=60, **kwargs):
        if "input" not in kwargs:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run(["ssh", "-F", self.config(key), *options, "ws", *args], env=self.env,
                              timeout=timeout * common.PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def ssh_start(self, *args, options=(), **kwargs):
        process = subprocess.Popen(["ssh", "-F", self.config(), *options, "ws", *args], env=self.env,
                                   **{"stdin": subprocess.DEVNULL, **kwargs})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def other(self, program, *args, **kwargs):
        """scp, sftp and others that take -F."""
        return subprocess.run([program, "-F", self.config(), *args], env=self.env, timeout=60 * common.PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def ok(self, done):
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout
