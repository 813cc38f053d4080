"""A composition of experts as files: a router, experts, and a manifest that says which is which.

The manifest is JSON beside the folders of the models::

    {"router":  {"folder": "router", "checksum": "..."},
     "experts": [{"name": "addition", "letter": "a", "task": "addition", "folder": "demo", "checksum": "..."}, ...]}

The router's answer to a prompt is one letter, which names the expert. A checksum is that of a folder's config, weights
and tokenizer. What is wrong with the manifest or the router is an error; what is wrong with an expert takes only that
expert out of the composition.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coe_mapping.models.model import Model, ModelError
from coe_mapping.models.read import read_model
from coe_mapping.models.tokenizer import Tokenizer, read_tokenizer
from hdl.errors import ParameterError

MANIFEST = Path(__file__).parents[1] / "weights" / "composition.json"
"""The composition that comes with the project."""

FILES = ("config.json", "model.safetensors", "tokenizer.json")
ROUTER_KEYS = {"folder", "checksum"}
EXPERT_KEYS = {"name", "letter", "task", "folder", "checksum"}


class CompositionError(ParameterError):
    """A composition or an expert that cannot be used; the message names it, what is wrong, and what to do."""


@dataclass(frozen=True)
class Member:
    """An expert, ready to be used. ``letter``: the router's answer that means it. ``task``: what it was trained on."""

    name: str
    letter: str
    task: str
    model: Model


@dataclass(frozen=True)
class Composition:
    """A router, the experts by name, and a sentence for each expert that was refused. All share the tokenizer."""

    router: Model
    tokenizer: Tokenizer
    experts: Mapping[str, Member]
    refused: Mapping[str, str]

    def named(self, answer: str) -> Member | None:
        """The expert that an answer of the router means, if it means one."""
        return next((member for member in self.experts.values() if member.letter == answer), None)


def read_composition(path: Path = MANIFEST) -> Composition:
    """The composition of a manifest.

    Raises:
        CompositionError: the manifest is missing or wrong, two experts have one name or letter, the router is missing
            or damaged, or no expert is left.
    """
    manifest = _manifest(path)
    folder = path.parent / manifest["router"]["folder"]
    sentence = _damage(folder, manifest["router"]["checksum"])
    if sentence:
        raise CompositionError(f"composition {path}: the router cannot be used: {sentence}")
    router, tokenizer = _models(folder)
    experts: dict[str, Member] = {}
    refused: dict[str, str] = {}
    for entry in manifest["experts"]:
        try:
            model = _expert(path.parent / entry["folder"], entry["checksum"], folder)
            experts[entry["name"]] = Member(entry["name"], entry["letter"], entry["task"], model)
        except (CompositionError, ModelError) as error:
            refused[entry["name"]] = f"expert {entry['name']} is refused: {error}"
    if not experts:
        raise CompositionError(f"composition {path}: no expert is left. {' '.join(refused.values())}")
    return Composition(router, tokenizer, experts, refused)


def checksum(folder: Path) -> str:
    """SHA-256 over the files of a model, in a fixed order, names and lengths included.

    Raises:
        FileNotFoundError: one of them is missing.
    """
    digest = hashlib.sha256()
    for name in FILES:
        content = (folder / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def manifest_of(weights: Path, router: str, experts: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The manifest of folders under ``weights``; ``experts`` are entries that lack their checksum."""
    return {
        "router": {"folder": router, "checksum": checksum(weights / router)},
        "experts": [{**entry, "checksum": checksum(weights / entry["folder"])} for entry in experts],
    }


def _manifest(path: Path) -> dict[str, Any]:
    """Read and checked for form."""
    if not path.exists():
        raise CompositionError(f"composition {path} is missing: python -m scripts.train_router writes one")
    try:
        manifest = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CompositionError(f"composition {path} is not JSON: {error}") from error
    if not isinstance(manifest, dict) or set(manifest) != {"router", "experts"}:
        raise CompositionError(f"composition {path} must have the keys router and experts, and no others")
    if not isinstance(manifest["experts"], list) or not manifest["experts"]:
        raise CompositionError(f"composition {path}: experts must be a list with one entry at least")
    _keys(path, "router", manifest["router"], ROUTER_KEYS)
    for number, entry in enumerate(manifest["experts"]):
        _keys(path, f"expert {number}", entry, EXPERT_KEYS)
    for key in ("name", "letter"):
        values = [entry[key] for entry in manifest["experts"]]
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise CompositionError(f"composition {path}: two experts have the {key} {twice[0]!r}: give each its own")
    return manifest


def _keys(path: Path, what: str, entry: object, keys: set[str]) -> None:
    if not isinstance(entry, dict) or set(entry) != keys or not all(isinstance(v, str) for v in entry.values()):
        raise CompositionError(f"composition {path}: {what} must have text for {', '.join(sorted(keys))}: {entry}")


def _damage(folder: Path, expected: str) -> str | None:
    """What is wrong with the files of a folder, if anything is."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        return f"{folder / missing[0]} is missing; restore it, or take the entry out of the manifest"
    found = checksum(folder)
    if found != expected:
        return (
            f"the files in {folder} have the checksum {found[:12]}..., the manifest says {expected[:12]}...; restore "
            "them, or write the manifest again if they are meant to be new"
        )
    return None


def _models(folder: Path) -> tuple[Model, Tokenizer]:
    try:
        return read_model(folder), read_tokenizer(folder)
    except ModelError as error:
        raise CompositionError(f"the router cannot be used: {error}") from error


def _expert(folder: Path, expected: str, router: Path) -> Model:
    sentence = _damage(folder, expected)
    if sentence:
        raise CompositionError(sentence)
    if (folder / "tokenizer.json").read_bytes() != (router / "tokenizer.json").read_bytes():
        raise CompositionError(
            f"{folder / 'tokenizer.json'} differs from the router's, whose tokens the expert is given; train it with "
            "the same tokenizer"
        )
    return read_model(folder)
