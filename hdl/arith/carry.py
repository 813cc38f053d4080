"""Addition with a carry in, on one carry chain."""

from amaranth.hdl import C, Cat, Value


def add_with_carry(a: Value, b: Value, carry: Value) -> Value:
    """``a + b + carry``, one bit wider than the wider operand.

    The carry enters through a bit below the lowest. Written as a sum of three, it would cost a second chain wherever
    a tool simplifies one of the additions before it sees that they belong together.
    """
    return (Cat(C(1, 1), a) + Cat(carry, b))[1:]
