#!/usr/bin/env python3
"""One culvertd as relay for one client and as exit for another at the same time, with real WireGuard."""
import json
import threading

from lab import Lab, Suite, wait_for
from nodes import BUILD, PORT, Client, Node, download, verify_offline, web
from rig import Rig

LEGS = {"client": 1, "both": 2, "exit": 3, "web": 4, "second": 5, "relay": 6}
SIZE = 12 << 20

lab, suite = Lab("both", LEGS), Suite()
price = {"FreeAllowance": 10**6, "ReceiptEvery": "1 s"}
exit_ = Node(lab, "exit", "exit", 3, Price=price)
# Devices of one lab share a directory of sockets: their names must differ.
both = Node(lab, "both", "relay, exit", 2, Relay={"Exit": [exit_.descriptor]}, Exit={"Interface": "culvert2"}, Price=price)
relay = Node(lab, "relay", "relay", 6, Relay={"Exit": [both.descriptor]}, Price=price)
first = second = None


def starts():
    global first, second
    exit_.start()
    both.start()
    relay.start()
    suite.equal(sorted(both.status()["roles"]), ["exit", "relay"], "one daemon, both roles")
    first = Client(lab, both, exit_).up()
    second = Client(lab, relay, both, ns="second", Client={"Interface": "culvert3"}).up()
    suite.equal(sorted(s["role"] for s in both.ask("sessions")["sessions"]), ["exit", "relay"], "a session in each role")


def transfers():
    digest = web(lab, size=SIZE)
    got = {}
    threads = [threading.Thread(target=lambda ns=ns: got.update({ns: download(lab, "http://10.77.4.2/blob", ns)[0]})) for ns in ("client", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    suite.equal(got, {"client": digest, "second": digest}, "both clients transfer at once")
    rows = {s["role"]: s for s in both.ask("sessions")["sessions"]}
    suite.check(rows["relay"]["down"] > SIZE and rows["exit"]["down"] > SIZE, "it metered both")
    suite.equal(both.balance(), {"up": (0, 0), "down": (0, 0)}, "relay: in = out + drops")
    suite.equal(relay.balance(), {"up": (0, 0), "down": (0, 0)}, "the other relay's too")


def earns():
    ids = {"relay": first.status()["id"], "exit": second.status()["id"]}
    first.stop()
    second.stop()
    credits_ = lambda: {c["peer"]: c for c in both.ask("credits")["credits"]}
    wait_for(lambda: all(i in credits_() and credits_()[i]["bytes"] > SIZE for i in ids.values()), "the last receipts")
    for role, per_gib in (("relay", 1000), ("exit", 2000)):
        row = credits_()[ids[role]]
        least = -(-row["bytes"] * per_gib // 2**30)
        suite.check(least <= row["earned"] <= least + 1, f"as {role} it earned {row['earned']} for {row['bytes']} bytes")
        suite.check(row["balance"] >= 0 and row["debt"] == 0, "and nothing is owed")
    status, output, path = verify_offline(both)
    suite.equal(status, 0, f"receipts verify offline: {output.strip().splitlines()[-1]}")
    roles = {json.loads(line)["role"] for line in path.read_text().splitlines() if '"receipt"' in line}
    suite.equal(roles, {"relay", "exit"}, "receipts of both roles")


def not_to_itself():
    both.stop()
    both.options["Relay"]["Exit"] = [exit_.descriptor, both.descriptor]
    both.start()
    suite.check(f"{both.descriptor}: this exit is not used: own address" in both.log(), "itself is no exit for itself: said at start")
    suite.equal(both.status()["relay"]["exits"], 1, "only the other one is used")
    rig = Rig(lab.argv("client", [BUILD / "tests/net/rig_clients", both.descriptor, exit_.descriptor, f"10.77.2.2:{PORT}", 1]))
    lab.processes.append(rig.process)
    suite.equal(rig.ask(f"try {both.descriptor}"), {"granted": False, "refusal": 2}, "a client that asks for it is told EXIT_ADDRESS")
    suite.check(rig.ask(f"try {exit_.descriptor}")["granted"], "the other one it gets")
    rig.close()


def ends():
    suite.equal([both.stop(), relay.stop(), exit_.stop()], [0, 0, 0], "orderly stops")
    suite.check("culvert" not in lab.run("both", ["nft", "list", "tables"]).stdout + lab.run("both", ["ip", "link"]).stdout, "table and device are gone")


suite.run(starts, transfers, earns, not_to_itself, ends)
