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

MEMORY_ADDRESS_BITS = 40
"""Width of a byte address in the memory system."""

TIER_SHIFT = 36
"""Bits from here up name the tier: 0 HBM, 1 DDR."""

TAG_BITS = 6
"""Width of the tag that a requester gives a burst and gets back with the response."""


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
    """Pattern compute unit: ``lanes`` x ``stages`` multiply-adds, ``fifo_depth`` entries in every input FIFO.

    With ``passes`` above 1 the unit is small: a SIMD stage and the tail have units for a part of the lanes only, and
    take that many cycles a vector. The multiply-adds are as many and as fast; every result is the same.
    """

    lanes: int = 8
    stages: int = 4
    fifo_depth: int = 16
    passes: int = 1
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

        require(
            is_power_of_two(self.passes) and self.passes <= self.lanes,
            f"PCU: {self.passes} passes is not 1, 2, ... {self.lanes}, the lanes: each pass takes equally many lanes",
        )

    @property
    def units(self) -> int:
        """Lanes that a SIMD stage and the tail work on in one pass."""
        return self.lanes // self.passes

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
    alu_cycles: int = 2  # of one of them
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
        require(self.alu_cycles in (2, 3), f"PMU: {self.alu_cycles} cycles an address ALU stage is not 2 or 3")
        require(
            is_power_of_two(self.fifo_depth) and self.fifo_depth >= 2,
            f"PMU: a FIFO depth of {self.fifo_depth} is not a power of two of at least 2",
        )

    @property
    def bytes(self) -> int:
        """Capacity."""
        return self.lanes * self.rows * ELEMENT_BITS // 8


@dataclass(frozen=True)
class RDNParams:
    """The network of a tile: a mesh of switches, three fabrics (SN40L section IV-C).

    A flow rides on virtual channel ``flow % channels`` of a link, so a blocked flow stops only those that share its
    channel. One more channel carries flits with a data-dependent destination, in dimension order.
    """

    flows: int = 8  # flow ids a link tells apart
    channels: int = 4  # virtual channels of a link for them
    depth: int = 8  # flits each channel buffers where the link ends
    token_wires: int = 8  # of the control fabric, each way on each side
    die_latency: int = 2  # registers between tiles of one socket, each way

    DESTINATIONS: ClassVar = 4  # a source with data-dependent destinations chooses among

    def __post_init__(self) -> None:
        require(is_power_of_two(self.flows) and self.flows <= 64, f"RDN: {self.flows} flows is not 1, 2, 4, ... 64")
        require(
            is_power_of_two(self.channels) and self.channels <= self.flows,
            f"RDN: {self.channels} channels is not a power of two of at most {self.flows}, the flows",
        )
        round_trip = 4 + 2 * self.die_latency
        require(
            is_power_of_two(self.depth) and self.depth >= 4,
            f"RDN: a channel depth of {self.depth} is not a power of two of at least 4, the round trip of a credit",
        )
        require(
            self.depth >= round_trip or self.die_latency == 0,
            f"RDN: a channel depth of {self.depth} is less than {round_trip}, the round trip of a credit between tiles",
        )
        require(1 <= self.token_wires <= 16, f"RDN: {self.token_wires} token wires is not in 1..16")


@dataclass(frozen=True)
class AGCUParams:
    """Address generation and coalescing unit: ``loads`` streams from memory and ``stores`` streams to it."""

    loads: int = 2
    stores: int = 1
    segments: int = 8
    alu_stages: int = 2  # integer ALU stages of each stream's address pipeline
    alu_cycles: int = 2  # of one of them
    outstanding: int = 32  # bursts in flight
    fifo_depth: int = 16

    COUNTERS: ClassVar = 6  # of each stream
    SCALAR_INPUTS: ClassVar = 4
    SCALAR_OUTPUTS: ClassVar = 1
    TOKENS: ClassVar = 4

    def __post_init__(self) -> None:
        require(1 <= self.loads <= 4, f"AGCU: {self.loads} load streams is not in 1..4")
        require(1 <= self.stores <= 4, f"AGCU: {self.stores} store streams is not in 1..4")
        require(
            is_power_of_two(self.segments) and self.segments <= 16,
            f"AGCU: {self.segments} segments is not 1, 2, ... 16",
        )
        require(1 <= self.alu_stages <= 8, f"AGCU: {self.alu_stages} address ALU stages is not in 1..8")
        require(self.alu_cycles in (2, 3), f"AGCU: {self.alu_cycles} cycles an address ALU stage is not 2 or 3")
        require(
            is_power_of_two(self.outstanding) and 2 <= self.outstanding <= 1 << TAG_BITS,
            f"AGCU: {self.outstanding} bursts in flight is not a power of two in 2..{1 << TAG_BITS}",
        )
        require(
            is_power_of_two(self.fifo_depth) and self.fifo_depth >= 2,
            f"AGCU: a FIFO depth of {self.fifo_depth} is not a power of two of at least 2",
        )


