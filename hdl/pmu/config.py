"""Configuration and status of a PMU: the layout that assembler, golden model, hardware and documentation share."""

import enum
from functools import cache

from amaranth.lib import data

from hdl.control.counters import chain_layout
from hdl.control.tokens import TOKEN_BITS
from hdl.params import SCALAR_BITS, PMUParams

REGISTERS = 4
"""Integer registers that travel with an iteration through the address pipeline."""


class Side(enum.Enum):
    """Which address pipeline a scalar input, a scalar output or a token belongs to."""

    NONE = 0
    WRITE = 1
    READ = 2


class Mode(enum.Enum):
    """What one access touches, an element in every bank.

    - ROW: elements at consecutive addresses from any element address on.
    - COLUMN: lane i takes tile row r + i of one tile column; rows of the tile are ``pitch`` bank rows apart.
    - LOOKUP: lane i takes row base + index i of bank i; read side only, indices from vector input 1.
    """

    ROW = 0
    COLUMN = 1
    LOOKUP = 2


class Addend(enum.Enum):
    """What is added to a register as an iteration enters the address pipeline."""

    NONE = 0
    SEQUENCE = 1
    SCALAR_0 = 2
    SCALAR_1 = 3
    SCALAR_2 = 4
    SCALAR_3 = 5


class AddressOp(enum.Enum):
    """Operations of an address ALU stage on 32-bit integers; a, b are operands, k the constant, c bit 0 of a register.

    ADD a + b, SUBTRACT a - b, MULTIPLY a * k, MULTIPLY_SUBTRACT b - a * k, all modulo 2**32; DIVIDE (a * k + i * k) >>
    (32 + shift) unsigned, i = ``increment``, with which every constant divisor is exact; SHIFT_LEFT a << b, SHIFT_RIGHT
    a >> b (zeros enter, amount modulo 32); AND a & b; EXTRACT ``width`` bits of a from bit ``shift`` on; SHIFT_SET a <<
    shift with the vacated bits from b; LESS, EQUAL give 0 or 1, MIN, MAX, LESS compare as signed; SELECT c ? a : b.
    MODULO is DIVIDE, then MULTIPLY_SUBTRACT.
    """

    NONE = 0
    ADD = 1
    SUBTRACT = 2
    MULTIPLY = 3
    MULTIPLY_SUBTRACT = 4
    DIVIDE = 5
    SHIFT_LEFT = 6
    SHIFT_RIGHT = 7
    AND = 8
    EXTRACT = 9
    SHIFT_SET = 10
    LESS = 11
    EQUAL = 12
    SELECT = 13
    MIN = 14
    MAX = 15


class Status(enum.IntEnum):
    """Status words, counted from ``start``: cycles and events, and stall cycles by cause."""

    BUSY = 0  # cycles from start to done
    WRITES = 1  # write accesses done, dropped ones not counted
    READS = 2
    CONFLICTS = 3  # cycles in which a read or a write waited for the other
    WAIT_DATA = 4  # the write side had an address and no data, or no sequence id to make one of
    WAIT_INDICES = 5  # a look-up had an address and no indices
    WAIT_OUTPUT = 6  # the read side had no room for its result
    WAIT_FREE = 7  # the writer waited for a free buffer
    WAIT_FULL = 8  # the reader waited for a full buffer
    WAIT_SCALAR = 9  # an iteration waited for a scalar input
    WAIT_TOKEN = 10  # an access waited for a token
    CORRECTED = 11  # words with one flipped bit, put right (ECC)
    DETECTED = 12  # words with two flipped bits, which are wrong (ECC)
    ERRORS = 13  # flags, see Error


class Error(enum.IntFlag):
    """Sticky error flags since ``start``."""

    WRITE_RANGE = 1  # a lane of a write lay outside its region; it was not written
    READ_RANGE = 2  # a lane of a read lay outside its region; it came out as zero
    TOKEN_LOST = 4  # a token came to a full counter
    UNCORRECTABLE = 8  # a word with two flipped bits was read


def alu_layout() -> data.StructLayout:
    """One address ALU stage."""
    return data.StructLayout(
        {
            "op": AddressOp,
            "a": range(REGISTERS),
            "b": range(REGISTERS),
            "b_constant": 1,
            "c": range(REGISTERS),
            "destination": range(REGISTERS),
            "constant": SCALAR_BITS,
            "shift": range(SCALAR_BITS),
            "width": range(SCALAR_BITS + 1),
            "increment": 1,
        }
    )


def register_layout(counters: int) -> data.StructLayout:
    """What a register starts an iteration with."""
    return data.StructLayout({"constant": SCALAR_BITS, "counters": counters, "addend": Addend})


def pipeline_layout(params: PMUParams) -> data.StructLayout:
    """One address pipeline, and what its accesses do."""
    register = range(REGISTERS)
    rows = range(params.rows + 1)
    boundary = range(params.COUNTERS + 1)
    return data.StructLayout(
        {
            "enable": 1,
            "chain": chain_layout(params.COUNTERS, params.SCALAR_INPUTS),
            "registers": data.ArrayLayout(register_layout(params.COUNTERS), REGISTERS),
            "address": register,
            "tile_row": data.StructLayout({"enable": 1, "register": register}),
            "limit": data.StructLayout({"enable": 1, "register": register}),
            "range": data.StructLayout({"enable": 1, "low": SCALAR_BITS, "high": SCALAR_BITS}),
            "bit": data.StructLayout({"enable": 1, "register": register, "position": range(SCALAR_BITS)}),
            "sequence": data.StructLayout({"enable": 1, "register": register}),
            "mode": Mode,
            "pitch": rows,
            "region": data.StructLayout({"base": rows, "rows": rows}),
            "buffer": data.StructLayout({"enable": 1, "boundary": boundary}),
            "convert": 1,
            "permute": data.ArrayLayout(range(params.lanes), params.lanes),
        }
    )


@cache
def pmu_layout(params: PMUParams) -> data.StructLayout:
    """Everything a program sets."""
    boundary = range(params.COUNTERS + 1)
    event = data.StructLayout({"side": Side, "boundary": boundary})
    scalar_out = data.StructLayout({"side": Side, "boundary": boundary, "register": range(REGISTERS)})
    return data.StructLayout(
        {
            "write": pipeline_layout(params),
            "read": pipeline_layout(params),
            "split": range(params.alu_stages + 1),
            "alu": data.ArrayLayout(alu_layout(), params.alu_stages),
            "bank_shift": range(bank_shifts(params)),
            "buffers": TOKEN_BITS,
            "scalar_in": data.ArrayLayout(event, params.SCALAR_INPUTS),
            "scalar_out": data.ArrayLayout(scalar_out, params.SCALAR_OUTPUTS),
            "token_in": data.ArrayLayout(event, params.TOKENS),
            "token_out": data.ArrayLayout(event, params.TOKENS),
        }
    )


def bank_shifts(params: PMUParams) -> int:
    """Choices of the row-address bits that pick the group: the lowest bit may be 0 .. this - 1."""
    return (params.rows // params.groups).bit_length()
