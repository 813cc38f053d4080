"""One matrix product as a kernel: rows through a buffer, weights as a stream, results to memory."""

from dataclasses import dataclass

from coe_mapping.kernels.buffer import buffer
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import Tiling, product, tiling
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Pattern, Region, Streams
from coe_mapping.program import Program
from hdl.arith.special_tables import Function
from hdl.params import RDUParams


@dataclass(frozen=True)
class GemmKernel:
    """The program; ``x`` has rows of ``pitch`` elements, ``y`` of ``tiling.width``, both in whole blocks of rows."""

    program: Program
    bindings: tuple[Binding, ...]
    tiling: Tiling
    pitch: int


def gemm_kernel(
    params: RDUParams, rows: int, k: int, n: int, function: Function | None = None, name: str = "gemm"
) -> GemmKernel:
    """``function``((rows, k) @ (k, n)) in BF16; regions ``x``, ``weights`` (:func:`weight_stream`), ``y``."""
    b, streams, t = Builder(params, name), Streams(params, name), tiling(params, rows, k, n)
    lanes, beat = params.lanes, params.beat_bytes
    pitch = -(-k // lanes) * lanes
    row_bytes, result_bytes = pitch * ELEMENT_BYTES, t.width * ELEMENT_BYTES
    x = Region("x", t.blocks * t.group * row_bytes)
    weights = Region("weights", t.tiles * t.k * t.slots * beat)
    y = Region("y", t.blocks * t.group * result_bytes)
    order = loops(block=t.blocks, row=t.group, chunk=pitch // lanes)
    strides = {"block": t.group * row_bytes, "row": row_bytes, "chunk": beat}
    rows_in = Rows(
        (streams.load(Pattern(x, order, strides, sequence=("row", "chunk"))),), t.blocks, t.group, pitch, pitch
    )
    stream = Pattern(weights, loops(block=t.blocks, vector=t.tiles * t.k * t.slots), {"vector": beat})
    operand = buffer(b, "x.rows", rows_in, t.operand(pitch))
    result = product(b, "product", t, operand, streams.load(stream), pitch=t.width, function=function)
    back = {"block": t.group * result_bytes, "tile": t.slots * beat, "slot": beat, "row": result_bytes}
    sink, _ = streams.store(Pattern(y, t.results, back))
    b.vector(result.sources, sink, weight=t.results.count)
    for agcu, unit in streams.programs().items():
        b.add(agcu, unit)
    return GemmKernel(b.program(), tuple(streams.bindings()), t, pitch)
