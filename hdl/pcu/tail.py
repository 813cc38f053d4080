"""The tail: mask, scale, offset, special function, clamp, conversion, mask; each used or passed by."""

from collections.abc import Callable, Sequence
from typing import Any

from amaranth.hdl import Array, C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith import lfsr_params
from hdl.arith.add import Add
from hdl.arith.compare import MinMax
from hdl.arith.convert import FloatToInteger, Fp32ToBf16
from hdl.arith.fast import Fast
from hdl.arith.formats import BF16, FP32, Fp32
from hdl.arith.lfsr import Lfsr
from hdl.arith.multiply import Multiply
from hdl.arith.special import SpecialFunction
from hdl.once import once
from hdl.params import SCALAR_BITS, PCUParams
from hdl.pcu import fast
from hdl.pcu.config import BYTE_BITS, Conversion, Operation, pcu_layout
from hdl.pcu.header import choose, context_layout
from hdl.pcu.inputs import lane_words
from hdl.pcu.passes import counted, lane_number, which
from hdl.pcu.queues import Companion, Delayed

BF16_DEPTH = 2  # the most registers a rounding to BF16 can be cut into
BF16_LOW = SCALAR_BITS - BF16.width
"""Where a BF16 stands in a 32-bit lane."""


def tail_latency(params: PCUParams) -> int:
    """Cycles from ``i_valid`` to ``o_valid`` with everything used."""
    arith = params.arith
    through = 1 + params.passes if params.passes > 1 else 1
    return through + arith.multiply + arith.add + arith.special + 2 * arith.compare + arith.convert


