#!/usr/bin/env python3
"""All at once, for what goes wrong only then (and for what the thread sanitizer sees only then): sessions at full speed both ways
with small windows, which move between workers, shake hands, end and open all the time; reloads that change rates and add and remove exits; queries.
No session is lost, no receipt is wrong, every byte that was sent is billed to one of them, and in = out + drops, exactly."""
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time

from lab import Suite, wait_for
from nodes import BUILD, PORT, verify_offline
from rig import Rig
from swarm import Swarm

# Runs alone: at full speed.
SECONDS = int(os.environ.get("LOAD_SECONDS", "20"))
RIGS, CLIENTS, SIZE = 2, 20, 1200
INITIATION = 148
QUERIES = ("credits?after=0", "receipts?after=0", "epochs?after=0", "earnings?after=0", "promises", "disputes?after=0")
# Most of the time something waits for its turn; the last leave all of it through.
RATES = (("20 Mbit/s", "400 kbit/s"), ("none", "2 Mbit/s"), ("40 Mbit/s", "none"), ("1 Gbit/s", "1 Gbit/s"))

suite = Suite()
swarm = Swarm("load", Relay={"Workers": 4, "Rate": "1 Gbit/s", "PeerRate": "100 Mbit/s", "MonthlyCap": "1000 TiB"}, Price={"WindowStart": "256 KiB", "WindowCap": "256 KiB", "ReceiptEvery": "1 s"})
others = [swarm.lab.dir / f"other{i}.node" for i in range(3)]
tried = []
asked = reloads = 0


def churn(rig, answers):
    answers.append(rig.ask(f"churn {SECONDS * 1000} {SIZE}"))


def stray(rig, churning):
    """Now and then a session towards an exit that comes and goes."""
    while any(t.is_alive() for t in churning):
        tried.append(rig.ask(f"try {others[0]}")["granted"])
        rig.ask("wait 500")


def configure(turn):
    """Something else each time: rates, and exits that come and go; what only a restart takes is named, a mistake changes nothing."""
    relay = swarm.relay.options["Relay"]
    relay["Rate"], relay["PeerRate"] = RATES[turn % len(RATES)]
    relay["MonthlyCap"] = f"{1000 + turn % 2} TiB"
    relay["Exit"] = [swarm.descriptor] + [p for i, p in enumerate(others) if turn >> i & 1]
    swarm.relay.options["Price"]["RelayPerGiB"] = 1000 + turn % 2
    swarm.relay.options["Log"]["Level"] = ("debug", "info", "warn")[turn % 3]
    swarm.relay.options["Node"]["AllowRange"] = ("10.77.0.0/16, fd77::/16", "10.0.0.0/8, fd77::/16", "nonsense")[turn % 7 % 3]


class Api(http.client.HTTPConnection):
    """Without a program in between: as often as it goes is what is wanted."""

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(str(swarm.relay.socket))


def api(path, body=None):
    connection = Api("culvert")
    try:
        connection.request("GET" if body is None else "POST", path, body)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def busy(churning):
    """What an operator does, as often as it goes, while the rigs are at it."""
    global asked, reloads
    turn = 0
    while any(t.is_alive() for t in churning):
        configure(turn)
        swarm.relay.write()
        swarm.relay.process.send_signal(signal.SIGHUP)
        reloads += 1
        sessions = api("/v1/sessions")["sessions"]
        one = sessions[turn % len(sessions)]["session"] if sessions else "00" * 16
        for path in (QUERIES[turn % len(QUERIES)], "status", f"reconcile?session={one}", f"explain?session={one}"):
            asked += "error" not in api(f"/v1/{path}")
        if turn % 16 == 4:
            api("/v1/settle", "{}")
        time.sleep(0.05)
        turn += 1


def pages(path, key):
    """Every row of a list of the API."""
    after, rows = 0, []
    while True:
        page = api(f"{path}?after={after}")
        rows += page[key]
        after = page.get("next") or 0
        if not after:
            return rows


def echoes(rig):
    """True when every living client has got something back since it was asked last."""
    before = [c["received_packets"] for c in rig.ask("stats")["clients"]]
    rig.ask("paced 8 200 2000")
    rig.ask("wait 300")
    after = [c["received_packets"] for c in rig.ask("stats")["clients"]]
    return all(b > a for a, b in list(zip(before, after))[-CLIENTS:])


