"""What is measured, one function a section: each takes a bench and its seconds, and returns plain values for table.py."""
import os
import time

from lab import Failure
from ways import RELAY_CORE, Coturn, Culvert, Culvert2, Dnat, Nginx, Routing, Wire, pinned

SIZES, FLOWS, DIRECTIONS = (148, 512, 1452), (1, 64, 1000), ("up", "down")
ROUNDS = 3
BURST = 8
LATENCY_PPS = 20000
TURN_COST = 0.35  # seconds of a turn that are not measured
ALL = (Wire, Routing, Dnat, Nginx, Coturn, Culvert, Culvert2)
KEPT = ("pps", "loss", "own", "worker", "all", "load", "soft", "others", "window", "reordered", "p50", "p90", "p99")


def kept(t):
    return {key: t[key] for key in KEPT if key in t}


def burst(size, flows):
    return {"size": size, "flows": flows, "burst": BURST, "joined": 1}


def millis(seconds, turns):
    """For each of so many turns, of which a part is not measured."""
    return max(seconds / turns - TURN_COST, 0.08) * 1000


def turn(way, direction, size, flows, ms):
    """One way at one point: the best rate, then delays at a moderate one."""
    way.enter()
    best = way.best(direction, ms * 0.55, **burst(size, flows))
    slow = way.trial(direction, size=size, flows=flows, burst=1, pps=LATENCY_PPS, ms=ms * 0.45, stamps=1)
    way.leave()
    return {"best": kept(best), "slow": kept(slow)}


def matrix(bench, seconds):
    """Every way at every point, next to each other in time: a neighbour disturbs them alike."""
    sizes, flows = ((148, 1452), (64,)) if bench.short else (SIZES, FLOWS)
    points = [(d, s, f) for d in DIRECTIONS for s in sizes for f in flows]
    ways = [bench.make(kind) for kind in ALL]
    found = [{"way": way.key, "name": way.name, "direction": d, "size": s, "flows": f, "rounds": []} for d, s, f in points for way in ways]
    started = time.monotonic()
    for number in range(ROUNDS):
        for i, point in enumerate(points):
            left = seconds - (time.monotonic() - started)
            ms = millis(left, ((ROUNDS - number) * len(points) - i) * len(ways))
            for j, way in enumerate(ways):
                found[i * len(ways) + j]["rounds"].append(turn(way, *point, ms))
        bench.note(f"matrix: round {number + 1} of {ROUNDS}")
    memory = {way.key: way.rss() for way in ways if way.pids}
    for way in ways:
        bench.end(way)
    return {"points": found, "rss_kib": memory, "latency_pps": LATENCY_PPS, "burst": BURST}


def offload(bench, seconds):
    """The same datagrams with other devices: who cuts and joins them?"""
    kinds = (Wire, Dnat, Coturn, Culvert)
    ways = [bench.make(kind) for kind in kinds]
    points = [(d, s) for d in DIRECTIONS for s in (148, 1452)][-1 if bench.short else 0:]
    cuts, times = ("ends", "all", "none"), 1 if bench.short else ROUNDS
    ms = millis(seconds, times * len(points) * len(ways) * (len(cuts) + 1))
    found = {}
    for _ in range(times):
        for d, s in points:
            for where in (*cuts, "singly"):
                bench.cut_at("ends" if where == "singly" else where)
                for way in ways:
                    way.enter()
                    t = way.best(d, ms, **{**burst(s, 64), "joined": int(where != "singly")})
                    way.leave()
                    found.setdefault((d, s, where, way.key), []).append(kept(t))
    bench.cut_at("ends")
    for way in ways:
        bench.end(way)
    bench.note("offload")
    return [{"direction": d, "size": s, "cut": where, "way": key, "rounds": rounds} for (d, s, where, key), rounds in found.items()]


def overload(bench, seconds):
    """Below and beyond what the relay can: what arrives, and whether strangers still get in. The generator is not fast enough
    for the second, so there the relay has to share its core with somebody who takes most of it."""
    way, rows = bench.make(Culvert), []
    ms = max(seconds / 33 - TURN_COST, 0.25) * 1000
    for crowded in (False, True):
        hog = bench.lab.start("core", pinned(RELAY_CORE, ["nice", "-n", "-7", "sh", "-c", "while :; do :; done"])) if crowded else None
        for direction, size in (("up", 148), ("up", 1452), ("down", 1452)):
            way.enter()
            best = way.best(direction, ms, **burst(size, 64))["pps"]
            steps = beyond(way, direction, size, best, ms) if crowded else below(way, direction, size, best, ms)
            rows += [{"crowded": crowded, **step} for step in steps]
            way.leave()
        if hog:
            bench.lab.stop(hog)
    bench.end(way)
    bench.note("overload")
    return rows


