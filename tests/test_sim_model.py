"""The design as a Python object: ports, cycles, streams of operands, public nets, waves, the build cache."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hdl.arith.multiply_add import MultiplyAdd
from hdl.clock_gate import CELL, gated_domain
from hdl.errors import ParameterError, ToolError
from verif.benches.arithmetic import MultiplyAddInteger, delay
from verif.sim import cache, compile_python, tools


class Wide(wiring.Component):
    """A unit whose operand and result are wider than 64 bits: the three words come out in reverse order."""

    def __init__(self) -> None:
        self.latency = 2
        super().__init__({"en": In(1), "i": In(data.ArrayLayout(32, 3)), "o": Out(data.ArrayLayout(32, 3))})

    def elaborate(self, platform: Any) -> Module:
        return delay(Module(), self.en, Cat(self.i[2], self.i[1], self.i[0]), self.o.as_value(), self.latency)


class Counter(wiring.Component):
    """A counter in a submodule, a memory that records it, and a combinational output."""

    step: In(4)
    double: Out(9)
    old: Out(8)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = inner = Module()
        count = Signal(8)
        inner.d.sync += count.eq(count + self.step)
        m.submodules.trail = trail = memory.Memory(shape=8, depth=16, init=[])
        write, read = trail.write_port(), trail.read_port(domain="comb")
        m.d.comb += [write.addr.eq(count[:4]), write.data.eq(count), write.en.eq(1), read.addr.eq(self.step)]
        m.d.comb += [self.double.eq(2 * count + (self.step == 15)), self.old.eq(read.data)]
        return m


@pytest.fixture(scope="module")
def counter() -> Any:
    return compile_python(Counter(), "counter", public=["inner.count", "trail"], waves=False)


def multiply_add(operands: np.ndarray, bits: int = 16) -> np.ndarray:
    mask = np.uint64((1 << bits) - 1)
    a, b, c = (operands >> np.uint64(k * bits) & mask for k in range(3))
    return (a * b + c) & mask


class GatedCounter(wiring.Component):
    """Counts clock ticks that its gate lets through: all registers take every tick they see."""

    enable: In(1)
    count: Out(8)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        gated_domain(m, "gated", self.enable)
        m.d["gated"] += self.count.eq(self.count + 1)
        return m


def test_a_stream_of_operands_gives_the_results_of_the_unit_in_order(rng: np.random.Generator) -> None:
    model = compile_python(MultiplyAddInteger(), "multiply_add_integer")
    operands = rng.integers(0, 1 << 48, 100_000, dtype=np.uint64)
    np.testing.assert_array_equal(model.stream(operands), multiply_add(operands))


def test_holding_the_unit_between_operands_changes_no_result(rng: np.random.Generator) -> None:
    model = compile_python(MultiplyAddInteger(), "multiply_add_integer")
    operands = rng.integers(0, 1 << 48, 2_000, dtype=np.uint64)
    held = model.stream(operands, gaps=rng.integers(0, 4, len(operands)))
    np.testing.assert_array_equal(held, multiply_add(operands))


def test_a_stream_of_one_and_of_none_work(rng: np.random.Generator) -> None:
    model = compile_python(MultiplyAddInteger(), "multiply_add_integer")
    assert model.stream(np.array([5 << 32 | 3 << 16 | 2], np.uint64)).tolist() == [11]
    assert model.stream(np.zeros(0, np.uint64)).shape == (0,)


def test_operands_wider_than_64_bits_are_rows_of_words(rng: np.random.Generator) -> None:
    model = compile_python(Wide(), "wide")
    words = rng.integers(0, 1 << 32, (500, 3), dtype=np.uint32)
    np.testing.assert_array_equal(model.stream(words), words[:, ::-1])
    padded = np.zeros((500, 4), np.uint32)
    padded[:, :3] = words
    np.testing.assert_array_equal(model.stream(padded.view(np.uint64)), words[:, ::-1])


@pytest.mark.parametrize(
    ("operands", "says"),
    [
        (np.array([1 << 48], np.uint64), "0x1000000000000 does not fit the 48 bits of port i"),
        (np.array([1], np.int64), "dtype int64, expected unsigned integers"),
        (np.ones((4, 2), np.uint32), r"shape \(4, 2\), expected \(n,\) for a port of 48 bits"),
    ],
)
def test_operands_of_the_wrong_shape_are_refused(operands: Any, says: str) -> None:
    model = compile_python(MultiplyAddInteger(), "multiply_add_integer")
    with pytest.raises(ParameterError, match=says):
        model.stream(operands)


def test_words_beyond_a_wide_port_are_refused() -> None:
    model = compile_python(Wide(), "wide")
    with pytest.raises(ParameterError, match="bits beyond the 96 of port i are set"):
        model.stream(np.full((2, 2), 1 << 33, np.uint64))


def test_a_design_that_is_no_unit_has_no_stream(counter: Any) -> None:
    with pytest.raises(ParameterError, match="counter is not an arithmetic unit"):
        counter.stream(np.zeros(1, np.uint64))


def test_ports_are_driven_and_read_by_name_and_outputs_settle(counter: Any) -> None:
    counter.reset()
    counter["step"] = 3
    counter.tick(5)
    assert counter["double"] == 30
    counter["step"] = 15
    assert counter["double"] == 31
    counter.reset()
    assert counter["double"] == 1


def test_the_first_edge_of_a_fresh_model_counts() -> None:
    model = compile_python(Counter(), "counter", public=["inner.count", "trail"], waves=False)
    model["step"] = 1
    model.tick()
    assert model["double"] == 2


def test_public_nets_and_memories_are_arrays_without_copying(counter: Any) -> None:
    counter.reset()
    counter["step"] = 1
    counter.tick(20)
    assert counter["inner.count"] == 20
    assert counter.array("trail")[:5].tolist() == [16, 17, 18, 19, 4]
    counter.array("trail")[1] = 99
    counter.tick()
    assert counter["old"] == 99


def test_unknown_ports_and_nets_are_named_in_the_error(counter: Any) -> None:
    with pytest.raises(ParameterError, match="counter has no input port 'double'; it has clk, rst, step"):
        counter["double"] = 1
    with pytest.raises(ParameterError, match="0x10 does not fit the 4 bits of port 'step'"):
        counter["step"] = 16
    with pytest.raises(ParameterError, match=r"counter has no public net 'inner.nothing'"):
        counter["inner.nothing"]


def test_two_models_in_one_process_share_nothing() -> None:
    first, second = (compile_python(Counter(), "counter", public=["inner.count", "trail"]) for _ in range(2))
    first["step"] = second["step"] = 1
    first.tick(7)
    second.tick(3)
    assert (first["double"], second["double"]) == (14, 6)


def test_a_design_so_large_that_its_code_is_cut_into_files_is_built(rng: np.random.Generator) -> None:
    """Verilator then precompiles a header of its own, in the place of the one that all designs share."""
    small_files = ("--output-split", "500", "--output-split-cfuncs", "200")
    model = compile_python(MultiplyAdd(4), "cut_into_files", flags=small_files)
    makefiles = [path.read_text() for path in tools.build_root().glob("cut_into_files-*/Vtop_classes.mk")]
    assert any("VM_PARALLEL_BUILDS = 1" in text for text in makefiles), "it was not cut: this shows nothing"
    operands = rng.integers(0, 1 << 64, 100, dtype=np.uint64)
    whole = compile_python(MultiplyAdd(4), "in_one_file")
    assert (model.stream(operands) == whole.stream(operands)).all()


def test_inputs_settle_before_the_edge_that_a_clock_gate_lets_through() -> None:
    model = compile_python(GatedCounter(), "gated_counter", sources=[CELL])
    model.reset()
    for enable, expected in ((0, 0), (1, 1), (1, 2), (0, 2), (1, 3), (0, 3)):
        model["enable"] = enable
        model.tick()
        assert model["count"] == expected
    model.tick(5)
    assert model["count"] == 3


def test_waves_are_written_and_announced(capfd: pytest.CaptureFixture[str]) -> None:
    model = compile_python(Counter(), "counter", waves=True)
    model["step"] = 1
    model.tick(10)
    model.close()
    announced = capfd.readouterr().err
    path = Path(announced.partition(": ")[2].strip())
    assert announced.startswith("waves of counter: ")
    assert path.suffix == f".{tools.wave_format()}"
    assert path.stat().st_size > 200
    path.unlink()


def test_verilators_complaint_is_passed_on() -> None:
    with pytest.raises(ToolError, match=r"verilator_bin failed on module counter:[\s\S]*--no-such-flag"):
        compile_python(Counter(), "counter", flags=["--no-such-flag"])


def _build_slowly(folder: Path) -> None:
    with (folder / "builds").open("a") as log:
        log.write("x")


def _ask(root: str) -> int:
    import os

    os.environ["OPENRDU_BUILD"] = root
    return len((cache.built("thing", ["a"], _build_slowly) / "builds").read_text())


def test_processes_that_want_the_same_build_at_once_build_it_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert pool.map(_ask, [str(tmp_path)] * 8) == [1] * 8


def test_a_build_that_failed_is_tried_again_from_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENRDU_BUILD", str(tmp_path))

    def fail(folder: Path) -> None:
        (folder / "rubbish").touch()
        raise ToolError("no")

    with pytest.raises(ToolError):
        cache.built("thing", ["a"], fail)
    folder = cache.built("thing", ["a"], lambda folder: (folder / "right").touch())
    assert sorted(p.name for p in folder.iterdir()) == ["built", "right"]


def test_a_different_part_is_a_different_build() -> None:
    assert cache.digest(["ab", "c"]) != cache.digest(["a", "bc"])


def test_a_build_folder_with_spaces_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENRDU_BUILD", "/somewhere else")
    with pytest.raises(ToolError, match="make cannot build in a folder whose name has spaces"):
        tools.build_root()


def test_the_callers_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("MAKEFLAGS", "-n")  # what a surrounding make would pass down
    before = dict(os.environ)
    compile_python(MultiplyAddInteger(8, 1), "multiply_add_integer_8")
    assert dict(os.environ) == before
