"""Where everything lies in memory: named regions with lifetimes to addresses in the tiers of one socket.

HBM first. When it is full, what moves the fewest bytes for each byte it holds goes to DDR: regions are placed in order
of traffic a byte, each at the lowest address that no other region alive at the same time takes (the greedy offset
assignment of memory planners; Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from hdl.memory.channel import Tier
from hdl.params import TIER_SHIFT, RDUParams, require

FOREVER = 1 << 62
"""The last launch of what stays."""


@dataclass(frozen=True)
class Need:
    """A region that wants a place.

    Attributes:
        first, last: launches by number, both included, between which it holds something.
        traffic: bytes moved to and from it, in any unit that all regions share.
        tier: where it has to be; None: HBM if there is room.
        address: where it lies already; it is kept free for it.
    """

    name: str
    bytes: int
    first: int = 0
    last: int = FOREVER
    traffic: float = 0.0
    tier: Tier | None = None
    address: int | None = None

    def meets(self, other: "Need") -> bool:
        """Whether both hold something at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class MemoryPlan:
    """The address of every region, and the bytes of each tier from its first to the last that is used."""

    needs: Mapping[str, Need]
    addresses: Mapping[str, int]
    used: Mapping[Tier, int]

    @property
    def spilled(self) -> tuple[str, ...]:
        """Regions that might have been in HBM and are in DDR."""
        free = (name for name, need in self.needs.items() if need.tier is None and need.address is None)
        return tuple(name for name in free if tier_of(self.addresses[name]) is Tier.DDR)


def tier_of(address: int) -> Tier:
    return Tier(address >> TIER_SHIFT)


def plan(params: RDUParams, needs: Iterable[Need]) -> MemoryPlan:
    """Places every region on a granule.

    Raises:
        ParameterError: two regions of one name, a lifetime that ends before it begins, or not enough memory; the
            sentence says how much is missing.
    """
    wanted = tuple(needs)
    _check(wanted)
    tiers = {Tier.HBM: params.memory.hbm.capacity, Tier.DDR: params.memory.ddr.capacity}
    found = _Placing(params).place(wanted, tiers)
    missing = {tier: max(found.used[tier] - tiers[tier], 0) for tier in tiers}
    short = [f"{amount} bytes of {tier.name}" for tier, amount in missing.items() if amount]
    total = sum(need.bytes for need in wanted)
    require(
        not short,
        f"memory plan: {len(wanted)} regions of {total} bytes do not fit {params.name}, which has "
        f"{tiers[Tier.HBM]} bytes of HBM and {tiers[Tier.DDR]} of DDR: {' and '.join(short)} are missing",
    )
    return found


def _check(needs: Sequence[Need]) -> None:
    names = sorted(need.name for need in needs)
    for name, other in pairwise(names):
        require(name != other, f"memory plan: two regions are called {name}")
    for need in needs:
        require(
            need.bytes >= 0 and need.first <= need.last,
            f"memory plan: {need.name} has {need.bytes} bytes and lives from launch {need.first} to {need.last}",
        )


class _Placing:
    """The regions placed so far."""

    def __init__(self, params: RDUParams) -> None:
        self.granule = granule_bytes(params)
        self.placed: dict[Tier, list[tuple[int, Need]]] = {Tier.HBM: [], Tier.DDR: []}  # offset within the tier

    def place(self, needs: Sequence[Need], tiers: Mapping[Tier, int]) -> MemoryPlan:
        """All of them; what fits nowhere goes on beyond the end of the tier it should be in, DDR if it may choose."""
        for need in needs:
            if need.address is not None:
                self.placed[tier_of(need.address)].append((need.address & ((1 << TIER_SHIFT) - 1), need))
        for need in sorted((need for need in needs if need.address is None), key=_urgency):
            places = {tier: self._lowest(tier, need) for tier in (list(Tier) if need.tier is None else [need.tier])}
            fits = [tier for tier, offset in places.items() if offset + need.bytes <= tiers[tier]]
            tier = fits[0] if fits else list(places)[-1]
            self.placed[tier].append((places[tier], need))
        addresses = {need.name: tier.base + offset for tier, regions in self.placed.items() for offset, need in regions}
        used = {
            tier: max((offset + need.bytes for offset, need in regions), default=0)
            for tier, regions in self.placed.items()
        }
        return MemoryPlan({need.name: need for need in needs}, addresses, used)

    def _lowest(self, tier: Tier, need: Need) -> int:
        """The lowest offset at which ``need`` meets no region that lives when it does."""
        offset = 0
        for start, other in sorted((p for p in self.placed[tier] if p[1].meets(need)), key=lambda p: p[0]):
            if offset + need.bytes <= start:
                break
            offset = max(offset, -(-(start + other.bytes) // self.granule) * self.granule)
        return offset


def granule_bytes(params: RDUParams) -> int:
    """What the base of a segment is a multiple of."""
    return params.memory.granule * params.beat_bytes


def _urgency(need: Need) -> tuple[float, int, str]:
    """The busiest byte first; of equals the largest region, which leaves the best gaps."""
    return -need.traffic / max(need.bytes, 1), -need.bytes, need.name
