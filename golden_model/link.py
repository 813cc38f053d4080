"""Peer links in Python: a packet's words from its fields and back; and where the vectors of a node's sockets go.

What a link does is nothing: its vectors come out as they went in, in order in each channel. All that is to say of it is
how a packet looks on the wire, and of several links which way a vector takes and where it is refused.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeVar

from hdl.errors import ParameterError
from hdl.fields import Fields, form
from hdl.link.layout import Kind, LinkSizes, Refusal, header_layout
from hdl.params import require


class PacketError(ValueError):
    """Words that are no packet; the message says why."""


@dataclass(frozen=True)
class Address:
    """Whose vectors they are and where they go."""

    source: int = 0
    destination: int = 0
    program: int = 0
    flow: int = 0


@dataclass(frozen=True)
class Packet:
    """A packet by its fields; ``vectors`` are the bits of each, ``credits`` one count a channel."""

    kind: Kind
    ack: int = 0
    nak: bool = False
    credits: tuple[int, ...] = ()
    channel: int = 0
    sequence: int = 0
    address: Address = field(default_factory=Address)
    vectors: tuple[int, ...] = ()


def encode(sizes: LinkSizes, packet: Packet) -> list[int]:
    """The words of ``packet``, each ``width`` bits."""
    header = form(header_layout(sizes)).pack(
        {
            "kind": packet.kind,
            "channel": packet.channel,
            "length": len(packet.vectors),
            "sequence": packet.sequence,
            "address": vars(packet.address),
            "status": {"ack": packet.ack, "nak": packet.nak, "credits": packet.credits},
        }
    )
    words = _split(sizes, header, sizes.header_words)
    for vector in packet.vectors:
        words += _split(sizes, vector, sizes.vector_words)
    return words + _split(sizes, _crc(sizes, words), sizes.check_words)


def decode(sizes: LinkSizes, words: Sequence[int]) -> Packet:
    """The packet that these words are.

    Raises:
        PacketError: their number is not what the header says, or the checksum is wrong.
    """
    if len(words) < sizes.overhead_words:
        raise PacketError(f"{len(words)} words are no packet: the shortest has {sizes.overhead_words}")
    bits = _joined(sizes, words[: sizes.header_words]) & ((1 << form(header_layout(sizes)).size) - 1)
    header = Fields(form(header_layout(sizes)), bits)
    expected = sizes.overhead_words + header.length * sizes.vector_words
    if len(words) != expected:
        raise PacketError(f"{len(words)} words, but {header.length} vectors make {expected}")
    body, check = words[: -sizes.check_words], _joined(sizes, words[-sizes.check_words :])
    if check != _crc(sizes, body):
        raise PacketError(f"the checksum is {check:#010x}, of these words it would be {_crc(sizes, body):#010x}")
    first, step = sizes.header_words, sizes.vector_words
    status, address = header.status, header.address
    return Packet(
        Kind(header.kind),
        status.ack,
        bool(status.nak),
        tuple(status.credits),
        header.channel,
        header.sequence,
        Address(address.source, address.destination, address.program, address.flow),
        tuple(_joined(sizes, body[k : k + step]) for k in range(first, len(body), step)),
    )


def _split(sizes: LinkSizes, bits: int, count: int) -> list[int]:
    width = sizes.link.width
    return [bits >> width * k & ((1 << width) - 1) for k in range(count)]


def _joined(sizes: LinkSizes, words: Sequence[int]) -> int:
    return sum(word << sizes.link.width * k for k, word in enumerate(words))


def _crc(sizes: LinkSizes, words: Sequence[int]) -> int:
    return zlib.crc32(b"".join(word.to_bytes(sizes.link.width // 8, "little") for word in words))


Vector = TypeVar("Vector")
End = tuple[int, int]
"""A link of a socket: (socket, link)."""


@dataclass(frozen=True)
class Stream:
    """Vectors of one socket for another, on one channel."""

    address: Address
    channel: int = 0


@dataclass(frozen=True)
class Links:
    """The links of a node: which ends are joined, and which link each socket takes to each other.

    Attributes:
        joined: the other end of every end, both ways. routes: link by (socket, destination).

    Raises:
        ParameterError: a route leads to no link, back, or round in a loop, or routes could wait for each other.
    """

    joined: Mapping[End, End]
    routes: Mapping[End, int]

    def __post_init__(self) -> None:
        for end, other in self.joined.items():
            require(
                self.joined.get(other) == end, f"links: {_name(end)} leads to {_name(other)}, which does not lead back"
            )
        waits: dict[End, set[End]] = {}
        for source, destination in self.routes:
            way = self.way(source, destination)
            for first, second in pairwise(way):
                waits.setdefault(first, set()).add(second)
        _refuse_cycles(waits)

    def way(self, source: int, destination: int) -> list[End]:
        """The links that a vector takes, each by the end where it leaves.

        Raises:
            ParameterError: it never arrives; the message says where it stops.
        """
        way: list[End] = []
        here, what = source, f"links: vectors of socket {source} for socket {destination}"
        while here != destination:
            require((here, destination) in self.routes, f"{what} end at socket {here}, which has no route for them")
            end = here, self.routes[here, destination]
            require(end in self.joined, f"{what} would leave by {_name(end)}, which is joined to nothing")
            require(not way or self.joined[way[-1]] != end, f"{what} turn back at socket {here}")
            require(end not in way, f"{what} go round in a loop: {', '.join(map(_name, way))}")
            way.append(end)
            here = self.joined[end][0]
        return way

    def deliver(
        self, streams: Iterable[tuple[Stream, Sequence[Vector]]], running: Mapping[int, int]
    ) -> tuple[dict[Stream, list[Vector]], dict[int, dict[Refusal, int]]]:
        """What arrives of each stream, and what each socket refuses, in vectors by reason. The rest waits.

        Args:
            running: program that runs in each socket; where none does, what is not passed on waits for one.
        """
        delivered: dict[Stream, list[Vector]] = {}
        refused: dict[int, dict[Refusal, int]] = {}
        for stream, vectors in streams:
            address = stream.address
            try:
                self.way(address.source, address.destination)
            except ParameterError:
                where, reason = self._stops(address), Refusal.ROUTE
            else:
                where, reason = address.destination, Refusal.PROGRAM
                if running.get(where) == address.program:
                    delivered.setdefault(stream, []).extend(vectors)
                    continue
            if where not in running:
                continue
            reasons = refused.setdefault(where, {})
            reasons[reason] = reasons.get(reason, 0) + len(vectors)
        return delivered, refused

    def _stops(self, address: Address) -> int:
        """The socket on the way where there is no route, or only the one back."""
        here, came = address.source, None
        while (end := (here, self.routes.get((here, address.destination), -1))) in self.joined and end != came:
            came = self.joined[end]
            here = came[0]
        return here


def _name(end: End) -> str:
    return f"link {end[1]} of socket {end[0]}"


def _refuse_cycles(waits: Mapping[End, set[End]]) -> None:
    """A buffer waits for the next one on the way: without a cycle, the last can always move, then the one before it."""
    left = {end: set(after) for end, after in waits.items()}
    while left:
        free = [end for end, after in left.items() if not after & left.keys()]
        require(
            bool(free),
            f"links: routes over {', '.join(map(_name, sorted(left)))} may wait for each other in a circle: let one of "
            "them go the other way round",
        )
        for end in free:
            del left[end]
