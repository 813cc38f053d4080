"""The coverage of the PMU counts what a program uses, names the holes, and can be merged."""

from pathlib import Path

import pytest

from coe_mapping.assembler.pmu import Counter, Pipeline, PMUProgram, Region, Register, Stage, assemble
from hdl.params import PMUParams
from hdl.pmu.config import AddressOp, Mode
from verif.pmu_coverage import Bin, hits, load, report, save, universe

PARAMS = PMUParams(lanes=4, rows=32, groups=4, alu_stages=4, fifo_depth=4)


def covered(program: PMUProgram, stalled: tuple[str, ...] = ()) -> set[Bin]:
    return hits(PARAMS, assemble(PARAMS, program), stalled)


def write(stage: Stage) -> set[Bin]:
    return covered(PMUProgram(write=Pipeline(Region(0, 8), (Counter(2, 4),), (Register(counters=(0,)),), (stage,))))


def test_a_program_covers_the_fields_it_uses_and_no_others() -> None:
    bins = write(Stage(AddressOp.EXTRACT, destination=1, a=2, shift=7, width=9))
    assert {("alu[].op", "EXTRACT", "none"), ("alu[].shift", "7", "none"), ("alu[].width", "9", "none")} <= bins
    assert {("write.chain.depth", "1", "none"), ("write.chain.counters[].limit", "more", "none")} <= bins
    assert ("read.enable", "0", "none") in bins
    names = {name for name, _, _ in bins}
    assert not {"alu[].b", "alu[].constant", "read.mode", "write.pitch", "write.limit.register", "buffers"} & names


@pytest.mark.parametrize(("constant", "named"), [(0, "zero"), (1, "one"), (5, "more")])
def test_a_number_is_zero_one_or_more(constant: int, named: str) -> None:
    assert ("alu[].constant", named, "none") in write(Stage(AddressOp.MULTIPLY, constant=constant))


def test_a_program_runs_one_round_or_several() -> None:
    assert {value for name, value, _ in universe(PARAMS) if name == "read.chain.rounds"} == {"zero", "more"}
    for rounds, named in ((1, "zero"), (2, "more"), (4095, "more")):
        assert ("read.chain.rounds", named, "none") in covered(PMUProgram(read=Pipeline(Region(0, 8), rounds=rounds)))


def test_stalls_on_both_sides_count_for_each_and_not_as_none() -> None:
    program = PMUProgram(read=Pipeline(Region(0, 8), mode=Mode.COLUMN, pitch=2))
    kinds = {stalls for name, value, stalls in covered(program, ("input", "output")) if name == "read.pitch"}
    assert kinds == {"input", "output"}


def test_what_programs_cover_is_in_the_universe_and_the_report_names_what_is_missing() -> None:
    everything = universe(PARAMS)
    assert write(Stage()) <= everything
    assert not {b for b in everything if b[0] == "write.mode" and b[1] == "LOOKUP"}, "a table is never written so"
    holes = {("alu[].width", "9", "input"), ("alu[].width", "32", "input")}
    text = report(PARAMS, everything - holes)
    assert text.splitlines()[1:] == ["  alu[].width, stalls input: 32, 9"]
    assert text.startswith(f"{len(everything) - 2} of {len(everything)} bins")


def test_what_was_saved_is_merged(tmp_path: Path) -> None:
    some = sorted(universe(PARAMS))
    save(some[:5], tmp_path / "deep" / "a.txt")
    save(some[3:9], tmp_path / "b.txt")
    assert load([tmp_path / "deep" / "a.txt", tmp_path / "b.txt"]) == set(some[:9])
