"""What the counters of a socket say about the kernel that ran last: cycles, bytes, what units and links did."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coe_mapping.assembler.pcu import PCUProgram, Systolic
from coe_mapping.bandwidth import predict
from coe_mapping.compile import Compiled
from coe_mapping.device import Device
from hdl.agcu.config import Status as AGCUStatus
from hdl.floorplan import Kind, Place, Side, floorplan
from hdl.params import RDUParams
from hdl.pcu.config import STATUS as PCU_STATUS
from hdl.pmu.config import Status as PMUStatus
from hdl.rdn.config import Fabric, status_names, switch_sizes

NAMES = {
    Kind.PCU: PCU_STATUS,
    Kind.PMU: tuple(status.name.lower() for status in PMUStatus),
    Kind.AGCU: tuple(status.name.lower() for status in AGCUStatus),
}
"""Of the status words of a compute unit."""
STALLS = ("stall_", "wait_")


def kernel(device: Device, compiled: Compiled, mode: str, phase: str) -> dict[str, Any]:
    """One kernel that has just run: what its counters say, beside what the bandwidth model predicts.

    ``cycles``: from its start until the last AGCU is done; every byte goes through one, and none is done before its
    data are. ``ideal_cycles``: if memory moved every byte once at full bandwidth, or all PCUs of the socket
    multiplied at their peak, whichever is longer.
    """
    params = device.params
    agcus = [_words(device, place) for place in compiled.placed.placement.values() if place.kind is Kind.AGCU]
    cycles = max(words["busy"] for words in agcus)
    moved = sum(words["beats_read"] + words["beats_written"] for words in agcus) * params.beat_bytes
    predicted = predict(params, compiled.placed.program, routes=compiled.routes)
    return {
        "name": compiled.placed.program.name,
        "mode": mode,
        "phase": phase,
        "cycles": cycles,
        "ideal_cycles": predicted.ideal,
        "predicted_cycles": round(predicted.cycles),
        "binding": predicted.binding,
        "launches": 1,
        "macs": predicted.macs,
        "hbm_bytes": moved,
        "mac_utilisation": predicted.macs / macs_per_cycle(params) / cycles,
        "hbm_utilisation": moved / hbm_bytes_per_cycle(params) / cycles,
        "gemm_utilisation": predicted.macs / cycles / max(1, multiplying(compiled)) / cells(params),
        "units_used": units_used(compiled),
    }


def units(device: Device, compiled: Compiled) -> Iterator[dict[str, Any]]:
    """Every compute unit of the kernel: where it stands, how long it was busy, what it did, what it waited for."""
    for name, place in compiled.placed.placement.items():
        words = _words(device, place)
        yield {
            "name": name,
            "kind": place.kind.name.lower(),
            "row": place.row,
            "column": place.column,
            "busy": words["busy"],
            "fires": _work(place.kind, words),
            "stalls": {n: count for n, count in words.items() if n.startswith(STALLS) and count},
        }


def links(device: Device) -> Iterator[dict[str, Any]]:
    """Flits that left every switch on each side, where any did."""
    for fabric in (Fabric.VECTOR, Fabric.SCALAR):
        for place in floorplan(device.params).of(fabric.value):
            words = _switch_words(device, fabric, place)
            for side in Side:
                name = side.name.lower()
                if words[f"moved_{name}"]:
                    where = {"row": place.row, "column": place.column, "side": name}
                    yield {"fabric": fabric.name.lower(), **where, "flits": words[f"moved_{name}"]}


def units_used(compiled: Compiled) -> dict[str, int]:
    """Units of each kind that a kernel takes."""
    kinds = [place.kind for place in compiled.placed.placement.values()]
    return {kind.name.lower(): kinds.count(kind) for kind in (Kind.PCU, Kind.PMU, Kind.AGCU)}


def multiplying(compiled: Compiled) -> int:
    """PCUs that do products."""
    units = compiled.placed.program.units.values()
    return sum(isinstance(unit, PCUProgram) and isinstance(unit.body, Systolic) for unit in units)


def hbm_bytes_per_cycle(params: RDUParams) -> float:
    """Bandwidth of all channels of HBM."""
    tier = params.memory.hbm
    beats, cycles = tier.beats
    return tier.channels * params.beat_bytes * beats / cycles


def macs_per_cycle(params: RDUParams) -> int:
    """Peak of all PCUs of a socket."""
    return len(floorplan(params).of(Kind.PCU)) * cells(params)


def cells(params: RDUParams) -> int:
    """Multiply-adds a cycle of a PCU."""
    return params.lanes * params.pcu.stages


def _words(device: Device, place: Place) -> dict[str, int]:
    return _named(NAMES[place.kind], device.status(place.number))


def _switch_words(device: Device, fabric: Fabric, place: Place) -> dict[str, int]:
    sizes = switch_sizes(device.params, fabric, place.column % device.params.columns)
    return _named(status_names(sizes), device.status(place.number))


def _named(names: Sequence[str], words: Sequence[int]) -> dict[str, int]:
    return dict(zip(names, words, strict=False))


def _work(kind: Kind, words: Mapping[str, int]) -> int:
    """Cycles in which a unit did its work."""
    match kind:
        case Kind.PCU:
            return words["fires"]
        case Kind.PMU:
            return max(words.get("reads", 0), words.get("writes", 0))
        case _:
            return words["beats_read"] + words["beats_written"]