@dataclass(frozen=True)
class TierParams:
    """One memory tier. A beat is one vector, lanes x 16 bits; times are in cycles of the machine's clock."""

    channels: int
    capacity: int  # bytes, all channels together
    beats: tuple[int, int] = (1, 1)  # bandwidth of a channel: beats[0] every beats[1] cycles
    latency: int = 40  # from request to first beat, row open
    row_bytes: int = 1024  # of a row buffer, a channel
    row_miss: int = 8  # more, when another row was open
    turnaround: int = 4  # between a read and a write on one channel
    ecc: bool = False

    def __post_init__(self) -> None:
        require(
            is_power_of_two(self.channels) and self.channels <= 16,
            f"tier: {self.channels} channels is not 1, 2, ... 16",
        )
        require(
            is_power_of_two(self.capacity) and self.capacity < 1 << TIER_SHIFT,
            f"tier: a capacity of {self.capacity} bytes is not a power of two below 2**{TIER_SHIFT}",
        )
        require(
            0 < self.beats[0] <= self.beats[1],
            f"tier: {self.beats[0]} beats in {self.beats[1]} cycles is not in (0, 1]",
        )
        require(self.latency >= 1, f"tier: a latency of {self.latency} cycles is less than 1")
        require(is_power_of_two(self.row_bytes), f"tier: a row of {self.row_bytes} bytes is not a power of two")


@dataclass(frozen=True)
class MemoryParams:
    """Memory tiers, and the granule: the longest burst and the unit of interleaving over channels."""

    hbm: TierParams
    ddr: TierParams
    granule: int = 4  # beats
    queue_depth: int = 8  # requests a channel holds
    dma_outstanding: int = 32  # bursts the tier DMA has in flight

    def __post_init__(self) -> None:
        require(
            is_power_of_two(self.granule) and self.granule <= 16,
            f"memory: {self.granule} beats is not 1, 2, 4, 8 or 16",
        )
        require(
            is_power_of_two(self.queue_depth) and self.queue_depth >= 2,
            f"memory: a queue depth of {self.queue_depth} is not a power of two of at least 2",
        )
        require(
            is_power_of_two(self.dma_outstanding) and 2 <= self.dma_outstanding <= 1 << TAG_BITS,
            f"memory: {self.dma_outstanding} bursts in flight is not a power of two in 2..{1 << TAG_BITS}",
        )


@dataclass(frozen=True)
class HostParams:
    """The link to the host: what its window moves, and how long a command takes to arrive."""

    beats: tuple[int, int] = (1, 4)  # of its memory window: beats[0] every beats[1] cycles
    launch_latency: int = 100  # cycles from a doorbell to the command's start

    def __post_init__(self) -> None:
        require(
            0 < self.beats[0] <= self.beats[1],
            f"host: {self.beats[0]} beats in {self.beats[1]} cycles is not in (0, 1]",
        )
        require(
            0 <= self.launch_latency < 1 << 16, f"host: a launch latency of {self.launch_latency} is not in 16 bits"
        )


@dataclass(frozen=True)
class LinkParams:
    """The links between sockets, each a bundle of ``width`` wires each way (``docs/node.md``).

    What depends on the lanes of a vector is checked where both are known, by :class:`hdl.link.layout.LinkSizes`.
    """

    width: int = 48  # bits a cycle, each way
    latency: int = 20  # cycles from end to end, each way
    packet: int = 16  # vectors of the longest packet
    window: int = 8  # packets under way that may have to be sent again
    channels: int = 2  # virtual channels, none of which can block another
    depth: int = 128  # vectors that each channel buffers where the link ends
    timeout: int = 512  # cycles without an acknowledgement after which everything under way is sent again
    patience: int = 8192  # cycles without an acknowledgement after which the link is given up
    links: int = 2  # of a socket

    def __post_init__(self) -> None:
        require(
            self.width % 8 == 0 and 8 <= self.width <= 1024,
            f"link: a width of {self.width} bits is not a multiple of 8 in 8..1024",
        )
        require(1 <= self.latency <= 4096, f"link: a latency of {self.latency} cycles is not in 1..4096")
        for name, value, most in (
            ("vectors of a packet", self.packet, 256),
            ("packets of the window", self.window, 256),
            ("vectors of a channel's buffer", self.depth, 1 << 16),
        ):
            require(
                is_power_of_two(value) and 2 <= value <= most,
                f"link: {value} {name} is not a power of two in 2..{most}",
            )
        require(1 <= self.channels <= 8, f"link: {self.channels} channels is not in 1..8")
        require(1 <= self.links <= 8, f"link: {self.links} links of a socket is not in 1..8")
        require(
            4 * self.timeout <= self.patience < 1 << 32,
            f"link: a patience of {self.patience} cycles is not in {4 * self.timeout}..2**32 - 1: it must leave time "
            f"to send again four times, every {self.timeout} cycles, the timeout",
        )


