"""The INT32 unit: addresses, counters, masks and token ids."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.operations import IntegerOp
from hdl.arith.pipeline import Cuts, check_depth

WIDTH = 32
HALF = WIDTH // 2


class IntegerUnit(wiring.Component):
    """``a operation b`` on 32-bit two's complement; comparisons give 0 or 1.

    One adder serves sum, difference and every comparison; one shifter both directions, by reversing the bits around
    it; three 16-bit products the low half of the product.

    - Operands: ``operation`` (:class:`IntegerOp`), ``a``, ``b``. Result: 32 bits.
    - Latency: ``depth`` cycles, 1 to 3. Throughput: one a cycle.
    - ``multiplier`` false leaves the products out; ``MUL`` then gives 0.
    - Golden model: :func:`golden_model.numerics.integer`.
    """

    STEPS = ("operate", "combine", "select")

    def __init__(self, depth: int = 1, multiplier: bool = True) -> None:
        check_depth("IntegerUnit", depth, self.STEPS)
        self.multiplier = multiplier
        self.depth = self.latency = depth
        operands = data.StructLayout({"operation": IntegerOp, "a": signed(WIDTH), "b": signed(WIDTH)})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(signed(WIDTH))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        operation, a, b = self.i.operation, self.i.a, self.i.b
        subtract = operation != IntegerOp.ADD
        s = cut(
            "operate",
            total=(a + Mux(subtract, ~b, b) + subtract)[: WIDTH + 1],
            shifted=_shift(operation, a, b[:5]),
            outer=_low(a) * _low(b) if self.multiplier else C(0, WIDTH),
            inner=(_high(a) * _low(b) + _low(a) * _high(b))[:HALF] if self.multiplier else C(0, HALF),
            operation=operation,
            a=a,
            b=b,
        )
        s = cut(
            "combine",
            product=(s.outer + Cat(C(0, HALF), s.inner))[:WIDTH],
            total=s.total[:WIDTH],
            less=s.total[WIDTH],
            equal=s.a == s.b,
            shifted=s.shifted,
            operation=s.operation,
            a=s.a,
            b=s.b,
        )
        m.d.comb += self.o.eq(cut("select", result=_select(m, s)).result)
        return m


def _shift(operation: Value, a: Value, amount: Value) -> Value:
    left = operation == IntegerOp.SHL
    fill = (operation == IntegerOp.SAR) & a[-1]
    right = Cat(Mux(left, a[::-1], a)[:WIDTH], fill).as_signed() >> amount
    return Mux(left, right[:WIDTH][::-1], right[:WIDTH])


def _low(x: Value) -> Value:
    return x[:HALF]


def _high(x: Value) -> Value:
    return x[HALF:]


def _select(m: Module, s: Any) -> Value:
    results = {
        IntegerOp.ADD: s.total,
        IntegerOp.SUB: s.total,
        IntegerOp.MUL: s.product,
        IntegerOp.AND: s.a & s.b,
        IntegerOp.OR: s.a | s.b,
        IntegerOp.XOR: s.a ^ s.b,
        IntegerOp.NOT: ~s.a,
        IntegerOp.SHL: s.shifted,
        IntegerOp.SHR: s.shifted,
        IntegerOp.SAR: s.shifted,
        IntegerOp.MIN: Mux(s.less, s.a, s.b),
        IntegerOp.MAX: Mux(s.less, s.b, s.a),
        IntegerOp.EQ: s.equal,
        IntegerOp.NE: ~s.equal,
        IntegerOp.LT: s.less,
        IntegerOp.LE: s.less | s.equal,
    }
    result = Signal(WIDTH)
    with m.Switch(s.operation):
        for operation, value in results.items():
            with m.Case(operation):
                m.d.comb += result.eq(value)
    return result
