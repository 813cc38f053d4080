"""``make sim ROWS=32,64``: one decoder layer of any checkpoint on the RTL of a socket, every bit compared.

For models too large for the simulator to make them talk. ``MODEL=smollm2`` is SmolLM2-135M-Instruct, which is installed
the first time. Written to ``build/sim/layer.json``.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from coe_mapping.models.model import ModelError
from coe_mapping.models.read import read_model
from hdl.errors import ParameterError, ToolError
from hdl.params import DEMO, PRESETS, preset
from verif import figures, smollm2
from verif.generation import MARK
from verif.machine import BLOCKS, board_name, board_sources
from verif.sim import SimulationError, run_bench
from verif.sources import ROOT

OUT = ROOT / "build" / "sim"
LIMIT_S = 6 * 3600.0
SMOLLM2, PREFILL_ROWS = [576, 9, 3, 64, 1536], 64
"""Hidden, heads, key heads, head, inner of a model made by others; the rows of prefill that its figures are of."""


def main() -> int:
    options = _options()
    console = Console(highlight=False)
    try:
        model = checkpoint(options.model)
        read_model(model)
        result = simulate(console, options.preset, model, options.rows)
    except (ModelError, ParameterError, ToolError, SimulationError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "layer.json").write_text(json.dumps(result, indent=1) + "\n")
    show(console, result["layers"])
    if options.preset == DEMO.name and result["widths"] == SMOLLM2:
        record(result["layers"])
    return 1 if any(layer["mismatches"] for layer in result["layers"]) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sim ROWS=", description="A decoder layer on the RTL of a socket.")
    parser.add_argument("--model", required=True, help="folder or file of a checkpoint, or smollm2")
    parser.add_argument("--preset", choices=sorted(PRESETS), default=DEMO.name, help="which machine")
    parser.add_argument("--rows", type=_rows, required=True, help="tokens of each prefill, 32,64 for instance")
    return parser.parse_args()


def _rows(text: str) -> list[int]:
    rows = [int(each) for each in text.split(",")]
    if min(rows) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a prefill has one token at least")
    return rows


def checkpoint(name: str) -> Path:
    """Where a model lies; ``smollm2`` in its package.

    Raises:
        ToolError: the package cannot be installed.
    """
    return smollm2.checkpoint() if name == "smollm2" else Path(name)


def simulate(console: Console, name: str, model: Path, rows: list[int]) -> dict[str, Any]:
    """Builds the simulator if need be, runs the job in it."""
    params = preset(name)
    found: dict[str, Any] = {}
    with console.status("building the simulator of the socket (minutes, once)") as status:

        def line(text: str) -> None:
            if not text.startswith(MARK):
                return
            event = json.loads(text.removeprefix(MARK))
            kind, what = event.pop("kind"), f"{event.get('phase')} of {event.get('rows')}, {event.get('mode')}"
            match kind:
                case "result":
                    found.update(event)
                case "comparing":
                    status.update(f"{what}: a minute for each 100,000 cycles")
                case "measured":
                    console.print(f"{what}: {event['cycles']:,} cycles, {event['mismatches']} elements differ")

        run_bench(
            "verif.benches.board",
            name=board_name(params.name, fast=False),
            parameters={
                "preset": params.name,
                "job": "verif.layer_on_board:run",
                "options": {"model": str(model.resolve()), "rows": rows},
                "fast": False,
            },
            sources=board_sources(params, fast=False),
            blocks=BLOCKS,
            timeout_s=LIMIT_S,
            show=line,
        )
    return found


def show(console: Console, layers: list[dict[str, Any]]) -> None:
    """The table at the end."""
    table = Table("phase", "rows", "mode", "cycles", "predicted", "launches", "MB", "of HBM", "of MACs", "bits wrong")
    for layer in layers:
        kernel = layer["kernel"]
        fused = (f"{kernel['hbm_utilisation']:.1%}", f"{kernel['mac_utilisation']:.1%}") if kernel else ("", "")
        table.add_row(
            *(layer["phase"], str(layer["rows"]), layer["mode"], f"{layer['cycles']:,}"),
            *(f"{kernel['predicted_cycles']:,}" if kernel else "", str(layer["launches"])),
            *(f"{layer['bytes'] / 1e6:.2f}", *fused, str(layer["mismatches"])),
        )
    console.print(table)


def record(layers: list[dict[str, Any]]) -> None:
    """The figures of SmolLM2's layer."""
    cycles = {(layer["phase"], layer["mode"]): layer["cycles"] for layer in layers}
    speedup = cycles["decode", "unfused"] / cycles["decode", "fused"]
    figures.record("fusion_speedup_decode_smollm2", round(speedup, 2))
    for layer in layers:
        kernel = layer["kernel"]
        if kernel and layer["phase"] == "decode":
            figures.record("decode_hbm_utilisation_smollm2", round(kernel["hbm_utilisation"], 3))
        elif kernel and layer["rows"] == PREFILL_ROWS:
            figures.record("prefill_peak_utilisation", round(kernel["mac_utilisation"], 3))
            figures.record("prefill_gemm_pcu_utilisation", round(kernel["gemm_utilisation"], 3))


if __name__ == "__main__":
    sys.exit(main())
