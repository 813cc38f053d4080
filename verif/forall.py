"""Hypothesis in a live simulation: one simulator process, hundreds of examples, real shrinking.

::

    @cocotb.test()
    async def it_saturates(dut):
        bench = await Bench.start(dut, design)

        async def check(a: int, b: int) -> None:
            await bench.reset()                      # the block, not the simulator
            bench.send("i", [{"a": a, "b": b}])
            bench.expect("o", [min(a + b, 255)])
            await bench.finish()

        await forall(check, a=st.integers(0, 255), b=st.integers(0, 255))

Hypothesis runs in a thread of its own; every example is a coroutine of the bench. Generation, not simulation, is what
takes time: an example that is one or a few integers is five times cheaper than one of many draws, so encode operands
such that small integers mean simple values.
"""

import os
import random
from collections.abc import Callable, Coroutine
from typing import Any

from cocotb.task import bridge, resume
from cocotb.triggers import Trigger
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from verif.streams.payload import width
from verif.streams.stalls import Stalls

QUICK = "OPENRDU_NO_SHRINK"
"""Environment variable: set, the first failure is enough, as when only the verdict counts."""

RUN = 10
"""Examples that Hypothesis draws afresh. Of those after them it makes five in six from an earlier one by repeating
parts of it: here, where each is simulated, 200 programs were some 40 different ones."""


class CounterexampleError(AssertionError):
    """The smallest arguments found for which a check fails.

    ``arguments`` are those of the check, ``seed`` finds them again, ``examples`` counts the calls until the first
    failure.
    """

    def __init__(self, check: str, arguments: dict[str, Any], seed: int, examples: int, error: Exception) -> None:
        self.arguments, self.seed, self.examples = arguments, seed, examples
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        super().__init__(
            f"{check} fails for {shown}\n{error}\n"
            f"found after {examples} examples; find it again with HYPOTHESIS_SEED={seed}, or seed={seed} in the call"
        )


async def forall(
    check: Callable[..., Coroutine[Trigger, None, None]],
    *,
    examples: int = 200,
    seed: int | None = None,
    **strategies: SearchStrategy[Any],
) -> None:
    """Calls ``check`` with drawn arguments, in the running simulation, until it fails or ``examples`` calls passed.

    Args:
        check: coroutine function with one keyword argument for each of ``strategies``; an exception is a failure.
            It must bring the design to a known state itself.
        seed: of the draws; default from ``HYPOTHESIS_SEED``, else a fresh one that derives from cocotb's random seed.

    Raises:
        CounterexampleError: ``check`` failed; the arguments are shrunk to the simplest that still fail.
    """
    if seed is None:
        seed = int(os.environ.get("HYPOTHESIS_SEED") or random.getrandbits(64))
    calls = 0
    failure: tuple[dict[str, Any], int, Exception] | None = None
    call = resume(check)

    @settings(
        max_examples=RUN,
        deadline=None,
        database=None,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate,) if os.environ.get(QUICK) else (Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(**strategies)
    def live(**arguments: Any) -> None:
        nonlocal calls, failure
        calls += 1
        try:
            call(**arguments)
        except Exception as error:
            # The last failure Hypothesis runs is the smallest; the first tells how long it took to find one.
            failure = arguments, failure[1] if failure else calls, error
            raise

    def all_runs() -> None:
        for number in range(-(-examples // RUN)):
            seeded(f"{seed}.{number}")(live)()

    try:
        await bridge(all_runs)()
    except Exception as error:
        if failure is None:
            raise
        arguments, found_after, cause = failure
        name = getattr(check, "__name__", "the check")
        raise CounterexampleError(name, arguments, seed, found_after, cause) from error


def stalls(longest: int = 16) -> SearchStrategy[Stalls]:
    """Stall patterns of up to ``longest`` cycles; the simplest is "never"."""
    return st.integers(0, (1 << longest) - 1).map(Stalls)


def payloads(shape: Any) -> SearchStrategy[int]:
    """The bits of any value of an Amaranth shape; the simplest is all zeros."""
    return st.integers(0, (1 << width(shape)) - 1)
