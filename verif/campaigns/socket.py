"""The campaign of a whole socket: random legal programs, on golden and RTL; resets while it works."""

import sys
from collections.abc import Sequence
from functools import partial

from hdl.params import TEST
from verif.campaign import Part, Result, Shard
from verif.machine import RTLMachine
from verif.random_programs import DIFFERENCES, campaign
from verif.resets import interrupt

PROGRAMS = 50  # a shard
SHARDS = 6
RESETS = 20  # a shard
RESET_SHARDS = 3


def parts() -> list[Part]:
    """Random programs on the ``test`` socket, undisturbed and after resets."""
    programs = [Shard(f"seed_{k}", partial(_programs, k)) for k in range(SHARDS)]
    resets = [Shard(f"seed_{k}", partial(_resets, k)) for k in range(RESET_SHARDS)]
    return [
        Part("socket", "random programs", programs, _figures, _failures),
        Part("socket", "resets", resets, lambda _: {}, _reset_failures),
    ]


def _programs(seed: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    try:
        return {"programs": campaign(RTLMachine(TEST, tapped=True), PROGRAMS, seed), "mismatches": 0}
    except DIFFERENCES as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return {"programs": 0, "mismatches": 1}


def _resets(shard: int) -> Result:
    """Resets in the middle of loads, kernels and copies, and how many left a socket that ran a program wrong."""
    machine, wrong = RTLMachine(TEST, tapped=True), 0
    for seed in range(RESETS * shard, RESETS * (shard + 1)):
        try:
            interrupt(machine, seed)
        except AssertionError as error:
            print(f"reset of seed {seed}: {error}", file=sys.stderr)
            wrong += 1
    return {"resets": RESETS, "wrong": wrong}


def _reset_failures(results: Sequence[Result]) -> list[str]:
    return ["a program after a reset differs from the golden socket, see above" for r in results if r["wrong"]]


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "random_programs": sum(r["programs"] for r in results),
        "random_program_mismatches": sum(r["mismatches"] for r in results),
    }


def _failures(results: Sequence[Result]) -> list[str]:
    return ["a random program differs from the golden socket, see above" for r in results if r["mismatches"]]
