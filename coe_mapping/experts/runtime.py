"""The decisions of a composition at run time: which prompt, which expert to copy, where to, and whom to evict.

It drives nothing. Whoever runs it (a model of time, or a device) asks for the next prompt and the next copy, and says
when they are done; so the same decisions are measured, tested and carried out. ::

    submit ─> [waiting] ─ start ─> running ─ finish ─>
                 │
                 └ copy ─> copying ─ copied ─> resident
"""

from collections.abc import Iterable
from dataclasses import dataclass

from coe_mapping.experts.composition import CompositionError
from coe_mapping.experts.residency import Expert, Homes, Region, Residency, Worth
from coe_mapping.experts.scheduler import Request, Scheduler, Strategy

NEVER = float("-inf")


@dataclass(frozen=True)
class Transfer:
    """Bytes that the tier DMA moves."""

    source: int
    destination: int
    bytes: int


@dataclass(frozen=True)
class Copy:
    """An expert on its way from DDR to HBM; before it, ``back``, what runs have changed of those it ``evicts``."""

    expert: Expert
    fetch: Transfer
    back: tuple[Transfer, ...]
    evicts: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        return self.fetch.bytes + sum(transfer.bytes for transfer in self.back)


class Runtime:
    """A composition at work.

    Args:
        experts: in DDR from the beginning, as far as they fit.
        pinned: names of those that are always in HBM; they are there from the beginning.
        granule: bytes that addresses are multiples of.

    Attributes:
        refused: a sentence for each expert that cannot be used.
    """

    def __init__(
        self,
        experts: Iterable[Expert],
        strategy: Strategy,
        *,
        ddr: Region,
        hbm: Region,
        granule: int,
        pinned: Iterable[str] = (),
    ) -> None:
        self.strategy = strategy
        self.experts: dict[str, Expert] = {}
        self.refused: dict[str, str] = {}
        self.homes = Homes(ddr, granule)
        everyone = list(experts)
        fixed = set(pinned)
        self.residency = Residency(hbm, granule, [expert for expert in everyone if expert.name in fixed])
        self.scheduler = Scheduler(strategy)
        for expert in everyone:
            try:
                self.residency.check(expert)
                self.homes.add(expert)
            except CompositionError as error:
                self.refused[expert.name] = str(error)
            else:
                self.experts[expert.name] = expert
        self.running: Request | None = None
        self.copying: Copy | None = None
        self._last: str | None = None  # expert that ran last
        self._used: dict[str, int] = {}  # when each ran last, in prompts
        self._prompts = 0

    def submit(self, number: int, expert: str) -> Request:
        """A prompt for an expert; it waits from now on.

        Raises:
            CompositionError: there is no such expert, or it was refused.
        """
        if expert in self.refused:
            raise CompositionError(self.refused[expert])
        if expert not in self.experts:
            raise CompositionError(f"prompt {number} is for expert {expert}, which the composition does not have")
        request = Request(number, expert)
        self.scheduler.submit(request)
        return request

    def next(self) -> Request | None:
        """The prompt that runs next, as things are now."""
        return self.scheduler.next(self._last, self.resident)

    def resident(self, expert: str) -> bool:
        """Whether an expert is in HBM, all of it."""
        return expert in self.residency and (self.copying is None or self.copying.expert.name != expert)

    def start(self) -> Request | None:
        """Begins the next prompt, if its expert is resident and nothing runs."""
        request = self.next()
        if self.running is not None or request is None or not self.resident(request.expert):
            return None
        self.scheduler.start(request)
        self.running, self._last = request, request.expert
        self._prompts += 1
        self._used[request.expert] = self._prompts
        return request

    def finish(self) -> None:
        """What runs has ended."""
        self.running = None

    def copy(self) -> Copy | None:
        """Begins the next copy, if one is wanted and has a place; from now on its victims are gone."""
        chosen = self.next()
        if self.copying is not None or chosen is None:
            return None
        if not self.resident(chosen.expert):
            return self._begin(chosen.expert, place=None) if self._may_copy else None
        if not self.strategy.overlap:
            return None
        missing = ((name, place) for name, place in self.scheduler.uses().items() if name not in self.residency)
        first = next(missing, None)  # whoever comes later does not go before it: a large one would wait for ever
        return None if first is None else self._begin(*first)

    def copied(self, *, sound: bool = True) -> list[Request]:
        """The copy has ended. If the expert is not ``sound``, it is refused, and so are those who wait for it."""
        copy, self.copying = self.copying, None
        assert copy is not None, "no copy was under way"
        if sound:
            return []
        name = copy.expert.name
        self.residency.remove(name)
        self.refused[name] = (
            f"expert {name} is refused: what was copied from DDR address {copy.fetch.source:#x} does not have its "
            "checksum; store the expert again"
        )
        return self.scheduler.withdraw(name)

    @property
    def _may_copy(self) -> bool:
        return self.strategy.overlap or self.running is None

    def _begin(self, name: str, place: int | None) -> Copy | None:
        """A copy of an expert. ``place``: in the queue, of the first prompt for it; nobody who is needed sooner is
        evicted for it. None: it is needed next, and anybody is."""
        expert, uses = self.experts[name], self.scheduler.uses()
        chosen = self.next()
        needed = {request.expert for request in (self.running, chosen) if request is not None}

        def worth(other: str) -> Worth | None:
            use = uses.get(other)
            if other in needed or (use is not None and place is not None and use < place):
                return None
            return (NEVER if use is None else -float(use), float(self._used.get(other, 0)))

        window = self.residency.window(expert, worth)
        if window is None:
            return None
        back = tuple(self._back(self.experts[victim]) for victim in window.victims if self.experts[victim].mutable)
        self.residency.place(expert, window)
        fetch = Transfer(self.homes.addresses[name], window.address, expert.bytes)
        self.copying = Copy(expert, fetch, back, window.victims)
        return self.copying

    def _back(self, victim: Expert) -> Transfer:
        """What its runs have changed, to where it came from."""
        home, block = self.homes.addresses[victim.name], self.residency.block(victim.name)
        return Transfer(block.end - victim.mutable, home + victim.bytes - victim.mutable, victim.mutable)
