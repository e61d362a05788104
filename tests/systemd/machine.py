"""A machine booted by systemd-nspawn from a debootstrap tree, gone again however the test ends. Root, python3 stdlib."""
import ctypes
import hashlib
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests/net"))
from lab import Failure, wait_for  # noqa: E402

BASE = TOP / "build/rootfs.base"
PACKAGES = ("systemd,systemd-sysv,dbus,libsodium23,libevent-core-2.1-7,libevent-extra-2.1-7,libsqlite3-0,libb2-1,libinih1,"
            "libjansson4,libmnl0,nftables,iproute2,procps,iputils-ping,wireguard-tools,wireguard-go")
CGROUPS = pathlib.Path("/sys/fs/cgroup")
PR_SET_PDEATHSIG = 1


def mirror():
    """The Debian mirror this machine itself uses."""
    for path in [pathlib.Path("/etc/apt/sources.list"), *sorted(pathlib.Path("/etc/apt/sources.list.d").glob("*"))]:
        text = path.read_text(errors="replace") if path.is_file() else ""
        for uri in re.findall(r"^deb (?:\[.*?\] )?(\S+) bookworm ", text, re.M) + re.findall(r"^URIs:\s*(\S+)", text, re.M):
            if re.search(r"/debian/?$", uri):
                return uri
    return "http://deb.debian.org/debian"


def base_tree():
    """Debian with what Culvert needs, made once for each list of packages."""
    stamp, want = BASE.with_suffix(".stamp"), hashlib.sha256(PACKAGES.encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == want:
        return
    shutil.rmtree(BASE, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    BASE.parent.mkdir(exist_ok=True)
    with open(TOP / "build/debootstrap.log", "w", encoding="utf-8") as log:
        done = subprocess.run(["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(BASE), mirror()],
                              stdout=log, stderr=log, check=False)
    if done.returncode:
        raise Failure("debootstrap failed: see build/debootstrap.log")
    stamp.write_text(want)


def mounts_below(path):
    mounts = pathlib.Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line.split()[4] for line in mounts if line.split()[4].startswith(str(path))]


class Machine:
    """One booted copy of the tree. `with Machine() as m:` ends it, on SIGTERM and SIGINT too."""

    def __init__(self):
        self.name = f"culvert-{os.getpid()}"
        self.root = TOP / "build" / self.name
        self.log = TOP / "build/nspawn.log"
        self.nspawn = self.pid = None

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda n, _frame: sys.exit(128 + n))
        return self

    def __exit__(self, *_error):
        self.end()

    def make(self):
        base_tree()
        for old in self.root.parent.glob("culvert-*"):  # of a test that was killed
            if not pathlib.Path("/proc", old.name.split("-")[1]).exists():
                shutil.rmtree(old, ignore_errors=True)
        subprocess.run(["cp", "-a", "--reflink=auto", str(BASE), str(self.root)], check=True)
        # As udev makes it: for everybody, because what counts is CAP_NET_ADMIN.
        os.mknod(self.root / "tun", stat.S_IFCHR, os.makedev(10, 200))
        os.chmod(self.root / "tun", 0o666)

    def cgroups(self):
        """Where this machine's processes go when there is no systemd outside to make a scope for them."""
        roots = [CGROUPS] if (CGROUPS / "cgroup.procs").exists() else [p for p in CGROUPS.iterdir() if (p / "cgroup.procs").exists()]
        return [root / self.name for root in roots if root.name in ("cgroup", "systemd", "unified")]

    def prepare(self):
        """In the child: not outliving the test, and in a group of its own."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if not os.path.isdir("/run/systemd/system"):
            for group in self.cgroups():
                group.mkdir(exist_ok=True)
                (group / "cgroup.procs").write_text(str(os.getpid()))

    def boot(self):
        """Boots with a network of its own (lo only), /dev/net/tun, and the calls a unit's memory locking and wireguard-go need."""
        argv = ["systemd-nspawn", "-b", "-q", "--register=no", "--private-network", "--console=pipe", "-M", self.name, "-D", self.root,
                f"--bind={self.root}/tun:/dev/net/tun", "--capability=CAP_IPC_LOCK,CAP_NET_ADMIN", "--system-call-filter=@memlock pidfd_getfd"]
        if not os.path.isdir("/run/systemd/system"):
            argv.append("--keep-unit")
        with open(self.log, "wb") as console:
            self.nspawn = subprocess.Popen(list(map(str, argv)), stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                                           preexec_fn=self.prepare)  # pylint: disable=subprocess-popen-preexec-fn
        self.pid = wait_for(self.leader, f"systemd to start in the machine (see {self.log})", 20)
        wait_for(lambda: self.run("systemctl is-system-running", check=False).stdout.strip() in ("running", "degraded"), "the boot", 60, 0.2)

    def leader(self):
        """PID 1 of the machine: nspawn's child once it is systemd."""
        if self.nspawn.poll() is not None:
            raise Failure(f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-500:]}")
        for task in pathlib.Path(f"/proc/{self.nspawn.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                try:
                    if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                        return int(pid)
                except FileNotFoundError:
                    pass
        return None

    def enter(self, *options):
        return ["nsenter", "-t", str(self.pid), *(options or ("-m", "-p", "-n", "-u", "-i", "-C", "-r", "-w"))]

    def run(self, line, check=True, timeout=60):
        """A line of shell inside, as its root."""
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*self.enter(), "/bin/sh", "-c", line], text=True, capture_output=True, timeout=timeout, check=False, env=env)
        if check and done.returncode:
            raise Failure(f"{line}: exit {done.returncode}: {(done.stdout + done.stderr).strip()[-1500:]}")
        return done

    def out(self, line, **kwargs):
        return self.run(line, **kwargs).stdout.strip()

    def end(self):
        if self.nspawn:
            if self.nspawn.poll() is None:
                self.nspawn.terminate()  # an orderly power-off
            try:
                self.nspawn.wait(20)
            except subprocess.TimeoutExpired:
                if self.pid:
                    os.kill(self.pid, signal.SIGKILL)
                self.nspawn.kill()
                self.nspawn.wait()
            self.nspawn = None
        for group in self.cgroups():
            for path in sorted(group.rglob("*"), key=lambda p: -len(p.parts)) + [group]:
                self.remove_group(path)
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.with_name(f".#{self.name}.lck").unlink(missing_ok=True)

    @staticmethod
    def remove_group(path):
        for _ in range(20):  # a group is busy for a moment after its last process
            try:
                if path.is_dir():
                    path.rmdir()
                return
            except OSError:
                time.sleep(0.05)

    def left_over(self):
        """What should be gone and is not."""
        groups = [str(g) for g in self.cgroups() if g.exists()]
        return mounts_below(self.root) + mounts_below(f"/run/systemd/nspawn/propagate/{self.name}") + groups + ([str(self.root)] if self.root.exists() else [])
