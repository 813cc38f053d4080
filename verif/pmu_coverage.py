"""Functional coverage of the PMU: every meaningful value of every configuration field, with and without stalls.

A bin is (field, value, stalls); elements of an array count as one field. A number (an extent, a constant) has the
values zero, one and more; every other field is covered value by value. A field counts only where it is in use: the
register of a predicate that is enabled, the width of an EXTRACT, the pitch of a COLUMN.
"""

import enum
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib import data

from hdl.config import unpack
from hdl.manual import fields
from hdl.params import PMUParams
from hdl.pmu.config import Addend, AddressOp, Mode, bank_shifts, pmu_layout

STALLS = ("none", "input", "output")

Bin = tuple[str, str, str]

_NUMBERS = {"limit", "stride", "constant", "low", "high", "pitch", "base", "rows", "buffers", "rounds"}
_USERS: dict[str, set[AddressOp]] = {
    "shift": {AddressOp.EXTRACT, AddressOp.SHIFT_SET, AddressOp.DIVIDE},
    "width": {AddressOp.EXTRACT},
    "increment": {AddressOp.DIVIDE},
    "c": {AddressOp.SELECT},
    "constant": {AddressOp.MULTIPLY, AddressOp.MULTIPLY_SUBTRACT, AddressOp.DIVIDE},
}
_ONE_OPERAND = {AddressOp.MULTIPLY, AddressOp.DIVIDE, AddressOp.EXTRACT}


def universe(params: PMUParams) -> set[Bin]:
    """All bins there are on a PMU of these sizes."""
    layout = pmu_layout(params)
    values = {(name, value) for name, shape in fields(layout) for value in _values(params, name, shape)}
    return {(name, value, stalls) for name, value in values - _impossible() for stalls in STALLS}


def _impossible() -> set[tuple[str, str]]:
    """Values that no legal program has."""
    never = {
        ("write.mode", Mode.LOOKUP.name),  # a table is read
        ("write.sequence.enable", "1"),  # ids go with results
        ("read.registers[].addend", Addend.SEQUENCE.name),  # ids come with write data
        ("buffers", "zero"),
        ("read.range.high", "zero"),
        ("write.range.high", "zero"),
    }
    for side in ("write", "read"):
        never |= {(f"{side}.{name}", "zero") for name in ("chain.counters[].limit", "region.rows", "pitch")}
        never.add((f"{side}.chain.rounds", "one"))  # one round is written as zero
        never |= {("write.sequence.register", str(k)) for k in range(4)}
    return never


def _values(params: PMUParams, name: str, shape: Any) -> Sequence[str]:
    if name.rpartition(".")[2] in _NUMBERS:
        return ("zero", "one", "more")
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return [member.name for member in shape]
    if name == "bank_shift":
        return [str(k) for k in range(bank_shifts(params))]
    return [str(k) for k in (shape if isinstance(shape, range) else range(1 << Shape.cast(shape).width))]


def hits(params: PMUParams, words: Sequence[int], stalled: Collection[str]) -> set[Bin]:
    """The bins of one run of a program; ``stalled``: "input", "output", both or neither, where the bench held back."""
    layout = pmu_layout(params)
    found = set(_walk(unpack(layout, words), layout, ""))
    return {(name, value, kind) for name, value in found for kind in stalled or ("none",)}


def _walk(value: Any, layout: data.Layout, path: str) -> Iterator[tuple[str, str]]:
    """Every field in use, and its value."""
    members = dict(layout)
    keys = range(len(members)) if isinstance(layout, data.ArrayLayout) else _used(value, list(members))
    for key in keys:
        shape = members[key].shape
        name = f"{path}[]" if isinstance(layout, data.ArrayLayout) else f"{path}.{key}" if path else str(key)
        if key == "counters" and isinstance(shape, data.ArrayLayout):
            for i in range(value.depth):
                yield from _walk(value[key][i], shape.elem_shape, f"{name}[]")
        elif isinstance(shape, data.Layout):
            yield from _walk(value[key], shape, name)
        else:
            yield name, _named(name, shape, _plain(value[key]))


def _named(name: str, shape: Any, value: int) -> str:
    if name.rpartition(".")[2] in _NUMBERS:
        return ("zero", "one")[value] if value < 2 else "more"
    return shape(value).name if isinstance(shape, type) and issubclass(shape, enum.Enum) else str(value)


def _used(value: Any, keys: list[Any]) -> list[Any]:
    """The fields of one struct that its own switches leave in use."""
    for switch in ("enable", "side"):
        if switch in keys and not _plain(value[switch]):
            return [switch]
    unused: set[str] = set()
    if "op" in keys:
        unused = _unused_operands(value)
    elif "source" in keys and value.source:
        unused = {"limit"}
    elif "mode" in keys and _plain(value.mode) != Mode.COLUMN.value:
        unused = {"pitch"}
    elif "buffers" in keys and not value.write.buffer.enable:
        unused = {"buffers"}
    return [key for key in keys if key not in unused]


def _unused_operands(stage: Any) -> set[str]:
    """What the operation of an ALU stage does not look at."""
    op = AddressOp(_plain(stage.op))
    if op is AddressOp.NONE:
        return {"a", "b", "b_constant", "c", "destination", "constant", "shift", "width", "increment"}
    unused = {name for name, users in _USERS.items() if op not in users}
    if op in _ONE_OPERAND:
        return unused | {"b", "b_constant"}
    return (unused - {"constant"}) | {"b"} if stage.b_constant else unused


def _plain(value: Any) -> int:
    return int(getattr(value, "value", value))


def save(bins: Iterable[Bin], file: Path) -> None:
    """Writes bins, one a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(" ".join(each) + "\n" for each in sorted(bins)))


def load(files: Iterable[Path]) -> set[Bin]:
    """The union of what was saved."""
    found: set[Bin] = set()
    for file in files:
        for line in file.read_text().splitlines():
            name, value, stalls = line.split(" ")
            found.add((name, value, stalls))
    return found


def report(params: PMUParams, found: set[Bin]) -> str:
    """How much was covered, and every hole: for each field the values missing under each kind of stall."""
    everything = universe(params)
    assert found <= everything, sorted(found - everything)[:5]
    missing: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, value, stalls in sorted(everything - found):
        missing[name, stalls].append(value)
    lines = [f"{len(found)} of {len(everything)} bins, {len(found) / len(everything):.2%}"]
    lines += [f"  {name}, stalls {stalls}: {', '.join(values)}" for (name, stalls), values in missing.items()]
    return "\n".join(lines)
