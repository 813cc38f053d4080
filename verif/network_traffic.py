"""Throughput and latency of the network under standard traffic, beside an ideal crossbar: a figure and its numbers.

Open loop: every node makes flits at random at the offered rate and a flit's delay counts from when it was made, as in
W. J. Dally and B. Towles, "Principles and Practices of Interconnection Networks" (2004), chapter 23. All of it is
dynamic traffic, on the one virtual channel of dimension order: the hardest case, since static streams have their own.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from golden_model.rdn import Choice, Endpoint, Hop, resolve
from hdl.floorplan import Kind, Side
from hdl.params import TEST, RDUParams
from hdl.rdn.config import Fabric
from hdl.rdn.grid import Node
from verif.benches.rdn_mesh import MeshBench, sources_of
from verif.sources import ROOT
from verif.strategies.rdn import Plan, Stream, configure

MESH = replace(TEST, rows=4, columns=2, tiles=2, rdn=replace(TEST.rdn, die_latency=0))
"""Four by four, without registers between tiles; every node has five sources, of which the traffic uses four."""

RATES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SOURCES = 4  # of a node, each with a quarter of its load
WARM_UP = 1_000
MEASURE = 4_000
HOT_SHARE = 0.25
PATTERNS = ("uniform", "transpose", "hot spot", "transpose, static")


@dataclass(frozen=True)
class Point:
    """Flits a node and cycle: offered, and taken at the far end; mean delay of the latter in cycles."""

    offered: float
    accepted: float
    delay: float


def nodes_of(params: RDUParams) -> list[Node]:
    return [(row, column) for row in range(params.rows) for column in range(params.columns * params.tiles)]


def plan_of(params: RDUParams, pattern: str, rng: np.random.Generator) -> Plan:
    """Where each node sends: every fourth source its own four destinations, one input of the PCU there.

    - uniform: all nodes in random order, so every other node about as often.
    - transpose: from row r, column c to row c, column r; nodes on the diagonal send nothing.
    - hot spot: a quarter of all flits to one node, others uniform.
    """
    plan, nodes = Plan(), nodes_of(params)
    hot = nodes[5 * len(nodes) // 8]
    for node in nodes:
        mine = [s for s in sources_of(params, Fabric.VECTOR) if (s.row, s.column) == node][:SOURCES]
        others = [nodes[i] for i in rng.permutation(len(nodes)) if nodes[i] != node]
        others.append(others[0])
        for k, source in enumerate(mine):
            if pattern.startswith("transpose"):
                ends = [(node[1], node[0])] * 4
            else:
                ends = [others[(4 * k + j) % len(others)] for j in range(4)]
                if pattern == "hot spot" and node != hot:
                    ends[0] = hot
            if ends[0] != node:
                plan.choices[source] = Choice(0, tuple(Endpoint(*end, Kind.PCU, 0) for end in ends))
    if pattern.endswith("static"):
        _make_static(params, plan)
    return plan


def _make_static(params: RDUParams, plan: Plan) -> None:
    """The same destinations as static streams, one a node, each with a flow id of its own along the way."""
    used: dict[tuple[int, int, Side], int] = {}
    for source, choice in plan.choices.items():
        if (source.kind, source.port) == (Kind.PCU, 0):
            end = choice.ends[0]
            hops = []
            for row, column, side in _dimension_order((source.row, source.column), (end.row, end.column)):
                flow = used.get((row, column, side), 0)
                used[row, column, side] = flow + 1
                hops.append(Hop(row, column, side, flow))
            plan.streams.append(Stream(source, tuple(hops), (end,)))
    plan.choices.clear()


def _dimension_order(node: Node, end: Node) -> Iterable[tuple[int, int, Side]]:
    (row, column), (to_row, to_column) = node, end
    while column != to_column:
        side = Side.EAST if to_column > column else Side.WEST
        yield row, column, side
        column += 1 if side is Side.EAST else -1
    while row != to_row:
        side = Side.SOUTH if to_row > row else Side.NORTH
        yield row, column, side
        row += 1 if side is Side.SOUTH else -1


def measure(bench: MeshBench, pattern: str, rates: Sequence[float] = RATES, cycles: int = MEASURE) -> list[Point]:
    """The curve of one pattern.

    Raises:
        AssertionError: a flit was lost, harmed or out of order on the way.
    """
    params = bench.params
    plan = plan_of(params, pattern, np.random.default_rng(1))
    words = configure(params, Fabric.VECTOR, plan)
    network = resolve(params, words)
    senders = [*plan.choices, *(stream.source for stream in plan.streams)]
    sending = {(source.row, source.column) for source in senders}
    share = len(sending) / len(senders)
    points = []
    for rate in rates:
        bench.load(words, network, seed=round(rate * 1000))
        bench.rates(dict.fromkeys(senders, rate * share))
        bench.run(WARM_UP)
        before = bench.total("taken")
        bench.model["measure"] = 1
        bench.run(cycles)
        bench.model["measure"] = 0
        taken = bench.total("taken") - before
        delay, _, _ = bench.latency()
        points.append(Point(rate, round(taken / cycles / len(sending), 4), round(delay, 2)))
        assert bench.wrong() == 0, f"{pattern} at {rate}: flits harmed, lost or out of order"
    return points


def ideal(params: RDUParams, pattern: str, rates: Sequence[float] = RATES) -> list[Point]:
    """An ideal crossbar: every flit reaches a queue at its output at once, and each output gives one a cycle.

    The delay is the mean wait in such a queue (M. Karol, M. Hluchyj and S. Morgan, "Input versus output queueing on a
    space-division packet switch", IEEE Trans. Communications, 1987), without any time for the way; an overloaded
    output has none, so the delay ends there.
    """
    count = len(nodes_of(params))
    share = dict.fromkeys(range(count), 1 / count)
    if pattern == "hot spot":
        hot = HOT_SHARE * (count - 1) / count + 0.75 / count
        share = {0: hot, **dict.fromkeys(range(1, count), (1 - hot) / (count - 1))}
    points = []
    for rate in rates:
        loads = [rate * count * part for part in share.values()]
        accepted = sum(min(load, 1.0) for load in loads) / count
        waits = [(count - 1) / count * load / (2 * (1 - load)) * load if load < 1 else np.inf for load in loads]
        delay = float(sum(waits) / sum(loads)) if not pattern.startswith("transpose") else 0.0
        points.append(Point(rate, round(accepted, 4), round(delay, 2) if np.isfinite(delay) else -1.0))
    return points


def run(folder: Path = ROOT / "build" / "bench") -> dict[str, dict[str, list[Point]]]:
    """All curves; writes ``network.json`` and ``network.svg`` and returns the points, by pattern and by machine."""
    bench = MeshBench(MESH, Fabric.VECTOR)
    curves = {p: {"network": measure(bench, p), "ideal crossbar": ideal(MESH, p)} for p in PATTERNS}
    folder.mkdir(parents=True, exist_ok=True)
    plain = {p: {who: [asdict(point) for point in points] for who, points in c.items()} for p, c in curves.items()}
    (folder / "network.json").write_text(json.dumps(plain, indent=1) + "\n")
    (folder / "network.svg").write_text(svg(curves))
    return curves


def saturation(points: Sequence[Point]) -> float:
    """The most flits a node and cycle that got through."""
    return max(point.accepted for point in points)


def links_allow(params: RDUParams, pattern: str) -> float:
    """Flits a node and cycle at which the busiest link is full, in dimension order."""
    plan = plan_of(params, pattern, np.random.default_rng(1))
    ends = {source: choice.ends for source, choice in plan.choices.items()}
    ends |= {stream.source: stream.ends for stream in plan.streams}
    senders = len(ends) / len({(source.row, source.column) for source in ends})
    loads: dict[tuple[int, int, Side], float] = defaultdict(float)
    for source, goals in ends.items():
        for goal in goals:
            for link in _dimension_order((source.row, source.column), (goal.row, goal.column)):
                loads[link] += 1 / (senders * len(goals))
    return 1 / max(loads.values())


def summary(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> str:
    """Markdown: what each pattern comes to."""
    heads = ["traffic", "most accepted", "busiest link full at", "ideal crossbar", "delay at 0.1", "at 0.3"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for pattern, machines in curves.items():
        network = machines["network"]
        delays = {point.offered: point.delay for point in network}
        limits = links_allow(MESH, pattern), saturation(machines["ideal crossbar"])
        cells = [saturation(network), *limits, delays[0.1], delays[0.3]]
        lines.append(f"| {pattern} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")
    return "\n".join(lines)


# The figure, as text: two panels, accepted and delay over offered load

WIDTH, HEIGHT, MARGIN, MOST_DELAY = 420, 300, 50, 100.0
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")


def svg(curves: Mapping[str, Mapping[str, Sequence[Point]]]) -> str:
    """Solid: the network; dashed: the ideal crossbar."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * WIDTH + 3 * MARGIN}" height="{HEIGHT + 2 * MARGIN}" '
        'font-family="sans-serif" font-size="12">'
    ]
    for panel, (title, most) in enumerate((("accepted, flits a node and cycle", 1.0), ("delay, cycles", MOST_DELAY))):
        left = MARGIN + panel * (WIDTH + MARGIN)
        parts.append(
            f'<rect x="{left}" y="{MARGIN}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#444"/>'
            f'<text x="{left}" y="{MARGIN - 10}">{title}, over offered load (solid: network, dashed: ideal)</text>'
        )
        for tick in range(6):
            x, y = left + WIDTH * tick / 5, MARGIN + HEIGHT - HEIGHT * tick / 5
            parts.append(f'<text x="{x - 8}" y="{MARGIN + HEIGHT + 16}">{tick / 5:.1f}</text>')
            parts.append(f'<text x="{left - 32}" y="{y + 4}">{most * tick / 5:g}</text>')
        for i, (pattern, machines) in enumerate(curves.items()):
            for who, points in machines.items():
                values = [(p.offered, p.delay if panel else p.accepted) for p in points]
                inside = [(x, v) for x, v in values if 0 <= v <= most]
                line = " ".join(f"{left + WIDTH * x:.1f},{MARGIN + HEIGHT * (1 - v / most):.1f}" for x, v in inside)
                dash = ' stroke-dasharray="5 4"' if who.startswith("ideal") else ""
                parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[i]}" stroke-width="2"{dash}/>')
            parts.append(f'<text x="{left + 12}" y="{MARGIN + 18 + 16 * i}" fill="{COLOURS[i]}">{pattern}</text>')
    return "\n".join([*parts, "</svg>", ""])
