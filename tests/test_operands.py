"""The operand generators: every corner they are for comes up, and Hypothesis shrinks to simple values."""

import numpy as np
import pytest
from amaranth.lib import data
from hypothesis import find, given, settings
from hypothesis import strategies as st

from golden_model import numerics as golden
from golden_model.numerics.formats import exact as exactly
from hdl.arith.formats import BF16, FP32, Bf16, FloatFormat, Fp32
from verif import exact, operands

SEED = 33
COUNT = 200_000
FORMATS = [pytest.param(fmt, id=fmt.name) for fmt in (BF16, FP32)]


def exact_values(bits: np.ndarray, fmt: FloatFormat) -> np.ndarray:
    return exactly(golden.from_bits(bits, fmt))


@pytest.mark.parametrize("fmt", FORMATS)
def test_singles_meet_every_corner(fmt: FloatFormat) -> None:
    x = operands.singles(fmt, np.random.default_rng(SEED), COUNT)
    top, sign = fmt.infinity - 1, 1 << (fmt.width - 1)
    smallest = 1 << fmt.fraction_bits
    for corner in (0, smallest - 1, 1, smallest, smallest + 1, top, fmt.infinity, fmt.canonical_nan):
        for bits in (corner, corner | sign):
            assert np.count_nonzero(x == bits) >= 5, hex(bits)
    nans = x[(x & ~np.int64(sign)) > fmt.infinity]
    assert len(np.unique(nans)) > 100
    assert len(np.unique(x >> fmt.fraction_bits)) == 512
    assert 0 <= x.min() <= x.max() < 1 << fmt.width


@pytest.mark.parametrize("fmt", FORMATS)
def test_pairs_meet_cancellation_of_every_length_and_ties(fmt: FloatFormat) -> None:
    a, b = operands.pairs(fmt, np.random.default_rng(SEED), COUNT)
    x, y = exact_values(a, fmt), exact_values(b, fmt)
    finite = np.isfinite(x) & np.isfinite(y) & (np.sign(x) == -np.sign(y)) & (x != 0)
    total = np.abs(x[finite] + y[finite])
    assert np.count_nonzero(total == 0) > 500
    with np.errstate(divide="ignore"):
        lost = np.round(np.log2(np.abs(x[finite]) / total))
    for bits in range(1, fmt.precision):
        assert np.count_nonzero(lost == bits) >= 20, bits
    ties = np.abs(y) == np.ldexp(1.0, np.frexp(np.abs(np.where(np.isfinite(x), x, 0)))[1] - 1 - fmt.precision)
    assert np.count_nonzero(ties) > 100


@pytest.mark.parametrize("fmt", FORMATS)
def test_products_meet_both_ends_of_the_range(fmt: FloatFormat) -> None:
    a, b = operands.pairs(fmt, np.random.default_rng(SEED), COUNT)
    got = golden.to_bits(golden.multiply(golden.from_bits(a, fmt), golden.from_bits(b, fmt))).astype(np.int64)
    exponent = got >> fmt.fraction_bits & 255
    assert np.count_nonzero(exponent == 1) > 500
    assert np.count_nonzero(exponent == 254) > 500


def test_triples_meet_cancellation_of_every_length_and_sums_at_both_ends() -> None:
    a, b, c = operands.triples(np.random.default_rng(SEED), COUNT)
    x, y, z = exact_values(a, BF16), exact_values(b, BF16), exact_values(c, FP32)
    with np.errstate(all="ignore"):
        product = np.where(np.isfinite(x * y), x * y, np.nan)
        total = np.abs(product + z)
        opposite = product * z < 0
        assert np.count_nonzero(opposite & (total == 0)) > 500
        lost = np.round(np.log2(np.abs(z) / total))
    for bits in range(1, 24):
        assert np.count_nonzero(opposite & (lost == bits)) >= 20, bits
    tiny = opposite & (total < 2.0**-125) & (total > 2.0**-127)
    assert np.count_nonzero(tiny) > 20
    half_a_unit = opposite & (np.abs(z) == 2.0**-126) & (np.abs(product) > 2.0**-152) & (np.abs(product) < 2.0**-149)
    assert np.count_nonzero(half_a_unit) > 20


def test_a_seed_reproduces_its_operands() -> None:
    first, again = (operands.triples(np.random.default_rng(SEED), 20_000) for _ in range(2))
    assert all((x == y).all() for x, y in zip(first, again, strict=True))


def test_zero_decodes_to_ones() -> None:
    assert find(operands.triple_strategy(), lambda _: True) == (0x3F80, 0x3F80, 0x3F800000)
    assert find(operands.pair_strategy(FP32), lambda _: True) == (0x3F800000, 0x3F800000)


def test_a_failure_shrinks_to_simple_operands() -> None:
    """A unit that loses an infinity in ``a`` is shown with an infinity and two ones."""
    settled = settings(database=None, max_examples=5_000)
    a, b, c = find(operands.triple_strategy(), lambda abc: abc[0] & 0x7FFF == 0x7F80, settings=settled)
    assert (a & 0x7FFF, b, c) == (0x7F80, 0x3F80, 0x3F800000)


@settings(database=None, max_examples=300, deadline=None)
@given(operands.triple_strategy())
def test_drawn_triples_are_in_range_and_the_golden_model_takes_them(triple: tuple[int, int, int]) -> None:
    a, b, c = triple
    got = golden.multiply_add(golden.from_bits([a], BF16), golden.from_bits([b], BF16), golden.from_bits([c], FP32))
    assert golden.to_bits(got) == exact.multiply_add(a, b, c, BF16)


@settings(database=None, max_examples=100, deadline=None)
@given(st.integers(0, 0xFFFF), st.integers(0, 1), st.lists(st.integers(0, 0xFFFFFFFF), min_size=3, max_size=3))
def test_pack_puts_every_field_where_its_layout_has_it(a: int, flag: int, lanes: list[int]) -> None:
    layout = data.StructLayout({"flag": 1, "a": Bf16, "lanes": data.ArrayLayout(Fp32, 3)})
    (words,) = operands.pack(layout, a=[a], flag=[flag], lanes=[lanes])
    packed = sum(int(word) << 32 * i for i, word in enumerate(words))
    constant = layout.from_bits(packed)
    assert (constant.flag, constant.a.as_value().value, [x.as_value().value for x in constant.lanes]) == (
        flag,
        a,
        lanes,
    )


def test_unpack_is_the_inverse_of_pack() -> None:
    layout = data.StructLayout({"a": 5, "b": 32, "c": 1, "d": 30, "e": 17})
    rng = np.random.default_rng(SEED)
    fields = {name: rng.integers(0, 1 << field.width, 100) for name, field in layout}
    unpacked = operands.unpack(layout, operands.pack(layout, **fields))
    assert all((unpacked[name] == values).all() for name, values in fields.items())
