"""PMU programs: a tree of frozen dataclasses, the rules that make one legal, its configuration words, and back.

::

    rows = Pipeline(counters=(Counter(16, stride=4),), registers=(Register(counters=(0,)),), region=Region(0, 16))
    words = assemble(params, PMUProgram(write=rows))
"""

from collections.abc import Sequence
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
from hdl.config import pack, unpack
from hdl.control.tokens import TOKEN_BITS
from hdl.params import SCALAR_BITS, PMUParams, require
from hdl.pmu.config import REGISTERS, Mode, Side, bank_shifts, pmu_layout

__all__ = [
    "Bit",
    "Counter",
    "Event",
    "PMUProgram",
    "Pipeline",
    "Region",
    "Register",
    "ScalarOut",
    "Stage",
    "assemble",
    "check",
    "disassemble",
    "divide",
    "immediate",
    "modulo",
]


@dataclass(frozen=True)
class Region:
    """Bank rows ``base`` .. ``base + rows - 1``, or as many buffers of ``rows`` from ``base`` on."""

    base: int
    rows: int


@dataclass(frozen=True)
class Pipeline:
    """One address pipeline.

    Attributes:
        counters: loops, outermost first.
        registers: initial registers; those left out start as zero.
        stages: ALU operations in order.
        address, tile_row, limit, sequence: registers that hold the element address, the tile row (diagonal striping),
            the lane count, and the sequence id of results (read side); None where it is not used.
        keep_range, keep_bit: accesses outside [low, high), or with the bit clear, are dropped.
        pitch: bank rows from a tile row to the next (COLUMN).
        buffer: the boundary at which buffers change hands.
        convert: FP32 to BF16 on write, BF16 to FP32 on read.
        permute: for each lane the element it takes.
        rounds: how often all of it runs.
    """

    region: Region
    counters: tuple[Counter, ...] = ()
    registers: tuple[Register, ...] = ()
    stages: tuple[Stage, ...] = ()
    address: int = 0
    tile_row: int | None = None
    limit: int | None = None
    sequence: int | None = None
    keep_range: tuple[int, int] | None = None
    keep_bit: Bit | None = None
    mode: Mode = Mode.ROW
    pitch: int = 0
    buffer: int | None = None
    convert: bool = False
    permute: tuple[int, ...] | None = None
    rounds: int = 1


@dataclass(frozen=True)
class Event:
    """Something that happens on one side at a boundary of its counters."""

    side: Side
    boundary: int


@dataclass(frozen=True)
class ScalarOut:
    """``register`` after the last ALU stage of ``side``, sent where the iteration is the last of ``boundary``."""

    side: Side
    boundary: int
    register: int


@dataclass(frozen=True)
class PMUProgram:
    """A program of one PMU.

    Attributes:
        buffers: depth of the ring of buffers, if the pipelines use one.
        bank_shift: lowest row-address bit that picks the sub-array of a bank.
        scalar_in: for each scalar input used as an operand, the side and the boundary after which its head is popped.
        token_in: an access that is the first of the boundary waits for a token and takes it.
        token_out: a token is sent when an access that is the last of the boundary has been made.
    """

    write: Pipeline | None = None
    read: Pipeline | None = None
    buffers: int = 1
    bank_shift: int = 0
    scalar_in: tuple[Event | None, ...] = ()
    scalar_out: tuple[ScalarOut | None, ...] = ()
    token_in: tuple[Event | None, ...] = ()
    token_out: tuple[Event | None, ...] = ()

    @property
    def rounds(self) -> int:
        """How often it runs."""
        return max((p.rounds for p in (self.write, self.read) if p is not None), default=1)

    def side(self, side: Side) -> Pipeline | None:
        return self.write if side is Side.WRITE else self.read


def assemble(params: PMUParams, program: PMUProgram) -> list[int]:
    """The configuration words of ``program``.

    Raises:
        ParameterError: the program breaks a rule; the message names it.
    """
    check(params, program)
    write, read = program.write, program.read
    write_stages = write.stages if write else ()
    stages = (*write_stages, *(read.stages if read else ()))
    values = {
        "write": _pipeline(params, write),
        "read": _pipeline(params, read),
        "split": len(write_stages),
        "alu": [vars(stage) for stage in stages],
        "bank_shift": program.bank_shift,
        "buffers": program.buffers,
        "scalar_in": _events(program.scalar_in),
        "scalar_out": _events(program.scalar_out),
        "token_in": _events(program.token_in),
        "token_out": _events(program.token_out),
    }
    return pack(pmu_layout(params), values)


def _events(events: Sequence[Event | ScalarOut | None]) -> list[dict[str, Any]]:
    return [vars(event) if event else {} for event in events]


def _optional(register: int | None) -> dict[str, int]:
    return {} if register is None else {"enable": 1, "register": register}


