"""Random legal programs on golden and RTL sockets: all of memory must agree."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from numpy.typing import NDArray

from coe_mapping.compile import compile_program
from coe_mapping.device import Device, GoldenMachine
from hdl.arith.formats import BF16
from hdl.errors import ParameterError
from hdl.params import RDUParams
from verif.machine import RTLMachine
from verif.operands import singles
from verif.strategies.programs import RandomProgram, Recipe, build, recipes

PROGRAM, SCRATCH, DATA = 0x80000, 0xC0000, 0x1000


@dataclass(frozen=True)
class MemoryDifferenceError(AssertionError):
    """Where memory differs first."""

    address: int
    golden: int
    rtl: int

    def __str__(self) -> str:
        return f"memory differs at {self.address:#x}: golden {self.golden:#04x}, RTL {self.rtl:#04x}"


def check(machine: RTLMachine, recipe: Recipe, seed: int) -> bool:
    """Runs one program on both; False if it does not fit the machine, or its routes could deadlock.

    Raises:
        MemoryDifferenceError: the memories are not equal afterwards.
    """
    params = machine.params
    made = build(params, recipe)
    if made is None:
        return False
    try:
        compiled = compile_program(params, made.program, made.bindings, seed=seed)
    except ParameterError:
        return False
    addresses = _addresses(params, made)
    images = []
    machine.reset(jitter=(0, 3, 15, 63)[seed % 4], seed=seed)
    for each in (GoldenMachine(params), machine):
        device = Device(each, SCRATCH)
        each.tier(0)[:] = 0
        for address, data in _data(params, made, addresses, seed).items():
            device.write(address, data)
        program = device.store_program(compiled.bitstream, PROGRAM)
        device.load(program)
        device.launch(program, compiled.at(addresses))
        images.append(each.tier(0).copy())
    different = np.flatnonzero(images[0] != images[1])
    if len(different):
        at = int(different[0])
        raise MemoryDifferenceError(at, int(images[0][at]), int(images[1][at]))
    return True


def _addresses(params: RDUParams, made: RandomProgram) -> dict[str, int]:
    granule = params.beat_bytes * params.memory.granule
    addresses, end = {}, DATA
    for name, region in made.regions.items():
        addresses[name], end = end, end + -(-region.bytes // granule) * granule
    assert end <= PROGRAM
    return addresses


def _data(
    params: RDUParams, made: RandomProgram, addresses: Mapping[str, int], seed: int
) -> dict[int, NDArray[np.uint8]]:
    """Random BF16 with special values; row numbers where rows are gathered."""
    rng = np.random.default_rng(seed)
    data = {}
    for name, region in made.regions.items():
        if name.startswith("positions"):
            numbers = np.zeros((region.bytes // params.beat_bytes, params.beat_bytes // 4), np.uint32)
            numbers[:, 0] = rng.integers(0, len(numbers), len(numbers))
            data[addresses[name]] = numbers.view(np.uint8).reshape(-1)
        elif not name.startswith("out"):
            data[addresses[name]] = singles(BF16, rng, region.bytes // 2).astype(np.uint16).view(np.uint8)
    return data


def campaign(machine: RTLMachine, examples: int, seed: int, *, shrink: bool = True) -> int:
    """Checks ``examples`` random programs; returns how many ran.

    Raises:
        MemoryDifferenceError: one left another memory, shrunk to the simplest that does.
    """
    ran = 0

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(recipe=recipes(), data=st.integers(0, 1 << 16))
    def run(recipe: Recipe, data: int) -> None:
        nonlocal ran
        assume(check(machine, recipe, data))
        ran += 1

    run()
    return ran
