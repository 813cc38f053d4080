"""Experts in two tiers: where they lie, who runs next, what it costs in time; held to rules no policy may break."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe_mapping.experts import CompositionError, Copy, Expert, Order, Region, Request, Runtime, Strategy
from coe_mapping.experts.costs import PromptCycles, list_cycles
from coe_mapping.experts.residency import Homes, Residency, Window
from coe_mapping.experts.scheduler import ALL, Scheduler
from coe_mapping.experts.time_model import Link, Outcome, Prompt, host_links, simulate, tier_dma
from coe_mapping.experts.traces import arrivals, most_hits, zipf
from hdl.errors import ParameterError
from hdl.params import DEMO
from scripts import bench_experts
from verif.expert_copy import slower

PAPER = Strategy("in order, least recently used")


def runtime(
    sizes: Sequence[int],
    strategy: Strategy,
    hbm: int,
    *,
    granule: int = 1,
    pinned: int = 0,
    kind: type[Runtime] = Runtime,
) -> Runtime:
    """Experts called 0, 1, ... of these sizes; the first ``pinned`` are pinned."""
    experts = [Expert(str(i), size) for i, size in enumerate(sizes)]
    names = [str(i) for i in range(pinned)]
    ddr = Region(1 << 20, sum(-(-size // granule) * granule for size in sizes))
    return kind(experts, strategy, ddr=ddr, hbm=Region(64, hbm), granule=granule, pinned=names)


def prompts(experts: Sequence[int], times: Sequence[float] | None = None, cycles: float = 3.0) -> list[Prompt]:
    return [Prompt(arrival, str(e), cycles) for arrival, e in zip(times or [0.0] * len(experts), experts, strict=True)]


# --- rules that hold whatever the policy ---

Case = tuple[Runtime, list[Prompt], Link, float]


class Checked(Runtime):
    """Looks after every decision whether the region is sound, and nobody lost what they need."""

    def start(self) -> Request | None:
        request = super().start()
        self._check()
        return request

    def copy(self) -> Copy | None:
        copy = super().copy()
        self._check()
        return copy

    def copied(self, *, sound: bool = True) -> list[Request]:
        gone = super().copied(sound=sound)
        self._check()
        return gone

    def _check(self) -> None:
        blocks = [self.residency.block(name) for name in self.residency]
        region = self.residency.region
        for one, other in pairwise(blocks):
            assert one.end <= other.base, f"{one} overlaps {other}"
        for name, block in zip(self.residency, blocks, strict=True):
            assert region.base <= block.base, f"{name} lies outside"
            assert block.end <= region.end, f"{name} lies outside"
            assert block.base % self.residency.granule == 0, f"{name} is not on a granule"
            assert block.bytes == self.experts[name].bytes
        assert self.residency.pinned <= set(self.residency), "a pinned expert was evicted"
        if self.running is not None:
            assert self.resident(self.running.expert), "the expert that runs was evicted"


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Experts of all sizes in a region that holds the largest at least, a trace, and a strategy."""
    granule = draw(st.sampled_from([1, 4]))
    sizes = draw(st.lists(st.integers(1, 20), min_size=1, max_size=8))
    pinned = draw(st.integers(0, len(sizes) - 1))
    room = sum(-(-size // granule) * granule for size in sizes[:pinned]) + max(sizes)
    hbm = room + draw(st.integers(0, 40))
    order = draw(st.sampled_from(Order))
    strategy = Strategy(
        "drawn",
        order,
        draw(st.sampled_from([0, 1, 3, 8, ALL])),
        draw(st.booleans()),
        draw(st.sampled_from([0, 2, ALL])),
    )
    trace = draw(st.lists(st.tuples(st.integers(0, len(sizes) - 1), st.integers(0, 9), st.integers(1, 9)), max_size=40))
    time, made = 0.0, []
    for expert, apart, cycles in trace:
        time += apart
        made.append(Prompt(time, str(expert), cycles))
    machine = runtime(sizes, strategy, hbm, granule=granule, pinned=pinned, kind=Checked)
    return (
        machine,
        made,
        Link(draw(st.sampled_from([0.5, 2.0, 40.0])), draw(st.integers(0, 3))),
        draw(st.sampled_from([0, 2])),
    )


def in_order_of_start(outcome: Outcome) -> list[str]:
    return [served.prompt.expert for served in sorted(outcome.served, key=lambda s: s.start)]


@given(cases())
def test_every_prompt_is_served_once_by_a_resident_expert_and_the_region_stays_sound(
    case: Case,
) -> None:
    machine, trace, link, router = case
    outcome = simulate(machine, trace, link, router=router)
    assert [served.number for served in outcome.served] == list(range(len(trace)))
    assert outcome.refused == {}
    by_start = sorted(outcome.served, key=lambda s: s.start)
    for one, other in pairwise(by_start):
        assert one.end <= other.start, "two prompts ran at once"
    for served in outcome.served:
        assert served.start >= served.prompt.arrival + router
        assert served.end == served.start + served.prompt.cycles
        assert (served.copied == 0) == served.hit
    assert outcome.most_overtaken <= machine.strategy.bound
    assert 0.0 <= outcome.stalled <= outcome.switching + 1e-9


@given(cases())
def test_no_policy_has_more_hits_than_one_that_knows_the_future(
    case: Case,
) -> None:
    """In the order that it chose, with as many places as experts of the smallest size have in the region."""
    machine, trace, link, router = case
    outcome = simulate(machine, trace, link, router=router)
    pinned = machine.residency.pinned
    loose = [expert for expert in in_order_of_start(outcome) if expert not in pinned]
    smallest = min(e.bytes for e in machine.experts.values() if e.name not in pinned)
    room = machine.residency.region.end - max([64, *(machine.residency.block(name).end for name in pinned)])
    hits = sum(s.hit for s in outcome.served if s.prompt.expert not in pinned)
    assert hits <= most_hits(loose, room // smallest)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 7))
def test_who_knows_the_whole_queue_and_evicts_by_it_has_exactly_the_optimums_hits(
    experts: list[int], places: int
) -> None:
    outcome = simulate(runtime([5] * 7, Strategy("all", ahead=ALL), 5 * places), prompts(experts), Link(1.0))
    assert sum(s.hit for s in outcome.served) == most_hits(experts, places)


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 7))
def test_looking_at_nothing_is_least_recently_used(experts: list[int], places: int) -> None:
    """Against a list with the last used at its end."""
    recent: list[int] = []
    hits = []
    for expert in experts:
        hits.append(expert in recent)
        recent = [other for other in recent if other != expert][-(places - 1) :] if places > 1 else []
        recent.append(expert)
    outcome = simulate(runtime([5] * 7, PAPER, 5 * places), prompts(experts), Link(1.0))
    assert [served.hit for served in outcome.served] == hits


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 4))
def test_the_optimum_is_the_best_of_all_choices(experts: list[int], places: int) -> None:
    """Tried out one by one."""

    def best(left: tuple[int, ...], resident: frozenset[int]) -> int:
        if not left:
            return 0
        first, rest = left[0], left[1:]
        if first in resident:
            return 1 + best(rest, resident)
        if len(resident) < places:
            return best(rest, resident | {first})
        return max(best(rest, resident - {victim} | {first}) for victim in resident)

    assert most_hits(experts, places) == best(tuple(experts), frozenset())


