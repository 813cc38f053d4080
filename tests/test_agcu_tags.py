"""The tags of the AGCU, proved."""

import pytest

from verif.formal import ProofError, prove
from verif.proofs.agcu_tags import TagSpecification


def test_a_tag_has_one_owner_and_every_active_stream_can_get_one() -> None:
    prove(TagSpecification(), "agcu_tags", mode="prove", depth=2)


def test_the_proof_fails_if_a_stream_takes_a_tag_it_is_not_allowed() -> None:
    with pytest.raises(ProofError):
        prove(TagSpecification(too_few=True), "agcu_tags_greedy", mode="bmc", depth=10)
