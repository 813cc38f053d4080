"""Where the registers of a fixed-latency arithmetic pipeline go."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from amaranth.hdl import Module, Signal, ValueLike

from hdl.errors import ParameterError


class Cuts:
    """Register ranks of one arithmetic unit: a list of named steps, each followed by a register or by wires.

    A unit writes its datapath once as a sequence of steps and ends every step with a *cut* that lists the values
    still alive::

        cut = Cuts(m, self.en, self.STEPS, self.depth)
        s = cut("multiply", product=a * b, sign=a.sign ^ b.sign)
        s = cut("round", result=rounded(s.product), sign=s.sign)

    - The last cut is always registered, so unit outputs are registers.
    - Latency is exactly ``depth`` cycles; ``depth`` runs from 1 to the number of steps.
    - ``en`` low freezes every register of the unit: an idle unit costs nothing in simulation.

    ``weights`` (relative delay of each step, default equal) decide which cuts a shallower pipeline keeps: the choice
    whose slowest stage is the shortest.
    """

    def __init__(
        self,
        m: Module,
        en: ValueLike,
        steps: Sequence[str],
        depth: int,
        weights: Mapping[str, float] | None = None,
        unit: str = "arithmetic unit",
    ) -> None:
        check_depth(unit, depth, steps)
        self._m, self._en = m, en
        self._pending = list(steps)
        self._registered = registered_steps(steps, depth, weights)

    def __call__(self, step: str, **values: Any) -> SimpleNamespace:
        expected = self._pending.pop(0)
        assert step == expected, f"cut {step!r} out of order, expected {expected!r}"
        out = SimpleNamespace()
        for name, value in values.items():
            shape = value.shape() if hasattr(value, "shape") else None
            signal = Signal(shape if shape is not None else len(value), name=f"{step}_{name}", reset_less=True)
            setattr(out, name, signal)
            if step in self._registered:
                with self._m.If(self._en):
                    self._m.d.sync += signal.eq(value)
            else:
                self._m.d.comb += signal.eq(value)
        return out


def check_depth(unit: str, depth: int, steps: Sequence[str]) -> None:
    """Raises ParameterError unless ``depth`` is a legal number of pipeline registers for ``steps``."""
    if not 1 <= depth <= len(steps):
        cuttable = ", ".join(steps)
        raise ParameterError(
            f"{unit}: depth {depth} is not in 1..{len(steps)}, the steps it can be cut into: {cuttable}"
        )


def registered_steps(steps: Sequence[str], depth: int, weights: Mapping[str, float] | None = None) -> frozenset[str]:
    """The steps that end in a register: ``depth`` of them, the last always, the slowest stage shortest."""
    cost = [(weights or {}).get(s, 1.0) for s in steps]
    n = len(steps)
    # best[i]: (slowest stage, cuts) of the best way to cut the first i steps into as many stages as rounds so far
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ()), *([(float("inf"), ())] * n)]
    for _ in range(depth):
        best = [(float("inf"), ())] + [
            min((max(best[j][0], sum(cost[j:i])), (*best[j][1], i)) for j in range(i)) for i in range(1, n + 1)
        ]
    return frozenset(steps[i - 1] for i in best[n][1])
