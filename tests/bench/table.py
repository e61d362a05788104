"""Results as text. Pure: from values to lines."""
import statistics

LEGEND = """\
own: CPU time of the relay's own threads, ledger included, for one delivered datagram; worker: of that, what the data path's threads use.
all-in: own, and what the relay costs beyond it: the sender's way into the kernel, ksoftirqd, the receiver; beyond what they cost on the wire alone.
kpps: best rate without loss in a closed loop; the generator's core is often the limit, so compare CPU time first. added: one-way delay beyond
the wire's, single datagrams, 20 kpps. others: processors busy with something else meanwhile. Medians of rounds; every ratio is the worst of them.
"""


def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


class Matrix:
    """The big table's values by (way, direction, size, flows)."""

    def __init__(self, section):
        self.rows = {(p["way"], p["direction"], p["size"], p["flows"]): p for p in section["points"]}
        self.ways = list(dict.fromkeys(p["way"] for p in section["points"]))
        self.points = list(dict.fromkeys((p["direction"], p["size"], p["flows"]) for p in section["points"]))

    def name(self, way):
        return next(p["name"] for key, p in self.rows.items() if key[0] == way)

    def rounds(self, way, point, what):
        """One figure of each round; all-in and added delays are beyond the same round's wire."""
        if (way, *point) not in self.rows:
            return []
        rounds = self.rows[way, *point]["rounds"]
        if what == "all-in":
            return [r["best"]["all"] - w["best"]["all"] for r, w in zip(rounds, self.rows["wire", *point]["rounds"])]
        if what in ("added50", "added99"):
            key = "p" + what[-2:]
            return [(r["slow"][key] - w["slow"][key]) / 1000 for r, w in zip(rounds, self.rows["wire", *point]["rounds"])]
        if what == "slow_loss":
            return [r["slow"]["loss"] for r in rounds]
        return [r["best"][what] for r in rounds]

    def value(self, way, point, what):
        return median(self.rounds(way, point, what))

    def worst(self, way, others, point, what):
        """The largest ratio of way to the best of others, round by round; None if somebody is missing or costs nothing."""
        columns = [self.rounds(other, point, what) for other in others]
        ratios = [a / min(b) for a, *b in zip(self.rounds(way, point, what), *columns) if b and min(b) > 0]
        return max(ratios) if ratios else None


def number(value, width, digits=0):
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"


def share(value):
    return "-" if value is None else f"{value:.1%}"


def plural(count, what):
    return f"{count} {what}{'' if count == 1 else 's'}"


def title(point):
    arrow = {"up": "client to exit", "down": "exit to client"}[point[0]]
    return f"{arrow}, {point[1]} bytes, {plural(point[2], 'flow')}"


def matrix_lines(m):
    for point in m.points:
        yield title(point)
        yield f"  {'':26} {'kpps':>7} {'least-most':>11} | {'own ns':>7} {'worker':>7} {'all-in':>7} {'x DNAT':>7} | {'added50':>8} {'added99':>8} us | {'others':>6}"
        for way in m.ways:
            yield matrix_line(m, way, point)
        yield ""


def matrix_line(m, way, point):
    rates, loss, slow_loss = (m.rounds(way, point, k) for k in ("pps", "loss", "slow_loss"))
    user = m.value(way, point, "own") > 0
    mark = "" if median(loss) <= 0.0005 and median(slow_loss) <= 0.0005 else f"  lost {median(loss):.2%} at best, {median(slow_loss):.2%} at 20 kpps"
    return (f"  {m.name(way):26} {median(rates) / 1000:7.1f} {f'{min(rates) / 1000:.0f}-{max(rates) / 1000:.0f}':>11} | "
            f"{number(m.value(way, point, 'own') if user else None, 7)} {number(m.value(way, point, 'worker') or None, 7)} "
            f"{number(m.value(way, point, 'all-in'), 7)} {number(m.worst(way, ['dnat'], point, 'all-in'), 7, 2)} | "
            f"{number(m.value(way, point, 'added50'), 8, 1)} {number(m.value(way, point, 'added99'), 8, 1)}    | {m.value(way, point, 'others'):6.2f}{mark}")


