"""The launch sequencer as a program: executes commands on a memory, with the same errors as the hardware.

Kernels run to their end when they are launched; a tile counts as running until somebody waits for it. A sequence of
commands whose outcome depends on how long a kernel takes is outside the model.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hdl.config import STATUS_BASE, pack, unpack, word_count
from hdl.fields import Fields
from hdl.host.errors import ErrorCode
from hdl.host.format import (
    COMMAND_BYTES,
    COMMAND_WORDS,
    COMMANDS,
    HEADER,
    HEADER_WORDS,
    LOOPS,
    MAGIC,
    OPCODE_BITS,
    RECORD,
    VERSION,
    WORD_BYTES,
    Opcode,
    UnitMap,
    parameter_hash,
)


class Memory(Protocol):
    """Words of memory by byte address."""

    def read(self, address: int, count: int) -> list[int] | None:
        """``count`` words, or None if any burst of them is answered with an error."""
        ...

    def write(self, address: int, words: Sequence[int]) -> bool:
        """False if any burst is answered with an error."""
        ...


@dataclass(frozen=True)
class Error:
    """What the error registers say."""

    code: ErrorCode
    unit: int = 0
    address: int = 0
    detail: int = 0


class CommandError(Exception):
    """A command ended in an error."""

    def __init__(self, code: ErrorCode, **fields: int) -> None:
        super().__init__(code)
        self.error = Error(code, **fields)


Execute = Callable[[int], Error | None]
"""Runs the committed program of a set of tiles to its end; the fault that stopped it, or None."""

Copy = Callable[[Fields], int]
"""Carries out a descriptor of the tier DMA and returns its status, zero if done."""


@dataclass
class Sequencer:
    """The state of a socket's launch sequencer.

    Attributes:
        shadow: configuration words of every unit; ``committed``: those that the last EXECUTE made active.
        loaded, held, running: sets of tiles, as masks: whose shadow is a program, whose active configuration is one,
            whose units run.
        error: the first since ``acknowledge``, or None. ``signals``: values of SIGNAL commands, in order.
        status: status words of a unit, for UNLOAD.
    """

    machine: UnitMap
    memory: Memory
    execute: Execute = lambda tiles: None
    copy: Copy = lambda descriptor: 0
    status: Callable[[int], Sequence[int]] | None = None
    loaded: int = 0
    held: int = 0
    running: int = 0
    error: Error | None = None
    signals: list[int] = field(default_factory=list)
    shadow: dict[int, list[int]] = field(init=False)
    committed: dict[int, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self.shadow = {slot.number: [0] * slot.size.words for slot in self.machine.slots}
        self.committed = {number: list(words) for number, words in self.shadow.items()}

    def acknowledge(self) -> None:
        self.error = None

    def command(self, words: Sequence[int]) -> None:
        """A command from the host; one that comes after an error, before its acknowledgement, is dropped."""
        if self.error is not None:
            return
        try:
            if words[0] % (1 << OPCODE_BITS) == Opcode.LIST:
                self._list(_fields(Opcode.LIST, words))
            else:
                self._command(words, listing=False)
        except CommandError as refused:
            self.error = refused.error

    def _list(self, run: Fields) -> None:
        _aligned(run.address)
        if run.count == 0:
            raise CommandError(ErrorCode.LIST)
        index, loops = 0, [0] * LOOPS
        while index < run.count:
            address = run.address + index * COMMAND_BYTES
            words = self._read(address, COMMAND_WORDS)
            index += 1
            opcode = words[0] % (1 << OPCODE_BITS)
            if opcode == Opcode.HALT:
                return
            if opcode == Opcode.JUMP:
                jump = _fields(Opcode.JUMP, words)
                if jump.target >= run.count:
                    raise CommandError(ErrorCode.JUMP, detail=jump.target)
                if loops[jump.counter] == jump.times:
                    loops[jump.counter] = 0
                else:
                    loops[jump.counter] += 1
                    index = jump.target
            else:
                self._command(words, listing=True)

    def _command(self, words: Sequence[int], *, listing: bool) -> None:
        number = words[0] % (1 << OPCODE_BITS)
        if number not in list(Opcode) or (number == Opcode.JUMP and not listing) or number == Opcode.LIST:
            raise CommandError(ErrorCode.OPCODE, detail=number)
        opcode = Opcode(number)
        command = _fields(opcode, words)
        if opcode is Opcode.LOAD:
            self._load(command.address)
        elif opcode is Opcode.ARGUMENTS:
            self._arguments(command.address, command.count)
        elif opcode is Opcode.EXECUTE:
            self._launch(self._tiles(command), keep=bool(command.keep))
        elif opcode is Opcode.WAIT:
            self.running &= ~self._tiles(command)
        elif opcode is Opcode.DMA:
            status = self.copy(command.descriptor)
            if status:
                raise CommandError(ErrorCode.DMA, detail=status)
        elif opcode is Opcode.UNLOAD:
            self._unload(self._tiles(command), command.address)
        elif opcode is Opcode.SIGNAL:
            self.signals.append(command.value)

    def _tiles(self, command: Fields) -> int:
        if not 0 < command.tiles < 1 << self.machine.params.tiles:
            raise CommandError(ErrorCode.TILES, detail=command.tiles)
        return int(command.tiles)

    def _launch(self, tiles: int, *, keep: bool) -> None:
        if tiles & ~self.loaded:
            raise CommandError(ErrorCode.NOT_LOADED, detail=tiles & ~self.loaded)
        if tiles & self.running:
            raise CommandError(ErrorCode.RUNNING, detail=tiles & self.running)
        for slot in self.machine.slots:
            if tiles >> slot.tile & 1:
                before, self.committed[slot.number] = self.committed[slot.number], list(self.shadow[slot.number])
                if keep:
                    self.shadow[slot.number] = before
        if keep:
            self.loaded = (self.loaded & ~tiles) | (self.held & tiles)
        self.held |= tiles
        fault = self.execute(tiles)
        if fault is None:
            self.running |= tiles
            return
        self.clear(tiles)
        raise CommandError(fault.code, unit=fault.unit, address=fault.address, detail=fault.detail)

    def clear(self, tiles: int) -> None:
        """What a stop leaves of a tile: nothing."""
        self.loaded &= ~tiles
        self.held &= ~tiles
        self.running &= ~tiles
        for slot in self.machine.slots:
            if tiles >> slot.tile & 1:
                self.shadow[slot.number] = [0] * slot.size.words
                self.committed[slot.number] = [0] * slot.size.words

    def _read(self, address: int, count: int) -> list[int]:
        words = self.memory.read(address, count)
        if words is None:
            raise CommandError(ErrorCode.MEMORY, address=address)
        return words

    def _load(self, address: int) -> None:
        _aligned(address)
        header = unpack(HEADER, self._read(address, HEADER_WORDS))
        self._check_header(header, address)
        words = self._read(address, header.words)
        content = np.array(words[:-1], "<u4").tobytes()
        if zlib.crc32(content) != words[-1]:
            raise CommandError(ErrorCode.CRC, address=address)
        records = self._records(words[:-1], HEADER_WORDS, header.tiles, address)
        if len(records) != header.records:
            raise CommandError(ErrorCode.RECORDS, address=address, detail=header.words)
        for slot in self.machine.slots:
            if header.tiles >> slot.tile & 1:
                self.shadow[slot.number] = [0] * slot.size.words
        self._store(records)
        self.loaded |= header.tiles

    def _arguments(self, address: int, count: int) -> None:
        _aligned(address)
        if not 0 < count <= self.machine.longest:
            raise CommandError(ErrorCode.LENGTH, address=address, detail=count)
        self._store(self._records(self._read(address, count), 0, self.loaded, address))

    def _check_header(self, header: Fields, address: int) -> None:
        """Refuses what is wrong with a header, the most telling first."""
        params = self.machine.params
        memory = params.memory
        rules: tuple[tuple[bool, ErrorCode, int], ...] = (
            (header.magic != MAGIC, ErrorCode.MAGIC, header.magic),
            (header.version != VERSION or header.reserved != 0, ErrorCode.VERSION, header.version),
            (header.parameters != parameter_hash(params), ErrorCode.PARAMETERS, 0),
            (not HEADER_WORDS < header.words <= self.machine.longest, ErrorCode.LENGTH, header.words),
            (not 0 < header.tiles < 1 << params.tiles, ErrorCode.TILES, header.tiles),
            (
                header.hbm_bytes > memory.hbm.capacity or header.ddr_bytes > memory.ddr.capacity,
                ErrorCode.NEEDS,
                0,
            ),
        )
        for wrong, code, detail in rules:
            if wrong:
                raise CommandError(code, address=address, detail=detail)

    def _records(self, words: Sequence[int], position: int, tiles: int, address: int) -> list[tuple[Any, list[int]]]:
        """The records from ``position`` on: record word and contents."""
        records = []
        while position < len(words):
            record = unpack(RECORD, [words[position]])
            if record.unit >= len(self.machine.slots) or not tiles >> self.machine.slots[record.unit].tile & 1:
                raise CommandError(ErrorCode.UNIT, unit=record.unit, address=address, detail=position)
            if not self.machine.slots[record.unit].holds(record.first, record.count):
                raise CommandError(ErrorCode.WORDS, unit=record.unit, address=address, detail=position)
            if position + 1 + record.count > len(words):
                raise CommandError(ErrorCode.RECORDS, address=address, detail=position)
            records.append((record, list(words[position + 1 : position + 1 + record.count])))
            position += 1 + record.count
        return records

    def _store(self, records: Sequence[tuple[Any, list[int]]]) -> None:
        for record, words in records:
            if record.first < STATUS_BASE:
                self.shadow[record.unit][record.first : record.first + record.count] = words

    def _unload(self, tiles: int, address: int) -> None:
        _aligned(address)
        body: list[int] = []
        records = 0
        for slot in self.machine.slots:
            if tiles >> slot.tile & 1:
                status = list(self.status(slot.number)) if self.status else [0] * slot.size.status
                for first, words in ((0, self.shadow[slot.number]), (STATUS_BASE, status)):
                    if words:
                        body += pack(RECORD, {"unit": slot.number, "first": first, "count": len(words)}) + words
                        records += 1
        fields: Mapping[str, int] = {
            "magic": MAGIC,
            "version": VERSION,
            "parameters": parameter_hash(self.machine.params),
            "words": HEADER_WORDS + len(body) + 1,
            "tiles": tiles,
            "records": records,
        }
        content = pack(HEADER, fields) + body
        checksum = zlib.crc32(np.array(content, "<u4").tobytes())
        if not self.memory.write(address, [*content, checksum]):
            raise CommandError(ErrorCode.MEMORY, address=address)


def _aligned(address: int) -> None:
    if address % WORD_BYTES:
        raise CommandError(ErrorCode.ALIGNMENT, address=address, detail=WORD_BYTES)


def _fields(opcode: Opcode, words: Sequence[int]) -> Fields:
    """The fields of a command of that kind."""
    layout = COMMANDS[opcode]
    return unpack(layout, words[: word_count(layout)])
