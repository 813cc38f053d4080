"""The campaign of the mapping layer: random decoder layers on RTL, fused and operator by operator."""

import sys
from collections.abc import Callable, Sequence
from functools import partial

from hdl.params import DEMO, TEST
from verif.campaign import Part, Result, Shard
from verif.machine import RTLMachine
from verif.random_decoders import FAILURES, campaign, on_board

DECODERS = 10  # a shard
SHARDS = 3


def parts() -> list[Part]:
    """Random decoders: on the ``test`` socket as many kernels as operators, for which alone it has the units; on the
    ``demo`` socket one kernel."""
    cut = [Shard(f"operators_{k}", partial(_operators, k)) for k in range(SHARDS)]
    whole = [Shard(f"fused_{k}", partial(_fused, k)) for k in range(SHARDS)]
    return [Part("mapping", "random decoders", [*cut, *whole], _figures, _failures)]


def _operators(seed: int) -> Result:
    return _counted(lambda: campaign(RTLMachine(TEST), DECODERS, seed))


def _fused(seed: int) -> Result:
    return _counted(lambda: on_board(DEMO.name, DECODERS, seed))


def _counted(run: Callable[[], int]) -> Result:
    """Layers that ran, and one mismatch if one failed, which is then printed."""
    try:
        return {"decoders": run(), "mismatches": 0}
    except FAILURES as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return {"decoders": 0, "mismatches": 1}


def _figures(results: Sequence[Result]) -> dict[str, float]:
    return {
        "random_decoders": sum(r["decoders"] for r in results),
        "random_decoder_mismatches": sum(r["mismatches"] for r in results),
    }


def _failures(results: Sequence[Result]) -> list[str]:
    return ["a random decoder differs from the golden model, see above" for r in results if r["mismatches"]]
