#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What README.md and docs/ tell a person to type is typed, in a scratch home with an embedded Server; what is not, is checked
against the executable: applet, verb, options. A command that is new in the documentation fails until it is one of both.
test_report_of_what_is_checked_alone lists the latter with the reason."""
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from lib import common  # noqa: E402
from lib.gitserver import make_repo  # noqa: E402
from lib.ptydrive import Terminal  # noqa: E402
from lib.upcase import UpCase  # noqa: E402
import ocicase  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FILES = [os.path.join(TOP, "README.md"), *sorted(glob.glob(os.path.join(TOP, "docs", "*.md")))]
RUNNER = "daytona-runner"
NOUNS = ("workspace", "ws", "target", "job", "key", "env")

# Not typed: what holds then. Blocks by their first line, commands by all of it.
DATA = {
    "base -> {net -> {api -> git, oci}, sandbox} -> agent -> providers -> jobs -> host -> runner -> applets":
        "the layers, of which scripts/checks/layers knows",
    '{"version": 1, "verb": "workspace-start", "force": false,': "a sample of what test_exec_provider looks at",
    '{"time":"2026-01-02T03:04:05Z","who":"client/ada","from":"10.0.0.7:51234","request":"DELETE /env/TOKEN","did":["remove env TOKEN"]}':
        "a sample of a log",
    "2026-01-02T03:04:05Z 10.0.0.7:51234 GET /workspace 200 1830 2 client/ada": "a sample of a log",
}
SETTINGS = ('[provider "exec-provider"]', "allow_images = debian:*, ghcr.io/acme/**, mcr.microsoft.com/devcontainers/base")
CONTAINER = ["FROM scratch", "COPY daytona-runner /daytona-runner", 'ENTRYPOINT ["/daytona-runner", "serve"]',
             "docker build -t IMAGE ."]
CHECKED = {
    "daytona-runner up --image debian:12 https://git.example/you/project": "needs a registry; test_up runs it with an image of its own",
    "daytona-runner image pull debian:12": "needs a registry; test_image_pull has one",
    "scripts/quickstart": "test_quickstart runs it",
    "scripts/bootstrap --tests": "test_bootstrap runs it",
    "scripts/test": "is what runs this",
    "scripts/test unit": "is what runs this",
    "scripts/test serve_basic": "is what runs this",
    "scripts/checks/deep": "takes an hour",
    "cmake --preset dev": "made what is tested",
    "cmake --build build/dev": "made what is tested",
    "ctest --preset dev": "is what runs this",
    "share/install.sh --base-url https://downloads.example.org/daytona-runner": "test_install has such a server",
    "curl -fsS http://server.lan:3986/install.sh | sh": "test_install runs it",
    "systemctl stop daytona-runner-server": "nothing of the machine is stopped by a test",
    "mv /var/lib/daytona-runner-server /var/lib/daytona-runner-server.old": "nothing of the machine is moved by a test",
    "0 3 * * *  daytona-runner server backup --data /var/lib/daytona-runner-server /backup/daytona-$(date +\\%u).tar":
        "a line for cron; backup is run",
}


def lines_of(path):
    """Blocks of code, indented or fenced: lists of (number, line), a continued line as one."""
    blocks, block, fenced, begun = [], [], False, None
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.rstrip("\n")
            if line.startswith("```"):
                fenced = not fenced
            elif fenced or line.startswith("    "):
                text = line if fenced else line[4:]
                if begun:
                    number, text = begun[0], begun[1] + " " + text.strip()
                begun = (number, text[:-1].rstrip()) if text.endswith("\\") else None
                if not begun:
                    block.append((number, text))
                continue
            if block:
                blocks.append(block)
            block = []
    return blocks + ([block] if block else [])


def plain(line):
    """A command without its comment."""
    return re.sub(r"\s+#( .*)?$", "", line).strip()


def every_block():
    for path in FILES:
        if os.path.basename(path) != "protocol.md":
            for block in lines_of(path):
                yield os.path.relpath(path, TOP), block


def every_command():
    """{command: where} of all blocks that are for a shell."""
    found = {}
    for path, block in every_block():
        if block[0][1].strip() not in DATA and block[0][1].strip() not in SETTINGS:
            for number, line in block:
                found.setdefault(plain(line), f"{path}:{number}")
    return found


def spans():
    """Commands in the running text and in tables: (where, words)."""
    for path in FILES:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for match in re.finditer(r"(?<!`)`(daytona-runner [^`]*)`", text):
            where = f"{os.path.relpath(path, TOP)}:{text.count(chr(10), 0, match.start()) + 1}"
            for one in alternatives(" ".join(match.group(1).split())):
                yield where, one


def alternatives(command):
    """"key create|list" as two commands; without brackets and quoted alternatives of operands."""
    command = re.sub(r"[\[\]…]|\.\.\.", "", command)
    words = command.split()
    for i, word in enumerate(words):
        if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word):
            return [" ".join(words[:i] + [w] + words[i + 1:]) for w in word.split("|")]
    return [command]


class Step:
    def __init__(self, command, as_=None, rc=(0,), until=None, answer=None, says="", stdin=None, needs=None):
        self.command, self.as_, self.rc, self.until, self.answer, self.says = command, as_, rc, until, answer, says
        self.stdin, self.needs = stdin, needs


# In this order. as_: what is typed instead, where the text leaves something open or a test must choose a port; until: it goes on
# until a person stops it, and says this before.
ONE_MACHINE = [
    Step("daytona-runner up https://git.example/you/project", says="Next: daytona-runner"),
    Step("daytona-runner exec project -- make test", says="tested", needs="make"),
    Step("daytona-runner workspace logs project", says="cloning"),
    Step("daytona-runner workspace create https://git.example/team/app", says="Workspace app is started."),
    Step("daytona-runner workspace list", says="app"),
    Step("daytona-runner up [REPOSITORY]", "daytona-runner up", says="is there"),
    Step("daytona-runner check [--report FILE]", "daytona-runner check --report report", rc=(0, 1), says="The report is in"),
    Step("daytona-runner status [--format json]", "daytona-runner status --format json", says='"healthy": true'),
    Step("daytona-runner status", says="Running"),
    Step("daytona-runner logs [-f] [--job ID | --workspace ID | --target ID | --build ID] [--remote]", "daytona-runner logs",
         says="starting runner"),
    Step("daytona-runner workspaces [-f json]", "daytona-runner workspaces -f json", says='"state": "running"'),
    Step("daytona-runner pause [--for 2h] [--note TEXT]", "daytona-runner pause --for 2h --note TEXT"),
    Step("daytona-runner resume"),
    Step("daytona-runner cancel JOB...", "daytona-runner cancel 0123456789ab", rc=(1,), says="0123456789ab"),
    Step("daytona-runner shell app", answer=(None, "echo $((6 * 7)); exit"), says="42"),
    Step("daytona-runner exec app -- make test", says="tested", needs="make"),
    Step("daytona-runner cp app:dist ./dist"),
    Step("daytona-runner forward app 3000 8080:80", "daytona-runner forward app PORT:FREE", until="127.0.0.1"),
    Step("daytona-runner tunnel app 5432", "daytona-runner tunnel app PORT", says="who is there"),
    Step('key=$(cat DIR/client.key) base=http://127.0.0.1:3986/workspace/demo/toolbox', "KEY", needs="curl"),
    Step('curl -H "Authorization: Bearer $key" -F file=@hello.py "$base/files/upload?path=hello.py"',
         "KEY; curl -fsS -H \"Authorization: Bearer $key\" -F file=@hello.py \"$base/files/upload?path=hello.py\"", needs="curl"),
    Step('curl -H "Authorization: Bearer $key" -d \'{"command":"python3 hello.py"}\' $base/process/execute',
         "KEY; curl -fsS -H \"Authorization: Bearer $key\" -d '{\"command\":\"python3 hello.py\"}' $base/process/execute",
         says="hello from python", needs="curl"),
    Step("daytona-runner ssh-config", says="Include", needs="ssh"),
    Step("daytona-runner ssh app make test", says="tested", needs="ssh"),
    Step("daytona-runner ssh app", answer=(None, "echo $((7 * 6)); exit"), says="42", needs="ssh"),
    Step("scp notes.txt app.daytona:", "scp -q -F home/cfg/ssh/config notes.txt app.daytona:", needs="scp"),
    Step("daytona-runner workspace stop app", says="Workspace app is stopped."),
    Step("daytona-runner workspace logs -f app", until="cloning"),
    Step("daytona-runner target create box --target-config native-provider -o Image=debian:12 -o Isolation=strict", rc=(0, 1), says="box"),
    Step("daytona-runner image load app.tar", says="Loaded image: app:1"),
    Step("daytona-runner image list", says="IMAGE ID"),
    Step("daytona-runner image save -o app.tar app:1 other:2", "daytona-runner image save -o saved.tar app:1 other:2"),
    Step("daytona-runner image remove app:1", says="Untagged: app:1"),
    Step("daytona-runner image prune --unused-for 720h --free 10000", says="Removed"),
    Step("daytona-runner workspace delete app", answer=(r"\?.*", "Yes"), says="Workspace app is deleted."),
    Step("daytona-runner down", says="is stopped"),
    Step("daytona-runner down --purge", answer=(r"\?.*", "Yes")),
]
SERVER = [
    Step("daytona-runner server", "daytona-runner server --listen 127.0.0.1:0", until="listening on http:"),
    Step("daytona-runner server --listen 0.0.0.0:3986 --tls-cert chain.pem --tls-key key.pem --public-url https://server.lan:3986",
         "daytona-runner server --listen 0.0.0.0:0 --data tls --tls-cert chain.pem --tls-key key.pem --public-url https://server.lan:3986",
         until="listening on https:"),
]
RUNNING_SERVER = [
    Step("daytona-runner server restart [--data DIR]", "daytona-runner server restart --data DIR"),
    Step("daytona-runner server key create ada", "daytona-runner server key --data DIR create ada"),
    Step("daytona-runner server key list", "daytona-runner server key --data DIR list", says="ada"),
    Step("daytona-runner server key delete ada", "daytona-runner server key --data DIR delete ada"),
    Step('key=$(daytona-runner server key create webhook); printf %s "$key" | sha256sum',
         'key=$(daytona-runner server key --data DIR create webhook); printf %s "$key" | sha256sum', says="  -"),
    Step("daytona-runner server key delete webhook", "daytona-runner server key --data DIR delete webhook"),
    Step("daytona-runner server join", "daytona-runner server join --data DIR >joined", says="configure TOKEN"),
    Step("daytona-runner configure TOKEN", "daytona-runner configure - --config-dir joins --name joined <joined", says="was saved to"),
    Step("daytona-runner create --name edge", says="printf "),
    Step("printf … | daytona-runner configure …", "LINE", says="was saved to"),
    Step("printf ... | daytona-runner configure ...", "LINE", says="was saved to"),
    Step("daytona-runner start", says="Running"),
    Step("daytona-runner server backup [--data DIR] FILE", "daytona-runner server backup --data DIR FILE"),
    Step("daytona-runner server restore [--data DIR] FILE", "daytona-runner server restore --data again FILE"),
    Step("daytona-runner server restore --data /var/lib/daytona-runner-server /backup/daytona-3.tar",
         "daytona-runner server restore --data again2 FILE"),
    Step("true", "daytona-runner stop"),
    Step("daytona-runner serve --once", until="starting runner"),
    Step("daytona-runner serve --idle-exit 10m", "daytona-runner serve --idle-exit 1s", says=""),
    Step("daytona-runner serve --max-uptime 24h", "daytona-runner serve --max-uptime 1s", says=""),
    Step("share/install.sh --offline build/release/daytona-runner", "INSTALL", says="nstall"),
]
DOCKER = ("docker run -d -v runner-state:/state -v /etc/daytona-runner/key:/run/secrets/key:ro "
          "-e DAYTONA_RUNNER_RUNNER_ID=0a1b2c3d4e5f -e DAYTONA_RUNNER_RUNNER_NAME=edge "
          "-e DAYTONA_RUNNER_SERVER_URL=https://api.example.org -e DAYTONA_RUNNER_SERVER_KEY_FILE=/run/secrets/key "
          "-e DAYTONA_RUNNER_RUNNER_STATE_DIR=/state IMAGE")


class Text(common.Case):
    """Against the executable, nothing is run."""

    def ask(self, *args):
        return common.run([common.BIN, *args], env=common.clean_env(self.tmp))

    def check_shape(self, command, where):
        """As the executable's own parser sees it, up to a --help where no operand has ended the options yet."""
        words = shlex.split(command, comments=True)
        at = words.index(RUNNER)
        words = words[at + 1:]
        if not words or words[0].startswith("-"):
            known = self.ask("--help").stdout + self.ask("help", "--help").stdout
            for word in words:
                if word.startswith("-"):
                    self.assertIn(word, known, where)
            return
        applet, rest = words[0], words[1:]
        if applet.isupper():
            return
        self.assertIn(applet, self.applets, f"{where}: {command}")
        head = [applet]
        if applet in NOUNS and rest:
            verbs = self.ask(applet, "--print-verbs").stdout.split()
            self.assertIn(rest[0], verbs, f"{where}: {command}")
            head.append(rest.pop(0))
        if applet in ("provider", "image", "service", "git-credential", "docker-credential", "server") and rest and rest[0].islower():
            self.assertIn(rest[0], " ".join(self.ask(applet, "--help").stdout.split()), f"{where}: {command}")
        if applet == "server" and rest[:1] and rest[0] in ("key", "join", "backup", "restore", "restart"):
            head.append(rest.pop(0))
        if "--" in rest:
            rest = rest[:rest.index("--")]
        if applet in ("exec", "ssh", "help"):  # their first operand ends the options
            rest = [word for word in rest[:1] if word.startswith("-")]
        # Values of numbers and times that the text leaves open.
        rest = ["1" if re.fullmatch("N|COUNT|SECONDS", word) else word for word in rest]
        said = self.ask(*head, *rest, "--help")
        self.assertEqual(said.returncode, 0, f"{where}: {command}\n{said.stderr}")

    def setUp(self):
        super().setUp()
        self.applets = self.ask("--list").stdout.split()

    def test_the_check_itself(self):
        """What is wrong is found."""
        for command in ("daytona-runner statsu", "daytona-runner status --nonsense", "daytona-runner workspace unmake x",
                        "daytona-runner server kye", "daytona-runner --nonsense", "daytona-runner server key --nonsense x"):
            with self.subTest(command), self.assertRaises(AssertionError):
                self.check_shape(command, "here")

    def test_commands_in_blocks(self):
        for command, where in every_command().items():
            if re.search(r"(^|  )daytona-runner ", command):
                for one in alternatives(command.partition(" | ")[0] if "[" not in command else command.replace(" | ", " ")):
                    with self.subTest(where):
                        self.check_shape(one.replace("\\%", "%"), where)

    def test_commands_in_the_text(self):
        seen = 0
        for where, command in spans():
            with self.subTest(where):
                self.check_shape(command, where)
            seen += 1
        self.assertGreater(seen, 80)

    def test_every_command_is_known_here(self):
        typed = {step.command for step in ONE_MACHINE + SERVER + RUNNING_SERVER} - {"true"} | {*CONTAINER, DOCKER}
        found = every_command()
        self.assertEqual(typed & set(CHECKED), set())
        for command, where in found.items():
            with self.subTest(where):
                self.assertTrue(command in typed or command in CHECKED,
                                f"neither run nor checked; make it a Step, or say in CHECKED why not: {command}")
        self.assertEqual((typed | set(CHECKED)) - set(found), set(), "no longer in the documentation")
        for first in [*DATA, *SETTINGS]:
            self.assertTrue(any(block[0][1].strip() == first for _, block in every_block()), first)

    def test_report_of_what_is_checked_alone(self):
        found = every_command()
        for command, why in CHECKED.items():
            print(f"\nonly checked: {found[command]}: {command}: {why}", end="")
            program = command.split()[0]
            if "/" in program and program[0].isalpha():
                path = os.path.join(TOP, program)
                self.assertTrue(os.access(path, os.X_OK), path)
                if program.endswith(("install.sh", "bootstrap", "test")):
                    said = common.run([path, "--help"]).stdout
                    for word in command.split()[1:]:
                        if word.startswith("--") or word == "unit":
                            self.assertIn(word, said)
        print()
        with open(os.path.join(TOP, "CMakePresets.json"), encoding="utf-8") as file:
            self.assertIn('"name": "dev"', file.read())

    def test_settings(self):
        for path, block in every_block():
            if block[0][1].strip() not in SETTINGS:
                continue
            lines = [re.sub(r"\s+#.*", "", line) for _, line in block]
            text = "\n".join(lines if lines[0].startswith("[") else ["[runner]", *lines]) + "\n"
            with self.subTest(path):
                with open(os.open(self.path("runner.ini"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                    file.write("[runner]\nid = 0a1b2c3d4e5f\nname = edge\n[server]\nurl = https://x.example\nkey = K\n" + text)
                said = self.ask("config", "-q", "-C", self.tmp)
                self.assertEqual(said.returncode, 0, said.stderr)

    def test_the_readme_lists_the_applets(self):
        with open(FILES[0], encoding="utf-8") as file:
            table = re.search(r"\| Applet \|(.|\n)*?\n\n", file.read()).group(0)
        named = set(re.findall(r"`([a-z-]+)`", "".join(row.split("|")[1] for row in table.strip().splitlines())))
        self.assertEqual(named, set(self.applets))

    def test_links(self):
        """Places within the documentation exist, headings too."""
        def slug(heading):
            return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
        for path in FILES:
            with open(path, encoding="utf-8") as file:
                text = file.read()
            for link in re.findall(r"\]\(([^)#:]*(?:#[^)]*)?)\)", text):
                name, _, anchor = link.partition("#")
                target = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
                with self.subTest(f"{os.path.relpath(path, TOP)}: {link}"):
                    self.assertTrue(os.path.exists(target))
                    if anchor:
                        with open(target, encoding="utf-8") as file:
                            self.assertIn(anchor, {slug(h) for h in re.findall(r"(?m)^#+ (.*)$", file.read())})


class Typed(UpCase):
    def setUp(self):
        super().setUp()
        for name in ("project", "app"):
            shutil.rmtree(self.path("git", name + ".git"), ignore_errors=True)
            shutil.rmtree(self.path("git", name + "-work"), ignore_errors=True)
            make_repo(self.path("git"), name, files={"Makefile": "test:\n\t@echo tested\n", "dist/x": "made\n"})
        os.mkdir(self.path("bin"))
        os.symlink(common.BIN, self.path("bin", RUNNER))
        self.replace = {"https://git.example/you/project": self.git.url + "/project.git",
                        "https://git.example/team/app": self.git.url + "/app.git"}
        self.more = {}
        for name, text in (("notes.txt", "notes"), ("hello.py", "print('hello from python')\n")):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)

    def type(self, step):
        """One line in a shell, as a person would type it; what it said."""
        command = step.as_ or step.command
        for text, value in self.replace.items():
            command = re.sub(rf"(?<![\w-]){re.escape(text)}(?![\w-])", lambda _, v=value: v, command)
        env = self.env(**self.more)
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        argv = ["/bin/sh", "-c", command]
        if step.answer:
            term = Terminal(self, argv, {**env, "TERM": "xterm", "PS1": "$ "}, cwd=self.tmp)
            if step.answer[0]:
                term.expect(step.answer[0])
            term.send(step.answer[1] + "\n")
            rc, said = term.wait(), term.text()
        elif step.until:
            with subprocess.Popen(["/bin/sh", "-c", "exec " + command], env=env, cwd=self.tmp, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
                timer = threading.Timer(60 * common.PATIENCE, process.kill)
                timer.start()
                said = ""
                for line in process.stdout:
                    said += line
                    if step.until in line:
                        process.send_signal(signal.SIGINT)
                        break
                said += process.stdout.read()
                process.wait()
                timer.cancel()
            self.assertIn(step.until, said, command)
            self.assertNotEqual(process.returncode, -signal.SIGKILL, said)
            return said
        else:
            result = common.run(argv, env=env, cwd=self.tmp, timeout=60 * common.PATIENCE)
            rc, said = result.returncode, result.stdout + result.stderr
        self.assertIsNone(common.SANITIZER.search(said), said[-3000:])
        self.assertIn(rc, step.rc, f"{command}\n{said[-3000:]}")
        self.assertIn(step.says, said, command)
        return said

    def steps_of(self, steps):
        for step in steps:
            if step.needs and not shutil.which(step.needs):
                print(f"\nskipped: {step.command}: no {step.needs}", flush=True)
                continue
            yield step

    def listening(self):
        """A port on which somebody says a word to whoever connects."""
        listener = socket.create_server(("127.0.0.1", 0))

        def each(conn):
            conn.sendall(b"who is there\n")
            conn.close()
        self.addCleanup(common.accept_each(listener, each))
        return str(listener.getsockname()[1])

    def test_one_machine(self):
        free = socket.create_server(("127.0.0.1", 0))
        self.replace.update(PORT=self.listening(), FREE=str(free.getsockname()[1]))
        free.close()
        layer = ocicase.layer([ocicase.directory("etc")])
        ocicase.Image([layer], config={}).docker_archive(self.path("app.tar"), ["app:1", "other:2"])
        self.replace["app.tar"] = self.path("app.tar")
        for step in self.steps_of(ONE_MACHINE):
            if step.command.startswith("key=$("):
                url = re.search(r"http://127.0.0.1:\d+", self.applet("config").stdout).group(0)
                self.replace["KEY"] = step.command.replace("DIR", "home/cfg/server").replace("http://127.0.0.1:3986", url).replace(
                    "/demo/", "/project/") + " no_proxy=127.0.0.1"
            with self.subTest(step.command):
                self.type(step)
        self.assertEqual(os.listdir(self.path("dist")), ["x"])
        self.nothing_left()

    def test_server(self):
        if not shutil.which("openssl"):
            self.skipTest("no openssl")
        ca = common.make_ca(self.tmp)
        cert, key = common.make_cert(self.tmp, ca)
        os.rename(cert, self.path("chain.pem"))
        os.rename(key, self.path("key.pem"))
        for step in SERVER:
            with self.subTest(step.command):
                self.type(step)

    def test_a_server_and_a_runner(self):
        self.applet("up", "--detach", self.repo)
        data = os.path.join(self.cfg, "server")
        url = re.search(r"http://127.0.0.1:\d+", self.applet("config").stdout).group(0)
        with open(os.path.join(data, "client.key"), encoding="ascii") as file:
            admin = {"DAYTONA_API_URL": url, "DAYTONA_API_KEY": file.read().strip()}
        os.mkdir(self.path("installed"))
        self.more = {**admin, "DAYTONA_RUNNER_CONFIG_DIR": self.path("edge")}
        self.replace.update(DIR=data, FILE=self.path("backup.tar"), INSTALL=(
            f"{TOP}/share/install.sh --offline {common.BIN} --bin-dir {self.path('installed')} </dev/null"))
        for step in self.steps_of(RUNNING_SERVER):
            with self.subTest(step.command):
                said = self.type(step)
                if "printf " in said and "LINE" not in self.replace:
                    # Pasted whole; no port of the machine is taken by a test.
                    line = next(line for line in said.splitlines() if line.startswith("printf "))
                    self.replace["LINE"] = line + " --port 0"


class Container(common.Case):
    """The image, the container and its environment as operators.md has them, on the machine's own engine."""

    def docker(self, command, check=True):
        done = common.run(["/bin/sh", "-c", command], cwd=self.tmp, timeout=120 * common.PATIENCE)
        if check:
            self.assertEqual(done.returncode, 0, command + "\n" + done.stderr)
        return done.stdout.strip()

    def test_container(self):
        if not common.is_static(common.BIN):
            self.skipTest("an empty image needs the static executable")
        if not shutil.which("docker") or common.run(["docker", "info"]).returncode:
            self.skipTest("there is no container engine")
        server = self.server()
        shutil.copy(common.BIN, self.path(RUNNER))
        with open(self.path("Dockerfile"), "w", encoding="ascii") as file:
            file.write("\n".join(CONTAINER[:3]) + "\n")
        with open(self.path("key"), "w", encoding="ascii") as file:
            file.write(server.key)
        os.chmod(self.path("key"), 0o600)
        image = f"dr-docs-{os.getpid()}:1"
        self.addCleanup(self.docker, f"docker rmi -f {image}", False)
        self.docker(CONTAINER[3].replace("IMAGE", image))
        # Nothing but names, and the network of this machine, where the server is.
        command = (DOCKER.replace("runner-state", "dr-docs-state-%d" % os.getpid()).replace("/etc/daytona-runner/key", self.path("key"))
                   .replace("0a1b2c3d4e5f", server.runner_id).replace("https://api.example.org", server.url)
                   .replace("docker run -d", "docker run -d --network host -e DAYTONA_RUNNER_RUNNER_PORT=0").replace("IMAGE", image))
        container = self.docker(command)
        self.addCleanup(self.docker, f"docker volume rm dr-docs-state-{os.getpid()}", False)
        self.addCleanup(self.docker, f"docker rm -f {container}", False)
        common.wait_for(lambda: server.heartbeats, 60 * common.PATIENCE,
                        lambda: self.docker(f"docker logs {container} 2>&1", False))
        self.docker(f"docker stop -t 30 {container}")
        self.assertEqual(self.docker("docker inspect -f '{{.State.ExitCode}}' " + container), "0")


if __name__ == "__main__":
    if not common.BIN or not os.access(common.BIN, os.X_OK):
        common.skip_all("DAYTONA_RUNNER_BIN names no executable")
    unittest.main(testRunner=unittest.TextTestRunner(verbosity=1, resultclass=common.Result))
