"""The chain of nested counters that drives every PCU, PMU and AGCU program (SN40L section IV-A)."""

from types import SimpleNamespace

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hdl.params import SCALAR_BITS
from hdl.streams import scalar_stream

COUNT_BITS = 24
"""Width of limits and indices: 16 million iterations a counter."""

ROUND_BITS = 12
"""Width of the number of rounds."""


def counter_layout(scalar_inputs: int) -> data.StructLayout:
    """One counter: it takes ``limit`` values 0, stride, 2 * stride, ...

    ``source`` 0 takes the limit from the configuration; j + 1 pops it from scalar input j whenever the loop is entered.
    """
    return data.StructLayout({"limit": COUNT_BITS, "stride": COUNT_BITS, "source": range(scalar_inputs + 1)})


def chain_layout(counters: int, scalar_inputs: int) -> data.StructLayout:
    """A chain: counter 0 is the outermost loop, ``depth`` - 1 the innermost, the rest are not used.

    All of it runs ``rounds`` times (0 counts as 1): a loop around the program, which no boundary and no value shows.
    """
    counter = counter_layout(scalar_inputs)
    return data.StructLayout(
        {
            "depth": range(counters + 1),
            "counters": data.ArrayLayout(counter, counters),
            "rounds": ROUND_BITS,
        }
    )


