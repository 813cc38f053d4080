"""What the launch sequencer reads from memory: bitstreams, argument lists and commands. Data only.

Everything is 32-bit words, least significant first; a struct takes its words in order.
"""

import enum
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from amaranth.lib import data

from hdl.config import STATUS_BASE, word_count
from hdl.floorplan import COMPUTE, STATION, Kind, Place, floorplan
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS, RDUParams, require

MAGIC = int.from_bytes(b"ORDU", "little")
VERSION = 1
WORD_BYTES = 4
UNIT_BITS = 16
COUNT_BITS = 24
"""Width of every length in words."""

TILE_BITS = 4
"""Width of a set of tiles."""

LOOPS = 4
"""Loop counters of a command list."""

HEADER = data.StructLayout(
    {
        "magic": 32,
        "version": 32,
        "parameters": 64,
        "words": 32,
        "tiles": 32,
        "records": 32,
        "reserved": 32,
        "hbm_bytes": 64,
        "ddr_bytes": 64,
    }
)
HEADER_WORDS = word_count(HEADER)

RECORD = data.StructLayout({"unit": UNIT_BITS, "first": 8, "count": 8})
"""One word, and ``count`` words for word addresses ``first`` onwards of a unit follow."""


class Opcode(enum.IntEnum):
    """Commands of the launch sequencer; ``docs/launch.md`` says what each does."""

    NOP = 0
    LOAD = 1
    ARGUMENTS = 2
    EXECUTE = 3
    WAIT = 4
    DMA = 5
    WAIT_DMA = 6
    UNLOAD = 7
    SIGNAL = 8
    JUMP = 9
    HALT = 10
    LIST = 11


DESCRIPTOR = data.StructLayout(
    {
        "source": MEMORY_ADDRESS_BITS,
        "destination": MEMORY_ADDRESS_BITS,
        "row_bytes": SCALAR_BITS,
        "rows": SCALAR_BITS,
        "source_stride": MEMORY_ADDRESS_BITS,
        "destination_stride": MEMORY_ADDRESS_BITS,
        "share": 9,
    }
)
"""What the tier DMA copies: that of :mod:`hdl.memory.dma`."""

DMA_STATUS_BITS = 3

OPCODE_BITS = 8
COMMAND_WORDS = 8
COMMAND_BYTES = COMMAND_WORDS * WORD_BYTES

COMMANDS: Mapping[Opcode, data.StructLayout] = {
    Opcode.NOP: data.StructLayout({"opcode": OPCODE_BITS}),
    Opcode.LOAD: data.StructLayout({"opcode": OPCODE_BITS, "_": 24, "address": MEMORY_ADDRESS_BITS}),
    Opcode.ARGUMENTS: data.StructLayout({"opcode": OPCODE_BITS, "count": COUNT_BITS, "address": MEMORY_ADDRESS_BITS}),
    Opcode.EXECUTE: data.StructLayout({"opcode": OPCODE_BITS, "tiles": TILE_BITS, "keep": 1}),
    Opcode.WAIT: data.StructLayout({"opcode": OPCODE_BITS, "tiles": TILE_BITS}),
    Opcode.DMA: data.StructLayout({"opcode": OPCODE_BITS, "descriptor": DESCRIPTOR}),
    Opcode.WAIT_DMA: data.StructLayout({"opcode": OPCODE_BITS}),
    Opcode.UNLOAD: data.StructLayout(
        {"opcode": OPCODE_BITS, "tiles": TILE_BITS, "_": 20, "address": MEMORY_ADDRESS_BITS}
    ),
    Opcode.SIGNAL: data.StructLayout({"opcode": OPCODE_BITS, "_": 24, "value": 32}),
    Opcode.JUMP: data.StructLayout({"opcode": OPCODE_BITS, "target": COUNT_BITS, "times": 32, "counter": range(LOOPS)}),
    Opcode.HALT: data.StructLayout({"opcode": OPCODE_BITS}),
    Opcode.LIST: data.StructLayout({"opcode": OPCODE_BITS, "count": COUNT_BITS, "address": MEMORY_ADDRESS_BITS}),
}
"""Fields of each command, from bit 0 of its eight words; the rest is zero."""


def parameter_hash(params: RDUParams) -> int:
    """64 bits that differ between machines of different sizes: the start of the SHA-256 of all parameters."""
    return int.from_bytes(hashlib.sha256(repr(params).encode()).digest()[:8], "little")


