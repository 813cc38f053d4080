"""A verilated model as a Python object, over PyVerilator."""

import ctypes
import os
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from amaranth.lib import wiring
from numpy.typing import NDArray

from hdl.errors import ParameterError, ToolError
from hdl.verilog import blocks as emitted
from verif.models import backdoor
from verif.sim import cache, tools, verilate, wrapper
from verif.sim.blocks import split
from verif.sim.wrapper import Port

# One operand or result per row: (n,) for a port of at most 64 bits, (n, words) for a wider one.
Packed = NDArray[np.uint64] | NDArray[np.uint32]


class Unit(Protocol):
    """What :meth:`Model.stream` drives: a fixed-latency arithmetic unit (``docs/architecture.md``)."""

    latency: int


class Ports(Protocol):
    """The face of a model, whatever simulates it."""

    def __getitem__(self, port: str, /) -> int: ...
    def __setitem__(self, port: str, value: int, /) -> None: ...
    def tick(self, cycles: int = 1) -> None: ...
    def until(self, port: str, cycles: int, after: int = 0) -> bool: ...
    def reset(self, cycles: int = 1) -> None: ...
    def memory(self, region: str) -> NDArray[np.uint8]: ...
    def functions(self) -> Any: ...


def compile_python(
    component: wiring.Component,
    name: str,
    *,
    public: Sequence[str] = (),
    waves: bool | None = None,
    flags: Sequence[str] = (),
    sources: Sequence[Path] = (),
    blocks: Sequence[str] = (),
) -> "Model":
    """Builds ``component`` as module ``name`` (once: the build is cached) and loads a fresh model of it.

    Args:
        public: internal nets to be readable as ``model["fifo.level"]``, by their path below the top; each costs speed.
        waves: build with tracing and record; default from ``WAVES=1`` in the environment.
        flags: further Verilator options.
        sources: Verilog and C++ files that the design needs besides its own Verilog.
        blocks: modules whose names begin so are compiled once each, however many instances there are
            (:mod:`hdl.once`); a large design then builds in the time of its distinct blocks.

    Raises:
        ToolError: Yosys, Verilator or the compiler failed; the message carries the end of its log.
    """
    waves = waves_wanted() if waves is None else waves
    parted = split(emitted(component, name), name, blocks, sources, waves)
    control = verilate.control_file(name, public, ports=False)
    settings = verilate.flags_of(waves)
    parts = [
        *parted.texts,
        control,
        *settings,
        *flags,
        *tools.settings(waves),
        wrapper.text(name, []),
        *(path.read_text() for path in sources),
    ]

    def build(folder: Path) -> None:
        verilog = folder / f"{name}.v"
        verilog.write_text(parted.around)
        main = folder / "wrapper.cpp"
        ldflags = " ".join(["-shared", *map(str, parted.archives)])
        job = verilate.Job(
            verilog, name, folder, f"{name}.so", main, tuple(flags), waves, ldflags, (*sources, *parted.write(folder))
        )
        verilate.verilate(job, control)
        main.write_text(wrapper.text(name, wrapper.read_ports(folder / "Vtop.h")))
        verilate.compile_and_link(job)

    folder = cache.built(name, parts, build)
    return Model(folder, name, getattr(component, "latency", None), waves)


