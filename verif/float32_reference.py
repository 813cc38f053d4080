"""Greedy text held against a plain float32 model: an implementation of its own, from the checkpoint's tensors alone.

The golden model rounds to BF16 after every operator. So where two tokens are nearly as likely it may take the other
one; how near they were, in the reference's own logits, explains the difference.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coe_mapping.graph.run import Runner
from coe_mapping.models.model import Model, layer_tensor
from golden_model.operators import Arithmetic

Single = NDArray[np.float32]

LIKELY = 3.0
"""Standard deviations."""


@dataclass(frozen=True)
class Disagreement:
    """At ``step`` the reference wants ``theirs`` and the golden model took ``ours``.

    ``margin``: by how much the reference prefers its own, in logits; ``noise``: root mean square of the differences
    between the logits of the two there, which is what rounding to BF16 makes of them.
    """

    step: int
    ours: int
    theirs: int
    margin: float
    noise: float

    @property
    def is_explained(self) -> bool:
        """Whether rounding alone can have changed the order of the two: both logits together are off by the margin."""
        return self.margin <= LIKELY * math.sqrt(2) * self.noise


def logits(model: Model, tokens: NDArray[np.integer]) -> Single:
    """Of every position of one sequence (n,), shape (n, vocabulary)."""
    config = model.config
    weights = {name: tensor.astype(np.float32) for name, tensor in model.tensors.items()}
    angles = np.arange(len(tokens))[:, np.newaxis] * np.array(config.rotary.frequencies)
    turn = (config.rotary.amplitude * np.exp(1j * angles)).astype(np.complex64)[:, np.newaxis]
    unseen = np.triu(np.full((len(tokens), len(tokens)), -np.inf, np.float32), 1)

    def normed(x: Single, name: str) -> Single:
        mean = np.mean(x * x, axis=-1, keepdims=True, dtype=np.float32)
        return np.asarray(x / np.sqrt(mean + np.float32(config.epsilon)) * weights[name])

    def heads(x: Single, *, turned: bool) -> Single:
        """(head, position, feature), a head's features turned in pairs of neighbours."""
        parted = x.reshape(len(x), -1, config.head_size)
        if turned:
            pairs = (parted[..., ::2] + 1j * parted[..., 1::2]) * turn
            parted = np.stack([pairs.real, pairs.imag], axis=-1).reshape(parted.shape)
        return np.asarray(parted.swapaxes(0, 1))

    x: Single = weights["embedding"][tokens]
    for layer in range(config.layers):
        of = {name: layer_tensor(layer, name) for name in (*_MATRICES, "attention_norm", "mlp_norm")}
        row = normed(x, of["attention_norm"])
        query, key, value = (row @ weights[of[name]].T for name in ("query", "key", "value"))
        shared = config.heads // config.kv_heads
        keys, values = (
            np.repeat(each, shared, axis=0) for each in (heads(key, turned=True), heads(value, turned=False))
        )
        scores = heads(query, turned=True) @ keys.swapaxes(1, 2) * np.float32(config.attention_scale) + unseen
        likely = np.exp(scores - scores.max(axis=-1, keepdims=True))
        attended = likely / likely.sum(axis=-1, keepdims=True) @ values
        x = x + attended.swapaxes(0, 1).reshape(len(x), -1) @ weights[of["output"]].T
        row = normed(x, of["mlp_norm"])
        gate = row @ weights[of["gate"]].T
        x = x + (gate / (1 + np.exp(-gate)) * (row @ weights[of["up"]].T)) @ weights[of["down"]].T
    return np.asarray(normed(x, "final_norm") @ weights[model.head].T)


_MATRICES = ("query", "key", "value", "output", "gate", "up", "down")


def greedy(
    model: Model, arithmetic: Arithmetic, prompt: list[int], count: int
) -> tuple[list[int], NDArray[np.float64]]:
    """``count`` tokens by the golden model, and the logits that each was the greatest of."""
    runner = Runner(model, arithmetic, 1, len(prompt) + count)
    tokens, seen = [], []
    step = runner.step([prompt])
    for _ in range(count):
        tokens.append(int(step.next_tokens[0]))
        seen.append(step.logits[0].astype(np.float64))
        if len(tokens) < count:
            step = runner.step([[tokens[-1]]])
    return tokens, np.array(seen)


def disagreements(model: Model, prompt: list[int], tokens: list[int], seen: NDArray[np.float64]) -> list[Disagreement]:
    """Where the reference, shown what the golden model wrote before, would have gone on otherwise."""
    theirs = logits(model, np.array([*prompt, *tokens[:-1]]))[len(prompt) - 1 :].astype(np.float64)
    found = []
    for step, (token, ours, reference) in enumerate(zip(tokens, seen, theirs, strict=True)):
        best = int(reference.argmax())
        if best != token:
            noise = float(np.sqrt(np.mean((ours - reference) ** 2)))
            found.append(Disagreement(step, token, best, float(reference[best] - reference[token]), noise))
    return found
