"""Everything between the host and the tiles: composition only."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.axi import axi4_lite
from hdl.host.config_network import REQUEST, ConfigMaster, tile_link
from hdl.host.format import MAGIC, VERSION, UnitMap, parameter_hash
from hdl.host.mailbox import Mailbox
from hdl.host.outside import OutsideControl, outside_link
from hdl.host.port import HostPort
from hdl.host.registers import ADDRESS_BITS, BY_NAME
from hdl.host.sequencer import Sequencer, dma_port
from hdl.host.window import Window
from hdl.memory.port import memory_port
from hdl.params import SCALAR_BITS


class Host(wiring.Component):
    """Host port, launch sequencer and memory window of a socket.

    - ``axi``: AXI4-Lite slave, the registers of ``docs/registers.md``. ``irq``: level.
    - ``links``: a :class:`~hdl.host.config_network.TileControl` each. ``dma``: the tier DMA.
    - ``outside``: the links to other sockets, of a machine that has several.
    - ``memory``: of the sequencer; ``window_memory``: of the host's window; two requesters of the memory system.
    - ``counter``: of the memory system, see :class:`hdl.memory.system.MemorySystem`.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        params = units.params
        outside = {"outside": Out(outside_link())} if units.links else {}
        super().__init__(
            {
                "axi": In(axi4_lite(ADDRESS_BITS)),
                "irq": Out(1),
                "links": Out(tile_link(units)).array(params.tiles),
                **outside,
                "dma": Out(dma_port()),
                "memory": Out(memory_port(params)),
                "window_memory": Out(memory_port(params)),
                "counter": Out(
                    wiring.Signature({"index": Out(BY_NAME["COUNTER"].layout.size), "value": In(SCALAR_BITS)})
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self._units.params
        m.submodules.port = port = HostPort()
        m.submodules.mailbox = mailbox = Mailbox(params.host.launch_latency)
        m.submodules.sequencer = sequencer = Sequencer(self._units)
        m.submodules.master = master = ConfigMaster(self._units)
        m.submodules.window = window = Window(params)
        connect(m, flipped(self.axi), port.axi)
        connect(m, sequencer.dma, flipped(self.dma))
        connect(m, sequencer.memory, flipped(self.memory))
        connect(m, window.memory, flipped(self.window_memory))
        for link, bus, control in zip(self.links, master.buses, sequencer.links, strict=True):
            connect(m, bus, flipped(link.bus))
            connect(m, control, flipped(link.control))
        if self._units.links:
            self._outside(m, master, sequencer)
        self._identify(m, port)
        self._command(m, port, mailbox, sequencer)
        self._count(m, port, sequencer)
        self._open(m, port, window)
        self._peek(m, port, master)
        m.d.comb += [
            self.counter.index.eq(port.counter.value.as_value()),
            port.counter_value.value.eq(self.counter.value),
            master.sequencer.eq(sequencer.access),
            master.sequencer_valid.eq(sequencer.access_valid),
            sequencer.answered.eq(master.sequencer_answered),
            sequencer.answer.eq(master.answer),
        ]
        return m

    def _outside(self, m: Module, master: ConfigMaster, sequencer: Sequencer) -> None:
        """The links hear what tile 0 hears, and answer beside it."""
        m.submodules.outside = outside = OutsideControl(self._units)
        connect(m, outside.unit, flipped(self.outside))
        for target, source, names in (
            (outside.bus, master.buses[0], ("select", "index", "all", "address", "write", "data")),
            (outside, sequencer.links[0], ("commit", "start", "clear")),
        ):
            m.d.comb += [getattr(target, name).eq(getattr(source, name)) for name in names]
        m.d.comb += [
            outside.done.eq(sequencer.state.running == 0),
            master.beside.eq(outside.bus.read_data),
            sequencer.lost.eq(outside.lost),
        ]

    def _identify(self, m: Module, port: HostPort) -> None:
        """What machine this is: constants."""
        params = self._units.params
        values = {
            "magic": MAGIC,
            "version": VERSION,
            "parameters_low": parameter_hash(params) & 0xFFFF_FFFF,
            "parameters_high": parameter_hash(params) >> SCALAR_BITS,
        }
        m.d.comb += [getattr(port, name).value.eq(value) for name, value in values.items()]
        structs = (
            (
                port.mesh.value,
                {"rows": params.rows, "columns": params.columns, "tiles": params.tiles, "sockets": params.sockets},
            ),
            (
                port.sizes.value,
                {
                    "lanes": params.lanes,
                    "stages": params.pcu.stages,
                    "granule": params.memory.granule,
                    "pmu_rows": params.pmu.rows.bit_length() - 1,
                },
            ),
            (
                port.capacity.value,
                {
                    "hbm": params.memory.hbm.capacity.bit_length() - 1,
                    "ddr": params.memory.ddr.capacity.bit_length() - 1,
                },
            ),
        )
        for target, fields in structs:
            m.d.comb += [target[name].eq(value) for name, value in fields.items()]

    def _command(self, m: Module, port: HostPort, mailbox: Mailbox, sequencer: Sequencer) -> None:
        """Commands in; status, errors and interrupts out."""
        status, state, error = port.status.value, sequencer.state, sequencer.error
        words = [getattr(port, f"command_{i}").value for i in range(len(mailbox.command) // SCALAR_BITS)]
        m.d.comb += [
            mailbox.command.eq(Cat(words)),
            mailbox.push.eq(port.doorbell.written),
            mailbox.pop.eq(sequencer.pop),
            mailbox.flush.eq(sequencer.flush),
            sequencer.head.eq(mailbox.head),
            sequencer.filled.eq(mailbox.filled),
            sequencer.abort.eq(port.abort.written),
            sequencer.acknowledge.eq(port.error.written),
            *(status[name].eq(state[name]) for name in ("stopping", "listing", "running", "loaded", "copies")),
            status.idle.eq(state.idle & mailbox.empty),
            status.room.eq(mailbox.room),
            port.index.value.eq(state.index),
            port.signal.value.eq(sequencer.signal),
            port.error.value.eq(error.code),
            port.error_unit.value.eq(error.unit),
            port.error_address_low.value.eq(error.address[:SCALAR_BITS]),
            port.error_address_high.value.eq(error.address[SCALAR_BITS:]),
            port.error_detail.value.eq(error.detail),
        ]
        pending = Signal.like(port.interrupt.value)
        cleared = Mux(port.interrupt.written, port.interrupt.data.as_value(), 0)
        events = Cat(sequencer.signalled, sequencer.failed)
        m.d.comb += port.interrupt.value.eq(pending)
        m.d.sync += pending.eq(pending.as_value() & ~cleared | events)
        m.d.sync += self.irq.eq(pending.as_value().any() & port.control.value.interrupt)

    def _count(self, m: Module, port: HostPort, sequencer: Sequencer) -> None:
        """Cycles, and cycles without progress; both stand still while nothing runs."""
        cycles, upper, stalled = Signal(2 * SCALAR_BITS), Signal(SCALAR_BITS), Signal(SCALAR_BITS)
        running = sequencer.state.running.any()
        links = sequencer.links
        with m.If(port.control.value.count | ~port.status.value.idle | running):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If(port.cycles_low.read):
            m.d.sync += upper.eq(cycles[SCALAR_BITS:])
        with m.If(Cat(link.progress | link.start for link in links).any()):
            m.d.sync += stalled.eq(0)
        with m.Elif(running & ~stalled.all()):
            m.d.sync += stalled.eq(stalled + 1)
        m.d.comb += [
            port.cycles_low.value.eq(cycles),
            port.cycles_high.value.eq(upper),
            port.stalled.value.eq(stalled),
        ]

    def _open(self, m: Module, port: HostPort, window: Window) -> None:
        """The window behind its registers. What is read or written beside a run is dropped, and reads as zero."""
        begin = {"begin_read": port.window_read, "begin_write": port.window_write}
        data = port.window_data
        for name, register in begin.items():
            m.d.comb += getattr(window, name).eq(register.written)
        m.d.comb += [
            window.address.eq(Cat(port.window_address_low.value, port.window_address_high.value)),
            window.count.eq(Mux(port.window_read.written, port.window_read.data.words, port.window_write.data.words)),
            data.value.eq(Mux(window.read.valid, window.read.payload, 0)),
            data.read_ready.eq(window.read.valid | ~window.reading),
            data.write_ready.eq(window.write.ready | ~window.writing),
            window.read.ready.eq(data.read),
            window.write.valid.eq(data.written),
            window.write.payload.eq(data.data),
            port.window_status.value.busy.eq(window.busy),
            port.window_status.value.error.eq(window.error),
        ]

    def _peek(self, m: Module, port: HostPort, master: ConfigMaster) -> None:
        """A read on the configuration bus when the sequencer leaves it a cycle."""
        asked, waiting, answer = Signal(), Signal(), Signal(SCALAR_BITS)
        request: Any = Signal(REQUEST)
        m.d.comb += [
            port.peek.write_ready.eq(~asked & ~waiting),
            port.peek_data.read_ready.eq(~asked & ~waiting),
            port.peek_data.value.eq(answer),
            master.host.eq(request),
            master.host_valid.eq(asked),
        ]
        with m.If(port.peek.written):
            m.d.sync += [asked.eq(1), request.unit.eq(port.peek.data.unit), request.address.eq(port.peek.data.address)]
        with m.If(asked & master.host_ready):
            m.d.sync += [asked.eq(0), waiting.eq(1)]
        with m.If(master.host_answered):
            m.d.sync += [waiting.eq(0), answer.eq(master.answer)]
