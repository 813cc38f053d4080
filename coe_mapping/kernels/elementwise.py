"""Operators that work element by element: the gate of a feed-forward network, rotary embedding."""

from dataclasses import replace

from coe_mapping.assembler.pcu import Exchange, PCUProgram, SequenceId, Simd, Stage, Tail, VectorIn
from coe_mapping.kernels.buffer import Order
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.program import Port
from hdl.pcu.config import Conversion, Operation, Source

BF16_OUT = Tail(conversion=Conversion.BF16)


def multiply(b: Builder, name: str, x: Rows, y: Rows, order: Order) -> Rows:
    """x * y, both in ``order``, rounded to BF16."""
    every = order.loops.every
    unit = b.add(
        name,
        PCUProgram(
            counters=order.loops.pcu(**order.strides),
            body=Simd(stages=(Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1),)),
            vector_in=(VectorIn(pop=every), VectorIn(pop=every), None, None),
            tail=BF16_OUT,
            sequence=_positions(order),
            vector_out=(every, None),
        ),
    )
    b.vector(x.sources, Port(unit, 0), weight=order.loops.count)
    b.vector(y.sources, Port(unit, 1), weight=order.loops.count)
    return Rows((Port(unit),), x.blocks, x.group, x.width, x.pitch)


def rotary(b: Builder, name: str, x: Port, rows: Rows, order: Order, cosines: Port, sines: Port) -> Rows:
    """x * cos + (the neighbour of x in its pair) * sin, the signs in the sines, rounded to BF16.

    A PCU of fewer stages than the three operations leaves the products of the neighbours to one before it, in FP32.

    Args:
        x: vectors in the order of ``order.loops``; the halves of a pair are neighbours. cosines, sines: BF16, in the
            same order.
        rows: of the result, whose vectors are placed by ``order.strides``.
    """
    every, counters = order.loops.every, order.loops.pcu(**order.strides)
    neighbour = Stage(
        Operation.MULTIPLY, Source.EXCHANGED, Source.REGISTER_2, into=2, exchange=Exchange(register=0, distance=1)
    )
    own = (
        Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1),
        Stage(Operation.ADD, Source.REGISTER_0, Source.REGISTER_2),
    )
    apart = b.params.pcu.stages < 3
    if apart:
        before = PCUProgram(
            counters=counters,
            body=Simd(stages=(replace(neighbour, into=0),)),
            vector_in=(VectorIn(pop=every), None, VectorIn(pop=every), None),
            vector_out=(every, None),
        )
        first = b.add(f"{name}.neighbours", before)
        b.vector(x, Port(first), weight=order.loops.count)
        b.vector(sines, Port(first, 2), weight=order.loops.count)
        sines = Port(first)
    unit = b.add(
        name,
        PCUProgram(
            counters=counters,
            body=Simd(stages=own if apart else (neighbour, *own)),
            vector_in=(VectorIn(pop=every), VectorIn(pop=every), VectorIn(pop=every, wide=apart), None),
            tail=BF16_OUT,
            sequence=_positions(order),
            vector_out=(every, None),
        ),
    )
    for index, source in enumerate((x, cosines, sines)):
        b.vector(source, Port(unit, index), weight=order.loops.count)
    return Rows((Port(unit),), rows.blocks, rows.group, rows.width, rows.pitch)


def _positions(order: Order) -> SequenceId:
    """Element addresses in the block: the sum of all loops' strides."""
    return SequenceId(counters=tuple(i for i, name in enumerate(order.loops.limits) if order.strides.get(name)))
