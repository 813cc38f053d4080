"""Matrix products: how they are cut for PCUs, the order of their weights, their programs."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coe_mapping.assembler.pcu import Group, Number, PCUProgram, SequenceId, Systolic, Tail, VectorIn, word
from coe_mapping.kernels.buffer import Order
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.program import Port
from hdl.arith.special_tables import Function
from hdl.params import RDUParams, require
from hdl.pcu.config import Conversion, SharedSource


@dataclass(frozen=True)
class Tiling:
    """(rows, k) @ (k, n) on one PCU: ``blocks`` blocks of ``group`` rows, each in ``tiles`` tiles of ``slots`` vectors.

    A slot is one accumulator a cell: ``slots`` x ``lanes`` columns are worked on at once. ``blocks * group`` and
    ``tiles * slots * lanes`` may exceed ``rows`` and ``n``: what sticks out is computed and not looked at.
    """

    lanes: int
    blocks: int
    group: int
    k: int
    tiles: int
    slots: int

    @property
    def width(self) -> int:
        """Columns computed."""
        return self.tiles * self.slots * self.lanes

    @property
    def loops(self) -> Loops:
        """Of the PCU: its issues."""
        return loops(block=self.blocks, tile=self.tiles, k=self.k, slot=self.slots)

    @property
    def results(self) -> Loops:
        """The order in which vectors leave."""
        return loops(block=self.blocks, tile=self.tiles, slot=self.slots, row=self.group)

    def operand(self, pitch: int) -> Order:
        """How the rows must be read from a buffer of that pitch."""
        chunks = -(-self.k // self.lanes)
        order = loops(block=self.blocks, tile=self.tiles, chunk=chunks, row=self.group)
        return Order(order, {"chunk": self.lanes, "row": pitch}, block="block")

    def initial(self, pitch: int, column: int = 0) -> Order:
        """How the initial accumulators, BF16 rows of that pitch, must be read, from ``column`` on."""
        strides = {"tile": self.slots * self.lanes, "slot": self.lanes, "row": pitch}
        return Order(self.results, strides, block="block", wide=True, offset=column)

    def columns(self, ways: int) -> tuple["Tiling", ...]:
        """``ways`` shares of the columns, as equal as can be, the larger first.

        Raises:
            ParameterError: there are fewer tiles.
        """
        require(self.tiles >= ways, f"product: {self.tiles} tiles are not enough for {ways} PCUs")
        each, more = divmod(self.tiles, ways)
        return tuple(replace(self, tiles=each + (i < more)) for i in range(ways))


def groups(params: RDUParams, rows: int) -> tuple[int, int]:
    """(blocks, rows a block): as few blocks as the stages allow, as equal as can be."""
    blocks = -(-rows // params.pcu.stages)
    return blocks, -(-rows // blocks)


def padded_rows(params: RDUParams, rows: int) -> int:
    """Rows that ``rows`` take in memory: whole blocks."""
    blocks, group = groups(params, rows)
    return blocks * group


def row_pitch(params: RDUParams, width: int) -> int:
    """Elements from a row of activations to the next in memory: as many as a product computes."""
    return tiling(params, 1, 1, width).width


def tiling(params: RDUParams, rows: int, k: int, n: int) -> Tiling:
    """A product of those sizes; the accumulators of a cell in turn hide the latency of its multiply-add."""
    blocks, group = groups(params, rows)
    chunks = -(-n // params.lanes)
    tiles = -(-chunks // params.pcu.interleave)
    return Tiling(params.lanes, blocks, group, k, tiles, -(-chunks // tiles))


def weight_stream(weight: NDArray[np.uint16], t: Tiling) -> NDArray[np.uint16]:
    """The bits of a (k, n) weight in the order in which a PCU takes them: (tiles * k * slots, lanes)."""
    padded = np.zeros((t.k, t.width), np.uint16)
    padded[: weight.shape[0], : weight.shape[1]] = weight
    cut = padded.reshape(t.k, t.tiles, t.slots, t.lanes)
    return np.ascontiguousarray(cut.transpose(1, 0, 2, 3)).reshape(-1, t.lanes)


def product(
    b: Builder,
    name: str,
    t: Tiling,
    x: Port,
    weights: Port,
    *,
    pitch: int,
    column: int = 0,
    initial: Port | None = None,
    scale: float | Port | None = None,
    function: Function | None = None,
    wide: bool = False,
) -> Rows:
    """One PCU that multiplies.

    Args:
        x: the rows, in the order of ``t.operand``; ``weights`` in that of :func:`weight_stream`, for every block.
        pitch: of the result's rows, in which it begins at ``column``.
        initial: what the sums start from, in the order of ``t.initial``.
        scale, function: applied to the FP32 sums, in this order; a port gives a scale for every block.
        wide: the result is FP32 (two beats a vector, ``pitch`` and ``column`` count its 16-bit halves), not BF16.
    """
    half = 2 if wide else 1
    names = list(t.loops.limits)
    given = isinstance(scale, Port)
    program = PCUProgram(
        counters=t.loops.pcu(tile=half * t.slots * t.lanes, slot=half * t.lanes),
        body=Systolic(t.group, initial=initial is not None),
        group=Group(begin=t.loops.each("tile"), slotted=True),
        vector_in=(VectorIn(pop=t.loops.every), None, None, None),
        scalar_in=(t.loops.each("block") if given else None, None, None, None),
        shared=(SharedSource.SCALAR_0 if given else SharedSource.ZERO, *[SharedSource.ZERO] * 3),
        tail=Tail(
            scale=Number(shared=0) if isinstance(scale, Port) else None if scale is None else Number(word(scale)),
            special=function,
            conversion=Conversion.NONE if wide else Conversion.BF16,
        ),
        sequence=SequenceId(column, (names.index("tile"), names.index("slot")), stage=pitch, beat=t.lanes),
        vector_out=(t.loops.every, None),
    )
    unit = b.add(name, program)
    b.vector(weights, Port(unit, 0), weight=t.loops.count)
    b.vector(x, Port(unit, 1), weight=t.blocks * t.tiles * -(-t.k // t.lanes) * t.group)
    if isinstance(scale, Port):
        b.scalar(scale, Port(unit))
    if initial is not None:
        b.vector(initial, Port(unit, 2), weight=2 * t.results.count)
    return Rows((Port(unit),), t.blocks, t.group, half * t.width, pitch)
