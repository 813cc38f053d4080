"""RMSNorm: one unit sums the squares of a row, a buffer holds the row back, a second unit scales it."""

from coe_mapping.assembler.pcu import (
    Group,
    Number,
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
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.program import Port
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.pcu.config import Conversion, Operation, ScalarSource, SharedSource, Source

ZERO = SharedSource.ZERO
FIRST = (SharedSource.SCALAR_0, ZERO, ZERO, ZERO)
"""Shared values of a unit that takes one scalar."""


def row_order(rows: Rows, lanes: int) -> Order:
    """Block by block, row by row, from left to right."""
    order = loops(block=rows.blocks, row=rows.group, chunk=rows.width // lanes)
    return Order(order, {"row": rows.pitch, "chunk": lanes}, block="block")


def rms_norm(
    b: Builder,
    name: str,
    rows: Rows,
    weight: Port,
    *,
    size: int,
    epsilon: float,
    drained: bool = False,
    again: Port | None = None,
) -> Rows:
    """x / sqrt(mean(x^2) + epsilon) * weight in FP32, rounded to BF16 once.

    Args:
        rows: one source, row by row; others may follow it with further blocks. weight: the row of weights, again for
            every row.
        size: elements of a row that count; those beyond are zero.
        drained: rows come as a product leaves them: from left to right, of every row a vector in turn. They must not
            be more than a PCU has accumulators.
        again: gives the rows once more, row by row and no earlier than they are taken; default: a buffer does.
    """
    order = row_order(rows, b.lanes)
    (source,) = rows.sources
    arriving = loops(block=rows.blocks, chunk=rows.width // b.lanes, row=rows.group) if drained else order.loops
    group = Group(arriving.each("block"), slotted=True) if drained else Group(arriving.each("row"))
    square = b.add(f"{name}.square", _inverse_rms(arriving, group, size, epsilon))
    b.vector(source, Port(square), weight=order.loops.count)
    delayed = buffer(b, f"{name}.delay", rows, order) if again is None else again
    scale = b.add(f"{name}.scale", _scale(order.loops, rows.pitch, b.lanes))
    b.vector(delayed, Port(scale, 0), weight=order.loops.count)
    b.vector(weight, Port(scale, 1), weight=order.loops.count)
    b.scalar(Port(square), Port(scale))
    return Rows((Port(scale),), rows.blocks, rows.group, rows.width, rows.pitch)


def _inverse_rms(order: Loops, group: Group, size: int, epsilon: float) -> PCUProgram:
    return PCUProgram(
        counters=order.pcu(),
        body=Simd(
            stages=(Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_0, into=1),),
            reduce=Reduce(ReduceOp.SUM, register=1, over_time=True),
        ),
        group=group,
        vector_in=(VectorIn(pop=order.every), None, None, None),
        tail=Tail(scale=Number(word(1 / size)), offset=Number(word(epsilon)), special=Function.RSQRT),
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=order.every), None),
    )


def _scale(order: Loops, pitch: int, lanes: int) -> PCUProgram:
    return PCUProgram(
        counters=order.pcu(row=pitch, chunk=lanes),
        body=Simd(
            stages=(
                Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.SHARED_0),
                Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1),
            )
        ),
        vector_in=(VectorIn(pop=order.every), VectorIn(pop=order.every), None, None),
        scalar_in=(order.each("row"), None, None, None),
        shared=FIRST,
        tail=Tail(conversion=Conversion.BF16),
        sequence=SequenceId(counters=(1, 2)),
        vector_out=(order.every, None),
    )
