"""Traces of prompts over many experts, and the most hits that any policy could have on one."""

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np
from numpy.typing import NDArray


def zipf(experts: int, prompts: int, *, exponent: float, phases: int, seed: int) -> list[int]:
    """The expert of each prompt: the k-th most popular is drawn in proportion to ``k ** -exponent``.

    A trace has ``phases`` parts of equal length. Which experts are popular is drawn afresh in each, as the tasks of a
    day change.
    """
    rng = np.random.default_rng(seed)
    shares = np.arange(1, experts + 1, dtype=np.float64) ** -exponent
    parts = np.array_split(np.arange(prompts), phases)
    drawn = [rng.permutation(experts)[rng.choice(experts, len(part), p=shares / shares.sum())] for part in parts]
    return [int(expert) for part in drawn for expert in part]


def arrivals(prompts: int, apart: float, *, seed: int) -> NDArray[np.float64]:
    """Times of arrival, ``apart`` cycles from one to the next on average, independent of each other; 0: all at once."""
    return np.cumsum(np.random.default_rng(seed).exponential(apart, prompts)) if apart else np.zeros(prompts)


def most_hits(experts: Sequence[int | str], places: int) -> int:
    """Hits of prompts that run in this order, if the future is known and ``places`` experts of any kind fit.

    Who is needed last goes first. Source: Belady, "A study of replacement algorithms for a virtual-storage computer",
    IBM Systems Journal 5(2), 1966. No policy has more, whether it copies ahead or not, for each of its copies fetches
    one expert.
    """
    following: dict[int | str, int] = {}
    uses = [0] * len(experts)
    for number in range(len(experts) - 1, -1, -1):
        uses[number] = following.get(experts[number], len(experts))
        following[experts[number]] = number
    resident: dict[int | str, int] = {}  # with the number of the next prompt for it
    latest: list[tuple[int, int | str]] = []  # of these, and of earlier ones
    hits = 0
    for expert, use in zip(experts, uses, strict=True):
        hits += expert in resident
        while expert not in resident and len(resident) >= places:
            negative, victim = heappop(latest)
            if resident.get(victim) == -negative:
                del resident[victim]
        resident[expert] = use
        heappush(latest, (-use, expert))
    return hits
