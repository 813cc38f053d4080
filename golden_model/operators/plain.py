"""Operators in plain float64: the mathematics that the contract's arithmetic approximates."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from golden_model.operators.arithmetic import Array, DataMovement, heads_of, rotary_angles


@dataclass(frozen=True)
class PlainArithmetic(DataMovement):
    """Every operator in float64, every intermediate too."""

    def weights(self, values: ArrayLike) -> Array:
        return np.asarray(values).astype(np.float64)

    def rotary_tables(self, frequencies: Sequence[float], amplitude: float, capacity: int) -> tuple[Array, Array]:
        angles = rotary_angles(frequencies, capacity)
        return amplitude * np.cos(angles), amplitude * np.sin(angles)

    def rms_norm(self, x: Array, weight: Array, *, epsilon: float) -> Array:
        return np.asarray(x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight)

    def linear(
        self, x: Array, weight: Array, initial: Array | None = None, *, activation: str = "none", wide: bool = False
    ) -> Array:
        y = x @ weight.T + (0.0 if initial is None else initial)
        return np.asarray(y / (1 + np.exp(-y)) if activation == "silu" else y)

    def rotary(self, x: Array, positions: Array, cos: Array, sin: Array) -> Array:
        heads = heads_of(x, 2 * cos.shape[-1])
        pairs = heads[..., 0::2] + 1j * heads[..., 1::2]
        turned = pairs * (cos + 1j * sin)[positions][:, np.newaxis]
        return np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)

    def scores(self, x: Array, keys: Array, positions: Array, *, scale: float) -> Array:
        queries = self._by_kv_head(heads_of(x, keys.shape[-1]), keys)
        product = np.einsum("stkgd,skcd->stkgc", queries, keys) * scale
        beyond = np.arange(keys.shape[2]) > positions[:, np.newaxis]
        return np.where(beyond[:, np.newaxis], -np.inf, product.reshape(len(x), -1, keys.shape[2]))

    def softmax(self, scores: Array) -> tuple[Array, Array]:
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        return weights, 1 / weights.sum(axis=-1)

    def values(self, weights: Array, reciprocal: Array, values: Array) -> Array:
        shares = self._by_kv_head(weights * reciprocal[..., np.newaxis], values)
        return np.asarray(np.einsum("stkgc,skcd->stkgd", shares, values)).reshape(len(weights), -1)

    def add(self, x: Array, y: Array) -> Array:
        return np.asarray(x + y)

    def multiply(self, x: Array, y: Array) -> Array:
        return np.asarray(x * y)

    def arg_max(self, logits: Array) -> Array:
        return np.asarray(np.argmax(logits, axis=-1), np.int32)

    @staticmethod
    def _by_kv_head(x: Array, cache: Array) -> Array:
        """(rows, heads, n) as (sequences, tokens, kv_heads, heads of a KV head, n)."""
        sequences, kv_heads = cache.shape[:2]
        return x.reshape(sequences, len(x) // sequences, kv_heads, x.shape[1] // kv_heads, x.shape[-1])
