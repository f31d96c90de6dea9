# SPDX-License-Identifier: Apache-2.0
"""Every 4xx and 5xx, in every dress, on every call that a runner makes: no result is lost, nothing is left
`running` once the Server answers again. Many jobs share one runner's life; each call of each job meets its own fault once."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from common import BIN, PATIENCE, is_static, main  # noqa: E402
from httppeer import TEXT_TYPE, after_effect, error, normal, reply  # noqa: E402
from servecase import BEAT, HTML, JOBS, STATE, FaultCase  # noqa: E402

STATUSES = list(range(400, 512))
FORMS = ("empty", "page", "foreign", "words")
WORDS = {"state": "failed to get job: job not found", "workspace": "failed to find workspace: workspace not found",
         "target": "failed to find target: target not found",
         "created": "failed to handle successful creation of target: target not found",
         "meta": "failed to update target provider metadata for x: target not found",
         "poll": "failed to get runner jobs: database is locked", "log": "failed to get log writer: no space",
         "beat": "failed to set runner metadata for x: runner metadata not found",
         "config": "failed to get config: database is locked", "env": "failed to list environment variables: x",
         "git": "git provider config not found", "configs": "failed to list target configs: database is locked"}


def fault(status, form, call):
    if form == "empty":
        return reply(status)
    if form == "page":
        return reply(status, HTML, "text/html")
    if form == "foreign":
        return reply(status, {"error": "upstream request failed"})
    return error(status, "job does not belong to runner" if call == "state" and status == 401 else WORDS[call])


class Faults:
    """Hands out each (status, form) once for a call; which job gets it does not matter."""

    def __init__(self, call, pairs, wrap=lambda step: step):
        self.call, self.wrap = call, wrap
        self.left = list(pairs)
        self.lock = threading.Lock()
        self.seen = {}          # key of the request -> what it met

    def step(self, key):
        """For a request of that key (a job, a resource): its first one meets a fault."""
        with self.lock:
            if key in self.seen or not self.left:
                return normal()
            self.seen[key] = self.left.pop(0)
            status, form = self.seen[key]
        return self.wrap(fault(status, form, self.call))


def rotating():
    """Each status once; each form with every fourth."""
    return [(status, FORMS[(status + status // 4) % 4]) for status in STATUSES]


def all_pairs():
    """Under a sanitizer each status once: which is which, unit_verdict knows; each dress is read there as well."""
    if not is_static(BIN):
        return rotating()
    return [(status, form) for form in FORMS for status in STATUSES]


class VerdictTest(FaultCase):
    def life(self, jobs):
        """Makes the jobs, waits until all have ended, and checks that each ended once."""
        return self.lives([(self.srv, jobs)])[0]

    def lives(self, pairs):
        """(Server, what makes its jobs) each with a runner of its own, all at once: what takes time is back-off."""
        all_ids = []
        for srv, jobs in pairs:
            runner = self.runner(srv, name=f"runner{len(self.runners)}", runner__max_jobs=12, runner__log_level="info")
            all_ids.append(jobs())
            runner.start(wait=False)
        for (srv, _), ids in zip(pairs, all_ids):
            srv.wait(lambda srv=srv, ids=ids: all(srv.jobs[job]["state"] in ("success", "error") for job in ids),
                     300 * PATIENCE, lambda srv=srv: "all ended: " + repr(
                         [j for j in srv.jobs.values() if j["state"] not in ("success", "error")][:3]))
            self.assertEqual(srv.job_faults(), [])
        return all_ids

    def on_state(self, claims, reports, srv=None):
        """after_effect: the answer comes from whoever is behind the Server, which has done it."""
        def step(conn, request):
            job = request.path.split("/")[4]
            which = claims if b'"running"' in request.body else reports
            return which.step(job)(conn, request)
        (srv or self.srv).on("POST", STATE, step, forever=True)

    def removals(self, count, srv=None):
        srv = srv or self.srv
        return [srv.add_job("workspace", "delete", srv.add_workspace(self.repo_url)) for _ in range(count)]

    def test_reports(self):
        """All statuses in all dresses, before the effect and after it, over several Servers."""
        shares, pairs, faults = 6, [], []
        for wrap in (lambda step: step, after_effect):
            for share in range(shares):
                mine = all_pairs()[share::shares]
                srv = self.server()
                faults.append(Faults("state", mine, wrap))
                self.on_state(Faults("state", []), faults[-1], srv)
                pairs.append((srv, lambda srv=srv, count=len(mine): self.removals(count, srv)))
        for (srv, _), ids, reports in zip(pairs, self.lives(pairs), faults):
            self.assertEqual(reports.left, [])
            self.assertEqual({srv.jobs[job]["state"] for job in ids}, {"success"})

    def share_of_claims_polls_heartbeats_logs(self, pairs):
        """A Server whose runner meets those; what makes its jobs, and the claims' faults."""
        srv = self.server()
        claims, polls = Faults("state", pairs), Faults("poll", pairs)
        beats, logs = Faults("beat", pairs), Faults("log", pairs)
        self.on_state(claims, Faults("state", []), srv)
        turn = {"poll": 0, "beat": 0}

        def every_second(faults, name):
            def step(conn, request):
                turn[name] += 1
                return faults.step(turn[name])(conn, request) if turn[name] % 2 else normal()(conn, request)
            return step

        def few_at_once(conn, request):
            """So that there are many polls."""
            turn["poll"] += 1
            if turn["poll"] % 2:
                return polls.step(turn["poll"])(conn, request)
            with srv.lock:
                some = [dict(j) for j in srv.jobs.values() if j["state"] == "pending"][:2]
            return (reply(200, some) if some else normal())(conn, request)
        srv.on("GET", JOBS, few_at_once, forever=True)
        srv.on("POST", BEAT, every_second(beats, "beat"), forever=True)
        srv.on("GET", "/log/.*/write", lambda conn, request: logs.step(request.path)(conn, request), forever=True)
        return srv, lambda: self.removals(len(pairs), srv), claims

    def test_claims_polls_heartbeats_logs(self):
        shares = [self.share_of_claims_polls_heartbeats_logs(rotating()[share::8]) for share in range(8)]
        for (srv, _, claims), ids in zip(shares, self.lives([share[:2] for share in shares])):
            self.assertEqual(claims.left, [])
            self.assertEqual({srv.jobs[job]["state"] for job in ids}, {"success"})

    def test_calls_of_jobs(self):
        """What the Server itself says is missing is an error of the job; everything else passes."""
        calls = {name: Faults(name, rotating()) for name in ("workspace", "target", "created", "meta")}
        for name, method, path in (("workspace", "GET", "/workspace/([^/]+)"), ("target", "GET", "/target/([^/]+)"),
                                   ("created", "POST", "/target/([^/]+)/handle-successful-creation"),
                                   ("meta", "POST", "/target/([^/]+)/provider-metadata")):
            self.srv.on(method, path, lambda conn, request, faults=calls[name]: faults.step(
                request.path.split("/")[2])(conn, request), forever=True)

        def jobs():
            made = self.removals(len(STATUSES))
            for agentless in (True, False):
                made += [self.srv.add_job("target", "create", self.srv.add_target(agentless=agentless))
                         for _ in range(len(STATUSES) // 2)]
            return made
        ids = self.life(jobs)
        for job in ids:
            job = self.srv.jobs[job]
            met = [faults.seen[job["resourceId"]] for faults in calls.values() if job["resourceId"] in faults.seen]
            self.assertTrue(met)
            missing = any(form == "words" for _, form in met)
            if not missing:
                self.assertEqual(job["state"], "success", (met, job["error"]))
        self.assertEqual(calls["workspace"].left + calls["target"].left, [])

    def test_calls_of_a_creation(self):
        """Configuration, environment, credentials, the resource, its metadata: each meets a fault of its own."""
        statuses = [status for status in STATUSES if status % 7 == 0 or status in (401, 403, 404, 500, 502, 503)]
        names = {"config": ("GET", "/server/config"), "env": ("GET", "/env"), "git": ("GET", "/gitprovider/[^/]+"),
                 "configs": ("GET", "/target-config")}
        self.srv.git_providers["g1"] = {"id": "g1", "providerId": "github", "username": "u", "token": "t", "alias": "a"}
        met = []
        for at, (name, (method, path)) in enumerate(names.items()):
            pairs = [(status, FORMS[(i + at) % 3]) for i, status in enumerate(statuses)]
            met.append(Faults(name, pairs))
            self.srv.on(method, path, lambda conn, request, faults=met[-1], count=[0]: (
                count.append(1), faults.step(len(count)) if len(count) % 2 == 0 else normal())[1](conn, request),
                forever=True)
        ids = self.life(lambda: [self.srv.add_job("workspace", "create", self.srv.add_workspace(
            self.repo_url, git_provider="g1", name=f"w{i}")) for i in range(len(statuses) // 2)])
        self.assertEqual({self.srv.jobs[job]["state"] for job in ids}, {"success"},
                         [self.srv.jobs[job]["error"] for job in ids])
        self.assertTrue(all(faults.seen for faults in met), "no call was spared")


if __name__ == "__main__":
    main()
