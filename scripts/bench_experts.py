"""Compositions of 150 and 850 experts under traces of 10,000 prompts: strategies, compared with the optimum that knows
the future and with experts behind host links. The experts' part of ``make bench``.

Two machines. *demo*: experts of the sizes and answers of those that come with the project, each many times over, on a
``demo`` socket; cycles by the bandwidth model. *paper*: every expert takes S to copy and 4.7 S to run (20 tokens), with
S = 13.48 GB / 992 GB/s, the time unit. HBM holds 38 experts of average size, as a node of the paper does
(512 GiB beside caches, 13.48 GB each); so 850 experts are 22 times as many as fit.

Prompts come all at once (a batch), or over time at 0.8 of what the machine could run if it never switched.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean

from rich.progress import track

from coe_mapping.compiled_model import CompiledModel, Sizes, compile_model
from coe_mapping.experts import Expert, Order, Region, Runtime, Strategy, read_composition
from coe_mapping.experts.composition import MANIFEST
from coe_mapping.experts.costs import prompt_cycles
from coe_mapping.experts.evaluate import score
from coe_mapping.experts.image import image_layout
from coe_mapping.experts.time_model import Link, Outcome, Prompt, host_links, simulate, tier_dma
from coe_mapping.experts.traces import arrivals, most_hits, zipf
from coe_mapping.models import ModelConfig, read_model, read_tokenizer
from coe_mapping.models.evaluate import exact_match, held_out
from coe_mapping.models.tasks import task
from golden_model.operators import ContractArithmetic
from hdl.params import DEMO
from scripts.bench_mapping import Found
from verif import figures
from verif.expert_copy import copy_cycles
from verif.sources import ROOT

PLACES = 38
PROMPTS = 10_000
COUNTS = (150, 850)
EXPONENT, PHASES = 1.0, 10
"""Of the trace: popularity falls as 1 / rank, and is dealt anew ten times."""

LOAD = 0.8
SEED = 1
WINDOW, WIDE = 64, 256
SIZES = Sizes(prompt=20, batch=1, positions=80)
SAMPLE = 200
"""Held-out prompts over which lengths are averaged."""

PAPER = Strategy("in order, LRU")
LOOK_AHEAD = Strategy(f"resident first of {WIDE}", Order.RESIDENT, WIDE, overlap=True, bound=WIDE)
STRATEGIES = (
    PAPER,
    Strategy("in order, LRU, next copied ahead", ahead=1, overlap=True),
    Strategy(f"in order, sees {WINDOW}", ahead=WINDOW, overlap=True),
    Strategy(f"grouped, of {WINDOW}", Order.GROUPED, WINDOW, bound=WINDOW),
    Strategy(f"resident first of {WINDOW}", Order.RESIDENT, WINDOW, overlap=True, bound=WINDOW),
    LOOK_AHEAD,
)
HELD_OUT_PROMPTS, LANES = 1000, 8
DENSE = MANIFEST.parent / "dense"
RATIOS = (31.0, 15.5)
HOST_LINKS = 1


@dataclass(frozen=True)
class Kind:
    """What an expert is like: bytes to copy, cycles of an average prompt."""

    bytes: int
    cycles: float


@dataclass(frozen=True)
class Machine:
    """Kinds of experts, dealt in turn, and what they are copied over."""

    name: str
    kinds: Sequence[Kind]
    link: Link
    granule: int

    @property
    def cycles(self) -> float:
        return fmean(kind.cycles for kind in self.kinds)


@dataclass(frozen=True)
class Line:
    """A strategy on a trace. Times are in cycles of ``demo``, or S of the paper.

    Attributes:
        prompt: time of an average prompt.
        optimum: hit rate that nothing can pass which runs the prompts in order; a bound where sizes differ, for it
            takes all experts to be as small as the smallest.
    """

    machine: str
    experts: int
    arrivals: str
    strategy: str
    prompt: float
    hit_rate: float
    optimum: float
    switching: float
    hidden: float
    cycles: float
    speedup: float
    median_latency: float
    tail_latency: float
    most_overtaken: int


def demo() -> Machine:
    """Experts of the composition that comes with the project."""
    compiled: dict[ModelConfig, CompiledModel] = {}
    composition = read_composition()
    kinds = []
    for member in composition.experts.values():
        shape = replace(member.model.config, layers=1)
        if shape not in compiled:
            compiled[shape] = compile_model(DEMO, shape, SIZES)
        cycles = prompt_cycles(compiled[shape], member.model.config.layers)
        examples = held_out(task(member.task), SAMPLE)
        average = fmean(cycles.of(len(e.prompt) + 1, len(e.answer) + 1) for e in examples)
        whole = replace(compiled[shape], config=member.model.config)
        kinds.append(Kind(image_layout(whole).bytes, average))
    return Machine("demo", kinds, tier_dma(DEMO), DEMO.memory.granule * DEMO.beat_bytes)


def paper() -> Machine:
    return Machine("paper", [Kind(1000, 4.7)], Link(1000.0), 1)


def runtime(machine: Machine, experts: int, strategy: Strategy) -> Runtime:
    """Fresh."""
    kinds = [machine.kinds[i % len(machine.kinds)] for i in range(experts)]
    everyone = [Expert(str(i), kind.bytes) for i, kind in enumerate(kinds)]
    size = fmean(kind.bytes for kind in kinds)
    ddr, hbm = Region(1 << 40, sum(e.bytes + machine.granule for e in everyone)), Region(0, round(PLACES * size))
    return Runtime(everyone, strategy, ddr=ddr, hbm=hbm, granule=machine.granule)


def trace(machine: Machine, experts: int, load: float) -> list[Prompt]:
    """``load`` of what the machine could run; 0: all at once."""
    chosen = zipf(experts, PROMPTS, exponent=EXPONENT, phases=PHASES, seed=SEED)
    times = arrivals(PROMPTS, machine.cycles / load if load else 0.0, seed=SEED)
    kinds = [machine.kinds[expert % len(machine.kinds)] for expert in chosen]
    return [
        Prompt(float(time), str(expert), kind.cycles) for time, expert, kind in zip(times, chosen, kinds, strict=True)
    ]


def compare(machine: Machine, experts: int, load: float) -> Iterator[Line]:
    """All strategies, then the host links."""
    prompts = trace(machine, experts, load)
    places = PLACES * fmean(k.bytes for k in machine.kinds) // min(k.bytes for k in machine.kinds)
    optimum = most_hits([prompt.expert for prompt in prompts], int(places)) / PROMPTS
    runs = [(strategy.name, strategy, machine.link) for strategy in STRATEGIES]
    for ratio in RATIOS:
        slow = Link(machine.link.bandwidth / ratio * HOST_LINKS, machine.link.latency)
        link = host_links(DEMO, ratio, HOST_LINKS) if machine.name == "demo" else slow
        runs.append((f"{HOST_LINKS} host link, DDR {ratio} times as fast", PAPER, link))
    first: Outcome | None = None
    for name, strategy, link in runs:
        outcome = simulate(runtime(machine, experts, strategy), prompts, link)
        first = first or outcome
        yield Line(
            machine.name,
            experts,
            "over time" if load else "at once",
            name,
            machine.cycles,
            outcome.hit_rate,
            optimum,
            outcome.switching,
            outcome.hidden,
            outcome.cycles,
            first.cycles / outcome.cycles,
            outcome.latency(50),
            outcome.latency(99),
            outcome.most_overtaken,
        )


def table(lines: Sequence[Line]) -> str:
    """A line each, times in average prompts of the machine."""
    head = f"{'machine':<8}{'experts':>8} {'prompts':<10}{'strategy':<46}{'hits':>7}{'bound':>7}{'switching':>11}"
    rows = [
        f"{x.machine:<8}{x.experts:>8} {x.arrivals:<10}{x.strategy:<46}{x.hit_rate:>7.1%}{x.optimum:>7.1%}"
        f"{x.switching / x.prompt:>11,.1f}{x.hidden:>8.1%}{x.speedup:>9.2f}{x.median_latency / x.prompt:>9,.1f}"
        f"{x.tail_latency / x.prompt:>9,.1f}{x.most_overtaken:>10}"
        for x in lines
    ]
    return "\n".join([head + f"{'hidden':>8}{'speed-up':>9}{'p50':>9}{'p99':>9}{'overtaken':>10}", *rows])


def experts() -> Iterator[Found]:
    """Traces, copies on RTL, then the accuracy of the composition; records figures."""
    machines = (demo(), paper())
    cases = [(machine, count, load) for machine in machines for count in COUNTS for load in (0.0, LOAD)]
    lines = [line for case in track(cases, "traces") for line in compare(*case)]
    print(table(lines))
    out = ROOT / "build" / "bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "experts_traces.json").write_text(json.dumps([asdict(line) for line in lines], indent=1) + "\n")
    found = next(
        line
        for line in lines
        if (line.machine, line.experts, line.arrivals, line.strategy) == ("demo", COUNTS[0], "at once", LOOK_AHEAD.name)
    )
    figures.record("lookahead_speedup", round(found.speedup, 3))
    how = f"{COUNTS[0]} experts, {PROMPTS:,} prompts at once, sizes and cycles of demo by the bandwidth model"
    yield Found("look-ahead over in-order LRU", f"{found.speedup:.2f} times", how)
    yield from switching(max(kind.bytes for kind in machines[0].kinds))
    yield from accuracy()


def switching(size: int) -> Iterator[Found]:
    """A copy of an expert on RTL, from DDR and over host links."""
    cycles = {ratio: copy_cycles(DEMO, size, ratio) for ratio in track((1.0, *RATIOS), "copies on RTL")}
    yield Found("copy of an expert, RTL", f"{cycles[1.0]:,} cycles", f"demo socket, {size:,} bytes from DDR to HBM")
    for ratio in RATIOS:
        speedup = cycles[ratio] / cycles[1.0]
        figures.record(f"switch_speedup_at_{int(ratio)}", round(speedup, 2))
        how = f"second tier with 1/{ratio:g} of DDR's bandwidth: {cycles[ratio]:,} cycles"
        yield Found(f"switching over a host link, 1/{ratio:g} of DDR", f"{speedup:.2f} times", how)


def accuracy() -> Iterator[Found]:
    """Held-out prompts of every task through router and experts, and through the dense model."""
    composition, arithmetic = read_composition(), ContractArithmetic(LANES)
    scores = score(composition, arithmetic, HELD_OUT_PROMPTS)
    dense, tokenizer = read_model(DENSE), read_tokenizer(DENSE)
    alone = {
        name: exact_match(dense, tokenizer, task(member.task), arithmetic, HELD_OUT_PROMPTS).exact_match
        for name, member in composition.experts.items()
    }
    how = f"golden model, {LANES} lanes, {sum(scores.prompts.values()):,} held-out prompts"
    for name in scores.prompts:
        shares = f"{scores.expert[name]:.2%}, routed {scores.routed[name]:.2%}, dense {alone[name]:.2%}"
        yield Found(f"expert {name}: exact match", shares, f"golden model, {scores.prompts[name]} held-out prompts")
    for figure, value in (
        ("expert_exact_match_min", min(scores.expert.values())),
        ("router_exact_match", scores.router),
        ("coe_exact_match", scores.composition),
        ("dense_exact_match", fmean(alone.values())),
    ):
        figures.record(figure, round(value, 4))
        yield Found(figure, f"{value:.2%}", how)
