"""The configuration network's end for the unit outside the tiles: the links to other sockets."""

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.config import COMMIT, config_port
from hdl.host.config_network import bus_link, tile_latency
from hdl.host.format import UnitMap
from hdl.link.config import lost_layout
from hdl.params import SCALAR_BITS


def outside_link() -> wiring.Signature:
    """Between the host block and the links, seen from the host block: as between a tile and its units."""
    return wiring.Signature(
        {
            "bus": Out(config_port()),
            "commit": Out(COMMIT),
            **dict.fromkeys(("start", "done", "clear"), Out(1)),
            "lost": In(lost_layout()),
        }
    )


class OutsideControl(wiring.Component):
    """Listens to what the master tells tile 0, and does for the links what the tile does for its units, in the same
    cycles.

    - ``bus``: of tile 0; ``read_data`` is to be joined with the tile's. ``unit``: the links.
    - ``done``: level, no tile runs: units of any tile may still wait for other sockets when tile 0 is done.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__(
            {
                "bus": In(bus_link(units)),
                "commit": In(COMMIT),
                **dict.fromkeys(("start", "done", "clear"), In(1)),
                "lost": Out(lost_layout()),
                "unit": Out(outside_link()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot, bus, unit = self._units.links, self.bus, self.unit
        assert slot is not None
        mine, reading, listening = Signal(), Signal(), Signal()
        own: Any = unit.bus
        m.d.comb += mine.eq(bus.select & ((bus.index == slot.index) | bus.all))
        m.d.sync += [own.write.eq(mine & bus.write), listening.eq(mine & ~bus.write), reading.eq(listening)]
        with m.If(mine):
            m.d.sync += [own.address.eq(bus.address), own.write_data.eq(bus.data)]
        answer = own.read_data & reading.replicate(SCALAR_BITS)
        for k in range(tile_latency(self._units) - 2):
            later = Signal(SCALAR_BITS, name=f"answer_{k}")
            m.d.sync += later.eq(answer)
            answer = later
        m.d.comb += bus.read_data.eq(answer)
        m.d.sync += [getattr(unit, name).eq(getattr(self, name)) for name in ("commit", "start", "done", "clear")]
        m.d.sync += self.lost.eq(unit.lost)
        return m
