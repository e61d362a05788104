#!/usr/bin/env python3
"""The books read back: with 2 % loss on every link the counts of relay, exit and client are reconciled to the byte, every credit is
derived from its bytes, and a month's earnings are what the credits say."""
import base64
import csv
import io
import json
import time

from lab import Lab, Suite, wait_for
from nodes import PORT, WG_PORT, Client, Node, download, web
from swarm import socket_drops

MIB = 1 << 20
SIZE = 6 * MIB
PRICE = (1 << 30) // 3  # a third of a micro-credit a byte: every amount is rounded
FREE = 1 * MIB
INITIATION = 148

FEE_PPM, FEE_ACCOUNT = 50000, base64.b64encode(bytes(range(32))).decode()

lab, suite = Lab("reports"), Suite()
price = {"FreeAllowance": FREE, "RelayPerGiB": PRICE, "ExitPerGiB": PRICE, "ReceiptEvery": "1 s"}
fee = {"FeePpm": FEE_PPM, "FeeAccount": FEE_ACCOUNT}
exit_ = Node(lab, "exit", "exit", 3, Price=price, Credits=fee)
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price=price, Credits=fee)
client = Client(lab, relay, exit_)
sessions = {}
payer = ""


def lose():
    """2 % of the transport datagrams on each of the four ways, counted by nft; handshakes pass."""
    ways = {"up1": f"ip saddr 10.77.1.0/24 udp dport {PORT}", "down1": f"ip daddr 10.77.1.0/24 udp sport {PORT}",
            "up2": f"ip daddr 10.77.3.2 udp dport {WG_PORT}", "down2": f"ip saddr 10.77.3.2 udp sport {WG_PORT}"}
    counters = "\n".join(f"	counter {way} {{ }}" for way in ways)
    rules = "\n".join(f"		{match} @th,64,8 0x04 numgen random mod 100 < 2 counter name {way} drop" for way, match in ways.items())
    lab.nft("core", f"table inet loss {{\n{counters}\n	chain forward {{\n		type filter hook forward priority 0;\n{rules}\n	}}\n}}\n")


def lost():
    """What nft dropped, as UDP payload."""
    found = {c["counter"]["name"]: c["counter"] for c in json.loads(lab.run("core", ["nft", "-j", "list", "counters"]).stdout)["nftables"] if "counter" in c}
    return {way: c["bytes"] - 28 * c["packets"] for way, c in found.items()}


def report(who, verb, session):
    """A verb's JSON, and that it found nothing wrong."""
    done = who.culvert(verb, session, "--json", "--socket", who.socket, check=False)
    suite.equal((done.returncode, done.stderr), (0, ""), f"{who.name}: culvert {verb} adds up")
    return json.loads(done.stdout)


def rows_of(answer):
    """{name: (up, down)} after checking by hand what the command says it checked."""
    up = down = None
    for row in answer["rows"]:
        if "count" in row:
            if up is not None and (up, down) != (row["up"], row["down"]):
                suite.check(False, f"lines before {row['count']} come to {up}, {down}: {answer['rows']}")
            up, down = row["up"], row["down"]
        else:
            up, down = up + row["up"], down + row["down"]
    return {row.get("count") or row.get("line"): (row["up"], row["down"]) for row in answer["rows"]}


def in_words(who, verb, session):
    done = who.culvert(verb, session, "--socket", who.socket, check=False)
    suite.check(done.returncode == 0 and done.stdout.endswith("adds up\n"), f"{who.name}: culvert {verb}, in words: {done.stdout if done.returncode else 'adds up'}")
    return done.stdout


def traffic():
    global payer
    digest = web(lab, size=SIZE)
    # Little is under way at a time: only nft loses anything, not a full queue of a busy machine.
    lab.sysctl("client", "net.ipv4.tcp_rmem=4096 65536 131072")
    exit_.start()
    relay.start()
    client.up()
    status = client.status()
    payer = status["id"]
    for node, row in ((relay, status["relay"]), (exit_, status["exit"])):
        node.culvert("credits", "grant", payer, 40 * MIB, "--socket", node.socket)
        sessions[node.name] = row["session"]
    lose()
    suite.equal(download(lab, "http://10.77.4.2/blob", timeout=240)[0], digest, f"{SIZE} bytes arrive through 2 % loss")
    in_words(client, "reconcile", sessions["relay"])


def rest():
    """Nothing moves, and all is signed: until the next keepalive."""
    state, since = None, 0.0

    def quiet():
        nonlocal state, since
        now = client.api(f"/v1/reconcile?session={sessions['relay']}")["rows"], lost()
        if now != state or any(r.get("line") == "since_receipt" for r in now[0]):
            state, since = now, time.monotonic()
        return time.monotonic() - since > 2.5
    wait_for(quiet, "rest", 120, step=0.5)


def answers():
    """What all three say at one moment: asked again if a datagram came between the first question and the last."""
    for _ in range(8):
        rest()
        first = lost(), client.ask("reconcile", sessions["relay"])
        asked = {node: report(node, "reconcile", sessions[node.name]) for node in (relay, exit_)}
        by_exit, status = report(client, "reconcile", sessions["exit"]), relay.status()
        full = sum(socket_drops(lab, ns) for ns in ("client", "relay", "exit"))
        last = lost(), report(client, "reconcile", sessions["relay"])
        if first == last:
            break
    return *last, by_exit, asked, status, full


