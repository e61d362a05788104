#!/usr/bin/env python3
"""Culvert's relay beside what else carries UDP through a machine, in one run, in turns. Root, python3 stdlib.

    client 10.77.1.2 --- 10.77.1.1 core 10.77.3.1 --- 10.77.3.2 exit        three network namespaces

core is what is measured: nothing (wire: the sink sits there), a router, nftables DNAT, nginx's stream proxy, coturn, culvertd.
docs/performance.md says what each figure means. BENCH_SECONDS is about how long it takes; BENCH_ONLY names the sections to
run. Results: build/bench/compare.json, compare.txt, compare.svg.
"""
import json
import os
import pathlib
import signal
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))

import netdev  # noqa: E402
import plot  # noqa: E402
import sections  # noqa: E402
import table  # noqa: E402
from books import Books  # noqa: E402
from cpu import counts_softirq_apart, ksoftirqd, machine  # noqa: E402
from lab import Failure, Lab  # noqa: E402

SECONDS = float(os.environ.get("BENCH_SECONDS", "780"))
OUT = TOP / "build/bench"
ENDS = (("client", "eth0"), ("exit", "eth0"))
RELAY_ENDS = (("core", "client"), ("core", "exit"))


class Bench:
    """The topology, and what all sections share."""

    def __init__(self):
        self.lab = Lab("bench", legs={"client": 1, "exit": 3})
        self.ksoftirqd, self.flows, self.ways_made = ksoftirqd(), max(sections.FLOWS), 0
        self.books = Books(self.lab)
        self.started, self.short = time.monotonic(), SECONDS < 300
        # The clients' addresses: load.c's traffic_source.
        self.lab.run("client", ["sh", "-c", "for i in $(seq 100 219); do ip addr add 10.77.1.$i/24 dev eth0; done"])
        netdev.set_up(self.lab, ENDS + RELAY_ENDS)
        self.cut_at("ends")

    def cut_at(self, where):
        """Where large buffers are cut into datagrams: at the "ends", so that the relay gets them one by one as off a wire; at
        "all" devices, the relay's own too; or at "none"."""
        self.cut = where
        netdev.cut(self.lab, ENDS, where != "none")
        netdev.cut(self.lab, RELAY_ENDS, where == "all")

    def cut_at_wire(self, there):
        """While core is an end itself."""
        if self.cut == "ends":
            netdev.cut(self.lab, RELAY_ENDS[:1], there)

    def make(self, kind, **changes):
        """A way of its own ports; changes: of class attributes."""
        self.ways_made += 1
        return type(kind.__name__, (kind,), changes)(self, self.ways_made) if changes else kind(self, self.ways_made)

    def end(self, way):
        """By force: nobody needs the books of a hundred thousand sessions that were only there to be idle."""
        way.load.close()
        if way.pids:
            self.lab.stop(way.process, signal.SIGKILL)

    def note(self, text):
        print(f"     {time.monotonic() - self.started:4.0f} s: {text}", file=sys.stderr, flush=True)


def measure(result):
    """Section by section into result, so that what was measured is there even if a later one fails."""
    bench = Bench()
    for name in os.environ.get("BENCH_ONLY", ",".join(sections.SECTIONS)).split(","):
        section, share = sections.SECTIONS[name]
        result["sections"][name] = section(bench, SECONDS * share)
        result.update(machine=machine(), seconds=round(time.monotonic() - bench.started), books=list(bench.books.lines()))


def save(result):
    OUT.mkdir(parents=True, exist_ok=True)
    text = table.text(result)
    (OUT / "compare.json").write_text(json.dumps(result, indent=1) + "\n")
    (OUT / "compare.txt").write_text(text)
    if "matrix" in result["sections"]:
        (OUT / "compare.svg").write_text(plot.svg(result))
    print(text + f"bench: saved in {OUT.relative_to(TOP)}/")


def main():
    if len(sys.argv) > 1:  # an earlier result, shown again
        save(json.loads(pathlib.Path(sys.argv[1]).read_text()))
        return
    result = {"sections": {}, "softirq_apart": counts_softirq_apart()}
    try:
        measure(result)
    except Failure as failure:
        if result["sections"]:
            save(result)
        sys.exit(f"bench: {failure}")
    save(result)


main()
