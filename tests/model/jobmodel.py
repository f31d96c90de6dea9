#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Exhaustive check of the job protocol: every interleaving of one job between the Server, a network that
loses and delays, the supervisor, its journal and the job's process, with kills, power cuts, stops and
full disks within budgets. Jobs do not share state but room, so that one job is enough.

Mirrors src/runner/tasks.c, taskanswer.c and channel.c; docs/reliability.md says what is assumed. Without arguments it
checks the protocol, that the model takes the ways of src/runner/tasktable.h and no others, and that each seeded bug
is found; `jobmodel.py BUG` shows the shortest trace."""
import os
import re
import sys
from collections import deque, namedtuple

# fresh: claimed by an earlier process that had not begun it. srv: state on the Server. first: the first final state it had. net: requests under way as (what, awaited).
# rep: answer under way to the awaited request. offer: a poll's answer that lists the job is under way.
# up: the supervisor lives. stop: it drains. stage, amb, doubt, res: its task. kept: result remembered after
# the report. jr, jd: journal as a kill leaves it, and as a power cut leaves it. proc: the job's process.
# work: the work is really done. runs: how often it was begun. The rest are budgets of faults; aways: the engine is.
# can: an operator canceled it; cancels: how often one still may.
State = namedtuple("State", "srv first net rep offer up stop stage amb doubt fresh res kept jr jd proc work runs "
                            "kills losses lates full terms aways can cancels")

START = State("P", "", (), "", False, True, False, "none", False, False, False, "", "", "-", "-", "", False, 0,
              0, 0, 0, 0, 0, 0, False, 0)

# The ways that one job of one runner does not go: before the claim, what fork or the journal refuse, another's job.
BESIDE = {("none", "ask"), ("ask", "claim"), ("ask", "none"), ("claiming", "none")}

# Budgets of faults; combined as far as the protocol promises to hold (docs/reliability.md).
SETUPS = {
    "kills, losses, delays, a stop": START._replace(kills=3, losses=3, lates=2, terms=1),
    "kills, losses, full disk, a stop": START._replace(kills=3, losses=3, full=2, terms=1),
    "kills, losses, a delay, the engine away, a stop": START._replace(kills=2, losses=2, lates=1, aways=2, terms=1),
    "kills, losses, a delay, the engine away, a cancel, a stop": START._replace(kills=2, losses=2, lates=1, terms=1, aways=1,
                                                                                cancels=1),
}

BUGS = {
    "journal-after-claim": "the claim is recorded only when the Server has said yes",
    "claim-not-synced": "a power cut loses the record of the claim",
    "forget-pending": "a job found pending after a crash is left to the next poll",
    "same-is-lost": "\"already in the specified state\" after a lost answer is taken for somebody else's",
    "no-recheck": "the result after a doubtful claim is sent only once",
    "report-once": "a report whose answer is lost is given up",
    "run-again": "after a restart an unfinished job is simply run again",
    "begin-not-marked": "that a job was begun is not recorded before it is",
    "boot-not-known": "after a power cut a job without the mark is taken for not begun",
    "held-again": "what has begun and lost its engine is taken for not begun",
    "blind-error": "after a restart an error is reported without asking the Server",
    "blind-success": "after a restart success is reported without looking at the resource",
    "redeliver-runs": "a job delivered again is not recognised",
    "exit-while-claiming": "a stop does not wait for a claim under way",
    "drop-doubtful": "a stop forgets claims whose answer was lost",
    "cancel-forgets": "a claim under way that is canceled is given up without a report",
    "done-before-report": "the journal forgets the job before the Server has its result",
}


class Violation(Exception):
    pass


def violated(before, after):
    """What is wrong with a step, or None."""
    if after.srv == "S" and not after.work:
        return "the Server shows success of work that was not done"
    if after.runs > 1:
        return "the job was run twice"
    if before.first and after.srv in "SE" and after.srv != before.first:
        return f"the final state changed from {before.first} to {after.srv}"
    return None


def settled(s):
    return (s.srv in "SE" and s.up and s.stage == "none" and not s.net and not s.rep and s.jr == "-" and
            not s.proc)


def report(s, result, journal=True):
    """The result goes to the journal (synced), then waits for the Server."""
    if journal and s.jr != "-":
        s = s._replace(jr=result, jd=result)
    return s._replace(stage="report", res=result, can=False)


def finished(s, synced):
    """The task is over; its record is marked done."""
    return s._replace(stage="none", amb=False, doubt=False, fresh=False, can=False, res="", jr="-", jd="-" if synced else s.jd)


def unanswered(s, bug):
    """An awaited request failed without an answer."""
    if s.stage == "claiming":
        return s._replace(stage="claim", amb=True, doubt=True)
    if s.stage == "reporting":
        if bug == "report-once":
            return finished(s, False)
        return s._replace(stage="report")
    return s


def arrive(s, what):
    return s._replace(srv=what, first=s.first or (what if what in "SE" else ""))


def network(s, bug):
    for at, (what, awaited) in enumerate(s.net):
        rest = s.net[:at] + s.net[at + 1:]
        answered = ("same" if s.srv == what else "ok") if awaited else s.rep
        yield "server: " + what, arrive(s._replace(net=rest, rep=answered), what)
        if awaited and s.losses:
            yield "request lost", unanswered(s._replace(net=rest, losses=s.losses - 1), bug)
        if awaited and s.lates:
            late = tuple(sorted(rest + ((what, False),)))
            yield "request held up", unanswered(s._replace(net=late, lates=s.lates - 1), bug)
    if s.rep and s.losses:
        yield "answer lost", unanswered(s._replace(rep="", losses=s.losses - 1), bug)


def run(s, bug):
    """The journal has it first (not synced), so that a job without that mark was surely not begun."""
    if s.can:
        return finished(s, True) if bug == "cancel-forgets" else report(s, "E")
    mark = "b" if s.jr == "c" and bug != "begin-not-marked" else s.jr
    return s._replace(stage="running", amb=False, fresh=False, proc="begins", jr=mark)


def answer(s, bug):
    """The supervisor reads the answer to its request."""
    ok, s = s.rep == "ok", s._replace(rep="")
    if s.stage == "claiming":
        if not ok and (not s.amb or bug == "same-is-lost"):
            return finished(s, True)
        if bug == "journal-after-claim":
            s = s._replace(jr="c", jd="c")
        return run(s, bug)
    if s.doubt and bug != "no-recheck":
        return s._replace(stage="recheck", doubt=False)
    return finished(s, False)._replace(kept=s.res)


def found(s, seen, bug):
    """What a job of an earlier process has come to."""
    if bug == "run-again":
        yield run(s, bug)
    elif bug == "blind-error":
        yield report(s, "E")
    elif seen == "P":
        yield finished(s, True) if bug == "forget-pending" else s._replace(stage="claim", amb=True, fresh=False)
    elif seen == "R" and s.fresh:
        yield run(s, bug)
    elif seen == "R":
        yield report(s, "E")    # cannot always be told, and then it is said so
        if s.work or bug == "blind-success":
            yield report(s, "S")
    else:
        yield finished(s, True)


def offered(s, bug):
    s = s._replace(offer=False)
    if s.stop or s.stage != "none":
        return [s]
    if s.kept and bug != "redeliver-runs":
        return [s._replace(stage="report", res=s.kept)]
    if bug == "journal-after-claim":
        return [s._replace(stage="claim")]
    taken = [s._replace(stage="claim", jr="c", jd=s.jd if bug == "claim-not-synced" else "c")]
    if s.full:  # cannot be recorded: not claimed, and the Server is told why
        taken.append(s._replace(stage="report", res="E", full=s.full - 1))
    return taken


def supervisor(s, bug):
    if s.rep:
        yield "reads the answer", answer(s, bug)
    if s.offer:
        for after in offered(s, bug):
            yield "reads the job list", after
    if s.srv == "P" and not s.offer and not s.stop:
        yield "server: answers the poll", s._replace(offer=True)
    if s.stage == "claim" and not s.stop:
        yield "sends the claim", s._replace(stage="claiming", net=s.net + (("R", True),))
    if s.stage == "report":
        if bug == "done-before-report":
            s = s._replace(jr="-")
        yield "sends the result", s._replace(stage="reporting", net=s.net + ((s.res, True),))
    if s.stage == "recheck" and not s.net:
        yield "sends the result again", s._replace(stage="report")
    if s.stage == "unknown" and not s.stop:
        yield "asks what became of it", s._replace(stage="finding", res=s.srv)
    yield from canceled(s)
    if s.stage == "held":
        if s.stop:
            yield "is not begun any more", report(s, "E")
        else:
            yield "begins it, the engine is back", run(s, bug)
    if s.stage == "finding":
        if s.aways:
            yield "cannot learn it yet", s._replace(stage="unknown", res="", aways=s.aways - 1)
        for after in found(s._replace(res=""), s.res, bug):
            yield "learns what became of it", after


def canceled(s):
    """An operator's word: at once where nothing works, else what is under way comes first."""
    if not s.cancels:
        return
    if s.stage == "held":
        yield "is canceled", report(s._replace(cancels=s.cancels - 1), "E")
    elif s.stage in ("claim", "claiming", "running", "unknown", "finding"):
        yield "is to be canceled", s._replace(cancels=s.cancels - 1, can=True)


