"""A campaign resumes where it stopped, and a deliberate defect either applies exactly or is reported as out of date."""

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from verif import campaign, campaigns
from verif.campaign import Part, Result, Shard
from verif.defects import Defect, planted
from verif.sources import ROOT

ALL_DEFECTS: list[Defect] = [
    defect
    for module in pkgutil.iter_modules(campaigns.__path__)
    if module.name.endswith("_defects")
    for defect in importlib.import_module(f"{campaigns.__name__}.{module.name}").DEFECTS
]


def no_figures(_: Sequence[Result]) -> dict[str, float]:
    return {}


def no_failures(_: Sequence[Result]) -> list[str]:
    return []


def test_a_campaign_killed_half_way_runs_only_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "ROOT", tmp_path)
    ran = []

    def shard(name: str) -> Shard:
        def work() -> Result:
            ran.append(name)
            return {"checked": len(ran)}

        return Shard(name, work)

    part = Part("block", "part", [shard("first"), shard("second")], no_figures, no_failures)
    next(campaign.run(part))
    done = list(campaign.run(part))
    assert ran == ["first", "second"]
    assert [(d.shard, d.result, d.resumed) for d in done] == [
        ("first", {"checked": 1}, True),
        ("second", {"checked": 2}, False),
    ]


def test_a_shard_that_raises_is_run_again_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign, "ROOT", tmp_path)
    attempts = []

    def work() -> Result:
        attempts.append(1)
        if len(attempts) == 1:
            raise RuntimeError("simulator died")
        return {"checked": 1}

    part = Part("block", "part", [Shard("only", work)], no_figures, no_failures)
    with pytest.raises(RuntimeError, match="simulator died"):
        list(campaign.run(part))
    assert [d.resumed for d in campaign.run(part)] == [False]


DEFECT = Defect("dropped sticky", "hdl/x.py", "a | b", "a", "tests/test_x.py::test_y")


def test_a_defect_replaces_its_text() -> None:
    assert planted(DEFECT, "m = a | b\n") == "m = a\n"


@pytest.mark.parametrize(("source", "count"), [("m = a\n", 0), ("a | b; a | b", 2)])
def test_a_defect_whose_text_is_not_there_exactly_once_is_out_of_date(source: str, count: int) -> None:
    with pytest.raises(ValueError, match=rf"'dropped sticky': 'a \| b' stands {count} times in hdl/x\.py, not once"):
        planted(DEFECT, source)


@pytest.mark.parametrize("defect", ALL_DEFECTS, ids=lambda defect: defect.name)
def test_every_planted_defect_applies_to_the_sources_as_they_are(defect: Defect) -> None:
    source = (ROOT / defect.file).read_text()
    assert planted(defect, source) != source
    file, _, test = defect.test.partition("::")
    assert f"def {test.partition('[')[0]}(" in (ROOT / file).read_text()
