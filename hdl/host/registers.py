"""The registers of the host port: one description makes RTL, driver and ``docs/registers.md``. Data only."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from amaranth.lib import data

from hdl.host.format import COMMAND_WORDS, COUNT_BITS, MAGIC, TILE_BITS, UNIT_BITS, VERSION, WORD_BYTES
from hdl.params import SCALAR_BITS

ADDRESS_BITS = 8
"""Width of a byte address of the host port."""


class Access(enum.Enum):
    """What the host may do; everything else is answered with SLVERR and changes nothing.

    - VALUE: read; the hardware gives the value.
    - HELD: read and write; the hardware sees what was last written.
    - EVENT: write; the hardware sees a pulse and the value.
    - BOTH: VALUE on reading, EVENT on writing.
    """

    VALUE = "read"
    HELD = "read, write"
    EVENT = "write"
    BOTH = "read; a write acts"

    @property
    def readable(self) -> bool:
        return self is not Access.EVENT

    @property
    def writable(self) -> bool:
        return self is not Access.VALUE


@dataclass(frozen=True)
class Register:
    """One 32-bit register. ``fields``: name to (bits, meaning), from bit 0 up.

    ``waits``: an access may wait until the hardware is ready for it.
    """

    name: str
    access: Access
    doc: str
    fields: Mapping[str, tuple[int, str]] = field(default_factory=lambda: {"value": (SCALAR_BITS, "")})
    waits: bool = False

    @cached_property
    def layout(self) -> data.StructLayout:
        return data.StructLayout({name: bits for name, (bits, _) in self.fields.items()})


REGISTERS = (
    Register("MAGIC", Access.VALUE, f"{MAGIC:#010x}: there is an OpenRDU here"),
    Register("VERSION", Access.VALUE, f"of bitstreams and registers: {VERSION}"),
    Register("PARAMETERS_LOW", Access.VALUE, "hash of the hardware parameters, as in the header of a bitstream"),
    Register("PARAMETERS_HIGH", Access.VALUE, "its upper half"),
    Register(
        "MESH",
        Access.VALUE,
        "size of the socket",
        {"rows": (8, ""), "columns": (8, "of a tile"), "tiles": (8, ""), "sockets": (8, "")},
    ),
    Register(
        "SIZES",
        Access.VALUE,
        "sizes of units and memory",
        {
            "lanes": (8, ""),
            "stages": (8, "of a PCU"),
            "granule": (8, "beats of the longest burst; a beat is `lanes` times 2 bytes"),
            "pmu_rows": (8, "log2 of the rows of a PMU's bank"),
        },
    ),
    Register(
        "CAPACITY", Access.VALUE, "of the memory tiers, log2 of the bytes", {"hbm": (8, "HBM"), "ddr": (8, "DDR")}
    ),
    Register(
        "STATUS",
        Access.VALUE,
        "what the sequencer does",
        {
            "idle": (1, "no command is waiting or under way"),
            "stopping": (1, "tiles are being halted and cleared"),
            "listing": (1, "a command list is being run"),
            "room": (1, "DOORBELL would be heard"),
            "running": (TILE_BITS, "tiles whose units have not all finished"),
            "loaded": (TILE_BITS, "tiles whose shadow holds a program"),
            "copies": (8, "descriptors that the tier DMA has not finished"),
        },
    ),
    Register(
        "CONTROL",
        Access.HELD,
        "switches",
        {
            "count": (1, "CYCLES counts always, and not only while not idle"),
            "interrupt": (1, "the irq wire is enabled"),
        },
    ),
    Register("ABORT", Access.EVENT, "any write: stop all tiles and the tier DMA, clear them, report the error ABORTED"),
    *(Register(f"COMMAND_{i}", Access.HELD, f"word {i} of the next command") for i in range(COMMAND_WORDS)),
    Register("DOORBELL", Access.EVENT, "any write: send the command; it is lost if STATUS.room is 0"),
    Register(
        "ERROR", Access.BOTH, "the first error, see `docs/launch.md`; any write: acknowledge it", {"code": (8, "")}
    ),
    Register("ERROR_UNIT", Access.VALUE, "number of the unit it is about"),
    Register("ERROR_ADDRESS_LOW", Access.VALUE, "address it is about"),
    Register("ERROR_ADDRESS_HIGH", Access.VALUE, "its upper half"),
    Register("ERROR_DETAIL", Access.VALUE, "more, see `docs/launch.md`"),
    Register(
        "INTERRUPT",
        Access.BOTH,
        "why the irq wire is high; writing 1 to a bit clears it",
        {"signal": (1, "a SIGNAL command was run"), "error": (1, "there was an error")},
    ),
    Register("SIGNAL", Access.VALUE, "value of the last SIGNAL command"),
    Register("INDEX", Access.VALUE, "number of the next command of the list, or of that after the last one run"),
    Register("CYCLES_LOW", Access.VALUE, "cycles counted; reading it holds CYCLES_HIGH"),
    Register("CYCLES_HIGH", Access.VALUE, "upper half, of when CYCLES_LOW was read"),
    Register("STALLED", Access.VALUE, "cycles since memory last moved or a tile was started, while tiles run"),
    Register(
        "WINDOW_ADDRESS_LOW", Access.HELD, "byte address, a multiple of 4, for the next WINDOW_READ, WINDOW_WRITE"
    ),
    Register("WINDOW_ADDRESS_HIGH", Access.HELD, "its upper half"),
    Register("WINDOW_READ", Access.EVENT, "begin to read words of memory", {"words": (COUNT_BITS, "how many")}),
    Register("WINDOW_WRITE", Access.EVENT, "begin to write words of memory", {"words": (COUNT_BITS, "how many")}),
    Register("WINDOW_DATA", Access.BOTH, "next word read, or next word to write; waits", waits=True),
    Register(
        "WINDOW_STATUS",
        Access.VALUE,
        "of the window",
        {
            "busy": (1, "words are still to come, or writes are not yet in memory"),
            "error": (1, "memory answered the last run of words with an error"),
        },
    ),
    Register(
        "PEEK",
        Access.EVENT,
        "read a word of a unit over the configuration bus: configuration below address 128, status from there up",
        {"unit": (UNIT_BITS, "its number"), "address": (8, "of the word")},
        waits=True,
    ),
    Register("PEEK_DATA", Access.VALUE, "the word; waits for it", waits=True),
    Register(
        "COUNTER",
        Access.HELD,
        "which counter of the memory system COUNTER_VALUE shows: see `docs/memory.md`",
        {"word": (4, "of the block"), "block": (6, "0 the DMA, then the channels of HBM, then those of DDR")},
    ),
    Register("COUNTER_VALUE", Access.VALUE, "the counter, as it stood two cycles ago"),
)

BY_NAME = {register.name: register for register in REGISTERS}

OFFSETS = {register.name: WORD_BYTES * i for i, register in enumerate(REGISTERS)}
"""Byte address of each register, by name."""
