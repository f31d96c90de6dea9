# SPDX-License-Identifier: Apache-2.0
# Static: only that can be put into images.
"""Isolated workspaces through whole lives, and with runner, job or process 1 killed at random moments: nothing is left of
either. Short by default; scripts/soak has the long form. Environment: DR_NATIVE_LIVES (of each person and group), DR_NATIVE_KILLS
(of each person), DR_NATIVE_SEED, DR_NATIVE_PEOPLE ("root, a user, a user with ranges": only these), DR_LIVES_TREE (a root file system, as debootstrap makes it)."""
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
import common  # noqa: E402
import livescase  # noqa: E402
import sandboxcase  # noqa: E402
from boxcase import pid_space  # noqa: E402

LIVES = int(os.environ.get("DR_NATIVE_LIVES", "1"))
KILLS = int(os.environ.get("DR_NATIVE_KILLS", "10"))
SEED = os.environ.get("DR_NATIVE_SEED") or str(int(time.time()))
ACTIONS = ("create", "pull", "start", "stop", "delete")
VICTIMS = ("runner", "job", "init")


class Lives(livescase.LivesCase):
    def test_nothing_is_left_of_lives(self):
        """As many of each group; in the short form each person takes another variant."""
        self.hosts()
        for turn, person in enumerate(livescase.people()):
            self.be(person)
            why = sandboxcase.private_network(person.prefix)
            networks = [None] + ["private"] * (not why)
            if why:
                print(f"skipped: private networks of {person.name}: {why}", flush=True)
            groups = self.kinds()
            self.life(groups[-1][0])    # what is made once, such as directories
            for group in groups:
                turn += 1
                kinds = group if LIVES >= len(group) else [group[turn % len(group)]]
                for kind in kinds:
                    self.forget()
                    before = self.census()
                    n = LIVES // len(kinds)
                    lives = [self.life(kind, networks[(i + turn) % len(networks)]) for i in range(n)]
                    self.forget()
                    counts = self.same(before, f"{n} lives of {person.name}, {kind.name}")
                    print(f"{person.name:<18} {kind.name:<22} {n:>4} lives; ms: " +
                          " ".join(f"{step} {1000 * took:.0f}" for step, took in livescase.medians(lives).items()) +
                          "; left: " + " ".join(f"{name} {b}->{a}" for name, (b, a) in counts.items()), flush=True)
            self.run_ner.stop()


class Kills(livescase.LivesCase):
    def hit(self, victim, workspace):
        """Kills it. "init" too when it was somebody of the workspace, "" when nobody was there."""
        if victim == "runner":
            self.run_ner.kill()
            return victim
        own = self.agent(workspace).get("pid")
        if victim == "init" and own and livescase.kill(own):
            return victim
        serve = common.read_proc(self.run_ner.pid, "cmdline")
        jobs = [pid for job in livescase.children(self.run_ner.pid) if common.read_proc(job, "cmdline") == serve
                for pid in livescase.family(job)]
        if not jobs:
            return ""
        pid = self.random.choice(jobs)
        space = pid_space(pid)
        if not livescase.kill(pid):
            return ""
        return "job" if space == pid_space("self") else "init"

    def ready(self, action, kind):
        """A workspace of which that action can be asked, and the job's name of it."""
        workspace = self.add(kind)
        if action in ("start", "stop", "delete"):
            self.job("create", workspace)
        if action == "start":
            self.job("stop", workspace)
        if action == "pull":
            self.forget()
        return workspace, "create" if action == "pull" else action

    def spans(self, kinds):
        """Seconds that each action takes when nothing happens to it."""
        spans = {}
        for action in kinds:
            for kind in kinds[action]:
                workspace, job = self.ready(action, kind)
                began = time.monotonic()
                self.job(job, workspace)
                spans[action, kind.name] = time.monotonic() - began
                self.job("delete", workspace)
        return spans

    def check_true(self, workspace, what):
        """What is shown is so; what does not run has no processes."""
        def true():
            shown, alive = self.shows(workspace), self.lives_on(workspace)
            mark = self.root(workspace).encode()
            left = [pid for pid in common.all_pids() if common.alive(pid) and mark in common.read_proc(pid, "mountinfo")]
            return shown in ("missing", "incomplete", "stopped", "running") and (shown == "running") == alive and \
                (alive or not left)
        common.wait_for(true, 10 * common.PATIENCE, lambda: f"{what}: shown {self.shows(workspace)}, process 1 lives: "
                        f"{self.lives_on(workspace)}, {self.agent(workspace)}")

    def one(self, action, kind, victim, span):
        workspace, job_action = self.ready(action, kind)
        job = self.srv.add_job("workspace", job_action, workspace)
        moment = self.random.uniform(0, 1.1 * span)
        what = f"seed {SEED}: {action} of {kind.name}, {victim} killed after {moment:.4f} of {span:.4f} s"
        time.sleep(moment)      # the moment is the point
        hit = self.hit(victim, workspace)
        if victim == "runner":
            self.start()
        state, text = self.srv.wait_final(job, 60 * common.PATIENCE)
        self.check_true(workspace, what)
        shown = self.shows(workspace)
        if state == "success":
            wanted = {"stop": ("stopped",), "delete": ("missing",)}.get(job_action, ("running", "stopped")[:1 + (hit == "init")])
            self.assertIn(shown, wanted, f"{what}: {text}")
        self.assertEqual(self.srv.job_faults(), [], what)
        self.job(job_action, workspace)
        if job_action in ("create", "start"):
            self.assertEqual(self.shows(workspace), "running", what)
            self.inside(workspace, "echo well")
        self.job("delete", workspace)
        self.assertEqual(self.shows(workspace), "missing", what)
        return hit, state

    def test_killed_at_random_moments(self):
        print(f"DR_NATIVE_SEED={SEED}", flush=True)
        self.hosts()
        for person in livescase.people():
            self.random = random.Random(f"{SEED} {person.name}")
            self.be(person)
            groups = self.kinds()
            pulled = [kind for group in groups for kind in group if kind.before]
            kinds = {action: pulled if action == "pull" else [groups[0][0], groups[-1][0]] for action in ACTIONS}
            if not pulled:
                del kinds["pull"]
            spans = self.spans(kinds)
            self.forget()
            before = self.census()
            rows = {}
            for i in range(KILLS):
                action = list(kinds)[i % len(kinds)]
                victim = VICTIMS[i // len(kinds) % len(VICTIMS)]
                kind = self.random.choice(kinds[action])
                hit, state = self.one(action, kind, victim, spans[action, kind.name])
                row = rows.setdefault((action, victim), {"kills": 0, "nobody there": 0, "success": 0, "error": 0})
                row["kills" if hit else "nobody there"] += 1
                row[state] += 1
            self.forget()
            self.same(before, f"{KILLS} kills, seed {SEED}, {person.name}")
            for (action, victim), row in rows.items():
                print(f"{person.name:<18} {action:<7} {victim:<7} " + "  ".join(f"{name} {n}" for name, n in row.items()),
                      flush=True)
            self.run_ner.stop()


if __name__ == "__main__":
    common.main()
