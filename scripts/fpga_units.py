"""``make fpga-units``: area and clock of the units on an ECP5-85F, speed grade 6, by open tools.

Yosys and nextpnr, three seeds a unit, a register on every input (``verif/ecp5.py``). Prints the table and writes
``build/fpga/units.json``; when all arithmetic units were asked for also ``docs/fpga_units.md``, and when PCU or PMU
were, their rows of ``docs/fpga.md``. Results are kept by Verilog text. The fabric's units (``pcu_*``, ``pmu_*``) take
many minutes each and are measured only when ``--only`` names them.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from amaranth.lib import wiring
from rich.console import Console
from rich.table import Table

from hdl.arith.add import Add
from hdl.arith.formats import BF16, FP32
from hdl.arith.multiply import Multiply
from hdl.arith.multiply_add import MultiplyAdd
from hdl.arith.special import SpecialFunction
from hdl.catalogue import UNITS
from hdl.params import DEMO, NANO
from hdl.pcu.pcu import PCU
from hdl.pmu.pmu import PMU
from verif import ecp5, figures
from verif.sources import ROOT

CLAIMED = "multiply_add_5"
"""The row whose area and clock are claimed as figures: the shallowest that passes 100 MHz with every seed."""

ROWS: dict[str, Callable[[], wiring.Component]] = {
    **{f"multiply_add_{d}": partial(MultiplyAdd, d) for d in (3, 4, 5, 6, 8, 11)},
    **{f"multiply_bf16_{d}": partial(Multiply, BF16, BF16, d) for d in (2, 4)},
    **{f"multiply_fp32_{d}": partial(Multiply, FP32, FP32, d) for d in (3, 6)},
    **{f"add_bf16_{d}": partial(Add, BF16, d) for d in (4, 8)},
    **{f"add_fp32_{d}": partial(Add, FP32, d) for d in (4, 8)},
    **{f"special_function_{d}": partial(SpecialFunction, depth=d) for d in (8, 12)},
    **{name: make for name, make in UNITS.items() if not name.startswith(("multiply", "add", "special", "pcu", "pmu"))},
}
FABRIC: dict[str, Callable[[], wiring.Component]] = {
    f"{unit}_{preset.name}": partial(make, getattr(preset, unit))
    for preset in (NANO, DEMO)
    for unit, make in (("pcu", PCU), ("pmu", PMU))
}
CLAIMED_CLOCKS = ("pcu_nano", "pmu_nano")
"""Rows whose median clock is the figure of that name."""
CROWDED = ("--router", "router2")
"""For units that fill a third of the device and more: the router that negotiates."""
COLLISIONS = "-no-rw-check"
"""For the PCU: nobody looks at what its queues show of a place written in the same cycle, so that takes no logic."""
FABRIC_PAGE = ROOT / "docs" / "fpga.md"
SEEDS = (1, 2, 3)
NOT_PLACED = "too large"
HEADINGS = ("unit", "LUT4", "CCU2C", "LUT4 sites", "FF", "MULT18", "block RAM", "MHz: worst", "median", "best")
PUBLIC = (
    "| public: BF16 FMA, 9 stages (key2/amaranth-fp, Yosys estimate) | 833 | | | 489 | 1 | | | | |",
    "| public: BF16 add (the same) | 265 | | | | | | | | |",
    "| public: BF16 multiply (the same) | 35 | | | | 1 | | | | |",
)


def cells(name: str, measured: ecp5.Figures) -> list[str]:
    area, clock = measured.area, sorted(measured.mhz)
    counts = (area.lut4, area.ccu2c, measured.comb, area.ff, area.mult18, area.block_ram)
    if not clock:
        return [name, *map(str, (area.lut4, area.ccu2c, "", area.ff, area.mult18, area.block_ram)), NOT_PLACED, "", ""]
    if len(clock) < len(SEEDS):
        return [name, *map(str, counts), "", f"{measured.median_mhz:.1f} of {len(clock)} of {len(SEEDS)} seeds", ""]
    return [name, *map(str, counts), f"{clock[0]:.1f}", f"{measured.median_mhz:.1f}", f"{clock[-1]:.1f}"]


def markdown(rows: list[list[str]]) -> str:
    lines = [
        "# Area and clock of the units",
        "",
        "Written by `make fpga-units`: ECP5-85F, speed grade 6, Yosys and nextpnr, three seeds. The number",
        "behind a unit's name is its depth in cycles. *LUT4* and *CCU2C* (two LUT4s and their carry) are counted after",
        "synthesis, *LUT4 sites* after packing, carries and their feed-ins included. A unit stands between registers:",
        "pads are not in the timing, and the registers on its inputs are not in its area.",
        "",
        f"| {' | '.join(HEADINGS)} |",
        f"|{'---|' * len(HEADINGS)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        *PUBLIC,
    ]
    return "\n".join(lines) + "\n"


def with_rows(page: str, measured: dict[str, ecp5.Figures]) -> str:
    """``page`` with the rows of these units in its table, and where their slowest paths run, replaced."""
    lines = page.splitlines()
    for name, row in measured.items():
        new = f"| {' | '.join([*cells(name, row), *row.limits])} |"
        (at,) = (number for number, line in enumerate(lines) if line.startswith(f"| {name} |"))
        lines[at] = new
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make fpga-units ONLY=multiply_add")
    parser.add_argument("--only", default="", help="only units whose name begins so")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="fewer than three are no figure, only a row")
    arguments = parser.parse_args()
    only, seeds = arguments.only, SEEDS[: arguments.seeds]
    offered = {**ROWS, **FABRIC} if only else ROWS
    chosen = {name: make for name, make in offered.items() if name.startswith(only)}
    if not chosen:
        parser.error(f"no unit's name begins with {only!r}; there are {', '.join(offered)}")
    console = Console(highlight=False)
    measured = {}
    for done, (name, make) in enumerate(chosen.items(), 1):
        large: dict[str, Any] = {"between": ecp5.Scanned, "options": CROWDED} if name in FABRIC else {}
        if name.startswith("pcu"):
            large["synthesis"] = COLLISIONS
        measured[name] = ecp5.measure(make(), name, seeds, say=partial(console.print, markup=False), **large)
        row = measured[name]
        clock = f"{row.median_mhz:.1f} MHz" if row.mhz else f"{NOT_PLACED} for the device"
        console.print(f"[{done}/{len(chosen)}] {name}: {row.area.lut4} LUT4, {clock}", markup=False)
        if name in CLAIMED_CLOCKS and len(row.mhz) == len(SEEDS):
            figures.record(f"{name}_ecp5_mhz", row.median_mhz)
        if name in FABRIC:  # at once: the next unit may take an hour
            FABRIC_PAGE.write_text(with_rows(FABRIC_PAGE.read_text(), {name: row}))
    rows = [cells(name, row) for name, row in measured.items()]
    table = Table(*HEADINGS, title="ECP5-85F, speed grade 6")
    for row_cells in rows:
        table.add_row(*row_cells)
    Console(width=None if console.is_terminal else 130).print(table)
    out = ROOT / "build" / "fpga" / "units.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({name: asdict(row) for name, row in measured.items()}, indent=1) + "\n")
    if CLAIMED in measured and seeds == SEEDS:
        figures.record("fma_ecp5_lut4", measured[CLAIMED].area.lut4)
        figures.record("fma_ecp5_mhz", measured[CLAIMED].median_mhz)
    if chosen.keys() == ROWS.keys() and seeds == SEEDS:
        (ROOT / "docs" / "fpga_units.md").write_text(markdown(rows))


if __name__ == "__main__":
    main()
