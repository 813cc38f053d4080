"""The driver: programs, arguments, launches and memory of one socket, whatever carries them out.

A :class:`Machine` executes commands of the launch sequencer: the golden socket here, the RTL in simulation (by plain
Python or under cocotb) elsewhere. The same program gives the same bits on all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coe_mapping.bitstream import Argument, Bitstream, argument_words, encode
from coe_mapping.commands import command, command_list
from golden_model.agcu import Memory
from golden_model.fabric import Data, End, FabricError
from golden_model.launch import Error, Sequencer
from golden_model.socket import At, Socket
from hdl.floorplan import COMPUTE, Place
from hdl.host.errors import SENTENCES, ErrorCode
from hdl.host.format import Opcode, UnitMap
from hdl.params import TIER_SHIFT, RDUParams
from hdl.unit_map import unit_map

Bytes = NDArray[np.uint8]


class DeviceError(RuntimeError):
    """The machine stopped with an error; ``error`` is what its registers say."""

    def __init__(self, sentence: str, error: Error) -> None:
        super().__init__(sentence)
        self.error = error


class Machine(Protocol):
    """What executes commands. Memory is reached by a back door: no simulated time passes."""

    params: RDUParams

    def tier(self, number: int) -> Bytes:
        """All bytes of a memory tier; writing to the array writes the memory."""
        ...

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        """Commands in order, until all are done or one fails."""
        ...

    def status(self, unit: int, count: int) -> list[int]:
        """The first status words of a unit."""
        ...

    def copying(self) -> bool:
        """Whether the tier DMA has something to do."""
        ...

    @property
    def cycles(self) -> int:
        """Since the machine was made; 0 where time has no meaning."""
        ...


@dataclass(frozen=True)
class Loaded:
    """A bitstream in the machine's memory."""

    bitstream: Bitstream
    address: int
    bytes: int


class Device:
    """A socket, and what a program does with it. Commands that fail raise :class:`DeviceError` and are acknowledged.

    ``scratch``: address of a piece of memory, 64 KiB, that the driver uses for argument lists.
    """

    SCRATCH = 1 << 16

    def __init__(self, machine: Machine, scratch: int) -> None:
        self.machine, self.scratch = machine, scratch
        self.params = machine.params
        self.units: UnitMap = unit_map(machine.params)

    def write(self, address: int, data: Bytes | bytes) -> None:
        """Bytes to memory.

        Raises:
            ValueError: they do not lie within a tier.
        """
        source = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
        self._place(address, len(source))[:] = source

    def read(self, address: int, count: int) -> Bytes:
        """A copy of ``count`` bytes of memory."""
        return self._place(address, count).copy()

    def _place(self, address: int, count: int) -> Bytes:
        tier, offset = address >> TIER_SHIFT, address & ((1 << TIER_SHIFT) - 1)
        sizes = (self.params.memory.hbm.capacity, self.params.memory.ddr.capacity)
        if tier >= len(sizes) or offset + count > sizes[tier]:
            raise ValueError(f"{count} bytes at {address:#x} do not lie within a memory tier of {self.params.name}")
        return self.machine.tier(tier)[offset : offset + count]

    def store_program(self, bitstream: Bitstream, address: int) -> Loaded:
        """Puts a bitstream where the sequencer will find it."""
        image = encode(self.units, bitstream)
        self.write(address, image)
        return Loaded(bitstream, address, len(image))

    def load(self, program: Loaded) -> None:
        """Program load: into the shadow configuration, beside what runs."""
        self.run([command(Opcode.LOAD, address=program.address)])

    def launch(self, program: Loaded, arguments: Mapping[Argument, int] | None = None) -> None:
        """Argument load and kernel execute, until done."""
        tiles = sum(1 << tile for tile in program.bitstream.tiles)
        commands = [command(Opcode.EXECUTE, tiles=tiles), command(Opcode.WAIT, tiles=tiles)]
        if arguments:
            words = argument_words(program.bitstream, arguments)
            self.write(self.scratch, np.array(words, "<u4").tobytes())
            commands.insert(0, command(Opcode.ARGUMENTS, address=self.scratch, count=len(words)))
        self.run(commands)

    def run_list(self, commands: Sequence[Sequence[int]], address: int) -> None:
        """A command list in memory: hardware-orchestrated."""
        self.write(address, command_list(commands))
        self.run([command(Opcode.LIST, address=address, count=len(commands))])

    def run(self, commands: Sequence[Sequence[int]]) -> None:
        """Commands from the host: software-orchestrated."""
        error = self.machine.execute(commands)
        if error is not None:
            raise DeviceError(self.sentence(error), error)

    def sentence(self, error: Error) -> str:
        """What an error is, in words."""
        text = SENTENCES[ErrorCode(error.code)]
        return text.format(unit=self.units.name(error.unit), address=error.address, detail=error.detail)

    def status(self, unit: int) -> list[int]:
        """All status words of a unit."""
        return self.machine.status(unit, self.units.slots[unit].size.status)


