"""Collectives over the sockets of a ring, as parts of kernels: streams, no memory between.

A matrix is cut into one chunk of ``vectors`` vectors a socket. **Reduce-scatter**: chunk c begins at socket c + 1, and
every socket on the way adds its own, until the sum is complete at socket c. **All-gather**: from there it goes round
once more. An **AllReduce** is both: vectors of a chunk are on their way round while others are still added.

```
            socket 0            socket 1            socket 2            socket 3
  chunk 0   + own = sum <─ 3 ── + own   <──── 2 ─── + own   ...   begins at socket 1, ends at socket 0
                 └── all-gather: 0 ─> 1 ─> 2 ─> 3
```

In a ring of more than two, several streams share each link: sums on channel 0, results on channel 1. Each of them ends
in a buffer that holds a whole chunk, so that none waits for another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coe_mapping.assembler.pcu import PCUProgram, SequenceId, Simd, Stage, VectorIn
from coe_mapping.kernels.buffer import Order, queue_program
from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.elementwise import BF16_OUT
from coe_mapping.kernels.loops import loops
from coe_mapping.kernels.memory import Binding, Pattern, Region
from coe_mapping.kernels.node_builder import NodeBuilder
from coe_mapping.program import Port
from coe_mapping.spanning import End, SpanningProgram
from hdl.params import RDUParams, require
from hdl.pcu.config import Operation, Source

SUMS, RESULTS = 0, 1
"""Channels of the links in a ring of more than two."""

Own = Callable[[int, int], Port]
"""The output that gives a socket's part of a chunk."""

Sinks = Callable[[int, int], tuple[Port, ...]]
"""The inputs on a socket that take a chunk."""


def reduce_scatter(n: NodeBuilder, name: str, own: Own, vectors: int) -> dict[int, End]:
    """Adds the parts of all sockets (:func:`golden_model.collectives.order`); the output that gives the sum of chunk c,
    which is on socket c. ``own``: the output with a socket's part of a chunk, BF16.

    Raises:
        ParameterError: a chunk does not fit a buffer.
    """
    count, sums = len(n.sockets), dict[int, End]()
    order = Order(loops(vector=vectors), {"vector": n.params.lanes}, None)
    for c in n.sockets:
        first = (c + 1) % count
        coming: End = first, own(first, c)
        for k in range(1, count):
            here = (first + k) % count
            unit = adder(n.builders[here], f"{name}.add{k}", order)
            to = Port(unit, 0)
            if count > 2:
                to = _buffered(n, here, f"{name}.sum{k}", vectors, (to,))
            n.vector(coming, [(here, to)], vectors, SUMS if count > 2 else None)
            n.vector((here, own(here, c)), [(here, Port(unit, 1))], vectors)
            coming = here, Port(unit)
        sums[c] = coming
    return sums


def all_gather(n: NodeBuilder, name: str, chunks: Mapping[int, End], sinks: Sinks, vectors: int) -> None:
    """Takes chunk c from an output on socket c to ``sinks`` of every socket, its own included.

    Raises:
        ParameterError: a chunk does not fit a buffer.
    """
    count = len(n.sockets)
    for c, start in chunks.items():
        own, coming = sinks(c, c), start
        for k in range(1, count):
            here = (c + k) % count
            near = [(coming[0], port) for port in own] if k == 1 else []
            there = list(sinks(here, c))
            if k + 1 < count:
                passed = _queue(n, here, f"{name}.pass{c}", vectors)
                there.append(Port(passed))
            n.vector(coming, [*near, *((here, port) for port in there)], vectors, RESULTS if count > 2 else None)
            if k + 1 < count:
                coming = here, Port(passed)


def broadcast(n: NodeBuilder, name: str, source: End, sinks: Mapping[int, tuple[Port, ...]], vectors: int) -> None:
    """Takes what ``source`` gives to ``sinks`` by socket, round the ring; the source's own among them, if any.

    Raises:
        ParameterError: ``vectors`` do not fit a buffer.
    """
    count, (root, _) = len(n.sockets), source
    coming, near = source, [(root, port) for port in sinks.get(root, ())]
    for k in range(1, count):
        here = (root + k) % count
        there = [(here, port) for port in sinks.get(here, ())]
        if k + 1 < count:
            there.append((here, Port(_queue(n, here, f"{name}.pass", vectors))))
        n.vector(coming, [*near, *there], vectors)
        coming, near = (here, Port(f"{name}.pass")), []


