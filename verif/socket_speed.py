"""How fast a socket simulates, idle and fully busy: a job for the board under cocotb, or for any machine.

On one processor the clock is the processor time of the simulator's process, so other users of the machine are not
measured. On several it is that on the wall, and other users are.
"""

import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from coe_mapping.bitstream import argument_words
from coe_mapping.commands import command
from coe_mapping.compile import compile_program
from coe_mapping.device import Device
from hdl.floorplan import Kind, floorplan
from hdl.host.format import Opcode
from hdl.pcu.config import STATUS
from verif.busy import busy_kernel
from verif.generation import tell
from verif.machine import RTLMachine
from verif.sim.blocks import THREADS

RUNS = 5
CYCLES = 4_000
"""In a run."""
IDLE_CYCLES = 10 * CYCLES
STEADY = 3_000
"""Cycles after a start before anything is measured."""
BLOCKS = 10_000
"""Of the kernel: more than is ever waited for."""
PROGRAM = 0x80000


@dataclass(frozen=True)
class SocketSpeed:
    """Cycles simulated a second; ``utilisation``: of the peak of all PCUs, while busy."""

    idle: float
    busy: float
    utilisation: float


def run(machine: RTLMachine, options: object) -> None:
    """The job: prints an event when the simulator runs, and one with the speeds."""
    del options
    tell("running")
    speed = measure(machine)
    tell("speed", idle=speed.idle, busy=speed.busy, utilisation=speed.utilisation)


def read_event(event: Mapping[str, Any]) -> SocketSpeed:
    """What :func:`run` printed."""
    return SocketSpeed(event["idle"], event["busy"], event["utilisation"])


def measure(machine: RTLMachine) -> SocketSpeed:
    """From reset: first nothing is loaded, then the kernel of :mod:`verif.busy` runs on random data."""
    machine.reset()
    idle = _speed(machine, IDLE_CYCLES)
    _start(machine)
    machine.model.tick(STEADY)
    fired, since = _fires(machine), machine.now()
    busy = _speed(machine, CYCLES)
    utilisation = (_fires(machine) - fired) / (machine.now() - since)
    machine.reset()
    return SocketSpeed(idle, busy, utilisation / len(floorplan(machine.params).of(Kind.PCU)))


def _speed(machine: RTLMachine, cycles: int) -> float:
    """The median of several runs."""
    clock = time.perf_counter if int(os.environ.get(THREADS, "1")) > 1 else time.process_time
    seconds = []
    for _ in range(RUNS):
        start = clock()
        machine.model.tick(cycles)
        seconds.append(clock() - start)
    return cycles / statistics.median(seconds)


def _start(machine: RTLMachine) -> None:
    """Loads the kernel and starts it."""
    params = machine.params
    kernel = busy_kernel(params, BLOCKS)
    compiled = compile_program(params, kernel.program, kernel.bindings)
    device = Device(machine, params.memory.hbm.capacity - Device.SCRATCH)
    rng, addresses, end = np.random.default_rng(1), {}, 0
    for name, region in compiled.regions.items():
        addresses[name] = end
        device.write(end, rng.standard_normal(region.bytes // 2).astype(bfloat16).view(np.uint8))
        end += -(-region.bytes // 256) * 256
    program = device.store_program(compiled.bitstream, PROGRAM)
    device.load(program)
    words = argument_words(compiled.bitstream, compiled.at(addresses))
    device.write(device.scratch, np.array(words, "<u4").tobytes())
    tiles = sum(1 << tile for tile in compiled.bitstream.tiles)
    arguments = command(Opcode.ARGUMENTS, address=device.scratch, count=len(words))
    machine.send([arguments, command(Opcode.EXECUTE, tiles=tiles)])


def _fires(machine: RTLMachine) -> int:
    """Cycles in which PCUs multiplied, all together."""
    word = STATUS.index("fires")
    return sum(machine.status(place.number, word + 1)[word] for place in floorplan(machine.params).of(Kind.PCU))
