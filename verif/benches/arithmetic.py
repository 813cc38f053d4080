"""Small arithmetic units for testing the bench kit itself: what they compute is plain to see."""

from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out


class MultiplyAddInteger(wiring.Component):
    """``a * b + c`` of unsigned integers, modulo ``2 ** bits``. Latency: ``depth`` cycles; throughput: one a cycle."""

    def __init__(self, bits: int = 16, depth: int = 3) -> None:
        self.bits, self.latency = bits, depth
        operands = data.StructLayout({"a": bits, "b": bits, "c": bits})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(bits)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        return delay(m, self.en, self.i.a * self.i.b + self.i.c, self.o, self.latency)


def delay(m: Module, en: Any, value: Any, out: Any, cycles: int, shape: ShapeLike | None = None) -> Module:
    """``out`` becomes ``value`` after ``cycles`` registers that move while ``en`` is high."""
    ranks = [Signal(len(out) if shape is None else shape, name=f"rank_{k}") for k in range(cycles - 1)]
    with m.If(en):
        for source, target in zip([value, *ranks], [*ranks, out], strict=True):
            m.d.sync += target.eq(source)
    return m
