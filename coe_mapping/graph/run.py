"""Runs graphs of a model on the golden model: any arithmetic, one launch at a time, caches kept between launches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from coe_mapping.graph.build import COSINES, LOGITS, NEXT_TOKENS, POSITIONS, SINES, TOKENS, Workload, whole_model
from coe_mapping.graph.graph import Graph, Operator, Role
from coe_mapping.models.model import Array, Model
from golden_model.operators import Arithmetic
from hdl.errors import ParameterError

Observer = Callable[[Operator, tuple[Array, ...]], None]
"""Told every operator that ran and what it made."""


def run_graph(
    graph: Graph, arithmetic: Arithmetic, values: Mapping[str, Array], observe: Observer | None = None
) -> dict[str, Array]:
    """Every output of ``graph`` by name, from ``values`` of everything that no operator makes."""
    known = dict(values)
    for operator in graph.operators:
        method = getattr(arithmetic, operator.kind.value)
        made = method(*(known[name] for name in operator.inputs), **operator.attributes)
        made = made if isinstance(made, tuple) else (made,)
        for name, value in zip(operator.outputs, made, strict=True):
            assert value.shape == graph.tensors[name].shape, f"{name}: {value.shape}, not {graph.tensors[name].shape}"
            known[name] = value
        if observe is not None:
            observe(operator, made)
    return {name: known[name] for name in graph.outputs}


def weights_of(model: Model, arithmetic: Arithmetic, capacity: int) -> dict[str, Array]:
    """Values of every tensor of role WEIGHT, rotary tables included."""
    rotary = model.config.rotary
    cosines, sines = arithmetic.rotary_tables(rotary.frequencies, rotary.amplitude, capacity)
    return {name: arithmetic.weights(tensor) for name, tensor in model.tensors.items()} | {
        COSINES: cosines,
        SINES: sines,
    }


@dataclass(frozen=True)
class Step:
    """What a launch gives: logits of each sequence's last row, or of every row, and the most likely next tokens."""

    logits: Array
    next_tokens: Array


@dataclass
class Runner:
    """A model at work on a batch of sequences of equal length.

    Attributes:
        capacity: positions of each cache.
        every_row: logits of every row, not of each sequence's last.
    """

    model: Model
    arithmetic: Arithmetic
    sequences: int
    capacity: int
    every_row: bool = False
    length: int = field(default=0, init=False)
    values: dict[str, Array] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.values = weights_of(self.model, self.arithmetic, self.capacity)
        for tensor in self._graph(1).of_role(Role.STATE):
            self.values[tensor.name] = np.zeros_like(self.values["embedding"], shape=tensor.shape)

    def step(self, tokens: Array | Sequence[Sequence[int]], observe: Observer | None = None) -> Step:
        """Runs new tokens (sequences, n), prefill or decode, and remembers them.

        Raises:
            ParameterError: no room is left in the caches, a token is not in the vocabulary, or a sequence is missing.
        """
        new = np.asarray(tokens, np.int32)
        self._check(new)
        positions = np.tile(np.arange(self.length, self.length + new.shape[1], dtype=np.int32), self.sequences)
        graph = self._graph(new.shape[1])
        inputs = {TOKENS: new.reshape(-1), POSITIONS: positions}
        made = run_graph(graph, self.arithmetic, self.values | inputs, observe)
        for name, value in made.items():
            if (state := graph.tensors[name].updates) is not None:
                self.values[state] = value
        self.length += new.shape[1]
        return Step(made[LOGITS], made[NEXT_TOKENS])

    def _check(self, tokens: Array) -> None:
        if tokens.ndim != 2 or tokens.shape[0] != self.sequences or tokens.shape[1] == 0:
            raise ParameterError(
                f"tokens of shape {tokens.shape} do not give each of {self.sequences} sequences its own"
            )
        if self.length + tokens.shape[1] > self.capacity:
            raise ParameterError(
                f"{self.length} + {tokens.shape[1]} positions do not fit a cache of {self.capacity}: take a larger one"
            )
        vocabulary = self.model.config.vocabulary
        if tokens.min() < 0 or tokens.max() >= vocabulary:
            raise ParameterError(f"a token of {tokens.min()}..{tokens.max()} is not in the vocabulary of {vocabulary}")

    def _graph(self, tokens: int) -> Graph:
        return _whole_model(self.model.config, Workload(self.sequences, tokens, self.capacity), self.every_row)


_whole_model = cache(whole_model)


def generate(
    model: Model, arithmetic: Arithmetic, prompts: Sequence[Sequence[int]], limit: int, stops: frozenset[int]
) -> list[list[int]]:
    """Greedy answers to prompts of any lengths, at most ``limit`` tokens each, stop tokens left out.

    Prompts of equal length run as one batch, which changes no bit of any of them.
    """
    answers: dict[int, list[int]] = {}
    for length in sorted({len(prompt) for prompt in prompts}):
        which = [i for i, prompt in enumerate(prompts) if len(prompt) == length]
        batch = _generate_batch(model, arithmetic, [prompts[i] for i in which], limit, stops)
        answers |= dict(zip(which, batch, strict=True))
    return [answers[i] for i in range(len(prompts))]


def _generate_batch(
    model: Model, arithmetic: Arithmetic, prompts: Sequence[Sequence[int]], limit: int, stops: frozenset[int]
) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in prompts]
    running = np.full(len(prompts), True)
    runner = Runner(model, arithmetic, len(prompts), len(prompts[0]) + limit)
    tokens = np.array(prompts)
    for _ in range(limit):
        tokens = runner.step(tokens).next_tokens[:, np.newaxis]
        for i, token in enumerate(tokens[:, 0].tolist()):
            running[i] &= token not in stops
            if running[i]:
                answers[i].append(token)
        if not running.any():
            break
    return answers
