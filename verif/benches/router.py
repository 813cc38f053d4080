"""A block with nested streams, an array of them, struct payloads and a plain port, all for the bench to find."""

import enum
from typing import Any

import cocotb
import pytest
from amaranth.hdl import Module
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from verif.forall import forall, payloads, stalls
from verif.streams import Bench, BenchError, Stalls, decode


class Kind(enum.IntEnum):
    DATA = 0
    CONTROL = 1


FLIT = data.StructLayout({"kind": 1, "body": data.ArrayLayout(8, 2), "offset": data.StructLayout({"x": 4, "y": 4})})


class Router(wiring.Component):
    """Sends flits to output ``kind ^ swap``. Latency 2 cycles, one a cycle, registered on every side."""

    def __init__(self) -> None:
        flits = stream.Signature(FLIT)
        ports = wiring.Signature({"source": In(flits), "sinks": Out(flits).array(2)})
        super().__init__({"swap": In(1), "ports": Out(ports)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        source = self.ports.source
        queues = [fifo.SyncFIFOBuffered(width=FLIT.size, depth=4) for _ in self.ports.sinks]
        m.d.comb += source.ready.eq(1)
        for index, (queue, sink) in enumerate(zip(queues, self.ports.sinks, strict=True)):
            m.submodules[f"queue_{index}"] = queue
            chosen = (source.payload.kind ^ self.swap) == index
            with m.If(~queue.w_rdy):
                m.d.comb += source.ready.eq(0)  # either queue full stops the source, whatever the flit: registered
            m.d.comb += [
                queue.w_data.eq(source.payload.as_value()),
                queue.w_en.eq(source.valid & source.ready & chosen),
                sink.payload.as_value().eq(queue.r_data),
                sink.valid.eq(queue.r_rdy),
                queue.r_en.eq(sink.ready),
            ]
        return m


def design() -> Router:
    return Router()


SOURCE, SINKS = "ports__source", ("ports__sinks__0", "ports__sinks__1")


def flit(kind: int, number: int) -> dict[str, Any]:
    return {"kind": kind, "body": [number % 256, number // 256 % 256], "offset": {"x": 3, "y": number % 16}}


@cocotb.test()
async def streams_are_found_wherever_they_are_in_the_signature(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    assert list(bench.drivers) == [SOURCE]
    assert sorted(bench.monitors) == sorted(SINKS)
    with pytest.raises(KeyError, match="router has no output stream 'ports__source'; its streams: ports__source,"):
        bench.expect(SOURCE, [0])


@cocotb.test()
async def structs_go_in_and_come_out_by_field_name(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    for swap in (0, 1):
        await bench.reset()
        dut.swap.value = swap
        bench.stall(SINKS[0], Stalls.random(bench.rng, 0.5))
        flits = [flit(bench.rng.getrandbits(1), bench.rng.getrandbits(16)) for _ in range(60)]
        bench.send(SOURCE, flits)
        for index, name in enumerate(SINKS):
            bench.expect(name, [f for f in flits if f["kind"] ^ swap == index])
        await bench.finish()
    received = decode(FLIT, bench.monitors[SINKS[0]].received[-1])
    assert received.kind == Kind.CONTROL
    assert received.offset.x == 3


@cocotb.test()
async def a_mismatch_names_the_fields(dut: Any) -> None:
    bench = await Bench.start(dut, design)
    bench.send(SOURCE, [flit(0, 0x1234)])
    bench.expect(SINKS[0], [flit(0, 0x1235)])
    says = (
        r"router: stream ports__sinks__0, transfer 1 in cycle 2: "
        r"got 0x\w+ = \{kind: 0x0, body: \{0x34, 0x12\}, offset: \{x: 0x3, y: 0x4\}\}, expected .*body: \{0x35, 0x12\}"
    )
    with pytest.raises(BenchError, match=says):
        await bench.finish()


@cocotb.test()
async def any_flit_under_any_stalls_goes_where_it_should(dut: Any) -> None:
    bench = await Bench.start(dut, design)

    async def goes(bits: int, pressure: Stalls) -> None:
        await bench.reset(1)
        bench.send(SOURCE, [bits] * 3)
        bench.expect(SINKS[decode(FLIT, bits).kind], [bits] * 3)
        bench.expect(SINKS[1 - decode(FLIT, bits).kind], [])
        for name in SINKS:
            bench.stall(name, pressure)
        await bench.finish(extra=3)

    await forall(goes, examples=50, bits=payloads(FLIT), pressure=stalls())
