"""AXI4 and AXI4-Lite, with the standard signal names, so that any vendor's controller or interconnect plugs in.

Source: AMBA AXI and ACE Protocol Specification, ARM IHI 0022H. Signals that the standard lets a master leave out
(LOCK, CACHE, QOS, REGION) are left out.
"""

import enum

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Burst(enum.IntEnum):
    """AxBURST: how the address moves within a burst."""

    FIXED = 0
    INCR = 1
    WRAP = 2


class Resp(enum.IntEnum):
    """RRESP, BRESP; bit 1 says that something went wrong."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def axi4(address_bits: int, data_bits: int, id_bits: int = 1, user_bits: int = 0) -> wiring.Signature:
    """AXI4 seen from the master; ``user_bits`` of WUSER and RUSER travel beside each beat, none when zero."""
    request = {"addr": address_bits, "id": id_bits, "len": 8, "size": 3, "burst": 2}
    members = {
        **{f"{channel}{name}": Out(width) for channel in ("aw", "ar") for name, width in request.items()},
        **_handshake("aw", Out),
        **_handshake("ar", Out),
        "wdata": Out(data_bits),
        "wstrb": Out(data_bits // 8),
        "wlast": Out(1),
        **_handshake("w", Out),
        "bid": In(id_bits),
        "bresp": In(2),
        **_handshake("b", In),
        "rdata": In(data_bits),
        "rid": In(id_bits),
        "rresp": In(2),
        "rlast": In(1),
        **_handshake("r", In),
    }
    if user_bits:
        members |= {"wuser": Out(user_bits), "ruser": In(user_bits)}
    return wiring.Signature(members)


def axi4_lite(address_bits: int, data_bits: int = 32) -> wiring.Signature:
    """AXI4-Lite seen from the master."""
    return wiring.Signature(
        {
            **{
                f"{channel}{name}": Out(bits)
                for channel in ("aw", "ar")
                for name, bits in (("addr", address_bits), ("prot", 3))
            },
            **_handshake("aw", Out),
            **_handshake("ar", Out),
            "wdata": Out(data_bits),
            "wstrb": Out(data_bits // 8),
            **_handshake("w", Out),
            "bresp": In(2),
            **_handshake("b", In),
            "rdata": In(data_bits),
            "rresp": In(2),
            **_handshake("r", In),
        }
    )


def _handshake(channel: str, flow: wiring.Flow) -> dict[str, wiring.Member]:
    back = In if flow is Out else Out
    return {f"{channel}valid": flow(1), f"{channel}ready": back(1)}
