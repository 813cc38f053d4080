"""A language model generating tokens on a socket, measured: the job of ``make sim`` in the simulator process.

What happens is printed as it happens, one line of JSON behind :data:`MARK` each: events by their kind, the last of them
``result``. Everything the device leaves is compared with the operator-level golden model, bit for bit.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coe_mapping.compiled_model import CompiledModel, Phase, Sizes, compile_model
from coe_mapping.device import Device, Machine
from coe_mapping.kernels.decoder import LayerShape
from coe_mapping.language_model import LanguageModel, Orchestration, Pass
from coe_mapping.models.model import Model
from coe_mapping.models.read import read_model
from coe_mapping.models.tokenizer import Tokenizer, read_tokenizer
from coe_mapping.reference import Reference
from coe_mapping.schedule import Launch
from verif import measure
from verif.layer_bench import LayerBench

MARK = "openrdu "
MODES = {Orchestration.SOFTWARE: "fused_so", Orchestration.HARDWARE: "fused_ho"}


class TimedMachine(Machine, Protocol):
    """A machine in which time passes."""

    def now(self) -> int: ...


@dataclass(frozen=True)
class Task:
    """What is to be generated: all ``prompts`` in a batch, at most ``tokens`` each, once in each of ``modes``; and in
    which ``phases`` a layer is run operator by operator as well. ``layers``: only the first of the checkpoint."""

    model: str
    prompts: Sequence[str]
    tokens: int
    modes: Sequence[str] = ("fused_so", "fused_ho")
    phases: Sequence[str] = ("decode", "prefill")
    layers: int | None = None


@dataclass
class Observer:
    """Compares, and measures: the timeline of launches, and once for every program what its units did; of a command
    list only the last, whose counters are still there."""

    device: Device
    machine: TimedMachine
    compiled: CompiledModel
    reference: Reference
    mode: Orchestration
    kernels: dict[str, dict[str, Any]] = field(default_factory=dict)
    timeline: list[dict[str, Any]] = field(default_factory=list)
    _since: int = 0

    def begin(self) -> None:
        """From here on time counts."""
        self._since = self.machine.now()

    def launch(self, step: Pass, launch: Launch) -> None:
        if self.mode is Orchestration.SOFTWARE:
            self._add(step, launch.program)
            self._measure(step, launch)
            return
        if self.machine.cycles != self._since:  # a pass ends at one time for all its launches
            self._add(step, f"{step.phase} pass")
        if launch.program in (self.compiled.prefill.programs.head, self.compiled.decode.programs.head):
            self._measure(step, launch)

    def _add(self, step: Pass, name: str) -> None:
        end = self.machine.cycles
        self.timeline.append(
            {"mode": MODES[self.mode], "phase": step.phase, "name": name, "start": self._since, "end": end}
        )
        self._since = end

    def _measure(self, step: Pass, launch: Launch) -> None:
        program = self.compiled.programs[launch.program]
        if launch.program in self.kernels:
            return
        self.kernels[launch.program] = {
            **measure.kernel(self.device, program, MODES[self.mode], step.phase),
            "name": launch.program,
            "units": list(measure.units(self.device, program)),
            "links": list(measure.links(self.device)),
        }
        self._since = self.machine.now()

    def layer(self, step: Pass, layer: int, hidden: NDArray[Any]) -> None:
        self.reference.layer(step, layer, hidden)
        tell("layer", mode=MODES[self.mode], phase=step.phase, layer=layer, rows=self.reference.rows)

    def answer(self, step: Pass, tokens: Mapping[int, int]) -> None:
        self.reference.answer(step, tokens)


def tell(kind: str, **what: Any) -> None:
    """Prints an event."""
    print(MARK + json.dumps({"kind": kind, **what}), flush=True)


def run(machine: TimedMachine, options: Mapping[str, Any]) -> None:
    """Generates as the :class:`Task` in ``options`` says; prints events, and the result."""
    task = Task(**options)
    model, tokenizer = read_model(Path(task.model)), read_tokenizer(Path(task.model))
    model = model.first(task.layers or model.config.layers)
    prompts = [tokenizer.encode(prompt) for prompt in task.prompts]
    longest = max(map(len, prompts))
    sizes = Sizes(prompt=longest, batch=len(prompts), positions=longest + task.tokens)
    tell("compiling", layers=model.config.layers)
    compiled = compile_model(machine.params, model.config, sizes)
    device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
    runs = [
        generate(mode, device, machine, model, tokenizer, compiled, task, prompts)
        for mode, name in MODES.items()
        if name in task.modes
    ]
    config = model.config
    widths = [config.hidden, config.heads, config.kv_heads, config.head_size, config.intermediate]
    layers = [compare(device, machine, model, phase, sizes) for phase in task.phases]
    tell("result", runs=runs, layers=layers, widths=widths, rows={"prefill": sizes.prompt, "decode": sizes.batch})


def generate(
    mode: Orchestration,
    device: Device,
    machine: TimedMachine,
    model: Model,
    tokenizer: Tokenizer,
    compiled: CompiledModel,
    task: Task,
    prompts: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """All prompts in one mode: the texts, what was compared, the timeline, the kernels."""
    reference = Reference(model, device.params.lanes, compiled.sizes.positions)
    observer = Observer(device, machine, compiled, reference, mode)
    on_device = LanguageModel(device, model, compiled, orchestration=mode, observer=observer)
    tell("begin", mode=MODES[mode], regions=len(on_device.memory.needs))
    observer.begin()
    made: list[list[int]] = [[] for _ in prompts]
    for sequence, token in on_device.generate(prompts, task.tokens, tokenizer.stops):
        made[sequence].append(token)
        tell("token", mode=MODES[mode], prompt=sequence, text=tokenizer.decode(made[sequence]))
    phases = (compiled.decode,) if mode is Orchestration.HARDWARE else ()
    looping = [loop(on_device, machine, phase) for phase in phases]
    return {
        "mode": MODES[mode],
        "texts": [tokenizer.decode(ids) for ids in made],
        "bit_exact": reference.bit_exact,
        "rows": reference.rows,
        "tokens": reference.tokens,
        "mismatches": reference.mismatches[:20],
        "timeline": observer.timeline,
        "kernels": [*observer.kernels.values(), *(each.pop("kernel") for each in looping)],
        "looping": looping,
    }


def loop(on_device: LanguageModel, machine: TimedMachine, phase: Phase) -> dict[str, Any]:
    """All layers by a command list, as one launch and as a launch each, the programs loaded before; what the counters
    say of the one. What it leaves in the caches is of no meaning."""
    on_device.set_positions(phase, np.zeros(phase.layer.padded_rows, np.int64))
    cycles: dict[str, int] = {}
    for looped, name in ((False, "launches"), (True, "looped")):
        launches = on_device.layers(phase, looped=looped)
        on_device.orchestrator.load(launches[0].program)
        since = machine.now()
        on_device.orchestrator.hardware(launches)
        cycles[name] = machine.cycles - since
    program = phase.programs.layers
    kernel = measure.kernel(on_device.device, on_device.compiled.programs[program], "fused_ho", phase.name)
    return {"phase": phase.name, "cycles": cycles, "kernel": kernel | {"name": program}}


def compare(device: Device, machine: TimedMachine, model: Model, phase: str, sizes: Sizes) -> dict[str, Any]:
    """One layer in one phase, fused and operator by operator, in both orchestrations."""
    config = model.config
    widths = (config.hidden, config.heads, config.kv_heads, config.head_size, config.intermediate, config.epsilon)
    rows, batch, past = (sizes.batch, True, sizes.positions - 1) if phase == "decode" else (sizes.prompt, False, 0)
    bench = LayerBench(device, model, LayerShape(*widths, rows, sizes.positions, batch), past=past)
    kernels: list[dict[str, Any]] = []
    cycles: dict[str, dict[str, int]] = {"software": {}, "hardware": {}}
    mismatches = 0
    doorbells = {mode: 2 * len(launches) for mode, launches in bench.launches.items()}  # a load and a launch each
    for mode, launches in bench.launches.items():
        tell("comparing", phase=phase, mode=mode, kernels=len(launches))
        spent, since = 0, machine.now()

        def done(number: int, mode: str = mode, launches: Sequence[Launch] = launches) -> None:
            nonlocal spent, since
            spent += machine.cycles - since
            if mode == "unfused":
                program = bench.programs[launches[number].program]
                kernels.append(measure.kernel(device, program, mode, phase))
            since = machine.now()

        bench.software(mode, done)
        mismatches += bench.mismatches()
        cycles["software"][mode] = spent
        cycles["hardware"][mode] = bench.hardware(mode)
        mismatches += bench.mismatches()
        if mode == "fused":
            fused = measure.kernel(device, bench.programs[launches[-1].program], "fused_ho", phase)
            kernels.append(fused | {"name": f"{phase} layer"})
    return {"phase": phase, "kernels": kernels, "cycles": {**cycles, "doorbells": doorbells}, "mismatches": mismatches}
