#!/usr/bin/env python3
"""`make demo`: an operator's relay and exit, a client, and a web server, each in a network namespace of its own; a
download through real WireGuard that survives a change of address and a kill -9 of the relay; the bill; the proof; the
books, and a settlement batch that somebody else checks."""
import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests/net"))
from lab import Failure, Lab, wait_for  # noqa: E402
from nodes import BUILD, WEB, section, snapshot  # noqa: E402

SIZE = 200 << 20
ALLOWANCE = 50  # micro-credits: less than the download costs, so that the rest is paid from what was granted
GRANT = 5000
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


def plain(lab, text):
    """Without the demo's own directories, and accounts' 64 digits cut to the first 8."""
    text = text.replace(f"{BUILD}/", "").replace(f"{lab.dir}/", "")
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1...", text)


def show(lab, ns, argv):
    """Runs a command of the user's and shows it with what it printed."""
    words = [str(a) for a in argv]
    say(f"{DIM}{ns}${OFF} {plain(lab, ' '.join(words))}")
    done = lab.run(ns, argv, check=False)
    for line in (done.stdout + done.stderr).rstrip().splitlines():
        say("   " + plain(lab, line))
    if done.returncode:
        raise Failure(f"'{' '.join(words)}' ended with status {done.returncode}")
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
        allowance = {"Price": {"FreeAllowance": ALLOWANCE}}
        self.node("exit", "exit", 3, dict(allowance))
        self.start("exit")
        self.node("relay", "relay", 2, {"Relay": {"Exit": self.dirs["exit"] / "data/node.descriptor"}, **allowance})
        self.start("relay")

    def connect(self):
        title("A user connects: WireGuard through the relay to the exit")
        client = self.dirs["client"]
        made = show(self.lab, "client", [BUILD / "culvert", "init", "--client", "--relay", self.dirs["relay"] / "data/node.descriptor",
                                         "--exit", self.dirs["exit"] / "data/node.descriptor", "--dir", client])
        payer = re.search(r"payer id (\S+)", made)[1]
        with open(client / "client.conf", "a") as config:
            config.write(section("Client", {"DataDir": client / "data"}) + section("Api", {"Socket": client / "api.sock"}))
        wait_for(lambda: "fe80" in self.lab.run("client", ["ip", "addr", "show", "dev", "eth0"]).stdout, "the client's link")
        for ns in ("relay", "exit"):
            self.culvert(ns, "credits", "grant", payer, GRANT)
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

    def culvert(self, ns, *words):
        """A command of the user's that asks the daemon of this host."""
        return show(self.lab, ns, [BUILD / "culvert", *words, "--socket", self.dirs[ns] / "api.sock"])

    def ask(self, ns, *words):
        """The same for the demo itself: nothing is shown."""
        return json.loads(self.lab.run(ns, [BUILD / "culvert", *words, "--json", "--socket", self.dirs[ns] / "api.sock"]).stdout)

    def bill(self):
        title("What each side sees")
        time.sleep(1)
        for ns in ("client", "relay", "exit"):
            for verb in ("status", "sessions", "credits"):
                self.culvert(ns, verb)
            say()
        title("Three counts of the same bytes: every byte of difference has a name")
        self.adds_up(self.culvert("client", "reconcile", self.ask("client", "status")["relay"]["session"]))

    @staticmethod
    def adds_up(printed):
        if printed.split("\n")[-2:] != ["adds up", ""]:
            raise Failure("it does not add up")

    def proof(self):
        title("Disconnect, and prove the bill offline: files and public keys, no daemon, no database")
        self.culvert("client", "receipts", "export", "-o", self.lab.dir / "client.jsonl")
        show(self.lab, "client", [BUILD / "culvert", "down", "--config", self.dirs["client"] / "client.conf"])
        for ns in ("relay", "exit"):
            self.culvert(ns, "receipts", "export", "-o", self.lab.dir / f"{ns}.jsonl")
        for ns in ("client", "relay", "exit"):
            show(self.lab, ns, [BUILD / "culvert", "receipts", "verify", self.lab.dir / f"{ns}.jsonl"])
        if snapshot(self.lab, "client").replace("10.77.1.99", "10.77.1.2") != self.before:
            raise Failure("culvert down left something behind in the client's routes, rules or devices")

    def books(self):
        title("The relay's books: a session's credits, derived as on paper")
        last, *others = reversed(self.sessions("relay"))
        self.adds_up(self.culvert("relay", "explain", last))
        for ns, session in [("relay", s) for s in others] + [("exit", s) for s in self.sessions("exit")]:
            if self.ask(ns, "explain", session)["wrong"]:
                raise Failure(f"session {session} of the {ns} does not add up")
            say(f"   and so does session {session[:8]} of the {ns}")

    def sessions(self, ns):
        """All there were, in order."""
        return list(dict.fromkeys(row["session"] for row in self.ask(ns, "receipts", "list")["receipts"]))

    def settlement(self):
        title("Settlement: a file that anybody can check; here the web server's host does")
        self.culvert("relay", "settle")
        (batch,) = (self.dirs["relay"] / "data/settlement").glob("*.batch")
        show(self.lab, "web", [BUILD / "culvert", "settle", "verify", batch])

    def earnings(self):
        title("Who earned what")
        sums = {}
        for ns in ("relay", "exit"):
            self.culvert(ns, "earnings")
            rows = self.ask(ns, "earnings")["earnings"]
            sums[ns] = {name: sum(row[name] for row in rows) for name in ("bytes", "amount", "allowance", "earned")}
            if sums[ns]["amount"] != sum(row["earned"] for row in self.ask(ns, "credits")["credits"]):
                raise Failure(f"the {ns}'s earnings are not what its receipts come to")
        relay, exit_ = sums["relay"], sums["exit"]
        say(f"""
     client  --- pays {relay['earned'] + exit_['earned']} micro-credits ---+      and {relay['allowance'] + exit_['allowance']} more out of free allowances,
                                             |      which are nobody's to spend
        relay kestrel  <-- {relay['earned']:6} micro-credits for {relay['bytes'] / 2**20:6.1f} MiB, both signed
        exit  heron    <-- {exit_['earned']:6} micro-credits for {exit_['bytes'] / 2**20:6.1f} MiB, both signed

   The client's routes, rules and devices are as they were. The killed relay lost what nobody had signed:
   never more than one credit window.""")


def main():
    if os.geteuid() != 0:
        sys.exit("make demo makes network namespaces: run it as root")
    demo = None
    try:
        demo = Demo()
        for part in (demo.lay_out, demo.operators, demo.connect, demo.transfer, demo.bill, demo.proof, demo.books, demo.settlement,
                     demo.earnings):
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
