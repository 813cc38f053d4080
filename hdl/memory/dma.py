"""Tier DMA: copies rows between any two addresses, beside running kernels (SN40L: how an expert gets into HBM)."""

import enum
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from hdl.memory.counters import DMACounter, counters_layout
from hdl.memory.port import memory_port, request_layout
from hdl.once import once
from hdl.params import ELEMENT_BITS, MEMORY_ADDRESS_BITS, SCALAR_BITS, RDUParams
from hdl.tln.slice import Slice

FULL_SHARE = 256
SHARE_BITS = FULL_SHARE.bit_length()


class DMAStatus(enum.IntEnum):
    """How a descriptor ended. Those that were refused touched nothing; after an error some rows may be written."""

    OK = 0
    MISALIGNED = 1  # an address, a stride or the bytes of a row are no multiple of a beat
    EMPTY = 2  # no rows, or rows of no bytes
    BAD_SHARE = 3  # not in 1..256
    READ_ERROR = 4  # the memory answered a read with an error
    WRITE_ERROR = 5  # ... or a write
    HALTED = 6


DESCRIPTOR = data.StructLayout(
    {
        "source": MEMORY_ADDRESS_BITS,
        "destination": MEMORY_ADDRESS_BITS,
        "row_bytes": SCALAR_BITS,
        "rows": SCALAR_BITS,
        "source_stride": MEMORY_ADDRESS_BITS,
        "destination_stride": MEMORY_ADDRESS_BITS,
        "share": SHARE_BITS,
    }
)
"""``rows`` rows of ``row_bytes`` bytes; a row begins a stride after the one before (modulo 2**40, so backwards too).

At most ``share`` / 256 beats a cycle are moved, over any time and up to one granule more. Source and destination must
not overlap, unless nothing is written before it was read whatever the order of bursts.
"""

COMPLETION = data.StructLayout({"status": DMAStatus})


