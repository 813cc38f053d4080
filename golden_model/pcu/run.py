"""One program of a PCU from its configuration words to its output streams."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model.control import Iterations, iterations, rounds, summed, turns
from golden_model.pcu import simd, systolic, tail
from golden_model.pcu.simd import Words
from golden_model.pcu.tail import Context
from hdl.config import unpack
from hdl.params import PCUParams
from hdl.pcu.config import COUNTERS, SHARED, Conversion, Mode, ScalarSource, SharedSource, pcu_layout

Beats = NDArray[np.uint16]
"""(n, lanes): vector beats."""


@dataclass(frozen=True)
class Inputs:
    """Complete input streams: beats (n, lanes) uint16 of each vector input, words (n,) uint32 of each scalar input."""

    vectors: Sequence[Beats]
    scalars: Sequence[Words]

    def after(self, made: "Outputs") -> "Inputs":
        """Without what was consumed."""
        return Inputs(
            [beats[count:] for beats, count in zip(self.vectors, made.vector_beats, strict=True)],
            [words[count:] for words, count in zip(self.scalars, made.scalar_words, strict=True)],
        )


@dataclass(frozen=True)
class Outputs:
    """Complete output streams, and what was consumed.

    Attributes:
        vectors: (n, lanes) beats of each vector output; ``sequences`` (n,) beside them.
        scalars: (n,) words of each scalar output.
        tokens_in, tokens_out: pulses taken and given on each control wire.
        vector_beats, scalar_words: consumed from each input, prefetched ones not counted.
    """

    vectors: tuple[Beats, ...]
    sequences: tuple[NDArray[np.uint16], ...]
    scalars: tuple[Words, ...]
    tokens_in: tuple[int, ...]
    tokens_out: tuple[int, ...]
    vector_beats: tuple[int, ...]
    scalar_words: tuple[int, ...]


@dataclass(frozen=True)
class _Results:
    """Vectors at the entry of the tail: lanes, a side register, an index, the iteration and the stage of each."""

    lanes: Words
    side: Words
    index: Words
    iteration: NDArray[np.int64]
    stage: NDArray[np.int64]
    stages: int


def run(params: PCUParams, words: Sequence[int], inputs: Inputs) -> Outputs:
    """Executes one start of the program in ``words``.

    Raises:
        ValueError: an input stream ends before the program does.
    """
    made: list[Outputs] = []
    for _ in range(rounds_of(params, words)):
        made.append(run_round(params, words, inputs))
        inputs = inputs.after(made[-1])
    return _joined(made)


def rounds_of(params: PCUParams, words: Sequence[int]) -> int:
    """How often the program in ``words`` runs."""
    return rounds(unpack(pcu_layout(params), words).chain)


def turns_of(params: PCUParams, words: Sequence[int]) -> int:
    """Iterations of the outermost loop of a round; 1 if what it accumulates goes over several of them."""
    config = unpack(pcu_layout(params), words)
    return 1 if int(config.group.counters) & 1 else turns(config.chain)


def _joined(made: Sequence[Outputs]) -> Outputs:
    """What several rounds leave together."""

    def streams(name: str) -> Any:
        return tuple(np.concatenate(parts) for parts in zip(*(getattr(m, name) for m in made), strict=True))

    counted = ("tokens_in", "tokens_out", "vector_beats", "scalar_words")
    return Outputs(
        **{name: streams(name) for name in ("vectors", "sequences", "scalars")},
        **{name: summed(getattr(m, name) for m in made) for name in counted},
    )


def run_round(params: PCUParams, words: Sequence[int], inputs: Inputs, turns: int | None = None) -> Outputs:
    """A round of :func:`run`: none knows of another. ``turns``: only so many iterations of its outermost loop."""
    config = unpack(pcu_layout(params), words)
    loops = iterations(config.chain, inputs.scalars, turns)
    vector_beats, scalar_words = [0] * len(inputs.vectors), list(loops.popped)
    shared = _shared(config, loops, inputs, scalar_words)
    body = _systolic if Mode(config.mode) is Mode.SYSTOLIC else _simd
    results = body(config, loops, inputs, shared, vector_beats)
    lanes = tail.run(config.tail, results.lanes, Context(shared[results.iteration], results.stage))
    vectors, sequences = _vector_outputs(config, loops, results, lanes)
    return Outputs(
        vectors=vectors,
        sequences=sequences,
        scalars=_scalar_outputs(config, loops, results, lanes, shared),
        tokens_in=tuple(_count(t, loops.first(int(t.boundary))) for t in config.token_in),
        tokens_out=tuple(
            _count(t, _at(loops, results, t.boundary) & (results.stage == results.stages - 1)) for t in config.token_out
        ),
        vector_beats=tuple(vector_beats),
        scalar_words=tuple(scalar_words),
    )


def group_flags(config: Any, loops: Iterations) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64]]:
    """(n,) each: an iteration begins its accumulation group, ends it, and the accumulator it works on."""
    inside = [i for i in range(COUNTERS) if int(config.group.counters) >> i & 1]
    starts = np.asarray(loops.at_first[:, inside].all(axis=1))
    ends = np.asarray(loops.at_last[:, inside].all(axis=1))
    depth = int(config.chain.depth)
    slots = loops.index[:, depth - 1] if config.group.slotted else np.zeros(len(loops), np.int64)
    return starts, ends, slots


def _shared(config: Any, loops: Iterations, inputs: Inputs, scalar_words: list[int]) -> Words:
    """(n, SHARED): counters' values and heads of the scalar inputs."""
    shared = np.zeros((len(loops), SHARED), np.uint32)
    heads = []
    for j, port in enumerate(config.scalar_in):
        if port.enable:
            at, count = _heads(loops, int(port.pop))
            heads.append(_take(inputs.scalars[j], at, f"scalar input {j}"))
            scalar_words[j] += count
        else:
            heads.append(np.zeros(len(loops), np.uint32))
    for k in range(SHARED):
        source = int(SharedSource(config.shared[k]).value)
        if 1 <= source <= COUNTERS:
            shared[:, k] = loops.value[:, source - 1]
        elif source:
            shared[:, k] = heads[source - 1 - COUNTERS]
    return shared


