"""``make doctor``: what this machine has for OpenRDU, versions included; exits 1 if something needed is missing."""

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hdl.errors import ToolError
from verif.sim import tools
from verif.sources import ROOT

OPTIONAL = {
    "iverilog": "a second simulator for the block benches, make test SIM=icarus (Debian: apt install iverilog)",
    "ccache": "warm rebuilds of simulators in seconds (apt install ccache)",
}


def first_line(*command: str) -> str:
    process = subprocess.run(command, capture_output=True, text=True)
    return (
        (process.stdout or process.stderr).strip().splitlines()[0] if process.stdout or process.stderr else "no answer"
    )


def pinned() -> Iterator[tuple[str, str]]:
    """Every (package, version) that pyproject.toml pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        name, _, version = line.partition("==")
        yield name, version


def rows() -> Iterator[tuple[str, str, bool]]:
    """(what, what was found, whether that is good) for everything needed."""
    yield "machine", f"{platform.platform()}, {os.cpu_count()} processors", True
    yield "Python", f"{platform.python_version()} at {sys.executable}", sys.version_info >= (3, 11)
    for tool in ("g++", "make"):
        found = shutil.which(tool)
        yield tool, first_line(tool, "--version") if found else "missing", bool(found)
    yield "compiler of models", _compiler(), True
    headers = Path(sysconfig.get_path("include")) / "Python.h"
    yield "Python headers", f"{headers} (not needed)" if headers.exists() else "none (not needed)", True
    libpython = first_line(sys.executable, "-c", "import find_libpython as f; print(f.find_libpython() or 'missing')")
    yield "shared libpython", libpython, libpython != "missing"
    for name, version in pinned():
        try:
            found_version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found_version = "missing"
        same = found_version == version
        yield (
            name,
            found_version if same else f"{found_version}, {version} is pinned: run make clean and make again",
            same,
        )


def _compiler() -> str:
    try:
        words = tools.compiler()
    except ToolError:
        return "none"
    return first_line(*words, "--version") + ("" if words == (tools.linker(),) else ", of ziglang")


def main() -> int:
    table = Table("what", "found", title="OpenRDU doctor")
    good = True
    for what, found, is_good in rows():
        good = good and is_good
        table.add_row(what, found, style=None if is_good else "red")
    for tool, purpose in OPTIONAL.items():
        version = (
            re.sub(r" \(.*", "", first_line(tool, "-V" if tool == "iverilog" else "--version"))
            if shutil.which(tool)
            else ""
        )
        table.add_row(f"{tool} (optional)", version or f"not found: {purpose}", style=None if version else "dim")
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
