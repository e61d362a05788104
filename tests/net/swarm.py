"""A relay with a fake exit and protocol clients around it, and the sums their counters must obey."""
import time

from lab import Lab, wait_for
from nodes import BUILD, PORT, Node
from rig import Rig

WG = "10.77.3.2:51900"


class Swarm:
    def __init__(self, name, **options):
        self.lab = Lab(name)
        self.descriptor = self.lab.dir / "rig-exit.node"
        # Queues large enough that only the relay, or what a test puts in the way, loses anything.
        for ns in ("core", "client", "relay", "exit"):
            self.lab.run(ns, ["sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0"])
        self.exit = self.rig("exit", [BUILD / "tests/net/rig_exit", self.descriptor, WG])
        wait_for(self.descriptor.exists, "the fake exit's descriptor")
        relay = {"Exit": [self.descriptor], "MaxSessions": 2048}
        relay.update(options.pop("Relay", {}))
        price = {"FreeAllowance": 10**12, "LossConstant": "64 MiB"}
        price.update(options.pop("Price", {}))
        self.relay = Node(self.lab, "relay", "relay", 2, Relay=relay, Price=price, Log={"Level": "info"}, **options)

    def rig(self, ns, argv):
        rig = Rig(self.lab.argv(ns, argv))
        self.lab.processes.append(rig.process)
        return rig

    def clients(self, first=1, ns="client"):
        return self.rig(ns, [BUILD / "tests/net/rig_clients", self.relay.descriptor, self.descriptor, f"10.77.2.2:{PORT}", str(first)])

    def lose(self, percent):
        """Loss behind the relay, in both directions, counted in bytes and packets by nft."""
        self.lab.nft("core", f"""
table inet loss {{
	counter up {{ }}
	counter down {{ }}
	chain forward {{
		type filter hook forward priority 0;
		ip saddr 10.77.2.2 ip daddr 10.77.3.2 udp dport 51900 numgen random mod 100 < {percent} counter name up drop
		ip saddr 10.77.2.2 ip daddr 10.77.1.2 udp sport {PORT} @th,64,8 0x02-0x04 numgen random mod 100 < {percent} counter name down drop
	}}
}}
""")

    def lost(self):
        """What nft dropped, as UDP payload (its counters include 28 bytes of IPv4 and UDP header each)."""
        import json
        text = self.lab.run("core", ["nft", "-j", "list", "counters"]).stdout
        found = {c["counter"]["name"]: c["counter"] for c in json.loads(text)["nftables"] if "counter" in c}
        return {way: (found[way]["packets"], found[way]["bytes"] - 28 * found[way]["packets"]) if way in found else (0, 0)
                for way in ("up", "down")}

    def quiet_exit(self):
        """Waits until the exit has read all that had come."""
        last = None
        while last != (last := self.exit.ask("stats")["packets"]):
            time.sleep(0.1)

    def quiet(self, *rigs):
        """Waits until nothing moves any more."""
        last = None
        for _ in range(100):
            for rig in rigs:
                rig.ask("wait 100")
            now = (self.exit.ask("stats")["packets"], self.relay.status()["relay"]["out"])
            if now == last:
                return
            last = now


def socket_drops(lab, ns):
    """Datagrams the kernel threw away at full receive queues in a namespace (Udp InErrors and Udp6)."""
    text = lab.run(ns, ["cat", "/proc/net/snmp"]).stdout
    rows = [line.split() for line in text.splitlines() if line.startswith("Udp:")]
    v4 = int(rows[1][rows[0].index("RcvbufErrors")])
    v6 = sum(int(line.split()[1]) for line in lab.run(ns, ["cat", "/proc/net/snmp6"]).stdout.splitlines() if line.startswith("Udp6RcvbufErrors"))
    return v4 + v6
