"""The host port under somebody else's master: cocotbext-axi's AXI4-Lite, with random pauses on every channel."""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from coe_mapping.commands import command
from hdl.host.format import MAGIC, WORD_BYTES, Opcode
from hdl.host.registers import OFFSETS, REGISTERS, Access
from verif.benches.host import MEMORY_BYTES, NOWHERE, HostBench, machine
from verif.streams import Bench

PAUSES = (0.0, 0.4, 0.8)


def design() -> HostBench:
    return HostBench(machine(tiles=1))


def pauses(rng: random.Random, probability: float) -> Iterator[bool]:
    while True:
        yield rng.random() < probability


async def watch(dut: Any) -> None:
    """The rule of the standard on what the port drives: an answer stays as it is until it is taken."""
    held: dict[str, list[int]] = {}
    while True:
        await FallingEdge(dut.clk)
        for channel, names in {"b": ("resp",), "r": ("data", "resp")}.items():
            valid = int(getattr(dut, f"axi__{channel}valid").value)
            shown = [int(getattr(dut, f"axi__{channel}{name}").value) for name in names]
            assert channel not in held or (valid and shown == held[channel]), f"{channel} changed before it was taken"
            held.pop(channel, None)
            if valid and not int(getattr(dut, f"axi__{channel}ready").value):
                held[channel] = shown


class Host:
    """The bench's master, registers by name."""

    def __init__(self, bench: Bench) -> None:
        self.rng, dut = bench.rng, bench.dut
        dut.bad_beat.value = NOWHERE
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "axi_"), dut.clk, dut.rst)
        cocotb.start_soon(watch(dut))

    def pause(self, probability: float) -> None:
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            channel.set_pause_generator(pauses(self.rng, probability))

    async def write(self, name: str, *values: int) -> None:
        """Writes one after the other, all under way at once."""
        await self.write_all((name, value) for value in values)

    async def write_all(self, values: Iterable[tuple[str, int]]) -> None:
        begun = [
            cocotb.start_soon(self.master.write(OFFSETS[name], value.to_bytes(WORD_BYTES, "little")))
            for name, value in values
        ]
        for task in begun:
            assert (await task).resp == AxiResp.OKAY

    async def read(self, name: str, count: int = 1) -> list[int]:
        """Reads of one register, all under way at once."""
        begun = [cocotb.start_soon(self.master.read(OFFSETS[name], WORD_BYTES)) for _ in range(count)]
        answers = [await task for task in begun]
        assert all(answer.resp == AxiResp.OKAY for answer in answers), name
        return [int.from_bytes(answer.data, "little") for answer in answers]

    async def settle(self) -> None:
        while not (await self.read("STATUS"))[0] & 1:
            pass


@cocotb.test()
async def registers_hold_what_is_written_and_refuse_the_rest(dut: Any) -> None:
    host = Host(await Bench.start(dut, design))
    held = {r.name: (1 << r.layout.size) - 1 for r in REGISTERS if r.access is Access.HELD and r.name != "CONTROL"}
    for probability in PAUSES:
        host.pause(probability)
        values = {name: host.rng.getrandbits(32) for name in held}
        await host.write_all(values.items())
        for name, value in values.items():
            assert await host.read(name) == [value & held[name]], name
        for name in host.rng.sample(sorted(held), 4):
            refused = await host.master.write(OFFSETS[name] + host.rng.randrange(1, 4), b"\x5a")
            assert refused.resp == AxiResp.SLVERR, f"part of {name}"
            assert await host.read(name) == [values[name] & held[name]], name
        for register in REGISTERS:
            if not register.access.writable:
                assert (await host.master.write(OFFSETS[register.name], bytes(4))).resp == AxiResp.SLVERR
            if not register.access.readable:
                assert (await host.master.read(OFFSETS[register.name], 4)).resp == AxiResp.SLVERR
        assert await host.read("MAGIC", 8) == 8 * [MAGIC]


@cocotb.test()
async def words_written_by_the_window_are_read_back_and_commands_arrive(dut: Any) -> None:
    host = Host(await Bench.start(dut, design))
    for probability in PAUSES:
        host.pause(probability)
        words = [host.rng.getrandbits(32) for _ in range(host.rng.randrange(20, 40))]
        address = WORD_BYTES * host.rng.randrange(MEMORY_BYTES // WORD_BYTES - len(words))
        await host.write("WINDOW_ADDRESS_LOW", address)
        await host.write("WINDOW_WRITE", len(words))
        await host.write("WINDOW_DATA", *words)
        while (await host.read("WINDOW_STATUS"))[0] & 1:
            pass
        await host.write("WINDOW_READ", len(words))
        assert await host.read("WINDOW_DATA", len(words)) == words
        assert await host.read("WINDOW_STATUS") == [0]
        value = host.rng.getrandbits(32)
        for i, word in enumerate(command(Opcode.SIGNAL, value=value)):
            await host.write(f"COMMAND_{i}", word)
        await host.write("DOORBELL", 0)
        await host.settle()
        assert await host.read("SIGNAL") == [value]
