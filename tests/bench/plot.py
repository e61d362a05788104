"""Results as a picture: bars of CPU time by way and size, dots of delays. SVG from the standard library; reads on light and dark pages."""
from html import escape

from table import Matrix

LEFT, PANEL, GAP, TOP, LINE = 150, 390, 130, 100, 19
COLOURS = {"own": "#2a78b5", "beyond": "#8fc1e3", "p50": "#2a78b5", "p99": "#d9822b"}
SHORT = {"wire": "wire", "routing": "plain routing", "dnat": "nftables DNAT", "nginx": "nginx stream", "coturn": "coturn",
         "culvert": "culvertd, 1 worker", "culvert2": "culvertd, 2 workers"}
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f } .small { font-size: 11px } .dim { fill: #57606a }
.title { font-size: 16px; font-weight: 600 } .head { font-weight: 600 } .grid { stroke: #8c959f; stroke-opacity: .3 } .page { fill: #ffffff }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .dim { fill: #9da7b3 } .page { fill: #0d1117 } }
</style>"""


def text(x, y, words, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x, y, width, colour, label):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{LINE - 6}" fill="{COLOURS[colour]}"><title>{escape(label)}</title></rect>'


def nice(most):
    """The end of an axis and its step: 1, 2 or 5 times a power of ten, four to nine of them."""
    step = 1
    while True:
        for digit in (1, 2, 5):
            if most <= 8 * digit * step:
                count = max(-(-most // (digit * step)), 1)
                return count * digit * step, digit * step
        step *= 10


class Axis:
    def __init__(self, x, most):
        self.x = x
        self.end, self.step = nice(most)

    def at(self, value):
        return self.x + PANEL * min(max(value, 0), self.end) / self.end

    def grid(self, top, bottom, unit):
        value = 0
        while value <= self.end:
            x = self.at(value)
            yield f'<line x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}" class="grid"/>'
            yield text(x, top - 5, f"{value:g}", "small dim", "middle")
            value += self.step
        yield text(self.x + PANEL, top - 22, unit, "small dim", "end")


def cpu_row(axis, y, m, way, point):
    own, all_in = m.value(way, point, "own"), max(m.value(way, point, "all-in"), 0)
    first, last = min(own, all_in), max(own, all_in)
    words = f"{own:.0f} / {all_in:.0f}" if own else f"{all_in:.0f}"
    yield bar(axis.x, y, axis.at(first) - axis.x, "own", f"own {own:.0f} ns")
    yield bar(axis.at(first), y, axis.at(last) - axis.at(first), "beyond", f"all-in {all_in:.0f} ns")
    yield text(axis.at(last) + 4, y + LINE - 8, words, "small")


def delay_row(axis, y, m, way, point):
    p50, p99 = max(m.value(way, point, "added50"), 0), max(m.value(way, point, "added99"), 0)
    middle = y + (LINE - 6) / 2
    yield f'<line x1="{axis.at(p50):.1f}" y1="{middle}" x2="{axis.at(p99):.1f}" y2="{middle}" class="grid" stroke-width="2"/>'
    for key, value in (("p50", p50), ("p99", p99)):
        yield f'<circle cx="{axis.at(value):.1f}" cy="{middle}" r="4.5" fill="{COLOURS[key]}"><title>{key} {value:.1f} us</title></circle>'
    yield text(axis.at(p99) + 8, y + LINE - 8, f"{p50:.0f} / {p99:.0f}", "small")


def legend(y):
    for x, key, words in ((LEFT, "own", "own: the relay's threads"), (LEFT + 170, "beyond", "all-in: and what it costs around them"),
                          (LEFT + PANEL + GAP, "p50", "median"), (LEFT + PANEL + GAP + 75, "p99", "99th percentile")):
        yield f'<rect x="{x}" y="{y - 10}" width="11" height="11" rx="2" fill="{COLOURS[key]}"/>' + text(x + 16, y, words, "small")


def group(m, point, axes, y):
    arrow = {"up": "client to exit", "down": "exit to client"}[point[0]]
    yield text(8, y + 12, f"{point[1]} bytes, {arrow}", "head")
    y += LINE
    for way in (w for w in m.ways if w != "wire"):
        yield text(LEFT - 8, y + LINE - 8, SHORT.get(way, way), "", "end")
        yield from cpu_row(axes[0], y, m, way, point)
        yield from delay_row(axes[1], y, m, way, point)
        y += LINE


def svg(result):
    section = result["sections"]["matrix"]
    m = Matrix(section)
    points = [p for p in m.points if p[2] == 64] or m.points
    ways = [w for w in m.ways if w != "wire"]
    axes = (Axis(LEFT, max(max(m.value(w, p, k) for k in ("own", "all-in")) for w in ways for p in points)),
            Axis(LEFT + PANEL + GAP, max(m.value(w, p, "added99") for w in ways for p in points)))
    step = (len(ways) + 2) * LINE
    bottom = TOP + step * len(points)
    width, height = LEFT + 2 * PANEL + GAP + 90, bottom + 34
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
             f"<title>Culvert beside other relays</title>{STYLE}", f'<rect width="{width}" height="{height}" class="page"/>',
             text(8, 24, f"What a datagram costs to relay: {points[0][2]} flows in bursts of {section['burst']}, one relay core", "title"),
             *legend(48), *axes[0].grid(TOP - 4, bottom - LINE, "ns of CPU time for one delivered datagram"),
             *axes[1].grid(TOP - 4, bottom - LINE, f"us of one-way delay added, {section['latency_pps'] // 1000} kpps")]
    for i, point in enumerate(points):
        parts += group(m, point, axes, TOP + i * step)
    parts += [text(8, height - 12, f"make bench, medians of {len(section['points'][0]['rounds'])} rounds. {result['machine']}", "small dim"), "</svg>"]
    return "\n".join(parts) + "\n"
