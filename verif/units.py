"""Runs operands through the RTL of an arithmetic unit, by the millions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from numpy.typing import ArrayLike, NDArray

from verif import operands
from verif.sim import Model, compile_python

GAPPED = 2_000
"""Operands that are also run with pauses of the unit's enable, which must change nothing."""

HELD = 32
"""Operands after which the unit is held for a while, which must show on no output."""


def results(unit: Any, name: str, **fields: ArrayLike) -> NDArray[Any]:
    """What ``unit``, built as module ``name``, gives for operands given field by field.

    One operand a cycle; the first few again with random pauses of ``en``, asserting that this makes no difference and
    that nothing moves meanwhile.
    Returns what :meth:`verif.sim.Model.stream` does: uint64, or (n, words) uint32 of wide results.
    """
    assert isinstance(unit, wiring.Component)
    model = compile_python(unit, name)
    words = operands.pack(unit.i.shape(), **fields)
    out = model.stream(words)
    first = words[:GAPPED]
    pauses = np.random.default_rng(len(first)).integers(0, 3, len(first))
    paused = model.stream(first, gaps=pauses)
    assert (paused == out[:GAPPED]).all(), f"{name}: pauses of its enable change the unit's results"
    _assert_frozen(model, name, words[:HELD])
    return out


def _assert_frozen(model: Model, name: str, words: NDArray[Any]) -> None:
    """The result stays where it is while ``en`` is low, whatever the operand."""
    numbers = [sum(int(word) << 32 * k for k, word in enumerate(np.atleast_1d(row))) for row in words]
    for number, other in zip(numbers, reversed(numbers), strict=True):
        model["en"], model["i"] = 1, number
        model.tick(4)
        held = model["o"]
        model["en"], model["i"] = 0, other
        model.tick(4)
        assert model["o"] == held, f"{name}: the result changes while the unit's enable is low"


class Bank(wiring.Component):
    """Units of one operand layout side by side, so that one build and one run test them all.

    The result is a struct of theirs by name, each delayed to the latency of the slowest.
    """

    def __init__(self, units: Mapping[str, Any]) -> None:
        self.units = dict(units)
        layouts = [unit.i.shape() for unit in self.units.values()]
        assert all(layout == layouts[0] for layout in layouts), "units of a bank take the same operands"
        self.latency = max(unit.latency for unit in self.units.values())
        results = data.StructLayout({name: unit.signature.members["o"].shape for name, unit in self.units.items()})
        super().__init__({"en": In(1), "i": In(layouts[0]), "o": Out(results)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, unit in self.units.items():
            m.submodules[name] = unit
            m.d.comb += [unit.en.eq(self.en), unit.i.eq(self.i)]
            value = unit.o
            for k in range(self.latency - unit.latency):
                delayed = Signal(unit.signature.members["o"].shape, name=f"{name}_{k}")
                with m.If(self.en):
                    m.d.sync += delayed.eq(value)
                value = delayed
            m.d.comb += self.o[name].eq(value)
        return m


def bank_results(units: Mapping[str, Any], name: str, **fields: ArrayLike) -> dict[str, NDArray[np.int64]]:
    """What each of ``units`` gives, by its name; see :func:`results` and :class:`Bank`."""
    bank = Bank(units)
    return operands.unpack(bank.o.shape(), results(bank, name, **fields))


def signed(values: ArrayLike, width: int) -> NDArray[np.int64]:
    """Two's complement words as numbers."""
    words = np.asarray(values).astype(np.int64)
    return words - ((words >> (width - 1) & 1) << width)
