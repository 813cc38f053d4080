"""Trains the router, and writes the manifest of the composition: ``python -m scripts.train_router`` (extra ``train``).

The experts are the folders named, each on the task that its ``training.json`` says; the letter that means an expert is
the next of the alphabet. Run it again after an expert was trained anew, with ``--manifest-only`` if the experts are the
same: the manifest has their checksums.
"""

import argparse
import json
from pathlib import Path

from coe_mapping.experts.composition import MANIFEST, manifest_of
from coe_mapping.experts.router import routing_task
from coe_mapping.models.tasks import TASKS
from scripts.train_experts import WEIGHTS
from scripts.train_model import Recipe, Shape, train_and_save

FOLDER = "router"
EXPERTS = ("demo", "roman", "unit", "date", "next_letter", "brackets", "words", "greatest", "sorting")
SHAPE = Shape(hidden=32, intermediate=64, layers=2)
RECIPE = Recipe(seed=1, steps=400, batch=128)


def entries(folders: list[str]) -> list[dict[str, str]]:
    """What the manifest says of each expert, but for its checksum."""
    tasks = [json.loads((WEIGHTS / folder / "training.json").read_text())["tasks"] for folder in folders]
    return [
        {"name": task, "letter": chr(ord("a") + i), "task": task, "folder": folder}
        for i, (folder, (task,)) in enumerate(zip(folders, tasks, strict=True))
    ]


def train_router(experts: list[dict[str, str]], folder: Path) -> None:
    train_and_save([routing_task(TASKS[e["task"]], e["letter"]) for e in experts], SHAPE, RECIPE, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experts", nargs="+", default=list(EXPERTS), help="folders under coe_mapping/weights")
    parser.add_argument("--manifest-only", action="store_true", help="the router is there already")
    options = parser.parse_args()
    experts = entries(options.experts)
    if not options.manifest_only:
        train_router(experts, WEIGHTS / FOLDER)
    MANIFEST.write_text(json.dumps(manifest_of(WEIGHTS, FOLDER, experts), indent=2) + "\n")


if __name__ == "__main__":
    main()
