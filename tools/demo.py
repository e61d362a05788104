#!/usr/bin/env python3
"""`make demo`: an operator's relay and exit, a client, and a web server, each in a network namespace of its own; a
download through real WireGuard that survives a change of address and a kill -9 of the relay; the bill; the proof."""
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests/net"))
from lab import Failure, Lab, wait_for  # noqa: E402
from nodes import BUILD, WEB, section, snapshot  # noqa: E402

SIZE = 200 << 20
START = time.monotonic()
BOLD, DIM, OFF = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "", "")

PICTURE = """
     client                 relay                  exit                  web
   10.77.1.2  ---UDP--->  10.77.2.2  ---UDP--->  10.77.3.2  ---IP--->  10.77.4.2
   [WireGuard ==================================> WireGuard]
   `culvert up`           culvertd: forwards     culvertd: lets it     a plain web server
                          what it cannot read,   out, masqueraded
                          counts it, is paid
"""

FETCH = """
import hashlib, sys, time, urllib.request
h, n, r = hashlib.sha256(), 0, urllib.request.urlopen(sys.argv[1], timeout=60)
while b := r.read(1 << 16):
    h.update(b); n += len(b); print(n, flush=True)
print("sha256", h.hexdigest(), flush=True)
"""


def say(text=""):
    print(text, flush=True)


def title(text):
    say(f"\n{BOLD}[{time.monotonic() - START:5.1f} s] {text}{OFF}")


def show(lab, ns, argv, hide=""):
    """Runs a command of the user's and shows it with what it printed."""
    say(f"{DIM}{ns}${OFF} {' '.join(str(a) for a in argv).replace(str(BUILD) + '/', '').replace(str(lab.dir) + '/', '')}")
    done = lab.run(ns, argv, check=False)
    for line in (done.stdout + done.stderr).rstrip().splitlines():
        if not hide or hide not in line:
            say("   " + line.replace(str(lab.dir) + "/", ""))
    if done.returncode:
        raise Failure(f"'{' '.join(str(a) for a in argv)}' ended with status {done.returncode}")
    return done.stdout


