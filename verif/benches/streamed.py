"""Bench of :class:`hdl.arith.streamed.Streamed`: order, values, throughput and stalls around a small integer unit."""

from typing import Any

import cocotb

from hdl.arith.streamed import Streamed
from verif.benches.arithmetic import MultiplyAddInteger
from verif.streams import Bench, Stalls

BITS = 16


def design(depth: int = 3, room: int | None = None) -> Streamed:
    return Streamed(MultiplyAddInteger(BITS, depth), room)


def load(bench: Bench, count: int) -> None:
    """Queues random operands and expects their results."""
    operands = [{name: bench.rng.getrandbits(BITS) for name in "abc"} for _ in range(count)]
    bench.send("i", operands)
    bench.expect("o", [(x["a"] * x["b"] + x["c"]) % (1 << BITS) for x in operands])


@cocotb.test()
async def every_result_arrives_in_order_under_random_stalls(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    for gaps in (0.0, 0.3, 0.9):
        for pressure in (0.0, 0.3, 0.9):
            bench.stall("i", Stalls.random(bench.rng, gaps))
            bench.stall("o", Stalls.random(bench.rng, pressure))
            load(bench, 100)
            await bench.finish()


@cocotb.test()
async def one_result_a_cycle_when_nobody_stalls(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    load(bench, 300)
    unit, room = bench.component.unit, bench.component.room
    await bench.finish(floors={"o": min(1.0, room / (unit.latency + Streamed.ROUND_TRIP))})


@cocotb.test()
async def it_accepts_exactly_its_room_when_nothing_is_taken(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    bench.hold("o")
    load(bench, 3 * bench.component.room)
    await bench.step(4 * bench.component.room + 20)
    assert bench.drivers["i"].log.count == bench.component.room
    bench.release("o")
    await bench.finish()


@cocotb.test()
async def a_reset_at_any_moment_leaves_nothing_behind(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    for cycles in range(1, 3 * bench.component.room):
        bench.stall("o", Stalls.random(bench.rng, 0.5))
        load(bench, 50)
        await bench.step(cycles)
        await bench.reset()
        load(bench, 5)
        await bench.finish()
