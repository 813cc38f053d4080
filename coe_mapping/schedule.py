"""Launch schedules as data, and the two ways to carry one out: command by command, or as one list in memory.

A schedule is a list of launches: a program and the addresses of its regions. Both ways load a program only when the
shadow configuration holds another one, and set only the arguments that differ from those the program was given last; so
going on to the next layer is a launch with other arguments. A list moreover keeps the program that ran before, when
another one comes next (``docs/launch.md``): two programs that take turns are loaded once each.

::

    software  host: LOAD ... ARGUMENTS EXECUTE WAIT ... ARGUMENTS EXECUTE WAIT ... LOAD ...
    hardware  host: LIST
              list:      LOAD ARGUMENTS EXECUTE | LOAD ARGUMENTS WAIT EXECUTE | ARGUMENTS WAIT EXECUTE | ... WAIT
                                        (what stands before a WAIT happens in the shadow of what runs)
    two programs in turn, loaded before:
              list:      ARGUMENTS EXECUTE keep | ARGUMENTS WAIT EXECUTE keep | ... WAIT
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


@dataclass(frozen=True)
class Resident:
    """A program in the shadow or active configuration, and the arguments it was given since it was loaded."""

    program: str
    given: Mapping[Argument, int] = field(default_factory=dict)


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
    _shadow: Resident | None = field(default=None, init=False)
    _active: Resident | None = field(default=None, init=False)

    def load(self, program: str) -> None:
        """Loads a program into the shadow, its arguments as they were compiled."""
        with self._forgetting():
            self.device.load(self.programs[program].loaded)
        self._shadow = Resident(program)

    def forget(self) -> None:
        """Somebody else has launched programs on the device: what is resident is not known any more."""
        self._shadow = self._active = None

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
        following = [*(launch.program for launch in schedule[1:]), ahead]
        for launch, after in zip(schedule, following, strict=True):
            stored = self.programs[launch.program]
            keep = after is not None and self._take_turns(launch.program, after)
            load, changed = self.turn_to(launch, keep=keep)
            if load:
                commands.append(command(Opcode.LOAD, address=stored.loaded.address))
            if changed:
                records = argument_words(stored.loaded.bitstream, changed)
                address = self.arguments + len(words) * WORD_BYTES
                commands.append(command(Opcode.ARGUMENTS, address=address, count=len(records)))
                words += records
            if running:
                commands.append(command(Opcode.WAIT, tiles=running))
            commands.append(command(Opcode.EXECUTE, tiles=stored.tiles, keep=keep))
            running = stored.tiles
        if ahead is not None and not self._loaded(ahead):
            commands.append(command(Opcode.LOAD, address=self.programs[ahead].loaded.address))
            self._shadow = Resident(ahead)
        commands.append(command(Opcode.WAIT, tiles=running))
        return commands, words

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """After an error nobody knows what is resident; what was started before it runs to its end."""
        try:
            yield
        except DeviceError:
            self._shadow = self._active = None
            self.device.run([command(Opcode.WAIT, tiles=(1 << self.device.params.tiles) - 1)])
            raise

    def turn_to(self, launch: Launch, *, keep: bool = False) -> tuple[bool, dict[Argument, int]]:
        """Whether the program has to be loaded for a launch, and the arguments that it does not have yet; from now on
        both count as done, and the launch too, with ``keep`` in exchange for what ran before."""
        load = not self._loaded(launch.program)
        given = {} if load or self._shadow is None else self._shadow.given
        stored = self.programs[launch.program]
        changed = {
            part: bits
            for argument, value in stored.compiled.at(launch.addresses).items()
            for part, bits in _parts(argument, value)
            if bits != given.get(part, _content(stored.loaded.bitstream, part))
        }
        launched = Resident(launch.program, {**given, **changed})
        self._shadow, self._active = self._active if keep else launched, launched
        return load, changed

    def _take_turns(self, program: str, after: str) -> bool:
        """Whether to keep what ran before ``program``: it may be ``after``, which runs next. Before itself a program is
        wanted in the shadow; and one on other tiles would be kept on some of its own only."""
        return after != program and self.programs[after].tiles == self.programs[program].tiles

    def _loaded(self, program: str) -> bool:
        """Whether the shadow holds a program."""
        return self._shadow is not None and self._shadow.program == program


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
