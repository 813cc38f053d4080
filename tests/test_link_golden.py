"""Packets as words, and the ways of vectors between sockets."""

import zlib
from dataclasses import replace

import numpy as np
import pytest

from golden_model.link import Address, Links, Packet, PacketError, Stream, decode, encode
from hdl.errors import ParameterError
from hdl.link.layout import Kind, LinkSizes, Refusal
from hdl.params import LinkParams

WIDTHS = (8, 16, 24, 48, 80, 128, 256)


def sizes_of(width: int, lanes: int = 4) -> LinkSizes:
    words = 1024 // width + 1
    return LinkSizes(
        lanes, LinkParams(width=width, depth=512, packet=16, window=16, timeout=200 * words, patience=10**6)
    )


def random_packet(sizes: LinkSizes, rng: np.random.Generator) -> Packet:
    link = sizes.link
    vectors = tuple(int.from_bytes(rng.bytes(10), "little") for _ in range(rng.integers(0, link.packet + 1)))
    return Packet(
        Kind.DATA,
        int(rng.integers(2 * link.window)),
        bool(rng.integers(2)),
        tuple(int(count) for count in rng.integers(2 * link.depth, size=link.channels)),
        int(rng.integers(link.channels)),
        int(rng.integers(2 * link.window)),
        Address(*(int(rng.integers(1 << bits)) for bits in (4, 4, 16, 8))),
        vectors,
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_a_packet_comes_back_from_its_words_at_any_width(width: int, rng: np.random.Generator) -> None:
    sizes = sizes_of(width)
    for _ in range(20):
        packet = random_packet(sizes, rng)
        words = encode(sizes, packet)
        assert len(words) == sizes.overhead_words + len(packet.vectors) * sizes.vector_words
        assert decode(sizes, words) == packet


@pytest.mark.parametrize("width", WIDTHS)
def test_any_flipped_bit_or_missing_word_is_noticed(width: int, rng: np.random.Generator) -> None:
    sizes = sizes_of(width)
    words = encode(sizes, random_packet(sizes, rng))
    for k in range(len(words)):
        bit = 1 << int(rng.integers(min(width, 32)))
        with pytest.raises(PacketError):
            decode(sizes, [word ^ bit if i == k else word for i, word in enumerate(words)])
        with pytest.raises(PacketError):
            decode(sizes, words[:k] + words[k + 1 :])


def test_the_checksum_is_that_of_zlib_over_the_words_in_memory_order() -> None:
    sizes = sizes_of(32)
    words = encode(sizes, Packet(Kind.CONTROL, ack=3, credits=(1, 2)))
    assert words[-1] == zlib.crc32(b"".join(word.to_bytes(4, "little") for word in words[:-1]))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": 12}, "link: a width of 12 bits is not a multiple of 8 in 8..1024"),
        ({"window": 3}, "link: 3 packets of the window is not a power of two in 2..256"),
        ({"patience": 1000}, "link: a patience of 1000 cycles is not in 2048..2**32 - 1"),
        ({"window": 2}, "one stream would get 43% of its rate; take a longer window"),
        ({"depth": 32}, "one channel would get 40% of its rate; take a deeper buffer"),
        ({"timeout": 190}, "packets would be sent again that are not lost"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused_with_a_sentence(change: dict[str, int], sentence: str) -> None:
    with pytest.raises(ParameterError) as refused:
        LinkSizes(4, replace(LinkParams(), **change))
    assert sentence in str(refused.value)


def ring(*sockets: int) -> dict[tuple[int, int], tuple[int, int]]:
    """Link 0 of each joined to link 1 of the next, round the ring."""
    joined = {}
    for here, there in zip(sockets, (*sockets[1:], sockets[0]), strict=True):
        joined[here, 0], joined[there, 1] = (there, 1), (here, 0)
    return joined


SAFE = {
    **{(s, (s + 1) % 4): 0 for s in range(4)},
    **{(s, (s - 1) % 4): 1 for s in range(4)},
    **{(0, 2): 0, (2, 0): 1, (1, 3): 1, (3, 1): 0},
}
"""Shortest ways in a ring of four; the two across go through sockets 1 and 0, both ways."""


def test_a_ring_of_four_has_routes_that_cannot_wait_for_each_other() -> None:
    links = Links(ring(0, 1, 2, 3), SAFE)
    assert links.way(0, 2) == [(0, 0), (1, 0)]
    assert links.way(1, 3) == [(1, 1), (0, 1)]


def test_routes_that_all_go_round_the_same_way_are_refused() -> None:
    with pytest.raises(ParameterError, match="may wait for each other in a circle"):
        Links(ring(0, 1, 2, 3), SAFE | {(2, 0): 0, (1, 3): 0, (3, 1): 0})


@pytest.mark.parametrize(
    ("routes", "sentence"),
    [
        ({(0, 2): 0}, "end at socket 1, which has no route for them"),
        ({(0, 2): 0, (1, 2): 1}, "turn back at socket 1"),
        ({(0, 3): 0, (1, 3): 0, (2, 3): 0}, "go round in a loop"),
        ({(0, 1): 2}, "would leave by link 2 of socket 0, which is joined to nothing"),
    ],
)
def test_a_route_that_arrives_nowhere_is_refused_with_a_sentence(
    routes: dict[tuple[int, int], int], sentence: str
) -> None:
    with pytest.raises(ParameterError) as refused:
        Links(ring(0, 1, 2), routes)
    assert sentence in str(refused.value)


def test_vectors_of_another_program_or_without_a_route_are_counted_where_they_end() -> None:
    links = Links(ring(0, 1, 2, 3), SAFE)
    right, other, nowhere = (
        Stream(Address(0, 2, program=7)),
        Stream(Address(0, 2, program=8)),
        Stream(Address(0, 9, program=7)),
    )
    delivered, refused = links.deliver([(right, [1, 2]), (other, [3, 4, 5]), (nowhere, [6])], {0: 7, 2: 7})
    assert delivered == {right: [1, 2]}
    assert refused == {2: {Refusal.PROGRAM: 3}, 0: {Refusal.ROUTE: 1}}