class GoldenMachine:
    """The golden socket behind the golden launch sequencer.

    ``streams``: what left every output of a unit in the kernel that ran last, in the order in which units ran; empty
    after one that failed.
    """

    def __init__(self, params: RDUParams, socket: int | None = None) -> None:
        """``socket``: its number, if it is one of several."""
        self.params = params
        self.streams: dict[End, Data] = {}
        self._tiers: Memory = {
            0: np.zeros(params.memory.hbm.capacity, np.uint8),
            1: np.zeros(params.memory.ddr.capacity, np.uint8),
        }
        self.socket = Socket(params, self._tiers, number=socket)
        self._sequencer = Sequencer(unit_map(params), _Words(self._tiers), self._execute, self._copy)
        self._machine = unit_map(params)

    @property
    def cycles(self) -> int:
        return 0

    def tier(self, number: int) -> Bytes:
        return self._tiers[number]

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        for words in commands:
            self._sequencer.command(words)
        error = self._sequencer.error
        self._sequencer.acknowledge()
        return error

    def status(self, unit: int, count: int) -> list[int]:
        """The golden model has no counters."""
        return [0] * count

    def copying(self) -> bool:
        """A copy takes no time."""
        return False

    def abort(self) -> None:
        """Stops everything, as the host's ABORT does."""
        self._sequencer.clear((1 << self.params.tiles) - 1)
        self._sequencer.acknowledge()

    def _execute(self, tiles: int) -> Error | None:
        return self.begin(*self._kernel(tiles))

    def begin(self, words: Mapping[int, Sequence[int]], active: frozenset[int]) -> Error | None:
        """Runs a kernel, to its end."""
        self.streams = {}
        try:
            self.streams = self.socket.run(words, active)
        except FabricError as error:
            return fault_of(error)
        return None

    def _kernel(self, tiles: int) -> tuple[dict[int, Sequence[int]], frozenset[int]]:
        """What a set of tiles is to run: words of units and switches, and the units that take part."""
        committed, slots = self._sequencer.committed, self._machine.slots
        mine = [slot for slot in slots if tiles >> slot.tile & 1]
        active: set[int] = set()
        for slot in mine:
            if slot.kind is None:
                bits = sum(word << 32 * i for i, word in enumerate(committed[slot.number]))
                places = [place.number + slot.tile * self._machine.per_tile for place in self._machine.compute]
                active |= {number for i, number in enumerate(places) if bits >> i & 1}
        words: dict[int, Sequence[int]] = {s.number: committed[s.number] for s in mine if s.kind is not None}
        words = {n: w for n, w in words.items() if n in active or slots[n].kind not in COMPUTE}
        return words, frozenset(active)

    def _copy(self, descriptor: object) -> int:
        """The tier DMA, row by row."""
        d: dict[str, int] = {name: int(getattr(descriptor, name)) for name in _DESCRIPTOR}
        for row in range(d["rows"]):
            source, destination = (d[end] + row * d[f"{end}_stride"] for end in ("source", "destination"))
            data = _bytes(self._tiers, source, d["row_bytes"])
            _bytes(self._tiers, destination, d["row_bytes"])[:] = data.copy()
        return 0


def fault_of(error: FabricError) -> Error:
    """What the registers say of an access that was refused.

    Raises:
        FabricError: it was no access.
    """
    if error.fault is None:
        raise error
    unit, fault = error.fault
    place = unit.place if isinstance(unit, At) else unit
    assert isinstance(place, Place)
    return Error(ErrorCode.FAULT, unit=place.number, address=fault.address)


_DESCRIPTOR = ("source", "destination", "row_bytes", "rows", "source_stride", "destination_stride")


def _bytes(tiers: Memory, address: int, count: int) -> Bytes:
    offset = address & ((1 << TIER_SHIFT) - 1)
    return tiers[address >> TIER_SHIFT][offset : offset + count]


@dataclass(frozen=True)
class _Words:
    """Memory as the golden sequencer reads and writes it."""

    tiers: Memory

    def read(self, address: int, count: int) -> list[int] | None:
        place = self._find(address, count)
        return None if place is None else place.view("<u4").tolist()

    def write(self, address: int, words: Sequence[int]) -> bool:
        place = self._find(address, len(words))
        if place is None:
            return False
        place.view("<u4")[:] = np.array(words, np.uint32)
        return True

    def _find(self, address: int, count: int) -> Bytes | None:
        tier = self.tiers.get(address >> TIER_SHIFT)
        if tier is None or (address & ((1 << TIER_SHIFT) - 1)) + 4 * count > len(tier):
            return None
        return _bytes(self.tiers, address, 4 * count)
