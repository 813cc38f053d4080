"""Sockets in a ring: the links of each, random traffic between all of them, wires that do harm."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from golden_model.link import Links
from hdl.arith.lfsr_params import WIDTH
from hdl.fields import form
from hdl.link.layout import SOCKET_BITS, Fault, LinkSizes, Refusal, refused_layout, routes_layout
from hdl.link.peers import Peers
from hdl.once import once
from hdl.params import LinkParams
from verif.benches.link import FLAGS, NUMBER_BITS, STREAMS, traffic_sizes
from verif.benches.rdn_traffic import ALWAYS, CHOICE_BITS, RATE_BITS, TrafficSink, TrafficSource, traffic_layout
from verif.models.noisy_wire import NoisyWire
from verif.sim import compile_python

FORWARD, BACK = 0, 1
"""Link 0 of each socket is joined to link 1 of the next."""


def ring(sockets: int) -> dict[tuple[int, int], tuple[int, int]]:
    """What is joined with what."""
    joined = {}
    for here in range(sockets):
        there = (here + 1) % sockets
        joined[here, FORWARD], joined[there, BACK] = (there, BACK), (here, FORWARD)
    return joined


class LinkRing(wiring.Component):
    """``sockets`` x :class:`~hdl.link.peers.Peers`, with a sender and a checking receiver at each channel.

    - ``number``: socket x channels + channel, of a sender or receiver. ``select``, ``set``: gives sender ``select`` its
      rate ``send`` and its ``destination``, receiver ``select`` its rate ``take``; chooses what is read.
    - ``config``, ``configure``: of the sockets in the mask.
    - ``stream``: sender whose vectors ``count`` counts at receiver ``select``.
    - ``astray``: vectors whose source or flow is not that of their sender.
    """

    def __init__(self, sizes: LinkSizes, sockets: int) -> None:
        self.sizes, self.sockets = sizes, sockets
        self.numbers = sockets * sizes.link.channels
        read = {name: Out(32) for name in ("sent", "made", "count", "taken", "wrong")}
        super().__init__(
            {
                "select": In(NUMBER_BITS),
                "set": In(1),
                "send": In(RATE_BITS),
                "take": In(RATE_BITS),
                "destination": In(SOCKET_BITS),
                "stream": In(NUMBER_BITS),
                "config": In(routes_layout(sizes)),
                "configure": In(sockets),
                "rate": In(WIDTH),
                "clear": In(1),
                "drop": In(sockets),
                "run": In(1),
                "seed": In(WIDTH),
                "up": Out(sockets * sizes.link.links),
                "fault": Out(Fault).array(sockets, sizes.link.links),
                "refused": Out(refused_layout()).array(sockets),
                "astray": Out(32),
                **read,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        peers: list[Any] = [once(Peers, self.sizes) for _ in range(self.sockets)]
        for socket, unit in enumerate(peers):
            m.submodules[f"socket_{socket}"] = unit
            config = Signal(routes_layout(self.sizes), name=f"config_{socket}")
            with m.If(self.configure[socket]):
                m.d.sync += config.eq(self.config)
            m.d.comb += [
                unit.config.eq(config),
                unit.clear.eq(self.drop[socket]),
                unit.link_clear.eq(self.clear.replicate(self.sizes.link.links)),
                self.refused[socket].eq(unit.refused),
                *(self.fault[socket][k].eq(unit.fault[k]) for k in range(self.sizes.link.links)),
            ]
        m.d.comb += self.up.eq(Cat(unit.up for unit in peers))
        for number, ((here, link), (there, other)) in enumerate(ring(self.sockets).items()):
            m.submodules[f"wire_{number}"] = wire = NoisyWire(self.sizes)
            connect(m, peers[here].wires_out[link], wire.i)
            connect(m, wire.o, peers[there].wires_in[other])
            m.d.comb += [wire.rate.eq(self.rate), wire.load.eq(self.clear), wire.seed.eq(self.seed + number * 0x1111)]
        self._ends(m, peers)
        return m

    def _ends(self, m: Module, peers: list[Any]) -> None:
        channels = self.sizes.link.channels
        senders, receivers, astray = [], [], []
        now = Signal(16)  # nobody measures delays here
        for number in range(self.numbers):
            socket, channel = divmod(number, channels)
            here = self.set & (self.select == number)
            senders.append(self._sender(m, number, here, peers[socket].local_in[channel], now))
            stream = peers[socket].local_out[channel]
            receivers.append(self._receiver(m, number, here, stream))
            vector = data.View(traffic_layout(traffic_sizes(self.sizes)), Value.cast(stream.payload.vector))
            source = Array(n // channels for n in range(self.numbers))[vector.source]
            astray.append(
                stream.valid
                & stream.ready
                & ((stream.payload.source != source) | (stream.payload.flow != vector.source))
            )
        m.d.sync += self.astray.eq(Mux(self.clear, 0, self.astray + Cat(astray).any()))
        m.d.comb += [
            self.sent.eq(Array(sender.sent[0] for sender in senders)[self.select]),
            self.made.eq(Array(sender.made for sender in senders)[self.select]),
        ]
        for name in ("count", "taken", "wrong"):
            m.d.comb += getattr(self, name).eq(Array(getattr(r, name) for r in receivers)[self.select])

    def _sender(self, m: Module, number: int, here: Value, stream: Any, now: Signal) -> Any:
        m.submodules[f"sender_{number}"] = sender = once(TrafficSource, traffic_sizes(self.sizes))
        rate, destination = Signal(RATE_BITS, name=f"send_{number}"), Signal(SOCKET_BITS, name=f"destination_{number}")
        with m.If(here):
            m.d.sync += [rate.eq(self.send), destination.eq(self.destination)]
        m.d.comb += [
            sender.number.eq(number),
            sender.rate.eq(rate),
            sender.seed.eq(self.seed),
            sender.run.eq(self.run),
            sender.clear.eq(self.clear),
            sender.now.eq(now),
            Value.cast(stream.payload.vector).eq(sender.out.payload),
            stream.payload.destination.eq(destination),
            stream.payload.flow.eq(number),
            stream.valid.eq(sender.out.valid),
            sender.out.ready.eq(stream.ready),
        ]
        return sender

    def _receiver(self, m: Module, number: int, here: Value, stream: Any) -> Any:
        m.submodules[f"receiver_{number}"] = receiver = once(TrafficSink, traffic_sizes(self.sizes))
        rate = Signal(RATE_BITS, name=f"take_{number}")
        with m.If(here):
            m.d.sync += rate.eq(self.take)
        m.d.comb += [
            receiver.rate.eq(rate),
            receiver.seed.eq(self.seed + (number + 1) * 0x1357),
            receiver.clear.eq(self.clear),
            receiver.stream.eq(self.stream << CHOICE_BITS),
            Value.cast(receiver.i.payload).eq(stream.payload.vector),
            receiver.i.valid.eq(stream.valid),
            stream.ready.eq(receiver.i.ready),
        ]
        return receiver


class RingBench:
    """A compiled :class:`LinkRing`."""

    def __init__(self, sizes: LinkSizes, sockets: int) -> None:
        self.sizes, self.sockets = sizes, sockets
        self.channels = sizes.link.channels
        self.numbers = sockets * self.channels
        self.model = compile_python(LinkRing(sizes, sockets), "link_ring", flags=FLAGS)

    def load(self, links: Links, running: Mapping[int, int], seed: int, errors: float = 0.0) -> None:
        """Resets everything, configures every socket with the routes and its program, waits until all links are up."""
        model = self.model
        model["run"] = 0
        model["rate"] = round((1 - (1 - errors) ** (1 / self.sizes.packet_words)) * (1 << WIDTH))
        model["clear"], model["seed"], model["drop"] = 1, seed & 0xFFFF_FFFF, 0
        model.reset()
        for socket in range(self.sockets):
            self.configure(socket, links, running)
        for number in range(self.numbers):
            self.set(number)
        model.tick(STREAMS)
        model["clear"] = 0
        for _ in range(100):
            if model["up"] == (1 << self.sockets * self.sizes.link.links) - 1:
                return
            model.tick(self.sizes.link.timeout)
        raise AssertionError(f"links do not come up: {model['up']:#b}")

    def configure(self, socket: int, links: Links, running: Mapping[int, int]) -> None:
        """Gives a socket its number, its routes and its program."""
        routes = [
            {"valid": (socket, d) in links.routes, "link": links.routes.get((socket, d), 0)}
            for d in range(1 << SOCKET_BITS)
        ]
        program = running.get(socket, 0)
        config = {"socket": socket, "running": socket in running, "program": program, "routes": routes}
        self.model["config"] = form(routes_layout(self.sizes)).pack(config)
        self.model["configure"] = 1 << socket
        self.model.tick()
        self.model["configure"] = 0

    def set(self, number: int, send: float = 0.0, destination: int = 0, take: float = 1.0) -> None:
        """Vectors a cycle of sender ``number``, for whom, and vectors a cycle that receiver ``number`` takes."""
        model = self.model
        model["select"], model["destination"] = number, destination
        model["send"], model["take"], model["set"] = round(send * ALWAYS), round(take * ALWAYS), 1
        model.tick()
        model["set"] = 0

    def run(self, cycles: int) -> None:
        self.model["run"] = 1
        self.model.tick(cycles)

    def drain(self, limit: int = 400_000) -> None:
        """Stops the senders and waits until nothing arrives any more."""
        self.model["run"] = 0
        before, cycles, quiet = -1, 0, 4 * self.sizes.link.timeout
        while (now := self._moved()) != before and cycles < limit:
            before, cycles = now, cycles + quiet
            self.model.tick(quiet)

    def _moved(self) -> int:
        refused = sum(self.refused(socket)[0] for socket in range(self.sockets))
        return refused + sum(self.read("taken", number) for number in range(self.numbers))

    def read(self, name: str, number: int) -> int:
        self.model["select"] = number
        return self.model[name]

    def count(self, receiver: int, sender: int) -> int:
        """Vectors of a sender that a receiver got."""
        self.model["stream"] = sender
        return self.read("count", receiver)

    def refused(self, socket: int) -> tuple[int, Refusal, tuple[int, int, int, int]]:
        """How many vectors a socket did not deliver; of the first why, and source, destination, program and flow."""
        bits = self.model[f"refused__{socket}"]
        view = refused_layout().from_bits(bits)
        address = view.address
        return (
            int(view.count),
            Refusal(view.reason),
            (address.source, address.destination, address.program, address.flow),
        )


@cache
def bench(sockets: int = 3, lanes: int = 4, link: LinkParams | None = None) -> RingBench:
    """One for each size."""
    return RingBench(LinkSizes(lanes, link or LinkParams()), sockets)
