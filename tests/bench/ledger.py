#!/usr/bin/env python3
"""What the books cost: receipts a second, their parts, questions to long books, bytes and memory. Python stdlib.

LEDGER_ROWS receipts in the long books, LEDGER_ROUNDS rounds of LEDGER_SECONDS for each rate. All on this directory's disk,
below build/bench/, removed afterwards. docs/performance.md says what each figure means. The table also goes to build/bench/.
"""
import collections
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", TOP / "build/release"))
BENCH = TOP / "build/bench"
ROWS = int(os.environ.get("LEDGER_ROWS", "1000000"))
ROUNDS = int(os.environ.get("LEDGER_ROUNDS", "5"))
SECONDS = float(os.environ.get("LEDGER_SECONDS", "2"))
MS = str(int(SECONDS * 1000))
HANDS = ("1", "10", "100", "400")
QUESTIONS = "1000"
PROFILED_HANDS = "400"
TIMEOUT = 3600


class Failure(Exception):
    pass


def run(program, *words):
    """What it says, an object a line."""
    done = subprocess.run([BUILD / "tests/bench" / program, *words], stdout=subprocess.PIPE, text=True, timeout=TIMEOUT, check=False, cwd=TOP)
    if done.returncode:
        raise Failure(f"{program} {' '.join(words)}: status {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def scratch():
    BENCH.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="ledger-", dir=BENCH)


def rate(trial):
    return trial["receipts"] * 1e9 / trial["ns"]


def alone(trial):
    """The rate without the time in which others had the processor that the one thread waited for."""
    return trial["receipts"] * 1e9 / (trial["ns"] - trial["queued_ns"])


def each_us(trial, name):
    return trial[name] / trial["receipts"] / 1000


# ---- receipts a second ----

