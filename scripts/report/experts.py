"""The composition of experts: what became of every prompt, and switches under execution over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.report.axes import Scale, bottom, label, line, svg
from scripts.report.data import read
from scripts.report.markup import Markup, element, elide, join, of, percent, times
from scripts.report.tables import table, verdict

WIDTH, GUTTER, RIGHT = 1010, 196, 14
LANE, STEP = 24, 40
COLOURS = 8
"""Experts that look different."""

KINDS = {"router": "router", "prefill": "prefill", "decode": "decode", "wait": "waiting for a copy"}


@dataclass(frozen=True)
class Span:
    """What a machine did; of a baseline, prefill and decode together are a ``run``."""

    kind: str = ""
    expert: str = ""
    prompt: int | None = None
    start: float = 0
    end: float = 0


@dataclass(frozen=True)
class Copy:
    """Of an expert, by the tier DMA to address ``to``."""

    expert: str = ""
    evicts: tuple[str, ...] = ()
    bytes: int = 0
    to: int = 0
    start: int = 0
    end: int = 0


@dataclass(frozen=True)
class Way:
    """The prompts, served in some way; see ``scripts/sim_experts.py``."""

    name: str = ""
    how: str = ""
    cycles: float = 0
    router: float = 0
    running: float = 0
    waited: float = 0
    switching: float = 0
    hit_rate: float = 0
    hidden_share: float = 0
    latencies: tuple[float, ...] = ()
    spans: tuple[Span, ...] = ()

    @property
    def measured(self) -> bool:
        return self.how == "measured"


@dataclass(frozen=True)
class Experts:
    """All of it; ``order`` of experts is that of their colours."""

    prompts: Sequence[Mapping[str, Any]]
    copies: tuple[Copy, ...]
    ways: tuple[Way, ...]
    order: tuple[str, ...]
    source: Mapping[str, Any]

    def colour(self, expert: str) -> str:
        """The class of what belongs to an expert."""
        return f"expert{self.order.index(expert) % COLOURS}" if expert in self.order else "router"


def experts(source: Mapping[str, Any]) -> Experts | None:
    """The classes from the ``experts`` of a result; None where it has none."""
    found = source.get("experts")
    if not found:
        return None
    ways = tuple(
        read(Way, {**entry, "spans": tuple(read(Span, span) for span in entry.get("spans") or ())})
        for entry in (found["measured"], *found["baselines"])
    )
    order = tuple(dict.fromkeys(prompt["expert"] for prompt in found["prompts"] if prompt["expert"]))
    return Experts(found["prompts"], tuple(read(Copy, copy) for copy in found["copies"]), ways, order, found)


def answers(found: Experts | None) -> Markup:
    """What became of every prompt."""
    if found is None:
        return Markup()
    heads = ("prompt", "expert", "in HBM", "answer", "truth", "", "router", "waited", "prefill", "decode", "done at")
    rows = []
    for prompt in found.prompts:
        cycles = [prompt["cycles"][kind] for kind in ("router", "wait", "prefill", "decode")]
        expert = prompt["expert"] or "refused"
        name = join([element("span", class_=f"swatch {found.colour(expert)}"), expert])
        cells = (name, "hit" if prompt["hit"] else "copied", *(element("code", prompt[k]) for k in ("text", "truth")))
        rows.append(
            element(
                "tr",
                element("th", element("code", prompt["prompt"]), scope="row"),
                *(element("td", cell, class_="text") for cell in cells),
                verdict(prompt["correct"]),
                *(element("td", f"{each:,.0f}") for each in (*cycles, prompt["end"])),
            )
        )
    words = (
        "A router reads every prompt and picks an expert; the experts are in DDR, and HBM has room for the router and "
        f"two of the {len(found.order)}. All of it ran on the RTL, and every row of hidden state was compared: "
        f"{of(found.source['rows_compared'], 'row')}, {of(found.source['tokens_compared'], 'token')}. Numbers are "
        "cycles; all prompts are there at the beginning."
    )
    return join([element("p", words, class_="see"), table(heads, rows, "experts")])


# --- switches under execution ---


def timeline(found: Experts | None) -> Markup:
    """What the tier DMA did beside the machine, what was in HBM, and the same prompts in order."""
    if found is None:
        return Markup()
    measured, in_order = found.ways[0], next((way for way in found.ways if way.name.startswith("in order")), None)
    lanes = [("tier DMA", "copies, DDR to HBM"), ("machine", measured.name.partition(",")[0])]
    places = sorted({copy.to for copy in found.copies})
    lanes += [(f"HBM, place {number}", "beside the router") for number, _ in enumerate(places, 1)]
    lanes += [("in order, LRU", "computed")] if in_order else []
    whole = max(way.cycles for way in (measured, in_order) if way)
    scale = Scale(0, whole, GUTTER, WIDTH - RIGHT)
    top = 44.0
    base = top + STEP * len(lanes)
    parts = [legend(), bottom(scale, base, top - 6, "cycles since the prompts came")]
    for place, (name, note) in enumerate(lanes):
        y = top + place * STEP
        parts += [label(GUTTER - 10, y + 11, name, "end", "strong"), label(GUTTER - 10, y + 23, note, "end")]
    parts += [copied(found, copy, scale, top) for copy in found.copies]
    parts += machine(found, measured.spans, scale, top + STEP, prompts=True)
    for place, address in enumerate(places):
        parts += residents(found, address, scale, top + (2 + place) * STEP)
    if in_order:
        parts += machine(found, in_order.spans, scale, base - STEP, prompts=False)
    parts.append(line(scale(measured.cycles), top - 6, scale(measured.cycles), base, "here"))
    picture = svg(WIDTH, base + 40, "Switches under execution", *parts)
    return join([element("p", sentence(found, measured, in_order), class_="see"), picture])


def sentence(found: Experts, measured: Way, in_order: Way | None) -> str:
    words = (
        f"{of(len(found.copies), 'copy', 'copies')} of experts took {of(measured.switching, 'cycle')}, and "
        f"{percent(measured.hidden_share)} of that time something ran: the machine waited "
        f"{of(measured.waited, 'cycle')}."
    )
    if in_order:
        words += (
            f" In order, with the least recently used expert evicted and nothing copied ahead, the same prompts take "
            f"{times(in_order.cycles / measured.cycles)} as long (the lowest lane, computed)."
        )
    return words


def legend() -> Markup:
    x, parts = float(GUTTER), []
    for kind, words in KINDS.items():
        shape = element("rect", x=x, y=2, width=12, height=12, rx=2, class_=f"did {kind}")
        parts.append(element("g", shape, class_="router" if kind == "router" else "expert0"))
        parts.append(label(x + 17, 12, words))
        x += 44 + 6.2 * len(words)
    return join([*parts, label(x, 12, "each expert has its colour")])


def block(x: tuple[float, float], y: float, kind: str, colour: str, says: str, height: float = LANE) -> Markup:
    rect = element("rect", x=x[0], y=y, width=max(0.5, x[1] - x[0]), height=height, class_=f"did {kind}")
    return element("g", element("title", says), rect, class_=colour)


def inside(x: tuple[float, float], y: float, words: str, colour: str) -> Markup:
    """Words at the beginning of a block, as far as they fit."""
    return element("g", label(x[0] + 5, y, elide(words, x[1] - x[0] - 6), kind="inside"), class_=colour)


def copied(found: Experts, copy: Copy, scale: Scale, y: float) -> Markup:
    """With the name of the expert above it."""
    gone = f", in the place of {', '.join(copy.evicts)}" if copy.evicts else ""
    says = f"{copy.expert} from DDR to HBM{gone}\n{of(copy.end - copy.start, 'cycle')}, {of(copy.bytes, 'byte')}"
    drawn = block((scale(copy.start), scale(copy.end)), y, "prefill", found.colour(copy.expert), says)
    return join([drawn, label(scale(copy.start) + 1, y - 4, copy.expert, kind="faint")])


def machine(found: Experts, spans: Sequence[Span], scale: Scale, y: float, *, prompts: bool) -> list[Markup]:
    """A block for everything that a machine did, with the expert's name; if wanted, prompts stand above."""
    parts, ends = [], {span.prompt: span.end for span in spans if span.kind != "router"}
    for span in spans:
        prompt = "" if span.prompt is None else found.prompts[span.prompt]["prompt"]
        says = f"{KINDS.get(span.kind, span.kind)} {prompt} ({span.expert})\n{of(span.end - span.start, 'cycle')}"
        colour = "router" if span.kind == "router" else found.colour(span.expert)
        parts.append(block((scale(span.start), scale(span.end)), y, span.kind, colour, says))
    for span in spans:
        if span.kind in ("prefill", "run"):
            x = scale(span.start), scale(ends[span.prompt])
            parts.append(inside(x, y + 16, span.expert, found.colour(span.expert)))
            if prompts and span.prompt is not None:
                words = elide(found.prompts[span.prompt]["prompt"], x[1] - x[0], 11)
                parts.append(label(x[0] + 1, y - 4, words, kind="faint"))
    return parts


def residents(found: Experts, address: int, scale: Scale, y: float) -> list[Markup]:
    """Who is at a place in HBM: arriving, and then there until another one is copied over it."""
    own = [copy for copy in found.copies if copy.to == address]
    ends = [*(copy.start for copy in own[1:]), found.ways[0].cycles]
    parts = []
    for copy, end in zip(own, ends, strict=True):
        colour, says = found.colour(copy.expert), f"{copy.expert}, there from {copy.end:,} to {end:,.0f}"
        there = scale(copy.end), scale(end)
        parts.append(block((scale(copy.start), there[0]), y + 7, "arriving", colour, says, 10))
        parts += [block(there, y + 4, "decode", colour, says, 16), inside(there, y + 16, copy.expert, colour)]
    return parts
