"""A language model on a device: prompts in, token ids out, every launch of it on the machine.

::

    compiled = compile_model(DEMO, model.config, Sizes(prompt=16, batch=4, positions=64))
    language_model = LanguageModel(Device(machine, scratch), model, compiled)
    for sequence, token in language_model.generate(prompts, limit=8, stops=frozenset({0})):
        ...

A pass through the model is a schedule of launches: the embedding, the layers, the head. Orchestrated by the host, the
layer kernel is launched once for every layer; in a command list all layers of decode are one launch
(:mod:`.kernels.looped`).
Prefill takes the prompts one after the other, each in as many passes as its length needs; the tokens of all of them are
embedded first, so that from then on layers and head take turns. Decode takes a token of every sequence in one pass. The
heads leave the embeddings of the tokens they find, with which the next pass of decode begins. The phases have kernels
of their own and share weights and caches.
"""

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from ml_dtypes import bfloat16
from numpy.typing import NDArray

from coe_mapping.compiled_model import CompiledModel, Phase, contents, needs, weight_regions
from coe_mapping.device import Device
from coe_mapping.kernels import image
from coe_mapping.memory_plan import MemoryPlan, Need, plan
from coe_mapping.models.model import Model
from coe_mapping.schedule import Launch, Orchestrator, Stored
from hdl.params import require

Array = NDArray[Any]


class Orchestration(enum.Enum):
    """Who gives the commands of a pass: the host, one by one, or a list in memory."""

    SOFTWARE = "software"
    HARDWARE = "hardware"


@dataclass(frozen=True)
class Pass:
    """One pass through the model. Row i is token ``tokens[i]`` of sequence ``sequences[i]`` at ``positions[i]``."""

    phase: str
    sequences: tuple[int, ...]
    tokens: tuple[int, ...]
    positions: tuple[int, ...]


class Observer(Protocol):
    """Is told what the device did and what it left in memory, in order: after every launch in software, after a pass in
    hardware."""

    def launch(self, step: Pass, launch: Launch) -> None:
        """Comes first."""
        ...

    def layer(self, step: Pass, layer: int, hidden: Array) -> None:
        """The output rows of a layer, BF16 (rows, hidden)."""
        ...

    def answer(self, step: Pass, tokens: Mapping[int, int]) -> None:
        """The token that follows the last row of each sequence."""
        ...


