"""Cycles that a prompt takes, by the bandwidth model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from coe_mapping.bandwidth import Timing, launch_overhead, predict
from coe_mapping.compiled_model import CompiledModel, Phase
from coe_mapping.schedule import argument_bytes
from hdl.host.format import WORD_BYTES


@dataclass(frozen=True)
class PromptCycles:
    """Cycles of a pass of prefill, which takes so many ``rows`` of a prompt, of the first pass of decode, which follows
    it, and of each other pass."""

    rows: int
    prefill: float
    first: float
    decode: float

    def of(self, prompt: int, answer: int) -> float:
        """Of a prompt of so many tokens and its answer of so many, the stop token included; prefill gives the first."""
        decode = self.first + (answer - 2) * self.decode if answer > 1 else 0.0
        return -(-prompt // self.rows) * self.prefill + decode


def prompt_cycles(compiled: CompiledModel, layers: int) -> PromptCycles:
    """For a model of ``layers`` layers with these kernels, compiled for one layer, its launches given by command lists;
    all layers of decode are one."""
    params, timing = compiled.params, Timing()
    kernels = {
        name: predict(params, program.placed.program, routes=program.routes).cycles
        for name, program in compiled.programs.items()
    }
    kernels[compiled.decode.programs.layers] *= layers
    arguments = {name: argument_bytes([program]) // WORD_BYTES for name, program in compiled.programs.items()}
    again = {name: launch_overhead(params, 0, count, host=False) for name, count in arguments.items()}
    afresh = {
        name: launch_overhead(params, compiled.program_bytes[name] // WORD_BYTES, count, host=False)
        for name, count in arguments.items()
    }

    def cycles(phase: Phase, before: str | None, then: str, *, embeds: bool) -> float:
        first, layer, middle, last = phase.programs
        names = [*([first] if embeds else []), *([middle] if phase.programs.loops else [layer] * layers), last]
        commands = len(names) * timing.command + params.host.launch_latency
        return list_cycles(before, [*names, then], kernels, again, afresh) + commands

    begin, turns = compiled.prefill.programs, compiled.decode.programs
    embedded = compiled.prefill.head.shape.embeds
    then = turns.layers if embedded else turns.embedding
    prefill = afresh[begin.embedding] + cycles(compiled.prefill, None, then, embeds=True)
    first = cycles(compiled.decode, begin.head, turns.layers, embeds=not embedded)
    decode = cycles(compiled.decode, turns.head, turns.layers, embeds=False)
    return PromptCycles(compiled.sizes.prompt, prefill, first, decode)


def list_cycles(
    before: str | None,
    names: Sequence[str],
    kernels: Mapping[str, float],
    again: Mapping[str, float],
    afresh: Mapping[str, float],
) -> float:
    """Of all launches but the last, which is the first of the next list; ``before``: what ran before them.

    While one runs, the next gets its arguments (``again``), and its program first (``afresh``) unless it is held still:
    the machine holds what runs and what ran before.
    """
    spent = 0.0
    for name, following in pairwise(names):
        ready = (again if following in (name, before) else afresh)[following]
        spent, before = spent + max(kernels[name], ready), name
    return spent
