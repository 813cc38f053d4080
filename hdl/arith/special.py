"""Special functions: exp, exp2, reciprocal, square roots, sigmoid, SiLU, tanh and both GELUs on one datapath.

Every function is a power of two whose logarithm ``L`` a table of quadratics holds (``hdl.arith.special_tables``), so
one pipeline serves all: read |x| in fixed point, look the logarithm up, take its power of two by a second table,
multiply by x where the recipe says so, round once. Zeros and infinities need no case of their own: their logarithms
are so large that the result vanishes or overflows by itself. Only NaN is a flag.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.arith import special_tables as tables
from hdl.arith.formats import FP32, Fp32
from hdl.arith.pipeline import Cuts, check_depth, registered_steps
from hdl.arith.special_tables import Factor, Function, Page
from hdl.errors import ParameterError

CHUNK_BITS = (tables.SMALL_PAGE - 1).bit_length()  # a page is one or two chunks of 128 rows
STEP_BITS = (tables.STEP - 1).bit_length() + tables.ARGUMENT_FRACTION  # |x| within a step of 16
ARGUMENT_BITS = tables.ARGUMENT_INTEGER + tables.ARGUMENT_FRACTION
LOG_BITS = 10 + tables.LOG_FRACTION  # signed: |L| <= BEYOND + 24
EXPONENT_BITS = 11  # signed, biased: of 2^L, times x
ONE = C(1 << FP32.fraction_bits, FP32.precision)
LOW_BITS = 6  # a 24-bit significand is 18 bits, one side of an ECP5 multiplier, and 6

RowLayout = data.StructLayout({"c0": tables.C0_BITS, "c1": signed(tables.C1_BITS), "c2": signed(tables.C2_BITS)})
ChordLayout = data.StructLayout({"start": tables.CHORD_FRACTION, "rise": tables.RISE_BITS})


Operand = data.StructLayout({"function": Function, "x": Fp32})

Late = data.StructLayout({"x": Fp32, "times_x": 1, "negative": 1, "nan": 1})
"""What is known at the start and needed at the end of the pipeline."""

Direction = data.StructLayout({"shrinks": 1, "halve": 1})
"""What becomes of the logarithm L: the result is 2^L, 2^-L, 2^(L/2) or 2^(-L/2)."""


class SpecialFunction(wiring.Component):
    """``o = i.function(i.x)``, FP32 to FP32; a BF16 operand is an FP32 whose low half is zero.

    - Latency: ``depth`` cycles, 1 to 17. Throughput: one a cycle. Never stalls.
    - Error: at most 2^-19 of the value, so within 1 BF16 ulp once rounded (``docs/special_functions.md``).
    - Tables: rows of 72 bits, 2,048 for all functions, and 512 chords of 36 bits: block RAM from depth 5 on, in a
      shallower unit one or both are logic.
    - Source: :func:`golden_model.numerics.special.evaluate` computes the same to the bit.

    ``functions`` names the functions wanted; only their pages are built, and every other code gives NaN.

    Raises:
        ParameterError: no function is named, or the steps cannot be cut to that depth.
    """

    # steps and their delays on ECP5, ns; block RAM takes longer than anything to give out its word
    WEIGHTS: Mapping[str, float] = {
        "decode": 5,
        "align": 5,
        "address": 4,
        "fetch": 7,
        "curve": 6,
        "slope": 3,
        "product": 8,
        "logarithm": 4,
        "power": 4,
        "lookup": 7,
        "rise": 6,
        "mantissa": 5,
        "multiply": 6,
        "sum": 5,
        "normalise": 4,
        "round": 4,
        "pack": 3,
    }
    STEPS = tuple(WEIGHTS)

    def __init__(self, functions: Iterable[Function] = tuple(Function), depth: int = len(STEPS)) -> None:
        wanted = frozenset(functions)
        if not wanted:
            raise ParameterError("SpecialFunction: no function is named; name at least one of special_tables.Function")
        check_depth("SpecialFunction", depth, self.STEPS)
        self.functions = tuple(f for f in Function if f in wanted)
        self.depth = self.latency = depth
        self._pages = tables.pages(self.functions)
        self._continued = [page for page in self._pages if page.continues == page.name]
        chunks = range(max(2, sum(page.rows for page in self._pages) >> CHUNK_BITS))
        self._route = data.StructLayout(
            {
                "inside": chunks,  # where the page begins
                "outside": chunks,  # where larger |x| is served
                "large": 1,  # the page has two chunks
                "holds": 1,  # larger |x| is served by a last row
                "continues": range(max(2, len(self._continued))),  # otherwise by this page
            }
        )
        super().__init__({"en": In(1), "i": In(Operand), "o": Out(Fp32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        cut = Cuts(m, self.en, self.STEPS, self.depth, self.WEIGHTS)
        s = self._find_row(m, cut)
        s = self._logarithm(cut, s)
        s = self._power_of_two(m, cut, s)
        s = self._times_x(cut, s)
        m.d.comb += self.o.eq(_round(cut, s))
        return m

    def _find_row(self, m: Module, cut: Cuts) -> SimpleNamespace:
        """From the operand to a row of the table, the offset within it, and what is added to its logarithm."""
        route, direction, mantissa, late = self._decode(m)
        right = C(tables.ARGUMENT_INTEGER - 1 + FP32.BIAS) - self.i.x.exponent
        right = Mux(mantissa, tables.ARGUMENT_INTEGER - 1 - tables.MANTISSA_EXPONENT, right)
        s = cut("decode", right=right, route=route, direction=direction, late=late)

        a = Cat(C(0, ARGUMENT_BITS - FP32.precision), _significand(s.late.x)) >> s.right[:5]
        huge, tiny = s.right < 0, s.right >= 32
        s = cut("align", a=Mux(tiny, 0, a), huge=huge, route=s.route, direction=s.direction, late=s.late)

        within, whole = s.a[:STEP_BITS], s.a[STEP_BITS:]
        address = _row(s.route, within[tables.OFFSET_BITS :], s.huge | whole.any())
        added = self._added(m, s.route, Mux(s.huge, 1 << len(whole), whole), s.late.x.exponent)
        # the offset from the middle of the row: -1/2 <= t < 1/2 is the offset from its left end, first bit inverted
        t = Cat(within[: tables.OFFSET_BITS - 1], ~within[tables.OFFSET_BITS - 1]).as_signed()
        rows = [asdict(row) for page in self._pages for row in tables.rows(page)]
        alive = {"t": t, "added": added, "direction": s.direction, "late": s.late}
        return self._read(m, cut, ("address", "fetch"), RowLayout, rows, address, **alive)

    def _logarithm(self, cut: Cuts, s: SimpleNamespace) -> SimpleNamespace:
        """The row's quadratic, and the sign and half that the function wants: the power to raise 2 to."""
        curve = s.t * s.word.c2 >> tables.OFFSET_BITS + tables.C2_FRACTION - tables.C1_FRACTION
        base = s.added + s.word.c0
        s = cut("curve", curve=curve, c1=s.word.c1, base=base, t=s.t, direction=s.direction, late=s.late)
        slope = (s.c1 + s.curve)[: tables.C1_BITS].as_signed()
        s = cut("slope", slope=slope, base=s.base, t=s.t, direction=s.direction, late=s.late)
        product = s.t * s.slope >> tables.OFFSET_BITS + tables.C1_FRACTION - tables.C0_FRACTION
        s = cut("product", product=product, base=s.base, direction=s.direction, late=s.late)
        logarithm = (s.base + s.product)[:LOG_BITS].as_signed()
        s = cut("logarithm", logarithm=logarithm, direction=s.direction, late=s.late)
        power = Mux(s.direction.halve, s.logarithm >> 1, s.logarithm)
        power = Mux(s.direction.shrinks, -power, power)
        return SimpleNamespace(power=power[:LOG_BITS], late=s.late)

    def _power_of_two(self, m: Module, cut: Cuts, s: SimpleNamespace) -> SimpleNamespace:
        """2^power as an exponent and the fraction of a mantissa in [1, 2)."""
        fraction, exponent = s.power[: tables.LOG_FRACTION], s.power[tables.LOG_FRACTION :].as_signed()
        offset, index = fraction[: tables.CHORD_OFFSET_BITS], fraction[tables.CHORD_OFFSET_BITS :]
        chords = [asdict(chord) for chord in tables.chords()]
        alive = {"offset": offset, "exponent": exponent, "late": s.late}
        s = self._read(m, cut, ("power", "lookup"), ChordLayout, chords, index, **alive)
        s = cut("rise", start=s.word.start, rise=s.word.rise * s.offset, exponent=s.exponent, late=s.late)
        drop = tables.CHORD_OFFSET_BITS + tables.CHORD_FRACTION - FP32.fraction_bits
        fraction = Cat(C(0, 1), s.start) + s.rise[drop:] + s.rise[drop - 1]  # the rise, rounded to nearest
        significand = Cat(fraction[: FP32.fraction_bits], C(1, 1))
        x, times_x = s.late.x, s.late.times_x
        factor, biased = Mux(times_x, _significand(x), ONE), s.exponent + Mux(times_x, x.exponent, FP32.BIAS)
        ends = {"negative": s.late.negative, "nan": s.late.nan}
        return cut("mantissa", significand=significand, factor=factor, exponent=biased[:EXPONENT_BITS], **ends)

    def _times_x(self, cut: Cuts, s: SimpleNamespace) -> SimpleNamespace:
        """The exact product with |x|, or with 1: 48 bits, 46 of them a fraction, of a biased exponent."""
        multiplies = any(tables.RECIPES[f].factor is not Factor.NEVER for f in self.functions)
        (low, high), (x_low, x_high) = _split(s.significand), _split(s.factor if multiplies else ONE)
        ends = {"exponent": s.exponent, "negative": s.negative, "nan": s.nan}
        s = cut("multiply", outer=Cat(low * x_low, high * x_high), inner=high * x_low, inner_2=low * x_high, **ends)
        product = s.outer + (s.inner + s.inner_2 << LOW_BITS)
        ends = {"exponent": s.exponent, "negative": s.negative, "nan": s.nan}
        return cut("sum", product=product[: 2 * FP32.precision], **ends)

    def _decode(self, m: Module) -> tuple[Any, Any, Signal, Any]:
        """The route to the page, the direction, whether the page is read at the mantissa, and the late decisions."""
        x = self.i.x
        route, direction, late, mantissa = Signal(self._route), Signal(Direction), Signal(Late), Signal()
        nonzero, special = x.exponent.any(), x.exponent.all()
        m.d.comb += [late.x.eq(x), late.nan.eq(1)]
        with m.Switch(self.i.function):
            for function in self.functions:
                recipe = tables.RECIPES[function]
                shrinks = x.sign if recipe.grows and not recipe.mantissa else not recipe.grows
                times_x = {Factor.NEVER: 0, Factor.ALWAYS: 1, Factor.BELOW_TWO: ~x.exponent[-1]}[recipe.factor]
                with m.Case(function):
                    m.d.comb += [
                        route.eq(Mux(x.sign, self._route_to(recipe.negative), self._route_to(recipe.positive))),
                        direction.shrinks.eq(shrinks),
                        direction.halve.eq(recipe.halve),
                        mantissa.eq(recipe.mantissa),
                        late.times_x.eq(times_x),
                        late.negative.eq(recipe.odd & x.sign),
                        late.nan.eq(special & x.fraction.any() | recipe.domain_error & x.sign & nonzero),
                    ]
        return route, direction, mantissa, late

    def _route_to(self, page: Page) -> Value:
        """Where |x| finds its row when ``page`` is its page, as a constant of the route's layout."""
        first = self._pages[page]
        if page.continues:
            successor = tables.successor(page)
            outside, continues = self._pages[successor], self._continued.index(successor)
        else:
            outside, continues = first + page.rows - 1, 0
        fields = {
            "inside": first >> CHUNK_BITS,
            "outside": outside >> CHUNK_BITS,
            "large": page.rows == tables.LARGE_PAGE,
            "holds": not page.continues,
            "continues": continues,
        }
        return Value.cast(self._route.const(fields))

    def _added(self, m: Module, route: Any, whole: Value, exponent: Value) -> Signal:
        """What is added to the logarithm where pages continue; ``whole`` counts the steps of 16 in |x|."""
        added = Signal(signed(LOG_BITS))
        with m.If(~route.holds), m.Switch(route.continues):
            for k, page in enumerate(self._continued):
                with m.Case(k):
                    m.d.comb += added.eq(_exponent_of(exponent) if page is tables.LOG2 else _steps(page, whole))
        return added

    def _read(
        self,
        m: Module,
        cut: Cuts,
        steps: tuple[str, str],
        layout: data.StructLayout,
        content: Sequence[Any],
        address: Value,
        **alive: Value,
    ) -> SimpleNamespace:
        """The values alive after two steps, the address and the access, and ``word``, which the table holds there.

        Block RAM has a register inside: it serves as the first of the two cuts that is one. If neither is, the table
        is logic.
        """
        m.submodules[f"{steps[1]}_table"] = memory = Memory(shape=layout, depth=len(content), init=content)
        clocked = [step for step in steps if step in registered_steps(self.STEPS, self.depth, self.WEIGHTS)]
        port = memory.read_port(domain="sync" if clocked else "comb")
        m.d.comb += port.addr.eq(address)
        if clocked:
            m.d.comb += port.en.eq(self.en)
        s = cut(steps[0], **alive)
        if clocked == [steps[1]]:
            return SimpleNamespace(word=port.data, **vars(cut(steps[1], **vars(s))))
        return cut(steps[1], word=port.data, **vars(s))