class DMA(wiring.Component):
    """Reads bursts through ``read``, writes them through ``write``; both are memory ports.

    - ``descriptor``: one at a time, in order; ``completion``: one for each, when all it wrote is visible.
    - Bursts: as long as the granules of source and destination allow; where these are offset against each other, two
      a granule. ``dma_outstanding`` reads and as many writes are in flight; reads may come back in any order.
    - ``halt``: level; no burst begins, what is in flight is awaited, then ``quiet``. The descriptor in work completes
      with ``HALTED``; the next begins when ``halt`` falls.
    - Throughput: one beat a cycle each way, if latency times bandwidth fits ``dma_outstanding`` bursts. All outputs
      are registered.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        self.slots, self.granule = params.memory.dma_outstanding, params.memory.granule
        super().__init__(
            {
                "descriptor": In(stream.Signature(DESCRIPTOR)),
                "completion": Out(stream.Signature(COMPLETION)),
                "read": Out(memory_port(params)),
                "write": Out(memory_port(params)),
                "halt": In(1),
                "quiet": Out(1),
                "counters": Out(counters_layout(DMACounter)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = Walk(self.params)
        m.submodules.throttle = throttle = Throttle(self.granule)
        m.submodules.slots = slots = Slots(self.params)
        job, cause, status = Signal(DESCRIPTOR), Signal(DMAStatus), Signal(DMAStatus)
        halted, starting = Signal(), Signal()
        m.d.sync += halted.eq(self.halt)
        m.d.comb += [
            walk.job.eq(job),
            walk.start.eq(starting),
            throttle.share.eq(job.share),
            throttle.reset.eq(starting),
            throttle.length.eq(walk.chunk.length),
            slots.clear.eq(starting),
            slots.chunk.eq(walk.chunk),
            slots.offered.eq(walk.valid & throttle.enough),
            slots.stop.eq(cause != DMAStatus.OK),
            walk.step.eq(slots.taken),
            throttle.spend.eq(slots.taken),
            self.completion.payload.status.eq(status),
        ]
        connect(m, slots.read, flipped(self.read))
        connect(m, slots.write, flipped(self.write))
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [self.descriptor.ready.eq(~halted), self.quiet.eq(1)]
                with m.If(self.descriptor.valid & ~halted):
                    m.d.sync += job.eq(self.descriptor.payload)
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += starting.eq(1)
                m.d.sync += [status.eq(self._refused(job)), cause.eq(DMAStatus.OK)]
                m.next = "VERDICT"
            with m.State("VERDICT"):
                m.next = "RUN"
                with m.If(status != DMAStatus.OK):
                    m.next = "DONE"
            with m.State("RUN"):
                m.d.comb += throttle.run.eq(1)
                with m.If(cause == DMAStatus.OK):
                    m.d.sync += cause.eq(self._trouble(slots, halted))
                with m.If((slots.empty & ~walk.valid) | (slots.quiet & (cause != DMAStatus.OK))):
                    m.d.sync += status.eq(cause)
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += [self.completion.valid.eq(1), self.quiet.eq(1)]
                with m.If(self.completion.ready):
                    m.next = "IDLE"
        n = self.counters
        with m.If(~self.quiet):
            m.d.sync += n.busy.eq(n.busy + 1)
        with m.If(slots.write.request.valid & slots.write.request.ready):
            m.d.sync += n.beats.eq(n.beats + 1)
        with m.If(self.completion.valid & self.completion.ready):
            m.d.sync += n.descriptors.eq(n.descriptors + 1)
        return m

    def _refused(self, job: Any) -> Value:
        """What is wrong with a descriptor."""
        beat = exact_log2(self.params.beat_bytes)
        aligned = ("source", "destination", "row_bytes", "source_stride", "destination_stride")
        misaligned = Cat(job[name][:beat] for name in aligned).any()
        empty = (job.rows == 0) | (job.row_bytes == 0)
        share = (job.share == 0) | (job.share > FULL_SHARE)
        fine = Mux(share, DMAStatus.BAD_SHARE, DMAStatus.OK)
        return Mux(misaligned, DMAStatus.MISALIGNED, Mux(empty, DMAStatus.EMPTY, fine))

    def _trouble(self, slots: "Slots", halted: Value) -> Value:
        """Why a copy must stop."""
        halt = Mux(halted, DMAStatus.HALTED, DMAStatus.OK)
        return Mux(slots.read_failed, DMAStatus.READ_ERROR, Mux(slots.write_failed, DMAStatus.WRITE_ERROR, halt))


def chunk_layout(params: RDUParams) -> data.StructLayout:
    """Beats in one granule of the source and one of the destination; addresses in beats, ``length`` less one."""
    beats = MEMORY_ADDRESS_BITS - exact_log2(params.beat_bytes)
    return data.StructLayout({"source": beats, "destination": beats, "length": range(params.memory.granule)})


class Walk(wiring.Component):
    """Cuts a descriptor into chunks, one a cycle.

    - ``start``: pulse, the first chunk stands from the next cycle on; ``step`` moves on while ``valid``.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        super().__init__(
            {
                "job": In(DESCRIPTOR),
                "start": In(1),
                "valid": Out(1),
                "chunk": Out(chunk_layout(params)),
                "step": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        job, granule, low = self.job, self.params.memory.granule, exact_log2(self.params.beat_bytes)
        within = exact_log2(granule)
        row_beats = job.row_bytes[low:]
        rows_left, beats_left = Signal.like(job.rows), Signal(len(row_beats))
        row = {name: Signal(MEMORY_ADDRESS_BITS - low, name=f"{name}_row") for name in ("source", "destination")}
        here = {name: Signal(MEMORY_ADDRESS_BITS - low, name=f"{name}_here") for name in row}
        room = [granule - here[name][:within] for name in here]  # beats to the end of the granule
        least = Mux(room[0] < room[1], room[0], room[1])
        beats = Signal(range(granule + 1))
        m.d.comb += [
            beats.eq(Mux(beats_left < least, beats_left, least)),
            self.chunk.length.eq(beats - 1),
            *(self.chunk[name].eq(here[name]) for name in here),
        ]
        with m.If(self.start):
            m.d.sync += [self.valid.eq(1), rows_left.eq(job.rows), beats_left.eq(row_beats)]
            m.d.sync += [register[name].eq(job[name][low:]) for register in (row, here) for name in row]
        with m.Elif(self.valid & self.step):
            with m.If(beats_left != beats):
                m.d.sync += beats_left.eq(beats_left - beats)
                m.d.sync += [address.eq(address + beats) for address in here.values()]
            with m.Else():
                following = {name: row[name] + job[f"{name}_stride"][low:] for name in row}
                m.d.sync += [register[name].eq(following[name]) for register in (row, here) for name in row]
                m.d.sync += [rows_left.eq(rows_left - 1), beats_left.eq(row_beats), self.valid.eq(rows_left != 1)]
        return m


class Throttle(wiring.Component):
    """At most ``share`` / 256 beats a cycle: a purse that gains ``share`` a cycle and pays 256 a beat.

    It holds no more than a granule and a cycle's gain, so idle time is not saved up.
    """

    def __init__(self, granule: int) -> None:
        self.granule = granule
        super().__init__(
            {
                "share": In(SHARE_BITS),
                "length": In(range(granule)),
                "reset": In(1),
                "run": In(1),
                "enough": Out(1),
                "spend": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        purse = Signal(range((self.granule + 2) * FULL_SHARE))
        price = (self.length + 1) << exact_log2(FULL_SHARE)
        gain = Mux(purse < self.granule * FULL_SHARE, self.share, 0)
        m.d.comb += self.enough.eq(purse >= price)
        with m.If(self.reset):
            m.d.sync += purse.eq(0)
        with m.Elif(self.run):
            m.d.sync += purse.eq(purse + gain - Mux(self.spend, price, 0))
        return m


class Slots(wiring.Component):
    """Bursts in flight: a ring of slots, each a granule of data between its read and its write.

    - ``taken``: the chunk ``offered`` begins, as a read whose tag is its slot. Reads fill slots in any order, writes
      leave in the order of the chunks.
    - ``stop``: nothing begins. ``quiet``: nothing is in flight. ``empty``: nor is anything held.
    - ``clear``: pulse, while quiet: forgets everything.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params, self.slots = params, params.memory.dma_outstanding
        super().__init__(
            {
                "chunk": In(chunk_layout(params)),
                "offered": In(1),
                "taken": Out(1),
                "stop": In(1),
                "clear": In(1),
                "quiet": Out(1),
                "empty": Out(1),
                "read_failed": Out(1),
                "write_failed": Out(1),
                "read": Out(memory_port(params)),
                "write": Out(memory_port(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slots, layout = self.slots, request_layout(self.params)
        m.submodules.reads = reads = once(Slice, layout)
        m.submodules.writes = writes = once(Slice, layout)
        connect(m, reads.o, flipped(self.read.request))
        connect(m, writes.o, flipped(self.write.request))
        begun, drained = Signal(range(2 * slots), name="begun"), Signal(range(2 * slots), name="drained")
        reading, writing = Signal(range(slots + 1), name="reading"), Signal(range(slots + 1), name="writing")
        filled, position = Signal(slots, name="filled"), Signal.like(self.chunk.length, name="position")
        came, answered, left = Signal(name="came"), Signal(name="answered"), Signal(name="left")
        in_use = (begun - drained)[: len(begun)]
        index = exact_log2(slots)

        # a chunk begins
        request = reads.i.payload
        m.d.comb += [
            self.taken.eq(self.offered & ~self.stop & (in_use != slots) & reads.i.ready),
            reads.i.valid.eq(self.taken),
            request.address.eq(self._bytes(self.chunk.source)),
            request.length.eq(self.chunk.length),
            request.tag.eq(begun[:index]),
            request.last.eq(1),
        ]
        # its data come
        answer = self.read.response
        m.d.comb += [
            answer.ready.eq(1),
            self.write.response.ready.eq(1),
            came.eq(answer.valid & answer.payload.last),
            answered.eq(self.write.response.valid),
        ]
        spoiled = Signal(name="spoiled")  # a burst with an error is not written
        with m.If(answer.valid):
            m.d.sync += position.eq(Mux(answer.payload.last, 0, position + 1))
            m.d.sync += spoiled.eq((spoiled | answer.payload.error) & ~answer.payload.last)
        # and leave
        held, data_out, places = self._memories(m, begun, drained, position)
        sent = Signal.like(self.chunk.length, name="sent")
        flit = writes.i.payload
        m.d.comb += [
            places.eq(sent),
            writes.i.valid.eq((sent != 0) | (filled.bit_select(drained[:index], 1) & ~self.stop & (writing != slots))),
            flit.address.eq(self._bytes(held.destination)),
            flit.length.eq(held.length),
            flit.data.eq(data_out),
            flit.strobe.eq(-1),
            flit.tag.eq(drained[:index]),
            flit.write.eq(1),
            flit.last.eq(sent == held.length),
            left.eq(writes.i.valid & writes.i.ready & flit.last),
        ]
        with m.If(writes.i.valid & writes.i.ready):
            m.d.sync += sent.eq(Mux(flit.last, 0, sent + 1))

        with m.If(came & ~spoiled & ~answer.payload.error):
            m.d.sync += filled.bit_select(answer.payload.tag[:index], 1).eq(1)
        with m.If(left):
            m.d.sync += [drained.eq(drained + 1), filled.bit_select(drained[:index], 1).eq(0)]
        with m.If(self.taken):
            m.d.sync += begun.eq(begun + 1)
        with m.If(self.taken ^ came):
            m.d.sync += reading.eq(Mux(came, reading - 1, reading + 1))
        with m.If(left ^ answered):
            m.d.sync += writing.eq(Mux(answered, writing - 1, writing + 1))
        m.d.comb += [
            self.quiet.eq((reading == 0) & (writing == 0) & (sent == 0)),
            self.empty.eq((in_use == 0) & (writing == 0)),
        ]
        with m.If(answer.valid & answer.payload.error):
            m.d.sync += self.read_failed.eq(1)
        with m.If(answered & self.write.response.payload.error):
            m.d.sync += self.write_failed.eq(1)
        with m.If(self.clear):
            m.d.sync += [begun.eq(0), drained.eq(0), filled.eq(0), self.read_failed.eq(0), self.write_failed.eq(0)]
        return m

    def _memories(self, m: Module, begun: Signal, drained: Signal, position: Signal) -> tuple[Any, Any, Signal]:
        """The chunk to write next, one beat of its data, and which beat that is."""
        index, answer = exact_log2(self.slots), self.read.response
        m.submodules.chunks = chunks = Memory(shape=chunk_layout(self.params), depth=self.slots, init=[])
        width = ELEMENT_BITS * self.params.lanes
        m.submodules.beats = beats = Memory(shape=width, depth=self.slots * self.params.memory.granule, init=[])
        chunk_in, chunk_out = chunks.write_port(), chunks.read_port(domain="comb")
        beat_in, beat_out = beats.write_port(), beats.read_port(domain="comb")
        place = Signal.like(position, name="place")
        m.d.comb += [
            chunk_in.addr.eq(begun[:index]),
            chunk_in.data.eq(self.chunk),
            chunk_in.en.eq(self.taken),
            chunk_out.addr.eq(drained[:index]),
            beat_in.addr.eq(Cat(position, answer.payload.tag[:index])),
            beat_in.data.eq(answer.payload.data),
            beat_in.en.eq(answer.valid),
            beat_out.addr.eq(Cat(place, drained[:index])),
        ]
        return chunk_out.data, beat_out.data, place

    def _bytes(self, beats: Value) -> Value:
        return Cat(Const(0, exact_log2(self.params.beat_bytes)), beats)