def rates():
    """Rounds over everything, so that a busy neighbour disturbs all alike: {(way, hands): trials}, and the last lines."""
    found, ends = collections.defaultdict(list), []
    for round_ in range(ROUNDS):
        found["libsodium: verify alone", ""] += run("receipts", "verify", "500")
        with scratch() as where:
            for trial in run("receipts", "sqlite", where, str(int(SECONDS * 500)), *HANDS):
                found["SQLite: 344 bytes a row", str(trial["hands"])].append(trial)
        with scratch() as where:
            _, *trials, end = run("receipts", "ledger", where, MS, *HANDS)
        for trial in trials:
            found["the ledger", str(trial["hands"])].append(trial)
        ends.append(end)
        print(f"     round {round_ + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return found, ends


def rates_table(found):
    yield f"{'':26} {'hands':>5} {'receipts/s':>11} {'least-most':>13} {'alone':>7} | {'cpu us':>7} {'least':>6} | {'queued us':>9} {'asleep us':>9} | {'p50 ms':>7} {'p99 ms':>7}"
    for (way, hands), trials in sorted(found.items(), key=lambda item: (item[0][0] == "the ledger", item[0][0], int(item[0][1] or 0))):
        def m(of, t=trials): return statistics.median(map(of, t))
        speeds = sorted(map(rate, trials))
        spread = f"{speeds[0]:.0f}-{speeds[-1]:.0f}"
        queues = "queued_ns" in trials[0]
        line = (f"{way:26} {hands:>5} {m(rate):11.0f} {spread:>13} {m(alone) if queues else m(rate):7.0f} | "
                f"{m(lambda t: each_us(t, 'cpu_ns')):7.1f} {min(each_us(t, 'cpu_ns') for t in trials):6.1f} |")
        if queues:
            asleep = m(lambda t: (t["ns"] - t["cpu_ns"] - t["queued_ns"]) / t["receipts"] / 1000)
            line += f" {m(lambda t: each_us(t, 'queued_ns')):9.1f} {asleep:9.1f} | {m(lambda t: t['p50_ns'] / 1e6):7.2f} {m(lambda t: t['p99_ns'] / 1e6):7.2f}"
        yield line


# ---- where the CPU time goes ----

PARTS = (
    (r"libsodium", "signing and verifying (libsodium)"),
    (r"_sys_fdatasync|_sys_fsync", "fdatasync"),
    (r"_sys_pwrite64|_sys_pread64", "reading and writing files"),
    (r"_sys_sendto|_sys_recvfrom|_sys_sendmmsg|_sys_recvmmsg|_sys_poll", "socket to the node"),
    (r"\[kernel|\[unknown", "kernel, the rest"),
    (r"libsqlite3|libc\.so", "SQL (SQLite, and libc under it)"),
)


def part_of(stack):
    """Kernel stacks are whole; of others the innermost frame says whose code it is."""
    text = stack if "[kernel" in stack.split("\n", 1)[0] else stack.split("\n", 1)[0]
    return next((name for pattern, name in PARTS if re.search(pattern, text)), "the ledger's own code and the rest")


def profile():
    """Shares of the ledger's CPU time by perf, or nothing where there is no perf."""
    if not shutil.which("perf"):
        return
    with scratch() as where:
        program = subprocess.Popen([BUILD / "tests/bench/receipts", "ledger", where, str(int(SECONDS * 2000)), PROFILED_HANDS],
                                   stdout=subprocess.PIPE, text=True, cwd=TOP)
        pid = json.loads(program.stdout.readline())["pid"]
        data = f"{where}/perf.data"
        subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-F", "5000", "-g", "-p", str(pid), "-o", data, "--", "sleep", str(SECONDS)],
                       stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False)
        program.communicate(timeout=TIMEOUT)
        script = subprocess.run(["perf", "script", "-i", data, "-F", "ip,sym,dso"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=TIMEOUT, check=False).stdout
    stacks = [stack for stack in script.split("\n\n") if stack.strip()]
    if not stacks:
        yield "perf is there, but saw nothing"
        return
    counts = collections.Counter(part_of(stack.strip("\n")) for stack in stacks)
    yield f"The ledger's CPU time at {PROFILED_HANDS} hands, {len(stacks)} samples"
    for name, count in counts.most_common():
        yield f"  {name:36} {count / len(stacks):6.1%}"


# ---- long books ----

def long_books():
    with scratch() as where:
        filled, = run("history", "fill", where, str(ROWS))
        yield f"Books with {ROWS} receipts in sessions of 100, of 1000 payers; made in {filled['ns'] / 1e9:.0f} s"
        yield f"  {filled['disk'] / 1e6:.0f} MB on disk, {filled['disk'] / ROWS:.1f} bytes for a receipt with all that belongs to it"
        (pathlib.Path(where) / "ledger.db.lock").unlink()  # as after a kill: nobody noted a clean end
        started, *answers, end = run("history", "ask", where, str(ROWS), QUESTIONS)
        yield f"  {'ms':36} {'p50':>9} {'p99':>9} {'most':>9}"
        for a in answers:
            yield f"  {a['question']:36} {a['p50_ns'] / 1e6:9.2f} {a['p99_ns'] / 1e6:9.2f} {a['most_ns'] / 1e6:9.2f}"
        once, again = run("history", "settle", where, str(ROWS))
        yield (f"  an epoch of {once['receipts']} receipts: closed and its batch written in {once['settle_ns'] / 1e9:.2f} s, written again in {again['settle_ns'] / 1e9:.2f} s; "
               f"at most {again['peak_kib'] / 1024:.1f} MiB resident")
        yield f"  start of the ledger after a kill, which reads every page: {started['start_ns'] / 1e9:.2f} s; at most {end['peak_kib'] / 1024:.1f} MiB resident"
        _, trial, end = run("receipts", "ledger", where, str(int(SECONDS * 2000)), "400")
        yield f"  new receipts in these books, 400 hands: {rate(trial):.0f} a second, {each_us(trial, 'cpu_ns'):.1f} us of CPU each; at most {end['peak_kib'] / 1024:.1f} MiB resident"


def machine():
    cpu = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    load = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, load average at the end {' '.join(load)}"


def main():
    started = time.monotonic()
    lines = []

    def say(text=""):
        lines.append(text)
        print(text, flush=True)

    found, ends = rates()
    say(f"Receipts: issued, co-signed, verified, durable, window granted. Medians of {ROUNDS} rounds of {SECONDS:g} s; rows a commit for SQLite.")
    for line in rates_table(found):
        say(line)
    total, disk = sum(e["total"] for e in ends), sum(e["disk"] for e in ends)
    say(f"{total} receipts of {ends[0]['sessions']} sessions a round: {disk / total:.1f} bytes on disk each, sessions and credits included; at most {max(e['peak_kib'] for e in ends) / 1024:.1f} MiB resident")
    say()
    for line in profile():
        say(line)
    say()
    for line in long_books():
        say(line)
    say()
    say(f"{time.monotonic() - started:.0f} s. {machine()}")
    (BENCH / "ledger.txt").write_text("\n".join(lines) + "\n")
    return 0


sys.exit(main())
