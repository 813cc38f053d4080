"""The pattern compute unit: composition only."""

from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Cat, DomainRenamer, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.clock_gate import gated_domain
from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.once import once
from hdl.params import SCALAR_BITS, PCUParams
from hdl.pcu.config import REGISTERS, STATUS, Mode, pcu_layout
from hdl.pcu.header import Header
from hdl.pcu.inputs import lane_words
from hdl.pcu.outputs import Outputs
from hdl.pcu.reduce import Reduction, reduction_latency
from hdl.pcu.side import Side
from hdl.pcu.simd import SimdStage, stage_latency, traffic_layout
from hdl.pcu.systolic import Drain, SystolicArray
from hdl.pcu.tail import Tail, tail_latency
from hdl.pcu.timing import operation_latency
from hdl.streams import scalar_stream, vector_stream


class PCU(wiring.Component):
    """Header, body (systolic or SIMD), reduction, tail, outputs; ``docs/pcu.md``.

    - ``bus``, ``commit``: the configuration bus. A commit also empties the inputs, so the streams of a program may
      arrive after it. Committing while the unit runs is an error of whoever does it.
    - ``start``: one-cycle pulse, after the commit; the same configuration may be started again and again, and then
      goes on reading its inputs where it left off.
    - ``done``: one-cycle pulse, when the last result of a start has entered its outputs' queues.
    - Status words (:data:`hdl.pcu.config.STATUS`) count from the last commit.
    - Every output is registered; no combinational path leads from an input to an output.
    - Source: :func:`golden_model.pcu.run` computes the same to the bit.
    """

    def __init__(self, params: PCUParams, gated: bool = False, fast: bool = False) -> None:
        """``gated``: the body that the mode does not use is not clocked (:mod:`hdl.clock_gate`); ``fast``: a simulator
        computes its arithmetic in C (:mod:`hdl.arith.fast`)."""
        self.params, self.gated, self.fast = params, gated, fast
        super().__init__(
            {
                "bus": In(config_port()),
                "commit": In(COMMIT),
                "start": In(1),
                "done": Out(1),
                "vector_in": In(vector_stream(params.lanes)).array(params.VECTOR_INPUTS),
                "scalar_in": In(scalar_stream()).array(params.SCALAR_INPUTS),
                "token_in": In(params.TOKENS),
                "vector_out": Out(vector_stream(params.lanes)).array(params.VECTOR_OUTPUTS),
                "scalar_out": Out(scalar_stream()).array(params.SCALAR_OUTPUTS),
                "token_out": Out(params.TOKENS),
            }
        )

    @property
    def in_flight(self) -> int:
        """Results between their reservation and their room being free again: the longest way, and a few queues."""
        body = self.params.stages * stage_latency(self.params)
        longest = body + reduction_latency(self.params) + tail_latency(self.params) + 8
        return 1 << longest.bit_length()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self.params
        layout = pcu_layout(params)
        m.submodules.registers = registers = ConfigRegisters(layout, len(STATUS), self.gated)
        wiring.connect(m, wiring.flipped(self.bus), registers.bus)
        config = registers.active
        distances = {
            Mode.SYSTOLIC: params.arith.multiply_add,
            Mode.SIMD: max(operation_latency(params.arith), params.arith.add),
        }
        m.submodules.header = header = Header(params, distances, self.gated)
        array, reduction, side = SystolicArray(params, self.fast), Reduction(params, self.fast), Side(params)
        m.submodules.drain = drain = Drain(params)
        tail = Tail(params, self.in_flight, self.fast)
        m.submodules.outputs = outputs = Outputs(params, self.in_flight)
        systolic, start = Signal(), Signal()
        m.d.comb += [registers.commit.eq(self.commit), systolic.eq(config.mode == Mode.SYSTOLIC)]
        if self.gated:
            self._gates(m, systolic, header, tail, outputs)
        for name, block, domain in (
            ("array", array, "tiles"),
            ("reduction", reduction, "simd"),
            ("side", side, "simd"),
            ("tail", tail, "tail"),
        ):
            m.submodules[name] = self._clocked(block, domain)
        for block in (header, drain, reduction, tail, outputs):
            m.d.comb += block.config.eq(config)
        self._connect_ports(m, header, outputs)
        running = self._run(m, start, header, drain, tail, outputs)

        m.d.comb += [
            header.room.eq(Mux(systolic, drain.room, outputs.room)),
            outputs.reserve.eq(Mux(systolic, drain.emits, header.emits)),
            tail.start.eq(start),
        ]
        self._systolic(m, systolic, header, array, drain, outputs)
        body = self._simd(m, ~systolic, header)
        emitted = Signal()
        m.d.comb += [
            emitted.eq(body.valid & body.step.emit),
            reduction.i_valid.eq(body.valid),
            reduction.i.eq(_register(body.registers, config.reduce.register)),
            reduction.step.eq(body.step),
            reduction.shared.eq(body.shared),
            side.enable.eq(config.side.enable),
            side.wide.eq(config.side.wide),
            side.i_valid.eq(emitted),
            side.i.eq(_register(body.registers, config.side.register)),
        ]
        # a tile's vector waits a cycle for its context, which is in the tail's queues from the next cycle on
        drained, drained_vector = Signal(), Signal(lane_words(params))
        m.d.sync += drained.eq(drain.valid)
        with m.If(drain.valid):
            m.d.sync += drained_vector.eq(drain.vector)
        reduces = config.reduce.enable
        everywhere = Cat(reduction.value for _ in range(params.lanes))
        whole = _register(body.registers, config.tail.register)
        m.d.comb += [
            tail.i_valid.eq(Mux(systolic, drained, Mux(reduces, reduction.o_valid, emitted))),
            tail.i.as_value().eq(Mux(systolic, Cat(drained_vector), Mux(reduces, everywhere, whole))),
            outputs.context_push.eq(Mux(systolic, drain.valid, header.issue & header.step.emit)),
            outputs.context.eq(Mux(systolic, drain.context, header.context)),
            tail.push.eq(outputs.context_push),
            tail.context.eq(outputs.context),
            outputs.result_push.eq(tail.o_valid),
            outputs.result.eq(tail.o),
            outputs.side_push.eq(side.o_valid),
            outputs.side.eq(side.o),
            outputs.index_push.eq(reduction.o_valid),
            outputs.index.eq(reduction.index),
        ]
        self._status(m, registers, header, running)
        return m

    def _gates(self, m: Module, systolic: Signal, header: Header, tail: Tail, outputs: Outputs) -> None:
        """The body that is not used is never clocked; the other, and the tail, as long as a result may be in it.

        Nothing waits inside them (room was reserved), so what has gone in is out after the longest way.
        """
        flows = self._lately(m, "flows", header.issue)
        gated_domain(m, "tiles", systolic & flows)
        gated_domain(m, "simd", ~systolic & flows)
        gated_domain(
            m, "tail", self._lately(m, "leaves", self.start | ~tail.ready | tail.i_valid | outputs.context_push)
        )

    def _lately(self, m: Module, name: str, event: Value) -> Value:
        """Whether ``event`` happens, or did so within the longest way."""
        left = Signal(range(self.in_flight + 1), name=name, init=self.in_flight)
        with m.If(event):
            m.d.sync += left.eq(self.in_flight)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return event | (left != 0)

    def _clocked(self, block: Any, domain: str) -> Any:
        return DomainRenamer(domain)(block) if self.gated else block

    def _connect_ports(self, m: Module, header: Header, outputs: Outputs) -> None:
        for mine, inner in (
            *zip(self.vector_in, header.vector_in, strict=True),
            *zip(self.scalar_in, header.scalar_in, strict=True),
            *zip(self.vector_out, outputs.vector_out, strict=True),
            *zip(self.scalar_out, outputs.scalar_out, strict=True),
        ):
            wiring.connect(m, wiring.flipped(mine), inner)
        m.d.comb += [header.token_in.eq(self.token_in), self.token_out.eq(outputs.token_out)]
        m.d.comb += header.flush.eq(self.commit.take)

    def _run(self, m: Module, start: Signal, header: Header, drain: Drain, tail: Tail, outputs: Outputs) -> Signal:
        """From ``start`` to ``done``; the chain starts when the random numbers are seeded."""
        running, pending = Signal(), Signal()
        finished = Signal()
        idle = ~header.busy & ~header.issue & drain.idle & outputs.idle
        m.d.comb += [
            start.eq(self.start & ~running),
            header.start.eq(pending & tail.ready),
            finished.eq(running & ~pending & idle),
        ]
        m.d.sync += [self.done.eq(finished), pending.eq(start | (pending & ~tail.ready))]
        m.d.sync += running.eq(start | (running & ~finished))
        return running

    def _systolic(
        self, m: Module, systolic: Signal, header: Header, array: SystolicArray, drain: Drain, outputs: Outputs
    ) -> None:
        m.d.comb += [
            array.rows.eq(header.config.systolic.rows),
            array.issue.eq(header.issue & systolic),
            array.step.eq(header.step),
            array.vector.eq(header.vector),
            array.broadcast.eq(header.broadcast),
            array.initial.eq(header.initial),
            drain.reserve.eq(header.emits & systolic),
            drain.issued.eq(header.issue & header.step.emit & systolic),
            drain.issued_context.eq(header.context),
            drain.finish.eq(array.finish),
            drain.sums.eq(array.sums),
            drain.may_emit.eq(outputs.room),
        ]

    def _simd(self, m: Module, enable: Value, header: Header) -> SimpleNamespace:
        """The stages one after the other; what leaves the last."""
        valid = Signal()
        traffic = Signal(traffic_layout(self.params))
        m.d.comb += [
            valid.eq(header.issue & enable),
            traffic.step.eq(header.step),
            traffic.shared.eq(header.context.shared),
            traffic.registers.eq(header.registers),
        ]
        fast = {"fast": True} if self.fast else {}  # the name of a module without stays what it was
        for s in range(self.params.stages):
            stage = once(SimdStage, self.params, **fast)
            m.submodules[f"stage_{s}"] = self._clocked(stage, "simd")
            m.d.comb += [stage.config.eq(header.config.stages[s]), stage.i_valid.eq(valid), stage.i.eq(traffic)]
            valid, traffic = stage.o_valid, stage.o
        return SimpleNamespace(valid=valid, step=traffic.step, shared=traffic.shared, registers=traffic.registers)

    def _status(self, m: Module, registers: ConfigRegisters, header: Header, running: Signal) -> None:
        """Counters of what happened since the commit."""
        events = [running, header.fires, *header.stalls, header.token_lost]
        for i, event in enumerate(events):
            count = Signal(SCALAR_BITS, name=STATUS[i])
            with m.If(self.commit.take):
                m.d.sync += count.eq(0)
            with m.Elif(event):
                m.d.sync += count.eq(count + 1)
            m.d.comb += registers.status[i].eq(count)


def _register(registers: Any, which: Value) -> Value:
    """Register ``which`` of all lanes."""
    value: Value = registers[0].as_value()
    for r in range(1, REGISTERS):
        value = Mux(which == r, registers[r].as_value(), value)
    return value
