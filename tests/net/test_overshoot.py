#!/usr/bin/env python3
"""How far a client that signs nothing gets beyond its window at an exit, at full speed, on a real device with real rules.

The exit meters by reading its device, so there is an overshoot: what flows between two readings and while nft is at it.
"""
# Runs alone: at full speed, and how fast the exit is at it is what it shows.
import os
import subprocess
import sys

import test_tunnel
from lab import Lab, Suite, wait_for

LEGS = {"one": 1, "exit": 3, "web": 4}
WINDOWS = (1 << 20, 16 << 20)
BLAST = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end, n = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    try:
        s.sendto(bytes(1372), ("45.1.1.1", 9)); n += 1
    except OSError:
        pass
print(n * 1372)
"""

suite = Suite()


class Window:
    """An exit with one client and one window, fresh for each case."""

    def __init__(self, window):
        self.lab = lab = Lab("overshoot", LEGS)
        private, public = test_tunnel.key_pair()
        lab.ip("web", "addr add 45.1.1.1/32 dev eth0")
        lab.ip("core", "route add 45.1.1.1 via 10.77.4.2")
        server = lab.start("web", [sys.executable, test_tunnel.__file__, "serve"], log="serve.log")
        wait_for(lambda: "serving" in (lab.dir / "serve.log").read_text() or server.poll() is not None, "the server")
        argv = lab.argv("exit", [test_tunnel.BUILD / "tests/net/rig_window", f"o{os.getpid()}e", public, window])
        self.exit = subprocess.Popen(argv, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=open(lab.dir / "exit.log", "ab"))
        lab.processes.append(self.exit)
        key, inner = self.exit.stdout.readline().split()
        self.client = test_tunnel.Rig(lab, "one")
        self.client.do(f"open o{os.getpid()}c userspace {private} 0 {test_tunnel.MARK}")
        self.key = key
        self.client.do(f"peer {key} 10.77.3.2:51820 25 0.0.0.0/0")
        self.client.do(f"address {inner}/32")
        self.client.do(f"route {test_tunnel.MARK} 0.0.0.0/0")
        self.lab.run("one", ["ping", "-c", "2", "-i", "0.2", "-W", "1", "10.64.0.1"], check=False)

    def seen(self):
        self.exit.stdin.write("\n")
        return tuple(map(int, self.exit.stdout.readline().split()))

    def arrived(self):
        """Bytes that came out at the far ends: at the web, and at the client."""
        web = self.lab.run("web", ["cat", "/sys/class/net/eth0/statistics/rx_bytes"]).stdout
        return int(web) + self.client.counts(self.key)[0]

    def up(self):
        self.lab.run("one", [sys.executable, "-c", BLAST, "2"])

    def down(self):
        self.lab.run("one", [sys.executable, test_tunnel.__file__, "get", "45.1.1.1", "80", str(256 << 20), "1"], check=False)


def case(window, direction):
    world = Window(window)
    try:
        arrived = world.arrived()
        getattr(world, direction)()
        wait_for(lambda: world.seen()[2], "the client to be held", 30)
        up, down, _ = world.seen()
        over, arrived = up + down - window, world.arrived() - arrived - window
        print(f"     {direction}, window {window >> 20} MiB: billed {over / 1e6:.2f} MB beyond it, carried {arrived / 1e6:.2f} MB", flush=True)
        suite.check(0 <= over, f"{direction}: a window of {window >> 20} MiB is used up")
        before = world.seen()
        world.lab.run("one", [sys.executable, "-c", BLAST, "0.3"])
        suite.equal(world.seen(), before, f"{direction}: and nothing is carried or billed from then on")
    finally:
        world.lab.close()


def main():
    for window in WINDOWS:
        for direction in ("up", "down"):
            case(window, direction)


if __name__ == "__main__":
    suite.run(main)
