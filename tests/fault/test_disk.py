#!/usr/bin/env python3
"""A node whose disk does not take its books: a real ext4 that fills up, one that turns read-only after an error, and an exit whose
writes fail. Paid traffic flows on within its window and is then held, not cut; nothing is opened; the reason is said once a minute;
when the cause goes, the very same session is signed for again and the transfer ends well."""
import atexit
import errno
import json
import mmap
import os
import pathlib
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "net"))
from lab import LEGS, Lab, Suite, wait_for  # noqa: E402
from nodes import BUILD, Client, Node, verify_offline, web  # noqa: E402

MIB = 1 << 20
WINDOW = 2 * MIB
FETCH = ("import hashlib,sys,time,urllib.request\nh=hashlib.sha256();n=0\nr=urllib.request.urlopen(sys.argv[1],timeout=300)\n"
         "while b:=r.read(16384):\n h.update(b);n+=len(b);print(n,flush=True);time.sleep(.004)\nprint(h.hexdigest(),flush=True)")
# tests/fault/fault.h
FAULT_WRITE, FAULT_TRUNCATE, FAULT_PAGE = 1 << 1, 1 << 3, 64 + 512

lab, suite = Lab("disk", legs={**LEGS, "late": 5}), Suite()
digest = ""


def mount(image, place):
    subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, place], check=True)


def umount(place):
    subprocess.run(["umount", place], check=True)


class Fault:
    """fault.so in front of a program, and the page that tells it what fails."""

    def __init__(self, directory):
        self.path = lab.dir / "fault.page"
        self.path.write_bytes(bytes(FAULT_PAGE))
        with open(self.path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), FAULT_PAGE)
        self.env = {"LD_PRELOAD": str(BUILD / "tests/fault/fault.so"), "CULVERT_FAULT": str(self.path), "CULVERT_FAULT_DIR": str(directory)}

    def arm(self, classes, error):
        struct.pack_into("=IiIxxxxQQQQQ", self.page, 0, 0, error, 1, 1, 0, 0, 0, 0)
        struct.pack_into("=I", self.page, 0, classes)

    def disarm(self):
        struct.pack_into("=I", self.page, 0, 0)

    def failed(self):
        return struct.unpack_from("=Q", self.page, 40)[0]


exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": 10**6, "WindowStart": WINDOW, "WindowCap": WINDOW})
relay = Node(lab, "relay", "relay", 2, Relay={"Exit": [exit_.descriptor], "MaxSessions": 16},
             Price={"FreeAllowance": 10**6, "WindowStart": WINDOW, "WindowCap": WINDOW})
client = Client(lab, relay, exit_)
late = Client(lab, relay, exit_, ns="late", Client={"Interface": "culvert2"})
data, image = relay.dir / "data", lab.dir / "disk.ext4"
fault = Fault(exit_.dir / "data")


class Transfer:
    def __init__(self, name):
        self.path = lab.dir / f"{name}.log"
        self.process = lab.start("client", ["python3", "-c", FETCH, "http://10.77.4.2/blob"], log=self.path.name)

    def arrived(self):
        return max((int(w) for w in self.path.read_text().split() if w.isdigit() and len(w) < 20), default=0)

    def stands(self):
        seen = self.arrived()
        time.sleep(1.5)
        return seen if self.arrived() == seen else None

    def ends_well(self, what):
        wait_for(lambda: self.process.poll() is not None, f"the transfer to end ({what})", 60)
        suite.equal(self.path.read_text().split()[-1], digest, f"{what}: the transfer goes on and arrives whole")


def said(node, what):
    return [line for line in node.log().splitlines() if what in line]


def sessions(program):
    return sorted(s["session"] for s in program.ask("sessions")["sessions"])


def held(node, transfer, what):
    """Within what was granted it flows, then it stands: nothing new is granted."""
    before = transfer.arrived()
    stood = wait_for(transfer.stands, f"the transfer to be held ({what})", 30)
    suite.check(before < stood <= before + 2 * WINDOW, f"{what}: {stood - before} bytes flow on, of windows of {WINDOW}, then it is held")
    suite.equal(transfer.process.poll(), None, f"{what}: held, not cut")
    suite.equal(node.process.poll(), None, f"{what}: the node lives")
    suite.check(node.ask("credits")["credits"], f"{what}: its books can be read")


