"""The header: counters, operands and the decision, every cycle, whether the next iteration may start."""

from typing import Any

from amaranth.hdl import Cat, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.clock_gate import gated_domain
from hdl.control.counters import CounterChain
from hdl.control.tokens import TokenCounter
from hdl.params import ELEMENT_BITS, SCALAR_BITS, PCUParams
from hdl.pcu.config import COUNTERS, REGISTERS, SHARED, STALL_CAUSES, Mode, SharedSource, pcu_layout
from hdl.pcu.inputs import BroadcastBuffer, InitialBuffer, ScalarInput, VectorInput, lane_words
from hdl.pcu.passes import resting
from hdl.streams import SEQUENCE_BITS, scalar_stream, vector_stream


def context_layout(params: PCUParams) -> data.StructLayout:
    """What an emitting iteration sends beside its vectors to the tail and the outputs.

    ``margin``: the highest lane that the mask keeps. ``final``: no result of this start follows. The rest are events,
    and values for the tail and the outputs.
    """
    return data.StructLayout(
        {
            "shared": data.ArrayLayout(SCALAR_BITS, SHARED),
            "margin": SCALAR_BITS,
            "sequence": SEQUENCE_BITS,
            "vector_out": params.VECTOR_OUTPUTS,
            "scalar_out": params.SCALAR_OUTPUTS,
            "token_out": params.TOKENS,
            "final": 1,
        }
    )


def step_layout(params: PCUParams) -> data.StructLayout:
    """What an iteration carries through the body.

    ``first``: it begins its accumulation group; ``emit``: a result leaves; ``slot``: the accumulator it works on.
    """
    return data.StructLayout({"first": 1, "emit": 1, "slot": range(params.interleave)})


