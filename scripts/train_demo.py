"""Trains the model of the demonstration, addition of two three-digit numbers, to ``coe_mapping/weights/demo``.

``python -m scripts.train_demo`` (extra ``train``); a few minutes on one core.
"""

from scripts.train_experts import WEIGHTS, train_and_measure
from scripts.train_model import Recipe, Shape

SHAPE = Shape(hidden=64, intermediate=128, layers=3, heads=4, kv_heads=2, head_size=16)
RECIPE = Recipe(seed=1, steps=1500)

if __name__ == "__main__":
    train_and_measure(["addition"], SHAPE, RECIPE, WEIGHTS / "demo")
