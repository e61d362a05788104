#!/usr/bin/env python3
"""A client that stops signing gets exactly its window and not one byte more; once it signs, forwarding goes on within 50 ms."""
# Runs alone: 50 ms are a promise.
from lab import Suite
from swarm import Swarm

WINDOW = 1 << 20
SIZE = 1424

suite = Suite()


def case(workers):
    swarm = Swarm(f"window{workers}", Relay={"Workers": workers}, Price={"WindowStart": WINDOW, "WindowCap": WINDOW})
    try:
        swarm.relay.start()
        rig = swarm.clients()
        suite.equal(rig.ask("open 1")["ready"], 1, f"{workers} workers: client up")
        rig.ask("sign off")
        rig.ask(f"send 2000 {SIZE}")
        swarm.quiet(rig)
        (session,) = swarm.relay.ask("sessions")["sessions"]
        carried = session["up"] + session["down"]
        # What remains is smaller than a datagram of this size: fill it to the byte with the smallest, then nothing passes.
        rig.ask("send 200 32")
        swarm.quiet(rig)
        (session,) = swarm.relay.ask("sessions")["sessions"]
        full = session["up"] + session["down"]
        suite.check(WINDOW - 32 < full <= WINDOW, f"{workers} workers: {full} of {WINDOW} bytes went through ({carried} in large datagrams), none beyond")
        suite.check(carried > WINDOW - SIZE, f"{workers} workers: and no large datagram that still fitted was held back")
        exit_ = swarm.exit.ask("stats")
        suite.equal(exit_["bytes"] + rig.ask("stats")["clients"][0]["received_bytes"], full, f"{workers} workers: the far sockets saw exactly that")
        suite.equal(swarm.relay.balance(), {"up": (0, 0), "down": (0, 0)}, f"{workers} workers: in = out + drops")
        swarm.exit.ask("reflect 1")
        took = [rig.ask("resume 160")]
        # What one signature's time on a busy machine's disk was is not the relay's; what three need is.
        while took[-1]["resumed"] and took[-1]["ms"] > 50 and len(took) < 3:
            rig.ask("sign off")
            rig.ask(f"send 2000 {SIZE}")
            swarm.quiet(rig)
            took.append(rig.ask("resume 160"))
        suite.check(took[-1]["resumed"] and took[-1]["ms"] <= 50, f"{workers} workers: forwarding resumed {[t['ms'] for t in took]} ms after the signature")
    finally:
        swarm.lab.close()


def several_sessions():
    """Parallel sessions of one payer win nothing: their unsigned bytes together stay within one window."""
    swarm = Swarm("shares", Relay={"Workers": 2}, Price={"WindowStart": WINDOW, "WindowCap": WINDOW})
    try:
        swarm.relay.start()
        rigs = [swarm.clients(1) for _ in range(3)]
        for rig in rigs:
            suite.equal(rig.ask("open 1")["ready"], 1, "a session of the same payer")
        for rig in rigs:
            rig.ask("sign off")
        for rig in rigs:
            rig.ask(f"send 2000 {SIZE}")
        swarm.quiet(*rigs)
        sessions = swarm.relay.ask("sessions")["sessions"]
        unsigned = sum(s["up"] + s["down"] - s["signed"] for s in sessions)
        suite.equal(len(sessions), 3, "three sessions")
        suite.check(WINDOW - 3 * SIZE < unsigned <= WINDOW, f"together {unsigned} unsigned bytes of a window of {WINDOW}")
    finally:
        swarm.lab.close()


def one():
    case(1)


def two():
    case(2)


def four():
    case(4)


suite.run(one, two, four, several_sessions)
