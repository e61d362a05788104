#!/usr/bin/env python3
"""Writes the golden vectors, NAME.hex per layout, from docs/protocol.md alone: no code of ours in C takes part.

make_golden.py writes them; tests/unit/check_vectors.py compares, and test_golden.c builds the same in C.
"""
import base64
import hashlib
import pathlib
import struct

import ed25519

HERE = pathlib.Path(__file__).parent


def run(first, n=32):
    return bytes(range(first, first + n))


PROVIDER_SEED, PAYER_SEED = run(0x00), run(0x20)
PROVIDER, PAYER = ed25519.public(PROVIDER_SEED), ed25519.public(PAYER_SEED)
ISSUER_SEED = run(0xE0)
ISSUER = ed25519.public(ISSUER_SEED)
CONTROL, WG_KEY, EXIT = run(0x40), run(0x60), run(0x80)
SESSION, NONCE, BIND_KEY, SIGNATURE = run(0xA0, 16), run(0xB0, 16), run(0xC0), run(0x90, 64)
NETWORK, PRICE = 0x1122334455667788, 2_500_000
ISSUED, EXPIRES, HOUR = 1_750_000_000, 1_760_000_000, 486_111


def le(fmt, *values):
    return struct.pack("<" + fmt, *values)


def blake(data, size, key=b""):
    return hashlib.blake2b(data, digest_size=size, key=key).digest()


def message_bind(kind):
    token = NONCE if kind in (0x16, 0x17) else bytes(16)
    msg = le("I", kind) + SESSION + le("Q", 7) + token + bytes(4)
    return msg + blake(msg, 16, BIND_KEY)


def terms(role):
    body = b"culvert terms 1\0" + bytes([1, role]) + bytes(6) + le("Q", NETWORK) + PROVIDER
    body += le("QQQ", PRICE, 1 << 20, 64 << 20) + le("II", 60, 20_000) + le("QQ", 1 << 16, EXPIRES)
    return body + ed25519.sign(PROVIDER_SEED, body)


def amount(total):
    return -(-total * PRICE // 2**30)


def receipt_offer(seq, up, down, previous):
    body = b"culvert receipt1" + bytes([1, 1]) + bytes(6) + le("Q", NETWORK) + SESSION + PROVIDER + PAYER
    body += blake(terms(1), 32) + le("QQQQQ", seq, up, down, amount(up + down), HOUR) + previous
    return body + ed25519.sign(PROVIDER_SEED, body)


def descriptor():
    body = b"culvert node   1" + bytes([1, 3]) + bytes(6) + le("Q", NETWORK) + PROVIDER + CONTROL + WG_KEY
    body += bytes([192, 0, 2, 1]) + bytes.fromhex("20010db8000000000000000000000001") + le("HH", 51820, 51821)
    body += b"example-node".ljust(32, b"\0") + le("QQ", ISSUED, EXPIRES) + terms(1) + terms(2)
    return body + ed25519.sign(PROVIDER_SEED, body)


def open_statement():
    return b"culvert open   1" + le("Q", NETWORK) + PROVIDER + CONTROL + EXIT + blake(terms(1), 32) + PAYER + NONCE


def grant():
    body = b"culvert grant  1" + bytes([1]) + bytes(7) + le("Q", NETWORK) + ISSUER + PAYER + PROVIDER
    body += le("QQ", 5_000_000, EXPIRES) + NONCE
    return body + ed25519.sign(ISSUER_SEED, body)


def batch_head():
    body = b"culvert batch  1" + bytes([1]) + bytes(7) + le("Q", NETWORK) + PROVIDER
    body += le("QQQ", 3, HOUR, 5) + run(0x30) + le("Q", 15) + run(0x50) + le("IIIIQQ", 1, 2, 3, 4, 1000, 1000)
    return body + ed25519.sign(PROVIDER_SEED, body)


def layouts():
    first = receipt_offer(1, 1000, 2000, bytes(32))
    second = receipt_offer(2, 1 << 20, 5 << 30, blake(first, 32))
    statement = ed25519.sign(PAYER_SEED, open_statement())
    inner = run(0x30)
    bodies = {
        "open": EXIT + blake(terms(1), 32) + PAYER + NONCE + statement,
        "granted": SESSION + BIND_KEY + le("QQ", 1 << 20, 123_456_789),
        "add_peer": WG_KEY + blake(terms(2), 32) + PAYER + NONCE + SIGNATURE,
        "peer": SESSION + WG_KEY + bytes([10, 77, 0, 2]) + bytes.fromhex("fd00cafe000000000000000000000002")
        + bytes([10, 77, 0, 1]) + bytes(16) + le("QQ", 1 << 20, 5),
        "cosign": SESSION + le("Q", 2) + ed25519.sign(PAYER_SEED, second),
        "window": SESSION + le("QQQ", 2, 2 << 20, 99),
        "dispute": SESSION + le("QQQ", 2, 1000, 2000),
        "close": SESSION + le("QQII", 1 << 20, 5 << 30, 2, 0),
        "session": SESSION,
        "refused": le("II", 5, 0),
        "credit": le("QII", 5_000_000, 2, 0),
        "held": terms(1) + second + ed25519.sign(PAYER_SEED, second),
        "head": SESSION + le("QII", 2, 1, 0),
    }
    found = {f"body_{name}": body for name, body in bodies.items()}
    found["body_header"] = bytes([7, 0]) + le("HI", 280, 0x01020304)
    found["pass"] = SESSION + inner
    found |= {name: message_bind(kind) for name, kind in
              (("bind", 0x15), ("challenge", 0x16), ("answer", 0x17), ("bound", 0x18))}
    found |= {"terms": terms(1), "terms_exit": terms(2), "receipt_offer": first, "receipt_offer_2": second,
              "receipt": second + ed25519.sign(PAYER_SEED, second), "descriptor": descriptor(),
              "open_statement": open_statement(), "grant": grant(), "batch_head": batch_head(),
              "batch_session": b"culvert settled1" + SESSION + le("QQQII", 7, 900, 800, 50_000, 0) + EXIT,
              "batch_account": b"culvert account1" + PAYER + le("QQ", 123_456, 789)}
    return found


def wrap(data):
    text = data.hex()
    return "".join(text[i:i + 64] + "\n" for i in range(0, len(text), 64))


def files():
    """{file name: its text}"""
    found = {f"{name}.hex": wrap(data) for name, data in layouts().items()}
    found["descriptor.txt"] = f"culvert-node-1 {base64.b64encode(descriptor()).decode()}\n"
    found["grant.txt"] = f"culvert-grant-1 {base64.b64encode(grant()).decode()}\n"
    return found


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text)
