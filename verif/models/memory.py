"""Memory behind AXI4, with a tier's bandwidth, latency, row buffer and turnaround: timing in RTL, bytes outside it."""

from typing import Any

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Module, Mux, Signal, Value
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, connect, flipped
from amaranth.utils import exact_log2

from hdl.axi import Burst, Resp
from hdl.memory.channel import Tier, code_words, tier_map, tier_params
from hdl.memory.controller import axi_port, check_bits
from hdl.memory.secded import checks
from hdl.once import once
from hdl.params import ELEMENT_BITS, RDUParams

COMMANDS = 128  # that a channel queues
DEPTH = 16  # beats queued each way
OVERHEAD = 6  # cycles of a read that are not waited for: queues, and the storage's register
TIME_BITS = 16
JITTER_BITS = 8

SHAKE = data.StructLayout({"jitter": JITTER_BITS, "seed": 32})
"""Random latency: every command waits up to ``jitter`` (a mask, 2**n - 1) cycles more; ``seed`` sets the sequence."""


def region_name(tier: Tier, machine: str = "") -> str:
    """What the region of a tier's bytes is called; ``machine`` tells sockets apart."""
    return f"{machine}{tier.name.lower()}"


def mask_name(region: str) -> str:
    """The region of a tier's check-bit masks, one byte a code word, zero where data and check bits agree."""
    return f"{region}.mask"


