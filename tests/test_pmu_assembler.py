"""PMU programs: every rule refuses with its own sentence, words round-trip, division by a constant is exact."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_mapping.assembler.pmu import (
    Bit,
    Counter,
    Event,
    Pipeline,
    PMUProgram,
    Region,
    Register,
    ScalarOut,
    Stage,
    assemble,
    disassemble,
    immediate,
    modulo,
)
from golden_model.pmu import VectorBeats, run
from hdl.errors import ParameterError
from hdl.params import PMUParams
from hdl.pmu.config import AddressOp, Mode, Side
from verif.strategies.pmu import CHOICES, Choices, case_of

PARAMS = PMUParams(lanes=4, rows=32, groups=4, alu_stages=4, fifo_depth=4)
PLAIN = Pipeline(Region(0, 8), (Counter(8, 4),), (Register(counters=(0,)),))
NONE = VectorBeats(np.zeros((0, 4), np.uint16), np.zeros(0, np.int64))


def write(**changes: Any) -> PMUProgram:
    return PMUProgram(write=replace(PLAIN, **changes))


def read(**changes: Any) -> PMUProgram:
    return PMUProgram(read=replace(PLAIN, **changes))


RULES = [
    (write(counters=(Counter(),) * 7), "write pipeline: 7 counters, the chain has 6"),
    (write(counters=(Counter(0),)), "counter 0: limit 0 is not in 1..16777215"),
    (write(counters=(Counter(1, -1),)), "counter 0: stride -1 is not in"),
    (write(counters=(Counter(0, scalar=4),)), "counter 0: there is no scalar input 4, only 4"),
    (write(rounds=4096), r"write pipeline: 4096 rounds is not in 1..4095"),
    (PMUProgram(replace(PLAIN, rounds=2), PLAIN), "its pipelines run different numbers of rounds"),
    (PMUProgram(*[replace(PLAIN, rounds=2)] * 2), "2 rounds need buffers between the pipelines"),
    (write(registers=(Register(),) * 5), "5 registers, there are 4"),
    (write(registers=(Register(1 << 32),)), "register 0: constant 4294967296 does not fit 32 bits"),
    (write(registers=(Register(counters=(1,)),)), r"register 0: counters \(1,\) must be ascending and among the 1"),
    (write(registers=(Register(scalar=0, sequence=True),)), "either a scalar or the sequence id can be added"),
    (write(registers=(Register(scalar=0),)), "register 0 adds scalar input 0, which scalar_in does not give to the wr"),
    (write(address=4), "address names register 4, there are 4"),
    (write(limit=-1), "limit names register -1"),
    (write(keep_bit=Bit(0, 32)), "there is no bit 32 in 32"),
    (write(keep_range=(4, 4)), r"range \[4, 4\) must be ascending"),
    (write(mode=Mode.COLUMN), "pitch 0 is not in 1..32: COLUMN needs a tile whose rows are a whole number"),
    (write(permute=(0, 1, 2)), "must name one of 4 elements for each of 4 lanes"),
    (write(permute=(0, 1, 2, 4)), "must name one of 4 elements for each of 4 lanes"),
    (write(mode=Mode.LOOKUP), "LOOKUP is an access of the read side only"),
    (write(sequence=0), "sequence names the id of results: read side only"),
    (read(registers=(Register(sequence=True),)), "the sequence id comes with write data: write side only"),
    (read(mode=Mode.LOOKUP, tile_row=1), "a LOOKUP table is not striped"),
    (write(stages=(Stage(),) * 5), "5 ALU stages to write and 0 to read are more than the 4"),
    (write(stages=(Stage(a=4),)), "ALU stage 0: registers 0, 4, 0, 0 must be among 4"),
    (write(stages=(Stage(shift=32),)), "ALU stage 0: constant 0, shift 32 or width 0 does not fit"),
    (PMUProgram(buffers=0), "0 buffers is not in 1..255"),
    (write(buffer=0), "both must use it, or neither"),
    (
        PMUProgram(replace(PLAIN, buffer=0), replace(PLAIN, buffer=0, region=Region(0, 4))),
        "the pipelines share buffers, so their regions .* must be equal",
    ),
    (
        PMUProgram(replace(PLAIN, buffer=0), replace(PLAIN, buffer=0), buffers=5),
        "a region of 5 times 8 rows from row 0 on does not lie within 32 rows",
    ),
    (read(region=Region(30, 3)), "a region of 1 times 3 rows from row 30 on"),
    (PMUProgram(replace(PLAIN, buffer=2), replace(PLAIN, buffer=0)), "buffer: boundary 2 is not in 0..1"),
    (PMUProgram(bank_shift=4), "bank shift 4 is not in 0..3"),
    (replace(write(), token_in=(None,) * 5), "5 entries in token_in, there are 4"),
    (replace(write(), token_out=(Event(Side.READ, 0),)), r"token_out\[0\] belongs to side READ"),
    (replace(write(), token_in=(Event(Side.WRITE, 2),)), r"token_in\[0\]: boundary 2 is not in 0..1"),
    (replace(write(), scalar_out=(ScalarOut(Side.WRITE, 0, 4),)), r"scalar_out\[0\]: there is no register 4"),
    (
        write(counters=(Counter(0, scalar=1), Counter(0, scalar=1))),
        "scalar input 1 gives the limit of write counter 0 and the limit of write counter 1; it can have one user",
    ),
    (
        replace(write(counters=(Counter(0, scalar=0),)), scalar_in=(Event(Side.WRITE, 0),)),
        "scalar input 0 gives the limit of write counter 0, so it cannot be an operand",
    ),
]


@pytest.mark.parametrize(("program", "says"), RULES, ids=[says for _, says in RULES])
def test_a_program_that_breaks_a_rule_is_refused_by_its_sentence(program: PMUProgram, says: str) -> None:
    assemble(PARAMS, write())
    with pytest.raises(ParameterError, match=says):
        assemble(PARAMS, program)


@settings(max_examples=40, deadline=None, database=None)
@given(st.binary(min_size=CHOICES, max_size=CHOICES))
def test_words_disassemble_to_a_program_that_assembles_to_the_same_words(source: bytes) -> None:
    program = case_of(PARAMS, Choices(source)).program
    words = assemble(PARAMS, program)
    again = disassemble(PARAMS, words)
    assert assemble(PARAMS, again) == words
    if program.read and program.write:
        assert again.write is not None
        assert again.write.stages == program.write.stages
        assert again.write.counters == program.write.counters


def computed(stages: tuple[Stage, ...], values: list[int], register: int = 0) -> list[int]:
    """What a read pipeline that starts with each of ``values`` in register 0 leaves in ``register``."""
    pipeline = Pipeline(Region(0, 1), (Counter(len(values)),), (Register(scalar=0),), stages)
    out = (ScalarOut(Side.READ, 1, register),)
    program = PMUProgram(read=pipeline, scalar_in=(Event(Side.READ, 1),), scalar_out=out)
    return [int(x) for x in run(PARAMS, assemble(PARAMS, program), [NONE, NONE], (values, (), (), ())).scalars[0]]


@settings(max_examples=60, deadline=None, database=None)
@given(
    st.integers(1, 0xFFFF_FFFF) | st.integers(1, 300) | st.integers(0, 31).map(lambda k: 1 << k),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(-1, 1),
)
def test_division_and_modulo_by_any_constant_are_exact(divisor: int, value: int, off: int) -> None:
    """Near multiples of the divisor too, where a reciprocal that errs shows first."""
    near = min(max(value // divisor * divisor + off, 0), 0xFFFF_FFFF)
    values = [value, near, 0, divisor - 1, divisor, 0xFFFF_FFFF]
    division, remainder = modulo(2, 0, divisor, 1)
    assert computed((division,), values, 1) == [x // divisor for x in values]
    assert computed((division, remainder), values, 2) == [x % divisor for x in values]


@pytest.mark.parametrize(
    ("stage", "value", "result"),
    [
        (immediate(AddressOp.ADD, 0, 0, -1), 0, 0xFFFF_FFFF),
        (immediate(AddressOp.SUBTRACT, 0, 0, 5), 3, 0xFFFF_FFFE),
        (Stage(AddressOp.MULTIPLY, constant=0x1_0001), 0x1_0001, 0x0002_0001),
        (immediate(AddressOp.SHIFT_LEFT, 0, 0, 33), 0x8000_0001, 2),
        (immediate(AddressOp.SHIFT_RIGHT, 0, 0, 31), 0x8000_0000, 1),
        (Stage(AddressOp.EXTRACT, shift=4, width=8), 0xABCD, 0xBC),
        (Stage(AddressOp.EXTRACT, shift=31, width=32), 0x8000_0000, 1),
        (Stage(AddressOp.SHIFT_SET, shift=4, b_constant=True, constant=0xFF), 0x123, 0x123F),
        (immediate(AddressOp.LESS, 0, 0, 0), 0xFFFF_FFFF, 1),
        (immediate(AddressOp.EQUAL, 0, 0, 7), 7, 1),
        (immediate(AddressOp.MIN, 0, 0, 4), 0xFFFF_FFFF, 0xFFFF_FFFF),
        (immediate(AddressOp.MAX, 0, 0, 4), 0xFFFF_FFFF, 4),
        (Stage(AddressOp.SELECT, c=0, b_constant=True, constant=9), 3, 3),
        (Stage(AddressOp.SELECT, c=0, b_constant=True, constant=9), 2, 9),
    ],
)
def test_each_address_operation_has_its_named_value(stage: Stage, value: int, result: int) -> None:
    assert computed((stage,), [value]) == [result]


def test_a_program_that_can_never_end_is_reported_by_the_golden_model() -> None:
    side = replace(PLAIN, buffer=0)
    more = replace(side, counters=(Counter(4), Counter(8, 4)), registers=(Register(counters=(1,)),), buffer=1)
    beats = VectorBeats(np.zeros((32, 4), np.uint16), np.zeros(32, np.int64))
    words = assemble(PARAMS, PMUProgram(more, side, buffers=2))
    with pytest.raises(ParameterError, match="4 buffers are written and 1 read with 2 to hold them"):
        run(PARAMS, words, [beats, NONE])


def test_too_little_data_is_reported_by_the_golden_model() -> None:
    with pytest.raises(ParameterError, match="the program writes 8 beats, 0 given"):
        run(PARAMS, assemble(PARAMS, write()), [NONE, NONE])
