"""A decoder layer over several sockets, operator by operator: who has what weights, and the order of additions."""

from collections.abc import Mapping, Sequence

import numpy as np

from golden_model.collectives import all_reduce
from golden_model.operators.arithmetic import Arithmetic, Array

Weights = Mapping[str, Array]
"""Of a layer, as the model has them (n, k): query, key, value, output, gate, up, down, and both norms."""

BY_ROW = ("output", "down")
"""Cut by row of the product's k; the norms are whole everywhere, all others cut by column."""

NORMS = ("attention_norm", "mlp_norm")


def share(weights: Weights, socket: int, sockets: int) -> dict[str, Array]:
    """The weights of one socket: heads, and inner features, in their order."""

    def cut(name: str, weight: Array) -> Array:
        if name in NORMS:
            return weight
        return np.split(weight, sockets, axis=1 if name in BY_ROW else 0)[socket]

    return {name: cut(name, weight) for name, weight in weights.items()}


def decoder_layer(
    arithmetic: Arithmetic,
    parts: Sequence[Weights],
    x: Array,
    positions: Array,
    caches: Sequence[tuple[Array, Array]],
    tables: tuple[Array, Array],
    *,
    epsilon: float,
    scale: float,
) -> Array:
    """The layer's result, BF16 (rows, hidden).

    Args:
        parts: weights by socket (:func:`share`). caches: of keys and values by socket, as of
            :meth:`~golden_model.operators.Arithmetic.append`. tables: cosines and sines.
    """
    normed = arithmetic.rms_norm(x, parts[0]["attention_norm"], epsilon=epsilon)
    partial = []
    for socket, (w, (keys, values)) in enumerate(zip(parts, caches, strict=True)):
        q = arithmetic.rotary(arithmetic.linear(normed, w["query"]), positions, *tables)
        k = arithmetic.rotary(arithmetic.linear(normed, w["key"]), positions, *tables)
        keys = arithmetic.append(keys, k, positions)
        values = arithmetic.append(values, arithmetic.linear(normed, w["value"]), positions)
        mixed = arithmetic.values(*arithmetic.softmax(arithmetic.scores(q, keys, positions, scale=scale)), values)
        partial.append(arithmetic.linear(mixed, w["output"], x if socket == 0 else None))
    middle = _summed(partial)
    normed = arithmetic.rms_norm(middle, parts[0]["mlp_norm"], epsilon=epsilon)
    partial = []
    for socket, w in enumerate(parts):
        gate = arithmetic.linear(normed, w["gate"], activation="silu")
        gated = arithmetic.multiply(gate, arithmetic.linear(normed, w["up"]))
        partial.append(arithmetic.linear(gated, w["down"], middle if socket == 0 else None))
    return _summed(partial)


def _summed(partial: Sequence[Array]) -> Array:
    """AllReduce with columns as chunks."""
    return all_reduce([part.T for part in partial]).T
