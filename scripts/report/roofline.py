"""The roofline: what the machine allows a kernel of some operational intensity, and what each kernel reaches.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model", CACM 2009.
"""

from scripts.report.axes import Scale, apart, bottom, label, left, line, svg
from scripts.report.data import MODES, PHASES, Kernel, Machine, Result, ordered
from scripts.report.markup import Markup, element, join, of, percent

WIDTH, BASE, TOP = 1010, 400, 44
ACROSS = (56.0, WIDTH - 190.0)


def roofline(found: Result) -> Markup:
    """A dot a kernel; kernels that multiply nothing or move nothing have no place in it."""
    machine = found.machine
    roof = machine.hbm_bytes_per_cycle
    kernels = [each for each in found.kernels if each.macs and each.hbm_bytes and each.cycles]
    if not (kernels and roof and machine.peak):
        return Markup()
    ridge = machine.peak / roof
    intensities = [each.macs / each.hbm_bytes for each in kernels]
    rates = [each.macs / each.cycles for each in kernels]
    across = Scale(min(*intensities, ridge) / 2, max(*intensities, ridge) * 3, *ACROSS, logarithmic=True)
    up = Scale(min(*rates, machine.peak / 10) / 2, machine.peak * 1.6, BASE, TOP, logarithmic=True)
    picture = svg(
        WIDTH,
        BASE + 40,
        "Roofline of the socket",
        bottom(across, BASE, TOP, "multiply-adds a byte of HBM traffic"),
        left(up, across.start, across.end, "multiply-adds a cycle"),
        *roofs(machine, ridge, across, up),
        *(dot(kernel, machine, across, up) for kernel in sorted(kernels, key=lambda each: each.mode, reverse=True)),
        *names(kernels, across, up),
        *legend(kernels),
    )
    return join([element("p", sentence(kernels, machine), class_="see"), picture])


def reach(kernel: Kernel, machine: Machine) -> float:
    """The share of what the roof over a kernel allows."""
    allowed = min(machine.peak, kernel.macs / kernel.hbm_bytes * machine.hbm_bytes_per_cycle)
    return kernel.macs / kernel.cycles / allowed


def sentence(kernels: list[Kernel], machine: Machine) -> str:
    best = max(kernels, key=lambda each: reach(each, machine))
    ridge = machine.peak / machine.hbm_bytes_per_cycle
    return (
        f"The closer to a roof, the better: left of {ridge:.3g} multiply-adds a byte HBM limits, "
        f"right of it the PCUs. Closest is {best.title} ({MODES.get(best.mode, best.mode)}) with "
        f"{percent(reach(best, machine))} of what its roof allows."
    )


def roofs(machine: Machine, ridge: float, across: Scale, up: Scale) -> list[Markup]:
    """Where HBM and where the PCUs limit."""
    roof = machine.hbm_bytes_per_cycle
    low = max(across.low, up.low / roof)
    along = low**0.4 * ridge**0.6  # above the roof nothing is in the way of a label
    return [
        line(across(low), up(low * roof), across(ridge), up(machine.peak), "roof"),
        line(across(ridge), up(machine.peak), across.end, up(machine.peak), "roof"),
        label(across.end, up(machine.peak) - 7, f"all PCUs: {machine.peak:,} multiply-adds a cycle", "end", "strong"),
        label(across(along) - 12, up(along * roof) - 2, f"HBM: {roof:g} B a cycle", "end", "strong"),
    ]


def dot(kernel: Kernel, machine: Machine, across: Scale, up: Scale) -> Markup:
    rate = kernel.macs / kernel.cycles
    x, y = across(kernel.macs / kernel.hbm_bytes), up(rate)
    says = (
        f"{kernel.title} ({MODES.get(kernel.mode, kernel.mode)})\n{rate:,.1f} multiply-adds a cycle, "
        f"{kernel.macs / kernel.hbm_bytes:.3g} a byte\n{percent(reach(kernel, machine))} of its roof\n"
        f"{of(kernel.cycles, 'cycle')}"
    )
    return element(
        "g",
        element("title", says),
        shape(kernel.phase, x, y, 7 if kernel.mode == "fused_so" else 5),
        class_=kernel.mode,
    )


def shape(phase: str, x: float, y: float, size: float = 5) -> Markup:
    """Prefill is round, decode is a diamond. Where two modes of a kernel coincide, the larger shape shows behind."""
    if phase == "decode":
        arm = size + 1
        return element("path", d=f"M{x:.1f} {y - arm:.1f}l{arm} {arm}l-{arm} {arm}l-{arm} -{arm}z", class_="dot")
    return element("circle", cx=x, cy=y, r=size, class_="dot")


def names(kernels: list[Kernel], across: Scale, up: Scale) -> list[Markup]:
    """Fused kernels by name, each once; the others say theirs under the pointer."""
    named: dict[str, Kernel] = {}
    for kernel in kernels:
        if kernel.mode != "unfused":
            named.setdefault(kernel.title, kernel)
    heights = apart({title: up(each.macs / each.cycles) + 4 for title, each in named.items()}, 13)
    return [
        label(across(each.macs / each.hbm_bytes) + 11, heights[title], title, kind="strong")
        for title, each in named.items()
    ]


def legend(kernels: list[Kernel]) -> list[Markup]:
    """Modes by colour, phases by shape."""
    x, y, out = WIDTH - 170, TOP + 10, []
    for mode in ordered((each.mode for each in kernels), list(MODES)):
        for part in MODES.get(mode, mode).split(", "):
            if part == MODES.get(mode, mode).split(", ")[0]:
                out.append(element("g", element("circle", cx=x, cy=y - 4, r=5, class_="dot"), class_=mode))
            out.append(label(x + 12, y, part))
            y += 14
        y += 6
    for phase in ordered((each.phase for each in kernels), PHASES):
        out += [element("g", shape(phase, x, y - 4), class_="plain"), label(x + 12, y, phase)]
        y += 20
    return out
