#!/usr/bin/env python3
"""culvert settle verify against tests/verify_batch.py, which was written from docs/accounting.md: on good chains, and on
chains bent in every way, both must say the same, by the same reason's name, of the same file and byte."""
import functools
import itertools
import json
import multiprocessing
import pathlib
import random
import re
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import check_cli as cli  # noqa: E402
import ed25519  # noqa: E402
import make_batch as make  # noqa: E402
import make_golden as golden  # noqa: E402
import verify_batch as other  # noqa: E402
from check_cli import CULVERT, TOP, b64, check  # noqa: E402
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: E402

P, L = ed25519.P, ed25519.L
KINDS = {"terms": other.TERMS, "sessions": other.SESSION, "receipts": other.RECEIPT, "accounts": other.ACCOUNT}
SAMPLES = [bytes.fromhex((TOP / f"tests/vectors/batch_{n}.hex").read_text()) for n in (1, 2, 3)]
ALL = "--all" in sys.argv  # a bit of every byte of every file, and what there was of each kind: twice as long
STEP = 1 if CULVERT.parent.name == "release" else 23  # sanitized programs are slow to start
PAYERS = {session: seed for session, (_, _, seed, _) in make.SESSIONS.items()}
GOOD, REFUSED = "good", "refused"
slow_sign = ed25519.sign


@functools.lru_cache(None)
def private(seed):
    return Ed25519PrivateKey.from_private_bytes(seed)


def sign(seed, message):
    """Ed25519, fast; a function in place of a seed signs as it likes."""
    return seed(message) if callable(seed) else private(seed).sign(message)


ed25519.sign = sign
other.signed = functools.lru_cache(None)(other.signed)


def edit(kind, data, **fields):
    """A record with some fields changed, modulo what they hold."""
    got = kind.read(data)
    for name, value in fields.items():
        if isinstance(value, int):
            width = 32 if name in ("terms", "sessions", "receipts", "accounts", "fee_ppm", "loss_ppm", "receipt_seconds") else 64
            fields[name] = value % 2 ** (8 if name in ("version", "role") else width)
    return kind.form.pack(*got._replace(**fields))


def signed_again(kind, data):
    """Terms and receipts signed as they stand."""
    if kind is other.TERMS:
        return data[:112] + sign(make.PROVIDER_SEED, data[:112])
    if kind is other.RECEIPT:
        offer = data[:216] + sign(make.PROVIDER_SEED, data[:216])
        return offer + sign(PAYERS.get(data[32:48], make.A_SEED), offer)
    return data


class Batch:
    """A batch in its parts, to be changed and put together again."""

    def __init__(self, data):
        self.head, place = data[:other.HEAD.size], other.HEAD.size
        head, self.parts = other.HEAD.read(self.head), {}
        for name, kind in KINDS.items():
            end = place + getattr(head, name) * kind.size
            self.parts[name] = [data[at:at + kind.size] for at in range(place, end, kind.size)]
            place = end
        self.peaks = data[place:]

    def plain(self):
        return self.head + b"".join(itertools.chain(*self.parts.values())) + self.peaks

    def whole(self, signer=make.PROVIDER_SEED, **fields):
        """With counts, size and root put right, but for the given fields of the head, and signed."""
        before = other.HEAD.read(self.head).previous_size
        sizes = [1 << bit for bit in reversed(range(64)) if before >> bit & 1]
        peaks = [(size, self.peaks[32 * i:][:32]) for i, size in enumerate(sizes)]
        records = list(itertools.chain(*self.parts.values()))
        for record in records:
            other.append(peaks, record)
        right = {name: len(part) for name, part in self.parts.items()}
        right |= {"size": before + len(records), "root": other.root(peaks)}
        self.head = edit(other.HEAD, self.head, **(right | fields))
        self.head = self.head[:192] + sign(signer, self.head[:192])
        return self.plain()


