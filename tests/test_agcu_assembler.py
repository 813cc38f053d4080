"""AGCU programs: every rule refuses with its own sentence, words round-trip, the golden model says what is missing."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe_mapping.assembler.agcu import (
    Access,
    AGCUProgram,
    Bit,
    Counter,
    Event,
    Load,
    Register,
    Segment,
    Stage,
    Store,
    argument_words,
    assemble,
    disassemble,
)
from golden_model.agcu import accesses as accesses_of
from golden_model.agcu import load, run, store
from golden_model.pmu import VectorBeats
from hdl.errors import ParameterError
from hdl.params import TEST, TIER_SHIFT
from verif.strategies.agcu import CHOICES, TIERS, case_of
from verif.strategies.pmu import Choices

PARAMS = TEST
BEAT = PARAMS.beat_bytes
PLAIN = Access(0, (Counter(8, BEAT),), (Register(counters=(0,)),))
SEGMENTS = (Segment(0, 256, read=True), Segment(256, 256, write=True))
STORE = PARAMS.agcu.loads  # number of the first store


def loading(**changes: Any) -> AGCUProgram:
    return AGCUProgram(SEGMENTS, (Load(replace(PLAIN, **changes)),))


def storing(words: int | None = None, **changes: Any) -> AGCUProgram:
    return AGCUProgram(SEGMENTS, (), (Store(replace(PLAIN, segment=1, **changes), words),))


WORDS = Load(PLAIN, words=True)

RULES = [
    (loading(counters=(Counter(),) * 7), "load 0: 7 counters, the chain has 6"),
    (loading(counters=(Counter(0),)), "load 0: counter 0: limit 0 is not in 1..16777215"),
    (loading(counters=(Counter(0, scalar=4),)), "counter 0: there is no scalar input 4, only 4"),
    (loading(rounds=0), r"load 0: 0 rounds is not in 1..4095"),
    (loading(rounds=4096), r"load 0: 4096 rounds is not in 1..4095"),
    (loading(step=1 << 32), "load 0: a step of 4294967296 bytes does not fit 32 bits"),
    (AGCUProgram(SEGMENTS, (Load(PLAIN), Load(replace(PLAIN, rounds=2)))), "streams run different numbers of rounds"),
    (replace(loading(), token_in=(Event(0, 0, carried=True),)), r"token_in\[0\] is carried from a round to the next"),
    (replace(loading(rounds=2), token_out=(Event(0, 1, carried=True),)), r"token_out\[0\] is carried from a round"),
    (storing(registers=(Register(),) * 5), "store 0: 5 registers, there are 4"),
    (loading(registers=(Register(counters=(1,)),)), r"register 0: counters \(1,\) must be ascending"),
    (loading(registers=(Register(sequence=True),)), "register 0: an AGCU has no sequence ids to add"),
    (loading(registers=(Register(scalar=0),)), "load 0: register 0 adds scalar input 0, which scalar_in does not give"),
    (loading(stages=(Stage(),) * 3), "load 0: 3 ALU stages, there are 2"),
    (loading(stages=(Stage(a=4),)), "load 0: ALU stage 0: registers 0, 4, 0, 0 must be among 4"),
    (loading(address=4), "load 0: address names register 4, there are 4"),
    (loading(limit=-1), "load 0: limit names register -1"),
    (loading(keep_bit=Bit(4)), "load 0: keep_bit names register 4"),
    (loading(keep_bit=Bit(0, 32)), "there is no bit 32 in 32"),
    (loading(segment=2), "load 0: there is no segment 2, only 2"),
    (loading(fence=2), r"load 0: fence: boundary 2 is not in 0..1"),
    (AGCUProgram(SEGMENTS, (Load(PLAIN, sequence=4),)), "load 0: sequence names register 4"),
    (AGCUProgram(SEGMENTS, (Load(PLAIN, sequence=1, words=True),)), "words that go to the scalar output have no seq"),
    (AGCUProgram(SEGMENTS, (WORDS, WORDS)), r"loads \[0, 1\] all send words to scalar output 0"),
    (AGCUProgram(SEGMENTS, (WORDS,), scalar_out=Event(0, 0)), "so no offset can be sent there"),
    (storing(words=4), "store 0: there is no scalar input 4, only 4"),
    (storing(words=0, limit=1), "store 0: an access that stores one word has no limit in lanes"),
    (AGCUProgram(SEGMENTS, (None,) * 3), "3 load streams, there are 2"),
    (AGCUProgram(SEGMENTS, (), (None, None)), "2 store streams, there are 1"),
    (AGCUProgram(SEGMENTS * 5), "10 segments, there are 8"),
    (AGCUProgram((Segment(8, 8),)), "segment 0: base 0x8 is not a 40-bit address and a multiple of the granule, 32 by"),
    (AGCUProgram((Segment(1 << 40, 8),)), "segment 0: base 0x10000000000 is not"),
    (AGCUProgram((Segment(0, 1 << 32),)), "segment 0: 4294967296 bytes from 0x0 on do not fit 32 bits"),
    (AGCUProgram((Segment((1 << 40) - 32, 33),)), "or end beyond the address space"),
    (replace(loading(), token_in=(None,) * 5), "5 entries in token_in, there are 4"),
    (replace(loading(), token_out=(None,) * 5), "5 entries in token_out, there are 4"),
    (replace(loading(), scalar_in=(None,) * 5), "5 entries in scalar_in, there are 4"),
    (
        replace(loading(), token_out=(Event(STORE, 0),)),
        r"token_out\[0\] belongs to stream 2, which the program does not",
    ),
    (replace(loading(), token_in=(Event(0, 2),)), r"token_in\[0\]: boundary 2 is not in 0..1"),
    (replace(loading(), scalar_out=Event(3, 0)), r"scalar_out\[0\] belongs to stream 3"),
    (
        loading(counters=(Counter(0, scalar=1), Counter(0, scalar=1))),
        "scalar input 1 gives the limit of counter 0 of AGCU load 0 and the limit of counter 1 of AGCU load 0",
    ),
    (
        replace(storing(words=0), scalar_in=(Event(STORE, 0),)),
        "scalar input 0 gives operands of AGCU store 0 and the words of AGCU store 0; it can have one user",
    ),
]


@pytest.mark.parametrize(("program", "says"), RULES, ids=[says for _, says in RULES])
def test_a_program_that_breaks_a_rule_is_refused_by_its_sentence(program: AGCUProgram, says: str) -> None:
    assemble(PARAMS, loading())
    assemble(PARAMS, storing())
    with pytest.raises(ParameterError, match=says):
        assemble(PARAMS, program)


@settings(max_examples=40, deadline=None, database=None)
@given(st.binary(min_size=CHOICES, max_size=CHOICES))
def test_words_disassemble_to_a_program_that_assembles_to_the_same_words(source: bytes) -> None:
    program = case_of(PARAMS, Choices(source)).program
    words = assemble(PARAMS, program)
    again = disassemble(PARAMS, words)
    assert assemble(PARAMS, again) == words
    assert again.segments[: len(program.segments)] == program.segments
    assert again.scalar_out == program.scalar_out
    for old, new in zip(program.streams(PARAMS.agcu), again.streams(PARAMS.agcu), strict=True):
        assert (old is None) == (new is None)
        if old is not None and new is not None:
            assert replace(new.access, registers=(), stages=()) == replace(old.access, registers=(), stages=())
            assert replace(new, access=old.access) == old


@settings(max_examples=60, deadline=None, database=None)
@given(st.integers(0, PARAMS.agcu.segments - 1), st.integers(0, (1 << 35) - 1), st.integers(0, (1 << 32) - 1))
def test_argument_words_are_all_of_a_segment_and_nothing_else(number: int, granule: int, limit: int) -> None:
    base = min(granule * 32, (1 << 40) - limit & ~31)
    others = (Segment(0, 64, read=True),) * PARAMS.agcu.segments
    words = assemble(PARAMS, AGCUProgram(others))
    for name, value in (("base", base), ("limit", limit)):
        for place in argument_words(PARAMS, number)[name]:
            words[place.word] = value >> place.shift & ((1 << place.width) - 1)
    changed = disassemble(PARAMS, words).segments
    assert changed == (*others[:number], Segment(base, limit, read=True), *others[number + 1 :])


def test_there_is_no_argument_for_a_segment_that_is_not_there() -> None:
    with pytest.raises(ParameterError, match="argument: there is no segment 8, only 8"):
        argument_words(PARAMS, PARAMS.agcu.segments)


NONE = VectorBeats(np.zeros((0, PARAMS.lanes), np.uint16), np.zeros(0, np.int64))
EMPTY: tuple[tuple[int, ...], ...] = ((), (), (), ())


def memory() -> dict[int, Any]:
    return {tier: np.arange(size, dtype=np.uint8) for tier, size in TIERS.items()}


def test_the_golden_model_says_which_input_is_too_short() -> None:
    with pytest.raises(ParameterError, match="stream 2 stores 8 vectors, 0 given"):
        run(PARAMS, assemble(PARAMS, storing()), [NONE], EMPTY, memory())
    with pytest.raises(ParameterError, match="stream 2 stores 8 words of scalar input 1, 0 given"):
        run(PARAMS, assemble(PARAMS, storing(words=1)), [NONE], EMPTY, memory())
    gather = replace(loading(registers=(Register(scalar=0),)), scalar_in=(Event(0, 1),))
    with pytest.raises(ParameterError, match="takes 8 words from scalar input 0, 3 given"):
        run(PARAMS, assemble(PARAMS, gather), [NONE], ((1, 2, 3), (), (), ()), memory())


def test_the_golden_model_says_where_there_is_no_memory() -> None:
    for base in (2 << TIER_SHIFT, TIERS[0]):
        program = replace(loading(), segments=(Segment(base, 256, read=True),))
        with pytest.raises(ParameterError, match=f"no memory at address {base + 56:#x}"):
            run(PARAMS, assemble(PARAMS, program), [NONE], EMPTY, memory())


def test_streams_may_be_executed_one_by_one() -> None:
    """What a model of the fabric does: a load's vectors, and later the store of the same."""
    program = AGCUProgram(SEGMENTS, (Load(PLAIN),), (Store(replace(PLAIN, segment=1)),))
    words, tiers = assemble(PARAMS, program), memory()
    vectors = load(PARAMS, accesses_of(PARAMS, words, 0, EMPTY), tiers)
    store(PARAMS, words, STORE, accesses_of(PARAMS, words, STORE, EMPTY), vectors, EMPTY, tiers)
    assert (tiers[0][256 : 256 + 64] == tiers[0][:64]).all()
    assert tiers[0][0] == 0
    assert tiers[0][256 + 1] == 1
