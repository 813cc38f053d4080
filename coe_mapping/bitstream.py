"""Bitstreams: the words of every unit as the bytes that the launch sequencer loads, and back.

``docs/bitstream.md`` shows the format; :mod:`hdl.host.format` holds it.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hdl.config import STATUS_BASE, pack, unpack
from hdl.errors import ParameterError
from hdl.floorplan import COMPUTE
from hdl.host.format import HEADER, HEADER_WORDS, MAGIC, RECORD, VERSION, WORD_BYTES, UnitMap, parameter_hash

Words = NDArray[np.uint32]


class BitstreamError(ValueError):
    """Bytes that are no bitstream for this machine; the message says which rule they break."""


@dataclass(frozen=True)
class Bitstream:
    """The configuration of whole tiles.

    Attributes:
        units: unit number to its configuration words, from address 0 on. The tiles' own units are not among them.
        tiles: the tiles it is for; whatever ``units`` leaves out there is zero.
        status: unit number to status words, in the image of an unload only.
        hbm_bytes, ddr_bytes: memory that a machine must have.
    """

    units: Mapping[int, Sequence[int]]
    tiles: tuple[int, ...] = (0,)
    hbm_bytes: int = 0
    ddr_bytes: int = 0
    status: Mapping[int, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Argument:
    """A field that is set anew before a launch: ``width`` bits from bit ``shift`` of word ``word`` of a unit on.

    It may span words.
    """

    unit: int
    word: int
    shift: int
    width: int


def encode(machine: UnitMap, bitstream: Bitstream) -> bytes:
    """The bytes of a bitstream, padded with zeros to whole granules.

    Raises:
        ParameterError: a unit or word that the machine does not have, or a unit of another tile.
    """
    params = machine.params
    for tile in bitstream.tiles:
        if not 0 <= tile < params.tiles:
            raise ParameterError(f"bitstream: {params.name} has no tile {tile}; it has {params.tiles}")
    records: list[tuple[int, int, Sequence[int]]] = []
    for number, words in sorted(bitstream.units.items()):
        _check(machine, bitstream, number, len(words))
        records += [(number, first, run) for first, run in _runs(words)]
    records += [(machine.tile_unit(t), 0, _active(machine, bitstream, t)) for t in sorted(bitstream.tiles)]
    body = [word for record in records for word in record_words(*record)]
    header = pack(
        HEADER,
        {
            "magic": MAGIC,
            "version": VERSION,
            "parameters": parameter_hash(params),
            "words": HEADER_WORDS + len(body) + 1,
            "tiles": sum(1 << tile for tile in set(bitstream.tiles)),
            "records": len(records),
            "hbm_bytes": bitstream.hbm_bytes,
            "ddr_bytes": bitstream.ddr_bytes,
        },
    )
    content = np.array([*header, *body], "<u4").tobytes()
    image = content + zlib.crc32(content).to_bytes(WORD_BYTES, "little")
    granule = params.beat_bytes * params.memory.granule
    return image + bytes(-len(image) % granule)


def _runs(words: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """The words but for zeros, which are there after a load anyway: (first, words). A zero or two cost no more than the
    record that would leave them out."""
    used = [i for i, word in enumerate(words) if word]
    first = 0
    for i, last in enumerate(used):
        if i + 1 == len(used) or used[i + 1] - last > 3:
            yield used[first], words[used[first] : last + 1]
            first = i + 1


def _check(machine: UnitMap, bitstream: Bitstream, number: int, words: int) -> None:
    links = machine.links.number if machine.links else None
    if not 0 <= number < machine.tile_unit(0) and number != links:
        raise ParameterError(f"bitstream: {machine.params.name} has no unit {number}")
    slot = machine.slots[number]
    if slot.tile not in bitstream.tiles:
        raise ParameterError(f"bitstream: {machine.name(number)} is in tile {slot.tile}, which is not among its tiles")
    if not 1 <= words <= slot.size.words:
        raise ParameterError(
            f"bitstream: {machine.name(number)} takes 1 to {slot.size.words} configuration words, not {words}"
        )


def _active(machine: UnitMap, bitstream: Bitstream, tile: int) -> list[int]:
    """Configuration of the tile itself: the compute units that the program uses."""
    shift = tile * machine.per_tile
    active = sum(1 << i for i, place in enumerate(machine.compute) if place.number + shift in bitstream.units)
    return pack(machine.tile_layout, {"active": active})


def record_words(unit: int, first: int, words: Sequence[int]) -> list[int]:
    """A record, as it stands in a bitstream or an argument list."""
    return [*pack(RECORD, {"unit": unit, "first": first, "count": len(words)}), *(int(word) for word in words)]


def decode(machine: UnitMap, image: bytes) -> Bitstream:
    """What a bitstream says; what follows its end is ignored.

    Raises:
        BitstreamError: it breaks a rule of the format, or is not for this machine.
    """
    words = np.frombuffer(image[: len(image) // WORD_BYTES * WORD_BYTES], "<u4")
    total = _check_header(machine, words)
    body, checksum = words[HEADER_WORDS : total - 1], int(words[total - 1])
    header = unpack(HEADER, [int(word) for word in words[:HEADER_WORDS]])
    if zlib.crc32(words[: total - 1].tobytes()) != checksum:
        raise BitstreamError("bitstream: the checksum is wrong; it was damaged, so make or copy it again")
    units: dict[int, Sequence[int]] = {}
    status: dict[int, Sequence[int]] = {}
    position, records = 0, 0
    while position < len(body):
        record = unpack(RECORD, [int(body[position])])
        content = [int(word) for word in body[position + 1 : position + 1 + record.count]]
        where = f"bitstream: word {HEADER_WORDS + position}"
        if record.unit >= len(machine.slots) or not header.tiles >> machine.slots[record.unit].tile & 1:
            raise BitstreamError(f"{where} is a record for {machine.name(record.unit)}, which is in none of its tiles")
        if not machine.slots[record.unit].holds(record.first, record.count):
            raise BitstreamError(f"{where} is a record with words that {machine.name(record.unit)} does not have")
        if len(content) < record.count:
            raise BitstreamError(f"{where} is a record of {record.count} words, more than are left")
        _store(status if record.first >= STATUS_BASE else units, record.unit, record.first % STATUS_BASE, content)
        position, records = position + 1 + record.count, records + 1
    if records != header.records:
        raise BitstreamError(f"bitstream: there are {records} records, the header claims {header.records}")
    tiles = tuple(t for t in range(machine.params.tiles) if header.tiles >> t & 1)
    own = {machine.tile_unit(t) for t in tiles}
    return Bitstream(
        {number: content for number, content in units.items() if number not in own},
        tiles,
        header.hbm_bytes,
        header.ddr_bytes,
        status,
    )


def _store(units: dict[int, Sequence[int]], unit: int, first: int, content: Sequence[int]) -> None:
    """Puts a record's words where they belong; words between records are zero, as loading leaves them."""
    before = list(units.get(unit, ()))
    before += [0] * (first + len(content) - len(before))
    before[first : first + len(content)] = content
    units[unit] = before


