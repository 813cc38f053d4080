"""A model of the Llama family as data: sizes, and BF16 arrays under one set of names, whatever file they came from.

Rotary embedding turns neighbours, features (2i, 2i + 1) of a head: rows of the query and key projections of files that
turn (i, i + head_size / 2) are put into that order on reading, which changes no score.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]

LAYER_TENSORS = (
    "attention_norm",
    "query",
    "key",
    "value",
    "output",
    "mlp_norm",
    "gate",
    "up",
    "down",
)


class ModelError(ValueError):
    """A checkpoint that cannot be used; the message names the file, what was expected and what was found."""


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding.

    Attributes:
        frequencies: radians a position for each pair of features of a head, scaling included.
        amplitude: of cosine and sine; 1 but for models whose context was extended by YaRN.
    """

    frequencies: tuple[float, ...]
    amplitude: float = 1.0


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a model.

    Attributes:
        context: most positions it was made for.
        tied: the embedding is the output projection too.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    context: int
    epsilon: float
    rotary: Rotary
    tied: bool

    def __post_init__(self) -> None:
        for name in ("vocabulary", "hidden", "intermediate", "layers", "heads", "kv_heads", "head_size", "context"):
            if getattr(self, name) < 1:
                raise ModelError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.heads % self.kv_heads:
            raise ModelError(f"{self.heads} heads cannot share {self.kv_heads} key and value heads evenly")
        if self.head_size % 2:
            raise ModelError(f"a head size of {self.head_size} is odd: rotary embedding turns features in pairs")
        if len(self.rotary.frequencies) != self.head_size // 2:
            raise ModelError(
                f"{len(self.rotary.frequencies)} rotary frequencies do not fit a head size of {self.head_size}, "
                f"which wants {self.head_size // 2}"
            )
        if not self.epsilon > 0:
            raise ModelError(f"the norms' epsilon is {self.epsilon}, it must be above 0")

    @property
    def query_features(self) -> int:
        return self.heads * self.head_size

    @property
    def key_features(self) -> int:
        return self.kv_heads * self.head_size

    @property
    def attention_scale(self) -> float:
        """What scores are multiplied by."""
        return float(self.head_size**-0.5)

    def shapes(self) -> dict[str, Shape]:
        """Every tensor's shape by name; matrices are (outputs, inputs)."""
        shapes: dict[str, Shape] = {"embedding": (self.vocabulary, self.hidden)}
        for layer in range(self.layers):
            shapes |= {layer_tensor(layer, name): shape for name, shape in self._layer_shapes().items()}
        shapes["final_norm"] = (self.hidden,)
        if not self.tied:
            shapes["head"] = (self.vocabulary, self.hidden)
        return shapes

    def _layer_shapes(self) -> dict[str, Shape]:
        return {
            "attention_norm": (self.hidden,),
            "query": (self.query_features, self.hidden),
            "key": (self.key_features, self.hidden),
            "value": (self.key_features, self.hidden),
            "output": (self.hidden, self.query_features),
            "mlp_norm": (self.hidden,),
            "gate": (self.intermediate, self.hidden),
            "up": (self.intermediate, self.hidden),
            "down": (self.hidden, self.intermediate),
        }


@dataclass(frozen=True)
class Model:
    """Sizes and weights; ``tensors`` holds exactly what ``config.shapes()`` lists, as ``ml_dtypes.bfloat16``."""

    config: ModelConfig
    tensors: Mapping[str, Array]

    def __post_init__(self) -> None:
        for name, shape in self.config.shapes().items():
            if name not in self.tensors:
                raise ModelError(f"tensor {name} of shape {shape} is missing")
            found = self.tensors[name]
            if found.shape != shape or found.dtype != bfloat16:
                raise ModelError(f"tensor {name} must be bfloat16 {shape}, it is {found.dtype} {found.shape}")
        for name in self.tensors:
            if name not in self.config.shapes():
                raise ModelError(f"tensor {name} has no place in the model")

    def first(self, layers: int) -> "Model":
        """The model with only its first ``layers`` decoder layers.

        Raises:
            ModelError: it has fewer.
        """
        if not 1 <= layers <= self.config.layers:
            raise ModelError(
                f"{layers} layers cannot be run of a model of {self.config.layers}: ask for 1 to that many"
            )
        config = replace(self.config, layers=layers)
        return Model(config, {name: self.tensors[name] for name in config.shapes()})

    @property
    def head(self) -> str:
        """Name of the output projection: the embedding where they are tied."""
        return "embedding" if self.config.tied else "head"

    @property
    def bytes(self) -> int:
        """Of all weights."""
        return sum(tensor.nbytes for tensor in self.tensors.values())


def layer_tensor(layer: int, name: str) -> str:
    """``layers.3.query``."""
    return f"layers.{layer}.{name}"


def to_neighbours(rows: Array, heads: int) -> Array:
    """Rows (heads * head_size, k) whose rotary pairs are half a head apart, with the pairs made neighbours."""
    return np.ascontiguousarray(rows.reshape(heads, 2, -1, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape))


def to_halves(rows: Array, heads: int) -> Array:
    """The inverse of :func:`to_neighbours`."""
    return np.ascontiguousarray(rows.reshape(heads, -1, 2, rows.shape[-1]).swapaxes(1, 2).reshape(rows.shape))


def rotary_projections(config: ModelConfig) -> Iterator[tuple[str, int]]:
    """Names of the projections whose rows are rotated, with their number of heads."""
    for layer in range(config.layers):
        yield layer_tensor(layer, "query"), config.heads
        yield layer_tensor(layer, "key"), config.kv_heads
