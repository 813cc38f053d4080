"""When an endpoint holds back: a pattern that is one integer, so that a property test shrinks it to "never"."""

import random
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Stalls:
    """Bit k of ``pattern`` says whether the endpoint stalls in its cycle k; the pattern repeats.

    The period is one longer than the pattern's highest set bit, so every period has a cycle without a stall and nothing
    waits for ever. ``Stalls(0)`` never stalls.
    """

    pattern: int = 0

    @cached_property
    def period(self) -> int:
        return self.pattern.bit_length() + 1

    def at(self, cycle: int) -> bool:
        """Whether cycle ``cycle`` is a stall."""
        return bool(self.pattern) and bool(self.pattern >> cycle % self.period & 1)

    @classmethod
    def random(cls, rng: random.Random, probability: float, period: int = 256) -> "Stalls":
        """A pattern of about ``period`` cycles in which each stalls with ``probability``."""
        return cls(sum((rng.random() < probability) << k for k in range(period)))


NEVER = Stalls()