def _check_header(machine: UnitMap, words: Words) -> int:
    """The number of words that the header claims, once it may be believed."""
    params = machine.params
    if len(words) <= HEADER_WORDS:
        raise BitstreamError(f"bitstream: {len(words)} words are fewer than a header and a checksum")
    header = unpack(HEADER, [int(word) for word in words[:HEADER_WORDS]])
    if header.magic != MAGIC:
        raise BitstreamError(f"bitstream: it begins with {header.magic:#010x}, not with {MAGIC:#010x}: something else")
    if header.version != VERSION or header.reserved:
        raise BitstreamError(f"bitstream: format version {header.version}, this machine reads version {VERSION}")
    if header.parameters != parameter_hash(params):
        raise BitstreamError(f"bitstream: made for a machine of other sizes than {params.name}; assemble it again")
    if not HEADER_WORDS < header.words <= min(len(words), machine.longest):
        raise BitstreamError(
            f"bitstream: the header claims {header.words} words, of {len(words)} there are and {machine.longest} that "
            "a program may have"
        )
    if not 0 < header.tiles < 1 << params.tiles:
        raise BitstreamError(f"bitstream: it is for tiles {header.tiles:#b}, {params.name} has {params.tiles}")
    if header.hbm_bytes > params.memory.hbm.capacity or header.ddr_bytes > params.memory.ddr.capacity:
        raise BitstreamError(
            f"bitstream: it needs {header.hbm_bytes} bytes of HBM and {header.ddr_bytes} of DDR; {params.name} has "
            f"{params.memory.hbm.capacity} and {params.memory.ddr.capacity}"
        )
    return int(header.words)


def argument_words(bitstream: Bitstream, values: Mapping[Argument, int]) -> list[int]:
    """An argument list that sets these fields, and leaves the bits around them as ``bitstream`` has them.

    Raises:
        ParameterError: a value that does not fit, or a field outside the words of its unit.
    """
    changed: dict[tuple[int, int], int] = {}
    for argument, value in values.items():
        if not 0 <= value < 1 << argument.width:
            raise ParameterError(f"argument: {value} does not fit the {argument.width} bits of {argument}")
        if argument.word * 32 + argument.shift + argument.width > 32 * len(bitstream.units.get(argument.unit, ())):
            raise ParameterError(
                f"argument: {argument} lies outside the words that the program gives unit {argument.unit}"
            )
        mask, bits = ((1 << argument.width) - 1) << argument.shift, value << argument.shift
        word = argument.word
        while mask:
            place = (argument.unit, word)
            old = changed.get(place, bitstream.units[argument.unit][word])
            changed[place] = old & ~mask & 0xFFFF_FFFF | bits & 0xFFFF_FFFF
            mask, bits, word = mask >> 32, bits >> 32, word + 1
    return [w for (unit, word), value in sorted(changed.items()) for w in record_words(unit, word, [value])]


def used_units(machine: UnitMap, bitstream: Bitstream) -> tuple[int, ...]:
    """Numbers of the compute units that take part."""
    return tuple(n for n in sorted(bitstream.units) if machine.slots[n].kind in COMPUTE)
