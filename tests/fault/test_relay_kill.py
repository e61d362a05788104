#!/usr/bin/env python3
"""kill -9 of the relay's processes under traffic, each at a random moment: no acknowledged receipt is missing, no byte is
billed twice, the database is whole, and what nobody signed is at most one window per session. FAULT_KILLS says how often."""
import json
import os
import pathlib
import random
import signal
import sqlite3
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
from lab import Suite, wait_for  # noqa: E402
from nodes import verify_offline  # noqa: E402
from swarm import Swarm  # noqa: E402

KILLS = int(os.environ.get("FAULT_KILLS", "200"))
CLIENTS, WINDOW, INITIATION = 4, 256 << 10, 148
SEED = int(os.environ.get("FAULT_SEED", str(int(time.time()))))

suite = Suite()
random.seed(SEED)
swarm = Swarm("kill", Relay={"Workers": 2}, Price={"WindowStart": WINDOW, "WindowCap": WINDOW})


def main():
    print(f"     seed {SEED}, {KILLS} kills")
    acknowledged, carried, indices = {}, {}, {}
    swarm.exit.ask("reflect 1")
    over, unready = 0, 0
    for turn in range(KILLS):
        swarm.relay.start()
        rig = swarm.clients(first=1000 + turn * CLIENTS)
        unready += rig.ask(f"open {CLIENTS}")["ready"] != CLIENTS
        victims = [swarm.relay.process.pid, swarm.relay.status()["ledger_pid"]]
        end = time.monotonic() + random.uniform(0.05, 0.6)
        while time.monotonic() < end:
            rig.ask("paced 40 1424 30000")
        os.kill(random.choice(victims), signal.SIGKILL)
        swarm.relay.process.wait(10)
        for pid in victims:
            wait_for(lambda pid=pid: not alive(pid), "both processes to end")
        rig.ask("wait 50")
        for c in rig.ask("stats")["clients"]:
            if not c["session"].strip("0"):
                continue
            acknowledged[c["session"]] = c["signed"]
            carried[c["session"]] = c["received_bytes"]
            indices |= {index: c["session"] for index in c["indices"]}
        rig.close()
    # What the dead relays really carried: down is what clients received, up what the exit did, an initiation for each index.
    swarm.quiet_exit()
    for index, _, transport, _, _ in swarm.exit.ask("indices")["indices"]:
        carried[indices[index]] += INITIATION + transport
    suite.equal(unready, 0, "after every kill, all clients came up at the restarted relay")
    swarm.relay.start()
    status, output, path = verify_offline(swarm.relay)
    suite.equal(status, 0, f"every kept receipt verifies: {output.strip().splitlines()[-1] if output else ''}")
    heads = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "receipt" in row:
            total = row["bytes_up"] + row["bytes_down"]
            over += total < heads.get(row["session"], 0)
            heads[row["session"]] = max(total, heads.get(row["session"], 0))
    missing = [s for s, signed in acknowledged.items() if heads.get(s, 0) < signed]
    suite.equal(missing, [], f"no acknowledged receipt is missing ({sum(1 for v in acknowledged.values() if v)} sessions with acknowledged receipts)")
    suite.equal(over, 0, "totals only grow")
    suite.equal(set(heads) - set(carried), set(), "no receipt is of an unknown session")
    unbilled = {s: total - heads.get(s, 0) for s, total in carried.items()}
    suite.equal([s for s, bytes_ in unbilled.items() if bytes_ < 0], [], "no byte is billed that was not carried")
    suite.equal([s for s, bytes_ in unbilled.items() if bytes_ > WINDOW], [], f"no session has more than a window ({WINDOW}) unbilled")
    some = sorted(unbilled.values())
    suite.check(carried and sum(carried.values()) > len(carried) * WINDOW,
                f"{len(carried)} sessions carried {sum(carried.values())} bytes, {sum(heads.values())} billed; unbilled per session: "
                f"median {some[len(some) // 2]}, worst {some[-1]}")
    swarm.relay.stop()
    database = swarm.relay.dir / "data/ledger.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        suite.equal(db.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity_check: ok")


def alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


suite.run(main)
