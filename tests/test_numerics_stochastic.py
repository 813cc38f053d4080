"""The random numbers of stochastic rounding: full period, no overlap, no bias, one seed."""

import numpy as np
import pytest

from golden_model import numerics as golden
from golden_model.numerics import stochastic
from hdl.arith.lfsr_params import DRAW_BITS, LANE_STEPS_LOG2, MAX_LANES, TAPS, WIDTH
from hdl.errors import ParameterError

POLYNOMIAL = 1 << 32 | 1 << 7 | 1 << 6 | 1 << 2 | 1
PERIOD = 2**32 - 1
SEED = 1


def times(a: int, b: int) -> int:
    """The product of two polynomials over GF(2), modulo the generator's."""
    result = 0
    while b:
        if b & 1:
            result ^= a
        a <<= 1
        if a >> 32:
            a ^= POLYNOMIAL
        b >>= 1
    return result


def power(a: int, n: int) -> int:
    result = 1
    while n:
        if n & 1:
            result = times(result, a)
        a = times(a, a)
        n >>= 1
    return result


def reflected(state: int) -> int:
    """The register's polynomial: bit 31 is the constant term."""
    return int(f"{state:032b}"[::-1], 2)


def test_the_taps_are_those_of_the_polynomial() -> None:
    assert sum(1 << (WIDTH - 1 - tap) for tap in TAPS) == POLYNOMIAL & 0xFFFFFFFF


def test_the_polynomial_is_primitive_so_the_period_is_full() -> None:
    assert power(2, PERIOD) == 1
    assert all(power(2, PERIOD // prime) != 1 for prime in (3, 5, 17, 257, 65537))


def test_a_step_is_a_multiplication_by_x() -> None:
    states = np.random.default_rng(SEED).integers(1, 1 << 32, 100, dtype=np.uint32)
    for before, after in zip(states.tolist(), stochastic.step(states).tolist(), strict=True):
        assert reflected(after) == times(reflected(before), 2)


def test_draws_are_16_fresh_bits_each() -> None:
    """The draws are the sequence that falls out of bit 0, cut in words: no bit used twice, none left out."""
    seeds = golden.lane_seeds(SEED, 3)
    drawn = golden.draws(seeds, 40)
    state, bits = seeds, []
    for _ in range(40 * DRAW_BITS):
        bits.append(state & 1)
        state = stochastic.step(state)
    words = np.array(bits, np.uint32).reshape(40, DRAW_BITS, 3)
    assert (drawn == (words << np.arange(DRAW_BITS, dtype=np.uint32)[:, np.newaxis]).sum(axis=1)).all()


def test_lanes_start_far_apart_in_the_sequence() -> None:
    for lane, state in enumerate(golden.lane_seeds(0xC0FFEE, 5).tolist()):
        distance = power(2, (lane + 1) << LANE_STEPS_LOG2)
        assert reflected(state) == times(reflected(0xC0FFEE), distance)


def test_lanes_are_distinct_and_never_zero_whatever_the_seed() -> None:
    for seed in (0, 1, 2, 0x80000000, 0xFFFFFFFF, 1 << 32, -1):
        states = golden.lane_seeds(seed, MAX_LANES)
        assert len(set(states.tolist())) == MAX_LANES
        assert states.all()


def test_seed_zero_is_read_as_one() -> None:
    assert golden.lane_seeds(0, 4).tolist() == golden.lane_seeds(1, 4).tolist()


def test_more_lanes_than_the_sequence_has_room_for_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"257 lanes is not in 1\.\.256"):
        golden.lane_seeds(1, 257)


def test_draws_look_uniform_and_independent_of_lane_and_time() -> None:
    drawn = golden.draws(golden.lane_seeds(SEED, 32), 4096).astype(np.int64)
    count = drawn.size
    histogram = np.bincount((drawn >> 8).ravel(), minlength=256)
    chi_squared = ((histogram - count / 256) ** 2 / (count / 256)).sum()
    assert 170 < chi_squared < 350  # 255 degrees of freedom: five standard deviations are 113
    centred = drawn / 65536 - 0.5 + 1 / 131072
    limit = 5 / 12 / count**0.5  # five standard deviations of a mean of products of independent uniforms
    for pair in (centred[1:] * centred[:-1], centred[:, 1:] * centred[:, :-1], centred[2:] * centred[:-2]):
        assert abs(pair.mean()) < limit
    for bit in range(DRAW_BITS):
        assert abs((drawn >> bit & 1).mean() - 0.5) < 2.5 / count**0.5


def test_stochastic_rounding_is_unbiased_over_a_run() -> None:
    """The mean of many roundings comes back to the operand within five standard deviations, where nearest does not."""
    x = np.float32(1 + 2.0**-10)  # an eighth of a BF16 unit above one
    random = golden.draws(golden.lane_seeds(SEED, 16), 8192)
    rounded = golden.to_bf16(np.full(random.shape, x), random=random).astype(np.float64)
    deviation = 2.0**-7 * (1 / 8 * 7 / 8) ** 0.5 / rounded.size**0.5
    assert abs(rounded.mean() - float(x)) < 5 * deviation
    assert float(golden.to_bf16(np.array([x]))[0]) == 1.0


def test_one_seed_reproduces_a_run_and_another_gives_another() -> None:
    first, again, other = (golden.draws(golden.lane_seeds(seed, 8), 16) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()