@dataclass(frozen=True)
class UnitSize:
    """Configuration words and status words of a unit."""

    words: int
    status: int


@dataclass(frozen=True)
class Slot:
    """What the configuration network knows of the unit with some number: its tile, its index there, its size."""

    number: int
    tile: int
    index: int
    size: UnitSize
    kind: Kind | None  # None: the tile's own unit

    def holds(self, first: int, count: int) -> bool:
        """Whether a record of ``count`` words from ``first`` on lies in the configuration, or in the status."""
        base, words = (STATUS_BASE, self.size.status) if first >= STATUS_BASE else (0, self.size.words)
        return count >= 1 and first - base + count <= words


@dataclass(frozen=True)
class UnitMap:
    """Every unit of a socket by number. ``sizes`` gives each kind's, as pairs, so that the map can be hashed.

    After the units of the floorplan come the tiles: unit ``units + t`` holds which compute units of tile t a program
    uses (:func:`tile_layout`), and shows in its status which of them are still running. Last come the links to other
    sockets, of a machine that gives their size: they go with tile 0, whose last index is theirs.
    """

    params: RDUParams
    sizes: tuple[tuple[Kind, UnitSize], ...]

    def __post_init__(self) -> None:
        for kind in STATION:
            require(kind in dict(self.sizes), f"unit map: the size of a {kind.name} is not given")
        require(self.params.tiles <= TILE_BITS, f"unit map: {self.params.tiles} tiles are more than {TILE_BITS}")

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """By unit number."""
        sizes = dict(self.sizes)
        places = floorplan(self.params).units
        units = [Slot(p.number, p.tile, p.number % self.per_tile, sizes[p.kind], p.kind) for p in places]
        size = UnitSize(word_count(self.tile_layout), word_count(self.tile_layout))
        tiles = [Slot(len(units) + t, t, self.per_tile, size, None) for t in range(self.params.tiles)]
        return (*units, *tiles, *([self.links] if self.links else []))

    @cached_property
    def links(self) -> Slot | None:
        """The links to other sockets, if it has any."""
        size, place = dict(self.sizes).get(Kind.LINKS), floorplan(self.params).links
        return Slot(place.number, place.tile, self.per_tile + 1, size, Kind.LINKS) if size else None

    @property
    def indices(self) -> int:
        """Indices of units in a tile: the floorplan's, its own, and that of the links."""
        return self.per_tile + 1 + (self.links is not None)

    @property
    def per_tile(self) -> int:
        """Units of the floorplan in a tile; all tiles are alike."""
        return len(floorplan(self.params).units) // self.params.tiles

    @cached_property
    def compute(self) -> tuple[Place, ...]:
        """The compute units of tile 0, in the order of their ``active`` bits."""
        return tuple(p for p in floorplan(self.params).tile(0) if p.kind in COMPUTE)

    @cached_property
    def tile_layout(self) -> data.StructLayout:
        """Configuration of a tile: the compute units that take part. Its status words have the same form."""
        return data.StructLayout({"active": len(self.compute)})

    def tile_unit(self, tile: int) -> int:
        """Number of the unit that stands for a tile."""
        return len(floorplan(self.params).units) + tile

    @cached_property
    def tile_image(self) -> tuple[int, int]:
        """Records and words, record words included, of a whole tile with its status, but without the links."""
        return _image(slot for slot in self.slots if slot.tile == 0 and slot != self.links)

    @cached_property
    def links_image(self) -> tuple[int, int]:
        """The same of the links."""
        return _image([self.links] if self.links else [])

    @cached_property
    def longest(self) -> int:
        """Words of the longest bitstream: every word in a record of its own."""
        return HEADER_WORDS + 1 + sum(2 * (s.size.words + s.size.status) for s in self.slots)

    def name(self, number: int) -> str:
        """A unit in words."""
        units = floorplan(self.params).units
        if number < len(units):
            return str(units[number])
        if self.links and number == self.links.number:
            return str(floorplan(self.params).links)
        return f"tile {number - len(units)}" if number < len(self.slots) else f"unit {number}"


def _image(slots: Iterable[Slot]) -> tuple[int, int]:
    """Records and words of a configuration and of a status each."""
    parts = [n for slot in slots for n in (slot.size.words, slot.size.status) if n]
    return len(parts), len(parts) + sum(parts)
