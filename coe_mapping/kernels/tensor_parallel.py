"""A decoder layer over the two sockets of a ring, as one kernel (M. Shoeybi et al., "Megatron-LM", 2019).

Each socket has half of the query heads with their key heads, and half of the inner features: queries, keys, values,
gate and up are cut by column, output and down by row. So a layer needs two AllReduces, of what these two leave; socket
0 starts its sums from the residual. The two column shares of a product are the chunks: each socket adds one, whose
vectors are on their way to the other as they are made, while the other share is still multiplied.

```
 socket 0   x ─> norm ─> attention, heads 0, 1 ─> output0 ─────────> + ─┬─> middle ─> norm ─> gate, up ─> down0 ─> ...
            └──────────────── residual ─────────> output1 ──┐        ^  │
                                                            v        │  v
 socket 1   x ─> norm ─> attention, heads 2, 3 ─> output1 ─> + ──────┼──┴─> middle ─> norm ─> gate, up ─> down1 ─> ...
                                                  output0 ───────────┘
```

Partial sums are rounded to BF16 before they are added (:mod:`golden_model.tensor_parallel`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from coe_mapping.kernels.buffer import Order
from coe_mapping.kernels.builder import Rows
from coe_mapping.kernels.collectives import adder
from coe_mapping.kernels.layer import LayerBuilder
from coe_mapping.kernels.layout import LayerShape, Layout
from coe_mapping.kernels.memory import Binding
from coe_mapping.kernels.node_builder import NodeBuilder
from coe_mapping.kernels.shares import Shares
from coe_mapping.program import Port
from coe_mapping.spanning import SpanningProgram
from hdl.params import RDUParams, require

SOCKETS = 2

CHANNELS = {"output": 0, "down": 1}
"""Of the links, for each AllReduce: what is on its way for the second never stands behind what the first waits for."""


@dataclass(frozen=True)
class SplitKernel:
    """The program, where the addresses of its regions go, and how a socket's part of the layer lies in its memory."""

    program: SpanningProgram
    bindings: Mapping[int, tuple[Binding, ...]]
    layout: Layout


def split_shape(shape: LayerShape) -> LayerShape:
    """What one socket has of a layer.

    Raises:
        ParameterError: heads or inner features are odd in number.
    """
    for what, count in (("query heads", shape.heads), ("key heads", shape.key_heads), ("inner features", shape.inner)):
        require(count % SOCKETS == 0, f"tensor parallelism: {count} {what} are not as many for {SOCKETS} sockets")
    return replace(
        shape, heads=shape.heads // SOCKETS, key_heads=shape.key_heads // SOCKETS, inner=shape.inner // SOCKETS
    )


def split_layer(params: RDUParams, shape: LayerShape, shares: Shares) -> SplitKernel:
    """The kernel of one layer on both sockets.

    Args:
        shares: of each socket's PCUs; ``output`` and ``down`` are the chunks of the AllReduces, one a socket.

    Raises:
        ParameterError: it cannot be split so, there are more than two sockets, or rows come in several blocks.
    """
    require(params.sockets == SOCKETS, f"tensor parallelism: over {SOCKETS} sockets, not {params.sockets}")
    require(
        (shares.output, shares.down) == (SOCKETS, SOCKETS),
        f"tensor parallelism: output and down in {shares.output} and {shares.down} shares, not one a socket",
    )
    layout, n = Layout(params, split_shape(shape)), NodeBuilder(params, "decoder layer")
    require(layout.heads.blocks == 1, f"tensor parallelism: {shape.rows} rows come in several blocks: take fewer")
    for socket in n.sockets:
        _Part(layout, shares, n, socket).construct()
    program, bindings = n.program()
    return SplitKernel(program, {s: tuple(each) for s, each in bindings.items()}, layout)


class _Part(LayerBuilder):
    """What one socket does of the layer."""

    def __init__(self, layout: Layout, shares: Shares, n: NodeBuilder, socket: int) -> None:
        super().__init__(layout, shares, n.builders[socket], n.memory[socket])
        self.n, self.socket, self.other = n, socket, 1 - socket

    def _with_residual(self, name: str, x: Rows, old: str, rows: Rows) -> Rows:
        """Both sockets' ``x`` @ weight ``name``, and ``rows``: chunk c is added on socket c."""
        whole = self._partial(name, x, old if self.socket == 0 else None, rows)
        channel, part = CHANNELS[name], self.products[name][self.socket]
        t = part.tiling
        order = Order(t.results, {"tile": t.slots * t.lanes, "slot": t.lanes, "row": whole.pitch}, None)
        unit = adder(self.b, f"{name}.sum", order, part.column)
        theirs = self.n.remote((self.other, Port(f"{name}{self.socket}")), channel)
        self.b.vector(theirs, Port(unit, 0), weight=t.results.count)
        self.b.vector(whole.sources[self.socket], Port(unit, 1), weight=t.results.count)
        sums = {self.socket: Port(unit), self.other: self.n.remote((self.other, Port(f"{name}.sum")), channel)}
        return replace(whole, sources=tuple(sums[c] for c in self.n.sockets))

    def _partial(self, name: str, x: Rows, residual: str | None, rows: Rows) -> Rows:
        """This socket's sums, a chunk from each source; from the residual on, if it is given."""
        parts, pitch = self.products[name], self.layout.weights[name].width
        operands = self._operands(name, x, (name,))
        initial = [self._residual(f"{residual}.residual{i}", rows, p) for i, p in enumerate(parts)] if residual else []
        return self._columns(name, operands, pitch=pitch, initial=initial)
