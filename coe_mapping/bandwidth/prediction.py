"""What the bandwidth model says of a launch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Busy:
    """A resource, and the cycles it works in a launch."""

    resource: str
    cycles: float


@dataclass(frozen=True)
class Prediction:
    """One launch of a program.

    Attributes:
        cycles: from EXECUTE until WAIT is through.
        busy: every resource, the busiest first.
        ideal: cycles if memory moved every byte once at its full bandwidth, or all PCUs of the socket multiplied at
            their peak, whichever is longer.
        beats: moved from and to memory. macs: multiply-adds.
    """

    name: str
    cycles: float
    busy: tuple[Busy, ...]
    ideal: float
    beats: int
    macs: int

    @property
    def binding(self) -> str:
        """The busiest resource; ``fill latency`` if even that rests half of the time."""
        return self.busy[0].resource if self.busy and 2 * self.busy[0].cycles >= self.cycles else "fill latency"


def table(predictions: Sequence[Prediction], measured: Mapping[str, float] | None = None) -> str:
    """A line a kernel: predicted cycles, ideal, what binds; and measured cycles with the error where they are known."""
    lines = [f"{'kernel':<20}{'cycles':>9}{'ideal':>9}{'share':>7}{'measured':>10}{'error':>8}  bound by"]
    for p in predictions:
        cycles = (measured or {}).get(p.name)
        seen = f"{'':>18}" if cycles is None else f"{cycles:>10.0f}{p.cycles / cycles - 1:>+8.1%}"
        lines.append(f"{p.name:<20}{p.cycles:>9.0f}{p.ideal:>9.0f}{p.ideal / p.cycles:>7.0%}{seen}  {p.binding}")
    return "\n".join(lines)
