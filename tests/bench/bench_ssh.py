#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes through ssh into a workspace, in pairs with plain sshd on loopback: up and down, alternating, so that what else the
machine does hits both. Prints medians and their ratio; never fails by the clock.

    tests/bench/bench_ssh.py [--mb N] [--rounds N]
"""
import argparse
import os
import pwd
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
os.environ.setdefault("DAYTONA_RUNNER_BIN", os.path.join(HERE, "..", "..", "build", "release", "daytona-runner"))
from lib import common, tunnelcase  # noqa: E402


class Bench(tunnelcase.TunnelCase):
    def runTest(self):
        pass

    def ours(self):
        """Options of ssh for the workspace."""
        (key,) = self.make("w1")
        self.agent("w1", key)
        home = os.path.join(self.tmp, "client")
        os.mkdir(home)
        env = common.clean_env(home, DAYTONA_API_URL=self.server.url, DAYTONA_API_KEY=self.server.key)
        text = common.run([common.BIN, "ssh-config", "--print"], env=env, check=True).stdout
        with open(os.path.join(self.tmp, "config"), "w", encoding="utf-8") as file:
            file.write(text)
        host = next(line.split()[1] for line in text.splitlines() if line.startswith("Host "))
        return ["ssh", "-F", file.name, host], env

    def plain(self):
        folder = os.path.join(self.tmp, "sshd")
        os.mkdir(folder)
        for name in ("host", "key"):
            common.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(folder, name)], check=True)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        options = {"Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder + "/host", "PidFile": folder + "/pid",
                   "AuthorizedKeysFile": folder + "/key.pub", "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no"}
        with open(folder + "/config", "w", encoding="ascii") as file:
            file.writelines(f"{k} {v}\n" for k, v in options.items())
        os.makedirs("/run/sshd", exist_ok=True)
        daemon = subprocess.Popen([shutil.which("sshd"), "-D", "-f", file.name], stderr=subprocess.DEVNULL)
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.terminate)
        common.wait_listens(port, "sshd")
        return ["ssh", "-F", "none", "-p", str(port), "-i", folder + "/key", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes",
                "-o", "UserKnownHostsFile=" + folder + "/known", "-o", "LogLevel=ERROR",
                pwd.getpwuid(os.getuid()).pw_name + "@127.0.0.1"], common.clean_env(folder)

    def measure(self, way, ssh, env, mb):
        size = mb << 20
        begin = time.monotonic()
        if way == "up":
            command = f"head -c {size} /dev/zero | {shlex.join(ssh)} 'cat >/dev/null'"
        else:
            command = f"{shlex.join(ssh)} 'head -c {size} /dev/zero' >/dev/null </dev/null"
        subprocess.run(["sh", "-c", command], env=env, check=True)
        return mb / (time.monotonic() - begin)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mb", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    bench = Bench()
    bench.setUp()
    try:
        both = {"plain sshd": bench.plain(), "workspace": bench.ours()}
        for way in ("up", "down"):
            rates = {name: [] for name in both}
            for _ in range(args.rounds):
                for name, (ssh, env) in both.items():
                    rates[name].append(bench.measure(way, ssh, env, args.mb))
            plain, ours = (statistics.median(rates[name]) for name in both)
            pairs = statistics.median(b / a for a, b in zip(*rates.values()))
            print(f"{way:<5} {args.mb} MiB: plain sshd {plain:6.1f} MiB/s, workspace {ours:6.1f} MiB/s, "
                  f"median of pairs {100 * pairs:.0f} % (aim >= 50)", flush=True)
    finally:
        bench.doCleanups()


if __name__ == "__main__":
    main()
