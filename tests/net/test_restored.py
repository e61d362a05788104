#!/usr/bin/env python3
"""Both nodes get an older copy of their books back, as after a disk died: what clients signed since is shown to them and taken over, no
number is ever used for two bodies, and the credits are what they would have been."""
import os
import pathlib
import shutil
import signal
import sqlite3

from lab import Lab, Suite, wait_for
from nodes import Client, Node, download, web

MIB = 1 << 20
PRICE = 1 << 30  # a micro-credit per byte
SIZE = 3 * MIB
GRANTED = 400 * MIB

lab, suite = Lab("restored"), Suite()
exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": 0, "ExitPerGiB": PRICE})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price={"FreeAllowance": 0, "RelayPerGiB": PRICE})
nodes = (relay, exit_)
client = None
payer = digest = ""
FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm")


def books(node, name):
    return lab.dir / f"{node.name}-{name}"


def copy(node, name):
    """The database and its log as they lie there: like a snapshot of the disk."""
    books(node, name).mkdir()
    for file in FILES:
        if (node.dir / "data" / file).exists():
            shutil.copy2(node.dir / "data" / file, books(node, name) / file)


def ledger(node):
    """Its ledger's pid."""
    children = pathlib.Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    found = [int(pid) for pid in children if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "culvert-ledger"]
    suite.equal(len(found), 1, f"{node.name} has a ledger")
    return found[0]


def snapshot(node, name):
    """The same of a node that runs and goes on: its ledger stands still for a moment."""
    pid = ledger(node)
    os.kill(pid, signal.SIGSTOP)
    copy(node, name)
    os.kill(pid, signal.SIGCONT)


def restore(node, name):
    for file in FILES:
        (node.dir / "data" / file).unlink(missing_ok=True)
        if (books(node, name) / file).exists():
            shutil.copy2(books(node, name) / file, node.dir / "data" / file)


def rows(path, sql):
    """A query over a database and its log, in a copy of both."""
    where = lab.dir / "look"
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir()
    for file in path.parent.glob(path.name + "*"):
        shutil.copy2(file, where / file.name)
    with sqlite3.connect(where / path.name) as db:
        return db.execute(sql).fetchall()



def wallet():
    return client.dir / "data/wallet.db"


def signed(node):
    """{session: (seq, amount)} of what the client signed for a node."""
    found = rows(wallet(), "SELECT s.key, s.seq, s.amount, s.role FROM session s WHERE s.seq > 0")
    role = 1 if node is relay else 2
    return {bytes(k): (seq, amount) for k, seq, amount, r in found if r == role}


def known(path):
    return {bytes(k): (seq, amount) for k, seq, amount in rows(path, "SELECT key, seq, amount FROM session WHERE seq > 0")}


def row(node):
    return next((c for c in node.ask("credits")["credits"] if c["peer"] == payer), None)


def sessions():
    status = client.status()
    return [status[role].get("session") for role in ("relay", "exit")]


def connected_anew(before):
    wait_for(lambda: not set(before) & set(sessions()) and client.connected(), "new sessions with both", 60)


def ended(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def kill():
    """Nobody may be at the files any more: the ledger commits what it had and goes a moment after its node."""
    ledgers = [ledger(node) for node in nodes]
    for node in nodes:
        node.kill()
    for pid in ledgers:
        wait_for(lambda pid=pid: ended(pid), f"ledger {pid} to end")


def start():
    for node in (exit_, relay):
        node.start()


def copied_in_mid_transfer():
    """The copy has sessions open, and receipts that wait for a signature."""
    global client, payer, digest
    digest = web(lab, size=SIZE)
    start()
    client = Client(lab, relay, exit_)
    client.start()
    wait_for(lambda: client.answers() and client.status()["id"], "the agent", 15)
    payer = client.status()["id"]
    for node in nodes:
        node.culvert("credits", "grant", payer, GRANTED, "--socket", node.socket)
    wait_for(client.connected, "the client to connect", 30)
    fetch = lab.start("client", ["curl", "-s", "-o", "/dev/null", "--max-time", "60", "--limit-rate", "1M", "http://10.77.4.2/blob"], log="fetch.log")
    for node in nodes:
        wait_for(lambda node=node: (row(node) or {"earned": 0})["earned"] > 0, f"{node.name}: receipts", 20)
        snapshot(node, "old")
    suite.equal(fetch.wait(60), 0, "the transfer goes on to its end")
    for node in nodes:
        suite.check(len(known(books(node, "old") / "ledger.db")) == 1, f"{node.name}: the copy knows a session with receipts")


def life_goes_on():
    """A crash, with a debt that is signed; and sessions the copy has not heard of."""
    before = sessions()
    kill()
    start()
    connected_anew(before)
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "after a crash it goes on")
    client.stop()
    client.up()
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "in a third session too")
    for node, session in zip(nodes, sessions()):
        wait_for(lambda node=node, session=session: bytes.fromhex(session) in signed(node), f"{node.name}: a receipt of the third session")
        old, now = known(books(node, "old") / "ledger.db"), signed(node)
        suite.check(all(now[k][0] > old[k][0] for k in old), f"{node.name}: the client has a newer receipt of the session in the copy: {[(old[k][0], now[k][0]) for k in old]}")
        suite.check(len(set(now) - set(old)) >= 2, f"{node.name}: and {len(set(now) - set(old))} sessions it has never heard of")


def restored():
    before = sessions()
    kill()
    for node in nodes:
        copy(node, "lost")
        restore(node, "old")
    start()
    connected_anew(before)
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "the client goes on by itself")
    for node in nodes:
        wait_for(lambda node=node: row(node)["debt"] == 0, f"{node.name}: no debt to be left", 20)
    client.stop()
    for node in nodes:
        r = row(node)
        total = sum(amount for _, amount in signed(node).values())
        suite.equal((r["balance"], r["earned"], r["bytes"]), (GRANTED - total, total, total), f"{node.name}: balance, earned and bytes are what the client signed")


def no_number_for_two_bodies():
    bodies, sources = {}, 0
    for node in nodes:
        node.stop()
    places = [wallet()] + [books(n, c) / "ledger.db" for n in nodes for c in ("old", "lost")] + [n.dir / "data/ledger.db" for n in nodes]
    for path in places:
        found = [bytes(b) for (b,) in rows(path, "SELECT body FROM receipt")]
        if "ledger" in path.name:
            found += [bytes(b) for (b,) in rows(path, "SELECT offer FROM session WHERE offer NOT NULL")]
        for body in found:
            sources += 1
            bodies.setdefault(body[32:152], set()).add(body[:216])  # session, parties, terms, number
    suite.check(all(len(b) == 1 for b in bodies.values()), f"{len(bodies)} numbers in {sources} places, one body each")
    for node in nodes:
        mine, theirs = known(node.dir / "data/ledger.db"), signed(node)
        suite.equal(mine, theirs, f"{node.name}: every session's newest receipt is the client's")
        suite.equal(rows(node.dir / "data/ledger.db", "SELECT count(*) FROM evidence"), [(0,)], "nobody contradicted itself")
    suite.equal(rows(wallet(), "SELECT count(*) FROM evidence"), [(0,)], "and the client disputed nothing")


suite.run(copied_in_mid_transfer, life_goes_on, restored, no_number_for_two_bodies)
