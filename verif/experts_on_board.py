"""A composition on the RTL of a socket: every bit compared, switches and what hides them measured.

The same prompts with every strategy, from the same beginning. Without overlap the machine waits for every copy, so its
waits are the switching time; with it, what is left of them is what nothing ran behind.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from coe_mapping.compiled_model import Sizes
from coe_mapping.device import Device
from coe_mapping.experts import Order, Strategy, read_composition
from coe_mapping.experts.on_device import ROUTER, CompositionDevice
from coe_mapping.models.tasks import task
from coe_mapping.reference import Reference
from hdl.clock_gate import CELL
from verif.generation import MARK, TimedMachine
from verif.machine import BLOCKS
from verif.models import SOURCES
from verif.sim import run_bench

IN_ORDER = Strategy("in order, LRU")
LOOK_AHEAD = Strategy("look-ahead", Order.RESIDENT, ahead=64, overlap=True, bound=64)
STRATEGIES = {strategy.name: strategy for strategy in (IN_ORDER, LOOK_AHEAD)}
LIMIT_S = 3 * 3600.0


@dataclass(frozen=True)
class Job:
    """What is to be answered.

    Attributes:
        limit: tokens of an answer. experts: names of those that take part. strategies: names, one run each.
        room: bytes of HBM for the router and the current experts.
    """

    prompts: Sequence[str]
    limit: int
    experts: Sequence[str]
    room: int
    strategies: Sequence[str] = (LOOK_AHEAD.name,)


@dataclass(frozen=True)
class Ran:
    """What a strategy did.

    Attributes:
        answers: expert, text, and whether that expert was a hit, by prompt. right: of the texts.
        cycles: by what the machine did: ``router``, ``run``, ``wait`` for an expert. spans: the same one by one.
        rows, mismatches: of hidden state that were compared, and what differed.
    """

    strategy: str
    answers: Mapping[str, Sequence[Any]]
    right: int
    cycles: Mapping[str, int]
    spans: Sequence[Sequence[Any]]
    rows: int
    mismatches: Sequence[str]


def on_board(preset: str, job: Job) -> list[Ran]:
    """A job on the board of ``make sim``.

    Raises:
        SimulationError: the simulation failed.
    """
    ran: list[Ran] = []

    def show(line: str) -> None:
        if line.startswith(MARK):
            ran.append(Ran(**json.loads(line.removeprefix(MARK))))

    run_bench(
        "verif.benches.board",
        name=f"board_{preset}_cocotb",
        parameters={"preset": preset, "job": f"{__name__}:run", "options": asdict(job)},
        sources=(*SOURCES, CELL),
        blocks=BLOCKS,
        timeout_s=LIMIT_S,
        show=show,
    )
    return ran


def run(machine: TimedMachine, options: Mapping[str, Any]) -> None:
    """Does the :class:`Job` in ``options``; prints a :class:`Ran` for every strategy."""
    job, whole = Job(**options), read_composition()
    experts = {name: whole.experts[name] for name in job.experts}
    longest = max(len(prompt) for prompt in job.prompts) + 1  # the start token
    sizes = Sizes(prompt=longest, batch=1, positions=longest + job.limit)
    models = {ROUTER: whole.router} | {name: member.model for name, member in experts.items()}
    references = {name: Reference(model, machine.params.lanes, sizes.positions) for name, model in models.items()}
    device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
    on_device = CompositionDevice(
        device, replace(whole, experts=experts), sizes, IN_ORDER, job.room, observers=references
    )
    for name in job.strategies:
        on_device.begin(STRATEGIES[name])
        answers = {job.prompts[a.prompt]: a for a in on_device.answer(job.prompts, job.limit)}
        right = [
            prompt
            for prompt, answer in answers.items()
            if answer.expert is not None and task(experts[answer.expert].task).is_correct(prompt, answer.text)
        ]
        spans = on_device.spans
        cycles = {kind: sum(s.end - s.start for s in spans if s.kind == kind) for kind in ("router", "run", "wait")}
        ran = Ran(
            name,
            {prompt: (a.expert, a.text, a.hit) for prompt, a in answers.items()},
            len(right),
            cycles,
            [(s.kind, s.expert, s.start, s.end) for s in spans],
            sum(reference.rows for reference in references.values()),
            [mismatch for reference in references.values() for mismatch in reference.mismatches][:20],
        )
        print(MARK + json.dumps(asdict(ran)), flush=True)
