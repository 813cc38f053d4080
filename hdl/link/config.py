"""The links of a socket as a unit: its sizes, configuration and status; what hardware, golden model and manual share.

Channel c of the links ends in the vector network west of row c: what leaves the mesh there goes to other sockets, what
comes from them enters there.
"""

from functools import cache

from amaranth.lib import data

from hdl.config import STATUS_BASE, word_count
from hdl.link.layout import FLOW_BITS, SOCKET_BITS, LinkSizes, routes_layout
from hdl.link.peer_link import COUNTERS
from hdl.params import RDUParams, require


@cache
def link_sizes(params: RDUParams) -> LinkSizes:
    """The links of a socket of this machine.

    Raises:
        ParameterError: they do not fit their latency, the mesh or the configuration bus.
    """
    rows, link = params.rows, params.link
    require(
        link.channels <= rows,
        f"{params.name}: {link.channels} channels of the links need a row of the mesh each, and it has {rows}",
    )
    sizes = LinkSizes(params.lanes, link)
    words = word_count(_layout(params, sizes))
    require(
        words <= STATUS_BASE,
        f"{params.name}: {link.channels} channels with {params.rdn.flows} flows each take {words} configuration words, "
        f"the links have {STATUS_BASE}: take fewer",
    )
    return sizes


def flow_layout() -> data.StructLayout:
    """Where a flow that leaves the mesh goes: a socket, and the flow id with which it enters the mesh there."""
    return data.StructLayout({"valid": 1, "destination": SOCKET_BITS, "flow": FLOW_BITS})


def _layout(params: RDUParams, sizes: LinkSizes) -> data.StructLayout:
    flows = data.ArrayLayout(data.ArrayLayout(flow_layout(), params.rdn.flows), params.link.channels)
    return data.StructLayout({"routes": routes_layout(sizes), "flows": flows})


@cache
def links_layout(params: RDUParams) -> data.StructLayout:
    """Everything a program sets in the links of a socket; ``routes.running``: it uses them."""
    return _layout(params, link_sizes(params))


@cache
def status_names(params: RDUParams) -> tuple[str, ...]:
    """Status words in order of address: state of the links, vectors refused and the first of them, flits without a
    flow, and counters of each link."""
    counters = (f"link_{k}_{name}" for k in range(params.link.links) for name in COUNTERS)
    return ("up", "faults", "refused", "refused_reason", "refused_address", "dropped", *counters)


FAULT_BITS = 4
"""Of each link in the status word ``faults``."""


@cache
def lost_layout() -> data.StructLayout:
    """A link was given up that a program uses: which, and why."""
    return data.StructLayout({"valid": 1, "link": 8, "fault": 8})
