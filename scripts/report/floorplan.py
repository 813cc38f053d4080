"""The floorplan of a socket under one kernel: units coloured by how much they work, links as wide as they are used.

Every switch is a cell with its PCU, its PMU and, in the outer columns of a tile, its AGCU. Between two cells runs, for
each fabric, a line each way.
"""

from hdl.floorplan import Side
from scripts.report.axes import label, line, svg
from scripts.report.data import KINDS, Kernel, Link, Machine, Unit, ordered
from scripts.report.markup import Markup, count, element, elide, join, of, percent

UNIT_WIDTH, UNIT_HEIGHT, PAD = 88, 30, 4
CELL_WIDTH, CELL_HEIGHT = UNIT_WIDTH + 2 * PAD, 3 * UNIT_HEIGHT + 4 * PAD
GAP, BETWEEN_TILES, MARGIN, HEAD, FOOT = 28, 20, 14, 34, 52
FABRICS = ("vector", "scalar", "token")
LANE = 9
"""Pixels between the lines of one edge."""

WIDEST = 6
STEPS = {Side.NORTH: (-1, 0), Side.EAST: (0, 1), Side.SOUTH: (1, 0), Side.WEST: (0, -1)}


def floorplan(kernel: Kernel, machine: Machine) -> Markup:
    """The figure, with its sentence; nothing without the sizes of the machine or the counters of units."""
    if not (machine.rows and machine.width and kernel.units and kernel.cycles):
        return Markup()
    cells = [(row, column) for row in range(machine.rows) for column in range(machine.width)]
    at = {(unit.row, unit.column, unit.kind): unit for unit in kernel.units}
    width = x(machine.width - 1, machine) + CELL_WIDTH + MARGIN
    height = y(machine.rows - 1) + CELL_HEIGHT + FOOT
    picture = svg(
        width,
        height,
        f"Floorplan of the socket running {kernel.title}",
        *(tile(machine, number) for number in range(machine.tiles)),
        *(wires(kernel, machine)),
        *(cell(kernel, machine, row, column, at) for row, column in cells),
        legend(width, height - FOOT + 20, [link.fabric for link in kernel.links]),
    )
    return join([element("p", sentence(kernel), class_="see"), picture])


def sentence(kernel: Kernel) -> str:
    """What to see: how many units work, the busiest of each kind, and the link with the least to spare."""
    used = ", ".join(
        f"{sum(unit.kind == kind and unit.fires > 0 for unit in kernel.units)} {kind.upper()}s" for kind in KINDS
    )
    busiest = []
    for kind in KINDS:
        units = [unit for unit in kernel.units if unit.kind == kind and unit.fires]
        if units:
            first = max(units, key=lambda unit: unit.fires)
            busiest.append(f"{kind.upper()} {first.name} ({percent(kernel.share(first.fires))})")
    words = f"{used} work in the {of(kernel.cycles, 'cycle')}; busiest: {', '.join(busiest) or 'none'}"
    if kernel.links:
        link = max(kernel.links, key=lambda each: each.flits)
        words += f"; fullest link: {link.fabric}, {place(link)} ({percent(kernel.share(link.flits))})"
    return words + "."


def place(link: Link) -> str:
    return f"row {link.row}, column {link.column} to {link.side}"


def x(column: int, machine: Machine) -> float:
    return MARGIN + column * (CELL_WIDTH + GAP) + column // machine.columns * BETWEEN_TILES


def y(row: int) -> float:
    return HEAD + row * (CELL_HEIGHT + GAP)


def tile(machine: Machine, number: int) -> Markup:
    first, last = (x(number * machine.columns + each, machine) for each in (0, machine.columns - 1))
    edge = 8
    ground = element(
        "rect",
        x=first - edge,
        y=y(0) - edge,
        width=last - first + CELL_WIDTH + 2 * edge,
        height=y(machine.rows - 1) - y(0) + CELL_HEIGHT + 2 * edge,
        rx=8,
        class_="tile",
    )
    return join([ground, label(first - edge, y(0) - edge - 7, f"tile {number}", kind="name")])


def cell(kernel: Kernel, machine: Machine, row: int, column: int, at: dict[tuple[int, int, str], Unit]) -> Markup:
    """A switch and its units."""
    left, top = x(column, machine), y(row)
    ground = element("rect", x=left, y=top, width=CELL_WIDTH, height=CELL_HEIGHT, rx=4, class_="switch")
    kinds = KINDS if column % machine.columns in (0, machine.columns - 1) else KINDS[:2]
    boxes = [
        box(kernel, at.get((row, column, kind), Unit(kind=kind, row=row, column=column)), left + PAD, top, place)
        for place, kind in enumerate(kinds)
    ]
    return join([ground, *boxes])


def box(kernel: Kernel, unit: Unit, left: float, top: float, place: int) -> Markup:
    """A unit: its colour is the share of the kernel's cycles in which it worked."""
    top += PAD + place * (UNIT_HEIGHT + PAD)
    frame = {"x": left, "y": top, "width": UNIT_WIDTH, "height": UNIT_HEIGHT, "rx": 3.0}
    if not unit.name and not unit.fires:
        words = f"{unit.kind.upper()} at row {unit.row}, column {unit.column}: not used"
        middle = label(left + UNIT_WIDTH / 2, top + 19, unit.kind.upper(), "middle", "faint")
        return element("g", element("title", words), element("rect", class_="unused", **frame), middle)
    share = kernel.share(unit.fires)
    return element(
        "g",
        element("title", describe(kernel, unit)),
        element("rect", class_="ground", **frame),
        element("rect", class_="use", fill_opacity=intensity(share), **frame),
        label(left + 5, top + 13, elide(unit.name, UNIT_WIDTH - 10), kind="strong"),
        label(left + 5, top + 25, unit.kind.upper()),
        label(left + UNIT_WIDTH - 5, top + 25, percent(share), "end"),
    )


