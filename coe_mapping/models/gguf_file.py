"""GGUF files through the ``gguf`` package, which also turns quantised tensors into float32.

Only architecture ``llama``, whose rotary pairs are neighbours already. Source: ggml's ``docs/gguf.md``, and
``conversion`` in llama.cpp for names.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from coe_mapping.models.checkpoint import assemble
from coe_mapping.models.model import Array, Model, ModelConfig, ModelError
from coe_mapping.models.rotary import rotary, with_factors

ARCHITECTURE = "llama"
LAYER_NAMES = {
    "attention_norm": "attn_norm",
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "mlp_norm": "ffn_norm",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
NAMES = {"embedding": "token_embd.weight", "final_norm": "output_norm.weight", "head": "output.weight"}
ROPE_FACTORS = "rope_freqs.weight"


def read_gguf(path: Path) -> Model:
    """The model in a GGUF file.

    Raises:
        ModelError: the file is damaged, of another architecture, or its tensors do not fit.
    """
    reader = open_gguf(path)
    tensors = {tensor.name: _array(path, tensor) for tensor in reader.tensors}
    try:
        config = _config(fields(reader), tensors)
    except KeyError as error:
        raise ModelError(f"{path}: {error.args[0]!r} is missing") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    return assemble(path, config, tensors, _name, ignored=(ROPE_FACTORS,))


def open_gguf(path: Path) -> Any:
    """The package's reader.

    Raises:
        ModelError: it cannot make sense of the file.
    """
    try:
        return gguf.GGUFReader(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is no whole GGUF file: {error}") from error


def fields(reader: Any) -> dict[str, Any]:
    """Every key of the file with its value."""
    return {name: field.contents() for name, field in reader.fields.items()}


def _name(name: str) -> str:
    if name in NAMES:
        return NAMES[name]
    _, layer, kind = name.split(".")
    return f"blk.{layer}.{LAYER_NAMES[kind]}.weight"


def _array(path: Path, tensor: Any) -> Array:
    try:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as error:
        raise ModelError(
            f"{path}: tensor {tensor.name} is quantised as {tensor.tensor_type.name}, not supported"
        ) from error
    return np.asarray(values).reshape(tuple(int(n) for n in reversed(tensor.shape)))


def _config(options: Mapping[str, Any], tensors: Mapping[str, Array]) -> ModelConfig:
    if options["general.architecture"] != ARCHITECTURE:
        raise ModelError(f"architecture {options['general.architecture']!r} is not supported, {ARCHITECTURE!r} is")
    if options.get("llama.expert_count", 0):
        raise ModelError(f"a mixture of {options['llama.expert_count']} experts in a layer is not supported")
    if NAMES["embedding"] not in tensors:
        raise ModelError(f"tensor {NAMES['embedding']} is missing")
    hidden, heads = options["llama.embedding_length"], options["llama.attention.head_count"]
    head_size = options.get("llama.attention.key_length", hidden // heads)
    if options.get("llama.rope.dimension_count", head_size) != head_size:
        raise ModelError(
            f"rotary over {options['llama.rope.dimension_count']} of {head_size} features is not supported"
        )
    context = options["llama.context_length"]
    base = rotary(head_size, options.get("llama.rope.freq_base", 10000.0), _scaling(options), context)
    return ModelConfig(
        vocabulary=len(tensors[NAMES["embedding"]]),
        hidden=hidden,
        intermediate=options["llama.feed_forward_length"],
        layers=options["llama.block_count"],
        heads=heads,
        kv_heads=options.get("llama.attention.head_count_kv", heads),
        head_size=head_size,
        context=context,
        epsilon=options["llama.attention.layer_norm_rms_epsilon"],
        rotary=with_factors(base, tensors[ROPE_FACTORS].tolist()) if ROPE_FACTORS in tensors else base,
        tied=NAMES["head"] not in tensors,
    )


def _scaling(options: Mapping[str, Any]) -> dict[str, Any]:
    kind = options.get("llama.rope.scaling.type", "none")
    if kind == "none":
        return {}
    keys = {
        "factor": "llama.rope.scaling.factor",
        "attention_factor": "llama.rope.scaling.attn_factor",
        "original_max_position_embeddings": "llama.rope.scaling.original_context_length",
    }
    return {"rope_type": kind} | {ours: options[theirs] for ours, theirs in keys.items() if theirs in options}
