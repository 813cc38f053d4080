"""Writes the shadow configuration and the status of tiles to memory as a program: the mirror of a load."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.config import ADDRESS_BITS
from hdl.crc import INITIAL, advance, checksum
from hdl.host.config_network import REQUEST, UnitTable
from hdl.host.errors import ERROR, ErrorCode
from hdl.host.format import (
    COUNT_BITS,
    HEADER,
    HEADER_WORDS,
    MAGIC,
    TILE_BITS,
    UNIT_BITS,
    VERSION,
    WORD_BYTES,
    UnitMap,
    parameter_hash,
)
from hdl.host.words import transfer
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS


class Unloader(wiring.Component):
    """Program unload: header, for every unit of ``tiles`` a record of its configuration and one of its status, CRC.

    - ``start``: pulse with ``address`` and ``tiles``; ``done``: pulse, the image is in memory if there is no ``error``.
    - Loading the image restores the configuration; what it says of status is ignored.
    - Time: the latency of the configuration network and 4 cycles a word.
    """

    def __init__(self, units: UnitMap) -> None:
        self._units = units
        super().__init__(
            {
                "start": In(1),
                "address": In(MEMORY_ADDRESS_BITS),
                "tiles": In(TILE_BITS),
                "transfer": Out(transfer()),
                "words": Out(stream.Signature(SCALAR_BITS)),
                "access": Out(REQUEST),
                "access_valid": Out(1),
                "answered": In(1),
                "answer": In(SCALAR_BITS),
                "done": Out(1),
                "error": Out(ERROR),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units, error = self._units, self.error
        m.submodules.table = table = UnitTable(units)
        number, place = Signal(range(len(units.slots) + 1)), Signal(range(HEADER_WORDS))
        tiles, in_status, offset, left = Signal(TILE_BITS), Signal(), Signal(ADDRESS_BITS - 1), Signal(ADDRESS_BITS)
        crc, value = Signal(SCALAR_BITS), Signal(SCALAR_BITS)
        free = ~self.words.valid | self.words.ready
        m.d.comb += [table.number.eq(number), self.transfer.address.eq(error.address)]
        m.d.sync += [self.done.eq(0), self.access_valid.eq(0), self.access.unit.eq(number)]
        with m.If(self.words.ready):
            m.d.sync += self.words.valid.eq(0)

        sent, sending = Signal(SCALAR_BITS), Signal()
        with m.If(sending):
            m.d.sync += [self.words.valid.eq(1), self.words.payload.eq(sent), crc.eq(advance(crc, sent))]

        def send(word: Value) -> None:
            m.d.comb += [sending.eq(1), sent.eq(word)]

        records, words = Signal(COUNT_BITS), Signal(COUNT_BITS)
        uncounted = Signal(TILE_BITS)
        header = self._header({"tiles": tiles, "records": records, "words": words})
        size = Mux(in_status, table.slot.status, table.slot.words)
        with m.FSM():
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [error.eq(0), error.address.eq(self.address), tiles.eq(self.tiles)]
                m.d.sync += [number.eq(0), in_status.eq(0), offset.eq(0), place.eq(0), crc.eq(INITIAL)]
                links_records, links_words = (Mux(self.tiles[0], count, 0) for count in units.links_image)
                m.d.sync += [records.eq(links_records), words.eq(links_words + HEADER_WORDS + 1)]
                m.d.sync += uncounted.eq(self.tiles)
                m.next = "COUNT"
            with m.State("COUNT"):
                m.d.sync += uncounted.eq(uncounted >> 1)
                with m.If(uncounted[0]):
                    tile_records, tile_words = units.tile_image
                    m.d.sync += [records.eq(records + tile_records), words.eq(words + tile_words)]
                with m.If(uncounted == 0):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += self.transfer.start.eq(error.address % WORD_BYTES == 0)
                m.d.comb += self.transfer.count.eq(words)
                with m.If(self.transfer.start):
                    m.next = "HEADER"
                with m.Else():
                    m.d.sync += [error.code.eq(ErrorCode.ALIGNMENT), error.detail.eq(WORD_BYTES), self.done.eq(1)]
                    m.next = "IDLE"
            with m.State("HEADER"), m.If(free):
                send(header.word_select(place, SCALAR_BITS))
                m.d.sync += place.eq(place + 1)
                with m.If(place == HEADER_WORDS - 1):
                    m.next = "RECORD"
            with m.State("RECORD"):
                with m.If(number == len(units.slots)):
                    m.next = "CHECKSUM"
                with m.Elif(~tiles.bit_select(table.slot.tile, 1) | (size == 0)):
                    m.next = "NEXT"
                with m.Elif(free):
                    send(Cat(number | Const(0, UNIT_BITS), Cat(Const(0, ADDRESS_BITS - 1), in_status), size))
                    m.d.sync += left.eq(size)
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.sync += [self.access_valid.eq(1), self.access.address.eq(Cat(offset, in_status))]
                m.next = "ANSWER"
            with m.State("ANSWER"), m.If(self.answered):
                m.d.sync += value.eq(self.answer)
                m.next = "SEND"
            with m.State("SEND"), m.If(free):
                send(value)
                m.d.sync += [offset.eq(offset + 1), left.eq(left - 1)]
                m.next = "ASK"
                with m.If(left == 1):
                    m.next = "NEXT"
            with m.State("NEXT"):  # from a unit's configuration to its status, and to the next unit
                m.d.sync += [in_status.eq(~in_status), offset.eq(0), number.eq(number + in_status)]
                m.next = "RECORD"
            with m.State("CHECKSUM"), m.If(free):
                send(checksum(crc))
                m.next = "FINISH"
            with m.State("FINISH"), m.If(~self.words.valid & ~self.transfer.busy):
                with m.If(self.transfer.error):
                    m.d.sync += error.code.eq(ErrorCode.MEMORY)
                m.d.sync += self.done.eq(1)
                m.next = "IDLE"
        return m

    def _header(self, variable: Mapping[str, Value]) -> Value:
        """The words of the header: constants, but for the fields that are given."""
        constants = {"magic": MAGIC, "version": VERSION, "parameters": parameter_hash(self._units.params)}
        return Cat(
            (variable[name] | Const(0, field.width))[: field.width]
            if name in variable
            else Const(constants.get(name, 0), field.width)
            for name, field in HEADER
        )
