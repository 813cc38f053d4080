"""Elements of a page that is HTML and well-formed XML at once, and numbers written with their units."""

from collections.abc import Sequence
from html import escape
from unicodedata import category

Attribute = str | float | None

EMPTY = frozenset({"meta", "br", "rect", "line", "path", "circle", "polyline"})
"""Elements that are closed where they open; HTML lets no other element do so."""

NARROW = "\u202f"
"""The narrow space between a number and its unit, where no line breaks."""

ABSENT = "\u2013"


class Markup(str):
    """Text that is markup already: it is not escaped again."""

    __slots__ = ()


def text(words: str) -> Markup:
    """``words`` escaped; what no page can show, as control characters, becomes the replacement character."""
    if isinstance(words, Markup):
        return words
    return Markup(escape("".join("\ufffd" if category(each)[0] == "C" and each != "\n" else each for each in words)))


def element(tag: str, *children: str, **attributes: Attribute) -> Markup:
    """An element. ``class_`` stands for class, ``stroke_width`` for stroke-width; what is None is left out."""
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{value if isinstance(value, Markup) else _attribute(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if tag in EMPTY and not children:
        return Markup(f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{''.join(map(text, children))}</{tag}>")


def _attribute(value: str | float) -> str:
    return text(value) if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def join(parts: Sequence[str]) -> Markup:
    return Markup("".join(map(text, parts)))


def count(value: float | None) -> str:
    """4,000; what is not there is a dash."""
    return ABSENT if value is None else f"{value:,.0f}"


def of(value: float | None, unit: str, plural: str | None = None) -> str:
    """1 cycle, 4,000 cycles; ``plural`` where an s does not make it."""
    if value is None:
        return ABSENT
    number = count(value)
    return f"{number}{NARROW}{unit if number == '1' else plural or unit + 's'}"


def percent(share: float | None) -> str:
    return ABSENT if share is None else f"{100 * share:.1f}{NARROW}%"


def times(ratio: float | None) -> str:
    return ABSENT if ratio is None else f"{ratio:.2f}\u00d7"


def storage(size: float | None) -> str:
    """Bytes, in B, KiB, MiB or GiB."""
    if size is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f}{NARROW}{unit}" if unit == "B" else f"{size:.1f}{NARROW}{unit}"
        size /= 1024
    return f"{size:.1f}{NARROW}GiB"


def short(value: float) -> str:
    """A tick's label: 250, 4k, 1.5M."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:g}{unit}"
    return f"{value:g}"


def elide(words: str, width: float, size: float = 10) -> str:
    """``words``, cut so that it fits in ``width`` pixels at a font of ``size``; nothing if less than 3 letters fit."""
    room = int(width / (0.58 * size))
    if len(words) <= room:
        return words
    return words[: room - 1] + "\u2026" if room >= 3 else ""
