"""Attention in three kernels: scores, softmax, values. Scores and weights pass through memory in the order of work."""

from dataclasses import replace
from math import prod

from coe_mapping.assembler.pcu import PCUProgram, Simd, Stage, Tail, VectorIn
from coe_mapping.kernels.attention import (
    Heads,
    exponential,
    key_order,
    mask,
    query_order,
    reduction,
    score_tiling,
    value_order,
    value_tiling,
)
from coe_mapping.kernels.buffer import buffer
from coe_mapping.kernels.builder import Rows
from coe_mapping.kernels.dense import product
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.memory import ELEMENT_BYTES
from coe_mapping.kernels.norm import row_order
from coe_mapping.kernels.unfused.draft import Draft, Shares, UnfusedKernel, Ways, shares
from coe_mapping.kernels.unfused.layout import WIDE_BYTES, UnfusedLayout
from coe_mapping.program import Port
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.pcu.config import Conversion, Operation, Source


def scores(layout: UnfusedLayout, ways: Ways) -> UnfusedKernel:
    """q K^T, scaled and masked, FP32; blocks of rows and positions shared out.

    A block's queries go to all shares of positions; of one sequence, a share of its keys goes to all blocks.
    """
    d = Draft(layout, "scores")
    interleave = layout.params.pcu.interleave
    by_block, by_chunk = shares(layout.heads.blocks, ways[0]), shares(layout.positions // d.lanes, ways[1])
    heads = replace(layout.heads, blocks=by_block.size, positions=by_chunk.size * d.lanes)
    t = score_tiling(d.lanes, interleave, heads)
    width = heads.queries * heads.pitch
    keys: dict[tuple[int, int], Port] = {}
    for r, block in enumerate(by_block.starts):
        part = (block * heads.group, by_block.size * heads.group), (0, width)
        rows = Rows(
            (d.rectangle("rotated_queries", layout.query.width, *part),), by_block.size, heads.group, width, width
        )
        queries = buffer(d.b, f"q{r}", rows, query_order(heads, t, row=width, head=heads.pitch), in_order=True)
        positions = _row_positions(d, heads, block)
        for c, chunk in enumerate(by_chunk.starts):
            source = r if heads.batch else 0
            if (source, c) not in keys:
                cache = _cache(d, "keys", heads, block, chunk * d.lanes, (0, heads.keys))
                columns = key_order(heads, t, cache.pitch, own=heads.batch)
                keys[source, c] = buffer(
                    d.b, f"k{source}.{c}", cache, columns, blocks=_cache_blocks(heads), in_order=True
                )
            made = product(
                d.b,
                f"scores{r}.{c}",
                t,
                queries,
                keys[source, c],
                pitch=2 * heads.positions,
                scale=heads.size**-0.5,
                wide=True,
            )
            masked = _masked(d, f"{r}.{c}", made, positions, chunk * d.lanes)
            order = loops(row=made.blocks * made.group, beat=2 * by_chunk.size)
            offset = block * heads.group * heads.queries * layout.positions + chunk * d.lanes
            steps = {"row": layout.positions * WIDE_BYTES, "beat": d.beat}
            d.store(masked, "scores", order, steps, offset=offset * WIDE_BYTES)
    return d.kernel(len(by_block.starts), len(by_chunk.starts))


def _row_positions(d: Draft, heads: Heads, block: int) -> Port:
    """The position of every row for every head, in the order of the scores."""
    head, row = loops(head=heads.queries), loops(row=heads.group)
    order = loops(block=heads.blocks) + (row + head if heads.batch else head + row)
    return d.positions(order, {"block": heads.group, "row": 1}, block * heads.group)


def _cache_blocks(heads: Heads) -> int:
    """Of a batch, one sequence's cache is read while the next one's comes in."""
    return 2 if heads.batch else 1


def _cache(d: Draft, region: str, heads: Heads, block: int, position: int, keys: tuple[int, int]) -> Rows:
    """``heads.positions`` of the cache from ``position`` on, of key heads (first, number)."""
    layout, width = d.layout, keys[1] * heads.pitch
    row = layout.cache_pitch * ELEMENT_BYTES
    sequence = layout.cache_rows * row
    count = heads.sequences if heads.batch else 1
    order = loops(sequence=count, position=heads.positions, chunk=width // d.lanes)
    strides = {"sequence": sequence, "position": row, "chunk": d.beat}
    first = block * heads.group * sequence if heads.batch else 0
    offset = first + position * row + keys[0] * heads.pitch * ELEMENT_BYTES
    return Rows((d.load(region, order, strides, offset=offset),), count, heads.positions, width, width)


def _masked(d: Draft, name: str, made: Rows, positions: Port, first: int) -> Port:
    """-infinity beyond the position of a row, where the scores begin at position ``first``."""
    order = row_order(made, d.lanes)
    rows = made.sources[0] if made.group == 1 else buffer(d.b, f"rows{name}", made, order)
    count = loops(block=made.blocks, row=made.group, chunk=made.width // 2 // d.lanes)
    unit = d.b.add(f"mask{name}", mask(count, d.lanes, first))
    d.b.vector(rows, Port(unit), weight=2 * count.count)
    d.b.scalar(positions, Port(unit))
    return Port(unit)


def softmax(layout: UnfusedLayout, ways: Ways) -> UnfusedKernel:
    """exp(s - maximum) in BF16 and 1 / sum in FP32; rows of scores shared out."""
    d = Draft(layout, "weights")
    cut, width = shares(layout.score_vectors, prod(ways)), layout.positions
    count = loops(block=cut.size, row=1, chunk=width // d.lanes)
    for i, start in enumerate(cut.starts):
        beats = loops(row=cut.size, beat=2 * width // d.lanes)
        steps = {"row": width * WIDE_BYTES, "beat": d.beat}
        port = d.load("scores", beats, steps, offset=start * width * WIDE_BYTES)
        rows = Rows((port,), cut.size, 1, 2 * width, 2 * width)
        maximum = d.b.add(f"maximum{i}", reduction(count, ReduceOp.MAX, None, wide=True))
        d.b.vector(port, Port(maximum), weight=beats.count)
        delayed = buffer(d.b, f"delay{i}", rows, row_order(rows, d.lanes), in_order=True)
        exponentials = d.b.add(f"exp{i}", exponential(count, width, d.lanes))
        d.b.vector(delayed, Port(exponentials), weight=beats.count)
        d.b.scalar(Port(maximum), Port(exponentials))
        total = d.b.add(f"sum{i}", _as_vector(reduction(count, ReduceOp.SUM, Function.RECIPROCAL), count))
        d.b.vector(Port(exponentials), Port(total), weight=count.count)
        steps = {"block": width * ELEMENT_BYTES, "chunk": d.beat}
        d.store(Port(exponentials), "weights", count, steps, offset=start * width * ELEMENT_BYTES)
        d.store(
            Port(total),
            "reciprocal",
            loops(row=cut.size, beat=2),
            {"row": 2 * d.beat, "beat": d.beat},
            offset=start * 2 * d.beat,
        )
    return d.kernel(len(cut.starts))


def _as_vector(program: PCUProgram, order: Loops) -> PCUProgram:
    """A reduction that sends its result in every lane of a vector, not as a scalar."""
    return replace(program, scalar_out=(None, None), vector_out=(order.every, None))


def values(layout: UnfusedLayout, ways: Ways) -> UnfusedKernel:
    """weights times V, times the reciprocals; blocks of rows and heads shared out.

    Shares of heads are whole key heads, or, if there are more shares than those, parts of the query heads that share
    one. Of one sequence, the values of a key head go to all blocks.
    """
    d = Draft(layout, "mixed")
    by_block = shares(layout.heads.blocks, ways[0])
    by_head, count = _head_shares(layout.heads, ways[1])
    keys = max(1, by_head.size // layout.heads.shared)
    heads = replace(layout.heads, blocks=by_block.size, queries=by_head.size, keys=keys)
    caches: dict[tuple[int, int], Port] = {}
    for r, block in enumerate(by_block.starts):
        for h, head in enumerate(by_head.starts):
            key = head // layout.heads.shared
            source = (r if heads.batch else 0, key)
            if source not in caches:
                caches[source] = _value_cache(d, f"v{source[0]}.{key}", heads, block, key)
            _mixed(d, f"{r}.{h}", heads, block, head, caches[source])
    return d.kernel(len(by_block.starts), count)


def _head_shares(heads: Heads, ways: int) -> tuple[Shares, int]:
    """Query heads in shares, and how many shares."""
    if ways <= heads.keys:
        keys = shares(heads.keys, ways)
        cut = Shares(keys.size * heads.shared, tuple(start * heads.shared for start in keys.starts))
    else:
        inner = shares(heads.shared, ways // heads.keys)
        starts = (key * heads.shared + start for key in range(heads.keys) for start in inner.starts)
        cut = Shares(inner.size, tuple(starts))
    return cut, len(cut.starts)


def _value_cache(d: Draft, name: str, heads: Heads, block: int, key: int) -> Port:
    cache = _cache(d, "values", heads, block, 0, (key, heads.keys))
    t = value_tiling(d.lanes, d.layout.params.pcu.interleave, heads)
    return buffer(
        d.b,
        name,
        cache,
        value_order(heads, t, cache.pitch, own=heads.batch),
        blocks=_cache_blocks(heads),
        in_order=True,
    )


def _mixed(d: Draft, name: str, heads: Heads, block: int, head: int, cache: Port) -> None:
    """One share: ``heads.queries`` query heads from ``head`` on, of ``heads.blocks`` blocks from ``block`` on."""
    t = value_tiling(d.lanes, d.layout.params.pcu.interleave, heads)
    p = _score_rows(d, heads, block, head)
    weights = buffer(d.b, f"p{name}", p, t.operand(heads.positions), in_order=True)
    sums = product(d.b, f"values{name}", t, weights, cache, pitch=2 * t.width, wide=True)
    ordered = sums.sources[0] if heads.rows == 1 else buffer(d.b, f"rows{name}", sums, row_order(sums, d.lanes))
    order = loops(sequence=heads.sequences, head=heads.queries, row=heads.rows, chunk=heads.pitch // d.lanes)
    unit = d.b.add(f"normalise{name}", _scaled(order))
    d.b.vector(ordered, Port(unit), weight=2 * order.count)
    d.b.vector(_reciprocals(d, heads, block, head), Port(unit, 1), weight=2 * order.count)
    pitch = d.layout.query.width * ELEMENT_BYTES
    strides = {
        "sequence": heads.rows * pitch,
        "head": heads.pitch * ELEMENT_BYTES,
        "row": pitch,
        "chunk": d.beat,
    }
    offset = block * heads.group * pitch + head * strides["head"]
    d.store(Port(unit), "mixed", order, strides, offset=offset)


def _score_rows(d: Draft, heads: Heads, block: int, head: int) -> Rows:
    """Softmax weights of a share: a block is one head of one sequence's rows."""
    row = heads.positions * ELEMENT_BYTES
    every = d.layout.heads.queries
    order = loops(sequence=heads.sequences, head=heads.queries, vector=heads.rows * heads.positions // d.lanes)
    strides = {"sequence": every * heads.rows * row, "head": heads.rows * row, "vector": d.beat}
    offset = (block * heads.group * every + head * heads.rows) * row
    port = d.load("weights", order, strides, offset=offset)
    return Rows((port,), heads.sequences * heads.queries, heads.rows, heads.positions, heads.positions)


def _reciprocals(d: Draft, heads: Heads, block: int, head: int) -> Port:
    """Of the rows of :func:`_score_rows`, a vector each."""
    row = 2 * d.beat
    every = d.layout.heads.queries
    order = loops(sequence=heads.sequences, head=heads.queries, beat=2 * heads.rows)
    strides = {"sequence": every * heads.rows * row, "head": heads.rows * row, "beat": d.beat}
    return d.load("reciprocal", order, strides, offset=(block * heads.group * every + head * heads.rows) * row)


def _scaled(order: Loops) -> PCUProgram:
    """FP32 vectors times one FP32 vector a row, to BF16."""
    return PCUProgram(
        counters=order.pcu(),
        body=Simd(stages=(Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1),)),
        vector_in=(VectorIn(pop=order.every, wide=True), VectorIn(pop=order.each("row"), wide=True), None, None),
        tail=Tail(conversion=Conversion.BF16),
        vector_out=(order.every, None),
    )