class Model:
    """One instance of a compiled design; every instance has a simulation context of its own.

    ``model["en"] = 1`` drives a port, ``model["o"]`` reads a port or public net as a plain integer, after settling
    whatever was driven since the last edge. :meth:`tick` is one clock cycle: rising edge, then falling edge.
    """

    def __init__(self, folder: Path, name: str, latency: int | None, waves: bool) -> None:
        self.name = name
        self.ports: dict[str, Port] = {p.name: p for p in wrapper.read_ports(folder / "Vtop.h")}
        self._latency = latency
        self._sim = _pyverilator()(str(folder / f"{name}.so"), auto_eval=False)
        self._settled = False
        self._lib = self._sim.lib
        self._handle = ctypes.c_void_p(self._sim.model)
        self._lib.openrdu_signal.restype = ctypes.c_void_p
        self._nets: dict[str, NDArray[Any]] = {}
        if waves:
            self.record(folder / f"{name}-{os.getpid()}.{tools.wave_format()}")

    def __getitem__(self, name: str) -> int:
        self._settle()
        if name in self.ports:
            return int(self._sim[self.ports[name].c_name])
        net = self.array(name).reshape(-1)
        return int.from_bytes(net.tobytes(), "little")

    def __setitem__(self, name: str, value: int) -> None:
        port = self.ports.get(name)
        if port is None or not port.is_input:
            inputs = ", ".join(p.name for p in self.ports.values() if p.is_input)
            raise ParameterError(f"{self.name} has no input port {name!r}; it has {inputs}")
        if not 0 <= value < 1 << port.width:
            raise ParameterError(f"{self.name}: {value:#x} does not fit the {port.width} bits of port {name!r}")
        self._sim[port.c_name] = value
        self._settled = False

    def tick(self, cycles: int = 1) -> None:
        """Advances ``cycles`` clock cycles (millions a second: the loop is in C++)."""
        self._lib.openrdu_ticks(self._handle, ctypes.c_uint64(cycles))
        self._settled = True

    def until(self, port: str, cycles: int, after: int = 0) -> bool:
        """Ticks until ``port`` is not zero, at most so often, and then ``after`` times; whether it is."""
        for _ in range(cycles):
            if self[port]:
                self.tick(after)
                return True
            self.tick()
        return False

    def reset(self, cycles: int = 1) -> None:
        """Holds ``rst`` for ``cycles``, if the design has one; memories and reset-less registers keep their values."""
        if "rst" in self.ports:
            self["rst"] = 1
            self.tick(cycles)
            self["rst"] = 0

    def array(self, net: str) -> NDArray[Any]:
        """The live storage of a public net or memory, zero copy: uint8, uint16, uint32 or uint64 elements, or rows of
        uint32 words if an element is wider. It lives as long as the model; what is
        written to it is seen by the logic from the next clock edge on.

        Raises:
            ParameterError: no public net of that name.
        """
        if net not in self._nets:
            self._nets[net] = self._find(net)
        return self._nets[net]

    def memory(self, region: str) -> NDArray[np.uint8]:
        """The bytes of a memory model's region (``verif.models``), zero copy; they live as long as the model.

        Raises:
            ParameterError: the design has no memory region of that name.
        """
        return backdoor.region(self.functions(), region)

    def functions(self) -> Any:
        """The C functions of ``sources``, as ctypes has them; this model is the one they find entered."""
        self._sim.eval()
        return self._lib

    def stream(self, operands: Packed, gaps: NDArray[np.integer[Any]] | None = None) -> Packed:
        """Drives one packed operand a cycle into an arithmetic unit (``en``, ``i``, ``o``) and returns its results.

        Args:
            operands: shape (n,) of unsigned integers if ``i`` has at most 64 bits, else (n, words) of uint32 or uint64,
                least significant word first.
            gaps: shape (n,), cycles that the unit is held (``en`` low, junk operand) before each operand.

        Returns:
            Shape (n,) uint64 if ``o`` has at most 64 bits, else (n, words) uint32.

        Raises:
            ParameterError: not an arithmetic unit, or operands of the wrong shape or with bits beyond the port.
        """
        if self._latency is None or not {"clk", "en", "i", "o"} <= self.ports.keys():
            raise ParameterError(
                f"{self.name} is not an arithmetic unit: it needs ports en, i, o and an attribute latency"
            )
        rows = _rows(operands, self.ports["i"].width, f"{self.name}: operands")
        count = len(rows)
        words = -(-self.ports["o"].width // 32)
        wide = words > 2
        results: Packed = np.zeros((count, words), np.uint32) if wide else np.zeros(count, np.uint64)
        held = None if gaps is None else np.ascontiguousarray(gaps, dtype=np.uint32)
        if held is not None and held.shape != (count,):
            raise ParameterError(
                f"{self.name}: gaps has shape {held.shape}, expected one number per operand, ({count},)"
            )
        self._lib.openrdu_stream(
            self._handle,
            ctypes.c_void_p(rows.ctypes.data),
            ctypes.c_void_p(results.ctypes.data),
            ctypes.c_void_p(0 if held is None else held.ctypes.data),
            ctypes.c_uint64(count),
            ctypes.c_uint64(rows.strides[0] if count else 0),
            ctypes.c_uint64(results.strides[0] if count else 0),
            ctypes.c_uint64(self._latency),
        )
        self._settled = True
        return results

    def record(self, path: Path) -> None:
        """Starts writing waves to ``path`` and says so; the model must have been built with ``waves=True``."""
        self._sim.start_vcd_trace(str(path), auto_tracing=False)
        print(f"waves of {self.name}: {path}", file=sys.stderr)

    def close(self) -> None:
        """Finishes the wave file, if one is being written."""
        if self._sim.vcd_trace is not None:
            self._sim.stop_vcd_trace()

    def __del__(self) -> None:
        if hasattr(self, "_sim"):
            self.close()

    def _settle(self) -> None:
        if not self._settled:
            self._sim.eval()
            self._settled = True

    def _find(self, net: str) -> NDArray[Any]:
        path, _, variable = net.rpartition(".")
        scope = ".".join(filter(None, ["TOP", self.name, path]))
        shape = (ctypes.c_uint32 * 2)()
        address = self._lib.openrdu_signal(self._handle, scope.encode(), variable.encode(), shape)
        if not address:
            raise ParameterError(
                f"{self.name} has no public net {net!r}: name it in compile_python(..., public=[...]); "
                "a net that nothing observes is optimised away"
            )
        size, count = shape
        if size in (1, 2, 4, 8):
            dtype: Any = np.dtype(f"u{size}")
            dimensions: tuple[int, ...] = (count,)
        else:
            dtype, dimensions = np.dtype(np.uint32), (count, size // 4)
        buffer = (ctypes.c_uint8 * (size * count)).from_address(address)
        storage: NDArray[Any] = np.ctypeslib.as_array(buffer).view(dtype)
        return storage.reshape(dimensions)


def _rows(operands: Packed, width: int, what: str) -> Packed:
    """``operands`` as contiguous rows that hold a port of ``width`` bits each; checks that nothing sticks out."""
    values: NDArray[Any] = np.ascontiguousarray(operands)
    if values.dtype.kind != "u":
        raise ParameterError(f"{what}: dtype {values.dtype}, expected unsigned integers")
    if width <= 64:
        if values.ndim != 1:
            raise ParameterError(f"{what}: shape {values.shape}, expected (n,) for a port of {width} bits")
        values = values.astype(np.uint64, copy=False)
        if width < 64 and values.size and int(values.max()) >> width:
            raise ParameterError(f"{what}: {int(values.max()):#x} does not fit the {width} bits of port i")
        return values
    if values.dtype not in (np.dtype(np.uint32), np.dtype(np.uint64)):
        raise ParameterError(
            f"{what}: dtype {values.dtype}, expected uint32 or uint64 words for a port of {width} bits"
        )
    bits = values.dtype.itemsize * 8
    words = -(-width // bits)
    if values.ndim != 2 or values.shape[1] != words:
        raise ParameterError(f"{what}: shape {values.shape}, expected (n, {words}) of {values.dtype} for {width} bits")
    if width % bits and len(values) and int(values[:, -1].max()) >> width % bits:
        raise ParameterError(f"{what}: bits beyond the {width} of port i are set")
    return values


def waves_wanted() -> bool:
    """Whether ``WAVES=1`` is set in the environment."""
    return os.environ.get("WAVES", "0") not in ("", "0")


def _pyverilator() -> Any:
    """The class ``PyVerilator``.

    Its import of ``tclwrapper``, which only serves gtkwave, fails on Python 3.11 and later; a stub stands in for it.
    """
    sys.modules.setdefault("tclwrapper", types.ModuleType("tclwrapper"))
    try:
        from pyverilator import PyVerilator
    except ImportError as error:
        raise ToolError("the package `PyVerilator` is not installed: run `make setup`") from error
    return PyVerilator
