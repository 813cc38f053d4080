"""Values to bits and back, stall patterns, the walk over a signature: what needs no simulator."""

import random
from typing import Any

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from hypothesis import given
from hypothesis import strategies as st

from verif.forall import payloads
from verif.streams import NEVER, Stalls, decode, describe, encode
from verif.streams.endpoints import TransferLog
from verif.streams.ports import plain_inputs_of, streams_of


class Colour(enum.Enum, shape=2):
    RED = 1
    BLUE = 2


PIXEL = data.StructLayout({"colour": Colour, "at": data.ArrayLayout(signed(4), 2), "alpha": range(10)})


@pytest.mark.parametrize(
    ("shape", "value", "bits"),
    [
        (unsigned(8), 0xA5, 0xA5),
        (8, 0xA5, 0xA5),
        (signed(4), -1, 0xF),
        (signed(4), 7, 7),
        (range(10), 9, 9),
        (Colour, Colour.BLUE, 2),
        (PIXEL, {"colour": Colour.RED, "at": [-2, 3], "alpha": 9}, 0b1001_0011_1110_01),
        (PIXEL, 0x123, 0x123),
        (data.ArrayLayout(8, 2), [1, 2], 0x201),
    ],
)
def test_a_value_is_encoded_by_its_shape(shape: Any, value: Any, bits: int) -> None:
    assert encode(shape, value) == bits


@pytest.mark.parametrize(("shape", "value"), [(4, 16), (4, -1), (signed(4), -9), (signed(4), 16), (PIXEL, 1 << 14)])
def test_a_value_that_does_not_fit_is_refused(shape: Any, value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encode(shape, value)


@given(bits=payloads(PIXEL))
def test_decoding_a_struct_and_encoding_it_again_gives_the_same_bits(bits: int) -> None:
    if bits & 3 in (1, 2):  # the colours there are
        assert encode(PIXEL, decode(PIXEL, bits)) == bits


def test_decoding_gives_named_fields_enum_members_and_signs() -> None:
    pixel = decode(PIXEL, 0b1001_0011_1110_01)
    assert (pixel.colour, pixel.at[0], pixel.at[1], pixel.alpha) == (Colour.RED, -2, 3, 9)
    assert decode(signed(4), 0xF) == -1
    assert decode(Colour, 2) is Colour.BLUE
    assert decode(unsigned(4), 0xF) == 15


def test_a_payload_is_described_by_its_fields() -> None:
    bits = 0b1001_0011_1110_01
    assert describe(PIXEL, bits) == f"{bits:#x} = {{colour: Colour.RED, at: {{-0x2, 0x3}}, alpha: 0x9}}"
    assert describe(8, 0xA5) == "0xa5"


@given(st.integers(0, 1 << 40))
def test_every_stall_pattern_lets_one_cycle_pass_in_every_period(pattern: int) -> None:
    stalls = Stalls(pattern)
    for start in (0, 17):
        assert not all(stalls.at(start + k) for k in range(stalls.period))


def test_the_simplest_pattern_never_stalls() -> None:
    assert not any(NEVER.at(k) for k in range(100))
    assert [Stalls(0b101).at(k) for k in range(8)] == [True, False, True, False, True, False, True, False]


def test_a_random_pattern_stalls_about_as_often_as_asked() -> None:
    stalls = Stalls.random(random.Random(1), 0.25)
    assert 0.15 < sum(stalls.at(k) for k in range(256)) / 256 < 0.35


def test_streams_are_found_with_their_direction_in_nested_and_flipped_signatures() -> None:
    flit = stream.Signature(8)
    link = wiring.Signature({"data": Out(flit), "credit": In(flit), "clear": In(1), "busy": Out(1)})
    signature = wiring.Signature(
        {"a": In(flit), "b": Out(flit), "go": In(1), "done": Out(1), "up": Out(link), "down": In(link).array(2)}
    )
    found = {spec.name: spec.from_design for spec in streams_of(signature)}
    assert found == {
        "a": False,
        "b": True,
        "up__data": True,
        "up__credit": False,
        "down__0__data": False,
        "down__0__credit": True,
        "down__1__data": False,
        "down__1__credit": True,
    }
    assert plain_inputs_of(signature) == ["go", "up__clear", "down__0__busy", "down__1__busy"]


def test_the_transfer_log_knows_the_rate_and_the_first_lost_cycle() -> None:
    log = TransferLog()
    for cycle in (3, 4, 5, 8, 9):
        log.add(cycle, 0)
    assert log.rate == pytest.approx(4 / 6)
    assert log.gaps == [5]
