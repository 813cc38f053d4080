"""Launch schedules as data, and the two ways to carry one out: command by command, or as one list in memory.

A schedule is a list of launches: a program and the addresses of its regions. Both ways load a program only when another
one is resident, and set only the arguments that differ from those the program was given last; so going on to the next
layer is a launch with other arguments.

::

    software  host: LOAD ... ARGUMENTS EXECUTE WAIT ... ARGUMENTS EXECUTE WAIT ... LOAD ...
    hardware  host: LIST
              list:      LOAD ARGUMENTS EXECUTE | LOAD ARGUMENTS WAIT EXECUTE | ARGUMENTS WAIT EXECUTE | ... WAIT
                                        (what stands before a WAIT happens in the shadow of what runs)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from coe_mapping.bitstream import Argument, Bitstream, argument_words
from coe_mapping.commands import command
from coe_mapping.compile import Compiled
from coe_mapping.device import Device, DeviceError, Loaded
from hdl.host.format import COMMAND_BYTES, WORD_BYTES, Opcode


@dataclass(frozen=True)
class Launch:
    """One execution of ``program``, its regions at these ``addresses``."""

    program: str
    addresses: Mapping[str, int]


@dataclass(frozen=True)
class Stored:
    """A program in the memory of a device."""

    compiled: Compiled
    loaded: Loaded

    @cached_property
    def tiles(self) -> int:
        """The mask of its tiles."""
        return sum(1 << tile for tile in self.loaded.bitstream.tiles)


Done = Callable[[int], None]
"""Told every launch by its number in the schedule, in order: after each in software, after all of them in hardware."""


@dataclass
class Orchestrator:
    """Carries out schedules on a device that nobody else launches programs on.

    Attributes:
        programs: by the names that launches use.
        commands, arguments: addresses of memory for command lists (:func:`list_bytes`) and argument lists
            (:func:`argument_bytes`).
    """

    device: Device
    programs: Mapping[str, Stored]
    commands: int
    arguments: int
    _resident: str | None = field(default=None, init=False)
    _given: dict[Argument, int] = field(default_factory=dict, init=False)

    def load(self, program: str) -> None:
        """Makes sure that a program is resident, its arguments as they were compiled."""
        with self._forgetting():
            self.device.load(self.programs[program].loaded)
        self._resident, self._given = program, {}

    def software(self, schedule: Sequence[Launch], done: Done | None = None) -> None:
        """Every command from the host.

        Raises:
            DeviceError: a command failed.
        """
        for number, launch in enumerate(schedule):
            stored = self.programs[launch.program]
            load, changed = self.turn_to(launch)
            with self._forgetting():
                if load:
                    self.device.load(stored.loaded)
                self.device.launch(stored.loaded, changed)
            if done is not None:
                done(number)

    def hardware(self, schedule: Sequence[Launch], done: Done | None = None, *, ahead: str | None = None) -> None:
        """One command list; while the last launch runs, the program called ``ahead`` is loaded for the next schedule.

        Raises:
            DeviceError: a command failed.
        """
        commands, words = self.lower(schedule, ahead)
        self.device.write(self.arguments, b"".join(word.to_bytes(WORD_BYTES, "little") for word in words))
        with self._forgetting():
            self.device.run_list(commands, self.commands)
        if done is not None:
            for number in range(len(schedule)):
                done(number)

    def lower(self, schedule: Sequence[Launch], ahead: str | None = None) -> tuple[list[list[int]], list[int]]:
        """The commands of :meth:`hardware`, and the words of the argument lists they name."""
        commands: list[list[int]] = []
        words: list[int] = []
        running = 0
        for launch in schedule:
            stored = self.programs[launch.program]
            load, changed = self.turn_to(launch)
            if load:
                commands.append(command(Opcode.LOAD, address=stored.loaded.address))
            if changed:
                records = argument_words(stored.loaded.bitstream, changed)
                address = self.arguments + len(words) * WORD_BYTES
                commands.append(command(Opcode.ARGUMENTS, address=address, count=len(records)))
                words += records
            if running:
                commands.append(command(Opcode.WAIT, tiles=running))
            commands.append(command(Opcode.EXECUTE, tiles=stored.tiles))
            running = stored.tiles
        if ahead is not None and ahead != self._resident:
            commands.append(command(Opcode.LOAD, address=self.programs[ahead].loaded.address))
            self._resident, self._given = ahead, {}
        commands.append(command(Opcode.WAIT, tiles=running))
        return commands, words

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """After an error nobody knows what is resident; what was started before it runs to its end."""
        try:
            yield
        except DeviceError:
            self._resident = None
            self.device.run([command(Opcode.WAIT, tiles=(1 << self.device.params.tiles) - 1)])
            raise

    def turn_to(self, launch: Launch) -> tuple[bool, dict[Argument, int]]:
        """Whether the program has to be loaded for a launch, and the arguments that it does not have yet; from now on
        both count as done."""
        load = launch.program != self._resident
        if load:
            self._resident, self._given = launch.program, {}
        stored = self.programs[launch.program]
        changed = {
            part: bits
            for argument, value in stored.compiled.at(launch.addresses).items()
            for part, bits in _parts(argument, value)
            if bits != self._given.get(part, _content(stored.loaded.bitstream, part))
        }
        self._given |= changed
        return load, changed


def _parts(argument: Argument, value: int) -> Iterator[tuple[Argument, int]]:
    """The argument word by word, so that a word that stays is not sent."""
    word, shift, width = argument.word, argument.shift, argument.width
    while width:
        taken = min(width, 8 * WORD_BYTES - shift)
        yield Argument(argument.unit, word, shift, taken), value & ((1 << taken) - 1)
        word, shift, width, value = word + 1, 0, width - taken, value >> taken


def _content(bitstream: Bitstream, part: Argument) -> int:
    """What a field within a word is when the program has just been loaded."""
    return bitstream.units[part.unit][part.word] >> part.shift & ((1 << part.width) - 1)


def list_bytes(launches: int) -> int:
    """Of the longest command list of so many launches: load, arguments, wait, execute; one more load and wait."""
    return (4 * launches + 1) * COMMAND_BYTES


def argument_bytes(launches: Sequence[Compiled]) -> int:
    """Of the longest argument lists of those launches: two words of every address, each in a record of its own."""
    fields = sum(len(each) for program in launches for each in program.arguments.values())
    return fields * 2 * 2 * WORD_BYTES
