# SPDX-License-Identifier: Apache-2.0
"""An answer that is not the Server's, on each call there is: the log, the status and the command say what to look at."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, clean_env, main, run  # noqa: E402
from httppeer import TEXT_TYPE, raw, reply  # noqa: E402
from servecase import BEAT, HTML, JOBS, STATE, FaultCase  # noqa: E402

PLAIN = b"HTTP/1.1 %d Not For You\r\nContent-Length: %d\r\n\r\n%s"
STRANGE = r"something answers in the Server's place; is the Server up, are the URL {} and its proxy right\?"
ROUTE = r"the Server has no such call; is the path in the URL {} right\?"


def plain(status, text):
    return raw(PLAIN % (status, len(text), text))


DRESSES = {
    "403 page": (reply(403, HTML, "text/html"), STRANGE),
    "404 page": (reply(404, HTML, "text/html"), STRANGE),
    "407 text": (plain(407, b"proxy"), STRANGE),
    "404 of a proxy": (plain(404, b"404 page not found"), STRANGE),
    "502 page": (reply(502, HTML, "text/html"), STRANGE),
    "405 long text": (plain(405, b"x" * 400), STRANGE),
    "200 page": (reply(200, HTML, "text/html"), STRANGE),
    "404 of the Server": (reply(404, "404 page not found", TEXT_TYPE), ROUTE),
}


class RemedyTest(FaultCase):
    def dresses(self, but=()):
        return [(step, text.format(re.escape(self.srv.url))) for name, (step, text) in DRESSES.items() if name not in but]

    def test_calls_of_a_runner(self):
        """A life each, since one reason is told once a minute."""
        for step, text in self.dresses():
            for method, path in (("POST", BEAT), ("GET", JOBS)):
                runner = self.runner(self.srv, name=f"life{len(self.runners)}").start()
                rule = self.srv.on(method, path, step, forever=True)
                runner.wait_log(f"{method} /runner/[^/]+/{path.rsplit('/', 1)[1]}: .*{text}")
                if path == BEAT:
                    self.assertRegex(run([BIN, "status"], env=runner.env()).stdout, text)
                self.srv.drop(rule)
                self.assertEqual(runner.stop(), 0)

    def test_claim_and_report(self):
        runner = self.runner(self.srv).start()
        for step, text in self.dresses():
            for word in ("claim", "report"):
                def only(conn, request, word=word, step=step):
                    claim = b'"running"' in request.body
                    return (step if claim == (word == "claim") else self.srv.handle)(conn, request)
                rule = self.srv.on("POST", STATE, only, forever=True)
                job = self.srv.add_job("workspace", "delete", self.srv.add_workspace(self.repo_url))
                runner.wait_log(f"{word} job {job}: POST .*{text}")
                self.srv.drop(rule)
                self.assertEqual(self.srv.wait_final(job, 60 * PATIENCE), ("success", ""))

    def test_calls_of_a_job(self):
        """What is waited for is said in the job's log; a call that the Server has not is an error."""
        self.runner(self.srv).start()
        for step, text in self.dresses(but=("404 of the Server",)):
            workspace = self.srv.add_workspace(self.repo_url)
            rule = self.srv.on("POST", f"/workspace/{workspace}/provider-metadata", step, step, step)
            self.job("create", workspace)
            self.assertEqual(rule.hits, 3)
            self.assertRegex(self.srv.log_text("workspace", workspace), "Waiting for the Server: .*" + text)
        step, text = self.dresses()[-1]
        self.srv.on("GET", "/workspace/[^/]+", step)
        self.assertRegex(self.job("create", self.srv.add_workspace(self.repo_url), "error"), text)

    def test_commands(self):
        """What is typed on a host, before and after it is a runner."""
        self.srv.keys[self.srv.key] = "client"
        url = self.srv.url
        own, bare = self.runner(self.srv).env(), clean_env(self.tmp)
        admin = {**bare, "DAYTONA_API_URL": url, "DAYTONA_API_KEY": self.srv.key}
        for step, text in self.dresses():
            rule = self.srv.on("*", ".*", step, forever=True)
            for words, env in ((("configure", "--api-url", url, "--api-key", self.srv.key, "--id", "abcdefabcdef", "--name", "e"), bare),
                               (("create", "--name", "new"), admin), (("list",), admin), (("delete", "--yes", "edge"), admin),
                               (("workspace", "list"), admin), (("job", "list"), admin), (("key", "list"), admin),
                               (("purge", "--yes"), own)):
                said = run([BIN, *words], env=env)
                self.assertEqual(said.returncode, 1, (words, said.stdout, said.stderr))
                self.assertRegex(said.stderr, text, words)
            self.srv.drop(rule)


if __name__ == "__main__":
    main()