def below(way, direction, size, best, ms):
    return [at_load(way, direction, size, best * factor, ms) for factor in (0.5, 0.8)]


def beyond(way, direction, size, rate, ms):
    """Up until a fifth is lost, and then twice the most that ever went. (A closed loop's window is too small here: the relay
    has to wait for its core.)"""
    steps = []
    while len(steps) < 8 and (not steps or steps[-1]["loss"] < 0.2):
        steps.append(at_load(way, direction, size, rate, ms))
        rate *= 1.4
    steps.append(at_load(way, direction, size, 2 * max(step["goodput"] for step in steps), ms))
    return steps


def at_load(way, direction, size, pps, ms):
    """What the relay sent on counts, for the sink shares a core with the generator and may not keep up. (The strangers'
    handshakes are among it.)"""
    before = way.node.status()["relay"]["out"][direction]["packets"]
    t = way.trial(direction, **burst(size, 64), pps=pps, ms=ms, guests=4)
    went = way.node.status()["relay"]["out"][direction]["packets"] - before
    return {"direction": direction, "size": size, "offered": t["sent"] * 1e3 / ms, "goodput": went * 1e9 / t["ns"],
            "loss": max(1 - went / max(t["sent"], 1), 0), "own": t["own"] * t["received"] / max(went, 1), "guests": t["guests"]}


def idle_relay(bench, sessions):
    """Receipts of idle sessions' handshakes would be asked for during the measurement: they come later."""
    return bench.make(Culvert, flow_count=64, relay={"MaxSessions": sessions, "SessionsPerPayer": 16}, price={"ReceiptEvery": "86400 s"})


def idle(bench, seconds):
    """What sessions cost that do nothing: the same 64 flows among few, 1,000, and as many as go; a relay for each, in turns."""
    relays = []
    for count in (64, 1000, int(os.environ.get("BENCH_IDLE", 5000 if bench.short else 100000))):
        way = idle_relay(bench, count)
        began = time.monotonic()
        if count > 64:
            way.load.ask(f"idle {count - 64}")
        relays.append({"way": way, "sessions": way.node.status()["relay"]["sessions"], "setup_s": time.monotonic() - began})
        bench.note(f"idle: {relays[-1]['sessions']} sessions")
    rows = [{**relay, "direction": d, "rounds": []} for d in DIRECTIONS for relay in relays]
    ms = max(seconds * 0.5 / len(rows) / ROUNDS - TURN_COST, 0.2) * 1000
    for _ in range(ROUNDS):
        for row in rows:
            row["way"].enter()
            row["rounds"].append(kept(row["way"].best(row["direction"], ms, **burst(148, 64))))
            row["way"].leave()
    for row in rows:
        row["rss_kib"] = row["way"].rss()
    for relay in relays:
        bench.end(relay["way"])
    return [{key: value for key, value in row.items() if key != "way"} for row in rows]


def workers(bench, seconds):
    """One worker and two, side by side at the same rates: at their best rates they have batches of different lengths."""
    rates = (100000, 200000, 300000)
    ways = [bench.make(kind) for kind in (Culvert, Culvert2)]
    rows = [{"way": way, "workers": way.workers, "direction": d, "size": size, "offered": pps, "rounds": []}
            for d in DIRECTIONS for size in (148, 1452) for pps in rates for way in ways]
    ms = millis(seconds, len(rows) * ROUNDS)
    for _ in range(ROUNDS):
        for row in rows:
            row["way"].enter()
            row["rounds"].append(kept(row["way"].trial(row["direction"], pps=row["offered"], ms=ms, **burst(row["size"], 64))))
            row["way"].leave()
    for way in ways:
        bench.end(way)
    bench.note("workers")
    return [{key: value for key, value in row.items() if key != "way"} for row in rows]


def window(bench, seconds):
    """One session with so large a window whose receipts are signed so much later."""
    rows, windows, delays = [], ("256 KiB", "1 MiB", "16 MiB"), (0, 20, 100)
    ms = max(seconds / 9 - 0.2, 0.4) * 1000
    for size in windows:
        way = bench.make(Culvert, price={"WindowStart": size, "WindowCap": size}, flow_count=1)
        for delay in delays:
            way.load.ask(f"delay {delay}")
            way.enter()
            t = way.trial("up", size=1452, flows=1, burst=BURST, joined=1, pps=40000, ms=ms)
            way.leave()
            rows.append({"window": size, "delay_ms": delay, "bytes_s": t["bytes"] * 1e9 / t["ns"], "offered": t["sent"] * 1452e3 / ms})
        way.load.ask("delay 0")
        bench.end(way)
    bench.note("window")
    return rows


SECTIONS = {"matrix": (matrix, 0.58), "offload": (offload, 0.13), "overload": (overload, 0.07), "workers": (workers, 0.07), "idle": (idle, 0.12),
            "window": (window, 0.03)}
