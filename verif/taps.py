"""Taps: what left every unit of a socket in simulation, stream by stream, in the form of the golden fabric.

A tap sits at a switch, where the streams of its units come in, and is bound there from outside the RTL. So it costs
nothing where it was not asked for, and the simulation with taps is a build of its own.
"""

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.fabric import Data, End
from golden_model.pmu import VectorBeats
from hdl.errors import ParameterError
from hdl.floorplan import floorplan
from hdl.once import once_name
from hdl.params import SCALAR_BITS, RDUParams
from hdl.rdn.config import Fabric, local_inputs, switch_sizes, token_sizes
from hdl.rdn.switch import Switch
from hdl.rdn.tokens import TokenSwitch
from hdl.station import ASLEEP
from hdl.streams import vector_layout
from verif.sim import cache, tools

MODELS = tuple(Path(__file__).with_name("models") / f"openrdu_tap{suffix}" for suffix in (".sv", ".cpp"))
PAYLOAD_WORDS = 17  # of a record, as in openrdu_tap.cpp
_PATH = re.compile(r"tile_(\d+)\..*station_(\d+)_(\d+)\..*(vector|scalar|token)_switch")


def tap_sources(params: RDUParams) -> tuple[Path, ...]:
    """What a gated board of ``params`` is built with so that it has taps."""
    text = "\n".join(_bindings(params))
    file = tools.build_root() / f"taps_{params.name}-{cache.digest([text])}.sv"
    return (*MODELS, cache.kept(file, text))


def _bindings(params: RDUParams) -> Iterator[str]:
    """A tap for every kind of switch."""
    bound: set[str] = set()
    for column in range(params.columns):
        for fabric in Fabric:
            if fabric is Fabric.TOKEN:
                switch = once_name(ASLEEP[TokenSwitch], token_sizes(params, column))
                moves, payloads = "local_in", "local_in"
            else:
                switch = once_name(ASLEEP[Switch], switch_sizes(params, fabric, column))
                ports = [f"local_in__{k}__" for k in reversed(range(len(local_inputs(params, fabric, column))))]
                moves = "{" + ", ".join(f"{port}valid & {port}ready" for port in ports) + "}"
                payloads = "{" + ", ".join(f"{port}payload" for port in ports) + "}"
            if switch not in bound:
                bound.add(switch)
                count = len(local_inputs(params, fabric, column))
                sizes = f".STREAMS({count}), .WIDTH({_width(params, fabric)})"
                yield f"bind {switch} openrdu_tap #({sizes}) tap (.clk, .moves({moves}), .payloads({payloads}));"


def _width(params: RDUParams, fabric: Fabric) -> int:
    """Bits of a payload; a token has none, and is recorded with its own pulse."""
    match fabric:
        case Fabric.VECTOR:
            return int(vector_layout(params.lanes).size)
        case Fabric.SCALAR:
            return SCALAR_BITS
        case Fabric.TOKEN:
            return 1


def switch_of(params: RDUParams, path: str) -> tuple[Fabric, int, int]:
    """The fabric, row and column in the socket of the switch that the tap at ``path`` is bound to."""
    found = _PATH.search(path)
    assert found, f"a tap that is not at a switch: {path}"
    tile, row, column = (int(number) for number in found.groups()[:3])
    return Fabric[found[4].upper()], row, tile * params.columns + column


@dataclass(frozen=True)
class Taps:
    """The taps of one simulation; ``functions``: its C functions (:meth:`verif.sim.Ports.functions`)."""

    params: RDUParams
    functions: Any

    def clear(self) -> None:
        """Forgets what was recorded."""
        self.functions.openrdu_tap_clear()

    def streams(self) -> dict[End, Data]:
        """What has left every output since the last :meth:`clear`; outputs that gave nothing are left out.

        Raises:
            ParameterError: the simulation was built without taps.
        """
        streams: dict[End, Data] = {}
        for path, records in self._records():
            fabric, row, column = switch_of(self.params, path)
            for k, port in enumerate(local_inputs(self.params, fabric, column)):
                mine = records[records[:, 0] == k, 1:]
                if len(mine):
                    place = floorplan(self.params).find(port.kind, row, column)
                    streams[End(place, fabric, port.index)] = self._data(fabric, mine)
        return streams

    def _data(self, fabric: Fabric, payloads: NDArray[np.uint32]) -> Data:
        match fabric:
            case Fabric.VECTOR:
                halves = np.ascontiguousarray(payloads).view(np.uint16)
                lanes = self.params.lanes
                return VectorBeats(halves[:, :lanes].copy(), halves[:, lanes].astype(np.int64))
            case Fabric.SCALAR:
                return payloads[:, 0].copy()
            case Fabric.TOKEN:
                return len(payloads)

    def _records(self) -> Iterator[tuple[str, NDArray[np.uint32]]]:
        """Every tap by its path, and a copy of its records: stream, then payload."""
        if not hasattr(self.functions, "openrdu_tap_path"):
            raise ParameterError("this simulation was built without taps: ask for them when it is built")
        find, path = self.functions.openrdu_tap_records, self.functions.openrdu_tap_path
        find.restype, find.argtypes = ctypes.c_void_p, [ctypes.c_uint64, ctypes.POINTER(ctypes.c_uint64)]
        path.restype, path.argtypes = ctypes.c_char_p, [ctypes.c_uint64]
        number = 0
        while (name := path(number)) is not None:
            count = ctypes.c_uint64()
            address = find(number, ctypes.byref(count))
            shape = count.value, 1 + PAYLOAD_WORDS
            if count.value:
                words = (ctypes.c_uint32 * (shape[0] * shape[1])).from_address(address)
                yield name.decode(), np.ctypeslib.as_array(words).reshape(shape).copy()
            number += 1
