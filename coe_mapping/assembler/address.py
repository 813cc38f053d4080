"""What PMU and AGCU programs share: loops, registers, ALU stages; their rules, their configuration, and back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hdl.control.counters import COUNT_BITS, ROUND_BITS
from hdl.params import SCALAR_BITS, require
from hdl.pmu.config import REGISTERS, Addend, AddressOp

COUNT_LIMIT = 1 << COUNT_BITS
ROUND_LIMIT = 1 << ROUND_BITS
WORD_LIMIT = 1 << SCALAR_BITS


@dataclass(frozen=True)
class Counter:
    """One loop: ``limit`` iterations, 0, stride, 2 * stride, ...; ``scalar``: the limit is popped from that input."""

    limit: int = 1
    stride: int = 0
    scalar: int | None = None


@dataclass(frozen=True)
class Register:
    """What a register starts an iteration with: the sum of a constant, counters' values, and a scalar input or the
    sequence id of the write data."""

    constant: int = 0
    counters: tuple[int, ...] = ()
    scalar: int | None = None
    sequence: bool = False


@dataclass(frozen=True)
class Stage:
    """One ALU operation, see :class:`hdl.pmu.config.AddressOp`. ``a``, ``b``, ``c``, ``destination`` are registers;
    with ``b_constant`` the second operand is ``constant`` instead."""

    op: AddressOp = AddressOp.NONE
    destination: int = 0
    a: int = 0
    b: int = 0
    c: int = 0
    b_constant: bool = False
    constant: int = 0
    shift: int = 0
    width: int = 0
    increment: bool = False


def immediate(op: AddressOp, destination: int, a: int, value: int) -> Stage:
    """``destination = a op value``."""
    return Stage(op, destination, a, b_constant=True, constant=value % WORD_LIMIT)


def divide(destination: int, a: int, divisor: int) -> Stage:
    """``destination = a // divisor``, exact for every 32-bit a (A. Robison, "N-bit unsigned division via N-bit
    multiply-add", ARITH 2005): multiply by the reciprocal rounded down or up, whichever errs little enough."""
    require(1 <= divisor < WORD_LIMIT, f"divide: divisor {divisor} is not in 1..{WORD_LIMIT - 1}")
    shift = divisor.bit_length() - 1
    if divisor == 1 << shift:
        return Stage(AddressOp.DIVIDE, destination, a, constant=WORD_LIMIT - 1, shift=shift, increment=True)
    quotient, rest = divmod(1 << (SCALAR_BITS + shift), divisor)
    if divisor - rest <= 1 << shift:
        return Stage(AddressOp.DIVIDE, destination, a, constant=quotient + 1, shift=shift)
    return Stage(AddressOp.DIVIDE, destination, a, constant=quotient, shift=shift, increment=True)


def modulo(destination: int, a: int, modulus: int, quotient: int) -> tuple[Stage, Stage]:
    """``quotient = a // modulus; destination = a % modulus``: two stages; register ``quotient`` must not be ``a``."""
    require(quotient != a, f"modulo: the quotient would overwrite register {a}, which the second stage reads")
    remainder = Stage(AddressOp.MULTIPLY_SUBTRACT, destination, a=quotient, b=a, constant=modulus)
    return divide(quotient, a, modulus), remainder


@dataclass(frozen=True)
class Bit:
    """Bit ``position`` of ``register``."""

    register: int
    position: int = 0


# To configuration fields, and back


def chain_values(counters: Sequence[Counter], rounds: int) -> dict[str, Any]:
    return {
        "depth": len(counters),
        "rounds": round_value(rounds),
        "counters": [
            {"limit": c.limit, "stride": c.stride, "source": 0 if c.scalar is None else c.scalar + 1} for c in counters
        ],
    }


def round_value(rounds: int) -> int:
    """One round is a zero, which a bitstream need not hold."""
    return 0 if rounds == 1 else rounds


def register_values(registers: Sequence[Register]) -> list[dict[str, Any]]:
    return [
        {"constant": r.constant, "counters": sum(1 << i for i in r.counters), "addend": _addend(r)} for r in registers
    ]


