"""One decoder layer on a socket, fused and operator by operator, on the same data: what fusion is worth, measured.

Both ways are given the same host, the same launches and the same memory. What each leaves is compared with the
operator-level golden model.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from coe_mapping.bitstream import encode
from coe_mapping.compile import Compiled, compile_program
from coe_mapping.device import Device
from coe_mapping.graph import Role, Workload, run_graph, weights_of
from coe_mapping.graph import decoder_layer as graph_of_layer
from coe_mapping.graph.build import COSINES, POSITIONS, SINES
from coe_mapping.kernels import image
from coe_mapping.kernels.decoder import LayerShape, Layout, decoder_layer
from coe_mapping.kernels.unfused import UnfusedLayout, unfused_layer
from coe_mapping.memory_plan import Need, plan
from coe_mapping.models.model import Model, layer_tensor
from coe_mapping.schedule import Launch, Orchestrator, Stored, argument_bytes, list_bytes
from golden_model.operators import ContractArithmetic

Array = NDArray[Any]
FUSED = "decoder layer"
CACHES = {"keys": "key_cache", "values": "value_cache"}
CUT_APART = ("key", "value", "norms")
"""What the fused layer has otherwise than the unfused."""


@dataclass(frozen=True)
class Data:
    """Of a layer: ``tensors`` as regions hold them, by layout; ``expected``: the rows that come out, and ``caches``:
    what the caches hold afterwards, (sequences, positions, heads, elements) by region."""

    unfused: UnfusedLayout
    fused: Layout
    tensors: Mapping[str, Array]
    expected: Array
    caches: Mapping[str, Array]


def data_of(device: Device, model: Model, layer: int, shape: LayerShape, past: Sequence[int], seed: int) -> Data:
    """Random hidden rows, and a random past of so many positions for each sequence, through the golden model."""
    rng = np.random.default_rng(seed)
    config, arithmetic = model.config, ContractArithmetic(device.params.lanes)
    sequences, tokens = (shape.rows, 1) if shape.batch else (1, shape.rows)
    unfused, fused = UnfusedLayout(device.params, shape), Layout(device.params, shape)
    graph = graph_of_layer(config, Workload(sequences, tokens, shape.positions), layer)
    x = rng.standard_normal((shape.rows, config.hidden)).astype(bfloat16)
    places = np.concatenate([np.arange(first, first + tokens, dtype=np.int32) for first in past])
    caches = {t.name: np.zeros(t.shape, bfloat16) for t in graph.of_role(Role.STATE)}
    for cache in caches.values():
        for old, first in zip(cache, past, strict=True):
            old[:, :first] = rng.standard_normal(old[:, :first].shape)
    values = weights_of(model, arithmetic, unfused.cache_rows)
    tables = {name: values[name][: shape.positions] for name in (COSINES, SINES)}
    made = run_graph(graph, arithmetic, {**values, **tables, **caches, "hidden": x, POSITIONS: places})
    rotary = arithmetic.rotary_tables(
        config.rotary.frequencies, config.rotary.amplitude, max(unfused.cache_rows, fused.cache_rows)
    )
    tensors: dict[str, Array] = {
        **image.layer_weights(unfused, model, layer),
        **image.rotary_tables(unfused, *rotary),
        "x": image.rows(unfused, x),
        "positions": image.positions(unfused, places),
    }
    cut = image.layer_weights(fused, model, layer)
    tensors |= {f"fused {name}": cut[name] for name in CUT_APART}
    for name, state in CACHES.items():
        tensors[name] = _cache(unfused, caches[layer_tensor(layer, state)])
    after = {name: made[layer_tensor(layer, name)].view(np.uint16).transpose(0, 2, 1, 3) for name in CACHES}
    return Data(unfused, fused, tensors, made[layer_tensor(layer, "hidden")], after)


def _cache(layout: Layout, cache: Array) -> Array:
    """A cache of the graph as a region: position by position."""
    by_position = cache.view(np.uint16).transpose(0, 2, 1, 3)
    sequences, positions, heads, size = by_position.shape
    held = np.zeros((layout.sequences, layout.cache_rows, heads, layout.head_pitch), np.uint16)
    held[:sequences, :positions, :, :size] = by_position
    return held


class LayerBench:
    """A layer in the memory of a device, ready to be run either way.

    ``launches``: by mode, the launches of one pass through the layer.

    Args:
        past: positions that are in the caches already, of every sequence or of each.
        modes: that are compiled.

    Raises:
        ParameterError: a kernel of one of the modes does not fit the machine.
    """

    def __init__(
        self,
        device: Device,
        model: Model,
        shape: LayerShape,
        *,
        past: int | Sequence[int],
        modes: Sequence[str] = ("unfused", "fused"),
        layer: int = 0,
        seed: int = 1,
    ) -> None:
        self.device, self.shape = device, shape
        self.programs: dict[str, Compiled] = {}
        if "fused" in modes:
            fused = decoder_layer(device.params, shape)
            self.programs[FUSED] = compile_program(device.params, fused.program, fused.bindings)
        for kernel in unfused_layer(device.params, shape) if "unfused" in modes else ():
            self.programs[kernel.name] = compile_program(device.params, kernel.program, kernel.bindings)
        sequences = shape.rows if shape.batch else 1
        firsts = [past] * sequences if isinstance(past, int) else past
        self.data = data_of(device, model, layer, shape, firsts, seed)
        self._at = plan(device.params, list(self._needs())).addresses
        fused_at = {**self._at, **{name: self._at[f"fused {name}"] for name in CUT_APART}}
        launches = {
            "unfused": [Launch(name, self._at) for name in self.programs if name != FUSED],
            "fused": [Launch(FUSED, fused_at)],
        }
        self.launches = {mode: launches[mode] for mode in modes}
        for name in self.data.tensors:
            self._write(name)
        stored = {
            name: Stored(compiled, device.store_program(compiled.bitstream, self._at[f"program {name}"]))
            for name, compiled in self.programs.items()
        }
        self.orchestrator = Orchestrator(device, stored, self._at["commands"], self._at["arguments"])

    def software(self, mode: str, done: Callable[[int], None]) -> None:
        """One pass, every command from the host; ``done`` is told each launch."""
        self._clear()
        self.orchestrator.software(self.launches[mode], done)

    def hardware(self, mode: str) -> int:
        """One pass as a command list, its first program loaded before; returns cycles, doorbell to idle."""
        self._clear()
        schedule = self.launches[mode]
        first = schedule[0].program
        self.orchestrator.load(first)
        before = self.device.machine.cycles
        self.orchestrator.hardware(schedule, ahead=first)
        return self.device.machine.cycles - before

    def mismatches(self) -> int:
        """Elements of the rows that came out, and of the caches, that differ from the golden model's."""
        layout = self.data.unfused
        y = self.device.read(self._at["y"], layout.regions["y"].bytes).view(np.uint16)
        rows = y.reshape(layout.padded_rows, -1)[: self.shape.rows, : self.shape.hidden]
        wrong = int((rows != self.data.expected.view(np.uint16)).sum())
        for name, expected in self.data.caches.items():
            held = self.device.read(self._at[name], self.data.tensors[name].nbytes).view(np.uint16)
            sequences, positions, _, size = expected.shape
            found = held.reshape(self.data.tensors[name].shape)[:sequences, :positions, :, :size]
            wrong += int((found != expected).sum())
        return wrong

    def _clear(self) -> None:
        """Forgets what the last pass left, so that nobody compares with it."""
        self.device.write(self._at["y"], np.zeros(self.data.unfused.regions["y"].bytes, np.uint8))
        for name in CACHES:
            self._write(name)

    def _write(self, name: str) -> None:
        self.device.write(self._at[name], np.ascontiguousarray(self.data.tensors[name]).view(np.uint8).reshape(-1))

    def _needs(self) -> Sequence[Need]:
        regions = {**self.data.unfused.regions}
        for name in CUT_APART:
            regions[f"fused {name}"] = self.data.fused.regions[name]
        sizes = {name: region.bytes for name, region in regions.items()}
        for name, region in self.data.fused.regions.items():
            if name not in CUT_APART:
                sizes[name] = max(sizes[name], region.bytes)
        launches = list(self.programs.values())
        for name, compiled in self.programs.items():
            sizes[f"program {name}"] = len(encode(self.device.units, compiled.bitstream))
        sizes |= {"commands": list_bytes(len(launches)), "arguments": argument_bytes(launches)}
        scratch = Need("scratch", Device.SCRATCH, address=self.device.scratch)
        return [*(Need(name, size, traffic=size) for name, size in sizes.items()), scratch]
