#!/usr/bin/env python3
"""The relay under real systemd: a debootstrap tree booted by systemd-nspawn, `make install`ed into, started by its
unit, carrying traffic, killed and back. Root; needs debootstrap and systemd-container (make deps)."""
import os
import pathlib
import re
import signal
import shutil
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
from lab import Failure, Suite, wait_for  # noqa: E402
from rig import Rig  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", TOP / "build/release"))
BASE, ROOT = TOP / "build/rootfs.base", TOP / "build/rootfs"
PACKAGES = ("systemd,systemd-sysv,dbus,libsodium23,libevent-core-2.1-7,libevent-extra-2.1-7,libsqlite3-0,libb2-1,libinih1,"
            "libjansson4,libmnl0,nftables,iproute2,procps")
CONFIG = """[Node]
Name = booted
Roles = relay
Identity = /etc/culvert/identity.key
ControlKey = /etc/culvert/control.key
DataDir = /var/lib/culvert
Listen = 0.0.0.0:51820
Announce = 127.0.0.1:51820
AllowRange = 127.0.0.0/8
[Relay]
Workers = 2
Exit = /etc/culvert/rig-exit.node
"""

suite = Suite()
machine = None


def sh(argv, **kwargs):
    return subprocess.run(list(map(str, argv)), check=True, text=True, **kwargs)


def make_root():
    if not (BASE / "usr/bin/systemctl").exists():
        shutil.rmtree(BASE, ignore_errors=True)
        mirror = next((m.group(1) for m in re.finditer(r"^deb (?:\[.*?\] )?(\S+) bookworm", sources(), re.M)), "http://deb.debian.org/debian")
        with open(TOP / "build/debootstrap.log", "w") as log:
            done = subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(BASE), mirror],
                                  stdout=log, stderr=log, check=False)
        if done.returncode:
            shutil.rmtree(BASE, ignore_errors=True)
            raise Failure("debootstrap failed: see build/debootstrap.log")
    shutil.rmtree(ROOT, ignore_errors=True)
    sh(["cp", "-a", BASE, ROOT])


