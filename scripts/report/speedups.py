"""The speed-ups, what they are made of, and how they move with the launch latency."""

from collections.abc import Mapping

from scripts.report.axes import Scale, bottom, label, left, line, svg
from scripts.report.data import MODES, Cost, Result, costs
from scripts.report.markup import Markup, count, element, join, of, storage, times

WIDTH, GUTTER, BAR, STEP = 1010, 196, 20, 34
POINTS = 48
REACH = 10
"""The curves go to so many times the machine's launch latency."""

PAIRS = {"fused": ("unfused", "fused_so"), "hardware orchestration": ("fused_so", "fused_ho")}
"""What a speed-up compares: before, and after."""


def ratio(found: Mapping[str, Cost], what: str) -> float | None:
    before, after = (found.get(mode) for mode in PAIRS[what])
    return before.total / after.total if before and after and after.total else None


def parts(found: Result, phase: str) -> Markup:
    """A stacked bar a mode, cycles running and cycles between launches, and the table with the numbers."""
    modes = costs(found, phase)
    if not modes:
        return Markup()
    how = "measured" if all(cost.measured for cost in modes.values()) else "partly computed from kernels"
    return join(
        [
            element("h3", phase),
            element("p", f"{sentence(modes)} ({how.capitalize()}.)", class_="see"),
            bars(modes, phase),
            table(found, modes, phase),
        ]
    )


def sentence(modes: Mapping[str, Cost]) -> str:
    """How much of what each step saves is time between launches."""
    words = []
    for what, pair in PAIRS.items():
        before, after = (modes.get(mode) for mode in pair)
        if not (before and after):
            continue
        saved, gaps = before.total - after.total, before.gaps - after.gaps
        subject = "Fusion" if what == "fused" else what.capitalize()
        if saved <= 0:
            words.append(f"{subject} saves nothing.")
            continue
        words.append(
            f"{subject} saves {of(saved, 'cycle')}: {fewer(gaps)} between launches, {fewer(saved - gaps)} in which "
            "kernels run."
        )
    return " ".join(words) or f"{next(iter(modes.values())).total:,.0f} cycles in all."


def fewer(saved: float) -> str:
    return f"{count(abs(saved))} {'fewer' if saved >= 0 else 'more'}"


def bars(modes: Mapping[str, Cost], phase: str) -> Markup:
    scale = Scale(0, max(cost.total for cost in modes.values()) or 1, GUTTER, WIDTH - 14)
    base = 26 + STEP * len(modes)
    drawn = [bottom(scale, base, 22, "cycles")]
    drawn += [swatch(GUTTER, "running", "a kernel runs"), swatch(GUTTER + 130, "waiting", "between launches")]
    for place, (mode, cost) in enumerate(modes.items()):
        top = 30 + place * STEP
        middle = scale(cost.running)
        says = f"{MODES[mode]}: {of(cost.running, 'cycle')} running, {of(cost.gaps, 'cycle')} between launches"
        first, *rest = MODES[mode].split(", ")
        drawn.append(
            element(
                "g",
                element("title", says),
                label(GUTTER - 10, top + (14 if not rest else 8), first, "end", "strong"),
                *(label(GUTTER - 10, top + 21, each, "end") for each in rest),
                element("rect", x=GUTTER, y=top, width=max(0.5, middle - GUTTER), height=BAR, class_="running"),
                element(
                    "rect", x=middle, y=top, width=max(0, scale(cost.total) - middle), height=BAR, class_="waiting"
                ),
            )
        )
    return svg(WIDTH, base + 40, f"Cycles of {phase} by mode", *drawn)


def swatch(x: float, kind: str, words: str) -> Markup:
    return join([element("rect", x=x, y=2, width=12, height=12, rx=2, class_=kind), label(x + 18, 12, words)])


