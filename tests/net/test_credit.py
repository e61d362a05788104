#!/usr/bin/env python3
"""Credit runs out in mid-transfer: the transfer is held, not cut; a grant lets the same transfer finish; the books add up."""
import json
import sqlite3
import time

from lab import Lab, Suite, wait_for
from nodes import Client, Node, verify_offline, web

MIB = 1 << 20
SIZE = 24 * MIB
PRICE = 1 << 30  # a micro-credit per byte
RELAY_FREE, EXIT_FREE, POLLED = 6 * MIB, 12 * MIB, MIB
FETCH = ("import hashlib,sys,time,urllib.request\nh=hashlib.sha256();n=0\nr=urllib.request.urlopen(sys.argv[1],timeout=120)\n"
         "while b:=r.read(16384):\n h.update(b);n+=len(b);print(n,flush=True);time.sleep(.004)\nprint(h.hexdigest(),flush=True)")

lab, suite = Lab("credit"), Suite()
exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": EXIT_FREE, "ExitPerGiB": PRICE})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price={"FreeAllowance": RELAY_FREE, "RelayPerGiB": PRICE})
client = fetch = None
digest = payer = ""


def arrived():
    """What the transfer has so far, in bytes."""
    words = (lab.dir / "fetch.log").read_text().split()
    return max((int(w) for w in words if w.isdigit() and len(w) < 20), default=0)


def row(node):
    return next((c for c in node.ask("credits")["credits"] if c["peer"] == payer), None)


def held(below):
    """The transfer stands still: what has arrived when it does."""
    def still():
        seen = arrived()
        time.sleep(1.5)
        return seen if arrived() == seen and seen else None
    stood = wait_for(still, "the transfer to stand still", 30)
    suite.check(stood < below, f"held after {stood} bytes")
    suite.equal(fetch.poll(), None, "held, not cut")
    return stood


def runs_out_at_the_relay():
    global client, fetch, digest, payer
    digest = web(lab, size=SIZE)
    # An exit meters by polling: what flows in one interval is beyond its window. Little flows here.
    lab.sysctl("client", "net.ipv4.tcp_rmem=4096 65536 131072")
    exit_.start()
    relay.start()
    client = Client(lab, relay, exit_).up()
    payer = client.status()["id"]
    fetch = lab.start("client", ["python3", "-c", FETCH, "http://10.77.4.2/blob"], log="fetch.log")
    held(RELAY_FREE)
    status = wait_for(lambda: (s := client.status())["state"] == "out of credit" and s, "status to say so")
    suite.check("trouble" in status["relay"] and "credit" in status["relay"]["trouble"], f"status on the client: {status['relay'].get('trouble')}")
    words = client.culvert("status", "--socket", client.socket, check=False).stdout
    suite.check("out of credit" in words and status["relay"].get("trouble", "?") in words, "in words too")
    suite.check(row(relay)["balance"] >= 0, f"balance at the relay {row(relay)['balance']}")


def granted_by_the_relay():
    for _ in range(2):
        relay.culvert("credits", "grant", payer, 40 * MIB, "--key", "ab" * 16, "--socket", relay.socket)
    suite.equal(row(relay)["granted"], 40 * MIB, "the same grant twice counts once")
    done = relay.culvert("credits", "grant", payer, 41 * MIB, "--key", "ab" * 16, "--socket", relay.socket, check=False)
    suite.check(done.returncode != 0 and row(relay)["granted"] == 40 * MIB, f"the same key with another amount is refused: {done.stderr.strip()}")
    before, start = arrived(), time.monotonic()
    wait_for(lambda: arrived() > before, "the transfer to go on", 15)
    suite.check(True, f"it goes on {time.monotonic() - start:.1f} s after the grant")


def runs_out_at_the_exit():
    held(EXIT_FREE + POLLED)
    status = wait_for(lambda: (s := client.status())["state"] == "out of credit" and s, "status to say so")
    suite.check("credit" in status["exit"].get("trouble", ""), f"status on the client: {status['exit'].get('trouble')}")
    suite.check(row(exit_)["balance"] >= 0, f"balance at the exit {row(exit_)['balance']}")


def expired():
    """A promise that is over pays for nothing."""
    before = row(exit_)["balance"]
    answer = exit_.api("/v1/grants", {"payer": payer, "amount": 40 * MIB, "expires": int(time.time()) - 3600, "key": "cd" * 16})
    stood = arrived()
    time.sleep(2)
    suite.check(row(exit_)["balance"] == before and arrived() == stood, f"an expired grant does not count ({answer.get('error', 'taken, worth nothing')})")
    exit_.api("/v1/grants", {"payer": payer, "amount": 10, "expires": int(time.time()) + 3, "key": "ce" * 16})
    suite.equal(row(exit_)["balance"], before + 10, "one for two seconds counts")
    wait_for(lambda: row(exit_)["balance"] <= before, "it to expire", 10)
    suite.check(True, "and then does not")


def granted_by_the_exit():
    start = time.monotonic()
    exit_.culvert("credits", "grant", payer, 40 * MIB, "--socket", exit_.socket)
    suite.equal(fetch.wait(60), 0, "the same transfer ends well")
    suite.check(time.monotonic() - start < 20, f"{time.monotonic() - start:.1f} s after the grant")
    suite.equal((lab.dir / "fetch.log").read_text().split()[-1], digest, "and whole")
    suite.equal(client.status()["state"], "connected", "the client is connected")
    suite.equal(relay.balance(), {"up": (0, 0), "down": (0, 0)}, "relay: in = out + drops")


def adds_up():
    client.stop()
    spent = {}
    for node, free in ((relay, RELAY_FREE), (exit_, EXIT_FREE)):
        r = row(node)
        spent[node.name] = r["earned"]
        suite.check(r["earned"] == r["bytes"] > SIZE and r["debt"] == 0, f"{node.name} earned {r['earned']} for {r['bytes']} bytes")
        suite.equal(r["balance"], free + 40 * MIB - r["earned"], "its balance is what was promised less what was used")
        status, output, path = verify_offline(node)
        suite.equal(status, 0, f"{node.name}: {output.strip().splitlines()[-1]}")
        last = max(json.loads(line)["amount"] for line in path.read_text().splitlines() if '"receipt"' in line)
        suite.equal(last, r["earned"], "the last receipt says the same")
        node.stop()
        with sqlite3.connect(f"file:{node.dir}/data/ledger.db?mode=ro", uri=True) as db:
            balances = dict(db.execute("SELECT a.name, COALESCE(SUM(e.amount), 0) FROM account a LEFT JOIN entry e ON e.account = a.id GROUP BY a.id"))
        suite.equal((sum(balances.values()), [n for n, b in balances.items() if b < 0 and not n.startswith("sys:")]), (0, []),
                    f"{node.name}: entries sum to 0, and nobody but the system is below 0")


suite.run(runs_out_at_the_relay, granted_by_the_relay, runs_out_at_the_exit, expired, granted_by_the_exit, adds_up)
