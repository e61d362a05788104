#!/usr/bin/env python3
"""Silence towards strangers: no first byte and no size draws an answer; under a flood no answer is longer than what it
answers; and strangers by the hundred thousand cost no memory."""
import base64
import hashlib
import json
import os
import pathlib
import random
import socket
import struct
import sys
import time

from lab import Lab, Suite
from nodes import BUILD, PORT, Node
from rig import Rig

SIZES = sorted({0, 1, 2, 3, 4, 5, 7, 8, 12, 15, 16, 17, 31, 32, 33, 39, 40, 41, 48, 56, 63, 64, 65, 91, 92, 93, 96, 128, 147, 148, 149,
                160, 256, 512, 576, 1024, 1199, 1200, 1201, 1280, 1400, 1452, 1472, 1500})
SPOOFED, FLOOD, GROWTH_KIB = 100000, 4000, 512
COOKIE = 64
INITIATION, BIND, ANSWER = 17, 21, 23


# ---- the sender, run as `test_silence.py send MODE ADDRESS CONTROL_KEY` inside a namespace ----
def initiation(control):
    """Right as far as anybody can tell without the private key: type, length and mac1."""
    key = hashlib.blake2b(b"mac1----" + control, digest_size=32).digest()
    body = bytes([INITIATION, 0, 0, 0]) + os.urandom(112)
    return body + hashlib.blake2b(body, key=key, digest_size=16).digest() + bytes(16)


def checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def spoof(to, payload, number):
    """An IPv4 datagram with a source of its own for each number."""
    source = bytes([10, 77, 1, 3 + number % 250])
    udp = struct.pack(">HHHH", 1024 + number // 250 % 60000, PORT, 8 + len(payload), 0) + payload
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xffff, 0, 64, socket.IPPROTO_UDP, 0) + source + socket.inet_aton(to)
    return header[:10] + struct.pack(">H", checksum(header)) + header[12:] + udp


def send(mode, address, control):
    control = bytes.fromhex(control)
    if mode == "spoofed":
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        first = int(sys.argv[5])
        kinds = [initiation(control) for _ in range(64)] + [bytes([k, 0, 0, 0]) + os.urandom(60) for k in (BIND, ANSWER)] * 16 + [
            bytes([k, 0, 0, 0]) + os.urandom(n - 4) for k, n in ((4, 128), (1, 148), (2, 92), (20, 200))] * 8
        for i in range(first, first + int(sys.argv[6])):
            raw.sendto(spoof(address, kinds[i % len(kinds)], i), (address, 0))
            if i % 500 == 0:
                time.sleep(.005)
        return
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((address, PORT))
    if mode == "bytes":
        rng = random.Random(1)
        todo = [(bytes([first]) + (bytes(3) + rng.randbytes(size) if i % 2 else rng.randbytes(size + 3)))[:size - 1] if size else b""
                for first in range(256) for size in SIZES for i in (0, 1)]
    else:
        todo = [initiation(control) for _ in range(FLOOD)]
    for i, datagram in enumerate(todo):
        try:
            s.send(datagram)
        except ConnectionRefusedError:
            pass
        if i % 100 == 0:
            time.sleep(.01)


# ---- the test ----
def control_key(node):
    text = [line for line in node.descriptor.read_text().splitlines() if line.startswith("culvert-node-1 ")][0].split()[1]
    return base64.b64decode(text)[64:96].hex()


def count(ns):
    """{name: (packets, bytes of UDP payload)} of the counters in a namespace."""
    text = lab.run(ns, ["nft", "-j", "list", "counters"]).stdout
    found = [c["counter"] for c in json.loads(text)["nftables"] if "counter" in c]
    overhead = {"4": 28, "6": 48}
    return {c["name"]: (c["packets"], c["bytes"] - overhead[c["name"][-1]] * c["packets"]) for c in found}


def counters(ns, mine, far):
    lab.nft(ns, "table inet seen {\n" + "".join(f"counter {way}{v} {{ }}\n" for way in ("in", "out") for v in "46") + f"""
	chain input {{ type filter hook input priority 0; meta nfproto ipv4 udp {far} {PORT} counter name in4; meta nfproto ipv6 udp {far} {PORT} counter name in6; }}
	chain output {{ type filter hook output priority 0; meta nfproto ipv4 udp {mine} {PORT} counter name out4; meta nfproto ipv6 udp {mine} {PORT} counter name out6; }}
}}""")


def sender(mode, address, node, *words):
    lab.run("client", [sys.executable, __file__, "send", mode, address, control_key(node), *words], timeout=120)
    time.sleep(.3)


def delta(ns, since):
    return {name: tuple(a - b for a, b in zip(value, since[name])) for name, value in count(ns).items()}


def memory(pids):
    """Resident KiB of both processes."""
    return sum(int(line.split()[1]) for pid in pids for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def starts():
    exit_.start()
    relay.start()
    counters("client", "dport", "sport")
    counters("relay", "sport", "dport")


def silent():
    for node, addresses in ((relay, ("10.77.2.2", "fd77:2::2")), (exit_, ("10.77.3.2",))):
        for address in addresses:
            before = count("client")
            sender("bytes", address, node)
            got = delta("client", before)
            v = "6" if ":" in address else "4"
            suite.check(got[f"out{v}"][0] >= 256 * len(SIZES) * 2, f"{node.name} at {address}: 256 first bytes x {len(SIZES)} sizes x 2 = {got[f'out{v}'][0]} datagrams")
            suite.equal((got["in4"], got["in6"]), ((0, 0), (0, 0)), "answered by 0 bytes")


def flooded():
    for node, address in ((relay, "10.77.2.2"), (exit_, "10.77.3.2")):
        before = count("client")
        sender("flood", address, node)
        got = delta("client", before)
        packets, size = got["in4"]
        suite.check(packets > 0 and size == packets * COOKIE, f"{node.name} under a flood of {got['out4'][0]} initiations with right mac1: {packets} cookies")
        suite.check(size <= got["out4"][1], f"{size} bytes answer {got['out4'][1]}")


def strangers():
    pids = (relay.process.pid, relay.status()["ledger_pid"])
    sender("spoofed", "10.77.2.2", relay, 0, 5000)
    before, held = count("relay"), memory(pids)
    sender("spoofed", "10.77.2.2", relay, 5000, SPOOFED)
    got, grown = delta("relay", before), memory(pids) - held
    suite.check(got["in4"][0] >= SPOOFED, f"{got['in4'][0]} datagrams from as many sources arrived")
    suite.check(grown <= GROWTH_KIB, f"the relay grew by {grown} KiB")
    suite.check(got["out4"][1] <= got["in4"][1], f"it answered {got['in4'][1]} bytes by {got['out4'][1]}")
    suite.equal(relay.balance(), {"up": (0, 0), "down": (0, 0)}, "in = out + drops")
    suite.equal(relay.status()["relay"]["sessions"], 0, "no session came of it")
    rig = Rig(lab.argv("client", [BUILD / "tests/net/rig_clients", relay.descriptor, exit_.descriptor, f"10.77.2.2:{PORT}", 1]))
    lab.processes.append(rig.process)
    suite.check(rig.ask(f"try {exit_.descriptor}")["granted"], "an honest client gets its session")
    rig.close()


if __name__ == "__main__":
    if sys.argv[1:2] == ["send"]:
        send(*sys.argv[2:5])
    else:
        lab, suite = Lab("silence"), Suite()
        exit_ = Node(lab, "exit", "exit", 3)
        relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor]})
        suite.run(starts, silent, flooded, strangers)
