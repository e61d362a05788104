#!/usr/bin/env python3
"""The benchmarks' arithmetic, on made-up results: ratios are the worst of the rounds, missing bytes are noticed, the picture is one."""
import pathlib
import sys
import xml.etree.ElementTree as xml

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/bench"), str(TOP / "tests/net")]
sys.dont_write_bytecode = True

import books  # noqa: E402
import plot  # noqa: E402
import table  # noqa: E402
from lab import Failure  # noqa: E402

POINT = ("up", 1452, 64)
NAMES = {"wire": "wire (nothing in between)", "dnat": "nftables DNAT", "nginx": "nginx stream", "coturn": "coturn", "culvert": "culvertd, 1 worker",
         "culvert2": "culvertd, 2 workers"}
# own, all and p99 of three rounds
ROUNDS = {"wire": ((0, 1000, 2000), (0, 1100, 2000), (0, 1000, 2000)), "dnat": ((0, 2000, 3000), (0, 2100, 3000), (0, 2500, 3000)),
          "nginx": ((8000, 9000, 70000),) * 3, "coturn": ((6000, 8000, 52000), (6000, 8000, 42000), (6000, 8000, 52000)),
          "culvert": ((1500, 3000, 52000), (2000, 3100, 52000), (1000, 2500, 27000)), "culvert2": ((1500, 3000, 52000), (2500, 3100, 52000), (1000, 2500, 27000))}


def measured(own, all_, p99):
    common = {"pps": 100000.0, "loss": 0.0, "own": own, "worker": own, "all": all_, "others": 0.1}
    return {"best": common, "slow": {**common, "p50": p99 / 2, "p99": p99}}


def result():
    points = [{"way": way, "name": NAMES[way], "direction": "up", "size": 1452, "flows": 64, "rounds": [measured(*r) for r in rounds]} for way, rounds in ROUNDS.items()]
    guests = {"came": 4, "ready": 4, "asked": 4, "answered": 4, "ready_ns": 10**7, "answered_ns": 10**7}
    best = {"own": 1000.0, "all": 2000.0, "pps": 5e5}
    return {
        "machine": "1 x nothing", "seconds": 1, "softirq_apart": False, "books": ["all is there"],
        "sections": {
            "matrix": {"points": points, "rss_kib": {"culvert": 2048}, "latency_pps": 20000, "burst": 8},
            "offload": [{"direction": "up", "size": 148, "cut": cut, "way": way, "rounds": [best] * 3} for cut in table.CUTS for way in ("wire", "culvert")],
            "overload": [{"crowded": True, "direction": "up", "size": 148, "offered": 100.0 * f, "goodput": 100.0 - 9 * f, "loss": 0.1, "own": 1000.0, "guests": guests} for f in (0, 1, 2)],
            "workers": [{"workers": n, "direction": "up", "size": 148, "offered": 1e5, "rounds": [{**best, "worker": 900.0 + 90 * n, "loss": 0.0}] * 3} for n in (1, 2)],
            "idle": [{"sessions": n, "direction": "up", "rounds": [best] * 3, "rss_kib": 1024, "setup_s": 2.0} for n in (64, 1000)],
            "window": [{"window": "1 MiB", "delay_ms": d, "bytes_s": 1e6, "offered": 1e7} for d in (0, 100)],
        },
    }


def near(a, b):
    return abs(a - b) < 1e-9


def ratios():
    m = table.Matrix(result()["sections"]["matrix"])
    yield "all-in is beyond the same round's wire", m.rounds("dnat", POINT, "all-in") == [1000, 1000, 1500]
    yield "worst own ratio is that of the dearest round", near(1 / m.worst("culvert", ["coturn"], POINT, "own"), 3.0)
    yield "worst all-in ratio", near(m.worst("culvert", ["dnat"], POINT, "all-in"), 2.0)
    yield "the best peer of each round counts", near(m.worst("culvert", ["coturn", "nginx"], POINT, "added99"), 1.25)
    yield "nobody is compared with nothing", m.worst("culvert", ["wire"], POINT, "own") is None


def texts():
    text = table.text(result())
    lines = text.splitlines()
    row = next(line for line in lines if "culvertd, 1 worker" in line)
    yield "the row has medians and the worst ratio", all(word in row.split() for word in ("1500", "2000", "2.00"))
    yield "every section is there", all(words in text for words in ("Who cuts", "beyond saturation", "Workers: 64 flows", "Idle sessions", "Window and delay", "all is there"))
    yield "goodput is of the most", any("82.0%" in line and "2.00" in line for line in lines)


def picture():
    root = xml.fromstring(plot.svg(result()))
    width, height = float(root.get("width")), float(root.get("height"))
    tags = [e for e in root.iter() if e.tag.endswith("rect")]
    yield "bars lie on the page", all(0 <= float(e.get("x", 0)) and float(e.get("x", 0)) + float(e.get("width")) <= width for e in tags)
    yield "words lie on the page", all(0 < float(e.get("x")) < width and 0 < float(e.get("y")) <= height for e in root.iter() if e.tag.endswith("}text"))
    yield "it has title, source and units", all(words in plot.svg(result()) for words in ("What a datagram costs", "make bench", "ns of CPU time", "us of one-way delay"))
    yield "axes end above the most, in round steps", [plot.nice(v) for v in (7, 8, 9, 830, 7100)] == [(7, 1), (8, 1), (10, 2), (1000, 200), (8000, 1000)]


class Someone:
    name = "relay"


def judged(sent=100, came=100, went=100, arrived=100, core=0, behind=0, devices=0, sent_bytes=None):
    """Whether these books are accepted; sent_bytes: what clients say they sent, if not 10 each."""
    ways = {"down": (0, 0)}
    d = {"sent": {**ways, "up": (sent, sent * 10 if sent_bytes is None else sent_bytes)}, "in": {**ways, "up": (came, came * 10)}, "out": {**ways, "up": (went, went * 10)},
         "queues": {"core": core, "exit": behind, "client": 0}, "devices": devices}
    try:
        books.Books(None).reconcile(Someone(), d, {"up": sent - came, "down": 0}, {"up": went - arrived, "down": 0})
    except Failure:
        return False
    return True


def conservation():
    yield "all there", judged()
    yield "a full queue explains what is missing", judged(came=60, went=60, arrived=60, core=40)
    yield "one of several datagrams", judged(came=60, went=60, arrived=60, core=5)
    yield "but not of any number", not judged(sent=1000, came=870, went=870, arrived=870, core=2)
    yield "one missing before it", not judged(came=99, went=99, arrived=99)
    yield "one more than sent", not judged(came=101, went=101, arrived=101)
    yield "one missing behind it", not judged(arrived=99)
    yield "the receiver's queue explains that", judged(arrived=99, behind=1)
    yield "one that arrived though the queue lost it", not judged(arrived=100, behind=1)
    yield "a byte missing", not judged(sent_bytes=1001)
    yield "far fewer missing than the queue lost", not judged(sent=10000, came=9500, went=9500, arrived=9500, core=2000)


def main():
    passed = failed = 0
    for what, right in (*ratios(), *texts(), *picture(), *conservation()):
        passed, failed = passed + bool(right), failed + (not right)
        if not right:
            print(f"check_bench: {what}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
