"""The special-function unit in RTL equals the golden model bit for bit, whatever its depth and choice of functions."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil

from golden_model.numerics.formats import to_bits
from hdl import yosys
from hdl.arith.formats import FP32
from hdl.arith.pipeline import registered_steps
from hdl.arith.special import SpecialFunction
from hdl.arith.special_tables import Function
from hdl.errors import ParameterError
from verif.agreement import assert_equal
from verif.special_campaign import ALL_AS_FP32, DEEPEST, golden, model, random_operands, rtl

SEED = 72
EVERY = [pytest.param(f, id=f.name.lower()) for f in Function]
SOFTMAX = (Function.EXP, Function.RECIPROCAL, Function.RSQRT)

# both tables logic; one of them; block RAM as the register of the access (full depth: of the address).
# `make verify` goes through every depth.
SHALLOWER = (1, 4, 8)


def random_bits(count: int) -> np.ndarray:
    return to_bits(random_operands(count, SEED)).astype(np.int64)


@pytest.mark.parametrize("function", EVERY)
def test_rtl_equals_golden_on_all_65536_bf16_inputs(function: Function) -> None:
    got = rtl(model(), function, ALL_AS_FP32)
    assert len(got) == 65_536
    assert_equal(got, golden(function, ALL_AS_FP32), x=ALL_AS_FP32)


@pytest.mark.parametrize("function", EVERY)
def test_rtl_equals_golden_on_random_fp32_inputs(function: Function) -> None:
    x = random_bits(300_000)
    assert_equal(rtl(model(), function, x), golden(function, x), seed=SEED, x=x)


@pytest.mark.parametrize("depth", SHALLOWER)
def test_every_depth_computes_the_same(depth: int) -> None:
    x = random_bits(20_000)
    for function in Function:
        assert_equal(rtl(model(depth), function, x), golden(function, x), seed=SEED, x=x)


@pytest.mark.parametrize("depth", [8, DEEPEST])
def test_a_held_unit_loses_and_invents_nothing(depth: int) -> None:
    x = random_bits(20_000)
    gaps = np.random.default_rng(SEED).integers(0, 3, len(x))
    assert_equal(rtl(model(depth), Function.GELU, x, gaps), golden(Function.GELU, x), seed=SEED, x=x)


def test_a_unit_of_few_functions_computes_them_and_gives_nan_for_the_others() -> None:
    few, x = model(DEEPEST, SOFTMAX), random_bits(50_000)
    for function in Function:
        want = golden(function, x) if function in SOFTMAX else np.full(len(x), FP32.canonical_nan)
        assert_equal(rtl(few, function, x), want, seed=SEED, x=x)


def test_what_cannot_be_built_is_refused_with_a_sentence() -> None:
    with pytest.raises(ParameterError, match="no function is named; name at least one"):
        SpecialFunction([])
    with pytest.raises(ParameterError, match=r"depth 18 is not in 1\.\.17"):
        SpecialFunction(depth=18)


@pytest.mark.parametrize("depth", range(5, DEEPEST + 1))
def test_both_tables_are_block_ram_from_depth_5_on(depth: int) -> None:
    registers = registered_steps(SpecialFunction.STEPS, depth, SpecialFunction.WEIGHTS)
    # the read port takes the place of one of these two cuts, if there is one
    assert registers & {"address", "fetch"}
    assert registers & {"power", "lookup"}


@pytest.mark.parametrize(
    ("functions", "depth", "most"),
    [
        pytest.param(tuple(Function), 12, {"LUT4": 470, "CCU2C": 180, "MULT18X18D": 8, "DP16KD": 9}, id="all"),
        pytest.param(SOFTMAX, 12, {"LUT4": 300, "CCU2C": 120, "MULT18X18D": 4, "DP16KD": 3}, id="softmax"),
    ],
)
def test_area_on_ecp5_stays_within_budget(functions: tuple[Function, ...], depth: int, most: dict[str, int]) -> None:
    cells = synthesised(SpecialFunction(functions, depth))
    assert {name: cells[name] for name in most if cells[name] > most[name]} == {}
    # no less either: a table that is not block RAM is thousands of LUTs
    assert cells["DP16KD"] == most["DP16KD"]


def synthesised(unit: SpecialFunction) -> dict[str, int]:
    """Cells of the unit after Yosys ``synth_ecp5``, by type."""
    with tempfile.TemporaryDirectory() as scratch:
        il = Path(scratch) / "unit.il"
        il.write_text(rtlil.convert(unit, name="unit", emit_src=False))
        log = yosys.run(f"read_rtlil {il}; synth_ecp5 -top unit; tee -o {scratch}/stat.txt stat", what="the unit")
        assert "latch" not in log.split("Printing statistics")[-1]
        text = (Path(scratch) / "stat.txt").read_text()
    # one line a cell type; the last summary is of the whole design
    return {name: int(count) for count, name in re.findall(r"^\s+(\d+)\s+([A-Z]\w+)$", text, re.MULTILINE)}