# --- scheduler ---


def order_of(scheduler: Scheduler, resident: set[str]) -> list[int]:
    """Numbers of the prompts in the order in which they run, if nothing is copied."""
    order, last = [], None
    while (request := scheduler.next(last, resident.__contains__)) is not None:
        scheduler.start(request)
        order.append(request.number)
        last = request.expert
    return order


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Strategy("in order"), [0, 1, 2, 3, 4, 5]),
        (Strategy("grouped", Order.GROUPED, ahead=6), [0, 1, 3, 2, 5, 4]),
        (Strategy("grouped, sees 1", Order.GROUPED, ahead=1), [0, 1, 2, 3, 4, 5]),
        (Strategy("resident", Order.RESIDENT, ahead=6), [1, 3, 2, 5, 0, 4]),
        (Strategy("resident, bound 2", Order.RESIDENT, ahead=6, bound=2), [1, 3, 0, 2, 5, 4]),
        (Strategy("resident, bound 0", Order.RESIDENT, ahead=6, bound=0), [0, 1, 2, 3, 4, 5]),
    ],
    ids=lambda value: value.name if isinstance(value, Strategy) else "order",
)
def test_prompts_run_in_the_order_the_strategy_says(strategy: Strategy, expected: list[int]) -> None:
    scheduler = Scheduler(strategy)
    for number, expert in enumerate("abcbac"):
        scheduler.submit(Request(number, expert))
    assert order_of(scheduler, {"b", "c"}) == expected


