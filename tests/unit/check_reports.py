#!/usr/bin/env python3
"""culvert explain, reconcile and earnings against a daemon that lies: every number that is not what it must be is named."""
import copy
import csv
import datetime
import io
import json
import pathlib
import sys
import tempfile

import check_cli
from check_cli import Server, b64, check, expect, expect_json, paged, run, unhex

TERMS, RECEIPT = unhex("terms"), unhex("receipt")
PAYER, OTHER = b64(bytes([0x55]) * 32), b64(bytes([0x66]) * 32)
FEE = bytes([0x77]) * 32
SESSION = RECEIPT[32:48].hex()
PPM = 50000



def signed(top):
    """What is in the golden receipt, by the export that shows it."""
    path = top / "one.jsonl"
    server = Server(top / "export.sock")
    server.plan["/v1/status"] = {"schema": 1}
    server.plan["/v1/terms"] = paged("terms", [{"terms": b64(TERMS)}])
    server.plan["/v1/receipts"] = paged("receipts", [{"receipt": b64(RECEIPT)}])
    expect(0, ["receipts", "export", "-o", path, "--socket", top / "export.sock"])
    terms, receipt = map(json.loads, path.read_text().splitlines())
    server.shutdown()
    return terms, receipt


def legs(txn, key, size, hour=1763632800):
    """One booking: (account, source, amount)..."""
    return lambda *rows: [{"txn": txn, "key": key, "hour": hour, "bytes": size, "account": a, "source": s, "amount": n} for a, s, n in rows]


def books(top):
    """A session's books that add up: out of an allowance and a grant, posted twice, with a fee, the rest given back."""
    terms, r = signed(top)
    import base64
    node = "user:" + base64.b64decode(r["provider"]).hex()
    free, grant, fee = f"free:{'55' * 32}:2026-11", f"user:{'55' * 32}", f"user:{FEE.hex()}"
    amount, first, allowance = r["amount"], 5000019, 2000000  # so that the fee is not the sum of rounded parts
    held = amount + 1000
    one, two = f"hold:{SESSION}:3", f"hold:{SESSION}:4"
    paid = first - allowance
    fee1 = paid * PPM // 10**6
    fee2 = (amount - allowance) * PPM // 10**6 - fee1
    said = {"schema": 1, "session": SESSION, "role": r["role"], "state": "closed", "provider": r["provider"], "payer": r["payer"], "opened": 1763632800,
            "terms": b64(TERMS), "price": terms["price"], "receipt": b64(RECEIPT), "seq": r["seq"], "bytes_up": r["bytes_up"], "bytes_down": r["bytes_down"],
            "amount": amount, "offer": None, "counted": {"up": r["bytes_up"], "down": r["bytes_down"]},
            "hold": amount, "posted": amount, "paid": amount - allowance, "fee_ppm": PPM, "fee_account": b64(FEE)}
    bookings = (legs(1, f"hold:{SESSION}:0", 0)((free, "", -allowance), (one, free, allowance), (grant, "", allowance - held), (two, grant, held - allowance))
                + legs(5, f"pay:{SESSION}:{first}", 7)((one, free, -allowance), (two, grant, -paid), ("sys:given", "", allowance), (node, "", paid - fee1), (fee, "", fee1))
                + legs(6, f"pay:{SESSION}:{amount}", 7)((two, grant, first - amount), (node, "", amount - first - fee2), (fee, "", fee2))
                + legs(9, f"release:{SESSION}:0", 0)((two, grant, amount - held), (grant, "", held - amount)))
    return said, bookings


