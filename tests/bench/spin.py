#!/usr/bin/env python3
"""What busy polling would buy and cost: one relay that sleeps, or polls before it sleeps, in turns. Root.

The relay is culvertd as it is, with real sessions; spin.so in front of it makes its worker's epoll_wait poll for as long as a
file says, so all ways are one process. The generator's processor and the relay's are apart. docs/performance.md says more;
the table also goes to build/bench/.
"""
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))

import netdev  # noqa: E402
from cpu import busy_ns, children, cpu_ns, machine  # noqa: E402
from lab import Failure, Lab, wait_for  # noqa: E402
from nodes import BUILD, Node  # noqa: E402
from rig import Rig  # noqa: E402

MS = int(os.environ.get("SPIN_MS", "600"))
ROUNDS = int(os.environ.get("SPIN_ROUNDS", "5"))
RATES, FLOWS, SIZE = (1000, 20000), 64, 148
NEVER_SLEEPS = 2**32 - 1
BY_KERNEL = 1 << 31
WAYS = {"sleeps": 0, "kernel polls 50": BY_KERNEL + 50, "polls 20 us": 20, "polls 100 us": 100, "never sleeps": NEVER_SLEEPS}
IN, OUT, PORT, SINK_PORT = "10.77.1.1", "10.77.3.2", 51820, 52900


class Spin:
    def __init__(self):
        self.lab = lab = Lab("spin", legs={"client": 1, "exit": 3})
        lab.run("client", ["sh", "-c", "for i in $(seq 100 219); do ip addr add 10.77.1.$i/24 dev eth0; done"])  # load.c's clients
        netdev.set_up(lab, (("client", "eth0"), ("exit", "eth0"), ("core", "client"), ("core", "exit")))
        self.file = lab.dir / "spin"
        self.file.write_bytes(struct.pack("I", 0))
        descriptor = lab.dir / "exit.node"
        exit_ = Rig(lab.argv("exit", [BUILD / "tests/net/rig_exit", descriptor, f"{OUT}:{SINK_PORT}"]))
        wait_for(descriptor.exists, "the exit's descriptor")
        exit_.close()
        node = Node(lab, "core", "relay", 1, name="relay", Node={"Announce": f"{IN}:{PORT}"}, Relay={"Exit": [descriptor], "Workers": 1},
                    Price={"FreeAllowance": 10**12, "WindowStart": "4 GiB", "WindowCap": "16 GiB"}, Log={"Level": "info"})
        os.environ.update(LD_PRELOAD=str(BUILD / "tests/bench/spin.so"), SPIN_FILE=str(self.file))
        node.start(wait=False)
        del os.environ["LD_PRELOAD"]
        wait_for(node.answers, "the relay")
        self.pids = [node.process.pid, *children(node.process.pid)]
        processors = sorted(os.sched_getaffinity(0))
        for pid in self.pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(task), processors[-1:])
        self.relayed = self.generator(processors[:1], f"{IN}:{PORT}", SINK_PORT, node.descriptor, descriptor)
        self.routed = self.generator(processors[:1], f"{OUT}:{SINK_PORT + 1}", SINK_PORT + 1)
        self.found = {}

    def generator(self, processors, target, port, *sessions):
        argv = ["taskset", "-c", ",".join(map(str, processors)), BUILD / "tests/bench/load", target, f"/var/run/netns/{self.lab.ns('exit')}", f"{OUT}:{port}", FLOWS, 1, *sessions]
        rig = Rig(self.lab.argv("client", argv))
        self.lab.processes.append(rig.process)
        if f'"ready":{FLOWS}}}' not in rig.process.stdout.readline():
            raise Failure("not all flows came up")
        return rig

    def spin(self, us):
        with open(self.file, "r+b") as f:  # never shorter: it is mapped
            f.write(struct.pack("I", us))

    def trial(self, way, rate):
        self.spin(WAYS.get(way, 0))
        load = self.routed if way == "plain routing" else self.relayed
        before, busy, start = cpu_ns(self.pids), busy_ns(), time.monotonic_ns()
        if rate:
            t = load.ask(f"trial way=0 flows={FLOWS} size={SIZE} burst=1 pps={rate} ms={MS} stamps=1")
        else:
            time.sleep(MS / 1000)
            t = {"received": 1, "sent": 1, "p50": 0, "p99": 0, "cpu_ns": 0}
        took, own = time.monotonic_ns() - start, cpu_ns(self.pids) - before
        return {"p50": t["p50"] / 1000, "p99": t["p99"] / 1000, "own": own / max(t["received"], 1), "used": own / took, "lost": t["sent"] - t["received"],
                "others": max(busy_ns() - busy - own - t["cpu_ns"], 0) / took}

    def measure(self):
        for _ in range(ROUNDS):
            for rate in (0, *RATES):
                for way in ("plain routing", *WAYS):
                    if rate or way in WAYS:
                        self.found.setdefault((way, rate), []).append(self.trial(way, rate))
        self.spin(0)

    def median(self, way, rate, name):
        return statistics.median(t[name] for t in self.found[way, rate])

    def table(self):
        yield f"Busy polling, medians of {ROUNDS} trials of {MS} ms. {machine()}"
        yield f"One-way delay of {SIZE} bytes, one datagram at a time; added: beyond plain routing. own: the relay's CPU time for a datagram. used: of its processor."
        yield f"{'kpps':>5} {'':15} | {'p50 us':>7} {'p99 us':>8} {'added50':>8} {'added99':>8} | {'own ns':>8} {'used':>5} {'others':>6} {'lost':>5}"
        for rate in RATES:
            for way in ("plain routing", *WAYS):
                def m(name, w=way, r=rate): return self.median(w, r, name)
                own = f"{m('own'):8.0f} {m('used'):5.0%}" if way in WAYS else f"{'-':>8} {'-':>5}"
                yield (f"{rate / 1000:5.0f} {way:15} | {m('p50'):7.1f} {m('p99'):8.1f} {m('p50') - self.median('plain routing', rate, 'p50'):8.1f} "
                       f"{m('p99') - self.median('plain routing', rate, 'p99'):8.1f} | {own} {m('others'):6.2f} {m('lost'):5.0f}")
        yield "idle: " + ", ".join(f"{way} {self.median(way, 0, 'used'):.1%} of its processor" for way in WAYS)
        yield kernel_polling(self.lab)


NAPI = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7777)); s.settimeout(5)
s.setsockopt(socket.SOL_SOCKET, 46, 50)  # SO_BUSY_POLL
print(s.getsockopt(socket.SOL_SOCKET, 46), flush=True)
s.recv(100)
print(s.getsockopt(socket.SOL_SOCKET, 56), flush=True)  # SO_INCOMING_NAPI_ID
"""


def kernel_polling(lab):
    """The kernel's own kind polls the NAPI instance that a socket's datagrams came by: is there one?"""
    with subprocess.Popen(lab.argv("core", [sys.executable, "-c", NAPI]), text=True, stdout=subprocess.PIPE) as process:
        us = process.stdout.readline().strip()
        lab.run("client", [sys.executable, "-c", f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{IN}', 7777))"])
        napi = process.stdout.readline().strip()
    if not us:
        return "SO_BUSY_POLL: this kernel does not know it"
    return f"SO_BUSY_POLL: taken ({us} us); datagrams over veth come by NAPI instance {napi}" + (": none, so there is nothing to poll" if napi == "0" else "")


def main():
    spin = Spin()
    spin.measure()
    out = TOP / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    text = "\n".join(spin.table()) + "\n"
    print(text, end="")
    (out / "spin.txt").write_text(text)


if __name__ == "__main__":
    main()
