#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pull and unpack of an image of five layers from Debian's docker-registry, gzip and zstd: `image pull` against `podman pull`
and, for gzip, `docker pull`, in turn, into empty stores. Wall clock, processor time of the puller and what it started (of
docker: of its daemons), and the most memory that all of them had at once (of docker's daemons it is not looked at).
Needs DAYTONA_RUNNER_BIN (release); ROUNDS (default 5), MIB (of files, default 300), FROM (default /usr, whose files are taken),
WAYS (default "gzip zstd"; zstd19 is zstd at that level, whose windows have 8 MiB).
Prints ratios, never fails by the clock."""
import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import ocicase  # noqa: E402
from fakeregistry import push, real_registry  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
MIB = int(os.environ.get("MIB", "300"))
FROM = os.environ.get("FROM", "/usr")
LAYERS = 5
WAYS = os.environ.get("WAYS", "gzip zstd").split()


def layers():
    """Files as they are on this machine, in the order of their names."""
    each, found, n = (MIB << 20) // LAYERS, [], 0
    out = tempfile.TemporaryFile()
    tar = tarfile.open(fileobj=out, mode="w")

    def whole():
        tar.close()
        out.seek(0)
        found.append(out.read())
    for top, dirs, files in os.walk(FROM):
        dirs.sort()
        for name in sorted(files):
            path = os.path.join(top, name)
            if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > each:
                continue
            tar.add(path, path.lstrip("/"))
            n += os.path.getsize(path)
            if n >= each:
                whole()
                if len(found) == LAYERS:
                    return found
                out, n = tempfile.TemporaryFile(), 0
                tar = tarfile.open(fileobj=out, mode="w")
    sys.exit(f"{FROM} has less than {MIB} MiB of files")


class Watch(threading.Thread):
    """The most memory (kB, shared pages counted once) that a process and all below it have had at once."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.most, self.over = pid, 0, threading.Event()

    def run(self):
        while not self.over.wait(0.02):
            total = 0
            for pid in [self.pid, *common.descendants(self.pid)]:
                for line in common.read_proc(pid, "smaps_rollup").decode().splitlines():
                    total += int(line.split()[1]) if line.startswith("Pss:") else 0
            self.most = max(self.most, total)


def daemons():
    """Processor time of docker's."""
    total = 0.0
    for pid in common.all_pids():
        if common.read_proc(pid, "comm").strip() in (b"dockerd", b"containerd"):
            words = common.read_proc(pid, "stat").rpartition(b")")[2].split()
            total += sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


class Bench(common.Case):
    def one(self, args, env=None, watch=False, by_daemon=False):
        """Wall and processor seconds, kB of all at once."""
        before = daemons() if by_daemon else 0
        began = time.monotonic()
        process = subprocess.Popen(args, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        watching = Watch(process.pid)
        if watch:
            watching.start()
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        watching.over.set()
        process.stderr.close()
        self.assertEqual(process.returncode, 0, f"{args}: {errors.decode(errors='replace')}")
        cpu = used.ru_utime + used.ru_stime + (daemons() - before if by_daemon else 0)
        return wall, cpu, watching.most

    def ours(self, host, way, watch=False):
        conf = self.path("conf")
        shutil.rmtree(conf, ignore_errors=True)
        return self.one([common.BIN, "image", "pull", "--plain-http", host, f"{host}/{way}:1"],
                        common.clean_env(self.path("home"), DAYTONA_RUNNER_CONFIG_DIR=conf), watch)

    def podman(self, host, way, watch=False):
        args = ["podman", "--root", self.path("podman"), "--runroot", self.path("podman-run"), "--storage-driver", self.driver]
        result = self.one([*args, "pull", "-q", "--tls-verify=false", f"{host}/{way}:1"], watch=watch)
        common.run([*args, "rmi", "-f", f"{host}/{way}:1"], check=True)
        return result

    def docker(self, host, way, watch=False):
        del watch
        result = self.one(["docker", "pull", "-q", f"{host}/{way}:1"], by_daemon=True)
        common.run(["docker", "rmi", "-f", f"{host}/{way}:1"], check=True)
        return result

    def others(self, host, way):
        found = {}
        if shutil.which("podman"):
            for self.driver in ("overlay", "vfs"):
                try:
                    self.podman(host, way)
                    found[f"podman ({self.driver})"] = self.podman
                    break
                except AssertionError as error:
                    print(f"podman with {self.driver}: {str(error).splitlines()[0][-200:]}", flush=True)
        if way == "gzip" and shutil.which("docker") and not common.run(["docker", "info"]).returncode:
            found["docker"] = self.docker
        return found

    def runTest(self):
        os.mkdir(self.path("home"))
        host = real_registry(self)
        tars = layers()
        print(f"{LAYERS} layers, {sum(map(len, tars)) / 2**20:.0f} MiB, load {os.getloadavg()[0]:.1f}", flush=True)
        ocicase.WAYS["gzip"] = ("+gzip", lambda data: gzip.compress(data, 6, mtime=0))
        ocicase.WAYS["zstd19"] = ("+zstd", lambda data: subprocess.run(
            ["zstd", "-q", "-19", "-T0", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout)
        for way in WAYS if shutil.which("zstd") else ("gzip",):
            image = ocicase.Image(tars, way)
            push(self, host, image, way, "1")
            packed = sum(map(len, image.packed)) / 2**20
            del image
            pullers = {"ours": self.ours, **self.others(host, way)}
            self.ours(host, way)
            seen = {name: [] for name in pullers}
            for i in range(ROUNDS):
                for name in list(pullers) if i % 2 else reversed(list(pullers)):
                    seen[name].append(pullers[name](host, way))
            watched = {name: pull(host, way, True) for name, pull in pullers.items()}
            for name, results in seen.items():
                wall, cpu, _ = map(statistics.median, zip(*results))
                ratio = [statistics.median(one[k] / our[k] for one, our in zip(results, seen["ours"])) for k in (0, 1)]
                print(f"{way} {packed:4.0f} MiB  {name:<17} {wall:7.2f} s ({min(r[0] for r in results):.2f})  processor {cpu:6.2f} s  "
                      f"memory {watched[name][2] / 1024:6.1f} MiB   ours is {ratio[0]:.2f} times as fast, {ratio[1]:.2f} times as frugal", flush=True)
        print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    if not common.BIN:
        sys.exit("DAYTONA_RUNNER_BIN names no executable")
    sys.exit(not unittest.TextTestRunner(verbosity=0).run(Bench()).wasSuccessful())
