"""PCU programs as a tree of plain values, the rules they obey, and their configuration words.

A program that breaks a rule is refused with a :class:`~hdl.errors.ParameterError` that names it. Numbers for the
datapath are 32-bit words: :func:`word` makes one of a float.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from coe_mapping.assembler.address import check_rounds, round_value
from hdl.arith.operations import ReduceOp
from hdl.arith.special_tables import Function
from hdl.config import pack, unpack
from hdl.control.counters import COUNT_BITS
from hdl.params import SCALAR_BITS, PCUParams, require
from hdl.pcu.config import (
    COUNTERS,
    IDENTITY,
    REGISTERS,
    SHARED,
    Conversion,
    Mode,
    Operation,
    ScalarSource,
    SharedSource,
    Source,
    pcu_layout,
)


def word(value: float) -> int:
    """The FP32 bits of ``value``."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


@dataclass(frozen=True)
class Counter:
    """One loop: ``limit`` iterations, or as many as a word popped from scalar input ``popped``."""

    limit: int = 1
    stride: int = 1
    popped: int | None = None


@dataclass(frozen=True)
class VectorIn:
    """A vector operand, popped at boundary ``pop``; ``wide``: 32-bit lanes in two beats, else BF16."""

    pop: int
    wide: bool = False


@dataclass(frozen=True)
class Group:
    """What is accumulated: counters from ``begin`` inwards, but the innermost if ``slotted``.

    ``slotted``: the innermost counter numbers accumulators. ``running``: every iteration emits, not only the last.
    """

    begin: int
    slotted: bool = False
    running: bool = False


@dataclass(frozen=True)
class Systolic:
    """Matrix product: ``rows`` stages; ``columns``: a broadcast beat a k; ``initial``: from vector input 2."""

    rows: int
    columns: bool = False
    initial: bool = False


@dataclass(frozen=True)
class Exchange:
    """Register of lane ``l ^ distance``; with ``shift`` of lane ``l - distance``, the constant where there is none."""

    register: int
    distance: int
    shift: bool = False


@dataclass(frozen=True)
class Stage:
    """One SIMD operation."""

    operation: Operation = Operation.PASS
    a: Source = Source.REGISTER_0
    b: Source = Source.REGISTER_0
    into: int = 0
    condition: int = 0
    accumulate: bool = False
    constant: int = 0
    exchange: Exchange = Exchange(0, 0)


@dataclass(frozen=True)
class Reduce:
    """Reduction of ``register`` over the lanes, and ``over_time`` over each group; ``base``: shared value added to an
    arg's lane."""

    operation: ReduceOp
    register: int = 0
    over_time: bool = False
    base: int | None = None


@dataclass(frozen=True)
class Simd:
    """SIMD stages, and what reduces their result; without ``reduce`` the tail takes ``register``."""

    stages: tuple[Stage, ...] = ()
    reduce: Reduce | None = None
    register: int = 0


@dataclass(frozen=True)
class Number:
    """A shared value, or a constant word."""

    constant: int = 0
    shared: int | None = None


@dataclass(frozen=True)
class Mask:
    """Keeps lanes up to constant + shared ``plus`` - shared ``minus`` (+ stage); the words given replace the others,
    ``before`` the tail's other steps, ``after`` them, or both."""

    constant: int = 0
    plus: int | None = None
    minus: int | None = None
    by_stage: bool = False
    before: int | None = None
    after: int | None = None


@dataclass(frozen=True)
class Tail:
    """The steps of the tail, in this order; None leaves one out. ``clamp`` is (low, high) words."""

    mask: Mask = Mask()
    scale: Number | None = None
    offset: Number | None = None
    special: Function | None = None
    clamp: tuple[int, int] | None = None
    conversion: Conversion = Conversion.NONE
    seed: int = 0


@dataclass(frozen=True)
class SequenceId:
    """Sequence id: constant, plus the values of ``counters``, plus the stage and the beat times their strides."""

    constant: int = 0
    counters: tuple[int, ...] = ()
    stage: int = 0
    beat: int = 0


