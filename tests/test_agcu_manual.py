"""The manual of the AGCU tells what the layout says."""

from hdl.agcu import manual
from hdl.params import TEST
from verif.sources import ROOT


def test_the_tables_in_the_manual_are_those_of_the_layout() -> None:
    """To mend it: ``python -m hdl.agcu.manual`` prints them."""
    text = (ROOT / "docs" / "agcu.md").read_text()
    assert manual.configuration_table(TEST) in text
    assert manual.status_words() in text


def test_every_meaning_in_the_manual_is_that_of_a_field() -> None:
    assert set(manual.MEANINGS) <= {name for name, _ in manual.shown(TEST)}
