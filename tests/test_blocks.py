"""Blocks of a simulator: stepped once a cycle in place of their RTL, and nothing shows it."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl import yosys
from hdl.clock_gate import CELL
from hdl.once import once
from hdl.params import TEST
from hdl.rdn.config import TokenSizes
from hdl.station import sleeping_token_switch
from hdl.verilog import blocks, whole
from verif.machine import BLOCKS
from verif.models.board import Board
from verif.sim import Model, compile_python
from verif.sim.blocks import THREADS, named

WIDE = 100
SIZES = TokenSizes(wires=2, locals_in=3, locals_out=3)


class Mixer(wiring.Component):
    """Registers of every width that a port may have, and something that each input moves."""

    flag: In(1)
    number: In(40)
    vector: In(WIDE)
    flag_out: Out(1, init=1)
    number_out: Out(40, init=5)
    vector_out: Out(WIDE)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(WIDE, init=3)
        m.d.sync += [
            state.eq(state.rotate_left(7) + self.vector),
            self.vector_out.eq(state ^ self.number),
            self.number_out.eq(self.number_out + self.vector[60:] + self.flag),
        ]
        m.d.comb += self.flag_out.eq(state[3])
        return m


class Ring(wiring.Component):
    """Three mixers, each the next one's input; the first takes ``seed`` as well."""

    seed: In(WIDE)
    seen: Out(WIDE + 41)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mixers: list[Any] = [once(Mixer) for _ in range(3)]
        for k, mixer in enumerate(mixers):
            before = mixers[k - 1]
            m.submodules[f"mixer_{k}"] = mixer
            m.d.comb += [
                mixer.flag.eq(before.flag_out),
                mixer.number.eq(before.number_out),
                mixer.vector.eq(before.vector_out + (self.seed if k == 0 else 0)),
            ]
        m.d.comb += self.seen.eq(Cat(mixers[2].flag_out, mixers[2].number_out, mixers[2].vector_out))
        return m


class Tokens(wiring.Component):
    """A token switch that sleeps, with a register before it as in a node."""

    def __init__(self) -> None:
        self.inner = once(sleeping_token_switch, SIZES)
        super().__init__(self.inner.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = self.inner
        leaves = (owner.signature.flatten(owner) for owner in (self, self.inner))
        for (_, member, mine), (_, _, its) in zip(*leaves, strict=True):
            if member.flow is In:
                m.d.sync += its.eq(mine)
            else:
                m.d.comb += mine.eq(its)
        return m


def both(component: Any, name: str, block: str) -> tuple[Model, Model]:
    """The same design with blocks and without, out of reset."""
    models = tuple(
        compile_python(component(), f"{name}_{kind}", sources=[CELL], blocks=cut)
        for kind, cut in (("whole", ()), ("in_blocks", (block,)))
    )
    for model in models:
        model.reset()
    return models[0], models[1]


@pytest.fixture(params=["1", "3"])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a simulation, when it begins."""
    monkeypatch.setenv(THREADS, request.param)
    return str(request.param)


@pytest.mark.usefixtures("threads")
def test_a_design_in_blocks_shows_in_every_cycle_what_it_shows_whole(rng: np.random.Generator) -> None:
    models = both(Ring, "ring", "mixer")
    for cycle in range(300):
        seed = int.from_bytes(rng.bytes(12), "little") if rng.random() < 0.5 else 0
        reset = int(rng.random() < 0.02)
        for model in models:
            model["seed"], model["rst"] = seed, reset
            model.tick()
        assert models[0]["seen"] == models[1]["seen"], f"in cycle {cycle}"
    assert models[0]["seen"] != 0


@pytest.mark.usefixtures("threads")
def test_two_models_of_one_design_in_blocks_share_no_state() -> None:
    first, second = (compile_python(Ring(), "ring_in_blocks", sources=[CELL], blocks=["mixer"]) for _ in range(2))
    for model in (first, second):
        model.reset()
    first["seed"] = 1
    first.tick(50)
    second.tick(50)
    assert first["seen"] != second["seen"]


@pytest.mark.usefixtures("threads")
def test_a_block_that_sleeps_shows_in_every_cycle_what_it_shows_whole(rng: np.random.Generator) -> None:
    models = both(Tokens, "tokens", "sleeping_token_switch")
    below = {
        "bus__address": 4,
        "bus__write": 2,
        "bus__write_data": 1 << 32,
        "commit": 2,
        "local_in": 8,
        "side_in__1": 4,
    }
    told = 0
    for cycle in range(2_000):
        quiet = cycle // 40 % 2
        for port, limit in below.items():
            value = 0 if quiet or rng.random() < 0.5 else int(rng.integers(0, limit))
            for model in models:
                model[port] = value
        for model in models:
            model.tick()
        for port in ("local_out", "side_out__0", "side_out__3", "bus__read_data"):
            assert models[0][port] == models[1][port], f"{port} in cycle {cycle}"
        told += models[0]["local_out"] != 0
    assert told > 10, "hardly a token arrived: nothing was compared"


def test_a_simulation_has_as_many_threads_as_it_was_given_and_ends_them(threads: str) -> None:
    compile_python(Ring(), "ring_in_blocks", sources=[CELL], blocks=["mixer"])  # what building starts is not counted
    gc.collect()  # that model, and those of other tests
    before = threading_count()
    model = compile_python(Ring(), "ring_in_blocks", sources=[CELL], blocks=["mixer"])
    model.tick()
    assert threading_count() - before == int(threads) - 1
    del model
    gc.collect()
    assert threading_count() == before


def threading_count() -> int:
    """Threads of this process, those of C++ too."""
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("kind", BLOCKS)
def test_no_output_of_a_block_depends_on_an_input_within_a_cycle(kind: str, tmp_path: Path) -> None:
    """What stands in for it in a simulation is a register."""
    emitted = blocks(Board(TEST), "board_test")
    names = named(emitted, "board_test", [kind])
    source = tmp_path / "board_test.v"
    source.write_text(whole(emitted.values()))
    assert names, f"no block {kind} in the board: this shows nothing"
    for name in names:
        yosys.run(
            f"read_verilog {source}; read_verilog {CELL}; hierarchy -top {name}; proc; flatten; opt_clean; "
            "select -set from i:* i:clk %d %coe*; select -assert-none @from o:* %i",
            what=f"a way through {name}",
        )
