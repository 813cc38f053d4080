"""A composition on the RTL of a socket: every bit compared, switches and what hides them measured.

The same prompts with every strategy, from the same beginning. Without overlap the machine waits for every copy, so its
waits are the switching time; with it, what is left of them is what nothing ran behind.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from coe_mapping.compiled_model import Sizes
from coe_mapping.device import Device
from coe_mapping.experts import Order, Strategy, read_composition
from coe_mapping.experts.on_device import ROUTER, CompositionDevice
from coe_mapping.models.tasks import task
from coe_mapping.reference import Reference
from verif.generation import MARK, TimedMachine

STRATEGIES = (
    Strategy("in order, LRU"),
    Strategy("resident first, ahead", Order.RESIDENT, ahead=16, overlap=True, bound=16),
)


def run(machine: TimedMachine, options: Mapping[str, Any]) -> None:
    """Prints an event for every answer, and one for every strategy.

    Args:
        options: ``prompts``; ``limit``, tokens of an answer; ``experts``, names of those that take part; ``room``,
            bytes of HBM for the router and the current experts.
    """
    prompts, limit = options["prompts"], options["limit"]
    whole = read_composition()
    experts = {name: whole.experts[name] for name in options["experts"]}
    composition = replace(whole, experts=experts)
    longest = max(len(prompt) for prompt in prompts) + 1
    sizes = Sizes(prompt=longest, batch=1, positions=longest + limit)
    models = {ROUTER: composition.router} | {name: member.model for name, member in experts.items()}
    references = {name: Reference(model, machine.params.lanes, sizes.positions) for name, model in models.items()}
    device = Device(machine, machine.params.memory.hbm.capacity - Device.SCRATCH)
    on_device = CompositionDevice(device, composition, sizes, STRATEGIES[0], options["room"], observers=references)
    for strategy in STRATEGIES:
        on_device.begin(strategy)
        right = 0
        for answer in on_device.answer(prompts, limit):
            right += answer.expert is not None and task(experts[answer.expert].task).is_correct(
                prompts[answer.prompt], answer.text
            )
            tell(
                "answer",
                strategy=strategy.name,
                prompt=prompts[answer.prompt],
                expert=answer.expert,
                text=answer.text,
                hit=answer.hit,
                refused=answer.refused,
            )
        spent = {
            kind: sum(s.end - s.start for s in on_device.spans if s.kind == kind) for kind in ("router", "run", "wait")
        }
        tell(
            "strategy",
            name=strategy.name,
            right=right,
            prompts=len(prompts),
            cycles=spent,
            spans=[(s.kind, s.expert, s.start, s.end) for s in on_device.spans],
        )
    tell(
        "result",
        bit_exact={name: r.bit_exact for name, r in references.items()},
        rows=sum(r.rows for r in references.values()),
        mismatches=[m for r in references.values() for m in r.mismatches][:20],
    )


def tell(kind: str, **what: Any) -> None:
    """Prints an event."""
    print(MARK + json.dumps({"kind": kind, **what}), flush=True)
