"""How many held-out prompts of a task a model answers rightly, in the machine's arithmetic."""

from dataclasses import dataclass
from itertools import islice

from coe_mapping.graph.run import generate
from coe_mapping.models.model import Model
from coe_mapping.models.tasks import Example, Task
from coe_mapping.models.tokenizer import Tokenizer
from golden_model.operators import Arithmetic

HELD_OUT_SEED = 0


@dataclass(frozen=True)
class Score:
    """Held-out prompts, how many answers were right, and some of the prompts missed with the answers given."""

    prompts: int
    right: int
    misses: tuple[tuple[Example, str], ...]

    @property
    def exact_match(self) -> float:
        return self.right / self.prompts


def held_out(task: Task, prompts: int) -> list[Example]:
    """So many distinct held-out examples, always the same, or as many as turn up in twice as many draws."""
    drawn = {e.prompt: e for e in islice(task.examples(HELD_OUT_SEED, held_out=True), 2 * prompts)}
    return list(drawn.values())[:prompts]


def exact_match(model: Model, tokenizer: Tokenizer, task: Task, arithmetic: Arithmetic, prompts: int) -> Score:
    """Greedy answers to ``prompts`` held-out prompts, compared letter by letter."""
    examples = held_out(task, prompts)
    ids = [tokenizer.encode(e.prompt) for e in examples]
    limit = max(len(e.answer) for e in examples) + 1
    answers = [tokenizer.decode(a) for a in generate(model, arithmetic, ids, limit, tokenizer.stops)]
    misses = [(e, a) for e, a in zip(examples, answers, strict=True) if not task.is_correct(e.prompt, a)]
    return Score(len(examples), len(examples) - len(misses), tuple(misses[:5]))