def _heads(loops: Iterations, boundary: int) -> tuple[NDArray[np.int64], int]:
    """Which element of a stream stands at its head in each iteration, and how many are popped."""
    pops = np.cumsum(loops.last(boundary))
    return np.concatenate([[0], pops[:-1]]), int(pops[-1])


def _take(stream: NDArray[Any], at: NDArray[np.int64], what: str) -> NDArray[Any]:
    if len(stream) <= at[-1]:
        raise ValueError(f"{what} holds {len(stream)} elements, the program takes {at[-1] + 1}")
    return np.asarray(stream[at])


def _words(beats: Beats, wide: bool) -> Words:
    """Beats as vectors of 32-bit words: two beats each, or one whose elements are the upper halves."""
    if not wide:
        return beats.astype(np.uint32) << np.uint32(16)
    even = np.ascontiguousarray(beats[: len(beats) // 2 * 2])
    return even.view("<u4").reshape(-1, beats.shape[1])


def _operands(config: Any, loops: Iterations, inputs: Inputs, j: int, vector_beats: list[int]) -> Words:
    """(n, lanes): what vector input ``j`` gives each iteration; zeros if it is not enabled."""
    port = config.vector_in[j]
    if not port.enable:
        return np.zeros((len(loops), inputs.vectors[j].shape[1]), np.uint32)
    at, count = _heads(loops, int(port.pop))
    vector_beats[j] = count * (2 if port.wide else 1)
    return _take(_words(inputs.vectors[j], bool(port.wide)), at, f"vector input {j}")


def _simd(config: Any, loops: Iterations, inputs: Inputs, shared: Words, vector_beats: list[int]) -> _Results:
    starts, ends, slots = group_flags(config, loops)
    registers = [_operands(config, loops, inputs, j, vector_beats) for j in range(len(inputs.vectors))]
    registers = simd.run(config, registers, shared, starts, slots)
    emits = np.flatnonzero(ends | bool(config.group.running))
    side, index = registers[int(config.side.register)][emits], np.zeros(len(emits), np.uint32)
    if config.reduce.enable:
        source = registers[int(config.reduce.register)]
        base = Context(shared, slots).choose(int(config.reduce.base))
        value, index = tail.reduce(config.reduce, source, base, starts, slots)
        lanes, index = np.repeat(value[emits, np.newaxis], source.shape[1], axis=1), index[emits]
    else:
        lanes = registers[int(config.tail.register)][emits]
    return _Results(lanes, side, index, emits, np.zeros(len(emits), np.int64), 1)


def _systolic(config: Any, loops: Iterations, inputs: Inputs, shared: Words, vector_beats: list[int]) -> _Results:
    _, ends, _ = group_flags(config, loops)
    vectors = _operands(config, loops, inputs, 0, vector_beats)
    initial = _words(inputs.vectors[2], True) if config.systolic.initial else None
    tile_ends = loops.last(int(config.systolic.tile))
    tiles, vector_beats[1], taken = systolic.cut_tiles(config, vectors, tile_ends, inputs.vectors[1], initial)
    vector_beats[2] = 2 * taken
    rows = int(config.systolic.rows)
    lanes = np.concatenate([product.reshape(-1, vectors.shape[1]) for product in systolic.products(tiles)])
    emits = np.flatnonzero(ends)
    stage = np.tile(np.arange(rows), len(emits))
    nothing = np.zeros(len(lanes), np.uint32)
    return _Results(lanes, np.zeros_like(lanes), nothing, np.repeat(emits, rows), stage, rows)


def _at(loops: Iterations, results: _Results, boundary: Any) -> NDArray[np.bool_]:
    """(r,): whether an event at ``boundary`` happens with each result."""
    return loops.last(int(boundary))[results.iteration]


def _count(event: Any, happens: NDArray[np.bool_]) -> int:
    return int(happens.sum()) if event.enable else 0


def _vector_outputs(
    config: Any, loops: Iterations, results: _Results, lanes: Words
) -> tuple[tuple[Beats, ...], tuple[NDArray[np.uint16], ...]]:
    sources = [(lanes, Conversion(config.tail.conversion))] * 2
    if config.side.enable and config.side.wide:
        sources[1] = (results.side, Conversion.NONE)
    elif config.side.enable:
        sources[1] = (simd.rounded_to_bf16(results.side), Conversion.BF16)
    counters = [c for c in range(COUNTERS) if int(config.sequence.counters) >> c & 1]
    sequence = int(config.sequence.constant) + loops.value[:, counters].sum(axis=1)[results.iteration]
    sequence = sequence + results.stage * int(config.sequence.stage)
    beats, sequences = [], []
    for port, (words, conversion) in zip(config.vector_out, sources, strict=True):
        sent = _at(loops, results, port.boundary) & bool(port.enable)
        packed, ids = _packed(words[sent], sequence[sent], conversion, int(config.sequence.beat))
        beats.append(packed)
        sequences.append(ids.astype(np.uint16))
    return tuple(beats), tuple(sequences)


def _packed(
    words: Words, sequence: NDArray[np.int64], conversion: Conversion, stride: int
) -> tuple[Beats, NDArray[np.int64]]:
    """Beats of vectors (n, lanes), and their sequence ids: two a vector, one a vector, or one of two vectors."""
    n, lanes = words.shape
    if conversion in (Conversion.NONE, Conversion.INT32):
        beats = np.ascontiguousarray(words).view("<u2").reshape(-1, lanes)
        return beats, (sequence[:, np.newaxis] + np.arange(2) * stride).reshape(-1)
    if conversion is Conversion.INT8:
        pairs = np.pad(words.astype(np.uint8), ((0, n % 2), (0, 0)))
        return pairs.reshape(-1, 2 * lanes).view("<u2"), sequence[np.minimum(np.arange(1, n + 1, 2), n - 1)]
    return (words >> np.uint32(16)).astype(np.uint16), sequence


def _scalar_outputs(
    config: Any, loops: Iterations, results: _Results, lanes: Words, shared: Words
) -> tuple[Words, ...]:
    outputs = []
    for port in config.scalar_out:
        source = ScalarSource(port.source)
        if source is ScalarSource.RESULT:
            values = lanes[:, 0]
        elif source is ScalarSource.INDEX:
            values = results.index
        else:
            values = shared[results.iteration, source.value - ScalarSource.SHARED_0.value]
        outputs.append(values[_at(loops, results, port.boundary) & bool(port.enable)])
    return tuple(outputs)
