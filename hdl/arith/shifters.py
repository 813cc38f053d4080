"""Shifters of the floating-point datapath, level by level, coarse levels first.

Coarse first is smallest: what a coarse level clears is an AND, and the next level's LUT takes it in.
"""

from collections.abc import Sequence

from amaranth.hdl import C, Cat, Mux, Value


def shift_right_sticky(value: Value, amount: Value, unit: int = 1) -> tuple[Value, Value]:
    """``value`` right by ``amount * unit`` places, and whether a one was shifted out."""
    lost: Value = C(0, 1)
    for level in reversed(range(len(amount))):
        places = min(unit << level, len(value))
        lost = lost | (amount[level] & value[:places].any())
        value = Mux(amount[level], value[places:], value)
    return value, lost


def shift_left(value: Value, amount: Value, unit: int = 1) -> Value:
    """``value`` left by ``amount * unit`` places, its width kept."""
    for level in reversed(range(len(amount))):
        places = min(unit << level, len(value))
        value = Mux(amount[level], Cat(C(0, places), value[: len(value) - places]), value)
    return value


def count_leading(flags: Sequence[Value]) -> Value:
    """How many of ``flags`` are high before the first that is low, flag 0 first; as if a low one followed the last.

    Halves the flags level by level, so the count's upper bits are known first, in time for a coarse-first shifter.
    With a power of two of flags, all high counts as one fewer.
    """
    bits: list[Value] = []
    size = 1 << max(len(flags) - 1, 1).bit_length()
    flags = [*flags, *[C(0, 1)] * (size - len(flags))]
    while len(flags) > 1:
        half = len(flags) // 2
        upper, lower = flags[:half], flags[half:]
        full = Cat(*upper).all()
        bits.append(full)
        flags = [Mux(full, low, high) for high, low in zip(upper, lower, strict=True)]
    return Cat(*reversed(bits))
