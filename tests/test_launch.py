"""The launch sequencer: commands, lists, faults and resets, beside its golden model."""

from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.bitstream import Bitstream, decode, encode, record_words
from coe_mapping.commands import command, command_list
from golden_model.launch import Error
from hdl.errors import ParameterError
from hdl.floorplan import Kind, floorplan
from hdl.host import format as formats
from hdl.host.errors import SENTENCES, ErrorCode
from hdl.host.format import Opcode, UnitMap
from hdl.host.mailbox import Mailbox
from hdl.memory import dma
from verif.benches.host import MEMORY_BYTES, NOWHERE, SIZES, Rig, machine
from verif.benches.host_corruptions import random_program
from verif.benches.host_launch import FAILS, FAULT_DETAIL, check_random_list
from verif.sim import compile_python

HOME = 0x0400
LATENCY = 3
TIME = 30


@pytest.fixture(scope="module")
def shared() -> Rig:
    return Rig(machine(latency=LATENCY))


@pytest.fixture
def rig(shared: Rig) -> Rig:
    shared.model["bad_beat"], shared.model["calm"] = NOWHERE, 0
    shared.reset()
    return shared


def numbers(units: UnitMap, kind: Kind, tile: int) -> list[int]:
    return [p.number for p in floorplan(units.params).tile(tile) if p.kind is kind]


def program(units: UnitMap, tiles: tuple[int, ...] = (0,), time: int = TIME) -> Bitstream:
    """One PCU and one AGCU of each tile, which run ``time`` cycles."""
    used = [numbers(units, kind, t)[0] for t in tiles for kind in (Kind.PCU, Kind.AGCU)]
    return Bitstream({n: [time, 100 + n] for n in used}, tiles)


def put(rig: Rig, bitstream: Bitstream, address: int = HOME) -> None:
    rig.put(address, encode(rig.units, bitstream))


def starts(rig: Rig) -> list[int]:
    """Start pulses of every unit since reset."""
    packed = rig.model["starts"]
    return [packed >> 16 * i & 0xFFFF for i in range(rig.units.tile_unit(0))]


def test_random_command_lists_leave_what_the_golden_model_leaves(rig: Rig, rng: np.random.Generator) -> None:
    wrong = [found for _ in range(150) if (found := check_random_list(rig, rng))]
    assert not wrong


def test_a_program_starts_exactly_the_units_it_names_and_is_done_when_all_are(rig: Rig) -> None:
    put(rig, program(rig.units, (0, 1)))
    assert rig.run(Opcode.LOAD, address=HOME) is ErrorCode.NONE
    assert not any(starts(rig))
    rig.command(Opcode.EXECUTE, tiles=0b11)
    rig.model.tick(LATENCY + 12)
    assert rig.registers.fields("STATUS")["running"] == 0b11
    assert rig.run(Opcode.WAIT, tiles=0b11) is ErrorCode.NONE
    assert rig.registers.fields("STATUS")["running"] == 0
    used = program(rig.units, (0, 1)).units
    assert starts(rig) == [int(n in used) for n in range(rig.units.tile_unit(0))]


def test_a_tile_is_not_done_before_its_slowest_unit(rig: Rig) -> None:
    units = program(rig.units).units
    slow, fast = sorted(units)
    put(rig, Bitstream({slow: [200], fast: [5]}))
    rig.run(Opcode.LOAD, address=HOME)
    rig.command(Opcode.EXECUTE, tiles=1)
    rig.model.tick(150)
    assert rig.registers.fields("STATUS")["running"] == 1
    tile_status = rig.peek(rig.units.tile_unit(0), 128)
    assert tile_status == 1 << [p.number for p in rig.units.compute].index(slow)
    assert rig.run(Opcode.WAIT, tiles=1) is ErrorCode.NONE


