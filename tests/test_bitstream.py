"""Bitstreams: what is encoded decodes, what is damaged is refused, by the tools, the golden model and the hardware."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from coe_mapping.bitstream import Argument, Bitstream, BitstreamError, argument_words, decode, encode, used_units
from coe_mapping.commands import command
from golden_model.launch import Sequencer
from hdl.crc import INITIAL, advance, checksum
from hdl.errors import ParameterError
from hdl.host import manual
from hdl.host.format import HEADER_WORDS, Opcode, parameter_hash
from hdl.params import PRESETS
from verif.benches.host import Rig, machine
from verif.benches.host_corruptions import KINDS, ArrayMemory, campaign, random_program
from verif.sim import compile_python
from verif.sources import ROOT

MACHINE = machine()
SOUND = Bitstream({3: [1, 2, 3], 5: [4]}, (0,), hbm_bytes=4096, ddr_bytes=8192)


class CRC(wiring.Component):
    """A checksum of the words that come in with ``en``."""

    def __init__(self, width: int) -> None:
        super().__init__({"en": In(1), "i": In(width), "crc": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state = Signal(32, init=INITIAL)
        m.d.comb += self.crc.eq(checksum(state))
        with m.If(self.en):
            m.d.sync += state.eq(advance(state, self.i))
        return m


@pytest.mark.parametrize("width", [8, 32, 64])
def test_the_checksum_is_that_of_zlib_for_every_width_of_word(width: int, rng: np.random.Generator) -> None:
    model = compile_python(CRC(width), f"crc_{width}")
    model.reset()
    content = rng.bytes(40 * width // 8)
    model["en"] = 1
    for word in np.frombuffer(content, f"<u{width // 8}"):
        model["i"] = int(word)
        model.tick()
    assert model["crc"] == zlib.crc32(content)


def test_200_corruptions_are_refused_before_a_unit_is_touched_or_are_harmless(rng: np.random.Generator) -> None:
    tally = campaign(Rig(machine()), rng, 200)
    assert tally.harmful == []
    assert tally.tried == 200
    assert 100 < tally.refused < 200  # some damage lies beyond the end, or makes another legal program


def test_random_bitstreams_decode_to_what_was_encoded(rng: np.random.Generator) -> None:
    for _ in range(200):
        program = random_program(MACHINE, rng)
        image = encode(MACHINE, program)
        granule = MACHINE.params.beat_bytes * MACHINE.params.memory.granule
        assert len(image) % granule == 0
        assert decode(MACHINE, image + rng.bytes(int(rng.integers(0, 9)))) == program


def test_the_tile_of_a_program_names_its_compute_units() -> None:
    words = np.frombuffer(encode(MACHINE, SOUND), "<u4")
    active = [p.number for p in MACHINE.compute]
    assert used_units(MACHINE, SOUND) == (3, 5)
    assert words[words[4] - 2] == 1 << active.index(3) | 1 << active.index(5)


def _word(position: int, value: int) -> Callable[[bytearray], None]:
    def change(image: bytearray) -> None:
        struct.pack_into("<I", image, 4 * position, value)
        total = min(max(struct.unpack_from("<I", image, 16)[0], 14), len(image) // 4)
        struct.pack_into("<I", image, 4 * (total - 1), zlib.crc32(image[: 4 * (total - 1)]))

    return change


def _short(image: bytearray) -> None:
    del image[40:]


def _flip(image: bytearray) -> None:
    image[4 * HEADER_WORDS + 4] ^= 1


DEFECTS: list[tuple[Callable[[bytearray], None], str]] = [
    (_short, "10 words are fewer than a header and a checksum"),
    (_word(0, 7), "begins with 0x00000007, not with 0x5544524f: something else"),
    (_word(1, 9), "format version 9, this machine reads version 1"),
    (_word(2, 9), "made for a machine of other sizes than stub; assemble it again"),
    (_word(4, 12), "the header claims 12 words, of 24 there are and 301 that a program may have"),
    (_word(4, 99), "the header claims 99 words"),
    (_word(5, 4), "it is for tiles 0b100, stub has 2"),
    (_word(5, 0), "it is for tiles 0b0, stub has 2"),
    (_word(8, 1 << 31), "it needs 2147483648 bytes of HBM and 8192 of DDR; stub has 1048576 and 16777216"),
    (_flip, "the checksum is wrong; it was damaged, so make or copy it again"),
    (_word(12, 3 << 24 | 99), "word 12 is a record for unit 99, which is in none of its tiles"),
    (_word(12, 3 << 24 | 15), "word 12 is a record for PCU at row 0, column 2, which is in none of its tiles"),
    (_word(12, 6 << 24 | 3), "word 12 is a record with words that PCU at row 0, column 0 does not have"),
    (_word(12, 0 << 24 | 3), "word 12 is a record with words that PCU"),
    (_word(18, 3 << 24 | 1), "word 18 is a record of 3 words, more than are left"),
    (_word(6, 9), "there are 3 records, the header claims 9"),
    (_word(3, 9), "made for a machine of other sizes"),
    (_word(4, MACHINE.longest + 1), "the header claims 302 words"),
    (_word(7, 1), "format version 1, this machine reads"),
    (_word(9, 1), "it needs"),
]


@pytest.mark.parametrize(("change", "sentence"), DEFECTS)
def test_every_defect_is_refused_with_its_sentence(change: Callable[[bytearray], None], sentence: str) -> None:
    image = bytearray(encode(MACHINE, SOUND))
    change(image)
    with pytest.raises(BitstreamError) as caught:
        decode(MACHINE, bytes(image))
    assert sentence in str(caught.value)


def test_every_defect_is_refused_by_the_machine_and_touches_nothing() -> None:
    rig = Rig(MACHINE)
    for change, sentence in DEFECTS:
        image = bytearray(encode(MACHINE, SOUND))
        change(image)
        rig.content[:] = 0
        rig.put(0, bytes(image))
        golden = Sequencer(MACHINE, ArrayMemory(rig.content, MACHINE.params.beat_bytes))
        golden.command(command(Opcode.LOAD, address=0))
        rig.run(Opcode.LOAD, address=0)
        assert (rig.error(), sentence) == (golden.error, sentence)
        assert rig.model["bus_writes"] == 0
        rig.acknowledge()


@pytest.mark.parametrize(
    ("bitstream", "sentence"),
    [
        (Bitstream({}, (2,)), "stub has no tile 2; it has 2"),
        (Bitstream({24: [1]}), "stub has no unit 24"),
        (Bitstream({6: [1]}, (1,)), "is in tile 0, which is not among its tiles"),
        (Bitstream({3: [1] * 6}), "PCU at row 0, column 0 takes 1 to 5 configuration words, not 6"),
        (Bitstream({3: []}), "takes 1 to 5 configuration words, not 0"),
    ],
)
def test_what_the_machine_has_not_cannot_be_encoded(bitstream: Bitstream, sentence: str) -> None:
    with pytest.raises(ParameterError) as caught:
        encode(MACHINE, bitstream)
    assert sentence in str(caught.value)


def test_arguments_set_their_bits_and_leave_the_others() -> None:
    program = Bitstream({3: [0xFFFF_FFFF, 0xFFFF_FFFF, 5]})
    across, within = Argument(3, 0, 24, 16), Argument(3, 2, 4, 8)
    words = argument_words(program, {across: 0x1234, within: 0xAB})
    assert words == [1 << 24 | 3, 0x34FF_FFFF, 1 << 24 | 1 << 16 | 3, 0xFFFF_FF12, 1 << 24 | 2 << 16 | 3, 0xAB5]
    with pytest.raises(ParameterError, match="256 does not fit the 8 bits"):
        argument_words(program, {within: 256})
    with pytest.raises(ParameterError, match="lies outside the words that the program gives unit 3"):
        argument_words(program, {Argument(3, 2, 24, 9): 0})


def test_machines_of_different_sizes_have_different_hashes() -> None:
    hashes = {parameter_hash(params) for params in PRESETS.values()}
    hashes |= {parameter_hash(replace(params, sockets=9)) for params in PRESETS.values()}
    assert len(hashes) == 2 * len(PRESETS)
    assert all(0 < value < 1 << 64 for value in hashes)


def test_the_manuals_hold_the_generated_tables() -> None:
    """To mend them: ``python -m hdl.host.manual`` prints all."""
    launch, bitstream = ((ROOT / "docs" / f"{name}.md").read_text() for name in ("launch", "bitstream"))
    assert manual.command_table() in launch
    assert manual.error_table() in launch
    assert manual.header_table() in bitstream
    assert manual.record_table() in bitstream
    assert manual.registers() == (ROOT / "docs" / "registers.md").read_text()


def test_every_kind_of_damage_has_its_turn() -> None:
    assert 200 % len(KINDS) == 0
