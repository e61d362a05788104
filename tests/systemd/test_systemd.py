#!/usr/bin/env python3
"""The units under real systemd: `make install`ed into a booted machine, set up by README's words, carrying traffic,
killed, hung, reloaded, stopped, and confined as they promise. Root; needs debootstrap and systemd-container (make deps)."""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

from machine import TOP, Failure, Machine, wait_for
from lab import Suite
from rig import Rig

BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", TOP / "build/release")).resolve()
# On the machine's loopback device, which leads nowhere: any address that is not special will do.
NODE, RIG_EXIT = "1.2.3.4", "1.2.3.5"
NO_CAPS = "0000000000000000"
NET_ADMIN = "0000000000001000"

suite = Suite()


class Unit:
    """One service of the machine."""

    def __init__(self, machine, name):
        self.machine, self.name = machine, name

    def get(self, name):
        return self.machine.out(f"systemctl show -P {name} {self.name}")

    def pids(self):
        """The processes of the service, main process first, as the machine numbers them."""
        main = self.get("MainPID")
        children = self.machine.out(f"pgrep -P {main}", check=False).split()
        return [main, *children]

    def is_back(self, old):
        pid = self.get("MainPID")
        return self.get("ActiveState") == "active" and pid not in ("0", old) and pid

    def survives(self, what, action, limit):
        """After action(main pid) the service is active with a new main process within limit seconds."""
        old = self.get("MainPID")
        action(old)
        wait_for(lambda: self.is_back(old), f"{self.name} to come back after {what}", limit, 0.1)
        suite.check(True, f"{self.name}: {what}: back within {limit} s")

    def journal(self):
        return self.machine.out(f"journalctl --no-pager -o cat -u {self.name}", check=False)


def install(machine):
    subprocess.run(["make", "-s", "-C", str(TOP), f"DESTDIR={machine.root}", "install"], check=True, stdout=subprocess.DEVNULL)
    machine.run("systemd-sysusers && systemctl daemon-reload")
    for page in ("man1/culvert.1", "man8/culvertd.8", "man5/culvert.conf.5"):
        suite.check((machine.root / "usr/local/share/man" / page).is_file(), f"installed: {page}")
    subprocess.run(["make", "-s", "-C", str(TOP), "PREFIX=/usr", f"DESTDIR={machine.root}/opt/packaged", "install"], check=True, stdout=subprocess.DEVNULL)
    packaged = machine.root / "opt/packaged/usr"
    suite.check("=/usr/bin/culvertd" in (packaged / "lib/systemd/system/culvert.service").read_text(encoding="utf-8") and (packaged / "bin/culvertd").is_file(),
                "PREFIX and DESTDIR: the units name the programs where they are")
    machine.run(f"ip addr add {NODE}/32 dev lo && ip addr add {RIG_EXIT}/32 dev lo")


# ---- README's day one of an operator ----

def set_up_relay(machine):
    words = f"culvert init --roles relay --name kestrel --announce {NODE}:51820"
    suite.check(words.replace(NODE, "192.0.2.10") in (TOP / "README.md").read_text(encoding="utf-8"), "these are README's words")
    said = machine.out(words)
    suite.check("ufw allow 51820/udp" in said and "systemctl enable --now culvert" in said, "init says what to do next")
    suite.equal(machine.out("stat -c '%U %a' /etc/culvert/identity.key"), "culvert 600", "the keys are the service's")
    with open(machine.root / "etc/culvert/culvert.conf", "a", encoding="utf-8") as config:
        config.write("\n[Relay]\nExit = /etc/culvert/rig-exit.node\n")
    machine.run("culvert check")
    machine.run("systemctl enable --now culvert", timeout=30)
    unit = Unit(machine, "culvert.service")
    suite.equal(unit.get("ActiveState"), "active", "systemctl enable --now returns with the unit active (Type=notify)")
    suite.equal(unit.get("StatusText"), "relay on UDP port 51820", "its status text says what it is")
    suite.equal(machine.out("stat -c '%U %a' /var/lib/culvert"), "culvert 700", "the state directory is the user's alone")
    suite.check("kestrel" in machine.out("culvert status"), "culvert status")
    return unit


def books(machine):
    """culvert sessions, credits, credits grant, receipts export, receipts verify: as README has them."""
    suite.equal(len(json.loads(machine.out("culvert sessions --json"))["sessions"]), 4, "culvert sessions: the four")
    rows = json.loads(machine.out("culvert credits --json"))["credits"]
    suite.equal(len(rows), 4, "culvert credits: four payers")
    machine.run(f"culvert credits grant {rows[0]['peer']} 5000000")
    granted = [row["granted"] for row in json.loads(machine.out("culvert credits --json"))["credits"] if row["peer"] == rows[0]["peer"]]
    suite.equal(granted, [5000000], "culvert credits grant")
    done = machine.out("culvert receipts export -o receipts.jsonl && culvert receipts verify receipts.jsonl")
    suite.check((machine.root / "receipts.jsonl").stat().st_size > 0 or "receipts.jsonl" in done, f"receipts export and verify: {done.splitlines()[-1]}")