def test_the_next_program_loads_while_this_one_runs_and_runs_after_it(rig: Rig) -> None:
    pcu = numbers(rig.units, Kind.PCU, 0)[0]
    put(rig, Bitstream({pcu: [255, 1]}))
    put(rig, Bitstream({pcu: [4, 2]}), HOME + 0x400)
    rig.model["calm"] = 1
    rig.run(Opcode.LOAD, address=HOME)
    rig.command(Opcode.EXECUTE, tiles=1)
    rig.run(Opcode.LOAD, address=HOME + 0x400)
    for _ in range(2):
        assert rig.model["active_words"] >> 32 * pcu & 0xFFFF_FFFF == 255
        assert rig.shadow(pcu)[:2] == [4, 2]
        rig.run(Opcode.WAIT, tiles=1)
    assert rig.run(Opcode.EXECUTE, tiles=1) is ErrorCode.NONE
    assert rig.model["active_words"] >> 32 * pcu & 0xFFFF_FFFF == 4


def test_two_programs_take_turns_and_are_loaded_once(rig: Rig) -> None:
    """An exchange keeps what ran before; arguments then reach that one."""
    pcu = numbers(rig.units, Kind.PCU, 0)[0]
    put(rig, Bitstream({pcu: [4, 2]}))
    put(rig, Bitstream({pcu: [5, 3]}), HOME + 0x400)
    for address in (HOME, HOME + 0x400):
        assert rig.run(Opcode.LOAD, address=address) is ErrorCode.NONE
        assert rig.run(Opcode.EXECUTE, tiles=1, keep=1) is ErrorCode.NONE
    held, before = [[5, 3], [4, 2]], rig.model["bus_writes"]
    for turn in range(6):
        if turn % 3 == 2:
            held[1][0] += 2
            rig.put_words(0x1000, record_words(pcu, 0, held[1][:1]))
            assert rig.run(Opcode.ARGUMENTS, address=0x1000, count=2) is ErrorCode.NONE
        assert rig.shadow(pcu)[:2] == held[1]
        assert rig.run(Opcode.EXECUTE, tiles=1, keep=1) is ErrorCode.NONE
        held.reverse()
        assert rig.model["active_words"] >> 32 * pcu & 0xFFFF_FFFF == held[0][0]
    assert rig.shadow(pcu)[:2] == held[1]
    assert rig.model["bus_writes"] - before == 2, "arguments alone are written"
    assert starts(rig)[pcu] == 8


def test_an_exchange_leaves_a_tile_loaded_only_if_a_program_was_active(rig: Rig) -> None:
    put(rig, program(rig.units, (0, 1)))
    rig.run(Opcode.LOAD, address=HOME)
    assert rig.run(Opcode.EXECUTE, tiles=0b01) is ErrorCode.NONE
    assert rig.run(Opcode.EXECUTE, tiles=0b11, keep=1) is ErrorCode.NONE
    assert rig.registers.fields("STATUS")["loaded"] == 0b01
    assert rig.run(Opcode.EXECUTE, tiles=0b11) is ErrorCode.NOT_LOADED
    assert rig.error() == Error(ErrorCode.NOT_LOADED, detail=0b10)
    rig.acknowledge()
    assert rig.run(Opcode.EXECUTE, tiles=0b01, keep=1) is ErrorCode.NONE


@pytest.mark.parametrize("fault", [False, True])
def test_a_stop_forgets_the_active_program_too(rig: Rig, fault: bool) -> None:
    agcu = numbers(rig.units, Kind.AGCU, 0)[0]
    put(rig, program(rig.units, time=250))
    put(rig, Bitstream({agcu: [FAILS | TIME]}), HOME + 0x400)
    rig.run(Opcode.LOAD, address=HOME)
    rig.run(Opcode.EXECUTE, tiles=1, keep=1)
    rig.run(Opcode.LOAD, address=HOME + 0x400)
    if fault:
        rig.run(Opcode.WAIT, tiles=1)
        rig.command(Opcode.EXECUTE, tiles=1, keep=1)
        rig.command(Opcode.WAIT, tiles=1)
    else:
        rig.registers.write("ABORT")
    assert rig.settle() is (ErrorCode.FAULT if fault else ErrorCode.ABORTED)
    rig.acknowledge()
    put(rig, program(rig.units))
    rig.run(Opcode.LOAD, address=HOME)
    assert rig.run(Opcode.EXECUTE, tiles=1, keep=1) is ErrorCode.NONE
    assert rig.registers.fields("STATUS")["loaded"] == 0
    assert not any(rig.shadow(agcu))


