"""A unit that serves two parts of a kernel in turn, the second on what came of the first: streams in a circle."""

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest

from coe_mapping import ideal
from coe_mapping.assembler.agcu import AGCUProgram
from coe_mapping.assembler.pcu import PCUProgram, SequenceId, Simd, Stage, Tail, VectorIn, word
from coe_mapping.bandwidth import predict
from coe_mapping.kernels.buffer import Order, buffer
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import Binding, Pattern, Region, Streams
from coe_mapping.program import Port, Program
from golden_model.fabric import FabricError
from hdl.params import DEMO
from hdl.pcu.config import Conversion, Operation, Source

VECTORS = 5
BYTES = VECTORS * DEMO.beat_bytes


def doubling() -> tuple[Program, tuple[Binding, ...]]:
    """x goes through a unit that doubles, and what it makes of x through the same unit again, to y."""
    b, streams = Builder(DEMO, "circle"), Streams(DEMO, "circle")
    once = loops(vector=VECTORS)
    every = loops(block=2) + once
    unit = PCUProgram(
        counters=every.pcu(vector=DEMO.lanes),
        body=Simd(stages=(Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.CONSTANT, constant=word(2.0)),)),
        vector_in=(VectorIn(pop=every.every), None, None, None),
        tail=Tail(conversion=Conversion.BF16),
        sequence=SequenceId(counters=(1,)),
        vector_out=(every.every, None),
    )
    double = Port(b.add("double", unit))
    width = VECTORS * DEMO.lanes
    made = Rows((double,), 2, 1, width, width)
    order = Order(every, {"vector": DEMO.lanes}, block="block")
    again, last = (buffer(b, f"turn{turn}", made, replace(order, only=turn)) for turn in (0, 1))
    x = streams.load(Pattern(Region("x", BYTES), once, {"vector": DEMO.beat_bytes}))
    y, _ = streams.store(Pattern(Region("y", BYTES), once, {"vector": DEMO.beat_bytes}))
    b.vector((x, again), double)
    b.vector(last, y)
    for name, agcu in streams.programs().items():
        b.add(name, agcu)
    return b.program(), tuple(streams.bindings())


def test_a_unit_works_on_what_came_of_its_own_first_turn() -> None:
    program, bindings = doubling()
    memory = np.zeros(1024, np.uint8)
    x = np.arange(VECTORS * DEMO.lanes).astype(ml_dtypes.bfloat16)
    memory[:BYTES] = x.view(np.uint8)
    ideal.run(DEMO, ideal.bind(program, bindings, {"x": 0, "y": 512}), {0: memory})
    assert memory[512 : 512 + BYTES].view(ml_dtypes.bfloat16).tolist() == (4 * x).tolist()


def test_a_unit_that_waits_for_more_than_its_first_turn_makes_waits_for_ever() -> None:
    """Half of x is missing, which only the unit itself could make of it."""
    program, bindings = doubling()
    agcu = next(unit for unit in program.units.values() if isinstance(unit, AGCUProgram) and unit.loads)
    (load,) = agcu.loads
    assert load is not None
    half = replace(load, access=replace(load.access, counters=(replace(load.access.counters[0], limit=2),)))
    units = {name: replace(unit, loads=(half,)) if unit is agcu else unit for name, unit in program.units.items()}
    with pytest.raises(FabricError, match="wait for each other's streams: PCU double"):
        ideal.run(
            DEMO,
            ideal.bind(replace(program, units=units), bindings, {"x": 0, "y": 512}),
            {0: np.zeros(1024, np.uint8)},
        )


def test_the_second_turn_is_predicted_behind_the_first() -> None:
    """Once round: the unit, the network twice, the buffer."""
    program, _ = doubling()
    unit = program.units["double"]
    assert isinstance(unit, PCUProgram)
    alone = replace(program, streams=tuple(s for s in program.streams if s.source.unit != "turn0"))
    assert predict(DEMO, program).cycles > predict(DEMO, alone).cycles + VECTORS
