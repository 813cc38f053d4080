"""The golden GEMM: the bits of a loop of multiply-adds, by both of its paths, fast enough for whole models."""

import time
from typing import Any

import numpy as np
import pytest
from ml_dtypes import bfloat16

from golden_model import numerics as golden
from golden_model.numerics import matrix as module
from golden_model.numerics.formats import Floats
from hdl.arith.formats import BF16, FP32
from verif import operands
from verif.agreement import assert_equal

SEED = 512


def loop(a: Floats, b: Floats, c: Floats | None = None) -> Floats:
    total = np.zeros((a.shape[0], b.shape[1]), np.float32) if c is None else c
    for k in range(a.shape[1]):
        total = golden.multiply_add(a[:, k : k + 1], b[k : k + 1, :], total)
    return total


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Floats:
    return golden.to_bf16((rng.standard_normal(shape) * scale).astype(np.float32))


def assert_equals_the_loop(a: Floats, b: Floats, c: Floats | None = None) -> None:
    assert_equal(golden.to_bits(golden.gemm(a, b, c)), golden.to_bits(loop(a, b, c)), seed=SEED)


@pytest.fixture
def paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The path each tile took, in order."""
    taken: list[str] = []
    for name in ("_accumulate_fp32", "_accumulate_exact"):
        original = getattr(module, name)

        def spy(*operands: Any, original: Any = original, name: str = name) -> Any:
            taken.append(name)
            return original(*operands)

        monkeypatch.setattr(module, name, spy)
    return taken


@pytest.mark.parametrize(
    ("m", "k", "n"), [(1, 1, 1), (1, 7, 300), (300, 7, 1), (33, 20, 65), (70, 5, 700), (3, 0, 4), (0, 3, 4)]
)
def test_gemm_is_a_loop_of_multiply_adds_for_any_shape(m: int, k: int, n: int) -> None:
    rng = np.random.default_rng(SEED)
    a, b = normal(rng, m, k), normal(rng, k, n)
    c = rng.standard_normal((m, n)).astype(np.float32)
    for start in (None, c):
        got = golden.gemm(a, b, start)
        assert got.shape == (m, n)
        assert golden.to_bits(got).tolist() == golden.to_bits(loop(a, b, start)).tolist()


def test_ordinary_operands_take_the_fast_path(paths: list[str]) -> None:
    rng = np.random.default_rng(SEED)
    a, b = normal(rng, 40, 60), normal(rng, 60, 50, scale=1e-12)
    a[::3] = 0
    assert_equals_the_loop(a, b)
    assert set(paths) == {"_accumulate_fp32"}


def test_operands_from_anywhere_take_the_exact_path(paths: list[str]) -> None:
    rng = np.random.default_rng(SEED)
    for _ in range(20):
        a, b = (golden.from_bits(operands.singles(BF16, rng, 30 * 12), BF16).reshape(30, 12) for _ in range(2))
        c = golden.from_bits(operands.singles(FP32, rng, 900), FP32).reshape(30, 30)
        assert_equals_the_loop(a, b.T.copy(), c)
    assert set(paths) == {"_accumulate_exact"}


def test_probabilities_of_a_long_softmax_take_the_exact_path(paths: list[str]) -> None:
    rng = np.random.default_rng(SEED)
    probabilities = golden.to_bf16(np.exp(-rng.uniform(0, 85, (20, 64))).astype(np.float32))
    assert_equals_the_loop(probabilities, normal(rng, 64, 32, scale=1e-3))
    assert "_accumulate_exact" in paths


def test_only_the_tiles_that_need_it_take_the_exact_path(paths: list[str]) -> None:
    rng = np.random.default_rng(SEED)
    a, b = normal(rng, 4 * module.TILE_ROWS, 8), normal(rng, 8, 600)
    a[0, 0] = 1e-37
    assert_equals_the_loop(a, b)
    assert paths.count("_accumulate_exact") == 2  # of eight: two across 600 columns
    assert paths.count("_accumulate_fp32") == 6


def sparse(rng: np.random.Generator, exponent: int, *shape: int) -> Floats:
    """BF16 of one exponent, of random sign and with few low bits, so that sums cancel to the last bit."""
    signs, fractions = rng.integers(0, 2, shape), rng.integers(0, 4, shape)
    return golden.from_bits(signs << 15 | exponent + BF16.BIAS << 7 | fractions, BF16)


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@pytest.mark.parametrize(
    ("ea", "eb", "start"),
    [(-60, -52, 0.0), (0, -112, 0.0), (0, 10, (1 + 2.0**-23) * 2.0**-103), (63, 63, -float(2**127))],
    ids=["partial sums", "one operand", "start", "overflow"],
)
def test_float32_is_used_up_to_each_bound_and_not_beyond(
    ea: int, eb: int, start: float, inside: bool, paths: list[str]
) -> None:
    rng = np.random.default_rng(SEED)
    beyond = 0 if inside else 1
    is_start = 0 < start < 1
    eb += 0 if is_start else (beyond if ea == 63 else -beyond)
    a, b = sparse(rng, ea, 16, 6), sparse(rng, eb, 6, 16)
    c = np.full((16, 16), start * (2.0**-beyond if is_start else 1), np.float32)
    assert_equals_the_loop(a, b, c)
    assert set(paths) == {"_accumulate_fp32" if inside else "_accumulate_exact"}


def test_float32_alone_would_be_wrong_for_the_smallest_operands() -> None:
    """So the exact path is no luxury: 1.01 - 1 of the smallest normal vanishes in the machine, not in float32."""
    a = np.ones((1, 3), bfloat16)
    b = golden.from_bits([[0x0081], [0x8080], [0x8080]], BF16)
    with np.errstate(all="ignore"):
        in_float32 = b.astype(np.float32).sum(axis=0)
    got = golden.gemm(a, b)
    assert got[0, 0] == -np.float32(2.0**-126) != in_float32[0]
    assert_equals_the_loop(a, b)


def test_a_sum_just_below_the_smallest_normal_vanishes_or_stays_by_its_24_bits() -> None:
    """2^-126 less half a unit of its lower neighbours is a tie and stays; less three quarters it is not the smallest
    normal to 24 bits, and vanishes, though float32's coarser subnormals would round it up."""
    smallest = np.full((1, 2), 2.0**-126, np.float32)
    got = golden.gemm(np.array([[-(2.0**-51)]], bfloat16), np.array([[2.0**-100, 1.5 * 2.0**-100]], bfloat16), smallest)
    assert golden.to_bits(got).tolist() == [[0x00800000, 0]]


def test_both_paths_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(SEED)
    a, b = normal(rng, 50, 200), normal(rng, 200, 70)
    fast = golden.gemm(a, b)
    monkeypatch.setattr(module, "is_exact_in_fp32", lambda *_: False)
    assert_equal(golden.to_bits(golden.gemm(a, b)), golden.to_bits(fast), seed=SEED)


def test_a_gemm_of_512_takes_less_than_two_seconds() -> None:
    rng = np.random.default_rng(SEED)
    a, b = normal(rng, 512, 512), normal(rng, 512, 512)
    start = time.perf_counter()
    golden.gemm(a, b)
    assert time.perf_counter() - start < 2


def test_operands_that_do_not_fit_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"gemm: shapes \(2, 3\) @ \(4, 5\) \+ \(2, 5\) do not fit"):
        golden.gemm(np.zeros((2, 3), bfloat16), np.zeros((4, 5), bfloat16))
    with pytest.raises(TypeError, match="gemm wants bfloat16 operands and a float32 start"):
        golden.gemm(np.zeros((2, 3), np.float32), np.zeros((3, 5), np.float32))
