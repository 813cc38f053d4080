"""Memory to memory through the fabric: every AGCU loads a share, and an AGCU elsewhere in the mesh stores it."""

from dataclasses import dataclass

from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import Binding, Pattern, Region, Streams
from coe_mapping.program import Program
from hdl.floorplan import Kind, floorplan
from hdl.params import RDUParams, require


@dataclass(frozen=True)
class CopyKernel:
    """The program; share k goes from region ``from{k}`` to region ``to{k}``."""

    program: Program
    bindings: tuple[Binding, ...]
    shares: int


def copy_kernel(params: RDUParams, share_bytes: int, name: str = "copy") -> CopyKernel:
    """``share_bytes`` by every AGCU of the socket, all at once.

    Raises:
        ParameterError: a share is no whole number of beats.
    """
    beat = params.beat_bytes
    require(share_bytes % beat == 0, f"{name}: {share_bytes} bytes are no whole number of beats of {beat} bytes")
    b, streams = Builder(params, name), Streams(params, name)
    agcus = len(floorplan(params).of(Kind.AGCU))
    vectors, strides = loops(vector=share_bytes // beat), {"vector": beat}
    sources = [streams.load(Pattern(Region(f"from{k}", share_bytes), vectors, strides)) for k in range(agcus)]
    for k in range(agcus):  # the k-th store is of the AGCU of the k-th load
        share = (k + agcus // 2) % agcus
        sink, _ = streams.store(Pattern(Region(f"to{share}", share_bytes), vectors, strides))
        b.vector(sources[share], sink, weight=vectors.count)
    for agcu, unit in streams.programs().items():
        b.add(agcu, unit)
    return CopyKernel(b.program(), tuple(streams.bindings()), agcus)
