"""The campaign of the composition: held-out prompts through router and experts on RTL, every bit compared."""

import sys
from collections.abc import Sequence
from functools import partial

from coe_mapping.experts import read_composition
from coe_mapping.models.evaluate import held_out
from coe_mapping.models.read import read_model
from coe_mapping.models.tasks import task
from coe_mapping.models.tokenizer import read_tokenizer
from golden_model.operators import ContractArithmetic
from hdl.params import DEMO
from verif import smollm2
from verif.campaign import Part, Result, Shard
from verif.experts_on_board import IN_ORDER, LOOK_AHEAD, Job, on_board
from verif.float32_reference import disagreements, greedy

SHARDS = 5  # each with a prompt for every expert
ROOM = 560_000  # two experts beside the router
TOKENS = 32  # of SmolLM2


def parts() -> list[Part]:
    """Every expert in every shard, so most prompts are a switch."""
    return [
        Part(
            "experts",
            "composition on RTL",
            [Shard(f"prompts_{k}", partial(_prompts, k)) for k in range(SHARDS)],
            lambda results: {"rtl_prompts_checked": sum(r["prompts"] for r in results)},
            _failures,
        ),
        Part(
            "experts",
            "text of SmolLM2 beside float32",
            [Shard(f"prompt_{k}", partial(_beside_float32, k)) for k in range(len(smollm2.PROMPTS))],
            lambda _: {},
            _text_failures,
        ),
    ]


def _beside_float32(number: int) -> Result:
    """Greedy text by the golden model, and where a float32 model would have gone on otherwise."""
    path = smollm2.checkpoint()
    model, tokenizer = read_model(path), read_tokenizer(path)
    prompt = tokenizer.encode(smollm2.PROMPTS[number])
    tokens, logits = greedy(model, ContractArithmetic(DEMO.lanes), prompt, TOKENS)
    print(f"{smollm2.PROMPTS[number]}{tokenizer.decode(tokens)}")
    found = disagreements(model, prompt, tokens, logits)
    for each in found:
        ours, theirs = (tokenizer.decode([token]) for token in (each.ours, each.theirs))
        why = f"float32 prefers {theirs!r} to {ours!r} by {each.margin:.3f}, logits differ by {each.noise:.3f} (rms)"
        print(f"token {each.step}: {why}")
    unexplained = sum(not each.is_explained for each in found)
    return {"tokens": len(tokens), "others": len(found), "unexplained": unexplained}


def _text_failures(results: Sequence[Result]) -> list[str]:
    wrong = sum(r["unexplained"] for r in results)
    return [f"{wrong:.0f} tokens are not those of float32, by more than rounding explains"] if wrong else []


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
