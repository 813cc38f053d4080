"""Tasks: right answers, one alphabet, and a split that no seed can cross."""

from itertools import islice

import pytest

from coe_mapping.models.tasks import ALPHABET, TASKS, is_held_out, task
from hdl.errors import ParameterError

KNOWN = {
    "addition": ("999+101=", "1100"),
    "subtraction": ("500-123=", "377"),
    "roman": ("roman 1994=", "MCMXCIV"),
    "sorting": ("sort 30912=", "01239"),
    "words": ("words 7019=", "seven thousand nineteen"),
    "date": ("date 2024-03-07=", "7 march 2024"),
    "unit": ("unit 37.5km=", "37500m"),
    "brackets": ("close ([]{<=", ">})"),
    "reverse": ("reverse hello=", "olleh"),
    "greatest": ("max 42 917 33=", "917"),
    "clock": ("time 23:45+50=", "00:35"),
    "next_letter": ("next xyz=", "yza"),
}


@pytest.mark.parametrize("name", TASKS)
def test_the_answer_to_a_known_prompt_is_right(name: str) -> None:
    prompt, answer = KNOWN[name]
    assert task(name).solve(prompt) == answer
    assert task(name).is_correct(prompt, answer)
    assert not task(name).is_correct(prompt, answer + "1")


@pytest.mark.parametrize("name", TASKS)
def test_examples_use_the_alphabet_and_carry_the_right_answer(name: str) -> None:
    for example in islice(task(name).examples(3, held_out=False), 300):
        assert set(example.prompt + example.answer) <= set(ALPHABET[1:])
        assert example.prompt.endswith("=")
        assert task(name).is_correct(example.prompt, example.answer)
        assert not is_held_out(example.prompt)


def test_held_out_prompts_are_never_trained_on_whatever_the_seed() -> None:
    held_out = {e.prompt for e in islice(task("roman").examples(1, held_out=True), 2000)}
    trained = {e.prompt for seed in (1, 2) for e in islice(task("roman").examples(seed, held_out=False), 20000)}
    assert not held_out & trained
    assert 3999 / 8 * 0.7 < len(held_out) < 3999 / 8 * 1.3


def test_a_seed_gives_the_same_examples_again() -> None:
    first, again, other = (list(islice(task("date").examples(seed, held_out=False), 5)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_an_unknown_task_is_refused_with_the_list_of_tasks() -> None:
    with pytest.raises(ParameterError, match="there is no task 'chess'; the tasks are addition, subtraction, roman"):
        task("chess")


def test_the_alphabet_has_64_different_letters() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 64