@dataclass(frozen=True)
class Side:
    """What vector output 1 sends instead of the tail's result: a register of the body."""

    register: int
    wide: bool = False


@dataclass(frozen=True)
class ScalarOut:
    """A scalar output: ``source`` at boundary ``at``."""

    source: ScalarSource
    at: int


@dataclass(frozen=True)
class PCUProgram:
    """One kernel of a PCU. Tuples run over ports; None is a port not used, a number a boundary.

    ``rounds``: how often all of it runs.
    """

    counters: tuple[Counter, ...]
    body: Systolic | Simd
    group: Group | None = None
    vector_in: tuple[VectorIn | None, ...] = (None,) * PCUParams.VECTOR_INPUTS
    scalar_in: tuple[int | None, ...] = (None,) * PCUParams.SCALAR_INPUTS
    token_in: tuple[int | None, ...] = (None,) * PCUParams.TOKENS
    token_out: tuple[int | None, ...] = (None,) * PCUParams.TOKENS
    shared: tuple[SharedSource, ...] = (SharedSource.ZERO,) * SHARED
    tail: Tail = Tail()
    sequence: SequenceId = field(default_factory=SequenceId)
    vector_out: tuple[int | None, ...] = (None,) * PCUParams.VECTOR_OUTPUTS
    side: Side | None = None
    scalar_out: tuple[ScalarOut | None, ...] = (None,) * PCUParams.SCALAR_OUTPUTS
    rounds: int = 1

    @property
    def depth(self) -> int:
        return len(self.counters)


def assemble(params: PCUParams, program: PCUProgram) -> list[int]:
    """The configuration words of ``program``.

    Raises:
        ParameterError: it breaks a rule; the message names it.
    """
    check(params, program)
    return pack(pcu_layout(params), _fields(params, program))


# --- rules ---


def check(params: PCUParams, program: PCUProgram) -> None:
    """Raises ParameterError unless ``program`` is legal on a PCU of these sizes."""
    _check_counters(program)
    _check_boundaries(program)
    _check_shared(program)
    if program.group is not None:
        _check_group(params, program, program.group)
    if isinstance(program.body, Systolic):
        _check_systolic(params, program, program.body)
    else:
        _check_simd(params, program, program.body)


def _check_counters(program: PCUProgram) -> None:
    require(program.depth <= COUNTERS, f"PCU program: {program.depth} counters, there are {COUNTERS}")
    check_rounds(program.rounds, "PCU program")
    require(
        program.rounds == 1 or program.tail.conversion is not Conversion.BF16_STOCHASTIC,
        "PCU program: stochastic rounding goes on from round to round, which no model follows: run one round",
    )
    popped = [c.popped for c in program.counters if c.popped is not None]
    for i, counter in enumerate(program.counters):
        require(
            counter.popped is not None or 1 <= counter.limit < 1 << COUNT_BITS,
            f"counter {i}: a limit of {counter.limit} is not in 1..{(1 << COUNT_BITS) - 1}",
        )
    require(len(popped) == len(set(popped)), "two counters pop their limits from one scalar input; give each its own")
    for j in popped:
        _in_range("limit popped from scalar input", j, PCUParams.SCALAR_INPUTS)
        require(
            program.scalar_in[j] is None,
            f"scalar input {j} gives a counter's limits, so it cannot be an operand too",
        )


def _check_boundaries(program: PCUProgram) -> None:
    places: list[tuple[str, int | None]] = [
        *((f"vector input {j}", port.pop if port else None) for j, port in enumerate(program.vector_in)),
        *((f"scalar input {j}", at) for j, at in enumerate(program.scalar_in)),
        *((f"token input {j}", at) for j, at in enumerate(program.token_in)),
        *((f"token output {j}", at) for j, at in enumerate(program.token_out)),
        *((f"vector output {j}", at) for j, at in enumerate(program.vector_out)),
        *((f"scalar output {j}", port.at if port else None) for j, port in enumerate(program.scalar_out)),
        ("group", program.group.begin if program.group else None),
    ]
    for what, boundary in places:
        require(
            boundary is None or 0 <= boundary <= program.depth,
            f"{what}: boundary {boundary} is not in 0..{program.depth}, the depth of the counter chain",
        )


