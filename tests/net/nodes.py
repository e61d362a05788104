"""Culvert's programs in a Lab: configuration, keys, start, and the JSON they answer with."""
import base64
import json
import os
import pathlib
import re
import signal
import subprocess

from lab import Failure, wait_for

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", TOP / "build/release"))
PORT, WG_PORT = 51820, 51821


def key(path, seed=None):
    path.write_text(base64.b64encode(seed or os.urandom(32)).decode() + "\n")
    path.chmod(0o600)


def section(name, values):
    lines = [f"[{name}]"]
    for k, v in values.items():
        lines += [f"{k} = {item}" for item in (v if isinstance(v, list) else [v])]
    return "\n".join(lines) + "\n"


class Program:
    """Something with a config directory and an API socket."""

    def __init__(self, lab, ns, name):
        self.lab, self.ns, self.name = lab, ns, name
        self.dir = lab.dir / name
        self.dir.mkdir(mode=0o700)
        self.socket = self.dir / "api.sock"
        self.process = None

    def culvert(self, *words, check=True, timeout=60):
        return self.lab.run(self.ns, [BUILD / "culvert", *words], check=check, timeout=timeout)

    def ask(self, *words):
        """A verb's --json answer."""
        return json.loads(self.culvert(*words, "--json", "--socket", self.socket).stdout)

    def api(self, path, body=None):
        """The API itself, by curl: what a script of a user's would do."""
        argv = ["curl", "-sS", "--max-time", "10", "--unix-socket", self.socket, f"http://culvert{path}"]
        if body is not None:
            argv += ["-d", json.dumps(body)]
        return json.loads(self.lab.run(self.ns, argv).stdout)

    def log(self):
        path = self.dir.parent / f"{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""