def test_explain(top, server, at):
    said, bookings = books(top)
    server.plan["/v1/explain"], server.plan["/v1/bookings"] = said, paged("bookings", bookings)
    explain = ["explain", SESSION, *at]
    shown = expect(0, explain, out="\nadds up\n")
    for part in (f"up {said['bytes_up']} + down {said['bytes_down']} = {said['bytes_up'] + said['bytes_down']}", f"rounded up: {said['amount']} micro-credits",
                 "+2000000 from free:", "2000000 of an allowance (never pays out)", f"floor(3000019 * {PPM} / 1000000) - floor(0 * {PPM} / 1000000) = 150000",
                 "-1000 back to user:", "of it 0 held and 0 short of credit"):
        check(part in shown, f"explain has no {part!r}: {shown}")
    answer = expect_json(0, ["explain", "--json", *explain[1:]], adds_up=True, wrong=[], amount=said["amount"])
    check(answer["bookings"] == bookings, "explain --json has the bookings")
    check(run("explain", "-q", *explain[1:]) == (0, "", ""), "explain -q is not quiet")

    def lie(what, line, change):
        s, b = copy.deepcopy(said), copy.deepcopy(bookings)
        change(s, b)
        server.plan["/v1/explain"], server.plan["/v1/bookings"] = s, paged("bookings", b)
        code, out, err = run(*map(str, explain))
        check(code == 1 and line in err and "\nadds up" not in out, f"a lie about {what} is not named {line!r}: {code} {err}")
        code, out, _ = run("explain", "--json", *map(str, explain[1:]))
        answer = json.loads(out)
        check(code == 1 and answer["adds_up"] is False and any(line in w for w in answer["wrong"]), f"nor in JSON: {answer['wrong']}")

    for key, line in (("seq", "1. bytes"), ("bytes_up", "1. bytes: up"), ("bytes_down", "1. bytes: down"), ("price", "2. amount: price"), ("amount", "2. amount"),
                      ("hold", "5. given back"), ("posted", "4. posted"), ("paid", "4. posted: of it paid"), ("fee_ppm", "4. posted")):
        for by in (1, -1):
            lie(f"{key} by {by}", line, lambda s, b, key=key, by=by: s.update({key: s[key] + by * (1000 if key == "fee_ppm" else 1)}))
    forged = bytearray(RECEIPT)
    forged[100] ^= 1
    lie("the receipt's bytes", "the receipt does not hold", lambda s, b: s.update(receipt=b64(bytes(forged))))
    forged_terms = bytearray(TERMS)
    forged_terms[90] ^= 1
    lie("the terms", "terms are not signed", lambda s, b: s.update(terms=b64(bytes(forged_terms))))
    lie("what was carried", "7. carried", lambda s, b: s["counted"].update(up=said["bytes_up"] - 1))
    for i, leg in enumerate(bookings):
        lie(f"leg {i}", f"booking {leg['key']}: its entries sum to 1", lambda s, b, i=i: b[i].update(amount=b[i]["amount"] + 1))
    lie("a posting's key", "4. posted", lambda s, b: [leg.update(key=leg["key"] + "1") for leg in b if leg["txn"] == 5])
    lie("who gets the fee", "4. posted", lambda s, b: (b[7].update(amount=b[7]["amount"] - 1), b[8].update(amount=b[8]["amount"] + 1)))
    lie("what of it was given", "4. posted", lambda s, b: (b[6].update(amount=b[6]["amount"] - 1), b[7].update(amount=b[7]["amount"] + 1)))
    lie("where a posting came from", "of an allowance came 0", lambda s, b: b[4].update(source=b[5]["source"]))
    lie("who was paid", "4. posted", lambda s, b: b[7].update(account="user:" + "99" * 32))
    lie("a hold left out", "5. given back", lambda s, b: b.__delitem__(slice(0, 4)))
    lie("a posting left out", "4. posted", lambda s, b: b.__delitem__(slice(9, 12)))
    lie("a posting twice", "4. posted", lambda s, b: b.extend(dict(leg, txn=77) for leg in bookings[9:12]))

    # Short of credit, and on a client.
    s = dict(said, hold=0, posted=0, paid=0)
    server.plan["/v1/explain"], server.plan["/v1/bookings"] = s, paged("bookings", [])
    expect(0, explain, out=f"of it 0 held and {said['amount']} short of credit")
    client = {k: v for k, v in said.items() if k not in ("hold", "posted", "paid", "fee_ppm", "fee_account")}
    server.plan["/v1/explain"] = client
    server.asked.clear()
    shown = expect(0, explain, out="3. What this device counted")
    check(not any("bookings" in str(a) for a in server.asked) and "adds up" in shown, f"a client has no bookings: {server.asked}")
    server.plan["/v1/explain"] = dict(client, counted={"up": said["bytes_up"] - 1, "down": said["bytes_down"]})
    expect(1, explain, err="3. counted: up")
    server.plan["/v1/explain"] = dict(client, counted={"up": said["bytes_up"], "down": 0})
    expect(1, explain, err="3. counted: down")
    server.plan["/v1/explain"] = dict(client, terms="AAAA")
    expect(1, explain, err="no terms or no receipt")
    server.plan["/v1/explain"] = None
    expect(5, explain, err="there is no such thing")
    expect(2, ["explain", *at], err="wants a session")
    expect(2, ["explain", "xyz", *at], err="32 hex digits")


