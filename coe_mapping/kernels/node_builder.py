"""A program of several sockets under construction: a builder and streams from and to memory for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.memory import Binding, Streams
from coe_mapping.program import Port, Program
from coe_mapping.spanning import End, PeerStream, SpanningProgram
from hdl.params import RDUParams


@dataclass
class NodeBuilder:
    """Collects the parts of every socket of ``params``; :meth:`program` is what was collected."""

    params: RDUParams
    name: str
    builders: list[Builder] = field(init=False)
    memory: list[Streams] = field(init=False)
    _peers: list[PeerStream] = field(default_factory=list)
    _remote: dict[str, tuple[End, int | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.builders = [Builder(self.params, self.name) for _ in range(self.params.sockets)]
        self.memory = [Streams(self.params, self.name) for _ in range(self.params.sockets)]

    @property
    def sockets(self) -> range:
        return range(self.params.sockets)

    def vector(self, source: End, sinks: Iterable[End], weight: float = 1.0, channel: int | None = None) -> None:
        """Joins a vector output to inputs on any sockets; ``channel``: of the links, as of a
        :class:`~coe_mapping.spanning.PeerStream`."""
        here, output = source
        near, far = list[Port](), list[End]()
        for socket, port in sinks:
            if socket == here:
                near.append(port)
            else:
                far.append((socket, port))
        if near:
            self.builders[here].vector(output, *near, weight=weight)
        if far:
            self._peers.append(PeerStream(source, tuple(far), weight, channel))

    def remote(self, source: End, channel: int | None = None) -> Port:
        """The output of another socket, as builders of this one know it; ``channel`` as of :meth:`vector`."""
        name = f"{source[1]} of socket {source[0]}"
        self._remote[name] = source, channel
        return Port(name)

    def program(self) -> tuple[SpanningProgram, dict[int, Sequence[Binding]]]:
        """The program, and by socket the regions of its memory."""
        programs, bindings = {}, dict[int, Sequence[Binding]]()
        for s, (b, streams) in enumerate(zip(self.builders, self.memory, strict=True)):
            streams.finish(b)
            programs[s], bindings[s] = self._apart(s, b.program()), streams.bindings()
        return SpanningProgram(programs, tuple(self._peers), self.name), bindings

    def _apart(self, socket: int, program: Program) -> Program:
        """The program without what comes from other sockets, which becomes streams between them."""
        own = []
        for stream in program.streams:
            far = self._remote.get(stream.source.unit)
            if far is None:
                own.append(stream)
                continue
            (there, port), channel = far
            sinks = tuple((socket, sink) for sink in stream.sinks)
            self._peers.append(PeerStream((there, port), sinks, stream.weight, channel))
        return replace(program, streams=tuple(own))
