"""Runs cocotb benches: builds the design once, runs the bench module in one simulator process, reports its failures.

A bench module is a Python module with cocotb tests and a function ``design(**parameters)`` that makes the component. It
is called here to build, and again inside the simulator by :class:`verif.streams.Bench`, with the same parameters.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cocotb_tools.config
import find_libpython
from amaranth.lib import wiring

from hdl.errors import ParameterError, ToolError
from hdl.verilog import blocks as emitted
from hdl.verilog import whole
from verif.sim import cache, tools, verilate
from verif.sim.blocks import split
from verif.sim.model import waves_wanted

SIMULATORS = ("verilator", "icarus")
PARAMETERS = "OPENRDU_BENCH_PARAMETERS"  # environment variable: JSON, read in the simulator process
TIMESCALE = "`timescale 1ns/1ps\n"  # Icarus defaults to 1 s, in which no clock can be represented


class SimulationError(AssertionError):
    """A bench failed; the message holds what each failed test said and how to repeat the run."""


@dataclass(frozen=True)
class BenchResult:
    """What a run of a bench did: the tests that ran, what it printed, the wave file if one was asked for."""

    tests: tuple[str, ...]
    log: str
    waves: Path | None


def run_bench(
    module: str,
    *,
    name: str | None = None,
    parameters: Mapping[str, object] | None = None,
    test: str | None = None,
    sim: str | None = None,
    waves: bool | None = None,
    public: Sequence[str] = (),
    sources: Sequence[Path] = (),
    blocks: Sequence[str] = (),
    seed: int | None = None,
    timeout_s: float = 600.0,
    show: Callable[[str], None] = lambda line: None,
) -> BenchResult:
    """Runs the cocotb tests of ``module`` on its ``design(**parameters)``.

    Args:
        module: importable name of the bench, ``verif.benches.streamed``.
        name: Verilog module name; default the last part of ``module``.
        parameters: arguments of ``design``; must survive JSON.
        test: regular expression; only tests whose name matches run.
        sim: ``verilator`` or ``icarus``; default from ``SIM`` in the environment, else Verilator.
        waves: record waves; default from ``WAVES=1`` in the environment.
        public: internal nets the bench reads, besides the ports, by their path below the top.
        sources: Verilog and C++ files that the design needs besides its own Verilog (C++ not for Icarus).
        blocks: as in :func:`verif.sim.compile_python` (not for Icarus).
        seed: of every random choice in the bench; default from ``COCOTB_RANDOM_SEED``, else a fresh one, printed on
            failure.
        timeout_s: wall-clock limit in seconds, for a bench that hangs outside simulated time.
        show: given every line that the simulator process prints, at once.

    Raises:
        SimulationError: a test failed, none ran, or the simulator died; the message says what, and the seed.
        ToolError: the design could not be built.
    """
    sim = sim or os.environ.get("SIM") or "verilator"
    if sim not in SIMULATORS:
        raise ParameterError(f"SIM={sim}: unknown simulator, expected one of {', '.join(SIMULATORS)}")
    waves = waves_wanted() if waves is None else waves
    name = name or module.rpartition(".")[2]
    component = design_of(module)(**(parameters or {}))
    command = BUILDERS[sim](component, name, public, waves, tuple(sources), tuple(blocks))
    (tools.build_root() / "runs").mkdir(parents=True, exist_ok=True)
    run_folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tools.build_root() / "runs"))
    environment = _environment(module, name, parameters or {}, test, seed, run_folder)
    wave_file = run_folder / f"{name}.{'fst' if sim == 'icarus' else tools.wave_format()}" if waves else None
    log = _run([*command, *WAVE_ARGUMENTS[sim](wave_file)], environment, run_folder, timeout_s, show)
    if wave_file is not None:
        print(f"waves of {name}: {wave_file}", file=sys.stderr)
    tests = _judge(run_folder, log, f"{module} on {sim}")
    if not waves:
        shutil.rmtree(run_folder)
    return BenchResult(tests, log, wave_file)


def design_of(module: str) -> Callable[..., wiring.Component]:
    """The function ``design`` of a bench module.

    Raises:
        ParameterError: the module has none.
    """
    design: Callable[..., wiring.Component] | None = getattr(importlib.import_module(module), "design", None)
    if design is None:
        raise ParameterError(f"bench module {module} has no function `design(**parameters)` that makes its component")
    return design


def bench_parameters() -> dict[str, object]:
    """Inside the simulator: the parameters that :func:`run_bench` was given."""
    return dict(json.loads(os.environ.get(PARAMETERS, "{}")))


def _build_verilator(
    component: wiring.Component,
    name: str,
    public: Sequence[str],
    waves: bool,
    sources: tuple[Path, ...],
    blocks: tuple[str, ...],
) -> list[str]:
    parted = split(emitted(component, name), name, blocks, sources, waves)
    control = verilate.control_file(name, public, ports=True)
    flags = ("--vpi", "--timescale", "1ns/1ps")
    libraries = cocotb_tools.config.libs_dir
    main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    ldflags = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
    if sources:
        ldflags += " -rdynamic"  # so that Python finds the functions of C++ sources
    settings = [*verilate.flags_of(waves), *flags, *tools.settings(waves), ldflags]
    ldflags = " ".join([*map(str, parted.archives), ldflags])

    def build(folder: Path) -> None:
        verilog = folder / f"{name}.v"
        verilog.write_text(parted.around)
        everything = (*sources, *parted.write(folder))
        job = verilate.Job(verilog, name, folder, f"{name}.sim", main, flags, waves, ldflags, everything)
        verilate.verilate(job, control)
        verilate.compile_and_link(job)

    texts = [path.read_text() for path in sources]
    folder = cache.built(name, [*parted.texts, control, *settings, *texts], build)
    return [str(folder / f"{name}.sim")]


def _build_icarus(
    component: wiring.Component,
    name: str,
    public: Sequence[str],
    waves: bool,
    sources: tuple[Path, ...],
    blocks: tuple[str, ...],
) -> list[str]:
    del public, blocks  # every net is; every instance is compiled
    models = [path for path in sources if path.suffix in (".v", ".sv")]
    source = TIMESCALE + whole(emitted(component, name).values()) + (_dump_module(name) if waves else "")
    command = [tools.icarus(), "-g2012", "-s", name, *(["-s", "openrdu_dump"] if waves else [])]

    def build(folder: Path) -> None:
        verilog = folder / f"{name}.v"
        verilog.write_text(source)
        files = map(str, (verilog, *models))
        tools.call([*command, "-o", str(folder / "sim.vvp"), *files], what=f"module {name}")

    texts = [path.read_text() for path in models]
    folder = cache.built(f"{name}-icarus", [source, *command, tools.icarus_version(), *texts], build)
    vpi = cocotb_tools.config.lib_entry("vpi", "icarus")
    return [str(Path(tools.icarus()).with_name("vvp")), "-m", vpi, str(folder / "sim.vvp")]


def _dump_module(name: str) -> str:
    return (
        "module openrdu_dump;\n"
        "  reg [8191:0] path;\n"
        f'  initial if ($value$plusargs("waves=%s", path)) begin $dumpfile(path); $dumpvars(0, {name}); end\n'
        "endmodule\n"
    )


BUILDERS = {"verilator": _build_verilator, "icarus": _build_icarus}
WAVE_ARGUMENTS: dict[str, Callable[[Path | None], list[str]]] = {
    "verilator": lambda path: ["--trace", "--trace-file", str(path)] if path else [],
    "icarus": lambda path: ["-fst", f"+waves={path}"] if path else ["-none"],
}


def _environment(
    module: str, name: str, parameters: Mapping[str, object], test: str | None, seed: int | None, folder: Path
) -> dict[str, str]:
    """The environment of the simulator process: what cocotb's own runner sets, and our parameters."""
    libpython = os.environ.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if libpython is None:
        raise ToolError(
            "cocotb needs a shared libpython and this Python has none: use a Python built with --enable-shared "
            f"(Debian and Ubuntu: `apt install libpython{sys.version_info.major}.{sys.version_info.minor}`)"
        )
    added = {
        "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "COCOTB_TOPLEVEL": name,
        "COCOTB_TEST_MODULES": module,
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_RESULTS_FILE": str(folder / "results.xml"),
        "GPI_LOG_LEVEL": os.environ.get("GPI_LOG_LEVEL", "WARNING"),
        "COCOTB_LOG_LEVEL": os.environ.get("COCOTB_LOG_LEVEL", "WARNING"),
        "COCOTB_ANSI_OUTPUT": "0",
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        # cocotb's default rewrites the assertions of every module imported, NumPy included, and pytest those of its
        # plugins, Hypothesis included: two seconds a run
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "COCOTB_REWRITE_ASSERTION_FILES": str(sys.modules[module].__file__),
        PARAMETERS: json.dumps(dict(parameters)),
    }
    if test is not None:
        added["COCOTB_TEST_FILTER"] = test
    if seed is not None:
        added["COCOTB_RANDOM_SEED"] = str(seed)
    return {**os.environ, **added}


