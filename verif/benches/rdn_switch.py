"""One packet switch as a Python object: flits go in by hand, what comes out is written down with its cycle."""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from coe_mapping.assembler.rdn import SwitchProgram, assemble
from hdl.config import STATUS_BASE
from hdl.fields import Fields, form
from hdl.floorplan import Side
from hdl.params import RDNParams
from hdl.rdn.config import SwitchSizes, status_names
from hdl.rdn.link import flit_layout
from hdl.rdn.switch import Switch
from verif.sim import compile_python

SIZES = SwitchSizes(RDNParams(flows=4, channels=2, depth=4, die_latency=0), locals_in=2, locals_out=2)
"""Small, and of the scalar fabric: quick to build."""


@dataclass(frozen=True)
class Seen:
    """A flit that left: in which cycle it was on the link or first valid, by which output, and what it was."""

    cycle: int
    output: str  # as in the names of status words: north, ..., local_0, ...
    payload: int
    flow: int = 0
    destination: tuple[int, int, int] | None = None


class SwitchBench:
    """A switch at ``row``, ``column`` whose neighbours give credits back at once and whose units take everything, but
    for the outputs in ``blocked``."""

    def __init__(self, sizes: SwitchSizes = SIZES, row: int = 2, column: int = 2) -> None:
        self.sizes = sizes
        self.model = compile_python(Switch(sizes), "lone_switch")
        self.model["row"], self.model["column"] = row, column
        self.start(SwitchProgram())

    def start(self, program: SwitchProgram) -> None:
        """Resets, configures, and starts counting cycles at 0."""
        self.model.reset()
        self.blocked: set[str] = set()
        self.seen: list[Seen] = []
        self.credits: Counter[tuple[Side, int]] = Counter()
        self.waiting: dict[int, deque[int]] = {k: deque() for k in range(self.sizes.locals_in)}
        self.accepted: list[tuple[int, int, int]] = []  # (cycle, local input, payload)
        self._owed: list[deque[int]] = [deque() for _ in Side]  # channels to give back, by side
        for address, word in enumerate(assemble(self.sizes, program)):
            self._bus(address, word)
        self.model["commit"] = 1
        self.model.tick()
        self.model["commit"] = 0
        self.cycle = 0

    def _bus(self, address: int, word: int | None = None) -> int:
        self.model["bus__address"] = address
        self.model["bus__write"] = word is not None
        self.model["bus__write_data"] = word or 0
        self.model.tick()
        self.model["bus__write"] = 0
        return self.model["bus__read_data"]

    def status(self) -> dict[str, int]:
        """Takes no cycles that count, so only for a switch at rest."""
        names = status_names(self.sizes)
        return {name: self._bus(STATUS_BASE + i) for i, name in enumerate(names)}

    def send(self, local: int, *payloads: int) -> None:
        """Queues words for a local input."""
        self.waiting[local].extend(payloads)

    def step(self, *flits: tuple[Side, dict[str, Any]]) -> None:
        """One cycle, with these flits on the incoming links."""
        model = self.model
        given = dict(flits)
        for side in Side:
            model[f"side_in__{side}__valid"] = side in given
            model[f"side_in__{side}__flit"] = form(flit_layout(self.sizes)).pack(given.get(side, {}))
            owed = self._owed[side] if side.name.lower() not in self.blocked else deque[int]()
            model[f"side_out__{side}__credit"] = 1 << owed.popleft() if owed else 0
        for k, words in self.waiting.items():
            model[f"local_in__{k}__valid"] = bool(words)
            model[f"local_in__{k}__payload"] = words[0] if words else 0
        for k in range(self.sizes.locals_out):
            model[f"local_out__{k}__ready"] = f"local_{k}" not in self.blocked
        self._watch()
        model.tick()
        self.cycle += 1

    def _watch(self) -> None:
        """What is at the ports in this cycle."""
        model = self.model
        for side in Side:
            if model[f"side_out__{side}__valid"]:
                flit = Fields(form(flit_layout(self.sizes)), model[f"side_out__{side}__flit"])
                place = (flit.destination.row, flit.destination.column, flit.destination.port)
                channel = self.sizes.rdn.channels if flit.dynamic else flit.flow % self.sizes.rdn.channels
                self._owed[side].append(channel)
                self.seen.append(
                    Seen(self.cycle, side.name.lower(), flit.payload, flit.flow, place if flit.dynamic else None)
                )
            for c in range(self.sizes.virtual_channels):
                if model[f"side_in__{side}__credit"] >> c & 1:
                    self.credits[side, c] += 1
        for k in range(self.sizes.locals_out):
            if model[f"local_out__{k}__valid"] and f"local_{k}" not in self.blocked:
                self.seen.append(Seen(self.cycle, f"local_{k}", model[f"local_out__{k}__payload"]))
        for k, words in self.waiting.items():
            if words and model[f"local_in__{k}__ready"]:
                self.accepted.append((self.cycle, k, words.popleft()))

    def run(self, cycles: int) -> list[Seen]:
        """Steps without new flits on links; returns all that was seen since :meth:`start`."""
        for _ in range(cycles):
            self.step()
        return self.seen
