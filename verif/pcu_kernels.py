"""PCU programs of the patterns that real kernels are made of: worked examples, run by tests and by the bench.

What each computes on data, in plain mathematics, is in :mod:`verif.pcu_cases`.
"""

from dataclasses import replace

from coe_mapping.assembler.pcu import (
    Counter,
    Exchange,
    Group,
    Mask,
    Number,
    PCUProgram,
    Reduce,
    ScalarOut,
    Simd,
    Stage,
    Systolic,
    Tail,
    VectorIn,
    word,
)
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.params import PCUParams
from hdl.pcu.config import Conversion, Operation, ScalarSource, SharedSource, Source

NOTHING = None
FP32_OUT = Tail()
BF16_OUT = Tail(conversion=Conversion.BF16)
SQUARE = Stage(Operation.MULTIPLY)
FIRST_SCALAR = (SharedSource.SCALAR_0, SharedSource.ZERO, SharedSource.ZERO, SharedSource.ZERO)


def gemm(tiles: int, steps: int, slots: int, rows: int, columns: bool = False, initial: bool = False) -> PCUProgram:
    """``tiles`` times (rows, steps) @ (steps, slots * lanes) in FP32, optionally plus start values.

    Vector input 0: for tile, k, slot. Vector input 1: the broadcast operand. Vector input 2: start values.
    """
    return PCUProgram(
        counters=(Counter(tiles), Counter(steps), Counter(slots)),
        body=Systolic(rows, columns, initial),
        group=Group(begin=1, slotted=True),
        vector_in=(VectorIn(pop=3), NOTHING, NOTHING, NOTHING),
        vector_out=(3, NOTHING),
    )


def ragged(program: PCUProgram, width: int, lanes: int) -> PCUProgram:
    """``program``, a :func:`gemm`, whose tiles are ``width`` columns wide: zeros in the lanes beyond."""
    return replace(
        program,
        counters=(*program.counters[:-1], replace(program.counters[-1], stride=lanes)),
        shared=(SharedSource.COUNTER_2, *program.shared[1:]),
        tail=Tail(mask=Mask(constant=width - 1, minus=0, after=0)),
    )


def causal_scores(keys: int, lanes: int, steps: int, rows: int, query: int, scale: float) -> PCUProgram:
    """Scores of ``rows`` queries from position ``query`` against tiles of ``lanes`` keys, scaled, masked, in BF16."""
    return PCUProgram(
        counters=(Counter(keys // lanes, stride=lanes), Counter(steps)),
        body=Systolic(rows),
        group=Group(begin=1),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        shared=(SharedSource.COUNTER_0, SharedSource.ZERO, SharedSource.ZERO, SharedSource.ZERO),
        tail=Tail(
            mask=Mask(constant=query, minus=0, by_stage=True, after=word(float("-inf"))),
            scale=Number(word(scale)),
            conversion=Conversion.BF16,
        ),
        vector_out=(2, NOTHING),
    )


def row_sum(rows: int, chunks: int, stages: tuple[Stage, ...] = (), tail: Tail = FP32_OUT) -> PCUProgram:
    """``tail`` of the sum of each row of what ``stages`` leave in register 0, on scalar output 0."""
    return PCUProgram(
        counters=(Counter(rows), Counter(chunks)),
        body=Simd(stages, reduce=Reduce(ReduceOp.SUM, over_time=True)),
        group=Group(begin=1),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        tail=tail,
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=2), NOTHING),
    )


def inverse_rms(rows: int, chunks: int, width: int, epsilon: float) -> PCUProgram:
    """1 / sqrt(mean of squares + epsilon) of each row: the first half of RMSNorm."""
    return row_sum(rows, chunks, (SQUARE,), _inverse_root(width, epsilon))


def inverse_deviation(rows: int, chunks: int, width: int, epsilon: float) -> PCUProgram:
    """1 / sqrt(variance + epsilon) of each row, whose mean comes on scalar input 0."""
    return replace(
        row_sum(rows, chunks, (Stage(Operation.SUBTRACT, b=Source.SHARED_0), SQUARE), _inverse_root(width, epsilon)),
        scalar_in=(1, NOTHING, NOTHING, NOTHING),
        shared=FIRST_SCALAR,
    )


def _inverse_root(width: int, epsilon: float) -> Tail:
    return Tail(scale=Number(word(1 / width)), offset=Number(word(epsilon)), special=Function.RSQRT)


def row_mean(rows: int, chunks: int, width: int) -> PCUProgram:
    """The mean of each row."""
    return row_sum(rows, chunks, tail=Tail(scale=Number(word(1 / width))))