class Tail(wiring.Component):
    """One vector a cycle, or in ``passes`` cycles, through the steps that the configuration uses.

    - ``push``: the context of a vector that is on its way, in order and no later than the vector.
    - Latency: one cycle and those of the steps used, and one more and the passes if there is more than one. Never
      stalls: vectors come no faster than it takes them. Steps not used do not move.
    - ``ready`` falls for ``lanes`` cycles from ``start`` while the random numbers are seeded, if they are used.
    """

    def __init__(self, params: PCUParams, in_flight: int, fast: bool = False) -> None:
        """``in_flight``: the most contexts that can be pushed before their vectors leave; ``fast``: a simulator
        computes in C (:mod:`hdl.arith.fast`)."""
        self.params, self.in_flight, self.fast = params, in_flight, fast
        super().__init__(
            {
                "config": In(pcu_layout(params)),
                "start": In(1),
                "ready": Out(1, init=1),
                "push": In(1),
                "context": In(context_layout(params)),
                "i_valid": In(1),
                "i": In(lane_words(params)),
                "o_valid": Out(1),
                "o": Out(lane_words(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tail, arith = self.config.tail, self.params.arith
        margin_before = self._beside(m, "margin_before", self.context.margin)
        margin_after = self._beside(m, "margin_after", self.context.margin)
        scale = self._beside(m, "scale", self._number(tail.scale))
        offset = self._beside(m, "offset", self._number(tail.offset))

        turns, come = self._parted(m)
        valid, lanes = Signal(), Signal(data.ArrayLayout(SCALAR_BITS, self.params.units))
        m.d.sync += valid.eq(turns.any())
        m.d.comb += margin_before.pop.eq(turns[-1])
        with m.If(turns.any()):
            masked = self._masked(turns, come, tail.mask.before, margin_before.head, tail.mask.value_before)
            m.d.sync += lanes.eq(Cat(masked))

        m.d.comb += scale.pop.eq(self._turns(m, "scale", valid)[-1])
        valid, lanes = self._step(
            m, "scale", tail.scale.use, valid, lanes,
            lambda lane: once(Multiply, FP32, FP32, arith.multiply),
            lambda unit, x: [unit.i.a.eq(x), unit.i.b.eq(Fp32(scale.head))],
            lambda x: fast.operated(self.params, Operation.MULTIPLY, arith.multiply, x, scale.head),
        )  # fmt: skip
        m.d.comb += offset.pop.eq(self._turns(m, "offset", valid)[-1])
        valid, lanes = self._step(
            m, "offset", tail.offset.use, valid, lanes,
            lambda lane: once(Add, FP32, arith.add),
            lambda unit, x: [unit.i.a.eq(x), unit.i.b.eq(Fp32(offset.head))],
            lambda x: fast.operated(self.params, Operation.ADD, arith.add, x, offset.head),
        )  # fmt: skip
        valid, lanes = self._step(
            m, "special", tail.special.use, valid, lanes,
            lambda lane: once(SpecialFunction, depth=arith.special),
            lambda unit, x: [unit.i.x.eq(x), unit.i.function.eq(tail.special.function)],
            lambda x: fast.function_of(self.params, x, tail.special.function),
        )  # fmt: skip
        valid, lanes = self._limit(m, "low", tail.clamp.low, 1, valid, lanes)
        valid, lanes = self._limit(m, "high", tail.clamp.high, 0, valid, lanes)
        valid, lanes = self._convert(m, valid, lanes)
        turns = self._turns(m, "leaving", valid)
        masked = Cat(self._masked(turns, lanes, tail.mask.after, margin_after.head, tail.mask.value_after))
        m.d.comb += [margin_after.pop.eq(turns[-1]), self.o_valid.eq(turns[-1]), Cat(self.o).eq(masked)]
        if self.params.passes > 1:
            before = Signal(len(self.o.as_value()) - len(masked))
            with m.If(valid):
                m.d.sync += before.eq(Cat(before, masked)[len(masked) :])
            m.d.comb += Cat(self.o).eq(Cat(before, masked))
        return m

    def _parted(self, m: Module) -> tuple[Value, Any]:
        """The pass that enters, a flag for each, and its lanes."""
        passes = self.params.passes
        if passes == 1:
            return Cat(self.i_valid), self.i
        waiting, turns = Signal.like(self.i.as_value(), name="waiting"), Signal(passes)
        m.d.sync += turns.eq(Cat(self.i_valid, turns))
        with m.If(self.i_valid):
            m.d.sync += waiting.eq(self.i)
        with m.Else():
            m.d.sync += waiting.eq(waiting >> self.params.units * SCALAR_BITS)
        return turns, [waiting.word_select(unit, SCALAR_BITS) for unit in range(self.params.units)]

    def _turns(self, m: Module, name: str, valid: Value) -> Value:
        """The pass that stands at a step, a flag for each."""
        return counted(m, name, valid, self.params.passes)

    def _beside(self, m: Module, name: str, value: Value) -> Companion:
        """A queue of what a later step needs of each context."""
        m.submodules[f"{name}_beside"] = queue = Companion(len(value), self.in_flight, late=self.params.passes > 1)
        m.d.comb += [queue.push.eq(self.push), queue.value.eq(value)]
        return queue

    def _number(self, operand: Any) -> Value:
        value: Value = Mux(operand.shared == 0, operand.constant, choose(self.context.shared, operand.shared))
        return value

    def _masked(self, turns: Value, lanes: Any, use: Value, margin: Value, value: Value) -> list[Value]:
        """Lanes up to ``margin`` (signed) as they are, ``value`` in the others."""
        numbers = [lane_number(self.params, unit, turns) for unit in range(self.params.units)]
        return [
            Mux(use & (number > margin.as_signed()), value, lane) for number, lane in zip(numbers, lanes, strict=True)
        ]

    def _step(
        self,
        m: Module,
        name: str,
        use: Value,
        valid: Value,
        lanes: Any,
        make: Callable[[int], Any],
        operands: Callable[[Any, Any], Sequence[Any]],
        outside: Callable[[Any], fast.Driven],
    ) -> tuple[Value, Any]:
        """One unit a lane, moving only while a vector is inside; passed by unless ``use``."""
        if self.fast:
            return self._fast_step(m, name, use, valid, lanes, *outside(lanes))
        units = [make(number) for number in range(self.params.units)]
        active, finished = self._moving(m, name, valid & use, units[0].latency)
        result = Signal(data.ArrayLayout(SCALAR_BITS, self.params.units), name=f"{name}_result")
        for number, unit in enumerate(units):
            m.submodules[f"{name}_{number}"] = unit
            m.d.comb += [unit.en.eq(active), *operands(unit, Fp32(lanes[number]))]
            m.d.comb += result[number].eq(Mux(use, unit.o.as_value(), lanes[number]))
        return Mux(use, finished, valid), result

    def _fast_step(
        self, m: Module, name: str, use: Value, valid: Value, lanes: Any, unit: Fast, operands: Sequence[Any]
    ) -> tuple[Value, Any]:
        """The same by one unit for all lanes."""
        active, finished = self._moving(m, name, valid & use, unit.latency)
        result = Signal(data.ArrayLayout(SCALAR_BITS, self.params.units), name=f"{name}_result")
        m.submodules[f"{name}_lanes"] = unit
        m.d.comb += [unit.en.eq(active), *operands]
        m.d.comb += result.as_value().eq(Mux(use, unit.o.as_value(), Cat(lanes)))
        return Mux(use, finished, valid), result

    def _limit(self, m: Module, name: str, limit: Value, maximum: int, valid: Value, lanes: Any) -> tuple[Value, Any]:
        """The greater of each lane and ``limit``, or the lesser."""
        extremum = Operation.MAXIMUM if maximum else Operation.MINIMUM
        return self._step(
            m, name, self.config.tail.clamp.use, valid, lanes,
            lambda lane: once(MinMax, FP32, self.params.arith.compare),
            lambda unit, x: [unit.i.a.eq(x), unit.i.b.eq(Fp32(limit)), unit.i.maximum.eq(maximum)],
            lambda x: fast.operated(self.params, extremum, self.params.arith.compare, x, limit),
        )  # fmt: skip

    def _moving(self, m: Module, name: str, enters: Value, latency: int) -> tuple[Value, Value]:
        """Enable of units of this latency, and whether a result leaves them."""
        moving = Signal(latency, name=f"{name}_moving")
        m.d.sync += moving.eq(Cat(enters, moving))
        return enters | moving[:-1].any(), moving[-1]

    def _convert(self, m: Module, valid: Value, lanes: Any) -> tuple[Value, Any]:
        """To BF16 in the upper half of a lane, or to INT32, or to INT8 with its sign extended."""
        config = self.config.tail
        to_byte = config.conversion == Conversion.INT8
        to_integer = to_byte | (config.conversion == Conversion.INT32)
        stochastic = config.conversion == Conversion.BF16_STOCHASTIC
        use = config.conversion != Conversion.NONE
        active, finished = self._moving(m, "convert", valid & use, self.params.arith.convert)
        result = Signal(data.ArrayLayout(SCALAR_BITS, self.params.units), name="convert_result")
        randoms = self._randoms(m, valid, stochastic)
        converted = self._fast_converted if self.fast else self._converted
        narrow, whole = converted(m, active, to_integer, stochastic, lanes, randoms)
        for number, lane in enumerate(lanes):
            integer = Mux(to_byte, _saturated(whole[number]), whole[number])
            m.d.comb += result[number].eq(Mux(use, Mux(to_integer, integer, narrow[number]), lane))
        return Mux(use, finished, valid), result

    def _converted(
        self, m: Module, active: Value, to_integer: Value, stochastic: Value, lanes: Any, randoms: Sequence[Value]
    ) -> tuple[list[Value], list[Value]]:
        """Every lane as BF16 in its upper half, and as an integer."""
        depth = self.params.arith.convert
        narrow, whole = [], []
        for number, lane in enumerate(lanes):
            m.submodules[f"round_{number}"] = rounding = once(Fp32ToBf16, min(BF16_DEPTH, depth))
            m.submodules[f"integer_{number}"] = integer = once(FloatToInteger, FP32, SCALAR_BITS, depth)
            m.d.comb += [
                rounding.en.eq(active & ~to_integer),
                rounding.i.value.eq(Fp32(lane)),
                rounding.i.stochastic.eq(stochastic),
                rounding.i.random.eq(randoms[number]),
                integer.en.eq(active & to_integer),
                integer.i.value.eq(Fp32(lane)),
            ]
            rounded = Value.cast(rounding.o)
            if rounding.latency < depth:
                m.submodules[f"round_wait_{number}"] = wait = Delayed(BF16.width, depth - rounding.latency)
                m.d.comb += [wait.en.eq(rounding.en), wait.i.eq(rounded)]
                rounded = wait.o
            narrow.append(Cat(C(0, BF16_LOW), rounded))
            whole.append(integer.o)
        return narrow, whole

    def _fast_converted(
        self, m: Module, active: Value, to_integer: Value, stochastic: Value, lanes: Any, randoms: Sequence[Value]
    ) -> tuple[list[Value], list[Value]]:
        m.submodules.round_lanes = rounding = fast.rounding(self.params)
        nothing = C(0, SCALAR_BITS)
        integer, operands = fast.operated(self.params, Operation.TO_INTEGER, self.params.arith.convert, lanes, nothing)
        m.submodules.integer_lanes = integer
        m.d.comb += [
            rounding.en.eq(active & ~to_integer),
            Cat(rounding.i.x).eq(Cat(lanes)),
            Cat(rounding.i.random).eq(Cat(randoms)),
            rounding.i.stochastic.eq(stochastic),
            integer.en.eq(active & to_integer),
            *operands,
        ]
        return list(rounding.o), list(integer.o)

    def _randoms(self, m: Module, valid: Value, stochastic: Value) -> list[Value]:
        """A random number for each unit, of the lane that it serves."""
        seeds = self._seeds(m, stochastic)
        turns = self._turns(m, "random", valid)
        units = self.params.units
        numbers = []
        for lane in range(self.params.lanes):
            m.submodules[f"random_{lane}"] = random = Lfsr()
            valid = turns[lane // units]
            m.d.comb += [
                random.en.eq(valid & stochastic),
                random.load.eq(seeds.load == lane + 1),
                random.seed.eq(seeds.state),
            ]
            numbers.append(random.o)
        if self.params.passes == 1:
            return numbers
        choices = Array(Cat(numbers[first : first + units]) for first in range(0, len(numbers), units))
        chosen = choices[which(turns)]
        return [chosen.word_select(unit, len(numbers[0])) for unit in range(units)]

    def _seeds(self, m: Module, stochastic: Value) -> Any:
        """Walks from seed to seed, one lane a cycle, after ``start``."""
        m.submodules.seeds = seeds = Seeds(self.params.lanes)
        m.d.comb += [
            seeds.start.eq(self.start & stochastic),
            seeds.seed.eq(self.config.tail.seed),
            self.ready.eq(seeds.load == 0),
        ]
        return seeds


def _saturated(integer: Value) -> Value:
    """An INT32 within the bounds of an INT8: what it is if its upper bits are all its sign."""
    sign = integer[-1]
    fits = (integer[BYTE_BITS - 1 :] == 0) | integer[BYTE_BITS - 1 :].all()
    return Mux(fits, integer, Cat((~sign).replicate(BYTE_BITS - 1), sign.replicate(len(integer) - BYTE_BITS + 1)))


class Seeds(wiring.Component):
    """Start states of the lanes' random-number registers, each 2^24 steps after the one before.

    - ``load``: lane ``load`` - 1 is to take ``state``; 0 when all have theirs, ``lanes`` cycles after ``start``.
    - Golden model: :func:`golden_model.numerics.lane_seeds`.
    """

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        width = lfsr_params.WIDTH
        super().__init__({"start": In(1), "seed": In(width), "load": Out(range(lanes + 1)), "state": Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.start):
            m.d.sync += [self.load.eq(1), self.state.eq(_far(Mux(self.seed.any(), self.seed, 1)))]
        with m.Elif(self.load != 0):
            m.d.sync += [self.load.eq(Mux(self.load == self.lanes, 0, self.load + 1)), self.state.eq(_far(self.state))]
        return m


def _far(state: Value) -> Value:
    """The state 2^24 steps later: linear, so each bit is a parity of some bits of ``state``."""
    images = _far_images()
    width = lfsr_params.WIDTH
    rows = [sum((images[bit] >> row & 1) << bit for bit in range(width)) for row in range(width)]
    return Cat((state & row).xor() for row in rows)


def _far_images() -> list[int]:
    """What becomes of each single bit: one step, squared as often as the exponent says."""
    toggle = sum(1 << tap for tap in lfsr_params.TAPS)
    images = [(1 << bit >> 1) ^ (toggle if bit == 0 else 0) for bit in range(lfsr_params.WIDTH)]
    for _ in range(lfsr_params.LANE_STEPS_LOG2):
        images = [_image(images, image) for image in images]
    return images


def _image(images: list[int], state: int) -> int:
    result = 0
    for bit, image in enumerate(images):
        if state >> bit & 1:
            result ^= image
    return result
