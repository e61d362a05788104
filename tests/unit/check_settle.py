#!/usr/bin/env python3
"""culvert settle verify, proof and check-proof as a person meets them: exit codes, words, files."""
import json
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True

import check_cli as cli  # noqa: E402
import make_batch  # noqa: E402
from check_cli import TOP, b64, check, expect, expect_json  # noqa: E402


def test_settle(top):
    """The chain of tests/vectors, whole, with a gap, altered; and proofs of it."""
    node, payer = b64(make_batch.PROVIDER), b64(make_batch.A)
    chain = top / "chain"
    chain.mkdir()
    files = [chain / f"epoch-00000{n}.batch" for n in (1, 2, 3)]
    for n, path in enumerate(files, 1):
        path.write_bytes(bytes.fromhex((TOP / f"tests/vectors/batch_{n}.hex").read_text()))
    expect(0, ["settle", "verify", chain], out="3 epochs of " + node + " hold: 8 receipts; in all 35.056180 credits")
    answer = expect_json(0, ["settle", "verify", "--json", "--node", node, "--network", make_batch.NETWORK, *files], ok=True, receipts=8, node=node)
    check([b["epoch"] for b in answer["batches"]] == [1, 2, 3], f"epochs are {answer['batches']}")
    check(answer["batches"][2]["earned"] == answer["batches"][2]["spent"] == 35056180, f"sums are {answer['batches'][2]}")
    check(expect(0, ["settle", "verify", "-q", chain]) == "", "verify -q says something")
    expect(8, ["settle", "verify", files[0], files[2]], err="byte 64: epochs are missing")
    expect(0, ["settle", "verify", "--lost", files[0], files[2]], out="2 epochs")
    expect(8, ["settle", "verify", "--node", payer, files[0]], err="another node (node)")
    expect(8, ["settle", "verify", "--network", "7", files[0]], err="another network (network)")
    expect(8, ["settle", "verify", *reversed(files)], err="not later than")
    bad = top / "bad.batch"
    data = bytearray(files[1].read_bytes())
    data[256 + 176 + 2 * 96 + 300] ^= 4
    bad.write_bytes(data)
    expect(8, ["settle", "verify", files[0], bad], err="bad.batch: receipt 1, byte 624: the payer did not sign this receipt (receipt)")
    refused = expect_json(8, ["settle", "verify", "--json", files[0], bad], ok=False, receipts=3)["refused"]
    check((refused["reason"], refused["byte"], refused["file"]) == ("receipt", 624, str(bad)), f"refused is {refused}")
    bad.write_bytes(files[1].read_bytes() * 2)
    expect(8, ["settle", "verify", bad], err="goes on behind")
    expect(5, ["settle", "verify", top / "nowhere"], err="nowhere")
    (top / "empty").mkdir()
    expect(5, ["settle", "verify", top / "empty"], err="no file *.batch")
    expect(2, ["settle", "verify"], err="wants files")
    expect(2, ["settle", "verify", "--node", "x", chain], err="--node wants a node id")
    expect(2, ["settle", "verify", "--network", "x", chain], err="--network wants a number")
    expect(2, ["settle", "verfiy", chain], err="did you mean culvert settle verify")

    receipt = f"{make_batch.S1.hex()}:3"
    proofs = {"account": (["--account", payer, files[2]], f"epoch 3 of {node}: {payer} has earned 0.000000 and spent 22.504882 credits"),
              "receipt": (["--receipt", receipt, files[1]], f"{payer} signed receipt 3 for 22.504883 credits; it is in the log"),
              "extension": (["--consistency", files[1], files[2]], "the log begins with that of epoch 2")}
    proof = top / "proof.json"
    for name, (words, claim) in proofs.items():
        line = expect(0, ["settle", "proof", *words])
        check(line.count("\n") == 1 and json.loads(line)["schema"] == 1, f"the proof of {name} is {line}")
        proof.write_text(line)
        expect(0, ["settle", "check-proof", proof], out=claim)
        expect_json(0, ["settle", "check-proof", "--json", "--node", node, proof], ok=True, node=node)
        expect(8, ["settle", "check-proof", "--node", payer, proof], err="another node; it proves nothing")
        for field, value in json.loads(line).items():
            altered = json.loads(line)
            if isinstance(value, list):
                altered[field] = value[:-1]
            elif isinstance(value, int):
                altered[field] = value + 1
            elif field == "proof":
                altered[field] = "something"
            else:
                altered[field] = value[:-12] + ("B" if value[-12] == "A" else "A") + value[-11:]
            proof.write_text(json.dumps(altered))
            expect(8, ["settle", "check-proof", proof], err="it proves nothing")
            del altered[field]
            proof.write_text(json.dumps(altered))
            expect(8, ["settle", "check-proof", proof], err="it proves nothing")
    proof.write_text("[]")
    expect(8, ["settle", "check-proof", proof], err="not a JSON object")
    expect(5, ["settle", "proof", "--account", b64(bytes(32)), files[0]], err="no such record")
    expect(5, ["settle", "proof", "--receipt", receipt, files[0]], err="no such record")
    expect(5, ["settle", "proof", "--consistency", files[0], files[2]], err="not the epoch right after")
    expect(8, ["settle", "proof", "--account", payer, bad], err="goes on behind")
    expect(2, ["settle", "proof", files[0]], err="--account or --receipt")
    expect(2, ["settle", "proof", "--account", payer, "--receipt", receipt, files[0]], err="--account or --receipt")
    expect(2, ["settle", "proof", "--receipt", "12:3", files[0]], err="--receipt wants")
    expect(2, ["settle", "proof", "--account", "12", files[0]], err="--account wants")
    expect(2, ["settle", "check-proof"], err="wants a file")


def main():
    with tempfile.TemporaryDirectory(prefix="culvert-settle-") as name:
        test_settle(pathlib.Path(name))
    print(f"{cli.passed} passed, {cli.failed} failed")
    return 1 if cli.failed else 0


if __name__ == "__main__":
    sys.exit(main())
