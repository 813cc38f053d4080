"""The clang that the package ``ziglang`` brings, as a compiler of this machine: g++'s headers, library and linker.

Models compile in half of g++'s time. Zig comes with a C library and a C++ library of its own; both stay out of it, for
objects are linked to what g++ compiled (cocotb's libraries), and by g++.
"""

import functools
import importlib.util
import os
import re
import subprocess
from pathlib import Path

_PROBE = "#include <string>\nstd::string f() { return std::string(100, 'x'); }\n"


@functools.cache
def command(host: str) -> tuple[str, ...] | None:
    """The words that call it in place of ``host``, a g++; None where that cannot be: no package, no g++, no success."""
    spec = importlib.util.find_spec("ziglang")
    told = _run(host, "-v", "-E", "-x", "c++", os.devnull, "-o", os.devnull)
    if spec is None or spec.origin is None or told is None or "\ngcc version" not in told.stderr:
        return None
    package = Path(spec.origin).parent
    target = re.search(r"^Target: (\S+)$", told.stderr, re.MULTILINE)
    listed = re.search(r"^#include <\.\.\.> .*\n((?: .*\n)*)", told.stderr, re.MULTILINE)
    if target is None or listed is None:
        return None
    folders = [_own(Path(line.strip()), package) for line in listed[1].splitlines()]
    words = (
        *(str(package / "zig"), "clang", "--driver-mode=g++", f"--target={target[1]}", "-nostdinc", "-nostdinc++"),
        *(word for folder in dict.fromkeys(folders) for word in ("-isystem", str(folder))),
    )
    return words if _run(*words, "-fsyntax-only", "-x", "c++", "-", text=_PROBE) else None


def _own(folder: Path, package: Path) -> Path:
    """Headers that belong to the compiler, not to the library, are clang's own (intrinsics, ``stddef.h``)."""
    return package / "lib" / "include" if (folder / "stddef.h").exists() and "gcc" in folder.parts else folder


def _run(*words: str, text: str = "") -> subprocess.CompletedProcess[str] | None:
    """What came of it; None if it failed."""
    try:
        process = subprocess.run(words, input=text, capture_output=True, text=True)
    except OSError:
        return None
    return process if process.returncode == 0 else None