def test_what_a_program_does_not_mention_is_zero_after_its_load(rig: Rig, rng: np.random.Generator) -> None:
    everything = {s.number: [int(w) for w in rng.integers(1, 1 << 32, s.size.words)] for s in rig.units.slots if s.kind}
    put(rig, Bitstream(everything, (0, 1)))
    rig.run(Opcode.LOAD, address=HOME)
    put(rig, Bitstream({1: [7, 8]}, (0,)))
    rig.run(Opcode.LOAD, address=HOME)
    for number, words in everything.items():
        tile = rig.units.slots[number].tile
        expected = words if tile else [7, 8, *[0] * (len(words) - 2)] if number == 1 else [0] * len(words)
        assert rig.shadow(number) == expected


def test_an_image_that_was_unloaded_decodes_and_loads_to_the_same_configuration(
    rig: Rig, rng: np.random.Generator
) -> None:
    source = random_program(rig.units, rng)
    put(rig, source)
    mask = sum(1 << t for t in source.tiles)
    rig.run(Opcode.LOAD, address=HOME)
    before = {s.number: rig.shadow(s.number) for s in rig.units.slots}
    assert rig.run(Opcode.UNLOAD, address=0x2004, tiles=mask) is ErrorCode.NONE
    image = decode(rig.units, rig.content[0x2004:].tobytes())
    assert {n: list(w) for n, w in image.units.items()} == {
        n: w for n, w in before.items() if rig.units.slots[n].tile in source.tiles and rig.units.slots[n].kind
    }
    rig.reset()
    assert rig.run(Opcode.LOAD, address=0x2004) is ErrorCode.NONE
    assert {s.number: rig.shadow(s.number) for s in rig.units.slots} == before


@pytest.mark.parametrize("latency", [0, 1, 7])
def test_commands_come_out_in_order_each_its_latency_after_its_push(latency: int) -> None:
    model = compile_python(Mailbox(latency), f"mailbox_{latency}")
    model.reset()
    pushed, seen = {}, {}
    for cycle in range(100):
        model["push"], model["command"] = cycle % 3 == 0, cycle
        model["pop"] = model["filled"]
        if model["push"] and model["room"]:
            pushed[cycle] = cycle
        if model["filled"]:
            seen[model["head"]] = cycle
        model.tick()
    assert list(seen) == sorted(pushed)[: len(seen)]
    assert len(seen) >= 10
    if latency < 7:  # otherwise the queue of four is full now and then
        assert {cycle - number for number, cycle in seen.items()} == {max(1, latency)}
    assert min(cycle - number for number, cycle in seen.items()) == max(1, latency)


def test_commands_queued_behind_an_error_are_dropped_until_it_is_acknowledged(rig: Rig) -> None:
    rig.command(Opcode.EXECUTE, tiles=1)
    rig.command(Opcode.SIGNAL, value=1)
    assert rig.settle() is ErrorCode.NOT_LOADED
    assert rig.error() == Error(ErrorCode.NOT_LOADED, detail=1)
    assert rig.run(Opcode.SIGNAL, value=2) is ErrorCode.NOT_LOADED
    assert rig.registers.read("SIGNAL") == 0
    rig.acknowledge()
    assert rig.run(Opcode.SIGNAL, value=3) is ErrorCode.NONE
    assert rig.registers.read("SIGNAL") == 3


def test_a_running_tile_is_not_started_again(rig: Rig) -> None:
    put(rig, program(rig.units, time=250))
    rig.run(Opcode.LOAD, address=HOME)
    rig.command(Opcode.EXECUTE, tiles=1)
    rig.command(Opcode.EXECUTE, tiles=1)
    rig.model.tick(100)
    assert rig.error() == Error(ErrorCode.RUNNING, detail=1)
    assert max(starts(rig)) == 1