def test_a_strategy_that_counts_below_zero_is_refused() -> None:
    with pytest.raises(ParameterError, match="strategy odd: it looks at -1 prompts"):
        Strategy("odd", ahead=-1)


# --- residency ---


def resident(*sizes: int, hbm: int) -> Residency:
    """Experts 0, 1, ... behind each other."""
    residency, address = Residency(Region(0, hbm), 1), 0
    for i, size in enumerate(sizes):
        residency.place(Expert(str(i), size), Window(address, (), ()))
        address += size
    return residency


def test_the_cheapest_run_of_bytes_is_taken_not_the_cheapest_experts() -> None:
    """The two least valuable are not neighbours, so evicting them would make no room."""
    residency = resident(10, 10, 10, 10, hbm=40)
    worth = {"0": 1.0, "1": 9.0, "2": 2.0, "3": 3.0}
    window = residency.window(Expert("new", 20), lambda name: (worth[name],))
    assert window == Window(20, ("3", "2"), (3.0, 2.0))
    residency.place(Expert("new", 20), window)
    assert list(residency) == ["0", "1", "new"]


def test_room_that_is_free_is_taken_before_anybody_is_evicted() -> None:
    residency = resident(10, 10, 10, hbm=30)
    residency.remove("1")
    assert residency.window(Expert("new", 10), lambda name: (0.0,)) == Window(10, (), ())
    assert residency.window(Expert("new", 11), lambda name: (0.0,)) == Window(0, ("0",), (0.0,))


def test_who_has_to_stay_stays_even_if_nothing_fits_then() -> None:
    residency = resident(10, 10, 10, hbm=30)
    assert residency.window(Expert("new", 20), lambda name: None if name == "1" else (0.0,)) is None


def test_an_expert_larger_than_the_region_is_refused_and_the_others_go_on() -> None:
    machine = runtime([10, 31, 10], PAPER, hbm=30)
    sentence = r"expert 1 of 31 bytes is larger than the 30 bytes of HBM for experts that are not pinned: give"
    with pytest.raises(CompositionError, match=sentence):
        machine.submit(0, "1")
    outcome = simulate(machine, prompts([0, 1, 2, 1]), Link(1.0))
    assert [served.number for served in outcome.served] == [0, 2]
    assert outcome.refused == dict.fromkeys([1, 3], machine.refused["1"])


def test_pinned_experts_leave_less_room_and_may_not_fill_it() -> None:
    machine = runtime([10, 25, 10], PAPER, hbm=30, pinned=1)
    assert machine.refused["1"].startswith("expert 1 of 25 bytes is larger than the 20 bytes of HBM")
    with pytest.raises(CompositionError, match="pinned expert 1 of 25 bytes does not fit the 30 bytes of HBM"):
        runtime([10, 25, 10], PAPER, hbm=30, pinned=2)