class Comparison:
    """Cases are added, and run two at a time: (name, files, options, what is expected: GOOD, REFUSED, a reason, or None)."""

    def __init__(self, top):
        self.top, self.cases, self.reasons = top, [], {}

    def add(self, name, files, want=None, **options):
        self.cases.append((f"{name} (case {len(self.cases)})", files, options, want))

    def mine(self, files, options):
        chain = other.Chain(options.get("node"), options.get("network"), options.get("lost", False))
        for i, data in enumerate(files):
            try:
                chain.check(data)
            except other.Refused as refused:
                byte = re.search(r"byte (\d+)", refused.args[1])
                return i, refused.args[0], int(byte[1]) if byte else None
        return None

    def culvert(self, number, files, options):
        paths = [self.top / f"{number}-{i}" for i in range(len(files))]
        for path, data in zip(paths, files):
            path.write_bytes(data)
        words = [f"--network={options['network']}"] if "network" in options else []
        words += [f"--node={b64(options['node'])}"] if "node" in options else []
        words += ["--lost"] if options.get("lost") else []
        done = subprocess.run([CULVERT, "settle", "verify", "--json", *words, *paths], capture_output=True, text=True, timeout=60,
                              check=False, stdin=subprocess.DEVNULL, close_fds=False)
        for path in paths:
            path.unlink()
        try:
            refused = json.loads(done.stdout).get("refused")
        except ValueError:
            return done.returncode, done.stdout + done.stderr
        if (done.returncode == 0) != (refused is None) or done.returncode not in (0, 8):
            return done.returncode, done.stderr
        return refused and (paths.index(pathlib.Path(refused["file"])), refused["reason"], refused["byte"])

    def __call__(self, number):
        _, files, options, _ = self.cases[number]
        return self.mine(files, options), self.culvert(number, files, options)

    def run(self):
        global running
        self.cases = [case for i, case in enumerate(self.cases) if i % STEP == 0 or case[3] not in (REFUSED, None)]
        running = self
        with multiprocessing.get_context("fork").Pool(2) as pool:
            said = pool.imap(run_case, range(len(self.cases)), 50)
            for (name, _, _, want), (mine, culvert) in zip(self.cases, said):
                self.compare(name, mine, culvert, want)

    def compare(self, name, mine, culvert, want):
        if mine and culvert and mine[2] is None:  # it names no byte
            culvert = culvert[:2] + (None,)
        check(mine == culvert, f"{name}: verify_batch.py says {mine}, culvert {culvert}")
        reason = mine[1] if mine else GOOD
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        check(want in (None, reason) or (want == REFUSED and mine), f"{name}: {reason}, not {want}")


running = None  # the comparison that forked processes work on


def run_case(number):
    return running(number)


def add_good(c):
    one, two, three = SAMPLES
    for files in SAMPLES, [one], [two], [three], [one, two], [two, three]:
        c.add("the samples", files, GOOD)
        c.add("the samples, asked for", files, GOOD, node=make.PROVIDER, network=make.NETWORK)
    c.add("an epoch lost", [one, three], GOOD, lost=True)
    c.add("an epoch missing", [one, three], "epoch")
    for files in itertools.product(SAMPLES, repeat=2):
        c.add("pairs", list(files), lost=True)
    for files in itertools.permutations(SAMPLES):
        c.add("another order", list(files))
    c.add("another node asked for", SAMPLES, "node", node=make.A)
    c.add("another network asked for", SAMPLES, "network", network=0)


def add_bytes(c):
    """One bit in every byte; lengths."""
    for n, data in enumerate(SAMPLES):
        before = SAMPLES[:n]
        for i in range(0, len(data), 1 if n == 1 or ALL else 3):
            bent = bytearray(data)
            bent[i] ^= 1 << (i * 5 + n) % 8
            c.add(f"batch {n + 1}, a bit of byte {i}", [*before, bytes(bent)], REFUSED)
        for length in {*range(0, len(data), 37), 1, 191, 192, 255, 256, len(data) - 1}:
            c.add(f"batch {n + 1} cut to {length}", [*before, data[:length]], "length")
        for more in data, b"\0", bytes(32), bytes(64), data[-64:]:
            c.add(f"batch {n + 1} and {len(more)} bytes", [*before, data + more], "length")


