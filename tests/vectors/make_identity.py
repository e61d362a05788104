#!/usr/bin/env python3
"""Writes identity.txt: VERDICT WHAT KEY MESSAGE SIGNATURE.

good: the first three and SHA(abc) of RFC 8032, section 7.1.
bad:  signatures that satisfy S*B = R + h*A all the same: S not reduced, or A of small order, in every encoding, or R
      the neutral point, in every encoding.
"""
import hashlib
import pathlib

import ed25519 as ed

HERE = pathlib.Path(__file__).parent
RFC8032 = (
    ("test-1", "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", b"",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    ("test-2", "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", b"\x72",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
    ("test-3", "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", b"\xaf\x82",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
    ("sha-abc", "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42", hashlib.sha512(b"abc").digest(),
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf"),
)


def small_order_keys():
    """Every encoding of a point of order 1, 2, 4 or 8, canonical or not."""
    y = 2  # any point times L lies in the torsion group; look for one of order 8
    while True:
        x = ed.recover_x(y, 0)
        if x is not None:
            torsion = ed.multiply((x, y, 1), ed.L)
            if ed.encode(ed.multiply(torsion, 4)) != ed.encode((0, 1, 1)):
                break
        y += 1
    ys = {ed.number(ed.encode(ed.multiply(torsion, k))) & (1 << 255) - 1 for k in range(8)}
    ys |= {y + ed.P for y in ys if y + ed.P < 1 << 255}
    return sorted({(y | sign << 255).to_bytes(32, "little") for y in ys for sign in (0, 1)})


def universal_signature(key, nonce):
    """h = 0 mod 8 makes h*A vanish for an A of small order, so R = S*B signs."""
    big_r = ed.encode(ed.multiply(ed.BASE, nonce))
    for n in range(1000):
        message = b"pay anything %d" % n
        h = ed.number(hashlib.sha512(big_r + key + message).digest()) % ed.L
        if h % 8 == 0:
            return message, big_r + nonce.to_bytes(32, "little")
    raise AssertionError("no message found")


def neutral_signatures(seed):
    """S = h*a needs no nonce if R is the neutral point, however it is written."""
    key, scalar = ed.public(seed), ed.expand(seed)[0]
    for y in (1, 1 + ed.P):
        for sign in (0, 1):
            big_r, message = (y | sign << 255).to_bytes(32, "little"), b"pay"
            h = ed.number(hashlib.sha512(big_r + key + message).digest())
            yield key, message, big_r + (h * scalar % ed.L).to_bytes(32, "little")


def text():
    lines = []
    for name, seed, message, key in RFC8032:
        seed = bytes.fromhex(seed)
        assert ed.public(seed).hex() == key
        signature = ed.sign(seed, message)
        lines.append(("good", name, bytes.fromhex(key), message, signature))
        for k in (1, 2, 8, 14):
            s = ed.number(signature[32:]) + k * ed.L
            lines.append(("bad", f"{name}-S+{k}L", bytes.fromhex(key), message,
                          signature[:32] + s.to_bytes(32, "little")))
    for i, key in enumerate(small_order_keys()):
        message, signature = universal_signature(key, 12345 + i)
        lines.append(("bad", f"small-order-{i}", key, message, signature))
    for i, (key, message, signature) in enumerate(neutral_signatures(bytes.fromhex(RFC8032[0][1]))):
        lines.append(("bad", f"neutral-R-{i}", key, message, signature))
    return "".join(f"{verdict} {name} {key.hex()} {message.hex() or '-'} {signature.hex()}\n"
                   for verdict, name, key, message, signature in lines)


if __name__ == "__main__":
    (HERE / "identity.txt").write_text(text())
