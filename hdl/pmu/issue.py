"""The head of an address pipeline: iterates its counters and loads an iteration's registers."""

from functools import reduce
from operator import add
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.control.counters import CounterChain
from hdl.params import SCALAR_BITS, PMUParams
from hdl.pmu.alu import flow_layout
from hdl.pmu.config import REGISTERS, Addend, Side, pmu_layout, register_layout
from hdl.streams import SEQUENCE_BITS, scalar_stream


class RegisterLoad(wiring.Component):
    """The registers an iteration starts with: constant + values of chosen counters + scalar or sequence id.

    - ``step``: an iteration enters, with the counters' ``values`` and the operands it may add.
    - Latency: ``LATENCY`` cycles from ``step`` to ``valid`` (eight terms to two sums, two sums to a register).
      Throughput: one iteration a cycle. Idle costs nothing.
    """

    LATENCY = 2

    def __init__(self, counters: int, scalar_inputs: int) -> None:
        self.counters, self.scalar_inputs = counters, scalar_inputs
        super().__init__(
            {
                "config": In(data.ArrayLayout(register_layout(counters), REGISTERS)),
                "step": In(1),
                "values": In(data.ArrayLayout(SCALAR_BITS, counters)),
                "scalars": In(data.ArrayLayout(SCALAR_BITS, scalar_inputs)),
                "sequence": In(SEQUENCE_BITS),
                "valid": Out(1),
                "o": Out(data.ArrayLayout(SCALAR_BITS, REGISTERS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half = Signal(data.ArrayLayout(data.ArrayLayout(SCALAR_BITS, 2), REGISTERS))
        valid = Signal()
        m.d.sync += [valid.eq(self.step), self.valid.eq(valid)]
        for k in range(REGISTERS):
            register = self.config[k]
            counters = [Mux(register.counters[i], self.values[i], 0) for i in range(self.counters)]
            terms = [*counters, register.constant, self._addend(m, register, k)]
            middle = len(terms) // 2
            with m.If(self.step):
                m.d.sync += [
                    half[k][0].eq(reduce(add, terms[:middle])),
                    half[k][1].eq(reduce(add, terms[middle:])),
                ]
        with m.If(valid):
            m.d.sync += [self.o[k].eq(half[k][0] + half[k][1]) for k in range(REGISTERS)]
        return m

    def _addend(self, m: Module, register: Any, k: int) -> Value:
        addend = Signal(SCALAR_BITS, name=f"addend_{k}")
        with m.Switch(register.addend):
            with m.Case(Addend.SEQUENCE):
                m.d.comb += addend.eq(self.sequence)
            for j in range(self.scalar_inputs):
                with m.Case(Addend(Addend.SCALAR_0.value + j)):
                    m.d.comb += addend.eq(self.scalars[j])
        return addend


class Issue(wiring.Component):
    """Issues the iterations of one side: each register starts as constant + chosen counters + scalar or sequence id.

    - ``scalars[j]``: head of scalar input j, wanted (``ready``) for a counter's limit or popped after an iteration.
    - ``sequence``: the sequence ids of the write data, one a vector; wanted only if a register adds it.
    - ``room``: something behind has reserved a place for one more iteration; without it nothing is issued.
    - ``issued``: pulse, an iteration enters; ``last``: its boundaries.
    - ``wait_scalar``, ``wait_sequence``: only a scalar, only a sequence id was missing.
    - Latency: ``LATENCY`` cycles from issue to ``o``. Throughput: one iteration a cycle.
    """

    LATENCY = RegisterLoad.LATENCY

    def __init__(self, params: PMUParams, side: Side) -> None:
        self.params, self.side = params, side
        super().__init__(
            {
                "config": In(pmu_layout(params)),
                "start": In(1),
                "scalars": In(scalar_stream()).array(params.SCALAR_INPUTS),
                "sequence_valid": In(1),
                "sequence": In(SEQUENCE_BITS),
                "sequence_ready": Out(1),
                "room": In(1),
                "issued": Out(1),
                "last": Out(params.COUNTERS + 1),
                "busy": Out(1),
                "wait_scalar": Out(1),
                "wait_sequence": Out(1),
                "o": Out(flow_layout(params)),
            }
        )

    @property
    def pipeline(self) -> Any:
        return self.config.write if self.side is Side.WRITE else self.config.read

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self.params
        m.submodules.chain = chain = CounterChain(params.COUNTERS, params.SCALAR_INPUTS)
        uses_sequence, mine = Signal(), Signal(params.SCALAR_INPUTS)
        m.d.sync += [  # a cycle after the settings they are made of: no program starts so soon
            uses_sequence.eq(Cat(r.addend == Addend.SEQUENCE for r in self._registers()).any()),
            mine.eq(Cat(port.side == self.side for port in self.config.scalar_in)),
        ]
        scalars_there = (~mine | Cat(s.valid for s in self.scalars)).all()
        there = Signal()  # everything but a sequence id
        m.d.comb += [
            chain.config.eq(self.pipeline.chain),
            chain.start.eq(self.start & self.pipeline.enable),
            there.eq(chain.valid & self.room & scalars_there),
            self.issued.eq(there & (~uses_sequence | self.sequence_valid)),
            self.wait_scalar.eq(chain.busy & self.room & ~(chain.valid & scalars_there)),
            self.wait_sequence.eq(there & uses_sequence & ~self.sequence_valid),
            chain.step.eq(self.issued),
            self.sequence_ready.eq(self.issued & uses_sequence),
            self.busy.eq(chain.busy),
            self.last.eq(chain.last),
        ]
        for j, scalar in enumerate(self.scalars):
            popped = self.issued & mine[j] & chain.last.bit_select(self.config.scalar_in[j].boundary, 1)
            m.d.comb += [
                chain.limits[j].payload.eq(scalar.payload),
                chain.limits[j].valid.eq(scalar.valid),
                scalar.ready.eq(chain.limits[j].ready | popped),
            ]
        self._load(m, chain)
        return m

    def _registers(self) -> list[Any]:
        return [self.pipeline.registers[k] for k in range(REGISTERS)]

    def _load(self, m: Module, chain: CounterChain) -> None:
        m.submodules.load = load = RegisterLoad(self.params.COUNTERS, self.params.SCALAR_INPUTS)
        events = Signal.like(self.o.events)
        m.d.comb += [
            load.config.eq(self.pipeline.registers),
            load.step.eq(self.issued),
            load.values.eq(chain.value),
            load.scalars.eq(Cat(scalar.payload for scalar in self.scalars)),
            load.sequence.eq(self.sequence),
            self.o.valid.eq(load.valid),
            self.o.registers.eq(load.o),
        ]
        with m.If(self.issued):
            m.d.sync += self._events(events, chain)
        first = Signal()
        m.d.sync += first.eq(self.issued)
        with m.If(first):
            m.d.sync += self.o.events.eq(events)

    def _events(self, events: Any, chain: CounterChain) -> list[Any]:
        def happens(flags: Value, event: Any) -> Value:
            return (event.side == self.side) & flags.bit_select(event.boundary, 1)

        buffer = self.pipeline.buffer
        return [
            events.acquire.eq(buffer.enable & chain.first.bit_select(buffer.boundary, 1)),
            events.release.eq(buffer.enable & chain.last.bit_select(buffer.boundary, 1)),
            events.wait.eq(Cat(happens(chain.first, self.config.token_in[i]) for i in range(self.params.TOKENS))),
            events.fire.eq(Cat(happens(chain.last, self.config.token_out[i]) for i in range(self.params.TOKENS))),
            events.emit.eq(
                Cat(happens(chain.last, self.config.scalar_out[k]) for k in range(self.params.SCALAR_OUTPUTS))
            ),
        ]