def _row(route: Any, within: Value, beyond: Value) -> Value:
    """Address of the row that serves |x|; ``within`` is its row within the step of 16, ``beyond`` the rest."""
    chunk, second = within[:CHUNK_BITS], within[CHUNK_BITS]
    outside = beyond | (second & ~route.large)
    # the last row of a page is all ones in its last chunk
    return Cat(
        chunk | (outside & route.holds).replicate(CHUNK_BITS),
        Mux(outside, route.outside, route.inside) | (second & route.large),
    )


def _steps(page: Page, whole: Value) -> Value:
    """What ``whole`` steps of 16 add on this page; from 8 on, more than any result can hold."""
    beyond = tables.BEYOND << tables.LOG_FRACTION
    return Array(C(n, LOG_BITS) for n in [*tables.steps(page), *[beyond] * len(tables.steps(page))])[whole]


def _exponent_of(exponent: Value) -> Value:
    """The unbiased exponent as a logarithm; zeros and infinities are beyond every number."""
    unbiased = Mux(exponent.all(), tables.BEYOND, Mux(exponent.any(), exponent - FP32.BIAS, -tables.BEYOND))
    return unbiased << tables.LOG_FRACTION


def _significand(x: Any) -> Value:
    """24 bits; a subnormal has no hidden one and so is read as less than any normal number, and flushed in the end."""
    return Cat(x.fraction, x.exponent.any())


