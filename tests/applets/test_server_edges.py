#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every exchange of the edges recording, in order, against the embedded server: status line, headers
and body as the real one gave them, times and made-up ids aside."""
import json
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from lib import common, serverproc  # noqa: E402

RECORDING = os.path.join(os.path.dirname(__file__), "..", "recordings", "daytona-0.53-edges.jsonl")
RUNNER = "c06076b18f00"
MANIFEST = {"docker-provider": {"default": True, "label": "Docker", "versions": {
    "latest": {"downloadUrls": {"linux-amd64": "http://registry.test/bin/docker-provider-linux-amd64"}},
    "v0.13.0": {"downloadUrls": {"linux-amd64": "http://registry.test/bin/docker-provider-linux-amd64"}}}}}
KEY = re.compile(r"KEY\d{3}x+")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
UNCOMPARED = {"date", "content-length", "connection"}


def norm(text, ids, drop):
    """Times, API keys and ids become words, so that texts of two servers can be compared."""
    for value, word in drop.items():
        text = text.replace(value, word)
    text = KEY.sub("KEY", TIME.sub("TIME", text))
    for value, word in ids.items():
        text = text.replace(value, word)
    return text


class Edges(common.Case):
    def start(self):
        data = os.path.join(self.tmp, "data")
        os.makedirs(os.path.join(data, "providers"), mode=0o700)
        open(os.path.join(data, "lock"), "w").close()
        with open(os.path.join(data, "providers", "manifest.json"), "w", encoding="utf-8") as file:
            json.dump(MANIFEST, file)
        return serverproc.Server(self, data, "--reference-keys", "--poll-seconds", "1")

    def prepare(self, server, exchanges):
        """The state that the recording begins with: one runner, with its provider."""
        listing = next(x for x in exchanges if x["why"] == "runner key on runner list")
        provider = json.loads(listing["response"]["body"])[0]["metadata"]["providers"][0]
        key = server.ok("POST", "/runner", {"id": RUNNER, "name": "edge"}).json["apiKey"]
        server.ok("POST", f"/runner/{RUNNER}/metadata", {"uptime": 1419, "providers": [provider]}, key)
        return {"KEY000" + "x" * 42: server.key, "KEY001" + "x" * 42: key}

    def send(self, server, exchange, keys, ids):
        method, path, _ = exchange["request"]["line"].split(" ")
        headers, body = exchange["request"]["headers"], exchange["request"]["body"]
        for recorded, ours in list(keys.items()) + list(ids.items()):
            path, body = path.replace(recorded, ours), body.replace(recorded, ours)
            headers = [(name, value.replace(recorded, ours)) for name, value in headers]
        return server.call(method, path, body or None, key=None, headers=headers)

    def learn(self, exchange, answer, keys, ids):
        """What the server makes up itself: keys and ids of later requests."""
        recorded = exchange["response"]["body"]
        if not recorded.startswith(("{", "[")) or answer.status != 200:
            return
        theirs, ours = json.loads(recorded), json.loads(answer.body)
        theirs, ours = (x[0] if isinstance(x, list) and x else x for x in (theirs, ours))
        if not isinstance(theirs, dict):
            return
        if "apiKey" in theirs:
            keys[theirs["apiKey"]] = ours["apiKey"]
        if theirs.get("id") and theirs["id"] != ours["id"]:
            ids[theirs["id"]] = ours["id"]
        if "key" in theirs:
            self.assertRegex(ours["key"], "^[0-9a-f]{48}$")
            ids[theirs["key"]] = ours["key"]

    def compare(self, exchange, answer, keys, ids):
        want = exchange["response"]
        self.assertEqual(f"HTTP/1.1 {answer.status} {answer.reason}", want["line"])
        have_headers = sorted((k.lower(), v) for k, v in answer.headers if k.lower() not in UNCOMPARED)
        want_headers = sorted((k.lower(), v) for k, v in want["headers"] if k.lower() not in UNCOMPARED)
        self.assertEqual(have_headers, want_headers)
        self.assertTrue(answer.header("Date").endswith(" GMT"))
        ours = norm(answer.body.decode(), {v: k for k, v in ids.items()}, {v: "KEY" for v in keys.values()})
        self.assertEqual(re.sub(r'"uptime":\d+', "", ours),
                         re.sub(r'"uptime":\d+', "", norm(want["body"], {}, {})))

    def test_every_exchange(self):
        with open(RECORDING, encoding="utf-8") as file:
            exchanges = [json.loads(line) for line in file]
        self.assertEqual(len(exchanges), 62)
        server = self.start()
        keys, ids = self.prepare(server, exchanges), {}
        for exchange in exchanges:
            with self.subTest(exchange["why"]):
                begin = time.monotonic()
                answer = self.send(server, exchange, keys, ids)
                took = time.monotonic() - begin
                self.learn(exchange, answer, keys, ids)
                self.compare(exchange, answer, keys, ids)
                if exchange["seconds"] >= 60:
                    self.assertGreaterEqual(took + common.CLOCKS, 1)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    common.main()
