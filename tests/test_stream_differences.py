"""Streams compared: the report names the first unit that sent something else, its stream, the element, both values."""

import ctypes

import numpy as np
import pytest

from golden_model.fabric import Data, End
from golden_model.pmu import VectorBeats
from hdl.errors import ParameterError
from hdl.floorplan import Kind, floorplan
from hdl.params import DEMO, NANO, TEST
from hdl.rdn.config import Fabric
from verif.stream_differences import first_difference
from verif.taps import Taps, switch_of

FIRST, SECOND = (floorplan(TEST).find(kind, 0, 1) for kind in (Kind.AGCU, Kind.PCU))
VECTORS = End(FIRST, Fabric.VECTOR, 1)
WORDS = End(SECOND, Fabric.SCALAR, 0)
TOKENS = End(SECOND, Fabric.TOKEN, 2)


def vectors(count: int) -> VectorBeats:
    elements = np.arange(4 * count, dtype=np.uint16).reshape(count, 4)
    return VectorBeats(elements, np.arange(count, dtype=np.int64) * 4)


def streams(beats: int = 5, words: int = 3, tokens: int = 2) -> dict[End, Data]:
    return {VECTORS: vectors(beats), WORDS: np.arange(words, dtype=np.uint32), TOKENS: tokens}


def said(golden: dict[End, Data], rtl: dict[End, Data], *, stuck: bool = False) -> str:
    return str(first_difference(golden, rtl, stuck=stuck))


def test_equal_streams_have_no_difference_whatever_their_order_and_with_empty_ones_left_out() -> None:
    golden = {**streams(tokens=0), End("sorter", Fabric.VECTOR, 1): vectors(1)}
    rtl = {end: data for end, data in reversed(streams().items()) if end is not TOKENS}
    assert first_difference(golden, rtl) is None


def test_the_first_element_that_differs_is_named_with_both_values() -> None:
    rtl = streams()
    changed = vectors(5)
    changed.elements[3, 2] ^= 0x100
    changed.elements[4, 0] ^= 1
    rtl[VECTORS] = changed
    rtl[WORDS] = np.array([0, 7, 2], np.uint32)
    assert said(streams(), rtl) == (
        "AGCU at row 0, column 1 differs first, vector output 1, element 3: golden [000c 000d 000e 000f] with sequence "
        "id 12, RTL [000c 000d 010e 000f] with sequence id 12"
    )
    assert said({WORDS: streams()[WORDS]}, {WORDS: rtl[WORDS]}) == (
        "PCU at row 0, column 1 differs first, scalar output 0, element 1: golden 0x00000001, RTL 0x00000007"
    )


def test_a_sequence_id_alone_makes_a_difference() -> None:
    rtl = streams()
    beats = vectors(5)
    beats.sequence[2] = 9
    rtl[VECTORS] = beats
    found = first_difference(streams(), rtl)
    assert found is not None
    assert (found.end, found.index) == (VECTORS, 2)


@pytest.mark.parametrize(
    ("golden", "rtl", "sentence"),
    [
        (
            streams(),
            streams(beats=4),
            "output 1, element 4: golden [0010 0011 0012 0013] with sequence id 16, RTL nothing",
        ),
        (streams(words=2), streams(), "scalar output 0, element 2: golden nothing more, RTL 0x00000002"),
        (streams(), streams(tokens=1), "token output 2, element 1: golden a token, RTL nothing more"),
        ({}, {TOKENS: 1}, "token output 2, element 0: golden nothing more, RTL a token"),
    ],
)
def test_a_stream_that_ends_early_or_late_differs_where_it_ends(
    golden: dict[End, Data], rtl: dict[End, Data], sentence: str
) -> None:
    assert sentence in said(golden, rtl)


def test_of_two_units_the_one_that_the_other_depends_on_is_named() -> None:
    rtl = streams(beats=4)
    rtl[WORDS] = np.array([0, 7], np.uint32)
    assert "AGCU" in said(streams(), rtl)


def test_in_a_fabric_that_is_stuck_a_wrong_element_counts_before_a_missing_one() -> None:
    rtl = streams(beats=4)
    rtl[WORDS] = np.array([0, 7], np.uint32)
    assert "PCU" in said(streams(), rtl, stuck=True)
    rtl[WORDS] = np.array([0, 1], np.uint32)
    assert "AGCU" in said(streams(), rtl, stuck=True)


def test_a_simulation_without_taps_says_so() -> None:
    with pytest.raises(ParameterError, match="built without taps"):
        Taps(NANO, ctypes.CDLL(None)).streams()


def test_a_tap_of_the_second_tile_stands_at_its_column_of_the_socket() -> None:
    path = "TOP.board.socket.tile_1.module.station_2_3.module.station_2e0c69e9.scalar_switch.module.tap"
    assert switch_of(DEMO, path) == (Fabric.SCALAR, 2, 7)
