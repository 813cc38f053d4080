"""Random models of awkward sizes for tests."""

from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from coe_mapping.models.model import Model, ModelConfig
from coe_mapping.models.rotary import rotary

UNEVEN: dict[str, Any] = {
    "vocabulary": 41,
    "hidden": 30,
    "intermediate": 45,
    "layers": 2,
    "heads": 6,
    "kv_heads": 2,
    "head_size": 10,
    "context": 32,
    "epsilon": 1e-5,
    "tied": False,
}


def config(**changes: Any) -> ModelConfig:
    """Sizes that divide nothing evenly, but for ``changes``; rotary frequencies follow the head size."""
    sizes = UNEVEN | changes
    return ModelConfig(**({"rotary": rotary(sizes["head_size"], 10000.0)} | sizes))


def model(rng: np.random.Generator, **changes: Any) -> Model:
    """Random weights of a sensible size."""
    sizes = config(**changes)
    return Model(sizes, {name: _tensor(rng, shape) for name, shape in sizes.shapes().items()})


def _tensor(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    values = rng.standard_normal(shape)
    return (values * shape[-1] ** -0.5 if len(shape) > 1 else 1 + values / 5).astype(bfloat16)