def _check_shared(program: PCUProgram) -> None:
    for k, source in enumerate(program.shared):
        counter, scalar = source.value - SharedSource.COUNTER_0.value, source.value - SharedSource.SCALAR_0.value
        if 0 <= counter < COUNTERS:
            require(counter < program.depth, f"shared value {k}: counter {counter} is not in the chain")
        if scalar >= 0:
            require(program.scalar_in[scalar] is not None, f"shared value {k}: scalar input {scalar} is not an operand")
    for counter in program.sequence.counters:
        require(0 <= counter < program.depth, f"sequence id: counter {counter} is not in the chain")
    choices = [program.tail.mask.plus, program.tail.mask.minus]
    choices += [number.shared for number in (program.tail.scale, program.tail.offset) if number is not None]
    if isinstance(program.body, Simd) and program.body.reduce is not None:
        choices.append(program.body.reduce.base)
    for choice in choices:
        if choice is not None:
            _in_range("shared value", choice, SHARED)


def _check_group(params: PCUParams, program: PCUProgram, group: Group) -> None:
    if not group.slotted:
        return
    require(group.begin < program.depth, "slots: there is no innermost counter outside the group to number them")
    slot = program.counters[-1]
    require(
        slot.popped is None and slot.limit <= params.interleave,
        f"slots: the innermost counter must have a fixed limit of at most {params.interleave}, the accumulators a lane",
    )


def _check_systolic(params: PCUParams, program: PCUProgram, body: Systolic) -> None:
    require(1 <= body.rows <= params.stages, f"systolic: {body.rows} rows is not in 1..{params.stages}, the stages")
    require(program.group is not None, "systolic: the group of counters that form k is missing")
    assert program.group is not None
    require(not program.group.running, "systolic: accumulators leave when they are finished, not running")
    vectors = program.vector_in
    require(vectors[0] is not None and not vectors[0].wide, "systolic: vector input 0 must give a BF16 operand")
    require(
        all(port is None for port in vectors[1:]),
        "systolic: vector inputs 1 and 2 feed the broadcast and initial buffers and 3 is idle: no operands there",
    )
    require(program.side is None, "systolic: there is no register of the body for vector output 1")
    _check_scalar_sources(program, reduces=False)


def _check_simd(params: PCUParams, program: PCUProgram, body: Simd) -> None:
    require(len(body.stages) <= params.stages, f"SIMD: {len(body.stages)} stages, there are {params.stages}")
    for s, stage in enumerate(body.stages):
        for what, register in (("result", stage.into), ("condition", stage.condition)):
            _in_range(f"stage {s}: {what} register", register, REGISTERS)
        _in_range(f"stage {s}: exchanged register", stage.exchange.register, REGISTERS)
        _in_range(f"stage {s}: exchange distance", stage.exchange.distance, params.lanes)
        require(
            not stage.accumulate or stage.operation in IDENTITY,
            f"stage {s}: {stage.operation.name} cannot accumulate; {', '.join(o.name for o in IDENTITY)} can",
        )
    _in_range("register of the tail", body.register, REGISTERS)
    if body.reduce is not None:
        _in_range("register that is reduced", body.reduce.register, REGISTERS)
    if program.side is not None:
        _in_range("register of vector output 1", program.side.register, REGISTERS)
    require(not program.tail.mask.by_stage, "SIMD: a mask by stage belongs to the systolic body")
    require(program.sequence.stage == 0, "SIMD: a sequence id by stage belongs to the systolic body")
    _check_scalar_sources(program, reduces=body.reduce is not None)


def _check_scalar_sources(program: PCUProgram, reduces: bool) -> None:
    for k, port in enumerate(program.scalar_out):
        wants_index = port is not None and port.source is ScalarSource.INDEX
        require(reduces or not wants_index, f"scalar output {k}: an index needs a reduction")


def _in_range(what: str, value: int, count: int) -> None:
    require(0 <= value < count, f"{what}: {value} is not in 0..{count - 1}")


# --- fields ---


