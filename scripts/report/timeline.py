"""Launches over time, a lane for each mode: what runs, and the gaps in between.

Two views of a phase: all of it, where many small launches look like hatching, and its beginning, wide enough to show
a gap in every lane.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from scripts.report.axes import Scale, bottom, label, line, svg
from scripts.report.data import MODES, Launch, Result
from scripts.report.markup import Markup, element, elide, join, of

WIDTH, GUTTER, RIGHT = 1010, 196, 14
LANE, STEP, TOP = 24, 46, 8
FIRST = 8
"""Launches of the busiest lane in the view of the beginning."""

Lanes = Mapping[str, Sequence[Launch]]


def timeline(found: Result, phase: str) -> Markup:
    """Both views of a phase; nothing if nothing of it was recorded."""
    lanes = {mode: lane for mode in MODES if (lane := found.lane(phase, mode))}
    if not lanes:
        return Markup()
    whole = max(launch.end for lane in lanes.values() for launch in lane)
    start = beginning(lanes, whole)
    words = "; ".join(f"{MODES[mode]}: {of(len(lane), 'launch', 'launches')}" for mode, lane in lanes.items())
    parts = [
        element("h3", phase),
        element("p", f"All launches on one scale ({words}). Between the blocks nothing runs.", class_="see"),
        view(lanes, whole, f"Launches of {phase} by mode"),
    ]
    if start < whole:
        share = (
            "The beginning, with the first gap of each lane measured: under software orchestration a gap is the host's."
        )
        parts += [element("p", share, class_="see"), view(lanes, start, f"The first launches of {phase}", close=True)]
    return join(parts)


def beginning(lanes: Lanes, whole: float) -> float:
    """Until when the second view goes: some launches of the busiest lane, and a bit of the second one of every lane."""
    busiest = max(lanes.values(), key=len)
    ends = [
        busiest[min(FIRST, len(busiest)) - 1].end,
        *(1.1 * lane[1].start for lane in lanes.values() if len(lane) > 1),
    ]
    return min(whole, max(ends))


def view(lanes: Lanes, until: float, says: str, close: bool = False) -> Markup:
    scale = Scale(0, until, GUTTER, WIDTH - RIGHT)
    base = TOP + STEP * len(lanes)
    parts = [bottom(scale, base, TOP, "cycles since the first launch of the lane")]
    for place, (mode, lane) in enumerate(lanes.items()):
        top = TOP + place * STEP
        shown = [launch for launch in lane if launch.start < until]
        first, *rest = MODES[mode].split(", ")
        parts.append(label(GUTTER - 10, top + (17 if not rest else 11), first, "end", "strong"))
        parts += [label(GUTTER - 10, top + 24, each, "end") for each in rest]
        parts += blocks(shown, scale, until, top, mode)
        if close:
            parts.append(gap(shown, scale, until, top + LANE, mode))
    return svg(WIDTH, base + 40, says, *parts)


def blocks(lane: Sequence[Launch], scale: Scale, until: float, top: float, mode: str) -> list[Markup]:
    """A block a launch, with its name where there is room; launches that no pixel parts are one block."""
    out = []
    for run in runs(lane, (scale.high - scale.low) / (scale.end - scale.start) / 2):
        left, right = scale(run[0].start), scale(min(until, max(each.end for each in run)))
        parts = [
            element("title", title(run)),
            element("rect", x=left, y=top, width=max(0.5, right - left), height=LANE, class_="block"),
        ]
        name = elide(run[0].name, right - left - 8) if len(run) == 1 else ""
        if name:
            parts.append(label(left + 4, top + 16, name, kind="inside"))
        out.append(element("g", *parts, class_=mode))
    return out


def title(run: Sequence[Launch]) -> str:
    last = run[-1]
    if len(run) == 1:
        return f"{last.name}\n{of(last.end - last.start, 'cycle')}, from {last.start:,} to {last.end:,}"
    return f"{len(run)} launches, {run[0].name} to {last.name}\nfrom {run[0].start:,} to {last.end:,} cycles"


def runs(lane: Sequence[Launch], least: float) -> list[list[Launch]]:
    """Launches, those together between which less than ``least`` cycles lie and that are as short themselves."""
    out: list[list[Launch]] = []
    for launch in lane:
        short = launch.end - launch.start < 4 * least
        if out and short and launch.start - out[-1][-1].end < least:
            out[-1].append(launch)
        else:
            out.append([launch])
    return out


def gap(lane: Sequence[Launch], scale: Scale, until: float, top: float, mode: str) -> Markup:
    """A bracket under the first gap of a lane, and its length."""
    for before, after in pairwise(lane):
        if after.start > before.end:
            left, right = scale(before.end), scale(min(until, after.start))
            whose = "gap of the schedule" if mode == "fused_ho" else "host gap"
            anchor = "end" if right > scale.end - 150 else "start"
            return join(
                [
                    line(left, top + 3, left, top + 8, "bracket"),
                    line(right, top + 3, right, top + 8, "bracket"),
                    line(left, top + 8, right, top + 8, "bracket"),
                    label(
                        left - 4 if anchor == "end" else right + 4,
                        top + 13,
                        f"{whose}: {of(after.start - before.end, 'cycle')}",
                        anchor,
                    ),
                ]
            )
    return Markup()
