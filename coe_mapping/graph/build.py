"""Graphs of a Llama-family model: the embedding, one decoder layer, the head, and all of them in a row."""

from dataclasses import dataclass

from coe_mapping.graph.graph import Attribute, DType, Graph, Kind, Operator, Role, Shape, Tensor
from coe_mapping.models.model import ModelConfig, layer_tensor
from hdl.errors import ParameterError

TOKENS, POSITIONS = "tokens", "positions"
COSINES, SINES = "rotary_cosines", "rotary_sines"
LOGITS, NEXT_TOKENS = "logits", "next_tokens"


@dataclass(frozen=True)
class Workload:
    """How much goes through a graph at once: ``tokens`` new ones of each of ``sequences``, caches of ``capacity``.

    Prefill is many tokens of a sequence, decode one token of each of a batch.
    """

    sequences: int
    tokens: int
    capacity: int

    def __post_init__(self) -> None:
        if min(self.sequences, self.tokens) < 1 or self.capacity < self.tokens:
            raise ParameterError(
                f"{self.sequences} sequences of {self.tokens} tokens do not go in caches of {self.capacity} positions; "
                "give at least one of each, and room for the tokens"
            )

    @property
    def rows(self) -> int:
        return self.sequences * self.tokens


def embedding(config: ModelConfig, workload: Workload) -> Graph:
    """``tokens`` to ``hidden``."""
    builder = _Builder(config, workload)
    return builder.graph(builder.embedding())


def decoder_layer(config: ModelConfig, workload: Workload, layer: int = 0) -> Graph:
    """``hidden`` to ``layers.N.hidden`` with the layer's caches updated."""
    builder = _Builder(config, workload)
    return builder.graph(builder.decoder_layer(layer, builder.input("hidden", (workload.rows, config.hidden))))


def head(config: ModelConfig, workload: Workload, every_row: bool = False) -> Graph:
    """``hidden`` to ``logits`` and ``next_tokens`` of each sequence's last row, or of ``every_row``."""
    builder = _Builder(config, workload)
    return builder.graph(*builder.head(builder.input("hidden", (workload.rows, config.hidden)), every_row))


def whole_model(config: ModelConfig, workload: Workload, every_row: bool = False) -> Graph:
    """``tokens`` to ``logits`` and ``next_tokens`` through all layers."""
    builder = _Builder(config, workload)
    hidden = builder.embedding()
    for layer in range(config.layers):
        hidden = builder.decoder_layer(layer, hidden)
    return builder.graph(*builder.head(hidden, every_row))


