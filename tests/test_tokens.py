"""Token counters, the hand-over of buffers and the bounds of accesses, proved."""

import pytest

from hdl.params import PMUParams
from verif.formal import ProofError, prove
from verif.proofs.handover import CreditSpecification, HandoverSpecification, TokenSpecification
from verif.proofs.regions import RegionSpecification


def test_tokens_are_neither_made_nor_lost() -> None:
    prove(TokenSpecification(), "tokens", mode="prove", depth=2)


def test_places_are_neither_made_nor_lost_and_what_is_said_of_them_is_so() -> None:
    prove(CreditSpecification(), "credits", mode="prove", depth=2)


def test_the_proof_fails_if_places_are_taken_that_are_not_there() -> None:
    with pytest.raises(ProofError):
        prove(CreditSpecification(heedless=True), "credits_heedless", mode="bmc", depth=6)


@pytest.mark.parametrize("buffers", [1, 2, 3])
def test_a_buffer_is_free_or_full_or_held_by_one_side_whatever_the_timing(buffers: int) -> None:
    prove(HandoverSpecification(buffers), f"handover_{buffers}", mode="prove", depth=2)


def test_the_proof_fails_if_the_writer_is_told_of_one_buffer_too_many() -> None:
    with pytest.raises(ProofError):
        prove(HandoverSpecification(2, too_many=1), "handover_too_many", mode="bmc", depth=8)


def test_every_lane_asks_for_its_own_bank_and_never_for_a_row_outside_the_region() -> None:
    prove(RegionSpecification(PMUParams(lanes=4, rows=16, groups=2)), "regions_4", mode="bmc", depth=3)
