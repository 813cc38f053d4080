"""``make verilog``: Verilog of every unit and of a socket, with what describes them, to ``build/verilog``.

Units: one file each, and ``openrdu.json``: ports, parameters, latency. The socket of ``--preset`` in a folder of its
own: a file for every distinct block, ``socket.json`` (the same, and which block instantiates which others how often),
and a core file for FuseSoC, whose target ``lint`` runs Verilator over it.
"""

import argparse
import json
import shutil
from pathlib import Path

from rich.progress import track

from hdl.catalogue import UNITS
from hdl.describe import describe
from hdl.fusesoc import core
from hdl.params import PRESETS, RDUParams, preset
from hdl.socket import Socket
from hdl.verilog import blocks, emit, instances, tool_versions
from verif.lint import WAIVERS
from verif.sources import ROOT

EMITTED = [name for name in PRESETS if name != "sn40l"]  # which is for the bandwidth model only


def units(out: Path) -> None:
    """Every unit of the catalogue, and their sidecar."""
    modules = {}
    for name, make in track(UNITS.items(), description="emitting units", transient=True):
        unit = make()
        modules[name] = describe(unit)
        emit(unit, name, out)
    sidecar = out / "openrdu.json"
    sidecar.write_text(json.dumps({"tools": tool_versions(), "modules": modules}, indent=1) + "\n")
    print(f"{len(modules)} units in {_shown(out)}, described in {_shown(sidecar)}")


def socket(params: RDUParams, out: Path) -> Path:
    """The socket of these sizes: its blocks, their sidecar and the core file, whose path is returned."""
    name = f"socket_{params.name}"
    emitted = blocks(Socket(params), name)
    below = instances(emitted)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for block in emitted.values():
        (out / f"{block.name}.v").write_text(block.verilog)
    shutil.copy(WAIVERS, out)
    sidecar = {
        "tools": tool_versions(),
        "top": name,
        "blocks": {name: {**emitted[name].about, "instantiates": below[name]} for name in sorted(emitted)},
    }
    (out / "socket.json").write_text(json.dumps(sidecar, indent=1) + "\n")
    file = out / f"{name}.core"
    files = [f"{block}.v" for block in sorted(emitted)]
    file.write_text(core(name, f"OpenRDU, a socket of the preset {params.name}", files, WAIVERS.name))
    return file


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: make verilog PRESET=nano")
    parser.add_argument("--preset", default="demo", choices=EMITTED, help="sizes of the socket")
    params = preset(parser.parse_args().preset)
    out = ROOT / "build" / "verilog"
    units(out)
    file = socket(params, out / f"socket_{params.name}")
    print(f"{len(list(file.parent.glob('*.v')))} blocks of the socket in {_shown(file.parent)}, core file {file.name}")


if __name__ == "__main__":
    main()
