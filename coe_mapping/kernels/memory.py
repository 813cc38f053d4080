"""Streams from and to memory: which AGCU they go through, and the segments that name memory regions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from coe_mapping.assembler.address import Register, Stage, immediate
from coe_mapping.assembler.agcu import Access, AGCUProgram, Event, Load, Segment, Store
from coe_mapping.kernels.loops import Loops
from coe_mapping.program import Port
from hdl.floorplan import Kind, floorplan
from hdl.params import ELEMENT_BITS, RDUParams, require
from hdl.pmu.config import AddressOp

ELEMENT_BYTES = ELEMENT_BITS // 8


@dataclass(frozen=True)
class Region:
    """A piece of memory that a kernel is given when it is launched."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Binding:
    """Where a region's address goes: segment ``segment`` of AGCU ``unit``."""

    unit: str
    segment: int
    region: Region


@dataclass(frozen=True)
class Gather:
    """Rows chosen by scalars: ``source`` gives a row number for every iteration of loop ``each``; rows are ``stride``
    bytes apart."""

    source: Port
    each: str
    stride: int


@dataclass(frozen=True)
class Pattern:
    """Which bytes a stream touches, a vector an iteration.

    Attributes:
        strides: bytes that a step of each loop moves.
        sequence: loops that make up the sequence id of loaded vectors: their bytes, counted in elements.
        words: 32-bit words go to the scalar network, ``words`` of each vector (loads); 0: vectors move.
    """

    region: Region
    loops: Loops
    strides: Mapping[str, int]
    sequence: Sequence[str] = ()
    gather: Gather | None = None
    words: int = 0


@dataclass
class _Draft:
    """An AGCU that is being filled."""

    name: str
    segments: dict[tuple[Region, bool], int] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    scalars: list[tuple[int, int, Port]] = field(default_factory=list)  # stream, boundary, source
    waits: list[tuple[int, int, Port]] = field(default_factory=list)
    tells: list[tuple[int, int]] = field(default_factory=list)

    @property
    def sends_words(self) -> bool:
        return any(load.words for load in self.loads)


class Streams:
    """Gives every stream an AGCU: an unused one while there are any, then the one with the fewest streams."""

    def __init__(self, params: RDUParams, name: str) -> None:
        self.params, self.name = params, name
        self._drafts: list[_Draft] = []
        self._most = len(floorplan(params).of(Kind.AGCU))

    def load(self, pattern: Pattern, *, wait: Sequence[Port] = ()) -> Port:
        """A load stream; returns the output its vectors (or words) leave by. It waits for one token of each of
        ``wait`` before its first access.

        Raises:
            ParameterError: all load streams of all AGCUs are in use.
        """
        draft = self._draft(lambda d: len(d.loads) < self.params.agcu.loads and not (pattern.words and d.sends_words))
        stream = len(draft.loads)
        access, sequence = self._access(draft, stream, pattern, write=False)
        draft.loads.append(Load(access, sequence, bool(pattern.words)))
        draft.waits += [(stream, 0, token) for token in wait]
        return Port(draft.name, 0 if pattern.words else stream)

    def store(self, pattern: Pattern, *, tell: bool = False) -> tuple[Port, Port]:
        """A store stream; returns the input it takes its vectors from, and, with ``tell``, the output of the token it
        sends when everything was written (else of no meaning)."""
        draft = self._draft(lambda d: len(d.stores) < self.params.agcu.stores)
        stream = self.params.agcu.loads + len(draft.stores)
        access, _ = self._access(draft, stream, pattern, write=True)
        draft.stores.append(Store(access))
        if tell:
            draft.tells.append((stream, 0))
        return Port(draft.name, len(draft.stores) - 1), Port(draft.name, len(draft.tells) - 1)

    def _draft(self, fits: Callable[[_Draft], bool]) -> _Draft:
        """An AGCU that has room for the stream."""
        if len(self._drafts) < self._most:
            self._drafts.append(_Draft(f"agcu{len(self._drafts)}"))
            return self._drafts[-1]
        open_ = [d for d in self._drafts if fits(d)]
        require(
            bool(open_),
            f"{self.name}: its streams from and to memory are more than the {self._most} AGCUs have: "
            f"{self.params.agcu.loads} loads and {self.params.agcu.stores} stores each",
        )
        return min(open_, key=lambda d: len(d.loads) + len(d.stores))

    def _access(self, draft: _Draft, stream: int, pattern: Pattern, *, write: bool) -> tuple[Access, int | None]:
        segment = draft.segments.setdefault((pattern.region, write), len(draft.segments))
        names = list(pattern.loops.limits)
        registers = [Register(counters=tuple(i for i, n in enumerate(names) if pattern.strides.get(n)))]
        stages: list[Stage] = []
        sequence: int | None = None
        if pattern.gather is not None:
            j = len(draft.scalars)
            draft.scalars.append((stream, pattern.loops.each(pattern.gather.each), pattern.gather.source))
            registers.append(Register(scalar=j))
            stages.append(immediate(AddressOp.MULTIPLY, 1, 1, pattern.gather.stride))
            stages.append(Stage(AddressOp.ADD, 0, 0, 1))
        if pattern.sequence:
            assert pattern.gather is None
            registers.append(Register(counters=tuple(names.index(n) for n in pattern.sequence)))
            stages.append(immediate(AddressOp.SHIFT_RIGHT, 1, 1, ELEMENT_BYTES.bit_length() - 1))
            sequence = 1
        limit = None
        if pattern.words:
            limit = len(registers)
            registers.append(Register(constant=pattern.words))
        counters = pattern.loops.addresses(pattern.strides)
        return Access(segment, counters, tuple(registers), tuple(stages), limit=limit), sequence

    def programs(self) -> dict[str, AGCUProgram]:
        """The AGCUs by name; segments begin at 0 until an address is bound to them."""
        return {
            d.name: AGCUProgram(
                segments=tuple(Segment(0, region.bytes, not write, write) for region, write in d.segments),
                loads=tuple(d.loads),
                stores=tuple(d.stores),
                scalar_in=tuple(Event(stream, boundary) for stream, boundary, _ in d.scalars),
                token_in=tuple(Event(stream, boundary) for stream, boundary, _ in d.waits),
                token_out=tuple(Event(stream, boundary) for stream, boundary in d.tells),
            )
            for d in self._drafts
        }

    def scalar_joins(self) -> list[tuple[Port, Port]]:
        """Scalar streams that gathers need: from, to."""
        return [(source, Port(d.name, j)) for d in self._drafts for j, (_, _, source) in enumerate(d.scalars)]

    def token_joins(self) -> list[tuple[Port, Port]]:
        return [(source, Port(d.name, i)) for d in self._drafts for i, (_, _, source) in enumerate(d.waits)]

    def bindings(self) -> list[Binding]:
        """Every use of every region."""
        return [Binding(d.name, s, region) for d in self._drafts for (region, _), s in d.segments.items()]