class Node(Program):
    """culvertd as relay, exit, or both."""

    def __init__(self, lab, ns, roles, net, name=None, **options):
        super().__init__(lab, ns, name or ns)
        self.roles, self.net = roles, net
        self.launcher = []  # words before culvertd's
        for file in ("identity.key", "control.key", "wg.key"):
            key(self.dir / file)
        self.descriptor = self.dir / "data/node.descriptor"
        self.config = self.dir / "culvert.conf"
        self.options = {
            "Node": {"Name": self.name, "Roles": roles, "DataDir": self.dir / "data", "Announce": f"10.77.{net}.2:{PORT}, [fd77:{net}::2]:{PORT}",
                     "AllowRange": "10.77.0.0/16, fd77::/16"},
            "Relay": {"Exit": [], "Workers": 2}, "Exit": {"WireGuardPort": WG_PORT, "Interface": "culvert0"},
            "Price": {}, "Credits": {}, "Api": {"Socket": self.socket}, "Log": {"Level": "debug"},
        }
        for name_, values in options.items():
            self.options[name_].update(values)

    def write(self):
        self.config.write_text("".join(section(n, v) for n, v in self.options.items() if v and (n.lower() not in ("relay", "exit") or n.lower() in self.roles)))

    def start(self, wait=True):
        self.write()
        self.process = self.lab.start(self.ns, [*self.launcher, BUILD / "culvertd", "--config", self.config], log=f"{self.name}.log")
        if wait:
            wait_for(self.answers, f"{self.name} to answer ({self.log()[-600:]})", 15)
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.name} ended with status {self.process.returncode}: {self.log()[-1500:]}")
        return self.culvert("status", "--json", "--socket", self.socket, check=False).returncode == 0

    def status(self):
        return self.ask("status")

    def stop(self):
        return self.lab.stop(self.process)

    def kill(self):
        """kill -9 of the node process; its ledger goes with it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def balance(self, counters=None):
        """in - out - sum(drops) - queued of the data path, per direction: (packets, bytes), which must be (0, 0)."""
        relay = counters or self.status()["relay"]
        result = {}
        for way in ("up", "down"):
            result[way] = tuple(relay["in"][way][k] - relay["out"][way][k] - relay["queued"][way][k] - sum(d[way][k] for d in relay["drops"].values())
                                for k in ("packets", "bytes"))
        return result


class Client(Program):
    """`culvert up` through one relay to one exit."""

    def __init__(self, lab, relay, exit_, ns="client", name=None, **options):
        super().__init__(lab, ns, name or ns)
        for file in ("identity.key", "control.key", "wg.key"):
            key(self.dir / file)
        self.config = self.dir / "client.conf"
        self.options = {
            "Client": {"DataDir": self.dir / "data", "Relay": relay.descriptor, "Exit": exit_.descriptor, "Interface": "culvert1"},
            "Api": {"Socket": self.socket}, "Log": {"Level": "debug"},
        }
        for name_, values in options.items():
            self.options[name_].update(values)

    def write(self):
        self.config.write_text("".join(section(n, v) for n, v in self.options.items()))

    def start(self):
        self.write()
        self.process = self.lab.start(self.ns, [BUILD / "culvert", "up", "--foreground", "--config", self.config], log=f"{self.name}.log")

    def up(self, timeout=30):
        self.start()
        wait_for(self.connected, f"the client to connect ({self.log()[-800:]})", timeout)
        return self

    def answers(self):
        return self.culvert("status", "--json", "--socket", self.socket, check=False).returncode == 0

    def connected(self):
        if self.process.poll() is not None:
            raise Failure(f"culvert up ended with status {self.process.returncode}: {self.log()[-1500:]}")
        done = self.culvert("status", "--json", "--socket", self.socket, check=False)
        return done.returncode == 0 and json.loads(done.stdout)["state"] == "connected"

    def status(self):
        return self.ask("status")

    def stop(self):
        return self.lab.stop(self.process)


def download(lab, url, ns="client", timeout=120):
    """Fetches url in a namespace; (sha256, seconds)."""
    code = ("import hashlib,sys,time,urllib.request\nt=time.monotonic();h=hashlib.sha256()\n"
            "r=urllib.request.urlopen(sys.argv[1],timeout=60)\n"
            "while b:=r.read(65536): h.update(b)\n"
            "print(h.hexdigest(),time.monotonic()-t)")
    digest, seconds = lab.run(ns, ["python3", "-c", code, url], timeout=timeout).stdout.split()
    return digest, float(seconds)


WEB = """
import http.server, os, socket, sys
class H(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *a): pass
    protocol_version = "HTTP/1.1"
class S(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
os.chdir(sys.argv[1])
S(("::", 80), H).serve_forever()
"""


def web(lab, ns="web", size=20 << 20):
    """A web server with /blob of random bytes; returns its sha256."""
    import hashlib
    where = lab.dir / "web"
    where.mkdir(exist_ok=True)
    data = os.urandom(size)
    (where / "blob").write_bytes(data)
    lab.start(ns, ["python3", "-c", WEB, where], log="web.log")
    wait_for(lambda: lab.run(ns, ["python3", "-c", "import socket;socket.create_connection(('127.0.0.1',80))"], check=False).returncode == 0, "the web server")
    return hashlib.sha256(data).hexdigest()


def snapshot(lab, ns):
    """What `culvert up` must leave as it found it."""
    parts = []
    for words in ("-o link show", "-o addr show", "route show table all", "-6 route show table all", "rule show", "-6 rule show"):
        text = lab.run(ns, ["ip", *words.split()]).stdout
        parts.append("\n".join(sorted(re.sub(r" (expires|pref|age) \S+|valid_lft \S+ preferred_lft \S+", "", line) for line in text.splitlines())))
    return "\n".join(parts)


def verify_offline(program, sock_owner=None):
    """Exports a program's receipts and verifies them as nobody, without daemon: (exit status, output)."""
    path = program.dir / "receipts.jsonl"
    program.culvert("receipts", "export", "-o", path, "--socket", program.socket)
    done = subprocess.run([str(BUILD / "culvert"), "receipts", "verify", str(path)], text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr, path
