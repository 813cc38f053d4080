"""A design under cocotb with the face of a :class:`verif.sim.Model`, for code that blocks.

Such code runs in a thread (``cocotb.task.bridge``), and simulated time stands still unless it ticks. So the driver of a
socket, and everything above it, is the same under cocotb as without.
"""

from typing import Any

from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import ReadWrite, Timer

from verif.models.backdoor import Bytes, in_bench, simulator

PERIOD_NS = 10


class CocotbModel:
    """Ports by name, as integers. Stands just behind a falling edge, and :meth:`tick` goes from one to another.

    ``component``: what ``dut`` was made of.
    """

    def __init__(self, dut: Any, component: wiring.Component) -> None:
        self._dut, self._component = dut, component
        self._settled = True

    async def start(self) -> None:
        """Drives every input to zero and starts the clock; nothing of Python runs at its edges."""
        for path, member, _ in self._component.signature.flatten(self._component):
            if member.flow is In:
                getattr(self._dut, "__".join(map(str, path))).value = 0
        self._dut.rst.value = 0
        Clock(self._dut.clk, PERIOD_NS, "ns", impl="gpi").start(start_high=False)
        await Timer(1, "ns")

    def __getitem__(self, port: str) -> int:
        if not self._settled:
            self._settle()
        return int(getattr(self._dut, port).value)

    def __setitem__(self, port: str, value: int) -> None:
        self._set(port, value)
        self._settled = False

    def tick(self, cycles: int = 1) -> None:
        self._wait(PERIOD_NS * 1000 * cycles)
        self._settled = True

    def until(self, port: str, cycles: int) -> bool:
        self._settled = True
        return bool(self._until(port, cycles))

    def reset(self, cycles: int = 1) -> None:
        self["rst"] = 1
        self.tick(cycles)
        self["rst"] = 0

    def memory(self, region: str) -> Bytes:
        return in_bench(region)

    def library(self) -> Any:
        return simulator()

    def _settle(self) -> None:
        self._wait(0)
        self._settled = True

    @resume
    async def _set(self, port: str, value: int) -> None:
        getattr(self._dut, port).value = value

    @resume
    async def _wait(self, picoseconds: int) -> None:
        await (Timer(picoseconds, "ps") if picoseconds else ReadWrite())

    @resume
    async def _until(self, port: str, cycles: int) -> bool:
        """All in one go: every change between the threads costs more than a cycle."""
        await ReadWrite()
        handle = getattr(self._dut, port)
        for _ in range(cycles):
            if handle.value:
                return True
            await Timer(PERIOD_NS, "ns")
        return False
