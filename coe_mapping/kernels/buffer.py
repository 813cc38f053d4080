"""Stage buffers: a PMU between two units that takes blocks in any order and gives them in another."""

from collections.abc import Mapping
from dataclasses import dataclass

from coe_mapping.assembler.address import Register, Stage, divide, immediate
from coe_mapping.assembler.pmu import Pipeline, PMUProgram, Region
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.program import Port
from hdl.params import PMUParams, require
from hdl.pmu.config import AddressOp, Mode, bank_shifts


@dataclass(frozen=True)
class Order:
    """How a buffer is read.

    Attributes:
        loops: outermost first; those outside ``block`` and ``block`` itself go over blocks.
        strides: elements a step of each loop moves within a block.
        block: the loop of which every iteration reads one block; None: one block is read all the time.
        columns: a vector is ``lanes`` rows of one column.
        wide: BF16 elements leave as FP32, two beats a vector.
        offset: elements into the block, where reading begins.
        only: the iteration of ``block``, the outermost loop, whose block is read; the others are handed back unread.
    """

    loops: Loops
    strides: Mapping[str, int]
    block: str | None
    columns: bool = False
    wide: bool = False
    offset: int = 0
    only: int | None = None

    @property
    def boundary(self) -> int:
        """At which a block is handed back."""
        return 0 if self.block is None else self.loops.each(self.block)


def buffer(
    b: Builder,
    name: str,
    rows: Rows,
    order: Order,
    blocks: int = 2,
    *,
    in_order: bool = False,
    in_bytes: bool = False,
    parts: int = 1,
) -> Port:
    """A PMU that holds ``blocks`` blocks of ``rows``; returns its output, which gives them in ``order``.

    A block is read when it is complete. Vectors are placed by their sequence ids, so several sources may fill it, and
    leave with them. With ``in_order`` they are placed one after the other instead, whatever their ids. Vectors placed
    beyond the elements of a block (where ``rows`` are wider than their pitch) are dropped. With ``in_bytes`` the ids
    count bytes, not elements. With ``parts`` a block comes as so many smaller ones, each numbered from its own first.

    Raises:
        ParameterError: the blocks do not fit the PMU, or the order has more loops than it has counters; or several
            sources fill several blocks, where one that runs ahead would put its vectors into the wrong block.
    """
    require(
        len(rows.sources) == 1 or rows.blocks == 1,
        f"{name}: {len(rows.sources)} sources fill {rows.blocks} blocks, and one may be a block ahead of another",
    )
    fit = min(blocks, rows.blocks)
    program = buffer_program(b.params.pmu, name, rows, order, fit, in_order, in_bytes, parts)
    unit = b.add(name, program)
    b.vector(rows.sources, Port(unit), weight=rows.blocks * rows.vectors(b.lanes))
    return Port(unit)


def queue(b: Builder, name: str, source: Port, vectors: int, blocks: int, replays: int = 1) -> Port:
    """A PMU as a long queue: ``blocks`` blocks of ``vectors`` in the order they come, filled while others are read.

    ``replays`` > 1: all the blocks together are given so many times, and must fit.

    Raises:
        ParameterError: they do not fit.
    """
    pmu = b.params.pmu
    fit = pmu.rows // vectors
    name_blocks = f"{name}: {blocks} blocks of {vectors} vectors do not fit the {pmu.rows} bank rows of a PMU"
    require(fit >= (blocks if replays > 1 else 1), name_blocks)
    if replays > 1:
        vectors, blocks = vectors * blocks, 1
    unit = b.add(name, queue_program(pmu, vectors, blocks, replays))
    b.vector(source, Port(unit), weight=blocks * vectors)
    return Port(unit)


def queue_program(pmu: PMUParams, vectors: int, blocks: int, replays: int = 1) -> PMUProgram:
    """The program of :func:`queue`; one that is replayed is one block."""
    order = loops(replay=replays, block=blocks, vector=vectors)
    write = loops(block=blocks, vector=vectors)
    region = Region(0, vectors)
    strides = {"vector": pmu.lanes}
    return PMUProgram(
        Pipeline(region, write.addresses(strides), (Register(counters=(1,)),), buffer=1),
        Pipeline(region, order.addresses(strides), (Register(counters=(2,)),), buffer=0 if replays > 1 else 2),
        buffers=min(pmu.rows // vectors, blocks),
    )


def buffer_rows(pmu: PMUParams, rows: Rows) -> int:
    """Bank rows that a block takes: a power of two, so that blocks lie in different sub-arrays."""
    return 1 << max(-(-rows.elements // pmu.lanes) - 1, 0).bit_length()


def buffer_program(
    pmu: PMUParams,
    name: str,
    rows: Rows,
    order: Order,
    blocks: int,
    in_order: bool = False,
    in_bytes: bool = False,
    parts: int = 1,
) -> PMUProgram:
    """The program of :func:`buffer`."""
    size = buffer_rows(pmu, rows)
    require(
        blocks * size <= pmu.rows,
        f"{name}: {blocks} blocks of {rows.group} x {rows.pitch} elements take {blocks * size} bank rows, "
        f"a PMU has {pmu.rows}",
    )
    require(
        len(order.loops.limits) <= pmu.COUNTERS,
        f"{name}: reading takes {len(order.loops.limits)} loops, a PMU has {pmu.COUNTERS} counters",
    )
    count = rows.vectors(pmu.lanes)
    # the tile row of an element, by which its bank is shifted, is its address divided by the pitch
    striped: tuple[Stage, ...] = (divide(1, 0, rows.pitch),) if order.columns else ()
    tile_row = 1 if order.columns else None
    halved = (immediate(AddressOp.SHIFT_RIGHT, 0, 0, 1),) if in_bytes else ()
    region = Region(0, size)
    own = rows.elements
    strides = order.strides if order.only is None else {**order.strides, "block": own}
    arriving = loops(block=rows.blocks, part=parts, vector=count // parts)
    steps = {"part": rows.elements // parts, "vector": pmu.lanes if in_order else 0}
    write = Pipeline(
        region=region,
        counters=arriving.addresses(steps),
        registers=(Register(counters=(1, 2), sequence=not in_order),),
        stages=(*halved, *striped),
        tile_row=tile_row,
        buffer=1,
        keep_range=(0, rows.elements) if rows.width > rows.pitch else None,
    )
    read = Pipeline(
        region=region,
        counters=order.loops.addresses(strides),
        registers=(Register(order.offset, counters=tuple(range(len(order.loops.limits)))),),
        stages=striped,
        tile_row=tile_row,
        mode=Mode.COLUMN if order.columns else Mode.ROW,
        pitch=rows.pitch // pmu.lanes if order.columns else 0,
        buffer=order.boundary,
        sequence=0,
        convert=order.wide,
        keep_range=None if order.only is None else (order.only * own, (order.only + 1) * own),
    )
    shift = min(size.bit_length() - 1, bank_shifts(pmu) - 1)
    return PMUProgram(write, read, buffers=blocks, bank_shift=shift)
