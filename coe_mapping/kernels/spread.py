"""How to spread a decoder layer over a machine: the shares that take fewest cycles by the bandwidth model.

Shares are ranked by the issues of their products alone; the first that fit are built and predicted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import islice, product

from coe_mapping.bandwidth import predict
from coe_mapping.bandwidth.launch import interval
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
"""PCUs that do not multiply: norms, rotary, attention, the gate. Two less if the norms of a single block are one."""


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
        kernel = _built(layout, shares) or _built(layout, replace(shares, early=False))
        if kernel is not None:
            yield kernel


def _shares(layout: Layout, pcus: int) -> Iterator[Shares]:
    """Those that are not obviously too many; of several blocks of rows, only what each may have."""
    single = layout.heads.blocks == 1
    one = [1]
    query, key, output, inner, down = (
        list(_useful(t.tiles, pcus, even=not single))
        for t in (layout.query, layout.key, layout.output, layout.inner, layout.down)
    )
    others = OTHERS - 2 * single
    lines = one if single else [n for n in range(1, layout.heads.blocks + 1) if layout.heads.blocks % n == 0]
    ways = (query, key, output, inner, down, one) if single else (one, one, one, inner, one, lines)
    for q, k, o, i, d, n in product(*ways):
        if i > 1 and n > 1:
            continue
        last, gates = (d, 1) if single else (i * n, i * n)
        for stacked in {True, not layout.shape.batch}:
            heads = layout.heads if stacked else replace(layout.heads, stacked=1)
            if q + 2 * k + o + 2 * i * n + last + gates - 1 + others - heads.one_by_one <= pcus:
                yield Shares(q, k, o, i, d, n, stacked)


def _useful(tiles: int, most: int, *, even: bool) -> Iterator[int]:
    """Ways to share out tiles: those with which the largest share is smaller than with fewer; or all shares equal."""
    for n in range(1, min(tiles, most) + 1):
        if tiles % n == 0 if even else n == 1 or -(-tiles // n) < -(-tiles // (n - 1)):
            yield n


def _issues(layout: Layout, shares: Shares) -> float:
    """Cycles of the products one after the other, by their PCUs or by memory; of further blocks, of the longest."""
    down = shares.down if layout.heads.blocks == 1 else shares.inner * shares.lines
    products = [
        [(layout.query, shares.query), (layout.key, shares.key), (layout.key, shares.key)],
        [(layout.output, shares.output)],
        [(layout.inner, shares.inner * shares.lines)] * 2,
        [(layout.down, down)],
    ]
    memory = interval(layout.params.memory.hbm) / shares.lines
    stages = [
        max(
            *(_cycles(layout, t, ways) for t, ways in stage),
            memory * sum(t.tiles * t.k * t.slots for t, _ in stage),
        )
        for stage in products
    ]
    return sum(stages) + (layout.heads.blocks - 1) * max(stages)


def _cycles(layout: Layout, t: Tiling, ways: int) -> float:
    """Of a block."""
    return -(-t.tiles // ways) * t.k * max(t.slots, layout.params.pcu.interleave)


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
