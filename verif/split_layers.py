"""A decoder layer over sockets: random weights, caches and rows, on any machine, and what must come out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from coe_mapping.device import Device, Loaded
from coe_mapping.kernels import image
from coe_mapping.kernels.layout import LayerShape, Layout
from coe_mapping.node import NodeDevice
from coe_mapping.spanning import Spanning
from golden_model import tensor_parallel
from golden_model.operators import ContractArithmetic
from hdl.params import RDUParams

Array = NDArray[Any]
BF16 = ml_dtypes.bfloat16
THETA = 10_000.0


@dataclass(frozen=True)
class Case:
    """A layer of ``shape`` and what it is given; every row is a sequence of its own.

    ``weights``: (n, k) by name. ``caches``: keys and values, (rows, key heads, positions, head) each.
    """

    params: RDUParams
    shape: LayerShape
    weights: Mapping[str, Array]
    x: Array
    positions: Array
    caches: tuple[Array, Array]

    @property
    def arithmetic(self) -> ContractArithmetic:
        return ContractArithmetic(self.params.lanes)

    def tables(self, rows: int) -> tuple[Array, Array]:
        """Cosines and sines of positions."""
        frequencies = [THETA ** (-2 * i / self.shape.head) for i in range(self.shape.head // 2)]
        return self.arithmetic.rotary_tables(frequencies, 1.0, rows)

    def part(self, socket: int, sockets: int) -> tuple[dict[str, Array], tuple[Array, Array]]:
        """Weights and caches of one of several sockets."""
        keys, values = (np.split(cache, sockets, axis=1)[socket] for cache in self.caches)
        return tensor_parallel.share(self.weights, socket, sockets), (keys, values)

    def expected(self, sockets: int) -> Array:
        """The result, operator by operator."""
        parts = [self.part(socket, sockets) for socket in range(sockets)]
        return tensor_parallel.decoder_layer(
            self.arithmetic,
            [weights for weights, _ in parts],
            self.x,
            self.positions,
            [caches for _, caches in parts],
            self.tables(self.shape.positions),
            epsilon=self.shape.epsilon,
            scale=self.shape.head**-0.5,
        )


def random_case(params: RDUParams, shape: LayerShape, rng: np.random.Generator) -> Case:
    """Rows at random positions of caches that are full."""
    query, key = shape.heads * shape.head, shape.key_heads * shape.head
    sizes = {
        **{"query": (query, shape.hidden), "key": (key, shape.hidden), "value": (key, shape.hidden)},
        **{"output": (shape.hidden, query), "gate": (shape.inner, shape.hidden), "up": (shape.inner, shape.hidden)},
        "down": (shape.hidden, shape.inner),
    }
    weights = {name: (rng.standard_normal(size) * size[1] ** -0.5).astype(BF16) for name, size in sizes.items()}
    weights |= {name: (1 + 0.1 * rng.standard_normal(shape.hidden)).astype(BF16) for name in tensor_parallel.NORMS}
    cache = shape.rows, shape.key_heads, shape.positions, shape.head
    keys, values = (rng.standard_normal(cache).astype(BF16) for _ in range(2))
    positions = rng.integers(0, shape.positions, shape.rows).astype(np.int32)
    return Case(
        params, shape, weights, rng.standard_normal((shape.rows, shape.hidden)).astype(BF16), positions, (keys, values)
    )


def addresses_of(layout: Layout) -> dict[str, int]:
    """Regions one behind the other."""
    addresses, end, granule = {}, 0, layout.params.beat_bytes * layout.params.memory.granule
    for name, region in layout.regions.items():
        addresses[name], end = end, end + -(-region.bytes // granule) * granule
    return addresses


def fill(device: Device, layout: Layout, case: Case, socket: int, sockets: int) -> None:
    """A socket's part into its memory."""
    weights, (keys, values) = case.part(socket, sockets)
    tensors: dict[str, Array] = dict(image.weights(layout, weights))
    tensors |= image.rotary_tables(layout, *case.tables(layout.cache_rows))
    tensors |= {"x": image.rows(layout, case.x), "positions": image.positions(layout, case.positions)}
    tensors |= {"keys": _cache(layout, keys), "values": _cache(layout, values)}
    for name, address in addresses_of(layout).items():
        if name in tensors:
            device.write(address, np.ascontiguousarray(tensors[name]).view(np.uint8))


def _cache(layout: Layout, cache: Array) -> NDArray[np.uint16]:
    """(rows, key heads, positions, head) as the region has it."""
    rows, heads, positions, size = cache.shape
    region = np.zeros((layout.sequences, layout.cache_rows, heads, layout.head_pitch), np.uint16)
    region[:rows, :positions, :, :size] = cache.transpose(0, 2, 1, 3).view(np.uint16)
    return region


def result(device: Device, layout: Layout, case: Case) -> Array:
    """The bits of y, (rows, hidden)."""
    bits = device.read(addresses_of(layout)["y"], layout.regions["y"].bytes).view(np.uint16)
    return bits.reshape(-1, layout.output.width)[: case.shape.rows, : case.shape.hidden]


def load(device: NodeDevice, layout: Layout, case: Case, spanning: Spanning, program: int) -> Mapping[int, Loaded]:
    """Every socket's part and its program into its memory, and the programs loaded; ``program``: where they go."""
    for s, socket in enumerate(device.sockets):
        fill(socket, layout, case, s, len(device.sockets))
    programs = device.store_program(spanning, program)
    device.load(programs)
    return programs


def launch(
    device: NodeDevice, layout: Layout, case: Case, spanning: Spanning, programs: Mapping[int, Loaded]
) -> list[Array]:
    """The result on every socket."""
    device.launch(programs, {s: c.at(addresses_of(layout)) for s, c in spanning.sockets.items()})
    return [result(socket, layout, case) for socket in device.sockets]
