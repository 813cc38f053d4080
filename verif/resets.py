"""Resets of a socket in the middle of its work, each followed by a random program that must run as on a fresh one."""

import enum
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coe_mapping.bitstream import argument_words
from coe_mapping.commands import command
from coe_mapping.compile import Compiled, compile_program
from coe_mapping.device import Device
from hdl.host.format import Opcode
from hdl.params import TIER_SHIFT
from verif.machine import RTLMachine
from verif.random_programs import DATA, PROGRAM, SCRATCH, addresses_of, check
from verif.sim import SimulationError
from verif.strategies.programs import Recipe, build

FOREVER = (1 << 32) - 1
ARGUMENTS = SCRATCH + 0x8000
COPY_BYTES = 0x4000
PATIENCE = 2_000
"""Looks at the status within which an activity must be seen."""


class Activity(enum.Enum):
    """What a reset comes into."""

    LOAD = "load"
    EXECUTE = "execute"
    COPY = "copy"


@dataclass
class Worker:
    """Keeps a machine at work: a command list that for ever loads, runs, copies, and loads while it runs and copies."""

    machine: RTLMachine

    @cached_property
    def _program(self) -> tuple[Compiled, dict[str, int]]:
        """A product behind a norm, stored twice: every kind of unit, and a multicast."""
        params = self.machine.params
        made = build(params, Recipe(rows=6, chunks=2, gathered=False, steps=((4, 0), (1, 1)), copies=2))
        assert made is not None, f"{params.name} has no room for the program that is interrupted"
        return compile_program(params, made.program, made.bindings), addresses_of(params, made)

    def start(self) -> None:
        compiled, addresses = self._program
        device = Device(self.machine, SCRATCH)
        program = device.store_program(compiled.bitstream, PROGRAM)
        words = argument_words(compiled.bitstream, compiled.at(addresses))
        device.write(ARGUMENTS, np.array(words, "<u4").tobytes())
        tiles = sum(1 << tile for tile in compiled.bitstream.tiles)
        copy = {"source": 1 << TIER_SHIFT, "destination": DATA, "row_bytes": COPY_BYTES, "rows": 1, "share": 256}
        commands = [
            command(Opcode.LOAD, address=program.address),
            command(Opcode.ARGUMENTS, address=ARGUMENTS, count=len(words)),
            command(Opcode.EXECUTE, tiles=tiles),
            command(Opcode.DMA, descriptor=copy),
            command(Opcode.LOAD, address=program.address),
            command(Opcode.WAIT, tiles=tiles),
            command(Opcode.WAIT_DMA),
            command(Opcode.JUMP, target=0, times=FOREVER),
        ]
        device.write(SCRATCH, b"".join(np.array(words, "<u4").tobytes() for words in commands))
        self.machine.send([command(Opcode.LIST, address=SCRATCH, count=len(commands))])

    def until(self, activity: Activity, rng: np.random.Generator) -> None:
        """Runs to a random cycle in which ``activity`` is under way.

        Raises:
            SimulationError: it never is.
        """
        self.machine.model.tick(int(rng.integers(8_000)))
        for _ in range(PATIENCE):
            if activity in self.activities():
                return
            self.machine.model.tick(int(rng.integers(1, 50)))
        raise SimulationError(f"{self.machine.params.name}: no {activity.value} is ever seen")

    def activities(self) -> set[Activity]:
        """What is going on."""
        status, index = self.machine.registers.fields("STATUS"), self.machine.registers.read("INDEX")
        seen = {Activity.LOAD: index in (1, 5), Activity.EXECUTE: status["running"], Activity.COPY: status["copies"]}
        return {activity for activity, going_on in seen.items() if going_on}


def interrupt(machine: RTLMachine, seed: int) -> Activity:
    """A reset in the middle of one of the activities, then a random program from where the reset left the machine.

    Raises:
        AssertionError: the machine is not idle after the reset, or the program differs from the golden socket.
    """
    rng = np.random.default_rng([seed, 0x5E7])
    activity = list(Activity)[seed % len(Activity)]
    machine.reset(jitter=int(rng.choice([0, 15])), seed=seed)
    worker = Worker(machine)
    worker.start()
    worker.until(activity, rng)
    machine.reset(jitter=int(rng.choice([0, 15])), seed=seed)
    status = machine.registers.fields("STATUS")
    after = {name: status[name] for name in ("idle", "running", "loaded", "copies", "listing")}
    assert after == {"idle": 1, "running": 0, "loaded": 0, "copies": 0, "listing": 0}, f"after the reset: {after}"
    while not check(machine, random_recipe(rng), seed, reset=False):
        pass
    return activity


def random_recipe(rng: np.random.Generator) -> Recipe:
    """As :func:`verif.strategies.programs.recipes` draws them; it may not fit."""
    steps = tuple((int(rng.integers(5)), int(rng.integers(12))) for _ in range(rng.integers(4)))
    sizes = {"rows": int(rng.integers(1, 8)), "chunks": int(rng.integers(1, 5)), "copies": int(rng.integers(1, 3))}
    return Recipe(gathered=bool(rng.integers(2)), steps=steps, **sizes)
