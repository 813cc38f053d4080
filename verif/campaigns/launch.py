"""The campaign of the host block: damaged bitstreams, random command lists, planted defects."""

import sys
from collections.abc import Sequence
from functools import partial

import numpy as np

from verif.benches.host import Rig, machine
from verif.benches.host_corruptions import campaign
from verif.benches.host_launch import check_random_list
from verif.campaign import Part, Result, Shard
from verif.campaigns.launch_defects import DEFECTS
from verif.defects import Defect, caught

CORRUPTIONS = 1_000  # a shard
LISTS = 500
SHARDS = 6


def parts() -> list[Part]:
    """What the host block adds to ``make verify ONLY=socket``."""
    corruptions = [Shard(f"corruptions_{k}", partial(_corruptions, k)) for k in range(SHARDS)]
    lists = [Shard(f"lists_{k}", partial(_lists, k)) for k in range(2)]
    defects = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return [
        Part("socket", "bitstreams", corruptions, _corruption_figures, _corruption_failures),
        Part("socket", "command_lists", lists, lambda _: {}, _list_failures),
        Part("socket", "host_defects", defects, lambda _: {}, _defect_failures),
    ]


def _corruptions(shard: int) -> Result:
    tally = campaign(Rig(machine()), np.random.default_rng(shard), CORRUPTIONS)
    for sentence in tally.harmful:
        print(f"seed {shard}, {sentence}", file=sys.stderr)
    return {"tried": tally.tried, "refused": tally.refused, "harmful": len(tally.harmful)}


def _corruption_figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "bitstream_corruptions_tried": sum(r["tried"] for r in results),
        "bitstream_corruptions_harmful": sum(r["harmful"] for r in results),
    }


def _corruption_failures(results: Sequence[Result]) -> list[str]:
    return ["a damaged bitstream did harm, see above" for r in results if r["harmful"]]


def _lists(shard: int) -> Result:
    """Random command lists, and how many left something else than the golden model."""
    rig, wrong = Rig(machine()), 0
    for k in range(LISTS):
        sentence = check_random_list(rig, np.random.default_rng([shard, k]))
        if sentence:
            print(f"command list of seed [{shard}, {k}]: {sentence}", file=sys.stderr)
            wrong += 1
    return {"lists": LISTS, "wrong": wrong}


def _list_failures(results: Sequence[Result]) -> list[str]:
    return ["a command list differs from the golden model, see above" for r in results if r["wrong"]]


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
