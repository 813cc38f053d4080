"""Sockets in a ring: which links are joined, and which way vectors take. Data only."""

FORWARD, BACK = 0, 1
"""Link 0 of each socket is joined to link 1 of the next."""

LINKS = 2
"""Of a socket."""


def joined(sockets: int) -> dict[tuple[int, int], tuple[int, int]]:
    """The other end of every end (socket, link), both ways."""
    ends = {}
    for here in range(sockets):
        there = (here + 1) % sockets
        ends[here, FORWARD], ends[there, BACK] = (there, BACK), (here, FORWARD)
    return ends


def routes(sockets: int) -> dict[tuple[int, int], int]:
    """Link by (socket, destination): neighbours directly, all others never over the link from the last socket to the
    first, so that no ways wait for each other in a circle."""
    last = sockets - 1
    ways = {(a, b): FORWARD if a < b else BACK for a in range(sockets) for b in range(sockets) if a != b}
    return ways | ({(0, last): BACK, (last, 0): FORWARD} if sockets > 2 else {(1, 0): FORWARD})