def _split(significand: Value) -> tuple[Value, Value]:
    return significand[:LOW_BITS], significand[LOW_BITS:]


def _round(cut: Cuts, s: SimpleNamespace) -> Value:
    """Normalises by one bit, rounds once to nearest even, then flushes, overflows, and replaces NaN."""
    carry = s.product[-1]
    product = Mux(carry, s.product, s.product << 1)
    fraction, half, rest = product[24:47], product[23], product[:23]
    exponent = (s.exponent + carry)[:EXPONENT_BITS]
    up = half & (rest.any() | fraction[0])
    s = cut("normalise", unrounded=Cat(fraction, exponent), up=up, negative=s.negative, nan=s.nan)
    # a carry out of the fraction runs into the exponent
    s = cut("round", rounded=(s.unrounded + s.up)[: len(s.unrounded)], negative=s.negative, nan=s.nan)
    fraction, exponent = s.rounded[: FP32.fraction_bits], s.rounded[FP32.fraction_bits :].as_signed()
    magnitude = Cat(fraction, exponent[: FP32.EXPONENT_BITS])
    magnitude = Mux(exponent < 1, 0, Mux(exponent >= FP32.EXPONENT_SPECIAL, FP32.infinity, magnitude))
    return cut("pack", o=Mux(s.nan, FP32.canonical_nan, Cat(magnitude, s.negative))).o
