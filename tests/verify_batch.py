#!/usr/bin/python3
"""Checks settlement batches, several in order as a chain: written from docs/accounting.md, and from nothing else."""
import argparse
import base64
import hashlib
import struct
import sys
from collections import namedtuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ZERO = bytes(32)
U64 = 2**64


class Record:
    """A kind of record: its domain, its fields' sizes as struct has them, and their names."""

    def __init__(self, domain, form, fields):
        self.domain, self.form = domain, struct.Struct("<16s" + form)
        self.fields, self.size = namedtuple("Fields", ["domain", *fields.split()]), self.form.size

    def read(self, data):
        return self.fields(*self.form.unpack(data))

    def formed(self, got):
        constant = got.domain == self.domain and getattr(got, "version", 1) == 1 and getattr(got, "role", 1) in (1, 2)
        return constant and not any(getattr(got, "zero", b""))


HEAD = Record(b"culvert batch  1", "B7sQ32sQQQ32sQ32sIIIIQQ64s", "version zero network node epoch hour previous_size "
              "previous_root size root terms sessions receipts accounts earned spent signature")
TERMS = Record(b"culvert terms 1\0", "BB6sQ32sQQQIIQQ64s", "version role zero network provider price window_start "
               "window_cap receipt_seconds loss_ppm loss_bytes expires signature")
SESSION = Record(b"culvert settled1", "16sQQQI4s32s", "session seq paid before fee_ppm zero fee_account")
RECEIPT = Record(b"culvert receipt1", "BB6sQ16s32s32s32sQQQQQ32s64s64s", "version role zero network session provider "
                 "payer terms seq bytes_up bytes_down amount hour previous provider_signature payer_signature")
ACCOUNT = Record(b"culvert account1", "32sQQ", "key earned spent")


class Refused(Exception):
    """With two arguments: the reason's name, and the place."""


def need(holds, reason, place):
    if not holds:
        raise Refused(reason, place)


