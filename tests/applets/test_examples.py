# SPDX-License-Identifier: Apache-2.0
"""examples/: what they call exists, with these options, settings and variables; and the programs that they are for read them."""
import configparser
import glob
import os
import re
import shlex
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, Case, clean_env, main, run  # noqa: E402

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")


def read(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        return file.read()


def options(applet):
    made = run([BIN, applet, "--print-options"], check=True)
    return {"--" + line.split("\t")[1] for line in made.stdout.splitlines() if "\t" in line}


class ExamplesTest(Case):
    def settings(self):
        made = run([BIN, "config", "--example"], env=clean_env(self.path()), check=True).stdout
        section, found = "", set()
        for line in made.splitlines():
            head = re.match(r"#?\s*\[([^\]]+)\]", line)
            key = re.match(r"[#;]?\s*([a-z_0-9]+) =", line)
            section = head.group(1) if head else section
            if key:
                found.add((section, key.group(1)))
        self.assertIn(("server", "url"), found)
        return found

    def check_options(self, applet, words):
        known = options(applet)
        for word in words:
            if word.startswith("--"):
                self.assertIn(word.partition("=")[0], known, words)

    def test_commands(self):
        """daytona-runner APPLET OPTION... in each file, comments too."""
        applets = run([BIN, "--list"], check=True).stdout.split()
        seen = 0
        for path in glob.glob(os.path.join(EXAMPLES, "*")):
            for found in re.finditer(r"daytona-runner ([a-z][a-z-]*)((?: [^\n`|;]*)?)", read(path)):
                if found.group(1) in applets:
                    self.check_options(found.group(1), re.findall(r"--[a-z0-9-]+", found.group(2)))
                    seen += 1
        self.assertGreater(seen, 5)

    def test_variables(self):
        known = {f"DAYTONA_RUNNER_{section}_{key}".upper() for section, key in self.settings()}
        for path in glob.glob(os.path.join(EXAMPLES, "*")):
            for name in re.findall(r"DAYTONA_RUNNER_[A-Z_]+", read(path)):
                self.assertIn(name, known, path)

    def test_units(self):
        units = {"daytona-runner@.service": read("daytona-runner@.service")}
        inline = re.search(r"(?m)^  - path: \S+\.service\n    content: \|\n((?:      .*\n)+)", read("cloud-init.yaml"))
        units["cloud.service"] = re.sub("(?m)^      ", "", inline.group(1))
        for name, text in units.items():
            parser = configparser.RawConfigParser(strict=False)
            parser.optionxform = str
            parser.read_string(text)
            words = shlex.split(parser["Service"]["ExecStart"])
            self.assertEqual(words[1], "serve")
            self.check_options("serve", words)
        if not shutil.which("systemd-analyze"):
            self.skipTest("no systemd-analyze")
        for name, text in units.items():
            path = self.path(name.replace("@", "@x"))
            with open(path, "w", encoding="utf-8") as file:
                file.write(text.replace("/usr/local/bin/daytona-runner", "/bin/true"))
            made = run(["systemd-analyze", "verify", "--man=no", path])
            ours = [line for line in made.stderr.splitlines() if os.path.basename(path) in line]
            self.assertEqual(ours, [], name)

    def test_kubernetes(self):
        try:
            import yaml
        except ImportError:
            raise unittest.SkipTest("no PyYAML") from None
        secret, job = yaml.safe_load_all(read("kubernetes-job.yaml"))
        pod = job["spec"]["template"]["spec"]
        container = pod["containers"][0]
        self.check_options("serve", container["args"])
        self.assertIn("--once", container["args"])
        self.assertEqual(pod["volumes"][1]["secret"]["secretName"], secret["metadata"]["name"])
        self.assertEqual({m["name"] for m in container["volumeMounts"]}, {v["name"] for v in pod["volumes"]})
        mounts = {m["mountPath"] for m in container["volumeMounts"]}
        env = {e["name"]: e["value"] for e in container["env"]}
        self.assertIn(env["DAYTONA_RUNNER_RUNNER_STATE_DIR"], mounts)
        self.assertIn(os.path.dirname(env["DAYTONA_RUNNER_SERVER_KEY_FILE"]), mounts)
        # The drain ends before the kubelet's patience does.
        drain = container["args"][container["args"].index("--drain-timeout") + 1]
        self.assertLess(int(drain.rstrip("m")) * 60, pod["terminationGracePeriodSeconds"])

    def test_cloud_init(self):
        try:
            import yaml
        except ImportError:
            raise unittest.SkipTest("no PyYAML") from None
        self.assertTrue(read("cloud-init.yaml").startswith("#cloud-config\n"))
        made = yaml.safe_load(read("cloud-init.yaml"))
        ini = next(f for f in made["write_files"] if f["path"].endswith("runner.ini"))
        self.assertEqual(ini["permissions"], "0600")
        with open(os.open(self.path("runner.ini"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(ini["content"])
        checked = run([BIN, "config", "-q", "-C", self.path()], env=clean_env(self.path()))
        self.assertEqual(checked.returncode, 0, checked.stderr)
        for command in made["runcmd"]:
            self.assertIsInstance(command, list)

    def yaml(self, name):
        try:
            import yaml
        except ImportError:
            raise unittest.SkipTest("no PyYAML") from None
        return yaml.safe_load(read(name))

    def real_tool(self, *commands, cwd=EXAMPLES):
        """The first of them that is installed reads the file."""
        for argv in commands:
            if shutil.which(argv[0]):
                done = run(list(argv), cwd=cwd)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                return
        print(f"\nskipped: {self.id()}: read by our own checks alone, no {commands[0][0]}", flush=True)

    def test_compose(self):
        made = self.yaml("compose.yaml")
        runner = made["services"]["runner"]
        env, secret, = runner["environment"], runner["secrets"][0]
        self.assertEqual(env["DAYTONA_RUNNER_SERVER_KEY_FILE"], "/run/secrets/" + secret)
        self.assertIn(secret, made["secrets"])
        volume, _, place = runner["volumes"][0].partition(":")
        self.assertEqual((volume in made["volumes"], place), (True, env["DAYTONA_RUNNER_RUNNER_STATE_DIR"]))
        self.assertEqual((runner["stop_grace_period"], env["DAYTONA_RUNNER_RUNNER_DRAIN_TIMEOUT"]), ("5m", "280s"))
        self.assertEqual(runner["healthcheck"]["test"][:3], ["CMD", "/daytona-runner", "status"])
        self.check_options("status", runner["healthcheck"]["test"])
        # With these variables and no file the configuration is whole, and the health check says what there is.
        with open(os.open(self.path("key"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write("KEY")
        env = clean_env(self.path(), **dict(env, DAYTONA_RUNNER_SERVER_KEY_FILE=self.path("key"),
                                            DAYTONA_RUNNER_RUNNER_STATE_DIR=self.path("state")))
        checked = run([BIN, "config", "-q"], env=env)
        self.assertEqual((checked.returncode, checked.stderr), (0, ""))
        self.assertEqual(run([BIN, *runner["healthcheck"]["test"][2:]], env=env).returncode, 1)
        shutil.copy(os.path.join(EXAMPLES, "compose.yaml"), self.path("compose.yaml"))
        shutil.copy(self.path("key"), self.path("daytona.key"))
        self.real_tool(["docker-compose", "-f", "compose.yaml", "config", "-q"], cwd=self.path())

    def test_ansible(self):
        play, = self.yaml("ansible.yaml")
        tasks = play["tasks"] + play["handlers"]
        commands = [t["ansible.builtin.command"] for t in tasks if "ansible.builtin.command" in t]
        self.assertEqual([c["argv"][1] for c in commands], ["configure", "config", "service", "restart"])
        self.assertEqual({t["notify"] for t in tasks if "notify" in t}, {h["name"] for h in play["handlers"]})
        for command in commands:
            self.assertEqual(command["argv"][0], "/usr/local/bin/daytona-runner")
            self.check_options(command["argv"][1], command["argv"])
        facts = {"server_url": "http://127.0.0.1:1", "runner_id": "0a1b2c3d4e5f", "inventory_hostname": "edge", "runner_key": "KEY"}

        def typed(argv):
            text = "\0".join(argv[1:]).replace("/etc/", self.path("etc") + "/").replace("/var/", self.path("var") + "/")
            return [BIN, *re.sub(r"{{ (\w+) }}", lambda m: facts[m.group(1)], text).split("\0")]
        configure, check = commands[0], commands[1]
        with open(self.path("key"), "w+", encoding="ascii") as key:
            key.write(facts[configure["stdin"].strip("{} ")])
            key.seek(0)
            done = run(typed(configure["argv"]) + ["--no-check"], stdin=key, env=clean_env(self.path()))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(os.path.exists(self.path("etc") + configure["creates"].removeprefix("/etc")))
        self.assertTrue(tasks[1]["no_log"])  # it has the key
        done = run(typed(check["argv"]), env=clean_env(self.path()))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.real_tool(["ansible-playbook", "-i", "localhost,", "--syntax-check", "ansible.yaml"])


if __name__ == "__main__":
    main()
