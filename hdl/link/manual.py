"""The tables and the drawing of ``docs/node.md``, made from the layouts: ``python -m hdl.link.manual`` prints them."""

from amaranth.lib import data

from hdl.fields import form
from hdl.link.config import FAULT_BITS, flow_layout, links_layout, status_names
from hdl.link.layout import Fault, LinkSizes, Refusal, header_layout, routes_layout
from hdl.link.peer_link import COUNTERS
from hdl.manual import fields, size, table
from hdl.params import DEMO

SIZES = LinkSizes(DEMO.lanes)

HEADER = {
    "kind": "data; or what an end says without data: its status, or how it comes up",
    "channel": "virtual channel",
    "length": "vectors that follow",
    "sequence": "number of a packet of data, modulo twice the window",
    "address.source": "socket whose vectors they are",
    "address.destination": "socket that is to get them",
    "address.program": "program they belong to",
    "address.flow": "for the two ends: which stream it is",
    "status.ack": "the number this end expects next: it has all before it",
    "status.nak": "and asks for it: what came last was damaged or out of order",
    "status.credits[]": "vectors that this end has taken out of the channel's buffer, modulo twice its depth",
}
ROUTES = {
    "socket": "number of this socket",
    "running": "a program runs that uses the links; while none does, what comes waits",
    "program": "its number: sent with every vector, asked of every vector that comes",
    "routes[].valid": "by destination: there is a way",
    "routes[].link": "the link to take",
}

FLOWS = {
    "valid": "by channel and flow id west of its row: such a flow goes to another socket",
    "destination": "the socket",
    "flow": "flow id with which it enters the mesh there",
}
STATUS = {
    "up": "bit k: link k is",
    "faults": f"{FAULT_BITS} bits a link: its fault",
    "refused": "vectors refused since the commit",
    "refused_reason": "of the first",
    "refused_address": "of the first: source, destination, program, flow",
    "dropped": "flits that left the mesh with a flow that goes nowhere",
}


def unit_table() -> str:
    """Markdown: what the links have as a unit beyond their routes; their status words."""
    flows = table((f"flows[][].{name}", shape, FLOWS[name]) for name, shape in fields(flow_layout()))
    names = status_names(DEMO)
    rows = [f"| {128 + i} | {name} | {STATUS[name]} |" for i, name in enumerate(names) if name in STATUS]
    counters = f"From {128 + len(STATUS)} on, of each link, packets: {', '.join(COUNTERS)}."
    sizes = size(links_layout(DEMO), " with the routes, for `demo`")
    return "\n".join([flows, "", f"{sizes}.", "", "| address | word | |", "|---|---|---|", *rows, "", counters])


def header_table() -> str:
    """Markdown: the fields of a header."""
    layout = header_layout(SIZES)
    words = f"{layout.size} bits, {SIZES.header_words} words of {SIZES.link.width}"
    return table((name, shape, HEADER[name]) for name, shape in fields(layout)) + f"\n\n{words}."


def routes_table() -> str:
    """Markdown: the configuration of a socket's links."""
    layout = routes_layout(SIZES)
    text = table((name, shape, ROUTES[name]) for name, shape in fields(layout))
    return f"{text}\n\n{size(layout, f' with {SIZES.link.links} links a socket.')}"


def codes() -> str:
    """Markdown: the numbers of faults and refusals."""
    faults, refusals = (", ".join(f"{e.value} {e.name}" for e in kind) for kind in (Fault, Refusal))
    return f"Faults of a link: {faults}. Refusals of vectors: {refusals}."


def drawing() -> str:
    """The longest packet in words, and what of the header lies in which bits of which word."""
    link = SIZES.link
    parts = [("header", SIZES.header_words)]
    parts += [(f"vector {k}", SIZES.vector_words) for k in (0, 1)] + [("...", 0)]
    parts += [(f"vector {link.packet - 1}", SIZES.vector_words), ("CRC-32", SIZES.check_words)]
    cells = [(name, f"{words} words" if words > 1 else "1 word" if words else "") for name, words in parts]
    widths = [max(len(name), len(words)) + 2 for name, words in cells]
    rule = f"+{'+'.join('-' * width for width in widths)}+"
    rows = [f"|{'|'.join(cell[k].center(width) for cell, width in zip(cells, widths, strict=True))}|" for k in (0, 1)]
    return "\n".join([rule, *rows, rule, "", *_header_words()])


def _header_words() -> list[str]:
    """A line for each field of the header, highest bit first within a word."""
    places = list(_places(header_layout(SIZES)))
    width, lines = SIZES.link.width, []
    for word in range(SIZES.header_words):
        for name, offset, bits in places:
            low, high = max(offset, word * width), min(offset + bits, (word + 1) * width) - 1
            if low <= high:
                part = f" [{high - offset}:{low - offset}]" if high - low + 1 < bits else ""
                lines.append(f"word {word}  {f'{high % width}:{low % width}':>6}  {name}{part}")
    return lines


def _places(layout: data.Layout, path: str = "", start: int = 0) -> list[tuple[str, int, int]]:
    """Every leaf of ``layout``: name, offset, bits."""
    places = []
    for key, (offset, bits, inner) in form(layout).members.items():
        name = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}" if path else key
        if inner is None:
            places.append((name, start + offset, bits))
        else:
            places += _places(inner.layout, name, start + offset)
    return places


if __name__ == "__main__":
    print(drawing(), header_table(), routes_table(), unit_table(), codes(), sep="\n\n")