RATIOS = (
    ("own, coturn's / Culvert's", "own", ["coturn"], True),
    ("own, nginx's / Culvert's", "own", ["nginx"], True),
    ("all-in, Culvert's / DNAT's", "all-in", ["dnat"], False),
    ("p50 added, / best peer's", "added50", ["coturn", "nginx"], False),
    ("p99 added, / best peer's", "added99", ["coturn", "nginx"], False),
)


def ratio_lines(m):
    """What an operator asks, worst of the rounds: how much cheaper than each proxy, how much dearer than the kernel?"""
    yield "Culvert with 1 worker beside the others, each the worst of the rounds; last: 2 workers' own CPU time / 1 worker's"
    yield f"  {'':36}" + "".join(f"{label:>27}" for label, *_ in RATIOS) + f"{'2 workers':>12}"
    for point in m.points:
        cells = []
        for _, what, others, inverse in RATIOS:
            ratio = m.worst("culvert", others, point, what)
            cells.append(number(1 / ratio if ratio and inverse else ratio, 27, 2))
        cells.append(number(m.worst("culvert2", ["culvert"], point, "own"), 12, 2))
        yield f"  {title(point):36}" + "".join(cells)
    yield ""


CUTS = {"ends": "datagrams off a wire, relay's device cuts", "all": "the same, cut by the relay's processor", "none": "uncut buffers come and go", "singly": "a system call of 8, one by one"}


def offload_lines(rows):
    yield "Who cuts and joins: 64 flows in bursts of 8, own / all-in ns"
    ways = list(dict.fromkeys(r["way"] for r in rows if r["way"] != "wire"))
    yield f"  {'':60}" + "".join(f"{way:>16}" for way in ways)
    by = {(r["direction"], r["size"], r["cut"], r["way"]): r["rounds"] for r in rows}
    for d, s, cut in dict.fromkeys((r["direction"], r["size"], r["cut"]) for r in rows):
        cells = []
        for way in ways:
            rounds, wire = by[d, s, cut, way], by[d, s, cut, "wire"]
            own, all_in = median(r["own"] for r in rounds), median(r["all"] - w["all"] for r, w in zip(rounds, wire))
            cells.append(f"{f'{own:.0f}' if own else '-'} / {all_in:.0f}".rjust(16))
        yield f"  {d + ',':6}{s:>5} bytes: {CUTS[cut]:42}" + "".join(cells)
    yield ""


def overload_lines(rows):
    yield "Below and beyond saturation: Culvert with 1 worker, 64 flows in bursts of 8; 4 strangers set up a session and ask for the descriptor meanwhile."
    yield "crowded: somebody else takes most of the relay's core, so that the generator can offer twice what goes; most: the highest `sent on` of its lines"
    yield (f"  {'kpps':27}{'offered':>9}{'x most':>8}{'sent on':>9}{'of most':>9}{'lost':>8}{'own ns':>8}"
           f" |{'set up':>8}{'slowest ms':>12}{'answered':>10}{'slowest ms':>12}")
    for row in rows:
        most = max(r["goodput"] for r in rows if all(r[k] == row[k] for k in ("crowded", "direction", "size"))) if row["crowded"] else None
        g, words = row["guests"], f"{'crowded, ' if row['crowded'] else ''}{row['direction']}, {row['size']} bytes"
        yield (f"  {words:27}{row['offered'] / 1e3:9.1f}{number(most and row['offered'] / most, 8, 2)}{row['goodput'] / 1e3:9.1f}"
               f"{share(most and row['goodput'] / most):>9}{row['loss']:8.2%}{row['own']:8.0f} |"
               f"{str(g['ready']) + '/' + str(g['came']):>8}{g['ready_ns'] / 1e6:12.1f}{str(g['answered']) + '/' + str(g['asked']):>10}{g['answered_ns'] / 1e6:12.1f}")
    yield ""


