"""Why the launch sequencer stopped: codes, and the sentence that the driver makes of each. Data only."""

import enum

from amaranth.lib import data

from hdl.host.format import UNIT_BITS
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS

CODE_BITS = 8


class ErrorCode(enum.IntEnum):
    """In the register ERROR; the first error stays until it is acknowledged."""

    NONE = 0
    MAGIC = 1
    VERSION = 2
    PARAMETERS = 3
    LENGTH = 4
    TILES = 5
    NEEDS = 6
    CRC = 7
    RECORDS = 8
    UNIT = 9
    WORDS = 10
    CHANGED = 11
    MEMORY = 12
    ALIGNMENT = 13
    OPCODE = 14
    NOT_LOADED = 15
    RUNNING = 16
    JUMP = 17
    LIST = 18
    FAULT = 19
    ABORTED = 20
    DMA = 21
    LINK = 22


SENTENCES = {
    ErrorCode.NONE: "no error",
    ErrorCode.MAGIC: "what is at {address:#x} is not a program: it begins with {detail:#010x}; load one there first",
    ErrorCode.VERSION: "the program at {address:#x} has format version {detail}, this machine reads another; "
    "assemble it again",
    ErrorCode.PARAMETERS: "the program at {address:#x} was made for a machine of other sizes; assemble it for this one",
    ErrorCode.LENGTH: "the program at {address:#x} claims {detail} words, which no program has; load it again",
    ErrorCode.TILES: "a command or program names tiles {detail:#b}, which this machine has not, or none; mend the mask",
    ErrorCode.NEEDS: "the program at {address:#x} needs more memory than the machine has; use a machine with more",
    ErrorCode.CRC: "the program at {address:#x} is damaged, its checksum is wrong; load it again",
    ErrorCode.RECORDS: "the records at {address:#x} do not fill their length, see word {detail}; assemble them again",
    ErrorCode.UNIT: "word {detail} at {address:#x} is a record for unit {unit}, which this machine, or the program, "
    "does not have; assemble it for this machine",
    ErrorCode.WORDS: "word {detail} at {address:#x} is a record with words that unit {unit} does not have; "
    "assemble it for this machine",
    ErrorCode.CHANGED: "the program at {address:#x} changed while it was loaded; keep stores out of programs, and load "
    "again",
    ErrorCode.MEMORY: "memory answered with an error in the transfer that began at {address:#x}; check the address",
    ErrorCode.ALIGNMENT: "address {address:#x} is not a multiple of {detail}; align it",
    ErrorCode.OPCODE: "{detail} is not a command that can stand here; mend the command list",
    ErrorCode.NOT_LOADED: "tiles {detail:#b} hold no program; load one first",
    ErrorCode.RUNNING: "tiles {detail:#b} are still running; wait for them first",
    ErrorCode.JUMP: "a jump goes to command {detail}, beyond the end of its list; mend the command list",
    ErrorCode.LIST: "a command list of {detail} commands; have at least one",
    ErrorCode.FAULT: "unit {unit} was refused an access at offset {address:#x} of its segment; check the arguments and "
    "the size of the tensor",
    ErrorCode.ABORTED: "the host stopped the machine; load the programs again",
    ErrorCode.DMA: "the tier DMA refused or failed a descriptor with status {detail}; check its addresses",
    ErrorCode.LINK: "a link to another socket was given up, detail {detail:#x}; check its wires and the "
    "other socket, then run the program again on all sockets",
}
"""Takes ``unit`` (a name), ``address`` and ``detail``."""

ERROR = data.StructLayout({"code": CODE_BITS, "unit": UNIT_BITS, "address": MEMORY_ADDRESS_BITS, "detail": SCALAR_BITS})
"""What went wrong: fields that a code has no use for are zero."""
