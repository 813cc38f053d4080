"""The SIMD body: stages of one operation each, on four registers a lane."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.add import Add
from hdl.arith.compare import Compare, MinMax
from hdl.arith.convert import FloatToInteger, Fp32ToBf16, IntegerToFloat
from hdl.arith.formats import BF16, FP32, Fp32
from hdl.arith.integer import IntegerUnit
from hdl.arith.multiply import Multiply
from hdl.arith.operations import CompareOp, IntegerOp
from hdl.once import once
from hdl.params import SCALAR_BITS, PCUParams
from hdl.pcu.config import IDENTITY, REGISTERS, SHARED, Operation, Source, stage_layout
from hdl.pcu.fast import FastLanes
from hdl.pcu.header import step_layout
from hdl.pcu.inputs import lane_words
from hdl.pcu.passes import lane_number, which
from hdl.pcu.queues import Accumulators, Companion, Delayed
from hdl.pcu.timing import operation_latency, place_bits

BF16_DEPTH = 2  # the most registers a rounding to BF16 can be cut into


def stage_latency(params: PCUParams) -> int:
    """Cycles through a stage: to choose the operands, the operation, and of more passes than one to gather them."""
    return 1 + operation_latency(params.arith) + (params.passes if params.passes > 1 else 0)


class Lane(wiring.Component):
    """The arithmetic of one lane of one stage (of one in each pass), with the accumulators of that place.

    - ``o`` comes :func:`operation_latency` enabled cycles after ``a`` and ``b``. Only the unit that ``operation`` needs
      moves.
    - With ``accumulate`` the accumulator at ``place`` takes the place of ``b``: ``identity`` on ``first``.
    """

    def __init__(self, params: PCUParams) -> None:
        self.params = params
        self.latency = operation_latency(params.arith)
        place = place_bits(params)
        super().__init__(
            {
                "en": In(1),
                "operation": In(Operation),
                "integer": In(IntegerOp),
                "compare": In(CompareOp),
                "a": In(SCALAR_BITS),
                "b": In(SCALAR_BITS),
                "accumulate": In(1),
                "identity": In(SCALAR_BITS),
                "first": In(1),
                "place": In(place),
                "bypass": In(1),
                "keep": In(1),
                "kept_place": In(place),
                "o": Out(SCALAR_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.accumulators = accumulators = Accumulators(len(place_bits(self.params)))
        previous = Mux(self.first, self.identity, Mux(self.bypass, self.o, accumulators.value))
        b = Signal(SCALAR_BITS)
        m.d.comb += [
            accumulators.place.eq(self.place),
            accumulators.keep.eq(self.keep),
            accumulators.kept_place.eq(self.kept_place),
            accumulators.kept.eq(self.o),
            b.eq(Mux(self.accumulate, previous, self.b)),
        ]
        self._float_units(m, Fp32(self.a), Fp32(b))
        self._integer_unit(m, self.a, b)
        return m

    def _float_units(self, m: Module, a: Any, b: Any) -> None:
        arith = self.params.arith
        operations = Operation
        add = self._unit(m, "add", Add(FP32, arith.add), operations.ADD, operations.SUBTRACT)
        m.d.comb += [add.i.a.eq(a), add.i.b.eq(b), add.i.subtract.eq(self.operation == operations.SUBTRACT)]
        multiply = self._unit(m, "multiply", Multiply(FP32, FP32, arith.multiply), operations.MULTIPLY)
        m.d.comb += [multiply.i.a.eq(a), multiply.i.b.eq(b)]
        extremum = self._unit(m, "extremum", MinMax(FP32, arith.compare), operations.MINIMUM, operations.MAXIMUM)
        maximum = self.operation == operations.MAXIMUM
        m.d.comb += [extremum.i.a.eq(a), extremum.i.b.eq(b), extremum.i.maximum.eq(maximum)]
        comparisons = [Operation[c.name] for c in CompareOp]
        compare = self._unit(m, "comparison", Compare(FP32, arith.compare), *comparisons)
        m.d.comb += [compare.i.a.eq(a), compare.i.b.eq(b), compare.i.operation.eq(self.compare)]
        to_integer = FloatToInteger(FP32, SCALAR_BITS, arith.convert)
        to_integer = self._unit(m, "to_integer", to_integer, operations.TO_INTEGER, operations.TRUNCATE)
        m.d.comb += [to_integer.i.value.eq(a), to_integer.i.toward_zero.eq(self.operation == operations.TRUNCATE)]
        rounding = Fp32ToBf16(min(BF16_DEPTH, arith.convert))
        rounding = self._unit(m, "rounding", rounding, operations.ROUND_BF16, low=SCALAR_BITS - BF16.width)
        m.d.comb += rounding.i.value.eq(a)

    def _integer_unit(self, m: Module, a: Value, b: Value) -> None:
        arith = self.params.arith
        from_integer = IntegerToFloat(SCALAR_BITS, FP32, arith.convert)
        from_integer = self._unit(m, "from_integer", from_integer, Operation.FROM_INTEGER)
        m.d.comb += from_integer.i.value.eq(a)
        whole = [Operation[f"INT_{i.name}"] for i in IntegerOp]
        unit = self._unit(m, "whole", IntegerUnit(arith.integer), Operation.PASS, Operation.SELECT, *whole)
        m.d.comb += [unit.i.a.eq(a), unit.i.b.eq(b), unit.i.operation.eq(self.integer)]

    def _unit(self, m: Module, name: str, unit: Any, *operations: Operation, low: int = 0) -> Any:
        """Adds ``unit``, which serves ``operations`` and gives the result's bits from ``low`` up."""
        wanted = Signal(name=f"{name}_wanted")
        with m.Switch(self.operation), m.Case(*operations):
            m.d.comb += wanted.eq(1)
        m.submodules[name] = unit
        m.d.comb += unit.en.eq(self.en & wanted)
        result = Cat(C(0, low), Value.cast(unit.o)) if low else Value.cast(unit.o)
        if unit.latency < self.latency:
            m.submodules[f"{name}_wait"] = wait = Delayed(len(result), self.latency - unit.latency)
            m.d.comb += [wait.en.eq(self.en & wanted), wait.i.eq(result)]
            result = wait.o
        with m.If(wanted):
            m.d.comb += self.o.eq(result)
        return unit


