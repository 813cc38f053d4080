"""The pattern memory unit: two address pipelines around a banked scratchpad (SN40L section IV-B)."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.control.credits import Credits
from hdl.control.tokens import TokenCounter
from hdl.params import SCALAR_BITS, PMUParams
from hdl.pmu.access import Access
from hdl.pmu.address import AddressQueue
from hdl.pmu.align import ReadAlign, WriteAlign
from hdl.pmu.alu import AddressChain
from hdl.pmu.banks import Banks
from hdl.pmu.buffers import BufferRing
from hdl.pmu.config import Addend, Error, Side, Status, pmu_layout
from hdl.pmu.issue import Issue
from hdl.streams import SEQUENCE_BITS, scalar_stream, vector_layout, vector_stream


class PMU(wiring.Component):
    """``lanes`` banks of 16-bit elements, written and read by two independent address pipelines.

    - ``vector_in``: 0 is the data to be written, 1 the indices of look-ups; ``vector_out`` what was read.
    - ``scalar_in``: limits of counters, or operands of addresses; ``scalar_out``: registers of either pipeline.
    - ``token_in``, ``token_out``: one-cycle pulses.
    - ``bus``, ``commit``: configuration (``hdl.config``); commit forgets tokens and half a vector.
    - ``start``: pulse, runs the active configuration; ignored while it runs. ``done``: pulse, all of its results have
      left the unit. A program with neither side enabled is done at once.
    - Throughput: one write and one read a cycle where they fall in different groups.
    - Every output comes from registers; nothing moves while no program runs but the input queues filling.
    - Golden model: :func:`golden_model.pmu.run`. Manual: ``docs/pmu.md``.
    """

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        lanes = params.lanes
        super().__init__(
            {
                "vector_in": In(vector_stream(lanes)).array(params.VECTOR_INPUTS),
                "scalar_in": In(scalar_stream()).array(params.SCALAR_INPUTS),
                "vector_out": Out(vector_stream(lanes)).array(params.VECTOR_OUTPUTS),
                "scalar_out": Out(scalar_stream()).array(params.SCALAR_OUTPUTS),
                "token_in": In(params.TOKENS),
                "token_out": Out(params.TOKENS),
                "bus": In(config_port()),
                "commit": In(COMMIT),
                "start": In(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self.params
        self.running, self.begin = Signal(), Signal()
        m.submodules.registers = registers = ConfigRegisters(pmu_layout(params), len(Status))
        connect(m, flipped(self.bus), registers.bus)
        m.d.comb += [registers.commit.eq(self.commit), self.begin.eq(self.start & ~self.running)]
        self.config: Any = registers.active
        m.submodules.banks = self.banks = Banks(params)
        m.submodules.write_align = self.write_align = WriteAlign(params)
        m.submodules.read_align = self.read_align = ReadAlign(params)
        self.scalars = self._scalar_inputs(m)
        self._pipelines(m)
        self._vector_inputs(m)
        self._accesses(m)
        self._buffers(m)
        self._tokens(m)
        scalars_busy = self._scalar_outputs(m)
        busy = Cat(*(p.busy for p in self.issues + self.queues), *(a.o.valid for a in self.accesses))
        self._run(m, busy.any() | self.read_align.busy | scalars_busy)
        m.d.comb += registers.status.eq(Cat(self._status(m)))
        return m

    # Inputs

    def _scalar_inputs(self, m: Module) -> list[fifo.SyncFIFOBuffered]:
        queues = []
        for j, port in enumerate(self.scalar_in):
            queue = fifo.SyncFIFOBuffered(width=SCALAR_BITS, depth=self.params.fifo_depth)
            m.submodules[f"scalar_in_{j}"] = queue
            m.d.comb += [queue.w_data.eq(port.payload), queue.w_en.eq(port.valid), port.ready.eq(queue.w_rdy)]
            queues.append(queue)
        return queues

    def _vector_inputs(self, m: Module) -> None:
        """Write data waits while its address is computed, the sequence ids run ahead of it; indices have a queue."""
        params, lanes = self.params, self.params.lanes
        depth = params.fifo_depth + self.queues[0].depth
        layout = vector_layout(lanes)["elements"].shape
        m.submodules.data_queue = store = fifo.SyncFIFOBuffered(width=layout.size, depth=depth)
        m.submodules.sequence_queue = ids = fifo.SyncFIFOBuffered(width=SEQUENCE_BITS, depth=depth + 2)
        m.submodules.index_queue = indices = fifo.SyncFIFOBuffered(width=layout.size, depth=params.fifo_depth)
        beats, lookups = self.vector_in
        config, second = self.config.write, Signal()  # the beat completes an FP32 vector: its id does not count
        uses_ids = Cat(config.registers[k].addend == Addend.SEQUENCE for k in range(len(config.registers))).any()
        taken, issue = beats.valid & beats.ready, self.issues[0]
        with m.If(self.commit.take):
            m.d.sync += second.eq(0)
        with m.Elif(taken):
            m.d.sync += second.eq(~second & config.convert)
        m.d.comb += [
            beats.ready.eq(store.w_rdy & ids.w_rdy),
            store.w_en.eq(taken),
            store.w_data.eq(beats.payload.elements),
            ids.w_en.eq(taken & uses_ids & ~second),
            ids.w_data.eq(beats.payload.sequence),
            issue.sequence_valid.eq(ids.r_rdy),
            issue.sequence.eq(ids.r_data),
            ids.r_en.eq(issue.sequence_ready),
            self.write_align.config.eq(config),
            self.write_align.clear.eq(self.commit.take),
            self.write_align.i.valid.eq(store.r_rdy & self.running & config.enable),
            self.write_align.i.payload.eq(store.r_data),
            store.r_en.eq(self.write_align.i.ready & self.running & config.enable),
            indices.w_en.eq(lookups.valid),
            indices.w_data.eq(lookups.payload.elements),
            lookups.ready.eq(indices.w_rdy),
        ]
        write, read = self.accesses
        connect(m, self.write_align.o, write.operand)
        m.d.comb += [
            read.operand.valid.eq(indices.r_rdy),
            read.operand.payload.eq(indices.r_data),
            indices.r_en.eq(read.operand.ready),
        ]

    # Addresses

    def _pipelines(self, m: Module) -> None:
        """Issue, the ALU stages that both sides share, and the queue of accesses, for either side."""
        params = self.params
        m.submodules.alu = alu = AddressChain(params)
        m.d.comb += [alu.stages.eq(self.config.alu), alu.split.eq(self.config.split)]
        self.issues: list[Any] = []
        self.queues: list[Any] = []
        self.accesses: list[Any] = []
        for side, name in ((Side.WRITE, "write"), (Side.READ, "read")):
            m.submodules[f"{name}_issue"] = issue = Issue(params, side)
            m.submodules[f"{name}_queue"] = queue = AddressQueue(params)
            m.submodules[f"{name}_access"] = access = Access(params, side)
            config = getattr(self.config, name)
            m.d.comb += [
                issue.config.eq(self.config),
                issue.start.eq(self.begin),
                getattr(alu, f"{name}_i").eq(issue.o),
                queue.config.eq(config),
                queue.i.eq(getattr(alu, f"{name}_o")),
                queue.reserve.eq(issue.issued),
                access.config.eq(config),
                access.load.eq(self.begin),
            ]
            connect(m, queue.o, access.item)
            self.issues.append(issue)
            self.queues.append(queue)
            self.accesses.append(access)
        self.alu = alu
        for j, queue in enumerate(self.scalars):
            heads = [issue.scalars[j] for issue in self.issues]
            m.d.comb += [head.payload.eq(queue.r_data) for head in heads]
            m.d.comb += [head.valid.eq(queue.r_rdy) for head in heads]
            m.d.comb += queue.r_en.eq(heads[0].ready | heads[1].ready)

    def _accesses(self, m: Module) -> None:
        banks, align = self.banks, self.read_align
        write, read = self.accesses
        connect(m, write.o, banks.write)
        connect(m, read.o, banks.read)
        m.d.comb += [
            write.bank_shift.eq(self.config.bank_shift),
            read.bank_shift.eq(self.config.bank_shift),
            write.room.eq(1),
            read.room.eq(align.room),
            align.config.eq(self.config.read),
            align.reserve.eq(read.begun & read.item.payload.kept),
            align.taken.eq(read.o.valid & read.o.ready & read.o.payload.kept),
            align.request.eq(read.o.payload),
            align.elements.eq(banks.elements),
        ]
        connect(m, align.o, flipped(self.vector_out[0]))

    # Hand-over between the sides, and with other units

    def _buffers(self, m: Module) -> None:
        configs = (self.config.write, self.config.read)
        rings = []
        for k, name in enumerate(("write_ring", "read_ring")):
            m.submodules[name] = ring = BufferRing(self.params)
            access, other = self.accesses[k], self.accesses[1 - k]
            m.d.comb += [
                ring.base.eq(configs[k].region.base),
                ring.rows.eq(configs[k].region.rows),
                ring.buffers.eq(self.config.buffers),
                ring.initial.eq(self.config.buffers if k == 0 else 0),
                ring.load.eq(self.begin),
                ring.put.eq(other.o.valid & other.o.ready & other.o.payload.events.release),
                ring.take.eq(access.taken.acquire),
                ring.advance.eq(access.taken.release),
                access.buffer_available.eq(ring.available),
                access.first.eq(ring.first),
                access.end.eq(ring.end),
            ]
            rings.append(ring)

    def _tokens(self, m: Module) -> None:
        """Tokens come at any time after commit; an access takes its own as it begins and sends others when done."""
        self.token_lost = Signal()
        overflows = []
        for i in range(self.params.TOKENS):
            m.submodules[f"token_{i}"] = counter = TokenCounter()
            m.d.comb += [
                counter.load.eq(self.commit.take),
                counter.put.eq(self.token_in[i]),
                counter.take.eq(reduce(or_, (a.taken.wait[i] for a in self.accesses))),
            ]
            m.d.comb += [access.tokens[i].eq(counter.available) for access in self.accesses]
            overflows.append(counter.overflow)
        m.d.comb += self.token_lost.eq(Cat(overflows).any())
        fired = [a.o.payload.events.fire & (a.o.valid & a.o.ready).replicate(self.params.TOKENS) for a in self.accesses]
        m.d.sync += self.token_out.eq(fired[0] | fired[1])

    def _scalar_outputs(self, m: Module) -> Value:
        """Registers of either side after its last ALU stage; room is reserved when the iteration is issued."""
        depth = self.params.fifo_depth + self.queues[0].depth
        rooms: list[Any] = []
        busy: list[Any] = []
        flows = {Side.WRITE: self.alu.write_o, Side.READ: self.alu.read_o}
        for k, port in enumerate(self.scalar_out):
            output = self.config.scalar_out[k]
            m.submodules[f"scalar_out_{k}"] = queue = fifo.SyncFIFOBuffered(width=SCALAR_BITS, depth=depth)
            m.submodules[f"scalar_out_{k}_credits"] = credits = Credits(depth)
            value, emitted = Signal(SCALAR_BITS, name=f"scalar_out_{k}_value"), Signal(name=f"scalar_out_{k}_emitted")
            m.d.sync += emitted.eq(0)
            for side, issue in zip((Side.WRITE, Side.READ), self.issues, strict=True):
                flow = flows[side]
                with m.If(output.side == side):
                    emits = issue.issued & issue.last.bit_select(output.boundary, 1)
                    m.d.comb += credits.take.eq(emits)
                    with m.If(flow.valid & flow.events.emit[k]):
                        m.d.sync += [emitted.eq(1), value.eq(Array(flow.registers)[output.register])]
            m.d.comb += [
                credits.give.eq(queue.r_rdy & queue.r_en),
                queue.w_en.eq(emitted),
                queue.w_data.eq(value),
                port.valid.eq(queue.r_rdy),
                port.payload.eq(queue.r_data),
                queue.r_en.eq(port.ready),
            ]
            rooms.append((output.side, credits.some))
            busy.append(~credits.every)
        for side, issue, addresses in zip((Side.WRITE, Side.READ), self.issues, self.queues, strict=True):
            there = Cat((user != side) | room for user, room in rooms).all()
            m.d.comb += issue.room.eq(addresses.room & there)
        return Cat(busy).any()

    # Running and counting

    def _run(self, m: Module, busy: Value) -> None:
        """``begun`` covers the cycle in which the counters have not taken the start yet."""
        begun = Signal()
        m.d.sync += [begun.eq(self.begin), self.done.eq(0)]
        with m.If(self.begin):
            m.d.sync += self.running.eq(1)
        with m.Elif(self.running & ~begun & ~busy):
            m.d.sync += [self.running.eq(0), self.done.eq(1)]

    def _status(self, m: Module) -> list[Value]:
        write, read = self.accesses
        done = [a.o.valid & a.o.ready & a.o.payload.kept for a in self.accesses]
        corrected, detected = self.banks.corrected, self.banks.detected
        steps: dict[Status, Value] = {
            Status.BUSY: self.running,
            Status.WRITES: done[0],
            Status.READS: done[1],
            Status.CONFLICTS: self.banks.conflict,
            Status.WAIT_DATA: write.wait_operand | self.issues[0].wait_sequence,
            Status.WAIT_INDICES: read.wait_operand,
            Status.WAIT_OUTPUT: read.wait_room,
            Status.WAIT_FREE: write.wait_buffer,
            Status.WAIT_FULL: read.wait_buffer,
            Status.WAIT_SCALAR: self.issues[0].wait_scalar | self.issues[1].wait_scalar,
            Status.WAIT_TOKEN: write.wait_token | read.wait_token,
            Status.CORRECTED: sum(corrected, start=Value.cast(0)),
            Status.DETECTED: sum(detected, start=Value.cast(0)),
        }
        flags = {
            Error.WRITE_RANGE: write.refused,
            Error.READ_RANGE: read.refused,
            Error.TOKEN_LOST: self.token_lost,
            Error.UNCORRECTABLE: detected.any(),
        }
        words = [Signal(SCALAR_BITS, name=status.name.lower()) for status in Status]
        with m.If(self.begin):
            m.d.sync += [word.eq(0) for word in words]
        with m.Else():
            for status, step in steps.items():
                with m.If(step != 0):
                    m.d.sync += words[status].eq(words[status] + step)
            errors = Cat(flags[Error(1 << k)] for k in range(len(flags)))
            with m.If(errors.any()):
                m.d.sync += words[Status.ERRORS].eq(words[Status.ERRORS] | errors)
        return words
