"""The random-number generator of stochastic rounding, as data for RTL and golden model.

A Galois register that shifts right: a one that falls out of bit 0 toggles the ``TAPS``. In the reflected view (bit 31
is the constant term) a step is a multiplication by x modulo x^32 + x^7 + x^6 + x^2 + 1, a primitive polynomial, so
every state but zero is visited: period 2^32 - 1.
"""

WIDTH = 32
DRAW_BITS = 16
"""Bits of one random number, and steps between two draws, so that no bit is used twice."""

TAPS = (31, 29, 25, 24)
"""All taps stand at or above ``DRAW_BITS``, so that the bits which fall out during one draw's steps are simply the low
``DRAW_BITS`` of the state, and a leap costs one small XOR a bit."""

LANE_STEPS_LOG2 = 24
MAX_LANES = 1 << (WIDTH - LANE_STEPS_LOG2)
"""Neighbouring lanes start 2^24 steps apart: 2^20 draws before a lane reaches where the next one started."""
