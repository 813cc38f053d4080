"""Latencies that several parts of a PCU agree on."""

from hdl.params import ArithParams, PCUParams


def operation_latency(arith: ArithParams) -> int:
    """Latency of every operation: that of the slowest unit; the others wait."""
    return max(arith.add, arith.multiply, arith.compare, arith.convert, arith.integer)


def level_latency(params: PCUParams) -> int:
    """Latency of one level of the tree, and of the accumulation over time: that of the adder; the others wait."""
    return max(params.arith.add, params.arith.compare, 1)


def place_bits(params: PCUParams) -> range:
    """The accumulators of one unit: a slot's for each lane that it serves, lanes first."""
    return range(params.interleave * params.passes)
