"""PCU programs: words and back, and every rule refused with its own sentence."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_mapping.assembler.pcu import (
    Counter,
    Exchange,
    Group,
    Mask,
    Number,
    PCUProgram,
    Reduce,
    ScalarOut,
    SequenceId,
    Side,
    Simd,
    Stage,
    Systolic,
    Tail,
    VectorIn,
    assemble,
    disassemble,
)
from hdl.arith.operations import ReduceOp
from hdl.errors import ParameterError
from hdl.params import PRESETS, PCUParams
from hdl.pcu.config import Conversion, Operation, ScalarSource, SharedSource
from verif.pcu_kernels import activation, gemm
from verif.strategies.pcu import programs

PARAMS = PCUParams(lanes=4, stages=2)
GEMM = gemm(2, 8, 4, 2)
SIMD = PCUProgram(counters=(Counter(3),), body=Simd())


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_words_hold_a_whole_program(data: Any) -> None:
    program = data.draw(programs(PARAMS))
    words = assemble(PARAMS, program)
    back = disassemble(PARAMS, words)
    assert assemble(PARAMS, back) == words
    # what the words do not tell apart: trailing stages that pass, and a group of nothing
    known = {"body": program.body, "group": program.group, "counters": program.counters}
    assert replace(back, **known) == program
    assert [c.popped for c in back.counters] == [c.popped for c in program.counters]
    if isinstance(program.body, Systolic):
        assert back.body == program.body
    else:
        idle = (Stage(),) * (PARAMS.stages - len(program.body.stages))
        assert back.body == replace(program.body, stages=program.body.stages + idle)


def scalars(**ports: int) -> tuple[int | None, ...]:
    return tuple(ports.get(f"port_{j}") for j in range(4))


ILLEGAL: dict[str, Callable[[], PCUProgram]] = {
    "7 counters, there are 6": lambda: replace(SIMD, counters=(Counter(),) * 7),
    r"counter 0: a limit of 0 is not in 1\.\.16777215": lambda: replace(SIMD, counters=(Counter(0),)),
    r"PCU program: 4096 rounds is not in 1\.\.4095": lambda: replace(SIMD, rounds=4096),
    "stochastic rounding goes on from round to round": lambda: replace(
        SIMD, rounds=2, tail=Tail(conversion=Conversion.BF16_STOCHASTIC, seed=1)
    ),
    "two counters pop their limits from one scalar input": lambda: replace(
        SIMD, counters=(Counter(popped=1), Counter(popped=1))
    ),
    "limit popped from scalar input: 4 is not in": lambda: replace(SIMD, counters=(Counter(popped=4),)),
    "scalar input 1 gives a counter's limits": lambda: replace(
        SIMD, counters=(Counter(popped=1),), scalar_in=scalars(port_1=1)
    ),
    r"vector output 0: boundary 2 is not in 0\.\.1": lambda: replace(SIMD, vector_out=(2, None)),
    "token input 3: boundary -1": lambda: replace(SIMD, token_in=(None, None, None, -1)),
    "group: boundary 5": lambda: replace(SIMD, group=Group(5)),
    "shared value 0: counter 1 is not in the chain": lambda: replace(SIMD, shared=(SharedSource.COUNTER_1,) * 4),
    "shared value 0: scalar input 2 is not an operand": lambda: replace(SIMD, shared=(SharedSource.SCALAR_2,) * 4),
    "sequence id: counter 3 is not in the chain": lambda: replace(SIMD, sequence=SequenceId(counters=(3,))),
    "shared value: 4 is not in": lambda: replace(SIMD, tail=Tail(scale=Number(shared=4))),
    "there is no innermost counter outside the group": lambda: replace(SIMD, group=Group(1, slotted=True)),
    "a fixed limit of at most 4": lambda: gemm(1, 8, 5, 2),
    r"systolic: 3 rows is not in 1\.\.2": lambda: gemm(1, 8, 4, 3),
    "the group of counters that form k is missing": lambda: replace(GEMM, group=None),
    "not running": lambda: replace(GEMM, group=Group(1, slotted=True, running=True)),
    "vector input 0 must give a BF16 operand": lambda: replace(GEMM, vector_in=(VectorIn(3, wide=True), *[None] * 3)),
    "no operands there": lambda: replace(GEMM, vector_in=(VectorIn(3), VectorIn(3), None, None)),
    "no register of the body for vector output 1": lambda: replace(GEMM, side=Side(0)),
    "3 stages, there are 2": lambda: replace(SIMD, body=Simd(stages=(Stage(),) * 3)),
    "stage 0: result register: 4": lambda: replace(SIMD, body=Simd(stages=(Stage(into=4),))),
    "stage 0: exchange distance: 4": lambda: replace(SIMD, body=Simd(stages=(Stage(exchange=Exchange(0, 4)),))),
    "stage 0: SUBTRACT cannot accumulate": lambda: replace(
        SIMD, body=Simd(stages=(Stage(Operation.SUBTRACT, accumulate=True),))
    ),
    "register that is reduced: 9": lambda: replace(SIMD, body=Simd(reduce=Reduce(ReduceOp.SUM, register=9))),
    "a mask by stage belongs to the systolic body": lambda: replace(SIMD, tail=Tail(mask=Mask(by_stage=True))),
    "a sequence id by stage": lambda: replace(SIMD, sequence=SequenceId(stage=1)),
    "an index needs a reduction": lambda: replace(SIMD, scalar_out=(ScalarOut(ScalarSource.INDEX, 1), None)),
}


@pytest.mark.parametrize("sentence", ILLEGAL)
def test_an_illegal_program_is_refused_with_the_rule(sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        assemble(PARAMS, ILLEGAL[sentence]())


@pytest.mark.parametrize("name", PRESETS)
def test_a_kernel_assembles_on_every_preset(name: str) -> None:
    params = PRESETS[name].pcu
    words = assemble(params, gemm(4, 16, params.interleave, params.stages))
    assert disassemble(params, words).body == Systolic(params.stages)


def test_a_special_function_survives_the_words() -> None:
    from hdl.arith.special_tables import Function

    for function in Function:
        program = activation(3, function)
        assert disassemble(PARAMS, assemble(PARAMS, program)).tail == program.tail
