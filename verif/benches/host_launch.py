"""Random command lists on the host block, everything they leave equal to the golden sequencer."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from coe_mapping.bitstream import encode, record_words
from coe_mapping.commands import command, command_list
from golden_model.launch import Error, Sequencer
from hdl.agcu.config import Cause
from hdl.floorplan import COMPUTE, Kind
from hdl.host.errors import ErrorCode
from hdl.host.format import COUNT_BITS, LOOPS, Opcode, UnitMap
from verif.benches.host import MEMORY_BYTES, NOWHERE, Rig
from verif.benches.host_corruptions import ArrayMemory, different, random_program

PROGRAMS = (0x0000, 0x0400, 0x0800)
ARGUMENTS = (0x0C00, 0x0D00)
LIST = 0x1004
IMAGES = (0x2000, 0x2804, 0x3000)
FAILS = 1 << 31
FAULT_DETAIL = Cause.OUTSIDE.value | 2 << 8 | 5 << 16 | 1 << 24
"""What a stub AGCU says, see ``verif.benches.host``."""


@dataclass
class Stubs:
    """What stub units do when they are started, for the golden sequencer."""

    machine: UnitMap
    starts: dict[int, int] = field(default_factory=dict)
    sequencer: Sequencer | None = None

    def execute(self, tiles: int) -> Error | None:
        """Counts a start of every unit that takes part; the fault of the first AGCU whose word 0 asks for one."""
        assert self.sequencer is not None
        committed = self.sequencer.committed
        started = [n for n in self._active(tiles) if self.machine.slots[n].kind in COMPUTE]
        for number in started:
            self.starts[number] = self.starts.get(number, 0) + 1
        for number in started:
            if self.machine.slots[number].kind is Kind.AGCU and committed[number][0] & FAILS:
                for slot in self.machine.slots:
                    if tiles >> slot.tile & 1:
                        self.starts.pop(slot.number, None)
                return Error(ErrorCode.FAULT, number, committed[number][0], FAULT_DETAIL)
        return None

    def _active(self, tiles: int) -> list[int]:
        assert self.sequencer is not None
        found = []
        for t in range(self.machine.params.tiles):
            active = self.sequencer.committed[self.machine.tile_unit(t)][0]
            if tiles >> t & 1:
                shift = t * self.machine.per_tile
                found += [p.number + shift for i, p in enumerate(self.machine.compute) if active >> i & 1]
        return found

    def status(self, number: int) -> list[int]:
        slot = self.machine.slots[number]
        if slot.kind is None:
            return [0] * slot.size.status
        return [self.starts.get(number, 0) if i == 0 else 0x5747_0000 + i for i in range(slot.size.status)]


def golden_of(rig: Rig, memory: ArrayMemory) -> Sequencer:
    """A golden sequencer with stub units."""
    stubs = Stubs(rig.units)
    stubs.sequencer = Sequencer(rig.units, memory, stubs.execute, copy=lambda d: int(d.share) % 8, status=stubs.status)
    return stubs.sequencer


def fill_memory(rig: Rig, rng: np.random.Generator) -> dict[int, int]:
    """Random memory with programs, one of them damaged now and then, and argument lists; returns their lengths."""
    rig.content[:] = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
    for address in PROGRAMS:
        image = bytearray(encode(rig.units, random_program(rig.units, rng)))
        if rng.random() < 0.05:
            image[rng.integers(0, len(image))] ^= 1 << int(rng.integers(0, 8))
        rig.put(address, bytes(image))
    lengths = {}
    for address in ARGUMENTS:
        words = _arguments(rig.units, rng)
        rig.put_words(address, words)
        lengths[address] = len(words)
    return lengths


def _arguments(machine: UnitMap, rng: np.random.Generator) -> list[int]:
    """Three records, now and then one that reaches too far."""
    words: list[int] = []
    for _ in range(3):
        slot = machine.slots[rng.integers(0, machine.tile_unit(0))]
        first = int(rng.integers(0, slot.size.words))
        count = int(rng.integers(1, slot.size.words - first + 1))
        values = [int(w) for w in rng.integers(1, 40, count)]
        if slot.kind is Kind.AGCU and first == 0 and rng.random() < 0.2:
            values[0] |= FAILS
        words += record_words(slot.number, first + int(rng.random() < 0.05), values)
    return words


def random_list(rng: np.random.Generator, tiles: int, lengths: Mapping[int, int]) -> list[list[int]]:
    """Commands whose outcome does not depend on time: who starts a tile or a copy waits for it next.

    Half of the lists begin with two programs, of which the first is kept to go on with.
    """
    mask = int(rng.choice([1, 1, (1 << tiles) - 1]))
    commands: list[list[int]] = []
    for _ in range(int(rng.choice([0, 2]))):
        commands.append(command(Opcode.LOAD, address=int(rng.choice(PROGRAMS))))
        commands.append(command(Opcode.EXECUTE, tiles=mask, keep=1))
        commands.append(command(Opcode.WAIT, tiles=mask))
    commands += [] if commands else [command(Opcode.LOAD, address=int(rng.choice(PROGRAMS)))]
    counters = list(rng.permutation(LOOPS))
    for _ in range(int(rng.integers(3, 14))):
        choice = rng.random()
        if choice < 0.2:
            address = int(rng.choice(PROGRAMS)) + (2 if rng.random() < 0.05 else 0)
            commands.append(command(Opcode.LOAD, address=address))
        elif choice < 0.4:
            address = int(rng.choice(ARGUMENTS))
            count = int(rng.choice([0, 5, 1 << COUNT_BITS - 1])) if rng.random() < 0.1 else lengths[address]
            commands.append(command(Opcode.ARGUMENTS, address=address, count=count))
        elif choice < 0.6:
            wrong = rng.random() < 0.05
            keep = int(rng.random() < 0.6)
            commands.append(command(Opcode.EXECUTE, tiles=0 if wrong else mask, keep=keep))
            commands.append(command(Opcode.WAIT, tiles=1 << tiles if rng.random() < 0.05 else mask))
        elif choice < 0.7:
            commands.append(command(Opcode.UNLOAD, address=int(rng.choice(IMAGES)), tiles=mask))
        elif choice < 0.8:
            commands.append(command(Opcode.SIGNAL, value=int(rng.integers(0, 1 << 32))))
        elif choice < 0.88:
            share = int(rng.integers(1, 8)) if rng.random() < 0.1 else 0
            rows = int(rng.integers(0, 40))
            commands.append(command(Opcode.DMA, descriptor={"source": 64, "rows": rows, "share": share}))
            commands.append(command(Opcode.WAIT_DMA))
        elif choice < 0.97 and counters:
            target = int(rng.integers(0, len(commands))) if rng.random() < 0.95 else 999
            jump = {"target": target, "times": int(rng.integers(0, 3)), "counter": int(counters.pop())}
            commands.append(command(Opcode.JUMP, **jump))
        else:
            commands.append([int(rng.integers(0, 256)), *[0] * 7] if rng.random() < 0.3 else command(Opcode.NOP))
    if rng.random() < 0.5:
        commands.append(command(Opcode.HALT))
        commands.append(command(Opcode.SIGNAL, value=0xDEAD))
    return commands


def check_random_list(rig: Rig, rng: np.random.Generator) -> str:
    """One random list from reset; what differs from the golden model, or nothing."""
    rig.reset()
    lengths = fill_memory(rig, rng)
    commands = random_list(rng, rig.units.params.tiles, lengths)
    rig.put(LIST, command_list(commands))
    memory = ArrayMemory(rig.content.copy(), rig.units.params.beat_bytes)
    golden = golden_of(rig, memory)
    if rng.random() < 0.2:
        bad = int(rng.integers(0, 0x1200)) // rig.units.params.beat_bytes
        rig.model["bad_beat"] = memory.bad_beat = bad
    run = command(Opcode.LIST, address=LIST, count=len(commands))
    golden.command(run)
    rig.run(Opcode.LIST, address=LIST, count=len(commands))
    rig.model["bad_beat"] = NOWHERE
    return compared(rig, golden, memory)


def compared(rig: Rig, golden: Sequencer, memory: ArrayMemory) -> str:
    """What of errors, signals, memory or units, shadow and active, differs, or nothing."""
    expected = golden.error or Error(ErrorCode.NONE)
    found = rig.error()
    if found != expected:
        return f"error {found}, should be {expected}"
    signal = golden.signals[-1] if golden.signals else 0
    if rig.registers.read("SIGNAL") != signal:
        return f"signal {rig.registers.read('SIGNAL'):#x}, should be {signal:#x}"
    status = rig.registers.fields("STATUS")
    if status["loaded"] != golden.loaded or status["running"]:
        return f"tiles {status}, should be loaded {golden.loaded}"
    wrong = np.flatnonzero(rig.content != memory.content)
    if len(wrong):
        return f"byte {wrong[0]:#x} of memory differs, the first of {len(wrong)}"
    active = rig.model["active_words"]
    for number in range(rig.units.tile_unit(0)):
        word, due = active >> 32 * number & 0xFFFF_FFFF, golden.committed[number][0]
        if word != due:
            return f"{rig.units.name(number)} runs with word {word:#x}, should be {due:#x}"
    return different(rig, golden)
