"""Schedules of launches: what every launch runs with, and how often a program is loaded for it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.bitstream import Argument, Bitstream
from coe_mapping.compile import Compiled
from coe_mapping.device import Device, DeviceError, GoldenMachine
from coe_mapping.link import Image
from coe_mapping.program import Placed, Program
from coe_mapping.schedule import Launch, Orchestrator, Stored
from golden_model.launch import Error
from hdl.host.errors import ErrorCode
from hdl.host.format import Opcode
from hdl.params import TEST
from hdl.unit_map import unit_map

PARAMS = replace(TEST, tiles=2)
SCRATCH, COMMANDS, ARGUMENTS = 0, 0x1_0000, 0x2_0000
PLACES = {"A": 0x3_0000, "B": 0x4_0000, "C": 0x5_0000, "small": 0x6_0000}
BASE_BITS = 40

Words = dict[int, list[int]]


class Recorder(GoldenMachine):
    """Runs nothing, and keeps what it should have run: tiles, and the words of their units that are not all zero.

    ``faults``: so many launches end in a refused access.
    """

    def __init__(self) -> None:
        super().__init__(PARAMS)
        self.ran: list[tuple[int, Words]] = []
        self.faults = 0

    def _execute(self, tiles: int) -> Error | None:
        if self.faults:
            self.faults -= 1
            return Error(ErrorCode.FAULT)
        slots = [slot for slot in self._machine.slots if slot.kind is not None and tiles >> slot.tile & 1]
        words = {slot.number: list(self._sequencer.committed[slot.number]) for slot in slots}
        self.ran.append((tiles, {number: content for number, content in words.items() if any(content)}))
        return None


class Lists(Device):
    """Counts the loads of its command lists, by program."""

    def __init__(self, machine: GoldenMachine) -> None:
        super().__init__(machine, SCRATCH)
        self.loads = dict.fromkeys(PLACES, 0)

    def run_list(self, commands: Sequence[Sequence[int]], address: int) -> None:
        for words in commands:
            if words[0] == Opcode.LOAD:
                self.loads[next(name for name, place in PLACES.items() if place == words[1])] += 1
        super().run_list(commands, address)


class Rig:
    """Random programs, all but the last for both tiles; each has two regions, whose addresses go to three units."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.machine = rng, Recorder()
        self.device = Lists(self.machine)
        self.programs = {name: self._program(name) for name in PLACES}
        self.orchestrator = Orchestrator(self.device, self.programs, COMMANDS, ARGUMENTS)

    def _program(self, name: str) -> Stored:
        tiles = (0,) if name == "small" else (0, 1)
        units = [s for s in unit_map(PARAMS).slots if s.kind is not None and s.tile in tiles and s.size.words >= 3]
        chosen = [units[i] for i in self.rng.choice(len(units), 5, replace=False)]
        words = {slot.number: self.rng.integers(0, 1 << 32, slot.size.words).tolist() for slot in chosen}
        x, also_x, y = (
            Argument(slot.number, int(self.rng.integers(0, 2)), int(self.rng.integers(0, 24)), BASE_BITS)
            for slot in chosen[:3]
        )
        bitstream = Bitstream(words, tiles)
        nothing = Placed(Program({}, ())), (), Image({}, frozenset())
        compiled = Compiled(*nothing, bitstream, {}, {"x": (x, also_x), "y": (y,)})
        return Stored(compiled, self.device.store_program(bitstream, PLACES[name]))

    def launch(self, program: str) -> Launch:
        """With addresses of which some are those of other launches."""
        x, y = (int(self.rng.choice([0, 0x400, 0x12_3456_7890])) for _ in range(2))
        return Launch(program, {"x": x, "y": y})

    def expected(self, launch: Launch) -> tuple[int, Words]:
        """What a launch runs, see :class:`Recorder`."""
        stored = self.programs[launch.program]
        words = {number: list(content) for number, content in stored.loaded.bitstream.units.items()}
        for field, value in stored.compiled.at(launch.addresses).items():
            bits = sum(word << 32 * i for i, word in enumerate(words[field.unit]))
            low = 32 * field.word + field.shift
            bits = bits & ~((1 << BASE_BITS) - 1 << low) | value << low
            words[field.unit] = [bits >> 32 * i & 0xFFFF_FFFF for i in range(len(words[field.unit]))]
        return stored.tiles, words

    def passes(self, names: str, count: int) -> list[dict[str, int]]:
        """Runs a schedule of one-letter programs ``count`` times; the loads of each pass, by program."""
        made = []
        for _ in range(count):
            schedule, before = [self.launch(name) for name in names], dict(self.device.loads)
            self.orchestrator.hardware(schedule, ahead=names[0])
            assert self.machine.ran[-len(names) :] == [self.expected(launch) for launch in schedule]
            loads = {name: self.device.loads[name] - before[name] for name in PLACES}
            made.append({name: loaded for name, loaded in loads.items() if loaded})
        return made


@pytest.fixture
def rig(rng: np.random.Generator) -> Rig:
    return Rig(rng)


def test_two_programs_in_turn_are_loaded_once_each(rig: Rig) -> None:
    assert rig.passes("AB", 5) == [{"A": 1, "B": 1}, {}, {}, {}, {}]


def test_a_program_that_goes_on_by_arguments_costs_the_other_one_a_load_a_pass(rig: Rig) -> None:
    assert rig.passes("AAAB", 4) == [{"A": 1, "B": 1}, {"B": 1}, {"B": 1}, {"B": 1}]


def test_three_programs_in_turn_are_loaded_in_every_pass(rig: Rig) -> None:
    assert rig.passes("ABC", 3) == [{"A": 2, "B": 1, "C": 1}, *2 * [{"A": 1, "B": 1, "C": 1}]]


def test_after_an_error_both_programs_are_loaded_again(rig: Rig) -> None:
    rig.passes("AB", 2)
    rig.machine.faults = 1
    with pytest.raises(DeviceError):
        rig.passes("AB", 1)
    assert rig.passes("AB", 2) == [{"A": 1, "B": 1}, {}]


def test_every_launch_runs_its_program_with_its_arguments_whatever_went_before(rig: Rig) -> None:
    """By lists and from the host in turn, with errors now and then; programs on other tiles in between."""
    rng, orchestrator = rig.rng, rig.orchestrator
    names = [*PLACES]
    for _ in range(60):
        schedule = [rig.launch(str(rng.choice(names))) for _ in range(int(rng.integers(1, 6)))]
        rig.machine.faults, before = int(rng.random() < 0.1), len(rig.machine.ran)
        failed = bool(rig.machine.faults)
        try:
            if rng.random() < 0.3:
                orchestrator.software(schedule)
            else:
                orchestrator.hardware(schedule, ahead=[None, *names][rng.integers(0, len(names) + 1)])
        except DeviceError:
            assert failed
            continue
        assert rig.machine.ran[before:] == [rig.expected(launch) for launch in schedule]
        if rng.random() < 0.1:
            orchestrator.load(str(rng.choice(names)))
