"""Flow control of a peer link, proved."""

from collections.abc import Callable

import pytest
from amaranth.lib import wiring

from verif.formal import ProofError, prove
from verif.proofs.link import CreditSpecification, WindowSpecification

SPECIFICATIONS = {"credits": CreditSpecification, "window": WindowSpecification}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_no_place_is_lost_or_used_twice_and_no_packet_taken_for_another(name: str) -> None:
    prove(SPECIFICATIONS[name](), f"link_{name}", depth=2)


@pytest.mark.parametrize(
    "planted", [lambda: CreditSpecification(too_many=1), lambda: WindowSpecification(overrun=True)]
)
def test_the_proofs_fail_with_a_credit_too_many_and_with_a_packet_too_many(
    planted: Callable[[], wiring.Component],
) -> None:
    with pytest.raises(ProofError):
        prove(planted(), "link_planted", mode="bmc", depth=12)
