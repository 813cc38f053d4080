"""The composition of experts in ``make sim``: what it is asked, and what it is held against.

Six prompts for four experts, in HBM room for two of them beside the router: so experts are switched, and looking ahead
hides it. What was measured stands beside the same prompts served in other ways, worked out by the time model from the
measured cycles: by the rule of the paper, in order with the least recently used expert evicted and nothing copied
ahead; with experts in a host's memory behind host links; and run by the host command by command, or operator by
operator.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from coe_mapping.experts import Expert, Region, Runtime, Strategy
from coe_mapping.experts.on_device import ROUTER
from coe_mapping.experts.time_model import Link, Outcome, Prompt, host_links, simulate, tier_dma
from coe_mapping.memory_plan import granule_bytes
from coe_mapping.models.tasks import task
from hdl.memory.channel import Tier
from hdl.params import RDUParams
from verif import figures
from verif.experts_on_board import IN_ORDER, KINDS, LOOK_AHEAD, Job, Ran

ASKED = {  # what no training saw
    "236+589=": "addition",
    "roman 94=": "roman",
    "max 31 4 6=": "greatest",
    "618+206=": "addition",
    "sort 1024=": "sorting",
    "roman 42=": "roman",
}
"""Prompts, and the task and expert of each."""

JOB = Job(
    prompts=list(ASKED),
    truths=[task(name).solve(prompt) for prompt, name in ASKED.items()],
    limit=5,
    experts=list(dict.fromkeys(ASKED.values())),
    room=560_000,
)
RATIOS = (31.0, 15.5)
"""Of DDR's bandwidth to a host link's, in the paper: of DGX A100 and H100."""

PHASES = ("prefill", "decode")


@dataclass(frozen=True)
class Way:
    """The prompts, served in some way. Cycles; times count from the beginning.

    Attributes:
        how: it was found: ``measured``, or by what.
        router, running, waited: what the machine did. switching: what copies took.
        latencies: of the prompts, all of which are there at the beginning. spans: what the machine did, one by one.
    """

    name: str
    how: str
    cycles: float
    router: float
    running: float
    waited: float
    switching: float
    hit_rate: float
    hidden_share: float
    latencies: Sequence[float]
    spans: Sequence[Mapping[str, Any]]


def assemble(params: RDUParams, ran: Ran, links: int, slower: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """The ``experts`` of ``result.json``.

    Args:
        links: host links of the baseline.
        slower: how much longer each phase takes than fused by command lists, by how it is run; as far as measured.
    """
    spent = ran.cycles
    measured = Way(
        f"{ran.strategy}, tier DMA",
        "measured",
        ran.spans[-1]["end"],
        spent["router"],
        spent["prefill"] + spent["decode"],
        spent["wait"],
        ran.switching,
        fmean(prompt["hit"] for prompt in ran.prompts),
        ran.hidden_share,
        [prompt["end"] for prompt in ran.prompts],
        ran.spans,
    )
    again, *others = computed(params, ran, links, slower)
    per_cycle = tier_dma(params).bandwidth
    return {
        **{key: value for key, value in asdict(ran).items() if key not in ("rows", "tokens")},
        "rows_compared": ran.rows,
        "tokens_compared": ran.tokens,
        "bit_exact": ran.rows > 0 and not ran.mismatches,
        "answers_correct": ran.right,
        "room": JOB.room,
        "host_links": links,
        "switching": {
            "cycles": ran.switching,
            "waited": spent["wait"],
            "hidden_share": ran.hidden_share,
            "by_expert": {copy["expert"]: _switching(ran, copy["expert"]) for copy in ran.copies},
            "ddr_utilisation": ran.alone["bytes"] / per_cycle / ran.alone["cycles"],
        },
        "measured": asdict(measured),
        "baselines": [asdict(way) for way in others],
        "time_model_error": again.cycles / measured.cycles - 1,
    }


def _switching(ran: Ran, expert: str) -> int:
    """Cycles of all copies of an expert."""
    return sum(copy["end"] - copy["start"] for copy in ran.copies if copy["expert"] == expert)


def computed(params: RDUParams, ran: Ran, links: int, slower: Mapping[str, Mapping[str, float]]) -> Iterator[Way]:
    """By the time model: what was measured again, to know how good the model is, and the other ways."""
    dma, same = _measured_link(params, ran), dict.fromkeys(PHASES, 1.0)
    yield way("look-ahead, tier DMA", params, ran, LOOK_AHEAD, dma, same)
    yield way("in order, LRU", params, ran, IN_ORDER, dma, same)
    for ratio in RATIOS:
        behind = f"{links} host link{'s' if links > 1 else ''}, DDR {ratio:g} times one"
        yield way(behind, params, ran, IN_ORDER, host_links(params, ratio, links), same)
    for name, factors in slower.items():
        yield way(name, params, ran, LOOK_AHEAD, dma, factors)


def _measured_link(params: RDUParams, ran: Ran) -> Link:
    """The tier DMA, as it copied an expert alone."""
    bandwidth, alone = tier_dma(params).bandwidth, ran.alone
    return Link(bandwidth, alone["cycles"] - alone["bytes"] / bandwidth)


def way(name: str, params: RDUParams, ran: Ran, strategy: Strategy, link: Link, slower: Mapping[str, float]) -> Way:
    """The prompts of a run, each with its measured cycles, times ``slower`` of their phase."""
    everyone = [Expert(expert, size) for expert, size in ran.sizes.items()]
    granule = granule_bytes(params)
    ddr, hbm = Region(Tier.DDR.base, params.memory.ddr.capacity), Region(0, JOB.room)
    runtime = Runtime(everyone, strategy, ddr=ddr, hbm=hbm, granule=granule, pinned=[ROUTER])
    cycles = [sum(prompt["cycles"][phase] * slower[phase] for phase in PHASES) for prompt in ran.prompts]
    router = fmean(prompt["cycles"]["router"] for prompt in ran.prompts) * slower["prefill"]
    trace = [Prompt(0.0, prompt["expert"], each) for prompt, each in zip(ran.prompts, cycles, strict=True)]
    found = simulate(runtime, trace, link, router=router, together=False)
    scaled = any(factor != 1.0 for factor in slower.values())
    how = "computed by the time model from the measured cycles" + (" and speed-ups of a phase" if scaled else "")
    return Way(
        name,
        how,
        found.cycles,
        router * len(trace),
        sum(cycles),
        found.stalled,
        found.switching,
        found.hit_rate,
        found.hidden,
        [served.latency for served in found.served],
        list(_spans(found, router)),
    )


def _spans(found: Outcome, router: float) -> Iterator[dict[str, Any]]:
    """Like those of a run; the router reads one prompt after the other."""
    for number in range(len(found.served)):
        times = {"start": number * router, "end": (number + 1) * router}
        yield {"kind": "router", "expert": ROUTER, "prompt": number, **times}
    for served in sorted(found.served, key=lambda served: served.start):
        who = {"expert": served.prompt.expert, "prompt": served.number}
        if served.stalled:
            yield {"kind": "wait", **who, "start": served.start - served.stalled, "end": served.start}
        yield {"kind": "run", **who, "start": served.start, "end": served.end}


def failures(experts: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, a sentence each."""
    for prompt in experts["prompts"]:
        if prompt["refused"]:
            yield f"prompt {prompt['prompt']!r} was refused: {prompt['refused']}"
        elif not prompt["correct"]:
            yield (
                f"expert {prompt['expert']} answers {prompt['prompt']!r} with {prompt['text']!r}, and right is "
                f"{prompt['truth']!r}"
            )


