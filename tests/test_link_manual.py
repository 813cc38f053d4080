"""The chapter on the node tells what the layouts say."""

from dataclasses import fields as members

from hdl.link import manual
from hdl.link.layout import header_layout, routes_layout
from hdl.manual import fields
from hdl.params import LinkParams
from verif.sources import ROOT


def test_the_drawing_and_the_tables_in_the_manual_are_those_of_the_layouts() -> None:
    """To mend it: ``python -m hdl.link.manual`` prints them."""
    text = (ROOT / "docs" / "node.md").read_text()
    for part in (manual.drawing, manual.header_table, manual.routes_table, manual.unit_table, manual.codes):
        assert part() in text


def test_every_meaning_in_the_manual_is_that_of_a_field() -> None:
    assert set(manual.HEADER) == {name for name, _ in fields(header_layout(manual.SIZES))}
    assert set(manual.ROUTES) == {name for name, _ in fields(routes_layout(manual.SIZES))}


def test_the_sizes_in_the_manual_are_the_defaults() -> None:
    text = (ROOT / "docs" / "node.md").read_text()
    link = LinkParams()
    for member in members(link):
        assert f"| `{member.name}` | {getattr(link, member.name)} |" in text
