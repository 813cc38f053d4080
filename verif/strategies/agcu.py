"""Random AGCU programs whose result does not depend on timing, or whose fault is known, and the inputs they need."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from numpy.typing import NDArray

from coe_mapping.assembler.agcu import (
    Access,
    AGCUProgram,
    Bit,
    Counter,
    Event,
    Load,
    Register,
    Segment,
    Stage,
    Store,
    assemble,
    immediate,
)
from golden_model.agcu import run
from golden_model.pmu import VectorBeats
from hdl.agcu.config import streams
from hdl.params import SCALAR_BITS, TIER_SHIFT, RDUParams
from hdl.pmu.config import REGISTERS, AddressOp
from verif.strategies.pmu import Choices

Order = Literal["apart", "store first", "load first"]
LONGEST = 40  # iterations of a stream
ROUNDS = (1, 1, 2, 3)
CHOICES = 600  # bytes, enough for the largest program
REGION = 512  # bytes; each store has one of its own
REGIONS = tuple(tier << TIER_SHIFT | place * REGION for tier, count in ((0, 8), (1, 4)) for place in range(count))
TIERS = {0: 8 * REGION, 1: 4 * REGION}  # bytes
ORDER_TOKEN = 0  # the token that makes one stream wait for another
BENCH_TOKENS = (2, 3)  # tokens that the bench sends, whenever it likes


@dataclass(frozen=True)
class Case:
    """A program, how its streams are ordered, the scalars it gets, and the seed of its data and of its memory."""

    program: AGCUProgram
    order: Order
    scalars: tuple[tuple[int, ...], ...]
    data_seed: int

    @property
    def loop(self) -> int:
        """Mask of tokens that go straight back into the unit."""
        return 0 if self.order == "apart" else 1 << ORDER_TOKEN

    def sequence(self, params: RDUParams) -> list[int]:
        """The order in which a model may run the streams."""
        loads = list(range(params.agcu.loads))
        stores = list(range(params.agcu.loads, streams(params.agcu)))
        return stores + loads if self.order == "store first" else loads + stores

    def vectors(self, params: RDUParams, beats: int, store: int) -> VectorBeats:
        rng = np.random.default_rng((self.data_seed, store))
        elements = rng.integers(0, 1 << 16, (beats, params.lanes)).astype(np.uint16)
        return VectorBeats(elements, rng.integers(0, 1 << 16, beats))

    def memory(self) -> dict[int, NDArray[np.uint8]]:
        rng = np.random.default_rng(self.data_seed)
        return {tier: rng.integers(0, 256, size).astype(np.uint8) for tier, size in TIERS.items()}


def cases(params: RDUParams) -> SearchStrategy[Case]:
    """They shrink to one plain load of one vector."""
    return st.binary(min_size=CHOICES, max_size=CHOICES).map(lambda source: case_of(params, Choices(source)))


def case_of(params: RDUParams, c: Choices) -> Case:
    agcu = params.agcu
    count = streams(agcu)
    order: Order = c.pick(["apart", "store first", "load first"])
    used = [s == 0 or (s == agcu.loads and order != "apart") or not c.chance(4) for s in range(count)]
    roles = [c.pick(["none", "limit", *(f"operand {s}" for s in range(count)), "words"]) for _ in range(4)]
    segments = _segments(params, c, order)
    spare = [j for j, role in enumerate(roles) if role == "limit"]
    wordy = [j for j, role in enumerate(roles) if role == "words"]
    loads: list[Load | None] = []
    stores: list[Store | None] = []
    for s in range(count):
        operands = [j for j, role in enumerate(roles) if role == f"operand {s}"]
        if not used[s]:
            (loads if s < agcu.loads else stores).append(None)
        elif s < agcu.loads:
            words = c.chance(6) and not any(load and load.words for load in loads)
            access = access_of(params, c, s, params.beat_bytes, operands, spare, not words)
            sequence = None if words or c.chance(2) else c.integer(0, REGISTERS - 1)
            loads.append(Load(access, sequence, words))
        else:
            source = wordy.pop() if wordy and c.chance(2) else None
            unit = params.beat_bytes if source is None else SCALAR_BITS // 8
            stores.append(Store(access_of(params, c, s, unit, operands, spare, source is None), source))
    program = AGCUProgram(segments, tuple(loads), tuple(stores))
    program = with_events(params, c, program, order, roles)
    seed = c.integer(0, 255)
    scalars = tuple(_scalars(role, (seed, j)) for j, role in enumerate(roles))
    if order == "apart":  # a token that orders two streams orders them within a round only
        program = with_rounds(params, c, program, scalars)
    return Case(program, order, scalars, seed)


def with_rounds(params: RDUParams, c: Choices, program: AGCUProgram, scalars: Sequence[Sequence[int]]) -> AGCUProgram:
    """The same in several rounds if no access is refused in any of them, for timing would say which is the first."""
    rounds = c.pick(ROUNDS)
    if rounds == 1:
        return program
    steps = [0, params.beat_bytes, 2 * params.beat_bytes, REGION - params.beat_bytes]

    def turned(stream: Any) -> Any:
        return stream and replace(stream, access=replace(stream.access, rounds=rounds, step=c.pick(steps)))

    def carried(events: Sequence[Event | None]) -> tuple[Event | None, ...]:
        return tuple(e and replace(e, carried=e.boundary == 0 and c.chance(2)) for e in events)

    several = replace(
        program,
        loads=tuple(map(turned, program.loads)),
        stores=tuple(map(turned, program.stores)),
        token_in=carried(program.token_in),
        token_out=carried(program.token_out),
    )
    memory = {tier: np.zeros(size, np.uint8) for tier, size in TIERS.items()}
    beats = VectorBeats(np.zeros((LONGEST * rounds, params.lanes), np.uint16), np.zeros(LONGEST * rounds, np.int64))
    outputs = run(params, assemble(params, several), [beats] * params.agcu.stores, scalars, memory)
    return program if any(outputs.faults) else several


def _segments(params: RDUParams, c: Choices, order: Order) -> tuple[Segment, ...]:
    """One a stream, in regions of their own; the first load and the first store share one if they are ordered."""
    agcu = params.agcu
    shift = c.integer(0, len(REGIONS) - 1)
    segments = []
    for s in range(streams(agcu)):
        shared = 0 if order != "apart" and s == agcu.loads else s
        base = REGIONS[(shared * 5 + shift) % len(REGIONS)]
        limit = c.pick([REGION, REGION, REGION, REGION, REGION, REGION - c.integer(0, REGION // 2)])
        granted = not c.chance(16)
        write = s >= agcu.loads
        segments.append(Segment(base, limit, read=granted ^ write, write=granted ^ (not write)))
    return tuple(segments)


def _scalars(role: str, seed: tuple[int, int]) -> tuple[int, ...]:
    highest = {"limit": 3, "words": 0xFFFF_FFFF}.get(role, 20)
    return tuple(int(x) for x in np.random.default_rng(seed).integers(0, highest + 1, LONGEST * max(ROUNDS)))


def access_of(
    params: RDUParams, c: Choices, stream: int, unit: int, operands: list[int], spare: list[int], limited: bool
) -> Access:
    """Offsets that are mostly multiples of ``unit`` bytes within a region; ``spare``: inputs for limits, used up."""
    strides = [unit, unit, 0, 2 * unit, params.memory.granule * unit, 5 * unit, REGION - unit]
    counters: list[Counter] = []
    total = 1
    for _ in range(c.integer(0, params.agcu.COUNTERS)):
        if spare and total * 3 <= LONGEST and c.chance(3):
            counters.append(Counter(0, c.pick(strides), spare.pop()))
            total *= 3
        else:
            limit = min(c.pick([4, 1, 2, 3, 7, 16, 40]), max(1, LONGEST // total))
            counters.append(Counter(limit, c.pick(strides)))
            total *= limit
    registers = tuple(register_of(params, c, k, len(counters), operands, unit) for k in range(REGISTERS))
    mask = immediate(AddressOp.AND, 0, 0, REGION - unit if not c.chance(24) else REGION - 1)
    return Access(
        segment=stream,
        counters=tuple(counters),
        registers=registers,
        stages=(*(stage_of(c, unit) for _ in range(c.integer(0, params.agcu.alu_stages - 1))), mask),
        limit=c.integer(1, REGISTERS - 1) if limited and c.chance(3) else None,
        keep_bit=Bit(c.integer(0, REGISTERS - 1), c.integer(0, 8)) if c.chance(5) else None,
        fence=c.integer(0, len(counters)) if c.chance(5) else None,
    )


def register_of(params: RDUParams, c: Choices, number: int, depth: int, operands: list[int], unit: int) -> Register:
    """Register 0 mostly adds all counters; any may be anything."""
    everything = (1 << depth) - 1
    chosen = everything if number == 0 and not c.chance(3) else c.integer(0, everything)
    constants = [0, unit, 3 * unit, REGION // 2] if number == 0 else [params.lanes, 1, 0, params.lanes - 1, 0xFFFF_FFFF]
    scalar: Any = c.pick([None, *operands, *operands])
    return Register(c.pick(constants), tuple(i for i in range(depth) if chosen >> i & 1), scalar)


def stage_of(c: Choices, unit: int) -> Stage:
    """Mostly the row times the pitch of a gather; otherwise anything."""
    if not c.chance(2):
        return Stage(
            AddressOp.MULTIPLY, c.pick([0, 1]), a=c.pick([0, 1, 2]), constant=c.pick([unit, 3 * unit, 8 * unit])
        )
    registers = range(REGISTERS)
    return Stage(
        op=c.pick(list(AddressOp)),
        destination=c.pick([1, 2, 3, 0]),
        a=c.pick(registers),
        b=c.pick(registers),
        c=c.pick(registers),
        b_constant=c.chance(2),
        constant=c.pick([1, 2, unit, 3, 0xFFFF_FFFF]),
        shift=c.pick([0, 1, 2, 5]),
        width=c.pick([4, 3, 8, 32]),
        increment=c.chance(2),
    )


def with_events(params: RDUParams, c: Choices, program: AGCUProgram, order: Order, roles: list[str]) -> AGCUProgram:
    """Adds scalars and tokens: the one that orders two streams, those the bench sends, those nobody waits for."""
    all_streams = program.streams(params.agcu)
    present = [s for s, stream in enumerate(all_streams) if stream is not None]

    def event(s: int) -> Event:
        stream = all_streams[s]
        return Event(s, c.integer(0, len(stream.access.counters) if stream else 0))

    def sometimes() -> Event | None:
        return event(c.pick(present)) if c.chance(2) else None

    owners = {f"operand {s}": s for s in present}
    token_in: list[Event | None] = [None, None, sometimes(), sometimes()]
    token_out: list[Event | None] = [None, sometimes(), sometimes(), sometimes()]
    if order != "apart":
        store = params.agcu.loads
        leader, follower = (store, 0) if order == "store first" else (0, store)
        token_out[ORDER_TOKEN], token_in[ORDER_TOKEN] = Event(leader, 0), Event(follower, 0)
    words = any(load and load.words for load in program.loads)
    return replace(
        program,
        scalar_in=tuple(event(owners[role]) if role in owners else None for role in roles),
        scalar_out=None if words else sometimes(),
        token_in=tuple(token_in),
        token_out=tuple(token_out),
    )
