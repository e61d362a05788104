#!/usr/bin/env python3
"""How evenly sessions come to workers: the kernel's choice among SO_REUSEPORT sockets, beside dice that know nothing of it."""
import pathlib
import random
import statistics
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = TOP / "build/release/tests/bench/even"
OUT = TOP / "build/bench/even.txt"
DRAWS = {10: 2000, 100: 1000, 1000: 200}
WORKERS = (2, 4)


def dice(workers, sessions, draws):
    """Each session thrown on its own."""
    chance = random.Random(1)
    for _ in range(draws):
        thrown = chance.choices(range(workers), k=sessions)
        yield [thrown.count(w) for w in range(workers)]


def kernel(workers, sessions, draws, how):
    done = subprocess.run([PROGRAM, str(workers), str(sessions), str(draws), how], text=True, capture_output=True, check=False, timeout=120)
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    return [list(map(int, line.split())) for line in done.stdout.splitlines()]


def shares(draws):
    """The busiest worker's part of all sessions: median, 95th and 99th of a hundred; and each worker's part over all draws."""
    busiest = sorted(max(d) / sum(d) for d in draws)
    total = sum(map(sum, draws))
    return statistics.median(busiest), busiest[len(busiest) * 95 // 100], busiest[len(busiest) * 99 // 100], [sum(column) / total for column in zip(*draws)]


def table():
    yield "The busiest worker's share of the sessions; all: what W workers carry of W times one, if sessions are alike (median draw)."
    yield f"{'workers':>7} {'sessions':>8}  {'':26} {'draws':>5} | {'median':>7} {'95 in 100':>9} {'99 in 100':>9} | {'all':>5} | each worker's share over all draws"
    for workers in WORKERS:
        for sessions, count in DRAWS.items():
            ways = {"kernel, addresses apart": kernel(workers, sessions, count, "apart"), "kernel, one address": kernel(workers, sessions, count, "together"),
                    "dice": list(dice(workers, sessions, count))}
            for name, draws in ways.items():
                median, p95, p99, each = shares(draws)
                yield (f"{workers:7} {sessions:8}  {name:26} {count:5} | {median:7.1%} {p95:9.1%} {p99:9.1%} | {1 / workers / median:5.0%} | " +
                       " ".join(f"{s:.1%}" for s in each))


def main():
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for line in table():
        lines.append(line)
        print(line, flush=True)
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
