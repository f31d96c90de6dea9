#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Server's page: what it is sent with, the tables without scripts, and a real browser that makes, uses and removes a
workspace by clicks and keys, in both themes and two widths."""
import base64
import hashlib
import json
import os
import re
import sys
import types
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
sys.path.insert(1, os.path.join(os.path.dirname(__file__), "..", "lib"))
from lib import browser, common, serverproc  # noqa: E402
from lib.gitserver import GitServer, make_repo  # noqa: E402

RUNNER = "feedc0ffee01"
SHOTS = os.environ.get("DAYTONA_RUNNER_TEST_SHOTS")  # a directory for the pictures


def form(**fields):
    return urllib.parse.urlencode(fields)


class Sent(common.Case):
    def setUp(self):
        super().setUp()
        self.s = serverproc.Server(self, self.path("data"))

    def test_the_page_is_whole_and_its_policy_lets_in_nothing_else(self):
        answer = self.s.ok("GET", "/", key=None)
        text, policy = answer.body.decode(), answer.header("Content-Security-Policy")
        for name, tag in (("script-src", "script"), ("style-src", "style")):
            inner, = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
            digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
            self.assertIn(f"{name} 'sha256-{digest}'", policy)
        self.assertTrue(policy.startswith("default-src 'none'; "))
        self.assertNotIn("unsafe", policy)
        self.assertIn("frame-ancestors 'none'", policy)
        self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
        self.assertEqual(answer.header("Content-Type"), "text/html; charset=utf-8")
        self.assertNotRegex(text, r"""(src|href)=["'](?!data:,)""")
        self.assertNotIn(self.s.key, text)
        self.assertEqual(self.s.call("HEAD", "/", key=None).body, b"")

    def test_tables_without_scripts(self):
        key = serverproc.make_runner(self.s, RUNNER, "edge")
        other = serverproc.make_runner(self.s, "feedc0ffee02", "far")
        config = serverproc.make_config(self.s, RUNNER)
        self.s.ok("POST", "/target", {"id": "t1", "name": "t1", "targetConfigId": config})
        repository = dict(serverproc.REPOSITORY, url="http://git.test/<i>&\"'")
        self.s.ok("POST", "/workspace", serverproc.workspace_body("w1", "w1", "t1", source={"repository": repository}))
        serverproc.finish_job(self.s, key, RUNNER, "error", "<script>alert(1)</script>")
        page = self.s.call("POST", "/", form(key=self.s.key), key=None)
        text = page.body.decode()
        self.assertEqual(page.status, 200)
        for part in ("Runners: 2", "Targets: 1", "Workspaces: 1", "Jobs: 2", "<td>edge", "<td>far", "<td>w1",
                     "http://git.test/&lt;i&gt;&amp;&#34;&#39;", "&lt;script&gt;alert(1)&lt;/script&gt;"):
            self.assertIn(part, text)
        self.assertNotIn("<script>", text)
        self.assertIsNotNone(page.header("Content-Security-Policy"))
        # A runner's key: what its lists would show it, and no more.
        text = self.s.call("POST", "/", form(key=other), key=None).body.decode()
        self.assertIn("Runners: 1", text)
        self.assertIn("Workspaces: 0", text)
        self.assertNotIn("edge", text)
        for wrong in (form(key="nonsense"), form(other="x"), "", "key=%zz", "\0\xff"):
            page = self.s.call("POST", "/", wrong, key=None)
            self.assertEqual(page.status, 401, wrong)
            self.assertNotIn("<table", page.body.decode())
        # The header counts for nothing here: a browser of somebody else sends none.
        self.assertEqual(self.s.call("POST", "/", "", key="").status, 200)
        self.assertEqual(self.s.call("POST", "/", "key=" + "x" * 5000, key=None).status, 413)

    def test_the_newest_jobs(self):
        key = serverproc.make_runner(self.s, RUNNER)
        config = serverproc.make_config(self.s, RUNNER)
        for i in range(5):
            self.s.ok("POST", "/target", {"id": f"t{i}", "name": f"t{i}", "targetConfigId": config})
        serverproc.finish_job(self.s, key, RUNNER)
        of = lambda query: [j["resourceId"] for j in self.s.ok("GET", "/job" + query).json]  # noqa: E731
        self.assertEqual(of("?limit=2"), ["t3", "t4"])
        self.assertEqual(of("?limit=9"), of(""))
        for odd in ("0", "-1", "x", "99999999999999999999", ""):
            self.assertEqual(len(of("?limit=" + odd)), 5, odd)

    def test_a_key_among_the_protocols(self):
        serverproc.make_runner(self.s, RUNNER)
        nonce = base64.b64encode(b"n" * 16).decode()
        base = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", nonce)]
        offer = "Sec-WebSocket-Protocol"

        def status(fields, path=f"/log/runner/{RUNNER}"):
            s = self.s.socket()
            lines = [f"GET {path} HTTP/1.1", "Host: x"] + [f"{k}: {v}" for k, v in fields]
            s.sendall("\r\n".join(lines + ["", ""]).encode())
            head = b""
            while b"\r\n\r\n" not in head:
                head += s.recv(4096)
            return head.split(b"\r\n\r\n")[0].decode()
        good = status(base + [(offer, f"daytona, daytona.key.{self.s.key}")])
        self.assertTrue(good.startswith("HTTP/1.1 101"), good)
        self.assertIn("\r\nSec-WebSocket-Protocol: daytona", good)
        self.assertNotIn(self.s.key, good)
        self.assertNotIn(offer, status(base + [("Authorization", f"Bearer {self.s.key}")]))
        wrong = "x" * 48
        for fields in ([(offer, f"daytona, daytona.key.{wrong}")], [(offer, "daytona, daytona.key.")], [(offer, "daytona")],
                       [(offer, f"daytona.key.{self.s.key}"), ("Authorization", f"Bearer {wrong}")]):
            self.assertTrue(status(base + fields).startswith("HTTP/1.1 401"), fields)
        # Only a WebSocket has it: no form or link of another page can ask for one with a list of protocols and read on.
        self.assertTrue(status([(offer, f"daytona.key.{self.s.key}")], "/runner").startswith("HTTP/1.1 401"))


