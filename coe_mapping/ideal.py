"""Programs on an ideal network: the golden units joined directly, before anything has a place or a route."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from coe_mapping.assembler import agcu, pcu, pmu
from coe_mapping.assembler.agcu import AGCUProgram
from coe_mapping.assembler.pcu import PCUProgram
from coe_mapping.assembler.pmu import PMUProgram
from coe_mapping.kernels.memory import Binding
from coe_mapping.program import Program
from golden_model.agcu import Memory
from golden_model.fabric import Actor, Data, End, agcu_actors, execute, pcu_actor, pmu_actor
from hdl.params import RDUParams


def bind(program: Program, bindings: tuple[Binding, ...], addresses: Mapping[str, int]) -> Program:
    """``program`` with the addresses of its regions put into the segments of its AGCUs.

    Raises:
        KeyError: a region has no address.
    """
    units = dict(program.units)
    for binding in bindings:
        unit = units[binding.unit]
        assert isinstance(unit, AGCUProgram)
        segments = list(unit.segments)
        segments[binding.segment] = replace(segments[binding.segment], base=addresses[binding.region.name])
        units[binding.unit] = replace(unit, segments=tuple(segments))
    return replace(program, units=units)


def run(params: RDUParams, program: Program, memory: Memory) -> dict[End, Data]:
    """Executes ``program`` on ``memory``, which it changes; returns every stream by the output it left by.

    Raises:
        ParameterError: a unit's program breaks a rule. FabricError: units wait for each other, a stream is too long or
            an access was refused.
    """
    actors: list[Actor] = []
    for name, unit in program.units.items():
        match unit:
            case PCUProgram():
                actors.append(pcu_actor(params, name, pcu.assemble(params.pcu, unit)))
            case PMUProgram():
                store = np.zeros((params.lanes, params.pmu.rows), np.uint16)
                actors.append(pmu_actor(params, name, pmu.assemble(params.pmu, unit), store))
            case AGCUProgram():
                actors += agcu_actors(params, name, agcu.assemble(params, unit), memory)
    connections = {
        End(stream.source.unit, stream.fabric, stream.source.index): [
            End(sink.unit, stream.fabric, sink.index) for sink in stream.sinks
        ]
        for stream in program.streams
    }
    return execute(actors, connections, params.lanes)
