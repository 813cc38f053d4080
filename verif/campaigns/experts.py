"""The campaign of the composition: held-out prompts through router and experts on RTL, every bit compared."""

import sys
from collections.abc import Sequence
from functools import partial

from coe_mapping.experts import read_composition
from coe_mapping.models.evaluate import held_out
from coe_mapping.models.tasks import task
from hdl.params import DEMO
from verif.campaign import Part, Result, Shard
from verif.experts_on_board import IN_ORDER, LOOK_AHEAD, Job, on_board

SHARDS = 5  # each with a prompt for every expert
ROOM = 560_000  # two experts beside the router


def parts() -> list[Part]:
    """Every expert in every shard, so most prompts are a switch."""
    return [
        Part(
            "experts",
            "composition on RTL",
            [Shard(f"prompts_{k}", partial(_prompts, k)) for k in range(SHARDS)],
            lambda results: {"rtl_prompts_checked": sum(r["prompts"] for r in results)},
            _failures,
        )
    ]


def _prompts(number: int) -> Result:
    """The shard's prompts, looked ahead; and those of the first shard in order too, to know what look-ahead hides."""
    experts = read_composition().experts
    examples = [held_out(task(member.task), SHARDS)[number] for member in experts.values()]
    strategies = (LOOK_AHEAD.name, IN_ORDER.name) if number == 0 else (LOOK_AHEAD.name,)
    limit = max(len(example.answer) for example in examples) + 1
    prompts, truths = [e.prompt for e in examples], [e.answer for e in examples]
    ran = on_board(DEMO.name, Job(prompts, truths, limit, list(experts), ROOM, strategies))
    for mismatch in (m for each in ran for m in each.mismatches):
        print(mismatch, file=sys.stderr)
    counted = {"prompts": len(examples), "right": ran[0].right, "mismatches": sum(len(r.mismatches) for r in ran)}
    for each in ran:
        counted |= {f"{each.strategy} {kind}": cycles for kind, cycles in each.cycles.items()}
    return counted


def _failures(results: Sequence[Result]) -> list[str]:
    wrong = ["the composition on RTL differs from the golden model, see above" for r in results if r["mismatches"]]
    if any(r["right"] < r["prompts"] - 1 for r in results):
        wrong.append("more than one answer of a shard is wrong, though every bit may be as the golden model has it")
    return wrong
