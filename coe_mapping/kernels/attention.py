"""Scaled dot-product attention over a cache of keys and values, grouped queries, causal.

::

    q rows -> scores ----> maximum --------+ a scalar a row
    K -> [columns] ^ +--> [reorder] --> exponentials -> [P] -> P V -> [reorder] -> / sum -> rows
                                               +--> sum ---------- 1/x, a scalar a row --^

Positions beyond a row's own are left out twice: where the maximum is taken, and where the exponentials are made.
"""

from dataclasses import dataclass, replace

from coe_mapping.assembler.pcu import (
    Group,
    Mask,
    PCUProgram,
    Reduce,
    ScalarOut,
    SequenceId,
    Simd,
    Stage,
    Tail,
    VectorIn,
    word,
)
from coe_mapping.kernels.buffer import Order, buffer, buffer_rows
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import Tiling, product
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.norm import FIRST, row_order
from coe_mapping.program import Port
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.params import PCUParams
from hdl.pcu.config import Conversion, Operation, ScalarSource, SharedSource, Source

MINUS_INFINITY = word(float("-inf"))


@dataclass(frozen=True)
class Heads:
    """Sizes of attention: ``queries`` query heads share ``keys`` key heads of ``size`` elements.

    Attributes:
        pitch: elements of a head in memory, ``size`` rounded up to whole vectors.
        blocks: row groups of the kernel (see :class:`Rows`); ``group`` rows of each.
        positions: of the cache, a whole number of score tiles.
        batch: every row is a sequence of its own, with keys and values of its own; else all rows are one sequence.
        stacked: of a batch, query heads of one key head that are worked on together, as rows.
    """

    queries: int
    keys: int
    size: int
    pitch: int
    blocks: int
    group: int
    positions: int
    batch: bool
    stacked: int = 1

    @property
    def shared(self) -> int:
        """Query heads to a key head."""
        return self.queries // self.keys

    @property
    def sequences(self) -> int:
        """Groups of rows that attend together."""
        return self.blocks * self.group if self.batch else self.blocks

    @property
    def rows(self) -> int:
        """Of scores that are worked on together."""
        return self.stacked if self.batch else self.group

    def crossed(self, pcu: PCUParams) -> bool:
        """Whether all query heads of a sequence are multiplied with the values of all key heads at once, and what is of
        another key head left lying: with a few small heads that keeps the accumulators of a PCU busy."""
        few = self.queries <= pcu.stages and self.keys * self.pitch // pcu.lanes <= pcu.interleave
        return self.stacked > 1 and self.keys > 1 and few

    @property
    def one_by_one(self) -> bool:
        """Whether a row of scores is worked on by itself, in one block of rows: its sums can be divided at once."""
        return self.batch and self.stacked == 1 and self.blocks == 1

    @property
    def stacks(self) -> int:
        """Of query heads, for each group of rows."""
        return self.queries // self.stacked


@dataclass(frozen=True)
class Positions:
    """Scalars: the position of every row of scores, and that of the first row of every group that is worked on
    together; of a batch, of every sequence."""

    of_rows: Port
    of_groups: Port


