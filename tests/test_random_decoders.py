"""Random decoder layers, mapped and run: on RTL operator by operator, on golden and RTL sockets as one kernel."""

import contextlib
import importlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from coe_mapping.device import GoldenMachine
from hdl.errors import ParameterError
from hdl.params import DEMO, NANO, TEST
from verif import random_decoders
from verif.layer_bench import LayerBench
from verif.machine import BLOCKS, RTLMachine
from verif.random_decoders import Decoder, DecoderDifferenceError, campaign, check, on_board, random_decoder, smaller

SMALL = Decoder(key_heads=1, shared=2, pairs=3, hidden=7, inner=11, past=(3, 0, 5), new=1, spare=2)


def test_four_random_decoders_on_the_rtl_of_a_test_socket_equal_the_golden_model(seed: int) -> None:
    assert campaign(RTLMachine(TEST), 4, seed) == 4


def test_random_decoders_as_one_kernel_equal_the_golden_model_on_a_routed_demo_socket(seed: int) -> None:
    assert campaign(GoldenMachine(DEMO), 3, seed, ["fused"]) == 3


def test_random_decoders_as_one_kernel_on_the_rtl_of_a_demo_socket_equal_the_golden_model(seed: int) -> None:
    assert on_board(DEMO.name, 2, seed) == 2


def test_a_campaign_on_a_board_counts_what_its_job_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is found by its name and given its options, as in the simulator; here on a golden socket."""

    def in_process(module: str, *, parameters: dict[str, Any], show: Callable[[str], None], **how: object) -> None:
        assert (module, how["name"], how["blocks"]) == ("verif.benches.board", "board_demo_cocotb", BLOCKS)
        job, _, function = parameters["job"].partition(":")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            getattr(importlib.import_module(job), function)(
                GoldenMachine(DEMO), json.loads(json.dumps(parameters["options"]))
            )
        for line in ("a line of the simulator", *said.getvalue().splitlines()):
            show(line)

    monkeypatch.setattr(random_decoders, "run_bench", in_process)
    assert on_board(DEMO.name, 2, 7) == 2


def test_a_layer_is_one_kernel_where_it_fits_and_one_an_operator_where_not() -> None:
    assert check(GoldenMachine(DEMO), SMALL, 1) == {"fused": 1, "unfused": 17}
    assert check(GoldenMachine(TEST), SMALL, 1) == {"unfused": 17}


def test_a_wrong_element_is_found_wherever_it_is() -> None:
    """In what comes out, and in either cache, of the last sequence."""
    bench = LayerBench(_device(), SMALL.model(1), SMALL.shape, past=SMALL.past, modes=["fused"])
    bench.software("fused", lambda number: None)
    assert bench.mismatches() == 0
    data = bench.data
    data.expected.view(np.uint16)[2, 6] ^= 1
    for cache in data.caches.values():
        cache[2, 5, 0, 5] ^= 1
    assert bench.mismatches() == 3


def _device() -> random_decoders.Device:
    return random_decoders.Device(GoldenMachine(DEMO), DEMO.memory.hbm.capacity - random_decoders.Device.SCRATCH)


def test_a_pass_does_not_profit_from_the_caches_of_the_one_before() -> None:
    bench = LayerBench(_device(), SMALL.model(1), SMALL.shape, past=SMALL.past, modes=["fused"])
    at = bench.launches["fused"][0].addresses["values"]
    bench.software("fused", lambda number: None)
    written = bench.device.read(at, bench.data.tensors["values"].nbytes)
    before = np.ascontiguousarray(bench.data.tensors["values"]).view(np.uint8).reshape(-1)
    assert (written != before).any()
    bench.launches["fused"] = []
    bench.software("fused", lambda number: None)
    assert np.array_equal(bench.device.read(at, len(before)), before)
    assert bench.mismatches() > 0


def test_a_failure_is_told_of_the_smallest_layer_that_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_where_wide(machine: GoldenMachine, decoder: Decoder, seed: int, modes: list[str]) -> dict[str, int]:
        if decoder.inner > 20:
            raise DecoderDifferenceError(f"{decoder.inner - 20} elements differ")
        return {"fused": 1}

    monkeypatch.setattr(random_decoders, "check", fails_where_wide)
    with pytest.raises(DecoderDifferenceError) as failure:
        campaign(GoldenMachine(DEMO), 8, 3, ["fused"])
    note = failure.value.__notes__[0]
    smallest = re.search(r"key_heads=1, shared=1, pairs=1, hidden=2, inner=(\d+), past=\(0,\)", note)
    assert smallest is not None
    assert 20 < int(smallest[1]) <= 41
    assert str(failure.value) == f"{int(smallest[1]) - 20} elements differ"
    assert "on demo" in note


def test_a_machine_on_which_nothing_fits_is_said_to_be_too_small() -> None:
    with pytest.raises(ParameterError, match="of 4 random decoders only 0 fit nano: take a larger one"):
        campaign(GoldenMachine(NANO), 1, 1)


def test_smaller_layers_are_legal_and_end_with_the_smallest(rng: np.random.Generator) -> None:
    for _ in range(20):
        decoder, steps = random_decoder(rng), 0
        while following := list(smaller(decoder)):
            assert all(candidate.shape for candidate in following)
            decoder, steps = following[int(rng.integers(len(following)))], steps + 1
        assert steps < 60
        assert decoder == replace(SMALL, shared=1, pairs=1, hidden=2, inner=2, past=(0,), new=decoder.new, spare=0)
