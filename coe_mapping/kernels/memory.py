"""Streams from and to memory: which AGCU they go through, and the segments that name memory regions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from coe_mapping.assembler.address import WORD_LIMIT, Bit, Register, Stage, immediate
from coe_mapping.assembler.agcu import Access, AGCUProgram, Event, Load, Segment, Store
from coe_mapping.kernels.builder import Builder
from coe_mapping.kernels.loops import Loops
from coe_mapping.program import Port
from hdl.floorplan import Kind, floorplan
from hdl.params import ELEMENT_BITS, SCALAR_BITS, RDUParams, require
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
class Skip:
    """Scalars from ``source``, one for every iteration of loop ``each``, that name iterations of loop ``loop`` by the
    bytes that it has moved."""

    source: Port
    each: str
    loop: str


@dataclass(frozen=True)
class Pattern:
    """Which bytes a stream touches, a vector an iteration.

    Attributes:
        strides: bytes that a step of each loop moves.
        sequence: loops that make up the sequence id of loaded vectors: their bytes, counted in elements.
        words: 32-bit words go to the scalar network, ``words`` of each vector (loads); 0: vectors move.
        offset: bytes into the region, where it begins.
        keep: a loop, and its first iteration that is kept; vectors of those before are dropped.
        but: iterations of a loop that are dropped.
        numbered: loaded vectors carry the byte they begin at as their sequence id.
    """

    region: Region
    loops: Loops
    strides: Mapping[str, int]
    sequence: Sequence[str] = ()
    gather: Gather | None = None
    words: int = 0
    offset: int = 0
    keep: tuple[str, int] | None = None
    but: Skip | None = None
    numbered: bool = False


@dataclass(frozen=True)
class Wait:
    """A token from ``token`` before every iteration of loop ``each``; before the first access if None."""

    token: Port
    each: str | None = None


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
    accesses: int = 0

    @property
    def sends_words(self) -> bool:
        return any(load.words for load in self.loads)


class Streams:
    """Gives every stream an AGCU: an unused one while there are any, then the one with the fewest accesses.

    So streams that move much should be named first.
    """

    def __init__(self, params: RDUParams, name: str) -> None:
        self.params, self.name = params, name
        self._drafts: list[_Draft] = []
        self._most = len(floorplan(params).of(Kind.AGCU))

    def load(self, pattern: Pattern, *, wait: Sequence[Wait] = ()) -> Port:
        """A load stream; returns the output its vectors (or words) leave by.

        Raises:
            ParameterError: all load streams of all AGCUs are in use.
        """
        draft = self._draft(lambda d: len(d.loads) < self.params.agcu.loads and not (pattern.words and d.sends_words))
        stream = len(draft.loads)
        access, sequence = self._access(draft, stream, pattern, write=False)
        draft.loads.append(Load(access, sequence, bool(pattern.words)))
        draft.waits += [(stream, _boundary(pattern, w.each), w.token) for w in wait]
        return Port(draft.name, 0 if pattern.words else stream)

    def hold(self, port: Port, token: Port) -> None:
        """The load whose vectors leave by ``port`` waits for a token before its first access."""
        draft = next(d for d in self._drafts if d.name == port.unit)
        draft.waits.append((port.index, 0, token))

    def loaded(self, port: Port) -> Port:
        """The output of the token that a load sends when all its data were read; ``port``: where its vectors leave."""
        draft = next(d for d in self._drafts if d.name == port.unit)
        if (port.index, 0) not in draft.tells:
            draft.tells.append((port.index, 0))
        return Port(draft.name, draft.tells.index((port.index, 0)))

    def store(self, pattern: Pattern, *, tell: bool = False, each: str | None = None) -> tuple[Port, Port]:
        """A store stream; returns the input it takes its vectors from, and, with ``tell``, the output of the token it
        sends when everything was written, or what an iteration of loop ``each`` writes (else of no meaning)."""
        draft = self._draft(lambda d: len(d.stores) < self.params.agcu.stores)
        stream = self.params.agcu.loads + len(draft.stores)
        access, _ = self._access(draft, stream, pattern, write=True)
        draft.stores.append(Store(access))
        if tell:
            draft.tells.append((stream, _boundary(pattern, each)))
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
        return min(open_, key=lambda d: d.accesses)

    def _access(self, draft: _Draft, stream: int, pattern: Pattern, *, write: bool) -> tuple[Access, int | None]:
        segment = draft.segments.setdefault((pattern.region, write), len(draft.segments))
        draft.accesses += pattern.loops.count
        names = list(pattern.loops.limits)
        dropped = pattern.strides[pattern.keep[0]] * pattern.keep[1] if pattern.keep else 0  # bytes
        start = (pattern.offset - dropped) % WORD_LIMIT
        registers = [Register(start, counters=tuple(i for i, n in enumerate(names) if pattern.strides.get(n)))]
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
            registers.append(Register(counters=tuple(sorted(names.index(n) for n in pattern.sequence))))
            stages.append(immediate(AddressOp.SHIFT_RIGHT, 1, 1, ELEMENT_BYTES.bit_length() - 1))
            sequence = 1
        kept = None
        if pattern.keep is not None:
            # a sum that reaches the sign bit of the word in the first iteration that is kept
            kept = Bit(len(registers), SCALAR_BITS - 1)
            registers.append(Register(WORD_LIMIT // 2 - dropped, counters=(names.index(pattern.keep[0]),)))
        if pattern.but is not None:
            assert pattern.gather is None
            assert not pattern.sequence
            kept = Bit(1)
            draft.scalars.append((stream, pattern.loops.each(pattern.but.each), pattern.but.source))
            registers.append(Register(scalar=len(draft.scalars) - 1))
            registers.append(Register(counters=(names.index(pattern.but.loop),)))
            stages.append(Stage(AddressOp.EQUAL, 1, 1, 2))
            stages.append(immediate(AddressOp.LESS, 1, 1, 1))  # not equal
        if pattern.numbered:
            sequence = 0
        limit = None
        if pattern.words:
            limit = len(registers)
            registers.append(Register(constant=pattern.words))
        counters = pattern.loops.addresses(pattern.strides)
        return Access(segment, counters, tuple(registers), tuple(stages), limit=limit, keep_bit=kept), sequence

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

    def finish(self, b: Builder) -> None:
        """Adds the AGCUs to ``b``, and the scalars and tokens that they take."""
        for name, agcu in self.programs().items():
            b.add(name, agcu)
        for source, sink in self.scalar_joins():
            b.scalar(source, sink)
        for source, sink in self.token_joins():
            b.token(source, sink)

    def bindings(self) -> list[Binding]:
        """Every use of every region."""
        return [Binding(d.name, s, region) for d in self._drafts for (region, _), s in d.segments.items()]


def _boundary(pattern: Pattern, each: str | None) -> int:
    return 0 if each is None else pattern.loops.each(each)
