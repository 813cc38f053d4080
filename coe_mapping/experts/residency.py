"""Which experts lie where: all of them in DDR, the current ones in a region of HBM.

An expert is one run of bytes, because its kernels are given addresses and no page table. In HBM it may therefore have
room enough and still not fit, when the room is in pieces. So victims are never chosen one by one: the cheapest *window*
is, the run of bytes whose experts are the least worth keeping. Between experts of one size that is exactly the policy
that ranks them. Pinned experts lie at the beginning of the region, placed once, so they cut nothing in pieces.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from coe_mapping.experts.composition import CompositionError

Worth = tuple[float, ...]
"""What an expert is worth keeping; the greater stays."""


@dataclass(frozen=True)
class Expert:
    """What the tiers know of an expert.

    Attributes:
        bytes: of all its segments.
        mutable: of the segments at its end, which a run changes: they are copied back before their place is given away.
            Those before them are read only and never are.
    """

    name: str
    bytes: int
    mutable: int = 0


@dataclass(frozen=True)
class Region:
    """A run of bytes in a tier."""

    base: int
    bytes: int

    @property
    def end(self) -> int:
        return self.base + self.bytes


@dataclass(frozen=True)
class Window:
    """A place for an expert, and who has to go for it."""

    address: int
    victims: tuple[str, ...]
    worth: Worth  # of the victims, the most valuable first


class Homes:
    """Where each expert lies in DDR: one behind the other, for good.

    Args:
        granule: bytes that addresses are multiples of.
    """

    def __init__(self, region: Region, granule: int) -> None:
        self.region, self.granule = region, granule
        self.addresses: dict[str, int] = {}
        self._end = _aligned(region.base, granule)

    def add(self, expert: Expert) -> int:
        """Its address.

        Raises:
            CompositionError: it is there already, or DDR is full.
        """
        if expert.name in self.addresses:
            raise CompositionError(f"expert {expert.name} is in DDR already: give the other one another name")
        free = max(self.region.end - self._end, 0)
        if expert.bytes > free:
            raise CompositionError(
                f"expert {expert.name} of {expert.bytes:,} bytes does not fit DDR, of whose {self.region.bytes:,} "
                f"bytes {free:,} are free: take experts out of the composition, or use a machine with more DDR"
            )
        address = self._end
        self.addresses[expert.name] = address
        self._end = _aligned(address + expert.bytes, self.granule)
        return address


class Residency:
    """The experts in a region of HBM.

    Args:
        pinned: experts that are placed first and never leave.

    Raises:
        CompositionError: the pinned ones do not fit.
    """

    def __init__(self, region: Region, granule: int, pinned: Iterable[Expert] = ()) -> None:
        self.region, self.granule = region, granule
        self.pinned: set[str] = set()
        self._blocks: dict[str, Region] = {}  # in order of address
        for expert in pinned:
            address = self._starts()[-1]
            if address + expert.bytes > region.end:
                raise CompositionError(
                    f"pinned expert {expert.name} of {expert.bytes:,} bytes does not fit the {region.bytes:,} bytes of "
                    "HBM for experts beside those pinned before it: pin fewer, or give experts more of HBM"
                )
            self.place(expert, Window(address, (), ()))
            self.pinned.add(expert.name)
        self._first = self._starts()[-1]

    def __contains__(self, name: str) -> bool:
        return name in self._blocks

    def __iter__(self) -> Iterator[str]:
        return iter(self._blocks)

    def block(self, name: str) -> Region:
        """Where a resident expert lies."""
        return self._blocks[name]

    def check(self, expert: Expert) -> None:
        """Whether there is a place for it when nothing else is there but what is pinned.

        Raises:
            CompositionError: there is not.
        """
        most = max(self.region.end - self._first, 0)
        if expert.bytes > most and expert.name not in self.pinned:
            raise CompositionError(
                f"expert {expert.name} of {expert.bytes:,} bytes is larger than the {most:,} bytes of HBM for experts "
                "that are not pinned: give experts more of HBM, or take it out of the composition"
            )

    def window(self, expert: Expert, worth: Callable[[str], Worth | None]) -> Window | None:
        """The cheapest place for an expert, or None if there is none now.

        A window is as dear as its dearest expert, then its next, and so on: an empty one is the cheapest. Of equals the
        lowest is taken. It begins where the window before it could not be moved down any further, at the end of a
        block.

        Args:
            worth: of a resident expert; None: it has to stay.
        """
        blocks = list(self._blocks.items())
        worths = [None if name in self.pinned else worth(name) for name, _ in blocks]
        best: Window | None = None
        for first, start in enumerate(self._starts()):  # behind block first - 1
            end = start + expert.bytes
            if end > self.region.end:
                break
            window = self._taken(start, end, blocks, worths, first)
            if window is not None and (best is None or window.worth < best.worth):
                best = window
        return best

    def place(self, expert: Expert, window: Window) -> None:
        """Puts an expert into a window that :meth:`window` gave; its victims are gone."""
        for name in window.victims:
            del self._blocks[name]
        self._blocks[expert.name] = Region(window.address, expert.bytes)
        self._blocks = dict(sorted(self._blocks.items(), key=lambda item: item[1].base))

    def remove(self, name: str) -> None:
        """An expert that is resident leaves."""
        del self._blocks[name]

    def _starts(self) -> list[int]:
        """The beginning of the region, and the end of every block, on granules."""
        ends = [block.end for block in self._blocks.values()]
        return [_aligned(end, self.granule) for end in (self.region.base, *ends)]

    def _taken(
        self, start: int, end: int, blocks: list[tuple[str, Region]], worths: list[Worth | None], first: int
    ) -> Window | None:
        """The window from ``start`` to ``end``, behind the first ``first`` blocks."""
        victims: list[tuple[Worth, str]] = []
        for i in range(first, len(blocks)):
            (name, block), value = blocks[i], worths[i]
            if block.base >= end:
                break
            if value is None:
                return None
            victims.append((value, name))
        victims.sort(reverse=True)
        return Window(start, tuple(name for _, name in victims), tuple(v for value, _ in victims for v in value))


def _aligned(address: int, granule: int) -> int:
    return -(-address // granule) * granule
