"""Counter chains: the golden model against nested loops, the RTL against the golden model, and proofs."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from hypothesis import given, settings
from hypothesis import strategies as st

from golden_model.control import Iterations, iterations
from hdl.control.counters import COUNT_BITS, CounterChain, chain_layout
from hdl.errors import ParameterError
from hdl.params import SCALAR_BITS
from verif.formal import prove
from verif.sim import Model, compile_python

COUNTERS, SCALARS = 6, 4
LAYOUT = chain_layout(COUNTERS, SCALARS)

Loop = tuple[int, int, int | None]
"""Limit, stride, and the scalar input the limit is popped from."""


def chain(loops: list[Loop], rounds: int = 0) -> Any:
    counters = [{"limit": limit, "stride": stride, "source": 0 if j is None else j + 1} for limit, stride, j in loops]
    return LAYOUT.const({"depth": len(loops), "counters": counters, "rounds": rounds})


def nested(loops: list[Loop], streams: list[list[int]], outer: tuple[int, ...] = ()) -> Iterator[tuple[list[int], ...]]:
    """Index and value of every iteration, by plain recursion."""
    if len(outer) == len(loops):
        yield list(outer), [i * stride % (1 << SCALAR_BITS) for i, (_, stride, _) in zip(outer, loops, strict=True)]
        return
    limit, _, source = loops[len(outer)]
    if source is not None:
        limit = streams[source].pop(0)
    for i in range(max(1, limit)):
        yield from nested(loops, streams, (*outer, i))


@st.composite
def chains(draw: Any) -> tuple[list[Loop], list[list[int]]]:
    loops: list[Loop] = []
    sources = draw(st.permutations(range(SCALARS)))
    for _ in range(draw(st.integers(0, COUNTERS))):
        popped = sources and draw(st.booleans())
        limit = draw(st.integers(0, 3))
        loops.append(
            (limit, draw(st.sampled_from([1, 0, 7, (1 << COUNT_BITS) - 1])), sources.pop() if popped else None)
        )
    seed = draw(st.integers(0, 100))
    if seed == 0:
        return loops, [[1] * 3**COUNTERS for _ in range(SCALARS)]
    rng = np.random.default_rng(seed)
    return loops, [rng.integers(0, 4, 3**COUNTERS).tolist() for _ in range(SCALARS)]


@settings(max_examples=60, deadline=None)
@given(chains())
def test_iterations_are_those_of_nested_loops(drawn: tuple[list[Loop], list[list[int]]]) -> None:
    loops, streams = drawn
    found = iterations(chain(loops), [np.array(s, np.uint32) for s in streams])
    left = [list(s) for s in streams]
    expected = list(nested(loops, left))
    depth = len(loops)
    assert found.index[:, :depth].tolist() == [index for index, _ in expected]
    assert found.value[:, :depth].tolist() == [value for _, value in expected]
    assert found.popped == tuple(len(s) - len(rest) for s, rest in zip(streams, left, strict=True))
    assert found.last(0).tolist() == [False] * (len(expected) - 1) + [True]
    assert found.first(0).tolist() == [True] + [False] * (len(expected) - 1)
    assert found.first(depth).all()
    assert found.last(depth).all()


def test_two_counters_may_not_share_a_scalar_input_and_streams_must_last() -> None:
    streams = [np.ones(1, np.uint32)] * SCALARS
    with pytest.raises(ParameterError, match="two counters take their limits from one scalar input"):
        iterations(chain([(1, 1, 0), (1, 1, 0)]), streams)
    with pytest.raises(ValueError, match="scalar input 2 holds 1 limits, the program takes 3"):
        iterations(chain([(3, 1, None), (1, 1, 2)]), streams)


@pytest.fixture(scope="module")
def rtl() -> Model:
    return compile_python(CounterChain(COUNTERS, SCALARS), "counter_chain")


def run_rtl(
    model: Model, loops: list[Loop], rounds: int, streams: list[list[int]], seed: int
) -> tuple[list[dict[str, int]], int]:
    """What the chain shows in every iteration, stepped and fed at random; and the cycles it took."""
    rng = np.random.default_rng(seed)
    model.reset()
    model["config"] = chain(loops, rounds).as_bits()
    model["start"] = 1
    model.tick()
    model["start"] = 0
    taken, shown, cycles = [0] * SCALARS, [], 0
    while model["busy"]:
        eager = seed == 0
        step = eager or rng.random() < 0.7
        model["step"] = int(step)
        offered = []
        for j in range(SCALARS):
            offered.append(eager or rng.random() < 0.5)
            model[f"limits__{j}__valid"] = int(offered[j])
            model[f"limits__{j}__payload"] = streams[j][taken[j]]
        if model["valid"] and step:
            shown.append({name: model[name] for name in SHOWN})
        for j in range(SCALARS):
            taken[j] += int(offered[j] and model[f"limits__{j}__ready"])
        model.tick()
        cycles += 1
        assert cycles < 100_000, "the chain does not end"
    return shown, cycles


SHOWN = ("index", "value", "at_first", "at_last", "first", "last", "first_round", "last_round")


def packed(flags: Any) -> int:
    return sum(int(flag) << i for i, flag in enumerate(flags))


def expected_signals(found: Iterations, i: int, number: int, rounds: int) -> dict[str, int]:
    boundaries = range(COUNTERS + 1)
    return {
        "index": sum(int(x) << COUNT_BITS * c for c, x in enumerate(found.index[i])),
        "value": sum(int(x) << SCALAR_BITS * c for c, x in enumerate(found.value[i])),
        "at_first": packed(found.at_first[i]),
        "at_last": packed(found.at_last[i]),
        "first": packed(found.at_first[i, b:].all() for b in boundaries),
        "last": packed(found.at_last[i, b:].all() for b in boundaries),
        "first_round": int(number == 0),
        "last_round": int(number == rounds - 1),
    }


@settings(max_examples=40, deadline=None)
@given(drawn=chains(), rounds=st.integers(0, 4), seed=st.integers(0, 9))
def test_the_chain_runs_through_the_iterations_of_the_golden_model_in_every_round(
    rtl: Model, drawn: tuple[list[Loop], list[list[int]]], rounds: int, seed: int
) -> None:
    loops, streams = drawn
    streams = [stream * 4 for stream in streams]
    shown, cycles = run_rtl(rtl, loops, rounds, streams, seed)
    expected, popped = list[dict[str, int]](), 0
    left = [np.array(s, np.uint32) for s in streams]
    for number in range(rounds or 1):
        found = iterations(chain(loops), left)
        expected += [expected_signals(found, i, number, rounds or 1) for i in range(len(found))]
        left = [stream[count:] for stream, count in zip(left, found.popped, strict=True)]
        popped += sum(found.popped)
    assert shown == expected
    if seed == 0:
        # one iteration a cycle, and one more cycle for every limit popped
        assert cycles == len(expected) + popped


class ChainSpecification(wiring.Component):
    """What holds of any chain of three counters, whatever its configuration, for all steps and limits."""

    COUNTERS = 3

    def __init__(self) -> None:
        self.chain = CounterChain(self.COUNTERS, 1)
        super().__init__({"config": In(chain_layout(self.COUNTERS, 1)), **self._inputs()})

    def _inputs(self) -> dict[str, Any]:
        return {"start": In(1), "step": In(1), "limit_valid": In(1), "limit": In(SCALAR_BITS)}

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.chain = dut = self.chain
        before = Signal.like(self.config)
        past, moved, ended, started = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            dut.config.eq(self.config),
            dut.start.eq(self.start),
            dut.step.eq(self.step),
            dut.limits[0].valid.eq(self.limit_valid),
            dut.limits[0].payload.eq(self.limit),
            Assume(~past | (self.config == before)),
            Assume(~(self.start & dut.busy)),
        ]
        m.d.sync += [
            past.eq(1),
            before.eq(self.config),
            moved.eq(dut.valid & self.step),
            ended.eq(dut.valid & self.step & dut.last[0] & dut.last_round),
            started.eq(self.start),
        ]
        m.d.comb += [
            Assert(~dut.valid | dut.busy),
            # a boundary further in happens whenever one further out does
            Assert((dut.first[:-1] & ~dut.first[1:]) == 0),
            Assert((dut.last[:-1] & ~dut.last[1:]) == 0),
            Assert(dut.first[self.COUNTERS] & dut.last[self.COUNTERS]),
            # it ends exactly after the last iteration, and begins at the first
            Assert(~ended | ~dut.busy),
            Assert(~(moved & ~ended) | dut.busy),
            Assert(~(started & dut.valid) | dut.first[0]),
            # a limit is taken only while no iteration stands
            Assert(~(dut.limits[0].ready & dut.valid)),
        ]
        return m


def test_boundaries_nest_and_a_chain_ends_after_its_last_iteration_proved() -> None:
    assert prove(ChainSpecification(), "counter_chain", mode="bmc", depth=9).mode == "bmc"
