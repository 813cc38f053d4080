"""Switch programs: trees of frozen dataclasses, the rules that make one legal, configuration words, and back.

::

    through = SwitchProgram(flows={(Side.WEST, 3): Forward(sides={Side.EAST: 1}, outputs=(0,))})
    words = assemble(switch_sizes(params, Fabric.VECTOR, column), through)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdl.config import pack, unpack
from hdl.floorplan import Side
from hdl.params import require
from hdl.rdn.config import (
    COLUMN_BITS,
    ROW_BITS,
    SIDES,
    THROTTLE_BITS,
    SwitchSizes,
    TokenSizes,
    switch_layout,
    token_layout,
)


@dataclass(frozen=True)
class Forward:
    """Where a flow goes from a switch: sides it leaves by, each with its flow id on that link, and local outputs."""

    sides: Mapping[Side, int] = field(default_factory=dict)
    outputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Destination:
    """A switch of the socket, and a local output there."""

    row: int
    column: int
    output: int


@dataclass(frozen=True)
class Dynamic:
    """Bits ``shift``, ``shift`` + 1 of the sequence id of a vector, or of a scalar, choose the destination."""

    destinations: tuple[Destination, ...]
    shift: int = 0


@dataclass(frozen=True)
class Source:
    """What a local input does with its stream. After each flit it rests ``throttle`` cycles."""

    route: Forward | Dynamic
    throttle: int = 0


@dataclass(frozen=True)
class SwitchProgram:
    """Of a packet switch: what happens to flow ids that come in on a side, and to local inputs."""

    flows: Mapping[tuple[Side, int], Forward] = field(default_factory=dict)
    sources: Mapping[int, Source] = field(default_factory=dict)


@dataclass(frozen=True)
class SideWire:
    """A wire of the token fabric, coming in on or going out of a side."""

    side: Side
    wire: int


@dataclass(frozen=True)
class LocalWire:
    """A token from or to a unit."""

    index: int


Wire = SideWire | LocalWire


@dataclass(frozen=True)
class TokenSwitchProgram:
    """For each outgoing wire or token to a unit, the incoming wire or token from a unit that it follows."""

    wires: Mapping[Wire, Wire] = field(default_factory=dict)


def assemble(sizes: SwitchSizes, program: SwitchProgram) -> list[int]:
    """The configuration words of ``program``.

    Raises:
        ParameterError: the program breaks a rule; the message names it.
    """
    check(sizes, program)
    sides = [
        [_pack_forward(program.flows.get((side, flow), Forward())) for flow in range(sizes.rdn.flows)] for side in Side
    ]
    sources = [_pack_source(program.sources.get(i)) for i in range(sizes.locals_in)]
    return pack(switch_layout(sizes), {"sides": sides, "sources": sources})


def _pack_forward(forward: Forward) -> dict[str, Any]:
    outputs = sum(1 << side for side in forward.sides) | sum(1 << (SIDES + k) for k in forward.outputs)
    return {"outputs": outputs, "flows": [forward.sides.get(side, 0) for side in Side]}


def _pack_source(source: Source | None) -> dict[str, Any]:
    if source is None:
        return {}
    if isinstance(source.route, Forward):
        return {"forward": _pack_forward(source.route), "throttle": source.throttle}
    destinations = [{"row": d.row, "column": d.column, "port": d.output} for d in source.route.destinations]
    dynamic = {"enable": 1, "shift": source.route.shift, "destinations": destinations}
    return {"throttle": source.throttle, "dynamic": dynamic}


def disassemble(sizes: SwitchSizes, words: Sequence[int]) -> SwitchProgram:
    """The program in ``words``; assembling it again gives the same words.

    Raises:
        ParameterError: the number of words is wrong.
    """
    config: Any = unpack(switch_layout(sizes), words)
    flows = {
        (side, flow): _unpack_forward(config.sides[side][flow])
        for side in Side
        for flow in range(sizes.rdn.flows)
        if config.sides[side][flow].outputs
    }
    sources = {i: _unpack_source(config.sources[i]) for i in range(sizes.locals_in) if config.sources[i].as_bits()}
    return SwitchProgram(flows, sources)


def _unpack_forward(forward: Any) -> Forward:
    mask = forward.outputs
    sides = {side: forward.flows[side] for side in Side if mask >> side & 1}
    return Forward(sides, tuple(k for k in range(mask.bit_length() - SIDES) if mask >> (SIDES + k) & 1))


def _unpack_source(source: Any) -> Source:
    if not source.dynamic.enable:
        return Source(_unpack_forward(source.forward), source.throttle)
    destinations = tuple(Destination(d.row, d.column, d.port) for d in source.dynamic.destinations)
    return Source(Dynamic(destinations, source.dynamic.shift), source.throttle)


def assemble_tokens(sizes: TokenSizes, program: TokenSwitchProgram) -> list[int]:
    """The configuration words of a token switch.

    Raises:
        ParameterError: a wire does not exist.
    """
    sides = [[0] * sizes.wires for _ in Side]
    outputs = [0] * sizes.locals_out
    for out, source in program.wires.items():
        _check_wire(sizes, out, sizes.locals_out)
        _check_wire(sizes, source, sizes.locals_in)
        if isinstance(out, SideWire):
            sides[out.side][out.wire] = 1 + _number(sizes, source)
        else:
            outputs[out.index] = 1 + _number(sizes, source)
    return pack(token_layout(sizes), {"sides": sides, "outputs": outputs})


def disassemble_tokens(sizes: TokenSizes, words: Sequence[int]) -> TokenSwitchProgram:
    """The program in ``words``; assembling it again gives the same words.

    Raises:
        ParameterError: the number of words is wrong, or a choice names a source that there is not.
    """
    config: Any = unpack(token_layout(sizes), words)
    choices: dict[Wire, int] = {SideWire(side, w): config.sides[side][w] for side in Side for w in range(sizes.wires)}
    choices |= {LocalWire(k): config.outputs[k] for k in range(sizes.locals_out)}
    return TokenSwitchProgram({out: _source(sizes, choice - 1) for out, choice in choices.items() if choice})


def _number(sizes: TokenSizes, wire: Wire) -> int:
    return wire.side * sizes.wires + wire.wire if isinstance(wire, SideWire) else SIDES * sizes.wires + wire.index


def _source(sizes: TokenSizes, number: int) -> Wire:
    require(number < sizes.sources, f"token switch: a wire follows source {number}, there are {sizes.sources}")
    side, wire = divmod(number, sizes.wires)
    return SideWire(Side(side), wire) if side < SIDES else LocalWire(number - SIDES * sizes.wires)


# Rules


def check(sizes: SwitchSizes, program: SwitchProgram) -> None:
    """Raises ParameterError, naming the rule, unless ``program`` is legal on a switch of these sizes."""
    for (side, flow), forward in program.flows.items():
        what = f"switch: flow {flow} from the {side.name.lower()}"
        require(0 <= flow < sizes.rdn.flows, f"{what}: a link tells {sizes.rdn.flows} flows apart")
        require(side not in forward.sides, f"{what} would leave by the side it came from")
        _check_forward(sizes, what, forward)
    for index, source in program.sources.items():
        what = f"switch: local input {index}"
        require(0 <= index < sizes.locals_in, f"{what}: there are {sizes.locals_in}")
        require(
            0 <= source.throttle < 1 << THROTTLE_BITS,
            f"{what}: a throttle of {source.throttle} is not in 0..{(1 << THROTTLE_BITS) - 1}",
        )
        if isinstance(source.route, Forward):
            _check_forward(sizes, what, source.route)
        else:
            _check_dynamic(sizes, what, source.route)


def _check_forward(sizes: SwitchSizes, what: str, forward: Forward) -> None:
    require(bool(forward.sides or forward.outputs), f"{what} goes nowhere: give it a side or a local output")
    for side, flow in forward.sides.items():
        require(
            0 <= flow < sizes.rdn.flows,
            f"{what}: flow {flow} to the {side.name.lower()} is not in 0..{sizes.rdn.flows - 1}",
        )
    for output in forward.outputs:
        require(0 <= output < sizes.locals_out, f"{what}: there is no local output {output}, only {sizes.locals_out}")
    require(
        list(forward.outputs) == sorted(set(forward.outputs)),
        f"{what}: local outputs {forward.outputs} must be ascending",
    )


def _check_dynamic(sizes: SwitchSizes, what: str, dynamic: Dynamic) -> None:
    count, last = sizes.rdn.DESTINATIONS, sizes.selector_bits - 2
    require(
        len(dynamic.destinations) == count,
        f"{what}: {len(dynamic.destinations)} destinations, two bits choose of {count}",
    )
    require(0 <= dynamic.shift <= last, f"{what}: a shift of {dynamic.shift} is not in 0..{last}")
    for d in dynamic.destinations:
        require(
            0 <= d.row < 1 << ROW_BITS and 0 <= d.column < 1 << COLUMN_BITS and d.output >= 0,
            f"{what}: there is no place for row {d.row}, column {d.column}, output {d.output} in a destination",
        )


def _check_wire(sizes: TokenSizes, wire: Wire, locals_: int) -> None:
    if isinstance(wire, SideWire):
        require(0 <= wire.wire < sizes.wires, f"token switch: there is no wire {wire.wire}, only {sizes.wires} a side")
    else:
        require(0 <= wire.index < locals_, f"token switch: there is no local token {wire.index}, only {locals_}")
