#!/usr/bin/env python3
"""Overload: as much data as the senders can send, and a flood from faked addresses on top, of each kind that costs a relay
anything. New clients get their sessions all the same, receipts are signed, nothing is miscounted, and few public keys are touched."""
# Runs alone: at full speed, with a flood on top.
import threading
import time

from lab import Suite, wait_for
from nodes import BUILD, PORT
from swarm import Swarm

CLIENTS, NEW, WIDE = 16, 40, 4
FLOOD_MS, FLOOD_PPS = 3000, 20000
BEFORE_LOAD = 200  # handshakes a second that are looked at before cookies are asked for
KINDS = ("mac1", "mac2", "transport", "bind")

swarm = Swarm("flood", Relay={"Workers": 2}, Price={"WindowStart": "64 MiB", "WindowCap": "64 MiB", "ReceiptEvery": "1 s"})
suite = Suite()


def setups(first):
    return swarm.rig("client", [BUILD / "tests/net/rig_setups", swarm.relay.descriptor, swarm.descriptor, f"10.77.2.2:{PORT}", first])


def starts():
    """Each new client has an address of its own; answers to faked ones go nowhere."""
    swarm.lab.ip("client", "route add local 10.128.0.0/9 dev lo")
    swarm.lab.ip("core", "route add 10.128.0.0/9 via 10.77.1.2")
    swarm.lab.ip("core", "route add blackhole 10.200.0.0/13")
    swarm.relay.start()
    rigs.update(data=swarm.clients(), new=setups("10.128.0.1"), flood=setups("10.129.0.1"))
    suite.equal(rigs["data"].ask(f"open {CLIENTS}")["ready"], CLIENTS, f"{CLIENTS} clients have sessions")


def overload(kind):
    """Data as fast as it goes while the other two work: (datagrams sent, set-ups, flood)."""
    answers, sent = {}, 0
    work = {"new": f"setups {NEW} {WIDE} 60000", "flood": f"flood {kind} {FLOOD_PPS} {FLOOD_MS}"}
    threads = [threading.Thread(target=lambda name=name, words=words: answers.update({name: rigs[name].ask(words)})) for name, words in work.items()]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sent += rigs["data"].ask("send 500 512")["sent"]
    return sent, answers["new"], answers["flood"]


def flooded():
    for kind in KINDS:
        signed = [c["receipts"] for c in rigs["data"].ask("stats")["clients"]]
        before, began = swarm.relay.status(), time.monotonic()
        sent, new, flood = overload(kind)
        after, seconds = swarm.relay.status(), time.monotonic() - began
        suite.equal((new["done"], new["failed"]), (NEW, 0), f"{kind}, {flood['sent']} in {flood['ms']} ms: {new['done']} new clients came in, p50 {new['p50_ns'] // 10**6} ms, "
                    f"most {new['most_ns'] // 10**6} ms, {new['again']} datagrams repeated")
        came = after["relay"]["in"]["up"]["packets"] - before["relay"]["in"]["up"]["packets"]
        suite.check(came > 0, f"{kind}: the relay took {came} of {sent} datagrams of data meanwhile")
        stats = wait_for(lambda: rigs["data"].ask("wait 200") and (now := rigs["data"].ask("stats")["clients"]) and
                         all(c["receipts"] > was for c, was in zip(now, signed)) and now, f"every client to sign under {kind}", 15)
        suite.equal(sum(c["bad_receipts"] for c in stats), 0, f"{kind}: all clients signed, nothing wrong")
        tried = sum(after["control"][name] - before["control"][name] for name in ("handshakes", "bad_handshake", "replayed_handshake"))
        suite.check(tried <= NEW + new["again"] + BEFORE_LOAD * (seconds + 1), f"{kind}: public keys were touched for {tried} handshakes of {flood['sent']}")


def recovers():
    """Loaded is who had more than so many in this second and the last."""
    time.sleep(2)
    rest = rigs["new"].ask("setups 10 1 60000")
    suite.equal((rest["done"], rest["cookies"]), (10, 0), "once it is over nobody is asked for a cookie")
    wait_for(lambda: rigs["data"].ask("wait 500") and swarm.relay.balance() == {"up": (0, 0), "down": (0, 0)}, "in = out + drops")
    suite.equal(swarm.relay.balance(), {"up": (0, 0), "down": (0, 0)}, "in = out + drops")
    suite.equal(swarm.relay.status()["relay"]["sessions"], CLIENTS + NEW * len(KINDS) + 10, "and every session is there")


rigs = {}
suite.run(starts, flooded, recovers)
