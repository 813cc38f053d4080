"""PCU programs of the patterns that real kernels are made of: worked examples, run by tests and by the bench."""

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
from hdl.pcu.config import Conversion, Operation, ScalarSource, SharedSource, Source

NOTHING = None
BF16_OUT = Tail(conversion=Conversion.BF16)


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


def inverse_rms(rows: int, chunks: int, width: int, epsilon: float) -> PCUProgram:
    """1 / sqrt(mean of squares + epsilon) of each row, on scalar output 0."""
    return PCUProgram(
        counters=(Counter(rows), Counter(chunks)),
        body=Simd(
            stages=(Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_0, into=1),),
            reduce=Reduce(ReduceOp.SUM, register=1, over_time=True),
        ),
        group=Group(begin=1),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        tail=Tail(scale=Number(word(1 / width)), offset=Number(word(epsilon)), special=Function.RSQRT),
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=2), NOTHING),
    )


def scale_rows(rows: int, chunks: int) -> PCUProgram:
    """Each row times a scalar of its own and, element by element, a weight: the second half of RMSNorm."""
    return PCUProgram(
        counters=(Counter(rows), Counter(chunks)),
        body=Simd(
            stages=(
                Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.SHARED_0),
                Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1),
            )
        ),
        vector_in=(VectorIn(pop=2), VectorIn(pop=2), NOTHING, NOTHING),
        scalar_in=(1, NOTHING, NOTHING, NOTHING),
        shared=(SharedSource.SCALAR_0, SharedSource.ZERO, SharedSource.ZERO, SharedSource.ZERO),
        tail=BF16_OUT,
        vector_out=(2, NOTHING),
    )


def row_extremum(rows: int, chunks: int) -> PCUProgram:
    """The greatest of each row: what softmax subtracts."""
    return PCUProgram(
        counters=(Counter(rows), Counter(chunks)),
        body=Simd(reduce=Reduce(ReduceOp.MAX, over_time=True)),
        group=Group(begin=1),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        scalar_out=(ScalarOut(ScalarSource.RESULT, at=2), NOTHING),
    )


def exponentials(rows: int, chunks: int) -> PCUProgram:
    """exp(x - maximum of the row) in BF16: the middle of softmax."""
    return PCUProgram(
        counters=(Counter(rows), Counter(chunks)),
        body=Simd(stages=(Stage(Operation.SUBTRACT, Source.REGISTER_0, Source.SHARED_0),)),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        scalar_in=(1, NOTHING, NOTHING, NOTHING),
        shared=(SharedSource.SCALAR_0, SharedSource.ZERO, SharedSource.ZERO, SharedSource.ZERO),
        tail=Tail(special=Function.EXP, conversion=Conversion.BF16),
        vector_out=(2, NOTHING),
    )


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


def rotary(vectors: int) -> PCUProgram:
    """x * cos + (x of the neighbouring lane) * sin, the sine's signs in its table; three stages."""
    neighbour = Exchange(register=0, distance=1)
    return PCUProgram(
        counters=(Counter(vectors),),
        body=Simd(
            stages=(
                Stage(Operation.MULTIPLY, Source.EXCHANGED, Source.REGISTER_2, into=2, exchange=neighbour),
                Stage(Operation.MULTIPLY, Source.REGISTER_0, Source.REGISTER_1),
                Stage(Operation.ADD, Source.REGISTER_0, Source.REGISTER_2),
            )
        ),
        vector_in=(VectorIn(pop=1), VectorIn(pop=1), VectorIn(pop=1), NOTHING),
        tail=BF16_OUT,
        vector_out=(1, NOTHING),
    )


def prefix_sums(vectors: int, lanes: int) -> PCUProgram:
    """Running sums across the lanes of each vector, in FP32: log2(lanes) stages."""
    distances = [1 << k for k in range((lanes - 1).bit_length())]
    return PCUProgram(
        counters=(Counter(vectors),),
        body=Simd(
            stages=tuple(
                Stage(Operation.ADD, Source.REGISTER_0, Source.EXCHANGED, exchange=Exchange(0, d, shift=True))
                for d in distances
            )
        ),
        vector_in=(VectorIn(pop=1), NOTHING, NOTHING, NOTHING),
        vector_out=(1, NOTHING),
    )


def running_sums(rows: int, steps: int) -> PCUProgram:
    """Running sums over time in every lane, each of them sent: a state-space model's recurrence without decay."""
    return PCUProgram(
        counters=(Counter(rows), Counter(steps)),
        body=Simd(stages=(Stage(Operation.ADD, accumulate=True),)),
        group=Group(begin=1, running=True),
        vector_in=(VectorIn(pop=2), NOTHING, NOTHING, NOTHING),
        vector_out=(2, NOTHING),
    )


def activation(vectors: int, function: Function) -> PCUProgram:
    """A special function of every element, BF16 to BF16."""
    return PCUProgram(
        counters=(Counter(vectors),),
        body=Simd(),
        vector_in=(VectorIn(pop=1), NOTHING, NOTHING, NOTHING),
        tail=Tail(special=function, conversion=Conversion.BF16),
        vector_out=(1, NOTHING),
    )
