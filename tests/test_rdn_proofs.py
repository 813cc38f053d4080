"""Flow control of a link and fairness of the arbiter, proved."""

import pytest

from verif.formal import ProofError, prove
from verif.proofs.rdn import FairnessSpecification, LinkSpecification


@pytest.mark.parametrize("cycles", [0, 2])
def test_every_place_of_a_channel_is_free_on_its_way_or_taken_and_none_overflows(cycles: int) -> None:
    prove(LinkSpecification(cycles), f"rdn_link_{cycles}", depth=3)


def test_the_proof_fails_with_one_credit_too_many() -> None:
    with pytest.raises(ProofError):
        prove(LinkSpecification(0, too_many=1), "rdn_link_too_many", mode="bmc", depth=10)


def test_whoever_asks_loses_at_most_to_each_other_once() -> None:
    prove(FairnessSpecification(4), "rdn_fairness_4", depth=2)


def test_the_proof_fails_if_a_winner_keeps_its_place() -> None:
    with pytest.raises(ProofError):
        prove(FairnessSpecification(4, forgetful=True), "rdn_fairness_forgetful", mode="bmc", depth=10)
