#!/usr/bin/env python3
"""Money, in C and on Python's integers, equal for a million cases at the edges of what the types hold.

rig_arithmetic does the sums in C. ARITHMETIC_CASES and ARITHMETIC_SEED ask for others.
"""
import os
import pathlib
import random
import struct
import subprocess
import sys

BUILD = pathlib.Path(os.environ.get("CULVERT_BUILD", "build/release"))
CASES = int(os.environ.get("ARITHMETIC_CASES", "1000000"))
SEED = int(os.environ.get("ARITHMETIC_SEED", "20261120"))
CHUNK = 20000
TOP, HALF = 2**64, 2**63
PPM = 10**6
UNTOUCHED = 0x5A5A5A5A5A5A5A5A
EDGES = [max(0, min(TOP - 1, base + d)) for base in (0, 2**30, 2**31, 2**32, 2**34, 2**53, 2**62, HALF, TOP) for d in (-2, -1, 0, 1, 2)]
NAMES = ("terms_amount", "terms_bytes_for", "amount_of", "amount_add", "amount_sub", "loss allowance", "micro_add", "micro_fee", "fees of a part", "which were refused")
CASE, SUMS = struct.Struct("=3Q"), struct.Struct(f"={len(NAMES)}Q")


def number(rng):
    """An edge, or any number of bits, each as often as the other."""
    return rng.choice(EDGES) if rng.random() < 0.5 else rng.getrandbits(rng.randint(1, 64))


def case(rng):
    """Two factors and a share: any, or with a product next to 2^64, to 2^94 (the largest amount there is) or to a multiple of 2^30."""
    a, kind = number(rng), rng.randrange(4)
    if kind == 0 or a == 0:
        b = number(rng)
    elif kind < 3:
        b = ((TOP, TOP * 2**30)[kind - 1]) // a + rng.randint(-2, 2)
    else:
        b = 2**30 * rng.getrandbits(rng.randint(1, 34)) // a + rng.randint(-2, 2)
    if kind == 3 and rng.random() < 0.5:
        b = HALF - a + rng.randint(-2, 2)  # sums next to the largest
    return a, max(0, min(TOP - 1, b)), rng.choice((0, 1, PPM - 1, PPM, rng.randint(0, PPM)))


def signed(n):
    return n - TOP if n >= HALF else n


def expected(a, b, c):
    x, y = signed(a), signed(b)
    amount, plus, minus = -(-a * b // 2**30), x + y, x - y
    fits = amount < TOP, b < HALF, -HALF <= plus < HALF, -HALF <= minus < HALF
    return (
        amount if fits[0] else UNTOUCHED,
        min((b << 30) // a, TOP - 1) if a else TOP - 1,
        b if fits[1] else UNTOUCHED,
        plus % TOP if fits[2] else UNTOUCHED,
        minus % TOP if fits[3] else UNTOUCHED,
        min(b * c // PPM + a, TOP - 1),
        min(a + b, HALF - 1),
        a * c // PPM,
        (a // 2 + b // 2) * c // PPM - a // 2 * c // PPM,
        fits[0] | fits[1] << 1 | fits[2] << 2 | fits[3] << 3,
    )


def check(cases, rig):
    """How many of them came out equal on both sides."""
    given = b"".join(CASE.pack(*c) for c in cases)
    done = subprocess.run([str(rig)], input=given, stdout=subprocess.PIPE, check=True)
    got = list(SUMS.iter_unpack(done.stdout))
    if len(got) != len(cases):
        raise SystemExit(f"{len(cases)} cases, {len(got)} answers")
    wrong = [(c, g, e) for c, g, e in zip(cases, got, (expected(*c) for c in cases)) if g != e]
    for c, g, e in wrong[:3]:
        for name, is_, should in zip(NAMES, g, e):
            if is_ != should:
                print(f"{name} of {c}: {is_} in C, {should} in Python")
    return len(cases) - len(wrong)


def main():
    rng = random.Random(SEED)
    edges = [(a, b, c) for a in EDGES for b in EDGES for c in (0, 1, PPM - 1, PPM)]
    passed, total = check(edges, BUILD / "tests/unit/rig_arithmetic"), len(edges)
    while total < CASES:
        cases = [case(rng) for _ in range(min(CHUNK, CASES - total))]
        passed += check(cases, BUILD / "tests/unit/rig_arithmetic")
        total += len(cases)
    print(f"{passed} cases of {total} equal, from seed {SEED}")
    print(f"{int(passed == total)} passed, {int(passed != total)} failed")
    return passed != total


sys.exit(main())
