"""Three sockets in a ring: what passes through a socket, what is refused, and that nothing else is."""

import numpy as np
import pytest

from golden_model.link import Address, Links, Stream
from hdl.link.layout import LinkSizes, Refusal
from hdl.link.peers import Peers
from hdl.params import LinkParams
from verif.benches.link_ring import BACK, FORWARD, RingBench, bench, ring
from verif.benches.rdn_traffic import COUNT_BITS
from verif.lint import complaints

SOCKETS = 3
SHORTEST = {(s, (s + 1) % SOCKETS): FORWARD for s in range(SOCKETS)} | {
    (s, (s - 1) % SOCKETS): BACK for s in range(SOCKETS)
}
LINE = SHORTEST | {(0, 2): FORWARD, (2, 0): BACK}
"""As if the link between sockets 2 and 0 were not there: all between them passes through socket 1."""
PROGRAMS = dict.fromkeys(range(SOCKETS), 0xBEEF)


def send(ring_bench: RingBench, sends: dict[int, tuple[float, int]], cycles: int) -> dict[int, int]:
    """Runs senders by number with (rate, destination) and drains; vectors each made."""
    for number, (rate, destination) in sends.items():
        ring_bench.set(number, rate, destination)
    ring_bench.run(cycles)
    ring_bench.drain()
    assert all(ring_bench.read("wrong", number) == 0 for number in range(ring_bench.numbers))
    assert ring_bench.model["astray"] == 0
    return {number: ring_bench.read("made", number) for number in sends}


@pytest.mark.parametrize("errors", [0, 1 / 100])
@pytest.mark.parametrize("routes", [SHORTEST, LINE], ids=["ring", "line"])
def test_random_streams_between_all_sockets_arrive_complete_and_in_order(
    rng: np.random.Generator, routes: dict[tuple[int, int], int], errors: float
) -> None:
    three, links = bench(), Links(ring(SOCKETS), routes)
    three.load(links, PROGRAMS, int(rng.integers(1 << 32)), errors)
    sends = {n: (rng.choice([0.02, 0.3, 1.0]), int(rng.integers(SOCKETS))) for n in range(three.numbers)}
    made = send(three, sends, 8_000)
    for number, (_, destination) in sends.items():
        channel = number % three.channels
        for socket in range(SOCKETS):
            got = three.count(socket * three.channels + channel, number)
            assert got == (made[number] if socket == destination else 0)
    assert [three.refused(socket)[0] for socket in range(SOCKETS)] == [0] * SOCKETS


def test_what_passes_through_a_socket_fills_the_line(seed: int) -> None:
    three = bench()
    three.load(Links(ring(SOCKETS), LINE), PROGRAMS, seed)
    three.set(0, 1.0, destination=2)
    three.run(3_000)
    taken, cycles = three.read("taken", 2 * three.channels), 10_000
    three.run(cycles)
    longest = three.sizes.link.packet / three.sizes.packet_words
    assert three.read("taken", 2 * three.channels) - taken >= 0.95 * longest * cycles


def test_vectors_of_another_program_are_refused_and_reported_and_hold_up_nothing(seed: int) -> None:
    three, links = bench(), Links(ring(SOCKETS), LINE)
    running = {0: 0xBEEF, 1: 0xBEEF, 2: 0xFEED}
    three.load(links, running, seed)
    made = send(three, {0: (0.4, 2), 1: (0.1, 1), 2: (0.2, 0)}, 4_000)
    _, refused = links.deliver([(Stream(Address(0, 2, 0xBEEF)), range(made[0]))], running)
    assert three.refused(2) == (refused[2][Refusal.PROGRAM], Refusal.PROGRAM, (0, 2, 0xBEEF, 0))
    assert [three.refused(socket)[0] for socket in (0, 1)] == [0, 0]
    channels = three.channels
    assert three.read("taken", 2 * channels) == 0
    assert three.count(channels + 1, 1) == made[1]
    assert three.count(0, 2) == made[2]
    later = send(three, {0: (0.0, 2), 3: (0.2, 2)}, 1_000)
    assert three.refused(2) == (made[0] + later[3], Refusal.PROGRAM, (0, 2, 0xBEEF, 0))  # the first is kept


