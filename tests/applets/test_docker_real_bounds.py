# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into containers.
"""What a target's options give and keep from a container of the real engine; programs run in it from its host."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import dockercase  # noqa: E402
from dockercase import docker  # noqa: E402


class RealBounds(dockercase.LifeCase):
    def setUp(self):
        super().setUp()
        self.shell = f"dr-test/shell-{os.getpid()}:1"
        if not dockercase.shell_image(self.shell):
            self.skipTest("there is no static busybox")
        self.addCleanup(lambda: docker("rmi", "-f", self.shell, check=False))
        self.run_ner.start()

    def begin(self, **options):
        values = {"Sock Path": "/var/run/docker.sock", "Network": "host", **options}
        workspace = self.srv.add_workspace(f"file://{self.path('git')}/app.git", image=self.shell, user="dev",
                                           provider="docker-provider", options=json.dumps(values),
                                           env={"FLAVOUR": "sour"})
        self.mine.append(workspace)
        self.job("create", workspace)
        return workspace, self.inspect(self.containers(workspace)[0])

    def call(self, *args, data=b""):
        result = subprocess.run([common.BIN, *args], env=self.run_ner.env(), input=data, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=100 * common.PATIENCE, check=False)
        return result.returncode, result.stdout.decode(), result.stderr.decode()

    def test_options(self):
        workspace, made = self.begin(Pids=77, Memory="64m", Disk="1g", Capabilities="-NET_RAW, +SYS_PTRACE, SYS_ADMIN",
                                     Volumes="cache:/cache,/etc:/host-etc:ro")
        host = made["HostConfig"]
        log = self.srv.log_text("workspace", workspace)
        self.assertEqual((host["PidsLimit"], host["Memory"]), (77, 64 << 20))
        self.assertEqual((host["CapDrop"], host["CapAdd"]), (["NET_RAW"], ["SYS_PTRACE"]))
        self.assertIn("capability SYS_ADMIN is not taken over", log)
        self.assertIn("mount of /etc is not taken over", log)
        volumes = [(m["Type"], m["Name"]) for m in made["Mounts"] if m["Destination"] == "/cache"]
        self.assertEqual(volumes, [("volume", f"daytona-{len(workspace)}-{workspace}.cache")])
        self.assertTrue(host.get("StorageOpt") or "The disk is not limited" in log, log)
        # The program that takes too much is ended, and the workspace says why.
        status, said, _ = self.call("exec", workspace, "--", "sh", "-c",
                                    "x=$(cat /dev/zero | tr '\\0' x); echo ${#x}; exit 0")
        self.assertNotEqual(status, 0, said)
        self.job("stop", workspace)
        self.job("start", workspace)
        self.job("delete", workspace)
        self.assertEqual(docker("volume", "ls", "-q", "--filter", f"name={workspace}"), "")

    def test_a_runtime_that_is_not_there(self):
        workspace = self.srv.add_workspace(f"file://{self.path('git')}/app.git", image=self.shell, user="dev",
                                           provider="docker-provider",
                                           options=json.dumps({"Sock Path": "/var/run/docker.sock", "Runtime": "nosuch"}))
        self.mine.append(workspace)
        self.assertIn("nosuch", self.job("create", workspace, "error"))

    def test_exec(self):
        workspace, _ = self.begin()
        self.assertEqual(self.call("exec", workspace, "--", "sh", "-c", "echo $FLAVOUR; echo err >&2; exit 7"),
                         (7, "sour\n", "err\n"))
        self.assertEqual(self.call("exec", workspace, "-i", "--", "cat", data=b"x" * 300000)[:2], (0, "x" * 300000))
        self.assertEqual(self.call("exec", workspace, "--", "sh", "-c", "id -u; pwd")[1],
                         f"1234\n{dockercase.HOMES}/dev/app\n")
        self.assertEqual(self.call("exec", workspace, "-u", "root", "-w", "/bin", "--", "sh", "-c", "id -u; pwd")[1],
                         "0\n/bin\n")
        self.assertEqual(self.call("exec", workspace, "-e", "A=b c", "--", "sh", "-c", "echo $A")[1], "b c\n")
        self.assertIn(self.call("exec", workspace, "--", "/no/such")[0], (126, 127, 255))
        # A signal that ends the caller ends the program as well: its process is on this host.
        caller = subprocess.Popen([common.BIN, "exec", workspace, "--", "sh", "-c", "echo ready; exec sleep 1234"],
                                  env=self.run_ner.env(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.addCleanup(caller.kill)
        self.assertEqual(caller.stdout.readline(), b"ready\n")
        caller.terminate()
        self.assertEqual(caller.wait(60 * common.PATIENCE), 143)
        container = self.containers(workspace)[0]
        common.wait_for(lambda: "sleep 1234" not in docker("top", container, "-o", "pid,args"), 20 * common.PATIENCE, "its end")
        row, = json.loads(self.call("workspaces", "-f", "json")[1])
        self.assertEqual((row["state"], row["isolation"], row["provider"]), ("running", "container", "docker-provider"))
        self.assertGreater(row["memoryBytes"], 0)
        self.assertGreater(row["cpuMicroseconds"], 0)
        self.assertGreaterEqual(row["processes"], 1)
        self.assertGreater(row["diskBytes"], 0)
        self.job("stop", workspace)
        self.assertEqual(json.loads(self.call("workspaces", "-f", "json")[1])[0]["state"], "stopped")
        self.job("delete", workspace)

    def test_shell(self):
        workspace, _ = self.begin()
        script = "import os, pty, sys\npty.spawn(sys.argv[1:])"
        result = subprocess.run([sys.executable, "-c", script, common.BIN, "shell", workspace],
                                env=self.run_ner.env(TERM="dumb"), input=b"stty size 2>/dev/null; tty; echo in:$FLAVOUR; exit\n",
                                stdout=subprocess.PIPE, timeout=100 * common.PATIENCE, check=False)
        self.assertRegex(result.stdout.decode(), re.compile("in:sour", re.M))
        self.job("delete", workspace)


if __name__ == "__main__":
    dockercase.need_engine()
    common.main()
