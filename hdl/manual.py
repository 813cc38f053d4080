"""Tables of the manuals, made from layouts: what the chapters of ``docs`` have in common."""

import enum
from collections.abc import Iterable, Iterator
from typing import Any

from amaranth.lib import data

from hdl.config import STATUS_BASE, word_count


def fields(layout: data.Layout, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of ``layout`` once, elements of an array as ``[]``: its path and its shape."""
    for key, field in layout:
        is_array = isinstance(layout, data.ArrayLayout)
        if is_array and key:
            return
        name = f"{path}[]" if is_array else f"{path}.{key}" if path else str(key)
        if isinstance(field.shape, data.Layout):
            yield from fields(field.shape, name)
        else:
            yield name, field.shape


def table(rows: Iterable[tuple[str, Any, str]]) -> str:
    """Markdown: name, bits and meaning of every (name, shape, meaning); the values of an enum are listed."""
    lines = ["| field | bits | meaning |", "|---|---|---|"]
    for name, shape, meaning in rows:
        named = isinstance(shape, type) and issubclass(shape, enum.Enum)
        values = f": {', '.join(f'{e.value} {e.name}' for e in shape)}" if named else ""
        lines.append(f"| `{name}` | {data.StructLayout({'value': shape}).size} | {meaning}{values} |")
    return "\n".join(lines)


def size(layout: data.StructLayout, of: str = " with the sizes of the preset `test`.") -> str:
    """A sentence: bits and words, ending in ``of``."""
    return f"{layout.size} bits in {word_count(layout)} words{of}"


def status_table(names: Iterable[str]) -> str:
    """Markdown: word address and name of every status word, in order of address."""
    lines = ["| address | word |", "|---|---|"]
    return "\n".join([*lines, *(f"| {STATUS_BASE + i} | {name} |" for i, name in enumerate(names))])
