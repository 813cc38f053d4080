"""What a PCU can be told: the enums and the one layout of its configuration.

Data only: the RTL gets it as a struct, the assembler packs with it, the golden model reads with it, and the table in
``docs/pcu.md`` is generated from it.

A *boundary* b (0 to the depth of the counter chain) places an event: it happens in iterations in which every counter
from b inwards stands at its last position (``first``: at its first). b = depth is every iteration.
"""

import enum
from functools import cache
from typing import Any

from amaranth.lib import data

from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.control.counters import chain_layout
from hdl.params import SCALAR_BITS, PCUParams
from hdl.streams import SEQUENCE_BITS

COUNTERS = PCUParams.COUNTERS
REGISTERS = PCUParams.VECTOR_INPUTS
"""Registers a lane has in SIMD mode: register j is loaded from vector input j at issue."""
SHARED = 4
"""Shared values: 32-bit words that an iteration carries for all lanes, each a counter's value or a scalar input."""
BOUNDARY = range(COUNTERS + 1)
BYTE_BITS = 8
"""Width of an INT8 result."""


class Mode(enum.Enum):
    SYSTOLIC = 0
    SIMD = 1


class Operation(enum.Enum):
    """What a SIMD stage does with its operands a and b, in every lane.

    Float comparisons and integer ones give 1 or 0 as INT32, which ``SELECT`` takes as its condition.
    """

    PASS = 0  # a
    SELECT = 1  # a where the condition register is not zero, else b
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    MINIMUM = 5
    MAXIMUM = 6
    LT = 7
    LE = 8
    EQ = 9
    NE = 10
    GT = 11
    GE = 12
    FROM_INTEGER = 13  # INT32 to FP32
    TO_INTEGER = 14  # FP32 to INT32, to nearest even
    TRUNCATE = 15  # FP32 to INT32, toward zero
    ROUND_BF16 = 16  # FP32 rounded to BF16 precision, still FP32
    INT_ADD = 17
    INT_SUB = 18
    INT_MUL = 19
    INT_AND = 20
    INT_OR = 21
    INT_XOR = 22
    INT_NOT = 23
    INT_SHL = 24
    INT_SHR = 25
    INT_SAR = 26
    INT_MIN = 27
    INT_MAX = 28
    INT_EQ = 29
    INT_NE = 30
    INT_LT = 31
    INT_LE = 32


class Source(enum.Enum):
    """Where a SIMD operand comes from."""

    REGISTER_0 = 0
    REGISTER_1 = 1
    REGISTER_2 = 2
    REGISTER_3 = 3
    SHARED_0 = 4
    SHARED_1 = 5
    SHARED_2 = 6
    SHARED_3 = 7
    CONSTANT = 8  # the stage's
    LANE = 9  # the lane's number, INT32
    EXCHANGED = 10  # a register of another lane, see the stage's ``exchange``


class SharedSource(enum.Enum):
    """What a shared value is taken from, at issue."""

    ZERO = 0
    COUNTER_0 = 1
    COUNTER_1 = 2
    COUNTER_2 = 3
    COUNTER_3 = 4
    COUNTER_4 = 5
    COUNTER_5 = 6
    SCALAR_0 = 7
    SCALAR_1 = 8
    SCALAR_2 = 9
    SCALAR_3 = 10


class Conversion(enum.Enum):
    """Format of the tail's result. 32-bit formats leave as two beats, BF16 as one, INT8 as two vectors a beat."""

    NONE = 0  # FP32 or INT32, as it is
    BF16 = 1  # to nearest even
    BF16_STOCHASTIC = 2
    INT32 = 3  # to nearest even
    INT8 = 4  # to nearest even, saturated


class ScalarSource(enum.Enum):
    """What a scalar output sends."""

    RESULT = 0  # lane 0 of the tail's result; a BF16 as the FP32 of the same value
    INDEX = 1  # of an arg-max or arg-min
    SHARED_0 = 2
    SHARED_1 = 3
    SHARED_2 = 4
    SHARED_3 = 5


def shared_choice() -> range:
    """Shape of a field that picks nothing (0) or shared value k (k + 1)."""
    return range(SHARED + 1)


OPERAND = data.StructLayout({"use": 1, "shared": shared_choice(), "constant": SCALAR_BITS})
"""A number for all lanes of the tail: a shared value, or with ``shared`` 0 the constant."""


