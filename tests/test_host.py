"""The host port: its registers as described, its window into memory, its counters."""

from dataclasses import replace

import numpy as np
import pytest

from coe_mapping.bitstream import Bitstream
from coe_mapping.registers import Registers
from hdl.errors import ParameterError
from hdl.host.format import MAGIC, Opcode, parameter_hash
from hdl.host.registers import OFFSETS, REGISTERS, Access
from hdl.host.window import Pace
from hdl.memory.channel import Tier
from hdl.params import TEST
from hdl.unit_map import unit_map
from verif.benches.host import MEMORY_BYTES, NOWHERE, AxiError, Rig, WordBench, machine
from verif.benches.host_load import LoadRig
from verif.sim import Model, compile_python, run_bench


@pytest.fixture(scope="module")
def shared() -> Rig:
    return Rig(machine())


@pytest.fixture
def rig(shared: Rig) -> Rig:
    shared.model["bad_beat"], shared.model["calm"] = NOWHERE, 0
    shared.reset()
    return shared


def test_every_register_allows_what_its_description_says_and_nothing_else(rig: Rig, rng: np.random.Generator) -> None:
    for register in REGISTERS:
        offset = OFFSETS[register.name]
        if not register.access.readable:
            with pytest.raises(AxiError, match="SLVERR"):
                rig.axi.read(offset)
        if not register.access.writable:
            with pytest.raises(AxiError, match="SLVERR"):
                rig.axi.write(offset, 1)
        if register.access is Access.HELD:
            assert rig.axi.read(offset) == 0
            value = int(rng.integers(0, 1 << 32))
            rig.axi.write(offset, value)
            kept = value & (1 << register.layout.size) - 1
            assert rig.axi.read(offset) == kept
            with pytest.raises(AxiError, match="SLVERR"):
                rig.axi.write(offset, ~value & 0xFFFF_FFFF, strobe=0b0111)
            assert rig.axi.read(offset) == kept
    with pytest.raises(AxiError, match="SLVERR"):
        rig.axi.read(4 * len(REGISTERS))


def test_the_port_works_under_the_master_of_cocotbext_axi() -> None:
    """Registers, window and commands, several accesses under way at once, random pauses on every channel."""
    run_bench("verif.benches.host_axi")


def test_the_machine_says_what_it_is(rig: Rig) -> None:
    params = rig.units.params
    read = rig.registers.read
    assert read("MAGIC") == MAGIC
    assert read("PARAMETERS_LOW") | read("PARAMETERS_HIGH") << 32 == parameter_hash(params)
    assert rig.registers.fields("MESH") == {"rows": 1, "columns": 2, "tiles": 2, "sockets": 2}
    assert rig.registers.fields("SIZES") == {"lanes": 4, "stages": 2, "granule": 4, "pmu_rows": 10}
    assert rig.registers.fields("CAPACITY") == {"hbm": 20, "ddr": 24}