def adder(b: Builder, name: str, order: Order, first: int = 0) -> str:
    """A PCU that adds two streams in ``order`` and rounds to BF16; the ids of its vectors are their element addresses,
    from ``first`` on."""
    every = order.loops.every
    return b.add(
        name,
        PCUProgram(
            counters=order.loops.pcu(**order.strides),
            body=Simd(stages=(Stage(Operation.ADD, Source.REGISTER_0, Source.REGISTER_1),)),
            vector_in=(VectorIn(pop=every), VectorIn(pop=every), None, None),
            tail=BF16_OUT,
            sequence=SequenceId(
                first, tuple(i for i, name in enumerate(order.loops.limits) if order.strides.get(name))
            ),
            vector_out=(every, None),
        ),
    )


def _queue(n: NodeBuilder, socket: int, name: str, vectors: int) -> str:
    """A PMU that holds a chunk whole, and gives it on as it comes."""
    pmu = n.params.pmu
    block = next(size for size in (16, 8, 4, 2, 1) if vectors % size == 0)
    require(
        vectors <= pmu.rows,
        f"{n.name}: a chunk of {vectors} vectors does not fit the {pmu.rows} bank rows of the PMU of {name}: reduce "
        "less at a time",
    )
    return n.builders[socket].add(name, queue_program(pmu, block, vectors // block))


def _buffered(n: NodeBuilder, socket: int, name: str, vectors: int, sinks: tuple[Port, ...]) -> Port:
    """The input of a queue before ``sinks``."""
    unit = _queue(n, socket, name, vectors)
    n.builders[socket].vector(Port(unit), *sinks, weight=vectors)
    return Port(unit)


@dataclass(frozen=True)
class CollectiveKernel:
    """The program, from region ``x`` of each socket to region ``y`` of each."""

    program: SpanningProgram
    bindings: Mapping[int, tuple[Binding, ...]]


def all_reduce_kernel(params: RDUParams, vectors: int, name: str = "all_reduce") -> CollectiveKernel:
    """y = the sum of all x, of ``vectors`` vectors, on every socket.

    Raises:
        ParameterError: they are not as many for each socket, or a chunk does not fit a buffer.
    """
    n, share = NodeBuilder(params, name), _share(params, vectors, name)
    sums = reduce_scatter(n, name, lambda s, c: _load(n, s, vectors, c, share), share)
    all_gather(n, name, sums, lambda s, c: (_store(n, s, vectors, c, share),), share)
    return _kernel(n)


def all_gather_kernel(params: RDUParams, vectors: int, name: str = "all_gather") -> CollectiveKernel:
    """y = chunk c of the x of socket c, for all c, on every socket; ``vectors`` in all.

    Raises:
        ParameterError: as of :func:`all_reduce_kernel`.
    """
    n, share = NodeBuilder(params, name), _share(params, vectors, name)
    chunks = {c: (c, _load(n, c, vectors, c, share)) for c in n.sockets}
    all_gather(n, name, chunks, lambda s, c: (_store(n, s, vectors, c, share),), share)
    return _kernel(n)


def broadcast_kernel(params: RDUParams, vectors: int, root: int = 0, name: str = "broadcast") -> CollectiveKernel:
    """y = the x of socket ``root``, on every socket.

    Raises:
        ParameterError: ``vectors`` do not fit a buffer.
    """
    n = NodeBuilder(params, name)
    sinks = {s: (_store(n, s, vectors, 0, vectors),) for s in n.sockets}
    broadcast(n, name, (root, _load(n, root, vectors, 0, vectors)), sinks, vectors)
    return _kernel(n)


def _share(params: RDUParams, vectors: int, name: str) -> int:
    require(
        vectors % params.sockets == 0,
        f"{name}: {vectors} vectors are not as many for each of {params.sockets} sockets: add zeros",
    )
    return vectors // params.sockets


def _pattern(n: NodeBuilder, region: str, vectors: int, chunk: int, share: int) -> Pattern:
    beat = n.params.beat_bytes
    whole = Region(region, vectors * beat)
    return Pattern(whole, loops(vector=share), {"vector": beat}, offset=chunk * share * beat)


def _load(n: NodeBuilder, socket: int, vectors: int, chunk: int, share: int) -> Port:
    return n.memory[socket].load(_pattern(n, "x", vectors, chunk, share))


def _store(n: NodeBuilder, socket: int, vectors: int, chunk: int, share: int) -> Port:
    return n.memory[socket].store(_pattern(n, "y", vectors, chunk, share))[0]


def _kernel(n: NodeBuilder) -> CollectiveKernel:
    program, bindings = n.program()
    return CollectiveKernel(program, {s: tuple(each) for s, each in bindings.items()})
