"""``make sim``: trained language models generate text on the RTL of a socket, under cocotb; every bit is compared.

Two jobs on one simulator, beside each other. A language model: prompts go in as a batch; prefill and decode run as
fused kernels, orchestrated by the host and by a command list; then one layer runs operator by operator as well, so that
speed-ups are measured on the same RTL. And a composition of experts (:mod:`scripts.sim_experts`): mixed prompts, a
router that picks an expert for each, experts copied from DDR to HBM while others run. Written to ``build/sim``:
``result.json`` and ``report.html``.
"""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from coe_mapping.models.model import ModelError
from coe_mapping.models.read import read_model
from coe_mapping.models.tasks import task
from coe_mapping.models.tokenizer import read_tokenizer
from hdl.errors import ParameterError, ToolError
from hdl.params import DEMO, PRESETS, RDUParams, preset, require
from scripts import sim_experts
from scripts.report import write_report
from scripts.report.tables import truncated
from scripts.sim_display import Display, ExpertsDisplay
from verif import figures, measure
from verif.experts_on_board import Ran, on_board
from verif.machine import BLOCKS, board_name, board_sources
from verif.sim import SimulationError, run_bench
from verif.sim.blocks import THREADS
from verif.sim.model import waves_wanted
from verif.sim.tools import build_root
from verif.sources import ROOT

OUT = ROOT / "build" / "sim"
WEIGHTS = ROOT / "coe_mapping" / "weights"
PROMPTS, TOKENS = ("123+456=", "411+973="), 5
LIMIT_S = 3 * 3600.0
FAST = "ARITH=fast: the arithmetic of PCUs ran as C, held against the RTL by make verify ONLY=arith"
BUILT_S = 60
"""A build that takes longer than that was not there."""


@dataclass(frozen=True)
class Asked:
    """What is to be run: ``prompts`` by ``model``, at most ``tokens`` each, of its layers the first ``layers`` only if
    that is given. ``experts``: the composition too."""

    params: RDUParams
    model: Path
    prompts: tuple[str, ...]
    tokens: int
    layers: int | None = None
    experts: bool = False
    host_links: int = 1
    fast: bool = False  # arithmetic in C

    @property
    def is_demonstration(self) -> bool:
        """Whether its answers are ours to get right."""
        asked = (self.model, self.prompts, self.tokens, self.layers)
        return self.params is DEMO and asked == (WEIGHTS / "demo", PROMPTS, TOKENS, None)


