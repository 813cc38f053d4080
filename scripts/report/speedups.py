"""The speed-ups, and what they are made of."""

from collections.abc import Mapping

from scripts.report.axes import Scale, bottom, label, svg
from scripts.report.data import MODES, Cost, Result, costs
from scripts.report.markup import Markup, count, element, join, of, storage, times

WIDTH, GUTTER, BAR, STEP = 1010, 196, 20, 34

PAIRS = {"fused": ("unfused", "fused_so"), "hardware orchestration": ("fused_so", "fused_ho")}
"""What a speed-up compares: before, and after."""


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