def sources():
    text = ""
    for path in [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*")]:
        if path.is_file():
            content = path.read_text()
            text += content + "\n"
            # deb822 style
            for uri in re.findall(r"^URIs:\s*(\S+)", content, re.M):
                if "security" not in uri:
                    text += f"deb {uri} bookworm\n"
    return text


def inside(argv, check=True, timeout=60):
    """Runs a command in the booted machine."""
    done = subprocess.run(["nsenter", "-t", str(machine), "-m", "-p", "-n", "-u", "-i", *map(str, argv)], text=True,
                          capture_output=True, timeout=timeout, check=False)
    if check and done.returncode:
        raise Failure(f"{' '.join(argv)}: {(done.stdout + done.stderr).strip()}")
    return done.stdout.strip()


def leader(nspawn):
    """PID 1 of the machine: nspawn's child that is called systemd."""
    children = subprocess.run(["pgrep", "-P", str(nspawn.pid)], capture_output=True, text=True, check=False).stdout.split()
    for pid in children:
        if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
            return int(pid)
    return None


def property_of(name):
    return inside(["systemctl", "show", "-P", name, "culvert.service"])


def start_unit():
    sh(["make", "-s", "-C", TOP, f"DESTDIR={ROOT}", "install"], stdout=subprocess.DEVNULL)
    inside(["systemd-sysusers"])
    (ROOT / "etc/culvert/culvert.conf").write_text(CONFIG)
    for name in ("identity.key", "control.key"):
        (ROOT / "etc/culvert" / name).write_text(subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout)
        (ROOT / "etc/culvert" / name).chmod(0o600)
    inside(["chown", "-R", "culvert:culvert", "/etc/culvert"])
    inside(["systemctl", "daemon-reload"])
    inside(["systemctl", "enable", "--now", "culvert.service"], timeout=30)
    suite.equal(property_of("ActiveState"), "active", "systemctl start returns with the unit active (Type=notify)")
    suite.check("relay" in property_of("StatusText") or property_of("StatusText"), "status text is set")
    suite.equal(inside(["stat", "-c", "%U %a", "/var/lib/culvert"]), "culvert 700", "state directory is the user's alone")


def confined():
    pid = property_of("MainPID")
    status = inside(["cat", f"/proc/{pid}/status"])
    for name, want in (("CapEff", "0000000000000000"), ("CapBnd", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")):
        suite.equal(re.search(rf"^{name}:\s*(\S+)", status, re.M).group(1), want, f"{name} is {want}")
    suite.check(re.search(r"^Uid:\s*[1-9]", status, re.M), "not root")
    score = inside(["systemd-analyze", "security", "--offline=true", "--threshold=15", "/etc/systemd/system/culvert.service"], check=False)
    level = re.search(r"exposure level.*?: ([0-9.]+)", score)
    suite.check(level and float(level.group(1)) <= 1.5, f"systemd-analyze security: {level.group(1) if level else score[-200:]}")


def traffic(rig, what):
    rig.ask("send 200 1424")
    rig.ask("wait 500")
    stats = rig.ask("stats")["clients"]
    got = sum(c["received_packets"] for c in stats)
    suite.check(got >= 100 * len(stats), f"{what}: {got} datagrams came back through the relay")
    suite.check(all(c["bad_receipts"] == 0 for c in stats), f"{what}: receipts are right")


def main():
    global machine
    make_root()
    console = open(TOP / "build/nspawn.log", "wb")
    nspawn = subprocess.Popen(["systemd-nspawn", "--register=no", "--keep-unit", "-b", "--private-network", "--console=pipe", "-q",
                               "-D", str(ROOT), "--capability=CAP_IPC_LOCK", "--system-call-filter=@memlock"],
                              stdin=subprocess.DEVNULL, stdout=console, stderr=console)
    rigs = []
    try:
        machine = wait_for(lambda: leader(nspawn), "systemd to start in the machine", 20)
        wait_for(lambda: inside(["systemctl", "is-system-running"], check=False) in ("running", "degraded"), "boot", 60, 0.3)
        enter = ["nsenter", "-t", str(machine), "-n"]
        fake_exit = Rig(enter + [BUILD / "tests/net/rig_exit", ROOT / "etc/culvert/rig-exit.node", "127.0.0.1:51900"])
        rigs.append(fake_exit)
        fake_exit.ask("reflect 1")
        start_unit()
        confined()
        clients = Rig(enter + [BUILD / "tests/net/rig_clients", ROOT / "var/lib/culvert/node.descriptor",
                               ROOT / "etc/culvert/rig-exit.node", "127.0.0.1:51820", "1"])
        rigs.append(clients)
        suite.equal(clients.ask("open 4")["ready"], 4, "four clients connect to the unit's relay")
        traffic(clients, "before the kill")
        old = property_of("MainPID")
        inside(["kill", "-9", old])
        wait_for(lambda: property_of("ActiveState") == "active" and property_of("MainPID") not in ("0", old), "the unit to come back", 10)
        suite.check(True, "killed with -9, systemd brings it back")
        clients.close()
        clients = Rig(enter + [BUILD / "tests/net/rig_clients", ROOT / "var/lib/culvert/node.descriptor",
                               ROOT / "etc/culvert/rig-exit.node", "127.0.0.1:51820", "100"])
        rigs.append(clients)
        suite.equal(clients.ask("open 4")["ready"], 4, "clients connect again")
        traffic(clients, "after the kill")
        inside(["systemctl", "stop", "culvert.service"], timeout=30)
        suite.equal(property_of("Result"), "success", "orderly stop")
    except Failure as failure:
        suite.check(False, str(failure))
        if machine:
            print(inside(["journalctl", "--no-pager", "-n", "40", "-u", "culvert.service"], check=False))
    finally:
        for rig in rigs:
            rig.close()
        if machine:
            inside(["systemctl", "poweroff", "--force"], check=False)
        try:
            nspawn.wait(20)
        except subprocess.TimeoutExpired:
            nspawn.send_signal(signal.SIGKILL)
            nspawn.wait()
        console.close()
        time.sleep(0.2)
        shutil.rmtree(ROOT, ignore_errors=True)
    suite.finish()


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("check-systemd needs root: run as root")
    main()
