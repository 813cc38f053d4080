"""What switching costs, in every way in which the prompts could be served: time, hit rate, latency of each prompt."""

from collections.abc import Sequence

from scripts.report.axes import Scale, bottom, label, line, svg
from scripts.report.experts import Experts, Way
from scripts.report.markup import Markup, count, element, join, of, percent, times
from scripts.report.tables import table

WIDTH, GUTTER, BAR, STEP, TOP = 1010, 196, 18, 36, 52
PANELS = ((GUTTER, 560.0), (618.0, 838.0), (894.0, 980.0))
"""Left and right of all cycles, of copies, of hits."""


def switching(found: Experts | None) -> Markup:
    """The bars, the latencies, and the table with the numbers."""
    if found is None or not found.ways:
        return Markup()
    return join(
        [element("p", sentence(found.ways), class_="see"), bars(found.ways), latencies(found), numbers(found.ways)]
    )


def sentence(ways: Sequence[Way]) -> str:
    measured, slowest = ways[0], max(ways, key=lambda way: way.switching)
    words = "The first way was measured on the RTL; the others are computed from its cycles by the time model. "
    if slowest is not measured and measured.switching:
        words += (
            f"With {slowest.name}, copies take {times(slowest.switching / measured.switching)} as long as here, and "
            f"the batch takes {times(slowest.cycles / measured.cycles)}."
        )
    return words


def bars(ways: Sequence[Way]) -> Markup:
    """A row a way: all cycles, those of copies, and hits."""
    base = TOP + STEP * len(ways)
    whole = Scale(0, max(way.cycles for way in ways), *PANELS[0])
    copies = Scale(0, max(way.switching for way in ways) or 1, *PANELS[1])
    hits = Scale(0, 1, *PANELS[2])
    parts = [
        bottom(whole, base, TOP - 8, "cycles for all prompts"),
        bottom(copies, base, TOP - 8, "cycles of copies"),
        bottom(hits, base, TOP - 8, "share of prompts", 43),
        *swatches(),
    ]
    for place, way in enumerate(ways):
        y = TOP + STEP * place
        first, _, rest = way.name.partition(", ")
        note = rest if way.measured else f"{rest} (computed)"
        parts += [label(GUTTER - 10, y + 8, first, "end", "strong"), label(GUTTER - 10, y + 21, note.strip(), "end")]
        parts.append(stack(whole, y, {"router": way.router, "runs": way.running, "waits": way.waited}, way.cycles))
        hidden = max(0.0, way.switching - way.waited)
        parts.append(stack(copies, y, {"hidden": hidden, "waits": way.switching - hidden}, way.switching))
        parts.append(stack(hits, y, {"hits": way.hit_rate}, way.hit_rate, percent(way.hit_rate)))
    return svg(WIDTH, base + 40, "Cycles, copies and hits by way", *parts)


def swatches() -> list[Markup]:
    """The legend of each panel."""
    legends = (
        (PANELS[0][0], (("router", "router"), ("runs", "experts run"), ("waits", "waiting for a copy"))),
        (PANELS[1][0], (("hidden", "behind what runs"), ("waits", "waited for"))),
        (PANELS[2][0], (("hits", "hit rate"),)),
    )
    out = []
    for start, names in legends:
        x = start
        for kind, words in names:
            out += [
                element("rect", x=x, y=14, width=12, height=12, rx=2, class_=f"part {kind}"),
                label(x + 17, 24, words),
            ]
            x += 34 + 6.0 * len(words)
    return out


def stack(scale: Scale, y: float, parts: dict[str, float], total: float, says: str = "") -> Markup:
    """Parts behind each other, and their sum at the end, inside where there is no room behind it."""
    drawn, at = [], 0.0
    for kind, cycles in parts.items():
        x = scale(at)
        at += cycles
        width = max(0.0, scale(at) - x)
        if cycles > 0:
            title = element("title", f"{kind}: {says or of(cycles, 'cycle')}")
            drawn.append(element("g", title, element("rect", x=x, y=y, width=width, height=BAR, class_=f"part {kind}")))
    words = says or count(total)
    end = scale(at)
    inside = end + 6 + 6.3 * len(words) > scale.end + 30
    place = (end - 5, "end", "over") if inside else (end + 5, "start", "strong")
    return join([*drawn, label(place[0], y + 13, words, place[1], place[2])])


def latencies(found: Experts) -> Markup:
    """A row a prompt, a dot a way: when its answer was done."""
    ways = found.ways
    low, high = (pick(each for way in ways for each in way.latencies) for pick in (min, max))
    across = Scale(low / 1.2, high * 1.2, GUTTER, WIDTH - 236, logarithmic=True)
    top, step = 16.0, 26.0
    base = top + step * len(found.prompts)
    parts = [bottom(across, base, top - 8, "cycles from the beginning to the answer, each prompt", 60)]
    for number, prompt in enumerate(found.prompts):
        y = top + step * number + 8
        parts += [
            line(across.start, y, across.end, y, "grid"),
            label(GUTTER - 10, y + 4, prompt["prompt"], "end", "strong"),
        ]
        for place, way in enumerate(ways):
            says = f"{prompt['prompt']} {way.name}: {of(way.latencies[number], 'cycle')}"
            dot = element("circle", cx=across(way.latencies[number]), cy=y, r=6 if way.measured else 4.5, class_="dot")
            parts.append(element("g", element("title", says), dot, class_=f"way{place % 6}"))
    for place, way in enumerate(ways):
        y = top + 6 + 22 * place
        parts.append(element("g", element("circle", cx=WIDTH - 208, cy=y, r=5, class_="dot"), class_=f"way{place % 6}"))
        first, _, rest = way.name.partition(", ")
        parts.append(label(WIDTH - 198, y + 4, f"{first}, {short_of(rest)}" if rest else first))
    return svg(WIDTH, max(base + 40, top + 22 * len(ways)), "Latency of every prompt by way", *parts)


def short_of(words: str) -> str:
    """A legend's second half."""
    return words.replace("DDR ", "1/").replace(" times one", "") if words.startswith("DDR") else words


def numbers(ways: Sequence[Way]) -> Markup:
    heads = ("way", "cycles", "against the first", "router", "experts run", "waiting", "copies", "hidden", "hit rate")
    rows = []
    for way in ways:
        name = way.name if way.measured else f"{way.name} (computed)"
        cycles = (way.cycles, way.router, way.running, way.waited, way.switching)
        total, *rest = (count(round(each)) for each in cycles)
        cells = (
            total,
            times(way.cycles / (ways[0].cycles or 1)),
            *rest,
            percent(way.hidden_share),
            percent(way.hit_rate),
        )
        rows.append(element("tr", element("th", name, scope="row"), *(element("td", cell) for cell in cells)))
    return table((*heads[:9],), rows)
