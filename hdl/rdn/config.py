"""Sizes, payloads, configuration and status of switches: what assembler, golden model, hardware and manual share."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from amaranth.lib import data

from hdl.config import STATUS_BASE, word_count
from hdl.floorplan import COMPUTE, Kind, Ports, Side, has_agcu, scalar_ports, token_ports, vector_ports
from hdl.params import SCALAR_BITS, RDNParams, RDUParams, require
from hdl.streams import SEQUENCE_BITS, vector_layout

ROW_BITS = 5
COLUMN_BITS = 6
PORT_BITS = 5
THROTTLE_BITS = 8
SIDES = len(Side)


@dataclass(frozen=True)
class SwitchSizes:
    """A packet switch: that of the vector fabric with ``lanes`` lanes, or of the scalar fabric with none.

    Attributes:
        locals_in: streams from the units at its corners, ``locals_out`` streams to them.
    """

    rdn: RDNParams
    locals_in: int
    locals_out: int
    lanes: int = 0

    def __post_init__(self) -> None:
        require(
            self.locals_out <= 1 << PORT_BITS,
            f"RDN: {self.locals_out} local outputs of a switch are more than the {1 << PORT_BITS} a destination names",
        )
        words = word_count(switch_layout(self))
        require(
            words <= STATUS_BASE,
            f"RDN: {self.rdn.flows} flows with {self.locals_in} local inputs and {self.locals_out} local outputs take "
            f"{words} configuration words, a switch has {STATUS_BASE}: take fewer flows",
        )

    @property
    def payload(self) -> Any:
        """Shape of what a flit carries."""
        return vector_layout(self.lanes) if self.lanes else SCALAR_BITS

    @property
    def selector_bits(self) -> int:
        """Bits of a payload that may choose a destination: the sequence id of a vector, all of a scalar."""
        return SEQUENCE_BITS if self.lanes else SCALAR_BITS

    @property
    def inputs(self) -> int:
        """Sides first, then local inputs."""
        return SIDES + self.locals_in

    @property
    def outputs(self) -> int:
        return SIDES + self.locals_out

    @property
    def virtual_channels(self) -> int:
        """Of a link: those of static flows, then the one of dynamic flits."""
        return self.rdn.channels + 1


@dataclass(frozen=True)
class TokenSizes:
    """A switch of the token fabric: ``wires`` each way on each side, ``locals_in`` tokens from units, ``locals_out``
    to them."""

    wires: int
    locals_in: int
    locals_out: int

    @property
    def sources(self) -> int:
        """Wires that an output may follow: those of the sides, north first, then local ones."""
        return SIDES * self.wires + self.locals_in


def destination_layout() -> data.StructLayout:
    """Where a dynamic flit goes: a switch, and the local output there."""
    return data.StructLayout({"row": ROW_BITS, "column": COLUMN_BITS, "port": PORT_BITS})


def flows_layout(rdn: RDNParams) -> data.ArrayLayout:
    """A flow id for every side."""
    return data.ArrayLayout(range(rdn.flows), SIDES)


def forward_layout(sizes: SwitchSizes) -> data.StructLayout:
    """What happens to a flow: the outputs it takes, sides first, and its flow id from there on."""
    return data.StructLayout({"outputs": sizes.outputs, "flows": flows_layout(sizes.rdn)})


def source_layout(sizes: SwitchSizes) -> data.StructLayout:
    """A local input."""
    destinations = data.ArrayLayout(destination_layout(), sizes.rdn.DESTINATIONS)
    dynamic = data.StructLayout({"enable": 1, "shift": range(sizes.selector_bits - 1), "destinations": destinations})
    return data.StructLayout({"forward": forward_layout(sizes), "throttle": THROTTLE_BITS, "dynamic": dynamic})


@cache
def switch_layout(sizes: SwitchSizes) -> data.StructLayout:
    """Everything a program sets in a packet switch."""
    table = data.ArrayLayout(forward_layout(sizes), sizes.rdn.flows)
    return data.StructLayout(
        {"sides": data.ArrayLayout(table, SIDES), "sources": data.ArrayLayout(source_layout(sizes), sizes.locals_in)}
    )


@cache
def token_layout(sizes: TokenSizes) -> data.StructLayout:
    """Everything a program sets in a token switch: for every output 0 (none) or 1 + the number of its source."""
    choice = range(sizes.sources + 1)
    side = data.ArrayLayout(choice, sizes.wires)
    return data.StructLayout(
        {"sides": data.ArrayLayout(side, SIDES), "outputs": data.ArrayLayout(choice, sizes.locals_out)}
    )


def status_names(sizes: SwitchSizes) -> tuple[str, ...]:
    """Status words of a packet switch in order of address; all count from the last commit."""
    sides = [side.name.lower() for side in Side]
    inputs = [*sides, *(f"local_{i}" for i in range(sizes.locals_in))]
    outputs = [*sides, *(f"local_{i}" for i in range(sizes.locals_out))]
    return (*(f"moved_{name}" for name in outputs), *(f"stalled_{name}" for name in inputs), "errors")


# Local ports


class Fabric(enum.Enum):
    """The packet-switched fabrics, and that of tokens."""

    VECTOR = Kind.VECTOR_SWITCH
    SCALAR = Kind.SCALAR_SWITCH
    TOKEN = Kind.TOKEN_SWITCH

    def ports(self, params: RDUParams, kind: Kind) -> Ports:
        """Ports of a unit on this fabric."""
        count = {Fabric.VECTOR: vector_ports, Fabric.SCALAR: scalar_ports, Fabric.TOKEN: token_ports}[self]
        return count(params, kind)


@dataclass(frozen=True)
class LocalPort:
    """Port ``index`` of the unit of that kind at a switch."""

    kind: Kind
    index: int


@cache
def local_inputs(params: RDUParams, fabric: Fabric, column: int) -> tuple[LocalPort, ...]:
    """The unit outputs that a switch in this column takes, in the order of its local inputs."""
    counts = ((kind, fabric.ports(params, kind).outputs) for kind in _kinds(params, column))
    return tuple(LocalPort(kind, i) for kind, count in counts for i in range(count))


@cache
def local_outputs(params: RDUParams, fabric: Fabric, column: int) -> tuple[LocalPort, ...]:
    """The unit inputs that a switch in this column feeds, in the order of its local outputs."""
    counts = ((kind, fabric.ports(params, kind).inputs) for kind in _kinds(params, column))
    return tuple(LocalPort(kind, i) for kind, count in counts for i in range(count))


def _kinds(params: RDUParams, column: int) -> Iterator[Kind]:
    return (kind for kind in COMPUTE if kind is not Kind.AGCU or has_agcu(params, column))


@cache
def switch_sizes(params: RDUParams, fabric: Fabric, column: int) -> SwitchSizes:
    """The packet switch of a fabric in this column."""
    lanes = params.lanes if fabric is Fabric.VECTOR else 0
    inputs, outputs = local_inputs(params, fabric, column), local_outputs(params, fabric, column)
    return SwitchSizes(params.rdn, len(inputs), len(outputs), lanes)


@cache
def token_sizes(params: RDUParams, column: int) -> TokenSizes:
    """The token switch in this column."""
    inputs, outputs = (ports(params, Fabric.TOKEN, column) for ports in (local_inputs, local_outputs))
    return TokenSizes(params.rdn.token_wires, len(inputs), len(outputs))
