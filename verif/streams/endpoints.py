"""The two ends a bench puts on a stream: a driver for the design's inputs, a monitor for its outputs.

Both act once a cycle: ``drive`` at the falling edge, ``sample`` when everything has settled after it. What is sampled
is what the rising edge will see, on any simulator.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from verif.streams.payload import describe, encode, width
from verif.streams.ports import BenchError, StreamPort
from verif.streams.rules import PatienceChecker, RuleChecker
from verif.streams.stalls import NEVER


@dataclass
class TransferLog:
    """When transfers happened on one stream since the last reset: counts, and the first lost cycle."""

    count: int = 0
    first: int = 0
    last: int = 0
    bits: int = 0  # of the last payload
    gaps: list[int] = field(default_factory=list)  # cycles after which a cycle passed without a transfer

    def add(self, cycle: int, bits: int) -> None:
        if not self.count:
            self.first = cycle
        elif cycle != self.last + 1:
            self.gaps.append(self.last)
        self.count += 1
        self.last, self.bits = cycle, bits

    @property
    def rate(self) -> float:
        """Transfers a cycle between the first and the last, 1.0 if there were fewer than two."""
        return (self.count - 1) / (self.last - self.first) if self.count > 1 else 1.0


class Endpoint(ABC):
    """What driver and monitor share: the port, the stall pattern, the log of transfers."""

    def __init__(self, port: StreamPort) -> None:
        self.port = port
        self.name = port.spec.name
        self.shape = port.spec.shape
        self.stalls = NEVER
        self.held = False
        self.clear()

    def clear(self) -> None:
        """Forgets everything but the stall pattern, which starts over."""
        self.log = TransferLog()
        self._turn = 0

    @property
    @abstractmethod
    def pending(self) -> int:
        """Payloads still to move."""

    @abstractmethod
    def drive(self, cycle: int, quiet: int) -> None:
        """Drives the bench's side, at the falling edge; ``quiet`` counts cycles since anything moved on any stream."""

    @abstractmethod
    def sample(self, cycle: int) -> bool:
        """Looks at the settled cycle; whether there was a transfer."""

    def last_transfer(self) -> str:
        """For messages: the last transfer on this stream."""
        if not self.log.count:
            return f"{self.name}: none"
        return f"{self.name}: {describe(self.shape, self.log.bits)} in cycle {self.log.last} (number {self.log.count})"

    def _stalled(self) -> bool:
        self._turn += 1
        return self.held or self.stalls.at(self._turn - 1)


class StreamDriver(Endpoint):
    """Sends queued payloads into the design, with random gaps in valid. Between payloads it drives junk."""

    def clear(self) -> None:
        super().clear()
        self._queue: deque[int] = deque()
        self._holding = False
        self._valid: bool | None = None
        self._ready = RuleChecker(self.port)

    def send(self, values: Iterable[Any]) -> None:
        """Queues payloads; each is what :func:`verif.streams.payload.encode` takes."""
        self._queue.extend(encode(self.shape, v) for v in values)

    @property
    def pending(self) -> int:
        """Payloads not yet taken by the design."""
        return len(self._queue)

    def drive(self, cycle: int, quiet: int) -> None:
        del quiet
        self._ready.before_drive(cycle)
        if self._holding:
            return
        self._holding = bool(self._queue) and not self._stalled()
        if self._holding:
            self.port.write_payload(self._queue[0])
        elif self._valid:
            self.port.write_payload(~self.log.bits & ((1 << width(self.shape)) - 1))
        if self._valid is not self._holding:
            self.port.write_valid(self._holding)
            self._valid = self._holding

    def sample(self, cycle: int) -> bool:
        ready = self.port.read_ready()
        self._ready.check_ready(cycle, ready)
        if not (self._holding and ready):
            return False
        self.log.add(cycle, self._queue.popleft())
        self._holding = False
        return True


class StreamMonitor(Endpoint):
    """Takes payloads from the design under random back-pressure and compares them, in order, with what was expected.

    Nothing is compared until :meth:`expect` is first called; ``received`` keeps the bits of every transfer.
    """

    def __init__(self, port: StreamPort) -> None:
        self._patience = PatienceChecker(port)
        super().__init__(port)

    def clear(self) -> None:
        super().clear()
        self.received: list[int] = []
        self._expected: deque[int] | None = None
        self._ready: bool | None = None
        self._rules = RuleChecker(self.port)

    def expect(self, values: Iterable[Any]) -> None:
        """Adds payloads to those that must come, in this order; any other transfer is an error from now on."""
        if self._expected is None:
            self._expected = deque()
        self._expected.extend(encode(self.shape, v) for v in values)

    @property
    def pending(self) -> int:
        """Expected payloads that have not come yet."""
        return len(self._expected or ())

    def drive(self, cycle: int, quiet: int) -> None:
        self._rules.before_drive(cycle, self._patience.active)
        ready = not self._stalled() and (not self._patience.active or self._patience.ready(quiet))
        if ready is not self._ready:
            self.port.write_ready(ready)
            self._ready = ready

    def sample(self, cycle: int) -> bool:
        valid = self.port.read_valid()
        bits = self.port.read_payload() if valid else 0
        ready = bool(self._ready) or self.port.spec.signature.always_ready
        self._rules.check(cycle, valid, bits, ready)
        self._patience.check(cycle, valid, ready)
        if not (valid and ready):
            return False
        self.log.add(cycle, bits)
        self.received.append(bits)
        if self._expected is not None:
            self._compare(cycle, bits)
        return True

    def _compare(self, cycle: int, bits: int) -> None:
        assert self._expected is not None
        where = f"{self.port.what}, transfer {self.log.count} in cycle {cycle}"
        if not self._expected:
            raise BenchError(f"{where}: {describe(self.shape, bits)} was not expected, all expected payloads had come")
        expected = self._expected.popleft()
        if bits != expected:
            raise BenchError(f"{where}: got {describe(self.shape, bits)}, expected {describe(self.shape, expected)}")