def main() -> int:
    console = Console(highlight=False)
    try:
        cold = not build_root().exists()
        asked = asked_for(_options())
        check(asked.model, asked.prompts, asked.layers)
        simulations = 2 if asked.experts else 1  # beside each other
        os.environ.setdefault(THREADS, str(max(1, (os.cpu_count() or 1) // simulations)))
        seen = simulate(console, asked)
    except (ModelError, ParameterError, ToolError, SimulationError) as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 1
    result = assemble(asked, seen)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "result.json").write_text(json.dumps(result, indent=1) + "\n")
    write_report(result, OUT / "report.html")
    show(console, result)
    if asked.is_demonstration and not asked.fast:
        _record(result, cold=cold)
    written = [OUT / "result.json", OUT / "report.html", *([seen.display.waves] if seen.display.waves else [])]
    console.print(f"written: {', '.join(str(path.relative_to(ROOT)) for path in written)}")
    wrong = list(failures(result, own=asked.is_demonstration))
    for sentence in wrong:
        console.print(f"error: {sentence}", style="red", markup=False, soft_wrap=True)
    return 1 if wrong else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make sim", description="Language models on the RTL of a socket.")
    parser.add_argument("--model", type=Path, default=WEIGHTS / "demo", help="folder or file of a checkpoint")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="demo", help="which machine")
    parser.add_argument("--prompt", action="append", help="may be given several times; all go in one batch")
    parser.add_argument("--tokens", type=int, default=TOKENS, help="most tokens a prompt")
    parser.add_argument("--layers", type=int, help="only the first layers of the checkpoint; default all")
    parser.add_argument(
        "--experts",
        type=int,
        choices=(0, 1),
        help="1: router and experts too; default 1 on demo with its own model whole and without waves, else 0",
    )
    arith = "fast: the arithmetic of PCUs as C, all else RTL"
    parser.add_argument("--arith", choices=("rtl", "fast"), default="rtl", help=arith)
    parser.add_argument("--host-links", type=int, default=1, help="of the machine that experts are compared with")
    return parser.parse_args()


def asked_for(options: argparse.Namespace) -> Asked:
    """What the options mean.

    Raises:
        ParameterError: experts do not run on that preset, or there is no host link.
    """
    params = preset(options.preset)
    plain = options.model == WEIGHTS / "demo" and options.layers is None and params is DEMO and not waves_wanted()
    experts = plain if options.experts is None else bool(options.experts)
    require(params is DEMO or not experts, f"experts fit the demo preset only, not {params.name}: leave EXPERTS=1 out")
    require(options.host_links >= 1, f"{options.host_links} host links to compare with: give one at least")
    prompts = tuple(options.prompt or PROMPTS)
    fast = options.arith == "fast"
    return Asked(params, options.model, prompts, options.tokens, options.layers, experts, options.host_links, fast)


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


@dataclass(frozen=True)
class Seen:
    """What the simulations left."""

    display: Display
    experts: Ran | None = None


def simulate(console: Console, asked: Asked) -> Seen:
    """Builds the simulator if need be, runs both jobs in it, the experts as soon as it is built."""
    display, experts = Display(asked.prompts), ExpertsDisplay(sim_experts.JOB.prompts)
    options = {"model": str(asked.model.resolve()), "prompts": list(asked.prompts)}
    shown = Group(display, experts) if asked.experts else display
    with Live(shown, console=console, refresh_per_second=4), ThreadPoolExecutor(1) as pool:
        jobs: list[Future[list[Ran]]] = []

        def line(text: str) -> None:
            display.line(text)
            if asked.experts and display.built_s and not jobs:
                job = partial(on_board, fast=asked.fast)
                jobs.append(pool.submit(job, asked.params.name, sim_experts.JOB, experts.line))

        ran = run_bench(
            "verif.benches.board",
            name=board_name(asked.params.name, fast=asked.fast),
            parameters={
                "preset": asked.params.name,
                "job": "verif.generation:run",
                "options": options | {"tokens": asked.tokens, "layers": asked.layers},
                "fast": asked.fast,
            },
            sources=board_sources(asked.params, fast=asked.fast),
            blocks=BLOCKS,
            timeout_s=LIMIT_S,
            show=line,
        )
        composed = [each for job in jobs for each in job.result()]
    if ran.waves is not None:
        display.waves = keep(ran.waves)
    return Seen(display, *composed)


def keep(waves: Path) -> Path:
    """Moves waves from the folder of their run to where the result goes."""
    OUT.mkdir(parents=True, exist_ok=True)
    kept = OUT / f"waves{waves.suffix}"
    shutil.move(waves, kept)
    shutil.rmtree(waves.parent)
    return kept


def assemble(asked: Asked, seen: Seen) -> dict[str, Any]:
    """``result.json``."""
    params, display = asked.params, seen.display
    runs, layers = display.result["runs"], display.result["layers"]
    texts = runs[-1]["texts"]
    of = read_model(asked.model).config.layers
    first = {"run": asked.layers or of, "of": of}
    answers = [_answer(asked.model, prompt, text, first) for prompt, text in zip(asked.prompts, texts, strict=True)]
    by_phase = {layer["phase"]: layer["cycles"] for layer in layers}
    spent = time.monotonic() - display.began
    fused = {phase: cycles["hardware"]["unfused"] / cycles["hardware"]["fused"] for phase, cycles in by_phase.items()}
    by_lists = _speedup_of_lists(runs)
    slower = {"look-ahead, by the host": by_lists, "look-ahead, operator by operator": fused}
    return {
        "preset": params.name,
        "model": str(asked.model),
        "layers": first,
        "widths": display.result["widths"],
        "rows": display.result["rows"],
        "seed": 1,
        "simulator": "cocotb on Verilator" + (f", {FAST}" if asked.fast else ""),
        "arith": "fast" if asked.fast else "rtl",
        "tools": {name: version(name) for name in ("amaranth", "cocotb", "verilator", "numpy", "pyosys")},
        "wall_s": {"build": round(display.built_s, 1), "simulate": round(spent - display.built_s, 1)},
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
        "speedup_fused": fused,
        "speedup_ho": by_lists,
        "speedup_looped": {
            loop["phase"]: loop["cycles"]["launches"] / loop["cycles"]["looped"] for loop in runs[-1]["looping"]
        },
        "layer_cycles": by_phase,
        "kernels": [kernel for layer in layers for kernel in layer["kernels"]]
        + [kernel for run in runs for kernel in run["kernels"]],
        "timeline": [launch for run in runs for launch in run["timeline"]],
        "experts": seen.experts and sim_experts.assemble(params, seen.experts, asked.host_links, slower),
    }


def failures(result: dict[str, Any], *, own: bool) -> Iterator[str]:
    """What is wrong, a sentence each. Wrong answers are, if the prompts are our ``own``, which the model has right."""
    experts = result["experts"]
    for what, part in (("the language model", result), ("router and experts", experts)):
        if part and not part["bit_exact"]:
            first = next(iter(part["mismatches"]), "nothing was compared, or a layer operator by operator differs")
            yield f"{what} on RTL differs from the golden model: {first}"
    for answer in result["answers"]:
        if own and answer["correct"] is False:
            yield f"the answer to {answer['prompt']!r} is {answer['text']!r}, and right is {answer['truth']!r}"
    yield from sim_experts.failures(experts) if experts else ()


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


def _record(result: dict[str, Any], *, cold: bool) -> None:
    """The figures of the demonstration; its time, ``cold`` or warm, is that of all of it."""
    for phase, factor in result["speedup_fused"].items():
        figures.record(f"fusion_speedup_{phase}", round(factor, 2))
    figures.record("ho_speedup_decode", round(result["speedup_ho"]["decode"], 2))
    figures.record("looping_speedup", round(result["speedup_looped"]["decode"], 2))
    errors = [abs(kernel["predicted_cycles"] / kernel["cycles"] - 1) for kernel in result["kernels"]]
    figures.record("bandwidth_model_error_max", round(max(errors), 3))
    if not result["experts"]:
        return
    sim_experts.record(result["experts"])
    wall = result["wall_s"]
    if cold or wall["build"] < BUILT_S:
        figures.record("sim_cold_s" if cold else "sim_warm_s", round(wall["build"] + wall["simulate"], 1))


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
    if result["arith"] == "fast":
        console.print(f"{FAST}; everything else is RTL", soft_wrap=True)
    if result["experts"]:
        sim_experts.show(console, result["experts"])


if __name__ == "__main__":
    sys.exit(main())