def test_ddr_that_is_full_refuses_who_does_not_fit() -> None:
    homes = Homes(Region(100, 50), granule=16)
    assert homes.add(Expert("first", 20)) == 112
    with pytest.raises(CompositionError, match="expert first is in DDR already"):
        homes.add(Expert("first", 5))
    with pytest.raises(CompositionError, match=r"expert second of 7 bytes does not fit DDR, of whose 50 bytes 6 are"):
        homes.add(Expert("second", 7))
    assert homes.add(Expert("third", 6)) == 144


# --- runtime ---


def test_read_only_bytes_are_never_written_back_and_changed_ones_are() -> None:
    experts = [Expert("fixed", 10), Expert("changing", 10, mutable=4)]
    machine = Runtime(experts, PAPER, ddr=Region(1000, 20), hbm=Region(0, 10), granule=1)
    for number, name in enumerate(["fixed", "changing", "fixed"]):
        machine.submit(number, name)
    backs = []
    for _ in range(3):
        copy = machine.copy()
        assert copy is not None
        backs += [(t.source, t.destination, t.bytes) for t in copy.back]
        assert machine.start() is None, "it runs before the copy has ended"
        machine.copied()
        assert machine.start() is not None
        machine.finish()
    assert backs == [(6, 1016, 4)]


def test_an_expert_is_copied_while_another_runs_only_if_copies_overlap() -> None:
    for overlap in (False, True):
        machine = runtime([10, 10], Strategy("next", ahead=1, overlap=overlap), hbm=20)
        for number in (0, 1):
            machine.submit(number, str(number))
        machine.copy()
        machine.copied()
        machine.start()
        copy = machine.copy()
        assert (copy is not None) == overlap
        assert copy is None or copy.expert.name == "1"


def test_nobody_who_is_needed_sooner_is_evicted_for_a_copy_ahead() -> None:
    """0 runs, 1 is next, 2 after it: there is no place for 2 yet."""
    machine = runtime([10, 10, 10], Strategy("ahead", ahead=3, overlap=True), hbm=20)
    for number in (0, 1, 2):
        machine.submit(number, str(number))
    for _ in range(2):
        machine.copy()
        machine.copied()
        machine.start()
    assert machine.running is not None
    assert machine.running.number == 0
    assert machine.copy() is None
    machine.finish()
    machine.start()
    copy = machine.copy()
    assert copy is not None
    assert (copy.expert.name, copy.fetch.destination) == ("2", 64)


def test_an_expert_whose_checksum_is_wrong_is_refused_and_the_others_go_on() -> None:
    machine = runtime([10, 10, 10], Strategy("ahead", ahead=4, overlap=True), hbm=20)
    outcome = simulate(machine, prompts([0, 1, 2, 1, 0]), Link(10.0), corrupt={"1"})
    assert [served.number for served in outcome.served] == [0, 2, 4]
    assert set(outcome.refused) == {1, 3}
    assert outcome.refused[1].startswith("expert 1 is refused: what was copied from DDR address 0x10000a does not have")
    assert not machine.resident("1")


def test_a_prompt_for_nobody_is_refused() -> None:
    with pytest.raises(CompositionError, match="prompt 7 is for expert chess, which the composition does not have"):
        runtime([1], PAPER, hbm=1).submit(7, "chess")


# --- time ---


def test_switching_is_counted_and_what_something_ran_behind_is_hidden() -> None:
    """Two experts of 10 bytes at a byte a cycle, prompts of 6 cycles."""
    trace = prompts([0, 1, 0], cycles=6.0)
    apart = simulate(runtime([10, 10], PAPER, hbm=20), trace, Link(1.0))
    assert [(s.start, s.hit, s.copied, s.stalled) for s in apart.served] == [
        (10, False, 10, 10),
        (26, False, 10, 10),
        (32, True, 0, 0),
    ]
    assert (apart.switching, apart.stalled, apart.hidden, apart.cycles) == (20, 20, 0.0, 38)
    overlapped = simulate(runtime([10, 10], Strategy("next", ahead=1, overlap=True), hbm=20), trace, Link(1.0))
    assert [(s.start, s.stalled) for s in overlapped.served] == [(10, 10), (20, 4), (26, 0)]
    assert overlapped.hidden == pytest.approx(6 / 20)


