"""The head as a kernel: final norm, vocabulary projection in FP32, the index of each row's greatest logit; and, where
tokens are fed to decode, the embedding of that token.

::

    x rows -> RMSNorm -> [rows, again for every tile] -> product -> arg-max -> token ids, a word a row
                                    weights, tile by tile -^   a slot a row,  `-> rows of the embedding table
                                                               over all tiles

Logits never rest anywhere: a tile of them comes out vector by vector, the rows in turn, and the arg-max has an
accumulator a row. Columns that fill up the last tile are copies of the first: they tie with it at best, and the lowest
index wins, so that no value of any logit, not a number either, lets a padding column win.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import gcd

from coe_mapping.assembler.agcu import AGCUProgram
from coe_mapping.assembler.pcu import Group, PCUProgram, Reduce, ScalarOut, Simd, VectorIn
from coe_mapping.kernels.buffer import buffer
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import Tiling, padded_rows, product, row_pitch, tiling
from coe_mapping.kernels.embedding import look_up
from coe_mapping.kernels.loops import Loops, loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Pattern, Region, Streams
from coe_mapping.kernels.norm import rms_norm, row_order
from coe_mapping.program import Port, Program
from hdl.arith.operations import ReduceOp
from hdl.params import RDUParams, require
from hdl.pcu.config import ScalarSource, SharedSource


@dataclass(frozen=True)
class HeadShape:
    """Sizes of a head: ``rows`` rows of ``hidden`` elements a launch, ``vocabulary`` logits each.

    ``embeds``: it looks up the tokens' embeddings too.
    """

    hidden: int
    vocabulary: int
    epsilon: float
    rows: int
    embeds: bool = False


@dataclass(frozen=True)
class HeadLayout:
    """How the tensors of a head lie in memory."""

    params: RDUParams
    shape: HeadShape

    @cached_property
    def logits(self) -> Tiling:
        return tiling(self.params, self.shape.rows, self.shape.hidden, self.shape.vocabulary)

    @property
    def pitch(self) -> int:
        """Elements from a row of ``x`` to the next."""
        return row_pitch(self.params, self.shape.hidden)

    @property
    def padded_rows(self) -> int:
        """Rows in memory; those beyond ``shape.rows`` are computed and not looked at."""
        return padded_rows(self.params, self.shape.rows)

    @cached_property
    def regions(self) -> dict[str, Region]:
        """``x``: what a decoder layer leaves; ``tokens``, ``table``: what an embedding of as many rows reads;
        ``embedded``: what it leaves, and a decoder layer reads."""
        beat, row = self.params.beat_bytes, self.pitch * ELEMENT_BYTES
        sizes = {
            "x": self.padded_rows * row,
            "final_norm": row,
            "head": self.logits.tiles * self.logits.k * self.logits.slots * beat,
            "tokens": self.padded_rows * beat,
        }
        if self.shape.embeds:
            sizes |= {"table": self.shape.vocabulary * row, "embedded": self.padded_rows * row}
        return {name: Region(name, size) for name, size in sizes.items()}


@dataclass(frozen=True)
class HeadKernel:
    """A program, and where the addresses of its regions go."""

    program: Program
    bindings: tuple[Binding, ...]
    layout: HeadLayout


def rows_apart(params: RDUParams, hidden: int) -> int:
    """Every so many rows one begins on a granule, where a region can be bound: 1 but for narrow or odd widths.

    A head of so many rows reaches any row of a longer ``x``: bound to the row's number rounded down to a multiple.
    """
    granule = params.memory.granule
    return granule // gcd(granule, row_pitch(params, hidden) // params.lanes)


def head(params: RDUParams, shape: HeadShape) -> HeadKernel:
    """The most likely next token after each row.

    Raises:
        ParameterError: it does not fit.
    """
    layout = HeadLayout(params, shape)
    b, streams = Builder(params, "head"), Streams(params, "head")
    t = layout.logits
    require(
        t.group <= params.pcu.interleave,
        f"head: the arg-max of {t.group} rows at once takes as many accumulators, a PCU has {params.pcu.interleave}: "
        f"run fewer rows a launch",
    )
    x = _rows(layout, streams)
    weight = Pattern(layout.regions["final_norm"], row_order(x, b.lanes).loops, {"chunk": params.beat_bytes})
    normed = rms_norm(b, "final_norm", x, streams.load(weight), size=shape.hidden, epsilon=shape.epsilon)
    weights = streams.load(_weights(layout))
    operand = buffer(b, "head.x", normed, t.operand(normed.pitch))
    logits = product(b, "logits", t, operand, weights, pitch=t.lanes, wide=True)
    order = loops(block=t.blocks, vector=t.tiles * t.slots, row=t.group)
    best = Port(b.add("arg_max", _arg_max(order, t.lanes)))
    b.vector(logits.sources, best, weight=2 * order.count)
    tokens = Pattern(layout.regions["tokens"], loops(row=layout.padded_rows), {"row": params.beat_bytes})
    store, _ = streams.store(tokens)
    if shape.embeds:
        look_up(b, streams, best, layout.regions["table"], layout.regions["embedded"], layout.padded_rows, layout.pitch)
    units = streams.programs()
    words = len(units[store.unit].scalar_in)  # the scalar input that no gather takes
    units[store.unit] = _of_words(units[store.unit], words)
    for name, agcu in units.items():
        b.add(name, agcu)
    b.scalar(best, Port(store.unit, words), weight=layout.padded_rows)
    for source, sink in streams.scalar_joins():
        b.scalar(source, sink)
    return HeadKernel(b.program(), tuple(streams.bindings()), layout)


def _rows(layout: HeadLayout, streams: Streams) -> Rows:
    """``x``, row by row."""
    t, beat, row = layout.logits, layout.params.beat_bytes, layout.pitch * ELEMENT_BYTES
    order = loops(block=t.blocks, row=t.group, chunk=layout.pitch // t.lanes)
    strides = {"block": t.group * row, "row": row, "chunk": beat}
    port = streams.load(Pattern(layout.regions["x"], order, strides, sequence=("row", "chunk")))
    return Rows((port,), t.blocks, t.group, layout.pitch, layout.pitch)


def _weights(layout: HeadLayout) -> Pattern:
    """Tile by tile, all of them for every block."""
    t, beat = layout.logits, layout.params.beat_bytes
    vectors = t.k * t.slots
    order = loops(block=t.blocks, tile=t.tiles, vector=vectors)
    return Pattern(layout.regions["head"], order, {"tile": vectors * beat, "vector": beat})


def _arg_max(order: Loops, lanes: int) -> PCUProgram:
    """Over ``vector``, a slot a row: where the greatest of a row's logits stands, a word a row."""
    names = list(order.limits)
    vector = SharedSource(SharedSource.COUNTER_0.value + names.index("vector"))
    return PCUProgram(
        counters=order.pcu(vector=lanes),
        body=Simd(reduce=Reduce(ReduceOp.ARG_MAX, over_time=True, base=0)),
        group=Group(begin=order.each("block"), slotted=True),
        vector_in=(VectorIn(pop=order.every, wide=True), None, None, None),
        shared=(vector, SharedSource.ZERO, SharedSource.ZERO, SharedSource.ZERO),
        scalar_out=(ScalarOut(ScalarSource.INDEX, at=order.every), None),
    )


def _of_words(agcu: AGCUProgram, source: int) -> AGCUProgram:
    """An AGCU whose store takes words of scalar input ``source`` instead of vectors."""
    (store,) = agcu.stores
    assert store is not None
    return replace(agcu, stores=(replace(store, words=source),))
