"""The AGCU in NumPy: executes the configuration words of a program on complete input streams and a byte memory.

A program is a set of streams, and :func:`accesses`, :func:`load` and :func:`store` execute one of them, so that whoever
models a whole fabric runs them in the order in which their inputs come to be. :func:`run` executes all, one after the
other; its result is defined only if the order does not matter or something (a token, a fence) enforces it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.address import alu, held, initial, signed
from golden_model.control import Iterations, iterations, rounds, summed
from golden_model.pmu import VectorBeats, joined_beats
from hdl.agcu.config import Cause, agcu_layout, streams
from hdl.config import unpack
from hdl.errors import ParameterError
from hdl.params import ELEMENT_BITS, MEMORY_ADDRESS_BITS, SCALAR_BITS, TIER_SHIFT, RDUParams
from hdl.pmu.config import REGISTERS, Addend, AddressOp

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Elements = NDArray[np.uint16]
Words = NDArray[np.uint32]
Memory = Mapping[int, NDArray[np.uint8]]
"""The bytes of every tier, by its number."""

ELEMENT_BYTES = ELEMENT_BITS // 8
WORD_BYTES = SCALAR_BITS // 8


@dataclass(frozen=True)
class Fault:
    """An access that is refused; ``address`` is its offset within the segment."""

    cause: Cause
    stream: int
    segment: int
    write: bool
    address: int


@dataclass(frozen=True)
class Accesses:
    """The accesses of one stream in order, up to the first that is refused.

    Attributes:
        offset, limit, kept, sequence: of each access: bytes within the segment, lanes, whether the predicate holds, id.
        address: byte address in the memory system.
        fire, emit: iterations that send token i (columns), or their offset as a scalar.
        consumed_scalars, consumed_tokens: what each scalar input and token wire gave, as far as the stream came.
        fault: why it went no further.
    """

    offset: Integers
    limit: Integers
    kept: Flags
    sequence: Integers
    address: Integers
    fire: Flags
    emit: Flags
    consumed_scalars: tuple[int, ...]
    consumed_tokens: tuple[int, ...]
    fault: Fault | None

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def touches(self) -> Flags:
        """Accesses that move data."""
        return self.kept & (self.limit > 0)

    @property
    def emitted(self) -> Integers:
        return self.offset[self.emit]


@dataclass(frozen=True)
class Outputs:
    """What a program leaves, besides the memory it wrote.

    ``vectors``: of each load. ``scalars``: of scalar output 0. ``tokens``: pulses sent on each wire. ``consumed_*``:
    beats, words and pulses taken from each input. ``faults``: of each stream; with several, timing says which is first.
    """

    vectors: tuple[VectorBeats, ...]
    scalars: Integers
    tokens: tuple[int, ...]
    consumed_vectors: tuple[int, ...]
    consumed_scalars: tuple[int, ...]
    consumed_tokens: tuple[int, ...]
    faults: tuple[Fault | None, ...]


def run(
    params: RDUParams,
    words: Sequence[int],
    vectors: Sequence[VectorBeats],
    scalars: Sequence[Sequence[int]],
    memory: Memory,
    order: Sequence[int] | None = None,
) -> Outputs:
    """Executes the program in ``words``, and changes ``memory``.

    Args:
        vectors: the data of each store; more may be given than are consumed.
        order: of the streams, loads counted first; default: as they are numbered.

    Raises:
        ParameterError: an input stream is too short, or a segment lies where there is no memory.
    """
    rounds_made: list[Outputs] = []
    for number in range(rounds_of(params, words)):
        made = run_round(params, words, vectors, scalars, memory, order, number)
        rounds_made.append(made)
        if any(made.faults):
            break
        vectors = [each.after(count) for each, count in zip(vectors, made.consumed_vectors, strict=True)]
        scalars = [each[count:] for each, count in zip(scalars, made.consumed_scalars, strict=True)]
    return _joined(rounds_made)


def rounds_of(params: RDUParams, words: Sequence[int]) -> int:
    """How often the program in ``words`` runs.

    Raises:
        ParameterError: its streams disagree.
    """
    config: Any = unpack(agcu_layout(params), words)
    found = {rounds(s.access.chain) for s in (*config.loads, *config.stores) if s.access.enable}
    if len(found) > 1:
        raise ParameterError(f"AGCU: streams run {sorted(found)} rounds: give all the same number")
    return found.pop() if found else 1


def _joined(made: Sequence[Outputs]) -> Outputs:
    """What several rounds leave together."""

    return Outputs(
        vectors=tuple(joined_beats(each) for each in zip(*(m.vectors for m in made), strict=True)),
        scalars=np.concatenate([m.scalars for m in made]),
        tokens=summed(m.tokens for m in made),
        consumed_vectors=summed(m.consumed_vectors for m in made),
        consumed_scalars=summed(m.consumed_scalars for m in made),
        consumed_tokens=summed(m.consumed_tokens for m in made),
        faults=made[-1].faults,
    )


def run_round(
    params: RDUParams,
    words: Sequence[int],
    vectors: Sequence[VectorBeats],
    scalars: Sequence[Sequence[int]],
    memory: Memory,
    order: Sequence[int] | None,
    number: int,
) -> Outputs:
    """Round ``number`` of :func:`run`."""
    config: Any = unpack(agcu_layout(params), words)
    loads, count = params.agcu.loads, streams(params.agcu)
    made = [accesses(params, words, s, scalars, number) for s in range(count)]
    loaded: dict[int, VectorBeats] = {}
    for s in order or range(count):
        if s < loads:
            loaded[s] = load(params, made[s], memory)
        else:
            store(params, words, s, made[s], vectors[s - loads], scalars, memory)
    of_words = [s for s in range(loads) if config.loads[s].scalar]
    emitted = [a.emitted for a in made]
    return Outputs(
        vectors=tuple(_cut(loaded[s], 0 if s in of_words else None) for s in range(loads)),
        scalars=np.concatenate([*(words_of(made[s], loaded[s]) for s in of_words), *emitted]).astype(np.int64),
        tokens=tuple(int(sum(a.fire[:, i].sum() for a in made)) for i in range(params.agcu.TOKENS)),
        consumed_vectors=tuple(0 if config.stores[s - loads].source else len(made[s]) for s in range(loads, count)),
        consumed_scalars=tuple(sum(a.consumed_scalars[j] for a in made) for j in range(params.agcu.SCALAR_INPUTS)),
        consumed_tokens=tuple(sum(a.consumed_tokens[i] for a in made) for i in range(params.agcu.TOKENS)),
        faults=tuple(a.fault for a in made),
    )


def _cut(beats: VectorBeats, count: int | None) -> VectorBeats:
    return VectorBeats(beats.elements[:count], beats.sequence[:count])


def accesses(
    params: RDUParams, words: Sequence[int], stream: int, scalars: Sequence[Sequence[int]], number: int = 0
) -> Accesses:
    """The accesses of stream ``stream`` (loads count first) in round ``number``; only the scalar inputs that it uses
    matter.

    Raises:
        ParameterError: a scalar input holds fewer words than the stream takes.
    """
    config: Any = unpack(agcu_layout(params), words)
    is_store, part = _part(params, config, stream)
    common = part.access
    inputs = [np.asarray(each, np.uint32) for each in scalars]
    loops = _loops(params, common, inputs)
    registers = _registers(params, config, stream, common, loops, inputs)
    offset = registers[common.address] + number * int(common.step) & (1 << SCALAR_BITS) - 1
    lanes, by_word = params.lanes, bool(is_store and part.source)
    limit = np.full(len(loops), lanes, np.int64)
    if common.limit.enable:
        scale = 2 if not is_store and part.scalar else 1  # words of two lanes
        limit = np.clip(signed(registers[common.limit.register]), 0, lanes // scale) * scale
    kept = np.ones(len(loops), np.bool_)
    if common.bit.enable:
        kept = (registers[common.bit.register] >> common.bit.position & 1).astype(np.bool_)
    causes = _causes(params, config, common, is_store, by_word, offset, limit)
    causes[~kept | (limit == 0)] = Cause.NONE.value
    refused = np.flatnonzero(causes)
    end = int(refused[0]) if len(refused) else len(loops)
    fault = None
    if len(refused):
        fault = Fault(Cause(int(causes[end])), stream, int(common.segment), is_store, int(offset[end]))
    sequence = np.zeros(len(loops), np.int64)
    if not is_store and part.sequence.enable:
        sequence = registers[part.sequence.register] & 0xFFFF
    mine = [config.scalar_in[j].stream == stream + 1 for j in range(params.agcu.SCALAR_INPUTS)]
    first, last = number == 0, number == rounds(common.chain) - 1
    fire = [_at(loops.last, e, stream, len(loops)) & (not (e.carried and last)) for e in config.token_out]
    wait = [_at(loops.first, e, stream, len(loops)) & (not (e.carried and first)) for e in config.token_in]
    return Accesses(
        offset=offset[:end],
        limit=limit[:end],
        kept=kept[:end],
        sequence=sequence[:end],
        address=(int(config.segments[common.segment].base) + offset[:end]) & ((1 << MEMORY_ADDRESS_BITS) - 1),
        fire=np.stack(fire, axis=1)[:end],
        emit=_at(loops.last, config.scalar_out[0], stream, len(loops))[:end],
        consumed_scalars=tuple(
            loops.popped[j]
            + int(_at(loops.last, config.scalar_in[j], stream, len(loops)).sum() if mine[j] else 0)
            + (end if by_word and part.source == j + 1 else 0)
            for j in range(params.agcu.SCALAR_INPUTS)
        ),
        consumed_tokens=tuple(int(each.sum()) for each in wait),
        fault=fault,
    )


def _part(params: RDUParams, config: Any, stream: int) -> tuple[bool, Any]:
    """Whether it is a store, and its part of the configuration."""
    loads = params.agcu.loads
    return (True, config.stores[stream - loads]) if stream >= loads else (False, config.loads[stream])


def _loops(params: RDUParams, common: Any, scalars: Sequence[Words]) -> Iterations:
    if common.enable:
        return iterations(common.chain, scalars)
    none = np.zeros((0, params.agcu.COUNTERS), np.int64)
    return Iterations(none, none, none == 0, none == 0, (0,) * params.agcu.SCALAR_INPUTS)


def _at(boundaries: Any, event: Any, stream: int, count: int) -> Flags:
    """Iterations of ``stream`` at which ``event`` happens; ``boundaries`` is ``first`` or ``last`` of its loops."""
    return boundaries(event.boundary) if event.stream == stream + 1 else np.zeros(count, np.bool_)


def _registers(
    params: RDUParams, config: Any, stream: int, common: Any, loops: Iterations, scalars: Sequence[Words]
) -> list[Integers]:
    """Registers after the last ALU stage."""
    operands = {Addend.NONE.value: np.zeros(len(loops), np.int64)}
    for j in range(params.agcu.SCALAR_INPUTS):
        event = config.scalar_in[j]
        if event.stream == stream + 1 and len(loops):
            operands[Addend.SCALAR_0.value + j] = held(scalars[j], loops.last(event.boundary), j)
    if not len(loops):
        return [np.zeros(0, np.int64)] * REGISTERS
    registers = [initial(common.registers[k], loops.value, operands) for k in range(REGISTERS)]
    for stage in common.alu:
        if stage.op != AddressOp.NONE.value:
            registers[stage.destination] = alu(stage, registers)
    return registers


def _causes(
    params: RDUParams, config: Any, common: Any, is_store: bool, by_word: bool, offset: Integers, limit: Integers
) -> Integers:
    """Why each access is refused, were it to move data."""
    segment = config.segments[common.segment]
    permitted = (config.writable if is_store else config.readable) >> common.segment & 1
    end = offset + (WORD_BYTES if by_word else limit * ELEMENT_BYTES)
    misaligned = offset % (WORD_BYTES if by_word else params.beat_bytes) != 0
    misaligned |= segment.base % (params.beat_bytes * params.memory.granule) != 0
    refused = np.where(end > segment.limit, Cause.OUTSIDE.value, Cause.NONE.value)
    if not permitted:
        refused[:] = Cause.PERMISSION.value
    return np.where(misaligned, Cause.MISALIGNED.value, refused)


def load(params: RDUParams, made: Accesses, memory: Memory) -> VectorBeats:
    """The vectors that a load gives: accesses kept, lanes beyond the limit zero."""
    moved = made.touches[:, None] & (np.arange(params.lanes) < made.limit[:, None])
    elements = np.zeros(moved.shape, np.uint16)
    tier, places = _places(memory, made.address, moved)
    elements[moved] = tier[places]
    return VectorBeats(elements[made.kept], made.sequence[made.kept])


def words_of(made: Accesses, beats: VectorBeats) -> Integers:
    """The 32-bit words of a load's vectors, as far as its limits say."""
    words = beats.elements.astype(np.int64)
    words = words[:, 0::2] | words[:, 1::2] << ELEMENT_BITS
    counts = made.limit[made.kept] // 2
    return np.asarray(words[np.arange(words.shape[1]) < counts[:, None]])