def unit_codes(m: Module, operation: Value) -> tuple[Signal, Signal]:
    """An operation as the integer and the comparing unit of a :class:`Lane` know it."""
    code = Value.cast(operation)
    integer, compare = Signal(IntegerOp), Signal(CompareOp)
    whole = code >= Operation.INT_ADD.value
    # the enums list the operations in one order; PASS and SELECT add zero
    m.d.comb += [
        Value.cast(integer).eq(Mux(whole, code - Operation.INT_ADD.value, IntegerOp.ADD.value)),
        Value.cast(compare).eq(code - Operation.LT.value),
    ]
    return integer, compare


def traffic_layout(params: PCUParams) -> data.StructLayout:
    """What flows from stage to stage."""
    return data.StructLayout(
        {
            "step": step_layout(params),
            "shared": data.ArrayLayout(SCALAR_BITS, SHARED),
            "registers": data.ArrayLayout(lane_words(params), REGISTERS),
        }
    )


class SimdStage(wiring.Component):
    """One operation on every lane; its result takes the place of one register.

    - Latency: :func:`stage_latency`. Throughput: one iteration in ``passes`` cycles, in which ``i`` must stand.
    - An accumulating stage takes one slot again after :func:`operation_latency` cycles; the header sees to it.
    """

    def __init__(self, params: PCUParams, fast: bool = False) -> None:
        """``fast``: a simulator computes the operation in C (:mod:`hdl.arith.fast`)."""
        self.params, self.fast = params, fast
        self.latency = stage_latency(params)
        traffic = traffic_layout(params)
        super().__init__(
            {
                "config": In(stage_layout(params)),
                "i_valid": In(1),
                "i": In(traffic),
                "o_valid": Out(1),
                "o": Out(traffic),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params, passes = self.params, self.params.passes
        works = operation_latency(params.arith)
        at_once = -(-(self.latency + passes - 1) // passes) + 1
        m.submodules.beside = beside = Companion(traffic_layout(params), at_once, late=passes > 1)
        # bit k: entered k + 1 cycles ago; pass p is fetched in the cycle before bit p, and leaves ``works`` after it
        moving = Signal(self.latency + passes - 1)
        step = Signal(step_layout(params))
        m.d.sync += moving.eq(Cat(self.i_valid, moving))
        with m.If(self.i_valid):
            m.d.sync += step.eq(self.i.step)
        self._fetching = Cat(self.i_valid, moving)[:passes]
        leaving = moving[works : works + passes]
        kept = self._kept(m, leaving, beside.head.step)
        place = Cat(which(moving[:passes]), step.slot)
        kept_place = Cat(which(leaving), kept.slot)
        m.d.comb += [
            beside.push.eq(self.i_valid),
            beside.value.eq(self.i),
            beside.pop.eq(moving[-1]),  # the stage after fetches the last pass
            self.o_valid.eq(moving[self.latency - 1]),
            self.o.eq(beside.head),
        ]
        common = {
            "en": moving[: works + passes - 1].any(),
            "operation": self.config.operation,
            "accumulate": self.config.accumulate,
            "identity": self._identity(m),
            "first": step.first,
            "place": place,
            "bypass": leaving.any() & (kept_place == place),
            "keep": leaving.any() & self.config.accumulate,
            "kept_place": kept_place,
        }
        results = self._fast_lanes(m, common) if self.fast else self._lanes(m, common)
        whole = self._gathered(m, leaving, Cat(results))
        for r in range(REGISTERS):
            with m.If(self.config.into == r):
                m.d.comb += self.o.registers[r].eq(whole)
        return m

    def _lanes(self, m: Module, common: dict[str, Value]) -> list[Value]:
        """The results of the units; ``common``: what all are told alike."""
        results = []
        integer, compare = unit_codes(m, self.config.operation)
        common = common | {"integer": integer, "compare": compare}
        for unit in range(self.params.units):
            m.submodules[f"lane_{unit}"] = lane = once(Lane, self.params)
            a, b = self._operands(m, unit)
            m.d.comb += [lane.a.eq(a), lane.b.eq(b)]
            m.d.comb += [getattr(lane, name).eq(value) for name, value in common.items()]
            results.append(lane.o)
        return results

    def _fast_lanes(self, m: Module, common: dict[str, Value]) -> list[Value]:
        m.submodules.lanes = lanes = FastLanes(self.params)
        m.d.comb += [getattr(lanes, name).eq(value) for name, value in common.items()]
        for unit in range(self.params.units):
            a, b = self._operands(m, unit)
            m.d.comb += [lanes.a[unit].eq(a), lanes.b[unit].eq(b)]
        return list(lanes.o)

    def _kept(self, m: Module, leaving: Value, beside: Any) -> Any:
        """The step of what leaves the units, ``beside`` being that of what leaves the stage."""
        if self.params.passes == 1:
            return beside
        m.submodules.steps = steps = Companion(step_layout(self.params), self.latency)
        m.d.comb += [steps.push.eq(self.i_valid), steps.value.eq(self.i.step), steps.pop.eq(leaving[-1])]
        return steps.head

    def _gathered(self, m: Module, leaving: Value, results: Value) -> Value:
        """The results of all passes, which stand while the stage after fetches them."""
        passes = self.params.passes
        if passes == 1:
            return results
        before, whole = Signal(len(results) * (passes - 1)), Signal(len(results) * passes)
        with m.If(leaving[:-1].any()):
            m.d.sync += before.eq(Cat(before, results)[len(results) :])
        with m.If(leaving[-1]):
            m.d.sync += whole.eq(Cat(before, results))
        return whole

    def _identity(self, m: Module) -> Value:
        """What an accumulation starts from.

        Bits that are alike in all identities are one wire: Yosys would find out, and a net whose bits are copies of
        each other looks like a loop to a simulator that sees whole nets.
        """
        wires: dict[tuple[Operation, ...], Signal] = {}
        bits = []
        for bit in range(SCALAR_BITS):
            ones = tuple(operation for operation, start in IDENTITY.items() if start >> bit & 1)
            if ones not in wires:
                wires[ones] = Signal(name=f"identity_{bit}")
                with m.Switch(self.config.operation), m.Case(*ones):
                    m.d.comb += wires[ones].eq(1)
            bits.append(wires[ones])
        return Cat(bits)

    def _operands(self, m: Module, unit: int) -> tuple[Value, Value]:
        """Registers that hold a and b of the lane that the unit serves in this pass; a selection is made here too."""
        config, registers = self.config, self.i.registers
        number = lane_number(self.params, unit, self._fetching)
        sources: dict[Source, Any] = {
            **{Source(r): registers[r][number] for r in range(REGISTERS)},
            **{Source(REGISTERS + k): self.i.shared[k] for k in range(SHARED)},
            Source.CONSTANT: config.constant,
            Source.LANE: C(number, SCALAR_BITS) if isinstance(number, int) else number,
            Source.EXCHANGED: self._exchanged(m, unit, number),
        }
        chosen = {name: Signal(SCALAR_BITS, name=f"{name}_{unit}") for name in ("a", "b")}
        for name, signal in chosen.items():
            with m.Switch(getattr(config, name)):
                for source, value in sources.items():
                    with m.Case(source):
                        m.d.comb += signal.eq(value)
        a, b = chosen["a"], chosen["b"]
        selects, passes = config.operation == Operation.SELECT, config.operation == Operation.PASS
        other = selects & ~self._register(config.condition, number).any()
        operands = [Signal(SCALAR_BITS, name=f"{name}_now_{unit}") for name in ("a", "b")]
        with m.If(self._fetching.any()):
            m.d.sync += [operands[0].eq(Mux(other, b, a)), operands[1].eq(Mux(selects | passes, 0, b))]
        return operands[0], operands[1]

    def _exchanged(self, m: Module, unit: int, number: Value | int) -> Signal:
        """The value that lane ``number`` gets from another."""
        config = self.config
        exchange = config.exchange
        exchanged = Signal(SCALAR_BITS, name=f"exchanged_{unit}")
        if not isinstance(number, int):
            other = Mux(exchange.shift, number - exchange.distance, number ^ exchange.distance)[: len(number)]
            below = exchange.shift & (exchange.distance > number)
            m.d.comb += exchanged.eq(Mux(below, config.constant, self._register(exchange.register, other)))
            return exchanged
        with m.Switch(Cat(exchange.distance, exchange.shift)):
            for distance in range(self.params.lanes):
                with m.Case(distance):
                    m.d.comb += exchanged.eq(self._register(exchange.register, number ^ distance))
                with m.Case(distance + self.params.lanes):
                    below = number - distance
                    value = self._register(config.exchange.register, below) if below >= 0 else config.constant
                    m.d.comb += exchanged.eq(value)
        return exchanged

    def _register(self, which: Value, lane: Value | int) -> Value:
        value: Value = self.i.registers[0][lane]
        for r in range(1, REGISTERS):
            value = Mux(which == r, self.i.registers[r][lane], value)
        return value
