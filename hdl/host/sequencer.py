"""The launch sequencer: runs commands from the host, or from a list in memory (SN40L section IV-D)."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.host.config_network import REQUEST, control_link
from hdl.host.errors import ERROR, ErrorCode
from hdl.host.format import (
    COMMAND_BYTES,
    COMMAND_WORDS,
    COMMANDS,
    COUNT_BITS,
    DESCRIPTOR,
    DMA_STATUS_BITS,
    LOOPS,
    OPCODE_BITS,
    TILE_BITS,
    WORD_BYTES,
    Opcode,
    UnitMap,
)
from hdl.host.loader import Loader
from hdl.host.mailbox import COMMAND_BITS
from hdl.host.stop import Stopper
from hdl.host.unloader import Unloader
from hdl.host.words import WordPort, covering_slots
from hdl.link.config import lost_layout
from hdl.memory.port import memory_port
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS

PENDING_BITS = 8

STATE = data.StructLayout(
    {
        "idle": 1,
        "stopping": 1,
        "listing": 1,
        "running": TILE_BITS,
        "loaded": TILE_BITS,
        "copies": PENDING_BITS,
        "index": COUNT_BITS,
    }
)
"""What the host may know: ``copies`` are DMA descriptors under way, ``index`` the next command of the list."""


def fields(opcode: Opcode, command: Value) -> data.View:
    """The fields of a command of that kind."""
    layout = COMMANDS[opcode]
    return data.View(layout, command[: layout.size])


def dma_port() -> wiring.Signature:
    """To the tier DMA, seen from the sequencer: descriptors, a status for each (zero: done), and how to stop it."""
    return wiring.Signature(
        {
            "descriptor": Out(stream.Signature(DESCRIPTOR)),
            "completion": In(stream.Signature(data.StructLayout({"status": DMA_STATUS_BITS}))),
            "halt": Out(1),
            "quiet": In(1),
            "clear": Out(1),
        }
    )


class Sequencer(wiring.Component):
    """Runs one command after another; the first error stops it until it is acknowledged.

    - ``head``, ``filled``, ``pop``, ``flush``: the mailbox. ``access``, ``access_valid``, ``answered``, ``answer``: the
      configuration master. ``links``: the tiles, but for their bus.
    - ``abort``, ``acknowledge``: pulses from the host. ``error``: the first since the last acknowledge.
    - ``lost``: a link to another socket was given up.
    - ``signal``: value of the last SIGNAL; ``signalled``: pulse. ``failed``: pulse, there is an error.
    - ``state``: registers, for the host.
    - Between two commands of a list lie the memory's latency and some 20 cycles; from EXECUTE to the units' start, 4.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__(
            {
                "head": In(COMMAND_BITS),
                "filled": In(1),
                "pop": Out(1),
                "flush": Out(1),
                "abort": In(1),
                "acknowledge": In(1),
                "error": Out(ERROR),
                "failed": Out(1),
                "signal": Out(SCALAR_BITS),
                "signalled": Out(1),
                "state": Out(STATE),
                "access": Out(REQUEST),
                "access_valid": Out(1),
                "answered": In(1),
                "answer": In(SCALAR_BITS),
                "links": Out(control_link(units)).array(units.params.tiles),
                "lost": In(lost_layout()),
                "dma": Out(dma_port()),
                "memory": Out(memory_port(units.params)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units, state, error = self._units, self.state, self.error
        m.submodules.words = words = WordPort(units.params, covering_slots(units.params))
        m.submodules.loader = loader = Loader(units)
        m.submodules.unloader = unloader = Unloader(units)
        m.submodules.stopper = stopper = Stopper(units)
        wiring.connect(m, words.memory, wiring.flipped(self.memory))
        command = Signal(COMMAND_BITS)
        fetch = words.reading.signature.create(path=("fetch",))
        load = fields(Opcode.ARGUMENTS, command)
        m.d.comb += [
            loader.program.eq(load.opcode == Opcode.LOAD),
            loader.address.eq(load.address),
            loader.count.eq(load.count),
            unloader.address.eq(load.address),
            unloader.tiles.eq(fields(Opcode.UNLOAD, command).tiles),
        ]
        loading, parked, copy = Signal(), Signal(), Signal()
        self._share(m, words, fetch, loader, unloader, loading)
        m.d.comb += stopper.parked.eq(parked)
        dma_failed, dma_status, dma_reported = Signal(), Signal(DMA_STATUS_BITS), Signal()
        self._base, self._count = base, count = Signal(MEMORY_ADDRESS_BITS), Signal(COUNT_BITS)
        self._loops = Array(Signal(SCALAR_BITS, name=f"loop_{i}") for i in range(LOOPS))
        execute = fields(Opcode.EXECUTE, command)
        tiles = execute.tiles
        known = (tiles != 0) & ((tiles >> units.params.tiles) == 0)

        def fail_of(unit: Any) -> None:
            m.d.sync += [error.eq(unit.error), self.failed.eq(1), state.listing.eq(0)]
            m.next = "NEXT"

        m.d.sync += [self.failed.eq(0), self.signalled.eq(0), loader.start.eq(0), unloader.start.eq(0)]
        m.d.sync += [getattr(link, name).eq(0) for link in self.links for name in ("commit", "start")]
        m.d.comb += fetch.address.eq(base + (state.index << COMMAND_BYTES.bit_length() - 1))
        with m.If(self.acknowledge):
            m.d.sync += error.eq(0)

        with m.FSM(init="NEXT") as machine:
            m.d.comb += [
                parked.eq(machine.ongoing("NEXT") | machine.ongoing("WAIT") | machine.ongoing("WAIT_DMA")),
                state.idle.eq(machine.ongoing("NEXT") & ~self.filled & ~state.listing & ~stopper.stopping),
            ]
            with m.State("NEXT"):
                with m.If(stopper.stopping):
                    m.d.comb += self.flush.eq(1)
                    m.d.sync += state.listing.eq(0)
                    with m.If(stopper.failed & (error.code == 0)):
                        m.d.sync += [error.eq(stopper.error), self.failed.eq(1)]
                with m.Elif(error.code != 0):
                    m.d.comb += self.flush.eq(1)
                with m.Elif(dma_failed):
                    m.d.comb += dma_reported.eq(1)
                    self._fail(m, ErrorCode.DMA, detail=dma_status)
                with m.Elif(state.listing):
                    with m.If(state.index == count):
                        m.d.sync += state.listing.eq(0)
                    with m.Else():
                        m.next = "FETCH"
                with m.Elif(self.filled):
                    m.d.comb += self.pop.eq(1)
                    m.d.sync += command.eq(self.head)
                    m.next = "DECODE"
            with m.State("FETCH"):
                m.d.comb += [fetch.start.eq(1), fetch.count.eq(COMMAND_WORDS)]
                m.next = "RECEIVE"
            with m.State("RECEIVE"):
                with m.If(words.read.valid):
                    m.d.sync += command.eq(Cat(command[SCALAR_BITS:], words.read.payload))
                with m.Elif(~fetch.busy):
                    m.d.sync += state.index.eq(state.index + 1)
                    m.next = "DECODE"
                    with m.If(fetch.error):
                        self._fail(m, ErrorCode.MEMORY, address=fetch.address)
            with m.State("DECODE"):
                self._decode(m, command, loader, unloader, known)
            with m.State("LOAD"):
                m.d.comb += loading.eq(1)
                with m.If(loader.done):
                    m.next = "NEXT"
                    with m.If(loader.error.code != 0):
                        fail_of(loader)
            with m.State("UNLOAD"), m.If(unloader.done):
                m.next = "NEXT"
                with m.If(unloader.error.code != 0):
                    fail_of(unloader)
            with m.State("COMMIT"):
                for t, link in enumerate(self.links):
                    mine = tiles.bit_select(t, 1)
                    m.d.sync += [link.commit.take.eq(mine), link.commit.keep.eq(mine & execute.keep)]
                m.next = "START"
            with m.State("START"):
                m.d.sync += [link.start.eq(tiles.bit_select(t, 1)) for t, link in enumerate(self.links)]
                m.next = "NEXT"
            with m.State("WAIT"), m.If(stopper.stopping | ((state.running & tiles) == 0)):
                m.next = "NEXT"
            with m.State("DMA"), m.If(stopper.stopping | (~self.dma.descriptor.valid & ~state.copies.all())):
                m.d.comb += copy.eq(~stopper.stopping)
                m.next = "NEXT"
            with m.State("WAIT_DMA"), m.If(stopper.stopping | (state.copies == 0)):
                m.next = "NEXT"
        self._tiles(m, loader, stopper, execute, machine.ongoing("START"))
        self._copies(m, stopper, command, copy, (dma_failed, dma_status, dma_reported))
        return m

    def _decode(self, m: Module, command: Signal, loader: Loader, unloader: Unloader, known: Value) -> None:
        """One cycle a command; what takes longer goes to a state of its own. ``known``: its tiles are there."""
        state, tiles = self.state, fields(Opcode.EXECUTE, command).tiles
        base, count, loops = self._base, self._count, self._loops
        with m.Switch(command[:OPCODE_BITS]):
            with m.Case(Opcode.NOP):
                m.next = "NEXT"
            with m.Case(Opcode.LOAD, Opcode.ARGUMENTS):
                m.d.sync += loader.start.eq(1)
                m.next = "LOAD"
            with m.Case(Opcode.EXECUTE):
                m.next = "COMMIT"
                with m.If(~known):
                    self._fail(m, ErrorCode.TILES, detail=tiles)
                with m.Elif((tiles & ~state.loaded) != 0):
                    self._fail(m, ErrorCode.NOT_LOADED, detail=tiles & ~state.loaded)
                with m.Elif((tiles & state.running) != 0):
                    self._fail(m, ErrorCode.RUNNING, detail=tiles & state.running)
            with m.Case(Opcode.WAIT):
                m.next = "WAIT"
                with m.If(~known):
                    self._fail(m, ErrorCode.TILES, detail=tiles)
            with m.Case(Opcode.DMA):
                m.next = "DMA"
            with m.Case(Opcode.WAIT_DMA):
                m.next = "WAIT_DMA"
            with m.Case(Opcode.UNLOAD):
                m.d.sync += unloader.start.eq(known)
                m.next = "UNLOAD"
                with m.If(~known):
                    self._fail(m, ErrorCode.TILES, detail=tiles)
            with m.Case(Opcode.SIGNAL):
                m.d.sync += [self.signal.eq(fields(Opcode.SIGNAL, command).value), self.signalled.eq(1)]
                m.next = "NEXT"
            with m.Case(Opcode.JUMP):
                jump = fields(Opcode.JUMP, command)
                loop = loops[jump.counter]
                m.next = "NEXT"
                with m.If(~state.listing):
                    self._fail(m, ErrorCode.OPCODE, detail=Opcode.JUMP)
                with m.Elif(jump.target >= count):
                    self._fail(m, ErrorCode.JUMP, detail=jump.target)
                with m.Elif(loop == jump.times):
                    m.d.sync += loop.eq(0)
                with m.Else():
                    m.d.sync += [loop.eq(loop + 1), state.index.eq(jump.target)]
            with m.Case(Opcode.HALT):
                m.d.sync += state.listing.eq(0)
                m.next = "NEXT"
            with m.Case(Opcode.LIST):
                listed = fields(Opcode.LIST, command)
                m.d.sync += [base.eq(listed.address), count.eq(listed.count), *(loop.eq(0) for loop in loops)]
                m.next = "NEXT"
                with m.If(state.listing):
                    self._fail(m, ErrorCode.OPCODE, detail=Opcode.LIST)
                with m.Elif(listed.address % WORD_BYTES != 0):
                    self._fail(m, ErrorCode.ALIGNMENT, address=listed.address, detail=WORD_BYTES)
                with m.Elif(listed.count == 0):
                    self._fail(m, ErrorCode.LIST)
                with m.Else():
                    m.d.sync += [state.listing.eq(1), state.index.eq(0)]
            with m.Default():
                self._fail(m, ErrorCode.OPCODE, detail=command[:OPCODE_BITS])

    def _fail(self, m: Module, code: ErrorCode, *, address: Value | int = 0, detail: Value | int = 0) -> None:
        """Ends a command, and its list, with an error; from within a state."""
        error = self.error
        m.d.sync += [error.eq(0), error.code.eq(code), error.address.eq(address), error.detail.eq(detail)]
        m.d.sync += [self.failed.eq(1), self.state.listing.eq(0)]
        m.next = "NEXT"

    def _share(
        self, m: Module, words: WordPort, fetch: Any, loader: Loader, unloader: Unloader, loading: Signal
    ) -> None:
        """One reader of memory for commands and the loader, one master of configuration for loader and unloader."""
        reading, read = words.reading, words.read
        m.d.comb += [
            reading.start.eq(fetch.start | loader.transfer.start),
            reading.address.eq(Mux(loading, loader.transfer.address, fetch.address)),
            reading.count.eq(Mux(loading, loader.transfer.count, fetch.count)),
            read.ready.eq(Mux(loading, loader.words.ready, 1)),
            loader.words.valid.eq(read.valid & loading),
            loader.words.payload.eq(read.payload),
            self.access_valid.eq(loader.access_valid | unloader.access_valid),
            self.access.eq(Mux(loader.access_valid, loader.access, unloader.access)),
            unloader.answered.eq(self.answered),
            unloader.answer.eq(self.answer),
        ]
        for user in (fetch, loader.transfer):
            m.d.comb += [user.busy.eq(reading.busy), user.error.eq(reading.error)]
        wiring.connect(m, unloader.transfer, words.writing)
        wiring.connect(m, unloader.words, words.write)

    def _tiles(self, m: Module, loader: Loader, stopper: Stopper, execute: data.View, start: Value) -> None:
        """Which tiles hold a program and which are running; halts, clears and faults.

        ``state.loaded`` is about the shadow, ``held`` about the active configuration; an exchange exchanges them.
        """
        state, tiles = self.state, execute.tiles
        held = Signal(TILE_BITS)
        done = Cat(link.done for link in self.links)
        m.d.comb += [
            loader.loaded.eq(state.loaded),
            stopper.abort.eq(self.abort),
            stopper.lost.eq(self.lost),
            stopper.quiet.eq(Cat(link.quiet for link in self.links)),
        ]
        for t, link in enumerate(self.links):
            m.d.comb += [
                link.halt.eq(stopper.halt[t]),
                link.clear.eq(stopper.clear[t]),
                stopper.faults[t].fault.eq(link.fault),
                stopper.faults[t].unit.eq(link.faulty + t * self._units.per_tile),
            ]
            with m.If(start & tiles.bit_select(t, 1)):
                m.d.sync += stopper.groups[t].eq(tiles)
        begun = Mux(start, tiles, 0)
        m.d.sync += state.running.eq((state.running | begun) & ~done & ~stopper.clear)
        m.d.sync += held.eq((held | begun) & ~stopper.clear)
        emptied = Mux(execute.keep, begun & ~held, 0)  # a tile that begins was loaded; it stays so if there was another
        unloaded = Mux(loader.touch, loader.tiles, 0) | emptied | stopper.clear
        loaded = Mux(loader.done & (loader.error.code == 0), loader.tiles, 0)
        m.d.sync += state.loaded.eq((state.loaded | loaded) & ~unloaded)

    def _copies(
        self, m: Module, stopper: Stopper, command: Signal, copy: Signal, failure: tuple[Signal, Signal, Signal]
    ) -> None:
        """Hands descriptors to the tier DMA and counts those under way."""
        failed, status, reported = failure
        dma, copies = self.dma, self.state.copies
        completed = dma.completion.valid
        m.d.comb += [
            dma.completion.ready.eq(1),
            dma.halt.eq(stopper.dma_halt),
            dma.clear.eq(stopper.dma_clear),
            stopper.dma_quiet.eq(dma.quiet),
        ]
        m.d.sync += copies.eq(copies + copy - completed)
        with m.If(dma.descriptor.ready):
            m.d.sync += dma.descriptor.valid.eq(0)
        with m.If(copy):
            descriptor = fields(Opcode.DMA, command).descriptor
            m.d.sync += [dma.descriptor.valid.eq(1), dma.descriptor.payload.eq(descriptor)]
        with m.If(reported):
            m.d.sync += failed.eq(0)
        with m.If(completed & (dma.completion.payload.status != 0)):
            m.d.sync += [failed.eq(1), status.eq(dma.completion.payload.status)]
        with m.If(stopper.dma_clear):
            m.d.sync += [copies.eq(0), dma.descriptor.valid.eq(0), failed.eq(0)]
