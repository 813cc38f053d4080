"""What `make sim` says of the composition: other ways beside what was measured, failures, figures."""

from collections.abc import Mapping

import pytest

from hdl.params import DEMO
from scripts import sim_experts
from scripts.sim_experts import JOB, assemble, failures
from tests.composed import COPY, DECODE, PREFILL, ROUTER, SIZE, ran

SLOWER: Mapping[str, Mapping[str, float]] = {"by the host": {"prefill": 1.5, "decode": 1.25}}


def test_the_prompts_in_other_ways_follow_from_what_was_measured() -> None:
    """In order every prompt needs another expert than the two before it, so each of six copies is waited for."""
    found = assemble(DEMO, ran(), 2, SLOWER)
    measured, in_order, slow, fast, host = (found["measured"], *found["baselines"])
    assert measured["cycles"] == 6 * (ROUTER + PREFILL + DECODE) + 100
    assert found["time_model_error"] == pytest.approx(0, abs=0.001)
    assert (in_order["cycles"], in_order["hit_rate"]) == (6 * (ROUTER + PREFILL + DECODE + COPY), 0)
    assert (in_order["switching"], in_order["waited"], in_order["hidden_share"]) == (6 * COPY, 6 * COPY, 0)
    assert [way["name"] for way in (slow, fast)] == [
        "2 host links, DDR 31 times one",
        "2 host links, DDR 15.5 times one",
    ]
    assert slow["switching"] / in_order["switching"] == pytest.approx(31 / 2, rel=0.01)
    assert fast["switching"] / in_order["switching"] == pytest.approx(15.5 / 2, rel=0.01)
    assert host["running"] == 6 * (1.5 * PREFILL + 1.25 * DECODE)
    assert host["hit_rate"] == measured["hit_rate"] == pytest.approx(1 / 3)
    for way in (in_order, slow, fast, host):
        assert way["how"].startswith("computed by the time model from the measured cycles")
        assert max(way["latencies"]) == way["cycles"] == way["spans"][-1]["end"]
        for before, after in zip(way["spans"], way["spans"][1:], strict=False):
            assert after["start"] >= before["end"] - 1e-6


def test_switching_is_summed_up_by_expert_and_held_against_what_waited() -> None:
    switching = assemble(DEMO, ran(), 1, {})["switching"]
    assert switching["by_expert"] == dict.fromkeys(JOB.experts, COPY)
    assert (switching["cycles"], switching["waited"]) == (4 * COPY, 100)
    assert switching["hidden_share"] == pytest.approx(1 - 100 / (4 * COPY))
    assert switching["ddr_utilisation"] == pytest.approx(SIZE / (64 / 9) / COPY)


def test_wrong_and_refused_prompts_are_failures_in_a_sentence_each() -> None:
    found = assemble(DEMO, ran(), 1, {})
    assert list(failures(found)) == []
    found["prompts"][1] |= {"text": "XCVI", "correct": False}
    found["prompts"][2] |= {"expert": None, "refused": "expert greatest is damaged", "correct": False}
    assert list(failures(found)) == [
        "expert roman answers 'roman 94=' with 'XCVI', and right is 'XCIV'",
        "prompt 'max 31 4 6=' was refused: expert greatest is damaged",
    ]


def test_the_figures_are_those_of_switching(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: dict[str, float] = {}
    monkeypatch.setattr(sim_experts.figures, "record", recorded.__setitem__)
    sim_experts.record(assemble(DEMO, ran(), 1, {}))
    assert recorded == {"switch_hidden_share": 0.999, "switch_ddr_utilisation": 0.998}
