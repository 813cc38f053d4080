"""One channel of a socket's links: where each vector that comes goes on."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.layout import LinkSizes, Refusal, address_layout, beat_layout, routes_layout
from hdl.rdn.arbiter import LeastRecent, chosen
from hdl.tln.slice import Slice


def refusal_layout() -> data.StructLayout:
    """A vector that is not delivered in this cycle."""
    return data.StructLayout({"reason": Refusal, "address": address_layout()})


class Crossing(wiring.Component):
    """The links, and last the socket itself, each to each.

    A vector for this socket goes to it if its program runs, any other to the link of its destination, though never back
    by the link it came by. What has nowhere to go, or belongs to another program than the one that runs, is taken and
    refused: it blocks nothing. While no program runs, it waits for one.

    - ``i``, ``o``: vectors with addresses. ``refused``: of each input, in this cycle.
    - ``clear``: drops what stands at the socket's own ends, which belongs to the program before.
    - Choice: an output stays with an input for up to ``packet`` vectors that follow each other, so that they make long
      packets; then it takes the input served least recently.
    - Latency: 2 cycles. Throughput: a vector a cycle and output.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes, self.ends = sizes, sizes.link.links + 1
        beats = stream.Signature(beat_layout(sizes))
        super().__init__(
            {
                "i": In(beats).array(self.ends),
                "o": Out(beats).array(self.ends),
                "config": In(routes_layout(sizes)),
                "clear": In(1),
                "refused": Out(refusal_layout()).array(self.ends),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = self._beats(m)
        targets = [self._target(m, beat, k) for k, beat in enumerate(beats)]
        grants = [self._output(m, beats, [target[o] for target in targets], o) for o in range(self.ends)]
        for k, beat in enumerate(beats):
            m.d.comb += beat.ready.eq(
                Cat(grant[k] for grant in grants).any() | (self.refused[k].reason != Refusal.NONE)
            )
        return m

    def _beats(self, m: Module) -> list[Any]:
        """The inputs behind registers."""
        beats = []
        for k, source in enumerate(self.i):
            piece = Slice(beat_layout(self.sizes))
            m.submodules[f"slice_{k}"] = ResetInserter(self.clear)(piece) if k == self.ends - 1 else piece
            connect(m, flipped(source), piece.i)
            beats.append(piece.o)
        return beats

    def _target(self, m: Module, beat: Any, k: int) -> Signal:
        """The output that the vector at input ``k`` wants; none if there is none or it is refused."""
        target, links = Signal(self.ends, name=f"target_{k}"), self.ends - 1
        address, config, refused = beat.payload.address, self.config, self.refused[k]
        route = config.routes[address.destination]
        m.d.comb += refused.address.eq(address)
        with m.If(beat.valid):
            with m.If(address.destination == config.socket):
                with m.If(config.running & (address.program == config.program)):
                    m.d.comb += target[links].eq(1)
                with m.Elif(config.running):
                    m.d.comb += refused.reason.eq(Refusal.PROGRAM)
            with m.Elif(route.valid & (route.link < links) & (route.link != k)):
                m.d.comb += target.eq(1 << route.link)
            with m.Elif(config.running):
                m.d.comb += refused.reason.eq(Refusal.ROUTE)
        return target

    def _output(self, m: Module, beats: list[Any], wants: list[Value], o: int) -> Value:
        """One output's register, and which input fills it in this cycle, one hot."""
        out, packet = self.o[o], self.sizes.link.packet
        m.submodules[f"arbiter_{o}"] = arbiter = LeastRecent(self.ends)
        mine, left = Signal(self.ends, name=f"mine_{o}"), Signal(range(packet), name=f"left_{o}")
        requests, grant, stays = (
            Signal(shape, name=f"{name}_{o}")
            for name, shape in (("requests", self.ends), ("grant", self.ends), ("stays", 1))
        )
        m.d.comb += [
            requests.eq(Mux(~out.valid | out.ready, Cat(wants), 0)),
            stays.eq((requests & mine).any() & (left != 0)),
            arbiter.requests.eq(requests),
            arbiter.served.eq(grant.any() & ~stays),
            grant.eq(Mux(stays, mine, arbiter.grant)),
        ]
        with m.If(grant.any()):
            m.d.sync += [
                Value.cast(out.payload).eq(chosen(grant, [Value.cast(beat.payload) for beat in beats])),
                out.valid.eq(1),
                mine.eq(grant),
                left.eq(Mux(stays, left, packet) - 1),
            ]
        with m.Elif(out.ready):
            m.d.sync += out.valid.eq(0)
        if o == self.ends - 1:
            with m.If(self.clear):
                m.d.sync += out.valid.eq(0)
        return grant
