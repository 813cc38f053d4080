"""The manual of the network tells what the layouts say."""

from hdl.manual import fields
from hdl.rdn import manual
from hdl.rdn.config import switch_layout, token_layout
from verif.sources import ROOT


def test_the_tables_in_the_manual_are_those_of_the_layouts() -> None:
    """To mend it: ``python -m hdl.rdn.manual`` prints them."""
    text = (ROOT / "docs" / "network.md").read_text()
    for table in (manual.link_table, manual.switch_table, manual.token_table, manual.status_words):
        assert table() in text


def test_every_meaning_in_the_manual_is_that_of_a_field() -> None:
    switch = {name for name, _ in fields(switch_layout(manual.SIZES))}
    tokens = {name for name, _ in fields(token_layout(manual.TOKENS))}
    assert switch == set(manual.SWITCH)
    assert tokens == set(manual.TOKEN_SWITCH)