def score_tiling(lanes: int, interleave: int, heads: Heads) -> Tiling:
    """q K^T: lanes run over positions, k over a head's elements; a block is one head of one group."""
    chunks = heads.positions // lanes
    slots = next(s for s in range(min(interleave, chunks), 0, -1) if chunks % s == 0)
    return Tiling(lanes, heads.sequences * heads.stacks, heads.rows, heads.size, chunks // slots, slots)


def value_tiling(lanes: int, interleave: int, heads: Heads) -> Tiling:
    """P V: lanes run over a head's elements, k over positions."""
    chunks = heads.pitch // lanes
    slots = next(s for s in range(min(interleave, chunks), 0, -1) if chunks % s == 0)
    return Tiling(lanes, heads.sequences * heads.stacks, heads.rows, heads.positions, chunks // slots, slots)


def attention(b: Builder, name: str, heads: Heads, q: Rows, k: Rows, v: Rows, positions: Positions) -> Rows:
    """softmax(q K^T / sqrt(size), up to the row's position) V.

    Args:
        q: queries after rotary embedding: head by head, each with all rows of the block.
        k, v: the cache, a block as it is for each group of rows, or one block with that of every group, heads
            ``heads.pitch`` apart.

    Returns:
        Rows of all heads, ``heads.pitch`` apart, BF16, in no order.
    """
    lanes, interleave = b.lanes, b.params.pcu.interleave
    scores, values = score_tiling(lanes, interleave, heads), value_tiling(lanes, interleave, heads)
    queries = buffer(b, f"{name}.q", q, query_order(heads, scores, row=heads.pitch, head=heads.group * heads.pitch))
    keys = _cache(b, f"{name}.k", k, _whole(heads, k, key_order(heads, scores, k.pitch, own=k.blocks > 1)))
    s = product(
        b, f"{name}.scores", scores, queries, keys, pitch=2 * heads.positions, scale=heads.size**-0.5, wide=True
    )
    p, sums = _softmax(b, name, heads, s, positions)
    if heads.crossed(b.params.pcu):
        p = replace(p, blocks=heads.sequences, group=heads.queries)
        values = replace(values, blocks=heads.sequences, group=heads.queries, slots=v.width // lanes)
        order = loops(sequence=heads.sequences, tile=1, k=values.k, slot=values.slots)
        own = Order(order, {"k": v.pitch, "slot": lanes}, block="sequence" if v.blocks > 1 else None)
    else:
        own = value_order(heads, values, v.pitch, own=v.blocks > 1)
    weights = buffer(b, f"{name}.p", p, values.operand(heads.positions))
    cache = _cache(b, f"{name}.v", v, _whole(heads, v, own))
    if heads.one_by_one:
        return _divided(b, f"{name}.values", heads, values, weights, cache, sums)
    sums_of_values = product(b, f"{name}.values", values, weights, cache, pitch=2 * values.width, wide=True)
    return _normalised(b, name, heads, sums_of_values, sums)


def _divided(b: Builder, name: str, heads: Heads, t: Tiling, weights: Port, cache: Port, reciprocals: Port) -> Rows:
    """P V, each row times its scalar in the tail, placed as the heads of rows; a block of the product is a head."""
    pitch = heads.queries * heads.pitch
    product(b, name, t, weights, cache, pitch=0, scale=reciprocals)
    unit = b.units[name]
    assert isinstance(unit, PCUProgram)
    head, *inner = unit.counters
    places = replace(unit.sequence, counters=(0, *unit.sequence.counters))
    b.units[name] = replace(unit, counters=(replace(head, stride=heads.pitch), *inner), sequence=places)
    return Rows((Port(name),), 1, heads.group, pitch, pitch)


def _cache(b: Builder, name: str, rows: Rows, order: Order) -> Port:
    """Two blocks, so that one comes in while the other is read, or one, if no more fit."""
    pmu = b.params.pmu
    two = 2 * buffer_rows(pmu, rows) <= pmu.rows
    return buffer(b, name, rows, order, blocks=2 if two else 1, in_bytes=len(rows.sources) > 1)


def _whole(heads: Heads, cache: Rows, order: Order) -> Order:
    """``order`` where one block holds the caches of all sequences."""
    if cache.blocks > 1 or not heads.batch:
        return order
    sequence = cache.elements // heads.sequences
    return replace(order, strides={**order.strides, "sequence": sequence})


def query_order(heads: Heads, t: Tiling, *, row: int, head: int) -> Order:
    """``row``, ``head``: elements from one to the next."""
    chunks = -(-heads.size // t.lanes)
    strides = {"head": heads.stacked * head, "chunk": t.lanes, "row": row, "member": head}
    inner = loops(head=heads.stacks, tile=t.tiles, chunk=chunks)
    if heads.batch:
        outer = loops(block=heads.blocks, row=heads.group)
        return Order(outer + inner + loops(member=heads.stacked), strides, block="block")
    return Order(loops(block=heads.blocks) + inner + loops(row=heads.group), strides, block="block")


def key_order(heads: Heads, t: Tiling, pitch: int, *, own: bool) -> Order:
    """Columns: ``lanes`` positions of one element of a key head. ``own``: every group of rows has a block."""
    strides = {"key": heads.pitch, "tile": t.slots * t.lanes * pitch, "k": 1, "slot": t.lanes * pitch}
    return Order(_cache_loops(heads, t), strides, block="sequence" if own else None, columns=True)


def value_order(heads: Heads, t: Tiling, pitch: int, *, own: bool) -> Order:
    """``own``: every group of rows has a block."""
    strides = {"key": heads.pitch, "tile": t.slots * t.lanes, "k": pitch, "slot": t.lanes}
    return Order(_cache_loops(heads, t), strides, block="sequence" if own else None)


def _cache_loops(heads: Heads, t: Tiling) -> Loops:
    shared = heads.shared // heads.stacked
    return loops(sequence=heads.sequences, key=heads.keys, shared=shared, tile=t.tiles, k=t.k, slot=t.slots)


def _softmax(b: Builder, name: str, heads: Heads, scores: Rows, positions: Positions) -> tuple[Rows, Port]:
    """exp(s - maximum) in BF16, row by row, and 1 / sum of each row; positions beyond the row's own count as none."""
    width = scores.width // 2
    chunks = width // b.lanes
    order = loops(sequence=heads.sequences, head=heads.stacks, row=heads.rows, chunk=chunks)
    stacks = loops(sequence=heads.sequences, head=heads.stacks)
    if heads.rows <= b.params.pcu.interleave:
        source, arriving = scores.sources[0], stacks + loops(chunk=chunks, row=heads.rows)
    else:
        source, arriving = (
            buffer(b, f"{name}.rows", scores, row_order(scores, b.lanes)),
            stacks + loops(row=heads.rows, chunk=chunks),
        )
    maximum = b.add(f"{name}.maximum", _masked_maximum(arriving, b.lanes, by_row=not heads.batch))
    b.vector(source, Port(maximum), weight=2 * order.count)
    b.scalar(positions.of_groups, Port(maximum))
    delayed = buffer(b, f"{name}.delay", scores, row_order(scores, b.lanes))
    masked = order.each("sequence" if heads.batch else "row")
    apart = heads.rows * width if heads.crossed(b.params.pcu) else 0
    exponentials = b.add(f"{name}.exp", exponential(order, width, b.lanes, masked, apart))
    b.vector(delayed, Port(exponentials), weight=2 * order.count)
    b.scalar(Port(maximum), Port(exponentials))
    b.scalar(positions.of_rows, Port(exponentials, 1))
    total = b.add(f"{name}.sum", reduction(order, ReduceOp.SUM, Function.RECIPROCAL))
    b.vector(Port(exponentials), Port(total), weight=order.count)
    return Rows((Port(exponentials),), scores.blocks, scores.group, width, width), Port(total)


def _masked_maximum(order: Loops, lanes: int, *, by_row: bool) -> PCUProgram:
    """Of every row up to its position: that of the block, and ``by_row`` one more for each row.

    Rows come one after the other, or a vector of each in turn.
    """
    names = list(order.limits)
    chunk, row = (SharedSource(SharedSource.COUNTER_0.value + names.index(name)) for name in ("chunk", "row"))
    place, first, beyond = Source.REGISTER_1, Source.SHARED_1, Source.SHARED_2
    back = (Stage(Operation.INT_SUB, place, beyond, into=1),) if by_row else ()
    slotted = names[-1] == "row"
    return PCUProgram(
        counters=order.pcu(chunk=lanes, row=1),
        body=Simd(
            stages=(
                Stage(Operation.INT_ADD, Source.LANE, first, into=1),
                *back,
                Stage(Operation.INT_LE, place, Source.SHARED_0, into=1),
                Stage(Operation.SELECT, Source.REGISTER_0, Source.CONSTANT, condition=1, constant=MINUS_INFINITY),
            ),
            reduce=Reduce(ReduceOp.MAX, over_time=True),
        ),
        group=Group(order.each("head"), slotted=True) if slotted else Group(order.each("row")),
        vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
        scalar_in=(order.each("head" if by_row else "sequence"), None, None, None),
        shared=(SharedSource.SCALAR_0, chunk, row, SharedSource.ZERO),
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=order.every), None),
    )


def mask(order: Loops, lanes: int, first: int = 0) -> PCUProgram:
    """-infinity where the position of a lane, counted from ``first``, is beyond that of its row; FP32."""
    names = list(order.limits)
    chunk = SharedSource(SharedSource.COUNTER_0.value + names.index("chunk"))
    return PCUProgram(
        counters=order.pcu(chunk=lanes),
        body=Simd(),
        vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
        scalar_in=(order.each("row"), None, None, None),
        shared=(chunk, SharedSource.SCALAR_0, SharedSource.ZERO, SharedSource.ZERO),
        tail=Tail(mask=Mask(-first, plus=1, minus=0, after=MINUS_INFINITY)),
        vector_out=(order.every, None),
    )


def reduction(order: Loops, operation: ReduceOp, function: Function | None, wide: bool = False) -> PCUProgram:
    """Each row, FP32 if ``wide``, to a scalar, and a function of that."""
    return PCUProgram(
        counters=order.pcu(),
        body=Simd(reduce=Reduce(operation, over_time=True)),
        group=Group(begin=order.each("row")),
        vector_in=(VectorIn(pop=order.every, wide=wide), None, None, None),
        tail=Tail(special=function),
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=order.every), None),
    )


