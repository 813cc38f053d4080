"""Runs of 32-bit words in memory as streams: how the sequencer and the host's window use the memory system."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.host.format import COUNT_BITS, WORD_BYTES
from hdl.memory.port import memory_port, response_layout
from hdl.params import ELEMENT_BITS, MEMORY_ADDRESS_BITS, SCALAR_BITS, TAG_BITS, RDUParams

OUTSTANDING_BITS = 6
LEAST_SLOTS = 4
PATH = 16
"""Cycles from a request to the first beat besides the tier's: here, in the network and in the controller."""


def covering_slots(params: RDUParams) -> int:
    """Granules in flight with which words come at one a cycle, or at the bandwidth of a channel if that is less."""
    granule, words = params.memory.granule, params.beat_bytes // WORD_BYTES
    flying = 0
    for tier in (params.memory.hbm, params.memory.ddr):
        cycles = PATH + granule + tier.latency + tier.row_miss + tier.turnaround
        flying = max(flying, min(cycles, -(-cycles * words * tier.beats[0] // tier.beats[1])))
    return min(1 << TAG_BITS, max(LEAST_SLOTS, -(-flying // (granule * words)) + 1))


def transfer() -> wiring.Signature:
    """One run of words, seen from whoever wants it.

    - ``start``: pulse while not ``busy``, with the byte ``address`` (a multiple of 4) and the ``count`` of words.
    - ``busy``: from the cycle after ``start`` until every word was handed over and every burst answered.
    - ``error``: a burst since ``start`` was answered with an error; final once ``busy`` has fallen.
    """
    return wiring.Signature(
        {
            "start": Out(1),
            "address": Out(MEMORY_ADDRESS_BITS),
            "count": Out(COUNT_BITS),
            "busy": In(1),
            "error": In(1),
        }
    )


class _Sizes:
    """How a word address falls apart: word in a beat, beat in a granule, granule."""

    def __init__(self, params: RDUParams) -> None:
        self.words = params.beat_bytes // WORD_BYTES
        self.granule = params.memory.granule
        self.word_low = WORD_BYTES.bit_length() - 1
        self.beat_low = params.beat_bytes.bit_length() - 1
        self.beat_bits = MEMORY_ADDRESS_BITS - self.beat_low


def _burst(params: RDUParams) -> data.StructLayout:
    """A burst to read, ``length`` beats and one more."""
    return data.StructLayout({"address": MEMORY_ADDRESS_BITS, "length": range(params.memory.granule), "tag": TAG_BITS})


def _beat(params: RDUParams) -> data.StructLayout:
    """A beat to write."""
    return data.StructLayout(
        {"data": ELEMENT_BITS * params.lanes, "strobe": params.lanes, "address": MEMORY_ADDRESS_BITS}
    )


class WordReader(wiring.Component):
    """Reads a run of words, several granules ahead, and hands them over in order.

    - Throughput: a word a cycle while memory answers ``slots`` granules in the time it takes to hand them over.
    - Latency: memory's, and 3 cycles.
    - Responses may come in any order of tags; a tag is a slot whose room was reserved, so they never wait.
    """

    def __init__(self, params: RDUParams, slots: int = LEAST_SLOTS) -> None:
        self.params, self.slots = params, slots
        super().__init__(
            {
                "control": In(transfer()),
                "words": Out(stream.Signature(SCALAR_BITS)),
                "request": Out(stream.Signature(_burst(params))),
                "response": In(stream.Signature(response_layout(params))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes = _Sizes(self.params)
        full, used = Signal(self.slots), Signal(range(self.slots + 1))
        taken, freed = Signal(), Signal()
        m.d.sync += used.eq(used + taken - freed)
        self._ask(m, sizes, used != self.slots, taken)
        left = self._deliver(m, sizes, full, freed)

        with m.If(self.control.start):
            m.d.sync += [self.control.busy.eq(1), self.control.error.eq(0)]
        with m.Elif((left == 0) & ~self.words.valid):
            m.d.sync += self.control.busy.eq(0)
        with m.If(self.response.valid & ~self.response.payload.write & self.response.payload.error):
            m.d.sync += self.control.error.eq(1)
        return m

    def _ask(self, m: Module, sizes: _Sizes, room: Signal, taken: Signal) -> None:
        """Requests, each up to the end of a granule, while there is a slot for the answer."""
        beat, left = Signal(sizes.beat_bits), Signal(COUNT_BITS + 1)
        slot = Signal(range(self.slots))
        to_end, length = Signal(range(sizes.granule + 1)), Signal(range(sizes.granule + 1))
        control, request = self.control, self.request
        offset = control.address[sizes.word_low : sizes.beat_low]
        m.d.comb += [
            to_end.eq(sizes.granule - beat % sizes.granule),
            length.eq(Mux(left < to_end, left, to_end)),
            taken.eq(room & (left != 0) & (~request.valid | request.ready)),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(taken):
            m.d.sync += [
                request.valid.eq(1),
                request.payload.address.eq(beat << sizes.beat_low),
                request.payload.length.eq(length - 1),
                request.payload.tag.eq(slot),
                beat.eq(beat + length),
                left.eq(left - length),
                slot.eq(Mux(slot == self.slots - 1, 0, slot + 1)),
            ]
        with m.If(control.start):
            m.d.sync += [
                beat.eq(control.address[sizes.beat_low :]),
                left.eq((control.count + offset + (sizes.words - 1)) >> (sizes.beat_low - sizes.word_low)),
                slot.eq(0),
            ]

    def _deliver(self, m: Module, sizes: _Sizes, full: Signal, freed: Signal) -> Signal:
        """Keeps what arrives by slot and hands out its words slot by slot; returns the words still to come."""
        beats = 1 << (sizes.granule - 1).bit_length()
        m.submodules.memory = memory = Memory(shape=self.params.beat_bytes * 8, depth=beats * self.slots, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        response, words, control = self.response, self.words, self.control
        arrived, slot, left = Signal(range(beats)), Signal(range(self.slots)), Signal(COUNT_BITS)
        word, beat, place = Signal(range(sizes.words)), Signal(range(beats)), Signal(range(sizes.granule))
        here, word_end, burst_end = Signal(), Signal(), Signal()
        stored = response.valid & ~response.payload.write
        m.d.comb += [
            response.ready.eq(1),
            write.addr.eq(response.payload.tag * beats + arrived),
            write.data.eq(response.payload.data),
            write.en.eq(stored),
            read.addr.eq(slot * beats + beat),
            here.eq(full.bit_select(slot, 1) & (left != 0) & (~words.valid | words.ready)),
            word_end.eq((word == sizes.words - 1) | (left == 1)),
            burst_end.eq((place == sizes.granule - 1) | (left == 1)),
            freed.eq(here & word_end & burst_end),
        ]
        with m.If(stored):
            m.d.sync += arrived.eq(Mux(response.payload.last, 0, arrived + 1))
            with m.If(response.payload.last):
                m.d.sync += full.bit_select(response.payload.tag, 1).eq(1)
        with m.If(words.ready):
            m.d.sync += words.valid.eq(0)
        with m.If(here):
            m.d.sync += [
                words.valid.eq(1),
                words.payload.eq(read.data.word_select(word, SCALAR_BITS)),
                left.eq(left - 1),
                word.eq(word + 1),
            ]
            with m.If(word_end):
                m.d.sync += [word.eq(0), beat.eq(beat + 1), place.eq(place + 1)]
        with m.If(freed):
            m.d.sync += [full.bit_select(slot, 1).eq(0), slot.eq(Mux(slot == self.slots - 1, 0, slot + 1)), beat.eq(0)]
            m.d.sync += place.eq(0)
        with m.If(control.start):
            m.d.sync += [
                slot.eq(0),
                left.eq(control.count),
                word.eq(control.address[sizes.word_low : sizes.beat_low]),
                beat.eq(0),
                place.eq(control.address[sizes.beat_low :]),
            ]
        return left


class WordWriter(wiring.Component):
    """Writes a run of words, a beat a burst.

    - Throughput: a word a cycle while memory takes the beats.
    - ``wanting``: words are still to come.
    - The transfer ends when every beat was answered, so that whoever reads next sees it.
    """

    def __init__(self, params: RDUParams) -> None:
        self.params = params
        super().__init__(
            {
                "control": In(transfer()),
                "words": In(stream.Signature(SCALAR_BITS)),
                "wanting": Out(1),
                "request": Out(stream.Signature(_beat(params))),
                "response": In(stream.Signature(response_layout(params))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sizes = _Sizes(self.params)
        control, words, request = self.control, self.words, self.request
        beat, word, left = Signal(sizes.beat_bits), Signal(range(sizes.words)), Signal(COUNT_BITS)
        buffer, present = Signal(self.params.beat_bytes * 8), Signal(sizes.words)
        full, move, answered = Signal(), Signal(), Signal()
        outstanding = Signal(OUTSTANDING_BITS)
        m.d.comb += [
            move.eq(full & ~request.valid & ~outstanding.all()),
            self.wanting.eq(left != 0),
            words.ready.eq(self.wanting & (~full | move)),
            self.response.ready.eq(1),
            answered.eq(self.response.valid & self.response.payload.write),
        ]
        m.d.sync += outstanding.eq(outstanding + move - answered)
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(move):
            m.d.sync += [
                request.valid.eq(1),
                request.payload.data.eq(buffer),
                request.payload.strobe.eq(Cat(bit.replicate(self.params.lanes // sizes.words) for bit in present)),
                request.payload.address.eq(beat << sizes.beat_low),
                full.eq(0),
                present.eq(0),
                beat.eq(beat + 1),
            ]
        with m.If(words.valid & words.ready):
            m.d.sync += [
                buffer.word_select(word, SCALAR_BITS).eq(words.payload),
                present.bit_select(word, 1).eq(1),
                word.eq(Mux(word == sizes.words - 1, 0, word + 1)),
                left.eq(left - 1),
                full.eq((word == sizes.words - 1) | (left == 1)),
            ]
        with m.If(control.start):
            m.d.sync += [
                beat.eq(control.address[sizes.beat_low :]),
                word.eq(control.address[sizes.word_low : sizes.beat_low]),
                left.eq(control.count),
                control.busy.eq(1),
                control.error.eq(0),
            ]
        with m.Elif((left == 0) & ~full & ~request.valid & (outstanding == 0)):
            m.d.sync += control.busy.eq(0)
        with m.If(answered & self.response.payload.error):
            m.d.sync += control.error.eq(1)
        return m


class WordPort(wiring.Component):
    """A reader and a writer on one memory port; whoever uses them lets one finish before the other starts.

    ``wanting``: words to write are still to come. ``slots``: of the reader.
    """

    def __init__(self, params: RDUParams, slots: int = LEAST_SLOTS) -> None:
        self.params, self.slots = params, slots
        super().__init__(
            {
                "reading": In(transfer()),
                "writing": In(transfer()),
                "read": Out(stream.Signature(SCALAR_BITS)),
                "write": In(stream.Signature(SCALAR_BITS)),
                "wanting": Out(1),
                "memory": Out(memory_port(params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader = reader = WordReader(self.params, self.slots)
        m.submodules.writer = writer = WordWriter(self.params)
        connect(m, flipped(self.reading), reader.control)
        connect(m, flipped(self.writing), writer.control)
        connect(m, reader.words, flipped(self.read))
        connect(m, flipped(self.write), writer.words)
        m.d.comb += self.wanting.eq(writer.wanting)
        request, response = self.memory.request, self.memory.response
        m.d.comb += [
            request.valid.eq(reader.request.valid | writer.request.valid),
            request.payload.data.eq(writer.request.payload.data),
            request.payload.strobe.eq(writer.request.payload.strobe),
            request.payload.address.eq(
                Mux(writer.request.valid, writer.request.payload.address, reader.request.payload.address)
            ),
            request.payload.length.eq(Mux(writer.request.valid, 0, reader.request.payload.length)),
            request.payload.tag.eq(Mux(writer.request.valid, 0, reader.request.payload.tag)),
            request.payload.write.eq(writer.request.valid),
            request.payload.last.eq(1),
            reader.request.ready.eq(request.ready & ~writer.request.valid),
            writer.request.ready.eq(request.ready),
            response.ready.eq(1),
        ]
        for unit in (reader, writer):
            m.d.comb += [unit.response.valid.eq(response.valid), unit.response.payload.eq(response.payload)]
        return m