class Demo:
    def __init__(self):
        self.lab = Lab("demo")
        self.dirs = {name: self.lab.dir / name for name in ("relay", "exit", "client")}
        self.nodes = {}

    def node(self, ns, roles, net, extra):
        where = self.dirs[ns]
        show(self.lab, ns, [BUILD / "culvert", "init", "--roles", roles, "--name", {"relay": "kestrel", "exit": "heron"}[ns],
                            "--announce", f"10.77.{net}.2:51820", "--dir", where])
        with open(where / "culvert.conf", "a") as config:
            config.write("\n# ---- what the demo changes: its own directories, its own little internet ----\n")
            config.write(section("Node", {"DataDir": where / "data", "AllowRange": "10.77.0.0/16", **extra.pop("Node", {})}))
            config.write(section("Api", {"Socket": where / "api.sock"}))
            for name, values in extra.items():
                config.write(section(name, values))

    def start(self, ns):
        self.nodes[ns] = self.lab.start(ns, [BUILD / "culvertd", "--config", self.dirs[ns] / "culvert.conf"], log=f"{ns}.log")
        wait_for(lambda: self.lab.run(ns, [BUILD / "culvert", "status", "--socket", self.dirs[ns] / "api.sock"], check=False).returncode == 0,
                 f"the {ns} to answer: {self.tail(ns)}", 15)

    def tail(self, ns):
        path = self.lab.dir / f"{ns}.log"
        return path.read_text(errors="replace")[-800:] if path.exists() else ""

    def lay_out(self):
        title("Four hosts in network namespaces")
        say(PICTURE)
        where = self.lab.dir / "web"
        where.mkdir()
        digest = hashlib.sha256()
        with open(where / "blob", "wb") as blob:
            for _ in range(SIZE >> 20):
                part = os.urandom(1 << 20)
                digest.update(part)
                blob.write(part)
        self.digest = digest.hexdigest()
        self.lab.start("web", ["python3", "-c", WEB, where], log="web.log")
        probe = ["python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 80))"]
        wait_for(lambda: self.lab.run("web", probe, check=False).returncode == 0, "the web server", 20)

    def operators(self):
        title("Two operators set up their nodes")
        allowance = {"Price": {"FreeAllowance": 5000}}
        self.node("exit", "exit", 3, dict(allowance))
        self.start("exit")
        self.node("relay", "relay", 2, {"Relay": {"Exit": self.dirs["exit"] / "data/node.descriptor"}, **allowance})
        self.start("relay")

    def connect(self):
        title("A user connects: WireGuard through the relay to the exit")
        client = self.dirs["client"]
        show(self.lab, "client", [BUILD / "culvert", "init", "--client", "--relay", self.dirs["relay"] / "data/node.descriptor",
                                  "--exit", self.dirs["exit"] / "data/node.descriptor", "--dir", client])
        with open(client / "client.conf", "a") as config:
            config.write(section("Client", {"DataDir": client / "data"}) + section("Api", {"Socket": client / "api.sock"}))
        wait_for(lambda: "fe80" in self.lab.run("client", ["ip", "addr", "show", "dev", "eth0"]).stdout, "the client's link")
        self.before = snapshot(self.lab, "client")
        show(self.lab, "client", [BUILD / "culvert", "up", "--config", client / "client.conf"])

    def transfer(self):
        title(f"A download of {SIZE >> 20} MiB through the tunnel, with two accidents")
        fetch = self.lab.start("client", ["python3", "-c", FETCH, "http://10.77.4.2/blob"], stdout=subprocess.PIPE, log="fetch.log", text=True)
        accidents = [(SIZE * 3 // 10, self.move), (SIZE * 6 // 10, self.kill)]
        begun = shown = time.monotonic()
        for line in fetch.stdout:
            if line.startswith("sha256"):
                self.progress(SIZE, begun, True)
                if line.split()[1] != self.digest:
                    raise Failure("the download's checksum is wrong")
                say("   checksum right")
                break
            done = int(line)
            if accidents and done >= accidents[0][0]:
                self.progress(done, begun, True)
                accidents.pop(0)[1]()
            elif time.monotonic() - shown >= (0.25 if sys.stdout.isatty() else 2):
                shown = time.monotonic()
                self.progress(done, begun, not sys.stdout.isatty())
        if fetch.wait(60):
            raise Failure(f"the download failed: {self.tail('fetch')}")

    @staticmethod
    def progress(done, begun, keep):
        cells = 40 * done // SIZE
        rate = done * 8 / 1e6 / max(time.monotonic() - begun, 0.001)
        print(f"\r   [{'#' * cells}{'.' * (40 - cells)}] {done >> 20:3} of {SIZE >> 20} MiB  {rate:5.0f} Mbit/s ", end="\n" if keep else "", flush=True)

    def move(self):
        say("   --> the client's network changes: 10.77.1.2 is gone, it is 10.77.1.99 now")
        self.lab.move("client", 2, 99)

    def kill(self):
        say("   --> kill -9: the relay dies in mid-transfer; a second later it is started again")
        self.nodes["relay"].kill()
        self.nodes["relay"].wait()
        time.sleep(1)
        self.start("relay")

    def bill(self):
        title("What each side sees")
        time.sleep(1)
        for ns in ("client", "relay", "exit"):
            sock = self.dirs[ns] / "api.sock"
            for verb in ("status", "sessions", "credits"):
                show(self.lab, ns, [BUILD / "culvert", verb, "--socket", sock])
            say()

    def proof(self):
        title("Disconnect, and prove the bill offline: files and public keys, no daemon, no database")
        rows = {}
        show(self.lab, "client", [BUILD / "culvert", "receipts", "export", "-o", self.lab.dir / "client.jsonl", "--socket", self.dirs["client"] / "api.sock"])
        show(self.lab, "client", [BUILD / "culvert", "down", "--config", self.dirs["client"] / "client.conf"])
        for ns in ("relay", "exit"):
            show(self.lab, ns, [BUILD / "culvert", "receipts", "export", "-o", self.lab.dir / f"{ns}.jsonl", "--socket", self.dirs[ns] / "api.sock"])
            rows[ns] = json.loads(self.lab.run(ns, [BUILD / "culvert", "credits", "--json", "--socket", self.dirs[ns] / "api.sock"]).stdout)["credits"]
        for ns in ("client", "relay", "exit"):
            show(self.lab, ns, [BUILD / "culvert", "receipts", "verify", self.lab.dir / f"{ns}.jsonl"])
        if snapshot(self.lab, "client").replace("10.77.1.99", "10.77.1.2") != self.before:
            raise Failure("culvert down left something behind in the client's routes, rules or devices")
        earned = {ns: sum(row["earned"] for row in rows[ns]) for ns in rows}
        carried = {ns: sum(row["bytes"] for row in rows[ns]) / 2**20 for ns in rows}
        title("Who earned what")
        say(f"""
     client  --- pays {earned['relay'] + earned['exit']} micro-credits ---+
                                             |
        relay kestrel  <-- {earned['relay']:6} micro-credits for {carried['relay']:6.1f} MiB, both signed
        exit  heron    <-- {earned['exit']:6} micro-credits for {carried['exit']:6.1f} MiB, both signed

   The client's routes, rules and devices are as they were. The killed relay lost what nobody had signed:
   never more than one credit window.""")


def main():
    if os.geteuid() != 0:
        sys.exit("make demo makes network namespaces: run it as root")
    demo = None
    try:
        demo = Demo()
        for part in (demo.lay_out, demo.operators, demo.connect, demo.transfer, demo.bill, demo.proof):
            part()
        title("Done; taking everything down")
    except (Failure, subprocess.SubprocessError, OSError) as error:
        say(f"\ndemo: {error}")
        for ns in ("relay", "exit", "client"):
            if demo and demo.tail(ns):
                say(f"--- {ns}'s log\n{demo.tail(ns)}")
        sys.exit(1)
    finally:
        if demo:
            demo.lab.close()


if __name__ == "__main__":
    main()
