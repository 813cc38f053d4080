"""The main job: a trained model generates text on the RTL of a demo socket under cocotb, bit for bit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from coe_mapping.models.model import ModelError
from hdl.clock_gate import CELL
from hdl.errors import ParameterError
from hdl.params import DEMO
from scripts import sim
from scripts.sim import PROMPTS, WEIGHTS, Asked, Seen, asked_for, assemble, check, failures, keep, show
from scripts.sim_display import Display, ExpertsDisplay
from verif.generation import MARK
from verif.machine import BLOCKS
from verif.models import SOURCES
from verif.sim import run_bench


def generate(preset: str, **options: Any) -> dict[str, Any]:
    """The result of a run."""
    display = Display(options["prompts"])
    run_bench(
        "verif.benches.board",
        name=f"board_{preset}_cocotb",
        parameters={"preset": preset, "job": "verif.generation:run", "options": options},
        sources=(*SOURCES, CELL),
        blocks=BLOCKS,
        timeout_s=3600,
        show=display.line,
    )
    return display.result


def test_a_trained_model_generates_on_the_rtl_of_a_demo_socket_and_every_bit_is_that_of_the_golden_model() -> None:
    options = {"model": str(WEIGHTS / "demo"), "prompts": ["123+456="], "tokens": 2}
    result = generate("demo", **options, modes=["fused_ho"], phases=[])
    (run,) = result["runs"]
    assert [(kernel["name"], kernel["mode"]) for kernel in run["kernels"]] == [
        ("prefill head", "fused_ho"),
        ("decode head", "fused_ho"),
        ("decode layers", "fused_ho"),
    ]
    (looping,) = run["looping"]
    assert looping["phase"] == "decode"
    assert all(cycles > 0 for cycles in looping["cycles"].values())
    assert run["mismatches"] == []
    assert run["bit_exact"]
    assert (run["texts"], run["rows"], run["tokens"]) == (["57"], 3 * (9 + 1), 2)
    assert all(launch["end"] > launch["start"] for launch in run["timeline"])


def test_the_display_shows_texts_as_they_come_and_ignores_other_lines() -> None:
    display = Display(["1+1="])
    display.line("a warning of the simulator")
    display.line(MARK + json.dumps({"kind": "token", "mode": "fused_ho", "prompt": 0, "text": "2"}))
    assert display.texts["fused_ho"] == ["2"]
    assert display.texts["fused_so"] == [""]


def test_the_display_shows_which_expert_answers_and_whether_it_is_copied() -> None:
    display = ExpertsDisplay(["1+1=", "roman 2="])
    for event in (
        {"kind": "routed", "prompt": 1, "expert": "roman"},
        {"kind": "copying", "expert": "roman", "evicts": ["addition"]},
        {"kind": "begins", "prompt": 1, "expert": "roman", "hit": False},
        {"kind": "text", "prompt": 1, "text": "II"},
    ):
        display.line(MARK + json.dumps(event))
    console = Console(record=True, width=120)
    console.print(display)
    shown = console.export_text()
    assert "roman 2= │ roman  │ copied │ II" in shown
    assert "roman answers roman 2=; roman is copied from DDR to HBM, evicting addition" in shown


@pytest.mark.parametrize(
    ("given", "experts"),
    [
        ([], True),
        (["--prompt", "1+1="], True),
        (["--experts", "0"], False),
        (["--model", "elsewhere"], False),
        (["--layers", "1"], False),
        (["--preset", "test"], False),
        (["--model", "elsewhere", "--experts", "1"], True),
    ],
)
def test_experts_run_beside_the_model_that_comes_with_the_project_unless_told_otherwise(
    given: list[str], experts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["sim", *given])
    assert asked_for(sim._options()).experts == experts


def test_experts_on_a_machine_too_small_and_no_host_link_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["sim", "--preset", "test", "--experts", "1"])
    with pytest.raises(ParameterError, match="experts fit the demo preset only, not test: leave EXPERTS=1 out"):
        asked_for(sim._options())
    monkeypatch.setattr("sys.argv", ["sim", "--host-links", "0"])
    with pytest.raises(ParameterError, match="0 host links to compare with: give one at least"):
        asked_for(sim._options())


@pytest.mark.parametrize("prompt", ["", "é"])
def test_a_prompt_with_nothing_that_the_model_knows_is_refused_before_anything_is_built(prompt: str) -> None:
    with pytest.raises(ParameterError, match="has nothing that the model's tokenizer knows"):
        check(WEIGHTS / "demo", ["1+1=", prompt])


def test_more_layers_than_the_checkpoint_has_are_refused_before_anything_is_built() -> None:
    with pytest.raises(ModelError, match="4 layers cannot be run of a model of 3: ask for 1 to that many"):
        check(WEIGHTS / "demo", ["1+1="], layers=4)


def asked(layers: int | None = None) -> Asked:
    return Asked(DEMO, WEIGHTS / "demo", ("1+1=",), 5, layers)


def seen(texts: list[str]) -> Seen:
    """What a run leaves, with nothing measured."""
    display = Display(["1+1="])
    run = {"mode": "fused_ho", "texts": texts, "bit_exact": True, "rows": 1, "tokens": 1, "mismatches": []}
    made = {"widths": [64, 4, 2, 16, 128], "rows": {"prefill": 4, "decode": 1}, "layers": []}
    display.result = {"runs": [run | {"timeline": [], "kernels": [], "looping": []}], **made}
    return Seen(display)


@pytest.mark.parametrize(("layers", "truth", "correct"), [(None, "2", True), (3, "2", True), (2, None, None)])
def test_the_text_of_fewer_layers_is_not_compared_with_the_truth_and_says_so(
    layers: int | None, truth: str | None, correct: bool | None
) -> None:
    result = assemble(asked(layers), seen(["2"]))
    assert result["answers"] == [{"prompt": "1+1=", "text": "2", "truth": truth, "correct": correct}]
    assert result["answers_correct"] == (1 if correct else 0)
    assert result["layers"] == {"run": layers or 3, "of": 3}
    console = Console(record=True, width=200)
    show(console, result)
    assert ("Only the first 2 of the 3" in console.export_text()) == (layers == 2)


def test_a_wrong_answer_is_a_failure_of_the_demonstration_and_not_of_another_prompt() -> None:
    result = assemble(asked(), seen(["3"]))
    assert result["experts"] is None
    assert list(failures(result, own=True)) == ["the answer to '1+1=' is '3', and right is '2'"]
    assert list(failures(result, own=False)) == []
    assert not asked().is_demonstration
    assert replace(asked(), prompts=PROMPTS).is_demonstration
    assert not replace(asked(), prompts=PROMPTS, tokens=2).is_demonstration, "the answer is not whole"
    assert not replace(asked(), prompts=PROMPTS, layers=2).is_demonstration


def test_a_bit_that_differs_is_a_failure_in_one_sentence() -> None:
    found = seen(["2"])
    found.display.result["runs"][0] |= {"bit_exact": False, "mismatches": ["decode, layer 0: element 1 is 2", "more"]}
    assert list(failures(assemble(asked(), found), own=True)) == [
        "the language model on RTL differs from the golden model: decode, layer 0: element 1 is 2"
    ]


def test_waves_are_kept_beside_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim, "OUT", tmp_path / "sim")
    run = tmp_path / "run"
    run.mkdir()
    (run / "board.vcd").write_text("$end")
    kept = keep(run / "board.vcd")
    assert (kept, kept.read_text()) == (tmp_path / "sim" / "waves.vcd", "$end")
    assert not run.exists()
