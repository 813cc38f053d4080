"""Where an address lives, and the port of one memory channel. Data and layouts; the models and the driver read it too.

The granules of a tier go round its channels: granule g is granule ``g // channels`` of channel ``g % channels``.
"""

import enum
from dataclasses import dataclass

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.memory.port import request_layout, response_layout
from hdl.params import ELEMENT_BITS, TAG_BITS, TIER_SHIFT, RDUParams, TierParams, require

CODE_BITS = 64
"""Data bits of one SECDED word; a narrower beat is one word."""


class Tier(enum.IntEnum):
    """The tiers by the number in an address."""

    HBM = 0
    DDR = 1

    @property
    def base(self) -> int:
        """First byte address of the tier."""
        return self << TIER_SHIFT


@dataclass(frozen=True)
class TierMap:
    """Geometry of one tier, all powers of two: widths in bits of the fields of a byte address within it.

    ``| above | channel_bits | granule_bits |``; a channel's own address is the same with the channel left out.
    """

    name: str
    channels: int
    channel_bits: int
    granule_bits: int
    capacity_bits: int

    @property
    def local_bits(self) -> int:
        """Width of a byte address within a channel."""
        return self.capacity_bits - self.channel_bits


def tier_params(params: RDUParams, tier: Tier) -> TierParams:
    return params.memory.hbm if tier is Tier.HBM else params.memory.ddr


def tier_map(params: RDUParams, tier: Tier) -> TierMap:
    """The geometry of ``tier``.

    Raises:
        ParameterError: a channel is smaller than two granules.
    """
    sizes, granule = tier_params(params, tier), params.memory.granule * params.beat_bytes
    require(
        sizes.capacity >= 2 * granule * sizes.channels,
        f"{params.name}: {sizes.channels} channels share {sizes.capacity} bytes of {tier.name}, less than two granules "
        f"of {granule} bytes each",
    )
    bits = [value.bit_length() - 1 for value in (sizes.channels, granule, sizes.capacity)]
    return TierMap(tier.name.lower(), sizes.channels, *bits)


def local_bits(params: RDUParams) -> int:
    """Width of a byte address within any channel of either tier."""
    return max(tier_map(params, tier).local_bits for tier in Tier)


def code_words(params: RDUParams) -> tuple[int, int]:
    """SECDED words of a beat, and the data bits of each."""
    beat = ELEMENT_BITS * params.lanes
    return max(1, beat // CODE_BITS), min(beat, CODE_BITS)


def tag_bits(requesters: int) -> int:
    """Width of a tag behind the network: the requester's own below, the requester's index above."""
    return TAG_BITS + (requesters - 1).bit_length()


def channel_request(params: RDUParams, tags: int) -> data.StructLayout:
    """One request flit to a channel: the address is the channel's own, the tag has ``tags`` bits."""
    return _changed(request_layout(params), {"address": local_bits(params), "tag": tags})


def channel_response(params: RDUParams, tags: int) -> data.StructLayout:
    """One response flit of a channel."""
    return _changed(response_layout(params), {"tag": tags})


def channel_port(params: RDUParams, tags: int) -> wiring.Signature:
    """The memory port of one channel, seen from the network."""
    return wiring.Signature(
        {
            "request": Out(stream.Signature(channel_request(params, tags))),
            "response": In(stream.Signature(channel_response(params, tags))),
        }
    )


def _changed(layout: data.StructLayout, fields: dict[str, int]) -> data.StructLayout:
    return data.StructLayout({**layout.members, **fields})