def begins():
    global digest
    digest = web(lab, size=40 * MIB)
    data.mkdir(mode=0o700)
    with open(image, "wb") as f:
        f.truncate(64 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    # Every network namespace's processes have mounts of their own, copies of ours: what goes here must go there.
    subprocess.run(["mount", "--bind", relay.dir, relay.dir], check=True)
    subprocess.run(["mount", "--make-shared", relay.dir], check=True)
    mount(image, data)
    data.chmod(0o700)
    atexit.register(lambda: subprocess.run(["umount", "-R", "-l", relay.dir], stderr=subprocess.DEVNULL, check=False))
    lab.sysctl("client", "net.ipv4.tcp_rmem=4096 65536 131072")
    os.environ.update(fault.env)
    exit_.start()
    for name in fault.env:
        del os.environ[name]
    relay.start()
    client.up()


def full_disk():
    transfer = Transfer("full")
    wait_for(lambda: transfer.arrived() > 3 * MIB, "the transfer to begin", 20)
    own = sessions(relay)
    with open(data / "filler", "wb") as f:
        try:
            while True:
                f.write(bytes(4096))
                f.flush()
        except OSError as error:
            suite.equal(error.errno, errno.ENOSPC, "the disk is full")
    held(relay, transfer, "full disk")
    lines = said(relay, "cannot be written")
    suite.equal(len(lines), 1, "full disk: said once")
    suite.check("No space left" in lines[0] and "ledger.db" in lines[0] and "make room" in lines[0], f"full disk: says what, where, what to do: {lines[0]}")
    try:
        late.up(6)
        suite.check(False, "full disk: no new session")
    except Exception as error:
        suite.equal(sessions(relay), own, f"full disk: no new session ({str(error)[:40]})")
    (data / "filler").unlink()
    transfer.ends_well("full disk")
    suite.check(set(own) <= set(sessions(relay)), "full disk: in the same session")
    suite.equal(len(said(relay, "is written again")), 1, "full disk: says that it is over")
    wait_for(late.connected, "the late client to come in by itself", 90)
    suite.check(True, "full disk: who was refused comes in by itself")
    late.stop()


def exit_that_cannot_write():
    for error, advice in ((errno.EROFS, "Read-only file system"), (errno.EIO, "Input/output error")):
        what = f"exit, {advice}"
        transfer = Transfer(f"exit{error}")
        wait_for(lambda t=transfer: t.arrived() > 3 * MIB, "the transfer to begin", 20)
        own = sessions(exit_)
        fault.arm(FAULT_WRITE | FAULT_TRUNCATE, error)
        held(exit_, transfer, what)
        suite.check(0 < fault.failed() < 100, f"{what}: {fault.failed()} writes failed, not a storm of them")
        fault.disarm()
        transfer.ends_well(what)
        suite.equal(sessions(exit_), own, f"{what}: in the same session")
    lines = said(exit_, "cannot be written")
    suite.check(1 <= len(lines) <= 2 and "mount its disk read-write" in lines[0], f"exit: said at most once a minute: {lines[0] if lines else 'never'}")
    suite.check("is written again" in exit_.log(), "exit: says that it is over")


def file_system_error():
    """The kernel takes an ext4 with an error away from its writers for good: the node goes on until its disk is mended."""
    transfer = Transfer("readonly")
    wait_for(lambda: transfer.arrived() > 3 * MIB, "the transfer to begin", 20)
    device = subprocess.run(["findmnt", "-no", "SOURCE", data], capture_output=True, text=True, check=True).stdout.strip()
    (pathlib.Path("/sys/fs/ext4") / pathlib.Path(device).name / "trigger_fs_error").write_text("a test")
    held(relay, transfer, "read-only")
    signed = {s["session"]: s["signed"] for s in relay.ask("sessions")["sessions"]}
    # The minute of the full disk's line may not be over.
    line = wait_for(lambda: said(relay, "mount its disk read-write"), "the line on a read-only disk", 90)[-1]
    suite.check("ledger.db: cannot be written (Read-only file system)" in line, f"read-only: {line}")
    relay.kill()
    wait_for(lambda: subprocess.run(["umount", data], capture_output=True, check=False).returncode == 0, "the ledger to let go", 10)
    subprocess.run(["e2fsck", "-fy", image], capture_output=True, check=False)
    mount(image, data)
    relay.start()
    status, output, path = verify_offline(relay)
    suite.equal(status, 0, f"read-only: receipts verify: {output.strip().splitlines()[-1]}")
    heads = {}
    for row in map(json.loads, path.read_text().splitlines()):
        if "receipt" in row:
            heads[row["session"]] = max(heads.get(row["session"], 0), row["bytes_up"] + row["bytes_down"])
    suite.equal([s for s, total in signed.items() if heads.get(s, 0) < total], [], "read-only: all that was signed is there after fsck")
    client.stop()
    relay.stop()
    umount(data)


suite.run(begins, full_disk, exit_that_cannot_write, file_system_error)