class _Builder:
    """Collects operators; each method adds some and gives the name of the tensor they make."""

    def __init__(self, config: ModelConfig, workload: Workload) -> None:
        self.config = config
        self.workload = workload
        self.shapes = config.shapes()
        self.tensors: dict[str, Tensor] = {}
        self.operators: list[Operator] = []

    def graph(self, *outputs: str) -> Graph:
        states = tuple(tensor.name for tensor in self.tensors.values() if tensor.updates)
        return Graph(self.tensors, tuple(self.operators), (*outputs, *states))

    def input(self, name: str, shape: Shape, dtype: DType = DType.BF16) -> str:
        return self._declare(Tensor(name, shape, dtype, Role.INPUT))

    def embedding(self) -> str:
        tokens = self.input(TOKENS, (self.workload.rows,), DType.INT32)
        table = self._weight("embedding")
        return self._operator("hidden", Kind.EMBEDDING, (table, tokens), (self.workload.rows, self.config.hidden))

    def decoder_layer(self, layer: int, x: str) -> str:
        return self._mlp(layer, self._attention(layer, x))

    def head(self, x: str, every_row: bool) -> tuple[str, str]:
        sequences = self.workload.sequences
        if not every_row and self.workload.tokens > 1:
            shape = (sequences, self.config.hidden)
            x = self._operator("last_hidden", Kind.LAST_ROWS, (x,), shape, sequences=sequences)
        x = self._norm("final_normed", x, "final_norm")
        logits = self._linear(LOGITS, x, "embedding" if self.config.tied else "head", wide=True)
        rows = self.tensors[logits].shape[:1]
        return logits, self._operator(NEXT_TOKENS, Kind.ARG_MAX, (logits,), rows, DType.INT32)

    def _attention(self, layer: int, x: str) -> str:
        def at(name: str) -> str:
            return layer_tensor(layer, name)

        normed = self._norm(at("attention_normed"), x, at("attention_norm"))
        queries = self._rotary(at("rotated_queries"), self._linear(at("queries"), normed, at("query")))
        new_keys = self._rotary(at("rotated_keys"), self._linear(at("new_keys"), normed, at("key")))
        new_values = self._linear(at("new_values"), normed, at("value"))
        keys = self._append(at("keys"), at("key_cache"), new_keys)
        values = self._append(at("values"), at("value_cache"), new_values)
        rows, heads, capacity = self.workload.rows, self.config.heads, self.workload.capacity
        scores = self._operator(
            at("scores"),
            Kind.SCORES,
            (queries, keys, self._positions()),
            (rows, heads, capacity),
            DType.FP32,
            scale=self.config.attention_scale,
        )
        weights, reciprocal = self._softmax(layer, scores)
        mixed = self._operator(
            at("mixed"), Kind.VALUES, (weights, reciprocal, values), (rows, self.config.query_features)
        )
        return self._linear(at("after_attention"), mixed, at("output"), initial=x)

    def _mlp(self, layer: int, x: str) -> str:
        def at(name: str) -> str:
            return layer_tensor(layer, name)

        normed = self._norm(at("mlp_normed"), x, at("mlp_norm"))
        gate = self._linear(at("gated"), normed, at("gate"), activation="silu")
        up = self._linear(at("raised"), normed, at("up"))
        product = self._operator(at("product"), Kind.MULTIPLY, (gate, up), self.tensors[up].shape)
        return self._linear(at("hidden"), product, at("down"), initial=x)

    def _softmax(self, layer: int, scores: str) -> tuple[str, str]:
        shape = self.tensors[scores].shape
        weights = self._declare(Tensor(layer_tensor(layer, "weights"), shape, DType.BF16, Role.ACTIVATION))
        reciprocal = layer_tensor(layer, "reciprocal")
        self._declare(Tensor(reciprocal, shape[:-1], DType.FP32, Role.ACTIVATION))
        self.operators.append(Operator(layer_tensor(layer, "softmax"), Kind.SOFTMAX, (scores,), (weights, reciprocal)))
        return weights, reciprocal

    def _norm(self, name: str, x: str, weight: str) -> str:
        inputs = (x, self._weight(weight))
        return self._operator(name, Kind.RMS_NORM, inputs, self.tensors[x].shape, epsilon=self.config.epsilon)

    def _linear(
        self, name: str, x: str, weight: str, wide: bool = False, activation: str = "none", initial: str | None = None
    ) -> str:
        """``initial``: a residual, which the sums start from."""
        rows, features = self.tensors[x].shape
        outputs, inputs = self.tensors[self._weight(weight)].shape
        assert features == inputs, f"{name}: {features} features into {weight} of {inputs}"
        dtype = DType.FP32 if wide else DType.BF16
        shape = (rows, outputs)
        operands = (x, weight) if initial is None else (x, weight, initial)
        return self._operator(name, Kind.LINEAR, operands, shape, dtype, wide=wide, activation=activation)

    def _rotary(self, name: str, x: str) -> str:
        shape = (self.workload.capacity, self.config.head_size // 2)
        tables = [self._declare(Tensor(table, shape, DType.BF16, Role.WEIGHT)) for table in (COSINES, SINES)]
        return self._operator(name, Kind.ROTARY, (x, self._positions(), *tables), self.tensors[x].shape)

    def _append(self, name: str, state: str, x: str) -> str:
        shape = (self.workload.sequences, self.config.kv_heads, self.workload.capacity, self.config.head_size)
        self._declare(Tensor(state, shape, DType.BF16, Role.STATE))
        return self._operator(name, Kind.APPEND, (state, x, self._positions()), shape, updates=state)

    def _positions(self) -> str:
        return self.input(POSITIONS, (self.workload.rows,), DType.INT32)

    def _weight(self, name: str) -> str:
        return self._declare(Tensor(name, self.shapes[name], DType.BF16, Role.WEIGHT))

    def _operator(
        self,
        name: str,
        kind: Kind,
        inputs: tuple[str, ...],
        shape: Shape,
        dtype: DType = DType.BF16,
        updates: str | None = None,
        **attributes: Attribute,
    ) -> str:
        """An operator named like the one tensor it makes."""
        self._declare(Tensor(name, shape, dtype, Role.ACTIVATION, updates))
        self.operators.append(Operator(name, kind, inputs, (name,), attributes))
        return name

    def _declare(self, tensor: Tensor) -> str:
        assert self.tensors.setdefault(tensor.name, tensor) == tensor, f"two different tensors {tensor.name}"
        return tensor.name
