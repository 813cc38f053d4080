"""A peer link: vectors come once, in order and unharmed, whatever the wires do; and what does not come is said."""

import pytest

from golden_model.link import Address, Packet, decode, encode
from hdl.link.layout import Fault, Kind
from verif.benches.link import PROGRAM, LinkBench, bench

UP, EVERYONE = 0b11, {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}
"""Senders 0 and 1 are channels 0 and 1 of side 0, senders 2 and 3 those of side 1; receivers likewise."""


@pytest.fixture
def link(seed: int) -> LinkBench:
    """Loaded without errors, and up."""
    pair = bench()
    pair.load(seed)
    pair.until("up", UP, 2 * pair.sizes.link.timeout)
    return pair


@pytest.mark.parametrize("errors", [0, 1 / 1000, 1 / 100, 1 / 10])
@pytest.mark.parametrize(
    ("send", "take"),
    [(EVERYONE, EVERYONE), ({0: 0.3, 1: 0.02, 2: 0.9}, {0: 0.1, 2: 0.1, 3: 0.9}), ({1: 0.002, 3: 0.002}, {})],
    ids=["full", "stalled", "sparse"],
)
def test_every_vector_comes_once_in_order_and_unharmed(
    seed: int, errors: float, send: dict[int, float], take: dict[int, float]
) -> None:
    pair = bench()
    pair.load(seed, errors)
    pair.rates(send, take)
    pair.run(40_000)
    pair.drain()
    verdict = pair.verdict()
    assert verdict.wrong == ()
    assert verdict.taken == verdict.sent > 50
    if not errors:
        assert pair.count(0, "back") == pair.count(1, "back") == pair.count(0, "repeated") == 0
    if errors == 1 / 10 and send is EVERYONE:
        assert pair.count(0, "bad") > 40
        assert pair.model["hits__1"] > 40


@pytest.mark.parametrize("senders", [(0,), (0, 1), (0, 2), (0, 1, 2, 3)], ids=str)
def test_a_full_link_leaves_no_more_than_a_twentieth_of_the_line_idle(
    link: LinkBench, senders: tuple[int, ...]
) -> None:
    sizes = link.sizes
    link.rates(dict.fromkeys(senders, 1.0), {})
    link.run(2_000)
    words, taken, cycles = link.model["words__0"], sum(link.read("taken", n) for n in (2, 3)), 20_000
    link.run(cycles)
    assert link.model["words__0"] - words >= 0.95 * cycles
    vectors = sum(link.read("taken", n) for n in (2, 3)) - taken
    longest = sizes.link.packet / sizes.packet_words  # vectors a cycle in the longest packets
    assert vectors >= 0.95 * longest * cycles


def test_one_packet_in_a_hundred_harmed_is_asked_for_once_and_costs_little_of_the_rate(seed: int) -> None:
    pair = bench()
    clean, harmed = (pair.rate(seed, errors, 80_000) for errors in (0, 1 / 100))
    assert 0.93 * clean <= harmed < clean
    damaged, back = (sum(pair.count(side, name) for side in (0, 1)) for name in ("bad", "back"))
    assert 10 < back <= damaged  # each is asked for once


def test_the_words_on_the_wire_are_those_of_the_golden_model(link: LinkBench) -> None:
    link.rates({0: 0.4, 1: 0.1, 3: 0.2}, {})
    link.model["run"] = 1
    packets = [(words, decode(link.sizes, words)) for words in link.watch(0, 6_000)]
    assert all(encode(link.sizes, packet) == words for words, packet in packets)
    data = [packet for _, packet in packets if packet.kind is Kind.DATA]
    assert {packet.channel for packet in data} == {0, 1}
    assert all(packet.address == Address(0, 1, PROGRAM, packet.channel) for packet in data)
    modulus = 2 * link.sizes.link.window
    assert [packet.sequence for packet in data] == [k % modulus for k in range(len(data))]
    assert sum(len(packet.vectors) for packet in data) > 500
    _acknowledges_what_came(data)


def _acknowledges_what_came(data: list[Packet]) -> None:
    """The other side sends as well, so acknowledgements and credits go with our data."""
    assert len({packet.ack for packet in data}) > 8
    assert len({packet.credits for packet in data}) > 8
    assert not any(packet.nak for packet in data)


