"""Address generation and coalescing unit: between the network of a tile and the memory (SN40L section IV-C)."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.agcu.answers import Answers
from hdl.agcu.config import Cause, Error, Status, agcu_layout, events_layout, fault_layout, fault_word_layout, streams
from hdl.agcu.load import LoadStream
from hdl.agcu.requests import Requests
from hdl.agcu.store import StoreStream
from hdl.agcu.tags import TagPool
from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.control.tokens import TokenCounter
from hdl.memory.port import memory_port
from hdl.params import SCALAR_BITS, RDUParams
from hdl.streams import scalar_stream, vector_stream


class AGCU(wiring.Component):
    """``loads`` streams from memory and ``stores`` streams to it, each with its own counters and address pipeline.

    - ``vector_in``: data of each store; ``vector_out``: data of each load.
    - ``scalar_in``: limits, operands of addresses (row numbers of a gather or scatter), words to store;
      ``scalar_out``: words loaded, or offsets of accesses.
    - ``token_in``, ``token_out``: one-cycle pulses. A store's token goes when all its writes so far were answered, a
      load's when its data were read.
    - ``memory``: requests and answers (``hdl.memory.port``).
    - ``bus``, ``commit``: configuration (``hdl.config``); commit forgets tokens and the fault.
    - ``start``: pulse, runs the active configuration; ignored while it runs. ``done``: pulse, every write was answered
      and every vector has left the unit.
    - ``fault``: the first access that was refused or answered with an error, until commit or reset. The unit then stops
      by itself: nothing new begins, and no data of that access leave.
    - ``halt``: level, stops the same way, and goes on when it falls. ``quiet``: level, the unit has stopped and nothing
      of it is under way in the memory.
    - Throughput: one beat a cycle; a request to read takes a cycle on its way too. A load is not slowed by memory
      that answers within ``outstanding`` x granule - 12 cycles.
    - Every output comes from registers; nothing moves while no program runs but the input queues filling.
    - Golden model: :func:`golden_model.agcu.run`. Manual: ``docs/agcu.md``.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        agcu, lanes = params.agcu, params.lanes
        super().__init__(
            {
                "vector_in": In(vector_stream(lanes)).array(agcu.stores),
                "vector_out": Out(vector_stream(lanes)).array(agcu.loads),
                "scalar_in": In(scalar_stream()).array(agcu.SCALAR_INPUTS),
                "scalar_out": Out(scalar_stream()).array(agcu.SCALAR_OUTPUTS),
                "token_in": In(agcu.TOKENS),
                "token_out": Out(agcu.TOKENS),
                "memory": Out(memory_port(params)),
                "bus": In(config_port()),
                "commit": In(COMMIT),
                "start": In(1),
                "done": Out(1),
                "halt": In(1),
                "quiet": Out(1),
                "fault": Out(fault_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self.params
        self.running, self.begin, self.stopped = Signal(), Signal(), Signal()
        m.submodules.registers = registers = ConfigRegisters(agcu_layout(params), len(Status))
        connect(m, flipped(self.bus), registers.bus)
        m.d.comb += [registers.commit.eq(self.commit), self.begin.eq(self.start & ~self.running)]
        self.config: Any = registers.active
        m.submodules.requests = self.requests = Requests(params)
        m.submodules.answers = self.answers = Answers(params)
        m.submodules.tags = self.tags = TagPool(params, streams(params.agcu))
        self._streams(m)
        self._scalar_inputs(m)
        self._bursts(m)
        self._deliveries(m)
        self._tokens(m)
        scalars_busy = self._scalar_output(m)
        busy = Cat(*(s.busy for s in self.all), scalars_busy, self.requests.sending)
        self._run(m, busy.any())
        self._stop(m)
        m.d.comb += registers.status.eq(Cat(self._status(m)))
        return m

    def _streams(self, m: Module) -> None:
        agcu = self.params.agcu
        self.loads = [LoadStream(self.params, k) for k in range(agcu.loads)]
        self.stores = [StoreStream(self.params, agcu.loads + k) for k in range(agcu.stores)]
        self.all: list[Any] = [*self.loads, *self.stores]
        for k, load in enumerate(self.loads):
            m.submodules[f"load_{k}"] = load
            connect(m, load.vector_out, flipped(self.vector_out[k]))
            m.d.comb += load.writing.eq(Cat(store.writing for store in self.stores).any())
        for k, store in enumerate(self.stores):
            m.submodules[f"store_{k}"] = store
            connect(m, flipped(self.vector_in[k]), store.vector_in)
            m.d.comb += store.others_writing.eq(Cat(s.writing for s in self.stores if s is not store).any())
        for s, unit in enumerate(self.all):
            self._configure(m, s, unit)
            m.d.comb += [unit.start.eq(self.begin), unit.stopped.eq(self.stopped)]

    def _configure(self, m: Module, s: int, unit: Any) -> None:
        """Its own part of the configuration, and the segment it names."""
        config, loads = self.config, self.params.agcu.loads
        own, permitted = (
            (config.loads[s], config.readable) if s < loads else (config.stores[s - loads], config.writable)
        )
        number = own.access.segment
        segment = Array([config.segments[k] for k in range(self.params.agcu.segments)])[number]
        m.d.comb += [
            unit.config.own.eq(own),
            unit.config.segment.base.eq(segment.base),
            unit.config.segment.limit.eq(segment.limit),
            unit.config.segment.permitted.eq(permitted.bit_select(number, 1)),
            *(getattr(unit.config, name).eq(getattr(config, name)) for name in events_layout(self.params.agcu)),
        ]

    def _scalar_inputs(self, m: Module) -> None:
        for j, port in enumerate(self.scalar_in):
            queue = fifo.SyncFIFOBuffered(width=SCALAR_BITS, depth=self.params.agcu.fifo_depth)
            m.submodules[f"scalar_in_{j}"] = queue
            m.d.comb += [queue.w_data.eq(port.payload), queue.w_en.eq(port.valid), port.ready.eq(queue.w_rdy)]
            heads = [s.scalars[j] for s in self.all]
            m.d.comb += [head.payload.eq(queue.r_data) for head in heads]
            m.d.comb += [head.valid.eq(queue.r_rdy) for head in heads]
            m.d.comb += queue.r_en.eq(Cat(head.ready for head in heads).any())

    # Between the streams and the memory

    def _bursts(self, m: Module) -> None:
        requests, tags, answers = self.requests, self.tags, self.answers
        bursts = [s.burst.payload for s in self.all]
        for s, source in enumerate(self.all):
            connect(m, source.burst, requests.bursts[s])
            m.d.comb += [
                source.tag.eq(tags.tag),
                source.complete.eq(tags.complete),
                requests.bases[s].eq(source.config.segment.base),
                requests.retire_room[s].eq(source.retire_room),
                tags.active[s].eq(source.busy),
                tags.freed[s].eq(source.freed),
                tags.freed_tag[s].eq(source.freed_tag),
            ]
            with m.If(requests.granted[s]):
                m.d.comb += [answers.origin.stream.eq(s), answers.origin.offset.eq(bursts[s].offset)]
        for k, store in enumerate(self.stores):
            connect(m, store.beats, requests.beats[k])
        connect(m, requests.request, flipped(self.memory.request))
        connect(m, flipped(self.memory.response), answers.response)
        m.d.comb += [
            requests.allowed.eq(tags.allowed),
            requests.tag.eq(tags.tag),
            requests.stopped.eq(self.stopped),
            tags.take.eq(requests.begun),
            tags.granted.eq(requests.granted),
            tags.answered.eq(answers.answered),
            tags.answered_tag.eq(answers.answered_tag),
            answers.sent.eq(requests.begun),
            answers.sent_tag.eq(tags.tag),
        ]

    def _deliveries(self, m: Module) -> None:
        for k, load in enumerate(self.loads):
            m.d.comb += [
                self.answers.wanted[k].eq(load.wanted),
                self.answers.slots[k].eq(load.slot),
                load.taken.eq(self.answers.taken[k]),
                load.elements.eq(self.answers.elements),
            ]

    # Tokens and scalars

    def _tokens(self, m: Module) -> None:
        """Tokens come at any time after commit; an access takes its own as it begins."""
        overflows = []
        for i in range(self.params.agcu.TOKENS):
            m.submodules[f"token_{i}"] = counter = TokenCounter()
            taken = Cat(s.begun & s.item.events.wait[i] for s in self.all).any()
            m.d.comb += [counter.load.eq(self.commit.take), counter.put.eq(self.token_in[i]), counter.take.eq(taken)]
            m.d.comb += [s.tokens[i].eq(counter.available) for s in self.all]
            overflows.append(counter.overflow)
        self.token_lost = Cat(overflows).any()
        m.d.sync += self.token_out.eq(reduce(or_, (s.fire for s in self.all)))

    def _scalar_output(self, m: Module) -> Value:
        """Words of the load that makes words, or offsets of the stream that emits them; never both in one program."""
        m.submodules.scalar_out = queue = fifo.SyncFIFOBuffered(width=SCALAR_BITS, depth=self.params.agcu.fifo_depth)
        port = self.scalar_out[0]
        for s in self.all:
            m.d.comb += s.emit_room.eq(queue.w_rdy)
            with m.If(s.begun & s.item.events.emit):
                m.d.comb += [queue.w_en.eq(1), queue.w_data.eq(s.item.offset)]
        for load in self.loads:
            m.d.comb += load.words.ready.eq(queue.w_rdy)
            with m.If(load.words.valid):
                m.d.comb += [queue.w_en.eq(1), queue.w_data.eq(load.words.payload)]
        m.d.comb += [port.valid.eq(queue.r_rdy), port.payload.eq(queue.r_data), queue.r_en.eq(port.ready)]
        return queue.level.bool()

    # Running, stopping, counting

    def _run(self, m: Module, busy: Value) -> None:
        """``begun`` covers the cycle in which the counters have not taken the start yet."""
        begun = Signal()
        m.d.sync += [begun.eq(self.begin), self.done.eq(0)]
        with m.If(self.begin):
            m.d.sync += self.running.eq(1)
        with m.Elif(self.running & ~begun & ~busy):
            m.d.sync += [self.running.eq(0), self.done.eq(1)]

    def _stop(self, m: Module) -> None:
        """Stops at the first fault; of several in one cycle an error of the memory counts, then the first stream's."""
        self.in_flight = Signal(range(self.params.agcu.outstanding + 1))
        begun, ended = self.requests.begun, self.answers.ended
        with m.If(begun ^ ended):
            m.d.sync += self.in_flight.eq(Mux(begun, self.in_flight + 1, self.in_flight - 1))
        fault, loads = self.fault, self.params.agcu.loads
        halted = Signal()  # so that no path leads from the port through the unit
        m.d.sync += halted.eq(self.halt)
        m.d.comb += self.stopped.eq(halted | fault.valid)
        m.d.sync += self.quiet.eq(self.stopped & (self.in_flight == 0) & ~self.requests.sending)
        with m.If(self.commit.take):
            m.d.sync += fault.eq(0)
        with m.Elif(~fault.valid):
            origin = self.answers.failed_origin
            for s in reversed(range(len(self.all))):
                refused = self.all[s].refused
                with m.If(refused):
                    m.d.sync += [fault.valid.eq(1), fault.cause.eq(self.all[s].item.cause), fault.stream.eq(s)]
                    m.d.sync += [fault.write.eq(s >= loads), fault.segment.eq(self.all[s].config.own.access.segment)]
                    m.d.sync += fault.address.eq(self.all[s].item.offset)
            with m.If(self.answers.failed):
                named = Array([s.config.own.access.segment for s in self.all])
                m.d.sync += [fault.valid.eq(1), fault.cause.eq(Cause.MEMORY), fault.stream.eq(origin.stream)]
                m.d.sync += [fault.write.eq(origin.stream >= loads), fault.segment.eq(named[origin.stream])]
                m.d.sync += fault.address.eq(origin.offset)

    def _status(self, m: Module) -> list[Value]:
        request, requests = self.memory.request, self.requests
        moved = request.valid & request.ready
        written = request.payload.write
        waiting = Cat(s.burst.valid & ~s.burst.ready for s in self.all)
        steps: dict[Status, Value] = {
            Status.BUSY: self.running,
            Status.BURSTS_READ: moved & ~written,
            Status.BEATS_READ: Mux(moved & ~written, request.payload.length + 1, 0),
            Status.BURSTS_WRITTEN: moved & written & request.payload.last,
            Status.BEATS_WRITTEN: moved & written,
            Status.WAIT_REQUEST: request.valid & ~request.ready,
            Status.WAIT_TAG: (waiting & ~self.tags.allowed).any() & ~requests.sending,
            Status.WAIT_DATA: Cat(s.wait_data for s in self.stores).any(),
            Status.WAIT_OUTPUT: Cat(s.wait_output for s in self.loads).any(),
            Status.WAIT_TOKEN: Cat(s.wait_token for s in self.all).any(),
            Status.WAIT_FENCE: Cat(s.wait_fence for s in self.all).any(),
            Status.WAIT_SCALAR: Cat(s.wait_scalar for s in self.all).any(),
        }
        words = [Signal(SCALAR_BITS, name=status.name.lower()) for status in Status]
        with m.If(self.begin):
            m.d.sync += [words[status].eq(0) for status in (*steps, Status.MOST_IN_FLIGHT, Status.ERRORS)]
        with m.Elif(self.running):
            for status, step in steps.items():
                with m.If(step != 0):
                    m.d.sync += words[status].eq(words[status] + step)
            with m.If(self.in_flight > words[Status.MOST_IN_FLIGHT]):
                m.d.sync += words[Status.MOST_IN_FLIGHT].eq(self.in_flight)
        with m.If(self.token_lost):
            m.d.sync += words[Status.ERRORS].eq(words[Status.ERRORS] | Error.TOKEN_LOST)
        fault, word = self.fault, Signal(fault_word_layout())
        m.d.comb += [getattr(word, name).eq(getattr(fault, name)) for name in ("cause", "stream", "segment", "write")]
        m.d.comb += [words[Status.FAULT].eq(word), words[Status.FAULT_ADDRESS].eq(fault.address)]
        return words