def describe(kernel: Kernel, unit: Unit) -> str:
    """A unit's counters, a line each."""
    stalls = sorted(((cycles, cause) for cause, cycles in unit.stalls.items() if cycles), reverse=True)
    return "\n".join(
        [
            f"{unit.name}: {unit.kind.upper()} at row {unit.row}, column {unit.column}",
            f"worked {of(unit.fires, 'time')} in {of(kernel.cycles, 'cycle')}: {percent(kernel.share(unit.fires))}",
            f"from start to end: {of(unit.busy, 'cycle')}",
            *(f"stalled by {cause}: {of(cycles, 'cycle')}" for cycles, cause in stalls),
        ]
    )


def intensity(share: float) -> float:
    """Opacity of the colour: what works at all is told from what rests."""
    return 0.06 + 0.94 * share if share else 0.0


def wires(kernel: Kernel, machine: Machine) -> list[Markup]:
    """All links with flits, and a hairline between neighbours that send each other nothing."""
    fabrics = ordered((link.fabric for link in kernel.links), FABRICS)
    idle = {
        (row, column, side): line(*ends, "hair")
        for row in range(machine.rows)
        for column in range(machine.width)
        for side in (Side.EAST, Side.SOUTH)
        if (ends := edge(machine, row, column, side, 0.0))
    }
    used = []
    for link in kernel.links:
        if link.side.upper() not in Side.__members__ or not link.flits:
            continue
        side = Side[link.side.upper()]
        forward = side in (Side.EAST, Side.SOUTH)
        lane = 2 * fabrics.index(link.fabric) + (not forward) - (2 * len(fabrics) - 1) / 2
        ends = edge(machine, link.row, link.column, side, lane * LANE)
        if ends:
            used.append(wire(kernel, link, ends))
            down, right = (0, 0) if forward else STEPS[side]
            idle.pop((link.row + down, link.column + right, side if forward else side.opposite), None)
    return [*idle.values(), *used]


def edge(
    machine: Machine, row: int, column: int, side: Side, offset: float
) -> tuple[float, float, float, float] | None:
    """Where the line from a switch to its neighbour on ``side`` begins and ends; None at the border of the socket."""
    down, right = STEPS[side]
    there = (row + down, column + right)
    if not (0 <= there[0] < machine.rows and 0 <= there[1] < machine.width):
        return None
    middle = (x(column, machine) + CELL_WIDTH / 2 + offset, y(row) + CELL_HEIGHT / 2 + offset)
    if right:
        start = x(column, machine) + (CELL_WIDTH if right > 0 else 0)
        return start, middle[1], x(there[1], machine) + (0 if right > 0 else CELL_WIDTH), middle[1]
    start = y(row) + (CELL_HEIGHT if down > 0 else 0)
    return middle[0], start, middle[0], y(there[0]) + (0 if down > 0 else CELL_HEIGHT)


def wire(kernel: Kernel, link: Link, ends: tuple[float, float, float, float]) -> Markup:
    """A line as wide and as strong as the link is used, with a head that says which way."""
    share = kernel.share(link.flits)
    x1, y1, x2, y2 = ends
    width = thickness(share)
    along = ((x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1))
    long, half = 5.0, 2 + width / 2
    base = (x2 - along[0] * long, y2 - along[1] * long)
    head = (
        f"M{x2:.1f} {y2:.1f}L{base[0] + along[1] * half:.1f} {base[1] + along[0] * half:.1f}"
        f"L{base[0] - along[1] * half:.1f} {base[1] - along[0] * half:.1f}z"
    )
    says = f"{link.fabric} link, {place(link)}: {of(link.flits, 'flit')}, {percent(share)} of cycles"
    return element(
        "g",
        element("title", says),
        element("line", x1=x1, y1=y1, x2=base[0], y2=base[1], stroke_width=width),
        element("path", d=head),
        class_=f"wire {link.fabric}",
        opacity=0.45 + 0.55 * share,
    )


def thickness(share: float) -> float:
    return 1 + (WIDEST - 1) * share


def legend(width: float, top: float, fabrics: list[str]) -> Markup:
    parts = [label(MARGIN, top + 12, "unit working, share of cycles:")]
    left = MARGIN + 178.0
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            element("rect", x=left, y=top, width=42, height=16, rx=3, class_="ground"),
            element("rect", x=left, y=top, width=42, height=16, rx=3, class_="use", fill_opacity=intensity(share)),
            label(left + 21, top + 12, f"{100 * share:.0f}", "middle"),
        ]
        left += 46
    parts.append(label(left + 2, top + 12, "%"))
    left += 40
    for fabric in ordered(fabrics, FABRICS):
        for share in (0.1, 0.5, 1):
            ends = {"x1": left, "x2": left + 24, "y1": top + 8.0, "y2": top + 8.0}
            stroke = element("line", stroke_width=thickness(share), **ends)
            parts.append(element("g", stroke, class_=f"wire {fabric}", opacity=0.45 + 0.55 * share))
            parts.append(label(left + 29, top + 12, count(100 * share)))
            left += 56
        parts.append(label(left - 2, top + 12, f"% of a {fabric} link"))
        left += 122
    return join(parts)
