"""The bandwidth model: how many cycles a program takes, and what limits it, from its loops alone.

A unit turns the curves of its inputs (:mod:`coe_mapping.curves`) into those of its outputs: an iteration is issued when
its operands are there and the unit's rate allows, results come a latency later, a stage buffer gives a block when all
of it has come. Memory is one queue that serves beats in the order they are asked for, as fast as all its channels
together. So blocks overlap as they do in the machine, and the fill is the way of the first results (Baccelli et al.,
"Synchronization and linearity", 1992).

What flows backwards (a full FIFO, a stage buffer not yet free, stores in memory's queue) is taken from the pass before,
and passes are repeated until the end stays where it is. In the first passes nobody queues for memory: streams that do
not know yet when their data will be taken would all ask at once, and it takes many passes to forget the queue.
"""

from collections.abc import Sequence

from coe_mapping.bandwidth.launch import PASSES, SAMPLES, Launch
from coe_mapping.bandwidth.prediction import Busy, Prediction, table
from coe_mapping.bandwidth.timing import Timing
from coe_mapping.program import Program
from coe_mapping.routing import Route
from hdl.params import RDUParams

__all__ = ["Busy", "Prediction", "Timing", "bound", "launch_overhead", "predict", "table"]


def predict(
    params: RDUParams,
    program: Program,
    *,
    routes: Sequence[Route] = (),
    timing: Timing | None = None,
    samples: int = SAMPLES,
    passes: int = PASSES,
) -> Prediction:
    """What a launch of ``program`` takes that is loaded already.

    Args:
        routes: of its streams; without them all are of average length.
        samples, passes: beats of a stream whose times are kept, and passes at most. 200 and 2 do to compare programs.

    Raises:
        ParameterError: a loop takes its limit from a stream.
    """
    return Launch(params, program, routes, timing or Timing(), samples).predict(passes)


def bound(params: RDUParams, program: Program) -> float:
    """Cycles of the busiest resource, which no prediction is below; quick."""
    return max(Launch(params, program, (), Timing(), 1).busy.values())


def launch_overhead(
    params: RDUParams, words: int, arguments: int = 0, *, host: bool, timing: Timing | None = None
) -> float:
    """Cycles to load a program and to begin it, if nothing of that overlaps a kernel.

    Args:
        words: of the bitstream. arguments: of the argument list; none are loaded if there are none.
        host: the load, and then arguments, execute and wait together, come from the host; else each of the four from a
            command list in memory.
    """
    t = timing or Timing()
    commands = 2 * params.host.launch_latency if host else 4 * t.command
    return commands + sum(t.load + t.word * count for count in (words, arguments) if count)
