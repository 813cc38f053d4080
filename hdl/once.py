"""Blocks that are emitted once and instantiated everywhere.

Amaranth makes a module of every instance, so a design with hundreds of equal cells takes minutes to convert and to
compile. ``once(Cell, params)`` stands for ``Cell(params)`` with the same ports, but is an ``Instance`` of one module
that :func:`hdl.verilog.emit` adds to the text. Amaranth's own simulator cannot run it.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring

_made: dict[str, wiring.Component] = {}
_wanted: dict[str, wiring.Component] = {}


class Once(wiring.Component):
    """``component`` by reference; made by :func:`once`. Module names carry a digest of class and arguments."""

    def __init__(self, name: str, component: wiring.Component) -> None:
        self.name, self.component = name, component
        self.latency = getattr(component, "latency", None)
        super().__init__(component.signature)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        _wanted[self.name] = self.component
        ports: dict[str, Any] = {}
        for path, member, value in self.signature.flatten(self):
            ports[f"{'i' if member.flow is wiring.In else 'o'}_{'__'.join(map(str, path))}"] = value
        m.submodules.module = Instance(self.name, i_clk=ClockSignal(), i_rst=ResetSignal(), **ports)
        return m


def once(make: Callable[..., wiring.Component], *arguments: Any, **options: Any) -> Any:
    """``make(*arguments, **options)``, emitted once; it must have registers that are reset."""
    key = f"{make.__module__}.{make.__qualname__}{arguments!r}{sorted(options.items())!r}"
    name = f"{make.__name__.lower()}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    if name not in _made:
        _made[name] = make(*arguments, **options)
    return Once(name, _made[name])


def modules(component: wiring.Component, name: str) -> Iterator[tuple[str, str]]:
    """(name, RTLIL) of ``component`` and of every module it stands for, each once."""
    with _collecting() as wanted:
        yield name, rtlil.convert(component, name=name, emit_src=False)
        done: set[str] = set()
        while pending := [part for part in wanted if part not in done]:
            for part in pending:
                done.add(part)
                yield part, rtlil.convert(wanted[part], name=part, emit_src=False)


@contextmanager
def _collecting() -> Iterator[dict[str, wiring.Component]]:
    _wanted.clear()
    try:
        yield _wanted
    finally:
        _wanted.clear()
