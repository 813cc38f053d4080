"""The report of ``make sim``: the arithmetic behind it, and whole pages from a synthetic result."""

import json
import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest

from hdl.agcu.config import Status as AGCUStatus
from hdl.floorplan import Kind, Side, floorplan, has_agcu
from hdl.params import DEMO
from hdl.pcu.config import STALL_CAUSES
from hdl.pmu.config import Status as PMUStatus
from scripts.report import __main__ as command
from scripts.report import write_report
from scripts.report.axes import Scale, apart
from scripts.report.data import Cost, Launch, costs, result, running
from scripts.report.floorplan import edge
from scripts.report.latency import Way, fusion, orchestration
from scripts.report.markup import EMPTY, Markup, count, element, elide, of, percent, storage
from scripts.report.page import page
from scripts.report.stalls import cause, grouped
from scripts.report.timeline import runs

OPERATORS = ("norm", "query", "rotary", "append", "scores", "softmax", "weighted", "residual", "silu", "attention_out")
SMALL = ("norm", "query", "key", "value", "rotary", "scores", "softmax", "values", "output", "gate", "up", "down")


def units(cycles: int, random: Random) -> list[dict[str, Any]]:
    out = []
    for place in floorplan(DEMO).units:
        if place.kind not in (Kind.PCU, Kind.PMU, Kind.AGCU) or random.random() < 0.12:
            continue
        fires = int(cycles * random.choice((0.05, 0.2, 0.5, 0.85, 0.97)))
        rest = cycles - fires
        stalls = {
            Kind.PCU: {"vector_in_0": rest // 3, "accumulator": rest // 8, "output_room": rest // 5, "token": 0},
            Kind.PMU: {"wait_full": rest // 2, "wait_free": rest // 3, "conflicts": rest // 30},
            Kind.AGCU: {"wait_request": rest // 2, "wait_output": rest // 4},
        }[place.kind]
        name = random.choice(OPERATORS)
        out.append(
            {
                "name": name,
                "kind": place.kind.name.lower(),
                "row": place.row,
                "column": place.column,
                "busy": cycles - 50,
                "fires": fires,
                "stalls": stalls,
            }
        )
    return out


def links(cycles: int, random: Random) -> list[dict[str, Any]]:
    return [
        {"fabric": fabric, "row": row, "column": column, "side": side.name.lower(), "flits": flits}
        for row in range(DEMO.rows)
        for column in range(DEMO.columns * DEMO.tiles)
        for side in Side
        for fabric in ("vector", "scalar")
        if (flits := int(cycles * max(0, random.uniform(-0.6, 0.9)) * (1 if fabric == "vector" else 0.2)))
    ]


def launches(mode: str, phase: str, names: list[str], cycles: int, gap: int, random: Random) -> list[dict[str, Any]]:
    now, out = random.randrange(10_000), []
    for name in names:
        end = now + int(cycles * random.uniform(0.6, 1.4))
        out.append({"mode": mode, "phase": phase, "name": name, "start": now, "end": end})
        now = end + gap
    return out


def synthetic(seed: int = 1) -> dict[str, Any]:
    """A result as ``make sim`` writes it."""
    random = Random(seed)
    kernels: list[dict[str, Any]] = []
    timeline: list[dict[str, Any]] = []
    for phase, cycles, macs, moved in (("prefill", 9000, 2_400_000, 150_000), ("decode", 3000, 100_000, 165_000)):
        layers = 4 if phase == "prefill" else 24
        for mode in ("unfused", "fused_so", "fused_ho"):
            whole: dict[str, Any] = {"phase": phase, "mode": mode, "hbm_utilisation": 0.5, "mac_utilisation": 0.1}
            if mode == "unfused":
                names = [f"{name} {layer}" for layer in range(layers) for name in SMALL]
                timeline += launches(mode, phase, names, cycles // 7, 420, random)
                for name in SMALL:
                    share = random.uniform(0.02, 0.2)
                    took = int(cycles * 0.3 * random.uniform(0.2, 1))
                    kernels.append(
                        whole
                        | {"name": name, "cycles": took * layers, "launches": layers, "binding": "fill latency"}
                        | {"macs": int(macs * share) * layers, "hbm_bytes": int(moved * share * 1.7) * layers}
                        | {"ideal_cycles": took * layers * 0.4, "predicted_cycles": took * layers * 1.04}
                        | {"units_used": {"pcu": 24, "pmu": 24, "agcu": 12}, "units": [], "links": []}
                    )
                continue
            names = [f"decoder layer {layer}" for layer in range(layers)]
            timeline += launches(mode, phase, names, cycles, 310 if mode == "fused_so" else 35, random)
            kernels.append(
                whole
                | {"name": "decoder layer", "cycles": cycles, "launches": 1, "binding": "HBM", "macs": macs}
                | {"hbm_bytes": moved, "ideal_cycles": 2500, "predicted_cycles": cycles * 0.97}
                | {"hbm_utilisation": moved / 64 / cycles, "mac_utilisation": macs / cycles / 768}
                | {"units_used": {"pcu": 21, "pmu": 19, "agcu": 12}}
                | {"units": units(cycles, random), "links": links(cycles, random)}
            )
            kernels.append(
                whole
                | {"name": "vocabulary", "cycles": 700, "launches": 1, "binding": "HBM", "macs": 4_000}
                | {"hbm_bytes": 8_000, "ideal_cycles": 250, "predicted_cycles": 690}
                | {"units_used": {"pcu": 8, "pmu": 8, "agcu": 12}}
            )
    return {
        "preset": "demo",
        "model": "coe_mapping/weights/demo",
        "seed": seed,
        "tools": {"verilator": "5.048", "cocotb": "2.1.0", "amaranth": "0.5.10"},
        "simulator": "cocotb on verilator",
        "wall_s": {"build": 101.0, "simulate": 62.5},
        "machine": {
            "rows": 3,
            "columns": 4,
            "tiles": 2,
            "lanes": 8,
            "stages": 4,
            "hbm_bytes_per_cycle": 64,
            "launch_latency": 100,
        },
        "bit_exact": True,
        "rows_compared": 120,
        "answers_correct": 1,
        "answers": [
            {"prompt": "123+456=", "text": "579", "truth": "579", "correct": True},
            {"prompt": "<b>&\"'", "text": "a\x00b", "truth": "7", "correct": False},
        ],
        "speedup_fused": {"decode": 2.1, "prefill": 1.6},
        "speedup_ho": {"decode": 1.45},
        "kernels": kernels,
        "timeline": timeline,
        "switches": None,
    }


class Nesting(HTMLParser):
    """Fails on an element that is closed in the wrong place, and collects attributes and words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in EMPTY
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def parsed(text: str) -> tuple[ElementTree.Element, str]:
    """The page as XML, and its words; both parsers must agree that it is well-formed."""
    nesting = Nesting()
    nesting.feed(text)
    nesting.close()
    assert not nesting.open
    tree = ElementTree.fromstring(text)
    assert "".join(nesting.words).strip() == "".join(tree.itertext()).strip()
    return tree, " ".join(nesting.words).replace("\u202f", " ")


def sections(tree: ElementTree.Element) -> list[str]:
    return [each.findtext("h2", "") for each in tree.iter("section")]


def numbers(tree: ElementTree.Element) -> Iterator[tuple[str, str, str]]:
    """Every attribute of a figure that must be a number."""
    for picture in tree.iter("svg"):
        for each in picture.iter():
            for name in ("x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "width", "height", "fill-opacity", "opacity"):
                if name in each.attrib:
                    yield each.tag, name, each.attrib[name]


def test_a_whole_page_holds_every_section_and_its_numbers() -> None:
    tree, words = parsed(page(synthetic()))
    wanted = "Answers Kernels Speed-ups Timeline Launch latency Roofline Floorplan Stall causes"
    assert " ".join(sections(tree)) == wanted
    for said in (
        "123+456=",
        "579",
        "1 of 2",
        "1.60\u00d7",
        "2.10\u00d7",
        "1.45\u00d7",
        "120 rows",
        "85.9 %",
        "9,000 cycles",
        "5.048",
    ):
        assert said in words, said
    assert "<b>&\"'" in words, "the prompt as it was"
    assert "a\ufffdb" in words, "a control character is shown as one"


def test_a_page_needs_nothing_but_itself() -> None:
    text = page(synthetic())
    assert not re.search(r"https?:|//|\burl\(|@import|<script|<link|<img|\bsrc=", text)
    nesting = Nesting()
    nesting.feed(text)
    assert all(value.startswith("#") for name, value in nesting.attributes if name == "href")


def test_every_coordinate_is_a_finite_number_within_its_figure() -> None:
    tree, _ = parsed(page(synthetic()))
    found = list(numbers(tree))
    assert len(found) > 1000
    for tag, name, value in found:
        assert re.fullmatch(r"-?\d+(\.\d+)?", value), (tag, name, value)
        assert 0 <= float(value) < 4000, (tag, name, value)


@cache
def complete() -> frozenset[str]:
    return frozenset(sections(parsed(page(synthetic()))[0]))


@pytest.mark.parametrize("key", sorted(synthetic()))
def test_a_part_that_is_missing_or_empty_is_left_out(key: str) -> None:
    gone = {
        "answers": {"Answers"},
        "kernels": {"Kernels", "Roofline", "Floorplan", "Stall causes"},
        "timeline": {"Timeline", "Launch latency"},  # the layer is run both ways elsewhere
        "machine": {"Launch latency", "Roofline", "Floorplan"},
    }
    source = synthetic()
    for instead in (None, type(source[key])()):
        tree, _ = parsed(page(source | {key: instead}))
        assert complete() - set(sections(tree)) == gone.get(key, set())
    del source[key]
    assert page(source) == page(source | {key: None}), "absent is as good as null"


def test_a_page_of_nothing_is_a_page() -> None:
    assert sections(parsed(page({}))[0]) == []


def test_kernels_with_hardly_a_field_make_a_page() -> None:
    bare = {"kernels": [{"name": "layer", "mode": "fused_so", "phase": "decode"}, {}], "machine": {"rows": 3}}
    tree, words = parsed(page(bare))
    assert sections(tree) == ["Kernels"]
    assert "layer" in words


def test_the_page_says_it_when_bits_differ() -> None:
    _, words = parsed(page(synthetic() | {"bit_exact": False}))
    assert "NO" in words


def test_the_floorplan_has_every_unit_of_the_socket_once() -> None:
    source = synthetic()
    source["kernels"] = [each for each in source["kernels"] if each.get("units")][:1]
    kernel = source["kernels"][0]
    titles = [each.text or "" for each in parsed(page(source))[0].iter("title")]
    for place in floorplan(DEMO).units:
        if place.kind in (Kind.PCU, Kind.PMU, Kind.AGCU):
            said = f"{place.kind.name} at row {place.row}, column {place.column}"
            assert sum(said in title and "link" not in title for title in titles) == 1, said
            assert (place.kind is not Kind.AGCU) or has_agcu(DEMO, place.column)
    for unit in kernel["units"]:
        counts = f"worked {unit['fires']:,}"
        said = f"{unit['name']}: {unit['kind'].upper()} at row {unit['row']}, column {unit['column']}"
        assert any(said in title and counts in title for title in titles), said


def test_links_join_neighbours_and_end_at_the_border() -> None:
    machine = result(synthetic()).machine
    for row in range(machine.rows):
        for column in range(machine.width):
            for side in Side:
                down, right = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}[side]
                there = (row + down, column + right)
                ends = edge(machine, row, column, side, 0.0)
                assert (ends is None) != (0 <= there[0] < machine.rows and 0 <= there[1] < machine.width)
                if ends:
                    back = edge(machine, *there, side.opposite, 0.0)
                    assert back == (ends[2], ends[3], ends[0], ends[1])


def test_what_works_more_is_darker_and_what_carries_more_is_wider() -> None:
    unit = {"name": "query", "kind": "pcu", "row": 0}
    link = {"fabric": "vector", "row": 0, "side": "east"}
    kernel: dict[str, Any] = {"name": "layer", "mode": "fused_so", "phase": "decode", "cycles": 1000}
    kernel["units"] = [unit | {"column": column, "fires": 100 * column} for column in range(1, 8)]
    kernel["links"] = [link | {"column": column, "flits": 100 * column} for column in range(1, 7)]
    tree, _ = parsed(page({"machine": synthetic()["machine"], "kernels": [kernel]}))
    shades, widths = {}, {}
    for group in tree.iter("g"):
        title, last = group.findtext("title", ""), group.find("rect[@class='use']")
        if last is not None and title.startswith("query"):
            shades[title.split("column ")[1].split("\n")[0]] = float(last.attrib["fill-opacity"])
        if title.startswith("vector link"):
            widths[title.split("column ")[1].split(" to ")[0]] = float(group[1].attrib["stroke-width"])
    assert len(shades) == 7
    assert len(widths) == 6
    for found in (shades, widths):
        assert [found[name] for name in sorted(found)] == sorted(set(found.values()))


def test_hardware_orchestration_is_not_drawn_twice_as_it_runs_the_same_program() -> None:
    fused = result(synthetic()).fused
    assert [(each.phase, each.mode) for each in fused] == [("prefill", "fused_so"), ("decode", "fused_so")]


def test_cycles_in_which_something_runs_count_overlaps_once() -> None:
    lane = [Launch("unfused", "decode", "a", start, end) for start, end in ((0, 10), (5, 8), (9, 20), (30, 31))]
    assert running(lane) == 21


def test_the_cost_of_a_mode_comes_from_the_timeline() -> None:
    lane = [(1000, 1400), (1500, 1900), (2000, 2600)]
    timeline = [
        {"mode": mode, "phase": "decode", "name": "layer", "start": start, "end": end}
        for mode in ("fused_so", "fused_ho")
        for start, end in lane
    ]
    found = costs(result({"timeline": timeline}), "decode")
    assert found["fused_so"] == Cost(running=1400, gaps=200, launches=3, measured=True)


def test_without_a_timeline_a_launch_costs_the_latency_of_the_machine() -> None:
    kernels = [
        {"mode": "unfused", "phase": "decode", "name": "a", "cycles": 700, "launches": 3},
        {"mode": "unfused", "phase": "decode", "name": "b", "cycles": 300, "launches": 2},
        {"mode": "fused_ho", "phase": "decode", "name": "a", "cycles": 600, "launches": 4},
    ]
    found = costs(result({"kernels": kernels, "machine": {"launch_latency": 100}}), "decode")
    assert found["unfused"] == Cost(running=1000, gaps=500, launches=5, measured=False)
    assert found["fused_ho"] == Cost(running=600, gaps=100, launches=4, measured=False)


def test_another_launch_latency_changes_only_what_the_host_is_waited_for() -> None:
    way = Way(cycles=1600, doorbells=5)
    assert [way.at(latency, 100) for latency in (0, 100, 300)] == [1100, 1600, 2600]
    assert Way(cycles=300, doorbells=5).at(0, 100) == 0, "never less than nothing"


LAYERS = {
    "decode": {
        "software": {"unfused": 9000, "fused": 900},
        "hardware": {"unfused": 2000, "fused": 600},
        "doorbells": {"unfused": 24, "fused": 2},
    }
}


def test_fusion_moves_with_the_latency_as_often_as_the_host_is_waited_for() -> None:
    curves = fusion(result({"layer_cycles": LAYERS, "speedup_fused": {"decode": 2000 / 600}}))
    host, listed = curves["decode, by the host"], curves["decode, as a list"]
    assert (host.at(100, 100), listed.at(100, 100)) == (10, listed.measured)
    assert host.at(3200, 100) == (9000 + 24 * 3100) / (900 + 2 * 3100)
    assert listed.at(3200, 100) == (2000 + 3100) / (600 + 3100)


def test_orchestration_by_the_host_waits_for_every_load_and_every_launch_and_a_list_for_every_pass() -> None:
    names = ["embedding", "layer", "layer", "head"]
    host = [
        {"mode": "fused_so", "phase": "decode", "name": name, "start": 1000 * i, "end": 1000 * i + 900}
        for i, name in enumerate(names)
    ]
    listed = {"mode": "fused_ho", "phase": "decode", "name": "pass", "start": 0, "end": 1200}
    curve = orchestration(result({"timeline": [*host, listed], "speedup_ho": {"decode": 3.0}}))["decode"]
    assert (curve.before, curve.after) == (Way(3600, 4 + 3), Way(1200, 1))
    assert curve.at(100, 100) == curve.measured


def test_the_latency_is_shown_from_25_to_3200_cycles() -> None:
    _, words = parsed(page(synthetic() | {"layer_cycles": LAYERS, "speedup_fused": {"decode": 2000 / 600}}))
    for said in ("25 cycles", "3,200 cycles", "10.00\u00d7", "decode, by the host", "hardware orchestration: decode"):
        assert said in words, said


@pytest.mark.parametrize(("correct", "says"), [(True, "\u2713 right"), (False, "wrong"), (None, "not compared")])
def test_a_text_that_was_not_compared_is_neither_right_nor_wrong(correct: bool | None, says: str) -> None:
    answer = {"prompt": "1+1=", "text": "2", "truth": None, "correct": correct}
    tree, words = parsed(page({"answers": [answer], "layers": {"run": 1, "of": 3}}))
    assert says in words
    assert "the first 1 of the 3 layers" in words
    assert sections(tree) == ["Answers"]


def test_lanes_begin_at_their_first_launch_in_order() -> None:
    entries = [
        {"mode": "unfused", "phase": "decode", "name": n, "start": s, "end": s + 5} for n, s in (("b", 90), ("a", 50))
    ]
    lane = result({"timeline": entries}).lane("decode", "unfused")
    assert [(each.name, each.start, each.end) for each in lane] == [("a", 0, 5), ("b", 40, 45)]


def test_short_launches_that_no_pixel_parts_are_drawn_as_one() -> None:
    lane = [Launch("unfused", "decode", str(n), 10 * n, 10 * n + 9) for n in range(5)]
    lane.append(Launch("unfused", "decode", "long", 51, 1000))
    assert [len(run) for run in runs(lane, least=4)] == [5, 1]
    assert [len(run) for run in runs(lane, least=0.5)] == [1] * 6
    parted = [Launch("unfused", "decode", str(n), 20 * n, 20 * n + 9) for n in range(5)]
    assert [len(run) for run in runs(parted, least=4)] == [1] * 5, "a gap that a pixel shows is shown"


def test_every_stall_counter_of_the_hardware_has_its_cause() -> None:
    waits = [
        each.name for each in (*PMUStatus, *AGCUStatus) if each.name.startswith("WAIT_") or each.name == "CONFLICTS"
    ]
    for counter in (*(f"stall_{name}" for name in STALL_CAUSES), *waits):
        assert cause(counter) != "other", counter
        assert cause(counter) == cause(counter.lower().removeprefix("wait_").removeprefix("stall_"))
    assert cause("stall_vector_in_2") == "operands"
    assert cause("WAIT_REQUEST") == "memory"
    assert cause("gremlins") == "other"


def test_grouped_stalls_are_means_over_units() -> None:
    entries = [
        {"kind": "pcu", "fires": 30, "stalls": {"vector_in_0": 4, "vector_in_3": 6, "token": 0}},
        {"kind": "pcu", "fires": 10, "stalls": {"accumulator": 2}},
    ]
    units = result({"kernels": [{"units": entries}]}).kernels[0].units
    assert grouped(units) == {"working": 20, "operands": 5, "accumulator in flight": 1}


def test_numbers_carry_their_units() -> None:
    assert [of(value, "cycle").replace("\u202f", " ") for value in (1, 4000, None)] == [
        "1 cycle",
        "4,000 cycles",
        "\u2013",
    ]
    assert of(3, "launch", "launches").endswith("launches")
    assert [percent(each).replace("\u202f", " ") for each in (0.8125, 0, None)] == ["81.2 %", "0.0 %", "\u2013"]
    assert [storage(each).replace("\u202f", " ") for each in (512, 2048, 3 << 20, 5 << 30)] == [
        "512 B",
        "2.0 KiB",
        "3.0 MiB",
        "5.0 GiB",
    ]
    assert count(1234567.4) == "1,234,567"


def test_ticks_are_round_and_within_the_scale() -> None:
    assert Scale(0, 1000, 0, 400).ticks() == [0, 200, 400, 600, 800, 1000]
    assert Scale(0.2, 30, 0, 800, logarithmic=True).ticks() == [0.2, 0.5, 1, 2, 5, 10, 20]
    scale = Scale(1, 100, 0, 200, logarithmic=True)
    assert [scale(each) for each in (1, 10, 100)] == [0, 100, 200]
    assert Scale(0, 0, 10, 20)(0) == 10


def test_labels_keep_their_distance() -> None:
    assert apart({"a": 10, "b": 12, "c": 100}, 14) == {"a": 10, "b": 24, "c": 100}


def test_names_are_cut_to_the_room_there_is() -> None:
    assert elide("query", 100) == "query"
    assert elide("attention_output", 60) == "attention…"
    assert elide("attention_output", 10) == ""


def test_text_is_escaped_once_and_attributes_too() -> None:
    assert element("p", "a < b", Markup("<br/>"), class_='"') == '<p class="&quot;">a &lt; b<br/></p>'
    assert element("rect", x=1.0, stroke_width=0.25, rx=None) == '<rect x="1" stroke-width="0.25"/>'


def test_the_command_writes_the_report_beside_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(synthetic()), encoding="utf-8")
    assert command.main([str(path)]) == 0
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page(synthetic())
    write_report(synthetic(), tmp_path / "deeper" / "report.html")
    assert (tmp_path / "deeper" / "report.html").exists()


@pytest.mark.parametrize(("text", "says"), [(None, "run `make sim` first"), ("{", "is not JSON"), ("[]", "no result")])
def test_the_command_says_what_is_wrong_with_its_file(
    text: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert command.main([str(path)]) == 1
    assert says in capsys.readouterr().err


def test_costs_are_of_one_layer_where_it_was_run_both_ways() -> None:
    kernel = {"phase": "decode", "launches": 1}
    found = result(
        {
            "kernels": [
                {**kernel, "name": "norm", "mode": "unfused", "cycles": 300},
                {**kernel, "name": "scores", "mode": "unfused", "cycles": 500},
                {**kernel, "name": "decode layer", "mode": "fused_so", "cycles": 400},
                {**kernel, "name": "decode head", "mode": "fused_so", "cycles": 100},
            ],
            "layer_cycles": {
                "decode": {"software": {"unfused": 9000, "fused": 900}, "hardware": {"unfused": 2000, "fused": 600}}
            },
            "timeline": [{"mode": "fused_so", "phase": "decode", "name": "all", "start": 0, "end": 99_999}],
        }
    )
    assert costs(found, "decode") == {
        "unfused": Cost(800, 1200, 2, True),
        "fused_so": Cost(400, 500, 1, True),
        "fused_ho": Cost(400, 200, 1, True),
    }