def store(
    params: RDUParams,
    words: Sequence[int],
    stream: int,
    made: Accesses,
    vectors: VectorBeats,
    scalars: Sequence[Sequence[int]],
    memory: Memory,
) -> None:
    """Writes what a store's accesses write, in order.

    Raises:
        ParameterError: fewer vectors, or words to store, than accesses.
    """
    config: Any = unpack(agcu_layout(params), words)
    source = int(config.stores[stream - params.agcu.loads].source)
    given = len(scalars[source - 1]) if source else len(vectors.elements)
    if given < len(made):
        kind = f"words of scalar input {source - 1}" if source else "vectors"
        raise ParameterError(f"AGCU: stream {stream} stores {len(made)} {kind}, {given} given")
    if not len(made):
        return
    if source:
        moved = np.repeat(made.touches[:, None], SCALAR_BITS // ELEMENT_BITS, axis=1)
        elements = np.asarray(scalars[source - 1][: len(made)], np.uint32).view(np.uint16).reshape(moved.shape)
    else:
        moved = made.touches[:, None] & (np.arange(params.lanes) < made.limit[:, None])
        elements = vectors.elements[: len(made)]
    tier, places = _places(memory, made.address, moved)
    tier[places] = elements[moved]  # of several values for one place the last stays


def _places(memory: Memory, address: Integers, moved: Flags) -> tuple[Elements, Integers]:
    """The 16-bit elements of the tier of ``address``, and those at ``moved`` elements from each address on."""
    tiers = np.unique(address >> TIER_SHIFT)
    if not moved.any():
        return np.zeros(0, np.uint16), np.zeros(0, np.int64)
    places = (address & ((1 << TIER_SHIFT) - 1))[:, None] // ELEMENT_BYTES + np.arange(moved.shape[1])
    wanted = np.asarray(places[moved])
    tier = memory.get(int(tiers[0]))
    if len(tiers) > 1 or tier is None or wanted.max() * ELEMENT_BYTES >= len(tier):
        highest = int(address.max())
        raise ParameterError(f"AGCU: there is no memory at address {highest:#x}, or just behind it: move the segment")
    return tier.view(np.uint16), wanted
