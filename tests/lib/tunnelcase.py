# SPDX-License-Identifier: Apache-2.0
"""The embedded Server with workspaces whose agents run here, and a client of byte streams that shows its frames."""
import json
import os
import socket
import struct
import subprocess

from lib import common, serverproc

IN, OUT, ERR, NOTE, SIZE, SIGNAL, GRANT, END = 0, 1, 2, 3, 4, 5, 6, 255
WINDOW = 256 << 10


class Stream(serverproc.WebSocket):
    """The client's end of a stream: messages begin with their channel."""

    def __init__(self, server, workspace, query, key=""):
        super().__init__(server, f"/workspace/{workspace}/tunnel?{query}", key)
        self.code, self.reason = None, ""
        self.notes, self.ended = [], set()

    def say(self, channel, data=b""):
        self.send(bytes([channel]) + (data.encode() if isinstance(data, str) else data), opcode=2)

    def end(self, channel=IN):
        self.say(END, bytes([channel]))

    def run(self, *args, **more):
        self.say(NOTE, json.dumps({"args": list(args), **more}))
        return self

    def next(self):
        """(channel, data) of the next message but grants are given and pings answered; None at the close."""
        while True:
            opcode, payload = self.frame()
            if opcode == 9:
                try:
                    self.send(payload, opcode=10)
                except OSError:     # it has gone, and what it said before that is still to be read
                    pass
            elif opcode == 8:
                self.code = struct.unpack(">H", payload[:2])[0] if payload else 1005
                self.reason = payload[2:].decode()
                return None
            elif opcode == 2:
                channel, data = payload[0], payload[1:]
                if channel == END:
                    self.ended.add(data[0])
                elif channel == NOTE:
                    self.notes.append(json.loads(data))
                elif channel < NOTE:
                    self.say(GRANT, struct.pack(">I", len(data)))
                return channel, data

    def all(self, channel=OUT):
        """Up to the close: what came on that channel."""
        got = b""
        while (m := self.next()) is not None:
            if m[0] == channel:
                got += m[1]
        return got

    def until(self, what, channel=OUT):
        got = b""
        while what not in got:
            m = self.next()
            assert m is not None, (got, self.code, self.reason)
            if m[0] == channel:
                got += m[1]
        return got


class TunnelCase(common.Case):
    args = ()

    def setUp(self):
        super().setUp()
        self.agents = {}
        self.start_server()

    def start_server(self):
        self.server = serverproc.Server(self, os.path.join(self.tmp, "data"), "--poll-seconds", "30", *self.args)

    def make(self, *workspaces):
        """Workspaces that are started, without a provider: their keys."""
        s = self.server
        runner = serverproc.make_runner(s)
        config = serverproc.make_config(s)
        s.ok("POST", "/target", {"id": "t1", "name": "target", "targetConfigId": config})
        for w in workspaces:
            s.ok("POST", "/workspace", serverproc.workspace_body(w, "name-" + w, "t1"))
        serverproc.finish_job(s, runner)
        self.runner = runner
        return [s.ok("GET", f"/workspace/{w}", key=runner).json["apiKey"] for w in workspaces]

    def agent(self, workspace, key, *command, wait=True, **env):
        home = os.path.join(self.tmp, "home-" + workspace)
        os.makedirs(os.path.join(home, "app"), exist_ok=True)
        url = self.server.url
        log = open(os.path.join(self.tmp, f"agent-{workspace}.log"), "ab")
        self.addCleanup(log.close)
        process = subprocess.Popen(
            [common.BIN, "agent", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=common.clean_env(home, DAYTONA_SERVER_API_URL=url, DAYTONA_SERVER_API_KEY=key,
                                 DAYTONA_WORKSPACE_ID=workspace, DAYTONA_AGENT_DIR=os.path.join(home, "app"),
                                 DAYTONA_AGENT_GRACE_MS="500", TUNNEL_TEST=self.tmp, **env))
        self.addCleanup(self.end_agent, process, log.name)
        self.agents[workspace] = process
        if wait:
            self.wait_agents(len(self.agents))
        return process

    def end_agent(self, process, log):
        if process.poll() is None:
            process.terminate()
            process.wait(20 * common.PATIENCE)
        with open(log, encoding="utf-8", errors="replace") as file:
            match = common.SANITIZER.search(file.read())
        self.assertIsNone(match, match and match.group(0))

    def figure(self, name):
        for line in self.server.ok("GET", "/metrics").body.decode().splitlines():
            if line.startswith(f"daytona_server_{name} "):
                return int(line.split()[-1])
        raise AssertionError(name)

    def wait_agents(self, n):
        common.wait_for(lambda: self.figure("agents_polling") >= n, 20 * common.PATIENCE, f"{n} agents poll")

    def stream(self, workspace, query, key=""):
        s = Stream(self.server, workspace, query, key)
        self.assertEqual(s.status, 101, s.head)
        return s

    def leftovers(self):
        """Processes with the environment of this test's workspaces, the agents left out."""
        mark = ("TUNNEL_TEST=" + self.tmp).encode()
        agents = {p.pid for p in self.agents.values()}
        return [pid for pid in common.all_pids() if pid not in agents and common.alive(pid) and
                mark in common.read_proc(pid, "environ").split(b"\0")]

    def wait_nothing_left(self):
        common.wait_for(lambda: not self.leftovers(), 10 * common.PATIENCE,
                        lambda: [common.read_proc(p, "cmdline") for p in self.leftovers()])

    def listener(self, each):
        """A TCP port of this host, served by each(connection) in threads."""
        s = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(common.accept_each(s, each))
        return s.getsockname()[1]


def echo(conn):
    with conn:
        while data := conn.recv(65536):
            conn.sendall(data)
