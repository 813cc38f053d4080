"""Trains one expert to ``coe_mapping/weights/NAME``: ``python -m scripts.train_experts --task NAME`` (extra ``train``).

Several tasks, ``--task roman sorting``, train one model on all of them. The exact match beside the weights is that of
the golden model, in the machine's arithmetic, on prompts that training never saw.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from coe_mapping.models import read_model, read_tokenizer
from coe_mapping.models.evaluate import exact_match
from coe_mapping.models.tasks import TASKS, task
from golden_model.operators import ContractArithmetic
from scripts.train_model import Recipe, Shape, train_and_save

WEIGHTS = Path(__file__).parent.parent / "coe_mapping" / "weights"
LANES = 8
HELD_OUT_PROMPTS = 1000


def train_and_measure(names: Sequence[str], shape: Shape, recipe: Recipe, folder: Path) -> None:
    """Trains a model on the tasks of these names, saves it in ``folder`` and writes ``accuracy.json`` beside it."""
    train_and_save([task(name) for name in names], shape, recipe, folder)
    measure(names, folder)


def measure(names: Sequence[str], folder: Path, prompts: int = HELD_OUT_PROMPTS) -> None:
    """Writes ``accuracy.json``: exact match of the golden model on held-out prompts of each task."""
    model, tokenizer = read_model(folder), read_tokenizer(folder)
    held_out: dict[str, dict[str, float]] = {}
    for name in names:
        score = exact_match(model, tokenizer, task(name), ContractArithmetic(LANES), prompts)
        held_out[name] = {"prompts": score.prompts, "exact_match": score.exact_match}
        print(f"{name}: {score.exact_match:.2%} of {score.prompts} held-out prompts; missed: {score.misses}")
    result = {"arithmetic": f"golden model, {LANES} lanes", "parameters": model.bytes // 2, "held_out": held_out}
    (folder / "accuracy.json").write_text(json.dumps(result, indent=2) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", required=True, choices=list(TASKS), help="what to train on")
    parser.add_argument("--to", type=Path, help="folder for the model (coe_mapping/weights/ and the first task's name)")
    parser.add_argument("--measure-only", action="store_true", help="measure the model that is there")
    sizes = {"layers": 3, "hidden": 64, "intermediate": 128, "steps": 700, "batch": 128, "seed": 1}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"({default})")
    return parser.parse_args()


def main() -> None:
    options = _options()
    folder = options.to or WEIGHTS / options.task[0]
    if options.measure_only:
        measure(options.task, folder)
        return
    shape = Shape(hidden=options.hidden, intermediate=options.intermediate, layers=options.layers)
    train_and_measure(options.task, shape, Recipe(options.seed, options.steps, options.batch), folder)


if __name__ == "__main__":
    main()