def test_streams_that_share_a_link_share_it_fairly_and_in_long_packets(seed: int) -> None:
    three = bench()
    three.load(Links(ring(SOCKETS), LINE), PROGRAMS, seed)
    own, passing = three.channels, 0  # channel 0 of sockets 1 and 0
    three.set(own, 1.0, destination=2)
    three.set(passing, 1.0, destination=2)
    three.run(4_000)
    receiver, cycles = 2 * three.channels, 20_000
    before = [three.count(receiver, sender) for sender in (own, passing)]
    three.run(cycles)
    rates = [
        (three.count(receiver, sender) - n) % (1 << COUNT_BITS) / cycles
        for sender, n in zip((own, passing), before, strict=True)
    ]
    longest = three.sizes.link.packet / three.sizes.packet_words
    assert sum(rates) >= 0.95 * longest
    assert rates[0] == pytest.approx(rates[1], rel=0.05)


def test_slow_streams_that_share_a_link_keep_their_addresses(seed: int) -> None:
    """So slow that they change in the middle of packets."""
    three = bench()
    three.load(Links(ring(SOCKETS), LINE), PROGRAMS, seed)
    made = send(three, {0: (0.15, 2), three.channels: (0.15, 2)}, 4_000)
    assert {sender: three.count(2 * three.channels, sender) for sender in made} == made


@pytest.mark.parametrize("link", [None, BACK], ids=["none", "back"])
def test_vectors_without_a_route_are_refused_where_it_ends(seed: int, link: int | None) -> None:
    three = bench()
    routes = {key: link for key, link in LINE.items() if key != (1, 2)} | ({} if link is None else {(1, 2): link})
    three.load(_unchecked(routes), PROGRAMS, seed)
    made = send(three, {0: (0.1, 2), 1: (0.1, 1), 3: (0.1, 9)}, 3_000)
    count, reason, first = three.refused(1)
    assert (count, reason) == (made[0] + made[3], Refusal.ROUTE)
    assert first in ((0, 2, 0xBEEF, 0), (1, 9, 0xBEEF, 3))
    assert three.count(three.channels + 1, 1) == made[1]


def _unchecked(routes: dict[tuple[int, int], int]) -> Links:
    """Routes that the golden model would refuse."""
    links = object.__new__(Links)
    object.__setattr__(links, "routes", routes)
    return links


def test_what_comes_for_a_socket_that_runs_nothing_waits_until_it_does(seed: int) -> None:
    three, links = bench(), Links(ring(SOCKETS), SHORTEST)
    three.load(links, {0: 0, 2: 0}, seed)
    made = send(three, {0: (0.2, 1), 1: (0.2, 2)}, 2_000)
    assert links.deliver([(Stream(Address(0, 1)), range(made[0]))], {0: 0, 2: 0}) == ({}, {})
    assert (three.read("taken", three.channels), three.refused(1)[0]) == (0, 0)
    assert three.count(2 * three.channels + 1, 1) == made[1]
    three.configure(1, links, {1: 0})
    three.drain()
    assert three.count(three.channels, 0) == made[0]


def test_a_new_program_finds_nothing_of_the_one_before(seed: int) -> None:
    """Vectors that wait at the socket's end, in its buffers and on the way when the program changes are never taken."""
    three, links = bench(), Links(ring(SOCKETS), SHORTEST)
    three.load(links, PROGRAMS, seed)
    three.set(0, 1.0, destination=1)
    three.set(three.channels, take=0.0)
    three.run(4_000)
    three.model["run"] = 0
    three.configure(1, links, {1: 0xFEED})
    three.model["drop"] = 0b010
    three.model.tick(2)
    three.model["drop"] = 0
    three.set(three.channels, take=1.0)
    three.drain()
    assert three.read("taken", three.channels) == 0
    assert three.refused(1)[1] is Refusal.PROGRAM
    assert three.refused(1)[0] >= three.sizes.link.depth


def test_the_links_of_a_socket_are_lint_clean_at_other_sizes() -> None:
    link = LinkParams(
        width=16, latency=4, packet=4, window=16, channels=3, depth=64, timeout=512, patience=4096, links=3
    )
    assert complaints(Peers(LinkSizes(2, link)), "peers") == ""
