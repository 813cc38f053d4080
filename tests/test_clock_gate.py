"""Clock gates change nothing: units behind them do, cycle by cycle, what they do without."""

import numpy as np

from coe_mapping.assembler.pcu import assemble
from hdl.clock_gate import AWAKE_CYCLES, CELL, Sleeper
from hdl.config import word_count
from hdl.params import PCUParams
from hdl.pcu.pcu import PCU
from hdl.rdn.config import TokenSizes, token_layout
from hdl.rdn.tokens import TokenSwitch
from verif import pcu_kernels as kernels
from verif.loaded import Pair, Twins
from verif.sim import Model, compile_python

PARAMS = PCUParams(lanes=2, stages=1, fifo_depth=2)


def configure(model: Model, words: list[int]) -> None:
    model["bus__write"] = 1
    for address, word in enumerate(words):
        model["bus__address"], model["bus__write_data"] = address, word
        model.tick()
    model["bus__write"], model["commit"] = 0, 1
    model.tick()
    model["commit"] = 0


def test_a_pcu_behind_clock_gates_equals_one_without_in_every_cycle(rng: np.random.Generator) -> None:
    """Tile products and SIMD programs in turn, random gaps and back-pressure, sleep of random length between them."""
    twins = Twins(PCU(PARAMS), Sleeper(PCU(PARAMS, gated=True)))
    model = compile_python(twins, "clock_gate_twins", sources=[CELL])
    model.reset()
    programs = [
        kernels.gemm(2, 9, PARAMS.interleave, PARAMS.stages, initial=True),
        kernels.running_sums(2, 7),
        kernels.row_extremum(3, 5),
        kernels.gemm(3, 5, 2, PARAMS.stages),
    ]
    for _ in range(3):
        for program in rng.permutation(len(programs)):
            configure(model, assemble(PARAMS, programs[program]))
            for _ in range(2):
                before = model["outputs"]
                model["start"] = 1
                model.tick(int(rng.integers(1, 3)))
                model["start"], model["feed"] = 0, 1
                model.tick(600)
                model["feed"] = 0
                model.tick(AWAKE_CYCLES + int(rng.integers(1, 40)))
                assert not model["differs"], f"program {program}: an output differs from that of the unit without gates"
                assert model["outputs"] > before, f"program {program} gave nothing: nothing was compared"


def test_a_token_switch_that_sleeps_equals_one_that_does_not_in_every_cycle(rng: np.random.Generator) -> None:
    """Tokens in bursts with quiet between them, under configurations drawn anew."""
    sizes = TokenSizes(wires=3, locals_in=4, locals_out=4)
    pair = Pair(TokenSwitch(sizes), Sleeper(TokenSwitch(sizes)))
    model = compile_python(pair, "token_switch_pair", sources=[CELL])
    model.reset()
    ports = {f"side_in__{side}": 3 for side in range(4)} | {"local_in": 4}
    left = 0
    for _ in range(30):
        choices = rng.integers(0, 1 << 32, word_count(token_layout(sizes)))
        configure(model, [int(word) for word in choices])
        for burst in rng.integers(1, 12, 6):
            for _ in range(burst):
                for port, width in ports.items():
                    model[port] = int(rng.integers(0, 1 << width))
                model.tick()
                left += model["local_out"] != 0
            for port in ports:
                model[port] = 0
            model.tick(int(rng.integers(1, 3 * AWAKE_CYCLES)))
    assert not model["differs"]
    assert left > 100, "hardly a token arrived: nothing was compared"
