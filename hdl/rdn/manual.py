"""The tables of ``docs/network.md``, made from the layouts: ``python -m hdl.rdn.manual`` prints them."""

from collections.abc import Mapping

from amaranth.lib import data

from hdl.manual import fields, size, status_table, table
from hdl.params import TEST
from hdl.rdn.config import Fabric, status_names, switch_layout, switch_sizes, token_layout, token_sizes
from hdl.rdn.link import flit_layout

SIZES = switch_sizes(TEST, Fabric.VECTOR, 0)
TOKENS = token_sizes(TEST, 0)

LINK = {
    "payload": "a vector with its sequence id, or a scalar",
    "flow": "flow id on this link, of a static flit",
    "dynamic": "the flit goes to `destination`, on the last virtual channel",
    "destination.row": "of a dynamic flit: the switch",
    "destination.column": "counted over the tiles of the socket",
    "destination.port": "local output there",
}
SWITCH = {
    "sides[][].outputs": "outputs that take the flow, for each side it comes in by and each flow id there: bits 0 to 3 "
    "the sides north, east, south, west, then local outputs",
    "sides[][].flows[]": "its flow id on the link of each side",
    "sources[].forward.outputs": "outputs that take the stream of a local input",
    "sources[].forward.flows[]": "its flow ids there",
    "sources[].throttle": "cycles the source rests after each flit",
    "sources[].dynamic.enable": "the data choose among four destinations; `forward` is not used",
    "sources[].dynamic.shift": "the lower of the two bits, of the sequence id or of the scalar, that choose",
    "sources[].dynamic.destinations[].row": "of one of the four destinations: the switch",
    "sources[].dynamic.destinations[].column": "counted over the tiles of the socket",
    "sources[].dynamic.destinations[].port": "local output there",
}
TOKEN_SWITCH = {
    "sides[][]": "what each outgoing wire of each side follows: 0 nothing, else 1 + number of the source; sources are "
    "the wires of the four sides, then the tokens of units",
    "outputs[]": "what each token to a unit follows",
}


def link_table() -> str:
    """Markdown: the members of a flit."""
    return _table({path: meaning for path, meaning in LINK.items() if path != "payload"}, _without_payload())


def _without_payload() -> data.StructLayout:
    return data.StructLayout({key: field.shape for key, field in flit_layout(SIZES) if key != "payload"})


def switch_table() -> str:
    """Markdown: the configuration of a packet switch."""
    layout = switch_layout(SIZES)
    return _table(SWITCH, layout) + f"\n\n{size(layout, ' for the vector switch of an outer column of `test`.')}"


def token_table() -> str:
    """Markdown: the configuration of a token switch."""
    layout = token_layout(TOKENS)
    return _table(TOKEN_SWITCH, layout) + f"\n\n{size(layout, ', likewise.')}"


def status_words() -> str:
    """Markdown: the status words of a packet switch, those of an outer column's vector switch of ``test``."""
    return status_table(status_names(SIZES))


def _table(meanings: Mapping[str, str], layout: data.StructLayout) -> str:
    return table((name, shape, meanings[name]) for name, shape in fields(layout))


if __name__ == "__main__":
    print(link_table(), switch_table(), token_table(), status_words(), sep="\n\n")
