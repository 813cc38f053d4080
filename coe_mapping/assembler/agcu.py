"""AGCU programs: a tree of frozen dataclasses, the rules that make one legal, its configuration words, and back.

::

    weights = Segment(base=0x1000, limit=4096, read=True)
    rows = Load(Access(segment=0, counters=(Counter(512, stride=8),), registers=(Register(counters=(0,)),)))
    words = assemble(params, AGCUProgram((weights,), loads=(rows,)))
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coe_mapping.assembler.address import (
    WORD_LIMIT,
    Bit,
    Counter,
    Register,
    Stage,
    chain_values,
    check_loops,
    check_registers,
    check_rounds,
    check_stages,
    divide,
    immediate,
    modulo,
    read_chain,
    read_registers,
    read_stages,
    register_values,
)
from hdl.agcu.config import SEGMENT_WORDS, agcu_layout
from hdl.config import pack, unpack
from hdl.params import MEMORY_ADDRESS_BITS, SCALAR_BITS, AGCUParams, RDUParams, require
from hdl.pmu.config import REGISTERS

__all__ = [
    "AGCUProgram",
    "Access",
    "ArgumentWord",
    "Bit",
    "Counter",
    "Event",
    "Load",
    "Register",
    "Segment",
    "Stage",
    "Store",
    "argument_words",
    "assemble",
    "check",
    "disassemble",
    "divide",
    "immediate",
    "modulo",
]


@dataclass(frozen=True)
class Segment:
    """What a stream may touch: ``limit`` bytes from byte address ``base`` on, to ``read`` or to ``write``."""

    base: int
    limit: int
    read: bool = False
    write: bool = False


@dataclass(frozen=True)
class Access:
    """The addresses of one stream.

    Attributes:
        segment: number of its segment.
        counters: loops, outermost first.
        registers: initial registers; those left out start as zero.
        stages: ALU operations in order.
        address, limit: registers that hold the byte offset within the segment and the number of lanes (of 32-bit words,
            where words are loaded); None: all lanes.
        keep_bit: accesses with the bit clear are dropped.
        fence: boundary before whose first access all writes of the unit must have been answered.
        rounds: how often all of it runs; each time ``step`` bytes further on.
    """

    segment: int
    counters: tuple[Counter, ...] = ()
    registers: tuple[Register, ...] = ()
    stages: tuple[Stage, ...] = ()
    address: int = 0
    limit: int | None = None
    keep_bit: Bit | None = None
    fence: int | None = None
    rounds: int = 1
    step: int = 0


@dataclass(frozen=True)
class Load:
    """A stream from memory. ``sequence``: register that holds the id of its vectors. ``words``: it does not go to its
    vector output: its 32-bit words go to scalar output 0."""

    access: Access
    sequence: int | None = None
    words: bool = False


@dataclass(frozen=True)
class Store:
    """A stream to memory. ``words``: each access writes one 32-bit word from that scalar input, not a vector."""

    access: Access
    words: int | None = None


@dataclass(frozen=True)
class Event:
    """Something that happens on one stream (loads count first, then stores) at a boundary of its counters.

    ``carried``, of tokens: from a round to the next. None is awaited in the first round, none sent in the last.
    """

    stream: int
    boundary: int
    carried: bool = False


@dataclass(frozen=True)
class AGCUProgram:
    """A program of one AGCU.

    Attributes:
        segments: the table.
        scalar_in: for each scalar input used as an operand, the stream and the boundary after which its head is popped.
        scalar_out: the offset of the last access of the boundary is sent.
        token_in: an access that is the first of the boundary waits for a token and takes it.
        token_out: a token is sent when every write of the boundary was answered, or its last vector read.
    """

    segments: tuple[Segment, ...] = ()
    loads: tuple[Load | None, ...] = ()
    stores: tuple[Store | None, ...] = ()
    scalar_in: tuple[Event | None, ...] = ()
    scalar_out: Event | None = None
    token_in: tuple[Event | None, ...] = ()
    token_out: tuple[Event | None, ...] = ()

    @property
    def rounds(self) -> int:
        """How often it runs."""
        return max((s.access.rounds for s in (*self.loads, *self.stores) if s is not None), default=1)

    def streams(self, agcu: AGCUParams) -> tuple[Load | Store | None, ...]:
        """Every stream by its number."""
        loads = (*self.loads, *[None] * (agcu.loads - len(self.loads)))
        return (*loads, *self.stores, *[None] * (agcu.stores - len(self.stores)))


@dataclass(frozen=True)
class ArgumentWord:
    """Configuration word ``word`` takes bits ``shift`` to ``shift`` + ``width`` - 1 of an argument, nothing else."""

    word: int
    shift: int
    width: int


def argument_words(params: RDUParams, segment: int) -> dict[str, tuple[ArgumentWord, ...]]:
    """Where argument load finds the ``base`` and the ``limit`` of a segment.

    Raises:
        ParameterError: there is no such segment.
    """
    _check_number("argument", "segment", segment, params.agcu.segments)
    first, high = segment * SEGMENT_WORDS, MEMORY_ADDRESS_BITS - SCALAR_BITS
    base = ArgumentWord(first, 0, SCALAR_BITS), ArgumentWord(first + 1, SCALAR_BITS, high)
    return {"base": base, "limit": (ArgumentWord(first + 2, 0, SCALAR_BITS),)}


def assemble(params: RDUParams, program: AGCUProgram) -> list[int]:
    """The configuration words of ``program``.

    Raises:
        ParameterError: the program breaks a rule; the message names it.
    """
    check(params, program)
    values = {
        "segments": [{"base": s.base, "limit": s.limit} for s in program.segments],
        "readable": sum(s.read << k for k, s in enumerate(program.segments)),
        "writable": sum(s.write << k for k, s in enumerate(program.segments)),
        "loads": [_load(load) if load else {} for load in program.loads],
        "stores": [_store(store) if store else {} for store in program.stores],
        "scalar_in": _events(program.scalar_in),
        "scalar_out": _events((program.scalar_out,)),
        "token_in": _tokens(program.token_in),
        "token_out": _tokens(program.token_out),
    }
    return pack(agcu_layout(params), values)


def _events(events: Sequence[Event | None]) -> list[dict[str, int]]:
    return [{"stream": e.stream + 1, "boundary": e.boundary} if e else {} for e in events]


def _tokens(events: Sequence[Event | None]) -> list[dict[str, int]]:
    return [{"stream": e.stream + 1, "boundary": e.boundary, "carried": e.carried} if e else {} for e in events]


def _optional(name: str, value: int | None) -> dict[str, int]:
    return {} if value is None else {"enable": 1, name: value}


def _load(load: Load) -> dict[str, Any]:
    return {
        "access": _access(load.access),
        "sequence": _optional("register", load.sequence),
        "scalar": load.words,
    }


def _store(store: Store) -> dict[str, Any]:
    return {"access": _access(store.access), "source": 0 if store.words is None else store.words + 1}


def _access(a: Access) -> dict[str, Any]:
    return {
        "enable": 1,
        "chain": chain_values(a.counters, a.rounds),
        "registers": register_values(a.registers),
        "alu": [vars(stage) for stage in a.stages],
        "address": a.address,
        "limit": _optional("register", a.limit),
        "bit": {"enable": 1, **vars(a.keep_bit)} if a.keep_bit else {},
        "segment": a.segment,
        "step": a.step,
        "fence": _optional("boundary", a.fence),
    }


def disassemble(params: RDUParams, words: Sequence[int]) -> AGCUProgram:
    """The program in ``words``; assembling it again gives the same words.

    Raises:
        ParameterError: the number of words is wrong.
    """
    config: Any = unpack(agcu_layout(params), words)
    return AGCUProgram(
        segments=tuple(
            Segment(s.base, s.limit, bool(config.readable >> k & 1), bool(config.writable >> k & 1))
            for k, s in enumerate(config.segments)
        ),
        loads=tuple(_read_load(load) for load in config.loads),
        stores=tuple(_read_store(store) for store in config.stores),
        scalar_in=tuple(_read_event(e) for e in config.scalar_in),
        scalar_out=_read_event(config.scalar_out[0]),
        token_in=tuple(_read_token(e) for e in config.token_in),
        token_out=tuple(_read_token(e) for e in config.token_out),
    )


def _read_event(event: Any) -> Event | None:
    return Event(event.stream - 1, event.boundary) if event.stream else None


def _read_token(event: Any) -> Event | None:
    return Event(event.stream - 1, event.boundary, bool(event.carried)) if event.stream else None


def _read_load(load: Any) -> Load | None:
    if not load.access.enable:
        return None
    return Load(_read_access(load.access), load.sequence.register if load.sequence.enable else None, bool(load.scalar))


def _read_store(store: Any) -> Store | None:
    return (
        Store(_read_access(store.access), store.source - 1 if store.source else None) if store.access.enable else None
    )


def _read_access(a: Any) -> Access:
    return Access(
        segment=a.segment,
        counters=read_chain(a.chain),
        registers=read_registers(a.registers),
        stages=tuple(read_stages(a.alu)),
        address=a.address,
        limit=a.limit.register if a.limit.enable else None,
        keep_bit=Bit(a.bit.register, a.bit.position) if a.bit.enable else None,
        fence=a.fence.boundary if a.fence.enable else None,
        rounds=int(a.chain.rounds) or 1,
        step=int(a.step),
    )


# Rules


def check(params: RDUParams, program: AGCUProgram) -> None:
    """Raises ParameterError, naming the rule, unless ``program`` is legal on an AGCU of these sizes."""
    agcu = params.agcu
    for name, given, there in (
        ("load streams", program.loads, agcu.loads),
        ("store streams", program.stores, agcu.stores),
        ("segments", program.segments, agcu.segments),
        ("entries in scalar_in", program.scalar_in, agcu.SCALAR_INPUTS),
        ("entries in token_in", program.token_in, agcu.TOKENS),
        ("entries in token_out", program.token_out, agcu.TOKENS),
    ):
        require(len(given) <= there, f"AGCU: {len(given)} {name}, there are {there}")
    for k, segment in enumerate(program.segments):
        _check_segment(params, segment, f"AGCU: segment {k}")
    for number, stream in enumerate(program.streams(agcu)):
        if stream is not None:
            _check_access(params, program, stream, _name(agcu, number))
    _check_rounds(program)
    _check_events(params, program)
    _check_scalar_inputs(params, program)
    _check_scalar_output(program)


def _check_rounds(program: AGCUProgram) -> None:
    require(
        len({s.access.rounds for s in (*program.loads, *program.stores) if s is not None}) <= 1,
        "AGCU: its streams run different numbers of rounds: give all the same",
    )
    for name, events in (("token_in", program.token_in), ("token_out", program.token_out)):
        for i, event in enumerate(events):
            require(
                event is None or not event.carried or (event.boundary == 0 and program.rounds > 1),
                f"AGCU: {name}[{i}] is carried from a round to the next: it needs boundary 0, and several rounds",
            )


def _name(agcu: AGCUParams, number: int) -> str:
    return f"AGCU load {number}" if number < agcu.loads else f"AGCU store {number - agcu.loads}"


def _check_number(what: str, kind: str, number: int, count: int) -> None:
    require(0 <= number < count, f"{what}: there is no {kind} {number}, only {count}")


def _check_segment(params: RDUParams, segment: Segment, what: str) -> None:
    granule = params.beat_bytes * params.memory.granule
    require(
        0 <= segment.base < 1 << MEMORY_ADDRESS_BITS and segment.base % granule == 0,
        f"{what}: base {segment.base:#x} is not a {MEMORY_ADDRESS_BITS}-bit address and a multiple of the granule, "
        f"{granule} bytes",
    )
    require(
        0 <= segment.limit < WORD_LIMIT and segment.base + segment.limit <= 1 << MEMORY_ADDRESS_BITS,
        f"{what}: {segment.limit} bytes from {segment.base:#x} on do not fit 32 bits, or end beyond the address space",
    )


def _check_access(params: RDUParams, program: AGCUProgram, stream: Load | Store, what: str) -> None:
    agcu, a = params.agcu, stream.access
    check_loops(a.counters, agcu.COUNTERS, agcu.SCALAR_INPUTS, what)
    check_rounds(a.rounds, what)
    require(0 <= a.step < WORD_LIMIT, f"{what}: a step of {a.step} bytes does not fit 32 bits")
    check_registers(a.registers, len(a.counters), what)
    require(len(a.stages) <= agcu.alu_stages, f"{what}: {len(a.stages)} ALU stages, there are {agcu.alu_stages}")
    check_stages(a.stages, what)
    for k, register in enumerate(a.registers):
        require(not register.sequence, f"{what}: register {k}: an AGCU has no sequence ids to add")
    named = {"address": a.address, "limit": a.limit, "keep_bit": a.keep_bit.register if a.keep_bit else None}
    if isinstance(stream, Load):
        named["sequence"] = stream.sequence
    for name, number in named.items():
        require(
            number is None or 0 <= number < REGISTERS, f"{what}: {name} names register {number}, there are {REGISTERS}"
        )
    if a.keep_bit:
        require(0 <= a.keep_bit.position < SCALAR_BITS, f"{what}: there is no bit {a.keep_bit.position} in 32")
    _check_number(what, "segment", a.segment, len(program.segments))
    if a.fence is not None:
        _check_boundary(a, a.fence, f"{what}: fence")
    if isinstance(stream, Load):
        require(
            not (stream.words and stream.sequence is not None),
            f"{what}: words that go to the scalar output have no sequence id",
        )
    elif stream.words is not None:
        _check_number(what, "scalar input", stream.words, agcu.SCALAR_INPUTS)
        require(a.limit is None, f"{what}: an access that stores one word has no limit in lanes")


def _check_boundary(access: Access, boundary: int, what: str) -> None:
    depth = len(access.counters)
    require(0 <= boundary <= depth, f"{what}: boundary {boundary} is not in 0..{depth}, the counters of its stream")


def _check_events(params: RDUParams, program: AGCUProgram) -> None:
    streams = program.streams(params.agcu)
    groups: Mapping[str, Sequence[Event | None]] = {
        "scalar_in": program.scalar_in,
        "scalar_out": (program.scalar_out,),
        "token_in": program.token_in,
        "token_out": program.token_out,
    }
    for name, events in groups.items():
        for i, event in enumerate(events):
            if event is not None:
                used = 0 <= event.stream < len(streams) and streams[event.stream] is not None
                require(used, f"AGCU: {name}[{i}] belongs to stream {event.stream}, which the program does not use")
                stream = streams[event.stream]
                assert stream is not None
                _check_boundary(stream.access, event.boundary, f"AGCU: {name}[{i}]")


def _check_scalar_inputs(params: RDUParams, program: AGCUProgram) -> None:
    """Every scalar input has one user."""
    users: dict[int, str] = {}

    def use(j: int, user: str) -> None:
        require(j not in users, f"AGCU: scalar input {j} gives {users.get(j)} and {user}; it can have one user")
        users[j] = user

    for j, event in enumerate(program.scalar_in):
        if event is not None:
            use(j, f"operands of {_name(params.agcu, event.stream)}")
    for number, stream in enumerate(program.streams(params.agcu)):
        if stream is None:
            continue
        name = _name(params.agcu, number)
        for i, counter in enumerate(stream.access.counters):
            if counter.scalar is not None:
                use(counter.scalar, f"the limit of counter {i} of {name}")
        if isinstance(stream, Store) and stream.words is not None:
            use(stream.words, f"the words of {name}")
        for k, register in enumerate(stream.access.registers):
            operand = register.scalar
            if operand is not None:
                event = program.scalar_in[operand] if 0 <= operand < len(program.scalar_in) else None
                require(
                    event is not None and event.stream == number,
                    f"{name}: register {k} adds scalar input {operand}, which scalar_in does not give to that stream",
                )


def _check_scalar_output(program: AGCUProgram) -> None:
    words = [k for k, load in enumerate(program.loads) if load is not None and load.words]
    require(len(words) <= 1, f"AGCU: loads {words} all send words to scalar output 0; one can")
    require(
        not words or program.scalar_out is None,
        f"AGCU: load {words} sends its words to scalar output 0, so no offset can be sent there",
    )
