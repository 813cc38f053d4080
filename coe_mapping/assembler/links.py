"""The links of a socket in configuration words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hdl.config import pack
from hdl.link.config import links_layout
from hdl.link.layout import SOCKET_BITS
from hdl.params import RDUParams


@dataclass(frozen=True)
class LinksProgram:
    """What the links of a socket do for a program.

    Attributes:
        socket, program: number of the socket, and of the program that runs on all of them.
        routes: link by destination.
        flows: by channel and flow id with which a stream leaves the mesh, its destination, and the flow id with which
            it enters the mesh there.
        rounds: of the program.
    """

    socket: int = 0
    program: int = 0
    routes: Mapping[int, int] = field(default_factory=dict)
    flows: Mapping[tuple[int, int], tuple[int, int]] = field(default_factory=dict)
    rounds: int = 1


def assemble(params: RDUParams, program: LinksProgram) -> list[int]:
    """The configuration words.

    Raises:
        ParameterError: a number that does not fit its field.
    """
    routes = {
        destination: {"valid": 1, "link": link}
        for destination, link in program.routes.items()
        if 0 <= destination < 1 << SOCKET_BITS
    }
    flows: dict[int, dict[int, dict[str, int]]] = {}
    for (channel, flow), (destination, there) in program.flows.items():
        flows.setdefault(channel, {})[flow] = {"valid": 1, "destination": destination, "flow": there}
    head = {"socket": program.socket, "running": 1, "program": program.program, "routes": routes}
    return pack(links_layout(params), {"routes": head, "flows": flows})
