# SPDX-License-Identifier: Apache-2.0
"""The runner as a service of a real init system: systemd as process 1 of namespaces of its own, OpenRC where it is
installed (or unpacked at DAYTONA_RUNNER_OPENRC_ROOT), runit, s6. Skipped, with the reason, where that cannot be."""
import json
import os
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from lib import common, gitserver  # noqa: E402
from lib.lifecase import LifeCase  # noqa: E402

SYSTEMD = next((p for p in ("/lib/systemd/systemd", "/usr/lib/systemd/systemd") if os.path.exists(p)), None)
INSTALL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "share", "install.sh")
UNITS = "/etc/systemd/system"
WORKSPACE = "feed" + os.urandom(4).hex()
# Only these units are known to it: nothing of this machine is started.
TARGETS = ("boot", "sysinit", "basic", "shutdown", "network-online")

BOOT = r"""
set -e
mount --make-rprivate /
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
exec unshare -p -i -u -C --fork sh -ec '
	mount -t proc proc /proc
	umount /sys/fs/cgroup
	mount -t cgroup2 none /sys/fs/cgroup
	mount -t tmpfs none /run
	mount -t tmpfs none /etc/systemd/system
	mount -t tmpfs none /var/lib
	for name in {targets}; do
		printf "[Unit]\nDefaultDependencies=no\n" >/etc/systemd/system/$name.target
	done
	exec env -i container=other SYSTEMD_UNIT_PATH=/etc/systemd/system PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		{systemd} --unit=boot.target --log-target=null'
"""

UNBOOT = r"""
mount --make-rprivate /
mount -t cgroup2 none /sys/fs/cgroup
for i in 1 2 3 4 5 6 7 8 9; do
	[ -d "/sys/fs/cgroup/$1" ] || exit 0
	find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} \;
	[ ! -d "/sys/fs/cgroup/$1" ] || sleep 0.1
done
"""