def settled(machine):
    """culvert-settle.timer: there, off until the operator wants it, and its service can do what it is for and no more."""
    suite.equal(machine.out("systemctl is-enabled culvert-settle.timer", check=False).strip(), "disabled", "culvert-settle.timer: installed, not enabled")
    machine.run("systemctl enable --now culvert-settle.timer")
    suite.equal(Unit(machine, "culvert-settle.timer").get("ActiveState"), "active", "culvert-settle.timer: waits for its hour")
    machine.run("systemctl start culvert-settle", timeout=30)
    unit = Unit(machine, "culvert-settle.service")
    suite.equal(unit.get("Result"), "success", f"culvert-settle.service: {unit.journal().strip().splitlines()[-1:]}")
    rows = json.loads(machine.out("culvert settle list --json"))["epochs"]
    suite.equal([row["state"] for row in rows], ["done"], "culvert settle list: an epoch")
    done = machine.out(f"culvert settle verify {rows[0]['path']}")
    suite.check(rows[0]["root"] in done, f"culvert settle verify: {done.splitlines()[-1]}")
    scored(machine, unit.name, 0.5)


# ---- traffic by the rigs ----

class Traffic:
    """Fake clients and a fake exit in the machine's network; they live outside of it."""

    def __init__(self, machine):
        self.machine, self.number, self.rigs = machine, 1, []
        self.descriptor = machine.root / "etc/culvert/rig-exit.node"
        self.exit = self.start(BUILD / "tests/net/rig_exit", self.descriptor, f"{RIG_EXIT}:51900")
        self.exit.ask("reflect 1")

    def start(self, *argv):
        self.rigs.append(Rig(self.machine.enter("-n") + list(argv)))
        return self.rigs[-1]

    def flows(self, what):
        clients = self.start(BUILD / "tests/net/rig_clients", self.machine.root / "var/lib/culvert/node.descriptor", self.descriptor,
                             f"{NODE}:51820", str(self.number))
        self.number += 100
        suite.equal(clients.ask("open 4")["ready"], 4, f"{what}: four clients connect")
        # 1.1 MB each: more than one window of an unknown payer, so receipts are signed on the way.
        clients.ask("paced 400 1424 2000")
        clients.ask("wait 1500")
        stats = clients.ask("stats")["clients"]
        got = [c["received_packets"] for c in stats]
        suite.check(min(got) >= 380, f"{what}: datagrams come back through the relay: {got} of 400")
        suite.check(all(c["bad_receipts"] == 0 and c["receipts"] > 0 for c in stats), f"{what}: receipts are issued, and are right")
        return clients

    def close(self):
        for rig in self.rigs:
            rig.close()


# ---- confinement ----

