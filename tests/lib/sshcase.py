# SPDX-License-Identifier: Apache-2.0
"""An engine behind a stand-in for ssh that does what is asked of it."""
import json
import os
import sys

from enginecase import EngineCase

# Forwards the socket with threads of its own, runs other commands by the shell, notes its arguments.
SSH = r"""#!%(python)s
import json, os, socket, subprocess, sys, threading
args = sys.argv[1:]
with open("%(dir)s/calls", "a") as file:
    file.write(json.dumps({"args": args, "env": dict(os.environ)}) + "\n")
options, words, i = [], [], 0
while i < len(args):
    if args[i] in ("-o", "-p", "-l", "-L", "-i"):
        options.append((args[i], args[i + 1])); i += 2
    elif args[i].startswith("-") and not words:
        i += 1
    else:
        words.append(args[i]); i += 1
forward = dict(options).get("-L")
if not forward and "rm" in words[1] and os.path.exists("%(dir)s/norm") and os.listdir(open("%(dir)s/norm").read()):
    sys.stderr.write("rm: cannot remove 'a': Permission denied\nrm: cannot remove 'b': Permission denied\n")
    sys.exit(1)
if not forward:
    sys.exit(subprocess.call(["sh", "-c", words[1]]))
if os.path.exists("%(dir)s/fail"):
    sys.stderr.write(open("%(dir)s/fail").read()); sys.exit(255)
if os.path.exists("%(dir)s/silent"):
    threading.Event().wait()
if "SSH_ASKPASS" in os.environ:
    user = dict(options)["-l"]
    answer = subprocess.run([os.environ["SSH_ASKPASS"], f"{user}@{words[0]}'s password: "], stdout=subprocess.PIPE,
                            text=True).stdout.strip()
    stranger = subprocess.run([os.environ["SSH_ASKPASS"], "x@other's password: "], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout.strip()
    if answer != "open sesame" or stranger:
        sys.stderr.write("Permission denied (password)."); sys.exit(255)
here, there = forward.split(":")
listener = socket.socket(socket.AF_UNIX)
listener.bind(here)
listener.listen(16)
def pump(a, b, sent):
    try:
        while data := a.recv(65536):
            if sent:
                with open("%(dir)s/sent", "ab") as file:
                    file.write(data)
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try: s.shutdown(2)
        except OSError: pass
def accept():
    while True:
        a, _ = listener.accept()
        b = socket.socket(socket.AF_UNIX)
        try:
            b.connect(there)
        except OSError:
            a.close(); continue
        for pair in ((a, b, True), (b, a, False)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
threading.Thread(target=accept, daemon=True).start()
while data := os.read(0, 4096):
    os.write(1, data)
"""


def install_ssh(folder, place):
    """The stand-in as place/ssh; it notes its calls and all that was sent to the engine in folder."""
    os.mkdir(place)
    with open(os.path.join(place, "ssh"), "w", encoding="utf-8") as file:
        file.write(SSH % {"dir": folder, "python": sys.executable})
    os.chmod(os.path.join(place, "ssh"), 0o755)


class SshCase(EngineCase):
    def setUp(self):
        super().setUp()
        install_ssh(self.tmp, self.path("bin"))

    def env(self, **extra):
        env = super().env(**extra)
        env["PATH"] = self.path("bin") + ":" + env["PATH"]
        return env

    def remote(self, **options):
        return self.workspace(options=dict({"Remote Hostname": "build1.test", "Remote Port": 2222, "Remote User": "ci",
                                            "Target Data Dir": self.path("data")}, **options))

    def calls(self):
        with open(self.path("calls"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]
