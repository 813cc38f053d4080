"""From a file's tensors to a :class:`Model`: names and shapes checked, defects told in the file's own names."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from ml_dtypes import bfloat16

from coe_mapping.models.model import Array, Model, ModelConfig, ModelError, Shape, rotary_projections, to_neighbours
from golden_model import numerics as golden


def assemble(
    path: Path,
    config: ModelConfig,
    tensors: Mapping[str, Array],
    names: Callable[[str], str],
    halves: bool = False,
    ignored: Iterable[str] = (),
) -> Model:
    """The model that ``tensors``, by the file's names, hold.

    Args:
        names: the file's name of each of ``config.shapes()``.
        halves: the file's rotary pairs are half a head apart.
        ignored: names that may be there and mean nothing.

    Raises:
        ModelError: a tensor is missing, of another shape, not finite, or not of this family.
    """
    taken = {name: _checked(path, names(name), shape, tensors) for name, shape in config.shapes().items()}
    left = sorted(set(tensors) - {names(name) for name in taken} - set(ignored))
    if left:
        shape = tensors[left[0]].shape
        raise ModelError(f"{path}: tensor {left[0]} of shape {shape} has no place in a Llama model, {len(left)} such")
    if halves:
        taken |= {name: to_neighbours(taken[name], heads) for name, heads in rotary_projections(config)}
    return Model(config, taken)


def _checked(path: Path, name: str, shape: Shape, tensors: Mapping[str, Array]) -> Array:
    if name not in tensors:
        raise ModelError(f"{path}: tensor {name} is missing; expected shape {shape}")
    if tensors[name].shape != shape:
        raise ModelError(f"{path}: tensor {name} has shape {tensors[name].shape}, expected {shape}")
    rounded = golden.canonicalize(tensors[name].astype(bfloat16))
    if not np.isfinite(rounded).all():
        raise ModelError(f"{path}: tensor {name} of shape {shape} holds values that are not finite in bfloat16")
    return rounded
