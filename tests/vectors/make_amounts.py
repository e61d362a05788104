#!/usr/bin/env python3
"""Writes amounts.txt: PRICE BYTES AMOUNT, where AMOUNT = ceil(PRICE * BYTES / 2^30) on Python's
integers, or "overflow" when that does not fit 64 bits. Edges against edges, then random ones."""
import pathlib
import random

HERE = pathlib.Path(__file__).parent
EDGES = sorted({max(0, min(2**64 - 1, base + d))
                for base in (0, 2**10, 2**29, 2**30, 2**31, 2**32, 2**34, 2**53, 2**62, 2**63, 2**64)
                for d in (-1, 0, 1)})


def text():
    rng = random.Random(20260101)
    cases = [(price, size) for price in EDGES for size in EDGES]
    while len(cases) < 2000:
        cases.append((rng.getrandbits(rng.randint(1, 64)), rng.getrandbits(rng.randint(1, 64))))
    lines = []
    for price, size in cases:
        amount = -(-price * size // 2**30)
        lines.append(f"{price} {size} {amount if amount < 2**64 else 'overflow'}\n")
    return "".join(lines)


if __name__ == "__main__":
    (HERE / "amounts.txt").write_text(text())