def process(s, bug):
    if s.can and s.proc in ("begins", "works"):
        yield "job process is canceled", s._replace(proc="E")
    if s.proc == "begins":
        yield "work begins", s._replace(proc="works", runs=s.runs + 1)
        if s.aways:
            yield "the engine is away", s._replace(proc="N", aways=s.aways - 1)
        if s.kills:
            yield "job process is killed before it begins", s._replace(proc="E", kills=s.kills - 1)
    elif s.proc == "N":
        if s.stop or s.can:
            yield "not begun is collected", report(s._replace(proc=""), "E")
        else:
            # Recorded (synced): not begun, again.
            unbegun = s._replace(jr="c", jd="c") if s.jr == "b" else s
            yield "not begun is collected", unbegun._replace(proc="", stage="held")
            if s.full:
                yield "not begun is kept in memory", s._replace(proc="", stage="held", full=s.full - 1)
    elif s.proc == "works":
        if bug == "held-again" and s.aways:
            yield "the engine went away", s._replace(proc="N", aways=s.aways - 1)
        yield "work succeeds", s._replace(proc="S", work=True)
        yield "work fails", s._replace(proc="E")
        if s.kills:
            yield "job process is killed", s._replace(proc="E", kills=s.kills - 1)
        if s.kills and not s.work:  # all done but the last word
            yield "job process is killed at its end", s._replace(proc="E", work=True, kills=s.kills - 1)
        if s.stop:
            yield "job process is stopped", s._replace(proc="E")
    elif s.proc:
        yield "result is collected", report(s._replace(proc=""), s.proc)
        if s.full:
            yield "result is kept in memory", report(s._replace(proc="", full=s.full - 1), s.proc, False)


