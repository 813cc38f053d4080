"""What ``make sim`` shows while it works: texts as they appear, and what goes on; events come from the simulators."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from verif.generation import MARK

MODES = {"fused_so": "host", "fused_ho": "command list"}


class Display:
    """The language model: its texts in both orchestrations."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = prompts
        self.texts = {mode: [""] * len(prompts) for mode in MODES}
        self.status = "building the simulator of the socket (minutes, once)"
        self.result: dict[str, Any] = {}
        self.began = time.monotonic()
        self.built_s = 0.0
        self.waves: Path | None = None

    def line(self, line: str) -> None:
        """Takes a line of the simulator process."""
        if not line.startswith(MARK):
            return
        event = json.loads(line.removeprefix(MARK))
        match event.pop("kind"):
            case "compiling":
                self.built_s = time.monotonic() - self.began
                self.status = f"placing and routing the kernels of {event['layers']} layers"
            case "begin":
                self.status = f"generating, orchestrated by the {MODES[event['mode']]}"
            case "layer":
                who, rows = MODES[event["mode"]], event["rows"]
                self.status = f"{event['phase']} by the {who}, layer {event['layer']}: {rows} rows compared"
            case "token":
                self.texts[event["mode"]][event["prompt"]] = event["text"]
            case "comparing":
                self.status = f"one layer, {event['phase']}, {event['mode']}: {event['kernels']} kernels"
            case "result":
                self.result = event
                self.status = "language model: done"

    def __rich__(self) -> Group:
        table = Table("prompt", *(f"by the {who}" for who in MODES.values()), title="text as it appears")
        for i, prompt in enumerate(self.prompts):
            table.add_row(prompt, *(Text(self.texts[mode][i]) for mode in MODES))
        return Group(table, Spinner("dots", f"{time.monotonic() - self.began:5.0f} s  {self.status}"))


@dataclass
class Row:
    """What is known of a prompt."""

    expert: str = ""
    how: str = ""
    text: str = ""


@dataclass
class ExpertsDisplay:
    """The composition: which expert each prompt goes to, whether it was there or is copied, and the texts."""

    prompts: Sequence[str]
    rows: list[Row] = field(init=False)
    status: str = "router and experts begin when the simulator is built"
    copy: str = ""

    def __post_init__(self) -> None:
        self.rows = [Row() for _ in self.prompts]

    def line(self, line: str) -> None:
        """Takes a line of the simulator process."""
        if not line.startswith(MARK):
            return
        event = json.loads(line.removeprefix(MARK))
        match event["kind"]:
            case "compiling":
                self.status = f"placing and routing the kernels of router and {len(event['experts'])} experts"
            case "begin":
                self.status = "the router reads the prompts"
            case "routed":
                self.rows[event["prompt"]].expert = event["expert"]
            case "copying":
                gone = f", evicting {', '.join(event['evicts'])}" if event["evicts"] else ""
                self.copy = f"{event['expert']} is copied from DDR to HBM{gone}"
            case "copied":
                self.copy = ""
            case "begins":
                self.rows[event["prompt"]].how = "hit" if event["hit"] else "copied"
                self.status = f"{event['expert']} answers {self.prompts[event['prompt']]}"
            case "text":
                self.rows[event["prompt"]].text = event["text"]
            case "ran":
                self.status = "router and experts: done"

    def __rich__(self) -> Group:
        table = Table("prompt", "expert", "in HBM", "text", title="router and experts")
        for prompt, row in zip(self.prompts, self.rows, strict=True):
            table.add_row(*(Text(words) for words in (prompt, row.expert, row.how, row.text)))
        return Group(table, Spinner("dots", "; ".join(words for words in (self.status, self.copy) if words)))