def test_the_window_reads_and_writes_any_run_of_words(rig: Rig, rng: np.random.Generator) -> None:
    content = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
    rig.content[:] = content
    for _ in range(25):
        count = int(rng.integers(1, 40))
        address = 4 * int(rng.integers(0, MEMORY_BYTES // 4 - count))
        run = content[address : address + 4 * count].view("<u4")
        rig.registers.write("WINDOW_ADDRESS_LOW", address)
        if rng.random() < 0.5:
            rig.registers.write("WINDOW_READ", count)
            assert [rig.registers.read("WINDOW_DATA") for _ in range(count)] == run.tolist()
        else:
            run[:] = rng.integers(0, 1 << 32, count, np.uint32)
            rig.registers.write("WINDOW_WRITE", count)
            for word in run:
                rig.registers.write("WINDOW_DATA", int(word))
            while rig.registers.fields("WINDOW_STATUS")["busy"]:
                pass
            assert (rig.content == content).all()
        assert rig.registers.fields("WINDOW_STATUS") == {"busy": 0, "error": 0}


def test_the_window_reports_memory_errors_and_bad_addresses_and_works_afterwards(rig: Rig) -> None:
    def run(address: int, count: int = 3) -> dict[str, int]:
        rig.registers.write("WINDOW_ADDRESS_LOW", address)
        rig.registers.write("WINDOW_READ", count)
        for _ in range(count):
            rig.registers.read("WINDOW_DATA")
        return dict(rig.registers.fields("WINDOW_STATUS"))

    assert run(MEMORY_BYTES) == {"busy": 0, "error": 1}
    assert run(0) == {"busy": 0, "error": 0}
    assert run(2) == {"busy": 0, "error": 1}
    rig.registers.write("WINDOW_DATA", 5)  # outside a run: dropped, and nothing hangs
    assert rig.registers.read("WINDOW_DATA") == 0


def test_a_signal_and_an_error_raise_the_interrupt_until_it_is_cleared(rig: Rig) -> None:
    rig.run(Opcode.SIGNAL, value=7)
    assert rig.registers.fields("INTERRUPT") == {"signal": 1, "error": 0}
    assert not rig.model["irq"]
    rig.registers.set("CONTROL", interrupt=1)
    rig.model.tick(2)
    assert rig.model["irq"]
    rig.registers.set("INTERRUPT", signal=1)
    rig.model.tick(2)
    assert not rig.model["irq"]
    rig.run(Opcode.HALT)
    rig.run(Opcode.EXECUTE, tiles=1)
    assert rig.model["irq"]
    assert rig.registers.fields("INTERRUPT") == {"signal": 0, "error": 1}


def test_cycles_count_only_while_something_runs_or_when_told_to(rig: Rig) -> None:
    rig.model.tick(100)
    assert rig.registers.read("CYCLES_LOW") == 0
    rig.registers.set("CONTROL", count=1)
    rig.model.tick(1000)
    rig.registers.set("CONTROL", count=0)
    counted = rig.registers.read("CYCLES_LOW")
    assert 1000 <= counted <= 1020
    rig.model.tick(100)
    assert rig.registers.read("CYCLES_LOW") == counted
    rig.run(Opcode.NOP)
    assert rig.registers.read("CYCLES_LOW") > counted
    assert rig.registers.read("CYCLES_HIGH") == 0


def test_peeking_at_a_unit_there_is_not_gives_zero(rig: Rig) -> None:
    assert rig.peek(len(rig.units.slots), 0) == 0
    assert rig.peek(0xFFFF, 128) == 0
    assert rig.peek(1, 129) == 0x5747_0001


@pytest.mark.parametrize(("lanes", "granule"), [(2, 1), (2, 8), (16, 2)])
def test_words_come_and_go_in_order_whatever_the_width_of_memory(
    lanes: int, granule: int, rng: np.random.Generator
) -> None:
    units = machine(lanes=lanes, granule=granule)
    model = compile_python(WordBench(units.params), f"words_{lanes}_{granule}", public=["memory.memory"])
    model["bad_beat"] = NOWHERE
    model.reset()
    store = model.array("memory.memory").view(np.uint8).reshape(-1)
    for calm in (0, 1):
        model["calm"] = calm
        for _ in range(20):
            count = int(rng.integers(1, 50))
            address = 4 * int(rng.integers(0, MEMORY_BYTES // 4 - count))
            store[:] = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
            expected = store.copy()
            run = expected[address : address + 4 * count].view("<u4")
            model["reading__address"] = model["writing__address"] = address
            model["reading__count"] = model["writing__count"] = count
            assert _read(model, count, rng) == run.tolist()
            run[:] = rng.integers(0, 1 << 32, count, np.uint32)
            _write(model, run.tolist(), rng)
            assert (store == expected).all()


def _pulse(model: Model, port: str) -> None:
    model[port] = 1
    model.tick()
    model[port] = 0


def _read(model: Model, count: int, rng: np.random.Generator) -> list[int]:
    """The words of a run, taken with random pauses."""
    _pulse(model, "reading__start")
    words: list[int] = []
    for _ in range(5000):
        model["read__ready"] = int(rng.random() < 0.7)
        if model["read__valid"] and model["read__ready"]:
            words.append(model["read__payload"])
        model.tick()
        if not model["reading__busy"]:
            break
    return words


def _write(model: Model, words: list[int], rng: np.random.Generator) -> None:
    """Gives the words of a run with random pauses."""
    _pulse(model, "writing__start")
    left = list(words)
    for _ in range(5000):
        model["write__valid"] = int(bool(left) and rng.random() < 0.7)
        if left:
            model["write__payload"] = left[0]
        if model["write__valid"] and model["write__ready"]:
            left.pop(0)
        model.tick()
        model["write__valid"] = 0
        if not model["writing__busy"]:
            break
    assert not left


@pytest.mark.parametrize("rate", [(1, 4), (2, 9), (1, 1), (4, 3)])
def test_the_pace_is_the_bandwidth_of_the_host_link(rate: tuple[int, int]) -> None:
    model = compile_python(Pace(rate), f"pace_{rate[0]}_{rate[1]}")
    model.reset()
    model["i__valid"] = model["o__ready"] = 1
    passed = 0
    for _ in range(900):
        passed += model["i__ready"]
        model.tick()
    expected = min(900, 900 * rate[0] // rate[1])
    assert expected <= passed <= expected + 5


def test_a_program_loads_at_a_cycle_a_word_in_each_reading() -> None:
    """From HBM; from DDR, which gives less, at its bandwidth."""
    memory = replace(TEST.memory, hbm=replace(TEST.memory.hbm, channels=1))
    units = unit_map(replace(TEST, name="load", memory=memory))
    rig = LoadRig(units)
    ddr = memory.ddr.beats[1] / (memory.ddr.beats[0] * units.params.beat_bytes // 4)
    for tier, pace in ((Tier.HBM, 1.0), (Tier.DDR, ddr)):
        loads = []
        for count in (1, 10, units.per_tile):
            program = Bitstream({n: [n + 1] * units.slots[n].size.words for n in range(count)}, (0,))
            loads.append(rig.cycles(program, tier))
        (few, short), _, (many, long) = loads
        assert long - short <= 2 * pace * (many - few) * 1.02, f"{tier.name}: (words, cycles) {loads}"
        path = memory.hbm.latency if tier is Tier.HBM else memory.ddr.latency
        assert short <= 2 * pace * few + 128 + units.params.host.launch_latency + 2 * path + 60


class Nothing:
    """A transport on which nothing must be carried."""

    def read(self, address: int) -> int:
        raise AssertionError(address)

    def write(self, address: int, value: int) -> None:
        raise AssertionError(address, value)


def test_registers_are_refused_by_name_when_misused() -> None:
    registers = Registers(Nothing())
    for call, sentence in (
        (lambda: registers.read("NOTHING"), "there is no register NOTHING; there are MAGIC"),
        (lambda: registers.read("DOORBELL"), "register DOORBELL cannot be read"),
        (lambda: registers.write("MAGIC", 1), "register MAGIC cannot be written"),
        (lambda: registers.write("COMMAND_0", 1 << 32), "register COMMAND_0: 4294967296 does not fit 32 bits"),
        (lambda: registers.set("PEEK", unti=1), "register PEEK has no field unti; it has unit, address"),
        (lambda: registers.set("PEEK", address=256), "register PEEK.address: 256 does not fit 8 bits"),
    ):
        with pytest.raises(ParameterError) as caught:
            call()
        assert sentence in str(caught.value)
