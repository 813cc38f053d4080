"""Kernel looping: a program made to run many times in one launch, as all layers of a model.

Every unit runs its program once a round. In each round the streams from and to memory lie a step further on: weights,
norms and caches by the bytes of a layer, hidden states by those of a state, so that the output of one round is the
input of the next. A token that is carried over tells the loads of that input that the round before has written it.
Everything else may run ahead: the next layer's weights come while the present one drains.

But not a load that shares an input with others: its vectors would be taken for the present round's. It waits until the
round's own input has been read, and nothing else that sends to it can be behind that.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from coe_mapping.assembler.agcu import AGCUProgram, Event
from coe_mapping.assembler.links import LinksProgram
from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.kernels.layer import Kernel
from coe_mapping.kernels.memory import Binding, Region
from coe_mapping.program import Port, Program, Stream, UnitProgram
from hdl.params import AGCUParams, require
from hdl.rdn.config import Fabric

Regions = Mapping[tuple[str, int], Region]
"""What the segments of AGCUs stand for, by unit and number."""


def looped(kernel: Kernel, layers: int, steps: Mapping[str, int]) -> Kernel:
    """The kernel of a layer for ``layers`` of them; ``steps`` as in :func:`in_rounds`."""
    agcu = kernel.layout.params.agcu
    program, bindings = in_rounds(agcu, kernel.program, kernel.bindings, layers, steps, carried=("y", "x"))
    return replace(kernel, program=replace(program, name=f"{program.name}s"), bindings=bindings)


def in_rounds(
    agcu: AGCUParams,
    program: Program,
    bindings: Sequence[Binding],
    rounds: int,
    steps: Mapping[str, int],
    carried: tuple[str, str] | None = None,
) -> tuple[Program, tuple[Binding, ...]]:
    """``program`` so many times, and its regions from the first round to the last.

    Args:
        steps: bytes from a region of one round to that of the next, by name; 0 where there is none.
        carried: the region that is written, and the one that is read in the next round when it is.

    Raises:
        ParameterError: loads share an input, and nothing that is carried keeps one from running a round ahead.
    """
    regions = {(b.unit, b.segment): _whole(b.region, rounds, steps) for b in bindings}
    units = {name: _turned(name, unit, rounds, steps, regions) for name, unit in program.units.items()}
    tokens: list[Stream] = []
    sharing = _sharing(program) if rounds > 1 else []
    require(
        carried is not None or not sharing,
        f"{program.name}: {', '.join(sorted({unit for unit, _ in sharing}))} load what shares an input with other "
        "streams, and may be a round ahead of them: name the region that is carried from round to round",
    )
    if carried is not None and rounds > 1:
        stores, loads = (list(_touching(units, agcu, region, regions)) for region in carried)
        for store in stores:
            source = _added(units, "token_out", *store, carried=True)
            sinks = tuple(_added(units, "token_in", *load, carried=True) for load in loads)
            tokens.append(Stream(Fabric.TOKEN, source, sinks))
        others = [load for load in sharing if load not in loads]
        if others:
            source = _added(units, "token_out", *loads[0])
            tokens.append(Stream(Fabric.TOKEN, source, tuple(_added(units, "token_in", *load) for load in others)))
    whole = tuple(replace(b, region=regions[b.unit, b.segment]) for b in bindings)
    return Program(units, (*program.streams, *tokens), program.name), whole


def _whole(region: Region, rounds: int, steps: Mapping[str, int]) -> Region:
    return replace(region, bytes=region.bytes + (rounds - 1) * steps.get(region.name, 0))


def _turned(name: str, unit: UnitProgram, rounds: int, steps: Mapping[str, int], regions: Regions) -> UnitProgram:
    """A unit in so many rounds."""
    if isinstance(unit, (PCUProgram, LinksProgram)):
        return replace(unit, rounds=rounds)
    if not isinstance(unit, AGCUProgram):
        write, read = (pipeline and replace(pipeline, rounds=rounds) for pipeline in (unit.write, unit.read))
        return replace(unit, write=write, read=read)

    def moved(stream: Any) -> Any:
        step = steps.get(regions[name, stream.access.segment].name, 0)
        return replace(stream, access=replace(stream.access, rounds=rounds, step=step))

    return replace(
        unit,
        segments=tuple(replace(segment, limit=regions[name, k].bytes) for k, segment in enumerate(unit.segments)),
        loads=tuple(load and moved(load) for load in unit.loads),
        stores=tuple(store and moved(store) for store in unit.stores),
    )


def _touching(
    units: Mapping[str, UnitProgram], agcu: AGCUParams, region: str, regions: Regions
) -> Iterator[tuple[str, int]]:
    """Unit and number of every stream on a region of that name."""
    for name, unit in units.items():
        if isinstance(unit, AGCUProgram):
            for number, stream in enumerate(unit.streams(agcu)):
                if stream is not None and regions[name, stream.access.segment].name == region:
                    yield name, number


def _sharing(program: Program) -> list[tuple[str, int]]:
    """Unit and number of every load whose vectors go where others go too."""
    sources: dict[Port, list[Port]] = defaultdict(list)
    for stream in program.streams:
        if stream.fabric is Fabric.VECTOR:
            for sink in stream.sinks:
                sources[sink].append(stream.source)
    together = (port for ports in sources.values() if len(ports) > 1 for port in ports)
    loads = ((port.unit, port.index) for port in together if isinstance(program.units[port.unit], AGCUProgram))
    return list(dict.fromkeys(loads))


def _added(units: dict[str, UnitProgram], wires: str, name: str, stream: int, *, carried: bool = False) -> Port:
    """One more of ``wires`` (``token_in`` or ``token_out``) of an AGCU for all that its ``stream`` does in a round."""
    unit = units[name]
    assert isinstance(unit, AGCUProgram)
    events: list[Event | None] = list(getattr(unit, wires))
    free = next(i for i in count() if i >= len(events) or events[i] is None)
    events[free : free + 1] = [Event(stream, 0, carried)]
    tokens = {"token_in": unit.token_in, "token_out": unit.token_out, wires: tuple(events)}
    units[name] = replace(unit, token_in=tokens["token_in"], token_out=tokens["token_out"])
    return Port(name, free)
