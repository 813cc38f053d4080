"""Configuration registers: shadow and active copies, status, and the errors of packing."""

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Array, Assert, Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, connect, flipped

from hdl.config import COMMIT, STATUS_BASE, ConfigRegisters, config_port, pack, unpack, word_count
from hdl.errors import ParameterError
from hdl.params import SCALAR_BITS
from verif.formal import prove
from verif.sim import Model, compile_python

LAYOUT = data.StructLayout({"low": 40, "pairs": data.ArrayLayout(data.StructLayout({"a": 3, "b": 13}), 3), "top": 1})
STATUS_WORDS = 3


@pytest.fixture(scope="module")
def registers() -> Model:
    return compile_python(ConfigRegisters(LAYOUT, STATUS_WORDS), "config_registers")


def write(model: Model, address: int, word: int) -> None:
    model["bus__address"], model["bus__write_data"], model["bus__write"] = address, word, 1
    model.tick()
    model["bus__write"] = 0


def read(model: Model, address: int) -> int:
    model["bus__address"] = address
    model.tick()
    return model["bus__read_data"]


def commit(model: Model, *, keep: bool = False) -> None:
    model["commit"] = COMMIT.const({"take": 1, "keep": keep}).as_bits()
    model.tick()
    model["commit"] = 0


def test_a_commit_makes_the_shadow_active_and_nothing_else_does(registers: Model) -> None:
    rng = np.random.default_rng(1)
    registers.reset()
    active = 0
    for _ in range(20):
        words = [int(w) for w in rng.integers(0, 1 << SCALAR_BITS, word_count(LAYOUT))]
        for address, word in enumerate(words):
            write(registers, address, word)
            assert registers["active"] == active
        assert [read(registers, a) for a in range(len(words))] == words
        commit(registers)
        active = unpack(LAYOUT, words).as_bits()
        assert registers["active"] == active


def test_an_exchange_keeps_every_bit_of_what_was_active(registers: Model) -> None:
    """Those of the last word that belong to no field too; a commit without ``keep`` leaves the shadow as it is."""
    rng = np.random.default_rng(3)
    registers.reset()
    shadow, active = [0] * word_count(LAYOUT), [0] * word_count(LAYOUT)
    for _ in range(60):
        if rng.random() < 0.5:
            address, word = int(rng.integers(0, len(shadow))), int(rng.integers(0, 1 << SCALAR_BITS))
            write(registers, address, word)
            shadow[address] = word
        keep = bool(rng.random() < 0.5)
        commit(registers, keep=keep)
        shadow, active = active if keep else shadow, list(shadow)
        assert registers["active"] == unpack(LAYOUT, active).as_bits()
        assert [read(registers, a) for a in range(len(shadow))] == shadow


def test_status_words_are_read_and_not_written_and_other_addresses_are_zero(registers: Model) -> None:
    registers.reset()
    status = [3, 0xFFFF_FFFF, 0x1234_5678]
    registers["status"] = sum(word << SCALAR_BITS * i for i, word in enumerate(status))
    for i, word in enumerate(status):
        write(registers, STATUS_BASE + i, 0)
        assert read(registers, STATUS_BASE + i) == word
    assert read(registers, STATUS_BASE + STATUS_WORDS) == 0
    assert read(registers, word_count(LAYOUT)) == 0


def test_fields_survive_the_words() -> None:
    rng = np.random.default_rng(2)
    for _ in range(50):
        values = {
            "low": int(rng.integers(0, 1 << 40)),
            "pairs": [{"a": int(rng.integers(0, 8)), "b": int(rng.integers(0, 1 << 13))} for _ in range(3)],
            "top": int(rng.integers(0, 2)),
        }
        read_back = unpack(LAYOUT, pack(LAYOUT, values))
        assert read_back.low == values["low"]
        assert read_back.top == values["top"]
        assert [{"a": pair.a, "b": pair.b} for pair in read_back.pairs] == values["pairs"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"middle": 1}, "configuration field middle does not exist; there are low, pairs, top"),
        ({"pairs": [{"c": 1}]}, r"configuration field pairs\.0\.c does not exist; there are a, b"),
        ({"pairs": [{}, {"a": 8}]}, r"configuration field pairs\.1\.a: 8 does not fit its 3 bits"),
        ({"top": 2}, "configuration field top: 2 does not fit its 1 bits"),
    ],
)
def test_a_wrong_field_is_named(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ParameterError, match=sentence):
        pack(LAYOUT, values)


def test_a_wrong_number_of_words_is_named() -> None:
    with pytest.raises(ParameterError, match="1 configuration words given, the layout takes 3"):
        unpack(LAYOUT, [0])


class RegistersSpecification(wiring.Component):
    """Any word reads back as it was last written or kept, and the active copy is the shadow of the last commit.

    ``keep`` without ``take`` does nothing.
    """

    LAYOUT = data.StructLayout({"low": 40})

    def __init__(self) -> None:
        self.words = word_count(self.LAYOUT)
        super().__init__({"bus": In(config_port()), "commit": In(COMMIT)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.registers = dut = ConfigRegisters(self.LAYOUT, 1)
        connect(m, flipped(self.bus), dut.bus)
        shadow = Array(Signal(SCALAR_BITS, name=f"expected_{i}") for i in range(self.words))
        active = Array(Signal(SCALAR_BITS, name=f"active_{i}") for i in range(self.words))
        read, inside = Signal(SCALAR_BITS), Signal()
        m.d.comb += [dut.commit.eq(self.commit), inside.eq(self.bus.address < self.words)]
        m.d.sync += read.eq(Mux(inside, shadow[self.bus.address[0]], 0))
        with m.If(self.bus.write & inside):
            m.d.sync += shadow[self.bus.address[0]].eq(self.bus.write_data)
        for old, new in zip(active, shadow, strict=True):
            with m.If(self.commit.take):
                m.d.sync += old.eq(new)
            with m.If(self.commit.take & self.commit.keep):
                m.d.sync += new.eq(old)
        expected = Cat(active)[: self.LAYOUT.size]
        m.d.comb += [Assert(dut.active.as_value() == expected), Assert(dut.bus.read_data == read)]
        return m


def test_words_read_back_and_commit_is_atomic_proved() -> None:
    assert prove(RegistersSpecification(), "config_registers", mode="bmc", depth=6).depth == 6
