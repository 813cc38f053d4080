"""Two ends of a peer link with random traffic both ways over wires that do harm: run and checked from Python."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hdl.arith.lfsr_params import WIDTH
from hdl.link.layout import Fault, LinkSizes, address_layout, wire_signature
from hdl.link.peer_link import COUNTERS, PeerLink
from hdl.once import once
from hdl.params import LinkParams, RDNParams
from hdl.rdn.config import SwitchSizes
from verif.benches.rdn_traffic import (
    ALWAYS,
    CHOICE_BITS,
    COUNT_BITS,
    RATE_BITS,
    SOURCE_BITS,
    TrafficSink,
    TrafficSource,
)
from verif.models.noisy_wire import NoisyWire
from verif.sim import compile_python
from verif.streams import BenchError

SIDES = (0, 1)
STREAMS = 1 << (SOURCE_BITS + CHOICE_BITS)
NUMBER_BITS = 6
PROGRAM = 0xBEEF
FLAGS = ("--inline-mult", "1")  # blocks stay functions of their own: half the build, and quicker


def traffic_sizes(sizes: LinkSizes) -> SwitchSizes:
    """What sources and sinks want to know: the vector."""
    return SwitchSizes(RDNParams(), 1, 1, sizes.lanes)


class LinkPair(wiring.Component):
    """Both ends, a sender and a checking receiver at each channel of each, numbered side by side.

    - ``select``, ``set``: gives sender ``select`` its rate ``send`` and receiver ``select`` its rate ``take``. Sender
      ``select`` of the other side feeds receiver ``select``.
    - ``rate``: of errors in words, of 2**32, on both wires; ``cut``: wires by the side they leave.
    - ``link_clear``: resets that end. ``clear``: forgets the traffic and takes ``seed``.
    - ``astray``: vectors that came with another address. ``words``: of packets, by the side they leave.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        self.numbers = len(SIDES) * sizes.link.channels
        read = {name: Out(32) for name in ("sent", "made", "count", "taken", "wrong", "measured", "delay", "slowest")}
        super().__init__(
            {
                "select": In(NUMBER_BITS),
                "set": In(1),
                "send": In(RATE_BITS),
                "take": In(RATE_BITS),
                "rate": In(WIDTH),
                "cut": In(len(SIDES)),
                "link_clear": In(len(SIDES)),
                "clear": In(1),
                "run": In(1),
                "seed": In(WIDTH),
                "up": Out(len(SIDES)),
                "fault": Out(Fault).array(len(SIDES)),
                "counts": Out(32).array(len(SIDES), len(COUNTERS)),
                "words": Out(32).array(len(SIDES)),
                "hits": Out(32).array(len(SIDES)),
                "astray": Out(32),
                "wire": Out(wire_signature(sizes)).array(len(SIDES)),
                **read,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        now = Signal(16)
        m.d.sync += now.eq(now + 1)
        ends: list[Any] = [once(PeerLink, self.sizes) for _ in SIDES]
        for side, end in enumerate(ends):
            m.submodules[f"end_{side}"] = end
            self._wire(m, side, end, ends[1 - side])
            m.d.comb += [
                end.clear.eq(self.link_clear[side]),
                self.up[side].eq(end.up),
                self.fault[side].eq(end.fault),
                *(self.counts[side][k].eq(end.counts[name]) for k, name in enumerate(COUNTERS)),
            ]
        self._senders(m, ends, now)
        self._receivers(m, ends, now)
        return m

    def _wire(self, m: Module, side: int, sender: Any, receiver: Any) -> None:
        m.submodules[f"wire_{side}"] = wire = NoisyWire(self.sizes)
        connect(m, sender.wire_out, wire.i)
        connect(m, wire.o, receiver.wire_in)
        m.d.comb += [
            wire.rate.eq(self.rate),
            wire.cut.eq(self.cut[side]),
            wire.load.eq(self.clear),
            wire.seed.eq(self.seed + side * 0x1111),
            self.wire[side].valid.eq(sender.wire_out.valid),
            self.wire[side].word.eq(sender.wire_out.word),
        ]
        with m.If(self.clear):
            m.d.sync += [self.words[side].eq(0), self.hits[side].eq(0)]
        with m.Else():
            m.d.sync += [
                self.words[side].eq(self.words[side] + sender.wire_out.valid),
                self.hits[side].eq(self.hits[side] + wire.hit),
            ]

    def _senders(self, m: Module, ends: list[Any], now: Signal) -> None:
        senders = []
        channels = self.sizes.link.channels
        for number in range(self.numbers):
            side, channel = divmod(number, channels)
            m.submodules[f"sender_{number}"] = sender = once(TrafficSource, traffic_sizes(self.sizes))
            rate = Signal(RATE_BITS, name=f"send_{number}")
            with m.If(self.set & (self.select == number)):
                m.d.sync += rate.eq(self.send)
            stream = ends[side].i[channel]
            m.d.comb += [
                sender.number.eq(number),
                sender.rate.eq(rate),
                sender.seed.eq(self.seed),
                sender.run.eq(self.run),
                sender.clear.eq(self.clear),
                sender.now.eq(now),
                Value.cast(stream.payload.vector).eq(sender.out.payload),
                stream.payload.address.eq(address_of(side, channel)),
                stream.valid.eq(sender.out.valid),
                sender.out.ready.eq(stream.ready),
            ]
            senders.append(sender)
        m.d.comb += [
            self.sent.eq(Array(sender.sent[0] for sender in senders)[self.select]),
            self.made.eq(Array(sender.made for sender in senders)[self.select]),
        ]

    def _receivers(self, m: Module, ends: list[Any], now: Signal) -> None:
        receivers, astray = [], []
        channels = self.sizes.link.channels
        for number in range(self.numbers):
            side, channel = divmod(number, channels)
            m.submodules[f"receiver_{number}"] = receiver = once(TrafficSink, traffic_sizes(self.sizes))
            rate = Signal(RATE_BITS, name=f"take_{number}")
            with m.If(self.set & (self.select == number)):
                m.d.sync += rate.eq(self.take)
            stream = ends[side].o[channel]
            address = Value.cast(address_of(1 - side, channel))
            astray.append(stream.valid & stream.ready & (Value.cast(stream.payload.address) != address))
            sender = number + channels * (1 - 2 * side)
            m.d.comb += [
                receiver.rate.eq(rate),
                receiver.seed.eq(self.seed + (number + 1) * 0x1357),
                receiver.clear.eq(self.clear),
                receiver.measure.eq(1),
                receiver.now.eq(now),
                receiver.stream.eq(sender << CHOICE_BITS),
                Value.cast(receiver.i.payload).eq(stream.payload.vector),
                receiver.i.valid.eq(stream.valid),
                stream.ready.eq(receiver.i.ready),
            ]
            receivers.append(receiver)
        for name in ("count", "taken", "wrong", "measured", "delay", "slowest"):
            chosen = Array(getattr(receiver, name) for receiver in receivers)[self.select]
            m.d.comb += getattr(self, name).eq(chosen)
        m.d.sync += self.astray.eq(Mux(self.clear, 0, self.astray + Cat(astray).any()))


def address_of(side: int, channel: int) -> object:
    """The address that vectors of a channel have which leave ``side``."""
    return address_layout().const(
        {"source": side, "destination": 1 - side, "program": PROGRAM, "flow": 16 * side + channel}
    )


@dataclass(frozen=True)
class Verdict:
    """What a run came to: vectors sent and taken, and in sentences what was wrong with them."""

    sent: int
    taken: int
    wrong: tuple[str, ...]


class LinkBench:
    """A compiled :class:`LinkPair`."""

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        self.pair = LinkPair(sizes)
        self.numbers = self.pair.numbers
        self.model = compile_python(self.pair, "link_pair", flags=FLAGS)

    def load(self, seed: int, errors: float = 0.0) -> None:
        """Resets everything; ``errors`` is the share of the longest packets that are harmed."""
        model = self.model
        model["run"] = model["cut"] = 0
        model["link_clear"] = 0b11  # the ends begin when the wires do harm
        model["rate"] = round((1 - (1 - errors) ** (1 / self.sizes.packet_words)) * (1 << WIDTH))
        model["clear"], model["seed"] = 1, seed & 0xFFFF_FFFF
        model.reset()
        model.tick(STREAMS)
        model["clear"] = 0
        self.rates({}, {})
        model["link_clear"] = 0

    def rates(self, send: Mapping[int, float], take: Mapping[int, float]) -> None:
        """Vectors a cycle that senders make (0 if left out) and receivers take (1)."""
        model = self.model
        model["set"] = 1
        for number in range(self.numbers):
            model["select"] = number
            model["send"], model["take"] = round(send.get(number, 0) * ALWAYS), round(take.get(number, 1) * ALWAYS)
            model.tick()
        model["set"] = 0

    def run(self, cycles: int) -> None:
        self.model["run"] = 1
        self.model.tick(cycles)

    def drain(self, limit: int = 400_000) -> None:
        """Stops the senders and waits until nothing arrives any more."""
        self.model["run"] = 0
        quiet = self.sizes.link.patience + self.sizes.link.timeout  # what is still not acknowledged then is a fault
        taken, cycles = -1, 0
        while (now := self.total("taken")) != taken and cycles < limit:
            taken, cycles = now, cycles + quiet
            self.model.tick(quiet)

    def rate(self, seed: int, errors: float, cycles: int) -> float:
        """Vectors a cycle and direction while every sender sends what it can, from when the link is full."""
        self.load(seed, errors)
        self.rates(dict.fromkeys(range(self.numbers), 1.0), {})
        self.run(4 * self.sizes.link.timeout)
        before = self.total("taken")
        self.run(cycles)
        return (self.total("taken") - before) / cycles / len(SIDES)

    def verdict(self) -> Verdict:
        """After :meth:`drain`: whether every vector came once, in order, unharmed, with its address."""
        wrong: list[str] = []
        if self.model["astray"]:
            wrong.append(f"{self.model['astray']} vectors came with another address than their own")
        channels = self.sizes.link.channels
        for number in range(self.numbers):
            side, channel = divmod(number, channels)
            made, sent = self.read("made", number), self.read("sent", number)
            other = number + channels * (1 - 2 * side)
            what = f"channel {channel} from side {side}"
            if self.read("wrong", other):
                wrong.append(
                    f"{what}: {self.read('wrong', other)} vectors were out of order, harmed, or against the rules"
                )
            if self.read("count", other) != made % (1 << COUNT_BITS):
                wrong.append(f"{what}: {made} vectors were made, {sent} sent, {self.read('taken', other)} came")
        if self.model["fault__0"] or self.model["fault__1"]:
            wrong.append("the link was given up")
        return Verdict(self.total("sent"), self.total("taken"), tuple(wrong))

    def read(self, name: str, number: int) -> int:
        """An output of sender or receiver ``number``."""
        self.model["select"] = number
        return self.model[name]

    def total(self, name: str) -> int:
        return sum(self.read(name, number) for number in range(self.numbers))

    def count(self, side: int, name: str) -> int:
        """One of ``COUNTERS`` of an end."""
        return self.model[f"counts__{side}__{COUNTERS.index(name)}"]

    def until(self, port: str, value: int, cycles: int) -> int:
        """Ticks until ``port`` has ``value``; how many cycles that took.

        Raises:
            BenchError: it did not within ``cycles``.
        """
        for cycle in range(cycles):
            if self.model[port] == value:
                return cycle
            self.model.tick()
        raise BenchError(f"link_pair: watchdog: {port} is {self.model[port]} and not {value} after {cycles} cycles")

    def watch(self, side: int, cycles: int) -> Iterator[list[int]]:
        """The words of each packet that leaves a side within ``cycles``, but for what is cut off by begin and end."""
        words: list[int] = []
        width = self.sizes.link.width
        for _ in range(cycles):
            if self.model[f"wire__{side}__valid"]:
                word = self.model[f"wire__{side}__word"]
                if word >> width:
                    if words:
                        yield words
                    words = [word & ((1 << width) - 1)]
                elif words:
                    words.append(word)
            self.model.tick()


@cache
def bench(lanes: int = 4, link: LinkParams | None = None) -> LinkBench:
    """One for each size."""
    return LinkBench(LinkSizes(lanes, link or LinkParams()))