def idle_lines(rows):
    yield "Idle sessions: 64 flows of 148 bytes in bursts of 8 among so many sessions, 1 worker; x fewest: own CPU time, worst round"
    yield f"  {'sessions':>10} {'':>6} {'kpps':>8} {'own ns':>8} {'x fewest':>9} {'resident MiB':>13} {'set up a second':>16}"
    for row in rows:
        fewest = next(r for r in rows if r["direction"] == row["direction"])
        worst = max(r["own"] / f["own"] for r, f in zip(row["rounds"], fewest["rounds"]))
        speed = (row["sessions"] - fewest["sessions"]) / row["setup_s"] if row["setup_s"] > 1 else None
        yield (f"  {row['sessions']:>10} {row['direction']:>6} {median(r['pps'] for r in row['rounds']) / 1e3:8.1f} {median(r['own'] for r in row['rounds']):8.0f} "
               f"{worst:9.2f} {row['rss_kib'] / 1024:13.1f} {number(speed, 16)}")
    yield ""


def workers_lines(rows):
    yield "Workers: 64 flows in bursts of 8 at the same rates; x one: CPU time of the data path's threads beside one worker's, median and worst round"
    yield f"  {'':>18} {'kpps':>7} {'one: own ns':>12} {'worker':>7} {'two: own ns':>12} {'worker':>7} {'x one':>6} {'worst':>6} {'lost':>6}"
    for one, two in zip(rows[::2], rows[1::2]):
        ratios = [b["worker"] / a["worker"] for a, b in zip(one["rounds"], two["rounds"])]
        own = [f"{median(r['own'] for r in row['rounds']):12.0f} {median(r['worker'] for r in row['rounds']):7.0f}" for row in (one, two)]
        yield (f"  {one['direction']:>5}, {one['size']:4} bytes {one['offered'] / 1e3:8.0f} {own[0]} {own[1]} {median(ratios):6.2f} {max(ratios):6.2f} "
               f"{max(r['loss'] for row in (one, two) for r in row['rounds']):6.2%}")
    yield ""


UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def window_lines(rows):
    yield "Window and delay of signatures: one session, 1452 bytes, MB/s of UDP payload that arrive; in brackets window / delay"
    delays = list(dict.fromkeys(r["delay_ms"] for r in rows))
    yield f"  {'window':>10}" + "".join(f"{f'{d} ms':>20}" for d in delays) + f"{'offered':>12}"
    for size in dict.fromkeys(r["window"] for r in rows):
        cells = [r for r in rows if r["window"] == size]
        count = int(size.split()[0]) * UNITS[size.split()[1]]
        text = "".join(window_cell(r, count).rjust(20) for r in cells)
        yield f"  {size:>10}{text}{median(r['offered'] for r in cells) / 1e6:12.1f}"
    yield ""


def window_cell(row, count):
    bound = f"{count / row['delay_ms'] / 1e3:.1f}" if row["delay_ms"] else "-"
    return f"{row['bytes_s'] / 1e6:.1f} ({bound})"


def matrix_section(section):
    m = Matrix(section)
    yield from matrix_lines(m)
    yield from ratio_lines(m)
    yield "resident: " + ", ".join(f"{m.name(way)} {kib / 1024:.1f} MiB" for way, kib in section["rss_kib"].items())
    yield ""


LINES = {"matrix": matrix_section, "offload": offload_lines, "overload": overload_lines, "workers": workers_lines, "idle": idle_lines, "window": window_lines}


def text(result):
    lines = [f"{result['seconds']} s. {result['machine']}", LEGEND]
    if result["softirq_apart"]:
        lines.append("This kernel counts the time of interrupts apart (CONFIG_IRQ_TIME_ACCOUNTING): all-in lacks it.\n")
    for name, section in result["sections"].items():
        lines += LINES[name](section)
    return "\n".join([*lines, *result["books"]]) + "\n"
