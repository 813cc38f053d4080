"""Wormhole crossbar: packets of flits from any input to any output."""

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.once import once
from hdl.tln.arbiter import RoundRobin
from hdl.tln.slice import Slice


def routed(flit: Any, outputs: int) -> data.StructLayout:
    """A flit and where it goes, one bit an output, one of them set; the same for all flits of a packet."""
    return data.StructLayout({"flit": flit, "target": outputs})


class Crossbar(wiring.Component):
    """``i[k].payload.target`` says which output the flit goes to; flits have a member ``last`` that ends a packet.

    - Latency: 2 cycles. Throughput: one flit a cycle at every output and from every input.
    - Packets are not interleaved. Round robin between packets at every output, so every input that waits is served
      after at most one packet of each other input.
    - Order is kept from an input to an output. An input whose head cannot go holds up what is behind it, nothing else.
    - All outputs are registered.
    """

    def __init__(self, flit: data.StructLayout, inputs: int, outputs: int) -> None:
        self.flit, self.inputs, self.outputs = flit, inputs, outputs
        super().__init__(
            {
                "i": In(stream.Signature(routed(flit, outputs))).array(inputs),
                "o": Out(stream.Signature(flit)).array(outputs),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        heads = []
        for k, port in enumerate(self.i):
            m.submodules[f"input_{k}"] = stage = once(Slice, routed(self.flit, self.outputs))
            connect(m, flipped(port), stage.i)
            heads.append(stage.o)
        taken = [self._output(m, o, heads) for o in range(self.outputs)]
        for k, head in enumerate(heads):
            m.d.comb += head.ready.eq(Cat(grants[k] for grants in taken).any())
        return m

    def _output(self, m: Module, o: int, heads: list[Any]) -> Signal:
        """Arbitrates for output ``o``; returns which input's flit it takes in this cycle."""
        m.submodules[f"arbiter_{o}"] = arbiter = once(RoundRobin, self.inputs)
        m.submodules[f"output_{o}"] = stage = once(Slice, self.flit)
        connect(m, stage.o, flipped(self.o[o]))
        wanted, chosen, taken = (Signal(self.inputs, name=f"{name}_{o}") for name in ("wanted", "chosen", "taken"))
        inside = Signal(self.inputs, name=f"inside_{o}")  # the input whose packet has begun here and not ended
        m.d.comb += [
            wanted.eq(Cat(head.valid & head.payload.target[o] for head in heads)),
            arbiter.requests.eq(wanted),
            chosen.eq(arbiter.grant),
            arbiter.take.eq(stage.i.ready & ~inside.any()),
            stage.i.valid.eq((wanted & chosen).any()),
            taken.eq(wanted & chosen & stage.i.ready.replicate(self.inputs)),
        ]
        with m.If(inside.any()):
            m.d.comb += chosen.eq(inside)
        # by number: a selection by one-hot bits makes a simulator copy every input in every cycle
        number = Signal(range(self.inputs), name=f"number_{o}")
        for k in range(self.inputs):
            with m.If(chosen[k]):
                m.d.comb += number.eq(k)
        m.d.comb += stage.i.payload.eq(Array(head.payload.flit.as_value() for head in heads)[number])
        with m.If(stage.i.valid & stage.i.ready):
            with m.If(stage.i.payload.last):
                m.d.sync += inside.eq(0)
            with m.Else():
                m.d.sync += inside.eq(chosen)
        return taken
