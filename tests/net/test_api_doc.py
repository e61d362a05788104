#!/usr/bin/env python3
"""docs/api.md against the servers: every field it shows is in a real answer with the type shown, and the other way round."""
import json
import re

from lab import Lab, Suite, wait_for
from nodes import TOP, Client, Node

DOC = (TOP / "docs/api.md").read_text(encoding="utf-8")
FORMS = {"KEY": r"[A-Za-z0-9+/]{43}=", "HEX": r"[0-9a-f]{32}", "BASE64": r"[A-Za-z0-9+/]+={0,2}"}
# Named in the text instead of the example: they are not always there.
SOMETIMES = {"trouble", "error"}

lab, suite = Lab("apidoc"), Suite()
exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": 1000000, "ReceiptEvery": "1 s"})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor], "MonthlyCap": "1 TiB"}, Price={"FreeAllowance": 1000000, "ReceiptEvery": "1 s"})
client = Client(lab, relay, exit_)


def examples(heading):
    """The JSON objects of one section of the document."""
    start = DOC.index(f"\n## {heading}")
    section = DOC[start:].split("\n## ")[1]
    blocks = re.findall(r"(?:^    .*\n?)+", section, re.M)
    return [json.loads(block) for block in blocks if block.lstrip().startswith("{")]


def differences(shown, real, where=""):
    """What an answer has and the example lacks, what the example has and the answer lacks, and values of another kind."""
    if isinstance(shown, dict) and isinstance(real, dict):
        if where.endswith(".drops"):  # reasons are data: one of them is shown
            return [d for name, value in real.items() for d in differences(shown["window"], value, f"{where}.{name}")]
        found = [f"{where}.{name} is not documented" for name in sorted(real.keys() - shown.keys() - SOMETIMES)]
        found += [f"{where}.{name} is not in the answer" for name in sorted(shown.keys() - real.keys())]
        return found + [d for name in shown.keys() & real.keys() for d in differences(shown[name], real[name], f"{where}.{name}")]
    if isinstance(shown, list) and isinstance(real, list):
        if shown and isinstance(shown[0], str):
            return [] if set(real) <= set(shown) else [f"{where}: {real} is not of {shown}"]
        by_role = {row.get("role"): row for row in shown}
        found = [] if real else [f"{where}: the answer has no row"]
        return found + [d for row in real for d in differences(by_role.get(row.get("role"), shown[0]), row, f"{where}[{row.get('role', '')}]")]
    if type(shown) is not type(real):
        return [f"{where}: {shown!r} is shown, {real!r} is answered"]
    if isinstance(shown, str) and shown in FORMS and not re.fullmatch(FORMS[shown], real):
        return [f"{where}: {real!r} is no {shown}"]
    return []


def same(shown, real, what):
    found = differences(shown, real)
    suite.check(not found, f"{what}: " + ("as documented" if not found else "; ".join(found)))


def reports(examples):
    sessions = {relay: client.status()["relay"]["session"], exit_: client.status()["exit"]["session"]}
    node, agent = examples("GET /v1/explain")
    for who, session in sessions.items():
        same(node, who.api(f"/v1/explain?session={session}"), f"explain of the {who.name}")
        (shown,) = examples("GET /v1/bookings")
        bookings = wait_for(lambda who=who, session=session: (b := who.api(f"/v1/bookings?session={session}&after=0"))["bookings"] and b, "a booking")
        shown["bookings"][0].update(key="", account="", source="")
        same(shown, bookings, f"bookings of the {who.name}")
        suite.check(not who.api("/v1/explain?session=" + "00" * 16).get("session"), "a session nobody knows")
        agents, nodes = examples("GET /v1/reconcile")
        for documented, of in ((agents, client), (nodes, who)):
            real = of.api(f"/v1/reconcile?session={session}")
            # Which lines there are depends on what happened: each is documented, with numbers.
            names = [r.get("count") or r.get("line") for r in real.pop("rows")]
            suite.check(names and all(f"`{n}`" in DOC or f'"{n}"' in DOC or n in reasons() for n in names), f"reconcile: rows {names}")
            documented.pop("rows")
            same(documented, real, f"reconcile of the {of.name}")
    same(agent, client.api(f"/v1/explain?session={sessions[relay]}"), "explain of the agent")


def reasons():
    return re.findall(r"^\tX\((\w+), \"", (TOP / "relay/drops.h").read_text(encoding="utf-8"), re.M)


def answers():
    exit_.start()
    relay.start()
    client.up()
    lab.run("client", ["python3", "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
                       "for i in range(100): s.sendto(bytes(1300), ('10.64.0.1', 9))"])
    for who in (relay, exit_, client):
        wait_for(lambda who=who: who.api("/v1/receipts?after=0")["receipts"], f"a receipt at {who.name}", 40)
    node, agent = examples("GET /v1/status")
    real = relay.api("/v1/status")
    real["exit"] = exit_.api("/v1/status")["exit"]
    same(node, real, "status of nodes")
    same(agent, client.api("/v1/status"), "status of the agent")
    suite.equal(sorted(real["relay"]["drops"]), sorted(reasons()), "drops: every reason of relay/drops.h")
    node, agent = examples("GET /v1/sessions")
    for who in (relay, exit_):
        same(node, who.api("/v1/sessions"), f"sessions of the {who.name}")
    same(agent, client.api("/v1/sessions"), "sessions of the agent")
    for name in ("credits", "receipts", "terms"):
        (shown,) = examples(f"GET /v1/{name}")
        for who in (relay, exit_, client):
            same(shown, who.api(f"/v1/{name}?after=0"), f"{name} of the {who.name}")
    reports(examples)
    _, shown = examples("POST /v1/settle")
    for who in (relay, exit_):
        same(shown, who.api("/v1/settle", {}), f"settling the {who.name}")
        wait_for(lambda who=who: who.api("/v1/epochs?after=0")["epochs"][0]["state"] == "done", "the epoch to be done")
    (shown,) = examples("GET /v1/epochs")
    for who in (relay, exit_):
        same(shown, who.api("/v1/epochs?after=0"), f"epochs of the {who.name}")
    (shown,) = examples("GET /v1/descriptor")
    for who in (relay, exit_):
        same(shown, who.api("/v1/descriptor"), f"descriptor of the {who.name}")


def posts():
    body, answer = examples("POST /v1/grants")
    body.update(payer=client.api("/v1/status")["id"], key="05" * 16)
    same(answer, relay.api("/v1/grants", body), "grants: the documented body is taken, and the answer")
    (answer,) = examples("POST /v1/down")
    same(answer, client.api("/v1/down", {}), "down")
    client.process.wait(15)
    (shown,) = examples("GET /v1/earnings")
    for who in (relay, exit_):
        real = wait_for(lambda who=who: (e := who.api("/v1/earnings?after=0"))["earnings"] and e, f"earnings of the {who.name}")
        same(shown, real, f"earnings of the {who.name}")


suite.run(answers, posts)
