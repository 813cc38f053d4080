"""Where the tensors between the operators of an unfused layer lie in memory."""

from dataclasses import dataclass, replace
from functools import cached_property

from coe_mapping.kernels.attention import Heads
from coe_mapping.kernels.layout import Layout
from coe_mapping.kernels.memory import ELEMENT_BYTES, Region
from hdl.params import SCALAR_BITS

WIDE_BYTES = SCALAR_BITS // 8

TENSORS = {
    "x": "hidden",
    "y": "layers.{}.hidden",
    "attention_norm": "layers.{}.attention_norm",
    "feed_forward_norm": "layers.{}.mlp_norm",
    "positions": "positions",
    "cosines": "rotary_cosines",
    "sines": "rotary_sines",
}
"""Graph tensors of the regions that are not simply called like them, less the layer."""


def tensor_of(region: str, layer: int) -> str:
    """The graph tensor that a region holds, when the kernels work on that layer."""
    return TENSORS.get(region, f"layers.{{}}.{region}").format(layer)


@dataclass(frozen=True)
class UnfusedLayout(Layout):
    """The layout of a fused layer, and the activations between its operators, called like the tensors of the graph.

    Rows of activations are as wide as the product that makes them computes. ``scores``, ``weights`` and ``reciprocal``
    lie in the order in which they are made: block of rows, head, row (of a batch: row, head), position; a reciprocal is
    a whole FP32 vector, each lane the same.
    """

    @cached_property
    def heads(self) -> Heads:
        """Of a batch every row is a block, so that sequences can be shared out one by one."""
        heads = super().heads
        return replace(heads, blocks=heads.sequences, group=1, stacked=1) if heads.batch else heads

    @cached_property
    def score_vectors(self) -> int:
        """Rows of scores: one for every row and head."""
        return self.padded_rows * self.shape.heads

    @property
    def norms(self) -> dict[str, tuple[str, ...]]:
        """Each by itself."""
        return {"attention_norm": ("attention_norm",), "feed_forward_norm": ("mlp_norm",)}

    @cached_property
    def regions(self) -> dict[str, Region]:
        """Every region by name."""
        widths = {
            "attention_normed": self.output.width,
            "queries": self.query.width,
            "rotated_queries": self.query.width,
            "new_keys": self.key.width,
            "rotated_keys": self.key.width,
            "new_values": self.key.width,
            "mixed": self.query.width,
            "after_attention": self.output.width,
            "mlp_normed": self.output.width,
            "gated": self.inner.width,
            "raised": self.inner.width,
            "product": self.inner.width,
        }
        sizes = {name: self.padded_rows * width * ELEMENT_BYTES for name, width in widths.items()}
        sizes["scores"] = self.score_vectors * self.positions * WIDE_BYTES
        sizes["weights"] = self.score_vectors * self.positions * ELEMENT_BYTES
        sizes["reciprocal"] = self.score_vectors * self.params.lanes * WIDE_BYTES
        return super().regions | {name: Region(name, size) for name, size in sizes.items()}

    @property
    def hidden_columns(self) -> int:
        """Columns of a row of hidden state that count, in whole vectors."""
        return self._whole(self.shape.hidden)
