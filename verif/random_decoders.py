"""Random decoder layers on a machine: sizes that divide nothing evenly, mapped, run, and equal to the golden model.

A layer is mapped as one kernel where the machine has the units for it, and operator by operator: all of what comes out
and all of the caches must have the bits of the operator-level golden model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from coe_mapping.device import Device, DeviceError, Machine
from coe_mapping.kernels.layout import LayerShape
from coe_mapping.models.model import Model, ModelConfig
from coe_mapping.models.rotary import rotary
from hdl.clock_gate import CELL
from hdl.errors import ParameterError
from verif.layer_bench import LayerBench
from verif.machine import BLOCKS, RTLMachine
from verif.models import SOURCES
from verif.sim import SimulationError, run_bench

EPSILON, THETA = 1e-5, 10_000.0
MODES = ("fused", "unfused")
JITTERS = (0, 3, 15, 63)
"""Cycles by which memory is late at most."""
FEW = 4
"""Layers drawn for each that is wanted."""
RAN = "random decoders:"
LIMIT_S = 3600.0


@dataclass(frozen=True)
class Decoder:
    """Sizes of a layer and of one pass through it.

    Attributes:
        key_heads, shared: key heads, and the query heads that share one. pairs: of elements of a head.
        past: positions in the caches before, of each sequence. new: rows of each sequence; more than one of a single.
        spare: positions beyond the last.
    """

    key_heads: int
    shared: int
    pairs: int
    hidden: int
    inner: int
    past: tuple[int, ...]
    new: int
    spare: int

    @property
    def shape(self) -> LayerShape:
        widths = self.hidden, self.key_heads * self.shared, self.key_heads, 2 * self.pairs, self.inner, EPSILON
        rows, positions = len(self.past) * self.new, max(self.past) + self.new + self.spare
        return LayerShape(*widths, rows=rows, positions=positions, batch=self.batch)

    @property
    def batch(self) -> bool:
        """Decode: every row is a sequence of its own."""
        return self.new == 1

    def model(self, seed: int) -> Model:
        """One layer with random weights."""
        shape, rng = self.shape, np.random.default_rng(seed)
        config = ModelConfig(
            vocabulary=2,
            hidden=shape.hidden,
            intermediate=shape.inner,
            layers=1,
            heads=shape.heads,
            kv_heads=shape.key_heads,
            head_size=shape.head,
            context=shape.positions,
            epsilon=EPSILON,
            rotary=rotary(shape.head, THETA),
            tied=True,
        )
        tensors: dict[str, Any] = {}
        for name, size in config.shapes().items():
            values = rng.standard_normal(size)
            tensors[name] = (values * size[-1] ** -0.5 if len(size) > 1 else 1 + values / 5).astype(bfloat16)
        return Model(config, tensors)


class DecoderDifferenceError(AssertionError):
    """A layer left other bits than the golden model."""


FAILURES = (DecoderDifferenceError, DeviceError, SimulationError)


def random_decoder(rng: np.random.Generator) -> Decoder:
    """A layer that fits a small machine, or nearly; prefill or decode."""

    def among(least: int, most: int) -> int:
        return int(rng.integers(least, most + 1))

    batch = bool(rng.integers(2))
    return Decoder(
        key_heads=among(1, 3),
        shared=among(1, 4),
        pairs=among(1, 7),
        hidden=among(2, 45),
        inner=among(2, 60),
        past=tuple(among(0, 11) for _ in range(among(1, 9) if batch else 1)),
        new=1 if batch else among(2, 9),
        spare=among(0, 6),
    )


def smaller(decoder: Decoder) -> Iterator[Decoder]:
    """One size at a time halved, where it can be."""
    least = {"key_heads": 1, "shared": 1, "pairs": 1, "hidden": 2, "inner": 2, "spare": 0}
    least |= {} if decoder.batch else {"new": 2}
    for name, floor in least.items():
        size = getattr(decoder, name)
        if size > floor:
            yield replace(decoder, **{name: max(size // 2, floor)})
    if len(decoder.past) > 1:
        yield replace(decoder, past=decoder.past[: len(decoder.past) // 2])
    if any(decoder.past):
        yield replace(decoder, past=tuple(first // 2 for first in decoder.past))


def check(machine: Machine, decoder: Decoder, seed: int, modes: Sequence[str] = MODES) -> dict[str, int]:
    """Maps and runs a layer in every mode that the machine has the units for; returns the kernels of each.

    ``seed``: of weights, data, and of what memory is late by, on a machine that has such.

    Raises:
        DecoderDifferenceError: bits differ. DeviceError, SimulationError: the machine stopped.
    """
    device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
    ran = {}
    for mode in modes:
        try:
            bench = LayerBench(device, decoder.model(seed), decoder.shape, past=decoder.past, modes=(mode,), seed=seed)
        except ParameterError:
            continue
        if isinstance(machine, RTLMachine):
            machine.reset(jitter=JITTERS[seed % len(JITTERS)], seed=seed)
        bench.software(mode, lambda number: None)
        wrong = bench.mismatches()
        if wrong:
            raise DecoderDifferenceError(
                f"{decoder} with data of seed {seed}, {mode}, on {machine.params.name}: {wrong} elements differ from "
                "the golden model"
            )
        ran[mode] = len(bench.launches[mode])
    return ran


def campaign(machine: Machine, examples: int, seed: int, modes: Sequence[str] = MODES) -> int:
    """Checks random layers until ``examples`` have run; those that do not fit the machine are passed over.

    Raises:
        DecoderDifferenceError: one differs, or so does the smallest that was found from it; DeviceError,
            SimulationError: the machine stopped. A note names the layer and the seed.
        ParameterError: next to nothing fits the machine.
    """
    rng = np.random.default_rng(seed)
    ran = 0
    for _ in range(FEW * examples):
        decoder, data = random_decoder(rng), int(rng.integers(1 << 16))
        try:
            ran += bool(check(machine, decoder, data, modes))
        except FAILURES as error:
            raise _smallest(machine, decoder, data, modes, error) from None
        if ran == examples:
            return ran
    raise ParameterError(f"of {FEW * examples} random decoders only {ran} fit {machine.params.name}: take a larger one")


def _smallest(machine: Machine, decoder: Decoder, seed: int, modes: Sequence[str], error: Exception) -> Exception:
    """What the smallest layer that still fails says."""
    for candidate in smaller(decoder):
        try:
            check(machine, candidate, seed, modes)
        except FAILURES as another:
            return _smallest(machine, candidate, seed, modes, another)
    error.add_note(f"{decoder} with data of seed {seed} on {machine.params.name}")
    return error


def job(machine: RTLMachine, options: Mapping[str, Any]) -> None:
    """A campaign on a board under cocotb; ``options``: ``examples``, ``seed``, ``modes``."""
    print(f"{RAN} {campaign(machine, **options)}", flush=True)


def on_board(preset: str, examples: int, seed: int, modes: Sequence[str] = ("fused",)) -> int:
    """A campaign on the board of ``make sim``; returns how many layers ran.

    Raises:
        SimulationError: one failed; the message says which.
    """
    ran = []

    def show(line: str) -> None:
        if line.startswith(RAN):
            ran.append(int(line.removeprefix(RAN)))

    run_bench(
        "verif.benches.board",
        name=f"board_{preset}_cocotb",
        parameters={
            "preset": preset,
            "job": f"{__name__}:job",
            "options": {"examples": examples, "seed": seed, "modes": list(modes)},
        },
        sources=(*SOURCES, CELL),
        blocks=BLOCKS,
        timeout_s=LIMIT_S,
        show=show,
    )
    return sum(ran)
