"""Cycles that a prompt takes, by the bandwidth model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from coe_mapping.bandwidth import launch_overhead, predict
from coe_mapping.compiled_model import CompiledModel, Phase
from hdl.host.format import WORD_BYTES


@dataclass(frozen=True)
class PromptCycles:
    """Cycles of a pass of prefill, which takes so many ``rows`` of a prompt, and of a pass of decode."""

    rows: int
    prefill: float
    decode: float

    def of(self, prompt: int, answer: int) -> float:
        """Of a prompt of so many tokens and its answer of so many, the stop token included; prefill gives the first."""
        return -(-prompt // self.rows) * self.prefill + (answer - 1) * self.decode


def prompt_cycles(compiled: CompiledModel, layers: int) -> PromptCycles:
    """For a model of ``layers`` layers with these kernels, its launches given by command lists."""
    kernels = {
        name: predict(compiled.params, program.placed.program, routes=program.routes).cycles
        for name, program in compiled.programs.items()
    }
    loads = {
        name: launch_overhead(compiled.params, size // WORD_BYTES, host=False)
        for name, size in compiled.program_bytes.items()
    }

    def cycles(phase: Phase, *, embeds: bool) -> float:
        first, layer, last = phase.programs
        names = [*([first] if embeds else []), *[layer] * layers, last]
        return list_cycles([*names, names[0]], kernels, loads)

    decode = cycles(compiled.decode, embeds=False)
    return PromptCycles(compiled.sizes.prompt, cycles(compiled.prefill, embeds=True), decode)


def list_cycles(names: Sequence[str], kernels: Mapping[str, float], loads: Mapping[str, float]) -> float:
    """Of all launches but the last, which is the first of the next list: a program loads while the one before runs."""
    return sum(
        max(kernels[name], loads[following] if following != name else 0.0) for name, following in pairwise(names)
    )
