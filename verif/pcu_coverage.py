"""Functional coverage of the PCU: every meaningful value of every configuration field, with and without stalls.

A bin is (field, value, stalls). Every port counts by itself; the stages of the body, and the counters of the chain,
count as one. A field counts only where it is in use: a port that is enabled, a step of the tail that is used, the
exchange of a stage that has an exchanged operand, stages in SIMD mode, the systolic fields in systolic mode. Fields
wider than :data:`MOST_BITS` are numbers, whose values the operand generators see to.
"""

import enum
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from hdl.config import unpack
from hdl.params import PCUParams
from hdl.pcu.config import COUNTERS, Mode, Operation, Source, pcu_layout
from verif.streams import Stalls

STALLS = ("none", "input", "output")
MOST_BITS = 6

Bin = tuple[str, str, str]

_MERGED = ("stages", "chain.counters")
_MASKS = ("group.counters", "sequence.counters")
_ROUNDS = {"chain.rounds": ("one", "several")}
_SWITCHES = ("enable", "use")
_MODES = {
    "stages": Mode.SIMD,
    "reduce": Mode.SIMD,
    "side": Mode.SIMD,
    "tail.register": Mode.SIMD,
    "group.running": Mode.SIMD,
    "systolic": Mode.SYSTOLIC,
    "tail.mask.by_stage": Mode.SYSTOLIC,
}
_IMPOSSIBLE = {("systolic.rows", "0")}  # a systolic program has a row


def universe(params: PCUParams) -> set[Bin]:
    """All bins there are on a PCU of these sizes."""
    values = {(name, value) for name, shape in _leaves(pcu_layout(params), "") for value in _values(name, shape)}
    return {(name, value, stalls) for name, value in values - _IMPOSSIBLE for stalls in STALLS}


def hit(params: PCUParams, words: Sequence[int], gaps: Stalls, pressure: Stalls) -> set[Bin]:
    """The bins that one run of a program falls into."""
    kinds = [kind for kind, stalls in (("input", gaps), ("output", pressure)) if stalls.pattern] or ["none"]
    config, layout = unpack(pcu_layout(params), words), pcu_layout(params)
    found = set(_used(config, layout, "", Mode(config.mode)))
    return {(name, value, kind) for name, value in found for kind in kinds}


def save(bins: Iterable[Bin], file: Path) -> None:
    """Writes bins for :func:`load`."""
    file.write_text(json.dumps(sorted(bins)))


def load(files: Iterable[Path]) -> set[Bin]:
    """The bins of all these files together."""
    return {(name, value, stalls) for file in files for name, value, stalls in json.loads(file.read_text())}


def report(params: PCUParams, covered: Collection[Bin]) -> str:
    """How many of the bins are covered, and every hole, field by field."""
    bins = universe(params)
    holes = defaultdict(list)
    for name, value, stalls in sorted(bins - set(covered)):
        holes[name].append(f"{value} ({stalls})")
    lines = [f"{len(bins & set(covered))} of {len(bins)} bins"]
    return "\n".join([*lines, *(f"  hole: {name} = {', '.join(values)}" for name, values in holes.items())])


def share(params: PCUParams, covered: Collection[Bin]) -> float:
    """The covered part of the bins."""
    bins = universe(params)
    return len(bins & set(covered)) / len(bins)


def _path(path: str, layout: data.Layout, key: Any) -> str:
    if isinstance(layout, data.ArrayLayout):
        return f"{path}[]" if path in _MERGED else f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


def _leaves(layout: data.Layout, path: str) -> Iterator[tuple[str, Any]]:
    """Path and shape of every field."""
    for key, field in layout:
        name = _path(path, layout, key)
        if isinstance(field.shape, data.Layout):
            yield from _leaves(field.shape, name)
        else:
            yield name, field.shape


def _values(name: str, shape: Any) -> Sequence[str]:
    """The meaningful values of a field."""
    if _is_enum(shape):
        return [member.name for member in shape]
    if name in _MASKS:
        return [f"{state} {counter}" for counter in range(COUNTERS) for state in ("with", "without")]
    if name in _ROUNDS:
        return _ROUNDS[name]
    if isinstance(shape, range):
        return [str(value) for value in shape]
    width = Shape.cast(shape).width
    return [str(value) for value in range(1 << width)] if width <= MOST_BITS else ()


def _is_enum(shape: Any) -> bool:
    return isinstance(shape, type) and issubclass(shape, enum.Enum)


def _used(value: Any, layout: data.Layout, path: str, mode: Mode) -> Iterator[tuple[str, str]]:
    """Field and value of everything in use."""
    names = [key for key, _ in layout]
    for switch in _SWITCHES:
        if switch in names and not value[switch]:
            yield _path(path, layout, switch), "0"
            return
    for key, field in layout:
        name = _path(path, layout, key)
        if _MODES.get(name, mode) is not mode or (key == "exchange" and not _exchanges(value)):
            continue
        if name == "chain.counters":
            for counter in range(int(value.depth)):
                yield from _used(value[key][counter], field.shape.elem_shape, f"{name}[]", mode)
        elif isinstance(field.shape, data.Layout):
            yield from _used(value[key], field.shape, name, mode)
        elif key != "condition" or Operation(value.operation) is Operation.SELECT:
            number = int(getattr(value[key], "value", value[key]))
            meaningful = _values(name, field.shape)
            yield from ((name, named) for named in _named(name, field.shape, number) if named in meaningful)


def _named(name: str, shape: Any, number: int) -> list[str]:
    """What a number in this field is called; of a mask, every bit by itself."""
    if name in _MASKS:
        return [f"{'with' if number >> counter & 1 else 'without'} {counter}" for counter in range(COUNTERS)]
    if name in _ROUNDS:
        return [_ROUNDS[name][number > 1]]
    return [shape(number).name if _is_enum(shape) else str(number)]


def _exchanges(stage: Any) -> bool:
    return Source.EXCHANGED in (Source(stage.a), Source(stage.b))