def test_waiting_for_prompts_is_no_stall() -> None:
    outcome = simulate(runtime([10, 10], PAPER, hbm=20), prompts([0, 0], [5.0, 100.0]), Link(1.0))
    assert outcome.stalled == 10
    assert [served.waited for served in outcome.served] == [10, 0]


def test_the_router_comes_first_and_no_expert_is_copied_before_it_is_known() -> None:
    outcome = simulate(runtime([10, 10], PAPER, hbm=20), prompts([0, 0]), Link(1.0), router=4.0)
    assert [served.start for served in outcome.served] == [18, 21]


@pytest.mark.parametrize(("overlap", "starts"), [(True, [14, 24]), (False, [18, 31])])
def test_where_prompts_are_read_one_by_one_a_copy_hides_behind_the_router_if_copies_overlap(
    overlap: bool, starts: list[int]
) -> None:
    """Two experts, 10 cycles to copy; the router knows the first at 4 and the second at 8; the first runs 3 cycles."""
    machine = runtime([10, 10], Strategy("next", ahead=2, overlap=overlap), hbm=20)
    outcome = simulate(machine, prompts([0, 1], cycles=3.0), Link(1.0), router=4.0, together=False)
    assert [served.start for served in outcome.served] == starts


def test_host_links_are_slower_by_the_ratio_and_faster_by_their_number() -> None:
    dma, size = tier_dma(DEMO), 230_272
    assert dma.bandwidth == pytest.approx(16 * 4 / 9)
    for links in (1, 2):
        assert host_links(DEMO, 31, links).cycles(size) == pytest.approx(31 / links * dma.cycles(size), rel=0.1)
    with pytest.raises(ParameterError, match="host links: 0 links at a ratio of 31: give one link at least"):
        host_links(DEMO, 31, 0)


RUN, ROUTER_TIME = {20: 4.7, 200: 26.5}, 4.8
"""Of the paper, in copies of an expert: a prompt of so many tokens, and the router for a whole batch."""


def of_the_paper(count: int, tokens: int, *, slower: float = 1.0, ratio: float = 1.0, overlap: bool = False) -> float:
    """Time of a batch, every prompt for an expert of its own that is not in HBM, in copies from DDR to HBM."""
    strategy = Strategy("all", ahead=count, overlap=True) if overlap else PAPER
    machine = runtime([10] * count, strategy, hbm=10 * count)
    batch = prompts(range(count), cycles=RUN[tokens] * slower)
    return simulate(machine, batch, Link(10 / ratio), router=ROUTER_TIME * slower / count).cycles


@pytest.mark.parametrize(
    ("count", "tokens", "a100", "h100"), [(8, 20, 6.6, 3.7), (1, 20, 4.8, 2.8), (8, 200, 4.2, 2.7), (1, 200, 3.9, 2.6)]
)
def test_the_papers_speed_ups_over_machines_with_experts_behind_host_links_come_out(
    count: int, tokens: int, a100: float, h100: float
) -> None:
    """From its ratios of switching (31 and 15.5 times) and of running an expert that is there (20 and 200 tokens)."""
    slower = {20: (2.0, 1.5), 200: (3.2, 2.3)}[tokens]
    router = (2.0, 1.5)  # it makes one token
    ours = of_the_paper(count, tokens)
    for ratio, expert, first, expected in zip((31.0, 15.5), slower, router, (a100, h100), strict=True):
        theirs = of_the_paper(count, tokens, slower=expert, ratio=ratio) - ROUTER_TIME * (expert - first)
        assert theirs / ours == pytest.approx(expected, rel=0.02)


