#!/usr/bin/env python3
"""MonthlyCap at the end of a month: more is wanted than is left, the relay is killed in the middle; what is left is never exceeded,
flows to the end, and the new month goes on. The relay's wall clock is set by the test (clock.c)."""
# Runs alone: what flows in a time is what it shows.
import calendar
import mmap
import os
import pathlib
import shutil
import signal
import sqlite3
import struct
import tempfile
import time

from lab import Suite, wait_for
from nodes import BUILD
from swarm import Swarm

GIB, MIB = 1 << 30, 1 << 20
SIZE, PPS = 1232, 3000
LEFT = 24 * MIB  # of the cap, when the test begins
END = 40  # seconds before the month's end then

# All programs of the test have its clock, from the first one on.
clock_file = pathlib.Path(tempfile.mkdtemp(prefix="culvert-clock-")) / "offset"
clock_file.write_bytes(bytes(8))
os.environ.update(LD_PRELOAD=str(BUILD / "tests/net/clock.so"), CULVERT_CLOCK=str(clock_file))
if "ASAN_OPTIONS" in os.environ:
    os.environ["ASAN_OPTIONS"] += ":verify_asan_link_order=0"


class Clock:
    """What programs take for the time: seconds off the machine's."""

    def __init__(self, wall):
        with open(clock_file, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 8)
        self.set(wall)

    def set(self, wall):
        self.page[:] = struct.pack("<q", int((wall - time.time()) * 10**9))

    def now(self):
        return time.time() + struct.unpack("<q", self.page[:])[0] / 10**9


