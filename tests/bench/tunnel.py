#!/usr/bin/env python3
"""TCP through wireguard-go to an exit, with the relay between them and without. Root.

    client: iperf3, wireguard-go --- core: routes, or culvertd relays --- exit: wireguard-go, culvertd --- (core) --- web: iperf3

One tunnel by `culvert up`; for the way without a relay its device is told the exit's own endpoint, and back again, so that
both ways are the same processes, keys and connections, in turns. Twice: on all processors as the scheduler likes, and with the
relay alone on the last processor and all else on the first ("apart"). WIREGUARD_GO=FILE is another wireguard-go to take;
TUNNEL_DEVICES=physical has the veth pairs between client, core and exit cut large buffers on their way out, and join on their way
in, as network cards and their drivers do.
docs/performance.md says what the figures mean; the table also goes to build/bench/.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))

import netdev  # noqa: E402
from cpu import busy_ns, children, cpu_ns, ksoftirqd, machine  # noqa: E402
from lab import Failure, Lab, wait_for  # noqa: E402
from nodes import WG_PORT, Client, Node  # noqa: E402

SECONDS = int(os.environ.get("TUNNEL_SECONDS", "2"))
ROUNDS = int(os.environ.get("TUNNEL_ROUNDS", "3"))
RELAY, EXIT = "10.77.1.1:51820", f"10.77.3.2:{WG_PORT}"
WEB = "10.77.4.2"
DATAGRAM_ENDS = (("client", "eth0"), ("core", "client"), ("core", "exit"), ("exit", "eth0"))
WAYS = ("no relay", "relay")
LAYOUTS = ("any", "apart")
DIRECTIONS = {"up": [], "down": ["-R"]}
PARTS = ("iperf3 client", "wireguard-go client", "relay", "wireguard-go exit", "iperf3 server", "ksoftirqd")


def tasks(pid):
    return [int(t) for t in os.listdir(f"/proc/{pid}/task")]


def place(pids, processors):
    for pid in pids:
        for task in tasks(pid):
            os.sched_setaffinity(task, processors)


class Tunnel:
    def __init__(self):
        self.lab = Lab("tunnel", legs={"client": 1, "exit": 3, "web": 4})
        self.own_wireguard()
        if os.environ.get("TUNNEL_DEVICES") == "physical":
            netdev.set_up(self.lab, DATAGRAM_ENDS)
            netdev.cut(self.lab, DATAGRAM_ENDS, True)
        price = {"FreeAllowance": 10**12, "WindowStart": "4 GiB", "WindowCap": "16 GiB"}
        exit_ = Node(self.lab, "exit", "exit", 3, Price=price, Log={"Level": "info"})
        # Alone of its kind, on port 51820 of the machine in the middle.
        self.relay = Node(self.lab, "core", "relay", 1, name="relay", Node={"Announce": RELAY}, Relay={"Exit": [exit_.descriptor], "Workers": 1},
                          Price=price, Log={"Level": "info"})
        exit_.start()
        self.relay.start()
        self.client = Client(self.lab, self.relay, exit_, Log={"Level": "info"})
        self.client.up()
        (self.peer,) = self.lab.run("client", ["wg", "show", "culvert1", "peers"]).stdout.split()
        self.server = self.lab.start("web", ["iperf3", "-s", "-i", "0"], log="iperf3.log")
        self.pids = {"wireguard-go client": self.devices("client"), "wireguard-go exit": self.devices("exit"), "iperf3 server": [self.server.pid],
                     "relay": [self.relay.process.pid, *children(self.relay.process.pid)], "ksoftirqd": ksoftirqd()}
        wait_for(lambda: self.lab.run("client", ["iperf3", "-c", WEB, "-n", "1M"], check=False).returncode == 0, "iperf3 through the tunnel")
        self.version = subprocess.run(["wireguard-go", "--version"], text=True, capture_output=True, check=False).stdout.split("\n")[0]
        self.found = {}

    @staticmethod
    def own_wireguard():
        """In the place of the installed one, seen from this run's own mount namespace alone."""
        given, installed = os.environ.get("WIREGUARD_GO"), shutil.which("wireguard-go", path="/usr/sbin:/usr/bin")
        if given:
            subprocess.run(["mount", "--bind", given, installed], check=True)

    def devices(self, ns):
        inside = subprocess.run(["ip", "netns", "pids", self.lab.ns(ns)], text=True, capture_output=True, check=True).stdout.split()
        return [int(p) for p in inside if pathlib.Path(f"/proc/{p}/comm").read_text().strip() == "wireguard-go"]

    def take(self, way):
        """Both ends go on where they last heard the other from, so the client is told until that is true."""
        endpoint = RELAY if way == "relay" else EXIT

        def there():
            self.lab.run("client", ["wg", "set", "culvert1", "peer", self.peer, "endpoint", endpoint])
            self.lab.run("client", ["ping", "-q", "-c", "3", "-i", "0.05", "-W", "1", WEB], check=False)
            return self.lab.run("client", ["wg", "show", "culvert1", "endpoints"]).stdout.split()[-1] == endpoint
        wait_for(there, f"the tunnel by {endpoint}")

    def arrange(self, layout):
        every = sorted(os.sched_getaffinity(0))
        place(self.pids["wireguard-go client"] + self.pids["wireguard-go exit"] + self.pids["iperf3 server"], every if layout == "any" else every[:1])
        place(self.pids["relay"], every if layout == "any" else every[-1:])
        return ["taskset", "-c", ",".join(map(str, every if layout == "any" else every[:1]))]

    def counters(self):
        relay = self.relay.status()["relay"]
        if self.relay.balance(relay) != {"up": (0, 0), "down": (0, 0)}:
            raise Failure(f"in - out - drops = {self.relay.balance(relay)}, which must be 0")
        return {"datagrams": sum(relay["in"][d]["packets"] for d in ("up", "down")), "in": relay["offload"]["messages_in"], "out": relay["offload"]["messages_out"]}

    def trial(self, layout, direction, way):
        """One iperf3: bytes that arrived, and who used how many nanoseconds meanwhile."""
        prefix = self.arrange(layout)
        self.take(way)
        before, counted, busy, start = {p: cpu_ns(pids) for p, pids in self.pids.items()}, self.counters(), busy_ns(), time.monotonic_ns()
        done = json.loads(self.lab.run("client", [*prefix, "iperf3", "-c", WEB, "-t", SECONDS, "-J", *DIRECTIONS[direction]]).stdout)["end"]
        took, busy, now = time.monotonic_ns() - start, busy_ns() - busy, self.counters()
        t = {p: cpu_ns(pids) - before[p] for p, pids in self.pids.items()}
        t["iperf3 client"] = int(done["cpu_utilization_percent"]["host_total"] * done["sum_sent"]["seconds"] * 1e7)
        received = done["sum_received"]
        relayed = {k: now[k] - counted[k] for k in counted}
        if (relayed["datagrams"] > 1000) != (way == "relay"):
            raise Failure(f"{way}: {relayed['datagrams']} datagrams through the relay")
        return {"Mbit/s": received["bits_per_second"] / 1e6, "ns": {p: t[p] / received["bytes"] for p in PARTS}, "used": sum(t[p] for p in PARTS) / took,
                "others": max(busy - sum(t[p] for p in PARTS), 0) / took, "resent": done["sum_sent"].get("retransmits", 0), **relayed}

    def measure(self):
        for layout in LAYOUTS:
            for direction in DIRECTIONS:
                for _ in range(ROUNDS):
                    for way in WAYS:
                        self.found.setdefault((layout, direction, way), []).append(self.trial(layout, direction, way))

    def median(self, point, name, part=None):
        return statistics.median(t[name][part] if part else t[name] for t in self.found[point])

    def cost(self, point, parts=PARTS):
        """Of all trials of a point, ns of these parts for a byte."""
        return statistics.median(sum(t["ns"][p] for p in parts) for t in self.found[point])

    def table(self):
        yield f"TCP through {self.version}; {machine()}"
        yield "ns: CPU time for one byte that arrived. used, others: processors, of these processes and of all else. Medians; ratios: median of pairs, least and most."
        yield (f"{'layout':6} {'way':>4} {'':8} {'Mbit/s':>7} |" + "".join(f"{p.replace('wireguard-go', 'wg-go'):>14}" for p in PARTS) +
               f" {'all ns':>7} | {'used':>5} {'others':>6} {'resent':>6} | datagrams for a message in, out")
        for layout in LAYOUTS:
            for direction in DIRECTIONS:
                for way in WAYS:
                    yield self.row(layout, direction, way)
                yield self.ratio(layout, direction)

    def row(self, layout, direction, way):
        p = (layout, direction, way)
        messages = "" if way != "relay" else " ".join(f"{sum(t['datagrams'] for t in self.found[p]) / max(sum(t[k] for t in self.found[p]), 1):.1f}" for k in ("in", "out"))
        return (f"{layout:6} {direction:>4} {way:8} {self.median(p, 'Mbit/s'):7.0f} |" + "".join(f"{self.median(p, 'ns', part):14.2f}" for part in PARTS) +
                f" {self.cost(p):7.2f} | {self.median(p, 'used'):5.2f} {self.median(p, 'others'):6.2f} {self.median(p, 'resent'):6.0f} | {messages}")

    def ratio(self, layout, direction):
        """Measured, and as the accounting has it: what uses the processors up, all of it or that of the first one, is what
        the speed is inverse to."""
        pairs = list(zip(*(self.found[layout, direction, way] for way in WAYS)))
        ratios = sorted(b["Mbit/s"] / a["Mbit/s"] for a, b in pairs)
        parts = PARTS if layout == "any" else [p for p in PARTS if p not in ("relay", "ksoftirqd")]
        plain, relayed = (self.cost((layout, direction, way), parts) for way in WAYS)
        share = self.cost((layout, direction, "relay"), ["relay"]) / self.cost((layout, direction, "relay"))
        return (f"       {direction:>4} relay / no relay: {statistics.median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}); by CPU time {plain / relayed:.2f}"
                f"; the relay is {share:.0%} of all")


def main():
    tunnel = Tunnel()
    tunnel.measure()
    out = TOP / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(tunnel.table()) + "\n"
    print(text, end="")
    name = "-".join(["tunnel", *(["other"] if os.environ.get("WIREGUARD_GO") else []), *(["physical"] if os.environ.get("TUNNEL_DEVICES") == "physical" else [])])
    (out / f"{name}.txt").write_text(text)


if __name__ == "__main__":
    main()