def main():
    for i, path in enumerate(others):
        subprocess.run([BUILD / "tests/net/rig_exit", "-d", path, f"10.77.3.{10 + i}:51900"], check=True, timeout=10)
    swarm.relay.start()
    swarm.exit.ask("reflect 1")
    rigs = [swarm.clients(1 + 2000 * i) for i in range(RIGS)]
    lone = Rig(swarm.lab.argv("client", [BUILD / "tests/net/rig_clients", swarm.relay.descriptor, swarm.descriptor, f"10.77.2.2:{PORT}", "9000"]))
    swarm.lab.processes.append(lone.process)
    suite.equal([rig.ask(f"open {CLIENTS}")["ready"] for rig in rigs], [CLIENTS] * RIGS, f"{RIGS * CLIENTS} clients up")
    answers = []
    threads = [threading.Thread(target=churn, args=(rig, answers)) for rig in rigs]
    strays = threading.Thread(target=stray, args=(lone, threads))
    for thread in (*threads, strays):
        thread.start()
    busy(threads)
    strays.join()
    configure(len(RATES) - 1)
    swarm.relay.write()
    swarm.relay.process.send_signal(signal.SIGHUP)
    status = swarm.relay.status()["relay"]
    moves, opened = sum(a["moves"] for a in answers), sum(a["opened"] for a in answers)
    suite.check(len(answers) == RIGS and moves > 50 and opened >= 3, f"{moves} moves, {opened} sessions ended and others opened: {answers}")
    suite.check(asked >= 20 and reloads >= 5 and tried, f"{reloads} reloads, {asked} queries; of {len(tried)} strays {sum(tried)} were let in")
    suite.check(status["receipts_signed"] > 10 * SECONDS, f"{status['receipts_signed']} receipts signed meanwhile, {status['in']['up']['packets']} datagrams came up")
    workers = {s["worker"] for s in swarm.relay.ask("sessions")["sessions"]}
    waited = status["drops"]["queue"]
    suite.check(waited["up"]["packets"] > 0, f"what waited too long for its turn was dropped and counted: {waited}")
    suite.check(len(workers) > 2, f"on workers {sorted(workers)}")

    for rig in rigs:
        wait_for(lambda rig=rig: echoes(rig), "every session to carry both ways", 30)
    suite.check(True, "every session goes on, both ways")
    clients = [c for rig in rigs for c in rig.ask("stats")["clients"][-CLIENTS:]]
    known = {s["session"] for s in swarm.relay.ask("sessions")["sessions"]}
    suite.equal([c["session"] for c in clients if c["session"] not in known], [], "and the relay knows each of them")
    swarm.quiet(*rigs)
    suite.equal(swarm.relay.balance(), {"up": (0, 0), "down": (0, 0)}, "in = out + drops, packets and bytes, both ways")

    for rig in (*rigs, lone):
        rig.ask("close")
    wait_for(lambda: [rig.ask("wait 200") for rig in (*rigs, lone)] and not swarm.relay.ask("sessions")["sessions"], "all sessions to close", 60)
    for rig in (*rigs, lone):
        rig.ask("wait 500")
    relay = swarm.relay.status()["relay"]
    stats = [c for rig in (*rigs, lone) for c in rig.ask("stats")["clients"]]
    suite.equal(sum(c["bad_receipts"] for c in stats), 0, "no receipt was wrong")
    suite.equal((relay["receipts_signed"], relay["disputes"]), (relay["receipts_issued"], 0), f"all {relay['receipts_issued']} receipts were signed by both sides")
    suite.equal(swarm.relay.balance(relay), {"up": (0, 0), "down": (0, 0)}, "in = out + drops at the end")
    carried = sum(relay["out"][way]["bytes"] for way in ("up", "down")) - INITIATION * relay["unanswered"]
    suite.equal(sum(c["bytes"] for c in pages("/v1/credits", "credits")), carried, "what was sent on, whichever worker did it, is what was billed: no byte more or less")
    exit_ = swarm.exit.ask("stats")
    suite.check(exit_["bytes"] <= relay["out"]["up"]["bytes"], f"of {relay['out']['up']['bytes']} bytes up {exit_['bytes']} were read at the exit")
    code, output, _ = verify_offline(swarm.relay)
    suite.equal(code, 0, f"verified offline: {output.strip().splitlines()[-1] if output else ''}")
    suite.equal(swarm.relay.stop(), 0, "an orderly end (a sanitizer would have spoilt it)")


suite.run(main)
