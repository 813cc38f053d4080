"""Composition of Experts (SN40L section III): a router, experts in DDR, the current ones in HBM, and who runs when."""

from coe_mapping.experts.composition import Composition, CompositionError, Member, read_composition
from coe_mapping.experts.residency import Expert, Region
from coe_mapping.experts.runtime import Copy, Runtime
from coe_mapping.experts.scheduler import Order, Request, Strategy

__all__ = [
    "Composition",
    "CompositionError",
    "Copy",
    "Expert",
    "Member",
    "Order",
    "Region",
    "Request",
    "Runtime",
    "Strategy",
    "read_composition",
]