def test_a_channel_that_nobody_takes_from_holds_up_no_other(link: LinkBench) -> None:
    link.rates(EVERYONE, {2: 0.0})  # side 1, channel 0
    link.run(20_000)
    stuck, before = link.read("taken", 2), [link.read("taken", n) for n in (0, 1, 3)]
    link.run(5_000)
    after = [link.read("taken", n) for n in (0, 1, 3)]
    assert link.read("taken", 2) == stuck == 0
    assert all(late - early > 500 for early, late in zip(before, after, strict=True))
    link.rates({}, {})
    link.drain()
    assert link.verdict().wrong == ()


def test_a_link_with_nothing_to_say_says_nothing(link: LinkBench) -> None:
    link.rates({0: 0.1, 3: 0.1}, {})
    link.run(2_000)
    link.drain()
    words = link.model["words__0"], link.model["words__1"]
    link.model.tick(10 * link.sizes.link.timeout)
    assert (link.model["words__0"], link.model["words__1"]) == words


def test_acknowledgements_lost_on_the_way_are_given_again(link: LinkBench) -> None:
    link.model["cut"] = 0b10  # what side 1 says is lost
    link.rates({0: 0.1}, {})
    while link.read("made", 0) < link.sizes.link.window // 2:  # each may be a packet of its own
        link.run(1)
    link.model["run"] = 0
    link.model.tick(link.sizes.link.timeout // 2)  # vectors come, their acknowledgements do not
    assert link.read("taken", 2) == link.read("made", 0) > 0
    link.model["cut"] = 0
    link.drain()
    assert link.verdict().wrong == ()
    assert link.count(1, "repeated") > 0


def test_credits_lost_on_the_way_are_asked_for(link: LinkBench) -> None:
    link.rates({0: 1.0}, {2: 0.0})
    link.run(4_000)  # until the receiver is full and everything is acknowledged
    link.model["cut"] = 0b10  # what side 1 says is lost
    link.rates({0: 1.0}, {2: 1.0})
    link.run(link.sizes.link.timeout // 2)
    link.model["cut"] = 0
    taken = link.read("taken", 2)
    link.run(2 * link.sizes.link.timeout)
    assert link.read("taken", 2) > taken
    link.drain()
    assert link.verdict().wrong == ()


def test_a_dead_wire_ends_in_a_fault_in_bounded_time_and_a_reset_mends_it(link: LinkBench) -> None:
    patience, model = link.sizes.link.patience, link.model
    link.rates({0: 0.5, 2: 0.5}, {})
    link.run(2_000)
    model["cut"] = 0b01
    cycles = link.until("fault__0", Fault.NOT_ACKNOWLEDGED.value, 2 * patience)
    assert patience <= cycles <= patience + link.sizes.round_trip
    assert model["up"] & 1 == 0
    words = model["words__0"]
    model.tick(100)
    words = model["words__0"]
    model.tick(5_000)
    assert model["words__0"] == words  # a link that was given up is silent
    _restart(link)
    link.rates(EVERYONE, {})
    link.run(3_000)
    link.drain()
    assert link.verdict().wrong == ()


def _restart(link: LinkBench) -> None:
    """Both ends and the traffic, the wires whole."""
    link.load(link.model["words__0"])
    link.until("up", UP, 4 * link.sizes.link.timeout)


@pytest.mark.parametrize("first", [0, 1])
def test_an_end_that_is_reset_alone_is_noticed_by_the_other_and_both_start_anew(link: LinkBench, first: int) -> None:
    model, timeout = link.model, link.sizes.link.timeout
    link.rates({0: 0.5, 2: 0.5}, {})
    link.run(2_000)
    model["link_clear"] = 1 << first
    model.tick()
    model["link_clear"] = 0
    link.until(f"fault__{1 - first}", Fault.PEER_RESTARTED.value, 4 * timeout)
    assert model["up"] == 0
    model["link_clear"] = 1 << 1 - first
    model.tick(3)
    model["link_clear"] = 0
    link.until("up", UP, 6 * timeout)
    taken = link.total("taken")
    link.run(2_000)
    assert link.total("taken") > taken + 500
    assert model["fault__0"] == model["fault__1"] == 0


def test_a_link_comes_up_through_wires_that_harm_a_fifth_of_all_words(seed: int) -> None:
    pair = bench()
    hits = 0
    for k in range(20):
        pair.load(seed + k, 1 - (4 / 5) ** pair.sizes.packet_words)
        pair.until("up", UP, 200 * pair.sizes.link.timeout)
        hits += pair.model["hits__0"] + pair.model["hits__1"]
    assert hits > 20