def adds_up_at_rest():
    gone, answer, by_exit, asked, status, full = answers()
    rows = rows_of(answer)
    unanswered = status["relay"]["unanswered"] * INITIATION
    suite.check(all(gone.values()), f"nft lost {gone}, unanswered initiations {unanswered}")
    suite.equal((answer["pair"], answer["live"]), (sessions["exit"], True), "the relay's session knows the exit's")
    lines = {"up1": -rows.get("before_relay", (0, 0))[0] - unanswered, "down1": rows.get("behind_relay", (0, 0))[1],
             "up2": -rows.get("relay_to_exit", (0, 0))[0] - rows.get("only_exit_bills", (0, 0))[0], "down2": rows.get("exit_to_relay", (0, 0))[1]}
    # What a node turned away it names itself.
    for node, up, down in ((relay, "up1", "down2"), (exit_, "up2", None)):
        for row in asked[node]["rows"]:
            if row.get("line") and row["line"] != "unanswered":
                gone[up] -= row["up"]
                if down:
                    gone[down] -= row["down"]
    if full:  # datagrams that queues threw away, of sizes nobody knows
        suite.check(all(lines[way] >= gone[way] for way in gone), f"the lines have at least what nft dropped ({full} more were lost at full queues): {lines}")
    else:
        suite.equal(lines, gone, "the lines of loss are what nft dropped on each way and the nodes turned away, to the byte")
    suite.equal(set(rows) - {"device", "relay", "exit", "before_relay", "behind_relay", "relay_to_exit", "exit_to_relay", "only_exit_bills"}, set(), "no other difference")
    suite.equal(rows_of(by_exit), rows, "asked by the exit's session: the same")
    for node in (relay, exit_):
        own = rows_of(asked[node])
        suite.equal((own["carried"], own["issued"], own["signed"]), (rows[node.name],) * 3, f"the {node.name}'s own count is what it claims")
        suite.check(own["heard"][0] >= own["carried"][0], f"the {node.name} heard {own['heard']}, carried {own['carried']}")
        print(in_words(node, "reconcile", sessions[node.name]))
    print(in_words(client, "reconcile", sessions["relay"]))


def explained():
    for who, names in ((relay, ["relay"]), (exit_, ["exit"]), (client, ["relay", "exit"])):
        for name in names:
            said = report(who, "explain", sessions[name])
            total = said["bytes_up"] + said["bytes_down"]
            suite.equal(said["amount"], -(-total * PRICE // (1 << 30)), f"{who.name}: {total} bytes of the {name} come to {said['amount']}")
            print(in_words(who, "explain", sessions[name]))
    suite.equal(relay.culvert("explain", "00" * 16, "--socket", relay.socket, check=False).returncode, 5, "a session nobody knows is not found")


def ended():
    """The same of ended sessions, out of the books alone."""
    before = rows_of(client.api(f"/v1/reconcile?session={sessions['relay']}"))
    client.stop()
    for node in (relay, exit_):
        rows = rows_of(report(node, "reconcile", sessions[node.name]))
        suite.equal(rows["carried"], rows["signed"], f"the {node.name}'s books: all is signed")
        said = report(node, "explain", sessions[node.name])
        suite.equal((said["state"], said["posted"], said["hold"]), ("closed", said["amount"], said["amount"]), f"the {node.name} posted all of it, and holds nothing more")
        suite.check({"free", "user"} <= {b["source"].split(":")[0] for b in said["bookings"] if b["source"]}, "out of allowance and grant")
    client.up()
    rows = rows_of(report(client, "reconcile", sessions["relay"]))
    suite.check(rows["device"][0] >= before["device"][0] and rows["relay"] >= before["relay"], "an ended session is reconciled by what was written down")
    suite.equal({n for n in rows if n in ("claimed_unsigned", "beyond_sent")}, set(), "nothing is claimed that was not signed")
    client.stop()


def earnings():
    for node in (relay, exit_):
        text = node.culvert("earnings", "--since", "yesterday", "--csv", "--socket", node.socket).stdout
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        sums = {k: sum(int(r[k]) for r in rows) for k in ("bytes", "amount", "allowance", "fee", "earned")}
        (credit,) = node.ask("credits")["credits"]
        suite.equal({r["payer"] for r in rows}, {payer}, f"{node.name}: {len(rows)} lines of CSV, of one payer")
        suite.equal((sums["bytes"], sums["amount"]), (credit["bytes"], credit["earned"]), "bytes and amount are what credits says")
        suite.equal((sums["allowance"], sums["fee"] + sums["earned"]), (FREE, sums["amount"] - FREE), "the allowance pays first and never pays out")
        paid = sums["amount"] - FREE
        suite.check(0 <= paid * FEE_PPM // 10**6 - sums["fee"] <= len(sessions), f"a fee of {sums['fee']} of {paid}")
        answer = node.ask("earnings", "--per", "payer")
        suite.equal({k: answer["total"][k] for k in sums}, sums, "JSON has the same total")
        suite.equal(node.ask("earnings", "--since", "2d", "--until", "2d")["total"]["amount"], 0, "nothing two days ago")


suite.run(traffic, adds_up_at_rest, explained, ended, earnings)
