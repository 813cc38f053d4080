"""Moving elements between lanes and banks."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value


def to_banks(lanes: Sequence[Any], start: Value) -> list[Value]:
    """Barrel rotation: bank b gets lane (b - ``start``) mod lanes."""
    return _rotated(lanes, start, -1)


def to_lanes(banks: Sequence[Any], start: Value) -> list[Value]:
    """The inverse: lane i gets bank (i + ``start``) mod lanes."""
    return _rotated(banks, start, 1)


def _rotated(values: Sequence[Any], amount: Value, direction: int) -> list[Value]:
    count, rotated = len(values), [Value.cast(v) for v in values]
    for k in range(count.bit_length() - 1):
        step = direction << k
        rotated = [Mux(amount[k], rotated[(i + step) % count], rotated[i]) for i in range(count)]
    return rotated


def permuted(m: Module, elements: Sequence[Any], table: Any) -> list[Signal]:
    """Lane i gets element ``table[i]``: any permutation, or copies."""
    source = Array(Value.cast(e) for e in elements)
    result = [Signal(len(Value.cast(e)), name=f"permuted_{i}") for i, e in enumerate(elements)]
    m.d.comb += [lane.eq(source[table[i]]) for i, lane in enumerate(result)]
    return result
