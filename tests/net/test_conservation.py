#!/usr/bin/env python3
"""Every byte is somewhere: metered = received at the far socket + counted losses, difference exactly 0, over a million
datagrams with loss behind the relay, rekeys, rebinds across workers, and window stalls."""
# Runs alone: at full speed, and no far socket may overflow.
import os

from lab import Suite
from swarm import Swarm, socket_drops

ROUNDS = int(os.environ.get("CONSERVATION_ROUNDS", "14"))
CLIENTS, EACH, SIZE = 20, 2000, 464
INITIATION = 148

suite = Suite()
swarm = Swarm("bytes", Relay={"Workers": 4}, Price={"WindowStart": "1 MiB", "WindowCap": "1 MiB"})


def main():
    swarm.relay.start()
    swarm.lose(2)
    swarm.exit.ask("reflect 1")
    rig = swarm.clients()
    suite.equal(rig.ask(f"open {CLIENTS}")["ready"], CLIENTS, f"{CLIENTS} clients up")
    workers = set()
    for turn in range(ROUNDS):
        rig.ask(f"paced {EACH} {SIZE} 60000")
        if turn % 3 == 0:
            rig.ask("rekey")
        if turn % 3 == 1:
            rig.ask("rebind")
        if turn % 4 == 2:
            # A stall: nobody signs, the windows run out, then signing goes on.
            rig.ask("sign off")
            rig.ask(f"paced {EACH} {SIZE} 60000")
            rig.ask("sign on")
            rig.ask("wait 1500")
        workers |= {s["worker"] for s in swarm.relay.ask("sessions")["sessions"]}
    swarm.quiet(rig)
    relay = swarm.relay.status()["relay"]
    exit_, clients, lost = swarm.exit.ask("indices"), rig.ask("stats")["clients"], swarm.lost()
    sessions = {s["session"]: s for s in swarm.relay.ask("sessions")["sessions"]}

    suite.equal(swarm.relay.balance(relay), {"up": (0, 0), "down": (0, 0)}, "relay: in = out + sum(drops), packets and bytes")
    total = relay["in"]["up"]["packets"] + relay["in"]["down"]["packets"]
    suite.check(total >= 1000000 or ROUNDS < 14, f"{total} datagrams went in")
    suite.check(len(workers) > 1 and relay["moves"] >= CLIENTS, f"sessions on workers {sorted(workers)}, {relay['moves']} moves")
    suite.check(relay["drops"]["window"]["up"]["packets"] > 0, f"windows stalled: {relay['drops']['window']['up']['packets']} datagrams held back")
    suite.check(lost["up"][0] > 1000 and lost["down"][0] > 1000, f"nft lost {lost} behind the relay")
    suite.equal(socket_drops(swarm.lab, "exit") + socket_drops(swarm.lab, "client"), 0, "no far socket overflowed")

    # Sums over all sessions, where nft's counters tell what was lost behind the relay.
    metered_up = sum(s["up"] for s in sessions.values())
    metered_down = sum(s["down"] for s in sessions.values())
    received_down = sum(c["received_bytes"] for c in clients)
    sent_up, sent_down = sum(c["sent_bytes"] for c in clients), exit_["sent_bytes"]
    print(f"     up:   client sent {sent_up}, relay metered {metered_up}, exit received {exit_['bytes']}, lost behind the relay {lost['up'][1]}")
    print(f"     down: exit sent {sent_down}, relay metered {metered_down}, clients received {received_down}, lost behind the relay {lost['down'][1]}")
    free = relay["unanswered"] * INITIATION
    suite.equal(metered_up + free - exit_["bytes"] - lost["up"][1], 0, f"up: metered + {free} of unanswered initiations - received - lost = 0 bytes")
    suite.equal(metered_down - received_down - lost["down"][1], 0, "down: metered - received - lost = 0 bytes")
    suite.equal(metered_up + free, relay["out"]["up"]["bytes"], "what sessions metered up is what the relay sent up, but for unanswered initiations")
    suite.equal(metered_down, relay["out"]["down"]["bytes"], "what sessions metered down is what the relay sent down")
    suite.equal(sum(c["bad_receipts"] for c in clients), 0, "no receipt was ever wrong")


suite.run(main)