def row_inverse_sum(rows: int, chunks: int) -> PCUProgram:
    """1 / the sum of each row: what softmax scales by."""
    return row_sum(rows, chunks, tail=Tail(special=Function.RECIPROCAL))


def ragged_row_sums(rows: int) -> PCUProgram:
    """Sums of rows whose lengths, in vectors, are popped from scalar input 0."""
    return replace(row_sum(rows, 1), counters=(Counter(rows), Counter(popped=0)))


def rowwise(rows: int, chunks: int, stages: tuple[Stage, ...], tail: Tail = FP32_OUT) -> PCUProgram:
    """``stages`` and ``tail`` on every vector; shared value 0 is the row's scalar from scalar input 0."""
    return PCUProgram(
        counters=(Counter(rows), Counter(chunks)),
        body=Simd(stages),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        scalar_in=(1, NOTHING, NOTHING, NOTHING),
        shared=FIRST_SCALAR,
        tail=tail,
        vector_out=(2, NOTHING),
    )


def scale_rows(rows: int, chunks: int) -> PCUProgram:
    """Each row times its scalar and, element by element, a weight: the second half of RMSNorm."""
    times_scalar = Stage(Operation.MULTIPLY, b=Source.SHARED_0)
    times_weight = Stage(Operation.MULTIPLY, b=Source.REGISTER_1)
    return replace(
        rowwise(rows, chunks, (times_scalar, times_weight), BF16_OUT),
        vector_in=(VectorIn(pop=2), VectorIn(pop=2), NOTHING, NOTHING),
    )


def row_extremum(rows: int, chunks: int) -> PCUProgram:
    """The greatest of each row: what softmax subtracts."""
    return replace(row_sum(rows, chunks), body=Simd(reduce=Reduce(ReduceOp.MAX, over_time=True)))


def exponentials(rows: int, chunks: int) -> PCUProgram:
    """exp(x - maximum of the row) in BF16: the middle of softmax."""
    tail = Tail(special=Function.EXP, conversion=Conversion.BF16)
    return rowwise(rows, chunks, (Stage(Operation.SUBTRACT, b=Source.SHARED_0),), tail)


def normalised(rows: int, chunks: int) -> PCUProgram:
    """(x - mean) / deviation of each row in FP32: the mean and the inverse deviation on scalar inputs 0 and 1."""
    stages = (Stage(Operation.SUBTRACT, b=Source.SHARED_0), Stage(Operation.MULTIPLY, b=Source.SHARED_1))
    return replace(
        rowwise(rows, chunks, stages),
        scalar_in=(1, 1, NOTHING, NOTHING),
        shared=(SharedSource.SCALAR_0, SharedSource.SCALAR_1, SharedSource.ZERO, SharedSource.ZERO),
    )


def row_scaled(rows: int, chunks: int) -> PCUProgram:
    """Each row times its scalar, in the tail: the end of softmax."""
    return rowwise(rows, chunks, (), Tail(scale=Number(shared=0), conversion=Conversion.BF16))


def elementwise(vectors: int, stages: tuple[Stage, ...], wide: tuple[bool, ...], tail: Tail = BF16_OUT) -> PCUProgram:
    """``stages`` and ``tail`` on as many vector inputs as ``wide`` has elements, each wide or BF16."""
    inputs = tuple(VectorIn(pop=1, wide=w) for w in wide)
    return PCUProgram(
        counters=(Counter(vectors),),
        body=Simd(stages),
        vector_in=(*inputs, *[NOTHING] * (PCUParams.VECTOR_INPUTS - len(inputs))),
        tail=tail,
        vector_out=(1, NOTHING),
    )


def affine(vectors: int) -> PCUProgram:
    """x * weight + bias, x in FP32: the end of LayerNorm."""
    stages = (Stage(Operation.MULTIPLY, b=Source.REGISTER_1), Stage(Operation.ADD, b=Source.REGISTER_2))
    return elementwise(vectors, stages, (True, False, False))


def product(vectors: int) -> PCUProgram:
    """x * y, x in FP32: the gate of SwiGLU."""
    return elementwise(vectors, (Stage(Operation.MULTIPLY, b=Source.REGISTER_1),), (True, False))


def arg_max(chunks: int, lanes: int) -> PCUProgram:
    """Where the greatest of ``chunks`` x ``lanes`` logits stands, on scalar output 0."""
    return PCUProgram(
        counters=(Counter(chunks, stride=lanes),),
        body=Simd(reduce=Reduce(ReduceOp.ARG_MAX, over_time=True, base=0)),
        group=Group(begin=0),
        vector_in=(VectorIn(pop=1), NOTHING, NOTHING, NOTHING),
        shared=(SharedSource.COUNTER_0, SharedSource.ZERO, SharedSource.ZERO, SharedSource.ZERO),
        scalar_out=(ScalarOut(ScalarSource.INDEX, at=1), NOTHING),
    )


