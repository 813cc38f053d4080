"""Clock gates: what has nothing to do is not clocked. That saves power in silicon, and time in a compiled simulator,
which skips all logic behind a clock that does not tick (an enable saves it nothing: it evaluates what feeds a register
whether or not the register takes it).

A gate is a latch, open while the clock is low, and an AND, so the gated clock has no glitch. Libraries for silicon have
a cell for it; ``hdl/clock_gate.v`` is one for simulators, passed to ``verif.sim`` as a source. On an FPGA nothing is
gated: gates are an option of whoever has them, and change nothing that is computed.
"""

from pathlib import Path
from typing import Any

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
    ValueLike,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In

CELL = Path(__file__).with_suffix(".v")
"""The gate as Verilog, for simulators."""

AWAKE_CYCLES = 8
"""Cycles that a :class:`Sleeper` stays awake after the last event: more than any queue takes to settle."""


PULSES = (
    *("valid", "write", "start", "done", "commit", "halt"),
    *("token_in", "token_out", "side_in", "side_out", "local_in", "local_out"),
)
"""Ports of units at which something happens while they are not zero."""


def gated_domain(m: Module, name: str, enable: ValueLike) -> None:
    """Adds to ``m`` the clock domain ``name``: ``sync``, but only in cycles in which ``enable`` is high or in reset."""
    domain = ClockDomain(name, local=True)
    m.domains += domain
    gate = Instance("clock_gate", i_clk=ClockSignal(), i_enable=enable | ResetSignal(), o_gated=domain.clk)
    m.submodules[f"{name}_gate"] = gate
    m.d.comb += domain.rst.eq(ResetSignal())


def asleep(m: Module, outer: Any, inner: Any, awake: ValueLike) -> None:
    """Joins every port of ``outer`` to the same port of ``inner``, whose clock domain ``unit`` ticks while ``awake``.

    The net ``awake`` tells a simulator that steps blocks (``verif.sim.blocks``) which cycles change nothing.
    """
    stays = Signal(name="awake")
    m.d.comb += stays.eq(awake | ResetSignal())
    gated_domain(m, "unit", stays)
    mine, its = (owner.signature.flatten(owner) for owner in (outer, inner))
    for (_, member, own), (_, _, other) in zip(mine, its, strict=True):
        if member.flow is In:
            m.d.comb += Value.cast(other).eq(own)
        else:
            m.d.comb += Value.cast(own).eq(other)


class Sleeper(wiring.Component):
    """A unit of the fabric with the same ports, clocked only while something happens to it or in it.

    Awake: from ``start`` to ``done``; and for :data:`AWAKE_CYCLES` from the last pulse on another control input, access
    to its configuration, token, beat offered to an input or held by an output. It wakes in the cycle of the event:
    cycle by cycle it does what the unit does without the gate.
    """

    def __init__(self, unit: Any) -> None:
        self.unit = unit
        super().__init__(unit.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = DomainRenamer("unit")(self.unit)
        left, running = Signal(range(AWAKE_CYCLES + 1), init=AWAKE_CYCLES), Signal()
        event = self._event(m)
        if "start" in self.signature.members:
            m.d.sync += running.eq(self.start | (running & ~self.done))
        with m.If(event):
            m.d.sync += left.eq(AWAKE_CYCLES)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        asleep(m, self, self.unit, event | running | (left != 0))
        return m

    def _event(self, m: Module) -> Value:
        """Whether anything happens at the ports; a read of the configuration shows as a new address."""
        address = Signal.like(self.bus.address)
        m.d.sync += address.eq(self.bus.address)
        happens = [self.bus.address != address]
        for path, _, value in self.signature.flatten(self):
            name = next(part for part in reversed(path) if isinstance(part, str))
            if name in PULSES:
                happens.append(Value.cast(value).any())
        event: Value = Cat(happens).any()
        return event
