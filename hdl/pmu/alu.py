"""The address ALU: one physical chain of integer stages, cut in two between the write and the read pipeline."""

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.params import SCALAR_BITS, PMUParams
from hdl.pmu.config import REGISTERS, AddressOp, alu_layout


def events_layout(params: PMUParams) -> data.StructLayout:
    """What an iteration brings about besides its access.

    ``acquire`` and ``release`` of a buffer, tokens to ``wait`` for and to ``fire``, scalars to ``emit``.
    """
    return data.StructLayout(
        {"acquire": 1, "release": 1, "wait": params.TOKENS, "fire": params.TOKENS, "emit": params.SCALAR_OUTPUTS}
    )


def flow_of(events: data.StructLayout) -> data.StructLayout:
    """An iteration on its way through the stages, with the events of its kind of unit."""
    registers = data.ArrayLayout(SCALAR_BITS, REGISTERS)
    return data.StructLayout({"valid": 1, "registers": registers, "events": events})


def flow_layout(params: PMUParams) -> data.StructLayout:
    """An iteration of a PMU on its way through the stages."""
    return flow_of(events_layout(params))


class AddressStage(wiring.Component):
    """One ALU stage: fetches two operands in the first cycle, computes in the others.

    - Latency: ``cycles``, 2 or 3; of three, the second multiplies and compares, the third shifts and chooses.
      Throughput: one iteration a cycle. Never stalls.
    - Idle costs nothing: without a valid iteration only the valid bit is clocked.
    - Golden model: ``golden_model.pmu``.
    """

    def __init__(self, flow: data.StructLayout, cycles: int) -> None:
        self.flow, self.cycles = flow, cycles
        super().__init__({"config": In(alu_layout()), "i": In(self.flow), "o": Out(self.flow)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        fetched: Any = Signal(self.flow)
        a, b, c = Signal(SCALAR_BITS), Signal(SCALAR_BITS), Signal()
        m.d.sync += fetched.valid.eq(self.i.valid)
        with m.If(self.i.valid):
            m.d.sync += [
                fetched.registers.eq(self.i.registers),
                fetched.events.eq(self.i.events),
                a.eq(self.i.registers[config.a]),
                b.eq(Mux(config.b_constant, config.constant, self.i.registers[config.b])),
                c.eq(self.i.registers[config.c][0]),
            ]
        product = Signal(2 * SCALAR_BITS)
        rounding = Mux(config.op == AddressOp.DIVIDE, Mux(config.increment, config.constant, 0), 0)
        m.d.comb += product.eq(a * config.constant + rounding)
        values = {"a": a, "b": b, "c": c, "product": product, "less": a.as_signed() < b.as_signed()}
        if self.cycles > 2:
            fetched, values = _later(m, fetched, values)
        result = _result(m, config, **values)
        m.d.sync += self.o.valid.eq(fetched.valid)
        with m.If(fetched.valid):
            m.d.sync += [self.o.registers.eq(fetched.registers), self.o.events.eq(fetched.events)]
            with m.If(config.op != AddressOp.NONE):
                m.d.sync += self.o.registers[config.destination].eq(result)
        return m


def _later(m: Module, flow: Any, values: Mapping[str, Value]) -> tuple[Any, dict[str, Value]]:
    """The same a cycle later."""
    after: Any = Signal.like(flow, name="multiplied")
    kept: dict[str, Value] = {name: Signal.like(value, name=f"{name}_kept") for name, value in values.items()}
    m.d.sync += after.valid.eq(flow.valid)
    with m.If(flow.valid):
        m.d.sync += [after.registers.eq(flow.registers), after.events.eq(flow.events)]
        m.d.sync += [kept[name].eq(value) for name, value in values.items()]
    return after, kept


def _result(m: Module, config: Any, a: Value, b: Value, c: Value, product: Value, less: Value) -> Signal:
    """``result`` of the configured operation, combinational."""
    result = Signal(SCALAR_BITS)
    bits = Signal(SCALAR_BITS)  # ``shift`` ones: the bits that SHIFT_SET takes from b
    width = Signal(SCALAR_BITS)
    right = Signal(SCALAR_BITS)
    left = Signal(SCALAR_BITS)
    right_by = Signal(range(SCALAR_BITS))
    left_by = Signal(range(SCALAR_BITS))
    m.d.comb += [
        bits.eq(Cat(config.shift > i for i in range(SCALAR_BITS))),
        width.eq(Cat(config.width > i for i in range(SCALAR_BITS))),
        right_by.eq(Mux(config.op == AddressOp.SHIFT_RIGHT, b, config.shift)),
        left_by.eq(Mux(config.op == AddressOp.SHIFT_LEFT, b, config.shift)),
        right.eq(Mux(config.op == AddressOp.DIVIDE, product[SCALAR_BITS:], a) >> right_by),
        left.eq((a << left_by)[:SCALAR_BITS]),
    ]
    results: dict[AddressOp, Value] = {
        AddressOp.ADD: a + b,
        AddressOp.SUBTRACT: a - b,
        AddressOp.MULTIPLY: product,
        AddressOp.MULTIPLY_SUBTRACT: b - product[:SCALAR_BITS],
        AddressOp.DIVIDE: right,
        AddressOp.SHIFT_LEFT: left,
        AddressOp.SHIFT_RIGHT: right,
        AddressOp.AND: a & b,
        AddressOp.EXTRACT: right & width,
        AddressOp.SHIFT_SET: left | (b & bits),
        AddressOp.LESS: less,
        AddressOp.EQUAL: a == b,
        AddressOp.SELECT: Mux(c, a, b),
        AddressOp.MIN: Mux(less, a, b),
        AddressOp.MAX: Mux(less, b, a),
    }
    with m.Switch(config.op):
        for op, value in results.items():
            with m.Case(op):
                m.d.comb += result.eq(value)
    return result


class AddressChain(wiring.Component):
    """``alu_stages`` stages in a row; the first ``split`` serve the write pipeline, the others the read pipeline.

    - Latency: ``split`` and ``alu_stages - split`` times ``alu_cycles``; zero for a side without stages.
    - Throughput: one iteration a cycle on either side. Never stalls.
    """

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        flow = flow_layout(params)
        super().__init__(
            {
                "stages": In(data.ArrayLayout(alu_layout(), params.alu_stages)),
                "split": In(range(params.alu_stages + 1)),
                "write_i": In(flow),
                "write_o": Out(flow),
                "read_i": In(flow),
                "read_o": Out(flow),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = self.params.alu_stages
        previous: Any = self.write_i
        m.d.comb += [self.write_o.eq(self.write_i), self.read_o.eq(self.read_i)]
        for k in range(count):
            m.submodules[f"stage_{k}"] = stage = AddressStage(flow_layout(self.params), self.params.alu_cycles)
            m.d.comb += [stage.config.eq(self.stages[k]), stage.i.eq(Mux(self.split == k, self.read_i, previous))]
            with m.If(self.split == k + 1):
                m.d.comb += self.write_o.eq(stage.o)
            previous = stage.o
        with m.If(self.split != count):
            m.d.comb += self.read_o.eq(previous)
        return m
