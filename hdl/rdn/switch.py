"""The packet switch of the vector and scalar fabrics."""

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.config import COMMIT, ConfigRegisters, config_port
from hdl.floorplan import Side
from hdl.params import SCALAR_BITS
from hdl.rdn.arbiter import LeastRecent, chosen
from hdl.rdn.channel import places_layout
from hdl.rdn.config import COLUMN_BITS, ROW_BITS, SIDES, SwitchSizes, status_names, switch_layout
from hdl.rdn.inputs import LocalInput, SideInput
from hdl.rdn.link import Credits, link_signature


class Switch(wiring.Component):
    """Four links each way and the streams of the units at its corners, through a non-blocking crossbar
    (``docs/network.md``).

    - Latency: 2 cycles from link to link, from a unit's transfer to the link, and from link to a unit's valid.
    - Throughput: every output moves one flit a cycle, every input one flit a cycle to any number of outputs.
    - Choice: each output takes the input served least recently, each side input the virtual channel.
    - ``row``, ``column``: where the switch stands; constants to whoever instantiates it.
    - ``bus``, ``commit``: the configuration bus. Committing clears the status words, and may happen only while no flit
      that the old configuration concerns is under way.
    - Every output comes from a register.
    """

    def __init__(self, sizes: SwitchSizes) -> None:
        self.sizes = sizes
        self.busy = Signal()  # a flit is inside, or a source rests
        local = stream.Signature(sizes.payload)
        super().__init__(
            {
                "side_in": In(link_signature(sizes)).array(SIDES),
                "side_out": Out(link_signature(sizes)).array(SIDES),
                "local_in": In(local).array(sizes.locals_in),
                "local_out": Out(local).array(sizes.locals_out),
                "row": In(ROW_BITS),
                "column": In(COLUMN_BITS),
                "bus": In(config_port()),
                "commit": In(COMMIT),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        names = status_names(self.sizes)
        m.submodules.config = config = ConfigRegisters(switch_layout(self.sizes), len(names))
        connect(m, flipped(self.bus), config.bus)
        m.d.comb += config.commit.eq(self.commit)
        inputs = self._inputs(m, config.active)
        room = Signal(places_layout(self.sizes))
        for unit in inputs:
            m.d.comb += [unit.room.eq(room), unit.here.row.eq(self.row), unit.here.column.eq(self.column)]
        grants = [self._grant(m, inputs, o) for o in range(self.sizes.outputs)]
        for i, unit in enumerate(inputs):
            m.d.comb += unit.offer.granted.eq(Cat(grant[i] for grant in grants))
        for side in Side:
            self._side_output(m, inputs, side, grants[side], room)
        for k in range(self.sizes.locals_out):
            self._local_output(m, inputs, k, grants[SIDES + k], room)
        self._count(m, inputs, grants, config.status)
        m.d.comb += self.busy.eq(Cat(unit.busy for unit in inputs).any())
        return m

    def _inputs(self, m: Module, config: Any) -> list[Any]:
        inputs: list[Any] = []
        for side in Side:
            m.submodules[f"input_{side.name.lower()}"] = unit = SideInput(self.sizes, side)
            connect(m, flipped(self.side_in[side]), unit.link)
            m.d.comb += unit.table.eq(config.sides[side])
            inputs.append(unit)
        for k in range(self.sizes.locals_in):
            m.submodules[f"input_local_{k}"] = local = LocalInput(self.sizes)
            connect(m, flipped(self.local_in[k]), local.stream)
            m.d.comb += local.config.eq(config.sources[k])
            inputs.append(local)
        return inputs

    def _grant(self, m: Module, inputs: list[Any], output: int) -> Value:
        """Which input an output takes; not the one on its own side, where nothing turns back."""
        m.submodules[f"arbiter_{output}"] = arbiter = LeastRecent(len(inputs) - (output < SIDES))
        own = [unit for i, unit in enumerate(inputs) if i != output or output >= SIDES]
        if output < SIDES:
            requests = Cat(unit.offer.requests.links[output].any() for unit in own)
        else:
            requests = Cat(unit.offer.requests.locals[output - SIDES] for unit in own)
        m.d.comb += [arbiter.requests.eq(requests), arbiter.served.eq(arbiter.requests.any())]
        if output >= SIDES:
            return arbiter.grant
        return Cat(arbiter.grant[:output], 0, arbiter.grant[output:])

    def _side_output(self, m: Module, inputs: list[Any], side: Side, grant: Value, room: Any) -> None:
        link, rdn = self.side_out[side], self.sizes.rdn
        m.submodules[f"credits_{side.name.lower()}"] = credits = Credits(self.sizes.virtual_channels, rdn.depth)
        moves, dynamic = credits.take.any(), credits.take[-1]
        m.d.comb += [
            credits.take.eq(chosen(grant, [unit.offer.requests.links[side] for unit in inputs])),
            credits.give.eq(link.credit),
            room.links[side].eq(credits.room),
        ]
        m.d.sync += link.valid.eq(moves)
        with m.If(moves):
            m.d.sync += [
                link.flit.payload.eq(chosen(grant, [Value.cast(unit.offer.payload) for unit in inputs])),
                link.flit.flow.eq(chosen(grant, [unit.offer.flows[side] for unit in inputs])),
                link.flit.dynamic.eq(dynamic),
            ]
            with m.If(dynamic):
                places = [Value.cast(unit.offer.destination) for unit in inputs]
                m.d.sync += link.flit.destination.eq(chosen(grant, places))

    def _local_output(self, m: Module, inputs: list[Any], k: int, grant: Value, room: Any) -> None:
        out = self.local_out[k]
        m.d.comb += room.locals[k].eq(~out.valid | out.ready)
        with m.If(grant.any()):
            m.d.sync += [
                out.payload.eq(chosen(grant, [Value.cast(unit.offer.payload) for unit in inputs])),
                out.valid.eq(1),
            ]
        with m.Elif(out.ready):
            m.d.sync += out.valid.eq(0)

    def _count(self, m: Module, inputs: list[Any], grants: list[Value], status: Any) -> None:
        events = [*(grant.any() for grant in grants), *(unit.stalled for unit in inputs)]
        counters = [Signal(SCALAR_BITS, name=f"count_{i}") for i in range(len(events))]
        dropped, errors = Cat(unit.dropped for unit in inputs), Signal(len(inputs))
        with m.If(self.commit.take):
            m.d.sync += [errors.eq(0), *(counter.eq(0) for counter in counters)]
        with m.Else():
            for event, counter in zip(events, counters, strict=True):
                with m.If(event):
                    m.d.sync += counter.eq(counter + 1)
            with m.If(dropped.any()):
                m.d.sync += errors.eq(errors | dropped)
        m.d.comb += [word.eq(value) for word, value in zip(status, [*counters, errors], strict=True)]
