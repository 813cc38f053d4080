"""A decoder layer of the Llama family as one kernel: norm to residual, with its caches, nothing through memory between.

Prefill: the rows are consecutive positions of one sequence. Decode: every row is one sequence. Rows are worked on in
blocks of as many as a PCU has stages.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from coe_mapping.kernels.attention import Heads, attention
from coe_mapping.kernels.buffer import Order, buffer, queue
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import Tiling, groups, product, tiling
from coe_mapping.kernels.elementwise import multiply, rotary
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Gather, Pattern, Region, Streams
from coe_mapping.kernels.norm import rms_norm, row_order
from coe_mapping.program import Port, Program
from hdl.arith.special_tables import Function
from hdl.params import RDUParams, require


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
        """Of keys and of values; cut as the queries, whose rows they share."""
        width = self.shape.key_heads * self.head_pitch
        return tiling(self.params, self.shape.rows, self.shape.hidden, width, self.query.tiles)

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
        return Heads(s.heads, s.key_heads, s.head, self.head_pitch, blocks, group, self.positions, s.batch)

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

    @cached_property
    def regions(self) -> dict[str, Region]:
        """Every region by name."""
        beat = self.params.beat_bytes
        hidden = self.output.width * ELEMENT_BYTES
        cache = self.sequences * self.cache_rows * self.cache_pitch * ELEMENT_BYTES
        sizes = {
            "x": self.padded_rows * hidden,
            "y": self.padded_rows * hidden,
            "attention_norm": hidden,
            "feed_forward_norm": hidden,
            "positions": self.padded_rows * beat,
            "cosines": self.cache_rows * self.head_pitch * ELEMENT_BYTES,
            "sines": self.cache_rows * self.head_pitch * ELEMENT_BYTES,
            "keys": cache,
            "values": cache,
            **{name: t.tiles * t.k * t.slots * beat for name, t in self.weights.items()},
        }
        return {name: Region(name, size) for name, size in sizes.items()}

    def _whole(self, elements: int) -> int:
        return -(-elements // self.params.lanes) * self.params.lanes


@dataclass(frozen=True)
class Kernel:
    """A program, and where the addresses of its regions go."""

    program: Program
    bindings: tuple[Binding, ...]
    layout: Layout


def decoder_layer(params: RDUParams, shape: LayerShape, resident: Collection[str] = ()) -> Kernel:
    """The kernel of one layer.

    Args:
        resident: weights that a PMU holds for the whole kernel, or queues ahead of use; the others are streamed from
            memory again for every block of rows.

    Raises:
        ParameterError: it does not fit.
    """
    return _Layer(Layout(params, shape), resident).build()


class _Layer:
    """The construction of one layer, part by part."""

    def __init__(self, layout: Layout, resident: Collection[str]) -> None:
        self.layout, self.shape, self.resident = layout, layout.shape, resident
        self.b = Builder(layout.params, "decoder layer")
        self.streams = Streams(layout.params, self.b.name)
        self.lanes = self.b.lanes
        self.beat = layout.params.beat_bytes

    def build(self) -> Kernel:
        layout = self.layout
        x = self._input()
        normed = rms_norm(
            self.b,
            "attention_norm",
            x,
            self._norm_weight("attention_norm", x),
            size=self.shape.hidden,
            epsilon=self.shape.epsilon,
        )
        attended = self._attention(normed)
        residual = buffer(self.b, "x.residual", x, layout.output.initial(x.pitch))
        middle = self._product(
            "output",
            buffer(self.b, "output.x", attended, layout.output.operand(attended.pitch)),
            pitch=layout.output.width,
            initial=residual,
        )
        y = self._feed_forward(middle)
        self._output(y)
        for name, agcu in self.streams.programs().items():
            self.b.add(name, agcu)
        for source, sink in self.streams.scalar_joins():
            self.b.scalar(source, sink)
        for source, sink in self.streams.token_joins():
            self.b.token(source, sink)
        return Kernel(self.b.program(), tuple(self.streams.bindings()), layout)

    def _region(self, name: str) -> Region:
        return self.layout.regions[name]

    def _input(self) -> Rows:
        blocks, group = groups(self.layout.params, self.shape.rows)
        pitch = self.layout.output.width
        order = loops(block=blocks, row=group, chunk=pitch // self.lanes)
        strides = {"block": group * pitch * ELEMENT_BYTES, "row": pitch * ELEMENT_BYTES, "chunk": self.beat}
        port = self.streams.load(Pattern(self._region("x"), order, strides, sequence=("row", "chunk")))
        return Rows((port,), blocks, group, pitch, pitch)

    def _norm_weight(self, name: str, rows: Rows) -> Port:
        order = row_order(rows, self.lanes).loops
        return self.streams.load(Pattern(self._region(name), order, {"chunk": self.beat}))

    def _product(
        self, name: str, x: Port, *, pitch: int, initial: Port | None = None, function: Function | None = None
    ) -> Rows:
        t = self.layout.weights[name]
        return product(self.b, name, t, x, self._weights(name, t), pitch=pitch, initial=initial, function=function)

    def _weights(self, name: str, t: Tiling) -> Port:
        vectors = t.k * t.slots
        keep = name in self.resident
        order = loops(block=1 if keep else t.blocks, tile=t.tiles, vector=vectors)
        strides = {"tile": vectors * self.beat, "vector": self.beat}
        port = self.streams.load(Pattern(self._region(name), order, strides))
        return queue(self.b, f"{name}.weights", port, vectors, t.tiles, replays=t.blocks) if keep else port

    def _attention(self, normed: Rows) -> Rows:
        layout, heads = self.layout, self.layout.heads
        rows = buffer(self.b, "attention.x", normed, layout.query.operand(normed.pitch))
        row_positions = self._scalars(loops(block=heads.blocks, row=heads.group))
        q = self._rotated("query", self._product("query", rows, pitch=layout.query.width), heads.queries, row_positions)
        k = self._rotated("key", self._product("key", rows, pitch=layout.key.width), heads.keys, row_positions)
        v = self._product("value", rows, pitch=layout.key.width)
        order = loops(block=heads.blocks, row=heads.group, head=heads.keys, chunk=heads.pitch // self.lanes)
        v_rows = buffer(
            self.b, "value.rows", v, Order(order, {"row": v.pitch, "head": heads.pitch, "chunk": self.lanes}, "block")
        )
        keys = self._cached("keys", k.sources[0], order, row_positions)
        values = self._cached("values", v_rows, order, row_positions)
        if heads.batch:
            masked = loops(block=heads.blocks, row=heads.group, head=heads.queries)
        else:
            masked = loops(block=heads.blocks, head=heads.queries, row=heads.group)
        return attention(self.b, "attention", heads, q, keys, values, self._scalars(masked))

    def _scalars(self, order: Loops) -> Port:
        """The positions of the rows, in some order."""
        group = self.layout.heads.group
        strides = {"block": group * self.beat, "row": self.beat}
        return self.streams.load(Pattern(self._region("positions"), order, strides, words=1))

    def _rotated(self, name: str, x: Rows, heads: int, positions: Port) -> Rows:
        pitch = self.layout.head_pitch
        order = Order(
            loops(block=x.blocks, row=x.group, head=heads, chunk=pitch // self.lanes),
            {"row": x.pitch, "head": pitch, "chunk": self.lanes},
            block="block",
        )
        tables = [
            self.streams.load(
                Pattern(
                    self._region(table),
                    order.loops,
                    {"chunk": self.beat},
                    gather=Gather(positions, "row", pitch * ELEMENT_BYTES),
                )
            )
            for table in ("cosines", "sines")
        ]
        rows = buffer(self.b, f"{name}.rows", x, order)
        turned = rotary(self.b, f"{name}.rotary", rows, x, order, *tables)
        return Rows(turned.sources, x.blocks, x.group, heads * pitch, x.pitch)

    def _cached(self, name: str, rows: Port, order: Loops, positions: Port) -> Rows:
        """Writes new rows into a cache, and then reads all of it."""
        layout, heads = self.layout, self.layout.heads
        pitch = layout.cache_pitch
        row = pitch * ELEMENT_BYTES
        sequence = layout.cache_rows * row
        strides = {"head": heads.pitch * ELEMENT_BYTES, "chunk": self.beat}
        if heads.batch:
            strides |= {"block": heads.group * sequence, "row": sequence}
        data, written = self.streams.store(
            Pattern(self._region(name), order, strides, gather=Gather(positions, "row", row)), tell=True
        )
        self.b.vector(rows, data, weight=order.count)
        cache = loops(sequence=layout.sequences, position=heads.positions, chunk=pitch // self.lanes)
        cached = self.streams.load(
            Pattern(
                self._region(name),
                cache,
                {"sequence": sequence, "position": row, "chunk": self.beat},
                sequence=("position", "chunk"),
            ),
            wait=(written,),
        )
        return Rows((cached,), layout.sequences, heads.positions, pitch, pitch)

    def _feed_forward(self, middle: Rows) -> Rows:
        layout, t = self.layout, self.layout.inner
        in_rows = row_order(middle, self.lanes)
        ordered = Rows(
            (buffer(self.b, "middle.rows", middle, in_rows),), middle.blocks, middle.group, middle.width, middle.pitch
        )
        normed = rms_norm(
            self.b,
            "feed_forward_norm",
            ordered,
            self._norm_weight("feed_forward_norm", middle),
            size=self.shape.hidden,
            epsilon=self.shape.epsilon,
        )
        rows = buffer(self.b, "feed_forward.x", normed, t.operand(normed.pitch))
        gate = self._product("gate", rows, pitch=t.width, function=Function.SILU)
        up = self._product("up", rows, pitch=t.width)
        order = Order(t.results, {"tile": t.slots * self.lanes, "slot": self.lanes, "row": t.width}, block="block")
        gated = multiply(self.b, "gated", gate, up, order)
        inner = buffer(self.b, "down.x", gated, layout.down.operand(gated.pitch))
        residual = buffer(self.b, "middle.residual", middle, layout.down.initial(middle.pitch))
        return self._product("down", inner, pitch=layout.down.width, initial=residual)

    def _output(self, y: Rows) -> None:
        t = self.layout.down
        row = y.pitch * ELEMENT_BYTES
        strides = {
            "block": y.group * row,
            "tile": t.slots * self.beat,
            "slot": self.beat,
            "row": row,
        }
        data, _ = self.streams.store(Pattern(self._region("y"), t.results, strides))
        self.b.vector(y.sources, data, weight=t.results.count)
