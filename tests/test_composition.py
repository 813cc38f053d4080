"""A composition as files: read, refused with a sentence, and right as a whole."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from coe_mapping.experts.composition import (
    FILES,
    MANIFEST,
    CompositionError,
    checksum,
    manifest_of,
    read_composition,
)
from coe_mapping.experts.evaluate import score
from golden_model.operators import ContractArithmetic

WEIGHTS = MANIFEST.parent
ENTRIES = [
    {"name": "addition", "letter": "a", "task": "addition", "folder": "demo"},
    {"name": "date", "letter": "b", "task": "date", "folder": "date"},
]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two experts, and one of them again as the router."""
    for folder, source in (("router", "demo"), ("demo", "demo"), ("date", "date")):
        (tmp_path / folder).mkdir()
        for name in FILES:
            shutil.copy(WEIGHTS / source / name, tmp_path / folder / name)
    path = tmp_path / "composition.json"
    path.write_text(json.dumps(manifest_of(tmp_path, "router", ENTRIES)))
    return path


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_manifest_gives_a_router_and_experts_of_any_shape(manifest: Path) -> None:
    composition = read_composition(manifest)
    assert list(composition.experts) == ["addition", "date"]
    assert composition.refused == {}
    assert {member.model.config.hidden for member in composition.experts.values()} == {48, 64}
    assert composition.named("b") is composition.experts["date"]
    assert composition.named("z") is None


@pytest.mark.parametrize("name", FILES)
def test_an_expert_with_a_wrong_checksum_is_refused_and_the_others_go_on(manifest: Path, name: str) -> None:
    damaged = manifest.parent / "date" / name
    content = bytearray(damaged.read_bytes())
    content[-10] ^= 1
    damaged.write_bytes(content)
    composition = read_composition(manifest)
    assert list(composition.experts) == ["addition"]
    assert composition.refused["date"].startswith(
        f"expert date is refused: the files in {manifest.parent / 'date'} have"
    )
    assert "restore them, or write the manifest again" in composition.refused["date"]


def test_an_expert_with_a_missing_file_is_refused_and_the_others_go_on(manifest: Path) -> None:
    missing = manifest.parent / "date" / "model.safetensors"
    missing.unlink()
    composition = read_composition(manifest)
    assert list(composition.experts) == ["addition"]
    assert composition.refused["date"].startswith(f"expert date is refused: {missing} is missing; restore it")


def test_an_expert_with_another_tokenizer_is_refused(manifest: Path) -> None:
    tokenizer = manifest.parent / "date" / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"0": 2', '"0": 3').replace('"1": 3', '"1": 2'))
    edit(manifest, lambda content: content["experts"][1].update(checksum=checksum(manifest.parent / "date")))
    assert "tokenizer.json differs from the router's" in read_composition(manifest).refused["date"]


def test_an_expert_that_is_no_model_is_refused_with_the_readers_sentence(manifest: Path) -> None:
    config = manifest.parent / "date" / "config.json"
    config.write_text(config.read_text().replace('"llama"', '"bloom"'))
    edit(manifest, lambda content: content["experts"][1].update(checksum=checksum(manifest.parent / "date")))
    assert "bloom" in read_composition(manifest).refused["date"]


def test_a_composition_without_any_expert_left_is_an_error(manifest: Path) -> None:
    for folder in ("demo", "date"):
        (manifest.parent / folder / "config.json").unlink()
    with pytest.raises(CompositionError, match=r"no expert is left. expert addition is refused: .* expert date is"):
        read_composition(manifest)


def test_a_damaged_router_is_an_error(manifest: Path) -> None:
    (manifest.parent / "router" / "config.json").unlink()
    with pytest.raises(CompositionError, match=r"the router cannot be used: .*config.json is missing; restore it"):
        read_composition(manifest)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["experts"][1].update(name="addition"), "two experts have the name 'addition': give each its own"),
        (lambda c: c["experts"][1].update(letter="a"), "two experts have the letter 'a': give each its own"),
        (lambda c: c["experts"][1].pop("folder"), "expert 1 must have text for checksum, folder, letter, name, task"),
        (lambda c: c["experts"][0].update(weight=1), "expert 0 must have text for"),
        (lambda c: c["router"].pop("checksum"), "router must have text for checksum, folder"),
        (lambda c: c.update(experts=[]), "experts must be a list with one entry at least"),
        (lambda c: c.update(version=2), "must have the keys router and experts, and no others"),
    ],
)
def test_a_manifest_that_is_wrong_is_an_error(
    manifest: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    edit(manifest, change)
    with pytest.raises(CompositionError, match=sentence):
        read_composition(manifest)


def test_a_manifest_that_is_missing_or_no_json_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompositionError, match=r"missing: python -m scripts.train_router writes one"):
        read_composition(tmp_path / "composition.json")
    (tmp_path / "composition.json").write_text("{")
    with pytest.raises(CompositionError, match="is not JSON"):
        read_composition(tmp_path / "composition.json")


def test_the_committed_composition_is_whole_and_right_on_a_sample_of_held_out_prompts() -> None:
    composition = read_composition()
    assert composition.refused == {}
    assert len(composition.experts) >= 8
    assert len({member.model.config for member in composition.experts.values()}) >= 3
    scores = score(composition, ContractArithmetic(), 6)
    assert set(scores.prompts.values()) == {6}
    assert scores.router >= 0.98, scores.routed
    assert scores.composition >= 0.95, scores.whole
    assert min(scores.expert.values()) >= 0.83, scores.expert


def test_a_prompt_that_the_router_sends_elsewhere_counts_by_that_experts_answer() -> None:
    """Two experts with their letters exchanged: the router is never right, and neither is the whole."""
    composition = read_composition()
    one, other = (composition.experts[name] for name in ("addition", "roman"))
    exchanged = {"addition": replace(one, letter=other.letter), "roman": replace(other, letter=one.letter)}
    scores = score(replace(composition, experts=exchanged), ContractArithmetic(), 3)
    assert (scores.router, scores.composition) == (0.0, 0.0)
    assert min(scores.expert.values()) == 1.0
