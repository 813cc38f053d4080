"""Operators on rows: norm, rotary embedding, cache append, the product of gate and up; and matrix products."""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.kernels.buffer import Order, buffer
from coe_mapping.kernels.builder import Rows
from coe_mapping.kernels.dense import Tiling, product
from coe_mapping.kernels.elementwise import multiply, rotary
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Gather
from coe_mapping.kernels.norm import rms_norm, row_order
from coe_mapping.kernels.unfused.draft import Draft, UnfusedKernel, Ways, shares
from coe_mapping.kernels.unfused.layout import UnfusedLayout
from coe_mapping.program import Port
from hdl.arith.special_tables import Function
from hdl.params import require
from hdl.streams import SEQUENCE_BITS

SEQUENCE_LIMIT = 1 << SEQUENCE_BITS


def norm(layout: UnfusedLayout, name: str, source: str, weight: str, ways: Ways) -> UnfusedKernel:
    """RMSNorm, rows shared out; the weights go to all shares at once."""
    d = Draft(layout, name)
    cut = shares(layout.padded_rows, prod(ways))
    pitch, width = layout.output.width, layout.hidden_columns
    order = loops(row=cut.size, chunk=width // d.lanes)
    weights = d.load(weight, order, {"chunk": d.beat})
    for i, start in enumerate(cut.starts):
        part = (start, cut.size), (0, width)
        rows = Rows((d.rectangle(source, pitch, *part),), cut.size, 1, width, width)
        shape = layout.shape
        normed = rms_norm(d.b, f"norm{i}", rows, weights, size=shape.hidden, epsilon=shape.epsilon)
        d.store_rectangle(normed.sources[0], name, pitch, *part)
    return d.kernel(len(cut.starts))


def rotate(layout: UnfusedLayout, name: str, source: str, heads: int, ways: Ways) -> UnfusedKernel:
    """Rotary embedding, rows and heads shared out; a row's cosines and sines are read once for all its heads."""
    d = Draft(layout, name)
    by_row, by_head = shares(layout.padded_rows, ways[0]), shares(heads, ways[1])
    size, pitch = layout.head_pitch, layout.regions[source].bytes // layout.padded_rows // ELEMENT_BYTES
    order = Order(
        loops(row=by_row.size, head=by_head.size, chunk=size // d.lanes),
        {"head": size, "chunk": d.lanes},
        block="row",
    )
    width = by_head.size * size
    for r, row in enumerate(by_row.starts):
        positions = d.positions(loops(row=by_row.size), {"row": 1}, row)
        tables = [_table(d, f"{table}{r}", table, positions, order) for table in ("cosines", "sines")]
        for h, head in enumerate(by_head.starts):
            part = (row, by_row.size), (head * size, width)
            rows = Rows((d.rectangle(source, pitch, *part),), by_row.size, 1, width, width)
            turned = rotary(d.b, f"rotary{r}.{h}", rows.sources[0], rows, order, *tables)
            d.store_rectangle(turned.sources[0], name, pitch, *part)
    return d.kernel(len(by_row.starts), len(by_head.starts))


def _table(d: Draft, name: str, table: str, positions: Port, order: Order) -> Port:
    """The table's row of each position, once for every head."""
    limits, pitch = order.loops.limits, d.layout.head_pitch
    rows, chunks = limits["row"], limits["chunk"]
    gather = Gather(positions, "row", pitch * ELEMENT_BYTES)
    port = d.load(table, loops(row=rows, chunk=chunks), {"chunk": d.beat}, gather=gather)
    if limits["head"] == 1:
        return port
    again = Order(order.loops, {"chunk": d.lanes}, block="row")
    return buffer(d.b, name, Rows((port,), rows, 1, pitch, pitch), again, in_order=True)


def append(layout: UnfusedLayout, name: str, source: str, ways: Ways) -> UnfusedKernel:
    """Rows into a cache at their positions; rows and columns shared out. AGCUs alone do it."""
    d = Draft(layout, name)
    pitch = layout.cache_pitch
    by_row, by_chunk = shares(layout.padded_rows, ways[0]), shares(pitch // d.lanes, ways[1])
    order = loops(row=by_row.size, chunk=by_chunk.size)
    row_bytes = pitch * ELEMENT_BYTES
    sequence = layout.cache_rows * row_bytes if layout.shape.batch else 0
    for row in by_row.starts:
        positions = d.positions(loops(row=by_row.size), {"row": 1}, row)
        for chunk in by_chunk.starts:
            columns = chunk * d.lanes, by_chunk.size * d.lanes
            port = d.rectangle(source, layout.key.width, (row, by_row.size), columns)
            d.store(
                port,
                name,
                order,
                {"row": sequence, "chunk": d.beat},
                offset=row * sequence + chunk * d.beat,
                gather=Gather(positions, "row", row_bytes),
            )
    return d.kernel(len(by_row.starts), len(by_chunk.starts))


def gated_product(layout: UnfusedLayout, name: str, ways: Ways) -> UnfusedKernel:
    """gated * raised, vectors shared out."""
    d = Draft(layout, name)
    cut = shares(layout.padded_rows * layout.inner.width // d.lanes, prod(ways))
    order = Order(loops(vector=cut.size), {}, block=None)
    steps = {"vector": d.beat}
    for i, start in enumerate(cut.starts):
        gate, up = (
            Rows((d.load(region, order.loops, steps, offset=start * d.beat),), 1, 1, cut.size * d.lanes, 0)
            for region in ("gated", "raised")
        )
        made = multiply(d.b, f"multiply{i}", gate, up, order)
        d.store(made.sources, name, order.loops, steps, offset=start * d.beat)
    return d.kernel(len(cut.starts))


def linear(
    layout: UnfusedLayout,
    name: str,
    weight: str,
    source: str,
    ways: Ways,
    *,
    initial: str | None = None,
    function: Function | None = None,
    gathered: bool = True,
) -> UnfusedKernel:
    """A matrix product, blocks of rows and tiles of columns shared out; weights go to all shares of rows at once.

    Args:
        gathered: the tiles of a row meet in a buffer, and rows are written whole; else every unit writes its own.
        initial: the residual that the sums start from.
    """
    d = Draft(layout, name)
    t = layout.weights[weight]
    by_block, by_tile = shares(t.blocks, ways[0]), shares(t.tiles, ways[1])
    part = replace(t, blocks=by_block.size, tiles=by_tile.size)
    vectors = t.k * t.slots
    order = loops(block=part.blocks, vector=part.tiles * vectors)
    weights = [d.load(weight, order, {"vector": d.beat}, offset=tile * vectors * d.beat) for tile in by_tile.starts]
    for r, block in enumerate(by_block.starts):
        blocks = block, part.blocks
        operand = _block_rows(d, source, blocks, t.group, (0, -(-t.k // d.lanes) * d.lanes))
        x = buffer(d.b, f"x{r}", operand, part.operand(operand.pitch), in_order=True)
        made: list[Port] = []
        for c, tile in enumerate(by_tile.starts):
            column = tile * t.slots * d.lanes
            residual = None
            if initial is not None:
                old = _block_rows(d, initial, blocks, t.group, (column, part.width))
                residual = buffer(d.b, f"initial{r}.{c}", old, part.initial(old.pitch), in_order=True)
            y = product(
                d.b,
                f"product{r}.{c}",
                part,
                x,
                weights[c],
                pitch=t.width,
                column=column,
                initial=residual,
                function=function,
            )
            made += y.sources
            if not gathered:
                _store_tiles(d, y.sources[0], part, t, block, column)
        if gathered:
            rows = block * t.group, part.blocks * t.group
            d.store_rectangle(_gathered(d, f"y{r}", made, part, t), name, t.width, rows, (0, t.width))
    return d.kernel(len(by_block.starts), len(by_tile.starts))


def _store_tiles(d: Draft, source: Port, part: Tiling, t: Tiling, block: int, column: int) -> None:
    """Writes what one unit made, ``part`` of ``t`` from ``block`` and ``column`` on, in the order in which it comes."""
    row = t.width * ELEMENT_BYTES
    steps = {"block": t.group * row, "tile": t.slots * d.beat, "slot": d.beat, "row": row}
    d.store(source, d.name, part.results, steps, offset=block * t.group * row + column * ELEMENT_BYTES)


def _gathered(d: Draft, name: str, sources: Sequence[Port], part: Tiling, t: Tiling) -> Port:
    """Row by row what several units made of the same rows, each of its own columns.

    One may be a block ahead of another, so all blocks of the share lie in the buffer together, and the units number
    their vectors from the first block on.
    """
    rows = part.blocks * t.group
    for source in sources:
        program = d.b.units[source.unit]
        assert isinstance(program, PCUProgram)
        block, *inner = program.counters
        counters = replace(block, stride=t.group * t.width), *inner
        sequence = replace(program.sequence, counters=(0, *program.sequence.counters))
        d.b.units[source.unit] = replace(program, counters=counters, sequence=sequence)
    made = Rows(tuple(sources), 1, rows, len(sources) * part.width, t.width)
    require(made.elements <= SEQUENCE_LIMIT, f"{d.name}: {rows} rows of {t.width} elements are more than sequence ids")
    return buffer(d.b, name, made, row_order(replace(made, width=t.width), d.lanes))


def _block_rows(d: Draft, region: str, blocks: tuple[int, int], group: int, columns: tuple[int, int]) -> Rows:
    """Blocks (first, number) of ``group`` rows of columns (first, number) of a BF16 matrix, row by row."""
    pitch = d.layout.regions[region].bytes // d.layout.padded_rows // ELEMENT_BYTES
    part = (blocks[0] * group, blocks[1] * group), columns
    return Rows((d.rectangle(region, pitch, *part),), blocks[1], group, columns[1], columns[1])
