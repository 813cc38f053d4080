"""Units joined by streams, in NumPy: every unit runs on its complete input streams, in the order the data flow.

What a unit computes depends only on what its streams carry, not on when (Kahn, "The semantics of a simple language for
parallel programming", 1974), so time plays no part here. Where several streams end in one input their order is open;
a program's result must not depend on it (a PMU that places vectors by their sequence ids does not), unless one of them
follows from the other.

Streams may go round in a circle, where a unit serves two parts of a kernel in turn. Where all units wait for others,
each goes on as far as what has come takes it: a turn of its outermost loop needs nothing of what later turns are given.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden_model import agcu, pcu, pmu
from golden_model.pmu import VectorBeats
from hdl.agcu.config import agcu_layout, streams
from hdl.config import unpack
from hdl.floorplan import Kind, scalar_ports, token_ports, vector_ports
from hdl.params import PCUParams, PMUParams, RDUParams
from hdl.rdn.config import Fabric

Unit = Hashable
"""How a unit is called: a place, a number, a name."""

Words = NDArray[np.uint32]
Data = VectorBeats | Words | int
"""A complete stream: of vectors, of scalars, or a number of tokens."""


class FabricError(RuntimeError):
    """A program that no hardware could finish: streams that wait for each other, or end too early or too late.

    ``fault``: the unit and the access it was refused, if that is why.
    """

    def __init__(self, sentence: str, fault: tuple[Unit, agcu.Fault] | None = None) -> None:
        super().__init__(sentence)
        self.fault = fault


@dataclass(frozen=True)
class End:
    """One port of one unit; whether input or output follows from where it stands."""

    unit: Unit
    fabric: Fabric
    index: int

    def __str__(self) -> str:
        return f"{self.fabric.name.lower()} port {self.index} of {self.unit}"


Connections = Mapping[End, Sequence[End]]
"""For every output in use, the inputs it feeds."""


@dataclass(frozen=True)
class Result:
    """What an actor did: streams by output, and how many elements it took from each input."""

    outputs: Mapping[End, Data]
    consumed: Mapping[End, int]


@dataclass(frozen=True)
class Actor:
    """A unit, or a part of one that runs by itself (a stream of an AGCU).

    ``inputs``: the ports it reads; it runs when every stream that ends there is complete. ``run`` is told the number
    of the round. ``rounds``: how often it runs; None: as often as the others. ``part``: its first turns alone, of
    ``turns`` in a round; it leaves nothing behind.
    """

    name: str
    inputs: Sequence[End]
    outputs: Sequence[End]
    run: Callable[[Mapping[End, Data], int], Result]
    rounds: int | None = None
    turns: int = 1
    part: Callable[[Mapping[End, Data], int, int], Result] | None = None


def execute(actors: Iterable[Actor], connections: Connections, lanes: int) -> dict[End, Data]:
    """Runs every actor, round after round; returns what left every output in use.

    In the hardware a unit begins its next round as soon as it can. What one round leaves to the next in memory is
    therefore guarded by tokens that are carried over (``docs/agcu.md``), which are no streams of either.

    Raises:
        FabricError: actors wait for each other, a stream carries more than its receiver takes, or rounds differ.
    """
    everyone = list(actors)
    found = {actor.rounds for actor in everyone if actor.rounds is not None}
    if len(found) > 1:
        few, many = (next(a.name for a in everyone if a.rounds == n) for n in (min(found), max(found)))
        raise FabricError(f"{few} runs {min(found)} rounds and {many} {max(found)}: give all units the same number")
    made = [_round(everyone, connections, lanes, number) for number in range(max(found, default=1))]
    if len(made) == 1:
        return made[0]
    return {end: _joined([streams[end] for streams in made], end.fabric, lanes) for end in made[0]}


def _round(actors: Sequence[Actor], connections: Connections, lanes: int, number: int) -> dict[End, Data]:
    """Every actor once."""
    flow = _Flow(actors, connections, lanes, number)
    waiting = list(actors)
    while waiting:
        ready = [actor for actor in waiting if flow.complete(actor)]
        for actor in ready:
            flow.finish(actor)
        went_on = [] if ready else [flow.advance(actor) for actor in waiting]
        if not ready and not any(went_on):
            names = ", ".join(actor.name for actor in waiting)
            raise FabricError(f"these units wait for each other's streams: {names}")
        waiting = [actor for actor in waiting if actor.name not in flow.results]
    for actor in actors:
        _check(actor, flow.inputs(actor), flow.results[actor.name], flow.sources)
    return flow.streams


class _Flow:
    """A round under way.

    Attributes:
        streams: by output, in the order in which they began; ``whole``: of these the complete ones.
        results: of the actors that are done, by name. taken: turns that the others have done.
    """

    def __init__(self, actors: Sequence[Actor], connections: Connections, lanes: int, number: int) -> None:
        self.lanes, self.number = lanes, number
        self.sources: dict[End, list[End]] = defaultdict(list)
        for output, ends in connections.items():
            for end in ends:
                self.sources[end].append(output)
        self.produced = {output for actor in actors for output in actor.outputs}
        self.streams: dict[End, Data] = {}
        self.whole: set[End] = set()
        self.results: dict[str, Result] = {}
        self.taken: dict[str, int] = defaultdict(int)

    def complete(self, actor: Actor) -> bool:
        """Whether all its input streams are."""
        return all(s in self.whole for i in actor.inputs for s in self.sources[i] if s in self.produced)

    def inputs(self, actor: Actor) -> dict[End, Data]:
        """What has come so far: where several streams end, first that which began first."""
        began = {output: place for place, output in enumerate(self.streams)}
        given = {i: sorted((s for s in self.sources[i] if s in began), key=began.__getitem__) for i in actor.inputs}
        return {i: _joined([self.streams[s] for s in ends], i.fabric, self.lanes) for i, ends in given.items()}

    def finish(self, actor: Actor) -> None:
        """Runs an actor to its end."""
        result = actor.run(self.inputs(actor), self.number)
        self.results[actor.name] = result
        self.streams.update(result.outputs)
        self.whole |= set(result.outputs)

    def advance(self, actor: Actor) -> bool:
        """Runs an actor as far as what has come allows; whether that is farther than before."""
        wanted = [[s for s in self.sources[i] if s in self.produced] for i in actor.inputs]
        if actor.part is None or not all(any(s in self.streams for s in ends) for ends in wanted if ends):
            return False
        for turns in range(actor.turns, self.taken[actor.name], -1):
            try:
                part = actor.part(self.inputs(actor), self.number, turns)
            except ValueError:  # it takes more
                continue
            self.taken[actor.name] = turns
            if turns == actor.turns:
                self.finish(actor)
            else:
                self.streams.update(part.outputs)
            return True
        return False


def _check(actor: Actor, inputs: Mapping[End, Data], result: Result, sources: Mapping[End, Sequence[End]]) -> None:
    for end, data in inputs.items():
        taken, given = result.consumed.get(end, 0), length(data)
        if taken != given:
            origin = ", ".join(map(str, sources[end])) or "nothing"
            raise FabricError(f"{actor.name} takes {taken} from {end}, which carries {given} from {origin}")


def length(data: Data) -> int:
    """Beats, words, or tokens."""
    if isinstance(data, VectorBeats):
        return len(data.elements)
    return data if isinstance(data, int) else len(data)


def _joined(streams: Sequence[Data], fabric: Fabric, lanes: int) -> Data:
    """All that arrives at one input; in no order that a program may rely on, if there is more than one stream."""
    if fabric is Fabric.TOKEN:
        return sum(length(stream) for stream in streams)
    if fabric is Fabric.SCALAR:
        words = [stream for stream in streams if isinstance(stream, np.ndarray)]
        return np.concatenate([np.zeros(0, np.uint32), *words]).astype(np.uint32)
    beats = [stream for stream in streams if isinstance(stream, VectorBeats)]
    return VectorBeats(
        np.concatenate([np.zeros((0, lanes), np.uint16), *(b.elements for b in beats)]).astype(np.uint16),
        np.concatenate([np.zeros(0, np.int64), *(b.sequence for b in beats)]).astype(np.int64),
    )


def inputs_of(params: RDUParams, unit: Unit, kind: Kind) -> list[End]:
    """Every input port of a unit, vectors first."""
    counts = (vector_ports(params, kind), scalar_ports(params, kind), token_ports(params, kind))
    return [End(unit, fabric, i) for fabric, ports in zip(Fabric, counts, strict=True) for i in range(ports.inputs)]


def outputs_of(params: RDUParams, unit: Unit, kind: Kind) -> list[End]:
    """Every output port of a unit, vectors first."""
    counts = (vector_ports(params, kind), scalar_ports(params, kind), token_ports(params, kind))
    return [End(unit, fabric, i) for fabric, ports in zip(Fabric, counts, strict=True) for i in range(ports.outputs)]


def pcu_actor(params: RDUParams, unit: Unit, words: Sequence[int]) -> Actor:
    """A PCU with the configuration ``words``."""

    def run(inputs: Mapping[End, Data], number: int, turns: int | None = None) -> Result:
        vectors, scalars, _ = _split(unit, inputs, params.pcu)
        out = pcu.run_round(params.pcu, words, pcu.Inputs([beats.elements for beats in vectors], scalars), turns)
        beats = [VectorBeats(v, s.astype(np.int64)) for v, s in zip(out.vectors, out.sequences, strict=True)]
        return Result(
            _numbered(unit, beats, out.scalars, out.tokens_out),
            _numbered_counts(unit, out.vector_beats, out.scalar_words, out.tokens_in),
        )

    ends = inputs_of(params, unit, Kind.PCU), outputs_of(params, unit, Kind.PCU)
    rounds, turns = pcu.rounds_of(params.pcu, words), pcu.turns_of(params.pcu, words)
    return Actor(f"PCU {unit}", *ends, run, rounds, turns, run)


def pmu_actor(params: RDUParams, unit: Unit, words: Sequence[int], memory: NDArray[np.uint16]) -> Actor:
    """A PMU with the configuration ``words``; ``memory`` (lanes, rows) is what it holds, before and after."""

    handed = 0  # buffers, in rounds before

    def run(inputs: Mapping[End, Data], number: int, turns: int | None = None) -> Result:
        nonlocal handed
        vectors, scalars, _ = _split(unit, inputs, params.pmu)
        operands = [words.tolist() for words in scalars]
        before = handed if number else 0
        out = pmu.run_round(params.pmu, words, vectors, operands, memory, "write", before, turns)
        if turns is None:
            memory[:], handed = out.memory, out.handed
        words_out = [np.asarray(stream, np.uint32) for stream in out.scalars]
        return Result(
            _numbered(unit, [out.vector], words_out, out.tokens),
            _numbered_counts(unit, out.consumed_vectors, out.consumed_scalars, out.consumed_tokens),
        )

    ends = inputs_of(params, unit, Kind.PMU), outputs_of(params, unit, Kind.PMU)
    rounds, turns = pmu.rounds_of(params.pmu, words), pmu.turns_of(params.pmu, words)
    return Actor(f"PMU {unit}", *ends, run, rounds, turns, run)


def agcu_actors(params: RDUParams, unit: Unit, words: Sequence[int], memory: agcu.Memory) -> Iterator[Actor]:
    """The streams of an AGCU with the configuration ``words``, each an actor; stores change ``memory``.

    Raises, when they run:
        FabricError: an access was refused.
    """
    config: Any = unpack(agcu_layout(params), words)
    loads = params.agcu.loads
    for s in range(streams(params.agcu)):
        part = config.loads[s] if s < loads else config.stores[s - loads]
        if part.access.enable:
            yield _agcu_actor(params, unit, words, s, memory)


def _agcu_actor(params: RDUParams, unit: Unit, words: Sequence[int], s: int, memory: agcu.Memory) -> Actor:
    config: Any = unpack(agcu_layout(params), words)
    loads, is_store = params.agcu.loads, s >= params.agcu.loads
    part = config.stores[s - loads] if is_store else config.loads[s]
    name = f"AGCU {unit} {'store' if is_store else 'load'} {s - loads if is_store else s}"
    sources = {counter.source for counter in part.access.chain.counters} | ({part.source} if is_store else set())
    scalars = [j for j, e in enumerate(config.scalar_in) if e.stream == s + 1 or j + 1 in sources]
    tokens_in = [i for i, e in enumerate(config.token_in) if e.stream == s + 1 and not e.carried]
    tokens_out = [i for i, e in enumerate(config.token_out) if e.stream == s + 1]
    data = End(unit, Fabric.VECTOR, s - loads if is_store else s)
    by_word = bool(part.source if is_store else part.scalar)
    scalar_out = End(unit, Fabric.SCALAR, 0)
    sends_words = (not is_store and by_word) or config.scalar_out[0].stream == s + 1
    inputs = [*([data] if is_store and not by_word else []), *(End(unit, Fabric.SCALAR, j) for j in scalars)]
    inputs += [End(unit, Fabric.TOKEN, i) for i in tokens_in]
    outputs = [*([] if is_store or by_word else [data]), *([scalar_out] if sends_words else [])]
    outputs += [End(unit, Fabric.TOKEN, i) for i in tokens_out]

    def run(given: Mapping[End, Data], number: int) -> Result:
        held = [
            given.get(End(unit, Fabric.SCALAR, j), np.zeros(0, np.uint32)) for j in range(params.agcu.SCALAR_INPUTS)
        ]
        words_in = [stream.tolist() for stream in held if isinstance(stream, np.ndarray)]
        made = agcu.accesses(params, words, s, words_in, number)
        if made.fault is not None:
            raise FabricError(f"{name} was refused an access: {made.fault}", (unit, made.fault))
        consumed = {End(unit, Fabric.SCALAR, j): made.consumed_scalars[j] for j in scalars}
        consumed |= {End(unit, Fabric.TOKEN, i): made.consumed_tokens[i] for i in tokens_in}
        result: dict[End, Data] = {End(unit, Fabric.TOKEN, i): int(made.fire[:, i].sum()) for i in tokens_out}
        if is_store:
            beats = given.get(data, VectorBeats(np.zeros((0, params.lanes), np.uint16), np.zeros(0, np.int64)))
            assert isinstance(beats, VectorBeats)
            agcu.store(params, words, s, made, beats, words_in, memory)
            if not by_word:
                consumed[data] = len(made)
        else:
            beats = agcu.load(params, made, memory)
            if by_word:
                result[scalar_out] = agcu.words_of(made, beats).astype(np.uint32)
            else:
                result[data] = beats
        if config.scalar_out[0].stream == s + 1:
            result[scalar_out] = made.emitted.astype(np.uint32)
        return Result(result, consumed)

    return Actor(name, inputs, outputs, run, agcu.rounds_of(params, words))


def _split(
    unit: Unit, inputs: Mapping[End, Data], sizes: PCUParams | PMUParams
) -> tuple[list[VectorBeats], list[Words], list[int]]:
    """A unit's input streams by fabric, in order of port."""
    vectors, scalars, tokens = [], [], []
    for i in range(sizes.VECTOR_INPUTS):
        data = inputs[End(unit, Fabric.VECTOR, i)]
        assert isinstance(data, VectorBeats)
        vectors.append(data)
    for i in range(sizes.SCALAR_INPUTS):
        words = inputs[End(unit, Fabric.SCALAR, i)]
        assert isinstance(words, np.ndarray)
        scalars.append(words)
    for i in range(sizes.TOKENS):
        count = inputs[End(unit, Fabric.TOKEN, i)]
        assert isinstance(count, int)
        tokens.append(count)
    return vectors, scalars, tokens


def _numbered(
    unit: Unit, vectors: Iterable[VectorBeats], scalars: Iterable[Words], tokens: Iterable[int]
) -> dict[End, Data]:
    outputs: dict[End, Data] = {}
    for i, beats in enumerate(vectors):
        outputs[End(unit, Fabric.VECTOR, i)] = beats
    for i, stream in enumerate(scalars):
        outputs[End(unit, Fabric.SCALAR, i)] = stream
    for i, count in enumerate(tokens):
        outputs[End(unit, Fabric.TOKEN, i)] = count
    return outputs


def _numbered_counts(
    unit: Unit, vectors: Iterable[int], scalars: Iterable[int], tokens: Iterable[int]
) -> dict[End, int]:
    counts = zip(Fabric, (vectors, scalars, tokens), strict=True)
    return {End(unit, fabric, i): count for fabric, each in counts for i, count in enumerate(each)}
