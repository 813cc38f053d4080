"""The campaign of the arithmetic: special functions exhaustively, operand tuples by the million, proofs, defects."""

from collections.abc import Callable, Sequence
from functools import partial

from verif import arith_campaign, fast_campaign, special_campaign
from verif.campaign import Part, Result, Shard
from verif.campaigns.arith_defects import DEFECTS
from verif.defects import Defect, caught
from verif.formal import Proof
from verif.proofs import PROOFS


def parts() -> list[Part]:
    """Everything ``make verify ONLY=arith`` does; what figures hang on first."""
    multiply_add, *others = arith_campaign.parts()
    return [
        multiply_add,
        _defects(),
        _proofs(),
        special_campaign.part(),
        fast_campaign.part(),
        fast_campaign.programs(),
        *others,
    ]


def _proofs() -> Part:
    """Each proof is a shard; one that fails raises, which ends the campaign with its counterexample."""
    shards = [Shard(name, partial(_proof, prove)) for name, prove in PROOFS.items()]
    return Part("arith", "proofs", shards, lambda _: {}, lambda _: [])


def _proof(prove: Callable[[], Proof]) -> Result:
    return {"proved": 1, "seconds": round(prove().seconds, 1)}


def _defects() -> Part:
    """Each planted defect is a shard: was it caught?"""
    shards = [Shard(defect.name.replace(" ", "_"), partial(_defect, defect)) for defect in DEFECTS]
    return Part("arith", "defects", shards, _defect_figures, _defect_failures)


def _defect(defect: Defect) -> Result:
    return {"caught": int(caught(defect))}


def _defect_figures(results: Sequence[Result]) -> dict[str, float]:
    return {"arith_defects_planted": len(results), "arith_defects_caught": sum(r["caught"] for r in results)}


def _defect_failures(results: Sequence[Result]) -> list[str]:
    missed = [defect.name for defect, r in zip(DEFECTS, results, strict=False) if not r["caught"]]
    return [f"the planted defect {name!r} was not caught" for name in missed]