def _addend(register: Register) -> Addend:
    if register.sequence:
        return Addend.SEQUENCE
    return Addend.NONE if register.scalar is None else Addend(Addend.SCALAR_0.value + register.scalar)


def read_chain(chain: Any) -> tuple[Counter, ...]:
    counters = [chain.counters[i] for i in range(chain.depth)]
    return tuple(Counter(c.limit, c.stride, c.source - 1 if c.source else None) for c in counters)


def read_registers(registers: Any) -> tuple[Register, ...]:
    return tuple(_read_register(r) for r in registers)


def read_stages(stages: Any, at_least: int = 0) -> list[Stage]:
    """Up to the last that is not all zeros."""
    used = max((k + 1 for k, stage in enumerate(stages) if stage.as_bits()), default=0)
    return [_read_stage(stages[k]) for k in range(max(used, at_least))]


def _read_stage(s: Any) -> Stage:
    flags = bool(s.b_constant), s.constant, s.shift, s.width, bool(s.increment)
    return Stage(AddressOp(s.op), s.destination, s.a, s.b, s.c, *flags)


def _read_register(r: Any) -> Register:
    chosen = tuple(i for i in range(int(r.counters).bit_length()) if r.counters >> i & 1)
    scalar = r.addend - Addend.SCALAR_0.value
    return Register(r.constant, chosen, scalar if scalar >= 0 else None, r.addend == Addend.SEQUENCE.value)


# Rules


def check_rounds(rounds: int, what: str) -> None:
    """Raises ParameterError unless a chain can run so often."""
    require(1 <= rounds < ROUND_LIMIT, f"{what}: {rounds} rounds is not in 1..{ROUND_LIMIT - 1}")


def check_loops(counters: Sequence[Counter], most: int, scalar_inputs: int, what: str) -> None:
    """Raises ParameterError unless a chain of ``most`` counters can run these."""
    require(len(counters) <= most, f"{what}: {len(counters)} counters, the chain has {most}")
    for i, c in enumerate(counters):
        popped = c.scalar is not None
        require(
            (popped and c.limit == 0) or 1 <= c.limit < COUNT_LIMIT,
            f"{what}: counter {i}: limit {c.limit} is not in 1..{COUNT_LIMIT - 1}",
        )
        require(0 <= c.stride < COUNT_LIMIT, f"{what}: counter {i}: stride {c.stride} is not in 0..{COUNT_LIMIT - 1}")
        require(
            c.scalar is None or 0 <= c.scalar < scalar_inputs,
            f"{what}: counter {i}: there is no scalar input {c.scalar}, only {scalar_inputs}",
        )


def check_registers(registers: Sequence[Register], depth: int, what: str) -> None:
    """Raises ParameterError unless these are initial registers of a chain of ``depth`` counters."""
    require(len(registers) <= REGISTERS, f"{what}: {len(registers)} registers, there are {REGISTERS}")
    for k, r in enumerate(registers):
        require(0 <= r.constant < WORD_LIMIT, f"{what}: register {k}: constant {r.constant} does not fit 32 bits")
        require(
            all(0 <= i < depth for i in r.counters) and list(r.counters) == sorted(set(r.counters)),
            f"{what}: register {k}: counters {r.counters} must be ascending and among the {depth} in use",
        )
        require(
            not (r.sequence and r.scalar is not None),
            f"{what}: register {k}: either a scalar or the sequence id can be added, not both",
        )


def check_stages(stages: Sequence[Stage], what: str) -> None:
    """Raises ParameterError unless the operands of every stage exist."""
    for k, s in enumerate(stages):
        require(
            all(0 <= r < REGISTERS for r in (s.destination, s.a, s.b, s.c)),
            f"{what}: ALU stage {k}: registers {s.destination}, {s.a}, {s.b}, {s.c} must be among {REGISTERS}",
        )
        require(
            0 <= s.constant < WORD_LIMIT and 0 <= s.shift < SCALAR_BITS and 0 <= s.width <= SCALAR_BITS,
            f"{what}: ALU stage {k}: constant {s.constant}, shift {s.shift} or width {s.width} does not fit 32 bits",
        )
