"""One virtual channel where a link ends: the flits that wait there, and where the first of them still has to go."""

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.floorplan import Side
from hdl.rdn.config import SIDES, SwitchSizes, destination_layout, flows_layout


def places_layout(sizes: SwitchSizes) -> data.StructLayout:
    """A bit for every place a flit can go: the virtual channels of the outgoing links, and the local outputs."""
    links = data.ArrayLayout(sizes.virtual_channels, SIDES)
    return data.StructLayout({"links": links, "locals": sizes.locals_out})


def route_layout(sizes: SwitchSizes) -> data.StructLayout:
    """Where a flit goes: the places that have not got it yet; flow ids or destination to go on with."""
    return data.StructLayout(
        {"places": places_layout(sizes), "flows": flows_layout(sizes.rdn), "destination": destination_layout()}
    )


def at_outputs(sizes: SwitchSizes, outputs: Value) -> Value:
    """All places at the outputs in a mask, sides first."""
    return Cat(*(outputs[side].replicate(sizes.virtual_channels) for side in Side), outputs[SIDES:])


class Channel(wiring.Component):
    """A queue of flits, of which it keeps the tags (what their route follows from); payloads lie in a memory outside.

    - ``push``: a flit arrives and its payload is written at place ``end``. Whoever pushes knows that there is room.
    - ``first``: the tag of the next flit to become the head, possibly the one that arrives; ``route`` answers it in the
      same cycle.
    - ``valid``, ``head``, ``at``: the first flit, what is left of its route, and its place; all registers. A flit that
      finds the channel empty is the head one cycle after its arrival. Without a head nothing is left.
    - ``moved``: places that get the head in this cycle. When all have it, or if it has no route (``dropped``), it is
      ``taken`` and the next one follows without a gap.
    """

    def __init__(self, sizes: SwitchSizes, tag_bits: int, depth: int) -> None:
        self.depth, self.tag_bits = depth, tag_bits
        self.next = Signal(range(depth))  # place of the first flit after the head; an attribute for the proof
        super().__init__(
            {
                "push": In(1),
                "tag": In(tag_bits),
                "end": Out(range(depth)),
                "first": Out(tag_bits),
                "route": In(route_layout(sizes)),
                "valid": Out(1),
                "head": Out(route_layout(sizes)),
                "at": Out(range(depth)),
                "moved": In(places_layout(sizes)),
                "taken": Out(1),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        places = Value.cast(self.head.places)
        left = places & ~Value.cast(self.moved)
        waiting, load = Signal(), Signal()
        m.d.comb += [
            waiting.eq(self.next != self.end),
            self.taken.eq(self.valid & (left == 0)),
            self.dropped.eq(self.valid & (places == 0)),
            load.eq((~self.valid | self.taken) & (waiting | self.push)),
            self.first.eq(Mux(waiting, self._oldest_tag(m), self.tag)),
        ]
        with m.If(load):
            m.d.sync += [self.valid.eq(1), self.head.eq(self.route), self.at.eq(self.next), self.next.eq(self.next + 1)]
        with m.Elif(self.valid):
            m.d.sync += [self.valid.eq(~self.taken), places.eq(left)]
        with m.If(self.push):
            m.d.sync += self.end.eq(self.end + 1)
        return m

    def _oldest_tag(self, m: Module) -> Value:
        m.submodules.tags = tags = Memory(shape=self.tag_bits, depth=self.depth, init=[])
        write, read = tags.write_port(), tags.read_port(domain="comb")
        m.d.comb += [write.addr.eq(self.end), write.data.eq(self.tag), write.en.eq(self.push), read.addr.eq(self.next)]
        return read.data


def static_route(m: Module, sizes: SwitchSizes, route: Any, forward: Any, *, but: Side | None = None) -> None:
    """Sets ``route`` of a static flow, to all that ``forward`` says except side ``but``."""
    channels = sizes.rdn.channels
    for side in Side:
        channel = forward.flows[side][: channels.bit_length() - 1] if channels > 1 else Const(0, 1)
        if side is not but:
            m.d.comb += route.places.links[side].eq(Mux(forward.outputs[side], 1 << channel, 0))
    m.d.comb += [route.places.locals.eq(forward.outputs[SIDES:]), route.flows.eq(forward.flows)]


def dynamic_route(m: Module, route: Any, here: Any, destination: Any, *, but: Side | None = None) -> None:
    """Sets ``route`` of a flit in dimension order: along the row to its column, along that to its row, then out at its
    local output; nowhere if there is no such output, or if it would have to leave by side ``but``."""
    m.d.comb += route.destination.eq(destination)
    ways = {
        Side.EAST: destination.column > here.column,
        Side.WEST: destination.column < here.column,
        Side.SOUTH: (destination.column == here.column) & (destination.row > here.row),
        Side.NORTH: (destination.column == here.column) & (destination.row < here.row),
    }
    for side, way in ways.items():
        if side is not but:
            m.d.comb += route.places.links[side][-1].eq(way)
    with m.If((destination.column == here.column) & (destination.row == here.row)):
        m.d.comb += route.places.locals.eq(1 << destination.port)