def _fields(params: PCUParams, program: PCUProgram) -> dict[str, Any]:
    body, depth = program.body, program.depth
    group = program.group or Group(depth)
    end = depth - 1 if group.slotted else depth
    fields: dict[str, Any] = {
        "chain": {
            "depth": depth,
            "counters": [
                {
                    "limit": c.limit if c.popped is None else 0,
                    "stride": c.stride,
                    "source": 0 if c.popped is None else c.popped + 1,
                }
                for c in program.counters
            ],
            "rounds": round_value(program.rounds),
        },
        "group": {
            "counters": sum(1 << i for i in range(group.begin, end)),
            "slotted": int(group.slotted),
            "running": int(group.running),
        },
        "vector_in": [
            {"enable": 1, "wide": int(p.wide), "pop": p.pop} if p is not None else {} for p in program.vector_in
        ],
        "scalar_in": [{"enable": 1, "pop": at} if at is not None else {} for at in program.scalar_in],
        "token_in": [_event(at) for at in program.token_in],
        "token_out": [_event(at) for at in program.token_out],
        "shared": list(program.shared),
        "tail": _tail_fields(program.tail),
        "sequence": {
            "constant": program.sequence.constant,
            "counters": sum(1 << c for c in program.sequence.counters),
            "stage": program.sequence.stage,
            "beat": program.sequence.beat,
        },
        "vector_out": [_event(at) for at in program.vector_out],
        "scalar_out": [
            {"enable": 1, "boundary": p.at, "source": p.source} if p is not None else {} for p in program.scalar_out
        ],
    }
    if program.side is not None:
        fields["side"] = {"enable": 1, "register": program.side.register, "wide": int(program.side.wide)}
    if isinstance(body, Systolic):
        fields["mode"] = Mode.SYSTOLIC
        fields["vector_in"][2] = {"wide": int(body.initial)}
        fields["systolic"] = {
            "rows": body.rows,
            "columns": int(body.columns),
            "initial": int(body.initial),
            "tile": group.begin,
        }
    else:
        fields["mode"] = Mode.SIMD
        fields["stages"] = [_stage_fields(stage) for stage in body.stages]
        fields["tail"]["register"] = body.register
        if body.reduce is not None:
            fields["reduce"] = {
                "enable": 1,
                "operation": body.reduce.operation,
                "register": body.reduce.register,
                "over_time": int(body.reduce.over_time),
                "base": _choice(body.reduce.base),
            }
    return fields


def _event(boundary: int | None) -> dict[str, int]:
    return {} if boundary is None else {"enable": 1, "boundary": boundary}


def _choice(shared: int | None) -> int:
    return 0 if shared is None else shared + 1


def _number(number: Number | None) -> dict[str, int]:
    return {} if number is None else {"use": 1, "shared": _choice(number.shared), "constant": number.constant}


def _stage_fields(stage: Stage) -> dict[str, Any]:
    exchange = stage.exchange
    return {
        "operation": stage.operation,
        "a": stage.a,
        "b": stage.b,
        "condition": stage.condition,
        "into": stage.into,
        "accumulate": int(stage.accumulate),
        "constant": stage.constant,
        "exchange": {"register": exchange.register, "shift": int(exchange.shift), "distance": exchange.distance},
    }


def _tail_fields(tail: Tail) -> dict[str, Any]:
    mask = tail.mask
    fields: dict[str, Any] = {
        "mask": {
            "before": int(mask.before is not None),
            "after": int(mask.after is not None),
            "constant": mask.constant & 0xFFFF_FFFF,
            "plus": _choice(mask.plus),
            "minus": _choice(mask.minus),
            "by_stage": int(mask.by_stage),
            "value_before": mask.before or 0,
            "value_after": mask.after or 0,
        },
        "scale": _number(tail.scale),
        "offset": _number(tail.offset),
        "conversion": tail.conversion,
        "seed": tail.seed,
    }
    if tail.special is not None:
        fields["special"] = {"use": 1, "function": tail.special}
    if tail.clamp is not None:
        fields["clamp"] = {"use": 1, "low": tail.clamp[0], "high": tail.clamp[1]}
    return fields


# --- back ---


