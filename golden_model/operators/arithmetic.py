"""What an arithmetic offers to whoever runs a graph, and what both arithmetics share: moving data about."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
"""bfloat16 or float32 of the contract, or float64, or int32; each method says which."""


class Arithmetic(Protocol):
    """One method an operator. ``weights`` turns a stored BF16 array into what the other methods want."""

    def weights(self, values: ArrayLike) -> Array:
        """A parameter of the model as this arithmetic keeps it."""

    def rotary_tables(self, frequencies: Sequence[float], amplitude: float, capacity: int) -> tuple[Array, Array]:
        """Cosine and sine, each (capacity, head_size // 2)."""

    def embedding(self, table: Array, tokens: Array) -> Array:
        """Rows of ``table`` (vocabulary, hidden) by token: (rows, hidden)."""

    def rms_norm(self, x: Array, weight: Array, *, epsilon: float) -> Array:
        """x / sqrt(mean(x^2) + epsilon) * weight, row by row."""

    def linear(
        self, x: Array, weight: Array, initial: Array | None = None, *, activation: str = "none", wide: bool = False
    ) -> Array:
        """x (rows, k) times weight (n, k) transposed, plus ``initial``, then ``none`` or ``silu``; ``wide`` keeps FP32.

        ``initial`` is what the sums start from, so a residual is added without a rounding of its own.
        """

    def rotary(self, x: Array, positions: Array, cos: Array, sin: Array) -> Array:
        """Turns the neighbours (2i, 2i + 1) of every head of x (rows, heads * head_size) by the angle of its row."""

    def append(self, cache: Array, x: Array, positions: Array) -> Array:
        """The cache with x (rows, kv_heads * head_size) at the rows' positions."""

    def scores(self, x: Array, keys: Array, positions: Array, *, scale: float) -> Array:
        """Queries times keys times ``scale``, FP32 (rows, heads, capacity); -inf beyond each row's own position."""

    def softmax(self, scores: Array) -> tuple[Array, Array]:
        """exp(score - greatest of the row), not normalised, and the reciprocal of its sum (rows, heads)."""

    def values(self, weights: Array, reciprocal: Array, values: Array) -> Array:
        """Weighted sums of a value cache, normalised: (rows, heads * head_size)."""

    def add(self, x: Array, y: Array) -> Array:
        """x + y."""

    def multiply(self, x: Array, y: Array) -> Array:
        """x * y."""

    def last_rows(self, x: Array, *, sequences: int) -> Array:
        """The last row of each sequence."""

    def arg_max(self, logits: Array) -> Array:
        """Index of the greatest of each row, int32 (rows,); the lowest among equals."""


class DataMovement:
    """Operators that only move data, the same in every arithmetic."""

    def embedding(self, table: Array, tokens: Array) -> Array:
        return np.asarray(table[tokens])

    def append(self, cache: Array, x: Array, positions: Array) -> Array:
        sequences, kv_heads, _, head_size = cache.shape
        result = cache.copy()
        which = np.repeat(np.arange(sequences), len(x) // sequences)
        result[which, :, positions] = x.reshape(len(x), kv_heads, head_size)
        return result

    def last_rows(self, x: Array, *, sequences: int) -> Array:
        return np.asarray(x.reshape(sequences, -1, x.shape[-1])[:, -1])


def rotary_angles(frequencies: Sequence[float], capacity: int) -> NDArray[np.float64]:
    """Radians (capacity, len(frequencies)) of every position."""
    return np.arange(capacity, dtype=np.float64)[:, np.newaxis] * np.array(frequencies, np.float64)


def heads_of(x: Array, head_size: int) -> Array:
    """(rows, heads * head_size) as (rows, heads, head_size)."""
    return x.reshape(len(x), -1, head_size)


def attention_blocks(rows: int, heads: int, cache: Array) -> Iterator[tuple[slice, slice, Array]]:
    """For every sequence and KV head: its rows, the heads that share it, and its (capacity, head_size) of the cache."""
    sequences, kv_heads = cache.shape[:2]
    tokens, group = rows // sequences, heads // kv_heads
    for sequence in range(sequences):
        for kv in range(kv_heads):
            at = slice(sequence * tokens, (sequence + 1) * tokens)
            yield at, slice(kv * group, (kv + 1) * group), cache[sequence, kv]
