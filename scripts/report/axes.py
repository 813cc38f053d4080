"""Scales from values to pixels, their ticks, and the frame of a chart."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log10

from scripts.report.markup import Markup, element, join, short


@dataclass(frozen=True)
class Scale:
    """``low`` .. ``high`` to pixels ``start`` .. ``end``, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (log10(each) if self.logarithmic else each for each in (self.low, self.high, value))
        return self.start + (at - low) / ((high - low) or 1) * (self.end - self.start)

    def ticks(self, room: float = 80) -> list[float]:
        """Round values, about one every ``room`` pixels, within the scale."""
        if self.logarithmic:
            decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            steps = (1, 2, 5) if len(decades) * 2 * room < abs(self.end - self.start) * 3 else (1,)
            every = [step * 10.0**decade for decade in decades for step in steps]
        else:
            least = (self.high - self.low) / max(1, abs(self.end - self.start) / room) or 1
            power = 10.0 ** floor(log10(least))
            step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * least)
            every = [step * n for n in range(ceil(self.low / step), floor(self.high / step + 1e-9) + 1)]
        return [tick for tick in every if self.low * 0.999 <= tick <= self.high * 1.001]


def label(x: float, y: float, words: str, anchor: str = "start", kind: str | None = None) -> Markup:
    return element("text", words, x=x, y=y, text_anchor=anchor, class_=kind)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def bottom(scale: Scale, y: float, top: float, name: str, room: float = 80) -> Markup:
    """Axis at height ``y`` with grid lines up to ``top``."""
    parts = [line(scale.start, y, scale.end, y, "axis")]
    for tick in scale.ticks(room):
        parts += [line(scale(tick), top, scale(tick), y, "grid"), label(scale(tick), y + 15, short(tick), "middle")]
    return join([*parts, label((scale.start + scale.end) / 2, y + 33, name, "middle", "name")])


def left(scale: Scale, x: float, right: float, name: str) -> Markup:
    """Axis at ``x`` with grid lines as far as ``right``; its name stands above it."""
    parts = [line(x, scale.start, x, scale.end, "axis")]
    for tick in scale.ticks(48):
        parts += [line(x, scale(tick), right, scale(tick), "grid"), label(x - 6, scale(tick) + 4, short(tick), "end")]
    return join([*parts, label(x, scale.end - 10, name, "start", "name")])


def svg(width: float, height: float, says: str, *parts: str) -> Markup:
    """A figure. It shrinks to four fifths of its size, so that letters stay readable, and then scrolls."""
    picture = element(
        "svg",
        *parts,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width,
        height=height,
        style=f"min-width:{0.8 * width:.0f}px",
        role="img",
        aria_label=says,
    )
    return element("div", picture, class_="scroll")


def apart(wanted: Mapping[str, float], least: float) -> dict[str, float]:
    """Heights of labels, moved down where they would touch."""
    out: dict[str, float] = {}
    below = float("-inf")
    for name, height in sorted(wanted.items(), key=lambda each: each[1]):
        below = max(height, below + least)
        out[name] = below
    return out
