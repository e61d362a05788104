#!/usr/bin/env python3
"""No open relay: an exit at a special address, in whatever form it is written, is refused at start, by `culvert check`, on
SIGHUP and when a client asks for it, and not one datagram leaves towards it."""
import ipaddress
import json
import signal
import subprocess

from lab import Lab, Suite, wait_for
from nodes import BUILD, PORT, Node
from rig import Rig

PLAIN4 = """0.0.0.1 10.0.0.1 10.77.1.2 10.77.4.2 10.255.255.254 100.64.0.1 100.127.255.254 127.0.0.1 127.255.255.254 169.254.0.1
169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.254 192.0.0.1 192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1
192.168.0.1 192.168.255.254 192.175.48.1 198.18.0.1 198.19.255.254 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250
240.0.0.1 255.255.255.254 255.255.255.255 100.100.100.200 168.63.129.16""".split()
PLAIN6 = """::1 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1 2001:2::1 2001:10::1 2001:20::1 2001:1ff::1 2001:db8::1 2620:4f:8000::1 3fff::1
5f00::1 fc00::1 fd00:ec2::254 fd20:ce::254 fd77:1::2 fdff::1 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1""".split()
# In IPv6 an IPv4 address may hide: public ones and allowed ones are refused there as well.
HIDDEN4 = ["10.77.3.2", "127.0.0.1", "169.254.169.254", "192.168.0.1", "9.9.9.9"]
FORMS = {
    "compatible": lambda b: bytes(12) + b,
    "translated": lambda b: bytes(8) + b"\xff\xff\0\0" + b,
    "6to4": lambda b: b"\x20\x02" + b + bytes(9) + b"\1",
    "NAT64": lambda b: bytes.fromhex("0064ff9b") + bytes(8) + b,
    "local NAT64": lambda b: bytes.fromhex("0064ff9b0001") + bytes(6) + b,
    "Teredo, server": lambda b: bytes.fromhex("20010000") + b + bytes(8),
    "Teredo, client": lambda b: bytes.fromhex("20010000") + bytes(8) + bytes(x ^ 255 for x in b),
    "ISATAP": lambda b: bytes.fromhex("2a00000000000000") + bytes.fromhex("00005efe") + b,
    "ISATAP, universal": lambda b: bytes.fromhex("2a00000000000000") + bytes.fromhex("02005efe") + b,
}
ALLOWED4, ALLOWED6 = "10.77.3.0/24", "fd77:3::/64"
UNKNOWN_EXIT, EXIT_ADDRESS = 1, 2

lab, suite = Lab("open"), Suite()
relay = Node(lab, "relay", "relay", 2, Node={"AllowRange": f"{ALLOWED4}, {ALLOWED6}"}, Price={"FreeAllowance": 10**9})
good = lab.dir / "good.node"


def describe(name, address, port=51900):
    """A signed descriptor of an exit at this address."""
    path = lab.dir / f"{name}.node"
    subprocess.run([BUILD / "tests/net/rig_exit", "-d", path, f"{address}:{port}"], check=True, timeout=10)
    return path


def special():
    """{descriptor: address}, each in every form it has."""
    found = [(a, a) for a in PLAIN4] + [(f"[::ffff:{a}]", a + MAPPED) for a in PLAIN4] + [(f"[{a}]", a) for a in PLAIN6]
    for a in HIDDEN4:
        for form, make in FORMS.items():
            text = ipaddress.IPv6Address(make(ipaddress.IPv4Address(a).packed))
            found.append((f"[{text}]", f"{a}, {form}"))
    return {describe(f"bad{i}", address): what for i, (address, what) in enumerate(found)}


def escaped():
    """Datagrams the relay sent to anywhere but the client's net and the one good exit."""
    text = lab.run("relay", ["nft", "-j", "list", "counter", "inet", "canary", "escaped"]).stdout
    return next(c["counter"]["packets"] for c in json.loads(text)["nftables"] if "counter" in c)


def canaries():
    lab.nft("relay", """
table inet canary {
	counter escaped { }
	chain output {
		type filter hook output priority 0;
		meta l4proto != udp accept
		ip daddr { 10.77.1.0/24, 10.77.3.2 } accept
		ip6 daddr fd77:1::/64 accept
		counter name escaped
	}
}
""")
    probe = "import socket,sys\nfor a in sys.argv[1:]:\n s=socket.socket(socket.AF_INET6 if ':' in a else socket.AF_INET,socket.SOCK_DGRAM);s.sendto(b'x',(a,51900))"
    lab.run("relay", ["python3", "-c", probe, "127.0.0.1", "169.254.169.254", "::1", "64:ff9b::a9fe:a9fe"])
    suite.equal(escaped(), 4, "the canaries see what goes to special addresses")
    lab.run("relay", ["nft", "reset", "counters"])


# An IPv4 address in the IPv6 field makes no descriptor at all.
MAPPED = " as IPv6"


def named(text, why="in a special range"):
    """True if a line names the second Exit of the configuration by file and line, and says why."""
    lines = relay.config.read_text().splitlines()
    number = [i for i, line in enumerate(lines, 1) if line.startswith("Exit = ")][1]
    return any(line.startswith(f"culvert{d}: {relay.config}:{number}: Exit: ") and why in line for line in text.splitlines() for d in ("", "d"))


