"""Conversions between BF16, FP32, INT32 and INT8."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.classify import canonical, is_nan, magnitude
from hdl.arith.formats import BF16, FP32, Bf16, FloatFormat, Fp32
from hdl.arith.lfsr_params import DRAW_BITS
from hdl.arith.pipeline import Cuts, check_depth
from hdl.arith.shifters import shift_right_sticky


class Bf16ToFp32(wiring.Component):
    """The same number with sixteen more fraction bits; subnormals become zeros, NaN canonical.

    - Operands: ``value``. Latency: one cycle. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.to_fp32`.
    """

    STEPS = ("widen",)

    def __init__(self, depth: int = 1) -> None:
        check_depth("Bf16ToFp32", depth, self.STEPS)
        self.depth = self.latency = depth
        super().__init__({"en": In(1), "i": In(data.StructLayout({"value": Bf16})), "o": Out(Fp32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        padding = C(0, FP32.width - BF16.width)
        wide = Cat(padding, canonical(BF16, self.i.value)[: BF16.width])
        m.d.comb += self.o.eq(cut("widen", result=wide).result)
        return m


class Fp32ToBf16(wiring.Component):
    """Rounds to nearest even, or stochastically by ``random``.

    Either way something is added below the last bit kept and the low half is dropped: half a unit (less one where the
    last bit is even), or the random number. A carry runs into the exponent and so gives infinity by itself.

    - Operands: ``value``, ``stochastic`` (one bit), ``random`` (16 bits, read only then). Result: BF16.
    - Latency: ``depth`` cycles, 1 or 2. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.to_bf16`.
    """

    STEPS = ("add", "pack")
    DROPPED = FP32.width - BF16.width

    def __init__(self, depth: int = 1) -> None:
        check_depth("Fp32ToBf16", depth, self.STEPS)
        self.depth = self.latency = depth
        operands = data.StructLayout({"value": Fp32, "stochastic": 1, "random": DRAW_BITS})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(Bf16)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        x = self.i.value
        kept = magnitude(x)[self.DROPPED :]
        to_nearest_even = C((1 << (self.DROPPED - 1)) - 1, self.DROPPED) + kept[0]
        noise = Mux(self.i.stochastic, self.i.random, to_nearest_even)
        rounded = (magnitude(x) + noise)[self.DROPPED : FP32.width - 1]
        s = cut("add", rounded=rounded, sign=x.sign, zero=~x.exponent.any(), nan=is_nan(x))
        finite = Cat(Mux(s.zero, 0, s.rounded), s.sign)
        m.d.comb += self.o.eq(cut("pack", result=Mux(s.nan, BF16.canonical_nan, finite)).result)
        return m


class FloatToInteger(wiring.Component):
    """To nearest even, or toward zero; saturates; NaN gives 0.

    - Operands: ``value``, ``toward_zero`` (one bit). Result: two's complement of ``width`` bits.
    - Latency: ``depth`` cycles, 1 to 3. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.to_int32`, :func:`golden_model.numerics.to_int8`.
    """

    STEPS = ("align", "round", "saturate")

    def __init__(self, fmt: FloatFormat, width: int, depth: int = 1) -> None:
        check_depth("FloatToInteger", depth, self.STEPS)
        self.fmt, self.width = fmt, width
        self.depth = self.latency = depth
        operands = data.StructLayout({"value": fmt.layout, "toward_zero": 1})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(signed(width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        s = self._align(cut, self.i.value)
        # -n is ~n + 1, and a rounding up of n makes it ~n + 0: one adder does both
        up = ~s.toward_zero & s.half & (s.rest | s.whole[0])
        rounded = (Cat(s.whole ^ s.sign.replicate(len(s.whole)), s.sign) + (up ^ s.sign))[: self.width]
        s = cut("round", rounded=rounded, too_large=s.too_large, sign=s.sign, nan=s.nan)
        carried = ~s.sign & s.rounded[-1]  # past the largest integer
        limit = Cat((~s.sign).replicate(self.width - 1), s.sign)
        result = Mux(s.nan, 0, Mux(s.too_large | carried, limit, s.rounded))
        m.d.comb += self.o.eq(cut("saturate", result=result).result)
        return m

    def _align(self, cut: Cuts, x: Any) -> SimpleNamespace:
        """The magnitude below 2^(width - 1): its ``whole`` part, the bit of a ``half``, and whether a ``rest`` remains.

        The significand stands at the top, as if it were just below 2^(width - 1), and is shifted right from there.
        """
        whole_bits = self.width - 1
        padding = max(0, whole_bits + 2 - self.fmt.precision)  # room for half and rest
        significand = Cat(C(0, padding), x.fraction, C(1, 1))
        right = C(self.fmt.BIAS + whole_bits - 1) - x.exponent
        # from whole_bits + 2 on nothing reaches the half; a zero or a subnormal is among these
        small = right >= whole_bits + 2
        amount = right[: (whole_bits + 1).bit_length()]
        shifted, lost = shift_right_sticky(significand, amount)
        return cut(
            "align",
            whole=Mux(small, 0, shifted[-whole_bits:]),
            half=~small & shifted[-whole_bits - 1],
            rest=lost | shifted[: -whole_bits - 1].any(),
            too_large=right < 0,
            sign=x.sign,
            nan=is_nan(x),
            toward_zero=self.i.toward_zero,
        )


class IntegerToFloat(wiring.Component):
    """To nearest even; 0 gives +0.

    - Operands: ``value``, two's complement of ``width`` bits. Result: the format.
    - Latency: ``depth`` cycles, 1 to 4. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.to_fp32`, :func:`golden_model.numerics.to_bf16`.
    """

    STEPS = ("magnitude", "coarse", "fine", "round")

    def __init__(self, width: int, fmt: FloatFormat, depth: int = 1) -> None:
        check_depth("IntegerToFloat", depth, self.STEPS)
        self.fmt, self.width = fmt, width
        self.depth = self.latency = depth
        operands = data.StructLayout({"value": signed(width)})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(fmt.layout)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        s = cut("magnitude", magnitude=abs(self.i.value)[: self.width], sign=self.i.value[-1])
        levels = range((self.width - 1).bit_length())
        normal, coarse = _shift_out_zeros(s.magnitude, levels[2:])
        s = cut("coarse", normal=normal, places=coarse, sign=s.sign)
        normal, fine = _shift_out_zeros(s.normal, levels[:2])
        exponent = C(self.fmt.BIAS + self.width - 1, self.fmt.EXPONENT_BITS) - Cat(fine, s.places)
        padding = C(0, max(0, self.fmt.precision + 2 - self.width))  # room for half and rest
        s = cut("fine", normal=Cat(padding, normal), exponent=exponent[: self.fmt.EXPONENT_BITS], sign=s.sign)
        below = len(s.normal) - self.fmt.precision
        kept, half, rest = s.normal[below:], s.normal[below - 1], s.normal[: below - 1].any()
        # a carry out of the fraction makes it zero and runs into the exponent
        rounded = Cat(kept[:-1], s.exponent) + (half & (rest | kept[0]))
        result = Mux(kept[-1], Cat(rounded[: self.fmt.width - 1], s.sign), 0)  # the top bit is clear only of zero
        m.d.comb += self.o.eq(cut("round", result=result).result)
        return m


def _shift_out_zeros(x: Value, levels: Sequence[int]) -> tuple[Value, Value]:
    """``x`` shifted left by 2^level places where that loses no one, coarse levels first, and a bit for each level."""
    places: list[Value] = []
    for level in reversed(levels):
        distance = 1 << level
        empty = ~x[-distance:].any()
        x = Mux(empty, x << distance, x)[: len(x)]
        places.insert(0, empty)
    return x, Cat(places)


class IntegerToInteger(wiring.Component):
    """Two's complement of ``source`` bits to ``target`` bits: extends the sign, or saturates.

    - Operands: ``value``. Latency: one cycle. Throughput: one a cycle.
    - Golden model: :func:`golden_model.numerics.to_int32`, :func:`golden_model.numerics.to_int8`.
    """

    STEPS = ("saturate",)

    def __init__(self, source: int, target: int, depth: int = 1) -> None:
        check_depth("IntegerToInteger", depth, self.STEPS)
        self.target = target
        self.depth = self.latency = depth
        operands = data.StructLayout({"value": signed(source)})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(signed(target))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth)
        x = self.i.value
        sign = x[-1]
        excess = x[self.target - 1 :]  # nothing, when extending
        fits = (excess == sign.replicate(len(excess))) if len(excess) else C(1)
        limit = Cat((~sign).replicate(self.target - 1), sign).as_signed()
        m.d.comb += self.o.eq(cut("saturate", result=Mux(fits, x, limit)[: self.target].as_signed()).result)
        return m
