"""The float32 model that greedy text is held against, itself held against logits recorded from ``transformers``."""

from pathlib import Path

import numpy as np
import pytest

from coe_mapping.models import read_model
from golden_model.operators import ContractArithmetic, PlainArithmetic
from verif.float32_reference import Disagreement, disagreements, greedy, logits

FIXTURES = Path(__file__).parent / "fixtures" / "logits"
PROMPT = [3, 1, 4, 1, 5]


@pytest.mark.parametrize("name", ["plain", "yarn"])
def test_its_logits_are_those_of_transformers(name: str) -> None:
    recorded = np.load(FIXTURES / name / "logits.npz")
    theirs = recorded["logits"]
    assert np.abs(logits(read_model(FIXTURES / name), recorded["tokens"]) - theirs).max() < 1e-4 * theirs.std()


def test_exact_arithmetic_writes_what_it_would() -> None:
    model = read_model(FIXTURES / "plain")
    tokens, seen = greedy(model, PlainArithmetic(), PROMPT, 8)
    assert len(tokens) == len(seen) == 8
    assert disagreements(model, PROMPT, tokens, seen) == []


def test_another_token_is_found_with_how_far_it_was_from_the_best() -> None:
    model = read_model(FIXTURES / "plain")
    tokens, seen = greedy(model, ContractArithmetic(), PROMPT, 4)
    worst = int(seen[-1].argmin())
    found = disagreements(model, PROMPT, [*tokens[:-1], worst], seen)[-1]
    assert (found.step, found.ours) == (3, worst)
    assert found.margin == pytest.approx(np.ptp(seen[-1]), rel=0.1)
    assert not found.is_explained


def test_rounding_explains_a_margin_of_a_few_times_what_it_does_to_logits() -> None:
    assert Disagreement(0, 1, 2, margin=0.4, noise=0.1).is_explained
    assert not Disagreement(0, 1, 2, margin=0.5, noise=0.1).is_explained
