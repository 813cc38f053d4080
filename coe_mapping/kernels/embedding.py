"""The embedding as a kernel: for each token id in memory a row of the table, as a decoder layer reads rows."""

from dataclasses import dataclass
from functools import cached_property

from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.dense import padded_rows, row_pitch
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Gather, Pattern, Region, Streams
from coe_mapping.program import Port, Program
from hdl.params import RDUParams


@dataclass(frozen=True)
class EmbeddingLayout:
    """How the tensors of an embedding lie in memory.

    Attributes:
        hidden: elements of a row. vocabulary: rows of the table. rows: tokens of a launch.
    """

    params: RDUParams
    hidden: int
    vocabulary: int
    rows: int

    @property
    def pitch(self) -> int:
        """Elements from a row to the next, of the table and of ``x``."""
        return row_pitch(self.params, self.hidden)

    @property
    def padded_rows(self) -> int:
        """Rows in memory; those beyond ``rows`` are looked up too, so their tokens must be in the vocabulary."""
        return padded_rows(self.params, self.rows)

    @cached_property
    def regions(self) -> dict[str, Region]:
        """``tokens``: a token id a beat; ``table``; ``x``: what a decoder layer of as many rows reads."""
        row = self.pitch * ELEMENT_BYTES
        sizes = {
            "tokens": self.padded_rows * self.params.beat_bytes,
            "table": self.vocabulary * row,
            "x": self.padded_rows * row,
        }
        return {name: Region(name, size) for name, size in sizes.items()}


@dataclass(frozen=True)
class EmbeddingKernel:
    """A program, and where the addresses of its regions go."""

    program: Program
    bindings: tuple[Binding, ...]
    layout: EmbeddingLayout


def embedding(params: RDUParams, hidden: int, vocabulary: int, rows: int) -> EmbeddingKernel:
    """A row of the table for each of ``rows`` tokens. It moves a vector a cycle and takes AGCUs only.

    Raises:
        ParameterError: it does not fit.
    """
    layout = EmbeddingLayout(params, hidden, vocabulary, rows)
    b, streams = Builder(params, "embedding"), Streams(params, "embedding")
    ids = Pattern(layout.regions["tokens"], loops(row=layout.padded_rows), {"row": params.beat_bytes}, words=1)
    tokens = streams.load(ids)
    look_up(b, streams, tokens, layout.regions["table"], layout.regions["x"], layout.padded_rows, layout.pitch)
    for name, agcu in streams.programs().items():
        b.add(name, agcu)
    for source, sink in streams.scalar_joins():
        b.scalar(source, sink)
    return EmbeddingKernel(b.program(), tuple(streams.bindings()), layout)


def look_up(b: Builder, streams: Streams, tokens: Port, table: Region, x: Region, rows: int, pitch: int) -> None:
    """Copies the row of ``table`` that each of ``rows`` words from ``tokens`` names to ``x``, row by row."""
    order = loops(row=rows, chunk=pitch // b.lanes)
    beat, row = b.params.beat_bytes, pitch * ELEMENT_BYTES
    found = streams.load(Pattern(table, order, {"chunk": beat}, gather=Gather(tokens, "row", row)))
    sink, _ = streams.store(Pattern(x, order, {"row": row, "chunk": beat}))
    b.vector(found, sink, weight=order.count)
