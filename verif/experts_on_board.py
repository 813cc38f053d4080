"""A composition on the RTL of a socket: every bit compared, switches and what hides them measured.

The same prompts with every strategy, from the same beginning. Without overlap the machine waits for every copy, so its
waits are the switching time; with it, what is left of them is what nothing ran behind. Cycles count always, the host's
looks at the status included, since the tier DMA goes on meanwhile.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

from coe_mapping.commands import command
from coe_mapping.compiled_model import Sizes
from coe_mapping.device import Device
from coe_mapping.experts import Copy, Order, Strategy, read_composition
from coe_mapping.experts.on_device import ROUTER, Answer, CompositionDevice, Watcher, copy_command
from coe_mapping.experts.runtime import Transfer
from coe_mapping.reference import Reference
from hdl.host.format import Opcode
from hdl.memory.counters import DMACounter
from hdl.params import preset as named
from verif.generation import MARK, TimedMachine, tell
from verif.machine import BLOCKS, board_name, board_sources
from verif.sim import run_bench

IN_ORDER = Strategy("in order, LRU")
LOOK_AHEAD = Strategy("look-ahead", Order.RESIDENT, ahead=64, overlap=True, bound=64)
STRATEGIES = {strategy.name: strategy for strategy in (IN_ORDER, LOOK_AHEAD)}
KINDS = ("router", "wait", "prefill", "decode")
"""What a machine does."""

LIMIT_S = 3 * 3600.0
DMA = 0
"""Its block of counters."""


class CountingMachine(TimedMachine, Protocol):
    """A machine with counters in its memory system."""

    def count_always(self) -> None:
        """Cycles count from now on while the machine is idle, too."""
        ...

    def counter(self, block: int, word: int) -> int: ...


@dataclass(frozen=True)
class Job:
    """What is to be answered.

    Attributes:
        truths: the right answers. limit: tokens of an answer.
        experts: names of those that take part. strategies: names, one run each.
        room: bytes of HBM for the router and the current experts.
    """

    prompts: Sequence[str]
    truths: Sequence[str]
    limit: int
    experts: Sequence[str]
    room: int
    strategies: Sequence[str] = (LOOK_AHEAD.name,)


@dataclass(frozen=True)
class Ran:
    """What a strategy did, as JSON has it. Cycles are counted from its beginning.

    Attributes:
        prompts: each with ``prompt``, ``expert``, ``hit``, ``text``, ``tokens``, ``truth``, ``correct``, ``refused``,
            ``cycles`` by what was done for it (:data:`KINDS`), and ``end``.
        spans: what the machine did, one by one: ``kind``, ``expert``, ``prompt``, ``start``, ``end``.
        copies: of the tier DMA: ``expert``, ``evicts``, ``bytes``, ``to`` which address, ``start``, ``end``.
        alone: ``bytes`` and ``cycles`` of a copy of an expert with nothing beside it.
        sizes: bytes of router and experts.
        rows, tokens, mismatches: of hidden state and of text that were compared, and what differed.
    """

    strategy: str
    prompts: Sequence[Mapping[str, Any]]
    spans: Sequence[Mapping[str, Any]]
    copies: Sequence[Mapping[str, Any]]
    alone: Mapping[str, int]
    sizes: Mapping[str, int]
    rows: int
    tokens: int
    mismatches: Sequence[str]

    @property
    def right(self) -> int:
        """Answers."""
        return sum(prompt["correct"] for prompt in self.prompts)

    @property
    def cycles(self) -> dict[str, int]:
        """By what the machine did."""
        return {kind: sum(s["end"] - s["start"] for s in self.spans if s["kind"] == kind) for kind in KINDS}

    @property
    def switching(self) -> int:
        """Cycles of all copies."""
        return sum(copy["end"] - copy["start"] for copy in self.copies)

    @property
    def hidden_share(self) -> float:
        """Of the switching, behind which something ran; 1 if nothing was switched."""
        return max(0.0, 1.0 - self.cycles["wait"] / self.switching) if self.switching else 1.0


def on_board(
    preset: str, job: Job, show: Callable[[str], None] = lambda line: None, *, fast: bool = False
) -> list[Ran]:
    """A job on the board of ``make sim``; ``show`` is given every line of it; ``fast``: arithmetic in C.

    Raises:
        SimulationError: the simulation failed.
    """
    ran: list[Ran] = []

    def line(text: str) -> None:
        show(text)
        if text.startswith(MARK):
            event = json.loads(text.removeprefix(MARK))
            if event.pop("kind") == "ran":
                ran.append(Ran(**event))

    run_bench(
        "verif.benches.board",
        name=board_name(preset, fast=fast),
        parameters={"preset": preset, "job": f"{__name__}:run", "options": asdict(job), "fast": fast},
        sources=board_sources(named(preset), fast=fast),
        blocks=BLOCKS,
        timeout_s=LIMIT_S,
        show=line,
    )
    return ran


def run(machine: CountingMachine, options: Mapping[str, Any]) -> None:
    """Does the :class:`Job` in ``options``; prints events as they come, and ``ran`` for every strategy."""
    bench = Bench(machine, Job(**options))
    alone = bench.copy_alone()
    for name in bench.job.strategies:
        tell("ran", **asdict(bench.answer(STRATEGIES[name], alone)))


class Bench:
    """The composition of a job on a machine, and the golden models that it is compared with."""

    def __init__(self, machine: CountingMachine, job: Job) -> None:
        self.machine, self.job, whole = machine, job, read_composition()
        self.experts = {name: whole.experts[name] for name in job.experts}
        longest = max(len(prompt) for prompt in job.prompts) + 1  # the start token
        sizes = Sizes(prompt=longest, batch=1, positions=longest + job.limit)
        models = {ROUTER: whole.router} | {name: member.model for name, member in self.experts.items()}
        lanes = machine.params.lanes
        self.references = {name: Reference(model, lanes, sizes.positions) for name, model in models.items()}
        tell("compiling", experts=list(self.experts), shapes=len({model.config for model in models.values()}))
        machine.count_always()
        device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
        composition = replace(whole, experts=self.experts)
        self.on_device = CompositionDevice(device, composition, sizes, IN_ORDER, job.room, observers=self.references)

    def copy_alone(self) -> dict[str, int]:
        """A copy of the first expert from DDR to HBM with nothing beside it."""
        runtime = self.on_device.runtime
        expert = runtime.experts[self.job.experts[0]]
        place = runtime.residency.window(expert, lambda name: None)
        assert place is not None, "nothing but the router is there"
        before = busy(self.machine)
        transfer = Transfer(runtime.homes.addresses[expert.name], place.address, expert.bytes)
        self.on_device.device.run([copy_command(transfer), command(Opcode.WAIT_DMA)])
        return {"bytes": expert.bytes, "cycles": busy(self.machine) - before}

    def answer(self, strategy: Strategy, alone: Mapping[str, int]) -> Ran:
        """All prompts, from the beginning."""
        self.on_device.begin(strategy)
        self.on_device.watcher = watch = Watch(self.machine)
        tell("begin", strategy=strategy.name)
        compared, since = self._compared, self.machine.cycles
        answers = {answer.prompt: answer for answer in self.on_device.answer(self.job.prompts, self.job.limit)}
        rows, tokens = (new - old for new, old in zip(self._compared, compared, strict=True))
        spans = [_from(since, asdict(span)) for span in self.on_device.spans]
        prompts = [self._told(number, prompt, answers[number], spans) for number, prompt in enumerate(self.job.prompts)]
        sizes = {name: expert.bytes for name, expert in self.on_device.runtime.experts.items()}
        wrong = [f"{who}: {m}" for who, reference in self.references.items() for m in reference.mismatches]
        copies = [_from(since, copy) for copy in watch.copies]
        return Ran(strategy.name, prompts, spans, copies, alone, sizes, rows, tokens, wrong[:20])

    @property
    def _compared(self) -> tuple[int, int]:
        """Rows and tokens so far."""
        references = self.references.values()
        return sum(each.rows for each in references), sum(each.tokens for each in references)

    def _told(self, number: int, prompt: str, answer: Answer, spans: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """What became of a prompt."""
        truth = self.job.truths[number]
        own = [span for span in spans if span["prompt"] == number]
        cycles = {kind: sum(s["end"] - s["start"] for s in own if s["kind"] == kind) for kind in KINDS}
        cycles["wait"] = waits(spans).get(number, 0)
        return {
            "prompt": prompt,
            **{key: getattr(answer, key) for key in ("expert", "hit", "text", "tokens", "refused")},
            "truth": truth,
            "correct": answer.text == truth,
            "cycles": cycles,
            "end": own[-1]["end"] if own else 0,
        }


@dataclass
class Watch(Watcher):
    """Prints what happens, and keeps the copies. ``_began``: cycles, and those of the tier DMA, at the last one."""

    machine: CountingMachine
    copies: list[dict[str, Any]] = field(default_factory=list)
    _began: tuple[int, int] = (0, 0)

    def routed(self, prompt: int, expert: str) -> None:
        tell("routed", prompt=prompt, expert=expert)

    def copying(self, copy: Copy) -> None:
        self._began = self.machine.cycles, busy(self.machine)
        tell("copying", expert=copy.expert.name, evicts=copy.evicts)

    def copied(self, copy: Copy) -> None:
        start, before = self._began
        end = start + busy(self.machine) - before
        name = copy.expert.name
        what = {"expert": name, "evicts": copy.evicts, "bytes": copy.bytes, "to": copy.fetch.destination}
        self.copies.append(what | {"start": start, "end": end})
        tell("copied", expert=name, cycles=end - start)

    def begins(self, prompt: int, expert: str, hit: bool) -> None:
        tell("begins", prompt=prompt, expert=expert, hit=hit)

    def wrote(self, prompt: int, text: str) -> None:
        tell("text", prompt=prompt, text=text)


def waits(spans: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Cycles for which the machine did nothing before each prompt but wait for copies."""
    waited, found = 0, dict[int, int]()
    for span in spans:
        if span["kind"] == "wait":
            waited += span["end"] - span["start"]
        elif span["kind"] == "prefill":
            found[span["prompt"]], waited = waited, 0
    return found


def _from(since: int, what: dict[str, Any]) -> dict[str, Any]:
    """With its times counted from there."""
    return {**what, "start": what["start"] - since, "end": what["end"] - since}


def busy(machine: CountingMachine) -> int:
    """Cycles in which the tier DMA had something to do; wraps."""
    return machine.counter(DMA, DMACounter.BUSY)
