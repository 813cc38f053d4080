"""Several passes a vector: which lanes a unit serves, and when."""

from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.utils import exact_log2

from hdl.params import PCUParams


def which(flags: Value) -> Value:
    """The number of the flag that is set, if one is."""
    count = len(flags)
    return Cat(Cat(flags[k] for k in range(count) if k >> bit & 1).any() for bit in range(exact_log2(count)))


def lane_number(params: PCUParams, unit: int, turns: Value) -> Value | int:
    """The lane that ``unit`` serves while one of ``turns`` is set, a flag a pass: lanes that stand side by side."""
    return unit if params.passes == 1 else Cat(C(unit, exact_log2(params.units)), which(turns))


def counted(m: Module, name: str, event: Value, passes: int) -> Value:
    """A flag for each pass, of the ``event`` that is that pass of a vector; one after the other, any time apart."""
    if passes == 1:
        return Cat(event)
    turn = Signal(range(passes), name=f"{name}_turn")
    with m.If(event):
        m.d.sync += turn.eq(turn + 1)
    return Cat(event & (turn == k) for k in range(passes))


def resting(m: Module, name: str, event: Value, cycles: int) -> Value:
    """Whether ``event`` was so in one of the last ``cycles`` cycles."""
    if cycles == 0:
        return C(0, 1)
    left = Signal(range(cycles + 1), name=f"{name}_rests")
    with m.If(event):
        m.d.sync += left.eq(cycles)
    with m.Elif(left != 0):
        m.d.sync += left.eq(left - 1)
    return left != 0
