"""How the speed-ups move with the launch latency of the host.

A way to run something is so many cycles, in which the machine waited so many times for a command of the host; with
another latency only these waits change.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from scripts.report.axes import Scale, apart, bottom, label, left, line, svg
from scripts.report.data import Launch, Result
from scripts.report.markup import Markup, element, join, of, times

LEAST, MOST = 25, 3200
"""Cycles: from a doorbell on the same chip to one across a long PCIe link."""
POINTS = 56


@dataclass(frozen=True)
class Way:
    """``cycles`` on the machine as it is, in which its launch latency passed ``doorbells`` times."""

    cycles: float
    doorbells: int

    def at(self, latency: float, here: float) -> float:
        """Cycles with another latency; ``here``: the machine's."""
        return max(0.0, self.cycles - self.doorbells * here) + self.doorbells * latency


@dataclass(frozen=True)
class Curve:
    """A speed-up, before against after; ``measured``: at the latency of the machine, where the result says so."""

    before: Way
    after: Way
    measured: float | None = None

    def at(self, latency: float, here: float) -> float:
        return self.before.at(latency, here) / (self.after.at(latency, here) or 1)


def fusion(found: Result) -> dict[str, Curve]:
    """Of one layer, both of its ways with the same orchestration."""
    layers: Mapping[str, Mapping[str, Mapping[str, int]]] = found.source.get("layer_cycles") or {}
    measured = found.source.get("speedup_fused") or {}
    curves = {}
    for phase, cycles in layers.items():
        unfused, fused = (Way(cycles["hardware"][way], 1) for way in ("unfused", "fused"))
        curves[f"{phase}, as a list"] = Curve(unfused, fused, measured.get(phase))
        bells = cycles.get("doorbells")
        if bells:
            unfused, fused = (Way(cycles["software"][way], bells[way]) for way in ("unfused", "fused"))
            curves[f"{phase}, by the host"] = Curve(unfused, fused)
    return curves


def orchestration(found: Result) -> dict[str, Curve]:
    """Of all passes of the fused model: by the host, a doorbell a load and one a launch; as a list, one a pass."""
    measured = found.source.get("speedup_ho") or {}
    curves = {}
    for phase in found.phases:
        host, listed = found.lane(phase, "fused_so"), found.lane(phase, "fused_ho")
        if host and listed:
            loads = sum(1 for _ in groupby(host, key=lambda launch: launch.name))
            before, after = Way(_cycles(host), len(host) + loads), Way(_cycles(listed), len(listed))
            curves[phase] = Curve(before, after, measured.get(phase))
    return curves


def _cycles(lane: tuple[Launch, ...]) -> int:
    return sum(launch.end - launch.start for launch in lane)


def latency(found: Result) -> Markup:
    """The curves of every speed-up over the launch latency, one chart beside the other."""
    here = found.machine.launch_latency
    if not here:
        return Markup()
    both = {"fusion": fusion(found), "hardware orchestration": orchestration(found)}
    charts = [chart(what, curves, here) for what, curves in both.items() if curves]
    if not charts:
        return Markup()
    words = (
        f"The further right, the slower the host: the preset's {of(here, 'cycle')} a doorbell is the dashed line. "
        "Computed: the measured cycles, with another latency for every doorbell that the machine waits for: by the "
        "host, one for each load of a program and one for each launch; as a command list, one for all of it. Dots are "
        "the speed-ups that the simulation reports."
    )
    table = element("div", _table(both, here), class_="scroll")
    return join([element("p", words, class_="see"), element("div", *charts, class_="pair"), table])


def _table(both: Mapping[str, Mapping[str, Curve]], here: float) -> Markup:
    """The same as numbers."""
    places = sorted({LEAST * 2**i for i in range(8)} | {here})
    heads = ("speed-up", *(of(place, "cycle") for place in places))
    rows = [
        element(
            "tr",
            element("th", f"{what}: {name}", scope="row"),
            *(element("td", times(curve.at(place, here))) for place in places),
        )
        for what, curves in both.items()
        for name, curve in curves.items()
    ]
    head = element("thead", element("tr", *(element("th", each, scope="col") for each in heads)))
    return element("table", head, element("tbody", *rows))


def chart(what: str, curves: Mapping[str, Curve], here: float) -> Markup:
    grid = [LEAST * (MOST / LEAST) ** (point / POINTS) for point in range(POINTS + 1)]
    lines = {name: [curve.at(place, here) for place in grid] for name, curve in curves.items()}
    highest = max(1.0, *(max(values) for values in lines.values()), *(c.measured or 0 for c in curves.values()))
    width, base, top = 490, 262, 44
    across = Scale(min(LEAST, here), max(MOST, here), 40, width - 104, logarithmic=True)
    up = Scale(0, 1.1 * highest, base, top)
    ends = apart({name: up(values[-1]) + 4 for name, values in lines.items()}, 14)

    def series(place: int, name: str, curve: Curve) -> Markup:
        points = " ".join(f"{across(at):.1f},{up(value):.1f}" for at, value in zip(grid, lines[name], strict=True))
        dot = curve.measured and element("circle", cx=across(here), cy=up(curve.measured), r=4.5, class_="dot")
        return element(
            "g",
            element("title", f"{name}: {times(curve.at(here, here))} at {of(here, 'cycle')}"),
            element("polyline", points=points, class_="curve"),
            label(across.end + 6, ends[name], name, kind="strong"),
            dot or Markup(),
            class_=f"series{place % 4}",
        )

    return svg(
        width,
        base + 40,
        f"Speed-up of {what} over the launch latency",
        bottom(across, base, top, "launch latency, cycles", 60),
        left(up, across.start, across.end, f"speed-up of {what}, \u00d7"),
        line(across.start, up(1), across.end, up(1), "one"),
        line(across(here), top, across(here), base, "here"),
        *(series(place, name, curve) for place, (name, curve) in enumerate(curves.items())),
    )
