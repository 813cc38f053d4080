"""The AXI4 faces against somebody else's: a controller on cocotbext-axi's RAM, a memory model under its master."""

import random
from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import wiring
from cocotb.triggers import FallingEdge
from cocotbext.axi import AxiBus, AxiMaster, AxiRam

from hdl.memory.channel import Tier, channel_response, tier_map
from hdl.memory.controller import Controller
from verif.benches.memory import sizes
from verif.models.backdoor import in_bench
from verif.models.memory import ChannelModel, region_name
from verif.streams import Bench, Stalls, decode

TAGS = 8
PARTS = {"controller": Tier.HBM, "model": Tier.DDR}


def design(part: str) -> wiring.Component:
    params = sizes()
    if part == "controller":
        return Controller(params, PARTS[part], TAGS)
    return ChannelModel(params, PARTS[part], region_name(PARTS[part]))


def pauses(rng: random.Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability


async def watch(dut: Any) -> None:
    """The rules of the standard on what the controller drives: held until taken; WLAST where the length says."""
    held: dict[str, list[int]] = {}
    lengths: list[int] = []
    beats = 0
    fields = {
        "aw": ("addr", "len", "size", "burst"),
        "ar": ("addr", "len", "size", "burst"),
        "w": ("data", "strb", "last"),
    }
    while True:
        await FallingEdge(dut.clk)
        for channel, names in fields.items():
            valid = int(getattr(dut, f"axi__{channel}valid").value)
            shown = [int(getattr(dut, f"axi__{channel}{name}").value) for name in names]
            assert channel not in held or (valid and shown == held[channel]), f"{channel} changed before it was taken"
            taken = valid and int(getattr(dut, f"axi__{channel}ready").value)
            if valid and channel == "aw" and channel not in held:
                lengths.append(shown[1])  # data may be taken before the address, not shown before it
            held.pop(channel, None)
            if valid and not taken:
                held[channel] = shown
            if taken and channel == "w":
                assert shown[2] == (beats == lengths[0]), f"WLAST is {shown[2]} in beat {beats} of {lengths[0] + 1}"
                beats = 0 if shown[2] else beats + 1
                if shown[2]:
                    lengths.pop(0)


@cocotb.test()
async def a_controller_serves_random_requests_from_another_ram(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    layout = channel_response(sizes(), TAGS)
    params, rng = sizes(), np.random.default_rng(bench.rng.getrandbits(32))
    size, beat, granule = 1 << tier_map(params, Tier.HBM).local_bits, params.beat_bytes, params.memory.granule
    ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=size)
    golden = bytearray(rng.bytes(size))
    ram.write(0, bytes(golden))
    cocotb.start_soon(watch(dut))
    for probability in (0.0, 0.4, 0.8):
        for channel in (ram.write_if.aw_channel, ram.write_if.w_channel, ram.read_if.ar_channel):
            channel.set_pause_generator(pauses(bench.rng, probability))
        for channel in (ram.write_if.b_channel, ram.read_if.r_channel):
            channel.set_pause_generator(pauses(bench.rng, probability))
        for name in ("port__request", "port__response"):
            bench.stall(name, Stalls.random(bench.rng, probability / 2))
        expected: dict[int, bytes | None] = {}
        already = len(bench.monitors["port__response"].received)
        for tag in rng.permutation(1 << TAGS)[:150]:
            place, beats = int(rng.integers(8)) * granule, int(rng.integers(1, granule + 1))
            header = {"address": place * beat, "length": beats - 1, "tag": int(tag)}
            if rng.random() < 0.5:
                bench.send("port__request", [{**header, "last": 1}])
                expected[int(tag)] = bytes(golden[place * beat : (place + beats) * beat])
                continue
            expected[int(tag)] = None
            for k in range(beats):
                data, strobe = rng.bytes(beat), int(rng.integers(1 << params.lanes))
                flit = {
                    "data": int.from_bytes(data, "little"),
                    "strobe": strobe,
                    "write": 1,
                    "last": int(k == beats - 1),
                }
                bench.send("port__request", [{**header, **flit}])
                for i in range(beat):
                    if strobe >> i // 2 & 1:
                        golden[(place + k) * beat + i] = data[i]
        received = bench.monitors["port__response"].received
        came: dict[int, bytes] = {}

        def answered(seen: list[int] = received, first: int = already, wanted: int = len(expected)) -> bool:
            return sum(int(decode(layout, bits).last) for bits in seen[first:]) == wanted

        await bench.until(answered, "all responses")
        for bits in received[already:]:
            response = decode(layout, bits)
            assert not response.error
            came.setdefault(response.tag, b"")
            if not response.write:
                came[response.tag] += response.data.to_bytes(beat, "little")
        assert came == {tag: data or b"" for tag, data in expected.items()}
        assert ram.read(0, size) == bytes(golden)


@cocotb.test()
async def a_model_serves_another_master_byte_for_byte(dut: Any) -> None:
    """Writes and reads of any length and alignment, with pauses, beside the bytes seen through the back door."""
    bench = await Bench.start(dut, design)
    rng = np.random.default_rng(bench.rng.getrandbits(32))
    master = AxiMaster(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst)
    memory = in_bench(region_name(Tier.DDR))
    golden = rng.integers(0, 256, len(memory)).astype(np.uint8)
    memory[:] = golden
    for probability in (0.0, 0.5):
        for channel in (master.write_if.w_channel, master.read_if.ar_channel, master.write_if.aw_channel):
            channel.set_pause_generator(pauses(bench.rng, probability))
        for channel in (master.write_if.b_channel, master.read_if.r_channel):
            channel.set_pause_generator(pauses(bench.rng, probability))
        for _ in range(15):
            place, length = int(rng.integers(0, 4096)), int(rng.integers(1, 300))
            data = rng.bytes(length)
            await master.write(place, data)
            golden[place : place + length] = np.frombuffer(data, np.uint8)
            place = int(rng.integers(0, 4096))
            read = await master.read(place, length)
            assert bytes(read.data) == golden[place : place + length].tobytes()
        assert (memory == golden).all()
    refused = await master.write(64, bytes(8), size=1)  # beats of two bytes: not done, and said so
    assert refused.resp == 2
    assert (memory == golden).all()
