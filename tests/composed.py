"""A run of the demonstration's composition as it might have been measured, in round numbers."""

from typing import Any

from scripts.sim_experts import ASKED, JOB
from verif.experts_on_board import LOOK_AHEAD, Ran

SIZE, ROUTER, PREFILL, DECODE, COPY = 238_464, 10_000, 20_000, 40_000, 33_600
ORDER = (0, 3, 1, 5, 2, 4)
"""Of the prompts, where whoever is there goes first."""


def ran() -> Ran:
    """A run that waits for nothing but the first copy, for 100 cycles."""
    names = list(ASKED.values())
    begins = 6 * ROUTER + 100
    ends = {number: begins + (place + 1) * (PREFILL + DECODE) for place, number in enumerate(ORDER)}
    prompts = [
        {"prompt": prompt, "expert": name, "hit": number in (3, 5), "text": truth, "truth": truth, "correct": True}
        | {"tokens": len(truth), "refused": "", "end": ends[number]}
        | {"cycles": {"router": ROUTER, "wait": 100 * (not number), "prefill": PREFILL, "decode": DECODE}}
        for number, (prompt, name, truth) in enumerate(zip(ASKED, names, JOB.truths, strict=True))
    ]
    spans: list[dict[str, Any]] = [{"kind": "router", "expert": "router", "start": 0, "end": 6 * ROUTER}]
    spans += [{"kind": "wait", "expert": "addition", "start": 6 * ROUTER, "end": begins}]
    for number in ORDER:
        start, middle = ends[number] - PREFILL - DECODE, ends[number] - DECODE
        spans += [{"kind": "prefill", "expert": names[number], "start": start, "end": middle}]
        spans += [{"kind": "decode", "expert": names[number], "start": middle, "end": ends[number]}]
    copies = [
        {"expert": name, "evicts": gone, "bytes": SIZE, "to": place, "start": at, "end": at + COPY}
        for name, gone, place, at in (
            ("addition", [], 65_536, 10_000),
            ("roman", [], 304_000, 50_000),
            ("greatest", ["addition"], 65_536, 180_000),
            ("sorting", ["roman"], 304_000, 300_000),
        )
    ]
    sizes = {"router": 57_664} | dict.fromkeys(JOB.experts, SIZE)
    spans = [{"prompt": None, **span} for span in spans]
    return Ran(LOOK_AHEAD.name, prompts, spans, copies, {"bytes": SIZE, "cycles": COPY}, sizes, 365, 32, [])