class Seen(common.Case):
    """In the browser."""

    def setUp(self):
        super().setUp()
        self.b = browser.Browser(self)
        self.s = serverproc.Server(self, self.path("data"))
        key = self.s.ok("POST", "/runner", {"id": RUNNER, "name": "edge"}).json["apiKey"]
        peer = types.SimpleNamespace(runner_id=RUNNER, runner_name="edge", url=self.s.url, key=key, heartbeats=[])
        self.edge = self.runner(peer).start(wait=False)
        common.wait_for(lambda: self.s.ok("GET", "/target-config").json, 30 * common.PATIENCE, self.edge.log)
        os.makedirs(self.path("git"))
        make_repo(self.path("git"))
        self.git = GitServer(self.path("git"))
        self.addCleanup(self.git.stop)

    def shot(self, name):
        if SHOTS:
            self.b.screenshot(os.path.join(SHOTS, name + ".png"))

    def row(self, table, name):
        return f"[...document.querySelectorAll('#{table} tbody tr')].find(r => r.cells[0].innerText.trim() === {json.dumps(name)})"

    def state(self, table, name, want):
        self.b.wait(f"({self.row(table, name)} || {{cells: [0, {{}}]}}).cells[1].innerText === {json.dumps(want)}",
                    f"{name} to be {want}: {self.b.text('#' + table)}")

    def click_row(self, table, verb, name):
        self.b.click(f'#{table} button[aria-label="{verb} {table[:-1]} {name}"]')

    def fill(self, **fields):
        for name, value in fields.items():
            self.b.click(f'#create [name="{name}"]')
            self.b.type(value)

    def log_in(self):
        self.b.open(self.s.url + "/")
        self.b.click("#login input")
        self.b.type(self.s.key)
        self.b.press("Enter")
        self.b.wait("!document.querySelector('#main').hidden")

    def make_workspace(self):
        self.b.click("#new-target")
        self.fill(name="here")
        self.b.click("#create-do")
        self.state("targets", "here", "ready")
        self.b.click("#new-workspace")
        self.fill(url=self.git.url + "/app.git", name="one")
        self.b.click("#create-do")
        self.state("workspaces", "one", "started")

    def test_a_life_by_clicks(self):
        b = self.b
        b.open(self.s.url + "/")
        self.shot("login")
        b.click("#login input")
        b.type("wrong")
        b.press("Enter")
        b.wait("document.querySelector('#state').innerText.includes('does not know this key')")
        self.log_in()
        self.assertEqual(b.js("document.querySelector('#login input').value"), "")
        b.wait("document.querySelector('#runners').innerText.includes('native-provider')")
        self.make_workspace()
        self.shot("wide-light")
        b.click("#workspaces button[aria-label='log of workspace one']")
        b.wait("document.querySelector('#log').innerText.length > 20")
        self.shot("log")
        b.click("#viewer-close")
        self.click_row("workspaces", "stop", "one")
        self.state("workspaces", "one", "stopped")
        self.click_row("workspaces", "start", "one")
        self.state("workspaces", "one", "started")
        b.dark(True)
        self.shot("wide-dark")
        b.size(390, 844, phone=True)
        self.assertLessEqual(b.js("document.documentElement.scrollWidth"), 390)
        self.shot("phone-dark")
        b.dark(False)
        b.size(1200, 900)
        names = b.roles()
        for role, name in (("heading", "Workspaces"), ("button", "stop workspace one"), ("button", "New target"),
                           ("table", ""), ("searchbox", "Filter"), ("status", "")):
            self.assertTrue(any(r == role and name in n for r, n in names), (role, name))
        self.click_row("workspaces", "delete", "one")
        b.click("#sure button", "Keep")
        self.assertEqual(self.s.ok("GET", "/workspace").json[0]["state"]["name"], "started")
        self.click_row("workspaces", "delete", "one")
        b.click("#sure button", "Delete")
        b.wait("document.querySelector('#workspaces').innerText.includes('No workspace yet')")
        b.click("#forget")
        b.wait("document.querySelector('#main').hidden")
        self.assertEqual(b.js("key"), "")
        self.assertEqual(b.js("JSON.stringify([Object.keys(localStorage), Object.keys(sessionStorage), document.cookie])"), '[[],[],""]')
        outside = [u for u in b.requests() if not u.startswith((self.s.url, "data:", "blob:"))]
        self.assertEqual(outside, [])
        wrong = [e["params"] for e in b.complaints() if "401" not in json.dumps(e)]
        self.assertEqual(wrong, [])

    def screen(self):
        return self.b.js("terminal ? terminal.text() : ''")

    def wait_screen(self, pattern):
        common.wait_for(lambda: re.search(pattern, self.screen()), 60 * common.PATIENCE, lambda: f"{pattern} on:\n{self.screen()}")

    def test_a_terminal(self):
        b = self.b
        self.log_in()
        self.make_workspace()
        b.click("#workspaces button[aria-label='terminal in one']")
        self.wait_screen(r"[$#]\s*$")
        b.type("PS1='> '; echo a-$((40+2)); tty; printf '\\033[1;31mred\\033[0m\\n'; ls; stty size")
        b.press("Enter")
        self.wait_screen(r"a-42\n/dev/pts/\d+\nred\nREADME.md\n\d+ \d+\n>")
        rows, columns = re.search(r"\n(\d+) (\d+)\n>", self.screen()).groups()
        self.assertEqual(b.js("[terminal.rows, terminal.cols]"), [int(rows), int(columns)])
        b.wait("[...document.querySelectorAll('#screen span')].some(s => s.innerText === 'red' && s.style.fontWeight === 'bold' && "
               "s.style.color !== '')")
        self.shot("terminal")
        b.type("clear; echo cleared; cat")
        b.press("Enter")
        self.wait_screen("(?m)^cleared$")
        b.type("ä€😀 one")
        b.press("Enter")
        self.wait_screen("ä€😀 one\nä€😀 one")
        b.press("c", modifiers=2)
        self.wait_screen(r"\^C\n>")
        b.size(700, 900)
        b.wait(f"terminal.cols < {columns}")
        b.type("clear; stty size")
        b.press("Enter")
        common.wait_for(lambda: (m := re.search(r"^(\d+) (\d+)$", self.screen(), re.M)) and int(m[2]) < int(columns) and
                        b.js("[terminal.rows, terminal.cols]") == [int(m[1]), int(m[2])], 6 * common.PATIENCE, self.screen)
        b.type("seq 200000; echo done-$((1+1))")
        b.press("Enter")
        self.wait_screen(r"200000\ndone-2\n")
        b.type("exit 3")
        b.press("Enter")
        self.wait_screen(r"ended with status 3")
        b.click("#viewer-close")
        b.click("#forget")

    def test_what_programs_write(self):
        """The terminal against a table: bytes, and the screen after them."""
        b = self.b
        b.open(self.s.url + "/")
        b.js("""(() => { const s = document.querySelector('#screen'); document.querySelector('#viewer').showModal();
            document.querySelector('#terminal').hidden = false;
            window.sent = ''; window.t = new Terminal(s, document.querySelector('#keys'), x => { window.sent += x; }, () => {});
            t.cols = 20; t.rows = 5; t.reset(); })()""")
        for given, want in (
                ("a\rb", "b"), ("ab\x08c", "ac"), ("a\tb", "a       b"), ("1\r\n2\r\n3\r\n4\r\n5\r\n6", "2\n3\n4\n5\n6"),
                ("x" * 21, "x" * 20 + "\nx"), ("\x1b[?7l" + "x" * 20 + "y", "x" * 19 + "y"),
                ("\x1b[3;4Hx", "\n\n   x"), ("abc\x1b[2Dx", "axc"), ("abc\x1b[1K", ""), ("abc\r\x1b[K", ""), ("abc\x1b[2J", ""),
                ("abcdef\x1b[3G\x1b[2P", "abef"), ("abef\x1b[3G\x1b[2@cd", "abcdef"), ("abcdef\x1b[2G\x1b[3X", "a   ef"),
                ("1\r\n2\r\n3\x1b[2;1H\x1b[L", "1\n\n2\n3"), ("1\r\n2\r\n3\x1b[1;1H\x1b[M", "2\n3"),
                ("\x1b[2;3r\x1b[2;1Ha\r\nb\r\nc", "\nb\nc"), ("\x1b[2;1Hb\x1b[H\x1bMa", "a\n\nb"),
                ("main\x1b[?1049hother\x1b[?1049l!", "main!"), ("\x1b7abc\x1b8x", "xbc"), ("\x1b(0lqk\x1b(Bl", "┌─┐l"),
                ("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b", "ab"), ("\x1b[38;5;196;48;2;1;2;3mx\x1b[m", "x"), ("你好x", "你好x"),
                ("\x1b[4hab\rc\x1b[4l", "cab"), ("\x1b[999;999Hx", "\n\n\n\n" + " " * 19 + "x"), ("e\u0301x", "e\u0301x"),
                ("\x1b[99999999999999999999Cx", " " * 19 + "x"), ("\x1b[", ""), ("\x1b[1;31", "")):
            b.js("t.rest = ''; t.reset()")
            text = json.dumps(given)
            b.js(f"t.write({text})")
            self.assertEqual(b.js("t.text()").rstrip("\n"), want, repr(given))
            for half in range(1, min(len(given), 12)):  # cut anywhere, it is the same
                b.js("t.rest = ''; t.reset()")
                b.js(f"(() => {{ const x = {text}; t.write(x.slice(0, {half})); t.write(x.slice({half})); }})()")
                self.assertEqual(b.js("t.text()").rstrip("\n"), want, (given, half))
        b.js("t.reset(); t.write('ab\x1b[6n\x1b[5n')")
        self.assertEqual(b.js("sent"), "\x1b[1;3R\x1b[0n")

    def test_names_of_others_are_text(self):
        self.s.ok("POST", "/runner", {"id": "feedc0ffee02", "name": "far"})
        config = self.s.ok("GET", "/target-config").json[0]["id"]
        self.s.ok("POST", "/target", {"id": "t1", "name": "t1", "targetConfigId": config})
        evil = "http://x.test/<img src=x onerror=document.title='got'>"
        repository = dict(serverproc.REPOSITORY, url=evil)
        self.s.ok("POST", "/workspace", serverproc.workspace_body("w1", "w1", "t1", source={"repository": repository}))
        self.log_in()
        self.b.wait("document.querySelector('#workspaces').innerText.includes('<img')")
        self.assertEqual(self.b.js("document.title"), "Daytona Server")
        self.assertEqual(self.b.js("document.querySelectorAll('img').length"), 0)

    def test_without_scripts(self):
        self.b.scripts(False)
        self.b.open(self.s.url + "/")
        self.b.click("#login input")
        self.b.type(self.s.key)
        self.b.press("Enter")
        self.b.wait("document.querySelector('caption')")
        self.assertIn("Runners: 1", self.b.text("main"))
        self.assertIn("edge", self.b.text("main"))
        self.shot("no-scripts")

    def test_a_server_that_went_away(self):
        self.log_in()
        self.s.stop()
        self.b.wait("document.querySelector('#state').innerText.includes('does not answer')")


if __name__ == "__main__":
    common.main()