def stage_layout(params: PCUParams) -> data.StructLayout:
    """One SIMD stage. ``accumulate`` makes its result acc = op(acc, a), where acc starts anew with every group."""
    exchange = {"register": range(REGISTERS), "shift": 1, "distance": range(params.lanes)}
    return data.StructLayout(
        {
            "operation": Operation,
            "a": Source,
            "b": Source,
            "condition": range(REGISTERS),
            "into": range(REGISTERS),
            "accumulate": 1,
            "constant": SCALAR_BITS,
            "exchange": data.StructLayout(exchange),  # lane XOR distance, or lane - distance with the constant below
        }
    )


@cache
def pcu_layout(params: PCUParams) -> data.StructLayout:
    """The configuration of a PCU of these sizes."""
    event = {"enable": 1, "boundary": BOUNDARY}
    fields: dict[str, Any] = {
        "mode": Mode,
        "chain": chain_layout(COUNTERS, params.SCALAR_INPUTS),
        # counters that run over one group of accumulated iterations, and whether the innermost counter numbers
        # independent accumulators (slots)
        "group": data.StructLayout({"counters": COUNTERS, "slotted": 1, "running": 1}),
        "vector_in": _array({"enable": 1, "wide": 1, "pop": BOUNDARY}, params.VECTOR_INPUTS),
        "scalar_in": _array({"enable": 1, "pop": BOUNDARY}, params.SCALAR_INPUTS),
        "token_in": _array(event, params.TOKENS),
        "token_out": _array(event, params.TOKENS),
        "shared": data.ArrayLayout(SharedSource, SHARED),
        "systolic": data.StructLayout({"rows": range(params.stages + 1), "columns": 1, "initial": 1, "tile": BOUNDARY}),
        "stages": data.ArrayLayout(stage_layout(params), params.stages),
        "reduce": data.StructLayout(
            {
                "enable": 1,
                "operation": ReduceOp,
                "register": range(REGISTERS),
                "over_time": 1,
                "base": shared_choice(),  # added to the lane's number to give an index
            }
        ),
        "tail": data.StructLayout(
            {
                "register": range(REGISTERS),  # of the SIMD body, when nothing is reduced
                "mask": data.StructLayout(
                    {
                        "before": 1,
                        "after": 1,
                        "constant": SCALAR_BITS,
                        "plus": shared_choice(),
                        "minus": shared_choice(),
                        "by_stage": 1,
                        "value_before": SCALAR_BITS,
                        "value_after": SCALAR_BITS,
                    }
                ),
                "scale": OPERAND,
                "offset": OPERAND,
                "special": data.StructLayout({"use": 1, "function": Function}),
                "clamp": data.StructLayout({"use": 1, "low": SCALAR_BITS, "high": SCALAR_BITS}),
                "conversion": Conversion,
                "seed": SCALAR_BITS,
            }
        ),
        "sequence": data.StructLayout(
            {"constant": SEQUENCE_BITS, "counters": COUNTERS, "stage": SEQUENCE_BITS, "beat": SEQUENCE_BITS}
        ),
        "vector_out": _array(event, params.VECTOR_OUTPUTS),
        # vector output 1 sends the tail's result too, or with ``side`` a register of the body, unconverted or as BF16
        "side": data.StructLayout({"enable": 1, "register": range(REGISTERS), "wide": 1}),
        "scalar_out": _array({**event, "source": ScalarSource}, params.SCALAR_OUTPUTS),
    }
    return data.StructLayout(fields)


def _array(fields: dict[str, Any], length: int) -> data.ArrayLayout:
    return data.ArrayLayout(data.StructLayout(fields), length)


IDENTITY: dict[Operation, int] = {
    Operation.ADD: 0x8000_0000,  # -0: the only zero that keeps the sign of every zero added to it
    Operation.MULTIPLY: 0x3F80_0000,
    Operation.MINIMUM: 0x7F80_0000,
    Operation.MAXIMUM: 0xFF80_0000,
    Operation.INT_ADD: 0,
    Operation.INT_MUL: 1,
    Operation.INT_AND: 0xFFFF_FFFF,
    Operation.INT_OR: 0,
    Operation.INT_XOR: 0,
    Operation.INT_MIN: 0x7FFF_FFFF,
    Operation.INT_MAX: 0x8000_0000,
}
"""Operations that can accumulate, and what they start from: op(identity, a) = a, canonical if a float."""

STALL_CAUSES = (
    *(f"vector_in_{j}" for j in range(PCUParams.VECTOR_INPUTS)),
    *(f"scalar_in_{j}" for j in range(PCUParams.SCALAR_INPUTS)),
    "token",
    "accumulator",
    "output_room",
    "counter_limit",
)
"""Why an iteration waits; in each cycle one cause is counted."""

STATUS = ("busy", "fires", *(f"stall_{cause}" for cause in STALL_CAUSES), "tokens_lost")
"""Status words in order of address; they count cycles and events since the last commit."""
