"""The manual of the PMU tells what the layout says."""

from hdl.params import TEST
from hdl.pmu import manual
from verif.sources import ROOT


def test_the_tables_in_the_manual_are_those_of_the_layout() -> None:
    """To mend it: ``python -m hdl.pmu.manual`` prints them."""
    text = (ROOT / "docs" / "pmu.md").read_text()
    assert manual.configuration_table(TEST.pmu) in text
    assert manual.status_table() in text


def test_every_meaning_in_the_manual_is_that_of_a_field() -> None:
    layout = manual.pmu_layout(TEST.pmu)
    names = {name for name, _ in manual.fields(layout) if not name.startswith("write.")}
    assert names | {"write"} == set(manual.MEANINGS)
