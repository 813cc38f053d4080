"""A queue with faults to switch on: which checker finds each, and what smallest case Hypothesis finds.

One design holds every fault, so one build serves all.
"""

import enum
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.types import LogicArray
from hypothesis import strategies as st

from verif.forall import CounterexampleError, forall, payloads, stalls
from verif.streams import NEVER, Bench, BenchError, Stalls

DEPTH = 4


class Fault(enum.IntEnum):
    NONE = 0
    DROPS_VALID = 1
    CHANGES_PAYLOAD = 2
    WAITS_FOR_READY = 3
    COMBINATIONAL_READY = 4
    COMBINATIONAL_VALID = 5
    LOSES = 6
    REPEATS = 7
    CORRUPTS = 8
    DAWDLES = 9
    STOPS = 10
    NEVER_STARTS = 11


class FaultyQueue(wiring.Component):
    """A queue of ``DEPTH`` bytes, registered on both sides, that is right with ``fault`` NONE.

    LOSES drops what is pushed while exactly three are held and one is taken; it needs back-pressure to show.
    """

    def __init__(self) -> None:
        byte = stream.Signature(8)
        super().__init__({"fault": In(range(len(Fault))), "i": In(byte), "o": Out(byte)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        store = Array(Signal(8, name=f"store_{k}") for k in range(DEPTH))
        read, write, level = Signal(2), Signal(2), Signal(range(DEPTH + 1))
        push, pop, lose, repeat = Signal(), Signal(), Signal(), Signal()
        ticks, taken, held, asked = Signal(4), Signal(4), Signal(), Signal()
        fault = {f: Signal(name=f.name.lower()) for f in Fault}
        m.d.comb += [signal.eq(self.fault == f) for f, signal in fault.items()]
        m.d.sync += [ticks.eq(ticks + 1), asked.eq((asked | self.o.ready) & ~pop)]
        m.d.comb += [
            held.eq(level != 0),
            self.i.ready.eq((level != DEPTH) | (fault[Fault.COMBINATIONAL_READY] & self.o.ready)),
            self.o.valid.eq(held),
            self.o.payload.eq(store[read]),
        ]
        with m.If(fault[Fault.DROPS_VALID] & (ticks == 9)):
            m.d.comb += self.o.valid.eq(0)
        with m.If(fault[Fault.CHANGES_PAYLOAD] & (ticks == 9)):
            m.d.comb += self.o.payload.eq(store[read] + 1)
        with m.If(fault[Fault.WAITS_FOR_READY]):
            m.d.comb += self.o.valid.eq(held & asked)
        with m.If(fault[Fault.NEVER_STARTS]):
            m.d.comb += self.o.valid.eq(0)
        with m.If(fault[Fault.COMBINATIONAL_VALID]):
            m.d.comb += self.o.valid.eq(held & self.o.ready)
        with m.If(fault[Fault.DAWDLES] & (taken == 15) & ~ticks[0]):
            m.d.comb += self.o.valid.eq(0)
        with m.If(fault[Fault.STOPS] & (taken == 6)):
            m.d.comb += self.o.valid.eq(0)

        m.d.comb += [
            push.eq(self.i.valid & self.i.ready),
            pop.eq(self.o.valid & self.o.ready),
            lose.eq(fault[Fault.LOSES] & push & pop & (level == 3)),
            repeat.eq(fault[Fault.REPEATS] & (taken == 6)),
        ]
        with m.If(push & ~lose):
            m.d.sync += [store[write].eq(self.i.payload), write.eq(write + 1)]
        with m.If(push & fault[Fault.CORRUPTS] & (taken == 6)):
            m.d.sync += store[write].eq(self.i.payload ^ 0x80)
        with m.If(pop):
            m.d.sync += taken.eq(taken + 1)
        with m.If(pop & ~repeat):
            m.d.sync += read.eq(read + 1)
        m.d.sync += level.eq(level + (push & ~lose) - (pop & ~repeat))
        return m


def design() -> FaultyQueue:
    return FaultyQueue()


async def queue_bench(dut: Any, fault: Fault) -> Bench:
    """A bench of the queue with ``fault`` switched on."""
    bench = await Bench.start(dut, design, watchdog=500)
    dut.fault.value = fault
    return bench


async def pass_through(bench: Bench, pressure: float, count: int = 60) -> None:
    """Sends random bytes and expects them back, under back-pressure of this probability."""
    bench.stall("o", Stalls.random(bench.rng, pressure))
    values = [bench.rng.getrandbits(8) for _ in range(count)]
    bench.send("i", values)
    bench.expect("o", values)
    await bench.finish(floors={"i": 1.0, "o": 1.0} if not pressure else None)


@cocotb.test()
async def a_right_queue_passes_every_check(dut: Any) -> None:
    bench = await queue_bench(dut, Fault.NONE)
    for pressure in (0.0, 0.5, 0.9):
        await bench.reset()
        await pass_through(bench, pressure)


@cocotb.test()
@cocotb.parametrize(
    (
        ("fault", "pressure", "says"),
        [
            (Fault.DROPS_VALID, 0.8, r"stream o, cycle \d+: valid fell before 0x\w+ was taken"),
            (
                Fault.CHANGES_PAYLOAD,
                0.8,
                r"stream o, cycle \d+: payload changed from 0x\w+ to 0x\w+ before it was taken",
            ),
            (Fault.WAITS_FOR_READY, 0.0, r"stream o, cycle \d+: valid waits for ready"),
            (Fault.COMBINATIONAL_READY, 0.8, r"stream i, cycle \d+: ready moved .* combinational path"),
            (Fault.COMBINATIONAL_VALID, 0.8, r"stream o, cycle \d+: valid or payload moved .* combinational path"),
            (Fault.LOSES, 0.8, r"stream o, transfer \d+ in cycle \d+: got 0x\w+, expected 0x\w+"),
            (Fault.REPEATS, 0.0, r"stream o, transfer 8 in cycle \d+: got 0x\w+, expected 0x\w+"),
            (Fault.CORRUPTS, 0.0, r"stream o, transfer 8 in cycle \d+: got 0x\w+, expected 0x\w+"),
            (
                Fault.DAWDLES,
                0.0,
                r"stream o moved 0\.9\d+ payloads a cycle, floor 1; the first cycle without .* is \d+",
            ),
            (
                Fault.STOPS,
                0.0,
                r"watchdog: nothing moved for 500 cycles, .*on i, .*on o\); last transfers: i: 0x\w+ in cycle",
            ),
            (Fault.NEVER_STARTS, 0.0, r"watchdog: .* last transfers: i: 0x\w+ in cycle 3 \(number 4\); o: none"),
        ],
    )
)
async def a_fault_is_reported_in_a_sentence(dut: Any, fault: Fault, pressure: float, says: str) -> None:
    bench = await queue_bench(dut, fault)
    bench.rng.seed(1)  # which checker comes first is a matter of chance: here, always the same
    with pytest.raises(BenchError, match=f"^faulty_queue: {says}"):
        await pass_through(bench, pressure)


@cocotb.test()
async def hypothesis_finds_the_smallest_case_and_finds_it_again(dut: Any) -> None:
    """LOSES needs three held, a push and a pop: four payloads, and an output held until three are in.

    ``held`` counts payloads, not cycles: held for cycles, more gaps would need more of them, and a shrinker that takes
    one argument at a time would stop at a smallest pair that is not the smallest.
    """
    bench = await queue_bench(dut, Fault.LOSES)

    async def what_is_sent_arrives(values: list[int], gaps: Stalls, held: int) -> None:
        await bench.reset(1)
        bench.stall("i", gaps)
        bench.send("i", values)
        bench.expect("o", values)
        bench.hold("o")
        enough = min(held, len(values), DEPTH)
        await bench.until(lambda: bench.drivers["i"].log.count >= enough, f"{enough} payloads in the queue")
        bench.release("o")
        await bench.finish(extra=2)

    smallest = {"values": [0, 0, 0, 0], "gaps": NEVER, "held": 3}
    values, held = st.lists(payloads(8), max_size=12), st.integers(0, 20)
    seed = None
    for _ in range(2):
        with pytest.raises(CounterexampleError) as raised:
            await forall(what_is_sent_arrives, examples=500, seed=seed, values=values, gaps=stalls(), held=held)
        found = raised.value
        assert found.arguments == smallest, str(found)
        assert f"HYPOTHESIS_SEED={found.seed}" in str(found)
        assert seed in (None, found.seed)
        seed = found.seed


@cocotb.test()
async def a_right_queue_has_no_counterexample(dut: Any) -> None:
    bench = await queue_bench(dut, Fault.NONE)
    calls = 0

    async def what_is_sent_arrives(values: list[int], pressure: Stalls) -> None:
        nonlocal calls
        calls += 1
        await bench.reset(1)
        bench.stall("o", pressure)
        bench.send("i", values)
        bench.expect("o", values)
        await bench.finish(extra=2)

    await forall(what_is_sent_arrives, examples=100, values=st.lists(payloads(8), max_size=12), pressure=stalls())
    assert calls == 100


@cocotb.test(skip=not getattr(cocotb, "SIM_NAME", "").startswith("Icarus"))
async def an_unknown_payload_is_reported(dut: Any) -> None:
    """Four-state simulators only: the bench puts X on an input."""
    bench = await queue_bench(dut, Fault.NONE)
    bench.send("i", [1, 2, 3])
    bench.hold("i")
    await bench.step(2)
    dut.i__payload.value = LogicArray("x" * 8)
    dut.i__valid.value = 1
    with pytest.raises(BenchError, match=r"stream o: payload is [Xx]{8}, an unknown value"):
        await bench.step(4)
