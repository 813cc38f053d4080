"""Block RAM as a tier: bursts of any length and strobe, under pauses on every channel, against an array of bytes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from hdl.errors import ParameterError
from hdl.memory.block_ram import BlockMemory
from hdl.memory.channel import Tier
from hdl.params import NANO
from verif.sim import Model, compile_python

BEAT, GRANULE = NANO.beat_bytes, NANO.memory.granule
BEATS = NANO.memory.hbm.capacity // BEAT
PATIENCE = 200


class Master:
    """AXI4, one burst at a time; ``pause``: the chance that it holds its side back, cycle by cycle."""

    def __init__(self, model: Model, rng: np.random.Generator, pause: float) -> None:
        self.model, self.rng, self.pause = model, rng, pause

    def _send(self, channel: str, **fields: int) -> None:
        while self.rng.random() < self.pause:
            self.model.tick()
        for name, value in fields.items():
            self.model[f"axi__{channel}{name}"] = value
        self.model[f"axi__{channel}valid"] = 1
        assert self.model.until(f"axi__{channel}ready", PATIENCE), f"{channel.upper()} is not taken"
        self.model.tick()
        self.model[f"axi__{channel}valid"] = 0

    def _take(self, channel: str, *fields: str) -> list[int]:
        assert self.model.until(f"axi__{channel}valid", PATIENCE), f"{channel.upper()} does not come"
        while self.rng.random() < self.pause:
            self.model.tick()
            assert self.model[f"axi__{channel}valid"], "a beat that was not taken went away"
        values = [int(self.model[f"axi__{channel}{name}"]) for name in fields]
        self.model[f"axi__{channel}ready"] = 1
        self.model.tick()
        self.model[f"axi__{channel}ready"] = 0
        return values

    def write(self, first: int, beats: NDArray[np.uint8], strobes: list[int]) -> None:
        self._send("aw", addr=first * BEAT, len=len(beats) - 1, size=3, burst=1)
        for i, (beat, strobe) in enumerate(zip(beats, strobes, strict=True)):
            self._send("w", data=int.from_bytes(beat.tobytes(), "little"), strb=strobe, last=int(i == len(beats) - 1))
        assert self._take("b", "resp") == [0]

    def read(self, first: int, count: int) -> NDArray[np.uint8]:
        self._send("ar", addr=first * BEAT, len=count - 1, size=3, burst=1)
        beats = [self._take("r", "data", "last", "resp") for _ in range(count)]
        assert [last for _, last, _ in beats] == [0] * (count - 1) + [1]
        assert not any(resp for *_, resp in beats)
        return np.frombuffer(b"".join(value.to_bytes(BEAT, "little") for value, *_ in beats), np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    return compile_python(BlockMemory(NANO, Tier.HBM), "block_memory")


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_what_is_written_is_read_back_byte_for_byte(model: Model, rng: np.random.Generator, pause: float) -> None:
    model.reset()
    master, expected = Master(model, rng, pause), np.zeros((16, BEAT), np.uint8)
    base = BEATS - len(expected)  # the last granules: an address bit lost would show
    master.write(base, expected[:8], [255] * 8)
    master.write(base + 8, expected[8:], [255] * 8)
    for _ in range(100):
        count = int(rng.integers(1, GRANULE + 1))
        first = int(rng.integers(len(expected) - count + 1))
        if rng.random() < 0.5:
            beats = rng.integers(0, 256, (count, BEAT)).astype(np.uint8)
            strobes = [int(s) for s in rng.integers(0, 256, count)]
            master.write(base + first, beats, strobes)
            for i, strobe in enumerate(strobes):
                kept = [b for b in range(BEAT) if strobe >> b & 1]
                expected[first + i, kept] = beats[i, kept]
        else:
            assert (master.read(base + first, count) == expected[first : first + count].reshape(-1)).all()
    assert (master.read(base, 16) == expected.reshape(-1)).all()


def test_a_burst_that_is_not_held_back_moves_a_beat_a_cycle(model: Model) -> None:
    model.reset()
    model["axi__rready"], model["axi__araddr"], model["axi__arlen"], model["axi__arvalid"] = 1, 0, 7, 1
    assert model.until("axi__arready", 4)
    model.tick()
    model["axi__arvalid"] = 0
    assert model.until("axi__rvalid", 5)
    seen = []
    for _ in range(8):
        seen.append((model["axi__rvalid"], model["axi__rlast"]))
        model.tick()
    assert seen == [(1, 0)] * 7 + [(1, 1)]
    assert not model["axi__rvalid"]


def test_a_tier_with_check_bits_is_refused() -> None:
    checked = replace(NANO, memory=replace(NANO.memory, hbm=replace(NANO.memory.hbm, ecc=True)))
    with pytest.raises(ParameterError, match="nano: block RAM keeps no check bits; set ecc=False for HBM"):
        BlockMemory(checked, Tier.HBM)
