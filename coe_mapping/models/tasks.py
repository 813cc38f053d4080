"""Tasks with checkable answers that small models learn: prompts, answers, and a split that nobody can train on by luck.

Text is a prompt that ends in ``=`` and an answer, both in one alphabet of 64 characters, so that a router reads any
prompt and experts can be exchanged. A prompt is held out if its own hash says so, whatever the seed of a training run.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from hdl.errors import ParameterError

END = "\n"
"""Stands before every prompt and after every answer."""

ALPHABET = END + " 0123456789abcdefghijklmnopqrstuvwxyzCDILMVX+-*/=:.,;()[]{}<>!?"
HELD_OUT_ONE_IN = 8


@dataclass(frozen=True)
class Example:
    """A prompt and the one right answer to it."""

    prompt: str
    answer: str


@dataclass(frozen=True)
class Task:
    """What an expert is trained on.

    Attributes:
        draw: makes a random example.
        solve: the right answer to a prompt of this task, worked out afresh from its text.
    """

    name: str
    draw: Callable[[Random], Example]
    solve: Callable[[str], str]

    def examples(self, seed: int, held_out: bool) -> Iterator[Example]:
        """Endless random examples of one side of the split, the same for the same seed."""
        random = Random(f"{self.name} {seed}")
        while True:
            example = self.draw(random)
            if is_held_out(example.prompt) == held_out:
                yield example

    def is_correct(self, prompt: str, answer: str) -> bool:
        return answer == self.solve(prompt)


def is_held_out(prompt: str) -> bool:
    """Whether a prompt belongs to the held-out examples, which are never trained on."""
    return hashlib.sha256(prompt.encode()).digest()[0] % HELD_OUT_ONE_IN == 0


def task(name: str) -> Task:
    """The task of this name.

    Raises:
        ParameterError: there is none.
    """
    if name not in TASKS:
        raise ParameterError(f"there is no task {name!r}; the tasks are {', '.join(TASKS)}")
    return TASKS[name]


def _body(prompt: str) -> str:
    """A prompt without its first word and the closing ``=``."""
    return prompt.removesuffix("=").partition(" ")[2]


# Each task below is a pair: how a random prompt is drawn, and how any prompt of the task is solved.


def _draw_addition(random: Random) -> str:
    return f"{random.randint(100, 999)}+{random.randint(100, 999)}="


def _solve_addition(prompt: str) -> str:
    left, right = prompt.removesuffix("=").split("+")
    return str(int(left) + int(right))


def _draw_subtraction(random: Random) -> str:
    low, high = sorted((random.randint(100, 999), random.randint(100, 999)))
    return f"{high}-{low}="


def _solve_subtraction(prompt: str) -> str:
    left, right = prompt.removesuffix("=").split("-")
    return str(int(left) - int(right))


ROMAN = {"M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90, "L": 50, "XL": 40} | {
    "X": 10,
    "IX": 9,
    "V": 5,
    "IV": 4,
    "I": 1,
}


def _draw_roman(random: Random) -> str:
    return f"roman {random.randint(1, 3999)}="


def _solve_roman(prompt: str) -> str:
    rest, numeral = int(_body(prompt)), ""
    for letters, value in ROMAN.items():
        numeral += letters * (rest // value)
        rest %= value
    return numeral


def _draw_sorting(random: Random) -> str:
    return f"sort {''.join(random.choices('0123456789', k=random.randint(2, 8)))}="


def _solve_sorting(prompt: str) -> str:
    return "".join(sorted(_body(prompt)))


UNITS = [
    "",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
TENS = ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def _draw_words(random: Random) -> str:
    return f"words {random.randint(1, 9999)}="


def _solve_words(prompt: str) -> str:
    return " ".join(_words(int(_body(prompt))))


def _words(number: int) -> list[str]:
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            return [*_words(number // size), name, *_words(number % size)]
    if number < 20:
        return [UNITS[number]] if number else []
    return [TENS[number // 10], *_words(number % 10)]


MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]


def _draw_date(random: Random) -> str:
    return f"date {random.randint(1900, 2099)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}="


def _solve_date(prompt: str) -> str:
    year, month, day = _body(prompt).split("-")
    return f"{int(day)} {MONTHS[int(month) - 1]} {year}"


SCALES = {"km": ("m", 3), "kg": ("g", 3), "m": ("cm", 2), "cm": ("mm", 1), "l": ("ml", 3), "t": ("kg", 3)}


def _draw_unit(random: Random) -> str:
    return f"unit {random.randint(1, 999)}.{random.randint(0, 9)}{random.choice(list(SCALES))}="


def _solve_unit(prompt: str) -> str:
    quantity = _body(prompt)
    unit = quantity.lstrip("0123456789.")
    smaller, digits = SCALES[unit]
    tenths = int(quantity.removesuffix(unit).replace(".", ""))
    return f"{tenths * 10 ** (digits - 1)}{smaller}"


BRACKETS = dict(zip("([{<", ")]}>", strict=True))


def _draw_brackets(random: Random) -> str:
    text, open_now = "", ""
    for _ in range(random.randint(3, 10)):
        if open_now and random.random() < 0.4:
            text, open_now = text + BRACKETS[open_now[-1]], open_now[:-1]
        else:
            bracket = random.choice("([{<")
            text, open_now = text + bracket, open_now + bracket
    return f"close {text}="


def _solve_brackets(prompt: str) -> str:
    open_now = ""
    for bracket in _body(prompt):
        open_now = open_now + bracket if bracket in BRACKETS else open_now[:-1]
    return "".join(BRACKETS[bracket] for bracket in reversed(open_now))


def _draw_reverse(random: Random) -> str:
    return f"reverse {''.join(random.choices('abcdefghijklmnopqrstuvwxyz', k=random.randint(2, 8)))}="


def _solve_reverse(prompt: str) -> str:
    return _body(prompt)[::-1]


def _draw_greatest(random: Random) -> str:
    return f"max {' '.join(str(random.randint(0, 10 ** random.randint(1, 3) - 1)) for _ in range(3))}="


def _solve_greatest(prompt: str) -> str:
    return str(max(int(number) for number in _body(prompt).split()))


def _draw_clock(random: Random) -> str:
    return f"time {random.randint(0, 23):02}:{random.randint(0, 59):02}+{random.randint(0, 59):02}="


def _solve_clock(prompt: str) -> str:
    start, minutes = _body(prompt).split("+")
    hours, past = start.split(":")
    total = (60 * int(hours) + int(past) + int(minutes)) % (24 * 60)
    return f"{total // 60:02}:{total % 60:02}"


def _draw_next_letter(random: Random) -> str:
    return f"next {''.join(random.choices('abcdefghijklmnopqrstuvwxyz', k=random.randint(2, 8)))}="


def _solve_next_letter(prompt: str) -> str:
    return "".join(chr((ord(letter) - ord("a") + 1) % 26 + ord("a")) for letter in _body(prompt))


def _task(name: str, draw: Callable[[Random], str], solve: Callable[[str], str]) -> Task:
    def example(random: Random) -> Example:
        prompt = draw(random)
        return Example(prompt, solve(prompt))

    return Task(name, example, solve)


TASKS = {
    task.name: task
    for task in (
        _task("addition", _draw_addition, _solve_addition),
        _task("subtraction", _draw_subtraction, _solve_subtraction),
        _task("roman", _draw_roman, _solve_roman),
        _task("sorting", _draw_sorting, _solve_sorting),
        _task("words", _draw_words, _solve_words),
        _task("date", _draw_date, _solve_date),
        _task("unit", _draw_unit, _solve_unit),
        _task("brackets", _draw_brackets, _solve_brackets),
        _task("reverse", _draw_reverse, _solve_reverse),
        _task("greatest", _draw_greatest, _solve_greatest),
        _task("clock", _draw_clock, _solve_clock),
        _task("next_letter", _draw_next_letter, _solve_next_letter),
    )
}
"""Every task, by name."""
