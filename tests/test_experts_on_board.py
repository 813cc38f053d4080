"""The job that answers prompts by a composition on a machine, on the golden socket with a clock."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from coe_mapping.compiled_model import Sizes, compile_model
from coe_mapping.device import GoldenMachine
from coe_mapping.experts import Composition, Member, read_composition
from coe_mapping.experts.image import image_layout
from golden_model.launch import Error
from hdl.host.format import Opcode
from hdl.params import DEMO
from tests import small_models
from verif import experts_on_board
from verif.experts_on_board import IN_ORDER, LOOK_AHEAD, Ran, run, waits
from verif.generation import MARK

SHAPE = {"vocabulary": 64, "hidden": 16, "intermediate": 16, "layers": 1, "heads": 2, "kv_heads": 1, "head_size": 8}
COPY = 25


class Clocked(GoldenMachine):
    """A list takes 10 cycles; a copy takes 25, when it is waited for."""

    def __init__(self) -> None:
        super().__init__(DEMO)
        self.time, self.copied, self.counts, self.given = 7, 0, False, 0

    @property
    def cycles(self) -> int:
        return self.time

    def now(self) -> int:
        return self.time

    def count_always(self) -> None:
        self.counts = True

    def counter(self, block: int, word: int) -> int:
        assert (block, word) == (0, 0)
        return self.copied

    def execute(self, commands: Sequence[Sequence[int]]) -> Error | None:
        opcodes = [Opcode(words[0] & 0xFF) for words in commands]
        self.time += 10 * opcodes.count(Opcode.LIST)
        self.given += opcodes.count(Opcode.DMA)
        if Opcode.WAIT_DMA in opcodes:
            self.time, self.copied, self.given = self.time + COPY * self.given, self.copied + COPY * self.given, 0
        return super().execute(commands)


@pytest.fixture
def composition(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Composition:
    """A random router and two random experts, of which the router names the second for whatever it reads; of different
    shapes, so that they take over the machine from each other."""
    whole = read_composition()
    router = small_models.model(rng, **{**SHAPE, "layers": 2})
    letters = [whole.tokenizer.decode([token]) for token in range(SHAPE["vocabulary"])]
    models = {name: small_models.model(rng, **SHAPE) for name in ("addition", "roman")}
    experts = {name: Member(name, name[0], name, model) for name, model in models.items()}
    composed = Composition(router, whole.tokenizer, experts, {})
    monkeypatch.setattr(Composition, "named", lambda self, answer: experts["roman"] if answer in letters else None)
    monkeypatch.setattr(experts_on_board, "read_composition", lambda: composed)
    return composed


def events(printed: str) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix(MARK)) for line in printed.splitlines() if line.startswith(MARK)]


def test_a_job_tells_what_happens_and_what_every_prompt_took(
    composition: Composition, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both strategies; bits are compared with the golden model, and texts with what would be right."""
    router, size = (
        image_layout(compile_model(DEMO, model.config, Sizes(5, 1, 7))).bytes
        for model in (composition.router, composition.experts["roman"].model)
    )
    strategies = (IN_ORDER.name, LOOK_AHEAD.name)
    machine = Clocked()
    job = {
        "prompts": ("1+1=", "2+2="),
        "truths": ("2", "4"),
        "limit": 2,
        "experts": ("addition", "roman"),
        "room": router + size,
    }
    run(machine, job | {"strategies": strategies})
    assert machine.counts
    told = events(capsys.readouterr().out)
    kinds = [event["kind"] for event in told]
    assert kinds[:2] == ["compiling", "begin"]
    in_order, ahead = kinds[1 : kinds.index("ran") + 1], kinds[kinds.index("ran") + 1 :]
    assert in_order[:6] == ["begin", "routed", "routed", "copying", "copied", "begins"]
    assert ahead[:6] == ["begin", "routed", "copying", "routed", "copied", "begins"]
    for ran in (Ran(**{k: v for k, v in event.items() if k != "kind"}) for event in told if event["kind"] == "ran"):
        assert ran.mismatches == []
        assert ran.rows == 2 * (2 + 1) * 5 + sum(p["cycles"]["decode"] for p in ran.prompts) // 10, "router and expert"
        assert ran.alone == {"bytes": size, "cycles": COPY}
        assert [(p["prompt"], p["expert"], p["hit"]) for p in ran.prompts] == [
            ("1+1=", "roman", False),
            ("2+2=", "roman", True),
        ]
        assert [p["cycles"]["router"] for p in ran.prompts] == [10, 10]
        assert ran.right == sum(p["text"] == p["truth"] for p in ran.prompts)
        (copy,) = ran.copies
        assert (copy["expert"], copy["bytes"], copy["end"] - copy["start"]) == ("roman", size, COPY)
        assert (ran.switching, ran.spans[0]["start"]) == (COPY, 0)
        assert ran.prompts[1]["end"] == ran.spans[-1]["end"] == sum(ran.cycles.values())


def test_a_wait_is_that_of_the_prompt_that_begins_after_it() -> None:
    kinds = [("router", 0, 5), ("wait", None, 3), ("router", 1, 5), ("wait", None, 4), ("prefill", 1, 9)]
    spans = [{"kind": kind, "prompt": prompt, "start": 0, "end": took} for kind, prompt, took in kinds]
    spans += [
        {"kind": "decode", "prompt": 1, "start": 0, "end": 2},
        {"kind": "prefill", "prompt": 0, "start": 0, "end": 2},
    ]
    assert waits(spans) == {1: 7, 0: 0}
