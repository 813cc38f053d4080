"""What ``make sim`` measured, read from its dictionary into classes, and what follows from it by arithmetic alone.

Counts of one kernel entry (cycles, launches, macs, bytes, those of units and of links) are of the same launches.
What an entry does not say stays at its default, and the page leaves it out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MODES = {
    "unfused": "unfused",
    "fused_so": "fused, software-orchestrated",
    "fused_ho": "fused, hardware-orchestrated",
}
"""How a model was run, and how that is called."""

PHASES = ("prefill", "decode")

KINDS = ("pcu", "pmu", "agcu")

T = TypeVar("T", bound="DataclassInstance")


def read(kind: type[T], source: Mapping[str, Any]) -> T:
    """An object of a data class from the entries of ``source`` that it knows."""
    known = {entry.name for entry in fields(kind)}
    return kind(**{name: value for name, value in source.items() if name in known and value is not None})


@dataclass(frozen=True)
class Machine:
    rows: int = 0
    columns: int = 0  # of a tile
    tiles: int = 1
    lanes: int = 0
    stages: int = 0
    hbm_bytes_per_cycle: float = 0
    launch_latency: float | None = None

    @property
    def width(self) -> int:
        """Columns of the whole socket."""
        return self.columns * self.tiles

    @property
    def peak(self) -> int:
        """Multiply-adds a cycle of all PCUs."""
        return self.rows * self.width * self.lanes * self.stages


@dataclass(frozen=True)
class Answer:
    prompt: str = ""
    text: str = ""
    truth: str = ""
    correct: bool | None = None  # None: not compared


@dataclass(frozen=True)
class Unit:
    """A unit and its counters, in cycles: ``busy``, those from its start to its end; ``fires``, those it worked in."""

    name: str = ""
    kind: str = ""
    row: int = 0
    column: int = 0
    busy: int = 0
    fires: int = 0
    stalls: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """Flits that left the switch at ``row`` and ``column`` by ``side``."""

    fabric: str = "vector"
    row: int = 0
    column: int = 0
    side: str = ""
    flits: int = 0


@dataclass(frozen=True)
class Kernel:
    name: str = ""
    mode: str = ""
    phase: str = ""
    cycles: int = 0
    ideal_cycles: float | None = None
    predicted_cycles: float | None = None
    binding: str = ""
    launches: int = 1
    macs: int = 0
    hbm_bytes: int = 0
    mac_utilisation: float | None = None
    hbm_utilisation: float | None = None
    units_used: Mapping[str, int] = field(default_factory=dict)
    units: tuple[Unit, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def title(self) -> str:
        return self.name if self.phase in self.name.split() else f"{self.name}, {self.phase}"

    def share(self, events: float) -> float:
        """Events a cycle, for events of which a cycle sees one at most; a PMU that reads and writes counts as 1."""
        return min(1.0, events / self.cycles) if self.cycles else 0.0


@dataclass(frozen=True)
class Launch:
    """One execution of a kernel, from its start to its end, in cycles."""

    mode: str
    phase: str
    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Result:
    """All of it."""

    machine: Machine
    answers: tuple[Answer, ...]
    kernels: tuple[Kernel, ...]
    timeline: tuple[Launch, ...]
    source: Mapping[str, Any]

    @property
    def fused(self) -> tuple[Kernel, ...]:
        """Fused kernels with counters, each once: under hardware orchestration runs the same program."""
        seen: dict[tuple[str, str], Kernel] = {}
        for kernel in sorted(self.kernels, key=lambda each: list(MODES).index(each.mode) if each.mode in MODES else 9):
            if kernel.mode != "unfused" and kernel.units and kernel.cycles:
                seen.setdefault((kernel.phase, kernel.name), kernel)
        return tuple(seen.values())

    @property
    def phases(self) -> tuple[str, ...]:
        return ordered((*(each.phase for each in self.timeline), *(each.phase for each in self.kernels)), PHASES)

    def lane(self, phase: str, mode: str) -> tuple[Launch, ...]:
        """The launches of one mode in order of their start, which is counted from the first one's."""
        lane = sorted(
            (each for each in self.timeline if (each.phase, each.mode) == (phase, mode)), key=lambda each: each.start
        )
        return tuple(
            Launch(each.mode, each.phase, each.name, each.start - lane[0].start, each.end - lane[0].start)
            for each in lane
        )