def _run(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    timeout_s: float,
    show: Callable[[str], None],
) -> str:
    """Runs the simulator; returns what it printed, and shows it line by line as it comes."""
    path = folder / "log.txt"
    lines: list[str] = []
    process = subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    late = threading.Timer(timeout_s, process.kill)
    late.start()
    assert process.stdout is not None
    with path.open("w", buffering=1) as log, process:
        for line in process.stdout:
            log.write(line)
            lines.append(line)
            show(line.rstrip("\n"))
    if not late.is_alive():
        raise SimulationError(f"{command[0]} ran longer than {timeout_s:g} s; its output is in {path}")
    late.cancel()
    return "".join(lines)


def _judge(folder: Path, log: str, what: str) -> tuple[str, ...]:
    """The names of the tests that ran, all passed; raises SimulationError otherwise."""
    results = folder / "results.xml"
    if not results.exists():
        raise SimulationError(f"{what}: the simulator died before it reported:\n{log[-3000:]}")
    cases = list(ElementTree.parse(results).iter("testcase"))
    failures = [(case, f) for case in cases for f in (*case.iter("failure"), *case.iter("error"))]
    if failures:
        seed = next(
            (p.get("value") for p in ElementTree.parse(results).iter("property") if p.get("name") == "random_seed"), "?"
        )
        said = "\n\n".join(
            f"{case.get('name')}: {failure.get('message') or failure.text}" for case, failure in failures
        )
        raise SimulationError(f"{what}:\n{said}\n\nrepeat with COCOTB_RANDOM_SEED={seed}; log: {folder / 'log.txt'}")
    ran = tuple(str(case.get("name")) for case in cases if case.find("skipped") is None)
    if not ran:
        raise SimulationError(f"{what}: no test ran; is the filter right?\n{log[-2000:]}")
    return ran