def confined(unit, caps, score_max):
    machine, uid = unit.machine, unit.machine.out("id -u culvert")
    threads = 0
    for pid in unit.pids():
        for task in machine.out(f"ls /proc/{pid}/task").split():
            status = machine.out(f"cat /proc/{pid}/task/{task}/status")
            value = {m[1]: m[2] for m in re.finditer(r"^(\w+):\s*(\S+)", status, re.M)}
            got = [value[name] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp")]
            threads += 1
            if got != [uid, caps, caps, "1", "2"]:
                suite.check(False, f"{unit.name}: {value['Name']} has uid, CapEff, CapBnd, NoNewPrivs, Seccomp {got}")
    suite.check(threads >= 3, f"{unit.name}: every thread ({threads}) is confined: uid, capabilities {int(caps, 16):#x}, NoNewPrivs, Seccomp")
    suite.equal(writable(unit), [], f"{unit.name}: can write to its state and runtime directories only")
    scored(machine, unit.name, score_max)


def scored(machine, name, score_max):
    said = machine.out(f"systemd-analyze security --no-pager {name}", check=False)
    level = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    suite.check(level and float(level.group(1)) <= score_max, f"systemd-analyze security {name}: {level and level.group(1)} (<= {score_max})")


def writable(unit):
    """Files and directories the service's user may write to in the service's view, other than its own two places."""
    find = (r"find / -path /proc -prune -o \( -type f -o -type d \) -writable ! -path '/var/lib/culvert*' ! -path '/run/culvert*' "
            r"! -path '/run/wireguard*' -print 2>/dev/null; touch /etc/culvert/x /usr/x /x 2>/dev/null && echo touched; true")
    pid = unit.get("MainPID")
    return unit.machine.out(f"nsenter -t {pid} -m setpriv --reuid culvert --regid culvert --clear-groups /bin/sh -c \"{find}\"").split()


# ---- the relay ----

def relay(machine, traffic):
    unit = set_up_relay(machine)
    confined(unit, NO_CAPS, 1.5)
    traffic.flows("relay")
    books(machine)
    settled(machine)
    unit.survives("kill -9 of the main process", lambda pid: machine.run(f"kill -9 {pid}"), 5)
    traffic.flows("after kill -9")
    unit.survives("kill -9 of the ledger", lambda pid: machine.run(f"kill -9 $(pgrep -P {pid})"), 5)
    suite.check("the ledger process ended" in unit.journal(), "and the journal says why the node ended")
    traffic.flows("after the ledger's death")
    machine.run("mkdir -p /run/systemd/system/culvert.service.d && printf '[Service]\\nWatchdogSec=2\\n' "
                ">/run/systemd/system/culvert.service.d/test.conf && systemctl daemon-reload && systemctl restart culvert")
    unit.survives("a hang (SIGSTOP of the main process)", lambda pid: machine.run(f"kill -STOP {pid}"), 10)
    suite.check("Watchdog timeout" in unit.journal(), "by the watchdog")
    reloads(unit)
    stops(unit)


def reloads(unit):
    pid = unit.get("MainPID")
    unit.machine.run("echo 'Workers = 3' >>/etc/culvert/culvert.conf && systemctl reload culvert")
    wait_for(lambda: "Workers changed" in unit.journal(), "SIGHUP to be heard", 5)
    suite.equal(unit.get("MainPID"), pid, "systemctl reload: the configuration is read again by the same process")


def stops(unit):
    unit.machine.run(f"systemctl stop {unit.name}", timeout=30)
    suite.equal((unit.get("Result"), unit.get("ActiveState"), unit.get("ExecMainStatus")), ("success", "inactive", "0"),
                f"{unit.name}: an orderly stop")
    suite.equal(unit.machine.out("pgrep -u culvert", check=False), "", f"{unit.name}: no process is left")


# ---- an exit, and a client ----

def leg(machine, name, net):
    """A network namespace, name, with address 1.2.NET.2 and a leg to the machine's own network."""
    machine.run(f"ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name} && ip addr add 1.2.{net}.1/24 dev {name} && "
                f"ip link set {name} up && ip -n {name} link set eth0 addrgenmode none && ip -n {name} addr add 1.2.{net}.2/24 dev eth0 && ip -n {name} link set eth0 up && "
                f"ip -n {name} link set lo up && ip -n {name} route add default via 1.2.{net}.1")


def other_relay(machine):
    """A relay refuses to forward to its own machine, so the client's is another."""
    machine.run("culvert init --roles relay --name osprey --announce 1.2.5.2:51820 --dir /etc/osprey --data-dir /var/lib/osprey")
    with open(machine.root / "etc/osprey/culvert.conf", "a", encoding="utf-8") as config:
        config.write("\n[Relay]\nExit = /var/lib/culvert/node.descriptor\n[Api]\nSocket = /run/osprey.sock\n")
    machine.run("systemd-run --unit=osprey -p NetworkNamespacePath=/run/netns/middle culvertd --config /etc/osprey/culvert.conf")
    wait_for((machine.root / "var/lib/osprey/node.descriptor").exists, "the other relay", 5)


def routes(machine):
    return machine.out("ip -n user rule; ip -n user -6 rule; ip -n user route show table all; ip -n user -br link").splitlines()


def as_before(machine, before, what):
    changed = sorted(set(before) ^ set(routes(machine)))
    suite.check(not changed, f"culvert-client.service: rules, routes and links are as before, {what} {changed or ''}")


def exit_and_client(machine):
    machine.run("systemctl disable culvert; rm -rf /etc/culvert/* /var/lib/culvert/*")
    leg(machine, "user", 4)
    leg(machine, "middle", 5)
    machine.run(f"culvert init --roles relay,exit --name heron --announce {NODE}:51820")
    with open(machine.root / "etc/culvert/culvert.conf", "a", encoding="utf-8") as config:
        config.write(f"\n[Node]\nListen = {NODE}:51820\n")  # this machine has other addresses, too
    unit = Unit(machine, "culvert-exit.service")
    machine.run("culvert check && systemctl enable --now culvert-exit", timeout=30)
    suite.equal(unit.get("StatusText"), "relay and exit on UDP port 51820", "the exit's unit starts")
    backend = json.loads(machine.out("culvert status --json"))["exit"]["backend"]
    suite.check(backend, f"culvert status shows the exit's backend: {backend}")
    suite.check("culvert_culvert0" in machine.out("nft list tables"), "its nftables table is there")
    confined(unit, NET_ADMIN, 2.1)
    shown = machine.out(f"nsenter -m -t {unit.get('MainPID')} wg show")
    suite.check("interface: culvert0" in shown, "its wireguard-go is found from inside its view")
    suite.check("rb8388608" in machine.out("ss -Huanm sport = :51821"), "and has wide socket buffers (pidfd_getfd is allowed)")
    other_relay(machine)
    before = client(machine)
    unit.survives("kill -9 of the main process", lambda pid: machine.run(f"kill -9 {pid}"), 10)
    wait_for(lambda: carries(machine), "the client to carry on after the exit's death", 60, 0.5)
    suite.check(True, "after the exit's death its client carries on by itself")
    client_ends(machine, before)
    stops(unit)
    suite.check("culvert0" not in machine.out("ip -br link; nft list tables"), "device and table of the exit are gone")


def carries(machine):
    gateway = machine.out("ip -br -4 addr show dev culvert0", check=False).split()[-1:]
    return gateway and machine.run(f"ip netns exec user ping -I culvert1 -c 1 -W 1 {gateway[0].split('/')[0]}", check=False).returncode == 0


def client(machine):
    # On one machine the two sides' keys need two places.
    machine.run("culvert init --client --dir /etc/culvert-client --relay /var/lib/osprey/node.descriptor --exit /var/lib/culvert/node.descriptor")
    machine.run("mkdir -p /run/systemd/system/culvert-client.service.d && printf '[Service]\\nNetworkNamespacePath=/run/netns/user\\n"
                "ExecStart=\\nExecStart=/usr/local/bin/culvert up --foreground --config /etc/culvert-client/client.conf\\n' "
                ">/run/systemd/system/culvert-client.service.d/test.conf && systemctl daemon-reload")
    wait_for(lambda: any("ff00::/8 dev eth0" in line for line in routes(machine)), "the link's last route", 5)
    before = routes(machine)
    machine.run("systemctl enable --now culvert-client")
    wait_for(lambda: carries(machine), "the client's tunnel", 30, 0.3)
    suite.check(True, "culvert-client.service: a ping goes through the tunnel")
    status = json.loads(machine.out("culvert status --json --config /etc/culvert-client/client.conf"))
    suite.equal(status["state"], "connected", "culvert status of the client")
    peers = json.loads(machine.out("culvert status --json --config /etc/culvert/culvert.conf"))["exit"]["peers"]
    suite.equal(peers, 1, "the exit has one peer")
    suite.equal(machine.out("stat -c %a /run/culvert-client"), "755", "the agent's socket has a directory of its own")
    unit = Unit(machine, "culvert-client.service")
    scored(machine, unit.name, 4.0)
    unit.survives("kill -9 of the agent", lambda pid: machine.run(f"kill -9 {pid}"), 10)
    wait_for(lambda: carries(machine), "the tunnel again", 30, 0.3)
    suite.check(True, "culvert-client.service: and the tunnel is back")
    return before


def client_ends(machine, before):
    machine.run("culvert down --config /etc/culvert-client/client.conf", timeout=40)
    time.sleep(1.5)  # more than RestartSec
    suite.equal(Unit(machine, "culvert-client.service").get("ActiveState"), "inactive", "culvert-client.service: culvert down is for good")
    as_before(machine, before, "after culvert down")
    machine.run("systemctl start culvert-client")
    wait_for(lambda: carries(machine), "the tunnel once more", 30, 0.3)
    machine.run("systemctl stop culvert-client", timeout=40)
    suite.equal(Unit(machine, "culvert-client.service").get("Result"), "success", "culvert-client.service: an orderly stop")
    as_before(machine, before, "after systemctl stop")


# ---- all of it ----

def boot_and_test(machine):
    machine.make()
    machine.boot()
    traffic = None
    try:
        install(machine)
        traffic = Traffic(machine)
        relay(machine, traffic)
        exit_and_client(machine)
    except (Failure, subprocess.SubprocessError, OSError, KeyError, ValueError) as failure:
        suite.check(False, f"{type(failure).__name__}: {failure}")
        print(machine.out("systemctl --no-pager --failed; journalctl --no-pager -n 60 -u 'culvert*'", check=False))
    finally:
        if traffic:
            traffic.close()


def main():
    with Machine() as machine:
        boot_and_test(machine)
    suite.equal(machine.left_over(), [], "the machine is gone, with its mounts and groups")
    suite.finish()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("check-systemd needs root: run as root")
    main()