@dataclass(frozen=True)
class RDUParams:
    """The whole machine: ``sockets`` of ``tiles`` side by side, each a mesh of ``rows`` x ``columns`` switches.

    Every switch has a PCU and a PMU; those in the first and last column of a tile have an AGCU too.
    """

    name: str
    pcu: PCUParams
    pmu: PMUParams
    rdn: RDNParams
    agcu: AGCUParams
    memory: MemoryParams
    host: HostParams = field(default_factory=HostParams)
    link: LinkParams = field(default_factory=LinkParams)
    rows: int = 2
    columns: int = 2
    tiles: int = 1
    sockets: int = 1

    def __post_init__(self) -> None:
        require(
            self.pcu.lanes == self.pmu.lanes,
            f"{self.name}: PCU has {self.pcu.lanes} lanes and PMU {self.pmu.lanes}: one vector network joins them, "
            "so they must be equal",
        )
        require(
            1 <= self.rows <= 32 and 1 <= self.columns * self.tiles <= 64,
            f"{self.name}: a mesh of {self.rows} x {self.columns * self.tiles} switches is more than 32 x 64",
        )
        require(1 <= self.tiles <= 4, f"{self.name}: {self.tiles} tiles is not in 1..4")
        require(1 <= self.sockets <= 16, f"{self.name}: {self.sockets} sockets is not in 1..16")

    @property
    def lanes(self) -> int:
        return self.pcu.lanes

    @property
    def beat_bytes(self) -> int:
        """Bytes of one vector, the word of the memory system."""
        return self.lanes * ELEMENT_BITS // 8


NANO = RDUParams(
    "nano",
    # one unit for all lanes: four take more than half of an ECP5-85F; a special function in 6 cycles is below 60 MHz
    PCUParams(lanes=4, stages=2, fifo_depth=4, passes=4, arith=ArithParams(special=12)),
    PMUParams(lanes=4, rows=512, groups=2, alu_cycles=3, fifo_depth=4),  # a stage of 2 cycles is below 50 MHz
    RDNParams(flows=4, channels=2, depth=4, token_wires=4, die_latency=0),
    AGCUParams(loads=1, segments=4, alu_cycles=3, outstanding=4, fifo_depth=4),
    MemoryParams(
        hbm=TierParams(channels=1, capacity=1 << 15, latency=2, row_miss=0, turnaround=0),
        ddr=TierParams(channels=1, capacity=1 << 16, beats=(1, 9), latency=4, row_miss=0, turnaround=0),
        queue_depth=2,
        dma_outstanding=2,
    ),
    rows=1,
    columns=2,
)
TEST = RDUParams(
    "test",
    PCUParams(lanes=4, stages=2),
    PMUParams(lanes=4, rows=1024),
    RDNParams(),
    AGCUParams(),
    MemoryParams(
        hbm=TierParams(channels=2, capacity=1 << 20),
        ddr=TierParams(channels=1, capacity=1 << 24, beats=(2, 9), latency=60),
    ),
    rows=2,
    columns=2,
    sockets=2,
)
DEMO = RDUParams(
    "demo",
    PCUParams(lanes=8, stages=4),
    PMUParams(lanes=8, rows=4096),
    RDNParams(),
    AGCUParams(),
    MemoryParams(
        hbm=TierParams(channels=4, capacity=1 << 25),
        ddr=TierParams(channels=1, capacity=1 << 27, beats=(4, 9), latency=60),
    ),
    rows=3,
    columns=4,
    tiles=2,
    sockets=2,
)
SN40L = RDUParams(  # for the bandwidth model only, never elaborated
    "sn40l",
    PCUParams(lanes=32, stages=6),
    PMUParams(lanes=32, rows=8192),  # 512 KiB a PMU
    RDNParams(),
    AGCUParams(),
    MemoryParams(
        hbm=TierParams(channels=16, capacity=1 << 35), ddr=TierParams(channels=2, capacity=1 << 35, beats=(8, 9))
    ),
    link=LinkParams(width=256, timeout=1024),
    rows=20,
    columns=26,
    tiles=2,
    sockets=8,
)

PRESETS = {preset.name: preset for preset in (NANO, TEST, DEMO, SN40L)}


def preset(name: str) -> RDUParams:
    """The preset of that name.

    Raises:
        ParameterError: there is none; the message lists them.
    """
    require(name in PRESETS, f"no preset is called {name!r}: choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
