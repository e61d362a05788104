#!/usr/bin/env python3
"""culvertd as its operator meets it: the API's answers and errors, a second daemon, SIGHUP, the ledger's death, SIGTERM."""
import base64
import json
import os
import signal
import stat

from lab import Lab, Suite, wait_for
from nodes import BUILD, Node

lab, suite = Lab("api"), Suite()
relay = Node(lab, "relay", "relay", 2)
PAYER_HEX = "ab" * 32
PAYER = base64.b64encode(bytes.fromhex(PAYER_HEX)).decode()


def http(path, *options):
    """(status, object) of one request by curl."""
    done = lab.run("relay", ["curl", "-sS", "--max-time", "10", "--unix-socket", relay.socket, *options, "-w", "\n%{http_code}", f"http://culvert{path}"])
    body, code = done.stdout.rsplit("\n", 1)
    return int(code), json.loads(body) if body.startswith("{") else None


def answers():
    relay.start()
    mode = os.stat(relay.socket).st_mode
    suite.check(stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o660, "the socket is for the owner and its group")
    code, status = http("/v1/status")
    suite.equal((code, status["schema"], status["roles"], status["role"]), (200, 1, ["relay"], "node"), "status")
    suite.check(len(status["id"]) == 44 and status["ledger_pid"] > 1 and status["relay"]["workers"] == 2, "with id, ledger and workers")
    for name in ("sessions", "credits", "receipts", "terms", "disputes"):
        code, answer = http(f"/v1/{name}")
        suite.equal((code, answer[name], answer["schema"]), (200, [], 1), f"{name}: an empty list")
    code, answer = http("/v1/descriptor")
    suite.equal(answer["descriptor"].strip(), relay.descriptor.read_text().strip(), "descriptor: the one on disk")


def errors():
    grant = json.dumps({"payer": PAYER, "amount": 5, "expires": 0, "key": "00" * 16})
    for want, path, *options in (
            (404, "/v1/nothing"), (404, "/"), (404, "/v1/status", "-d", "{}"), (400, "/v1/receipts?after=-1"), (400, "/v1/receipts?session=abc"),
            (400, "/v1/disputes/forgive", "-d", "{"), (404, "/v1/disputes/forgive", "-d", json.dumps({"session": "00" * 16})),
            (400, "/v1/grants", "-d", "{"), (400, "/v1/grants", "-d", "[]"), (400, "/v1/grants", "-d", grant.replace("5", "-5")),
            (400, "/v1/grants", "-d", grant.replace(PAYER, "zz")), (400, "/v1/grants", "-d", grant.replace("00" * 16, "00")),
            (400, "/v1/grants", "-d", grant.replace('"expires": 0', '"expires": 1790000'))):
        code, answer = http(path, *options)
        suite.check(code == want and answer["schema"] == 1 and answer["error"], f"{path} {' '.join(options)}: {code} {answer and answer.get('error')}")
    suite.equal(http("/v1/grants", "-d", "x" * 20000)[0], 413, "a body of 20 kB is too large")


def grants():
    grant = json.dumps({"payer": PAYER, "amount": 5000, "expires": 0, "key": "01" * 16})
    for body in (grant, grant.replace(PAYER, PAYER_HEX)):
        suite.equal(http("/v1/grants", "-d", body), (200, {"schema": 1, "payer": PAYER}), "a grant; an id is taken in either form and shown in one")
    (credit,) = http("/v1/credits")[1]["credits"]
    suite.equal((credit["peer"], credit["granted"]), (PAYER, 5000), "the same key twice is one grant")
    huge = json.dumps({"payer": PAYER, "amount": 2**63 - 1, "expires": 0, "key": "02" * 16})
    code, answer = http("/v1/grants", "-d", huge)
    suite.check(code == 400 and "amount" in answer["error"], f"more than the books can hold is the asker's mistake: {code} {answer}")


def second():
    done = lab.run("relay", [BUILD / "culvertd", "--config", relay.config], check=False)
    suite.check(done.returncode == 1 and "another" in done.stderr, "a second daemon does not start, and says why")
    suite.equal(http("/v1/status")[0], 200, "the first goes on")


def reload():
    relay.options["Relay"]["Workers"] = 3
    relay.write()
    relay.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "[Relay] Workers changed" in relay.log(), "the changed key to be named")
    suite.equal(http("/v1/status")[1]["relay"]["workers"], 2, "SIGHUP names what needs a restart and goes on")


def ledger_dies():
    os.kill(http("/v1/status")[1]["ledger_pid"], signal.SIGKILL)
    suite.equal(relay.process.wait(10), 1, "without its ledger the node ends at once with status 1")
    relay.start()
    suite.equal(http("/v1/credits")[1]["credits"][0]["granted"], 5000, "started again over the dead socket, nothing is lost")


def stops():
    relay.process.send_signal(signal.SIGTERM)
    suite.equal(relay.process.wait(10), 0, "SIGTERM: status 0")
    suite.check(not os.path.exists(relay.socket), "and the socket is gone")


suite.run(answers, errors, grants, second, reload, ledger_dies, stops)
