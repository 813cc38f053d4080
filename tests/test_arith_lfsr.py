"""The RTL of the random numbers draws what the golden model draws."""

import numpy as np
import pytest

from golden_model import numerics as golden
from hdl.arith.lfsr import Lfsr
from verif.agreement import assert_equal
from verif.sim import Model, compile_python

SEED = 16


@pytest.fixture
def lfsr() -> Model:
    model = compile_python(Lfsr(), "lfsr")
    model.reset()
    return model


def load(lfsr: Model, seed: int) -> None:
    lfsr["load"], lfsr["seed"] = 1, seed
    lfsr.tick()
    lfsr["load"] = 0


def drawn(lfsr: Model, count: int) -> list[int]:
    numbers = []
    lfsr["en"] = 1
    for _ in range(count):
        numbers.append(int(lfsr["o"]))
        lfsr.tick()
    lfsr["en"] = 0
    return numbers


def test_every_lane_draws_the_golden_models_numbers(lfsr: Model) -> None:
    seeds = golden.lane_seeds(SEED, 8)
    want = golden.draws(seeds, 500)
    for lane, seed in enumerate(seeds.tolist()):
        load(lfsr, seed)
        assert_equal(drawn(lfsr, 500), want[:, lane], seed=SEED)


def test_without_enable_the_number_stays(lfsr: Model) -> None:
    load(lfsr, 0xDEADBEEF)
    for _ in range(3):
        assert lfsr["o"] == 0xBEEF
        lfsr.tick()


def test_loading_wins_over_drawing(lfsr: Model) -> None:
    lfsr["en"] = 1
    load(lfsr, 0x12345678)
    assert lfsr["o"] == 0x5678


def test_it_starts_from_one_and_a_seed_of_zero_is_read_as_one(lfsr: Model) -> None:
    want = golden.draws(np.array([1], np.uint32), 20)[:, 0].tolist()
    assert drawn(lfsr, 20) == want
    load(lfsr, 0)
    assert drawn(lfsr, 20) == want
