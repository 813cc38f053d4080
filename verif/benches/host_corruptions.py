"""Malformed bitstreams: random damage, every one refused before a unit is touched or proved harmless."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coe_mapping.bitstream import Bitstream, encode
from coe_mapping.commands import command
from golden_model.launch import Sequencer
from hdl.host.errors import ErrorCode
from hdl.host.format import HEADER_WORDS, Opcode, UnitMap
from verif.benches.host import MEMORY_BYTES, Rig

GOOD, BAD = 0x0800, 0x2000
"""Where the sound and the damaged program lie."""

KINDS = (
    "flips",
    "burst",
    "truncated",
    "junk",
    "field",
    "checksum",
    "record",
    "header with checksum",
    "swapped",
    "zeros",
)


class ArrayMemory:
    """The memory of the golden sequencer over an array of bytes; ``bad_beat`` is answered with an error."""

    def __init__(self, content: NDArray[np.uint8], beat_bytes: int) -> None:
        self.content, self.beat_bytes = content, beat_bytes
        self.bad_beat: int | None = None

    def read(self, address: int, count: int) -> list[int] | None:
        if not self._there(address, count):
            return None
        return [int(w) for w in self.content[address : address + 4 * count].view("<u4")]

    def write(self, address: int, words: Sequence[int]) -> bool:
        if not self._there(address, len(words)):
            return False
        self.content[address : address + 4 * len(words)] = np.array(words, "<u4").view(np.uint8)
        return True

    def _there(self, address: int, count: int) -> bool:
        beats = range(address // self.beat_bytes, -(-(address + 4 * count) // self.beat_bytes))
        return address + 4 * count <= len(self.content) and (self.bad_beat is None or self.bad_beat not in beats)


def random_program(machine: UnitMap, rng: np.random.Generator, *, longest: int = 40) -> Bitstream:
    """Random words for random units of random tiles. Word 0 is a run time, see the stub units."""
    tiles = tuple(t for t in range(machine.params.tiles) if rng.random() < 0.8) or (0,)
    units = {}
    for slot in machine.slots:
        if slot.kind is not None and slot.tile in tiles and rng.random() < 0.7:
            count = int(rng.integers(1, slot.size.words + 1))
            units[slot.number] = [int(rng.integers(1, longest)), *(int(w) for w in rng.integers(0, 1 << 32, count - 1))]
    return Bitstream(units, tiles, int(rng.integers(0, 1 << 20)), int(rng.integers(0, 1 << 20)))


def damaged(image: bytes, kind: str, rng: np.random.Generator) -> bytes:
    """``image`` with one kind of damage; kinds that end in a right checksum get past it."""
    raw = np.frombuffer(image, np.uint8).copy()
    words = raw.view("<u4")
    total = int(words[4])
    if kind == "flips":
        for position in rng.integers(0, 8 * len(raw), rng.integers(1, 9)):
            raw[position // 8] ^= 1 << position % 8
    elif kind == "burst":
        at = int(rng.integers(0, len(raw)))
        raw[at : at + int(rng.integers(1, 5))] = rng.integers(0, 256)
    elif kind in ("truncated", "junk"):
        at = int(rng.integers(0, 4 * total))
        raw[at:] = 0 if kind == "truncated" else rng.integers(0, 256, len(raw) - at)
    elif kind == "field":
        words[rng.integers(0, HEADER_WORDS)] = rng.integers(0, 1 << 32)
    elif kind == "checksum":
        words[total - 1] ^= np.uint32(rng.integers(1, 1 << 32))
    elif kind == "swapped":
        i, j = rng.integers(0, total, 2)
        words[i], words[j] = int(words[j]), int(words[i])
    elif kind == "zeros":
        raw[: int(rng.integers(1, len(raw)))] = 0
    else:
        _with_right_checksum(words, kind, total, rng)
    return raw.tobytes()


def _with_right_checksum(words: NDArray[np.uint32], kind: str, total: int, rng: np.random.Generator) -> None:
    """Damage to a record word or to a field of the header that the checksum then agrees with."""
    if kind == "record":
        at = HEADER_WORDS
        starts = []
        while at < total - 1:
            starts.append(at)
            at += 1 + int(words[at] >> 24)
        words[rng.choice(starts)] ^= np.uint32(1 << int(rng.integers(0, 32)))
    else:
        place = int(rng.choice([4, 5, 6, 8, 9, 10, 11]))
        change = int(rng.integers(0, 4)) if rng.random() < 0.5 else 1 << int(rng.integers(0, 32))
        words[place] = (int(words[place]) ^ change) & 0xFFFF_FFFF
        total = int(np.clip(words[4], HEADER_WORDS + 1, len(words)))
    words[total - 1] = zlib.crc32(words[: total - 1].tobytes())


@dataclass
class Tally:
    """What a campaign counted. ``harmful``: sentences."""

    tried: int = 0
    refused: int = 0
    harmful: list[str] = field(default_factory=list)


def campaign(rig: Rig, rng: np.random.Generator, count: int) -> Tally:
    """``count`` damaged programs, each followed by a sound one.

    Harmful is: another verdict than the golden model's, a unit touched although refused, other words than the program
    has, or a machine that does not take the sound program afterwards.
    """
    tally = Tally()
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        program = random_program(rig.units, rng)
        image = encode(rig.units, program)
        rig.content[:] = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
        rig.put(GOOD, image)
        rig.put(BAD, damaged(image, kind, rng))
        tally.tried += 1
        wrong = _try(rig, i % 20 == 0, tally)
        if wrong:
            tally.harmful.append(f"corruption {i} ({kind}): {wrong}")
    return tally


def _try(rig: Rig, look_closely: bool, tally: Tally) -> str:
    """One damaged program, then the sound one; what went wrong, or nothing."""
    golden = Sequencer(rig.units, ArrayMemory(rig.content, rig.units.params.beat_bytes))
    golden.command(command(Opcode.LOAD, address=BAD))
    before = rig.model["bus_writes"]
    code = rig.run(Opcode.LOAD, address=BAD)
    expected = golden.error.code if golden.error else ErrorCode.NONE
    if code != expected:
        return f"{code.name}, the golden model says {expected.name}"
    if code:
        tally.refused += 1
        rig.acknowledge()
        if rig.model["bus_writes"] != before:
            return f"refused with {code.name}, but units were touched"
    elif different(rig, golden):
        return f"accepted, and {different(rig, golden)}"
    golden.acknowledge()
    golden.command(command(Opcode.LOAD, address=GOOD))
    before = rig.model["bus_writes"]
    code = rig.run(Opcode.LOAD, address=GOOD)
    if code:
        return f"the sound program was then refused with {code.name}"
    if rig.model["bus_writes"] == before:
        return "the sound program was then not written"
    return different(rig, golden) if look_closely else ""


def different(rig: Rig, golden: Sequencer) -> str:
    """The first unit of the loaded tiles whose shadow is not the golden model's."""
    for slot in rig.units.slots:
        if golden.loaded >> slot.tile & 1:
            found = rig.shadow(slot.number)
            if found != golden.shadow[slot.number]:
                return f"{rig.units.name(slot.number)} holds {found}, should {golden.shadow[slot.number]}"
    return ""
