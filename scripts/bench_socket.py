"""How fast a socket builds and simulates, under cocotb and as a Python object: the socket's part of ``make bench``."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hdl.clock_gate import CELL
from hdl.params import RDUParams
from scripts.bench_units import Speed
from verif import figures, socket_speed
from verif.generation import MARK
from verif.machine import BLOCKS, RTLMachine
from verif.models import SOURCES
from verif.sim import run_bench
from verif.sim.blocks import THREADS
from verif.socket_speed import SocketSpeed, read_event
from verif.sources import ROOT

BUILD = "OPENRDU_BUILD"


def speeds(params: RDUParams, *, record: bool) -> Iterator[Speed]:
    """Both simulators in turn; ``record``: the figures, which are those of cocotb, built cold, on one processor or on
    all of them, whichever is faster: on a machine that others use too, that may be one."""
    everyone = str(os.cpu_count() or 1)
    with _cold():
        seconds, one = _under_cocotb(params, threads="1")
        _, all_of_them = _under_cocotb(params, threads=everyone)
    if record:
        figures.record("socket_build_s", round(seconds, 1))
        figures.record("socket_sim_cycles_per_s_idle", round(max(one.idle, all_of_them.idle)))
        figures.record("socket_sim_cycles_per_s_busy", round(max(one.busy, all_of_them.busy)))
    yield from _rows(f"{params.name} socket, cocotb", one, f"built cold in {seconds:.0f} s; processor time")
    yield from _rows(f"{params.name} socket, cocotb, on {everyone} processors", all_of_them, "wall-clock time")
    start = time.perf_counter()
    machine = RTLMachine(params)
    note = f"built or found in {time.perf_counter() - start:.0f} s"
    yield from _rows(f"{params.name} socket, PyVerilator", socket_speed.measure(machine), note)


def _rows(what: str, speed: SocketSpeed, note: str) -> Iterator[Speed]:
    yield Speed(f"{what}, idle", speed.idle, f"{note}; {speed.idle / speed.busy:.1f} times as fast as busy")
    yield Speed(f"{what}, busy", speed.busy, f"PCUs multiply in {speed.utilisation:.1%} of the cycles")


def _under_cocotb(params: RDUParams, threads: str) -> tuple[float, SocketSpeed]:
    """Seconds until the simulator runs, and its speeds."""
    with _environment(THREADS, threads):
        return _measured(params)


def _measured(params: RDUParams) -> tuple[float, SocketSpeed]:
    start = time.perf_counter()
    seen: dict[str, tuple[float, Mapping[str, float]]] = {}

    def line(text: str) -> None:
        if text.startswith(MARK):
            event = json.loads(text.removeprefix(MARK))
            seen[event["kind"]] = time.perf_counter() - start, event

    run_bench(
        "verif.benches.board",
        name=f"board_{params.name}_cocotb",
        parameters={"preset": params.name, "job": "verif.socket_speed:run"},
        sources=(*SOURCES, CELL),
        blocks=BLOCKS,
        timeout_s=3600.0,
        show=line,
    )
    return seen["running"][0], read_event(seen["speed"][1])


@contextmanager
def _cold() -> Iterator[None]:
    """Builds go to an empty folder that is gone afterwards."""
    (ROOT / "build").mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="cold-", dir=ROOT / "build") as folder,
        _environment(BUILD, folder),
    ):
        yield


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """An environment variable, for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
