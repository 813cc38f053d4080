"""Rotary frequencies of the scalings in use: every one of them is a set of frequencies and an amplitude.

Sources: Su et al. 2021 (rotary embedding), Chen et al. 2023 (linear), Peng et al. 2023 (YaRN), Llama 3.1's reference
code (llama3); parameter names as in ``config.json`` of Hugging Face.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coe_mapping.models.model import ModelError, Rotary

Frequencies = NDArray[np.float64]

SCALINGS = ("default", "linear", "llama3", "yarn")


def rotary(head_size: int, theta: float, scaling: Mapping[str, Any] | None = None, context: int = 0) -> Rotary:
    """Frequencies theta^(-2i / head_size), scaled as ``scaling`` (``rope_type`` and its parameters) says.

    Raises:
        ModelError: the scaling is of another kind, or lacks a parameter.
    """
    plain = theta ** (-np.arange(0, head_size, 2, dtype=np.float64) / head_size)
    options = dict(scaling or {})
    kind = options.get("rope_type", options.get("type", "default"))
    if kind not in SCALINGS:
        raise ModelError(f"rope scaling {kind!r} is not supported; known are {', '.join(SCALINGS)}")
    try:
        if kind == "linear":
            return _rotary(plain / float(options["factor"]))
        if kind == "llama3":
            return _rotary(_llama3(plain, options))
        if kind == "yarn":
            return _rotary(_yarn(plain, theta, options, context), _yarn_amplitude(options))
    except KeyError as error:
        raise ModelError(f"rope scaling {kind!r} needs the parameter {error.args[0]!r}") from error
    return _rotary(plain)


def with_factors(base: Rotary, factors: Sequence[float]) -> Rotary:
    """``base`` with each frequency divided by a factor of its own, as GGUF stores llama3 scaling."""
    if len(factors) != len(base.frequencies):
        raise ModelError(f"{len(factors)} rope factors do not fit {len(base.frequencies)} frequencies")
    return Rotary(tuple(f / d for f, d in zip(base.frequencies, factors, strict=True)), base.amplitude)


def _rotary(frequencies: Frequencies, amplitude: float = 1.0) -> Rotary:
    return Rotary(tuple(float(f) for f in frequencies), amplitude)


def _llama3(plain: Frequencies, options: Mapping[str, Any]) -> Frequencies:
    """Long waves are stretched by the factor, short ones kept, those between blended by turns in the old context."""
    low, high = float(options["low_freq_factor"]), float(options["high_freq_factor"])
    turns = float(options["original_max_position_embeddings"]) * plain / (2 * math.pi)
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(plain * (kept + (1 - kept) / float(options["factor"])))


def _yarn(plain: Frequencies, theta: float, options: Mapping[str, Any], context: int) -> Frequencies:
    """As llama3, but blended linearly over the index of the pair."""
    old = float(options.get("original_max_position_embeddings") or context)
    size = 2 * len(plain)

    def pair_turning(turns: float) -> float:
        return size * math.log(old / (turns * 2 * math.pi)) / (2 * math.log(theta))

    low = pair_turning(float(options.get("beta_fast") or 32))
    high = pair_turning(float(options.get("beta_slow") or 1))
    if options.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    stretched = np.clip((np.arange(len(plain)) - low) / max(high - low, 0.001), 0, 1)
    return np.asarray(plain * (1 - stretched + stretched / float(options["factor"])))


def _yarn_amplitude(options: Mapping[str, Any]) -> float:
    given = options.get("attention_factor")
    if given is not None:
        return float(given)
    mscale, all_dim = options.get("mscale"), options.get("mscale_all_dim")
    if mscale and all_dim:
        return _mscale(options, mscale) / _mscale(options, all_dim)
    return _mscale(options, 1.0)


def _mscale(options: Mapping[str, Any], mscale: float) -> float:
    factor = float(options["factor"])
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0
