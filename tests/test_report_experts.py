"""The experts' part of the report: every prompt, switches over time, and other ways beside them."""

from typing import Any

import pytest

from hdl.params import DEMO
from scripts.report.experts import COLOURS, experts, timeline
from scripts.report.markup import element
from scripts.report.page import page
from scripts.report.switching import bars, numbers, sentence, switching
from scripts.sim_experts import assemble
from tests.composed import COPY, ran
from tests.test_report import parsed, sections, synthetic


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    """A result with experts."""
    return synthetic() | {
        "experts": assemble(DEMO, ran(), 1, {"look-ahead, by the host": {"prefill": 1.5, "decode": 2}})
    }


def test_a_page_with_experts_has_their_sections_and_says_so_at_the_top(source: dict[str, Any]) -> None:
    tree, words = parsed(page(source))
    assert sections(tree)[:4] == ["Answers", "Experts", "Switches under execution", "Switching"]
    assert "A language model, and experts that a router picks, on the RTL of a socket" in words
    assert "6 of 6" in words
    assert "99.9 %" in words
    assert [name for name in sections(parsed(page(source | {"experts": None}))[0]) if name.startswith("Switch")] == []


def test_the_timeline_shows_every_copy_beside_what_runs_and_who_is_in_memory(source: dict[str, Any]) -> None:
    tree, _ = parsed(element("div", timeline(experts(source))))
    titles = [each.text or "" for each in tree.iter("title")]
    assert sum(f"{COPY:,}" in title for title in titles) >= 4
    assert any("greatest from DDR to HBM, in the place of addition" in title for title in titles)
    assert (
        sum(title.startswith("prefill") for title in titles) == sum(title.startswith("decode") for title in titles) == 6
    )
    assert sum(title.startswith("run ") for title in titles) == 6, "of the lane in order"
    assert sum("there from" in title for title in titles) == 2 * 4, "each arriving, then there"


def test_an_expert_keeps_its_colour_and_what_is_none_is_the_routers(source: dict[str, Any]) -> None:
    found = experts(source)
    assert found is not None
    assert [found.colour(name) for name in found.order] == [f"expert{i % COLOURS}" for i in range(len(found.order))]
    assert found.colour("router") == "router"


def test_every_way_is_a_bar_and_a_line_and_all_but_the_first_are_called_computed(source: dict[str, Any]) -> None:
    found = experts(source)
    assert found is not None
    for markup in (bars(found.ways), numbers(found.ways)):
        _, words = parsed(markup)
        assert words.count("(computed)") == len(found.ways) - 1 == 4
        assert f"{found.ways[0].cycles:,.0f}" in words
    assert "With 1 host link, DDR 31 times one, copies take 46.42" in sentence(found.ways)
    assert switching(None) == timeline(None) == ""
