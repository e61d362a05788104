"""What carries datagrams from client to exit and back, one class each."""
from cpu import busy_ns, children, cpu_ns, family, rss_kib
from lab import Failure, wait_for
from nodes import BUILD, Node
from rig import Rig

IN, OUT, UPSTREAM = "10.77.1.1", "10.77.3.2", "10.77.3.1"
LOAD_CORE, RELAY_CORE = 0, 1
DIRECTIONS = ("up", "down")
WINDOWS = (512, 256, 128, 64, 32)
LOSS = 0.0005  # more than that at a window and it is halved
TRIES = 10


def pinned(core, argv):
    return ["taskset", "-c", str(core), *map(str, argv)]


class Way:
    """One way: its generator, and its processes if it has any."""
    key, name, sink_ns, sink, cores, flow_count = "", "", "exit", OUT, RELAY_CORE, None

    def __init__(self, bench, number):
        self.bench, self.lab = bench, bench.lab
        self.port, self.sink_port = 51820 + 10 * number, 52900 + 10 * number
        self.pids, self.process, self.window, self.flows = [], None, {}, self.flow_count or bench.flows
        self.prepare()
        argv = [BUILD / "tests/bench/load", self.target(), f"/var/run/netns/{self.lab.ns(self.sink_ns)}", f"{self.sink}:{self.sink_port}",
                self.flows, 1, *self.sessions()]
        self.load = Rig(self.lab.argv("client", pinned(LOAD_CORE, argv)))
        self.lab.processes.append(self.load.process)
        line = self.load.process.stdout.readline()
        if f'"ready":{self.flows}}}' not in line:
            raise Failure(f"{self.name}: not all {self.flows} flows came up: {line.strip()}")

    def prepare(self): pass
    def sessions(self): return []
    def target(self): return f"{IN}:{self.port}"
    def rss(self): return rss_kib(self.pids)

    def start(self, argv, log):
        self.process = self.lab.start("core", pinned(self.cores, argv), log=log)

    def arm(self): pass
    def disarm(self): pass

    def enter(self):
        """Before its turn. The exit learns from the first datagrams where to answer each flow."""
        self.arm()
        for _ in range(TRIES):
            self.trial("up", flows=self.flows, size=148, burst=1, pps=20000, ms=self.flows / 20 + 20)
            met = self.load.ask("stats")["met"]
            if met == self.flows:
                return
        raise Failure(f"{self.name}: {met} of {self.flows} flows arrive")

    def leave(self):
        self.disarm()

    def trial(self, way, **words):
        """One run of the generator: what it says, and who used how much CPU meanwhile. ns are for one delivered datagram."""
        line = " ".join(f"{word}={int(value)}" for word, value in words.items())
        before = self.clocks()
        t = self.load.ask(f"trial way={DIRECTIONS.index(way)} {line}")
        if "error" in t:
            raise Failure(f"trial {line}: {t['error']}")
        own, worker, soft, busy = (b - a for a, b in zip(before, self.clocks()))
        got = max(t["received"], 1)
        t["loss"] = 1 - t["received"] / max(t["sent"], 1)
        t["pps"] = t["received"] * 1e9 / t["ns"]
        t["own"], t["worker"], t["all"] = own / got, worker / got, (own + soft + t["cpu_ns"]) / got
        t["load"], t["soft"] = t["cpu_ns"] / got, soft / got
        t["others"] = max(busy - own - soft - t["cpu_ns"], 0) / t["ns"]
        return t

    def clocks(self):
        return cpu_ns(self.pids), cpu_ns(self.pids, "relay-"), cpu_ns(self.bench.ksoftirqd), busy_ns()

    def best(self, way, ms, **words):
        """Closed loop: as much as goes with so many datagrams under way; with half as many if any were lost."""
        key = (way, *sorted(words.items()))
        first = self.window.get(key, WINDOWS[0])
        for window in [w for w in WINDOWS if w <= first]:
            self.window[key] = window
            t = self.trial(way, window=window, ms=ms, **words)
            t["window"] = window
            if t["loss"] <= LOSS:
                break
        return t


class Wire(Way):
    """What generator, sink and one veth crossing cost alone."""
    key, name, sink_ns, sink = "wire", "wire (nothing in between)", "core", IN

    def target(self): return f"{IN}:{self.sink_port}"

    def arm(self):
        """The exit is at core's device now, which cuts as an exit's does."""
        self.bench.cut_at_wire(True)

    def disarm(self):
        self.bench.cut_at_wire(False)


