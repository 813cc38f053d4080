"""One decoder layer of any checkpoint on a socket, measured: the job of ``make sim ROWS=`` in the simulator process.

Decode of one token runs fused and operator by operator, from a command list; prefill, of each number of rows that is
asked for, as one fused kernel. Rows and caches are compared with the operator-level golden model, bit for bit. What
happens is told as in :mod:`verif.generation`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coe_mapping.bandwidth import predict
from coe_mapping.device import Device
from coe_mapping.kernels.decoder import LayerShape
from coe_mapping.models.model import Model
from coe_mapping.models.read import read_model
from verif import measure
from verif.generation import TimedMachine, tell
from verif.layer_bench import FUSED, LayerBench

POSITIONS = 64
"""Of the cache, all of which a decoded token looks at."""


@dataclass(frozen=True)
class Task:
    """Which checkpoint, and the rows of each prefill."""

    model: str
    rows: Sequence[int]


def run(machine: TimedMachine, options: Mapping[str, Any]) -> None:
    """Does the :class:`Task` in ``options``; prints events, and the result."""
    task = Task(**options)
    model = read_model(Path(task.model)).first(1)
    device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
    config = model.config
    widths = (config.hidden, config.heads, config.kv_heads, config.head_size, config.intermediate)
    decode = LayerShape(*widths, config.epsilon, rows=1, positions=POSITIONS, batch=True)
    shapes = [decode, *(replace(decode, rows=n, positions=max(n, POSITIONS), batch=False) for n in task.rows)]
    layers = []
    for shape in shapes:
        for layer in measured(device, machine, model, shape):
            tell("measured", **layer)
            layers.append(layer)
    tell("result", layers=layers, widths=widths)


def measured(device: Device, machine: TimedMachine, model: Model, shape: LayerShape) -> Iterator[dict[str, Any]]:
    """The layer, in each mode that is wanted: what its kernels did, and all its cycles from a command list."""
    phase, past = ("decode", shape.positions - 1) if shape.batch else ("prefill", 0)
    modes = ("fused", "unfused") if shape.batch else ("fused",)
    for mode in modes:
        tell("comparing", phase=phase, rows=shape.rows, mode=mode)
        bench = LayerBench(device, model, shape, past=past, modes=(mode,))
        cycles = bench.hardware(mode)
        programs = [bench.programs[launch.program] for launch in bench.launches[mode]]
        kernel = measure.kernel(device, bench.programs[FUSED], mode, phase) if mode == "fused" else None
        yield {
            "phase": phase,
            "rows": shape.rows,
            "mode": mode,
            "cycles": cycles,
            "launches": len(programs),
            "bytes": sum(predict(device.params, p.placed.program).beats for p in programs) * device.params.beat_bytes,
            "kernel": kernel,
            "mismatches": bench.mismatches(),
        }
