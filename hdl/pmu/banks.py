"""The memory banks: one a lane, each of single-ported sub-arrays, so that a read and a write usually go together."""

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl import ecc
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.access import request_layout


class Bank(wiring.Component):
    """``groups`` single-ported synchronous memories of ``rows / groups`` words.

    - ``write``, ``read``: group and row within the group, enable; both may be set where the groups differ.
    - ``read_data``: the word read, from the second cycle after ``read.enable``, for one cycle.
    """

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        self.word_bits = ecc.code_width(ELEMENT_BITS) if params.ecc else ELEMENT_BITS
        depth = params.rows // params.groups
        place = {"enable": 1, "group": range(params.groups), "row": range(depth)}
        self.memories = [Memory(shape=unsigned(self.word_bits), depth=depth, init=[]) for _ in range(params.groups)]
        super().__init__(
            {
                "write": In(data.StructLayout({**place, "word": self.word_bits})),
                "read": In(data.StructLayout(place)),
                "read_word": Out(self.word_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        group = Signal.like(self.read.group)  # of the word that the memories show
        reading = Signal()
        m.d.sync += reading.eq(self.read.enable)
        with m.If(self.read.enable):
            m.d.sync += group.eq(self.read.group)
        for g, memory in enumerate(self.memories):
            m.submodules[f"group_{g}"] = memory
            writer, reader = memory.write_port(), memory.read_port()
            write = self.write.enable & (self.write.group == g)
            address = Mux(write, self.write.row, self.read.row)  # one port: one address
            m.d.comb += [
                writer.en.eq(write),
                writer.addr.eq(address),
                writer.data.eq(self.write.word),
                reader.en.eq(self.read.enable & (self.read.group == g)),
                reader.addr.eq(address),
            ]
            with m.If(reading & (group == g)):
                m.d.sync += self.read_word.eq(reader.data)
        return m


class Banks(wiring.Component):
    """All banks, the arbitration between a write and a read, and the check of what was read.

    - ``write``, ``read``: taken in the cycle of ``ready``. Where some bank would need one group for both, one of them
      waits (``conflict``), alternately.
    - ``elements``: what was read, bank by bank, in the second cycle after the read was taken.
    - ``corrected``, ``detected``: flipped bits found in each bank, in the same cycle (with ECC).
    """

    LATENCY = 2

    def __init__(self, params: PMUParams) -> None:
        self.params = params
        request = stream.Signature(request_layout(params))
        super().__init__(
            {
                "write": In(request),
                "read": In(request),
                "conflict": Out(1),
                "elements": Out(data.ArrayLayout(ELEMENT_BITS, params.lanes)),
                "corrected": Out(params.lanes),
                "detected": Out(params.lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        params = self.params
        clash, turn = Signal(params.lanes), Signal()
        enabled = Signal(params.lanes)
        banks = [Bank(params) for _ in range(params.lanes)]
        for b, bank in enumerate(banks):
            m.submodules[f"bank_{b}"] = bank
            write, read = self.write.payload.banks[b], self.read.payload.banks[b]
            m.d.comb += [
                clash[b].eq(write.enable & read.enable & (write.group == read.group)),
                enabled[b].eq(self.read.ready & self.read.valid & read.enable),
                bank.write.enable.eq(self.write.ready & self.write.valid & write.enable),
                bank.write.group.eq(write.group),
                bank.write.row.eq(write.row),
                bank.write.word.eq(ecc.encode(write.element) if params.ecc else write.element),
                bank.read.enable.eq(enabled[b]),
                bank.read.group.eq(read.group),
                bank.read.row.eq(read.row),
            ]
        m.d.comb += [
            self.conflict.eq(self.write.valid & self.read.valid & clash.any()),
            self.write.ready.eq(~self.conflict | turn),
            self.read.ready.eq(~self.conflict | ~turn),
        ]
        with m.If(self.conflict):
            m.d.sync += turn.eq(~turn)
        self._check(m, banks, enabled)
        return m

    def _check(self, m: Module, banks: list[Bank], enabled: Signal) -> None:
        """Registers what was read, corrected where there is ECC."""
        stages = [enabled]
        for k in range(2):
            stages.append(Signal.like(enabled, name=f"enabled_{k}"))
            m.d.sync += stages[-1].eq(stages[-2])
        for b, bank in enumerate(banks):
            if not self.params.ecc:
                m.d.comb += self.elements[b].eq(bank.read_word)
                continue
            decoded = ecc.decode(m, bank.read_word, ELEMENT_BITS, f"bank_{b}")
            m.d.comb += [
                self.elements[b].eq(decoded.data),
                self.corrected[b].eq(decoded.corrected & stages[-1][b]),
                self.detected[b].eq(decoded.detected & stages[-1][b]),
            ]
