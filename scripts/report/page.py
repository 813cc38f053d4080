"""The whole page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.report import experts, speedups, tables
from scripts.report.data import Kernel, Result, result
from scripts.report.floorplan import floorplan
from scripts.report.latency import latency
from scripts.report.markup import Markup, element, join, of
from scripts.report.roofline import roofline
from scripts.report.stalls import stalls
from scripts.report.switching import switching
from scripts.report.timeline import timeline

STYLE = Path(__file__).with_name("style.css")


def write_report(result: Mapping[str, Any], path: Path) -> None:
    """Writes the report of ``make sim``, one file that needs no other, from what it also writes as ``result.json``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(result), encoding="utf-8")


def page(source: Mapping[str, Any]) -> str:
    """HTML and well-formed XML. What ``source`` lacks is left out."""
    found = result(source)
    parts = [(name, body) for name, body in sections(found) if body]
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "OpenRDU: make sim"),
        element("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )
    contents = element("nav", *(element("a", name, href=f"#{anchor(name)}") for name, _ in parts))
    body = element(
        "body",
        element("header", element("h1", title(found)), tables.provenance(found)),
        tables.headline(found),
        contents,
        *(element("section", element("h2", name), body, id=anchor(name)) for name, body in parts),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en-GB") + "\n"


def title(found: Result) -> str:
    with_experts = ", and experts that a router picks," if found.source.get("experts") else ""
    return f"A language model{with_experts} on the RTL of a socket"


def sections(found: Result) -> list[tuple[str, Markup]]:
    """Every section and its body, which is empty where there is nothing to say."""
    composed = experts.experts(found.source)
    return [
        ("Answers", tables.answers(found)),
        ("Experts", experts.answers(composed)),
        ("Switches under execution", experts.timeline(composed)),
        ("Switching", switching(composed)),
        ("Kernels", tables.kernels(found)),
        ("Speed-ups", join([speedups.parts(found, phase) for phase in found.phases])),
        ("Timeline", join([timeline(found, phase) for phase in found.phases])),
        ("Launch latency", latency(found)),
        ("Roofline", roofline(found)),
        ("Floorplan", folded(found.fused, lambda kernel: floorplan(kernel, found.machine))),
        ("Stall causes", folded(found.fused, stalls)),
    ]


def folded(kernels: Sequence[Kernel], figure: Callable[[Kernel], Markup]) -> Markup:
    """A figure a kernel, each of which opens and closes; the one with the most units is open."""
    figures = [(kernel, body) for kernel in kernels if (body := figure(kernel))]
    if not figures:
        return Markup()
    largest = max((kernel for kernel, _ in figures), key=lambda each: len(each.units))
    return join(
        [
            element(
                "details",
                element("summary", kernel.title, element("span", f" {of(kernel.cycles, 'cycle')}", class_="note")),
                body,
                open="open" if kernel is largest else None,
            )
            for kernel, body in figures
        ]
    )


def anchor(name: str) -> str:
    return name.lower().replace(" ", "-")
