"""Clock gates change nothing: units behind them do, cycle by cycle, what they do without."""

import numpy as np

from coe_mapping.assembler.pcu import assemble
from hdl.clock_gate import AWAKE_CYCLES, CELL, Sleeper
from hdl.params import PCUParams
from hdl.pcu.pcu import PCU
from verif import pcu_kernels as kernels
from verif.loaded import Twins
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
