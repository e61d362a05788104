#!/usr/bin/env python3
"""An issuer pays for a payer: no allowance, no credit; a signed grant is added, traffic flows until it is used up, another one brings
it back. The same line is good once, and nowhere else."""
import base64
import os
import sqlite3
import sys
import time

from lab import Lab, Suite, wait_for
from nodes import BUILD, Client, Node, download, key, web

sys.path.insert(0, str(__import__("pathlib").Path(__file__).resolve().parents[1] / "vectors"))
import ed25519  # noqa: E402

MIB = 1 << 20
PRICE = 1 << 30  # a micro-credit per byte
SIZE = 2 * MIB

lab, suite = Lab("grants"), Suite()
seed = os.urandom(32)
ISSUER = base64.b64encode(ed25519.public(seed)).decode()
none = {"FreeAllowance": 0}
exit_ = Node(lab, "exit", "exit", 3, Price=none | {"ExitPerGiB": 0}, Credits={"Issuer": ISSUER})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price=none | {"RelayPerGiB": PRICE}, Credits={"Issuer": ISSUER})
client = None
payer = digest = ""
lines = []


def grant(amount, *words, at=None, for_=None):
    """What the issuer does, on a machine of its own: one line."""
    line = client.culvert("credit", "grant", for_ or payer, amount, "--relay", at or relay.descriptor, "--key", lab.dir / "issuer.key", *words).stdout
    return line


def add(line, check=True):
    path = lab.dir / f"grant{len(lines)}"
    path.write_text(line)
    lines.append(line)
    return client.culvert("credit", "add", path, "--config", client.config, check=check)


def row(node):
    return next((c for c in node.ask("credits")["credits"] if c["peer"] == payer), {"balance": 0, "granted": 0})


def state():
    return client.status()["state"]


def said():
    return [p["said"] for p in client.ask("credit", "list")["promises"]]


def out_of_credit():
    """Never had any: the relay refuses, and the client says why."""
    global client, payer, digest
    digest = web(lab, size=SIZE)
    key(lab.dir / "issuer.key", seed)
    exit_.start()
    relay.start()
    client = Client(lab, relay, exit_)
    client.start()
    wait_for(lambda: client.answers() and state() == "out of credit", "the client to be out of credit", 20)
    payer = client.status()["id"]
    suite.check(client.status()["relay"].get("trouble"), f"status says why: {client.status()['relay'].get('trouble')}")
    suite.equal(relay.ask("credits")["credits"], [], "who only asks leaves nothing behind")


def bad_ones_are_refused():
    other = base64.b64encode(os.urandom(32)).decode()
    done = add(grant(5, for_=other), check=False)
    suite.check(done.returncode == 8 and "another payer" in done.stderr, f"a grant for another payer is not kept: {done.stderr.strip()}")
    good = grant(5)
    raw = bytearray(base64.b64decode(good.split()[1]))
    raw[130] ^= 1
    done = add(f"culvert-grant-1 {base64.b64encode(raw).decode()}\n", check=False)
    suite.check(done.returncode == 8 and "not signed" in done.stderr, f"an altered one is not kept: {done.stderr.strip()}")
    key(lab.dir / "stranger.key")
    stranger = client.culvert("credit", "grant", payer, 9 * MIB, "--relay", relay.descriptor, "--key", lab.dir / "stranger.key").stdout
    add(stranger)
    wait_for(lambda: "refused" in said(), "the relay to refuse a stranger's grant", 15)
    add(grant(9 * MIB, at=exit_.descriptor))
    time.sleep(6)
    suite.equal((state(), row(relay)["balance"]), ("out of credit", 0), "neither a stranger's nor one for another node helps")
    suite.equal(relay.ask("credit", "list")["promises"], [], "the relay took nothing")


def one_is_shown_by_itself():
    done = add(grant(5 * MIB, "--expires", 3))
    suite.check("shows it there by itself" in done.stdout, done.stdout.strip())
    start = time.monotonic()
    wait_for(lambda: state() == "connected", f"the client to connect ({client.log()[-600:]})", 30)
    suite.check(True, f"connected {time.monotonic() - start:.1f} s after the grant was added")
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "traffic flows")
    suite.check("taken" in said(), f"culvert credit list on the client: {said()}")
    taken = relay.ask("credit", "list")["promises"]
    suite.equal([(p["issuer"], p["payer"], p["limit"]) for p in taken], [(ISSUER, payer, 5 * MIB)], "and on the relay")
    words = relay.culvert("credit", "list", "--socket", relay.socket).stdout
    suite.check(ISSUER in words and "5.242880" in words, "in words too")


def used_up():
    for _ in range(3):
        lab.run("client", ["curl", "-s", "-o", "/dev/null", "--max-time", "6", "http://10.77.4.2/blob"], check=False)
        if state() == "out of credit":
            break
    wait_for(lambda: state() == "out of credit", "the grant to be used up", 20)
    suite.check(0 <= row(relay)["balance"] < MIB, f"balance {row(relay)['balance']}")
    # The very same line in another file: known, and nothing moves.
    again = client.dir / "data/grants/again.grant"
    again.write_text(lines[-1])
    before = row(relay)["granted"]
    time.sleep(5)
    suite.equal((state(), row(relay)["granted"]), ("out of credit", before), "the same line again moves nothing")
    again.unlink()


def another_brings_it_back():
    lab.run("client", [BUILD / "culvert", "credit", "add", "-", "--config", client.config], input=grant(20 * MIB))
    start = time.monotonic()
    wait_for(lambda: row(relay)["granted"] > 10 * MIB, "the relay to take the second grant", 15)
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, f"traffic flows again, {time.monotonic() - start:.1f} s after")
    wait_for(lambda: state() == "connected", "the client to be connected", 15)
    suite.equal(sum(s in ("taken", "taken before") for s in said()), 3, f"what the nodes said: {said()}")


def restarted():
    """Neither end remembers less: what was taken once is taken before."""
    client.stop()
    before = row(relay)
    relay.stop()
    relay.start()
    client.up()
    time.sleep(1)
    after = row(relay)
    suite.check(before["balance"] - MIB < after["balance"] <= before["balance"], f"credit after both were restarted: {after['balance']} of {before['balance']}")
    suite.equal(len(relay.ask("credit", "list")["promises"]), 2, "no promise was taken twice")
    suite.check(said().count("taken before") == 3 and "taken" not in said(), f"shown again, and known: {said()}")
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "and it pays")


def adds_up():
    client.stop()
    relay.stop()
    with sqlite3.connect(f"file:{relay.dir}/data/ledger.db?mode=ro", uri=True) as db:
        balances = dict(db.execute("SELECT name, balance FROM account"))
        issued = [b for n, b in balances.items() if n.startswith("sys:issuer:")]
    suite.equal(sum(balances.values()), 0, "all balances sum to 0")
    suite.equal(issued, [-25 * MIB], "the issuer owes what it promised")


suite.run(out_of_credit, bad_ones_are_refused, one_is_shown_by_itself, used_up, another_brings_it_back, restarted, adds_up)
