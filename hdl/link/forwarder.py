"""What joins the links of a socket with each other and with the socket."""

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.link.crossing import Crossing
from hdl.link.layout import (
    LinkSizes,
    Refusal,
    beat_layout,
    receive_layout,
    refused_layout,
    routes_layout,
    send_layout,
)


class Forwarder(wiring.Component):
    """A :class:`~hdl.link.crossing.Crossing` for each channel; the channels never meet.

    - ``from_links``, ``to_links``: by link and channel. ``local_in``, ``local_out``: the socket's own, by channel; what
      it sends is marked as of this socket and of the program that runs.
    - ``clear``: another program begins: forgets what stands at the socket's own ends, and what was ``refused``.
    - ``refused``: vectors not delivered since, and of the first of them reason and address.
    """

    def __init__(self, sizes: LinkSizes) -> None:
        self.sizes = sizes
        links, channels = sizes.link.links, sizes.link.channels
        beats = stream.Signature(beat_layout(sizes))
        super().__init__(
            {
                "from_links": In(beats).array(links, channels),
                "to_links": Out(beats).array(links, channels),
                "local_in": In(stream.Signature(send_layout(sizes))).array(channels),
                "local_out": Out(stream.Signature(receive_layout(sizes))).array(channels),
                "config": In(routes_layout(sizes)),
                "clear": In(1),
                "refused": Out(refused_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        crossings = [Crossing(self.sizes) for _ in range(self.sizes.link.channels)]
        for c, crossing in enumerate(crossings):
            m.submodules[f"channel_{c}"] = crossing
            m.d.comb += [crossing.config.eq(self.config), crossing.clear.eq(self.clear)]
            for k in range(self.sizes.link.links):
                connect(m, flipped(self.from_links[k][c]), crossing.i[k])
                connect(m, crossing.o[k], flipped(self.to_links[k][c]))
            self._own(m, crossing, c)
        self._refuse(m, [refused for crossing in crossings for refused in crossing.refused])
        return m

    def _own(self, m: Module, crossing: Crossing, c: int) -> None:
        sends, goes, takes, comes = self.local_in[c], crossing.i[-1], self.local_out[c], crossing.o[-1]
        given, taken = goes.payload, comes.payload
        m.d.comb += [
            given.vector.eq(sends.payload.vector),
            given.address.source.eq(self.config.socket),
            given.address.destination.eq(sends.payload.destination),
            given.address.program.eq(self.config.program),
            given.address.flow.eq(sends.payload.flow),
            goes.valid.eq(sends.valid),
            sends.ready.eq(goes.ready),
            takes.payload.vector.eq(taken.vector),
            takes.payload.source.eq(taken.address.source),
            takes.payload.flow.eq(taken.address.flow),
            takes.valid.eq(comes.valid),
            comes.ready.eq(takes.ready),
        ]

    def _refuse(self, m: Module, refusals: list[wiring.PureInterface]) -> None:
        """Counts them; keeps the first, of several in one cycle the last in order."""
        first, count = Signal.like(refusals[0]), Value.cast(0)
        for refusal in refusals:
            hit = refusal.reason != Refusal.NONE
            count = count + hit
            with m.If(hit):
                m.d.comb += first.eq(refusal)
        with m.If(self.clear):
            m.d.sync += Value.cast(self.refused).eq(0)
        with m.Else():
            m.d.sync += self.refused.count.eq(self.refused.count + count)
            with m.If(self.refused.reason == Refusal.NONE):
                m.d.sync += [
                    self.refused.reason.eq(first.reason),
                    self.refused.address.eq(first.address),
                ]