def rotary_sines(vectors: int) -> PCUProgram:
    """(x of the neighbouring lane) * sine, the sine's signs in its table, in FP32: the first half of a rotation."""
    turn = Stage(Operation.MULTIPLY, Source.EXCHANGED, Source.REGISTER_1, exchange=Exchange(register=0, distance=1))
    return elementwise(vectors, (turn,), (False, False), FP32_OUT)


def rotary(vectors: int) -> PCUProgram:
    """x * cosine + what :func:`rotary_sines` gives on vector input 2: pairs of lanes turned, or complex multiplied."""
    stages = (Stage(Operation.MULTIPLY, b=Source.REGISTER_1), Stage(Operation.ADD, b=Source.REGISTER_2))
    return elementwise(vectors, stages, (False, False, True))


def butterfly(vectors: int, distance: int) -> PCUProgram:
    """x of lane XOR distance, plus x times a sign from vector input 1, in FP32: one level of a fast transform."""
    stages = (
        Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1, into=1),
        Stage(Operation.ADD, Source.EXCHANGED, Source.REGISTER_1, exchange=Exchange(register=0, distance=distance)),
    )
    return elementwise(vectors, stages, (True, False), FP32_OUT)


def prefix_sums(vectors: int, nearest: int, lanes: int) -> PCUProgram:
    """Running sums across the lanes of FP32 vectors: a stage adds what stands ``nearest`` lanes below, the next twice
    as far, and so on; with ``nearest`` 1 and log2(lanes) stages all of it."""
    distances = [1 << k for k in range((lanes - 1).bit_length()) if 1 << k >= nearest]
    stages = tuple(
        Stage(Operation.ADD, b=Source.EXCHANGED, exchange=Exchange(0, distance, shift=True)) for distance in distances
    )
    return elementwise(vectors, stages, (True,), FP32_OUT)


def running_sums(rows: int, steps: int) -> PCUProgram:
    """Running sums over time in every lane, each of them sent: a state-space model's recurrence without decay."""
    return PCUProgram(
        counters=(Counter(rows), Counter(steps)),
        body=Simd(stages=(Stage(Operation.ADD, accumulate=True),)),
        group=Group(begin=1, running=True),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        vector_out=(2, NOTHING),
    )


def activation(vectors: int, function: Function, conversion: Conversion = Conversion.BF16) -> PCUProgram:
    """A special function of every element, from BF16."""
    return elementwise(vectors, (), (False,), Tail(special=function, conversion=conversion))


def quantise(vectors: int, scale: float) -> PCUProgram:
    """FP32 to INT8, times ``scale``, rounded to nearest even and saturated; two vectors a beat."""
    return elementwise(vectors, (), (True,), Tail(scale=Number(word(scale)), conversion=Conversion.INT8))


def stochastic(vectors: int, seed: int) -> PCUProgram:
    """FP32 to BF16, rounded at random."""
    return elementwise(vectors, (), (True,), Tail(conversion=Conversion.BF16_STOCHASTIC, seed=seed))


def busiest(vectors: int, stages: int) -> PCUProgram:
    """Every stage and every step of the tail, one vector a cycle: what throughput is measured with."""
    tail = Tail(
        mask=Mask(constant=1, before=word(1.0)),
        scale=Number(word(0.5)),
        offset=Number(word(1.0)),
        special=Function.SIGMOID,
        clamp=(word(0.25), word(0.75)),
        conversion=Conversion.BF16,
    )
    return elementwise(vectors, (Stage(Operation.ADD, b=Source.EXCHANGED),) * stages, (False,), tail)


def of_everything(limit: int, token: bool) -> PCUProgram:
    """An iteration takes all vector inputs, a token if so said, and all scalar inputs but the one numbered ``limit``,
    which says how many iterations there are."""
    scalars = [j for j in range(PCUParams.SCALAR_INPUTS) if j != limit]
    return PCUProgram(
        counters=(Counter(popped=limit),),
        body=Simd((Stage(Operation.ADD, b=Source.REGISTER_1),)),
        vector_in=(VectorIn(pop=1),) * PCUParams.VECTOR_INPUTS,
        scalar_in=tuple(1 if j in scalars else NOTHING for j in range(PCUParams.SCALAR_INPUTS)),
        token_in=(1 if token else NOTHING, NOTHING, NOTHING, NOTHING),
        tail=BF16_OUT,
        vector_out=(1, NOTHING),
    )
