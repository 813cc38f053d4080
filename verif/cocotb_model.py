"""A design under cocotb with the face of a :class:`verif.sim.Model`, for code that blocks.

Such code runs in a thread (``cocotb.task.bridge``), and simulated time stands still unless it ticks. So the driver of a
socket, and everything above it, is the same under cocotb as without. A change from thread to thread costs as much as
some cycles of a socket: what is driven waits for the next one, and a wait for a port is one.
"""

from typing import Any

from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import First, ReadWrite, Timer, ValueChange
from cocotb.utils import get_sim_time

from verif.models.backdoor import Bytes, in_bench, simulator

PERIOD_NS = 10


class CocotbModel:
    """Ports by name, as integers. Stands just behind a falling edge, and :meth:`tick` goes from one to another.

    ``component``: what ``dut`` was made of.
    """

    def __init__(self, dut: Any, component: wiring.Component) -> None:
        self._dut, self._component = dut, component
        self._handles: dict[str, Any] = {}
        self._driven: dict[str, int] = {}

    async def start(self) -> None:
        """Drives every input to zero and starts the clock; nothing of Python runs at its edges."""
        for path, member, _ in self._component.signature.flatten(self._component):
            if member.flow is In:
                getattr(self._dut, "__".join(map(str, path))).value = 0
        self._dut.rst.value = 0
        Clock(self._dut.clk, PERIOD_NS, "ns", impl="gpi").start(start_high=False)
        await Timer(1, "ns")

    def __getitem__(self, port: str) -> int:
        if self._driven:
            self._wait(0)
        return int(self._handle(port).value)

    def __setitem__(self, port: str, value: int) -> None:
        self._driven[port] = value

    def tick(self, cycles: int = 1) -> None:
        self._wait(cycles)

    def until(self, port: str, cycles: int, after: int = 0) -> bool:
        return bool(self._until(port, cycles, after))

    def reset(self, cycles: int = 1) -> None:
        self["rst"] = 1
        self.tick(cycles)
        self["rst"] = 0

    def memory(self, region: str) -> Bytes:
        return in_bench(region)

    def functions(self) -> Any:
        return simulator()

    def _handle(self, port: str) -> Any:
        if port not in self._handles:
            self._handles[port] = getattr(self._dut, port)
        return self._handles[port]

    async def _settle(self) -> None:
        for port, value in self._driven.items():
            self._handle(port).value = value
        self._driven.clear()
        await ReadWrite()

    @resume
    async def _wait(self, cycles: int) -> None:
        await self._settle()
        if cycles:
            await Timer(PERIOD_NS * cycles, "ns")

    @resume
    async def _until(self, port: str, cycles: int, after: int) -> bool:
        """Sleeps until the port moves, and then to just behind the next falling edge."""
        await self._settle()
        handle, since = self._handle(port), get_sim_time("ns")
        if not handle.value:
            await First(ValueChange(handle), Timer(PERIOD_NS * cycles, "ns"))
            await Timer(PERIOD_NS - (get_sim_time("ns") - since) % PERIOD_NS, "ns")
        there = bool(handle.value)
        if there and after:
            await Timer(PERIOD_NS * after, "ns")
        return there
