"""Scaled dot-product attention over a cache of keys and values, grouped queries, causal.

::

    q rows -> scores -> [reorder] -> mask -> maximum -----+ a scalar a row
    K -> [columns] ^                   +--> [delay] --> exponentials -> [P] -> P V -> [reorder] -> / sum -> rows
                                                              +--> sum ---------- 1/x, a scalar a row --^
"""

from dataclasses import dataclass

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
from coe_mapping.kernels.buffer import Order, buffer
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import Tiling, product
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.norm import FIRST, row_order
from coe_mapping.program import Port
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
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
    """

    queries: int
    keys: int
    size: int
    pitch: int
    blocks: int
    group: int
    positions: int
    batch: bool

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
        """Rows of such a group."""
        return 1 if self.batch else self.group


def score_tiling(lanes: int, interleave: int, heads: Heads) -> Tiling:
    """q K^T: lanes run over positions, k over a head's elements; a block is one head of one group."""
    chunks = heads.positions // lanes
    slots = next(s for s in range(min(interleave, chunks), 0, -1) if chunks % s == 0)
    return Tiling(lanes, heads.sequences * heads.queries, heads.rows, heads.size, chunks // slots, slots)


def value_tiling(lanes: int, interleave: int, heads: Heads) -> Tiling:
    """P V: lanes run over a head's elements, k over positions."""
    chunks = heads.pitch // lanes
    slots = next(s for s in range(min(interleave, chunks), 0, -1) if chunks % s == 0)
    return Tiling(lanes, heads.sequences * heads.queries, heads.rows, heads.positions, chunks // slots, slots)


def attention(b: Builder, name: str, heads: Heads, q: Rows, k: Rows, v: Rows, positions: Port) -> Rows:
    """softmax(q K^T / sqrt(size), up to the row's position) V.

    Args:
        q: queries after rotary embedding, a row's heads ``heads.pitch`` apart.
        k, v: the cache, a block a sequence of ``heads.positions`` rows, heads ``heads.pitch`` apart.
        positions: scalars, the position of every row for every head, in the order sequence group, head, row.

    Returns:
        Rows as those of ``q``, BF16, in no order.
    """
    lanes, interleave = b.lanes, b.params.pcu.interleave
    scores, values = score_tiling(lanes, interleave, heads), value_tiling(lanes, interleave, heads)
    queries = buffer(b, f"{name}.q", q, _query_order(heads, scores, q.pitch))
    keys = buffer(b, f"{name}.k", k, _key_order(heads, scores, k.pitch), blocks=_cache_blocks(heads))
    s = product(
        b, f"{name}.scores", scores, queries, keys, pitch=2 * heads.positions, scale=heads.size**-0.5, wide=True
    )
    p, sums = _softmax(b, name, s, positions)
    order = values.operand(heads.positions)
    weights = buffer(b, f"{name}.p", p, order)
    cache = buffer(b, f"{name}.v", v, _value_order(heads, values, v.pitch), blocks=_cache_blocks(heads))
    sums_of_values = product(b, f"{name}.values", values, weights, cache, pitch=2 * values.width, wide=True)
    return _normalised(b, name, heads, q, sums_of_values, sums)


def _cache_blocks(heads: Heads) -> int:
    return 2 if heads.batch else 1


def _query_order(heads: Heads, t: Tiling, pitch: int) -> Order:
    inner = loops(head=heads.queries, tile=t.tiles, chunk=-(-heads.size // t.lanes))
    strides = {"head": heads.pitch, "chunk": t.lanes, "row": pitch}
    if heads.batch:
        return Order(loops(block=heads.blocks, row=heads.group) + inner, strides, block="block")
    return Order(loops(block=heads.blocks) + inner + loops(row=heads.group), strides, block="block")


def _key_order(heads: Heads, t: Tiling, pitch: int) -> Order:
    """Columns: ``lanes`` positions of one element of a key head."""
    order = loops(sequence=heads.sequences, key=heads.keys, shared=heads.shared, tile=t.tiles, k=t.k, slot=t.slots)
    strides = {"key": heads.pitch, "tile": t.slots * t.lanes * pitch, "k": 1, "slot": t.lanes * pitch}
    return Order(order, strides, block="sequence" if heads.batch else None, columns=True)


def _value_order(heads: Heads, t: Tiling, pitch: int) -> Order:
    order = loops(sequence=heads.sequences, key=heads.keys, shared=heads.shared, tile=t.tiles, k=t.k, slot=t.slots)
    strides = {"key": heads.pitch, "tile": t.slots * t.lanes, "k": pitch, "slot": t.lanes}
    return Order(order, strides, block="sequence" if heads.batch else None)


def _softmax(b: Builder, name: str, scores: Rows, positions: Port) -> tuple[Rows, Port]:
    """exp(s - maximum) in BF16, row by row, and 1 / sum of each row; positions beyond the row's own count as none."""
    beats = row_order(scores, b.lanes)
    width = scores.width // 2
    order = loops(block=scores.blocks, row=scores.group, chunk=width // b.lanes)
    reordered = buffer(b, f"{name}.rows", scores, beats)
    mask = b.add(f"{name}.mask", _mask(order, b.lanes))
    b.vector(reordered, Port(mask), weight=2 * order.count)
    b.scalar(positions, Port(mask))
    masked = Rows((Port(mask),), scores.blocks, scores.group, scores.width, scores.pitch)
    maximum = b.add(f"{name}.maximum", _reduce(order, ReduceOp.MAX, None, wide=True))
    b.vector(Port(mask), Port(maximum), weight=2 * order.count)
    delayed = buffer(b, f"{name}.delay", masked, beats, in_order=True)
    exponentials = b.add(f"{name}.exp", _exponentials(order, width, b.lanes))
    b.vector(delayed, Port(exponentials), weight=2 * order.count)
    b.scalar(Port(maximum), Port(exponentials))
    total = b.add(f"{name}.sum", _reduce(order, ReduceOp.SUM, Function.RECIPROCAL))
    b.vector(Port(exponentials), Port(total), weight=order.count)
    return Rows((Port(exponentials),), scores.blocks, scores.group, width, width), Port(total)


def _mask(order: Loops, lanes: int) -> PCUProgram:
    """-infinity where the position of a lane is beyond that of its row; FP32."""
    names = list(order.limits)
    chunk = SharedSource(SharedSource.COUNTER_0.value + names.index("chunk"))
    return PCUProgram(
        counters=order.pcu(chunk=lanes),
        body=Simd(),
        vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
        scalar_in=(order.each("row"), None, None, None),
        shared=(chunk, SharedSource.SCALAR_0, SharedSource.ZERO, SharedSource.ZERO),
        tail=Tail(mask=Mask(plus=1, minus=0, after=MINUS_INFINITY)),
        vector_out=(order.every, None),
    )


def _reduce(order: Loops, operation: ReduceOp, function: Function | None, wide: bool = False) -> PCUProgram:
    """Each row, FP32 if ``wide``, to a scalar, and a function of that."""
    return PCUProgram(
        counters=order.pcu(),
        body=Simd(reduce=Reduce(operation, over_time=True)),
        group=Group(begin=order.each("row")),
        vector_in=(VectorIn(pop=order.every, wide=wide), None, None, None),
        tail=Tail(special=function),
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=order.every), None),
    )


def _exponentials(order: Loops, pitch: int, lanes: int) -> PCUProgram:
    names = list(order.limits)
    return PCUProgram(
        counters=order.pcu(row=pitch, chunk=lanes),
        body=Simd(stages=(Stage(Operation.SUBTRACT, Source.REGISTER_0, Source.SHARED_0),)),
        vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
        scalar_in=(order.each("row"), None, None, None),
        shared=FIRST,
        tail=Tail(special=Function.EXP, conversion=Conversion.BF16),
        sequence=SequenceId(counters=(names.index("row"), names.index("chunk"))),
        vector_out=(order.every, None),
    )


def _normalised(b: Builder, name: str, heads: Heads, q: Rows, sums: Rows, reciprocals: Port) -> Rows:
    """FP32 rows times a scalar each, to BF16, placed as the heads of ``q``'s rows."""
    ordered = buffer(b, f"{name}.heads", sums, row_order(sums, b.lanes))
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
            counters=order.pcu(head=heads.pitch, row=q.pitch, chunk=b.lanes),
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
    return Rows((Port(unit),), q.blocks, q.group, heads.queries * heads.pitch, q.pitch)