def add_fields(c):
    """Every field of each kind of record with other values: as it is, and with all signatures and the tree right."""
    for n, data in enumerate(SAMPLES):
        before = SAMPLES[:n]
        for name in other.HEAD.fields._fields[:-1]:
            for value in values(other.HEAD, data[:256], name):
                batch = Batch(data)
                try:
                    c.add(f"batch {n + 1}, head's {name}", [*before, batch.whole(**{name: value})])
                except IndexError:  # more peaks than there are
                    continue
        for part, kind in KINDS.items():
            for name in kind.fields._fields:
                batch = Batch(data)
                for i, record in enumerate(batch.parts[part][:2]):
                    for value in values(kind, record, name):
                        batch.parts[part][i] = signed_again(kind, edit(kind, record, **{name: value}))
                        c.add(f"batch {n + 1}, {name} of {part}", [*before, batch.whole()])
                        if i == 0 and n and part != "receipts" or ALL:
                            c.add(f"batch {n + 1}, {name} of {part}, alone", [batch.whole()])
                    batch.parts[part][i] = record


def values(kind, record, name):
    value = getattr(kind.read(record), name)
    if isinstance(value, int):
        return {0, 1, value + 1, value - 1, value + 2**32, -1} - {value}
    return bytes(len(value)), make.A[:len(value)].ljust(len(value), b"\1"), value[:-1] + bytes([value[-1] ^ 1])


def add_swaps(c):
    """Receipts, and whole records of other kinds, in another batch."""
    for (a, x), (b, y) in itertools.permutations(enumerate(SAMPLES), 2):
        for part, kind in KINDS.items():
            for i, j in itertools.product(range(len(Batch(x).parts[part])), range(len(Batch(y).parts[part]))):
                batch, giver = Batch(x), Batch(y)
                same = batch.parts[part][i] == giver.parts[part][j]
                batch.parts[part][i] = giver.parts[part][j]
                c.add(f"batch {a + 1} with {part} of {b + 1}", [*SAMPLES[:a], batch.plain()], None if same else REFUSED)
                batch.parts[part].sort(key=(lambda t: golden.blake(t, 32)) if part == "terms" else None)
                if part == "receipts":
                    batch.parts[part].sort(key=lambda r: (kind.read(r).session, kind.read(r).seq))
                c.add(f"batch {a + 1} with {part} of {b + 1}, right", [*SAMPLES[:a], batch.whole()], None if same else REFUSED)
    for n, data in enumerate(SAMPLES):
        for part in KINDS:
            for i in range(len(Batch(data).parts[part])):
                for count in 0, 2:
                    batch = Batch(data)
                    batch.parts[part][i:i + 1] *= count
                    may_miss = part == "receipts" and count == 0
                    c.add(f"batch {n + 1}, {part} {i} {count} times", [*SAMPLES[:n], batch.whole()], None if may_miss else REFUSED)
                batch = Batch(data)
                batch.parts[part].insert(0, batch.parts[part].pop(i))
                c.add(f"batch {n + 1}, {part} {i} moved", [*SAMPLES[:n], batch.whole()])


def wrapped(data, field):
    """Two accounts with 2^63 more each, which a sum of 64 bits would not see."""
    batch = Batch(data)
    for i in 0, 1:
        record = batch.parts["accounts"][i]
        value = getattr(other.ACCOUNT.read(record), field)
        batch.parts["accounts"][i] = edit(other.ACCOUNT, record, **{field: value + 2**63})
    return batch.whole()


def add_sums(c):
    for field in "earned", "spent":
        c.add(f"{field} beyond 64 bits", [wrapped(SAMPLES[1], field)], "sums")
        c.add(f"{field} beyond 64 bits, lost", [SAMPLES[0], wrapped(SAMPLES[2], field)], "sums", lost=True)
    c.add("earned beyond 64 bits, exact", [SAMPLES[0], wrapped(SAMPLES[1], "earned")], "totals")
    batch = Batch(SAMPLES[1])
    records = sum(map(len, batch.parts.values()))
    for size in 2**64 - 1 - records, 2**64 - records, 2**64 - 1:
        count = size.bit_count()
        batch.peaks = golden.run(7) * count
        sizes = [1 << bit for bit in reversed(range(64)) if size >> bit & 1]
        before = other.root([(s, golden.run(7)) for s in sizes])
        batch.head = edit(other.HEAD, batch.head, previous_size=size, previous_root=before)
        c.add("a huge tree", [batch.whole()], GOOD if size < 2**64 - records else "head")


