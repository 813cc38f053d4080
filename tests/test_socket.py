"""A socket in RTL: programs are loaded and run, and leave the memory that the golden socket leaves."""

import json
from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.bitstream import Argument, decode, encode
from coe_mapping.commands import command
from coe_mapping.compile import Compiled, compile_program
from coe_mapping.device import Device, DeviceError, GoldenMachine
from coe_mapping.experts.on_device import copy_command
from coe_mapping.experts.runtime import Transfer
from coe_mapping.kernels.dense import weight_stream
from coe_mapping.kernels.gemm import GemmKernel, gemm_kernel
from coe_mapping.kernels.looped import in_rounds
from coe_mapping.schedule import Launch, Orchestrator, Stored
from golden_model import numerics as golden
from hdl.arith.formats import BF16
from hdl.arith.special_tables import Function
from hdl.floorplan import Kind, Place, floorplan
from hdl.host.errors import ErrorCode
from hdl.host.format import Opcode
from hdl.memory.channel import Tier
from hdl.params import TEST
from verif import expert_copy, random_programs
from verif.generation import MARK
from verif.machine import RTLMachine
from verif.resets import Activity, interrupt
from verif.sim import SimulationError
from verif.socket_copy import copy_through_socket
from verif.stream_differences import NOTHING, first_difference

PROGRAM, LIST, UNLOADED, SCRATCH = 0x40000, 0x54000, 0x58000, 0x60000
ADDRESSES = {"x": 0x1000, "weights": 0x2000, "y": 0x8000}


@pytest.fixture(scope="module")
def machine() -> RTLMachine:
    """With taps: random programs compare their streams too, and this file builds one simulation."""
    return RTLMachine(TEST, tapped=True)


@dataclass(frozen=True)
class Case:
    """A product with its operands."""

    kernel: GemmKernel
    compiled: Compiled
    x: NDArray[np.uint16]
    weights: NDArray[np.uint16]

    @property
    def bytes(self) -> int:
        return self.compiled.regions["y"].bytes


def case(rng: np.random.Generator, rows: int, k: int, n: int, function: Function | None = None) -> Case:
    kernel = gemm_kernel(TEST, rows, k, n, function)
    t = kernel.tiling
    padded = np.zeros((t.blocks * t.group, kernel.pitch), ml_dtypes.bfloat16)
    padded[:rows, :k] = rng.standard_normal((rows, k))
    weights = rng.standard_normal((k, n)).astype(ml_dtypes.bfloat16)
    return Case(
        kernel, compile_program(TEST, kernel.program, kernel.bindings), padded.view(np.uint16), weights.view(np.uint16)
    )


def run(device: Device, c: Case, addresses: dict[str, int]) -> NDArray[np.uint8]:
    device.write(addresses["x"], c.x.view(np.uint8))
    device.write(addresses["weights"], weight_stream(c.weights, c.kernel.tiling).view(np.uint8))
    program = device.store_program(c.compiled.bitstream, PROGRAM)
    device.load(program)
    device.launch(program, c.compiled.at(addresses))
    return device.read(addresses["y"], c.bytes)


@pytest.mark.parametrize(("rows", "k", "n"), [(1, 1, 1), (3, 7, 5), (5, 18, 33)])
@pytest.mark.parametrize("jitter", [0, 15])
def test_a_product_through_the_whole_socket_is_exact(
    machine: RTLMachine, rng: np.random.Generator, rows: int, k: int, n: int, jitter: int
) -> None:
    machine.reset(jitter=jitter, seed=7)
    c = case(rng, rows, k, n)
    rtl = run(Device(machine, SCRATCH), c, ADDRESSES)
    assert np.array_equal(rtl, run(Device(GoldenMachine(TEST), SCRATCH), c, ADDRESSES))
    expected = golden.to_bf16(golden.gemm(golden.from_bits(c.x, BF16)[:rows, :k], _bf16(c.weights)))
    result = rtl.view(np.uint16).reshape(-1, c.kernel.tiling.width)[:rows, :n]
    assert np.array_equal(result, golden.to_bits(expected))


