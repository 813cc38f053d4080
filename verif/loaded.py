"""A unit under full load, and two units side by side: harnesses whose operands are made in the simulator."""

from typing import Any

from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.config import config_port
from hdl.params import SCALAR_BITS

SEED = 0x9E37_79B9_7F4A_7C15
CONTROL = {"bus": In(config_port()), "commit": In(1), "start": In(1), "feed": In(1)}


class Loaded(wiring.Component):
    """A PCU or PMU; while ``feed``, a random BF16 near one stands in every lane of every input in every cycle.

    Outputs are taken as they come; ``parity`` is that of all of them. Scalars are random words.
    """

    def __init__(self, unit: Any) -> None:
        self.unit = unit
        super().__init__({**CONTROL, "done": Out(1), "parity": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = self.unit
        feed = Signal()
        m.d.sync += feed.eq(self.feed)
        random = _random(m, feed)
        _drive(m, self, unit, random, feed.replicate(64))
        m.d.comb += self.done.eq(unit.done)
        results = [Value.cast(port.payload) for port in (*unit.vector_out, *unit.scalar_out)]
        m.d.sync += self.parity.eq(Cat(results).xor())  # of what nobody sees a simulator computes nothing
        return m


class Pair(wiring.Component):
    """Two units of the same ports under the same inputs; the outputs are those of ``other``.

    ``differs``: in some cycle an output of one was not what it was of the other.
    """

    def __init__(self, one: Any, other: Any) -> None:
        self.one, self.other = one, other
        super().__init__({**dict(one.signature.members.items()), "differs": Out(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.one, m.submodules.other = self.one, self.other
        leaves = [[*unit.signature.flatten(unit)] for unit in (self.one, self.other)]
        own = {path: Value.cast(value) for path, _, value in self.signature.flatten(self)}
        apart = []
        for (path, member, one), (_, _, other) in zip(*leaves, strict=True):
            first, second, mine = Value.cast(one), Value.cast(other), own[path]
            if member.flow is In:
                m.d.comb += [first.eq(mine), second.eq(mine)]
            else:
                m.d.comb += mine.eq(second)
                apart.append(first != second)
        with m.If(Cat(apart).any()):
            m.d.sync += self.differs.eq(1)
        return m


class Twins(wiring.Component):
    """A :class:`Pair` of PCUs or PMUs fed with random gaps and back-pressure: ``differs`` once an output does.

    ``outputs`` counts the beats that left one of them.
    """

    def __init__(self, one: Any, other: Any) -> None:
        self.pair = Pair(one, other)
        super().__init__({**CONTROL, "differs": Out(1), "outputs": Out(SCALAR_BITS), "done": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pair = pair = self.pair
        feed = Signal()
        m.d.sync += feed.eq(self.feed)
        random = _random(m, C(1))
        _drive(m, self, pair, random, random.rotate_left(31) & feed.replicate(64))
        leaves = [port.valid & port.ready for port in (*pair.vector_out, *pair.scalar_out)]
        m.d.sync += self.outputs.eq(self.outputs + sum(leaves, start=C(0)))
        m.d.comb += [self.done.eq(pair.done), self.differs.eq(pair.differs)]
        return m


def _random(m: Module, step: Value) -> Signal:
    random = Signal(64, init=SEED)
    with m.If(step):
        m.d.sync += random.eq(random.rotate_right(1) ^ (random << 3) ^ (random >> 17))
    return random


def _drive(m: Module, control: Any, unit: Any, random: Value, chances: Value) -> None:
    """Connects ``unit``: stream k offers or takes a beat in cycles in which bit k of ``chances`` is high.

    What comes from outside goes through a register: the inputs of a unit change after a rising edge.
    """
    for name in ("address", "write", "write_data"):
        m.d.sync += getattr(unit.bus, name).eq(getattr(control.bus, name))
    m.d.sync += [unit.commit.eq(control.commit), unit.start.eq(control.start)]
    m.d.comb += control.bus.read_data.eq(unit.bus.read_data)
    inputs, outputs = [*unit.vector_in, *unit.scalar_in], [*unit.vector_out, *unit.scalar_out]
    handshakes = [*(port.valid for port in inputs), *(port.ready for port in outputs)]
    m.d.comb += Cat(handshakes).eq(chances)
    for k, port in enumerate(unit.vector_in):
        for lane, element in enumerate(port.payload.elements):
            bits = random.rotate_left(9 * lane + 4 * k)
            m.d.comb += element.eq(Cat(bits[:9], C(0b011111, 6), bits[9]))  # exponents 124 to 127
    for port in unit.scalar_in:
        m.d.comb += port.payload.eq(random)
