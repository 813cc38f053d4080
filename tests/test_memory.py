"""The memory system: benches in a simulator, the AXI4 faces against others' models, the proof of its arbiter."""

import numpy as np
import pytest

from golden_model import ecc
from hdl.errors import ParameterError
from hdl.memory.channel import Tier, tier_map
from hdl.params import DEMO, TierParams
from hdl.tln.tln import TLN
from verif.benches.memory import DIRECTED, FAULTS, sizes
from verif.formal import prove
from verif.models import SOURCES
from verif.models.backdoor import flip
from verif.proofs.arbiter import ArbiterSpecification
from verif.proofs.turn import TurnSpecification
from verif.sim import run_bench

BENCH = "verif.benches.memory"
AXI_BENCH = "verif.benches.memory_axi"


def test_random_traffic_reads_what_was_written_and_counters_agree_with_the_bench() -> None:
    run_bench(BENCH, test="random_traffic", sources=SOURCES)


def test_the_network_is_fair_and_full_rate_and_the_dma_copies_halts_refuses_and_shares() -> None:
    """One simulation, a test a property; a failure says which."""
    assert set(run_bench(BENCH, test="|".join(DIRECTED), sources=SOURCES).tests) == set(DIRECTED)


@pytest.mark.parametrize("seed", [None, 7])
def test_ecc_corrects_one_flip_reports_two_and_merges_partial_writes(seed: int | None) -> None:
    """With enough traffic that a turn to reads falls on the cycle in which a merge begins: with this seed it does."""
    parameters = {"ecc": True, "bursts": 600}
    assert set(run_bench(BENCH, test=FAULTS, parameters=parameters, seed=seed, sources=SOURCES).tests) >= {
        "flipped_bits_are_corrected_reported_and_never_hidden"
    }


def test_a_controller_works_on_the_ram_of_cocotbext_axi() -> None:
    run_bench(AXI_BENCH, parameters={"part": "controller"}, test="a_controller")


def test_a_memory_model_works_under_the_master_of_cocotbext_axi() -> None:
    run_bench(AXI_BENCH, parameters={"part": "model"}, test="a_model", sources=SOURCES)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_nobody_waits_for_the_arbiter_longer_than_a_round(width: int) -> None:
    prove(ArbiterSpecification(width), f"arbiter_{width}", depth=2)


@pytest.mark.parametrize("batch", [1, 3])
def test_neither_reads_nor_writes_wait_for_more_than_two_batches_of_the_other(batch: int) -> None:
    prove(TurnSpecification(batch, 4 * batch), f"turn_{batch}", depth=2)


def test_a_flip_by_the_back_door_is_one_bit_of_the_code_word(rng: np.random.Generator) -> None:
    """Against the golden code: data and the mask of check bits, joined, differ from a code word in that bit alone."""
    width = 32
    check = [0, 1, 2, 4, 8, 16, 32]
    for bit in range(width + len(check)):
        data, masks = rng.integers(0, 256, 16).astype(np.uint8), np.zeros(4, np.uint8)
        before = int(data.view("<u4")[2])
        flip(data, masks, 2, bit, width)
        code = int(ecc.encode([int(data.view("<u4")[2])], width)[0])
        code ^= sum((int(masks[2]) >> i & 1) << position for i, position in enumerate(check))
        decoded = ecc.decode([code], width)
        assert bool(decoded.corrected[0]), bit
        assert int(decoded.data[0]) == before, bit


def test_a_channel_smaller_than_two_granules_is_refused() -> None:
    tiny = TierParams(channels=4, capacity=64)
    params = sizes(hbm=tiny)
    with pytest.raises(ParameterError, match="4 channels share 64 bytes of HBM, less than two granules of 32 bytes"):
        tier_map(params, Tier.HBM)


def test_more_requesters_than_tags_tell_apart_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"demo: 65 requesters of memory is not in 1\.\.64"):
        TLN(DEMO, 65)
