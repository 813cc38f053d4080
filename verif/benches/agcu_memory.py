"""A memory behind a requester's port, for block benches: answers in any order, late, and checks what it is asked.

It is as unkind as the port allows. A read sees the memory as it is when the request comes, a write is made when it is
answered: whoever reads before the answer to a write sees the old data. Only requests to one granule keep their order.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.memory.port import request_layout
from hdl.params import ELEMENT_BITS, TIER_SHIFT, RDUParams
from verif.streams import Bench, BenchError
from verif.streams.endpoints import Endpoint, StreamMonitor

Bytes = NDArray[np.uint8]


@dataclass
class Burst:
    """A request under way; ``due``: the first cycle in which it may be answered."""

    address: int
    beats: int
    tag: int
    write: bool
    due: int
    data: list[tuple[int, int]] = field(default_factory=list)  # data and strobe of a write's beats, data of a read's


@dataclass(frozen=True)
class Range:
    """Bytes that may be touched."""

    first: int
    end: int
    write: bool


class MemoryResponder(Endpoint):
    """Answers the port ``memory`` of a bench's design; an endpoint of the bench.

    - ``latency``: draws the cycles from a request to the first of them in which it may be answered.
    - ``in_order``: answers in the order of requests. ``fails(burst)``: whether it is answered with an error.
    - ``allowed``: what may be touched; None: everything there is.
    """

    def __init__(self, bench: Bench, params: RDUParams, port: str = "memory") -> None:
        self.bench, self.params = bench, params
        self.rng = random.Random(bench.rng.getrandbits(32))
        self.requests: StreamMonitor = bench.monitors[f"{port}__request"]
        self.answers = f"{port}__response"
        self.fields = {str(name): (f.offset, (1 << f.width) - 1) for name, f in request_layout(params)}
        self.tiers: dict[int, Bytes] = {}
        self.latency: Callable[[], int] = lambda: 0
        self.in_order = False
        self.fails: Callable[[Burst], bool] = lambda _: False
        self.allowed: Sequence[Range] | None = None
        super().__init__(self.requests.port)
        self.name = port
        bench.endpoints.append(self)

    def clear(self) -> None:
        super().clear()
        self.seen = 0
        self.waiting: list[Burst] = []
        self.half: Burst | None = None
        self.most = 0
        self.served: list[Burst] = []

    @property
    def pending(self) -> int:
        """Requests not yet answered."""
        return len(self.waiting) + (self.half is not None)

    def last_transfer(self) -> str:
        return f"{self.name}: {len(self.served)} answered, {self.pending} waiting"

    def drive(self, cycle: int, quiet: int) -> None:
        """Nothing: answers go through the driver of the response stream."""

    def sample(self, cycle: int) -> bool:
        new = self.requests.received[self.seen :]
        self.seen += len(new)
        if self.half is not None and not new and not self.requests.port.read_valid():
            raise BenchError(f"{self.name}: cycle {cycle}: a gap in the write burst to {self.half.address:#x}")
        for bits in new:
            self._take(cycle, bits)
        if self.bench.drivers[self.answers].pending < 2 and self.waiting:
            self._answer(cycle)
        return False

    def _take(self, cycle: int, bits: int) -> None:
        f = {name: bits >> offset & mask for name, (offset, mask) in self.fields.items()}
        burst = self.half
        if burst is None:
            burst = Burst(f["address"], f["length"] + 1, f["tag"], bool(f["write"]), 0)
            self._check(cycle, burst)
        same = (burst.address, burst.beats, burst.tag, burst.write)
        if same != (f["address"], f["length"] + 1, f["tag"], bool(f["write"])):
            raise BenchError(f"{self.name}: cycle {cycle}: flits of two requests are mixed: {same}, {f}")
        if burst.write:
            burst.data.append((f["data"], f["strobe"]))
        last = not burst.write or len(burst.data) == burst.beats
        if bool(f["last"]) is not last:
            raise BenchError(f"{self.name}: cycle {cycle}: last is {f['last']} in flit {len(burst.data)} of {burst}")
        self.half = None if last else burst
        if last:
            burst.due = cycle + self.latency()
            if not burst.write:
                burst.data = [(value, 0) for value in self._read(burst)]
            self.waiting.append(burst)
            self.most = max(self.most, len(self.waiting))

    def _check(self, cycle: int, burst: Burst) -> None:
        beat, granule = self.params.beat_bytes, self.params.beat_bytes * self.params.memory.granule
        end = burst.address + burst.beats * beat
        what = f"{self.name}: cycle {cycle}: burst of {burst.beats} beats at {burst.address:#x}"
        if burst.address % beat or burst.address // granule != (end - 1) // granule:
            raise BenchError(f"{what} is not aligned to a beat, or crosses a granule")
        if any(other.tag == burst.tag for other in self.waiting):
            raise BenchError(f"{what}: tag {burst.tag} is under way already")
        allowed = self.allowed
        if allowed is not None and not any(
            r.first <= burst.address and end <= r.end and r.write is burst.write for r in allowed
        ):
            raise BenchError(f"{what} ({'write' if burst.write else 'read'}) touches what it must not")

    def _answer(self, cycle: int) -> None:
        """Makes one burst that is due, if any, and queues its answer."""
        granule = self.params.beat_bytes * self.params.memory.granule
        ready: list[Burst] = []
        before: set[int] = set()
        for burst in self.waiting:
            place = burst.address // granule
            if burst.due <= cycle and place not in before:
                ready.append(burst)
            elif self.in_order:
                break
            before.add(place)
        if not ready:
            return
        burst = ready[0] if self.in_order else self.rng.choice(ready)
        self.waiting.remove(burst)
        self.served.append(burst)
        wrong = self.fails(burst)
        bad = self.rng.randrange(burst.beats) if wrong else None  # the beat with the error
        answer: dict[str, Any] = {"tag": burst.tag, "write": burst.write}
        if burst.write:
            self._write(burst)
            self.bench.send(self.answers, [{**answer, "error": wrong, "data": self.rng.getrandbits(16), "last": 1}])
        else:
            for k, (value, _) in enumerate(burst.data):
                flit = {**answer, "error": k == bad, "data": value, "last": k == burst.beats - 1}
                self.bench.send(self.answers, [flit])

    def _place(self, address: int) -> tuple[Bytes, int]:
        return self.tiers[address >> TIER_SHIFT], address & ((1 << TIER_SHIFT) - 1)

    def _read(self, burst: Burst) -> list[int]:
        tier, start = self._place(burst.address)
        beat = self.params.beat_bytes
        beats = (tier[start + k * beat : start + (k + 1) * beat] for k in range(burst.beats))
        return [int.from_bytes(data.tobytes(), "little") for data in beats]

    def _write(self, burst: Burst) -> None:
        tier, start = self._place(burst.address)
        size = ELEMENT_BITS // 8
        for k, (value, strobe) in enumerate(burst.data):
            for lane in range(self.params.lanes):
                if strobe >> lane & 1:
                    place = start + k * self.params.beat_bytes + lane * size
                    element = value >> lane * ELEMENT_BITS & ((1 << ELEMENT_BITS) - 1)
                    tier[place : place + size] = np.frombuffer(element.to_bytes(size, "little"), np.uint8)
