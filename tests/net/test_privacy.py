#!/usr/bin/env python3
"""After transfers, moves and a dispute, at log level debug: no address of the client, no destination, no WireGuard key of its
and no private key in any log, database, export or API answer, and no time finer than an hour in the books."""
import base64
import ipaddress
import json
import os
import pathlib
import signal
import struct
import subprocess
import time

from lab import Lab, Suite, wait_for
from nodes import PORT, Client, Node, download, verify_offline, web

SIZE = 6 << 20
CLIENT4, CLIENT6 = ["10.77.1.2", "10.77.1.3", "10.77.1.4"], ["fd77:1::2"]
DESTINATIONS = ["10.77.4.2", "fd77:4::2"]
PAGES = ("status", "sessions", "credits", "receipts", "terms", "disputes", "descriptor")

FLOOD = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', 7000))
to = s.recvfrom(99)[1]
for i in range(4000):
    s.sendto(bytes(1200), to)
    time.sleep(.0005)
"""

lab, suite = Lab("privacy"), Suite()
price = {"FreeAllowance": 10**6, "ReceiptEvery": "1 s", "LossConstant": "1 MiB", "LossShare": "0 ppm"}
exit_ = Node(lab, "exit", "exit", 3, Price=price)
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]}, Price=price)
client = None
began = time.time()
answers, written = {}, {}


def forms(address):
    """An address as text, and packed in both orders, as bytes and in hex."""
    ip = ipaddress.ip_address(address)
    packed = {ip.packed, ip.packed[::-1]}
    texts = {ip.compressed.encode(), ip.exploded.encode()}
    return texts | packed | {p.hex().encode() for p in packed} | {p.hex().upper().encode() for p in packed}


def key_forms(raw):
    return {raw, base64.b64encode(raw), raw.hex().encode(), raw.hex().upper().encode()}


def private_keys(program):
    return {p: base64.b64decode(p.read_text()) for p in program.dir.glob("*.key")}


def wg_public(program):
    text = subprocess.run(["wg", "pubkey"], input=(program.dir / "wg.key").read_text(), text=True, capture_output=True, check=True).stdout
    return base64.b64decode(text)


def books():
    """Every file of the databases as it is now, -wal and -shm too."""
    return {str(p): p.read_bytes() for program in (relay, exit_, client) for p in (program.dir / "data").glob("*.db*")}


def logs():
    return [lab.dir / f"{program.name}.log" for program in (relay, exit_, client)]


def keep(when):
    written.update({f"{name} {when}": data for name, data in books().items()})
    for program in (relay, exit_, client):
        for page in PAGES:
            answers[f"{program.name} {page} {when}"] = json.dumps(program.api(f"/v1/{page}")).encode()
        answers[f"{program.name} status in words {when}"] = program.culvert("status", "--socket", program.socket, check=False).stdout.encode()
        answers[f"{program.name} sessions in words {when}"] = program.culvert("sessions", "--socket", program.socket, check=False).stdout.encode()


def lives():
    """What people do, then a dispute: more than the loss allowance is lost behind the relay's meter."""
    global client
    digest = web(lab, size=SIZE)
    lab.start("web", ["python3", "-c", FLOOD], log="flood.log")
    exit_.start()
    relay.start()
    client = Client(lab, relay, exit_).up()
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "a transfer")
    suite.equal(download(lab, "http://[fd77:4::2]/blob")[0], digest, "one by IPv6")
    for i in (2, 3):
        moves = relay.status()["relay"]["moves"]
        lab.move("client", i, i + 1)
        wait_for(lambda moves=moves: relay.status()["relay"]["moves"] > moves, "the move", 15)
    suite.equal(download(lab, "http://10.77.4.2/blob")[0], digest, "one after two moves")
    keep("in life")
    lab.nft("core", f"""
table inet loss {{
	chain forward {{
		type filter hook forward priority 0;
		ip saddr 10.77.2.2 ip daddr 10.77.1.0/24 udp sport {PORT} @th,64,8 0x04 drop
	}}
}}
""")
    lab.run("client", ["python3", "-c", "import socket;socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b'go',('10.77.4.2',7000))"])
    wait_for(lambda: client.status()["state"] == "disputed" and relay.status()["relay"]["disputes"], "a dispute", 20)
    suite.check(True, "a dispute")
    keep("after the dispute")


def search(places, needles, what):
    hits = [(name, needle) for name, data in places.items() for needle in needles if needle in data]
    suite.equal(hits, [], f"{what}: {len(needles)} patterns in {len(places)} places, {sum(map(len, places.values()))} bytes")


def nothing_written():
    exports = {}
    for program in (relay, exit_):
        status, _, path = verify_offline(program)
        suite.equal(status, 0, f"{program.name}'s export verifies")
        exports[f"{program.name} export"] = path.read_bytes()
    os.kill(relay.status()["ledger_pid"], signal.SIGKILL)  # nothing tidies up
    client.stop()
    exit_.stop()
    written.update(books())
    suite.check(any("-wal" in name and data for name, data in written.items()), f"books: {sorted({pathlib.Path(n).name for n in written})}")
    log = {str(p): p.read_bytes() for p in logs()}
    suite.check(all(data.count(b"\n") > 0 for data in log.values()), f"logs of {[data.count(bytes([10])) for data in log.values()]} lines")
    everything = {**written, **log, **exports, **answers}
    # Does the search see at all? Ids are public and are there.
    own = json.loads(answers["client status in life"])["id"]
    ids = base64.b64decode(own) if len(own) == 44 else bytes.fromhex(own)
    suite.check(any(ids in data for data in written.values()) and any(own.encode() in d for n, d in answers.items() if n.startswith("relay")), "the payer's id is found")
    suite.check(all(n in b"".join(forms("10.77.1.2")) for n in (b"10.77.1.2", bytes([10, 77, 1, 2]), bytes([2, 1, 77, 10]), b"0a4d0102")), "patterns in every form")

    search(everything, set().union(*map(forms, CLIENT4 + CLIENT6)), "addresses of the client")
    search(everything, set().union(*map(forms, DESTINATIONS)), "destinations")
    search({**log, **answers, **exports}, key_forms(wg_public(client)), "the client's WireGuard key in logs, API, exports")
    search(written, key_forms(wg_public(client)), "and in the books")
    secrets = {k: v for program in (relay, exit_, client) for k, v in private_keys(program).items()}
    files = {str(p): p.read_bytes() for p in lab.dir.rglob("*") if p.is_file() and p not in secrets and p.name != "blob"}
    search({**files, **answers}, set().union(*map(key_forms, secrets.values())), f"{len(secrets)} private keys anywhere but in their files")
    seconds = range(int(began) - 2, int(time.time()) + 3)
    search(written, {f(t) for t in seconds if t % 3600 for f in (struct.Struct("<I").pack, struct.Struct(">I").pack, lambda t: str(t).encode())},
           "times of this test, by the second, in the books")


suite.run(lives, nothing_written)