def month_end(wall):
    t = time.gmtime(wall)
    return calendar.timegm((t.tm_year + t.tm_mon // 12, t.tm_mon % 12 + 1, 1, 0, 0, 0))


suite = Suite()
end = month_end(time.time())
clock = Clock(end - 3600)
swarm = Swarm("cap", Relay={"Workers": 2, "MonthlyCap": "1 GiB"}, Price={"WindowStart": "64 MiB", "WindowCap": "64 MiB", "ReceiptEvery": "1 s"})
relay = swarm.relay


def month():
    return relay.status()["relay"]["month"]


def books(sql, *values):
    """What the stopped relay's books say."""
    with sqlite3.connect(relay.dir / "data/ledger.db") as db:
        return db.execute(sql, values).fetchone()


def received(rig):
    return sum(c["received_bytes"] for c in rig.ask("stats")["clients"])


def delivered(rigs, ended=0):
    """UDP payload that came out of the relay, at its far ends."""
    return swarm.exit.ask("stats")["bytes"] + sum(map(received, rigs)) + ended


def number(wall):
    t = time.gmtime(wall)
    return 12 * t.tm_year + t.tm_mon - 1


def main():
    rigs, ended = [], 0
    this = number(end - 1)
    relay.start()
    suite.check(wait_for(lambda: not month()["waiting"], "the books to answer"), "a fresh month")
    suite.equal((month()["cap"], month()["ends"]), (GIB, end), "status names the cap and the month's end")
    relay.stop()
    suite.equal(books("SELECT coalesce(sum(bytes), 0) FROM carried")[0], 0, "nothing was carried, all that was booked is given back")

    # As after a busy month: all but a little is carried.
    books("INSERT OR REPLACE INTO carried VALUES(?, ?) RETURNING 1", this, GIB - LEFT)
    clock.set(end - END)
    relay.start()
    rigs.append(swarm.clients())
    suite.equal(rigs[-1].ask("open 2")["ready"], 2, "clients up")
    pace = LEFT / END
    rows = []
    for turn in range(2):
        began, before = time.monotonic(), delivered(rigs, ended)
        for _ in range(4):
            rigs[-1].ask(f"paced {PPS} {SIZE} {PPS}")  # 2 clients, 2 seconds, 3.7 MB/s
            now = delivered(rigs, ended)
            rows.append((now - before) / (time.monotonic() - began))
            began, before = time.monotonic(), now
        if turn == 0:
            carried = month()["carried"]
            relay.kill()
            ended += received(rigs[-1])
            rigs.pop().close()
            booked = books("SELECT bytes FROM carried WHERE month = ?", this)[0]
            total = delivered([], ended) + GIB - LEFT
            suite.check(total <= booked <= GIB, f"killed: {booked - total} bytes more are booked than came out, {GIB // 1000} at most are lost")
            suite.check(booked - total <= GIB // 1000 + 3 * MIB, "and no more than documented")
            relay.start()
            suite.check(wait_for(lambda: month()["carried"] >= booked and month(), "the month")["carried"] >= carried, "after kill -9 nothing is forgotten")
            rigs.append(swarm.clients(first=10))
            suite.equal(rigs[-1].ask("open 2")["ready"], 2, "clients up again")
    text = ", ".join(f"{r / 1e6:.2f}" for r in rows)
    suite.check(min(rows) > 0, f"MB/s, where {pace / 1e6:.2f} are left a second and 3.7 are asked for: {text}")
    # Each start may use what an even pace would have left over, half of the rest at most.
    suite.check(max(rows[2:4] + rows[6:]) < 1.2 * pace, "slower, by the pace of the month")
    shown = relay.culvert("status", "--socket", relay.socket).stdout
    suite.check(f"of 1.0 GiB, " in shown and "until " in shown, "culvert status: " + next(l.strip() for l in shown.splitlines() if "month" in l))

    # Over the border, with more asked for all the time.
    while clock.now() < end - 0.5 and len(rows) < 60:
        rigs[-1].ask(f"paced {PPS // 4} {SIZE} {PPS}")
        rows.append(0)
    time.sleep(max(0, end - clock.now()) + 0.01)
    last = delivered(rigs, ended)
    suite.check(last + GIB - LEFT <= GIB, f"{last} of the {LEFT} bytes that were left came out, of {PPS * SIZE * 2 * 8} asked for before")
    suite.check(last > LEFT * 0.6, "and they were not kept back either")
    wait_for(lambda: month()["ends"] > end and not month()["waiting"], "the new month", 10)
    fresh = month()
    suite.check(fresh["carried"] < 10 * MIB, f"a new month: {fresh['carried']} carried")
    # Hours into it there is a reserve.
    clock.set(end + 20 * 3600)
    relay.stop()
    relay.start()
    rigs.append(swarm.clients(first=20))
    suite.equal(rigs[-1].ask("open 2")["ready"], 2, "clients up in the new month")
    before = delivered(rigs, ended)
    rigs[-1].ask(f"paced {PPS} {SIZE} {PPS}")
    suite.check(delivered(rigs, ended) - before > 4 * MIB, f"full speed from the reserve: {(delivered(rigs, ended) - before) / 2e6:.2f} MB/s")
    suite.equal(swarm.relay.balance(), {"up": (0, 0), "down": (0, 0)}, "in = out + drops")

    # Lowered below what was carried by then.
    relay.options["Relay"]["MonthlyCap"] = "1 GiB"
    used = books_running(this + 1)
    suite.check(used > 0, f"{used} booked in the new month")
    relay.stop()
    books("UPDATE carried SET bytes = ? WHERE month = ? RETURNING 1", 3 * GIB, this + 1)
    relay.options["Relay"]["MonthlyCap"] = "4 GiB"
    relay.start()
    relay.options["Relay"]["MonthlyCap"] = "2 GiB"
    relay.write()
    relay.process.send_signal(signal.SIGHUP)
    wait_for(lambda: month()["cap"] == 2 * GIB, "the reload")
    wait_for(lambda: "nothing is carried before" in relay.log(), "the reload to say so")
    suite.check("used up until" in relay.culvert("status", "--socket", relay.socket).stdout, "a cap below what was carried: said in log and status")
    relay.stop()


def books_running(of):
    with sqlite3.connect(f"file:{relay.dir}/data/ledger.db?mode=ro", uri=True) as db:
        return db.execute("SELECT bytes FROM carried WHERE month = ?", (of,)).fetchone()[0]


try:
    suite.run(main)
finally:
    shutil.rmtree(clock_file.parent)