class Turns(wiring.Component):
    """What a step would do: which counter would move one on, and which loops would begin anew.

    Whether there is a step is known late in the cycle, this is not. A component of its own, so that a synthesiser that
    is told to keep it does not let the one wait for the other (``verif/ecp5.py``).
    """

    def __init__(self, counters: int) -> None:
        self.counters = counters
        super().__init__(
            {"used": In(counters), "at_last": In(counters), "moves": Out(counters), "wraps": Out(counters)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for i in range(self.counters):
            m.d.comb += [
                self.moves[i].eq(self.used[i] & ~self.at_last[i] & self.at_last[i + 1 :].all()),
                self.wraps[i].eq(self.moves[:i].any()),
            ]
        return m


class CounterChain(wiring.Component):
    """Up to ``counters`` nested loops, one iteration a cycle.

    - ``start``: one-cycle pulse, the first iteration stands from the next cycle on (later where limits are popped).
    - ``valid``: the outputs describe an iteration; ``step`` moves to the next one (ignored while not valid).
    - ``index``, ``value``: position of each loop, and position times stride (modulo 2**32).
    - ``first[b]``, ``last[b]``: every counter from ``b`` inwards stands at its first (last) position. ``b`` equal to
      the depth is true in every iteration, ``b`` = 0 once in a round: a *boundary*, by which all events are placed.
    - ``first_round``, ``last_round``: of the iteration that stands.
    - ``at_first``, ``at_last``: the same of each counter alone; counters not in the chain always stand at both.
    - ``busy``: from ``start`` until the step that leaves the last iteration.
    - Throughput: one iteration a cycle; each popped limit costs one more when its loop is entered. Counters that pop
      from one input do so outermost first. A limit of zero counts as one: a loop body runs at least once.
    - Outputs are registers, or a few gates on registers: nothing depends on an input of the same cycle.
    """

    def __init__(self, counters: int, scalar_inputs: int) -> None:
        self.counters, self.scalar_inputs = counters, scalar_inputs
        super().__init__(
            {
                "config": In(chain_layout(counters, scalar_inputs)),
                "start": In(1),
                "limits": In(scalar_stream()).array(scalar_inputs),
                "step": In(1),
                "valid": Out(1),
                "busy": Out(1),
                "index": Out(data.ArrayLayout(COUNT_BITS, counters)),
                "value": Out(data.ArrayLayout(SCALAR_BITS, counters)),
                "at_first": Out(counters),
                "at_last": Out(counters),
                "first": Out(counters + 1),
                "last": Out(counters + 1),
                "first_round": Out(1),
                "last_round": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n = self.counters
        used, popped = Signal(n), Signal(n)  # counters in the chain, and those whose limit comes from a scalar input
        advance, enter = Signal(n), Signal(n)  # counters that move one on, and loops that begin anew, on this edge
        waiting = Signal(n)  # loops that have begun but whose limit is still to be popped
        at_first, at_last = Signal(n, init=-1), Signal(n, init=-1)
        m.submodules.turns = turns = Turns(n + 1)  # the rounds are the loop around all others
        move, ends = Signal(), Signal()
        m.d.comb += [
            move.eq(self.valid & self.step),
            ends.eq(move & at_last.all() & self.last_round),
            turns.used.eq(Cat(1, used)),
            turns.at_last.eq(Cat(self.last_round, at_last)),
        ]
        for i in range(n):
            m.d.comb += [
                used[i].eq(self.config.depth > i),
                popped[i].eq(used[i] & (self.config.counters[i].source != 0)),
                advance[i].eq(move & turns.moves[i + 1]),
                enter[i].eq(self.start | (move & turns.wraps[i + 1])),
                self.first[i].eq(at_first[i:].all()),
                self.last[i].eq(at_last[i:].all()),
            ]
        m.d.comb += [self.first[n].eq(1), self.last[n].eq(1), self.at_first.eq(at_first), self.at_last.eq(at_last)]

        limit = self._pop_limit(m, waiting)
        for i in range(n):
            self._counter(
                m, i, advance[i], enter[i], used[i], waiting[i] & ~waiting[:i].any(), limit, at_first, at_last
            )

        self._rounds(m, move & turns.moves[0])
        waits = Mux(self.start, popped.any(), (turns.wraps[1:] & popped).any())
        with m.If(self.start | (move & ~ends)):
            m.d.sync += [self.busy.eq(1), self.valid.eq(~waits), waiting.eq(enter & popped)]
        with m.Elif(move):
            m.d.sync += [self.busy.eq(0), self.valid.eq(0)]
        with m.Elif(limit.valid):
            m.d.sync += [waiting.eq(waiting & (waiting - 1)), self.valid.eq((waiting & (waiting - 1)) == 0)]
        return m

    def _rounds(self, m: Module, advance: Value) -> None:
        """Where the program stands among its rounds."""
        left = Signal(ROUND_BITS, name="rounds_left")
        with m.If(self.start):
            m.d.sync += [left.eq(self.config.rounds), self.first_round.eq(1)]
            m.d.sync += self.last_round.eq(self.config.rounds <= 1)
        with m.Elif(advance):
            m.d.sync += [left.eq(left - 1), self.first_round.eq(0), self.last_round.eq(left == 2)]

    def _pop_limit(self, m: Module, waiting: Signal) -> SimpleNamespace:
        """Pops the scalar that the outermost waiting counter wants; at most one a cycle."""
        limit = SimpleNamespace(valid=Signal(name="limit_valid"), value=Signal(COUNT_BITS, name="limit_value"))
        outermost = [waiting[i] & ~waiting[:i].any() for i in range(self.counters)]
        offered = []
        for j, port in enumerate(self.limits):
            wanted = [first & (self.config.counters[i].source == j + 1) for i, first in enumerate(outermost)]
            m.d.comb += port.ready.eq(Cat(wanted).any())
            offered.append(port.ready & port.valid)
            with m.If(port.ready):
                m.d.comb += limit.value.eq(port.payload)
        m.d.comb += limit.valid.eq(Cat(offered).any())
        return limit

    def _counter(
        self,
        m: Module,
        i: int,
        advance: Value,
        enter: Value,
        used: Value,
        load: Value,
        limit: SimpleNamespace,
        at_first: Signal,
        at_last: Signal,
    ) -> None:
        """One counter: where it stands, and how many positions are left, that one included."""
        config = self.config.counters[i]
        left = Signal(COUNT_BITS, name=f"left_{i}")
        with m.If(enter):
            m.d.sync += [self.index[i].eq(0), self.value[i].eq(0), at_first[i].eq(1)]
            m.d.sync += [left.eq(config.limit), at_last[i].eq(~used | (config.limit <= 1))]
        with m.Elif(advance):
            m.d.sync += [self.index[i].eq(self.index[i] + 1), self.value[i].eq(self.value[i] + config.stride)]
            m.d.sync += [left.eq(left - 1), at_first[i].eq(0), at_last[i].eq(left == 2)]
        with m.If(load & limit.valid):
            m.d.sync += [left.eq(limit.value), at_last[i].eq(limit.value <= 1)]
