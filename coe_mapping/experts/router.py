"""Which expert a prompt goes to: a small language model whose first token is the letter of the expert.

So the router runs on the kernels that the experts run on, and its answer is taken like any other token.
"""

from collections.abc import Sequence
from random import Random

from coe_mapping.experts.composition import Composition, Member
from coe_mapping.graph.run import generate
from coe_mapping.models.tasks import Example, Task
from golden_model.operators import Arithmetic


def routing_task(task: Task, letter: str) -> Task:
    """The prompts of a task, each answered with ``letter``; held out are the prompts that the task holds out."""

    def draw(random: Random) -> Example:
        return Example(task.draw(random).prompt, letter)

    return Task(task.name, draw, lambda prompt: letter)


def route(composition: Composition, prompts: Sequence[str], arithmetic: Arithmetic) -> list[Member | None]:
    """The expert of each prompt by the golden model; None where the router's letter means no expert that is there."""
    tokenizer = composition.tokenizer
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    answers = generate(composition.router, arithmetic, ids, 1, tokenizer.stops)
    return [composition.named(tokenizer.decode(answer)) for answer in answers]
