"""Folders of Hugging Face: ``config.json`` and safetensors, one file or several under an index.

Source: transformers, ``models/llama/modeling_llama.py`` for names, defaults and the rotary layout (half a head apart).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from coe_mapping.models.checkpoint import assemble
from coe_mapping.models.model import Array, Model, ModelConfig, ModelError, rotary_projections, to_halves
from coe_mapping.models.rotary import rotary

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
FAMILY = ("llama", "mistral")

LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
NAMES = {"embedding": "model.embed_tokens.weight", "final_norm": "model.norm.weight", "head": "lm_head.weight"}

DTYPES = (np.dtype(bfloat16), np.dtype(np.float16), np.dtype(np.float32))

MUST_BE = {
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1, 1.0),
    "quantization_config": (),
}
"""Keys that may be absent or null, and the values supported."""


def read_hugging_face(folder: Path) -> Model:
    """The model in a folder.

    Raises:
        ModelError: a file is missing or damaged, the architecture is another, tensors do not fit.
    """
    options = read_json(folder / "config.json")
    config = _config(folder / "config.json", options)
    tensors = _tensors(folder)
    if config.tied and NAMES["head"] in tensors:
        _check_tied(folder, tensors)
    ignored = [NAMES["head"], *(f"model.layers.{i}.self_attn.rotary_emb.inv_freq" for i in range(config.layers))]
    return assemble(folder, config, tensors, _name, halves=True, ignored=ignored)


def write_hugging_face(model: Model, folder: Path, shards: int = 1) -> None:
    """Writes ``config.json`` and BF16 safetensors, in ``shards`` files.

    Raises:
        ModelError: the rotary frequencies are scaled, which this writer cannot say.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _options(model.config))
    halves = {name: to_halves(model.tensors[name], heads) for name, heads in rotary_projections(model.config)}
    tensors = {_name(name): tensor for name, tensor in ({**model.tensors} | halves).items()}
    if shards == 1:
        _write_tensors(folder / SINGLE, tensors)
        return
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    where = {name: files[i % shards] for i, name in enumerate(tensors)}
    for file in files:
        _write_tensors(folder / file, {name: tensors[name] for name in tensors if where[name] == file})
    _write_json(folder / INDEX, {"metadata": {"total_size": model.bytes}, "weight_map": where})


def read_json(path: Path) -> dict[str, Any]:
    """An object from a JSON file.

    Raises:
        ModelError: the file is missing, or holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object")
    return content


def _name(name: str) -> str:
    """The folder's name of one of ours."""
    if name in NAMES:
        return NAMES[name]
    _, layer, kind = name.split(".")
    return f"model.layers.{layer}.{LAYER_NAMES[kind]}.weight"


def _config(path: Path, options: Mapping[str, Any]) -> ModelConfig:
    if options.get("model_type") not in FAMILY:
        raise ModelError(
            f"{path}: model_type {options.get('model_type')!r} is not supported, {' and '.join(FAMILY)} are"
        )
    for key, allowed in MUST_BE.items():
        if options.get(key) is not None and options[key] not in allowed:
            raise ModelError(f"{path}: {key} = {options[key]!r} is not supported")
    try:
        return _sizes(options)
    except KeyError as error:
        raise ModelError(f"{path}: {error.args[0]!r} is missing") from error
    except (ModelError, TypeError) as error:
        raise ModelError(f"{path}: {error}") from error


def _sizes(options: Mapping[str, Any]) -> ModelConfig:
    hidden, heads = options["hidden_size"], options["num_attention_heads"]
    head_size = options.get("head_dim")
    if head_size is None:
        if hidden % heads:
            raise ModelError(f"hidden_size {hidden} is no multiple of {heads} heads, and head_dim is not given")
        head_size = hidden // heads
    context = options.get("max_position_embeddings", 2048)
    window = options.get("sliding_window")
    if window is not None and window < context:
        raise ModelError(
            f"a sliding window of {window} positions, less than the context of {context}, is not supported"
        )
    # transformers 5 writes theta and scaling in one object, older versions write theta beside it
    scaling = options.get("rope_parameters") or options.get("rope_scaling") or {}
    theta = scaling.get("rope_theta", options.get("rope_theta", 10000.0))
    return ModelConfig(
        vocabulary=options["vocab_size"],
        hidden=hidden,
        intermediate=options["intermediate_size"],
        layers=options["num_hidden_layers"],
        heads=heads,
        kv_heads=options.get("num_key_value_heads") or heads,
        head_size=head_size,
        context=context,
        epsilon=options["rms_norm_eps"],
        rotary=rotary(head_size, float(theta), scaling, context),
        tied=bool(options.get("tie_word_embeddings", False)),
    )


def _options(config: ModelConfig) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "bfloat16",
        "vocab_size": config.vocabulary,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "rms_norm_eps": config.epsilon,
        "rope_theta": _theta(config),
        "max_position_embeddings": config.context,
        "tie_word_embeddings": config.tied,
        "attention_bias": False,
    }


def _theta(config: ModelConfig) -> float:
    """The base that gives the frequencies."""
    if config.head_size == 2:
        return 10000.0  # one frequency, 1 whatever the base
    theta = round(float(config.rotary.frequencies[1] ** (-config.head_size / 2)), 6)
    if not np.allclose(rotary(config.head_size, theta).frequencies, config.rotary.frequencies, rtol=1e-9, atol=0):
        raise ModelError("rotary frequencies are scaled: this writer has no way to say how")
    return theta


def _check_tied(folder: Path, tensors: Mapping[str, Array]) -> None:
    embedding, head = (tensors.get(NAMES[name]) for name in ("embedding", "head"))
    if embedding is not None and head is not None and not np.array_equal(embedding, head):
        raise ModelError(f"{folder}: config.json ties {NAMES['head']} to {NAMES['embedding']}, but they differ")


def _tensors(folder: Path) -> dict[str, Array]:
    if not (folder / INDEX).exists():
        return _file_tensors(folder / SINGLE)
    where = read_json(folder / INDEX).get("weight_map")
    if not isinstance(where, dict):
        raise ModelError(f"{folder / INDEX} has no weight_map")
    files = {file: _file_tensors(folder / file) for file in sorted(set(where.values()))}
    for name, file in where.items():
        if name not in files[file]:
            raise ModelError(f"{folder / INDEX}: tensor {name} is said to be in {file}, which does not hold it")
    return {name: tensor for tensors in files.values() for name, tensor in tensors.items()}


def _file_tensors(path: Path) -> dict[str, Array]:
    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing") from error
    except SafetensorError as error:
        raise ModelError(f"{path} is no whole safetensors file: {error}") from error
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES:
            raise ModelError(f"{path}: tensor {name} is of type {tensor.dtype}; {', '.join(map(str, DTYPES))} are read")
    return dict(tensors)


def _write_tensors(path: Path, tensors: Mapping[str, Array]) -> None:
    save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, path, {"format": "pt"})


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
