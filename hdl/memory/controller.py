"""Controller of one memory channel: takes requests from the network, speaks AXI4 outside."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from hdl.axi import Burst, axi4
from hdl.memory.channel import Tier, channel_port, channel_request, channel_response, code_words, tier_map, tier_params
from hdl.memory.counters import ChannelCounter, counters_layout
from hdl.memory.secded import check_width, checks, correct
from hdl.memory.turn import Turn, batch_size
from hdl.memory.window import Window
from hdl.once import once
from hdl.params import ELEMENT_BITS, RDUParams
from hdl.tln.slice import Slice

PATH = 16  # cycles a request spends here and in registers on the way, both ways together
ISSUE = 4  # cycles of PATH between the decision to issue and the memory, and from the memory's last beat to here
STAMP_BITS = 16


def check_bits(params: RDUParams, tier: Tier) -> int:
    """Check bits of a beat, the width of WUSER and RUSER; none without ECC."""
    words, width = code_words(params)
    return words * check_width(width) if tier_params(params, tier).ecc else 0


def axi_port(params: RDUParams, tier: Tier) -> Any:
    """The AXI4 face of a channel of ``tier``, seen from the controller: one beat wide, one id."""
    return axi4(tier_map(params, tier).local_bits, ELEMENT_BITS * params.lanes, user_bits=check_bits(params, tier))


def short_of(params: RDUParams, tier: Tier) -> int:
    """Bursts in flight below which the memory would be done with them before what is issued now is ready."""
    sizes = tier_params(params, tier)
    return -(-(sizes.latency + sizes.row_miss + ISSUE) * sizes.beats[0] // (sizes.beats[1] * params.memory.granule))


def window_size(params: RDUParams, tier: Tier) -> int:
    """Requests of each kind a channel holds, queued or in flight: a batch, and enough to cover the tier's latency."""
    sizes, granule = tier_params(params, tier), params.memory.granule
    cycles = sizes.latency + sizes.row_miss + sizes.turnaround + PATH
    in_flight = -(-cycles * sizes.beats[0] // (sizes.beats[1] * granule)) + 1
    return int(1 << ceil_log2(in_flight + batch_size(params, tier)))


class Controller(wiring.Component):
    """One channel.

    - ``port``: requests with the channel's own addresses. ``axi``: the memory. ``counters``: see ``ChannelCounter``.
    - Order: a request waits, and what is behind it, while an earlier one of the other kind for the same granule is not
      answered; otherwise reads and writes overtake each other, and reads keep their order, and writes theirs. So a
      read sees every write that came before it.
    - Turnaround: reads and writes are issued in batches; see :class:`~hdl.memory.turn.Turn`.
    - ECC: a write that covers part of a code word reads the burst, merges and writes it; the channel does nothing else
      meanwhile. What cannot be corrected stays so: such a word is written with check bits that say it is wrong.
    - AXI: INCR bursts within a granule, all with id 0, so that responses come in order and beats together, as the port
      has them. The addresses of a batch go out one a cycle, so that the memory prepares the next bursts while it
      moves the beats of this one; W follows without gaps but those of ``wready``, and never before its AW.
    - Latency: 6 cycles besides the memory's. Throughput: one beat a cycle. All outputs are registered.
    """

    def __init__(self, params: RDUParams, tier: Tier, tags: int) -> None:
        self.params, self.tier, self.tags = params, tier, tags
        self.map = tier_map(params, tier)
        self.ecc = tier_params(params, tier).ecc
        self.words, self.word_bits = code_words(params)
        super().__init__(
            {
                "port": In(channel_port(params, tags)),
                "axi": Out(axi_port(params, tier)),
                "counters": Out(counters_layout(ChannelCounter)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params, size = self.params, window_size(self.params, self.tier)
        m.submodules.requests = requests = once(Slice, channel_request(params, self.tags))
        m.submodules.answers = answers = once(Slice, channel_response(params, self.tags))
        m.submodules.reads = reads = Window(self._entry(), "granule", size)
        m.submodules.writes = writes = Window(self._entry(), "granule", size)
        room = max(4, 2 * batch_size(params, self.tier) * params.memory.granule)
        m.submodules.beats = beats = fifo.SyncFIFOBuffered(width=self._beat().size, depth=room)
        connect(m, flipped(self.port.request), requests.i)
        connect(m, answers.o, flipped(self.port.response))
        for channel in ("aw", "ar"):
            m.d.comb += getattr(self.axi, f"{channel}size").eq(exact_log2(params.beat_bytes))
            m.d.comb += getattr(self.axi, f"{channel}burst").eq(Burst.INCR)
        inside = _Inside(self, requests.o, reads, writes, beats, answers.i)
        self._accept(m, inside)
        self._turn(m, inside)
        self._fetch(m, inside)
        self._issue_reads(m, inside)
        self._issue_writes(m, inside)
        self._answer(m, inside)
        self._count(m, inside)
        return m

    def _entry(self) -> data.StructLayout:
        """A request in a window; ``partial``: it writes part of a code word. ``stamp``: when it came."""
        granule = self.params.memory.granule
        return data.StructLayout(
            {
                "offset": range(granule),
                "granule": self.map.local_bits - self.map.granule_bits,
                "length": range(granule),
                "tag": self.tags,
                "partial": 1,
                "stamp": STAMP_BITS,
            }
        )

    def _beat(self) -> data.StructLayout:
        return data.StructLayout({"data": ELEMENT_BITS * self.params.lanes, "strobe": self.params.lanes, "last": 1})

    def _accept(self, m: Module, c: "_Inside") -> None:
        """Requests into the windows, the data of writes into their queue."""
        request, beat_bits, granule_bits = c.head.payload, exact_log2(self.params.beat_bytes), self.map.granule_bits
        local = request.address[: self.map.local_bits]
        partial, so_far, blocked, taken = (Signal(name=n) for n in ("partial", "partial_so_far", "blocked", "taken"))
        write_blocked = ~c.beats.w_rdy | (request.last & (c.reads.hit | ~c.writes.room))
        m.d.comb += [
            partial.eq(so_far | (self._partial(request.strobe).any() if self.ecc else 0)),
            blocked.eq(Mux(request.write, write_blocked, c.writes.hit | ~c.reads.room)),
            taken.eq(c.head.valid & ~blocked),
            c.head.ready.eq(~blocked),
            c.beats.w_en.eq(taken & request.write),
            c.beats.w_data.eq(Cat(request.data, request.strobe, request.last)),
            c.reads.push.eq(taken & ~request.write),
            c.writes.push.eq(taken & request.write & request.last),
        ]
        for window in (c.reads, c.writes):
            entry = window.value
            m.d.comb += [
                window.probe.eq(local[granule_bits:]),
                entry.offset.eq(local[beat_bits:granule_bits]),
                entry.granule.eq(local[granule_bits:]),
                entry.length.eq(request.length),
                entry.tag.eq(request.tag),
                entry.partial.eq(partial),
                entry.stamp.eq(self.counters.busy),
            ]
        with m.If(c.beats.w_en):
            m.d.sync += so_far.eq(partial & ~request.last)

    def _turn(self, m: Module, c: "_Inside") -> None:
        """Which direction issues."""
        size = window_size(self.params, self.tier)
        m.submodules.turn = turn = Turn(batch_size(self.params, self.tier), size)
        m.d.comb += [
            turn.reads.eq(c.reads.waiting),
            turn.writes.eq(c.writes.waiting),
            turn.short.eq(c.reads.in_flight + c.writes.in_flight < short_of(self.params, self.tier)),
            turn.needed.eq(c.head.valid & ~c.head.payload.write & c.writes.hit),
            turn.hold.eq(c.merging | c.merge_begins),  # a read behind that of the merge would be given its data
            turn.issue.eq(Mux(turn.writing, c.writes.issue, c.reads.issue)),
            c.writing.eq(turn.writing),
        ]
        with m.If(turn.turn):
            m.d.sync += self.counters.turnarounds.eq(self.counters.turnarounds + 1)

    def _fetch(self, m: Module, c: "_Inside") -> None:
        """Read data from outside into a register, checked and corrected behind it."""
        axi, user = self.axi, check_bits(self.params, self.tier)
        m.submodules.back = back = once(Slice, data.StructLayout({**self._read_beat(), "check": user}))
        m.d.comb += [
            back.i.valid.eq(axi.rvalid),
            axi.rready.eq(back.i.ready),
            back.i.payload.data.eq(axi.rdata),
            back.i.payload.error.eq(axi.rresp[1]),
            back.i.payload.last.eq(axi.rlast),
        ]
        c.back = back.o
        m.d.comb += c.data.eq(back.o.payload.data)
        if not self.ecc:
            return
        m.d.comb += back.i.payload.check.eq(axi.ruser)
        for i in range(self.words):
            word = back.o.payload.data.word_select(i, self.word_bits)
            bits = back.o.payload.check.word_select(i, user // self.words)
            decoded = correct(m, word, bits, f"word_{i}")
            m.d.comb += [
                c.data.word_select(i, self.word_bits).eq(decoded.data),
                c.corrected[i].eq(decoded.corrected),
                c.detected[i].eq(decoded.detected),
            ]

    def _read_beat(self) -> dict[str, int]:
        return {"data": ELEMENT_BITS * self.params.lanes, "error": 1, "last": 1}

    def _issue_reads(self, m: Module, c: "_Inside") -> None:
        """The AR channel: a read, or the read that a merge begins with."""
        axi = self.axi
        free = ~axi.arvalid | axi.arready
        begin, next_write = c.merge_begins, c.writes.next
        # alone in the channel but for reads under way: one register then holds what the merge found
        alone = c.writing & ~c.merging & (c.writes.in_flight == 0) & (c.writes.waiting != 0)
        m.d.comb += [
            c.reads.issue.eq(~c.writing & (c.reads.waiting != 0) & free),
            begin.eq((alone & next_write.partial & free) if self.ecc else 0),
        ]
        entry = Mux(begin, next_write.as_value(), c.reads.next.as_value())
        with m.If(free):
            m.d.sync += axi.arvalid.eq(c.reads.issue | begin)
        with m.If(c.reads.issue | begin):
            m.d.sync += self._addressed("ar", data.View(self._entry(), entry))
        with m.If(begin):
            m.d.sync += [c.merging.eq(1), c.failed.eq(0)]
        with m.Elif(c.merging & c.writes.retire):
            m.d.sync += c.merging.eq(0)

    def _issue_writes(self, m: Module, c: "_Inside") -> None:
        """The AW channel; and the W channel, which follows as fast as it may."""
        axi, entry = self.axi, c.writes.next
        address_free, data_free = ~axi.awvalid | axi.awready, ~axi.wvalid | axi.wready
        beat = data.View(self._beat(), c.beats.r_data)
        owed = Signal(range(window_size(self.params, self.tier) + 1), name="owed")  # bursts issued, their data not sent
        merged = Signal(name="merged")  # data to merge have come, and what waits for them is a merge
        begin, move, ends = (Signal(name=n) for n in ("write_begins", "write_moves", "write_ends"))
        m.d.comb += [
            merged.eq(c.back.valid & c.mine),
            begin.eq(
                c.writing
                & (c.writes.waiting != 0)
                & address_free
                & Mux(c.merging, merged & (owed == 0), ~entry.partial)
            ),
            move.eq((owed != 0) & data_free & c.beats.r_rdy & (merged | ~c.merging)),
            ends.eq(move & beat.last),
            c.writes.issue.eq(begin),
            c.beats.r_en.eq(move),
            c.merge_moves.eq(move & c.merging),
        ]
        with m.If(address_free):
            m.d.sync += axi.awvalid.eq(begin)
        with m.If(begin):
            m.d.sync += self._addressed("aw", entry)
        with m.If(begin ^ ends):
            m.d.sync += owed.eq(Mux(begin, owed + 1, owed - 1))
        with m.If(data_free):
            m.d.sync += axi.wvalid.eq(move)
        with m.If(move):
            m.d.sync += [axi.wlast.eq(beat.last), *self._written(m, c, beat)]

    def _written(self, m: Module, c: "_Inside", beat: Any) -> list[Any]:
        """One beat onto the W channel."""
        if not self.ecc:
            return [self.axi.wdata.eq(beat.data), self.axi.wstrb.eq(_doubled(beat.strobe))]
        value = Signal(len(beat.data), name="merged_data")
        for e in range(self.params.lanes):
            keep = ~beat.strobe[e] & c.merging
            m.d.comb += value.word_select(e, ELEMENT_BITS).eq(
                Mux(keep, c.data.word_select(e, ELEMENT_BITS), beat.data.word_select(e, ELEMENT_BITS))
            )
        elements = self.params.lanes // self.words
        covered = Cat(beat.strobe[i * elements : (i + 1) * elements].any() for i in range(self.words))
        # two check bits turned over: what could not be read stays unreadable
        wrong = self._partial(beat.strobe) & (c.detected | c.back.payload.error.replicate(self.words))
        wrong &= c.merging.replicate(self.words)
        width = check_bits(self.params, self.tier) // self.words
        poison = Cat(Cat(bit, bit, *([0] * (width - 2))) for bit in wrong)
        with m.If(c.merge_moves & wrong.any()):
            m.d.sync += c.failed.eq(1)
        return [
            self.axi.wdata.eq(value),
            self.axi.wuser.eq(checks(value, self.words) ^ poison),
            self.axi.wstrb.eq(Cat(bit.replicate(2 * elements) for bit in covered)),
        ]

    def _answer(self, m: Module, c: "_Inside") -> None:
        """Responses: an acknowledgement goes between the bursts of reads."""
        axi, out = self.axi, c.answer
        within, acknowledge, deliver = (Signal(name=n) for n in ("within_burst", "acknowledge", "deliver"))
        last = c.back.payload.last
        m.d.comb += [
            c.mine.eq(c.merging & (c.reads.in_flight == 0)),
            axi.bready.eq(out.ready & ~within),
            acknowledge.eq(axi.bvalid & ~within),
            deliver.eq(c.back.valid & ~c.mine & ~acknowledge),
            c.back.ready.eq(Mux(c.mine, c.merge_moves, out.ready & ~acknowledge)),
            c.beat_read.eq(deliver & out.ready),
            c.reads.retire.eq(deliver & out.ready & last),
            c.writes.retire.eq(acknowledge & out.ready),
            out.valid.eq(acknowledge | deliver),
            out.payload.write.eq(acknowledge),
            out.payload.last.eq(acknowledge | last),
            out.payload.tag.eq(Mux(acknowledge, c.writes.oldest.tag, c.reads.oldest.tag)),
            out.payload.data.eq(c.data),
            out.payload.error.eq(
                Mux(acknowledge, axi.bresp[1] | (c.merging & c.failed), c.back.payload.error | c.detected.any())
            ),
        ]
        with m.If(c.beat_read):
            m.d.sync += within.eq(~last)

    def _count(self, m: Module, c: "_Inside") -> None:
        n = self.counters
        retired, latency = Signal(name="retired"), Signal(STAMP_BITS, name="latency")
        m.d.sync += retired.eq(c.reads.retire | c.writes.retire)
        with m.If(c.head.valid | c.reads.any | c.writes.any):
            m.d.sync += n.busy.eq(n.busy + 1)
        with m.If(c.reads.retire | c.writes.retire):
            stamp = Mux(c.writes.retire, c.writes.oldest.stamp, c.reads.oldest.stamp)
            m.d.sync += latency.eq(n.busy[:STAMP_BITS] - stamp)
        with m.If(retired):
            m.d.sync += [n.requests.eq(n.requests + 1), n.latency_sum.eq(n.latency_sum + latency)]
            with m.If(latency > n.latency_max):
                m.d.sync += n.latency_max.eq(latency)
        with m.If(c.beat_read):
            m.d.sync += n.beats_read.eq(n.beats_read + 1)
        with m.If(c.beats.r_en):
            m.d.sync += n.beats_written.eq(n.beats_written + 1)
        with m.If((c.beat_read | c.merge_moves) & (c.corrected.any() | c.detected.any())):
            m.d.sync += [
                n.corrected.eq(n.corrected + sum(c.corrected)),
                n.detected.eq(n.detected + sum(c.detected)),
            ]

    def _partial(self, strobe: Any) -> Value:
        """Which code words of a beat are written in part."""
        elements = self.params.lanes // self.words
        words = [strobe[i * elements : (i + 1) * elements] for i in range(self.words)]
        return Cat(word.any() & ~word.all() for word in words)

    def _addressed(self, channel: str, entry: Any) -> list[Any]:
        beat = exact_log2(self.params.beat_bytes)
        address = Cat(Const(0, beat), entry.offset, entry.granule)
        return [getattr(self.axi, f"{channel}addr").eq(address), getattr(self.axi, f"{channel}len").eq(entry.length)]


class _Inside:
    """What the parts of a controller share."""

    def __init__(self, controller: Controller, head: Any, reads: Any, writes: Any, beats: Any, answer: Any) -> None:
        self.head = head  # the request that stands first
        self.reads, self.writes, self.beats = reads, writes, beats
        self.answer = answer
        self.writing = Signal(name="writing")  # the direction that issues
        self.back: Any = None  # beats read from outside
        self.data = Signal(ELEMENT_BITS * controller.params.lanes, name="corrected_data")
        self.corrected = Signal(controller.words, name="corrected")
        self.detected = Signal(controller.words, name="detected")
        self.merging = Signal(name="merging")  # a partial write, from its read to its acknowledgement
        self.merge_begins = Signal(name="merge_begins")
        self.failed = Signal(name="merge_failed")
        self.mine = Signal(name="mine")  # beats that come belong to the merge
        self.merge_moves = Signal(name="merge_moves")
        self.beat_read = Signal(name="beat_read")


def _doubled(strobe: Value) -> Value:
    """Byte strobes of element strobes."""
    return Cat(bit.replicate(2) for bit in strobe)
