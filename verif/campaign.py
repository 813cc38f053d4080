"""Long verification, resumable: parts made of shards, each shard's result kept under the fingerprint of the sources.

A campaign killed half-way starts again where it stopped; a change of the sources starts it anew.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verif import figures
from verif.sources import HARDWARE, ROOT, fingerprint

Result = Mapping[str, float]
SOURCES = (*HARDWARE, "verif", "tests")


@dataclass(frozen=True)
class Shard:
    """One resumable piece of work: seconds to a few minutes. ``run`` returns what it counted."""

    name: str
    run: Callable[[], Result]


@dataclass(frozen=True)
class Part:
    """Shards that together measure something.

    ``figures`` turns the results of the shards done so far into declared figures; ``failures`` says in sentences what
    they found wrong, nothing when all is well.
    """

    block: str
    name: str
    shards: Sequence[Shard]
    figures: Callable[[Sequence[Result]], Mapping[str, float]]
    failures: Callable[[Sequence[Result]], Sequence[str]]


@dataclass(frozen=True)
class Done:
    """A finished shard: its result, the seconds it took, and whether an earlier run had done it."""

    shard: str
    result: Result
    seconds: float
    resumed: bool


def run(part: Part) -> Iterator[Done]:
    """Runs the shards of ``part`` that no earlier run has done, records the part's figures after each, yields each."""
    results: list[Result] = []
    for shard in part.shards:
        done = _kept(part, shard) or _run(part, shard)
        results.append(done.result)
        for name, value in part.figures(results).items():
            figures.record(name, value)
        yield done


def _file(part: Part, shard: Shard) -> Path:
    return ROOT / "build" / "verify" / fingerprint(SOURCES) / part.block / part.name / f"{shard.name}.json"


def _kept(part: Part, shard: Shard) -> Done | None:
    file = _file(part, shard)
    if not file.exists():
        return None
    entry = json.loads(file.read_text())
    return Done(shard.name, entry["result"], entry["seconds"], resumed=True)


def _run(part: Part, shard: Shard) -> Done:
    start = time.monotonic()
    result = dict(shard.run())
    done = Done(shard.name, result, round(time.monotonic() - start, 2), resumed=False)
    file = _file(part, shard)
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps({"result": result, "seconds": done.seconds}) + "\n")
    scratch.replace(file)
    return done
