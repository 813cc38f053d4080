"""Arithmetic that a simulator computes outside the RTL: an option of a simulation (``ARITH=fast``), never of silicon.

``Fast`` has the face of an arithmetic unit, of a fixed latency and frozen while ``en`` is low, but computes a whole
vector at once and is an ``Instance`` of a module that only simulations have (``verif.fast`` writes it and the C behind
it). It changes nothing that is computed: ``make verify ONLY=arith`` holds it against the RTL.
"""

import enum
from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function

WORD = 32
CODE = 8
"""Bits in which an operation is told."""


class Kind(enum.Enum):
    """What is computed; the value is its name in Verilog and C."""

    MULTIPLY_ADD = "multiply_add"  # o[s][l] = a[l] * b[s] + c[s][l]; BF16 in the upper halves of a, and in b
    OPERATE = "operate"  # o[l] = a[l] operation b[l], by the codes of a SIMD stage
    COMBINE = "combine"  # o[n] = candidates 2n and 2n + 1 by a ReduceOp
    SPECIAL = "special"  # o[l] = function(x[l])
    ROUND = "round"  # o[l] = x[l] as BF16, in the upper half


Candidate = data.StructLayout({"value": WORD, "index": WORD})


class Fast(wiring.Component):
    """``o``, ``latency`` enabled cycles after ``i``.

    ``sizes``: of ``MULTIPLY_ADD`` lanes and stages, of ``COMBINE`` the results, else lanes.
    """

    def __init__(self, kind: Kind, latency: int, *sizes: int) -> None:
        self.kind, self.latency, self.sizes = kind, latency, sizes
        operands, result = _ports(kind, *sizes)
        super().__init__({"en": In(1), "i": In(operands), "o": Out(result)})

    @property
    def function(self) -> str:
        """Its name in C."""
        return f"openrdu_{self.kind.value}_{'x'.join(map(str, self.sizes))}"

    @property
    def module(self) -> str:
        """Its name in Verilog."""
        return f"{self.function}_{self.latency}"

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.outside = Instance(self.module, i_clk=ClockSignal(), i_en=self.en, i_i=self.i, o_o=self.o)
        return m

    def widths(self) -> tuple[int, int]:
        """Bits of the operands and of the result."""
        members = self.signature.members
        return Shape.cast(members["i"].shape).width, Shape.cast(members["o"].shape).width


def _ports(kind: Kind, count: int, stages: int = 1) -> tuple[data.StructLayout, data.ArrayLayout]:
    """Layouts of operands and result; vectors stand at whole words, the rest above them."""
    words = data.ArrayLayout(WORD, count)
    operands: dict[str, Any]
    match kind:
        case Kind.MULTIPLY_ADD:
            tile = data.ArrayLayout(words, stages)
            return data.StructLayout({"a": words, "c": tile, "b": data.ArrayLayout(WORD // 2, stages)}), tile
        case Kind.COMBINE:
            operands = {"candidates": data.ArrayLayout(Candidate, 2 * count), "operation": ReduceOp}
            return data.StructLayout(operands), data.ArrayLayout(Candidate, count)
        case Kind.OPERATE:
            operands = {"a": words, "b": words, "operation": CODE}
        case Kind.SPECIAL:
            operands = {"x": words, "function": Function}
        case Kind.ROUND:
            operands = {"x": words, "random": data.ArrayLayout(WORD // 2, count), "stochastic": 1}
    return data.StructLayout(operands), words
