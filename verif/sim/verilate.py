"""From Verilog to a compiled model: verilates, compiles, links; for Python models and cocotb simulators alike."""

import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from verif.sim import cache, tools

# --x-assign/--x-initial fast: two-state zeros instead of random values; Icarus is the simulator that looks for X.
# -Wno-fatal: lint is a test of its own, not a reason why a simulation cannot be built.
FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-assert", "-Wno-fatal", "-Wno-lint", "-Wno-style")
CFLAGS = "-fPIC"
HEADER = '#include "verilated.h"\n#include "verilated_syms.h"\n'


@dataclass(frozen=True)
class Job:
    """One Verilator build: Verilog ``source`` with top module ``top``, in ``folder``, linked to ``folder/output``."""

    source: Path
    top: str
    folder: Path
    output: str
    main: Path
    flags: tuple[str, ...] = ()
    waves: bool = False
    ldflags: str = ""
    sources: tuple[Path, ...] = ()  # Verilog and C++ that the design needs besides


def flags_of(waves: bool) -> tuple[str, ...]:
    """The Verilator options common to every build."""
    return (*FLAGS, *((f"--trace-{tools.wave_format()}",) if waves else ()))


def control_file(top: str, public: Sequence[str], ports: bool) -> str:
    """A Verilator control file that makes public the nets in ``public`` and, for VPI, the top's ports.

    A net is named by its path below the top, ``fifo.level``; Amaranth names the module of an instance after its path.
    A memory belongs to the module that holds it.
    Public nets block optimisation, hence these few and never ``--public-flat-rw`` (15 times slower, 30 times to build).
    """
    lines = ["`verilator_config"]
    if ports:
        lines.append(f'public_flat_rw -module "{top}" -port "*"')
    for net in public:
        path, _, variable = net.rpartition(".")
        module = f"{top}.{path}" if path else top
        lines.append(f'public_flat_rd -module "{module}" -var "{variable}"')
    return "\n".join(lines) + "\n"


def verilate(job: Job, control: str) -> None:
    """Generates the C++ of ``job`` into its folder as class ``Vtop``.

    Raises:
        ToolError: Verilator refused the design.
    """
    control_path = job.folder / "public.vlt"
    control_path.write_text(control)
    command = [
        str(tools.verilator_root() / "bin" / "verilator_bin"),
        *("--cc", "--exe", "--prefix", "Vtop", "--top-module", job.top, "--Mdir", str(job.folder), "-o", job.output),
        *flags_of(job.waves),
        *job.flags,
        *("-CFLAGS", CFLAGS, "-LDFLAGS", job.ldflags),
        *(str(job.main), str(control_path), str(job.source), *map(str, job.sources)),
    ]
    tools.call(command, what=f"module {job.top}", env=tools.environment())


def compile_and_link(job: Job) -> Path:
    """Compiles what :func:`verilate` wrote and links ``folder/output``; returns its path.

    Raises:
        ToolError: the compiler or the linker failed.
    """
    header = _borrow_runtime(job)
    # A large design, cut into several files, has a precompiled header of its own. g++ takes only the first that it is
    # given precompiled: Verilator's would then be looked for as text and not found ("Vtop__pch.h.fast: No such file").
    own = "VM_PARALLEL_BUILDS = 1" in _settings(job.folder)
    _make(job.folder, job.waves, f"the C++ of module {job.top}", f"USER_CPPFLAGS={'' if own else f'-include {header}'}")
    return job.folder / job.output


def archive(folder: Path, name: str, control: str, libraries: Sequence[Path], waves: bool) -> Path:
    """Verilates module ``name`` of ``folder/name.v`` as class ``V<name>`` and compiles it to ``V<name>__ALL.a``.

    Raises:
        ToolError: Verilator refused the module, or the compiler failed.
    """
    control_path = folder / "public.vlt"
    control_path.write_text(control)
    command = [
        str(tools.verilator_root() / "bin" / "verilator_bin"),
        *("--cc", "--prefix", f"V{name}", "--top-module", name, "--Mdir", str(folder)),
        *flags_of(waves),
        *("-CFLAGS", CFLAGS, str(control_path), str(folder / f"{name}.v"), *map(str, libraries)),
    ]
    tools.call(command, what=f"module {name}", env=tools.environment())
    _make(folder, waves, f"the C++ of module {name}", f"V{name}__ALL.a", makefile=f"V{name}.mk")
    return folder / f"V{name}__ALL.a"


def _make(folder: Path, waves: bool, what: str, *arguments: str, makefile: str = "Vtop.mk") -> None:
    jobs = str(min(4, os.cpu_count() or 1))
    command = [tools.make(), "-j", jobs, "-C", str(folder), "-f", makefile, *tools.make_variables(waves), *arguments]
    tools.call(command, what=what, env=tools.environment())


def _borrow_runtime(job: Job) -> Path:
    """Puts Verilator's own library, compiled once for all designs, where the makefile of ``job`` looks for it.

    It is most of the build of a small design (10 of 15 seconds); its headers, precompiled, are half of the rest.
    Returns the precompiled header to include first.
    """
    settings = [*tools.settings(job.waves), CFLAGS, _settings(job.folder)]

    def build(target: str) -> Callable[[Path], None]:
        def run(folder: Path) -> None:
            for name in ("Vtop.mk", "Vtop_classes.mk"):
                shutil.copy(job.folder / name, folder)
            for name in ("Vtop__pch.h", "Vtop__pch.h.fast"):  # the second for a compiler that refuses the precompiled
                (folder / name).write_text(HEADER)
            _make(folder, job.waves, f"Verilator's library ({target})", target)

        return run

    for name in _global_classes(job.folder):
        built = cache.built(f"runtime-{name}", settings, build(f"{name}.o")) / f"{name}.o"
        shutil.copyfile(built, job.folder / built.name)  # a new date: the makefile wants it newer than Vtop.h
    header = "Vtop__pch.h.fast"
    place = str(tools.verilator_root())  # which is written into it
    return cache.built("runtime-header", [*settings, HEADER, place], build(f"{header}.gch")) / header


def _settings(folder: Path) -> str:
    """What the generated makefile defines for every C++ file: tracing, timing and the like."""
    lines = (folder / "Vtop_classes.mk").read_text().splitlines()
    return "\n".join(line for line in lines if re.fullmatch(r"VM_\w+ = .*", line))


def _global_classes(folder: Path) -> list[str]:
    """The sources of Verilator's library that this model needs, from the generated makefile."""
    text = (folder / "Vtop_classes.mk").read_text()
    lists = re.findall(r"^VM_GLOBAL_\w+ \+= \\\n((?:  \w+ \\\n)*)", text, re.MULTILINE)
    return re.findall(r"\w+", " ".join(lists))
