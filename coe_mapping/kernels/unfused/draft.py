"""A kernel under construction: shares of the work, matrices in memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Gather, Pattern, Region, Streams
from coe_mapping.kernels.unfused.layout import UnfusedLayout
from coe_mapping.program import Port, Program
from hdl.floorplan import COMPUTE, Kind, floorplan
from hdl.params import require

Ways = tuple[int, int]
"""Into how many shares work is cut: rows, and columns of each. Where one number is enough it is their product."""


@dataclass(frozen=True)
class Shares:
    """Work cut into shares of equal ``size``, so that streams can be sent to several of them at once.

    Where it does not divide evenly the last shares overlap those before: what they have in common is computed twice,
    with the same bits.
    """

    size: int
    starts: tuple[int, ...]


def shares(total: int, ways: int) -> Shares:
    """``total`` items in at most ``ways`` shares."""
    size = -(-total // min(ways, total))
    return Shares(size, tuple(min(start, total - size) for start in range(0, total, size)))


@dataclass(frozen=True)
class UnfusedKernel:
    """One operator as a kernel of its own.

    Attributes:
        name: of the tensor it makes, less the layer.
        bindings: where the addresses of the regions of ``layout`` go.
        ways: how its work was shared out.
    """

    name: str
    program: Program
    bindings: tuple[Binding, ...]
    layout: UnfusedLayout
    ways: tuple[int, ...]

    @property
    def units(self) -> Mapping[Kind, int]:
        """How many units of each kind it uses."""
        count = Counter(self.program.kind(unit) for unit in self.program.units)
        return {kind: count[kind] for kind in COMPUTE}

    @property
    def regions(self) -> Mapping[str, Region]:
        """Those that it reads or writes."""
        return {binding.region.name: binding.region for binding in self.bindings}


class Draft:
    """Collects the units of one kernel; :meth:`kernel` is what was collected."""

    def __init__(self, layout: UnfusedLayout, name: str) -> None:
        self.layout, self.name = layout, name
        self.b = Builder(layout.params, name)
        self.streams = Streams(layout.params, name)
        self.lanes, self.beat = layout.params.lanes, layout.params.beat_bytes

    def load(
        self,
        region: str,
        order: Loops,
        strides: Mapping[str, int],
        *,
        offset: int = 0,
        sequence: Sequence[str] = (),
        gather: Gather | None = None,
    ) -> Port:
        """Vectors from memory; strides and offset in bytes."""
        return self.streams.load(Pattern(self.layout.regions[region], order, strides, sequence, gather, offset=offset))

    def store(
        self,
        source: Port | Sequence[Port],
        region: str,
        order: Loops,
        strides: Mapping[str, int],
        *,
        offset: int = 0,
        gather: Gather | None = None,
    ) -> None:
        """Vectors to memory, in that order."""
        part = Pattern(self.layout.regions[region], order, strides, gather=gather, offset=offset)
        data, _ = self.streams.store(part)
        self.b.vector(source, data, weight=order.count)

    def positions(self, order: Loops, strides: Mapping[str, int], offset: int = 0) -> Port:
        """Positions of rows as scalars; strides and offset in rows."""
        steps = {name: step * self.beat for name, step in strides.items()}
        return self.streams.load(
            Pattern(self.layout.regions["positions"], order, steps, words=1, offset=offset * self.beat)
        )

    def rectangle(self, region: str, pitch: int, rows: tuple[int, int], columns: tuple[int, int]) -> Port:
        """Loads ``rows`` (first, number) of ``columns`` (first, number) of a BF16 matrix, row by row; sequence ids
        count the columns from the first."""
        order, strides, offset = self._rectangle(pitch, rows, columns)
        return self.load(region, order, strides, offset=offset, sequence=("chunk",))

    def store_rectangle(
        self, source: Port, region: str, pitch: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> None:
        """The same, written."""
        order, strides, offset = self._rectangle(pitch, rows, columns)
        self.store(source, region, order, strides, offset=offset)

    def _rectangle(
        self, pitch: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> tuple[Loops, dict[str, int], int]:
        order = loops(row=rows[1], chunk=columns[1] // self.lanes)
        offset = (rows[0] * pitch + columns[0]) * ELEMENT_BYTES
        return order, {"row": pitch * ELEMENT_BYTES, "chunk": self.beat}, offset

    def kernel(self, *ways: int) -> UnfusedKernel:
        """The kernel.

        Raises:
            ParameterError: the machine has fewer units than it takes.
        """
        for name, agcu in self.streams.programs().items():
            self.b.add(name, agcu)
        for source, sink in self.streams.scalar_joins():
            self.b.scalar(source, sink)
        kernel = UnfusedKernel(self.name, self.b.program(), tuple(self.streams.bindings()), self.layout, ways)
        for kind, count in kernel.units.items():
            has = len(floorplan(self.layout.params).of(kind))
            require(count <= has, f"{self.name}: {ways} ways take {count} {kind.name}s, the machine has {has}")
        return kernel