def down(s):
    """The supervisor is gone, and with it its process. What it had sent arrives, is lost, or is held up."""
    s = s._replace(up=False, stop=False, stage="none", amb=False, doubt=False, fresh=False, can=False, res="", offer=False,
                   rep="", proc="")
    late = [request for request in s.net if not request[1]]
    sent = [what for what, awaited in s.net if awaited]
    yield s._replace(net=tuple(late))
    if sent:
        yield arrive(s._replace(net=tuple(late)), sent[0])
    if sent and s.lates:
        yield s._replace(net=tuple(sorted(late + [(sent[0], False)])), lates=s.lates - 1)


def ends(s, bug):
    if s.kills:
        for after in down(s._replace(kills=s.kills - 1)):
            yield "kill -9", after
            # The mark that it was begun may be lost then: another boot counts as begun.
            begun = "b" if after.jd == "c" and bug != "boot-not-known" else after.jd
            yield "power cut", after._replace(jr=begun, jd=begun)
        if s.proc == "works":
            for after in down(s._replace(kills=s.kills - 1, work=True)):
                yield "kill -9 when the work was done", after
    if s.terms and not s.stop:
        yield "SIGTERM", s._replace(stop=True, terms=s.terms - 1)
    if not s.stop:
        return
    if s.stage == "claim":
        lost = s.amb and bug != "drop-doubtful"
        yield "gives the claim up", report(s, "E") if lost else finished(s, True)
    over = s.stage in ("none", "unknown", "recheck") or (bug == "exit-while-claiming" and s.stage == "claiming")
    if over and not s.proc and (not s.net or s.stage != "none"):
        clean = s.jr == "-" or bug == "exit-while-claiming"
        if clean and (s.srv == "R" or any(what == "R" for what, _ in s.net)):
            raise Violation("it ended with nothing left to do, and the Server shows the job running")
        for after in down(s):
            yield "exits", after
    if s.stage in ("claiming", "reporting") and s.losses:
        for after in down(s._replace(losses=s.losses - 1)):
            yield "exits at the limit of the drain", after


def start(s):
    s = s._replace(up=True)
    if s.jr == "-":
        return s
    if s.jr in "cb":
        return s._replace(stage="unknown", doubt=True, fresh=s.jr == "c")
    return s._replace(stage="report", res=s.jr, doubt=True)