def build(epochs, **globals_):
    """A chain as make_batch makes it, with some of its globals changed."""
    old = {name: getattr(make, name) for name in globals_}
    try:
        for name, value in globals_.items():
            setattr(make, name, value)
        books = make.Books()
        return [books.close(epoch) for epoch in epochs]
    finally:
        for name, value in old.items():
            setattr(make, name, value)


def add_links(c):
    """What single records hide, since what depends on them must be right too."""
    batch = Batch(SAMPLES[1])
    batch.parts["terms"] = sorted(make.TERMS.values(), key=lambda t: golden.blake(t, 32))
    c.add("terms nobody names", [SAMPLES[0], batch.whole()], "unused")
    head = other.HEAD.read(SAMPLES[1][:256])
    for name, files, reason in ("exact", SAMPLES[:1], "totals"), ("not exact", [], GOOD):
        batch = Batch(SAMPLES[1])
        batch.parts["accounts"].insert(0, other.ACCOUNT.form.pack(other.ACCOUNT.domain, bytes(31) + b"\1", 1, 1))
        c.add(f"an account too many, {name}", [*files, batch.whole(earned=head.earned + 1, spent=head.spent + 1)], reason)
    batch = Batch(SAMPLES[1])
    record = batch.parts["accounts"][0]
    batch.parts["accounts"][0] = edit(other.ACCOUNT, record, earned=other.ACCOUNT.read(record).earned + 1)
    c.add("more earned than spent", [batch.whole(earned=head.earned + 1)], "sums")
    batch = Batch(SAMPLES[0])
    receipt = edit(other.RECEIPT, batch.parts["receipts"][0], provider=make.A)
    offer = receipt[:216] + sign(make.A_SEED, receipt[:216])
    batch.parts["receipts"][0] = offer + sign(PAYERS[receipt[32:48]], offer)
    c.add("a receipt of another provider", [batch.whole()], "receipt")
    first, peak = other.HEAD.read(SAMPLES[0][:256]), golden.run(7)
    for size, peaks, reason in ((11, Batch(SAMPLES[1]).peaks, GOOD), (11, peak * 3, "previous"), (8, peak, "previous"), (16, peak, GOOD)):
        batch = Batch(SAMPLES[2])
        batch.peaks = peaks
        sizes = [1 << bit for bit in reversed(range(64)) if size >> bit & 1]
        before = other.root([(s, peaks[32 * i:][:32]) for i, s in enumerate(sizes)])
        check((size == first.size and before == first.root) == (peaks != peak * 3 and size == 11), "the tree before is built wrong")
        batch.head = edit(other.HEAD, batch.head, previous_size=size, previous_root=before)
        c.add(f"a lost epoch, {size} leaves before", [SAMPLES[0], batch.whole()], reason, lost=True)