class LanguageModel:
    """A model on a device, with caches for a batch of sequences.

    Args:
        device: nobody else launches programs on it; its memory is the model's, but for its ``scratch``.
        observer: sees every layer of every pass; memory then holds the outputs of all layers at once.
        memory: where everything lies, weights included, which somebody else puts there. None: all of it is planned
            and put there here.

    Raises:
        ParameterError: the model is of another shape than ``compiled``, or does not fit the memory.
    """

    def __init__(
        self,
        device: Device,
        model: Model,
        compiled: CompiledModel,
        *,
        orchestration: Orchestration = Orchestration.HARDWARE,
        observer: Observer | None = None,
        memory: MemoryPlan | None = None,
    ) -> None:
        require(
            model.config == compiled.config and device.params == compiled.params,
            "language model: the kernels were compiled for a model of another shape, or for another machine: compile "
            "them for this one",
        )
        self.device, self.model, self.compiled, self.config = device, model, compiled, model.config
        self.orchestration, self.observer = orchestration, observer
        scratch = Need("scratch", Device.SCRATCH, address=device.scratch)
        self.memory = memory or plan(device.params, [*needs(compiled), scratch])
        elsewhere = set() if memory is None else set(weight_regions(compiled))
        for region, offset, content in contents(compiled, model):
            if region not in elsewhere:
                self._write(region, content, offset)
        self.orchestrator = Orchestrator(
            device,
            {name: self._store_program(name) for name in compiled.programs},
            self.memory.addresses["commands"],
            self.memory.addresses["arguments"],
        )
        self._lengths: dict[int, int] = {}  # of the sequences that run
        self._newest: dict[int, int] = {}  # their last tokens, which are not in their caches yet
        self._embedded = False  # whether memory holds the embeddings of these

    # --- use ---

    def generate(
        self, prompts: Sequence[Sequence[int]], limit: int, stops: frozenset[int] = frozenset()
    ) -> Iterator[tuple[int, int]]:
        """Greedy answers: (prompt, token) as tokens appear, at most ``limit`` a prompt, stop tokens left out.

        Raises:
            ParameterError: a prompt with its answer does not fit, see also :meth:`prefill`.
        """
        room = self.compiled.sizes.positions
        for i, prompt in enumerate(prompts):
            require(
                len(prompt) + limit - 1 <= room,
                f"language model: prompt {i} of {len(prompt)} tokens with an answer of {limit} does not fit a cache of "
                f"{room} positions: ask for less, or compile for more",
            )
        new = self.prefill(prompts, decodes=limit > 1)
        for made in range(1, limit + 1):
            for sequence, token in new.items():
                if token in stops:
                    self.finish(sequence)
                else:
                    yield sequence, token
            if made == limit or not self._lengths:
                return
            new = self.decode()

    def prefill(self, prompts: Sequence[Sequence[int]], *, decodes: bool = True) -> dict[int, int]:
        """Starts afresh with these sequences; returns the token that follows each. ``decodes``: decode comes next, not
        prefill.

        Raises:
            ParameterError: more prompts than the batch, or one that is empty, too long, or not in the vocabulary.
        """
        self._check_prompts(prompts)
        self._lengths, self._newest = {}, {}
        steps = [step for sequence, prompt in enumerate(prompts) for step in self._passes(sequence, prompt)]
        self._write_tokens(self.compiled.prefill, [step.tokens for step in steps])
        following = self.compiled.decode.programs if decodes else self.compiled.prefill.programs
        self._embedded = self.compiled.prefill.head.shape.embeds
        then = following.layers if decodes and self._embedded else following.embedding
        for number, step in enumerate(steps):
            self._prefill(step, number, steps, then)
        if not self._embedded:
            self._write_tokens(self.compiled.decode, [list(self._newest.values())])
        self._lengths = {sequence: len(prompt) for sequence, prompt in enumerate(prompts)}
        return dict(self._newest)

    def decode(self) -> dict[int, int]:
        """The next token of every sequence that runs.

        Raises:
            ParameterError: none runs, or the cache of one is full.
        """
        phase, room = self.compiled.decode, self.compiled.sizes.positions
        require(bool(self._lengths), "language model: no sequence runs: begin with prefill")
        for sequence, length in self._lengths.items():
            require(
                length < room,
                f"language model: the cache of sequence {sequence} is full at {room} positions: finish it, or compile "
                "for more",
            )
        step = Pass("decode", tuple(self._lengths), tuple(self._newest.values()), tuple(self._lengths.values()))
        positions = np.full(phase.layer.padded_rows, phase.layer.positions)  # where nobody looks
        positions[list(step.sequences)] = step.positions
        self.set_positions(phase, positions)
        schedule = self.schedule(phase, embed=0 if self._embedded else 1)
        self._run(step, schedule, rows=step.sequences, then=phase.programs.layers)
        self._embedded = True
        tokens = self._tokens(phase)
        self._newest = {sequence: tokens[sequence] for sequence in step.sequences}
        self._lengths = {sequence: length + 1 for sequence, length in self._lengths.items()}
        self._tell(step, self._newest)
        return dict(self._newest)

    def finish(self, sequence: int) -> None:
        """Decodes that sequence no more."""
        del self._lengths[sequence], self._newest[sequence]

    def schedule(
        self, phase: Phase, sequence: int = 0, number: int = 0, *, embed: int = 1, row: int | None = 0
    ) -> list[Launch]:
        """A pass on input ``number``; ``sequence`` has the first cache.

        ``embed``: it begins with the embedding of so many inputs. ``row``: of hidden state, with which the head at its
        end begins; None: there is no head.
        """
        names, at = phase.programs, self.memory.addresses
        tokens, hidden = at[f"{phase.name}.tokens"], at[f"{phase.name}.hidden"]
        begin = [
            Launch(
                names.embedding,
                {"tokens": tokens + i * phase.tokens_bytes, "table": at["table"], "x": hidden + i * phase.step},
            )
            for i in range(embed)
        ]
        looped = self.orchestration is Orchestration.HARDWARE and names.loops
        middle = self.layers(phase, sequence, number, looped=looped)
        if row is None:
            return [*begin, *middle]
        weights = {name: at[name] for name in ("final_norm", "head", "table")}
        x = hidden + phase.hidden(self.config.layers - 1) + row * phase.row_bytes
        embedded = at["decode.hidden"] + sequence * self.compiled.decode.row_bytes
        return [*begin, *middle, Launch(names.head, {"x": x, "tokens": tokens, "embedded": embedded, **weights})]

    def set_positions(self, phase: Phase, positions: Array) -> None:
        """Of the rows of the next pass."""
        self._write(f"{phase.name}.positions", image.positions(phase.layer, positions))

    def layers(self, phase: Phase, sequence: int = 0, number: int = 0, *, looped: bool) -> list[Launch]:
        """All layers on input ``number``, in one launch or one by one."""
        hidden = self.memory.addresses[f"{phase.name}.hidden"]
        name = phase.programs.layers if looped else phase.programs.layer
        count = self.config.layers
        states = [hidden + number * phase.step, *(hidden + phase.hidden(layer) for layer in range(count))]
        return [
            Launch(name, {"x": states[i], "y": states[i + 1], **self._layer(phase, i, sequence)})
            for i in range(1 if looped else count)
        ]

    # --- passes ---

    def _passes(self, sequence: int, prompt: Sequence[int]) -> Iterator[Pass]:
        """Of prefill."""
        rows = self.compiled.sizes.prompt
        for start in range(0, len(prompt), rows):
            tokens = tuple(prompt[start : start + rows])
            positions = tuple(range(start, start + len(tokens)))
            yield Pass("prefill", (sequence,) * len(tokens), tokens, positions)

    def _prefill(self, step: Pass, number: int, steps: Sequence[Pass], then: str) -> None:
        """Runs pass ``number`` of ``steps``; the first embeds for all. The last of a prompt finds its next token.
        ``then``: the program that comes after all of them."""
        phase, sequence = self.compiled.prefill, step.sequences[0]
        apart, last = phase.head.shape.rows, len(step.tokens) - 1
        final = number == len(steps) - 1
        ends = final or steps[number + 1].sequences[0] != sequence
        row = last // apart * apart if ends else None
        schedule = self.schedule(phase, sequence, number, embed=0 if number else len(steps), row=row)
        self.set_positions(phase, np.array(step.positions))
        self._run(step, schedule, rows=range(len(step.tokens)), then=then if final else phase.programs.layers)
        if ends:
            self._newest[sequence] = self._tokens(phase)[last % apart]
            self._tell(step, {sequence: self._newest[sequence]})

    def _write_tokens(self, phase: Phase, inputs: Sequence[Sequence[int]]) -> None:
        """Of the rows of every input, and something that can be looked up for those that are padded."""
        for number, tokens in enumerate(inputs):
            padded = [*tokens, *[0] * (phase.layer.padded_rows - len(tokens))]
            self._write(f"{phase.name}.tokens", image.words(self.device.params, padded), number * phase.tokens_bytes)

    def _run(self, step: Pass, schedule: Sequence[Launch], rows: Sequence[int], then: str) -> None:
        """A pass; the observer sees ``rows`` of hidden state after every layer. ``then``: the next pass's program."""
        phase = self._phase(step)
        counts = {phase.programs.layers: self.config.layers, phase.programs.layer: 1}
        ends = list(accumulate(counts.get(launch.program, 0) for launch in schedule))

        def done(number: int) -> None:
            if self.observer is None:
                return
            self.observer.launch(step, schedule[number])
            for layer in range(ends[number - 1] if number else 0, ends[number]):
                self.observer.layer(step, layer, self._hidden(phase, layer)[list(rows)])

        if self.orchestration is Orchestration.SOFTWARE:
            self.orchestrator.software(schedule, done)
        else:
            self.orchestrator.hardware(schedule, done, ahead=then)

    def _tell(self, step: Pass, tokens: Mapping[int, int]) -> None:
        if self.observer is not None:
            self.observer.answer(step, tokens)

    def _check_prompts(self, prompts: Sequence[Sequence[int]]) -> None:
        sizes, vocabulary = self.compiled.sizes, self.config.vocabulary
        require(
            0 < len(prompts) <= sizes.batch,
            f"language model: {len(prompts)} prompts, it was compiled for 1 to {sizes.batch} at a time",
        )
        for i, prompt in enumerate(prompts):
            require(
                0 < len(prompt) <= sizes.positions,
                f"language model: prompt {i} has {len(prompt)} tokens, a cache holds 1 to {sizes.positions}: ask for "
                "less, or compile for more",
            )
            require(
                all(0 <= token < vocabulary for token in prompt),
                f"language model: prompt {i} has a token that is not in the vocabulary of {vocabulary}",
            )

    # --- memory ---

    def _layer(self, phase: Phase, layer: int, sequence: int) -> dict[str, int]:
        """Addresses of a layer's regions but for its input and output."""
        at, offset = self.memory.addresses, sequence * phase.sequence_bytes
        own, steps = (*phase.layer.weights, *phase.layer.norms), phase.steps
        return {
            "positions": at[f"{phase.name}.positions"],
            **{name: at[name] for name in ("cosines", "sines")},
            **{name: at[name] + layer * steps[name] for name in own},
            **{name: at[name] + layer * steps[name] + offset for name in ("keys", "values")},
        }

    def _store_program(self, name: str) -> Stored:
        program = self.compiled.programs[name]
        address = self.memory.addresses[f"program.{name}"]
        return Stored(program, self.device.store_program(program.bitstream, address))

    def _write(self, region: str, data: Array, offset: int = 0) -> None:
        content = np.ascontiguousarray(data).view(np.uint8).reshape(-1)
        assert offset + len(content) <= self.memory.needs[region].bytes, f"{region} has {len(content)} bytes"
        self.device.write(self.memory.addresses[region] + offset, content)

    def _phase(self, step: Pass) -> Phase:
        return self.compiled.prefill if step.phase == self.compiled.prefill.name else self.compiled.decode

    def _hidden(self, phase: Phase, number: int) -> Array:
        """What layer ``number`` left, without padding columns."""
        layout = phase.layer
        address = self.memory.addresses[f"{phase.name}.hidden"] + phase.hidden(number)
        data = self.device.read(address, layout.regions["y"].bytes)
        rows: Array = data.view(bfloat16).reshape(layout.padded_rows, -1)
        return rows[:, : self.config.hidden]

    def _tokens(self, phase: Phase) -> list[int]:
        """What the head left, a token a row."""
        size = phase.head.regions["tokens"].bytes
        data = self.device.read(self.memory.addresses[f"{phase.name}.tokens"], size).view(np.uint32)
        tokens: list[int] = data.reshape(phase.head.padded_rows, -1)[:, 0].tolist()
        return tokens
