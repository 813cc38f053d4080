"""The PCU's golden model against plain float64 mathematics, on the patterns of real kernels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from coe_mapping.assembler.pcu import assemble
from golden_model import numerics
from golden_model.pcu import Outputs, run
from hdl.arith.formats import BF16
from hdl.arith.special_tables import Function
from hdl.params import PCUParams
from verif import operands
from verif import pcu_cases as cases
from verif import pcu_kernels as kernels

PARAMS = PCUParams(lanes=8, stages=4)
LANES = PARAMS.lanes


def execute(params: PCUParams, launch: cases.Launch) -> Outputs:
    return run(params, assemble(params, launch.program), launch.inputs(params))


def play(params: PCUParams, case: cases.Case, flip: int = 0) -> int:
    """Runs a case to its verdict; the launches it took. ``flip``: bits to invert in one element of each result."""
    launches = 0
    try:
        launch = next(case)
        while True:
            outputs = execute(params, launch)
            cases.check_consumed(launch, outputs)
            if flip:
                outputs.vectors[0][0, 1] ^= flip
            launches += 1
            launch = case.send(outputs)
    except StopIteration:
        return launches


@pytest.mark.parametrize("name", cases.CASES)
def test_a_kernel_computes_what_float64_says(name: str, rng: np.random.Generator) -> None:
    assert play(PARAMS, cases.CASES[name](PARAMS, rng)) >= 1


@pytest.mark.parametrize("sizes", [(2, 2), (4, 2), (16, 6), (32, 6)])
@pytest.mark.parametrize("name", cases.AWKWARD | cases.KERNELS)
def test_a_kernel_fits_any_number_of_lanes_and_stages(
    name: str, sizes: tuple[int, int], rng: np.random.Generator
) -> None:
    params = PCUParams(*sizes)
    assert play(params, cases.CASES[name](params, rng)) >= 1


def test_a_case_fails_when_a_result_is_wrong(rng: np.random.Generator) -> None:
    """One bit of one product in each launch, a thirty-second of it."""
    with pytest.raises(AssertionError, match="of what rounding allows"):
        play(PARAMS, cases.CASES["gemm 5x17x33"](PARAMS, rng), flip=1 << 2)


def test_a_running_sum_of_negative_zeros_is_a_negative_zero() -> None:
    zeros = cases.bf16_beats(np.full((3, LANES), -0.0), LANES)
    sums = cases.fp32(execute(PARAMS, cases.Launch(kernels.running_sums(1, 3), {0: zeros})))
    assert np.signbit(sums).all()


@pytest.mark.parametrize("operation", [numerics.add, numerics.subtract, numerics.multiply])
def test_an_fp32_operation_rounded_to_bf16_is_the_bf16_operation(
    operation: Callable[[Any, Any], Any], rng: np.random.Generator
) -> None:
    a, b = (numerics.from_bits(bits, BF16) for bits in operands.pairs(BF16, rng, 200_000))
    narrow = numerics.to_bits(operation(a, b))
    twice = numerics.to_bits(numerics.to_bf16(operation(numerics.to_fp32(a), numerics.to_fp32(b))))
    smallest = 1 << BF16.fraction_bits
    lifted = (narrow & 0x7FFF) == smallest  # what the first rounding may have made a zero of
    np.testing.assert_array_equal(twice[~lifted], narrow[~lifted])
    assert set(np.unique(twice[lifted] & 0x7FFF)) <= {0, smallest}


def test_a_stream_that_ends_early_is_refused_in_a_sentence() -> None:
    def vectors(count: int) -> cases.Beats:
        return np.zeros((count, LANES), np.uint16)

    with pytest.raises(ValueError, match="vector input 0 holds 2 elements, the program takes 10"):
        execute(PARAMS, cases.Launch(kernels.activation(10, Function.EXP), {0: vectors(2)}))
    with pytest.raises(ValueError, match="the program takes 4 broadcast beats on vector input 1, 1 are given"):
        execute(PARAMS, cases.Launch(kernels.gemm(1, 8, 1, 4), {0: vectors(8), 1: vectors(1)}))