def _pipeline(params: PMUParams, p: Pipeline | None) -> dict[str, Any]:
    if p is None:
        return {}
    low, high = p.keep_range or (0, 0)
    return {
        "enable": 1,
        "chain": chain_values(p.counters, p.rounds),
        "registers": register_values(p.registers),
        "address": p.address,
        "tile_row": _optional(p.tile_row),
        "limit": _optional(p.limit),
        "sequence": _optional(p.sequence),
        "range": {"enable": p.keep_range is not None, "low": low, "high": high},
        "bit": {"enable": 1, **vars(p.keep_bit)} if p.keep_bit else {},
        "mode": p.mode,
        "pitch": p.pitch,
        "region": vars(p.region),
        "buffer": {} if p.buffer is None else {"enable": 1, "boundary": p.buffer},
        "convert": p.convert,
        "permute": list(p.permute or range(params.lanes)),
    }


def disassemble(params: PMUParams, words: Sequence[int]) -> PMUProgram:
    """The program in ``words``; assembling it again gives the same words.

    Raises:
        ParameterError: the number of words is wrong.
    """
    config: Any = unpack(pmu_layout(params), words)
    stages = read_stages(config.alu, at_least=config.split)
    return PMUProgram(
        write=_read_pipeline(config.write, stages[: config.split]),
        read=_read_pipeline(config.read, stages[config.split :]),
        buffers=config.buffers,
        bank_shift=config.bank_shift,
        scalar_in=tuple(_read_event(e) for e in config.scalar_in),
        scalar_out=tuple(
            ScalarOut(Side(e.side), e.boundary, e.register) if e.side else None for e in config.scalar_out
        ),
        token_in=tuple(_read_event(e) for e in config.token_in),
        token_out=tuple(_read_event(e) for e in config.token_out),
    )


def _read_event(event: Any) -> Event | None:
    return Event(Side(event.side), event.boundary) if event.side else None


def _read_pipeline(p: Any, stages: list[Stage]) -> Pipeline | None:
    if not p.enable:
        return None
    return Pipeline(
        region=Region(p.region.base, p.region.rows),
        counters=read_chain(p.chain),
        registers=read_registers(p.registers),
        stages=tuple(stages),
        address=p.address,
        tile_row=p.tile_row.register if p.tile_row.enable else None,
        limit=p.limit.register if p.limit.enable else None,
        sequence=p.sequence.register if p.sequence.enable else None,
        keep_range=(p.range.low, p.range.high) if p.range.enable else None,
        keep_bit=Bit(p.bit.register, p.bit.position) if p.bit.enable else None,
        mode=Mode(p.mode),
        pitch=p.pitch,
        buffer=p.buffer.boundary if p.buffer.enable else None,
        convert=bool(p.convert),
        permute=tuple(p.permute),
        rounds=int(p.chain.rounds) or 1,
    )


# Rules


def check(params: PMUParams, program: PMUProgram) -> None:
    """Raises ParameterError, naming the rule, unless ``program`` is legal on a PMU of these sizes."""
    for side, name in ((Side.WRITE, "write"), (Side.READ, "read")):
        pipeline = program.side(side)
        if pipeline is not None:
            check_loops(pipeline.counters, params.COUNTERS, params.SCALAR_INPUTS, f"PMU {name} pipeline")
            check_rounds(pipeline.rounds, f"PMU {name} pipeline")
            _check_addresses(params, pipeline, f"PMU {name} pipeline")
    _check_sides(program)
    _check_stages(params, program)
    _check_buffers(params, program)
    _check_events(params, program)
    _check_scalars(params, program)
    shifts = bank_shifts(params)
    require(
        0 <= program.bank_shift < shifts,
        f"PMU: bank shift {program.bank_shift} is not in 0..{shifts - 1}: "
        f"the {params.groups} groups are picked by row-address bits, of which there are enough for {params.rows} rows",
    )


def _check_addresses(params: PMUParams, p: Pipeline, what: str) -> None:
    check_registers(p.registers, len(p.counters), what)
    named = {"address": p.address, "tile_row": p.tile_row, "limit": p.limit, "sequence": p.sequence}
    if p.keep_bit:
        named["keep_bit"] = p.keep_bit.register
    for name, register in named.items():
        require(
            register is None or 0 <= register < REGISTERS,
            f"{what}: {name} names register {register}, there are {REGISTERS}",
        )
    if p.keep_bit:
        require(0 <= p.keep_bit.position < SCALAR_BITS, f"{what}: there is no bit {p.keep_bit.position} in 32")
    if p.keep_range:
        low, high = p.keep_range
        require(0 <= low < high < WORD_LIMIT, f"{what}: range [{low}, {high}) must be ascending and fit 32 bits")
    if p.mode is Mode.COLUMN:
        require(
            1 <= p.pitch <= params.rows,
            f"{what}: pitch {p.pitch} is not in 1..{params.rows}: COLUMN needs a tile whose rows are a whole number of "
            f"bank rows, so many elements as a multiple of {params.lanes}",
        )
    if p.permute is not None:
        require(
            len(p.permute) == params.lanes and all(0 <= e < params.lanes for e in p.permute),
            f"{what}: permute {p.permute} must name one of {params.lanes} elements for each of {params.lanes} lanes",
        )


