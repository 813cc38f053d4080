"""The main job: a trained model generates text on the RTL of a demo socket under cocotb, bit for bit."""

import json
from typing import Any

import pytest

from hdl.clock_gate import CELL
from hdl.errors import ParameterError
from scripts.sim import WEIGHTS, Display, check
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


@pytest.mark.parametrize("prompt", ["", "é"])
def test_a_prompt_with_nothing_that_the_model_knows_is_refused_before_anything_is_built(prompt: str) -> None:
    with pytest.raises(ParameterError, match="has nothing that the model's tokenizer knows"):
        check(WEIGHTS / "demo", ["1+1=", prompt])
