"""Network namespaces with a small internet in them, taken down however the test ends. Root, python3 stdlib.

        client 10.77.1.2 --+                  +-- exit  10.77.3.2
                           +-- core (routes) --+
        relay  10.77.2.2 --+                  +-- web   10.77.4.2

Every leg also has IPv6, fd77:N::2/64; core is .1 and ::1 on each. Nothing reaches the machine's own network.
"""
import atexit
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

LEGS = {"client": 1, "relay": 2, "exit": 3, "web": 4}


class Failure(Exception):
    """A condition that did not come, with the reason for a person."""


def wait_for(condition, what, timeout=10.0, step=0.05):
    """Polls until condition() is true-ish and returns it; Failure after timeout seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {timeout:g} s for {what}")
        time.sleep(step)


def private_mounts(_once=[]):
    """A mount namespace for this process and its children, where the names of network namespaces and wireguard-go's sockets
    are nobody else's: labs side by side do not meet, and what a killed one leaves behind goes with its last process."""
    if _once:
        return
    clone_newns = 0x00020000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(clone_newns):
        raise Failure(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for place in ("/var/run/wireguard", "/run/netns"):
        os.makedirs(place, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "culvert-lab", place], check=True)
    _once.append(True)


class Lab:
    """One test's namespaces, processes and scratch directory."""

    def __init__(self, name="lab", legs=None):
        if os.geteuid() != 0:
            raise Failure("network namespaces need root: run as root")
        private_mounts()
        self.prefix = f"cv{os.getpid()}-"
        self.names, self.processes = [], []
        self.legs = dict(LEGS if legs is None else legs)
        # On a real disk: what is tested here must survive kill -9 there.
        scratch = pathlib.Path(os.environ.get("CULVERT_SCRATCH", pathlib.Path(__file__).resolve().parents[2] / "build/scratch"))
        scratch.mkdir(parents=True, exist_ok=True)
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}-", dir=scratch))
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._interrupted)
        self.add("core")
        for leg, net in self.legs.items():
            self.add(leg)
            self.join(leg, net)
        self.sysctl("core", "net.ipv4.ip_forward=1")
        self.sysctl("core", "net.ipv6.conf.all.forwarding=1")

    def _interrupted(self, number, _frame):
        self.close()
        sys.exit(128 + number)

    # ---- namespaces ----
    def ns(self, name):
        return self.prefix + name

    def add(self, name):
        subprocess.run(["ip", "netns", "add", self.ns(name)], check=True)
        self.names.append(name)
        self.sysctl(name, "net.ipv6.conf.all.accept_dad=0")
        self.sysctl(name, "net.ipv6.conf.default.accept_dad=0")
        self.ip(name, "link set lo up")

    def join(self, name, net):
        """A leg from `name` (eth0) to core (its interface has the leg's name)."""
        subprocess.run(["ip", "link", "add", "eth0", "netns", self.ns(name), "type", "veth",
                        "peer", "name", name, "netns", self.ns("core")], check=True)
        for place, device, host in (("core", name, 1), (name, "eth0", 2)):
            self.ip(place, f"addr add 10.77.{net}.{host}/24 dev {device}")
            self.ip(place, f"addr add fd77:{net}::{host}/64 dev {device} nodad")
            self.ip(place, f"link set {device} up")
        self.ip(name, f"route add default via 10.77.{net}.1")
        self.ip(name, f"-6 route add default via fd77:{net}::1")

    def move(self, name, old, new):
        """The host changes its address on its leg: the old one goes first, as when a network changes."""
        net = self.legs[name]
        self.ip(name, f"addr del 10.77.{net}.{old}/24 dev eth0")
        self.ip(name, f"addr add 10.77.{net}.{new}/24 dev eth0")
        self.ip(name, f"route add default via 10.77.{net}.1")

    def ip(self, name, words):
        self.run(name, ["ip", *words.split()])

    def sysctl(self, name, setting):
        self.run(name, ["sysctl", "-qw", setting])

    def nft(self, name, text):
        self.run(name, ["nft", "-f", "-"], input=text)

    # ---- processes ----
    def argv(self, name, argv):
        return ["ip", "netns", "exec", self.ns(name), *map(str, argv)]

    def run(self, name, argv, check=True, timeout=60, **kwargs):
        done = subprocess.run(self.argv(name, argv), text=True, capture_output=True, timeout=timeout, check=False, **kwargs)
        if check and done.returncode:
            raise Failure(f"{name}: {' '.join(map(str, argv))}: exit {done.returncode}: {(done.stdout + done.stderr).strip()}")
        return done

    def start(self, name, argv, log=None, **kwargs):
        """Starts a process in a namespace; its output goes to DIR/log. ip netns exec execs: the pid is its own."""
        out = open(self.dir / (log or "out.log"), "ab")
        process = subprocess.Popen(self.argv(name, argv), stdout=kwargs.pop("stdout", out), stderr=out,
                                   stdin=subprocess.DEVNULL, **kwargs)
        out.close()
        self.processes.append(process)
        return process

    def stop(self, process, number=signal.SIGTERM, timeout=15):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise Failure(f"{process.args[4:6]} did not end within {timeout} s of signal {number}") from None
        if process in self.processes:
            self.processes.remove(process)
        return process.returncode

    def close(self):
        names, self.names = self.names, []
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        for name in reversed(names):
            # What a test leaves running inside (supervised children) ends with the namespace.
            inside = subprocess.run(["ip", "netns", "pids", self.ns(name)], text=True, capture_output=True, check=False)
            for pid in inside.stdout.split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "del", self.ns(name)], check=False)
        if names and not os.environ.get("CULVERT_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


class Suite:
    """Named checks with the closing line the runner reads."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, condition, what):
        if condition:
            self.passed += 1
            print(f"ok   {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {what}", flush=True)
        return condition

    def equal(self, got, want, what):
        return self.check(got == want, what if got == want else f"{what}: got {got!r}, want {want!r}")

    def finish(self):
        print(f"{self.passed} passed, {self.failed} failed")
        sys.exit(1 if self.failed or not self.passed else 0)

    def run(self, *cases):
        """Runs functions; an exception in one is its failure, and the rest go on."""
        for case in cases:
            try:
                case()
            except Exception as error:
                self.check(False, f"{case.__name__}: {type(error).__name__}: {error}")
        self.finish()
