#!/usr/bin/env python3
"""WireGuard devices, routes and the exit's rules for real: wireguard-go, iproute2 and nftables in namespaces.

        one  10.77.1.2 (inner 10.64.0.2) --+               +-- exit 10.77.3.2 (inner 10.64.0.1)
                                           +-- core -------+
        two  10.77.2.2 (inner 10.64.0.3) --+               +-- web  10.77.4.2, also 45.1.1.1 and 2600::1
"""
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import time

from lab import Failure, Lab, Suite, wait_for

BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build/release"))
LEGS = {"one": 1, "two": 2, "exit": 3, "web": 4}
MARK = 51820
PUBLIC4, PUBLIC6 = "45.1.1.1", "2600::1"
PORTS = (25, 80, 7000)

suite = Suite()


# ---- the two ends of a probe, run as `test_tunnel.py serve|get` inside a namespace ----
def serve():
    """Each connection is told who it is seen as, then gets as many bytes as it asked for."""
    poll = selectors.DefaultSelector()
    for port in PORTS:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
        poll.register(listener, selectors.EVENT_READ)
    print("serving", flush=True)
    while True:
        for key, _ in poll.select():
            connection, peer = key.fileobj.accept()
            with connection:
                connection.settimeout(10)
                try:
                    count = int(connection.recv(32))
                    connection.sendall(peer[0].removeprefix("::ffff:").encode() + b"\n" + bytes(count))
                except (OSError, ValueError):
                    pass


def get(address, port, count, timeout):
    with socket.create_connection((address, int(port)), timeout=float(timeout)) as connection:
        connection.sendall(count.encode())
        data = b""
        while chunk := connection.recv(65536):
            data += chunk
    seen, _, rest = data.partition(b"\n")
    if len(rest) != int(count):
        sys.exit(f"{len(rest)} of {count} bytes")
    print(seen.decode())


