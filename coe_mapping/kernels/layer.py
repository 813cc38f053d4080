"""A decoder layer of the Llama family as one kernel: norm to residual, with its caches, nothing through memory between.

Prefill: the rows are consecutive positions of one sequence. Decode: every row is one sequence. Rows are worked on in
blocks of as many as a PCU has stages.

Rows of a single block are normed twice by the same units: by the time the second half of the layer wants them the first
has done with them. So streams go round in a circle there.

Products are shared out to several PCUs. Rows of a single block may meet in a stage buffer again, wherever they come
from. Of several blocks each source may be at another, so the shares of the gate stay apart: each has its own buffer,
which feeds its own part of k of the last product, and the sums go on from PCU to PCU. Or the PCUs share out the rows:
lines from the gate to the last product, each at another block, with the same weights, which so are read less often.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from coe_mapping.kernels.attention import Positions, attention
from coe_mapping.kernels.buffer import Order, buffer, buffer_rows, queue
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import Tiling, groups, product
from coe_mapping.kernels.elementwise import multiply, rotary
from coe_mapping.kernels.layout import Layout
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Gather, Pattern, Region, Skip, Streams, Wait
from coe_mapping.kernels.norm import rms_norm, row_order
from coe_mapping.kernels.shares import Shares
from coe_mapping.program import Port, Program
from hdl.arith.special_tables import Function
from hdl.params import require
from hdl.streams import SEQUENCE_BITS

DEEPEST = 32
"""Blocks of rows that a residual waits for."""

EARLY = ("query", "key", "value")
"""Products before attention."""


@dataclass(frozen=True)
class Kernel:
    """A program, and where the addresses of its regions go."""

    program: Program
    bindings: tuple[Binding, ...]
    layout: Layout
    shares: Shares


@dataclass(frozen=True)
class Share:
    """What one PCU does of a product: ``tiling``, from ``column`` and row ``k`` of the weight on; its weights."""

    tiling: Tiling
    column: int
    k: int
    weights: Port


@dataclass(frozen=True)
class _HeadOrder:
    """The order in which heads are worked on; the position of every row whenever it is one's turn.

    ``drained``: as a product leaves them, of every row a vector in turn; else row by row.
    """

    loops: Loops
    drained: bool
    positions: Port


def build_layer(layout: Layout, shares: Shares) -> Kernel:
    """The kernel of one layer.

    Raises:
        ParameterError: it does not fit, or work cannot be shared out so.
    """
    return LayerBuilder(layout, shares).build()


class LayerBuilder:
    """The construction of one layer, part by part."""

    def __init__(
        self, layout: Layout, shares: Shares, b: Builder | None = None, streams: Streams | None = None
    ) -> None:
        """``b``, ``streams``: that its units and its streams from and to memory are added to."""
        self.layout, self.shape, self.shares = layout, layout.shape, shares
        self.b = b or Builder(layout.params, "decoder layer")
        self.streams = streams or Streams(layout.params, self.b.name)
        self.lanes = self.b.lanes
        self.beat = layout.params.beat_bytes
        self.blocks, self.group = groups(layout.params, layout.shape.rows)
        self.heads = layout.heads if shares.stacked else replace(layout.heads, stacked=1)
        self.apart = self.blocks > 1 and shares.inner > 1
        """Shares of the gate stay apart."""
        require(
            shares.lines == 1 or (shares.inner == shares.down == 1 and self.blocks % shares.lines == 0),
            f"decoder: {shares.lines} lines do not share out {self.blocks} blocks of rows evenly, with "
            f"{max(shares.inner, shares.down)} PCUs each",
        )
        self.together = self.blocks == 1 and layout.query.width == layout.shape.heads * layout.head_pitch
        """One unit turns queries and keys."""
        self.slotted = self.group <= layout.params.pcu.interleave
        """A unit can sum up all rows of a block in turn."""
        self.scalars: dict[object, Port] = {}
        caches = self.group * layout.cache_rows * layout.cache_pitch
        few = caches * ELEMENT_BYTES < 1 << SEQUENCE_BITS and caches <= layout.params.pmu.rows * layout.params.lanes
        self.at_once = shares.early and layout.shape.batch and self.blocks == 1 and few
        """The caches of all sequences fit one buffer."""
        self.loads: dict[tuple[str, int], Port] = {}
        """Of weights."""
        self.products = self._products()

    def build(self) -> Kernel:
        self.construct()
        self.streams.finish(self.b)
        return Kernel(self.b.program(), tuple(self.streams.bindings()), self.layout, self.shares)

    def construct(self) -> None:
        """All units but AGCUs, and all streams."""
        x = self._input(drained=self.slotted)
        attended = self._attention(self._first_norm(x))
        middle = self._with_residual("output", attended, "x", x)
        self._feed_forward(middle, self._second_norm(self._for_norm(middle)))

    # --- products ---

    def _products(self) -> dict[str, list[Share]]:
        """The shares of every product, with their weights: first those that are needed at the same time as others, then
        those with the most traffic, so that these get AGCUs of their own."""
        s, down = self.shares, self.layout.down
        ways = {"query": s.query, "key": s.key, "value": s.key, "output": s.output, "gate": s.inner, "up": s.inner}
        cuts: dict[str, list[tuple[Tiling, int, int]]] = {}
        for name, count in ways.items():
            cuts[name] = self._cut(name, count)
        if self.apart:
            widths = [(part.width, column) for part, column, _ in cuts["gate"]]
            require(widths[-1][1] < down.k, f"decoder: {down.k} inner elements leave nothing for share {len(widths)}")
            cuts["down"] = [(replace(down, k=min(width, down.k - k)), 0, k) for width, k in widths]
        else:
            cuts["down"] = self._cut("down", s.down)
        traffic = [
            (part.tiles * part.k * part.slots * (1 if f"{name}{i}" in s.resident else part.blocks), name, i)
            for name, parts in cuts.items()
            for i, (part, _, _) in enumerate(parts)
        ]
        made: dict[tuple[str, int], Share] = {}
        for _, name, i in sorted(traffic, key=lambda t: (t[1] not in EARLY, -t[0])):
            part, column, k = cuts[name][i]
            made[name, i] = Share(part, column, k, self._weights(name, i, part, column, k))
        if self.blocks > 1:
            self._take_turns()
        return {name: [made[name, i] for i in range(len(parts))] for name, parts in cuts.items()}

    def _cut(self, name: str, ways: int) -> list[tuple[Tiling, int, int]]:
        """A product by its columns, each with the first of them; what a PCU does of the blocks of rows."""
        t = self.layout.weights[name]
        whole = replace(t, blocks=t.blocks // self.shares.lines) if name in ("gate", "up", "down") else t
        parts = whole.columns(ways)
        return [(part, sum(before.width for before in parts[:i]), 0) for i, part in enumerate(parts)]

    def _take_turns(self) -> None:
        """Weights that are read once are read in the order in which they are needed, two at a time, so that those which
        are streamed all the time are not late."""
        inner = range(self.shares.inner)
        turns = [[("value", 0)], [("output", 0)], *([("gate", i), ("up", i)] for i in inner)]
        turns += [[("down", i) for i in range(len(inner) if self.apart else 1)]]
        for before, after in pairwise(turns):
            for share in after:
                if f"{before[0][0]}{before[0][1]}" in self.shares.resident:
                    self.streams.hold(self.loads[share], self.streams.loaded(self.loads[before[0]]))

    def _weights(self, name: str, number: int, part: Tiling, column: int, k: int) -> Port:
        whole = self.layout.weights[name]
        keep = f"{name}{number}" in self.shares.resident
        vectors, pitch = part.k * part.slots, whole.k * whole.slots
        order = loops(block=1 if keep else part.blocks, tile=part.tiles, vector=vectors)
        first = column // (whole.slots * self.lanes) * pitch + k * whole.slots
        strides = {"tile": pitch * self.beat, "vector": self.beat}
        port = self.streams.load(Pattern(self._region(name), order, strides, offset=first * self.beat))
        self.loads[name, number] = port
        if not keep:
            return port
        return queue(self.b, f"{name}{number}.weights", port, vectors, part.tiles, replays=part.blocks)

    def _columns(
        self,
        name: str,
        xs: Mapping[int, Port],
        *,
        pitch: int,
        column: int = 0,
        initial: Sequence[Port] = (),
        function: Function | None = None,
    ) -> Rows:
        """All shares of a product, which takes its rows from ``xs`` (:meth:`_operands`); results in rows of ``pitch``,
        from ``column`` on."""
        parts = self.products[name]
        made = [
            product(
                self.b,
                f"{name}{i}",
                part.tiling,
                xs[part.tiling.tiles],
                part.weights,
                pitch=pitch,
                column=column + part.column,
                initial=initial[i] if initial else None,
                function=function,
            )
            for i, part in enumerate(parts)
        ]
        width = sum(rows.width for rows in made)
        return Rows(tuple(port for rows in made for port in rows.sources), self.blocks, self.group, width, pitch)

    def _with_residual(self, name: str, x: Rows, old: str, rows: Rows) -> Rows:
        """``rows`` + ``x`` @ weight ``name``, rounded once."""
        parts, pitch = self.products[name], self.layout.weights[name].width
        operands = self._operands(name, x, (name,))
        residual = [self._residual(f"{old}.residual{i}", rows, part) for i, part in enumerate(parts)]
        return self._columns(name, operands, pitch=pitch, initial=residual)

    def _residual(self, name: str, rows: Rows, part: Share) -> Port:
        """What sums start from. It waits for as long as its rows take another way, so as many blocks as fit."""
        pmu = self.layout.params.pmu
        fit = min(pmu.rows // buffer_rows(pmu, rows), DEEPEST)
        return buffer(self.b, name, rows, part.tiling.initial(rows.pitch, part.column), blocks=max(fit, 2))

    # --- parts of the layer ---

    def _region(self, name: str) -> Region:
        return self.layout.regions[name]

    def _input(self, *, drained: bool) -> Rows:
        """Row by row, or ``drained``: of every row a vector in turn, as a norm takes them fastest."""
        pitch = self.layout.output.width
        row, chunk = loops(row=self.group), loops(chunk=pitch // self.lanes)
        order = loops(block=self.blocks) + (chunk + row if drained else row + chunk)
        strides = {"block": self.group * pitch * ELEMENT_BYTES, "row": pitch * ELEMENT_BYTES, "chunk": self.beat}
        port = self.streams.load(Pattern(self._region("x"), order, strides, sequence=("row", "chunk")))
        return Rows((port,), self.blocks, self.group, pitch, pitch)

    def _first_norm(self, x: Rows) -> Rows:
        """Of a single block, with a block more to come."""
        if self.blocks > 1:  # PMUs are short, not AGCUs
            return self._norm("attention_norm", x, again=self._input(drained=False).sources[0])
        self.normed = self._norm("norm", replace(x, blocks=2), {"block": self._norm_bytes})
        return self.normed

    def _second_norm(self, middle: Rows) -> Rows:
        if self.blocks > 1:
            return self._norm("feed_forward_norm", middle, offset=self._norm_bytes)
        self.b.vector(middle.sources, Port("norm.square"), Port("norm.delay"), weight=middle.vectors(self.lanes))
        return self.normed

    @property
    def _norm_bytes(self) -> int:
        return self.layout.output.width * ELEMENT_BYTES

    def _norm(
        self,
        name: str,
        rows: Rows,
        strides: Mapping[str, int] | None = None,
        offset: int = 0,
        again: Port | None = None,
    ) -> Rows:
        """``strides``, ``offset``: of the weights, in bytes."""
        order, steps = row_order(rows, self.lanes).loops, {"chunk": self.beat, **(strides or {})}
        weight = self.streams.load(Pattern(self._region("norms"), order, steps, offset=offset))
        size, epsilon = self.shape.hidden, self.shape.epsilon
        drained = self.slotted
        return rms_norm(self.b, name, rows, weight, size=size, epsilon=epsilon, drained=drained, again=again)

    def _attention(self, normed: Rows) -> Rows:
        heads = self.heads
        xs = self._operands("attention", normed, ("query", "key", "value"), turn=0)
        v = self._columns("value", xs, pitch=self.layout.key.width)
        v_order = self._order(v, heads.keys)
        rows = v.sources[0] if v_order.drained else self._by_heads("value", v, v_order)
        q, k, k_order = self._queries_and_keys(xs)
        keys = self._cached("keys", k, k_order, skip=heads.queries if self.together else 0)
        values = self._cached("values", rows, v_order)
        return attention(self.b, "attention", heads, q, keys, values, self._positions())

    def _operands(self, name: str, rows: Rows, products: Sequence[str], turn: int = 0) -> dict[int, Port]:
        """The rows for these products by the number of their tiles: shares that are cut alike use the same buffer.
        ``turn``: of several blocks where the products work on one only, which."""
        ports: dict[int, Port] = {}
        for tiling in (share.tiling for product_name in products for share in self.products[product_name]):
            if tiling.tiles not in ports:
                order = tiling.operand(rows.pitch)
                if rows.blocks > tiling.blocks:
                    order = replace(order, loops=Loops({**order.loops.limits, "block": rows.blocks}), only=turn)
                ports[tiling.tiles] = buffer(self.b, f"{name}.x{len(ports)}", rows, order)
        return ports

    def _positions(self) -> Positions:
        heads = self.heads
        if heads.batch:
            port = self._scalars(loops(block=heads.blocks, row=heads.group))
            return Positions(port, port)
        order = loops(block=heads.blocks, head=heads.queries)
        return Positions(self._scalars(order + loops(row=heads.group)), self._scalars(order))

    def _scalars(self, order: Loops, offset: int = 0) -> Port:
        """The positions of the rows, in some order, ``offset`` beats into their region; whoever wants the same shares a
        stream."""
        key = offset, tuple(order.limits.items())
        if key not in self.scalars:
            strides = {"block": self.group * self.beat, "row": self.beat}
            pattern = Pattern(self._region("positions"), order, strides, words=1, offset=offset * self.beat)
            self.scalars[key] = self.streams.load(pattern)
        return self.scalars[key]

    def _order(self, x: Rows, heads: int) -> _HeadOrder:
        """In which order heads are worked on. Of many blocks, if one PCU makes them, as it leaves them."""
        chunks = self.layout.head_pitch // self.lanes
        drained = self.blocks > 1 and len(x.sources) == 1 and x.width == heads * self.layout.head_pitch
        inner = loops(head=heads, chunk=chunks)
        outer, row = loops(block=self.blocks), loops(row=self.group)
        if drained:
            return _HeadOrder(outer + inner + row, True, self._scalars(outer + loops(vector=heads * chunks) + row))
        return _HeadOrder(outer + row + inner, False, self._scalars(outer + row))

    def _by_heads(self, name: str, x: Rows, order: _HeadOrder) -> Port:
        strides = {"row": x.pitch, "head": self.layout.head_pitch, "chunk": self.lanes}
        return buffer(self.b, f"{name}.rows", x, Order(order.loops, strides, block="block"))

    def _queries_and_keys(self, xs: Mapping[int, Port]) -> tuple[Rows, Port, _HeadOrder]:
        """Queries and keys after rotary embedding: those that attention takes, those that go to the cache.

        One unit turns both if they come in one block; the keys come after the queries then.
        """
        layout, heads = self.layout, self.heads
        queries = heads.queries * heads.pitch
        pitch = queries + layout.key.width if self.together else layout.query.width
        q = self._columns("query", xs, pitch=pitch)
        if not self.together:
            k = self._columns("key", xs, pitch=layout.key.width)
            order = self._order(k, heads.keys)
            (turned,) = self._rotated("key", k, heads.keys, order).sources
            return self._rotated("query", q, heads.queries, self._order(q, heads.queries)), turned, order
        k = self._columns("key", xs, pitch=pitch, column=queries)
        both = Rows((*q.sources, *k.sources), self.blocks, self.group, q.width + k.width, pitch)
        order = self._order(both, heads.queries + heads.keys)
        turned_rows = self._rotated("rotary", both, heads.queries + heads.keys, order)
        return replace(turned_rows, pitch=queries), turned_rows.sources[0], order

    def _rotated(self, name: str, x: Rows, heads: int, order: _HeadOrder) -> Rows:
        """``x`` turned, head by head, each with all rows of the block."""
        pitch = self.layout.head_pitch
        tables = [
            self.streams.load(
                Pattern(
                    self._region(table),
                    order.loops,
                    {"chunk": self.beat},
                    gather=Gather(order.positions, "row", pitch * ELEMENT_BYTES),
                )
            )
            for table in ("cosines", "sines")
        ]
        rows = x.sources[0] if order.drained else self._by_heads(name, x, order)
        made = Rows((), x.blocks, x.group, heads * pitch, heads * pitch)
        strides = {"row": pitch, "head": x.group * pitch, "chunk": self.lanes}
        return rotary(self.b, f"{name}.turned", rows, made, Order(order.loops, strides, block="block"), *tables)

    def _cached(self, name: str, rows: Port, order: _HeadOrder, skip: int = 0) -> Rows:
        """Writes new rows into a cache, the first ``skip`` heads left out, and reads it for every group of rows."""
        layout, heads = self.layout, self.heads
        pitch = layout.cache_pitch
        row = pitch * ELEMENT_BYTES
        sequence = layout.cache_rows * row if heads.batch else 0
        strides = {"head": heads.pitch * ELEMENT_BYTES, "chunk": self.beat}
        pattern = Pattern(
            self._region(name),
            order.loops,
            strides | {"block": self.group * sequence, "row": sequence},
            gather=Gather(order.positions, "row", row),
            keep=("head", skip) if skip else None,
        )
        each = "row" if heads.batch and not order.drained else "block"
        data, written = self.streams.store(pattern, tell=True, each=each)
        self.b.vector(rows, data, weight=order.loops.count)
        if self.at_once and name == "keys":  # values are wanted later
            return self._cache_at_once(name, Wait(written, each))
        rows_each = self.group if heads.batch else 1
        cached = self.streams.load(
            Pattern(
                self._region(name),
                loops(block=self.blocks, row=rows_each, position=heads.positions, chunk=pitch // self.lanes),
                {"block": self.group * sequence, "row": sequence, "position": row, "chunk": self.beat},
                sequence=("position", "chunk"),
            ),
            wait=(Wait(written, each),),
        )
        self._hold(name, cached)
        return Rows((cached,), heads.sequences, heads.positions, pitch, pitch)

    def _cache_at_once(self, name: str, written: Wait) -> Rows:
        """The caches of all sequences: old rows as soon as can be, the new ones when they have been written."""
        layout = self.layout
        pitch, chunks = layout.cache_pitch, layout.cache_pitch // self.lanes
        row = pitch * ELEMENT_BYTES
        sequence = layout.cache_rows * row
        outer = loops(block=1, row=self.group)
        strides = {"row": sequence, "position": row, "chunk": self.beat}
        offsets = self._scalars(outer, offset=layout.padded_rows)
        old = Pattern(
            self._region(name),
            outer
            + loops(position=layout.cache_rows, chunk=chunks),  # one is dropped, of padded rows one beyond the last
            strides,
            but=Skip(offsets, "row", "position"),
            numbered=True,
        )
        new = Pattern(
            self._region(name),
            outer + loops(chunk=chunks),
            strides,
            gather=Gather(self._scalars(outer), "row", row),
            numbered=True,
        )
        ports = self.streams.load(old), self.streams.load(new, wait=(written,))
        self._hold(name, ports[1])
        return Rows(ports, 1, self.group * layout.cache_rows, pitch, pitch)

    def _hold(self, name: str, cached: Port) -> None:
        """Lets the weights that are needed later wait for the cache, and for those before attention that come through
        the same AGCU: what nobody takes yet would keep its bursts under way from them."""
        if name != "values" or self.blocks > 1:
            return
        early = {port.unit: port for (product_name, _), port in self.loads.items() if product_name in EARLY}
        for (product_name, _), port in self.loads.items():
            if product_name not in EARLY:
                self.streams.hold(port, self.streams.loaded(cached))
                if port.unit in early:
                    self.streams.hold(port, self.streams.loaded(early[port.unit]))

    def _feed_forward(self, middle: Rows, normed: Rows) -> None:
        """The second half of the layer, its results stored."""
        if self.shares.lines > 1:
            for number in range(self.shares.lines):
                self._line(number, normed, middle)
            return
        xs = self._operands("feed_forward", normed, ("gate", "up"), turn=1)
        width = self.layout.inner.width
        gate = self._columns("gate", xs, pitch=width, function=Function.SILU)
        up = self._columns("up", xs, pitch=width)
        if self.apart:
            self._output(self._chained(gate, up, middle))
            return
        if len(gate.sources) > 1:
            gate, up = self._by_rows("gate", gate), self._by_rows("up", up)
            order = row_order(gate, self.lanes)
        else:
            order = _drained(self.layout.inner, width)
        gated = multiply(self.b, "gated", gate, up, order)
        self._output(self._with_residual("down", gated, "middle", middle))

    def _line(self, number: int, normed: Rows, middle: Rows) -> None:
        """Block ``number`` of every ``lines`` blocks, from the gate to the store; its buffers take all of these."""
        lines, pmu = self.shares.lines, self.layout.params.pmu
        (gate,), (up,), (down,) = (self.products[name] for name in ("gate", "up", "down"))

        def own(name: str, rows: Rows, order: Order, blocks: int = 2) -> Port:
            all_lines = replace(rows, blocks=rows.blocks // lines, group=rows.group * lines)
            mine = replace(order, offset=number * rows.elements)
            return buffer(self.b, name, all_lines, mine, blocks, parts=lines)

        width = self.layout.inner.width
        x = own(f"feed_forward.x{number}", normed, gate.tiling.operand(normed.pitch))
        left = product(self.b, f"gate{number}", gate.tiling, x, gate.weights, pitch=width, function=Function.SILU)
        right = product(self.b, f"up{number}", up.tiling, x, up.weights, pitch=width)
        gated = multiply(self.b, f"gated{number}", left, right, _drained(gate.tiling, width))
        operand = buffer(self.b, f"down{number}.x", gated, down.tiling.operand(width))
        fit = pmu.rows // buffer_rows(pmu, replace(middle, group=middle.group * lines))
        residual = own(f"middle.residual{number}", middle, down.tiling.initial(middle.pitch), max(min(fit, DEEPEST), 2))
        pitch = self.layout.down.width
        sums = product(self.b, f"down{number}", down.tiling, operand, down.weights, pitch=pitch, initial=residual)
        self._store(sums.sources[0], down, pitch, number)

    def _for_norm(self, middle: Rows) -> Rows:
        """As :meth:`_input`, from one source."""
        if not self.slotted:
            return self._by_rows("middle", middle)
        if len(middle.sources) == 1:
            return middle
        order = loops(block=middle.blocks, chunk=middle.width // self.lanes, row=middle.group)
        in_turn = Order(order, {"chunk": self.lanes, "row": middle.pitch}, block="block")
        return replace(middle, sources=(buffer(self.b, "middle.rows", middle, in_turn),))

    def _by_rows(self, name: str, rows: Rows) -> Rows:
        """The same row by row."""
        return replace(rows, sources=(buffer(self.b, f"{name}.rows", rows, row_order(rows, self.lanes)),))

    def _chained(self, gate: Rows, up: Rows, middle: Rows) -> Rows:
        """The last product, every share of the gate a part of its k; the sums go from PCU to PCU."""
        shares = self.products["down"]
        sums = Rows((self._residual("middle.residual", middle, shares[0]),), 0, 0, 0, 0)
        for i, (share, inner) in enumerate(zip(shares, self.products["gate"], strict=True)):
            width = inner.tiling.width
            left, right = (replace(rows, sources=(rows.sources[i],), width=width, pitch=width) for rows in (gate, up))
            gated = multiply(self.b, f"gated{i}", left, right, _drained(inner.tiling, width))
            x = buffer(self.b, f"down{i}.x", gated, share.tiling.operand(width))
            last = share is shares[-1]
            sums = product(
                self.b,
                f"down{i}",
                share.tiling,
                x,
                share.weights,
                pitch=share.tiling.width * (1 if last else 2),
                initial=sums.sources[0],
                wide=not last,
            )
        return sums

    def _output(self, y: Rows) -> None:
        shares = self.products["down"][-len(y.sources) :]
        for source, share in zip(y.sources, shares, strict=True):
            self._store(source, share, y.pitch)

    def _store(self, source: Port, share: Share, pitch: int, line: int = 0) -> None:
        t, row = share.tiling, pitch * ELEMENT_BYTES
        block = t.group * row
        strides = {"block": self.shares.lines * block, "tile": t.slots * self.beat, "slot": self.beat, "row": row}
        offset = line * block + share.column * ELEMENT_BYTES
        data, _ = self.streams.store(Pattern(self._region("y"), t.results, strides, offset=offset))
        self.b.vector(source, data, weight=t.results.count)


def _drained(t: Tiling, pitch: int) -> Order:
    """The order in which a product leaves its results, and where they belong in rows of ``pitch``."""
    return Order(t.results, {"tile": t.slots * t.lanes, "slot": t.lanes, "row": pitch}, block="block")
