"""The committed model: small, right, and usable from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from coe_mapping.models import read_model, read_tokenizer
from coe_mapping.models.evaluate import exact_match
from coe_mapping.models.tasks import ALPHABET, END, task
from golden_model.operators import ContractArithmetic

WEIGHTS = Path(__file__).parent.parent / "coe_mapping" / "weights"
DEMO = WEIGHTS / "demo"
MODELS = [entry["folder"] for entry in json.loads((WEIGHTS / "composition.json").read_text())["experts"]]


@pytest.mark.parametrize("name", MODELS)
def test_a_committed_model_is_small_and_was_measured_on_prompts_it_never_saw(name: str) -> None:
    assert read_model(WEIGHTS / name).bytes < 1_000_000
    for measured in json.loads((WEIGHTS / name / "accuracy.json").read_text())["held_out"].values():
        assert measured["prompts"] >= 400
        assert measured["exact_match"] >= 0.97


def test_the_demos_model_answers_a_sample_of_held_out_prompts_in_the_machines_arithmetic() -> None:
    """``tests/test_composition.py`` has a smaller sample for every expert."""
    model, tokenizer = read_model(DEMO), read_tokenizer(DEMO)
    score = exact_match(model, tokenizer, task("addition"), ContractArithmetic(), 40)
    assert score.prompts == 40
    assert score.exact_match >= 0.92, score.misses


def test_the_demos_tokenizer_has_a_token_a_letter_and_starts_with_the_end_mark() -> None:
    tokenizer = read_tokenizer(DEMO)
    assert tokenizer.encode(ALPHABET[1:]) == [ALPHABET.index(END), *range(1, len(ALPHABET))]
    assert tokenizer.decode(tokenizer.encode("12 + 3=")) == "12 + 3="
    assert tokenizer.stops == {ALPHABET.index(END)}


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "coe_mapping.models.generate", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_command_line_prints_the_answer() -> None:
    assert generate(str(DEMO), "--prompt", "123+456=").stdout == "579\n"


def test_the_command_line_names_what_is_wrong_with_a_model(tmp_path: Path) -> None:
    result = generate(str(tmp_path / "nothing"), "--prompt", "1")
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert "Traceback" not in result.stderr