def test_reconcile(server, at):
    rows = [{"count": "device", "up": 1000, "down": 5000}, {"line": "before_relay", "up": -20, "down": 0}, {"line": "behind_relay", "up": 0, "down": 60},
            {"count": "relay", "up": 980, "down": 5060}, {"line": "window", "up": -5, "down": 0}, {"count": "exit", "up": 975, "down": 5060}]
    answer = {"schema": 1, "session": SESSION, "role": "relay", "state": "open", "provider": PAYER, "payer": PAYER, "live": True, "pair": "ab" * 16, "rows": rows}
    server.plan["/v1/reconcile"] = answer
    reconcile = ["reconcile", SESSION, *at]
    shown = expect(0, reconcile, out="\nadds up\n")
    for part in ("this device counted", "lost before the relay", "-20", "+60", "dropped: window", "the exit claims", f"as {'ab' * 16}"):
        check(part in shown, f"reconcile has no {part!r}: {shown}")
    check(expect_json(0, ["reconcile", "--json", *reconcile[1:]]) == answer, "reconcile --json is not what the daemon said")
    check(run("reconcile", "-q", *reconcile[1:]) == (0, "", ""), "reconcile -q is not quiet")
    for i in range(len(rows)):
        for way in ("up", "down"):
            server.plan["/v1/reconcile"] = dict(answer, rows=[dict(r, **{way: r[way] + (i == j)}) for j, r in enumerate(rows)])
            code, out, err = run(*map(str, reconcile))
            named = "the relay claims" if i < 4 else "the exit claims"
            check(code == 1 and named in err and f" bytes {way}" in err and "adds up\n" not in out, f"a byte {way} in row {i} is on no line: {code} {err}")
            check(run("reconcile", "--json", *map(str, reconcile[1:]))[0] == 1, "nor in JSON")
    server.plan["/v1/reconcile"] = dict(answer, rows=[rows[0], {"line": "x", "up": 2**63 - 1, "down": 0}])
    expect(1, reconcile, err="does not add up")
    expect(2, ["reconcile", *at], err="wants a session")


