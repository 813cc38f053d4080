"""A kernel that keeps a whole socket busy: every PCU multiplies in every cycle.

AGCUs have fewer streams than there are PCUs. So the PCUs form chains, one an AGCU: all of a chain multiply the same
rows by the same weights, and each begins its sums with those of the one before it; those of the last are stored. The
weights are read once and replayed by a PMU a PCU; the rows are the same ones over and over, so any number of blocks
needs no more memory.
"""

from dataclasses import dataclass

from coe_mapping.kernels.buffer import queue
from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.dense import Tiling, product, tiling
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Pattern, Region, Streams
from coe_mapping.program import Program
from hdl.floorplan import Kind, floorplan
from hdl.params import RDUParams, require

DEPTH = 32
"""Of a product: k."""


@dataclass(frozen=True)
class BusyKernel:
    """The program.

    Regions of chain c: ``x{c}``, one block of rows of ``DEPTH`` elements; ``weights{c}``, in the order of ``tiling``;
    ``y{c}``, a block of results. ``chains``: PCUs in each; a result is the sum of as many equal products.
    """

    program: Program
    bindings: tuple[Binding, ...]
    tiling: Tiling
    chains: tuple[int, ...]


def busy_kernel(params: RDUParams, blocks: int) -> BusyKernel:
    """``blocks`` blocks of rows through every PCU, one after the other.

    Raises:
        ParameterError: an AGCU has not the two loads that a chain takes.
    """
    require(params.agcu.loads >= 2, f"{params.name}: a chain takes two loads, an AGCU has {params.agcu.loads}")
    agcus, pcus = (len(floorplan(params).of(kind)) for kind in (Kind.AGCU, Kind.PCU))
    chains = tuple(pcus // agcus + (c < pcus % agcus) for c in range(min(agcus, pcus)))
    b, streams = Builder(params, "busy"), Streams(params, "busy")
    t = tiling(params, blocks * params.pcu.stages, DEPTH, params.lanes * params.pcu.interleave)
    row, beat = DEPTH * ELEMENT_BYTES, params.beat_bytes
    x_order = {"chunk": beat, "row": row}
    y_order = {"slot": beat, "row": t.width * ELEMENT_BYTES}
    regions = {"x": t.group * row, "weights": t.k * t.slots * beat, "y": t.group * t.width * ELEMENT_BYTES}
    weight_order = loops(vector=t.k * t.slots)
    patterns = [{name: Region(f"{name}{c}", size) for name, size in regions.items()} for c in range(len(chains))]
    x = [streams.load(Pattern(region["x"], t.operand(DEPTH).loops, x_order)) for region in patterns]
    w = [streams.load(Pattern(region["weights"], weight_order, {"vector": beat})) for region in patterns]
    y = [streams.store(Pattern(region["y"], t.results, y_order))[0] for region in patterns]
    for c, length in enumerate(chains):
        sums = None
        for i in range(length):
            weights = queue(b, f"weights{c}.{i}", w[c], t.k * t.slots, 1, replays=blocks)
            wide = i < length - 1
            rows = product(b, f"product{c}.{i}", t, x[c], weights, pitch=t.width, initial=sums, wide=wide)
            sums = rows.sources[0]
        assert sums is not None
        b.vector(sums, y[c], weight=t.results.count)
    for agcu, unit in streams.programs().items():
        b.add(agcu, unit)
    return BusyKernel(b.program(), tuple(streams.bindings()), t, chains)