def _check_sides(program: PMUProgram) -> None:
    write, read = program.write, program.read
    require(
        write is None or write.mode is not Mode.LOOKUP, "PMU write pipeline: LOOKUP is an access of the read side only"
    )
    require(
        write is None or write.sequence is None, "PMU write pipeline: sequence names the id of results: read side only"
    )
    require(
        read is None or not any(r.sequence for r in read.registers),
        "PMU read pipeline: the sequence id comes with write data: write side only",
    )
    require(
        read is None or read.mode is not Mode.LOOKUP or read.tile_row is None,
        "PMU read pipeline: a LOOKUP table is not striped, so it has no tile_row",
    )


def _check_stages(params: PMUParams, program: PMUProgram) -> None:
    write, read = (len(p.stages) if p else 0 for p in (program.write, program.read))
    require(
        write + read <= params.alu_stages,
        f"PMU: {write} ALU stages to write and {read} to read are more than the {params.alu_stages} there are",
    )
    for pipeline in (program.write, program.read):
        check_stages(pipeline.stages if pipeline else (), "PMU")


def _check_buffers(params: PMUParams, program: PMUProgram) -> None:
    require(
        1 <= program.buffers < 1 << TOKEN_BITS,
        f"PMU: {program.buffers} buffers is not in 1..{(1 << TOKEN_BITS) - 1}",
    )
    require(
        program.write is None or program.read is None or program.write.rounds == program.read.rounds,
        "PMU: its pipelines run different numbers of rounds: give both the same",
    )
    both = [p for p in (program.write, program.read) if p is not None and p.buffer is not None]
    require(
        len(both) in (0, 2), "PMU: a buffer is handed from the write to the read pipeline: both must use it, or neither"
    )
    require(
        program.rounds == 1 or len(both) == 2 or program.write is None or program.read is None,
        f"PMU: {program.rounds} rounds need buffers between the pipelines, which else are in different rounds",
    )
    if both:
        require(
            both[0].region == both[1].region,
            f"PMU: the pipelines share buffers, so their regions {both[0].region} and {both[1].region} must be equal",
        )
    for pipeline in (program.write, program.read):
        if pipeline is not None:
            depth = program.buffers if pipeline.buffer is not None else 1
            base, rows = pipeline.region.base, pipeline.region.rows
            require(
                base >= 0 and rows >= 1 and base + rows * depth <= params.rows,
                f"PMU: a region of {depth} times {rows} rows from row {base} on does not lie within {params.rows} rows",
            )


def _check_events(params: PMUParams, program: PMUProgram) -> None:
    groups: dict[str, tuple[tuple[Event | ScalarOut | None, ...], int]] = {
        "scalar_in": (program.scalar_in, params.SCALAR_INPUTS),
        "scalar_out": (program.scalar_out, params.SCALAR_OUTPUTS),
        "token_in": (program.token_in, params.TOKENS),
        "token_out": (program.token_out, params.TOKENS),
    }
    for name, (events, count) in groups.items():
        require(len(events) <= count, f"PMU: {len(events)} entries in {name}, there are {count}")
        for i, event in enumerate(events):
            if event is not None:
                pipeline = program.side(event.side)
                require(
                    event.side is not Side.NONE and pipeline is not None,
                    f"PMU: {name}[{i}] belongs to side {event.side.name}, which the program does not use",
                )
                _check_boundary(pipeline, event.boundary, f"PMU: {name}[{i}]")
            if isinstance(event, ScalarOut):
                require(0 <= event.register < REGISTERS, f"PMU: {name}[{i}]: there is no register {event.register}")
    for pipeline in (program.write, program.read):
        if pipeline is not None and pipeline.buffer is not None:
            _check_boundary(pipeline, pipeline.buffer, "PMU: buffer")


def _check_boundary(pipeline: Pipeline | None, boundary: int, what: str) -> None:
    depth = len(pipeline.counters) if pipeline else 0
    require(0 <= boundary <= depth, f"{what}: boundary {boundary} is not in 0..{depth}, the counters of its pipeline")


def _check_scalars(params: PMUParams, program: PMUProgram) -> None:
    users: dict[int, str] = {}
    for side, name in ((Side.WRITE, "write"), (Side.READ, "read")):
        pipeline = program.side(side)
        for i, c in enumerate(pipeline.counters if pipeline else ()):
            if c.scalar is not None:
                user = f"the limit of {name} counter {i}"
                require(
                    c.scalar not in users,
                    f"PMU: scalar input {c.scalar} gives {users.get(c.scalar)} and {user}; it can have one user",
                )
                users[c.scalar] = user
    for j, event in enumerate(program.scalar_in):
        require(
            event is None or j not in users,
            f"PMU: scalar input {j} gives {users.get(j)}, so it cannot be an operand",
        )
    for side, name in ((Side.WRITE, "write"), (Side.READ, "read")):
        pipeline = program.side(side)
        for k, r in enumerate(pipeline.registers if pipeline else ()):
            if r.scalar is not None:
                known = 0 <= r.scalar < len(program.scalar_in)
                event = program.scalar_in[r.scalar] if known else None
                require(
                    event is not None and event.side is side,
                    f"PMU {name} pipeline: register {k} adds scalar input {r.scalar}, "
                    f"which scalar_in does not give to the {name} side",
                )
