"""The PMU in NumPy: executes the configuration words of a program on complete input streams.

Order between the two address pipelines is defined by buffers: where both are buffered, buffer k is read after it was
written and before it is written again. A program without buffers is executed one pipeline after the other; its result
is defined only if the order does not matter or something outside (a token) enforces it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from golden_model.address import alu, held, initial, signed
from golden_model.control import Iterations, iterations, rounds, summed, turns
from golden_model.numerics import from_bits, to_bf16, to_bits, to_fp32
from hdl.arith.formats import BF16, FP32
from hdl.config import unpack
from hdl.errors import ParameterError
from hdl.params import ELEMENT_BITS, PMUParams
from hdl.pmu.config import REGISTERS, Addend, AddressOp, Mode, Side, pmu_layout

Integers = NDArray[np.int64]
Elements = NDArray[np.uint16]
Words = NDArray[np.uint32]
Flags = NDArray[np.bool_]
MASK = 0xFFFF_FFFF
SIDES = (Side.WRITE, Side.READ)


@dataclass(frozen=True)
class VectorBeats:
    """A vector stream: ``elements`` of shape (beats, lanes), bits of 16; ``sequence`` of shape (beats,)."""

    elements: Elements
    sequence: Integers

    def after(self, count: int) -> "VectorBeats":
        """Without the first ``count``."""
        return VectorBeats(self.elements[count:], self.sequence[count:])


def joined_beats(parts: Sequence[VectorBeats]) -> VectorBeats:
    """One stream after the other."""
    return VectorBeats(
        np.concatenate([part.elements for part in parts]), np.concatenate([part.sequence for part in parts])
    )


@dataclass(frozen=True)
class Outputs:
    """What a program leaves: streams, memory of shape (lanes, rows), and counts of what it did and consumed.

    ``tokens``: pulses sent on each wire. ``consumed_*``: beats, words and pulses taken from each input.
    ``writes``, ``reads``: accesses kept. ``handed``: buffers that changed hands, those of earlier rounds included.
    ``out_of_range``: whether a (write, read) lane lay outside its region.
    """

    vector: VectorBeats
    scalars: tuple[Integers, ...]
    memory: Elements
    tokens: tuple[int, ...]
    consumed_vectors: tuple[int, int]
    consumed_scalars: tuple[int, ...]
    consumed_tokens: tuple[int, ...]
    writes: int
    reads: int
    handed: int
    out_of_range: tuple[bool, bool]


@dataclass
class _Accesses:
    """The accesses of one pipeline in order: row-major arrays of shape (accesses,), or (accesses, lanes)."""

    rows: Integers  # of each lane, absolute
    banks: Integers
    lanes: Flags  # written or read
    kept: Flags
    block: Integers  # how many buffers were handed over before
    sequence: Integers
    refused: bool
    registers: Integers


def run(
    params: PMUParams,
    words: Sequence[int],
    vectors: Sequence[VectorBeats],
    scalars: Sequence[Sequence[int]] = ((), (), (), ()),
    memory: Elements | None = None,
    first: Literal["write", "read"] = "write",
) -> Outputs:
    """Executes the program in ``words``.

    Args:
        vectors: the write data, and the indices of look-ups; more may be given than are consumed.
        memory: shape (lanes, rows), zeros if not given; it is not changed.
        first: which pipeline runs first in a program without buffers.

    Raises:
        ParameterError: an input stream is too short, or the program hands over buffers that nobody takes or fills.
    """
    given, made = memory, list[Outputs]()
    for _ in range(rounds_of(params, words)):
        done = run_round(params, words, vectors, scalars, given, first, made[-1].handed if made else 0)
        made.append(done)
        given = done.memory
        vectors = [each.after(count) for each, count in zip(vectors, done.consumed_vectors, strict=False)]
        scalars = [each[count:] for each, count in zip(scalars, done.consumed_scalars, strict=True)]
    return _joined(made)


def rounds_of(params: PMUParams, words: Sequence[int]) -> int:
    """How often the program in ``words`` runs.

    Raises:
        ParameterError: its pipelines disagree, or nothing keeps the rounds of one from those of the other.
    """
    config: Any = unpack(pmu_layout(params), words)
    enabled = [p for p in (config.write, config.read) if p.enable]
    found = {rounds(p.chain) for p in enabled}
    if len(found) > 1:
        raise ParameterError(f"PMU: pipelines run {sorted(found)} rounds: give both the same number")
    if found > {1} and len(enabled) == 2 and not (config.write.buffer.enable and config.read.buffer.enable):
        raise ParameterError("PMU: pipelines that run several rounds need buffers between them")
    return found.pop() if found else 1


def turns_of(params: PMUParams, words: Sequence[int]) -> int:
    """Iterations of the outermost loops of a round, if both pipelines have as many and hand over buffers in each."""
    config: Any = unpack(pmu_layout(params), words)
    sides = config.write, config.read
    apart = all(p.enable and p.buffer.enable and int(p.buffer.boundary) == 1 for p in sides)
    counts = {turns(p.chain) for p in sides}
    return counts.pop() if apart and len(counts) == 1 else 1


def _joined(made: Sequence[Outputs]) -> Outputs:
    """What several rounds leave together."""

    return replace(
        made[-1],
        vector=joined_beats([m.vector for m in made]),
        scalars=tuple(np.concatenate(each) for each in zip(*(m.scalars for m in made), strict=True)),
        tokens=summed(m.tokens for m in made),
        consumed_vectors=summed(m.consumed_vectors for m in made),
        consumed_scalars=summed(m.consumed_scalars for m in made),
        consumed_tokens=summed(m.consumed_tokens for m in made),
        writes=sum(m.writes for m in made),
        reads=sum(m.reads for m in made),
        out_of_range=(any(m.out_of_range[0] for m in made), any(m.out_of_range[1] for m in made)),
    )


def run_round(
    params: PMUParams,
    words: Sequence[int],
    vectors: Sequence[VectorBeats],
    scalars: Sequence[Sequence[int]],
    memory: Elements | None,
    first: Literal["write", "read"],
    handed: int,
    turns: int | None = None,
) -> Outputs:
    """A round of :func:`run`, ``handed`` buffers after the start. ``turns``: only so many iterations of its outermost
    loops."""
    config: Any = unpack(pmu_layout(params), words)
    store = np.zeros((params.lanes, params.rows), np.uint16) if memory is None else memory.copy()
    inputs = [np.asarray(stream, np.uint32) for stream in scalars]
    sequences = vectors[0].sequence[:: 2 if config.write.convert else 1]
    loops = {side: _loops(params, config, side, inputs, turns) for side in SIDES}
    stages = {Side.WRITE: range(config.split), Side.READ: range(config.split, params.alu_stages)}
    accesses = {side: _accesses(params, config, side, loops[side], stages[side], inputs, sequences) for side in SIDES}
    write, read = accesses[Side.WRITE], accesses[Side.READ]
    for side in (write, read):
        side.block = side.block + handed
    data = _write_data(config, vectors[0], len(write.rows))
    if config.read.mode == Mode.LOOKUP.value:
        _look_up(params, config, read, vectors[1])
    _limit(params, config.write, write, config.buffers)
    _limit(params, config.read, read, config.buffers)
    result = _move(_schedule(config, write, read, first, handed), write, read, data, store)
    return Outputs(
        vector=_read_data(config, result, read),
        scalars=tuple(_scalar_out(config.scalar_out[k], loops, accesses) for k in range(params.SCALAR_OUTPUTS)),
        memory=store,
        tokens=tuple(int(_ends(config.token_out[i], loops).sum()) for i in range(params.TOKENS)),
        consumed_vectors=(
            len(write.rows) * (2 if config.write.convert else 1),
            len(read.rows) if config.read.mode == Mode.LOOKUP.value else 0,
        ),
        consumed_scalars=tuple(_consumed(config, j, loops) for j in range(params.SCALAR_INPUTS)),
        consumed_tokens=tuple(int(_begins(config.token_in[i], loops).sum()) for i in range(params.TOKENS)),
        writes=int(write.kept.sum()),
        reads=int(read.kept.sum()),
        handed=int(write.block[-1]) + 1 if config.write.buffer.enable and len(write.block) else handed,
        out_of_range=(write.refused, read.refused),
    )


def _loops(
    params: PMUParams, config: Any, side: Side, scalars: Sequence[Words], turns: int | None = None
) -> Iterations:
    pipeline = config.write if side is Side.WRITE else config.read
    if pipeline.enable:
        return iterations(pipeline.chain, scalars, turns)
    none = np.zeros((0, params.COUNTERS), np.int64)
    return Iterations(none, none, none == 0, none == 0, (0,) * params.SCALAR_INPUTS)


def _ends(event: Any, loops: dict[Side, Iterations]) -> Flags:
    """Iterations of the side of ``event`` that are the last of its boundary."""
    if event.side == Side.NONE.value:
        return np.zeros(0, np.bool_)
    return loops[Side(event.side)].last(event.boundary)


def _begins(event: Any, loops: dict[Side, Iterations]) -> Flags:
    """Iterations of the side of ``event`` that are the first of its boundary."""
    if event.side == Side.NONE.value:
        return np.zeros(0, np.bool_)
    return loops[Side(event.side)].first(event.boundary)


def _consumed(config: Any, j: int, loops: dict[Side, Iterations]) -> int:
    """Words taken from scalar input ``j``, as limits and as operands."""
    return sum(loops[side].popped[j] for side in SIDES) + int(_ends(config.scalar_in[j], loops).sum())


def _accesses(
    params: PMUParams,
    config: Any,
    side: Side,
    loops: Iterations,
    stages: range,
    scalars: Sequence[Words],
    sequences: Integers,
) -> _Accesses:
    """The addresses of one pipeline: registers, ALU stages, predicate; then rows and banks relative to the region."""
    pipeline = config.write if side is Side.WRITE else config.read
    operands = _operands(params, config, side, loops, scalars, sequences)
    registers = [initial(pipeline.registers[k], loops.value, operands) for k in range(REGISTERS)]
    for k in stages:
        stage = config.alu[k]
        if stage.op != AddressOp.NONE.value:
            registers[stage.destination] = alu(stage, registers)
    address, kept = registers[pipeline.address], np.ones(len(loops), np.bool_)
    if pipeline.bit.enable:
        kept &= (registers[pipeline.bit.register] >> pipeline.bit.position & 1).astype(np.bool_)
    if pipeline.range.enable:
        kept &= (pipeline.range.low <= address) & (address < pipeline.range.high)
        address = (address - pipeline.range.low) & MASK
    rows, banks = _places(params, pipeline, address, registers)
    limit = signed(registers[pipeline.limit.register]) if pipeline.limit.enable else np.full(len(kept), params.lanes)
    handed = loops.last(pipeline.buffer.boundary) if pipeline.buffer.enable else np.zeros(len(kept), np.bool_)
    return _Accesses(
        rows=rows,
        banks=banks,
        lanes=kept[:, None] & (np.arange(params.lanes) < limit[:, None]),
        kept=kept,
        block=np.cumsum(handed) - handed,
        sequence=registers[pipeline.sequence.register] & 0xFFFF if pipeline.sequence.enable else np.zeros_like(address),
        refused=False,
        registers=np.stack(registers),
    )


def _operands(
    params: PMUParams,
    config: Any,
    side: Side,
    loops: Iterations,
    scalars: Sequence[Words],
    sequences: Integers,
) -> dict[int, Integers]:
    """What may be added to a register on entry: for each :class:`Addend`, a value an iteration."""
    count = len(loops)
    operands = {Addend.NONE.value: np.zeros(count, np.int64)}
    if side is Side.WRITE:
        operands[Addend.SEQUENCE.value] = (
            np.resize(sequences[:count], count) if len(sequences) else np.zeros(count, int)
        )
    for j in range(params.SCALAR_INPUTS):
        event = config.scalar_in[j]
        if event.side == side.value and count:
            operands[Addend.SCALAR_0.value + j] = held(scalars[j], loops.last(event.boundary), j)
    return operands


def _places(
    params: PMUParams, pipeline: Any, address: Integers, registers: Sequence[Integers]
) -> tuple[Integers, Integers]:
    """Row within the region and bank of every lane: two arrays of shape (accesses, lanes)."""
    lane = np.arange(params.lanes)
    row, column = np.divmod(address, params.lanes)
    skew = registers[pipeline.tile_row.register] if pipeline.tile_row.enable else np.zeros_like(address)
    if pipeline.mode == Mode.LOOKUP.value:
        return row[:, None] + np.zeros_like(lane), np.zeros_like(row)[:, None] + lane
    banks = (column + skew)[:, None] + lane
    down = lane * pipeline.pitch if pipeline.mode == Mode.COLUMN.value else (column[:, None] + lane) // params.lanes
    return row[:, None] + down, banks % params.lanes


def _look_up(params: PMUParams, config: Any, read: _Accesses, indices: VectorBeats) -> None:
    if len(indices.elements) < len(read.rows):
        raise ParameterError(f"PMU: {len(read.rows)} look-ups, {len(indices.elements)} beats of indices given")
    read.rows = read.rows + indices.elements[: len(read.rows)].astype(np.int64)


def _limit(params: PMUParams, pipeline: Any, accesses: _Accesses, buffers: int) -> None:
    """Refuses lanes outside the region, then makes rows absolute: region base plus the base of the buffer in turn."""
    outside = accesses.lanes & (accesses.rows >= pipeline.region.rows)
    accesses.refused = bool(outside.any())
    accesses.lanes &= ~outside
    base = pipeline.region.base + accesses.block % max(buffers, 1) * pipeline.region.rows
    accesses.rows = accesses.rows + base[:, None]


def _schedule(config: Any, write: _Accesses, read: _Accesses, first: str, handed: int) -> Iterator[tuple[Side, slice]]:
    """Slices of accesses in an order that the hardware keeps to."""
    if not (config.write.buffer.enable and config.read.buffer.enable):
        both = [(Side.WRITE, slice(0, len(write.block))), (Side.READ, slice(0, len(read.block)))]
        yield from both if first == "write" else reversed(both)
        return
    written, wanted = (int(x.block[-1]) + 1 if len(x.block) else handed for x in (write, read))
    if wanted > written or written > wanted + config.buffers:
        raise ParameterError(
            f"PMU: {written} buffers are written and {wanted} read with {config.buffers} to hold them: "
            "the program never ends"
        )
    if rounds(config.write.chain) > 1 and written != wanted:
        raise ParameterError(f"PMU: a round writes {written - handed} buffers and reads {wanted - handed}")
    for k in range(handed, written):
        yield Side.WRITE, _block(write, k)
        if k < wanted:
            yield Side.READ, _block(read, k)


def _move(
    order: Iterator[tuple[Side, slice]], write: _Accesses, read: _Accesses, data: Elements, store: Elements
) -> Elements:
    """Makes the accesses, in place in ``store``; returns what was read, lanes that took no part zero."""
    result = np.zeros(read.rows.shape, np.uint16)
    for side, block in order:
        if side is Side.WRITE:
            lanes = write.lanes[block]
            store[write.banks[block][lanes], write.rows[block][lanes]] = data[block][lanes]
        else:
            lanes = read.lanes[block]
            result[block][lanes] = store[read.banks[block][lanes], read.rows[block][lanes]]
    return result


def _block(accesses: _Accesses, k: int) -> slice:
    start, stop = np.searchsorted(accesses.block, [k, k + 1])
    return slice(int(start), int(stop))


def _write_data(config: Any, beats: VectorBeats, count: int) -> Elements:
    """The vector of each write access after conversion and permutation: shape (accesses, lanes)."""
    need = count * (2 if config.write.convert else 1)
    if len(beats.elements) < need:
        raise ParameterError(f"PMU: the program writes {need} beats, {len(beats.elements)} given")
    vectors = beats.elements[:need]
    if config.write.convert:
        halves = vectors.reshape(count, -1, 2).astype(np.uint32)
        vectors = to_bits(to_bf16(from_bits(halves[..., 0] | halves[..., 1] << np.uint32(ELEMENT_BITS), FP32)))
    return np.asarray(vectors[:, _permutation(config.write)], np.uint16)


def _read_data(config: Any, vectors: Elements, read: _Accesses) -> VectorBeats:
    """The beats that leave: kept accesses only, permuted, widened to two beats where configured."""
    vectors, sequence = vectors[read.kept][:, _permutation(config.read)], read.sequence[read.kept]
    if config.read.convert:
        wide = to_bits(to_fp32(from_bits(vectors, BF16)))
        lanes = vectors.shape[1]
        halves = np.stack([wide & np.uint32(0xFFFF), wide >> np.uint32(ELEMENT_BITS)], axis=-1)
        vectors = halves.astype(np.uint16).reshape(-1, lanes)
        sequence = np.repeat(sequence, 2)
    return VectorBeats(vectors, sequence)


def _permutation(pipeline: Any) -> list[int]:
    return [int(source) for source in pipeline.permute]


def _scalar_out(output: Any, loops: dict[Side, Iterations], accesses: dict[Side, _Accesses]) -> Integers:
    if output.side == Side.NONE.value:
        return np.zeros(0, np.int64)
    values: Integers = accesses[Side(output.side)].registers[output.register]
    return values[_ends(output, loops)]
