"""Random legal PCU programs, and input streams for them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

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
    word,
)
from golden_model.pcu import Inputs
from hdl.arith.formats import BF16, FP32
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.params import PCUParams
from hdl.pcu.config import (
    COUNTERS,
    IDENTITY,
    REGISTERS,
    SHARED,
    Conversion,
    Operation,
    ScalarSource,
    SharedSource,
    Source,
)
from verif import operands

Draw = Callable[[st.SearchStrategy[Any]], Any]

MOST_ITERATIONS = 48
LONGEST_LIMIT = 3  # of those popped from a scalar input
ROUNDS = (1, 1, 1, 2, 3)

# what has the most values to cover is drawn more often than its share
_DEPTHS = [*range(COUNTERS + 1), COUNTERS]
_OPERATIONS = [*Operation, *[Operation.SELECT] * 4]
_REDUCTIONS = [*ReduceOp, ReduceOp.ARG_MAX, ReduceOp.ARG_MIN]
_SOURCES = [*Source, Source.EXCHANGED, Source.EXCHANGED]
_WORDS = st.sampled_from([0, word(1.0), word(-2.5), word(0.1), word(float("inf")), 1, 5, 0xFFFF_FFFF])


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """None, or what ``strategy`` gives."""
    return st.none() | strategy


@st.composite
def programs(draw: Draw, params: PCUParams) -> PCUProgram:
    """Any legal program of at most a few dozen iterations; the simplest is one iteration that does nothing."""
    systolic = draw(st.booleans())
    counters, slotted = draw(_chains(params))
    if systolic and not counters:
        counters = (Counter(),)
    depth = len(counters)
    popped = {c.popped for c in counters}
    boundary = st.sampled_from([depth, *range(depth + 1)])
    scalar_in = tuple(None if j in popped else draw(maybe(boundary)) for j in range(params.SCALAR_INPUTS))
    shared = tuple(draw(st.sampled_from(_shared_sources(depth, scalar_in))) for _ in range(SHARED))
    group = draw(_groups(depth, slotted, systolic))
    if systolic:
        body: Systolic | Simd = Systolic(draw(st.integers(1, params.stages)), draw(st.booleans()), draw(st.booleans()))
        vector_in: tuple[VectorIn | None, ...] = (VectorIn(draw(boundary)), None, None, None)
    else:
        body = draw(_simd(params))
        vectors = st.builds(VectorIn, boundary, st.booleans())
        vector_in = tuple(draw(vectors | maybe(vectors)) for _ in range(REGISTERS))
    reduces = isinstance(body, Simd) and body.reduce is not None
    indices = [ScalarSource.INDEX] * 3 if reduces else []  # nothing else shows them
    sources = [*(source for source in ScalarSource if source is not ScalarSource.INDEX), *indices]
    tail = draw(_tails(systolic))
    stochastic = tail.conversion is Conversion.BF16_STOCHASTIC
    return PCUProgram(
        counters=counters,
        body=body,
        group=group,
        vector_in=vector_in,
        scalar_in=scalar_in,
        token_in=tuple(draw(maybe(boundary)) for _ in range(params.TOKENS)),
        token_out=tuple(draw(maybe(boundary)) for _ in range(params.TOKENS)),
        shared=shared,
        tail=tail,
        sequence=draw(_sequences(depth, systolic)),
        vector_out=(draw(st.just(depth) | maybe(boundary)), draw(maybe(boundary))),
        side=None if systolic else draw(maybe(st.builds(Side, st.integers(0, REGISTERS - 1), st.booleans()))),
        scalar_out=tuple(
            draw(maybe(st.builds(ScalarOut, st.sampled_from(sources), boundary))) for _ in range(params.SCALAR_OUTPUTS)
        ),
        rounds=1 if stochastic else draw(st.sampled_from(ROUNDS)),
    )


def _shared_sources(depth: int, scalar_in: tuple[int | None, ...]) -> list[SharedSource]:
    counters = [SharedSource(SharedSource.COUNTER_0.value + c) for c in range(depth)]
    scalars = [SharedSource(SharedSource.SCALAR_0.value + j) for j, port in enumerate(scalar_in) if port is not None]
    return [SharedSource.ZERO, *counters, *scalars]


@st.composite
def _chains(draw: Draw, params: PCUParams) -> tuple[tuple[Counter, ...], bool]:
    """Counters, and whether the innermost may number slots."""
    free = list(range(params.SCALAR_INPUTS))
    counters: list[Counter] = []
    room = MOST_ITERATIONS
    for _ in range(draw(st.sampled_from(_DEPTHS))):
        stride = draw(st.sampled_from([1, 0, 4, 1 << 20]))
        if free and room >= LONGEST_LIMIT and draw(st.integers(0, 5)) == 5:
            counters.append(Counter(1, stride, free.pop(draw(st.integers(0, len(free) - 1)))))
            room //= LONGEST_LIMIT
        else:
            limit = draw(st.integers(1, min(room, 12)))
            counters.append(Counter(limit, stride))
            room //= limit
    slot = counters[-1] if counters else None
    slotted = slot is not None and slot.popped is None and slot.limit <= params.interleave and draw(st.booleans())
    return tuple(counters), slotted


@st.composite
def _groups(draw: Draw, depth: int, slotted: bool, systolic: bool) -> Group | None:
    if not systolic and draw(st.booleans()):
        return None
    begin = draw(st.integers(0, depth - 1 if slotted else depth))
    return Group(begin, slotted, not systolic and draw(st.booleans()))


@st.composite
def _simd(draw: Draw, params: PCUParams) -> Simd:
    stages = tuple(draw(_stages(params)) for _ in range(draw(st.integers(0, params.stages))))
    shared = maybe(st.integers(0, SHARED - 1))
    written = [stage.into for stage in stages]
    seen = st.sampled_from([*range(REGISTERS), *written, *written])  # what no output shows cannot be wrong
    reduce = draw(maybe(st.builds(Reduce, st.sampled_from(_REDUCTIONS), seen, st.booleans(), shared)))
    return Simd(stages, reduce, draw(seen))


@st.composite
def _stages(draw: Draw, params: PCUParams) -> Stage:
    operation = draw(st.sampled_from(_OPERATIONS))
    register = st.integers(0, REGISTERS - 1)
    return Stage(
        operation=operation,
        a=draw(st.sampled_from(_SOURCES)),
        b=draw(st.sampled_from(_SOURCES)),
        into=draw(register),
        condition=draw(register),
        accumulate=operation in IDENTITY and draw(st.booleans()),
        constant=draw(_WORDS),
        exchange=draw(st.builds(Exchange, register, st.integers(0, params.lanes - 1), st.booleans())),
    )


@st.composite
def _tails(draw: Draw, systolic: bool) -> Tail:
    if draw(st.booleans()):  # masks, clamps and narrow formats hide most of what could be wrong before them
        return Tail()
    shared = maybe(st.integers(0, SHARED - 1))
    number = maybe(st.builds(Number, _WORDS, shared))
    by_stage = st.booleans() if systolic else st.just(False)
    margin = st.integers(-2, 6)
    mask = st.builds(Mask, margin, shared, shared, by_stage, maybe(_WORDS), maybe(_WORDS))
    return Tail(
        mask=draw(mask),
        scale=draw(number),
        offset=draw(number),
        special=draw(maybe(st.sampled_from(Function))),
        clamp=draw(maybe(st.tuples(_WORDS, _WORDS))),
        conversion=draw(st.sampled_from(Conversion)),
        seed=draw(st.sampled_from([0, 1, 0xDEADBEEF])),
    )


@st.composite
def _sequences(draw: Draw, depth: int, systolic: bool) -> SequenceId:
    counters = tuple(c for c in range(depth) if draw(st.booleans()))
    stride = st.sampled_from([0, 1, 100])
    return SequenceId(draw(st.sampled_from([0, 7, 0xFFFF])), counters, draw(stride) if systolic else 0, draw(stride))


def supply(params: PCUParams, program: PCUProgram, seed: int) -> Inputs:
    """More random input than ``program`` takes, special values included; seed 0 gives ones throughout."""
    rng = np.random.default_rng(seed)
    iterations = MOST_ITERATIONS * program.rounds
    count = 2 * iterations * params.stages  # every iteration a tile of its own, with initial values
    wide = [port is not None and port.wide for port in program.vector_in]
    wide[2] |= isinstance(program.body, Systolic)
    popped = {c.popped for c in program.counters}
    vectors = [_beats(rng, count, params.lanes, two, simple=seed == 0) for two in wide]
    scalars = [_scalars(rng, count, j in popped, simple=seed == 0) for j in range(params.SCALAR_INPUTS)]
    return Inputs(vectors, scalars)


def _beats(rng: np.random.Generator, beats: int, lanes: int, wide: bool, simple: bool) -> NDArray[np.uint16]:
    fmt = FP32 if wide else BF16
    count = beats * lanes // (2 if wide else 1)
    one = word(1.0) >> (FP32.width - fmt.width)
    bits = np.full(count, one) if simple else operands.singles(fmt, rng, count)
    if wide and not simple:
        # integers too: small ones are subnormals as floats
        whole = rng.integers(0, 1 << 32, count) >> rng.integers(0, 32, count)
        bits = np.where(rng.integers(0, 4, count) == 0, whole, bits)
    if not simple and rng.integers(0, 2):  # a few values only, so that some are equal
        bits = rng.choice(bits[:4], count)
    return np.asarray(bits).astype("<u4" if wide else "<u2").view("<u2").reshape(-1, lanes)


def _scalars(rng: np.random.Generator, count: int, limits: bool, simple: bool) -> NDArray[np.uint32]:
    if limits:
        return (np.ones(count) if simple else rng.integers(0, LONGEST_LIMIT + 1, count)).astype(np.uint32)
    if simple:
        return np.full(count, word(1.0), np.uint32)
    words = np.where(rng.integers(0, 2, count) == 0, operands.singles(FP32, rng, count), rng.integers(0, 9, count))
    return words.astype(np.uint32)
