"""A counter and small benches that pass, fail, hang and die: what the bench runner is tested with."""

import os
import random
import time
from typing import Any

import cocotb
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge


class Counter(wiring.Component):
    """Counts cycles, the lower half in a submodule."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        super().__init__({"count": Out(bits)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = inner = Module()
        half = Signal(self.bits // 2)
        inner.d.sync += half.eq(half + 1)
        upper = Signal(self.bits - self.bits // 2)
        with m.If(half.all()):
            m.d.sync += upper.eq(upper + 1)
        m.d.comb += self.count.eq(half | (upper << self.bits // 2))
        return m


def design(bits: int = 8) -> Counter:
    return Counter(bits)


async def counted(dut: Any, cycles: int) -> int:
    """The count so many cycles after reset.

    Everything happens at falling edges: at a rising one simulators disagree on whether registers have moved.
    """
    Clock(dut.clk, 10, "ns").start(start_high=False)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 2, FallingEdge)
    dut.rst.value = 0
    await ClockCycles(dut.clk, cycles, FallingEdge)
    return int(dut.count.value)


@cocotb.test()
async def parameters_arrive(dut: Any) -> None:
    assert await counted(dut, 200) == 200
    print(f"the counter has {len(dut.count)} bits")


@cocotb.test()
async def says_why(dut: Any) -> None:
    del dut
    raise AssertionError("the count is 3, which is wrong")


@cocotb.test()
async def shows_values(dut: Any) -> None:
    del dut
    three = 3
    assert three == 4


@cocotb.test()
async def dies(dut: Any) -> None:
    del dut
    os._exit(3)


@cocotb.test()
async def hangs(dut: Any) -> None:
    del dut
    time.sleep(60)


@cocotb.test()
async def draws(dut: Any) -> None:
    del dut
    print(f"drew {random.getrandbits(64)}")


@cocotb.test()
async def inner_net_is_hidden(dut: Any) -> None:
    assert getattr(dut, "inner", None) is None or getattr(dut.inner, "half", None) is None


@cocotb.test()
async def inner_net_is_public(dut: Any) -> None:
    assert await counted(dut, 5) & 0xF == int(dut.inner.half.value)