def test_copying_ahead_brings_a_batch_of_the_paper_16_percent() -> None:
    assert of_the_paper(8, 20) / of_the_paper(8, 20, overlap=True) == pytest.approx(1.16, abs=0.005)


# --- traces ---


def test_a_trace_is_the_same_for_a_seed_and_follows_its_exponent() -> None:
    trace = zipf(50, 20_000, exponent=1.0, phases=1, seed=3)
    assert trace == zipf(50, 20_000, exponent=1.0, phases=1, seed=3)
    assert trace != zipf(50, 20_000, exponent=1.0, phases=1, seed=4)
    counts = sorted((trace.count(e) for e in range(50)), reverse=True)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.25)
    assert sorted(arrivals(100, 3.0, seed=1).tolist()) == arrivals(100, 3.0, seed=1).tolist()


def test_other_experts_are_popular_in_another_phase() -> None:
    trace = zipf(50, 4000, exponent=1.2, phases=2, seed=5)
    halves = trace[:2000], trace[2000:]
    favourites = [max(range(50), key=half.count) for half in halves]
    assert favourites[0] != favourites[1]


# --- costs and bench ---


def test_a_program_hides_behind_the_kernel_before_it_and_costs_what_is_longer() -> None:
    """Embedding, layers, head, embedding: what comes next against kernels of 10, 50 and 20 cycles."""
    kernels = {"embedding": 10.0, "layers": 50.0, "head": 20.0}
    again, afresh = dict.fromkeys(kernels, 5.0), {"embedding": 25.0, "layers": 40.0, "head": 60.0}
    names = ["embedding", "layers", "head", "embedding"]
    assert list_cycles(None, names, kernels, again, afresh) == 40 + 60 + 25


def test_a_program_that_ran_before_the_last_is_held_and_needs_its_arguments_only() -> None:
    kernels = {"layers": 50.0, "head": 20.0}
    again, afresh = {"layers": 30.0, "head": 5.0}, {"layers": 1000.0, "head": 1000.0}
    assert list_cycles("head", ["layers", "head", "layers"], kernels, again, afresh) == 50 + 30


def test_the_first_token_of_an_answer_comes_of_prefill() -> None:
    cycles = PromptCycles(rows=8, prefill=100.0, first=15.0, decode=10.0)
    assert cycles.of(prompt=8, answer=1) == 100
    assert cycles.of(prompt=9, answer=4) == 235


def test_the_bench_compares_every_strategy_and_the_host_links_on_one_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_experts, "PROMPTS", 200)
    lines = list(bench_experts.compare(bench_experts.paper(), 150, 0.0))
    assert [line.strategy for line in lines[:-2]] == [strategy.name for strategy in bench_experts.STRATEGIES]
    paper, links = lines[0], lines[-2:]
    assert [link.switching / paper.switching for link in links] == pytest.approx([31, 15.5])
    assert paper.speedup == 1.0
    assert all(line.speedup >= 1.0 for line in lines[:-2])
    assert all(line.speedup < 1.0 for line in links)
    in_order = [line for line in lines if line.most_overtaken == 0]
    assert all(line.hit_rate <= line.optimum for line in in_order)
    assert len(bench_experts.table(lines).splitlines()) == 1 + len(lines)


def test_a_host_link_on_rtl_is_a_second_tier_as_slow_and_the_figures_are_the_ratios(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [slower(DEMO, ratio) for ratio in (1.0, 31.0, 15.5)] == [(4, 9), (4, 279), (8, 279)]
    recorded: dict[str, float] = {}
    monkeypatch.setattr(bench_experts.figures, "record", recorded.__setitem__)
    monkeypatch.setattr(bench_experts, "copy_cycles", lambda params, size, ratio: 100 + round(1000 * ratio))
    assert [found.value for found in bench_experts.switching(7)] == ["1,100 cycles", "28.27 times", "14.18 times"]
    assert recorded == {"switch_speedup_at_31": 28.27, "switch_speedup_at_15": 14.18}