def show(console: Console, experts: Mapping[str, Any]) -> None:
    """The tables at the end."""
    columns = ("prompt", "expert", "HBM", "answer", "", "router", "wait", "prefill", "decode")
    table = Table(*columns, title="router and experts, cycles", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for prompt in experts["prompts"]:
        cycles = [f"{prompt['cycles'][kind]:,}" for kind in KINDS]
        how = "hit" if prompt["hit"] else "copied"
        verdict = "right" if prompt["correct"] else "wrong"
        table.add_row(Text(prompt["prompt"]), prompt["expert"], how, Text(prompt["text"]), verdict, *cycles)
    console.print(table)
    heads = ("way; all but the first computed", "cycles", "", "copies", "waited", "hits")
    table = Table(
        *heads, title="the same prompts in other ways", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    best = experts["measured"]["cycles"]
    for found in (experts["measured"], *experts["baselines"]):
        numbers = (f"{found['cycles']:,.0f}", f"{found['cycles'] / best:.2f}", f"{found['switching']:,.0f}")
        table.add_row(found["name"], *numbers, f"{found['waited']:,.0f}", f"{found['hit_rate']:.0%}")
    console.print(table)
    switching = experts["switching"]
    console.print(
        f"{len(experts['copies'])} copies of experts, {switching['hidden_share']:.1%} of their time behind what ran; "
        f"one alone has {switching['ddr_utilisation']:.1%} of DDR's bandwidth"
    )
    exact = "every bit equal to the golden model" if experts["bit_exact"] else "NOT equal to the golden model"
    console.print(
        f"{experts['rows_compared']} rows and {experts['tokens_compared']} tokens of router and experts: {exact}"
    )


def record(experts: Mapping[str, Any]) -> None:
    """The figures of the demonstration."""
    figures.record("switch_hidden_share", round(experts["switching"]["hidden_share"], 3))
    figures.record("switch_ddr_utilisation", round(experts["switching"]["ddr_utilisation"], 3))
