"""A composition in time: prompts arrive, experts are copied, the machine runs one prompt after the other.

Two things work side by side, the machine and whatever copies experts; time jumps from one event to the next. Cycles are
of the machine's clock, or any other unit, if all times share it.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count

import numpy as np

from coe_mapping.experts.composition import CompositionError
from coe_mapping.experts.runtime import Copy, Runtime
from coe_mapping.experts.scheduler import Request
from hdl.params import RDUParams, require


@dataclass(frozen=True)
class Link:
    """What experts are copied over: bytes a cycle, and cycles before the first of them."""

    bandwidth: float
    latency: float = 0.0

    def cycles(self, size: int) -> float:
        return self.latency + size / self.bandwidth if size else 0.0


def tier_dma(params: RDUParams) -> Link:
    """DDR to HBM by the tier DMA: all of DDR's bandwidth (measured: 0.997 of it, ``docs/memory.md``)."""
    ddr, hbm = params.memory.ddr, params.memory.hbm
    beats = ddr.channels * ddr.beats[0] / ddr.beats[1]
    return Link(beats * params.beat_bytes, ddr.latency + hbm.latency)


def host_links(params: RDUParams, ratio: float, links: int = 1) -> Link:
    """Experts in the host's memory: ``links`` links, each with 1 / ``ratio`` of the bandwidth that DDR has here.

    The paper's ratios are 31 and 15.5, one link of 32 or 64 GB/s beside a node's 992 GB/s from DDR to HBM.

    Raises:
        ParameterError: no link, or no bandwidth.
    """
    require(ratio > 0 and links >= 1, f"host links: {links} links at a ratio of {ratio}: give one link at least")
    dma = tier_dma(params)
    return Link(dma.bandwidth / ratio * links, dma.latency + params.host.launch_latency)


@dataclass(frozen=True)
class Prompt:
    """A prompt of a trace: when it comes, the expert it is for, and the cycles that expert takes for it."""

    arrival: float
    expert: str
    cycles: float


@dataclass(frozen=True)
class Served:
    """What became of a prompt. Times since the trace began.

    Attributes:
        hit: its expert was not copied for it.
        copied: cycles that the copy of its expert took; 0 for a hit.
        stalled: cycles that the machine did nothing but wait for that copy.
        overtaken: prompts that came later and ran before it.
    """

    number: int
    prompt: Prompt
    hit: bool
    start: float
    end: float
    copied: float
    stalled: float
    overtaken: int

    @property
    def waited(self) -> float:
        return self.start - self.prompt.arrival

    @property
    def latency(self) -> float:
        return self.end - self.prompt.arrival


@dataclass
class Outcome:
    """A trace that was served.

    Attributes:
        refused: prompts whose expert could not be used, by number, each with a sentence.
        switching: cycles that copies took. stalled: of which the machine had to wait, with nothing to run.
    """

    served: list[Served] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    switching: float = 0.0
    stalled: float = 0.0

    @property
    def cycles(self) -> float:
        """From the first arrival to the last end."""
        return max(s.end for s in self.served) - min(s.prompt.arrival for s in self.served) if self.served else 0.0

    @property
    def hit_rate(self) -> float:
        return sum(s.hit for s in self.served) / len(self.served) if self.served else 0.0

    @property
    def hidden(self) -> float:
        """Share of switching behind which something ran; 1 if nothing was switched."""
        return max(0.0, 1.0 - self.stalled / self.switching) if self.switching else 1.0

    @property
    def most_overtaken(self) -> int:
        return max((s.overtaken for s in self.served), default=0)

    def latency(self, percentile: float) -> float:
        """Of a prompt, arrival to end."""
        return float(np.percentile([s.latency for s in self.served], percentile)) if self.served else 0.0


