#!/usr/bin/env python3
"""The culvert command as a person meets it: exit codes, words, files; no network, no root. The daemons' API is played by a
small server on a unix socket."""
import base64
import http.server
import json
import os
import pathlib
import re
import socketserver
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "vectors"))
import ed25519  # noqa: E402

TOP = pathlib.Path(__file__).resolve().parents[2]
CULVERT = pathlib.Path(os.environ.get("CULVERT_BUILD", TOP / "build/release")) / "culvert"
VECTORS = TOP / "tests/vectors"
passed = failed = 0


def check(ok, what):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print(f"FAIL: {what}")


def run(*words, env=None):
    done = subprocess.run([CULVERT, *map(str, words)], capture_output=True, text=True, timeout=60, check=False,
                          env=dict(os.environ, **(env or {})), stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def expect(status, words, out=None, err=None):
    """Runs; its exit status, a part of stdout and a part of stderr must be right. An error is one line that starts with culvert:."""
    code, stdout, stderr = run(*words)
    name = "culvert " + " ".join(map(str, words))
    check(code == status, f"{name}: status {code}, not {status}: {stdout}{stderr}")
    if out is not None:
        check(out in stdout, f"{name}: stdout has no {out!r}: {stdout}")
    if err is not None:
        check(err in stderr, f"{name}: stderr has no {err!r}: {stderr}")
    if status and not stderr.startswith(("culvert: ", "/")):
        check(False, f"{name}: {stderr!r} does not start with culvert:")
    check("Sanitizer" not in stderr, f"{name}: {stderr}")
    return stdout


def expect_json(status, words, **fields):
    out = expect(status, words)
    try:
        answer = json.loads(out)
    except ValueError:
        check(False, f"{words}: no JSON: {out}")
        return {}
    check(answer.get("schema") == 1, f"{words}: no schema 1")
    for key, value in fields.items():
        check(answer.get(key) == value, f"{words}: {key} is {answer.get(key)!r}, not {value!r}")
    return answer


def test_words():
    expect(0, ["version"], out="culvert 0.")
    expect(0, ["--version"], out="culvert 0.")
    expect_json(0, ["version", "--json"])
    expect_json(0, ["--json", "version"])
    listed = expect(0, ["help"], out="Exit status:")
    expect(0, ["--help"], out="Exit status:")
    names = re.findall(r"^  (\w+) {2,}", listed.split("Every command")[0], re.M)
    check({"init", "check", "up", "down", "status", "sessions", "credits", "receipts", "disputes", "explain", "reconcile", "earnings",
           "settle", "descriptor", "version", "help"} == set(names),
          f"help lists {names}")
    for name in names:
        page = expect(0, ["help", name], out=f"Usage: culvert {name}")
        check(page == expect(0, [name, "--help"]) == expect(0, [name, "-h"]), f"help {name} and {name} --help differ")
    expect(2, ["statsu"], err="did you mean culvert status")
    expect(2, ["frobnicate"], err="see culvert help")
    expect(2, ["help", "chekc"], err="did you mean culvert check")
    expect(2, ["--json"], err="no command given")
    expect(2, ["status", "--jsno"], err="did you mean --json?")
    expect(2, ["status", "--frobnicate"], err="see culvert help status")
    expect(2, ["status", "-x"], err="no option -x")
    expect(2, ["status", "now"], err="one word too many")
    expect(2, ["status", "--json=2"], err="takes no value")
    expect(2, ["status", "--socket"], err="wants a value")
    expect(2, ["version", "--", "--json"], err="one word too many")


def test_manual():
    """culvert(1) has every command and every option of `help COMMAND`."""
    page = (TOP / "docs/man/culvert.1").read_text()
    commands = re.findall(r"^  (\w+) {2,}", run("help")[1].split("Every command")[0], re.M)
    for name in commands:
        check(re.search(rf"^\.It Cm {name}\b", page, re.M) is not None, f"culvert(1) has no command {name}")
        for option in re.findall(r"--([a-z-]+)", run("help", name)[1]):
            check(f"Fl \\-{option}" in page, f"culvert(1) has no --{option} of {name}")


def test_init(top):
    node = top / "exit"
    expect(2, ["init"], err="--roles")
    expect(2, ["init", "--roles", "relay,exit,client", "--name", "x", "--dir", node], err="--roles")
    expect(2, ["init", "--roles", "exit", "--dir", node], err="--name")
    expect(2, ["init", "--roles", "exit", "--name", "Heron", "--dir", node], err="a-z")
    expect(2, ["init", "--roles", "exit", "--name", "heron", "--announce", "example.net:1", "--dir", node], err="ADDRESS:PORT")
    expect(2, ["init", "--roles", "exit", "--name", "heron", "--relay", "x", "--dir", node], err="--client")
    expect(2, ["init", "--client", "--dir", node], err="--relay FILE")
    expect(2, ["init", "--client", "--name", "x", "--dir", node], err="--client")
    check(not node.exists(), "a refused init made something")

    out = expect(0, ["init", "--roles", "exit", "--name", "heron", "--announce", "9.9.9.9:4000", "--announce", "[2620:fe::fe]:4000", "--dir", node],
                 out="udp dport 4000 accept")
    for part in ("udp dport 51821 accept", "ufw allow 4000/udp", "ufw allow 51821/udp", f"culvertd --config {node}/culvert.conf"):
        check(part in out, f"init says nothing of {part}: {out}")
    for name in ("identity.key", "control.key", "wg.key"):
        path = node / name
        check(path.stat().st_mode & 0o7777 == 0o600, f"{name} has mode {path.stat().st_mode:o}")
        check(len(base64.b64decode(path.read_text())) == 32, f"{name} holds no key")
        check(path.read_text().strip() not in out, f"init printed {name}")
    before = {p.name: p.read_bytes() for p in node.iterdir()}
    check(set(before) == {"identity.key", "control.key", "wg.key", "culvert.conf"}, f"init made {sorted(before)}")
    expect(1, ["init", "--roles", "exit", "--name", "heron", "--dir", node], err="nothing is overwritten")
    check({p.name: p.read_bytes() for p in node.iterdir()} == before, "a second init changed something")

    # Whichever file is in the way, nothing else is left behind.
    for name in ("control.key", "wg.key", "culvert.conf"):
        half = top / f"half-{name}"
        half.mkdir()
        (half / name).write_text("mine")
        expect(1, ["init", "--roles", "exit", "--name", "heron", "--dir", half], err=f"{name}: is there already")
        check([p.name for p in half.iterdir()] == [name] and (half / name).read_text() == "mine", f"init touched {name} or left files")
    dangling = top / "dangling"
    dangling.mkdir()
    (dangling / "identity.key").symlink_to(top / "elsewhere")
    expect(1, ["init", "--roles", "relay", "--name", "a", "--dir", dangling])
    check(not (top / "elsewhere").exists(), "init wrote through a symbolic link")

    answer = expect_json(0, ["init", "--json", "--roles", "relay", "--name", "kestrel", "--announce", "9.9.9.9:51821", "--dir", top / "relay"])
    check(len(answer["files"]) == 3 and len(base64.b64decode(answer["id"])) == 32, f"init --json: {answer}")
    expect(0, ["init", "--roles", "relay,exit", "--name", "both", "--announce", "9.9.9.9:51821", "--dir", top / "both"], out="51820/udp")
    expect(0, ["check", top / "both/culvert.conf"], out="relay and exit")
    expect(0, ["init", "--roles", "relay", "--name", "later", "--dir", top / "later"], out="Announce = your public ADDRESS:PORT")
    expect(1, ["check", top / "later/culvert.conf"], err="Announce: missing")


def test_check(top):
    conf = top / "exit/culvert.conf"
    expect(0, ["check", conf], out="fine (node heron, exit)")
    expect(0, ["check", "--config", conf], out="fine")
    expect_json(0, ["check", "--json", conf], ok=True, warnings=[])
    check(run("check", "-q", conf) == (0, "", ""), "check -q is not quiet")
    expect(5, ["check", top / "nowhere.conf"], err="no such file")
    bad = top / "exit/bad.conf"
    bad.write_text(conf.read_text() + "[Log]\nLevle = debug\n")
    line = len(bad.read_text().splitlines())
    expect(1, ["check", bad], err=f"{bad}:{line}: Levle: is no key of [Log]; did you mean Level?")
    answer = expect_json(1, ["check", "--json", bad], ok=False)
    check(answer["error"].startswith(f"{bad}:{line}: "), f"check --json: {answer}")
    key = top / "exit/control.key"
    key.chmod(0o640)
    expect(1, ["check", conf], err="control.key: can be read by others")
    key.chmod(0o600)
    key.rename(top / "exit/x")
    expect(1, ["check", conf], err="control.key: no such file")
    (top / "exit/x").rename(key)
    relay = top / "relay/culvert.conf"
    expect(0, ["check", relay], err="forwards to nobody")
    if os.geteuid() != 0:
        check(False, "needs root (a file is given to another user): run as root")
        return
    # What belongs to the daemon's user is seen as that user sees it.
    os.chown(key, 12345, 12345)
    top.chmod(0o755)
    expect(0, ["check", conf])
    key.chmod(0o604)
    expect(1, ["check", conf], err="control.key: can be read by others")
    key.chmod(0o600)
    os.chown(key, 0, 0)


def test_descriptor(top):
    conf, file = top / "exit/culvert.conf", top / "exit.node"
    text = expect(0, ["descriptor", "sign", "--config", conf], out="culvert-node-1 ")
    expect(0, ["descriptor", "sign", "--config", conf, "-o", file])
    check(file.read_text() == text, "sign -o and sign to stdout differ")
    expect(1, ["descriptor", "sign", "--config", conf, "-o", file], err="nothing is overwritten")
    check(file.read_text() == text, "sign overwrote a file")
    expect(2, ["descriptor", "sign", "--days", "0", "--config", conf], err="--days")
    expect(2, ["descriptor", "explain"], err="see culvert help descriptor")
    expect(5, ["descriptor", "sign", "--config", top / "nowhere"], err="no such file")
    shown = expect(0, ["descriptor", "show", file], out="verdict: signed and valid")
    for part in ("node heron (exit)", "9.9.9.9:4000", "[2620:fe::fe]:4000", "9.9.9.9:51821", "0.002000 credits per GiB"):
        check(part in shown, f"descriptor show has no {part}: {shown}")
    answer = expect_json(0, ["descriptor", "show", "--json", file], ok=True, name="heron", network=1, ip4="9.9.9.9:4000", wireguard6="[2620:fe::fe]:51821")
    check(answer["exit"]["price"] == 2000 and "relay" not in answer, f"descriptor show --json: {answer}")
    bad = top / "bad.node"
    for at in (-5, -100, 60, 300):
        forged = list(text)
        forged[at] = "A" if text[at] != "A" else "B"
        bad.write_text("".join(forged))
        expect(8, ["descriptor", "show", bad])
    bad.write_text("hello\n")
    expect(8, ["descriptor", "show", bad], err="is no node descriptor")
    expect(5, ["descriptor", "show", top / "nowhere"], err="descriptor")
    expect(0, ["descriptor", "sign", "--config", top / "relay/culvert.conf", "-o", top / "relay.node"])


def test_client(top):
    client = top / "client"
    relay, exit_ = top / "relay.node", top / "exit.node"
    expect(5, ["init", "--client", "--relay", top / "nowhere", "--exit", exit_, "--dir", client], err="no such file")
    expect(1, ["init", "--client", "--relay", exit_, "--exit", exit_, "--dir", client], err="is no relay's descriptor")
    expect(1, ["init", "--client", "--relay", relay, "--exit", relay, "--dir", client], err="is no exit's descriptor")
    expect(8, ["init", "--client", "--relay", top / "bad.node", "--exit", exit_, "--dir", client])
    check(not client.exists(), "a refused init --client made something")
    expect(0, ["init", "--client", "--relay", relay, "--exit", exit_, "--dir", client], out=f"culvert up --config {client}/client.conf")
    expect(0, ["check", client / "client.conf"], out="a client's")
    # A relay lists the exit; its range is looked at.
    conf = top / "relay/culvert.conf"
    with open(conf, "a") as f:
        f.write("[Relay]\nExit = ../exit.node\n")
    code, _, err = run("check", conf)
    check(code == 0 and err == "", f"a relay with an exit: {err}")


def unhex(name):
    return bytes.fromhex("".join((VECTORS / f"{name}.hex").read_text().split()))


def b64(data):
    return base64.b64encode(data).decode()


STATUS = {"schema": 1, "role": "node", "id": b64(bytes([0x00]) * 32), "name": "kestrel", "version": "0.1.0", "uptime_s": 3720, "network": 1, "roles": ["relay"],
          "relay": {"port": 51820, "workers": 2, "sessions": 1, "exits": 1, "in": {"up": {"packets": 3, "bytes": 2048}, "down": {}},
                    "out": {"up": {"packets": 2, "bytes": 1024}, "down": {}}, "drops": {"window": {"up": {"packets": 1, "bytes": 1024}, "down": {}}, "malformed": {}},
                    "binds": 1, "bad_binds": 0, "replayed_binds": 0, "moves": 0, "receipts_issued": 4, "receipts_signed": 3, "disputes": 0}}
CLIENT = {"schema": 1, "role": "client", "state": "connecting", "id": b64(bytes([0x11]) * 32), "interface": "culvert1", "backend": "kernel", "rebinds": 2, "reconnects": 1,
          "counted": {"up": 5, "down": 7}, "last_handshake": 0,
          "relay": {"id": b64(bytes([0x22]) * 32), "name": "kes\u001b[31mtrel", "up": 1, "down": 2, "signed": 3, "window": 1 << 20, "credit": 1500000, "session": "33" * 16}}
SESSION = {"session": "ab" * 16, "role": "relay", "payer": b64(bytes([0x44]) * 32), "up": 1 << 30, "down": 0, "signed": 5, "window": 9, "held": True, "bound": True, "age_ms": 61000, "moves": 4}
CREDIT = {"peer": b64(bytes([0x55]) * 32), "balance": -1500000, "free_left": 2, "granted": 3, "earned": 1234567, "spent": 0, "bytes": 1 << 20, "window": 0, "debt": 7}
PAYER = b64(bytes([0x55]) * 32)


class Api(http.server.BaseHTTPRequestHandler):
    """Plays a daemon; server.plan maps a path to what is answered."""

    def reply(self, status, answer, raw=None):
        body = raw if raw is not None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) + self.server.lie))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        self.server.asked.append(self.path)
        answer = self.server.plan.get(path)
        if callable(answer):
            answer = answer(dict(q.split("=") for q in query.split("&")))
        if isinstance(answer, bytes):
            self.reply(200, None, answer)
        elif answer is None:
            self.reply(404, {"schema": 1, "error": "there is no such thing"})
        else:
            self.reply(200, answer)

    def do_POST(self):
        self.server.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
        self.reply(200, {"schema": 1})

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path):
        super().__init__(str(path), Api)
        self.plan, self.asked, self.lie = {}, [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


def paged(name, rows):
    """One row a page, by cursor."""
    def answer(query):
        at = int(query["after"])
        return {"schema": 1, name: rows[at:at + 1], "next": at + 1 if at + 1 < len(rows) else 0}
    return answer


def test_api(top):
    sock = top / "api.sock"
    at = ["--socket", sock]
    expect(3, ["status", *at], err=f"nothing answers at {sock}; start it")
    expect(3, ["sessions", *at], err="nothing answers")
    expect(3, ["credits", *at], err="nothing answers")
    expect(3, ["credits", "grant", PAYER, "5", *at], err="nothing answers")
    expect(3, ["receipts", "list", *at], err="nothing answers")
    expect(3, ["descriptor", "show", *at], err="nothing answers")
    server = Server(sock)
    server.plan["/v1/status"] = STATUS
    shown = expect(0, ["status", *at], out="node kestrel, up 1h 2m, network 1")
    for part in ("in 2.0 KiB (3 packets), out 1.0 KiB (2 packets)", "window 1 (packets)", "4 issued, 3 signed, 0 disputes", b64(bytes(32))):
        check(part in shown, f"status has no {part}: {shown}")
    check(expect_json(0, ["status", "--json", *at]) == STATUS, "status --json is not what the daemon said")
    check(run("status", "--exit-code", *at)[0] == 7, "a node is no connected client")
    server.plan["/v1/status"] = CLIENT
    shown = expect(0, ["status", *at], out="client connecting, interface culvert1 by kernel")
    check("\x1b" not in shown and "kes?[31mtrel" in shown and "1.500000 credits" in shown, f"status: {shown!r}")
    check(run("status", "--exit-code", *at)[0] == 7, "connecting is not connected")
    server.plan["/v1/status"] = dict(CLIENT, state="connected")
    check(run("status", "--exit-code", *at)[0] == 0, "connected is connected")

    server.plan["/v1/sessions"] = {"schema": 1, "sessions": [SESSION]}
    shown = expect(0, ["sessions", *at], out="SESSION")
    check(re.search(r"^abababab  relay  RERERERE  1\.0 GiB  +0 B  +5 B  +9 B  held   +4  1m 1s$", shown, re.M) is not None, f"sessions: {shown}")
    expect(0, ["sessions", "-v", *at], out="ab" * 16)
    expect_json(0, ["sessions", "--json", *at], sessions=[SESSION])
    server.plan["/v1/sessions"] = {"schema": 1, "sessions": []}
    expect(0, ["sessions", *at], out="no sessions")

    server.plan["/v1/credits"] = paged("credits", [CREDIT, dict(CREDIT, peer="66" * 32)])
    shown = expect(0, ["credits", *at], out=PAYER)
    check("-1.500000" in shown and "1.234567" in shown and "1.0 MiB" in shown and len(shown.splitlines()) == 3, f"credits: {shown}")
    check(len(expect_json(0, ["credits", "--json", *at])["credits"]) == 2, "credits --json: not both pages")
    # A cursor that stands still must not page for ever.
    server.plan["/v1/credits"] = {"schema": 1, "credits": [CREDIT], "next": 0}
    expect(0, ["credits", *at])

    expect(2, ["credits", "grant", PAYER, *at], err="PAYER and AMOUNT")
    expect(2, ["credits", "grant", "x", "5", *at], err="44 characters")
    for amount in ("0", "-5", "1.5", "5credits", "1000000000000001", "99999999999999999999"):
        expect(2, ["credits", "grant", "--", PAYER, amount] if amount[0] == "-" else ["credits", "grant", PAYER, amount, *at], err="AMOUNT is a whole number")
    expect(2, ["credits", "grant", PAYER, "5", "--key", "12", *at], err="32 hex digits")
    expect(2, ["credits", "grant", PAYER, "5", "--expires", "0", *at], err="days")
    expect(2, ["credits", "grant", PAYER, "5", "--expires", "1", "--from-earned", *at], err="exclude each other")
    expect(2, ["credits", "give", PAYER, *at], err="credits grant")
    for payer in (PAYER, "55" * 32):
        server.asked.clear()
        expect(0, ["credits", "grant", payer, "5000000", "--key", "0123456789abcdef" * 2, *at], out="granted 5.000000 credits")
        check(server.asked == [("/v1/grants", {"schema": 1, "payer": PAYER, "amount": 5000000, "expires": 0, "key": "0123456789abcdef" * 2})],
              f"grant asked {server.asked}")

    server.plan["/v1/sessions"] = b'{"schema":2}'
    expect(1, ["sessions", *at], err="another version")
    server.plan["/v1/sessions"] = b"not json"
    expect(1, ["sessions", *at], err="another version")
    server.plan["/v1/sessions"] = None
    expect(5, ["sessions", *at], err="there is no such thing")
    server.lie = 5
    expect(1, ["sessions", *at], err="cut short")
    server.lie = 0
    test_receipts(top, server, at)
    test_disputes(top, server, at)
    config = top / "api.conf"
    config.write_text(f"[Node]\nAnnounce = 9.9.9.9:1\n[Relay]\nExit = not-there\n[Api]\nSocket = {sock}\n")
    expect(0, ["status", "--config", config], out="client connected")
    expect(5, ["status", "--config", top / "nowhere.conf"], err="no such file")
    if os.geteuid() != 0:
        sock.chmod(0)
        expect(4, ["status", *at], err="join the group culvert")
        sock.chmod(0o600)
    server.shutdown()
    server.server_close()
    expect(3, ["status", *at], err="nothing answers")


def test_receipts(top, server, at):
    terms, offer, receipt = unhex("terms"), unhex("receipt_offer"), unhex("receipt")
    first = offer + ed25519.sign(bytes(range(0x20, 0x40)), offer)
    session = receipt[32:48].hex()
    server.plan["/v1/terms"] = paged("terms", [{"terms": b64(terms)}, {"terms": b64(unhex("terms_exit"))}])
    server.plan["/v1/receipts"] = paged("receipts", [{"receipt": b64(r), "session": session, "seq": 99} for r in (first, receipt)])
    shown = expect(0, ["receipts", "list", *at], out=session)
    check(" 99 " not in shown, "list shows what the daemon says instead of what is signed")
    expect(0, ["receipts", *at], out=session)
    expect(0, ["receipts", "show", session, *at], out="provider")
    expect(2, ["receipts", "show", "xyz", *at], err="32 hex digits")
    expect(2, ["receipts", "show", *at], err="wants a session")
    expect(2, ["receipts", "lsit", *at], err="did you mean culvert receipts list")
    expect(2, ["receipts", "list", "--session", "12", *at], err="32 hex digits")
    server.asked.clear()
    expect(0, ["receipts", "list", "--session", session, *at])
    check(f"/v1/receipts?after=0&session={session}" in server.asked, f"list --session asked {server.asked}")
    file = top / "receipts.jsonl"
    expect(0, ["receipts", "export", "-o", file, *at])
    lines = file.read_text().splitlines()
    check(len(lines) == 4 and all(json.loads(line)["schema"] == 1 for line in lines), f"export: {lines}")
    check(file.read_text() == expect(0, ["receipts", "export", *at]), "export -o and export differ")
    expect(1, ["receipts", "export", "-o", file, *at], err="nothing is overwritten")
    server.plan["/v1/receipts"] = paged("receipts", [{"receipt": "AAAA"}])
    expect(1, ["receipts", "export", "-o", top / "half.jsonl", *at], err="neither terms nor receipt")
    check(not (top / "half.jsonl").exists(), "half an export was left behind")
    server.plan["/v1/receipts"] = paged("receipts", [])
    expect(5, ["receipts", "show", session, *at], err="no receipts of session")
    expect(0, ["receipts", "list", *at], out="no receipts")

    expect(0, ["receipts", "verify", file], out="2 receipts of 1 sessions: 5.0 GiB, 12.502442 credits; 0 bad lines")
    expect_json(0, ["receipts", "verify", "--json", file], ok=True, receipts=2, sessions=1, bad=0)
    expect(5, ["receipts", "verify", top / "nowhere"], err="nowhere")
    expect(2, ["receipts", "verify"], err="wants a file")
    bad = top / "bad.jsonl"
    bad.write_text("")
    expect(8, ["receipts", "verify", bad], err="holds no receipts")
    for at_byte in (len(receipt) - 1, len(receipt) - 70, 150, 200):
        forged = bytearray(receipt)
        forged[at_byte] ^= 1
        bad.write_text(file.read_text().replace(b64(receipt), b64(bytes(forged))))
        code, _, err = run("receipts", "verify", bad)
        check(code == 8 and f"{bad}:4: " in err, f"a forged byte {at_byte}: {code} {err}")
    bad.write_text("".join(line + "\n" for line in lines[:2] + lines[3:]))
    code, _, err = run("receipts", "verify", bad)
    check(code == 8 and f"{bad}:3: " in err, f"a receipt left out of the chain: {code} {err}")
    bad.write_text(file.read_text() + "rubbish\n")
    code, _, err = run("receipts", "verify", bad)
    check(code == 8 and f"{bad}:5: " in err, f"a line of rubbish: {code} {err}")
    expect(5, ["receipts", "export", "--database", top / "no.db"])


def test_disputes(top, server, at):
    lines = (VECTORS / "evidence.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    session = rows[0]["session"]
    server.plan["/v1/disputes"] = paged("disputes", rows)
    shown = expect(0, ["disputes", *at], out="SESSION")
    check([line.split()[5:8] for line in shown.splitlines()[1:]] ==
          [[row["evidence"], row["proves"], "frozen"] for row in rows], f"disputes: {shown}")
    expect(0, ["disputes", "-v", *at], out=f"two receipts number 1 of session {session}, both signed by it")
    expect_json(0, ["disputes", "--json", *at], disputes=rows)
    server.asked.clear()
    expect(0, ["disputes", "--session", session, *at])
    check(f"/v1/disputes?after=0&session={session}" in server.asked, f"--session asked {server.asked}")
    file = top / "disputes.jsonl"
    expect(0, ["disputes", "--export", file, *at])
    check(file.read_text().splitlines() == lines, "an export is not the very lines")
    check(file.read_text() == expect(0, ["disputes", "--export", "-", *at]), "--export FILE and --export - differ")
    expect(1, ["disputes", "--export", file, *at], err="nothing is overwritten")
    verified = expect(0, ["receipts", "verify", file], out="4 proofs, 1 claims; 0 receipts")
    check(f"{file}:2: " in verified and "contradicted itself" in verified and f"{file}:1: a claim, not a proof" in verified, verified)
    answer = expect_json(0, ["receipts", "verify", "--json", file], ok=True, proofs=4, claims=1, bad=0)
    check([e["line"] for e in answer["evidence"]] == [1, 2, 3, 4, 5], f"verify --json: {answer}")
    check(expect(0, ["receipts", "verify", "-q", file]) == "", "verify -q says something")
    # What the daemon says is believed of none: a forged one is shown as nothing, and left out.
    forged = dict(rows[1], second=rows[1]["first"])
    server.plan["/v1/disputes"] = paged("disputes", [forged, rows[3], dict(rows[3], state="closed")])
    shown = expect(0, ["disputes", *at])
    check("equivocation  nothing" in shown and "forgiven" in shown, f"a forged dispute: {shown}")
    code, out, err = run("disputes", "--export", "-", *at)
    check(code == 0 and len(out.splitlines()) == 2 and "is left out: it proves nothing" in err, f"a forged dispute: {code} {out} {err}")
    file.write_text(json.dumps(forged) + "\n")
    code, _, err = run("receipts", "verify", file)
    check(code == 8 and f"{file}:1: it proves nothing" in err, f"a forged line: {code} {err}")
    server.plan["/v1/disputes"] = paged("disputes", [])
    expect(0, ["disputes", *at], out="no disputes")
    expect(5, ["disputes", "--database", top / "no.db"])

    server.asked.clear()
    expect(0, ["disputes", "forgive", session, *at], out=f"forgave what session {session} left unsigned")
    check(server.asked == [("/v1/disputes/forgive", {"schema": 1, "session": session})], f"forgive asked {server.asked}")
    expect(2, ["disputes", "forgive", *at], err="32 hex digits")
    expect(2, ["disputes", "forgive", "xyz", *at], err="32 hex digits")
    expect(2, ["disputes", "forget", session, *at], err="disputes forgive")
    expect(2, ["disputes", "--session", "12", *at], err="32 hex digits")


def test_grants(top):
    """An issuer signs offline; the line is what the Python that wrote the vectors makes of it. A client keeps what is good."""
    seed, client = os.urandom(32), top / "client"
    issuer_key = top / "issuer.key"
    issuer_key.write_text(base64.b64encode(seed).decode() + "\n")
    issuer_key.chmod(0o600)
    node = base64.b64encode(ed25519.public(os.urandom(32))).decode()
    payer_seed = base64.b64decode((client / "identity.key").read_text())
    payer = base64.b64encode(ed25519.public(payer_seed)).decode()
    at = ["--relay", node, "--key", issuer_key]
    line = expect(0, ["credit", "grant", payer, "5000000", "--serial", "ab" * 16, "--network", "7", *at])
    body = b"culvert grant  1" + bytes([1]) + bytes(7) + (7).to_bytes(8, "little") + ed25519.public(seed) + base64.b64decode(payer)
    body += base64.b64decode(node) + (5000000).to_bytes(8, "little") + bytes(8) + bytes.fromhex("ab" * 16)
    check(line == f"culvert-grant-1 {base64.b64encode(body + ed25519.sign(seed, body)).decode()}\n", f"another grant: {line}")
    expect_json(0, ["credits", "grant", payer, "5", "--json", *at], limit=5, expires=0, payer=payer, node=node)
    expect(2, ["credit", "grant", payer, "5", "--relay", node], err="--key FILE")
    expect(2, ["credit", "grant", payer, "5", "--relay", "nowhere", "--key", issuer_key], err="descriptor file")
    expect(2, ["credit", "grant", payer, "5", "--serial", "12", *at], err="32 hex digits")
    expect(2, ["credit", "grant", payer, "5", "--network", "x", *at], err="network")
    expect(2, ["credit", "grant", payer, "5", "--serial", "ab" * 16], err="--relay NODE")
    expect(5, ["credit", "grant", payer, "5", "--relay", node, "--key", top / "nowhere"], err="no such file")
    issuer_key.chmod(0o644)
    expect(1, ["credit", "grant", payer, "5", *at], err="chmod 600")
    issuer_key.chmod(0o600)

    config = client / "client.conf"
    config.write_text(f"[Client]\nDataDir = {client}/data\n{config.read_text()}\n[Api]\nSocket = {top}/nobody.sock\n")
    kept = top / "kept.grant"
    kept.write_text(expect(0, ["credit", "grant", payer, "5000000", "--expires", "9", *at]))
    add = ["credit", "add", kept, "--config", config]
    listing = ["credit", "list", "--config", config]
    expect(0, listing, out="no grants")
    expect(0, add, out="kept: 5.000000 credits", err="warning: neither the relay nor the exit")
    expect(0, add)
    shown = expect_json(0, [*listing, "--json"])["promises"]
    check([(p["payer"], p["node"], p["limit"], p["said"]) for p in shown] == [(payer, node, 5000000, "not shown")], f"list shows {shown}")
    expect(0, listing, out="5.000000")
    (client / "data/grants/broken.grant").write_text("culvert-grant-1 AAAA\n")
    expect(0, listing, out="this is no grant")
    good = kept.read_text()
    for text, status, err in (("", 8, "is no grant"), (good[:-9], 8, "is no grant"), ("x" + good, 8, "is no grant"),
                              (line, 8, "another network"), (good.replace("Y3V", "Z3V"), 8, "not a grant of version 1")):
        kept.write_text(text)
        expect(status, add, err=err)
    raw = bytearray(base64.b64decode(good.split()[1]))
    raw[200] ^= 1
    kept.write_text(f"culvert-grant-1 {base64.b64encode(raw).decode()}\n")
    expect(8, add, err="not signed by the issuer")
    kept.write_text(expect(0, ["credit", "grant", node, "5", *at]))
    expect(8, add, err="another payer")
    expect(2, ["credit", "add", "--config", config], err="FILE")
    expect(5, ["credit", "add", top / "nowhere", "--config", config], err="No such file")
    check(len(list((client / "data/grants").iterdir())) == 2, "what was refused was kept all the same")


def main():
    with tempfile.TemporaryDirectory(prefix="culvert-cli-") as name:
        top = pathlib.Path(name)
        test_words()
        test_manual()
        test_init(top)
        test_check(top)
        test_descriptor(top)
        test_client(top)
        test_grants(top)
        test_api(top)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
