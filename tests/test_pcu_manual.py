"""The manual of the PCU tells what the layout says."""

from hdl.manual import fields
from hdl.params import TEST
from hdl.pcu import manual
from hdl.pcu.config import pcu_layout
from verif.sources import ROOT


def test_the_tables_in_the_manual_are_those_of_the_layout() -> None:
    """To mend it: ``python -m hdl.pcu.manual`` prints them."""
    text = (ROOT / "docs" / "pcu.md").read_text()
    assert manual.configuration_table(TEST.pcu) in text
    assert manual.status_words() in text


def test_every_meaning_in_the_manual_is_that_of_a_field() -> None:
    names = {name for name, _ in fields(pcu_layout(TEST.pcu))}
    assert names == set(manual.MEANINGS)
