# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium of a test, driven by real mouse and key events (Chrome DevTools Protocol, over two pipes)."""
import base64
import json
import os
import select
import shutil
import subprocess

from lib import common

NAMES = ("chromium", "chromium-browser", "google-chrome")
KEYS = {"Enter": (13, "\r"), "Escape": (27, ""), "Tab": (9, ""), "ArrowUp": (38, ""), "Backspace": (8, "")}


def find():
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One tab. Skips the test when this machine has no browser that starts."""

    def __init__(self, case, width=1200, height=900):
        self.case, self.number, self.buffer, self.events = case, 0, b"", []
        program = find()
        if not program:
            case.skipTest("no chromium: the page is not tried in a browser")
        home = os.path.join(case.tmp, "browser")
        os.makedirs(home, exist_ok=True)
        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()

        def pipes():
            """Descriptors 3 and 4, whatever the numbers were."""
            ours = os.dup2(to_read, 200), os.dup2(back_write, 201)
            os.dup2(ours[0], 3)
            os.dup2(ours[1], 4)

        with open(os.path.join(home, "errors"), "wb") as errors:
            self.process = subprocess.Popen(  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
                [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
                 "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
                 "--remote-debugging-pipe", f"--user-data-dir={home}/profile", f"--window-size={width},{height}", "about:blank"],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, preexec_fn=pipes, close_fds=False,
                start_new_session=True, env=common.clean_env(home))
        os.close(to_read)
        os.close(back_write)
        case.addCleanup(self.close)
        try:
            targets = self.call("Target.getTargets", session=False)["targetInfos"]
        except (OSError, EOFError, TimeoutError) as e:
            case.skipTest(f"{os.path.basename(program)} does not start here: {e}")
        page = next(t for t in targets if t["type"] == "page")
        self.session = self.call("Target.attachToTarget", session=False, targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.size(width, height)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for fd in (self.to, self.back):
            os.close(fd)

    def _receive(self, limit):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.back], [], [], limit)
            if not ready:
                raise TimeoutError("the browser does not answer")
            chunk = os.read(self.back, 1 << 16)
            if not chunk:
                raise EOFError("the browser has ended")
            self.buffer += chunk
        message, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(message)

    def call(self, method, session=True, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(30 * common.PATIENCE)
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def size(self, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def dark(self, on):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def scripts(self, on):
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, url):
        self.events = [e for e in self.events if e.get("method") != "Page.loadEventFired"]
        self.call("Page.navigate", url=url)
        self.loaded()

    def loaded(self):
        common.wait_for(lambda: self.js("1") and any(e.get("method") == "Page.loadEventFired" for e in self.events),
                        20 * common.PATIENCE, "a page that is loaded")
        self.events = [e for e in self.events if e.get("method") != "Page.loadEventFired"]

    def js(self, expression):
        """The value of an expression of the page's world; works with the page's own scripts off, too."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression, what=None):
        common.wait_for(lambda: self.js(f"!!({expression})"), 6 * common.PATIENCE, what or expression)

    def text(self, selector):
        return self.js(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText || ''")

    def find(self, selector, text=None):
        """An expression: the first element that is seen and, if asked, says exactly this."""
        more = f" && e.innerText.trim() === {json.dumps(text)}" if text is not None else ""
        return f"[...document.querySelectorAll({json.dumps(selector)})].find(e => e.getClientRects().length{more})"

    def click(self, selector, text=None):
        """In its middle, with the mouse; waits until nothing covers it."""
        element = self.find(selector, text)
        place = f"""(() => {{ const e = {element}; if (!e) return null; e.scrollIntoView({{block: "center"}});
            const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
            const top = document.elementFromPoint(x, y);
            return top && (e === top || e.contains(top) || top.contains(e)) && !e.disabled ? [x, y] : null }})()"""
        self.wait(place, f"{selector} {text or ''} to be clicked")
        x, y = self.js(place)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def press(self, key, modifiers=0):
        code, text = KEYS[key] if key in KEYS else (ord(key.upper()), key if not modifiers else "")
        common_part = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common_part, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common_part)

    def complaints(self):
        """What the console says that is wrong: refused by the policy, exceptions."""
        self.js("1")
        return [e for e in self.events if e.get("method") == "Runtime.exceptionThrown" or
                (e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] == "error")]

    def requests(self):
        self.js("1")
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def roles(self):
        """(role, name) of all that a screen reader meets."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [(n.get("role", {}).get("value"), n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")]
