"""Random legal programs of a socket: loads, buffers, compute units, multicasts and stores, in pipelines of any form.

A program is drawn as a recipe, a list of small integers that is easy to shrink, and built by the same kernels as real
models. Every matrix is given random data; what matters is that golden and RTL agree on all of memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from coe_mapping.assembler.pcu import PCUProgram, SequenceId, Simd, Stage, Tail, VectorIn
from coe_mapping.kernels.buffer import Order, buffer
from coe_mapping.kernels.builder import Builder, Rows
from coe_mapping.kernels.dense import groups, product, tiling
from coe_mapping.kernels.looped import in_rounds
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import ELEMENT_BYTES, Binding, Gather, Pattern, Region, Streams
from coe_mapping.kernels.norm import rms_norm, row_order
from coe_mapping.program import Port, Program
from hdl.arith.special_tables import Function
from hdl.errors import ParameterError
from hdl.params import RDUParams
from hdl.pcu.config import Conversion, Operation, Source

FUNCTIONS = (None, Function.SILU, Function.EXP, Function.TANH, Function.SIGMOID, Function.RSQRT)
OPERATIONS = (Operation.ADD, Operation.MULTIPLY, Operation.SUBTRACT, Operation.MAXIMUM)


@dataclass(frozen=True)
class Recipe:
    """``rows`` x ``chunks`` vectors come in; ``steps``: (kind, parameter); ``copies``: results stored so many times;
    ``rounds``: all of it so often, each time elsewhere."""

    rows: int
    chunks: int
    gathered: bool
    steps: tuple[tuple[int, int], ...]
    copies: int
    rounds: int = 1


@dataclass(frozen=True)
class RandomProgram:
    """A program with its regions; ``positions`` holds row numbers, the others anything."""

    program: Program
    bindings: tuple[Binding, ...]
    regions: dict[str, Region]


def recipes() -> SearchStrategy[Recipe]:
    """Recipes that fit a small machine, or nearly."""
    step = st.tuples(st.integers(0, 4), st.integers(0, 11))
    return st.builds(
        Recipe,
        rows=st.integers(1, 7),
        chunks=st.integers(1, 4),
        gathered=st.booleans(),
        steps=st.lists(step, max_size=3).map(tuple),
        copies=st.integers(1, 2),
        rounds=st.integers(1, 3),
    )


def build(params: RDUParams, recipe: Recipe) -> RandomProgram | None:
    """The program of ``recipe``; None if it needs more units than the machine has."""
    try:
        return _Random(params, recipe).build()
    except ParameterError:
        return None


class _Random:
    def __init__(self, params: RDUParams, recipe: Recipe) -> None:
        self.params, self.recipe = params, recipe
        self.b, self.streams = Builder(params, "random"), Streams(params, "random")
        self.lanes, self.beat = params.lanes, params.beat_bytes
        self.regions: dict[str, Region] = {}
        self.count = 0

    def build(self) -> RandomProgram:
        rows = self._load(self.recipe.chunks * self.lanes, gathered=self.recipe.gathered)
        kinds: Sequence[Callable[[Rows, int], Rows]] = (
            self._buffered,
            self._function,
            self._with_another,
            self._product,
            self._norm,
        )
        for kind, parameter in self.recipe.steps:
            rows = kinds[kind](rows, parameter)
        self._store(rows)
        for name, unit in self.streams.programs().items():
            self.b.add(name, unit)
        for source, sink in self.streams.scalar_joins():
            self.b.scalar(source, sink)
        granule, rounds = self.beat * self.params.memory.granule, self.recipe.rounds
        steps = {n: -(-r.bytes // granule) * granule for n, r in self.regions.items() if not n.startswith("positions")}
        program, bindings = in_rounds(self.params.agcu, self.b.program(), tuple(self.streams.bindings()), rounds, steps)
        return RandomProgram(program, bindings, {b.region.name: b.region for b in bindings})

    def _name(self, what: str) -> str:
        self.count += 1
        return f"{what}{self.count}"

    def _region(self, what: str, size: int) -> Region:
        region = Region(self._name(what), size)
        self.regions[region.name] = region
        return region

    def _load(self, width: int, *, gathered: bool = False) -> Rows:
        """Rows from memory, in order or by row numbers that are themselves loaded."""
        blocks, group = groups(self.params, self.recipe.rows)
        row = width * ELEMENT_BYTES
        region = self._region("in", blocks * group * row)
        order = loops(block=blocks, row=group, chunk=width // self.lanes)
        if not gathered:
            strides = {"block": group * row, "row": row, "chunk": self.beat}
            port = self.streams.load(Pattern(region, order, strides, sequence=("row", "chunk")))
            return Rows((port,), blocks, group, width, width)
        numbers = self._region("positions", blocks * group * self.beat)
        numbering = loops(block=blocks, row=group)
        words = self.streams.load(Pattern(numbers, numbering, {"block": group * self.beat, "row": self.beat}, words=1))
        port = self.streams.load(Pattern(region, order, {"chunk": self.beat}, gather=Gather(words, "row", row)))
        rows = Rows((port,), blocks, group, width, width)
        ordered = buffer(self.b, self._name("gathered"), rows, row_order(rows, self.lanes), in_order=True)
        return Rows((ordered,), blocks, group, width, width)

    def _row_by_row(self, rows: Rows) -> Rows:
        port = buffer(self.b, self._name("rows"), rows, row_order(rows, self.lanes))
        return Rows((port,), rows.blocks, rows.group, rows.width, rows.pitch)

    def _buffered(self, rows: Rows, parameter: int) -> Rows:
        """Rows through a buffer of one to three blocks."""
        port = buffer(self.b, self._name("buffer"), rows, row_order(rows, self.lanes), blocks=1 + parameter % 3)
        return Rows((port,), rows.blocks, rows.group, rows.width, rows.pitch)

    def _function(self, rows: Rows, parameter: int) -> Rows:
        """A special function of every element."""
        return self._simd(self._row_by_row(rows), (), FUNCTIONS[parameter % len(FUNCTIONS)], None)

    def _with_another(self, rows: Rows, parameter: int) -> Rows:
        """Element by element with other rows from memory."""
        stage = Stage(OPERATIONS[parameter % len(OPERATIONS)], Source.REGISTER_0, Source.REGISTER_1)
        other = self._load(rows.width)
        return self._simd(self._row_by_row(rows), (stage,), None, other)

    def _simd(self, rows: Rows, stages: tuple[Stage, ...], function: Function | None, other: Rows | None) -> Rows:
        order: Order = row_order(rows, self.lanes)
        every = order.loops.every
        second = VectorIn(pop=every) if other else None
        unit = self.b.add(
            self._name("simd"),
            PCUProgram(
                counters=order.loops.pcu(**order.strides),
                body=Simd(stages=stages),
                vector_in=(VectorIn(pop=every), second, None, None),
                tail=Tail(special=function, conversion=Conversion.BF16),
                sequence=SequenceId(counters=(1, 2)),
                vector_out=(every, None),
            ),
        )
        self.b.vector(rows.sources, Port(unit, 0), weight=order.loops.count)
        if other:
            self.b.vector(other.sources, Port(unit, 1), weight=order.loops.count)
        return Rows((Port(unit),), rows.blocks, rows.group, rows.width, rows.pitch)

    def _product(self, rows: Rows, parameter: int) -> Rows:
        """Times a weight, k and n any numbers."""
        k = max(1, rows.width - parameter % self.lanes)
        t = tiling(self.params, self.recipe.rows, k, 1 + parameter * 3)
        vectors = t.tiles * t.k * t.slots
        region = self._region("weights", vectors * self.beat)
        weights = self.streams.load(Pattern(region, loops(block=t.blocks, vector=vectors), {"vector": self.beat}))
        operand = buffer(self.b, self._name("operand"), rows, t.operand(rows.pitch))
        return product(self.b, self._name("product"), t, operand, weights, pitch=t.width)

    def _norm(self, rows: Rows, parameter: int) -> Rows:
        ordered = self._row_by_row(rows)
        region = self._region("norm", rows.width * ELEMENT_BYTES)
        weight = self.streams.load(Pattern(region, row_order(rows, self.lanes).loops, {"chunk": self.beat}))
        size = max(1, rows.width - parameter % self.lanes)
        return rms_norm(self.b, self._name("norm"), ordered, weight, size=size, epsilon=1e-5)

    def _store(self, rows: Rows) -> None:
        """To memory, once or twice, row by row."""
        ordered = self._row_by_row(rows)
        order = row_order(ordered, self.lanes).loops
        row = rows.width * ELEMENT_BYTES
        for _ in range(self.recipe.copies):
            region = self._region("out", rows.blocks * rows.group * row)
            strides = {"block": rows.group * row, "row": row, "chunk": self.beat}
            sink, _ = self.streams.store(Pattern(region, order, strides))
            self.b.vector(ordered.sources, sink, weight=order.count)
