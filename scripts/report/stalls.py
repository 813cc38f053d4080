"""Where the cycles of every unit go in a kernel: working, waiting by cause, done or not yet started."""

from collections.abc import Iterable, Mapping

from scripts.report.axes import Scale, bottom, label, line, svg
from scripts.report.data import KINDS, Kernel, Unit
from scripts.report.markup import Markup, element, elide, join, of, percent

CAUSES = {
    "operands": ("vector_in", "data", "indices", "full"),
    "scalars": ("scalar_in", "scalar", "counter_limit"),
    "tokens": ("token", "fence"),
    "room downstream": ("output_room", "output", "free"),
    "memory": ("request", "tag"),
    "bank conflicts": ("conflicts", "conflict"),
    "accumulator in flight": ("accumulator",),
}
"""What a unit waits for, and the counters (docs/pcu.md, docs/pmu.md, docs/agcu.md) that count it."""

OTHER = "other"

WIDTH, GUTTER, RIGHT, BAR, STEP = 1010, 196, 66, 10, 15


def cause(counter: str) -> str:
    """The group of a stall counter; it may have its prefix and the number of an input still on."""
    bare = counter.lower().removeprefix("stall_").removeprefix("wait_").rstrip("0123456789").rstrip("_")
    return next((name for name, counters in CAUSES.items() if bare in counters), OTHER)


def grouped(units: Iterable[Unit]) -> dict[str, float]:
    """Mean cycles a unit by cause, work first."""
    every = list(units)
    out = {"working": sum(unit.fires for unit in every) / len(every)}
    out |= dict.fromkeys([*CAUSES, OTHER], 0.0)
    for unit in every:
        for counter, cycles in unit.stalls.items():
            out[cause(counter)] += cycles / len(every)
    return {name: cycles for name, cycles in out.items() if cycles}


def stalls(kernel: Kernel) -> Markup:
    """A bar a unit, and above each kind's the mean of them; nothing without counters."""
    kinds = [
        (kind, [unit for unit in kernel.units if unit.kind == kind and (unit.name or unit.fires)]) for kind in KINDS
    ]
    kinds = [(kind, sorted(units, key=lambda unit: -unit.fires)) for kind, units in kinds if units]
    if not (kinds and kernel.cycles):
        return Markup()
    used = [grouped([unit]) for _, units in kinds for unit in units]
    scale = Scale(0, max(kernel.cycles, *(sum(each.values()) for each in used)), GUTTER, WIDTH - RIGHT)
    top, drawn = 40.0, []
    for kind, units in kinds:
        drawn.append(bar(kernel, scale, top, f"all {len(units)} {kind.upper()}s, mean", grouped(units), "strong"))
        top += STEP + 4
        for unit in units:
            drawn.append(bar(kernel, scale, top, unit.name or kind.upper(), grouped([unit]), None, unit))
            top += STEP
        top += 12
    end = line(scale(kernel.cycles), 30, scale(kernel.cycles), top, "here")
    present = {name for each in used for name in each}
    frame = bottom(scale, top, 36, "cycles")
    picture = svg(WIDTH, top + 40, f"Stall causes of {kernel.title}", frame, *drawn, end, legend(present))
    return join([element("p", sentence(kernel, kinds), class_="see"), picture])


def sentence(kernel: Kernel, kinds: list[tuple[str, list[Unit]]]) -> str:
    """The main cause of every kind."""
    words = []
    for kind, units in kinds:
        mean = grouped(units)
        work = mean.pop("working", 0.0)
        found = f"{kind.upper()}s work {percent(work / kernel.cycles)} of the time"
        if mean:
            first = max(mean, key=lambda name: mean[name])
            found += f" and wait most for {first} ({percent(mean[first] / kernel.cycles)})"
        words.append(found)
    more = " A PMU may read and write at once, so its bar can be longer than the kernel (dashed line)."
    return "; ".join(words) + "." + (more if any(kind == "pmu" for kind, _ in kinds) else "")


def bar(
    kernel: Kernel,
    scale: Scale,
    top: float,
    name: str,
    shares: Mapping[str, float],
    kind: str | None,
    unit: Unit | None = None,
) -> Markup:
    """Work, then causes, end to end; at its right the share of cycles in which the unit worked."""
    parts = [label(GUTTER - 10, top + 9, elide(name, GUTTER - 16, 11), "end", kind)]
    at = 0.0
    for what, cycles in shares.items():
        says = f"{name}, {what}: {of(cycles, 'cycle')}"
        if unit:
            counters = [f"{key} {value:,}" for key, value in unit.stalls.items() if value and cause(key) == what]
            says += "".join(f"\n{each}" for each in counters)
        width = scale(at + cycles) - scale(at)
        parts.append(
            element(
                "g",
                element("title", says),
                element("rect", x=scale(at), y=top, width=width, height=BAR, class_=f"cause {slug(what)}"),
            )
        )
        at += cycles
    work = percent(shares.get("working", 0.0) / kernel.cycles)
    return element("g", *parts, label(WIDTH - 4, top + 9, work, "end", kind))


def slug(what: str) -> str:
    return what.replace(" ", "-")


def legend(present: set[str]) -> Markup:
    x, parts = float(GUTTER), []
    for name in ("working", *CAUSES, OTHER):
        if name in present:
            parts.append(element("rect", x=x, y=2, width=12, height=12, rx=2, class_=f"cause {slug(name)}"))
            parts.append(label(x + 17, 12, name))
            x += 36 + 6.2 * len(name)
    return join([*parts, label(WIDTH - 4, 28, "working", "end", "name")])