def child_of(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return int((file.read().split() or [0])[0])
    except OSError:
        return 0


class Systemd(LifeCase):
    def setUp(self):
        if os.geteuid() != 0 or not SYSTEMD or not shutil.which("nsenter"):
            self.skipTest("needs root, systemd and nsenter")
        super().setUp()
        self.group = os.path.basename(self.tmp)
        script = BOOT.replace("{targets}", " ".join(TARGETS)).replace("{systemd}", SYSTEMD)
        with open(self.path("boot.log"), "wb") as log:
            self.outer = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", self.group],
                                          stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(self.shut_down)
        up = lambda: self.outer.poll() is not None or self.systemctl("is-active", "boot.target").returncode == 0
        common.wait_for(up, 20 * common.PATIENCE, "systemd")
        if self.outer.poll() is not None:
            with open(log.name, encoding="utf-8", errors="replace") as file:
                self.skipTest("systemd does not run in namespaces here: " + file.read()[-300:])

    def shut_down(self):
        init = child_of(self.outer.pid)
        if init:
            os.kill(init, signal.SIGKILL)
        self.outer.kill()
        self.outer.wait()
        subprocess.run(["unshare", "-m", "sh", "-c", UNBOOT, "sh", self.group], stderr=subprocess.DEVNULL, check=False)

    def inside(self, *args, **env):
        init = child_of(self.outer.pid)
        return common.run(["nsenter", "-t", str(init), "-m", "-p", "-i", "-u", "-C", *args],
                          env=env or self.env(admin=False), timeout=60 * common.PATIENCE)

    def systemctl(self, *args):
        return self.inside("systemctl", *args, SYSTEMD_UNIT_PATH=UNITS, PATH=os.environ["PATH"])

    def property(self, unit, name):
        return self.systemctl("show", f"--property={name}", unit).stdout.strip().split("=", 1)[1]

    def runner(self, *args, rc=0):
        result = self.inside(common.BIN, *args)
        self.no_sanitizer(result.stderr)
        self.assertEqual(result.returncode, rc, f"{args}\n{result.stdout}{result.stderr}")
        return result

    def host_pid(self):
        return next(pid for pid in common.children(child_of(self.outer.pid)) if b"serve" in common.read_proc(pid, "cmdline"))

    def test_life_through_our_own_unit(self):
        made = self.configured()
        unit = "daytona-runner.service"
        self.runner("service", "install")
        self.assertEqual(self.property(unit, "UnitFileState"), "enabled")
        self.assertIn("Running", self.runner("start").stdout)
        self.runner("status", "-q")
        first = self.property(unit, "MainPID")
        self.assertIn(first, self.runner("start").stdout)
        self.assertEqual(self.property(unit, "StatusText"), "Running")
        self.assertEqual(self.state_of(made["id"]), "started")
        self.assertIn("Running", self.runner("restart").stdout)
        second = self.property(unit, "MainPID")
        self.assertNotIn(second, ("0", first))
        self.runner("status", "-q")
        text = self.ini_text()
        with open(self.ini, "w", encoding="utf-8") as file:
            file.write(text.replace(made["apiKey"], "x" * len(made["apiKey"])))
        # The Server has the runner before it in mind for some time; the new one knows better.
        self.assertIn("key", self.runner("restart", "--timeout", "1000", rc=1).stderr.splitlines()[-1])
        with open(self.ini, "w", encoding="utf-8") as file:
            file.write(text)
        self.runner("restart")
        second = self.property(unit, "MainPID")
        self.assertIn("configure", self.runner("restart", "--max-jobs", "4", rc=2).stderr)
        self.assertEqual(self.property(unit, "MainPID"), second)
        self.assertEqual(self.systemctl("reload", unit).returncode, 0)
        reread = lambda: "reading the configuration again" in self.runner("logs").stdout
        common.wait_for(reread, 20 * common.PATIENCE, "the reload")
        self.assertIn("Stopped", self.runner("stop").stdout)
        self.assertEqual(self.property(unit, "ActiveState"), "inactive")
        self.assertIn("settings", self.runner("start", "--max-jobs", "4", rc=2).stderr)
        self.runner("start")
        self.runner("service", "uninstall")
        self.assertEqual(self.property(unit, "LoadState"), "not-found")
        self.assertIn("not running", self.runner("stop").stdout)

    def call(self, method, path, body=None):
        args = [self.bin, "call", method, path] + ([json.dumps(body)] if body is not None else [])
        text = common.run(args, env=self.env()).stdout
        return json.loads(text) if text.strip() else None

    def workspace_is(self, state):
        reached = lambda: self.call("GET", "/workspace/" + WORKSPACE)["state"]["name"] == state
        common.wait_for(reached, 30 * common.PATIENCE, lambda: self.call("GET", "/job"))

    def agents(self):
        return common.tops_with(f"DAYTONA_WORKSPACE_ID={WORKSPACE}")

    def test_workspaces_of_the_unit_outlive_it(self):
        repository, sha = gitserver.make_repo(self.path("git"))
        self.configured()
        with open(self.ini, "a", encoding="ascii") as file:
            file.write('\n[provider "native-provider"]\nallow_file = true\n')
        self.runner("service", "install", "--start")
        configs = common.wait_for(lambda: self.call("GET", "/target-config"), 20 * common.PATIENCE, "presets")
        self.call("POST", "/target", {"id": "feed00000001", "name": "t", "targetConfigId": configs[0]["id"]})
        source = {"id": "app", "url": "file://" + repository, "name": "app", "branch": "main", "sha": sha,
                  "owner": "x", "source": "localhost"}
        self.call("POST", "/workspace", {"id": WORKSPACE, "name": "w",
                                         "targetId": "feed00000001", "envVars": {}, "labels": {},
                                         "source": {"repository": source}})
        self.workspace_is("started")
        before = self.agents()
        self.assertTrue(before)
        self.runner("restart")
        self.assertLessEqual(set(before), set(self.agents()))
        self.runner("stop")
        self.assertLessEqual(set(before), set(self.agents()))
        self.runner("start")
        self.call("POST", f"/workspace/{WORKSPACE}/stop")
        self.workspace_is("stopped")
        common.wait_for(lambda: not set(before) & set(self.agents()), 20 * common.PATIENCE, "the workspace's end")
        self.call("DELETE", "/workspace/" + WORKSPACE)
        common.wait_for(lambda: not os.path.exists(os.path.join(self.state, "workspaces", WORKSPACE)),
                        30 * common.PATIENCE, "the deletion")

    def test_nothing_waits_for_a_server_that_is_away(self):
        self.configured()
        self.srv.stop()
        self.runner("service", "install")
        self.assertEqual(self.systemctl("start", "daytona-runner").returncode, 0)
        self.assertEqual(self.property("daytona-runner", "StatusText"), "The Server does not have it")
        self.assertIn("refused", self.runner("restart", "--timeout", "2", rc=1).stderr)
        self.assertEqual(self.property("daytona-runner", "ActiveState"), "active")

    def test_a_unit_of_somebody_else(self):
        self.configured()
        text = self.runner("service", "print").stdout
        text = "".join(line for line in text.splitlines(True) if not line.startswith("#"))
        self.inside("sh", "-c", f"printf %s '{text}' >{UNITS}/edge.service")
        self.systemctl("daemon-reload")
        self.assertEqual(self.systemctl("start", "edge").returncode, 0)
        first = self.property("edge", "MainPID")
        self.assertIn("Running", self.runner("restart").stdout)
        self.assertNotIn(self.property("edge", "MainPID"), ("0", first))
        self.assertIn("unit edge.service is not ours", self.runner("purge", "--local-only", "--dry-run").stdout)
        self.assertIn("Stopped", self.runner("stop").stdout)
        self.assertEqual(self.property("edge", "ActiveState"), "inactive")

    def test_the_installer_looks_after_the_service(self):
        made = self.create()
        folder = self.path("bin")
        os.mkdir(folder)
        env = dict(self.env(admin=False, DAYTONA_RUNNER_CONFIG_DIR=None), DAYTONA_RUNNER_BIN_DIR=folder)
        install = lambda *args, **extra: self.inside("sh", INSTALL, *args, **dict(env, **extra))
        result = install("--offline", common.BIN)
        self.assertEqual(result.returncode, 0, result.stderr)
        program = os.path.join(folder, "daytona-runner")
        for args in (self.words_of(made["command"]) + ["--port", "0", "--providers", "none"], ["service", "install", "--start"]):
            result = self.inside(program, *args, **env)
            self.assertEqual(result.returncode, 0, result.stderr)
        first = self.property("daytona-runner", "MainPID")
        result = install("--offline", common.BIN)
        self.assertIn("nothing is changed", result.stdout)
        self.assertEqual(self.property("daytona-runner", "MainPID"), first)
        # Another environment, as under sudo: the unit says which runner it is.
        with open(self.path("newer"), "wb") as file:
            shutil.copyfileobj(open(common.BIN, "rb"), file)
            file.write(b"newer")
        os.chmod(file.name, 0o755)
        result = install("--offline", file.name, HOME=self.path("other"))
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn("was restarted", result.stdout)
        self.assertIn("is set up", result.stdout)
        self.assertNotIn("next:", result.stdout)
        second = self.property("daytona-runner", "MainPID")
        self.assertNotIn(second, ("0", first))
        self.assertEqual(os.readlink(f"/proc/{self.host_pid()}/exe"), program)
        self.assertEqual(self.state_of(made["id"]), "started")
        result = install("--uninstall")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(self.property("daytona-runner", "LoadState"), "not-found")
        self.assertEqual(os.listdir(folder), [])

    def test_started_by_hand_below_a_unit_is_not_the_unit(self):
        self.configured()
        unit = f"[Service]\nExecStart=/bin/sh -c '{common.BIN} start -C {self.cfg}; exec sleep 1000'\n"
        self.inside("sh", "-c", f"cat >{UNITS}/cron.service <<'END'\n{unit}END\n")
        self.systemctl("daemon-reload")
        self.assertEqual(self.systemctl("start", "cron").returncode, 0)
        common.wait_for(lambda: self.inside(common.BIN, "status", "-q").returncode == 0, 20 * common.PATIENCE, "start")
        self.runner("stop")
        self.assertEqual(self.property("cron", "ActiveState"), "active")


    def test_a_configuration_fault_is_not_tried_again(self):
        self.configured()
        unit = "daytona-runner.service"
        self.runner("service", "install")
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write("[runner]\ncolour = blue\n")
        self.systemctl("start", unit)
        common.wait_for(lambda: self.property(unit, "ActiveState") == "failed", 20 * common.PATIENCE, "failed")
        self.assertEqual((self.property(unit, "ExecMainStatus"), self.property(unit, "NRestarts")), ("78", "0"))


class NoInit(LifeCase):
    def test_what_was_written_is_removed_whichever_init_runs(self):
        """In a root of its own directories: unit and scripts of inits that do not run, and a process that one of them began."""
        if os.geteuid() != 0:
            self.skipTest("needs root")
        common.need_unshare(self, "-m")
        self.configured()
        unit, script = UNITS + "/daytona-runner.service", "/etc/init.d/daytona-runner"
        wants, level = UNITS + "/multi-user.target.wants/daytona-runner.service", "/etc/rc3.d/S01daytona-runner"
        folder = self.path("bin")
        os.mkdir(folder)
        self.bin = os.path.join(folder, "daytona-runner")
        for removal in (f"'{self.bin}' service uninstall", f"'{self.bin}' purge -y --local-only", f"'{self.bin}' purge -y",
                        f"DAYTONA_RUNNER_BIN_DIR='{folder}' sh '{INSTALL}' --uninstall"):
            shutil.copy(common.BIN, self.bin)
            write = "".join(f"""
                mount -t tmpfs none {place}""" for place in (UNITS, "/etc/init.d", "/run", "/etc/rc3.d")) + f"""
                '{self.bin}' service install --type systemd --system || :
                '{self.bin}' service install --type sysv >/dev/null
                mkdir -p {os.path.dirname(wants)}
                ln -sf {unit} {wants}
                ln -sf ../init.d/daytona-runner {level}
                '{self.bin}' start >/dev/null
                echo written $(ls {unit} {script} {wants} {level})
                {removal} >/dev/null
                echo exit $?
                echo left $(ls {unit} {script} {wants} {level} 2>/dev/null)"""
            if not os.path.isdir("/etc/rc3.d"):
                self.skipTest("there is no /etc/rc3.d to mount on")
            result = common.run(["unshare", "-m", "sh", "-c", write], env=self.env(admin=False))
            self.assertIn(f"written {script} {level} {unit} {wants}\n", result.stdout, result.stderr)
            self.assertIn("exit 0\nleft\n", result.stdout, removal + result.stdout + result.stderr)
            self.assertEqual([pid for pid in common.pids_with(self.tmp) if b"serve" in common.read_proc(pid, "cmdline") and
                              pid != self.srv.pid], [], removal)
            if "purge" in removal:
                self.configured("edge" + str(len(removal)))

    def test_a_user_unit_can_be_printed_anywhere(self):
        common.need_unshare(self, "-m", "-p", "--fork", "--mount-proc")
        script = f"mount -t tmpfs none /run; exec '{self.bin}' service print --user"
        result = common.run(["unshare", "-m", "-p", "--fork", "--mount-proc", "sh", "-c", script],
                            env=self.env(admin=False))
        self.assertIn("WantedBy=default.target", result.stdout, result.stderr)

    def test_a_container_has_scripts_but_nothing_that_runs_them(self):
        if os.geteuid() != 0 or os.path.exists("/sbin/openrc-run"):
            self.skipTest("needs root, and no OpenRC")
        common.need_unshare(self, "-m", "-p", "--fork", "--mount-proc")
        self.configured()
        script = f"mount -t tmpfs none /run; '{self.bin}' service install; exit $?"
        result = common.run(["unshare", "-m", "-p", "--fork", "--mount-proc", "sh", "-c", script],
                            env=self.env(admin=False))
        self.assertEqual(result.returncode, 1)
        self.assertIn("daytona-runner start", result.stderr)


class Keeper(LifeCase):
    """runsv and its like, by their name alone: what starts its child again."""

    def test_left_to_what_would_start_it_again(self):
        self.configured()
        keeper = self.path("runsv")
        with open(keeper, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\nwhile :; do \"$@\"; done\n")
        os.chmod(keeper, 0o755)
        process = subprocess.Popen([keeper, self.bin, "serve"], env=self.env(admin=False), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        first = common.wait_for(self.runner_pid, 20 * common.PATIENCE, "serve")
        self.assertIn("runsv", self.applet("stop", rc=1).stderr)
        self.assertIn("runsv", self.applet("purge", "-y", "edge", rc=1).stderr)
        self.assertEqual((self.runner_pid(), len(self.listed())), (first, 1))
        self.assertIn("Running", self.applet("restart").stdout)
        self.assertNotIn(self.runner_pid(), (0, first))


class Told(LifeCase):
    """A configuration fault that a living service meets when it is started again: the real supervisors leave it."""

    def spoil(self):
        with open(self.ini, "a", encoding="utf-8") as file:
            file.write("[runner]\ncolour = blue\n")

    def repair(self):
        text = self.ini_text().replace("[runner]\ncolour = blue\n", "")
        with open(self.ini, "w", encoding="utf-8") as file:
            file.write(text)

    def service(self, supervisor):
        """A directory with a ./run that counts its starts, under supervisor."""
        if not shutil.which(supervisor):
            self.skipTest("no " + supervisor)
        self.configured()
        folder = self.path("service")
        os.mkdir(folder)
        with open(os.path.join(folder, "run"), "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\necho began >>starts\nexec '{self.bin}' serve 2>>said\n")
        os.chmod(file.name, 0o755)
        process = subprocess.Popen([supervisor, folder], env=dict(self.env(admin=False), PATH=os.environ["PATH"]),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return folder

    def begun(self, folder):
        with open(os.path.join(folder, "starts"), encoding="ascii") as file:
            return file.read().count("began")

    def said(self, folder):
        with open(os.path.join(folder, "said"), encoding="utf-8") as file:
            return file.read()

    def is_left(self, supervisor, state, up):
        folder = self.service(supervisor)
        first = common.wait_for(self.runner_pid, 20 * common.PATIENCE, "serve")
        # A crash is no such fault.
        os.kill(first, signal.SIGKILL)
        common.wait_for(lambda: self.runner_pid() not in (0, first), 20 * common.PATIENCE, "another one")
        begun = self.begun(folder)
        self.spoil()
        os.kill(self.runner_pid(), signal.SIGKILL)
        told = f"{supervisor} is told not to start it again"
        common.wait_for(lambda: told in self.said(folder), 30 * common.PATIENCE, lambda: self.said(folder))

        def is_down():
            text = state(folder)
            return text.startswith("down") and "want up" not in text
        common.wait_for(is_down, 30 * common.PATIENCE, lambda: state(folder))
        said = self.said(folder)
        self.assertEqual(self.begun(folder), begun + 1, said)
        self.assertIn("colour", said)
        self.assertEqual(said.count(told), 1, said)
        self.repair()
        up(folder)
        common.wait_for(self.runner_pid, 20 * common.PATIENCE, "serve again")
        self.assertEqual(self.begun(folder), begun + 2)

    def test_runit(self):
        self.is_left("runsv", lambda folder: common.run(["sv", "status", folder]).stdout,
                     lambda folder: common.run(["sv", "up", folder]))

    def test_s6(self):
        self.is_left("s6-supervise", lambda folder: common.run(["s6-svstat", folder]).stdout,
                     lambda folder: common.run(["s6-svc", "-u", folder]))


class OpenRC(LifeCase):
    def setUp(self):
        self.root = os.environ.get("DAYTONA_RUNNER_OPENRC_ROOT", "/")
        if os.geteuid() != 0 or not os.path.exists(self.root + "/sbin/openrc-run"):
            self.skipTest("needs root and OpenRC")
        super().setUp()

    def test_life(self):
        made = self.configured()
        script = f"""
            set -e
            mount --make-rprivate /
            mkdir -p {self.root}{self.tmp}
            mount --bind {self.tmp} {self.root}{self.tmp}
            cp {self.bin} {self.root}{self.tmp}/daytona-runner
            mount -t proc proc {self.root}/proc
            for dir in /run /etc/init.d /etc/runlevels; do mount -t tmpfs none {self.root}$dir; done
            mkdir {self.root}/etc/runlevels/sysinit {self.root}/etc/runlevels/boot {self.root}/etc/runlevels/default
            chroot {self.root} sh -exc '
                for level in sysinit boot default; do openrc $level >/dev/null; done
                run={self.tmp}/daytona-runner
                $run service install
                test -h /etc/runlevels/default/daytona-runner
                $run start
                $run status -q
                rc-service daytona-runner status
                $run restart
                $run status -q
                rc-service daytona-runner reload
                rc-service daytona-runner restart
                $run start
                pgrep -x supervise-daemo
                echo "[runner]" >>{self.ini}
                echo "colour = blue" >>{self.ini}
                pkill -KILL -x daytona-runner
                i=0
                while pgrep -x supervise-daemo >/dev/null; do i=$((i + 1)); test $i -lt 900; sleep 0.1; done
                ! rc-service daytona-runner status
                ! $run start
                sed -i /colour/d {self.ini}
                $run start
                $run stop
                ! rc-service daytona-runner status
                $run service uninstall
                ! test -e /etc/runlevels/default/daytona-runner
            '"""
        result = common.run(["unshare", "-m", "-p", "--fork", "sh", "-c", script], env=self.env(admin=False),
                            timeout=100 * common.PATIENCE)
        if "shared librar" in result.stderr:
            self.skipTest("only a static executable runs in " + self.root)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertEqual(result.stdout.count("Running"), 4, result.stdout)
        self.assertTrue(made)


if __name__ == "__main__":
    common.main()
