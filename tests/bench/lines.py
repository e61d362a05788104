#!/usr/bin/env python3
"""Do workers share memory they write? Counted access by access, by tests/bench/lines.c; judged here. Fails if so.

A processor pays for a cache line that another one wrote last. So of each 64-byte line it is counted how often it had to go
from one thread to another: with datagrams alone, passed or dropped (must be never); with orders of the main thread among them
(never between workers; with the main thread for what orders and answers are made of); and with a counter put in that all
workers write (the count must see it). What `perf c2c` samples where processors let it, this counts: docs/performance.md.
"""
import collections
import json
import pathlib
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = TOP / "build/lines/tests/bench/lines"
OUT = TOP / "build/bench/lines.txt"
SESSIONS, ROUNDS = 64, 30
RATE = 1_000_000_000  # bytes/s: more than there is to send
CHUNKS = 25  # with it, so many lines for 1,000 datagrams are the most


class Names:
    """Places in the program, as the debugging information has them."""

    def __init__(self):
        self.known = {0: "?"}
        symbols = subprocess.run(["nm", "-n", PROGRAM], text=True, capture_output=True, check=True).stdout
        self.data = [(int(a, 16), name) for a, kind, name in (line.split() for line in symbols.splitlines() if len(line.split()) == 3) if kind in "bBdD"]

    def learn(self, addresses):
        wanted = sorted(a for a in set(addresses) if a not in self.known and a < 1 << 32)
        done = subprocess.run(["addr2line", "-f", "-s", "-e", PROGRAM, *(hex(a - 1) for a in wanted)], text=True, capture_output=True, check=True)
        lines = done.stdout.splitlines()
        for a, function, place in zip(wanted, lines[::2], lines[1::2]):
            self.known[a] = f"{function} ({place.split(' ')[0]})"

    def code(self, address):
        return self.known.get(address, "libevent")

    def block(self, line):
        """What a line is part of."""
        if "symbol" in line:
            return next((name for a, name in reversed(self.data) if a <= line["symbol"]), "?")
        made, by = self.code(line["made_at"]), self.code(line["called_from"])
        return f"{by}" if made.startswith(("xcalloc", "lines_alloc")) else f"{made.split(' ')[0]} for {by}"


def thread(number):
    return f"worker {number}" if number else "main"


def rows(phase, names):
    """Shared lines by object and by who does what there, the costliest first."""
    names.learn(a for line in phase["lines"] for a in [line.get("made_at", 0), line.get("called_from", 0), *(t["at"] for t in line["threads"])])
    groups = collections.Counter()
    for line in phase["lines"]:
        who = sorted({f"{'main' if t['thread'] == 0 else 'worker'} {'writes' if t['wrote'] else 'reads'} in {names.code(t['at'])}" for t in line["threads"]})
        what = "" if line["same_bytes"] else "; DIFFERENT BYTES of one line"
        groups[names.block(line), "; ".join(who) + what] += line["transfers"]
    return groups.most_common()


def loops(phase, names):
    """Lines that two workers' event loops have parts of, and those with parts of the main thread's."""
    names.learn(a for line in phase["loops"] for a in (line["called_from"],))
    between = [line for line in phase["loops"] if line["loop"] and line["others"] & ~1]
    return between, len(phase["loops"]) - len(between)


class Run:
    def __init__(self, workers, say, *rate):
        self.failed, self.passed, self.say = 0, 0, say
        done = subprocess.run([PROGRAM, str(workers), str(SESSIONS), str(ROUNDS), *map(str, rate)], text=True, capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise SystemExit(f"lines: {done.stderr.strip()}\n0 passed, 1 failed")
        self.names, self.found = Names(), json.loads(done.stdout)
        say(f"{workers} workers, {self.found['sessions']} sessions{', with a Rate' if rate else ''}")
        self.phases = {p["name"]: p for p in self.found["phases"]}

    def check(self, ok, what):
        self.passed, self.failed = self.passed + bool(ok), self.failed + (not ok)
        self.say(f"  {'ok  ' if ok else 'FAIL'} {what}")

    def show(self, name, most=12):
        p = self.phases[name]
        each = 1000 / p["datagrams"]
        self.say(f"  {name}: {p['datagrams']} datagrams, {p['orders']} orders, {p['told']} answers; {p['touched']} lines touched, of which {p['shared']} went from thread to thread: "
                 f"{p['transfers']} times, {p['transfers'] * each:.2f} for 1,000 datagrams, {p['between_workers'] * each:.2f} between workers")
        for (what, who), count in rows(p, self.names)[:most]:
            self.say(f"      {count * each:8.2f}  {what}: {who}")
        return p

    def judge(self):
        data = self.show("data")
        self.check(data["datagrams"] and data["transfers"] == 0, "a datagram shares nothing: no line changed hands")
        between, with_main = loops(data, self.names)
        for line in between:
            self.say(f"      {thread(line['loop'])}'s loop has {line['size']} bytes of {self.names.code(line['called_from'])} in a line of another's")
        self.check(not between, f"no two workers' event loops have parts of one line ({with_main} lines have parts of a worker's and the main thread's)")
        drops = self.show("drops")
        self.check(drops["datagrams"] and drops["transfers"] == 0, "nor does one that is dropped")
        orders = self.show("orders")
        self.check(orders["told"] and orders["transfers"], "orders and answers are seen to be handed over")
        self.check(orders["between_workers"] == 0, "with orders, workers share nothing with each other")
        planted = self.show("planted")
        self.check(planted["between_workers"], "a counter that workers share is seen, if there is one")


    def judge_limited(self):
        """Rate is what workers share because they are asked to."""
        data = self.show("data")
        names = {self.names.block(line) for line in data["lines"]}
        self.check(all("shaper" in name for name in names), "with a Rate, workers share its lines and no other")
        self.check(data["between_workers"] * 1000 < CHUNKS * data["datagrams"], "and once a chunk, not once a datagram")


def main():
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = []

    def say(text):
        lines.append(text)
        print(text)

    runs = []
    for workers in (2, 4):
        runs.append(Run(workers, say))
        runs[-1].judge()
    runs.append(Run(2, say, RATE))
    runs[-1].judge_limited()
    passed, failed = sum(r.passed for r in runs), sum(r.failed for r in runs)
    say(f"{passed} passed, {failed} failed")
    OUT.write_text("\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