class Routing(Way):
    key, name = "routing", "plain routing"

    def target(self): return f"{OUT}:{self.sink_port}"


class Dnat(Way):
    """With masquerading: the exit sees the relay's address, as with the others. There only during its own turns, since
    with it comes connection tracking for the whole namespace."""
    key, name = "dnat", "nftables DNAT"

    def arm(self):
        self.lab.nft("core", f"""table ip bench {{
	chain in {{ type nat hook prerouting priority -100; ip daddr {IN} udp dport {self.port} dnat to {OUT}:{self.sink_port}; }}
	chain out {{ type nat hook postrouting priority 100; ip daddr {OUT} udp dport {self.sink_port} masquerade; }}
}}""")

    def disarm(self):
        self.lab.nft("core", "delete table ip bench")


class Nginx(Way):
    key, name = "nginx", "nginx stream"

    def prepare(self):
        where = self.lab.dir / f"nginx-{self.port}"
        where.mkdir()
        (where / "nginx.conf").write_text(f"""load_module /usr/lib/nginx/modules/ngx_stream_module.so;
user root; worker_processes 1; daemon off; pid {where}/pid; error_log {where}/error.log;
events {{ worker_connections 8192; }}
stream {{ server {{ listen {IN}:{self.port} udp reuseport rcvbuf=4m sndbuf=4m; proxy_pass {OUT}:{self.sink_port}; proxy_timeout 1h; }} }}
""")
        self.start(["nginx", "-p", where, "-e", where / "error.log", "-c", where / "nginx.conf"], "nginx.log")
        wait_for(lambda: self.process.poll() is not None or len(children(self.process.pid)) == 1, "nginx's worker")
        if self.process.poll() is not None:
            raise Failure(f"nginx: {(where / 'error.log').read_text()}")
        self.pids = family(self.process.pid)


class Coturn(Way):
    """Each flow is an allocation with a channel to the exit: 4 bytes more per datagram between client and relay."""
    key, name = "coturn", "coturn"

    def prepare(self):
        where = self.lab.dir / f"coturn-{self.port}"
        where.mkdir()
        self.start(["turnserver", "-n", "--no-auth", f"--listening-ip={IN}", f"--relay-ip={UPSTREAM}", f"--listening-port={self.port}",
                              "--relay-threads=1", "--min-port=40000", "--max-port=49999", "--no-tcp", "--no-tls", "--no-dtls", "--no-cli",
                              "--log-file=stdout", f"--pidfile={where}/pid", f"--userdb={where}/db"], "coturn.log")
        self.pids = [self.process.pid]

    def sessions(self): return ["turn"]

    def arm(self):
        """Permissions last for five minutes."""
        if self.load.ask("rebind")["ready"] != self.flows:
            raise Failure(f"{self.name}: it lost channels")


class Culvert(Way):
    """The real daemon with real sessions; options are of its [Relay] and [Price] sections."""
    key, name, workers, relay, price = "culvert", "culvertd, 1 worker", 1, {}, {}

    def prepare(self):
        descriptor = self.lab.dir / f"exit-{self.port}.node"
        # A stand-in exit writes its descriptor and goes; the generator's sink then answers at its port.
        exit_ = Rig(self.lab.argv("exit", [BUILD / "tests/net/rig_exit", descriptor, f"{OUT}:{self.sink_port}"]))
        wait_for(descriptor.exists, "the exit's descriptor")
        exit_.close()
        self.node = Node(self.lab, "core", "relay", 1, name=f"culvert-{self.port}",
                         Node={"Listen": f"[::]:{self.port}", "Announce": f"{IN}:{self.port}"},
                         Relay={"Exit": [descriptor], "Workers": self.workers, "Idle": "86400 s", **self.relay},
                         Price={"FreeAllowance": 10**12, "WindowStart": "4 GiB", "WindowCap": "16 GiB", "ReceiptEvery": "10 s", **self.price},
                         Log={"Level": "info"})
        self.node.launcher = pinned(self.cores, [])
        self.node.start()
        self.exit_descriptor = descriptor
        self.process = self.node.process
        self.pids = family(self.process.pid)

    def sessions(self): return [self.node.descriptor, self.exit_descriptor]

    def enter(self):
        self.bench.books.open(self)
        super().enter()

    def leave(self):
        super().leave()
        self.bench.books.close(self)


class Culvert2(Culvert):
    key, name, workers, cores = "culvert2", "culvertd, 2 workers", 2, f"{LOAD_CORE},{RELAY_CORE}"
