"""The campaign of a whole socket: random legal programs, on golden and RTL."""

import sys
from collections.abc import Sequence
from functools import partial

from hdl.params import TEST
from verif.campaign import Part, Result, Shard
from verif.machine import RTLMachine
from verif.random_programs import MemoryDifferenceError, campaign

PROGRAMS = 50  # a shard
SHARDS = 6


def parts() -> list[Part]:
    """Random programs on the ``test`` socket."""
    shards = [Shard(f"seed_{k}", partial(_programs, k)) for k in range(SHARDS)]
    return [Part("socket", "random programs", shards, _figures, _failures)]


def _programs(seed: int) -> Result:
    """Programs that were run, and one mismatch if a counter-example was found, which is then printed."""
    try:
        return {"programs": campaign(RTLMachine(TEST), PROGRAMS, seed), "mismatches": 0}
    except MemoryDifferenceError as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return {"programs": 0, "mismatches": 1}


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "random_programs": sum(r["programs"] for r in results),
        "random_program_mismatches": sum(r["mismatches"] for r in results),
    }


def _failures(results: Sequence[Result]) -> list[str]:
    return ["a random program leaves another memory, see above" for r in results if r["mismatches"]]
