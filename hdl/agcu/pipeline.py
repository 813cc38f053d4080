"""The address pipeline of one stream: counters, registers, ALU stages, the check against the segment, a queue."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.agcu.config import Cause, part_layout
from hdl.control.counters import CounterChain
from hdl.control.credits import Credits
from hdl.params import ELEMENT_BITS, SCALAR_BITS, AGCUParams, RDUParams
from hdl.pmu.alu import AddressStage, flow_of
from hdl.pmu.issue import RegisterLoad
from hdl.streams import SEQUENCE_BITS, scalar_stream


def item_events_layout(agcu: AGCUParams) -> data.StructLayout:
    """What an iteration brings about besides its access: tokens to ``wait`` for and to ``fire``, a ``fence`` to wait
    at, its offset to ``emit`` as a scalar; ``last`` of the program."""
    return data.StructLayout({"wait": agcu.TOKENS, "fire": agcu.TOKENS, "fence": 1, "emit": 1, "last": 1})


def flow_events_layout(agcu: AGCUParams) -> data.StructLayout:
    """What goes with an iteration through the ALU: its events, and the bytes by which its round has ``moved`` on."""
    return data.StructLayout({"item": item_events_layout(agcu), "moved": SCALAR_BITS})


def item_layout(params: RDUParams) -> data.StructLayout:
    """One access: ``limit`` lanes from byte ``offset`` of the segment on.

    ``kept``: the predicate holds; ``touches``: and it moves data; ``cause``: it must not be made, and why.
    """
    return data.StructLayout(
        {
            "offset": SCALAR_BITS,
            "limit": range(params.lanes + 1),
            "kept": 1,
            "touches": 1,
            "cause": Cause,
            "sequence": SEQUENCE_BITS,
            "events": item_events_layout(params.agcu),
        }
    )


class AddressPipeline(wiring.Component):
    """Iterations of stream ``number`` (loads first, then stores) as checked accesses.

    - ``scalars[j]``: head of scalar input j, wanted (``ready``) for a limit or popped after an iteration.
    - ``wait_scalar``: only a scalar was missing. ``busy``: iterations or accesses are still to come.
    - Latency: 7 + ``alu_cycles`` x ``alu_stages`` cycles from ``start`` to the first access. Throughput: one a cycle.
    - Idle costs nothing: registers change only where an iteration is.
    """

    RESOLVE = 2

    def __init__(self, params: RDUParams, number: int) -> None:
        agcu = params.agcu
        self.params, self.number = params, number
        self.is_store = number >= agcu.loads
        # every place from issue to the queue's end and back, so that it runs at full rate
        self.depth = RegisterLoad.LATENCY + agcu.alu_cycles * agcu.alu_stages + self.RESOLVE + 5
        super().__init__(
            {
                "config": In(part_layout(params, number)),
                "start": In(1),
                "scalars": In(scalar_stream()).array(agcu.SCALAR_INPUTS),
                "busy": Out(1),
                "wait_scalar": Out(1),
                "o": Out(stream.Signature(item_layout(params))),
            }
        )

    @property
    def stream(self) -> Any:
        """Its own part of the configuration."""
        return self.config.own

    def elaborate(self, platform: object) -> Module:
        m = Module()
        agcu = self.params.agcu
        self.issued, self.room = Signal(), Signal()
        m.submodules.chain = chain = CounterChain(agcu.COUNTERS, agcu.SCALAR_INPUTS)
        flow: Any = self._issue(m, chain)
        for k in range(agcu.alu_stages):
            m.submodules[f"stage_{k}"] = stage = AddressStage(flow_of(flow_events_layout(agcu)), agcu.alu_cycles)
            m.d.comb += [stage.config.eq(self.stream.access.alu[k]), stage.i.eq(flow)]
            flow = stage.o
        item, valid = self._resolve(m, flow)
        places = self._queue(m, item, valid)
        m.d.comb += [self.room.eq(places.some), self.busy.eq(chain.busy | ~places.every)]
        return m

    def _issue(self, m: Module, chain: CounterChain) -> Signal:
        """The flow into the first ALU stage."""
        agcu, config = self.params.agcu, self.config
        mine = [config.scalar_in[j].stream == self.number + 1 for j in range(agcu.SCALAR_INPUTS)]
        there = Cat(~own | s.valid for own, s in zip(mine, self.scalars, strict=True)).all()
        m.submodules.load = load = RegisterLoad(agcu.COUNTERS, agcu.SCALAR_INPUTS)
        m.d.comb += [
            chain.config.eq(self.stream.access.chain),
            chain.start.eq(self.start & self.stream.access.enable),
            self.issued.eq(chain.valid & self.room & there),
            self.wait_scalar.eq(chain.busy & self.room & ~(chain.valid & there)),
            chain.step.eq(self.issued),
            load.config.eq(self.stream.access.registers),
            load.step.eq(self.issued),
            load.values.eq(chain.value),
            load.scalars.eq(Cat(scalar.payload for scalar in self.scalars)),
        ]
        for j, scalar in enumerate(self.scalars):
            popped = self.issued & mine[j] & chain.last.bit_select(config.scalar_in[j].boundary, 1)
            m.d.comb += [
                chain.limits[j].payload.eq(scalar.payload),
                chain.limits[j].valid.eq(scalar.valid),
                scalar.ready.eq(chain.limits[j].ready | popped),
            ]
        flow = Signal(flow_of(flow_events_layout(agcu)))
        events, first = Signal(flow_events_layout(agcu)), Signal()
        moved = self._moved(m, chain)
        m.d.sync += first.eq(self.issued)
        with m.If(self.issued):
            m.d.sync += [*self._events(events.item, chain), events.moved.eq(moved)]
        loaded = Signal.like(events)
        with m.If(first):
            m.d.sync += loaded.eq(events)
        m.d.comb += [flow.valid.eq(load.valid), flow.registers.eq(load.o), flow.events.eq(loaded)]
        return flow

    def _moved(self, m: Module, chain: CounterChain) -> Signal:
        """The bytes from the addresses of the first round to those of the present one."""
        moved = Signal(SCALAR_BITS)
        with m.If(self.start):
            m.d.sync += moved.eq(0)
        with m.Elif(self.issued & chain.last[0]):
            m.d.sync += moved.eq(moved + self.stream.access.step)
        return moved

    def _events(self, events: Any, chain: CounterChain) -> list[Any]:
        config = self.config

        def happens(flags: Value, event: Any) -> Value:
            return (event.stream == self.number + 1) & flags.bit_select(event.boundary, 1)

        fence = self.stream.access.fence
        return [
            events.wait.eq(Cat(happens(chain.first, e) & ~(e.carried & chain.first_round) for e in config.token_in)),
            events.fire.eq(Cat(happens(chain.last, e) & ~(e.carried & chain.last_round) for e in config.token_out)),
            events.fence.eq(fence.enable & chain.first.bit_select(fence.boundary, 1)),
            events.emit.eq(happens(chain.last, config.scalar_out[0])),
            events.last.eq(chain.last[0]),
        ]

    def _resolve(self, m: Module, flow: Any) -> tuple[Any, Signal]:
        """First cycle: what the registers mean. Second: whether the access lies in the segment."""
        access, registers = self.stream.access, flow.registers
        item, checked = Signal(item_layout(self.params)), Signal(item_layout(self.params))
        valid = [Signal(name=f"resolved_{k}") for k in range(self.RESOLVE)]
        lanes = self._lanes(registers[access.limit.register])
        bit = registers[access.bit.register].bit_select(access.bit.position, 1)
        m.d.sync += [valid[0].eq(flow.valid), valid[1].eq(valid[0])]
        with m.If(flow.valid):
            m.d.sync += [
                item.offset.eq(registers[access.address] + flow.events.moved),
                item.limit.eq(Mux(access.limit.enable, lanes, self.params.lanes)),
                item.kept.eq(~access.bit.enable | bit),
                item.events.eq(flow.events.item),
            ]
            if not self.is_store:
                sequence = self.stream.sequence
                m.d.sync += item.sequence.eq(Mux(sequence.enable, registers[sequence.register][:SEQUENCE_BITS], 0))
        touches = Signal()
        m.d.comb += touches.eq(item.kept & (item.limit != 0))
        with m.If(valid[0]):
            m.d.sync += [
                checked.eq(item),
                checked.touches.eq(touches),
                checked.cause.eq(Mux(touches, self._cause(m, item), Cause.NONE)),
            ]
        return checked, valid[1]

    def _lanes(self, limit: Value) -> Value:
        """A signed limit as 0 .. lanes; it counts words of two lanes where a load feeds the scalar output."""
        lanes = self.params.lanes
        scalar = Mux(self.stream.scalar, 1, 0) if not self.is_store else 0

        def clamped(most: int) -> Value:
            bits = (most).bit_length() - 1  # lanes and their half are powers of two
            return Mux(limit[-1], 0, Mux(limit[bits:-1].any(), most, limit[:bits]))

        return Mux(scalar, clamped(lanes // 2) << 1, clamped(lanes))

    def _cause(self, m: Module, item: Any) -> Value:
        segment = self.config.segment
        beat, granule = self.params.beat_bytes, self.params.beat_bytes * self.params.memory.granule
        word = SCALAR_BITS // 8
        by_word = self.stream.source != 0 if self.is_store else 0
        end, misaligned = Signal(SCALAR_BITS + 1), Signal()
        m.d.comb += [
            end.eq(item.offset + Mux(by_word, word, item.limit * (ELEMENT_BITS // 8))),
            misaligned.eq(
                (item.offset & Mux(by_word, word - 1, beat - 1)).any()
                | segment.base[: (granule - 1).bit_length()].any()
            ),
        ]
        return Mux(
            misaligned,
            Cause.MISALIGNED,
            Mux(~segment.permitted, Cause.PERMISSION, Mux(end > segment.limit, Cause.OUTSIDE, 0)),
        )

    def _queue(self, m: Module, item: Any, valid: Signal) -> Credits:
        """Queues accesses; a place is reserved when the iteration is issued. Returns the places."""
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=len(item.as_value()), depth=self.depth)
        m.submodules.credits = credits = Credits(self.depth)
        m.d.comb += [
            queue.w_en.eq(valid),
            queue.w_data.eq(item),
            self.o.valid.eq(queue.r_rdy),
            self.o.payload.as_value().eq(queue.r_data),
            queue.r_en.eq(self.o.ready),
            credits.take.eq(self.issued),
            credits.give.eq(queue.r_rdy & queue.r_en),
        ]
        return credits
