#!/usr/bin/env python3
"""Unclean ends, and an outer path of IPv6 only: what was left behind is found and removed, and everything works over it."""
import os
import signal

from lab import Lab, Suite, wait_for
from nodes import Client, Node, download, snapshot, web

SIZE = 4 << 20

lab, suite = Lab("unclean"), Suite()
exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": 10**6})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price={"FreeAllowance": 10**6})
client = before = None
digest = ""


def processes(ns):
    """{pid: command line} of what runs in a namespace."""
    found = {}
    for pid in lab.run(ns, ["ip", "netns", "pids", lab.ns(ns)]).stdout.split():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                found[int(pid)] = f.read().replace(b"\0", b" ").decode()
        except OSError:
            pass
    return found


def starts_by_ipv6():
    """The client has no IPv4 at all outside; inside it has both."""
    global client, before, digest
    digest = web(lab, size=SIZE)
    exit_.start()
    relay.start()
    lab.ip("client", "addr flush dev eth0 scope global")
    lab.ip("client", "addr add fd77:1::2/64 dev eth0 nodad")
    lab.ip("client", "-6 route replace default via fd77:1::1")
    wait_for(lambda: "fe80" in lab.run("client", ["ip", "addr", "show", "dev", "eth0"]).stdout, "the client's link")
    suite.equal(lab.run("client", ["ip", "-4", "route"]).stdout, "", "the client has no IPv4 route")
    before = snapshot(lab, "client")
    client = Client(lab, relay, exit_).up()
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "reached by fd77:: only: IPv4 inside")
    suite.equal(download(lab, "http://[fd77:4::2]/blob")[0], digest, "and IPv6")
    moves = relay.status()["relay"]["moves"]
    lab.ip("client", "addr add fd77:1::3/64 dev eth0 nodad")
    lab.ip("client", "addr del fd77:1::2/64 dev eth0")
    wait_for(lambda: relay.status()["relay"]["moves"] > moves, "the move to reach the relay", 15)
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "after a move to another IPv6 address too")
    suite.equal(relay.balance(), {"up": (0, 0), "down": (0, 0)}, "relay: in = out + drops")
    lab.ip("client", "addr add fd77:1::2/64 dev eth0 nodad")
    lab.ip("client", "addr del fd77:1::3/64 dev eth0")


def client_and_guard_killed():
    agents = [pid for pid, line in processes("client").items() if "culvert up" in line]
    suite.check(len(agents) == 2 and client.process.pid in agents, f"agent and guard run: {len(agents)} processes")
    for pid in agents:  # both stand still first, so that neither sees the other die
        os.kill(pid, signal.SIGSTOP)
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    client.process.wait(10)
    wait_for(lambda: not any("culvert up" in line for line in processes("client").values()), "both to be gone")
    left = snapshot(lab, "client")
    suite.check(left != before, "both killed at once, something is left behind")
    done = client.culvert("down", "--socket", client.socket)
    suite.check("removed" in done.stdout, f"culvert down: {done.stdout.strip()}")
    suite.equal(snapshot(lab, "client"), before, "devices, routes and rules are as before")
    suite.check("nothing to do" in client.culvert("down", "--socket", client.socket).stdout, "and again: nothing to do")
    wait_for(lambda: not any("wireguard-go" in line for line in processes("client").values()), "wireguard-go to end", 30)
    suite.check(True, "no wireguard-go runs on")
    client.up()
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "up again it works")
    client.stop()
    suite.equal(snapshot(lab, "client"), before, "and leaves nothing")


def exit_killed():
    tables = lambda: lab.run("exit", ["nft", "list", "tables"]).stdout.split("\n")
    mine = lambda: [t for t in tables() if "culvert" in t]
    lab.nft("exit", "table inet somebody { }")
    ledger = exit_.status()["ledger_pid"]
    daemons = [pid for pid, line in processes("exit").items() if "wireguard-go" in line]
    for pid in (exit_.process.pid, ledger):
        os.kill(pid, signal.SIGSTOP)
    for pid in (exit_.process.pid, ledger):
        os.kill(pid, signal.SIGKILL)
    exit_.process.wait(10)
    wait_for(lambda: ledger not in processes("exit"), "the ledger to be gone")
    suite.equal(len(mine()), 1, "exit killed -9: its table is left")
    exit_.start()
    suite.equal(len(mine()), 1, "started again it replaces it")
    now = [pid for pid, line in processes("exit").items() if "wireguard-go" in line]
    suite.check(len(now) == 1 and now != daemons, "and has one device, a new one")
    client.up()
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "which works")
    client.stop()
    suite.equal(exit_.stop(), 0, "stopped in order")
    suite.equal(mine(), [], "its table is gone")
    suite.check(any("somebody" in t for t in tables()), "somebody else's is not")
    suite.check("culvert0" not in lab.run("exit", ["ip", "link"]).stdout, "nor is a device left")
    suite.equal([line for line in processes("exit").values() if "wireguard-go" in line or "culvert" in line], [], "no process either")


suite.run(starts_by_ipv6, client_and_guard_killed, exit_killed)
