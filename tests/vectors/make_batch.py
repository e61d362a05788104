#!/usr/bin/env python3
"""Writes batch_1.hex to batch_3.hex, a small chain of settlement batches, from docs/accounting.md and docs/protocol.md
alone: no code of ours in C takes part. tests/lib/batches.c builds the same in C.

Three sessions of one node: S1 (relay, payer A), S2 (exit, payer B; receipt 3 is in no batch), S3 (relay, the payer is
the node itself, no fee; its first receipt was all allowance). The fees of S1 and S2 go to a fourth identity.
"""
import hashlib
import pathlib

import ed25519
from make_golden import HOUR, NETWORK, PROVIDER, PROVIDER_SEED, amount, blake, le, run, terms, wrap

HERE = pathlib.Path(__file__).parent
A_SEED, B_SEED = run(0x20), run(0x40)
A, B, FEE = (ed25519.public(seed) for seed in (A_SEED, B_SEED, run(0x60)))
S1, S2, S3 = run(0xA0, 16), run(0x01, 16), run(0xF0, 16)
TERMS = {1: terms(1), 2: terms(2)}
# session: role, payer, its seed, fee in ppm
SESSIONS = {S1: (1, A, A_SEED, 50_000), S2: (2, B, B_SEED, 12_345), S3: (1, PROVIDER, PROVIDER_SEED, 0)}
COUNTS = {
    S1: [(1000, 2000), (1 << 20, 5 << 30), (2 << 20, 9 << 30)],
    S2: [(10 << 20, 1 << 30), (20 << 20, 3 << 30), (20 << 20, 4 << 30), (21 << 20, 5 << 30)],
    S3: [(0, 7 << 30), (1, 8 << 30)],
}
# an epoch: per session its receipts and how much of the last one's amount is not paid
EPOCHS = [
    {S1: ([1, 2], 2_500_000), S2: ([1], 0)},
    {S1: ([3], 1), S3: ([1], 17_500_000)},
    {S2: ([2, 4], 3), S3: ([2], 19_999_970)},
]


def receipts(session):
    """All receipts of a session, by number."""
    role, payer, seed, _ = SESSIONS[session]
    found, previous = {}, bytes(32)
    for seq, (up, down) in enumerate(COUNTS[session], 1):
        offer = b"culvert receipt1" + bytes([1, role]) + bytes(6) + le("Q", NETWORK) + session + PROVIDER + payer
        offer += blake(TERMS[role], 32) + le("QQQQQ", seq, up, down, amount(up + down), HOUR) + previous
        offer += ed25519.sign(PROVIDER_SEED, offer)
        found[seq] = offer + ed25519.sign(seed, offer)
        previous = blake(offer, 32)
    return found


def sha(data):
    return hashlib.sha256(data).digest()


def root(leaves):
    """RFC 6962, 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else sha(b"")
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def peaks(leaves):
    if not leaves:
        return []
    k = 1 << len(leaves).bit_length() - 1
    return [root(leaves[:k])] + peaks(leaves[k:])


def fee(paid, ppm):
    return paid * ppm // 10**6


class Books:
    """What one epoch hands to the next."""

    def __init__(self):
        self.leaves, self.paid, self.totals, self.epoch = [], {}, {}, 0

    def move(self, key, earned, spent):
        before = self.totals.get(key, (0, 0))
        self.totals[key] = (before[0] + earned, before[1] + spent)

    def settle(self, session, signed, last, unpaid):
        _, payer, _, ppm = SESSIONS[session]
        before = self.paid.get(session, 0)
        paid = amount(sum(COUNTS[session][last - 1])) - unpaid
        share = fee(paid, ppm) - fee(before, ppm)
        self.paid[session] = paid
        self.move(payer, 0, paid - before)
        self.move(PROVIDER, paid - before - share, 0)
        self.move(FEE, share, 0)
        record = b"culvert settled1" + session + le("QQQII", last, paid, before, ppm, 0)
        return record + (FEE if ppm else bytes(32)), [signed[seq] for seq in sorted(signed)]

    def close(self, epoch):
        old = self.leaves
        sessions, signed = [], []
        for session, (seqs, unpaid) in sorted(epoch.items()):
            all_of_it = receipts(session)
            record, found = self.settle(session, {seq: all_of_it[seq] for seq in seqs}, seqs[-1], unpaid)
            sessions.append(record)
            signed += found
        used = sorted({TERMS[SESSIONS[s][0]] for s in epoch}, key=lambda t: blake(t, 32))
        totals = sorted((key, e, s) for key, (e, s) in self.totals.items() if e or s)
        accounts = [b"culvert account1" + key + le("QQ", e, s) for key, e, s in totals]
        records = used + sessions + signed + accounts
        self.epoch += 1
        self.leaves = old + [sha(b"\0" + record) for record in records]
        head = b"culvert batch  1" + bytes([1]) + bytes(7) + le("Q", NETWORK) + PROVIDER
        head += le("QQQ", self.epoch, HOUR + self.epoch, len(old)) + root(old)
        head += le("Q", len(self.leaves)) + root(self.leaves)
        head += le("IIII", len(used), len(sessions), len(signed), len(accounts))
        head += le("QQ", sum(t[1] for t in totals), sum(t[2] for t in totals))
        head += ed25519.sign(PROVIDER_SEED, head)
        return head + b"".join(records) + b"".join(peaks(old))


def files():
    """{file name: its text}"""
    books = Books()
    return {f"batch_{n}.hex": wrap(books.close(epoch)) for n, epoch in enumerate(EPOCHS, 1)}


if __name__ == "__main__":
    for name, text in files().items():
        (HERE / name).write_text(text)
