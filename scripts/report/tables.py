"""The parts of the page that are words and numbers: the figures at its top, the answers, the kernels."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.report.data import KINDS, MODES, PHASES, Kernel, Result, ordered
from scripts.report.markup import ABSENT, Markup, count, element, join, of, percent, storage, times


def table(heads: Sequence[str], rows: Sequence[Markup], kind: str | None = None) -> Markup:
    head = element("thead", element("tr", *(element("th", each, scope="col") for each in heads)))
    return element("div", element("table", head, element("tbody", *rows), class_=kind), class_="scroll")


def headline(found: Result) -> Markup:
    """The figures that say whether the run was right, and what it gained."""
    source, tiles = found.source, []
    if source.get("bit_exact") is not None:
        rows = source.get("rows_compared")
        good = bool(source["bit_exact"])
        note = f"{of(rows, 'row')} compared with the golden model" if rows is not None else "against the golden model"
        tiles.append(tile("bit-exact", "yes" if good else "NO", note, "good" if good else "bad"))
    if found.answers:
        compared = [answer.correct for answer in found.answers if answer.correct is not None]
        good = all(compared)
        kind = ("good" if good else "bad") if compared else None
        value = f"{sum(compared)} of {len(compared)}" if compared else "not compared"
        tiles.append(tile("answers right", value, "against the truth", kind))
    if composed := source.get("experts"):
        tiles += experts(composed)
    for key, what, note in (
        ("speedup_fused", "fused", "over unfused, one layer"),
        ("speedup_ho", "HO over SO", "hardware over software orchestration"),
    ):
        measured = source.get(key) or {}
        tiles += [tile(f"{phase}, {what}", times(measured[phase]), note) for phase in ordered(measured, PHASES)]
    wall = source.get("wall_s") or {}
    if wall:
        parts = ", ".join(f"{name} {float(seconds):.0f}" for name, seconds in wall.items())
        tiles.append(tile("wall time", f"{sum(map(float, wall.values())):.0f}\u202fs", f"{parts} (seconds)"))
    return element("div", *tiles, class_="tiles") if tiles else Markup()


def experts(composed: Mapping[str, Any]) -> list[Markup]:
    """The figures of the composition."""
    right, asked, exact = composed["answers_correct"], len(composed["prompts"]), composed["bit_exact"]
    note = "bit-exact" if exact else "NOT bit-exact"
    hidden = composed["switching"]["hidden_share"]
    return [
        tile("experts' answers right", f"{right} of {asked}", note, "good" if exact and right == asked else "bad"),
        tile("switching hidden", percent(hidden), "of the time of copies"),
    ]


def tile(name: str, value: str, note: str, kind: str | None = None) -> Markup:
    return element(
        "div",
        element("div", name, class_="name"),
        element("div", value, class_=f"value {kind}" if kind else "value"),
        element("div", note, class_="note"),
        class_="tile",
    )


def answers(found: Result) -> Markup:
    """What the model wrote, and what would have been right."""
    if not found.answers:
        return Markup()
    rows = [
        element(
            "tr",
            element("th", element("code", answer.prompt), scope="row"),
            element("td", element("code", answer.text)),
            element("td", element("code", answer.truth)),
            verdict(answer.correct),
        )
        for answer in found.answers
    ]
    words = "Every decoder layer behind these answers ran on the RTL; the truth is computed, not the model's."
    layers = found.source.get("layers") or {}
    if layers and layers["run"] < layers["of"]:
        words = f"{truncated(layers['run'], layers['of'])} They all ran on the RTL."
    return join([element("p", words, class_="see"), table(("prompt", "text of the model", "truth", ""), rows, "words")])


def truncated(layers: int, whole: int) -> str:
    """Why a text is not compared with the truth."""
    return (
        f"Only the first {layers} of the {of(whole, 'layer')} of the checkpoint were run: the text is not that of the "
        "whole model, and it is not compared with the truth."
    )


def verdict(correct: bool | None) -> Markup:
    if correct is None:
        return element("td", "not compared")
    return element("td", "\u2713 right" if correct else "\u2717 wrong", class_="good" if correct else "bad")


def kernels(found: Result) -> Markup:
    """Every kernel, by phase and mode."""
    if not found.kernels:
        return Markup()
    heads = (
        "kernel",
        "launches",
        "cycles",
        "predicted",
        "ideal / cycles",
        "bound by",
        "multiply-adds",
        "of the PCUs' peak",
        "HBM traffic",
        "of HBM's bandwidth",
        *(f"{kind.upper()}s" for kind in KINDS),
    )
    rows = []
    for phase in found.phases:
        for mode in ordered((each.mode for each in found.kernels), list(MODES)):
            group = [each for each in found.kernels if (each.phase, each.mode) == (phase, mode)]
            if group:
                name = join([element("span", class_=f"swatch {mode}"), f"{phase}, {MODES.get(mode, mode)}"])
                rows.append(element("tr", element("th", name, colspan=len(heads), scope="colgroup"), class_="group"))
                rows += [row(kernel) for kernel in group]
    return join([element("p", sentence(found.kernels), class_="see"), table(heads, rows)])


def sentence(found: Sequence[Kernel]) -> str:
    words = (
        "Predicted is the bandwidth model, with its error; ideal is the time of the traffic or the multiply-adds alone."
    )
    busiest = max(found, key=lambda each: each.hbm_utilisation or 0)
    if busiest.hbm_utilisation:
        words += f" Nearest to HBM's bandwidth: {busiest.title} with {percent(busiest.hbm_utilisation)}."
    return words


def row(kernel: Kernel) -> Markup:
    predicted = ABSENT
    if kernel.predicted_cycles is not None and kernel.cycles:
        error = 100 * (kernel.predicted_cycles / kernel.cycles - 1)
        predicted = f"{count(kernel.predicted_cycles)} ({error:+.1f}\u202f%)".replace("-", "\u2212")
    ideal = kernel.ideal_cycles / kernel.cycles if kernel.ideal_cycles is not None and kernel.cycles else None
    numbers = (
        count(kernel.launches),
        count(kernel.cycles),
        predicted,
        percent(ideal),
        kernel.binding or ABSENT,
        count(kernel.macs),
        percent(kernel.mac_utilisation),
        storage(kernel.hbm_bytes),
        percent(kernel.hbm_utilisation),
        *(count(kernel.units_used.get(kind)) for kind in KINDS),
    )
    return element("tr", element("th", kernel.name, scope="row"), *(element("td", each) for each in numbers))


def provenance(found: Result) -> Markup:
    """What was run on what: enough to run it again."""
    source, machine = found.source, found.machine
    facts = {
        "preset": source.get("preset"),
        "model": source.get("model"),
        "seed": source.get("seed"),
        "simulator": source.get("simulator"),
    }
    if machine.rows and machine.width:
        facts["socket"] = f"{of(machine.tiles, 'tile')} of {machine.rows} \u00d7 {machine.columns} switches"
    if machine.lanes and machine.stages:
        facts["PCU"] = (
            f"{machine.lanes} lanes \u00d7 {machine.stages} stages; all together {machine.peak:,} multiply-adds a cycle"
        )
    if machine.hbm_bytes_per_cycle:
        facts["HBM"] = f"{machine.hbm_bytes_per_cycle:g}\u202fB a cycle"
    if machine.launch_latency is not None:
        facts["launch latency"] = of(machine.launch_latency, "cycle")
    facts["tools"] = ", ".join(f"{name} {version}" for name, version in (source.get("tools") or {}).items()) or None
    said = {name: str(value) for name, value in facts.items() if value is not None}
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in said.items()))
