"""Operators in the contract's arithmetic, each the sequence of steps that PCUs take (``docs/models.md``).

Between operators activations are BF16; inside norm and softmax everything is FP32. Sums across a row are those of a
PCU: each vector of ``lanes`` neighbours by the lane tree, then vector after vector.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from golden_model import numerics as golden
from golden_model.numerics.formats import round_once
from golden_model.numerics.special import evaluate
from golden_model.operators.arithmetic import Array, DataMovement, attention_blocks, heads_of, rotary_angles
from hdl.arith.formats import BF16
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function

ZERO, MINUS_INFINITY = np.float32(0), np.float32(-np.inf)


@dataclass(frozen=True)
class ContractArithmetic(DataMovement):
    """The golden model of every operator, for PCUs with this many ``lanes``."""

    lanes: int = 8

    def weights(self, values: ArrayLike) -> Array:
        return golden.canonicalize(values)

    def rotary_tables(self, frequencies: Sequence[float], amplitude: float, capacity: int) -> tuple[Array, Array]:
        angles = rotary_angles(frequencies, capacity)
        return round_once(amplitude * np.cos(angles), BF16), round_once(amplitude * np.sin(angles), BF16)

    def rms_norm(self, x: Array, weight: Array, *, epsilon: float) -> Array:
        """Row buffered while its squares are summed; then two FP32 products an element and one rounding to BF16."""
        wide = golden.to_fp32(x)
        total = self._reduced(ReduceOp.SUM, golden.multiply(wide, wide), ZERO)
        mean = golden.multiply(total, np.float32(1 / x.shape[-1]))
        scale = evaluate(Function.RSQRT, golden.add(mean, np.float32(epsilon)))
        return golden.to_bf16(golden.multiply(golden.multiply(wide, scale[:, np.newaxis]), golden.to_fp32(weight)))

    def linear(
        self, x: Array, weight: Array, initial: Array | None = None, *, activation: str = "none", wide: bool = False
    ) -> Array:
        """k ascending, from ``initial`` on; the activation acts on the FP32 sum, in the tail of the same unit."""
        start = np.zeros((1, 1), np.float32) if initial is None else golden.to_fp32(initial)
        total = golden.gemm(x, weight.T, np.broadcast_to(start, (len(x), len(weight))))
        if activation == "silu":
            total = evaluate(Function.SILU, total)
        return total if wide else golden.to_bf16(total)

    def rotary(self, x: Array, positions: Array, cos: Array, sin: Array) -> Array:
        """x * cos + neighbour * (-sin, sin): two products and a sum in FP32, then BF16."""
        heads = golden.to_fp32(heads_of(x, 2 * cos.shape[-1]))
        neighbour = heads.reshape(*heads.shape[:-1], -1, 2)[..., ::-1].reshape(heads.shape)
        c, s = (golden.to_fp32(np.repeat(table[positions], 2, axis=-1))[:, np.newaxis] for table in (cos, sin))
        signed = s * np.resize(np.array([-1, 1], np.float32), s.shape[-1])  # exact
        turned = golden.add(golden.multiply(heads, c), golden.multiply(neighbour, signed))
        return golden.to_bf16(turned).reshape(x.shape)

    def scores(self, x: Array, keys: Array, positions: Array, *, scale: float) -> Array:
        """A GEMM over the head's features, scaled and masked in FP32."""
        queries, live = heads_of(x, keys.shape[-1]), int(positions.max()) + 1
        rows, heads, head_size = queries.shape
        result = np.full((rows, heads, keys.shape[2]), MINUS_INFINITY)
        for at, group, cache in attention_blocks(rows, heads, keys):
            block = queries[at, group]
            product = golden.gemm(block.reshape(-1, head_size), cache[:live].T)
            result[at, group, :live] = golden.multiply(product, np.float32(scale)).reshape(*block.shape[:2], live)
        beyond = np.arange(keys.shape[2]) > positions[:, np.newaxis]
        return np.where(beyond[:, np.newaxis], MINUS_INFINITY, result)

    def softmax(self, scores: Array) -> tuple[Array, Array]:
        """Two passes over the buffered scores: greatest, then exp; the sum is that of the weights rounded to BF16."""
        greatest = self._reduced(ReduceOp.MAX, scores, MINUS_INFINITY)
        weights = golden.to_bf16(evaluate(Function.EXP, golden.subtract(scores, greatest[..., np.newaxis])))
        total = self._reduced(ReduceOp.SUM, golden.to_fp32(weights), ZERO)
        return weights, evaluate(Function.RECIPROCAL, total)

    def values(self, weights: Array, reciprocal: Array, values: Array) -> Array:
        """A GEMM over positions, then one product with the reciprocal in FP32, then BF16."""
        rows, heads, _ = weights.shape
        live = int(np.flatnonzero(weights.any(axis=(0, 1)))[-1]) + 1  # a weight of zero adds nothing
        total = np.empty((rows, heads, values.shape[-1]), np.float32)
        for at, group, cache in attention_blocks(rows, heads, values):
            block = weights[at, group, :live]
            product = golden.gemm(block.reshape(-1, live), cache[:live])
            total[at, group] = product.reshape(*block.shape[:2], -1)
        return golden.to_bf16(golden.multiply(total, reciprocal[..., np.newaxis])).reshape(rows, -1)

    def add(self, x: Array, y: Array) -> Array:
        return golden.to_bf16(golden.add(golden.to_fp32(x), golden.to_fp32(y)))

    def multiply(self, x: Array, y: Array) -> Array:
        return golden.to_bf16(golden.multiply(golden.to_fp32(x), golden.to_fp32(y)))

    def arg_max(self, logits: Array) -> Array:
        return golden.arg_max(logits)

    def _reduced(self, operation: ReduceOp, x: Array, neutral: np.float32) -> Array:
        """Along the last axis: lanes by the tree, then vector after vector; the last is filled with ``neutral``."""
        missing = -x.shape[-1] % self.lanes
        filled = np.concatenate([x, np.full((*x.shape[:-1], missing), neutral)], axis=-1)
        vectors = golden.lane_tree(operation, filled.reshape(*x.shape[:-1], -1, self.lanes)).value
        return golden.time_reduce(operation, vectors, axis=-1).value
