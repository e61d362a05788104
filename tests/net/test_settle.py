#!/usr/bin/env python3
"""Traffic is settled: batches anybody can check, made again byte for byte, whole through kill -9, and pruned when their time is over."""
import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

from lab import Lab, Suite, wait_for
from nodes import TOP, Client, Node, download, web

MIB = 1 << 20
PRICE = 1 << 30  # a micro-credit per byte
FREE = 2 * MIB
ROUNDS = 6

lab, suite = Lab("settle"), Suite()
exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": 10**12, "ExitPerGiB": PRICE})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]},
             Price={"FreeAllowance": FREE, "RelayPerGiB": PRICE, "ReceiptEvery": "1 s"})
batches = relay.dir / "data/settlement"
client = None
payer = ""
sums = {}


def settle(*words, node=relay, check=True):
    return node.culvert("settle", *words, "--socket", node.socket, check=check)


def verify(*words, check=True):
    return relay.culvert("settle", "verify", "--node", relay.status()["id"], *words, batches, check=check)


def epochs():
    return relay.ask("settle", "list")["epochs"]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def traffic():
    """More of it, until the relay has more signed than before."""
    before = signed()
    download(lab, "http://10.77.4.2/blob")
    wait_for(lambda: signed() > before, "a receipt to be signed")


def signed():
    return sum(c["bytes"] for c in relay.ask("credits")["credits"])


def nothing_yet():
    global client, payer
    web(lab, size=3 * MIB)
    exit_.start()
    relay.start()
    done = settle()
    suite.check("nothing was signed yet" in done.stdout and not batches.exists(), f"nothing to settle: {done.stdout.strip()}")
    suite.equal(relay.ask("settle")["new"], False, "and in JSON")
    client = Client(lab, relay, exit_).up()
    payer = client.status()["id"]
    relay.culvert("credits", "grant", payer, 1 << 40, "--socket", relay.socket)


def two_epochs():
    traffic()
    words = settle().stdout
    suite.check("epoch-000001.batch" in words and "root" in words, f"the first epoch: {' '.join(words.split())}")
    traffic()
    row = relay.ask("settle")
    suite.equal((row["epoch"], row["new"], row["state"]), (2, True, "done"), "the second, in JSON")
    suite.equal(row["path"], str(batches / "epoch-000002.batch"), "names its file")
    suite.equal(sorted(p.name for p in batches.iterdir()), ["epoch-000001.batch", "epoch-000002.batch"], "and nothing else is there")
    done = verify("--json")
    files = json.loads(done.stdout)["batches"]
    suite.equal([(f["epoch"], f["root"]) for f in files], [(e["epoch"], e["root"]) for e in epochs()], "verify and list agree on the roots")
    suite.equal(files[1]["spent"], files[1]["earned"], "as much spent as earned")
    credit = next(c for c in relay.ask("credits")["credits"] if c["peer"] == payer)
    suite.check(0 < files[1]["spent"] <= credit["bytes"] - FREE, f"what was paid, not given: {files[1]['spent']} of {credit['bytes']}")
    for path in batches.iterdir():
        sums[path.name] = digest(path)


def two_at_once():
    traffic()
    both = [lab.start("relay", [relay_culvert(), "settle", "--socket", relay.socket], log=f"settle{i}.log") for i in (1, 2)]
    codes = [p.wait(30) for p in both]
    words = [(lab.dir / f"settle{i}.log").read_text() for i in (1, 2)]
    suite.check(0 in codes and all(c == 0 or "already" in w for c, w in zip(codes, words)), f"two at once: {codes} {[w.splitlines()[:1] for w in words]}")
    suite.equal([e["state"] for e in epochs()], ["done"] * len(epochs()), "all are done")
    verify()


def relay_culvert():
    from nodes import BUILD
    return BUILD / "culvert"