class Rig:
    """A rig_tunnel in a namespace, asked line by line."""

    def __init__(self, lab, name, wrap=()):
        self.log = open(lab.dir / f"{name}.log", "ab")
        argv = lab.argv(name, [*wrap, BUILD / "tests/net/rig_tunnel"])
        self.process = subprocess.Popen(argv, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log)
        lab.processes.append(self.process)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        answer = self.process.stdout.readline().split()
        if not answer:
            raise Failure(f"rig_tunnel ended at: {line}")
        return answer

    def do(self, line):
        answer = self.ask(line)
        if answer[0] != "ok":
            raise Failure(f"{line}: {' '.join(answer)}")
        return answer[1:]

    def counts(self, key):
        return tuple(map(int, self.do(f"read {key}")[:2]))

    def end(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait(10)


def key_pair():
    private = subprocess.run(["wg", "genkey"], text=True, capture_output=True, check=True).stdout.strip()
    public = subprocess.run(["wg", "pubkey"], text=True, capture_output=True, check=True, input=private).stdout.strip()
    return private, public


class World:
    """The lab with an exit and two clients up, all default routes of the clients into the tunnel."""

    def __init__(self):
        self.lab = lab = Lab("tunnel", LEGS)
        self.names = {name: f"t{os.getpid()}{name[0]}" for name in LEGS}
        self.keys = {name: key_pair() for name in LEGS}
        for address, family in ((PUBLIC4 + "/32", "-4"), (PUBLIC6 + "/128", "-6")):
            lab.ip("web", f"addr add {address} dev eth0")
            lab.ip("core", f"{family} route add {address} via {'10.77.4.2' if family == '-4' else 'fd77:4::2'}")
        for name in ("one", "two", "exit", "web"):
            server = lab.start(name, [sys.executable, __file__, "serve"], log=f"{name}-serve.log")
            wait_for(lambda n=name: "serving" in (lab.dir / f"{n}-serve.log").read_text() or server.poll() is not None, f"server in {name}")
        # so that without rules every probe has a way there and back
        lab.ip("core", "route add 10.64.0.0/16 via 10.77.3.2")
        lab.ip("core", "-6 route add fd64::/64 via fd77:3::2")
        lab.ip("exit", "addr add 169.254.169.254/32 dev lo")
        self.exit = Rig(lab, "exit")
        self.open_exit()
        self.clients = {}
        for number, name in enumerate(("one", "two"), 2):
            self.clients[name] = rig = Rig(lab, name)
            self.exit.do(f"peer {self.keys[name][1]} - 0 10.64.0.{number}/32 fd64::{number}/128")
            rig.do(f"open {self.names[name]} userspace {self.keys[name][0]} 0 {MARK}")
            self.join(name)
            rig.do(f"address 10.64.0.{number}/32")
            rig.do(f"address fd64::{number}/128")
            rig.do(f"route {MARK} 0.0.0.0/0")
            rig.do(f"route {MARK} ::/0")

    def open_exit(self):
        self.exit.do(f"open {self.names['exit']} auto {self.keys['exit'][0]} 51820 0")
        self.exit_addresses()

    def exit_addresses(self):
        self.exit.do("address 10.64.0.1/16")
        self.exit.do("address fd64::1/64")

    def join(self, name):
        self.clients[name].do(f"peer {self.keys['exit'][1]} 10.77.3.2:51820 25 0.0.0.0/0 ::/0")

    def get(self, name, address, port=80, count=100, timeout=3):
        """Who the server saw, or None if there was no way."""
        done = self.lab.run(name, [sys.executable, __file__, "get", address, port, count, timeout], check=False, timeout=60)
        return done.stdout.strip() if done.returncode == 0 else None

    def rules(self, words="- 0"):
        self.exit.do(f"nat {self.names['exit']} {words}")


def same_counts(world, name):
    """The two ends of a quiet tunnel that lost nothing count the same bytes, to the byte."""
    ends = lambda: (world.exit.counts(world.keys[name][1]), world.clients[name].counts(world.keys["exit"][1])[::-1])
    try:
        return wait_for(lambda: len(set(now := ends())) == 1 and now[0], "", 30)
    except Failure:
        raise Failure("the ends count differently: %s at the exit, %s at the client" % ends()) from None


def traffic_and_counters(world):
    suite.check("userspace" in world.exit.do("info")[1] or "kernel" in world.exit.do("info")[1], "a backend was chosen and says its name")
    suite.equal(world.get("one", PUBLIC4), "10.77.3.2", "IPv4 goes through the exit and is masqueraded")
    suite.equal(world.get("one", PUBLIC6), "fd77:3::2", "IPv6 too")
    before = same_counts(world, "one")
    for _ in range(10):
        world.get("one", PUBLIC4, count=50_000)
    after = same_counts(world, "one")
    suite.check(after[1] - before[1] > 500_000 and after[0] > before[0], f"both ends count them alike: up {after[0]}, down {after[1]}")
    suite.check(world.get("one", PUBLIC4, count=5_000_000, timeout=20), "5 MB come through")
    # with the system's default socket buffers some 5 % of such a burst are lost
    received = world.clients["one"].counts(world.keys["exit"][1])[0]  # asked first: what comes meanwhile was sent
    sent = world.exit.counts(world.keys["one"][1])[1]
    suite.check(sent >= received >= sent - sent // 200 > after[1] + 5_000_000, f"and arrive in one burst: sent {sent}, received {received}")


def death_and_repair(world):
    exit_, key = world.exit, world.keys["one"][1]
    up, down = exit_.counts(key)
    (daemon,) = [pid for pid in world.lab.run("exit", ["pgrep", "-f", f"^wireguard-go {world.names['exit']}$"]).stdout.split()]
    os.kill(int(daemon), signal.SIGKILL)
    exit_.do("dead")
    suite.check(exit_.ask(f"read {key}")[0] == "error", "a dead device says so")
    exit_.do("repair")
    world.exit_addresses()
    suite.equal(exit_.counts(key), (up, down), "counters are what they were")
    suite.equal(exit_.do("info")[0], "51820", "the port too")
    endpoints = world.lab.run("exit", ["wg", "show", world.names["exit"], "endpoints"]).stdout
    suite.check("10.77.1.2:" in endpoints and "10.77.2.2:" in endpoints, "peers come back with the endpoints they had")
    for name, client in world.clients.items():
        client.do(f"remove {world.keys['exit'][1]}")
        world.join(name)
    suite.equal(world.get("one", PUBLIC4, count=100_000, timeout=10), "10.77.3.2", "traffic flows again")
    again = exit_.counts(key)
    suite.check(again[0] > up and again[1] > down + 100_000, "and the counters carry on")


def removal_keeps_counters(world):
    exit_, key = world.exit, world.keys["two"][1]
    suite.check(world.get("two", PUBLIC4), "the other client works")
    before = same_counts(world, "two")  # the end of that connection may still be under way
    exit_.do(f"remove {key}")
    suite.equal(exit_.counts(key), before, "a removed peer's counters can still be read")
    suite.equal(world.get("two", PUBLIC4, timeout=1), None, "and it is off")
    exit_.do(f"peer {key} - 0 10.64.0.3/32 fd64::3/128")
    world.clients["two"].do(f"remove {world.keys['exit'][1]}")
    world.join("two")
    suite.check(world.get("two", PUBLIC4, timeout=10), "added again it works")
    suite.check(exit_.counts(key) > before, "and counts on")


FORBIDDEN = (
    ("one", "10.77.4.2", 80, "a private address behind the exit"),
    ("one", "fd77:4::2", 80, "a private IPv6 address behind the exit"),
    ("one", "10.77.3.2", 7000, "the exit's own service on its outer address"),
    ("one", "fd77:3::2", 7000, "the same by IPv6"),
    ("one", "10.64.0.1", 7000, "the exit's own service on its inner address"),
    ("one", "fd64::1", 7000, "the same by IPv6"),
    ("one", "169.254.169.254", 80, "the metadata address"),
    ("one", "10.64.0.3", 7000, "another client"),
    ("one", "fd64::3", 7000, "another client by IPv6"),
    ("one", PUBLIC4, 25, "port 25"),
    ("one", PUBLIC6, 25, "port 25 by IPv6"),
    ("web", "10.64.0.2", 7000, "from outside, unasked, a client"),
    ("web", "fd64::2", 7000, "from outside, unasked, a client by IPv6"),
)


def rules(world):
    exit_, name = world.exit, world.names["exit"]
    exit_.do(f"unnat {name}")
    suite.equal(exit_.do(f"present {name}"), ["0"], "the table is gone when removed")
    for who, address, port, what in FORBIDDEN:
        suite.check(world.get(who, address, port), f"without rules there is a way to: {what}")
    world.rules()
    for who, address, port, what in FORBIDDEN:
        suite.equal(world.get(who, address, port, timeout=0.7), None, f"with them there is none to: {what}")
    suite.equal(world.get("one", PUBLIC4), "10.77.3.2", "the world outside is still there")
    world.rules("- 1 10.77.4.0/24 fd77:4::/64")
    for who, address, port, what in (FORBIDDEN[0], FORBIDDEN[1], FORBIDDEN[9], FORBIDDEN[10]):
        suite.check(world.get(who, address, port), f"allowed by name: {what}")
    suite.equal(world.get("one", "10.77.3.2", 7000, timeout=0.7), None, "and nothing more")
    world.rules("eth9 0")
    suite.equal(world.get("one", PUBLIC4, timeout=0.7), None, "with another uplink named, nothing leaves by this one")
    world.rules("eth0 0")
    suite.equal(world.get("one", PUBLIC4), "10.77.3.2", "with this one it does")


def holding(world):
    exit_, name = world.exit, world.names["exit"]
    exit_.do(f"hold {name} 10.64.0.2 fd64::2 1")
    suite.equal(world.get("one", PUBLIC4, timeout=0.7), None, "a held client gets nothing")
    suite.equal(world.get("one", PUBLIC6, timeout=0.7), None, "by IPv6 neither")
    suite.check(world.get("two", PUBLIC4), "another one does")
    exit_.do(f"hold {name} 10.64.0.2 fd64::2 0")
    exit_.do(f"hold {name} 10.64.0.2 fd64::2 0")
    suite.equal(world.get("one", PUBLIC4), "10.77.3.2", "released it goes on")
    suite.check(exit_.ask(f"hold nosuch 10.64.0.2 fd64::2 1")[0] == "error", "holding without a table is an error")


def routes(world):
    lab = world.lab
    rules_of = lambda: lab.run("two", ["ip", "rule"]).stdout + lab.run("two", ["ip", "-6", "rule"]).stdout
    lab.ip("two", "rule add not fwmark 51820 table 51820")  # somebody else's, as wg-quick makes them
    lab.ip("two", "rule add table main suppress_prefixlength 0")
    before = rules_of()
    world.clients["two"].do(f"route {MARK} 0.0.0.0/0")  # twice, as after a crash
    suite.check(rules_of() != before, "more rules")
    world.clients["two"].do(f"clean {MARK}")
    left = rules_of()
    tables = lab.run("two", ["ip", "route", "show", "table", "all"]).stdout + lab.run("two", ["ip", "-6", "route", "show", "table", "all"]).stdout
    suite.check("proto 213" not in tables, "and no route of ours is left in any table")
    suite.check("proto 213" not in left, "all of ours are gone, copies too")
    suite.check("suppress_prefixlength" in left and "lookup 51820" in left, "and only ours")
    world.clients["two"].do(f"clean {MARK}")
    suite.equal(rules_of(), left, "cleaning twice does no harm")
    suite.equal(lab.run("two", ["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"]).stdout.strip(), "1", "src_valid_mark is on")


def watching(world):
    rig, name = world.clients["two"], world.names["two"]
    rig.do("watch")
    rig.do("address 10.64.7.7/32")
    time.sleep(0.2)
    suite.equal(rig.do(f"changed {name}"), ["0"], "a change of the tunnel itself is not a change of the network")
    world.lab.ip("two", "addr add 10.77.2.99/24 dev eth0")
    time.sleep(0.2)
    suite.equal(rig.do(f"changed {name}"), ["1"], "an address on another interface is")
    suite.equal(rig.do(f"changed {name}"), ["0"], "once")
    world.lab.ip("two", "link add dummy9 type veth peer name dummy8")
    suite.equal(rig.do(f"changed {name}"), ["1"], "a new link is")
    world.lab.ip("two", "route add 192.0.2.0/24 via 10.77.2.1")
    suite.equal(rig.do(f"changed {name}"), ["1"], "a new route is")
    rig.do("close")
    time.sleep(0.2)
    suite.equal(rig.do(f"changed {name}"), ["0"], "the tunnel's own end is not")


def ports(world):
    lab, private = world.lab, key_pair()[0]
    rig = Rig(lab, "web")
    name = world.names["web"]
    blocker = socket_in(lab, "web", 5555)
    suite.check(rig.ask(f"open {name} userspace {private} 5555 0")[0] == "error", "a port in use is an error at the opening")
    suite.check(name not in lab.run("web", ["ip", "link"]).stdout, "which leaves no interface behind")
    rig.do(f"open {name} userspace {private} 0 0")
    suite.check(int(rig.do("info")[0]) > 0, "a port chosen by the device is told")
    suite.check(rig.ask("port 5555")[0] == "error", "a port in use is an error later on too")
    lab.stop(blocker)
    rig.do("port 5555")
    suite.equal(rig.do("info")[0], "5555", "a free port can be taken")
    rig.end(signal.SIGTERM)
    wait_for(lambda: name not in lab.run("web", ["ip", "link"]).stdout, "the device to end with its owner")


def socket_in(lab, name, port):
    code = f"import socket,time; s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); s.bind(('::',{port})); print('bound',flush=True); time.sleep(60)"
    process = lab.start(name, [sys.executable, "-c", code], log="blocker.log")
    wait_for(lambda: "bound" in (lab.dir / "blocker.log").read_text(), "the port to be taken")
    return process


def stale_things(world):
    lab, name = world.lab, world.names["exit"]
    world.exit.end()  # kill -9: table stays, device goes by itself
    suite.check(f"culvert_{name}" in lab.run("exit", ["nft", "list", "tables"]).stdout, "kill -9 leaves the table")
    world.exit = Rig(lab, "exit")
    world.exit.do(f"stale {name}")
    world.open_exit()
    suite.check(True, "start after kill -9 works at once")
    world.rules()
    tables = lab.run("exit", ["nft", "list", "tables"]).stdout
    suite.equal(tables.count("culvert_"), 1, "the old table is replaced")
    daemon = lab.run("exit", ["pgrep", "-f", f"^wireguard-go {name}$"]).stdout.split()[0]
    world.exit.process.send_signal(signal.SIGSTOP)
    os.kill(int(daemon), signal.SIGKILL)
    world.exit.end()
    sock = pathlib.Path(f"/var/run/wireguard/{name}.sock")
    suite.check(sock.exists(), "wireguard-go killed leaves its socket")
    rig = Rig(lab, "exit")
    rig.do(f"stale {name}")
    suite.check(not sock.exists(), "which is removed")
    lab.ip("exit", f"link add {name} type veth peer name other9")
    rig.do(f"stale {name}")
    suite.check(name in lab.run("exit", ["ip", "link"]).stdout, "an interface that is not WireGuard's is never touched")
    suite.equal(rig.ask(f"open {name} auto {key_pair()[0]} 0 0"), ["error", "-17"], "and its name is taken")
    rig.do(f"unnat {name}")
    suite.check("culvert_" not in lab.run("exit", ["nft", "list", "tables"]).stdout, "the table goes at the end")


def without_rights(world):
    rig = Rig(world.lab, "web", ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"])
    suite.equal(rig.ask(f"open {world.names['web']} auto {key_pair()[0]} 0 0"), ["error", "-1"], "without CAP_NET_ADMIN: EPERM")
    rig.end(signal.SIGTERM)
    suite.check("CAP_NET_ADMIN" in (world.lab.dir / "web.log").read_text(), "and the reason is said")


def main():
    world = World()
    suite.check(world.exit.do("forwarding") == [], "forwarding is turned on")
    world.rules()
    suite.run(*[lambda case=case: case(world) for case in (
        traffic_and_counters, death_and_repair, removal_keeps_counters, rules, holding, ports, without_rights, routes, watching, stale_things)])


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve()
    elif sys.argv[1:2] == ["get"]:
        try:
            get(*sys.argv[2:6])
        except OSError as error:
            sys.exit(f"{error}")
    else:
        main()
