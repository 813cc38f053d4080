"""``ARITH=fast``: what a simulation computes in C is what the contract says, and comes when the RTL's would.

The RTL itself stands beside the C in ``make verify ONLY=arith``.
"""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.assembler.pcu import assemble
from golden_model import numerics as golden
from golden_model.numerics.special import evaluate
from hdl.arith.fast import Kind
from hdl.arith.formats import BF16, FP32
from hdl.arith.special_tables import Function
from hdl.clock_gate import AWAKE_CYCLES, CELL, Sleeper
from hdl.params import NANO, PCUParams
from hdl.pcu.config import Conversion, Operation
from hdl.pcu.pcu import PCU
from hdl.verilog import blocks
from verif import fast, operands
from verif import pcu_kernels as kernels
from verif.loaded import Twins
from verif.sim import Model, compile_python
from verif.special_campaign import ALL_AS_FP32

LANES, STAGES = 8, 2
PARAMS = PCUParams(lanes=LANES, stages=STAGES)
SMALL = PCUParams(lanes=2, stages=1, fifo_depth=2)
COUNT = 40_000

Words = NDArray[np.int64]


def configure(model: Model, words: list[int]) -> None:
    model["bus__write"] = 1
    for address, word in enumerate(words):
        model["bus__address"], model["bus__write_data"] = address, word
        model.tick()
    model["bus__write"], model["commit"] = 0, 1
    model.tick()
    model["commit"] = 0


@pytest.fixture(scope="module")
def vectors() -> fast.Library:
    return fast.library(PARAMS)


def multiply_adds(vectors: fast.Library, a: Words, b: Words, c: Words) -> Words:
    """Each triple in a lane of its own, the same in both stages; what the second gives."""
    lanes = a.reshape(-1, 1)
    rows = np.concatenate(
        [
            np.repeat(lanes << 16, LANES, 1),
            np.repeat(c.reshape(-1, 1), LANES * STAGES, 1),
            (b | b << 16).reshape(-1, 1),
        ],
        1,
    )
    results = vectors.results(Kind.MULTIPLY_ADD, rows.astype(np.uint32)).astype(np.int64)
    assert (results == results[:, :1]).all(), "lanes or stages differ on the same operands"
    return results[:, -1]


def expected(a: Words, b: Words, c: Words) -> Words:
    x, y, z = golden.from_bits(a, BF16), golden.from_bits(b, BF16), golden.from_bits(c, FP32)
    return golden.to_bits(golden.multiply_add(x, y, z)).astype(np.int64)


@pytest.mark.parametrize(
    ("a", "b", "c", "result"),
    [
        pytest.param(*operands.NEAR_CANCELLATION, 0xBB07_22A8, id="near cancellation"),
        pytest.param(0x3F80, 0x8080, 0x0080_0000, 0, id="total cancellation is +0"),
        pytest.param(0x0080, 0x3F00, 0, 0, id="half the smallest normal vanishes"),
        pytest.param(0x8080, 0x3F00, 0, 0x8000_0000, id="and keeps its sign"),
        pytest.param(0x1980, 0x9980, 0x0080_0000, 0x0080_0000, id="a quarter unit below the smallest normal rounds up"),
        pytest.param(
            0x19C0, 0x9A00, 0x0080_0000, 0, id="three quarters of a unit below it vanish: a processor rounds up"
        ),
        pytest.param(0x3F80, 0x3F80, 0x3380_0000, 0x3F80_0000, id="a tie goes to even"),
        pytest.param(0x3F80, 0x3F80, 0x3380_0001, 0x3F80_0001, id="just above a tie"),
        pytest.param(0x7F00, 0x4000, 0, 0x7F80_0000, id="overflow is infinite"),
        pytest.param(0x7F80, 0x0000, 0x3F80_0000, 0x7FC0_0000, id="infinity times zero"),
        pytest.param(0x7F80, 0x007F, 0x3F80_0000, 0x7FC0_0000, id="infinity times a subnormal, which is a zero"),
        pytest.param(0x3F80, 0x3F80, 0xFFFF_FFFF, 0x7FC0_0000, id="one NaN for all"),
        pytest.param(0x8000, 0x3F80, 0x807F_FFFF, 0x8000_0000, id="-0 and a negative subnormal"),
    ],
)
def test_multiply_adds_where_a_processor_goes_wrong(vectors: fast.Library, a: int, b: int, c: int, result: int) -> None:
    words = [np.array([word]) for word in (a, b, c)]
    assert hex(multiply_adds(vectors, *words)[0]) == hex(result)
    assert hex(expected(*words)[0]) == hex(result)