class Header(wiring.Component):
    """Issues iterations, at most one a cycle.

    An iteration issues when every operand it needs stands at the head of its input, its tokens have come, its
    accumulator is not in flight, and room for its result is reserved. From then on nothing stalls. With more than one
    pass a SIMD iteration issues that many cycles after the one before, at the earliest.

    - ``issue`` stands with ``step``, ``registers``, ``broadcast``, ``initial`` and ``context`` for one cycle.
    - ``emits``: in the cycle before, an issue that will emit; ``room``: it may.
    - ``flush`` empties the inputs and forgets tokens.
    - ``stalls``: one of the causes, in the order of
      :data:`hdl.pcu.config.STALL_CAUSES`, in each cycle in which an iteration waits.
    """

    def __init__(self, params: PCUParams, distances: dict[Mode, int], gated: bool = False) -> None:
        """``distances``: in each mode, least cycles between issues that accumulate into one slot; ``gated``: what only
        the SIMD body needs is clocked in its mode only (:mod:`hdl.clock_gate`)."""
        self.params, self.distances, self.gated = params, distances, gated
        super().__init__(
            {
                "config": In(pcu_layout(params)),
                "start": In(1),
                "flush": In(1),
                "vector_in": In(vector_stream(params.lanes)).array(params.VECTOR_INPUTS),
                "scalar_in": In(scalar_stream()).array(params.SCALAR_INPUTS),
                "token_in": In(params.TOKENS),
                "room": In(1),
                "emits": Out(1),
                "issue": Out(1),
                "step": Out(step_layout(params)),
                "registers": Out(data.ArrayLayout(lane_words(params), REGISTERS)),
                "vector": Out(lane_words(params)),
                "broadcast": Out(data.ArrayLayout(ELEMENT_BITS, params.stages)),
                "initial": Out(data.ArrayLayout(lane_words(params), params.stages)),
                "context": Out(context_layout(params)),
                "busy": Out(1),
                "fires": Out(1),
                "stalls": Out(len(STALL_CAUSES)),
                "token_lost": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        systolic, simd = Signal(), Signal()
        m.d.comb += [systolic.eq(config.mode == Mode.SYSTOLIC), simd.eq(~systolic)]
        m.submodules.chain = chain = CounterChain(COUNTERS, self.params.SCALAR_INPUTS)
        m.d.comb += [chain.config.eq(config.chain), chain.start.eq(self.start), self.busy.eq(chain.busy)]

        step = self._step(m, chain)
        fire = self.fires
        missing_vectors, heads = self._vectors(m, chain, fire, systolic, step)
        missing_scalars, scalars = self._scalars(m, chain, fire)
        missing_token = self._tokens(m, chain, fire)
        conflict = self._conflict(m, fire, systolic, step)
        conflict |= simd & resting(m, "simd", fire, self.params.passes - 1)
        no_room = step.emit & ~self.room

        causes = Cat(missing_vectors, missing_scalars, missing_token, conflict, no_room)
        waiting = chain.valid & causes.any()
        first_cause = Signal.like(causes)
        m.d.comb += [
            fire.eq(chain.valid & ~causes.any()),
            chain.step.eq(fire),
            self.emits.eq(fire & step.emit),
            first_cause.eq(causes & (~causes + 1)),
            self.stalls.eq(Cat(Mux(waiting, first_cause, 0), chain.busy & ~chain.valid)),
        ]
        m.d.sync += self.issue.eq(fire)
        with m.If(fire):
            m.d.sync += self.step.eq(step)
            m.d.sync += self._context(chain, self._shared(m, chain, scalars))
        self._load(
            m, fire, systolic, [Mux(p.enable, h.as_value(), 0) for p, h in zip(config.vector_in, heads, strict=True)]
        )
        return m

    def _load(self, m: Module, fire: Value, systolic: Value, heads: list[Value]) -> None:
        """The registers of the SIMD body, of which the systolic one has the first. With a gate it has one of its own,
        so that what follows the others stands still in systolic mode."""
        if not self.gated:
            m.d.comb += self.vector.eq(self.registers[0])
            with m.If(fire):
                m.d.sync += [register.eq(head) for register, head in zip(self.registers, heads, strict=True)]
            return
        gated_domain(m, "wide", ~systolic)
        with m.If(fire):
            m.d.sync += self.vector.eq(heads[0])
            m.d["wide"] += [register.eq(head) for register, head in zip(self.registers, heads, strict=True)]

    def _step(self, m: Module, chain: CounterChain) -> Any:
        """Flags of the iteration that stands."""
        group = self.config.group
        step = Signal(step_layout(self.params))
        inner = self._innermost(m, chain.index)
        m.d.comb += [
            step.first.eq((chain.at_first | ~group.counters).all()),
            step.emit.eq(group.running | (chain.at_last | ~group.counters).all()),
            step.slot.eq(Mux(group.slotted, inner, 0)),
        ]
        return step

    def _innermost(self, m: Module, values: Any) -> Signal:
        """The element of the innermost counter."""
        chosen = Signal.like(values[0], name="innermost")
        with m.Switch(self.config.chain.depth):
            for depth in range(1, COUNTERS + 1):
                with m.Case(depth):
                    m.d.comb += chosen.eq(values[depth - 1])
        return chosen

    def _vectors(self, m: Module, chain: CounterChain, fire: Value, systolic: Value, step: Any) -> tuple[Value, Any]:
        """Inputs that the iteration still waits for, and the heads of all."""
        inputs = []
        for j, port in enumerate(self.config.vector_in):
            vector = VectorInput(self.params)
            m.submodules[f"vector_in_{j}"] = ResetInserter(self.flush)(vector)
            wiring.connect(m, wiring.flipped(self.vector_in[j]), vector.stream)
            m.d.comb += vector.wide.eq(port.wide)
            inputs.append(vector)
        broadcast, initial = self._buffers(m, chain, fire, systolic, step, inputs)
        buffered = {1: broadcast.pop, 2: initial.pop_vector}  # in systolic mode these inputs feed buffers
        needs = {1: ~broadcast.valid, 2: self.config.systolic.initial & step.first & ~initial.valid}
        missing = []
        for j, (port, vector) in enumerate(zip(self.config.vector_in, inputs, strict=True)):
            by_head = fire & port.enable & _at(chain.last, port.pop)
            no_head = port.enable & ~vector.valid
            m.d.comb += vector.pop.eq(Mux(systolic, buffered[j], by_head) if j in buffered else by_head)
            missing.append(Mux(systolic, needs[j], no_head) if j in needs else no_head)
        return Cat(missing), [vector.head for vector in inputs]

    def _buffers(self, m: Module, chain: CounterChain, fire: Value, systolic: Value, step: Any, inputs: Any) -> Any:
        """Broadcast and initial values of the systolic body."""
        config = self.config.systolic
        broadcast, initial = BroadcastBuffer(self.params), InitialBuffer(self.params)
        m.submodules.broadcast = ResetInserter(self.flush)(broadcast)
        m.submodules.initial = ResetInserter(self.flush)(initial)
        pass_ends = ~self.config.group.slotted | _at(chain.last, (self.config.chain.depth - 1).as_unsigned()[:3])
        m.d.comb += [
            broadcast.enable.eq(systolic),
            broadcast.rows.eq(config.rows),
            broadcast.columns.eq(config.columns),
            broadcast.beat_valid.eq(inputs[1].valid),
            broadcast.beat.eq(inputs[1].head),
            broadcast.advance.eq(fire & systolic & pass_ends),
            broadcast.tile_end.eq(_at(chain.last, config.tile)),
            initial.enable.eq(systolic & config.initial),
            initial.rows.eq(config.rows),
            initial.vector_valid.eq(inputs[2].valid),
            initial.vector.eq(inputs[2].head),
            initial.pop.eq(fire & systolic & config.initial & step.first),
        ]
        with m.If(fire & systolic):
            m.d.sync += self.broadcast.eq(broadcast.values)
            with m.If(step.first):
                m.d.sync += self.initial.eq(Mux(config.initial, initial.head.as_value(), 0))
        return broadcast, initial

    def _scalars(self, m: Module, chain: CounterChain, fire: Value) -> tuple[Value, list[Value]]:
        missing, heads = [], []
        for j, port in enumerate(self.config.scalar_in):
            scalar = ScalarInput(self.params)
            m.submodules[f"scalar_in_{j}"] = ResetInserter(self.flush)(scalar)
            wiring.connect(m, wiring.flipped(self.scalar_in[j]), scalar.stream)
            limit = chain.limits[j]
            m.d.comb += [
                limit.valid.eq(scalar.valid),
                limit.payload.eq(scalar.head),
                scalar.pop.eq((limit.valid & limit.ready) | (fire & port.enable & _at(chain.last, port.pop))),
            ]
            missing.append(port.enable & ~scalar.valid)
            heads.append(scalar.head)
        return Cat(missing), heads

    def _tokens(self, m: Module, chain: CounterChain, fire: Value) -> Value:
        """Whether the iteration waits for a token."""
        missing, lost = [], []
        for i, port in enumerate(self.config.token_in):
            m.submodules[f"token_in_{i}"] = counter = TokenCounter()
            due = port.enable & _at(chain.first, port.boundary)
            m.d.comb += [
                counter.load.eq(self.flush),
                counter.put.eq(self.token_in[i]),
                counter.take.eq(fire & due),
            ]
            missing.append(due & ~counter.available)
            lost.append(counter.overflow)
        m.d.comb += self.token_lost.eq(Cat(lost).any())
        return Cat(missing).any()

    def _conflict(self, m: Module, fire: Value, systolic: Value, step: Any) -> Value:
        """Whether the accumulator that the iteration continues is still in flight."""
        history = [(Signal(name=f"issued_{k}"), Signal.like(step.slot, name=f"slot_{k}")) for k in range(self._reach)]
        newer = (fire, step.slot)
        matches = []
        for k, (issued, slot) in enumerate(history):
            m.d.sync += [issued.eq(newer[0]), slot.eq(newer[1])]
            newer = (issued, slot)
            counts = [mode for mode, distance in self.distances.items() if k < distance - 1]
            relevant = systolic if counts == [Mode.SYSTOLIC] else ~systolic if counts == [Mode.SIMD] else 1
            matches.append(issued & (slot == step.slot) & relevant)
        return Cat(matches).any() & ~step.first

    @property
    def _reach(self) -> int:
        return max(self.distances.values()) - 1

    def _shared(self, m: Module, chain: CounterChain, scalars: list[Value]) -> list[Value]:
        """The shared values of the iteration that stands."""
        shared = []
        for k in range(SHARED):
            value = Signal(SCALAR_BITS, name=f"shared_{k}")
            with m.Switch(self.config.shared[k]):
                for number, source in enumerate([*chain.value, *scalars], start=SharedSource.COUNTER_0.value):
                    with m.Case(number):
                        m.d.comb += value.eq(source)
            shared.append(value)
        return shared

    def _context(self, chain: CounterChain, shared: list[Value]) -> list[Any]:
        config, mask, context = self.config, self.config.tail.mask, self.context
        moved = [
            Mux(used, value[:SEQUENCE_BITS], 0)
            for used, value in zip(config.sequence.counters, chain.value, strict=True)
        ]
        return [
            Cat(context.shared).eq(Cat(shared)),
            context.margin.eq(mask.constant + choose(shared, mask.plus) - choose(shared, mask.minus)),
            context.sequence.eq(sum(moved, start=config.sequence.constant)),
            context.final.eq(chain.last[0]),
            *(
                getattr(context, kind).eq(Cat(port.enable & _at(chain.last, port.boundary) for port in ports))
                for kind, ports in (
                    ("vector_out", config.vector_out),
                    ("scalar_out", config.scalar_out),
                    ("token_out", config.token_out),
                )
            ),
        ]


def choose(shared: Any, choice: Value) -> Value:
    """Shared value ``choice`` - 1, or 0."""
    result: Value = Mux(choice == 1, shared[0], 0)
    for k in range(1, SHARED):
        result = Mux(choice == k + 1, shared[k], result)
    return result


def _at(flags: Value, boundary: Value) -> Value:
    """The flag of a boundary."""
    return flags.bit_select(boundary, 1)
