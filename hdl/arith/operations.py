"""What the selectable arithmetic units can be asked to do: the enums that RTL, golden model and assembler share.

Data only. A value is its code in the hardware's operand struct and in a configuration field; Python's own enum, which
Amaranth takes as a shape, keeps the types visible to type checkers.
"""

import enum


class CompareOp(enum.Enum):
    """Float comparisons. Any comparison with a NaN is false but ``NE``; -0 equals +0."""

    LT = 0
    LE = 1
    EQ = 2
    NE = 3
    GT = 4
    GE = 5


class IntegerOp(enum.Enum):
    """Two's complement INT32. Comparisons are signed and give 0 or 1; ``NOT`` ignores the second operand."""

    ADD = 0
    SUB = 1
    MUL = 2  # low 32 bits
    AND = 3
    OR = 4
    XOR = 5
    NOT = 6
    SHL = 7  # shift amounts are taken modulo 32
    SHR = 8  # zeros come in
    SAR = 9  # the sign comes in
    MIN = 10
    MAX = 11
    EQ = 12
    NE = 13
    LT = 14
    LE = 15


class ReduceOp(enum.Enum):
    """Reductions across lanes or over time. The ``ARG`` forms also give the index of the winner."""

    SUM = 0
    MAX = 1
    MIN = 2
    ARG_MAX = 3
    ARG_MIN = 4
