"""The random numbers of stochastic rounding: one linear-feedback shift register a lane, all from one seed."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from hdl.arith.lfsr_params import DRAW_BITS, LANE_STEPS_LOG2, MAX_LANES, TAPS, WIDTH
from hdl.errors import ParameterError

_TOGGLE = np.uint32(sum(1 << tap for tap in TAPS))


def step(state: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The state one Galois step later."""
    return np.where(state & np.uint32(1), (state >> np.uint32(1)) ^ _TOGGLE, state >> np.uint32(1))


def lane_seeds(seed: int, lanes: int) -> NDArray[np.uint32]:
    """Start states of ``lanes`` registers: lane n stands (n + 1) * 2^24 steps after ``seed`` (0 is read as 1).

    Distinct and never zero, because a step is a bijection that keeps zero apart.

    Raises:
        ParameterError: more lanes than the sequence has room for.
    """
    if not 1 <= lanes <= MAX_LANES:
        raise ParameterError(f"stochastic rounding: {lanes} lanes is not in 1..{MAX_LANES}")
    states, state = [], seed % (1 << WIDTH) or 1
    for _ in range(lanes):
        state = _apply(_lane_distance(), state)
        states.append(state)
    return np.array(states, np.uint32)


def draws(seeds: NDArray[np.uint32], count: int) -> NDArray[np.uint16]:
    """The first ``count`` random numbers of registers that start at ``seeds``: shape (count, *seeds.shape).

    A number is the low 16 bits of the state; the register then leaps 16 steps, so no bit of its sequence is used twice.
    """
    state = np.asarray(seeds, np.uint32)
    drawn = np.empty((count, *state.shape), np.uint16)
    for i in range(count):
        drawn[i] = state.astype(np.uint16)
        for _ in range(DRAW_BITS):
            state = step(state)
    return drawn


@cache
def _lane_distance() -> tuple[int, ...]:
    """The linear map of 2^24 steps, as the images of the unit vectors: one step, squared 24 times."""
    columns = tuple(int(s) for s in step(np.uint32(1) << np.arange(WIDTH, dtype=np.uint32)))
    for _ in range(LANE_STEPS_LOG2):
        columns = tuple(_apply(columns, column) for column in columns)
    return columns


def _apply(columns: tuple[int, ...], state: int) -> int:
    image = 0
    for bit, column in enumerate(columns):
        if state >> bit & 1:
            image ^= column
    return image
