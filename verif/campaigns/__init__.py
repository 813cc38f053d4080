"""The long verification campaigns, block by block: what ``make verify`` runs."""

from collections.abc import Callable, Sequence

from verif.campaign import Part
from verif.campaigns import arith, pcu, pmu

BLOCKS: dict[str, Callable[[], Sequence[Part]]] = {"arith": arith.parts, "pmu": pmu.parts, "pcu": pcu.parts}