def test_earnings(server, at):
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    day = int(today.timestamp())

    def row(back, payer, *numbers):
        return dict(zip(("day", "payer", "postings", "bytes", "amount", "allowance", "fee", "earned"), (day - 86400 * back, payer, 1, *numbers)))
    rows = [row(1, OTHER, 10, 100, 30, 3, 67), row(1, PAYER, 20, 200, 0, 10, 190), row(1, OTHER, 1, 1, 1, 0, 0), row(0, PAYER, 5, 50, 50, 0, 0)]
    server.plan["/v1/earnings"] = paged("earnings", rows)
    earnings = ["earnings", *at]
    server.asked.clear()
    shown = expect(0, earnings, out="DAY ")
    check(f"/v1/earnings?after=0&since={day - 30 * 86400}&until={day + 86400}" in server.asked, f"earnings asked {server.asked}")
    lines = shown.splitlines()
    check(len(lines) == 5 and lines[-1].startswith("total ") and "0.000351" in lines[-1] and lines[2].count(OTHER) == 1 and "0.000101" in lines[2], f"earnings: {shown}")
    answer = expect_json(0, [*earnings, "--json"], total={"postings": 4, "bytes": 36, "amount": 351, "allowance": 81, "fee": 13, "earned": 257})
    check([e["amount"] for e in answer["earnings"]] == [200, 101, 50], f"rows of one day and payer add up: {answer}")
    check([e["amount"] for e in expect_json(0, [*earnings, "--per", "day", "--json"])["earnings"]] == [301, 50], "--per day")
    check([(e["payer"], e["amount"]) for e in expect_json(0, [*earnings, "--per", "payer", "--json"])["earnings"]] == [(PAYER, 250), (OTHER, 101)], "--per payer")
    raw = check_cli.subprocess.run([check_cli.CULVERT, *map(str, earnings), "--csv"], capture_output=True, check=True, timeout=60).stdout
    check(raw.count(b"\r\n") == raw.count(b"\n") == 4, f"RFC 4180 ends lines with CRLF: {raw}")
    table = list(csv.reader(io.StringIO(raw.decode(), newline="")))
    check(table[0] == ["day", "payer", "bytes", "amount", "allowance", "fee", "earned"] and table[3] == [today.strftime("%Y-%m-%d"), PAYER, "5", "50", "50", "0", "0"], f"csv: {table}")
    for per, head in (("day", "day,bytes"), ("payer", "payer,bytes")):
        expect(0, [*earnings, "--csv", "--per", per], out=head)
    for since, until, want in (("today", "today", (0, 0)), ("yesterday", "yesterday", (1, 1)), ("7d", "today", (7, 0)), ("0d", None, (0, 0)),
                               ((today - datetime.timedelta(400)).strftime("%Y-%m-%d"), "2d", (400, 2))):
        server.asked.clear()
        expect(0, [*earnings, "--since", since, *(["--until", until] if until else [])])
        check(f"/v1/earnings?after=0&since={day - want[0] * 86400}&until={day - want[1] * 86400 + 86400}" in server.asked, f"--since {since} asked {server.asked}")
    for bad in ("tomorrow", "2026-02-30", "2026-1-1", "d", "-1d", "7", "7days", "20261120", "2026-11-20x", "99999999d", "1969-12-31", ""):
        expect(2, [*earnings, f"--since={bad}"])
    expect(2, [*earnings, "--since", "today", "--until", "yesterday"], err="--until is before --since")
    expect(2, [*earnings, "--per", "week"], err="--per is day or payer")
    expect(2, [*earnings, "--csv", "--json"], err="at once")
    expect(2, [*earnings, "now"], err="one word too many")
    server.plan["/v1/earnings"] = paged("earnings", [dict(rows[0], earned=68)])
    expect(1, earnings, err="do not add up")
    server.plan["/v1/earnings"] = paged("earnings", [row(0, PAYER, 0, 2**62, 0, 0, 2**62)] * 2)
    expect(1, earnings, err="do not add up")
    server.plan["/v1/earnings"] = paged("earnings", [])
    expect(0, earnings, out="nothing was posted")
    expect(0, [*earnings, "--csv"], out="day,payer,bytes")


def main():
    with tempfile.TemporaryDirectory(prefix="culvert-reports-") as name:
        top = pathlib.Path(name)
        server = Server(top / "api.sock")
        at = ["--socket", top / "api.sock"]
        test_explain(top, server, at)
        test_reconcile(server, at)
        test_earnings(server, at)
        server.shutdown()
    print(f"{check_cli.passed} passed, {check_cli.failed} failed")
    return 1 if check_cli.failed else 0


if __name__ == "__main__":
    sys.exit(main())
