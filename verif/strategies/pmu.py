"""Random legal PMU programs whose result does not depend on timing, and the inputs they need."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal, TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from coe_mapping.assembler.pmu import (
    Bit,
    Counter,
    Event,
    Pipeline,
    PMUProgram,
    Region,
    Register,
    ScalarOut,
    Stage,
    immediate,
    modulo,
)
from golden_model.pmu import VectorBeats
from hdl.params import SCALAR_BITS, PMUParams
from hdl.pmu.config import REGISTERS, AddressOp, Mode, Side, bank_shifts
from verif.streams import Stalls

T = TypeVar("T")
Order = Literal["free", "write first", "read first", "buffers"]
STALL_BITS = 16  # longest pattern of stalls
LONGEST = 40  # iterations of a side
ROUNDS = (1, 1, 1, 2, 3)
CHOICES = 400  # bytes, enough for the largest program
DENSE = (0x9E37_79B9, 0x6A09_E667)  # constants whose every bit field is something
BLOCKS = 6  # most buffers handed over
ORDER_TOKEN = 0  # the token that one side sends the other where they run one after the other
BLOCK_TOKEN = 1
BENCH_TOKENS = (2, 3)  # tokens that the bench sends, whenever it likes


@dataclass(frozen=True)
class Held:
    """When the bench holds back each of its streams; ``scalars``: tokens too."""

    data: Stalls
    indices: Stalls
    scalars: Stalls
    outputs: Stalls


@dataclass(frozen=True)
class Case:
    """A program, how its sides are ordered, the scalars it gets, the seed of its data, and stalls.

    ``loop`` is the mask of tokens that the bench sends back into the unit.
    """

    program: PMUProgram
    order: Order
    scalars: tuple[tuple[int, ...], ...]
    data_seed: int
    held: Held

    @property
    def loop(self) -> int:
        used = [i for i, event in enumerate(self.program.token_in) if event is not None and i not in BENCH_TOKENS]
        return sum(1 << i for i in used)

    def vectors(self, params: PMUParams, beats: int, input_number: int) -> VectorBeats:
        """Write data with special floats among it, or indices that mostly lie in the table."""
        rng = np.random.default_rng((self.data_seed, input_number))
        elements: NDArray[Any] = rng.integers(0, 1 << 16, (beats, params.lanes))
        if input_number:
            elements = np.where(rng.random(elements.shape) < 0.9, elements % params.rows, elements)
        else:
            special = rng.choice([0, 0x8000, 0x7F80, 0xFF80, 0x7FC0, 0x7F7F, 0xFFFF, 0x0001, 0x0080], elements.shape)
            elements = np.where(rng.random(elements.shape) < 0.3, special, elements)
        return VectorBeats(elements.astype(np.uint16), rng.integers(0, 2 * params.rows, beats))


class Choices:
    """Decisions read from a byte string, a byte each: one draw an example is many times faster than one a decision.

    A zero byte picks the first option, and past its end the string counts as zeros: it shrinks to the simplest.
    """

    def __init__(self, source: bytes) -> None:
        self._bytes = iter(source)

    def pick(self, options: Sequence[T]) -> T:
        return options[next(self._bytes, 0) * len(options) >> 8]

    def integer(self, low: int, high: int) -> int:
        """``low`` .. ``high``, both included."""
        wide = int.from_bytes(bytes(next(self._bytes, 0) for _ in range(1 if high - low < 256 else 4)), "big")
        return low + (wide * (high - low + 1) >> (8 if high - low < 256 else 32))

    def chance(self, one_in: int) -> bool:
        return self.pick([False] * (one_in - 1) + [True])


def cases(params: PMUParams) -> SearchStrategy[Case]:
    """Legal programs with a defined result; they shrink to one plain row written and read, without stalls.

    All of it is one draw: Hypothesis varies draws of one kind by exchanging them, and would try one program many times.
    """
    return st.binary(min_size=CHOICES, max_size=CHOICES).map(lambda source: case_of(params, Choices(source)))


def case_of(params: PMUParams, c: Choices) -> Case:
    held = _held(c)
    order: Order = c.pick(["write first", "buffers", "read first", "free"])
    outer = _blocks(params, c) if order == "buffers" else []
    buffers = c.integer(1, 3) if order == "buffers" else 1
    alone = c.pick([Side.WRITE, Side.READ]) if order == "free" else Side.NONE
    roles = [c.pick(["none", "none", "limit", "write", "read"]) for _ in range(params.SCALAR_INPUTS)]
    spare = [j for j, role in enumerate(roles) if role == "limit"]
    rows = c.pick([params.rows // buffers, params.rows // buffers, params.rows // 2 // buffers, 3, 1])
    region = Region(c.integer(0, params.rows - rows * buffers), rows)
    split = c.integer(0, params.alu_stages)
    sides: dict[Side, Pipeline | None] = {Side.WRITE: None, Side.READ: None}
    for side, stages in ((Side.WRITE, split), (Side.READ, params.alu_stages - split)):
        if alone in (Side.NONE, side):
            operands = [j for j, role in enumerate(roles) if role == side.name.lower()]
            pipeline = pipeline_of(params, c, side, region, stages, outer, operands, spare)
            sides[side] = replace(pipeline, buffer=len(outer)) if order == "buffers" else pipeline
    shift = c.integer(0, bank_shifts(params) - 1)
    program = PMUProgram(sides[Side.WRITE], sides[Side.READ], buffers, shift)
    program = with_events(params, c, program, order, roles, len(outer))
    seed = c.integer(0, 255)
    if order in ("buffers", "free"):
        program = with_rounds(program, c.pick(ROUNDS))
    scalars = tuple(_scalars(params, role, seed + j) for j, role in enumerate(roles))
    return Case(program, order, scalars, seed, held)


def with_rounds(program: PMUProgram, rounds: int) -> PMUProgram:
    """The same, so often."""
    write, read = (replace(p, rounds=rounds) if p else None for p in (program.write, program.read))
    return replace(program, write=write, read=read)


def _held(c: Choices) -> Held:
    """A quarter without stalls, a half with stalls of the inputs, a half with stalls of the output."""
    inputs, outputs = c.chance(2), c.chance(2)
    patterns = [
        Stalls(c.integer(0, (1 << STALL_BITS) - 1) if held else 0) for held in (inputs, inputs, inputs, outputs)
    ]
    return Held(*patterns)


def _blocks(params: PMUParams, c: Choices) -> list[int]:
    """Iterations of the loops around a block, which both sides have alike so that they hand over as many buffers."""
    limits: list[int] = []
    for _ in range(c.pick([1, 1, 0, *range(1, params.COUNTERS + 1)])):
        limits.append(c.integer(1, max(1, BLOCKS // prod(limits))))
    return limits


def _scalars(params: PMUParams, role: str, seed: int) -> tuple[int, ...]:
    highest = 3 if role == "limit" else 2 * params.rows
    return tuple(int(x) for x in np.random.default_rng(seed).integers(0, highest + 1, LONGEST * max(ROUNDS)))


def pipeline_of(
    params: PMUParams,
    c: Choices,
    side: Side,
    region: Region,
    stages: int,
    outer: Sequence[int],
    operands: list[int],
    spare: list[int],
) -> Pipeline:
    """One side. ``outer``: iterations of the first loops; ``spare``: inputs left for limits, used up."""
    strides = [params.lanes, 1, 0, 3, params.lanes + 1, 2 * params.lanes]
    counters = [Counter(limit, c.pick(strides)) for limit in outer]
    total = prod(outer)
    for _ in range(c.integer(0, params.COUNTERS - len(outer))):
        if spare and total * 3 <= LONGEST and c.chance(2):
            counters.append(Counter(0, c.pick(strides), spare.pop()))
            total *= 3
        else:
            limit = min(c.integer(1, 6), max(1, LONGEST // total))
            counters.append(Counter(limit, c.pick(strides)))
            total *= limit
    mode = c.pick([Mode.ROW, Mode.ROW, Mode.COLUMN, Mode.LOOKUP if side is Side.READ else Mode.COLUMN])

    def register(one_in: int) -> int | None:
        return c.pick([1, 2, 3, 0]) if c.chance(one_in) else None

    low = c.pick([0, 1, c.integer(0, params.lanes * 4)]) if c.chance(4) else None
    widths = [2 * params.lanes, params.lanes, 1, 7, params.lanes * params.rows]
    lanes = range(params.lanes)
    permutations: list[Any] = [None, None, tuple(reversed(lanes)), tuple(c.pick(lanes) for _ in lanes)]
    return Pipeline(
        region=region,
        counters=tuple(counters),
        registers=tuple(
            register_of(params, c, k, len(counters), operands, side is Side.WRITE) for k in range(REGISTERS)
        ),
        stages=alu_of(params, c, stages, region.rows),
        address=c.pick([0, 0, 0, 0, 0, 1, 2, 3]),
        tile_row=None if mode is Mode.LOOKUP else register(2),
        limit=register(4),
        sequence=register(2) if side is Side.READ else None,
        keep_range=None if low is None else (low, low + c.pick(widths)),
        keep_bit=Bit(c.integer(0, REGISTERS - 1), c.integer(0, c.pick([4, SCALAR_BITS - 1, SCALAR_BITS - 1])))
        if c.chance(4)
        else None,
        mode=mode,
        pitch=c.pick([1, 2, 3, params.rows]) if mode is Mode.COLUMN else 0,
        convert=c.chance(3),
        permute=c.pick(permutations),
    )


def register_of(
    params: PMUParams, c: Choices, number: int, depth: int, operands: list[int], sequence: bool
) -> Register:
    """Register 0 mostly is an address that starts low; any may be anything."""
    chosen = ~c.integer(0, (1 << depth) - 1) if number == 0 or c.chance(2) else c.integer(0, (1 << depth) - 1)
    addend: Any = c.pick([None, None, *operands, *(["sequence"] if sequence else [])])
    constants = [0, 0, 1, params.lanes, 2 * params.lanes + 1]
    return Register(
        constant=c.pick(constants if number == 0 else [*constants, params.lanes - 1, 0xFFFF_FFFF, *DENSE]),
        counters=tuple(i for i in range(depth) if chosen >> i & 1),
        scalar=addend if isinstance(addend, int) else None,
        sequence=addend == "sequence",
    )


def alu_of(params: PMUParams, c: Choices, count: int, rows: int) -> tuple[Stage, ...]:
    """Up to ``count`` stages: any operation, and the ones that bring an address back into the region."""
    chosen: list[Stage] = []
    while len(chosen) < count and not c.chance(5):
        a = c.integer(0, REGISTERS - 1)
        kind = c.pick(["any", "any", "any", "field", "mask", "modulo"])
        if kind == "mask":
            chosen.append(immediate(AddressOp.AND, a, a, (1 << (rows * params.lanes).bit_length() - 1) - 1))
        elif kind == "modulo":
            chosen += modulo(a, a, c.pick([7, 1, params.lanes, 3, rows * params.lanes, 10]), (a + 1) % REGISTERS)
        elif kind == "field":
            field = stage_of(params, c)
            op = c.pick([AddressOp.EXTRACT, AddressOp.SHIFT_SET])
            shift, width = c.integer(0, SCALAR_BITS - 1), c.integer(0, SCALAR_BITS)
            chosen.append(replace(field, op=op, shift=shift, width=width))
        else:
            chosen.append(stage_of(params, c))
    return tuple(chosen[:count])


def stage_of(params: PMUParams, c: Choices) -> Stage:
    register = range(REGISTERS)
    constants = [1, 2, 0, params.lanes, 3, params.rows * params.lanes - 1, 0xFFFF_FFFF, 0x1234_5678]
    return Stage(
        op=c.pick(list(AddressOp)),
        destination=c.pick([1, 2, 3, 0]),
        a=c.pick(register),
        b=c.pick(register),
        c=c.pick(register),
        b_constant=c.chance(2),
        constant=c.pick(constants),
        shift=c.pick([0, 1, 2, 5, 31]),
        width=c.pick([4, 3, 8, 32, 0]),
        increment=c.chance(2),
    )


def with_events(
    params: PMUParams, c: Choices, program: PMUProgram, order: Order, roles: list[str], boundary: int
) -> PMUProgram:
    """Adds scalars, and tokens: those that order the sides, and others that the bench sends and takes."""
    present = [side for side in (Side.WRITE, Side.READ) if program.side(side) is not None]

    def event(side: Side) -> Event:
        pipeline = program.side(side)
        return Event(side, c.integer(0, len(pipeline.counters) if pipeline else 0))

    def sometimes() -> Event | None:
        return event(c.pick(present)) if c.chance(2) else None

    used = {side.name.lower(): side for side in present}
    scalar_in = tuple(event(used[role]) if role in used else None for role in roles)
    token_in: list[Event | None] = [None, None, sometimes(), sometimes()]
    token_out: list[Event | None] = [None, None, sometimes(), sometimes()]
    if order in ("write first", "read first"):
        leader, follower = (Side.WRITE, Side.READ) if order == "write first" else (Side.READ, Side.WRITE)
        token_out[ORDER_TOKEN], token_in[ORDER_TOKEN] = Event(leader, 0), Event(follower, 0)
    if order == "buffers" and c.chance(2):
        token_out[BLOCK_TOKEN], token_in[BLOCK_TOKEN] = Event(Side.WRITE, boundary), Event(Side.READ, boundary)
    scalar_out = tuple(
        ScalarOut(e.side, e.boundary, c.integer(0, REGISTERS - 1)) if e else None
        for e in (sometimes() or sometimes() for _ in range(params.SCALAR_OUTPUTS))
    )
    return replace(
        program, scalar_in=scalar_in, scalar_out=scalar_out, token_in=tuple(token_in), token_out=tuple(token_out)
    )