def blake2b(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def small_order(encoded):
    """Whether 8 times the point is neutral: y (as n/m) is doubled three times, x^2 being a function of it."""
    n, m = int.from_bytes(encoded, "little") % 2**255, 1
    for _ in range(3):
        a, b = n * n % P, m * m % P
        n, m = (D * a * a + 2 * a * b - b * b) % P, (b * b + 2 * D * a * b - D * a * a) % P
    return n == m


def signed(key, message, signature):
    """The document's one form: what OpenSSL leaves open (the key's form, small orders) is checked here."""
    if int.from_bytes(signature[32:], "little") >= L or int.from_bytes(key, "little") % 2**255 >= P:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return not small_order(key) and not small_order(signature[:32])


def join(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def append(peaks, record):
    """`peaks` are pairs of size and hash."""
    peaks.append((1, hashlib.sha256(b"\0" + record).digest()))
    while len(peaks) > 1 and peaks[-1][0] == peaks[-2][0]:
        peaks[-2:] = [(2 * peaks[-1][0], join(peaks[-2][1], peaks[-1][1]))]


def root(peaks):
    if not peaks:
        return hashlib.sha256().digest()
    so_far = peaks[-1][1]
    for _, peak in reversed(peaks[:-1]):
        so_far = join(peak, so_far)
    return so_far


class Chain:
    """What the files so far have said: see check()."""

    def __init__(self, node=None, network=None, lost=False):
        self.node, self.network, self.lost = node, network, lost
        self.head, self.whole_since = None, 0  # no epoch is missing since that one
        self.sessions, self.accounts = {}, {}  # session: (epoch, batch_session, receipt); key: (earned, spent)

    def check(self, data):
        """One more file; Refused if it is not as the document says, and then this chain is of no more use."""
        need(len(data) >= HEAD.size, "length", "head")
        head = self.check_head(data)
        place, peaks = HEAD.size, []
        parts = {}
        for name, kind in ("terms", TERMS), ("session", SESSION), ("receipt", RECEIPT), ("account", ACCOUNT):
            parts[name] = []
            for i in range(getattr(head, name if name == "terms" else name + "s")):
                parts[name].append((f"{name} {i + 1}, byte {place}", data[place:place + kind.size]))
                place += kind.size
        for bit in reversed(range(64)):
            if head.previous_size >> bit & 1:
                peaks.append((1 << bit, data[place:place + 32]))
                place += 32
        need(root(peaks) == head.previous_root, "peaks", f"byte {place - 32 * len(peaks)}")
        terms = self.check_terms(head, parts["terms"])
        sessions = self.check_sessions(head, parts["session"])
        last = self.check_receipts(parts["receipt"], terms, sessions)
        self.check_accounts(head, parts["account"], self.moved(head, sessions, last))
        for _, record in (part for name in parts for part in parts[name]):
            append(peaks, record)
        need(root(peaks) == head.root, "root", "head")
        self.head = head
        self.sessions.update((key, (head.epoch, sessions[key][1], last[key])) for key in sessions)
        return head

    def check_head(self, data):
        head, before = HEAD.read(data[:HEAD.size]), self.head
        counts = (head.terms, head.sessions, head.receipts, head.accounts)
        need(HEAD.formed(head) and head.node != ZERO and head.epoch, "head", "head")
        need(head.epoch > 1 or not head.previous_size, "head", "head")
        need(head.size == head.previous_size + sum(counts), "head", "head")
        sizes = (TERMS.size, SESSION.size, RECEIPT.size, ACCOUNT.size)
        length = HEAD.size + sum(n * size for n, size in zip(counts, sizes)) + 32 * head.previous_size.bit_count()
        need(len(data) == length, "length", f"{len(data)} bytes, not {length}")
        for name in "node", "network":
            asked = [getattr(self, name)] + ([getattr(before, name)] if before else [])
            need(all(value in (None, getattr(head, name)) for value in asked), name, "head")
        need(signed(head.node, data[:192], head.signature), "signature", "head")
        follows = before and head.epoch == before.epoch + 1
        if before:
            need(head.epoch > before.epoch and (follows or self.lost), "epoch", "head")
            tree, tree_before = (head.previous_size, head.previous_root), (before.size, before.root)
            need(tree == tree_before or not follows and tree[0] > tree_before[0], "previous", "head")
        if not follows:
            self.whole_since = head.epoch
        return head

    def check_terms(self, head, parts):
        known, last = {}, None
        for place, data in parts:
            key = blake2b(data)
            need(last is None or key > last, "order", place)
            last, terms = key, TERMS.read(data)
            need(TERMS.formed(terms), "terms", place)
            need((terms.provider, terms.network) == (head.node, head.network), "terms", place)
            need(0 < terms.window_start <= terms.window_cap <= 2**40 and terms.loss_ppm <= 10**6, "terms", place)
            need(signed(terms.provider, data[:112], terms.signature), "terms", place)
            known[key] = place, terms
        return known

    def check_sessions(self, head, parts):
        listed, last = {}, None
        for place, data in parts:
            session = SESSION.read(data)
            need(SESSION.formed(session), "session", place)
            need(session.fee_ppm <= 10**6 and (not session.fee_ppm) == (session.fee_account == ZERO), "session", place)
            need(last is None or session.session > last, "order", place)
            need(session.before <= session.paid, "paid", place)
            last = session.session
            if last in self.sessions:
                epoch, known, _ = self.sessions[last]
                same_fee = (session.fee_ppm, session.fee_account) == (known.fee_ppm, known.fee_account)
                need(same_fee, "session", place)
                whole, paid = epoch >= self.whole_since, known.paid
            else:
                whole, paid = self.whole_since == 1, 0
            need(session.before == paid or not whole and session.before > paid, "paid", place)
            listed[last] = place, session
        return listed

    def check_receipts(self, parts, terms, sessions):
        """The last receipt of each session, as bytes."""
        last, used, order = {}, set(), None
        for place, data in parts:
            receipt = RECEIPT.read(data)
            need(order is None or (receipt.session, receipt.seq) > order, "order", place)
            order = receipt.session, receipt.seq
            need(receipt.session in sessions, "session", place)
            need(receipt.terms in terms, "terms", place)
            used.add(receipt.terms)
            check_receipt(receipt, data, terms[receipt.terms][1], place)
            known = last.get(receipt.session) or self.sessions.get(receipt.session, [None])[-1]
            need(known is None or follows(known, data), "chain", place)
            last[receipt.session] = data
        for key, (place, session) in sessions.items():
            need(key in last, "unused", place)
            receipt = RECEIPT.read(last[key])
            need(session.seq == receipt.seq, "session", place)
            need(session.paid <= receipt.amount, "paid", place)
        for key, (place, _) in terms.items():
            need(key in used, "unused", place)
        return last

    def moved(self, head, sessions, last):
        """By account, what this file adds to earned and spent."""
        sums = {}

        def add(key, earned, spent):
            old = sums.get(key, (0, 0))
            sums[key] = old[0] + earned, old[1] + spent

        for key, (_, session) in sessions.items():
            moved = session.paid - session.before
            fee = session.paid * session.fee_ppm // 10**6 - session.before * session.fee_ppm // 10**6
            add(RECEIPT.read(last[key]).payer, 0, moved)
            add(session.fee_account, fee, 0)
            add(head.node, moved - fee, 0)
        return {key: value for key, value in sums.items() if any(value)}

    def check_accounts(self, head, parts, moved):
        listed, last = {}, None
        for place, data in parts:
            account = ACCOUNT.read(data)
            need(ACCOUNT.formed(account) and (account.earned or account.spent), "account", place)
            need(last is None or account.key > last, "order", place)
            last = account.key
            listed[last] = account.earned, account.spent
        exact = self.whole_since == 1 or self.whole_since < head.epoch
        need(not exact or listed.keys() <= self.accounts.keys() | moved.keys(), "totals", "an account too many")
        for key in self.accounts.keys() | moved.keys():
            want = tuple(map(sum, zip(self.accounts.get(key, (0, 0)), moved.get(key, (0, 0)))))
            got = listed.get(key)
            need(got == want or not exact and got and got[0] >= want[0] and got[1] >= want[1], "totals",
                 f"account {base64.b64encode(key).decode()}")
        sums = tuple(map(sum, zip((0, 0), *listed.values())))
        need(sums == (head.earned, head.spent) and head.earned == head.spent, "sums", "head")
        self.accounts = listed


def check_receipt(receipt, data, terms, place):
    need(RECEIPT.formed(receipt) and receipt.seq, "receipt", place)
    need((receipt.seq == 1) == (receipt.previous == ZERO), "receipt", place)
    total = receipt.bytes_up + receipt.bytes_down
    need(total < U64 and receipt.amount == -(-total * terms.price // 2**30), "receipt", place)
    same = all(getattr(receipt, name) == getattr(terms, name) for name in ("role", "network", "provider"))
    need(same and signed(receipt.provider, data[:216], receipt.provider_signature), "receipt", place)
    need(signed(receipt.payer, data[:280], receipt.payer_signature), "receipt", place)


def follows(known, data):
    """Whether the receipt `data` may stand behind the receipt `known` of its session."""
    old, new = map(RECEIPT.read, (known, data))
    grows = all(getattr(new, name) >= getattr(old, name) for name in ("bytes_up", "bytes_down", "amount"))
    linked = new.seq != old.seq + 1 or new.previous == blake2b(known[:280])
    return new.seq > old.seq and known[:144] == data[:144] and grows and linked


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", type=lambda text: base64.b64decode(text, validate=True), help="base64")
    parser.add_argument("--network", type=int)
    parser.add_argument("--lost", action="store_true", help="epochs between two files may be missing")
    parser.add_argument("files", nargs="+", metavar="FILE")
    args = parser.parse_args()
    chain = Chain(args.node, args.network, args.lost)
    for name in args.files:
        try:
            with open(name, "rb") as file:
                head = chain.check(file.read())
        except Refused as refused:
            print(f"{name}: refused: {refused.args[0]} ({refused.args[1]})")
            return 1
        except OSError as error:
            print(f"{name}: {error.strerror}; give the files of epochs", file=sys.stderr)
            return 2
        print(f"{name}: good: epoch {head.epoch}, {head.receipts} receipts, earned {head.earned}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
