"""The Verilog of a block: emitted, lint-clean, no latch, no combinational loop, no undriven net."""

import subprocess
import tempfile
from pathlib import Path

from amaranth.lib import wiring

from hdl import yosys
from hdl.verilog import emit
from verif.sim import tools
from verif.sources import ROOT

WAIVERS = ROOT / "hdl" / "lint_waivers.vlt"
CHECK = "proc; select -assert-none t:$dlatch* t:$sr; opt_clean; check -assert"


def complaints(component: wiring.Component, name: str) -> str:
    """What Verilator's lint says of ``component`` beyond the waivers; the empty string when it is clean.

    Yosys looks at each module by itself, which takes seconds at any size; a loop through several is Verilator's to see.

    Raises:
        ToolError: Yosys refused it, or found a latch, a loop or an undriven net.
    """
    with tempfile.TemporaryDirectory(prefix="openrdu-lint-") as scratch:
        file = emit(component, name, Path(scratch))
        yosys.run(f"read_verilog {file}; hierarchy -check -top {name}; {CHECK}", what=f"the check of {name}")
        verilator = tools.verilator_root() / "bin" / "verilator_bin"
        command = [str(verilator), "--lint-only", "-Wall", "--top-module", name, str(WAIVERS), str(file)]
        return str(subprocess.run(command, env=tools.environment(), capture_output=True, text=True).stderr)
