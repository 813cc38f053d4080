"""Inputs of a packet switch: where a link ends, and where a unit's stream begins. Both face the crossbar alike."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.floorplan import Side
from hdl.rdn.arbiter import LeastRecent, chosen
from hdl.rdn.channel import Channel, at_outputs, dynamic_route, places_layout, static_route
from hdl.rdn.config import (
    COLUMN_BITS,
    ROW_BITS,
    THROTTLE_BITS,
    SwitchSizes,
    destination_layout,
    flows_layout,
    forward_layout,
    source_layout,
)
from hdl.rdn.link import flit_layout, link_signature


def here_layout() -> data.StructLayout:
    """Where a switch stands in the mesh."""
    return data.StructLayout({"row": ROW_BITS, "column": COLUMN_BITS})


def offer_signature(sizes: SwitchSizes) -> wiring.Signature:
    """Between an input and the crossbar, seen from the input: one flit, for several outputs at once.

    - ``requests``: places that have not got it and have room; ``granted``: the outputs that take it in this cycle.
    """
    return wiring.Signature(
        {
            "requests": Out(places_layout(sizes)),
            "payload": Out(sizes.payload),
            "flows": Out(flows_layout(sizes.rdn)),
            "destination": Out(destination_layout()),
            "granted": In(sizes.outputs),
        }
    )


def _common(sizes: SwitchSizes) -> dict[str, Any]:
    """Ports of both. ``room``: places that can take a flit now. ``busy``: next cycle may differ without an event."""
    return {
        "here": In(here_layout()),
        "room": In(places_layout(sizes)),
        "offer": Out(offer_signature(sizes)),
        "stalled": Out(1),
        "dropped": Out(1),
        "busy": Out(1),
    }


class SideInput(wiring.Component):
    """The end of a link: a place for ``depth`` flits in each virtual channel, one memory for all of them.

    Of the channels whose head can move to some output, the one served least recently offers its flit to all outputs
    that it still needs and that have room. A flit stays until all have it.

    - Latency: a flit that meets nobody is offered one cycle after it was on the link. Throughput: one flit a cycle.
    - ``stalled``: flits are here and none moves. ``dropped``: a flit's flow has no entry in ``table``.
    """

    def __init__(self, sizes: SwitchSizes, side: Side) -> None:
        self.sizes, self.side = sizes, side
        table = data.ArrayLayout(forward_layout(sizes), sizes.rdn.flows)
        super().__init__({"link": In(link_signature(sizes)), "table": In(table), **_common(sizes)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rdn, flit = self.sizes.rdn, self.link.flit
        channel_bits = rdn.channels.bit_length() - 1
        tag_bits = max(1, (rdn.flows // rdn.channels).bit_length() - 1)
        channels = [Channel(self.sizes, tag_bits, rdn.depth) for _ in range(rdn.channels)]
        for c, channel in enumerate(channels):
            m.submodules[f"channel_{c}"] = channel
            m.d.comb += [
                channel.push.eq(self.link.valid & ~flit.dynamic & (flit.flow[:channel_bits] == c)),
                channel.tag.eq(flit.flow[channel_bits:]),
            ]
            self._look_up(m, channel, [self.table[f] for f in range(c, rdn.flows, rdn.channels)])
        m.submodules.dynamic = dynamic = Channel(self.sizes, Shape.cast(destination_layout()).width, rdn.depth)
        m.d.comb += [dynamic.push.eq(self.link.valid & flit.dynamic), dynamic.tag.eq(flit.destination)]
        destination = data.View(destination_layout(), dynamic.first)
        dynamic_route(m, dynamic.route, self.here, destination, but=self.side)
        self._offer(m, [*channels, dynamic])
        return m

    def _look_up(self, m: Module, channel: Channel, entries: list[Any]) -> None:
        """The route of a flow; a flit never leaves where it came in."""
        width = Shape.cast(forward_layout(self.sizes)).width
        entry = Signal(forward_layout(self.sizes))
        m.d.comb += entry.eq(Cat(Value.cast(entry) for entry in entries).word_select(channel.first, width))
        static_route(m, self.sizes, channel.route, entry, but=self.side)

    def _offer(self, m: Module, channels: list[Channel]) -> None:
        offer = self.offer
        movable = [Value.cast(channel.head.places) & Value.cast(self.room) for channel in channels]
        m.submodules.arbiter = arbiter = LeastRecent(len(channels))
        taken, moved = Cat(channel.taken for channel in channels), Signal(places_layout(self.sizes))
        m.d.comb += [
            arbiter.requests.eq(Cat(places.any() for places in movable)),
            arbiter.served.eq((taken & arbiter.grant).any()),
            offer.requests.eq(chosen(arbiter.grant, movable)),
            offer.payload.eq(self._read(m, channels, arbiter.grant)),
            offer.flows.eq(chosen(arbiter.grant[:-1], [Value.cast(c.head.flows) for c in channels[:-1]])),
            offer.destination.eq(channels[-1].head.destination),
            moved.eq(at_outputs(self.sizes, offer.granted)),
            *(c.moved.eq(Mux(grant, moved, 0)) for c, grant in zip(channels, arbiter.grant, strict=True)),
            self.dropped.eq(Cat(c.dropped for c in channels).any()),
            self.busy.eq(Cat(c.valid for c in channels).any()),
            self.stalled.eq(self.busy & ~offer.granted.any() & ~self.dropped),
        ]
        m.d.sync += self.link.credit.eq(taken)

    def _read(self, m: Module, channels: list[Channel], grant: Value) -> Value:
        """Writes what arrives; reads the payload of the chosen channel's head."""
        depth, flit = self.sizes.rdn.depth, self.link.flit
        shape = flit_layout(self.sizes)["payload"].shape
        m.submodules.memory = memory = Memory(shape=shape, depth=depth * len(channels), init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        places = [Const(c * depth, len(write.addr)) for c in range(len(channels))]
        m.d.comb += [
            write.en.eq(self.link.valid),
            write.data.eq(flit.payload),
            write.addr.eq(
                chosen(Cat(c.push for c in channels), [p | c.end for p, c in zip(places, channels, strict=True)])
            ),
            read.addr.eq(chosen(grant, [p | c.at for p, c in zip(places, channels, strict=True)])),
        ]
        return Value.cast(read.data)


class LocalInput(wiring.Component):
    """Where the stream of a unit enters the network: a place for two flits, a route, a throttle.

    - ``stream``: ready is a register. A flow goes where ``config.forward`` says, or with ``config.dynamic`` to the
      destination that two bits of the payload choose.
    - Latency: a flit that meets nobody is offered one cycle after its transfer. Throughput: one a cycle, or one in
      ``throttle`` + 1 cycles.
    - ``stalled``: a flit is here, is not throttled, and does not move. ``dropped``: it has no route.
    """

    DEPTH = 2

    def __init__(self, sizes: SwitchSizes) -> None:
        self.sizes = sizes
        super().__init__(
            {
                "stream": In(stream.Signature(sizes.payload)),
                "config": In(source_layout(sizes)),
                **_common(sizes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        choice_bits = (self.sizes.rdn.DESTINATIONS - 1).bit_length()
        m.submodules.channel = channel = Channel(self.sizes, choice_bits, self.DEPTH)
        self._accept(m, channel)
        self._route(m, channel)
        offer = self.offer
        rest, awake = Signal(THROTTLE_BITS), Signal()
        with m.If(channel.taken):
            m.d.sync += rest.eq(self.config.throttle)
        with m.Elif(~awake):
            m.d.sync += rest.eq(rest - 1)
        m.d.comb += [
            awake.eq(rest == 0),
            offer.requests.eq(Mux(awake, Value.cast(channel.head.places) & Value.cast(self.room), 0)),
            offer.flows.eq(channel.head.flows),
            offer.destination.eq(channel.head.destination),
            channel.moved.eq(at_outputs(self.sizes, offer.granted)),
            self.dropped.eq(channel.dropped),
            self.busy.eq(channel.valid | ~awake),
            self.stalled.eq(channel.valid & awake & ~offer.granted.any() & ~channel.dropped),
        ]
        return m

    def _accept(self, m: Module, channel: Channel) -> None:
        """The stream into the memory; ready while there will be a place."""
        accept = self.stream.valid & self.stream.ready
        held, now = Signal(range(self.DEPTH + 1)), Signal(range(self.DEPTH + 1))
        m.d.comb += now.eq(held + accept - channel.taken)
        m.d.sync += [held.eq(now), self.stream.ready.eq(now != self.DEPTH)]
        selector = Value.cast(self.stream.payload)[-self.sizes.selector_bits :]
        m.submodules.memory = memory = Memory(shape=self.sizes.payload, depth=self.DEPTH, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            channel.push.eq(accept),
            channel.tag.eq(selector >> self.config.dynamic.shift),
            write.en.eq(accept),
            write.data.eq(self.stream.payload),
            write.addr.eq(channel.end),
            read.addr.eq(channel.at),
            self.offer.payload.eq(read.data),
        ]

    def _route(self, m: Module, channel: Channel) -> None:
        dynamic = self.config.dynamic
        with m.If(dynamic.enable):
            destination = Signal(destination_layout())
            m.d.comb += destination.eq(dynamic.destinations[channel.first])
            dynamic_route(m, channel.route, self.here, destination)
        with m.Else():
            static_route(m, self.sizes, channel.route, self.config.forward)
