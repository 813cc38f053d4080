"""The memory plan: no two live regions share a byte, HBM first, and a sentence when memory runs out."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_mapping.memory_plan import FOREVER, MemoryPlan, Need, granule_bytes, plan, tier_of
from hdl.errors import ParameterError
from hdl.memory.channel import Tier
from hdl.params import DEMO, NANO, TIER_SHIFT

HBM = NANO.memory.hbm.capacity


@st.composite
def needs(draw: st.DrawFn) -> list[Need]:
    """Up to twenty regions, some large, some pinned to a tier, some that stay for ever."""
    regions = []
    for i in range(draw(st.integers(0, 20))):
        first = draw(st.integers(0, 8))
        last = draw(st.sampled_from([first, first + 1, first + 3, FOREVER]))
        size = draw(st.sampled_from([0, 1, 31, 32, 33, 400, 5000, 12000]))
        traffic = draw(st.sampled_from([0.0, 1.0, 1000.0, 1e6]))
        regions.append(Need(f"r{i}", size, first, last, traffic, draw(st.sampled_from([None, *Tier]))))
    return regions


def overlapping(made: MemoryPlan) -> list[tuple[str, str]]:
    """Pairs of regions that live at the same time and share a byte."""
    spans = [(made.addresses[n.name], made.addresses[n.name] + n.bytes, n) for n in made.needs.values()]
    return [
        (a.name, b.name)
        for i, (start, end, a) in enumerate(spans)
        for other_start, other_end, b in spans[:i]
        if start < other_end and other_start < end and a.first <= b.last and b.first <= a.last
    ]


def planned(regions: list[Need]) -> MemoryPlan | str:
    """The plan, or why there is none."""
    try:
        return plan(NANO, regions)
    except ParameterError as error:
        return str(error)


@given(needs())
def test_no_two_live_regions_overlap_and_all_are_aligned_and_within_their_tier(regions: list[Need]) -> None:
    made = planned(regions)
    if isinstance(made, str):
        assert "are missing" in made
        assert sum(need.bytes for need in regions) > HBM
        return
    assert not overlapping(made)
    tiers = {Tier.HBM: NANO.memory.hbm.capacity, Tier.DDR: NANO.memory.ddr.capacity}
    for need in regions:
        address = made.addresses[need.name]
        assert address % granule_bytes(NANO) == 0
        assert (address & ((1 << TIER_SHIFT) - 1)) + need.bytes <= tiers[tier_of(address)]
        assert need.tier in (None, tier_of(address))


def test_regions_that_do_not_live_together_share_bytes() -> None:
    made = plan(NANO, [Need("a", 4096, 0, 1), Need("b", 4096, 1, 2), Need("c", 4096, 2, 3)])
    assert made.addresses["a"] == made.addresses["c"] != made.addresses["b"]
    assert made.used == {Tier.HBM: 8192, Tier.DDR: 0}


def test_what_moves_the_fewest_bytes_spills() -> None:
    table = Need("table", HBM // 2, traffic=10)
    weights = [Need(f"weights{i}", HBM // 4, traffic=HBM) for i in range(3)]
    made = plan(NANO, [table, *weights])
    assert made.spilled == ("table",)
    assert {tier_of(made.addresses[w.name]) for w in weights} == {Tier.HBM}


def test_a_region_that_lies_somewhere_is_left_there() -> None:
    made = plan(NANO, [Need("a", 1000), Need("scratch", 1024, address=0), Need("b", 1000)])
    assert made.addresses["scratch"] == 0
    assert not overlapping(made)


def test_memory_that_runs_out_is_counted() -> None:
    both = HBM + NANO.memory.ddr.capacity
    regions = [Need("a", HBM), Need("b", NANO.memory.ddr.capacity), Need("c", 100)]
    sentence = f"3 regions of {both + 100} bytes do not fit nano, .*: 100 bytes of DDR are missing"
    with pytest.raises(ParameterError, match=sentence):
        plan(NANO, regions)
    with pytest.raises(ParameterError, match="7 bytes of HBM are missing"):
        plan(NANO, [replace(regions[0], bytes=HBM + 7, tier=Tier.HBM)])


def test_two_regions_of_one_name_are_refused() -> None:
    with pytest.raises(ParameterError, match="two regions are called a"):
        plan(DEMO, [Need("a", 1), Need("a", 2)])
