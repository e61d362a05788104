#!/usr/bin/env python3
"""500 clients with sessions on one relay: all receipts signed by both sides and verified offline."""
# Runs alone: 500 clients at full speed, and no far socket may overflow.
from lab import Suite, wait_for
from nodes import verify_offline
from swarm import Swarm

CLIENTS = 500

suite = Suite()
swarm = Swarm("swarm", Relay={"Workers": 2}, Price={"WindowStart": "256 KiB", "WindowCap": "1 MiB", "ReceiptEvery": "5 s"})


def main():
    swarm.relay.start()
    rig = swarm.clients()
    suite.equal(rig.ask(f"open {CLIENTS}")["ready"], CLIENTS, f"{CLIENTS} clients up")
    for _ in range(3):
        rig.ask("paced 100 1424 20000")
        rig.ask("wait 1000")
    rig.ask("close")
    wait_for(lambda: rig.ask("wait 500") and not swarm.relay.ask("sessions")["sessions"], "all sessions to close", 30)
    rig.ask("wait 1500")
    stats = rig.ask("stats")["clients"]
    suite.equal(sum(c["bad_receipts"] for c in stats), 0, "no receipt was wrong")
    suite.check(all(c["receipts"] >= 1 for c in stats), f"every client signed: {sum(c['receipts'] for c in stats)} receipts")
    # What the far ends saw; initiations nobody answered are carried, not billed.
    unanswered = swarm.relay.status()["relay"]["unanswered"]
    carried = swarm.exit.ask("stats")["bytes"] + sum(c["received_bytes"] for c in stats) - 148 * unanswered
    status, output, path = verify_offline(swarm.relay)
    suite.equal(status, 0, f"verified offline: {output.strip().splitlines()[-1] if output else ''}")
    lines = path.read_text().splitlines()
    suite.equal(sum('"receipt"' in line for line in lines), sum(c["receipts"] for c in stats), "the relay kept each of them")
    billed = sum(c["bytes"] for c in pages(swarm.relay))
    suite.check(billed <= carried, f"billed {billed} of {carried} carried bytes")
    suite.equal(billed, carried, "the final receipts cover every byte")
    path.write_text(path.read_text().replace('"seq":1,', '"seq":2,', 1))
    suite.equal(swarm.relay.culvert("receipts", "verify", path, check=False).returncode, 8, "an altered export is refused (exit status 8)")


def pages(node):
    """Every row of /v1/credits."""
    after, rows = 0, []
    while True:
        page = node.api(f"/v1/credits?after={after}")
        rows += page["credits"]
        after = page.get("next") or 0
        if not after:
            return rows


suite.run(main)
