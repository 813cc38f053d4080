"""The port between whoever uses memory and whoever answers: bursts of vector-sized beats.

A burst is 1 to ``granule`` beats and never crosses a granule. Addresses are byte addresses, aligned to a beat; bits
from ``TIER_SHIFT`` up name the tier. Requests carry a tag of the requester's choice; responses come back in any order
of tags, the beats of one response in order and together.
"""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hdl.params import ELEMENT_BITS, MEMORY_ADDRESS_BITS, TAG_BITS, RDUParams


def request_layout(params: RDUParams) -> data.StructLayout:
    """One request flit. A read is one flit; a write one flit a beat, all with the same header.

    - ``length``: beats of the burst less one; ``last``: the last flit of the request.
    - ``strobe``: which 16-bit elements of ``data`` are written.
    """
    return data.StructLayout(
        {
            "data": ELEMENT_BITS * params.lanes,
            "strobe": params.lanes,
            "address": MEMORY_ADDRESS_BITS,
            "length": range(params.memory.granule),
            "tag": TAG_BITS,
            "write": 1,
            "last": 1,
        }
    )


def response_layout(params: RDUParams) -> data.StructLayout:
    """One response flit. A read is answered by one flit a beat, a write by one flit when it is visible to all reads.

    ``error``: the address is nowhere, or a word had two flipped bits; the data of that beat are wrong.
    """
    return data.StructLayout({"data": ELEMENT_BITS * params.lanes, "tag": TAG_BITS, "write": 1, "error": 1, "last": 1})


def memory_port(params: RDUParams) -> wiring.Signature:
    """Seen from the requester."""
    return wiring.Signature(
        {
            "request": Out(stream.Signature(request_layout(params))),
            "response": In(stream.Signature(response_layout(params))),
        }
    )
