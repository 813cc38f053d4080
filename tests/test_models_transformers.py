"""Logits recorded from ``transformers`` (``scripts/record_logits.py``) on models with every rotary scaling."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.graph import Runner
from coe_mapping.models import read_model
from golden_model.operators import Arithmetic, ContractArithmetic, PlainArithmetic

FIXTURES = Path(__file__).parent / "fixtures" / "logits"
NAMES = ("plain", "linear", "llama3", "yarn")


def logits(name: str, arithmetic: Arithmetic) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ours and theirs, in units of the spread of theirs."""
    recorded = np.load(FIXTURES / name / "logits.npz")
    tokens, theirs = recorded["tokens"], recorded["logits"].astype(np.float64)
    runner = Runner(read_model(FIXTURES / name), arithmetic, 1, len(tokens), every_row=True)
    return runner.step(tokens[np.newaxis]).logits / theirs.std(), theirs / theirs.std()


@pytest.mark.parametrize("name", NAMES)
def test_float64_logits_are_those_of_transformers_to_a_hundred_thousandth(name: str) -> None:
    """Theirs are computed in float64 but for the rotary angles, which transformers makes in float32."""
    ours, theirs = logits(name, PlainArithmetic())
    assert np.abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_the_golden_models_logits_are_near_those_of_transformers(name: str) -> None:
    ours, theirs = logits(name, ContractArithmetic())
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.03
    assert np.abs(ours - theirs).max() < 0.2
