"""``make verilog``: Verilog of every distinct block and a JSON sidecar, to ``build/verilog``."""

import json

from rich.progress import track

from hdl.catalogue import UNITS, describe
from hdl.verilog import emit, tool_versions
from verif.sources import ROOT


def main() -> None:
    out = ROOT / "build" / "verilog"
    modules = {}
    for name, make in track(UNITS.items(), description="emitting", transient=True):
        unit = make()
        emit(unit, name, out)
        modules[name] = describe(unit)
    sidecar = out / "openrdu.json"
    sidecar.write_text(json.dumps({"tools": tool_versions(), "modules": modules}, indent=1) + "\n")
    print(f"{len(modules)} modules in {out.relative_to(ROOT)}, described in {sidecar.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
