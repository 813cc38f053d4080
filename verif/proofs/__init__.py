"""Formal specifications, and the proofs of the arithmetic by name: what ``make verify`` runs."""

from collections.abc import Callable
from functools import partial

from amaranth.lib import wiring

from hdl.arith.add import Add
from hdl.arith.formats import BF16, FP32
from hdl.arith.multiply import Multiply
from hdl.arith.multiply_add import MultiplyAdd
from verif.formal import Proof, prove
from verif.proofs import units
from verif.proofs.sums_and_products import AddSpecification, MultiplyAddSpecification, MultiplySpecification

SPECIFICATIONS: dict[str, Callable[[], wiring.Component]] = {
    "multiply_bf16": units.multiply_bf16,
    "multiply_bf16_fp32": lambda: MultiplySpecification(Multiply(BF16, FP32, 1)),
    "multiply_add_special_values": lambda: MultiplyAddSpecification(MultiplyAdd(1)),
    "add_bf16": lambda: AddSpecification(Add(BF16, 1)),
    "fp32_to_bf16": units.fp32_to_bf16,
    "compare_fp32": units.compare_fp32,
    "int32_to_int8": units.int32_to_int8,
    "lfsr_leap": units.LeapSpecification,
}

SLOW = {"add_bf16"}
"""Proofs of a minute; the others take seconds."""


def _of_every_operand(name: str) -> Proof:
    """A unit of depth one has shown all it can do after two cycles."""
    return prove(SPECIFICATIONS[name](), name, mode="bmc", depth=2)


PROOFS: dict[str, Callable[[], Proof]] = {name: partial(_of_every_operand, name) for name in SPECIFICATIONS}