def steps(s, bug=None):
    """(name, state) of all that may happen next."""
    yield from network(s, bug)
    if not s.up:
        yield "start", start(s)
        return
    yield from supervisor(s, bug)
    yield from process(s, bug)
    yield from ends(s, bug)


def explore(first, bug=None):
    """All reachable states: {state: (predecessor, step)}. Raises Violation with the shortest trace."""
    seen = {first: None}
    after_of = {}
    queue = deque([first])
    while queue:
        s = queue.popleft()
        after_of[s] = set()
        try:
            for name, after in steps(s, bug):
                after_of[s].add(after)
                if after not in seen:
                    seen[after] = (s, name)
                    queue.append(after)
                wrong = violated(s, after)
                if wrong:
                    raise Violation(wrong, trace(seen, s) + [name])
        except Violation as violation:
            if len(violation.args) == 1:
                raise Violation(violation.args[0], trace(seen, s)) from None
            raise
    return seen, after_of


def trace(seen, s):
    names = []
    while seen[s]:
        s, name = seen[s]
        names.append(name)
    return names[::-1]


def check_ends(seen, after_of):
    """Whatever happened, with faults over the job gets settled: from every state a settled one can be reached,
    and a settled one stays so. (Steps are fair, so what can always happen does.)"""
    before_of = {s: [] for s in seen}
    for s, afters in after_of.items():
        for after in afters:
            if budgets(after) == budgets(s):    # no fault
                before_of[after].append(s)
    good = deque(s for s in seen if settled(s))
    reach = set(good)
    while good:
        for s in before_of[good.popleft()]:
            if s not in reach:
                reach.add(s)
                good.append(s)
    stuck = [s for s in seen if s not in reach]
    if stuck:
        s = min(stuck, key=lambda one: len(trace(seen, one)))
        raise Violation(f"the job is never settled: the Server shows {s.srv}", trace(seen, s))


def budgets(s):
    return s.kills, s.losses, s.lates, s.full, s.terms, s.aways, s.cancels


def table():
    """The ways of src/runner/tasktable.h, in the model's words."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "src", "runner", "tasktable.h")
    with open(path, encoding="utf-8") as file:
        found = re.findall(r"^\s+STEP\((\w+), \w+, (\w+)\)", file.read(), re.M)
    return {(a.lower(), b.lower()) for a, b in found}


def taken(after_of):
    """The ways that the model takes while the supervisor lives; a second sending is a report to the table."""
    same = {"recheck": "report"}
    ways = set()
    for s, afters in after_of.items():
        for after in afters:
            a, b = same.get(s.stage, s.stage), same.get(after.stage, after.stage)
            if s.up and after.up and s.stage != after.stage and a != b:
                ways.add((a, b))
            elif not s.up and after.up and b != "none":
                ways.add(("none", b))
    return ways


def check_table(ways):
    of_table = table()
    if ways - of_table:
        raise Violation(f"the model goes ways that the table has not: {sorted(ways - of_table)}", [])
    if of_table - ways - BESIDE:
        raise Violation(f"the table has ways that the model never goes: {sorted(of_table - ways - BESIDE)}", [])


def check(bug=None):
    """(states, steps) of each setup. A seeded bug needs few faults, and less time so."""
    counts = {}
    ways = set()
    for name, first in SETUPS.items():
        if bug:
            first = first._replace(kills=min(first.kills, 2), losses=1)
        seen, after_of = explore(first, bug)
        check_ends(seen, after_of)
        counts[name] = (len(seen), sum(map(len, after_of.values())))
        ways |= taken(after_of)
    if not bug:
        check_table(ways)
    return counts


def main(arguments):
    if arguments and arguments[0] in BUGS:
        try:
            check(arguments[0])
        except Violation as violation:
            print(f"{BUGS[arguments[0]]}: {violation.args[0]}")
            print("\n".join(f"  {step}" for step in violation.args[1]))
            return 0
        print("not found")
        return 1
    try:
        for name, (states, edges) in check().items():
            print(f"{name}: {states} states, {edges} steps, no violation")
    except Violation as violation:
        print(f"VIOLATION: {violation.args[0]}")
        print("\n".join(f"  {step}" for step in violation.args[1]))
        return 1
    missed = 0
    for bug, text in BUGS.items():
        try:
            check(bug)
        except Violation as violation:
            print(f"seeded bug {bug} found: {violation.args[0]} ({len(violation.args[1])} steps)")
        else:
            print(f"seeded bug {bug} NOT found: {text}")
            missed += 1
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
