"""The streams of a component as a cocotb design shows them: flattened ports ``i__payload``, ``i__valid``, ..."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from amaranth.lib import stream, wiring


class BenchError(AssertionError):
    """The design under test did something wrong; the message names the design, the stream and the cycle."""


@dataclass(frozen=True)
class StreamSpec:
    """One stream of a signature: flattened name, payload shape, direction seen from the design."""

    name: str
    signature: Any  # an amaranth.lib.stream.Signature
    from_design: bool

    @property
    def shape(self) -> Any:
        return self.signature.members["payload"].shape


def streams_of(signature: wiring.Signature) -> list[StreamSpec]:
    """Every stream in ``signature``, however deeply nested, array elements one by one."""
    return [spec for spec, _ in _walk(signature) if spec is not None]


def plain_inputs_of(signature: wiring.Signature) -> list[str]:
    """Flattened names of the input ports that belong to no stream."""
    return [name for spec, name in _walk(signature) if spec is None and name]


def _walk(signature: Any, prefix: str = "") -> Iterator[tuple[StreamSpec | None, str]]:
    """Each stream as (spec, name) and each plain port as (None, name if it is an input else "").

    Directions need no care: the signature of an ``In`` member is already flipped, and so are the members within.
    """
    for member_name, member in signature.members.items():
        for index in itertools.product(*map(range, member.dimensions)):
            name = "__".join([*([prefix] if prefix else []), member_name, *map(str, index)])
            if member.is_port:
                yield None, name if member.flow == wiring.In else ""
                continue
            flipped = isinstance(member.signature, wiring.FlippedSignature)
            inner: Any = member.signature.flip() if flipped else member.signature
            if isinstance(inner, stream.Signature):
                yield StreamSpec(name, inner, not flipped), name
            else:
                yield from _walk(member.signature, name)


class StreamPort:
    """The handles of one stream and its values in the current cycle, read once they have settled."""

    def __init__(self, dut: Any, spec: StreamSpec, design: str) -> None:
        self.spec = spec
        self.what = f"{design}: stream {spec.name}"
        # A zero-width payload, and a valid or ready that is constant, are no ports.
        self._payload = getattr(dut, f"{spec.name}__payload", None)
        self._valid = None if spec.signature.always_valid else getattr(dut, f"{spec.name}__valid")
        self._ready = None if spec.signature.always_ready else getattr(dut, f"{spec.name}__ready")

    def read_payload(self) -> int:
        return self._read(self._payload, "payload") if self._payload is not None else 0

    def read_valid(self) -> bool:
        return bool(self._read(self._valid, "valid")) if self._valid is not None else True

    def read_ready(self) -> bool:
        return bool(self._read(self._ready, "ready")) if self._ready is not None else True

    def write_payload(self, bits: int) -> None:
        if self._payload is not None:
            self._payload.value = bits

    def write_valid(self, value: bool) -> None:
        if self._valid is not None:
            self._valid.value = int(value)

    def write_ready(self, value: bool) -> None:
        if self._ready is not None:
            self._ready.value = int(value)

    def _read(self, handle: Any, part: str) -> int:
        # handle.value makes a LogicArray, at three times the price, and this runs several times a cycle
        bits = handle._handle.get_signal_val_binstr()
        try:
            return int(bits, 2)
        except ValueError as error:
            raise BenchError(f"{self.what}: {part} is {bits}, an unknown value") from error