def list_exits(*paths):
    relay.options["Relay"]["Exit"] = list(paths)
    relay.write()


def daemon():
    """What culvertd says to a configuration it should not start with."""
    done = lab.run("relay", [BUILD / "culvertd", "--config", relay.config], check=False, timeout=10)
    return done.returncode, done.stderr


def reload():
    seen = len(relay.log())
    relay.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "the old configuration stays" in relay.log()[seen:] or "configuration read again" in relay.log()[seen:], "the reload", step=0.005)
    return relay.log()[seen:]


def every_address():
    bad = special()
    suite.check(len(bad) >= 60, f"{len(bad)} descriptors of exits at special addresses")
    why, wrong = {}, {"start": [], "check": [], "reload": [], "open": []}
    for path, what in bad.items():
        list_exits(good, path)
        why[path] = "not a complete node descriptor" if what.endswith(MAPPED) else "in a special range"
        status, text = daemon()
        if status != 1 or not named(text, why[path]):
            wrong["start"].append((what, status, text))
        done = relay.culvert("check", relay.config, check=False)
        if done.returncode == 0 or not named(done.stderr, why[path]):
            wrong["check"].append((what, done.returncode, done.stderr))
    list_exits(good)
    relay.start()
    rig = clients()
    suite.check(rig.ask(f"try {good}")["granted"], "a session towards the good exit")
    for path, what in bad.items():
        list_exits(good, path)
        text = reload()
        if not named(text, why[path]) or "old configuration stays" not in text:
            wrong["reload"].append((what, text))
        answer = rig.ask(f"try {path}")
        if answer["granted"] or answer["refusal"] not in (UNKNOWN_EXIT, EXIT_ADDRESS):
            wrong["open"].append((what, answer))
    suite.equal(wrong["start"], [], "culvertd does not start with one, and says where and why")
    suite.equal(wrong["check"], [], "nor does culvert check pass it")
    suite.equal(wrong["reload"], [], "SIGHUP leaves the old configuration in place, and says why")
    suite.equal(wrong["open"], [], "no client that names one gets a session")
    suite.equal(relay.status()["relay"]["exits"], 1, "the good exit is the only one, still")
    suite.check(rig.ask(f"try {good}")["granted"], "and can be had")
    rig.close()
    relay.stop()


def clients(first=1):
    rig = Rig(lab.argv("client", [BUILD / "tests/net/rig_clients", relay.descriptor, good, f"10.77.2.2:{PORT}", first]))
    lab.processes.append(rig.process)
    return rig


def itself():
    """Neither own address, nor own port at any local address, nor its own descriptor, though every range is allowed."""
    own = [describe("own4", "10.77.2.2", PORT), describe("own4c", "10.77.2.2", PORT - 1), describe("own6", "[fd77:2::2]", PORT)]
    own += [describe("loop", "127.0.0.1", PORT), describe("loopc", "127.8.8.8", PORT - 1), describe("loop6", "[::1]", PORT)]
    relay.options["Node"]["AllowRange"] = "10.0.0.0/8, 127.0.0.0/8, fd77::/16, ::1/128"
    list_exits(good, relay.descriptor)
    status, text = daemon()
    suite.check(status == 1 and named(text, "no exit's"), "a relay's own descriptor is refused")
    list_exits(good, *own)
    relay.start()
    lines = relay.log().splitlines()
    suite.equal([p for p in own if not any(str(p) in line and "not used" in line for line in lines)], [],
                "own addresses and ports are refused by name")
    suite.equal(relay.status()["relay"]["exits"], 1, "the good exit is the only one")
    rig = clients()
    suite.equal([rig.ask(f"try {path}")["refusal"] for path in own], [EXIT_ADDRESS] * len(own), "clients are told EXIT_ADDRESS")
    suite.equal(rig.ask(f"try {relay.descriptor}")["refusal"], EXIT_ADDRESS, "for the relay itself too")
    rig.close()
    relay.stop()


def less_allowed():
    relay.options["Node"]["AllowRange"] = f"{ALLOWED4}, {ALLOWED6}"
    other = describe("other", "10.77.3.3")
    list_exits(good, other)
    relay.start()
    rig = clients()
    suite.check(rig.ask(f"try {other}")["granted"], "allowed: a session is granted")
    rig.close()
    relay.stop()
    relay.options["Node"]["AllowRange"] = "10.77.3.2/32"
    relay.write()
    status, text = daemon()
    suite.check(status == 1 and named(text), "restarted with less AllowRange it refuses what it allowed before")
    list_exits(good)
    relay.start()
    rig = clients()
    suite.check(rig.ask(f"try {good}")["granted"] and not rig.ask(f"try {other}")["granted"], "without it, it starts, and only the rest can be had")
    rig.close()
    relay.stop()


def nothing_left():
    suite.equal(escaped(), 0, "not one datagram went to any of them")


def main():
    describe("good", "10.77.3.2")
    canaries()
    every_address()


suite.run(main, itself, less_allowed, nothing_left)
