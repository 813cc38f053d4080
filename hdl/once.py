"""Blocks that are emitted once and instantiated everywhere.

Amaranth makes a module of every instance, so a design with hundreds of equal cells takes minutes to convert and to
compile. ``once(Cell, params)`` stands for ``Cell(params)`` with the same ports, but is an ``Instance`` of one module
that :func:`hdl.verilog.emit` adds to the text. Amaranth's own simulator cannot run it.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal
from amaranth.lib import wiring

_made: dict[str, wiring.Component] = {}
_files: dict[str, Path] = {}
_wanted: dict[str, wiring.Component] = {}


class Once(wiring.Component):
    """``component`` by reference; made by :func:`once`. Module names carry a digest of class and arguments."""

    def __init__(self, name: str, component: wiring.Component) -> None:
        self.name, self.component = name, component
        for part in (component, *vars(component).values()):
            if isinstance(part, wiring.Component):
                part._MustUse__silence = True  # kept text needs no elaboration
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
    name = once_name(make, *arguments, **options)
    if name not in _made:
        _made[name] = make(*arguments, **options)
        _files[name] = Path(inspect.getfile(make))
    return Once(name, _made[name])


def once_name(make: Callable[..., wiring.Component], *arguments: Any, **options: Any) -> str:
    """The module that :func:`once` stands for with the same arguments."""
    key = f"{make.__module__}.{make.__qualname__}{arguments!r}{sorted(options.items())!r}"
    return f"{make.__name__.lower()}_{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def source_file(name: str) -> Path:
    """Where the class of the block ``name`` is written."""
    return _files[name]


@dataclass(frozen=True)
class Text:
    """The RTLIL of one component and what is below it; ``uses``: the components it stands for by instances."""

    name: str
    rtlil: str
    uses: Mapping[str, wiring.Component]


def convert(component: wiring.Component, name: str) -> Text:
    """``component`` as module ``name``."""
    with _collecting() as wanted:
        text = rtlil.convert(component, name=name, emit_src=False)
        return Text(name, text, dict(wanted))


@contextmanager
def _collecting() -> Iterator[dict[str, wiring.Component]]:
    _wanted.clear()
    try:
        yield _wanted
    finally:
        _wanted.clear()