def test_a_fault_stops_the_tiles_started_together_and_no_other(rig: Rig) -> None:
    agcu = numbers(rig.units, Kind.AGCU, 1)[1]
    put(rig, Bitstream({agcu: [FAILS | TIME]}, (1,)))
    put(rig, Bitstream({numbers(rig.units, Kind.PCU, 0)[0]: [255]}, (0,)), HOME + 0x400)
    rig.run(Opcode.LOAD, address=HOME)
    rig.run(Opcode.LOAD, address=HOME + 0x400)
    rig.command(Opcode.EXECUTE, tiles=0b01)
    rig.command(Opcode.EXECUTE, tiles=0b10)
    rig.command(Opcode.WAIT, tiles=0b10)
    assert rig.settle() is ErrorCode.FAULT
    assert rig.error() == Error(ErrorCode.FAULT, agcu, FAILS | TIME, FAULT_DETAIL)
    status = rig.registers.fields("STATUS")
    assert (status["running"], status["loaded"]) == (0b01, 0b01)
    assert rig.model["clears"] == 1
    assert rig.shadow(agcu) == [0] * 6
    rig.acknowledge()
    assert rig.run(Opcode.WAIT, tiles=0b01) is ErrorCode.NONE
    put(rig, program(rig.units, (1,)))
    for opcode, fields in (
        (Opcode.LOAD, {"address": HOME}),
        (Opcode.EXECUTE, {"tiles": 2}),
        (Opcode.WAIT, {"tiles": 2}),
    ):
        assert rig.run(opcode, **fields) is ErrorCode.NONE


def endless(rig: Rig) -> None:
    """A list that loads, runs and copies for ever."""
    put(rig, program(rig.units, (0, 1), time=20))
    commands = [
        command(Opcode.LOAD, address=HOME),
        command(Opcode.EXECUTE, tiles=0b11, keep=1),
        command(Opcode.DMA, descriptor={"rows": 25}),
        command(Opcode.UNLOAD, address=0x3000, tiles=1),
        command(Opcode.WAIT, tiles=0b11),
        command(Opcode.JUMP, target=0, times=NOWHERE),
    ]
    rig.put(0x1000, command_list(commands))
    rig.command(Opcode.LIST, address=0x1000, count=len(commands))


def works(rig: Rig) -> None:
    """The machine loads and runs a program."""
    put(rig, program(rig.units))
    before = sum(starts(rig))
    for opcode, fields in (
        (Opcode.LOAD, {"address": HOME}),
        (Opcode.EXECUTE, {"tiles": 1}),
        (Opcode.WAIT, {"tiles": 1}),
    ):
        assert rig.run(opcode, **fields) is ErrorCode.NONE
    assert sum(starts(rig)) - before == 2


def test_an_abort_at_any_time_leaves_a_machine_that_works(rig: Rig, rng: np.random.Generator) -> None:
    for _ in range(40):
        endless(rig)
        rig.model.tick(int(rng.integers(0, 3000)))
        rig.registers.write("ABORT")
        assert rig.settle() is ErrorCode.ABORTED
        status = rig.registers.fields("STATUS")
        assert (status["running"], status["loaded"], status["copies"], status["listing"]) == (0, 0, 0, 0)
        rig.acknowledge()
        works(rig)


def test_a_reset_at_any_time_leaves_a_machine_that_works(rig: Rig, rng: np.random.Generator) -> None:
    for _ in range(40):
        endless(rig)
        rig.model.tick(int(rng.integers(0, 3000)))
        rig.reset()
        assert rig.registers.fields("STATUS")["idle"]
        works(rig)


def test_a_program_that_changes_between_check_and_load_is_refused_and_its_tiles_hold_none(rig: Rig) -> None:
    put(rig, random_program(rig.units, np.random.default_rng(3)))
    rig.model["calm"] = 1
    before = rig.model["bus_writes"]
    rig.command(Opcode.LOAD, address=HOME)
    while rig.model["bus_writes"] == before:  # the zeroing, between the passes
        rig.model.tick()
    rig.content[HOME + 4 * 14] ^= 1
    assert rig.settle() is ErrorCode.CHANGED
    assert rig.registers.fields("STATUS")["loaded"] == 0
    rig.acknowledge()
    assert rig.run(Opcode.EXECUTE, tiles=1) is ErrorCode.NOT_LOADED


def test_a_record_that_changes_between_check_and_load_is_not_written_to_another_tile(rig: Rig) -> None:
    others = [p.number for p in floorplan(rig.units.params).tile(1)]
    everything = {n: [0xAAAA] * rig.units.slots[n].size.words for n in range(rig.units.tile_unit(0)) if n not in others}
    image = encode(rig.units, Bitstream(everything, (0,)))
    rig.put(HOME, image)
    rig.model["calm"] = 1
    before = rig.model["bus_writes"]
    rig.command(Opcode.LOAD, address=HOME)
    while rig.model["bus_writes"] == before:
        rig.model.tick()
    words = rig.content[HOME : HOME + len(image)].view("<u4")
    last = max(everything)
    record = int(np.flatnonzero(words == record_words(last, 0, everything[last])[0])[-1])
    words[record] += others[-1] - last
    assert rig.settle() is ErrorCode.CHANGED
    assert not any(any(rig.shadow(n)) for n in others)


