"""Checkpoints of llama2.c: a header of sizes, then every tensor in float32, one after the other, layers stacked.

Source: karpathy/llama2.c, ``export.py``: the first format (no magic), and version 1 (magic ``ak42``).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coe_mapping.models.checkpoint import assemble
from coe_mapping.models.model import LAYER_TENSORS, Array, Model, ModelConfig, ModelError, Shape, layer_tensor
from coe_mapping.models.rotary import rotary

MAGIC = 0x616B3432
VERSION_1_HEADER = 256
THETA, EPSILON = 10000.0, 1e-5

ORDER = ("embedding", "attention_norm", "query", "key", "value", "output", "mlp_norm", "gate", "down", "up")
VERSION_1_ORDER: tuple[str, ...] = (
    "attention_norm",
    "mlp_norm",
    "final_norm",
    "embedding",
    "query",
    "key",
    "value",
    "output",
)
VERSION_1_ORDER += ("gate", "down", "up", "head")


@dataclass(frozen=True)
class _Header:
    """Where the tensors begin, in which order they come, and the sizes."""

    start: int
    order: tuple[str, ...]
    config: ModelConfig


def read_llama2c(path: Path) -> Model:
    """The model in a ``.bin`` file.

    Raises:
        ModelError: the file is truncated, too long, quantised, or no such file.
    """
    content = path.read_bytes()
    header = _header(path, content)
    stacked, offset = {}, header.start
    for name in header.order:
        shape = _stacked_shape(header.config, name)
        stacked[name], offset = _tensor(path, content, offset, name, shape)
    if offset != len(content):
        raise ModelError(f"{path}: holds {len(content)} bytes, the sizes in its header account for {offset}")
    return assemble(path, header.config, _unstacked(header.config, stacked), str, ignored=("cosines", "sines"))


def write_llama2c(model: Model, path: Path) -> None:
    """Writes the first format.

    Raises:
        ModelError: the model has what the format cannot say.
    """
    config = model.config
    if config.query_features != config.hidden or config.rotary != rotary(config.head_size, THETA):
        raise ModelError("llama2.c knows only heads that add up to the hidden size, and rotary with theta 10000")
    vocabulary = config.vocabulary if config.tied else -config.vocabulary
    sizes = (config.hidden, config.intermediate, config.layers, config.heads, config.kv_heads, vocabulary)
    with path.open("wb") as file:
        file.write(struct.pack("<7i", *sizes, config.context))
        for name in _first_order(config.tied):
            file.write(_stacked(model, name).astype("<f4").tobytes())


def _header(path: Path, content: bytes) -> _Header:
    if len(content) < 28:
        raise ModelError(f"{path}: holds {len(content)} bytes, fewer than a llama2.c header of 28")
    magic, version = struct.unpack_from("<Ii", content)
    if magic != MAGIC:
        sizes = struct.unpack_from("<7i", content)
        tied = sizes[5] > 0
        return _Header(28, _first_order(tied), _config(path, sizes, tied))
    if version != 1 or len(content) < VERSION_1_HEADER:
        raise ModelError(f"{path}: llama2.c version {version} is not supported; export version 0 or 1, in float32")
    tied = content[36] != 0
    order = VERSION_1_ORDER[:-1] if tied else VERSION_1_ORDER
    return _Header(VERSION_1_HEADER, order, _config(path, struct.unpack_from("<7i", content, 8), tied))


def _first_order(tied: bool) -> tuple[str, ...]:
    return (*ORDER, "final_norm", "cosines", "sines", *(() if tied else ("head",)))


def _config(path: Path, sizes: tuple[int, ...], tied: bool) -> ModelConfig:
    hidden, intermediate, layers, heads, kv_heads, vocabulary, context = sizes
    if heads < 1 or hidden % heads or max(sizes) > 1 << 24:
        raise ModelError(f"{path}: not a llama2.c checkpoint: its header reads {hidden} features in {heads} heads")
    try:
        return ModelConfig(
            vocabulary=abs(vocabulary),
            hidden=hidden,
            intermediate=intermediate,
            layers=layers,
            heads=heads,
            kv_heads=kv_heads,
            head_size=hidden // heads,
            context=context,
            epsilon=EPSILON,
            rotary=rotary(hidden // heads, THETA),
            tied=tied,
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _stacked_shape(config: ModelConfig, name: str) -> Shape:
    if name in ("cosines", "sines"):
        return (config.context, config.head_size // 2)
    if name in LAYER_TENSORS:
        return (config.layers, *config.shapes()[layer_tensor(0, name)])
    return config.shapes()[name]


def _tensor(path: Path, content: bytes, offset: int, name: str, shape: Shape) -> tuple[Array, int]:
    count = int(np.prod(shape))
    end = offset + 4 * count
    if end > len(content):
        raise ModelError(
            f"{path}: truncated in tensor {name}: expected shape {shape}, {4 * count} bytes from byte {offset}, "
            f"found {len(content) - offset}"
        )
    return np.frombuffer(content, "<f4", count, offset).reshape(shape), end


def _unstacked(config: ModelConfig, stacked: dict[str, Array]) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    for name, values in stacked.items():
        if name in LAYER_TENSORS:
            tensors |= {layer_tensor(layer, name): values[layer] for layer in range(config.layers)}
        else:
            tensors[name] = values
    return tensors


def _stacked(model: Model, name: str) -> Array:
    if name in ("cosines", "sines"):
        angles = np.outer(np.arange(model.config.context), model.config.rotary.frequencies)
        return np.asarray(np.cos(angles) if name == "cosines" else np.sin(angles))
    if name in LAYER_TENSORS:
        return np.stack([model.tensors[layer_tensor(layer, name)] for layer in range(model.config.layers)])
    return model.tensors[name]
