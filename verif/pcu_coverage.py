"""Functional coverage of the PCU: every meaningful value of every configuration field, with and without stalls.

A bin is (field, value, stalls); elements of an array count as one field. A field counts only where it is in use: a port
that is enabled, a step of the tail that is used, stages in SIMD mode, the systolic fields in systolic mode.
"""

import enum
from collections.abc import Iterator, Sequence
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from hdl.config import unpack
from hdl.params import PCUParams
from hdl.pcu.config import Mode, pcu_layout
from hdl.pcu.manual import fields
from verif.streams import Stalls

STALLS = ("none", "input", "output")
MOST_BITS = 5  # wider fields are numbers, whose values the operand generators see to

Bin = tuple[str, int, str]

_SWITCHES = ("enable", "use")
_ONLY_IN = {"stages": Mode.SIMD, "reduce": Mode.SIMD, "side": Mode.SIMD, "systolic": Mode.SYSTOLIC}
_IMPOSSIBLE = {("systolic.rows", 0)}  # a systolic program has a row


def universe(params: PCUParams) -> set[Bin]:
    """All bins there are."""
    values = {(name, value) for name, shape in fields(pcu_layout(params)) for value in _values(shape)}
    return {(name, value, stalls) for name, value in values - _IMPOSSIBLE for stalls in STALLS}


def _values(shape: Any) -> Sequence[int]:
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return [member.value for member in shape]
    if isinstance(shape, range):
        return shape
    width = Shape.cast(shape).width
    return range(1 << width) if width <= MOST_BITS else ()


def hit(params: PCUParams, words: Sequence[int], gaps: Stalls, pressure: Stalls) -> set[Bin]:
    """The bins that one run of a program falls into."""
    kinds = [kind for kind, stalls in (("input", gaps), ("output", pressure)) if stalls.pattern] or ["none"]
    config = unpack(pcu_layout(params), words)
    mode = Mode(config.mode)
    found = set(_walk(config, pcu_layout(params), "", mode))
    return {(name, value, kind) for name, value in found for kind in kinds}


def _walk(value: Any, layout: data.Layout, path: str, mode: Mode) -> Iterator[tuple[str, int]]:
    names = [key for key, _ in layout]
    for switch in _SWITCHES:
        if switch in names and not value[switch]:
            yield f"{path}.{switch}", 0
            return
    for key, field in layout:
        if _ONLY_IN.get(str(key), mode) is not mode and not path:
            continue
        name = f"{path}[]" if isinstance(layout, data.ArrayLayout) else f"{path}.{key}" if path else str(key)
        if isinstance(field.shape, data.Layout):
            yield from _walk(value[key], field.shape, name, mode)
        else:
            element = value[key]
            yield name, int(getattr(element, "value", element))