def result(source: Mapping[str, Any]) -> Result:
    """The classes from the dictionary."""
    kernels = []
    for entry in source.get("kernels") or ():
        units = tuple(read(Unit, unit) for unit in entry.get("units") or ())
        links = tuple(read(Link, link) for link in entry.get("links") or ())
        kernels.append(read(Kernel, {**entry, "units": units, "links": links}))
    return Result(
        machine=read(Machine, source.get("machine") or {}),
        answers=tuple(read(Answer, entry) for entry in source.get("answers") or ()),
        kernels=tuple(kernels),
        timeline=tuple(read(Launch, entry) for entry in source.get("timeline") or ()),
        source=source,
    )


def ordered(names: Iterable[str], first: Sequence[str]) -> tuple[str, ...]:
    """Each name once: those of ``first`` in that order, then the others."""
    present = dict.fromkeys(names)
    return (*(name for name in first if name in present), *(name for name in present if name not in first))


@dataclass(frozen=True)
class Cost:
    """Where the cycles of a mode go in a phase.

    Attributes:
        running: cycles in which a kernel runs. gaps: those in between.
        launches: kernels run.
        measured: from the timeline; otherwise kernels' cycles, and a launch latency each; a command list has one.
    """

    running: float
    gaps: float
    launches: int
    measured: bool

    @property
    def total(self) -> float:
        return self.running + self.gaps


def running(lane: Sequence[Launch]) -> int:
    """Cycles in which at least one launch of a lane, in order of start, runs."""
    cycles, until = 0, 0
    for launch in lane:
        cycles += max(0, launch.end - max(launch.start, until))
        until = max(until, launch.end)
    return cycles


def costs(found: Result, phase: str) -> dict[str, Cost]:
    """The cost of every mode that ran in ``phase``.

    Of one layer, where ``layer_cycles`` has it both ways; of all that ran otherwise.
    """
    layer = (found.source.get("layer_cycles") or {}).get(phase)
    if layer:
        return _of_a_layer(found, phase, layer)
    out = {}
    for mode in MODES:
        lane = found.lane(phase, mode)
        kernels = [each for each in found.kernels if (each.phase, each.mode) == (phase, mode) and each.cycles]
        if lane:
            work, launches = running(lane), len(lane)
            gaps = max(each.end for each in lane) - work
        elif kernels:
            work, launches = sum(each.cycles for each in kernels), sum(each.launches for each in kernels)
            gaps = (1 if mode == "fused_ho" else launches) * int(found.machine.launch_latency or 0)
        else:
            continue
        out[mode] = Cost(work, gaps, launches, bool(lane))
    return out


def _of_a_layer(found: Result, phase: str, layer: Mapping[str, Mapping[str, int]]) -> dict[str, Cost]:
    """One layer: operator by operator as a command list, fused by the host and as a command list."""
    unfused = [each for each in found.kernels if (each.phase, each.mode) == (phase, "unfused")]
    fused = [each for each in found.kernels if each.mode == "fused_so" and each.name == f"{phase} layer"]
    ways = {
        "unfused": (unfused, layer["hardware"]["unfused"]),
        "fused_so": (fused, layer["software"]["fused"]),
        "fused_ho": (fused, layer["hardware"]["fused"]),
    }
    out = {}
    for mode, (kernels, total) in ways.items():
        work = sum(each.cycles or 0 for each in kernels)
        if work:
            out[mode] = Cost(work, max(0, total - work), len(kernels), True)
    return out
