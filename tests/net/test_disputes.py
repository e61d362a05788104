#!/usr/bin/env python3
"""A dispute between real programs: what the network loses behind the relay's meter is more than the client bears. Both sides
keep the evidence, anybody can check it, no address is in it, and the operator's forgiveness ends it."""
import json
import re
import subprocess

from lab import Lab, Suite, wait_for
from nodes import BUILD, PORT, TOP, Client, Node

FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 7000))
to = s.recvfrom(99)[1]
for i in range(4000):
    s.sendto(bytes(1200), to)
    time.sleep(.0005)
"""
ASK = "import socket;socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b'go',('10.77.4.2',7000))"

lab, suite = Lab("disputes"), Suite()
price = {"FreeAllowance": 10**6, "ReceiptEvery": "1 s", "LossConstant": "64 KiB", "LossShare": "0 ppm"}
exit_ = Node(lab, "exit", "exit", 3, Price=price)
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price=price)
client = Client(lab, relay, exit_)


def dispute():
    lab.start("web", ["python3", "-c", FLOOD], log="flood.log")
    exit_.start()
    relay.start()
    client.up()
    suite.equal([p.api("/v1/disputes")["disputes"] for p in (relay, client)], [[], []], "no dispute at first")
    lab.nft("core", f"""
table inet loss {{
	chain forward {{
		type filter hook forward priority 0;
		ip saddr 10.77.2.2 ip daddr 10.77.1.0/24 udp sport {PORT} @th,64,8 0x04 drop
	}}
}}
""")
    lab.run("client", ["python3", "-c", ASK])
    wait_for(lambda: client.status()["state"] == "disputed" and relay.status()["relay"]["disputes"], "a dispute", 40)


def evidence():
    section = (TOP / "docs/api.md").read_text(encoding="utf-8").split("\n## GET /v1/disputes")[1].split("\n## ")[0]
    (shown,) = json.loads("".join(re.findall(r"^    .*\n", section, re.M)))["disputes"]
    (row,) = relay.api("/v1/disputes?after=0")["disputes"]
    session = row["session"]  # the exit's, on the same path, may be in dispute as well
    for program in (relay, client):
        (row,) = program.api(f"/v1/disputes?after=0&session={session}")["disputes"]
        suite.equal({k: type(v) for k, v in row.items()}, {k: type(v) for k, v in shown.items()}, f"{program.name}: a row as documented")
        suite.equal((row["evidence"], row["state"], row["proves"]), ("overcharge", "frozen", "claim"), f"{program.name}: an overcharge, claimed")
        file = program.dir / "disputes.jsonl"
        program.culvert("disputes", "--session", session, "--export", file, "--socket", program.socket)
        done = subprocess.run([str(BUILD / "culvert"), "receipts", "verify", str(file)], text=True, capture_output=True, check=False)
        suite.check(done.returncode == 0 and "0 proofs, 1 claims" in done.stdout, f"{program.name}'s export: {done.stdout}{done.stderr}")
        suite.check("a claim, not a proof" in done.stdout, f"{program.name}: it is said what it is")
        shown_text = program.culvert("disputes", "-v", "--socket", program.socket).stdout
        suite.check("overcharge" in shown_text and row["session"] in shown_text, f"{program.name}: culvert disputes shows it")
    ours, theirs = ((program.dir / "disputes.jsonl").read_text() for program in (client, relay))
    keys = ("first", "terms", "counted_up", "counted_down")
    suite.equal([json.loads(ours)[k] for k in keys], [json.loads(theirs)[k] for k in keys], "both sides kept the same")
    database = client.dir / "data/wallet.db"
    client.stop()
    suite.equal(client.culvert("disputes", "--session", session, "--export", "-", "--database", database).stdout, ours, "the wallet's file, without an agent")


def forgiveness():
    (row,) = relay.api("/v1/disputes")["disputes"]
    debt = relay.api("/v1/credits?after=0")["credits"][0]["debt"]
    suite.check(debt > 0, f"a debt of {debt} bytes")
    answer = relay.api("/v1/disputes/forgive", {"session": "00" * 16})
    suite.check("no such session" in answer.get("error", ""), f"another session: {answer}")
    answer = relay.api("/v1/disputes/forgive", {"session": "zz"})
    suite.check("32 hex digits" in answer.get("error", ""), f"no session: {answer}")
    done = relay.culvert("disputes", "forgive", row["session"], "--socket", relay.socket)
    suite.check("forgave" in done.stdout, f"culvert disputes forgive: {done.stdout}")
    suite.equal(relay.api("/v1/credits?after=0")["credits"][0]["debt"], 0, "the debt is gone")
    (row,) = relay.api("/v1/disputes")["disputes"]
    suite.equal((row["state"], row["proves"]), ("closed", "claim"), "the evidence is not")
    answer = relay.api("/v1/disputes/forgive", {"session": row["session"]})
    suite.check("not frozen" in answer.get("error", ""), f"once is enough: {answer}")


suite.run(dispute, evidence, forgiveness)
