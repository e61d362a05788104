"""That every byte a relay was given is somewhere: checked around each of its turns, both directions."""
import time

from lab import Failure
from netdev import backlog_drops, device_drops
from swarm import socket_drops

PATIENCE = 10  # seconds
JOINED = 64  # datagrams in a buffer, at most
ZERO = {"up": (0, 0), "down": (0, 0)}


def difference(old, new):
    """new - old of numbers, tuples and dicts alike."""
    if isinstance(new, dict):
        return {k: difference(old[k], v) for k, v in new.items()}
    if isinstance(new, (tuple, list)):
        return tuple(difference(a, b) for a, b in zip(old, new))
    return new - old


def within(missing, least, buffers):
    return max(least, 0) <= missing <= buffers * JOINED


class Books:
    def __init__(self, lab):
        self.lab, self.opened = lab, {}
        self.runs = {}

    def sums(self, way):
        load, relay = way.load.ask("stats"), way.node.status()["relay"]
        pair = ("packets", "bytes")
        return {
            "sent": load["sent"], "received": load["received"], "receipts": load["receipts"],
            "in": {d: tuple(relay["in"][d][k] for k in pair) for d in ZERO},
            "out": {d: tuple(relay["out"][d][k] for k in pair) for d in ZERO},
            "drops": {d: tuple(sum(drop[d][k] for drop in relay["drops"].values()) for k in pair) for d in ZERO},
            "queues": {ns: socket_drops(self.lab, ns) for ns in ("core", "exit", "client")},
            "devices": device_drops(self.lab, "core", ("client", "exit")) + device_drops(self.lab, "exit", ("eth0",))
            + device_drops(self.lab, "client", ("eth0",)) + backlog_drops(),
        }, load["bad_receipts"], way.node.balance(relay)

    def open(self, way):
        self.opened[way] = self.sums(way)[0]

    def close(self, way):
        """What still stands in a queue is neither lost nor there: on a crowded machine that takes a while."""
        opened, end = self.opened.pop(way), time.monotonic() + PATIENCE
        while True:
            try:
                self.runs.setdefault(way.name, []).append(self.judge(way, opened))
                return
            except Failure:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def judge(self, way, opened):
        now, bad, balance = self.sums(way)
        d = difference(opened, now)
        if balance != ZERO:
            raise Failure(f"{way.name}: in - out - drops = {balance}, which must be 0 in packets and bytes")
        if bad:
            raise Failure(f"{way.name}: {bad} receipts were wrong")
        before = {w: d["sent"][w][0] - d["in"][w][0] for w in ZERO}
        behind = {w: d["out"][w][0] - d["received"][w][0] for w in ZERO}
        self.reconcile(way, d, before, behind)
        return d

    def reconcile(self, way, d, before, behind):
        """Before the relay only its own full queue may lose, behind it only the receivers'. They count a buffer of several
        datagrams once; and control datagrams that queue lost are in its count too, but in nobody's of data sent: so what
        is missing may fall short of it, by no more than a few."""
        queues, devices = d["queues"], d["devices"]
        lost = before["up"] + before["down"]
        if not within(lost, (queues["core"] + devices) * 0.98 - 64, queues["core"] + devices):
            raise Failure(f"{way.name}: {before} lost before it, but its full queue took {queues['core']} and devices {devices}")
        for w, ns in (("up", "exit"), ("down", "client")):
            if not within(behind[w], queues[ns], queues[ns] + devices):
                raise Failure(f"{way.name}: {behind[w]} lost behind it going {w}, but the receiver's full queue took {queues[ns]}, devices {devices}")
        if not queues["core"] + devices:
            for w in ZERO:
                if d["sent"][w][1] != d["in"][w][1]:
                    raise Failure(f"{way.name}: {d['sent'][w]} sent {w}, {d['in'][w]} came in, and no queue was full")

    def lines(self):
        for name, runs in self.runs.items():
            packets, size = (sum(r["in"][w][i] for r in runs for w in ZERO) for i in (0, 1))
            yield (f"{name}: {len(runs)} turns, {packets} datagrams and {size} bytes in; in - out - drops = 0 packets, 0 bytes, in each and both "
                   f"directions; {sum(r['drops'][w][0] for r in runs for w in ZERO)} dropped by name, "
                   f"{sum(r['queues']['core'] for r in runs)} at its full receive queues, {sum(r['queues']['exit'] + r['queues']['client'] for r in runs)} "
                   f"behind it; {sum(r['receipts'] for r in runs)} receipts co-signed meanwhile, 0 wrong")
