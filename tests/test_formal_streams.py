"""Proofs of the streamed unit, the stream rules as a formal checker, and what the prover says when it fails."""

from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Assert, Cover, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hdl.arith.streamed import Streamed
from hdl.errors import ParameterError, ToolError
from verif.benches.arithmetic import MultiplyAddInteger
from verif.formal import ProofError, StreamRules, prove
from verif.proofs.streamed import CreditSpecification, OrderSpecification

BITS = 2


def unit(latency: int) -> MultiplyAddInteger:
    return MultiplyAddInteger(BITS, latency)


def multiply_add(operands: Any) -> Any:
    return (operands.a * operands.b + operands.c)[:BITS]


class Overcommitted(Streamed):
    """Starts with one credit more than there are slots."""

    def __init__(self, inner: MultiplyAddInteger) -> None:
        super().__init__(inner)
        self.free = Signal(range(self.room + 2), init=self.room + 1)


class TooSmall(Streamed):
    """Two slots, which Amaranth's buffered queue cannot fill back to back."""

    LEAST_ROOM = 2


@pytest.mark.parametrize(("latency", "room"), [(1, None), (4, None), (3, 3), (2, 9)])
def test_slots_are_conserved_and_nothing_overflows_ever(latency: int, room: int | None) -> None:
    prove(CreditSpecification(Streamed(unit(latency), room)), "streamed_credit", mode="prove", depth=1)


def test_every_result_is_that_of_its_operand_in_the_first_cycles() -> None:
    specification = OrderSpecification(Streamed(unit(2)), multiply_add)
    prove(specification, "streamed_order", mode="bmc", depth=11)


def test_valid_comes_without_ready() -> None:
    prove(CreditSpecification(Streamed(unit(3))), "streamed_patience", mode="cover", depth=10)


def test_one_credit_too_many_is_found_with_a_trace_and_the_source_line() -> None:
    with pytest.raises(
        ProofError, match=r"overcommitted: an assertion fails: \S*proofs/streamed\.py:\d+; trace: "
    ) as e:
        prove(CreditSpecification(Overcommitted(unit(1))), "overcommitted", mode="bmc", depth=10)
    trace = Path(str(e.value).rpartition("trace: ")[2])
    assert trace.stat().st_size > 100


def test_a_room_of_two_would_lose_results_and_is_refused() -> None:
    with pytest.raises(ProofError, match=r"too_small: an assertion fails: \S*proofs/streamed\.py"):
        prove(CreditSpecification(TooSmall(unit(3), 2)), "too_small", mode="bmc", depth=10)
    with pytest.raises(ParameterError, match="streamed unit: room 2 is less than 3 results"):
        Streamed(unit(3), 2)


class Source(wiring.Component):
    """A register in front of a stream, right or with one of three faults."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        byte = stream.Signature(data.StructLayout({"value": 4}))
        super().__init__({"i": In(byte), "o": Out(byte)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        full, value, asked, ticks = Signal(), Signal(4), Signal(), Signal(2)
        m.d.sync += [asked.eq(asked | self.o.ready), ticks.eq(ticks + 1)]
        m.d.comb += [self.i.ready.eq(~full), self.o.valid.eq(full), self.o.payload.value.eq(value)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [full.eq(1), value.eq(self.i.payload.value)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += full.eq(0)
        match self.fault:
            case "drops valid":
                m.d.comb += self.o.valid.eq(full & (ticks != 3))
            case "changes payload":
                m.d.comb += self.o.payload.value.eq(Mux(ticks == 3, 0, value))
            case "waits for ready":
                m.d.comb += self.o.valid.eq(full & asked)
        return m


class SourceRules(wiring.Component):
    def __init__(self, source: Source) -> None:
        self.source = source
        super().__init__(source.signature)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.source = self.source
        connect(m, flipped(self), self.source)
        m.submodules.inputs = StreamRules(self.source.i, assume=True)
        m.submodules.outputs = StreamRules(self.source.o)
        return m


def test_a_right_source_keeps_the_stream_rules() -> None:
    prove(SourceRules(Source("none")), "source", mode="prove", depth=3)
    prove(SourceRules(Source("none")), "source", mode="cover", depth=6)


@pytest.mark.parametrize("fault", ["drops valid", "changes payload"])
def test_a_source_that_breaks_its_promise_fails_the_stream_rules(fault: str) -> None:
    with pytest.raises(ProofError, match=r"an assertion fails: \S*verif/formal\.py"):
        prove(SourceRules(Source(fault)), "faulty_source", mode="bmc", depth=8)


def test_valid_that_waits_for_ready_is_never_covered() -> None:
    with pytest.raises(ProofError, match=r"not reached within 8 cycles: \S*verif/formal\.py"):
        prove(SourceRules(Source("waits for ready")), "waiting_source", mode="cover", depth=8)


class Countdown(wiring.Component):
    """True, but not by induction: nothing says that odd values are unreachable."""

    go: In(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        count = Signal(4)
        with m.If(self.go):
            m.d.sync += count.eq(count + 2)
        m.d.comb += Assert(count != 9)
        return m


class Silent(wiring.Component):
    go: In(1)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.comb += Cover(self.go)
        return m


def test_what_induction_cannot_decide_is_no_proof() -> None:
    prove(Countdown(), "countdown", mode="bmc", depth=10)
    with pytest.raises(ProofError, match="countdown: prove of depth 4 does not decide it; a state that fails"):
        prove(Countdown(), "countdown", mode="prove", depth=4)


def test_both_solvers_are_installed() -> None:
    prove(Countdown(), "countdown", mode="bmc", depth=3, engine="z3")
    with pytest.raises(ParameterError, match="engine 'abc' is unknown, expected one of yices, z3"):
        prove(Countdown(), "countdown", mode="bmc", depth=3, engine="abc")


def test_a_specification_that_asserts_nothing_is_refused() -> None:
    with pytest.raises(ParameterError, match="silent has no assert statement: there is nothing to bmc"):
        prove(Silent(), "silent", mode="bmc", depth=3)
    prove(Silent(), "silent", mode="cover", depth=3)


def test_a_proof_that_takes_too_long_is_no_proof() -> None:
    with pytest.raises(ProofError, match=r"not decided within 0\.05 s"):
        prove(Countdown(), "countdown", mode="bmc", depth=3, timeout_s=0.05)


def test_a_tool_that_fails_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verif.formal._script", lambda *_: "[options]\nmode nonsense\n")
    with pytest.raises(ToolError, match="sby failed on countdown"):
        prove(Countdown(), "countdown", mode="bmc", depth=3)