def test_random_multiply_adds_equal_the_golden_model(vectors: fast.Library, rng: np.random.Generator) -> None:
    a, b, c = operands.triples(rng, COUNT)
    assert (multiply_adds(vectors, a, b, c) == expected(a, b, c)).all()


def test_sums_products_and_extrema_equal_the_golden_model(vectors: fast.Library, rng: np.random.Generator) -> None:
    a, b = operands.pairs(FP32, rng, COUNT)
    x, y = golden.from_bits(a, FP32), golden.from_bits(b, FP32)
    for operation, result in {
        Operation.ADD: golden.add(x, y),
        Operation.SUBTRACT: golden.subtract(x, y),
        Operation.MULTIPLY: golden.multiply(x, y),
        Operation.MINIMUM: golden.minimum(x, y),
        Operation.MAXIMUM: golden.maximum(x, y),
    }.items():
        code = np.full((COUNT // LANES, 1), operation.value)
        rows = np.concatenate([a.reshape(-1, LANES), b.reshape(-1, LANES), code], axis=1)
        got = vectors.results(Kind.OPERATE, rows.astype(np.uint32))
        assert (got.ravel() == golden.to_bits(result)).all(), operation


def test_special_functions_equal_the_golden_model_on_every_bf16(vectors: fast.Library) -> None:
    x = ALL_AS_FP32.reshape(-1, LANES)
    for function in Function:
        rows = np.concatenate([x, np.full((len(x), 1), function.value)], axis=1).astype(np.uint32)
        want = golden.to_bits(evaluate(function, golden.from_bits(ALL_AS_FP32, FP32)))
        assert (vectors.results(Kind.SPECIAL, rows).ravel() == want).all(), function


def test_a_pcu_with_fast_arithmetic_equals_the_rtl_in_every_cycle(rng: np.random.Generator) -> None:
    """Both bodies, the tree, every part of the tail; random gaps and back-pressure."""
    twins = Twins(PCU(SMALL), Sleeper(PCU(SMALL, gated=True, fast=True)))
    model = compile_python(twins, "fast_twins", sources=[CELL, *fast.sources(SMALL)])
    model.reset()
    programs = [
        kernels.gemm(2, 9, SMALL.interleave, SMALL.stages, initial=True),
        kernels.gemm(3, 5, 2, SMALL.stages),
        kernels.running_sums(2, 7),
        kernels.row_extremum(3, 5),
        kernels.row_inverse_sum(3, 4),
        kernels.arg_max(4, SMALL.lanes),
        kernels.activation(9, Function.GELU, Conversion.INT32),
        kernels.stochastic(9, seed=3),
        kernels.quantise(9, 20.0),
    ]
    for program in itertools.chain(range(len(programs)), rng.permutation(len(programs))):
        configure(model, assemble(SMALL, programs[program]))
        for _ in range(2):
            before = model["outputs"]
            model["start"] = 1
            model.tick(int(rng.integers(1, 3)))
            model["start"], model["feed"] = 0, 1
            model.tick(600)
            model["feed"] = 0
            model.tick(AWAKE_CYCLES + int(rng.integers(1, 40)))
            assert not model["differs"], f"program {program}: an output differs from that of the RTL"
            assert model["outputs"] > before, f"program {program} gave nothing: nothing was compared"


def test_verilog_that_leaves_the_house_has_no_fast_arithmetic() -> None:
    assert not any("openrdu_" in block.verilog for block in blocks(PCU(NANO.pcu), "pcu").values())
    assert any("openrdu_" in block.verilog for block in blocks(PCU(NANO.pcu, fast=True), "pcu").values())
