"""Number formats of the numerics contract (``docs/numerics.md``): field layouts, limits and canonical values.

A format is data. The RTL builds its ports from it, the golden model reads the same field positions.
"""

from dataclasses import dataclass
from typing import ClassVar

from amaranth.lib import data

Fp32 = data.StructLayout({"fraction": 23, "exponent": 8, "sign": 1})
"""IEEE 754 binary32, least significant field first."""

Bf16 = data.StructLayout({"fraction": 7, "exponent": 8, "sign": 1})
"""bfloat16: the upper half of an :data:`Fp32`."""


@dataclass(frozen=True)
class FloatFormat:
    """A binary floating-point format with an 8-bit exponent, the only exponent the contract knows.

    ``precision`` counts the hidden bit: 8 for BF16, 24 for FP32.
    """

    name: str
    layout: data.StructLayout
    precision: int

    EXPONENT_BITS: ClassVar = 8
    BIAS: ClassVar = 127
    EXPONENT_SPECIAL: ClassVar = 255  # infinities and NaN

    @property
    def fraction_bits(self) -> int:
        return self.precision - 1

    @property
    def width(self) -> int:
        return 1 + self.EXPONENT_BITS + self.fraction_bits

    @property
    def infinity(self) -> int:
        """Bits of +infinity."""
        return self.EXPONENT_SPECIAL << self.fraction_bits

    @property
    def canonical_nan(self) -> int:
        """Bits of the one NaN the machine produces: positive, quiet, empty payload (BF16 0x7fc0, FP32 0x7fc00000)."""
        return self.infinity | 1 << (self.fraction_bits - 1)


BF16 = FloatFormat("bf16", Bf16, 8)
FP32 = FloatFormat("fp32", Fp32, 24)
