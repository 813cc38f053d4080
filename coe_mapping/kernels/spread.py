"""How to spread a decoder layer over a machine: the shares that take fewest cycles by the bandwidth model.

Shares are ranked by the issues of their products alone; the first that fit are built and predicted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice, product

from coe_mapping.bandwidth import predict
from coe_mapping.kernels.dense import Tiling
from coe_mapping.kernels.layer import Kernel, build_layer
from coe_mapping.kernels.layout import LayerShape, Layout
from coe_mapping.kernels.shares import Shares
from hdl.errors import ParameterError
from hdl.floorplan import COMPUTE, Kind, floorplan
from hdl.params import RDUParams

CANDIDATES = 5
"""Ways to share out the work that are predicted."""

SAMPLES, PASSES = 400, 12
"""Of the bandwidth model: enough to compare."""

OTHERS = 12
"""PCUs that do not multiply: norms, rotary, attention, the gate."""


@lru_cache
def spread(params: RDUParams, shape: LayerShape) -> Kernel:
    """The kernel that takes fewest cycles.

    Raises:
        ParameterError: it does not fit, however it is spread; the reason is that of the fewest units.
    """
    layout = Layout(params, shape)
    kernels = list(islice(_fitting(layout), CANDIDATES))
    if not kernels:
        return build_layer(layout, Shares())
    with_weights = [held for kernel in kernels for held in (kernel, _resident(kernel))]
    return min(with_weights, key=lambda kernel: predict(params, kernel.program, samples=SAMPLES, passes=PASSES).cycles)


def _fitting(layout: Layout) -> Iterator[Kernel]:
    """Kernels that the machine has units for, the fastest by their issues first."""
    pcus = len(floorplan(layout.params).of(Kind.PCU))
    for shares in sorted(_shares(layout, pcus), key=lambda shares: _issues(layout, shares)):
        kernel = _built(layout, shares)
        if kernel is not None:
            yield kernel


def _shares(layout: Layout, pcus: int) -> Iterator[Shares]:
    """Those that are not obviously too many; of several blocks of rows, only what each may have."""
    single = layout.heads.blocks == 1
    one = [1]
    query, key, output, inner, down = (
        [n for n in range(1, min(t.tiles, pcus) + 1) if t.tiles % n == 0]
        for t in (layout.query, layout.key, layout.output, layout.inner, layout.down)
    )
    lines = one if single else [n for n in range(1, layout.heads.blocks + 1) if layout.heads.blocks % n == 0]
    ways = (query, key, output, inner, down, one) if single else (one, one, one, inner, one, lines)
    for q, k, o, i, d, n in product(*ways):
        if i > 1 and n > 1:
            continue
        last, gates = (d, 1) if single else (i * n, i * n)
        for stacked in {True, not layout.shape.batch}:
            heads = layout.heads if stacked else replace(layout.heads, stacked=1)
            if q + 2 * k + o + 2 * i * n + last + gates - 1 + OTHERS - heads.one_by_one <= pcus:
                yield Shares(q, k, o, i, d, n, stacked)


def _issues(layout: Layout, shares: Shares) -> float:
    """Cycles of the products one after the other; of further blocks, of the longest."""
    first = max(_cycles(layout, layout.query, shares.query), _cycles(layout, layout.key, shares.key))
    stages = [
        first,
        _cycles(layout, layout.output, shares.output),
        _cycles(layout, layout.inner, shares.inner * shares.lines),
        _cycles(layout, layout.down, shares.down if layout.heads.blocks == 1 else shares.inner * shares.lines),
    ]
    return sum(stages) + (layout.heads.blocks - 1) * max(stages)


def _cycles(layout: Layout, t: Tiling, ways: int) -> float:
    """Of a block."""
    return t.tiles * t.k * max(t.slots, layout.params.pcu.interleave) / ways


def _resident(kernel: Kernel) -> Kernel:
    """The same with as many weights in PMUs as there are PMUs left; first those that are needed early, but for
    those of queries and keys, which would come later if all had to be there first."""
    layout = kernel.layout
    if layout.heads.blocks == 1:
        return kernel
    many = [f"{name}{i}" for name in ("gate", "up", "down") for i in range(kernel.shares.inner)]
    for name in ("value0", "output0", *many):
        more = _built(layout, replace(kernel.shares, resident=kernel.shares.resident | {name}))
        kernel = more or kernel
    return kernel


def _built(layout: Layout, shares: Shares) -> Kernel | None:
    """None if it does not fit."""
    try:
        kernel = build_layer(layout, shares)
    except ParameterError:
        return None
    units = Counter(kernel.program.kind(unit) for unit in kernel.program.units)
    machine = floorplan(layout.params)
    return kernel if all(units[kind] <= len(machine.of(kind)) for kind in COMPUTE) else None
