"""Which prompt runs next. No device and no time here: who waits, in which order they came, and a rule.

Whatever the rule, at most ``bound`` prompts that came later run before a prompt. It is enough to look at the oldest:
whoever overtakes one that waits overtakes all that came before it, so nobody has been overtaken more often than the
oldest. When that one has reached the bound, it is next.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.params import require

ALL = 1 << 62
"""As a bound: prompts may be overtaken for ever. As a number of prompts looked at: all of them."""


class Order(enum.Enum):
    """Which of the prompts that wait is next.

    - ``ARRIVAL``: the oldest, as in the paper.
    - ``GROUPED``: the oldest for the expert that ran last; if none waits for it, the oldest.
    - ``RESIDENT``: as ``GROUPED``; before that falls back to the oldest, the oldest whose expert is resident.
    """

    ARRIVAL = "arrival"
    GROUPED = "grouped"
    RESIDENT = "resident"


@dataclass(frozen=True)
class Strategy:
    """How prompts and experts are chosen.

    Attributes:
        ahead: how many of the prompts that wait are looked at, oldest first, to choose the next prompt, whom to evict,
            and what to copy. With 0 the next prompt is the oldest, and the expert evicted is the least recently used.
        overlap: experts are copied while others run; else only when the machine waits for them.
        bound: how many later prompts may run before a prompt.
    """

    name: str
    order: Order = Order.ARRIVAL
    ahead: int = 0
    overlap: bool = False
    bound: int = ALL

    def __post_init__(self) -> None:
        require(
            self.ahead >= 0 and self.bound >= 0,
            f"strategy {self.name}: it looks at {self.ahead} prompts and lets {self.bound} overtake one: neither "
            "can be below 0",
        )


@dataclass
class Request:
    """A prompt that waits for an expert. ``overtaken``: by how many that came later."""

    number: int
    expert: str
    overtaken: int = 0


@dataclass
class Scheduler:
    """The prompts that wait, oldest first."""

    strategy: Strategy
    waiting: list[Request] = field(default_factory=list, init=False)
    _uses: dict[str, int] | None = field(default=None, init=False)  # as long as the queue stays as it is

    def submit(self, request: Request) -> None:
        """It waits from now on."""
        self.waiting.append(request)
        self._uses = None

    def next(self, last: str | None, resident: Callable[[str], bool]) -> Request | None:
        """The prompt to run next; it goes on waiting. ``last``: the expert that runs, or ran last."""
        if not self.waiting:
            return None
        oldest = self.waiting[0]
        if self.strategy.order is Order.ARRIVAL or oldest.overtaken >= self.strategy.bound:
            return oldest
        seen = self.waiting[: max(self.strategy.ahead, 1)]
        if last is not None and resident(last):
            same = next((request for request in seen if request.expert == last), None)
            if same is not None:
                return same
        if self.strategy.order is Order.RESIDENT:
            return next((request for request in seen if resident(request.expert)), oldest)
        return oldest

    def start(self, request: Request) -> None:
        """It waits no more; those that came before it were overtaken."""
        at = next(i for i, other in enumerate(self.waiting) if other is request)
        for other in self.waiting[:at]:
            other.overtaken += 1
        del self.waiting[at]
        self._uses = None

    def uses(self) -> dict[str, int]:
        """The experts that the prompts looked at are for, each with the place in the queue of the first."""
        if self._uses is None:
            self._uses = {}
            for place, request in enumerate(self.waiting[: self.strategy.ahead]):
                self._uses.setdefault(request.expert, place)
        return self._uses

    def withdraw(self, expert: str) -> list[Request]:
        """The prompts for an expert wait no more."""
        gone = [request for request in self.waiting if request.expert == expert]
        self.waiting = [request for request in self.waiting if request.expert != expert]
        self._uses = None
        return gone