def killed():
    """At a random moment of the settling, with traffic going on."""
    for _ in range(ROUNDS):
        traffic()
        ledger = relay.status()["ledger_pid"]
        relay.api("/v1/settle", {})
        time.sleep(random.random() * 0.04)
        os.kill(ledger, signal.SIGKILL)
        relay.process.wait(10)
        names = sorted(p.name for p in batches.glob("*.batch"))
        done = relay.culvert("settle", "verify", batches, check=False)
        suite.equal(done.returncode, 0, f"whatever is there after kill -9 is whole: {names[-1]} {done.stderr.strip()}")
        relay.start()
        wait_for(lambda: all(e["state"] == "done" for e in epochs()), "the epoch to be finished", 20)
        wait_for(client.connected, "the client to come back", 40)
    verify()
    rows = epochs()
    suite.equal(sorted(p.name for p in batches.iterdir()), [f"epoch-{e['epoch']:06}.batch" for e in rows], "a file for each epoch, and no other")
    settle()
    # Every receipt both sides signed is in exactly one batch: the chain's rules forbid two, the count forbids none.
    count = sum(f["receipts"] for f in json.loads(verify("--json").stdout)["batches"])
    relay.stop()
    with sqlite3.connect(f"file:{relay.dir}/data/ledger.db?mode=ro", uri=True) as db:
        suite.equal(count, db.execute("SELECT count(*) FROM receipt r JOIN session s ON s.id = r.session WHERE r.seq <= s.settled_seq").fetchone()[0],
                    "every settled receipt is in one batch")
    relay.start()
    wait_for(client.connected, "the client to come back", 40)


def again():
    (batches / "epoch-000001.batch").unlink()
    (batches / "epoch-000002.batch").write_bytes(b"rubbish")
    settle("export", "1")
    suite.equal(digest(batches / "epoch-000001.batch"), sums["epoch-000001.batch"], "a lost file is made again, byte for byte")
    copy = lab.dir / "copy.batch"
    settle("export", "2", "-o", str(copy))
    suite.equal((digest(batches / "epoch-000002.batch"), digest(copy)), (sums["epoch-000002.batch"],) * 2, "so is a damaged one, and its copy")
    done = settle("export", "2", "-o", str(copy), check=False)
    suite.check(done.returncode == 1 and "nothing is overwritten" in done.stderr, f"over nothing: {done.stderr.strip()}")
    done = settle("export", "99", check=False)
    suite.check(done.returncode == 5 and "no such epoch" in done.stderr, f"no such epoch: {done.stderr.strip()}")
    verify()


def in_the_way():
    """Where batches go is no directory for a while: it is said what and where, and asking again is enough."""
    rows, aside = len(epochs()), batches.with_name("aside")
    traffic()
    batches.rename(aside)
    batches.write_text("")
    done = settle(check=False)
    suite.check(done.returncode == 1 and f"{batches}: Not a directory; mend" in done.stderr, f"a file in the way: {done.stderr.strip()}")
    batches.unlink()
    aside.rename(batches)
    settle(check=False)
    wait_for(lambda: epochs()[-1]["state"] == "done", "the epoch to be written")
    suite.equal((len(epochs()), "error" in epochs()[-1]), (rows + 1, False), "it is made good without a restart")
    verify()


def pruned():
    rows = len(epochs())
    relay.stop()
    with sqlite3.connect(relay.dir / "data/ledger.db") as db:
        db.execute("UPDATE epoch SET hour = hour - 72")
        before, heads = db.execute("SELECT count(*), count(DISTINCT session) FROM receipt").fetchone()
    relay.options["Credits"]["Retention"] = "2"
    relay.start()
    wait_for(lambda: all(e["state"] == "pruned" for e in epochs()), "the epochs to be pruned")
    wait_for(client.connected, "the client to come back", 40)
    traffic()
    done = settle("export", "1", check=False)
    suite.check(done.returncode == 1 and "of its receipts are not in the books any more" in done.stderr, f"what is gone: {done.stderr.strip()}")
    suite.equal(digest(batches / "epoch-000001.batch"), sums["epoch-000001.batch"], "the batch stays")
    suite.equal(relay.ask("settle")["epoch"], rows + 1, "settling goes on")
    verify()
    files = sorted(batches.glob("*.batch"))
    words = [sys.executable, TOP / "tests/verify_batch.py", "--node", relay.status()["id"], *files]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    suite.check(done.returncode == 0 and done.stdout.count(": good: ") == len(files), f"by the other verifier: {done.stdout[-200:]}{done.stderr}")
    relay.stop()
    with sqlite3.connect(f"file:{relay.dir}/data/ledger.db?mode=ro", uri=True) as db:
        left = db.execute("SELECT count(*) FROM receipt r JOIN settled x ON x.session = r.session AND r.seq BETWEEN x.first AND x.last "
                          "WHERE x.epoch <= ?", (rows,)).fetchone()[0]
    suite.check(left <= heads < before, f"{before} receipts before, of which {left} are left in {heads} sessions")


suite.run(nothing_yet, two_epochs, two_at_once, killed, again, in_the_way, pruned)
