#!/usr/bin/env python3
"""What it costs a relay to set a session up: CPU time by thread, rate and latency, with few and with many sessions open.

Real culvertd in a namespace, tests/net/rig_setups.c as its clients beyond a veth pair. SETUPS_MS is how long each line takes,
SETUPS_OPEN how many sessions are open for the last ones. docs/performance.md says what the columns mean. Root.
"""
import os
import pathlib
import platform
import statistics
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))
from lab import Lab, wait_for  # noqa: E402
from nodes import BUILD, PORT, Node  # noqa: E402
from rig import Rig  # noqa: E402

BENCH = TOP / "build/bench"
MS = int(os.environ.get("SETUPS_MS", "2000"))
OPEN = int(os.environ.get("SETUPS_OPEN", "20000"))
ROUNDS = int(os.environ.get("SETUPS_ROUNDS", "3"))
WIDE = (1, 10, 100)
COUNT = 1 << 20


class Relay:
    def __init__(self):
        self.lab = Lab("setups", legs={"relay": 2})
        # Any address of this network is the clients' host's own, and each client has one.
        self.lab.ip("core", "route add local 10.128.0.0/9 dev lo")
        descriptor = self.lab.dir / "exit.node"
        self.lab.run("core", [BUILD / "tests/net/rig_exit", "-d", descriptor, "10.77.3.2:51900"])
        self.node = Node(self.lab, "relay", "relay", 2, Relay={"Exit": [descriptor], "Workers": 2, "MaxSessions": OPEN + 65536, "Idle": "3600 s"},
                         Log={"Level": "info"}).start()
        wait_for(self.node.descriptor.exists, "the relay's descriptor")
        self.rig = Rig(self.lab.argv("core", [BUILD / "tests/net/rig_setups", self.node.descriptor, descriptor, f"10.77.2.2:{PORT}", "10.128.0.1"]))
        self.lab.processes.append(self.rig.process)
        self.ledger = self.node.status()["ledger_pid"]
        self.open = 0

    def cpu(self):
        """Nanoseconds of CPU time: the main thread's, the workers', the ledger's."""
        main = self.node.process.pid
        spent = {"main": 0, "workers": 0, "ledger": ran(f"/proc/{self.ledger}")}
        for task in pathlib.Path(f"/proc/{main}/task").iterdir():
            spent["main" if int(task.name) == main else "workers"] += ran(task)
        return spent

    def setups(self, count, wide, ms):
        before = self.cpu()
        result = self.rig.ask(f"setups {count} {wide} {ms}")
        after = self.cpu()
        self.open += result["done"]
        result.update({part: after[part] - before[part] for part in after})
        return result

    def idle(self):
        """CPU time a second with nothing to do but the sessions that are open."""
        before, began = self.cpu(), time.monotonic()
        time.sleep(MS / 1000)
        after, seconds = self.cpu(), time.monotonic() - began
        return sum(after[part] - before[part] for part in after) / seconds / 1000


def ran(path):
    return int((pathlib.Path(path) / "schedstat").read_text().split()[0])


def row(relay, wide):
    """The median of some rounds."""
    rounds, first = [], relay.open
    for _ in range(ROUNDS):
        r = relay.setups(COUNT, wide, MS // ROUNDS)
        if not r["done"]:
            raise SystemExit(f"no set-up succeeded: {r}")
        each = {part: r[part] / r["done"] / 1000 for part in ("main", "workers", "ledger", "cpu_ns")}
        each.update(rate=r["done"] * 1e9 / r["ns"], all=each["main"] + each["workers"] + each["ledger"], failed=r["failed"], again=r["again"],
                    cookies=r["cookies"] / r["done"], p50=r["p50_ns"] / 1e6, p99=r["p99_ns"] / 1e6)
        rounds.append(each)
    m = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    m["failed"], m["again"] = (sum(r[name] for r in rounds) for name in ("failed", "again"))
    return (f"{wide:10d} {first:9d} {m['rate']:9.0f} | {m['main']:7.1f} {m['workers']:7.1f} {m['ledger']:7.1f} {m['all']:7.1f} {1e6 / m['all']:9.0f} | "
            f"{m['cpu_ns']:7.1f} | {m['p50']:7.2f} {m['p99']:8.2f} | {m['cookies']:7.2f} {m['again']:6d} {m['failed']:6d}")


def machine():
    cpu = next((line.split(":")[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    load = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, load average at the end {' '.join(load)}"


def main():
    started, lines = time.monotonic(), []

    def say(text=""):
        lines.append(text)
        print(text, flush=True)

    relay = Relay()
    say("Session set-ups: handshake with cookie, DESCRIBE, OPEN, BIND until BOUND; a new client, payer and address each. CPU time of one set-up, medians of "
        f"{ROUNDS} rounds of {MS // ROUNDS} ms.")
    say(" under way      open  set-ups/s |    main workers  ledger  all us  per core |  client |  p50 ms   p99 ms | cookies  again failed")
    relay.setups(100, 10, 10000)
    for wide in WIDE:
        say(row(relay, wide))
    few = relay.idle()
    fill = OPEN - relay.open
    if fill > 0:
        relay.setups(fill, WIDE[-1], 120000)
    for wide in WIDE:
        say(row(relay, wide))
    say(f"with nothing to do: {few:.0f} us of CPU a second before, {relay.idle():.0f} with {relay.open} sessions open")
    say(f"{time.monotonic() - started:.0f} s. {machine()}")
    BENCH.mkdir(parents=True, exist_ok=True)
    (BENCH / "setups.txt").write_text("\n".join(lines) + "\n")
    relay.rig.close()
    relay.node.stop()


main()