class ChannelModel(wiring.Component):
    """One channel of a tier.

    - Commands are served in order of arrival (a read before a write that comes in the same cycle). One is served when
      its latency is over, that of a missed row included, and the one before is done; between a read and a write the
      bus rests for ``turnaround`` cycles. So latencies overlap, the bus is never used twice, and a missed row shows
      only where the queue is short.
    - Beats move at ``beats[0]`` every ``beats[1]`` cycles.
    - ``number``: which channel it is; its bytes are those granules of the region.
    - Bursts are INCR, of full beats; any other is answered with SLVERR and not done.
    - ECC: what is stored is the data, and the exclusive-or of the check bits that came with those that fit the data. So
      data that come by the back door are right, and a fault is a bit of that mask.
    """

    def __init__(self, params: RDUParams, tier: Tier, region: str) -> None:
        self.params, self.tier, self.region = params, tier, region
        self.sizes, self.map = tier_params(params, tier), tier_map(params, tier)
        self.width = ELEMENT_BITS * params.lanes
        self.words, _ = code_words(params)
        self.user = check_bits(params, tier)
        super().__init__(
            {"axi": In(axi_port(params, tier)), "number": In(max(1, self.map.channel_bits)), "shake": In(SHAKE)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.commands = commands = fifo.SyncFIFOBuffered(width=self._command().size, depth=COMMANDS)
        m.submodules.beats_in = beats_in = fifo.SyncFIFOBuffered(width=self._write_beat().size, depth=DEPTH)
        m.submodules.beats_out = beats_out = fifo.SyncFIFOBuffered(width=self._read_beat().size, depth=DEPTH)
        m.submodules.answers = answers = fifo.SyncFIFOBuffered(width=3, depth=DEPTH)
        self._connect(m, beats_in, beats_out, answers)
        time = Signal(TIME_BITS)
        self._accept(m, commands, time)
        command = data.View(self._command(), commands.r_data)
        moves, last = Signal(), Signal()
        position = Signal(8)
        beat = data.View(self._write_beat(), beats_in.r_data)
        promised = Signal(range(DEPTH + 1))  # beats read and not taken yet
        room = Mux(command.write, beats_in.r_rdy & (~last | answers.w_rdy), promised != DEPTH)
        m.d.comb += [
            moves.eq(commands.r_rdy & self._served(m, commands, command, time, moves, last) & room),
            last.eq(position == command.length),
            commands.r_en.eq(moves & last),
            beats_in.r_en.eq(moves & command.write),
            answers.w_en.eq(moves & command.write & last),
            answers.w_data.eq(Cat(command.id, Const(0, 1), command.refused)),
        ]
        with m.If(moves):
            m.d.sync += position.eq(Mux(last, 0, position + 1))
        reads, taken = moves & ~command.write, beats_out.r_rdy & beats_out.r_en
        with m.If(reads ^ taken):
            m.d.sync += promised.eq(Mux(taken, promised - 1, promised + 1))
        self._store(m, command, command.beat + position, moves, beat, last, beats_out)
        return m

    def _command(self) -> data.StructLayout:
        beat = exact_log2(self.params.beat_bytes)
        fields = {"beat": self.map.local_bits - beat, "length": 8, "id": 1, "write": 1, "refused": 1}
        return data.StructLayout({**fields, "stamp": TIME_BITS})

    def _write_beat(self) -> data.StructLayout:
        return data.StructLayout({"data": self.width, "strobe": self.width // 8, "user": self.user})

    def _read_beat(self) -> data.StructLayout:
        return data.StructLayout({"data": self.width, "user": self.user, "id": 1, "refused": 1, "last": 1})

    def _connect(self, m: Module, beats_in: Any, beats_out: Any, answers: Any) -> None:
        """The queues of W, R and B."""
        axi = self.axi
        beat, result = data.View(self._write_beat(), beats_in.w_data), data.View(self._read_beat(), beats_out.r_data)
        m.d.comb += [
            beats_in.w_en.eq(axi.wvalid),
            axi.wready.eq(beats_in.w_rdy),
            beat.data.eq(axi.wdata),
            beat.strobe.eq(axi.wstrb),
            axi.rvalid.eq(beats_out.r_rdy),
            beats_out.r_en.eq(axi.rready),
            axi.rdata.eq(result.data),
            axi.rid.eq(result.id),
            axi.rlast.eq(result.last),
            axi.rresp.eq(Mux(result.refused, Resp.SLVERR, Resp.OKAY)),
            axi.bvalid.eq(answers.r_rdy),
            answers.r_en.eq(axi.bready),
            Cat(axi.bid, axi.bresp).eq(answers.r_data),
        ]
        if self.user:
            m.d.comb += [beat.user.eq(axi.wuser), axi.ruser.eq(result.user)]

    def _accept(self, m: Module, commands: Any, time: Signal) -> None:
        """AR and AW into one queue."""
        axi, command = self.axi, data.View(self._command(), commands.w_data)
        low, full = exact_log2(self.params.beat_bytes), exact_log2(self.params.beat_bytes)
        fields = {"beat": "addr", "length": "len", "id": "id"}
        for channel in ("aw", "ar"):
            refused = (getattr(axi, f"{channel}size") != full) | (getattr(axi, f"{channel}burst") != Burst.INCR)
            here = {field: getattr(axi, f"{channel}{name}") for field, name in fields.items()}
            here |= {"beat": here["beat"][low:], "write": Const(int(channel == "aw"), 1), "refused": refused}
            with m.If(axi.arvalid if channel == "ar" else ~axi.arvalid):
                m.d.comb += [command[field].eq(value) for field, value in here.items()]
        m.d.comb += [
            command.stamp.eq(time),
            axi.arready.eq(commands.w_rdy),
            axi.awready.eq(commands.w_rdy & ~axi.arvalid),
            commands.w_en.eq(axi.arvalid | axi.awvalid),
        ]
        with m.If(commands.level != 0):
            m.d.sync += time.eq(time + 1)

    def _served(self, m: Module, commands: Any, command: Any, time: Signal, moves: Signal, last: Signal) -> Value:
        """Whether the command at the head may move a beat: its latency is over, the bus free, the bandwidth there."""
        sizes, (gain, price) = self.sizes, self.sizes.beats
        beat = exact_log2(self.params.beat_bytes)
        begun, direction = Signal(name="begun"), Signal(name="direction")
        row, rested = command.beat[max(0, exact_log2(sizes.row_bytes) - beat) :], Signal(8, name="rested")
        open_row, opened = Signal(len(row), name="open_row"), Signal(name="opened")
        missed = opened & (open_row != row)
        need, ripe = Signal(TIME_BITS, name="need"), Signal(name="ripe")
        random = self._random(m, commands)
        m.d.comb += [
            need.eq(max(0, sizes.latency - OVERHEAD) + Mux(missed, sizes.row_miss, 0) + (random & self.shake.jitter)),
            ripe.eq((time - command.stamp)[:TIME_BITS] >= need),
        ]
        turned = (command.write == direction) | (rested >= sizes.turnaround)
        with m.If(moves):
            m.d.sync += [rested.eq(0), begun.eq(~last), direction.eq(command.write), open_row.eq(row), opened.eq(1)]
        with m.Elif(rested < sizes.turnaround):
            m.d.sync += rested.eq(rested + 1)
        if gain == price:
            return begun | (ripe & turned)
        purse = Signal(range(2 * price), name="purse")
        with m.If(moves):
            m.d.sync += purse.eq(purse + gain - price)
        with m.Elif(purse < price):  # at most what one beat costs and a cycle's gain: nothing is saved up
            m.d.sync += purse.eq(purse + gain)
        return (begun | (ripe & turned)) & (purse >= price)

    def _random(self, m: Module, commands: Any) -> Value:
        """A random number for each command, from a xorshift register (Marsaglia 2003)."""
        state = Signal(32, name="random")
        a = Signal(32, name="random_a")
        b = Signal(32, name="random_b")
        m.d.comb += [a.eq(state ^ (state << 13)), b.eq(a ^ (a >> 17))]
        with m.If(state == 0):
            m.d.sync += state.eq(self.shake.seed | 1)
        with m.Elif(commands.r_en):
            m.d.sync += state.eq(b ^ (b << 5))
        return state[8:]

    def _store(
        self, m: Module, command: Any, place: Value, moves: Signal, beat: Any, last: Signal, beats_out: Any
    ) -> None:
        """The storage, and what it gave into the queue of R."""
        read, write = Signal(name="read"), Signal(name="write")
        address = Signal(48, name="address")
        low = exact_log2(self.params.beat_bytes)
        granule = self.map.granule_bits - low
        number = self.number[: self.map.channel_bits]
        within = place[: self.map.local_bits - low]
        m.d.comb += [
            read.eq(moves & ~command.write),
            write.eq(moves & command.write & ~command.refused),
            address.eq(Cat(Const(0, low), within[:granule], number, within[granule:])),
        ]
        result, came = data.View(self._read_beat(), beats_out.w_data), Signal(name="came")
        stored = Signal(self.width, name="stored")
        self._memory(m, self.region, self.sizes.capacity, address, read, stored, write, beat.data, beat.strobe)
        m.d.sync += came.eq(read)
        carried = data.StructLayout({"id": 1, "refused": 1, "last": 1})
        beside = Signal(carried, name="beside")
        with m.If(read):
            m.d.sync += [beside.id.eq(command.id), beside.refused.eq(command.refused), beside.last.eq(last)]
        m.d.comb += [beats_out.w_en.eq(came), result.data.eq(stored)]
        m.d.comb += [result[name].eq(beside[name]) for name in ("id", "refused", "last")]
        if self.user:
            self._store_masks(m, address, read, stored, write, beat, result)

    def _store_masks(
        self, m: Module, address: Value, read: Value, stored: Value, write: Value, beat: Any, result: Any
    ) -> None:
        """Check bits: a byte a code word, exclusive-ored with those that fit the data."""
        each, low = self.user // self.words, exact_log2(self.params.beat_bytes // self.words)
        masks, wanted = Signal(8 * self.words, name="masks"), Signal(8 * self.words, name="new_masks")
        wrong = beat.user ^ checks(beat.data, self.words)
        bytes_ = len(beat.strobe) // self.words
        strobe = Cat(beat.strobe[i * bytes_ : (i + 1) * bytes_].any() for i in range(self.words))
        m.d.comb += wanted.eq(Cat(Cat(wrong.word_select(i, each), Const(0, 8 - each)) for i in range(self.words)))
        capacity = self.sizes.capacity >> low
        self._memory(m, mask_name(self.region), capacity, address >> low, read, masks, write, wanted, strobe)
        kept = Cat(masks.word_select(i, 8)[:each] for i in range(self.words))
        m.d.comb += result.user.eq(checks(stored, self.words) ^ kept)

    def _memory(
        self,
        m: Module,
        name: str,
        capacity: int,
        address: Value,
        read: Value,
        read_data: Signal,
        write: Value,
        write_data: Any,
        strobe: Any,
    ) -> None:
        m.submodules += Instance(
            "openrdu_memory",
            p_NAME=name,
            p_BYTES=capacity,
            p_WIDTH=len(read_data),
            i_clk=ClockSignal(),
            i_read=read,
            i_read_address=address,
            o_read_data=read_data,
            i_write=write,
            i_write_address=address,
            i_write_data=write_data,
            i_write_strobe=strobe,
        )


class MemoryModel(wiring.Component):
    """Every channel of both tiers of a socket; ``machine`` is put before the names of the regions."""

    def __init__(self, params: RDUParams, machine: str = "") -> None:
        self.params, self.machine = params, machine
        faces = {t.name.lower(): In(axi_port(params, t)).array(tier_map(params, t).channels) for t in Tier}
        super().__init__({**faces, "shake": In(SHAKE)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for tier in Tier:
            name = tier.name.lower()
            for c, face in enumerate(getattr(self, name)):
                channel = once(ChannelModel, self.params, tier, region_name(tier, self.machine))
                m.submodules[f"{name}_{c}"] = channel
                connect(m, flipped(face), channel.axi)
                different = Const(0x9E3779B9 * (2 * c + tier) & 0xFFFF_FFFF, 32)
                m.d.comb += [
                    channel.number.eq(c),
                    channel.shake.jitter.eq(self.shake.jitter),
                    channel.shake.seed.eq(self.shake.seed ^ different),
                ]
        return m