def table(found: Result, modes: Mapping[str, Cost], phase: str) -> Markup:
    heads = ("mode", "launches", "cycles running", "cycles between", "cycles in all", "HBM traffic", "against unfused")
    rows = []
    for mode, cost in modes.items():
        traffic = sum(each.hbm_bytes for each in found.kernels if (each.phase, each.mode) == (phase, mode))
        cells = (
            MODES[mode],
            count(cost.launches),
            count(cost.running),
            count(cost.gaps),
            count(cost.total),
            storage(traffic or None),
            times(modes["unfused"].total / cost.total if "unfused" in modes and cost.total else None),
        )
        rows.append(element("tr", element("th", cells[0], scope="row"), *(element("td", each) for each in cells[1:])))
    head = element("thead", element("tr", *(element("th", each, scope="col") for each in heads)))
    return element("div", element("table", head, element("tbody", *rows)), class_="scroll")


def latency(found: Result) -> Markup:
    """The curves of every speed-up over the launch latency, one chart beside the other."""
    here = found.machine.launch_latency
    charts = []
    for what in PAIRS if here else ():
        curves = {phase: modes for phase in found.phases if ratio(modes := costs(found, phase), what)}
        if curves:
            charts.append(chart(found, what, curves, here or 0))
    if not charts:
        return Markup()
    words = (
        f"The further right, the slower the host: the preset's {of(here, 'cycle')} a launch is the dashed line. "
        "Computed: launches \u00d7 latency + all other cycles; a hardware-orchestrated schedule is one launch. "
        "Dots are the speed-ups that the simulation reports."
    )
    return join([element("p", words, class_="see"), element("div", *charts, class_="pair")])


def curve(modes: Mapping[str, Cost], what: str, here: float, at: float) -> float:
    before, after = (modes[mode] for mode in PAIRS[what])
    return before.at(at, here) / (after.at(at, here) or 1)


def chart(found: Result, what: str, curves: Mapping[str, Mapping[str, Cost]], here: float) -> Markup:
    measured = found.source.get("speedup_fused" if what == "fused" else "speedup_ho") or {}
    grid = [REACH * here * point / POINTS for point in range(POINTS + 1)]
    lines = {phase: [curve(modes, what, here, at) for at in grid] for phase, modes in curves.items()}
    highest = max(1.0, *(max(values) for values in lines.values()), *(float(each) for each in measured.values()))
    width, base, top = 490, 262, 44
    across = Scale(0, REACH * here, 40, width - 76)
    up = Scale(0, 1.1 * highest, base, top)
    drawn = [
        bottom(across, base, top, "launch latency, cycles", 60),
        left(up, across.start, across.end, f"speed-up of {'fusion' if what == 'fused' else what}, \u00d7"),
        line(across.start, up(1), across.end, up(1), "one"),
        line(across(here), top, across(here), base, "here"),
    ]
    ends = apart({phase: up(values[-1]) + 4 for phase, values in lines.items()}, 14)
    for place, (phase, values) in enumerate(lines.items()):
        points = " ".join(f"{across(at):.1f},{up(value):.1f}" for at, value in zip(grid, values, strict=True))
        words = f"{phase}: {times(curve(curves[phase], what, here, here))} at {of(here, 'cycle')}"
        drawn.append(
            element(
                "g",
                element("title", words),
                element("polyline", points=points, class_="curve"),
                label(across.end + 6, ends[phase], phase, kind="strong"),
                class_=f"series{place % 4}",
            )
        )
        if phase in measured:
            value = float(measured[phase])
            dot = element("circle", cx=across(here), cy=up(value), r=4.5, class_="dot")
            drawn.append(element("g", element("title", f"{phase}: {times(value)}"), dot, class_=f"series{place % 4}"))
    return svg(width, base + 40, f"Speed-up of {what} over the launch latency", *drawn)


def apart(wanted: Mapping[str, float], least: float) -> dict[str, float]:
    """Heights of labels, moved down where they would touch."""
    out: dict[str, float] = {}
    below = float("-inf")
    for name, height in sorted(wanted.items(), key=lambda each: each[1]):
        below = max(height, below + least)
        out[name] = below
    return out