def add_terms(c):
    """Terms and receipts at the edges of what may be, all that depends on them right."""
    epoch, (role, _, _, _) = [{make.S1: ([1, 2], 0)}], make.SESSIONS[make.S1]
    edges = {"window_start": [0, 1, 2**20 - 1], "window_cap": [2**20 - 1, 2**20, 2**40, 2**40 + 1], "loss_ppm": [0, 10**6, 10**6 + 1],
             "role": [0, 2, 3], "version": [0, 2], "expires": [0], "receipt_seconds": [0], "loss_bytes": [2**64 - 1], "network": [7]}
    wrong = {("window_start", 0), ("window_cap", 2**20 - 1), ("window_cap", 2**40 + 1), ("loss_ppm", 10**6 + 1), ("role", 0), ("role", 3),
             ("version", 0), ("version", 2), ("network", 7)}
    for name, value in ((name, value) for name, some in edges.items() for value in some):
        terms = signed_again(other.TERMS, edit(other.TERMS, make.TERMS[role], **{name: value}))
        reason = "terms" if (name, value) in wrong else "receipt" if name == "role" else GOOD
        c.add(f"terms with {name} {value}", build(epoch, TERMS={role: terms}), reason)
    prices = [(0, [(1, 2), (2**64 - 3, 2)], GOOD), (0, [(1, 2), (2**64 - 2, 2)], "receipt"), (2**30, [(1, 2), (2**63, 2**63 - 1)], GOOD),
              (1, [(0, 0), (0, 1)], GOOD), (1, [(0, 2**30), (1, 2**30)], GOOD), (2**64 - 1, [(0, 0), (0, 2**30)], GOOD)]
    for price, counts, reason in prices:
        terms = signed_again(other.TERMS, edit(other.TERMS, make.TERMS[role], price=price))
        c.add(f"price {price}, bytes {counts}", build(epoch, TERMS={role: terms}, COUNTS={make.S1: counts},
                                                      amount=lambda total, price=price: -(-total * price // 2**30)), reason)
    for counts in [(5, 5), (4, 9)], [(5, 5), (9, 4)], [(5, 2**40), (5, 2**39)], [(2**40, 5), (2**39, 5)]:
        for epochs in epoch, [{make.S1: ([1], 10**9)}, {make.S1: ([2], 0)}]:
            unpaid = [{session: (seqs, 0 if len(epochs) == 1 else make.amount(sum(counts[seqs[-1] - 1]))) for session, (seqs, _) in e.items()}
                      for e in epochs]
            c.add(f"receipts that count {counts}", build(unpaid, COUNTS={make.S1: counts}), "chain")


def add_others(c):
    """Batches of another node, and of another network."""
    for name, changed in ("node", {"PROVIDER": make.A, "PROVIDER_SEED": make.A_SEED}), ("network", {"NETWORK": 7}):
        old = {key: getattr(golden, key) for key in changed}
        for key, value in changed.items():
            setattr(golden, key, value)
        terms = {role: golden.terms(role) for role in (1, 2)}
        for key, value in old.items():
            setattr(golden, key, value)
        there = build(make.EPOCHS, TERMS=terms, **changed)
        for n in (1, 2):
            c.add(f"another {name}", SAMPLES[:n] + there[n:], name)
            c.add(f"another {name}", there[:n] + SAMPLES[n:], name)
        batch = Batch(SAMPLES[0])
        batch.parts["terms"] = Batch(there[0]).parts["terms"]
        c.add(f"terms of another {name}", [batch.whole()], REFUSED)
        batch = Batch(SAMPLES[0])
        batch.parts["receipts"] = Batch(there[0]).parts["receipts"]
        c.add(f"receipts of another {name}", [batch.whole()], REFUSED)


def add_grown(c):
    """A longer chain: 60 sessions, 6 epochs, with receipts missing between."""
    rng = random.Random(2)
    sessions, counts, epochs, done = {}, {}, [{} for _ in range(6)], {}
    for i in range(60):
        session = rng.randbytes(16)
        seed = rng.choice([make.A_SEED, make.B_SEED, make.PROVIDER_SEED, golden.run(i)])
        sessions[session] = rng.choice([1, 2]), ed25519.public(seed), seed, rng.choice([0, 1, 333, 50_000, 10**6])
        ups = sorted(rng.randrange(2**38) for _ in range(24))
        counts[session] = list(zip(ups, sorted(rng.randrange(2**38) for _ in range(24))))
        unpaid = rng.randrange(3)
        for epoch in epochs:
            seqs = [s for s in range(done.get(session, 0) + 1, done.get(session, 0) + rng.randrange(1, 5)) if rng.random() < 0.8]
            if seqs:
                done[session] = seqs[-1]
                epoch[session] = seqs, unpaid
    chain = build(epochs, SESSIONS=sessions, COUNTS=counts)
    c.add("the grown chain", chain, GOOD)
    for i, j in itertools.combinations(range(6), 2):
        c.add("a part of the grown chain", chain[i:j], GOOD)
    for lost in range(1, 5):
        gap = chain[:lost] + chain[lost + 1:]
        c.add("a gap in the grown chain", gap, "epoch")
        c.add("a lost epoch of the grown chain", gap, GOOD, lost=True)
        for part, kind in KINDS.items():
            for name in kind.fields._fields[1:]:
                batch = Batch(chain[-1])
                i = rng.randrange(len(batch.parts[part]))
                record = batch.parts[part][i]
                change = edit(kind, record, **{name: rng.choice(list(values(kind, record, name)))})
                batch.parts[part][i] = signed_again(kind, change)
                c.add(f"{name} of {part} behind a lost epoch", [*gap[:-1], batch.whole()], lost=True)
    return sum(len(Batch(data).parts["receipts"]) for data in chain)


def torsion():
    """The 8 points of small order, from the multiples of one of order 8."""
    for y in itertools.count(2):
        x = ed25519.recover_x(y, 0)
        if x is None:
            continue
        t = ed25519.multiply((x, y, 1), L)
        points = [ed25519.multiply(t, i) for i in range(8)]
        if len({ed25519.encode(p) for p in points}) == 8:
            return points


def sign_with(message, scalar, public, nonce, big_r=None, plus=0, k_mod=None):
    """A signature of our own making: R may be given, S has `plus`, k must be as wanted modulo 8."""
    while True:
        r = big_r or ed25519.encode(ed25519.multiply(ed25519.BASE, nonce))
        k = int.from_bytes(other.hashlib.sha512(r + public + message).digest(), "little") % L
        if k_mod is None or (k % 8 == 0) == k_mod:
            s = (nonce * (big_r is None or plus is None) + k * scalar) % L
            return r + (s + (plus or 0)).to_bytes(32, "little")
        nonce += 1


def odd_signers(seed, points):
    """{name: a signer with this seed whose form is not the one form}"""
    scalar, public = ed25519.expand(seed)[0], ed25519.public(seed)
    found = {}
    for times in (1, 2, 8, 14):
        found[f"S + {times} L"] = lambda m, times=times: sign_with(m, scalar, public, 77, plus=times * L)
    for i, point in enumerate(points[1:], 1):
        mixed = ed25519.encode(ed25519.add(ed25519.multiply(ed25519.BASE, 99), point))
        found[f"R with torsion {i}"] = lambda m, r=mixed: sign_with(m, scalar, public, 99, big_r=r, plus=None)
    small = [(name, r) for name, r in small_encodings(points).items()]
    for name, r in small:
        found[f"R {name}"] = lambda m, r=r: sign_with(m, scalar, public, 0, big_r=r)
    return found


def small_encodings(points):
    found = {f"of small order {i}": ed25519.encode(p) for i, p in enumerate(points)}
    for sign_bit, y in itertools.product((0, 1), (0, 1, P - 1, P, P + 1)):
        found[f"as {y - P if y > 1 else y} with sign {sign_bit}"] = (y | sign_bit << 255).to_bytes(32, "little")
    return found


def add_signatures(c):
    points, epoch = torsion(), [{make.S1: ([1, 2], 0)}]
    role, payer, seed, ppm = make.SESSIONS[make.S1]
    for name, signer in odd_signers(seed, points).items():
        c.add(f"payer's {name}", build(epoch, SESSIONS={make.S1: (role, payer, signer, ppm)}), "receipt")
    for name, signer in odd_signers(make.PROVIDER_SEED, points).items():
        only = {kind: lambda m, kind=kind, s=signer: s(m) if m.startswith(kind) else sign(golden.PROVIDER_SEED, m)
                for kind in (b"culvert receipt1", b"culvert batch")}
        c.add(f"provider's {name}", build(epoch, PROVIDER_SEED=only[b"culvert receipt1"]), "receipt")
        c.add(f"head's {name}", build(epoch, PROVIDER_SEED=only[b"culvert batch"]), "signature")
        terms = {role: make.TERMS[role][:112] + signer(make.TERMS[role][:112])}
        c.add(f"terms' {name}", build(epoch, TERMS=terms), "terms")
    odd = {name: (key, 0, True) for name, key in small_encodings(points).items()}
    odd |= {f"not canonical {i}": ((P + i).to_bytes(32, "little"), 5, None) for i in range(2, 19)}
    scalar = ed25519.expand(seed)[0]
    for i, point in enumerate(points[1:], 1):
        mixed = ed25519.encode(ed25519.add(ed25519.multiply(ed25519.BASE, scalar), point))
        odd |= {f"with torsion {i}, {k_mod}": (mixed, scalar, k_mod) for k_mod in (True, False)}
    for name, (key, scalar_of, k_mod) in odd.items():
        def signer(message, key=key, scalar_of=scalar_of, k_mod=k_mod):
            return sign_with(message, scalar_of, key, 1234, k_mod=k_mod)
        holds = name.startswith("with torsion") and (k_mod or None)
        reason = GOOD if holds else None if name.startswith("with torsion") else "receipt"
        c.add(f"a payer's key {name}", build(epoch, SESSIONS={make.S1: (role, key, signer, ppm)}), reason)
        c.add(f"a node's key {name}", [Batch(SAMPLES[0]).whole(signer=signer, node=key)], "terms" if holds else None)


def mutate(rng, batch):
    part = rng.choice(list(KINDS))
    records, kind = batch.parts[part], KINDS[part]
    if not records:
        return
    i = rng.randrange(len(records))
    way = rng.randrange(6)
    if way == 0:
        bent = bytearray(records[i])
        for _ in range(rng.choice([1, 1, 2, 8])):
            bent[rng.randrange(len(bent))] = rng.randrange(256)
        records[i] = signed_again(kind, bytes(bent)) if rng.random() < 0.7 else bytes(bent)
    elif way == 1:
        name = rng.choice(kind.fields._fields)
        records[i] = signed_again(kind, edit(kind, records[i], **{name: rng.choice(list(values(kind, records[i], name)))}))
    elif way == 2:
        records.pop(i)
    elif way == 3:
        records.insert(rng.randrange(len(records) + 1), records[i])
    elif way == 4:
        j = rng.randrange(len(records))
        records[i], records[j] = records[j], records[i]
    else:
        giver = Batch(rng.choice(SAMPLES)).parts[part]
        records[i] = rng.choice(giver)


def add_random(c):
    rng = random.Random(1)
    for _ in range(400):
        n = rng.randrange(3)
        batch = Batch(SAMPLES[n])
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            mutate(rng, batch)
        data = batch.whole() if rng.random() < 0.8 else batch.plain()
        before = rng.choice([SAMPLES[:n], SAMPLES[:n], [], SAMPLES[:1] if n == 2 else []])
        c.add(f"batch {n + 1} at random", [*before, data], lost=rng.random() < 0.3)


def main():
    with tempfile.TemporaryDirectory(prefix="culvert-batches-") as name:
        c = Comparison(pathlib.Path(name))
        check(sign(make.A_SEED, b"x") == slow_sign(make.A_SEED, b"x"), "two ways to sign differ")
        counts = {}
        for add in add_good, add_bytes, add_fields, add_swaps, add_sums, add_links, add_terms, add_others, add_grown, add_signatures, add_random:
            count = len(c.cases)
            add(c)
            counts[add.__name__[4:]] = len(c.cases) - count
        c.run()
    print(f"{len(c.cases)} cases, of these: {counts}")
    print(f"reasons: {c.reasons}")
    table = (TOP / "docs/accounting.md").read_text().split("### What is checked")[1].split("###")[0]
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?`) \|", table, re.M))))
    check(STEP > 1 or named == set(c.reasons) - {GOOD}, f"the document's reasons and those met differ by {named ^ set(c.reasons)}")
    print(f"{cli.passed} passed, {cli.failed} failed")
    return 1 if cli.failed else 0


if __name__ == "__main__":
    sys.exit(main())
