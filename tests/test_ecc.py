"""SECDED: one flipped bit of a stored word is put right, two are noticed, in NumPy and in hardware alike."""

from itertools import combinations

import numpy as np
import pytest
from amaranth.hdl import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from golden_model import ecc as golden
from hdl import ecc
from verif.sim import compile_python

ALL = np.arange(1 << 16, dtype=np.uint64)


class Codec(wiring.Component):
    """Encodes ``data`` and decodes ``word``, as an arithmetic unit of one cycle."""

    latency = 1

    def __init__(self, width: int) -> None:
        self.width = width
        operands = data.StructLayout({"data": width, "word": ecc.code_width(width)})
        results = data.StructLayout({"word": ecc.code_width(width), "data": width, "corrected": 1, "detected": 1})
        super().__init__({"en": In(1), "i": In(operands), "o": Out(results)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        decoded = ecc.decode(m, self.i.word, self.width, "word")
        with m.If(self.en):
            m.d.sync += self.o.eq(Cat(ecc.encode(self.i.data), *decoded))
        return m


@pytest.mark.parametrize("width", [4, 8, 11, 16, 26, 32, 57])
def test_any_two_code_words_differ_in_four_bits_at_least(width: int) -> None:
    """The code is linear: its distance is its least weight, found among the words of one to three data bits."""
    ones = [1 << k for k in range(width)]
    values = [sum(chosen) for count in (1, 2, 3) for chosen in combinations(ones, count)]
    words = golden.encode(np.array(values, np.uint64), width)
    assert min(int(word).bit_count() for word in words) == 4
    assert max(int(word).bit_length() for word in words) <= ecc.code_width(width)


@pytest.mark.parametrize("width", [16, 32, 57])
def test_every_single_flip_is_corrected_and_every_double_flip_is_detected(width: int) -> None:
    rng = np.random.default_rng(width)
    values = rng.integers(0, 1 << width, 50, dtype=np.uint64)
    words = golden.encode(values, width)
    clean = golden.decode(words, width)
    assert (clean.data == values).all()
    assert not clean.corrected.any()
    assert not clean.detected.any()
    for a in range(ecc.code_width(width)):
        single = golden.decode(words ^ np.uint64(1 << a), width)
        assert (single.data == values).all()
        assert single.corrected.all()
        assert not single.detected.any()
        for b in range(a):
            double = golden.decode(words ^ np.uint64(1 << a | 1 << b), width)
            assert double.detected.all()
            assert not double.corrected.any()


def test_rtl_equals_golden_on_every_value_with_every_pattern_of_up_to_two_flips() -> None:
    model = compile_python(Codec(16), "secded_16")
    width = ecc.code_width(16)
    encoded = golden.encode(ALL, 16)
    single = [1 << k for k in range(width)]
    # all values with no flip and every single one; a random value for every double and triple one
    rng = np.random.default_rng(7)
    several = np.array([sum(f) for n in (2, 3) for f in combinations(single, n)], np.uint64)
    values = np.concatenate([*[ALL] * (1 + width), rng.integers(0, 1 << 16, len(several), dtype=np.uint64)])
    flips = np.concatenate([np.repeat(np.array([0, *single], np.uint64), 1 << 16), several])
    words = encoded[values.astype(np.int64)] ^ flips
    got = np.asarray(model.stream(values | words << np.uint64(16)), np.uint64)
    expected = golden.decode(words, 16)
    assert (got & np.uint64((1 << width) - 1) == encoded[values.astype(np.int64)]).all()
    assert (got >> np.uint64(width) & np.uint64(0xFFFF) == expected.data).all()
    assert ((got >> np.uint64(width + 16) & np.uint64(1)) == expected.corrected).all()
    assert ((got >> np.uint64(width + 17) & np.uint64(1)) == expected.detected).all()
