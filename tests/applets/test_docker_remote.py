# SPDX-License-Identifier: Apache-2.0
"""docker-provider with an engine behind ssh: a stand-in for ssh that does what is asked of it, and the real one where
a server for it is installed."""
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import drivecase  # noqa: E402
from enginecase import WORKSPACE  # noqa: E402
from sshcase import SshCase  # noqa: E402


class Remote(SshCase):
    def test_whole_life(self):
        self.drive(self.remote(), "target-create", "create", "start", "info", "stop", "delete").ok(self)
        args = self.calls()[0]["args"]
        for word in ("BatchMode=yes", "StrictHostKeyChecking=accept-new", "ExitOnForwardFailure=yes", "2222", "ci"):
            self.assertIn(word, args)
        self.assertTrue(any(word.startswith('UserKnownHostsFile="' + self.state) for word in args))
        self.assertEqual(self.engine.containers, {})
        self.assertEqual([name for name in os.listdir(os.path.join(self.state, "ssh")) if name.startswith("ssh-")], [])
        self.assertEqual(common.pids_with(self.path("bin", "ssh")), [], "an ssh is left")

    def test_checkout_is_copied_and_removed(self):
        os.mkdir(self.path("repo"))
        git = ["git", "-C", self.path("repo"), "-c", "user.name=t", "-c", "user.email=t@localhost"]
        common.run([*git, "init", "-q", "-b", "main"], check=True)
        common.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
        with open(self.path("repo", "file"), "w", encoding="ascii") as file:
            file.write("x")
        common.run([*git, "add", "."], check=True)
        common.run([*git, "commit", "-q", "-m", "y"], check=True)
        repository = {"id": "app", "url": "file://" + self.path("repo"), "name": "app", "branch": "main", "sha": "",
                      "owner": "a", "source": "b"}

        def document(**options):
            path = self.remote(**options)
            with open(path, encoding="utf-8") as file:
                value = json.load(file)
            value.update(buildConfig={}, repository=repository)
            with open(path, "w", encoding="utf-8") as file:
                json.dump(value, file)
            return path
        self.drive(document(), "create").ok(self)
        mount = self.engine.calls("POST /containers/create")[0].json()["HostConfig"]["Mounts"][0]
        place = "/" + "home/dev/app"
        self.assertEqual((mount["Type"], mount["Source"], mount["Target"]),
                         ("bind", self.path("data", WORKSPACE, "app"), place))
        files = list(self.engine.containers.values())[0].files
        self.assertIn(place + "/file", files)
        self.assertTrue(os.path.isdir(self.path("data", WORKSPACE, "app")))
        # A copy that was cut off: the next start makes it anew.
        self.engine.containers.clear()
        cut = self.engine.fault("PUT /containers/.*/archive", "close", 1)
        self.drive(document(), "create").error(self, "copy .* into the container")
        broken = list(self.engine.containers)
        self.drive(document(), "start").ok(self)
        self.assertEqual((cut.hits, len(self.engine.containers)), (1, 1))
        self.assertNotIn(broken[0], self.engine.containers)
        self.assertIn(place + "/file", list(self.engine.containers.values())[0].files)
        self.engine.containers.clear()
        self.drive(document(), "delete").ok(self)
        self.assertFalse(os.path.exists(self.path("data", WORKSPACE)))
        # Without a data directory a volume takes it.
        self.engine.requests.clear()
        self.drive(document(**{"Target Data Dir": ""}), "create", "delete").ok(self)
        mount = self.engine.calls("POST /containers/create")[0].json()["HostConfig"]["Mounts"][0]
        self.assertEqual(mount["Type"], "volume")
        self.assertEqual(len(self.engine.calls("DELETE /volumes/" + mount["Source"])), 1)

    def test_password_only_through_askpass(self):
        if os.path.basename(common.BIN) != "daytona-runner":
            self.skipTest("the executable has another name")
        document = self.remote(**{"Remote Password": "open sesame"})
        self.drive(document, "create").ok(self)
        call = self.calls()[0]
        # Not to whoever answers first.
        self.assertIn("StrictHostKeyChecking=yes", call["args"])
        self.assertNotIn("accept-new", " ".join(call["args"]))
        self.assertNotIn("BatchMode=yes", call["args"])
        self.assertNotIn("open sesame", " ".join(call["args"]))
        self.engine.containers.clear()
        wrong = self.drive(self.remote(**{"Remote Password": "wrong"}), "create").error(self, "Permission denied")
        self.assertNotIn("wrong", wrong.output)

    def test_host_key_of_the_target_config(self):
        key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        self.drive(self.remote(**{"Remote Host Key": key + " root@build1"}), "create").ok(self)
        args = self.calls()[0]["args"]
        for word in ("StrictHostKeyChecking=yes", "HostKeyAlias=build1.test", "GlobalKnownHostsFile=/dev/null"):
            self.assertIn(word, args)
        for wrong in ("AAAAC3NzaC1lZDI1NTE5", "build1.test " + key, "ssh-ed25519", "@cert-authority * " + key):
            self.drive(self.remote(**{"Remote Host Key": wrong}), "create").error(self, '"Remote Host Key" .* is no key')

    def test_failures_are_told(self):
        for text, pattern in (("ci@build1.test: Permission denied (publickey).", "Permission denied"),
                              ("Host key verification failed.", "Host key verification failed"), ("", "ssh ended")):
            with open(self.path("fail"), "w", encoding="ascii") as file:
                file.write(text)
            self.drive(self.remote(), "create").error(self, "ssh ci@build1.test:2222.*" + pattern)
        os.unlink(self.path("fail"))
        self.drive(self.workspace(options={"Remote Hostname": "h"}), "create").error(self, "Remote User")
        self.drive(self.remote(**{"Remote Hostname": ""}), "create").error(self, "Remote Hostname")
        self.drive(self.remote(**{"Remote Hostname": "-oProxyCommand=x"}), "create").error(self, "no host")
        self.drive(self.remote(**{"Remote User": "a b"}), "create").error(self, "no user name")
        self.drive(self.workspace(socket=self.path("none.sock"), options={
            "Remote Hostname": "h", "Remote User": "u"}), "create").error(self, "ssh u@h")

    def test_the_time_that_was_waited_is_told(self):
        """Not the limit of a connection, where the job's own was shorter."""
        with open(self.path("silent"), "w", encoding="ascii"):
            pass
        began = time.monotonic()
        result = self.drive(self.remote(), "create", DRIVE_SECONDS="2").error(self, r"no connection after \d+ s")
        told = int(re.search(r"no connection after (\d+) s", result.output)[1])
        self.assertLessEqual(told, time.monotonic() - began + 1)

    def test_password_and_a_host_that_is_not_known(self):
        with open(self.path("fail"), "w", encoding="ascii") as file:
            file.write("Host key verification failed.")
        self.drive(self.remote(**{"Remote Password": "open sesame"}), "create").error(
            self, 'Host key verification failed.*"Remote Host Key".*ssh-keyscan -p 2222 build1.test to '
            + self.state + "/ssh/known_hosts")
        self.assertNotIn("keyscan", self.drive(self.remote(), "create").output)

    def test_real_ssh(self):
        sshd = shutil.which("sshd", path="/usr/sbin:/usr/bin")
        if not sshd or os.geteuid() != 0:
            self.skipTest("no sshd to run here")
        os.unlink(self.path("bin", "ssh"))
        os.makedirs("/run/sshd", exist_ok=True)
        for name in ("host", "host2", "id"):
            common.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.path(name)], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]

        def serve(host_key):
            with open(self.path("sshd_config"), "w", encoding="utf-8") as file:
                file.write(f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
                           f"AuthorizedKeysFile {self.path('id.pub')}\nStrictModes no\nPermitRootLogin yes\nUsePAM no\n")
            process = subprocess.Popen([sshd, "-D", "-e", "-f", self.path("sshd_config")], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            common.wait_listens(port, "sshd")
            return process
        first = serve(self.path("host"))
        document = self.remote(**{"Remote Hostname": "127.0.0.1", "Remote Port": port, "Remote User": getpass.getuser(),
                                  "Remote Private Key Path": self.path("id")})
        slow = ("call_timeout=20",)     # a real login
        self.drive(document, "create", "start", "stop", "delete", options=slow).ok(self)
        # With a password ssh does not even begin with a host that it does not know.
        strange = dict({"Remote Hostname": "localhost", "Remote Port": port, "Remote User": getpass.getuser()})
        self.drive(self.remote(**strange, **{"Remote Password": "x"}), "create", options=slow).error(
            self, '[Hh]ost key.*set "Remote Host Key"')
        with open(self.path("host.pub"), encoding="ascii") as file:
            key = file.read().strip()
        strange["Remote Private Key Path"] = self.path("id")
        self.drive(self.remote(**strange, **{"Remote Host Key": key}), "create", options=slow).ok(self)
        first.kill()
        first.wait()
        serve(self.path("host2"))
        self.drive(self.remote(**strange, **{"Remote Host Key": key}), "create", options=slow).error(
            self, "[Hh]ost key verification failed|HOST IDENTIFICATION HAS CHANGED")
        self.drive(document, "create", options=slow).error(self, "[Hh]ost key verification failed|HOST IDENTIFICATION HAS CHANGED")


if __name__ == "__main__":
    drivecase.main()
