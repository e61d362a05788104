#!/usr/bin/env python3
"""What many sessions cost a node that are all there and mostly sleep: memory of its two processes, CPU time by thread, and the time to end them all.

Real culvertd with two workers, tests/net/rig_setups.c as its clients: each with a key, a payer, a control channel and an address of its own, and a
WireGuard handshake done, so that every table has its entries, with a receipt that nobody signs. SESSIONS_OPEN is how many. docs/performance.md says what the columns mean. Root.
"""
import os
import pathlib
import signal
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))
from lab import Lab, wait_for  # noqa: E402
from nodes import BUILD, PORT, Node  # noqa: E402
from rig import Rig  # noqa: E402

OPEN = int(os.environ.get("SESSIONS_OPEN", "100000"))
STEPS = 5
QUIET_SECONDS = 20  # until the last of them counts as asleep
IDLE_SECONDS = 16
LIMIT_MIB = 200
STOP_SECONDS = 60  # TimeoutStopSec of its unit


def memory(pid):
    """MiB resident, and MiB that are this process's share of it."""
    sizes = {line.split()[0]: int(line.split()[1]) for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]}
    return sizes["Rss:"] / 1024, sizes["Pss:"] / 1024


def ran(pid):
    """Nanoseconds each thread ran."""
    return {int(task.name): int((task / "schedstat").read_text().split()[0]) for task in pathlib.Path(f"/proc/{pid}/task").iterdir()}


def main():
    lines = []

    def say(text):
        lines.append(text)
        print(text, flush=True)

    lab = Lab("sessions", legs={"relay": 2})
    # Any address of this network is the clients' host's own, and each client has one.
    lab.ip("core", "route add local 10.128.0.0/9 dev lo")
    descriptor = lab.dir / "exit.node"
    rigs = [Rig(lab.argv("core", [BUILD / "tests/net/rig_exit", descriptor, "10.77.2.1:51900"]))]
    wait_for(descriptor.exists, "the exit's descriptor")
    # Room for a few more: a client whose answers are lost on the way opens a second one.
    node = Node(lab, "relay", "relay", 2, Relay={"Exit": [descriptor], "Workers": 2, "MaxSessions": OPEN + OPEN // 100, "Idle": "3600 s"},
                Log={"Level": "info"}).start()
    wait_for(node.descriptor.exists, "the relay's descriptor")
    rigs.append(Rig(lab.argv("core", [BUILD / "tests/net/rig_setups", node.descriptor, descriptor, f"10.77.2.2:{PORT}", "10.128.0.1"])))
    lab.processes += [rig.process for rig in rigs]
    pid, ledger = node.process.pid, node.status()["ledger_pid"]
    rigs[1].ask("shake 1")
    say(" sessions | node: MiB resident, its share | ledger: MiB resident, its share | node's bytes for a session more")
    first, before = memory(pid)[0], 0
    say(f"{0:9d} | {memory(pid)[0]:12.1f} {memory(pid)[1]:12.1f} | {memory(ledger)[0]:14.1f} {memory(ledger)[1]:12.1f} |")
    for step in range(1, STEPS + 1):
        while (have := node.status()["relay"]["sessions"]) < OPEN * step // STEPS:
            if not rigs[1].ask(f"setups {OPEN * step // STEPS - have} 50 600000")["done"]:
                raise SystemExit("no set-up succeeds any more")
        (rss, pss), (ledger_rss, ledger_pss) = memory(pid), memory(ledger)
        say(f"{have:9d} | {rss:12.1f} {pss:12.1f} | {ledger_rss:14.1f} {ledger_pss:12.1f} | {(rss - first) * 2**20 / (have - before):12.0f}")
        first, before = rss, have
    time.sleep(QUIET_SECONDS)
    began, clock = ran(pid), time.monotonic()
    time.sleep(IDLE_SECONDS)
    spent = {thread: (ns - began[thread]) / 1e6 / (time.monotonic() - clock) for thread, ns in ran(pid).items()}
    say(f"asleep: main thread {spent.pop(pid):.1f} ms of CPU a second, workers {', '.join(f'{ms:.1f}' for ms in spent.values())}")
    began = time.monotonic()
    node.process.send_signal(signal.SIGTERM)
    try:
        ended = node.process.wait(STOP_SECONDS) == 0
    except subprocess.TimeoutExpired:
        ended = False
        node.process.kill()
        node.process.wait()
    say(f"stopped: {time.monotonic() - began:.1f} s")
    (TOP / "build/bench").mkdir(parents=True, exist_ok=True)
    (TOP / "build/bench/sessions.txt").write_text("\n".join(lines) + "\n")
    for rig in rigs:
        rig.close()
    if not ended:
        raise SystemExit("it did not end in order")
    if rss > LIMIT_MIB:
        raise SystemExit(f"{rss:.0f} MiB are more than {LIMIT_MIB}")


main()
