"""Formal specifications, and the proofs of the arithmetic by name: what ``make verify`` runs."""

from collections.abc import Callable
from functools import partial

from amaranth.lib import wiring

from verif.formal import Proof, prove
from verif.proofs import units

SPECIFICATIONS: dict[str, Callable[[], wiring.Component]] = {
    "multiply_bf16": units.multiply_bf16,
    "fp32_to_bf16": units.fp32_to_bf16,
    "compare_fp32": units.compare_fp32,
    "int32_to_int8": units.int32_to_int8,
    "lfsr_leap": units.LeapSpecification,
}


def _of_every_operand(name: str) -> Proof:
    """A unit of depth one has shown all it can do after two cycles."""
    return prove(SPECIFICATIONS[name](), name, mode="bmc", depth=2)


PROOFS: dict[str, Callable[[], Proof]] = {name: partial(_of_every_operand, name) for name in SPECIFICATIONS}