def simulate(
    runtime: Runtime,
    trace: Sequence[Prompt],
    link: Link,
    *,
    router: float = 0.0,
    together: bool = True,
    corrupt: Collection[str] = frozenset(),
) -> Outcome:
    """Serves a trace.

    Args:
        runtime: fresh.
        router: cycles that the machine takes to find the expert of a prompt. It does so before it runs another one, for
            all prompts that have come; meanwhile an expert is copied only if copies overlap.
        together: it reads all of them at once, so that no expert is known before all are.
        corrupt: experts whose checksum turns out to be wrong when they are copied.
    """
    return _Simulation(runtime, trace, link, router, together, corrupt).run()


class _Simulation:
    """Events in order of time; at each moment first all that ends, then all that can begin."""

    def __init__(
        self,
        runtime: Runtime,
        trace: Sequence[Prompt],
        link: Link,
        router: float,
        together: bool,
        corrupt: Collection[str],
    ) -> None:
        self.runtime, self.trace, self.link, self.router, self.corrupt = runtime, trace, link, router, corrupt
        self.together = together
        self.now = 0.0
        self.busy = False  # the machine
        self.routing = False
        self.unrouted: list[int] = []  # prompts that have come and have no expert yet
        self.stall = 0.0  # of the machine, since it began a prompt
        self.fetched: dict[str, float] = {}  # cycles of copies that no prompt has had yet
        self.outcome = Outcome()
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        for number, prompt in enumerate(trace):
            self._at(prompt.arrival, partial(self._arrive, number))

    def run(self) -> Outcome:
        while self._events:
            time = self._events[0][0]
            if not self.busy and self.runtime.scheduler.waiting:
                self.stall += time - self.now
            self.now = time
            while self._events and self._events[0][0] == time:
                heappop(self._events)[2]()
            self._begin()
        assert not self.runtime.scheduler.waiting, "prompts wait, and nothing happens any more"
        self.outcome.served.sort(key=lambda served: served.number)
        return self.outcome

    def _at(self, time: float, action: Callable[[], None]) -> None:
        heappush(self._events, (time, next(self._numbers), action))

    def _begin(self) -> None:
        if not self.busy and self.unrouted:
            self._route()
        if not self.busy and (request := self.runtime.start()) is not None:
            self._run(request)
        if self.routing and not self.runtime.strategy.overlap:
            return
        if (copy := self.runtime.copy()) is not None:
            self._at(self.now + self.link.cycles(copy.bytes), partial(self._copied, copy))

    def _arrive(self, number: int) -> None:
        self.unrouted.append(number)

    def _route(self) -> None:
        count = len(self.unrouted) if self.together or not self.router else 1
        numbers, self.unrouted = self.unrouted[:count], self.unrouted[count:]
        if self.router:
            self.busy = self.routing = True
            self._at(self.now + self.router * count, partial(self._routed, numbers))
        else:
            self._routed(numbers)

    def _routed(self, numbers: Sequence[int]) -> None:
        self.busy, self.routing = False, bool(self.unrouted)
        for number in numbers:
            try:
                self.runtime.submit(number, self.trace[number].expert)
            except CompositionError as error:
                self.outcome.refused[number] = str(error)

    def _run(self, request: Request) -> None:
        self.busy = True
        prompt, copied = self.trace[request.number], self.fetched.pop(request.expert, 0.0)
        end = self.now + prompt.cycles
        self.outcome.served.append(
            Served(request.number, prompt, not copied, self.now, end, copied, self.stall, request.overtaken)
        )
        self.outcome.stalled += self.stall
        self.stall = 0.0
        self._at(end, self._finish)

    def _finish(self) -> None:
        self.busy = False
        self.runtime.finish()

    def _copied(self, copy: Copy) -> None:
        cycles, name = self.link.cycles(copy.bytes), copy.expert.name
        self.outcome.switching += cycles
        self.fetched[name] = cycles
        for request in self.runtime.copied(sound=name not in self.corrupt):
            self.outcome.refused[request.number] = self.runtime.refused[name]
