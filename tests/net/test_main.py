#!/usr/bin/env python3
"""The main job with real WireGuard: connect, transfer, receipts, moves, kill -9, credit, clean-up."""
import os
import signal
import time

from lab import Lab, Suite, wait_for
from nodes import Client, Node, download, snapshot, verify_offline, web

KERNEL = bool(os.environ.get("CULVERT_KERNEL"))
SIZE = (4 if KERNEL else 30) << 20
BACKEND = "kernel" if KERNEL else "userspace (wireguard-go)"

lab, suite = Lab("main"), Suite()
exit_ = Node(lab, "exit", "exit", 3, Price={"FreeAllowance": 1000000})
# IPv4 alone: with both, a client that loses its IPv4 address goes on over IPv6 and has no reason to move back.
relay = Node(lab, "relay", "relay", 2, Node={"Announce": "10.77.2.2:51820"}, Relay={"Exit": [exit_.descriptor]}, Price={"FreeAllowance": 1000000})
client = None
digest = ""
before = ""


def starts():
    global client, digest, before
    digest = web(lab, size=SIZE)
    exit_.start()
    relay.start()
    suite.equal(exit_.status()["exit"]["backend"], BACKEND, f"the exit runs on {BACKEND}")
    wait_for(lambda: "fe80" in lab.run("client", ["ip", "addr", "show", "dev", "eth0"]).stdout, "the client's link")
    before = snapshot(lab, "client")
    client = Client(lab, relay, exit_)
    client.up()
    status = client.status()
    suite.equal(status["backend"], BACKEND, f"the client runs on {BACKEND}")
    suite.check(status["last_handshake"] > 0, "WireGuard shook hands through the relay")


def transfers():
    got, seconds = download(lab, "http://10.77.4.2/blob")
    suite.equal(got, digest, f"download through the tunnel: {SIZE / seconds / 125000:.0f} Mbit/s")
    got, _ = download(lab, "http://[fd77:4::2]/blob")
    suite.equal(got, digest, "the same over IPv6 inside")
    suite.equal(relay.balance(), {"up": (0, 0), "down": (0, 0)}, "relay: in = out + drops")
    (session,) = relay.ask("sessions")["sessions"]
    suite.check(session["down"] >= 2 * SIZE, f"the relay metered {session['down']} bytes down")
    wait_for(lambda: relay.ask("sessions")["sessions"][0]["signed"] > 2 * SIZE - (16 << 20), "receipts to be signed")
    own = client.status()["counted"]
    session = relay.ask("sessions")["sessions"][0]
    print(f"     counts: client up {own['up']} down {own['down']}; relay up {session['up']} down {session['down']}; "
          f"exit up {exit_.status()['exit']['up']} down {exit_.status()['exit']['down']}")


def guarded():
    """Nothing goes from the tunnel to the exit's own services, nor to port 25."""
    probe = "import socket,sys\ntry:\n socket.create_connection((sys.argv[1],int(sys.argv[2])),2)\nexcept OSError: sys.exit(1)"
    lab.start("exit", ["python3", "-c", "import socket;s=socket.create_server(('0.0.0.0',8080))\nwhile 1: s.accept()"])
    lab.start("web", ["python3", "-c", "import socket;s=socket.create_server(('0.0.0.0',25))\nwhile 1: s.accept()"])
    wait_for(lambda: lab.run("exit", ["python3", "-c", probe, "127.0.0.1", "8080"], check=False).returncode == 0, "the listener")
    suite.check(lab.run("client", ["python3", "-c", probe, "10.64.0.1", "8080"], check=False).returncode != 0, "the exit itself cannot be reached")
    suite.check(lab.run("client", ["python3", "-c", probe, "10.77.4.2", "25"], check=False).returncode != 0, "TCP/25 is closed")
    suite.check(lab.run("client", ["python3", "-c", probe, "10.77.4.2", "80"], check=False).returncode == 0, "TCP/80 is open")