def exponential(order: Loops, pitch: int, lanes: int, masked: int | None = None, head_pitch: int = 0) -> PCUProgram:
    """exp(s - maximum) in BF16, the maximum a scalar a row; zero beyond a position, if they come at boundary
    ``masked``. Rows are placed ``pitch`` elements apart, and heads ``head_pitch``."""
    names = list(order.limits)
    apart = {"head": head_pitch} if head_pitch else {}
    chunk = SharedSource(SharedSource.COUNTER_0.value + names.index("chunk"))
    own = masked is not None
    return PCUProgram(
        counters=order.pcu(row=pitch, chunk=lanes, **apart),
        body=Simd(stages=(Stage(Operation.SUBTRACT, Source.REGISTER_0, Source.SHARED_0),)),
        vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
        scalar_in=(order.each("row"), masked, None, None),
        shared=(SharedSource.SCALAR_0, SharedSource.SCALAR_1, chunk, SharedSource.ZERO) if own else FIRST,
        tail=Tail(
            mask=Mask(plus=1, minus=2, after=0) if own else Mask(),
            special=Function.EXP,
            conversion=Conversion.BF16,
        ),
        sequence=SequenceId(counters=tuple(names.index(name) for name in (*apart, "row", "chunk"))),
        vector_out=(order.every, None),
    )


