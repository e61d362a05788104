#!/usr/bin/env python3
"""Culvert's relay beside what else carries UDP through a machine, in one run, in turns. Root, python3 stdlib.

    client 10.77.1.2 --- 10.77.1.1 core 10.77.3.1 --- 10.77.3.2 exit        three network namespaces

core is what is measured: nothing (wire: the sink sits there), a router, nftables DNAT, nginx's stream proxy, coturn, culvertd.
docs/performance.md says what each figure means. The table also goes to build/bench/.
"""
import gzip
import os
import pathlib
import platform
import statistics
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))

from lab import Failure, Lab, wait_for  # noqa: E402
from nodes import BUILD, Node  # noqa: E402
from rig import Rig  # noqa: E402
from swarm import socket_drops  # noqa: E402

SECONDS = float(os.environ.get("BENCH_SECONDS", "200"))
ROUNDS, TRIES = 3, 3
SIZES, FLOWS = (148, 1452), (1, 64)
LATENCY_PPS = 20000
LOSS = 0.001
STEP = 1.15
IN, OUT = "10.77.1.1", "10.77.3.2"


def cpu_ns(pids):
    """CPU time of processes, all threads, to the nanosecond."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except OSError:
                pass
    return total


def rss_kib(pids):
    return sum(int(line.split()[1]) for pid in pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def children(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_name(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""  # it has just ended


def ksoftirqd():
    """The kernel's threads for packets that came too fast for their sender to carry; children of kthreadd."""
    return [pid for pid in children(2) if command_name(pid).startswith("ksoftirqd")]


