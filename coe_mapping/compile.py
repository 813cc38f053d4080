"""From a program to a bitstream: placed, routed, checked for deadlock, linked; and the addresses it runs with."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coe_mapping import deadlock
from coe_mapping.assembler.agcu import argument_words
from coe_mapping.bitstream import Argument, Bitstream
from coe_mapping.kernels.memory import Binding, Region
from coe_mapping.link import Image, link
from coe_mapping.placement import place
from coe_mapping.program import Placed, Program
from coe_mapping.routing import Route, route
from golden_model.rdn import Route as Resolved
from golden_model.rdn import resolve
from hdl.params import RDUParams
from hdl.rdn.config import Fabric


@dataclass(frozen=True)
class Compiled:
    """A program ready to be loaded.

    ``arguments``: for each region the fields that take its address.
    """

    placed: Placed
    routes: Sequence[Route]
    image: Image
    bitstream: Bitstream
    regions: Mapping[str, Region]
    arguments: Mapping[str, tuple[Argument, ...]]

    def at(self, addresses: Mapping[str, int]) -> dict[Argument, int]:
        """The argument values of a launch with every region at its address.

        Raises:
            KeyError: a region has no address.
        """
        return {field: addresses[name] for name, fields in self.arguments.items() for field in fields}


def compile_program(
    params: RDUParams, program: Program, bindings: Sequence[Binding] = (), *, seed: int = 0
) -> Compiled:
    """Places, routes and links ``program`` on one socket.

    Raises:
        ParameterError: it does not fit, or its routes could deadlock; the message says what ran out.
    """
    placed = place(params, program, seed)
    routes = route(params, placed)
    image = link(params, placed, routes)
    _check_deadlock(params, image)
    return compiled(params, placed, routes, image, bindings)


def compiled(
    params: RDUParams, placed: Placed, routes: Sequence[Route], image: Image, bindings: Sequence[Binding]
) -> Compiled:
    """What was linked, and where the addresses of its regions go."""
    arguments: dict[str, list[Argument]] = defaultdict(list)
    for binding in bindings:
        unit = placed.placement[binding.unit].number
        first = argument_words(params, binding.segment)["base"]
        arguments[binding.region.name].append(Argument(unit, first[0].word, 0, sum(word.width for word in first)))
    return Compiled(
        placed,
        routes,
        image,
        Bitstream(image.words, tuple(range(params.tiles))),
        {binding.region.name: binding.region for binding in bindings},
        {name: tuple(fields) for name, fields in arguments.items()},
    )


def _check_deadlock(params: RDUParams, image: Image) -> None:
    network = resolve(params, image.words)
    for fabric in (Fabric.VECTOR, Fabric.SCALAR):
        static = [way for way in network.streams(fabric).values() if isinstance(way, Resolved)]
        deadlock.check(params, [way.hops for way in static])