def _normalised(b: Builder, name: str, heads: Heads, sums: Rows, reciprocals: Port) -> Rows:
    """FP32 rows times a scalar each, to BF16, placed as the heads of rows."""
    pitch = heads.queries * heads.pitch
    if heads.crossed(b.params.pcu):
        beats = 2 * heads.pitch // b.lanes
        picked = loops(block=heads.sequences, key=heads.keys, member=heads.shared, beat=beats)
        strides = {"key": heads.shared * sums.pitch + 2 * heads.pitch, "member": sums.pitch, "beat": b.lanes}
        ordered = buffer(b, f"{name}.heads", sums, Order(picked, strides, block="block"))
    elif heads.rows > 1:
        ordered = buffer(b, f"{name}.heads", sums, row_order(sums, b.lanes))
    else:
        ordered = sums.sources[0]
    chunks = heads.pitch // b.lanes
    if heads.batch:
        order = loops(block=heads.blocks, row=heads.group, head=heads.queries, chunk=chunks)
        vector = "head"
    else:
        order = loops(block=heads.blocks, head=heads.queries, row=heads.group, chunk=chunks)
        vector = "row"
    names = list(order.limits)
    unit = b.add(
        f"{name}.normalise",
        PCUProgram(
            counters=order.pcu(head=heads.pitch, row=pitch, chunk=b.lanes),
            body=Simd(stages=(Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.SHARED_0),)),
            vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
            scalar_in=(order.each(vector), None, None, None),
            shared=FIRST,
            tail=Tail(conversion=Conversion.BF16),
            sequence=SequenceId(counters=tuple(names.index(n) for n in ("head", "row", "chunk"))),
            vector_out=(order.every, None),
        ),
    )
    b.vector(ordered, Port(unit), weight=2 * order.count)
    b.scalar(reciprocals, Port(unit))
    return Rows((Port(unit),), heads.blocks, heads.group, pitch, pitch)
