"""The bench of a component: clock, reset, an endpoint and the rules on every stream, a watchdog."""

import random
from collections.abc import Callable, Iterable
from typing import Any

import cocotb
from amaranth.lib import wiring
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly

from verif.sim.runner import bench_parameters
from verif.streams.endpoints import Endpoint, StreamDriver, StreamMonitor
from verif.streams.ports import BenchError, StreamPort, plain_inputs_of, streams_of
from verif.streams.stalls import Stalls

PERIOD_NS = 10


class Bench:
    """Drives and checks one design under test; made by :meth:`start`.

    ::

        bench = await Bench.start(dut, design)
        bench.stall("o", Stalls.random(bench.rng, 0.5))
        bench.send("i", operands)
        bench.expect("o", results)
        await bench.finish()

    The coroutine of the test is what advances time, by :meth:`step`, :meth:`until` and :meth:`finish`; it always runs
    at a falling edge, where ports may be written. So an error in any checker is raised where the test waits, and a
    property test in the same simulator can catch it and shrink.

    Every stream of the component's signature gets a driver or a monitor, and the rules of :mod:`verif.streams.rules`.
    """

    def __init__(self, dut: Any, component: wiring.Component, watchdog: int, limit: int) -> None:
        self.dut = dut
        self.component = component
        self.name = str(dut._name)
        self.watchdog = watchdog
        self.rng = random.Random(cocotb.RANDOM_SEED)
        ports = [StreamPort(dut, spec, self.name) for spec in streams_of(component.signature)]
        self.drivers = {p.spec.name: StreamDriver(p) for p in ports if not p.spec.from_design}
        self.monitors = {p.spec.name: StreamMonitor(p) for p in ports if p.spec.from_design}
        self.endpoints: list[Endpoint] = [*self.drivers.values(), *self.monitors.values()]
        self.cycle = 0
        self._quiet = 0
        self._left = limit
        self._reset = getattr(dut, "rst", None)
        self._falling = FallingEdge(dut.clk)
        self._settled = ReadOnly()

    @classmethod
    async def start(
        cls, dut: Any, design: Callable[..., wiring.Component], *, watchdog: int = 2000, limit: int = 1_000_000
    ) -> "Bench":
        """Starts the clock, drives every input to zero, resets.

        Args:
            design: the bench module's function; called with the parameters given to ``run_bench``.
            watchdog: cycles without a transfer on any stream after which waiting is an error.
            limit: cycles in all after which anything is.
        """
        bench = cls(dut, design(**bench_parameters()), watchdog, limit)
        Clock(dut.clk, PERIOD_NS, "ns").start(start_high=False)
        for name in plain_inputs_of(bench.component.signature):
            getattr(dut, name).value = 0
        await bench.reset()
        return bench

    async def reset(self, cycles: int = 2) -> None:
        """Holds reset for ``cycles`` with every stream idle, and forgets all that was queued, expected or seen.

        Stall patterns stay, and start over. Memories keep their contents.
        """
        for endpoint in self.endpoints:
            endpoint.clear()
        for driver in self.drivers.values():
            driver.port.write_valid(False)
            driver.port.write_payload(0)
        for monitor in self.monitors.values():
            monitor.port.write_ready(False)
        if self._reset is not None:
            self._reset.value = 1
        for _ in range(cycles):
            await self._falling
        if self._reset is not None:
            self._reset.value = 0
        self.cycle = self._quiet = 0

    def stall(self, name: str, stalls: Stalls) -> None:
        """Sets when the endpoint of a stream holds back: gaps in valid of an input, back-pressure on an output."""
        self._endpoint(name).stalls = stalls

    def hold(self, name: str) -> None:
        """Holds back the endpoint of a stream altogether, until :meth:`release`."""
        self._endpoint(name).held = True

    def release(self, name: str) -> None:
        """Lets the endpoint of a stream follow its stall pattern again."""
        self._endpoint(name).held = False

    def send(self, name: str, values: Iterable[Any]) -> None:
        """Queues payloads for an input stream."""
        self._driver(name).send(values)

    def expect(self, name: str, values: Iterable[Any]) -> None:
        """Adds payloads to those an output stream must deliver, in order and nothing else."""
        self._monitor(name).expect(values)

    async def step(self, cycles: int = 1) -> None:
        """Advances the clock.

        Raises:
            BenchError: a payload was wrong, or a stream rule was broken.
        """
        for _ in range(cycles):
            await self._cycle()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Advances until ``condition()``.

        Raises:
            BenchError: nothing moved on any stream for ``watchdog`` cycles; the message says what was waited for and
                the last transfer on each stream.
        """
        self._quiet = 0
        while not condition():
            if self._quiet >= self.watchdog:
                raise BenchError(self._expired(f"nothing moved for {self.watchdog} cycles", what))
            await self._cycle()

    async def finish(self, *, floors: dict[str, float] | None = None, extra: int = 8) -> None:
        """Advances until everything queued was taken and everything expected has come, then ``extra`` cycles more, in
        which nothing unexpected may come.

        Args:
            floors: least transfers a cycle, between the first and the last, of the streams it names; meant for runs
                without stalls.

        Raises:
            BenchError: see :meth:`step` and :meth:`until`, or a stream was slower than its floor.
        """
        await self.until(self._done, "the end of the run")
        await self.step(extra)
        for name, floor in (floors or {}).items():
            self.check_rate(name, floor)

    def check_rate(self, name: str, floor: float) -> None:
        """Raises BenchError if a stream had fewer than ``floor`` transfers a cycle between its first and its last."""
        log = self._endpoint(name).log
        if log.count < 2:
            raise BenchError(f"{self.name}: stream {name} had {log.count} transfers, too few to measure a rate")
        if log.rate < floor:
            lost = f"; the first cycle without a transfer is {log.gaps[0] + 1}" if log.gaps else ""
            raise BenchError(f"{self.name}: stream {name} moved {log.rate:.4f} payloads a cycle, floor {floor:g}{lost}")

    async def _cycle(self) -> None:
        """One clock cycle, from falling edge to falling edge."""
        if not self._left:
            raise BenchError(self._expired("the limit of cycles is spent", "the test"))
        self._left -= 1
        cycle = self.cycle
        for endpoint in self.endpoints:
            endpoint.drive(cycle, self._quiet)
        await self._settled
        moved = False
        try:
            for endpoint in self.endpoints:
                if endpoint.sample(cycle):
                    moved = True
        except BenchError:
            await self._falling  # whoever catches it may write again
            raise
        self._quiet = 0 if moved else self._quiet + 1
        self.cycle = cycle + 1
        await self._falling

    def _done(self) -> bool:
        return not any(e.pending for e in self.endpoints)

    def _expired(self, why: str, what: str) -> str:
        waiting = [f"{e.pending} on {e.name}" for e in self.endpoints if e.pending]
        still = f" (still to move: {', '.join(waiting)})" if waiting else ""
        last = "; ".join(e.last_transfer() for e in self.endpoints) or "it has no streams"
        return (
            f"{self.name}: watchdog: {why}, in cycle {self.cycle}, while waiting for {what}{still}; "
            f"last transfers: {last}"
        )

    def _endpoint(self, name: str) -> Endpoint:
        return self.drivers.get(name) or self.monitors.get(name) or self._unknown(name, "stream")

    def _driver(self, name: str) -> StreamDriver:
        return self.drivers.get(name) or self._unknown(name, "input stream")

    def _monitor(self, name: str) -> StreamMonitor:
        return self.monitors.get(name) or self._unknown(name, "output stream")

    def _unknown(self, name: str, kind: str) -> Any:
        known = ", ".join(e.name for e in self.endpoints) or "none"
        raise KeyError(f"{self.name} has no {kind} {name!r}; its streams: {known}")