def test_a_memory_error_in_any_beat_of_a_program_is_reported_and_nothing_is_touched(rig: Rig) -> None:
    image = encode(rig.units, random_program(rig.units, np.random.default_rng(3)))
    rig.put(HOME, image)
    beat_bytes = rig.units.params.beat_bytes
    words = int(np.frombuffer(image, "<u4")[4])
    before = rig.model["bus_writes"]
    for beat in range(HOME // beat_bytes, -(-(HOME + 4 * words) // beat_bytes)):
        rig.model["bad_beat"] = beat
        assert rig.run(Opcode.LOAD, address=HOME) is ErrorCode.MEMORY
        assert rig.error() == Error(ErrorCode.MEMORY, address=HOME)
        rig.acknowledge()
    assert rig.model["bus_writes"] == before
    rig.model["bad_beat"] = NOWHERE
    assert rig.run(Opcode.LOAD, address=MEMORY_BYTES) is ErrorCode.MEMORY


def test_a_copy_gets_its_descriptor_and_its_failure_stops_the_list(rig: Rig) -> None:
    fields = {"source": 0x12_3456_7890, "destination": 0xFE_DCBA_9876, "row_bytes": 1 << 31, "rows": 3}
    fields |= {"source_stride": 0x80_0000_0001, "destination_stride": 77, "share": 256}
    rig.run(Opcode.DMA, descriptor=fields)
    assert rig.run(Opcode.WAIT_DMA) is ErrorCode.NONE
    assert rig.model["descriptor"] == formats.DESCRIPTOR.const(fields).as_bits()
    rig.command(Opcode.DMA, descriptor=fields | {"share": 3})
    rig.command(Opcode.WAIT_DMA)
    rig.command(Opcode.SIGNAL, value=9)
    assert rig.settle() is ErrorCode.DMA
    assert rig.error().detail == 3
    assert rig.registers.read("SIGNAL") == 0


def test_the_descriptor_is_that_of_the_dma() -> None:
    assert formats.DESCRIPTOR == dma.DESCRIPTOR
    assert dma.COMPLETION.size == formats.DMA_STATUS_BITS


def test_every_error_has_a_sentence_that_says_what_to_do() -> None:
    assert set(SENTENCES) == set(ErrorCode)
    for code, sentence in SENTENCES.items():
        text = sentence.format(unit="PCU at row 0, column 0", address=64, detail=3)
        assert code is ErrorCode.NONE or ";" in text


def test_a_command_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ParameterError, match="command LOAD: configuration field tiles does not exist"):
        command(Opcode.LOAD, tiles=1)
    with pytest.raises(ParameterError, match="command EXECUTE: configuration field tiles: 16 does not fit its 4 bits"):
        command(Opcode.EXECUTE, tiles=16)


def test_a_unit_map_needs_the_size_of_every_kind() -> None:
    sizes = tuple((k, v) for k, v in SIZES.items() if k is not Kind.PMU)
    with pytest.raises(ParameterError, match="the size of a PMU is not given"):
        replace(machine(), sizes=sizes)


def test_an_argument_reaches_a_loaded_tile_and_leaves_the_rest(rig: Rig) -> None:
    put(rig, program(rig.units))
    rig.run(Opcode.LOAD, address=HOME)
    unit = min(program(rig.units).units)
    rig.put_words(0x1000, record_words(unit, 1, [0xABCD]))
    assert rig.run(Opcode.ARGUMENTS, address=0x1000, count=2) is ErrorCode.NONE
    assert rig.shadow(unit)[:3] == [TIME, 0xABCD, 0]
    other = numbers(rig.units, Kind.PCU, 1)[0]
    rig.put_words(0x1000, record_words(other, 0, [1]))
    assert rig.run(Opcode.ARGUMENTS, address=0x1000, count=2) is ErrorCode.UNIT
    assert rig.shadow(other)[0] == 0
