"""Cycles that the bandwidth model takes from measurements."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Cycles that do not follow from the sizes of the machine alone.

    Those of units are what the units' own counters say of kernels on the RTL of ``test``, with latencies of the
    arithmetic and of the network taken off; ``load`` and ``word`` are a line through the loads of the same kernels.
    """

    start: int = 4  # EXECUTE decoded to `start` at the units (docs/launch.md)
    finish: int = 5  # last unit done, until WAIT has seen it
    pcu_issue: int = 3  # a beat at an input to the issue of the iteration that needs it (FIFO, header)
    pcu_drain: int = 3  # last multiply-add of a tile to the tail (drain queue)
    pcu_result: int = 2  # tail to the output
    pmu_write: int = 6  # a beat at the input until it lies in its bank and the buffer is handed over
    pmu_read: int = 7  # an access to its beat at the output
    pmu_start: int = 4  # start to the first access, besides the ALU stages
    agcu_start: int = 10  # start to the first request, besides the ALU stages (docs/agcu.md)
    agcu_load: int = 5  # response to the vector at the output (reorder buffer)
    agcu_store: int = 2  # a beat at the input to the request that carries it (coalescer, data queue)
    agcu_scalar: int = 5  # a scalar or token at an AGCU to the request that waited for it
    memory_path: int = 13  # request to response besides the tier's latency: network both ways, controller
    store_cost: float = 1.4  # beats' time that a written beat takes: writes come in batches between reads
    reach: float = 0.25  # links from unit to unit where no routes are given, by rows and columns of the mesh; -1: wires
    slack: int = 8  # beats between two units besides the FIFO of the second: its neighbours, switches
    command: int = 60  # a command of a list fetched and decoded: memory's latency and some 20 (docs/launch.md)
    load: int = 258  # a program load besides its words (docs/launch.md)
    word: float = 2.0  # a word of a program in HBM, both readings together