def disassemble(params: PCUParams, words: Sequence[int]) -> PCUProgram:
    """The program that :func:`assemble` makes these words of.

    Raises:
        ParameterError: the number of words is wrong, or what they say is not legal.
    """
    config = unpack(pcu_layout(params), words)
    depth = int(config.chain.depth)
    program = PCUProgram(
        counters=tuple(_counter(config.chain.counters[i]) for i in range(depth)),
        body=_body(config),
        group=_group(config, depth),
        vector_in=tuple(VectorIn(int(port.pop), bool(port.wide)) if port.enable else None for port in config.vector_in),
        scalar_in=tuple(int(port.pop) if port.enable else None for port in config.scalar_in),
        token_in=_boundaries(config.token_in),
        token_out=_boundaries(config.token_out),
        shared=tuple(SharedSource(source) for source in config.shared),
        tail=_tail(config.tail),
        sequence=SequenceId(
            int(config.sequence.constant),
            tuple(c for c in range(COUNTERS) if int(config.sequence.counters) >> c & 1),
            int(config.sequence.stage),
            int(config.sequence.beat),
        ),
        vector_out=_boundaries(config.vector_out),
        side=Side(int(config.side.register), bool(config.side.wide)) if config.side.enable else None,
        scalar_out=tuple(
            ScalarOut(ScalarSource(port.source), int(port.boundary)) if port.enable else None
            for port in config.scalar_out
        ),
        rounds=int(config.chain.rounds) or 1,
    )
    check(params, program)
    return program


def _boundaries(ports: Any) -> tuple[int | None, ...]:
    return tuple(int(port.boundary) if port.enable else None for port in ports)


def _counter(config: Any) -> Counter:
    source = int(config.source)
    return Counter(int(config.limit) or 1, int(config.stride), source - 1 if source else None)


def _group(config: Any, depth: int) -> Group | None:
    inside = [i for i in range(COUNTERS) if int(config.group.counters) >> i & 1]
    slotted, running = bool(config.group.slotted), bool(config.group.running)
    if not inside and not slotted and not running and Mode(config.mode) is Mode.SIMD:
        return None
    begin = inside[0] if inside else depth - 1 if slotted else depth
    return Group(begin, slotted, running)


def _body(config: Any) -> Systolic | Simd:
    if Mode(config.mode) is Mode.SYSTOLIC:
        systolic = config.systolic
        return Systolic(int(systolic.rows), bool(systolic.columns), bool(systolic.initial))
    reduce = config.reduce
    return Simd(
        stages=tuple(_stage(stage) for stage in config.stages),
        reduce=Reduce(ReduceOp(reduce.operation), int(reduce.register), bool(reduce.over_time), _shared(reduce.base))
        if reduce.enable
        else None,
        register=int(config.tail.register),
    )


def _shared(choice: Any) -> int | None:
    return int(choice) - 1 if int(choice) else None


def _stage(config: Any) -> Stage:
    exchange = config.exchange
    return Stage(
        Operation(config.operation),
        Source(config.a),
        Source(config.b),
        int(config.into),
        int(config.condition),
        bool(config.accumulate),
        int(config.constant),
        Exchange(int(exchange.register), int(exchange.distance), bool(exchange.shift)),
    )


def _tail(config: Any) -> Tail:
    mask = config.mask
    return Tail(
        mask=Mask(
            _signed(int(mask.constant)),
            _shared(mask.plus),
            _shared(mask.minus),
            bool(mask.by_stage),
            int(mask.value_before) if mask.before else None,
            int(mask.value_after) if mask.after else None,
        ),
        scale=_number_of(config.scale),
        offset=_number_of(config.offset),
        special=Function(config.special.function) if config.special.use else None,
        clamp=(int(config.clamp.low), int(config.clamp.high)) if config.clamp.use else None,
        conversion=Conversion(config.conversion),
        seed=int(config.seed),
    )


def _signed(number: int) -> int:
    return number - (1 << SCALAR_BITS) if number >> (SCALAR_BITS - 1) else number


def _number_of(config: Any) -> Number | None:
    return Number(int(config.constant), _shared(config.shared)) if config.use else None
