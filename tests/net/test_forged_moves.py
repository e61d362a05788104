#!/usr/bin/env python3
"""100,000 forged moves move nothing: data from other addresses with right indices, replayed BINDs and ANSWERs, another
session's key, old counters."""
from lab import Suite
from swarm import Swarm

EACH = 25000

suite = Suite()
swarm = Swarm("forged", Relay={"Workers": 2})


def main():
    swarm.relay.start()
    swarm.exit.ask("reflect 1")
    rig = swarm.clients()
    suite.equal(rig.ask("open 2")["ready"], 2, "a victim, and an attacker with a session of its own")
    suite.equal(rig.ask("rebind")["ready"], 2, "a true move works")
    before = swarm.relay.status()["relay"]
    for kind in ("data", "replay", "key", "old"):
        rig.ask("paced 50 160 5000")
        answer = rig.ask(f"attack {kind} {EACH}")
        suite.equal((answer["forged"], answer["replies"]), (EACH, 0), f"{EACH} x {kind}: silence")
        swarm.quiet(rig)  # a queue that the forged ones fill loses honest ones: not what is shown here
        rig.ask("paced 50 160 5000")
    swarm.quiet(rig)
    after = swarm.relay.status()["relay"]
    suite.equal(after["moves"], before["moves"], "the relay counts no move")
    stats = rig.ask("stats")["clients"]
    for name, client in zip(("victim", "attacker"), stats):
        suite.equal(client["sent_packets"] - client["received_packets"], 0,
                    f"every datagram of the {name} was answered to the {name} ({client['received_packets']})")
    sent = sum(c["sent_bytes"] for c in stats)
    suite.equal(sum(s["up"] for s in swarm.relay.ask("sessions")["sessions"]), sent, "nobody was billed for forged data")
    suite.check(after["drops"]["unknown_client"]["up"]["packets"] >= EACH, "forged data dropped by name: unknown_client")
    suite.equal(swarm.relay.balance(after), {"up": (0, 0), "down": (0, 0)}, "relay: in = out + drops")


suite.run(main)
