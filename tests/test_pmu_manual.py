"""The manual of the PMU tells what the layout says, and its examples do what it says."""

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coe_mapping.assembler import pmu as assembler
from golden_model.pmu import Outputs, VectorBeats, run
from hdl.manual import fields
from hdl.params import TEST
from hdl.pmu import config, manual
from verif.sources import ROOT

TEXT = (ROOT / "docs" / "pmu.md").read_text()
EXAMPLES = re.findall(r"\*\*([^*]+)\.\*\*[^*]+?```python\n(.*?)```", TEXT, re.DOTALL)
LANES = TEST.pmu.lanes


def test_the_tables_in_the_manual_are_those_of_the_layout() -> None:
    """To mend it: ``python -m hdl.pmu.manual`` prints them."""
    assert manual.configuration_table(TEST.pmu) in TEXT
    assert manual.status_words() in TEXT


def test_every_meaning_in_the_manual_is_that_of_a_field() -> None:
    layout = config.pmu_layout(TEST.pmu)
    names = {name for name, _ in fields(layout) if not name.startswith("write.")}
    assert names | {"write"} == set(manual.MEANINGS)


def beats(elements: NDArray[Any]) -> VectorBeats:
    rows = elements.astype(np.uint16).reshape(-1, LANES)
    return VectorBeats(rows, np.zeros(len(rows), np.int64))


def outputs(
    title: str, data: NDArray[Any], indices: NDArray[Any] | None = None, scalar: NDArray[Any] | None = None
) -> Outputs:
    """What the manual's example of that title does with these inputs, on a memory that holds 0, 1, 2, ..."""
    names = {**vars(assembler), **vars(config)}
    exec(dict(EXAMPLES)[title], names)
    words = assembler.assemble(TEST.pmu, names["program"])
    memory = np.arange(LANES * TEST.pmu.rows, dtype=np.uint16).reshape(-1, LANES).T
    empty = np.zeros(0)
    scalars: tuple[Any, ...] = ((), empty if scalar is None else scalar, (), ())
    return run(TEST.pmu, words, [beats(data), beats(empty if indices is None else indices)], scalars, memory)


def elements(result: Outputs) -> NDArray[Any]:
    return result.vector.elements.reshape(-1)


def test_the_example_of_a_transpose_transposes(rng: np.random.Generator) -> None:
    tile = rng.integers(0, 1 << 16, (8, 8))
    assert (elements(outputs("A transpose", tile)) == tile.T.reshape(-1)).all()


def test_the_example_of_a_sliding_window_gives_every_window(rng: np.random.Generator) -> None:
    blocks = rng.integers(0, 1 << 16, (5, 16))
    windows = np.lib.stride_tricks.sliding_window_view(blocks, LANES, axis=1)
    assert (elements(outputs("A sliding window, double-buffered", blocks)) == windows.reshape(-1)).all()


def test_the_example_of_a_table_looks_every_lane_up(rng: np.random.Generator) -> None:
    table, indices = rng.integers(0, 1 << 16, (256, LANES)), rng.integers(0, 256, 10 * LANES)
    assert (elements(outputs("A function by table", table, indices)) == table[indices, 0]).all()


def test_the_example_of_a_gather_fetches_the_rows_it_is_told(rng: np.random.Generator) -> None:
    rows = rng.integers(0, 32, 6)
    result = outputs("An embedding gather", np.zeros(0), scalar=rows)
    assert (elements(result) == (rows[:, None] * 8 + np.arange(8)).reshape(-1)).all()
    assert (result.scalars[0] == rows * 8).all()


@pytest.mark.parametrize("title", [title for title, _ in EXAMPLES])
def test_every_example_of_the_manual_is_known_here(title: str) -> None:
    known = {"A transpose", "A sliding window, double-buffered", "A function by table", "An embedding gather"}
    assert title in known