def test_every_round_of_a_program_takes_what_the_round_before_has_stored(
    machine: RTLMachine, rng: np.random.Generator
) -> None:
    """Three products, one after the other, in one launch: y of a round is x of the next, the weights are its own."""
    machine.reset(jitter=15, seed=3)
    c, rounds = case(rng, 3, 8, 8), 3
    regions = {binding.region.name: binding.region.bytes for binding in c.kernel.bindings}
    granule = TEST.beat_bytes * TEST.memory.granule
    steps = {name: -(-size // granule) * granule for name, size in regions.items()}
    assert steps["x"] == steps["y"]
    program, bindings = in_rounds(TEST.agcu, c.kernel.program, c.kernel.bindings, rounds, steps, carried=("y", "x"))
    addresses = {"x": 0x1000, "y": 0x1000 + steps["x"], "weights": 0x8000}
    images = []
    for device in (Device(machine, SCRATCH), Device(GoldenMachine(TEST), SCRATCH)):
        device.write(addresses["x"], c.x.view(np.uint8))
        for number in range(rounds):
            weights = weight_stream(np.roll(c.weights, number, axis=0), c.kernel.tiling)
            device.write(addresses["weights"] + number * steps["weights"], weights.view(np.uint8))
        stored = device.store_program(compile_program(TEST, program, bindings).bitstream, PROGRAM)
        device.load(stored)
        for _ in range(2):  # a second launch begins at the first round again
            device.launch(stored, compile_program(TEST, program, bindings).at(addresses))
        images.append(device.read(addresses["y"], rounds * steps["y"]))
    assert np.array_equal(*images)
    expected = _bf16(c.x)[:, :8]
    for number in range(rounds):
        expected = np.asarray(golden.to_bf16(golden.gemm(expected, np.roll(_bf16(c.weights), number, axis=0))))
    last = images[0][(rounds - 1) * steps["y"] :][: c.bytes].view(np.uint16).reshape(len(expected), -1)
    assert np.array_equal(last[:3], golden.to_bits(expected)[:3])


def _bf16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.asarray(golden.from_bits(bits, BF16))


def test_arguments_move_a_loaded_program_to_other_addresses(machine: RTLMachine, rng: np.random.Generator) -> None:
    machine.reset()
    device = Device(machine, SCRATCH)
    c = case(rng, 2, 4, 4, Function.SILU)
    first = run(device, c, ADDRESSES)
    moved = {"x": 0x10000, "weights": 0x14000, "y": 0x18000}
    device.write(moved["x"], c.x.view(np.uint8))
    device.write(moved["weights"], weight_stream(c.weights, c.kernel.tiling).view(np.uint8))
    program = device.store_program(c.compiled.bitstream, PROGRAM)
    device.launch(program, c.compiled.at(moved))
    assert np.array_equal(device.read(moved["y"], c.bytes), first)


def test_two_kernels_in_turn_are_kept_by_every_unit(machine: RTLMachine, rng: np.random.Generator) -> None:
    """Results, and at the end the configuration of every unit and switch, are those of the golden machine."""
    cases = [case(rng, 2, 4, 4, Function.SILU), case(rng, 3, 7, 5)]
    places = [{name: at + 0x10000 * i for name, at in ADDRESSES.items()} for i in range(len(cases))]
    machine.reset()
    left = []
    for each in (machine, GoldenMachine(TEST)):
        device = Device(each, SCRATCH)
        stored = {}
        for i, (c, place) in enumerate(zip(cases, places, strict=True)):
            device.write(place["x"], c.x.view(np.uint8))
            device.write(place["weights"], weight_stream(c.weights, c.kernel.tiling).view(np.uint8))
            stored[f"kernel {i}"] = Stored(c.compiled, device.store_program(c.compiled.bitstream, PROGRAM + 0x8000 * i))
        orchestrator, results = Orchestrator(device, stored, LIST, LIST + 0x1000), []
        for moved in (0, 0x2000, 0):
            schedule = [Launch(n, {**p, "y": p["y"] + moved}) for n, p in zip(stored, places, strict=True)]
            orchestrator.hardware(schedule, ahead="kernel 0")
            results += [device.read(p["y"] + moved, c.bytes) for c, p in zip(cases, places, strict=True)]
        device.run([command(Opcode.UNLOAD, tiles=1, address=UNLOADED)])
        image = device.read(UNLOADED, SCRATCH - UNLOADED).tobytes()
        left.append((np.concatenate(results).tolist(), decode(device.units, image).units))
    assert left[0] == left[1]


def test_an_access_outside_its_segment_stops_the_kernel_and_the_next_program_runs(
    machine: RTLMachine, rng: np.random.Generator
) -> None:
    machine.reset()
    device = Device(machine, SCRATCH)
    c = case(rng, 2, 4, 4)
    before = run(device, c, ADDRESSES)
    program = device.store_program(c.compiled.bitstream, PROGRAM)
    device.load(program)
    segment = c.compiled.arguments["weights"][0]
    limit = Argument(segment.unit, segment.word + 2, 0, 32)
    with pytest.raises(DeviceError, match=r"AGCU at row \d, column \d was refused an access at offset 0x8") as error:
        device.launch(program, {**c.compiled.at(ADDRESSES), limit: 8})
    assert error.value.error.code == ErrorCode.FAULT
    assert np.array_equal(run(device, c, ADDRESSES), before)


def test_a_damaged_bitstream_is_refused_and_a_good_one_accepted_afterwards(
    machine: RTLMachine, rng: np.random.Generator
) -> None:
    machine.reset()
    device = Device(machine, SCRATCH)
    c = case(rng, 1, 4, 4)
    program = device.store_program(c.compiled.bitstream, PROGRAM)
    device.write(PROGRAM + 100, bytes([encode(device.units, c.compiled.bitstream)[100] ^ 1]))
    with pytest.raises(DeviceError, match="checksum is wrong"):
        device.load(program)
    assert np.array_equal(run(device, c, ADDRESSES), run(Device(GoldenMachine(TEST), SCRATCH), c, ADDRESSES))


def test_a_unit_configured_otherwise_is_the_one_that_is_reported(machine: RTLMachine, seed: int) -> None:
    """The golden socket runs one program, the RTL one that differs in a PCU's special function."""
    cases = [case(np.random.default_rng(seed), 3, 7, 5, function) for function in (Function.SILU, Function.TANH)]
    ours, others = (c.compiled.bitstream.units for c in cases)
    changed = [number for number, words in ours.items() if others[number] != words]
    assert len(changed) == 1
    golden = GoldenMachine(TEST)
    machine.reset()
    for each, c in zip((golden, machine), cases, strict=True):
        run(Device(each, SCRATCH), c, ADDRESSES)
    found = first_difference(golden.streams, machine.streams())
    assert found is not None
    assert (found.end.unit, found.index) == (floorplan(TEST).units[changed[0]], 0)
    assert found.golden != found.rtl


def test_a_load_from_another_address_is_reported_at_its_agcu_and_where_memory_differs(
    machine: RTLMachine, rng: np.random.Generator
) -> None:
    c, golden = case(rng, 3, 7, 5), GoldenMachine(TEST)
    machine.reset()
    machine.tier(0)[:] = 0
    for each in (golden, machine):
        run(Device(each, SCRATCH), c, ADDRESSES)
    random_programs.compare(golden, machine)
    elsewhere = {**ADDRESSES, "weights": ADDRESSES["weights"] + TEST.beat_bytes * TEST.memory.granule}
    device = Device(machine, SCRATCH)
    device.launch(device.store_program(c.compiled.bitstream, PROGRAM), c.compiled.at(elsewhere))
    with pytest.raises(random_programs.MemoryDifferenceError, match=r"memory differs at 0x.* differs first") as error:
        random_programs.compare(golden, machine)
    agcu = c.compiled.arguments["weights"][0].unit
    assert error.value.origin is not None
    assert error.value.origin.end.unit == floorplan(TEST).units[agcu]


def test_a_kernel_that_is_stuck_names_the_units_that_wait_and_the_stream_that_ended_early(
    machine: RTLMachine, rng: np.random.Generator
) -> None:
    """The RTL lacks the routes of the vector switch at the PCU that multiplies, so what comes there is dropped."""
    c, golden = case(rng, 3, 7, 5), GoldenMachine(TEST)
    run(Device(golden, SCRATCH), c, ADDRESSES)
    pcu = c.compiled.placed.placement["product"]
    switch = floorplan(TEST).find(Kind.VECTOR_SWITCH, pcu.row, pcu.column).number
    units = dict(c.compiled.bitstream.units)
    units[switch] = [0] * len(units[switch])
    cut = replace(c, compiled=replace(c.compiled, bitstream=replace(c.compiled.bitstream, units=units)))
    machine.reset()
    with pytest.raises(SimulationError, match=rf"the kernel is stuck; these units wait: .*{pcu}"):
        run(Device(machine, SCRATCH), cut, ADDRESSES)
    found = first_difference(golden.streams, machine.streams(), stuck=True)
    assert found is not None
    assert isinstance(found.end.unit, Place)
    assert (found.end.unit.row, found.end.unit.column, found.rtl) == (pcu.row, pcu.column, NOTHING)


def test_a_reset_within_a_load_a_kernel_or_a_copy_leaves_a_socket_that_runs_the_next_program(
    machine: RTLMachine, seed: int
) -> None:
    first = seed % (1 << 16)
    assert {interrupt(machine, first + k) for k in range(len(Activity))} == set(Activity)


def test_a_copy_through_the_whole_socket_moves_every_byte_and_every_counter_agrees(machine: RTLMachine) -> None:
    copy = copy_through_socket(machine, share_bytes=1 << 13)
    assert copy.utilisation(TEST) >= 0.9


def test_a_copy_from_ddr_takes_nearly_all_of_its_bandwidth_and_the_machine_knows_when_it_has_ended(
    machine: RTLMachine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.reset()
    size = 1 << 14
    expert_copy.run(machine, {"bytes": size})
    cycles = json.loads(capsys.readouterr().out.removeprefix(MARK))["cycles"]
    ideal = size / TEST.beat_bytes * TEST.memory.ddr.beats[1] / TEST.memory.ddr.beats[0]
    assert ideal < cycles < ideal / 0.95
    assert not machine.copying()
    assert machine.execute([copy_command(Transfer(Tier.DDR.base, 0, size))]) is None
    assert machine.copying()
    assert machine.execute([command(Opcode.WAIT_DMA)]) is None
    assert not machine.copying()


def test_30_random_programs_leave_the_memory_and_the_streams_of_the_golden_socket(
    machine: RTLMachine, seed: int
) -> None:
    """Under random memory latency; a failure is shrunk to the simplest program that still fails."""
    assert random_programs.campaign(machine, 30, seed) == 30