def moves():
    """A transfer survives address changes: nothing shakes hands anew, the relay sees the client move."""
    rounds = 3 if KERNEL else 10
    fetch = lab.start("client", ["python3", "-c",
                                 "import hashlib,sys,time,urllib.request\nh=hashlib.sha256()\nr=urllib.request.urlopen(sys.argv[1],timeout=60)\n"
                                 "while b:=r.read(65536):\n h.update(b); time.sleep(float(sys.argv[2]))\nprint(h.hexdigest(),flush=True)",
                                 "http://10.77.4.2/blob", str(rounds * 1.5 / (SIZE / 65536))], log="fetch.log")
    moved = relay.status()["relay"]["moves"]
    for i in range(rounds):
        time.sleep(1.0)
        lab.move("client", 2 + i, 3 + i)
        wait_for(lambda want=moved + i + 1: relay.status()["relay"]["moves"] >= want, f"move {i + 1} to reach the relay", 15)
    suite.equal(fetch.wait(120), 0, f"a TCP transfer lived through {rounds} address changes")
    suite.equal((lab.dir / "fetch.log").read_text().split()[-1:], [digest], "and arrived whole")


def killed():
    """kill -9 of the relay in mid-transfer; started again, the client finds back by itself."""
    fetch = lab.start("client", ["python3", "-c",
                                 "import hashlib,sys,time,urllib.request\nh=hashlib.sha256()\nr=urllib.request.urlopen(sys.argv[1],timeout=60)\n"
                                 "while b:=r.read(65536):\n h.update(b); time.sleep(float(sys.argv[2]))\nprint(h.hexdigest(),flush=True)",
                                 "http://10.77.4.2/blob", str(4 / (SIZE / 65536))], log="fetch2.log")
    time.sleep(1)
    relay.kill()
    relay.start()
    start = time.monotonic()
    wait_for(client.connected, "the client to come back", 30)
    wait_for(lambda: relay.ask("sessions")["sessions"] and relay.ask("sessions")["sessions"][0]["up"] > 0, "traffic through the new relay", 30)
    suite.check(True, f"back {time.monotonic() - start:.1f} s after the relay was")
    suite.equal(fetch.wait(120), 0, "the transfer lived through kill -9 of the relay")
    suite.equal((lab.dir / "fetch2.log").read_text().split()[-1:], [digest], "and arrived whole")


def repaired():
    """The exit's wireguard-go dies: made anew, counters carry on."""
    if KERNEL:
        return
    pids = lab.run("exit", ["pgrep", "-x", "wireguard-go"]).stdout.split()
    mine = [p for p in pids if lab.run("exit", ["ip", "netns", "identify", p]).stdout.strip() == lab.ns("exit")]
    up = exit_.status()["exit"]["up"]
    os.kill(int(mine[0]), signal.SIGKILL)
    wait_for(lambda: exit_.status()["exit"]["repairs"] == 1, "the repair")
    got, _ = download(lab, "http://10.77.4.2/blob")
    suite.equal(got, digest, "wireguard-go killed at the exit: repaired, the tunnel works")
    suite.check(exit_.status()["exit"]["up"] > up, "its counters carry on")


def same_books():
    """What the client spent and its providers earned, in order; None while a receipt is on its way from one to the other."""
    spent = sorted(c["spent"] for c in client.ask("credits")["credits"])
    earned = sorted(node.ask("credits")["credits"][0]["earned"] for node in (relay, exit_))
    return spent if spent == earned else None


def credits_add_up():
    for program in (relay, exit_, client):
        status, output, _ = verify_offline(program)
        suite.equal(status, 0, f"{program.name}: receipts verify offline: {output.strip().splitlines()[-1] if output.strip() else ''}")
    (earned,) = relay.ask("credits")["credits"]
    suite.check(earned["earned"] > 0 and earned["bytes"] > 0, f"relay earned {earned['earned']} micro-credits for {earned['bytes']} bytes")
    suite.check(wait_for(same_books, "client's and providers' books to agree"), "client's and providers' books agree")


def leaves_nothing():
    client.stop()
    lab.move("client", int(lab.run("client", ["ip", "-o", "-4", "addr", "show", "dev", "eth0"]).stdout.split("10.77.1.")[1].split("/")[0]), 2)
    suite.equal(snapshot(lab, "client"), before, "the client's devices, routes and rules are as before")
    client.up()
    client.process.send_signal(signal.SIGKILL)
    client.process.wait()
    wait_for(lambda: snapshot(lab, "client") == before, "the guard to put everything back", 10)
    suite.check(True, "and after kill -9 of the agent")
    exit_.stop()
    suite.check("culvert" not in lab.run("exit", ["nft", "list", "tables"]).stdout, "the exit's nftables table is gone")
    suite.check("culvert0" not in lab.run("exit", ["ip", "link"]).stdout, "and its device")
    suite.equal(relay.stop(), 0, "orderly stop of the relay")


if __name__ == "__main__":
    suite.run(starts, transfers, guarded, moves, killed, repaired, credits_add_up, leaves_nothing)
