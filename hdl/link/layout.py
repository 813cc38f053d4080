"""Packets of a peer link: their sizes, fields and words; what hardware, golden model and manual share.

A packet is a header, up to ``packet`` vectors, and the CRC-32 of all words before it. Each of the three parts begins in
a word of its own; what is left of a part's last word is zero.
"""

import enum
from dataclasses import dataclass, field
from functools import cached_property

from amaranth.hdl import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hdl import crc
from hdl.params import LinkParams, require
from hdl.streams import vector_layout

SOCKET_BITS = 4
PROGRAM_BITS = 16
FLOW_BITS = 8
COUNT_BITS = 32


class Kind(enum.Enum):
    """What a packet is for. Only DATA has a sequence number, and is sent again until it is acknowledged."""

    DATA = 0
    CONTROL = 1
    HELLO = 2
    HEARD = 3


class Fault(enum.Enum):
    """Why a link was given up."""

    NONE = 0
    NOT_ACKNOWLEDGED = 1
    PEER_RESTARTED = 2


class Refusal(enum.Enum):
    """Why a vector was not delivered."""

    NONE = 0
    PROGRAM = 1
    ROUTE = 2


@dataclass(frozen=True)
class LinkSizes:
    """A link and the vectors it carries.

    Raises:
        ParameterError: window, buffers or timeout are too small for the time a packet and its answer take.
    """

    lanes: int
    link: LinkParams = field(default_factory=LinkParams)

    ANSWER = 16
    """Cycles that the hardware at both ends adds to the round trip, at most."""

    def __post_init__(self) -> None:
        window, depth = self.link.window * self.packet_words, self.link.depth * self.vector_words
        trip, share = self.round_trip, "{:.0%} of its rate"
        require(
            window >= trip,
            f"link: a window of {self.link.window} packets is {window} words, less than the {trip} cycles of a round "
            f"trip: one stream would get {share.format(window / trip)}; take a longer window, or longer packets",
        )
        require(
            depth >= trip,
            f"link: a buffer of {self.link.depth} vectors is {depth} words, less than the {trip} cycles of a round "
            f"trip: one channel would get {share.format(depth / trip)}; take a deeper buffer",
        )
        require(
            self.link.timeout >= trip + self.packet_words,
            f"link: a timeout of {self.link.timeout} cycles is less than {trip + self.packet_words}, a packet and the "
            "round trip of its acknowledgement: packets would be sent again that are not lost",
        )

    def words(self, shape: object) -> int:
        """Words that a part of this shape takes."""
        return -(-int(Shape.cast(shape).width) // self.link.width)

    @property
    def vector(self) -> data.StructLayout:
        return vector_layout(self.lanes)

    @cached_property
    def header_words(self) -> int:
        return self.words(header_layout(self))

    @cached_property
    def vector_words(self) -> int:
        return self.words(self.vector)

    @cached_property
    def check_words(self) -> int:
        return self.words(crc.BITS)

    @property
    def overhead_words(self) -> int:
        """Of a packet, beside its vectors."""
        return self.header_words + self.check_words

    @property
    def packet_words(self) -> int:
        """Of the longest packet."""
        return self.overhead_words + self.link.packet * self.vector_words

    @property
    def round_trip(self) -> int:
        """Cycles from the first word of a packet until its acknowledgement is read, at most: the packet, what the peer
        is sending just then, and the packet that brings the answer; the wire both ways; the hardware's own."""
        return 3 * self.packet_words + 2 * self.link.latency + self.ANSWER


def address_layout() -> data.StructLayout:
    """Whose vectors they are and where they go; the same for all vectors of a packet."""
    return data.StructLayout(
        {"source": SOCKET_BITS, "destination": SOCKET_BITS, "program": PROGRAM_BITS, "flow": FLOW_BITS}
    )


def credits_layout(sizes: LinkSizes) -> data.ArrayLayout:
    """For each channel a number modulo twice the buffer's depth, which never differs by more than the depth."""
    return data.ArrayLayout(range(2 * sizes.link.depth), sizes.link.channels)


def status_layout(sizes: LinkSizes) -> data.StructLayout:
    """What an end tells the other in every header.

    It is the whole state and no event, so that one that is lost is made good by the next.
    """
    return data.StructLayout({"ack": range(2 * sizes.link.window), "nak": 1, "credits": credits_layout(sizes)})


def header_layout(sizes: LinkSizes) -> data.StructLayout:
    """The first part of a packet."""
    return data.StructLayout(
        {
            "kind": Kind,
            "channel": range(sizes.link.channels),
            "length": range(sizes.link.packet + 1),
            "sequence": range(2 * sizes.link.window),
            "address": address_layout(),
            "status": status_layout(sizes),
        }
    )


def beat_layout(sizes: LinkSizes) -> data.StructLayout:
    """A vector on its way through a socket's links."""
    return data.StructLayout({"vector": sizes.vector, "address": address_layout()})


def send_layout(sizes: LinkSizes) -> data.StructLayout:
    """A vector as this socket gives it to its links."""
    return data.StructLayout({"vector": sizes.vector, "destination": SOCKET_BITS, "flow": FLOW_BITS})


def receive_layout(sizes: LinkSizes) -> data.StructLayout:
    """A vector as this socket gets it from its links."""
    return data.StructLayout({"vector": sizes.vector, "source": SOCKET_BITS, "flow": FLOW_BITS})


def word_layout(sizes: LinkSizes) -> data.StructLayout:
    """A word on the wire; ``first`` marks the first of a packet, as a comma does in a line code."""
    return data.StructLayout({"data": sizes.link.width, "first": 1})


def wire_signature(sizes: LinkSizes) -> wiring.Signature:
    """One way, seen from the sender; nothing holds it back."""
    return wiring.Signature({"word": Out(word_layout(sizes)), "valid": Out(1)})


def routes_layout(sizes: LinkSizes) -> data.StructLayout:
    """Configuration of a socket: its number, the program that runs, and for each socket the link that leads there."""
    route = data.StructLayout({"valid": 1, "link": range(sizes.link.links)})
    return data.StructLayout(
        {
            "socket": SOCKET_BITS,
            "running": 1,
            "program": PROGRAM_BITS,
            "routes": data.ArrayLayout(route, 1 << SOCKET_BITS),
        }
    )


def refused_layout() -> data.StructLayout:
    """What a socket did not deliver: how many vectors, and of the first why and its address."""
    return data.StructLayout({"count": COUNT_BITS, "reason": Refusal, "address": address_layout()})
