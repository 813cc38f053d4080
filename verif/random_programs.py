"""Random legal programs on golden and RTL sockets: all of memory must agree, and every stream that is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from numpy.typing import NDArray

from coe_mapping.compile import Compiled, compile_program
from coe_mapping.device import Device, DeviceError, GoldenMachine, Machine
from hdl.arith.formats import BF16
from hdl.errors import ParameterError
from hdl.params import RDUParams
from verif.machine import RTLMachine
from verif.operands import singles
from verif.sim import SimulationError
from verif.strategies.programs import RandomProgram, Recipe, build, recipes
from verif.stream_differences import Difference, first_difference

PROGRAM, SCRATCH, DATA = 0x80000, 0xC0000, 0x1000


@dataclass(eq=False)  # an error that is frozen cannot be given its traceback
class MemoryDifferenceError(AssertionError):
    """Where memory differs first; ``origin``: the first difference between the streams, if they were recorded."""

    address: int
    golden: int
    rtl: int
    origin: Difference | None = None

    def __str__(self) -> str:
        text = f"memory differs at {self.address:#x}: golden {self.golden:#04x}, RTL {self.rtl:#04x}"
        return text if self.origin is None else f"{text}; {self.origin}"


@dataclass(eq=False)
class StreamDifferenceError(AssertionError):
    """The memories are equal, but a unit sent something else, or the RTL did not finish."""

    origin: Difference | None
    error: Exception | None = None

    def __str__(self) -> str:
        return "; ".join(str(part) for part in (self.error, self.origin) if part is not None)


DIFFERENCES = (MemoryDifferenceError, StreamDifferenceError)


def check(machine: RTLMachine, recipe: Recipe, seed: int, *, reset: bool = True) -> bool:
    """Runs one program on both; False if it does not fit the machine, or its routes could deadlock.

    ``reset``: begins with a reset and random memory latency.

    Raises:
        MemoryDifferenceError: the memories are not equal afterwards.
        StreamDifferenceError: a stream is not, on a machine that records them; or the RTL stopped, or is stuck.
    """
    params = machine.params
    made = build(params, recipe)
    if made is None:
        return False
    try:
        compiled = compile_program(params, made.program, made.bindings, seed=seed)
    except ParameterError:
        return False
    addresses = addresses_of(params, made)
    data = random_data(params, made, addresses, seed)
    golden = GoldenMachine(params)
    _run(golden, compiled, addresses, data)
    if reset:
        machine.reset(jitter=(0, 3, 15, 63)[seed % 4], seed=seed)
    try:
        _run(machine, compiled, addresses, data)
    except (DeviceError, SimulationError) as error:
        raise StreamDifferenceError(_origin(golden, machine, stuck=True), error) from error
    compare(golden, machine)
    return True


def compare(golden: GoldenMachine, machine: RTLMachine) -> None:
    """After one program on both.

    Raises:
        MemoryDifferenceError: HBM is not equal. StreamDifferenceError: a stream is not, where streams are recorded.
    """
    origin = _origin(golden, machine)
    images = golden.tier(0), machine.tier(0)
    different = np.flatnonzero(images[0] != images[1])
    if len(different):
        at = int(different[0])
        raise MemoryDifferenceError(at, int(images[0][at]), int(images[1][at]), origin)
    if origin is not None:
        raise StreamDifferenceError(origin)


def _origin(golden: GoldenMachine, machine: RTLMachine, *, stuck: bool = False) -> Difference | None:
    return first_difference(golden.streams, machine.streams(), stuck=stuck) if machine.tapped else None


def _run(
    machine: Machine, compiled: Compiled, addresses: Mapping[str, int], data: Mapping[int, NDArray[np.uint8]]
) -> None:
    """From an empty HBM."""
    device = Device(machine, SCRATCH)
    machine.tier(0)[:] = 0
    for address, content in data.items():
        device.write(address, content)
    program = device.store_program(compiled.bitstream, PROGRAM)
    device.load(program)
    device.launch(program, compiled.at(addresses))


def addresses_of(params: RDUParams, made: RandomProgram) -> dict[str, int]:
    """Places of its regions in HBM, one behind the other."""
    granule = params.beat_bytes * params.memory.granule
    addresses, end = {}, DATA
    for name, region in made.regions.items():
        addresses[name], end = end, end + -(-region.bytes // granule) * granule
    assert end <= PROGRAM
    return addresses


def random_data(
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
        MemoryDifferenceError, StreamDifferenceError: the simplest program that still differs.
    """
    ran = 0

    @seeded(seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(recipe=recipes(), data=st.integers(0, 1 << 16))
    def run(recipe: Recipe, data: int) -> None:
        nonlocal ran
        assume(check(machine, recipe, data))
        ran += 1

    run()
    return ran
