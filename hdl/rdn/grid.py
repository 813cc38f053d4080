"""Who is whose neighbour in the mesh of a socket. Data only."""

from hdl.floorplan import Side
from hdl.params import RDUParams

Node = tuple[int, int]
"""(row, column) of a switch in the socket."""

STEPS = {Side.NORTH: (-1, 0), Side.EAST: (0, 1), Side.SOUTH: (1, 0), Side.WEST: (0, -1)}


def neighbour(params: RDUParams, node: Node, side: Side) -> Node | None:
    """The switch beside ``node``, or None at the edge of the mesh."""
    row, column = node[0] + STEPS[side][0], node[1] + STEPS[side][1]
    inside = 0 <= row < params.rows and 0 <= column < params.columns * params.tiles
    return (row, column) if inside else None


def crosses_tiles(params: RDUParams, node: Node, other: Node) -> bool:
    """Whether two neighbours belong to different tiles."""
    return node[1] // params.columns != other[1] // params.columns
