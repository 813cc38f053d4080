"""Sizes of a decoder layer, and how its tensors lie in memory."""

from dataclasses import dataclass
from functools import cached_property

from coe_mapping.kernels.attention import Heads
from coe_mapping.kernels.dense import Tiling, groups, tiling
from coe_mapping.kernels.memory import ELEMENT_BYTES, Region
from hdl.params import RDUParams, require

SHARED = ("positions", "cosines", "sines")
"""Regions that all layers have in common."""


@dataclass(frozen=True)
class LayerShape:
    """Sizes of one decoder layer kernel.

    Attributes:
        hidden, heads, key_heads, head, inner: widths of the model.
        rows: tokens of a launch; ``batch``: each of a sequence of its own.
        positions: that the cache holds and every row looks at, masked beyond its own.
    """

    hidden: int
    heads: int
    key_heads: int
    head: int
    inner: int
    epsilon: float
    rows: int
    positions: int
    batch: bool = False

    def __post_init__(self) -> None:
        require(self.head % 2 == 0, f"decoder: a head of {self.head} elements cannot be rotated in pairs")
        require(
            self.heads % self.key_heads == 0,
            f"decoder: {self.heads} query heads are not shared out evenly to {self.key_heads} key heads",
        )


@dataclass(frozen=True)
class Layout:
    """How the tensors of a layer lie in memory: what the kernel and whoever fills the memory agree on."""

    params: RDUParams
    shape: LayerShape

    @cached_property
    def head_pitch(self) -> int:
        """Elements of a head, whole vectors."""
        return self._whole(self.shape.head)

    @cached_property
    def query(self) -> Tiling:
        return tiling(self.params, self.shape.rows, self.shape.hidden, self.shape.heads * self.head_pitch)

    @cached_property
    def key(self) -> Tiling:
        """Of keys and of values."""
        return tiling(self.params, self.shape.rows, self.shape.hidden, self.shape.key_heads * self.head_pitch)

    @cached_property
    def output(self) -> Tiling:
        return tiling(self.params, self.shape.rows, self.shape.heads * self.head_pitch, self.shape.hidden)

    @cached_property
    def inner(self) -> Tiling:
        """Of gate and up."""
        return tiling(self.params, self.shape.rows, self.shape.hidden, self.shape.inner)

    @cached_property
    def down(self) -> Tiling:
        return tiling(self.params, self.shape.rows, self.shape.inner, self.shape.hidden)

    @cached_property
    def heads(self) -> Heads:
        s = self.shape
        blocks, group = groups(self.params, s.rows)
        shared = s.heads // s.key_heads
        stacked = max(n for n in range(1, self.params.pcu.stages + 1) if shared % n == 0) if s.batch else 1
        return Heads(s.heads, s.key_heads, s.head, self.head_pitch, blocks, group, self.positions, s.batch, stacked)

    @cached_property
    def positions(self) -> int:
        """Of the cache, whole score tiles."""
        return self._whole(self.shape.positions)

    @property
    def padded_rows(self) -> int:
        """Rows in memory; those beyond ``shape.rows`` are computed and not looked at."""
        blocks, group = groups(self.params, self.shape.rows)
        return blocks * group

    @property
    def sequences(self) -> int:
        return self.padded_rows if self.shape.batch else 1

    @property
    def cache_pitch(self) -> int:
        """Elements from a position of the cache to the next."""
        return self.shape.key_heads * self.head_pitch

    @property
    def cache_rows(self) -> int:
        """Positions in memory: more than are looked at, for padded rows leave their keys and values behind these; whole
        granules, so that every sequence begins on one."""
        granule = self.params.memory.granule
        return -(-(self.positions + 1) // granule) * granule

    @property
    def weights(self) -> dict[str, Tiling]:
        """The products of the layer."""
        return {
            "query": self.query,
            "key": self.key,
            "value": self.key,
            "output": self.output,
            "gate": self.inner,
            "up": self.inner,
            "down": self.down,
        }

    @property
    def norms(self) -> dict[str, tuple[str, ...]]:
        """Regions of norms: tensors of the model, one behind the other."""
        return {"norms": ("attention_norm", "mlp_norm")}

    @cached_property
    def regions(self) -> dict[str, Region]:
        """Every region by name."""
        beat = self.params.beat_bytes
        hidden = self.output.width * ELEMENT_BYTES
        cache = self.sequences * self.cache_rows * self.cache_pitch * ELEMENT_BYTES
        sizes = {
            "x": self.padded_rows * hidden,
            "y": self.padded_rows * hidden,
            **{name: len(rows) * hidden for name, rows in self.norms.items()},
            "positions": 2 * self.padded_rows * beat,
            "cosines": self.cache_rows * self.head_pitch * ELEMENT_BYTES,
            "sines": self.cache_rows * self.head_pitch * ELEMENT_BYTES,
            "keys": cache,
            "values": cache,
            **{name: t.tiles * t.k * t.slots * beat for name, t in self.weights.items()},
        }
        return {name: Region(name, size) for name, size in sizes.items()}

    @property
    def steps(self) -> dict[str, int]:
        """Bytes from a layer's region to the next layer's, whole granules; those of the others are the same in all."""
        granule = self.params.memory.granule * self.params.beat_bytes
        own = (region for name, region in self.regions.items() if name not in SHARED)
        return {region.name: -(-region.bytes // granule) * granule for region in own}

    def _whole(self, elements: int) -> int:
        return -(-elements // self.params.lanes) * self.params.lanes
