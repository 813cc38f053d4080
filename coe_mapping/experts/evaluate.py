"""How often a composition is right on prompts that nothing of it was trained on: router, experts, and both together."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from coe_mapping.experts.composition import Composition
from coe_mapping.experts.router import route
from coe_mapping.graph.run import generate
from coe_mapping.models.evaluate import held_out
from coe_mapping.models.model import Model
from coe_mapping.models.tasks import Example, task
from golden_model.operators import Arithmetic


@dataclass(frozen=True)
class Scores:
    """Shares of held-out prompts that were right, by the name of the expert that is meant for them.

    Attributes:
        prompts: how many there were.
        routed: of which the router named that expert. expert: that the expert itself answered rightly.
        whole: that the expert which the router named answered rightly.
    """

    prompts: Mapping[str, int]
    routed: Mapping[str, float]
    expert: Mapping[str, float]
    whole: Mapping[str, float]

    @property
    def router(self) -> float:
        """Of all prompts, every expert counted alike."""
        return fmean(self.routed.values())

    @property
    def composition(self) -> float:
        """Of all prompts, every expert counted alike."""
        return fmean(self.whole.values())


def score(composition: Composition, arithmetic: Arithmetic, prompts: int) -> Scores:
    """Answers to ``prompts`` held-out prompts of every expert's task."""
    counts: dict[str, int] = {}
    routed, expert, whole = (dict.fromkeys(composition.experts, 0.0) for _ in range(3))
    for name, member in composition.experts.items():
        examples = held_out(task(member.task), prompts)
        counts[name] = len(examples)
        own = _right(composition, member.model, examples, arithmetic)
        chosen = route(composition, [e.prompt for e in examples], arithmetic)
        strays = [i for i, other in enumerate(chosen) if other is not member]
        together = list(own)  # the same model on the same prompt gives the same answer
        for i in strays:
            other = chosen[i]
            together[i] = other is not None and _right(composition, other.model, [examples[i]], arithmetic)[0]
        routed[name] = 1 - len(strays) / len(examples)
        expert[name], whole[name] = fmean(own), fmean(together)
    return Scores(counts, routed, expert, whole)


def _right(composition: Composition, model: Model, examples: list[Example], arithmetic: Arithmetic) -> list[bool]:
    tokenizer = composition.tokenizer
    limit = max(len(e.answer) for e in examples) + 1
    answers = generate(model, arithmetic, [tokenizer.encode(e.prompt) for e in examples], limit, tokenizer.stops)
    return [tokenizer.decode(answer) == e.answer for answer, e in zip(answers, examples, strict=True)]
