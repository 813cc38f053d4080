"""Nested loops by name: the counters they are in a unit, and the boundaries between them."""

from collections.abc import Mapping
from dataclasses import dataclass

from coe_mapping.assembler import address, pcu


@dataclass(frozen=True)
class Loops:
    """Loops, outermost first; made by :func:`loops`. A name stands for one counter."""

    limits: Mapping[str, int]

    @property
    def count(self) -> int:
        """Iterations of all of them."""
        product = 1
        for limit in self.limits.values():
            product *= limit
        return product

    def each(self, name: str) -> int:
        """The boundary that is reached once in every iteration of loop ``name``."""
        return list(self.limits).index(name) + 1

    @property
    def every(self) -> int:
        """The boundary that every iteration reaches."""
        return len(self.limits)

    def pcu(self, **strides: int) -> tuple[pcu.Counter, ...]:
        """Counters of a PCU; a loop without a stride counts for nothing in values."""
        return tuple(pcu.Counter(limit, strides.get(name, 0)) for name, limit in self.limits.items())

    def addresses(self, strides: Mapping[str, int]) -> tuple[address.Counter, ...]:
        """Counters of an address pipeline."""
        return tuple(address.Counter(limit, strides.get(name, 0)) for name, limit in self.limits.items())

    def __add__(self, inner: "Loops") -> "Loops":
        return Loops({**self.limits, **inner.limits})


def loops(**limits: int) -> Loops:
    """``loops(row=8, chunk=4)``: for each row, for each chunk."""
    return Loops(limits)
