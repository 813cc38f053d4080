"""Reads programs and argument lists from memory into the shadow configuration, and only when all of it is right.

Two passes over the same words: the first checks and touches nothing, the second checks again and writes. A program is
a whole configuration: what it does not mention becomes zero.
"""

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import STATUS_BASE
from hdl.crc import INITIAL, advance, checksum
from hdl.host.config_network import REQUEST, UnitTable
from hdl.host.errors import ERROR, ErrorCode
from hdl.host.format import (
    COUNT_BITS,
    HEADER,
    HEADER_WORDS,
    MAGIC,
    RECORD,
    TILE_BITS,
    VERSION,
    WORD_BYTES,
    UnitMap,
    parameter_hash,
)
from hdl.host.words import transfer
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS


class Loader(wiring.Component):
    """Program load and argument load.

    - ``start``: pulse, with ``address`` and either ``program``, or the ``count`` of words of an argument list and the
      tiles that are ``loaded``. ``done``: pulse; ``error.code`` is zero if all went well.
    - ``tiles``: those that the load is about, valid with ``touch`` and ``done``. ``touch``: pulse before the first
      write; from then until a ``done`` without error these tiles hold no program.
    - A program is refused, in this order, for memory errors, magic, version, parameters, length, tiles, memory needs;
      then for memory errors, its checksum, its records. An argument list likewise for its length and its records.
    - Time: two readings, a word a cycle each; the second begins while 128 cycles go by to zero the tiles.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__(
            {
                "start": In(1),
                "program": In(1),
                "address": In(MEMORY_ADDRESS_BITS),
                "count": In(COUNT_BITS),
                "loaded": In(TILE_BITS),
                "transfer": Out(transfer()),
                "words": In(stream.Signature(SCALAR_BITS)),
                "access": Out(REQUEST),
                "access_valid": Out(1),
                "touch": Out(1),
                "tiles": Out(TILE_BITS),
                "done": Out(1),
                "error": Out(ERROR),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word, taken = self.words.payload, self.words.valid & self.words.ready
        header = Signal(HEADER)
        program, second = Signal(), Signal()
        total, position = Signal(COUNT_BITS), Signal(COUNT_BITS)  # words of the run, and those behind us
        crc, intact = Signal(SCALAR_BITS), Signal()
        records, record, left = Signal(COUNT_BITS), Signal(RECORD), Signal(range(STATUS_BASE * 2))
        fresh, misfit = Signal(), Signal()  # a record is checked a cycle late, with its first word
        zeroed = Signal(range(STATUS_BASE))
        body_ends = position + program + 1 == total  # the next word is the last before the checksum
        body_over = position + program == total
        error, transfer_ = self.error, self.transfer
        m.submodules.table = table = UnitTable(self._units)
        m.d.comb += [table.number.eq(record.unit), transfer_.address.eq(error.address), transfer_.count.eq(total)]
        m.d.sync += [self.done.eq(0), self.touch.eq(0), self.access_valid.eq(0)]

        def refuse(code: ErrorCode, detail: Value | int = 0, unit: Value | int = 0) -> None:
            m.d.sync += [error.code.eq(code), error.detail.eq(detail), error.unit.eq(unit)]

        def access(unit: Value, address: Value, value: Value | int, to_all: int) -> None:
            m.d.sync += [
                self.access_valid.eq(1),
                self.access.unit.eq(unit),
                self.access.tiles.eq(self.tiles),
                self.access.all.eq(to_all),
                self.access.address.eq(address),
                self.access.write.eq(1),
                self.access.data.eq(value),
            ]

        with m.If(taken):
            m.d.sync += [position.eq(position + 1), crc.eq(advance(crc, word))]

        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    program.eq(self.program),
                    second.eq(0),
                    error.eq(0),
                    error.address.eq(self.address),
                    total.eq(Mux(self.program, HEADER_WORDS, self.count)),
                    self.tiles.eq(self.loaded),
                ]
                m.next = "BEGIN"
            with m.State("BEGIN"):
                with m.If(error.address % WORD_BYTES != 0):
                    refuse(ErrorCode.ALIGNMENT, WORD_BYTES)
                    m.next = "DONE"
                with m.Elif(program):
                    m.d.comb += transfer_.start.eq(1)
                    m.next = "HEADER"
                with m.Elif((total == 0) | (total > self._units.longest)):
                    refuse(ErrorCode.LENGTH, total)
                    m.next = "DONE"
                with m.Else():
                    m.next = "SCAN"
            with m.State("HEADER"):
                m.d.comb += self.words.ready.eq(1)
                with m.If(taken):
                    m.d.sync += header.eq(Cat(header.as_value()[SCALAR_BITS:], word))
                with m.Elif(~transfer_.busy):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "DONE"
                with m.If(transfer_.error):
                    refuse(ErrorCode.MEMORY)
                for code, wrong, detail in self._header_errors(header):
                    with m.Elif(wrong):
                        refuse(code, detail)
                with m.Else():
                    m.d.sync += [total.eq(header.words), self.tiles.eq(header.tiles)]
                    m.next = "SCAN"
            with m.State("SCAN"):
                m.d.comb += transfer_.start.eq(1)
                m.d.sync += [position.eq(0), crc.eq(INITIAL), records.eq(0), intact.eq(1)]
                with m.If(program & second):
                    m.next = "ZERO"
                with m.Elif(program):
                    m.next = "SKIP"
                with m.Else():
                    m.next = "RECORD"
            with m.State("SKIP"):  # the header, which was checked
                m.d.comb += self.words.ready.eq(1)
                with m.If(taken & (position == HEADER_WORDS - 1)):
                    with m.If(body_ends):
                        m.next = "CHECKSUM"
                    with m.Else():
                        m.next = "RECORD"
            with m.State("RECORD"):
                m.d.comb += self.words.ready.eq(1)
                with m.If(taken):
                    m.d.sync += [record.eq(word), records.eq(records + 1), fresh.eq(1)]
                    m.d.sync += left.eq(data.View(RECORD, word).count)
                    m.next = "WORDS"
            with m.State("WORDS"):
                limit = Mux(record.first >= STATUS_BASE, table.slot.status, table.slot.words)
                unknown = fresh & (~table.known | ~self.tiles.bit_select(table.slot.tile, 1))
                too_far = fresh & ((record.count == 0) | (record.first % STATUS_BASE + record.count > limit))
                too_long = fresh & (position + record.count + program > total)
                m.d.comb += [self.words.ready.eq(~body_over), misfit.eq(unknown | too_far | too_long)]
                m.d.sync += fresh.eq(0)
                with m.If(taken):
                    m.d.sync += [left.eq(left - 1), record.first.eq(record.first + 1)]
                    with m.If(second & ~misfit):
                        access(record.unit, record.first, word, to_all=0)
                    with m.If(body_ends & program):
                        m.next = "CHECKSUM"
                    with m.Elif(body_ends):
                        m.next = "RESOLVE"
                    with m.Elif(left == 1):
                        m.next = "RECORD"
                with m.If(misfit):
                    m.next = "DRAIN"
                with m.If(unknown):
                    refuse(ErrorCode.UNIT, position - 1, record.unit)
                with m.Elif(too_far):
                    refuse(ErrorCode.WORDS, position - 1, record.unit)
                with m.Elif(too_long):
                    refuse(ErrorCode.RECORDS, position - 1)
            with m.State("DRAIN"):  # on to the checksum: if that is wrong too, the program is damaged
                with m.If(body_over):
                    with m.If(program):
                        m.next = "CHECKSUM"
                    with m.Else():
                        m.next = "RESOLVE"
                with m.Else():
                    m.d.comb += self.words.ready.eq(1)
            with m.State("CHECKSUM"):
                m.d.comb += self.words.ready.eq(1)
                with m.If(taken):
                    m.d.sync += intact.eq(word == checksum(crc))
                    m.next = "RESOLVE"
            with m.State("RESOLVE"), m.If(~transfer_.busy):
                m.next = "DONE"
                with m.If(transfer_.error):
                    refuse(ErrorCode.MEMORY)
                with m.Elif(~intact):
                    refuse(ErrorCode.CRC)
                    with m.If(second):
                        refuse(ErrorCode.CHANGED)
                with m.Elif(error.code != 0):
                    pass
                with m.Elif(program & (records != header.records)):
                    refuse(ErrorCode.RECORDS, position)
                with m.Elif(~second):
                    m.d.sync += [second.eq(1), self.touch.eq(1), zeroed.eq(0)]
                    m.next = "SCAN"
            with m.State("ZERO"):  # while the words are fetched
                access(record.unit, zeroed, 0, to_all=1)
                m.d.sync += zeroed.eq(zeroed + 1)
                with m.If(zeroed == STATUS_BASE - 1):
                    m.next = "SKIP"
            with m.State("DONE"):
                m.d.sync += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _header_errors(self, header: Signal) -> Sequence[tuple[ErrorCode, Value, Value | int]]:
        """(code, whether, detail), most important first."""
        params = self._units.params
        known = (1 << params.tiles) - 1
        memory = params.memory
        return (
            (ErrorCode.MAGIC, header.magic != MAGIC, header.magic),
            (ErrorCode.VERSION, (header.version != VERSION) | (header.reserved != 0), header.version),
            (ErrorCode.PARAMETERS, header.parameters != parameter_hash(params), 0),
            (
                ErrorCode.LENGTH,
                (header.words <= HEADER_WORDS) | (header.words > self._units.longest),
                header.words,
            ),
            (ErrorCode.TILES, (header.tiles == 0) | ((header.tiles & ~known) != 0), header.tiles),
            (
                ErrorCode.NEEDS,
                (header.hbm_bytes > memory.hbm.capacity) | (header.ddr_bytes > memory.ddr.capacity),
                0,
            ),
        )