def busy_ns():
    """What all processors did but idle, by the machine's count (in ticks: coarse)."""
    words = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    return (sum(map(int, words)) - int(words[3]) - int(words[4])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def rate_of(trial):
    return trial["rate"]


def counts_softirq_apart():
    """With that, what the kernel forwards in a sender's time is not in the sender's CPU time."""
    for path, opener in ((f"/boot/config-{platform.release()}", open), ("/proc/config.gz", gzip.open)):
        try:
            with opener(path, "rt") as config:
                return "CONFIG_IRQ_TIME_ACCOUNTING=y" in config.read()
        except OSError:
            pass
    return False


class Way:
    """One way for datagrams from client to exit."""
    name, sink_ns, sink = "", "exit", OUT

    def __init__(self, bench, number):
        self.bench, self.lab = bench, bench.lab
        self.port, self.sink_port = 51820 + 10 * number, 52900 + 10 * number
        self.pids, self.rss, self.notes = [], 0, []
        self.prepare()
        argv = [BUILD / "tests/bench/load", self.target(), f"/var/run/netns/{self.lab.ns(self.sink_ns)}", f"{self.sink}:{self.sink_port}", max(FLOWS), *self.sessions()]
        self.load = Rig(self.lab.argv("client", argv))
        self.lab.processes.append(self.load.process)
        if f'"ready":{max(FLOWS)}}}' not in self.load.process.stdout.readline():
            raise Failure(f"{self.name}: not all flows came up")

    def prepare(self): pass
    def sessions(self): return []
    def target(self): return f"{IN}:{self.port}"
    def enter(self): pass
    def leave(self): pass

    def trial(self, flows, size, pps, ms, stamps=0):
        """One run of the generator: what it says, and who used how much CPU meanwhile."""
        before = cpu_ns(self.pids), cpu_ns(self.bench.ksoftirqd), busy_ns()
        t = self.load.ask(f"trial {flows} {size} {int(pps)} {ms} {stamps}")
        own, soft, busy = (b - a for a, b in zip(before, (cpu_ns(self.pids), cpu_ns(self.bench.ksoftirqd), busy_ns())))
        got = max(t["received"], 1)
        t["loss"] = 1 - t["received"] / max(t["sent"], 1)
        t["rate"] = t["received"] * 1e9 / t["ns"]
        t["own"], t["all"] = own / got, (own + soft + t["cpu_ns"]) / got
        t["others"] = max(busy - own - soft - t["cpu_ns"], 0) / t["ns"]
        return t

    def passes(self, flows, size, pps, ms):
        """The best trial of up to TRIES without loss, or None: a neighbour's burst of work is no limit of the relay's."""
        for _ in range(TRIES):
            t = self.trial(flows, size, pps, ms)
            if t["loss"] <= LOSS:
                return t
        return None

    def best(self, flows, size, ms):
        """The highest rate at which at most one datagram in a thousand is lost: flat out if that goes, else stepped up."""
        flat = [self.trial(flows, size, 0, ms) for _ in range(TRIES)]
        whole = [t for t in flat if t["loss"] <= LOSS]
        if len(whole) == TRIES:
            return max(whole, key=rate_of)
        found, rate = max(whole, key=rate_of, default=None), max(map(rate_of, flat)) * 0.6
        while rate > 1000:
            t = self.passes(flows, size, rate, ms)
            if t and (not found or t["rate"] > found["rate"]):
                found = t
            elif found and (not t or rate > found["rate"] * STEP):
                break
            rate = rate * STEP if found else rate / 2
        return found or flat[0]


class Wire(Way):
    name, sink_ns, sink = "wire (nothing in between)", "core", IN

    def target(self): return f"{IN}:{self.sink_port}"


class Routing(Way):
    name = "plain routing"

    def target(self): return f"{OUT}:{self.sink_port}"


class Dnat(Way):
    """With masquerading: the exit sees the relay's address, as with the others. There only during its own turns, since
    with it comes connection tracking for the whole namespace."""
    name = "nftables DNAT"

    def enter(self):
        self.lab.nft("core", f"""table ip bench {{
	chain in {{ type nat hook prerouting priority -100; ip daddr {IN} udp dport {self.port} dnat to {OUT}:{self.sink_port}; }}
	chain out {{ type nat hook postrouting priority 100; ip daddr {OUT} udp dport {self.sink_port} masquerade; }}
}}""")

    def leave(self):
        self.lab.nft("core", "delete table ip bench")


class Nginx(Way):
    name = "nginx stream, 2 workers"

    def prepare(self):
        where = self.lab.dir / "nginx"
        where.mkdir()
        (where / "nginx.conf").write_text(f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root; worker_processes 2; daemon off; pid {where}/pid; error_log {where}/error.log;
events {{ worker_connections 4096; }}
stream {{ server {{ listen {IN}:{self.port} udp reuseport rcvbuf=4m sndbuf=4m; proxy_pass {OUT}:{self.sink_port}; proxy_timeout 10m; }} }}
""")
        process = self.lab.start("core", ["nginx", "-p", where, "-e", where / "error.log", "-c", where / "nginx.conf"], log="nginx.log")
        wait_for(lambda: process.poll() is not None or len(children(process.pid)) == 2, "nginx's workers")
        if process.poll() is not None:
            raise Failure(f"nginx: {(where / 'error.log').read_text()}")
        self.pids = [process.pid, *children(process.pid)]


class Coturn(Way):
    """Each flow is an allocation with a channel to the sink: 4 bytes more per datagram on the way in."""
    name = "coturn, 2 relay threads"

    def prepare(self):
        where = self.lab.dir / "coturn"
        where.mkdir()
        process = self.lab.start("core", ["turnserver", "-n", "--no-auth", f"--listening-ip={IN}", "--relay-ip=10.77.3.1", f"--listening-port={self.port}",
                                          "--relay-threads=2", "--min-port=40000", "--max-port=49999", "--no-tcp", "--no-tls", "--no-dtls", "--no-cli",
                                          "--log-file=stdout", f"--pidfile={where}/pid", f"--userdb={where}/db"], log="coturn.log")
        self.pids = [process.pid]

    def sessions(self): return ["turn"]

    def enter(self):
        """Permissions last for five minutes."""
        if self.load.ask("rebind")["ready"] != max(FLOWS):
            raise Failure(f"{self.name}: it lost channels")


class Culvert(Way):
    workers = 1

    def prepare(self):
        descriptor = self.lab.dir / f"exit-{self.workers}.node"
        # A stand-in exit writes its descriptor and goes; the load's sink then answers at its port.
        exit_ = Rig(self.lab.argv("exit", [BUILD / "tests/net/rig_exit", descriptor, f"{OUT}:{self.sink_port}"]))
        wait_for(descriptor.exists, "the exit's descriptor")
        exit_.close()
        self.node = Node(self.lab, "core", "relay", 1, name=f"culvert-{self.workers}",
                         Node={"Listen": f"[::]:{self.port}", "Announce": f"{IN}:{self.port}"}, Relay={"Exit": [descriptor], "Workers": self.workers},
                         Price={"FreeAllowance": 10**12, "WindowStart": "4 GiB", "WindowCap": "16 GiB", "ReceiptEvery": "1 s"}, Log={"Level": "info"})
        self.node.start()
        self.exit_descriptor = descriptor
        self.pids = [self.node.process.pid, *children(self.node.process.pid)]

    def sessions(self): return [self.node.descriptor, self.exit_descriptor]

    def enter(self):
        self.before = self.sums()

    def sums(self):
        relay, load = self.node.status()["relay"], self.load.ask("stats")
        return {"sent": (load["sent_packets"], load["sent_bytes"]), "received": (load["received_packets"], load["received_bytes"]),
                "in": tuple(relay["in"]["up"].values()), "out": tuple(relay["out"]["up"].values()), "balance": self.node.balance(relay),
                "drops": sum(sum(way["packets"] for way in d.values()) for d in relay["drops"].values()),
                "relay_queue": (socket_drops(self.lab, "core"),), "exit_queue": (socket_drops(self.lab, "exit"),),
                "receipts": (load["receipts"],), "bad": load["bad_receipts"]}

    def leave(self):
        """Every byte is somewhere: in = out + drops exactly; the queues before and behind it explain the rest, but for
        control datagrams lost in the queue before it, which nobody counted as sent (they are sent again)."""
        now, old = self.sums(), self.before
        d = {k: tuple(b - a for a, b in zip(old[k], now[k])) for k in ("sent", "received", "in", "out", "relay_queue", "exit_queue", "receipts")}
        if now["balance"] != {"up": (0, 0), "down": (0, 0)}:
            raise Failure(f"{self.name}: in - out - drops = {now['balance']}, which must be 0")
        if now["bad"]:
            raise Failure(f"{self.name}: {now['bad']} receipts were wrong")
        before, behind = d["sent"][0] - d["in"][0] - d["relay_queue"][0], d["out"][0] - d["received"][0] - d["exit_queue"][0]
        self.notes.append((d["in"], d["relay_queue"][0], now["drops"] - old["drops"], before, behind, d["receipts"][0]))


class Culvert1(Culvert):
    name, workers = "culvertd, 1 worker", 1


class Culvert2(Culvert):
    name, workers = "culvertd, 2 workers", 2


class Bench:
    def __init__(self):
        self.lab = Lab("bench", legs={"client": 1, "exit": 3})
        self.ksoftirqd = ksoftirqd()
        self.ways = [way(self, n) for n, way in enumerate((Wire, Routing, Dnat, Nginx, Coturn, Culvert1, Culvert2))]
        self.found, self.rounds = {}, 0
        self.started = time.monotonic()

    def measure(self):
        """Rounds over all points over all ways, the ways next to each other in time: a neighbour disturbs them alike."""
        points = [(size, flows) for size in SIZES for flows in FLOWS]
        ms = int(min(max(SECONDS * 1000 / (ROUNDS * len(points) * len(self.ways)) / 13, 60), 5000))
        for round_ in range(ROUNDS):
            for point in points:
                for way in self.ways:
                    self.turn(way, point, ms)
                print(f"     round {round_ + 1} of {ROUNDS}: {point[0]} bytes, {point[1]} flows: {time.monotonic() - self.started:.0f} s", file=sys.stderr, flush=True)
            self.rounds += 1
            if time.monotonic() - self.started > SECONDS:
                break
        for way in self.ways:
            way.rss = rss_kib(way.pids)

    def turn(self, way, point, ms):
        size, flows = point
        way.enter()
        way.trial(flows, size, 2000, 20)  # connection tracking and proxies meet their flows
        best = way.best(flows, size, ms)
        slow = way.trial(flows, size, LATENCY_PPS, max(ms, 300), 1)
        way.leave()
        values = {"pps": best["rate"], "loss": best["loss"], "own": best["own"], "all": best["all"], "others": best["others"],
                  "p50": slow["p50"] / 1000, "p99": slow["p99"] / 1000, "slow_loss": slow["loss"]}
        for name, value in values.items():
            self.found.setdefault((way, point, name), []).append(value)

    def median(self, way, point, name):
        return statistics.median(self.found[way, point, name])

    def table(self):
        wire, routing, dnat = self.ways[0], self.ways[1], self.ways[2]
        for point in [(size, flows) for size in SIZES for flows in FLOWS]:
            yield f"{point[0]} bytes, {point[1]} flow{'s' if point[1] > 1 else ''}"
            yield f"  {'':26} {'kpps':>8} {'least-most':>11} {'x DNAT':>7} | {'all ns':>7} {'forward':>8} {'own ns':>7} {'x DNAT':>7} | {'p50 us':>7} {'p99 us':>8} {'added50':>8} {'added99':>8} | {'others':>6}"
            for way in self.ways:
                def m(name, w=way, p=point): return self.median(w, p, name)
                rates = self.found[way, point, "pps"]
                cost = m("all") - m("all", wire)
                dnat_cost = m("all", dnat) - m("all", wire)
                own = f"{m('own'):7.0f}" if way.pids else f"{'-':>7}"
                ratio = f"{cost / dnat_cost:7.2f}" if dnat_cost > 0 else f"{'-':>7}"
                spread = f"{min(rates) / 1000:.0f}-{max(rates) / 1000:.0f}"
                mark = "" if m("loss") <= LOSS and m("slow_loss") <= LOSS else f"  loss {m('loss'):.1%} at best, {m('slow_loss'):.1%} at {LATENCY_PPS // 1000} kpps"
                yield (f"  {way.name:26} {m('pps') / 1000:8.1f} {spread:>11} {m('pps') / m('pps', dnat):7.2f} | {m('all'):7.0f} {cost:8.0f} {own} {ratio} | "
                       f"{m('p50'):7.1f} {m('p99'):8.1f} {m('p50') - m('p50', routing):8.1f} {m('p99') - m('p99', routing):8.1f} | {m('others'):6.2f}{mark}")
            yield ""

    def closing(self):
        for way in self.ways:
            if way.pids:
                yield f"{way.name}: {way.rss / 1024:.1f} MiB resident in {len(way.pids)} process{'es' if len(way.pids) > 1 else ''}"
        for way in self.ways:
            if not way.notes:
                continue
            total = [sum(n[0][i] for n in way.notes) for i in (0, 1)]
            queue, drops, before, behind, receipts = (sum(n[i] for n in way.notes) for i in range(1, 6))
            yield (f"{way.name}: {len(way.notes)} runs, {total[0]} datagrams and {total[1]} bytes in; in - out - drops = 0 packets, 0 bytes in each; "
                   f"{receipts} receipts co-signed meanwhile, 0 wrong; {drops} dropped by name, {queue} lost at its full receive queue; "
                   f"sent - in - that queue = {before}, out - received - the exit's queue = {behind}")


def machine():
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    load = pathlib.Path("/proc/loadavg").read_text().split()[:3]
    return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}, load average at the end {' '.join(load)}"


def main():
    try:
        bench = Bench()
        bench.measure()
    except Failure as failure:
        sys.exit(f"bench: {failure}")
    lines = [f"Client to exit, medians of {bench.rounds}, {time.monotonic() - bench.started:.0f} s. {machine()}",
             "kpps: best rate with loss <= 0.1 %. ns: CPU time for one datagram at that rate: all = generator, relay and sink; forward = all beyond the",
             f"wire's; own = the relay's processes alone. us: one-way delay at {LATENCY_PPS // 1000} kpps in bursts of 8; added: beyond plain routing. others: processors busy",
             "with something else meanwhile.",
             *(["This kernel counts the time of interrupts apart (CONFIG_IRQ_TIME_ACCOUNTING): `all` and `forward` lack it."] if counts_softirq_apart() else []),
             "", *bench.table(), *bench.closing()]
    text = "\n".join(lines) + "\n"
    out = TOP / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "compare.txt").write_text(text)
    print(text + f"bench: saved in {out.relative_to(TOP)}/")


main()
