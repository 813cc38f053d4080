"""Every size in the design: frozen dataclasses, given once, checked once, passed whole; and the presets.

Data only. The golden model, the assembler and the RTL read the same object. A combination that breaks a rule raises
:class:`~hdl.errors.ParameterError` naming the values and the rule.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from hdl.errors import ParameterError

SCALAR_BITS = 32
"""Width of scalars, counters' values and configuration words."""

ELEMENT_BITS = 16
"""Width of one lane of a vector beat; an FP32 or INT32 vector takes two beats."""


def require(rule: bool, sentence: str) -> None:
    """Raises ParameterError with ``sentence`` unless ``rule`` holds."""
    if not rule:
        raise ParameterError(sentence)


def is_power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


@dataclass(frozen=True)
class ArithParams:
    """Pipeline depth of every arithmetic unit, in cycles (``docs/numerics.md`` lists what each depth costs)."""

    multiply_add: int = 4
    multiply: int = 3
    add: int = 4
    compare: int = 1
    convert: int = 2
    integer: int = 2
    special: int = 6


@dataclass(frozen=True)
class PCUParams:
    """Pattern compute unit: ``lanes`` x ``stages`` multiply-adds, ``fifo_depth`` entries in every input FIFO."""

    lanes: int = 8
    stages: int = 4
    fifo_depth: int = 16
    arith: ArithParams = field(default_factory=ArithParams)

    COUNTERS: ClassVar = 6
    VECTOR_INPUTS: ClassVar = 4
    SCALAR_INPUTS: ClassVar = 4
    VECTOR_OUTPUTS: ClassVar = 2
    SCALAR_OUTPUTS: ClassVar = 2
    TOKENS: ClassVar = 4  # control wires in, and as many out

    def __post_init__(self) -> None:
        require(
            is_power_of_two(self.lanes) and 2 <= self.lanes <= 32, f"PCU: {self.lanes} lanes is not 2, 4, 8, 16 or 32"
        )
        require(
            1 <= self.stages <= self.lanes,
            f"PCU: {self.stages} stages is not in 1..{self.lanes}, the lanes: a broadcast beat holds one value a stage",
        )
        require(
            is_power_of_two(self.fifo_depth) and self.fifo_depth >= 2,
            f"PCU: a FIFO depth of {self.fifo_depth} is not a power of two of at least 2",
        )

    @property
    def interleave(self) -> int:
        """Accumulators a cell works on in turn: as many as its multiply-add is deep, so that none waits."""
        return self.arith.multiply_add


@dataclass(frozen=True)
class PMUParams:
    """Pattern memory unit: one bank a lane, ``rows`` elements a bank in ``groups`` single-ported sub-arrays.

    A read and a write in one cycle conflict when they touch the same group of the same bank.
    """

    lanes: int = 8
    rows: int = 1024
    groups: int = 4
    alu_stages: int = 6  # integer ALU stages, shared out between the write and the read address pipeline
    fifo_depth: int = 16
    ecc: bool = False

    COUNTERS: ClassVar = 6  # of each pipeline
    VECTOR_INPUTS: ClassVar = 2
    SCALAR_INPUTS: ClassVar = 4
    VECTOR_OUTPUTS: ClassVar = 1
    SCALAR_OUTPUTS: ClassVar = 2
    TOKENS: ClassVar = 4

    def __post_init__(self) -> None:
        require(
            is_power_of_two(self.lanes) and 2 <= self.lanes <= 32, f"PMU: {self.lanes} lanes is not 2, 4, 8, 16 or 32"
        )
        require(
            is_power_of_two(self.groups) and is_power_of_two(self.rows) and 2 * self.groups <= self.rows,
            f"PMU: {self.rows} rows in {self.groups} groups: both must be powers of two, two rows a group at least",
        )
        require(2 <= self.alu_stages <= 16, f"PMU: {self.alu_stages} address ALU stages is not in 2..16")
        require(
            is_power_of_two(self.fifo_depth) and self.fifo_depth >= 2,
            f"PMU: a FIFO depth of {self.fifo_depth} is not a power of two of at least 2",
        )

    @property
    def bytes(self) -> int:
        """Capacity."""
        return self.lanes * self.rows * ELEMENT_BITS // 8


@dataclass(frozen=True)
class RDUParams:
    """The whole machine. Network, AGCU, memory tiers and links join when their blocks do."""

    name: str
    pcu: PCUParams
    pmu: PMUParams

    def __post_init__(self) -> None:
        require(
            self.pcu.lanes == self.pmu.lanes,
            f"{self.name}: PCU has {self.pcu.lanes} lanes and PMU {self.pmu.lanes}: one vector network joins them, "
            "so they must be equal",
        )


NANO = RDUParams(
    "nano", PCUParams(lanes=4, stages=2, fifo_depth=4), PMUParams(lanes=4, rows=512, groups=2, fifo_depth=4)
)
TEST = RDUParams("test", PCUParams(lanes=4, stages=2), PMUParams(lanes=4, rows=1024))
DEMO = RDUParams("demo", PCUParams(lanes=8, stages=4), PMUParams(lanes=8, rows=4096))
SN40L = RDUParams("sn40l", PCUParams(lanes=32, stages=6), PMUParams(lanes=32, rows=8192))  # 512 KiB a PMU

PRESETS = {preset.name: preset for preset in (NANO, TEST, DEMO, SN40L)}


def preset(name: str) -> RDUParams:
    """The preset of that name.

    Raises:
        ParameterError: there is none; the message lists them.
    """
    require(name in PRESETS, f"no preset is called {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
